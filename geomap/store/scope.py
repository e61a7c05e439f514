"""Who asks, and what of the store they can reach: the one way to the database."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import (
    JSON,
    ClauseElement,
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql import visitors

from geomap.store.errors import NotAllowedError
from geomap.store.types import now

Role = Literal["coop_admin", "analyst", "buyer", "operator", "local", "worker", "service"]
"""coop_admin: the office of one cooperative · analyst: plots that were granted to them · buyer: releases · operator:
jobs and health · local: whoever sits at the machine, in local mode only · worker, service: the program itself."""
ROLES: Final[tuple[str, ...]] = get_args(Role)
ALL: Final = frozenset({"*"})
"""Every cooperative: for operator, worker, service and local mode."""
RELEASED: Final = frozenset({"cooperatives", "releases", "grants"})
"""Tables that a grant of releases reaches."""


@dataclass(frozen=True)
class Scope:
    """Who asks and whose rows they can reach.

    Attributes
    ----------
    role : decides which tables.
    cooperatives : ids whose rows; `ALL` for the program itself, the operator and local mode.
    account_id : who, for the audit log.
    released : further ids of which only the releases can be seen.

    Examples
    --------
    >>> Scope("coop_admin", frozenset({"c1"})).reaches("c1"), NOBODY.reaches("c1")
    (True, False)
    """

    role: Role
    cooperatives: frozenset[str] = frozenset()
    account_id: str = ""
    released: frozenset[str] = frozenset()

    def reaches(self, cooperative_id: str) -> bool:
        """Whether the rows of a cooperative are within the scope."""
        return self.cooperatives == ALL or cooperative_id in self.cooperatives

    def within(self, table: Table) -> frozenset[str]:
        """The cooperatives whose rows of `table` can be reached; plots alone show an analyst no release."""
        if self.role == "analyst" and table.name == "releases":
            return self.released
        return self.cooperatives | self.released if table.name in RELEASED else self.cooperatives


NOBODY: Final = Scope("buyer")
SERVICE: Final = Scope("service", ALL)
WORKER: Final = Scope("worker", ALL)


class Transaction:
    """One transaction of one scope. Every statement is held within the scope; there is no way around it.

    Reading a table that the role may not read raises NotAllowedError; rows of other cooperatives are not there.
    """

    def __init__(self, connection: Connection, scope: Scope) -> None:
        if not isinstance(scope, Scope):
            raise TypeError("A transaction needs a scope: who asks decides what can be reached.")
        self._connection, self.scope = connection, scope

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._connection.dialect.name

    def fetch(self, statement: Select[Any]) -> Sequence[RowMapping]:
        """The rows of a SELECT over tables or joins of tables, held within the scope."""
        return self._connection.execute(self._scoped(statement)).mappings().all()

    def first(self, statement: Select[Any]) -> RowMapping | None:
        """The first row, or None."""
        return self._connection.execute(self._scoped(statement).limit(1)).mappings().first()

    def insert(self, table: Table, rows: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> None:
        """Add rows; each must be of a cooperative within the scope."""
        given = [dict(rows)] if isinstance(rows, Mapping) else [dict(row) for row in rows]
        self._require_own(table, given)
        if given:
            self._connection.execute(insert(table).inline(), given)  # no RETURNING: some may add and not read

    def insert_encoded(
        self, table: Table, own: Mapping[str, str], columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Add many rows whose JSON is text already; quick in SQLite, where others wait meanwhile.

        Parameters
        ----------
        own : what all rows have alike, the cooperative among it. columns : the others, in the order of each row.
        """
        if self.dialect != "sqlite":
            is_json = [isinstance(table.c[name].type, JSON) for name in columns]
            plain = (
                (json.loads(one) if is_text else one for one, is_text in zip(row, is_json, strict=True)) for row in rows
            )
            self.insert(table, ({**own, **dict(zip(columns, row, strict=True))} for row in plain))
            return
        self._require_own(table, [own])
        names, values = (*own, *columns), tuple(own.values())
        places = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"
        self._connection.exec_driver_sql(statement, [values + row for row in rows])

    def update(self, table: Table, values: Mapping[str, Any], *where: ColumnElement[bool]) -> int:
        """Change rows within the scope; the number of rows changed. A row stays with its cooperative."""
        self._require(table, "change")
        if "cooperative_id" in values:
            raise NotAllowedError("A row cannot move to another cooperative.")
        statement = update(table).where(self._visible(table), *where).values(**values)
        return self._connection.execute(statement).rowcount

    def delete(self, table: Table, *where: ColumnElement[bool]) -> int:
        """Delete rows within the scope; the number of rows deleted."""
        self._require(table, "change")
        return self._connection.execute(delete(table).where(self._visible(table), *where)).rowcount

    def _scoped(self, statement: Select[Any]) -> Select[Any]:
        named = _tables(statement)
        top = frozenset().union(*(_tables(source) for source in statement.get_final_froms()))
        if named - top:
            raise TypeError(
                f"A query inside a query is not held within the scope: {sorted(t.name for t in named - top)}."
            )
        for table in sorted(named, key=lambda table: table.name):
            self._require(table, "read")
            statement = statement.where(self._visible(table))
        return statement

    def _require_own(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Raise unless rows of these cooperatives may be added."""
        self._require(table, "write")
        if "cooperative_id" in table.c and self.scope.cooperatives != ALL:
            foreign = {row.get("cooperative_id") for row in rows} - self.scope.cooperatives
            if foreign - ({None} if table.c["cooperative_id"].nullable else set()):
                raise NotAllowedError("A row of another cooperative cannot be added.")

    def _require(self, table: Table, right: str) -> None:
        if self.scope.role not in table.info[right]:
            raise NotAllowedError(f"The role {self.scope.role} may not {right} {table.name}.")

    def _visible(self, table: Table) -> ColumnElement[bool]:
        within = self.scope.within(table)
        if "cooperative_id" not in table.c or within >= ALL:
            return true()
        return table.c["cooperative_id"].in_(sorted(within))


def _tables(part: ClauseElement) -> frozenset[Table]:
    """The tables that a statement names, also by a column alone."""
    inside = list(visitors.iterate(part))
    owners = [getattr(one, "table", None) for one in inside]
    return frozenset(one for one in (*inside, *owners) if isinstance(one, Table))


def clock(tx: Transaction) -> float:
    """Seconds since 1970 by the clock of the database."""
    row = tx.first(select(now().label("now")))
    assert row is not None
    return float(row["now"])
