"""Releases: what a cooperative signs of a run, and what buyers may see of it.

A release is judged by the one before it, also where that was withdrawn: whoever saw it remembers it. What it is judged
by stands in a table of its own, which buyers cannot read. A release is never changed; it can be withdrawn.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import select

from geomap.store import audit, schema
from geomap.store.cooperatives import cooperative, locked_cooperative
from geomap.store.errors import ConflictError, NotFoundError
from geomap.store.ids import new_id
from geomap.store.release_run import StoredRun, stored_run
from geomap.store.release_signed import Section, signed
from geomap.store.schema import OFFICE
from geomap.store.schema import releases as _releases
from geomap.store.scope import Transaction, clock
from geomap.store.types import now
from geomap.supply.disclosure import MIN_MEMBERS
from geomap.supply.releases import Quantity, Release, from_basis, release_tables, to_basis, to_public

Row = dict[str, Any]
_LIGHT: Final = tuple(column for column in _releases.c if column.name != "content")
_AT_ONCE: Final = 500
_OWN: Final = ("number", "date")
"""What of the content differs between two releases of the same run."""


@dataclass(frozen=True)
class Draft:
    """What an office wants to release of a run.

    Attributes
    ----------
    by : attributes that the run was summed by, or community.
    date : ISO date; None: the day of signing by the database's clock.
    new_line : judge it by nothing that was released before. Whoever saw that can put both beside each other.
    leave_out : signed sections that stay with the office.
    unit : what buyers count in: kind, size_kg, form, kg (of the run's form), container_bags.
    exportable : how the run's form leads to exportable green: form, factor, told, source, support.
    """

    run_id: str
    quantity: Quantity = "potential"
    by: Sequence[str] = ()
    date: str | None = None
    min_members: int = MIN_MEMBERS
    new_line: bool = False
    leave_out: Collection[Section] = ()
    unit: Mapping[str, Any] | None = None
    exportable: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Preview:
    """A release as it would be signed.

    Attributes
    ----------
    content : all that a buyer would see.
    changed : members who joined, left or changed since the release before; None where there is none.
    differences : signed totals less those of the release before, kg; what anyone can work out who sees both.
    warnings : what to think of before signing, in words.
    repeats : id of the last release where this one would say the same; nothing new would be signed.
    """

    content: Row
    changed: int | None
    differences: Mapping[str, float]
    warnings: Sequence[str]
    repeats: str | None


def preview(tx: Transaction, cooperative_id: str, draft: Draft) -> Preview:
    """What would be released, and what it would tell beside the release before; nothing is written.

    Raises
    ------
    NotFoundError : no such run of the cooperative within reach. UnknownNameError, ConflictError : of `stored_run`.
    NumberError : the release before is of another quantity or threshold.
    """
    return _draw(tx, cooperative_id, draft)[0]


def sign(
    tx: Transaction, cooperative_id: str, draft: Draft, *, signed_by: str, note: str = ""
) -> tuple[Row, Preview, bool]:
    """The release, what `preview` says of it, and whether it is new: the same release of a run is signed once.

    Parameters
    ----------
    signed_by : who signs for the cooperative; for the office alone. note : for buyers.

    Raises
    ------
    As `preview`.
    """
    locked_cooperative(tx, cooperative_id)  # numbers count up, and each is judged by the one before
    shown, made = _draw(tx, cooperative_id, draft)
    if shown.repeats is not None:
        return release(tx, cooperative_id, shown.repeats), shown, False
    release_id = new_id()
    own = {"release_id": release_id, "cooperative_id": cooperative_id}
    row = {
        "run_id": draft.run_id,
        "number": shown.content["number"],
        "season": shown.content["season"],
        "content": shown.content,
        "note": note,
        "signed_by": signed_by,
        "account_id": tx.scope.account_id,
    }
    tx.insert(_releases, own | row)
    tx.insert(schema.release_bases, own | {"basis": to_basis(made)})
    audit.record(tx, "releases.add", cooperative_id=cooperative_id, object=release_id)
    return release(tx, cooperative_id, release_id), shown, True


def withdraw(tx: Transaction, cooperative_id: str, release_id: str) -> Row:
    """Show a release to no buyer any more; one that was withdrawn stays as it is. Its number is not used again.

    Raises
    ------
    NotFoundError : there is none within reach.
    """
    release(tx, cooperative_id, release_id)
    of = (_releases.c.cooperative_id == cooperative_id, _releases.c.release_id == release_id)
    if tx.update(_releases, {"withdrawn_at": now()}, *of, _releases.c.withdrawn_at.is_(None)):
        audit.record(tx, "releases.withdraw", cooperative_id=cooperative_id, object=release_id)
    return release(tx, cooperative_id, release_id)


def releases(tx: Transaction, cooperative_id: str, *, after: int = 0, limit: int = 100) -> list[Row]:
    """Releases of a cooperative, the latest first; those that were withdrawn are there for the office alone.

    `after` is the number of the last one of the page before, 0 to begin.
    """
    found = select(_releases).where(*_visible(tx, cooperative_id))
    if after:
        found = found.where(_releases.c.number < after)
    return [dict(row) for row in tx.fetch(found.order_by(_releases.c.number.desc()).limit(limit))]


def release(tx: Transaction, cooperative_id: str, release_id: str) -> Row:
    """One release with its content.

    Raises
    ------
    NotFoundError : missing, out of reach, or withdrawn and asked for by somebody else than the office; told alike.
    """
    row = tx.first(select(_releases).where(*_visible(tx, cooperative_id), _releases.c.release_id == release_id))
    if row is None:
        raise NotFoundError("There is no such release.")
    return dict(row)


def release_before(tx: Transaction, cooperative_id: str, number: int) -> Row | None:
    """The release before the one of this number that was not withdrawn; None where there is none."""
    where = (*_visible(tx, cooperative_id), _releases.c.number < number, _releases.c.withdrawn_at.is_(None))
    row = tx.first(select(_releases).where(*where).order_by(_releases.c.number.desc()))
    return None if row is None else dict(row)


def latest_releases(tx: Transaction) -> list[Row]:
    """The last release of each cooperative within reach that was not withdrawn, by cooperative."""
    light = select(_releases.c.cooperative_id, _releases.c.release_id).where(_releases.c.withdrawn_at.is_(None))
    last = {row["cooperative_id"]: row["release_id"] for row in tx.fetch(light.order_by(_releases.c.number))}
    return release_contents(tx, dict(sorted(last.items())).values())


def release_contents(tx: Transaction, release_ids: Iterable[str]) -> list[Row]:
    """These releases with their content, in the order that was asked for; those out of reach are left out."""
    asked = list(release_ids)
    found: dict[str, Row] = {}
    seen = () if tx.scope.role in OFFICE else (_releases.c.withdrawn_at.is_(None),)
    for first in range(0, len(asked), _AT_ONCE):
        some = select(_releases).where(_releases.c.release_id.in_(asked[first : first + _AT_ONCE]), *seen)
        found |= {row["release_id"]: dict(row) for row in tx.fetch(some)}
    return [found[one] for one in asked if one in found]


def _visible(tx: Transaction, cooperative_id: str) -> list[Any]:
    where = [_releases.c.cooperative_id == cooperative_id]
    return where if tx.scope.role in OFFICE else [*where, _releases.c.withdrawn_at.is_(None)]


def _draw(tx: Transaction, cooperative_id: str, draft: Draft) -> tuple[Preview, Release]:
    owner = cooperative(tx, cooperative_id)
    source = stored_run(tx, cooperative_id, owner["code"], draft.run_id, by=draft.by, quantity=draft.quantity)
    last = _last(tx, cooperative_id)
    before = None if draft.new_line or last is None else _judged_by(tx, cooperative_id, last["release_id"])
    made = release_tables(
        source.parts,
        source.members,
        source.total,
        date=draft.date or datetime.fromtimestamp(clock(tx), UTC).date().isoformat(),
        months=source.months,
        points=source.points,
        previous=before,
        quantity=draft.quantity,
        min_members=draft.min_members,
    )
    content = _content(tx, owner, draft, source, made, number=1 + (last["number"] if last else 0))
    differences = {} if last is None else _differences(last["content"]["totals"], content["totals"])
    warnings = _warnings(draft, made, None if last is None else last["number"], differences)
    shown = Preview(content, made.basis.changed, differences, warnings, _repeated(last, draft, content))
    return shown, made


def _last(tx: Transaction, cooperative_id: str) -> Row | None:
    of = _releases.c.cooperative_id == cooperative_id
    row = tx.first(select(_releases).where(of).order_by(_releases.c.number.desc()))
    return None if row is None else dict(row)


def _judged_by(tx: Transaction, cooperative_id: str, release_id: str) -> Release:
    table = schema.release_bases
    of = (table.c.cooperative_id == cooperative_id, table.c.release_id == release_id)
    row = tx.first(select(table.c.basis).where(*of))
    if row is None:
        raise ConflictError(
            "The release before has lost what the next one is judged by.", todo="Restore it, or begin a new line."
        )
    return from_basis(row["basis"])


def _content(tx: Transaction, owner: Row, draft: Draft, source: StoredRun, made: Release, *, number: int) -> Row:
    parameters = source.run["parameters"]
    return {
        **to_public(made),
        "number": number,
        "cooperative": {name: owner[name] for name in ("code", "name")},
        "country": parameters.get("country") or owner["country"],
        **{name: source.run[name] for name in ("crop", "form", "season")},
        "unit": None if draft.unit is None else dict(draft.unit),
        "exportable": None if draft.exportable is None else dict(draft.exportable),
        "signed": signed(tx, source, leave_out=draft.leave_out),
    }


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, float]:
    """What the signed means moved, kg."""
    names = [f"{quantity}_kg" for quantity in ("potential", "supply")]
    known = [name for name in names if before.get(name) is not None and now.get(name) is not None]
    return {name: math.fsum([now[name], -before[name]]) for name in known}


def _repeated(last: Row | None, draft: Draft, content: Row) -> str | None:
    if last is None or last["withdrawn_at"] is not None or last["run_id"] != draft.run_id:
        return None
    same = {name: value for name, value in content.items() if name not in _OWN}
    earlier = {name: value for name, value in last["content"].items() if name not in _OWN}
    return str(last["release_id"]) if same == earlier else None


def _warnings(draft: Draft, made: Release, last: int | None, differences: Mapping[str, float]) -> list[str]:
    """What the office should know before it signs."""
    told = []
    changed, moved = made.basis.changed, differences.get(f"{draft.quantity}_kg", 0.0)
    if changed and moved and changed < made.min_members:
        who = "One member" if changed == 1 else f"{changed} members"
        alone = "that is the one member's own" if changed == 1 else "that is theirs together"
        told.append(
            f"{who} joined, left or changed by more than a hundredth since release {last}. The signed totals of both"
            f" differ by {moved:,.0f} kg: {alone}, for everyone who sees both. Wait until {made.min_members} changed."
        )
    if draft.new_line and last is not None:
        told.append(
            f"A new line is not judged by the releases up to number {last}. Whoever saw them can put both beside each"
            " other and may learn what single members have."
        )
    if 0 < len(made.basis.members) < 2 * made.min_members:
        told.append("The cooperative is small: all members but one together know the last one from the signed total.")
    return told
