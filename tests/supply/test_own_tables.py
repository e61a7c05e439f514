"""A user's own crop by small tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geomap.errors import ColumnError, GeomapError, NumberError, UnknownNameError
from geomap.supply.choice import choose
from geomap.supply.crop_tables import CropTables, reference_tables
from geomap.supply.crops import age_factor, base_yield, conversion, crop, usual_density
from geomap.supply.own_tables import read_crop_tables

VANILLA = {
    "crops": "crop,title,default_form,planted_share,names\nVanilla,vanilla,cured,0.8,vainilla; vanille\n",
    "forms": "crop,form,title\nvanilla,Cured,cured vanilla\nvanilla,green pods,green vanilla pods\n",
    "conversions": "crop,from_form,to_form,factor,cv,source,support\n"
    "vanilla,green pods,cured,0.18,0.1,our mill,strong\n",
    "yields": "crop;country;form;kg_ha;basis\nvanilla;Madagascar;green pods;1,5;en producción\nvanilla;world;;200;\n",
    "ages": "crop,year_from,factor\nvanilla,3,1\nvanilla,0,0\n",
    "calendar": "crop,country,month,share\nvanilla,MG,6,50 %\nvanilla,MG,7,50 %\n",
    "densities": "crop,country,trees_ha\nvanilla,MG,4000\n",
}


def tables_of(folder: Path, texts: dict[str, str]) -> CropTables:
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    tables, findings = read_crop_tables([folder / f"{name}.csv" for name in texts])
    assert findings.empty
    return tables


def test_a_crop_of_ones_own_is_estimated_as_ours_are(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, VANILLA)
    chosen = choose("Vainilla", "MG", season="2026/27", tables=tables)
    assert (chosen.crop.name, chosen.crop.planted_share, chosen.crop.incompatible) == ("vanilla", 0.8, "tree_crop")
    assert (chosen.base.kg_ha, chosen.base.form, chosen.base.basis) == (1.5, "green-pods", "bearing")
    assert (chosen.conversion.factor, chosen.conversion.cv, chosen.conversion.source) == (0.18, 0.1, "our mill")
    assert chosen.form_title == "cured vanilla"
    assert chosen.calendar[[6, 7, 8]].tolist() == [0.5, 0.5, 0.0]
    assert age_factor("vanilla", [2, 3, 40, np.nan], tables=tables).tolist() == [0, 1, 1, 1]
    assert usual_density("vanilla", "MG", tables=tables) == 4000
    assert base_yield("vanilla", "KE", tables=tables).kg_ha == 200


def test_the_order_of_the_files_does_not_matter(tmp_path: Path) -> None:
    first = tables_of(tmp_path, VANILLA)
    second = tables_of(tmp_path, dict(reversed(VANILLA.items())))
    for name in ("crops", "forms", "conversions", "base_yields", "age_curves", "calendars", "densities"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(second, name))


def test_own_rows_take_the_place_of_ours_and_leave_the_others(tmp_path: Path) -> None:
    texts = {
        "y": "crop,country,kg_ha\ncoffee,HN,900\n",
        "c": "crop,from_form,to_form,factor\ncafé,pergamino,oro,0.82\n",
        "a": "crop,year_from,factor\ncoffee,0,0.5\n",
    }
    tables = tables_of(tmp_path, texts)
    assert base_yield("coffee", "HN", tables=tables).kg_ha == 900
    assert base_yield("arabica", "HN", tables=tables).kg_ha == 900
    assert base_yield("coffee", "GT", tables=tables).kg_ha == 667
    assert conversion("coffee", "parchment", "green", tables=tables).factor == 0.82
    assert age_factor("coffee", [1, 50], tables=tables).tolist() == [0.5, 0.5]
    assert age_factor("cocoa", [1], tables=tables).tolist() == [0.0]
    assert base_yield("coffee", "HN").kg_ha == 1150


def test_no_row_is_without_source_and_support(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, VANILLA)
    for name in ("crops", "conversions", "base_yields", "age_curves", "calendars", "densities"):
        table = getattr(tables, name)
        assert table["source"].str.len().gt(3).all(), name
        assert table["support"].isin(["strong", "medium", "weak"]).all(), name
        own = table[table["crop"] == "vanilla"]
        assert own["source"].str.startswith(("given by the user (", "our mill")).all(), name


def test_a_kind_of_ours_needs_a_name_alone(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, {"k": "crop,kind_of,default_form\nliberica,coffee,green\n"})
    assert base_yield("liberica", "HN", tables=tables).crop == "coffee"
    assert conversion("liberica", "parchment", "green", tables=tables).factor == 0.8


def test_a_crop_of_hives_needs_no_land(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, {"k": "crop,unit,default_form\nwax,hive,wax\n", "y": "crop,country,kg_ha\nwax,MX,1\n"})
    found = crop("wax", tables=tables)
    assert (found.unit, found.incompatible, base_yield("wax", "MX", tables=tables).basis) == ("hive", "", "hive")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("crop,country,kg_ha\nvanille,MG,5\n", UnknownNameError, "No crop is called 'vanille'"),
        ("crop,country,kg_ha\ncoffee,Atlantis,5\n", UnknownNameError, "No country is called 'Atlantis'"),
        ("crop,country,kg_ha\ncoffee,HN,\n", NumberError, "row 1: kg_ha is empty or missing"),
        ("crop,country,kg_ha\ncoffee,HN,-5\n", NumberError, "row 1: kg_ha holds '-5'"),
        ("crop,country,kg_ha\ncoffee,HN,5\ncoffee,Honduras,6\n", ColumnError, "two rows for coffee, HN"),
        ("crop,country,form,kg_ha\ncoffee,HN,dust,5\n", UnknownNameError, "No product form is called 'dust'"),
        ("crop,country,kg_ha\n,HN,5\n", ColumnError, "row 1: crop is empty"),
        ("crop,year_from,factor\ncoffee,3,1\n", ColumnError, "begins with year 3"),
        ("crop,country,month,share\ncoffee,HN,1,0.5\n", ColumnError, "add up to 0.5"),
        ("crop,country,month,share\ncoffee,HN,13,1\n", NumberError, "month holds '13'"),
        ("crop,from_form,to_form,factor\ncoffee,green,parchment,0\n", NumberError, "factor holds '0'"),
        ("crop,default_form\ncoffee,dust\n", ColumnError, "default form 'dust'"),
        ("crop,unit,default_form\nfish,pond,dry\n", ColumnError, "unit is 'pond'"),
        ("member,area\nA,1\n", ColumnError, "none of the tables of a crop"),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_words(
    tmp_path: Path, text: str, kind: type[GeomapError], words: str
) -> None:
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    with pytest.raises(kind, match=words):
        read_crop_tables([tmp_path / "own.csv"])


def test_a_column_that_is_not_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("crop,country,kg_ha,sourse\ncoffee,HN,900,office\n")
    _, findings = read_crop_tables([tmp_path / "own.csv"])
    assert findings["code"].tolist() == ["unknown_column"]


def test_our_tables_stay_as_they_are(tmp_path: Path) -> None:
    before = {name: getattr(reference_tables(), name).copy() for name in ("crops", "forms", "base_yields")}
    tables_of(tmp_path, VANILLA)
    for name, table in before.items():
        pd.testing.assert_frame_equal(getattr(reference_tables(), name), table)
