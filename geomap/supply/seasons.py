"""Seasons and months as offices write them."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from geomap.plots.dates import read_dates

NO_SEASON: Final = "?"
"""What names a season that does not exist, or a year that two seasons share."""

_PAIR: Final = re.compile(r"(?<!\d)((?:19|20)?\d\d)\s*[/\-–—_ ]\s*((?:19|20)?\d\d)(?!\d)")
_YEAR: Final = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_MONTHS: Final = (
    "jan january ene enero janv janvier janeiro januari",
    "feb february febrero fev fevr fevrier fevereiro februari",
    "mar march marzo mars marco maret machi",
    "apr april abr abril avr avril aprili",
    "may mayo mai maio mei",
    "jun june junio juin junho juni",
    "jul july julio juil juillet julho juli",
    "aug august ago agosto aout agustus ags agosti",
    "sep sept september septiembre setiembre set septembre setembro septemba",
    "oct october octubre octobre out outubro okt oktober oktoba",
    "nov november noviembre novembre novembro novemba",
    "dec december dic diciembre decembre dez dezembro des desember desemba",
)
"""Names of the months in English, Spanish, French, Portuguese, Indonesian and Swahili, without accents."""

_MONTH_WORDS: Final = {word: number for number, words in enumerate(_MONTHS, start=1) for word in words.split()}


def find_season(text: str) -> str:
    """The season that a text names: "" where it names none, "?" where it does not exist or could be two.

    Examples
    --------
    >>> [find_season(text) for text in ["Cosecha 2023-24", "23/24", "2023/2024", "1999/00", "2023/25", "2024", "kg"]]
    ['2023/24', '2023/24', '2023/24', '1999/00', '?', '?', '']
    """
    found = _PAIR.search(text)
    if not found:
        return NO_SEASON if _YEAR.search(text) else ""
    first, second = found[1], found[2]
    start = int(first) if len(first) == 4 else 2000 + int(first)
    wrong = len(second) == 4 and int(second) != start + 1
    return NO_SEASON if wrong or int(second[-2:]) != (start + 1) % 100 else f"{start}/{(start + 1) % 100:02d}"


def season_of(date: npt.NDArray[np.datetime64], start_month: int) -> npt.NDArray[np.object_]:
    """The season in which each date lies; "" where it is not a time.

    Examples
    --------
    >>> season_of(np.array(["2024-09-30", "2024-10-01", "NaT"], dtype="datetime64[s]"), 10).tolist()
    ['2023/24', '2024/25', '']
    """
    months = date.astype("datetime64[M]").astype(np.int64)
    known = ~np.isnat(date)
    year = np.where(known, (months + 12 * 1970 - (start_month - 1)) // 12, 0)
    distinct, code = np.unique(year, return_inverse=True)
    names = [f"{start}/{(start + 1) % 100:02d}" if start else "" for start in distinct.tolist()]
    return np.array(names, dtype=object)[code]


def read_day(texts: Sequence[str]) -> tuple[list[str], dict[int, str], bool]:
    """Dates of a column as ISO texts, position → why unreadable, and whether an order was assumed.

    As `geomap.plots.dates.read_dates`; months may be written in words, and a year alone is no date of a delivery.

    Examples
    --------
    >>> read_day(["15-ene-24", "3 de febrero de 2024", "2024"])
    (['2024-01-15', '2024-02-03', ''], {2: 'it is a year, not a date'}, False)
    """
    plain = [_with_number_of_month(text) for text in texts]
    dates, faults, is_assumed = read_dates(plain)
    for place, text in enumerate(plain):
        if _YEAR.fullmatch(text.strip()):
            dates[place], faults[place] = "", "it is a year, not a date"
    return dates, faults, is_assumed


def find_month(text: str) -> str:
    """The month that a text names, as YYYY-MM; "" where it names none beyond doubt.

    Examples
    --------
    >>> [find_month(text) for text in ["enero 2027", "Jan 27", "2027-01", "01/2027", "2027-01-15", "ene", "13/2027"]]
    ['2027-01', '2027-01', '2027-01', '2027-01', '2027-01', '', '']
    """
    number = next((_MONTH_WORDS[word] for word in re.findall(r"[^\W\d_]+", _fold(text)) if word in _MONTH_WORDS), 0)
    digits = re.findall(r"\d+", text)
    if number:
        years = [part for part in digits if len(part) == 4] or ([digits[-1]] if digits and len(digits[-1]) == 2 else [])
        return f"{_full(years[0])}-{number:02d}" if len(years) == 1 else ""
    for pattern in (
        r"\s*(?P<y>(?:19|20)\d\d)[-/. ](?P<m>\d{1,2})(?:[-/.]\d{1,2}.*)?\s*",
        r"\s*(?P<m>\d{1,2})[-/. ](?P<y>(?:19|20)\d\d)\s*",
    ):
        found = re.fullmatch(pattern, text)
        if found and 1 <= int(found["m"]) <= 12:
            return f"{found['y']}-{int(found['m']):02d}"
    return ""


def _with_number_of_month(text: str) -> str:
    """15-ene-24 and "3 de febrero de 2024" as 15/1/24 and 3/2/2024; other texts as they are."""
    found = re.fullmatch(
        r"\s*(\d{1,2})[\s\-/.]+(?:de\s+)?([^\W\d_]+)\.?[\s\-/.]+(?:de\s+|del\s+)?(\d{4}|\d{2})\s*", text
    )
    if found and _fold(found[2]) in _MONTH_WORDS:
        return f"{_full(found[3])}-{_MONTH_WORDS[_fold(found[2])]:02d}-{int(found[1]):02d}"
    return text


def _full(year: str) -> int:
    return int(year) if len(year) == 4 else 2000 + int(year)


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
