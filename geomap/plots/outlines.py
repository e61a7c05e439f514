"""Outlines as they come: plain shapes in longitude and latitude, and what was wrong with each."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from geomap.errors import CrsError
from geomap.plots.tracks import close_track, track_of

LONGEST_EDGE_M = 500.0
MOST_NEW_CORNERS = 10_000
POINT, LINE, POLYGON, MULTIPOINT, MULTILINE, MULTIPOLYGON, COLLECTION = 0, 1, 3, 4, 5, 6, 7


@dataclass(frozen=True)
class Outlines:
    """Shapes of the rows of one file, EPSG:4326, and what the reader has to say of them, by position.

    geometry : (n,) Polygon, MultiPolygon, Point or None.
    problems : position → why there is no shape.
    repairs : position → what was done to the shape.
    accuracy_m : (n,) 68 % accuracy of the vertices in metres; NaN where unknown.
    """

    geometry: NDArray[np.object_]
    problems: Mapping[int, str] = field(default_factory=dict)
    repairs: Mapping[int, str] = field(default_factory=dict)
    accuracy_m: NDArray[np.float64] | None = None


def settle(geometry: NDArray[np.object_]) -> Outlines:
    """Shapes without height, each a Polygon, MultiPolygon, Point or None; any other kind is a problem of its row.

    A line that ends where it began is an outline (see `close_track`), and said to be one.

    Examples
    --------
    >>> found = settle(shapely.from_wkt(["POINT Z (1 2 3)", "MULTIPOINT (0 0, 1 1)", "POLYGON EMPTY"]))
    >>> [str(shape) for shape in found.geometry], found.problems
    (['POINT (1 2)', 'None', 'None'], {1: 'its shape is a MultiPoint'})
    """
    flat = without_height(geometry)
    flat[shapely.is_empty(flat)] = None
    problems: dict[int, str] = {}
    repairs: dict[int, str] = {}
    for position in np.flatnonzero(~np.isin(shapely.get_type_id(flat), [-1, POINT, POLYGON, MULTIPOLYGON])).tolist():
        plain, what = _plain(flat[position])
        if what:
            (problems if plain is None else repairs)[position] = what
        flat[position] = plain
    return Outlines(flat, problems, repairs)


def without_height(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """The same shapes in two dimensions; those that have no height are passed on, not built again."""
    flat = np.array(geometry, dtype=object)
    high = shapely.has_z(flat) | shapely.has_m(flat)
    flat[high] = shapely.force_2d(flat[high])
    return flat


def _plain(shape: shapely.Geometry) -> tuple[shapely.Geometry | None, str]:
    """One point of a MultiPoint of one, the polygons of a collection, a closed line; or None, and why."""
    parts = shapely.get_parts(shape)
    kind = shapely.get_type_id(shape)
    kinds = shapely.get_type_id(parts)
    if kind == MULTIPOINT and len(parts) == 1:
        return parts[0], ""
    if kind in {LINE, MULTILINE} or (kind == COLLECTION and len(parts) and np.isin(kinds, [LINE, MULTILINE]).all()):
        return close_track(track_of(shape))
    polygons = np.isin(kinds, [POLYGON, MULTIPOLYGON])
    if kind == COLLECTION and polygons.any() and np.isin(kinds[~polygons], [POINT]).all():
        what = "" if polygons.all() else "a point that stood beside its outline was left out"
        return shapely.multipolygons(shapely.get_parts(parts[polygons])), what
    return None, f"its shape is a {shape.geom_type}"


def to_lonlat(geometry: gpd.GeoSeries, *, name: str) -> NDArray[np.object_]:
    """The same shapes in EPSG:4326 (longitude, latitude), without height.

    Edges are straight in the given CRS; those longer than 500 m get more points first, so they stay where they were.

    Parameters
    ----------
    geometry : shapes in any CRS that pyproj knows.
    name : the file's name, for messages.

    Raises
    ------
    CrsError : there is no CRS, or no way from it to EPSG:4326.
    """
    crs = geometry.crs
    if crs is None or crs.is_engineering or crs.name.lower().startswith(("undefined", "unknown")):
        raise CrsError(
            f"{name} names no coordinate reference system.",
            why="Its plots could lie anywhere, so areas and land cover would be guesses.",
            todo="Say which one it is, for example --crs EPSG:4326 for longitude and latitude; for a Shapefile add its "
            ".prj file; or save it as GeoJSON in WGS 84 (EPSG:4326).",
        )
    flat = gpd.GeoSeries(without_height(geometry.to_numpy()), crs=crs)
    if not crs.equals("EPSG:4326", ignore_axis_order=True):
        if crs.is_projected:
            flat = _with_corners(flat, LONGEST_EDGE_M / crs.axis_info[0].unit_conversion_factor)
        try:
            flat = flat.to_crs("EPSG:4326")
        except ProjError as error:
            raise CrsError(
                f"{name} is in {crs.name}, from which no way leads to WGS 84.",
                why="Plots and land cover must lie in one reference system.",
                todo="Save the file in WGS 84 (EPSG:4326).",
            ) from error
    return np.array(flat.to_numpy(), dtype=object)


def _with_corners(geometry: gpd.GeoSeries, step: float) -> gpd.GeoSeries:
    """Shapes with a corner at least each `step`; as they are where that would take too many or cannot be done."""
    shapes = geometry.to_numpy().copy()
    near = np.flatnonzero(shapely.length(shapes) / step < MOST_NEW_CORNERS)
    try:
        shapes[near] = shapely.segmentize(shapes[near], step)
    except shapely.GEOSException:
        for place in near:
            with suppress(shapely.GEOSException):
                shapes[place] = shapely.segmentize(shapes[place], step)
    return gpd.GeoSeries(shapes, index=geometry.index, crs=geometry.crs)
