"""Tokens: what a program shows to come in. Only their SHA-256 is kept.

A token is `coop_`, its public id of 8 letters and digits, `_`, and 32 random bytes in 43 url-safe letters.
"""

import hashlib
import hmac
import re
import secrets
import string
from typing import Any, Final

from sqlalchemy import select

from geomap.store.accounts import scope_of
from geomap.store.database import Store
from geomap.store.errors import ConflictError, NotFoundError, StoreBusyError, StoreFullError
from geomap.store.schema import accounts, tokens
from geomap.store.scope import SERVICE, Scope, Transaction, clock
from geomap.store.types import now

DAY_S: Final = 86400.0
MOST_DAYS: Final = 366
MOST_VALID: Final = 20
"""Tokens of one account that can be valid at once."""
USED_EVERY_S: Final = 600.0
"""A token's last use is written down at most this often: each request would be a write otherwise."""
_FORM: Final = re.compile(r"coop_([a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_NO_HASH: Final = "0" * 64
_SHOWN: Final = (
    tokens.c.public_id,
    tokens.c.account_id,
    accounts.c.role,
    accounts.c.cooperative_id,
    accounts.c.label,
    tokens.c.created_at,
    tokens.c.expires_at,
    tokens.c.revoked_at,
    tokens.c.used_at,
)


def public_id(secret: str) -> str | None:
    """The public part of a token, by which it is listed and revoked; None where it has not the form of one.

    Examples
    --------
    >>> public_id("coop_a1b2c3d4_" + "x" * 43)
    'a1b2c3d4'
    """
    found = _FORM.fullmatch(secret)
    return found[1] if found else None


def fingerprint(secret: str) -> str:
    """SHA-256 of a secret in hexadecimal. A fast hash is right for 256 random bits: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add_token(tx: Transaction, account_id: str, *, days: float = 90.0) -> str:
    """Add a token to an account; the token itself, which is nowhere else.

    Raises
    ------
    ConflictError : it would hold for longer than 366 days or no time at all, or the account has 20 that are valid.
    NotFoundError : there is no such account, or it is closed.
    """
    if not 0 < days <= MOST_DAYS:
        raise ConflictError(f"A token cannot hold for {days:g} days.", todo=f"Take 1 to {MOST_DAYS}.")
    if tx.first(select(accounts).where(accounts.c.account_id == account_id, accounts.c.closed_at.is_(None))) is None:
        raise NotFoundError("There is no such account.")
    valid = select(tokens.c.public_id).where(
        tokens.c.account_id == account_id, tokens.c.revoked_at.is_(None), tokens.c.expires_at > now()
    )
    if len(tx.fetch(valid)) >= MOST_VALID:
        raise ConflictError(f"The account has {MOST_VALID} valid tokens.", todo="Revoke those that nobody uses.")
    name = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    secret = f"coop_{name}_{secrets.token_urlsafe(32)}"
    tx.insert(
        tokens,
        {
            "public_id": name,
            "account_id": account_id,
            "sha256": fingerprint(secret),
            "expires_at": clock(tx) + days * DAY_S,
        },
    )
    return secret


def who(store: Store, secret: str) -> Scope | None:
    """Who shows this token and what they reach today; None where it is unknown, expired, revoked or of nobody.

    Whatever the reason, the same is asked of the store and one comparison is made, in constant time.
    """
    name = public_id(secret)
    if name is None:
        return None
    with store.read(SERVICE) as tx:
        row = tx.first(_owned(now().label("now"), tokens.c.sha256).where(tokens.c.public_id == name))
        fits = hmac.compare_digest(row["sha256"] if row else _NO_HASH, fingerprint(secret))
        if row is None or not fits or not is_valid(row):
            return None
        scope = scope_of(tx, row)
    if row["used_at"] is None or row["used_at"] < row["now"] - USED_EVERY_S:
        _note_use(store, name)
    return scope


def is_valid(row: Any) -> bool:
    """Whether a token, read beside its account and the time `now`, opens anything."""
    return row["closed_at"] is None and row["revoked_at"] is None and row["expires_at"] > row["now"]


def token(tx: Transaction, name: str, *, account_id: str | None = None) -> dict[str, Any]:
    """One token by its public id, of one account where that is given.

    Raises
    ------
    NotFoundError : there is no such token.
    """
    query = _owned().where(tokens.c.public_id == name)
    row = tx.first(query if account_id is None else query.where(tokens.c.account_id == account_id))
    if row is None:
        raise NotFoundError("There is no such token.")
    return _shown(row)


def list_tokens(
    tx: Transaction, *, account_id: str | None = None, after: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """Tokens by their public ids, of all accounts or of one; never the tokens themselves."""
    query = _owned().where(tokens.c.public_id > after).order_by(tokens.c.public_id).limit(limit)
    return [
        _shown(row) for row in tx.fetch(query if account_id is None else query.where(tokens.c.account_id == account_id))
    ]


def revoke_token(tx: Transaction, name: str, *, account_id: str | None = None) -> dict[str, Any]:
    """End a token now, and the sessions that were begun with it; one revoked before stays as it is.

    Raises
    ------
    NotFoundError : there is no such token.
    """
    found = token(tx, name, account_id=account_id)
    tx.update(tokens, {"revoked_at": now()}, tokens.c.public_id == name, tokens.c.revoked_at.is_(None))
    return token(tx, found["public_id"])


def _owned(*more: Any) -> Any:
    """Tokens beside their accounts."""
    return select(*_SHOWN, accounts.c.closed_at, *more).join_from(
        tokens, accounts, tokens.c.account_id == accounts.c.account_id
    )


def _shown(row: Any) -> dict[str, Any]:
    return {column.name: row[column.name] for column in _SHOWN}


def _note_use(store: Store, name: str) -> None:
    """Write down that a token was used; where the store is busy or full, the request goes on without."""
    try:
        with store.begin(SERVICE) as tx:
            tx.update(tokens, {"used_at": now()}, tokens.c.public_id == name)
    except (StoreBusyError, StoreFullError):
        pass
