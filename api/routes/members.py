"""Members: personal data, for the office alone; whoever looks is written down."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from api.access import Asked, may
from api.answers import Page, listed, shown, wanted_version
from api.columns import CONSENT, MEMBER, cut, only
from api.described import PUT, TABLE, THING
from api.models import Consent, Member
from api.paths import OF, CooperativeId, MemberId
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.erase import clean_pages, erase_member
from geomap.store.errors import NotFoundError
from geomap.store.idempotency import forget_answers
from geomap.store.members import consents, member, members, put_member, record_consent
from geomap.store.scope import Transaction

router = APIRouter(tags=["members"])
ALL = f"{OF}/members"
ONE = f"{ALL}/{{member_id:own}}"
CONSENTS = f"{ONE}/consents"


@router.get(ALL, summary="Members with their names and telephones", responses=TABLE)
def list_members(
    request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("members.read")]
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        rows, following = cut(
            members(tx, cooperative_id, after=page.after, limit=page.limit + 1), page.limit, "member_id"
        )
        audit.record(tx, "members.read", cooperative_id=cooperative_id)
    return listed(request, rows, columns=MEMBER, name="members", next=following)


@router.get(CONSENTS, summary="What a member agreed to, the latest first", responses=TABLE)
def list_consents(
    request: Request,
    cooperative_id: CooperativeId,
    member_id: MemberId,
    asked: Annotated[Asked, may("consents.read")],
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        member(tx, cooperative_id, member_id)
        rows = consents(tx, cooperative_id, member_id)
        audit.record(tx, "consents.read", cooperative_id=cooperative_id, object=member_id)
    return listed(request, rows, columns=CONSENT, name="consents")


@router.post(CONSENTS, status_code=201, summary="Record that a member agrees, or takes it back")
def add_consent(
    request: Request,
    cooperative_id: CooperativeId,
    member_id: MemberId,
    body: Consent,
    asked: Annotated[Asked, may("consents.record")],
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        record_consent(tx, cooperative_id, member_id, purpose=body.purpose, given=body.given)
        audit.record(tx, "consents.record", cooperative_id=cooperative_id, object=member_id)
        row = consents(tx, cooperative_id, member_id)[0]
    return shown(request, only(row, CONSENT), status=201)


@router.get(ONE, summary="One member", responses=THING)
def read(
    request: Request, cooperative_id: CooperativeId, member_id: MemberId, asked: Annotated[Asked, may("members.read")]
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        row = member(tx, cooperative_id, member_id)
        audit.record(tx, "members.read", cooperative_id=cooperative_id, object=member_id)
    return _one(request, row)


@router.put(ONE, summary="Add a member, or replace all that is known of one", responses=PUT)
def put(
    request: Request,
    cooperative_id: CooperativeId,
    member_id: MemberId,
    body: Member,
    asked: Annotated[Asked, may("members.change")],
) -> Response:
    version = version_to_change(request)
    with asked.store.begin(asked.scope) as tx:
        is_new = not _is_there(tx, cooperative_id, member_id)
        row = put_member(tx, cooperative_id, member_id, body.model_dump(), version=version)
        audit.record(tx, "members.change", cooperative_id=cooperative_id, object=member_id)
    return _one(request, row, status=201 if is_new else 200)


@router.delete(ONE, status_code=204, summary="Erase a member: name, telephone, plots and rows")
def erase(
    cooperative_id: CooperativeId, member_id: MemberId, asked: Annotated[Asked, may("members.erase")]
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        erase_member(tx, cooperative_id, member_id)
    forget_answers(asked.store, cooperative_id)
    clean_pages(asked.store)
    return Response(status_code=204)


def version_to_change(request: Request) -> int | None:
    """The version that a client saw, of If-Match; 0: there must be none (If-None-Match: *); None: any."""
    return 0 if request.headers.get("if-none-match", "").strip() == "*" else wanted_version(request)


def _is_there(tx: Transaction, cooperative_id: str, member_id: str) -> bool:
    try:
        member(tx, cooperative_id, member_id)
    except NotFoundError:
        return False
    return True


def _one(request: Request, row: dict[str, Any], status: int = 200) -> Response:
    return shown(request, only(row, MEMBER), version=row["version"], status=status)
