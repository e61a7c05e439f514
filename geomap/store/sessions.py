"""Sessions of a browser: a cookie, and the single-use code that is exchanged for one. Only SHA-256 is kept."""

import secrets
from typing import Any, Final, Literal

from sqlalchemy import select

from geomap.store.accounts import scope_of
from geomap.store.database import Store
from geomap.store.schema import accounts, sessions, tokens
from geomap.store.scope import SERVICE, Scope, Transaction, clock
from geomap.store.tokens import fingerprint
from geomap.store.types import now

CODE_S: Final = 300.0
"""Seconds for which a code can be exchanged."""
_LONGEST: Final = 100


def add_code(store: Store, account_id: str) -> str:
    """A code that opens one session of an account, once and within five minutes."""
    with store.begin(SERVICE) as tx:
        return _add(tx, account_id, "code", CODE_S)


def begin_session(store: Store, account_id: str, *, seconds: float, public_id: str | None = None) -> str:
    """The secret of a new cookie; it ends with the token of `public_id` where one is given."""
    with store.begin(SERVICE) as tx:
        return _add(tx, account_id, "cookie", seconds, public_id)


def exchange_code(store: Store, code: str, *, seconds: float) -> str | None:
    """The secret of a cookie for a code; None where the code is unknown, used or too old.

    Whoever guesses only reads: a code that opens nothing never waits for the store's writer, nor keeps others waiting.
    """
    if len(code) > _LONGEST:
        return None
    found = (sessions.c.sha256 == fingerprint(code), sessions.c.kind == "code")
    opens = (*found, sessions.c.ended_at.is_(None), sessions.c.expires_at > now())
    with store.read(SERVICE) as tx:
        if tx.first(select(sessions.c.account_id).where(*opens)) is None:
            return None
    with store.begin(SERVICE) as tx:
        if not tx.update(sessions, {"ended_at": now()}, *opens):  # of two at once one is let in
            return None
        row = tx.first(select(sessions.c.account_id).where(*found))
        assert row is not None
        return _add(tx, row["account_id"], "cookie", seconds)


def end_session(store: Store, secret: str) -> None:
    """End the session of a cookie, where there is one."""
    with store.begin(SERVICE) as tx:
        tx.update(
            sessions, {"ended_at": now()}, sessions.c.sha256 == fingerprint(secret), sessions.c.ended_at.is_(None)
        )


def who_is_in(store: Store, secret: str) -> Scope | None:
    """Who shows this cookie and what they reach today; None where it or the token it was begun with ended."""
    if len(secret) > _LONGEST:
        return None
    query = (
        select(
            accounts.c.account_id,
            accounts.c.role,
            accounts.c.cooperative_id,
            accounts.c.closed_at,
            sessions.c.expires_at,
            tokens.c.revoked_at,
            tokens.c.expires_at.label("token_expires_at"),
            now().label("now"),
        )
        .join_from(sessions, accounts, sessions.c.account_id == accounts.c.account_id)
        .outerjoin(tokens, sessions.c.public_id == tokens.c.public_id)
        .where(sessions.c.sha256 == fingerprint(secret), sessions.c.kind == "cookie", sessions.c.ended_at.is_(None))
    )
    with store.read(SERVICE) as tx:
        row = tx.first(query)
        return scope_of(tx, row) if row is not None and _holds(row) else None


def sweep_sessions(tx: Transaction) -> int:
    """Delete codes and cookies that opened nothing for a day; how many."""
    return tx.delete(sessions, sessions.c.expires_at < now() - 86400.0)


def _holds(row: Any) -> bool:
    token_holds = row["revoked_at"] is None and (
        row["token_expires_at"] is None or row["token_expires_at"] > row["now"]
    )
    return bool(row["closed_at"] is None and row["expires_at"] > row["now"] and token_holds)


def _add(
    tx: Transaction, account_id: str, kind: Literal["code", "cookie"], seconds: float, public_id: str | None = None
) -> str:
    secret = secrets.token_urlsafe(32)
    sweep_sessions(tx)
    tx.insert(
        sessions,
        {
            "sha256": fingerprint(secret),
            "account_id": account_id,
            "public_id": public_id,
            "kind": kind,
            "expires_at": clock(tx) + seconds,
        },
    )
    return secret
