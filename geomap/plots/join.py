"""Members and plots brought together: every plot has a member and a cooperative, every owner a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geomap.errors import ColumnError
from geomap.lookup import is_among

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
    attributes : columns of either table that must be on the plots.

    Raises
    ------
    ColumnError : neither table has one of `attributes`.
    """
    _require_attributes(plots, members, attributes)
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


def _blank(texts: "pd.Series[str]") -> "pd.Series[bool]":
    return texts.fillna("").str.strip() == ""


def _require_attributes(plots: gpd.GeoDataFrame, members: pd.DataFrame | None, attributes: Sequence[str]) -> None:
    theirs = set() if members is None else set(members.columns)
    for column in attributes:
        if column not in plots and column not in theirs:
            told = sorted((set(plots.columns) | theirs) - {"geometry", "row"})
            raise ColumnError(
                f"There is no column '{column}' to sum by.",
                why="Sums are made over the values of a column of the plots or of the members.",
                todo=f"Choose one of: {', '.join(told)}.",
            )


def _all_members(plots: gpd.GeoDataFrame, members: pd.DataFrame | None) -> pd.DataFrame:
    owners = plots.sort_index(kind="stable").drop_duplicates("member_id").set_index("member_id")
    owners = owners[["cooperative_id", "community"]].assign(name="", declared_area_ha=np.nan).sort_index()
    if members is None:
        return owners
    table = pd.concat([members, owners[~is_among(owners.index, members.index)]]).sort_index().rename_axis("member_id")
    at_plots = owners["cooperative_id"].reindex(table.index)
    coop = table["cooperative_id"].where(~_blank(table["cooperative_id"]), at_plots)
    return table.assign(cooperative_id=coop.fillna(ONE_COOPERATIVE).astype("str"))
