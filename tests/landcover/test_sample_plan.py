"""The sample plan: how many points, of which classes, and where."""

import math

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geomap.errors import NumberError, RasterError
from geomap.landcover.extract import class_areas
from geomap.landcover.sample_plan import POINT_COLUMNS, allocation, expected_half_width, sample_plan, sample_size

CELL = 0.0001
METRES = 111_320 * CELL


@pytest.fixture
def striped(write_raster):
    """100 × 100 cells: tree, a stripe of built-up of 10 columns, a corner of water of 2 × 2 cells, no data below."""
    codes = np.full((100, 100), 10)
    codes[:, 40:50] = 50
    codes[:2, :2] = 80
    codes[90:, :] = 0
    return write_raster(codes, cell=CELL)


def plots_of(*boxes, **columns) -> gpd.GeoDataFrame:
    shapes = [shapely.box(*(side * CELL for side in box)) for box in boxes]
    index = pd.Index([f"F{number}" for number in range(len(boxes))], name="plot_id", dtype="str")
    return gpd.GeoDataFrame(columns, geometry=shapes, index=index, crs="EPSG:4326")


WHOLE = (0, -100, 100, 0)  # west, south, east, north in cells


def planned(striped, worldcover, *boxes, seed=1, **options):
    plots = options.pop("plots", None)
    plots = plots_of(*(boxes or (WHOLE,))) if plots is None else plots
    return sample_plan(plots, [striped], worldcover, rng=np.random.default_rng(seed), **options)


# ---- how many ----


def test_the_sample_size_of_olofssons_example_comes_out():
    # Table 5 and equation 13 there: a standard error of .01 takes 641 points.
    assert sample_size([0.02, 0.015, 0.32, 0.645], [0.7, 0.6, 0.9, 0.95], 0.01 * 1.959964) == 641


def test_the_sample_size_is_that_of_simple_sampling_where_there_is_one_stratum():
    # z² p (1 − p) / d² = 3.8415 · .16 / .01 = 61.5; of 100 cells, Cochran's n / (1 + n / N) = 38.1
    assert sample_size([5.0], [0.8], 0.1) == 62
    assert sample_size([5.0], [0.8], 0.1, cells=100) == 39


@pytest.mark.parametrize("half_width", [0, 1, -0.1, math.nan])
def test_a_half_width_that_cannot_be_is_refused(half_width):
    with pytest.raises(NumberError, match="cannot be"):
        sample_size([1.0], [0.8], half_width)


@given(
    st.lists(st.floats(0.01, 1e5), min_size=1, max_size=8),
    st.integers(1, 500),
    st.integers(0, 40),
    st.lists(st.integers(0, 300), min_size=8, max_size=8),
)
def test_allocations_keep_their_bounds_and_their_sum(area, points, minimum, room):
    room = np.array(room[: len(area)])
    given_points = allocation(area, points, minimum=minimum, room=room)
    assert (given_points <= room).all()
    assert (given_points >= np.minimum(minimum, room)).all()
    assert given_points.sum() == np.clip(points, np.minimum(minimum, room).sum(), room.sum())


def test_points_go_by_area_where_no_bound_is_met():
    assert allocation([50, 30, 20], 100, minimum=5).tolist() == [50, 30, 20]
    assert allocation([90, 9, 1], 100, minimum=10).tolist() == [80, 10, 10]
    assert allocation([0, 1], 10, minimum=5).tolist() == [0, 10]


def test_the_interval_that_was_asked_for_is_the_one_that_is_planned(striped, worldcover):
    plan = planned(striped, worldcover, target_half_width=0.08)
    assert plan.half_width <= 0.08
    users = worldcover.legend["users_accuracy"].reindex(plan.strata.index)
    fewer = plan.strata["points"] - (plan.strata["points"] > 10) * 3
    assert expected_half_width(plan.strata["area_ha"], users, fewer) > 0.08
    # By simulation: the share of right cells, weighed by area, strays from the truth by no more in 95 of 100 samples.
    rng, weight = np.random.default_rng(3), plan.strata["area_ha"] / plan.strata["area_ha"].sum()
    drawn = rng.binomial(plan.strata["points"], users, size=(4_000, len(users))) / plan.strata["points"].to_numpy()
    within = np.abs(drawn @ weight.to_numpy() - users @ weight) <= plan.half_width
    assert within.mean() == pytest.approx(0.95, abs=0.02)


# ---- where ----


def test_points_lie_in_their_plot_and_in_their_class(striped, worldcover):
    boxes = [(5, -40, 60, -5), (70, -95, 99, -60), (1, -80, 30, -50)]
    plan = planned(striped, worldcover, *boxes, points=60)
    plots = plots_of(*boxes)
    assert plan.points.columns.tolist() == POINT_COLUMNS
    inside = shapely.contains_xy(
        plots.geometry.loc[plan.points["plot_id"]].to_numpy(), plan.points["longitude"], plan.points["latitude"]
    )
    assert inside.all()
    column = np.floor(plan.points["longitude"] / CELL).to_numpy()
    assert (plan.points["map_class"] == np.where((column >= 40) & (column < 50), 50, 10)).all()
    assert (plan.points["latitude"] > -90 * CELL).all()  # never where the map has no data
    assert len(plan.points) == 60


def test_points_are_a_cell_apart(striped, worldcover):
    points = planned(striped, worldcover, (38, -8, 48, 0), points=20).points
    assert len(points) == 20
    east, north = points["longitude"].to_numpy() * 111_320, points["latitude"].to_numpy() * 111_320
    distance = np.hypot(east[:, None] - east, north[:, None] - north)
    assert distance[~np.eye(20, dtype=bool)].min() >= METRES * 0.99


def test_a_class_without_room_gets_what_fits(striped, worldcover):
    strata = planned(striped, worldcover, points=30, minimum=10).strata
    assert strata.loc[80, ["planned", "points"]].tolist() == [1, 1]  # four cells of water
    assert strata.loc[50, "points"] == 10
    assert strata["points"].sum() == 30


def test_equal_generators_give_equal_points_whatever_the_order_of_rows(striped, worldcover):
    boxes = [(5 * k, -40 - k, 5 * k + 4, -20 - k) for k in range(15)]
    plots = plots_of(*boxes, cooperative_id=[f"C{k % 3}" for k in range(15)])
    first = planned(striped, worldcover, plots=plots, points=25)
    again = planned(striped, worldcover, plots=plots.sample(frac=1, random_state=2), points=25)
    other = planned(striped, worldcover, plots=plots, points=25, seed=2)
    pd.testing.assert_frame_equal(first.points, again.points)
    assert not first.points["longitude"].equals(other.points["longitude"])
    assert (first.points["cooperative_id"] == plots["cooperative_id"].loc[first.points["plot_id"]].to_numpy()).all()
    assert first.points.index.tolist() == [f"P{number:03d}" for number in range(1, 26)]


def test_hectares_that_are_known_need_not_be_measured_again(striped, worldcover):
    plots = plots_of(WHOLE)
    known = class_areas(plots, [striped], worldcover).classes
    one, other = (planned(striped, worldcover, plots=plots, points=20, classes=classes) for classes in (None, known))
    pd.testing.assert_frame_equal(one.points, other.points)


def test_every_spot_of_a_class_is_as_likely_as_any_other(striped, worldcover):
    # A large plot, a small one, and a triangle: 400 points of tree, by area; then by halves of the large plot.
    plots = plots_of((0, -40, 30, -10), (60, -20, 70, -10))
    corners = np.array([(60, -80), (90, -80), (60, -50)]) * CELL
    plots = pd.concat(
        [plots, gpd.GeoDataFrame(geometry=[shapely.Polygon(corners)], index=["T"], crs="EPSG:4326")]
    ).rename_axis("plot_id")
    points = planned(striped, worldcover, plots=plots, points=400).points
    number = points["plot_id"].value_counts()
    for plot, share in {"F0": 900 / 1450, "F1": 100 / 1450, "T": 450 / 1450}.items():
        assert number[plot] == pytest.approx(400 * share, abs=4 * math.sqrt(400 * share * (1 - share)))
    west = (points.loc[points["plot_id"] == "F0", "longitude"] < 15 * CELL).mean()
    assert west == pytest.approx(0.5, abs=0.14)
    deep = (points.loc[points["plot_id"] == "T", "latitude"] < -65 * CELL).mean()
    assert deep == pytest.approx(0.75, abs=0.16)  # three quarters of a triangle lie below half of its height


def test_plots_without_an_outline_are_not_sampled(striped, worldcover):
    plots = plots_of((0, -40, 30, -10))
    point = gpd.GeoDataFrame(geometry=[shapely.Point(0.001, -0.001)], index=["Q"], crs="EPSG:4326")
    both = pd.concat([plots, point]).rename_axis("plot_id")
    assert set(planned(striped, worldcover, plots=both, points=10).points["plot_id"]) == {"F0"}


def test_a_raster_in_metres_is_sampled_too(write_raster, worldcover):
    codes = np.full((60, 60), 10)
    codes[:, 30:] = 50
    path = write_raster(codes, west=500_000, north=1_600_000, cell=10, crs="EPSG:32616")
    shape = gpd.GeoSeries([shapely.box(500_050, 1_599_450, 500_550, 1_599_950)], crs="EPSG:32616").to_crs("EPSG:4326")
    plots = gpd.GeoDataFrame(geometry=shape.to_numpy(), index=["F"], crs="EPSG:4326").rename_axis("plot_id")
    plan = sample_plan(plots, [path], worldcover, rng=np.random.default_rng(1), points=40)
    placed = gpd.GeoSeries.from_xy(plan.points["longitude"], plan.points["latitude"], crs="EPSG:4326").to_crs(32616)
    assert (plan.points["map_class"].to_numpy() == np.where(placed.x > 500_300, 50, 10)).all()
    assert plan.cell_m == pytest.approx(10, abs=0.01)


def test_ground_that_the_map_does_not_know_is_refused(striped, worldcover):
    with pytest.raises(RasterError, match="lies on a class"):
        planned(striped, worldcover, (0, -100, 50, -95))
    with pytest.raises(NumberError, match="0 points"):
        planned(striped, worldcover, points=0)


def test_a_plot_mostly_outside_the_map_is_sampled_where_the_map_is(striped, worldcover):
    points = planned(striped, worldcover, (-400, -20, 4, -10), points=5).points
    assert len(points) == 5
    assert (points["longitude"] > 0).all()
