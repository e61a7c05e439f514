"""The ground that a run stands on: prepared plots with their land cover, today and in past seasons."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas as gpd
import pandas as pd

from geomap.findings import join_findings
from geomap.landcover.extract import Extraction, class_areas
from geomap.landcover.layer import layer_means
from geomap.landcover.local_sample import local_map_share
from geomap.landcover.product import Product
from geomap.lookup import is_among
from geomap.plots.join import ONE_COOPERATIVE, inactive_plots
from geomap.plots.member_shares import plot_shares
from geomap.plots.members import active_members
from geomap.plots.prepare import prepare_plots
from geomap.supply.attributes import plot_attributes
from geomap.supply.choice import Choice
from geomap.supply.items import Items, join_items, share_items
from geomap.supply.potential import declared_ratios, plot_potential, unmapped_members
from geomap.supply.terms import base_terms

if TYPE_CHECKING:
    from geomap.supply.outlook import Past


@dataclass(frozen=True)
class Land:
    """Prepared plots with their land cover, and kilograms per hectare where a yield map says so."""

    plots: gpd.GeoDataFrame
    classes: pd.DataFrame
    cover: pd.DataFrame
    yield_kg_ha: "pd.Series[float] | None"


@dataclass(frozen=True)
class Figures:
    """What kilograms per hectare stand for: the choice, and the user's own figures in its place.

    `legend` holds the shares of a local sample where there is one.
    """

    chosen: Choice
    legend: Product
    settings: pd.DataFrame | None
    yields: pd.DataFrame | None
    yield_rasters: tuple[Path, ...]

    def land(self, plots: gpd.GeoDataFrame, extraction: Extraction) -> tuple[Land, list[pd.DataFrame]]:
        """The plots with land cover and yield map, and what the yield map does not cover."""
        if not self.yield_rasters:
            return Land(plots, extraction.classes, extraction.cover, None), []
        layer = layer_means(plots, self.yield_rasters, name="yield map")
        return Land(plots, extraction.classes, extraction.cover, layer.values["mean"]), [layer.findings]

    def items(
        self, land: Land, people: pd.DataFrame, owners: pd.DataFrame, season: str | None
    ) -> tuple[Items, pd.DataFrame, pd.DataFrame]:
        """Plots (or members' parts of them) and members without one, the ratios of declared areas, and findings."""
        chosen = replace(self.chosen, season=season)
        ratios = declared_ratios(land.plots, people)
        known: dict[str, Any] = {
            "crop": chosen.crop,
            "base": chosen.base,
            "conversion": chosen.conversion,
            "country": chosen.country,
        }
        own: dict[str, Any] = {"settings": self.settings, "yields": self.yields, "tables": chosen.tables}
        terms, found = base_terms(land.plots, layer=land.yield_kg_ha, **known, **own)
        attributes, doubts = plot_attributes(
            land.plots, crop=chosen.crop, country=chosen.country, season_year=chosen.season_year, tables=chosen.tables
        )
        mapped = plot_potential(
            land.plots,
            land.classes,
            land.cover,
            legend=self.legend.legend,
            season_year=chosen.season_year,
            ratios=ratios,
            terms=terms,
            attributes=attributes,
            tables=chosen.tables,
            **known,
        )
        mapped = replace(mapped, map_share=local_map_share(mapped.map_share, self.legend.legend))
        mapped = share_items(mapped, owners, people["cooperative_id"])
        of_people, _ = base_terms(people, **known, **own)
        unmapped = unmapped_members(people, mapped, ratios=ratios, terms=of_people, **known)
        return join_items([mapped, unmapped]), ratios, join_findings([found, doubts])


def with_more_plots(land: Land, plots: gpd.GeoDataFrame, rasters: Sequence[Path], figures: Figures) -> Land:
    """The same and more plots, such as those of members who left: past seasons had them."""
    more = prepare_plots(plots, country=figures.chosen.country).plots
    everything = pd.concat([land.plots, more]).sort_index(kind="stable")
    return figures.land(everything, class_areas(everything, rasters, figures.legend))[0]


def past_seasons(
    land: Land, everyone: pd.DataFrame | None, people: pd.DataFrame, shares: pd.DataFrame | None, figures: Figures
) -> "Past":
    """What the land could bear in a past season, and who was a member then."""

    def of(season: str) -> tuple[Items, Collection[str] | None]:
        then, plots = people, land.plots
        if everyone is not None:
            plots, _ = inactive_plots(plots, everyone, season)
            there = _at_home(active_members(everyone, season), plots)
            then = with_sharers(there, plot_shares(plots, shares, season=season), plots)
        owners = plot_shares(plots, shares, season=season)
        if everyone is None:
            then = with_sharers(then, owners, plots, only=True)
        items, _, _ = figures.items(replace(land, plots=plots), then, owners, season)
        return items, None if everyone is None else then.index

    return of


def with_those_who_left(people: pd.DataFrame, everyone: pd.DataFrame | None) -> pd.DataFrame:
    """Members of today and those who left: deliveries are of both. Who names no cooperative left the only one."""
    if everyone is None:
        return people
    left, homes = everyone[~is_among(everyone.index, people.index)], people["cooperative_id"].unique()
    if len(homes) == 1:
        left = left.assign(cooperative_id=left["cooperative_id"].where(~_is_blank(left["cooperative_id"]), homes[0]))
    return pd.concat([people, left])


def median_altitude(plots: gpd.GeoDataFrame, people: pd.DataFrame) -> "pd.Series[float] | None":
    """Median altitude of each cooperative's plots, else of its members, in metres; None where nobody knows it."""
    medians = [
        table.groupby("cooperative_id")["altitude_m"].median().dropna()
        for table in (plots, people)
        if "altitude_m" in table and pd.api.types.is_numeric_dtype(table["altitude_m"])
    ]
    known = pd.concat(medians) if medians else pd.Series(dtype=float)
    return None if known.empty else known[~known.index.duplicated()].sort_index()


def with_sharers(
    people: pd.DataFrame, owners: pd.DataFrame, plots: gpd.GeoDataFrame, *, only: bool = False
) -> pd.DataFrame:
    """The members, and a row for each that only the table of shares knows: at home where the plot is.

    `only`: no others than owners; without a members file who farms no plot is known only by the plot's old name.
    """
    if only:
        people = people[is_among(people.index, owners["member_id"])]
    new = owners[~is_among(owners["member_id"], people.index)].drop_duplicates("member_id").set_index("member_id")
    if new.empty:
        return people
    at_plot = plots[["cooperative_id", "community"]].reindex(new["plot_id"]).set_axis(new.index)
    return pd.concat([people, at_plot.assign(name="", declared_area_ha=float("nan"))]).sort_index()


def _at_home(members: pd.DataFrame, plots: gpd.GeoDataFrame) -> pd.DataFrame:
    """The members with the cooperative of their plots where they name none, as `join_members` has it for today's."""
    of_plots = plots.sort_index(kind="stable").drop_duplicates("member_id").set_index("member_id")["cooperative_id"]
    named = members["cooperative_id"].where(~_is_blank(members["cooperative_id"]), of_plots.reindex(members.index))
    return members.assign(cooperative_id=named.fillna(ONE_COOPERATIVE).astype("str"))


def _is_blank(texts: "pd.Series[str]") -> "pd.Series[bool]":
    return texts.fillna("").str.strip() == ""
