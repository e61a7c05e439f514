"""A run as one workbook for the office: every table that it works with, in its language and ready to print."""

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from geomap.outputs.office_sheets import MOST_TEXT, Column, Sheet, office_sheets
from geomap.outputs.text import plain
from geomap.outputs.words import Words, words

if TYPE_CHECKING:
    from geomap.run import Run

WORKBOOK: Final = "office.xlsx"
EXCEL_ROWS: Final = 1_048_576
"""Rows of a sheet, Excel's own limit."""

_HEAD: Final = 2
"""Row of the header: a title and a line of notes stand above it."""
_A4: Final = 9
_FORMATS: Final = {
    "kg": '#,##0" kg"', "ha": '#,##0.00" ha"', "count": "#,##0", "share": "0%", "unit": "#,##0.0", "text": "@",
}  # fmt: skip
_WIDTHS: Final = {"kg": 14, "ha": 12, "count": 10, "share": 12, "unit": 16, "text": 18}


def write_office_workbook(run: "Run", path: Path, *, language: str = "en", most_rows: int = EXCEL_ROWS) -> None:
    """Write the run as a workbook: summary, members, plots, months, communities, findings, what can be sold, about.

    Numbers are those of the CSV files. Every text is text: there is no formula and no link. Sheets print in landscape,
    one page wide, with their header on each page. Equal runs give equal bytes.

    Parameters
    ----------
    run : kilograms of the product form, hectares.
    path : of the workbook; whoever calls puts it in place.
    language : en, es, fr or pt. Messages, assumptions and notes stay in English.
    most_rows : rows of a sheet, its header among them; what does not fit is said on the sheet.

    Raises
    ------
    UnknownNameError : there are no texts in this language.

    Examples
    --------
    With a run: ``write_office_workbook(run, Path("office.xlsx"), language="es")``
    """
    import xlsxwriter

    texts = words(language)
    sheets = office_sheets(run, texts)
    options = {
        "constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False,
    }  # fmt: skip
    with xlsxwriter.Workbook(str(path), options) as book:
        book.set_properties({"created": datetime.datetime(2000, 1, 1)})
        styles = _styles(book)
        for sheet in sheets:
            _write_sheet(book.add_worksheet(_sheet_name(sheet.name)), sheet, styles, texts, most_rows)
        _write_about(book.add_worksheet(_sheet_name(texts["wb:about"])), run, sheets, styles, texts)


def _sheet_name(name: str) -> str:
    r"""The name as Excel takes it: 31 characters, none of []:*?/\\."""
    return re.sub(r"[\[\]:*?/\\]", " ", name)[:31].strip("'")


def _styles(book: Any) -> dict[str, Any]:
    cell = {"valign": "top", "bottom": 4, "bottom_color": "#adb5bd"}
    made = {kind: book.add_format({**cell, "num_format": form}) for kind, form in _FORMATS.items()}
    made |= {
        f"sum {kind}": book.add_format({**cell, "num_format": form, "bold": True, "top": 1})
        for kind, form in _FORMATS.items()
    }
    return {
        **made,
        "text": book.add_format({**cell, "text_wrap": True, "num_format": "@"}),
        "title": book.add_format({"bold": True, "font_size": 14}),
        "note": book.add_format({"font_color": "#495057", "italic": True}),
        "head": book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#e9ecef"}),
    }


def _write_sheet(sheet: Any, told: Sheet, styles: Mapping[str, Any], texts: Words, most_rows: int) -> None:
    head = _HEAD + len(told.above)
    fits = most_rows - head - 1
    shown = min(told.rows, fits)
    for place, column in enumerate(told.columns):
        sheet.set_column(place, place, column.width or _WIDTHS[column.kind])
    cut = texts["wb:cut"].format(shown=f"{shown:,}", rows=f"{told.rows:,}", file=told.file) if told.rows > shown else ""
    sheet.write_string(0, 0, told.name, styles["title"])
    sheet.write_string(1, 0, cut or (told.note if told.rows else told.empty), styles["note"])
    for line, (name, value) in enumerate(told.above, start=_HEAD):
        sheet.write_string(line, 0, name, styles["note"])
        sheet.write_string(line, 1, plain(value, limit=MOST_TEXT))
    if told.rows:
        sheet.set_row(head, 48)
    for place, column in enumerate(told.columns if told.rows else ()):
        sheet.write_string(head, place, column.title, styles["head"])
    columns = [(column.values[:shown], column.kind) for column in told.columns]
    for line in range(shown):
        last = told.last_is_sum and line == told.rows - 1
        for place, (values, kind) in enumerate(columns):
            _write_cell(
                sheet, head + 1 + line, place, value=values[line], style=styles[f"sum {kind}" if last else kind]
            )
    _set_page(sheet, told.name, head, shown, len(told.columns), last_is_sum=told.last_is_sum)


def _write_cell(sheet: Any, line: int, place: int, *, value: Any, style: Any) -> None:
    if isinstance(value, str):
        sheet.write_string(line, place, value, style)
    elif np.isfinite(value):
        sheet.write_number(line, place, value, style)
    else:
        sheet.write_blank(line, place, None, style)


def _set_page(sheet: Any, name: str, head: int, rows: int, columns: int, *, last_is_sum: bool = False) -> None:
    sheet.set_landscape()
    sheet.set_paper(_A4)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer(f"&L{name.replace('&', '&&')}&R&P / &N")
    if rows:
        sheet.freeze_panes(head + 1, 1)
        sheet.repeat_rows(head)
        if not last_is_sum:  # a filter would sort the sum among the rows
            sheet.autofilter(head, 0, head + rows, columns - 1)


def _write_about(sheet: Any, run: "Run", sheets: Sequence[Sheet], styles: Mapping[str, Any], texts: Words) -> None:
    """What each column means, what went in, what is assumed."""
    summary, product = run.summary, run.product
    name = texts["wb:about"]
    for place, width in enumerate((26, 34, 16, 80)):
        sheet.set_column(place, place, width)
    blocks = [
        (
            (name, texts["wb:column"], texts["wb:unit"], texts["wb:meaning"]),
            [(one.name, column.title, _unit_of(column), column.meaning) for one in sheets for column in one.columns],
        ),
        (
            (texts["wb:inputs"], texts["wb:file"], "bytes", "SHA-256"),
            [(str(file["role"]), file["name"], str(file["bytes"]), file["sha256"]) for file in summary["inputs"]],
        ),
        (
            (texts["wb:map"], "", "", texts["wb:source"]),
            [(product.title, str(product.year or ""), product.licence, product.attribution)],
        ),
        (
            (texts["wb:assumptions"], "", texts["wb:support"], texts["wb:source"]),
            [(row["term"], row["value"], row["support"], row["source"]) for row in summary["assumptions"]],
        ),
        ((texts["wb:notes"], "", "", ""), [("", "", "", warning) for warning in summary["warnings"]]),
    ]
    line = 0
    sheet.write_string(0, 0, name, styles["title"])
    for head, rows in blocks:
        line += 2
        for place, text in enumerate(head):
            sheet.write_string(line, place, text, styles["head"])
        for row in rows:
            line += 1
            for place, text in enumerate(row):
                sheet.write_string(line, place, plain(text, limit=MOST_TEXT), styles["text"])
    _set_page(sheet, name, 0, 0, 4)


def _unit_of(column: Column) -> str:
    if column.kind == "unit":
        return column.title.rpartition(", ")[2]
    return {"kg": "kg", "ha": "ha", "share": "%", "count": "1"}.get(column.kind, "")
