"""What stands beside the signed totals of a release: the whole cooperative's own figures, as it decides.

Every figure is of the whole cooperative and follows from its totals, its calendar, its contracts, or its past seasons.
Nothing here is of a part: what can be sold of one certificate is left out, and so is what rests on it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Literal

import pandas as pd

from geomap.store.release_run import StoredRun, table
from geomap.store.scope import Transaction
from geomap.supply.backtest import BackTest

Row = dict[str, Any]
Section = Literal["members", "shock_year", "available", "accuracy"]
SECTIONS: Final[tuple[Section, ...]] = ("members", "shock_year", "available", "accuracy")
SHOCK_COLUMNS: Final = ("case", "chance", "factor_low", "factor_high", "mean_kg", "p10_kg", "p50_kg", "p90_kg")
AVAILABLE_COLUMNS: Final = (
    "month", "supply_kg", "supply_p10_kg", "local_and_seconds_kg", "contracts_kg", "available_kg", "available_p10_kg",
    "contracts_covered_share",
)  # fmt: skip
SCORE_COLUMNS: Final = ("rule", "predictions", "seasons", "bias", "mape", "coverage_80", "coverage_95")


def signed(tx: Transaction, source: StoredRun, *, leave_out: Collection[Section] = ()) -> Row:
    """Members mapped, the year of a shock, what can still be sold, past accuracy; each as far as the run holds it."""
    made: dict[str, Callable[[], Any]] = {
        "members": lambda: {name: source.total[name] for name in ("members", "members_mapped")},
        "shock_year": lambda: _only(_own(tx, source, "shock_year"), SHOCK_COLUMNS),
        "available": lambda: available(_own(tx, source, "available")),
        "accuracy": lambda: _accuracy([one["cells"] for one in table(tx, source.run, "backtest_scores")], source),
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


def _accuracy(rows: list[Mapping[str, Any]], source: StoredRun) -> Row | None:
    """Scores of past seasons and what they say in words; None without a back-test."""
    own = [row for row in rows if row["cooperative_id"] == source.total["id"]]
    if not own:
        return None
    pooled = pd.DataFrame([{**row, "cooperative_id": "all"} for row in own])
    numbers = pooled.drop(columns=["cooperative_id", "rule"]).astype(float)
    words = BackTest(pd.DataFrame(), pooled.assign(**numbers)).sentence
    return {"words": words, "scores": _only(own, SCORE_COLUMNS)}
