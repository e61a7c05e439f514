"""The plots beside a map: each with its member, its kilograms, its findings, and where it lies."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from api.pages.bring import SEVERITIES
from api.veil import AT_ONCE, walked
from geomap.store import schema
from geomap.store.members import members
from geomap.store.scope import Transaction

if TYPE_CHECKING:
    from geomap.outputs.tiles import TileIndex

Row = dict[str, Any]
GRADES: Final = ("", "note", "warn", "block")
_LONG: Final = {"p10_kg": "potential_p10_kg", "p90_kg": "potential_p90_kg"}
_NEAREST: Final = 19
_NUMBERS: Final = ("potential_kg", "potential_p10_kg", "potential_p90_kg")


def office_rows(tx: Transaction, cooperative_id: str, run_id: str | None) -> list[Row]:
    """All plots as they stand today, or of a run, with the names of today; without outlines."""
    people = {
        one["member_id"]: one
        for one in walked(lambda after: members(tx, cooperative_id, after=after, limit=AT_ONCE), "", "member_id")
    }
    rows = _today(tx, cooperative_id) if run_id is None else _of_run(tx, cooperative_id, run_id)
    for row in rows:
        person = people.get(row["member_id"], {})
        row["name"] = person.get("name", "")
        row["community"] = row["community"] or person.get("community", "")
    return rows


def _today(tx: Transaction, cooperative_id: str) -> list[Row]:
    plots = schema.plots
    columns = (plots.c.plot_id, plots.c.member_id, plots.c.community, plots.c.area_ha)
    found = select(*columns).where(plots.c.cooperative_id == cooperative_id, plots.c.ended_at.is_(None))
    return [dict(row) for row in tx.fetch(found)]


def _of_run(tx: Transaction, cooperative_id: str, run_id: str) -> list[Row]:
    plots = schema.run_plots
    found = select(plots.c.plot_id, plots.c.member_id, plots.c.cells).where(
        plots.c.cooperative_id == cooperative_id, plots.c.run_id == run_id
    )
    return [_run_row(dict(row), community=row["cells"].get("community") or "") for row in tx.fetch(found)]


def _run_row(row: Mapping[str, Any], *, community: str) -> Row:
    cells = row["cells"]
    numbers = {name: cells.get(name) for name in _NUMBERS}
    return {"plot_id": row["plot_id"], "member_id": row["member_id"], "community": community,
            "area_ha": cells.get("area_ha"), **numbers}  # fmt: skip


def analyst_rows(index: "TileIndex") -> list[Row]:
    """The plots that an analyst may see, as the map has them: under pseudonyms, without name and community."""
    ids = {name: texts.to_pylist() for name, texts in index.ids.items()}
    values = {_LONG.get(name, name): numbers.tolist() for name, numbers in index.values.items()}
    graded = [GRADES[grade] for grade in index.finding.tolist()]
    return [
        {
            "plot_id": ids["plot_id"][row],
            "member_id": ids["member_id"][row],
            "name": "",
            "community": "",
            **{name: None if math.isnan(numbers[row]) else numbers[row] for name, numbers in values.items()},
            "worst": graded[row],
            "findings": 1 if graded[row] else 0,
            "row": row,
        }
        for row in range(len(index))
    ]


def places_of(index: "TileIndex", rows: Sequence[Row]) -> list[Row]:
    """Rows of `analyst_rows` with their `place`."""
    import numpy as np

    from geomap.outputs.tiles import degrees

    found = []
    for row in rows:
        west, north, east, south = index.box[row["row"]].tolist()
        (left, top), (right, bottom) = degrees(west, north), degrees(east, south)
        point = index.shapes(np.array([row["row"]]))[0].representative_point()
        found.append({**row, "place": [*_rounded(*degrees(point.x, point.y)), _zoom(max(right - left, top - bottom))]})
    return found


def findings_of_today(
    tx: Transaction, cooperative_id: str, ids: Sequence[str] | None = None
) -> list[Mapping[str, Any]]:
    """Of each plot, what was found when the version that stands today was brought; of these plots, or of all."""
    table, plots = schema.import_findings, schema.plots
    both = table.join(
        plots,
        (plots.c.cooperative_id == table.c.cooperative_id)
        & (plots.c.plot_id == table.c.plot_id)
        & (plots.c.import_id == table.c.import_id),
    )
    columns = (table.c.plot_id, table.c.code, table.c.severity, table.c.effect_ha, table.c.effect_kg)
    found = select(*columns).select_from(both)
    found = found.where(table.c.cooperative_id == cooperative_id, plots.c.ended_at.is_(None)).order_by(table.c.key)
    return [dict(row) for row in tx.fetch(found if ids is None else found.where(table.c.plot_id.in_(ids)))]


def with_findings(rows: Sequence[Row], findings: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows with `worst` ("" for none) and `findings`, how many a plot has."""
    worst: dict[str, int] = {}
    count: dict[str, int] = {}
    for one in findings:
        plot_id, severity = one["plot_id"], SEVERITIES.index(one["severity"])
        worst[plot_id] = min(severity, worst.get(plot_id, severity))
        count[plot_id] = count.get(plot_id, 0) + 1
    of = {plot_id: {"worst": SEVERITIES[grade], "findings": count[plot_id]} for plot_id, grade in worst.items()}
    return [{**row, **of.get(row["plot_id"], {"worst": "", "findings": 0})} for row in rows]


def kept(rows: Sequence[Row], search: str, *, sort: str, down: bool) -> list[Row]:
    """The rows that hold the searched text, in their order; what is not known comes last either way."""
    wanted = search.strip().casefold()
    found = [
        row
        for row in rows
        if wanted in f"{row['plot_id']} {row['member_id']} {row['name']} {row['community']}".casefold()
    ]
    known = [row for row in found if _key(row, sort) is not None]
    known.sort(key=lambda row: row["plot_id"])
    known.sort(key=lambda row: _key(row, sort), reverse=down)
    return known + sorted((row for row in found if _key(row, sort) is None), key=lambda row: row["plot_id"])


def _key(row: Row, sort: str) -> Any:
    if sort == "findings":
        return (-SEVERITIES.index(row["worst"]), row["findings"]) if row["worst"] else None
    if sort in ("ha", "kg"):
        return row.get("area_ha" if sort == "ha" else "potential_kg")
    texts = {"member": row["name"] or row["member_id"], "community": row["community"], "plot": row["plot_id"]}
    return texts[sort].casefold() or None


def with_places(tx: Transaction, cooperative_id: str, run_id: str | None, rows: Sequence[Row]) -> list[Row]:
    """The rows with `place`: longitude, latitude and the zoom that shows the plot; None for a plot without a shape."""
    ids = [row["plot_id"] for row in rows]
    table = schema.plots if run_id is None else schema.run_plots
    found = select(table.c.plot_id, table.c.geometry).where(
        table.c.cooperative_id == cooperative_id, table.c.plot_id.in_(ids)
    )
    which = table.c.ended_at.is_(None) if run_id is None else table.c.run_id == run_id
    shapes = {row["plot_id"]: row["geometry"] for row in map(dict, tx.fetch(found.where(which)))}
    return [{**row, "place": place_of(shapes.get(row["plot_id"]))} for row in rows]


def place_of(wkb: bytes | None) -> list[float] | None:
    """Longitude and latitude of a place on the shape, and a zoom at which it fills about a third of a phone.

    Examples
    --------
    >>> import shapely
    >>> place_of(shapely.to_wkb(shapely.Point(-88.82, 14.66)))
    [-88.82, 14.66, 17]
    """
    if wkb is None:
        return None
    import shapely

    shape = shapely.from_wkb(bytes(wkb))
    if shape.is_empty:
        return None
    west, south, east, north = shape.bounds
    point = (shape if shape.is_valid else shape.convex_hull).representative_point()
    return [*_rounded(point.x, point.y), _zoom(max(east - west, north - south))]


def _rounded(lon: float, lat: float) -> tuple[float, float]:
    return round(lon, 6), round(lat, 6)


def _zoom(size: float) -> int:
    """The zoom at which so many degrees are about 120 pixels."""
    return 17 if size == 0 else max(3, min(math.floor(math.log2(120 * 360 / 256 / size)), _NEAREST))


def outline_of(wkb: bytes | None) -> dict[str, Any] | None:
    """The shape as GeoJSON; None where there is none."""
    if wkb is None:
        return None
    import shapely

    shape: dict[str, Any] = json.loads(shapely.to_geojson(shapely.from_wkb(bytes(wkb))))
    return shape
