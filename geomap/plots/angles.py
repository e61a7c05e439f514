"""Latitudes and longitudes in degrees, minutes and seconds, and pairs of them in one cell."""

import re
from typing import Final, Literal

Axis = Literal["latitude", "longitude"]

_LETTERS: Final = {"latitude": {"N": 1, "S": -1}, "longitude": {"E": 1, "L": 1, "W": -1, "O": -1}}
"""North, south; east (L for leste), west (O for oeste, ouest)."""
_SIXTIETHS = (
    r"(?:(?P<minutes>\d{1,2}(?:[.,]\d+)?)\s*['’′´m:]\s*)?(?:(?P<seconds>\d{1,2}(?:[.,]\d+)?)\s*(?:[\"”″]|''|’’|´´|s)?)?"
)
_ANGLE = re.compile(
    rf"(?P<first>[NSEWOL])?\s*(?P<sign>[-+])?(?P<degrees>\d{{1,3}}(?:[.,]\d+)?)\s*(?P<mark>[°ºd˚:])?\s*{_SIXTIETHS}"
    r"\s*(?P<last>[NSEWOL])?",
    re.IGNORECASE,
)
_PLAIN = r"[-+]?\d{1,3}\.\d+"
_PAIR = re.compile(rf"\(?\s*({_PLAIN})\s*[,;]\s*({_PLAIN})\s*\)?")
_DMS_PAIR = re.compile(r"([^NS,;]*\d[^NS,;]*[NS])\s*[,; ]\s*([^EWOL,;]*\d[^EWOL,;]*[EWOL])", re.IGNORECASE)


def parse_angle(text: str, axis: Axis) -> float | None:
    r"""Decimal degrees of a text such as 14°36'12.5"N; None where it is not written in this way.

    degrees + minutes / 60 + seconds / 3600, negative in the south and the west. O is west (oeste, ouest), L is east
    (leste).

    Raises
    ------
    ValueError : minutes or seconds of 60 and more, a sign and a letter, or the letter of the other axis.

    Examples
    --------
    14 + 36/60 + 12.6/3600 = 14.6035:

    >>> parse_angle("14°36'12.6\"N", "latitude"), parse_angle("87,5 O", "longitude"), parse_angle("14.5", "latitude")
    (14.6035, -87.5, None)
    """
    found = _ANGLE.fullmatch(text.strip())
    letter = (found["first"] or found["last"] or "").upper() if found else ""
    if not found or not (letter or found["mark"]):
        return None
    if found["seconds"] and not found["minutes"]:
        return None
    if letter and letter not in _LETTERS[axis]:
        raise ValueError(f'the letter "{letter}" does not belong to a {axis}')
    if (letter and found["sign"]) or (found["first"] and found["last"]):
        raise ValueError("it has a sign and a letter, or two letters")
    degrees, minutes, seconds = (_number(found[part]) for part in ("degrees", "minutes", "seconds"))
    if minutes >= 60 or seconds >= 60 or (found["minutes"] and degrees % 1) or (found["seconds"] and minutes % 1):
        raise ValueError("its degrees, minutes and seconds do not fit together")
    sign = _LETTERS[axis][letter] if letter else -1 if found["sign"] == "-" else 1
    return sign * round(degrees + minutes / 60 + seconds / 3600, 12)


def parse_pair(text: str) -> tuple[float, float] | None:
    """(longitude, latitude) of a cell that holds "latitude, longitude" as map programs copy it; else None.

    Examples
    --------
    >>> parse_pair("14.1, -87.2"), parse_pair("14°30'N 87°12'W"), parse_pair("behind the school")
    ((-87.2, 14.1), (-87.2, 14.5), None)
    """
    plain = _PAIR.fullmatch(text.strip())
    if plain:
        return float(plain[2]), float(plain[1])
    angles = _DMS_PAIR.fullmatch(text.strip())
    if not angles:
        return None
    try:
        latitude, longitude = parse_angle(angles[1], "latitude"), parse_angle(angles[2], "longitude")
    except ValueError:
        return None
    return None if latitude is None or longitude is None else (longitude, latitude)


def _number(digits: str | None) -> float:
    return float(digits.replace(",", ".")) if digits else 0.0
