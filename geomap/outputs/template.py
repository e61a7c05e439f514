"""The template workbook: sheets to print and fill in, which our readers know by their marks and headers."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from geomap import reference
from geomap.errors import OutputError
from geomap.outputs.publish import put_file
from geomap.outputs.words import Words, words
from geomap.plots.template import mark
from geomap.supply.crops import crop as find_crop
from geomap.supply.months import rows_of_crop, season_months

_PLOTS: Final = (
    *("plot_id", "member_id", "cooperative_id", "community", "declared_area_ha", "latitude", "longitude", "outline"),
    *("gps_accuracy_m", "planted_share", "planted_year", "variety", "altitude_m", "tenure"),
)
_APIARIES: Final = ("plot_id", "member_id", "cooperative_id", "community", "hives", "latitude", "longitude")
COLUMNS: Final = {
    "members": (
        *("member_id", "name", "cooperative_id", "community", "declared_area_ha", "joined", "left", "suspended"),
        *("certification", "certified_from", "certified_until"),
    ),
    "plots": _PLOTS,
    "field_estimates": ("member_id", "cooperative_id", "plot_id", "season", "date", "kg", "form", "estimator"),
    "deliveries": ("member_id", "cooperative_id", "season", "date", "receipt", "kg", "form"),
    "contracts": ("buyer", "cooperative_id", "month", "kg", "form", "certification"),
}
"""Kind of sheet → our names of its columns, in their order."""
EXAMPLE: Final[dict[str, Any]] = {
    "member_id": "M-001", "name": "Ana López", "cooperative_id": "COOP-1", "community": "El Cedro",
    "declared_area_ha": 1.5, "joined": datetime.date(2015, 3, 1), "left": "", "suspended": "",
    "certification": "Fairtrade", "certified_from": datetime.date(2024, 1, 1),
    "certified_until": datetime.date(2026, 12, 31), "plot_id": "M-001-1", "latitude": 14.0723, "longitude": -87.1921,
    "outline": "", "gps_accuracy_m": 4, "planted_share": 0.9, "planted_year": 2015, "variety": "Catuaí",
    "altitude_m": 1250, "hives": 12, "season": "2024/25", "date": datetime.date(2025, 1, 15), "kg": 450,
    "estimator": "Luis Mejía", "receipt": "R-0001", "buyer": "Café Import", "month": "2025-03",
}  # fmt: skip
_DATES: Final = ("joined", "left", "suspended", "certified_from", "certified_until", "date")
_NUMBERS: Final = (
    *("declared_area_ha", "latitude", "longitude", "gps_accuracy_m", "planted_share", "planted_year", "altitude_m"),
    *("hives", "kg"),
)
_WIDTHS: Final = {"name": 24, "outline": 30, "community": 18, "buyer": 22}
_WIDTH: Final = 14
_LINES: Final = 40
"""Empty lines with borders, so that an empty sheet prints as a list to fill in; more may be filled in."""
_NOTES, _HEADER, _FIRST = 1, 2, 3
_LAST_ROW: Final = 1_048_575
_A4: Final = 9


@dataclass(frozen=True)
class _Office:
    """The texts of a language, and what may be chosen: product forms in it, and the months of the season."""

    texts: Words
    form: Sequence[str]
    month: Sequence[str]


def write_template(path: Path, *, crop: str = "coffee", language: str = "en", season: str | None = None) -> None:
    """Write a workbook for an office to print and fill in: members, plots, field estimates, deliveries, contracts.

    Each sheet has its header in the language, a line of notes above it, a grey example below it that readers leave out,
    and a mark by which its reader knows it. So the same file can be given as plots, as members and as deliveries.
    Equal options give equal bytes.

    Parameters
    ----------
    path : the workbook, .xlsx.
    crop : gives the product forms to choose from; honey has hives instead of areas.
    language : en, es, fr or pt.
    season : "2026/27": its months can be chosen in the contracts; without it a month is typed.

    Raises
    ------
    UnknownNameError : no crop, language or season has this name. OutputError : the file cannot be written.
    """
    if Path(path).exists():
        raise OutputError(
            f"{Path(path).name} is there already.",
            why="It may hold what an office filled in.",
            todo="Give another name, or delete the file first.",
        )
    known, texts = find_crop(crop), words(language)
    months = [] if season is None else season_months(season, known.season_start_month)
    office = _Office(texts, form_words(known.name, language), months)
    columns = COLUMNS | ({"plots": _APIARIES} if known.unit == "hive" else {})
    put_file(Path(path), lambda draft: _write(draft, columns, office))


def form_words(crop: str, language: str) -> list[str]:
    """The product forms of a crop in a language, as our readers know them; their own names where it has no word.

    Examples
    --------
    >>> form_words("cocoa", "en"), form_words("coffee", "es")[:1]
    (['dry', 'wet'], ['oro'])
    """
    forms, spoken = (rows_of_crop(reference.table(name), crop) for name in ("forms", "form_words"))
    spoken = spoken[spoken["language"] == language].drop_duplicates("form")
    own = dict(zip(spoken["form"], spoken["word"], strict=True))
    return [str(own.get(form, form)) for form in forms["form"]]


def _write(path: Path, columns: dict[str, tuple[str, ...]], office: _Office) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(str(path), {"strings_to_formulas": False, "strings_to_urls": False}) as book:
        book.set_properties({"created": datetime.datetime(2000, 1, 1)})
        styles = _styles(book)
        for kind, names in columns.items():
            title = office.texts[f"s:{kind}"]
            sheet = book.add_worksheet(title)
            sheet.write_string(0, 0, f"{title} · {office.texts['template']} · {mark(kind)}", styles["title"])
            _fill(sheet, names, office, styles)
            _choices(sheet, names, office)
            _page(sheet, title, len(names))


def _styles(book: Any) -> dict[str, Any]:
    cell = {"border": 1, "border_color": "#adb5bd", "valign": "top"}
    grey = {"font_color": "#868e96", "italic": True, "bg_color": "#f1f3f5"}
    forms = {"text": "@", "date": "yyyy-mm-dd", "number": "General"}
    return {
        "title": book.add_format({"bold": True, "font_size": 14}),
        "note": book.add_format({"font_size": 8, "font_color": "#495057", "text_wrap": True, "valign": "top"}),
        "header": book.add_format({**cell, "bold": True, "text_wrap": True, "bg_color": "#e9ecef"}),
        **{name: book.add_format({**cell, "num_format": form}) for name, form in forms.items()},
        **{f"example {name}": book.add_format({**cell, **grey, "num_format": form}) for name, form in forms.items()},
    }


def _style(name: str) -> str:
    return "date" if name in _DATES else "number" if name in _NUMBERS else "text"


def _fill(sheet: Any, names: Sequence[str], office: _Office, styles: dict[str, Any]) -> None:
    """Notes, header, the grey example and empty lines."""
    texts = office.texts
    sheet.set_row(_NOTES, 58)
    examples = EXAMPLE | {"form": office.form[0], "tenure": texts["e:tenure"]}
    examples |= {"month": office.month[0]} if office.month else {}
    for place, name in enumerate(names):
        style = _style(name)
        sheet.set_column(place, place, _WIDTHS.get(name, _WIDTH), None)
        sheet.write_string(_NOTES, place, texts[f"n:{name}"], styles["note"])
        sheet.write_string(_HEADER, place, texts[f"t:{name}"], styles["header"])
        value, look = examples[name], styles[f"example {style}"]
        if place == 0:
            sheet.write_string(_FIRST, place, f"{texts['example']}: {value}", look)
        elif isinstance(value, datetime.date):
            sheet.write_datetime(_FIRST, place, datetime.datetime(value.year, value.month, value.day), look)
        elif isinstance(value, str):
            sheet.write_string(_FIRST, place, value, look)
        else:
            sheet.write_number(_FIRST, place, value, look)
        for line in range(_FIRST + 1, _FIRST + 1 + _LINES):
            sheet.write_blank(line, place, None, styles[style])


def _choices(sheet: Any, names: Sequence[str], office: _Office) -> None:
    """Lists to choose from; another word is warned of, not refused, as the office may have its own."""
    for name, choices in (("form", office.form), ("month", office.month)):
        if name in names and choices:
            place = names.index(name)
            title, message = office.texts[f"t:{name}"], office.texts["choose"]
            rule = {"validate": "list", "source": list(choices), "error_type": "warning"}
            sheet.data_validation(
                _FIRST, place, _LAST_ROW, place, {**rule, "input_title": title, "input_message": message}
            )


def _page(sheet: Any, title: str, columns: int) -> None:
    sheet.freeze_panes(_FIRST, 1)
    sheet.set_landscape()
    sheet.set_paper(_A4)
    sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
    sheet.repeat_rows(_NOTES, _HEADER)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer(f"&L{title.replace('&', '&&')}&R&P / &N")
