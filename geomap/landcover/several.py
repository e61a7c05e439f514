"""Several land-cover maps of the same plots: what each shows, and on how much ground they agree.

Two maps are set side by side; a difference between them is a difference of maps and not change on the ground. Two
versions of one product are refused: such a pair looks like two opinions or like change, and is neither.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.engine import Progress
from geomap.errors import RasterError
from geomap.findings import join_findings
from geomap.landcover.extract import Extraction, class_areas
from geomap.landcover.overlay import overlaid
from geomap.landcover.product import Product, require_comparable, require_estimate
from geomap.landcover.source import check_rasters

GROUPS: Final = {
    "trees": "Tree cover (includes shade coffee and cocoa)",
    "other_bearing": "Other land that can bear the crop",
    "not_bearing": "Cannot bear the crop",
    "not_known": "No data, outside the map, or not in its legend",
}
"""What each class of any product is, in words: trees, other land that can bear a tree crop, land that cannot."""

MAP_COLUMNS: Final = ["cooperative_id", "product", "year", "group", "area_ha", "share"]
AGREEMENT_COLUMNS: Final = ["compared_ha", "agreement", "agreement_low", "agreement_high", "basis"]

MOST_OVERLAID: Final = 20_000
"""Plots up to which maps are laid over one another; of more, the agreement has bounds alone."""

_SURE: Final = 1e-6

Floats: TypeAlias = npt.NDArray[np.float64]


class OtherMap(NamedTuple):
    """A map beside the run's own: what its codes mean, and its files."""

    product: Product
    rasters: tuple[Path, ...]


@dataclass(frozen=True)
class Several:
    """Several maps of the same plots.

    Attributes
    ----------
    products : name → product, in the order of their names.
    extractions : name → hectares per class, of `class_areas`.
    areas : cooperative_id, product, year, group (of `GROUPS`), area_ha, share (0–1 of the measured plots' ground).
    agreement : index plot_id; see `agreement`.
    findings : of each map.
    """

    products: dict[str, Product]
    extractions: dict[str, Extraction]
    areas: pd.DataFrame
    agreement: pd.DataFrame
    findings: pd.DataFrame


def several_maps(
    plots: gpd.GeoDataFrame,
    maps: Mapping[str, Sequence[Path]],
    products: Mapping[str, Product],
    *,
    known: Mapping[str, Extraction] | None = None,
    overlay: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Several:
    """What several maps show of the plots, by cooperative, and on how much ground they agree.

    Parameters
    ----------
    plots : index plot_id (unique), EPSG:4326, valid outlines; cooperative_id.
    maps : product name → its rasters; two at least.
    products : product name → product.
    known : product name → what `class_areas` found before.
    overlay : whether to lay the maps over one another where areas alone leave the agreement open; about a millisecond
        per such plot and map.
    workers : threads; never changes a result.

    Raises
    ------
    RasterError : fewer than two maps, two versions of one product, or see `class_areas`.
    """
    chosen = {name: products[name] for name in sorted(maps)}
    require_other_products(list(chosen.values()))
    found = {
        name: (known or {}).get(name)
        or class_areas(plots, maps[name], chosen[name], workers=workers, progress=progress)
        for name in chosen
    }
    groups = {name: group_areas(found[name].classes, chosen[name], plots.index) for name in chosen}
    agreed = agreement_bounds(groups)
    if overlay:
        agreed = overlaid(plots, maps, chosen, agreed)
    areas = _by_cooperative(groups, chosen, plots["cooperative_id"])
    said = join_findings([extraction.findings for extraction in found.values()])
    return Several(chosen, found, areas, agreed, said)


def require_maps(own: Product, others: Sequence[OtherMap], crop: str) -> None:
    """Raise where other maps cannot stand beside the run's own; reads no cell, so it costs nothing.

    Raises
    ------
    RasterError : the run's own map again, two versions of one product, a map that cannot bear an estimate of the crop,
        or a file that cannot be this product's map. CrsError : see `Rasters`.
    """
    for other in others:
        if other.product.name == own.name:
            raise RasterError(
                f"{own.title} is the map of the run already.",
                why="A map beside itself shows nothing.",
                todo="Name another product, such as esri-lulc-2021 beside esa-worldcover-2021.",
            )
    require_other_products([own, *(other.product for other in others)])
    for other in others:
        require_estimate(other.product, crop)
        check_rasters(other.rasters, other.product)


def require_other_products(products: Sequence[Product]) -> None:
    """Raise where there is one map only, or two of the maps are versions of one product.

    Years of one version may stand beside one another.

    Raises
    ------
    RasterError : as said.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> require_other_products([product("esa-worldcover-2021"), product("esri-lulc-2021")])
    >>> require_other_products([product("esa-worldcover-2020"), product("esa-worldcover-2021")])
    Traceback (most recent call last):
    geomap.errors.RasterError: ESA WorldCover 2020 is version v100 and ESA WorldCover 2021 is version v200. ...
    """
    if len(products) < 2:
        raise RasterError(
            f"{len(products)} land-cover map was given.",
            why="Maps are set beside one another; that takes two.",
            todo="Give a map of another product too, such as esri-lulc-2021 beside esa-worldcover-2021.",
        )
    for one, other in combinations(products, 2):
        if one.family and one.family == other.family:
            require_comparable(one, other)


def class_groups(product: Product) -> "pd.Series[str]":
    """The group (of `GROUPS`) of each class of a product, index class.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> class_groups(product("esa-worldcover-2021")).loc[[10, 40, 80]].tolist()
    ['trees', 'other_bearing', 'not_bearing']
    """
    legend = product.legend
    bears, trees = (legend[column].to_numpy(float) > 0 for column in ("tree_crop", "tree_cover"))
    found = np.select([bears & trees, bears], ["trees", "other_bearing"], "not_bearing")
    return pd.Series(found, index=legend.index, name="group", dtype="str")


def group_areas(classes: pd.DataFrame, product: Product, plots: pd.Index) -> pd.DataFrame:
    """Hectares of each group on each plot: index as `plots`, columns `GROUPS`; 0 for a plot without an outline.

    Parameters
    ----------
    classes : plot_id, class, area_ha, as `class_areas` returns them.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> classes = pd.DataFrame({"plot_id": ["P", "P"], "class": [10, -1], "area_ha": [2.0, 0.5]})
    >>> group_areas(classes, product("esa-worldcover-2021"), pd.Index(["P"])).loc["P"].tolist()
    [2.0, 0.0, 0.0, 0.5]
    """
    group = classes["class"].map(class_groups(product)).fillna("not_known")
    table = classes.assign(group=group).pivot_table("area_ha", "plot_id", "group", aggfunc="sum", fill_value=0.0)
    return table.reindex(index=plots, columns=list(GROUPS), fill_value=0.0).rename_axis(columns=None)


def agreement_bounds(groups: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Between which limits the agreement of maps lies, from their areas alone: bounds, and no estimate.

    With b the share of the known ground that a map says can bear the crop, n = 1 − b, and M maps, the share on which
    all say the same is at most Σ over bearing and not of min, and at least Σ of max(0, Σ over maps − (M − 1)).
    Where all maps but one show one kind alone, both limits meet, and the agreement is exact.

    Parameters
    ----------
    groups : product → hectares by group, of `group_areas`; the same index in each.

    Returns
    -------
    DataFrame : index plot_id; compared_ha (ground that all maps know; where a map lacks data an upper limit of it),
        agreement (share of it, 0–1; NaN where areas leave it open), agreement_low, agreement_high, basis ("areas" where
        the limits meet, "bounds" where not, "" without ground).

    Source: Fréchet (1951), Annales de l'Université de Lyon, Section A 14, 53–77.

    Examples
    --------
    Two maps show a tenth of a plot as built-up. It may be the same tenth, or another one:

    >>> one = pd.DataFrame({"trees": [0.9], "other_bearing": 0.0, "not_bearing": 0.1, "not_known": 0.0}, index=["P"])
    >>> agreement_bounds({"a": one, "b": one}).loc["P", ["agreement_low", "agreement_high"]].round(6).tolist()
    [0.8, 1.0]
    """
    tables = list(groups.values())
    parts = np.array([[_bearing(table), table["not_bearing"].to_numpy(float)] for table in tables])  # map, kind, plot
    known = parts.sum(axis=1)
    whole = np.array([table.to_numpy(float).sum(axis=1) for table in tables]).max(axis=0)
    compared = known.min(axis=0)
    complete = (known >= (1 - _SURE) * whole).all(axis=0)
    shares = np.divide(parts, known[:, None], out=np.zeros_like(parts), where=known[:, None] > 0)
    low = np.maximum(shares.sum(axis=0) - (len(tables) - 1), 0.0).sum(axis=0)
    high = shares.min(axis=0).sum(axis=0)
    settled = complete | ((shares <= _SURE) | (shares >= 1 - _SURE)).all(axis=(0, 1))
    low, high = np.where(settled, low, 0.0), np.where(settled, high, 1.0)
    there = compared > 0
    met = there & (high - low <= _SURE)
    return pd.DataFrame(
        {
            "compared_ha": compared,
            "agreement": np.where(met, (low + high) / 2, np.nan),
            "agreement_low": np.where(there, low, np.nan),
            "agreement_high": np.where(there, np.minimum(high, 1.0), np.nan),
            "basis": pd.Series(np.select([met, there], ["areas", "bounds"], ""), dtype="str").to_numpy(),
        },
        index=tables[0].index,
        columns=AGREEMENT_COLUMNS,
    )


def agreement_words(agreed: pd.DataFrame) -> str:
    """The agreement of all plots together in a sentence; bounds are called bounds.

    Examples
    --------
    >>> agreed = pd.DataFrame({"compared_ha": [1.0, 1.0], "agreement": [0.9, np.nan], "agreement_low": [0.9, 0.5],
    ...                        "agreement_high": [0.9, 1.0]})
    >>> agreement_words(agreed)
    'The maps agree on 70 % to 95 % of the ground whether it can bear the crop. These are bounds, from areas alone.'
    """
    ground = agreed["compared_ha"].to_numpy(float)
    if not ground.sum() > 0:
        return "No ground is known to all maps."
    low, high = (
        float(np.nansum(agreed[f"agreement_{end}"].to_numpy(float) * ground) / ground.sum()) for end in ("low", "high")
    )
    if high - low < 0.005:
        return f"The maps agree on {low * 100:.0f} % of the ground whether it can bear the crop."
    return (
        f"The maps agree on {low * 100:.0f} % to {high * 100:.0f} % of the ground whether it can bear the crop. "
        "These are bounds, from areas alone."
    )


def _bearing(table: pd.DataFrame) -> Floats:
    return np.asarray(table[["trees", "other_bearing"]].sum(axis=1), dtype=np.float64)


def _by_cooperative(
    groups: Mapping[str, pd.DataFrame], products: Mapping[str, Product], cooperative: "pd.Series[str]"
) -> pd.DataFrame:
    parts = []
    for name, table in groups.items():
        ordered = table.assign(cooperative_id=cooperative).sort_index(kind="stable")
        sums = ordered.groupby("cooperative_id")[list(GROUPS)].sum().rename_axis(columns="group")
        long = sums.stack().rename("area_ha").reset_index()
        share = long["area_ha"] / long.groupby("cooperative_id")["area_ha"].transform("sum").replace(0.0, np.nan)
        parts.append(long.assign(product=name, year=products[name].year, share=share))
    rank = {group: place for place, group in enumerate(GROUPS)}
    table = pd.concat(parts, ignore_index=True)
    order = table.assign(_rank=table["group"].map(rank)).sort_values(["cooperative_id", "product", "_rank"]).index
    return table.loc[order, MAP_COLUMNS].reset_index(drop=True)
