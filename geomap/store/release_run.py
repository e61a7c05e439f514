"""What a release is made of: a stored run as tables of members, plots and signed totals."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from sqlalchemy import select

from geomap.errors import UnknownNameError
from geomap.store import schema
from geomap.store.errors import ConflictError
from geomap.store.runs import run, run_plots, run_rows
from geomap.store.scope import Transaction

Row = dict[str, Any]
COMMUNITY: Final = "community"
QUANTITIES: Final = ("potential", "supply")
_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class StoredRun:
    """One run of one cooperative, as `geomap.supply.releases.release_tables` takes it.

    Attributes
    ----------
    run : the run. total : signed totals: id (code of the cooperative), season, members, members_mapped, kilograms.
    members : member_id, potential_kg, supply_kg and a column of each attribute; members without a plot too.
    parts : attribute → the run's table of it. months : of both quantities.
    points : lon, lat (degrees, WGS84), member_id, potential_kg, supply_kg of plots that have a place.
    """

    run: Row
    total: Row
    members: pd.DataFrame
    parts: Mapping[str, pd.DataFrame]
    months: pd.DataFrame | None
    points: pd.DataFrame


def stored_run(
    tx: Transaction, cooperative_id: str, code: str, run_id: str, *, by: Sequence[str], quantity: str
) -> StoredRun:
    """The run with what is released of it.

    Parameters
    ----------
    by : attributes that the run was summed by, or community.
    quantity : potential or supply.

    Raises
    ------
    NotFoundError : no such run within the scope. UnknownNameError : the run was not summed by an attribute.
    ConflictError : the run holds no such quantity of the cooperative, or a member of it was erased.
    """
    row = run(tx, cooperative_id, run_id)
    _require_summed(row, by)
    totals = {one["id"]: one["cells"] for one in table(tx, row, "cooperatives")}
    if code not in totals or totals[code].get(f"{quantity}_kg") is None:
        raise ConflictError(f"The run holds no {quantity} of the cooperative.", todo="Release another run of it.")
    people = [one["cells"] for one in table(tx, row, "members") if one["cells"]["cooperative_id"] == code]
    if len(people) != totals[code]["members"]:
        raise ConflictError(
            "A member of this run was erased.", why="The sums would tell of that member.", todo="Estimate again."
        )
    plots = list(_every(lambda after: run_plots(tx, cooperative_id, run_id, after=after, limit=_AT_ONCE)))
    months = [one["cells"] for one in table(tx, row, "months") if one["cells"]["cooperative_id"] == code]
    members = _members(people)
    attributes = _attributes(people, plots, by, _told(tx, cooperative_id, by))
    return StoredRun(
        run=row,
        total={**totals[code], "id": code, "season": row["season"]},
        members=members.assign(**attributes),
        parts={name: _part(tx, row, name) for name in by},
        months=pd.DataFrame(months) if months else None,
        points=_points(plots, members, quantity),
    )


def table(tx: Transaction, run_row: Row, name: str) -> Iterator[Row]:
    """All rows of a table of a run: id and cells; none where the run has no such table."""
    if name in run_row["summary"]["stored"]:
        of = (run_row["cooperative_id"], run_row["run_id"], name)
        yield from _every(lambda after: run_rows(tx, *of, after=after, limit=_AT_ONCE))


def _every(read: Callable[[int], list[Row]]) -> Iterator[Row]:
    after = -1
    while rows := read(after):
        yield from rows
        after = rows[-1]["position"]


def _require_summed(row: Row, by: Sequence[str]) -> None:
    known = {COMMUNITY, *(row["parameters"].get("by") or [])}
    if unknown := sorted(set(by) - known):
        raise UnknownNameError(
            f"The run was not summed by {unknown[0]!r}.",
            why="What stands in a release is a part of the run.",
            todo=f"Estimate again with it, or name some of: {', '.join(sorted(known))}.",
        )


def _members(people: Sequence[Row]) -> pd.DataFrame:
    columns = {f"{name}_kg": [cells.get(f"{name}_kg") for cells in people] for name in QUANTITIES}
    ids = pd.Series([cells["id"] for cells in people], dtype="str", name="member_id")
    return pd.concat([ids, pd.DataFrame(columns, dtype=float)], axis=1)


def _told(tx: Transaction, cooperative_id: str, by: Sequence[str]) -> dict[str, Row]:
    """Attributes of members as the office has them today, for members whose plots do not say."""
    if not set(by) - {COMMUNITY}:
        return {}
    of = schema.members.c.cooperative_id == cooperative_id
    rows = tx.fetch(select(schema.members.c.member_id, schema.members.c.attributes).where(of))
    return {row["member_id"]: dict(row["attributes"]) for row in rows}


def _attributes(
    people: Sequence[Row], plots: Sequence[Row], by: Sequence[str], told: Mapping[str, Row]
) -> dict[str, list[str]]:
    """Value of each attribute for each member: where most of the potential of the member's plots stands."""
    found: dict[str, list[str]] = {}
    for name in by:
        own = {cells["id"]: _text(cells.get(name)) or _text(told.get(cells["id"], {}).get(name)) for cells in people}
        weights: dict[str, dict[str, float]] = {}
        for plot in plots:
            member, cells = plot["member_id"], plot["cells"]
            value = _text(cells.get(name)) or own.get(member, "")
            of_member = weights.setdefault(member, {})
            of_member[value] = of_member.get(value, 0.0) + (cells.get("potential_kg") or 0.0)
        most = {member: min(kg, key=lambda value: (-kg[value], value)) for member, kg in weights.items()}
        found[name] = [most.get(cells["id"], own[cells["id"]]) for cells in people]
    return found


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _part(tx: Transaction, row: Row, name: str) -> pd.DataFrame:
    """The run's sums by an attribute, for the widths of intervals; none where no table is surely of it."""
    alike = [column for column in row["parameters"].get("by") or [] if _stem(column) == _stem(name)]
    rows = [one["cells"] for one in table(tx, row, f"by_{_stem(name)}")] if alike == [name] else []
    return pd.DataFrame(rows) if rows else pd.DataFrame({"id": []})


def _stem(column: str) -> str:
    """How the table of an attribute is named in a run."""
    return re.sub(r"[^\w-]", "_", column)[:60]


def _points(plots: Sequence[Row], members: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Where plots are; without those of members who have less in all, as of a plot that several share."""
    import shapely

    rows = [plot for plot in plots if plot["geometry"] is not None]
    middle = shapely.centroid(shapely.from_wkb([bytes(plot["geometry"]) for plot in rows]))
    points = pd.DataFrame({
        "member_id": pd.Series([plot["member_id"] for plot in rows], dtype="str"),
        "lon": shapely.get_x(middle),
        "lat": shapely.get_y(middle),
        **{f"{name}_kg": [plot["cells"].get(f"{name}_kg") for plot in rows] for name in QUANTITIES},
    }).astype({f"{name}_kg": float for name in QUANTITIES})  # fmt: skip
    kg = f"{quantity}_kg"
    whole = members.set_index("member_id")[kg].reindex(points["member_id"]).fillna(0.0).to_numpy()
    sums = points.groupby("member_id")[kg].transform("sum").to_numpy(float)
    return points[sums <= whole * (1 + 1e-7)].reset_index(drop=True)
