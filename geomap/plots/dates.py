"""Dates as they stand in members' tables, and the seasons that they fall in."""

import datetime
import re
from collections.abc import Sequence
from typing import Any, Final

from geomap.plots.values import MISSING, cell_text

_DAY_FIRST: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})(?:[ T].*)?")
_ISO: Final = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?:[ T].*)?")
_YEAR: Final = re.compile(r"(\d{4})(?:\.0)?")
_SEASON: Final = re.compile(r"(\d{4})\s*[/-]\s*(\d{2}|\d{4})")
SEASON_START_MONTH: Final = 10
"""A season runs from October to September, as the coffee and cocoa years of the trade do."""


def read_dates(values: Sequence[Any]) -> tuple[list[str], dict[int, str], bool]:
    """ISO dates ("" where missing or unreadable), position → why unreadable, and whether an order was assumed.

    A year alone is its first of January, a month its first day. Where day and month could be exchanged, the column
    decides: a number above 12 shows which is the day; without one the day comes first.

    Examples
    --------
    >>> read_dates(["2024-05-01", "31/12/2023", "01/02/2024", "2019", "soon"])
    (['2024-05-01', '2023-12-31', '2024-02-01', '2019-01-01', ''], {4: 'it is no date'}, False)
    >>> read_dates(["01/02/2024"])
    (['2024-02-01'], {}, True)
    """
    texts = [cell_text(value) for value in values]
    pairs = [(int(found[1]), int(found[2])) for text in texts if (found := _DAY_FIRST.fullmatch(text))]
    day_first = any(first > 12 for first, _ in pairs)
    month_first = any(second > 12 for _, second in pairs)
    dates, faults = [], {}
    for place, text in enumerate(texts):
        dates.append("")
        if text.lower() in MISSING:
            continue
        try:
            if _DAY_FIRST.fullmatch(text) and day_first and month_first:
                raise ValueError("some dates of the column have the day first, others the month")
            dates[-1] = _date(text, month_first=month_first).isoformat()
        except ValueError as error:
            ours = str(error).startswith("some")
            faults[place] = str(error) if ours else "it is no date"
    return dates, faults, bool(pairs) and not day_first and not month_first


def season_year(text: str) -> int:
    """The year in which a season starts: "2026/27", "2026" or a date in it.

    Raises
    ------
    ValueError : no season, or one whose second year is not the next.

    Examples
    --------
    >>> season_year("2026/27"), season_year("2026"), season_year("2027-03-15"), season_year("2027-10-01")
    (2026, 2026, 2026, 2027)
    """
    found = _SEASON.fullmatch(text.strip())
    if found and (len(found[2]) == 4 or int(found[2]) == (int(found[1]) + 1) % 100):
        if len(found[2]) == 4 and int(found[2]) != int(found[1]) + 1:
            raise ValueError("it is no season such as 2026/27")
        return int(found[1])
    if _YEAR.fullmatch(text.strip()):
        return int(float(text))
    try:
        date = _date(text.strip(), month_first=False)
    except ValueError:
        raise ValueError("it is no season such as 2026/27") from None
    return date.year - (date.month < SEASON_START_MONTH)


def season_days(season: str) -> tuple[str, str]:
    """First and last day of a season, as ISO dates.

    Examples
    --------
    >>> season_days("2026/27")
    ('2026-10-01', '2027-09-30')
    """
    year = season_year(season)
    first = datetime.date(year, SEASON_START_MONTH, 1)
    return first.isoformat(), (datetime.date(year + 1, SEASON_START_MONTH, 1) - datetime.timedelta(days=1)).isoformat()


def _date(text: str, *, month_first: bool) -> datetime.date:
    iso, local, year = _ISO.fullmatch(text), _DAY_FIRST.fullmatch(text), _YEAR.fullmatch(text)
    if iso:
        return datetime.date(int(iso[1]), int(iso[2]), int(iso[3] or 1))
    if year and 1900 <= int(year[1]) <= 2200:
        return datetime.date(int(year[1]), 1, 1)
    if local:
        day, month = (int(local[2]), int(local[1])) if month_first else (int(local[1]), int(local[2]))
        full = int(local[3]) if len(local[3]) == 4 else 2000 + int(local[3])
        return datetime.date(full, month, day)
    raise ValueError("it is no date")
