"""A file: chosen, its columns looked at, taken in, and what was found in it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import Response

from api.access import Asked, may
from api.pages.base import AT, PageRoute, go, page
from api.pages.waiting import COLUMNS, Waiting, forget, lay_down, preview, waiting
from api.paths import CooperativeId, ImportId
from api.routes.imports import Crs, Kind
from api.veil import AT_ONCE, walked
from geomap.errors import GeomapError
from geomap.plots.columns import ATTRIBUTE_NAMES
from geomap.plots.kinds import KINDS
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.imports import import_, import_findings, imports, take_in_import

router = APIRouter(route_class=PageRoute, include_in_schema=False)
SEVERITIES: Final = ("block", "warn", "note")
_SHOWN: Final = 20
_EVERY: Final = 100_000


@router.get(f"{AT}/files")
def choose(
    request: Request,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("imports.read")],
    kind: Kind = "plots",
) -> Response:
    return _choose(request, asked, cooperative_id, kind)


def _choose(
    request: Request, asked: Asked, cooperative_id: str, kind: str, error: GeomapError | None = None
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        before = imports(tx, cooperative_id, limit=_SHOWN)
    status = 200 if error is None else 422
    shown = {"kinds": list(COLUMNS), "kind": kind, "endings": ",".join(KINDS), "before": before, "error": error}
    return page(request, "files.html", status=status, cooperative=owner, tab="files", **shown)


@router.post(f"{AT}/files")
def send(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("imports.add")],
    file: Annotated[UploadFile, File()],
    kind: Annotated[Kind, Form()],
) -> Response:
    whose = {"account": asked.account, "cooperative_id": cooperative_id}
    try:
        token = lay_down(file, _work_dir(request), kind=kind, **whose)
    except GeomapError as error:
        return _choose(request, asked, cooperative_id, kind, error)
    return go(f"/office/{cooperative_id}/files/{token}")


@router.get(f"{AT}/files/{{token}}")
def look(
    request: Request, cooperative_id: CooperativeId, token: str, asked: Annotated[Asked, may("imports.add")]
) -> Response:
    return _look(request, asked, cooperative_id, _waiting(request, asked, cooperative_id, token))


def _look(
    request: Request,
    asked: Asked,
    cooperative_id: str,
    file: Waiting,
    *,
    error: GeomapError | None = None,
    chosen: Mapping[str, str] | None = None,
    crs: str = "",
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
    try:
        seen = preview(file)
    except GeomapError as unreadable:
        forget(file)
        return _choose(request, asked, cooperative_id, file.kind, unreadable)
    matched = {**seen.matched, **(chosen or {})}
    names = COLUMNS[file.kind]
    main = [name for name in names if name not in ATTRIBUTE_NAMES or name in matched]
    return page(
        request,
        "columns.html",
        status=200 if error is None else 422,
        cooperative=owner,
        tab="files",
        file=file,
        seen=seen,
        matched=matched,
        main=main,
        further=[name for name in names if name not in main],
        error=error,
        crs=crs,
    )


@router.post(f"{AT}/files/{{token}}")
def take_in(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    token: str,
    asked: Annotated[Asked, may("imports.add")],
    ours: Annotated[list[str], Form(max_length=100)],
    theirs: Annotated[list[str], Form(max_length=100)],
    crs: Annotated[Crs, Form()] = "",
    replace: Annotated[bool, Form()] = False,
) -> Response:
    file = _waiting(request, asked, cooperative_id, token)
    chosen = {our: their for our, their in zip(ours, theirs, strict=False) if their}
    try:
        row = take_in_import(
            asked.store,
            asked.scope,
            file.path,
            cooperative_id=cooperative_id,
            kind=file.kind,
            file_name=file.file_name,
            declared=file.declared,
            mapping=_changed(file, chosen),
            crs=crs or None,
            replace=replace,
        )
    except GeomapError as error:
        return _look(request, asked, cooperative_id, file, error=error, chosen=chosen, crs=crs)
    with asked.store.begin(asked.scope) as tx:
        audit.record(tx, "imports.add", cooperative_id=cooperative_id, object=row["import_id"])
    forget(file)
    again = "?again=1" if row["repeated"] else ""
    return go(f"/office/{cooperative_id}/imports/{row['import_id']}{again}")


def _changed(file: Waiting, chosen: Mapping[str, str]) -> dict[str, str] | None:
    """Their column → our name where a person chose otherwise; None: all is as we understood it ourselves."""
    matched = preview(file).matched
    return {their: our for our, their in chosen.items() if matched.get(our) != their} or None


@router.get(f"{AT}/imports/{{import_id}}")
def result(
    request: Request,
    cooperative_id: CooperativeId,
    import_id: ImportId,
    asked: Annotated[Asked, may("imports.read")],
    again: bool = False,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        row = import_(tx, cooperative_id, import_id)
        found = walked(
            lambda after: import_findings(tx, cooperative_id, import_id, after=after, limit=AT_ONCE), 0, "key"
        )
        groups = grouped([dict(one) for one in found])
    shown: dict[str, Any] = {"row": row, "groups": groups, "again": again, "every": _EVERY}
    return page(request, "import.html", cooperative=owner, tab="files", **shown)


def grouped(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings by code, blocking ones first: how many, what they cost, and the first messages."""
    by_code: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        by_code[row["severity"], row["code"]].append(row)
    groups = [
        {
            "severity": severity,
            "code": code,
            "count": len(each),
            "effect_ha": _sum(each, "effect_ha"),
            "effect_kg": _sum(each, "effect_kg"),
            "first": each[:3],
        }
        for (severity, code), each in by_code.items()
    ]
    return sorted(groups, key=lambda one: (SEVERITIES.index(one["severity"]), -one["count"], one["code"]))


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return sum(known) if known else None


def _work_dir(request: Request) -> Path:
    return Path(request.app.state.settings.work_dir)


def _waiting(request: Request, asked: Asked, cooperative_id: str, token: str) -> Waiting:
    return waiting(token, _work_dir(request), account=asked.account, cooperative_id=cooperative_id)
