"""Coordinates in metres are recognised, the country's zones are offered, and nothing is guessed."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import CrsError
from geomap.plots.formats import read_plots
from geomap.plots.table import to_plots
from geomap.plots.utm import epsg, fitting_zones, in_metres, utm_zones

# 87.2 W lies 0.2 degrees west of the middle of zone 16 (87 W)
PLOT = shapely.box(-87.2, 14.1, -87.199, 14.101)


def metres(folder: Path, x: str = "X", y: str = "Y", rows: int = 3, swap: bool = False) -> Path:
    centre = gpd.GeoSeries([PLOT.centroid], crs="EPSG:4326").to_crs("EPSG:32616").iloc[0]
    values = (centre.y, centre.x) if swap else (centre.x, centre.y)
    path = folder / "utm.csv"
    pd.DataFrame({"parcela": range(rows), x: values[0], y: values[1]}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(("x", "y"), [("X", "Y"), ("este", "norte"), ("Easting", "Northing"), ("coord_x", "coord_y")])
def test_metres_are_refused_and_the_zone_of_the_country_is_offered(x: str, y: str, tmp_path: Path) -> None:
    with pytest.raises(CrsError, match=r"looks like UTM zone 16N; say --crs EPSG:32616"):
        read_plots(metres(tmp_path, x, y), country="hn")


def test_without_a_country_no_zone_is_named_as_likely(tmp_path: Path) -> None:
    with pytest.raises(CrsError, match="Give the plots' country"):
        read_plots(metres(tmp_path))


def test_where_several_zones_fit_all_are_offered(tmp_path: Path) -> None:
    # the same numbers lie in Peru's zones 17, 18 and 19
    table = pd.DataFrame({"id": ["1"], "x": [500_000.0], "y": [8_600_000.0]})
    assert len(fitting_zones(500_000, 8_600_000, "PE")) > 1
    with pytest.raises(CrsError, match=r"It could be UTM zone .*, or UTM zone"):
        to_plots(table, country="PE")


def test_exchanged_columns_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(CrsError, match="under each other's name"):
        read_plots(metres(tmp_path, swap=True), country="HN")


def test_a_given_crs_brings_the_points_where_they_are(tmp_path: Path) -> None:
    plots, findings = read_plots(metres(tmp_path), crs="EPSG:32616")
    assert findings.empty
    assert all(shape.distance(PLOT.centroid) < 1e-8 for shape in plots.geometry)


@settings(max_examples=30, deadline=None)
@given(st.floats(-179, 179), st.floats(-60, 60))
def test_the_way_there_and_back(lon: float, lat: float) -> None:
    zone = f"{int((lon + 180) // 6) + 1}{'N' if lat >= 0 else 'S'}"
    there = gpd.GeoSeries([shapely.Point(lon, lat)], crs="EPSG:4326").to_crs(epsg(zone)).iloc[0]
    if abs(there.y) < 1000:  # at the equator metres cannot be told from degrees
        return
    plots, _ = to_plots(pd.DataFrame({"id": ["1"], "x": [there.x], "y": [there.y]}), crs=epsg(zone))
    assert plots.geometry.iloc[0].distance(shapely.Point(lon, lat)) < 1e-7


def test_outlines_as_text_in_metres_follow_the_given_crs() -> None:
    shape = gpd.GeoSeries([PLOT], crs="EPSG:4326").to_crs("EPSG:32616").iloc[0]
    table = pd.DataFrame({"id": ["1"], "wkt": [shape.wkt]})
    with pytest.raises(CrsError, match="EPSG:32616"):
        to_plots(table, country="HN")
    plots, _ = to_plots(table, crs="EPSG:32616")
    assert shapely.hausdorff_distance(plots.geometry.iloc[0], PLOT) < 1e-7


def test_a_row_in_degrees_among_metres_is_a_finding_of_its_own(tmp_path: Path) -> None:
    path = metres(tmp_path)
    table = pd.read_csv(path)
    table.loc[1, ["X", "Y"]] = [-87.2, 14.1]
    plots, findings = to_plots(table, crs="EPSG:32616")
    assert plots.geometry.isna().tolist() == [False, True, False]
    assert "degrees" in findings["message"].iloc[0]


def test_few_metres_among_degrees_are_left_to_the_checks() -> None:
    plots, _ = to_plots(pd.DataFrame({"id": [1, 2, 3], "lon": [-87.2, -87.1, 478_000], "lat": [14.1, 14.2, 1_555_000]}))
    assert plots.geometry.iloc[2].x == 478_000


def test_a_column_of_zones_brings_each_row_where_it_is(tmp_path: Path) -> None:
    # the same numbers in zones 16 and 17 lie six degrees of longitude apart
    table = pd.read_csv(metres(tmp_path)).assign(zona=["16N", "17 N", "UTM zone 16 North"])
    plots, findings = to_plots(table, name="utm.csv")
    assert np.round(plots.geometry.x.to_numpy() - PLOT.centroid.x, 6).tolist() == [0, 6, 0]
    assert findings["code"].tolist() == ["utm_zone"]
    assert "16N (2 rows), 17N (1 rows), as the column 'zona' says" in findings["message"].iloc[0]
    assert plots["zona"].tolist()[0] == "16N"


def test_a_zone_without_its_half_of_the_earth_counts_where_the_country_has_one(tmp_path: Path) -> None:
    table = pd.read_csv(metres(tmp_path)).assign(huso=16)
    plots, _ = to_plots(table, country="HN")
    assert all(shape.distance(PLOT.centroid) < 1e-8 for shape in plots.geometry)
    with pytest.raises(CrsError, match="its coordinates are metres"):
        to_plots(table)


def test_a_given_crs_counts_before_a_column_of_zones(tmp_path: Path) -> None:
    plots, findings = to_plots(pd.read_csv(metres(tmp_path)).assign(zona="17N"), crs="EPSG:32616")
    assert plots.geometry.iloc[0].distance(PLOT.centroid) < 1e-8
    assert findings.empty


def test_a_zone_that_is_a_district_is_none() -> None:
    table = pd.DataFrame({"id": [1], "lon": [-87.2], "lat": [14.1], "zona": ["16N"]})
    plots, findings = to_plots(table)
    assert plots.geometry.iloc[0].x == -87.2  # degrees stay degrees
    assert plots["zona"].tolist() == ["16N"]
    assert findings.empty
    with pytest.raises(CrsError, match="its coordinates are metres"):
        to_plots(table.assign(lon=478_000.0, lat=1_555_000.0, zona="Norte"))


def test_rows_without_a_zone_stay_in_metres_for_the_checks(tmp_path: Path) -> None:
    plots, _ = to_plots(pd.read_csv(metres(tmp_path)).assign(zona=["16N", "16N", ""]))
    assert plots.geometry.iloc[2].x > 400_000


def test_degrees_that_are_said_to_be_metres_are_refused(tmp_path: Path) -> None:
    plots = gpd.GeoDataFrame({"id": [1]}, geometry=[PLOT], crs="EPSG:4326")
    with pytest.raises(CrsError, match="coordinates are degrees"):
        to_plots(plots.set_crs("EPSG:32616", allow_override=True))
    with pytest.raises(CrsError, match="coordinates are degrees"):
        to_plots(pd.DataFrame({"id": [1], "lon": [-87.2], "lat": [14.1]}), crs="EPSG:32616")


def shapefile(folder: Path, crs: str | None) -> Path:
    plots = gpd.GeoDataFrame({"plot_id": ["1"]}, geometry=[PLOT], crs="EPSG:4326").to_crs("EPSG:32616")
    path = folder / "plots.shp"
    plots.to_file(path)
    if crs is None:
        path.with_suffix(".prj").unlink()
    else:
        gpd.GeoSeries([shapely.Point(0, 0)], crs=crs).to_file(folder / "other.shp")
        path.with_suffix(".prj").write_bytes((folder / "other.prj").read_bytes())
    return path


def test_a_missing_prj_asks_for_a_crs_and_takes_one(tmp_path: Path) -> None:
    path = shapefile(tmp_path, None)
    with pytest.raises(CrsError, match=r"--crs EPSG:"):
        read_plots(path)
    plots, findings = read_plots(path, crs="EPSG:32616")
    assert shapely.hausdorff_distance(plots.geometry.iloc[0], PLOT) < 1e-7
    assert findings.empty


def test_a_wrong_prj_is_overruled_and_that_is_said(tmp_path: Path) -> None:
    path = shapefile(tmp_path, "EPSG:4326")
    with pytest.raises(CrsError, match="coordinates are metres"):
        read_plots(path)
    plots, findings = read_plots(path, crs="EPSG:32616")
    assert shapely.hausdorff_distance(plots.geometry.iloc[0], PLOT) < 1e-7
    assert findings["code"].tolist() == ["crs_given"]


def test_an_unknown_crs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrsError, match="no coordinate reference system 'EPSG:1'"):
        read_plots(metres(tmp_path), crs="EPSG:1")


def test_zones_hold_the_countrys_land() -> None:
    assert utm_zones("HN") == ("16N", "17N")
    assert {"36N", "36S", "37N", "37S"} <= set(utm_zones("KE"))  # on both sides of the equator
    assert utm_zones("ZZ") == ()


def test_no_number_is_taken_for_metres_that_can_be_degrees() -> None:
    assert not in_metres(np.array([np.inf, np.nan, 180.0, 1e300]), np.array([1e300, 5e5, 90.0, 5e5])).any()
