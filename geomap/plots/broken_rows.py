"""Rows of a CSV that hold more cells than the header, because a name was written with a comma and without quotes."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Final

from geomap.plots.columns import could_be
from geomap.plots.quantities import QUANTITIES
from geomap.plots.values import MISSING

MOST_WAYS: Final = 10_000
MOST_ROWS_LOOKED_AT: Final = 5000


def mended(header: Sequence[str], rows: list[list[str]], *, mark: str) -> tuple[list[list[str]], dict[int, str]]:
    """The rows with as many cells as the header, and place → the code of what was done ("repaired" or "lost").

    Cells are counted from both sides: those too many are joined again in the columns of text where all other cells fit
    best under their header: numbers under numbers, values that repeat and values of a known form under their own, and
    none that begins with a space. A row that
    fits in no way, or in two ways equally well with neither a name's, loses all but its first cell. Rows that are wider
    all alike only lack names of columns and stay.

    Examples
    --------
    >>> rows = [["1", "Ana", "M1", "0.5"], ["2", "Ruiz", " Eva", "M2", "1.5"]]
    >>> mended(["id", "farmer_name", "member_id", "farm_size"], rows, mark=",")
    ([['1', 'Ana', 'M1', '0.5'], ['2', 'Ruiz, Eva', 'M2', '1.5']], {1: 'repaired'})
    """
    width = len(header)
    trimmed = [_trimmed(row, width) for row in rows]
    wide = [place for place, row in enumerate(trimmed) if len(row) > width]
    full = [row for row in trimmed if len(row) == width]
    numeric = [could_be(label, tuple(QUANTITIES)) for label in header]
    if not wide or (not full and not any(numeric)):
        return trimmed, {}
    profile = _Profile(header, full[:MOST_ROWS_LOOKED_AT], numeric)
    result, done = list(trimmed), {}
    for place in wide:
        found = profile.best(trimmed[place], mark)
        result[place] = found or [trimmed[place][0], *[""] * (width - 1)]
        done[place] = "repaired" if found else "lost"
    return result, done


def _trimmed(row: list[str], width: int) -> list[str]:
    """The row without empty cells beyond the header's last."""
    last = len(row)
    while last > width and not row[last - 1].strip():
        last -= 1
    return row[:last]


class _Profile:
    """What the cells of each column look like in the rows that are whole."""

    def __init__(self, header: Sequence[str], rows: list[list[str]], numeric: list[bool]) -> None:
        self.width = len(header)
        columns = list(zip(*rows, strict=True)) if rows else [()] * self.width
        filled = [[cell.strip() for cell in column if cell.strip()] for column in columns]
        self.numeric = [
            known or (len(cells) > 2 and all(map(_is_number, cells)))
            for known, cells in zip(numeric, filled, strict=True)
        ]
        self.values = [set(cells) if 2 * len(set(cells)) <= len(cells) else set() for cells in filled]
        self.forms = [{_form(cell) for cell in cells} for cells in filled]
        self.names = [could_be(label, ("name",)) for label in header]

    def best(self, row: list[str], mark: str) -> list[str] | None:
        scored = [(self._score(way), self._names_joined(way, mark), way) for way in self._ways(row, mark)]
        fitting = sorted((one for one in scored if one[0] is not None), key=lambda one: (one[0], one[1]), reverse=True)
        if not fitting or (len(fitting) > 1 and fitting[0][:2] == fitting[1][:2]):
            return None
        return fitting[0][2]

    def _ways(self, row: list[str], mark: str) -> Iterator[list[str]]:
        """Each way to join the cells that are too many in columns of text."""
        if comb(len(row) - 1, self.width - 1) > MOST_WAYS:
            return
        for cuts in combinations(range(1, len(row)), self.width - 1):
            ends = (*cuts, len(row))
            starts = (0, *cuts)
            if all(
                end - start == 1 or not self.numeric[at]
                for at, (start, end) in enumerate(zip(starts, ends, strict=True))
            ):
                yield [mark.join(row[start:end]) for start, end in zip(starts, ends, strict=True)]

    def _score(self, cells: list[str]) -> int | None:
        total = -sum(cell.startswith(" ") and bool(cell.strip()) for cell in cells)
        for at, text in enumerate(map(str.strip, cells)):
            if self.numeric[at]:
                if text.lower() not in MISSING and not _is_number(text):
                    return None
                total += bool(text)
            elif text:
                total += 2 * (text in self.values[at]) + (_form(text) in self.forms[at])
        return total

    def _names_joined(self, cells: list[str], mark: str) -> int:
        return sum(cell.count(mark) for cell, is_name in zip(cells, self.names, strict=True) if is_name)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?", text.strip()))


def _form(text: str) -> str:
    """The form of a text: letters a, digits 9, signs as they are."""
    return re.sub(r"\d+", "9", re.sub(r"[^\W\d_]+(?: [^\W\d_]+)*", "a", text))
