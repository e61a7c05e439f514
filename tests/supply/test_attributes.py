"""Renovation, trees per hectare and damage of plots, and what cannot be."""

import numpy as np
import pandas as pd
import pytest

from geomap.supply.attributes import COLUMNS, plot_attributes
from geomap.supply.crops import crop

COCOA = crop("cocoa")


def attributes(**told: object) -> tuple[pd.Series, pd.DataFrame]:
    """Attributes of one plot of cocoa in Ghana, season 2026/27, and the findings."""
    plots = pd.DataFrame({"planted_year": np.nan} | {name: [value] for name, value in told.items()}, index=["P"])
    found, findings = plot_attributes(plots, crop=COCOA, country="GH", season_year=2026)
    return found.loc["P"], findings


def test_nothing_told_is_the_default() -> None:
    found, findings = attributes()
    assert np.isnan(found["start_year"])
    assert found[["density_factor", "damage_share"]].tolist() == [1.0, 0.0]
    assert found.index.tolist() == COLUMNS
    assert findings.empty


@pytest.mark.parametrize(
    ("trees", "factor"), [(1111, 1.0), ("4.500", None), (1000, 1000 / 1111), (100, 0.5), (5000, 1.25)]
)
def test_trees_per_hectare_count_against_the_usual_and_are_held_within_bounds(trees: object, factor: float) -> None:
    found, findings = attributes(trees_ha=trees)
    assert found["density_factor"] == pytest.approx(1.0 if factor is None else factor)
    assert findings["code"].tolist() == (["impossible_value"] if factor is None else [])


def test_where_the_usual_density_is_not_known_trees_change_nothing() -> None:
    plots = pd.DataFrame({"planted_year": np.nan, "trees_ha": 3000}, index=["P"])
    found, _ = plot_attributes(plots, crop=crop("coffee"), country="KE")
    assert found["density_factor"].tolist() == [1.0]


def test_synonyms_and_percents_are_read() -> None:
    found, findings = attributes(**{"Árboles por hectárea": "1000", "daño": "25 %", "año de renovación": "2019"})
    assert found.tolist() == pytest.approx([2019, 1000 / 1111, 0.25])
    assert findings.empty


def test_two_columns_that_could_both_be_it_are_not_read_and_said() -> None:
    found, findings = attributes(densidad=1000, trees_per_ha=900)
    assert found["density_factor"] == 1.0
    assert "could both be trees_ha" in findings["message"][0]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("trees_ha", 50_000, "trees_ha is 50000; it lies between 50 and 20000. Write trees per hectare"),
        ("trees_ha", -1, "trees_ha is -1"),
        ("damage_share", 30, "Was percent typed? Then write 0.3."),
        ("damage_share", -0.2, "damage_share is -0.2"),
        ("planted_year", 2031, "planted_year is 2031, after the season 2026/27"),
        ("renovation_year", 2031, "renovation_year is 2031, after the season 2026/27"),
        ("renovation_year", 19, "renovation_year is 19"),
    ],
)
def test_what_cannot_be_is_missing_with_a_finding_on_the_plot(name: str, value: float, words: str) -> None:
    found, findings = attributes(**{name: value})
    assert findings[["plot_id", "code"]].values.tolist() == [["P", "impossible_value"]]
    assert words in findings["message"][0]
    pd.testing.assert_series_equal(found, attributes()[0])


def test_planting_within_the_season_can_be() -> None:
    found, findings = attributes(planted_year=2027.0)
    assert found["start_year"] == 2027
    assert findings.empty


def test_a_renovation_before_planting_does_not_count_and_is_said() -> None:
    found, findings = attributes(planted_year=2010.0, renovation_year=2005)
    assert found["start_year"] == 2010
    assert "renovated in 2005, before it was planted in 2010" in findings["message"][0]


def test_hives_have_no_density() -> None:
    plots = pd.DataFrame({"planted_year": np.nan, "trees_ha": 100.0}, index=["P"])
    found, _ = plot_attributes(plots, crop=crop("honey"), country="MX")
    assert found["density_factor"].tolist() == [1.0]


def test_plots_are_not_modified_and_their_order_stays() -> None:
    plots = pd.DataFrame({"planted_year": [2000.0, 2040.0], "damage_share": ["5 %", ""]}, index=["B", "A"])
    before = plots.copy()
    found, _ = plot_attributes(plots, crop=COCOA, country="GH", season_year=2026)
    assert found.index.tolist() == ["B", "A"]
    pd.testing.assert_frame_equal(plots, before)
