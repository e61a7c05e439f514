"""Backups that can be restored: a file beside which a manifest says what must be in it."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, text

from geomap import __version__
from geomap.store.database import Store, open_store, sqlite_file, told_plainly
from geomap.store.errors import ConflictError, NotFoundError, StoreDamagedError, StoreError, StoreFullError
from geomap.store.migrations import migrate, revisions, version_of
from geomap.store.rights import APP_ROLE, apply_rights, lift_rights, require_administered


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes
    ----------
    made_at : time, ISO 8601 in UTC, by the clock of this machine.
    dialect : `sqlite` or `postgresql`; a backup of one cannot be restored into the other.
    store_version, geomap_version : of the store and of the program.
    sha256, bytes : of the file.
    rows : number of rows of each table.
    """

    made_at: str
    dialect: str
    store_version: str
    geomap_version: str
    sha256: str
    bytes: int
    rows: Mapping[str, int]

    @staticmethod
    def beside(path: Path) -> Path:
        """Where the manifest of a backup stands."""
        return path.with_name(f"{path.name}.json")


def back_up(store: Store, path: Path, *, replace: bool = False) -> Manifest:
    """Write a backup of a store that may be in use, as it stands at one moment, with its manifest beside it.

    Parameters
    ----------
    path : the file to make: another SQLite file, or what pg_dump calls a custom archive.
    replace : whether a backup that stands there is replaced; until the new one is whole, the old one stays.

    Raises
    ------
    ConflictError : there is a file of that name.
    StoreError : PostgreSQL's role may not read all rows, or pg_dump is not installed.
    """
    if path.exists() and not replace:
        raise ConflictError(
            f"{path.name} is there already.", why="A backup is not overwritten.", todo="Give another name."
        )
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    with _whole_or_nothing(path) as part, told_plainly():
        version, rows = (_copy_sqlite if store.dialect == "sqlite" else _dump_postgresql)(store, part)
        manifest = Manifest(made_at, store.dialect, version, __version__, _sha256(part), part.stat().st_size, rows)
    with _whole_or_nothing(Manifest.beside(path)) as part:
        part.write_text(json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    return manifest


def restore(url: str, path: Path, *, replace: bool = False, app_role: str = APP_ROLE) -> Manifest:
    """Make a store from a backup, and compare it with the manifest before anybody can use it.

    Parameters
    ----------
    url : address of the store to make: a file that is not there, or an empty database.
    replace : with SQLite, whether a store that is there is set aside (as `….replaced`), not deleted.

    Raises
    ------
    NotFoundError : there is no such backup, or no manifest beside it.
    StoreDamagedError : the backup is not what its manifest says.
    ConflictError : there is a store already.
    StoreError : it is of the other database, or of a later version, or pg_restore is not installed.
    """
    manifest = read_manifest(path)
    store = open_store(url)
    if manifest.dialect != store.dialect:
        raise StoreError(
            f"{path.name} is a backup from {manifest.dialect}; the address is one of {store.dialect}.",
            todo="Give an address of the same database.",
        )
    if manifest.store_version not in revisions():
        raise StoreError(
            f"{path.name} is of version {manifest.store_version}; this geomap knows versions up to {revisions()[-1]}.",
            todo="Update geomap first.",
        )
    try:
        if store.dialect == "sqlite":
            _restore_sqlite(store, path, manifest, replace=replace)
        else:
            _restore_postgresql(store, path, manifest, app_role)
    finally:
        store.close()
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The manifest of a backup, whose file was compared with it."""
    if not path.is_file():
        raise NotFoundError(f"There is no file {path.name}.", todo="Check the path of the backup.")
    try:
        manifest = Manifest(**json.loads(Manifest.beside(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise NotFoundError(
            f"{Manifest.beside(path).name} is not beside {path.name}, or is no manifest.",
            why="Without it nobody can say whether the backup is whole.",
            todo="Copy both files together.",
        ) from None
    if _sha256(path) != manifest.sha256:
        raise _differs(path, "its bytes are not those that were written")
    return manifest


def require_whole(found: str) -> None:
    """Raise unless SQLite found its file in order.

    Parameters
    ----------
    found : what `PRAGMA quick_check` answers: `ok`, or what is wrong.
    """
    if found != "ok":
        raise StoreDamagedError(
            f"The file of the store is damaged: {found.splitlines()[-1]}.",
            why="Nothing is written to it, and it is not made anew: what can be saved is still in it.",
            todo="Keep a copy, then restore the last backup: geomap store restore FILE --replace.",
        )


# ---- SQLite ----


def _copy_sqlite(store: Store, part: Path) -> tuple[str, dict[str, int]]:
    path = sqlite_file(store.engine.url)
    if path is None or not path.is_file():
        raise NotFoundError("There is no file of a store to back up.", todo="Make a store first: geomap store init.")
    with closing(sqlite3.connect(path)) as connection:
        require_whole(connection.execute("PRAGMA quick_check(1)").fetchone()[0])  # or it would be kept with its damage
        connection.execute("VACUUM INTO ?", (str(part),))  # one consistent moment, while others write
    return _look_into(part)


def _look_into(path: Path) -> tuple[str, dict[str, int]]:
    """Version and number of rows of a file that nobody else has open; raises where it is damaged."""
    with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?immutable=1", uri=True)) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise _differs(path, found)
        names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'plot_places_*' ORDER BY name"
        tables = [name for (name,) in connection.execute(names)]
        rows = {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return version, rows


def _restore_sqlite(store: Store, path: Path, manifest: Manifest, *, replace: bool) -> None:
    target = sqlite_file(store.engine.url)
    if target is None:
        raise StoreError("A store in memory cannot be restored.", todo="Name a file: sqlite:////folder/geomap.sqlite.")
    if target.exists() and not replace:
        raise ConflictError(
            f"There is a store in {target.name} already.",
            why="What is in it now would be gone.",
            todo="Stop the service, then give --replace: the store that is there is set aside, not deleted.",
        )
    make_folder(target)
    with _whole_or_nothing(target, just_before=_set_aside) as part, told_plainly():
        shutil.copyfile(path, part)
        _compare(path, manifest, _look_into(part))


def _set_aside(path: Path) -> None:
    """Rename a store's file with its write-ahead log: a log of another file would damage the new one."""
    number = 1
    while (aside := path.with_name(f"{path.name}.replaced-{number}")).exists():
        number += 1
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))


# ---- PostgreSQL ----


def _dump_postgresql(store: Store, part: Path) -> tuple[str, dict[str, int]]:
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with store.engine.connect().execution_options(**options) as connection, connection.begin():
        version = version_of(connection)
        if version is None:
            raise NotFoundError("There is no store in the database.", todo="Make it first: geomap store init.")
        _require_all_rows(connection)
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))  # rows are counted at the moment of the dump
        rows = _count_postgresql(connection)
        what = ["--format=custom", "--exclude-table-data=*.spatial_ref_sys"]  # which comes with PostGIS
        _run("pg_dump", store.engine.url, *what, f"--snapshot={snapshot}", f"--file={part}")
    return version, rows


def _restore_postgresql(store: Store, path: Path, manifest: Manifest, app_role: str) -> None:
    with told_plainly(), store.engine.connect() as connection:
        with connection.begin():
            require_administered(connection, app_role)
            if version_of(connection) is not None:
                raise ConflictError("There is a store in the database already.", todo="Restore into an empty database.")
            options = ["--no-owner", "--no-acl", "--no-comments", "--exit-on-error", "--single-transaction"]
        _run("pg_restore", store.engine.url, *options, str(path))
        with connection.begin():
            lift_rights(connection)
            _compare(path, manifest, (version_of(connection) or "", _count_postgresql(connection)))
            migrate(connection)
            apply_rights(connection, app_role)


def _count_postgresql(connection: Connection) -> dict[str, int]:
    names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'spatial_ref_sys' ORDER BY 1"
    return {
        name: int(connection.scalar(text(f'SELECT count(*) FROM "{name}"')) or 0)
        for name in connection.scalars(text(names)).all()
    }


def _require_all_rows(connection: Connection) -> None:
    role, all_rows = connection.execute(
        text(
            "SELECT rolname, rolsuper OR (rolbypassrls AND has_table_privilege('audit', 'SELECT')"
            " AND has_table_privilege('sessions', 'SELECT')) FROM pg_roles WHERE rolname = current_user"
        )
    ).one()
    if not all_rows:
        raise StoreError(
            f"The role {role} does not see all rows.",
            why="Row-level security would leave them out of the backup.",
            todo="Back up as a role for that; an administrator makes it with: "
            "CREATE ROLE geomap_backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO geomap_backup;",
        )


def _run(program: str, address: URL, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on a database; the password is in no list of processes."""
    from psycopg.conninfo import make_conninfo

    if shutil.which(program) is None:
        raise StoreError(f"{program} is not installed.", todo="Install PostgreSQL's client programs.")
    told = {**address.translate_connect_args(database="dbname", username="user"), **address.query}
    secret = {"PGPASSWORD": str(told.pop("password"))} if "password" in told else {}
    host = {"PGHOST": str(told["host"])} if "host" in told else {}  # Debian chooses the program's version by it
    done = subprocess.run(
        [program, "--no-password", f"--dbname={make_conninfo(**told)}", *arguments],
        env={**os.environ, **secret, **host},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StoreError(
            f"{program} failed: {(done.stderr.strip().splitlines() or ['it does not say why'])[0]}.",
            why="Nothing was kept.",
        )


# ---- both ----


@contextmanager
def _whole_or_nothing(path: Path, *, just_before: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place when it is whole and on the disk, for nobody else's eyes."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            with part.open("r+b") as file:
                os.fsync(file.fileno())
            if just_before is not None:
                just_before(path)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise _told(path, error) from error


def make_folder(path: Path) -> None:
    """The folder of a file that will hold names of people, for nobody else's eyes where it is new.

    Raises
    ------
    StoreError : it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _told(path, error) from error


def _told(path: Path, error: OSError) -> StoreError:
    if error.errno == ENOSPC:
        return StoreFullError("The disk is full.", why="Nothing was kept.", todo="Free some space.")
    return StoreError(
        f"{path.name} cannot be written: {error.strerror}.",
        why="Nothing was kept.",
        todo="Check that its folder is there and that you may write to it.",
    )


def _sync(folder: Path) -> None:
    """The names in the folder are on the disk; Windows does that by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(path: Path, manifest: Manifest, found: tuple[str, dict[str, int]]) -> None:
    if found != (manifest.store_version, dict(manifest.rows)):
        raise _differs(path, "the rows in it are not those that were counted")


def _differs(path: Path, found: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"{path.name} is not the backup that its manifest describes: {found}.",
        why="It is damaged, or was changed.",
        todo="Take another copy or an earlier backup.",
    )
