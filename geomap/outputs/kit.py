"""The technician's kit: findings as a workbook to decide in, work lists by community, and a sheet for each member."""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError
from geomap.outputs.kit_data import Kit, kit_of
from geomap.outputs.publish import put_file
from geomap.outputs.text import plain
from geomap.outputs.words import LANGUAGES, Words, decision_keys, words
from geomap.plots.decisions import COLUMNS, DECISIONS
from geomap.plots.intake import take_in_table

if TYPE_CHECKING:
    from geomap.plots.prepare import Prepared
    from geomap.run import Run

WORKBOOK: Final = "findings.xlsx"
WORK_LISTS: Final = "work_lists.html"
MEMBER_SHEETS: Final = "member_sheets.html"
MEMBERS_PER_FILE: Final = 500
_MOST_CHARACTERS: Final = 1_000
"""A text in an upload may have as many, and findings.xlsx comes back as one."""
_WIDTHS: Final = {
    "severity": 10, "given_id": 16, "member": 12, "name": 22, "community": 16, "cooperative": 16, "found": 38,
    "other_plot": 16, "todo": 38, "decision": 24, "details": 60, "effect_ha": 11, "effect_kg": 11, "treated": 11,
    "row": 8, "code": 18, "plot_id": 16, "other_plot_id": 16,
}  # fmt: skip
"""Columns of findings.xlsx in their order, and how wide they are. The last three keep their names in every language."""
_MACHINE: Final = ("code", "plot_id", "other_plot_id")
_COLOURS: Final = {"block": "#f8d7da", "warn": "#fff3cd", "note": "#e7f0f7"}


def write_kit(
    source: "Run | Prepared", out: Path, *, findings: pd.DataFrame | None = None, language: str = "en"
) -> list[Path]:
    """Leave findings.xlsx, work_lists.html and member_sheets.html in the folder `out`; returns the files written.

    Each file is the old one or the new one, never a part of it. Equal inputs give equal bytes. The pages need no
    network and print on A4, one community or member after the other. Member sheets go on in member_sheets_2.html and
    so on after 500 members each.

    Parameters
    ----------
    source : a run, or plots as `prepare_plots` returns them. Areas in hectares, outlines in EPSG:4326.
    findings : all findings, those of reading included, instead of the source's.
    language : en, es, fr or pt. Details of a finding stay in English.

    Raises
    ------
    OutputError : a file cannot be written. UnknownNameError : another language.
    """
    from geomap.outputs.kit_pages import member_sheets, work_lists

    kit, texts = kit_of(source, findings), words(language)
    paths = [out / WORKBOOK, out / WORK_LISTS]
    put_file(paths[0], lambda draft: _write_workbook(kit, texts, draft))
    _put_page(paths[1], work_lists(kit, texts))
    for number, page in enumerate(member_sheets(kit, texts, MEMBERS_PER_FILE), start=1):
        path = out / (MEMBER_SHEETS if number == 1 else MEMBER_SHEETS.replace(".html", f"_{number}.html"))
        _put_page(path, page)
        paths.append(path)
    return paths


def _put_page(path: Path, page: str) -> None:
    put_file(path, lambda draft: draft.write_text(page, encoding="utf-8", newline="\n"))


def finding_rows(kit: Kit, texts: Words) -> pd.DataFrame:
    """One row per finding as findings.xlsx shows it: columns `_WIDTHS`, texts as they may be shown."""
    found, plots = kit.findings, kit.plots
    own = plots.reindex(found["plot_id"])
    given = plots["given_id"].where(plots["given_id"].fillna("") != "", plots.index.to_series())
    people = kit.members.reindex(own["member_id"])
    columns: dict[str, Any] = {
        "severity": [texts[severity] for severity in found["severity"]],
        "given_id": given.reindex(found["plot_id"]).where(own.index.isin(plots.index), found["plot_id"].to_numpy()),
        "member": own["member_id"],
        "name": people["name"],
        "community": own["community"],
        "cooperative": own["cooperative_id"],
        "found": [texts.title(code) for code in found["code"]],
        "other_plot": given.reindex(found["other_plot_id"]),
        "todo": [texts.remedies.get(code, "") for code in found["code"]],
        "decision": [""] * len(found),
        "details": found["message"],
        "effect_ha": found["effect_ha"].round(4),
        "effect_kg": found["effect_kg"].round(1),
        "treated": [texts[action] for action in found["action"]],
        "row": own["row"] if "row" in own else [np.nan] * len(found),
    }
    shown = {
        name: np.asarray(values, dtype=float)
        if name in ("effect_ha", "effect_kg", "row")
        else [plain(value, limit=_MOST_CHARACTERS) for value in values]
        for name, values in columns.items()
    }
    machine = {name: found[name].astype("str").to_numpy() for name in _MACHINE}
    return pd.DataFrame({**shown, **machine}, columns=list(_WIDTHS))


def _write_workbook(kit: Kit, texts: Words, path: Path) -> None:
    """The workbook: texts are texts, whatever they begin with."""
    import xlsxwriter

    table = finding_rows(kit, texts)
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(str(path), options) as book:
        book.set_properties({"created": datetime.datetime(2000, 1, 1)})
        sheet = book.add_worksheet(plain(texts["findings"], limit=31))
        head = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#e9ecef"})
        plain_cell = book.add_format({"text_wrap": True, "valign": "top", "num_format": "@"})
        decide = book.add_format({"text_wrap": True, "valign": "top", "bg_color": "#fffbe6", "border": 4})
        numbers = {
            name: book.add_format({"valign": "top", "num_format": form})
            for name, form in (("effect_ha", "0.0000"), ("effect_kg", "#,##0.0"), ("row", "0"))
        }
        for place, (name, width) in enumerate(_WIDTHS.items()):
            sheet.set_column(place, place, width)
            sheet.write_string(0, place, name if name in _MACHINE else texts[name], head)
        for line, row in enumerate(table.itertuples(index=False), start=1):
            for place, (name, value) in enumerate(zip(table.columns, row, strict=True)):
                if name in numbers:
                    if np.isfinite(value):
                        sheet.write_number(line, place, value, numbers[name])
                else:
                    sheet.write_string(line, place, value, decide if name == "decision" else plain_cell)
        _finish(sheet, book, texts, len(table))


def _finish(sheet: Any, book: Any, texts: Words, rows: int) -> None:
    columns = list(_WIDTHS)
    decision, last = columns.index("decision"), max(rows, 1)
    sheet.freeze_panes(1, columns.index("member"))
    sheet.autofilter(0, 0, last, len(columns) - 1)
    choices = [texts[f"d:{decision}"] for decision in DECISIONS]
    sheet.data_validation(
        1, decision, last, decision,
        {"validate": "list", "source": choices, "input_title": texts["decision"], "input_message": texts["choose"]},
    )  # fmt: skip
    for severity, colour in _COLOURS.items():
        rule = {"type": "cell", "criteria": "==", "value": f'"{texts[severity]}"'}
        sheet.conditional_format(1, 0, last, 0, {**rule, "format": book.add_format({"bg_color": colour})})
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def read_decisions(path: Path, *, uploads: bool = False) -> pd.DataFrame:
    """What people decided in findings.xlsx: plot_id, other_plot_id, code, decision; rows without a decision are absent.

    The workbook may come back in any of the languages, sorted, filtered, saved by another program, or as CSV. It is
    read in a child process like every workbook; with `uploads`, within the caps of a stranger's file.

    Raises
    ------
    GeomapError : the file cannot be read. ColumnError : a column is missing, or a decision is not known.
    """
    cells, _, _ = take_in_table(Path(path), COLUMNS, uploads=uploads)
    names = {words(language)["decision"].casefold() for language in LANGUAGES}
    marked = [str(column) for column in cells.columns if str(column).casefold() in names]
    places = {name: name for name in COLUMNS if name in cells.columns} | ({"decision": marked[0]} if marked else {})
    absent = [name for name in COLUMNS if name not in places]
    if absent:
        raise ColumnError(
            f"{path.name} has no column {', '.join(map(repr, absent))}.",
            why="Without them nobody knows which plot a decision is about.",
            todo="Use the findings.xlsx that the kit wrote; leave its last three columns as they are.",
        )
    table = cells[[places[name] for name in COLUMNS]].set_axis(list(COLUMNS), axis=1)
    table = table[table["decision"] != ""]
    made = [_decision(text, path, row + 1) for row, text in table["decision"].items()]
    return table.assign(decision=pd.Series(made, index=table.index, dtype="str")).reset_index(drop=True)


def _decision(text: str, path: Path, line: int) -> str:
    key = decision_keys().get(text.casefold())
    if key is None:
        raise ColumnError(
            f"{path.name}, row {line}: the decision '{plain(text, limit=60)}' is not known.",
            why="A decision that is misread could leave out a plot.",
            todo="Choose one from the list in that cell, or clear it.",
        )
    return key
