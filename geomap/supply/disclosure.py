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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike
from pyproj import Transformer

MIN_MEMBERS: Final = 10
FEWEST_MEMBERS: Final = 5
"""No threshold is lower."""

LARGEST_SHARE: Final = 0.5
REST_SHARE: Final = 0.10
CELL_SIZES_KM: Final = (80, 40, 20, 10, 5, 1)
"""Sides of the cells, the coarsest first; each size fits a whole number of times into the one before."""

_NOWHERE: Final = -80 * 2**20
"""Column and row of what has no place, far off the globe."""

Row = dict[str, Any]

_EQUAL_AREA: Final = "EPSG:6933"
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

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
    present = _positive(values)
    if len(present) < max(min_members, FEWEST_MEMBERS):
        return False
    *others, second, first = np.sort(present).tolist()
    total = math.fsum([*others, second, first])
    dominated = first > LARGEST_SHARE * total
    return not dominated and total - first - second >= REST_SHARE * first


def rounding_base(values: ArrayLike) -> float:
    """Base to round a sum of these members' values to: 1, 2 or 5 times a power of ten; 0 where there is nothing.

    The smallest such number that is at least the median member and at least a fifth of the largest.

    Examples
    --------
    >>> rounding_base([700.0] * 10), rounding_base([700.0] * 10 + [6000.0])
    (1000.0, 2000.0)
    """
    present = np.sort(_positive(values)).tolist()
    if not present:
        return 0.0
    median = (present[(len(present) - 1) // 2] + present[len(present) // 2]) / 2
    needed = max(median, 0.2 * present[-1])
    return _step(needed)


def coarser(base: float) -> float:
    """The next coarser base of `rounding_base`.

    Examples
    --------
    >>> coarser(0.5), coarser(1000.0), coarser(2000.0)
    (1.0, 2000.0, 5000.0)
    """
    return _step(1.5 * base)


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


def cells(
    points: ArrayLike,
    member_ids: ArrayLike,
    values: ArrayLike,
    *,
    finest_km: int = 1,
    min_members: int = MIN_MEMBERS,
) -> pd.DataFrame:
    """Cells of 80 to 1 km with the rounded sum of each, as fine as the rules allow.

    The grid is fixed to the globe and of equal area, so its lines tell nothing of the plots. A cell is split into its
    parts that may be shown; those that may not are shown together as the `rest` of the cell, or the cell stays whole.
    Nothing is counted twice: a `rest` is its cell without the smaller cells inside. What may not be shown at 80 km is
    in no cell.

    Parameters
    ----------
    points : (n, 2) longitude and latitude in degrees, WGS84; a place within each plot. NaN for what has no place and
        yet is in published totals, such as a member without a plot: it is in no cell, and no cell may give it away.
    member_ids : (n,) the plot's member; a member counts once in each cell.
    values : (n,) value of each plot, ≥ 0; NaN counts as nothing.
    finest_km : smallest side of a cell.
    min_members : threshold of a cell; five at the very least.

    Returns
    -------
    DataFrame with size_km, rest, west, south, east, north (degrees), members, total (rounded), base; south-west first.

    Source: the quadtree of Eurostat's and the JRC's multi-resolution grids, on the equal-area EASE-Grid 2 (EPSG:6933).
    """
    plots = _plots(points, member_ids, values, min_members)
    parts, hidden = _without_nowhere(*_parts(plots, [size for size in CELL_SIZES_KM if size >= finest_km]))
    shown = _without_single_differences(parts, hidden, plots)
    sizes = [CELL_SIZES_KM[part.level] for part in shown]
    boxes = bounds_of([part.cell for part in shown], sizes)
    lines = [
        [size, part.rest, *box, *_numbers(part.members)] for size, part, box in zip(sizes, shown, boxes, strict=True)
    ]
    rows = pd.DataFrame(lines, columns=_CELL_COLUMNS)
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
    size = cells["size_km"].to_numpy(float)
    west, south, east, north = cells[["west", "south", "east", "north"]].to_numpy(float).T
    x, y, area = (west + east) / 2, (south + north) / 2, np.square(size)
    rests = np.flatnonzero(cells["rest"].to_numpy(bool))
    for k in rests[np.argsort(size[rests], kind="stable")]:
        inside = (x >= west[k]) & (x <= east[k]) & (y >= south[k]) & (y <= north[k])
        area[k] -= area[inside & (size < size[k])].sum()
    return pd.Series(area, index=cells.index)


def cell_bounds(cell: tuple[int, int], size_km: int) -> tuple[float, float, float, float]:
    """West, south, east and north of a grid cell, in degrees to 6 decimals.

    Examples
    --------
    >>> cell_bounds((0, 0), 80)[:2]
    (0.0, 0.0)
    """
    return bounds_of([cell], [size_km])[0]


def bounds_of(
    cells: Sequence[Sequence[int]] | _Ints, sizes_km: Sequence[int] | _Ints
) -> list[tuple[float, float, float, float]]:
    """`cell_bounds` of many cells, each with its size in km.

    Examples
    --------
    >>> [box[:2] for box in bounds_of([(0, 0), (0, 0)], [1, 80])]
    [(0.0, 0.0), (0.0, 0.0)]
    """
    side = np.asarray(sizes_km, dtype=float)[:, None] * 1000.0
    low = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
    back = Transformer.from_crs(_EQUAL_AREA, "EPSG:4326", always_xy=True)
    degrees = (limit for corner in (low, low + 1) for limit in back.transform(*(corner * side).T))
    west, south, east, north = ([round(limit, 6) for limit in limits.tolist()] for limits in degrees)
    return list(zip(west, south, east, north, strict=True))


def _step(needed: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least this."""
    power = math.floor(math.log10(needed))
    steps = (float(f"{digit}e{power + up}") for up in (0, 1) for digit in (1, 2, 5))
    return next(step for step in steps if step >= needed)


def _positive(values: ArrayLike) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    positive: npt.NDArray[np.float64] = numbers[numbers > 0]
    return positive


@dataclass(frozen=True)
class _Plots:
    """Plots that bear something, by member and value, so that sums have the same bits in any order of the rows."""

    cell: _Ints
    """Column and row of the 1 km cell."""
    member: _Ints
    value: _Floats
    min_members: int


@dataclass(frozen=True)
class _Part:
    """A cell, or the rest of one; its plots, and the values of its members."""

    level: int
    cell: tuple[int, int]
    rest: bool
    plots: _Ints
    members: _Floats


def _plots(points: ArrayLike, member_ids: ArrayLike, values: ArrayLike, min_members: int) -> _Plots:
    value = np.asarray(values, dtype=float)
    member, _ = pd.factorize(pd.Series(member_ids, dtype="str"), use_na_sentinel=False)
    order = np.lexsort((value, member))
    order = order[value[order] > 0]
    places = np.asarray(points, dtype=float).reshape(-1, 2)
    placed = np.isfinite(places).all(axis=1)
    cell = np.full(places.shape, _NOWHERE)
    cell[placed] = cell_of(places[placed], CELL_SIZES_KM[-1])
    return _Plots(cell[order], member[order], value[order], min_members)


def _without_nowhere(parts: list[_Part], hidden: _Ints) -> tuple[list[_Part], _Ints]:
    """What has no place is hidden, whether it would be a publishable sum or not."""
    kept, rows = [], [hidden]
    for part in parts:
        if part.cell[0] == _NOWHERE // CELL_SIZES_KM[part.level]:
            rows.append(part.plots)
        else:
            kept.append(part)
    return kept, np.sort(np.concatenate(rows))


def _cell_numbers(plots: _Plots, size_km: int) -> _Ints:
    """Which cell of this size holds each plot, as a number from 0."""
    columns, rows = plots.cell.T // (size_km // CELL_SIZES_KM[-1])
    number: _Ints = np.unique(columns * 2**32 + rows, return_inverse=True)[1]
    return number


def _members(plots: _Plots, chosen: _Ints, group: _Ints) -> list[tuple[_Ints, _Floats]]:
    """The chosen plots of each group, and the values of its members; `chosen` is ascending, `group` has all plots."""
    if not len(chosen):
        return []
    rows = chosen[np.argsort(group[chosen], kind="stable")]
    new_group = np.diff(group[rows], prepend=-1) != 0
    new_member = new_group | (np.diff(plots.member[rows], prepend=-1) != 0)
    sums: _Floats = np.bincount(np.cumsum(new_member) - 1, weights=plots.value[rows]).astype(float, copy=False)
    row_ends = [*np.flatnonzero(new_group).tolist(), len(rows)]
    sum_ends = [*np.flatnonzero(new_group[new_member]).tolist(), len(sums)]
    ends = zip(pairwise(row_ends), pairwise(sum_ends), strict=True)
    return [(rows[slice(*plots_of)], sums[slice(*sums_of)]) for plots_of, sums_of in ends]


def _may_be_shown(plots: _Plots, chosen: _Ints, group: _Ints) -> _Mask:
    """Whether the chosen plots of each group are a publishable sum, by number of the group."""
    shown = np.zeros(group.max(initial=-1) + 1, dtype=bool)
    for rows, values in _members(plots, chosen, group):
        shown[group[rows[0]]] = publishable(values, min_members=plots.min_members)
    return shown


def _parts(plots: _Plots, sizes: list[int]) -> tuple[list[_Part], _Ints]:
    """The cells and rests that may be shown, as fine as can be, and the plots in none of them.

    A cell is split where one of its parts may be shown, and those that may not are a publishable sum, or none.
    """
    every = np.arange(len(plots.value))
    cell = np.array([_cell_numbers(plots, size) for size in sizes])
    good = [_may_be_shown(plots, every, number)[number] for number in cell]
    level = np.where(good[0], 0, -1)
    rest = np.zeros(len(every), dtype=bool)
    for k, number in enumerate(cell[:-1]):
        whole = level == k
        left = np.flatnonzero(whole & ~good[k + 1])
        split = np.isin(number, number[whole & good[k + 1]])
        split &= ~np.isin(number, number[left]) | _may_be_shown(plots, left, number)[number]
        level[whole & split & good[k + 1]] = k + 1
        rest[whole & split & ~good[k + 1]] = True
    own = (cell[level, every] * len(sizes) + level) * 2 + rest
    parts = []
    for rows, values in _members(plots, np.flatnonzero(level >= 0), own):
        at = int(level[rows[0]])
        column, row = (plots.cell[rows[0]] // sizes[at]).tolist()
        parts.append(_Part(at, (column, row), bool(rest[rows[0]]), rows, values))
    return parts, np.flatnonzero(level < 0)


def _without_single_differences(shown: list[_Part], hidden: _Ints, plots: _Plots) -> list[_Part]:
    """Leave out more cells, fewest members first, until what is left out is a publishable sum (rule 4).

    Nothing inside a `rest` that is still shown: the rest would seem to hold it.
    """
    kept = sorted(shown, key=lambda part: (-len(part.members), part.level, part.cell, part.rest))
    together = np.zeros_like(plots.member)
    while kept and len(hidden) and not _may_be_shown(plots, hidden, together)[0]:
        rests = {(part.level, part.cell) for part in kept if part.rest}
        last = next(k for k in reversed(range(len(kept))) if not _is_inside(kept[k], rests))
        hidden = np.sort(np.concatenate([hidden, kept.pop(last).plots]))
    return kept


def _is_inside(part: _Part, cells: set[tuple[int, tuple[int, int]]]) -> bool:
    x, y = part.cell
    size = CELL_SIZES_KM[part.level]
    wider = enumerate(CELL_SIZES_KM[: part.level])
    return any((level, (x * size // side, y * size // side)) in cells for level, side in wider)


def _numbers(members: _Floats) -> tuple[int, float, float]:
    """Number of members, their rounded sum and its base."""
    base = rounding_base(members)
    return len(members), rounded(math.fsum(members.tolist()), base), base


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
