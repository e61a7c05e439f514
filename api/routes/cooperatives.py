"""Cooperatives: who they are, and what each is asked once."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from api.access import OFFICE, Asked, may
from api.answers import Page, listed, shown, wanted_version
from api.columns import AUDIT, COOPERATIVE, Docs, cut, only
from api.described import TABLE, THING
from api.models import CooperativeChange, NewCooperative
from api.paths import OF, CooperativeId
from geomap.store import audit
from geomap.store.cooperatives import add_cooperative, change_cooperative, cooperative, cooperatives
from geomap.store.erase import clean_pages, erase_cooperative
from geomap.store.idempotency import forget_answers

router = APIRouter(tags=["cooperatives"])


@router.get("/cooperatives", summary="Cooperatives within your reach", responses=TABLE)
def list_cooperatives(request: Request, page: Page, asked: Annotated[Asked, may("cooperatives.read")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        rows, following = cut(cooperatives(tx, after=page.after, limit=page.limit + 1), page.limit, "cooperative_id")
    return listed(request, rows, columns=_docs(asked), name="cooperatives", next=following)


@router.post("/cooperatives", status_code=201, summary="Add a cooperative")
def add(request: Request, body: NewCooperative, asked: Annotated[Asked, may("cooperatives.add")]) -> Response:
    with asked.store.begin(asked.scope) as tx:
        cooperative_id = add_cooperative(tx, **body.model_dump())
        audit.record(tx, "cooperatives.add", cooperative_id=cooperative_id)
        row = cooperative(tx, cooperative_id)
    answer = _one(request, asked, row, status=201)
    answer.headers["Location"] = f"/cooperatives/{cooperative_id}"
    return answer


@router.get(OF, summary="One cooperative", responses=THING)
def read(
    request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("cooperatives.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        row = cooperative(tx, cooperative_id)
    return _one(request, asked, row)


@router.patch(OF, summary="Change name, country, crop or settings")
def change(
    request: Request,
    cooperative_id: CooperativeId,
    body: CooperativeChange,
    asked: Annotated[Asked, may("cooperatives.change")],
) -> Response:
    row = put_change(asked, cooperative_id, body.model_dump(exclude_none=True), version=wanted_version(request))
    return _one(request, asked, row)


def put_change(asked: Asked, cooperative_id: str, values: dict[str, Any], *, version: int | None) -> dict[str, Any]:
    """The cooperative with other values; where no version is named, whatever stands there is replaced."""
    with asked.store.begin(asked.scope) as tx:
        version = cooperative(tx, cooperative_id)["version"] if version is None else version
        row = change_cooperative(tx, cooperative_id, values, version=version)
        audit.record(tx, "cooperatives.change", cooperative_id=cooperative_id)
    return row


@router.delete(OF, status_code=204, summary="Erase a cooperative with all it owns")
def erase(cooperative_id: CooperativeId, asked: Annotated[Asked, may("cooperatives.erase")]) -> Response:
    with asked.store.begin(asked.scope) as tx:
        erase_cooperative(tx, cooperative_id)
    forget_answers(asked.store, cooperative_id)
    clean_pages(asked.store)
    return Response(status_code=204)


@router.get(f"{OF}/audit", summary="Who looked at what, and who changed it", responses=TABLE)
def list_audit(
    request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("audit.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        found = audit.entries(tx, cooperative_id, after=page.number(), limit=page.limit + 1)
    rows, following = cut(found, page.limit, "key")
    return listed(request, rows, columns=AUDIT, name="audit", next=following)


def _docs(asked: Asked) -> Docs:
    """Settings are the office's own; an analyst and a buyer see who a cooperative is."""
    if asked.scope.role in OFFICE:
        return COOPERATIVE
    return {name: COOPERATIVE[name] for name in ("cooperative_id", "code", "name", "country", "crop")}


def _one(request: Request, asked: Asked, row: dict[str, Any], status: int = 200) -> Response:
    version = row["version"] if asked.scope.role in OFFICE else None
    return shown(request, only(row, _docs(asked)), version=version, status=status)
