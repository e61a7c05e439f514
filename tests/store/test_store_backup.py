"""Backups: of one moment, compared with their manifest, and restored; what is damaged is refused."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from geomap.store import Scope, Store, open_store
from geomap.store.backup import Manifest, back_up, restore
from geomap.store.errors import ConflictError, NotFoundError, StoreDamagedError, StoreError
from geomap.store.migrations import migrate
from geomap.store.schema import cooperatives, members, plots
from geomap.store.setup import init, require_ready, upgrade, version

LOCAL = Scope("local", frozenset({"*"}))
POINT = bytes.fromhex("0101000000000000000000F03F0000000000000040")  # POINT (1 2), little-endian


def fill(store: Store) -> None:
    with store.begin(LOCAL) as tx:
        tx.insert(cooperatives, {"cooperative_id": "c1", "code": "C1", "name": "Uno ñ"})
        given = {"cooperative_id": "c1", "version": 1, "sha256": "", "account_id": "", "geometry": POINT}
        tx.insert(plots, [{**given, "plot_id": f"p{number}"} for number in range(1000)])


def content(store: Store) -> list[tuple[str, bytes]]:
    with store.read(LOCAL) as tx:
        assert [row["name"] for row in tx.fetch(select(cooperatives.c.name))] == ["Uno ñ"]
        rows = tx.fetch(select(plots.c.plot_id, plots.c.geometry).order_by(plots.c.plot_id))
        return [(row["plot_id"], bytes(row["geometry"])) for row in rows]


@pytest.fixture
def opened() -> Iterator[Callable[[str], Store]]:
    """Opens stores, and closes them when the test ends."""
    stores: list[Store] = []

    def open_one(url: str) -> Store:
        stores.append(open_store(url))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def keeper(store: Store, request, opened) -> Store:
    """The store as whoever makes backups opens it."""
    if store.dialect == "sqlite":
        return store
    cluster = request.getfixturevalue("cluster")
    cluster.sql(
        "DO $$ BEGIN CREATE ROLE geomap_backup LOGIN BYPASSRLS; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "GRANT pg_read_all_data TO geomap_backup",
    )
    return opened(cluster.url("geomap_backup"))


@pytest.fixture
def target(store: Store, request, tmp_path) -> str:
    """An address where nothing is yet."""
    if store.dialect == "sqlite":
        return f"sqlite:///{tmp_path}/elsewhere/restored.sqlite"
    return request.getfixturevalue("empty_database")


def for_service(url: str) -> str:
    return url.replace("geomap_owner@", "geomap_app@")


# ---- there and back ----


def test_a_restored_store_holds_the_same_and_is_ready(store, keeper, target, tmp_path, opened):
    fill(store)
    manifest = back_up(keeper, tmp_path / "b.backup")
    assert (manifest.rows["cooperatives"], manifest.rows["plots"], manifest.rows["members"]) == (1, 1000, 0)
    restore(target, tmp_path / "b.backup")
    restored = opened(for_service(target))
    require_ready(restored)
    assert content(restored) == content(store)
    with restored.begin(LOCAL) as tx:  # and numbers are counted on, not given twice
        tx.insert(members, {"cooperative_id": "c1", "member_id": "m1"})
        tx.insert(plots, {"cooperative_id": "c1", "plot_id": "new", "version": 1, "sha256": "", "account_id": ""})


def test_a_backup_is_for_nobody_else_and_leaves_no_part(store, keeper, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    back_up(keeper, folder / "b.backup")
    assert {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()} == {
        "b.backup": 0,
        "b.backup.json": 0,
    }


def test_a_backup_is_not_overwritten(store, keeper, tmp_path):
    back_up(keeper, tmp_path / "b.backup")
    with pytest.raises(ConflictError, match=r"b\.backup is there already"):
        back_up(keeper, tmp_path / "b.backup")


def test_a_backup_under_load_is_of_one_moment(store, keeper, target, tmp_path, opened):
    # Each transaction adds one cooperative and its one member: a backup of one moment has as many of these as of those.
    stop, done = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            name = f"c{len(done):05}"
            with store.begin(LOCAL) as tx:
                tx.insert(cooperatives, {"cooperative_id": name, "code": name, "name": "x" * 2000})
                tx.insert(members, {"cooperative_id": name, "member_id": "m"})
            done.append(name)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(done) < 20:
            stop.wait(0.01)
        before = len(done)
        manifest = back_up(keeper, tmp_path / "b.backup")
        after = len(done)
    finally:
        stop.set()
        writer.join()
    assert before <= manifest.rows["cooperatives"] <= after + 1
    assert manifest.rows["members"] == manifest.rows["cooperatives"]
    restore(target, tmp_path / "b.backup")
    restored = opened(for_service(target))
    with restored.read(LOCAL) as tx:
        (counted,) = tx.fetch(select(func.count().label("n")).select_from(cooperatives.join(members)))
        assert counted["n"] == manifest.rows["cooperatives"]


def test_a_backup_of_an_earlier_version_can_be_restored_and_upgraded(store, target, request, tmp_path, opened):
    url = f"sqlite:///{tmp_path}/old.sqlite"
    if store.dialect == "postgresql":
        url = request.getfixturevalue("make_database")()
    old = opened(url)
    with old.engine.begin() as connection:
        migrate(connection, "0001")
    old = opened(url.replace("geomap_owner@", "postgres@"))
    fill(old)
    back_up(old, tmp_path / "old.backup")
    restore(target, tmp_path / "old.backup")
    restored = opened(target)
    upgrade(restored)
    restored = opened(for_service(target))
    require_ready(restored)
    assert len(content(restored)) == 1000


# ---- what is refused ----


def test_a_backup_that_was_changed_is_not_restored(store, keeper, target, tmp_path):
    fill(store)
    back_up(keeper, tmp_path / "b.backup")
    flip(tmp_path / "b.backup", 5000)
    with pytest.raises(StoreDamagedError, match=r"b\.backup is not the backup that its manifest describes"):
        restore(target, tmp_path / "b.backup")
    if store.dialect == "sqlite":
        assert not Path(target.removeprefix("sqlite:///")).exists()


def test_rows_that_are_missing_are_seen(store, keeper, target, tmp_path):
    fill(store)
    manifest = back_up(keeper, tmp_path / "b.backup")
    beside = Manifest.beside(tmp_path / "b.backup")
    told = json.loads(beside.read_text())
    assert told["rows"] == dict(manifest.rows)
    told["rows"]["plots"] += 1
    beside.write_text(json.dumps(told))
    with pytest.raises(StoreDamagedError, match="the rows in it are not those that were counted"):
        restore(target, tmp_path / "b.backup")


@pytest.mark.parametrize("manifest", [None, "{", "[]", '{"rows": {}}'])
def test_a_backup_without_a_manifest_is_not_restored(sqlite_store, tmp_path, manifest):
    back_up(sqlite_store, tmp_path / "b.backup")
    beside = Manifest.beside(tmp_path / "b.backup")
    beside.unlink() if manifest is None else beside.write_text(manifest)
    with pytest.raises(NotFoundError, match=r"b\.backup\.json is not beside b\.backup, or is no manifest"):
        restore(f"sqlite:///{tmp_path}/r.sqlite", tmp_path / "b.backup")


def test_a_backup_of_the_other_database_or_a_later_version_is_refused(sqlite_store, tmp_path):
    back_up(sqlite_store, tmp_path / "b.backup")
    beside = Manifest.beside(tmp_path / "b.backup")
    told = json.loads(beside.read_text())
    for changed, said in (
        ({"dialect": "postgresql"}, "is a backup from postgresql"),
        ({"store_version": "9999"}, "9999"),
    ):
        beside.write_text(json.dumps({**told, **changed}))
        with pytest.raises(StoreError, match=said):
            restore(f"sqlite:///{tmp_path}/r.sqlite", tmp_path / "b.backup")


def test_a_store_that_is_there_is_not_overwritten(store, keeper, request, tmp_path):
    fill(store)
    back_up(keeper, tmp_path / "b.backup")
    url = f"sqlite:///{tmp_path}/geomap.sqlite"
    if store.dialect == "postgresql":
        url = request.getfixturevalue("cluster").url("geomap_owner")
    with pytest.raises(ConflictError, match=r"There is a store in .* already"):
        restore(url, tmp_path / "b.backup")
    assert len(content(store)) == 1000


def test_a_store_that_is_replaced_is_set_aside_with_its_log(sqlite_store, tmp_path, opened):
    back_up(sqlite_store, tmp_path / "empty.backup")
    fill(sqlite_store)
    sqlite_store.close()
    for end in ("-wal", "-shm"):  # as a process that was killed leaves them
        (tmp_path / f"geomap.sqlite{end}").write_bytes(b"of the old file")
    restore(f"sqlite:///{tmp_path}/geomap.sqlite", tmp_path / "empty.backup", replace=True)
    assert sorted(path.name for path in tmp_path.glob("geomap*")) == [
        "geomap.sqlite",
        "geomap.sqlite.replaced-1",
        "geomap.sqlite.replaced-1-shm",
        "geomap.sqlite.replaced-1-wal",
    ]
    for end in ("-wal", "-shm"):
        (tmp_path / f"geomap.sqlite.replaced-1{end}").unlink()
    aside = opened(f"sqlite:///{tmp_path}/geomap.sqlite.replaced-1")
    assert len(content(aside)) == 1000


@pytest.mark.parametrize("role", ["geomap_app", "geomap_owner"])
def test_a_role_that_does_not_see_all_rows_makes_no_backup(postgres_url, cluster, tmp_path, role, opened):
    store = opened(cluster.url(role))
    with pytest.raises(StoreError, match=f"The role {role} does not see all rows.*BYPASSRLS"):
        back_up(store, tmp_path / "b.backup")
    assert list(tmp_path.iterdir()) == []


def test_without_the_programs_of_postgresql_it_says_so(cluster, postgres_url, tmp_path, monkeypatch, opened):
    store = opened(cluster.url("postgres"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StoreError, match="pg_dump is not installed"):
        back_up(store, tmp_path / "b.backup")


def test_a_store_that_is_not_there_cannot_be_backed_up(tmp_path, make_database, opened):
    for url in (f"sqlite:///{tmp_path}/none.sqlite", make_database()):
        store = opened(url)
        with pytest.raises(NotFoundError, match="There is no"):
            back_up(store, tmp_path / "b.backup")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(sqlite_store, tmp_path):
    with pytest.raises(StoreError, match=r"b\.backup cannot be written: No such file or directory\."):
        back_up(sqlite_store, tmp_path / "none" / "b.backup")
    back_up(sqlite_store, tmp_path / "b.backup")
    with pytest.raises(StoreError, match=r"r\.sqlite cannot be written: Not a directory\."):
        restore(f"sqlite:///{tmp_path}/b.backup/folder/r.sqlite", tmp_path / "b.backup")


# ---- a damaged store ----


def flip(path: Path, start: int, length: int = 3000) -> None:
    """Turn over every bit of some bytes."""
    data = bytearray(path.read_bytes())
    data[start : start + length] = bytes(byte ^ 255 for byte in data[start : start + length])
    path.write_bytes(data)


@pytest.mark.parametrize("page", [0, 1, 2, 10, -20])
def test_a_damaged_file_is_refused_and_left_as_it_is(sqlite_store, tmp_path, page, opened):
    fill(sqlite_store)
    sqlite_store.close()
    path = tmp_path / "geomap.sqlite"
    flip(path, page * 4096 if page >= 0 else path.stat().st_size + page * 4096)
    damaged = path.read_bytes()
    store = opened(f"sqlite:///{path}")
    with pytest.raises(StoreDamagedError, match=r"[Rr]estore the last backup"):
        require_ready(store)
    with suppress(StoreDamagedError):
        init(store)
    store.close()
    assert path.read_bytes() == damaged


def test_a_file_of_something_else_is_no_store(tmp_path, opened):
    (tmp_path / "x.sqlite").write_text("plot_id,area\n" * 100)
    store = opened(f"sqlite:///{tmp_path}/x.sqlite")
    with pytest.raises(StoreDamagedError):
        require_ready(store)


def test_a_log_cut_short_loses_the_last_transaction_only(sqlite_store, tmp_path, opened):
    fill(sqlite_store)
    with sqlite_store.begin(LOCAL) as tx:
        tx.insert(cooperatives, {"cooperative_id": "c2", "code": "C2", "name": "Two"})
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"geomap.sqlite{end}", tmp_path / f"copy.sqlite{end}")
    log = tmp_path / "copy.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-100])
    store = opened(f"sqlite:///{tmp_path}/copy.sqlite")
    require_ready(store)
    assert len(content(store)) == 1000  # and the first cooperative alone
    assert version(store) == version(sqlite_store)


def test_a_backup_of_a_damaged_store_is_refused(sqlite_store, tmp_path):
    fill(sqlite_store)
    sqlite_store.close()
    flip(tmp_path / "geomap.sqlite", 12 * 4096)
    with pytest.raises(StoreDamagedError):
        back_up(sqlite_store, tmp_path / "b.backup")
    assert not (tmp_path / "b.backup").exists()


def test_the_password_is_in_no_list_of_processes(cluster, postgres_url, tmp_path, monkeypatch, opened):
    seen = tmp_path / "seen"
    (tmp_path / "pg_dump").write_text(f'#!/bin/sh\necho "$@" > {seen}\necho "$PGPASSWORD" >> {seen}\nexit 1\n')
    (tmp_path / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    store = opened(cluster.url("postgres:a%20secret"))
    with pytest.raises(StoreError, match=r"pg_dump failed: it does not say why\."):
        back_up(store, tmp_path / "b.backup")
    arguments, password = seen.read_text().splitlines()
    assert "secret" not in arguments
    assert password == "a secret"
    store.close()
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
