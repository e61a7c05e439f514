"""A store from nothing, from an earlier version, and whether it can be used as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from geomap.store.backup import back_up, make_folder, require_whole
from geomap.store.database import Store, sqlite_file, told_plainly
from geomap.store.errors import StoreDamagedError, StoreError
from geomap.store.migrations import mark_latest, migrate, revisions, version_of
from geomap.store.rights import APP_ROLE, apply_rights, lift_rights, require_administered, require_held
from geomap.store.schema import metadata

_PLACES: Final = {
    "sqlite": ("CREATE VIRTUAL TABLE plot_places USING rtree(key, west, east, south, north)",),
    "postgresql": ("CREATE INDEX ix_plots_geometry ON plots USING gist (geometry) WHERE ended_at IS NULL",),
}
"""The index of places, which each database has in its own way; `schema.py` cannot say it."""
_LOCK: Final = 7_196_017_482
"""Any number: whoever makes or upgrades a store in PostgreSQL holds this lock."""


def init(store: Store, *, app_role: str = APP_ROLE) -> None:
    """Make the tables of an empty store; a store that is there is left as it is.

    In PostgreSQL the tables belong to whoever connects here; `app_role` is the role of the service.

    Raises
    ------
    StoreError : an administrator must make roles or extensions first (the message says which), or the store that is
        there is of another version.

    Examples
    --------
    >>> from geomap.store import open_store
    >>> store = open_store("sqlite://")
    >>> init(store)
    >>> version(store) == revisions()[-1]
    True
    """
    _make_file(store)
    with _alone(store) as connection:
        if store.dialect == "postgresql":
            require_administered(connection, app_role)
        if inspect(connection).has_table("alembic_version"):
            _require_latest(version_of(connection) or "")
            return
        _require_empty(connection)
        _make_tables(connection)
        if store.dialect == "postgresql":
            apply_rights(connection, app_role)


def upgrade(store: Store, *, app_role: str = APP_ROLE) -> Path | None:
    """Bring a store up to this version in one transaction, or leave it as it was.

    Returns
    -------
    The backup that was made before, of a store in a file of SQLite; None where nothing was to be done, or in
    PostgreSQL, where whoever asks makes one.

    Raises
    ------
    StoreError : there is no store, or it is of a later version.
    """
    version(store)  # or there would be a file after this
    with _alone(store) as connection:
        found = version_of(connection) or ""
        _require_known(found)
        if found == revisions()[-1]:
            return None
        kept = _kept_before(store, found)
        if store.dialect == "postgresql":
            require_administered(connection, app_role)
            lift_rights(connection)
        migrate(connection)
        if store.dialect == "postgresql":
            apply_rights(connection, app_role)
        return kept


def prepare(store: Store) -> Path | None:
    """Make a local store ready by itself: made where there is none, upgraded where it is of an earlier version.

    Returns
    -------
    The backup that was made before an upgrade, or None.
    """
    path = sqlite_file(store.engine.url)
    if path is None or not path.exists():
        init(store)
    kept = upgrade(store)
    require_ready(store)
    return kept


def require_ready(store: Store) -> None:
    """Raise unless the store is there, whole and of this version, and its rows are guarded. Nothing is changed.

    Raises
    ------
    StoreError : there is no store, it is of another version, or the role may do more than the service should.
    StoreDamagedError : the file is damaged.
    """
    _require_latest(version(store))
    with _looking(store) as connection:
        if store.dialect == "postgresql":
            require_held(connection)
        else:
            require_whole(str(connection.scalar(text("PRAGMA quick_check(1)"))))


def version(store: Store) -> str:
    """The version of a store.

    Raises
    ------
    StoreError : there is no store.
    """
    path = sqlite_file(store.engine.url)
    if path is None or path.is_file():  # to ask a file that is not there would make it
        with _looking(store) as connection:
            if found := version_of(connection):
                return found
    raise StoreError(
        "There is no store yet." if path is None else f"There is no store in {path.name}.",
        why="Nothing can be kept without one.",
        todo="Make it with: geomap store init.",
    )


def _make_tables(connection: Connection) -> None:
    """All tables as `schema.py` says, the index of places, and the version."""
    metadata.create_all(connection)
    for statement in _PLACES[connection.dialect.name]:
        connection.execute(text(statement))
    mark_latest(connection)


@contextmanager
def _looking(store: Store) -> Iterator[Connection]:
    """A connection that reads."""
    with told_plainly(), store.engine.connect().execution_options(writes=False) as connection:
        yield connection


@contextmanager
def _alone(store: Store) -> Iterator[Connection]:
    """A transaction that nobody else makes or upgrades a store beside. Nothing of it stays when it raises."""
    with told_plainly(), store.engine.connect() as connection:
        if store.dialect == "postgresql":
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                yield connection
            return
        # Tables are made anew to change a column; their rows must not fall with the old one.
        settings = connection.connection.cursor()
        settings.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
                _require_references(connection)
        finally:
            settings.execute("PRAGMA foreign_keys = ON")


def _require_references(connection: Connection) -> None:
    if broken := connection.execute(text("PRAGMA foreign_key_check")).all():
        raise StoreDamagedError(
            f"{len(broken):,} rows refer to rows that are not there, the first in {broken[0][0]}.",
            why="The store stays as it was.",
            todo="Restore the last backup and report it.",
        )


def _make_file(store: Store) -> None:
    """The file of SQLite, for nobody else's eyes: it will hold names of people."""
    path = sqlite_file(store.engine.url)
    if path is not None and not path.exists():
        make_folder(path)
        path.touch(mode=0o600)


def _kept_before(store: Store, found: str) -> Path | None:
    path = sqlite_file(store.engine.url)
    if path is None:
        return None
    kept = path.with_name(f"{path.stem}-version-{found}{path.suffix}")
    back_up(store, kept, replace=True)
    return kept


def _require_empty(connection: Connection) -> None:
    if there := metadata.tables.keys() & set(inspect(connection).get_table_names()):
        raise StoreError(
            f"The database has tables named {', '.join(sorted(there)[:3])}, but they are no store of ours.",
            why="They would be mixed up.",
            todo="Give an empty database.",
        )


def _require_known(found: str) -> None:
    if found not in revisions():
        raise StoreError(
            f"The store is of version {found}; this geomap knows versions up to {revisions()[-1]}.",
            why="A later geomap made it; a store is never taken back to an earlier version.",
            todo="Update geomap, or restore a backup from before.",
        )


def _require_latest(found: str) -> None:
    _require_known(found)
    if found != revisions()[-1]:
        raise StoreError(
            f"The store is of version {found}; this geomap needs version {revisions()[-1]}.",
            why="Its tables have changed since.",
            todo="Back it up, then: geomap store upgrade.",
        )
