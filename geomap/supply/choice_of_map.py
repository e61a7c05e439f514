"""What the choice of the land-cover map does to the potential of each cooperative."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geomap.findings import join_findings
from geomap.landcover.extract import Extraction
from geomap.landcover.product import require_estimate
from geomap.supply.items import Items
from geomap.supply.land import Figures
from geomap.supply.totals import totals

if TYPE_CHECKING:
    from geomap.engine import Progress
    from geomap.landcover.several import OtherMap, Several

CHOICE_COLUMNS: Final = [
    "cooperative_id", "product", "year", "productive_ha", "potential_kg", "potential_p10_kg", "potential_p50_kg",
    "potential_p90_kg", "ratio", "ratio_low", "ratio_high", "verdict",
]  # fmt: skip

_MAP_SOURCES: Final = ["map_plot", "uncovered"]
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class OtherMaps:
    """The run's map and others: what each shows of the plots, where they agree, what the choice does.

    Attributes
    ----------
    several : see `several_maps`; the findings of other maps stay here, for they move nothing in the run.
    choice : see `choice_of_map`.
    """

    several: "Several"
    choice: pd.DataFrame

    def told(self) -> dict[str, Any]:
        """For the summary: the maps, and what is found in sentences."""
        from geomap.landcover.several import agreement_words

        maps = self.several.products
        named = [{key: getattr(one, key) for key in ("name", "title", "year", "licence")} for one in maps.values()]
        titles = {name: one.title for name, one in maps.items()}
        return {
            "maps": named,
            "agreement": agreement_words(self.several.agreement),
            "choice": choice_words(self.choice, titles),
        }


def look_at_other_maps(
    figures: Figures,
    plots: gpd.GeoDataFrame,
    own: tuple[Sequence[Path], Extraction],
    others: "Sequence[OtherMap]",
    *,
    people: pd.DataFrame,
    owners: pd.DataFrame,
    workers: int | None = None,
    progress: "Progress | None" = None,
) -> OtherMaps:
    """Other maps beside that of the run; up to `MOST_OVERLAID` plots the maps are laid over one another.

    Parameters
    ----------
    figures, plots, people, owners : of the run, as for `choice_of_map`.
    own : the rasters of the run's map, and what they showed.
    others : maps that `require_maps` lets pass.

    Raises
    ------
    RasterError, CrsError : see `require_maps` and `class_areas`.
    """
    from geomap.landcover.several import MOST_OVERLAID, require_maps, several_maps

    require_maps(figures.legend, others, figures.chosen.crop.name)
    name = figures.legend.name
    several = several_maps(
        plots,
        {name: own[0], **{other.product.name: other.rasters for other in others}},
        {name: figures.legend, **{other.product.name: other.product for other in others}},
        known={name: own[1]},
        overlay=len(plots) <= MOST_OVERLAID,
        workers=workers,
        progress=progress,
    )
    return OtherMaps(several, choice_of_map(figures, plots, several, people, owners)[0])


def choice_of_map(
    figures: Figures, plots: gpd.GeoDataFrame, several: "Several", people: pd.DataFrame, owners: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Potential of each cooperative by each of several maps, and how it compares with that by the run's own map.

    ratio = potential by this map ÷ potential by the run's map. Both share everything but the map, so only the errors of
    the two maps stand in its interval (95 %, log-normal). These are taken to be independent of one another, which makes
    the interval wide: maps that are wrong on the same ground are closer than it says. Where the interval holds 1 the
    verdict is "not different".

    Parameters
    ----------
    figures : of the run; its legend names the run's own map, which must be one of the maps.
    plots : prepared plots, as for `Figures.land`.
    several : of `several_maps` on these plots.
    people, owners : members and shares of plots, as for `Figures.items`.

    Returns
    -------
    DataFrame : `CHOICE_COLUMNS`; kilograms of the run's product form, hectares, ratios (1 = the same); rows by
        cooperative ("all" for the sum, last) and map, the run's own map first.
    DataFrame : findings.

    Raises
    ------
    RasterError : a map that cannot bear an estimate of this crop.
    KeyError : the run's own map is not among the maps.
    """
    own = figures.legend.name
    names = [own, *(name for name in several.products if name != own)]
    for name in names:
        require_estimate(several.products[name], figures.chosen.crop.name)
    land, said = figures.land(plots, several.extractions[own])
    tables = {}
    for name in names:
        legend = figures.legend if name == own else several.products[name]
        found = several.extractions[name]
        here = replace(land, classes=found.classes, cover=found.cover)
        items, _, _ = replace(figures, legend=legend).items(here, people, owners, figures.chosen.season)
        tables[name] = _sums(items)
    parts = [
        _compared(tables[name], tables[own], same=name == own).assign(product=name, year=several.products[name].year)
        for name in names
    ]
    table = pd.concat(parts).rename_axis("cooperative_id").reset_index()
    table = table.assign(_last=table["cooperative_id"] == "all", _map=table["product"].map(names.index))
    table = table.sort_values(["_last", "cooperative_id", "_map"], kind="stable")
    return table[CHOICE_COLUMNS].reset_index(drop=True), join_findings(said)


def map_errors_alone(items: Items) -> Items:
    """The same items with the errors of the land-cover map alone.

    Examples
    --------
    >>> index = ["P"]
    >>> items = Items(pd.DataFrame(index=index), pd.DataFrame({"plot": [0.5], "map_plot": [0.1]}, index=index),
    ...               pd.DataFrame(index=index), pd.Series(dtype=float))
    >>> map_errors_alone(items).cv.columns.tolist()
    ['map_plot']
    """
    return replace(items, cv=items.cv[[source for source in _MAP_SOURCES if source in items.cv]])


def choice_words(table: pd.DataFrame, titles: "pd.Series[str] | dict[str, str]") -> list[str]:
    """A sentence per cooperative: between which maps its potential lies, and how wide one map's own interval is.

    Parameters
    ----------
    table : of `choice_of_map`.
    titles : product → title.

    Examples
    --------
    >>> row = {"cooperative_id": "C1", "potential_p10_kg": 60.0, "potential_p90_kg": 150.0}
    >>> table = pd.DataFrame([row | {"product": "a", "potential_kg": 100.0, "ratio": 1.0, "verdict": "the run's map"},
    ...                       row | {"product": "b", "potential_kg": 96.0, "ratio": 0.96, "verdict": "not different"}])
    >>> print(choice_words(table, {"a": "Map A", "b": "Map B"})[0])
    C1: between 96 kg (Map B) and 100 kg (Map A). Another map moves the potential by −4 % (not different); with the \
run's map alone 8 of 10 seasons lie between −40 % and +50 %.
    """
    said = []
    for cooperative, rows in table.groupby("cooperative_id", sort=False):
        own = rows.iloc[0]
        mean = float(own["potential_kg"])
        if not mean > 0:
            continue
        by_size = rows.sort_values(["potential_kg", "product"])
        low, high = by_size.iloc[0], by_size.iloc[-1]
        moved = [f"{_signed(row.ratio - 1)} ({row.verdict})" for row in rows.iloc[1:].itertuples()]
        ends = [_signed(own[f"potential_{end}_kg"] / mean - 1) for end in ("p10", "p90")]
        said.append(
            f"{cooperative}: between {low['potential_kg']:,.0f} kg ({titles[low['product']]}) and "
            f"{high['potential_kg']:,.0f} kg ({titles[high['product']]}). Another map moves the potential by "
            f"{', '.join(moved)}; with the run's map alone 8 of 10 seasons lie between {ends[0]} and {ends[1]}."
        )
    return said


def _signed(share: float) -> str:
    return f"{share * 100:+.0f} %".replace("-", "\N{MINUS SIGN}")


def _sums(items: Items) -> pd.DataFrame:
    """Per cooperative and for all: hectares, potential with its quantiles, and s² of the map's errors alone."""
    coops = items.table["cooperative_id"].reset_index(drop=True)
    everything = pd.Series("all", index=coops.index)
    parts = []
    for group in (coops, everything):
        whole, by_map = totals(items, group), totals(map_errors_alone(items), group)
        squares = np.where(by_map["mean_kg"] > 0, by_map["var"] / by_map["mean_kg"].replace(0.0, np.inf) ** 2, 0.0)
        mapped = items.table["productive_ha"].where(items.table["kind"] != "unmapped", 0.0)
        productive = mapped.groupby(group.to_numpy()).sum()
        quantiles = {f"potential_{name}_kg": whole[name] for name in ("p10", "p50", "p90")}
        parts.append(
            pd.DataFrame(
                {"productive_ha": productive, "potential_kg": whole["mean_kg"], **quantiles, "s2": np.log1p(squares)}
            )
        )
    return pd.concat(parts)


def _compared(table: pd.DataFrame, own: pd.DataFrame, *, same: bool) -> pd.DataFrame:
    """The table with the ratio to the run's map, its interval and the verdict."""
    if same:
        return table.assign(ratio=1.0, ratio_low=1.0, ratio_high=1.0, verdict="the run's map")
    ratio = table["potential_kg"] / own["potential_kg"].replace(0.0, np.nan)
    middle = ratio * np.exp((own["s2"] - table["s2"]) / 2)
    reach = np.exp(NormalDist().inv_cdf((1 + _LEVEL) / 2) * np.sqrt(own["s2"] + table["s2"]))
    low, high = middle / reach, middle * reach
    verdict = np.select([ratio.isna(), low > 1, high < 1], ["not known", "higher", "lower"], "not different")
    return table.assign(ratio=ratio, ratio_low=low, ratio_high=high, verdict=verdict)
