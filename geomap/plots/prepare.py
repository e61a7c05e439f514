"""From plots as read to plots as used: checked, repaired, measured, and with no ground counted twice."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from geomap.engine import Progress, ordered_map
from geomap.findings import join_findings, make_findings
from geomap.lookup import is_among
from geomap.plots import checks, place
from geomap.plots.area import area_ha, gps_area_sd_ha, require_lonlat
from geomap.plots.overlap import count_once
from geomap.plots.repair import repair_outlines
from geomap.plots.shape import check_repeated, check_shapes


@dataclass(frozen=True)
class Prepared:
    """Plots ready for land cover and supply, and what was found on the way.

    plots : usable plots in the order given, with four more columns: area_ha (geodesic, measured; NaN with no outline),
        area_sd_ha (its GPS standard error; 0 with no outline), counted_area_ha (overlaps shared; the declared area with
        no outline) and kind ("measured" or "declared").
    members : the members as given, or None.
    left_out : plots kept out, same columns; area_ha and area_sd_ha NaN, counted_area_ha 0, kind "left_out".
    findings : one table, blocking ones first. Every plot in `left_out` has one with action "left_out".
    overlaps : plot_a, plot_b, overlap_ha.
    """

    plots: gpd.GeoDataFrame
    members: pd.DataFrame | None
    left_out: gpd.GeoDataFrame
    findings: pd.DataFrame
    overlaps: pd.DataFrame


def prepare_plots(
    plots: gpd.GeoDataFrame,
    members: pd.DataFrame | None = None,
    *,
    country: str | None = None,
    sharers: Iterable[str] = (),
    progress: Progress | None = None,
) -> Prepared:
    """Check, repair and measure plots, and share overlapping ground.

    A plot whose finding blocks is left out. A point, or a row with no geometry, stands with its declared area; with
    hives and no declared area it stands with area 0. Each plot that goes in comes out once, usable or left out.

    Parameters
    ----------
    plots : EPSG:4326, index plot_id (unique), columns of `geomap.plots.table.to_plots`.
    members : index member_id, column declared_area_ha.
    country : name or ISO 3166 code; plots are held against its outline. Without it only the sea is told.
    sharers : members who have a share of a plot that carries another member's id.
    progress : called with the stage in plain words, how many plots are done, and of how many.

    Raises
    ------
    CrsError : plots with no CRS or another one.
    UnknownNameError : no country has this name.
    """
    require_lonlat(plots)
    tell = progress or (lambda stage, done, total: None)
    total = len(plots)

    tell("checking plots", 0, total)
    found = [place.check_metres(plots, country), place.check_null_island(plots)]
    usable = _unblocked(plots, found)
    found += [checks.check_coordinates(usable), checks.check_empty(usable), checks.check_vertices(usable)]
    usable = _unblocked(usable, found)
    drawn = area_ha(usable.geometry).to_numpy()
    found += [checks.check_size(usable, drawn), place.check_place(usable, country, drawn_ha=drawn)]
    found.append(check_repeated(usable))
    usable = usable.assign(area_ha=drawn)
    usable = _unblocked(usable, found)
    repaired = repair_outlines(usable, usable["area_ha"].to_numpy())
    found.append(repaired.findings)
    usable = _unblocked(repaired.plots.assign(area_ha=repaired.area_ha), found)

    tell("measuring areas", 0, total)
    usable = _measured(usable)
    declared = usable.index[(usable["kind"] == "declared") & checks.has_declared_area(usable)]
    words = "The plot has no outline; its declared area counts, unverified. Map it to narrow the estimate."
    stands_in = usable.loc[declared, "counted_area_ha"]
    found.append(make_findings("declared_only", declared, words, effect_ha=stands_in))

    tell("sharing overlaps", 0, total)
    area, counted = usable["area_ha"].to_numpy(), usable["counted_area_ha"]
    steps: list[Callable[[], Any]] = [  # none needs the other, and each leaves the interpreter to the other for long
        lambda: check_shapes(usable, area),
        lambda: count_once(usable, counted),
        lambda: checks.check_declared(usable, area),
    ]
    shapes, once, differing = ordered_map(lambda step: step(), steps)
    found += [shapes, differing, once.findings]
    if members is not None:
        found.append(checks.check_members(usable, members, sharers))
    tell("sharing overlaps", total, total)
    return Prepared(
        plots=usable.assign(counted_area_ha=once.counted_area_ha),
        members=members,
        left_out=plots[~is_among(plots.index, usable.index)].assign(
            area_ha=np.nan, area_sd_ha=np.nan, counted_area_ha=0.0, kind="left_out"
        ),
        findings=join_findings(found),
        overlaps=once.pairs,
    )


def _unblocked(plots: gpd.GeoDataFrame, found: list[pd.DataFrame]) -> gpd.GeoDataFrame:
    findings = pd.concat(found)
    return plots[~is_among(plots.index, findings.loc[findings["action"] == "left_out", "plot_id"])]


def _measured(plots: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Plots with area_sd_ha, kind, counted_area_ha before overlaps are shared, and area_ha only of outlines."""
    outlined = checks.has_outline(plots.geometry)
    area = np.where(outlined, plots["area_ha"], np.nan)
    error = gps_area_sd_ha(plots.geometry, plots["gps_accuracy_m"].to_numpy(dtype=float))
    declared = np.where(checks.has_declared_area(plots), plots["declared_area_ha"], 0.0)
    return plots.assign(
        area_ha=area,
        area_sd_ha=np.where(outlined, error, 0.0),
        counted_area_ha=np.where(outlined, area, declared),
        kind=pd.Series(np.where(outlined, "measured", "declared"), index=plots.index, dtype="str"),
    )
