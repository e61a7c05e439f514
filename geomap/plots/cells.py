"""From rows of cells to a table: the header found, merged cells filled, sums at the bottom left out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from geomap.findings import make_findings
from geomap.plots.columns import PLOT_NAMES, could_be, matching_names
from geomap.plots.content import Content
from geomap.plots.kinds import empty
from geomap.plots.quantities import QUANTITIES
from geomap.plots.template import marked_kind, without_examples
from geomap.plots.values import cell_text, unique_names

Rows: TypeAlias = list[list[Any]]
Range: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""First and last (row, column) of a merged cell, from 0."""

HEADER_SEARCH: Final = 25
_TOTAL: Final = re.compile(
    r"(?:sub[ -]?|sous[ -]?|gran |grand )?(?:totale?s?|totaux|suma|somme|soma|jumlah|jumla)\b[^a-z]*"
    r"(?:(?:general|général|geral|ha|hectareas|hectáreas|area|área|de|da|do|parcelas?|plots?|keseluruhan|kuu)\b[^a-z]*)*",
    re.IGNORECASE,
)


def table_of(
    rows: Rows,
    name: str,
    *,
    names: Sequence[str] = PLOT_NAMES,
    typed: bool,
    notes: Sequence[pd.DataFrame] = (),
    merged: Sequence[Range] = (),
    row_notes: Mapping[int, tuple[str, str]] | None = None,
) -> Content:
    """The table in rows of cells; empty rows and columns are left out, rows keep their number below the header.

    Parameters
    ----------
    rows : cells as they stand in the file.
    name : of the file, for messages.
    names : our names; the header is the row that holds most of them.
    typed : whether the format tells numbers from texts.
    merged : merged cells; a text in one stands for each of its rows.
    row_notes : row below the header → code and message of what was found there.
    """
    place, labels, height = header_of(rows, names, merged)
    body = [[_cell(cell) for cell in row] for row in rows[place + height :]]
    width = max([len(labels), *(len(row) for row in body)]) if body else len(labels)
    body = [row + [None] * (width - len(row)) for row in body]
    labels = [*labels, *[""] * (width - len(labels))]
    more = _fill_merged(body, labels, merged, place + height, name)
    used = [column for column, label in enumerate(labels) if label or any(row[column] is not None for row in body)]
    columns = {column: pd.Series([row[column] for row in body], dtype=object) for column in used}
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(body)))
    frame.columns = pd.Index(unique_names([labels[column] for column in used]), dtype="str")
    frame.index = pd.RangeIndex(1, len(body) + 1)
    frame = frame[frame.notna().any(axis=1)]
    frame, examples = without_examples(frame, name) if marked_kind(rows[:place]) else (frame, [])
    frame, left = without_totals(frame, name)
    return Content(frame, name, typed=typed, findings=(*notes, *more, *examples, *left), row_notes=row_notes or {})


def header_of(rows: Rows, names: Sequence[str], merged: Sequence[Range] = ()) -> tuple[int, list[str], int]:
    """Place, labels and height of the header: the row of the first 25 that holds most of our names.

    Where none holds any, it is the first with two filled cells. Two rows make one header where cells are merged over
    both, or over columns with names of their own below.

    Examples
    --------
    >>> header_of([["Coop San José"], ["Parcela", "Área (ha)"], ["1", 0.5]], PLOT_NAMES)
    (1, ['Parcela', 'Área (ha)'], 1)
    """
    if not rows:
        return 0, [], 1
    found = [[cell_text(cell) for cell in row] for row in rows[:HEADER_SEARCH]]
    filled = [sum(text != "" for text in row) for row in found]
    scores = [
        matching_names([text for text in row if len(text) < 80], names) if count >= 2 else 0
        for row, count in zip(found, filled, strict=True)
    ]
    if max(scores) > 0:
        place = int(np.argmax(scores))
    else:
        place = next((at for at, count in enumerate(filled) if count >= 2), None) or 0
        place = place or next((at for at, count in enumerate(filled) if count), 0)
    first = _first_of_two(place, found, merged)
    if first is None:
        return place, found[place], 1
    return first, _two_rows(found[first], found[first + 1], first, merged), 2


def _first_of_two(place: int, found: list[list[str]], merged: Sequence[Range]) -> int | None:
    """The upper row of a header of two rows, or None."""
    for (top, left), (bottom, right) in merged:
        if bottom == top + 1 and place in {top, bottom} and bottom < len(found):
            return top
        if top == bottom == place and right > left and place + 1 < len(found):
            below = found[place + 1]
            if all(below[left : right + 1]) and not any(re.match(r"[-+\d]", text) for text in below if text):
                return place
    return None


def _two_rows(upper: list[str], lower: list[str], top: int, merged: Sequence[Range]) -> list[str]:
    width = max(len(upper), len(lower))
    upper, lower = upper + [""] * (width - len(upper)), lower + [""] * (width - len(lower))
    spread = list(upper)
    for (first, left), (last, right) in merged:
        if first == last == top:
            spread[left : right + 1] = [upper[left]] * (right + 1 - left)
    below = [text.casefold() for text in lower]
    return [
        over if not under else under if below.count(under.casefold()) == 1 or not over else f"{over} {under}"
        for over, under in zip(spread, lower, strict=True)
    ]


def _fill_merged(
    body: Rows, labels: Sequence[str], merged: Sequence[Range], start: int, name: str
) -> list[pd.DataFrame]:
    """Fill texts of merged cells into all their rows, in place; a number counts once, and that is said."""
    numbers: list[str] = []
    for (top, left), (bottom, _) in merged:
        first, last = top - start, min(bottom - start, len(body) - 1)
        if first < 0 or last <= first or left >= len(labels) or body[first][left] is None:
            continue
        if could_be(labels[left], tuple(QUANTITIES)) or isinstance(body[first][left], float):
            numbers.append(f"{labels[left]!r} in rows {first + 1} to {last + 1}")
            continue
        for row in body[first + 1 : last + 1]:
            row[left] = body[first][left]
    if not numbers:
        return []
    message = (
        f"{name}: {len(numbers)} merged cells hold a number for several rows ({'; '.join(numbers[:3])}). "
        "It counts for the first of these rows only. Give each row its own number."
    )
    return [make_findings("merged_cells", [""], message)]


def without_totals(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The rows that are no sums of others, and a note on those left out.

    A row of sums begins with a word such as "Total", or is the last one, without any text, and each of its numbers
    is the sum of the numbers above.
    """
    cells = zip(*(frame[column].tolist() for column in frame.columns), strict=True)
    sums = [row for row, values in zip(frame.index, cells, strict=True) if _is_labelled_total(values)]
    rest = frame.drop(index=sums)
    if len(rest) > 2 and _is_bare_total(rest):
        sums.append(rest.index[-1])
    if not sums:
        return frame, []
    rows = ", ".join(str(row) for row in sums[:10])
    message = (
        f"{name}: {len(sums)} rows hold sums of others and were left out (row {rows}). "
        "They are no plots or members. If one is, take the word for a total out of its first cell."
    )
    return frame.drop(index=sums), [make_findings("totals_row", [""], message)]


def _is_labelled_total(row: Sequence[Any]) -> bool:
    first = next((cell for cell in row if cell is not None), None)
    if not isinstance(first, str) or not _TOTAL.fullmatch(first.strip()):
        return False
    return all(cell is None or isinstance(cell, int | float) or len(str(cell)) < 30 for cell in row)


def _is_bare_total(frame: pd.DataFrame) -> bool:
    last = frame.iloc[-1]
    numbers = {column: cell for column, cell in last.items() if cell is not None}
    if not numbers or not all(_number(cell) is not None for cell in numbers.values()):
        return False
    if len(numbers) * 2 > frame.iloc[:-1].notna().any().sum():
        return False
    for column, cell in numbers.items():
        above = [_number(value) for value in frame[column].iloc[:-1].tolist() if value is not None]
        if len(above) < 2 or None in above:
            return False
        total, said = sum(value for value in above if value is not None), _number(cell)
        if said is None or said == 0 or abs(total - said) > 1e-6 * abs(total) + 1e-9:
            return False
    return True


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool):
        return None
    try:
        return float(cell.strip().replace(",", ".")) if isinstance(cell, str) else float(cell)
    except (TypeError, ValueError):
        return None


def _cell(value: Any) -> Any:
    """A cell as it was meant: nothing where it is empty, and a whole number without the fraction that Excel stores."""
    if isinstance(value, str):
        return value if value.strip() else None
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def require_filled(rows: Rows, name: str) -> None:
    if not any(cell_text(cell) for row in rows for cell in row):
        raise empty(name)
