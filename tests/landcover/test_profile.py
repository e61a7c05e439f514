"""The environment of cooperatives: published accuracies, comparisons that hold the truth, the land around."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.landcover.extract import class_areas
from geomap.landcover.group_shares import MOST_PAIRED, PAIR_COLUMNS, GroupShares, published_rows
from geomap.landcover.product import product, product_names
from geomap.landcover.profile import MEASURES, PROFILE_COLUMNS, environment, profiles, with_accuracy
from geomap.landcover.surroundings import UNCULTIVATED, is_uncultivated, land_around, ring_around
from geomap.plots.area import area_ha

WORLDCOVER = product("esa-worldcover-2021")
CELL = 0.001


def mix_of(**cooperatives):
    """Land cover as hectares by class: C1={10: 80, 40: 20}."""
    rows = [
        {"cooperative_id": coop, "class": code, "name": "", "area_ha": float(area)}
        for coop, areas in cooperatives.items()
        for code, area in areas.items()
    ]
    table = pd.DataFrame(rows)
    return table.assign(share=table["area_ha"] / table.groupby("cooperative_id")["area_ha"].transform("sum"))


def trees(mix):
    return GroupShares.of("tree_share", mix, WORLDCOVER, {10})


# ---- what a published accuracy makes of the map ----


def test_adjusted_hectares_add_up_to_the_known_ground():
    mix = mix_of(C1={10: 80, 40: 15, 80: 5, -1: 7}, C2={10: 10, 40: 50, 80: 1})
    table = with_accuracy(mix, WORLDCOVER)
    assert table["adjusted_ha"].isna().tolist() == [False, False, False, True, False, False, False]
    assert table.groupby("cooperative_id")["adjusted_ha"].sum().tolist() == pytest.approx([100.0, 61.0])
    known = table.dropna()
    assert (known["adjusted_low_ha"] <= known["adjusted_ha"]).all()
    assert (known["adjusted_ha"] <= known["adjusted_high_ha"]).all()
    assert table[mix.columns].equals(mix)


def test_rows_of_a_map_class_add_up_to_one_and_keep_its_users_accuracy():
    rows = published_rows(WORLDCOVER, pd.Series({10: 70.0, 20: 10.0, 40: 20.0}))
    assert rows.groupby("map_class")["p"].sum().tolist() == pytest.approx([1.0] * 3)
    own = rows[rows["map_class"] == rows["reference_class"]]
    assert own["p"].tolist() == [0.8, 0.491, 0.806]


def test_ground_of_one_class_alone_leaves_its_wrong_part_in_no_class():
    rows = published_rows(WORLDCOVER, pd.Series({10: 70.0}))
    assert rows["p"].tolist() == [0.8]


def test_a_product_without_a_published_accuracy_has_no_interval():
    bare = replace(WORLDCOVER, legend=WORLDCOVER.legend.assign(users_accuracy=np.nan))
    mix = mix_of(C1={10: 80, 40: 20}, C2={10: 10, 40: 90})
    assert with_accuracy(mix, bare)["adjusted_ha"].isna().all()
    shares = GroupShares.of("tree_share", mix, bare, {10})
    assert shares.table()["estimate"].tolist() == [0.8, 0.1]
    assert shares.table()["low"].isna().all()
    assert shares.pairs().empty


# ---- comparison ----


def test_trees_are_the_right_part_of_tree_and_the_wrong_part_of_the_rest():
    # half tree, half crop: .5 · .800 + .5 · (1 − .806)
    found = trees(mix_of(C1={10: 50, 40: 50})).table().iloc[0]
    assert found["mapped"] == pytest.approx(0.5)
    assert found["estimate"] == pytest.approx(0.5 * 0.8 + 0.5 * 0.194)


def test_cooperatives_that_look_alike_are_not_different_and_those_far_apart_are():
    pairs = trees(mix_of(A={10: 80, 40: 20}, B={10: 70, 40: 30}, C={10: 5, 40: 95})).pairs()
    assert pairs[["cooperative_a", "cooperative_b", "verdict"]].values.tolist() == [
        ["A", "B", "not different"],
        ["A", "C", "a higher"],
        ["B", "C", "a higher"],
    ]
    first = pairs.iloc[0]
    assert first["low"] < 0 < first["high"]


def test_sampling_errors_that_both_share_vanish_where_both_show_the_same():
    shares = trees(mix_of(A={10: 60, 40: 40}, B={10: 600, 40: 400}))
    pair = shares.pairs().iloc[0]
    # only the two deviations of their own: √(2 · (.6² + .4²)) · .10 · 1.96
    assert pair["difference"] == pytest.approx(0.0, abs=1e-12)
    assert pair["high"] == pytest.approx(1.959964 * 0.1 * np.sqrt(2 * (0.6**2 + 0.4**2)))


def test_intervals_of_shares_and_of_differences_hold_the_truth_as_often_as_they_say():
    """Truth: the accuracy of each class with one sampling error for all, and a deviation of each cooperative's own."""
    rng, rounds = np.random.default_rng(11), 2000
    mix = mix_of(A={10: 75, 40: 25}, B={10: 40, 40: 60})
    shares, pair = trees(mix), trees(mix).pairs().iloc[0]
    table = shares.table()
    mean, se = (WORLDCOVER.legend.loc[[10, 40], name].to_numpy(float) for name in ("users_accuracy", "users_se"))
    accuracy = mean + rng.normal(0, 1, (rounds, 1, 2)) * se + rng.normal(0, 0.10, (rounds, 2, 2))
    mapped = np.array([[0.75, 0.25], [0.40, 0.60]])
    truth = mapped[:, 0] * accuracy[:, :, 0] + mapped[:, 1] * (1 - accuracy[:, :, 1])  # round, cooperative
    for k in range(2):
        held = (truth[:, k] >= table["low"][k]) & (truth[:, k] <= table["high"][k])
        assert 0.935 <= held.mean() <= 0.965
    difference = truth[:, 0] - truth[:, 1]
    assert 0.935 <= ((difference >= pair["low"]) & (difference <= pair["high"])).mean() <= 0.965


def test_too_many_cooperatives_are_not_compared_one_by_one():
    mix = mix_of(**{f"C{k:03d}": {10: 50 + k, 40: 50} for k in range(MOST_PAIRED + 1)})
    assert trees(mix).pairs().empty
    assert trees(mix).pairs().columns.tolist() == PAIR_COLUMNS


# ---- the land around ----


def test_land_neither_farmed_nor_built_is_told_by_the_names_of_all_legends():
    used = {
        "esa-worldcover-2021": [40, 50],
        "esri-lulc-2021": [5, 7],
        "dynamic-world-2021": [4, 6],
        "cgls-lc100-2019": [40, 50],
        "mapbiomas-brazil-2023": [9, 14, 15, 18, 19, 20, 21, 24, 30, 31, 35, 36, 39, 40, 41, 46, 47, 48, 62, 75],
        "fdp-coffee-2020": [0, 1],
    }
    assert set(used) <= set(product_names())
    for name, codes in used.items():
        found = is_uncultivated(product(name).legend)
        assert found.index[~found].tolist() == codes


@pytest.mark.parametrize("lat", [0.0, 14.7, -35.0, 60.0])
def test_a_ring_reaches_as_far_everywhere(lat):
    # a circle of 1 km drawn with 32 corners has 3.1214 km²
    ring = ring_around(np.array([shapely.Point(30.0, lat)]))
    assert float(area_ha(np.array([ring]))[0]) == pytest.approx(312.14, rel=3e-3)


def test_the_plots_are_not_around_themselves_and_shared_ground_counts_once():
    box = shapely.box(30.0, 0.0, 30.01, 0.01)
    ring = ring_around(np.array([box, box, shapely.Point(30.005, 0.005)]))
    assert shapely.area(shapely.intersection(ring, box)) == 0.0
    # four strips of 1 km along the sides of 1.113 × 1.106 km, and a circle at the corners
    assert float(area_ha(np.array([ring]))[0]) == pytest.approx(100 * (2 * 1.1132 + 2 * 1.1057 + 3.1214), rel=5e-3)


@pytest.fixture
def village_map(tmp_path):
    """Two cooperatives in a country of trees with a strip of crops; the plots of C2 lie among the crops."""
    codes = np.full((200, 200), 10, dtype="uint8")
    codes[:, 120:160] = 40
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=200, width=200, count=1, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(0, 0.2, CELL, CELL),
    ) as target:  # fmt: skip
        target.write(codes, 1)
    places = [(0.05, 0.1), (0.052, 0.102), (0.14, 0.1), (0.142, 0.1)]
    index = pd.Index([f"P{k}" for k in range(4)], name="plot_id")
    plots = gpd.GeoDataFrame(
        {"cooperative_id": ["C1", "C1", "C2", "C2"], "altitude_m": [900.0, 1100.0, 1500.0, np.nan]},
        geometry=[shapely.box(x, y, x + CELL, y + CELL) for x, y in places], index=index, crs="EPSG:4326",
    )  # fmt: skip
    return plots.assign(area_ha=area_ha(plots.geometry)), [path]


def test_land_around_is_measured_on_the_map_by_cooperative(village_map):
    plots, rasters = village_map
    around = land_around(plots, rasters, WORLDCOVER)
    shares = around.set_index(["cooperative_id", "class"])["share"]
    assert shares.to_dict() == pytest.approx({("C1", 10): 1.0, ("C2", 40): 1.0}, abs=1e-6)
    assert around["area_ha"].between(312, 460).all()  # a circle of 1 km, and what two plots widen it by


def test_a_profile_has_trees_land_around_and_altitude_of_each_cooperative(village_map):
    plots, rasters = village_map
    classes = class_areas(plots, rasters, WORLDCOVER).classes
    found = profiles(plots, classes, WORLDCOVER, rasters)
    assert found.profile.columns.tolist() == PROFILE_COLUMNS
    assert found.profile["measure"].tolist() == list(MEASURES) * 2
    table = found.profile.set_index(["cooperative_id", "measure"])
    assert table.loc[("C1", "tree_share"), "mapped"] == pytest.approx(1.0)
    assert table.loc[("C2", UNCULTIVATED), "mapped"] == pytest.approx(0.0)
    # equal plots at 900 and 1,100 m: half of the ground lies at 900 m
    assert table.loc[("C1", "altitude_m"), ["estimate", "low", "high"]].tolist() == [900.0, 900.0, 1100.0]
    assert table.loc[("C2", "altitude_m"), "basis"] == "altitude as told"
    assert found.pairs["measure"].tolist() == ["tree_share", UNCULTIVATED]
    assert found.pairs["verdict"].tolist() == ["a higher", "a higher"]
    pd.testing.assert_frame_equal(found.environment[environment_columns()], environment_of(plots, classes))


def environment_columns():
    return ["cooperative_id", "class", "name", "area_ha", "share"]


def environment_of(plots, classes):
    return environment(classes, plots["cooperative_id"])


def test_a_layer_of_altitude_stands_before_what_is_told(village_map):
    plots, rasters = village_map
    classes = class_areas(plots, rasters, WORLDCOVER).classes
    found = profiles(plots.assign(altitude=[1000.0, 1000.0, np.nan, 1400.0]), classes, WORLDCOVER).profile
    rows = found[found["measure"] == "altitude_m"]
    assert rows["basis"].unique().tolist() == ["layer of altitude"]
    assert rows["estimate"].tolist() == [1000.0, 1400.0]
    assert rows["high"].tolist() == [1000.0, 1500.0]
    without = profiles(plots.drop(columns="altitude_m"), classes, WORLDCOVER).profile
    assert "altitude_m" not in set(without["measure"])


def test_the_order_of_plots_does_not_matter(village_map):
    plots, rasters = village_map
    classes = class_areas(plots, rasters, WORLDCOVER).classes
    straight = profiles(plots, classes, WORLDCOVER, rasters)
    turned = profiles(plots.iloc[::-1], classes.iloc[::-1], WORLDCOVER, rasters)
    pd.testing.assert_frame_equal(turned.profile, straight.profile, check_exact=True)
    pd.testing.assert_frame_equal(turned.pairs, straight.pairs, check_exact=True)
