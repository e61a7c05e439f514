"""A land-cover sample for the field: points for a phone or GPS (KML), and the sheet to fill in (XLSX or CSV)."""

import csv
import datetime
import io
from pathlib import Path
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

from geomap.errors import OutputError
from geomap.landcover.product import Product
from geomap.landcover.sample_plan import SamplePlan
from geomap.outputs.publish import put_file
from geomap.outputs.text import csv_text, plain
from geomap.outputs.words import Words, words

POINTS_FILE: Final = "sample_points.kml"
SHEET_FILES: Final = {"xlsx": "sample_sheet.xlsx", "csv": "sample_sheet.csv"}
SHEET_COLUMNS: Final = {
    "point_id": 10, "community": 18, "plot_id": 16, "latitude": 12, "longitude": 12,
    "reference_class": 34, "can_bear": 12, "date": 12, "note": 30, "map_class": 10,
}  # fmt: skip
"""Columns of the sheet and how wide they are. The map's class stands last, as a code: it must not sway who looks."""
TO_FILL_IN: Final = ("reference_class", "can_bear", "date", "note")

_HEADER: Final = 1
_A4: Final = 9


def write_sample_plan(
    plan: SamplePlan, product: Product, out: Path, *, sheet: Literal["xlsx", "csv"] = "xlsx", language: str = "en"
) -> list[Path]:
    """Leave sample_points.kml and sample_sheet.xlsx (or .csv) in the folder `out`; returns the files written.

    The KML has one placemark per point, named P001 and so on, with what to look at; it does not say what the map shows
    there. The sheet has a line per point with columns to fill in; `read_local_sample` reads it back. Both name plots
    and are for the office. Equal plans give equal bytes.

    Parameters
    ----------
    plan : of `sample_plan`.
    product : whose legend can be chosen from in the workbook.
    language : en, es, fr or pt; names of columns and classes stay as they are.

    Raises
    ------
    OutputError : a file cannot be written, or the sheet is there already. UnknownNameError : another language.
    """
    texts, out = words(language), Path(out)
    paths = [out / POINTS_FILE, out / SHEET_FILES[sheet]]
    if paths[1].exists():
        raise OutputError(
            f"{paths[1].name} is there already.",
            why="It may hold what somebody found in the field.",
            todo="Choose another folder, or move the sheet first.",
        )
    placemarks = _kml(plan, texts)
    put_file(paths[0], lambda draft: draft.write_text(placemarks, encoding="utf-8", newline="\n"))
    if sheet == "csv":
        lines = _csv(plan)
        put_file(paths[1], lambda draft: draft.write_text(lines, encoding="utf-8-sig", newline=""))
    else:
        put_file(paths[1], lambda draft: _write_workbook(plan, product, texts, draft))
    return paths


def _kml(plan: SamplePlan, texts: Words) -> str:
    edge, look = f"{plan.cell_m:.0f}", texts["lc:look"]
    marks = [
        f"<Placemark><name>{point.Index}</name>"
        f"<description>{escape(look.format(edge=edge, point=point.Index))}</description>"
        f"<Point><coordinates>{point.longitude:.6f},{point.latitude:.6f}</coordinates></Point></Placemark>"
        for point in plan.points.itertuples()
    ]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<kml xmlns="http://www.opengis.net/kml/2.2">',
            f"<Document><name>{escape(texts['lc:title'])}</name>",
            *marks,
            "</Document>",
            "</kml>",
            "",
        ]
    )


def _lines(plan: SamplePlan) -> list[list[Any]]:
    """Cells of the sheet, one list per point in the order of `SHEET_COLUMNS`; "" where somebody fills in."""
    given = plan.points.reset_index()
    return [
        [plain(row[name]) if isinstance(row.get(name), str) else row.get(name, "") for name in SHEET_COLUMNS]
        for row in given.to_dict("records")
    ]


def _csv(plan: SamplePlan) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(SHEET_COLUMNS)
    writer.writerows([csv_text(cell) for cell in line] for line in _lines(plan))
    return stream.getvalue()


def _write_workbook(plan: SamplePlan, product: Product, texts: Words, path: Path) -> None:
    """Texts are texts, whatever they begin with; the columns to fill in are yellow and have lists to choose from."""
    import xlsxwriter

    with xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"created": datetime.datetime(2000, 1, 1)})
        sheet = book.add_worksheet(plain(texts["lc:title"], limit=31))
        cell = {"border": 1, "border_color": "#adb5bd", "valign": "top"}
        head = book.add_format({**cell, "bold": True, "bg_color": "#e9ecef"})
        note = book.add_format({"text_wrap": True, "valign": "top", "font_size": 9})
        fixed, fill = book.add_format(cell), book.add_format({**cell, "num_format": "@", "bg_color": "#fffbe6"})
        columns, lines = list(SHEET_COLUMNS), _lines(plan)
        sheet.merge_range(0, 0, 0, len(columns) - 1, texts["lc:fill"].format(edge=f"{plan.cell_m:.0f}"), note)
        sheet.set_row(0, 42)
        for place, (name, width) in enumerate(SHEET_COLUMNS.items()):
            sheet.set_column(place, place, width)
            sheet.write_string(_HEADER, place, name, head)
            for line, values in enumerate(lines, start=_HEADER + 1):
                if name in TO_FILL_IN:
                    sheet.write_blank(line, place, None, fill)
                elif isinstance(values[place], str):
                    sheet.write_string(line, place, values[place], fixed)
                else:
                    sheet.write_number(line, place, values[place], fixed)
        _choices(book, sheet, product, texts, len(lines))
        sheet.freeze_panes(_HEADER + 1, 1)
        sheet.set_landscape()
        sheet.set_paper(_A4)
        sheet.repeat_rows(0, _HEADER)
        sheet.fit_to_pages(1, 0)
        sheet.set_footer("&R&P / &N")


def _choices(book: Any, sheet: Any, product: Product, texts: Words, count: int) -> None:
    """Lists to choose from. The legend stands on a hidden sheet: a list in the rule itself may have 255 letters."""
    legend = book.add_worksheet("legend")
    legend.hide()
    for line, name in enumerate(product.legend["name"]):
        legend.write_string(line, 0, plain(name))
    last, columns = _HEADER + max(count, 1), list(SHEET_COLUMNS)
    sources = {
        "reference_class": f"=legend!$A$1:$A${len(product.legend)}",
        "can_bear": [texts["lc:yes"], texts["lc:no"]],
    }
    for name, source in sources.items():
        place = columns.index(name)
        rule = {"validate": "list", "source": source, "error_type": "warning"}
        sheet.data_validation(_HEADER + 1, place, last, place, rule)
