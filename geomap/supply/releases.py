"""Releases: what buyers may see of a run, beside what they saw before.

The cooperative signs its own totals: they stand as they are. Everything below them (communities, certifications,
altitude bands, map cells, months of their own) follows the rules of `disclosure`, all with one base as the coarsest
member needs it, and is checked together with all earlier releases (`guarded`).

A number changes only when at least as many members changed as a part needs to be shown; until then it stays as it was
released ("held"). Only one quantity has parts: a second would round the same members a second time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from geomap.errors import ColumnError, NumberError
from geomap.supply import disclosure
from geomap.supply.basis import (
    CONTENT_COLUMNS,
    MEMBER_COLUMNS,
    NUMBER_COLUMNS,
    Basis,
    Members,
    Row,
    changes,
    frame,
    records,
)
from geomap.supply.guarded import Partition, counts, settle
from geomap.supply.release_cells import PLACE_COLUMNS, layout_of, owners, placed
from geomap.supply.sums import NONE

FORMAT: Final = "geomap-release/1"
OTHERS: Final = "(others)"
"""Stands for all values of an attribute that too few members have to be named."""

SHOWN: Final = "shown"
HELD: Final = "held"
SUPPRESSED: Final = "suppressed"

Quantity = Literal["potential", "supply"]
Json = dict[str, Any]

TOTAL_COLUMNS: Final = ["id", "season"] + [
    f"{quantity}_{part}kg" for quantity in ("potential", "supply") for part in ("", "p10_", "p50_", "p90_")
]
PART_COLUMNS: Final = ["value", *NUMBER_COLUMNS]
MONTH_COLUMNS: Final = ["month", *NUMBER_COLUMNS]
CELL_COLUMNS: Final = [*PLACE_COLUMNS, "members", "mean_kg", "base_kg", "status"]


@dataclass(frozen=True)
class Release:
    """What buyers may see of one run of a cooperative, and the basis, which they may not.

    Attributes
    ----------
    totals : one row, signed by the cooperative: id, season; mean, P10, P50, P90 of potential and supply in kilograms.
    by : per attribute value, members (text), mean_kg, low_kg, high_kg (80 %), base_kg, status.
    months : the same, by month; of one calendar for all members: shares of the signed total.
    cells : size_km, rest, west, south, east, north (degrees), members, mean_kg, base_kg, status.
    """

    date: str
    quantity: Quantity
    min_members: int
    totals: pd.DataFrame
    by: Mapping[str, pd.DataFrame]
    months: pd.DataFrame
    cells: pd.DataFrame
    basis: Basis


def release_tables(
    parts: Mapping[str, pd.DataFrame],
    member_values: pd.DataFrame,
    cooperative: "Mapping[str, Any] | pd.Series[Any]",
    *,
    date: str,
    months: pd.DataFrame | None = None,
    month_values: pd.DataFrame | None = None,
    points: pd.DataFrame | None = None,
    previous: Release | None = None,
    quantity: Quantity = "potential",
    min_members: int = disclosure.MIN_MEMBERS,
) -> Release:
    """What buyers may see of a run: totals as signed, and rounded sums of enough members that leave everyone open.

    The promise: whoever sees all numbers below the signed totals, of this and all earlier releases, and knows every
    other member, is left with ±10 % of each member's value or more, above or below. Numbers that would say more are
    rounded to a coarser base or left out.

    Parameters
    ----------
    parts : tables by attribute, such as those of `group_sums`: id, and potential_kg, potential_p10_kg, potential_p90_kg
        (or supply_…) for the widths of intervals; NaN for none. The sums themselves are made of `member_values`.
    member_values : member_id, potential_kg, supply_kg (may be NaN), and a column for each attribute in `parts`. One row
        per member: the value of an attribute where most of the member's crop stands.
    cooperative : the signed totals: id, season, potential_kg, potential_p10_kg, …_p50_kg, …_p90_kg, the same of supply.
    date : ISO date of the release.
    months : the cooperative's month, mean_kg, p10_kg, p90_kg (and quantity). With one calendar for all members a month
        is a share of the signed total and says nothing more.
    month_values : member_id, month, potential_kg or supply_kg, where months are made of what members bring: then months
        are parts as all others.
    points : lon, lat (degrees, WGS84), member_id, potential_kg or supply_kg of each plot. What members have beyond
        their points has no place.
    previous : the release before, of the same quantity and threshold.
    min_members : fewest members of a part, and of changes that a new number needs; five at the very least.

    Raises
    ------
    ColumnError : a column is missing, a member is there twice, points or months hold more than their member.
    NumberError : a threshold below five, or another quantity or threshold than the release before.

    Examples
    --------
    Two communities, of ten and of three members: the ten would leave the three, so neither is shown.

    >>> members = pd.DataFrame({"member_id": [f"M{k}" for k in range(13)], "potential_kg": 500.0,
    ...                         "community": ["El Cedro"] * 10 + ["La Cima"] * 3})
    >>> total = {"id": "C", "potential_kg": 6500.0, "potential_p10_kg": 4500.0, "potential_p90_kg": 8700.0}
    >>> found = release_tables({"community": pd.DataFrame({"id": []})}, members, total, date="2026-11-01")
    >>> found.by["community"][["value", "members", "mean_kg", "status"]].to_numpy().tolist()
    [['El Cedro', '10', nan, 'suppressed'], ['(others)', '<10', nan, 'suppressed']]
    """
    _require_comparable(previous, quantity, min_members)
    values = _member_values(member_values, quantity, list(parts))
    _require_columns("points", points, ["member_id", "lon", "lat", f"{quantity}_kg"])
    _require_columns("months' values", month_values, ["member_id", "month", f"{quantity}_kg"])
    kg = values["value_kg"]
    members = Members(kg, previous.basis if previous else None, disclosure.rounding_base(kg), min_members)
    given = {"points": points, "month_values": month_values}
    tables, layout = _tables(members, values, list(parts), **given, previous=previous, quantity=quantity)
    tables, below, above = settle(tables, kg.to_numpy(float), *members.left_open(), min_members=min_members)
    by_month = _of_quantity(months, quantity)
    widths = {f"by:{name}": _shares(table, "id", f"{quantity}_") for name, table in parts.items()}
    widths["months"] = _shares(by_month, "month", "")
    numbers = {table.name: _numbers(members, table, widths.get(table.name, {})) for table in tables}
    return Release(
        date=date,
        quantity=quantity,
        min_members=min_members,
        totals=frame([{**cooperative, "season": cooperative.get("season", "")}], TOTAL_COLUMNS),
        by={table.name[3:]: _named(table, numbers[table.name], min_members) for table in tables if _is_by(table)},
        months=_months(tables, numbers, by_month, int((kg > 0).sum()), min_members),
        cells=frame([{**cell, **row} for cell, row in zip(layout, numbers["cells"], strict=True)], CELL_COLUMNS),
        basis=members.next_basis(tables, numbers, below, above),
    )


def signed_totals(releases: Sequence[Release]) -> pd.DataFrame:
    """Signed totals of several cooperatives, a row each by id, and their sum as "all"; in kilograms.

    Means add up. P10 and P90 of the sum are sums too: as if all errors were one, so the interval is rather too wide
    (`portfolio.portfolio` has the right one, for those who may see the runs). No P50: medians do not add up. NaN where
    a cooperative has no number.

    Returns
    -------
    DataFrame : id, season, date, then potential and supply with P10, P50, P90.
    """
    each = [release.totals.assign(date=release.date) for release in sorted(releases, key=_cooperative_id)]
    columns = [*TOTAL_COLUMNS[:2], "date", *TOTAL_COLUMNS[2:]]
    if not each:
        return pd.DataFrame(columns=columns)
    table = pd.concat(each, ignore_index=True)
    numbers = {column: math.fsum(table[column]) for column in TOTAL_COLUMNS[2:] if "_p50_" not in column}
    whole = {"id": "all", "season": _common(table["season"]), "date": max(table["date"]), **numbers}
    return pd.concat([table, pd.DataFrame([whole])], ignore_index=True)[columns]


def to_public(release: Release) -> Json:
    """The release as buyers get it, ready for JSON: a suppressed number is None, never 0. Nothing of the basis.

    Examples
    --------
    The keys: format, date, quantity, min_members, totals, by, months, cells.
    """
    return {
        "format": FORMAT,
        "date": release.date,
        "quantity": release.quantity,
        "min_members": release.min_members,
        "totals": records(release.totals)[0],
        "by": {name: records(table) for name, table in release.by.items()},
        "months": records(release.months),
        "cells": records(release.cells),
    }


def to_basis(release: Release) -> Json:
    """The whole release with its basis, ready for JSON: for the cooperative's own store, never for buyers."""
    basis = release.basis
    tables = {name: records(getattr(basis, name)) for name in ("members", "contents", "numbers")}
    return {**to_public(release), "basis": {**tables, "changed": basis.changed}}


def from_basis(stored: Mapping[str, Any]) -> Release:
    """The release that `to_basis` wrote.

    Raises
    ------
    ColumnError : the record is of another format.
    """
    if stored.get("format") != FORMAT or "basis" not in stored:
        raise ColumnError(
            f"The stored release is of the format {stored.get('format')!r}, not {FORMAT!r} with its basis.",
            why="The next release is judged by it.",
            todo="Bring the record that `to_basis` made.",
        )
    kept = stored["basis"]
    members = frame(kept["members"], MEMBER_COLUMNS)
    return Release(
        date=stored["date"],
        quantity=stored["quantity"],
        min_members=stored["min_members"],
        totals=frame([stored["totals"]], TOTAL_COLUMNS),
        by={name: frame(rows, PART_COLUMNS) for name, rows in stored["by"].items()},
        months=frame(stored["months"], MONTH_COLUMNS),
        cells=frame(stored["cells"], CELL_COLUMNS),
        basis=Basis(
            members.fillna({"below": np.inf, "above": np.inf}),
            frame(kept["contents"], CONTENT_COLUMNS),
            frame(kept["numbers"], ["table", "part", *NUMBER_COLUMNS]),
            kept["changed"],
        ),
    )


def _require_comparable(previous: Release | None, quantity: str, min_members: int) -> None:
    if min_members < disclosure.FEWEST_MEMBERS:
        raise NumberError(
            f"A part of {min_members} members is too small to be shown.",
            why="Members could be told apart.",
            todo=f"Take {disclosure.FEWEST_MEMBERS} or more.",
        )
    if previous and (previous.quantity, previous.min_members) != (quantity, min_members):
        raise NumberError(
            f"The release before is of {previous.quantity} with {previous.min_members} members at least.",
            why="Another quantity or threshold would round the same members a second time.",
            todo="Keep both, or begin a new line of releases for other buyers.",
        )


def _require_columns(what: str, table: pd.DataFrame | None, wanted: list[str]) -> None:
    missing = [] if table is None else [column for column in wanted if column not in table]
    if missing:
        raise ColumnError(
            f"The {what} have no column {', '.join(missing)}.",
            why="A release is judged by what each member has.",
            todo="Add it, or leave the table or the attribute out.",
        )


def _member_values(table: pd.DataFrame, quantity: str, attributes: list[str]) -> pd.DataFrame:
    """value_kg and attributes by member_id, sorted; nothing is 0, a missing attribute "(none)"."""
    _require_columns("members' values", table, ["member_id", f"{quantity}_kg", *attributes])
    if table["member_id"].duplicated().any():
        raise ColumnError(
            "A member is there twice.",
            why="A release is judged by what each member has.",
            todo="Bring one row per member, with its kilograms and its value of each attribute.",
        )
    kg = table[f"{quantity}_kg"].astype(float).fillna(0.0)
    if not (np.isfinite(kg) & (kg >= 0)).all():
        raise NumberError("A member has kilograms below zero or without end.", todo="Look at its plots.")
    texts = {name: table[name].astype("str").fillna("").replace("", NONE) for name in attributes}
    ids = pd.Index(table["member_id"].astype("str"), name="member_id")
    found = pd.DataFrame({"value_kg": kg.to_numpy(), **{name: text.to_numpy() for name, text in texts.items()}}, ids)
    return found.sort_index()


def _tables(
    members: Members,
    values: pd.DataFrame,
    attributes: list[str],
    *,
    points: pd.DataFrame | None,
    month_values: pd.DataFrame | None,
    previous: Release | None,
    quantity: str,
) -> tuple[list[Partition], list[Row]]:
    """All tables below the signed totals, each judged by itself, and the map cells of the one named "cells"."""
    tables = []
    for name in attributes:
        table = values.rename(columns={name: "part"}).reset_index()
        tables.append(members.parts(f"by:{name}", table, sorted(set(table["part"]))))
    plots = placed(members, points, quantity)
    layout = layout_of(members, plots, previous.cells if previous else None)
    keys, owner = owners(layout, plots)
    tables.append(members.parts("cells", plots.assign(part=owner), keys))
    if month_values is not None:
        table = month_values.rename(columns={"month": "part", f"{quantity}_kg": "value_kg"})
        tables.append(members.parts("months", table, sorted(set(table["part"]))))
    return tables, layout


def _numbers(members: Members, table: Partition, shares: Mapping[str, tuple[float, float]]) -> list[Row]:
    """What is said of each part: an old number, a rounded one, or none."""
    before, now, earlier = members.contents_before(table.name), members.contents(table), members.earlier(table.name)
    sums, size, rows = table.sums(), counts(table), []
    for part, key in enumerate(table.keys):
        base = float(table.base[part])
        row: Row = dict.fromkeys(NUMBER_COLUMNS, math.nan)
        row |= {"members": _count(int(size[part]), members.min_members), "status": SUPPRESSED}
        if table.kept[part]:
            row = {column: earlier[key][column] for column in NUMBER_COLUMNS}
            row["status"] = HELD if changes(before[key], now[key]) else SHOWN
        elif base:
            mean = disclosure.rounded(float(sums[part]), base)
            low, high = shares.get(key, (math.nan, math.nan))
            limits = disclosure.rounded_interval(1.0, low, high, mean) if shares.get(key) else (low, high)
            row |= {"mean_kg": mean, "low_kg": limits[0], "high_kg": limits[1], "base_kg": base, "status": SHOWN}
        rows.append(row)
    return rows


def _count(members: int, min_members: int) -> str:
    """Number of members as a text, to the next five below; "<10" where they are few.

    Examples
    --------
    >>> _count(9, 10), _count(14, 10), _count(37, 10)
    ('<10', '10', '35')
    """
    return f"<{min_members}" if members < min_members else str(max(members // 5 * 5, min_members))


def _shares(table: pd.DataFrame | None, key: str, prefix: str) -> dict[str, tuple[float, float]]:
    """P10 and P90 of each part, as shares of its mean."""
    columns = [f"{prefix}{name}kg" for name in (("mean_", "p10_", "p90_") if not prefix else ("", "p10_", "p90_"))]
    if table is None or not {key, *columns} <= set(table):
        return {}
    rows = table[[key, *columns]].astype({key: "str"}).itertuples(index=False, name=None)
    return {
        name: (low / mean, high / mean) for name, mean, low, high in rows if mean > 0 and not math.isnan(low + high)
    }


def _of_quantity(months: pd.DataFrame | None, quantity: str) -> pd.DataFrame | None:
    if months is None or "quantity" not in months:
        return months
    return months[months["quantity"] == quantity]


def _is_by(table: Partition) -> bool:
    return table.name.startswith("by:")


def _named(table: Partition, numbers: list[Row], min_members: int) -> pd.DataFrame:
    """The parts with their names; those of few members together without, as a name could be a person's."""
    size = counts(table)
    rows = [{"value": table.keys[k], **row} for k, row in enumerate(numbers) if size[k] >= min_members]
    few = np.append(size < min_members, False)
    if few.any():
        together = len(table.members_of(few))
        nothing: Row = dict.fromkeys(NUMBER_COLUMNS, math.nan)
        rows.append({"value": OTHERS, **nothing, "members": _count(together, min_members), "status": SUPPRESSED})
    return frame(rows, PART_COLUMNS)


def _months(
    tables: list[Partition],
    numbers: Mapping[str, list[Row]],
    by_month: pd.DataFrame | None,
    members: int,
    min_members: int,
) -> pd.DataFrame:
    """Months as parts; or, of one calendar for all members, as the cooperative's own shares of its signed total."""
    own = next((table for table in tables if table.name == "months"), None)
    if own is not None:
        rows = [{"month": month, **row} for month, row in zip(own.keys, numbers["months"], strict=True)]
        return frame(rows, MONTH_COLUMNS)
    if by_month is None:
        return frame([], MONTH_COLUMNS)
    count = {"members": _count(members, min_members), "status": SHOWN}
    named = by_month.rename(columns={"p10_kg": "low_kg", "p90_kg": "high_kg"})[
        ["month", "mean_kg", "low_kg", "high_kg"]
    ]
    return frame([{**row, **count} for row in named.to_dict("records")], MONTH_COLUMNS)


def _cooperative_id(release: Release) -> str:
    return str(release.totals["id"].iloc[0])


def _common(texts: "pd.Series[str]") -> str:
    """The one text that all share; empty where they differ."""
    return str(texts.iloc[0]) if texts.nunique() == 1 else ""
