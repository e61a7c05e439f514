"""Repair of outlines that cross themselves, only where the plot stays what it was."""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geomap.findings import join_findings, make_findings
from geomap.plots.area import Floats, Geometries, area_ha, repeated_corners
from geomap.plots.checks import HOLE_OUTSIDE, has_outline, invalid_words, lost_ha, vertex_count
from geomap.plots.crossings import MOST_CROSSINGS, crosses_too_often

MAX_REPAIR_VERTICES: Final = 500
"""Together with `MOST_CROSSINGS` it bounds the time of a repair to a tenth of a second."""
MAX_AREA_CHANGE: Final = 0.01


@dataclass(frozen=True)
class Repaired:
    """Plots with repaired outlines, their hectares, and what was repaired or could not be (its outline is as drawn)."""

    plots: gpd.GeoDataFrame
    area_ha: Floats
    findings: pd.DataFrame


def repair_outlines(plots: gpd.GeoDataFrame, drawn_ha: Floats | None = None) -> Repaired:
    """Plots whose invalid outlines are repaired where that is safe, and findings on all that were invalid.

    Corners that repeat the one before are dropped first, without a finding. An invalid outline of at most 500 corners
    is then rebuilt; the result counts only if its area is within 1 % of the area as drawn (net area of the shell less
    its holes) and it has no more parts than before. A small loop at a crossing, which would become a part of its own,
    is dropped under the same 1 %. An outline whose edges meet more than a thousand times is not repaired: that alone
    bounds the time.

    Parameters
    ----------
    plots : EPSG:4326, with declared_area_ha. Coordinates are finite.
    drawn_ha : (n,) hectares as drawn (`area_ha`); measured where not given.

    Returns
    -------
    Repaired: plots in the same order; findings `repaired` (effect: repaired minus drawn), `invalid` and
    `hole_outside` (effect: all that is lost), in hectares.

    Source: GEOS MakeValid, method "structure" (shapely.make_valid).
    """
    geometry = _without_repeated_corners(plots.geometry.to_numpy())
    rows = np.flatnonzero(has_outline(geometry) & ~shapely.is_valid(geometry))
    broken = geometry[rows]
    hectares = np.array(area_ha(geometry) if drawn_ha is None else drawn_ha, dtype=float)
    drawn, words = hectares[rows], invalid_words(broken)
    few = vertex_count(broken) <= MAX_REPAIR_VERTICES
    small = few.copy()
    small[few] = ~crosses_too_often(broken[few])
    before = shapely.get_num_geometries(broken)
    made = np.full(len(broken), shapely.Polygon(), dtype=object)
    made[small] = _make_valid(broken[small])
    whole, mended = area_ha(made), _largest_parts(made, before)
    treated = area_ha(mended)
    close = _within_limit(whole, drawn)
    safe = small & close & _within_limit(treated, drawn)
    geometry[rows[safe]], hectares[rows[safe]] = mended[safe], treated[safe]

    notes = [
        f"{what}; repaired, its area went from {old:,.4f} to {new:,.4f} ha."
        for what, old, new, good in zip(words, drawn, treated, safe, strict=True)
        if good
    ]
    faults = [
        f"{what}. {_why_not(corners, crossings, near, old, new)} Draw the outline again."
        for what, corners, crossings, near, old, new, good in zip(
            words, few, small, close, drawn, whole, safe, strict=True
        )
        if not good
    ]
    lost = lost_ha(plots.iloc[rows], drawn)[~safe]
    outside = np.array([what.startswith(HOLE_OUTSIDE) for what in words], dtype=bool)[~safe]
    spoilt, texts = plots.index[rows[~safe]], np.array(faults, dtype=object)
    return Repaired(
        plots.set_geometry(gpd.GeoSeries(geometry, index=plots.index, crs=plots.crs)),
        hectares,
        join_findings(
            [
                make_findings(
                    "repaired", plots.index[rows[safe]], notes, effect_ha=(treated - drawn)[safe], action="repaired"
                ),
                *(
                    make_findings(code, spoilt[which], texts[which], effect_ha=lost[which], action="left_out")
                    for code, which in (("invalid", ~outside), ("hole_outside", outside))
                ),
            ]
        ),
    )


def _why_not(few: bool, small: bool, close: bool, drawn: float, made: float) -> str:
    if not few:
        return f"It has more than {MAX_REPAIR_VERTICES} corners, too many to repair."
    if not small:
        return f"Its edges meet each other more than {MOST_CROSSINGS:,} times; no repair can tell what was meant."
    if not close:
        return f"A repair would change its area from {drawn:,.4f} to {made:,.4f} ha, by more than 1 %."
    return "A repair would break it into more parts."


def _within_limit(area: Floats, drawn: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.abs(area - drawn) < MAX_AREA_CHANGE * drawn)


def _without_repeated_corners(geometry: Geometries) -> Geometries:
    tidy = np.array(geometry, dtype=object)
    outlined = np.flatnonzero(has_outline(geometry))
    rows = outlined[repeated_corners(geometry[outlined]) > 0]
    tidy[rows] = shapely.remove_repeated_points(geometry[rows])
    return tidy


def _make_valid(geometry: Geometries) -> Geometries:
    """Each polygon made valid; an empty one where that fails."""
    try:
        made: Geometries = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    except shapely.GEOSException:
        if len(geometry) == 1:
            return np.array([shapely.Polygon()], dtype=object)
        return np.concatenate([_make_valid(geometry[row : row + 1]) for row in range(len(geometry))])
    return made


def _largest_parts(geometry: Geometries, count: NDArray[np.int64]) -> Geometries:
    """The `count` largest polygons of each geometry, as one polygon or multipolygon."""
    parts, owner = shapely.get_parts(geometry, return_index=True)
    order = np.lexsort((-shapely.area(parts), owner))
    rank = np.empty(len(parts), dtype=np.int64)
    rank[order] = np.arange(len(parts)) - np.searchsorted(owner, owner)
    kept = (rank < count[owner]) & has_outline(parts)
    result = np.full(len(geometry), shapely.Polygon(), dtype=object)
    if kept.any():
        shapely.multipolygons(parts[kept], indices=owner[kept], out=result)
    single = shapely.get_num_geometries(result) == 1
    result[single] = shapely.get_geometry(result[single], 0)
    return result
