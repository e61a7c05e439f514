import time

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Point, Polygon

from geomap.plots import shape
from geomap.plots.area import area_ha

METRE = 1 / 111_320  # degrees, at the equator
AT = (-87.123456, 0.0123456)


def metres(*corners, holes=()):
    """An outline in metres, near the equator, off any round number."""
    made = Polygon(np.array(corners) * METRE, [np.array(hole) * METRE for hole in holes])
    return translate(made, *AT)


def found(shapes, check=shape.check_shapes):
    index = pd.Index([f"P{number}" for number in range(1, len(shapes) + 1)], name="plot_id", dtype="str")
    plots = gpd.GeoDataFrame(geometry=gpd.GeoSeries(list(shapes), index=index, crs="EPSG:4326"), index=index)
    return check(plots, area_ha(plots.geometry).to_numpy()) if check is shape.check_shapes else check(plots)


def told(findings):
    return findings[["plot_id", "code"]].to_numpy().tolist()


SQUARE = metres((0, 0), (100, 0), (100, 100), (0, 100))


def test_a_jump_of_the_gps_is_a_spike_with_its_place_and_size():
    # Out 80 m on the eastern side within 4 m: an angle of 2.9 degrees, 4 · 80 / 2 = 160 m² = .0160 ha.
    spiked = metres((0, 0), (100, 0), (100, 48), (180, 50), (100, 52), (100, 100), (0, 100))
    findings = found([spiked, SQUARE])
    assert told(findings) == [["P1", "spike"]]
    assert "A spike of 80 m at" in findings["message"][0]
    assert "holds 0.0160 ha of 1.0" in findings["message"][0]
    assert f"{AT[0] + 180 * METRE:.6f}, {AT[1] + 50 * METRE:.6f}" in findings["message"][0]


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0), (100, 0), (100, 40), (180, 50), (100, 60), (100, 100), (0, 100)],  # 14 degrees
        [(0, 0), (100, 0), (100, 49.9), (108, 50), (100, 50.1), (100, 100), (0, 100)],  # legs of 8 m
        [(0, 0), (400, 0), (400, 20)],  # the corner is the plot
    ],
)
def test_wide_corners_short_legs_and_wedges_are_no_spikes(corners):
    assert "spike" not in found([metres(*corners)])["code"].tolist()


def test_a_strip_is_a_sliver():
    # 4π · 1600 / 808² = .031 for 4 m × 400 m; 4π · 4000 / 840² = .071 for 10 m × 400 m; the square has .79.
    strips = [metres((0, 0), (400, 0), (400, wide), (0, wide)) for wide in (4, 10)]
    findings = found([*strips, SQUARE])
    assert told(findings) == [["P1", "sliver"]]
    assert "ha within 808 m of border, about 3.9 m wide" in findings["message"][0]  # 2 · 1600 / 808 = 3.96


def test_a_plot_of_several_parts_is_no_sliver():
    parts = MultiPolygon([translate(SQUARE, 300 * METRE * number, 0) for number in range(20)])
    assert told(found([parts])) == []


def test_corners_that_stand_twice_are_counted():
    twice = metres((0, 0), (100, 0), (100, 0), (100, 0), (100, 100), (0, 100))
    findings = found([twice, SQUARE, Point(*AT), None], shape.check_repeated)
    assert told(findings) == [["P1", "repeated_corners"]]
    assert findings["message"][0].startswith("2 corners repeat")
    assert findings["action"].tolist() == ["repaired"]


def rounded(outline, decimals):
    return shapely.transform(outline, lambda xy: xy.round(decimals))


def test_four_decimals_are_few_and_five_are_enough():
    findings = found([rounded(SQUARE, 4), rounded(SQUARE, 5), Point(-87.1234, 14.1)])
    assert told(findings) == [["P1", "few_decimals"], ["P3", "few_decimals"]]


def test_what_is_true_of_most_of_a_file_is_told_once():
    findings = found([rounded(translate(SQUARE, 0.01 * number), 4) for number in range(30)] + [SQUARE] * 5)
    assert told(findings) == [["", "few_decimals"]]
    assert findings["message"][0].startswith("30 of 35 plots have coordinates with fewer than five decimals")


def test_stairs_of_a_raster_are_a_grid_and_a_walk_is_not():
    stairs = [(0, 0), (10, 0), (10, 10), (20, 10), (20, 20), (30, 20), (30, 40), (50, 40), (50, 60), (0, 60)]
    rng = np.random.default_rng(1)
    walked = np.array(stairs) + rng.normal(0, 0.5, (len(stairs), 2))
    assert told(found([metres(*stairs), metres(*walked), SQUARE])) == [["P1", "on_a_grid"]]


def test_clean_plots_points_gaps_and_empty_tables_have_no_findings():
    for shapes in ([SQUARE, Point(*AT), None], [None], []):
        assert found(shapes).empty
        assert found(shapes, shape.check_repeated).empty


def test_a_hundred_thousand_plots_are_checked_in_seconds():
    corner = np.random.default_rng(3).uniform([-90, 10], [-80, 15], (100_000, 2))
    index = pd.Index([f"P{number}" for number in range(100_000)], name="plot_id", dtype="str")
    boxes = gpd.GeoSeries(shapely.box(*corner.T, *(corner + 0.001).T), index=index, crs="EPSG:4326")
    plots = gpd.GeoDataFrame(geometry=boxes, index=index)
    area = area_ha(plots.geometry).to_numpy()
    start = time.process_time()
    assert shape.check_shapes(plots, area).empty
    assert shape.check_repeated(plots).empty
    assert time.process_time() - start < 5
