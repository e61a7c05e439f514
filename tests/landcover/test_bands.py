"""Bands: every value in exactly one, in words that say which."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomap.errors import NumberError
from geomap.landcover.bands import altitude_bands, layer_bands, lower_edge

NUMBERS = st.lists(st.floats(-500, 6000) | st.just(float("nan")), min_size=1, max_size=40)


def ends(text):
    """Lower and upper edge of an altitude band."""
    low, high = text.removesuffix(" m").replace(",", "").replace("−", "-").split("–")
    return float(low), float(high)


@given(NUMBERS)
def test_an_altitude_lies_in_its_band_of_200_m(numbers):
    for value, text in zip(numbers, layer_bands(pd.Series(numbers), name="altitude"), strict=True):
        if np.isnan(value):
            assert text == ""
        else:
            low, high = ends(text)
            assert low <= value < high
            assert high - low == 200


@given(NUMBERS, st.randoms())
def test_bands_do_not_depend_on_the_order(numbers, random):
    values = pd.Series(numbers, index=range(len(numbers)))
    order = list(values.index)
    random.shuffle(order)
    for name in ("altitude", "rainfall"):
        straight = layer_bands(values, name=name)
        assert layer_bands(values.loc[order], name=name).loc[values.index].tolist() == straight.tolist()


def test_an_edge_belongs_to_the_band_above():
    assert layer_bands(pd.Series([999.99, 1000.0, -1.0]), name="dem").tolist() == [
        "800–1,000 m",
        "1,000–1,200 m",
        "−200–0 m",
    ]


def test_other_layers_get_quarters_of_their_values():
    found = layer_bands(pd.Series(np.arange(101.0)), name="rainfall")
    assert found.value_counts().to_dict() == {"under 25": 25, "25–50": 25, "50–75": 25, "75 or more": 26}


def test_values_that_are_all_alike_are_one_band():
    assert layer_bands(pd.Series([7.0, 7.0, np.nan]), name="rainfall").tolist() == ["all", "all", ""]
    assert layer_bands(pd.Series([np.nan]), name="rainfall").tolist() == [""]
    assert layer_bands(pd.Series([], dtype=float), name="altitude").tolist() == []


def test_given_edges_are_kept_to_the_digit():
    found = layer_bands(pd.Series([0.05, 0.123456, 7.0]), [0.1, 0.123456], "share")
    assert found.tolist() == ["under 0.1", "0.123456 or more", "0.123456 or more"]


@pytest.mark.parametrize("edges", [[], [1, 1], [2, 1], [0, float("nan")], [float("inf")]])
def test_edges_that_do_not_rise_are_refused(edges):
    with pytest.raises(NumberError, match="bands of slope"):
        layer_bands(pd.Series([1.0]), edges, "slope")


def test_an_altitude_that_nobody_tells_makes_no_band():
    assert altitude_bands(pd.DataFrame({"x": [1]})) is None
    assert altitude_bands(pd.DataFrame({"altitude_m": ["", None]})) is None
    assert altitude_bands(pd.DataFrame({"altitude_m": ["1250", ""]})).tolist() == ["1,200–1,400 m", ""]


@given(
    st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=12, unique=True), st.lists(st.floats(-2e7, 2e7), max_size=30)
)
def test_bands_sort_by_their_lower_edge(edges, values):
    limits = np.unique([float(f"{edge:.6g}") for edge in edges])
    if len(limits) < 2:
        return
    ordered = pd.Series(sorted(values))
    bands = layer_bands(ordered, limits.tolist(), "slope").tolist()
    found = [lower_edge(band) for band in bands]
    assert found == sorted(found)
    assert sorted(set(bands), key=lower_edge) == list(dict.fromkeys(bands))


def test_a_text_that_is_no_band_sorts_last():
    assert sorted(["(none)", "high", "−200–0 m", "under −200 m"], key=lower_edge) == [
        "under −200 m", "−200–0 m", "(none)", "high",
    ]  # fmt: skip
