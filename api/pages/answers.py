"""What a manager asks of a run beside its sums: certificates, exports, contracts, a shock year, past estimates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from api.pages.figures import cases

Cells = Mapping[str, Any]
_MODEL: Final = "model"
_SHOWN: Final = 10
_OF_CASES: Final = {"mean": "mean_kg", "low": "p10_kg", "middle": "p50_kg", "high": "p90_kg"}


def answers(table: Callable[[str], Sequence[Cells]], figures: Mapping[str, Any]) -> dict[str, Any]:
    """What `answers.html` shows; kilograms of the run's form, None or nothing where the run does not know.

    Parameters
    ----------
    table : the rows of a table of the run by its name; none where the run has no such table.
    figures : of `api.pages.figures.headline`.

    Returns
    -------
    dict : certified (name, share 0–1, mean, low, high), exportable (case → kg), contracts (name, kg, left, left_low,
        short, chance 0–1), shock (chance, factors, cases), past (season, came, mean, low, high, off, inside).
    """
    ready = _at_the_end(table("available"))
    whole = next((row["supply_kg"] for row in ready if not row["certification"]), None)
    certified = _certified(ready, whole, figures["kg"])
    return {
        "certified": certified or _certified_potential(table("by_certification"), figures),
        "exportable": _exportable(ready, whole, figures["kg"]),
        "contracts": [_contract(row) for row in ready if row["contracts_kg"]],
        "shock": next((_shock(row) for row in table("shock_year")), None),
        "past": _past(table("backtest")),
    }


def _at_the_end(available: Sequence[Cells]) -> list[Cells]:
    """The rows that hold the whole season, all supply first."""
    last = max((row["month"] for row in available), default="")
    return sorted((row for row in available if row["month"] == last), key=lambda row: row["certification"] or "")


def _certified(ready: Sequence[Cells], whole: float | None, kg: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Supply that carries each certificate: the same share of every case."""
    named = [row for row in ready if row["certification"] and row["supply_kg"] and whole]
    return [
        {"name": row["certification"], "share": row["supply_kg"] / whole, **_part(kg, row["supply_kg"] / whole)}
        for row in named
    ]


def _certified_potential(rows: Sequence[Cells], figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By what members are certified for, where no supply is known."""
    whole = figures["kg"]["mean"]
    named = [{"name": row["id"], **cases(row, figures["quantity"])} for row in rows if row["id"]]
    return [{**one, "share": one["mean"] / whole if whole else None} for one in named if one["mean"]]


def _exportable(
    ready: Sequence[Cells], whole: float | None, kg: Mapping[str, float | None]
) -> dict[str, float | None] | None:
    """Supply less local sales and seconds, where some are told."""
    apart = next((row["local_and_seconds_kg"] for row in ready if not row["certification"]), None)
    return _part(kg, 1 - apart / whole) if apart and whole else None


def _part(kg: Mapping[str, float | None], share: float) -> dict[str, float | None]:
    return {case: None if value is None else value * share for case, value in kg.items()}


def _contract(row: Cells) -> dict[str, Any]:
    return {
        "name": row["certification"] or "",
        "kg": row["contracts_kg"],
        "left": row["available_kg"],
        "left_low": row["available_p10_kg"],
        "short": row["short_kg"],
        "chance": row["chance_covered"],
    }


def _shock(row: Cells) -> dict[str, Any]:
    kg = {case: row[column] for case, column in _OF_CASES.items()}
    return {"kg": kg, "chance": row["chance"], "least": row["factor_low"], "most": row["factor_high"]}


def _past(rows: Sequence[Cells]) -> list[dict[str, Any]]:
    """Past seasons as they were predicted from those before them, and what came; the latest first."""
    told = [row for row in rows if row["rule"] == _MODEL and row["actual_kg"] and row["mean_kg"] is not None]
    told.sort(key=lambda row: row["season"], reverse=True)
    return [
        {
            "season": row["season"],
            "came": row["actual_kg"],
            "mean": row["mean_kg"],
            "low": row["p10_kg"],
            "high": row["p90_kg"],
            "off": row["mean_kg"] / row["actual_kg"] - 1,
            "inside": row["p10_kg"] <= row["actual_kg"] <= row["p90_kg"],
        }
        for row in told[:_SHOWN]
    ]
