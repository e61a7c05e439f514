"""Overlapping ground counted once: shared equally among those who claim it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geomap.engine import ordered_map
from geomap.findings import Severity, join_findings, make_findings
from geomap.plots.area import Floats, Geometries, require_lonlat
from geomap.plots.area import area_ha as geodesic_ha
from geomap.plots.checks import has_outline
from geomap.plots.shares import CHUNK, Rows, Shapes, each, lost_ha, robust

NOTHING: Final = 1e-9
"""An overlap below this share of the smaller plot is rounding of a common border."""
NAMED_COPIES: Final = 50
"""Of more identical outlines, the rest are paired with the first of them only: pairs of n copies grow by n, not n²."""
DUPLICATE_SHARE: Final = 0.95
WARN_SHARE: Final = 0.05
SILENT_SHARE: Final = 0.001
SILENT_HA: Final = 5e-4
CONTAINED_SHARE: Final = 0.99
OVERLAP_CODES: Final = ("duplicate_plot", "contained_plot", "overlap_cooperatives", "overlap_own", "overlap")
LEVELS: Final[tuple[Severity, ...]] = ("warn", "note")


@dataclass(frozen=True)
class Overlaps:
    """What is left of each plot when no ground counts twice.

    counted_area_ha : Series on the plots' index, hectares.
    pairs : plot_a, plot_b, overlap_ha; plot_a < plot_b, sorted.
    findings : one per pair worth naming, two where the cooperatives differ; effects add up to the ground lost.
    """

    counted_area_ha: pd.Series
    pairs: pd.DataFrame
    findings: pd.DataFrame


@dataclass(frozen=True)
class _Pairs:
    """Pairs of plots by position, and the hectares that both hold."""

    a: Rows
    b: Rows
    common: Floats


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
    lost = lost_ha(shapes, left, right, shared, _claimants(outlined))
    counted = area.copy()
    counted[drawn] = np.maximum(area[drawn] - lost, 0.0)

    named = _Pairs(*_named_pairs(shapes, left, right, shared))
    ids = outlined.index.to_numpy()
    pairs = pd.DataFrame(
        {"plot_a": pd.Series(ids[named.a], dtype="str"), "plot_b": pd.Series(ids[named.b], dtype="str")}
    )
    pairs["overlap_ha"] = named.common
    return Overlaps(
        pd.Series(counted, index=ordered.index, name="counted_area_ha").reindex(plots.index),
        pairs,
        _findings(outlined, named, area[drawn], area[drawn] - counted[drawn]),
    )


def _claimants(plots: gpd.GeoDataFrame) -> Rows:
    """Who claims each plot, as a number: its member, or the plot itself where no member is named."""
    member, cooperative = (plots[column].fillna("").astype("str") for column in ("member_id", "cooperative_id"))
    alone = "\x1f\x1f" + plots.index.to_series()
    return np.asarray(pd.factorize((cooperative + "\x1f" + member).where(member != "", alone))[0])


def _different_outlines(geometry: Geometries, areas: Floats) -> Shapes:
    """Collapse identical outlines, whatever corner they start from; only those in the same box are compared."""
    suspect = pd.DataFrame(shapely.bounds(geometry)).duplicated(keep=False).to_numpy()
    key = np.arange(len(geometry)).astype(object)
    key[suspect] = shapely.to_wkb(shapely.normalize(shapely.force_2d(geometry[suspect])))
    of_plot = pd.factorize(key)[0]
    _, first, copies = np.unique(of_plot, return_index=True, return_counts=True)
    plots = np.argsort(of_plot, kind="stable")
    return Shapes(geometry[first], areas[first], of_plot, copies, plots, np.cumsum(copies) - copies)


def _overlapping_pairs(shapes: Shapes) -> tuple[Rows, Rows, Floats]:
    """Pairs of different outlines with ground in common, and how much in hectares."""
    outlines = shapes.outlines
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    left, right = left[left < right], right[left < right]
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    chunks = [slice(start, start + CHUNK) for start in range(0, len(left), CHUNK)]
    shared = [np.zeros(0), *ordered_map(lambda some: _shared_ha(outlines[left[some]], outlines[right[some]]), chunks)]
    common = np.concatenate(shared)
    real = common > NOTHING * np.minimum(shapes.areas[left], shapes.areas[right])
    return left[real], right[real], common[real]


def _shared_ha(left: Geometries, right: Geometries) -> Floats:
    shared = np.zeros(len(left))
    meet = np.flatnonzero(~robust(shapely.touches, left, right))
    shared[meet] = np.nan_to_num(geodesic_ha(robust(shapely.intersection, left[meet], right[meet])))
    return shared


def _named_pairs(shapes: Shapes, left: Rows, right: Rows, shared: Floats) -> tuple[Rows, Rows, Floats]:
    """Pairs of plots by position, and their common ground in hectares; of many copies only the first ones are named."""
    plots, first = shapes.plots, shapes.first
    stacks = np.flatnonzero(shapes.copies > 1)
    left, right = np.r_[left, stacks], np.r_[right, stacks]
    shared = np.r_[shared, shapes.areas[stacks]]

    named = np.minimum(shapes.copies, NAMED_COPIES)
    pair, a = each(np.arange(len(left)), plots, first[left], named[left])
    row, b = each(np.arange(len(pair)), plots, first[right[pair]], named[right[pair]])
    a, pair = a[row], pair[row]
    wanted = (left[pair] != right[pair]) | (a < b)
    a, b, overlap = a[wanted], b[wanted], shared[pair[wanted]]

    stack, rest = each(stacks, plots, first[stacks] + named[stacks], (shapes.copies - named)[stacks])
    a, b = np.r_[a, plots[first[stack]]], np.r_[b, rest]
    overlap = np.r_[overlap, shapes.areas[stack]]
    a, b = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((b, a))
    return a[order], b[order], overlap[order]


def _findings(plots: gpd.GeoDataFrame, pairs: _Pairs, area: Floats, lost: Floats) -> pd.DataFrame:
    """One finding per pair worth naming; one for each side where the cooperatives differ.

    What a plot leaves to others is laid on its pairs by their common ground, so that effects add up to the ground that
    is not counted twice.
    """
    a, b, common = pairs.a, pairs.b, pairs.common
    weight = np.zeros(len(area)) + np.bincount(a, common, len(area)) + np.bincount(b, common, len(area))
    rate = np.divide(lost, weight, out=np.zeros(len(area)), where=weight > 0)
    from_a, from_b = -rate[a] * common, -rate[b] * common
    smaller, larger = np.minimum(area[a], area[b]), np.maximum(area[a], area[b])
    share = common / smaller
    told = (share >= SILENT_SHARE) | (common >= SILENT_HA)
    level = np.where(share > WARN_SHARE, "warn", "note")
    member, cooperative = (plots[name].fillna("").to_numpy(dtype=object) for name in ("member_id", "cooperative_id"))
    foreign = cooperative[a] != cooperative[b]
    kind = np.select(
        [
            foreign,
            common >= DUPLICATE_SHARE * larger,
            share >= CONTAINED_SHARE,
            (member[a] == member[b]) & (member[a] != ""),
        ],
        ["overlap_cooperatives", "duplicate_plot", "contained_plot", "overlap_own"],
        "overlap",
    )
    inner = (kind == "contained_plot") & (area[b] < area[a])
    one, other = np.where(inner, b, a), np.where(inner, a, b)
    effect = from_a + from_b
    effect[foreign] = from_a[foreign]
    back = np.flatnonzero(foreign & told)
    row = np.r_[np.flatnonzero(told), back]
    one, other = np.r_[one[told], b[back]], np.r_[other[told], a[back]]
    effect = np.r_[effect[told], from_b[back]]
    ids = plots.index.to_numpy()
    whose = {"overlap_own": member, "overlap_cooperatives": cooperative}
    messages = [
        _words(code, ids[[this, that]], ha, part, whose.get(code, member)[[this, that]])
        for code, this, that, ha, part in zip(kind[row], one, other, common[row], share[row], strict=True)
    ]
    return _table(kind[row], level[row], ids[one], messages, effect)


def _words(code: str, plots: Any, ha: float, share: float, owners: Any) -> str:
    size = f"{ha:,.4f} ha, {share:.1%} of the smaller plot"
    (plot, other), (first, second) = plots, owners
    if code == "duplicate_plot":
        return f"{plot} and {other} are the same ground twice: {size}; it counts once. {_who(first, second)}"
    if code == "contained_plot":
        return f"{plot} lies inside {other}: {size}; this ground counts once. {_who(first, second)}"
    if code == "overlap_own":
        return (
            f"{plot} and {other} overlap on {size}; member {first} drew both and it counts once. Keep the better one."
        )
    if code == "overlap_cooperatives":
        return (
            f"{plot} of {first or 'no cooperative'} and {other} of {second or 'no cooperative'} overlap on {size}; "
            "it is shared between them. Ask the member to whom its harvest goes."
        )
    return f"{plot} and {other} overlap on {size}; it counts once, shared between both. {_who(first, second)}"


def _who(first: str, second: str) -> str:
    if not (first and second):
        return "Look at both outlines on the map."
    if first == second:
        return f"Both are of member {first}: leave one out."
    return f"Ask members {first} and {second} whose it is, or whether they share it."


def other_plot(message: str, plot: str, candidates: Iterable[str]) -> str:
    """The other plot that a finding on an overlap is about, out of those that `plot` overlaps; "" where none is.

    Examples
    --------
    >>> other_plot("P1 lies inside P10: 0.5 ha", "P1", ["P2", "P10"])
    'P10'
    """
    for other in candidates:
        starts = f"{plot} and {other} overlap on ", f"{plot} and {other} are the ", f"{plot} lies inside {other}: "
        if message.startswith(starts) or (message.startswith(f"{plot} of ") and f" and {other} of " in message):
            return other
    return ""


def _table(codes: Any, levels: Any, ids: Any, messages: list[str], effect: Floats) -> pd.DataFrame:
    texts = np.array(messages, dtype=object)
    groups = [(code, level, (codes == code) & (levels == level)) for code in OVERLAP_CODES for level in LEVELS]
    return join_findings(
        make_findings(code, ids[rows], texts[rows], effect_ha=effect[rows], action="split", severity=level)
        for code, level, rows in groups
    )
