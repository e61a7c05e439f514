"""Areas on the WGS84 ellipsoid, of plots and raster cells, and the GPS error of a plot's area."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import ArrayLike, NDArray

from geomap.errors import CrsError

Floats: TypeAlias = NDArray[np.float64]
Geometries: TypeAlias = NDArray[Any]

SEMI_MAJOR_M: Final = 6_378_137.0
FLATTENING: Final = 1 / 298.257223563
ECCENTRICITY_SQUARED: Final = FLATTENING * (2 - FLATTENING)
ECCENTRICITY: Final = float(np.sqrt(ECCENTRICITY_SQUARED))
SEMI_MINOR_M: Final = SEMI_MAJOR_M * (1 - FLATTENING)

DEFAULT_ACCURACY_M: Final = 5.0
"""GPS accuracy where none is recorded (method, section 2)."""
RADIUS_OF_68_PERCENT: Final = 1.51
"""68 % of the fixes of a normal error with standard deviation 1 per axis lie within this radius."""

_POLYGON: Final = 3
_SHORT_DEG: Final = 0.01
"""Up to this difference in latitude two nodes are exact to rounding: the error is below 1e-15 of the area."""


def require_lonlat(geometry: gpd.GeoSeries | gpd.GeoDataFrame) -> None:
    """Refuse geometry whose coordinates are not known to be WGS84 longitude and latitude.

    Raises
    ------
    CrsError : no CRS, or another one than EPSG:4326.
    """
    if geometry.crs is None:
        raise CrsError(
            f"The {len(geometry)} plots name no CRS.",
            why="Without one, areas would be guesses.",
            todo='Say which one the coordinates are in, such as plots.set_crs("EPSG:4326") for longitude and latitude.',
        )
    if not geometry.crs.equals("EPSG:4326", ignore_axis_order=True):
        raise CrsError(
            f"The {len(geometry)} plots are in {geometry.crs.to_string()}.",
            why="Areas are measured on longitude and latitude (EPSG:4326).",
            todo='Convert them first: plots.to_crs("EPSG:4326").',
        )


def area_from_equator_m2(latitude: ArrayLike) -> Floats:
    """Area between the equator and a parallel, in square metres per radian of longitude; negative in the south.

    F(φ) = ∫ M·N·cos φ dφ = b²/2 · [ sin φ / (1 − e² sin² φ) + artanh(e sin φ) / e ], on WGS84.

    Parameters
    ----------
    latitude : degrees, any shape.

    Source: Snyder (1987), Map Projections: A Working Manual, eq. 3-12 (q = 2F/a²).

    Examples
    --------
    Twice the northern hemisphere is the Earth, 510.07 million km²:

    >>> round(float(2 * 2 * np.pi * area_from_equator_m2(90.0)) / 1e12, 2)
    510.07
    """
    sine = np.sin(np.radians(np.asarray(latitude, dtype=float)))
    curved = sine / (1 - ECCENTRICITY_SQUARED * sine * sine) + np.arctanh(ECCENTRICITY * sine) / ECCENTRICITY
    return np.asarray(SEMI_MINOR_M**2 / 2 * curved)


def ellipsoidal_cell_area(latitude: ArrayLike, *, height: ArrayLike, width: ArrayLike) -> Floats:
    """Area of raster cells in square metres, one per latitude.

    Exact on the WGS84 ellipsoid: the area between two parallels times the width's share of the circle.
    Ground beyond a pole counts as none.

    Parameters
    ----------
    latitude : (n,) degrees, centre of each row.
    height, width : cell size in degrees.

    Source: Snyder (1987), Map Projections: A Working Manual, eq. 3-12.

    Examples
    --------
    A cell of 1/12000 degree (WorldCover) at São Tomé:

    >>> round(float(ellipsoidal_cell_area(0.2, height=1 / 12000, width=1 / 12000)), 2)
    85.48
    """
    centre, half = np.asarray(latitude, dtype=float), np.abs(np.asarray(height, dtype=float)) / 2
    south, north = np.maximum(centre - half, -90.0), np.minimum(centre + half, 90.0)
    strip = area_from_equator_m2(north) - area_from_equator_m2(south)
    return np.asarray(strip * np.radians(np.abs(np.asarray(width, dtype=float))))


def area_ha(geometry: gpd.GeoSeries | Geometries) -> Any:  # a Series for a GeoSeries, else an array
    """Geodesic area in hectares, one per geometry, for edges that are straight in longitude and latitude.

    The area under an edge is Δλ · mean of F(φ) along it (`area_from_equator_m2`), the mean by Gauss–Legendre with five
    nodes, two for short edges: exact to rounding for edges below a few degrees, with no need to densify. A polygon has
    its shell's area less its holes', whichever way the rings run; a multipolygon has the sum. Rings that cross
    themselves get their net area.
    A polygon across the antimeridian is not understood: it counts the other way around the Earth.

    Parameters
    ----------
    geometry : polygons in EPSG:4326; an array without a CRS is taken as longitude and latitude.

    Returns
    -------
    Series on the index of `geometry`, or an array. NaN for points and missing geometry, 0 for lines and empty polygons.

    Raises
    ------
    CrsError : a GeoSeries with no CRS or another one.

    Source: RFC 7946, section 3.1.1 (what an edge is); Snyder (1987), eq. 3-12.

    Examples
    --------
    A square of 0.001 degrees in the central highlands of Viet Nam:

    >>> round(float(area_ha(np.array([shapely.box(108.0, 12.67, 108.001, 12.671)]))[0]), 10)
    1.2017056342
    """
    if isinstance(geometry, gpd.GeoSeries):
        require_lonlat(geometry)
        return pd.Series(area_ha(geometry.to_numpy()), index=geometry.index, name="area_ha")
    geometry = np.asarray(geometry, dtype=object)
    measured = _area_m2(geometry) / 10_000
    return np.where(np.isin(shapely.get_type_id(geometry), (-1, 0, 4)), np.nan, measured)


def gps_area_sd_ha(geometry: gpd.GeoSeries | Geometries, accuracy_m: ArrayLike = np.nan) -> Floats:
    """Standard error of each plot's area from the GPS error of its corners, in hectares.

    sd(A) = ½ √( Σ σ² · |P_{i+1} − P_{i−1}|² ) over the corners of all rings, σ per axis = accuracy / 1.51,
    errors of corners independent. A shift of all corners together changes no area and is not in it.

    Parameters
    ----------
    geometry : (n,) polygons in EPSG:4326.
    accuracy_m : 68 % accuracy in metres, one or (n,); missing, zero or negative ones count as 5 m.

    Returns
    -------
    (n,) hectares; 0 for geometry without rings.

    Source: first-order propagation through the shoelace formula.

    Examples
    --------
    100 m × 50 m at the equator and 3 m per axis: ½ √(4 · 3² · (100² + 50²)) = 335.41 m².

    >>> plot = shapely.box(0, 0, 100 / 111_319.49, 50 / 110_574.28)
    >>> round(float(gps_area_sd_ha(np.array([plot]), 3 * 1.51)[0]) * 10_000, 1)
    335.4
    """
    if isinstance(geometry, gpd.GeoSeries):
        require_lonlat(geometry)
    geometry = np.asarray(geometry, dtype=object)
    accuracy = np.broadcast_to(np.asarray(accuracy_m, dtype=float), geometry.shape)
    sigma = np.where(accuracy > 0, accuracy, DEFAULT_ACCURACY_M) / RADIUS_OF_68_PERCENT
    rings = rings_of(geometry)
    lonlat, ring, owner = rings.coordinates, rings.ring_of_coordinate(), rings.owner
    if not len(lonlat):
        return np.zeros(geometry.shape)
    first, last = rings.starts[:-1], rings.starts[1:] - 1
    before = np.arange(len(lonlat)) - 1
    before[first] = last - 1
    corner = np.delete(np.arange(len(lonlat)), last)
    step = np.radians(lonlat[corner + 1] - lonlat[before[corner]])
    sine = np.sin(np.radians(lonlat[corner, 1]))
    curvature = 1 - ECCENTRICITY_SQUARED * sine * sine
    meridian = SEMI_MAJOR_M * (1 - ECCENTRICITY_SQUARED) / curvature**1.5
    parallel = SEMI_MAJOR_M / np.sqrt(curvature) * np.sqrt(1 - sine * sine)
    squares = (step[:, 0] * parallel) ** 2 + (step[:, 1] * meridian) ** 2
    total = np.bincount(owner[ring[corner]], squares, minlength=len(geometry))
    return np.asarray(sigma * np.sqrt(total) / 2 / 10_000)


@dataclass(frozen=True)
class Rings:
    """All rings of some geometries, one after the other.

    Attributes
    ----------
    coordinates : (v, 2) longitude and latitude, or whatever the geometries are in; each ring closed.
    starts : (r + 1,) where each ring starts in them.
    owner : (r,) geometry that the ring belongs to.
    holes : (r,) whether the ring is a hole.
    """

    coordinates: Floats
    starts: NDArray[np.int64]
    owner: NDArray[np.intp]
    holes: NDArray[np.bool_]

    def ring_of_coordinate(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.owner)), np.diff(self.starts))


def rings_of(geometry: Geometries) -> Rings:
    """Rings of Polygons and MultiPolygons; other geometries have none."""
    shell_only = (shapely.get_type_id(geometry) == _POLYGON) & (shapely.get_num_interior_rings(geometry) == 0)
    if shell_only.all():  # the usual case, and three times as fast
        count = shapely.get_num_coordinates(geometry)
        owner = np.flatnonzero(count)
        holes = np.zeros(len(owner), dtype=bool)
        return Rings(shapely.get_coordinates(geometry), _starts(count[owner]), owner, holes)
    parts, part_owner = shapely.get_parts(geometry, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    holes = np.r_[False, ring_part[1:] == ring_part[:-1]][: len(rings)]
    count = shapely.get_num_coordinates(rings)
    return Rings(shapely.get_coordinates(rings), _starts(count), part_owner[ring_part], holes)


def repeated_corners(geometry: Geometries) -> NDArray[np.int64]:
    """How many corners of each polygon are the same as the one before.

    Examples
    --------
    >>> repeated_corners(shapely.from_wkt(["POLYGON ((0 0, 1 0, 1 0, 1 1, 0 0))", "POLYGON ((0 0, 1 0, 1 1, 0 0))"]))
    array([1, 0])
    """
    rings = rings_of(geometry)
    lonlat, ring = rings.coordinates, rings.ring_of_coordinate()
    same = (lonlat[1:, 0] == lonlat[:-1, 0]) & (lonlat[1:, 1] == lonlat[:-1, 1]) & (ring[1:] == ring[:-1])
    return np.bincount(rings.owner[ring[np.flatnonzero(same)]], minlength=len(geometry))


def _starts(count: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(count)]).astype(np.int64)


def _area_m2(geometry: Geometries) -> Floats:
    rings = rings_of(geometry)
    lonlat, ring, starts = rings.coordinates, rings.ring_of_coordinate(), rings.starts[:-1]
    if not len(lonlat):
        return np.zeros(len(geometry))
    edge = np.flatnonzero(ring[1:] == ring[:-1])
    south, lift = lonlat[edge, 1], lonlat[edge + 1, 1] - lonlat[edge, 1]
    with np.errstate(invalid="ignore"):
        # F is counted from the latitude where the ring starts, not from the equator: small areas keep their digits.
        origin = area_from_equator_m2(lonlat[starts, 1])[ring[edge]]
        long = np.flatnonzero(~(np.abs(lift) <= _SHORT_DEG))
        mean = _mean_along(south, lift, origin, nodes=2)
        mean[long] = _mean_along(south[long], lift[long], origin[long], nodes=5)
        under = mean * np.radians(lonlat[edge + 1, 0] - lonlat[edge, 0])
    ring_area = np.abs(np.bincount(ring[edge], under, minlength=len(rings.owner)))
    signed = np.where(rings.holes, -ring_area, ring_area)
    return np.bincount(rings.owner, signed, minlength=len(geometry)).astype(float)


def _mean_along(south: Floats, lift: Floats, origin: Floats, *, nodes: int) -> Floats:
    """Mean of F(φ) − `origin` along edges that start at `south` and rise by `lift` degrees, by Gauss–Legendre."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    mean = np.zeros(len(south))
    for share, weight in zip((places + 1) / 2, weights / 2, strict=True):
        mean += weight * (area_from_equator_m2(south + share * lift) - origin)
    return mean
