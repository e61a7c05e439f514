"""Row-level security: PostgreSQL itself keeps to the rights of the schema, whoever forgets them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    Table,
    create_engine,
    insert,
    make_url,
    text,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError

from geomap.store import Scope, open_store
from geomap.store.rights import COMMANDS, apply_rights
from geomap.store.schema import TENANT_TABLES, cooperatives, metadata
from geomap.store.scope import RELEASED, ROLES
from geomap.store.setup import init

TABLES = metadata.sorted_tables
EXEMPT = {"spatial_ref_sys", "alembic_version"}  # of PostGIS; the version of the store


def row_of(table: Table, name: str) -> dict[str, Any]:
    """A row in which every text is the cooperative's id: so each row refers to the others of its cooperative."""
    made: dict[str, Any] = {}
    for column in table.c:
        if column.identity is not None or column.name == "geometry":
            continue
        kind = column.type
        if isinstance(kind, (Boolean, JSON, LargeBinary)):
            made[column.name] = {Boolean: False, JSON: {}, LargeBinary: b""}[type(kind)]
        else:
            made[column.name] = 1 if isinstance(kind, (Integer, Float)) else name
    return made


@pytest.fixture
def raw(postgres_url: str, cluster) -> Iterator[Engine]:
    """Connections of the service's role that go round `scope.py`, to a store with a row of c1 and c2 in each table."""
    administrator = create_engine(cluster.url("postgres"))
    with administrator.begin() as connection:
        for table in TABLES:
            for name in ("c1", "c2"):
                connection.execute(insert(table), [row_of(table, name)])
    administrator.dispose()
    engine = create_engine(postgres_url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def tell(connection: Connection, role: str, cooperatives: str = "", released: str = "") -> None:
    for name, value in {"role": role, "cooperatives": cooperatives, "released": released}.items():
        connection.execute(text("SELECT set_config(:name, :value, true)"), {"name": f"geomap.{name}", "value": value})


def count(connection: Connection, table: Table) -> int:
    return int(connection.scalar(text(f"SELECT count(*) FROM {table.name}")))


def reached(connection: Connection, command: str, table: Table) -> int:
    """Rows that a command reaches; for INSERT, whether a row of c1 passes the policy, also where one is there."""
    column = "cooperative_id" if "cooperative_id" in table.c else next(iter(table.c)).name
    statement: Any = {
        "SELECT": text(f"SELECT * FROM {table.name}"),
        "UPDATE": text(f"UPDATE {table.name} SET {column} = {column}"),
        "DELETE": text(f"DELETE FROM {table.name}"),
        "INSERT": insert(table).inline(),
    }[command]
    step = connection.begin_nested()
    try:
        found = connection.execute(statement, [row_of(table, "c1")] if command == "INSERT" else None)
        return len(found.all()) if command == "SELECT" else found.rowcount
    except IntegrityError:
        return 1  # the rights came first; then the row was a second one, or others refer to it
    except ProgrammingError as error:
        assert "permission denied" in str(error) or "row-level security" in str(error), error
        return 0
    finally:
        step.rollback()


# ---- who reaches what ----


@pytest.mark.parametrize("role", ROLES)
def test_each_role_reaches_what_the_schema_says_and_only_of_its_cooperative(raw, role):
    with raw.connect() as connection:
        tell(connection, role, "c1")
        found = {(t.name, command): reached(connection, command, t) for t in TABLES for command in COMMANDS}
    expected = {}
    for table in TABLES:
        within = Scope(role, frozenset({"c1"})).within(table)  # as `scope.py` has it
        rows = len(within & {"c1"}) if table in TENANT_TABLES else 2
        for command, right in COMMANDS.items():
            # PostgreSQL lets nobody change a row that they cannot read
            named = table.info[right] | (table.info["change"] if right == "read" else frozenset())
            expected[table.name, command] = min(rows, 1 if command == "INSERT" else rows) if role in named else 0
    different = {key: (found[key], expected[key]) for key in found if bool(found[key]) != bool(expected[key])}
    assert different == {}
    selected = {key: (found[key], expected[key]) for key in found if key[1] == "SELECT"}
    assert [key for key, (was, wanted) in selected.items() if was != wanted] == []


def test_the_program_itself_reaches_the_rows_of_all(raw):
    with raw.connect() as connection:
        tell(connection, "worker", "*")
        assert [count(connection, table) for table in TABLES if "worker" in table.info["read"]] == [
            2 for table in TABLES if "worker" in table.info["read"]
        ]


def test_a_grant_of_releases_shows_releases_and_nothing_else(raw):
    with raw.connect() as connection:
        tell(connection, "analyst", "", "c2")
        shown = {table.name for table in TENANT_TABLES if count(connection, table)}
    assert shown == RELEASED


@pytest.mark.parametrize("table", TENANT_TABLES, ids=lambda table: table.name)
def test_a_row_of_another_cooperative_is_refused(raw, table):
    role = min(table.info["write"])
    with raw.connect() as connection:
        tell(connection, role, "c1")
        with pytest.raises(ProgrammingError, match="violates row-level security policy"):
            connection.execute(insert(table), [row_of(table, "c2")])


def test_a_row_cannot_move_to_another_cooperative(raw):
    with raw.connect() as connection:
        tell(connection, "coop_admin", "c1")
        with pytest.raises(ProgrammingError, match="violates row-level security policy"):
            connection.execute(text("UPDATE plots SET cooperative_id = 'c2'"))


def test_a_list_of_ids_is_no_pattern(raw):
    with raw.connect() as connection:
        for names in ("c", "c1c2", "c%", "c1 ,c2 ", "**", "{c1}"):
            tell(connection, "coop_admin", names)
            assert count(connection, cooperatives) == 0, names


# ---- without a scope ----


@pytest.mark.parametrize("role", ["geomap_app", "geomap_owner"])
def test_without_a_scope_no_row_is_there_not_even_for_the_owner(raw, cluster, role):
    engine = create_engine(cluster.url(role))
    with engine.connect() as connection:
        assert {table.name: count(connection, table) for table in TABLES} == {table.name: 0 for table in TABLES}
    engine.dispose()


@pytest.mark.parametrize("role", sorted(metadata.tables["audit"].info["write"]))
def test_everybody_adds_to_the_audit_log_also_who_cannot_read_it(store, role):
    with store.begin(Scope(role, frozenset({"*"}))) as tx:
        tx.insert(metadata.tables["audit"], {"account_id": "", "role": role, "action": "looked"})


def test_a_scope_ends_with_its_transaction(raw):
    with raw.connect() as connection:
        tell(connection, "worker", "*")
        assert count(connection, cooperatives) == 2
        connection.commit()
    with raw.connect() as connection:  # the same connection, out of the pool
        assert count(connection, cooperatives) == 0


def test_the_scope_of_a_store_ends_with_its_transaction(raw, postgres_url):
    store = open_store(postgres_url)
    store.engine = create_engine(postgres_url, pool_size=1, max_overflow=0)
    with store.begin(Scope("coop_admin", frozenset({"c1"}))) as tx:
        assert len(tx.fetch(cooperatives.select())) == 1
    with store.engine.connect() as connection:
        assert count(connection, cooperatives) == 0
    store.close()


def test_the_index_of_places_serves_the_service_once_the_administrator_vouches_for_boxes(cluster, make_database):
    page = (Path(__file__).resolve().parents[2] / "docs/store.md").read_text(encoding="utf-8")
    (vouch,) = (line for line in page.splitlines() if line.startswith("ALTER FUNCTION"))
    url = make_database()
    owner = open_store(url)
    init(owner)
    owner.close()
    service = create_engine(url.replace("geomap_owner@", "geomap_app@"))

    def plan() -> str:
        box = (
            "EXPLAIN SELECT plot_id FROM plots WHERE ended_at IS NULL AND geometry && ST_MakeEnvelope(1, 1, 2, 2, 4326)"
        )
        with service.connect() as connection:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            return "\n".join(connection.scalars(text(box)).all())

    assert "Index Cond: (geometry &&" not in plan()
    cluster.sql(vouch, database=make_url(url).database)
    assert "Index Cond: (geometry &&" in plan()
    service.dispose()


# ---- the catalogue ----


def test_every_table_is_guarded_for_every_command(cluster, postgres_url):
    rows = cluster.sql(
        "SELECT relname, relrowsecurity, relforcerowsecurity,"
        " (SELECT array_agg(cmd ORDER BY cmd) FROM pg_policies WHERE tablename = relname AND permissive = 'PERMISSIVE')"
        " FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    )
    guarded = {name for name, *rest in rows if rest == [True, True, ["DELETE", "INSERT", "SELECT", "UPDATE"]]}
    assert {row[0] for row in rows} - guarded == EXEMPT
    assert guarded == metadata.tables.keys()


def test_nothing_goes_round_the_policies(cluster, postgres_url):
    # A view reads as its owner, and so may a function; PostGIS brings two views of the catalogue.
    views = "SELECT viewname FROM pg_views WHERE schemaname = 'public' ORDER BY 1"
    assert [name for (name,) in cluster.sql(views)] == ["geography_columns", "geometry_columns"]
    functions = "SELECT p.proname FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE r.rolname LIKE 'geomap%'"
    assert cluster.sql(functions) == []


def test_the_service_may_only_add_to_the_audit_log_and_empty_no_table(cluster, postgres_url):
    rows = cluster.sql(
        "SELECT table_name, array_agg(privilege_type::text ORDER BY privilege_type)"
        " FROM information_schema.table_privileges WHERE grantee = 'geomap_app' AND table_schema = 'public' GROUP BY 1"
    )
    given = dict(rows)
    assert given.pop("audit") == ["INSERT", "SELECT"]
    assert given.pop("alembic_version") == ["SELECT"]
    for name, privileges in given.items():
        assert set(privileges) == {command for command, right in COMMANDS.items() if metadata.tables[name].info[right]}


@pytest.mark.parametrize("statement", ["UPDATE audit SET action = ''", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_audit_log_cannot_be_changed(raw, statement):
    with raw.connect() as connection:
        tell(connection, "operator", "*")
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text(statement))


def test_rights_can_be_set_again(cluster, postgres_url):
    policies = "SELECT tablename, policyname, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"
    before = cluster.sql(policies)
    owner = create_engine(cluster.url("geomap_owner"))
    with owner.begin() as connection:
        apply_rights(connection)
    owner.dispose()
    assert cluster.sql(policies) == before
