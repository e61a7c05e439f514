"""Texts, numbers and shapes that somebody gives one by one: what may be kept of them, and in what form."""

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from geomap.errors import GeomapError, NumberError

MOST_LETTERS: Final = 1_000
MOST_COLUMNS: Final = 64
MOST_HA: Final = 1_000_000.0
MOST_CORNERS: Final = 10_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Cell = str | int | float | bool


class TextError(GeomapError):
    """A text that cannot be kept: too long, or with letters that nobody can see."""

    code = "text"


class ShapeError(GeomapError):
    """A shape that is none on this Earth, or none that a plot can have."""

    code = "shape"


def given_text(value: Any, name: str, *, least: int = 0) -> str:
    r"""A text in Unicode NFC without outer spaces.

    Raises
    ------
    TextError : control characters, too long, or empty where it must not be.

    Examples
    --------
    >>> given_text(" Jose\u0301 ", "name")
    'José'
    """
    if not isinstance(value, str) or _CONTROL.search(value):
        raise TextError(f"The {name} holds letters that cannot be seen, or is no text.", todo="Write it as plain text.")
    text = unicodedata.normalize("NFC", value).strip()
    if not least <= len(text) <= MOST_LETTERS:
        raise TextError(
            f"The {name} has {len(text):,} letters.", todo=f"Write it with {least} to {MOST_LETTERS:,} letters."
        )
    return text


def given_number(value: Any, name: str, *, most: float = MOST_HA) -> float | None:
    """A number from 0 to `most`; None where it is missing (None or NaN).

    Raises
    ------
    NumberError : it is none, or out of range.

    Examples
    --------
    >>> given_number(1, "declared_area_ha"), given_number(float("nan"), "declared_area_ha")
    (1.0, None)
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value > most:
        raise NumberError(f"The {name} is no number from 0 to {most:,.0f}.", todo="Write the number, or leave it out.")
    return None if math.isnan(value) else float(value)


def given_cells(cells: Mapping[str, Any]) -> dict[str, Cell]:
    """Further columns as JSON keeps them, sorted by name; what is missing (None, NaN, "") is left out.

    Raises
    ------
    TextError, NumberError : as for texts and numbers; too many columns.

    Examples
    --------
    >>> given_cells({"variety": "Catuaí", "altitude_m": 932, "note": "", "age": float("nan")})
    {'altitude_m': 932, 'variety': 'Catuaí'}
    """
    if len(cells) > MOST_COLUMNS:
        raise TextError(f"{len(cells)} further columns are too many.", todo=f"Keep {MOST_COLUMNS} at most.")
    kept: dict[str, Cell] = {}
    for name, value in cells.items():
        label = given_text(name, "name of a column", least=1)
        cell = _cell(value, label)
        if cell is not None and cell != "":
            kept[label] = cell
    return dict(sorted(kept.items()))


def _cell(value: Any, name: str) -> Cell | None:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        if math.isnan(value):
            return None
        if math.isinf(value) or abs(value) >= 2**63:
            raise NumberError(f"The {name} is no number that can be kept.", todo="Write the number, or leave it out.")
        return value
    return given_text(value, name)


def given_shape(wkb: bytes | None) -> bytes | None:
    """A polygon, multipolygon or point in longitude and latitude, as plain two-dimensional WKB.

    What the checks of a run say of a shape (it crosses itself, it is too large) is no matter here.

    Raises
    ------
    ShapeError : another kind of shape, empty, too many corners, or corners that lie nowhere on Earth.

    Examples
    --------
    >>> import shapely
    >>> shapely.from_wkb(given_shape(shapely.to_wkb(shapely.Point(-88.8, 14.6)))).wkt
    'POINT (-88.8 14.6)'
    """
    if wkb is None:
        return None
    import numpy as np
    import shapely

    from geomap.plots.wkb import require_shallow

    try:
        require_shallow([wkb], most=2)
        shape = shapely.force_2d(shapely.from_wkb(wkb))
    except (ValueError, TypeError, shapely.GEOSException):
        raise ShapeError("The outline cannot be read.", todo="Draw it again.") from None
    corners = shapely.get_coordinates(shape)
    if shape.geom_type not in {"Polygon", "MultiPolygon", "Point"} or not 0 < len(corners) <= MOST_CORNERS:
        raise ShapeError(
            f"The outline is a {shape.geom_type} with {len(corners):,} corners.",
            todo=f"Give a polygon, a multipolygon or a point with at most {MOST_CORNERS:,} corners.",
        )
    if not (np.abs(corners) <= [180, 90]).all():
        raise ShapeError(
            "The outline has corners beyond ±180 degrees of longitude or ±90 of latitude.",
            todo="Give longitude and latitude in degrees, in this order.",
        )
    return bytes(shapely.to_wkb(shape))


def digest(value: Any) -> str:
    """SHA-256 of anything that JSON knows; the order of names does not matter.

    Examples
    --------
    >>> digest({"a": 1, "b": None}) == digest({"b": None, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
