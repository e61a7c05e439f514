"""Crops, base yields, forms and ages from the reference tables."""

import numpy as np
import pytest

from geomap import reference
from geomap.errors import NumberError, UnknownNameError
from geomap.supply.crops import (
    age_factor,
    base_yield,
    conversion,
    country_code,
    country_name,
    crop,
    form_name,
    own_base_yield,
    own_conversion,
)


@pytest.mark.parametrize(
    ("crop_name", "country", "kg_ha"),
    [("cocoa", "ST", 109), ("coffee", "Honduras", 1150), ("coffee", "TZA", 384), ("cocoa", "Côte d’Ivoire", 533)],
)
def test_base_yields_are_those_of_the_country(crop_name: str, country: str, kg_ha: float) -> None:
    found = base_yield(crop_name, country)
    assert (found.kg_ha, found.basis, found.fallback) == (kg_ha, "planted", False)


def test_a_country_without_a_figure_takes_the_worlds_and_says_so() -> None:
    found = base_yield("coffee", "KE")
    assert (found.kg_ha, found.country, found.fallback) == (700, "world", True)


def test_honey_elsewhere_needs_a_yield_of_its_own() -> None:
    with pytest.raises(UnknownNameError, match=r"honey in Kenya.*Give your own"):
        base_yield("honey", "KE")
    assert own_base_yield("honey", "KE", 12, basis="planted").basis == "hive"


@pytest.mark.parametrize("name", ["Hondurs", "hondura", "Hnduras"])
def test_a_country_spelt_wrong_brings_a_guess(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'Honduras'\?"):
        country_code(name)


def test_unknown_crops_and_forms_bring_the_list() -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'coffee'\? Known: cocoa, coffee, honey"):
        crop("cofee")
    with pytest.raises(UnknownNameError, match="Known: dried-cherry, exportable-green, fresh-cherry, green, parchment"):
        form_name("coffee", "dry")


@pytest.mark.parametrize("kg_ha", [0, -1, float("nan"), float("inf")])
def test_a_base_yield_that_cannot_be_is_refused(kg_ha: float) -> None:
    with pytest.raises(NumberError, match="above 0"):
        own_base_yield("coffee", "HN", kg_ha)


def test_every_form_can_be_made_from_the_default_form_and_back() -> None:
    for row in reference.table("forms").itertuples():
        start = crop(row.crop).default_form
        there, back = conversion(row.crop, start, row.form), conversion(row.crop, row.form, start)
        assert there.factor * back.factor == pytest.approx(1.0)
        assert (there.cv == 0) == (start == row.form)


def test_the_way_with_the_smaller_error_is_taken() -> None:
    # direct .159 with .08, not by way of parchment: .1974 × .80 with √(.08² + .05²)
    found = conversion("coffee", "fresh-cherry", "green")
    assert (found.factor, found.cv) == (0.159, 0.08)


def test_no_way_between_forms_is_refused_in_words() -> None:
    with pytest.raises(UnknownNameError, match="No factor leads from exportable green coffee to dried coffee cherry"):
        conversion("coffee", "exportable-green", "dried-cherry")


def test_the_cooperatives_own_outturn_keeps_the_pair() -> None:
    assert own_conversion("coffee", "green", "parchment", 1.3).pair == "green>parchment"


def test_age_before_planting_bears_nothing_and_unknown_age_bears_in_full() -> None:
    assert age_factor("cocoa", [-3, 0, 2, 3, 32, np.nan]).tolist() == [0, 0, 0, 0.2, 0.4, 1]
    assert age_factor("honey", [1.0, np.nan]).tolist() == [1, 1]


def test_names_of_countries_go_both_ways() -> None:
    rows = reference.table("base_yields")["country"]
    assert all(code == country_code(country_name(code)) for code in rows if code != "world")
