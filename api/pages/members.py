"""Members: found, looked at, corrected, asked what they agree to, and erased; the history of a plot."""

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
from geomap.store.plots import plot_history

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
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    wanted = search.strip().casefold()
    with asked.store.begin(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        every = walked(lambda after: members(tx, cooperative_id, after=after, limit=AT_ONCE), "", "member_id")
        kept = [row for row in every if wanted in f"{row['member_id']} {row['name']} {row['community']}".casefold()]
        audit.record(tx, "members.read", cooperative_id=cooperative_id)
    return page(
        request,
        "members.html",
        cooperative=owner,
        tab="members",
        **shown_part(kept, first, _PAGE),
        search=search,
    )


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


@router.get(f"{AT}/plot")
def history(
    request: Request, *, cooperative_id: CooperativeId, asked: Annotated[Asked, may("plots.history")], id: Id
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner, rows = cooperative(tx, cooperative_id), plot_history(tx, cooperative_id, id)
    drawn = [{**row, "shape": shape_of(row["geometry"])} for row in rows]
    return page(request, "plot.html", cooperative=owner, tab="members", plot_id=id, rows=drawn)


def shape_of(wkb: bytes | None) -> str:
    """The outline as the path of a picture of 100 × 100; "" for a point or none."""
    if wkb is None:
        return ""
    import numpy as np
    import shapely

    shape = shapely.from_wkb(bytes(wkb))
    if shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty:
        return ""
    west, south, east, north = shape.bounds
    shrink = float(np.cos(np.radians((south + north) / 2)))
    size = max((east - west) * shrink, north - south) or 1.0
    rings = [ring for polygon in shapely.get_parts(shape) for ring in (polygon.exterior, *polygon.interiors)]
    paths = []
    for ring in rings:
        corners = shapely.get_coordinates(ring)
        x = 5 + 90 * (corners[:, 0] - west) * shrink / size
        y = 5 + 90 * (north - corners[:, 1]) / size
        paths.append("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)) + "Z")
    return "".join(paths)
