"""The land around the plots of many cooperatives, from a sample of places: the ring of each is never drawn.

Decision. Rings of 1 km around a million outlines take minutes to unite. Their land cover is wanted to a few points of
a hundred, for the map itself is wrong by more. So places are drawn within 1 km of a plot drawn in turn, and each counts
by one over the number of plots that could have drawn it: then every piece of the ring has the same chance, however many
plots surround it. The sampling error is told and stands in the intervals.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.landcover.extract import NAMES, NO_DATA, OUTSIDE, UNKNOWN, measure
from geomap.landcover.product import Product
from geomap.landcover.surroundings import NEAR_M, metres_per_degree
from geomap.plots.area import area_ha

MOST_PLACES: Final = 200_000
FEWEST_EACH: Final = 100
MOST_EACH: Final = 2_000

_PART_M: Final = 300.0
"""A plot that is larger stands for several: its corners, this far apart at most."""
_SIDE_M: Final = 10.0
_PLASTIC: Final = 1.324717957244746
"""Real root of x³ = x + 1: its powers spread points evenly over a square."""
_EQUATOR_M: Final = 6_378_137.0
_FLATTENED: Final = 0.006694379990141316

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


def land_around_sampled(
    plots: gpd.GeoDataFrame,
    rasters: Sequence[Path],
    product: Product,
    *,
    near_m: float = NEAR_M,
    places: int = MOST_PLACES,
    workers: int | None = None,
) -> pd.DataFrame:
    """Hectares and share of each class within `near_m` metres of each cooperative's plots, from a sample of places.

    share_k = Σ w y_k ÷ Σ w over places, with y_k the share of class k on a square of 10 m there and w one over the
    number of the cooperative's plots within reach (Hansen and Hurwitz, by multiplicity). Places on the cooperative's
    own plots do not count. A plot counts as its middle; one larger than 300 m as its middle and corners. The same plots
    give the same places: they are spread evenly, not drawn by lot.

    Parameters
    ----------
    plots : index plot_id, EPSG:4326; cooperative_id.
    near_m : metres.
    places : in all; each cooperative gets 100 to 2,000 of them.

    Returns
    -------
    DataFrame : as `land_around` returns it, and places: how many independent places of equal weight tell as much,
        (Σ w)² ÷ Σ w²; the standard error of a share p is at most √(p (1 − p) / places).

    Raises
    ------
    RasterError, CrsError : see `class_areas`.

    Source: Sirken (1972), Health Services Reports 87, 466–473 (multiplicity); Thompson (2012), Sampling, chapter 6.
    """
    there = plots[~(plots.geometry.isna() | plots.geometry.is_empty)].sort_index(kind="stable")
    codes, ids = pd.factorize(there["cooperative_id"], sort=True)
    each = int(np.clip(places // max(1, len(ids)), FEWEST_EACH, MOST_EACH))
    shapes = there.geometry.to_numpy()
    points, weights, owners, rings = [], [], [], []
    for code in range(len(ids)):
        drawn, weight, hectares = _places(shapes[codes == code], each, near_m)
        points.append(drawn)
        weights.append(weight)
        owners.append(np.full(len(drawn), code))
        rings.append(hectares)
    lonlat, weight, owner = np.concatenate(points), np.concatenate(weights), np.concatenate(owners)
    weight = np.where(_on_own_plots(lonlat, owner, shapes, codes), 0.0, weight)
    return _table(_shown(lonlat, rasters, product, workers), weight, owner, ids, np.array(rings), product)


def _places(shapes: npt.NDArray[np.object_], count: int, near_m: float) -> tuple[Floats, Floats, float]:
    """Places within reach of the plots, the weight of each, and the hectares that a weight of 1 in each stands for."""
    from scipy.spatial import cKDTree

    centres = _middles(shapes)
    spread = np.mod(0.5 + np.outer(np.arange(count), [1 / _PLASTIC, 1 / _PLASTIC**2]), 1.0)
    start = centres[((np.arange(count) + 0.5) / count * len(centres)).astype(np.int64)]
    reach, turn = near_m * np.sqrt(spread[:, 0]), 2 * np.pi * spread[:, 1]
    offset = np.column_stack([reach * np.sin(turn), reach * np.cos(turn)])
    drawn = start + offset / metres_per_degree(start[:, 1])
    chosen_by = cKDTree(_in_space(centres)).query_ball_point(_in_space(drawn), near_m * (1 + 1e-3), return_length=True)
    return drawn, 1 / np.maximum(chosen_by, 1), len(centres) * np.pi * near_m**2 / 1e4 / count


def _middles(shapes: npt.NDArray[np.object_]) -> Floats:
    """Middles of the plots, and corners of the large ones; neighbours mostly follow one another."""
    box = shapely.bounds(shapes)
    middle = (box[:, :2] + box[:, 2:]) / 2
    wide = np.hypot(*((box[:, 2:] - box[:, :2]) * metres_per_degree(middle[:, 1])).T) > _PART_M
    corners = shapely.get_coordinates(shapely.segmentize(shapes[wide], _PART_M / 111_320))
    found = np.concatenate([middle, corners])
    strip = np.floor(found[:, 1] / 0.05)
    return np.asarray(found[np.lexsort((found[:, 0] * np.where(strip % 2, -1, 1), strip))], dtype=np.float64)


def _in_space(lonlat: Floats) -> Floats:
    """Places on the WGS84 ellipsoid in metres from its centre: over some km a chord is as long as the way."""
    lon, lat = np.radians(lonlat).T
    radius = _EQUATOR_M / np.sqrt(1 - _FLATTENED * np.sin(lat) ** 2)
    flat = radius * np.cos(lat)
    return np.column_stack([flat * np.cos(lon), flat * np.sin(lon), radius * (1 - _FLATTENED) * np.sin(lat)])


def _on_own_plots(lonlat: Floats, owner: Ints, shapes: npt.NDArray[np.object_], codes: Ints) -> npt.NDArray[np.bool_]:
    place, plot = shapely.STRtree(shapes).query(shapely.points(lonlat), predicate="intersects")
    inside = np.zeros(len(lonlat), dtype=bool)
    inside[place[owner[place] == codes[plot]]] = True
    return inside


def _shown(lonlat: Floats, rasters: Sequence[Path], product: Product, workers: int | None) -> Floats:
    """Shares of the classes on a square of 10 m at each place, then no data, outside, unknown; rows add up to 1."""
    half = _SIDE_M / 2 / metres_per_degree(lonlat[:, 1])
    squares = shapely.box(*(lonlat - half).T, *(lonlat + half).T)
    areas = np.asarray(area_ha(squares), dtype=float) * 1e4
    shares = measure(squares, areas, rasters, product, workers=workers).inside_m2 / areas[:, None]
    shares[:, -2] = np.maximum(1 - shares.sum(axis=1), 0.0)
    return shares


def _table(shares: Floats, weight: Floats, owner: Ints, ids: pd.Index, rings: Floats, product: Product) -> pd.DataFrame:  # noqa: PLR0917 - the parts of one table
    codes = [*product.legend.index, NO_DATA, OUTSIDE, UNKNOWN]
    names = {**product.legend["name"].to_dict(), **NAMES}
    sums = np.zeros((len(ids), len(codes)))
    np.add.at(sums, owner, shares * weight[:, None])
    whole, squares = sums.sum(axis=1), np.bincount(owner, weight**2, minlength=len(ids))
    coop, column = np.nonzero(sums > 0)
    found = pd.DataFrame(
        {
            "cooperative_id": pd.Series(ids.to_numpy()[coop], dtype="str"),
            "class": np.array(codes, dtype=np.int64)[column],
            "name": pd.Series([names[codes[one]] for one in column], dtype="str"),
            "area_ha": (sums * rings[:, None])[coop, column],
            "share": (sums / np.where(whole > 0, whole, 1.0)[:, None])[coop, column],
            "places": np.divide(whole**2, squares, out=np.zeros(len(ids)), where=squares > 0)[coop],
        }
    )
    return found.sort_values(["cooperative_id", "class"], kind="stable").reset_index(drop=True)
