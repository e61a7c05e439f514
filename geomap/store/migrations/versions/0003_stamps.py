"""A stamp on each cooperative, another after each write to what it owns."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cooperatives", sa.Column("stamp", sa.Text(), nullable=False, server_default=""))
