"""Excel workbooks as offices keep them: titles, merged cells, sums, a sheet per community, sheets of repeats."""

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import python_calamine

from geomap.errors import FileError
from geomap.findings import make_findings
from geomap.plots.cells import HEADER_SEARCH, Range, Rows, header_of, table_of
from geomap.plots.columns import could_be, matching_names, name_key
from geomap.plots.content import Content
from geomap.plots.kinds import UNREADABLE_ZIP, empty
from geomap.plots.odk import join_repeats
from geomap.plots.template import marked_kind, wanted_kind
from geomap.plots.values import cell_text, clean_text

MOST_SHEET_BYTES = 500_000_000
MOST_CELLS = 50_000_000
_REFERENCE = re.compile(rb'<(?:c|row|dimension)\b[^>]*?\br(?:ef)?="(?:[A-Z]{1,3}\d+:)?([A-Z]{0,3})(\d{1,7})"')


@dataclass(frozen=True)
class Sheet:
    """One sheet that holds anything: its name, cells and merged cells, and the labels of its header."""

    name: str
    rows: Rows
    merged: list[Range]
    labels: list[str]

    def keys(self) -> frozenset[str]:
        return frozenset(map(name_key, self.labels)) - {""}


def read_workbook(path: Path, *, names: Sequence[str]) -> Content:
    """The sheet of a workbook whose header holds most of our `names`; the first of equals.

    Sheets with the same header are one table; where it has no column for the community, the sheets' names are it.
    Sheets of repeats (ODK, Kobo) are joined to the sheet of their submissions. Of the template's sheets only those
    count that are made for these names (see `geomap.plots.template`).

    Raises
    ------
    FileError : damaged, protected, too large, nothing in it, or a template without a sheet for these names.
    """
    sheets = _own_sheets(_sheets(path, names), path.name, names)
    repeats = join_repeats({sheet.name: _table(sheet, path.name, names) for sheet in sheets if _is_odk(sheet)}, names)
    if repeats is not None:
        return repeats
    best = max(sheets, key=lambda sheet: _score(sheet.labels, names))
    alike = [sheet for sheet in sheets if sheet is best or (matching_names(best.labels, names) and _alike(sheet, best))]
    different = _without_copies(alike)
    if len(different) == 1:
        content = _table(different[0], path.name, names)
    else:
        content = _joined([_table(sheet, path.name, names) for sheet in different], different)
    return replace(content, findings=(*content.findings, *_copy_note(alike, different, path.name)))


def _own_sheets(sheets: list[Sheet], name: str, names: Sequence[str]) -> list[Sheet]:
    """The template's sheet for these names, else the sheets that are none of the template's."""
    kinds = [marked_kind(sheet.rows[:HEADER_SEARCH]) for sheet in sheets]
    wanted = wanted_kind(names)
    own = [sheet for sheet, kind in zip(sheets, kinds, strict=True) if wanted and kind == wanted]
    rest = [sheet for sheet, kind in zip(sheets, kinds, strict=True) if not kind]
    if not own and not rest:
        raise FileError(
            f"{name} is a template without a sheet for {wanted.replace('_', ' ') or 'this table'}.",
            why=f"Its sheets are those for {', '.join(sorted({kind.replace('_', ' ') for kind in kinds}))}.",
            todo="Give the file that holds the table, or make the template again and fill in that sheet.",
        )
    return own or rest


def _score(labels: Sequence[str], names: Sequence[str]) -> int:
    """How likely these labels head the table that is looked for: the rows' own id and shapes tell most."""
    own = any(could_be(label, names[:1], vague=False) for label in labels)
    shapes = any(could_be(label, ("latitude", "longitude", "outline"), vague=False) for label in labels)
    return matching_names(labels, names) + 2 * own + (2 if "outline" in names else -2) * shapes


def _is_odk(sheet: Sheet) -> bool:
    return "_index" in sheet.labels


def _table(sheet: Sheet, name: str, names: Sequence[str]) -> Content:
    return table_of(sheet.rows, name, names=names, typed=True, merged=sheet.merged)


def _alike(sheet: Sheet, best: Sheet) -> bool:
    """The same header, or all but a tenth of it."""
    shared, every = sheet.keys() & best.keys(), sheet.keys() | best.keys()
    return len(shared) >= 2 and len(shared) >= 0.9 * len(every)


def _without_copies(sheets: Sequence[Sheet]) -> list[Sheet]:
    kept: list[Sheet] = []
    for sheet in sheets:
        if not any(sheet.rows == other.rows for other in kept):
            kept.append(sheet)
    return kept


def _copy_note(alike: Sequence[Sheet], different: Sequence[Sheet], name: str) -> list[pd.DataFrame]:
    copies = [clean_text(sheet.name) for sheet in alike if not any(sheet is other for other in different)]
    if not copies:
        return []
    message = f"{name}: the sheets {', '.join(copies)} hold the same cells as another sheet and were left out."
    return [make_findings("sheets_joined", [""], message)]


def _joined(contents: Sequence[Content], sheets: Sequence[Sheet]) -> Content:
    """The rows of several sheets with one header under each other, numbered through."""
    labels = {name_key(str(column)): str(column) for content in reversed(contents) for column in content.frame.columns}
    has_community = any(could_be(label, ("community",)) for label in labels.values())
    frames: list[pd.DataFrame] = []
    said: list[str] = []
    row_notes: dict[int, tuple[str, str]] = {}
    start = 0
    for content, sheet in zip(contents, sheets, strict=True):
        frame = content.frame.rename(columns=lambda column: labels[name_key(str(column))])
        frame = frame.set_axis(frame.index + start)
        if not has_community:
            frame["community"] = clean_text(sheet.name)
        if len(frame):
            said.append(f"{clean_text(sheet.name)!r} (rows {frame.index[0]} to {frame.index[-1]})")
            frames.append(frame)
        row_notes |= {row + start: note for row, note in content.row_notes.items()}
        start = int(frame.index[-1]) if len(frame) else start
    table = pd.concat(frames) if frames else contents[0].frame
    table = table.astype(object).where(table.notna(), None)
    community = "" if has_community else " The sheets' names stand as the community."
    message = (
        f"{contents[0].name}: {len(frames)} sheets with the same columns were read as one table: {', '.join(said)}."
        f"{community} Move a sheet that does not belong there to a file of its own."
    )
    notes = [note for content in contents for note in content.findings]
    return Content(
        table,
        contents[0].name,
        findings=(*notes, make_findings("sheets_joined", [""], message)),
        row_notes=row_notes,
    )


def _sheets(path: Path, names: Sequence[str]) -> list[Sheet]:
    """The visible sheets that hold anything, in their order."""
    _require_sane(path)
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        visible = [
            one.name for one in workbook.sheets_metadata if one.visible == python_calamine.SheetVisibleEnum.Visible
        ]
        loaded = [workbook.get_sheet_by_name(name) for name in visible]
        cells = [
            (sheet.name, sheet.to_python(skip_empty_area=False), sheet.merged_cell_ranges or []) for sheet in loaded
        ]
    except python_calamine.PasswordError as error:
        raise FileError(
            f"{path.name} is protected by a password.", why="It cannot be read.", todo="Save it without one."
        ) from error
    except (python_calamine.CalamineError, python_calamine.ZipError, python_calamine.XmlError, OSError) as error:
        raise _unreadable(path.name, "It seems cut off or damaged.") from error
    filled = [one for one in cells if any(cell_text(cell) for row in one[1] for cell in row)]
    if not filled:
        raise empty(path.name)
    return [Sheet(name, rows, merged, header_of(rows, names, merged)[1]) for name, rows, merged in filled]


def _unreadable(name: str, why: str) -> FileError:
    return FileError(
        f"{name} could not be read as an Excel workbook.",
        why=why,
        todo="Open it in a spreadsheet program and save it again as XLSX or CSV.",
    )


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
    except UNREADABLE_ZIP as error:
        raise _unreadable(path.name, "Its archive is damaged.") from error
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
