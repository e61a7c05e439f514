"""A store from nothing and from an earlier version; what is refused, and that nothing is made by looking."""

import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, make_url, select, text

from geomap.store import Scope, Store, open_store
from geomap.store.errors import StoreError
from geomap.store.migrations import differences, migrate, revisions
from geomap.store.schema import cooperatives, metadata, plot_places, plots
from geomap.store.setup import init, prepare, require_ready, upgrade, version

LOCAL = Scope("local", frozenset({"*"}))
LATEST = revisions()[-1]
ROOT = Path(__file__).resolve().parents[2]
PLOT = {"cooperative_id": "c1", "plot_id": "p1", "version": 1, "sha256": "", "account_id": ""}


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path) -> Iterator[Store]:
    """A database without any table, opened as the one who is to own the tables."""
    url = f"sqlite:///{tmp_path}/new.sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("empty_database")
    store = open_store(url)
    yield store
    store.close()


def add_cooperative(store: Store, code: str = "C1") -> None:
    with store.begin(LOCAL) as tx:
        tx.insert(cooperatives, {"cooperative_id": code.lower(), "code": code, "name": "One"})


def shape(connection: Connection) -> dict[str, list[str]]:
    """Everything in a database that has a name: tables, columns, indexes, triggers; no versions of PostGIS."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT type, name FROM sqlite_master ORDER BY name")).all()
        columns = [
            (name, column["name"]) for name in metadata.tables for column in inspect(connection).get_columns(name)
        ]
        return {"things": [" ".join(row) for row in rows], "columns": [" ".join(pair) for pair in columns]}
    asked = {
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
        "columns": "SELECT table_name || ' ' || column_name || ' ' || data_type || ' ' || is_nullable || ' '"
        " || coalesce(column_default, is_identity) FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'spatial_ref_sys' ORDER BY 1",
        "constraints": "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1",
        "policies": "SELECT tablename || ' ' || policyname || coalesce(qual, '') || coalesce(with_check, '')"
        " FROM pg_policies ORDER BY 1",
    }
    return {name: list(connection.scalars(text(question)).all()) for name, question in asked.items()}


# ---- made ----


def test_a_store_is_made_of_the_latest_version(empty):
    init(empty)
    assert version(empty) == LATEST


def test_to_make_a_store_again_leaves_it_as_it_is(empty):
    init(empty)
    add_cooperative(empty)
    init(empty)
    with empty.read(LOCAL) as tx:
        assert [row["code"] for row in tx.fetch(select(cooperatives.c.code))] == ["C1"]


def test_many_who_make_one_store_at_once_make_one(empty):
    stores = [open_store(empty.engine.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(init, stores))
    for one in stores:
        one.close()
    assert version(empty) == LATEST


def test_many_who_upgrade_one_store_at_once_upgrade_it_once(empty):
    of_version(empty, "0001")
    stores = [open_store(empty.engine.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, stores))
    for one in stores:
        one.close()
    assert version(empty) == LATEST
    with empty.engine.connect() as connection:
        assert differences(connection) == []


def test_the_file_of_a_store_is_for_nobody_else(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/folder/new.sqlite")
    init(store)
    add_cooperative(store)
    made = [tmp_path / "folder", *(tmp_path / "folder").iterdir()]
    assert {path.name for path in made} == {"folder", "new.sqlite", "new.sqlite-wal", "new.sqlite-shm"}
    assert [path.name for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    store.close()


def test_a_box_of_the_index_holds_the_plot_that_it_is_made_of(sqlite_store):
    box = {"west": -88.1234567, "east": -88.1234566, "south": 14.7654321, "north": 14.7654322}
    with sqlite_store.begin(LOCAL) as tx:
        tx.insert(plot_places, {"key": 1, **box})
        (kept,) = tx.fetch(select(plot_places))
    assert kept["west"] <= box["west"] < box["east"] <= kept["east"]
    assert kept["south"] <= box["south"] < box["north"] <= kept["north"]


def test_tables_of_somebody_else_are_not_taken_over(empty):
    with empty.engine.begin() as connection:
        connection.execute(text("CREATE TABLE plots (id integer)"))
    with pytest.raises(StoreError, match="has tables named plots, but they are no store of ours"):
        init(empty)


# ---- looked at ----


def test_looking_makes_no_store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/none.sqlite")
    with pytest.raises(StoreError, match=r"no store in none\.sqlite\..*geomap store init"):
        require_ready(store)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_no_store(empty):
    with pytest.raises(StoreError, match=r"There is no store.*geomap store init"):
        require_ready(empty)


def test_a_store_is_ready_for_the_service(store):
    require_ready(store)


def test_a_local_store_is_made_by_itself(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/new.sqlite")
    assert prepare(store) is None
    add_cooperative(store)
    assert prepare(store) is None  # the second time it is there
    with store.read(LOCAL) as tx:
        assert len(tx.fetch(select(cooperatives.c.code))) == 1
    store.close()


def test_a_local_store_that_became_empty_is_not_made_anew(tmp_path):
    (tmp_path / "lost.sqlite").touch()  # as a failing disk may leave it
    store = open_store(f"sqlite:///{tmp_path}/lost.sqlite")
    with pytest.raises(StoreError, match=r"no store in lost\.sqlite"):
        prepare(store)
    store.close()


# ---- other versions ----


def of_version(store: Store, name: str) -> None:
    """Make a store as an earlier geomap did, with a cooperative in it."""
    with store.engine.begin() as connection:
        migrate(connection, name)
    add_cooperative(store)


def test_a_store_of_an_earlier_version_says_to_upgrade(empty):
    of_version(empty, "0001")
    for use in (require_ready, init):
        with pytest.raises(StoreError, match=rf"of version 0001; this geomap needs version {LATEST}.*store upgrade"):
            use(empty)


def test_a_store_of_a_later_version_is_refused(empty):
    init(empty)
    with empty.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (require_ready, init, upgrade, prepare):
        with pytest.raises(StoreError, match=r"of version 9999; this geomap knows versions up to .* Update geomap"):
            use(empty)
    assert version(empty) == "9999"


def test_an_upgraded_store_is_like_one_made_anew_and_keeps_its_rows(empty, request, tmp_path):
    of_version(empty, "0001")
    upgrade(empty)
    assert version(empty) == LATEST
    with empty.read(LOCAL) as tx:
        assert [row["code"] for row in tx.fetch(select(cooperatives.c.code))] == ["C1"]
    with empty.engine.connect() as connection:
        upgraded = shape(connection)
    fresh = open_store(
        f"sqlite:///{tmp_path}/fresh.sqlite"
        if empty.dialect == "sqlite"
        else request.getfixturevalue("make_database")()
    )
    init(fresh)
    with fresh.engine.connect() as connection:
        assert shape(connection) == upgraded
    fresh.close()


def test_the_migrations_lead_to_what_the_schema_says(empty):
    # Where this fails: python -m geomap.store.migrations "what changes"
    with empty.engine.begin() as connection:
        migrate(connection)
        assert differences(connection) == []


def test_a_difference_is_seen(empty):
    init(empty)
    with empty.engine.begin() as connection:
        connection.execute(text("ALTER TABLE members ADD COLUMN shoe_size integer"))
        connection.execute(text("DROP INDEX ix_jobs_state_created_at"))
        assert sorted(change[0] for change in differences(connection)) == ["add_index", "remove_column"]


def test_a_local_store_is_backed_up_and_upgraded_by_itself(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/old.sqlite")
    of_version(store, "0001")
    kept = prepare(store)
    assert kept == tmp_path / "old-version-0001.sqlite"
    assert version(store) == LATEST
    before = open_store(f"sqlite:///{kept}")
    assert version(before) == "0001"
    with before.read(LOCAL) as tx:
        assert len(tx.fetch(select(cooperatives.c.code))) == 1
    before.close()
    store.close()


def test_an_upgrade_that_fails_changes_nothing(empty, monkeypatch):
    of_version(empty, "0001")
    with empty.engine.connect() as connection:
        before = shape(connection)

    def half(connection: Connection) -> None:
        migrate(connection)
        raise RuntimeError("stopped half-way")

    monkeypatch.setattr("geomap.store.setup.migrate", half)
    with pytest.raises(RuntimeError, match="half-way"):
        upgrade(empty)
    assert version(empty) == "0001"
    with empty.engine.connect() as connection:
        assert shape(connection) == before


def test_rows_that_an_upgrade_orphans_stop_it(tmp_path, monkeypatch):
    store = open_store(f"sqlite:///{tmp_path}/old.sqlite")
    of_version(store, "0001")
    with store.begin(LOCAL) as tx:
        tx.insert(plots, PLOT)

    def careless(connection: Connection) -> None:
        connection.execute(text("DELETE FROM cooperatives"))
        migrate(connection)

    monkeypatch.setattr("geomap.store.setup.migrate", careless)
    with pytest.raises(StoreError, match="1 rows refer to rows that are not there, the first in plots"):
        upgrade(store)
    with store.read(LOCAL) as tx:
        assert len(tx.fetch(select(cooperatives.c.code))) == 1
    store.close()


# ---- what the administrator does ----


def run_psql(cluster, statements: str) -> None:
    """What an administrator types, word for word; the first that fails ends it."""
    done = subprocess.run(
        [cluster.programs / "psql", "-h", cluster.folder, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-X", "postgres"],
        input=statements,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_the_administrator_must_run_is_complete(cluster, make_database):
    cluster.sql("CREATE ROLE bare_owner LOGIN", database="postgres")
    url = make_database(extension=False, owner="bare_owner")
    name = make_url(url).database
    cluster.sql(
        "REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC",
        f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO bare_owner",
        "GRANT USAGE ON SCHEMA public TO bare_owner",
        database=name,
    )
    store = open_store(url)
    with pytest.raises(StoreError) as caught:
        init(store, app_role="bare app")
    statements = caught.value.todo.partition("run:\n")[2]
    assert statements.startswith(f"\\connect {name}\n")
    run_psql(cluster, statements)
    init(store, app_role="bare app")
    store.close()
    service = open_store(cluster.url("bare%20app", name))
    require_ready(service)
    service.close()


def test_what_the_handbook_lets_the_administrator_run_is_enough(cluster):
    page = (ROOT / "docs/store.md").read_text(encoding="utf-8")
    block = page.partition("```sql\n")[2].partition("```")[0].replace("geomap", "handbook")
    run_psql(cluster, block)
    store = open_store(cluster.url("handbook_owner", "handbook"))
    init(store, app_role="handbook_app")
    store.close()
    service = open_store(cluster.url("handbook_app", "handbook"))
    require_ready(service)
    service.close()
    cluster.sql("DROP DATABASE handbook", database="postgres")


def test_the_service_does_not_own_the_tables(cluster, make_database):
    store = open_store(make_database(owner="geomap_app"))
    with pytest.raises(StoreError, match="geomap_app is the service's own and must not own the tables"):
        init(store)
    store.close()


@pytest.mark.parametrize(
    ("role", "said"), [("geomap_owner", "owns the tables"), ("postgres", "passes by row-level security")]
)
def test_a_role_that_could_see_everything_is_not_for_the_service(postgres_url, role, said):
    store = open_store(postgres_url.replace("geomap_app", role))
    with pytest.raises(StoreError, match=f"The role {role} {said}"):
        require_ready(store)
    store.close()


# ---- the wheel ----


def test_the_package_has_its_migrations_as_files():
    versions = ROOT / "geomap/store/migrations/versions"
    assert [path.name[:4] for path in sorted(versions.glob("0*.py"))] == revisions()
