"""Grants: what a cooperative's office lets an analyst or a buyer see."""

from typing import Any, Final, Literal

from sqlalchemy import or_, select

from geomap.store.errors import NotFoundError
from geomap.store.ids import new_id
from geomap.store.schema import grants as table
from geomap.store.scope import Transaction, clock
from geomap.store.types import now

Kind = Literal["releases", "plots"]
KINDS: Final[tuple[Kind, ...]] = ("releases", "plots")
"""releases: what the office published · plots: the plots of members who agreed, for analysts only."""


def add_grant(
    tx: Transaction,
    cooperative_id: str,
    account_id: str,
    kind: Kind,
    *,
    starts_at: float | None = None,
    ends_at: float | None = None,
) -> dict[str, Any]:
    """Grant an account to see the releases or the plots of a cooperative; the grant.

    Parameters
    ----------
    starts_at, ends_at : seconds since 1970; from now on, and until it is revoked, where they are not given.
    """
    grant_id = new_id()
    tx.insert(
        table,
        {
            "grant_id": grant_id,
            "cooperative_id": cooperative_id,
            "account_id": account_id,
            "kind": kind,
            "starts_at": clock(tx) if starts_at is None else starts_at,
            "ends_at": ends_at,
            "granted_by": tx.scope.account_id,
        },
    )
    return grant(tx, cooperative_id, grant_id)


def grant(tx: Transaction, cooperative_id: str, grant_id: str) -> dict[str, Any]:
    """One grant of a cooperative.

    Raises
    ------
    NotFoundError : the cooperative gave no such grant.
    """
    row = tx.first(select(table).where(table.c.cooperative_id == cooperative_id, table.c.grant_id == grant_id))
    if row is None:
        raise NotFoundError("There is no such grant.")
    return dict(row)


def grants(tx: Transaction, cooperative_id: str, *, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """The grants of a cooperative by their ids, those that ended or were revoked too."""
    query = select(table).where(table.c.cooperative_id == cooperative_id, table.c.grant_id > after)
    return [dict(row) for row in tx.fetch(query.order_by(table.c.grant_id).limit(limit))]


def revoke_grant(tx: Transaction, cooperative_id: str, grant_id: str) -> dict[str, Any]:
    """End a grant now; one that was revoked before stays as it is.

    Raises
    ------
    NotFoundError : the cooperative gave no such grant.
    """
    of = (table.c.cooperative_id == cooperative_id, table.c.grant_id == grant_id)
    tx.update(table, {"revoked_at": now()}, *of, table.c.revoked_at.is_(None))
    return grant(tx, cooperative_id, grant_id)


def granted(tx: Transaction, account_id: str) -> dict[str, frozenset[str]]:
    """Kind of grant → ids of the cooperatives whose grant to the account holds at this moment."""
    query = select(table.c.kind, table.c.cooperative_id).where(
        table.c.account_id == account_id,
        table.c.revoked_at.is_(None),
        table.c.starts_at <= now(),
        or_(table.c.ends_at.is_(None), table.c.ends_at > now()),
    )
    rows = tx.fetch(query)
    return {kind: frozenset(row["cooperative_id"] for row in rows if row["kind"] == kind) for kind in KINDS}
