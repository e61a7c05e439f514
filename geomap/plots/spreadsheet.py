"""CSV and TSV in any usual encoding and delimiter."""

import csv
import io
import re
from collections.abc import Sequence

import pandas as pd

from geomap.errors import FileError
from geomap.findings import make_findings
from geomap.plots.broken_rows import mended
from geomap.plots.cells import header_of, require_filled, table_of
from geomap.plots.columns import PLOT_NAMES
from geomap.plots.content import Content

DELIMITERS = (",", ";", "\t", "|")
LONGEST_CELL = 100_000_000
BROKEN_ROW = {
    "repaired": "it holds more cells than the header, as when a name is written with a {mark} and without quotes. It "
    "was put together again where its other cells fit. Check its names.",
    "lost": "it holds more cells than the header, and it cannot be told which belong together. Only its first cell is "
    "kept. Put quotes around names that hold a {mark}, or save the table as XLSX.",
}


def read_csv(data: bytes, *, name: str, names: Sequence[str] = PLOT_NAMES) -> Content:
    """Cells of a delimited text as text; UTF-8, UTF-16 with its mark, else Windows-1252 with a note.

    A row with more cells than the header is put together again where its cells say how, with a note.

    Raises
    ------
    FileError : nothing in it, or a quote that does not close.
    """
    text, notes = decode(data, name=name)
    first, _, rest = text.partition("\n")
    declared = re.fullmatch(r'"?sep=(.)"?\s*', first)
    text = rest if declared else text
    delimiter = declared[1] if declared else _delimiter(text)
    rows = _rows(text, delimiter, name)
    require_filled(rows, name)
    place, labels, _ = header_of(rows, names)
    labels = labels[: max(at for at, label in enumerate([*labels, "end"]) if label or at == 0)] if labels else labels
    body, done = mended(labels, rows[place + 1 :], mark=delimiter)
    mark = {",": "comma", ";": "semicolon", "\t": "tab"}.get(delimiter, delimiter)
    said = {
        at + 1: ("broken_row" if how == "lost" else "row_put_together", BROKEN_ROW[how].format(mark=mark))
        for at, how in done.items()
    }
    return table_of([*rows[:place], labels, *body], name, names=names, typed=False, notes=notes, row_notes=said)


def _rows(text: str, delimiter: str, name: str) -> list[list[str]]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    try:
        rows.extend(reader)
    except csv.Error as error:
        if "unexpected end of data" in str(error) or "field larger" in str(error):
            line = sum(cell.count("\n") for row in rows for cell in row) + len(rows) + 1
            raise FileError(
                f"{name}: a quote that opens in line {line} or below does not close.",
                why="All that follows would be one cell.",
                todo="Close or delete the quote, or save the table as XLSX.",
            ) from None
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    return rows


def decode(data: bytes, *, name: str) -> tuple[str, tuple[pd.DataFrame, ...]]:
    """The text of a file, and a note where its encoding had to be taken for Windows-1252."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", errors="replace").replace("\0", ""), ()
    try:
        return data.decode("utf-8-sig").replace("\0", ""), ()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace").replace("\0", ""), (encoding_note(name),)


def encoding_note(name: str) -> pd.DataFrame:
    """A note that a file's letters were read as Windows-1252."""
    message = (
        f"{name} is not UTF-8 text and was read as Windows-1252. Letters such as ñ or é could be wrong. "
        "Where they are, save the file again as UTF-8."
    )
    return make_findings("encoding", [""], message)


def _delimiter(text: str) -> str:
    """The one that cuts the header into most cells."""
    start = text[:100_000].replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    counts = {mark: len(next(csv.reader(io.StringIO(start), delimiter=mark), [])) for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: counts[mark])
