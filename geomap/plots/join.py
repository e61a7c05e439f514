"""Members and plots brought together: every plot has a member and a cooperative, every owner a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geomap.errors import ColumnError
from geomap.findings import make_findings
from geomap.lookup import is_among
from geomap.plots.area import area_ha
from geomap.plots.checks import lost_ha
from geomap.plots.columns import ATTRIBUTE_NAMES, MEMBER_NAMES, PLOT_NAMES, could_be, name_key
from geomap.plots.dates import season_days
from geomap.plots.members import active_members

NOT_TO_SUM_BY: Final = frozenset(
    "given_id row geometry declared_area_ha gps_accuracy_m planted_share latitude longitude outline".split()
)
"""Columns that differ from plot to plot: a sum over each of their values says nothing."""

ONE_COOPERATIVE: Final = "cooperative"
"""Stands for the cooperative where the files name none."""


@dataclass(frozen=True)
class Joined:
    """Plots and members that know each other.

    Attributes
    ----------
    plots : no empty member_id or cooperative_id; community and attributes to sum by are filled from the members.
    members : a row for every member of the file and every other owner of a plot.
    warnings : what was assumed, in words.
    """

    plots: gpd.GeoDataFrame
    members: pd.DataFrame
    warnings: tuple[str, ...]


def join_members(plots: gpd.GeoDataFrame, members: pd.DataFrame | None, *, attributes: Sequence[str] = ()) -> Joined:
    """Plots with their members' cooperative, community and attributes, and a row for every member.

    A plot without a member is a member of its own; one without a cooperative belongs to the one that the members file
    names, else to a nameless one.

    Parameters
    ----------
    plots : index plot_id; member_id, cooperative_id, community.
    members : index member_id; cooperative_id, community and attributes. None without a members file.
    attributes : columns of either table that must be on the plots, as `columns_to_sum_by` understands them.

    Raises
    ------
    ColumnError : neither table has one of `attributes`.
    """
    attributes = columns_to_sum_by(attributes, plots, members)
    plots, warnings = plots.copy(), []
    nameless = _blank(plots["member_id"])
    if nameless.any():
        warnings.append(f"{nameless.sum():,} plots name no member: each of them counts as a member of its own.")
        plots.loc[nameless, "member_id"] = "plot:" + plots.index[nameless].astype("str")
    if members is not None:
        known = members.reindex(plots["member_id"]).set_index(plots.index)
        for column in ("cooperative_id", "community"):
            if column in known:
                plots[column] = plots[column].where(~_blank(plots[column]), known[column].fillna("").astype("str"))
        for column in attributes:
            if column not in plots:
                plots[column] = known[column]
    homeless = _blank(plots["cooperative_id"])
    if homeless.any():
        warnings.append(f"{homeless.sum():,} plots name no cooperative: they stand under '{ONE_COOPERATIVE}'.")
        plots["cooperative_id"] = plots["cooperative_id"].where(~homeless, ONE_COOPERATIVE)
    return Joined(plots, _all_members(plots, members), tuple(warnings))


def inactive_plots(
    plots: gpd.GeoDataFrame, members: pd.DataFrame, season: str
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Plots without those of members who are none in the season, and a finding for each that is left out.

    A plot whose member is not in the table at all stays; so does one without a member.

    Parameters
    ----------
    plots : index plot_id, EPSG:4326; member_id, declared_area_ha.
    members : all members, index member_id; where they are known, joined, left and suspended as ISO dates.
    season : "2026/27".

    Returns
    -------
    GeoDataFrame : the other plots, in their order.
    DataFrame : findings `member_left`; effect: minus the declared area, or minus the area as drawn, in hectares.

    Examples
    --------
    >>> members = pd.DataFrame({"left": ["2025-03-01", ""]}, index=["M1", "M2"])
    >>> plots = gpd.GeoDataFrame(
    ...     {"member_id": ["M1", "M2"], "declared_area_ha": [2.0, 1.0]}, index=["A", "B"], geometry=[None] * 2, crs=4326
    ... )
    >>> kept, found = inactive_plots(plots, members, "2026/27")
    >>> kept.index.tolist(), found["effect_ha"].tolist()
    (['B'], [-2.0])
    """
    gone = members.drop(active_members(members, season).index)
    out = is_among(plots["member_id"], gone.index)
    left = plots[out]
    said = {member: _why_inactive(str(member), gone.loc[member], season) for member in left["member_id"].unique()}
    lost = lost_ha(left, _drawn_ha(left.geometry))
    words = [said[member] for member in left["member_id"]]
    return plots[~out], make_findings("member_left", left.index, words, effect_ha=lost, action="left_out")


def _drawn_ha(geometry: gpd.GeoSeries) -> NDArray[np.float64]:
    """Hectares of the outlines; 0 where there is none, or none that lies on the Earth."""
    beyond = np.abs(shapely.bounds(geometry.to_numpy()).reshape(-1, 4)) > [180, 90, 180, 90]
    return np.where(beyond.any(axis=1), 0.0, np.nan_to_num(area_ha(geometry).to_numpy()))


def _why_inactive(member: str, dates: "pd.Series[str]", season: str) -> str:
    first, last = season_days(season)
    given = {column: str(dates[column]) for column in ("left", "suspended", "joined") if dates.get(column)}
    if given.get("left", first) < first:
        what = f"left on {given['left']}, before the season {season} begins"
    elif given.get("suspended", first) < first:
        what = f"is suspended since {given['suspended']}"
    else:
        what = f"joins on {given.get('joined', last)}, after the season {season} ends"
    return (
        f"Member {member} {what}: the plot is not counted. If another member farms it now, write that member's id; "
        "if the date is wrong, correct it in the members file."
    )


def columns_to_sum_by(
    typed: Sequence[str], plots: gpd.GeoDataFrame, members: pd.DataFrame | None = None
) -> tuple[str, ...]:
    """The columns of plots or members that the typed names mean, each once, in the order typed.

    A name means the column of exactly this name; else one that differs only in case, accents, spaces and signs; else
    the one of ours that it is a synonym of ("sello": certification, "comunidad": community).

    Raises
    ------
    ColumnError : a name means no column, or several. The message lists what can be summed by.

    Examples
    --------
    >>> plots = gpd.GeoDataFrame({"community": ["Norte"], "certification": [""], "Grupo GIR": [1]}, geometry=[None])
    >>> columns_to_sum_by(["Comunidad", "sello", "grupo_gir"], plots)
    ('community', 'certification', 'Grupo GIR')
    """
    known = [str(column) for column in plots.columns]
    known += [] if members is None else [str(column) for column in members.columns if column not in plots.columns]
    return tuple(dict.fromkeys(_column_meant(name, known) for name in typed))


def _column_meant(name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    ours = dict.fromkeys((*MEMBER_NAMES, *PLOT_NAMES, *ATTRIBUTE_NAMES))
    alike = [column for column in known if name_key(column) == name_key(name)]
    found = alike or [column for column in ours if column in known and could_be(name, (column,), vague=False)]
    if len(found) == 1:
        return found[0]
    choices = ", ".join(sorted(set(known) - NOT_TO_SUM_BY))
    raise ColumnError(
        f"The columns {' and '.join(map(repr, found))} could both be '{name}'."
        if found
        else f"There is no column '{name}' to sum by.",
        why="Sums are made over the values of a column of the plots or of the members.",
        todo=f"Choose one of: {choices}.",
    )


def _blank(texts: "pd.Series[str]") -> "pd.Series[bool]":
    return texts.fillna("").str.strip() == ""


def _all_members(plots: gpd.GeoDataFrame, members: pd.DataFrame | None) -> pd.DataFrame:
    owners = plots.sort_index(kind="stable").drop_duplicates("member_id").set_index("member_id")
    owners = owners[["cooperative_id", "community"]].assign(name="", declared_area_ha=np.nan).sort_index()
    if members is None:
        return owners
    table = pd.concat([members, owners[~is_among(owners.index, members.index)]]).sort_index().rename_axis("member_id")
    at_plots = owners["cooperative_id"].reindex(table.index)
    coop = table["cooperative_id"].where(~_blank(table["cooperative_id"]), at_plots)
    only = plots["cooperative_id"].unique()
    home = str(only[0]) if len(only) == 1 else ONE_COOPERATIVE
    return table.assign(cooperative_id=coop.fillna(home).astype("str"))
