"""Layers block by block: the same bytes however they are read, and quantiles without sorting all cells."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from rasterio.transform import from_origin

from geomap.errors import RasterError
from geomap.landcover import layer_blocks, layer_cells
from geomap.landcover.cell_values import quantiles_of
from geomap.landcover.layer import layer_values, weighted_quantile

CELL = 0.0001
WEST, NORTH = -88.7, 14.7


@pytest.fixture
def write_hills(tmp_path):
    """Write a layer of 700 × 700 cells in blocks of 64; returns its path."""

    def write(name="hills.tif", *, holes=0.0, block=64):
        rng = np.random.default_rng(3)
        values = rng.normal(1000, 200, (700, 700)).round(1).astype("float32")
        values[rng.random(values.shape) < holes] = -9
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", height=700, width=700, count=1, dtype="float32", crs="EPSG:4326",
            transform=from_origin(WEST, NORTH, CELL, CELL), nodata=-9, tiled=True, blockxsize=block, blockysize=block,
        ) as target:  # fmt: skip
            target.write(values, 1)
        return tmp_path / name

    return write


@pytest.fixture
def large_plots():
    """Circles of up to 500 cells across, and one that reaches beyond the layer."""
    rng = np.random.default_rng(5)
    middle = np.column_stack([WEST + rng.uniform(150, 550, 12) * CELL, NORTH - rng.uniform(150, 550, 12) * CELL])
    shapes = [
        shapely.Point(xy).buffer(radius * CELL) for xy, radius in zip(middle, rng.uniform(5, 250, 12), strict=True)
    ]
    shapes.append(shapely.box(WEST - 50 * CELL, NORTH - 90 * CELL, WEST + 50 * CELL, NORTH - 10 * CELL))
    index = pd.Index([f"P{i:02}" for i in range(len(shapes))], name="plot_id")
    return gpd.GeoDataFrame(geometry=shapes, index=index, crs="EPSG:4326")


def quantiles(value, weight, wanted):
    """Of one outline, through the kernel."""
    ends = np.array([0]), np.array([len(value)]), np.array([0, 1])
    return quantiles_of(value, weight, *ends, np.array(wanted))[0]


@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_threads_blocks_and_company_do_not_change_a_byte(write_hills, large_plots, monkeypatch, holes):
    from geomap.landcover import blocks

    monkeypatch.setattr(blocks, "_BLOCK_EDGE", 64)  # so that plots lie in up to 64 blocks
    raster = write_hills(holes=holes)
    straight = layer_values(large_plots, [raster], workers=1).values
    assert_frame_equal(layer_values(large_plots, [raster], workers=5).values, straight, check_exact=True)
    alone = [layer_values(large_plots.iloc[[place]], [raster]).values for place in range(len(large_plots))]
    assert_frame_equal(pd.concat(alone), straight, check_exact=True)


def test_the_size_of_blocks_changes_nothing_that_is_seen(write_hills, large_plots, monkeypatch):
    from geomap.landcover import blocks

    whole = layer_values(large_plots, [write_hills()]).values  # one block: no cell is kept
    monkeypatch.setattr(blocks, "_BLOCK_EDGE", 64)
    assert_frame_equal(layer_values(large_plots, [write_hills()]).values, whole, rtol=1e-9)


def test_all_cells_of_a_plot_are_those_that_numpy_finds(write_hills):
    raster = write_hills(holes=0.1)
    box = shapely.box(WEST + 100 * CELL, NORTH - 600 * CELL, WEST + 600 * CELL, NORTH - 100 * CELL)
    plots = gpd.GeoDataFrame(geometry=[box], index=pd.Index(["P"], name="plot_id"), crs="EPSG:4326")
    with rasterio.open(raster) as source:
        cells = source.read(1)[100:600, 100:600]
    cells = cells[cells != -9].astype(float)
    found = layer_values(plots, [raster]).values.loc["P"]
    assert found["mean"] == pytest.approx(cells.mean(), rel=1e-6)  # rows differ in area by less
    assert found[["min", "max"]].tolist() == [cells.min(), cells.max()]
    for name, q in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
        low, high = np.quantile(cells, [q - 1e-4, q + 1e-4], method="inverted_cdf")
        assert low <= found[name] <= high


def test_cells_without_data_are_found_strip_by_strip(write_hills, large_plots, monkeypatch):
    first, second = write_hills("a.tif", holes=0.01), write_hills("b.tif")
    plots = large_plots.iloc[[0, 12]]
    whole = layer_values(plots, [first, second]).values
    monkeypatch.setattr(layer_cells, "_STRIP", 1000)
    assert_frame_equal(layer_values(plots, [first, second]).values, whole, rtol=1e-9)


def test_a_plot_whose_cells_would_fill_the_memory_is_refused_for_quantiles_alone(write_hills, large_plots, monkeypatch):
    monkeypatch.setattr(layer_blocks, "_MOST_CELLS", 5_000)
    raster = write_hills()
    with pytest.raises(RasterError, match=r"One plot covers .* cells of hills\.tif"):
        layer_values(large_plots, [raster])
    assert layer_values(large_plots, [raster], quantiles=False).values["mean"].notna().all()


@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 50, 2_049, 6_000]),
    st.sampled_from(["normal", "whole numbers", "two values", "far apart", "with one far away"]),
)
def test_quantiles_from_bins_are_those_from_sorting(seed, count, kind):
    rng = np.random.default_rng(seed)
    value = {
        "normal": rng.normal(1000, 200, count),
        "whole numbers": rng.integers(-3, 3, count).astype(float),
        "two values": rng.choice([0.1, 0.2], count),
        "far apart": rng.choice([-1e308, 1e308, 0.0], count),
        "with one far away": np.append(rng.random(count - 1), 1e30),
    }[kind]
    weight = rng.choice([rng.random(count) + 1e-6, np.ones(count)])
    wanted = [0.0, 0.1, 0.5, 0.9, 1.0]
    expected = [weighted_quantile(np.zeros(count, dtype=int), value, weight, q, groups=1)[0] for q in wanted]
    assert quantiles(value, weight, wanted).tolist() == expected


def test_an_outline_without_cells_has_no_quantile():
    nothing = np.zeros(0, dtype=np.int64)
    assert np.isnan(quantiles_of(np.zeros(0), np.zeros(0), nothing, nothing, np.array([0, 0]), np.array([0.5]))).all()
