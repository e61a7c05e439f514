"""Houses and ponds inside made plots, and the share of each plot that can bear a tree crop."""

from typing import Final

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geomap.simulate.terrain import BUILT, CELL, WATER, Landscape

POINTS: Final = 5
"""Points per cell and direction that decide how much of a cell a plot covers."""
CELLS_PER_PATCH: Final = 9


def build_in_plots(
    rng: np.random.Generator,
    land: Landscape,
    outlines: NDArray[np.object_],
    *,
    houses: float = 0.07,
    ponds: float = 0.02,
) -> NDArray[np.uint8]:
    """The land cover with one to three cells of house or pond inside these shares of the plots."""
    cover = land.cover.copy()
    kind = np.where(rng.random(len(outlines)) < houses / (houses + ponds), BUILT, WATER)
    chosen = np.flatnonzero(rng.random(len(outlines)) < houses + ponds)
    places = shapely.get_coordinates(shapely.point_on_surface(outlines[chosen]))
    row, column, inside = land.cells(places)
    for at, r, c in zip(chosen[inside], row[inside], column[inside], strict=True):
        beside = cover[r : r + rng.integers(1, 3), c : c + rng.integers(1, 3)]
        beside[beside > 0] = kind[at]
    return cover


def bearing_ground(land: Landscape, outlines: NDArray[np.object_], legend: pd.DataFrame) -> pd.DataFrame:
    """Share of each plot that can bear a tree crop, and the cvs of what the map does not know of it.

    f = 1 − Σ share of the class · user's accuracy over classes that bear no tree crop. Ground without data or outside
    the raster is left aside; a plot without any data bears whole.

    Parameters
    ----------
    legend : index class; tree_crop (0 bears none), users_accuracy, users_se.

    Returns
    -------
    Columns bearing_share, map_cv, map_region_cv, map_plot_cv; one row per outline.

    Source: method, the error sources map, map_region and map_plot.
    """
    barren = legend[legend["tree_crop"] == 0]
    accuracy, error = barren["users_accuracy"].to_numpy(dtype=float), barren["users_se"].to_numpy(dtype=float)
    codes = barren.index.to_numpy()
    rows = []
    for outline in outlines:
        found = _codes_under(land, outline)
        known = found[found > 0]
        share = (known[:, None] == codes).sum(axis=0) / max(len(known), 1)
        f = 1 - float(share @ accuracy)
        cells = np.maximum(1, share * len(known) / POINTS**2 / CELLS_PER_PATCH)
        single = share * np.sqrt(accuracy * (1 - accuracy) / cells)
        rows.append(
            [f, np.hypot.reduce(share * error) / f, np.hypot.reduce(share) * 0.10 / f, np.hypot.reduce(single) / f]
        )
    return pd.DataFrame(rows, columns=["bearing_share", "map_cv", "map_region_cv", "map_plot_cv"])


def _codes_under(land: Landscape, outline: shapely.Polygon) -> NDArray[np.uint8]:
    """Land-cover codes at a fine grid of points inside the outline; 0 outside the raster."""
    west, south, east, north = outline.bounds
    step = CELL / POINTS
    x, y = np.meshgrid(np.arange(west + step / 2, east, step), np.arange(south + step / 2, north, step))
    points = np.column_stack([x.ravel(), y.ravel()])[shapely.contains_xy(outline, x.ravel(), y.ravel())]
    row, column, inside = land.cells(points)
    return np.where(inside, land.cover[row, column], 0).astype(np.uint8)
