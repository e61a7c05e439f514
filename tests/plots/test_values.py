import datetime
import math
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomap.plots.angles import parse_angle, parse_pair
from geomap.plots.quantities import QUANTITIES, area_quantity, column_quantity
from geomap.plots.values import attribute, cell_text, clean_text, read_numbers, unique_names

AREA = QUANTITIES["declared_area_ha"]


@pytest.mark.parametrize(
    ("text", "area_ha"),
    [
        ("0,5", 0.5),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1 Hektar", 1.0),
        ("1.2 ha", 1.2),
        ("1 ha", 1.0),
        ("1ha.", 1.0),
        ("2 hectáreas", 2.0),
        ("2 HECTARES", 2.0),
        ("1.234,5", 1234.5),
        ("1,234.5", 1234.5),
        ("1 234,5", 1234.5),
        ("12.345.678", math.nan),  # beyond 10 million hectares
        ("1.234.567", 1234567.0),
        ("1e-3", 0.001),
        ("12,5 Ha", 12.5),
        ("1.125", 1.125),
        ("1-50-25", 1.5025),  # 1 ha + 50 are + 25 centiare
        ("0-07-00", 0.07),
        ("5000 m2", 0.5),
        ("5 000 m²", 0.5),
        ("2 acres", 0.80937128448),
        (3, 3.0),
        (np.float64(0.25), 0.25),
        ("", math.nan),
        ("n/a", math.nan),
        (None, math.nan),
        (math.nan, math.nan),
    ],
)
def test_areas_are_read_as_people_write_them(text: object, area_ha: float) -> None:
    numbers, _ = read_numbers([text], AREA)
    assert numbers[0] == pytest.approx(area_ha, nan_ok=True)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("3 manzanas", "country is not given"),
        ("1.5 mz", "country is not given"),
        ("3 tareas", "How many square metres has a tarea"),
        ("2 loads", '"loads"'),
        ("2025-10-01", "like a date"),
        (datetime.datetime(2025, 10, 1), "it is a date"),
        ("about one", "no number"),
        ("1/2", "no number"),
        ("1,2,3", "no number"),
        ("1.234.5", "no number"),
        ("1,23.456,7", "no number"),
        ("1-2", "no number"),
        ("-1", "not from 0"),
        (-1.0, "not from 0"),
        (math.inf, "not from 0"),
        ("1e999", "not from 0"),
        (True, "no number"),
        (10**400, "too large"),
    ],
)
def test_what_is_no_area_in_hectares_is_said_and_missing(value: object, why: str) -> None:
    numbers, faults = read_numbers([value], AREA)
    assert math.isnan(numbers[0])
    assert why in faults[0]


def test_a_comma_before_three_digits_is_read_by_the_rest_of_the_column() -> None:
    assert read_numbers(["1,234", "0,5"], AREA)[0].tolist() == [1.234, 0.5]  # decimal commas
    numbers, faults = read_numbers(["1,234", "0.5"], AREA)  # decimal points, so 1,234 may be 1234
    assert list(faults) == [0] and numbers[1] == 0.5
    assert list(read_numbers(["1,234"], AREA)[1]) == [0]
    assert list(read_numbers(["1.234", "0,5"], AREA)[1]) == [0]
    assert read_numbers(["1.234", "0.5"], AREA)[0].tolist() == [1.234, 0.5]


@pytest.mark.parametrize(
    ("name", "given_value", "expected"),
    [
        ("planted_share", "90 %", 0.9),
        ("planted_share", "90%", 0.9),
        ("planted_share", "0,9", 0.9),
        ("planted_share", "90", None),
        ("planted_year", "2015", 2015.0),
        ("planted_year", "2015-05-01", 2015.0),
        ("planted_year", "01/05/2015", 2015.0),
        ("planted_year", "15", None),
        ("gps_accuracy_m", "4 m", 4.0),
        ("gps_accuracy_m", "4 ft", None),
        ("hives", "12", 12.0),
        ("hives", "-1", None),
    ],
)
def test_other_numbers_have_their_units_and_ranges(name: str, given_value: str, expected: float | None) -> None:
    numbers, faults = read_numbers([given_value], QUANTITIES[name])
    assert (len(faults) == 1) == (expected is None)
    assert numbers[0] == pytest.approx(math.nan if expected is None else expected, nan_ok=True)


@given(st.lists(st.floats(0, 1e6).map(lambda number: round(number, 4)), max_size=20))
def test_numbers_survive_being_text(numbers: list[float]) -> None:
    for mark in ".,":
        texts = [f"{number:.4f}".replace(".", mark) for number in numbers]
        read, faults = read_numbers(texts, AREA)
        assert read.tolist() == pytest.approx(numbers, abs=1e-9)
        assert not faults


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_text_is_a_number_or_missing_or_said(texts: list[str]) -> None:
    numbers, faults = read_numbers(texts, AREA)
    assert np.isnan(numbers[list(faults)]).all()
    assert (numbers[np.isfinite(numbers)] >= 0).all()


@given(st.text())
def test_clean_text_is_clean_and_stays_so(text: str) -> None:
    clean = clean_text(text)
    assert clean == clean_text(clean)
    assert unicodedata.is_normalized("NFC", clean)
    assert not [letter for letter in clean if unicodedata.category(letter) in {"Cc", "Cs"}]
    assert clean.encode("utf-8").decode("utf-8") == clean


def test_a_lone_surrogate_is_replaced() -> None:
    assert clean_text("a\ud800b") == "a\ufffdb"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.0, "12"),
        ("12.0", "12.0"),
        (12, "12"),
        (np.int64(12), "12"),
        (2.5, "2.5"),
        (1e300, "1e+300"),
        (np.bool_(False), "false"),
        (datetime.datetime(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (["a", {"é": 1}], '["a", {"é": 1}]'),
        (np.array([1, 2]), "[1, 2]"),
        (pd.NA, ""),
        (pd.NaT, ""),
    ],
)
def test_a_cell_as_text(value: object, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("values", "typed", "expected", "kind"),
    [
        ([1, 2], True, [1, 2], "int64"),
        ([1, None], True, [1.0, math.nan], "float64"),
        ([1, 2.5], True, [1.0, 2.5], "float64"),
        ([True, False], True, [True, False], "bool"),
        ([True, None], True, ["true", ""], "str"),
        (["1", "2"], True, ["1", "2"], "str"),
        ([1, "x"], True, ["1", "x"], "str"),
        ([None, None], True, ["", ""], "str"),
        ([2**70, 1], True, [str(2**70), "1"], "str"),
        (["1", "2"], False, [1, 2], "int64"),
        (["1.5", ""], False, [1.5, math.nan], "float64"),
        (["007", "12"], False, ["007", "12"], "str"),
        (["254712345678"], False, ["254712345678"], "str"),
        (["+2547"], False, ["+2547"], "str"),
        (["1,5"], False, ["1,5"], "str"),
    ],
)
def test_numbers_stay_numbers_and_texts_texts(
    values: list[object], typed: bool, expected: list[object], kind: str
) -> None:
    column = attribute(pd.Series(values, dtype=object), typed=typed)
    assert str(column.dtype) == kind
    pd.testing.assert_series_equal(column, pd.Series(expected, dtype=kind))


@given(st.lists(st.sampled_from(["a", "A", "a_2", "", "b"]), max_size=8))
def test_names_of_columns_are_unique_in_any_case(names: list[str]) -> None:
    unique = unique_names(names)
    assert len({name.casefold() for name in unique}) == len(names)
    assert all(unique)


def test_a_manzana_has_its_size_in_central_america_and_nowhere_else() -> None:
    assert read_numbers(["2 manzanas", "1,5 mz"], area_quantity("HN"))[0].tolist() == pytest.approx([1.398, 1.0485])
    assert list(read_numbers(["2 manzanas"], area_quantity("AR"))[1]) == [0]


@pytest.mark.parametrize(
    ("column", "country", "value", "area_ha"),
    [
        ("Área (mz)", "NI", "2", 1.398),
        ("Área (mz)", "NI", 2, 1.398),
        ("Área (mz)", "NI", "2 ha", 2.0),  # the cell's own unit counts first
        ("Manzanas", "HN", "0,5", 0.3495),
        ("area_acres", "KE", "10", 4.0468564224),
        ("superficie_m2", "", "7000", 0.7),
        ("Área (ha)", "HN", "2", 2.0),
        ("Área", "HN", "2", 2.0),
        ("Área (mz)", "", "2", math.nan),
        ("tareas", "DO", "3", math.nan),
    ],
)
def test_a_unit_in_the_columns_name_counts(column: str, country: str, value: object, area_ha: float) -> None:
    numbers, faults = read_numbers([value], column_quantity("declared_area_ha", column, country))
    assert numbers[0] == pytest.approx(area_ha, nan_ok=True)
    assert bool(faults) == math.isnan(area_ha)


@pytest.mark.parametrize(
    ("text", "axis", "degrees"),
    [
        ("14°36'12.5\"N", "latitude", 14 + 36 / 60 + 12.5 / 3600),
        ("14º 36’ 12,5” S", "latitude", -(14 + 36 / 60 + 12.5 / 3600)),
        ("N14°36.5'", "latitude", 14 + 36.5 / 60),
        ("87°12'30''W", "longitude", -(87 + 12 / 60 + 30 / 3600)),
        ("87°12'30\"O", "longitude", -(87 + 12 / 60 + 30 / 3600)),
        ("-87°30'", "longitude", -87.5),
        ("34,5 E", "longitude", 34.5),
        ("14:36:36", "latitude", 14.61),
    ],
)
def test_degrees_minutes_and_seconds_are_read(text: str, axis: str, degrees: float) -> None:
    assert parse_angle(text, axis) == pytest.approx(degrees, abs=1e-9)
    assert read_numbers([text], QUANTITIES[axis])[0][0] == pytest.approx(degrees, abs=1e-9)


@pytest.mark.parametrize("text", ["14°60'N", "14°10'60\"N", "14°10'E", "-14°10'N", "14.5°10'N", "N14°N"])
def test_angles_that_cannot_be_are_said(text: str) -> None:
    assert list(read_numbers([text], QUANTITIES["latitude"])[1]) == [0]


@given(st.integers(0, 89), st.integers(0, 59), st.integers(0, 59999), st.sampled_from("NS"))
def test_angles_survive_being_written(degrees: int, minutes: int, milliseconds: int, letter: str) -> None:
    text = f"{degrees}°{minutes}'{milliseconds / 1000:.3f}\"{letter}"
    value = (degrees + minutes / 60 + milliseconds / 3_600_000) * (1 if letter == "N" else -1)
    assert parse_angle(text, "latitude") == pytest.approx(value, abs=1e-9)


def test_degrees_with_three_decimals_are_never_thousands() -> None:
    assert read_numbers(["14,072", "-87.192"], QUANTITIES["longitude"])[0].tolist() == [14.072, -87.192]


@pytest.mark.parametrize("text", ["14.1; -87.2", "(14.1, -87.2)", "14°06'N 87°12'W", "14°06'00\"N, 87°12'00\"O"])
def test_a_pair_in_one_cell_is_latitude_first(text: str) -> None:
    assert parse_pair(text) == pytest.approx((-87.2, 14.1))


@given(
    st.lists(st.from_regex(r"-?[0-9]{0,4}[.,]?[0-9]{0,4}", fullmatch=True), max_size=8),
    st.sampled_from(["declared_area_ha", "latitude", "planted_year"]),
)
def test_a_column_of_plain_numbers_is_read_as_its_cells_are(texts: list[str], name: str) -> None:
    quick, faults = read_numbers(texts, QUANTITIES[name])
    slow, slow_faults = read_numbers([*texts, "no number"], QUANTITIES[name])  # a cell that keeps from the short way
    assert quick.tolist() == pytest.approx(slow[:-1].tolist(), nan_ok=True)
    assert faults == {place: why for place, why in slow_faults.items() if place < len(texts)}
