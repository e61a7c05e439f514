"""Pages of an analyst: which cooperatives let them look, the plots they may see, and what stands behind the numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

import geomap
from api.access import OFFICE, Asked, may
from api.answers import MOST_ROWS, invalid
from api.pages.analysis_view import (
    Seen,
    grant_of,
    legend_rows,
    method,
    plots_today,
    product_of,
    seen_plots,
    sums,
    tables,
)
from api.pages.base import RANDOM, PageRoute, page, shown_part
from api.paths import CooperativeId
from api.veil import AT_ONCE, walked
from geomap.store.cooperatives import cooperative, cooperatives
from geomap.store.runs import run, runs
from geomap.store.scope import Transaction

router = APIRouter(route_class=PageRoute, include_in_schema=False)
HOME: Final = "/analysis"
ONE: Final = "/analysis/{cooperative_id}"
QUESTIONS: Final = ("compare", "real", "map", "measured", "trees", "publish", "qgis", "changed", "seen", "formats")
"""What analysts ask; the order of docs/questions.md."""
FORMATS: Final = ("geojson", "geoparquet", "csv", "xlsx", "json")
Sort = Literal["plot_id", "area_ha", "potential_kg"]
_PAGE: Final = 25
_RUNS: Final = 50
_Number = Annotated[str, Query(max_length=20)]


@dataclass(frozen=True)
class Filter:
    """Which plots are listed: texts as they stand in the form, numbers as they are understood."""

    crop: str
    kind: str
    sort: Sort
    given: Mapping[str, str]
    limits: Mapping[str, float]

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a plot is listed."""
        if (self.crop and row["crop"] != self.crop) or (self.kind and row["kind"] != self.kind):
            return False
        for name, (column, above) in LIMITS.items():
            if name in self.limits:
                value = row[column]
                if value is None or (value < self.limits[name] if above else value > self.limits[name]):
                    return False
        return True

    def address(self) -> str:
        """The filter as it stands in an address."""
        from urllib.parse import urlencode

        told = {"crop": self.crop, "kind": self.kind, "sort": self.sort, **self.given}
        return urlencode({name: value for name, value in told.items() if value})


LIMITS: Final = {
    "area_from": ("counted_area_ha", True),
    "area_to": ("counted_area_ha", False),
    "kg_from": ("potential_kg", True),
    "kg_to": ("potential_kg", False),
    "f_from": ("f", True),
}
"""Name in the form → column, and whether it is the least."""


def _filter(
    *,
    crop: Annotated[str, Query(max_length=60)] = "",
    kind: Literal["", "measured", "declared"] = "",
    sort: Sort = "plot_id",
    area_from: _Number = "",
    area_to: _Number = "",
    kg_from: _Number = "",
    kg_to: _Number = "",
    f_from: _Number = "",
) -> Filter:
    sent = {"area_from": area_from, "area_to": area_to, "kg_from": kg_from, "kg_to": kg_to, "f_from": f_from}
    given = {name: text.strip() for name, text in sent.items() if text.strip()}
    return Filter(crop, kind, sort, given, {name: _number(text, name) for name, text in given.items()})


def _number(text: str, name: str) -> float:
    """A number as people write it, with a point or a comma."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise invalid("Input should be a number", "query", name)
    return value


@router.get(HOME)
def every(request: Request, asked: Annotated[Asked, may("runs.read")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        found = list(walked(lambda after: cooperatives(tx, after=after, limit=AT_ONCE), "", "cooperative_id"))
        rows = [_overview(tx, row, asked) for row in found]
    rows.sort(key=lambda row: (row["name"].casefold(), row["cooperative_id"]))
    granted = [row for row in rows if row["plots"] is not None]
    released = [row for row in rows if row["plots"] is None]
    shown: dict[str, Any] = {"rows": granted, "released": released, "account": asked.account, "questions": QUESTIONS}
    return page(request, "analysis_home.html", tab="analysis", **shown)


def _overview(tx: Transaction, row: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """A cooperative in the list; plots None where releases alone were granted."""
    owner_id = row["cooperative_id"]
    if not asked.scope.reaches(owner_id):
        return {**row, "plots": None}
    seen, whole = plots_today(tx, owner_id)
    last = next(iter(runs(tx, owner_id, limit=1)), None)
    return {**row, "plots": seen, "whole": whole, "last": last, "grant": grant_of(tx, owner_id, asked.account)}


@router.get(f"{HOME}/questions")
def questions(request: Request, asked: Annotated[Asked, may("runs.read")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        found = list(walked(lambda after: cooperatives(tx, after=after, limit=AT_ONCE), "", "cooperative_id"))
    within = [row for row in found if asked.scope.reaches(row["cooperative_id"])]
    within.sort(key=lambda row: (row["name"].casefold(), row["cooperative_id"]))
    return page(request, "analysis_questions.html", tab="analysis", rows=within, questions=QUESTIONS)


@router.get(ONE)
def show(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("runs.read")],
    wanted: Annotated[Filter, Depends(_filter)],
    run_id: Annotated[str, Query(alias="run", max_length=64, pattern=rf"^$|{RANDOM}")] = "",
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner, known = cooperative(tx, cooperative_id), runs(tx, cooperative_id, limit=_RUNS)
        today, grant = plots_today(tx, cooperative_id), grant_of(tx, cooperative_id, asked.account)
        row = run(tx, cooperative_id, run_id or known[0]["run_id"]) if run_id or known else None
        facts = None if row is None else method(tx, row)
        told = {} if row is None else tables(tx, row)
    common: dict[str, Any] = {
        "owner": owner,
        "is_office": asked.scope.role in OFFICE,
        "runs": known,
        "today": today,
        "grant": grant,
    }
    common |= {"formats": FORMATS, "most": MOST_ROWS, "address": str(request.base_url).rstrip("/")}
    if row is None or facts is None:
        return page(request, "analysis_cooperative.html", tab="analysis", run=None, **common)
    seen, product = seen_plots(asked, cooperative_id, row["run_id"]), product_of(facts["maps"])
    kept = _listed(seen, wanted)
    return page(
        request,
        "analysis_cooperative.html",
        tab="analysis",
        run=facts,
        seen=seen,
        all=sums(seen.rows),
        kept=sums(kept) if len(kept) != len(seen.rows) else None,
        wanted=wanted,
        crops=sorted({str(one["crop"]) for one in seen.rows if one["crop"]}),
        product=product,
        legend=legend_rows(product),
        citation=citation(facts, product),
        tables=told,
        **shown_part(kept, first, _PAGE),
        **common,
    )


def _listed(seen: Seen, wanted: Filter) -> list[Mapping[str, Any]]:
    """The plots that the filter keeps, in the order that was asked for."""
    kept = [row for row in seen.rows if wanted.keeps(row)]
    if wanted.sort != "plot_id":
        column = "counted_area_ha" if wanted.sort == "area_ha" else wanted.sort
        kept.sort(key=lambda row: (-(row[column] or 0.0), str(row["plot_id"])))
    return kept


def citation(run: Mapping[str, Any], product: Any) -> Sequence[str]:
    """How a run and the map under it are cited: one line each."""
    from geomap.landcover.citation import cite

    made = datetime.fromtimestamp(run["created_at"], UTC).date().isoformat()
    version = run["versions"].get("geomap", geomap.__version__)
    lines = [f"geomap {version}, run {run['run_id']} of {made}, inputs SHA-256 {run['inputs_sha256'][:16]}."]
    return lines + ([cite(product)] if product is not None else [])
