"""Ground that several rasters cover, counted once: each raster gets what those before it left without data.

Decision. Plots go to the raster's CRS, never the raster to the plots': warped classes are other classes. So rasters of
different CRS, cell sizes and corners are not merged cell by cell. They speak in a fixed order (finer cells first, then
by file name), and what one raster leaves of a plot, the ground beyond its edge and its cells without data, is an
outline of its own, which the next raster measures as it would measure any plot. Few plots lie across an edge, so few
outlines are cut.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from geomap.landcover.product import Product
from geomap.landcover.source import Grid, Rasters, is_lonlat
from geomap.plots.area import area_ha

DENSIFY_DEG: Final = 0.001
SMALLEST_PIECE: Final = 1e-9
"""What is left of a plot counts from this share of it on; less is rounding."""

_METRES: Final = 100.0
_POLYGON: Final = 3

Outlines: TypeAlias = npt.NDArray[np.object_]
Floats: TypeAlias = npt.NDArray[np.float64]


class Measured(NamedTuple):
    """What rasters show under outlines.

    inside_m2 : (outlines, classes + 3); the classes in the order of the legend, then no data, outside, unknown codes.
    cell_m2 : area of a cell at each outline; NaN where no raster touches it.
    strange_codes : codes that the legend lacks.
    """

    inside_m2: Floats
    cell_m2: Floats
    strange_codes: set[int]


Measure: TypeAlias = Callable[[Outlines, Floats, Grid], Measured]
"""What one raster shows under outlines with these areas in m²."""


class _Pieces(NamedTuple):
    """Parts of plots that wait for land cover.

    outlines : in longitude and latitude. plots : the plot of each. seen : whether a raster without data covers it.
    areas_m2 : geodesic.
    """

    outlines: Outlines
    plots: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]
    areas_m2: Floats

    def where(self, mask: npt.NDArray[np.bool_]) -> "_Pieces":
        return _Pieces(self.outlines[mask], self.plots[mask], self.seen[mask], self.areas_m2[mask])


def areas_side_by_side(
    outlines: Outlines, areas_m2: Floats, opened: Rasters, product: Product, measure: Measure
) -> Measured:
    """Sum over rasters of one CRS that share no ground."""
    found = _nothing(len(outlines), product)
    for grid in opened.grids:
        inside, cells, strange = measure(outlines, areas_m2, grid)
        cell_m2 = np.where(np.isnan(cells), found.cell_m2, cells)
        found = Measured(found.inside_m2 + inside, cell_m2, found.strange_codes | strange)
    return found


def areas_on_mosaic(
    outlines: Outlines, areas_m2: Floats, opened: Rasters, product: Product, measure: Measure
) -> Measured:
    """Each raster measures what those before it left without data; what all leave is no data where one covers it."""
    total, cell_m2, strange = _nothing(len(outlines), product)
    nodata = len(product.legend)
    waiting = _Pieces(outlines, np.arange(len(outlines)), np.zeros(len(outlines), dtype=bool), areas_m2)
    for number, grid in enumerate(opened.grids, 1):
        touches = _on_grid(waiting.outlines, grid)
        here, waiting = waiting.where(touches), waiting.where(~touches)
        inside, cells, codes = measure(here.outlines, here.areas_m2, grid)
        strange |= codes
        first = np.isnan(cell_m2[here.plots])
        cell_m2[here.plots[first]] = cells[first]
        missing = (inside[:, nodata] > 0) & (here.seen | _on_any(here.outlines, opened.grids[number:]))
        all_missing = missing & (inside[:, nodata] >= (1 - SMALLEST_PIECE) * here.areas_m2)
        inside[missing, nodata] = 0.0
        np.add.at(total, here.plots, inside)
        unfinished = ~all_missing & (inside.sum(axis=1) < (1 - SMALLEST_PIECE) * here.areas_m2)
        left = _left_over(here.where(unfinished), missing[unfinished], grid, opened, product)
        waiting = _joined(
            [waiting, here.where(all_missing)._replace(seen=np.ones(all_missing.sum(), dtype=bool)), left]
        )
    np.add.at(total[:, nodata], waiting.plots[waiting.seen], waiting.areas_m2[waiting.seen])
    return Measured(total, cell_m2, strange)


def in_raster(outlines: Outlines, grid: Grid) -> Outlines:
    """Outlines in the raster's CRS; densified where that is not longitude and latitude."""
    if is_lonlat(grid.crs):
        return outlines
    to_raster = pyproj.Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
    dense = shapely.segmentize(outlines, DENSIFY_DEG)
    moved: Outlines = shapely.transform(dense, to_raster.transform, interleaved=False)
    return moved


def _nothing(count: int, product: Product) -> Measured:
    return Measured(np.zeros((count, len(product.legend) + 3)), np.full(count, np.nan), set())


def _joined(parts: Sequence[_Pieces]) -> _Pieces:
    return _Pieces(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _on_grid(outlines: Outlines, grid: Grid) -> npt.NDArray[np.bool_]:
    """Whether each outline may touch the raster: by boxes in longitude and latitude, never too few."""
    west, south, east, north = grid.lonlat_bounds
    box = shapely.bounds(outlines).reshape(-1, 4)
    return np.asarray((box[:, 0] < east) & (box[:, 2] > west) & (box[:, 1] < north) & (box[:, 3] > south))


def _on_any(outlines: Outlines, grids: Sequence[Grid]) -> npt.NDArray[np.bool_]:
    touches = np.zeros(len(outlines), dtype=bool)
    for grid in grids:
        touches |= _on_grid(outlines, grid)
    return touches


def _left_over(
    pieces: _Pieces, missing: npt.NDArray[np.bool_], grid: Grid, opened: Rasters, product: Product
) -> _Pieces:
    """What a raster leaves of the pieces: ground beyond its edge, and its cells without data where some are missing."""
    shapes = in_raster(pieces.outlines, grid)
    edge = shapely.box(*grid.bounds)
    beyond = np.full(len(shapes), shapely.Polygon(), dtype=object)
    across = ~shapely.contains_properly(edge, shapely.envelope(shapes))
    beyond[across] = shapely.difference(_valid(shapes[across]), edge)
    empty = np.full(len(shapes), shapely.Polygon(), dtype=object)
    for place in np.flatnonzero(missing):
        ground = _empty_ground(shapes[place], grid, opened, product)
        empty[place] = shapely.intersection(_valid(shapes[[place]])[0], ground)
    seen = np.ones(len(shapes), dtype=bool)
    return _joined([_as_pieces(beyond, pieces, pieces.seen, grid), _as_pieces(empty, pieces, seen, grid)])


def _as_pieces(shapes: Outlines, pieces: _Pieces, seen: npt.NDArray[np.bool_], grid: Grid) -> _Pieces:
    """The shapes, one per piece, as pieces in longitude and latitude, without slivers."""
    places = np.flatnonzero(~shapely.is_empty(shapes))
    outlines = np.full(len(places), None, dtype=object)
    outlines[:] = [_polygons(shape) for shape in _in_lonlat(shapes[places], grid)]
    areas = np.nan_to_num(np.asarray(area_ha(outlines), dtype=float)) * 1e4
    kept = areas > SMALLEST_PIECE * pieces.areas_m2[places]
    places = places[kept]
    return _Pieces(outlines[kept], pieces.plots[places], seen[places], areas[kept])


def _in_lonlat(shapes: Outlines, grid: Grid) -> Outlines:
    if is_lonlat(grid.crs):
        return shapes
    unit = grid.crs.axis_info[0].unit_conversion_factor
    longest = DENSIFY_DEG if grid.crs.is_geographic else _METRES / unit
    to_lonlat = pyproj.Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    dense = shapely.segmentize(shapes, longest)
    moved: Outlines = shapely.transform(dense, to_lonlat.transform, interleaved=False)
    return moved


def _valid(shapes: Outlines) -> Outlines:
    """The same shapes; those that a change of CRS made invalid are repaired."""
    broken = ~shapely.is_valid(shapes)
    if not broken.any():
        return shapes
    shapes = shapes.copy()
    shapes[broken] = shapely.make_valid(shapes[broken], method="structure")
    return shapes


def _polygons(shape: Any) -> Any:
    """The polygons of a shape; cuts leave points and lines, too."""
    parts = shapely.get_parts(shape)
    nested = shapely.get_parts(parts)
    flat = nested[(shapely.get_type_id(nested) == _POLYGON) & ~shapely.is_empty(nested)]
    return shapely.Polygon() if not len(flat) else flat[0] if len(flat) == 1 else shapely.multipolygons(flat)


def _empty_ground(shape: Any, grid: Grid, opened: Rasters, product: Product) -> Any:
    """The cells without data under one shape as an outline in the raster's CRS, read strip by strip."""
    from rasterio.features import shapes as outlines_of
    from rasterio.windows import Window
    from rasterio.windows import transform as transform_of

    codes = [product.nodata, *product.also_nodata, product.nodata if grid.nodata is None else grid.nodata]
    west, south, east, north = shapely.bounds(shape)
    rows = np.sort((np.array([south, north]) - grid.transform.f) / grid.transform.e)
    columns = np.sort((np.array([west, east]) - grid.transform.c) / grid.transform.a)
    top, bottom = np.clip([np.floor(rows[0]), np.ceil(rows[1])], 0, grid.height).astype(int).tolist()
    left, right = np.clip([np.floor(columns[0]), np.ceil(columns[1])], 0, grid.width).astype(int).tolist()
    strip = max(1, 2**22 // max(1, right - left))
    found = []
    for first in range(top, bottom, strip):
        height = min(strip, bottom - first)
        empty = np.isin(opened.read(grid, (first, left), (height, right - left), product.nodata), codes)
        place = transform_of(Window(left, first, right - left, height), grid.transform)
        found += [
            shapely.geometry.shape(one) for one, _ in outlines_of(empty.astype(np.uint8), mask=empty, transform=place)
        ]
    return shapely.union_all(found)
