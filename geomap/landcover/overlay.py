"""Maps laid over one another on the ground of plots: the cells of each as outlines, cut with one another."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.landcover.layer_cells import outline_of_cells, polygons_of
from geomap.landcover.mosaic import in_raster
from geomap.landcover.product import Product
from geomap.landcover.source import Grid, Rasters
from geomap.plots.area import area_ha

Floats: TypeAlias = npt.NDArray[np.float64]


def overlaid(
    plots: gpd.GeoDataFrame,
    maps: Mapping[str, Sequence[Path]],
    products: Mapping[str, Product],
    bounds: pd.DataFrame,
) -> pd.DataFrame:
    """The agreement of maps, measured on the ground where areas alone leave it open; basis "overlay".

    The ground that a map says can bear the crop, and that it says cannot, are outlines of its cells. All maps agree
    where one kind of all of them meets. Ground that some map does not know is not compared. Areas are geodesic.

    Parameters
    ----------
    plots : index plot_id, EPSG:4326, valid outlines.
    maps, products : product name → its rasters, and the product.
    bounds : of `agreement_bounds`, index as the plots.
    """
    open_plots = np.flatnonzero((bounds["basis"] == "bounds").to_numpy())
    if not len(open_plots):
        return bounds
    outlines = plots.geometry.to_numpy()[open_plots]
    bears, bears_not = outlines.copy(), outlines.copy()
    for name in sorted(maps):
        with Rasters(maps[name], products[name]) as opened:
            shown = [_ground(outline, opened, products[name]) for outline in outlines]
        can, cannot = (np.array(column, dtype=object) for column in zip(*shown, strict=True))
        bears, bears_not = _cut(shapely.intersection, bears, can), _cut(shapely.intersection, bears_not, cannot)
        outlines = _cut(shapely.intersection, outlines, _cut(shapely.union, can, cannot))
    same, compared = _hectares(bears) + _hectares(bears_not), _hectares(outlines)
    share = np.minimum(np.divide(same, compared, out=np.full(len(same), np.nan), where=compared > 0), 1.0)
    rows, measured = bounds.index[open_plots], bounds.copy()
    for column in ("agreement", "agreement_low", "agreement_high"):
        measured.loc[rows, column] = share
    measured.loc[rows, "compared_ha"] = compared
    measured.loc[rows, "basis"] = np.where(compared > 0, "overlay", "")
    return measured


def _ground(outline: Any, opened: Rasters, product: Product) -> tuple[Any, Any]:
    """The ground around an outline that a map says can bear the crop, and that it says cannot, in degrees."""
    bearing = product.legend["tree_crop"] > 0
    kinds = [product.legend.index[mask].to_numpy() for mask in (bearing, ~bearing)]
    found = [shapely.Polygon(), shapely.Polygon()]
    for grid in opened.grids:
        codes, corner = _codes(outline, grid, opened, product)
        before = shapely.union_all(found)  # ground that an earlier raster spoke for
        for kind, wanted in enumerate(kinds):
            cells = outline_of_cells(np.isin(codes, wanted), corner, grid)
            found[kind] = _cut(shapely.union, found[kind], _cut(shapely.difference, cells, before))
    return found[0], found[1]


def _codes(outline: Any, grid: Grid, opened: Rasters, product: Product) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    """Codes of the window around an outline, and its corner (row, column); no data beyond the raster."""
    west, south, east, north = shapely.bounds(in_raster(np.array([outline], dtype=object), grid)[0])
    rows = np.sort((np.array([south, north]) - grid.transform.f) / grid.transform.e)
    columns = np.sort((np.array([west, east]) - grid.transform.c) / grid.transform.a)
    top, bottom = np.clip([np.floor(rows[0]), np.ceil(rows[1])], 0, grid.height).astype(int).tolist()
    left, right = np.clip([np.floor(columns[0]), np.ceil(columns[1])], 0, grid.width).astype(int).tolist()
    if top >= bottom or left >= right:
        return np.full((1, 1), product.nodata), (0, 0)
    return opened.read(grid, (top, left), (bottom - top, right - left), product.nodata), (top, left)


def _hectares(shapes: npt.NDArray[np.object_]) -> Floats:
    """Geodesic hectares of the polygons of each shape."""
    outlines = np.full(len(shapes), None, dtype=object)
    outlines[:] = [polygons_of(shape) for shape in shapes]
    return np.nan_to_num(np.asarray(area_ha(outlines), dtype=np.float64))


def _cut(overlay: Callable[..., Any], one: Any, other: Any) -> Any:
    """The polygons of an overlay, of one shape or of many: what only touches is a line, and cannot be cut again."""
    found = overlay(one, other)
    if not isinstance(found, np.ndarray):
        return polygons_of(found)
    whole = np.empty(len(found), dtype=object)
    whole[:] = [polygons_of(shape) for shape in found]
    return whole
