"""What the cells of a layer show under outlines: sums, extremes and quantiles, each cell by the ground it covers.

Ground that several files cover counts once, as for land cover: finer cells speak first, then the file whose name comes
first. What a file leaves of a plot, the ground beyond its edge and its cells without data, is handed to the next file
as an outline. Outlines go to the raster, never the raster to the outlines.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from rasterio.windows import Window
from rasterio.windows import transform as transform_of

from geomap.landcover.layer_blocks import Cells, block_sums, quantiles_of_kept
from geomap.landcover.layer_files import LayerFiles
from geomap.landcover.mosaic import SMALLEST_PIECE
from geomap.landcover.source import Grid, is_lonlat
from geomap.plots.area import area_ha

_STRIP: Final = 2**22
"""Cells looked through at a time for those without data."""
_DENSIFY_DEG: Final = 0.001
_DENSIFY: Final = 100.0
_FEWEST_SIDES: Final = 20_000
_ROUNDING: Final = 1e-6
_POLYGON: Final = 3

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Outlines: TypeAlias = npt.NDArray[np.object_]


class Shown(NamedTuple):
    """What a layer shows under outlines, one row per outline.

    ground_ha : hectares on cells with data. mean, lowest, highest : of the values there; not finite without any.
    quantiles : one column per share asked for. nodata_ha, outside_ha : hectares without data, and beyond all files.
    touched : whether any file reaches the outline.
    """

    ground_ha: Floats
    mean: Floats
    lowest: Floats
    highest: Floats
    quantiles: Floats
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

    ground_ha: Floats
    mean: Floats
    ends: Floats  # lowest and highest value
    quantiles: Floats
    kept: list[Cells]
    nodata_ha: Floats
    touched: Mask
    empty: dict[int, Any]


def shown_under(
    outlines: Outlines,
    areas_ha: Floats,
    files: LayerFiles,
    *,
    quantiles: Sequence[float] = (),
    workers: int | None = None,
) -> Shown:
    """What a layer shows under valid outlines in longitude and latitude with these geodesic areas in hectares.

    No result depends on `workers`, nor on which outlines are asked for together.
    """
    count, reached, kept = len(outlines), np.full((len(outlines), len(quantiles)), np.nan), list[Cells]()
    nodata, touched = np.zeros(count), np.zeros(count, dtype=bool)
    ends = np.tile([np.inf, -np.inf], (count, 1))
    parts = [(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))]
    waiting = _Pieces(outlines, np.arange(count), areas_ha, np.zeros(count, dtype=bool))
    for number, grid in enumerate(files.grids, 1):
        near = _near(waiting.outlines, grid)
        if not near.any():
            continue
        here, waiting = waiting.where(near), waiting.where(~near)
        later = np.zeros(len(here.plots), dtype=bool)
        for other in files.grids[number:]:
            later |= _near(here.outlines, other)
        alone = ~later & ~touched[here.plots]
        found = _found(here, files, grid, later=later, alone=alone, quantiles=quantiles, workers=workers)
        known = found.ground_ha > 0
        parts.append((here.plots[known], found.ground_ha[known], found.mean[known]))
        np.minimum.at(ends[:, 0], here.plots, found.ends[:, 0])
        np.maximum.at(ends[:, 1], here.plots, found.ends[:, 1])
        reached[here.plots[alone]] = found.quantiles[alone]
        kept += [cells._replace(owners=here.plots[cells.owners]) for cells in found.kept]
        touched[here.plots[found.touched]] = True
        empty_here = np.where(later, 0.0, found.nodata_ha + np.where(here.seen, _beyond(here, found), 0.0))
        np.add.at(nodata, here.plots, empty_here)
        waiting = _joined([waiting, _left_over(here, found, later, grid)])
    np.add.at(nodata, waiting.plots[waiting.seen], waiting.areas_ha[waiting.seen])
    owners, of_kept = quantiles_of_kept(kept, quantiles, workers=workers)
    reached[owners] = of_kept
    ground, mean = _means(parts, count)
    outside = areas_ha - nodata - ground
    outside = np.where(outside > _ROUNDING * areas_ha, outside, 0.0)
    return Shown(ground, mean, ends[:, 0], ends[:, 1], reached, nodata, outside, touched)


def _found(
    pieces: _Pieces,
    files: LayerFiles,
    grid: Grid,
    *,
    later: Mask,
    alone: Mask,
    quantiles: Sequence[float],
    workers: int | None,
) -> _Found:
    """What one file shows: hectares are the piece's own, shared out by covered share × area of the cell."""
    sums = block_sums(pieces.outlines, files, grid, alone=alone, wanted=quantiles, workers=workers)
    share, weight, known, total, empty = sums.sums.T
    beyond = np.where(sums.planar - share > _ROUNDING * sums.planar, sums.planar - share, 0.0)
    area = grid.cell_areas()[0]
    middle = np.clip((sums.box[:, 0] + sums.box[:, 1] - 1) // 2, 0, grid.height - 1)
    whole, touched = weight + beyond * area[middle], share > 0
    scale = np.divide(pieces.areas_ha, whole, out=np.zeros(len(whole)), where=touched)
    return _Found(
        known * scale,
        np.clip(  # rounding takes no mean beyond its values: cells of 1,000 m are 1,000 m, and not 999.999…
            np.divide(total, known, out=np.full(len(known), np.nan), where=known > 0), *sums.ends.T
        ),
        sums.ends,
        sums.quantiles,
        [cells._replace(weights=cells.weights * np.repeat(scale[cells.owners], cells.counts)) for cells in sums.kept],
        empty * scale,
        touched,
        {place: _empty_ground(sums.box[place], files, grid) for place in np.flatnonzero(later & (empty > 0)).tolist()},
    )


def _empty_ground(box: Ints, files: LayerFiles, grid: Grid) -> Any:
    """The cells without data of a window as an outline in degrees, read strip by strip."""
    top, bottom, left, right = box.tolist()
    rows = max(1, _STRIP // (right - left))
    parts = []
    for first in range(top, bottom, rows):
        values = files.read(grid, (first, left), (min(rows, bottom - first), right - left))
        parts.append(outline_of_cells(~np.isfinite(values), (first, left), grid))
    return shapely.union_all(parts)


def _means(parts: Sequence[tuple[Ints, Floats, Floats]], count: int) -> tuple[Floats, Floats]:
    """Hectares with data of each outline, and the mean of its values; that of a single piece as it is."""
    plots, hectares, means = (np.concatenate(column) for column in zip(*parts, strict=True))
    pieces = np.bincount(plots, minlength=count)
    ground, total, alone = (
        np.bincount(plots, weights, minlength=count).astype(float) for weights in (hectares, hectares * means, means)
    )
    mean = np.divide(total, ground, out=np.full(count, np.nan), where=ground > 0)
    return ground, np.where(pieces == 1, alone, mean)


def _beyond(pieces: _Pieces, found: _Found) -> Floats:
    """Hectares of each piece that the file does not reach."""
    return np.maximum(pieces.areas_ha - found.ground_ha - found.nodata_ha, 0.0)


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


def outline_of_cells(mask: Mask, corner: tuple[int, int], grid: Grid) -> Any:
    """The masked cells of a window, whose corner is given as row and column, as an outline in degrees."""
    from rasterio.features import shapes as outlines_of

    place = transform_of(Window(corner[1], corner[0], mask.shape[1], mask.shape[0]), grid.transform)
    found = [shapely.geometry.shape(one) for one, _ in outlines_of(mask.astype(np.uint8), mask=mask, transform=place)]
    return shapely.union_all(_lonlat(np.array(found, dtype=object), grid)) if found else shapely.Polygon()
