import runpy
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.geometry import Point, Polygon, box

from geomap.errors import UnknownNameError
from geomap.plots import place

HOME = (-87.2, 14.1)  # Tegucigalpa


def plots_of(shapes, declared=np.nan):
    index = pd.Index([f"P{number}" for number in range(1, len(shapes) + 1)], name="plot_id", dtype="str")
    geometry = gpd.GeoSeries(list(shapes), index=index, crs="EPSG:4326")
    return gpd.GeoDataFrame({"declared_area_ha": declared}, geometry=geometry, index=index)


def square(lon, lat, size=0.001):
    return box(lon, lat, lon + size, lat + size)


def told(findings):
    return list(zip(findings["plot_id"], findings["code"], findings["action"], strict=True))


@pytest.mark.parametrize(
    ("at", "code", "action"),
    [
        (HOME, None, None),
        (HOME[::-1], "axes_swapped", "left_out"),
        ((87.2, 14.1), "wrong_hemisphere", "left_out"),
        ((-87.2, -14.1), "wrong_hemisphere", "left_out"),
        ((87.2, -14.1), "wrong_hemisphere", "left_out"),
        ((-90.5, 14.6), "outside_country", "kept"),  # Guatemala
        ((-86.0, 17.5), "in_the_sea", "kept"),
    ],
)
def test_a_plot_is_held_against_its_country(at, code, action):
    findings = place.check_place(plots_of([square(*at)]), "HN", drawn_ha=np.array([1.2]))
    assert told(findings) == ([("P1", code, action)] if code else [])
    assert findings["effect_ha"].dropna().tolist() == ([-1.2] if action == "left_out" else [])


def test_the_message_says_what_would_fit_and_that_nothing_was_exchanged():
    findings = place.check_place(plots_of([Point(HOME[::-1]), Point(-90.5, 14.6)]), "Honduras")
    assert "lies in Honduras only with latitude and longitude exchanged" in findings["message"][0]
    assert "--map" in findings["message"][0]
    assert "lies in Guatemala (-90.50000, 14.60000), more than 5 km outside Honduras" in findings["message"][1]


def test_without_a_country_only_the_sea_is_told():
    shapes = [Point(-86.0, 17.5), Point(HOME), Point(6.6, 0.2), Point(-175, 66), None, Polygon()]
    assert told(place.check_place(plots_of(shapes))) == [("P1", "in_the_sea", "kept")]


def test_five_kilometres_beyond_the_border_are_let_through():
    outline = place.country_outlines().loc["HN"].geometry
    west = outline.bounds[0]
    corner = shapely.get_coordinates(outline)[shapely.get_coordinates(outline)[:, 0].argmin()]
    one_km = 1000 / 111_320 / np.cos(np.radians(corner[1]))
    places = np.array([[west - 4.9 * one_km, corner[1]], [west - 5.2 * one_km, corner[1]]])
    assert place.near(outline, places).tolist() == [True, False]


def test_names_and_codes_of_countries():
    assert [place.country_iso2(name) for name in ("Honduras", "hn", "HND", "Tanzania", None, "", "world")] == [
        "HN", "HN", "HN", "TZ", None, None, None,
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="ISO 3166"):
        place.country_iso2("Hondurras")


def test_the_outlines_know_the_origins_and_their_source():
    outlines = place.country_outlines()
    assert {"HN", "GT", "PE", "ST", "CI", "GH", "ID", "RW", "ET", "MX", "VN"} <= set(outlines.index)
    assert outlines.index.is_unique
    assert outlines.geometry.is_valid.all()
    assert outlines["source"].str.contains("Natural Earth 1:50m, public domain").all()


def test_a_corner_at_zero_zero_blocks():
    plots = plots_of([Polygon([(0, 0), (-87.2, 14.1), (-87.1, 14.1)]), Point(0.00005, 0), square(0.01, 0.01)], 2.0)
    findings = place.check_null_island(plots)
    assert told(findings) == [("P1", "null_island", "left_out"), ("P2", "null_island", "left_out")]
    assert findings["effect_ha"].tolist() == [-2.0, -2.0]


def test_metres_are_named_and_the_zone_is_offered():
    # 478,400 E, 1,558,800 N in UTM zone 16 north is -87.2, 14.1.
    metres = square(478_400, 1_558_800, 100)
    mixed = Polygon([(-87.2, 14.1), (478_400, 1_558_800), (-87.1, 14.2)])
    findings = place.check_metres(plots_of([metres, mixed, square(*HOME), None]), "HN")
    assert told(findings) == [("P1", "in_metres", "left_out")]
    assert "478500, 1558800" in findings["message"][0]
    assert "In UTM zone 16N (EPSG:32616) the plot lies in Honduras." in findings["message"][0]
    assert "UTM" not in place.check_metres(plots_of([metres]))["message"][0]


@pytest.mark.parametrize("country", [None, "HN", "VN"])
def test_a_hundred_thousand_places_take_seconds(country):
    corner = np.random.default_rng(3).uniform([-87.5, 14], [-86.5, 15], (100_000, 2))
    plots = plots_of(shapely.box(*corner.T, *(corner + 0.001).T))
    start = time.process_time()
    place.check_place(plots, country)
    assert time.process_time() - start < 10


def test_the_outlines_are_made_from_their_source(shared_data, tmp_path):
    script = Path(__file__).parents[2] / "data" / "make_outlines.py"
    made = runpy.run_path(str(script))["make_outlines"]
    made(shared_data / "boundaries" / "countries-50m.json", tmp_path / "made.parquet")
    again, kept = gpd.read_parquet(tmp_path / "made.parquet"), place.country_outlines().reset_index()
    assert again["iso2"].tolist() == kept["iso2"].tolist()
    assert shapely.equals(again.geometry.to_numpy(), kept.geometry.to_numpy()).all()
