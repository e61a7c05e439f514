"""Members of a cooperative, their names and phones in a table of their own, and what they agreed to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, select

from geomap.store import schema
from geomap.store.cooperatives import locked_cooperative
from geomap.store.errors import ChangedError, NotFoundError
from geomap.store.given import given_cells, given_number, given_text
from geomap.store.schema import member_people as people
from geomap.store.schema import members as table
from geomap.store.scope import Transaction

Row = dict[str, Any]
PURPOSES: Final = ("mapping", "analysts", "buyers")
_PEOPLE: Final = ("name", "phone")
_OWN: Final = ("community", "declared_area_ha", "attributes")
_AT_ONCE: Final = 5_000


def members(tx: Transaction, cooperative_id: str, *, after: str = "", limit: int = 100) -> list[Row]:
    """Members of a cooperative with name and phone, by id."""
    found = _joined(cooperative_id).where(table.c.member_id > after).order_by(table.c.member_id).limit(limit)
    return [dict(row) for row in tx.fetch(found)]


def member(tx: Transaction, cooperative_id: str, member_id: str) -> Row:
    """One member with name and phone.

    Raises
    ------
    NotFoundError : missing, or out of reach.
    """
    row = tx.first(_joined(cooperative_id).where(table.c.member_id == member_id))
    if row is None:
        raise NotFoundError("There is no such member.")
    return dict(row)


def put_member(
    tx: Transaction, cooperative_id: str, member_id: str, values: Mapping[str, Any], *, version: int | None = None
) -> Row:
    """The member after it was added, or all its values replaced; equal values are no new version.

    Parameters
    ----------
    values : name, phone, community, declared_area_ha (hectares), attributes; what is missing is empty.
    version : that was looked at; 0 where there must be no such member; None for whatever is there.

    Raises
    ------
    ChangedError : another version stands there. NotFoundError : no such cooperative within reach.
    TextError, NumberError : a value cannot be kept.
    """
    locked_cooperative(tx, cooperative_id)
    member_id = given_text(member_id, "member id", least=1)
    found = tx.first(_joined(cooperative_id).where(table.c.member_id == member_id))
    old = None if found is None else dict(found)
    if version is not None and version != (0 if old is None else old["version"]):
        raise ChangedError("The member was changed by somebody else.", todo="Look at it again.")
    new = given_member(values)
    if old is None:
        _add(tx, cooperative_id, [{"member_id": member_id, **new}], import_id=None)
    elif not _is_equal(old, new):
        _change(tx, cooperative_id, old, new, import_id=None)
    return member(tx, cooperative_id, member_id)


def write_members(
    tx: Transaction, cooperative_id: str, rows: Sequence[Mapping[str, Any]], *, import_id: str, replace: bool
) -> dict[str, int]:
    """How many members were added, changed, unchanged and removed; the caller holds the cooperative's lock.

    Parameters
    ----------
    rows : member_id and the values of `given_member`. A phone that the file has no column for stays.
    replace : members whom the rows do not name go.
    """
    known = {row["member_id"]: dict(row) for row in tx.fetch(_joined(cooperative_id))}
    new = [row for row in rows if row["member_id"] not in known]
    same = 0
    for row in rows:
        old = known.get(row["member_id"])
        if old is None:
            continue
        values = {name: row.get(name, old[name]) for name in (*_OWN, *_PEOPLE)}
        if _is_equal(old, values):
            same += 1
        else:
            _change(tx, cooperative_id, old, values, import_id=import_id)
    _add(tx, cooperative_id, new, import_id=import_id)
    gone = sorted(set(known) - {row["member_id"] for row in rows}) if replace else []
    for start in range(0, len(gone), _AT_ONCE):
        which = gone[start : start + _AT_ONCE]
        tx.delete(people, people.c.cooperative_id == cooperative_id, people.c.member_id.in_(which))
        tx.delete(table, table.c.cooperative_id == cooperative_id, table.c.member_id.in_(which))
    changed = len(rows) - len(new) - same
    return {"added": len(new), "changed": changed, "unchanged": same, "removed": len(gone)}


def given_member(values: Mapping[str, Any]) -> Row:
    """Values of a member as the store keeps them; see `put_member`."""
    texts = {name: given_text(values.get(name) or "", name) for name in ("community", *_PEOPLE)}
    area = given_number(values.get("declared_area_ha"), "declared_area_ha")
    return {**texts, "declared_area_ha": area, "attributes": given_cells(values.get("attributes") or {})}


def record_consent(tx: Transaction, cooperative_id: str, member_id: str, *, purpose: str, given: bool) -> None:
    """Keep that a member agreed to a purpose, or took it back; the last word counts, earlier ones stay.

    Raises
    ------
    NotFoundError : no such member within reach. ValueError : the purpose is none of `PURPOSES`.
    """
    if purpose not in PURPOSES:
        raise ValueError(f"{purpose!r} is none of {', '.join(PURPOSES)}.")
    locked_cooperative(tx, cooperative_id)
    member(tx, cooperative_id, member_id)
    row = {"cooperative_id": cooperative_id, "member_id": member_id, "purpose": purpose, "given": given}
    tx.insert(schema.consents, {**row, "account_id": tx.scope.account_id})


def consents(tx: Transaction, cooperative_id: str, member_id: str) -> list[Row]:
    """What a member agreed to and took back, the latest first."""
    found = select(schema.consents).where(
        schema.consents.c.cooperative_id == cooperative_id, schema.consents.c.member_id == member_id
    )
    return [dict(row) for row in tx.fetch(found.order_by(schema.consents.c.key.desc()))]


def _joined(cooperative_id: str) -> Select[Any]:
    both = table.join(
        people, (people.c.cooperative_id == table.c.cooperative_id) & (people.c.member_id == table.c.member_id)
    )
    return (
        select(table, people.c.name, people.c.phone).select_from(both).where(table.c.cooperative_id == cooperative_id)
    )


def _is_equal(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return all(old[name] == new[name] for name in (*_OWN, *_PEOPLE))


def _add(tx: Transaction, cooperative_id: str, rows: Sequence[Mapping[str, Any]], *, import_id: str | None) -> None:
    ids = [{"cooperative_id": cooperative_id, "member_id": row["member_id"]} for row in rows]
    own = [{name: row[name] for name in _OWN} | {"import_id": import_id} for row in rows]
    tx.insert(table, [one | values for one, values in zip(ids, own, strict=True)])
    names = [{name: row.get(name, "") for name in _PEOPLE} for row in rows]
    tx.insert(people, [one | values for one, values in zip(ids, names, strict=True)])


def _change(
    tx: Transaction, cooperative_id: str, old: Mapping[str, Any], new: Mapping[str, Any], *, import_id: str | None
) -> None:
    own = {name: new[name] for name in _OWN} | {"version": old["version"] + 1, "import_id": import_id}
    tx.update(table, own, table.c.cooperative_id == cooperative_id, table.c.member_id == old["member_id"])
    names = {name: new[name] for name in _PEOPLE}
    tx.update(people, names, people.c.cooperative_id == cooperative_id, people.c.member_id == old["member_id"])
