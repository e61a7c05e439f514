"""Potential of plots and of members without a plot."""

import math

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.supply.attributes import plot_attributes
from geomap.supply.crops import BaseYield, base_yield, conversion, crop, own_base_yield
from geomap.supply.items import Items, join_items
from geomap.supply.potential import declared_ratios, plot_potential, unmapped_members
from geomap.supply.settings import SETTING_NAMES, TEXTS
from geomap.supply.terms import base_terms
from geomap.supply.totals import totals

LEGEND = pd.DataFrame(
    {"tree_crop": [1, 0, 0], "users_accuracy": [0.8, 0.6, 0.9], "users_se": [0.01, 0.02, 0.03]},
    index=pd.Index([10, 50, 80], name="class"),
)
COFFEE, COCOA, HONEY = crop("coffee"), crop("cocoa"), crop("honey")
GREEN = conversion("coffee", "green", "green")
PLANTED = own_base_yield("coffee", "HN", 1000.0, basis="planted")
BEARING = own_base_yield("coffee", "HN", 1000.0, basis="bearing")


def make_plots(rows: dict[str, dict[str, object]]) -> gpd.GeoDataFrame:
    """Measured plots of 1 ha in cooperative C, each with what is given."""
    usual = {"member_id": "M", "cooperative_id": "C", "kind": "measured", "area_ha": 1.0, "area_sd_ha": 0.05}
    unknown = dict.fromkeys(["planted_share", "planted_year", "hives", "declared_area_ha"], np.nan)
    table = pd.DataFrame([usual | unknown | row for row in rows.values()], index=pd.Index(rows, name="plot_id"))
    if "counted_area_ha" not in table:
        table["counted_area_ha"] = table["area_ha"]
    table["counted_area_ha"] = table["counted_area_ha"].fillna(table["area_ha"])
    return gpd.GeoDataFrame(table)


def make_classes(hectares: dict[str, dict[int, float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Classes and cover of plots; class −1 is no data, −3 unknown, as the extraction writes them."""
    rows = [(plot, "map1", code, area) for plot, found in hectares.items() for code, area in found.items()]
    classes = pd.DataFrame(rows, columns=["plot_id", "product", "class", "area_ha"])
    cover = pd.DataFrame(
        {
            "nodata_ha": {plot: found.get(-1, 0.0) for plot, found in hectares.items()},
            "outside_ha": 0.0,
            "unknown_ha": {plot: found.get(-3, 0.0) for plot, found in hectares.items()},
            "cell_area_m2": 100.0,
        }
    )
    return classes, cover


def estimate(rows: dict[str, dict[str, object]], hectares: dict[str, dict[int, float]], **options: object) -> Items:
    settings = {"crop": COFFEE, "base": PLANTED, "conversion": GREEN, "legend": LEGEND} | options
    return plot_potential(make_plots(rows), *make_classes(hectares), **settings)


def test_incompatible_land_is_taken_out_as_far_as_the_map_is_right() -> None:
    # f = 1 − .2 × .6 − .1 × .9 = .79; 2 ha × .79 × 1000 kg/ha = 1580 kg
    items = estimate({"A": {"area_ha": 2.0}}, {"A": {10: 1.4, 50: 0.4, 80: 0.2}})
    assert items.table.loc["A", ["f", "productive_ha", "mean_kg"]].tolist() == pytest.approx([0.79, 1.58, 1580.0])


def test_errors_of_the_map_follow_the_shares() -> None:
    # share / f = .2 / .79; map_plot: cells .4 ha / .01 ha = 40, patches 40 / 9
    items = estimate({"A": {"area_ha": 2.0}}, {"A": {10: 1.4, 50: 0.4, 80: 0.2}})
    assert items.map_share.loc["A"].to_dict() == pytest.approx({"map1:50": 0.2 / 0.79, "map1:80": 0.1 / 0.79})
    assert items.map_se.to_dict() == {"map1:50": 0.02, "map1:80": 0.03}
    spread = math.sqrt(0.2**2 * 0.6 * 0.4 / (40 / 9) + 0.1**2 * 0.9 * 0.1 / (20 / 9)) / 0.79
    assert items.cv.loc["A", "map_plot"] == pytest.approx(spread)


def test_gps_error_is_relative_to_the_area() -> None:
    items = estimate({"A": {"area_ha": 2.0, "area_sd_ha": 0.1, "counted_area_ha": 1.0}}, {"A": {10: 2.0}})
    assert items.cv.loc["A", "area"] == pytest.approx(0.05)
    assert items.table.loc["A", "mean_kg"] == pytest.approx(1000.0)


def test_unknown_classes_count_as_compatible() -> None:
    items = estimate({"A": {}}, {"A": {-3: 0.5, 50: 0.5}})
    assert items.table.loc["A", "f"] == pytest.approx(1 - 0.5 * 0.6)


def test_f_is_that_of_the_covered_part_where_it_is_at_least_half() -> None:
    items = estimate({"A": {}, "B": {}}, {"A": {-1: 0.5, 50: 0.5}, "B": {10: 1.0}})
    assert items.table.loc["A", "f"] == pytest.approx(1 - 0.6)
    assert not items.table.loc["A", "uncovered"]


def test_uncovered_plots_take_the_area_weighted_f_of_their_cooperative() -> None:
    # B: 3 ha with f = .4, C: 1 ha with f = 1 → (3 × .4 + 1) / 4 = .55; D is of another cooperative
    rows = {"A": {}, "B": {"area_ha": 3.0}, "C": {}, "D": {"cooperative_id": "other"}}
    items = estimate(rows, {"A": {-1: 0.6, 80: 0.4}, "B": {50: 3.0}, "C": {10: 1.0}, "D": {80: 1.0}})
    assert items.table.loc["A", "f"] == pytest.approx(0.55)
    assert items.table["uncovered"].tolist() == [True, False, False, False]
    assert items.cv["uncovered"].tolist() == [0.3, 0.0, 0.0, 0.0]
    assert items.map_share.loc["A", "map1:50"] == pytest.approx(0.75 / 0.55)


def test_a_cooperative_without_covered_plots_takes_the_mean_of_all_else_one() -> None:
    rows = {"A": {"cooperative_id": "new"}, "B": {}}
    assert estimate(rows, {"A": {-1: 1.0}, "B": {50: 1.0}}).table.loc["A", "f"] == pytest.approx(0.4)
    assert estimate(rows, {"A": {-1: 1.0}, "B": {-1: 1.0}}).table["f"].tolist() == [1.0, 1.0]


def test_planted_share_and_age_apply_to_bearing_hectares_only() -> None:
    # bearing: .5 planted × g(4) = .5 → 250 kg; planted: both are inside the yield → 1000 kg
    rows = {"A": {"planted_share": 0.5, "planted_year": 2022.0}}
    bearing = estimate(rows, {"A": {10: 1.0}}, base=BEARING, season_year=2026)
    planted = estimate(rows, {"A": {10: 1.0}}, season_year=2026)
    assert (bearing.table.loc["A", "mean_kg"], planted.table.loc["A", "mean_kg"]) == pytest.approx((250.0, 1000.0))
    assert bearing.cv.loc["A", ["planted", "age"]].tolist() == [0.10, 0.15]
    assert planted.cv.loc["A", ["planted", "age"]].tolist() == [0.0, 0.0]


def test_planted_share_is_nine_tenths_where_none_is_declared() -> None:
    items = estimate({"A": {}}, {"A": {10: 1.0}}, base=BEARING)
    assert items.table.loc["A", "mean_kg"] == pytest.approx(900.0)
    assert not items.table.loc["A", "planted_known"]


def test_a_plot_too_young_to_bear_yields_nothing_on_either_basis() -> None:
    for base in (PLANTED, BEARING):
        items = estimate({"A": {"planted_year": 2025.5}}, {"A": {10: 1.0}}, base=base, season_year=2026)
        assert items.table.loc["A", "mean_kg"] == 0.0


def test_without_a_season_no_age_is_known() -> None:
    items = estimate({"A": {"planted_year": 2025.5}}, {"A": {10: 1.0}}, base=BEARING)
    assert items.table.loc["A", ["g", "age_known"]].tolist() == [1.0, False]


def test_kilograms_are_those_of_the_product_form() -> None:
    parchment = conversion("coffee", "green", "parchment")
    items = estimate({"A": {}}, {"A": {10: 1.0}}, conversion=parchment)
    assert items.table.loc["A", "mean_kg"] == pytest.approx(1000 / 0.8)
    assert items.cv.loc["A", "conversion"] == 0.05


def test_cocoa_of_sao_tome_bears_109_kg_a_hectare() -> None:
    same = conversion("cocoa", "dry", "dry")
    items = estimate({"A": {}}, {"A": {10: 1.0}}, crop=COCOA, base=base_yield("cocoa", "ST"), conversion=same)
    assert items.table.loc["A", "mean_kg"] == pytest.approx(109.0)


def test_honey_is_hives_times_yield_and_needs_no_land() -> None:
    # 10 hives × 29.1 kg
    rows = {"A": {"hives": 10.0, "area_ha": np.nan, "kind": "declared"}}
    same = conversion("honey", "honey", "honey")
    items = estimate(rows, {"A": {80: 1.0}}, crop=HONEY, base=base_yield("honey", "MX"), conversion=same)
    assert items.table.loc["A", ["f", "mean_kg"]].tolist() == pytest.approx([1.0, 291.0])
    at_work = items.cv.loc["A"]
    assert set(at_work[at_work > 0].index) == {
        "base_yield", "cooperative", "season", "coop_season", "member_season", "plot",
    }  # fmt: skip


def test_items_stand_in_the_order_of_the_plots_with_every_source() -> None:
    items = estimate({"B": {}, "A": {}}, {"A": {10: 1.0}, "B": {50: 1.0}})
    assert items.table.index.tolist() == items.cv.index.tolist() == items.map_share.index.tolist() == ["B", "A"]
    assert items.table["f"].tolist() == pytest.approx([0.4, 1.0])


def test_plots_are_not_modified() -> None:
    plots = make_plots({"B": {"kind": "declared"}, "A": {}})
    before = plots.copy()
    classes, cover = make_classes({"A": {10: 1.0}})
    plot_potential(plots, classes, cover, crop=COFFEE, base=PLANTED, conversion=GREEN, legend=LEGEND)
    pd.testing.assert_frame_equal(pd.DataFrame(plots), pd.DataFrame(before))


@settings(max_examples=25, deadline=None)
@given(cut=st.floats(0.05, 0.95), built=st.floats(0, 1), where=st.floats(0, 1))
def test_a_plot_split_in_two_gives_the_same_potential(cut: float, built: float, where: float) -> None:
    first_built = min(cut, built) * where
    parts = {"A": {50: first_built, 10: cut - first_built}}
    parts["B"] = {50: built - first_built, 10: 1 - cut - (built - first_built)}
    whole = estimate({"A": {}}, {"A": {50: built, 10: 1 - built}})
    split = estimate({"A": {"area_ha": cut}, "B": {"area_ha": 1 - cut}}, parts)
    assert split.table["mean_kg"].sum() == pytest.approx(whole.table["mean_kg"].sum(), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(12)))
def test_order_of_plots_and_classes_does_not_change_a_bit(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    rows = {
        f"P{n:02d}": {"area_ha": rng.uniform(), "cooperative_id": "CD"[n % 2], "member_id": f"M{n % 5}"}
        for n in range(12)
    }
    hectares = {plot: {10: rng.uniform(), 50: rng.uniform(), -1: 1.5 * (n % 3 == 0)} for n, plot in enumerate(rows)}
    names = list(rows)
    mixed = estimate({names[n]: rows[names[n]] for n in order}, {names[n]: hectares[names[n]] for n in order})
    plain = estimate(rows, hectares)
    pd.testing.assert_frame_equal(mixed.table.sort_index(), plain.table, check_exact=True)
    pd.testing.assert_frame_equal(mixed.map_share.sort_index(), plain.map_share, check_exact=True)
    pd.testing.assert_frame_equal(totals(mixed), totals(plain), check_exact=True)


def ten_pairs(**row: object) -> dict[str, dict[str, object]]:
    """Ten measured plots of .6 ha that were declared as 1 ha."""
    return {f"P{n}": {"area_ha": 0.6, "declared_area_ha": 1.0, "member_id": f"M{n}"} | row for n in range(10)}


def test_declared_areas_are_taken_at_the_ratio_of_their_cooperative() -> None:
    rows = ten_pairs() | {"X": {"kind": "declared", "area_ha": np.nan, "counted_area_ha": 2.0, "declared_area_ha": 2.0}}
    items = estimate(rows, {plot: {10: 0.6} for plot in ten_pairs()})
    assert items.table.loc["X", "area_ha"] == pytest.approx(2.0 * 0.6)
    assert items.cv.loc["X", ["area", "declared_bias", "drawn", "uncovered"]].tolist() == [0.8, 0.35, 0.0, 0.3]
    assert items.cv.loc["P0", ["declared_bias", "drawn", "uncovered"]].tolist() == [0.0, 0.1, 0.0]


def test_fewer_than_ten_pairs_tell_no_ratio() -> None:
    nine = {plot: row for plot, row in ten_pairs().items() if plot != "P9"}
    assert declared_ratios(make_plots(nine)).loc["C"].tolist() == [1.0, 0, "none"]
    assert declared_ratios(make_plots(ten_pairs())).loc["C", "basis"] == "plots"


def test_a_pair_in_wrong_units_does_not_spoil_the_ratio() -> None:
    rows = ten_pairs() | {"X": {"area_ha": 0.6, "declared_area_ha": 6000.0}}
    assert declared_ratios(make_plots(rows)).loc["C", "ratio"] == pytest.approx(0.6)


def test_members_tell_the_ratio_where_plots_do_not() -> None:
    plots = make_plots(ten_pairs(declared_area_ha=np.nan))
    members = pd.DataFrame({"cooperative_id": "C", "declared_area_ha": 0.8}, index=[f"M{n}" for n in range(10)])
    found = declared_ratios(plots, members).loc["C"]
    assert found["ratio"] == pytest.approx(0.6 / 0.8)
    assert found["basis"] == "members"


def unmapped(members: pd.DataFrame, items: Items, ratio: float = 1.0) -> Items:
    ratios = pd.DataFrame({"ratio": {"C": ratio}})
    return unmapped_members(members, items, crop=COFFEE, base=PLANTED, conversion=GREEN, ratios=ratios)


def test_members_without_a_plot_have_their_declared_area_else_the_mean() -> None:
    # mapped: M 2 ha + 1 ha, N 1 ha → mean 2 ha; f = (2 × .4 + 1 + 1) / 4 = .7
    rows = {"A": {"area_ha": 2.0}, "B": {}, "D": {"member_id": "N"}}
    items = estimate(rows, {"A": {50: 2.0}, "B": {10: 1.0}, "D": {10: 1.0}})
    members = pd.DataFrame({"cooperative_id": "C", "declared_area_ha": [np.nan, 3.0, 9.0]}, index=["Z", "Y", "M"])
    found = unmapped(members, items, ratio=0.5)
    assert found.table.index.tolist() == ["member:Z", "member:Y"]
    assert found.table["mean_kg"].tolist() == pytest.approx([2.0 * 0.7 * 1000, 3.0 * 0.5 * 0.7 * 1000])
    errors = ["unmapped", "area", "plot", "uncovered", "drawn", "declared_bias"]
    assert found.cv.loc["member:Y", errors].tolist() == [0.35, 0.8, 0.52, 0.3, 0.0, 0.0]
    assert found.map_share.loc["member:Y", "map1:50"] == pytest.approx(0.5 / 0.7)


def test_a_guess_of_unmapped_land_is_wrong_for_all_of_them_together() -> None:
    items = estimate({"A": {}}, {"A": {10: 1.0}})
    members = pd.DataFrame({"cooperative_id": "C", "declared_area_ha": 1.0}, index=[f"Z{n:04d}" for n in range(2000)])
    found = totals(unmapped(members, items)).loc["all"]
    # (1 + .35²)(1 + .35²)(1 + .30²)(1 + .12²)(1 + .10²) − 1 = .4069, and a little for what averages out
    shared = 1.1225**2 * 1.09 * 1.0144 * 1.01 - 1
    assert found["var"] / found["mean_kg"] ** 2 == pytest.approx(shared, abs=0.002)


def test_plots_and_members_without_a_plot_add_up() -> None:
    items = estimate({"A": {}}, {"A": {10: 0.5, 50: 0.5}})
    members = pd.DataFrame({"cooperative_id": "C", "declared_area_ha": [1.0, 1.0]}, index=["M", "Z"])
    both = join_items([items, unmapped(members, items)])
    assert totals(both)["mean_kg"]["all"] == pytest.approx(2 * 700.0)
    pd.testing.assert_series_equal(both.map_se, items.map_se)


def test_a_cooperative_where_everyone_is_mapped_has_no_unmapped_items() -> None:
    items = estimate({"A": {}}, {"A": {10: 1.0}})
    members = pd.DataFrame({"cooperative_id": "C", "declared_area_ha": [1.0]}, index=["M"])
    nobody = unmapped(members, items)
    assert len(nobody) == 0
    pd.testing.assert_frame_equal(totals(join_items([items, nobody])), totals(items))


# ---- own figures, yield maps, attributes ----


def own_settings(**told: dict[str, object]) -> pd.DataFrame:
    empty = {name: "" if name in TEXTS else np.nan for name in SETTING_NAMES[1:]}
    return pd.DataFrame([empty | row for row in told.values()], index=list(told))


def with_terms(rows: dict[str, dict[str, object]], **told: object) -> Items:
    """Potential of plots of 1 ha tree cover, with terms of their settings, yields or layer."""
    options = {"crop": COFFEE, "base": PLANTED, "conversion": GREEN}
    terms, _ = base_terms(make_plots(rows), **options, **told)
    return estimate(rows, {plot: {10: 1.0} for plot in rows}, terms=terms)


def test_a_cooperatives_own_yield_and_outturn_count_for_its_plots_alone() -> None:
    told = own_settings(A={"base_yield_kg": 1500.0, "base_yield_form": "parchment", "outturn": 0.78})
    items = with_terms({"P": {"cooperative_id": "A"}, "Q": {"cooperative_id": "B"}}, settings=told)
    # A: 1500 kg of parchment × .78; B: 1000 kg of green
    assert items.table["mean_kg"].tolist() == pytest.approx([1170.0, 1000.0])
    assert items.table["y"].tolist() == [1500.0, 1000.0]
    assert items.table["k"].tolist() == [0.78, 1.0]
    assert items.table["form_pair"].tolist() == ["parchment>green|A", "green>green"]
    assert items.table["origin"].nunique() == 1


def test_own_yields_of_two_cooperatives_err_apart_and_the_origins_errs_together() -> None:
    rows = {"P": {"cooperative_id": "A"}, "Q": {"cooperative_id": "B"}}
    only = ["base_yield", "cooperative"]

    def relative_var(items: Items) -> float:
        kept = Items(items.table, items.cv[only], items.map_share, items.map_se)
        found = totals(kept).loc["all"]
        return float(found["var"] / found["mean_kg"] ** 2)

    own = with_terms(rows, settings=own_settings(A={"base_yield_kg": 1000.0}, B={"base_yield_kg": 1000.0}))
    # each errs by .20 and nothing is shared: .20² / 2
    assert relative_var(own) == pytest.approx(0.2**2 / 2)
    # the origin's .35 is shared, .30 is each one's own: .35² + (1 + .35²) · .30² / 2
    assert relative_var(with_terms(rows)) == pytest.approx(0.35**2 + (1 + 0.35**2) * 0.3**2 / 2)


def test_seasons_stay_shared_by_the_origin_where_the_yield_is_own() -> None:
    rows = {"P": {"cooperative_id": "A"}, "Q": {"cooperative_id": "B"}}
    own = with_terms(rows, settings=own_settings(A={"base_yield_kg": 1000.0}))
    kept = Items(own.table, own.cv[["season"]], own.map_share, own.map_se)
    assert totals(kept).loc["all", "var"] == pytest.approx((2000 * 0.12) ** 2)


def test_each_plot_has_the_basis_of_its_own_figure() -> None:
    rows = {plot: {"cooperative_id": plot, "planted_share": 0.5} for plot in ("A", "B")}
    items = with_terms(rows, settings=own_settings(A={"base_yield_kg": 1000.0, "base_yield_basis": "bearing"}))
    assert items.table["mean_kg"].tolist() == pytest.approx([500.0, 1000.0])
    assert items.cv[["planted", "age"]].values.tolist() == [[0.1, 0.15], [0.0, 0.0]]


def test_a_yield_map_gives_each_plot_its_yield() -> None:
    items = with_terms({"P": {}, "Q": {}, "R": {}}, layer=pd.Series({"P": 400.0, "Q": 0.0}))
    assert items.table["mean_kg"].tolist() == pytest.approx([400.0, 0.0, 1000.0])


def test_members_without_a_plot_take_their_cooperatives_own_yield() -> None:
    items = estimate({"A": {}}, {"A": {10: 1.0}})
    members = pd.DataFrame({"cooperative_id": ["C", "D"], "declared_area_ha": 1.0}, index=["Z", "Y"])
    known = {"crop": COFFEE, "base": PLANTED, "conversion": GREEN}
    terms, _ = base_terms(members, settings=own_settings(D={"base_yield_kg": 1400.0}), **known)
    found = unmapped_members(members, items, ratios=pd.DataFrame({"ratio": {}}), terms=terms, **known)
    assert found.table["mean_kg"].to_dict() == pytest.approx({"member:Z": 1000.0, "member:Y": 1400.0})
    assert found.cv.loc["member:Y", ["base_yield", "cooperative"]].tolist() == [0.0, 0.2]


def with_attributes(row: dict[str, object], base: BaseYield = BEARING) -> Items:
    plots = make_plots({"A": row})
    attributes, _ = plot_attributes(plots, crop=COCOA, country="GH", season_year=2026)
    return plot_potential(
        plots, *make_classes({"A": {10: 1.0}}), crop=COFFEE, base=base, conversion=GREEN, legend=LEGEND,
        season_year=2026, attributes=attributes,
    )  # fmt: skip


def test_renovation_sets_the_age_back() -> None:
    # planted in 1980 and stumped in 2022: 4 years old, .5; .9 planted
    items = with_attributes({"planted_year": 1980.0, "renovation_year": 2022})
    assert items.table.loc["A", ["g", "mean_kg"]].tolist() == pytest.approx([0.5, 450.0])


def test_density_and_damage_multiply_the_potential() -> None:
    # 1000 of the usual 1111 trees, a fifth lost: .9 × 1000/1111 × .8 × 1000 kg
    items = with_attributes({"trees_ha": 1000.0, "damage_share": 0.2})
    assert items.table.loc["A", "mean_kg"] == pytest.approx(900 * 1000 / 1111 * 0.8)
    assert items.table.loc["A", "productive_ha"] == pytest.approx(0.9)


@pytest.mark.parametrize("base", [PLANTED, BEARING])
@pytest.mark.parametrize(
    "told",
    [{"planted_share": 0.9}, {"trees_ha": 1111}, {"damage_share": 0.0}, {"shade": "70 %"}, {"variety": "Caturra"},
     {"planted_year": 2015.0}, {"renovation_year": 2015.0}],
    ids=lambda told: next(iter(told)),
)  # fmt: skip
def test_an_attribute_that_equals_the_default_changes_nothing(told: dict[str, object], base: BaseYield) -> None:
    items, plain = with_attributes(told, base), with_attributes({}, base)
    known = ["planted_known", "age_known"]
    pd.testing.assert_frame_equal(items.table.drop(columns=known), plain.table.drop(columns=known))
    pd.testing.assert_frame_equal(items.cv, plain.cv)


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.01, 100))
def test_yield_times_a_factor_gives_potential_times_that_factor(factor: float) -> None:
    rows = {plot: {"cooperative_id": plot} for plot in ("A", "B")}

    def potential(by: float) -> list[float]:
        known = {"crop": COFFEE, "base": own_base_yield("coffee", "HN", 1000 * by), "conversion": GREEN}
        terms, _ = base_terms(make_plots(rows), settings=own_settings(A={"base_yield_kg": 700 * by}), **known)
        return estimate(rows, {plot: {10: 1.0} for plot in rows}, terms=terms).table["mean_kg"].tolist()

    assert potential(factor) == pytest.approx([factor * kg for kg in potential(1.0)])
