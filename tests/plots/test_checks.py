import time

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geomap.findings import CODES
from geomap.plots import checks
from geomap.plots.area import area_ha

BOW_TIE = Polygon([(0, 0), (0.001, 0.001), (0.001, 0), (0, 0.001)])


def plots_of(shapes, **columns):
    """A table of plots P1, P2 … with these outlines; columns not given are empty."""
    given = {"declared_area_ha": np.nan, "hives": np.nan, "member_id": "", "cooperative_id": ""} | columns
    index = pd.Index([f"P{number}" for number in range(1, len(shapes) + 1)], name="plot_id", dtype="str")
    return gpd.GeoDataFrame(given, geometry=gpd.GeoSeries(shapes, index=index, crs="EPSG:4326"), index=index)


def told(findings):
    return list(zip(findings["plot_id"], findings["code"], findings["severity"], findings["action"], strict=True))


@pytest.mark.parametrize(
    "corner", [(181, 0), (-180.1, 0), (0, 90.5), (0, -91), (np.nan, 0), (0, np.inf), (1e308, 1e308)]
)
def test_a_coordinate_off_the_globe_or_no_number_blocks(corner):
    with np.errstate(invalid="ignore"):
        off = Polygon([(0, 0), corner, (1, 1)])
    plots = plots_of([off, box(-180, -90, 180, 90), None], declared_area_ha=2.0)
    findings = checks.check_coordinates(plots)
    assert told(findings) == [("P1", "out_of_range", "block", "left_out")]
    assert findings["effect_ha"].tolist() == [-2.0]


def test_the_message_shows_the_coordinate():
    findings = checks.check_coordinates(plots_of([Polygon([(0, 0), (500123.4, 1650000), (1, 1)])]))
    assert "500123.4, 1650000" in findings["message"][0]
    assert np.isnan(findings["effect_ha"][0])


def test_a_plot_needs_an_outline_a_declared_area_or_hives():
    shapes = [None, Point(0, 0), Polygon(), None, Point(0, 0), box(0, 0, 1, 1), None]
    plots = plots_of(
        shapes,
        declared_area_ha=[np.nan, np.nan, 0.0, 1.5, np.nan, np.nan, -1.0],
        hives=[np.nan, 0.0, np.nan, np.nan, 12.0, np.nan, np.nan],
    )
    assert told(checks.check_empty(plots)) == [
        (plot, "empty", "block", "left_out") for plot in ("P1", "P2", "P3", "P7")
    ]


def circle(corners):
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return Polygon(np.column_stack([np.cos(angle), np.sin(angle)]) * 0.001)


def test_ten_thousand_corners_are_the_most():
    plots = plots_of([circle(10_000), circle(10_001), Point(0, 0), None])
    findings = checks.check_vertices(plots)
    assert told(findings) == [("P2", "too_many_vertices", "block", "left_out")]
    assert "10,001" in findings["message"][0]


def test_corners_are_counted_over_all_rings_without_closing_points():
    pierced = Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(1, 1), (2, 1), (2, 2)]])
    counts = checks.vertex_count(np.array([pierced, MultiPolygon([pierced, box(5, 5, 6, 6)])]))
    assert counts.tolist() == [4 + 3, 4 + 3 + 4]


def sized(shapes, **columns):
    plots = plots_of(shapes, **columns)
    return checks.check_size(plots, area_ha(plots.geometry).to_numpy())


def test_a_plot_beyond_ten_thousand_hectares_blocks_drawn_or_declared():
    # .1 × .1 degree at the equator is 11.13 km × 11.06 km, 12,309 ha; .09 × .09 is 9,970 ha.
    findings = sized(
        [box(0, 0, 0.1, 0.1), box(0, 0, 0.09, 0.09), Point(0, 0), None, box(-180, -90, 180, 90)],
        declared_area_ha=[3.0, 15_000, 15_000, 10_000, np.nan],
    )
    assert told(findings) == [(plot, "too_large", "block", "left_out") for plot in ("P1", "P3", "P5")]
    assert findings["effect_ha"].tolist()[:2] == [-3.0, -15_000.0]
    assert "12,309 ha" in findings["message"][0]


def test_an_outline_around_nothing_blocks():
    line = Polygon([(0, 0), (0.001, 0.001), (0.002, 0.002)])
    sliver = Polygon([(0, 0), (0.001, 0), (0.001, 1e-9)])
    small_but_real = box(0, 0, 0.00002, 0.00002)  # 2.2 m × 2.2 m
    assert [plot for plot, *_ in told(sized([line, sliver, small_but_real, None]))] == ["P1", "P2"]


def test_a_bow_tie_is_invalid_and_not_called_empty():
    assert sized([BOW_TIE]).empty
    findings = checks.check_valid(plots_of([BOW_TIE, box(0, 0, 1, 1), None, Point(0, 0)]), drawn_ha=0.5)
    assert told(findings) == [("P1", "invalid", "block", "left_out")]
    assert "crosses itself at 0.000500, 0.000500" in findings["message"][0]
    assert findings["effect_ha"].tolist() == [-0.5]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(5, 5), (6, 5), (6, 6)]]), "A hole lies outside the outline at 5"),
        (MultiPolygon([box(0, 0, 4, 4), box(1, 1, 2, 2)]), "One part of the plot lies inside another at"),
        (Polygon([(0, 0), (2, 0), (1, 1), (2, 2), (0, 2), (1, 1)]), "The outline touches itself at 1.000000, 1.000000"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(shape, words):
    assert checks.invalid_words(np.array([shape]))[0].startswith(words)


def test_members_without_plots_and_plots_without_members_are_told():
    plots = plots_of([box(0, 0, 1, 1)] * 3, member_id=["M1", "M9", ""])
    members = pd.DataFrame(
        {"declared_area_ha": [1.0, 2.5, np.nan]}, index=pd.Index(["M1", "M2", "M3"], name="member_id")
    )
    findings = checks.check_members(plots, members)
    assert told(findings) == [
        ("", "member_without_plot", "note", "kept"),
        ("", "member_without_plot", "note", "kept"),
        ("P2", "plot_without_member", "note", "kept"),
        ("P3", "plot_without_member", "note", "kept"),
    ]
    assert ["M2" in findings["message"][0], "2.50" in findings["message"][0]] == [True, True]
    assert ["M3" in findings["message"][1], "mean" in findings["message"][1]] == [True, True]
    assert ["M9" in findings["message"][2], "names no member" in findings["message"][3]] == [True, True]


def test_codes_of_the_checks_are_known_and_block():
    assert {
        CODES[code][0] for code in ("out_of_range", "empty", "invalid", "too_large", "too_many_vertices", "no_area")
    } == {"block"}


def test_clean_plots_and_empty_tables_have_no_findings():
    for plots in (plots_of([box(0, 0, 0.001, 0.001)]), plots_of([])):
        drawn = area_ha(plots.geometry).to_numpy()
        for findings in (
            checks.check_coordinates(plots),
            checks.check_empty(plots),
            checks.check_vertices(plots),
            checks.check_size(plots, drawn),
            checks.check_valid(plots),
        ):
            assert findings.empty


def test_a_hundred_thousand_plots_are_checked_in_seconds():
    corner = np.random.default_rng(3).uniform([-90, 10], [-80, 15], (100_000, 2))
    plots = plots_of(shapely.box(*corner.T, *(corner + 0.001).T))
    drawn = area_ha(plots.geometry).to_numpy()
    start = time.process_time()
    for check in (checks.check_coordinates, checks.check_empty, checks.check_vertices, checks.check_valid):
        assert check(plots).empty
    assert checks.check_size(plots, drawn).empty
    assert time.process_time() - start < 5
