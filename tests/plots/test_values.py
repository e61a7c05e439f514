import datetime
import math
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomap.plots.values import QUANTITIES, attribute, cell_text, clean_text, read_numbers, unique_names

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
        ("3 manzanas", '"manzanas"'),
        ("1.5 mz", '"mz"'),
        ("5000 m2", "no number"),
        ("5000 m²", '"m²"'),
        ("2 acres", '"acres"'),
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
