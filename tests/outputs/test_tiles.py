"""Tiles of plots: every plot on every tile that it touches, in pictures, vector tiles and one file."""

import io

import mapbox_vector_tile
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.features import rasterize
from rasterio.transform import from_bounds

from geomap.errors import FileError, OutputError
from geomap.landcover.product import product
from geomap.outputs import pmtiles
from geomap.outputs.pmtiles import tile_number, write_pmtiles
from geomap.outputs.tables import write_run
from geomap.outputs.tile_cover import Cover
from geomap.outputs.tile_files import main_classes, read_run, worst_findings
from geomap.outputs.tile_pictures import blank, findings_layer, layers_of, picture, plain_layer, potential_layer
from geomap.outputs.tile_vectors import CELL_FIELDS, EXTENT, MOST_BYTES, vector_tile
from geomap.outputs.tiles import SPAN, TileIndex, degrees, units

LEGEND = pd.DataFrame({"name": ["Trees", "Crops"], "color": ["#006400", "#f096ff"]}, index=[10, 40])
WIDTH_M = 40_075_016.685578488
"""Of the world in Web Mercator."""


def index_of(shapes, *, potential=None, land=None, finding=None, names=None):
    names = names or [f"P{number:05d}" for number in range(len(shapes))]
    kg = np.asarray(potential if potential is not None else np.arange(1.0, len(shapes) + 1))
    ids = {"plot_id": pa.array(names), "member_id": pa.array([f"M{name}" for name in names])}
    values = {"area_ha": kg / 1000, "potential_kg": kg, "p10_kg": kg / 2, "p90_kg": kg * 2}
    return TileIndex.of(shapes, ids, values, land=land, finding=finding)


def square_on(z, x, y, *sides):
    """A plot whose west, north, east and south lie so many 256ths of a tile from its north-west corner."""
    west, north, east, south = sides
    side = SPAN // 2**z
    corners = [(x * side + column * side / 256, y * side + row * side / 256) for column, row in
               ((west, south), (east, south), (east, north), (west, north))]  # fmt: skip
    return shapely.Polygon([degrees(*corner) for corner in corners])


def scattered(number, seed=7):
    """Plots of 20 m to 2 km, some with more corners, over two degrees."""
    rng = np.random.default_rng(seed)
    turns = np.linspace(0, 2 * np.pi, 7)[:-1]
    radius = np.exp(rng.uniform(np.log(1e-4), np.log(1e-2), number))
    lon, lat = rng.uniform(-89, -87, number), rng.uniform(13, 15, number)
    corners = np.stack(
        [lon[:, None] + radius[:, None] * np.cos(turns), lat[:, None] + radius[:, None] * np.sin(turns)], -1
    )
    return shapely.polygons(corners)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def tiles_of(index, row, z):
    """All tiles that the box of a plot touches."""
    west, north, east, south = (int(side) >> (32 - z) for side in index.box[row])
    return [(z, x, y) for x in range(west, east + 1) for y in range(north, south + 1)]


# ---- the index ----


@pytest.mark.parametrize("z", [0, 5, 9, 12, 15])
def test_every_plot_is_on_every_tile_that_it_touches_and_no_other(z):
    """Against a look at all 10 000 boxes."""
    index = index_of(scattered(10_000))
    box, side = index.box.astype(np.int64), SPAN >> z
    margin = side // 64
    rng = np.random.default_rng(1)
    for row in rng.integers(len(index), size=25).tolist():
        for _, x, y in tiles_of(index, row, z)[:4]:
            near = (box[:, 0] < (x + 1) * side + margin) & (box[:, 2] >= x * side - margin)
            near &= (box[:, 1] < (y + 1) * side + margin) & (box[:, 3] >= y * side - margin)
            assert index.rows(z, x, y).tolist() == np.flatnonzero(near).tolist()
            assert near[row]


@given(
    places=st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90), st.floats(1e-7, 90)), min_size=1, max_size=12),
    z=st.integers(0, 22),
)
@settings(max_examples=60)
def test_the_law_holds_all_over_the_world(places, z):
    """Also at the antimeridian, at the poles, for points and for plots as large as a continent."""
    shapes = [shapely.box(lon, lat, min(lon + wide, 180), min(lat + wide, 90)) for lon, lat, wide in places]
    shapes += [shapely.Point(lon, lat) for lon, lat, _ in places]
    index = index_of(shapes)
    assert len(index) == len(shapes)
    for row in range(len(index)):
        corners = {(z, *(int(side) >> (32 - z) for side in index.box[row, pair])) for pair in ([0, 1], [2, 3])}
        for tile in corners:
            assert row in index.rows(*tile)
            assert pixels(picture(index, plain_layer(index), *tile)).shape == (256, 256, 4)
            vector_tile(index, *tile)


def test_the_order_of_the_rows_makes_no_difference():
    shapes = [*scattered(300), *scattered(1, seed=3), *scattered(1, seed=3)]  # two plots on one place, too
    one = index_of(shapes)
    order = np.random.default_rng(2).permutation(len(shapes))
    names = [f"P{number:05d}" for number in range(len(shapes))]
    other = index_of(
        [shapes[k] for k in order], potential=np.arange(1.0, 303.0)[order], names=[names[k] for k in order]
    )
    tile = tiles_of(one, 0, 9)[0]
    for layer in ("potential", "uncertainty", "findings", "plain"):
        drawn = [picture(index, layers_of(index, [layer], legend=LEGEND)[layer], *tile) for index in (one, other)]
        assert drawn[0] == drawn[1]
    assert vector_tile(one, *tile) == vector_tile(other, *tile)


def test_plots_without_a_place_are_left_out_and_wkb_is_read_as_shapes_are():
    shapes = [shapely.box(0, 0, 1, 1), None, shapely.Point(), shapely.Point(2, 2), shapely.Polygon()]
    index = index_of(shapes)
    as_wkb = index_of([None if one is None else one.wkb for one in shapes])
    assert sorted(index.ids["plot_id"].to_pylist()) == ["P00000", "P00003"]
    assert np.array_equal(index.places, as_wkb.places)
    assert index_of([]).bounds is None
    assert index_of([]).rows(0, 0, 0).tolist() == []


def test_holes_and_parts_come_back_as_they_were():
    hole = shapely.Polygon(shapely.box(0, 0, 3, 3).exterior.coords, [shapely.box(1, 1, 2, 2).exterior.coords])
    shape = shapely.MultiPolygon([hole, shapely.box(5, 5, 6, 6)])
    back = index_of([shape]).shapes(np.array([0]))[0]
    assert [len(part.interiors) for part in back.geoms] == [1, 0]
    told = shapely.transform(shape, lambda corners: units(corners[:, 0], corners[:, 1]).astype(float))
    assert shapely.equals(back, told)


def test_a_place_tells_the_smallest_plot_first_and_else_the_nearest():
    index = index_of([shapely.box(0, 0, 1, 1), shapely.box(0.4, 0.4, 0.6, 0.6), shapely.Point(2, 2)])
    name = index.ids["plot_id"].to_pylist()
    assert [(name[row], inside) for row, inside in index.at(0.5, 0.5, zoom=10)] == [("P00001", True), ("P00000", True)]
    assert [(name[row], inside) for row, inside in index.at(1.9, 2.0, zoom=6)] == [("P00002", False)]
    assert index.at(1.9, 2.0, zoom=12) == []


def test_a_million_plots_would_take_little_memory():
    """8 bytes a corner, and about 100 for the rest of a plot with six corners."""
    index = index_of(scattered(5_000))
    assert index.nbytes / len(index) < 180


# ---- pictures ----


def test_a_square_has_the_pixels_that_anyone_can_count():
    """From 64 to 192 of 256 pixels: 128 × 128 of them, but for a line of one pixel around, half of it outside."""
    index = index_of([square_on(10, 260, 470, 64, 64, 192, 192)])
    drawn = pixels(picture(index, plain_layer(index), 10, 260, 470))
    assert drawn[128, 128].tolist() == pytest.approx([0x43, 0x52, 0x6C, 217], abs=1)
    assert tuple(drawn[128, 60]) == tuple(drawn[200, 128]) == (0, 0, 0, 0)
    assert (drawn[66:190, 66:190] == drawn[128, 128]).all()
    assert (drawn[..., 3] > 0)[:63].sum() == (drawn[..., 3] > 0)[:, 193:].sum() == 0
    assert (drawn[..., 3] > 100).sum() == pytest.approx(128**2, rel=0.03)


def test_pictures_agree_with_a_second_way_to_draw_them():
    """GDAL's rasterize: pixels differ only where an edge runs."""
    shapes = scattered(3_000)
    index = index_of(shapes)
    z = 11
    tile = tiles_of(index, int(np.argmax(index.box[:, 2] - index.box[:, 0])), z)[0]
    side = WIDTH_M / 2**z
    west, north = tile[1] * side - WIDTH_M / 2, WIDTH_M / 2 - tile[2] * side
    plane = index.shapes(index.rows(*tile))
    plane = shapely.transform(
        plane, lambda at: np.stack([at[:, 0], SPAN - at[:, 1]], -1) * (WIDTH_M / SPAN) - WIDTH_M / 2
    )
    grid = from_bounds(west, north - side, west + side, north, 256, 256)
    expected = rasterize(plane, out_shape=(256, 256), transform=grid, all_touched=False) > 0
    edges = rasterize(shapely.buffer(shapely.boundary(plane), side / 256), out_shape=(256, 256), transform=grid,
                      all_touched=True) > 0  # fmt: skip
    drawn = pixels(picture(index, plain_layer(index), *tile))[..., 3] > 127
    assert expected.sum() > 500
    assert not ((drawn != expected) & ~edges).any()


def test_four_children_show_what_their_parent_shows():
    """Within a pixel: what has ink in one has ink beside the same place in the other."""
    index = index_of(scattered(4_000))
    layer = plain_layer(index)
    for z in (6, 9, 11):
        _, x, y = tiles_of(index, 17, z)[0]
        parent = pixels(picture(index, layer, z, x, y))[..., 3] > 0
        rows = [
            np.hstack([pixels(picture(index, layer, z + 1, 2 * x + i, 2 * y + j))[..., 3] > 0 for i in (0, 1)])
            for j in (0, 1)
        ]
        children = np.vstack(rows).reshape(256, 2, 256, 2).any(axis=(1, 3))
        for one, other in ((parent, children), (children, parent)):
            wide = np.pad(other, 1)
            near = np.any([wide[i : i + 256, j : j + 256] for i in range(3) for j in range(3)], axis=0)
            inner = (slice(2, -2), slice(2, -2))  # beyond the border the other has nothing to compare with
            assert not (one & ~near)[inner].any()


def test_a_plot_on_a_border_is_drawn_on_both_sides_and_a_large_one_on_all_tiles():
    over = square_on(12, 1000, 1800, 200, 100, 312, 150)
    index = index_of([over])
    left, right = (pixels(picture(index, plain_layer(index), 12, x, 1800))[..., 3] for x in (1000, 1001))
    assert (left[110:140, 202:] > 0).all()
    assert (right[110:140, :54] > 0).all()
    large = index_of([square_on(5, 8, 14, 10, 10, 250, 250)])
    inside = pixels(picture(large, plain_layer(large), 18, 8 * 2**13 + 4000, 14 * 2**13 + 4000))
    assert (inside == inside[0, 0]).all()
    assert inside[0, 0, 3] == 217


def test_a_lonely_plot_is_seen_from_afar():
    """A plot of 10 m on the picture of the whole world, and beside the border of a tile on both sides of it."""
    index = index_of([shapely.box(10.0, 10.0, 10.0001, 10.0001)])
    for z in range(13):
        assert (pixels(picture(index, plain_layer(index), *tiles_of(index, 0, z)[0]))[..., 3] > 0).sum() >= 3
    beside = index_of([square_on(8, 100, 100, 255.9, 100, 255.91, 100.01)])
    assert (pixels(picture(beside, plain_layer(beside), 8, 101, 100))[..., 3] > 0).sum() == 1


def test_a_pixel_of_many_plots_shows_their_mean_the_gravest_or_the_most_frequent():
    """Nine plots of 1 kg and one of 91 kg have a mean of 10 kg; two are of crops, one has a serious finding."""
    shapes = [shapely.box(0.1, 0.1, 0.1001, 0.1001)] * 10
    kg = [1.0] * 9 + [91.0]
    far = [shapely.box(50 + k, 50, 50.001 + k, 50.001) for k in range(20)]
    index = index_of(
        shapes + far, potential=kg + np.linspace(1, 100, 20).tolist(), land=[10] * 8 + [40] * 2 + [10] * 20,
        finding=[0] * 9 + [3] + [0] * 20,
    )  # fmt: skip
    x, y = (int(value) for value in units([0.1], [0.1])[0])
    at = (y * 256 // (SPAN >> 3) % 256, x * 256 // (SPAN >> 3) % 256)
    tile = (3, x >> 29, y >> 29)
    drawn = layers_of(index, ["potential", "findings", "class"], legend=LEGEND)
    breaks = [one.low for one in drawn["potential"].styles[1:] if one.low is not None]
    expected = drawn["potential"].styles[int(np.searchsorted(breaks, 10.0, side="right"))].color
    for name, color in (("potential", expected), ("findings", "#a3155a"), ("class", "#006400")):
        assert "#" + bytes(pixels(picture(index, drawn[name], *tile))[at][:3]).hex() == color, name


def test_what_is_not_known_and_what_bears_nothing_have_styles_of_their_own():
    index = index_of([square_on(12, 1, 1, 10 * k, 10, 10 * k + 8, 18) for k in range(4)], potential=[0, np.nan, 5, 9])
    layer = potential_layer(index)
    keys = {layer.styles[code - 1].key for code in layer.codes}
    assert {"nothing", "unknown"} < keys
    legend = layer.legend()
    assert legend["unit"] == "kg"
    assert len({(one["color"], one["pattern"]) for one in legend["items"]}) == len(legend["items"])


def test_graver_findings_are_told_by_their_pattern_too():
    patterns = [one.pattern for one in findings_layer(index_of([])).styles]
    assert patterns == ["none", "dots", "lines", "cross"]


def test_a_plot_in_the_hole_of_another_is_seen():
    outer = square_on(10, 5, 5, 20, 20, 220, 220)
    hole = square_on(10, 5, 5, 80, 80, 160, 160)
    inner = square_on(10, 5, 5, 110, 110, 130, 130)
    index = index_of([shapely.Polygon(outer.exterior.coords, [hole.exterior.coords]), inner])
    drawn = pixels(picture(index, plain_layer(index), 10, 5, 5))[..., 3]
    assert (drawn[50, 50], drawn[100, 100], drawn[120, 120]) == (217, 0, 217)


def test_an_empty_tile_is_transparent():
    assert not pixels(blank()).any()
    assert pixels(blank(512)).shape == (512, 512, 4)
    assert picture(index_of([]), plain_layer(index_of([])), 3, 1, 1) == blank()


# ---- vector tiles ----


def test_gdal_reads_the_outlines_and_attributes_that_were_written(tmp_path):
    """Corners within half a unit of the tile, and all attributes as they were."""
    shapes = [square_on(12, 1040, 1880, 16 * k + 1.3, 16 * k + 2.7, 16 * k + 13.1, 16 * k + 11.9) for k in range(15)]
    index = index_of([*shapes, shapely.Point(*degrees((1040.5) * 2**20, (1880.1) * 2**20))], land=[10] * 8 + [40] * 8,
                     finding=[0, 1, 2, 3] * 4)  # fmt: skip
    file = tmp_path / "12" / "1040" / "1880.mvt"
    file.parent.mkdir(parents=True)
    file.write_bytes(vector_tile(index, 12, 1040, 1880, legend=LEGEND))
    read = pyogrio.read_dataframe(f"MVT:{file}", layer="plots", X=1040, Y=1880, Z=12).set_index("plot_id")
    assert sorted(read.index) == sorted(index.ids["plot_id"].to_pylist())
    assert read.crs.to_epsg() == 3857
    unit_m = WIDTH_M / 2**12 / EXTENT
    for number, shape in enumerate(shapes):
        row = read.loc[f"P{number:05d}"]
        at = units(*shapely.get_coordinates(shape).T).astype(float) * (WIDTH_M / SPAN)
        plane = shapely.Polygon(np.stack([at[:, 0] - WIDTH_M / 2, WIDTH_M / 2 - at[:, 1]], -1))
        assert shapely.hausdorff_distance(row.geometry, plane) <= unit_m * 0.5 * np.sqrt(2) + 0.02
        assert (row["member_id"], row["potential_kg"], row["p10"]) == (f"MP{number:05d}", number + 1, (number + 1) / 2)
        assert row["area_ha"] == pytest.approx((number + 1) / 1000)
        assert row["class"] == ("Trees" if number < 8 else "Crops")
        assert row["findings"] == ["none", "note", "warning", "serious"][number % 4]
    assert read.loc["P00015"].geometry.geom_type == "Point"


def test_outer_rings_and_holes_turn_as_the_format_wants():
    """Whichever way the outline was drawn; a second reader finds the hole."""
    shell, hole = square_on(9, 3, 3, 10, 10, 200, 200), square_on(9, 3, 3, 50, 50, 100, 100)
    for turned in (False, True):
        rings = [list(ring.exterior.coords)[:: -1 if turned else 1] for ring in (shell, hole)]
        index = index_of([shapely.Polygon(rings[0], [rings[1]])])
        feature = mapbox_vector_tile.decode(vector_tile(index, 9, 3, 3))["plots"]["features"][0]
        found = shapely.geometry.shape(feature["geometry"])
        assert (found.is_valid, len(found.interiors)) == (True, 1)
        assert found.area == pytest.approx((190**2 - 50**2) * (EXTENT / 256) ** 2, rel=0.001)


def test_every_plot_is_on_its_vector_tile_at_each_zoom():
    index = index_of(scattered(2_000))
    for z in (0, 4, 8, 12):
        tiles = {tile for row in range(0, 2_000, 40) for tile in tiles_of(index, row, z)[:1]}
        for tile in sorted(tiles):
            read = mapbox_vector_tile.decode(vector_tile(index, *tile))["plots"]["features"]
            assert {one["properties"]["plot_id"] for one in read} == set(
                index.ids["plot_id"].take(index.rows(*tile)).to_pylist()
            )


def test_a_plot_far_larger_than_the_tile_is_cut_beyond_it_and_covers_it():
    index = index_of([square_on(5, 8, 14, 10, 10, 250, 250)])
    feature = mapbox_vector_tile.decode(vector_tile(index, 18, 8 * 2**13 + 4000, 14 * 2**13 + 4000))["plots"][
        "features"
    ][0]
    found = shapely.geometry.shape(feature["geometry"])
    assert found.bounds == (-EXTENT, -EXTENT, 2 * EXTENT, 2 * EXTENT)


def test_where_plots_are_too_many_cells_count_them_all():
    """Sums over the tile are those of the plots, and of four children those of their parent."""
    index = index_of(scattered(20_000))

    def sums(z, x, y):
        made = vector_tile(index, z, x, y)
        assert len(made) <= MOST_BYTES
        read = mapbox_vector_tile.decode(made) if made else {}
        assert set(read) <= {"cells"}
        cells = [one["properties"] for one in read.get("cells", {"features": []})["features"]]
        return [sum(one[name] for one in cells) for name in CELL_FIELDS]

    assert sums(0, 0, 0) == pytest.approx([20_000, 20_000 * 20_001 / 2, 20_000 * 20_001 / 2000])
    west, north, east, south = (int(side) for side in (*index.box[:, :2].min(axis=0), *index.box[:, 2:].max(axis=0)))
    z = 6
    tiles = [(z, x, y) for x in range(west >> 26, (east >> 26) + 1) for y in range(north >> 26, (south >> 26) + 1)]
    total = np.zeros(3)
    for _, x, y in tiles:
        if len(index.rows(z, x, y)) > 3_000:
            total += sums(z, x, y)
    assert total[0] <= 20_000


def test_without_its_part_vector_tiles_say_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mapbox_vector_tile.Mapbox", None)
    with pytest.raises(OutputError, match=r"geomap-coops\[tiles\]"):
        vector_tile(index_of([shapely.box(0, 0, 1, 1)]), 0, 0, 0)


# ---- one file ----


def test_gdal_reads_all_plots_from_the_one_file_and_its_bytes_are_the_same(tmp_path):
    index = index_of(scattered(500))
    told = []
    count = write_pmtiles(index, tmp_path / "a.pmtiles", most_zoom=10, progress=lambda *step: told.append(step))
    write_pmtiles(index, tmp_path / "b.pmtiles", most_zoom=10)
    assert (tmp_path / "a.pmtiles").read_bytes() == (tmp_path / "b.pmtiles").read_bytes()
    assert told[-1] == (count, count)
    read = pyogrio.read_dataframe(tmp_path / "a.pmtiles", layer="plots").drop_duplicates("plot_id").set_index("plot_id")
    assert sorted(read.index) == sorted(index.ids["plot_id"].to_pylist())
    kg = dict(zip(index.ids["plot_id"].to_pylist(), index.values["potential_kg"].tolist(), strict=True))
    assert read["potential_kg"].to_dict() == pytest.approx(kg)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pmtiles", "b.pmtiles"]


def test_a_file_of_many_tiles_has_further_directories(tmp_path, monkeypatch):
    """As one would whose first directory had more than 16 kB; here 1 kB is too much already."""
    index = index_of(scattered(600))
    monkeypatch.setattr(pmtiles, "_ROOT_BYTES", 1_000)
    monkeypatch.setattr(pmtiles, "_LEAF_ENTRIES", 16)
    write_pmtiles(index, tmp_path / "plots.pmtiles", most_zoom=12)
    content = (tmp_path / "plots.pmtiles").read_bytes()
    root, leaves = (int.from_bytes(content[at : at + 8], "little") for at in (16, 48))
    assert (127 + root <= 1_000, leaves > 0) == (True, True)
    read = pyogrio.read_dataframe(tmp_path / "plots.pmtiles", layer="plots")
    assert read["plot_id"].nunique() == 600


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_pmtiles(index_of([shapely.box(0, 0, 1, 1)]), tmp_path / "none" / "a.pmtiles")


def test_numbers_of_tiles_are_those_of_the_specification():
    """PMTiles 3: z/x/y of 0/0/0, 12/3423/1763 and the four of zoom 1."""
    assert tile_number(0, 0, 0) == 0
    assert tile_number(12, 3423, 1763) == 19_078_479
    numbers = sorted(tile_number(5, x, y) for x in range(32) for y in range(32))
    assert numbers == list(range(341, 341 + 1024))


# ---- the run, and its map ----


def test_the_class_that_covers_most_of_a_plot_and_its_gravest_finding():
    """P1: 0.6 of 1 ha trees. P2: equal parts, so the lower code. P3: mostly without data. P4: not told."""
    classes = "plot_id,product,class,name,area_ha\nP1,x,10,Trees,0.6\nP1,x,40,Crops,0.4\nP2,x,40,Crops,0.5\n"
    classes += "P2,x,10,Trees,0.5\nP3,x,-1,no data,0.9\nP3,x,10,Trees,0.1\nP9,x,10,Trees,1\n"
    ids = pa.array(["P1", "P2", "P3", "P4"])
    assert main_classes(ids, classes.encode()).tolist() == [10, 10, -1, -1]
    assert main_classes(ids, None).tolist() == [-1] * 4
    assert worst_findings(ids, ["P2", "P2", "P4", "P9"], [1, 3, 2, 3]).tolist() == [0, 3, 0, 2]


def test_the_folder_of_a_run_holds_all_that_its_tiles_show(run, tmp_path):
    """Against the run itself: every plot with a place, its numbers, and its gravest finding."""
    write_run(run, tmp_path / "out", pages=False)
    index, legend = read_run(tmp_path / "out")
    placed = run.plots[~(run.plots.geometry.isna() | run.plots.geometry.is_empty)]
    ids = index.ids["plot_id"].to_pylist()
    assert sorted(ids) == sorted(placed.index)
    kg = run.plots["potential_kg"].reindex(ids).to_numpy(dtype=float)
    assert index.values["potential_kg"].tolist() == pytest.approx(kg.tolist(), rel=1e-3, nan_ok=True)
    grades = run.findings.assign(grade=run.findings["severity"].map({"note": 1, "warn": 2, "block": 3}))
    worst = grades.groupby("plot_id")["grade"].max().reindex(ids).fillna(0)
    assert index.finding.tolist() == worst.astype(int).tolist()
    assert set(index.land.tolist()) - {-1} <= set(legend.index)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileError, match="no run"):
        read_run(tmp_path)


def test_land_cover_is_drawn_in_the_colours_of_its_product_and_transparent_elsewhere(tmp_path):
    """Two classes side by side, and a column without data."""
    codes = np.full((64, 64), 10, dtype=np.uint8)
    codes[:, 32:] = 40
    codes[:, 60:] = 0
    file = tmp_path / "land.tif"
    side = 360 / 2**10
    west, north = -180 + 200 * side, degrees(0, 400 * 2**22)[1]
    south = degrees(0, 401 * 2**22)[1]
    with rasterio.open(
        file, "w", driver="GTiff", width=64, height=64, count=1, dtype="uint8", crs="EPSG:4326", nodata=0,
        transform=from_bounds(west, south, west + side, north, 64, 64),
    ) as target:  # fmt: skip
        target.write(codes, 1)
    cover = Cover.of([file], product("esa-worldcover-2021"))
    drawn = pixels(cover.picture(10, 200, 400))
    colors = cover.product.legend["color"]
    for column, code in ((20, 10), (200, 40)):
        assert "#" + bytes(drawn[128, column][:3]).hex() == colors[code].lower()
    assert drawn[128, 250, 3] == 0
    assert cover.picture(10, 202, 400) == blank()
    assert cover.picture(0, 0, 0) == blank()  # too far out for a file without overviews
    assert cover.first_zoom > 0
    assert cover.legend()["items"][0]["color"] == str(colors.iloc[0])
