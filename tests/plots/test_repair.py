import time

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geomap.plots.area import area_ha
from geomap.plots.checks import vertex_count
from geomap.plots.repair import repair_outlines


def plots_of(*shapes, declared=np.nan):
    index = pd.Index([f"P{number}" for number in range(1, len(shapes) + 1)], name="plot_id", dtype="str")
    geometry = gpd.GeoSeries(list(shapes), index=index, crs="EPSG:4326")
    return gpd.GeoDataFrame({"declared_area_ha": declared}, geometry=geometry, index=index)


def told(findings):
    return list(zip(findings["plot_id"], findings["code"], findings["action"], strict=True))


# A square of .004 degrees with a spike out and back on its eastern side: no area in the spike.
SPIKE = Polygon([(0, 0), (0.004, 0), (0.004, 0.002), (0.006, 0.002), (0.004, 0.002), (0.004, 0.004), (0, 0.004)])
# The same square; its track crosses itself near the end and leaves a loop of a few square metres.
SMALL_LOOP = Polygon([(0, 0), (0.004, 0), (0.004, 0.004), (0.0001, 0.004), (0, 0.0039), (0, 0.004), (0.0001, 0.0039)])
BOW_TIE = Polygon([(0, 0), (0.004, 0.004), (0.004, 0), (0, 0.004)])
HOLE_OUTSIDE = Polygon([(0, 0), (0.002, 0), (0.002, 0.002), (0, 0.002)], [[(0.003, 0), (0.004, 0), (0.004, 0.001)]])
HOURGLASS = Polygon([(0, 0), (0.002, 0), (0.001, 0.001), (0.002, 0.002), (0, 0.002), (0.001, 0.001)])


def test_a_spike_is_taken_off():
    repaired = repair_outlines(plots_of(SPIKE))
    assert told(repaired.findings) == [("P1", "repaired", "repaired")]
    assert repaired.plots.geometry.iloc[0].equals(box(0, 0, 0.004, 0.004))
    assert repaired.findings["effect_ha"][0] == pytest.approx(0, abs=1e-9)


def test_a_small_loop_at_a_crossing_is_dropped():
    assert not SMALL_LOOP.is_valid
    repaired = repair_outlines(plots_of(SMALL_LOOP))
    (shape,) = repaired.plots.geometry
    assert told(repaired.findings) == [("P1", "repaired", "repaired")]
    assert (shape.geom_type, shape.is_valid) == ("Polygon", True)
    change = area_ha(np.array([shape, SMALL_LOOP]))
    assert abs(change[0] / change[1] - 1) < 0.01
    assert repaired.findings["effect_ha"][0] == pytest.approx(change[0] - change[1], abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (BOW_TIE, "from 0.0000 to"),  # net area 0, repaired half of the square
        (HOLE_OUTSIDE, "by more than 1 %"),
        (HOURGLASS, "break it into more parts"),
        (MultiPolygon([box(0, 0, 0.004, 0.004), box(0.001, 0.001, 0.002, 0.002)]), "by more than 1 %"),
    ],
)
def test_a_repair_that_changes_the_plot_is_refused(shape, why):
    plots = plots_of(shape, declared=3.0)
    repaired = repair_outlines(plots)
    assert told(repaired.findings) == [("P1", "hole_outside" if shape is HOLE_OUTSIDE else "invalid", "left_out")]
    assert why in repaired.findings["message"][0]
    assert " at 0.00" in repaired.findings["message"][0]
    assert repaired.findings["effect_ha"].tolist() == [-3.0]
    assert repaired.plots.geometry.iloc[0] is plots.geometry.iloc[0]


def test_without_a_declared_area_the_area_as_drawn_is_lost():
    findings = repair_outlines(plots_of(HOURGLASS)).findings
    assert findings["effect_ha"][0] == pytest.approx(-area_ha(np.array([HOURGLASS]))[0], rel=1e-12)


def with_spike(corners):
    angle = np.linspace(0, 2 * np.pi, corners - 2, endpoint=False)
    ring = np.column_stack([np.cos(angle), np.sin(angle)]) * 0.002
    return Polygon([*ring, ring[-1] * [1, 1.2], ring[-1]])


def test_above_five_hundred_corners_nothing_is_repaired():
    few, many = with_spike(500), with_spike(501)
    assert vertex_count(np.array([few, many])).tolist() == [500, 501]
    repaired = repair_outlines(plots_of(few, many))
    assert told(repaired.findings) == [("P2", "invalid", "left_out"), ("P1", "repaired", "repaired")]
    assert "more than 500 corners" in repaired.findings["message"][0]


def test_random_rings_are_refused_soon():
    rng = np.random.default_rng(8)
    rings = [Polygon(rng.uniform(0, 0.01, (count, 2))) for count in (500, 2_000)]
    start = time.process_time()
    assert set(repair_outlines(plots_of(*rings)).findings["code"]) == {"invalid"}
    assert time.process_time() - start < 20


def test_repeated_corners_go_without_a_finding():
    doubled = Polygon([(0, 0), (0, 0), (1, 0), (1, 1), (1, 1), (0, 1)])
    repaired = repair_outlines(plots_of(doubled))
    assert repaired.findings.empty
    assert vertex_count(repaired.plots.geometry.to_numpy()).tolist() == [4]


def test_good_outlines_points_and_gaps_stay_as_they_are():
    plots = plots_of(box(0, 0, 1, 1), Point(0, 0), None, MultiPolygon([box(0, 0, 1, 1), box(2, 2, 3, 3)]))
    repaired = repair_outlines(plots)
    assert repaired.findings.empty
    assert all(new is old for new, old in zip(repaired.plots.geometry, plots.geometry, strict=True))
    assert repair_outlines(plots_of()).plots.empty


def test_one_outline_that_cannot_be_repaired_does_not_stop_the_others(monkeypatch):
    repair = shapely.make_valid

    def fails_on_the_bow_tie(shapes, **options):
        if any(shape.equals_exact(BOW_TIE) for shape in shapes):
            raise shapely.GEOSException("TopologyException: unable to assign free hole to a shell")
        return repair(shapes, **options)

    monkeypatch.setattr(shapely, "make_valid", fails_on_the_bow_tie)
    repaired = repair_outlines(plots_of(SPIKE, BOW_TIE, SMALL_LOOP))
    assert told(repaired.findings) == [
        ("P2", "invalid", "left_out"),
        ("P1", "repaired", "repaired"),
        ("P3", "repaired", "repaired"),
    ]


def test_two_parts_stay_two_parts():
    pair = MultiPolygon([SPIKE, box(0.01, 0, 0.012, 0.002)])
    repaired = repair_outlines(plots_of(pair))
    (shape,) = repaired.plots.geometry
    assert told(repaired.findings) == [("P1", "repaired", "repaired")]
    assert (shape.geom_type, len(shape.geoms)) == ("MultiPolygon", 2)


def test_the_input_is_not_modified():
    plots = plots_of(SPIKE, BOW_TIE)
    before = shapely.to_wkb(plots.geometry.to_numpy())
    repair_outlines(plots)
    assert (shapely.to_wkb(plots.geometry.to_numpy()) == before).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=4, max_size=10, unique=True))
def test_whatever_is_repaired_is_valid_whole_and_of_the_same_area(corners):
    drawn = Polygon(np.array(corners) / 1000)
    repaired = repair_outlines(plots_of(drawn))
    (shape,) = repaired.plots.geometry
    old, new = area_ha(np.array([drawn, shape]))
    blocked = (repaired.findings["action"] == "left_out").any()
    assert blocked or (shape.is_valid and shape.geom_type == "Polygon" and abs(new - old) < 0.01 * old)
