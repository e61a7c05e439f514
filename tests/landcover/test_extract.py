"""Hectares per class: by hand, by law, and against exactextract."""

import warnings

import exactextract
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from rasterio.transform import Affine

from geomap.errors import CrsError, RasterError
from geomap.landcover.extract import NO_DATA, OUTSIDE, UNKNOWN, class_areas
from geomap.plots.area import area_ha, ellipsoidal_cell_area

CELL = 1 / 12000
CORNER = (-88.7, 14.7)


def plots_of(*shapes):
    return gpd.GeoDataFrame(
        geometry=list(shapes), index=pd.Index([f"P{i}" for i in range(len(shapes))], name="plot_id"), crs="EPSG:4326"
    )


def cells_box(column0, row0, column1, row1):
    """A box given in cells of the raster at CORNER."""
    return shapely.box(
        CORNER[0] + column0 * CELL, CORNER[1] - row1 * CELL, CORNER[0] + column1 * CELL, CORNER[1] - row0 * CELL
    )


def cell_ha(row):
    return ellipsoidal_cell_area(np.array([CORNER[1] - (row + 0.5) * CELL]), height=CELL, width=CELL)[0] / 1e4


def by_class(extraction, plot_id="P0"):
    rows = extraction.classes[extraction.classes["plot_id"] == plot_id]
    return dict(zip(rows["class"], rows["area_ha"], strict=True))


@pytest.fixture
def three_by_three(write_raster):
    return write_raster([[10, 10, 40], [10, 40, 40], [50, 0, 77]], west=CORNER[0], north=CORNER[1], cell=CELL)


def test_one_plot_over_nine_cells_gets_each_cell_once(three_by_three, worldcover):
    found = class_areas(plots_of(cells_box(0, 0, 3, 3)), [three_by_three], worldcover)
    first, second, third = (cell_ha(row) for row in range(3))
    assert by_class(found) == pytest.approx(
        {10: 2 * first + second, 40: first + 2 * second, 50: third, NO_DATA: third, UNKNOWN: third}, rel=1e-9
    )
    assert found.cover.loc["P0", ["nodata_ha", "outside_ha", "unknown_ha"]].tolist() == pytest.approx(
        [third, 0, third], rel=1e-9
    )


def test_half_a_cell_is_half_its_area(three_by_three, worldcover):
    found = class_areas(plots_of(cells_box(0, 0, 0.5, 1)), [three_by_three], worldcover)
    assert by_class(found) == pytest.approx({10: cell_ha(0) / 2}, rel=1e-9)


def test_ground_beyond_the_raster_is_hectares_of_its_own(three_by_three, worldcover):
    found = class_areas(plots_of(cells_box(-1, 0, 1, 1)), [three_by_three], worldcover)
    assert by_class(found) == pytest.approx({10: cell_ha(0), OUTSIDE: cell_ha(0)}, rel=1e-9)
    assert found.findings.loc[found.findings["code"] == "outside_raster", "plot_id"].tolist() == ["P0"]


def test_a_plot_that_is_nowhere_on_the_raster_is_outside_with_its_whole_area(three_by_three, worldcover):
    found = class_areas(plots_of(cells_box(0, 0, 1, 1), cells_box(50, 50, 51, 51)), [three_by_three], worldcover)
    assert by_class(found, "P1") == pytest.approx({OUTSIDE: cell_ha(50)}, rel=1e-9)


def test_unknown_codes_are_named_in_the_finding(three_by_three, worldcover):
    findings = class_areas(plots_of(cells_box(0, 0, 3, 3)), [three_by_three], worldcover).findings
    (message,) = findings.loc[findings["code"] == "unknown_class", "message"]
    assert "77" in message


def test_points_and_missing_outlines_get_no_hectares(three_by_three, worldcover):
    plots = plots_of(shapely.Point(CORNER), None, cells_box(0, 0, 1, 1))
    found = class_areas(plots, [three_by_three], worldcover)
    assert set(found.classes["plot_id"]) == {"P2"}
    assert found.cover.index.tolist() == ["P0", "P1", "P2"]
    assert found.cover.loc[["P0", "P1"]].isna().all(axis=None)


def test_no_plot_on_the_raster_says_where_both_lie(three_by_three, worldcover):
    with pytest.raises(RasterError, match=r"None of the 1 plots lies on map\.tif.*14\.7.*axes are swapped"):
        class_areas(plots_of(shapely.box(14.6, -88.7, 14.601, -88.699)), [three_by_three], worldcover)


LAYOUTS = {
    "tiled": {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"},
    "striped": {"blockysize": 7},
    "one block": {},
}


@pytest.fixture
def landscape(write_raster):
    """600 × 600 cells of patchy classes with some no data, in several layouts of the same cells."""

    def make(layout="tiled", **options):
        rng = np.random.default_rng(5)
        coarse = rng.choice([10, 20, 30, 40, 50, 80, 0], size=(150, 150), p=[0.5, 0.1, 0.15, 0.1, 0.05, 0.05, 0.05])
        codes = np.kron(coarse, np.ones((4, 4), dtype=int))
        return write_raster(codes, west=CORNER[0], north=CORNER[1], cell=CELL, **LAYOUTS[layout], **options)

    return make


@pytest.mark.parametrize("layout", LAYOUTS)
def test_classes_no_data_and_outside_add_up_to_the_plot(landscape, village, worldcover, layout):
    plots = village(300)
    found = class_areas(plots, [landscape(layout)], worldcover)
    total = found.classes.groupby("plot_id")["area_ha"].sum().reindex(plots.index)
    inside = (found.cover["outside_ha"] == 0).to_numpy()
    assert inside.sum() > 200
    # Inside the raster nothing is filled up: the sum over cells is the area by itself.
    assert np.abs(total / area_ha(plots.geometry) - 1)[inside].max() < 1e-9


def test_the_layout_of_the_file_does_not_matter(landscape, village, worldcover):
    plots = village(100)
    tables = [class_areas(plots, [landscape(layout, name=f"{layout}.tif")], worldcover).classes for layout in LAYOUTS]
    for table in tables[1:]:
        assert_frame_equal(tables[0], table, rtol=1e-12)


def test_workers_chunks_and_order_give_the_same_bytes(landscape, village, worldcover):
    plots, raster = village(200), landscape()
    plain = class_areas(plots, [raster], worldcover, workers=1)
    expected = plain.classes.to_csv(index=False, float_format="%.17g")
    for workers in (1, 2, 4, 7):
        for chunk in (1, 17, 1000):
            if chunk == 1 and workers not in (1, 7):
                continue  # a chunk of one plot has nothing to spread
            again = class_areas(plots, [raster], worldcover, workers=workers, chunk=chunk)
            assert again.classes.to_csv(index=False, float_format="%.17g") == expected
            assert_frame_equal(again.cover, plain.cover, check_exact=True)
    shuffled = plots.sample(frac=1, random_state=3)
    again = class_areas(shuffled, [raster], worldcover, workers=2)
    assert again.classes.sort_values(["plot_id", "class"]).to_csv(index=False, float_format="%.17g") == (
        plain.classes.sort_values(["plot_id", "class"]).to_csv(index=False, float_format="%.17g")
    )
    assert again.cover.index.tolist() == shuffled.index.tolist()


def test_exactextract_finds_the_same_hectares(landscape, village, worldcover):
    plots, raster = village(300), landscape()
    inside = plots[plots.within(shapely.box(CORNER[0], CORNER[1] - 0.05, CORNER[0] + 0.05, CORNER[1]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = exactextract.exact_extract(
            str(raster), inside.reset_index(), ["cell_id", "coverage", "values"], include_cols=["plot_id"],
            output="pandas", strategy="feature-sequential",
        )  # fmt: skip
    rows = theirs.explode(["cell_id", "coverage", "values"])
    row = rows["cell_id"].astype(int).to_numpy() // 600
    weight = ellipsoidal_cell_area(CORNER[1] - (row + 0.5) * CELL, height=CELL, width=CELL) / 1e4
    expected = (
        pd.DataFrame({"plot_id": rows["plot_id"], "class": rows["values"].replace(0, NO_DATA).astype(int),
                      "area_ha": rows["coverage"].astype(float) * weight})
        .groupby(["plot_id", "class"])["area_ha"].sum()
    )  # fmt: skip
    ours = class_areas(inside, [raster], worldcover).classes.set_index(["plot_id", "class"])["area_ha"]
    both = pd.concat([ours, expected], axis=1, keys=["ours", "theirs"]).fillna(0)
    size = area_ha(inside.geometry).reindex(both.index.get_level_values("plot_id")).to_numpy()
    assert (np.abs(both["ours"] - both["theirs"]) / size).max() < 1e-5


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.2, 0.8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_plot_cut_in_two_gives_the_whole(landscape, worldcover, seed, share):
    rng = np.random.default_rng(seed)
    west, south = CORNER[0] + rng.uniform(0.005, 0.04), CORNER[1] - rng.uniform(0.01, 0.045)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
    whole = shapely.Polygon(np.column_stack([west + 0.002 * np.cos(angle), south + 0.003 * np.sin(angle)]))
    if not whole.is_valid or whole.area == 0:
        return
    x0, y0, x1, y1 = whole.bounds
    cut = x0 + share * (x1 - x0)
    halves = [whole & shapely.box(x0, y0, cut, y1), whole & shapely.box(cut, y0, x1, y1)]
    found = class_areas(plots_of(whole, *halves), [landscape()], worldcover).classes
    table = found.pivot_table(index="plot_id", columns="class", values="area_ha", fill_value=0)
    assert np.abs(table.loc["P1"] + table.loc["P2"] - table.loc["P0"]).max() < 1e-9 * table.loc["P0"].sum()


def test_moving_raster_and_plots_by_whole_cells_changes_nothing(write_raster, village, worldcover):
    rng = np.random.default_rng(9)
    codes = rng.choice([10, 40, 50], size=(100, 100))
    padded = np.pad(codes, ((5, 0), (8, 0)), constant_values=30)
    plots = village(30, reach=0.008)
    plain = class_areas(plots, [write_raster(codes, west=CORNER[0], north=CORNER[1], cell=CELL)], worldcover)
    moved = class_areas(
        plots,
        [write_raster(padded, west=CORNER[0] - 8 * CELL, north=CORNER[1] + 5 * CELL, cell=CELL, name="b.tif")],
        worldcover,
    )
    a, b = (
        found.classes[found.classes["class"].isin([10, 40, 50])].set_index(["plot_id", "class"])["area_ha"]
        for found in (plain, moved)
    )
    assert (a - b).abs().max() < 1e-9


def test_halving_the_cells_changes_nothing(write_raster, village, worldcover):
    codes = np.random.default_rng(9).choice([10, 40, 50], size=(200, 200))
    plots = village(30, reach=0.012)
    coarse = write_raster(codes, west=CORNER[0], north=CORNER[1], cell=CELL)
    fine = write_raster(np.kron(codes, np.ones((2, 2))), west=CORNER[0], north=CORNER[1], cell=CELL / 2, name="f.tif")
    a, b = (class_areas(plots, [raster], worldcover).classes for raster in (coarse, fine))
    assert_frame_equal(a, b, rtol=1e-8, atol=1e-10)


def test_a_coarse_raster_keeps_the_area_too(write_raster, worldcover):
    # 1 km cells at 50° north: without the change of area within a cell this would be wrong by 1e-4.
    raster = write_raster(np.full((20, 20), 10), west=8.0, north=50.2, cell=0.01)
    plot = shapely.Polygon([(8.013, 50.11), (8.118, 50.093), (8.09, 50.153)])
    found = class_areas(plots_of(plot), [raster], worldcover).classes
    assert found["area_ha"].sum() == pytest.approx(area_ha(plots_of(plot).geometry).iloc[0], rel=1e-6)


def test_adjoining_tiles_work_as_one(landscape, write_raster, village, worldcover):
    whole = landscape()
    with rasterio.open(whole) as source:
        codes = source.read(1)
    west = write_raster(codes[:, :250], west=CORNER[0], north=CORNER[1], cell=CELL, name="west.tif")
    east = write_raster(codes[:, 250:], west=CORNER[0] + 250 * CELL, north=CORNER[1], cell=CELL, name="east.tif")
    plots = village(200)
    one = class_areas(plots, [whole], worldcover)
    for order in ([west, east], [east, west]):
        two = class_areas(plots, order, worldcover)
        assert_frame_equal(one.classes, two.classes, rtol=1e-6)


def test_ground_under_two_files_counts_once(landscape, write_raster, village, worldcover):
    # again.tif comes before map.tif by its name and has trees alone; what either leaves without data is no data.
    again = write_raster(np.full((600, 600), 10), west=CORNER[0], north=CORNER[1], cell=CELL, name="again.tif")
    plots = village(60)
    found = class_areas(plots, [landscape(), again], worldcover)
    alone = class_areas(plots, [again], worldcover)
    assert_frame_equal(found.classes, alone.classes, rtol=1e-9)


def test_a_projected_raster_gives_the_same_hectares(write_raster, worldcover):
    # The same constant and striped ground in UTM 16N: class areas follow the geodesic area of the plot.
    codes = np.full((400, 400), 10)
    codes[:, 200:] = 40
    raster = write_raster(codes, west=316_000, north=1_625_000, cell=10, crs="EPSG:32616")
    box = gpd.GeoSeries([shapely.box(317_900, 1_622_000, 318_100, 1_622_500)], crs="EPSG:32616").to_crs(4326).iloc[0]
    found = class_areas(plots_of(box), [raster], worldcover)
    half = area_ha(plots_of(box).geometry).iloc[0] / 2
    assert by_class(found) == pytest.approx({10: half, 40: half}, rel=1e-4)
    assert found.classes["area_ha"].sum() == pytest.approx(2 * half, rel=1e-9)


def test_a_south_up_raster_gives_the_same_hectares(landscape, write_raster, village, worldcover):
    whole = landscape()
    with rasterio.open(whole) as source:
        codes = source.read(1)
        north_up = source.transform
    flipped = write_raster(
        codes[::-1],
        transform=Affine(north_up.a, 0, north_up.c, 0, -north_up.e, north_up.f + 600 * north_up.e),
        name="flipped.tif",
    )
    plots = village(60)
    a, b = (class_areas(plots, [raster], worldcover).classes for raster in (whole, flipped))
    assert_frame_equal(a, b, rtol=1e-8, atol=1e-9)


def test_cells_that_the_file_masks_are_no_data(write_raster, worldcover):
    mask = [[True, False], [True, True]]
    raster = write_raster(np.full((2, 2), 10), west=CORNER[0], north=CORNER[1], cell=CELL, mask=mask)
    found = class_areas(plots_of(cells_box(0, 0, 2, 2)), [raster], worldcover)
    assert by_class(found) == pytest.approx({10: cell_ha(0) + 2 * cell_ha(1), NO_DATA: cell_ha(0)}, rel=1e-9)


def test_the_files_own_no_data_value_is_no_data(write_raster, worldcover):
    raster = write_raster([[10, 255]], west=CORNER[0], north=CORNER[1], cell=CELL, nodata=255)
    found = class_areas(plots_of(cells_box(0, 0, 2, 1)), [raster], worldcover)
    assert by_class(found) == pytest.approx({10: cell_ha(0), NO_DATA: cell_ha(0)}, rel=1e-9)


def test_a_small_plot_is_said_to_be_too_small(landscape, worldcover):
    found = class_areas(plots_of(cells_box(20, 20, 22, 22), cells_box(30, 30, 34, 34)), [landscape()], worldcover)
    hits = found.findings[found.findings["code"] == "too_small_to_judge"]
    assert hits["plot_id"].tolist() == ["P0"]
    assert "4.0 cells" in hits["message"].iloc[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"crs": None}, CrsError, "names no coordinate reference system"),
        ({"dtype": "float32"}, RasterError, "float32 values, not class codes"),
        ({"nodata": 40}, RasterError, "declares 40 as no data.*Cropland"),
        ({"transform": Affine(CELL, CELL / 9, -88.7, 0, -CELL, 14.7)}, RasterError, "rotated"),
    ],
)
def test_a_raster_that_cannot_be_land_cover_is_refused(write_raster, worldcover, options, error, message):
    place = {} if "transform" in options else {"west": CORNER[0], "north": CORNER[1], "cell": CELL}
    raster = write_raster(np.full((4, 4), 10), **place, **options)
    with pytest.raises(error, match=message):
        class_areas(plots_of(cells_box(0, 0, 1, 1)), [raster], worldcover)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_without_a_place_is_refused(write_raster, worldcover):
    raster = write_raster(np.full((4, 4), 10), transform=Affine.identity())
    with pytest.raises(RasterError, match="says nothing of where its cells lie"):
        class_areas(plots_of(cells_box(0, 0, 1, 1)), [raster], worldcover)


def test_two_bands_are_refused(write_raster, worldcover):
    raster = write_raster(np.full((2, 4, 4), 10), west=CORNER[0], north=CORNER[1], cell=CELL)
    with pytest.raises(RasterError, match="has 2 bands"):
        class_areas(plots_of(cells_box(0, 0, 1, 1)), [raster], worldcover)


def test_a_missing_or_foreign_file_is_refused(tmp_path, worldcover):
    text = tmp_path / "notes.tif"
    text.write_text("not a raster")
    disguised = tmp_path / "other.tif"
    disguised.write_text('<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>')
    for path, message in [
        (tmp_path / "gone.tif", "There is no file gone.tif"),
        (text, "notes.tif is not a GeoTIFF"),
        (disguised, "other.tif is not a GeoTIFF"),
    ]:
        with pytest.raises(RasterError, match=message):
            class_areas(plots_of(cells_box(0, 0, 1, 1)), [path], worldcover)


def test_a_damaged_file_says_where(landscape, village, worldcover):
    raster = landscape("tiled")
    content = bytearray(raster.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = b"\xff" * 4000
    raster.write_bytes(content)
    with pytest.raises(RasterError, match=r"map\.tif cannot be read at row"):
        class_areas(village(300), [raster], worldcover, workers=2)


def test_progress_is_told_block_by_block(landscape, village, worldcover):
    told = []
    class_areas(village(50), [landscape()], worldcover, progress=lambda *step: told.append(step))
    assert told[-1][1] == told[-1][2] == len(told)
    assert {step[0] for step in told} == {"land cover"}


def test_no_plots_give_empty_tables(landscape, worldcover):
    found = class_areas(plots_of().set_geometry(gpd.GeoSeries([], crs=4326)), [landscape()], worldcover)
    assert len(found.classes) == len(found.cover) == len(found.findings) == 0
