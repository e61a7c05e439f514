"""The environment of a cooperative, so that cooperatives can be compared: land cover, trees, altitude, land around.

A map is wrong in places. So each share stands with an interval (95 %), and two cooperatives are "not different" where
the interval of their difference holds 0. Three sources of error, each weak or medium (`docs/environment.md`):

- the map's published accuracy has a sampling error. It is one number for all, so it enters a difference only by what
  the two cooperatives have mapped differently.
- the accuracy of a region differs from the map's by about .10 (`region_spread`). Nobody knows how alike two
  cooperatives are in this, so each has a deviation of its own. This is the cautious way: "different" is said less often
  than it might be.
- of the ground that is mapped wrongly only the amount is published, not what it is. It is shared out among the other
  classes on the ground of all cooperatives by what the map omits of them (quasi-independence).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geomap.landcover.accuracy import carried_areas
from geomap.landcover.around_sample import land_around_sampled
from geomap.landcover.bands import ALTITUDE_NAMES, told_altitude
from geomap.landcover.group_shares import MOST_PAIRED, PAIR_COLUMNS, GroupShares, published_rows
from geomap.landcover.layer import weighted_quantile
from geomap.landcover.product import Product
from geomap.landcover.surroundings import MOST_RINGED, UNCULTIVATED, is_uncultivated, land_around

MEASURES: Final = {
    "tree_share": "Tree cover on the plots (includes shade coffee and cocoa)",
    UNCULTIVATED: "Land within 1 km of the plots that the map shows as neither fields nor built-up",
    "altitude_m": "Altitude of the plots",
}
PROFILE_COLUMNS: Final = ["cooperative_id", "measure", "unit", "mapped", "estimate", "low", "high", "interval", "basis"]

__all__ = ["MEASURES", "MOST_PAIRED", "PAIR_COLUMNS", "Profiles", "environment", "profiles", "with_accuracy"]


@dataclass(frozen=True)
class Profiles:
    """The environment of cooperatives.

    Attributes
    ----------
    environment : of `environment`, with adjusted_ha, adjusted_low_ha, adjusted_high_ha.
    profile : `PROFILE_COLUMNS`; one row per cooperative and measure (of `MEASURES`); shares 0–1 or metres. `mapped` is
        what the map shows, `estimate` what its accuracy makes of it; `interval` says what low and high are.
    pairs : `PAIR_COLUMNS`; each two cooperatives, a before b; difference = a − b of the estimates; verdict "a higher",
        "b higher" or "not different". Empty for more than `MOST_PAIRED` cooperatives.
    """

    environment: pd.DataFrame
    profile: pd.DataFrame
    pairs: pd.DataFrame


def environment(classes: pd.DataFrame, cooperative: "pd.Series[str]") -> pd.DataFrame:
    """Hectares and share of each land-cover class on the measured plots of each cooperative.

    Ground without data (class −1), outside the raster (−2) and of unknown codes (−3) are rows of their own, so the
    shares of a cooperative add up to 1. Overlapping ground stands with each of its plots here.

    Parameters
    ----------
    classes : plot_id, class, name, area_ha.
    cooperative : index plot_id.

    Returns
    -------
    DataFrame : cooperative_id, class, name, area_ha, share (0–1); classes in the order of their codes.

    Examples
    --------
    >>> classes = pd.DataFrame(
    ...     {"plot_id": ["A", "A"], "class": [10, 40], "name": ["Tree", "Crop"], "area_ha": [3.0, 1.0]}
    ... )
    >>> environment(classes, pd.Series({"A": "C1"}))["share"].tolist()
    [0.75, 0.25]
    """
    frame = classes.assign(cooperative_id=cooperative.reindex(classes["plot_id"]).to_numpy())
    frame = frame.sort_values(["cooperative_id", "class", "plot_id"], kind="stable")
    sums = frame.groupby(["cooperative_id", "class", "name"], as_index=False)["area_ha"].sum()
    return sums.assign(share=sums["area_ha"] / sums.groupby("cooperative_id")["area_ha"].transform("sum"))


def profiles(
    plots: gpd.GeoDataFrame,
    classes: pd.DataFrame,
    product: Product,
    rasters: Sequence[Path] = (),
    *,
    workers: int | None = None,
) -> Profiles:
    """Profile of each cooperative, with intervals and comparisons.

    Parameters
    ----------
    plots : index plot_id, EPSG:4326; cooperative_id, area_ha; altitude (mean of a layer) or altitude_m where known.
    classes : of `class_areas` on these plots.
    product : its legend, with published accuracies.
    rasters : for the land around the plots, which is left out without them; around more than `MOST_RINGED` plots it is
        seen at a sample of places.
    workers : threads; never changes a result.

    Raises
    ------
    RasterError, CrsError : see `class_areas`.
    """
    mix = environment(classes, plots["cooperative_id"])
    told = with_accuracy(mix, product)
    trees = set(product.legend.index[product.legend["tree_cover"] > 0])
    on_plots = GroupShares.of("tree_share", mix, product, trees)
    parts, pairs = [on_plots.table()], [on_plots.pairs()]
    if rasters:
        look = land_around if len(plots) <= MOST_RINGED else land_around_sampled
        around = look(plots, rasters, product, workers=workers)
        nearby = GroupShares.of(
            UNCULTIVATED, around, product, set(product.legend.index[is_uncultivated(product.legend)])
        )
        parts.append(nearby.table())
        pairs.append(nearby.pairs())
    parts.append(_altitudes(plots))
    rank = {measure: place for place, measure in enumerate(MEASURES)}
    table = pd.concat([part for part in parts if len(part)] or [parts[0]], ignore_index=True)
    order = table.assign(_rank=table["measure"].map(rank)).sort_values(["cooperative_id", "_rank"]).index
    return Profiles(told, table.loc[order, PROFILE_COLUMNS].reset_index(drop=True), pd.concat(pairs, ignore_index=True))


def with_accuracy(mix: pd.DataFrame, product: Product) -> pd.DataFrame:
    """The land cover with what the map's published accuracy makes of each class, and its interval of 95 %.

    adjusted_ha = Σ over mapped classes i of A_i p(j|i) with p(i|i) the user's accuracy (`carried_areas`). Missing for
    ground without data, and everywhere where no accuracy of the product is published.

    Parameters
    ----------
    mix : of `environment`.

    Examples
    --------
    WorldCover is right on .8 of what it maps as tree; the rest may be of the other class, and so the other way:

    >>> from geomap.landcover.product import product
    >>> mix = pd.DataFrame({"cooperative_id": "C", "class": [10, 40], "name": "", "area_ha": [90.0, 10.0],
    ...                     "share": [0.9, 0.1]})
    >>> with_accuracy(mix, product("esa-worldcover-2021"))["adjusted_ha"].round(3).tolist()
    [73.94, 26.06]
    """
    names = {"area_ha": "adjusted_ha", "low_ha": "adjusted_low_ha", "high_ha": "adjusted_high_ha"}
    rows = published_rows(product, mix.groupby("class")["area_ha"].sum())
    if rows.empty:
        return mix.assign(**dict.fromkeys(names.values(), np.nan))
    carried, _ = carried_areas(mix, rows)
    carried = carried[["cooperative_id", "class", *names]].rename(columns=names)
    return mix.merge(carried, on=["cooperative_id", "class"], how="left", validate="one_to_one")


def _altitudes(plots: gpd.GeoDataFrame) -> pd.DataFrame:
    """Median and P10–P90 of the altitude of each cooperative's ground; a plot without an area weighs as the mean one.

    From the layer `altitude` where the plots have it, else from altitude_m.
    """
    ordered = plots.sort_index(kind="stable")
    told = told_altitude(ordered)
    named = [ordered[name] for name in ALTITUDE_NAMES if name in ordered and ordered[name].dtype.kind == "f"]
    if told is None and not named:
        return pd.DataFrame(columns=PROFILE_COLUMNS)
    height = told if told is not None and not named else named[0] if told is None else named[0].fillna(told)
    assert height is not None
    area = ordered["area_ha"].astype(float)
    area = area.where(area > 0).fillna(area[area > 0].mean()).fillna(1.0)
    known = height.notna().to_numpy()
    codes, ids = pd.factorize(ordered["cooperative_id"][known], sort=True)
    values, weights = height[known].to_numpy(float), area[known].to_numpy(float)
    low, middle, high = (
        weighted_quantile(codes.astype(np.int64), values, weights, q, groups=len(ids)) for q in (0.1, 0.5, 0.9)
    )
    return pd.DataFrame(
        {
            "cooperative_id": ids.astype("str"),
            "measure": "altitude_m",
            "unit": "m",
            "mapped": middle,
            "estimate": middle,
            "low": low,
            "high": high,
            "interval": "a tenth of the ground is lower, a tenth higher",
            "basis": "altitude as told" if not named else "layer of altitude",
        }
    )
