"""Draft the migration from the latest version to what `schema.py` says: python -m geomap.store.migrations "words"."""

import sys
import tempfile

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.operations.ops import CreateTableOp
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from geomap.store.database import open_store
from geomap.store.migrations import FOLDER, migrate, options, revisions, written
from geomap.store.schema import metadata


def draft(words: str) -> None:
    """Write the draft; a person reads it, and adds what no comparison can see: data, R*Tree, GiST."""
    known = revisions()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/draft.sqlite")
        with store.engine.begin() as connection:
            migrate(connection)
            steps = produce_migrations(
                MigrationContext.configure(connection, opts=options(connection)), metadata
            ).upgrade_ops
        store.close()
    assert steps is not None
    for table in (step for step in steps.ops if isinstance(step, CreateTableOp)):
        table.info = {}  # rights are made anew by each upgrade, see `rights.py`
    body = render_python_code(steps, render_as_batch=bool(known), render_item=written)
    script = ScriptDirectory(str(FOLDER), file_template="%(rev)s_%(slug)s")
    script.generate_revision(f"{len(known) + 1:04}", words, upgrades=body)


if __name__ == "__main__":
    draft(" ".join(sys.argv[1:]))
