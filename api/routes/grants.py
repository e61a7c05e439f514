"""Grants: what an office lets an analyst or a buyer see of its cooperative."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from api.access import Asked, may
from api.answers import Page, listed, shown
from api.columns import cut
from api.described import TABLE
from api.formats import Columns
from geomap.store import audit
from geomap.store.accounts import reader_role
from geomap.store.cooperatives import cooperative
from geomap.store.errors import ConflictError
from geomap.store.grants import add_grant, grants, revoke_grant
from geomap.store.scope import SERVICE

COLUMNS: Final[Columns] = {
    "grant_id": ("", "The grant"),
    "account_id": ("", "Who may see it"),
    "kind": ("", "releases or plots"),
    "starts_at": ("s", "From when; seconds since 1970"),
    "ends_at": ("s", "Until when; empty for as long as it is not revoked"),
    "revoked_at": ("s", "When it was revoked"),
    "granted_by": ("", "The account that gave it"),
    "created_at": ("s", "When it was given"),
}
router = APIRouter(prefix="/cooperatives/{cooperative_id}/grants", tags=["access"])
Seconds = Annotated[FiniteFloat, Field(ge=0, le=1e11, description="Seconds since 1970")]


class NewGrant(BaseModel):
    """What is granted to whom; `account_id` is what the reader tells the office."""

    model_config = ConfigDict(extra="forbid")

    account_id: str = Field(min_length=1, max_length=100, pattern=r"^[\w-]+$")
    kind: Literal["releases", "plots"]
    starts_at: Seconds | None = None
    ends_at: Seconds | None = None


@router.get("", responses=TABLE, summary="What the cooperative lets others see")
def read(request: Request, asked: Annotated[Asked, may("grants.read")], cooperative_id: str, page: Page) -> Response:
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        found = grants(tx, cooperative_id, after=page.after, limit=page.limit + 1)
    rows, following = cut(found, page.limit, "grant_id")
    return listed(request, rows, columns=COLUMNS, name="grants", next=following)


@router.post("", status_code=201, summary="Let an analyst or a buyer see releases, or an analyst plots")
def add(
    request: Request, asked: Annotated[Asked, may("grants.change")], cooperative_id: str, body: NewGrant
) -> Response:
    with asked.store.read(SERVICE) as tx:
        role = reader_role(tx, body.account_id)
    if body.kind == "plots" and role != "analyst":
        raise ConflictError("Plots can be shown to analysts only.", todo="Grant releases to a buyer.")
    if body.ends_at is not None and body.starts_at is not None and body.ends_at <= body.starts_at:
        raise ConflictError("The grant would end before it begins.", todo="Exchange the two times.")
    with asked.store.begin(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        given = add_grant(
            tx, cooperative_id, body.account_id, body.kind, starts_at=body.starts_at, ends_at=body.ends_at
        )
        audit.record(tx, "grants.change", cooperative_id=cooperative_id, object=given["grant_id"])
    return shown(request, {name: given[name] for name in COLUMNS}, status=201)


@router.delete("/{grant_id}", summary="End a grant now")
def revoke(
    request: Request, asked: Annotated[Asked, may("grants.change")], cooperative_id: str, grant_id: str
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        ended = revoke_grant(tx, cooperative_id, grant_id)
        audit.record(tx, "grants.change", cooperative_id=cooperative_id, object=grant_id, outcome="revoked")
    return shown(request, {name: ended[name] for name in COLUMNS})
