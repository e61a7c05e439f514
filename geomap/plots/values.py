"""Values as they stand in files: texts, ids, numbers with units. What cannot be read is said, never guessed."""

import datetime
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geomap.plots.angles import parse_angle
from geomap.plots.quantities import QUANTITIES, Quantity

_SPACE = re.compile(r"[\t\n\v\f\r\x85]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d{0,8})(\.\d{1,12})?")
_QUANTITY = re.compile(
    r"([-+]?[\d.,\s'’]*\d|[-+]?\d+[.,]|[-+]?\d+(?:[.,]\d+)?[eE][-+]?\d+)\s*([^\d\s.,](?:[^\d]|(?<=[mMtTsS])2)*)?"
)
_HA_A_CA = re.compile(r"(\d{1,4})-(\d{2})-(\d{2})")
_PLAIN_LINES = re.compile(r"(?:-?\d{1,15}(?:\.\d+)?)?+(?:\n(?:-?\d{1,15}(?:\.\d+)?)?+)*+")
_SURE_COMMA = re.compile(r"(?m)^-?(?:0\d*|\d{4,}|\d+(?=,(?:\d{1,2}|\d{4,})$)),\d+$")
_DATE = re.compile(r"(\d{4})-\d{1,2}(?:-\d.*)?|\d{1,2}[/.]\d{1,2}[/.](\d{4})")
MISSING: Final = frozenset(
    {"", "na", "n/a", "n.a.", "nan", "null", "none", "-", "--", "–", ".", "<na>", "#n/a", "#ref!", "s/d", "n/d"}
)


def clean_text(text: str) -> str:
    r"""The text in Unicode NFC, without control characters (line ends become spaces) and outer spaces.

    Examples
    --------
    >>> clean_text(" Jose\u0301\n\x00 ")
    'José'
    """
    if not (text.isascii() and text.isprintable()):
        text = _SURROGATE.sub("\ufffd", _CONTROL.sub("", _SPACE.sub(" ", text)))
        text = unicodedata.normalize("NFC", text)
    return text.strip()


def cell_text(value: Any) -> str:
    """One cell as clean text: a whole number without ".0", a date as YYYY-MM-DD, a list as JSON; "" where missing.

    Examples
    --------
    >>> [cell_text(value) for value in ["00123", 12.0, 1.5, None, float("nan"), True]]
    ['00123', '12', '1.5', '', '', 'true']
    """
    if isinstance(value, str):
        return clean_text(value)
    if value is None or value is pd.NaT or value is pd.NA:
        return ""
    if isinstance(value, np.bool_):
        value = bool(value)
    if isinstance(value, float | np.floating):
        return _float_text(float(value))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat().removesuffix("T00:00:00")
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return clean_text(json.dumps(value, ensure_ascii=False, default=str) if _is_json(value) else str(value))


def _is_json(value: Any) -> bool:
    return isinstance(value, list | dict | bool)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def texts(values: Iterable[Any]) -> list[str]:
    """Every value as clean text."""
    cells = list(values)
    if all(type(cell) is str for cell in cells) and (joined := "".join(cells)).isascii() and joined.isprintable():
        return [cell.strip() for cell in cells]  # nothing to clean; most columns of ids and names
    return [cell_text(cell) for cell in cells]


def unique_names(names: Sequence[str]) -> list[str]:
    """Clean names, each once: a second "note" is "note_2", an empty one "column_3" by its place.

    Examples
    --------
    >>> unique_names(["id", "note", "Note", ""])
    ['id', 'note', 'Note_2', 'column_4']
    """
    taken: set[str] = set()
    result = []
    for place, given in enumerate(names, start=1):
        label = base = clean_text(given) or f"column_{place}"
        number = 2
        while label.casefold() in taken:
            label, number = f"{base}_{number}", number + 1
        taken.add(label.casefold())
        result.append(label)
    return result


def attribute(values: pd.Series, *, typed: bool) -> pd.Series:
    """A further column: numbers stay numbers (missing is NaN), all else becomes text (missing is "").

    In files without types (`typed=False`) a column is of numbers if each filled cell is a plain number
    of at most nine whole digits without leading zeros; so phone numbers and codes stay text.
    """
    cells: list[Any] = [None if _is_missing(value) else value for value in values.tolist()]
    filled = [cell for cell in cells if cell is not None]
    kinds = set(map(type, filled))
    whole = len(filled) == len(cells)
    if filled and kinds <= {bool, np.bool_} and whole:
        return pd.Series(cells, index=values.index, dtype=bool)
    if filled and kinds <= {int, float} and all(abs(cell) < 2**63 for cell in filled):
        integer = whole and kinds == {int}
        return pd.Series(cells, index=values.index, dtype="int64" if integer else "float64")
    text = texts(cells)
    if not typed and any(text) and all(_PLAIN_NUMBER.fullmatch(cell) for cell in text if cell):
        integer = all(text) and not any("." in cell for cell in text)
        numbers = [(int(cell) if integer else float(cell)) if cell else math.nan for cell in text]
        return pd.Series(numbers, index=values.index, dtype="int64" if integer else "float64")
    return pd.Series(text, index=values.index, dtype="str")


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def read_numbers(
    values: Sequence[Any] | NDArray[Any], quantity: Quantity
) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Numbers in the quantity's unit, NaN where missing or unreadable, and position → why it is unreadable.

    "1,234" is read by what else the column holds; where that does not tell a decimal comma from a thousands mark,
    it is unreadable. Other units are never guessed.

    Examples
    --------
    >>> numbers, faults = read_numbers(["0,5", "1 Hektar", 2, "1-50-25", "3 loads"], QUANTITIES["declared_area_ha"])
    >>> numbers.tolist(), faults
    ([0.5, 1.0, 2.0, 1.5025, nan], {4: 'the unit "loads" is not known'})
    """
    plain = _all_numbers(values, quantity) if isinstance(values, np.ndarray) else None
    values = list(values)
    plain = _all_plain(values, quantity) if plain is None else plain
    if plain is not None:
        return plain, {}
    numbers = np.full(len(values), np.nan)
    faults: dict[int, str] = {}
    marks: set[str] | None = None
    for position, value in enumerate(values):
        try:
            if isinstance(value, int | float | np.number) and not isinstance(value, bool):
                number = _alone(float(value), quantity)
            else:
                text = cell_text(value)
                if text.lower() in MISSING:
                    continue
                if marks is None:
                    marks = _decimal_marks(values)
                number = _parse(value, text, quantity, marks)
            if math.isnan(number):
                continue
            if not (quantity.low <= number <= quantity.high and math.isfinite(number)):
                raise ValueError(f"{number:g} is not from {quantity.low:,g} to {quantity.high:,g}")
            numbers[position] = number
        except (ValueError, OverflowError) as error:
            faults[position] = str(error)
    return numbers, faults


def _all_numbers(values: NDArray[Any], quantity: Quantity) -> NDArray[np.float64] | None:
    """The numbers of a typed column that needs no unit and is all in range; else None."""
    if values.dtype.kind not in "iuf" or "" in quantity.units or "" in (quantity.questions or {}):
        return None
    numbers = values.astype(np.float64)
    missing = np.isnan(numbers)
    return numbers if (missing | ((numbers >= quantity.low) & (numbers <= quantity.high))).all() else None


def _all_plain(values: Sequence[Any], quantity: Quantity) -> NDArray[np.float64] | None:
    """The numbers of a column that holds nothing but plain numbers in range, with one decimal mark; else None."""
    if "" in quantity.units or "" in (quantity.questions or {}) or not all(type(value) is str for value in values):
        return None
    joined = "\n".join(values)
    if "," in joined and ("." in joined or not _SURE_COMMA.search(joined)):
        return None
    joined = joined.replace(",", ".")
    if not _PLAIN_LINES.fullmatch(joined):
        return None
    numbers = np.array(
        [float(line) if line else math.nan for line in joined.split("\n")] if values else [], dtype=float
    )
    known = numbers[~np.isnan(numbers)]
    return numbers if ((known >= quantity.low) & (known <= quantity.high)).all() else None


def _alone(number: float, quantity: Quantity) -> float:
    """A number without a unit; the column's name may give one."""
    if "" in (quantity.questions or {}) and not math.isnan(number):
        raise ValueError((quantity.questions or {})[""])
    return number * quantity.units.get("", 1.0)


def _parse(value: Any, text: str, quantity: Quantity, marks: set[str]) -> float:
    for special in (_year, _hectares_ares, _degrees):
        number = special(value, text, quantity)
        if number is not None:
            return number
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError("it is no number")
    unit = " ".join((found[2] or "").lower().split())
    if unit in (quantity.questions or {}):
        raise ValueError((quantity.questions or {})[unit])
    if unit and unit not in quantity.units:
        raise ValueError(f'the unit "{unit[:30]}" is not known')
    number = _to_float(found[1], marks, is_angle=_axis(quantity) is not None)
    return number * quantity.units.get(unit, 1.0)


def _year(value: Any, text: str, quantity: Quantity) -> float | None:
    date = _DATE.fullmatch(text) if quantity is QUANTITIES["planted_year"] else None
    return float(date[1] or date[2]) if date else None


def _hectares_ares(value: Any, text: str, quantity: Quantity) -> float | None:
    """Hectares, ares and centiares: 1-50-25 is 1 + 50/100 + 25/10000 ha; never a date."""
    found = _HA_A_CA.fullmatch(text) if "ha" in quantity.units else None
    if isinstance(value, datetime.date) and "ha" in quantity.units:
        raise ValueError("it is a date; a spreadsheet program may have made it of 1-10-25 (hectares-ares-centiares)")
    if not found:
        return None
    if len(found[1]) == 4 and int(found[2]) <= 12 and int(found[3]) <= 31:
        raise ValueError("it looks like a date")
    return int(found[1]) + int(found[2]) / 100 + int(found[3]) / 10_000


def _degrees(value: Any, text: str, quantity: Quantity) -> float | None:
    axis = _axis(quantity)
    return parse_angle(text, axis) if axis else None


def _axis(quantity: Quantity) -> Literal["latitude", "longitude"] | None:
    if quantity is QUANTITIES["latitude"]:
        return "latitude"
    return "longitude" if quantity is QUANTITIES["longitude"] else None


def _to_float(digits: str, marks: set[str], *, is_angle: bool = False) -> float:
    """One number; `marks` are the decimal marks that the column is known to use. Degrees need no thousands mark."""
    if "e" in digits.lower():
        return float(digits)
    digits = re.sub(r"(?<=\d)[\s'’](?=\d{3}(?!\d))", "", digits)
    comma, dot = digits.count(","), digits.count(".")
    if comma and dot:
        decimal = "," if digits.rfind(",") > digits.rfind(".") else "."
    elif comma + dot == 1:
        decimal = "," if comma else "."
        other = "." if comma else ","
        is_degrees = is_angle and abs(float(digits.replace(",", "."))) <= 180
        if not is_degrees and _could_be_thousands(digits) and (other in marks or (comma and decimal not in marks)):
            raise ValueError("its mark may divide decimals or thousands")
    else:
        decimal = ""
    whole, _, fraction = digits.rpartition(decimal) if decimal else (digits, "", "")
    if not re.fullmatch(r"[-+]?(\d*|\d{1,3}(,\d{3})+|\d{1,3}(\.\d{3})+)", whole) or not re.fullmatch(r"\d*", fraction):
        raise ValueError("it is no number")
    return float(f"{re.sub('[,.]', '', whole)}.{fraction}")


def _could_be_thousands(digits: str) -> bool:
    return bool(re.fullmatch(r"[-+]?[1-9]\d{0,2}[.,]\d{3}", digits))


def _decimal_marks(values: Sequence[Any]) -> set[str]:
    """Decimal marks that texts of the column show beyond doubt."""
    marks = set()
    for value in values:
        found = _QUANTITY.fullmatch(clean_text(value)) if isinstance(value, str) else None
        digits = found[1] if found else ""
        comma, dot = digits.count(","), digits.count(".")
        if comma and dot:
            marks.add("," if digits.rfind(",") > digits.rfind(".") else ".")
        elif comma + dot == 1 and not _could_be_thousands(digits):
            marks.add("," if comma else ".")
    return marks
