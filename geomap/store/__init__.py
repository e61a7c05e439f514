"""What a service keeps: cooperatives, their people, plots and deliveries, runs, releases, and who may see what."""

from geomap.store.database import Store, open_store
from geomap.store.scope import NOBODY, Role, Scope

__all__ = ["NOBODY", "Role", "Scope", "Store", "open_store"]
