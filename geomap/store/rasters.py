"""Land-cover rasters that the service knows: each a file on the server, pinned by what is in it."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from geomap.store.errors import NotFoundError
from geomap.store.ids import new_id
from geomap.store.schema import rasters as table
from geomap.store.scope import Scope, Transaction, clock

if TYPE_CHECKING:
    from geomap.store.database import Store

Row = dict[str, Any]
_MISSING: Final = "There is no such raster."


def add_raster(store: "Store", scope: Scope, path: Path, product: str, *, name: str = "") -> Row:
    """Register a raster file of a land-cover product; the file stays where it is.

    The file is read before anything is written, so that nobody waits. The same file again is the same raster; a file
    that was changed since is a new one, and the old one is retired.

    Parameters
    ----------
    name : what people see; the file's name by default. The path is in no answer.

    Returns
    -------
    The raster's row, with `bounds` west, south, east, north in degrees.

    Raises
    ------
    RasterError, CrsError : the file cannot be a map of this product.
    UnknownNameError : no such product.
    """
    from geomap.landcover.product import product as named_product
    from geomap.landcover.source import Rasters

    legend, place = named_product(product), path.resolve()
    grid = Rasters([place], legend).grids[0]
    given = {
        "name": name or place.name,
        "product": legend.name,
        "path": str(place),
        "sha256": _sha256(place),
        "bytes": place.stat().st_size,
        "bounds": [round(side, 6) for side in grid.lonlat_bounds],
    }
    with store.begin(scope) as tx:
        return _put(tx, given)


def rasters(tx: Transaction, *, after: str = "", limit: int = 100, retired: bool = False) -> list[Row]:
    """Rasters by id, after the id `after`; with `retired` also those that no run can take any more."""
    found = select(table).where(table.c.raster_id > after)
    if not retired:
        found = found.where(table.c.retired_at.is_(None))
    return [dict(row) for row in tx.fetch(found.order_by(table.c.raster_id).limit(limit))]


def raster(tx: Transaction, raster_id: str) -> Row:
    """One raster, also a retired one, on which past runs rest.

    Raises
    ------
    NotFoundError : there is none.
    """
    row = tx.first(select(table).where(table.c.raster_id == raster_id))
    if row is None:
        raise NotFoundError(_MISSING, todo="See: geomap store raster list.")
    return dict(row)


def retire_raster(tx: Transaction, raster_id: str) -> None:
    """Let no further run take a raster. Its file is not touched, and past runs keep what they say of it.

    Raises
    ------
    NotFoundError : there is none in use.
    """
    if not tx.update(table, {"retired_at": clock(tx)}, table.c.raster_id == raster_id, table.c.retired_at.is_(None)):
        raise NotFoundError(_MISSING, todo="See: geomap store raster list.")


def _put(tx: Transaction, given: Row) -> Row:
    """The row of a file: the one that is there, in use again, or a new one in place of what stood at its path."""
    at_path = table.c.path == given["path"]
    same = tx.first(
        select(table).where(at_path, table.c.sha256 == given["sha256"], table.c.product == given["product"])
    )
    tx.update(table, {"retired_at": clock(tx)}, at_path, table.c.retired_at.is_(None))
    if same is None:
        tx.insert(table, {"raster_id": (raster_id := new_id()), **given})
        return raster(tx, raster_id)
    tx.update(table, {"retired_at": None, "name": given["name"]}, table.c.raster_id == same["raster_id"])
    return raster(tx, same["raster_id"])


def is_what_it_was(row: Mapping[str, Any]) -> bool:
    """Whether the file of a registered raster still holds the bytes it held; raises OSError where it is gone.

    A file is read once for each time that it was written to.
    """
    path = Path(row["path"])
    now = path.stat()
    return bool(now.st_size == row["bytes"] and _sha256_as_of(path, now.st_mtime_ns) == row["sha256"])


@lru_cache(maxsize=256)
def _sha256_as_of(path: Path, written_ns: int) -> str:
    """Of the file as it was written at this time."""
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
