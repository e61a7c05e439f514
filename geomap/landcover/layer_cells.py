"""Cells of a layer under outlines: each with its value and the hectares of the outline that lie on it.

Ground that several files cover counts once, as for land cover: finer cells speak first, then the file whose name comes
first. What a file leaves of a plot, the ground beyond its edge and its cells without data, is handed to the next file
as an outline. Outlines go to the raster, never the raster to the outlines.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import shapely
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from rasterio.windows import transform as transform_of

from geomap.errors import CrsError, RasterError
from geomap.landcover.mosaic import SMALLEST_PIECE, in_raster
from geomap.landcover.source import GDAL_OPTIONS, Grid, in_order_of_precedence, is_lonlat
from geomap.plots.area import area_ha, rings_of

_BLOCK: Final = 512
_MOST_CELLS: Final = 2**24
_DENSIFY_DEG: Final = 0.001
_DENSIFY: Final = 100.0
_FEWEST_SIDES: Final = 20_000
_ROUNDING: Final = 1e-6
_POLYGON: Final = 3
_DEGREE_M: Final = 111_320.0

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Outlines: TypeAlias = npt.NDArray[np.object_]


class Cells(NamedTuple):
    """Cells with data under outlines, and the ground without.

    plot, value, ground_ha : one entry per outline and cell: number of the outline, value, hectares of it on the cell.
    nodata_ha, outside_ha : one entry per outline.
    touched : whether any file reaches the outline.
    """

    plot: Ints
    value: Floats
    ground_ha: Floats
    nodata_ha: Floats
    outside_ha: Floats
    touched: Mask


class _Pieces(NamedTuple):
    """Parts of outlines that wait for a value: in longitude and latitude, with the outline and geodesic hectares."""

    outlines: Outlines
    plots: Ints
    areas_ha: Floats
    seen: Mask  # whether a file without data covers it

    def where(self, mask: Mask) -> "_Pieces":
        return _Pieces(self.outlines[mask], self.plots[mask], self.areas_ha[mask], self.seen[mask])


class _Found(NamedTuple):
    """What one file shows under pieces; `empty` holds the outlines of cells without data, where they are asked for."""

    piece: Ints
    value: Floats
    ground_ha: Floats
    nodata_ha: Floats
    touched: Mask
    empty: dict[int, Any]


class LayerFiles:
    """The open files of one layer, in the order in which they speak; a file that is named twice is read once.

    Raises
    ------
    RasterError : a file is missing, broken, rotated, of several bands or without position.
    CrsError : a file names no CRS.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stack = ExitStack()
        once = list({os.path.abspath(path): Path(path) for path in paths}.values())
        try:
            opened = {path: self._stack.enter_context(_opened(path)) for path in once}
            grids = [_grid(path, source) for path, source in opened.items()]
            ordered = in_order_of_precedence(grids) if len(grids) > 1 else grids
        except BaseException:
            self._stack.close()
            raise
        self.files = [(grid, opened[grid.path]) for grid in ordered]

    def __enter__(self) -> "LayerFiles":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def cell_ha(self, outlines: Outlines) -> Floats:
        """Hectares of a cell of the finest file at each outline, roughly: enough to know how many there are."""
        middle = shapely.bounds(outlines)[:, [1, 3]].mean(axis=1)
        sizes = []
        for grid, _ in self.files:
            planar = abs(grid.transform.a * grid.transform.e)
            metres = np.cos(np.radians(middle)) * _DEGREE_M**2 if grid.crs.is_geographic else 1.0
            sizes.append(np.broadcast_to(planar * metres / 1e4, middle.shape))
        smallest: Floats = np.min(sizes, axis=0)
        return smallest

    def cells_under(self, outlines: Outlines, areas_ha: Floats) -> Cells:
        """The cells under valid outlines in longitude and latitude, whose geodesic areas are given in hectares."""
        count = len(outlines)
        nodata, touched = np.zeros(count), np.zeros(count, dtype=bool)
        waiting = _Pieces(outlines, np.arange(count), areas_ha, np.zeros(count, dtype=bool))
        plots: list[Ints] = [np.zeros(0, dtype=np.int64)]
        values, grounds = [np.zeros(0)], [np.zeros(0)]
        for number, (grid, source) in enumerate(self.files, 1):
            near = _near(waiting.outlines, grid)
            if not near.any():
                continue
            here, waiting = waiting.where(near), waiting.where(~near)
            later = np.zeros(len(here.plots), dtype=bool)
            for other, _ in self.files[number:]:
                later |= _near(here.outlines, other)
            found = _measured(here, grid, source, later)
            plots.append(here.plots[found.piece])
            values.append(found.value)
            grounds.append(found.ground_ha)
            touched[here.plots[found.touched]] = True
            empty_here = np.where(later, 0.0, found.nodata_ha + np.where(here.seen, _beyond(here, found), 0.0))
            np.add.at(nodata, here.plots, empty_here)
            waiting = _joined([waiting, _left_over(here, found, later, grid)])
        np.add.at(nodata, waiting.plots[waiting.seen], waiting.areas_ha[waiting.seen])
        plot, value, ground = np.concatenate(plots), np.concatenate(values), np.concatenate(grounds)
        outside = areas_ha - nodata - np.bincount(plot, ground, minlength=count)
        outside = np.where(outside > _ROUNDING * areas_ha, outside, 0.0)
        return Cells(plot, value, ground, nodata, outside, touched)


def _beyond(pieces: _Pieces, found: _Found) -> Floats:
    """Hectares of each piece that the file does not reach."""
    known = np.bincount(found.piece, found.ground_ha, minlength=len(pieces.plots)) + found.nodata_ha
    return np.maximum(pieces.areas_ha - known, 0.0)


def _joined(parts: Sequence[_Pieces]) -> _Pieces:
    return _Pieces(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _near(outlines: Outlines, grid: Grid) -> Mask:
    """Whether each outline may touch the raster: by boxes in longitude and latitude, never too few."""
    west, south, east, north = grid.lonlat_bounds
    box = shapely.bounds(outlines).reshape(-1, 4)
    return np.asarray((box[:, 0] < east) & (box[:, 2] > west) & (box[:, 1] < north) & (box[:, 3] > south))


def _left_over(pieces: _Pieces, found: _Found, later: Mask, grid: Grid) -> _Pieces:
    """What the file leaves of the pieces that a later file may reach."""
    left = later & (_beyond(pieces, found) + found.nodata_ha > _ROUNDING * pieces.areas_ha)
    if not left.any():
        return pieces.where(left)
    rest = pieces.where(left)
    empty = np.array([found.empty.get(int(place), shapely.Polygon()) for place in np.flatnonzero(left)], dtype=object)
    beyond = shapely.difference(rest.outlines, _lonlat(np.array([shapely.box(*grid.bounds)]), grid)[0])
    within = shapely.intersection(rest.outlines, empty)
    return _joined(
        [_as_pieces(beyond, rest, rest.seen), _as_pieces(within, rest, np.ones(len(rest.plots), dtype=bool))]
    )


def _as_pieces(shapes: Outlines, pieces: _Pieces, seen: Mask) -> _Pieces:
    """The polygons of the shapes, one shape per piece, without slivers."""
    outlines = np.full(len(shapes), None, dtype=object)
    outlines[:] = [polygons_of(shape) for shape in shapes]
    areas = np.nan_to_num(np.asarray(area_ha(outlines), dtype=float))
    return _Pieces(outlines, pieces.plots, areas, seen).where(areas > SMALLEST_PIECE * pieces.areas_ha)


def polygons_of(shape: Any) -> Any:
    """The polygons of a shape; cuts leave points and lines, too."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.multipolygons(parts[(shapely.get_type_id(parts) == _POLYGON) & ~shapely.is_empty(parts)])


def _lonlat(shapes: Outlines, grid: Grid) -> Outlines:
    """Shapes of the raster's CRS in longitude and latitude."""
    if is_lonlat(grid.crs):
        return shapes
    longest = max(_DENSIFY_DEG if grid.crs.is_geographic else _DENSIFY, shapely.length(shapes).max() / _FEWEST_SIDES)
    to_lonlat = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    moved: Outlines = shapely.transform(shapely.segmentize(shapes, longest), to_lonlat.transform, interleaved=False)
    return moved


def _measured(pieces: _Pieces, grid: Grid, source: Any, keep_empty: Mask) -> _Found:
    """Cells under the pieces: hectares are the piece's own, shared out by covered share × area of the cell."""
    from geomap.landcover.coverage import SMALLEST_SHARE, coverage

    shapes = in_raster(pieces.outlines, grid)
    rings = rings_of(shapes)
    xs = (rings.coordinates[:, 0] - grid.transform.c) / grid.transform.a
    ys = (rings.coordinates[:, 1] - grid.transform.f) / grid.transform.e
    first = np.concatenate([[0], np.cumsum(np.bincount(rings.owner, minlength=len(shapes)))])
    box = _boxes(shapes, grid)
    area, _ = grid.cell_areas()
    planar = shapely.area(shapes) / abs(grid.transform.a * grid.transform.e)
    nodata_ha, touched = np.zeros(len(shapes)), np.zeros(len(shapes), dtype=bool)
    parts: list[tuple[Ints, Floats, Floats]] = [(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))]
    empty: dict[int, Any] = {}
    for group, window, values in _blocks(box, source, grid):
        for piece in group.tolist():
            top, bottom, left, right = box[piece]
            ring = slice(first[piece], first[piece + 1] + 1)
            starts = rings.starts[ring]
            corners = slice(starts[0], starts[-1])
            holes = rings.holes[first[piece] : first[piece + 1]]
            size = (bottom - top, right - left)
            share = coverage(xs[corners] - left, ys[corners] - top, starts - starts[0], holes, size)
            share = np.where(share > SMALLEST_SHARE, share, 0.0)
            value = values[top - window[0] : bottom - window[0], left - window[1] : right - window[1]]
            beyond = planar[piece] - share.sum()
            beyond = beyond if beyond > _ROUNDING * planar[piece] else 0.0
            weight = share * area[top:bottom, None]
            whole = weight.sum() + beyond * area[(top + bottom - 1) // 2]
            ground = weight * (pieces.areas_ha[piece] / whole)
            here, data = share > 0, np.isfinite(value)
            known = here & data
            parts.append((np.full(known.sum(), piece), value[known], ground[known]))
            nodata_ha[piece] = ground[here & ~data].sum()
            touched[piece] = bool(here.any())
            if keep_empty[piece] and (here & ~data).any():
                empty[piece] = outline_of_cells(~data, (top, left), grid)
    piece, value, ground = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Found(piece, value, ground, nodata_ha, touched, empty)


def outline_of_cells(mask: Mask, corner: tuple[int, int], grid: Grid) -> Any:
    """The masked cells of a window, whose corner is given as row and column, as an outline in degrees."""
    from rasterio.features import shapes as outlines_of

    place = transform_of(Window(corner[1], corner[0], mask.shape[1], mask.shape[0]), grid.transform)
    found = [shapely.geometry.shape(one) for one, _ in outlines_of(mask.astype(np.uint8), mask=mask, transform=place)]
    return shapely.union_all(_lonlat(np.array(found, dtype=object), grid)) if found else shapely.Polygon()


def _opened(path: Path) -> Any:
    if not path.is_file():
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
    if source.crs is None:
        raise CrsError(
            f"{path.name} names no coordinate reference system.",
            why="Without it nobody knows where its cells lie.",
            todo="Assign it, for example with gdal_edit.py -a_srs EPSG:4326.",
        )
    affine = source.transform
    if source.count != 1 or affine.is_identity or affine.b or affine.d or not affine.a or not affine.e:
        raise RasterError(
            f"{path.name} has {source.count} bands, or is rotated or without position.",
            why="A layer has one value per cell, and its cells lie along the axes.",
            todo="Give a file with one band, north up; gdalwarp makes one.",
        )
    return Grid(
        path=path,
        crs=pyproj.CRS.from_user_input(source.crs),
        transform=affine,
        width=source.width,
        height=source.height,
        block=source.block_shapes[0],
        nodata=None,
        masked=False,
    )


def _boxes(shapes: npt.NDArray[np.object_], grid: Grid) -> Ints:
    """First and last row, first and last column of each plot on the raster, ends excluded; empty beyond it."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    rows = np.sort((bounds[:, [1, 3]] - grid.transform.f) / grid.transform.e, axis=1)
    columns = np.sort((bounds[:, [0, 2]] - grid.transform.c) / grid.transform.a, axis=1)
    cells = np.column_stack(
        [np.floor(rows[:, 0]), np.ceil(rows[:, 1]), np.floor(columns[:, 0]), np.ceil(columns[:, 1])]
    )
    cells = np.clip(cells, 0, [grid.height, grid.height, grid.width, grid.width])
    return np.asarray(cells, dtype=np.int64)


def _blocks(box: Ints, source: Any, grid: Grid) -> Iterator[tuple[Ints, tuple[int, int], Floats]]:
    """Plots that lie near one another, the corner of the window around them, and its values; NaN without data."""
    there = np.flatnonzero((box[:, 0] < box[:, 1]) & (box[:, 2] < box[:, 3]))
    block = box[there, 0] // _BLOCK * (grid.width // _BLOCK + 1) + box[there, 2] // _BLOCK
    order = there[np.argsort(block, kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(np.sort(block, kind="stable"))) + 1)
    for group in groups:
        if len(group):
            yield from _window(group, box, source, grid)


def _window(plots: Ints, box: Ints, source: Any, grid: Grid) -> Iterator[tuple[Ints, tuple[int, int], Floats]]:
    """The plots' common window; each plot by itself where that would be large."""
    top, left = box[plots, 0].min(), box[plots, 2].min()
    height, width = box[plots, 1].max() - top, box[plots, 3].max() - left
    if height * width > _MOST_CELLS and len(plots) > 1:
        for plot in plots:
            yield from _window(np.array([plot]), box, source, grid)
        return
    if height * width > 16 * _MOST_CELLS:
        raise RasterError(
            f"One plot covers {height:,} × {width:,} cells of {grid.path.name}.",
            why="Reading them would fill the memory.",
            todo="Check the plot, or give a coarser raster.",
        )
    try:
        cells = source.read(1, window=Window(left, top, width, height), masked=True)
    except RasterioError as error:
        raise RasterError(
            f"{grid.path.name} cannot be read at row {top}, column {left}.",
            why="The file is damaged or cut short.",
            todo="Download or copy it again.",
        ) from error
    values = np.asarray(cells.filled(0), dtype=float) * source.scales[0] + source.offsets[0]
    values = np.where(np.ma.getmaskarray(cells) | ~np.isfinite(values), np.nan, values)
    yield plots, (int(top), int(left)), values
