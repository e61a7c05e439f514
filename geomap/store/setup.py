"""A store from nothing: its tables, the index of places, and on PostgreSQL who may see which rows."""

from sqlalchemy import text

from geomap.store.database import Store
from geomap.store.schema import metadata


def make_tables(store: Store) -> None:
    """Make the tables of an empty store."""
    with store.engine.begin() as connection:
        metadata.create_all(connection)
        if store.dialect == "sqlite":
            connection.execute(
                text("CREATE VIRTUAL TABLE IF NOT EXISTS plot_places USING rtree(key, west, east, south, north)")
            )
