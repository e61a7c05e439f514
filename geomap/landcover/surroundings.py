"""The land around a cooperative's plots: a ring of 1 km, without the plots themselves."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.landcover.extract import class_areas
from geomap.landcover.product import Product

UNCULTIVATED: Final = "uncultivated_nearby_share"
NEAR_M: Final = 1000.0

MOST_RINGED: Final = 20_000
"""Plots up to which the ring around them is drawn; around more of them the land is seen at a sample of places."""

_USED: Final = re.compile(
    r"(?<!out)crop|cultivat|agricultur|farm|pasture|plantation|mosaic|sugar cane|soy|rice|palm|coffee|cocoa|rubber"
    r"|citrus|cotton|built|urban|settlement|mining|aquaculture|power plant|lost|deforested|threshold|no data",
    re.IGNORECASE,
)
_SHADE: Final = "(includes shade coffee and cocoa)"
_CORNERS: Final = 8


def is_uncultivated(legend: pd.DataFrame) -> "pd.Series[bool]":
    """Whether a class is neither fields, planted trees nor built-up, by its name.

    It is not "natural": tree cover may be shade coffee, grassland may be grazed, and water and bare ground count too.

    Parameters
    ----------
    legend : index class; name.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> found = is_uncultivated(product("esri-lulc-2021").legend)
    >>> found[[2, 5, 7, 11]].tolist()
    [True, False, False, True]
    """
    used = [bool(_USED.search(str(name).replace(_SHADE, ""))) for name in legend["name"]]
    return pd.Series(~np.array(used, dtype=bool), index=legend.index, name="uncultivated")


def land_around(
    plots: gpd.GeoDataFrame,
    rasters: Sequence[Path],
    product: Product,
    *,
    near_m: float = NEAR_M,
    workers: int | None = None,
) -> pd.DataFrame:
    """Hectares and share of each class within `near_m` metres of each cooperative's plots, the plots left out.

    Other cooperatives' plots are not left out: they are land around, too. Points count as places of plots.

    Parameters
    ----------
    plots : index plot_id, EPSG:4326; cooperative_id.
    near_m : metres.

    Returns
    -------
    DataFrame : as `environment` returns it: cooperative_id, class, name, area_ha, share (0–1).

    Raises
    ------
    RasterError, CrsError : see `class_areas`.
    """
    there = plots[~(plots.geometry.isna() | plots.geometry.is_empty)].sort_index(kind="stable")
    rings = {
        str(cooperative): ring_around(own.geometry.to_numpy(), near_m)
        for cooperative, own in there.groupby("cooperative_id", sort=True)
    }
    frame = gpd.GeoDataFrame(
        geometry=list(rings.values()), index=pd.Index(list(rings), name="plot_id", dtype="str"), crs="EPSG:4326"
    )
    found = class_areas(frame, rasters, product, workers=workers).classes
    found = found.rename(columns={"plot_id": "cooperative_id"}).sort_values(["cooperative_id", "class"], kind="stable")
    sums = found.groupby("cooperative_id")["area_ha"].transform("sum")
    return (
        found[["cooperative_id", "class", "name", "area_ha"]]
        .assign(share=found["area_ha"] / sums)
        .reset_index(drop=True)
    )


def metres_per_degree(latitude: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Metres of a degree eastward and northward at each latitude, (n, 2), on the WGS84 ellipsoid.

    Source: Snyder (1987), Map Projections: A Working Manual, chapter 4, as series.

    Examples
    --------
    >>> metres_per_degree(np.array([0.0])).round().tolist()
    [[111319.0, 110574.0]]
    """
    lat = np.radians(latitude)
    north = 111_132.954 - 559.822 * np.cos(2 * lat) + 1.175 * np.cos(4 * lat)
    east = 111_412.84 * np.cos(lat) - 93.5 * np.cos(3 * lat) + 0.118 * np.cos(5 * lat)
    return np.column_stack([east, north])


def ring_around(shapes: npt.NDArray[np.object_], near_m: float = NEAR_M) -> Any:
    """All ground within `near_m` metres of the shapes and in none of them, in degrees.

    Each shape is widened in metres at its own place on the WGS84 ellipsoid: right to about 1 % of the distance where a
    shape is small against the Earth, which plots are.

    Parameters
    ----------
    shapes : points and polygons, longitude and latitude, within ±85 degrees.

    Examples
    --------
    A circle of 1 km around a point has π km²; 8 corners a quarter draw it to 1 %.

    >>> from geomap.plots.area import area_ha
    >>> ring = ring_around(np.array([shapely.Point(-88.0, 14.0)]))
    >>> print(round(float(area_ha(np.array([ring]))[0]) / 314.159, 2))
    0.99
    """
    box = shapely.bounds(shapes).reshape(-1, 4)
    scale = metres_per_degree((box[:, 1] + box[:, 3]) / 2)
    parts, owner = shapely.get_coordinates(shapes, return_index=True)
    metres = shapely.set_coordinates(shapes.copy(), parts * scale[owner])
    wide = shapely.buffer(metres, near_m, quad_segs=_CORNERS)
    parts, owner = shapely.get_coordinates(wide, return_index=True)
    degrees = shapely.set_coordinates(wide, parts / scale[owner])
    flat = shapes[shapely.area(shapes) > 0]
    return shapely.difference(shapely.union_all(degrees), shapely.union_all(flat))
