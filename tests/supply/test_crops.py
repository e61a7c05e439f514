"""Crops, base yields, forms and ages from the reference tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap import reference
from geomap.errors import NumberError, UnknownNameError
from geomap.supply.crop_tables import reference_tables
from geomap.supply.crops import (
    age_factor,
    base_yield,
    conversion,
    country_code,
    country_name,
    crop,
    form_name,
    form_title,
    is_declared_for,
    own_base_yield,
    own_conversion,
    usual_density,
)
from geomap.supply.forms import EXPORTABLE, GREEN, SECONDS, own_seconds, split_green


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
    with pytest.raises(
        UnknownNameError, match=r"Did you mean 'coffee'\? Known: cocoa, coffee, coffee-arabica, coffee-robusta, honey"
    ):
        crop("cofee")
    with pytest.raises(UnknownNameError, match="Known: dried-cherry, exportable-green, fresh-cherry, green, parchment"):
        form_name("coffee", "dry")


@pytest.mark.parametrize("kg_ha", [0, -1, 1e-300, 1e7, float("nan"), float("inf")])
def test_a_base_yield_that_cannot_be_is_refused(kg_ha: float) -> None:
    with pytest.raises(NumberError, match="hectare or a hive"):
        own_base_yield("coffee", "HN", kg_ha)


def test_every_form_can_be_made_from_the_default_form_and_back() -> None:
    for row in reference.table("forms").itertuples():
        start = crop(row.crop).default_form
        there, back = conversion(row.crop, start, row.form), conversion(row.crop, row.form, start)
        assert there.factor * back.factor == pytest.approx(1.0)
        assert (there.cv == 0) == (start == row.form)


def test_a_factor_in_one_step_comes_before_any_way_round() -> None:
    # .159 with .08, not by way of parchment: .1974 × .80 with √(.08² + .05²)
    found = conversion("coffee", "fresh-cherry", "green")
    assert (found.factor, found.cv) == (0.159, 0.08)


def test_no_way_between_forms_is_refused_in_words() -> None:
    ours = reference_tables()
    cut = dataclasses.replace(ours, conversions=ours.conversions[ours.conversions["from_form"] != "dried-cherry"])
    with pytest.raises(UnknownNameError, match="No factor leads from exportable green coffee to dried coffee cherry"):
        conversion("coffee", "exportable-green", "dried-cherry", tables=cut)


def test_the_cooperatives_own_outturn_keeps_the_pair() -> None:
    assert own_conversion("coffee", "green", "parchment", 1.3).pair == "green>parchment"


def test_age_before_planting_bears_nothing_and_unknown_age_bears_in_full() -> None:
    assert age_factor("cocoa", [-3, 0, 2, 3, 32, np.nan]).tolist() == [0, 0, 0, 0.2, 0.4, 1]
    assert age_factor("honey", [1.0, np.nan]).tolist() == [1, 1]


def test_names_of_countries_go_both_ways() -> None:
    rows = reference.table("base_yields")["country"]
    assert all(code == country_code(country_name(code)) for code in rows if code != "world")


# ---- arabica and robusta ----


@pytest.mark.parametrize(
    ("text", "name"),
    [("Arabica", "coffee-arabica"), ("café robusta", "coffee-robusta"), ("CONILON", "coffee-robusta"),
     ("Kopi", "coffee"), ("coffee arabica", "coffee-arabica"), ("cacao", "cocoa"), ("asali", "honey")],
)  # fmt: skip
def test_a_crop_is_found_in_several_languages(text: str, name: str) -> None:
    assert crop(text).name == name


def test_a_kind_of_coffee_has_its_forms_age_curve_and_factors() -> None:
    for kind in ("coffee-arabica", "coffee-robusta"):
        assert form_name(kind, "pergamino") == "parchment"
        assert form_title(kind, "green") == "green coffee"
        assert conversion(kind, "parchment", "green").factor == 0.8
        assert age_factor(kind, [4.0]).tolist() == [0.5]


def test_a_kinds_own_figure_comes_before_that_of_all_coffee() -> None:
    # own row; no own row: all coffee of the country; no country: the world
    found = {country: base_yield("robusta", country) for country in ("ID", "PE", "KE")}
    assert {code: (one.crop, one.kg_ha, one.fallback) for code, one in found.items()} == {
        "ID": ("coffee-robusta", 741.0, False), "PE": ("coffee", 713.0, False), "KE": ("coffee", 700.0, True),
    }  # fmt: skip
    assert base_yield("coffee", "ID").kg_ha == 760
    assert conversion("robusta", "fresh-cherry", "green").factor == 0.2
    assert conversion("arabica", "fresh-cherry", "green").factor == 0.159


def test_a_plot_of_coffee_may_be_arabica_and_one_of_robusta_may_not() -> None:
    told = ["", "coffee", "Arábica", "robusta", "cacao", "maize"]
    assert is_declared_for(told, crop("arabica")).tolist() == [True, True, True, False, False, False]
    assert is_declared_for(told, crop("coffee")).tolist() == [True, True, True, True, False, False]


def test_a_usual_density_is_that_of_the_origin_or_not_known() -> None:
    assert usual_density("arabica", "Colombia") == 5200
    assert np.isnan(usual_density("coffee", "KE"))


# ---- seconds ----


@pytest.mark.parametrize("kind", ["coffee", "arabica", "robusta"])
@pytest.mark.parametrize("start", ["green", "parchment"])
def test_exportable_and_seconds_of_the_table_are_the_green_coffee(kind: str, start: str) -> None:
    parts = sum(conversion(kind, start, form).factor for form in (EXPORTABLE, SECONDS))
    assert parts == pytest.approx(conversion(kind, start, GREEN).factor, rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(share=st.none() | st.floats(0.001, 0.6), outturn=st.floats(0.5, 0.95))
def test_exportable_and_seconds_are_the_green_coffee_for_own_shares_too(share: float | None, outturn: float) -> None:
    own = [
        own_conversion("coffee", "parchment", "green", outturn, cv=0.02),
        *([] if share is None else own_seconds("coffee", share, cv=0.02)),
    ]
    for start, green in (("green", 1.0), ("parchment", outturn)):
        parts = [conversion("coffee", start, form, own=own) for form in (EXPORTABLE, SECONDS)]
        assert sum(one.factor for one in parts) == pytest.approx(green, rel=1e-12)
    # Both parts err by the same kilograms: (1 − s) · cv = s · (cv (1 − s) / s)
    exportable, seconds = (conversion("coffee", "green", form, own=own) for form in (EXPORTABLE, SECONDS))
    assert exportable.factor * exportable.cv == pytest.approx(seconds.factor * seconds.cv, rel=2e-3)


@given(kg=st.lists(st.floats(0, 1e6), min_size=1, max_size=5), share=st.floats(0, 1))
def test_green_coffee_split_in_two_is_all_of_it(kg: list[float], share: float) -> None:
    green = pd.Series(kg)
    for parts in (split_green(green), split_green(green, share)):
        assert parts.sum(axis=1).to_numpy() == pytest.approx(green.to_numpy(), rel=1e-12)
        assert (parts >= 0).all(axis=None)


def test_a_share_of_seconds_that_is_missing_is_the_tables() -> None:
    # 1 − .725 / .80 = .09375
    parts = split_green(pd.Series([100.0, 100.0]), pd.Series([0.3, np.nan]))
    assert parts["seconds_kg"].tolist() == pytest.approx([30.0, 9.375])


# ---- own factors ----


def test_an_own_factor_stands_for_the_tables_there_and_back_and_by_way() -> None:
    own = [own_conversion("coffee", "parchment", "green", 0.78, cv=0.02, owner="C1")]
    assert conversion("coffee", "parchment", "green", own=own).factor == 0.78
    assert conversion("coffee", "green", "parchment", own=own).factor == pytest.approx(1 / 0.78)
    by_way = conversion("coffee", "parchment", "exportable-green", own=own)
    assert by_way.factor == pytest.approx(0.78 * 0.725 / 0.80)
    assert by_way.cv == pytest.approx(np.hypot(0.02, 0.02))
    assert by_way.pair == "parchment>exportable-green|C1"


def test_an_own_factor_given_the_other_way_round_counts_too() -> None:
    own = [own_conversion("coffee", "green", "parchment", 1.3, cv=0.02)]
    assert conversion("coffee", "parchment", "green", own=own).factor == pytest.approx(1 / 1.3)


# ---- every row has a source ----


@pytest.mark.parametrize(
    "name",
    ["crops", "base_yields", "conversions", "age_curves", "densities", "attributes", "settings"],
)
def test_no_row_is_without_source_and_support(name: str) -> None:
    table = reference.table(name)
    assert table["source"].str.len().gt(5).all()
    assert table["support"].isin(["strong", "medium", "weak"]).all()


def test_every_form_of_the_tables_is_found_under_its_words() -> None:
    for row in reference.table("form_words").dropna(subset="form").itertuples():
        assert form_name(row.crop, row.word) == row.form
