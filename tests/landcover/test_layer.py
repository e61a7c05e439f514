"""Means of a layer over plots: by hand, by law, and against exactextract."""

import exactextract
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pandas.testing import assert_frame_equal
from rasterio.transform import from_origin

from geomap.errors import CrsError, RasterError
from geomap.landcover.layer import layer_means
from geomap.plots.area import ellipsoidal_cell_area

CELL = 0.001
WEST, NORTH = -88.7, 14.7


@pytest.fixture
def write_layer(tmp_path):
    """Write values as a GeoTIFF; returns its path."""

    def write(values, *, west=WEST, north=NORTH, cell=CELL, crs="EPSG:4326", name="layer.tif", **options):
        values = np.atleast_2d(np.asarray(values, dtype=options.pop("dtype", "float32")))
        bands = values if values.ndim == 3 else values[None]
        scale, offset = options.pop("scale", 1.0), options.pop("offset", 0.0)
        options = {"transform": from_origin(west, north, cell, cell)} | options
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", height=bands.shape[1], width=bands.shape[2], count=len(bands),
            dtype=bands.dtype, crs=crs, **options,
        ) as target:  # fmt: skip
            target.write(bands)
            target.scales, target.offsets = (scale,) * len(bands), (offset,) * len(bands)
        return tmp_path / name

    return write


def plots_of(*shapes):
    index = pd.Index([f"P{i}" for i in range(len(shapes))], name="plot_id")
    return gpd.GeoDataFrame(geometry=list(shapes), index=index, crs="EPSG:4326")


def cells_box(column0, row0, column1, row1):
    """A box given in cells of the raster."""
    return shapely.box(WEST + column0 * CELL, NORTH - row1 * CELL, WEST + column1 * CELL, NORTH - row0 * CELL)


def means(plots, *rasters):
    return layer_means(plots, rasters).values["mean"].tolist()


def test_the_mean_weighs_each_cell_by_its_covered_share(write_layer):
    # half of the cell of 100, all of 200, a quarter of 400: (50 + 200 + 100) / 1.75
    raster = write_layer([[100, 200, 400]])
    assert means(plots_of(cells_box(0.5, 0, 2.25, 1)), raster) == pytest.approx([350 / 1.75])


def test_cells_without_data_count_neither_above_nor_below_the_line(write_layer):
    raster = write_layer([[100, -1, 400]], nodata=-1)
    found = layer_means(plots_of(cells_box(0, 0, 3, 1)), [raster])
    assert found.values.loc["P0"].tolist() == pytest.approx([250.0, 2 / 3], rel=1e-6)
    assert found.findings.empty


def test_nan_is_no_data(write_layer):
    assert means(plots_of(cells_box(0, 0, 3, 1)), write_layer([[100, np.nan, 400]])) == pytest.approx([250.0])


def test_a_plot_of_which_the_layer_covers_less_than_half_has_no_mean_and_a_finding(write_layer):
    raster = write_layer([[100, -1, -1]], nodata=-1)
    found = layer_means(plots_of(cells_box(0, 0, 3, 1), cells_box(0, 0, 2, 1)), [raster], name="yield map")
    assert found.values["mean"].isna().tolist() == [True, False]
    assert found.findings[["plot_id", "code"]].values.tolist() == [["P0", "nodata"]]
    assert "the yield map covers 33% of the plot" in found.findings["message"][0]


def test_ground_beyond_the_raster_is_not_covered(write_layer):
    found = layer_means(plots_of(cells_box(-3, 0, 1, 1), cells_box(9, 9, 10, 10)), [write_layer([[100, 200]])])
    assert found.values["covered"].tolist() == pytest.approx([0.25, 0.0], abs=1e-6)
    assert found.values["mean"].isna().all()
    assert found.findings[["plot_id", "code"]].values.tolist() == [["P0", "nodata"], ["P1", "outside_raster"]]


def test_a_hole_is_not_part_of_the_mean(write_layer):
    raster = write_layer(np.arange(9).reshape(3, 3))
    ring = cells_box(0, 0, 3, 3) - cells_box(1, 1, 2, 2)
    # 0 … 8 without the middle, which is 4: (36 − 4) / 8
    assert means(plots_of(ring), raster) == pytest.approx([4.0], rel=1e-5)


def test_points_and_missing_outlines_have_no_mean(write_layer):
    plots = plots_of(shapely.Point(WEST, NORTH), None, cells_box(0, 0, 1, 1))
    found = layer_means(plots, [write_layer([[7.0]])])
    assert found.values.isna().all(axis=1).tolist() == [True, True, False]
    assert found.findings.empty


def test_rows_weigh_by_the_true_area_of_their_cells(write_layer):
    # cells of 1 degree at 59.5 and 60.5 degrees north
    raster = write_layer([[0.0], [1.0]], west=0.0, north=61.0, cell=1.0)
    low, high = ellipsoidal_cell_area(np.array([59.5, 60.5]), height=1.0, width=1.0)
    assert means(plots_of(shapely.box(0, 59, 1, 61)), raster) == pytest.approx([low / (low + high)], rel=1e-9)


def test_tiles_together_are_as_the_whole(write_layer):
    values = np.random.default_rng(1).uniform(200, 900, (6, 6))
    plots = plots_of(cells_box(0.3, 0.2, 5.7, 5.1), cells_box(1.5, 1, 2.5, 2))
    parts = [
        write_layer(values[:, :2], name="a.tif"),
        write_layer(values[:, 2:], west=WEST + 2 * CELL, name="b.tif"),
    ]
    whole = layer_means(plots, [write_layer(values)]).values
    split = layer_means(plots, parts).values
    assert_frame_equal(split, whole, rtol=1e-6)
    assert_frame_equal(layer_means(plots, parts[::-1]).values, split)


def test_order_of_plots_does_not_matter(write_layer, village):
    plots, raster = village(60), write_layer(np.random.default_rng(2).uniform(0, 1, (60, 60)))
    shuffled = plots.sample(frac=1, random_state=3)
    straight = layer_means(plots, [raster]).values
    assert_frame_equal(layer_means(shuffled, [raster]).values.loc[plots.index], straight, check_exact=True)


@pytest.mark.parametrize("kind", ["float32", "int16", "uint8"])
def test_means_are_those_of_exactextract(write_layer, village, kind):
    # Their weight is the covered share alone: within one plot of some metres the area of a cell changes by 1e-6.
    values = np.random.default_rng(4).uniform(0, 250, (600, 600)).astype(kind)
    raster = write_layer(values, cell=0.0001, dtype=kind, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    plots = village(200)
    ours = layer_means(plots, [raster]).values
    theirs = exactextract.exact_extract(str(raster), plots.reset_index(), ["mean", "count"], output="pandas")
    known = ours["mean"].notna().to_numpy()
    assert known.sum() > 150
    np.testing.assert_allclose(ours["mean"][known], theirs["mean"][known], rtol=2e-5)


def test_means_in_a_projected_raster_are_those_of_exactextract(write_layer, village):
    plots = village(100)
    west, _, _, north = plots.to_crs(32616).total_bounds
    values = np.random.default_rng(5).uniform(0, 900, (600, 600))
    raster = write_layer(values, west=west - 50, north=north + 50, cell=10.0, crs="EPSG:32616")
    ours = layer_means(plots, [raster]).values["mean"]
    dense = plots.set_geometry(plots.segmentize(0.001)).to_crs(32616)
    theirs = exactextract.exact_extract(str(raster), dense.reset_index(), ["mean"], output="pandas")["mean"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_scale_and_offset_of_the_file_are_applied(write_layer):
    raster = write_layer([[10, 20]], dtype="int16", scale=0.1, offset=5.0)
    assert means(plots_of(cells_box(0, 0, 2, 1)), raster) == pytest.approx([6.5], rel=1e-6)


def test_a_raster_drawn_from_south_to_north_gives_the_same_mean(write_layer):
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    upright = write_layer(values)
    turned = write_layer(
        values[::-1], name="turned.tif",
        transform=rasterio.Affine(CELL, 0, WEST, 0, CELL, NORTH - 2 * CELL),
    )  # fmt: skip
    plots = plots_of(cells_box(0.2, 0.3, 1.4, 1.9))
    assert means(plots, turned) == pytest.approx(means(plots, upright), rel=1e-9)


def test_bad_rasters_are_refused_in_words(write_layer, tmp_path):
    plots = plots_of(cells_box(0, 0, 1, 1))
    with pytest.raises(CrsError, match="names no coordinate reference system"):
        layer_means(plots, [write_layer([[1.0]], crs=None, name="bare.tif")])
    with pytest.raises(RasterError, match="has 2 bands"):
        layer_means(plots, [write_layer(np.ones((2, 1, 1)), name="two.tif")])
    with pytest.raises(RasterError, match=r"There is no file none\.tif"):
        layer_means(plots, [tmp_path / "none.tif"])
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(RasterError, match="not a GeoTIFF"):
        layer_means(plots, [tmp_path / "text.tif"])
    with pytest.raises(RasterError, match="None of the 1 plots lies on the yield map"):
        layer_means(plots, [write_layer([[1.0]], west=10.0, name="far.tif")], name="yield map")
    with pytest.raises(RasterError, match="No raster"):
        layer_means(plots, [])
