"""What an office brought beside plots and members, as it was counted: by season and form, and row by row."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import Table, distinct, func, select

from api.access import Asked, may
from api.pages.base import AT, PageRoute, page
from api.paths import CooperativeId
from geomap.store import audit, schema
from geomap.store.cooperatives import cooperative
from geomap.store.evidence import TABLES
from geomap.store.scope import Transaction

router = APIRouter(route_class=PageRoute, include_in_schema=False)
KINDS: Final = ("deliveries", "field_estimates", "commitments", "contracts")
_PAGE: Final = 100
_CELLS: Final = ("date", "month", "receipt", "buyer", "certification")
"""What a row tells beside member, season and kilograms, where it does."""


@router.get(f"{AT}/brought")
def show(request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("evidence.read")]) -> Response:
    with asked.store.begin(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        sums = {kind: _sums(tx, cooperative_id, TABLES[kind]) for kind in KINDS}
        audit.record(tx, "evidence.read", cooperative_id=cooperative_id)
    return page(request, "brought.html", cooperative=owner, tab="overview", sums=sums)


@router.get(f"{AT}/brought/{{kind}}")
def rows(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    kind: str,
    asked: Annotated[Asked, may("evidence.read")],
    season: Annotated[str, Query(max_length=1_000)] = "",
    form: Annotated[str, Query(max_length=1_000)] = "",
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    from geomap.store.errors import NotFoundError

    if kind not in KINDS:
        raise NotFoundError("There is no such list.")
    table = TABLES[kind]
    of = (table.c.cooperative_id == cooperative_id, table.c.season == season, table.c.form == form)
    with asked.store.begin(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        size = int(tx.fetch(select(func.count().label("n")).select_from(table).where(*of))[0]["n"])
        columns = (table, schema.imports.c.file_name)
        source = table.join(schema.imports, table.c.import_id == schema.imports.c.import_id)
        found = select(*columns).select_from(source).where(*of).order_by(table.c.key).offset(first).limit(_PAGE)
        shown = [_row(dict(row)) for row in tx.fetch(found)]
        audit.record(tx, "evidence.read", cooperative_id=cooperative_id, object=kind)
    told = [name for name in _CELLS if any(row[name] for row in shown)]
    return page(
        request,
        "brought_rows.html",
        cooperative=owner,
        tab="overview",
        kind=kind,
        season=season,
        form=form,
        rows=shown,
        told=told,
        size=size,
        first=first,
        before=max(0, first - _PAGE) if first else None,
        more=first + _PAGE if first + _PAGE < size else None,
        step=_PAGE,
    )


def _sums(tx: Transaction, cooperative_id: str, table: Table) -> list[dict[str, Any]]:
    """Rows, members and kilograms by season and form, the newest season first; kilograms of forms are never added."""
    members = func.count(distinct(func.nullif(table.c.member_id, "")))
    found = (
        select(
            table.c.season,
            table.c.form,
            func.count().label("rows"),
            members.label("members"),
            func.sum(table.c.kg).label("kg"),
            func.count(table.c.kg).label("weighed"),
        )
        .where(table.c.cooperative_id == cooperative_id)
        .group_by(table.c.season, table.c.form)
        .order_by(table.c.season.desc(), table.c.form)
    )
    return [dict(row) for row in tx.fetch(found)]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    cells = {name: str(row["cells"].get(name) or "") for name in _CELLS}
    return {**{name: row[name] for name in ("row", "member_id", "season", "kg", "form", "file_name")}, **cells}
