"""What a release answers to a buyer, from its content alone: nothing here is read from anywhere else."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Row = dict[str, Any]
Content = Mapping[str, Any]
CASES: Final = {"mean": "", "low": "p10_", "middle": "p50_", "high": "p90_"}
OTHERS: Final = "(others)"
MODEL: Final = "model"
FEW: Final = 10
"""Predictions below which rules cannot be told apart."""
_SHOWN_SHARE: Final = 0.01
"""Months that bring less of the whole than this are neither the first nor the last."""


def figures(content: Content) -> Row:
    """The whole cooperative: supply where it is told, else potential; kilograms by case, and the unit."""
    quantity = "supply" if content["totals"]["supply_kg"] is not None else "potential"
    return {"quantity": quantity, "unit": content["unit"], **cases(content["totals"], quantity)}


def cases(totals: Mapping[str, Any], quantity: str) -> dict[str, float | None]:
    """Mean, low, middle and high case of a quantity, kilograms."""
    return {case: totals.get(f"{quantity}_{infix}kg") for case, infix in CASES.items()}


def answers(content: Content, before: Content | None) -> Row:
    """All that the page of a release shows beside its head, by question."""
    signed: Mapping[str, Any] = content.get("signed") or {}
    whole = figures(content)
    available = signed.get("available")
    return {
        "figures": whole,
        "ship": shipping(available, content["months"]),
        "exportable": exportable(content, whole),
        "sold": None if not available else {"rows": available, "last": available[-1]},
        "groups": {name: [group(one) for one in rows] for name, rows in content["by"].items()},
        "shock": signed.get("shock_year"),
        "changes": None if before is None else changes(before, content),
        "accuracy": accuracy(signed.get("accuracy")),
        "members": signed.get("members"),
        "told_of": {name: name in signed for name in ("available", "shock_year", "accuracy", "members")},
    }


def shipping(available: Sequence[Mapping[str, Any]] | None, months: Sequence[Mapping[str, Any]]) -> Row | None:
    """What is ready by the end of each month, without local sales and seconds; else the months of the harvest.

    Examples
    --------
    Of 200 kg on the mean 40 kg stay in the country: a fifth, in the low case too.

    >>> rows = [{"month": "2027-03", "supply_kg": 200.0, "supply_p10_kg": 100.0, "local_and_seconds_kg": 40.0}]
    >>> shipping(rows, [])["rows"]
    [{'month': '2027-03', 'mean': 160.0, 'low': 80.0, 'high': None}]
    """
    if available:
        rows = [
            {
                "month": row["month"],
                "mean": row["supply_kg"] - row["local_and_seconds_kg"],
                "low": row["supply_p10_kg"] * (1 - _part(row["local_and_seconds_kg"], row["supply_kg"])),
                "high": None,
            }
            for row in available
        ]
        kept_back = available[-1]["local_and_seconds_kg"]
        return {"kind": "ready", "rows": rows, "kept_back": kept_back, **_span(rows, rows[-1]["mean"])}
    if months:
        rows = [
            {"month": row["month"], "mean": row["mean_kg"], "low": row["low_kg"], "high": row["high_kg"]}
            for row in months
        ]
        told = [row for row in rows if row["mean"]]
        ends = {"first": told[0]["month"], "last": told[-1]["month"]} if told else {"first": None, "last": None}
        return {"kind": "harvest", "rows": rows, "kept_back": None, **ends}
    return None


def _span(rows: Sequence[Row], whole: float) -> Row:
    """The first month with something to ship, and the one in which nearly all is ready."""
    first = next((row["month"] for row in rows if row["mean"] > _SHOWN_SHARE * whole), None)
    last = next((row["month"] for row in rows if row["mean"] >= (1 - _SHOWN_SHARE) * whole), None)
    return {"first": first, "last": last}


def _part(some: float, whole: float) -> float:
    return some / whole if whole else 0.0


def exportable(content: Content, whole: Row) -> Row | None:
    """The form of all kilograms, and what they are as exportable green; None where the release tells no factor."""
    told = content.get("exportable")
    if told is None:
        return None
    kg = {case: None if whole[case] is None else whole[case] * told["factor"] for case in CASES}
    return {**told, **kg, "already": told["form"] == content["form"]}


def group(row: Mapping[str, Any]) -> Row:
    """A part of the cooperative, and why it shows no number where it shows none."""
    reason = ""
    if row["status"] == "suppressed":
        few = str(row["members"]).startswith("<")
        reason = "others" if row["value"] == OTHERS else "few" if few else "protects"
    return {**row, "reason": reason}


def changes(before: Content, now: Content) -> Row:
    """What moved since the release before, and whether that is more than rounding and intervals allow.

    Kilograms of another crop or form are not compared; parts of another quantity neither.
    """
    alike = all(before[name] == now[name] for name in ("crop", "form"))
    rows = _moved_totals(before, now) if alike else []
    if alike and before["quantity"] == now["quantity"]:
        rows += _moved_parts(before, now)
    told = {name: before[name] for name in ("number", "date", "season", "form")}
    return {"before": told, "alike": alike, "same_season": before["season"] == now["season"], "rows": rows}


def _moved_totals(before: Content, now: Content) -> list[Row]:
    found = []
    for quantity in ("supply", "potential"):
        old, new = cases(before["totals"], quantity), cases(now["totals"], quantity)
        if old["mean"] is not None or new["mean"] is not None:
            word = verdict(old["mean"], new["mean"], (old["low"], old["high"]), (new["low"], new["high"]))
            found.append(_row("totals", quantity, old["mean"], new["mean"], word))
    return found


def _moved_parts(before: Content, now: Content) -> list[Row]:
    found = []
    for name, rows in now["by"].items():
        old = {row["value"]: row for row in before["by"].get(name, [])}
        for row in rows:
            was = old.get(row["value"])
            if was is None or (was["mean_kg"] is None and row["mean_kg"] is None):
                continue
            limits = [(one["low_kg"], one["high_kg"]) for one in (was, row)]
            open_kg = ((was["base_kg"] or 0.0) + (row["base_kg"] or 0.0)) / 2
            word = verdict(was["mean_kg"], row["mean_kg"], *limits, open_kg=open_kg)
            found.append(_row(name, row["value"], was["mean_kg"], row["mean_kg"], word))
    return found


def _row(table: str, part: str, old: float | None, new: float | None, word: str) -> Row:
    change = None if old is None or new is None else new - old
    return {"table": table, "part": part, "before": old, "now": new, "change": change, "verdict": word}


def verdict(
    before: float | None,
    now: float | None,
    old: tuple[float | None, float | None],
    new: tuple[float | None, float | None],
    *,
    open_kg: float = 0.0,
) -> str:
    """How a number stands to the one before: same, rounding, interval (both: not different), more, less or untold.

    rounding: the difference is at most what rounding leaves open. interval: each lies within the other's 80 % interval.

    Examples
    --------
    >>> verdict(100.0, 110.0, (80.0, 130.0), (90.0, 140.0)), verdict(100.0, 200.0, (80.0, 130.0), (150.0, 260.0))
    ('interval', 'more')
    >>> verdict(1000.0, 1500.0, (None, None), (None, None), open_kg=500.0), verdict(None, 5.0, (None,) * 2, (4.0, 6.0))
    ('rounding', 'untold')
    """
    if before is None or now is None:
        return "untold"
    if before == now:
        return "same"
    if abs(now - before) <= open_kg:
        return "rounding"
    if _within(now, old) and _within(before, new):
        return "interval"
    return "more" if now > before else "less"


def _within(value: float, limits: tuple[float | None, float | None]) -> bool:
    low, high = limits
    return low is not None and high is not None and low <= value <= high


def accuracy(told: Mapping[str, Any] | None) -> Row | None:
    """Past seasons: how far predictions were off, beside the best of the naive rules; None without a back-test."""
    scores = {row["rule"]: row for row in (told or {}).get("scores", [])}
    if told is None or MODEL not in scores:
        return None
    model = scores[MODEL]
    others = [row for rule, row in scores.items() if not rule.startswith(MODEL) and row["mape"] is not None]
    best = min(others, key=lambda row: (row["mape"], row["rule"]), default=None)
    seasons = [
        {**row, "held": _within(row["delivered_kg"], (row["predicted_p10_kg"], row["predicted_p90_kg"]))}
        for row in told.get("seasons", [])
    ]
    return {
        "model": model,
        "best": best,
        "lost": best is not None and model["mape"] is not None and best["mape"] < model["mape"],
        "few": (model["predictions"] or 0) < FEW,
        "seasons": seasons,
        "scores": list(scores.values()),
    }
