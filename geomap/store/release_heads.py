"""The last release of each cooperative within reach, without its tables: for lists of many cooperatives."""

from typing import Any, Final

from sqlalchemy import ColumnElement, select

from geomap.store.schema import releases as _releases
from geomap.store.scope import Transaction

Row = dict[str, Any]
_AT_ONCE: Final = 500
_TOLD: Final = ("cooperative", "country", "crop", "form", "season", "date", "quantity", "totals", "unit")


def release_heads(tx: Transaction) -> list[Row]:
    """Ids, number and the head of each cooperative's last release that was not withdrawn, by cooperative.

    Returns
    -------
    list : cooperative_id, release_id, number; of its content cooperative (code, name), country, crop, form, season,
        date, quantity, totals, unit; members (members, members_mapped; None where they stay with the office).
    """
    stands = (_releases.c.withdrawn_at.is_(None),)
    light = select(_releases.c.cooperative_id, _releases.c.release_id).where(*stands).order_by(_releases.c.number)
    last = {row["cooperative_id"]: row["release_id"] for row in tx.fetch(light)}
    wanted = [release_id for _, release_id in sorted(last.items())]
    content = _releases.c.content
    columns: list[ColumnElement[Any]] = [_releases.c[name] for name in ("cooperative_id", "release_id", "number")]
    columns += [content[name].label(name) for name in _TOLD]
    columns += [content[("signed", "members")].label("members")]
    found: list[Row] = []
    for first in range(0, len(wanted), _AT_ONCE):
        some = select(*columns).where(_releases.c.release_id.in_(wanted[first : first + _AT_ONCE]), *stands)
        found += [dict(row) for row in tx.fetch(some)]
    return sorted(found, key=lambda row: str(row["cooperative_id"]))
