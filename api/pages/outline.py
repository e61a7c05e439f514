"""The outline of a plot as text that people can read and change: a corner per line, latitude and longitude."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from geomap.errors import NumberError

MOST_CORNERS: Final = 10_000
SMALL_HA: Final = 0.01
"""An outline below 100 m² is rarely a plot."""
FAR_M: Final = 100.0
"""A middle that moved further is rarely a correction."""
CHANGED: Final = 0.5
"""Share of the area before that is rarely corrected away or added."""
_A, _E2 = 6_378_137.0, 0.00669437999014
Polygons = list[list[list[tuple[float, float]]]]
"""Polygons, their rings, and the corners of each: longitude and latitude, the first not repeated at the end."""


def corners_of(wkb: bytes | None) -> Polygons:
    """The outline of a plot; empty for a point or none.

    Examples
    --------
    >>> import shapely
    >>> corners_of(shapely.to_wkb(shapely.box(0, 0, 1, 1)))
    [[[(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]]]
    """
    if wkb is None:
        return []
    import shapely

    shape = shapely.from_wkb(bytes(wkb))
    if shape.geom_type not in ("Polygon", "MultiPolygon"):
        return []
    return [
        [[(x, y) for x, y in shapely.get_coordinates(ring)[:-1].tolist()] for ring in (one.exterior, *one.interiors)]
        for one in shapely.get_parts(shape)
        if not one.is_empty
    ]


def as_text(outline: Polygons) -> str:
    r"""A corner per line; an empty line between rings.

    Examples
    --------
    >>> as_text([[[(-88.82, 14.66), (-88.81, 14.66), (-88.81, 14.67)]]])
    '14.66, -88.82\n14.66, -88.81\n14.67, -88.81'
    """
    return "\n\n".join("\n".join(f"{lat!r}, {lon!r}" for lon, lat in ring) for polygon in outline for ring in polygon)


def from_text(text: str) -> dict[str, Any]:
    r"""The outline as GeoJSON: a ring within an earlier one is a hole of it, any other ring a part of its own.

    Parameters
    ----------
    text : as of `as_text`; tabs, semicolons or spaces between the two numbers count as a comma.

    Raises
    ------
    NumberError : a line is no place on the globe, a ring has fewer than three corners, or there are too many.

    Examples
    --------
    >>> from_text("0, 0\n0, 1\n1, 1")["type"]
    'Polygon'
    """
    import shapely

    rings = _rings(text)
    outers: list[tuple[Any, list[list[tuple[float, float]]]]] = []
    for ring in rings:
        first = shapely.Point(ring[0])
        around = next((holes for whole, holes in outers if whole.is_valid and whole.contains(first)), None)
        if around is None:
            outers.append((shapely.Polygon(ring), [ring]))
        else:
            around.append(ring)
    polygons = [[[list(corner) for corner in (*ring, ring[0])] for ring in holes] for _, holes in outers]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _rings(text: str) -> list[list[tuple[float, float]]]:
    rings: list[list[tuple[float, float]]] = [[]]
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            rings.append([])
            continue
        rings[-1].append(_corner(line, number))
        if number > 2 * MOST_CORNERS:
            raise NumberError("The outline has too many corners.", todo=f"Keep at most {MOST_CORNERS:,}.")
    closed = [ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring for ring in rings if ring]
    if not closed or any(len(ring) < 3 for ring in closed):
        raise NumberError("An outline needs at least three corners.", todo="Write one corner per line.")
    if sum(map(len, closed)) > MOST_CORNERS:
        raise NumberError("The outline has too many corners.", todo=f"Keep at most {MOST_CORNERS:,}.")
    return closed


def _corner(line: str, number: int) -> tuple[float, float]:
    for sign in ",;\t":
        line = line.replace(sign, " ")
    try:
        lat, lon = (float(part) for part in line.split())
    except ValueError:
        lat = lon = math.nan
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise NumberError(
            f"Line {number} of the outline is no place.",
            todo="Write latitude and longitude in degrees, such as 14.66012, -88.82034.",
        )
    return lon, lat


def oddities(new: Mapping[str, Any], old: bytes | None) -> list[tuple[str, float]]:
    """What a person should look at before saving: crosses, small (ha), far (metres), grew or shrank (share).

    Parameters
    ----------
    new : the outline as GeoJSON. old : the shape as it stands, WKB; None where there is none.

    Examples
    --------
    >>> bow = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    >>> oddities(bow, None)
    [('crosses', 0.0)]
    """
    import json

    import numpy as np
    import shapely

    from geomap.plots.area import area_ha

    shape = shapely.from_geojson(json.dumps(new))
    if not shape.is_valid:
        return [("crosses", 0.0)]
    known = None if old is None else shapely.from_wkb(bytes(old))
    shapes = np.array([shape] if known is None else [shape, known], dtype=object)
    areas = area_ha(shapes)
    found = [("small", float(areas[0]))] if areas[0] < SMALL_HA else []
    if known is None:
        return found
    moved = _metres(shape.envelope.centroid, known.envelope.centroid)
    if moved > FAR_M:
        found.append(("far", moved))
    if len(areas) > 1 and areas[1] > 0 and abs(areas[0] / areas[1] - 1) > CHANGED:
        found.append(("grew" if areas[0] > areas[1] else "shrank", abs(float(areas[0] / areas[1]) - 1)))
    return found


def _metres(one: Any, other: Any) -> float:
    """Distance of two near places. Source: radii of curvature, WGS 84, NGA.STND.0036 (2014)."""
    w = math.sqrt(1 - _E2 * math.sin(math.radians(one.y)) ** 2)
    east = math.radians(other.x - one.x) * _A / w * math.cos(math.radians(one.y))
    north = math.radians(other.y - one.y) * _A * (1 - _E2) / w**3
    return math.hypot(east, north)


def paths(shapes: Sequence[bytes | None]) -> list[str]:
    """Outlines as paths of one picture of 100 × 100, at one scale; "" for a point or none."""
    import numpy as np
    import shapely

    drawn = [None if one is None else shapely.from_wkb(bytes(one)) for one in shapes]
    areal = [
        one if one is not None and one.geom_type in ("Polygon", "MultiPolygon") and not one.is_empty else None
        for one in drawn
    ]
    bounds = shapely.total_bounds(np.array([one for one in areal if one is not None], dtype=object))
    if np.isnan(bounds).any():
        return [""] * len(areal)
    west, south, east, north = bounds.tolist()
    shrink = math.cos(math.radians((south + north) / 2))
    size = max((east - west) * shrink, north - south) or 1.0

    def path(shape: Any) -> str:
        parts = []
        for ring in (ring for one in shapely.get_parts(shape) for ring in (one.exterior, *one.interiors)):
            corners = shapely.get_coordinates(ring)
            x = 5 + 90 * (corners[:, 0] - west) * shrink / size
            y = 5 + 90 * (north - corners[:, 1]) / size
            parts.append("M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)) + "Z")
        return "".join(parts)

    return ["" if one is None else path(one) for one in areal]
