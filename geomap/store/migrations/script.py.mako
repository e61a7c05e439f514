"""${message}."""

import sqlalchemy as sa
from alembic import op

from geomap.store.types import Wkb

revision = "${up_revision}"
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades}
