"""What the tables of supply must hold."""

import pandas as pd
import pytest

from geomap import reference
from geomap.supply.crops import country_code, crop, form_name
from geomap.supply.items import shared_by

TABLES = ["base_yields", "bags", "conversions", "age_curves", "calendars", "crops"]


@pytest.mark.parametrize("name", TABLES)
def test_every_number_has_a_source_and_its_support(name: str) -> None:
    table = reference.table(name)
    assert table["source"].str.len().gt(3).all()
    assert table["support"].isin(["strong", "medium", "weak"]).all()


def test_tables_name_known_crops_forms_and_countries() -> None:
    yields = reference.table("base_yields")
    for row in yields.itertuples():
        assert form_name(crop(row.crop).name, row.form) == row.form
        assert country_code(row.country) == row.country
    for row in reference.table("conversions").itertuples():
        assert (form_name(row.crop, row.from_form), form_name(row.crop, row.to_form)) == (row.from_form, row.to_form)
    assert not yields.duplicated(["crop", "country"]).any()


def test_every_calendar_adds_up_to_one_year() -> None:
    shares = reference.table("calendars").groupby(["crop", "country"])["share"].sum()
    assert shares.between(1 - 1e-8, 1 + 1e-8).all()


def test_age_curves_have_no_gap() -> None:
    for _, curve in reference.table("age_curves").groupby("crop"):
        assert curve["year_from"].iloc[0] == 0
        assert (curve["year_from"].iloc[1:].to_numpy() == curve["year_to"].iloc[:-1].to_numpy() + 1).all()
        assert pd.isna(curve["year_to"].iloc[-1])


def test_errors_are_those_of_the_method() -> None:
    cv = reference.table("error_sources").set_index("source")["cv"].dropna().to_dict()
    assert cv == {
        "base_yield": 0.35, "map_region": 0.10, "drawn": 0.10, "declared_bias": 0.35, "cooperative": 0.30,
        "delivered_share": 0.25, "unmapped": 0.35, "season": 0.12, "coop_season": 0.10, "member_season": 0.30,
        "plot": 0.52, "area": 0.80, "planted": 0.10, "age": 0.15, "uncovered": 0.30,
    }  # fmt: skip
    assert set(cv) | {"conversion", "map", "map_plot"} == set(reference.table("error_sources")["source"])
    assert shared_by()["member_season"] == ("member_id", "season")
