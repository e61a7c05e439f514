"""Land cover at the command line, as somebody uses it who is careless or means harm: no silent wrong number."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from rasterio.transform import from_origin

from geomap.errors import ColumnError, CrsError, NumberError, OutputError, RasterError
from geomap.landcover.download import fetch
from geomap.landcover.extract import class_areas
from geomap.landcover.layer import layer_values
from geomap.landcover.own_product import own_product
from geomap.landcover.product import product
from geomap.landcover.reference_sample import class_codes, read_mapped_areas, read_reference_sample
from geomap.landcover.source import check_rasters
from geomap.landcover.tiles import addresses
from geomap.landcover.virtual import own_rasters

CODES = np.array([[10, 40], [50, 60]], dtype="uint8").repeat(50, axis=0).repeat(50, axis=1)
AT_SITE = 'LOCAL_CS["site",UNIT["metre",1]]'


def plots_of(*shapes):
    ids = [f"P{number}" for number in range(len(shapes))]
    return gpd.GeoDataFrame(geometry=list(shapes), index=ids, crs="EPSG:4326").rename_axis("plot_id")


def geomap(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "geomap.cli", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=os.environ, check=False,
    )  # fmt: skip


# ---- units of the coordinate system ----


def in_crs(crs, west, north):
    """CODES with cells of about 10 m whose corner lies at this longitude and latitude; place of the corner and cell."""
    transformer = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = transformer.transform(west, north)
    cell = transformer.transform(west, north + 1e-4)[1] - y
    return {"transform": from_origin(x, y, cell, cell), "crs": crs}


@pytest.mark.parametrize(
    ("crs", "west", "north"),
    [
        ("EPSG:2274", -86.5, 36.0),
        ("EPSG:4267", -86.5, 36.0),
        ("EPSG:4807", 2.5, 48.5),
        ("EPSG:32616", -86.5, 36.0),
        ("EPSG:4326", -86.5, 36.0),
    ],
    ids=["feet", "ellipsoid of 1866", "grads", "metres", "degrees"],
)
def test_hectares_are_the_plots_whatever_the_unit_of_the_raster(write_raster, worldcover, crs, west, north):
    path = write_raster(CODES, **in_crs(crs, west, north))
    plot = plots_of(shapely.box(west + 0.002, north - 0.008, west + 0.008, north - 0.002))
    found = class_areas(plot, [path], worldcover)
    geodesic = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(plot.geometry.iloc[0])[0]) / 1e4
    assert found.classes["class"].tolist() == [10, 40, 50, 60]  # nothing outside, nothing without data
    assert found.classes["area_ha"].sum() == pytest.approx(geodesic, rel=1e-6)
    assert found.cover["cell_area_m2"].iloc[0] == pytest.approx(geodesic * 1e4 / 3600, rel=0.5)  # about 60 × 60 cells


@pytest.mark.parametrize("crs", ["EPSG:2274", "EPSG:4807"], ids=["feet", "grads"])
def test_a_layer_in_feet_or_grads_covers_the_whole_plot(write_raster, crs):
    west, north = (-86.5, 36.0) if crs == "EPSG:2274" else (2.5, 48.5)
    path = write_raster(CODES, **in_crs(crs, west, north))
    plot = plots_of(shapely.box(west + 0.002, north - 0.008, west + 0.008, north - 0.002))
    values = layer_values(plot, [path]).values.iloc[0]
    assert values["covered"] == pytest.approx(1)
    assert values["outside_ha"] == values["nodata_ha"] == 0


def test_the_finer_raster_speaks_first_where_one_is_in_grads(write_raster, worldcover):
    # .00011 grads are .000099 degrees, finer than .0001 degrees, though the number is larger
    degrees = write_raster(np.full((100, 100), 10), west=2.5, north=48.5, cell=1e-4, name="a.tif")
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:4807", always_xy=True).transform(2.5, 48.5)
    place = from_origin(x, y, 1.1e-4, 1.1e-4)
    grads = write_raster(np.full((100, 100), 50), transform=place, crs="EPSG:4807", name="b.tif")
    plot = plots_of(shapely.box(2.502, 48.492, 2.508, 48.498))
    assert class_areas(plot, [degrees, grads], worldcover).classes["class"].tolist() == [50]


@pytest.mark.parametrize("crs", [AT_SITE, "EPSG:4978"], ids=["of a site", "geocentric"])
def test_a_coordinate_system_without_a_place_on_the_earth_is_refused(write_raster, worldcover, crs):
    path = write_raster(CODES, transform=from_origin(5, 9, 1, 1), crs=crs)
    plot = plots_of(shapely.box(5, 5, 6, 6))
    with pytest.raises(CrsError, match="not tied to the Earth"):
        class_areas(plot, [path], worldcover)
    with pytest.raises(CrsError, match="not tied to the Earth"):
        layer_values(plot, [path])


# ---- layers ----


def test_the_mean_of_equal_cells_is_their_value(write_raster):
    path = write_raster(np.full((100, 100), 1000), dtype="float32", west=0, north=0.01, cell=1e-4)
    rng = np.random.default_rng(1)
    corners = rng.uniform(0.001, 0.007, (50, 2))
    plots = plots_of(*[shapely.Point(x, y).buffer(0.0009) for x, y in corners])
    assert set(layer_values(plots, [path]).values["mean"]) == {1000.0}  # and not 999.9999999999999, a band lower


def test_a_layer_of_complex_numbers_is_refused(write_raster):
    path = write_raster(CODES.astype("complex64"), dtype="complex64", cell=1e-4)
    with pytest.raises(RasterError, match="complex"):
        layer_values(plots_of(shapely.box(0.001, -0.002, 0.002, -0.001)), [path])


# ---- names that are no files ----


@pytest.mark.parametrize("name", ["x" * 400 + ".tif", "x" * 400 + ".vrt"])
def test_a_name_that_no_disk_can_hold_is_no_file(worldcover, name):
    with pytest.raises(RasterError, match="There is no file"):
        check_rasters(own_rasters([name]), worldcover)


@pytest.mark.parametrize(
    "text",
    [
        b'<?xml version="1.0" encoding="klingon"?><VRTDataset/>',
        b"<VRTDataset><VRTRasterBand><SimpleSource><SourceFilename>%s.tif</SourceFilename></SimpleSource>"
        b"</VRTRasterBand></VRTDataset>" % (b"a" * 400),
    ],
    ids=["encoding", "long name"],
)
def test_a_virtual_raster_that_cannot_be_meant_is_refused(tmp_path, text):
    (tmp_path / "map.vrt").write_bytes(text)
    with pytest.raises(RasterError, match=r"map\.vrt"):
        own_rasters([str(tmp_path / "map.vrt")])


# ---- legends ----


def legend_of(tmp_path, text):
    (tmp_path / "legend.csv").write_text(text, encoding="utf-8")
    return own_product(tmp_path / "legend.csv")


def test_a_legend_that_leaves_no_code_for_no_data_is_refused(tmp_path):
    with pytest.raises(NumberError, match="0, 255, 65535"):
        legend_of(tmp_path, "code,name\n0,Lake\n255,Field\n65535,Wood\n")
    assert legend_of(tmp_path, "code,name\n0,Lake\n255,Field\n65535,Wood\n7,no data\n").nodata == 7


@pytest.mark.parametrize("code", ["1_0", "0x0a", "10.0", "1e1"])
def test_a_code_is_written_in_plain_digits(tmp_path, code):
    with pytest.raises(NumberError, match="Codes are whole numbers"):
        legend_of(tmp_path, f"code,name\n{code},Wood\n")


def test_a_name_of_two_classes_stands_for_neither(tmp_path):
    own = legend_of(tmp_path, "code,name\n1,Wood\n2,wood\n3,Field (open)\n4,Field (closed)\n5,Lake (deep)\n")
    codes = class_codes(own)
    assert "wood" not in codes and "field" not in codes
    assert (codes["1"], codes["fieldopen"], codes["lake"]) == (1, 3, 5)


# ---- samples ----


def matrix_of(tmp_path, text):
    (tmp_path / "matrix.csv").write_text(text, encoding="utf-8")
    return read_reference_sample(tmp_path / "matrix.csv")[0]


def test_classes_of_a_matrix_are_the_same_however_they_are_capitalised(tmp_path):
    as_one = matrix_of(tmp_path, "map,tree,crop\ntree,8,2\ncrop,1,9\n")
    pd.testing.assert_frame_equal(matrix_of(tmp_path, "map,Tree,CROP\ntree,8,2\ncrop,1,9\n"), as_one)


def test_a_matrix_whose_rows_and_columns_name_other_classes_is_refused(tmp_path):
    with pytest.raises(ColumnError, match="no class of the map"):
        matrix_of(tmp_path, "map,wood,field\ntree,8,2\ncrop,1,9\n")


def test_a_size_that_is_not_told_is_not_0(tmp_path):
    (tmp_path / "areas.csv").write_text("class,area_ha\ntree,\ncrop,40\n", encoding="utf-8")
    with pytest.raises(NumberError, match="row 1"):
        read_mapped_areas(tmp_path / "areas.csv")


# ---- downloads ----


def test_a_plot_on_both_sides_of_180_degrees_asks_for_two_tiles():
    both = shapely.MultiPolygon([shapely.box(179.999, -16.5, 180, -16.49), shapely.box(-180, -16.5, -179.999, -16.49)])
    asked = addresses(plots_of(both), product("esa-worldcover-2021"), base_url="http://127.0.0.1")
    assert [address.rpartition("_v200_")[2] for address in asked] == ["S18E177_Map.tif", "S18W180_Map.tif"]


@pytest.mark.parametrize("address", ["http://[::1/a.tif", "ftp://127.0.0.1/a.tif"])
def test_what_is_no_address_makes_no_folder(tmp_path, worldcover, address):
    with pytest.raises(RasterError, match="no http or https address"):
        fetch(plots_of(shapely.box(0, 0, 1, 1)), [address], worldcover, tmp_path / "out")
    assert not (tmp_path / "out").exists()


ENTRY = {
    "address": "http://127.0.0.1:9/a.tif", "sha256": "", "blocks": [[0, 0]],
    "grid": {
        "crs": pyproj.CRS("EPSG:4326").to_wkt(), "transform": [0.1, 0, 0, 0, -0.1, 1], "width": 9, "height": 9,
        "block": [9, 9],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        {"grid": {}}, {"blocks": None}, {"blocks": ["x"]}, {"grid": {**ENTRY["grid"], "crs": "nonsense"}},
        {"grid": {**ENTRY["grid"], "transform": [1]}}, {"grid": {**ENTRY["grid"], "block": [0, 0]}},
        {"grid": {**ENTRY["grid"], "width": "x"}}, {"blocks": [[999, 999]]}, {"blocks": [[-5, -5]]},
    ],
    ids=["grid", "no blocks", "blocks", "crs", "transform", "block of none", "width", "far block", "block below 0"],
)  # fmt: skip
def test_a_manifest_that_was_edited_means_that_the_file_is_asked_for_anew(tmp_path, worldcover, damage):
    files = {"a.tif": {**ENTRY, **damage}}
    told = {"product": worldcover.name, "version": worldcover.version, "files": files}
    (tmp_path / "download.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(RasterError, match=r"127\.0\.0\.1 cannot be reached"):  # it went to the server: nothing listens
        fetch(plots_of(shapely.box(0.1, 0.1, 0.2, 0.2)), [ENTRY["address"]], worldcover, tmp_path)


def test_a_folder_in_the_place_of_the_manifest_is_told(tmp_path, worldcover):
    (tmp_path / "download.json").mkdir()
    with pytest.raises(OutputError, match=r"download\.json"):
        fetch(plots_of(shapely.box(0.1, 0.1, 0.2, 0.2)), [ENTRY["address"]], worldcover, tmp_path)


# ---- the command line ----


@pytest.fixture
def field(tmp_path, write_raster):
    """A folder with a raster, two plots, a matrix and sizes."""
    write_raster(CODES, west=-88.0, north=14.8, cell=1e-4)
    shapes = [shapely.box(-87.998, 14.792, -87.992, 14.798), shapely.box(-87.99999, 14.79999, -87.99998, 14.8)]
    plots = plots_of(*shapes).reset_index().assign(member_id=["M1", "M2"], cooperative_id="C1")
    plots.iloc[:1].to_file(tmp_path / "plots.geojson", driver="GeoJSON")
    plots.iloc[1:].to_file(tmp_path / "tiny.geojson", driver="GeoJSON")
    (tmp_path / "matrix.csv").write_text("map,=1+1,crop\n=1+1,8,2\ncrop,1,9\n", encoding="utf-8")
    (tmp_path / "areas.csv").write_text("class,area_ha\n=1+1,60\ncrop,40\n", encoding="utf-8")
    return tmp_path


MAP = ["--raster", "map.tif", "--product", "esa-worldcover-2021"]


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (["plots.geojson", *MAP, "--out", "plots.geojson"], "plots.geojson"),
        (["plots.geojson", *MAP, "--out", "./map.tif"], "map.tif"),
        (["accuracy", "matrix.csv", "--areas", "areas.csv", "--out", "matrix.csv"], "matrix.csv"),
        (["accuracy", "matrix.csv", "--areas", "areas.csv", "--out", "areas.csv"], "areas.csv"),
    ],
)
def test_a_result_never_takes_the_place_of_what_is_read(field, command, kept):
    before = (field / kept).read_bytes()
    done = geomap("landcover", *command, cwd=field)
    assert (done.returncode, "is a file that is read" in done.stderr) == (2, True), done.stderr
    assert (field / kept).read_bytes() == before


def test_accuracies_are_written_whole_and_without_formulas(field):
    command = ["landcover", "accuracy", "matrix.csv", "--areas", "areas.csv", "--out"]
    done = geomap(*command, "new/accuracy.csv", cwd=field)
    assert done.returncode == 0, done.stderr
    assert set(pd.read_csv(field / "new" / "accuracy.csv")["class"].dropna()) == {"'=1+1", "crop"}
    refused = geomap(*command, "new", cwd=field)
    assert (refused.returncode, "cannot be written" in refused.stderr) == (2, True), refused.stderr
    assert [path.name for path in (field / "new").iterdir()] == ["accuracy.csv"]


@pytest.mark.parametrize(
    ("plots", "more", "words"),
    [("plots.geojson", ["--seed", "-1"], "--seed"), ("tiny.geojson", [], "No class has room for a point")],
)
def test_a_plan_that_cannot_be_leaves_no_sheet(field, plots, more, words):
    done = geomap("landcover", "sample-plan", plots, *MAP, "--out", "plan", *more, cwd=field)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert not Path(field / "plan").exists()


def test_a_legal_case_agrees_with_another_program(field):
    from exactextract import exact_extract

    plots = gpd.read_file(field / "plots.geojson")
    (theirs,) = exact_extract(str(field / "map.tif"), plots, ["unique", "frac"], output="pandas").itertuples(
        index=False
    )
    done = geomap("landcover", "plots.geojson", *MAP, cwd=field)
    ours = pd.read_csv(io.StringIO(done.stdout)).set_index("class")["area_ha"]
    shares = dict(zip(theirs.unique.astype(int), theirs.frac, strict=True))
    assert (ours / ours.sum()).to_dict() == pytest.approx(shares, abs=1e-4)  # their cells are all of one size
