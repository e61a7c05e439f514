"""The benchmark's world: a land-cover tile of any size written in bounded memory, and many plots on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window

from geomap.simulate.plots import Floats, draw_areas, draw_corners, draw_outlines, metres_per_degree, settle
from geomap.simulate.terrain import BARE, BUILT, CELL, CROP, GRASS, SHRUB, TREE, WATER, fractal

WEST, NORTH = -74.0, 6.0  # inside Colombia
COARSE: Final = 64
"""Cells between two points of the coarse fields."""
FINE: Final = 2048
"""Cells after which the fine noise comes again; over other hills it makes another map."""
LEVELS: Final = 128
PLOTS_PER_VILLAGE: Final = 50
PLOTS_PER_MEMBER: Final = 1.4
VILLAGES_PER_COOPERATIVE: Final = 20


@dataclass(frozen=True)
class World:
    """Files of a made world: a land-cover GeoTIFF (codes of ESA WorldCover) and plots as GeoParquet."""

    landcover: Path
    plots: Path


def bench_world(folder: str | Path, *, seed: int, size: int = 36_000, plots: int = 100_000) -> World:
    """A `size` × `size` land-cover tile of 10 m and `plots` smallholder plots in villages all over it.

    The map is fractal from 64 cells up and again from 2,048 cells down to one, tiled 512, deflate; at the full size it
    takes 1.3 milliards of cells in about half a gigabyte of memory. The same seed gives the same cells.

    Parameters
    ----------
    folder : made where missing; landcover.tif and plots.parquet in it are replaced.
    size : cells per side; 36,000 is a tile of 3°.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     world = bench_world(folder, seed=1, size=1024, plots=20)
    ...     len(gpd.read_parquet(world.plots))
    20
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder / "landcover.tif", folder / "plots.parquet")
    ground, farms = np.random.default_rng(seed).spawn(2)
    _write_tile(ground, world.landcover, size)
    bench_plots(farms, size, plots).to_parquet(
        world.plots, compression="zstd", schema_version="1.1.0", write_covering_bbox=True
    )
    return world


def bench_plots(rng: np.random.Generator, size: int, count: int) -> gpd.GeoDataFrame:
    """Plots that do not overlap, in villages spread evenly over a tile of `size` × `size` cells.

    GeoDataFrame in EPSG:4326: plot_id, member_id, cooperative_id, community, crop, declared_area_ha, gps_accuracy_m.
    """
    side = max(1, round(np.sqrt(count / PLOTS_PER_VILLAGE)))
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).reshape(-1, 2)
    share = (at + rng.uniform(0.2, 0.8, size=at.shape)) / side
    villages = np.column_stack([WEST + share[:, 1] * size * CELL, NORTH - share[:, 0] * size * CELL])
    village = np.sort(rng.integers(len(villages), size=count))
    area_ha = draw_areas(rng, count)
    outlines, reach = draw_outlines(rng, area_ha, draw_corners(rng, area_ha))
    low, high = np.array([WEST, NORTH - size * CELL]) + 0.002, np.array([WEST + size * CELL, NORTH]) - 0.002

    def inside(places: Floats) -> NDArray[np.bool_]:
        return np.asarray(((places > low) & (places < high)).all(axis=1))

    middle = settle(rng, villages[village], reach, spread_m=900.0, allowed=inside)
    xy, owner = shapely.get_coordinates(outlines, return_index=True)
    lonlat = (xy / metres_per_degree(middle[:, 1])[owner] + middle[owner]).round(7)
    new = (np.diff(village, prepend=-1) > 0) | (rng.random(count) < 1 / PLOTS_PER_MEMBER)
    table = {
        "plot_id": _numbered("P", np.arange(count)),
        "member_id": _numbered("M", np.cumsum(new) - 1),
        "cooperative_id": _numbered("C", village // VILLAGES_PER_COOPERATIVE),
        "community": _numbered("V", village),
        "crop": "coffee",
        "declared_area_ha": np.round(area_ha * np.exp(0.17 + 0.81 * rng.normal(size=count)), 2).clip(0.05),
        "gps_accuracy_m": np.round(5.9 * np.exp(0.4 * rng.normal(size=count)), 1),
    }
    return gpd.GeoDataFrame(table, geometry=shapely.set_coordinates(outlines, lonlat), crs="EPSG:4326")


def _numbered(letter: str, number: NDArray[Any]) -> pd.Series:
    return letter + pd.Series(number).astype("str").str.zfill(6)


def _write_tile(rng: np.random.Generator, path: Path, size: int) -> None:
    """Rows of 512 at a time: two fields of coarse hills plus fine noise, looked up in a table of classes."""
    coarse = [_coarse_field(rng, size) for _ in range(2)]
    fine = [_as_levels(0.55 * fractal(rng, (FINE, FINE), roughness=roughness, longest=160)) for roughness in (2.9, 2.7)]
    across = (1, -(-size // FINE))
    classes = _class_table()
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "uint8", "count": 1, "width": size, "height": size, "crs": "EPSG:4326", "nodata": 0,
        "transform": Affine(CELL, 0, WEST, 0, -CELL, NORTH), "tiled": True, "blockxsize": 512, "blockysize": 512,
        "compress": "deflate", "zlevel": 6, "num_threads": 2, "bigtiff": "if_safer",
    }  # fmt: skip
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(path, "w", **profile) as made:
        for top in range(0, size, 512):
            rows = np.arange(top, min(top + 512, size))
            one, other = (
                _between(field, rows, size) + np.tile(noise[rows % FINE], across)[:, :size]
                for field, noise in zip(coarse, fine, strict=True)
            )
            np.clip(one, 0, LEVELS - 1, out=one)
            np.clip(other, 0, LEVELS - 1, out=other)
            made.write(classes[one * np.int16(LEVELS) + other], 1, window=Window(0, top, size, len(rows)))
        made.build_overviews([level for level in (4, 16, 64) if level < size / 64], Resampling.nearest)


def _coarse_field(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    points = size // COARSE + 2
    return LEVELS / 2 + 18 * 0.83 * fractal(rng, (points, points), roughness=2.6)


def _as_levels(field: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.rint(18 * field).astype(np.int16)


def _between(field: NDArray[np.float32], rows: NDArray[np.int64], size: int) -> NDArray[np.int16]:
    """The coarse field at every cell of some rows, bilinear."""
    row, weight = rows // COARSE, (rows % COARSE / COARSE).astype(np.float32)[:, None]
    strip = field[row] * (1 - weight) + field[row + 1] * weight
    part = (np.arange(COARSE) / COARSE).astype(np.float32)
    wide = strip[:, :-1, None] * (1 - part) + strip[:, 1:, None] * part
    return np.asarray(wide.reshape(len(rows), -1)[:, :size].astype(np.int16))


def _class_table() -> NDArray[np.uint8]:
    """Class by level of moisture (rows) and level of use (columns); 18 levels are one standard deviation."""
    moist, used = (np.mgrid[:LEVELS, :LEVELS] - LEVELS / 2) / 18
    table = np.full((LEVELS, LEVELS), TREE, dtype=np.uint8)
    table[moist < -0.25 + 0.5 * used] = GRASS
    table[(moist < -0.1 + 0.5 * used) & (used < -0.6)] = SHRUB
    table[(moist < 0.5 * used) & (used > 0.7)] = CROP
    table[(np.abs(moist) < 0.35) & (used > 2.1)] = BUILT
    table[(moist < -2.3) & (used < 0.3)] = BARE
    table[(moist > 2.4) & (used > -0.5)] = WATER
    return table.ravel()
