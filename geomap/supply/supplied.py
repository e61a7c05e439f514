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


def item_supply(
    items: Items,
    calibration: "Calibration",
    totals: pd.DataFrame | None = None,
    came: "pd.Series[float] | None" = None,
) -> "pd.Series[float]":
    """Mean supply of each item in kilograms: the member's supply, divided by what its items can bear.

    NaN where the cooperative has no supply. Same index and order as `items.table`; adds up to the cooperatives.

    Parameters
    ----------
    items : those that the calibration's target was made of.
    totals : index cooperative_id; mean_kg, var: of `Outlook.totals`. The calibration's own where not given.
    came : index cooperative_id, member_id; kilograms of the season that have come. They are their members'; the rest of
        the total is shared out as the calibration would.
    """
    return _parts(items, calibration, totals, came).sum(axis=1, skipna=False).rename("supply_kg")


def _parts(
    items: Items, calibration: "Calibration", totals: pd.DataFrame | None, came: "pd.Series[float] | None"
) -> pd.DataFrame:
    """What has come and what is still to come of each item: came_kg, rest_kg."""
    keys = ["cooperative_id", "member_id"]
    people = calibration.members.rename_axis("member_id").reset_index().set_index(keys)
    coop = items.table["cooperative_id"]
    member = items.table["member_id"].where(items.table["member_id"] != "", "plot:" + items.table.index.astype("str"))
    owner = pd.MultiIndex.from_arrays([coop, member])
    mean = items.table["mean_kg"].to_numpy(float)
    share = mean / people["potential_kg"].reindex(owner).to_numpy(float)
    expected = people["supply_kg"].reindex(owner).to_numpy(float) * share
    here = np.zeros(len(mean)) if came is None else came.reindex(owner).fillna(0.0).to_numpy(float) * share
    here = np.where(mean > 0, here, 0.0)
    known = calibration.cooperatives["supply_kg"]
    whole = known if totals is None else totals["mean_kg"].reindex(known.index)
    left = whole - pd.Series(here).groupby(coop.to_numpy()).sum().reindex(known.index).fillna(0.0)
    rest = expected * (left.clip(lower=0.0) / known).reindex(coop).to_numpy(float)
    served = known.reindex(coop).notna().to_numpy()
    rest = np.where(served & (mean == 0), 0.0, rest)
    return pd.DataFrame({"came_kg": np.where(served, here, np.nan), "rest_kg": rest}, index=items.table.index)


def supply_sums(
    items: Items,
    calibration: "Calibration",
    group: "pd.Series[Any]",
    totals: pd.DataFrame | None = None,
    came: "pd.Series[float] | None" = None,
) -> pd.DataFrame:
    """Supply of each group with its interval, in kilograms (var: kg²).

    Means add up. A cooperative has the interval of the calibration. A part of it, a share w of its supply, has
    w² Var(cooperative) + max(0, Var_own(part) − w² Var_own(cooperative)), where Var_own counts the errors of plots and
    members alone: few plots are less sure than many. What past deliveries say of one member moves that member's mean
    and not its width, so that members' intervals are wide rather than narrow. Cooperatives of one origin err together,
    in a group as in the sum. What has come of the season is certain; all of the interval is that of the rest.

    Parameters
    ----------
    items : those that the calibration's target was made of.
    group : label of each item, in their order.
    totals, came : as for `item_supply`. Cooperatives keep their correlations, whatever has come.

    Returns
    -------
    DataFrame : index group, sorted; `SUPPLY_COLUMNS`, then var. NaN where a cooperative in the group has no supply: a
        sum over the others would look like one over all.
    """
    both = _parts(items, calibration, totals, came)
    whole = _whole(calibration, totals, both, items.table["cooperative_id"])
    coop = items.table["cooperative_id"]
    labels, coops = group.astype("str").to_numpy(dtype=object), coop.to_numpy(dtype=object)
    parts = pd.DataFrame({"group": labels, "cooperative_id": coops, "kg": both["rest_kg"].to_numpy()})
    parts["came"] = both["came_kg"].to_numpy()
    missing = parts["kg"].isna().groupby(parts["group"]).any()
    known = parts["kg"].notna().to_numpy()
    own = _own(items.where(pd.Series(known, index=items.table.index)), both["rest_kg"][known])
    parts = parts[known].groupby(["group", "cooperative_id"])[["kg", "came"]].sum().reset_index()
    parts["share"] = (parts["kg"] / whole["rest_kg"].reindex(parts["cooperative_id"]).to_numpy()).fillna(0.0)
    pair = pd.Series(labels[known], index=own.table.index) + "\x1f" + pd.Series(coops[known], index=own.table.index)
    of_part = exact_totals(own, pair)["var"].reindex(parts["group"] + "\x1f" + parts["cooperative_id"]).to_numpy()
    of_coop = exact_totals(own, own.table["cooperative_id"])["var"].reindex(parts["cooperative_id"]).to_numpy()
    parts["extra"] = np.maximum(of_part - parts["share"] ** 2 * of_coop, 0.0)
    parts["var"] = parts["share"] ** 2 * whole["var"].reindex(parts["cooperative_id"]).to_numpy()
    sums = parts.groupby("group")[["kg", "came", "extra", "var"]].sum().reindex(missing.index, fill_value=0.0)
    counts = parts.groupby("group").size()
    for label in counts.index[counts > 1]:
        rows = parts[parts["group"] == label].set_index("cooperative_id")
        spread = whole["spread"].reindex(rows.index).to_numpy(float)
        sums.loc[label, "var"] = calibration.part(rows["share"] * spread)["var"]
    rest, certain = (sums[name].where(~missing).to_numpy(float) for name in ("kg", "came"))
    var = (sums["var"] + sums["extra"]).where(~missing).to_numpy(float)
    quantiles = {
        name: certain + interval(rest, var, q) for name, q in zip(SUPPLY_COLUMNS[1:], (0.1, 0.5, 0.9), strict=True)
    }
    return pd.DataFrame({"supply_kg": certain + rest, **quantiles, "var": var}, index=sums.index.rename("group"))


def _whole(
    calibration: "Calibration", totals: pd.DataFrame | None, both: pd.DataFrame, coop: "pd.Series[str]"
) -> pd.DataFrame:
    """What is still to come of each cooperative, its variance, and its sd as a multiple of the calibration's."""
    known = calibration.cooperatives["var"]
    rest = both["rest_kg"].groupby(coop.to_numpy()).sum().reindex(known.index)
    var = known if totals is None else totals["var"].reindex(known.index)
    ratio = np.divide(var, known, out=np.ones(len(known)), where=(known > 0).to_numpy())
    return pd.DataFrame({"rest_kg": rest, "var": var, "spread": np.sqrt(ratio)}, index=known.index)


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
