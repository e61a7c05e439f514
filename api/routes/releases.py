"""Releases: what an office signs of a run, and what buyers see of it; never anything of the run itself."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from api.access import OFFICE, Asked, may
from api.answers import Page, invalid, listed, shown, wanted_format
from api.columns import Docs, cut
from api.described import TABLE, THING
from api.formats import Format
from api.models import NewRelease
from api.paths import OF, CooperativeId, FileName, ReleaseId
from api.release_tables import (
    PORTFOLIO,
    SHAPES,
    buyers_unit,
    columns_of,
    exportable_form,
    portfolio_rows,
    rows_of,
    shapes_of,
    table_names,
)
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.errors import NotFoundError
from geomap.store.portfolio import portfolio
from geomap.store.releases import (
    Draft,
    Preview,
    latest_releases,
    preview,
    release,
    release_before,
    releases,
    sign,
    withdraw,
)
from geomap.store.runs import run
from geomap.store.scope import Transaction

router = APIRouter(tags=["releases"])
ALL = f"{OF}/releases"
ONE = f"{ALL}/{{release_id}}"
Row = dict[str, Any]

FOR_ALL: Final[Docs] = {
    "release_id": ("", "Its id in addresses"),
    "number": ("count", "Counts the cooperative's releases"),
    "date": ("date", "When it was signed"),
    "season": ("", "Season"),
    "crop": ("", "Crop"),
    "form": ("", "Product form of all kilograms"),
    "quantity": ("", "What is told of parts: potential or supply"),
    "note": ("", "What the cooperative adds in words"),
}
FOR_OFFICE: Final[Docs] = {
    **FOR_ALL,
    "run_id": ("", "The run it was made of"),
    "signed_by": ("", "Who signed"),
    "created_at": ("seconds since 1970-01-01", "When it was signed, by the clock of the store"),
    "withdrawn_at": ("seconds since 1970-01-01", "When it was withdrawn; null: buyers see it"),
}


@router.get(ALL, summary="Releases, the latest first", responses=TABLE)
def list_releases(
    request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("releases.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        found = releases(tx, cooperative_id, after=page.number(), limit=page.limit + 1)
    rows, following = cut(found, page.limit, "number")
    told = [{**row["content"], **row} for row in rows]
    return listed(request, told, columns=_docs(asked), name="releases", next=following)


@router.post(ALL, status_code=201, summary="Sign a release of a run; with dry_run: see it before")
def add(
    request: Request,
    cooperative_id: CooperativeId,
    body: NewRelease,
    asked: Annotated[Asked, may("releases.add")],
) -> Response:
    if body.dry_run:
        with asked.store.read(asked.scope) as tx:
            return shown(request, _as_told(preview(tx, cooperative_id, draft_of(tx, cooperative_id, body))))
    if not body.signed_by:
        raise invalid("Somebody signs for the cooperative", "body", "signed_by")
    with asked.store.begin(asked.scope) as tx:
        draft = draft_of(tx, cooperative_id, body)
        row, seen, is_new = sign(tx, cooperative_id, draft, signed_by=body.signed_by, note=body.note)
    told = {**_as_told(seen), "release": one(asked, row)}
    answer = shown(request, told, status=201 if is_new else 200)
    answer.headers["Location"] = f"{request.url.path}/{row['release_id']}"
    return answer


def draft_of(tx: Transaction, cooperative_id: str, body: NewRelease) -> Draft:
    owner, of = cooperative(tx, cooperative_id), run(tx, cooperative_id, body.run_id)
    country = of["parameters"].get("country") or owner["country"]
    return Draft(
        run_id=body.run_id,
        quantity=body.quantity,
        by=tuple(dict.fromkeys(body.by)),
        date=None if body.date is None else body.date.isoformat(),
        min_members=body.min_members,
        new_line=body.new_line,
        leave_out=frozenset(body.leave_out),
        unit=buyers_unit(of["crop"], country, of["form"], owner["settings"]),
        exportable=exportable_form(of["crop"], of["form"], owner["settings"]),
    )


def _as_told(seen: Preview) -> Row:
    """What the office sees before and after it signs."""
    return {
        "content": seen.content,
        "changed": seen.changed,
        "differences": seen.differences,
        "warnings": seen.warnings,
        "repeats": seen.repeats,
    }


@router.get(ONE, summary="One release: all that the cooperative signed", responses=THING)
def read(
    request: Request,
    cooperative_id: CooperativeId,
    release_id: ReleaseId,
    asked: Annotated[Asked, may("releases.read")],
) -> Response:
    return shown(request, look(asked, cooperative_id, release_id))


def look(asked: Asked, cooperative_id: str, release_id: str) -> Row:
    """A release as whoever asks may see it, and the office is told who looked.

    Raises
    ------
    NotFoundError : there is none within reach.
    """
    with asked.store.read(asked.scope) as tx:
        row = release(tx, cooperative_id, release_id)
    tell_office(asked, [row])
    return one(asked, row)


@router.get(f"{ONE}/tables/{{name}}", summary="One table of a release, with units and meanings", responses=TABLE)
def read_table(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    release_id: ReleaseId,
    name: FileName,
    page: Page,
    asked: Annotated[Asked, may("releases.read")],
) -> Response:
    with asked.store.read(asked.scope) as tx:
        row = release(tx, cooperative_id, release_id)
        content = row["content"]
        earlier = release_before(tx, cooperative_id, content["number"]) if name == "changes" else None
    if name not in table_names(content):
        raise NotFoundError("The release has no such table.")
    tell_office(asked, [row])
    start = max(page.number(), 0)
    rows = rows_of(content, name, before=None if earlier is None else earlier["content"])[start:]
    following = start + page.limit if len(rows) > page.limit else None
    shown_rows, columns = rows[: page.limit], columns_of(name)
    if name == "cells" and wanted_format(request, default="json", shapes=True).startswith("geo"):
        shown_rows, columns = shapes_of(shown_rows, content["cells"]), SHAPES
    return listed(request, shown_rows, columns=columns, name=name, next=following)


@router.delete(ONE, summary="Withdraw a release: buyers see it no more")
def delete(
    request: Request,
    cooperative_id: CooperativeId,
    release_id: ReleaseId,
    asked: Annotated[Asked, may("releases.withdraw")],
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        return shown(request, one(asked, withdraw(tx, cooperative_id, release_id)))


@router.get(
    "/portfolio",
    summary="The last release of each cooperative that you may see, added up; as CSV or XLSX the signed totals",
    responses=TABLE,
)
def read_portfolio(
    request: Request,
    asked: Annotated[Asked, may("portfolio.read")],
    format: Annotated[Format | None, Query(description="Instead of an Accept header")] = None,
) -> Response:
    kind = wanted_format(request, default="json", shapes=False)
    with asked.store.read(asked.scope) as tx:
        rows = latest_releases(tx)
    tell_office(asked, rows)
    each = [{"cooperative_id": row["cooperative_id"], **one(asked, row)} for row in rows]
    groups = portfolio([row["content"] for row in rows])
    if kind != "json":
        return listed(request, portfolio_rows(groups), columns=PORTFOLIO, name="portfolio")
    return shown(request, {"releases": each, "groups": groups})


def tell_office(asked: Asked, rows: Sequence[Row]) -> None:
    """Write down who else looked at releases; the reach is narrowed to the logs of their cooperatives."""
    if asked.scope.role in OFFICE or not rows:
        return
    narrow = replace(asked.scope, cooperatives=frozenset(row["cooperative_id"] for row in rows), released=frozenset())
    with asked.store.begin(narrow) as tx:
        for row in rows:
            audit.record(tx, "releases.read", cooperative_id=row["cooperative_id"], object=row["release_id"])


def _docs(asked: Asked) -> Docs:
    return FOR_OFFICE if asked.scope.role in OFFICE else FOR_ALL


def one(asked: Asked, row: Row) -> Row:
    """A release as whoever asks may see it: its content, and to the office what it was made of."""
    content = row["content"]
    own = {name: {**content, **row}[name] for name in _docs(asked)}
    names = table_names(content)
    columns = {
        name: {column: {"unit": unit, "meaning": meaning} for column, (unit, meaning) in columns_of(name).items()}
        for name in names
    }
    return {**content, **own, "tables": names, "columns": columns}
