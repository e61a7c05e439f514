"""The files of one layer: opened once per thread, in the order in which they speak, read block by block."""

import os
import threading
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from geomap.errors import RasterError
from geomap.landcover.source import GDAL_OPTIONS, Grid, crs_of, in_order_of_precedence

_DEGREE_M: Final = 111_320.0

Floats: TypeAlias = npt.NDArray[np.float64]


class LayerFiles:
    """The files of one layer, in the order in which they speak; a file that is named twice is read once.

    Each thread opens its own.

    Raises
    ------
    RasterError : a file is missing, broken, rotated, of several bands or without position.
    CrsError : a file names no CRS.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        once = list({os.path.abspath(path): Path(path) for path in paths}.values())
        grids = []
        for path in once:
            with _opened(path) as source:
                grids.append(_grid(path, source))
        self.grids = in_order_of_precedence(grids) if len(grids) > 1 else grids
        self._stack = ExitStack()
        self._local = threading.local()
        self._lock = threading.Lock()

    def __enter__(self) -> "LayerFiles":
        self._stack.enter_context(rasterio.Env(**GDAL_OPTIONS))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def cell_ha(self, outlines: npt.NDArray[np.object_]) -> Floats:
        """Hectares of a cell of the finest file at each outline, roughly: enough to know how many there are."""
        middle = shapely.bounds(outlines)[:, [1, 3]].mean(axis=1)
        sizes = []
        for grid in self.grids:
            planar = abs(grid.transform.a * grid.transform.e)
            metres = np.cos(np.radians(middle)) * _DEGREE_M**2 if grid.crs.is_geographic else 1.0
            sizes.append(np.broadcast_to(planar * metres / 1e4, middle.shape))
        smallest: Floats = np.min(sizes, axis=0)
        return smallest

    def read(self, grid: Grid, corner: tuple[int, int], size: tuple[int, int]) -> Floats:
        """Values of the window at `corner` (row, column), scale and offset applied; not finite without data."""
        source = self._source(grid)
        window = Window(corner[1], corner[0], size[1], size[0])
        try:
            values: Floats = source.read(1, window=window).astype(np.float64)
            if source.mask_flag_enums[0] != [MaskFlags.all_valid]:
                values[source.read_masks(1, window=window) == 0] = np.nan
        except RasterioError as error:
            raise RasterError(
                f"{grid.path.name} cannot be read at row {corner[0]}, column {corner[1]}.",
                why="The file is damaged or cut short.",
                todo="Download or copy it again.",
            ) from error
        if source.scales[0] != 1.0 or source.offsets[0] != 0.0:
            values = values * source.scales[0] + source.offsets[0]
        return values

    def _source(self, grid: Grid) -> Any:
        """The file as opened by the thread that asks."""
        open_here: dict[Path, Any] = self._local.__dict__.setdefault("sources", {})
        if grid.path not in open_here:
            source = rasterio.open(grid.path, driver="GTiff")
            with self._lock:
                self._stack.callback(source.close)
            open_here[grid.path] = source
        return open_here[grid.path]


def _opened(path: Path) -> Any:
    if not os.path.isfile(path):
        raise RasterError(f"There is no file {path.name}.", todo="Check the path of the raster.")
    try:
        with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path, driver="GTiff")
    except RasterioError as error:
        raise RasterError(
            f"{path.name} is not a GeoTIFF that can be read.",
            why="Layers are read from GeoTIFF or COG files.",
            todo="Convert it with gdal_translate -of COG.",
        ) from error


def _grid(path: Path, source: Any) -> Grid:
    """Where the cells lie; raises for a raster that is no layer."""
    crs = crs_of(path.name, source)
    affine = source.transform
    if source.count != 1 or affine.is_identity or affine.b or affine.d or not affine.a or not affine.e:
        raise RasterError(
            f"{path.name} has {source.count} bands, or is rotated or without position.",
            why="A layer has one value per cell, and its cells lie along the axes.",
            todo="Give a file with one band, north up; gdalwarp makes one.",
        )
    if np.issubdtype(np.dtype(source.dtypes[0]), np.complexfloating):
        raise RasterError(
            f"{path.name} holds complex numbers.",
            why="Half of each would be lost.",
            todo="Write what is meant, such as the amplitude, to a file of its own.",
        )
    return Grid(
        path=path,
        crs=crs,
        transform=affine,
        width=source.width,
        height=source.height,
        block=source.block_shapes[0],
        nodata=None,
        masked=False,
    )
