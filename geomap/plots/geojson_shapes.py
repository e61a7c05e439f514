"""GeoJSON geometry objects to shapes: coordinates are collected and built in a few vectorised steps."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from geomap.plots.outlines import Outlines
from geomap.plots.tracks import close_track

Problems = dict[int, str]
CLOSED = "its last point was joined to its first"


def from_geojson(geometries: Sequence[Any]) -> Outlines:
    """Shapes of GeoJSON geometry objects; an open ring is closed and named as repaired, what is no plot is a problem.

    Examples
    --------
    >>> ring = [[0, 0], [1, 0], [1, 1]]
    >>> found = from_geojson([{"type": "Polygon", "coordinates": [ring]}, {"type": "MultiPoint", "coordinates": ring}])
    >>> str(found.geometry[0]), found.problems
    ('POLYGON ((0 0, 1 0, 1 1, 0 0))', {1: 'its shape is a MultiPoint'})
    """
    shapes = np.full(len(geometries), None, dtype=object)
    problems: Problems = {}
    tracks: dict[int, str] = {}
    single: list[int] = []
    owner: list[int] = []
    polygons: list[list[Any]] = []
    for position, geometry in enumerate(geometries):
        if geometry is None:
            continue
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        try:
            if kind in ("Point", "MultiPoint"):
                shapes[position] = _point(geometry, kind)
                continue
            if kind in ("LineString", "MultiLineString"):
                shapes[position], tracks[position] = _track(geometry, kind)
                continue
            parts = [rings for rings in _polygons(geometry, kind) if rings]
        except ValueError as error:
            problems[position] = str(error)
            continue
        polygons += parts
        owner += [position] * len(parts)
        if kind == "Polygon":
            single.append(position)
    repairs = _fill(shapes, polygons, np.array(owner, dtype=int), np.array(single, dtype=int), problems)
    return Outlines(shapes, dict(sorted(problems.items())), dict(sorted((repairs | tracks).items())))


def _track(geometry: dict[str, Any], kind: str) -> tuple[shapely.Polygon, str]:
    coordinates: Any = geometry.get("coordinates")
    lines = [coordinates] if kind == "LineString" else coordinates
    if not isinstance(lines, list) or not all(isinstance(line, list) for line in lines):
        raise ValueError("its coordinates are no list of points")
    points = list(chain.from_iterable(lines))
    if not all(map(_is_position, points)):
        raise ValueError("a point of it has no two numbers")
    shape, what = close_track(np.array([point[:2] for point in points], dtype=float).reshape(-1, 2))
    if shape is None:
        raise ValueError(what)
    return shape, what


def _point(geometry: dict[str, Any], kind: str) -> shapely.Point | None:
    coordinates: Any = geometry.get("coordinates")
    if coordinates == []:
        return None
    if kind == "MultiPoint":
        if not isinstance(coordinates, list) or len(coordinates) != 1:
            raise ValueError("its shape is a MultiPoint")
        coordinates = coordinates[0]
    if not _is_position(coordinates):
        raise ValueError("its point has no two numbers")
    return shapely.Point(coordinates[:2])


def _polygons(geometry: Any, kind: Any, *, nested: bool = False) -> list[list[Any]]:
    """Polygons of one geometry, each a list of rings."""
    if kind == "GeometryCollection" and not nested and isinstance(geometry.get("geometries"), list):
        parts = [part if isinstance(part, dict) else {} for part in geometry["geometries"]]
        return [rings for part in parts for rings in _polygons(part, part.get("type"), nested=True)]
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(
            f"its shape is a {kind}" if isinstance(kind, str) and len(kind) < 30 else "its shape is unknown"
        )
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not all(isinstance(rings, list) for rings in polygons):
        raise ValueError("its coordinates are no list of rings")
    return polygons


def _fill(
    shapes: NDArray[np.object_],
    polygons: list[list[Any]],
    owner: NDArray[np.int_],
    single: NDArray[np.int_],
    problems: Problems,
) -> dict[int, str]:
    """Put polygons into `shapes` at their owner's position, faults into `problems`; returns what was closed."""
    rings = list(chain.from_iterable(polygons))
    if not rings:
        return {}
    ring_polygon = np.repeat(np.arange(len(polygons)), [len(part) for part in polygons])
    ring_owner = owner[ring_polygon]
    for number, fault in _ring_faults(rings).items():
        problems.setdefault(int(ring_owner[number]), fault)
    keep = ~np.isin(ring_owner, list(problems))
    xy, sizes = _coordinates([ring for ring, kept in zip(rings, keep, strict=True) if kept])
    ends = np.cumsum(sizes)
    is_open = (xy[ends - sizes] != xy[ends - 1]).any(axis=1)
    short = sizes + is_open < 4
    for position in ring_owner[keep][short]:
        problems.setdefault(int(position), "a ring of it has fewer than three points")
    good = ~np.isin(ring_owner[keep], list(problems))
    if not good.any():
        return {}
    built = shapely.linearrings(xy[np.repeat(good, sizes)], indices=np.repeat(np.arange(good.sum()), sizes[good]))
    part, part_of_ring = np.unique(ring_polygon[keep][good], return_inverse=True)
    parts = shapely.polygons(built, indices=part_of_ring)
    position, position_of_part = np.unique(owner[part], return_inverse=True)
    alone = np.isin(owner[part], single)
    shapes[position] = shapely.multipolygons(parts, indices=position_of_part)
    shapes[owner[part][alone]] = parts[alone]
    return dict.fromkeys(np.unique(ring_owner[keep][good & is_open]).tolist(), CLOSED)


def _coordinates(rings: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.int_]]:
    """(n, 2) longitude and latitude of all rings in a row, and the number of points of each ring."""
    sizes = np.fromiter(map(len, rings), dtype=int, count=len(rings))
    positions = list(chain.from_iterable(rings))
    width = set(map(len, positions))
    if width == {2}:
        flat = np.fromiter(chain.from_iterable(positions), dtype=float, count=2 * len(positions))
    else:
        flat = np.fromiter(
            (number for place in positions for number in place[:2]), dtype=float, count=2 * len(positions)
        )
    return flat.reshape(-1, 2), sizes


def _ring_faults(rings: list[Any]) -> dict[int, str]:
    """What is wrong with a ring, by its number; all rings are looked at together first, one by one only if need be."""
    if set(map(type, rings)) == {list}:
        positions = list(chain.from_iterable(rings))
        if set(map(type, positions)) == {list} and min(map(len, positions)) >= 2 and min(map(len, rings)) >= 2:
            if set(map(type, chain.from_iterable(positions))) == {float}:
                return {}
    return {number: fault for number, ring in enumerate(rings) if (fault := _ring_fault(ring))}


def _ring_fault(ring: Any) -> str:
    if not isinstance(ring, list) or len(ring) < 3:
        return "a ring of it has fewer than three points"
    return "" if all(map(_is_position, ring)) else "a point of it has no two numbers"


def _is_position(place: Any) -> bool:
    if not isinstance(place, list) or len(place) < 2:
        return False
    return all(type(number) is float or (type(number) is int and abs(number) < 10**15) for number in place)
