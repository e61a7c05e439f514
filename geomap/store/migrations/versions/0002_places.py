"""An index of places: an R*Tree in SQLite, whose entries go with their plots; GiST in PostGIS."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE plot_places USING rtree(key, west, east, south, north)")
    else:
        op.execute("CREATE INDEX ix_plots_geometry ON plots USING gist (geometry) WHERE ended_at IS NULL")
