"""Where plots lie: in the declared country, in the sea, at 0, 0, or only with axes or signs exchanged."""

from functools import cache
from importlib.resources import as_file, files
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import shapely
from numpy.typing import NDArray

from geomap.errors import UnknownNameError
from geomap.findings import join_findings, make_findings
from geomap.plots.area import Floats
from geomap.plots.checks import left_out_findings
from geomap.plots.utm import epsg, utm_zones

NEAR_M: Final = 5_000.0
"""The outlines are simplified and borders are walked over: nearer than this nothing is said."""
NULL_DEG: Final = 1e-4
"""About ten metres: a place so near to 0, 0 is a missing GPS fix."""
LEAST_METRES: Final = 1_000.0
METRES_PER_DEGREE: Final = 110_574.0
_PART_OF: Final = {"GF": "FR", "GP": "FR", "MQ": "FR", "RE": "FR", "YT": "FR", "BQ": "NL", "SJ": "NO", "GI": "GB"}
"""Territories that the outlines hold within another country."""
_CIRCLE: Final = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_EXCHANGES: Final = {
    "axes_swapped": [((1, 0), (1, 1))],
    "wrong_hemisphere": [((0, 1), (-1, 1)), ((0, 1), (1, -1)), ((0, 1), (-1, -1))],
}
_REMEDIES: Final = {
    "axes_swapped": "Exchange the two columns in the file, or say which is which with --map, and check again.",
    "wrong_hemisphere": "Put the minus sign before latitudes south of the equator and longitudes west of Greenwich.",
}
_WORDS: Final = {
    (1, 0): "with latitude and longitude exchanged",
    (-1, 1): "with the other sign before the longitude",
    (1, -1): "with the other sign before the latitude",
    (-1, -1): "with the other sign before both coordinates",
}


@cache
def country_outlines() -> gpd.GeoDataFrame:
    """Outlines of all countries: index iso2, columns name and source, EPSG:4326; about 1 km from the truth.

    Source: Natural Earth 1:50m, public domain (`data/make_outlines.py`). Disputed borders as drawn there.

    Examples
    --------
    >>> country_outlines().loc["HN", "name"]
    'Honduras'
    """
    with as_file(files("geomap.reference") / "country_outlines.parquet") as path:
        return gpd.read_parquet(path).set_index("iso2")


def country_iso2(country: str | None) -> str | None:
    """The two-letter code of a country that the outlines know; None for None, "" and "world".

    Raises
    ------
    UnknownNameError : no country has this name.

    Examples
    --------
    >>> country_iso2("Honduras"), country_iso2("hn"), country_iso2("world")
    ('HN', 'HN', None)
    """
    name = (country or "").strip()
    if name.casefold() in ("", "world"):
        return None
    outlines = country_outlines()
    if name.upper() in outlines.index or name.upper() in _PART_OF:
        return _PART_OF.get(name.upper(), name.upper())
    found = outlines.index[outlines["name"].str.casefold() == name.casefold()]
    if len(found):
        return str(found[0])
    import pycountry

    try:
        code = str(pycountry.countries.lookup(name).alpha_2)
    except LookupError as error:
        raise UnknownNameError(
            f"No country is called '{name}'.",
            why="Plots are held against the outline of their country.",
            todo="Give the English name or the two-letter ISO 3166 code, such as HN.",
        ) from error
    return _PART_OF.get(code, code)


def check_null_island(plots: gpd.GeoDataFrame) -> pd.DataFrame:
    """Blocking findings for plots with a corner, or the point itself, within about ten metres of 0, 0."""
    rows = np.flatnonzero(_may_hold(plots, -NULL_DEG, NULL_DEG))
    lonlat, owner = shapely.get_coordinates(plots.geometry.to_numpy()[rows], return_index=True)
    with np.errstate(invalid="ignore"):
        at_zero = (np.abs(lonlat) < NULL_DEG).all(axis=1)
    words = "A corner lies at 0, 0, in the sea south of Ghana: the GPS had no fix. Take the point again or delete it."
    return left_out_findings(plots, rows[np.unique(owner[at_zero])], "null_island", words)


def _may_hold(plots: gpd.GeoDataFrame, low: float, high: float) -> NDArray[np.bool_]:
    """Whether a plot's bounds reach into the square from `low` to `high`; its corners need a look only then."""
    west, south, east, north = shapely.bounds(plots.geometry.to_numpy()).reshape(-1, 4).T
    with np.errstate(invalid="ignore"):
        outside = (west > high) | (south > high) | (east < low) | (north < low)
    return np.asarray(~outside)


def check_metres(plots: gpd.GeoDataFrame, country: str | None = None) -> pd.DataFrame:
    """Blocking findings for plots whose coordinates are all metres, with the UTM zone that would fit the country."""
    bounds = shapely.bounds(plots.geometry.to_numpy()).reshape(-1, 4)
    with np.errstate(invalid="ignore"):
        suspects = np.flatnonzero(~(np.abs(bounds).max(axis=1) < LEAST_METRES))
    lonlat, owner = shapely.get_coordinates(plots.geometry.to_numpy()[suspects], return_index=True)
    with np.errstate(invalid="ignore"):
        metric = np.isfinite(lonlat).all(axis=1) & (np.abs(lonlat).min(axis=1) >= LEAST_METRES)
        metric &= np.abs(lonlat).max(axis=1) < 2.1e7
    rows, first, count = np.unique(owner, return_index=True, return_counts=True)
    whole = np.bincount(owner, metric, minlength=len(suspects))[rows] == count
    rows, corner = suspects[rows[whole]], lonlat[first[whole]]
    zones = _zone_words(corner, country) if len(rows) else []
    messages = [
        f"The coordinates, such as {x:.0f}, {y:.0f}, are metres, not degrees. {zone}"
        "Export them in longitude and latitude (EPSG:4326), or say which coordinate system they are in."
        for (x, y), zone in zip(corner, zones, strict=True)
    ]
    return left_out_findings(plots, rows, "in_metres", messages)


def _zone_words(metres: Floats, country: str | None) -> list[str]:
    """A sentence for each place: the UTM zones of the country in which the metres lie in it; "" where none fits."""
    iso2 = country_iso2(country)
    fits: list[list[str]] = [[] for _ in metres]
    for zone in utm_zones(iso2) if iso2 else ():
        to_degrees = pyproj.Transformer.from_crs(epsg(zone), "EPSG:4326", always_xy=True).transform
        lonlat = np.column_stack(to_degrees(*metres.T))
        for place in np.flatnonzero(near(country_outlines().loc[iso2].geometry, lonlat)):
            fits[place].append(f"{zone} ({epsg(zone)})")
    name = "" if iso2 is None or not any(fits) else country_outlines().loc[iso2, "name"]
    return [f"In UTM zone {' or '.join(zones)} the plot lies in {name}. " if zones else "" for zones in fits]


def near(outline: shapely.Geometry, lonlat: Floats) -> NDArray[np.bool_]:
    """Whether each place is inside the outline or within 5 km of it; no place that is no longitude and latitude is.

    Parameters
    ----------
    outline : EPSG:4326.
    lonlat : (n, 2) degrees.
    """
    shapely.prepare(outline)
    west, south, east, north = outline.bounds
    with np.errstate(invalid="ignore"):
        margin = NEAR_M / METRES_PER_DEGREE / np.maximum(np.cos(np.radians(lonlat[:, 1])), 0.01)
        fine = (lonlat[:, 1] >= south - 0.05) & (lonlat[:, 1] <= north + 0.05)
        fine &= (lonlat[:, 0] >= west - margin) & (lonlat[:, 0] <= east + margin)
    result = np.zeros(len(lonlat), dtype=bool)
    rows = np.flatnonzero(fine)
    result[rows] = shapely.intersects_xy(outline, lonlat[rows])
    rows = rows[~result[rows]]
    result[rows] = shapely.intersects(outline, _circles(lonlat[rows]))
    return result


def _circles(lonlat: Floats) -> NDArray[np.object_]:
    """A circle of 5 km around each place, in degrees."""
    up = NEAR_M / METRES_PER_DEGREE
    across = up / np.maximum(np.cos(np.radians(lonlat[:, 1])), 0.01)
    x = lonlat[:, 0, None] + across[:, None] * np.cos(_CIRCLE)
    y = lonlat[:, 1, None] + up * np.sin(_CIRCLE)
    circles: NDArray[np.object_] = shapely.polygons(np.stack([x, y], axis=2))
    return circles


def countries_at(lonlat: Floats) -> NDArray[Any]:
    """Code of a country within 5 km of each place, "" in the sea; a place inside a country gets that one."""
    outlines = country_outlines()
    shapes, codes = outlines.geometry.to_numpy(), outlines.index.to_numpy(dtype=object)
    found = np.full(len(lonlat), "", dtype=object)
    shapely.prepare(shapes)
    for marks in (shapely.points, _circles):
        rows = np.flatnonzero((found == "") & np.isfinite(lonlat).all(axis=1))
        if len(rows):
            country, place = shapely.STRtree(marks(lonlat[rows])).query(shapes, predicate="intersects")
            found[rows[place[::-1]]] = codes[country[::-1]]
    return found


def check_place(plots: gpd.GeoDataFrame, country: str | None = None, *, drawn_ha: Any = np.nan) -> pd.DataFrame:
    """Findings for plots in the sea or, with a country, beyond its borders; each by the middle of its bounds.

    A plot that lies in the country only with latitude and longitude exchanged, or with the other sign, is blocked and
    says so; nothing is exchanged here. Without a country only the sea is told.

    Parameters
    ----------
    plots : EPSG:4326.
    country : name or ISO 3166 code.
    drawn_ha : (n,) hectares as drawn, for what leaving out costs.

    Raises
    ------
    UnknownNameError : no country has this name.
    """
    lonlat = _middles(plots)
    iso2 = country_iso2(country)
    known = iso2 is not None and iso2 in country_outlines().index
    away = np.isfinite(lonlat).all(axis=1)
    parts = []
    if known:
        row = country_outlines().loc[iso2]
        away &= ~near(row.geometry, lonlat)
        for code, exchanges in _EXCHANGES.items():
            for axes, signs in exchanges:
                rows = np.flatnonzero(away)
                rows = rows[near(row.geometry, lonlat[rows][:, list(axes)] * signs)]
                away[rows] = False
                how = _WORDS[axes if code == "axes_swapped" else signs]
                told = f"The plot lies in {row['name']} only {how}. {_REMEDIES[code]}"
                parts.append(left_out_findings(plots, rows, code, told, drawn_ha))
    rows = np.flatnonzero(away)
    there = countries_at(lonlat[rows])
    sea = there == ""
    parts.append(
        make_findings("in_the_sea", plots.index[rows[sea]], [_sea_words(place) for place in lonlat[rows[sea]]])
    )
    if known:
        names = country_outlines()["name"]
        words = [
            f"The plot lies in {names[code]} ({lon:.5f}, {lat:.5f}), more than 5 km outside {names[iso2]}. "
            "Look at it on the map; correct the coordinates if it is wrong."
            for code, (lon, lat) in zip(there[~sea], lonlat[rows[~sea]], strict=True)
        ]
        parts.append(make_findings("outside_country", plots.index[rows[~sea]], words))
    return join_findings(parts)


def _sea_words(place: Floats) -> str:
    return (
        f"The plot lies in the sea ({place[0]:.5f}, {place[1]:.5f}), more than 5 km from land; very small islands are "
        "not known here. Look at it on the map; correct the coordinates if it is wrong."
    )


def _middles(plots: gpd.GeoDataFrame) -> Floats:
    bounds = shapely.bounds(plots.geometry.to_numpy())
    return np.asarray((bounds[:, :2] + bounds[:, 2:]) / 2)
