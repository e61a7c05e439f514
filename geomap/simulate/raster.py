"""Made plots on the ground of a real land-cover raster."""

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window, from_bounds

from geomap.errors import RasterError
from geomap.simulate.attributes import describe_plots
from geomap.simulate.plots import Floats, draw_areas, place_plots

PLOTS_PER_VILLAGE = 40
PLOTS_PER_MEMBER = 1.4


def plots_on_raster(
    raster: str | Path,
    *,
    rng: np.random.Generator,
    n: int,
    classes: Sequence[int] = (10,),
    window: tuple[float, float, float, float] | None = None,
    cooperatives: int = 3,
    country: str = "HN",
    crop: str = "coffee",
    prefix: str = "P",
) -> gpd.GeoDataFrame:
    """`n` made smallholder plots in communities on cells of the given classes, as a file would hold them.

    The middle of a plot, or of a patch of up to four neighbours, lies on such a cell. Plots of one village belong to
    one cooperative; cooperatives lie beside each other from west to east. Land is found on the raster's overviews, so
    a tile that is mostly sea costs little.

    Parameters
    ----------
    raster : a class raster in EPSG:4326.
    classes : codes a plot's middle may lie on.
    window : west, south, east, north in degrees; the whole raster where None.
    country : ISO 3166 code, carried as a column.
    crop : crop that every plot declares.
    prefix : begins every plot and member id.

    Returns
    -------
    GeoDataFrame, EPSG:4326: plot_id, member_id, cooperative_id, community, crop, country and the columns of
    `describe_plots`.

    Raises
    ------
    RasterError : the raster is not in EPSG:4326, or no cell of these classes is in the window.
    """
    with rasterio.open(raster) as source:
        if source.crs is None or source.crs.to_epsg() != 4326:
            raise RasterError(
                f"{Path(raster).name} is not in EPSG:4326.",
                why="Made plots are placed in longitude and latitude.",
                todo="Give a raster in EPSG:4326.",
            )
        part = Window(0, 0, source.width, source.height) if window is None else _window(source, window)
        villages = _villages(source, part, classes, rng, max(cooperatives, round(n / PLOTS_PER_VILLAGE)))

        def allowed(places: Floats) -> NDArray[np.bool_]:
            return np.isin([code for (code,) in source.sample(places, masked=False)], classes)

        village = np.sort(rng.integers(len(villages), size=n))
        area_ha = draw_areas(rng, n)
        outlines = place_plots(rng, village, villages, area_ha, spread_m=900.0, allowed=allowed)
    table = describe_plots(rng, area_ha, crop=crop)
    member = _members(rng, village)
    cooperative = village * cooperatives // len(villages)
    table.insert(0, "plot_id", [f"{prefix}-{number:05d}" for number in range(1, n + 1)])
    table.insert(1, "member_id", [f"{prefix}M-{number:05d}" for number in member + 1])
    table.insert(2, "cooperative_id", [f"{prefix}C-{number}" for number in cooperative + 1])
    table.insert(3, "community", [f"Village {number}" for number in village + 1])
    table["country"] = country
    return gpd.GeoDataFrame(table, geometry=outlines, crs="EPSG:4326")


def _window(source: rasterio.DatasetReader, bounds: tuple[float, float, float, float]) -> Window:
    whole = Window(0, 0, source.width, source.height)
    return from_bounds(*bounds, transform=source.transform).round_offsets().round_lengths().intersection(whole)


def _villages(
    source: rasterio.DatasetReader, part: Window, classes: Sequence[int], rng: np.random.Generator, count: int
) -> Floats:
    """Longitude and latitude of cells of the classes, read coarsely, from west to east."""
    step = max(1, round(max(part.width, part.height) / 2000))
    shape = (max(1, int(part.height / step)), max(1, int(part.width / step)))
    found = np.argwhere(np.isin(source.read(1, window=part, out_shape=shape), classes))
    if not len(found):
        raise RasterError(
            f"No cell of class {', '.join(map(str, classes))} was found in {Path(source.name).name}.",
            why="Plots are placed on these classes.",
            todo="Name other classes or another window.",
        )
    cells = found[rng.choice(len(found), size=count, replace=len(found) < count)] + 0.5
    east = part.col_off + cells[:, 1] * part.width / shape[1]
    south = part.row_off + cells[:, 0] * part.height / shape[0]
    to = source.transform
    lonlat = np.column_stack([to.c + to.a * east, to.f + to.e * south])
    return np.asarray(lonlat[np.lexsort(lonlat.T[::-1])])


def _members(rng: np.random.Generator, village: NDArray[np.int64]) -> NDArray[np.int64]:
    """A member's number per plot, 1.4 plots each, all in one village."""
    first = np.diff(village, prepend=-1) > 0
    new = first | (rng.random(len(village)) < 1 / PLOTS_PER_MEMBER)
    own = np.cumsum(new) - 1
    return np.asarray(own)
