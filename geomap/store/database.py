"""The database behind the store: SQLite on a laptop, PostgreSQL with PostGIS in production."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from geomap.store.errors import StoreBusyError, StoreDamagedError, StoreError, StoreFullError
from geomap.store.scope import Scope, Transaction

BUSY_S: Final = 5.0
"""Seconds that a writer waits for another one."""
_DISK_FULL: Final = "53100"
"""What PostgreSQL says in every language. Source: its manual, appendix A."""
_DAMAGED: Final = ("malformed", "not a database", "disk image", "no such table")


class Store:
    """A store that is open. Nothing is read or written but in a transaction with a scope.

    Examples
    --------
    >>> store = open_store("sqlite://")
    >>> store.dialect
    'sqlite'
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def begin(self, scope: Scope) -> Iterator[Transaction]:
        """A transaction that writes: all of it is kept when the block ends, nothing when it raises."""
        with self._transaction(scope, writes=True) as transaction:
            yield transaction

    @contextmanager
    def read(self, scope: Scope) -> Iterator[Transaction]:
        """A transaction that reads the store as it stands at its first statement."""
        with self._transaction(scope, writes=False) as transaction:
            yield transaction

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _transaction(self, scope: Scope, *, writes: bool) -> Iterator[Transaction]:
        if not isinstance(scope, Scope):
            raise TypeError("A transaction needs a scope: who asks decides what can be reached.")
        options: dict[str, Any] = {"writes": writes}
        if self.dialect == "postgresql" and not writes:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with told_plainly(), self.engine.connect().execution_options(**options) as connection:
            with connection.begin():
                if self.dialect == "postgresql":
                    _tell_scope(connection, scope)
                yield Transaction(connection, scope)


def open_store(url: str | URL) -> Store:
    """The store at a database address; its tables must be there (`geomap.store.setup`).

    Parameters
    ----------
    url : `sqlite:////folder/geomap.sqlite` or `postgresql+psycopg://user@host/name`.

    Raises
    ------
    StoreError : the address is none, of another database, or its driver is not installed.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        raise StoreError(
            "The address of the store is none.",
            todo="Write sqlite:////folder/geomap.sqlite or postgresql+psycopg://user@host/name.",
        ) from None
    if address.get_backend_name() == "sqlite":
        return Store(_sqlite(address))
    if address.drivername == "postgresql+psycopg":
        return Store(_postgresql(address))
    raise StoreError(
        f"A store in {address.drivername} is not known.",
        todo="Use sqlite:////folder/geomap.sqlite or postgresql+psycopg://user@host/name.",
    )


def sqlite_file(url: str | URL) -> Path | None:
    """The file of a store in SQLite; None for a store in memory or in PostgreSQL.

    Examples
    --------
    >>> sqlite_file("sqlite:////srv/geomap.sqlite").name
    'geomap.sqlite'
    """
    address = make_url(url)
    if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
        return None
    return Path(address.database)


def _sqlite(address: URL) -> Engine:
    engine, path = create_engine(address, connect_args={"timeout": BUSY_S}), sqlite_file(address)
    was_there = False

    @event.listens_for(engine, "do_connect")
    def _require_file(*_: Any) -> None:
        if was_there and path is not None and not path.exists():  # SQLite would make an empty one
            raise StoreError(
                f"There is no store in {path.name}.",
                why="Nothing can be kept without one.",
                todo="Put its file back, restore a backup, or make a new one: geomap store init.",
            )

    @event.listens_for(engine, "checkout")
    def _require_same_file(_connection: Any, record: Any, _fairy: Any) -> None:
        if record.info["file"] != _file_facts(path):  # what is written to a file that was removed is lost
            raise DisconnectionError("The file of the store was moved, removed or replaced.")

    @event.listens_for(engine, "connect")
    def _settle(connection: sqlite3.Connection, record: Any) -> None:
        nonlocal was_there
        record.info["file"], was_there = _file_facts(path), True
        connection.isolation_level = None  # we say BEGIN ourselves
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",  # what was acknowledged survives a loss of power
            "foreign_keys = ON",
            f"busy_timeout = {int(BUSY_S * 1000)}",
            "trusted_schema = OFF",
            "secure_delete = ON",  # what was deleted is overwritten: names of people who were erased
        ):
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _file_facts(path: Path | None) -> tuple[int, int] | None:
    """Which file stands at the path now; None where there is none."""
    try:
        facts = None if path is None else path.stat()
    except OSError:
        return None
    return None if facts is None else (facts.st_dev, facts.st_ino)


def _postgresql(address: URL) -> Engine:
    try:
        return create_engine(address, pool_pre_ping=True, pool_size=10, max_overflow=10, pool_timeout=BUSY_S)
    except (NoSuchModuleError, ModuleNotFoundError):
        raise StoreError(
            "The driver of PostgreSQL is not installed.", todo="Install it: pip install 'geomap-coops[postgres]'."
        ) from None


def _tell_scope(connection: Connection, scope: Scope) -> None:
    """Tell the database who asks, until the transaction ends: row-level security goes by it.

    And how long to wait for somebody else's lock: who waits holds a connection that others need.
    """
    connection.execute(
        text(
            "select set_config('geomap.role', :role, true), set_config('geomap.cooperatives', :cooperatives, true), "
            "set_config('geomap.released', :released, true), set_config('lock_timeout', :lock_timeout, true)"
        ),
        {
            "role": scope.role,
            "cooperatives": ",".join(sorted(scope.cooperatives)),
            "released": ",".join(sorted(scope.released)),
            "lock_timeout": f"{int(BUSY_S * 1000)}ms",
        },
    )


@contextmanager
def told_plainly() -> Iterator[None]:
    """Errors of the database as errors of the store, with what to do and nothing of the inside."""
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreBusyError(
            "All connections to the store are taken.", why="Nothing was changed.", todo="Try again."
        ) from error
    except IntegrityError:  # its words may be those of a row
        raise
    except (DBAPIError, sqlite3.Error) as error:
        raise (_told(error) or error) from error


def _told(error: DBAPIError | sqlite3.Error) -> StoreError | None:
    error_of_driver = error.orig if isinstance(error, DBAPIError) else error
    words = str(error_of_driver).lower()
    if "full" in words or "no space" in words or getattr(error_of_driver, "sqlstate", None) == _DISK_FULL:
        return StoreFullError("The disk of the store is full.", why="Nothing was changed.", todo="Free some space.")
    if "disk i/o error" in words:
        return StoreFullError(
            "The disk of the store cannot be written.",
            why="Nothing was changed.",
            todo="Look whether it is full or fails.",
        )
    if any(word in words for word in _DAMAGED):
        return StoreDamagedError(
            "The file of the store is damaged.", why="Nothing is written to it.", todo="Restore the last backup."
        )
    if "unable to open" in words or "readonly" in words:
        return StoreError(
            "The file of the store cannot be opened for writing.",
            why="Nothing was changed.",
            todo="Check that its folder is there and that you may write to both.",
        )
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or "locked" in words or "lock timeout" in words or "connect" in words or "terminat" in words:
        return StoreBusyError("The store cannot be reached just now.", why="Nothing was changed.", todo="Try again.")
    return None
