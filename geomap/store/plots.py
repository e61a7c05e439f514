"""Plots of a cooperative, version by version; what stands today is the version that has not ended."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, Select, func, select

from geomap.store.cooperatives import locked_cooperative
from geomap.store.errors import ChangedError, NotFoundError
from geomap.store.given import digest, given_cells, given_number, given_shape, given_text
from geomap.store.schema import plot_places as places
from geomap.store.schema import plots as table
from geomap.store.scope import Transaction
from geomap.store.types import now

Row = dict[str, Any]
Box = tuple[float, float, float, float]
TEXTS: Final = ("member_id", "community", "crop")
NUMBERS: Final = ("declared_area_ha", "gps_accuracy_m")
GIVEN: Final = (*TEXTS, *NUMBERS, "attributes", "geometry")
"""What makes a version; another value of one of these is another version."""
_AT_ONCE: Final = 5_000


def current_plots(
    tx: Transaction, cooperative_id: str, *, after: str = "", limit: int = 100, box: Box | None = None
) -> list[Row]:
    """Plots as they stand today, by id.

    Parameters
    ----------
    box : west, south, east, north in degrees; plots that touch it. One across the antimeridian is not understood.
    """
    if box is None:
        return [dict(row) for row in tx.fetch(_current(cooperative_id, after).limit(limit))]
    import numpy as np
    import shapely

    found: list[Row] = []
    area = shapely.box(*box)
    while len(found) < limit:
        near = [dict(row) for row in tx.fetch(_near(tx, _current(cooperative_id, after), box).limit(limit))]
        with np.errstate(invalid="ignore"):  # corners that are no number touch nothing
            inside = shapely.intersects(shapely.from_wkb([row["geometry"] for row in near]), area)
        found += [row for row, is_inside in zip(near, inside, strict=True) if is_inside]
        if len(near) < limit:
            break
        after = near[-1]["plot_id"]
    return found[:limit]


def plot(tx: Transaction, cooperative_id: str, plot_id: str) -> Row:
    """A plot as it stands today.

    Raises
    ------
    NotFoundError : missing, ended, or out of reach.
    """
    row = tx.first(_current(cooperative_id).where(table.c.plot_id == plot_id))
    if row is None:
        raise NotFoundError("There is no such plot.")
    return dict(row)


def plot_history(tx: Transaction, cooperative_id: str, plot_id: str, *, limit: int = 100) -> list[Row]:
    """All versions of a plot, the latest first; also of one that ended.

    Raises
    ------
    NotFoundError : there never was one, or out of reach.
    """
    found = select(table).where(table.c.cooperative_id == cooperative_id, table.c.plot_id == plot_id)
    rows = [dict(row) for row in tx.fetch(found.order_by(table.c.version.desc()).limit(limit))]
    if not rows:
        raise NotFoundError("There is no such plot.")
    return rows


def put_plot(
    tx: Transaction,
    cooperative_id: str,
    plot_id: str,
    given: Mapping[str, Any],
    *,
    version: int | None = None,
    import_id: str | None = None,
) -> Row:
    """The plot after it was added or replaced; equal values are no new version.

    Parameters
    ----------
    given : member_id, community, crop, declared_area_ha (hectares), gps_accuracy_m (metres), attributes, and geometry:
        WKB in longitude and latitude, or None. What is missing is empty.
    version : that was looked at; 0 where there must be no such plot; None for whatever is there.

    Raises
    ------
    ChangedError : another version stands there. NotFoundError : no such cooperative within reach.
    TextError, NumberError, ShapeError : a value cannot be kept.
    """
    locked_cooperative(tx, cooperative_id)
    plot_id = given_text(plot_id, "plot id", least=1)
    _require_version(tx, cooperative_id, plot_id, version)
    row = {
        "plot_id": plot_id,
        **{name: given_text(given.get(name) or "", name) for name in TEXTS},
        **{name: given_number(given.get(name), name) for name in NUMBERS},
        "attributes": given_cells(given.get("attributes") or {}),
        "geometry": given_shape(given.get("geometry")),
    }
    write_plots(tx, cooperative_id, [row], import_id=import_id, replace=False)
    return plot(tx, cooperative_id, plot_id)


def end_plot(tx: Transaction, cooperative_id: str, plot_id: str, *, version: int | None = None) -> None:
    """End a plot: it is in no list and no run from now on; its history stays.

    Raises
    ------
    ChangedError : another version stands there. NotFoundError : no such plot within reach.
    """
    locked_cooperative(tx, cooperative_id)
    old = plot(tx, cooperative_id, plot_id)
    if version not in (None, old["version"]):
        raise _changed()
    _end(tx, cooperative_id, [old["key"]])


def write_plots(
    tx: Transaction, cooperative_id: str, rows: Sequence[Mapping[str, Any]], *, import_id: str | None, replace: bool
) -> dict[str, int]:
    """How many plots were added, changed, unchanged and removed; the caller holds the cooperative's lock.

    Parameters
    ----------
    rows : plot_id (each once) and what `GIVEN` names.
    replace : plots that the rows do not name end.
    """
    known = _known(tx, cooperative_id, None if len(rows) > 1 or replace else rows[0]["plot_id"])
    hashes = [_sha256(row) for row in rows]
    fresh = [
        (row, sha256)
        for row, sha256 in zip(rows, hashes, strict=True)
        if row["plot_id"] not in known or known[row["plot_id"]]["sha256"] != sha256
    ]
    changed = [known[row["plot_id"]]["key"] for row, _ in fresh if row["plot_id"] in known]
    named = {row["plot_id"] for row in rows}
    gone = [one["key"] for plot_id, one in known.items() if plot_id not in named] if replace else []
    versions = _versions(tx, cooperative_id, [row["plot_id"] for row, _ in fresh])
    _end(tx, cooperative_id, [*changed, *gone])
    areas = _areas_ha([row["geometry"] for row, _ in fresh])
    tx.insert(
        table,
        [
            {
                **{name: row[name] for name in ("plot_id", *GIVEN)},
                "cooperative_id": cooperative_id,
                "version": versions.get(row["plot_id"], 0) + 1,
                "area_ha": area,
                "sha256": sha256,
                "import_id": import_id,
                "account_id": tx.scope.account_id,
            }
            for (row, sha256), area in zip(fresh, areas, strict=True)
        ],
    )
    _place(tx, cooperative_id, {row["plot_id"]: row["geometry"] for row, _ in fresh})
    return {
        "added": len(fresh) - len(changed),
        "changed": len(changed),
        "unchanged": len(rows) - len(fresh),
        "removed": len(gone),
    }


def _current(cooperative_id: str, after: str = "") -> Select[Any]:
    found = select(table).where(table.c.cooperative_id == cooperative_id, table.c.ended_at.is_(None))
    return found.where(table.c.plot_id > after).order_by(table.c.plot_id)


def _near(tx: Transaction, found: Select[Any], box: Box) -> Select[Any]:
    """Only plots whose own box touches `box`: all that lie in it, and some beside it."""
    west, south, east, north = box
    if tx.dialect == "postgresql":
        corners: ColumnElement[Any] = func.ST_MakeEnvelope(west, south, east, north, 4326)
        return found.where(table.c.geometry.op("&&", return_type=Boolean())(corners))
    return found.select_from(table.join(places, places.c.key == table.c.key)).where(
        places.c.west <= east, places.c.east >= west, places.c.south <= north, places.c.north >= south
    )


def _known(tx: Transaction, cooperative_id: str, plot_id: str | None) -> dict[str, Any]:
    """Key and hash of each plot that stands today, or of the one."""
    found = select(table.c.plot_id, table.c.key, table.c.sha256).where(
        table.c.cooperative_id == cooperative_id, table.c.ended_at.is_(None)
    )
    return {
        row["plot_id"]: row for row in tx.fetch(found if plot_id is None else found.where(table.c.plot_id == plot_id))
    }


def _versions(tx: Transaction, cooperative_id: str, plot_ids: Sequence[str]) -> dict[str, int]:
    """The highest version of each of these plots, ended ones too."""
    found: dict[str, int] = {}
    for some in _parts(plot_ids):
        latest = select(table.c.plot_id, func.max(table.c.version).label("version"))
        latest = latest.where(table.c.cooperative_id == cooperative_id, table.c.plot_id.in_(some))
        found |= {row["plot_id"]: row["version"] for row in tx.fetch(latest.group_by(table.c.plot_id))}
    return found


def _require_version(tx: Transaction, cooperative_id: str, plot_id: str, version: int | None) -> None:
    if version is None:
        return
    found = tx.first(_current(cooperative_id).where(table.c.plot_id == plot_id))
    if version != (0 if found is None else found["version"]):
        raise _changed()


def _changed() -> ChangedError:
    return ChangedError("The plot was changed by somebody else.", todo="Look at it again.")


def _end(tx: Transaction, cooperative_id: str, keys: Sequence[int]) -> None:
    for some in _parts(keys):
        tx.update(table, {"ended_at": now()}, table.c.cooperative_id == cooperative_id, table.c.key.in_(some))
        if tx.dialect == "sqlite":
            tx.delete(places, places.c.key.in_(some))


def _place(tx: Transaction, cooperative_id: str, shapes: Mapping[str, bytes | None]) -> None:
    """Put plots that were just added into the index of places; PostGIS keeps its own."""
    if tx.dialect != "sqlite":
        return
    import numpy as np
    import shapely

    boxes = shapely.bounds(shapely.from_wkb(list(shapes.values()))).reshape(-1, 4)
    box_of = {plot_id: box for plot_id, box in zip(shapes, boxes.tolist(), strict=True) if not np.isnan(box).any()}
    for some in _parts(list(box_of)):
        keys = select(table.c.key, table.c.plot_id).where(
            table.c.cooperative_id == cooperative_id, table.c.ended_at.is_(None), table.c.plot_id.in_(some)
        )
        tx.insert(
            places,
            [
                {
                    "key": row["key"],
                    **dict(zip(("west", "south", "east", "north"), box_of[row["plot_id"]], strict=True)),
                }
                for row in tx.fetch(keys)
            ],
        )


def _areas_ha(shapes: Iterable[bytes | None]) -> list[float | None]:
    """Geodesic area of each outline; None where it has none."""
    import numpy as np
    import shapely

    from geomap.plots.area import area_ha

    with np.errstate(over="ignore", invalid="ignore"):
        areas = area_ha(np.asarray(shapely.from_wkb(list(shapes)), dtype=object).reshape(-1))
    return [float(area) if math.isfinite(area) else None for area in areas]


def _sha256(row: Mapping[str, Any]) -> str:
    shape = row["geometry"]
    return digest({**{name: row[name] for name in GIVEN[:-1]}, "geometry": None if shape is None else shape.hex()})


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """So many that a statement can name them."""
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
