"""Decisions of people on findings: kept, left out, the same plot as another one."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from api.access import Asked, may
from api.answers import Page, listed
from api.columns import DECISION, cut
from api.described import TABLE
from api.models import Decisions
from api.paths import OF, CooperativeId
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.decisions import decisions, put_decision

router = APIRouter(tags=["decisions"])
ALL = f"{OF}/decisions"


@router.get(ALL, summary="What people decided", responses=TABLE)
def list_decisions(
    request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("decisions.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        found = decisions(tx, cooperative_id, after=page.number(), limit=page.limit + 1)
    rows, following = cut(found, page.limit, "key")
    return listed(request, rows, columns=DECISION, name="decisions", next=following)


@router.put(ALL, summary="Decide on findings; the word on the same finding before is replaced", responses=TABLE)
def put(
    request: Request,
    cooperative_id: CooperativeId,
    body: Decisions,
    asked: Annotated[Asked, may("decisions.change")],
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        kept = [put_decision(tx, cooperative_id, **one.model_dump()) for one in body.decisions]
        audit.record(tx, "decisions.change", cooperative_id=cooperative_id)
    return listed(request, [row for row in kept if row is not None], columns=DECISION, name="decisions")
