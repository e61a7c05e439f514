"""Home, and a cooperative at a glance: what is there, and what to do next."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy import Select, Table, distinct, func, select

from api.access import KEEPERS, OFFICE, Asked, may
from api.models import Country, Name, NewCooperative
from api.pages.base import AT, PageRoute, go, page
from api.pages.figures import headline
from api.paths import CooperativeId
from api.routes.cooperatives import add as add_to_service
from api.veil import AT_ONCE, walked
from geomap.store import schema
from geomap.store.cooperatives import cooperative, cooperatives
from geomap.store.imports import imports
from geomap.store.jobs import jobs
from geomap.store.rasters import rasters
from geomap.store.runs import run, runs
from geomap.store.scope import Transaction

router = APIRouter(route_class=PageRoute, include_in_schema=False)
LANDING: Final = {"buyer": "/buyer", "analyst": "/analysis", "operator": "/service"}
"""Role → the page that is its home; an office has its cooperatives there."""


@router.get("/")
def home(request: Request, asked: Annotated[Asked, may("cooperatives.read")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        found = list(walked(lambda after: cooperatives(tx, after=after, limit=AT_ONCE), "", "cooperative_id"))
    if asked.scope.role in LANDING:
        return go(LANDING[asked.scope.role])
    if asked.scope.role == "coop_admin" and len(found) == 1:
        return go(f"/office/{found[0]['cooperative_id']}")
    found.sort(key=lambda row: (row["name"].casefold(), row["cooperative_id"]))
    role = asked.scope.role
    return page(request, "home.html", rows=found, opens=role in OFFICE, adds=role in KEEPERS, crops=crop_names())


@router.post("/office/add")
def add(
    request: Request,
    *,
    asked: Annotated[Asked, may("cooperatives.add")],
    name: Annotated[Name, Form()],
    code: Annotated[Country, Form()] = "",
    country: Annotated[Country, Form()] = "",
    crop: Annotated[Country, Form()] = "",
) -> Response:
    body = NewCooperative(code=code or name, name=name, country=country, crop=crop)
    made = add_to_service(request, body, asked)
    return go(made.headers["Location"].replace("/cooperatives/", "/office/") if asked.scope.role in OFFICE else "/")


@router.get(AT)
def overview(
    request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("cooperatives.change")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        there = counts(tx, cooperative_id)
        last_imports = imports(tx, cooperative_id, limit=5)
        last_runs = runs(tx, cooperative_id, limit=1)
        last = run(tx, cooperative_id, last_runs[0]["run_id"]) if last_runs else None
        active = jobs(tx, cooperative_id, states=("queued", "running"), limit=3)
        has_map = bool(rasters(tx, limit=1))
    steps = {
        "plots": there["plots"] > 0,
        "members": there["members"] > 0,
        "deliveries": there["deliveries"] > 0,
        "run": last is not None,
    }
    return page(
        request,
        "cooperative.html",
        cooperative=owner,
        tab="overview",
        there=there,
        last_imports=last_imports,
        last=last,
        figures=None if last is None else headline(last, owner),
        active=active,
        steps=steps,
        next=next((name for name, is_done in steps.items() if not is_done), None),
        has_map=has_map,
    )


def counts(tx: Transaction, cooperative_id: str) -> dict[str, int]:
    """How many plots, members and rows there are, and how many members have a plot."""
    plots = schema.plots
    stands = (plots.c.ended_at.is_(None),)
    found = {
        "plots": _count(tx, plots, cooperative_id, *stands),
        "mapped": _one(
            tx,
            select(func.count(distinct(plots.c.member_id)).label("n"))
            .select_from(plots)
            .where(plots.c.cooperative_id == cooperative_id, plots.c.member_id != "", *stands),
        ),
    }
    tables = {"members": schema.members, "deliveries": schema.deliveries, "contracts": schema.contracts}
    return found | {name: _count(tx, table, cooperative_id) for name, table in tables.items()}


def _count(tx: Transaction, table: Table, cooperative_id: str, *where: Any) -> int:
    query = select(func.count().label("n")).select_from(table).where(table.c.cooperative_id == cooperative_id, *where)
    return _one(tx, query)


def _one(tx: Transaction, query: Select[Any]) -> int:
    return int(tx.fetch(query)[0]["n"])


def crop_names() -> list[str]:
    """The crops that can be estimated."""
    from geomap import reference

    return [str(name) for name in reference.table("crops")["crop"]]
