"""Whose base yield and outturn stand for which plot, and who shares their errors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import UnknownNameError
from geomap.supply.crops import Crop, base_yield, conversion, crop, own_base_yield
from geomap.supply.settings import SETTING_NAMES, TEXTS
from geomap.supply.terms import TERM_COLUMNS, base_terms, own_conversions
from geomap.supply.yields import YIELD_NAMES, read_yields

COFFEE = crop("coffee")
BASE = own_base_yield("coffee", "HN", 1000.0)
GREEN = conversion("coffee", "green", "green")
ROWS = pd.DataFrame(
    {
        "cooperative_id": ["A", "A", "B", "B"],
        "community": ["El Alto", "", "el alto", "Sur"],
        "variety": ["Caturra", "", "BOURBON", "caturra"],
    },
    index=["P1", "P2", "P3", "P4"],
)


def settings_of(**told: dict[str, object]) -> pd.DataFrame:
    """Settings of cooperatives A, B … by name."""
    empty = {name: "" if name in TEXTS else np.nan for name in SETTING_NAMES[1:]}
    return pd.DataFrame([empty | row for row in told.values()], index=list(told))


def yields_of(*rows: dict[str, object]) -> pd.DataFrame:
    empty = dict.fromkeys(YIELD_NAMES, "") | {"base_yield_form": "green", "base_yield_basis": "planted", "cv": np.nan}
    return pd.DataFrame([empty | row for row in rows], columns=list(YIELD_NAMES))


def terms_of(rows: pd.DataFrame = ROWS, **options: object) -> pd.DataFrame:
    return base_terms(rows, **({"crop": COFFEE, "base": BASE, "conversion": GREEN} | options))[0]


def test_without_own_figures_every_row_has_the_origins() -> None:
    terms = terms_of()
    assert terms.columns.tolist() == TERM_COLUMNS
    assert (terms.drop_duplicates().to_dict("records")) == [
        {"y": 1000.0, "bearing": False, "k": 1.0, "form_pair": "green>green", "base_yield": 0.35, "cooperative": 0.3,
         "conversion": 0.0, "figure": "origin"}
    ]  # fmt: skip


def test_an_own_base_yield_errs_with_its_cooperative_and_not_with_the_origin() -> None:
    told = settings_of(A={"base_yield_kg": 1200.0, "base_yield_basis": "bearing"})
    terms = terms_of(settings=told)
    assert terms["y"].tolist() == [1200.0, 1200.0, 1000.0, 1000.0]
    assert terms["bearing"].tolist() == [True, True, False, False]
    assert terms["base_yield"].tolist() == [0.0, 0.0, 0.35, 0.35]
    assert terms["cooperative"].tolist() == [0.2, 0.2, 0.3, 0.3]


def test_the_row_that_is_everyones_counts_for_each_cooperative() -> None:
    terms = terms_of(settings=settings_of(**{"": {"base_yield_kg": 900.0}}))
    assert terms["y"].tolist() == [900.0] * 4
    assert terms["cooperative"].tolist() == [0.2] * 4


def test_an_own_yield_in_another_form_is_converted() -> None:
    told = settings_of(A={"base_yield_kg": 1250.0, "base_yield_form": "parchment"})
    terms = terms_of(settings=told)
    assert (terms["y"] * terms["k"]).tolist() == pytest.approx([1000.0] * 4)
    assert terms["conversion"].tolist() == [0.05, 0.05, 0.0, 0.0]
    assert terms["form_pair"].tolist() == ["parchment>green"] * 2 + ["green>green"] * 2


def test_the_nearest_figure_is_taken_whatever_their_order() -> None:
    figures = [
        {"base_yield_kg": 500.0},
        {"variety": "Caturra", "base_yield_kg": 600.0},
        {"cooperative_id": "A", "base_yield_kg": 700.0},
        {"community": "El Alto", "base_yield_kg": 800.0},
        {"cooperative_id": "B", "community": "El Alto", "variety": "bourbon", "base_yield_kg": 900.0},
    ]
    for order in (figures, figures[::-1]):
        terms = terms_of(yields=yields_of(*order))
        # P1: community before cooperative and variety; P2: cooperative; P3: all three; P4: variety
        assert terms["y"].tolist() == [800.0, 700.0, 900.0, 600.0]
        assert terms["base_yield"].tolist() == [0.0, 0.0, 0.0, 0.35]


def test_a_figure_of_another_country_does_not_count() -> None:
    figures = yields_of({"country": "GT", "base_yield_kg": 500.0}, {"country": "HN", "base_yield_kg": 600.0})
    assert terms_of(yields=figures)["y"].tolist() == [600.0] * 4
    assert terms_of(yields=figures, country="NI")["y"].tolist() == [1000.0] * 4


def test_an_own_error_takes_the_place_of_the_tables() -> None:
    figures = yields_of(
        {"variety": "caturra", "base_yield_kg": 600.0, "cv": 0.5},
        {"cooperative_id": "A", "base_yield_kg": 700.0, "cv": 0.1},
    )
    terms = terms_of(yields=figures)
    assert terms["base_yield"].tolist() == [0.0, 0.0, 0.35, 0.5]
    assert terms["cooperative"].tolist() == [0.1, 0.1, 0.3, 0.3]


def test_a_yield_map_comes_after_own_figures_and_before_those_of_a_variety() -> None:
    layer = pd.Series({"P1": 400.0, "P3": 450.0, "P4": np.nan})
    figures = yields_of({"variety": "Caturra", "base_yield_kg": 600.0}, {"community": "Sur", "base_yield_kg": 800.0})
    terms = terms_of(layer=layer, yields=figures)
    assert terms["y"].tolist() == [400.0, 1000.0, 450.0, 800.0]
    assert terms["figure"].tolist() == ["yield map", "origin", "yield map", "Sur"]
    assert terms["base_yield"].tolist() == [0.35, 0.35, 0.35, 0.0]


def test_a_yield_map_below_zero_or_in_tonnes_is_said() -> None:
    terms, findings = base_terms(
        ROWS, crop=COFFEE, base=BASE, conversion=GREEN, layer=pd.Series({"P1": -9.0, "P2": 0.9, "P3": 1.1})
    )
    assert terms["y"].tolist() == [1000.0, 0.9, 1.1, 1000.0]
    assert findings[["plot_id", "code"]].values.tolist() == [["", "unlikely_value"], ["P1", "impossible_value"]]
    assert "in kilograms per hectare" in findings["message"][0]


def test_an_own_outturn_is_shared_by_its_cooperative_alone() -> None:
    to_parchment = conversion("coffee", "green", "parchment")
    terms = terms_of(conversion=to_parchment, settings=settings_of(A={"outturn": 0.78}))
    assert terms["k"].tolist() == pytest.approx([1 / 0.78] * 2 + [1.25] * 2)
    assert terms["form_pair"].tolist() == ["green>parchment|A"] * 2 + ["green>parchment"] * 2
    assert terms["conversion"].tolist() == [0.02, 0.02, 0.05, 0.05]


def test_an_outturn_between_other_forms_leaves_the_rest_alone() -> None:
    told = settings_of(A={"outturn": 0.17, "outturn_from": "fresh-cherry", "outturn_to": "green"})
    terms = terms_of(conversion=conversion("coffee", "green", "parchment"), settings=told)
    assert terms["k"].tolist() == [1.25] * 4
    assert terms["form_pair"].tolist() == ["green>parchment"] * 4


@pytest.mark.parametrize(
    "told",
    [{"outturn": 0.78}, {"seconds_share": 0.2}, {"outturn": 0.78, "seconds_share": 0.2},
     {"outturn": 0.70, "outturn_from": "parchment", "outturn_to": "exportable-green"},
     {"outturn": 0.70, "outturn_from": "parchment", "outturn_to": "exportable-green", "seconds_share": 0.3}],
)  # fmt: skip
@pytest.mark.parametrize("start", ["green", "parchment", "dried-cherry"])
def test_exportable_and_seconds_of_a_cooperative_are_its_green_coffee(told: dict[str, float], start: str) -> None:
    own = own_conversions(settings_of(A=told), "A", COFFEE)
    parts = [conversion("coffee", start, form, own=own).factor for form in ("exportable-green", "seconds")]
    assert sum(parts) == pytest.approx(conversion("coffee", start, "green", own=own).factor, rel=1e-12)


def test_honey_has_no_outturn_and_no_seconds() -> None:
    honey = crop("honey")
    assert own_conversions(settings_of(A={"outturn": 0.8, "seconds_share": 0.2}), "A", honey) == []
    rows = ROWS[["cooperative_id"]]
    told = settings_of(A={"base_yield_kg": 20.0})
    terms, _ = base_terms(
        rows, crop=honey, base=base_yield("honey", "MX"), conversion=conversion("honey", "honey", "honey"),
        settings=told,
    )  # fmt: skip
    assert terms["y"].tolist() == [20.0, 20.0, 29.1, 29.1]
    assert not terms["bearing"].any()


def test_a_figure_far_from_the_origins_is_used_and_said() -> None:
    told = settings_of(A={"base_yield_kg": 5000.0}, B={"base_yield_kg": 5000.0, "base_yield_form": "fresh-cherry"})
    terms, findings = base_terms(ROWS, crop=COFFEE, base=BASE, conversion=GREEN, settings=told)
    # 5000 kg green is 5 times 1000; 5000 kg cherry is 795 kg green
    assert findings["code"].tolist() == ["unlikely_value"]
    assert "base yield of A, 5000 kg of green, is 5 times" in findings["message"][0]
    assert terms["y"].tolist() == [5000.0] * 4


def test_no_rows_have_no_terms() -> None:
    assert terms_of(ROWS.iloc[:0], settings=settings_of(A={"outturn": 0.78})).empty


def test_a_known_figure_in_an_unknown_form_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="No product form is called 'dust'"):
        terms_of(settings=settings_of(A={"base_yield_kg": 900.0, "base_yield_form": "dust"}))


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.01, 100))
def test_yield_times_a_factor_gives_terms_times_that_factor(factor: float) -> None:
    def scaled(by: float) -> pd.DataFrame:
        base = own_base_yield("coffee", "HN", 1000.0 * by)
        figures = yields_of({"variety": "caturra", "base_yield_kg": 600.0 * by})
        told = settings_of(A={"base_yield_kg": 800.0 * by, "base_yield_form": "parchment"})
        return terms_of(base=base, yields=figures, settings=told)

    one, other = scaled(1.0), scaled(factor)
    assert (other["y"] * other["k"]).tolist() == pytest.approx((one["y"] * one["k"] * factor).tolist())
    errors = ["base_yield", "cooperative", "conversion"]
    pd.testing.assert_frame_equal(other[errors], one[errors])


# ---- the table of own yields ----


def read(folder: Path, text: str, of_crop: Crop = COFFEE) -> tuple[pd.DataFrame, pd.DataFrame]:
    path = folder / "yields.csv"
    path.write_text(text, encoding="utf-8")
    return read_yields(path, crop=of_crop)


def test_own_yields_are_read_with_defaults_and_a_source(tmp_path: Path) -> None:
    yields, findings = read(tmp_path, "country;variety;base_yield_kg;cv\nHonduras;Caturra;900,5;20 %\n;;700;\n")
    assert findings.empty
    assert yields[["country", "variety", "base_yield_kg", "cv"]].values.tolist()[0] == ["HN", "Caturra", 900.5, 0.2]
    assert yields["base_yield_basis"].tolist() == ["planted", "planted"]
    assert yields["base_yield_form"].tolist() == ["green", "green"]
    assert yields["source"].tolist() == ["given by the user (yields.csv)"] * 2
    assert yields["support"].tolist() == ["medium"] * 2


def test_rows_that_cannot_be_are_not_used_and_said(tmp_path: Path) -> None:
    text = "cooperative_id,country,base_yield_form,base_yield_kg\nA,,,0\nB,Atlantis,,900\nC,,dust,900\nD,,,900\n"
    yields, findings = read(tmp_path, text)
    assert yields["cooperative_id"].tolist() == ["D"]
    assert findings["code"].tolist() == ["impossible_value"] * 3


def test_two_figures_for_one_thing_are_both_left_out_and_equal_ones_count_once(tmp_path: Path) -> None:
    text = "variety,base_yield_kg\nCaturra,900\ncaturra,800\nBourbon,500\nBourbon,500\n"
    yields, findings = read(tmp_path, text)
    assert yields["variety"].tolist() == ["Bourbon"]
    assert "several base yields for caturra" in findings["message"][0]
