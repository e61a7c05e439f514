"""Some plots beside a map: each with its member, its kilograms, its findings, and where it lies."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from api.pages.bring import SEVERITIES
from api.veil import AT_ONCE, walked
from geomap.store import schema
from geomap.store.runs import run_rows
from geomap.store.scope import Transaction

if TYPE_CHECKING:
    from geomap.outputs.tiles import TileIndex

Row = dict[str, Any]
_NEAREST: Final = 19
_NUMBERS: Final = ("area_ha", "potential_kg", "potential_p10_kg", "potential_p90_kg")


def plots_of(tx: Transaction, cooperative_id: str, run_id: str, ids: Sequence[str]) -> list[Row]:
    """These plots in this order, as they stand today or (`run_id`) of a run, with the names of today.

    Each has name, community, `worst` ("" for none) and `findings` (how many it has), and `place`: longitude, latitude
    and the zoom that shows the plot; None for a plot without a shape. A plot that is not there is left out.
    """
    table = schema.run_plots if run_id else schema.plots
    which = table.c.run_id == run_id if run_id else table.c.ended_at.is_(None)
    more = (table.c.cells,) if run_id else (table.c.community, table.c.area_ha)
    asked = select(table.c.plot_id, table.c.member_id, table.c.geometry, *more)
    found = tx.fetch(asked.where(table.c.cooperative_id == cooperative_id, table.c.plot_id.in_(ids), which))
    rows = {row["plot_id"]: _row(dict(row)) for row in found}
    people = people_of(tx, cooperative_id, sorted({row["member_id"] for row in rows.values()}))
    for row in rows.values():
        person = people.get(row["member_id"], {"name": "", "community": ""})
        row |= {"name": person["name"], "community": row["community"] or person["community"]}
    found_on = graded(findings_of(tx, cooperative_id, run_id, ids))
    for plot_id, row in rows.items():
        grade, count = found_on.get(plot_id, (0, 0))
        row |= {"worst": SEVERITIES[-grade] if count else "", "findings": count}
    return [rows[one] for one in ids if one in rows]


def _row(row: Mapping[str, Any]) -> Row:
    """A plot of the store; what a run knows of it stands in its cells."""
    cells = row.get("cells") or row
    numbers = {name: cells.get(name) for name in _NUMBERS}
    own = {"plot_id": row["plot_id"], "member_id": row["member_id"], "community": cells.get("community") or ""}
    return {**own, **numbers, "place": place_of(row["geometry"])}


def people_of(tx: Transaction, cooperative_id: str, ids: Sequence[str] | None = None) -> dict[str, dict[str, str]]:
    """Member → name and community; of these members, or of all."""
    people, own = schema.member_people, schema.members
    both = own.join(people, (people.c.cooperative_id == own.c.cooperative_id) & (people.c.member_id == own.c.member_id))
    found = select(own.c.member_id, own.c.community, people.c.name).select_from(both)
    found = found.where(own.c.cooperative_id == cooperative_id)
    rows = tx.fetch(found if ids is None else found.where(own.c.member_id.in_(ids)))
    return {row["member_id"]: {"name": row["name"], "community": row["community"]} for row in rows}


def findings_of(
    tx: Transaction, cooperative_id: str, run_id: str, ids: Sequence[str] | None = None
) -> Iterable[Mapping[str, Any]]:
    """Findings of a run, or (`run_id` "") of the plots as they stand today; of these plots, or of all."""
    return _of_run(tx, cooperative_id, run_id, ids) if run_id else _of_today(tx, cooperative_id, ids)


def _of_run(
    tx: Transaction, cooperative_id: str, run_id: str, ids: Sequence[str] | None
) -> Iterator[Mapping[str, Any]]:
    def part(after: int) -> Sequence[Mapping[str, Any]]:
        return run_rows(tx, cooperative_id, run_id, "findings", after=after, limit=AT_ONCE, ids=ids)

    return (row["cells"] for row in walked(part, -1, "position"))


def _of_today(tx: Transaction, cooperative_id: str, ids: Sequence[str] | None) -> Sequence[Mapping[str, Any]]:
    """Of each plot, what was found when the version that stands today was brought."""
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
    return [dict(row) for row in tx.fetch(found if ids is None else found.where(plots.c.plot_id.in_(ids)))]


def graded(findings: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Plot → how grave its gravest finding is, the graver the higher, and how many it has."""
    found: dict[str, tuple[int, int]] = {}
    for one in findings:
        grade, count = found.get(one["plot_id"], (-len(SEVERITIES), 0))
        found[one["plot_id"]] = max(grade, -SEVERITIES.index(one["severity"])), count + 1
    return found


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


def place_in(index: "TileIndex", row: int) -> list[float]:
    """The same of a row of the map's own index."""
    import numpy as np

    from geomap.outputs.tiles import degrees

    west, north, east, south = index.box[row].tolist()
    (left, top), (right, bottom) = degrees(west, north), degrees(east, south)
    point = index.shapes(np.array([row]))[0].representative_point()
    return [*_rounded(*degrees(point.x, point.y)), _zoom(max(right - left, top - bottom))]


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
