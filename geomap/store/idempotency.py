"""Answers that are kept for a day, so that a request that is sent again is not done again.

An account's key is taken before the request is worked on, and given back where it fails. Keys of other accounts are
other keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from geomap.store.accounts import LOCAL
from geomap.store.database import Store
from geomap.store.schema import accounts
from geomap.store.schema import idempotency as table
from geomap.store.scope import SERVICE, Transaction, clock
from geomap.store.types import now

KEPT_S: Final = 86400.0
ABANDONED_S: Final = 900.0
"""After this a request that got no answer counts as lost, and its key is free again."""
WORKING: Final = 0
"""The status of a request that is being worked on."""
FORGOTTEN: Final = -1
"""The status of a request that was being worked on when something was erased: its answer is not kept."""


@dataclass(frozen=True)
class Kept:
    """What is known under a key: the request, and its answer unless the status is `WORKING`."""

    request_sha256: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def take_key(store: Store, account_id: str, key: str, request_sha256: str) -> Kept | None:
    """None where the key was free and is taken now; else what is known under it. Of several at once one takes it."""
    try:
        with store.begin(SERVICE) as tx:
            tx.delete(table, table.c.created_at < now() - KEPT_S)
            tx.delete(table, table.c.status <= WORKING, table.c.created_at < now() - ABANDONED_S)
            if found := _found(tx, account_id, key):
                return found
            tx.insert(
                table,
                {
                    "account_id": account_id,
                    "idempotency_key": key,
                    "request_sha256": request_sha256,
                    "status": WORKING,
                    "headers": {},
                    "body": b"",
                    "created_at": clock(tx),
                },
            )
            return None
    except IntegrityError:  # another took it between our look and our insert
        with store.read(SERVICE) as tx:
            return _found(tx, account_id, key) or Kept(request_sha256, WORKING, {}, b"")


def keep_answer(
    store: Store, account_id: str, key: str, *, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Keep the answer under the key that was taken; the key is free again where the answer may tell of the erased."""
    values = {"status": status, "headers": dict(headers), "body": body}
    with store.begin(SERVICE) as tx:
        if not tx.update(table, values, *_of(account_id, key), table.c.status == WORKING):
            tx.delete(table, *_of(account_id, key), table.c.status == FORGOTTEN)


def free_key(store: Store, account_id: str, key: str) -> None:
    """Give a key back: the request failed, or its answer holds what is not kept."""
    with store.begin(SERVICE) as tx:
        tx.delete(table, *_of(account_id, key))


def forget_answers(store: Store, cooperative_id: str) -> None:
    """Forget the answers that a cooperative's office and whoever sits at the machine were given, and keep none of the
    requests under way: they may tell of what was erased.
    """
    with store.begin(SERVICE) as tx:
        offices = tx.fetch(select(accounts.c.account_id).where(accounts.c.cooperative_id == cooperative_id))
        ids = [LOCAL, *(row["account_id"] for row in offices)]
        tx.update(table, {"status": FORGOTTEN}, table.c.account_id.in_(ids), table.c.status == WORKING)
        tx.delete(table, table.c.account_id.in_(ids), table.c.status > WORKING)


def _found(tx: Transaction, account_id: str, key: str) -> Kept | None:
    row = tx.first(select(table).where(*_of(account_id, key)))
    if row is None:
        return None
    return Kept(row["request_sha256"], max(row["status"], WORKING), row["headers"], bytes(row["body"]))


def _of(account_id: str, key: str) -> tuple[Any, ...]:
    return table.c.account_id == account_id, table.c.idempotency_key == key
