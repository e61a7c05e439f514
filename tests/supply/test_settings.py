"""What each cooperative is asked once: reading, impossible values, units."""

import re
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from geomap import reference
from geomap.errors import ColumnError, FileError
from geomap.plots.columns import ATTRIBUTE_NAMES, name_key
from geomap.supply.attributes import PLANT_NAMES
from geomap.supply.own_tables import NAMES
from geomap.supply.settings import NUMBERS, SETTING_NAMES, TEXTS, delivered_shares, of_cooperative, read_settings
from geomap.supply.units import unit_ha, unit_kg
from geomap.supply.yields import YIELD_NAMES

DOCS = (Path(__file__).parents[2] / "docs" / "crops.md").read_text(encoding="utf-8")


def read(folder: Path, text: str, **options: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    path = folder / "cooperatives.csv"
    path.write_text(text, encoding="utf-8")
    return read_settings(path, **options)


def one(folder: Path, name: str, value: str) -> tuple[float, list[str], str]:
    """A setting as read, the codes of the findings, and the first message."""
    settings, findings = read(folder, f"cooperative_id;{name}\nC1;{value}\n")
    message = findings["message"].iloc[0] if len(findings) else ""
    return settings.loc["C1", name], findings["code"].tolist(), message


# ---- reading ----


def test_every_setting_is_there_whatever_the_file_holds(tmp_path: Path) -> None:
    settings, findings = read(tmp_path, "cooperative_id,bag_kg\nB,69\nA,60\n")
    assert settings.columns.tolist() == list(SETTING_NAMES[1:])
    assert settings.index.tolist() == ["A", "B"]
    assert settings["bag_kg"].tolist() == [60.0, 69.0]
    assert settings[list(NUMBERS)].drop(columns="bag_kg").isna().all(axis=None)
    assert (settings[list(TEXTS)] == "").all(axis=None)
    assert findings.empty


def test_columns_in_spanish_and_decimal_commas_are_read(tmp_path: Path) -> None:
    text = (
        "Cooperativa;Kg por quintal;Forma del quintal;Rendimiento de trilla;Parte entregada;Base del rendimiento;"
        "Rendimiento kg ha;Zona altitudinal\n"
        "La Unión;57,5;pergamino seco;0,78;70 %;en producción;980;alta\n"
    )
    settings, findings = read(tmp_path, text, crop="coffee")
    told = settings.loc["La Unión"]
    assert told[["quintal_kg", "outturn", "delivered_share", "base_yield_kg"]].tolist() == pytest.approx(
        [57.5, 0.78, 0.7, 980.0]
    )
    assert told[["quintal_form", "base_yield_basis", "altitude_band"]].tolist() == ["parchment", "bearing", "high"]
    assert findings["code"].tolist() == ["unlikely_value"]  # the outturn names no forms
    assert findings["severity"].tolist() == ["note"]


def test_a_workbook_is_read_as_a_csv(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["cooperative_id", "bag_kg", "lag_days"], ["C1", 69, 14], ["C2", None, 30]):
        book.active.append(row)
    book.save(tmp_path / "s.xlsx")
    from_book, _ = read_settings(tmp_path / "s.xlsx")
    from_text, _ = read(tmp_path, "cooperative_id,bag_kg,lag_days\nC1,69,14\nC2,,30\n")
    pd.testing.assert_frame_equal(from_book, from_text)


def test_a_file_of_one_row_may_name_no_cooperative(tmp_path: Path) -> None:
    settings, _ = read(tmp_path, "quintal_kg,quintal_form\n46,green\n")
    assert of_cooperative(settings, "anyone")["quintal_kg"] == 46
    with pytest.raises(ColumnError, match="2 rows and no column of cooperatives"):
        read(tmp_path, "quintal_kg\n46\n50\n")


def test_a_row_that_names_no_cooperative_among_others_is_said(tmp_path: Path) -> None:
    settings, findings = read(tmp_path, "cooperative_id,bag_kg\nC1,60\n,69\n")
    assert settings.index.tolist() == ["C1"]
    assert "row 2: it names no cooperative" in findings["message"][0]


def test_rows_of_one_cooperative_are_put_together_in_any_order(tmp_path: Path) -> None:
    rows = ["C1,60,,0.7", "C1,60,14,0.8", "C2,69,,"]
    first, said = read(tmp_path, "\n".join(["cooperative_id,bag_kg,lag_days,delivered_share", *rows]))
    second, _ = read(tmp_path, "\n".join(["cooperative_id,bag_kg,lag_days,delivered_share", *rows[::-1]]))
    pd.testing.assert_frame_equal(first, second)
    assert first.loc["C1", ["bag_kg", "lag_days"]].tolist() == [60.0, 14.0]
    assert np.isnan(first.loc["C1", "delivered_share"])
    assert "C1 has 2 values of delivered_share: 0.7, 0.8" in said["message"][0]


def test_a_column_that_is_none_of_ours_is_said(tmp_path: Path) -> None:
    _, findings = read(tmp_path, "cooperative_id,outtturn\nC1,0.78\n")
    assert findings["code"].tolist() == ["unknown_column"]
    assert "'outtturn'" in findings["message"][0]


def test_a_mapping_names_a_column(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("coop,peso\nC1,46\n")
    settings, _ = read_settings(path, mapping={"coop": "cooperative_id", "peso": "quintal_kg"})
    assert settings.loc["C1", "quintal_kg"] == 46


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        read_settings(tmp_path / "none.csv")


# ---- values that cannot be ----


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("quintal_kg", "4", "quintal_kg is 4, which cannot be: it lies between 30 and 260"),
        ("delivered_share", "80", r"Was percent typed\? Then write 0.8 or 80 %"),
        ("delivered_share", "1.2", "between 0.01 and 1"),
        ("delivered_share", "-0.1", "between 0.01 and 1"),
        ("seconds_share", "0.9", "between 0 and 0.6"),
        ("outturn", "78", r"Was percent typed\? Then write 0.78"),
        ("outturn", "1.25", r"Then write 0.8\."),
        ("outturn", "94", "94 is then an outturn of 0.745 to exportable-green"),
        ("manzana_ha", "7", "10,000 square varas"),
        ("base_yield_kg", "0", "base_yield_kg is 0"),
        ("lag_days", "-3", "lag_days is -3"),
        ("carga_kg", "1", "How many kilograms has a carga here"),
    ],
)
def test_a_value_that_cannot_be_is_missing_with_a_finding(tmp_path: Path, name: str, value: str, words: str) -> None:
    found, codes, message = one(tmp_path, name, value)
    assert np.isnan(found)
    assert codes == ["impossible_value"]
    assert pd.Series([message]).str.contains(words, regex=True).all(), message
    assert "It counts as missing" in message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("delivered_share", "80 %", 0.8), ("quintal_kg", "100 lb", 45.359237), ("manzana_ha", "6989 m2", 0.6989),
     ("outturn", "0,78", 0.78), ("base_yield_kg", "980 kg", 980.0), ("local_sales_share", "0", 0.0)],
)  # fmt: skip
def test_values_with_a_unit_are_converted(tmp_path: Path, name: str, value: str, expected: float) -> None:
    assert one(tmp_path, name, value)[0] == pytest.approx(expected)


def test_words_that_are_no_number_are_missing_with_a_finding(tmp_path: Path) -> None:
    found, codes, message = one(tmp_path, "quintal_kg", "depends")
    assert np.isnan(found)
    assert codes == ["unreadable_value"]
    assert "holds 'depends'" in message


def test_a_form_that_is_not_known_is_missing_with_a_finding(tmp_path: Path) -> None:
    settings, findings = read(tmp_path, "cooperative_id,base_yield_kg,base_yield_form\nC1,900,dust\n", crop="coffee")
    assert settings.loc["C1", "base_yield_form"] == ""
    assert "base_yield_form is 'dust'" in findings["message"][0]
    assert "Known: " in findings["message"][0]


def test_values_that_may_be_slips_are_used_and_said(tmp_path: Path) -> None:
    settings, findings = read(tmp_path, "cooperative_id,quintal_kg\nC1,100\n")
    assert settings.loc["C1", "quintal_kg"] == 100
    assert findings["code"].tolist() == ["unlikely_value"] * 2
    assert findings["message"].str.contains("100 pounds").any()
    assert findings["message"].str.contains("names no form").any()


# ---- units ----


def settings_of(**told: object) -> pd.DataFrame:
    empty = {name: "" if name in TEXTS else np.nan for name in SETTING_NAMES[1:]}
    return pd.DataFrame(empty | told, index=pd.Index(["C1"], name="cooperative_id"))


def test_kilograms_tonnes_and_pounds_are_the_same_everywhere() -> None:
    assert [unit_kg(None, "C1", unit, "parchment") for unit in ("kg", "Kilos", "t", "lbs")] == [
        1.0, 1.0, 1000.0, 0.45359237,
    ]  # fmt: skip


def test_a_quintal_has_46_kg_only_of_green_coffee() -> None:
    assert unit_kg(None, "C1", "qq", "green") == 46
    for form in ("parchment", "fresh-cherry", "dry"):
        with pytest.raises(ColumnError, match=rf"How many kilograms of {form} has a quintal\?.*quintal_kg"):
            unit_kg(None, "C1", "quintales", form)


def test_a_quintal_is_what_the_cooperative_told_of_that_form() -> None:
    settings = settings_of(quintal_kg=57.5, quintal_form="parchment")
    assert unit_kg(settings, "C1", "qq", "parchment") == 57.5
    with pytest.raises(ColumnError, match=r"is told for parchment \(57.5 kg\)"):
        unit_kg(settings, "C1", "qq", "green")
    assert unit_kg(settings, "C2", "qq", "green") == 46
    assert unit_kg(settings_of(quintal_kg=50.0), "C1", "qq", "fresh-cherry") == 50


@pytest.mark.parametrize("unit", ["carga", "saco", "arroba", "lata", "fanega", "costal"])
def test_no_other_unit_is_guessed(unit: str) -> None:
    with pytest.raises(ColumnError, match=r"Ask the office: .How many kilograms of green has a ") as caught:
        unit_kg(None, "C1", unit, "green")
    assert caught.value.why and caught.value.todo


def test_carga_and_bag_are_what_the_cooperative_told() -> None:
    settings = settings_of(carga_kg=125.0, carga_form="parchment", bag_kg=69.0)
    assert unit_kg(settings, "C1", "cargas", "parchment") == 125
    assert unit_kg(settings, "C1", "sacos", "green") == 69


def test_a_manzana_is_the_cooperatives_else_that_of_its_country() -> None:
    assert unit_ha(settings_of(manzana_ha=0.7), "C1", "manzanas") == 0.7
    assert unit_ha(None, "C1", "mz", "NI") == 0.699
    with pytest.raises(ColumnError, match="manzana_ha"):
        unit_ha(None, "C1", "mz", "KE")


@pytest.mark.parametrize("unit", ["cuerda", "tarea", "cuadra"])
def test_a_cuerda_is_never_guessed(unit: str) -> None:
    with pytest.raises(ColumnError, match=f"How many square metres has a {unit}"):
        unit_ha(settings_of(manzana_ha=0.7), "C1", unit, "GT")


def test_delivered_shares_come_with_their_error() -> None:
    shares = delivered_shares(settings_of(delivered_share=0.7))
    assert shares.loc["C1"].tolist() == [0.7, 0.25]
    assert delivered_shares(settings_of()).empty


# ---- synonyms ----


def test_a_synonym_means_one_setting_and_each_has_one_in_six_languages() -> None:
    rows = reference.table("column_synonyms")
    for names in (SETTING_NAMES, PLANT_NAMES):
        own = rows[rows["ours"].isin({*names, *ATTRIBUTE_NAMES}) & (rows["language"] != "generic")]
        meanings = own.assign(key=own["synonym"].map(name_key)).groupby("key")["ours"].nunique()
        assert meanings.max() == 1
        for name in names:
            languages = set(rows.loc[rows["ours"] == name, "language"])
            assert languages >= {"en", "es", "fr", "pt", "id", "sw"}, name


# ---- documentation ----


@pytest.mark.parametrize("name", sorted({*SETTING_NAMES, *YIELD_NAMES, *PLANT_NAMES, *NAMES}))
def test_each_column_that_may_be_told_stands_in_the_docs(name: str) -> None:
    assert f"`{name}`" in DOCS


def test_the_bounds_in_the_docs_are_those_of_the_tables() -> None:
    for name in NUMBERS:
        row = reference.table("settings").set_index("setting").loc[name]
        line = next(line for line in DOCS.splitlines() if line.startswith(f"| `{name}` |"))
        assert line.endswith(f"| {row['low']:,g} and {row['high']:,g} |"), name


def test_the_factors_in_the_docs_are_those_of_the_tables() -> None:
    for factor in reference.table("conversions")["factor"]:
        assert re.search(rf"\b{factor:g}0?\b", DOCS), factor
