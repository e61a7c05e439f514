"""What a manager asks: quintals, certificates, exports, months, contracts, past errors, what the checks moved."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from geomap.outputs.beside import Beside
from geomap.outputs.figures import Bar, interval_figure
from geomap.outputs.units import Unit, reader_unit, told_by
from geomap.supply import crops

if TYPE_CHECKING:
    from geomap.run import Run
    from geomap.supply.backtest import BackTest

_SHOWN: Final = 30
_TONNES_FROM: Final = 10_000.0
_LIKELY: Final = 0.8
_LEAST_KG: Final = 0.5
_UNNAMED: Final = ("", "(none)", "none", "no")
_MODEL: Final = "model"


def answers(run: "Run", quantity: str, beside: Beside) -> dict[str, Any]:
    """All that the new sections show; texts as given, numbers unrounded, None where there is nothing to show."""
    return {
        "units": _units(run, quantity, beside.settings),
        "certified": _certified(run, quantity),
        "exportable": _exportable(run, beside.exportable),
        "best_month": _best_month(run, quantity),
        "january": _january(run, quantity),
        "contracts": _contracts(beside.contracts),
        "scenarios": _records(beside.cases),
        "told": _records(beside.told)[:_SHOWN],
        "past": _past(beside.backtest),
        "evidence_by": _evidence(beside.calibration),
        "moved": moved(run.summary.get("findings", [])),
        "steps": [] if beside.next_steps is None else [str(text) for text in beside.next_steps["text"]],
    }


def loss(backtest: "BackTest | None") -> str | None:
    """What the report opens with where a simple rule was better than the model; None where none was."""
    if backtest is None or all(backtest.wins.values()):
        return None
    return f"{backtest.sentence.partition('. ')[0].rstrip('.')}."


def moved(told: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Per cooperative, what the checks moved: sentences with hectares and kilograms, the largest first.

    A cooperative's own hectares and kilograms are those that were taken away; what counts unverified is not set off
    against them.

    Parameters
    ----------
    told : cooperative_id ("" for the whole file), sentence, effect_ha, effect_kg (None where it moves nothing).

    Examples
    --------
    >>> rows = [{"cooperative_id": "C", "sentence": "2 overlaps", "effect_ha": -0.2, "effect_kg": -200.0},
    ...         {"cooperative_id": "C", "sentence": "4 small plots", "effect_ha": None, "effect_kg": None}]
    >>> found = moved(rows)["rows"][0]
    >>> found["id"], found["kg"], [row["sentence"] for row in found["sentences"]], found["still"]
    ('C', -200.0, ['2 overlaps'], 1)
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in told:
        groups.setdefault(str(row["cooperative_id"]), []).append(row)
    rows = [_moved(coop, found) for coop, found in sorted(groups.items())]
    rows = [row for row in rows if row["sentences"]]
    rows.sort(key=lambda row: (-abs(row["kg"]), row["id"]))
    return {"rows": rows[:_SHOWN], "size": len(rows)} if rows else None


def _moved(coop: str, found: list[Mapping[str, Any]]) -> dict[str, Any]:
    moving = [row for row in found if _weight(row) >= _LEAST_KG]
    moving.sort(key=lambda row: (-_weight(row), row["sentence"]))
    return {
        "id": coop or "The whole file",
        "sentences": [dict(row) for row in moving],
        "ha": math.fsum(min(row["effect_ha"] or 0.0, 0.0) for row in moving),
        "kg": math.fsum(min(row["effect_kg"] or 0.0, 0.0) for row in moving),
        "still": len(found) - len(moving),
    }


def _weight(row: Mapping[str, Any]) -> float:
    """Kilograms that a finding moves, either way; where they are not known, a hectare stands for 1,000 kg."""
    kg = 1000 * (row["effect_ha"] or 0.0) if row["effect_kg"] is None else row["effect_kg"]
    return float(abs(kg))


def _units(run: "Run", quantity: str, settings: pd.DataFrame | None) -> dict[str, Any] | None:
    """Each cooperative in its own quintals, and the sum where all count in the same."""
    place = run.summary["parameters"]
    rows: list[dict[str, Any]] = []
    for row in run.cooperatives.sort_values(["potential_kg", "id"], ascending=[False, True]).to_dict("records"):
        told = told_by(settings, str(row["id"]))
        unit = reader_unit(place["crop"], place["country"], place["form"], told=told)
        if unit is not None:
            names = {"mean": "", "low": "p10_", "middle": "p50_", "high": "p90_"}
            counted = {case: float(row[f"{quantity}_{infix}kg"]) / unit.kg for case, infix in names.items()}
            rows.append({"id": str(row["id"]), "unit": _unit_words(place["crop"], unit), **counted, "kg": unit.kg})
    if not rows:
        return None
    same = len(rows) == len(run.cooperatives) and len({row["unit"] for row in rows}) == 1
    total = {"mean": run.total[f"{quantity}_kg"], "low": run.total[f"{quantity}_p10_kg"]}
    total |= {"high": run.total[f"{quantity}_p90_kg"]}
    one = {case: float(value) / rows[0]["kg"] for case, value in total.items()} if same else None
    return {"rows": rows[:_SHOWN], "size": len(rows), "total": one, "unit": rows[0]["unit"]}


def _unit_words(crop: str, unit: Unit) -> str:
    return f"{unit.kind}s of {unit.size_kg:g}\N{NO-BREAK SPACE}kg of {crops.form_title(crop, unit.form)}"


def _certified(run: "Run", quantity: str) -> list[dict[str, Any]] | None:
    """The largest certificates with their kilograms and share; None where the run does not sum by certification."""
    table = run.by.get("certification")
    if table is None or table.empty:
        return None
    column, whole = f"{quantity}_kg", float(run.total[f"{quantity}_kg"])
    named = table[~table["id"].astype("str").str.strip().str.lower().isin(_UNNAMED)]
    rows = named.sort_values([column, "id"], ascending=[False, True]).head(4)
    return [
        {"name": str(name), "kg": float(kg), "share": float(kg) / whole if whole else 0.0}
        for name, kg in zip(rows["id"], rows[column], strict=True)
    ]


def _exportable(run: "Run", table: pd.DataFrame | None) -> dict[str, Any] | None:
    if table is None or table.empty:
        return None
    crop = run.summary["parameters"]["crop"]
    rows = [{**row, "form": crops.form_title(crop, row["form"])} for row in _records(table)]
    whole = [row for row in rows if row["cooperative_id"] == "all"]
    named = [row for row in rows if row["cooperative_id"] != "all"]
    return {
        "rows": named[:_SHOWN],
        "size": len(named),
        "total": whole[0] if whole else named[0] if len(named) == 1 else None,
    }


def _by_month(run: "Run", quantity: str) -> "pd.Series[float]":
    table = run.months[run.months["quantity"] == quantity]
    return table[table["cooperative_id"] != "all"].groupby("month")["mean_kg"].sum().sort_index()


def _best_month(run: "Run", quantity: str) -> dict[str, Any] | None:
    sums = _by_month(run, quantity)
    return _month(sums, str(sums.index[sums.argmax()])) if len(sums) and sums.max() > 0 else None


def _january(run: "Run", quantity: str) -> dict[str, Any] | None:
    sums = _by_month(run, quantity)
    found = [month for month in sums.index if month.endswith("-01")]
    return _month(sums, found[0]) if found and sums[found[0]] > 0 else None


def _month(sums: "pd.Series[float]", month: str) -> dict[str, Any]:
    return {"month": month, "kg": float(sums[month]), "share": float(sums[month] / sums.sum())}


def _contracts(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Contracts by chance, the least likely first, and how many of them are likely to be filled."""
    if table is None or table.empty:
        return None
    ordered = table.sort_values(["covered", "cooperative_id", "buyer", "month", "kg"])
    rows = _records(ordered.assign(certification=ordered["certification"].fillna("")))
    likely = int((table["covered"] >= _LIKELY).sum())
    return {"rows": rows[:_SHOWN], "size": len(rows), "likely": likely, "kg": float(table["kg"].sum())}


def evidence_words(told: str, calibration: pd.DataFrame | None) -> str:
    """What the supply rests on, to follow "from": "your own deliveries of 3 seasons".

    Examples
    --------
    >>> table = pd.DataFrame({"evidence": ["own deliveries"] * 2, "seasons": [2, 3]}, index=["A", "B"])
    >>> evidence_words("own deliveries", table)
    'your own deliveries of 2 to 3 seasons'
    """
    if calibration is None or calibration.empty:
        return told
    known = calibration[calibration["evidence"] != "none"]
    parts = []
    for evidence, rows in known.groupby("evidence", sort=True):
        words = f"your {evidence}" if evidence == "own deliveries" else f"the {evidence}"
        low, high = int(rows["seasons"].min()), int(rows["seasons"].max())
        if evidence == "own deliveries":
            words += f" of {low if low == high else f'{low} to {high}'} season{'' if high == 1 else 's'}"
        count = f" ({len(rows):,} of {len(known):,} cooperatives)" if len(rows) < len(known) else ""
        parts.append(words + count)
    return " and ".join(reversed(parts)) or told


def _evidence(calibration: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    if calibration is None or calibration.empty:
        return None
    rows = calibration.rename_axis("id").reset_index()[["id", "evidence", "seasons"]].head(_SHOWN)
    return list(rows.to_dict("records"))


def _past(backtest: "BackTest | None") -> dict[str, Any] | None:
    """Past seasons predicted and what came: the sum of the cooperatives each season, scores by rule, and a picture."""
    if backtest is None or backtest.rows.empty:
        return None
    rows = backtest.rows[backtest.rows["rule"] == _MODEL].sort_values(["season", "cooperative_id"])
    if rows.empty:
        return None
    sums = rows.groupby("season")[["mean_kg", "actual_kg"]].sum()
    alone = rows["cooperative_id"].nunique() == 1
    if alone:
        sums = sums.join(rows.set_index("season")[["p10_kg", "p50_kg", "p90_kg"]])
    inside = (rows["actual_kg"] >= rows["p10_kg"]) & (rows["actual_kg"] <= rows["p90_kg"])
    sums = sums.assign(cooperatives=rows.groupby("season").size(), inside=inside.groupby(rows["season"]).sum())
    last = sums.iloc[-1]
    pooled = backtest.scores[backtest.scores["cooperative_id"] == "all"]
    return {
        "sentence": backtest.sentence,
        "seasons": _records(sums.reset_index()),
        "scores": _records(pooled.sort_values("rule", key=lambda rule: (rule != _MODEL).astype(str) + rule)),
        "figure": _picture(rows, sums, alone=alone),
        "alone": alone,
        "last": {
            "season": str(sums.index[-1]),
            "mean": float(last["mean_kg"]),
            "came": float(last["actual_kg"]),
            "off": float(last["mean_kg"] / last["actual_kg"] - 1) if last["actual_kg"] > 0 else math.nan,
        },
    }


def _picture(rows: pd.DataFrame, sums: pd.DataFrame, *, alone: bool) -> Any:
    """Intervals of one cooperative season by season; of several, those of the last season, the largest first."""
    if alone:
        shown = [(str(season), row) for season, row in zip(sums.index, sums.to_dict("records"), strict=True)]
        title = "Past seasons: predicted and delivered"
    else:
        season = str(sums.index[-1])
        last = rows[rows["season"] == season].sort_values(["actual_kg", "cooperative_id"], ascending=[False, True])
        shown = [(str(row["cooperative_id"]), row) for row in last.head(6).to_dict("records")]
        title = f"Season {season}: predicted and delivered"
    highest = max(max(row["p90_kg"], row["actual_kg"]) for _, row in shown)
    unit, scale = ("tonnes", 1000.0) if highest >= _TONNES_FROM else ("kg", 1.0)
    bars = [
        Bar(name, *(row[key] / scale for key in ("p10_kg", "p50_kg", "p90_kg", "actual_kg"))) for name, row in shown
    ]
    return interval_figure(bars, unit=unit, title=title)


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    return (
        [] if table is None else [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    )
