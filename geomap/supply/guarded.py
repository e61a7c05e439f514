"""Which sums of members may stand side by side, and how coarse: so that all of them together leave every member open.

The strongest buyer knows every other member, and how the own value of the one sought moved since earlier releases.
Then each number r of base b leaves of the sum T of its part, with e = r − T, the interval [e − b / 2, e + b / 2] around
what the member has in it. All numbers together leave the intersection, over all tables and releases: a closed form,
no system to solve. Whoever knows less is left with a wider interval, as theirs holds for more values of the others. So
a release that leaves ±10 % open here leaves it open to any group of colluders, and to joining, leaving and comparing.

A signed total is exact: what a table shows of the other parts says the last part too. That is one more interval.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from geomap.supply.disclosure import coarser, publishable, rounded

OPEN_SHARE: Final = 0.10
"""No member may be known within this share of the truth, above and below."""

COARSEST_SHARE: Final = 0.5
"""A number whose base is more than this share of its sum says nothing, and is not shown."""

_ROUNDING: Final = 1e-6

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Partition:
    """Members' kilograms in the parts of one table, each kilogram in one part or in none (−1).

    Attributes
    ----------
    keys : name of each part.
    member, part, kg : one entry per member and part; members as numbers from 0. All the members' kilograms.
    base : what each part's sum is rounded to, kg; 0: it is not shown.
    kept : whether the part's number is the one of an earlier release, and so tells nothing new.
    """

    name: str
    keys: tuple[str, ...]
    member: Ints
    part: Ints
    kg: Floats
    base: Floats
    kept: Mask

    @property
    def shown(self) -> Mask:
        return np.asarray(self.base > 0)

    def members_of(self, parts: Mask) -> Floats:
        """Kilograms of each member in these parts together; the last entry of `parts` stands for what is in none."""
        chosen = parts[self.part]
        sums = np.bincount(self.member[chosen], self.kg[chosen])
        return np.asarray(sums[sums > 0], dtype=float)

    def sums(self) -> Floats:
        """Sum of each part, kg; with the same bits in any order of rows."""
        inside = self.part >= 0
        order = np.lexsort((self.member[inside], self.part[inside]))
        ends = np.searchsorted(self.part[inside][order], np.arange(len(self.keys) + 1))
        parts = np.split(self.kg[inside][order], ends[1:-1])
        return np.array([math.fsum(part) for part in parts[: len(self.keys)]])


def partition(
    name: str, keys: Sequence[str], member: Ints, part: Ints, kg: Floats, *, base: float, min_members: int
) -> Partition:
    """A table with every part at this base that may be shown by itself (rules 1 and 2); not yet beside others."""
    none = np.zeros(len(keys))
    table = Partition(name, tuple(keys), member, part, kg, none, none.astype(bool))
    sums, only = table.sums(), np.eye(len(keys) + 1, dtype=bool)
    good = [
        base <= COARSEST_SHARE * total and publishable(table.members_of(one), min_members=min_members)
        for total, one in zip(sums.tolist(), only, strict=False)
    ]
    return replace(table, base=np.where(np.array(good, dtype=bool), base, 0.0))


def counts(table: Partition) -> Ints:
    """Number of members with something in each part."""
    inside = table.part >= 0
    return np.bincount(table.part[inside], minlength=len(table.keys)).astype(np.int64)


def without_single_differences(table: Partition, min_members: int) -> Partition:
    """Leave out more parts, fewest members first, until what is left out is a publishable sum of two parts (rule 4).

    The signed total less the parts that are shown is what is left out. Members who are in no part are a part of it.
    """
    base, members = table.base.copy(), counts(table)
    nowhere = bool((table.part < 0).any())
    while base.any():
        hidden = base == 0
        single = hidden.sum() == 1 and not nowhere
        together = table.members_of(np.append(hidden, True))
        if not len(together) or (not single and publishable(together, min_members=min_members)):
            break
        shown = np.flatnonzero(~hidden)
        base[min(shown.tolist(), key=lambda part: (members[part], table.keys[part]))] = 0.0
    return replace(table, base=base, kept=table.kept & (base > 0))


def settle(
    tables: Sequence[Partition], values: Floats, below: Floats, above: Floats, *, min_members: int
) -> tuple[list[Partition], Floats, Floats]:
    """The tables with bases so coarse, and parts left out, that every member stays open by a tenth; and how far.

    While a member is not, the number that loses least by it, of those that say too much, goes to its next base.

    Parameters
    ----------
    tables : partitions of the same members; none is changed.
    values : kilograms of each member.
    below, above : how far below and above its value each member is left open by earlier releases, in kilograms.

    Returns
    -------
    The tables, and `below` and `above` with what these tables tell.
    """
    settled = [without_single_differences(table, min_members) for table in tables]
    limit = OPEN_SHARE * values * (1.0 + _ROUNDING)
    while True:
        told = [(k, *one) for k, table in enumerate(settled) for one in _told(table, len(values))]
        down = np.minimum.reduce([below, *(one[2] for one in told)])
        up = np.minimum.reduce([above, *(one[3] for one in told)])
        known = (values > 0) & (down <= limit) & (up <= limit)
        if not known.any():
            return settled, down, up
        binding = [(k, parts, known & ((low <= limit) | (high <= limit))) for k, parts, low, high in told]
        _coarsen(settled, binding, min_members)


def _coarsen(tables: list[Partition], binding: list[tuple[int, bool, Mask]], min_members: int) -> None:
    """Round one of the numbers that bind members coarser: the one whose next base is the least share of its sum."""
    choices = []
    for k, own, members in binding:
        table = tables[k]
        fresh = table.shown & ~table.kept
        inside = table.part[members[table.member]]
        touched = np.isin(np.arange(len(table.keys)), inside) if own else np.full(len(fresh), members.any())
        sums = table.sums()
        choices += [(coarser(table.base[j]) / sums[j], k, j) for j in np.flatnonzero(fresh & touched).tolist()]
    share, k, j = min(choices)
    base = tables[k].base.copy()
    base[j] = coarser(base[j]) if share <= COARSEST_SHARE else 0.0
    table = replace(tables[k], base=base)
    tables[k] = table if base[j] else without_single_differences(table, min_members)


def _told(table: Partition, members: int) -> Iterator[tuple[bool, Floats, Floats]]:
    """How far below and above each member is left open: by the parts' own numbers, then by the others and the total."""
    fresh, count = table.shown & ~table.kept, len(table.keys)
    if not fresh.any():
        return
    sums, half = table.sums(), table.base / 2
    error = np.array([rounded(*pair) for pair in zip(sums, table.base, strict=True)]) - sums
    low, high = np.full(count + 1, np.inf), np.full(count + 1, np.inf)
    low[:-1][fresh], high[:-1][fresh] = (half - error)[fresh], (half + error)[fresh]
    yield True, *_left_open(table, low, high, members)
    whole = bool(table.shown[table.part].all() and (table.part >= 0).all())
    if table.kept.any() or (whole and fresh.sum() == 1):
        return
    half, error = np.where(fresh, half, 0.0), np.where(fresh, error, 0.0)
    others, off = half.sum() - half, -(error.sum() - error)
    low, high = np.full(count + 1, np.inf), np.full(count + 1, np.inf)
    if whole:
        low[:-1], high[:-1] = others - off, others + off
    else:
        low[-1], high[-1] = half.sum() + error.sum(), half.sum() - error.sum()
    yield False, *_left_open(table, low, high, members)


def _left_open(table: Partition, low: Floats, high: Floats, members: int) -> tuple[Floats, Floats]:
    """What is left open of each member over all its parts; hidden parts are one, the last. Nobody has less than 0."""
    last = len(table.keys)
    part = np.where(np.append(table.shown, False)[table.part], table.part, last)
    pairs, row = np.unique(table.member * (last + 1) + part, return_inverse=True)
    kg = np.bincount(row, table.kg)
    member, part = np.divmod(pairs, last + 1)
    down = np.bincount(member, np.minimum(low[part], kg), minlength=members)
    up = np.bincount(member, high[part], minlength=members)
    absent = np.bincount(member, minlength=members) == 0
    return np.where(absent, np.inf, down), np.where(absent, np.inf, up)
