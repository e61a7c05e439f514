"""Tables of cells: CSV and TSV in any usual encoding and delimiter, and Excel workbooks."""

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import python_calamine

from geomap.errors import FileError
from geomap.findings import make_findings
from geomap.plots.columns import matching_names
from geomap.plots.content import Content
from geomap.plots.kinds import empty
from geomap.plots.values import cell_text, unique_names

DELIMITERS = (",", ";", "\t")
MOST_SHEET_BYTES = 500_000_000
MOST_CELLS = 50_000_000
HEADER_SEARCH = 10
_REFERENCE = re.compile(rb'<(?:c|row|dimension)\b[^>]*?\br(?:ef)?="(?:[A-Z]{1,3}\d+:)?([A-Z]{0,3})(\d{1,7})"')


def read_csv(data: bytes, *, name: str) -> Content:
    """Cells of a delimited text as text; UTF-8, UTF-16 with its mark, else Windows-1252 with a note.

    Raises
    ------
    FileError : no header, or a row with more cells than the header.
    """
    text, notes = decode(data, name=name)
    first, _, rest = text.partition("\n")
    declared = re.fullmatch(r'"?sep=(.)"?\s*', first)
    text = rest if declared else text
    delimiter = declared[1] if declared else _delimiter(text)
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=delimiter, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False
        )
    except pd.errors.EmptyDataError:
        raise empty(name) from None
    except pd.errors.ParserError as error:
        line = re.search(r"in line (\d+)", str(error))
        raise FileError(
            f"{name}: {'line ' + line[1] if line else 'a row'} has more cells than the header, or an open quote.",
            why="Its values would stand under the wrong names; often a name holds the delimiter.",
            todo="Put quotes around such names, or save the table as XLSX.",
        ) from None
    return _content(table.fillna("").to_numpy(dtype=object).tolist(), name, typed=False, notes=notes)


def read_workbook(path: Path, *, names: Sequence[str]) -> Content:
    """Cells of the sheet of an Excel workbook whose header matches most of our `names`; the first of equals."""
    _require_sane(path)
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        sheets = [workbook.get_sheet_by_name(sheet).to_python() for sheet in workbook.sheet_names]
    except python_calamine.PasswordError as error:
        raise FileError(
            f"{path.name} is protected by a password.", why="It cannot be read.", todo="Save it without one."
        ) from error
    except (python_calamine.CalamineError, python_calamine.ZipError, python_calamine.XmlError, OSError) as error:
        raise FileError(
            f"{path.name} could not be read as an Excel workbook.",
            why="It seems cut off or damaged.",
            todo="Open it in a spreadsheet program and save it again as XLSX or CSV.",
        ) from error
    filled = [rows for rows in sheets if any(any(cell != "" for cell in row) for row in rows)]
    if not filled:
        raise empty(path.name)
    best = max(filled, key=lambda rows: matching_names([cell_text(cell) for cell in _header(rows)[1]], names))
    return _content(best, path.name, typed=True, notes=())


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
    start = text[:100_000].lstrip("\r\n")
    counts = {mark: len(next(csv.reader(io.StringIO(start), delimiter=mark), [])) for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: counts[mark])


def _header(rows: Sequence[Sequence[Any]]) -> tuple[int, Sequence[Any]]:
    """Place and cells of the header: the first of ten rows with two filled cells, else the first filled one."""
    filled = [(place, sum(cell_text(cell) != "" for cell in row)) for place, row in enumerate(rows[:HEADER_SEARCH])]
    place = next((place for place, count in filled if count >= 2), None)
    if place is None:
        place = next((place for place, count in filled if count), 0)
    return place, rows[place]


def _content(rows: list[list[Any]], name: str, *, typed: bool, notes: tuple[pd.DataFrame, ...]) -> Content:
    if not rows:
        raise empty(name)
    place, header = _header(rows)
    body = [[_cell(cell) for cell in row] for row in rows[place + 1 :]]
    names = [cell_text(cell) for cell in header]
    used = [column for column, label in enumerate(names) if label or any(row[column] is not None for row in body)]
    columns = {column: pd.Series([row[column] for row in body], dtype=object) for column in used}
    frame = pd.DataFrame(columns, index=pd.RangeIndex(len(body)))
    frame.columns = pd.Index(unique_names([names[column] for column in used]), dtype="str")
    frame.index = pd.RangeIndex(1, len(body) + 1)
    frame = frame[frame.notna().any(axis=1)]
    return Content(frame, name, typed=typed, findings=notes)


def _cell(value: Any) -> Any:
    """A cell as it was meant: nothing where it is empty, and a whole number without the fraction that Excel stores."""
    if isinstance(value, str):
        return value if value.strip() else None
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _require_sane(path: Path) -> None:
    """Refuse a workbook that would fill the memory before its cells are counted, or that declares entities."""
    try:
        with zipfile.ZipFile(path) as archive:
            sheets = [
                entry
                for entry in archive.infolist()
                if entry.filename.startswith("xl/") and entry.filename.endswith(".xml")
            ]
            too_large = sum(entry.file_size for entry in sheets) > MOST_SHEET_BYTES
            cells = 0 if too_large else sum(_sheet_cells(archive, entry) for entry in sheets)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise FileError(
            f"{path.name} could not be read as an Excel workbook.",
            why="Its archive is damaged.",
            todo="Open it in a spreadsheet program and save it again as XLSX or CSV.",
        ) from error
    if too_large or cells > MOST_CELLS:
        raise FileError(
            f"{path.name} is too large a workbook ({f'{cells:,} cells' if cells else 'over 500 MB unpacked'}).",
            why="A stray cell far away makes a sheet as large as this; reading it would fill the memory.",
            todo="Delete empty rows and columns at the end of its sheets, or save the table as CSV.",
        )


def _sheet_cells(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Rows × columns that the cell references of a sheet span."""
    rows = columns = 0
    with archive.open(entry) as stream:
        tail = b""
        while block := stream.read(1 << 20):
            if b"<!DOCTYPE" in tail + block:
                raise zipfile.BadZipFile("a document type in a workbook")
            if entry.filename.startswith("xl/worksheets/"):
                for letters, number in _REFERENCE.findall(tail + block):
                    rows, columns = max(rows, int(number)), max(columns, _column_number(letters))
            tail = block[-200:]
    return rows * columns


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
