"""Changes to a store that holds data, one file per change in `versions`; run by `geomap.store.setup`.

A new one is drafted with `python -m geomap.store.migrations "what changes"` after `schema.py` was changed.
"""

from pathlib import Path
from typing import Any, Final, Literal

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.base import ischema_names

from geomap.store.schema import metadata
from geomap.store.types import Wkb

FOLDER: Final = Path(__file__).parent


class _Geometry(Wkb):
    """A geometry column as PostgreSQL tells of it, with kind and CRS."""

    def __init__(self, *_: str) -> None:
        super().__init__()


ischema_names["geometry"] = _Geometry


def revisions() -> list[str]:
    """The versions of a store, the first one first."""
    return [script.revision for script in ScriptDirectory(str(FOLDER)).walk_revisions()][::-1]


def version_of(connection: Connection) -> str | None:
    """The version of the store behind a connection; None where none is noted."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(connection: Connection, version: str = "head") -> None:
    """Bring a store up to a version, within the transaction that the caller holds."""
    script = ScriptDirectory(str(FOLDER))

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs(version, revision)

    with EnvironmentContext(Config(), script, fn=steps, destination_rev=version) as environment:
        environment.configure(connection=connection, **options(connection))
        environment.run_migrations()


def mark_latest(connection: Connection) -> None:
    """Note that a store was made as `schema.py` says."""
    MigrationContext.configure(connection).stamp(ScriptDirectory(str(FOLDER)), "head")


def differences(connection: Connection) -> list[Any]:
    """What would have to change for the store to be as `schema.py` says; nothing when it is."""
    return list(compare_metadata(MigrationContext.configure(connection, opts=options(connection)), metadata))


def _is_ours(_item: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
    """Leave alone what the databases keep beside our tables: R*Tree, and what PostGIS brings."""
    if kind == "table":
        return not (name or "").startswith(("plot_places", "spatial_ref_sys"))
    return name != "ix_plots_geometry"


def written(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """How a draft writes our own column type."""
    return "Wkb()" if kind == "type" and isinstance(item, Wkb) else False


def options(connection: Connection) -> dict[str, Any]:
    """How tables are compared with `schema.py`, and changed."""
    return {
        "target_metadata": metadata,
        "include_object": _is_ours,
        "render_item": written,
        "render_as_batch": True,  # SQLite changes a column by making its table anew
        "compare_type": True,
        "compare_server_default": connection.dialect.name == "postgresql",  # SQLite tells defaults in other words
    }
