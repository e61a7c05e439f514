"""Row-level security on PostgreSQL: the database itself keeps to the rights that `schema.py` names for each table.

`geomap.store.scope` holds every statement within its scope on both databases; here the same rules stand once more, made
from the same `info`, for the day when a statement goes round it. Who asks is told per transaction in three settings
(`geomap.role`, `geomap.cooperatives`, `geomap.released`); without them no row is there. FORCE holds the owner too.
PostgreSQL lets nobody change a row that they cannot read, so here whoever may change a table also reads it.
"""

from typing import Final

from sqlalchemy import Connection, Table, text

from geomap.store.errors import StoreError
from geomap.store.schema import metadata
from geomap.store.scope import RELEASED

APP_ROLE: Final = "geomap_app"
"""The role of the service and its workers."""
COMMANDS: Final = {"SELECT": "read", "INSERT": "write", "UPDATE": "change", "DELETE": "change"}
"""The right that each command needs."""

_TO_BE_DONE: Final = {
    "CREATE EXTENSION postgis;": "EXISTS (SELECT FROM pg_extension WHERE extname = 'postgis')",
    "CREATE ROLE {app} LOGIN;": "EXISTS (SELECT FROM pg_roles WHERE rolname = :app)",
    "ALTER ROLE {app} NOSUPERUSER NOBYPASSRLS;": (
        "NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :app AND (rolsuper OR rolbypassrls))"
    ),
    "GRANT CONNECT ON DATABASE {database} TO {app};": (
        "EXISTS (SELECT FROM pg_roles WHERE rolname = :app AND has_database_privilege(oid, :database, 'CONNECT'))"
    ),
    "GRANT USAGE ON SCHEMA public TO {app};": (
        "EXISTS (SELECT FROM pg_roles WHERE rolname = :app AND has_schema_privilege(oid, 'public', 'USAGE'))"
    ),
    "GRANT CREATE ON SCHEMA public TO {owner};": "has_schema_privilege('public', 'CREATE')",
}
"""What only an administrator can do, and whether it is done."""


def apply_rights(connection: Connection, app_role: str = APP_ROLE) -> None:
    """Set the rights of all tables anew, within the transaction of the role that owns them."""
    role, run = _quoted(connection, app_role), connection.exec_driver_sql
    run(f"GRANT SELECT ON alembic_version TO {role}")
    for table in metadata.sorted_tables:
        given = [command for command, right in COMMANDS.items() if table.info[right]]
        run(f"REVOKE ALL ON {table.name} FROM PUBLIC, {role}")
        run(f"GRANT {', '.join(given)} ON {table.name} TO {role}")
        run(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        for command, clause in policies(table).items():
            run(f"DROP POLICY IF EXISTS geomap_{command.lower()} ON {table.name}")
            run(f"CREATE POLICY geomap_{command.lower()} ON {table.name} FOR {command} {clause}")


def lift_rights(connection: Connection) -> None:
    """Let the owner see all rows until `apply_rights`, within one transaction: for migrations."""
    forced = "SELECT oid::regclass::text FROM pg_class WHERE relforcerowsecurity ORDER BY 1"
    for name in connection.scalars(text(forced)).all():
        connection.exec_driver_sql(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")


def policies(table: Table) -> dict[str, str]:
    """The condition of each command on a table, as SQL.

    Examples
    --------
    >>> from geomap.store.schema import tokens
    >>> policies(tokens)["SELECT"]
    "USING ((SELECT current_setting('geomap.role', true)) IN ('local', 'operator', 'service'))"
    """
    read, write, change = (_condition(table, right) for right in ("read", "write", "change"))
    return {
        "SELECT": f"USING ({read})",
        "INSERT": f"WITH CHECK ({write})",
        "UPDATE": f"USING ({change}) WITH CHECK ({change})",
        "DELETE": f"USING ({change})",
    }


def require_administered(connection: Connection, app_role: str = APP_ROLE) -> None:
    """Raise where the administrator has something left to do; the message has it ready to be copied."""
    database, owner = connection.execute(text("SELECT current_database(), current_user")).one()
    if owner == app_role:
        raise StoreError(
            f"The role {owner} is the service's own and must not own the tables.",
            why="Who owns a table can lift its protection.",
            todo="Give the address with the role that is to own them, such as geomap_owner.",
        )
    answers = connection.execute(
        text(f"SELECT {', '.join(_TO_BE_DONE.values())}"), {"app": app_role, "database": database}
    ).one()
    names = {"app": app_role, "database": database, "owner": owner}
    quoted = {key: _quoted(connection, name) for key, name in names.items()}
    todo = [words.format(**quoted) for words, done in zip(_TO_BE_DONE, answers, strict=True) if not done]
    if todo:
        raise StoreError(
            f"The database {database} is not ready for a store.",
            why="Extensions and roles are for its administrator to make.",
            todo="\n".join(["As the administrator (psql as postgres), run:", f"\\connect {quoted['database']}", *todo]),
        )


def require_held(connection: Connection) -> None:
    """Raise where row-level security does not hold the role of a connection, or where the role could lift it."""
    role, passes, owns = connection.execute(
        text(
            "SELECT rolname, rolsuper OR rolbypassrls, EXISTS (SELECT FROM pg_class WHERE relrowsecurity"
            " AND pg_has_role(current_user, relowner, 'MEMBER')) FROM pg_roles WHERE rolname = current_user"
        )
    ).one()
    if passes or owns:
        raise StoreError(
            f"The role {role} {'passes by row-level security' if passes else 'owns the tables'}.",
            why="A mistake in the service could show one cooperative's rows to another.",
            todo=f"Give the service the address with a role of its own, such as {APP_ROLE}.",
        )


def _condition(table: Table, right: str) -> str:
    held_by = table.info[right] | (table.info["change"] if right == "read" else frozenset())
    roles = ", ".join(f"'{role}'" for role in sorted(held_by))
    if not roles:
        return "false"
    held = (
        f"(SELECT current_setting('geomap.role', true)) IN ({roles})"  # in a SELECT it is worked out once, not per row
    )
    if "cooperative_id" not in table.c:
        return held
    reached, released = (
        f"(SELECT string_to_array(current_setting('geomap.{name}', true), ','))::text[]"
        for name in ("cooperatives", "released")
    )
    ways = [f"'*' = ANY ({reached})", f"cooperative_id = ANY ({reached})"]
    if table.name == "releases":  # plots alone show an analyst no release
        ways[1] = f"({ways[1]} AND (SELECT current_setting('geomap.role', true)) <> 'analyst')"
    if right == "read" and table.name in RELEASED:
        ways.append(f"cooperative_id = ANY ({released})")
    if right == "write" and table.c["cooperative_id"].nullable:
        ways.append("cooperative_id IS NULL")
    return f"{held} AND ({' OR '.join(ways)})"


def _quoted(connection: Connection, name: str) -> str:
    return str(connection.dialect.identifier_preparer.quote(name))
