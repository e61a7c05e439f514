"""Tables of members, cooperatives and attributes: how many, how many hectares, how many kilograms with an interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geomap.supply.items import Items
from geomap.supply.supplied import supply_sums
from geomap.supply.totals import totals

if TYPE_CHECKING:
    from geomap.supply.outlook import Outlook

NONE: Final = "(none)"
"""Stands for a missing value of an attribute that is summed by."""

SUM_COLUMNS: Final = [
    "members", "plots", "members_mapped", "area_ha", "productive_ha",
    "potential_kg", "potential_p10_kg", "potential_p50_kg", "potential_p90_kg",
    "supply_kg", "supply_p10_kg", "supply_p50_kg", "supply_p90_kg", "unmapped_kg",
]  # fmt: skip


def attribute_labels(
    items: Items, plots: gpd.GeoDataFrame, members: pd.DataFrame, columns: Sequence[str]
) -> dict[str, "pd.Series[Any]"]:
    """Value of each attribute on every item: the plot's own, else its member's, else "(none)".

    Parameters
    ----------
    items : index plot_id, or "member:<id>" for a member without a plot.
    plots, members : indexed by plot_id and member_id.
    columns : attributes of either.
    """
    labels: dict[str, pd.Series[Any]] = {}
    index, owner = items.table.index, items.table["member_id"]
    for column in columns:
        found = pd.Series("", index=index, dtype=object)
        if column in plots:
            found = pd.Series(plots[column].reindex(index).to_numpy(dtype=object), index=index)
        if column in members:
            of_member = pd.Series(members[column].reindex(owner).to_numpy(dtype=object), index=index)
            found = found.where(found.notna() & (found != ""), of_member)
        labels[column] = found.fillna("").astype("str").replace("", NONE)
    return labels


def group_sums(items: Items, group: "pd.Series[Any]", outlook: "Outlook | None" = None) -> pd.DataFrame:
    """Members, plots, hectares and potential of each group of items.

    Hectares are those of plots; kilograms include members without a plot (`unmapped_kg` is their part). Without an
    outlook the supply columns are empty: potential alone is no evidence of it.

    Parameters
    ----------
    items : plots, or parts of them that members share, and members without one.
    group : label of each item, in their order.
    outlook : whose calibration had a target made of these items; with what has come of the season so far.

    Returns
    -------
    DataFrame : columns id, then `SUM_COLUMNS`, then `var` (kg²); one row per label, sorted.
    """
    found = totals(items, group)
    mapped = (items.table["kind"] != "unmapped").to_numpy()
    frame = pd.DataFrame(
        {
            "id": group.to_numpy(),
            "item": items.table.index,
            "member": items.table["member_id"].to_numpy(),
            "plot": mapped,
            "area_ha": np.where(mapped, items.table["area_ha"], 0.0),
            "productive_ha": np.where(mapped, items.table["productive_ha"], 0.0),
            "unmapped_kg": np.where(mapped, 0.0, items.table["mean_kg"]),
        }
    ).sort_values(["id", "item"], kind="stable")
    by_id = frame.groupby("id")
    sums = by_id[["area_ha", "productive_ha", "unmapped_kg"]].sum()
    sums["members"] = by_id["member"].nunique()
    on_plots = frame[frame["plot"]].groupby("id")
    for count, column in (("plots", "item"), ("members_mapped", "member")):
        sums[count] = on_plots[column].nunique().reindex(sums.index, fill_value=0)
    sums["potential_kg"] = found["mean_kg"]
    for quantile in ("p10", "p50", "p90"):
        sums[f"potential_{quantile}_kg"] = found[quantile]
    if outlook is not None:
        supply = supply_sums(items, outlook.calibration, group, outlook.totals, outlook.came).drop(columns="var")
        sums[supply.columns] = supply.reindex(sums.index)
    return sums.reindex(columns=SUM_COLUMNS).assign(var=found["var"]).sort_index().reset_index()
