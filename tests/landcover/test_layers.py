"""Layers over plots: quantiles, ground that counts once, hectares without data; and layers as columns of the plots."""

import exactextract
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from rasterio.transform import from_origin

from geomap.errors import ColumnError, NumberError, RasterError, UnknownNameError
from geomap.landcover import layer
from geomap.landcover.layer import STATISTICS, layer_means, layer_values, weighted_quantile
from geomap.landcover.layers import layer_columns, layers_given, with_altitude_band, with_layers
from geomap.plots.area import area_ha

CELL = 0.001
WEST, NORTH = -88.7, 14.7


@pytest.fixture
def write_layer(tmp_path):
    """Write values as a GeoTIFF; returns its path."""

    def write(values, *, west=WEST, north=NORTH, cell=CELL, crs="EPSG:4326", name="layer.tif", **options):
        values = np.atleast_2d(np.asarray(values, dtype=options.pop("dtype", "float32")))
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1,
            dtype=values.dtype, crs=crs, transform=from_origin(west, north, cell, cell), **options,
        ) as target:  # fmt: skip
            target.write(values, 1)
        return tmp_path / name

    return write


def plots_of(*shapes, **columns):
    index = pd.Index([f"P{i}" for i in range(len(shapes))], name="plot_id")
    return gpd.GeoDataFrame(columns, geometry=list(shapes), index=index, crs="EPSG:4326")


def cells_box(column0, row0, column1, row1):
    """A box given in cells of the raster."""
    return shapely.box(WEST + column0 * CELL, NORTH - row1 * CELL, WEST + column1 * CELL, NORTH - row0 * CELL)


def row(plots, *rasters, columns=STATISTICS):
    return layer_values(plots, rasters).values.loc["P0", list(columns)].tolist()


# ---- the values over one plot ----


def test_quantiles_weigh_each_cell_by_its_covered_share(write_layer):
    # 0.5 cells at 100, 1 at 200, 0.25 at 400 of 1.75: to 100 lie .29, to 200 .86 of the ground
    raster = write_layer([[100, 200, 400]])
    expected = [200.0, 100.0, 400.0, 100.0, 200.0, 400.0]
    assert row(plots_of(cells_box(0.5, 0, 2.25, 1)), raster) == pytest.approx(expected, rel=1e-6)


def test_the_lowest_and_highest_count_cells_that_are_hardly_touched(write_layer):
    raster = write_layer([[1, 200, 900]])
    assert row(plots_of(cells_box(0.99, 0, 2.01, 1)), raster, columns=["min", "p10", "p90", "max"]) == [
        1.0,
        200.0,
        200.0,
        900.0,
    ]


def test_ground_without_data_and_beyond_the_raster_are_hectares(write_layer):
    # five cells: one beyond the west edge, one of no data, three with data
    raster = write_layer([[-1, 7, 7, 7]], nodata=-1)
    plots = plots_of(cells_box(-1, 0, 4, 1))
    covered, nodata, outside = row(plots, raster, columns=["covered", "nodata_ha", "outside_ha"])
    fifth = float(area_ha(plots.geometry).iloc[0]) / 5
    assert [covered, nodata, outside] == pytest.approx([0.6, fifth, fifth], rel=1e-6)


def test_a_value_of_zero_is_a_value(write_layer):
    raster = write_layer([[0, 0, 9]], dtype="int16", nodata=-32768)
    assert row(plots_of(cells_box(0, 0, 3, 1)), raster) == [3.0, 0.0, 9.0, 0.0, 0.0, 9.0]


# ---- ground that several files cover ----


def test_overlapping_files_count_once(write_layer):
    # both files show the middle cell; the name that comes first speaks for it: (1 + 1 + 5) / 3
    first = write_layer([[1, 1]], name="a.tif")
    second = write_layer([[100, 5]], west=WEST + CELL, name="b.tif")
    plots = plots_of(cells_box(0, 0, 3, 1))
    assert row(plots, first, second) == pytest.approx([7 / 3, 1.0, 5.0, 1.0, 1.0, 5.0])
    assert row(plots, second, first) == row(plots, first, second)
    assert row(plots, first, second, first) == row(plots, first, second)


def test_the_finer_file_speaks_first(write_layer):
    coarse = write_layer([[8.0]], cell=2 * CELL, name="a.tif")
    fine = write_layer([[2.0]], name="b.tif")
    # one of the four cells of the coarse one is the fine one: (2 + 3 · 8) / 4
    assert row(plots_of(cells_box(0, 0, 2, 2)), coarse, fine)[0] == pytest.approx(6.5, rel=1e-6)


def test_a_hole_in_the_data_is_filled_by_the_next_file(write_layer):
    first = write_layer([[1, -1, 3]], nodata=-1, name="a.tif")
    second = write_layer([[50, 20, -1]], nodata=-1, name="b.tif")
    plots = plots_of(cells_box(0, 0, 3, 1))
    assert row(plots, first, second, columns=["mean", "min", "max", "nodata_ha"]) == pytest.approx([8.0, 1.0, 20.0, 0])
    third = write_layer([[50, -1, -1]], nodata=-1, name="c.tif")
    found = row(plots, first, third, columns=["mean", "covered", "nodata_ha", "outside_ha"])
    assert found == pytest.approx([2.0, 2 / 3, float(area_ha(plots.geometry).iloc[0]) / 3, 0.0], rel=1e-6)


def test_files_of_two_crs_cover_a_plot_once(write_layer):
    plots = plots_of(cells_box(3, 3, 9, 9))
    west, _, _, north = plots.to_crs(32616).total_bounds
    metres = write_layer(
        np.full((80, 80), 4.0), west=west - 50, north=north + 50, cell=10.0, crs="EPSG:32616", name="utm.tif"
    )
    half = write_layer(np.full((12, 6), 10.0), name="degrees.tif")  # its east edge is at column 6: half of the plot
    found = row(plots, metres, half, columns=["mean", "covered", "nodata_ha", "outside_ha"])
    assert found == pytest.approx([4.0, 1.0, 0.0, 0.0], abs=1e-9)  # the cells of 10 m are finer than those of 111 m
    empty = np.full((80, 80), np.nan)
    empty[:, 40:] = 4.0
    holes = write_layer(empty, west=west - 50, north=north + 50, cell=10.0, crs="EPSG:32616", name="utm.tif")
    mean, covered, nodata, outside = row(plots, holes, half, columns=["mean", "covered", "nodata_ha", "outside_ha"])
    whole = float(area_ha(plots.geometry).iloc[0])
    assert covered * whole + nodata + outside == pytest.approx(whole, rel=1e-6)
    assert 6.0 < mean < 8.0 and covered > 0.95


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_hectares_add_up_and_files_in_any_order_and_cut_anyhow_give_the_same(tmp_path_factory, seed):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("law")
    values = rng.integers(0, 50, (7, 7)).astype("float32")
    values[rng.random((7, 7)) < 0.2] = -1
    cut, lap = int(rng.integers(1, 6)), int(rng.integers(0, 2))
    paths = []
    for name, first, last in (("whole", 0, 7), ("a", 0, min(cut + lap, 7)), ("b", cut, 7)):
        part = values[:, first:last]
        paths.append(folder / f"{name}.tif")
        with rasterio.open(
            paths[-1], "w", driver="GTiff", height=7, width=part.shape[1], count=1, dtype="float32", nodata=-1,
            crs="EPSG:4326", transform=from_origin(WEST + first * CELL, NORTH, CELL, CELL),
        ) as target:  # fmt: skip
            target.write(part, 1)
    x, y = rng.uniform(-1, 6, 2)
    ring = shapely.Polygon(
        np.column_stack([WEST + CELL * (x + rng.uniform(0, 3, 9)), NORTH - CELL * (y + rng.uniform(0, 3, 9))])
    )
    plots = plots_of(shapely.convex_hull(ring), cells_box(0, 0, 7, 7))
    whole = layer_values(plots, paths[:1]).values
    split = layer_values(plots, paths[1:]).values
    assert_frame_equal(layer_values(plots, paths[:0:-1]).values, split, check_exact=True)
    assert_frame_equal(split, whole, rtol=1e-6, atol=1e-5)  # hectares: 1e-6 of up to 60 ha
    areas = area_ha(plots.geometry)
    np.testing.assert_allclose(whole["covered"] * areas + whole["nodata_ha"] + whole["outside_ha"], areas, rtol=2e-6)


def test_large_plots_are_worked_on_few_at_a_time_with_the_same_bytes(write_layer, village, monkeypatch):
    plots, raster = village(30), write_layer(np.random.default_rng(2).uniform(0, 1, (60, 60)))
    straight = layer_values(plots, [raster]).values
    monkeypatch.setattr(layer, "_CELLS_AT_ONCE", 50)
    assert_frame_equal(layer_values(plots, [raster]).values, straight, check_exact=True)


def test_means_are_those_of_all_statistics(write_layer, village):
    plots, raster = village(30), write_layer(np.random.default_rng(2).uniform(0, 1, (60, 60)))
    wanted = layer_values(plots, [raster]).values[["mean", "covered"]]
    assert_frame_equal(layer_means(plots, [raster]).values, wanted, check_exact=True)


def test_neither_the_chunk_nor_the_order_of_plots_matters(write_layer, village):
    plots, raster = village(60), write_layer(np.random.default_rng(2).uniform(0, 1, (60, 60)))
    straight = layer_values(plots, [raster]).values
    shuffled = plots.sample(frac=1, random_state=3)
    assert_frame_equal(layer_values(shuffled, [raster], chunk=7).values.loc[plots.index], straight, check_exact=True)


# ---- two independent ways to the same number ----


def test_the_extremes_are_those_of_exactextract_and_quantiles_lie_within_one_of_its_cells(write_layer, village):
    values = np.random.default_rng(4).uniform(0, 250, (600, 600)).astype("float32")
    raster = write_layer(values, cell=0.0001)
    plots = village(150)
    ours = layer_values(plots, [raster]).values
    theirs = exactextract.exact_extract(
        str(raster), plots.reset_index(), ["min", "max", "values", "coverage"], output="pandas"
    )
    known = np.flatnonzero(ours["mean"].notna())
    assert len(known) > 100
    np.testing.assert_allclose(ours["min"].iloc[known], theirs["min"].iloc[known], rtol=1e-6)
    np.testing.assert_allclose(ours["max"].iloc[known], theirs["max"].iloc[known], rtol=1e-6)
    for k in known:  # numpy's weighted quantile of exactextract's cells; at a tie either neighbour is right
        weights = theirs["coverage"].iloc[k].astype(float)
        for name, q in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
            near = [
                np.quantile(theirs["values"].iloc[k], q + step, weights=weights, method="inverted_cdf")
                for step in (-1e-4, 1e-4)
            ]
            assert near[0] - 1e-4 <= ours[name].iloc[k] <= near[1] + 1e-4


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(-1e3, 1e3), st.integers(1, 9)), min_size=1, max_size=60),
    st.sampled_from([0.1, 0.25, 0.5, 0.9]),
)
def test_a_weighted_quantile_is_the_plain_one_of_repeated_values(cells, q):
    group, value, weight = (np.array(column) for column in zip(*cells, strict=True))
    found = weighted_quantile(group, value, weight.astype(float), q, groups=5)
    assert np.isnan(found[4])
    for one in range(4):
        repeated = np.repeat(value[group == one], weight[group == one])
        expected = np.quantile(repeated, q, method="inverted_cdf") if len(repeated) else np.nan
        np.testing.assert_equal(found[one], expected)


@pytest.mark.parametrize("far", [1.0, 1e9])
def test_a_neighbour_with_much_ground_does_not_move_a_quantile(far):
    group, value = np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0])
    weight = np.array([far, far, 1.0, 2.0])
    assert weighted_quantile(group, value, weight, 1 / 3, groups=2).tolist() == [1.0, 3.0]


# ---- layers as columns of the plots ----


def test_a_layer_adds_its_values_and_its_band_and_leaves_the_plots_as_they_are(write_layer):
    plots = plots_of(cells_box(0, 0, 2, 1), cells_box(1, 0, 3, 1), variety=["a", "b"])
    before = plots.copy()
    made, findings = with_layers(plots, {"altitude": [write_layer([[1100, 1250, 1500]])]})
    assert made["altitude"].tolist() == pytest.approx([1175.0, 1375.0])
    assert made["altitude_max"].tolist() == [1250.0, 1500.0]
    assert made["altitude_band"].tolist() == ["1,000–1,200 m", "1,200–1,400 m"]
    assert made["altitude_m"].tolist() == pytest.approx([1175.0, 1375.0])
    assert findings.empty
    assert_frame_equal(plots, before)


def test_a_told_altitude_stays_and_tells_the_band_where_the_layer_shows_nothing(write_layer):
    shapes = (cells_box(0, 0, 1, 1), cells_box(5, 0, 6, 1), cells_box(0, 0, 1, 1))
    plots = plots_of(*shapes, altitude_m=[900.0, 1450.0, np.nan])
    made, findings = with_layers(plots, {"dem": [write_layer([[1010.0]])]})
    assert made["altitude_m"].tolist() == [900.0, 1450.0, 1010.0]
    assert made["altitude_band"].tolist() == ["1,000–1,200 m", "1,400–1,600 m", "1,000–1,200 m"]
    assert findings[["plot_id", "code"]].values.tolist() == [["P1", "outside_raster"]]


def test_without_a_layer_the_told_altitude_makes_the_band():
    plots = plots_of(None, None, altitude_m=["1250", "high"])
    assert with_layers(plots, {})[0]["altitude_band"].tolist() == ["1,200–1,400 m", ""]
    assert "altitude_band" not in with_layers(plots_of(None), {})[0]


def test_a_band_that_is_told_stays(write_layer):
    plots = plots_of(cells_box(0, 0, 1, 1), altitude_m=[1250.0], altitude_band=["high"])
    assert with_layers(plots, {})[0]["altitude_band"].tolist() == ["high"]
    assert with_altitude_band(pd.DataFrame(plots.drop(columns="geometry")))["altitude_band"].tolist() == ["high"]
    with pytest.raises(ColumnError, match="altitude_band already"):
        with_layers(plots, {"dem": [write_layer([[1000.0]])]})


def test_given_edges_make_the_bands_of_a_layer(write_layer):
    raster = write_layer([[3.0, 30.0]])
    made, _ = with_layers(plots_of(cells_box(0, 0, 1, 1)), {"slope": [raster]}, edges={"slope": [10.0]})
    assert made["slope_band"].tolist() == ["under 10"]
    with pytest.raises(NumberError, match="edges of the bands of slope"):
        with_layers(plots_of(cells_box(0, 0, 1, 1)), {"slope": [raster]}, edges={"slope": [10.0, 10.0]})


def test_names_that_cannot_be_columns_are_refused(write_layer):
    raster, plots = write_layer([[1.0]]), plots_of(cells_box(0, 0, 1, 1), rain=[1.0], soil_p10=[2.0])
    with pytest.raises(ColumnError, match="column rain already"):
        with_layers(plots, {"rain": [raster]})
    with pytest.raises(ColumnError, match="column soil_p10 already"):
        with_layers(plots, {"soil": [raster]})
    with pytest.raises(UnknownNameError, match=r"cannot be called 'a\.b'"):
        with_layers(plots, {"a.b": [raster]})
    with pytest.raises(UnknownNameError, match="dem and elevation are both altitude"):
        with_layers(plots, {"dem": [raster], "elevation": [raster]})
    with pytest.raises(UnknownNameError, match="edges for slope"):
        with_layers(plots, {"soils": [raster]}, edges={"slope": [1.0]})
    with pytest.raises(RasterError, match="No raster of the slope"):
        with_layers(plots, {"slope": []})


def test_layers_are_typed_as_name_and_file():
    assert {name: [path.name for path in files] for name, files in layers_given(["dem=x/a=1.tif"]).items()} == {
        "dem": ["a=1.tif"]
    }
    for text in ("dem.tif", "=a.tif", "dem=", "Dem=a.tif"):
        with pytest.raises(UnknownNameError):
            layers_given([text])


def test_the_columns_to_sum_by_are_known_beforehand(write_layer):
    plots = plots_of(cells_box(0, 0, 1, 1))
    layers = {"elevation": [write_layer([[900.0]])], "rain": [write_layer([[5.0]], name="rain.tif")]}
    made, _ = with_layers(plots, layers)
    assert layer_columns(layers, plots) == ("altitude_band", "rain_band")
    assert {"altitude_band", "rain_band"} <= set(made.columns)
    assert layer_columns([], plots) == ()
    assert layer_columns([], plots, pd.DataFrame({"altitude_m": [1.0]})) == ("altitude_band",)


def test_members_without_a_plot_have_a_band_where_they_tell_an_altitude():
    members = pd.DataFrame({"altitude_m": [1999.0, np.nan]}, index=["A", "B"])
    assert with_altitude_band(members)["altitude_band"].tolist() == ["1,800–2,000 m", ""]
    assert with_altitude_band(members[["altitude_m"]].iloc[1:]).columns.tolist() == ["altitude_m"]
