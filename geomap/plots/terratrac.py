"""Exports of TerraTrac: dates as Java writes them, accuracies as lists."""

import datetime
import json
import re
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.plots.columns import name_key
from geomap.plots.content import Content
from geomap.plots.values import cell_text

_OWN: Final = frozenset({"farmername", "farmsize", "collectionsite"})
_ACCURACIES: Final = ("accuracyarray", "accuracies")
_DATES: Final = frozenset({"createdat", "updatedat"})
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_ZONES: Final = {"UTC": 0, "GMT": 0, "WAT": 1, "CAT": 2, "SAST": 2, "EAT": 3, "ICT": 7, "WIB": 7}
"""Hours east of Greenwich of the zones that one name alone stands for."""
_JAVA_DATE: Final = re.compile(
    r"\w{3} (?P<month>\w{3}) (?P<day>\d{1,2}) (?P<time>\d{2}:\d{2}:\d{2}) (?P<zone>[A-Z]+)(?P<offset>[+-]\d{2}:\d{2})? "
    r"(?P<year>\d{4})"
)


def is_export(columns: pd.Index) -> bool:
    """Whether a table comes from TerraTrac, by its columns."""
    return {name_key(str(column)) for column in columns} >= _OWN


def tidy(content: Content) -> Content:
    """The same table with ISO dates, and the median of a plot's accuracies as its accuracy in metres."""
    if not is_export(content.frame.columns):
        return content
    frame = content.frame.copy(deep=False)
    keys = {name_key(str(column)): str(column) for column in frame.columns}
    for key in _DATES & keys.keys():
        frame[keys[key]] = pd.Series([_iso(value) for value in frame[keys[key]].tolist()], frame.index, dtype=object)
    accuracies = next((keys[key] for key in _ACCURACIES if key in keys), None)
    if accuracies and "gpsaccuracym" not in keys:
        medians = [_median(value) for value in frame[accuracies].tolist()]
        frame["gps_accuracy_m"] = pd.Series(medians, frame.index, dtype=object)
    return replace(content, frame=frame)


def java_date(text: str) -> str:
    """A date as Java's `Date.toString` writes it, as ISO 8601; any other text, or an unknown zone, stays as it is.

    Examples
    --------
    >>> java_date("Wed Aug 07 10:15:30 EAT 2024"), java_date("Wed Aug 07 10:15:30 GMT-06:00 2024"), java_date("CST 3")
    ('2024-08-07T10:15:30+03:00', '2024-08-07T10:15:30-06:00', 'CST 3')
    """
    found = _JAVA_DATE.fullmatch(text)
    if not found or found["month"] not in _MONTHS or found["zone"] not in _ZONES:
        return text
    offset = found["offset"] or f"+{_ZONES[found['zone']]:02d}:00"
    iso = f"{found['year']}-{_MONTHS.index(found['month']) + 1:02d}-{int(found['day']):02d}T{found['time']}{offset}"
    try:
        return datetime.datetime.fromisoformat(iso).isoformat()
    except ValueError:
        return text


def _iso(value: Any) -> Any:
    return java_date(value.strip()) if isinstance(value, str) else value


def _median(value: Any) -> float | None:
    """Median of the accuracies above 0 in a list such as "[3.2, 4.1]"; None where there is none."""
    try:
        numbers = json.loads(cell_text(value))
    except (ValueError, RecursionError):
        return None
    cells = numbers if isinstance(numbers, list) else [numbers]
    known = [float(cell) for cell in cells if isinstance(cell, int | float) and not isinstance(cell, bool) and cell > 0]
    return float(np.median(known)) if known else None
