"""Cooperatives: who they are, and what each is asked once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.engine import RowMapping

from geomap.store.errors import ChangedError, ConflictError, NotFoundError
from geomap.store.given import given_cells, given_text
from geomap.store.ids import new_id
from geomap.store.schema import cooperatives as table
from geomap.store.scope import Transaction

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
CHANGEABLE: Final = frozenset({"name", "country", "crop", "settings"})


def add_cooperative(tx: Transaction, *, code: str, name: str, country: str = "", crop: str = "") -> str:
    """The id of a new cooperative.

    Parameters
    ----------
    code : how files name it; no two cooperatives share one.
    country : ISO 3166 code or name. crop : of what it sells; the reader of deliveries needs it.

    Raises
    ------
    ConflictError : there is a cooperative of this code. UnknownNameError : no such country or crop.
    """
    code = given_text(code, "code", least=1)
    if tx.first(select(table.c.code).where(table.c.code == code)):
        raise ConflictError(f"There is a cooperative {code!r}.", todo="Give it another code.")
    cooperative_id = new_id()
    values = {"name": given_text(name, "name", least=1), "country": country, "crop": crop}
    tx.insert(table, {"cooperative_id": cooperative_id, "code": code, **_checked(values)})
    return cooperative_id


def cooperatives(tx: Transaction, *, after: str = "", limit: int = 100) -> list[Row]:
    """The cooperatives within the scope, by id; those that left are not there."""
    found = select(table).where(table.c.cooperative_id > after, table.c.left_at.is_(None))
    return [dict(row) for row in tx.fetch(found.order_by(table.c.cooperative_id).limit(limit))]


def cooperative(tx: Transaction, cooperative_id: str) -> Row:
    """One cooperative.

    Raises
    ------
    NotFoundError : missing, left, or out of reach.
    """
    return _found(tx.first(select(table).where(table.c.cooperative_id == cooperative_id, table.c.left_at.is_(None))))


def locked_cooperative(tx: Transaction, cooperative_id: str) -> Row:
    """As `cooperative`; whoever else would write to it waits until this transaction ends, and its `stamp` is new."""
    one = select(table).where(table.c.cooperative_id == cooperative_id, table.c.left_at.is_(None))
    found = _found(tx.first(one.with_for_update(key_share=True)))
    tx.update(table, {"stamp": new_id()}, table.c.cooperative_id == cooperative_id)
    return found


def stamp_of(tx: Transaction, cooperative_id: str) -> str:
    """A text that is another one after each write to plots, members, consents, shares or findings of a cooperative.

    Raises
    ------
    NotFoundError : missing, left, or out of reach.
    """
    one = select(table.c.stamp).where(table.c.cooperative_id == cooperative_id, table.c.left_at.is_(None))
    return str(_found(tx.first(one))["stamp"])


def change_cooperative(tx: Transaction, cooperative_id: str, values: Mapping[str, Any], *, version: int) -> Row:
    """The cooperative with other values: name, country, crop, or all of its settings.

    Raises
    ------
    ChangedError : `version` is not the latest. NotFoundError : as `cooperative`.
    UnknownNameError, TextError, NumberError : a value cannot be kept.
    """
    old = locked_cooperative(tx, cooperative_id)
    if old["version"] != version:
        raise ChangedError("The cooperative was changed by somebody else.", todo="Look at it again.")
    if unknown := sorted(set(values) - CHANGEABLE):
        raise ConflictError(f"{unknown[0]} of a cooperative cannot be changed.")
    tx.update(table, {**_checked(values), "version": version + 1}, table.c.cooperative_id == cooperative_id)
    return cooperative(tx, cooperative_id)


def settings_table(cooperative: Mapping[str, Any]) -> "pd.DataFrame | None":
    """Settings as the readers of deliveries take them: one row, of the cooperative's code; None without any."""
    if not cooperative["settings"]:
        return None
    import pandas as pd

    from geomap.supply.settings import SETTING_NAMES, TEXTS

    told = cooperative["settings"]
    row = {name: told.get(name, "" if name in TEXTS else float("nan")) for name in SETTING_NAMES[1:]}
    return pd.DataFrame([row], index=pd.Index([cooperative["code"]], name="cooperative_id", dtype="str"))


def _found(row: RowMapping | None) -> Row:
    if row is None:
        raise NotFoundError("There is no such cooperative.")
    return dict(row)


def _checked(values: Mapping[str, Any]) -> Row:
    from geomap.supply.crop_tables import crop_name
    from geomap.supply.crops import country_code

    kept: Row = dict(values)
    if "name" in kept:
        kept["name"] = given_text(kept["name"], "name", least=1)
    if kept.get("country"):
        kept["country"] = country_code(given_text(kept["country"], "country"))
    if kept.get("crop"):
        kept["crop"] = crop_name(given_text(kept["crop"], "crop"))
    if "settings" in kept:
        kept["settings"] = given_cells(kept["settings"])
    return kept
