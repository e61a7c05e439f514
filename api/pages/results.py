"""What a run says: in all, by community, month and member; its report, map and harvest estimate."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import Asked, may
from api.pages.answers import answers
from api.pages.base import AT, PageRoute, page, shown_part
from api.pages.figures import cases, headline
from api.paths import CooperativeId, FileName, RunId
from api.routes.runs import read_file
from api.veil import AT_ONCE, walked
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.members import members
from geomap.store.runs import run, run_names, run_rows, runs
from geomap.store.scope import Transaction
from geomap.supply.narrow import action_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_SHOWN: Final = 20
_PAGE: Final = 50
_ESTIMATE: Final = "harvest_estimate_"
_PICTURE: Final = "harvest_summary_"
_REPORT, _WORKBOOK = "report.pdf", "office.xlsx"
_FRAMED: Final = ("report.html", "map_internal.html", "map_share.html")


@router.get(f"{AT}/results")
def every(request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("runs.files")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        found = [
            {**row, "figures": headline(run(tx, cooperative_id, row["run_id"]), owner)}
            for row in runs(tx, cooperative_id, limit=_SHOWN)
        ]
    return page(request, "results.html", cooperative=owner, tab="results", rows=found)


@router.get(f"{AT}/results/{{run_id}}")
def show(
    request: Request, cooperative_id: CooperativeId, run_id: RunId, asked: Annotated[Asked, may("runs.files")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner, row = cooperative(tx, cooperative_id), run(tx, cooperative_id, run_id)
        names = run_names(tx, cooperative_id, run_id)
        figures = headline(row, owner)
        quantity = figures["quantity"]
        communities = _rows(tx, row, names["tables"], "by_community")
        months = [one for one in _rows(tx, row, names["tables"], "months") if one["quantity"] == quantity]
        findings = _rows(tx, row, names["tables"], "findings")
        told = answers(lambda name: _rows(tx, row, names["tables"], name), figures)
    highest = max((month["p90_kg"] or month["mean_kg"] or 0.0 for month in months), default=0.0)
    return page(
        request,
        "result.html",
        cooperative=owner,
        tab="results",
        run=row,
        figures=figures,
        communities=[{"name": one["id"], "members": one["members"], **cases(one, quantity)} for one in communities],
        months=[_month(one, highest) for one in months],
        findings=len(findings),
        answers=told,
        narrow=[(sentence, action_of(sentence)) for sentence in row["summary"].get("narrow") or []],
        files=_files(names["files"]),
    )


def _rows(tx: Transaction, row: Mapping[str, Any], tables: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    if name not in tables:
        return []
    of = (row["cooperative_id"], row["run_id"], name)
    return [one["cells"] for one in walked(lambda after: run_rows(tx, *of, after=after, limit=AT_ONCE), -1, "position")]


def _month(row: Mapping[str, Any], highest: float) -> dict[str, Any]:
    """A month's kilograms, and the ends of its bar in percent of the highest."""
    scale = 100 / highest if highest else 0.0
    low, high, mean = (row[name] or 0.0 for name in ("p10_kg", "p90_kg", "mean_kg"))
    bar = {"from": round(low * scale, 1), "width": round((high - low) * scale, 1), "mean": round(mean * scale, 1)}
    return {"month": row["month"], "mean": row["mean_kg"], "low": row["p10_kg"], "high": row["p90_kg"], "bar": bar}


def _files(files: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of files by what people do with them."""
    estimates = [name for name in files if name.startswith(_ESTIMATE)]
    shown = {
        "picture": [name for name in files if name.startswith(_PICTURE)],
        "report": [name for name in files if name == _REPORT],
        "workbook": [name for name in files if name == _WORKBOOK],
    }
    told = {*estimates, *_FRAMED, *(name for names in shown.values() for name in names)}
    return {
        "estimate": [name for name in estimates if name.endswith(".html")],
        "pdf": [name for name in estimates if name.endswith(".pdf")],
        "framed": [name for name in _FRAMED if name in files],
        **shown,
        "others": [name for name in files if name not in told],
    }


@router.get(f"{AT}/results/{{run_id}}/members")
def by_member(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    run_id: RunId,
    asked: Annotated[Asked, may("runs.files")],
    search: Annotated[str, Query(max_length=200)] = "",
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        owner, row = cooperative(tx, cooperative_id), run(tx, cooperative_id, run_id)
        figures = headline(row, owner)
        found = _rows(tx, row, run_names(tx, cooperative_id, run_id)["tables"], "members")
        people = {
            one["member_id"]: one["name"]
            for one in walked(lambda after: members(tx, cooperative_id, after=after, limit=AT_ONCE), "", "member_id")
        }
        audit.record(tx, "members.read", cooperative_id=cooperative_id, object=run_id)
    rows = [
        {
            "id": one["id"],
            "name": people.get(one["id"], ""),
            "is_there": one["id"] in people,
            "community": one.get("community") or "",
            "plots": one["plots"],
            **cases(one, figures["quantity"]),
        }
        for one in found
    ]
    wanted = search.strip().casefold()
    kept = [one for one in rows if wanted in f"{one['id']} {one['name']} {one['community']}".casefold()]
    return page(
        request,
        "by_member.html",
        cooperative=owner,
        tab="results",
        run=row,
        figures=figures,
        **shown_part(kept, first, _PAGE),
        search=search,
    )


@router.get(f"{AT}/results/{{run_id}}/look/{{name}}")
def look(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    run_id: RunId,
    name: FileName,
    asked: Annotated[Asked, may("runs.files")],
) -> Response:
    """A page of the run within ours, in a frame that reaches nothing."""
    with asked.store.read(asked.scope) as tx:
        owner, row = cooperative(tx, cooperative_id), run(tx, cooperative_id, run_id)
    return page(request, "look.html", cooperative=owner, tab="results", run=row, name=name, key=_key(name))


def _key(name: str) -> str:
    return "estimate" if name.startswith(_ESTIMATE) else name.partition(".")[0]


@router.get(f"{AT}/results/{{run_id}}/frame/{{name}}")
def frame(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    run_id: RunId,
    name: FileName,
    asked: Annotated[Asked, may("runs.files")],
) -> Response:
    """What stands in the frame: the run's own page under its own policy, which pages of ours alone may frame."""
    answer = read_file(request, cooperative_id, run_id, name, asked)
    policy = answer.headers.get("Content-Security-Policy")
    if policy is not None:
        answer.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'self'"
        answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer
