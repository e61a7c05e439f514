"""Outlines that stand in a text cell: WKT, GeoJSON, lists of [longitude, latitude], ODK geotrace and geoshape."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geomap.plots.angles import parse_pair
from geomap.plots.geojson import parse_strict
from geomap.plots.geojson_shapes import from_geojson
from geomap.plots.outlines import Outlines, settle

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_ODK = re.compile(rf"\s*{_NUMBER}(?:\s+{_NUMBER}){{1,3}}\s*(?:;.*)?", re.DOTALL)
_WKT = re.compile(
    r"\s*(?:SRID=(\d+);\s*)?((?:MULTI)?(?:POINT|LINESTRING|POLYGON)|GEOMETRYCOLLECTION)\s*(?:[ZM]{1,2}\s*)?[(E].*",
    re.IGNORECASE | re.DOTALL,
)


def from_text(texts: Sequence[str]) -> Outlines:
    """Outlines of text cells, in their order; an empty cell has none.

    WKT is longitude latitude; ODK's `lat lon altitude accuracy; …` is latitude first, and its accuracies above 0
    give the outline's accuracy (their median, metres). A trace that does not end where it began is closed. A pair
    "14.1, -87.2" is latitude first too, as map programs copy it.

    Examples
    --------
    >>> found = from_text(["14 -87 900 4; 14 -87.001 900 6; 14.001 -87 900 0", "POINT (1 2)", "behind the school"])
    >>> [str(shape) for shape in found.geometry]
    ['POLYGON ((-87 14, -87.001 14, -87 14.001, -87 14))', 'POINT (1 2)', 'None']
    >>> found.accuracy_m.tolist(), found.problems
    ([5.0, nan, nan], {2: 'its text is neither WKT, GeoJSON nor a trace of "latitude longitude;"'})

    Source: ODK XForms specification (geopoint, geotrace, geoshape); OGC 06-103r4 (WKT).
    """
    shapes = np.full(len(texts), None, dtype=object)
    accuracy = np.full(len(texts), np.nan)
    problems: dict[int, str] = {}
    repairs: dict[int, str] = {}
    for is_kind, read in _KINDS:
        positions = [position for position, text in enumerate(texts) if text and is_kind(text)]
        if not positions:
            continue
        found = read([texts[position] for position in positions])
        shapes[positions] = found.geometry
        problems |= {positions[place]: why for place, why in found.problems.items()}
        repairs |= {positions[place]: what for place, what in found.repairs.items()}
        if found.accuracy_m is not None:
            accuracy[positions] = found.accuracy_m
    return Outlines(shapes, dict(sorted(problems.items())), dict(sorted(repairs.items())), accuracy)


def looks_like_outline(text: str) -> bool:
    """Whether a cell of a column of any name holds an outline (three points or more) or a WKT point."""
    return bool(_WKT.fullmatch(text)) or (is_odk(text) and text.count(";") >= 2) or text.startswith("[[")


def is_geopoint(text: str) -> bool:
    """Whether a cell holds one point as ODK writes it, "latitude longitude altitude accuracy"."""
    parts = text.split()
    return is_odk(text) and ";" not in text and len(parts) == 4 and "." in parts[0] and "." in parts[1]


def is_odk(text: str) -> bool:
    return bool(_ODK.fullmatch(text))


def _is_json(text: str) -> bool:
    return text[:1] in {"{", "["}


def _is_wkt(text: str) -> bool:
    return bool(_WKT.fullmatch(text))


def _is_pair(text: str) -> bool:
    return not is_odk(text) and parse_pair(text) is not None


def _is_other(text: str) -> bool:
    return not (_is_json(text) or _is_wkt(text) or is_odk(text) or _is_pair(text))


def _from_wkt(texts: Sequence[str]) -> Outlines:
    problems: dict[int, str] = {}
    plain: list[str | None] = []
    for position, text in enumerate(texts):
        found = _WKT.fullmatch(text)
        if text.upper().count("GEOMETRYCOLLECTION") > 1:
            problems[position] = "its collections are nested"
        elif found and found[1] not in {None, "4326"}:
            problems[position] = f"its text names the reference system {found[1][:9]} instead of 4326"
        plain.append(None if position in problems else text.partition(";")[2] if found and found[1] else text)
    read: NDArray[np.object_] = shapely.from_wkt(np.array(plain, dtype=object), on_invalid="ignore")
    for place in np.flatnonzero(shapely.is_missing(read)):
        problems.setdefault(int(place), "its WKT is broken, or a ring of it does not close")
    settled = settle(read)
    return Outlines(settled.geometry, dict(settled.problems) | problems)


def _from_json(texts: Sequence[str]) -> Outlines:
    problems: dict[int, str] = {}
    shapes: list[Any] = []
    for position, text in enumerate(texts):
        try:
            shapes.append(_as_geometry(parse_strict(text)))
        except ValueError:
            problems[position] = "its text is no strict JSON"
            shapes.append(None)
    found = from_geojson(shapes)
    return Outlines(found.geometry, dict(found.problems) | problems, found.repairs)


def _as_geometry(value: Any) -> Any:
    """A GeoJSON geometry of what a cell holds: a geometry, a feature, a ring or a list of rings."""
    if isinstance(value, dict):
        return value.get("geometry") if value.get("type") == "Feature" else value
    if value == []:
        return None
    first = value[0]
    if len(value) == 1 and isinstance(first, list) and 2 <= len(first) <= 4 and not isinstance(first[0], list):
        return {"type": "Point", "coordinates": first}
    is_ring = isinstance(first, list) and bool(first) and not isinstance(first[0], list)
    return {"type": "Polygon", "coordinates": [value] if is_ring else value}


def _from_odk(texts: Sequence[str]) -> Outlines:
    problems: dict[int, str] = {}
    shapes: list[Any] = []
    accuracy = np.full(len(texts), np.nan)
    for position, text in enumerate(texts):
        try:
            points = [[float(number) for number in point.split()] for point in text.split(";") if point.strip()]
            shapes.append(_trace(points))
            known = [point[3] for point in points if len(point) == 4 and point[3] > 0]
            accuracy[position] = np.median(known) if known else np.nan
        except ValueError as error:
            is_ours = str(error).startswith("its ")
            problems[position] = str(error) if is_ours else "a point of its trace is not made of numbers"
            shapes.append(None)
    found = from_geojson(shapes)
    return Outlines(found.geometry, dict(found.problems) | problems, found.repairs, accuracy)


def _trace(points: list[list[float]]) -> dict[str, Any]:
    if not all(2 <= len(point) <= 4 for point in points):
        raise ValueError('its trace holds points that are not "latitude longitude altitude accuracy"')
    lonlat = [[point[1], point[0]] for point in points]
    if len(lonlat) == 1:
        return {"type": "Point", "coordinates": lonlat[0]}
    return {"type": "Polygon", "coordinates": [lonlat]}


def _from_pairs(texts: Sequence[str]) -> Outlines:
    return Outlines(np.array(shapely.points([parse_pair(text) or (np.nan, np.nan) for text in texts]), dtype=object))


def _unknown(texts: Sequence[str]) -> Outlines:
    why = 'its text is neither WKT, GeoJSON nor a trace of "latitude longitude;"'
    return Outlines(np.full(len(texts), None, dtype=object), dict.fromkeys(range(len(texts)), why))


_KINDS: list[tuple[Callable[[str], bool], Callable[[Sequence[str]], Outlines]]] = [
    (_is_json, _from_json),
    (_is_wkt, _from_wkt),
    (is_odk, _from_odk),
    (_is_pair, _from_pairs),
    (_is_other, _unknown),
]
