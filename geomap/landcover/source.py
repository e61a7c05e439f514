"""Land-cover rasters on disk: checked when opened, read block by block, one open file per thread."""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from geomap.errors import CrsError, RasterError
from geomap.landcover.product import Product
from geomap.plots.area import ellipsoidal_cell_area

MAX_CELLS: Final = 2**34
MAX_BLOCK_BYTES: Final = 64 * 2**20
GDAL_OPTIONS: Final = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_CACHEMAX": 16 * 2**20}
"""The cache is in bytes. Each block is read once: a large cache would only fill memory, and take twice as long."""


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

    def cell_areas(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Area of a cell in each row in m², and the relative change of the area element over one row.

        In a projected CRS all cells are alike; their true area is settled plot by plot (see `extract`).
        """
        if not self.crs.is_geographic:
            metres = self.crs.axis_info[0].unit_conversion_factor
            return np.full(self.height, abs(self.transform.a * self.transform.e) * metres**2), np.zeros(self.height)
        latitude = self.transform.f + (np.arange(-1, self.height + 1) + 0.5) * self.transform.e
        area = ellipsoidal_cell_area(latitude, height=abs(self.transform.e), width=abs(self.transform.a))
        return area[1:-1], (area[2:] - area[:-2]) / (2 * area[1:-1])


class Rasters:
    """Open rasters of one product, read by several threads at once.

    Parameters
    ----------
    paths : GeoTIFF files that do not overlap, such as the tiles of one product.
    product : says which codes to expect.

    Raises
    ------
    RasterError : a file is missing, broken, rotated, not of whole numbers, of several bands, or two files overlap.
    CrsError : a file names no CRS, or the files name different ones.
    """

    def __init__(self, paths: Sequence[Path], product: Product) -> None:
        if not paths:
            raise RasterError("No land-cover raster was given.", todo="Name one with --raster.")
        grids = [_checked_grid(Path(path), product) for path in paths]
        self.grids = sorted(grids, key=lambda grid: (grid.bounds, grid.path.name))
        _require_apart(self.grids)
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
        """Class codes of the window at `corner` (row, column); cells that the file masks come back as `nodata`."""
        source = self._source(grid)
        top, left = corner
        window = Window(left, top, shape[1], shape[0])
        try:
            codes = source.read(1, window=window)
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


def check_rasters(paths: Sequence[Path], product: Product) -> None:
    """Raise where the files cannot be this product's map; see `Rasters`. Reads no cell, so it costs nothing."""
    with Rasters(paths, product):
        pass


def _checked_grid(path: Path, product: Product) -> Grid:
    if not path.is_file():
        raise RasterError(f"There is no file {path.name}.", todo="Check the path given to --raster.")
    try:
        with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = rasterio.open(path, driver="GTiff")
        with source:
            _require_land_cover(path.name, source, product)
            return Grid(
                path=path,
                crs=pyproj.CRS.from_user_input(source.crs),
                transform=source.transform,
                width=source.width,
                height=source.height,
                block=source.block_shapes[0],
                nodata=None if source.nodata is None else int(source.nodata),
                masked=MaskFlags.per_dataset in source.mask_flag_enums[0],
            )
    except RasterioError as error:
        raise RasterError(
            f"{path.name} is not a GeoTIFF that can be read.",
            why="Land cover is read from GeoTIFF or COG files.",
            todo="Give a .tif file; other rasters can be converted with gdal_translate -of COG.",
        ) from error


def _require_land_cover(name: str, source: Any, product: Product) -> None:
    """Raise for a raster that cannot be this product's map."""
    if source.crs is None:
        raise CrsError(
            f"{name} names no coordinate reference system.",
            why="Without it nobody knows where its cells lie.",
            todo="Assign it, for example with gdal_edit.py -a_srs EPSG:4326.",
        )
    if source.count != 1:
        raise RasterError(
            f"{name} has {source.count} bands.",
            why="A land-cover raster holds one class code per cell.",
            todo="Give a file with the class band alone.",
        )
    if not np.issubdtype(np.dtype(source.dtypes[0]), np.integer):
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
    if source.nodata is not None and int(source.nodata) in product.legend.index:
        raise RasterError(
            f"{name} declares {int(source.nodata)} as no data, but in {product.title} it is "
            f"'{product.legend.loc[int(source.nodata), 'name']}'.",
            why="Hectares of that class would vanish.",
            todo="Check --product, or write the file again with another no-data value.",
        )


def _require_apart(grids: Sequence[Grid]) -> None:
    """Raise when rasters differ in CRS or cover the same ground."""
    for i, first in enumerate(grids):
        for second in grids[i + 1 :]:
            if first.crs != second.crs:
                raise CrsError(
                    f"{first.path.name} and {second.path.name} are in different coordinate reference systems.",
                    why="Tiles of one map share one.",
                    todo="Run them one by one, or warp them to the same CRS.",
                )
            a, b = first.bounds, second.bounds
            reach = abs(first.transform.a) / 2
            if min(a[2], b[2]) - max(a[0], b[0]) > reach and min(a[3], b[3]) - max(a[1], b[1]) > reach:
                raise RasterError(
                    f"{first.path.name} and {second.path.name} cover the same ground.",
                    why="Its hectares would count twice.",
                    todo="Give only one of them, or tiles that do not overlap.",
                )
