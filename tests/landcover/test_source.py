"""Several rasters as one map: tiles, overlaps, several CRS and cell sizes; ground counts once whatever the files."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from rasterio.transform import Affine

from geomap.errors import RasterError
from geomap.landcover.extract import NO_DATA, OUTSIDE, class_areas
from geomap.landcover.source import Rasters
from geomap.landcover.virtual import own_rasters
from geomap.plots.area import area_ha, ellipsoidal_cell_area

CELL = 1 / 12000
WEST, NORTH = -88.7, 14.7
SIDE = 120  # cells of the ground that is cut into tiles
QUICK = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plots_of(*shapes):
    index = [f"P{i}" for i in range(len(shapes))]
    return gpd.GeoDataFrame(geometry=list(shapes), index=index, crs="EPSG:4326").rename_axis("plot_id")


def cells_box(column0, row0, column1, row1):
    return shapely.box(WEST + column0 * CELL, NORTH - row1 * CELL, WEST + column1 * CELL, NORTH - row0 * CELL)


def cell_ha(row, cell=CELL):
    return float(ellipsoidal_cell_area(NORTH - (row + 0.5) * cell, height=cell, width=cell)) / 1e4


def by_class(found, plot_id="P0"):
    rows = found.classes[found.classes["plot_id"] == plot_id]
    return dict(zip(rows["class"], rows["area_ha"], strict=True))


def wide(found):
    return found.classes.pivot_table(index="plot_id", columns="class", values="area_ha", fill_value=0.0)


def assert_same_hectares(one, two, tolerance=1e-8):
    a, b = wide(one), wide(two)
    assert a.index.tolist() == b.index.tolist()
    a, b = a.align(b, fill_value=0.0)
    assert (a - b).abs().max(axis=None) < tolerance * a.sum(axis=1).max()


def ground(seed):
    rng = np.random.default_rng(seed)
    return rng.choice([10, 20, 40, 50, 80, 0], size=(SIDE, SIDE), p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1])


@pytest.fixture
def tile(write_raster):
    """Write rows and columns of the ground as a file of its own."""

    def write(codes, name, rows=(0, None), columns=(0, None), **options):
        place = {"west": WEST + columns[0] * CELL, "north": NORTH - rows[0] * CELL, "cell": CELL}
        return write_raster(codes[slice(*rows), slice(*columns)], name=name, **(place | options))

    return write


@pytest.fixture
def spread():
    """Plots over the ground and a little beyond its edges."""
    rng = np.random.default_rng(4)
    shapes = []
    for x, y in rng.uniform(-4, SIDE + 4, (60, 2)):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 7))
        ring = np.column_stack([x + 6 * np.cos(angle), y + 6 * np.sin(angle)])
        shapes.append(shapely.Polygon(ring * [CELL, -CELL] + [WEST, NORTH]))
    return plots_of(*shapes)


# ---- laws ----


@given(cuts=st.lists(st.integers(1, SIDE - 1), min_size=1, max_size=3, unique=True), seed=st.integers(0, 99))
@QUICK
def test_a_raster_cut_into_tiles_gives_the_same_hectares(tile, spread, worldcover, cuts, seed):
    codes = ground(seed)
    edges = [0, *sorted(cuts), SIDE]
    tiles = [tile(codes, f"t{i}.tif", columns=(edges[i], edges[i + 1])) for i in range(len(edges) - 1)]
    whole = class_areas(spread, [tile(codes, "whole.tif")], worldcover)
    assert_same_hectares(whole, class_areas(spread, tiles, worldcover))


@given(
    case=st.tuples(st.integers(31, SIDE - 31), st.integers(1, 30), st.integers(0, 99)), turn=st.permutations(range(3))
)
@QUICK
def test_tiles_with_a_common_strip_give_the_same_hectares_in_any_order(tile, spread, worldcover, case, turn):
    cut, overlap, seed = case
    codes = ground(seed)
    tiles = [
        tile(codes, "a.tif", columns=(0, cut + overlap)),
        tile(codes, "b.tif", rows=(0, cut), columns=(cut, SIDE)),
        tile(codes, "c.tif", rows=(cut - overlap, SIDE), columns=(cut - overlap, SIDE)),
    ]
    whole = class_areas(spread, [tile(codes, "whole.tif")], worldcover)
    found = class_areas(spread, tiles, worldcover)
    assert_same_hectares(whole, found)
    again = class_areas(spread, [tiles[i] for i in turn], worldcover, workers=1, chunk=7)
    assert again.classes.to_csv(float_format="%.17g") == found.classes.to_csv(float_format="%.17g")
    assert_frame_equal(again.cover, found.cover, check_exact=True)


@given(rows=st.tuples(st.integers(0, 50), st.integers(60, SIDE)), seed=st.integers(0, 99))
@QUICK
def test_overlapping_copies_change_nothing(tile, spread, worldcover, rows, seed):
    codes = ground(seed)
    whole = tile(codes, "whole.tif")
    copies = [tile(codes, "copy.tif"), tile(codes, "part.tif", rows=rows)]
    alone = class_areas(spread, [whole], worldcover)
    assert_same_hectares(alone, class_areas(spread, [whole, *copies], worldcover))


@given(seed=st.integers(0, 99))
@QUICK
def test_each_piece_of_ground_counts_once_over_rasters_that_disagree(tile, write_raster, spread, worldcover, seed):
    rasters = [
        tile(ground(seed), "a.tif", columns=(0, 80)),
        tile(ground(seed + 1), "b.tif", columns=(30, SIDE)),
        write_raster(ground(seed + 2), west=289_000, north=1_627_000, cell=12, crs="EPSG:32616", name="u.tif"),
    ]
    found = class_areas(spread, rasters, worldcover)
    total = found.classes.groupby("plot_id")["area_ha"].sum()
    assert (total / area_ha(spread.geometry) - 1).abs().max() < 1e-6


@given(seed=st.integers(0, 99), at=st.tuples(*[st.integers(0, 90)] * 4))
@QUICK
def test_rasters_of_one_grid_are_as_one_that_was_merged_cell_by_cell(tile, spread, worldcover, seed, at):
    # a.tif and b.tif lie anywhere, c.tif everywhere; the first that has data speaks for a cell.
    merged = ground(seed + 2)
    boxes = {"b.tif": (seed + 1, at[0], at[1]), "a.tif": (seed, at[2], at[3])}
    paths = [tile(merged, "c.tif")]
    for name, (grain, row, column) in boxes.items():
        codes, window = ground(grain), (slice(row, row + 30), slice(column, column + 30))
        paths.append(tile(codes, name, rows=(row, row + 30), columns=(column, column + 30)))
        merged[window] = np.where(codes[window] == 0, merged[window], codes[window])
    found = class_areas(spread, paths, worldcover)
    assert_same_hectares(class_areas(spread, [tile(merged, "merged.tif")], worldcover), found)


def test_the_same_file_named_twice_is_read_once(tile, spread, worldcover):
    whole = tile(ground(1), "whole.tif")
    twice = class_areas(spread, [whole, whole.parent / "." / whole.name], worldcover)
    assert_frame_equal(class_areas(spread, [whole], worldcover).classes, twice.classes, check_exact=True)


def test_the_order_of_the_plots_does_not_matter_on_a_mosaic(tile, write_raster, spread, worldcover):
    utm = write_raster(ground(2), west=289_000, north=1_627_000, cell=12, crs="EPSG:32616", name="u.tif")
    rasters = [tile(ground(1), "a.tif", columns=(0, 80)), utm]
    plain = class_areas(spread, rasters, worldcover)
    turned = class_areas(spread.iloc[::-1], rasters, worldcover)
    by_plot = [
        found.classes.sort_values(["plot_id", "class"]).to_csv(float_format="%.17g", index=False)
        for found in (plain, turned)
    ]
    assert by_plot[0] == by_plot[1]
    assert turned.cover.index.tolist() == spread.index[::-1].tolist()
    none = class_areas(spread.iloc[:0], rasters, worldcover)
    assert len(none.classes) == len(none.cover) == len(none.findings) == 0


# ---- who speaks for ground that two rasters cover ----


def test_of_equal_cells_the_file_whose_name_comes_first_speaks(tile, worldcover):
    first = tile(np.full((4, 4), 10), "a.tif")
    second = tile(np.full((4, 4), 40), "b.tif", columns=(2, None), west=WEST + 2 * CELL)
    plot = plots_of(cells_box(0, 0, 6, 1))  # a.tif has columns 0 to 3, b.tif 2 to 3 and in it 2 cells: 2, 3
    assert by_class(class_areas(plot, [second, first], worldcover)) == pytest.approx(
        {10: 4 * cell_ha(0), OUTSIDE: 2 * cell_ha(0)}, rel=1e-8
    )


def test_finer_cells_speak_before_coarser_ones(write_raster, tile, worldcover):
    coarse = tile(np.full((4, 4), 10), "a.tif")
    fine = write_raster(np.full((4, 4), 40), west=WEST, north=NORTH, cell=CELL / 2, name="z.tif")  # 2 × 2 of the coarse
    found = class_areas(plots_of(cells_box(0, 0, 4, 2)), [coarse, fine], worldcover)
    first, second = cell_ha(0), cell_ha(1)
    assert by_class(found) == pytest.approx({10: 2 * (first + second), 40: 2 * (first + second)}, rel=1e-7)


def test_cells_without_data_leave_the_word_to_the_next_raster(tile, worldcover):
    holed = tile(np.array([[10, 0, 0, 10]]), "a.tif")
    below = tile(np.array([[40, 40, 0, 40]]), "b.tif")
    found = class_areas(plots_of(cells_box(0, 0, 5, 1)), [holed, below], worldcover)
    one = cell_ha(0)  # column 1 from b.tif, column 2 has data nowhere, column 4 lies beyond both
    assert by_class(found) == pytest.approx({10: 2 * one, 40: one, NO_DATA: one, OUTSIDE: one}, rel=1e-7)


def test_ground_that_only_an_empty_raster_covers_is_no_data(tile, worldcover):
    empty = tile(np.zeros((2, 4)), "a.tif")
    short = tile(np.full((2, 2), 40), "b.tif")
    found = class_areas(plots_of(cells_box(0, 0, 4, 1)), [empty, short], worldcover)
    assert by_class(found) == pytest.approx({40: 2 * cell_ha(0), NO_DATA: 2 * cell_ha(0)}, rel=1e-7)


def test_rasters_of_one_name_are_told_apart_by_their_bytes(write_raster, tmp_path, worldcover):
    paths = []
    for folder, code in (("x", 10), ("y", 40)):
        written = write_raster(np.full((2, 2), code), west=WEST, north=NORTH, cell=CELL)
        (tmp_path / folder).mkdir()
        paths.append(written.rename(tmp_path / folder / "map.tif"))
    plot = plots_of(cells_box(0, 0, 1, 1))
    one, two = (class_areas(plot, order, worldcover) for order in (paths, paths[::-1]))
    assert_frame_equal(one.classes, two.classes, check_exact=True)
    (tmp_path / "y").rename(tmp_path / "w")  # another folder changes nothing
    moved = class_areas(plot, [paths[0], tmp_path / "w" / "map.tif"], worldcover)
    assert_frame_equal(one.classes, moved.classes, check_exact=True)


# ---- UTM zones ----


def utm_tile(write_raster, zone, code, *, reach=0.012):
    """One class around 14° N, 84° W, where zones 16 and 17 meet, in one zone's own 10 m grid."""
    box = shapely.box(-84 - reach, 14 - reach, -84 + reach, 14 + reach)
    bounds = gpd.GeoSeries([box], crs=4326).to_crs(32600 + zone).total_bounds
    west, north = np.floor(bounds[0] / 10) * 10, np.ceil(bounds[3] / 10) * 10
    cells = np.full((int(np.ceil((north - bounds[1]) / 10)), int(np.ceil((bounds[2] - west) / 10))), code)
    return write_raster(cells, west=west, north=north, cell=10, crs=f"EPSG:326{zone}", name=f"{zone}P.tif")


def test_a_plot_over_the_edge_of_two_utm_zones_is_counted_once(write_raster, worldcover):
    tiles = [utm_tile(write_raster, 16, 10), utm_tile(write_raster, 17, 40)]
    plot = plots_of(shapely.box(-84.002, 14.0, -83.998, 14.004))
    found = class_areas(plot, tiles, worldcover)
    assert by_class(found) == pytest.approx({10: area_ha(plot.geometry).iloc[0]}, rel=1e-8)  # 16P comes before 17P


def test_zones_that_are_empty_beyond_their_meridian_share_the_plot_at_it(write_raster, worldcover):
    # Tiles are rectangles of their zone's grid and hold no data beyond the zone: what is empty in one is in the other.
    paths = [utm_tile(write_raster, 16, 10), utm_tile(write_raster, 17, 40)]
    for path, west_side in zip(paths, (True, False), strict=True):
        with rasterio.open(path, "r+") as target:
            rows, columns = np.mgrid[0 : target.height, 0 : target.width]
            x, y = target.transform * (columns + 0.5, rows + 0.5)
            lon = gpd.GeoSeries(gpd.points_from_xy(x.ravel(), y.ravel()), crs=target.crs).to_crs(4326).x.to_numpy()
            codes = target.read(1)
            codes[((lon < -84) != west_side).reshape(codes.shape)] = 0
            target.write(codes, 1)
    plot = plots_of(shapely.box(-84.005, 14.0, -83.995, 14.01))
    half = area_ha(plot.geometry).iloc[0] / 2
    found = by_class(class_areas(plot, paths, worldcover))
    # The zones' grids are turned against each other, so cells at the meridian overlap or leave slits, half a cell each.
    assert sum(found.values()) == pytest.approx(2 * half, rel=1e-6)
    assert found[10] == pytest.approx(half, rel=0.01)
    assert found[40] == pytest.approx(half, rel=0.01)
    assert found.get(NO_DATA, 0.0) < 0.01 * half


def test_a_plot_beyond_all_tiles_is_outside_and_one_between_them_in_part(write_raster, worldcover):
    tiles = [utm_tile(write_raster, 16, 10), utm_tile(write_raster, 17, 10)]
    plots = plots_of(shapely.box(-84.001, 14.0, -84, 14.001), shapely.box(-88, 14, -87.999, 14.001))
    found = class_areas(plots, tiles, worldcover)
    assert by_class(found, "P1") == pytest.approx({OUTSIDE: area_ha(plots.geometry).iloc[1]})
    assert found.cover.loc["P0", "outside_ha"] == 0


def test_geographic_and_projected_rasters_of_the_same_ground_agree(write_raster, worldcover):
    utm = utm_tile(write_raster, 16, 10, reach=0.05)
    lonlat = write_raster(np.full((50, 50), 10), west=-84.02, north=14.02, cell=0.001, name="g.tif")
    plots = plots_of(shapely.box(-84.03, 14.0, -84.0, 14.01), shapely.box(-83.9745, 14.0, -83.965, 14.002))
    found = class_areas(plots, [lonlat, utm], worldcover)
    assert (wide(found)[10] / area_ha(plots.geometry) - 1).abs().max() < 1e-6


# ---- codes that are no data, and rasters of a quantity ----


def test_a_no_data_value_of_four_thousand_million_costs_no_memory(write_raster, worldcover):
    codes = np.array([[10, 2**32 - 1]], dtype="uint32")
    raster = write_raster(codes, dtype="uint32", nodata=2**32 - 1, west=WEST, north=NORTH, cell=CELL)
    found = class_areas(plots_of(cells_box(0, 0, 2, 1)), [raster], worldcover)
    assert by_class(found) == pytest.approx({10: cell_ha(0), NO_DATA: cell_ha(0)})


def test_rasters_that_lie_side_by_side_keep_the_fast_way(tile, worldcover):
    codes = ground(3)
    paths = [tile(codes, "a.tif", columns=(0, 60)), tile(codes, "b.tif", columns=(60, SIDE))]
    with Rasters(paths, worldcover) as opened:
        assert opened.side_by_side
    moved = tile(codes, "c.tif", transform=Affine(CELL, 0, WEST + 59.5 * CELL, 0, -CELL, NORTH))
    with Rasters([paths[0], moved], worldcover) as opened:
        assert not opened.side_by_side


# ---- virtual rasters: a list of tiles ----


def vrt(folder, names, *, side=60, band="", source="", name="map.vrt"):
    """A virtual raster as gdalbuildvrt writes it: tiles beside one another."""
    entries = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{tile}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{side}" ySize="{SIDE}"/>'
        f'<DstRect xOff="{side * i}" yOff="0" xSize="{side}" ySize="{SIDE}"/>{source}</SimpleSource>'
        for i, tile in enumerate(names)
    )
    text = (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>EPSG:4326</SRS>'
        f'<VRTRasterBand dataType="Byte" band="1"{band}>{entries}</VRTRasterBand></VRTDataset>'
    )
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_virtual_raster_stands_for_its_tiles(tile, spread, worldcover, tmp_path):
    codes = ground(8)
    tiles = [tile(codes, "a.tif", columns=(0, 60)), tile(codes, "b.tif", columns=(60, SIDE))]
    paths = own_rasters([str(vrt(tmp_path, ["a.tif", "b.tif"]))])
    assert paths == tiles
    whole = class_areas(spread, [tile(codes, "whole.tif")], worldcover)
    assert_same_hectares(whole, class_areas(spread, paths, worldcover))


def test_a_virtual_raster_of_gdal_itself_is_understood(tile, tmp_path):
    from rasterio.shutil import copy

    tile(ground(8), "a.tif")
    copy(tmp_path / "a.tif", tmp_path / "gdal.vrt", driver="VRT")
    assert own_rasters([str(tmp_path / "gdal.vrt")]) == [tmp_path / "a.tif"]


@pytest.mark.parametrize(
    ("sources", "options", "words"),
    [
        (["../a.tif"], {}, "outside its own folder"),
        (["/etc/hostname"], {}, "outside its own folder"),
        (["/vsicurl/http://127.0.0.1:1/a.tif"], {}, "outside its own folder"),
        (["http://127.0.0.1:1/a.tif"], {}, "outside its own folder"),
        (["gone.tif"], {}, "gone.tif"),
        (["other.vrt"], {}, "other.vrt"),
        ([], {}, "names no tiles"),
        (["a.tif"], {"band": ' subClass="VRTRawRasterBand"'}, "more than tiles side by side"),
        (["a.tif"], {"band": ' subClass="VRTDerivedRasterBand"'}, "more than tiles side by side"),
        (["a.tif"], {"source": "<ScaleRatio>2</ScaleRatio>"}, "more than tiles side by side"),
        (["a.tif"], {"side": 30}, "more than tiles side by side"),
    ],
)
def test_a_virtual_raster_that_is_no_list_of_tiles_below_it_is_refused(tile, tmp_path, sources, options, words):
    tile(ground(8), "a.tif", columns=(0, 60))
    vrt(tmp_path, ["a.tif"], name="other.vrt")
    with pytest.raises(RasterError, match=words):
        own_rasters([str(vrt(tmp_path, sources, **options))])


def test_a_link_out_of_the_folder_is_outside_it(tile, tmp_path):
    tile(ground(8), "a.tif", columns=(0, 60))
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.tif").symlink_to(tmp_path / "a.tif")
    with pytest.raises(RasterError, match="outside its own folder"):
        own_rasters([str(vrt(tmp_path / "below", ["a.tif"]))])


@pytest.mark.parametrize("text", ["<!DOCTYPE a [<!ENTITY b 'c'>]><VRTDataset/>", "<VRTDataset", "", "<A/>", "\x00"])
def test_a_virtual_raster_that_is_no_plain_xml_is_refused(tmp_path, text):
    (tmp_path / "map.vrt").write_text(text, encoding="utf-8")
    with pytest.raises(RasterError, match=r"map\.vrt"):
        own_rasters([str(tmp_path / "map.vrt")])


def test_a_virtual_raster_reaches_the_hectares_only_through_the_command_line(tile, worldcover, tmp_path):
    tile(ground(8), "a.tif", columns=(0, 60))
    with pytest.raises(RasterError, match="not a GeoTIFF"):
        class_areas(plots_of(cells_box(0, 0, 1, 1)), [vrt(tmp_path, ["a.tif"])], worldcover)


def test_other_files_pass_as_they_are(tmp_path):
    assert own_rasters(["map.tif", str(tmp_path / "x.TIF")]) == [tmp_path.__class__("map.tif"), tmp_path / "x.TIF"]
