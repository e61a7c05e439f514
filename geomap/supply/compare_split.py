"""Two runs beside each other: what each factor did to each plot, and to the guess for each member without one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Quantity = Literal["potential", "supply"]

GROUPS: Final = ("area", "land_cover", "told", "settings", "deliveries")
"""Factors of a plot by what may change them; deliveries is supply's alone."""
_TEXTS: Final = ("member_id", "cooperative_id", "kind")


@dataclass(frozen=True)
class Written:
    """What a run left, as far as a comparison reads it.

    Attributes
    ----------
    plots : index plot_id; columns of plots.parquet, outlines may be missing.
    members : index member_id; columns of members.csv. None where they may not be read: guesses are left out then.
    settings : what was chosen: name → text; crop, country, season, product, accuracy, versions and more.
    form : product form of all kilograms.
    land : what the map says and how right it is: equal in two runs that read the same ground from the same map.
    """

    plots: pd.DataFrame
    members: pd.DataFrame | None
    settings: Mapping[str, str]
    form: str
    land: str


def plot_changes(before: Written, after: Written) -> pd.DataFrame:
    """Both runs beside each other, one row per plot; columns of the first run end in _a, of the second in _b."""
    same_land = before.land == after.land
    sides = [_factors(run) for run in (before, after)]
    table = _beside(*sides)
    has_a, has_b = table["potential_a"].notna(), table["potential_b"].notna()
    table["kind_of_row"] = np.where(has_a & has_b, "both", np.where(has_b, "plots_new", "plots_gone"))
    for name in ("p", "g"):  # told anew, or another default
        told = _differs(table[f"told_{name}_a"], table[f"told_{name}_b"])
        for side in "ab":
            table[f"told_{side}"] = table[f"told_{side}"] * table[f"{name}_{side}"].where(told, 1.0)
            table[f"settings_{side}"] = table[f"settings_{side}"] * table[f"{name}_{side}"].where(~told, 1.0)
    if same_land:
        for side in "ab":
            table[f"area_{side}"] = table[f"area_{side}"] * table[f"land_cover_{side}"]
            table[f"land_cover_{side}"] = 1.0
    return table


def _factors(run: Written) -> pd.DataFrame:
    """Factors of each plot of a run by what may change them; the product is its potential, with `deliveries` supply."""
    plots = run.plots
    number = {name: pd.to_numeric(plots[name], errors="coerce") for name in plots.columns if name not in _TEXTS}
    kg = number["potential_kg"].fillna(0.0)
    hive = run.settings.get("crop") == "honey" and "hives" in number
    area = (number["hives"] if hive else number["counted_area_ha"]).fillna(0.0)
    f = pd.Series(1.0, index=plots.index) if hive else number["f"].fillna(1.0)
    p = pd.Series(1.0, index=plots.index) if hive else number["p"].fillna(1.0)
    productive = area if hive else number.get("productive_ha", area * f * p).fillna(0.0)
    settings = number["y_kg_ha"] * number["k"] * _ratio(productive, area * f * p)
    supply = number.get("supply_kg", pd.Series(np.nan, index=plots.index))
    found = {
        "cooperative_id": plots["cooperative_id"].astype("str"),
        "potential": kg,
        "supply": supply,
        "counted_ha": number["counted_area_ha"].fillna(0.0),
        "area": area,
        "land_cover": f,
        "told": _ratio(kg, productive * number["y_kg_ha"] * number["g"] * number["k"]),
        "settings": settings,
        "deliveries": _ratio(supply, kg),
        "p": p,
        "g": number["g"],
        "told_p": number.get("planted_share", pd.Series(np.nan, index=plots.index)),
        "told_g": number.get("planted_year", pd.Series(np.nan, index=plots.index)),
    }
    return pd.DataFrame(found, index=plots.index)


def _beside(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Both sides by id, columns ending in _a and _b; what moved to another cooperative is gone there and new here."""
    table = before.add_suffix("_a").join(after.add_suffix("_b"), how="outer").sort_index()
    one, other = table["cooperative_id_a"], table["cooperative_id_b"]
    moved = (one != other) & one.notna() & other.notna()
    parts = [table[~moved]]
    for side in ("_a", "_b"):
        away = table[moved].copy()
        away[[name for name in away if name.endswith(side)]] = np.nan
        parts.append(away)
    found = pd.concat(parts) if moved.any() else table
    found = found.assign(cooperative_id=found["cooperative_id_b"].fillna(found["cooperative_id_a"]))
    return found.sort_values("cooperative_id", kind="stable").sort_index(kind="stable")


def _ratio(part: "pd.Series[float]", whole: "pd.Series[float]") -> "pd.Series[float]":
    """Part / whole; NaN (not known) where the whole is 0."""
    return part / whole.where(whole != 0)


def _differs(one: "pd.Series[float]", other: "pd.Series[float]") -> "pd.Series[bool]":
    return (one != other) & ~(one.isna() & other.isna())


def split(table: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """What each group of factors did to each row that stands in both runs; columns `GROUPS`, kg.

    A factor that one run cannot tell (0 / 0) is that of the other. What the factors leave is the last's.
    """
    groups = GROUPS if quantity == "supply" else GROUPS[:-1]
    ends = []
    for side, other in (("a", "b"), ("b", "a")):
        own = [table[f"{name}_{side}"].fillna(table[f"{name}_{other}"]).fillna(1.0) for name in groups]
        ends.append(np.array([column.to_numpy(float) for column in own]).reshape(len(groups), len(table)))
    parts = shapley(*ends)
    whole = table[f"{quantity}_b"].fillna(0.0).to_numpy(float) - table[f"{quantity}_a"].fillna(0.0).to_numpy(float)
    parts[-1] += whole - parts.sum(axis=0)
    frame = pd.DataFrame(parts.T, index=table.index, columns=list(groups))
    return frame.reindex(columns=list(GROUPS), fill_value=0.0)


def shapley(before: Floats, after: Floats) -> Floats:
    """What each factor does to a product when all go from `before` to `after`: the mean over all orders.

    The parts add up to ∏ after − ∏ before.

    Parameters
    ----------
    before, after : (factors, rows).

    Returns
    -------
    (factors, rows).

    Source: Shapley (1953), A value for n-person games.

    Examples
    --------
    2 · 10 becomes 3 · 20: the first factor does 10 or 20, the second 20 or 30.

    >>> shapley(np.array([[2.0], [10.0]]), np.array([[3.0], [20.0]])).ravel().tolist()
    [15.0, 25.0]
    """
    count = len(before)
    parts = np.zeros_like(before)
    for own in range(count):
        others = [index for index in range(count) if index != own]
        for chosen in range(2 ** len(others)):
            moved = [bool(chosen >> place & 1) for place in range(len(others))]
            size = sum(moved)
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            rest = np.full(before.shape[1], weight)
            for index, is_after in zip(others, moved, strict=True):
                rest = rest * (after[index] if is_after else before[index])
            parts[own] += rest * (after[own] - before[own])
    return parts


# ---- members without a plot ----


def member_changes(before: Written, after: Written) -> pd.DataFrame:
    """Members without a plot in one of the runs, as `plot_changes`; index "member:<id>".

    Where no setting differs, settings did nothing to a guess.
    """
    sides, same = [], before.settings == after.settings
    for run in (before, after):
        people = guessed_members(run)
        mean = _yield_of(run, people["cooperative_id"]) if not same else pd.Series(1.0, index=people.index)
        columns = {"cooperative_id": people["cooperative_id"], "potential": people["potential_kg"]}
        columns |= {"supply": people["supply_kg"], "settings": mean}
        columns |= {"area": people["potential_kg"] / mean}
        columns |= {"deliveries": _ratio(people["supply_kg"], people["potential_kg"])}
        frame = pd.DataFrame(columns).assign(land_cover=1.0, told=1.0, counted_ha=0.0)
        sides.append(frame.set_axis(pd.Index("member:" + people.index.astype("str"), dtype="str")))
    table = _beside(*sides)
    has_a, has_b = table["potential_a"].notna(), table["potential_b"].notna()
    table["kind_of_row"] = np.where(has_a & has_b, "guess", "members")
    return table


def guessed_members(run: Written) -> pd.DataFrame:
    """Members that stand with a guess."""
    if run.members is None or not len(run.members):
        empty = {"cooperative_id": pd.Series(dtype="str"), "potential_kg": pd.Series(dtype=float)}
        return pd.DataFrame(empty | {"supply_kg": pd.Series(dtype=float)}, index=pd.Index([], dtype="str"))
    people = run.members
    people = people[pd.to_numeric(people["plots"], errors="coerce").fillna(0) == 0]
    coops = people["cooperative_id"].astype("str") if "cooperative_id" in people else _only(run, people.index)
    kg = pd.to_numeric(people["potential_kg"], errors="coerce").fillna(0.0)
    supply = pd.to_numeric(people["supply_kg"], errors="coerce") if "supply_kg" in people else kg * np.nan
    median = pd.to_numeric(people["potential_p50_kg"], errors="coerce") if "potential_p50_kg" in people else kg * 0
    found = {"cooperative_id": coops, "potential_kg": kg, "supply_kg": supply, "potential_p50_kg": median}
    return pd.DataFrame(found, index=people.index)


def _only(run: Written, index: pd.Index) -> "pd.Series[str]":
    names = run.plots["cooperative_id"].astype("str").unique()
    return pd.Series(names[0] if len(names) == 1 else "", index=index, dtype="str")


def _yield_of(run: Written, wanted: "pd.Series[str]") -> "pd.Series[float]":
    """Mean y · k of each cooperative's plots, else of all, else 1: what settings do to a guess."""
    kg_ha = pd.to_numeric(run.plots["y_kg_ha"], errors="coerce") * pd.to_numeric(run.plots["k"], errors="coerce")
    kg_ha = kg_ha.sort_index(kind="stable")
    coops = run.plots["cooperative_id"].astype("str").reindex(kg_ha.index)
    overall = float(kg_ha.mean()) if kg_ha.notna().any() else 1.0
    found = wanted.map(kg_ha.groupby(coops).mean()).astype(float).fillna(overall)
    return found.where(found > 0, 1.0)
