"""Two runs of a cooperative: what changed between them, and why, in kilograms that add up to the difference.

Decision. The potential of a plot is a product, so the order in which its factors are changed decides what each of them
is said to do. No order is better than another: each factor gets the mean over all orders (Shapley value). So the parts
add up exactly, and comparing the runs the other way round turns every sign and nothing else.

    potential = area · f · (p · g · what else is told of the plot) · (y · k · ratio of declared areas) · deliveries
                ─┬──  ┬   ───────────────┬──────────────────────    ──────────────┬──────────────       ───┬────
                area  land cover       told                                    settings              supply only

Where both runs read the same map, f moves with the outline and counts to `area`. Planted share and age count to
`settings` where nothing new was told: the default or the season changed. A plot is the same plot by its id.

Members without a plot stand with a guess. Who joined, left or was mapped meanwhile, and another guess, is `members`;
what base yield and conversion do to the guess is `settings`, by the mean y · k of the cooperative's plots.

The interval (95 %) is of what changed on the ground or among the members: new plots, plots gone, outlines, what is
told, members. Errors that both runs share stand in it once, as factors of the change: a plot's own yield, its member's
season, cooperative, origin and map. What was measured twice, such as a new outline, errs twice. Where the map or a
setting changed no interval is known: that is another assumption about the same ground, not a change of it. Gains and
losses are log-normal, with the correlation that the shared errors give them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.errors import GeomapError
from geomap.supply.compare_columns import COMPARE_DOCS
from geomap.supply.compare_errors import NOTHING_KG, Errors
from geomap.supply.compare_split import GROUPS, Quantity, Written, member_changes, plot_changes, split

PARTS: Final = ("plots_new", "plots_gone", "area", "land_cover", "told", "members", "settings", "deliveries")
"""Why two runs differ; together they are the whole difference."""
ON_THE_GROUND: Final = ("plots_new", "plots_gone", "area", "told", "members")
"""Parts that have an interval."""
COLUMNS: Final = tuple(COMPARE_DOCS)
EXAMPLE_COLUMNS: Final = ("cooperative_id", "quantity", "part", "id", "before_kg", "after_kg", "change_kg")
MOST_EXAMPLES: Final = 5
_ROUNDED_KG: Final = 0.2
"""members.csv holds 100 g: a guess that settings moved is not said to have changed by less."""
_NEEDED: Final = (
    "member_id",
    "cooperative_id",
    "kind",
    "counted_area_ha",
    "potential_kg",
    "f",
    "p",
    "y_kg_ha",
    "g",
    "k",
)


class NotComparableError(GeomapError):
    """Two runs whose difference would say nothing."""

    code = "not_comparable"


@dataclass(frozen=True)
class Comparison:
    """What changed from one run to another.

    Attributes
    ----------
    parts : `COLUMNS`; per cooperative ("all" last where there are several) and quantity the parts and "difference".
    examples : `EXAMPLE_COLUMNS`; the plots ("member:<id>" for members) that changed most, at most five per part.
    changed : name, before, after of each setting that differs.
    """

    parts: pd.DataFrame
    examples: pd.DataFrame
    changed: list[dict[str, str]] = field(default_factory=list)

    def of(self, quantity: Quantity = "potential", cooperative_id: str | None = None) -> pd.DataFrame:
        """Parts of one quantity, index part: of a cooperative, else of all."""
        rows = self.parts[self.parts["quantity"] == quantity]
        wanted = cooperative_id if cooperative_id is not None else rows["cooperative_id"].iloc[-1]
        return rows[rows["cooperative_id"] == wanted].set_index("part")


def compare_runs(before: Written, after: Written) -> Comparison:
    """What changed from one run to another, split into parts that add up to the difference; see the module's docstring.

    Supply is compared where both runs have it.

    Raises
    ------
    NotComparableError : two product forms, no cooperative in both, nothing in either, or a column is missing.

    Examples
    --------
    Plot A grows from 1 to 2 ha, B is new, C is gone; 100 kg a hectare. 100 more, 100 more, 300 less: −100 in all.

    >>> def run(**areas):
    ...     table = pd.DataFrame({"counted_area_ha": areas}).assign(member_id="M", cooperative_id="O", kind="measured",
    ...         f=1.0, p=1.0, g=1.0, k=1.0, y_kg_ha=100.0, supply_kg=np.nan)
    ...     kg = table["counted_area_ha"] * 100
    ...     return Written(table.assign(productive_ha=table["counted_area_ha"], potential_kg=kg,
    ...         potential_p50_kg=0.8 * kg), None, {}, "green", "map")
    >>> found = compare_runs(run(A=1.0, C=3.0), run(A=2.0, B=1.0)).of("potential")
    >>> found["change_kg"][["plots_new", "plots_gone", "area", "difference"]].round(6).tolist()
    [100.0, -300.0, 100.0, -100.0]
    """
    _require_comparable(before, after)
    everything = pd.concat([plot_changes(before, after), member_changes(before, after)])
    if everything.empty:
        raise NotComparableError(
            "Neither run has a plot or a member that can be seen.",
            why="There is nothing whose change could be told.",
            todo="Name runs with plots; an analyst sees those of members who agreed.",
        )
    tables, examples = [], []
    for quantity in ("potential", "supply"):
        if quantity == "supply" and not (_has_supply(before) and _has_supply(after)):
            continue
        changes = _changes(everything, quantity)
        errors = Errors.of(before, after, changes) if quantity == "potential" else None
        for name, rows, moved in _by_cooperative(everything, changes):
            tables.append(_table(quantity, rows, moved, errors).assign(cooperative_id=name, quantity=quantity))
        examples.append(_examples(quantity, changes))
    parts = pd.concat(tables, ignore_index=True)[list(COLUMNS)]
    return Comparison(parts, pd.concat(examples, ignore_index=True), _changed(before, after))


def _require_comparable(before: Written, after: Written) -> None:
    if before.form != after.form:
        raise NotComparableError(
            f"One run is in kilograms of {before.form}, the other of {after.form}.",
            why="A difference of two forms is no kilograms of anything.",
            todo="Estimate both with the same --form.",
        )
    for name, run in (("first", before), ("second", after)):
        if missing := [column for column in _NEEDED if column not in run.plots]:
            raise NotComparableError(
                f"The plots of the {name} run have no {', '.join(missing)}.",
                why="Without the factors of a plot nobody can say why its potential changed.",
                todo="Make the run again with this version of geomap.",
            )
        if not run.plots.index.is_unique:
            raise NotComparableError(f"Plots of the {name} run share an id.", todo="Make the run again.")
    shared = set(before.plots["cooperative_id"]) & set(after.plots["cooperative_id"])
    if not shared and len(before.plots) and len(after.plots):
        raise NotComparableError(
            "The two runs share no cooperative.",
            why="Two runs of one cooperative are compared, or of the same cooperatives.",
            todo="Name two runs of the same cooperative; cooperatives are compared in profile_pairs.csv.",
        )


def _changes(table: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """One row per plot or member and part that changed it: part, cooperative_id, before, after, change, hectares."""
    before, after = table[f"{quantity}_a"].fillna(0.0), table[f"{quantity}_b"].fillna(0.0)
    ha_a, ha_b = table["counted_ha_a"].fillna(0.0), table["counted_ha_b"].fillna(0.0)
    common = pd.DataFrame({"cooperative_id": table["cooperative_id"], "before": before, "after": after})
    common["area_ha"] = ha_b.where(table["potential_b"].notna(), ha_a)
    common["is_plot"] = ~_is_member(table)
    whole = table["kind_of_row"].isin(["plots_new", "plots_gone", "members"])
    rows = [common[whole].assign(part=table["kind_of_row"][whole], change=(after - before)[whole])]
    rows[0]["change_ha"] = (ha_b - ha_a)[whole]
    parts = split(table[~whole], quantity)
    guess = table["kind_of_row"][~whole] == "guess"
    rounded = guess & (parts["area"].abs() < _ROUNDED_KG) & (parts["settings"].abs() > _ROUNDED_KG)
    parts["settings"] += parts["area"].where(rounded, 0.0)
    parts["area"] = parts["area"].mask(rounded, 0.0)
    for name in GROUPS:
        change = parts[name]
        part = np.where(guess & (name == "area"), "members", name)
        moved = (ha_b - ha_a)[~whole] if name == "area" else pd.Series(0.0, index=parts.index)
        own = common[~whole].assign(part=part, change=change, change_ha=moved)
        rows.append(own[(change.abs() > NOTHING_KG) | (own["change_ha"].abs() > NOTHING_KG)])
    return pd.concat(rows)


def _by_cooperative(
    everything: pd.DataFrame, changes: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Each cooperative with its rows and their changes; "all" after several."""
    names = sorted(everything["cooperative_id"].unique())
    for name in names:
        yield str(name), everything[everything["cooperative_id"] == name], changes[changes["cooperative_id"] == name]
    if len(names) > 1:
        yield "all", everything, changes


def _table(quantity: Quantity, rows: pd.DataFrame, changes: pd.DataFrame, errors: "Errors | None") -> pd.DataFrame:
    """The parts of one cooperative, and the difference."""
    names = PARTS if quantity == "supply" else PARTS[:-1]
    parts = [_row(part, changes[changes["part"] == part], errors, {part}) for part in names]
    moved = set(changes.loc[changes["change"].abs() > NOTHING_KG, "part"])
    whole = _row("difference", changes, errors, moved)
    is_plot = ~_is_member(rows)
    whole |= {"before_kg": math.fsum(rows[f"{quantity}_a"].fillna(0.0))}
    whole |= {"after_kg": math.fsum(rows[f"{quantity}_b"].fillna(0.0))}
    whole |= {"plots": int(is_plot.sum()), "members": int((~is_plot).sum())}
    whole |= {"area_ha": math.fsum(rows["counted_ha_b"].fillna(rows["counted_ha_a"]))}
    whole |= {"change_kg": math.fsum(part["change_kg"] for part in parts)}
    return pd.DataFrame([*parts, whole])


def _is_member(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["kind_of_row"].isin(["guess", "members"])


def _row(part: str, changes: pd.DataFrame, errors: "Errors | None", moved: set[str]) -> dict[str, Any]:
    change = math.fsum(changes["change"])
    low, high = math.nan, math.nan
    if errors is not None and len(changes) and moved <= set(ON_THE_GROUND):
        low, high = errors.interval(changes)
    return {
        "part": part,
        "before_kg": math.fsum(changes["before"]),
        "after_kg": math.fsum(changes["after"]),
        "change_kg": change,
        "low_kg": low,
        "high_kg": high,
        "verdict": _verdict(change, low, high, len(changes)),
        "plots": int(changes["is_plot"].sum()),
        "members": int((~changes["is_plot"]).sum()),
        "area_ha": math.fsum(changes["area_ha"]),
        "change_ha": math.fsum(changes["change_ha"]),
    }


def _verdict(change: float, low: float, high: float, count: int) -> str:
    if not count:
        return "same"
    if math.isnan(low):
        return "not known"
    if low <= 0 <= high:
        return "not different"
    return "higher" if change > 0 else "lower"


def _examples(quantity: Quantity, changes: pd.DataFrame) -> pd.DataFrame:
    """The rows that changed most in each part."""
    rows = changes.assign(id=changes.index.astype("str"), most=-changes["change"].abs())
    rows = rows.sort_values(["cooperative_id", "part", "most", "id"], kind="stable")
    rows = rows.groupby(["cooperative_id", "part"], sort=False).head(MOST_EXAMPLES).assign(quantity=quantity)
    named = rows.rename(columns={"before": "before_kg", "after": "after_kg", "change": "change_kg"})
    return named[list(EXAMPLE_COLUMNS)]


def _changed(before: Written, after: Written) -> list[dict[str, str]]:
    names = sorted({*before.settings, *after.settings})
    pairs = [(name, before.settings.get(name, ""), after.settings.get(name, "")) for name in names]
    return [{"name": name, "before": one, "after": other} for name, one, other in pairs if one != other]


def _has_supply(run: Written) -> bool:
    return "supply_kg" in run.plots and bool(pd.to_numeric(run.plots["supply_kg"], errors="coerce").notna().any())


def settings_text(value: Any) -> str:
    """A setting as one text, so that two can be compared."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {settings_text(value[name])}" for name in sorted(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(settings_text(one) for one in value)
    return "" if value is None else str(value)
