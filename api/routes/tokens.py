"""Tokens: an operator sees and revokes all of them, everyone else those of their own account."""

from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import KEEPERS, Asked, may
from api.answers import Page, listed, shown
from api.columns import cut
from api.described import TABLE
from api.formats import Columns
from api.idempotency import keep_no_answer
from geomap.store import audit
from geomap.store.scope import SERVICE, Scope, Transaction
from geomap.store.tokens import MOST_DAYS, add_token, list_tokens, public_id, revoke_token, token

COLUMNS: Final[Columns] = {
    "public_id": ("", "The public part of the token, by which it is revoked"),
    "account_id": ("", "The account that it opens"),
    "role": ("", "The account's role"),
    "cooperative_id": ("", "The cooperative of an office's account"),
    "label": ("", "Whose it is, in the operator's words"),
    "created_at": ("s", "When it was made; seconds since 1970"),
    "expires_at": ("s", "When it ends by itself"),
    "revoked_at": ("s", "When it was revoked"),
    "used_at": ("s", "When it was last used, to ten minutes"),
}
router = APIRouter(prefix="/tokens", tags=["access"])


class NewToken(BaseModel):
    """For how long a new token of one's own holds."""

    model_config = ConfigDict(extra="forbid")

    days: int = Field(default=90, ge=1, le=MOST_DAYS, strict=True)


@router.get("", responses=TABLE, summary="Tokens: one's own, or all for an operator")
def read(request: Request, asked: Annotated[Asked, may("tokens.read")], page: Page) -> Response:
    with asked.store.read(SERVICE) as tx:
        found = list_tokens(tx, account_id=_own(asked), after=page.after, limit=page.limit + 1)
    rows, following = cut(found, page.limit, "public_id")
    return listed(request, rows, columns=COLUMNS, name="tokens", next=following)


@router.post("", status_code=201, summary="A new token for one's own account, to replace one that ends soon")
def add(request: Request, asked: Annotated[Asked, may("tokens.add")], body: NewToken) -> Response:
    keep_no_answer(request)
    with asked.store.begin(_service_for(asked)) as tx:
        secret = add_token(tx, asked.account, days=body.days)
        made = token(tx, public_id(secret) or "")
        _record(tx, "tokens.add", made)
    return shown(request, {**made, "token": secret}, status=201)


@router.delete("/{public_id}", summary="Revoke a token, and end the sessions that were begun with it")
def revoke(request: Request, asked: Annotated[Asked, may("tokens.revoke")], public_id: str) -> Response:
    with asked.store.begin(_service_for(asked)) as tx:
        row = revoke_token(tx, public_id, account_id=_own(asked))
        _record(tx, "tokens.revoke", row)
    return shown(request, row)


def _own(asked: Asked) -> str | None:
    """The account that a question is limited to; None for those who keep the service."""
    return None if asked.scope.role in KEEPERS else asked.account


def _service_for(asked: Asked) -> Scope:
    """The service itself, which alone reaches tokens, on behalf of whoever asked."""
    return replace(SERVICE, account_id=asked.account)


def _record(tx: Transaction, action: str, row: dict[str, Any]) -> None:
    audit.record(tx, action, cooperative_id=row["cooperative_id"], object=row["public_id"])
