"""Supply of any group of plots and members: what a calibration says of cooperatives, handed down to their parts."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from geomap.supply.items import Items, shared_by
from geomap.supply.totals import interval
from geomap.supply.totals import totals as exact_totals

if TYPE_CHECKING:
    from geomap.supply.calibrate import Calibration

SUPPLY_COLUMNS: Final = ("supply_kg", "supply_p10_kg", "supply_p50_kg", "supply_p90_kg")

_OF_ONE: Final = {("plot_id",), ("member_id", "season")}
"""What shares the errors of a plot or member alone."""


def item_supply(items: Items, calibration: "Calibration", totals: pd.DataFrame | None = None) -> "pd.Series[float]":
    """Mean supply of each item in kilograms: the member's supply, divided by what its items can bear.

    NaN where the cooperative has no supply. Same index and order as `items.table`; adds up to the cooperatives.

    Parameters
    ----------
    items : those that the calibration's target was made of.
    totals : index cooperative_id; mean_kg, var: of `Outlook.totals`, moved by what has come of the season so far. The
        calibration's own where not given. What has come moves all members of a cooperative alike.
    """
    keys = ["cooperative_id", "member_id"]
    people = calibration.members.rename_axis("member_id").reset_index().set_index(keys)
    rate = people["supply_kg"] / people["potential_kg"]
    member = items.table["member_id"].where(items.table["member_id"] != "", "plot:" + items.table.index.astype("str"))
    found = rate.reindex(pd.MultiIndex.from_arrays([items.table["cooperative_id"], member])).to_numpy(float)
    mean = items.table["mean_kg"].to_numpy(float)
    supply = mean * found
    served = calibration.cooperatives["supply_kg"].reindex(items.table["cooperative_id"]).notna().to_numpy()
    if totals is not None:
        moved = totals["mean_kg"] / calibration.cooperatives["supply_kg"].reindex(totals.index)
        supply = supply * moved.reindex(items.table["cooperative_id"]).fillna(1.0).to_numpy(float)
    return pd.Series(np.where(served & (mean == 0), 0.0, supply), index=items.table.index, name="supply_kg")


def supply_sums(
    items: Items, calibration: "Calibration", group: "pd.Series[Any]", totals: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Supply of each group with its interval, in kilograms (var: kg²).

    Means add up. A cooperative has the interval of the calibration. A part of it, a share w of its supply, has
    w² Var(cooperative) + max(0, Var_own(part) − w² Var_own(cooperative)), where Var_own counts the errors of plots and
    members alone: few plots are less sure than many. What past deliveries say of one member moves that member's mean
    and not its width, so that members' intervals are wide rather than narrow. Cooperatives of one origin err together,
    in a group as in the sum.

    Parameters
    ----------
    items : those that the calibration's target was made of.
    group : label of each item, in their order.
    totals : as for `item_supply`. Cooperatives keep their correlations, whatever has come.

    Returns
    -------
    DataFrame : index group, sorted; `SUPPLY_COLUMNS`, then var. NaN where a cooperative in the group has no supply: a
        sum over the others would look like one over all.
    """
    supply = item_supply(items, calibration, totals)
    whole = _whole(calibration, totals)
    coop = items.table["cooperative_id"]
    labels, coops = group.astype("str").to_numpy(dtype=object), coop.to_numpy(dtype=object)
    parts = pd.DataFrame({"group": labels, "cooperative_id": coops, "kg": supply.to_numpy()})
    missing = parts["kg"].isna().groupby(parts["group"]).any()
    known = parts["kg"].notna().to_numpy()
    own = _own(items.where(pd.Series(known, index=items.table.index)), supply[known])
    parts = parts[known].groupby(["group", "cooperative_id"])["kg"].sum().rename("kg").reset_index()
    parts["share"] = (parts["kg"] / whole["mean_kg"].reindex(parts["cooperative_id"]).to_numpy()).fillna(0.0)
    pair = pd.Series(labels[known], index=own.table.index) + "\x1f" + pd.Series(coops[known], index=own.table.index)
    of_part = exact_totals(own, pair)["var"].reindex(parts["group"] + "\x1f" + parts["cooperative_id"]).to_numpy()
    of_coop = exact_totals(own, own.table["cooperative_id"])["var"].reindex(parts["cooperative_id"]).to_numpy()
    parts["extra"] = np.maximum(of_part - parts["share"] ** 2 * of_coop, 0.0)
    parts["var"] = parts["share"] ** 2 * whole["var"].reindex(parts["cooperative_id"]).to_numpy()
    sums = parts.groupby("group")[["kg", "extra", "var"]].sum().reindex(missing.index, fill_value=0.0)
    counts = parts.groupby("group").size()
    for label in counts.index[counts > 1]:
        rows = parts[parts["group"] == label].set_index("cooperative_id")
        spread = whole["spread"].reindex(rows.index).to_numpy(float)
        sums.loc[label, "var"] = calibration.part(rows["share"] * spread)["var"]
    mean = sums["kg"].where(~missing).to_numpy(float)
    var = (sums["var"] + sums["extra"]).where(~missing).to_numpy(float)
    quantiles = {name: interval(mean, var, q) for name, q in zip(SUPPLY_COLUMNS[1:], (0.1, 0.5, 0.9), strict=True)}
    return pd.DataFrame({"supply_kg": mean, **quantiles, "var": var}, index=sums.index.rename("group"))


def _whole(calibration: "Calibration", totals: pd.DataFrame | None) -> pd.DataFrame:
    """Mean and variance of each cooperative, and its sd as a multiple of the calibration's."""
    known = calibration.cooperatives.rename(columns={"supply_kg": "mean_kg"})[["mean_kg", "var"]]
    whole = known if totals is None else totals.reindex(known.index)
    ratio = np.divide(whole["var"], known["var"], out=np.ones(len(known)), where=(known["var"] > 0).to_numpy())
    return whole.assign(spread=np.sqrt(ratio))


def _own(items: Items, supply: "pd.Series[float]") -> Items:
    """The items with their supply as mean, and the errors that plots and members have of their own."""
    own = [source for source, columns in shared_by().items() if columns in _OF_ONE and source in items.cv]
    return replace(
        items,
        table=items.table.assign(mean_kg=supply.to_numpy(float)),
        cv=items.cv[own],
        map_share=pd.DataFrame(index=items.map_share.index),
        map_se=items.map_se.iloc[:0],
    )
