"""Checks of plots before anything is measured: each returns findings, and a blocking finding keeps its plot out."""

import re
from collections.abc import Iterable
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geomap.findings import join_findings, make_findings
from geomap.lookup import is_among
from geomap.plots.area import Floats, Geometries

MAX_AREA_HA: Final = 10_000.0
MAX_VERTICES: Final = 10_000
MOST_TIMES: Final = 2.0
POINT_LIMIT_HA: Final = 4.0
"""Beyond it the EU deforestation rules ask for an outline (Regulation 2023/1115, article 2 (28))."""
COMPARED: Final = 5
"""Plots with both areas from which on their sums say something."""
MIN_AREA_HA: Final = 1e-4
"""One square metre: below it an outline encloses nothing."""

HOLE_OUTSIDE: Final = "A hole lies outside the outline"
_REASON = re.compile(r"^(?P<what>[^\[]*)\[(?P<lon>\S+) (?P<lat>\S+)\]$")
_PLAIN_WORDS: Final = {
    "Self-intersection": "The outline crosses itself",
    "Ring Self-intersection": "The outline touches itself",
    "Hole lies outside shell": HOLE_OUTSIDE,
    "Holes are nested": "A hole lies inside another hole",
    "Interior is disconnected": "Holes cut the plot into pieces",
    "Nested shells": "One part of the plot lies inside another",
    "Duplicate Rings": "A ring is drawn twice",
    "Too few points in geometry component": "A ring has fewer than three corners",
}


def has_outline(geometry: Geometries | gpd.GeoSeries) -> NDArray[np.bool_]:
    """Whether each geometry is a polygon or multipolygon with at least one ring."""
    array = np.asarray(geometry, dtype=object)
    outline: NDArray[np.bool_] = np.isin(shapely.get_type_id(array), (3, 6)) & ~shapely.is_empty(array)
    return outline


def has_declared_area(plots: gpd.GeoDataFrame) -> NDArray[np.bool_]:
    """Whether each plot has a declared area above zero."""
    return np.asarray(plots["declared_area_ha"].to_numpy(dtype=float) > 0)


def vertex_count(geometry: Geometries) -> NDArray[np.int64]:
    """Corners of each polygon, all rings together; the closing point of a ring is not a corner of its own."""
    parts, owner = shapely.get_parts(geometry, return_index=True)
    rings = np.bincount(owner, shapely.get_num_interior_rings(parts) + 1, minlength=len(geometry))
    return np.asarray(shapely.get_num_coordinates(geometry) - rings.astype(np.int64))


def invalid_words(geometry: Geometries) -> list[str]:
    """What is wrong with each invalid polygon and where, in plain words with longitude and latitude.

    Examples
    --------
    >>> invalid_words(np.array([shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])]))
    ['The outline crosses itself at 0.500000, 0.500000 (longitude, latitude)']
    """
    return [_in_words(reason) for reason in shapely.is_valid_reason(geometry)]


def _in_words(reason: str) -> str:
    match = _REASON.match(reason)
    if match is None:
        return f"The outline is not valid ({reason})"
    what = _PLAIN_WORDS.get(match["what"], f"The outline is not valid ({match['what']})")
    return f"{what} at {float(match['lon']):.6f}, {float(match['lat']):.6f} (longitude, latitude)"


def lost_ha(plots: gpd.GeoDataFrame, drawn_ha: Any = np.nan) -> Floats:
    """What leaving out each plot changes, in hectares: minus its declared area, or minus the area as drawn."""
    declared = plots["declared_area_ha"].to_numpy(dtype=float)
    return -np.where(has_declared_area(plots), declared, np.asarray(drawn_ha, dtype=float))


def left_out_findings(
    plots: gpd.GeoDataFrame, bad: Any, code: str, messages: Any, drawn_ha: Any = np.nan
) -> pd.DataFrame:
    """Findings that leave out the plots `bad` (a mask or positions), each with the hectares that this costs."""
    effect = np.broadcast_to(lost_ha(plots, drawn_ha), len(plots))[bad]
    return make_findings(code, plots.index[bad], messages, effect_ha=effect, action="left_out")


def check_coordinates(plots: gpd.GeoDataFrame) -> pd.DataFrame:
    """Blocking findings for plots with a coordinate that is no number, infinite, or outside ±180 / ±90 degrees."""
    lonlat, owner = shapely.get_coordinates(plots.geometry.to_numpy(), return_index=True)
    wrong = ~((np.abs(lonlat[:, 0]) <= 180) & (np.abs(lonlat[:, 1]) <= 90))
    rows, first = np.unique(owner[wrong], return_index=True)
    messages = [
        f"The coordinate {lon:.10g}, {lat:.10g} is no longitude and latitude; write decimal degrees."
        for lon, lat in lonlat[wrong][first]
    ]
    return left_out_findings(plots, rows, "out_of_range", messages)


def check_empty(plots: gpd.GeoDataFrame) -> pd.DataFrame:
    """Blocking findings for plots with no outline, no declared area and no hives."""
    with_hives = plots["hives"].to_numpy(dtype=float) > 0
    bad = ~(has_outline(plots.geometry) | has_declared_area(plots) | with_hives)
    return left_out_findings(
        plots, bad, "empty", "Neither an outline nor a declared area nor hives; draw the plot or declare its area."
    )


def check_vertices(plots: gpd.GeoDataFrame) -> pd.DataFrame:
    """Blocking findings for outlines with more than 10,000 corners."""
    corners = np.where(has_outline(plots.geometry), shapely.get_num_coordinates(plots.geometry.to_numpy()), 0)
    bad = np.flatnonzero(corners > MAX_VERTICES)
    corners = vertex_count(plots.geometry.to_numpy()[bad])
    bad, corners = bad[corners > MAX_VERTICES], corners[corners > MAX_VERTICES]
    messages = [f"The outline has {count:,} corners, more than {MAX_VERTICES:,}; simplify it." for count in corners]
    return left_out_findings(plots, bad, "too_many_vertices", messages)


def check_size(plots: gpd.GeoDataFrame, drawn_ha: Floats) -> pd.DataFrame:
    """Blocking findings for plots beyond 10,000 ha, and for outlines that enclose less than a square metre.

    Parameters
    ----------
    drawn_ha : (n,) hectares within each outline as drawn (`area_ha`); NaN where there is none.
    """
    size = np.where(has_outline(plots.geometry), drawn_ha, plots["declared_area_ha"].to_numpy(dtype=float))
    large = size > MAX_AREA_HA
    words = [f"{area:,.0f} ha is more than {MAX_AREA_HA:,.0f} ha, too much for one plot." for area in size[large]]
    flat = np.flatnonzero(_encloses_nothing(plots.geometry.to_numpy(), drawn_ha))
    few = np.array(
        [len(np.unique(shapely.get_coordinates(plots.geometry.iloc[row]), axis=0)) < 3 for row in flat], bool
    )
    return join_findings(
        [
            left_out_findings(plots, large, "too_large", words),
            left_out_findings(plots, flat[~few], "no_area", "The outline encloses no area; draw it again.", drawn_ha),
            left_out_findings(
                plots,
                flat[few],
                "too_few_points",
                "The outline has fewer than three different corners; walk it again, or give a point and its area.",
                drawn_ha,
            ),
        ]
    )


def _encloses_nothing(geometry: Geometries, drawn_ha: Floats) -> NDArray[np.bool_]:
    """A bow-tie has no net area either, yet is drawn around something: an invalid ring counts by its convex hull."""
    flat = has_outline(geometry) & (drawn_ha < MIN_AREA_HA)
    rows = np.flatnonzero(flat)
    suspects = geometry[rows]
    # A corner is about 1e5 m per degree away from the next, so 1e-10 square degrees are about one square metre.
    flat[rows] = shapely.is_valid(suspects) | (shapely.area(shapely.convex_hull(suspects)) < 1e-10)
    return flat


def check_valid(plots: gpd.GeoDataFrame, drawn_ha: Any = np.nan) -> pd.DataFrame:
    """Blocking findings for invalid outlines, each with what is wrong and where; see `repair_outlines` for a cure."""
    bad = np.flatnonzero(has_outline(plots.geometry) & ~shapely.is_valid(plots.geometry.to_numpy()))
    messages = [f"{words}; draw it again." for words in invalid_words(plots.geometry.to_numpy()[bad])]
    return left_out_findings(plots, bad, "invalid", messages, drawn_ha)


def check_declared(plots: gpd.GeoDataFrame, area_ha: Floats) -> pd.DataFrame:
    """Findings where declared and mapped area differ by more than 2, and on both sums where these are a tenth apart.

    Also for plots without an outline that declare more than 4 ha.

    Parameters
    ----------
    area_ha : (n,) mapped hectares; NaN where there is no outline.
    """
    declared = plots["declared_area_ha"].to_numpy(dtype=float)
    both = np.flatnonzero(has_declared_area(plots) & (area_ha > 0))
    ratio = area_ha[both] / declared[both]
    rows = both[(ratio > MOST_TIMES) | (ratio < 1 / MOST_TIMES)]
    words = [
        f"{said:,.2f} ha are declared, {mapped:,.2f} ha are mapped. Ask what the declared area is about, and its unit; "
        "walk again if a part is missing. The mapped area counts."
        for said, mapped in zip(declared[rows], area_ha[rows], strict=True)
    ]
    large = np.isnan(area_ha) & (declared > POINT_LIMIT_HA)
    needed = [f"{said:,.2f} ha are declared and there is no outline. Walk the plot." for said in declared[large]]
    sums = float(declared[both].sum()), float(area_ha[both].sum())
    apart = len(both) >= COMPARED and abs(sums[1] - sums[0]) > 0.1 * sums[0]
    told = (
        f"{len(both):,} plots have both areas: {sums[0]:,.2f} ha declared, {sums[1]:,.2f} ha mapped, "
        f"{sums[1] / sums[0]:.0%} of it. Check the unit of the declared areas."
        if apart
        else ""
    )
    return join_findings(
        [
            make_findings("area_differs", plots.index[rows], words),
            make_findings("polygon_needed", plots.index[large], needed),
            make_findings("area_ratio", [""] * apart, told),
        ]
    )


def check_members(plots: gpd.GeoDataFrame, members: pd.DataFrame, sharers: Iterable[str] = ()) -> pd.DataFrame:
    """Findings for usable plots that no member owns, and for members with no usable plot.

    A member's finding has an empty plot_id, as it belongs to no plot.

    Parameters
    ----------
    plots : usable plots only.
    members : index member_id, column declared_area_ha.
    sharers : members who have a share of a plot that carries another member's id.
    """
    orphans = plots[~is_among(plots["member_id"], members.index)]
    words = [
        f"Member {member} is not in the members file; add the member or correct the id."
        if member
        else "The plot names no member; add the member's id."
        for member in orphans["member_id"]
    ]
    idle = members[~is_among(members.index, [*plots["member_id"].unique(), *sharers])]
    notes = [
        f"Member {member} has no usable plot; {f'{area:,.2f} declared ha stand' if area > 0 else 'a mean stands'} in."
        for member, area in zip(idle.index, idle["declared_area_ha"].to_numpy(dtype=float), strict=True)
    ]
    return join_findings(
        [
            make_findings("plot_without_member", orphans.index, words),
            make_findings("member_without_plot", [""] * len(idle), notes),
        ]
    )
