"""What a store does when the disk is full, somebody else writes, or the database goes away (F05, F07, F08)."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import select, text

from geomap.store import Scope, Store, open_store
from geomap.store.backup import back_up
from geomap.store.database import BUSY_S
from geomap.store.errors import StoreBusyError, StoreError, StoreFullError
from geomap.store.schema import cooperatives
from geomap.store.setup import require_ready

LOCAL = Scope("local", frozenset({"*"}))


def add(store: Store, name: str, size: int = 0) -> None:
    with store.begin(LOCAL) as tx:
        tx.insert(cooperatives, {"cooperative_id": name, "code": name, "name": "x" * size})


def names(store: Store) -> list[str]:
    with store.read(LOCAL) as tx:
        return [row["code"] for row in tx.fetch(select(cooperatives.c.code).order_by(cooperatives.c.code))]


# ---- a full disk ----

FILL = """
import resource, signal, sys
from pathlib import Path
from geomap.store import Scope, open_store
from geomap.store.backup import back_up
from geomap.store.errors import StoreFullError
from geomap.store.schema import cooperatives

store = open_store(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
kept = 0
try:
    if sys.argv[2] == "backup":
        back_up(store, Path(sys.argv[3]))
    while True:
        with store.begin(Scope("local", frozenset({"*"}))) as tx:
            for part in "ab":
                name = f"{kept:04}{part}"
                tx.insert(cooperatives, {"cooperative_id": name, "code": name, "name": "x" * 60_000})
        kept += 1
except StoreFullError as error:
    print(kept, error)
"""


def limited(*arguments: str) -> tuple[int, str]:
    """Write until no file may grow beyond a megabyte; how many transactions were acknowledged, and the error."""
    done = subprocess.run([sys.executable, "-c", FILL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kept, _, said = done.stdout.partition(" ")
    return int(kept), said.strip()


def test_a_full_disk_is_told_and_what_was_acknowledged_is_there(sqlite_store, sqlite_url):
    sqlite_store.close()
    kept, said = limited(sqlite_url, "write")
    assert said == "The disk of the store cannot be written. Nothing was changed. Look whether it is full or fails."
    assert kept > 0
    require_ready(sqlite_store)
    assert names(sqlite_store) == [f"{number:04}{part}" for number in range(kept) for part in "ab"]
    add(sqlite_store, "after space was freed", 60_000)
    assert len(names(sqlite_store)) == 2 * kept + 1


def test_a_database_that_may_not_grow_is_full(sqlite_store):
    # What SQLite says where the file system has no space left; a page limit says it without one.
    with sqlite_store.engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 1"))  # that is: not beyond what it has
    with pytest.raises(StoreFullError, match=r"The disk of the store is full\. Nothing was changed\."):
        add(sqlite_store, "c", 1_000_000)
    assert names(sqlite_store) == []


def test_a_backup_onto_a_full_disk_leaves_nothing(sqlite_store, sqlite_url, tmp_path):
    for number in range(20):
        add(sqlite_store, f"c{number:02}", 100_000)
    sqlite_store.close()
    folder = tmp_path / "backups"
    folder.mkdir()
    kept, said = limited(sqlite_url, "backup", str(folder / "b.backup"))
    assert (kept, said.partition(".")[0]) == (0, "The disk of the store cannot be written")
    assert list(folder.iterdir()) == []
    back_up(sqlite_store, folder / "b.backup")


# ---- somebody else writes ----


def hold(store: Store) -> sqlite3.Connection:
    """Another program in the middle of a write."""
    other = sqlite3.connect(Path(str(store.engine.url.database)), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute(
        "INSERT INTO cooperatives (cooperative_id, code, name, settings, created_at) VALUES (1, 'o', 'o', '{}', 0)"
    )
    return other


def test_a_writer_waits_for_another_and_is_told_when_that_takes_too_long(sqlite_store):
    with closing(hold(sqlite_store)) as other:
        began = time.monotonic()
        with pytest.raises(StoreBusyError, match="Nothing was changed"):
            add(sqlite_store, "refused")
        waited = time.monotonic() - began
        assert names(sqlite_store) == []  # who reads does not wait
        other.execute("COMMIT")
    assert BUSY_S - 0.5 <= waited <= 3 * BUSY_S
    add(sqlite_store, "p")
    assert names(sqlite_store) == ["o", "p"]


def test_a_short_wait_loses_no_write(sqlite_store):
    with closing(hold(sqlite_store)) as other:
        writers = [threading.Thread(target=add, args=(sqlite_store, f"w{number}")) for number in range(5)]
        for writer in writers:
            writer.start()
        time.sleep(0.3)
        other.execute("COMMIT")
        for writer in writers:
            writer.join()
    assert names(sqlite_store) == ["o", "w0", "w1", "w2", "w3", "w4"]


def test_a_long_reader_sees_one_moment_and_holds_nobody_up(store):
    add(store, "before")
    with store.read(LOCAL) as tx:
        assert [row["code"] for row in tx.fetch(select(cooperatives.c.code))] == ["before"]
        for number in range(5):
            add(store, f"c{number}", 100_000)
        assert [row["code"] for row in tx.fetch(select(cooperatives.c.code))] == ["before"]
    assert len(names(store)) == 6


# ---- the database goes away ----


def test_a_connection_that_is_ended_changes_nothing_and_the_next_one_works(postgres_store, cluster):
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'geomap' AND usename = 'geomap_app'"
        " AND pid <> pg_backend_pid()"
    )
    add(postgres_store, "before")
    with pytest.raises(StoreBusyError, match="Nothing was changed"), postgres_store.begin(LOCAL) as tx:
        tx.insert(cooperatives, {"cooperative_id": "c1", "code": "half", "name": ""})
        assert cluster.sql(end) == [(True,)]
        tx.insert(cooperatives, {"cooperative_id": "c2", "code": "half too", "name": ""})
    assert names(postgres_store) == ["before"]
    assert cluster.sql(end) == [(True,)]  # while nobody uses it
    add(postgres_store, "after")
    assert names(postgres_store) == ["after", "before"]


def test_a_database_killed_at_work_has_what_was_acknowledged(postgres_store, cluster):
    acknowledged: list[str] = []
    refused: list[StoreError] = []

    def write() -> None:
        while not refused:
            name = f"c{len(acknowledged):05}"
            try:
                add(postgres_store, name)
                acknowledged.append(name)
            except StoreError as error:
                refused.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 20:
        time.sleep(0.01)
    data = cluster.folder / "data"
    os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    writer.join(timeout=30)
    assert [type(error) for error in refused] == [StoreBusyError]
    with pytest.raises(StoreBusyError):
        names(postgres_store)
    cluster.start(within_s=30)  # its other processes end a moment later
    found = names(postgres_store)  # the same store, on a new connection
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + 1  # the last one may have been kept and not acknowledged
    add(postgres_store, "x")
    require_ready(postgres_store)


def test_when_all_connections_are_taken_the_store_is_busy(postgres_store):
    pool = postgres_store.engine.pool
    with ExitStack() as taken:
        for _ in range(pool.size() + pool._max_overflow):
            taken.enter_context(postgres_store.engine.connect())
        with pytest.raises(StoreBusyError, match="All connections to the store are taken"):
            names(postgres_store)
    assert names(postgres_store) == []


def test_a_server_that_is_not_there_is_told(tmp_path):
    store = open_store(f"postgresql+psycopg://geomap_app@/geomap?host={tmp_path}")
    with pytest.raises(StoreBusyError, match="cannot be reached"):
        require_ready(store)


# ---- the folder ----


def test_a_folder_that_is_gone_is_told_and_not_made(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/gone/geomap.sqlite")
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        add(store, "c")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_only_be_read_is_told(sqlite_url):
    store = open_store(f"{sqlite_url.replace('sqlite:///', 'sqlite:///file:')}?mode=ro&uri=true")
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        add(store, "c")
    store.close()
