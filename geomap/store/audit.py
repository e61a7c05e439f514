"""The audit log: who looked at or changed what; only ever added to, and without what was looked at."""

from typing import Any

from sqlalchemy import select

from geomap.store.schema import audit as table
from geomap.store.scope import Transaction

Row = dict[str, Any]


def record(
    tx: Transaction, action: str, *, cooperative_id: str | None = None, object: str = "", outcome: str = "done"
) -> None:
    """Add an entry in the same transaction as what it tells of.

    Parameters
    ----------
    action : as in the table of rights, such as "members.read".
    object : the id of what was looked at or changed; never a name or a phone. It stays when a member is erased.
    outcome : done, or the code of the error.
    """
    who = {"account_id": tx.scope.account_id, "role": tx.scope.role}
    what = {"cooperative_id": cooperative_id, "action": action, "object": object, "outcome": outcome}
    tx.insert(table, {**who, **what})


def entries(tx: Transaction, cooperative_id: str, *, after: int = 0, limit: int = 100) -> list[Row]:
    """Entries of a cooperative, the latest first; `after` is the `key` of the last one seen, 0 to begin."""
    found = select(table).where(table.c.cooperative_id == cooperative_id)
    if after:
        found = found.where(table.c.key < after)
    return [dict(row) for row in tx.fetch(found.order_by(table.c.key.desc()).limit(limit))]
