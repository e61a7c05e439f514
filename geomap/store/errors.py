"""What can go wrong with the store."""

from geomap.errors import GeomapError


class StoreError(GeomapError):
    """The store cannot be used as it is."""

    code = "store"


class StoreBusyError(StoreError):
    """Somebody else writes, or the database cannot be reached just now; later it may work."""

    code = "store_busy"


class StoreFullError(StoreError):
    """The disk is full; nothing was changed."""

    code = "store_full"


class StoreDamagedError(StoreError):
    """The store's file is damaged."""

    code = "store_damaged"


class NotAllowedError(GeomapError):
    """The role may not do this."""

    code = "not_allowed"


class NotFoundError(GeomapError):
    """There is no such thing for whoever asks: missing, or another cooperative's."""

    code = "not_found"


class ConflictError(GeomapError):
    """What is there has changed, or contradicts what was sent."""

    code = "conflict"


class ChangedError(ConflictError):
    """The version that was to be changed is no longer the latest."""

    code = "changed"
