import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st
from pyproj import Geod
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geomap.errors import CrsError
from geomap.plots.area import area_from_equator_m2, area_ha, ellipsoidal_cell_area, gps_area_sd_ha

GEOD = Geod(ellps="WGS84")


def densified_geod_ha(polygon, step_deg):
    """An independent way: geodesics between points so near that they follow the straight line in lon/lat."""
    total = 0.0
    for part in shapely.get_parts(polygon):
        rings = [part.exterior, *part.interiors]
        areas = [abs(GEOD.polygon_area_perimeter(*shapely.segmentize(ring, step_deg).xy)[0]) for ring in rings]
        total += areas[0] - sum(areas[1:])
    return total / 10_000


def one(polygon):
    return float(area_ha(np.array([polygon], dtype=object))[0])


def test_a_square_of_a_thousandth_degree_has_its_known_area():
    assert one(box(108.0, 12.67, 108.001, 12.671)) == pytest.approx(1.2017056342512, rel=1e-9)


@pytest.mark.parametrize(
    "polygon",
    [
        Polygon([(0, 0), (3, 0), (1, 4)]),
        Polygon([(-70, -50), (-60, -52), (-64, -40), (-69, -41)]),
        Polygon([(10, 40), (14, 41), (13, 45)], holes=[[(12, 42), (12.5, 42), (12.4, 43)]]),
        MultiPolygon([box(30, -1, 31, 1), Polygon([(33, -1), (35, 0), (34, 3)])]),
    ],
)
def test_areas_agree_with_geodesics_on_densified_rings(polygon):
    assert one(polygon) == pytest.approx(densified_geod_ha(polygon, 1e-3), rel=1e-9)


def test_edges_are_straight_in_longitude_and_latitude_not_geodesics():
    wide = box(0, 40, 10, 41)
    parallels = area_from_equator_m2(41.0) - area_from_equator_m2(40.0)
    assert one(wide) == pytest.approx(float(parallels) * np.radians(10) / 10_000, rel=1e-12)
    assert one(wide) != pytest.approx(densified_geod_ha(wide, 100.0), rel=1e-4)


def test_holes_are_taken_off_whichever_way_rings_run():
    shell, hole = [(0, 0), (4, 0), (4, 4), (0, 4)], [(1, 1), (2, 1), (2, 2), (1, 2)]
    areas = {one(Polygon(ring, [inner])) for ring in (shell, shell[::-1]) for inner in (hole, hole[::-1])}
    whole = one(Polygon(shell)) - one(Polygon(hole))
    assert all(area == pytest.approx(whole, rel=1e-12) for area in areas)


def test_points_and_missing_geometry_have_no_area_and_lines_have_none_inside():
    shapes = np.array(
        [Point(1, 1), None, shapely.LineString([(0, 0), (1, 1)]), Polygon(), box(0, 0, 1, 1)], dtype=object
    )
    areas = area_ha(shapes)
    assert np.isnan(areas[:2]).all()
    assert areas[2:4].tolist() == [0, 0]
    assert areas[4] > 0
    assert area_ha(np.array([], dtype=object)).tolist() == []


def test_a_series_keeps_index_and_order():
    shapes = gpd.GeoSeries([box(0, 0, 2, 1), None, box(0, 0, 1, 1)], index=["b", "x", "a"], crs="EPSG:4326")
    areas = area_ha(shapes)
    assert areas.index.tolist() == ["b", "x", "a"]
    assert areas["b"] == pytest.approx(2 * areas["a"], rel=1e-12)


@pytest.mark.parametrize("crs", [None, "EPSG:3857"])
def test_areas_without_longitude_and_latitude_are_refused(crs):
    shapes = gpd.GeoSeries([box(0, 0, 1, 1)], crs=crs)
    with pytest.raises(CrsError, match=r"CRS|3857"):
        area_ha(shapes)
    with pytest.raises(CrsError):
        gps_area_sd_ha(shapes)


@given(st.floats(-179, 178), st.floats(-89, 88), st.floats(1e-5, 1), st.floats(1e-5, 1), st.floats(0.1, 0.9))
@example(0.0, -89.0, 1.0, 1e-5, 0.24995079949022372)  # a sliver as wide as a degree, near the pole
def test_a_plot_split_in_two_has_the_area_of_the_whole(west, south, width, height, share):
    east, north, cut = west + width, south + height, west + width * share
    corner = south + height / 3
    whole = Polygon([(west, south), (east, corner), (cut, north)])
    left, right = shapely.intersection(whole, np.array([box(west, -90, cut, 90), box(cut, -90, east, 90)]))
    # A ring's sum goes down to the equator: up to 7e11 m2 a degree, of which a float keeps 1.2e-4 m2 at each corner.
    assert one(left) + one(right) == pytest.approx(one(whole), rel=1e-7, abs=1e-7 * width)


def test_the_area_of_a_plot_does_not_depend_on_its_neighbours_in_the_table():
    rng = np.random.default_rng(5)
    corners = rng.uniform([-90, -20], [120, 20], (500, 2))
    shapes = shapely.box(*corners.T, *(corners + rng.uniform(0.0001, 0.01, (500, 2))).T)
    order = rng.permutation(500)
    assert (area_ha(shapes[order]) == area_ha(shapes)[order]).all()
    assert (gps_area_sd_ha(shapes[order], 4.0) == gps_area_sd_ha(shapes, 4.0)[order]).all()


def test_fifty_real_plots_have_their_known_area(shared_data):
    plots = gpd.read_file(shared_data / "plots" / "whisp_example.geojson")
    areas = area_ha(plots.geometry)
    reference = [densified_geod_ha(shape, 1e-4) for shape in plots.geometry]
    assert areas.to_numpy() == pytest.approx(np.array(reference), rel=1e-7)
    # One plot has a hole of .354 ha that runs the same way as its shell: a signed sum adds it and finds 5,430.897 ha.
    hole = area_ha(
        np.array([Polygon(ring) for shape in plots.geometry for part in shape.geoms for ring in part.interiors])
    )
    assert hole.sum() == pytest.approx(0.354, abs=1e-3)
    assert areas.sum() == pytest.approx(5_430.2025, abs=1e-3)


def test_cells_fill_the_earth():
    latitudes = np.arange(-89.5, 90)
    rows = ellipsoidal_cell_area(latitudes, height=1.0, width=360.0)
    assert rows.sum() == pytest.approx(510_065_621_724_089, rel=1e-9)  # surface of WGS84, square metres


def test_a_cell_has_the_area_of_the_same_box():
    centre, size = np.array([-33.3, 0.0, 52.1]), 0.25
    boxes = shapely.box(10, centre - size / 2, 10 + size, centre + size / 2)
    assert ellipsoidal_cell_area(centre, height=size, width=size) / 10_000 == pytest.approx(area_ha(boxes), rel=1e-10)
    assert ellipsoidal_cell_area(centre, height=-size, width=size) == pytest.approx(area_ha(boxes) * 10_000, rel=1e-10)


def test_ground_beyond_the_pole_counts_as_none():
    assert float(ellipsoidal_cell_area(90.0, height=2.0, width=1.0)) == pytest.approx(
        float(ellipsoidal_cell_area(89.5, height=1.0, width=1.0)), rel=1e-12
    )


def metres_box(width_m, height_m, latitude=0.0):
    lift = height_m / 110_574.2758
    radius = 6_378_137 * np.cos(np.radians(latitude)) / np.sqrt(1 - 0.00669438 * np.sin(np.radians(latitude)) ** 2)
    return box(0, latitude, np.degrees(width_m / radius), latitude + lift)


def test_gps_error_of_a_rectangle_is_the_one_worked_out_by_hand():
    # ½ √(4 corners · 3² · (100² + 50²)) = ½ √450,000 = 335.41 m²; 3 m per axis are 3 · 1.51 = 4.53 m at 68 %.
    sd = gps_area_sd_ha(np.array([metres_box(100, 50)]), 4.53)
    assert sd[0] * 10_000 == pytest.approx(335.41, abs=0.01)


def test_gps_error_agrees_with_simulated_tracks():
    rng = np.random.default_rng(11)
    ring = np.array([(0, 0), (120, 10), (150, 90), (60, 140), (-20, 70)]) / 111_000 + [30, 1]
    tracks = ring + rng.normal(0, 3, (20_000, *ring.shape)) / [111_303, 110_574]
    simulated = area_ha(shapely.polygons(tracks)).std()
    assert gps_area_sd_ha(np.array([Polygon(ring)]), 4.53)[0] == pytest.approx(simulated, rel=0.02)


def test_missing_accuracy_counts_as_five_metres():
    plots = np.array([metres_box(100, 50, 40)] * 5 + [Point(0, 0), None], dtype=object)
    sd = gps_area_sd_ha(plots, np.array([5.0, np.nan, 0.0, -1.0, 10.0, 5.0, 5.0]))
    assert sd[1:4].tolist() == [sd[0]] * 3
    assert sd[4] == pytest.approx(2 * sd[0])
    assert sd[5:].tolist() == [0, 0]


def test_gps_errors_of_shell_and_hole_add_in_squares():
    shell, hole = [(0, 0), (4, 0), (4, 4), (0, 4)], [(1, 1), (2, 1), (2, 2), (1, 2)]
    both = gps_area_sd_ha(np.array([Polygon(shell, [hole]), Polygon(shell), Polygon(hole)]), 5.0)
    assert both[0] == pytest.approx(np.hypot(both[1], both[2]), rel=1e-12)


def test_public_names_load_on_first_use():
    import geomap.plots

    assert geomap.plots.area_ha is area_ha
    assert dir(geomap.plots) == sorted(geomap.plots.__all__)
    assert isinstance(geomap.plots.area_ha(gpd.GeoSeries([box(0, 0, 1, 1)], crs=4326)), pd.Series)
    with pytest.raises(AttributeError, match="no_such_name"):
        geomap.plots.no_such_name  # noqa: B018
