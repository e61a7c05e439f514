"""Land-cover rasters on disk: checked when opened, read block by block, one open file per thread."""

import hashlib
import math
import os
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
from pyproj.exceptions import ProjError
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from geomap.errors import CrsError, RasterError
from geomap.landcover.product import Product
from geomap.plots.area import ellipsoidal_cell_area

METRES_OF_DEGREE: Final = 111_195.0
MAX_CELLS: Final = 2**35
MAX_BLOCK_BYTES: Final = 64 * 2**20
FARTHEST_CODE: Final = 2**20
"""A no-data value beyond this is told apart when it is read, and not by a table as long as it is large."""
GDAL_OPTIONS: Final = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_CACHEMAX": 16 * 2**20}
"""The cache is in bytes. Each block is read once: a large cache would only fill memory, and take twice as long."""

_HAIR_DEG: Final = 1e-4
_ROUNDING: Final = 1e-6
"""0.28 as a file holds it can be a hair above 0.28."""
_OVERLAP_CELLS: Final = 1e-3
"""Rasters that overlap by less than this share of a cell lie side by side: their corners are rounded."""


def is_lonlat(crs: pyproj.CRS) -> bool:
    """Whether coordinates are WGS84 longitude and latitude."""
    return bool(crs.equals("EPSG:4326", ignore_axis_order=True))


@dataclass(frozen=True)
class Grid:
    """Where a raster's cells lie and how its file is cut into blocks."""

    path: Path
    crs: pyproj.CRS
    transform: Any
    width: int
    height: int
    block: tuple[int, int]
    nodata: int | None
    masked: bool

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in the raster's own CRS."""
        xs = sorted((self.transform.c, self.transform.c + self.transform.a * self.width))
        ys = sorted((self.transform.f, self.transform.f + self.transform.e * self.height))
        return xs[0], ys[0], xs[1], ys[1]

    @property
    def step_m(self) -> float:
        """North–south size of a cell in metres, to six digits; of a geographic CRS by the mean degree of latitude."""
        unit = (
            METRES_OF_DEGREE * self.degrees if self.crs.is_geographic else self.crs.axis_info[0].unit_conversion_factor
        )
        return float(f"{abs(self.transform.e) * unit:.6g}")

    @property
    def degrees(self) -> float:
        """Degrees of one unit of a geographic CRS: 1, but 0.9 where it counts in grads."""
        return float(f"{math.degrees(self.crs.axis_info[0].unit_conversion_factor):.12g}")

    @cached_property
    def lonlat_bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees, a hair wider than the raster: what lies beyond is not on it."""
        west, south, east, north = self.bounds
        if not is_lonlat(self.crs):
            to_lonlat = pyproj.Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
            west, south, east, north = to_lonlat.transform_bounds(*self.bounds, densify_pts=101)
        if not np.isfinite([west, south, east, north]).all() or west > east:
            return -180.0, -90.0, 180.0, 90.0
        return west - _HAIR_DEG, south - _HAIR_DEG, east + _HAIR_DEG, north + _HAIR_DEG

    def cell_areas(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Area of a cell in each row, and the relative change of the area element over one row.

        In a geographic CRS in m². In a projected CRS all cells are alike, and the area is in the square of the CRS's
        own unit, be it a foot: their true area is settled plot by plot (see `extract`).
        """
        if not self.crs.is_geographic:
            return np.full(self.height, abs(self.transform.a * self.transform.e)), np.zeros(self.height)
        top, width, height = (
            self.degrees * number for number in (self.transform.f, self.transform.a, self.transform.e)
        )
        latitude = top + (np.arange(-1, self.height + 1) + 0.5) * height
        area = ellipsoidal_cell_area(latitude, height=abs(height), width=abs(width))
        return area[1:-1], (area[2:] - area[:-2]) / (2 * area[1:-1])


class Rasters:
    """Open rasters of one product, read by several threads at once.

    Parameters
    ----------
    paths : GeoTIFF files of one product. Tiles, copies, several CRS and several cell sizes may stand together. A file
        that is named twice is read once.
    product : says which codes to expect.

    Attributes
    ----------
    grids : the rasters; west to east where they lie side by side, in the order of `in_order_of_precedence` otherwise.
    side_by_side : whether they share a CRS and no ground.

    Raises
    ------
    RasterError : a file is missing, broken, rotated, not of whole numbers, or of several bands.
    CrsError : a file names no CRS.
    """

    def __init__(self, paths: Sequence[Path], product: Product) -> None:
        if not paths:
            raise RasterError("No land-cover raster was given.", todo="Name one with --raster.")
        once = {os.path.abspath(path): Path(path) for path in paths}.values()
        grids = [_checked_grid(path, product) for path in once]
        self.grids = sorted(grids, key=lambda grid: (grid.bounds, grid.path.name))
        self.side_by_side = _lie_apart(self.grids)
        if not self.side_by_side:
            self.grids = in_order_of_precedence(grids)
        self._product = product
        self._env = rasterio.Env(**GDAL_OPTIONS)
        self._local = threading.local()
        self._opened: list[Any] = []
        self._lock = threading.Lock()

    def __enter__(self) -> "Rasters":
        self._env.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self._opened:
            source.close()
        self._env.__exit__(kind, error, trace)

    def read(self, grid: Grid, corner: tuple[int, int], shape: tuple[int, int], nodata: int) -> npt.NDArray[Any]:
        """Class codes of the window at `corner` (row, column); cells that the file masks come back as `nodata`.

        A raster of a quantity comes back as the classes that the product's threshold makes of it.
        """
        source = self._source(grid)
        top, left = corner
        window = Window(left, top, shape[1], shape[0])
        try:
            codes = source.read(1, window=window)
            if self._product.threshold is not None:
                codes = _classes(codes, source, self._product)
            elif grid.nodata is not None and abs(grid.nodata) > FARTHEST_CODE:
                codes = np.where(codes == grid.nodata, nodata, codes.astype(np.int64))
            if grid.masked:
                codes = np.where(source.read_masks(1, window=window) == 0, nodata, codes.astype(np.int64))
        except RasterioError as error:
            raise RasterError(
                f"{grid.path.name} cannot be read at row {top}, column {left}.",
                why="The file is damaged or cut short; its land cover is unknown there.",
                todo="Download or copy it again.",
            ) from error
        return np.ascontiguousarray(codes)

    def _source(self, grid: Grid) -> Any:
        open_here: dict[Path, Any] = self._local.__dict__.setdefault("sources", {})
        if grid.path not in open_here:
            source = rasterio.open(grid.path, driver="GTiff")
            open_here[grid.path] = source
            with self._lock:
                self._opened.append(source)
        return open_here[grid.path]


def in_order(paths: Sequence[Path], product: Product) -> tuple[Path, ...]:
    """The rasters in the order in which they speak where several cover the ground.

    Raises
    ------
    RasterError, CrsError : see `Rasters`.
    """
    with Rasters(paths, product) as opened:
        return tuple(grid.path for grid in opened.grids)


def check_rasters(paths: Sequence[Path], product: Product) -> None:
    """Raise where the files cannot be this product's map; see `Rasters`. Reads no cell, so it costs nothing."""
    with Rasters(paths, product):
        pass


def _checked_grid(path: Path, product: Product) -> Grid:
    if not os.path.isfile(path):  # a name that no disk can hold is no file either
        raise RasterError(f"There is no file {path.name}.", todo="Check the path given to --raster.")
    try:
        with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(path, driver="GTiff")
        with source:
            return grid_of(path, source, product)
    except RasterioError as error:
        raise RasterError(
            f"{path.name} is not a GeoTIFF that can be read.",
            why="Land cover is read from GeoTIFF or COG files.",
            todo="Give a .tif file; other rasters can be converted with gdal_translate -of COG.",
        ) from error


def grid_of(path: Path, source: Any, product: Product) -> Grid:
    """Where the cells of an open raster lie; raises for one that cannot be this product's map."""
    _require_land_cover(path.name, source, product)
    return Grid(
        path=path,
        crs=crs_of(path.name, source),
        transform=source.transform,
        width=source.width,
        height=source.height,
        block=source.block_shapes[0],
        nodata=_nodata_code(source, product),
        masked=product.file_nodata and MaskFlags.per_dataset in source.mask_flag_enums[0],
    )


def crs_of(name: str, source: Any) -> pyproj.CRS:
    """The coordinate system of an open raster.

    Raises
    ------
    CrsError : it names none, or one that does not say where on the Earth its cells lie.
    """
    if source.crs is None:
        raise CrsError(
            f"{name} names no coordinate reference system.",
            why="Without it nobody knows where its cells lie.",
            todo="Assign it, for example with gdal_edit.py -a_srs EPSG:4326.",
        )
    try:
        crs = pyproj.CRS.from_user_input(source.crs)
        if crs.is_geographic or crs.is_projected:
            pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
            return crs
    except ProjError:
        pass
    raise CrsError(
        f"{name} has a coordinate reference system of its own that is not tied to the Earth.",
        why="Nobody knows where its cells lie.",
        todo="Assign the right one, for example with gdal_edit.py -a_srs EPSG:4326.",
    )


def _require_land_cover(name: str, source: Any, product: Product) -> None:
    """Raise for a raster that cannot be this product's map."""
    crs_of(name, source)
    if source.count != 1:
        raise RasterError(
            f"{name} has {source.count} bands.",
            why="A land-cover raster holds one class code per cell.",
            todo="Give a file with the class band alone.",
        )
    if product.threshold is None and not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
        raise RasterError(
            f"{name} holds {source.dtypes[0]} values, not class codes.",
            why="A land-cover class is a whole number.",
            todo="Give the product's classification, not a probability or elevation layer.",
        )
    affine = source.transform
    if affine.is_identity:
        raise RasterError(
            f"{name} says nothing of where its cells lie.",
            why="They would be taken for cells of one degree at 0° N, 0° E.",
            todo="Give the file as it was downloaded, or place it with gdal_translate -a_ullr.",
        )
    if affine.b or affine.d or not affine.a or not affine.e:
        raise RasterError(
            f"{name} is rotated against its coordinate axes or has no position.",
            why="The area of its cells would be wrong.",
            todo="Warp it to north-up with gdalwarp.",
        )
    rows, columns = source.block_shapes[0]
    if source.width * source.height > MAX_CELLS or rows * columns * 8 > 8 * MAX_BLOCK_BYTES:
        raise RasterError(
            f"{name} has {source.width:,} × {source.height:,} cells in blocks of {columns:,} × {rows:,}.",
            why="Reading one block would fill the memory.",
            todo="Convert it with gdal_translate -of COG.",
        )
    nodata = _nodata_code(source, product)
    if nodata is not None and nodata in product.legend.index:
        raise RasterError(
            f"{name} declares {nodata} as no data, but in {product.title} it is "
            f"'{product.legend.loc[nodata, 'name']}'.",
            why="Hectares of that class would vanish.",
            todo="Check --product, or write the file again with another no-data value.",
        )


def _nodata_code(source: Any, product: Product) -> int | None:
    """The code that the file declares as no data, where its word counts and it is a code."""
    if source.nodata is None or not product.file_nodata or product.threshold is not None:
        return None
    return int(source.nodata)


def _classes(values: npt.NDArray[Any], source: Any, product: Product) -> npt.NDArray[np.int64]:
    """1 above the product's threshold and 0 at or below it; no data and impossible values have codes of their own."""
    assert product.threshold is not None
    limit = product.threshold
    real = values.astype(np.float64) * source.scales[0] + source.offsets[0]
    codes: npt.NDArray[np.int64] = (real > limit.above + _ROUNDING).astype(np.int64)
    codes[(real < limit.lowest) | (real > limit.highest)] = max(product.legend.index.max(), product.nodata) + 1
    missing = ~np.isfinite(real) | ((real == product.nodata) & (product.nodata > limit.highest))
    if product.file_nodata and source.nodata is not None and np.isfinite(source.nodata):
        missing |= values == np.asarray(source.nodata).astype(values.dtype)
    codes[missing] = product.nodata
    return codes


def in_order_of_precedence(grids: Sequence[Grid]) -> list[Grid]:
    """The rasters in the order in which they speak for ground that several cover: finer cells first, then by file name.

    Of equal cells and equal names the one whose bytes have the lower SHA-256 comes first.
    """
    ordered: list[Grid] = []
    by_name = sorted(grids, key=_rank)
    for _, alike in groupby(by_name, key=_rank):
        same = list(alike)
        ordered += same if len(same) == 1 else sorted(same, key=lambda grid: _sha256(grid.path))
    return ordered


def _rank(grid: Grid) -> tuple[float, str]:
    return grid.step_m, grid.path.name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _lie_apart(grids: Sequence[Grid]) -> bool:
    """Whether the rasters share a CRS and no ground."""
    if any(grid.crs != grids[0].crs for grid in grids[1:]):
        return False
    for i, first in enumerate(grids):
        for second in grids[i + 1 :]:
            a, b = first.bounds, second.bounds
            reach = _OVERLAP_CELLS * min(abs(first.transform.a), abs(second.transform.a))
            if b[0] >= a[2] - reach:
                break  # sorted from west to east: none of the rest can reach it
            if min(a[3], b[3]) - max(a[1], b[1]) > reach and min(a[2], b[2]) - max(a[0], b[0]) > reach:
                return False
    return True
