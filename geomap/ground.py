"""Who farms which plots in the season of a run: checked, with layers, and the people they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import pandas as pd

from geomap.engine import Progress
from geomap.findings import make_findings
from geomap.landcover.layers import layer_columns, with_altitude_band, with_layers
from geomap.lookup import is_among
from geomap.plots.join import columns_to_sum_by, inactive_plots, join_members
from geomap.plots.member_shares import check_shared_plots, plot_shares
from geomap.plots.members import active_members
from geomap.plots.prepare import Prepared, prepare_plots
from geomap.supply.choice import Choice
from geomap.supply.crops import is_declared_for
from geomap.supply.land import with_sharers


class Ground(NamedTuple):
    """Who farms which plots in the season of the run.

    ours : plots of the crop whose members are members. before : plots of those who left. prepared : checked and ready.
    """

    ours: gpd.GeoDataFrame
    before: gpd.GeoDataFrame
    prepared: Prepared
    people: pd.DataFrame
    owners: pd.DataFrame
    by: tuple[str, ...]
    findings: list[pd.DataFrame]
    warnings: Sequence[str]


def ground_of(
    plots: gpd.GeoDataFrame,
    everyone: pd.DataFrame | None,
    shares: pd.DataFrame | None,
    layers: Mapping[str, Sequence[Path]],
    *,
    by: Sequence[str],
    chosen: Choice,
    progress: Progress | None,
) -> Ground:
    """The plots that count, checked and with layers, and the people they belong to."""
    ours, other = _of_this_crop(plots.sort_index(kind="stable"), chosen)
    said, before = [other], ours.iloc[:0]
    members = _without_other_crops(everyone, plots, ours)
    if members is not None and chosen.season is not None:
        kept, gone = inactive_plots(ours, members, chosen.season)
        ours, before = kept, ours[~is_among(ours.index, kept.index)]
        said.append(gone)
        members = active_members(members, chosen.season)
    if shares is not None:
        said.append(check_shared_plots(ours, shares))
    made = layer_columns(layers, ours, members)
    banded = [name for name in by if name in made and name not in ours]
    given = columns_to_sum_by([name for name in by if name not in banded], ours, members)
    joined = join_members(ours, members, attributes=given)
    owners = plot_shares(joined.plots, shares, season=chosen.season)
    people = with_sharers(joined.members, owners, joined.plots, only=everyone is None)
    prepared = prepare_plots(
        joined.plots, members, country=chosen.country, sharers=owners["member_id"].unique(), progress=progress
    )
    laid, doubts = with_layers(prepared.plots, layers)
    return Ground(
        ours,
        before,
        replace(prepared, plots=laid),
        with_altitude_band(people),
        owners,
        (*given, *banded),
        [*said, doubts],
        joined.warnings,
    )


def _of_this_crop(plots: gpd.GeoDataFrame, chosen: Choice) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Plots declared for the crop or for none, and a finding for each of the others."""
    named = plots["crop"].fillna("").str.strip()
    other = ~is_declared_for(named.to_numpy(dtype=object).tolist(), chosen.crop, tables=chosen.tables)
    texts = [f"Declared for {text}; this run is about {chosen.crop.title}" for text in named[other]]
    return plots[~other], make_findings("other_crop", plots.index[other], texts, action="left_out")


def _without_other_crops(
    members: pd.DataFrame | None, plots: gpd.GeoDataFrame, ours: gpd.GeoDataFrame
) -> pd.DataFrame | None:
    """The members less those whose plots are all declared for another crop: their declared land is of that crop."""
    if members is None:
        return None
    others = ~is_among(members.index, ours["member_id"].unique()) & is_among(members.index, plots["member_id"].unique())
    return members[~others]
