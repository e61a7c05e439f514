"""What is estimated, by names."""

import pytest

from geomap.errors import NumberError, UnknownNameError
from geomap.supply.choice import choose
from geomap.supply.months import harvest_calendar


def test_a_choice_knows_its_crop_origin_form_and_season() -> None:
    chosen = choose("café arábica", "Perú", form="Pergamino", season="2026/27")
    assert (chosen.crop.name, chosen.country, chosen.season_year) == ("coffee-arabica", "PE", 2026)
    assert (chosen.conversion.from_form, chosen.conversion.to_form) == ("green", "parchment")
    assert chosen.form_title == "parchment coffee"
    assert chosen.base.kg_ha == 713


def test_an_own_base_yield_may_be_bearing_and_in_another_form() -> None:
    chosen = choose(
        "coffee", "HN", base_yield_kg=6000, base_yield_basis="bearing", base_yield_form="cereza", form="green"
    )
    assert (chosen.base.basis, chosen.base.form) == ("bearing", "fresh-cherry")
    # 6000 kg of cherry × .159
    assert chosen.base.kg_ha * chosen.conversion.factor == pytest.approx(954.0)


def test_seconds_may_be_the_product_form() -> None:
    assert choose("coffee", "HN", form="seconds").conversion.factor == pytest.approx(0.09375)


@pytest.mark.parametrize(("crop", "country"), [("coffee", "HN"), ("cocoa", "GH"), ("arabica", "CO"), ("honey", "MX")])
def test_the_calendar_is_that_of_the_crop_else_of_what_it_is_a_kind_of(crop: str, country: str) -> None:
    expected = harvest_calendar({"arabica": "coffee"}.get(crop, crop), country)
    assert choose(crop, country).calendar.to_dict() == pytest.approx(expected.to_dict())


def test_where_no_calendar_is_known_it_is_empty() -> None:
    assert choose("coffee", "ZW").calendar.empty


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="No crop is called 'vanilla'"):
        choose("vanilla", "MG")
    with pytest.raises(UnknownNameError, match="is no season"):
        choose("coffee", "HN", season="2026/28")
    with pytest.raises(NumberError):
        choose("coffee", "HN", base_yield_kg=-1)
