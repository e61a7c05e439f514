"""What land-cover products say: legends, colours, no data, thresholds, shares, and what they cannot bear."""

import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geomap import reference
from geomap.errors import ColumnError, FileError, GeomapError, NumberError, RasterError, UnknownNameError
from geomap.landcover.extract import NO_DATA, UNKNOWN, class_areas
from geomap.landcover.own_product import own_product
from geomap.landcover.product import product, product_names, require_comparable, require_estimate
from geomap.outputs.report import class_words
from geomap.supply.crops import conversion, crop, own_base_yield
from geomap.supply.potential import plot_potential

WEST, NORTH, CELL = -88.7, 14.7, 1 / 1200


def plot_of(columns, rows=1):
    box = shapely.box(WEST, NORTH - rows * CELL, WEST + columns * CELL, NORTH)
    return gpd.GeoDataFrame(geometry=[box], index=pd.Index(["P"], name="plot_id"), crs="EPSG:4326")


def shares(write_raster, codes, legend, **options):
    """Share of each class in a plot over a row of cells."""
    codes = np.atleast_2d(codes)
    raster = write_raster(codes, west=WEST, north=NORTH, cell=CELL, **options)
    found = class_areas(plot_of(codes.shape[1]), [raster], legend)
    area = found.classes.set_index("class")["area_ha"]
    return (area / area.sum()).round(6).to_dict(), found


# ---- what stands in every product ----


def test_products_and_their_years_are_known():
    families = {re.sub(r"-\d{4}$", "", name) for name in product_names()}
    assert families == {
        "esa-worldcover", "esri-lulc", "dynamic-world", "cgls-lc100", "mapbiomas-brazil", "jrc-gfc2020", "jrc-gft2020",
        "hansen-loss", "hansen-treecover", "jrc-tmf", "fdp-coffee", "fdp-cocoa", "fdp-palm", "fdp-rubber",
    }  # fmt: skip
    for name in product_names():
        year = re.search(r"\d{4}$", name)
        assert product(name).year == int(year[0])


@pytest.mark.parametrize("name", product_names())
def test_every_class_has_a_name_a_colour_and_says_whether_it_is_trees(name):
    legend = product(name).legend
    assert len(legend) >= 2 and legend.index.is_unique
    assert legend["name"].str.len().gt(2).all() and legend["color"].str.fullmatch("#[0-9a-f]{6}").all()
    assert legend[["tree_crop", "tree_cover"]].isin([0, 1]).all(axis=None)
    assert not {product(name).nodata, *product(name).also_nodata} & set(legend.index)


@pytest.mark.parametrize("name", product_names())
def test_trees_are_called_tree_cover_on_pages_and_never_forest(name):
    for code, row in product(name).legend.iterrows():
        words = class_words(int(code), row["name"])
        if row["tree_cover"]:
            assert words.startswith("tree cover") and "includes shade coffee and cocoa" in words
            assert "forest" not in words.lower()


@pytest.mark.parametrize("name", product_names())
def test_a_product_bears_an_estimate_only_with_an_accuracy_of_each_class_that_it_rules_out(name):
    made = product(name)
    out = made.legend[made.legend["tree_crop"] == 0]
    if not made.no_estimate:
        assert len(out) >= 1
        assert out["users_accuracy"].between(0.05, 1).all() and out["users_se"].between(0.001, 0.2).all()


def test_every_row_of_the_tables_has_a_source_and_a_support():
    for name in ("products", "legends", "accuracies"):
        table = reference.table(name)
        assert table["source"].str.len().gt(2).all()
        assert table["support"].isin(["strong", "medium", "weak"]).all()
    products = reference.table("products")
    assert set(products["legend"]) == set(reference.table("legends")["legend"])
    assert set(reference.table("accuracies")["product"]) <= {*products["product"], *products["legend"]}


def test_published_codes_and_colours():
    published = {
        "esa-worldcover-2021": "10 #006400 20 #ffbb22 30 #ffff4c 40 #f096ff 50 #fa0000 60 #b4b4b4 70 #f0f0f0 "
        "80 #0064c8 90 #0096a0 95 #00cf75 100 #fae6a0",
        "esri-lulc-2023": "1 #419bdf 2 #397d49 4 #7a87c6 5 #e49635 7 #c4281b 8 #a59b8f 9 #a8ebff 11 #e3e2c3",
        "dynamic-world-2023": "0 #419bdf 1 #397d49 2 #88b053 3 #7a87c6 4 #e49635 5 #dfc35a "
        "6 #c4281b 7 #a59b8f 8 #b39fe1",
        "jrc-tmf-2024": "1 #005a00 2 #649b23 3 #ff870f 4 #d2fa3c 5 #008cbe 6 #ffffff",
        "jrc-gft2020": "0 #f0f0f0 1 #78c679 10 #006837 20 #cc6600",
    }
    for name, text in published.items():
        words = text.split()
        assert product(name).legend["color"].to_dict() == dict(zip(map(int, words[::2]), words[1::2], strict=True))
    assert product("mapbiomas-brazil-2023").legend.loc[46].tolist()[:3] == ["Coffee", "#d68fe2", 1]
    assert product("cgls-lc100-2019").legend.loc[112, "name"] == "Closed forest, evergreen broad leaf"
    assert product("hansen-loss-2025").legend.loc[[1, 25], "name"].tolist() == [
        "Tree cover lost in 2001", "Tree cover lost in 2025",
    ]  # fmt: skip


def test_an_unknown_name_suggests_a_known_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'esri-lulc-2023'"):
        product("esri-lulc-23")


# ---- no data is a rule of each product ----


def test_0_is_water_in_dynamic_world(write_raster):
    found, _ = shares(write_raster, [0, 0, 1, 255], product("dynamic-world-2023"), nodata=255)
    assert found == {0: 0.5, 1: 0.25, NO_DATA: 0.25}


def test_a_dynamic_world_file_that_calls_water_no_data_is_refused(write_raster):
    with pytest.raises(RasterError, match=r"declares 0 as no data.*'Water'.*would vanish"):
        shares(write_raster, [0, 1], product("dynamic-world-2023"), nodata=0)


def test_a_forest_map_counts_0_as_a_class_whatever_the_file_says(write_raster):
    found, _ = shares(write_raster, [0, 0, 1, 255], product("jrc-gfc2020"), nodata=0)
    assert found == {0: 0.5, 1: 0.25, NO_DATA: 0.25}


@pytest.mark.parametrize(
    ("name", "code"), [("esri-lulc-2023", 10), ("mapbiomas-brazil-2023", 27), ("cgls-lc100-2019", 255)]
)
def test_cloud_and_not_observed_are_no_data(write_raster, name, code):
    found, told = shares(write_raster, [code, 0, 20, 20], product(name))
    assert found[NO_DATA] == 0.5
    assert "nodata" in told.findings["code"].tolist()


def test_a_product_of_other_codes_is_told_by_its_unknown_classes(write_raster):
    found, told = shares(write_raster, [10, 10, 40, 80], product("esri-lulc-2023"))
    assert found == {NO_DATA: 0.5, UNKNOWN: 0.5}
    (message,) = told.findings.loc[told.findings["code"] == "unknown_class", "message"]
    assert "seen: 40, 80" in message


# ---- a raster of a quantity and its threshold ----


def test_a_probability_is_above_the_threshold_or_not(write_raster):
    values = [0.28, 0.29, 0.0, 1.0]  # above .28: two of four
    found, _ = shares(write_raster, values, product("fdp-coffee-2020"), dtype="float32", nodata=-9999)
    assert found == {0: 0.5, 1: 0.5}


def test_missing_and_impossible_probabilities_are_no_class(write_raster):
    values = [np.nan, -9999.0, 0.9, 1.5]
    found, told = shares(write_raster, values, product("fdp-coffee-2020"), dtype="float32", nodata=-9999)
    assert found == {1: 0.25, NO_DATA: 0.5, UNKNOWN: 0.25}
    assert {"nodata", "unknown_class"} <= set(told.findings["code"])


def test_the_scale_of_the_file_is_applied_before_the_threshold(write_raster):
    import rasterio

    raster = write_raster([[28, 29, 200, 250]], west=WEST, north=NORTH, cell=CELL, nodata=250)
    with rasterio.open(raster, "r+") as target:
        target.scales = [0.01]  # .28, .29, 2.0, no data
    found = class_areas(plot_of(4), [raster], product("fdp-coffee-2020")).classes["class"].tolist()
    assert found == [0, 1, NO_DATA, UNKNOWN]


def test_tree_canopy_in_percent_has_a_threshold_of_30(write_raster):
    found, _ = shares(write_raster, [0, 30, 31, 100, 255], product("hansen-treecover-2000"))
    assert found == {0: 0.4, 1: 0.4, NO_DATA: 0.2}


def test_class_codes_must_still_be_whole_numbers(write_raster):
    with pytest.raises(RasterError, match="float32 values, not class codes"):
        shares(write_raster, [10.0], product("esa-worldcover-2021"), dtype="float32")


@pytest.mark.parametrize(("name", "recall"), [("coffee", 0.70), ("cocoa", 0.94), ("palm", 0.81), ("rubber", 0.75)])
def test_the_share_below_the_threshold_follows_from_bayes(name, recall):
    # Of declared ground .9 is the crop; of the rest .05 lies above the threshold.
    crop_below, other_below = 0.9 * (1 - recall), 0.1 * 0.95
    legend = product(f"fdp-{name}-2020").legend
    assert 1 - legend.loc[0, "users_accuracy"] == pytest.approx(crop_below / (crop_below + other_below), abs=6e-4)
    assert legend["tree_crop"].tolist() == [0, 1]


# ---- from classes to the share that can bear the crop ----


def f_of(write_raster, codes, legend):
    plots = plot_of(len(codes), rows=len(codes))
    _, found = shares(write_raster, np.tile(codes, (len(codes), 1)), legend)
    usual = {
        "member_id": "M",
        "cooperative_id": "C",
        "kind": "measured",
        "area_ha": 1.0,
        "counted_area_ha": 1.0,
        "area_sd_ha": 0.1,
    }
    unknown = dict.fromkeys(["declared_area_ha", "planted_share", "planted_year", "hives"], np.nan)
    table = pd.DataFrame(usual | unknown, index=plots.index)
    items = plot_potential(
        table, found.classes, found.cover, legend=legend.legend, crop=crop("coffee"),
        base=own_base_yield("coffee", "HN", 1000), conversion=conversion("coffee", "green", "green"),
    )  # fmt: skip
    return items.table.loc["P", "f"]


@pytest.mark.parametrize(
    ("name", "codes", "expected"),
    [
        ("dynamic-world-2023", [0, 1, 1, 1], 1 - 0.25 * 0.92),  # water, right in 92 %
        ("esri-lulc-2023", [7, 2, 11, 5], 1 - 0.25 * 0.83),  # built area; rangeland and crops may bear coffee
        ("mapbiomas-brazil-2023", [46, 46, 39, 15], 1 - 0.25 * 0.85),  # soybean; pasture may be young coffee
        ("cgls-lc100-2019", [112, 20, 40, 80], 1 - 0.25 * 0.803),
        ("fdp-coffee-2020", [1, 1, 0, 0], 1 - 0.5 * 0.260),
    ],
)
def test_a_products_accuracy_sets_what_its_classes_rule_out(write_raster, name, codes, expected):
    assert f_of(write_raster, codes, product(name)) == pytest.approx(expected, abs=1e-6)


def test_an_own_share_is_what_is_left_of_the_class(write_raster, tmp_path):
    (tmp_path / "own.csv").write_text(
        "code,name,color,share\n1,Agroforest,#006400,\n2,Village,#fa0000,0.3\n3,Lake,,0\n"
    )
    legend = own_product(tmp_path / "own.csv")
    assert f_of(write_raster, [1, 2, 2, 3], legend) == pytest.approx(0.25 + 0.5 * 0.3)
    assert f_of(write_raster, [3, 3], legend) == 0


# ---- what a product cannot bear, and what cannot be compared ----


@pytest.mark.parametrize(
    "name", ["jrc-gfc2020", "jrc-gft2020", "hansen-loss-2025", "hansen-treecover-2000", "jrc-tmf-2024"]
)
def test_forest_alone_bears_no_estimate(name):
    with pytest.raises(RasterError, match="cannot bear an estimate of coffee") as caught:
        require_estimate(product(name), "coffee")
    assert caught.value.why and "esa-worldcover-2021" in caught.value.todo


def test_a_probability_bears_an_estimate_of_its_own_crop_alone():
    require_estimate(product("fdp-coffee-2020"), "coffee")
    require_estimate(product("fdp-coffee-2020"), "coffee-robusta")
    for other in ("cocoa", "honey", "vanilla"):
        with pytest.raises(RasterError, match="shows where coffee is likely"):
            require_estimate(product("fdp-coffee-2020"), other)


@pytest.mark.parametrize(
    "name", ["esa-worldcover-2020", "esri-lulc-2017", "dynamic-world-2020", "cgls-lc100-2019", "mapbiomas-brazil-2018"]
)
def test_land_cover_bears_an_estimate_of_every_crop(name):
    for one in ("coffee", "cocoa", "honey", "vanilla"):
        require_estimate(product(name), one)


def test_two_versions_of_worldcover_are_not_change():
    with pytest.raises(RasterError, match=r"version v100.*version v200.*change of the map, not of the ground"):
        require_comparable(product("esa-worldcover-2020"), product("esa-worldcover-2021"))


def test_two_products_are_not_change():
    with pytest.raises(RasterError, match="are different products"):
        require_comparable(product("esri-lulc-2020"), product("dynamic-world-2020"))


def test_two_years_of_one_version_can_be_compared(tmp_path):
    require_comparable(product("mapbiomas-brazil-2018"), product("mapbiomas-brazil-2023"))
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("code,name\n1,Trees\n2,Fields\n")
    own, other = (own_product(tmp_path / f"{name}.csv") for name in ("a", "b"))
    require_comparable(own, own)
    with pytest.raises(RasterError, match="are different products"):
        require_comparable(own, other)


# ---- the user's own product ----


def test_an_own_product_has_what_every_product_has(tmp_path):
    path = tmp_path / "Cobertura 2024.csv"
    path.write_text(
        "clase;nombre;cor;parte\n0;Bosque;#00AA00;\n5;Pueblo;;0,25\n9;No data;;\n;;;\n", encoding="utf-8-sig"
    )
    made = own_product(path)
    assert (made.name, made.nodata, made.year) == ("own-cobertura-2024", 9, 0)
    assert made.legend["name"].to_dict() == {0: "Bosque", 5: "Pueblo"}
    assert made.legend["tree_cover"].tolist() == [1, 0] and made.legend["tree_crop"].tolist() == [1, 0]
    assert made.legend.loc[0, "color"] == "#00aa00" and re.fullmatch("#[0-9a-f]{6}", made.legend.loc[5, "color"])
    assert made.legend["users_accuracy"].tolist() == [1.0, 0.75]
    assert set(made.legend.columns) == set(product("esa-worldcover-2021").legend.columns)
    require_estimate(made, "coffee")


def test_no_data_is_a_code_that_no_class_has(tmp_path):
    for text, expected in (("1,A\n", 0), ("0,A\n", 255), ("0,A\n255,B\n", 65_535)):
        (tmp_path / "own.csv").write_text(f"code,name\n{text}")
        assert own_product(tmp_path / "own.csv").nodata == expected


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("code,colour\n1,#000000\n", ColumnError, "no column name"),
        ("", ColumnError, "no column code and no column name"),
        ("code,name\n", ColumnError, "names no class"),
        ("code,name\n9,no data\n", ColumnError, "names no class"),
        ("code,name\n1,A\n1,B\n", NumberError, "names code 1 twice"),
        ("code,name\n1.5,A\n", NumberError, "gives '1.5' as the code of 'A'"),
        ("code,name\n-1,A\n", NumberError, "whole numbers from 0 to 65535"),
        ("code,name\n70000,A\n", NumberError, "whole numbers from 0 to 65535"),
        ("code,name,share\n1,A,30\n", NumberError, "number from 0 to 1"),
        ("code,name,share\n1,A,nan\n", NumberError, "number from 0 to 1"),
        ("code,name,color\n1,A,green\n", NumberError, "six hexadecimal digits"),
        ('code,name\n1,"A\n', FileError, "no CSV in UTF-8"),
        ("code,name\n1,\xff\n".encode("latin-1"), FileError, "no CSV in UTF-8"),
        ("code,name\n" + "1,A\n" * 300_000, FileError, "larger than a legend"),
    ],
)
def test_an_own_product_that_cannot_be_is_refused(tmp_path, text, error, words):
    (tmp_path / "own.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error, match=words) as caught:
        own_product(tmp_path / "own.csv")
    assert isinstance(caught.value, GeomapError) and caught.value.todo


def test_an_own_product_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FileError, match=r"no file own\.csv"):
        own_product(tmp_path / "own.csv")
