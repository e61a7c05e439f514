"""Overlapping ground counted once: shared equally among those who claim it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geomap.findings import Severity, join_findings, make_findings
from geomap.plots.area import Floats, Geometries, require_lonlat
from geomap.plots.area import area_ha as geodesic_ha
from geomap.plots.checks import has_outline

Rows = NDArray[np.intp]

SNAP_GRID_DEG: Final = 1e-9
"""A tenth of a millimetre: outlines are put on this grid where a GEOS operation fails on them as they are."""
NODE_GRID_DEG: Final = 1e-11
"""A micrometre: crossings of outlines are rounded to this grid, so that no line crosses another between its nodes."""
NOTHING: Final = 1e-9
"""An overlap below this share of the smaller plot is rounding of a common border."""
NAMED_COPIES: Final = 50
"""Of more identical outlines, the rest are paired with the first of them only: pairs of n copies grow by n, not n²."""
DUPLICATE_SHARE: Final = 0.95
WARN_SHARE: Final = 0.05
SILENT_SHARE: Final = 0.001
SILENT_HA: Final = 5e-4


@dataclass(frozen=True)
class Overlaps:
    """What is left of each plot when no ground counts twice.

    counted_area_ha : Series on the plots' index, hectares.
    pairs : plot_a, plot_b, overlap_ha; plot_a < plot_b, sorted.
    findings : one per pair worth naming, with plot_a.
    """

    counted_area_ha: pd.Series
    pairs: pd.DataFrame
    findings: pd.DataFrame


@dataclass(frozen=True)
class _Shapes:
    """The different outlines, and which plots (by position in order of id) have each."""

    outlines: Geometries
    areas: Floats
    of_plot: Rows
    copies: Rows


def count_once(plots: gpd.GeoDataFrame, area_ha: pd.Series) -> Overlaps:
    """Area of each plot in hectares with overlapping ground shared equally among its claimants: none counts twice.

    A claimant is a member; ground that several plots of one member cover is that member's once, shared equally by those
    plots. A plot with no member is a claimant of its own. The sum over all plots is the area of their union. Touching
    borders are no overlap. No result depends on the order of rows.

    Parameters
    ----------
    plots : EPSG:4326, index plot_id (unique); columns member_id, cooperative_id. Outlines are valid.
    area_ha : geodesic area of each plot on the same index, hectares. Plots with no outline keep it.

    Raises
    ------
    CrsError : another CRS, or none.

    Examples
    --------
    Two squares of .001 degrees that share half of their ground:

    >>> plots = gpd.GeoDataFrame(
    ...     {"member_id": ["M1", "M2"], "cooperative_id": ["C", "C"]},
    ...     geometry=[shapely.box(0, 0, 0.001, 0.001), shapely.box(0.0005, 0, 0.0015, 0.001)],
    ...     index=pd.Index(["P1", "P2"], name="plot_id"),
    ...     crs="EPSG:4326",
    ... )
    >>> once = count_once(plots, pd.Series([1.231, 1.231], index=plots.index))
    >>> once.counted_area_ha.round(2).tolist(), once.pairs["overlap_ha"].round(2).tolist()
    ([0.92, 0.92], [0.62])
    """
    require_lonlat(plots)
    ordered = plots.sort_index()
    drawn = np.flatnonzero(has_outline(ordered.geometry))
    outlined = ordered.iloc[drawn]
    area = area_ha.reindex(ordered.index).to_numpy(dtype=float)
    shapes = _different_outlines(outlined.geometry.to_numpy(), area[drawn])
    left, right, shared = _overlapping_pairs(shapes)
    crowd = _crowd(shapes, left, right)
    alone = ~(crowd[left] & crowd[right])
    lost = _lost_in_pairs(shapes, left[alone], right[alone], shared[alone])
    lost += _lost_in_faces(shapes, np.flatnonzero(crowd), _claimants(outlined))
    counted = area.copy()
    counted[drawn] = np.maximum(area[drawn] - lost, 0.0)

    a, b, overlap = _named_pairs(shapes, left, right, shared)
    ids, size = outlined.index.to_numpy(), area[drawn]
    pairs = pd.DataFrame({"plot_a": pd.Series(ids[a], dtype="str"), "plot_b": pd.Series(ids[b], dtype="str")})
    pairs["overlap_ha"] = overlap
    return Overlaps(
        pd.Series(counted, index=ordered.index, name="counted_area_ha").reindex(plots.index),
        pairs,
        _findings(pairs, np.minimum(size[a], size[b]), np.maximum(size[a], size[b])),
    )


def _claimants(plots: gpd.GeoDataFrame) -> Rows:
    """Who claims each plot, as a number: its member, or the plot itself where no member is named."""
    member, cooperative = (plots[column].fillna("").astype("str") for column in ("member_id", "cooperative_id"))
    alone = "\x1f\x1f" + plots.index.to_series()
    return np.asarray(pd.factorize((cooperative + "\x1f" + member).where(member != "", alone))[0])


def _different_outlines(geometry: Geometries, areas: Floats) -> _Shapes:
    """Collapse identical outlines, whatever corner they start from; only those in the same box are compared."""
    suspect = pd.DataFrame(shapely.bounds(geometry)).duplicated(keep=False).to_numpy()
    key = np.arange(len(geometry)).astype(object)
    key[suspect] = shapely.to_wkb(shapely.normalize(shapely.force_2d(geometry[suspect])))
    of_plot = pd.factorize(key)[0]
    _, first, copies = np.unique(of_plot, return_index=True, return_counts=True)
    return _Shapes(geometry[first], areas[first], of_plot, copies)


def _overlapping_pairs(shapes: _Shapes) -> tuple[Rows, Rows, Floats]:
    """Pairs of different outlines with ground in common, and how much in hectares."""
    outlines = shapes.outlines
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    left, right = left[left < right], right[left < right]
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    meet = ~_robust(shapely.touches, outlines[left], outlines[right])
    left, right = left[meet], right[meet]
    shared: Floats = geodesic_ha(_robust(shapely.intersection, outlines[left], outlines[right]))
    real = shared > NOTHING * np.minimum(shapes.areas[left], shapes.areas[right])
    return left[real], right[real], shared[real]


def _robust(operation: Callable[[Geometries, Geometries], Any], left: Geometries, right: Geometries) -> Any:
    try:
        return operation(left, right)
    except shapely.GEOSException:
        return operation(*(shapely.set_precision(side, SNAP_GRID_DEG) for side in (left, right)))


def _crowd(shapes: _Shapes, left: Rows, right: Rows) -> NDArray[np.bool_]:
    """Outlines with ground that three plots or more may claim: three overlap each other, or one is drawn repeatedly."""
    from scipy.sparse import coo_array

    n = len(shapes.outlines)
    ones = np.ones(2 * len(left), dtype=np.int32)
    overlaps = coo_array((ones, (np.r_[left, right], np.r_[right, left])), shape=(n, n)).tocsr()
    three = (overlaps @ overlaps).multiply(overlaps).sum(axis=1) > 0
    copied = shapes.copies > 1
    beside_copies = np.r_[left[copied[right]], right[copied[left]]]
    copied[beside_copies] = True
    return np.asarray(three | copied)


def _lost_in_pairs(shapes: _Shapes, left: Rows, right: Rows, shared: Floats) -> Floats:
    """Hectares each plot leaves to the other one where two alone overlap: half of the common ground."""
    n = len(shapes.outlines)
    lost = np.bincount(left, shared / 2, minlength=n) + np.bincount(right, shared / 2, minlength=n)
    return lost.astype(float)[shapes.of_plot]


def _lost_in_faces(shapes: _Shapes, crowd: Rows, claimant: Rows) -> Floats:
    """Hectares each plot leaves to others, from the faces into which the outlines of the crowd cut the ground."""
    faces, face, shape = _faces(shapes.outlines[crowd])
    size = geodesic_ha(faces)
    plots = np.argsort(shapes.of_plot, kind="stable")
    first = np.cumsum(shapes.copies) - shapes.copies
    face, plot = _each(face, plots, first[crowd[shape]], shapes.copies[crowd[shape]])

    holder = face * len(claimant) + claimant[plot]
    held, holding, plots_of_claimant = np.unique(holder, return_inverse=True, return_counts=True)
    claimants = np.bincount(held // len(claimant), minlength=len(faces))
    share = 1 / (claimants[face] * plots_of_claimant[holding])
    return np.bincount(plot, size[face] * (1 - share), minlength=len(claimant)).astype(float)


def _faces(outlines: Geometries) -> tuple[Geometries, Rows, Rows]:
    """The pieces into which outlines cut the ground, and which piece lies in which outline (two arrays)."""
    lines = shapely.unary_union(shapely.boundary(outlines), grid_size=NODE_GRID_DEG)
    faces: Geometries = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    shape, face = shapely.STRtree(shapely.point_on_surface(faces)).query(outlines, predicate="contains")
    order = np.lexsort((shape, face))
    return faces, face[order], shape[order]


def _each(label: Rows, items: Rows, first: Rows, count: Rows) -> tuple[Rows, Rows]:
    """`items[first : first + count]` of every label, one row each."""
    start = np.cumsum(count) - count
    place = np.arange(count.sum()) - np.repeat(start - first, count)
    return np.repeat(label, count), items[place]


def _named_pairs(shapes: _Shapes, left: Rows, right: Rows, shared: Floats) -> tuple[Rows, Rows, Floats]:
    """Pairs of plots by position, and their common ground in hectares; of many copies only the first ones are named."""
    plots = np.argsort(shapes.of_plot, kind="stable")
    first = np.cumsum(shapes.copies) - shapes.copies
    stacks = np.flatnonzero(shapes.copies > 1)
    left, right = np.r_[left, stacks], np.r_[right, stacks]
    shared = np.r_[shared, shapes.areas[stacks]]

    named = np.minimum(shapes.copies, NAMED_COPIES)
    pair, a = _each(np.arange(len(left)), plots, first[left], named[left])
    row, b = _each(np.arange(len(pair)), plots, first[right[pair]], named[right[pair]])
    a, pair = a[row], pair[row]
    wanted = (left[pair] != right[pair]) | (a < b)
    a, b, overlap = a[wanted], b[wanted], shared[pair[wanted]]

    stack, rest = _each(stacks, plots, first[stacks] + named[stacks], (shapes.copies - named)[stacks])
    a, b = np.r_[a, plots[first[stack]]], np.r_[b, rest]
    overlap = np.r_[overlap, shapes.areas[stack]]
    a, b = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((b, a))
    return a[order], b[order], overlap[order]


def _findings(pairs: pd.DataFrame, smaller: Floats, larger: Floats) -> pd.DataFrame:
    """One finding per pair of plots, from what the overlap is of the smaller and the larger of the two (hectares)."""
    overlap = pairs["overlap_ha"].to_numpy(dtype=float)
    share = overlap / smaller
    told = (share >= SILENT_SHARE) | (overlap >= SILENT_HA)
    serious, double = share > WARN_SHARE, overlap >= DUPLICATE_SHARE * larger
    messages = np.array(
        [
            f"{a} and {b} {'are the same ground twice:' if twice else 'overlap on'} {ha:,.4f} ha, {part:.1%} of the "
            "smaller plot; it counts once, shared between those who claim it."
            for a, b, ha, part, twice in zip(pairs["plot_a"], pairs["plot_b"], overlap, share, double, strict=True)
        ],
        dtype=object,
    )
    levels: list[tuple[Severity, NDArray[np.bool_]]] = [("warn", told & serious), ("note", told & ~serious)]
    return join_findings(
        make_findings(
            "overlap",
            pairs["plot_a"][rows],
            messages[rows],
            effect_ha=-overlap[rows],
            action="split",
            severity=severity,
        )
        for severity, rows in levels
    )
