"""What people decided on findings: kept until somebody decides otherwise, and used by every run."""

from typing import Any

from sqlalchemy import select

from geomap.errors import UnknownNameError
from geomap.plots.decisions import DECISIONS
from geomap.store.cooperatives import locked_cooperative
from geomap.store.given import given_text
from geomap.store.schema import decisions as table
from geomap.store.scope import Transaction
from geomap.store.types import now

Row = dict[str, Any]


def decisions(tx: Transaction, cooperative_id: str, *, after: int = 0, limit: int = 100) -> list[Row]:
    """Decisions of a cooperative in the order in which they were first made; `after` is the `key` of the last seen."""
    found = select(table).where(table.c.cooperative_id == cooperative_id, table.c.key > after)
    return [dict(row) for row in tx.fetch(found.order_by(table.c.key).limit(limit))]


def put_decision(
    tx: Transaction, cooperative_id: str, plot_id: str, decision: str, *, other_plot_id: str = "", code: str = ""
) -> Row | None:
    """What was decided on a plot, its finding and the other plot of it, in place of what was decided before.

    Parameters
    ----------
    decision : one of `geomap.plots.decisions.DECISIONS`; "" takes the decision back, and None is returned.

    Raises
    ------
    UnknownNameError : no such decision. NotFoundError : no such cooperative within reach.
    """
    if decision not in {"", *DECISIONS}:
        raise UnknownNameError(
            f"The decision {decision[:40]!r} is not known.",
            why="A decision that is misread could leave out a plot.",
            todo=f"Use one of: {', '.join(DECISIONS)}.",
        )
    locked_cooperative(tx, cooperative_id)
    key = {
        "cooperative_id": cooperative_id,
        "plot_id": given_text(plot_id, "plot id", least=1),
        "other_plot_id": given_text(other_plot_id, "other plot id"),
        "code": given_text(code, "code"),
    }
    where = [table.c[name] == value for name, value in key.items()]
    values = {"decision": decision, "account_id": tx.scope.account_id}
    if not decision:
        tx.delete(table, *where)
    elif not tx.update(table, {**values, "created_at": now()}, *where):
        tx.insert(table, {**key, **values})
    row = tx.first(select(table).where(*where))
    return None if row is None else dict(row)
