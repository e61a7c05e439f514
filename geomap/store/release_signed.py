"""What stands beside the signed totals of a release: the whole cooperative's own figures, as it decides.

Every figure is of the whole cooperative and follows from its totals, its calendar, its contracts, or its past seasons.
Nothing here is of a part: what can be sold of one certificate is left out, and so is what rests on it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Literal

import pandas as pd

from geomap.store.release_run import QUANTITIES, StoredRun, table
from geomap.store.scope import Transaction
from geomap.supply.backtest import MODEL, BackTest
from geomap.supply.together import shared_kinds

Row = dict[str, Any]
Section = Literal["members", "shock_year", "available", "accuracy", "shared"]
SECTIONS: Final[tuple[Section, ...]] = ("members", "shock_year", "available", "accuracy", "shared")
SHOCK_COLUMNS: Final = ("case", "chance", "factor_low", "factor_high", "mean_kg", "p10_kg", "p50_kg", "p90_kg")
AVAILABLE_COLUMNS: Final = (
    "month", "supply_kg", "supply_p10_kg", "local_and_seconds_kg", "contracts_kg", "available_kg", "available_p10_kg",
    "contracts_covered_share",
)  # fmt: skip
SCORE_COLUMNS: Final = ("rule", "predictions", "seasons", "bias", "mape", "coverage_80", "coverage_95")
PAST_COLUMNS: Final = ("season", "predicted_kg", "predicted_p10_kg", "predicted_p90_kg", "delivered_kg")
_BACKTEST: Final = ("season", "mean_kg", "p10_kg", "p90_kg", "actual_kg")


def signed(tx: Transaction, source: StoredRun, *, leave_out: Collection[Section] = ()) -> Row:
    """Members mapped, the year of a shock, what can still be sold, past accuracy, errors that others share.

    Each as far as the run holds it, else None; a release signed before a section was known does not have its key.
    """
    made: dict[str, Callable[[], Any]] = {
        "members": lambda: {name: source.total[name] for name in ("members", "members_mapped")},
        "shock_year": lambda: _only(_own(tx, source, "shock_year"), SHOCK_COLUMNS),
        "available": lambda: available(_own(tx, source, "available")),
        "accuracy": lambda: _accuracy(tx, source),
        "shared": lambda: _shared(_own(tx, source, "variance")),
    }
    return {name: None if name in leave_out else make() for name, make in made.items()}


def available(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """What can still be sold by the end of each month, from the rows of the whole supply, in kilograms.

    Supply ready to ship, less what is sold locally or is seconds, less contracts due, and never more than what later
    months leave: what a later contract needs is kept back. Certificates are not looked at.

    Examples
    --------
    In March 80 of 100 kg can be exported; in April 160, of which a contract needs 150.

    >>> rows = [{"month": "2027-03", "supply_kg": 100.0, "supply_p10_kg": 50.0, "local_and_seconds_kg": 20.0,
    ...          "contracts_kg": 0.0, "certification": ""},
    ...         {"month": "2027-04", "supply_kg": 200.0, "supply_p10_kg": 150.0, "local_and_seconds_kg": 40.0,
    ...          "contracts_kg": 150.0, "certification": ""}]
    >>> [(row["available_kg"], row["available_p10_kg"], row["contracts_covered_share"]) for row in available(rows)]
    [(10.0, 0.0, None), (10.0, 0.0, 1.0)]
    """
    found: list[Row] = []
    whole = sorted((row for row in rows if not row["certification"]), key=lambda row: str(row["month"]))
    mean = low = float("inf")
    for row in reversed(whole):
        share = row["local_and_seconds_kg"] / row["supply_kg"] if row["supply_kg"] else 0.0
        exported = row["supply_kg"] - row["local_and_seconds_kg"]
        mean = min(mean, max(exported - row["contracts_kg"], 0.0))
        low = min(low, max(row["supply_p10_kg"] * (1 - share) - row["contracts_kg"], 0.0))
        covered = min(exported / row["contracts_kg"], 1.0) if row["contracts_kg"] else None
        told = {"available_kg": mean, "available_p10_kg": low, "contracts_covered_share": covered}
        found.append({name: {**row, **told}[name] for name in AVAILABLE_COLUMNS})
    return found[::-1]


def _own(tx: Transaction, source: StoredRun, name: str) -> list[Mapping[str, Any]]:
    rows = (one["cells"] for one in table(tx, source.run, name))
    return [cells for cells in rows if cells["cooperative_id"] == source.total["id"]]


def _only(rows: Iterable[Mapping[str, Any]], columns: Collection[str]) -> list[Row]:
    return [{name: row[name] for name in columns} for row in rows]


def _accuracy(tx: Transaction, source: StoredRun) -> Row | None:
    """Scores of past seasons, what they say in words, and what was predicted and came; None without a back-test."""
    own = _own(tx, source, "backtest_scores")
    if not own:
        return None
    pooled = pd.DataFrame([{**row, "cooperative_id": "all"} for row in own])
    numbers = pooled.drop(columns=["cooperative_id", "rule"]).astype(float)
    words = BackTest(pd.DataFrame(), pooled.assign(**numbers)).sentence
    past = [past_season(row) for row in _own(tx, source, "backtest") if row["rule"] == MODEL]
    return {"words": words, "scores": _only(own, SCORE_COLUMNS), "seasons": past}


def past_season(row: Mapping[str, Any]) -> Row:
    """What was predicted of a season before it, and what came, in kilograms; three digits that count.

    Examples
    --------
    >>> past_season({"season": "2024/25", "mean_kg": 81234.0, "p10_kg": 6e4, "p90_kg": 1e5, "actual_kg": 79876.0})
    {'season': '2024/25', 'predicted_kg': 81200.0, 'predicted_p10_kg': 60000.0, 'predicted_p90_kg': 100000.0, \
'delivered_kg': 79900.0}
    """
    told = {name: row[theirs] for name, theirs in zip(PAST_COLUMNS, _BACKTEST, strict=True)}
    return {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in told.items()}


def _shared(rows: list[Mapping[str, Any]]) -> Row | None:
    """Quantity → shares of the variance that others share; None where the run does not hold them."""
    of = {name: [row for row in rows if row["quantity"] == name] for name in QUANTITIES}
    return {name: shared_kinds(some) for name, some in of.items() if some} or None
