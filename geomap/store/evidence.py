"""Deliveries, field estimates, commitments, contracts and shares of plots, as a cooperative brought them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Table, select

from geomap.store import schema
from geomap.store.given import digest
from geomap.store.scope import Transaction

Row = dict[str, Any]
TABLES: Final[Mapping[str, Table]] = {
    "deliveries": schema.deliveries,
    "field_estimates": schema.field_estimates,
    "commitments": schema.commitments,
    "contracts": schema.contracts,
    "shares": schema.plot_shares,
}
_AT_ONCE: Final = 5_000


def rows(tx: Transaction, cooperative_id: str, kind: str, *, after: int = 0, limit: int = 100) -> list[Row]:
    """Rows of one kind in the order in which they came; `after` is the `key` of the last one seen.

    Raises
    ------
    KeyError : `kind` is none of `TABLES`.
    """
    table = TABLES[kind]
    found = select(table).where(table.c.cooperative_id == cooperative_id, table.c.key > after)
    return [dict(row) for row in tx.fetch(found.order_by(table.c.key).limit(limit))]


def write_rows(
    tx: Transaction, cooperative_id: str, kind: str, given: Sequence[Row], *, import_id: str, replace: bool
) -> dict[str, int]:
    """How many rows were added, unchanged and removed; the caller holds the cooperative's lock.

    A row that an earlier file brought already is not added again, so that a list that grows can be sent whole each
    month. Two equal rows of one file are two.

    Parameters
    ----------
    replace : rows that the file does not hold go.
    """
    table = TABLES[kind]
    stored = tx.fetch(select(table.c.key, table.c.cells).where(table.c.cooperative_id == cooperative_id))
    known: dict[str, list[int]] = {}
    for old in stored:
        known.setdefault(_content(kind, old["cells"]), []).append(old["key"])
    fresh = []
    for row in given:
        same = known.get(_content(kind, row["cells"]))
        if same:
            same.pop()
        else:
            fresh.append(row)
    tx.insert(table, [{**row, "cooperative_id": cooperative_id, "import_id": import_id} for row in fresh])
    gone = sorted(key for keys in known.values() for key in keys) if replace else []
    for start in range(0, len(gone), _AT_ONCE):
        tx.delete(table, table.c.cooperative_id == cooperative_id, table.c.key.in_(gone[start : start + _AT_ONCE]))
    return {"added": len(fresh), "changed": 0, "unchanged": len(given) - len(fresh), "removed": len(gone)}


def write_shares(
    tx: Transaction, cooperative_id: str, given: Sequence[Row], *, import_id: str, replace: bool
) -> dict[str, int]:
    """As `write_rows` for the shares of plots: the file's rows stand for all earlier ones of the plots it names."""
    table = schema.plot_shares
    names = ("plot_id", "member_id", "share", "season_from", "season_to")
    stored = tx.fetch(select(table).where(table.c.cooperative_id == cooperative_id))
    named = {row["plot_id"] for row in given}
    wanted = Counter(tuple(row[name] for name in names) for row in given)
    gone = []
    for row in stored:
        values = tuple(row[name] for name in names)
        if wanted[values]:
            wanted[values] -= 1
        elif replace or row["plot_id"] in named:
            gone.append(row["key"])
    for start in range(0, len(gone), _AT_ONCE):
        tx.delete(table, table.c.cooperative_id == cooperative_id, table.c.key.in_(gone[start : start + _AT_ONCE]))
    fresh = list(wanted.elements())
    tx.insert(
        table,
        [
            {**dict(zip(names, values, strict=True)), "cooperative_id": cooperative_id, "import_id": import_id}
            for values in fresh
        ],
    )
    return {"added": len(fresh), "changed": 0, "unchanged": len(given) - len(fresh), "removed": len(gone)}


def _content(kind: str, cells: Mapping[str, Any]) -> str:
    """What makes two rows equal: our columns, not what else an office wrote beside them."""
    from geomap.store.office_rows import NAMES

    return digest({name: cells[name] for name in NAMES[kind] if name in cells})
