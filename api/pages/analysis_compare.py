"""Pages that compare: two estimates of one cooperative, and cooperatives beside each other."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import OFFICE, Asked, may
from api.pages.analysis_view import frame, method, product_of, seen_plots, sums, table
from api.pages.base import AT, RANDOM, PageRoute, page
from api.paths import CooperativeId
from api.veil import AT_ONCE, walked
from geomap.errors import GeomapError
from geomap.outputs.comparison import land_of, settings_of
from geomap.store.cooperatives import cooperative, cooperatives
from geomap.store.runs import run, runs
from geomap.supply.compare_split import Written

if TYPE_CHECKING:
    from geomap.supply.compare import Comparison

router = APIRouter(route_class=PageRoute, include_in_schema=False)
MOST_BESIDE: Final = 6
"""Cooperatives that stand beside each other."""
ALIKE: Final = ("crop", "form", "season", "map")
"""What must be the same before a difference means anything."""
_RUNS: Final = 50
_SHOWN_KG: Final = 0.05
"""A part of less is rounding."""
_Id = Annotated[str, Query(max_length=64, pattern=rf"^$|{RANDOM}")]
_OWN: Final = ("evidence of supply",)
"""Of the settings, what an analyst is not told; nor are the office's files."""


@router.get("/analysis/compare")
def compare(
    request: Request,
    *,
    asked: Annotated[Asked, may("runs.read")],
    owner_id: Annotated[_Id, Query(alias="cooperative")] = "",
    a: _Id = "",
    b: _Id = "",
    beside: Annotated[list[_Id] | None, Query(alias="with", max_length=50)] = None,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        known = list(walked(lambda after: cooperatives(tx, after=after, limit=AT_ONCE), "", "cooperative_id"))
        known = [row for row in known if asked.scope.reaches(row["cooperative_id"])]
        known.sort(key=lambda row: (row["name"].casefold(), row["cooperative_id"]))
        owner = cooperative(tx, owner_id) if owner_id else (known[0] if len(known) == 1 else None)
        listed = [] if owner is None else runs(tx, owner["cooperative_id"], limit=_RUNS)
    if asked.scope.role not in OFFICE:  # a title may name anybody
        listed = [{name: value for name, value in row.items() if name != "title"} for row in listed]
    shown = _two_runs(asked, owner, listed, a, b)
    wanted = [row for row in known if row["cooperative_id"] in (beside or [])] if beside else known[:MOST_BESIDE]
    columns = [column for row in wanted[:MOST_BESIDE] if (column := _column(asked, row)) is not None]
    return page(
        request,
        "analysis_compare.html",
        tab="analysis_compare",
        known=known,
        owner=owner,
        runs=listed,
        is_office=asked.scope.role in OFFICE,
        columns=columns,
        pairs=pairs(columns),
        alike=ALIKE,
        chosen=[row["cooperative_id"] for row in wanted[:MOST_BESIDE]],
        most=MOST_BESIDE,
        **shown,
    )


@router.get(f"{AT}/compare")
def compare_in_office(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("runs.files")],
    a: _Id = "",
    b: _Id = "",
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner, listed = cooperative(tx, cooperative_id), runs(tx, cooperative_id, limit=_RUNS)
    shown = _two_runs(asked, owner, listed, a, b)
    return page(request, "office_compare.html", cooperative=owner, tab="results", runs=listed, is_office=True, **shown)


# ---- two estimates ----


def _two_runs(
    asked: Asked, owner: Mapping[str, Any] | None, listed: Sequence[Mapping[str, Any]], a: str, b: str
) -> dict[str, Any]:
    """The two estimates and what changed between them; the last two where none are chosen."""
    shown: dict[str, Any] = {"a": a, "b": b, "found": None, "error": None, "first": None, "second": None}
    if owner is None or len(listed) < 2:
        return shown
    shown |= {"a": a or listed[1]["run_id"], "b": b or listed[0]["run_id"]}
    with asked.store.read(asked.scope) as tx:
        rows = [run(tx, owner["cooperative_id"], shown[side]) for side in "ab"]
        members = [table(tx, row, "members") if asked.scope.role in OFFICE else None for row in rows]
    shown |= {"first": rows[0], "second": rows[1]}
    try:
        from geomap.supply.compare import compare_runs

        before, after = (_written(asked, owner, row, told) for row, told in zip(rows, members, strict=True))
        shown["found"] = _as_shown(compare_runs(before, after))
    except GeomapError as error:
        shown["error"] = error
    return shown


def _written(
    asked: Asked, owner: Mapping[str, Any], row: Mapping[str, Any], members: Sequence[Mapping[str, Any]] | None
) -> Written:
    """A run of the store as a comparison reads it: of an analyst, the plots that are seen and no guesses."""
    import pandas as pd

    seen = seen_plots(asked, owner["cooperative_id"], row["run_id"])
    settings = settings_of(row["summary"])
    people = None
    if members is None:
        settings = {k: v for k, v in settings.items() if k not in _OWN and not k.startswith("file of ")}
    elif members:
        people = pd.DataFrame(list(members)).set_index("id").assign(cooperative_id=owner["code"])
    return Written(frame(seen.rows, owner["code"]), people, settings, row["form"], land_of(row["summary"]))


def _as_shown(found: "Comparison") -> list[dict[str, Any]]:
    """Potential and supply: the difference, its parts with the ends of their bars, and examples of each part."""
    shown = []
    for quantity in dict.fromkeys(found.parts["quantity"]):
        rows = found.parts[found.parts["quantity"] == quantity]
        told = rows.astype(object).where(rows.notna(), None).to_dict("records")
        parts = [row for row in told if row["part"] != "difference" and row["verdict"] != "same"]
        parts = [row for row in parts if abs(row["change_kg"]) >= _SHOWN_KG or row["low_kg"] is not None]
        most = max((abs(row["change_kg"]) for row in parts), default=0.0)
        examples = found.examples[found.examples["quantity"] == quantity]
        for row in parts:
            row["bar"] = _bar(row["change_kg"], most)
            row["examples"] = examples[examples["part"] == row["part"]].to_dict("records")
        shown.append({"quantity": quantity, "whole": told[-1], "parts": parts, "changed": found.changed})
    return shown


def _bar(change: float, most: float) -> dict[str, Any]:
    """Where a bar begins and how long it is, in percent of a line with 0 in its middle."""
    width = round(50 * abs(change) / most, 1) if most else 0.0
    return {"from": 50.0 if change > 0 else round(50 - width, 1), "width": width, "up": change > 0}


# ---- cooperatives beside each other ----


def _column(asked: Asked, owner: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last estimate of a cooperative, from the plots that whoever asks may see; None without an estimate.

    Signed totals are not set beside it: less the plots that are seen, they would tell of the others at a glance.
    """
    with asked.store.read(asked.scope) as tx:
        last = next(iter(runs(tx, owner["cooperative_id"], limit=1)), None)
        if last is None:
            return None
        facts = method(tx, run(tx, owner["cooperative_id"], last["run_id"]))
    seen, product = seen_plots(asked, owner["cooperative_id"], last["run_id"]), product_of(facts["maps"])
    told = {name: facts[name] for name in ("run_id", "crop", "form", "season", "created_at")}
    told["map"] = product.title if product is not None else ""
    released = owner["cooperative_id"] in asked.scope.released
    return {"owner": owner, **told, "whole": seen.whole, "released": released, **sums(seen.rows)}


def pairs(columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each two cooperatives: whether their kilograms per hectare differ, or why they cannot be compared.

    Intervals that overlap are "not different". Errors that both share make both intervals wide, so this is cautious.

    Examples
    --------
    >>> one = {"owner": "A", "crop": "coffee", "form": "green", "season": "", "map": "m",
    ...        "per_ha": {"mean": 500.0, "low": 300.0, "high": 800.0}}
    >>> other = {**one, "owner": "B", "per_ha": {"mean": 900.0, "low": 850.0, "high": 1000.0}}
    >>> [pair["verdict"] for pair in pairs([one, other, {**one, "form": "parchment"}])]
    ['b_higher', 'cannot', 'cannot']
    """
    found = []
    for one, other in combinations(columns, 2):
        differs = [name for name in ALIKE if one[name] != other[name]]
        a, b = one["per_ha"], other["per_ha"]
        if differs:
            verdict = "cannot"
        elif a is None or b is None:
            verdict = "not_known"
        elif a["low"] <= b["high"] and b["low"] <= a["high"]:
            verdict = "not_different"
        else:
            verdict = "a_higher" if a["mean"] > b["mean"] else "b_higher"
        found.append({"a": one, "b": other, "verdict": verdict, "differs": differs})
    return found
