"""Several maps of the same plots: groups, agreement by areas and on the ground, and pairs that are refused."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from geomap.errors import RasterError
from geomap.landcover.product import product
from geomap.landcover.several import (
    GROUPS,
    agreement_bounds,
    agreement_words,
    class_groups,
    group_areas,
    require_other_products,
    several_maps,
)

CELL = 0.001
NAMES = ("esa-worldcover-2021", "esri-lulc-2021", "dynamic-world-2021")
PRODUCTS = {name: product(name) for name in NAMES}
TREE = {"esa-worldcover-2021": 10, "esri-lulc-2021": 2, "dynamic-world-2021": 1}
BUILT = {"esa-worldcover-2021": 50, "esri-lulc-2021": 7, "dynamic-world-2021": 6}


@pytest.fixture
def write_map(tmp_path):
    """Write 1 (can bear: trees), 0 (cannot: built-up) and -1 (no data) as a product's map."""

    def write(name, pattern, *, cell=CELL, file=None):
        pattern = np.asarray(pattern)
        codes = np.select([pattern == 1, pattern == 0], [TREE[name], BUILT[name]], PRODUCTS[name].nodata)
        path = tmp_path / (file or f"{name}.tif")
        with rasterio.open(
            path, "w", driver="GTiff", height=codes.shape[0], width=codes.shape[1], count=1, dtype="uint8",
            crs="EPSG:4326", transform=from_origin(0, 0, cell, cell),
        ) as target:  # fmt: skip
            target.write(codes.astype("uint8"), 1)
        return [path]

    return write


def plots_of(*boxes):
    """Plots given as columns and rows of the map: left, top, right, bottom."""
    shapes = [shapely.box(a * CELL, -d * CELL, c * CELL, -b * CELL) for a, b, c, d in boxes]
    index = pd.Index([f"P{i}" for i in range(len(shapes))], name="plot_id")
    return gpd.GeoDataFrame({"cooperative_id": "C1"}, geometry=shapes, index=index, crs="EPSG:4326")


def pair(write_map, first, second):
    return {NAMES[0]: write_map(NAMES[0], first), NAMES[1]: write_map(NAMES[1], second)}


def test_maps_agree_where_both_say_that_the_ground_can_bear_or_that_it_cannot(write_map):
    # four cells: both can, one can, the other can, both cannot: 2 of 4
    found = several_maps(plots_of((0, 0, 4, 1)), pair(write_map, [[1, 1, 0, 0]], [[1, 0, 1, 0]]), PRODUCTS)
    assert found.agreement.loc["P0", ["agreement", "agreement_low", "agreement_high"]].tolist() == pytest.approx(
        [0.5] * 3, rel=1e-6
    )
    assert found.agreement.loc["P0", "basis"] == "overlay"


def test_without_an_overlay_only_bounds_are_told_and_they_are_called_bounds(write_map):
    maps = pair(write_map, [[1, 1, 0, 0]], [[1, 0, 1, 0]])
    agreed = several_maps(plots_of((0, 0, 4, 1)), maps, PRODUCTS, overlay=False).agreement
    assert np.isnan(agreed.loc["P0", "agreement"])
    assert agreed.loc["P0", "basis"] == "bounds"
    assert agreed.loc["P0", ["agreement_low", "agreement_high"]].tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert "These are bounds, from areas alone" in agreement_words(agreed)


def test_one_map_of_one_kind_leaves_nothing_open(write_map):
    found = several_maps(plots_of((0, 0, 4, 1)), pair(write_map, [[1, 1, 1, 1]], [[1, 1, 1, 0]]), PRODUCTS)
    assert found.agreement.loc["P0", "agreement"] == pytest.approx(0.75, rel=1e-6)
    assert found.agreement.loc["P0", "basis"] == "areas"
    assert agreement_words(found.agreement) == ("The maps agree on 75 % of the ground whether it can bear the crop.")


def test_ground_that_a_map_does_not_know_is_not_compared(write_map):
    maps = pair(write_map, [[1, -1, 0, 1]], [[1, 1, 1, -1]])
    found = several_maps(plots_of((0, 0, 4, 1)), maps, PRODUCTS)
    whole = found.areas["area_ha"].sum() / 2
    assert found.agreement.loc["P0", "agreement"] == pytest.approx(0.5, rel=1e-6)  # the first and the third cell
    assert found.agreement.loc["P0", "compared_ha"] == pytest.approx(whole / 2, rel=1e-6)


def test_a_plot_that_no_map_knows_has_no_agreement(write_map):
    found = several_maps(plots_of((0, 0, 1, 1), (1, 0, 2, 1)), pair(write_map, [[1, -1]], [[1, 1]]), PRODUCTS)
    assert found.agreement["agreement"].isna().tolist() == [False, True]
    assert found.agreement.loc["P1", "basis"] == ""


@settings(max_examples=25, deadline=None)
@example(37)  # cells that meet in a line alone
@given(st.integers(0, 10_000))
def test_the_overlay_lies_within_the_bounds_and_is_that_of_counted_cells(tmp_path_factory, seed):
    rng, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("law")
    patterns = {name: (rng.random((4, 4)) < 0.7).astype(int) for name in NAMES}
    maps = {}
    for name, pattern in patterns.items():
        maps[name] = [folder / f"{name}.tif"]
        codes = np.where(pattern == 1, TREE[name], BUILT[name]).astype("uint8")
        with rasterio.open(
            maps[name][0], "w", driver="GTiff", height=4, width=4, count=1, dtype="uint8", crs="EPSG:4326",
            transform=from_origin(0, 0, CELL, CELL),
        ) as target:  # fmt: skip
            target.write(codes, 1)
    plots = plots_of((0, 0, 4, 4), (1, 1, 3, 4))
    measured = several_maps(plots, maps, PRODUCTS).agreement
    bounds = several_maps(plots, maps, PRODUCTS, overlay=False).agreement
    stack = np.array(list(patterns.values()))
    same = stack.all(axis=0) | (~stack.astype(bool)).all(axis=0)
    expected = [same.mean(), same[1:4, 1:3].mean()]
    assert measured["agreement"].tolist() == pytest.approx(expected, abs=1e-6)
    assert (measured["agreement"] >= bounds["agreement_low"] - 1e-6).all()
    assert (measured["agreement"] <= bounds["agreement_high"] + 1e-6).all()


def test_areas_stand_by_map_and_group_and_add_up(write_map):
    maps = pair(write_map, [[1, 1, 0, -1]], [[0, 0, 0, 0]])
    areas = several_maps(plots_of((0, 0, 4, 1)), maps, PRODUCTS).areas
    shares = areas.set_index(["product", "group"])["share"]
    assert shares[NAMES[0]].to_dict() == pytest.approx(
        {"trees": 0.5, "other_bearing": 0.0, "not_bearing": 0.25, "not_known": 0.25}, abs=1e-6
    )
    assert shares[NAMES[1]].tolist() == pytest.approx([0, 0, 1, 0], abs=1e-6)
    assert areas["group"].tolist() == list(GROUPS) * 2
    assert areas["year"].unique().tolist() == [2021]


def test_every_class_of_every_product_has_a_group():
    for one in PRODUCTS.values():
        assert set(class_groups(one)) <= set(GROUPS)
    classes = pd.DataFrame({"plot_id": "P", "class": [10, 30, 80, -1, -2, -3], "area_ha": 1.0})
    table = group_areas(classes, PRODUCTS[NAMES[0]], pd.Index(["P", "Q"]))
    assert table.loc["P"].tolist() == [1.0, 1.0, 1.0, 3.0]
    assert table.loc["Q"].tolist() == [0.0] * 4


def test_two_versions_of_one_product_are_refused():
    with pytest.raises(RasterError, match=r"version v100 .* version v200"):
        require_other_products([product("esa-worldcover-2020"), product("esa-worldcover-2021")])
    require_other_products([product("esri-lulc-2018"), product("esri-lulc-2023")])
    with pytest.raises(RasterError, match="1 land-cover map was given"):
        require_other_products([product("esa-worldcover-2021")])


def test_neither_the_order_of_plots_nor_of_maps_matters(write_map):
    maps = pair(write_map, [[1, 1, 0, 0], [1, 0, 0, 1]], [[1, 0, 1, 0], [0, 0, 1, 1]])
    plots = plots_of((0, 0, 3, 2), (1, 0, 4, 1), (0.5, 0.5, 2.5, 1.5))
    straight = several_maps(plots, maps, PRODUCTS)
    turned = several_maps(plots.iloc[::-1], dict(reversed(maps.items())), PRODUCTS)
    pd.testing.assert_frame_equal(turned.agreement.loc[plots.index], straight.agreement, check_exact=True)
    pd.testing.assert_frame_equal(turned.areas, straight.areas, check_exact=True)


def test_bounds_of_three_maps_hold_every_way_to_lay_them():
    # of ten cells three maps rule out 2, 3 and 4: at best all within the same four, at worst all apart
    def table(ruled_out):
        return pd.DataFrame(
            {"trees": [10.0 - ruled_out], "other_bearing": 0.0, "not_bearing": ruled_out, "not_known": 0.0}, index=["P"]
        )

    found = agreement_bounds({str(n): table(float(n)) for n in (2, 3, 4)}).loc["P"]
    assert found["agreement_high"] == pytest.approx(0.6 + 0.2)  # all bear on 6, none on 2
    assert found["agreement_low"] == pytest.approx(0.1)  # 2 + 3 + 4 ruled out on nine cells, all bear on the tenth
