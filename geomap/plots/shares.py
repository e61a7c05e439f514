"""How much ground each plot leaves to others where outlines overlap: exact, and bounded in memory.

Ground that n claimants claim goes to each of them by 1/n; a claimant's part goes to its own plots in equal parts.
Where at most four outlines lie on one another, the areas of their intersections tell (inclusion and exclusion).
Elsewhere, and where outlines are identical, the ground is cut along all outlines and every piece is asked who lies on
it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geomap.engine import ordered_map
from geomap.plots.area import Floats, Geometries
from geomap.plots.area import area_ha as geodesic_ha

Rows = NDArray[np.intp]

SNAP_GRID_DEG: Final = 1e-9
"""A tenth of a millimetre: outlines are put on this grid where a GEOS operation fails on them as they are."""
NODE_GRID_DEG: Final = 1e-11
"""A micrometre: crossings of outlines are rounded to this grid, so that no line crosses another between its nodes."""
MOST_NEIGHBOURS: Final = 16
"""An outline that overlaps more others than this is cut into pieces at once."""
MOST_ON_ONE_SPOT: Final = 4
CHUNK: Final = 20_000
"""Intersections made at a time."""
BATCH: Final = 400
"""Outlines cut into pieces at a time, unless more of them hang together."""
OUTLINES_PER_TILE: Final = 100
TILES: Final = 3
"""Where more outlines than this are cut at once, their ground is divided into 3 × 3 tiles."""
CELLS: Final = 4_000_000
"""Answers, one for a plot and a piece, held at a time."""


@dataclass(frozen=True)
class Shapes:
    """The different outlines, and which plots (by position in order of id) have each.

    outlines, areas : (s,) polygons and their hectares.
    of_plot : (n,) outline of each plot.
    copies : (s,) how many plots have it.
    plots, first : (n,) plots in order of their outline, and (s,) where those of each outline start.
    """

    outlines: Geometries
    areas: Floats
    of_plot: Rows
    copies: Rows
    plots: Rows
    first: Rows


def robust(operation: Callable[[Geometries, Geometries], Any], left: Geometries, right: Geometries) -> Any:
    """The operation on both sides; on a grid of a tenth of a millimetre where GEOS fails on them as they are."""
    try:
        return operation(left, right)
    except shapely.GEOSException:
        return operation(*(shapely.set_precision(side, SNAP_GRID_DEG) for side in (left, right)))


def each(label: Rows, items: Rows, first: Rows, count: Rows) -> tuple[Rows, Rows]:
    """`items[first : first + count]` of every label, one row each."""
    start = np.cumsum(count) - count
    place = np.arange(count.sum()) - np.repeat(start - first, count)
    return np.repeat(label, count), items[place]


@dataclass(frozen=True)
class _Graph:
    """Which outlines overlap: for each outline the ones after it, in order, and all pairs as sorted keys."""

    after: Rows
    first: Rows
    count: Rows
    keys: Rows

    def beyond(self, one: Rows) -> tuple[Rows, Rows]:
        """Row of `one`, and an overlapping outline after it, for all of these."""
        return each(np.arange(len(one)), self.after, self.first[one], self.count[one])

    def has(self, one: Rows, other: Rows) -> NDArray[np.bool_]:
        """Whether these overlap; `one` before `other`."""
        key = one * len(self.first) + other
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.asarray(self.keys[place] == key)


def _graph(n: int, left: Rows, right: Rows) -> _Graph:
    order = np.lexsort((right, left))
    count = np.bincount(left, minlength=n)
    return _Graph(right[order], np.cumsum(count) - count, count, (left * n + right)[order])


def lost_ha(shapes: Shapes, left: Rows, right: Rows, shared: Floats, claimant: Rows) -> Floats:
    """Hectares that each plot leaves to others.

    Parameters
    ----------
    left, right, shared : pairs of different outlines (left < right) and the hectares that both hold.
    claimant : (n,) who claims each plot, as a number.
    """
    n = len(shapes.outlines)
    many = _many(shapes, left, right)
    free = ~(many[left] | many[right])
    claim = np.zeros(n, dtype=np.intp)
    claim[shapes.of_plot] = claimant
    graph = _graph(n, left[free], right[free])
    by_shape = _lost_in_sets(np.column_stack([left, right])[free], shared[free], claim, n)
    dense = many.copy()
    dense[np.r_[left[many[right]], right[many[left]]]] = True
    for lost, on_one_spot in ordered_map(lambda pairs: _deeper(shapes, pairs, graph, claim), _triple_chunks(graph)):
        by_shape += lost
        dense[on_one_spot] = True
    lost_by_plot = by_shape[shapes.of_plot]
    in_pieces = dense[shapes.of_plot]
    lost_by_plot[in_pieces] = 0.0
    tasks = (
        (inside, around, tile)
        for inside, around in _batches(n, left, right, dense)
        for tile in _tiles(shapes.outlines[inside])
    )
    for plots, lost in ordered_map(lambda task: _lost_in_pieces(shapes, *task, claimant), tasks):
        lost_by_plot[plots] += lost
    return lost_by_plot


def _many(shapes: Shapes, left: Rows, right: Rows) -> NDArray[np.bool_]:
    """Outlines with many neighbours or with several plots."""
    n = len(shapes.outlines)
    neighbours = np.bincount(left, minlength=n) + np.bincount(right, minlength=n)
    return np.asarray((neighbours > MOST_NEIGHBOURS) | (shapes.copies > 1))


def _triple_chunks(graph: _Graph) -> Iterator[Rows]:
    """Sets of three outlines that all overlap each other, some thousand at a time, sorted."""
    one = graph.keys // max(len(graph.first), 1)
    for start in range(0, len(one), CHUNK):
        first, second = one[start : start + CHUNK], graph.after[start : start + CHUNK]
        row, third = graph.beyond(second)
        real = graph.has(first[row], third)
        if real.any():
            yield np.column_stack([first[row], second[row], third])[real]


def _deeper(shapes: Shapes, sets: Rows, graph: _Graph, claim: Rows) -> tuple[Floats, Rows]:
    """What three and four outlines on one spot change for each, and the outlines of spots with five."""
    n = len(shapes.outlines)
    pair, which = np.unique(sets[:, 0] * n + sets[:, 1], return_inverse=True)
    ground = robust(shapely.intersection, shapes.outlines[pair // n], shapes.outlines[pair % n])[which]
    lost = np.zeros(n)
    while len(sets) and sets.shape[1] <= MOST_ON_ONE_SPOT:
        ground = robust(shapely.intersection, ground, shapes.outlines[sets[:, -1]])
        size = np.nan_to_num(geodesic_ha(ground))
        sets, ground, size = sets[size > 0], ground[size > 0], size[size > 0]
        lost += _lost_in_sets(sets, size, claim, n)
        row, last = graph.beyond(sets[:, -1])
        real = np.ones(len(row), dtype=bool)
        for column in sets[row, :-1].T:
            real &= graph.has(column, last)
        sets, ground = np.column_stack([sets[row], last])[real], ground[row[real]]
    return lost, np.unique(sets)


def _lost_in_sets(sets: Rows, size: Floats, claim: Rows, n: int) -> Floats:
    """What the common ground of each set of outlines changes for each of them, in hectares.

    An outline's part of a spot is g = 1 / (claimants · plots of its own claimant). Summed over all sets S that hold it,
    area(S) · Σ over its subsets T of (−1)^(|S|−|T|) g(T) is the part it keeps.
    """
    k = sets.shape[1]
    same = claim[sets][:, :, None] == claim[sets][:, None, :]
    weight = np.zeros(sets.shape)
    for mask in range(1, 2**k):
        inside = np.array([mask >> place & 1 for place in range(k)], dtype=bool)
        own = same[:, :, inside].sum(axis=2)
        claimants = (1 / np.maximum(own, 1))[:, inside].sum(axis=1)
        weight[:, inside] += (-1) ** (k - inside.sum()) / (claimants[:, None] * own[:, inside])
    return np.bincount(sets.ravel(), (-weight * size[:, None]).ravel(), minlength=n).astype(float)


def _batches(n: int, left: Rows, right: Rows, dense: NDArray[np.bool_]) -> Iterator[tuple[Rows, Rows]]:
    """Dense outlines that hang together, and with them all that overlap one of them, some hundred at a time."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    inner = dense[left] & dense[right]
    links = coo_array((np.ones(inner.sum(), dtype=np.int8), (left[inner], right[inner])), shape=(n, n))
    members = np.flatnonzero(dense)
    if not len(members):
        return
    group = connected_components(links, directed=False)[1]
    members = members[np.argsort(group[members], kind="stable")]
    sizes = np.unique(group[members], return_counts=True)[1]
    number = np.repeat((np.cumsum(sizes) - 1) // BATCH, sizes)
    batch = np.full(n, -1)
    batch[members] = number
    one, other = np.r_[left, right], np.r_[right, left]
    order = np.argsort(batch[one], kind="stable")
    edge_batch, other = batch[one][order], other[order]
    for this in np.unique(number):
        inside = members[slice(*np.searchsorted(number, [this, this + 1]))]
        yield inside, np.union1d(inside, other[slice(*np.searchsorted(edge_batch, [this, this + 1]))])


def _tiles(outlines: Geometries) -> list[shapely.Polygon]:
    """The ground of some outlines: in one tile where they are few, else in several, which take less memory."""
    west, south, east, north = shapely.total_bounds(outlines)
    step = 1 if len(outlines) < OUTLINES_PER_TILE else TILES
    lon, lat = np.linspace(west, east, step + 1), np.linspace(south, north, step + 1)
    return [shapely.box(lon[i], lat[j], lon[i + 1], lat[j + 1]) for i in range(step) for j in range(step)]


def _lost_in_pieces(
    shapes: Shapes, inside: Rows, around: Rows, tile: shapely.Polygon, claimant: Rows
) -> tuple[Rows, Floats]:
    """Plots of the outlines `inside`, and the hectares that each leaves to others within the tile, from its pieces."""
    shapely.prepare(tile)
    around = around[shapely.intersects(tile, shapes.outlines[around])]
    if not len(around):
        return around, np.zeros(0)
    outlines = shapes.outlines[around]
    pieces = _pieces(outlines, tile)
    size, spot = geodesic_ha(pieces), shapely.get_coordinates(shapely.point_on_surface(pieces))
    row, plot = each(np.arange(len(around)), shapes.plots, shapes.first[around], shapes.copies[around])
    order = np.argsort(claimant[plot], kind="stable")
    row, plot = row[order], plot[order]
    starts = np.flatnonzero(np.r_[True, np.diff(claimant[plot]) != 0])
    own_row = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(plot)]))
    lost = np.zeros(len(plot))
    shapely.prepare(outlines)
    step = max(1, CELLS // len(plot))
    for start in range(0, len(pieces), step):
        some = slice(start, start + step)
        on = np.stack([shapely.contains_xy(outline, spot[some]) for outline in outlines])[row]
        plots_of_claimant = np.add.reduceat(on, starts, axis=0, dtype=np.int32)
        claimants = np.count_nonzero(plots_of_claimant, axis=0)
        part = claimants * np.maximum(plots_of_claimant, 1)[own_row]
        lost += ((1 - 1 / np.maximum(part, 1)) * on) @ size[some]
    wanted = np.isin(shapes.of_plot[plot], inside)
    return plot[wanted], lost[wanted]


def _pieces(outlines: Geometries, tile: shapely.Polygon) -> Geometries:
    """The pieces into which outlines cut the tile."""
    edges = robust(shapely.intersection, shapely.boundary(outlines), np.broadcast_to(tile, outlines.shape))
    lines = shapely.unary_union([*edges, tile.boundary], grid_size=NODE_GRID_DEG)
    pieces: Geometries = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    return pieces
