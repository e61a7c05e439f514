"""The benchmark's data beside `bench_world`: a country that grows, huge and tiny plots, small rasters, a layer."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.windows import Window

from geomap.plots.area import area_ha
from geomap.simulate.bench import NORTH, WEST, bench_plots
from geomap.simulate.plots import draw_outlines, metres_per_degree
from geomap.simulate.terrain import CELL, fractal

TINY_HA = 0.05
HUGE_HA = (2_000, 5_000)
HUGE_CORNERS = (200, 2_000)
BLOCK = 512


def measured(plots: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Indexed by plot_id and with `area_ha`: plots come measured to the raster, as in a run."""
    table = plots.set_index("plot_id").sort_index()
    return table.assign(area_ha=area_ha(table.geometry))


def flat(plots: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """What exactextract gets: plot_id and outline."""
    return plots.reset_index()[["plot_id", "geometry"]]


def country(folder: Path, size: int, counts: list[int]) -> dict[int, Path]:
    """GeoParquet files of the first so many plots of one country, village by village.

    So the land grows with the plots and a plot costs as much decoding in a small country as in a large one.
    """
    largest = measured(bench_plots(np.random.default_rng(4), size, max(counts)))[["geometry", "area_ha"]]
    paths = {count: folder / f"country-{count}.parquet" for count in counts}
    for count, path in paths.items():
        largest.iloc[:count].to_parquet(path, compression="zstd")
    return paths


def crowded_plots(size: int, count: int) -> gpd.GeoDataFrame:
    """Plots of which every tenth lies on its neighbour, shifted by a third of its width."""
    made = bench_plots(np.random.default_rng(2), size, count).set_index("plot_id")
    over = np.arange(10, count, 10)
    below = made.geometry.to_numpy()[over - 1]
    west, _, east, _ = shapely.bounds(below).T
    lonlat, owner = shapely.get_coordinates(below, return_index=True)
    lonlat[:, 0] += ((east - west) / 3)[owner]
    outlines = made.geometry.to_numpy().copy()
    outlines[over] = shapely.set_coordinates(below, lonlat)
    made = made.set_geometry(gpd.GeoSeries(outlines, index=made.index, crs=made.crs))
    return made.assign(area_ha=area_ha(made.geometry))


def tiny_plots(size: int, count: int) -> gpd.GeoDataFrame:
    """Plots of 0.05 ha, five cells of 10 m, with 4 to 8 corners."""
    rng = np.random.default_rng(5)
    outlines, _ = draw_outlines(rng, np.full(count, TINY_HA), rng.integers(4, 9, size=count))
    return _scattered(rng, outlines, size)


def huge_plots(size: int, count: int) -> gpd.GeoDataFrame:
    """Plots of 2,000 to 5,000 ha with 200 to 2,000 corners, walked: each corner is off by a fifth of a step."""
    rng = np.random.default_rng(6)
    outlines, _ = draw_outlines(rng, rng.uniform(*HUGE_HA, size=count), np.full(count, 24))
    step = shapely.length(outlines) / rng.integers(*HUGE_CORNERS, size=count)
    outlines = shapely.segmentize(outlines, step)
    xy, owner = shapely.get_coordinates(outlines, return_index=True)
    xy += rng.uniform(-0.2, 0.2, size=xy.shape) * step[owner, None]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    xy[np.append(first[1:], len(xy)) - 1] = xy[first]  # each ring ends where it begins
    walked = shapely.set_coordinates(outlines.copy(), xy)
    return _scattered(rng, np.where(shapely.is_valid(walked), walked, outlines), size)


def _scattered(rng: np.random.Generator, outlines: Any, size: int) -> gpd.GeoDataFrame:
    """Outlines in metres, each somewhere on the tile of `size` × `size` cells; they may overlap."""
    corner, across = np.array([WEST, NORTH - size * CELL]), size * CELL
    xy, owner = shapely.get_coordinates(outlines, return_index=True)
    margin = np.maximum.reduceat(np.hypot(*xy.T), np.flatnonzero(np.diff(owner, prepend=-1)))[:, None] / 110_000
    middle = corner + margin + rng.random((len(outlines), 2)) * (across - 2 * margin)
    lonlat = xy / metres_per_degree(middle[:, 1])[owner] + middle[owner]
    ids = [f"P{number:06d}" for number in range(len(outlines))]
    return measured(gpd.GeoDataFrame({"plot_id": ids}, geometry=shapely.set_coordinates(outlines, lonlat), crs=4326))


def small_raster(big: Path, path: Path, *, size: int, step: int = 1) -> Path:
    """The north-western `size` × `size` cells of a raster; with a step of 3, of 10 m cells every third: 30 m."""
    with rasterio.open(big) as source:
        codes = source.read(1, window=Window(0, 0, size, size))[::step, ::step]
        _write(path, codes, source.transform @ rasterio.Affine.scale(step), nodata=0)
    return path


def layer(path: Path, *, size: int, step: int = 1) -> Path:
    """Hills in metres, to the decimetre, as float32."""
    side = -(-size // step)
    hills = fractal(np.random.default_rng(7), (2048, 2048), roughness=3.0)
    height = np.round(1_000 + 200 * np.tile(hills, (-(-side // 2048),) * 2)[:side, :side], 1).astype(np.float32)
    _write(path, height, rasterio.Affine(CELL * step, 0, WEST, 0, -CELL * step, NORTH), predictor=3)
    return path


def _write(path: Path, cells: Any, transform: Any, **options: Any) -> None:
    profile = {
        "driver": "GTiff", "dtype": cells.dtype, "count": 1, "width": cells.shape[1], "height": cells.shape[0],
        "crs": "EPSG:4326", "transform": transform, "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "compress": "deflate", "num_threads": 2, **options,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as made:
        made.write(cells, 1)
