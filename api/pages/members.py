"""Members: found, looked at, corrected, asked what they agree to, and erased."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from api.access import Asked, may
from api.models import Consent, Text
from api.pages.base import AT, PageRoute, go, page, part, shown_part
from api.paths import CooperativeId
from api.routes.members import add_consent
from api.routes.members import erase as erase_for_good
from api.veil import AT_ONCE, walked
from geomap.store import audit, schema
from geomap.store.cooperatives import cooperative
from geomap.store.errors import ConflictError
from geomap.store.members import PURPOSES, consents, member, members, put_member
from geomap.store.scope import Transaction

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_PAGE: Final = 50
_SHOWN: Final = 100
Id = Annotated[Text, Query(min_length=1)]


@router.get(f"{AT}/members")
def find(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.read")],
    search: Annotated[str, Query(max_length=200)] = "",
    without_plot: bool = False,
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    wanted = search.strip().casefold()
    with asked.store.begin(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        every = walked(lambda after: members(tx, cooperative_id, after=after, limit=AT_ONCE), "", "member_id")
        kept = [row for row in every if wanted in f"{row['member_id']} {row['name']} {row['community']}".casefold()]
        if without_plot:
            mapped = _with_plot(tx, cooperative_id)
            kept = [row for row in kept if row["member_id"] not in mapped]
        audit.record(tx, "members.read", cooperative_id=cooperative_id)
    return page(
        request,
        "members.html",
        cooperative=owner,
        tab="members",
        **shown_part(kept, first, _PAGE),
        search=search,
        without_plot=without_plot,
    )


def _with_plot(tx: Transaction, cooperative_id: str) -> set[str]:
    """Ids of members who have a plot, or a share in one."""
    plots, shares = schema.plots, schema.plot_shares
    owned = select(plots.c.member_id).where(plots.c.cooperative_id == cooperative_id, plots.c.ended_at.is_(None))
    shared = select(shares.c.member_id).where(shares.c.cooperative_id == cooperative_id)
    return {row["member_id"] for query in (owned, shared) for row in tx.fetch(query.distinct())}


@router.get(f"{AT}/member")
def show(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.read")],
    id: Id,
    saved: bool = False,
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        owner, row = cooperative(tx, cooperative_id), member(tx, cooperative_id, id)
        agreed: dict[str, Any] = dict.fromkeys(PURPOSES)
        for one in reversed(consents(tx, cooperative_id, id)):
            agreed[one["purpose"]] = one
        shown: dict[str, Any] = {
            name: [dict(one) for one in tx.fetch(_own(table, cooperative_id, id).limit(_SHOWN))]
            for name, table in (("plots", schema.plots), ("deliveries", schema.deliveries))
        }
        audit.record(tx, "members.read", cooperative_id=cooperative_id, object=id)
    return page(
        request, "member.html", cooperative=owner, tab="members", member=row, agreed=agreed, saved=saved, **shown
    )


def _own(table: Any, cooperative_id: str, member_id: str) -> Any:
    rows = select(table).where(table.c.cooperative_id == cooperative_id, table.c.member_id == member_id)
    if table is schema.plots:
        return rows.where(table.c.ended_at.is_(None)).order_by(table.c.plot_id)
    return rows.order_by(table.c.key.desc())


@router.post(f"{AT}/member")
def correct(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.change")],
    id: Id,
    version: Annotated[int, Form(ge=0, le=2**53)],
    name: Annotated[Text, Form()] = "",
    phone: Annotated[Text, Form()] = "",
    community: Annotated[Text, Form()] = "",
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        old = member(tx, cooperative_id, id)
        values = {**old, "name": name, "phone": phone, "community": community}
        put_member(tx, cooperative_id, id, values, version=version)
        audit.record(tx, "members.change", cooperative_id=cooperative_id, object=id)
    return go(f"/office/{cooperative_id}/member?id={part(id)}&saved=1")


@router.post(f"{AT}/member/consent")
def agree(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("consents.record")],
    id: Id,
    purpose: Annotated[Literal["mapping", "analysts", "buyers"], Form()],
    given: Annotated[bool, Form()],
) -> Response:
    add_consent(request, cooperative_id, id, Consent(purpose=purpose, given=given), asked)
    return go(f"/office/{cooperative_id}/member?id={part(id)}&saved=1")


@router.get(f"{AT}/member/erase")
def ask_to_erase(
    request: Request, *, cooperative_id: CooperativeId, asked: Annotated[Asked, may("members.erase")], id: Id
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        owner, row = cooperative(tx, cooperative_id), member(tx, cooperative_id, id)
        audit.record(tx, "members.read", cooperative_id=cooperative_id, object=id)
    return page(request, "erase.html", cooperative=owner, tab="members", member=row)


@router.post(f"{AT}/member/erase")
def erase(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.erase")],
    id: Id,
    sure: Annotated[bool, Form()] = False,
) -> Response:
    if not sure:
        raise ConflictError("Nobody confirmed it.", todo="Tick the box to erase the member.")
    erase_for_good(cooperative_id, id, asked)
    return go(f"/office/{cooperative_id}/members")
