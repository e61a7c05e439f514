"""Outlines as they come: plain shapes in longitude and latitude, and what was wrong with each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from geomap.errors import CrsError

LONGEST_EDGE_M = 500.0
POINT, POLYGON, MULTIPOINT, MULTIPOLYGON, COLLECTION = 0, 3, 4, 6, 7


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

    Examples
    --------
    >>> found = settle(shapely.from_wkt(["POINT Z (1 2 3)", "LINESTRING (0 0, 1 1)", "POLYGON EMPTY"]))
    >>> [str(shape) for shape in found.geometry], found.problems
    (['POINT (1 2)', 'None', 'None'], {1: 'its shape is a LineString'})
    """
    flat = np.array(shapely.force_2d(geometry), dtype=object)
    flat[shapely.is_empty(flat)] = None
    problems: dict[int, str] = {}
    for position in np.flatnonzero(~np.isin(shapely.get_type_id(flat), [-1, POINT, POLYGON, MULTIPOLYGON])):
        plain = _plain(flat[position])
        if plain is None:
            problems[int(position)] = f"its shape is a {flat[position].geom_type}"
        flat[position] = plain
    return Outlines(flat, problems)


def _plain(shape: shapely.Geometry) -> shapely.Geometry | None:
    """One point of a MultiPoint of one, the polygons of a collection of polygons; None for anything else."""
    parts = shapely.get_parts(shape)
    kind = shapely.get_type_id(shape)
    if kind == MULTIPOINT and len(parts) == 1:
        return parts[0]
    if kind == COLLECTION and np.isin(shapely.get_type_id(parts), [POLYGON, MULTIPOLYGON]).all():
        return shapely.multipolygons(shapely.get_parts(parts))
    return None


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
            todo="For a Shapefile add the .prj file; else set the CRS in the program that made the file, "
            "or save it as GeoJSON in WGS 84 (EPSG:4326).",
        )
    flat = gpd.GeoSeries(shapely.force_2d(geometry.to_numpy()), crs=crs)
    if not crs.equals("EPSG:4326", ignore_axis_order=True):
        if crs.is_projected:
            flat = flat.segmentize(LONGEST_EDGE_M / crs.axis_info[0].unit_conversion_factor)
        try:
            flat = flat.to_crs("EPSG:4326")
        except ProjError as error:
            raise CrsError(
                f"{name} is in {crs.name}, from which no way leads to WGS 84.",
                why="Plots and land cover must lie in one reference system.",
                todo="Save the file in WGS 84 (EPSG:4326).",
            ) from error
    return np.array(flat.to_numpy(), dtype=object)
