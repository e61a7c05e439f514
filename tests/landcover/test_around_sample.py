"""The land around plots from a sample of places: it holds the drawn ring's shares, as far off as it says."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pandas.testing import assert_frame_equal
from rasterio.transform import from_origin

from geomap.landcover import profile
from geomap.landcover.around_sample import land_around_sampled
from geomap.landcover.extract import class_areas
from geomap.landcover.product import product
from geomap.landcover.surroundings import UNCULTIVATED, land_around

WORLDCOVER = product("esa-worldcover-2021")
CELL = 0.0005


def write_map(path, codes):
    with rasterio.open(
        path, "w", driver="GTiff", height=codes.shape[0], width=codes.shape[1], count=1, dtype="uint8",
        crs="EPSG:4326", transform=from_origin(0, 0.5, CELL, CELL),
    ) as target:  # fmt: skip
        target.write(codes.astype("uint8"), 1)
    return [path]


def plots_of(shapes, cooperatives):
    index = pd.Index([f"P{k:04d}" for k in range(len(shapes))], name="plot_id")
    return gpd.GeoDataFrame({"cooperative_id": cooperatives}, geometry=list(shapes), index=index, crs="EPSG:4326")


@pytest.fixture
def country(tmp_path):
    """Thirty cooperatives of 60 plots in villages, on a map of patches of trees and crops."""
    rng = np.random.default_rng(8)
    patches = rng.choice([10, 40], size=(100, 100))
    codes = np.kron(patches, np.ones((10, 10), dtype=int))
    villages = rng.uniform(0.05, 0.45, (30, 2))
    middle = np.repeat(villages, 60, axis=0) + rng.normal(0, 0.006, (1800, 2))
    half = rng.uniform(0.0002, 0.0006, 1800)
    shapes = shapely.box(*(middle - half[:, None]).T, *(middle + half[:, None]).T)
    return plots_of(shapes, [f"C{k // 60:02}" for k in range(1800)]), write_map(tmp_path / "map.tif", codes)


def test_shares_are_those_of_the_drawn_ring_as_far_off_as_the_number_of_places_says(country):
    plots, rasters = country
    sampled = land_around_sampled(plots, rasters, WORLDCOVER, places=6_000)
    ring = land_around(plots, rasters, WORLDCOVER).set_index(["cooperative_id", "class"])["share"]
    trees = sampled[sampled["class"] == 10].set_index("cooperative_id")
    truth = ring.xs(10, level="class").reindex(trees.index)
    off = (trees["share"] - truth) / np.sqrt(truth * (1 - truth) / trees["places"])
    assert abs(off.mean()) < 0.6  # thirty cooperatives: a mean of independent errors lies within .37 in 95 of 100 cases
    assert np.sqrt((off**2).mean()) < 1.3
    assert (off.abs() < 3.5).all()


def test_hectares_are_those_of_the_ring_to_a_tenth(country):
    plots, rasters = country
    sampled = land_around_sampled(plots, rasters, WORLDCOVER).groupby("cooperative_id")["area_ha"].sum()
    ring = land_around(plots, rasters, WORLDCOVER).groupby("cooperative_id")["area_ha"].sum()
    assert (sampled / ring).between(0.9, 1.1).all()
    assert 0.93 < (sampled / ring).mean() < 1.0  # plots of 90 m count as their middles, so the ring is 45 m narrower


def test_many_plots_in_one_place_weigh_no_more_than_one_elsewhere(tmp_path):
    # 300 plots in a village of built-up land, one among trees 20 km away: each ring is half of the ground
    codes = np.full((1000, 1000), 10)
    codes[:, :500] = 50
    village = [shapely.box(0.1, 0.2, 0.1001, 0.2001)] * 300
    plots = plots_of([*village, shapely.box(0.35, 0.2, 0.3501, 0.2001)], "C")
    rasters = write_map(tmp_path / "map.tif", codes)
    shares = land_around_sampled(plots, rasters, WORLDCOVER).set_index("class")["share"]
    assert shares[10] == pytest.approx(0.5, abs=0.25)  # about six of 2,000 places lie around the one
    few = plots_of([*village[:3], shapely.box(0.35, 0.2, 0.3501, 0.2001)], "C")
    assert land_around_sampled(few, rasters, WORLDCOVER).set_index("class").loc[10, "share"] == pytest.approx(
        0.5, abs=0.03
    )


def test_the_cooperatives_own_plots_are_not_around_it_and_those_of_others_are(tmp_path):
    # C1 has all the crops there are within its plots; C2 has a plot beside them
    codes = np.full((1000, 1000), 10)
    codes[590:610, 190:210] = 40
    own = shapely.box(190 * CELL, 0.5 - 610 * CELL, 210 * CELL, 0.5 - 590 * CELL)
    beside = shapely.box(212 * CELL, 0.5 - 605 * CELL, 214 * CELL, 0.5 - 600 * CELL)
    around = land_around_sampled(
        plots_of([own, beside], ["C1", "C2"]), write_map(tmp_path / "map.tif", codes), WORLDCOVER
    )
    shares = around.set_index(["cooperative_id", "class"])["share"]
    assert shares["C1", 10] == pytest.approx(1.0, abs=0.01)  # squares of 10 m at its edge show a little of it
    assert shares["C2", 40] > 0.1


def test_places_beyond_the_map_are_ground_of_their_own(tmp_path):
    plots = plots_of([shapely.box(0.0, 0.2, 0.0001, 0.2001)], "C")
    around = land_around_sampled(plots, write_map(tmp_path / "map.tif", np.full((1000, 1000), 10)), WORLDCOVER)
    shares = around.set_index("class")["share"]
    assert shares[-2] == pytest.approx(0.5, abs=0.05)
    assert shares.sum() == pytest.approx(1.0)


def test_neither_the_order_of_plots_nor_threads_change_a_byte(country):
    plots, rasters = country
    straight = land_around_sampled(plots, rasters, WORLDCOVER, workers=1)
    shuffled = plots.sample(frac=1, random_state=1)
    assert_frame_equal(land_around_sampled(shuffled, rasters, WORLDCOVER, workers=3), straight, check_exact=True)


def test_a_profile_of_many_plots_says_that_it_looked_at_places_and_is_less_sure(country, monkeypatch):
    plots, rasters = country
    classes = class_areas(plots, rasters, WORLDCOVER).classes
    drawn = profile.profiles(plots, classes, WORLDCOVER, rasters)
    monkeypatch.setattr(profile, "MOST_RINGED", 100)
    sampled = profile.profiles(plots, classes, WORLDCOVER, rasters)

    def rows(found):
        return found.profile[found.profile["measure"] == UNCULTIVATED].set_index("cooperative_id")

    assert rows(sampled)["basis"].str.contains("seen at places worth").all()
    assert not rows(drawn)["basis"].str.contains("places").any()
    width = [(table["high"] - table["low"]).mean() for table in (rows(drawn), rows(sampled))]
    assert width[1] > width[0]
    assert rows(sampled)["estimate"].to_numpy() == pytest.approx(rows(drawn)["estimate"].to_numpy(), abs=0.05)
