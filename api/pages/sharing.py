"""Who sees what: grants, releases, and who looked."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from api.access import Asked, may
from api.models import NewRelease, Text
from api.pages.base import AT, PageRoute, go, page
from api.paths import RANDOM, CooperativeId, ReleaseId
from api.release_tables import rows_of
from api.routes import grants as grant_routes
from api.routes import releases as release_routes
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.grants import grants
from geomap.store.releases import preview, releases, withdraw
from geomap.store.runs import runs
from geomap.store.scope import clock

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Quantity = Literal["potential", "supply"]
Attribute = Literal["certification", "altitude_band"]
RunForm = Annotated[str, Form(pattern=RANDOM)]
_SHOWN: Final = 50


@router.get(f"{AT}/sharing")
def show(request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("grants.read")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        shown: dict[str, Any] = {
            "cooperative": cooperative(tx, cooperative_id),
            "given": grants(tx, cooperative_id, limit=_SHOWN),
            "signed": releases(tx, cooperative_id, limit=_SHOWN),
            "runs": runs(tx, cooperative_id, limit=_SHOWN),
            "looks": audit.entries(tx, cooperative_id, limit=10),
            "now": clock(tx),
        }
    return page(request, "sharing.html", tab="sharing", **shown)


@router.post(f"{AT}/sharing/grants")
def add_grant(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("grants.change")],
    account_id: Annotated[str, Form(min_length=1, max_length=100, pattern=r"^\s*[\w-]+\s*$")],
    kind: Annotated[Literal["releases", "plots"], Form()],
) -> Response:
    grant_routes.add(request, asked, cooperative_id, grant_routes.NewGrant(account_id=account_id.strip(), kind=kind))
    return go(f"/office/{cooperative_id}/sharing")


@router.post(f"{AT}/sharing/grants/{{grant_id}}/end")
def end_grant(
    request: Request, cooperative_id: CooperativeId, grant_id: str, asked: Annotated[Asked, may("grants.change")]
) -> Response:
    grant_routes.revoke(request, asked, cooperative_id, grant_id)
    return go(f"/office/{cooperative_id}/sharing")


@router.post(f"{AT}/sharing/preview")
def look(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("releases.add")],
    run_id: RunForm,
    quantity: Annotated[Quantity, Form()] = "potential",
    community: Annotated[bool, Form()] = False,
    by: Annotated[list[Attribute] | None, Form(max_length=8)] = None,
) -> Response:
    parts = [*(["community"] if community else []), *(by or [])]
    body = NewRelease(run_id=run_id, quantity=quantity, by=parts, dry_run=True)
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        seen = preview(tx, cooperative_id, release_routes.draft_of(tx, cooperative_id, body))
    totals = [row for row in rows_of(seen.content, "totals") if row["kg"] is not None]
    shown: dict[str, Any] = {
        "run_id": run_id,
        "quantity": quantity,
        "community": community,
        "by": by or [],
        "seen": seen,
        "totals": totals,
    }
    return page(request, "release.html", cooperative=owner, tab="sharing", **shown)


@router.post(f"{AT}/sharing/releases")
def sign(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("releases.add")],
    run_id: RunForm,
    signed_by: Annotated[Text, Form(min_length=1)],
    quantity: Annotated[Quantity, Form()] = "potential",
    community: Annotated[bool, Form()] = False,
    by: Annotated[list[Attribute] | None, Form(max_length=8)] = None,
    note: Annotated[Text, Form()] = "",
) -> Response:
    body = NewRelease(
        run_id=run_id,
        quantity=quantity,
        by=[*(["community"] if community else []), *(by or [])],
        signed_by=signed_by[:200],
        note=note,
    )
    release_routes.add(request, cooperative_id, body, asked)
    return go(f"/office/{cooperative_id}/sharing")


@router.post(f"{AT}/sharing/releases/{{release_id}}/withdraw")
def take_back(
    request: Request,
    cooperative_id: CooperativeId,
    release_id: ReleaseId,
    asked: Annotated[Asked, may("releases.withdraw")],
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        withdraw(tx, cooperative_id, release_id)
    return go(f"/office/{cooperative_id}/sharing")


@router.get(f"{AT}/sharing/looks")
def who_looked(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("audit.read")],
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        found = audit.entries(tx, cooperative_id, after=after, limit=_SHOWN + 1)
    more = found[_SHOWN - 1]["key"] if len(found) > _SHOWN else None
    return page(request, "looks.html", cooperative=owner, tab="sharing", rows=found[:_SHOWN], more=more)
