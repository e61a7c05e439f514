"""What buyers may see of a run: sums of enough members, none too large, rounded, on a fixed grid of cells.

The rules, each with where it comes from:

1. at least ten members (Eurostat's and statistical offices' usual threshold for small areas),
2. the largest member has at most half, and all but the two largest have at least a tenth of the largest (dominance and
   p %-rule),
3. sums are rounded to a base of at least a typical member and a fifth of the largest. So a published number leaves
   every member in it open by ±10 % or more, also to people who know all the others in it. (They can narrow a large
   member further where a cooperative and a cell overlap.)
4. what is left out is itself a publishable sum, or more is left out: no difference of sums is one hidden part,
5. an interval is given as a share of the rounded mean, in steps of 5 %: it tells nothing more of the mean.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike
from pyproj import Transformer

MIN_MEMBERS: Final = 10
LARGEST_SHARE: Final = 0.5
REST_SHARE: Final = 0.10
CELL_SIZES_KM: Final = (80, 40, 20, 10, 5, 1)
"""Sides of the cells, the coarsest first; each size fits a whole number of times into the one before."""

Row = dict[str, Any]

_OK: Final = [f"ok_{size}_km" for size in CELL_SIZES_KM]
_EQUAL_AREA: Final = "EPSG:6933"
_Part = tuple[int, tuple[int, int], bool, pd.DataFrame]
"""Level in CELL_SIZES_KM, cell, whether it is the rest of that cell, its plots."""

_CELL_COLUMNS: Final = ["size_km", "rest", "west", "south", "east", "north", "members", "total", "base"]


def publishable(values: ArrayLike, *, min_members: int = MIN_MEMBERS) -> bool:
    """Whether the sum of these members' values may be shown: rules 1 and 2. Members with nothing do not count.

    Parameters
    ----------
    values : one value ≥ 0 per member, any unit; NaN counts as nothing.
    min_members : threshold; five at the very least.

    Examples
    --------
    >>> publishable([100.0] * 10), publishable([100.0] * 9), publishable([100.0] * 9 + [1000.0])
    (True, False, False)
    """
    largest = np.sort(_positive(values))[::-1]
    if len(largest) < max(min_members, 5):
        return False
    total = math.fsum(largest)
    dominated = bool(largest[0] > LARGEST_SHARE * total)
    return not dominated and bool(total - largest[0] - largest[1] >= REST_SHARE * largest[0])


def rounding_base(values: ArrayLike) -> float:
    """Base to round a sum of these members' values to: 1, 2 or 5 times a power of ten; 0 where there is nothing.

    The smallest such number that is at least the median member and at least a fifth of the largest.

    Examples
    --------
    >>> rounding_base([700.0] * 10), rounding_base([700.0] * 10 + [6000.0])
    (1000.0, 2000.0)
    """
    present = _positive(values)
    if not len(present):
        return 0.0
    needed = max(float(np.median(present)), 0.2 * float(present.max()))
    power = math.floor(math.log10(needed))
    steps = (float(f"{digit}e{power + up}") for up in (0, 1) for digit in (1, 2, 5))
    return next(step for step in steps if step >= needed)


def rounded(total: float, base: float) -> float:
    """The total, rounded to a whole multiple of the base.

    Examples
    --------
    >>> rounded(12_345.0, 1_000.0)
    12000.0
    """
    return math.floor(total / base + 0.5) * base if base else 0.0


def rounded_interval(mean: float, p10: float, p90: float, shown_mean: float) -> tuple[float, float]:
    """P10 and P90 that may stand beside a rounded mean: shares of it in steps of 5 %, to two digits.

    Examples
    --------
    >>> rounded_interval(12_345.0, 7_150.0, 18_500.0, 12_000.0)
    (7200.0, 18000.0)
    """
    shares = [math.floor(limit / mean * 20 + 0.5) / 20 for limit in (p10, p90)]
    low, high = (float(f"{shown_mean * share:.2g}") for share in shares)
    return low, high


def cooperative_totals(cooperatives: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """The cooperatives as buyers may see them; a suppressed number is NaN, and `shown` is False.

    Where the cooperatives that may not be shown are together no publishable sum, the shown one with fewest members is
    left out too (rule 4).

    Parameters
    ----------
    cooperatives : columns id, potential_kg, potential_p10_kg, potential_p90_kg, members, members_mapped.
    members : columns cooperative_id, potential_kg; one row per member.

    Returns
    -------
    DataFrame with id, shown, potential_kg, members, members_mapped, potential_p10_kg, potential_p90_kg, sorted by id.
    """
    values = {coop: part.to_numpy(float) for coop, part in members.groupby("cooperative_id")["potential_kg"]}
    nothing = np.empty(0)
    rows = {str(row["id"]): row for row in cooperatives.to_dict("records")}
    hidden = {coop for coop in rows if not publishable(values.get(coop, nothing))}
    for coop in sorted(set(rows) - hidden, key=lambda coop: (len(values[coop]), coop)):
        if not hidden or publishable(np.concatenate([values.get(name, nothing) for name in sorted(hidden)])):
            break
        hidden.add(coop)
    bases = {coop: rounding_base(values.get(coop, nothing)) for coop in rows}
    means = {coop: rounded(float(row["potential_kg"]), bases[coop]) for coop, row in rows.items()}
    return pd.DataFrame([_total_row(rows[coop], means[coop], shown=coop not in hidden) for coop in sorted(rows)])


def run_total(total: Mapping[str, Any], shown: pd.DataFrame, cooperatives: pd.DataFrame, members: pd.DataFrame) -> Row:
    """The run's total as buyers may see it: the rounded cooperatives and the hidden ones together, rounded, added up.

    So it adds up with the table, and is no further number that narrows what the others leave open.

    Parameters
    ----------
    total : the run's row, with the keys of `cooperatives`.
    shown : what `cooperative_totals` says of `cooperatives` and `members`.
    """
    hidden = set(shown.loc[~shown["shown"].astype(bool), "id"])
    values = members.loc[members["cooperative_id"].isin(hidden), "potential_kg"].to_numpy(float)
    row = {**total, "id": "all"}
    if hidden and not publishable(values):
        return _total_row(row, math.nan, shown=False)
    unseen = math.fsum(cooperatives.loc[cooperatives["id"].isin(hidden), "potential_kg"])
    mean = math.fsum(shown["potential_kg"].dropna()) + rounded(unseen, rounding_base(values))
    return _total_row(row, mean, shown=True)


def cells(points: ArrayLike, member_ids: ArrayLike, values: ArrayLike, *, finest_km: int = 1) -> pd.DataFrame:
    """Cells of 80 to 1 km with the rounded sum of each, as fine as the rules allow.

    The grid is fixed to the globe and of equal area, so its lines tell nothing of the plots. A cell is split into its
    parts that may be shown; those that may not are shown together as the `rest` of the cell, or the cell stays whole.
    Nothing is counted twice: a `rest` is its cell without the smaller cells inside. What may not be shown at 80 km is
    in no cell.

    Parameters
    ----------
    points : (n, 2) longitude and latitude in degrees, WGS84; a place within each plot.
    member_ids : (n,) the plot's member; a member counts once in each cell.
    values : (n,) value of each plot, ≥ 0; NaN counts as nothing.
    finest_km : smallest side of a cell.

    Returns
    -------
    DataFrame with size_km, rest, west, south, east, north (degrees), members, total (rounded), base; south-west first.

    Source: the quadtree of Eurostat's and the JRC's multi-resolution grids, on the equal-area EASE-Grid 2 (EPSG:6933).
    """
    codes = pd.factorize(np.asarray(member_ids, dtype=str), sort=True)[0]
    table = pd.DataFrame({"member": codes, "value": np.asarray(values, dtype=float)})
    table[["x", "y"]] = cell_of(points, CELL_SIZES_KM[-1])
    table = table[table["value"] > 0].sort_values(["member", "value"], ignore_index=True)  # sums of the same bits
    levels = [size for size in CELL_SIZES_KM if size >= finest_km]
    for level in range(len(levels)):
        table[_OK[level]] = _may_be_shown(table, level)
    hidden = table[~table[_OK[0]]]
    whole = [(0, cell, False, part) for cell, part in _grouped(table[table[_OK[0]]], 0)]
    shown = [piece for one in whole for piece in _split(one, len(levels) - 1)]
    shown = _without_single_differences(shown, hidden)
    rows = pd.DataFrame([_cell_row(part) for part in shown], columns=_CELL_COLUMNS)
    return rows.sort_values(["south", "west", "size_km"], ignore_index=True)


def cell_of(points: ArrayLike, size_km: int) -> npt.NDArray[np.int64]:
    """Column and row of the grid cell that holds each point, (n, 2); points are longitude and latitude in degrees.

    Examples
    --------
    >>> cell_of([[0.01, 0.01], [-0.01, 0.01]], 80).tolist()
    [[0, 0], [-1, 0]]
    """
    lon, lat = np.asarray(points, dtype=float).reshape(-1, 2).T
    x, y = Transformer.from_crs("EPSG:4326", _EQUAL_AREA, always_xy=True).transform(lon, lat)
    columns_rows: npt.NDArray[np.int64] = np.floor(np.column_stack([x, y]) / (size_km * 1000.0)).astype(np.int64)
    return columns_rows


def own_area_km2(cells: pd.DataFrame) -> "pd.Series[float]":
    """Ground of each row of `cells` in km²: a `rest` is its cell without the smaller cells inside."""
    area = pd.Series(np.square(cells["size_km"].to_numpy(float)), index=cells.index)
    middle_x, middle_y = (cells["west"] + cells["east"]) / 2, (cells["south"] + cells["north"]) / 2
    rests = cells[cells["rest"].astype(bool)].sort_values("size_km", kind="stable")
    for k, one in rests.iterrows():
        inside = middle_x.between(one["west"], one["east"]) & middle_y.between(one["south"], one["north"])
        area[k] -= area[inside & (cells["size_km"] < one["size_km"])].sum()
    return area


def cell_bounds(cell: tuple[int, int], size_km: int) -> tuple[float, float, float, float]:
    """West, south, east and north of a grid cell, in degrees to 6 decimals.

    Examples
    --------
    >>> cell_bounds((0, 0), 80)[:2]
    (0.0, 0.0)
    """
    side = size_km * 1000.0
    back = Transformer.from_crs(_EQUAL_AREA, "EPSG:4326", always_xy=True)
    west, south = back.transform(cell[0] * side, cell[1] * side)
    east, north = back.transform((cell[0] + 1) * side, (cell[1] + 1) * side)
    return round(west, 6), round(south, 6), round(east, 6), round(north, 6)


def _positive(values: ArrayLike) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    positive: npt.NDArray[np.float64] = numbers[numbers > 0]
    return positive


def _per_member(part: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The members' values in this part."""
    _, member = np.unique(part["member"].to_numpy(), return_inverse=True)
    return np.asarray(np.bincount(member, weights=part["value"].to_numpy()), dtype=np.float64)


def _keys(table: pd.DataFrame, level: int) -> list["pd.Series[Any]"]:
    side = CELL_SIZES_KM[level] // CELL_SIZES_KM[-1]
    return [table[axis] // side for axis in ("x", "y")]


def _grouped(table: pd.DataFrame, level: int) -> list[tuple[tuple[int, int], pd.DataFrame]]:
    return [((int(cell[0]), int(cell[1])), part) for cell, part in table.groupby(_keys(table, level))]


def _may_be_shown(table: pd.DataFrame, level: int) -> "pd.Series[bool]":
    """Whether the plot's cell at this level may be shown: `publishable` for all cells at once."""
    sums = table.groupby([*_keys(table, level), "member"])["value"].sum().rename_axis(["x", "y", "member"])
    of_cell = sums.sort_values(ascending=False, kind="stable").groupby(["x", "y"])
    judged = {cell: publishable(values) for cell, values in of_cell.agg(list).items()}
    return pd.Series([judged[cell] for cell in zip(*_keys(table, level), strict=True)], index=table.index, dtype=bool)


def _split(whole: _Part, finest: int) -> list[_Part]:
    """The cell's publishable parts, split again; the cell itself where a remainder could not be shown."""
    level, cell, _, table = whole
    if level == finest:
        return [whole]
    good = table[_OK[level + 1]]
    rest = table[~good]
    if not good.any() or (len(rest) and not publishable(_per_member(rest))):
        return [whole]
    parts = _grouped(table[good], level + 1)
    split = [piece for child, part in parts for piece in _split((level + 1, child, False, part), finest)]
    return [*split, (level, cell, True, rest)] if len(rest) else split


def _without_single_differences(shown: list[_Part], hidden: pd.DataFrame) -> list[_Part]:
    """Leave out more cells, fewest members first, until what is left out is a publishable sum (rule 4).

    Nothing inside a `rest` that is still shown: the rest would seem to hold it.
    """
    kept = sorted(shown, key=lambda part: (-len(_per_member(part[3])), part[:3]))
    while kept and len(hidden) and not publishable(_per_member(hidden)):
        rests = {(level, cell) for level, cell, rest, _ in kept if rest}
        last = max(k for k, part in enumerate(kept) if not _is_inside(part, rests))
        hidden = pd.concat([hidden, kept.pop(last)[3]]).sort_index()
    return kept


def _is_inside(part: _Part, cells: set[tuple[int, tuple[int, int]]]) -> bool:
    level, (x, y), *_ = part
    size = CELL_SIZES_KM[level]
    return any((up, (x * size // CELL_SIZES_KM[up], y * size // CELL_SIZES_KM[up])) in cells for up in range(level))


def _cell_row(part: _Part) -> list[Any]:
    level, cell, rest, table = part
    members = _per_member(table)
    base = rounding_base(members)
    size = CELL_SIZES_KM[level]
    return [size, rest, *cell_bounds(cell, size), len(members), rounded(math.fsum(members), base), base]


def _total_row(row: Mapping[str, Any], mean: float, *, shown: bool) -> Row:
    hidden = {
        "members": math.nan,
        "members_mapped": math.nan,
        "potential_p10_kg": math.nan,
        "potential_p90_kg": math.nan,
    }
    if not shown:
        return {"id": str(row["id"]), "shown": False, "potential_kg": math.nan, **hidden}
    limits = float(row["potential_p10_kg"]), float(row["potential_p90_kg"])
    low, high = rounded_interval(float(row["potential_kg"]), *limits, mean)
    return {
        "id": str(row["id"]),
        "shown": True,
        "potential_kg": mean,
        "members": int(row["members"]),
        "members_mapped": int(row["members_mapped"]),
        "potential_p10_kg": low,
        "potential_p90_kg": high,
    }
