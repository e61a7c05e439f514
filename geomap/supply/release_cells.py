"""Map cells of a release: where they are, and which of them holds each plot."""

import math
from typing import Final

import numpy as np
import pandas as pd

from geomap.supply import disclosure
from geomap.supply.basis import Members, Row

PLACE_COLUMNS: Final = ["size_km", "rest", "west", "south", "east", "north"]


def placed(members: Members, points: pd.DataFrame | None, quantity: str) -> pd.DataFrame:
    """Plots with member_id, lon, lat, value_kg; and what members have beyond them, without a place."""
    columns = ["member_id", "lon", "lat", "value_kg"]
    if points is None:
        return pd.DataFrame(columns=columns).astype({"member_id": "str"} | dict.fromkeys(columns[1:], float))
    plots = points.rename(columns={f"{quantity}_kg": "value_kg"})[columns]
    plots = plots[plots["value_kg"] > 0].astype({"member_id": "str"})
    left = members.kg - plots.groupby("member_id")["value_kg"].sum().reindex(members.kg.index, fill_value=0.0)
    beyond = left[left > 1e-9 * members.kg].rename("value_kg").rename_axis("member_id").reset_index()
    return pd.concat([plots, beyond.assign(lon=math.nan, lat=math.nan)], ignore_index=True)


def layout_of(members: Members, plots: pd.DataFrame, before: pd.DataFrame | None) -> list[Row]:
    """Map cells, without their numbers: those of the release before where too few members changed for others."""
    changed = members.changed
    if before is not None and len(before) and changed is not None and changed < members.min_members:
        table = before
    else:
        table = disclosure.cells(
            plots[["lon", "lat"]].to_numpy(float),
            plots["member_id"],
            plots["value_kg"].to_numpy(float),
            min_members=members.min_members,
        )
    rows: list[Row] = table[PLACE_COLUMNS].to_dict("records")
    return rows


def owners(layout: list[Row], plots: pd.DataFrame) -> tuple[list[str], "pd.Series[str]"]:
    """A key of each cell, and the key of the smallest cell that holds each plot; missing where none does.

    The key of a rest holds its area: with other cells inside it is another place.
    """
    table = pd.DataFrame(layout, columns=PLACE_COLUMNS)
    owner = pd.Series(None, index=plots.index, dtype=object)
    if table.empty:
        return [], owner
    middle = np.column_stack([table[["west", "east"]].mean(axis=1), table[["south", "north"]].mean(axis=1)])
    area = disclosure.own_area_km2(table)
    keys = pd.Series("", index=table.index, dtype=object)
    placed = plots["lon"].notna() & plots["lat"].notna()
    for size in sorted(set(table["size_km"]), reverse=True):
        one = np.flatnonzero(table["size_km"] == size)
        places = [f"{size}:{x}:{y}" for x, y in disclosure.cell_of(middle[one], size).tolist()]
        keys.iloc[one] = [
            f"{place}:{area[k]:.0f}" if table["rest"][k] else place for place, k in zip(places, one, strict=True)
        ]
        here = disclosure.cell_of(plots.loc[placed, ["lon", "lat"]], size).tolist()
        at = dict(zip(places, keys.iloc[one], strict=True))
        found = pd.Series([at.get(f"{size}:{x}:{y}") for x, y in here], index=plots.index[placed], dtype=object)
        owner.loc[found.dropna().index] = found.dropna()
    return keys.tolist(), owner
