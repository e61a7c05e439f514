"""The main job on real land cover: cocoa on São Tomé, an island that lives on it and has 40 ha of mapped cropland."""

import numpy as np
import pytest

from geomap.landcover.extract import class_areas
from geomap.landcover.product import product
from geomap.plots.area import area_ha
from geomap.plots.formats import read_plots
from geomap.plots.table import to_plots
from geomap.run import estimate_files
from geomap.simulate import plots_on_raster

SAO_TOME = (6.4, 0.0, 6.8, 0.45)
BASE_YIELD = 109  # kg of dry cocoa per planted hectare, FAO's ten-year mean
CROPLAND, TREE = 40, 10


@pytest.fixture(scope="module")
def tile(shared_data):
    return shared_data / "landcover" / "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"


@pytest.fixture(scope="module")
def run(tile, tmp_path_factory):
    plots = plots_on_raster(
        tile, rng=np.random.default_rng(11), n=1500, window=SAO_TOME, cooperatives=3, country="ST", crop="cocoa"
    )
    path = tmp_path_factory.mktemp("cocoa") / "plots.geojson"
    plots.to_file(path, driver="GeoJSON")
    return estimate_files(
        path, [tile], product="esa-worldcover-2021", crop="cocoa", country="ST", season="2026/27"
    )  # fmt: skip


def test_cocoa_under_trees_is_not_zero(run):
    by_class = run.classes.groupby("class")["area_ha"].sum()
    assert by_class[TREE] > 0.9 * by_class.sum()
    assert by_class.get(CROPLAND, 0.0) < 0.01 * by_class.sum()
    density = run.total["potential_kg"] / run.total["area_ha"]
    assert 0.9 * BASE_YIELD < density <= BASE_YIELD


def test_class_areas_add_up_to_plot_areas(run):
    sums = run.classes.groupby("plot_id")["area_ha"].sum()
    assert len(sums) == len(run.plots) > 1400
    assert np.abs(sums / run.plots["area_ha"].reindex(sums.index) - 1).max() < 1e-6


def test_every_plot_is_accounted_for(run):
    left_out = run.findings[run.findings["action"] == "left_out"]["plot_id"].nunique()
    assert len(run.plots) + left_out == 1500


def test_the_whole_island_has_the_published_hectares(tile, tmp_path):
    # Window 6.4–6.8 E, 0–0.45 N of the 2021 map, hectares as counted with ellipsoidal cells.
    import geopandas as gpd
    import shapely

    island = gpd.GeoDataFrame({"plot_id": ["island"]}, geometry=[shapely.box(*SAO_TOME)], crs="EPSG:4326")
    found = class_areas(to_plots(island)[0], [tile], product("esa-worldcover-2021")).classes
    hectares = found.set_index("class")["area_ha"]
    published = {10: 79_118, 20: 3, 30: 3_073, 40: 40, 50: 1_479, 60: 997, 90: 13, 95: 40}
    assert {code: round(hectares[code]) for code in published} == published


def test_the_whisp_example_plots_are_measured_hole_by_hole(shared_data):
    plots, findings = read_plots(shared_data / "plots" / "whisp_example.geojson")
    area = area_ha(plots.geometry)
    assert len(plots) == 50
    assert plots.geometry.is_valid.all()
    assert findings.empty
    assert (area <= 4).sum() == 27
    # 5,430.897 ha is what a signed geodesic sum gives; with edges straight in lon/lat it is 5,430.9107. One hole of
    # 0.3541 ha runs the way of its shell, so that sum adds it: 5,430.9107 − 2 × 0.3541 = 5,430.2025.
    assert area.sum() == pytest.approx(5430.2025, abs=1e-3)
