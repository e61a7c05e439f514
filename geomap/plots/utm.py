"""Coordinates in metres: recognised, the UTM zones of the country offered, never taken without being told."""

import re
from functools import cache
from importlib.resources import files
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError as UnknownCrs

from geomap.errors import CrsError
from geomap.findings import make_findings
from geomap.plots.columns import ZONE_NAMES, could_be
from geomap.plots.outlines import Outlines, to_lonlat
from geomap.plots.values import cell_text

_ZONE: Final = re.compile(
    r"(?:(?:wgs ?84|utm|zone|zona|huso|fuso|fuseau|epsg)[\s:/_-]*)*(?P<number>32[67]\d\d|\d{1,2})[\s_-]*"
    r"(?P<letter>norte?|north|nord|sur|south|sud|sul|[c-hj-np-x])?",
    re.IGNORECASE,
)
_CODE_DIGITS: Final = 5

NEAR_DEG: Final = 0.25
"""How far beyond a country's outline its plots may seem to lie (outlines are simplified)."""


def in_metres(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which coordinates can be metres of a map grid and cannot be degrees.

    Examples
    --------
    >>> in_metres(np.array([478_000.0, -87.2, 1438.2]), np.array([1_555_000.0, 14.1, 7.0])).tolist()
    [True, False, False]
    """
    with np.errstate(invalid="ignore"):
        beyond = (np.abs(x) > 180) | (np.abs(y) > 90)
        return np.asarray(beyond & (np.abs(x) >= 1000) & (np.abs(y) >= 1000) & (np.abs(x) < 1e7) & (np.abs(y) < 1.1e7))


@cache
def utm_zones(country: str) -> tuple[str, ...]:
    """UTM zones that hold land of a country (ISO 3166, two letters), such as "16N"; empty for an unknown country.

    Source: the country outlines beside the reference tables.

    Examples
    --------
    >>> utm_zones("HN"), utm_zones("GH"), utm_zones("")
    (('16N', '17N'), ('30N', '31N'), ())
    """
    outline = _outline(country)
    if outline is None:
        return ()
    halves = (("N", 0.0, 84.0), ("S", -80.0, 0.0))
    boxes = {
        f"{zone}{letter}": shapely.box(6 * zone - 186, south, 6 * zone - 180, north)
        for zone in range(1, 61)
        for letter, south, north in halves
    }
    return tuple(name for name, box in boxes.items() if shapely.intersects(outline, box))


def epsg(zone: str) -> str:
    """The code of a UTM zone on WGS 84.

    Examples
    --------
    >>> epsg("16N"), epsg("37S")
    ('EPSG:32616', 'EPSG:32737')
    """
    return f"EPSG:{(32600 if zone.endswith('N') else 32700) + int(zone[:-1])}"


def fitting_zones(x: float, y: float, country: str) -> list[str]:
    """The country's zones in which easting and northing (metres) lie in the country.

    Examples
    --------
    >>> fitting_zones(478_000, 1_555_000, "HN")
    ['16N']
    """
    outline = _outline(country)
    fitting = []
    for zone in utm_zones(country):
        lon, lat = Transformer.from_crs(epsg(zone), "EPSG:4326", always_xy=True).transform(x, y)
        if np.isfinite([lon, lat]).all() and shapely.dwithin(outline, shapely.Point(lon, lat), NEAR_DEG):
            fitting.append(zone)
    return fitting


def read_zone(text: str, country: str = "") -> str:
    """The UTM zone that a cell names, such as "16N"; "" where it names none for sure.

    N and S are the halves of the Earth; any other letter is a band of the military grid (C to M lie south). A number
    alone counts where the country has one zone of this number.

    Examples
    --------
    >>> [read_zone(text) for text in ["16 N", "UTM zona 16 Norte", "16P", "37M", "EPSG:32737", "16", "Norte", "61N"]]
    ['16N', '16N', '16N', '37S', '37S', '', '', '']
    >>> read_zone("16", "HN"), read_zone("37", "KE")
    ('16N', '')
    """
    found = _ZONE.fullmatch(text.strip())
    if not found:
        return ""
    number, letter = found["number"], (found["letter"] or "")[:1].upper()
    if len(number) == _CODE_DIGITS:
        number, letter = number[3:], "N" if number[2] == "6" else "S"
    if not 1 <= int(number) <= 60:
        return ""
    if not letter:
        own = [zone for zone in utm_zones(country.strip().upper()) if zone[:-1] == str(int(number))]
        return own[0] if len(own) == 1 else ""
    return f"{int(number)}{'S' if letter == 'S' or letter < 'N' else 'N'}"


def in_stated_zones(
    outlines: Outlines, frame: pd.DataFrame, *, name: str, country: str = ""
) -> tuple[Outlines, pd.DataFrame]:
    """Shapes in metres whose row names their UTM zone, in EPSG:4326, and a finding that says which zones were read.

    All other shapes stay as they are.
    """
    columns = [str(column) for column in frame.columns if could_be(str(column), ZONE_NAMES)]
    centres = _centres(outlines.geometry)
    metres = in_metres(centres[:, 0], centres[:, 1])
    if len(columns) != 1 or not metres.any():
        return outlines, make_findings("utm_zone", [], [])
    zones = np.array([read_zone(cell_text(cell), country) for cell in frame[columns[0]].tolist()], dtype=object)
    zones[~metres] = ""
    shapes, said = outlines.geometry.copy(), []
    for zone in sorted(set(zones) - {""}):
        rows = zones == zone
        shapes[rows] = to_lonlat(gpd.GeoSeries(shapes[rows], crs=epsg(zone)), name=name)
        said.append(f"{zone} ({rows.sum():,} rows)")
    message = (
        f"{name}: coordinates in metres were read in UTM zone {', '.join(said)}, as the column {columns[0]!r} says. "
        "Look at the plots on the map."
    )
    done = Outlines(shapes, outlines.problems, outlines.repairs, outlines.accuracy_m)
    return done, make_findings("utm_zone", [""] * bool(said), message)


def require_degrees(outlines: Outlines, *, name: str, country: str = "") -> None:
    """Refuse a file most of whose coordinates are metres, and offer the zones that fit.

    Raises
    ------
    CrsError : more than half of the shapes lie beyond ±180 or ±90 as coordinates in metres do.
    """
    centres = _centres(outlines.geometry)
    there = np.isfinite(centres).all(axis=1)
    metres = in_metres(centres[:, 0], centres[:, 1])
    if not there.any() or metres.sum() * 2 <= there.sum():
        return
    x, y = np.median(centres[metres], axis=0).tolist()
    raise CrsError(
        f"{name}: its coordinates are metres (about {x:,.0f} and {y:,.0f}), not longitude and latitude.",
        why="The same numbers lie in another place in every UTM zone.",
        todo=_offer(x, y, country),
    )


def projected(outlines: Outlines, crs: str, *, name: str) -> Outlines:
    """Shapes whose coordinates are in `crs`, in EPSG:4326; in a grid of metres a row in degrees is a problem.

    Raises
    ------
    CrsError : no such CRS, or one that the coordinates cannot be in.
    """
    system = crs_named(crs)
    centres = _centres(outlines.geometry)
    with np.errstate(invalid="ignore"):
        in_degrees = (np.abs(centres) <= [180, 90]).all(axis=1)
    there = np.isfinite(centres).all(axis=1)
    problems = dict(outlines.problems)
    shapes = outlines.geometry.copy()
    if system.is_projected and there.any():
        if in_degrees.sum() * 2 > there.sum():
            raise degrees_error(name, system)
        shapes[in_degrees] = None
        what = f"its coordinates are degrees, while the others are in {system.name}"
        problems |= dict.fromkeys(np.flatnonzero(in_degrees).tolist(), what)
    lonlat = to_lonlat(gpd.GeoSeries(shapes, crs=system), name=name)
    return Outlines(lonlat, dict(sorted(problems.items())), outlines.repairs, outlines.accuracy_m)


def require_metres(geometry: NDArray[np.object_], system: CRS, *, name: str) -> None:
    """Refuse a file in a grid of metres whose coordinates are all degrees."""
    centres = _centres(geometry)
    there = np.isfinite(centres).all(axis=1)
    if system.is_projected and there.any() and (np.abs(centres[there]) <= [180, 90]).all():
        raise degrees_error(name, system)


def degrees_error(name: str, system: CRS) -> CrsError:
    return CrsError(
        f"{name}: its coordinates are degrees, but they are said to be in {system.name}.",
        why="Read as metres, all plots would lie on one spot.",
        todo="If they are longitude and latitude in WGS 84, say --crs EPSG:4326.",
    )


def crs_named(crs: Any) -> CRS:
    """The coordinate reference system of this name.

    Raises
    ------
    CrsError : there is none.
    """
    try:
        return CRS.from_user_input(crs)
    except UnknownCrs as error:
        raise CrsError(
            f"There is no coordinate reference system {str(crs)[:60]!r}.",
            why="Plots without one could lie anywhere.",
            todo="Give it as a code, for example --crs EPSG:32616 for UTM zone 16N, or --crs EPSG:4326.",
        ) from error


def _offer(x: float, y: float, country: str) -> str:
    if not country:
        return "Give the plots' country, and the zones that fit are named here; or say for example --crs EPSG:32616."
    fitting = fitting_zones(x, y, country)
    if not fitting and fitting_zones(y, x, country):
        return (
            "East and north seem to stand under each other's name: say --map COLUMN=longitude for the one with the "
            "eastings and --map COLUMN=latitude for the other."
        )
    several = fitting or list(utm_zones(country))
    offers = [f"UTM zone {zone}; say --crs {epsg(zone)}" for zone in several]
    if len(fitting) == 1:
        return f"For this country it looks like {offers[0]}."
    if not several:
        return "Say which grid they are in, for example --crs EPSG:32616 for UTM zone 16N."
    lead = "It could be" if fitting else "In no zone of this country do they lie in it; if it is one of them, it is"
    return f"{lead} {', or '.join(offers)}. Ask whoever took the points for the zone."


def _centres(geometry: NDArray[np.object_]) -> NDArray[np.float64]:
    """(n, 2) middle of each shape's bounds; NaN where there is none."""
    bounds = shapely.bounds(geometry).reshape(-1, 4)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((bounds[:, :2] + bounds[:, 2:]) / 2)


@cache
def _outlines() -> gpd.GeoSeries:
    with (files("geomap.reference") / "country_outlines.parquet").open("rb") as stream:
        table = gpd.read_parquet(stream)
    return table.set_index("iso2").geometry


def _outline(country: str) -> shapely.Geometry | None:
    code = country.strip().upper()
    return _outlines().get(code)
