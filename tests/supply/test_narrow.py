"""What would narrow an interval: sources, steps with what they leave, sampling plans."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap import reference
from geomap.errors import ColumnError, NumberError
from geomap.simulate.worlds import supply_world
from geomap.supply.calibrate import calibrate
from geomap.supply.improved import (
    by_deliveries,
    by_map_points,
    by_mapping,
    by_visits,
    farm_spread,
    interval_width,
    posterior_variance,
)
from geomap.supply.items import Items
from geomap.supply.narrow import _ACTIONS, Asked, action_of, next_steps, supply_steps, what_would_narrow
from geomap.supply.sampling import between_cv, sample_cv, sample_size, sampling_plan
from geomap.supply.totals import totals


def items(kinds: list[str], *, uncovered: bool = False, known: bool = True) -> Items:
    table = pd.DataFrame({"kind": kinds, "uncovered": uncovered, "planted_known": known, "age_known": known})
    return Items(table, pd.DataFrame(), pd.DataFrame(), pd.Series(dtype=float))


def shares(**share: float) -> pd.DataFrame:
    return pd.DataFrame({"source": list(share), "share": list(share.values())})


def test_the_largest_three_come_first() -> None:
    found = what_would_narrow(
        shares(cooperative=0.2, base_yield=0.5, unmapped=0.3, drawn=0.04, conversion=0.1), items(["unmapped"] * 40)
    )
    assert len(found) == 3
    assert found[0].startswith("Bring deliveries of two or more past seasons, or the cooperative's own yield: 50 %")
    assert found[1].startswith("Map the 40 members without a plot: 30 %")
    assert found[2].startswith("Weigh a lot")


@pytest.mark.parametrize("count", [1, 2, 1_234])
@pytest.mark.parametrize("source", [action.sources[0] for action in _ACTIONS])
def test_what_a_sentence_says_is_read_back_from_it(source: str, count: int) -> None:
    kinds = {"unmapped": "unmapped", "declared_bias": "declared"}
    asked = items([kinds.get(source, "measured")] * count, uncovered=True, known=False)
    counted = source in ("unmapped", "declared_bias", "uncovered", "planted", "age")
    (sentence,) = what_would_narrow(shares(**{source: 0.34}), asked)
    assert action_of(sentence) == Asked(source, count if counted else 0, 0.34)


def test_a_source_that_does_not_matter_is_not_named() -> None:
    assert what_would_narrow(shares(unmapped=0.02), items(["unmapped"])) == []


def test_nothing_narrows_what_has_no_variance() -> None:
    none = pd.DataFrame({"source": pd.Series(dtype="str"), "share": pd.Series(dtype=float)})
    assert what_would_narrow(none, items(["measured"])) == []


def test_what_is_already_known_is_not_asked_for() -> None:
    known = items(["measured", "declared"])
    assert what_would_narrow(shares(age=0.2, planted=0.2, uncovered=0.2), known) == []
    assert len(what_would_narrow(shares(age=0.2, planted=0.2), items(["measured"], known=False))) == 2


def test_declared_areas_are_counted() -> None:
    found = what_would_narrow(shares(declared_bias=0.4, area=0.1), items(["declared", "measured"]))
    assert found == ["Walk the outlines of the 1 plot with a declared area only: 40 % of the variance goes with it."]


def test_classes_of_a_map_are_one_source() -> None:
    table = pd.DataFrame({"source": ["map:esa:50", "map_region:50"], "share": [0.05, 0.2]})
    found = what_would_narrow(table, items(["measured"]))
    assert found == ["Check the land cover of 50 points or more in the field: 20 % of the variance goes with it."]


# ---- steps and what they would leave ----


def plots_of(kinds: list[str], *, coops: list[str] | None = None, kg: list[float] | None = None, **cv: float) -> Items:
    """One plot and member per kind; each carries the sources of `cv`, and those of its kind."""
    ids = [f"P{i:03d}" for i in range(len(kinds))]
    table = pd.DataFrame(
        {
            "member_id": ids, "cooperative_id": coops or ["C"] * len(ids), "origin": "o", "region": "r",
            "form_pair": "a>b", "season": "2025/26", "kind": pd.array(kinds, dtype="str"), "hives": 0.0,
            "mean_kg": kg or [1000.0] * len(ids), "uncovered": False, "planted_known": True, "age_known": True,
        },
        index=pd.Index(ids, name="plot_id"),
    )  # fmt: skip
    own = {"unmapped": ("unmapped", 0.35), "declared": ("declared_bias", 0.35), "measured": ("drawn", 0.10)}
    errors = pd.DataFrame(cv, index=table.index)
    for kind, (source, value) in own.items():
        errors[source] = np.where(table["kind"] == kind, value, 0.0)
    errors["area"] = np.where(table["kind"] == "measured", 0.05, 0.8)
    return Items(table, errors, pd.DataFrame(index=table.index), pd.Series(dtype=float))


def steps_by_name(found: pd.DataFrame) -> pd.DataFrame:
    return found.set_index("step")


def test_mapping_all_leaves_the_width_of_a_cooperative_where_all_were_measured() -> None:
    mixed = plots_of(["measured"] * 20 + ["unmapped"] * 20, base_yield=0.2)
    measured = plots_of(["measured"] * 40, base_yield=0.2)
    row = steps_by_name(next_steps(mixed)).loc["map_plot"]
    assert row["number"] == 20
    assert row["width_before"] == pytest.approx(interval_width(mixed), rel=1e-12)
    assert row["width_after"] == pytest.approx(interval_width(measured), rel=1e-9)


def test_walking_outlines_does_the_same_for_declared_plots() -> None:
    row = steps_by_name(next_steps(plots_of(["declared"] * 30, base_yield=0.2))).loc["walk_outline"]
    # No plot is measured yet: the usual GPS error of 5 % stands in, as in `measured` here.
    assert row["width_after"] == pytest.approx(interval_width(plots_of(["measured"] * 30, base_yield=0.2)), rel=1e-9)


def test_the_largest_are_mapped_first_and_the_text_says_so() -> None:
    kg = [1000.0] * 20 + [100.0] * 30 + [3000.0] * 10
    items = plots_of(["measured"] * 20 + ["unmapped"] * 40, kg=kg)
    after = by_mapping(items, "unmapped", 10)
    assert after.table.index[(after.table["kind"] == "measured").to_numpy()].tolist() == [
        *(f"P{i:03d}" for i in range(20)),
        *(f"P{i:03d}" for i in range(50, 60)),
    ]
    text = steps_by_name(next_steps(items, plots=10)).loc["map_plot", "text"]
    # 10 plots at 6 a day: 1.7 person-days.
    first, last = (round(100 * interval_width(one)) for one in (items, after))
    assert text == (
        "Map 10 more plots, of the largest of 40 members without one (1.7 person-days): "
        f"the interval of ±{first} % would become ±{last} %."
    )
    assert first > last


def test_members_of_beekeepers_are_not_mapped() -> None:
    items = plots_of(["unmapped"] * 30, base_yield=0.3)
    bees = replace(items, table=items.table.assign(hives=10.0))
    assert "map_plot" in steps_by_name(next_steps(items)).index
    assert "map_plot" not in steps_by_name(next_steps(bees)).index


def test_visits_put_prior_and_estimate_together() -> None:
    # One shared error of .35, 100 equal farms without any of their own but the season's .30; 25 visits.
    items = plots_of(["measured"] * 100, base_yield=0.35, member_season=0.30)
    items = replace(items, cv=items.cv.assign(drawn=0.0, area=0.0))
    prior = math.log(1 + float(totals(items).loc["all", "var"]) / 100_000**2)
    sampled = 0.30**2 / 25 * (1 - 25 / 100)
    estimate = math.log(1 + sampled) + math.log(1 + 0.20**2)
    left = 1 / (1 / prior + 1 / estimate)
    after = by_visits(items, 25, shared_cv=0.20)
    found = math.log(1 + float(totals(after).loc["all", "var"]) / 100_000**2)
    assert found == pytest.approx(left, rel=0.01)


def test_more_visits_never_widen_and_a_visit_to_all_leaves_what_technicians_share() -> None:
    items = plots_of(["measured"] * 60, base_yield=0.35, plot=0.52, member_season=0.3)
    widths = [interval_width(by_visits(items, n, shared_cv=0.2)) for n in (1, 5, 25, 60)]
    assert widths == sorted(widths, reverse=True)
    perfect = interval_width(by_visits(items, 60, shared_cv=1e-9))
    assert perfect == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("seasons", "sd"), [(0, 0.499), (1, 0.232), (2, 0.205), (3, 0.194)])
def test_own_deliveries_narrow_as_published_in_the_method(seasons: int, sd: float) -> None:
    # 50 equal members: base yield .35, conversion .05, drawn .10, cooperative .30, plots .52 and GPS .06; then the
    # season's .12, the cooperative's season .10, members' seasons .30.
    kappa = (1 + 0.52**2) * (1 + 0.06**2) - 1
    constant = sum(math.log(1 + cv**2) for cv in (0.35, 0.05, 0.10, 0.30)) + math.log(1 + kappa / 50)
    both = math.log(1 + ((1 + kappa) * 1.09 - 1) / 50)
    yearly = math.log(1 + 0.12**2) + math.log(1 + 0.10**2) + both - math.log(1 + kappa / 50)
    assert math.sqrt(float(posterior_variance(constant, yearly, seasons))) == pytest.approx(sd, abs=0.004)


def test_deliveries_bring_the_width_down_to_that_of_the_seasons() -> None:
    items = plots_of(["measured"] * 50, base_yield=0.35, cooperative=0.3, season=0.12, coop_season=0.1)
    only_seasons = replace(items, cv=items.cv[["season", "coop_season"]])
    widths = [interval_width(by_deliveries(items, n)) for n in (1, 2, 5)]
    assert widths == sorted(widths, reverse=True)
    assert interval_width(only_seasons) < widths[-1] < interval_width(items) / 2


def test_a_local_sample_narrows_the_map_as_in_the_method() -> None:
    items = plots_of(["measured"] * 2)
    items = replace(items, map_share=pd.DataFrame({"m:30": 0.5}, index=items.table.index))
    share = by_map_points(items, 50).map_share["m:30"]
    assert 0.10 * (share / 0.5).iloc[0] == pytest.approx(0.055, abs=0.001)
    assert 0.10 * (by_map_points(items, 100).map_share["m:30"] / 0.5).iloc[0] == pytest.approx(0.043, abs=0.001)


def test_steps_are_ranked_by_what_a_day_of_work_brings() -> None:
    items = plots_of(["measured"] * 30 + ["unmapped"] * 30, base_yield=0.35, cooperative=0.3, conversion=0.08)
    found = next_steps(items)
    gain = (found["width_before"] - found["width_after"]) / found["person_days"]
    assert gain.is_monotonic_decreasing
    assert (found["width_after"] < found["width_before"]).all()
    assert set(found["step"]) >= {"map_plot", "visit_farm", "season_of_deliveries"}


def test_steps_do_not_depend_on_the_order_of_items_nor_change_them() -> None:
    kinds, kg = ["measured", "unmapped", "declared"] * 8, [100.0 * (1 + i % 5) for i in range(24)]
    items = plots_of(kinds, kg=kg, coops=["A", "B"] * 12, base_yield=0.35, cooperative=0.3)
    before = items.cv.copy()
    turned = Items(items.table[::-1], items.cv[::-1], items.map_share[::-1], items.map_se)
    pd.testing.assert_frame_equal(next_steps(items), next_steps(turned), check_exact=True)
    pd.testing.assert_frame_equal(items.cv, before)


def test_no_potential_has_no_steps_and_a_step_of_nothing_is_refused() -> None:
    empty = plots_of(["measured"]).where(pd.Series([False]))
    assert next_steps(empty).empty
    assert next_steps(plots_of(["unmapped"] * 3, kg=[0.0] * 3)).empty
    with pytest.raises(NumberError, match="fewer than one"):
        next_steps(plots_of(["measured"]), visits=0)


# ---- steps for supply ----


def test_mapping_and_a_season_of_deliveries_narrow_supply_that_rests_on_a_declared_share() -> None:
    world = supply_world(np.random.default_rng(4), cooperatives=6, origins=2, members=(20, 40), unmapped=0.6)
    past = world.history(1)
    assert past is not None
    nothing = replace(past, members=past.members[:0], totals=past.totals[:0])
    target, share = world.target.copy(), world.delivered_share
    found = steps_by_name(supply_steps(nothing, world.target, plots=500, delivered_share=share, learn=False))
    whole = calibrate(None, world.target, delivered_share=share, learn=False).total()
    before = (whole["p90"] - whole["p10"]) / 2 / whole["mean_kg"]
    assert found["width_before"].tolist() == pytest.approx([before, before])
    assert found.loc["map_plot", "number"] == (~world.target["mapped"]).sum()
    # A season tells of everything that is constant, a map of the plots only of these.
    assert found.loc["season_of_deliveries", "width_after"] < 0.5 * before
    assert 0.9 * before < found.loc["map_plot", "width_after"] < 0.96 * before
    pd.testing.assert_frame_equal(world.target, target)


def test_once_deliveries_are_known_mapping_members_is_no_step_any_more() -> None:
    world = supply_world(np.random.default_rng(4), cooperatives=6, origins=2, members=(20, 40), unmapped=0.6)
    past = world.history(1)
    assert past is not None
    kept = past.members.copy()
    found = supply_steps(past, world.target, plots=500, learn=False)
    assert found["step"].tolist() == ["season_of_deliveries"]
    pd.testing.assert_frame_equal(past.members, kept)


def test_a_season_more_narrows_nearly_as_much_as_a_real_one() -> None:
    world = supply_world(np.random.default_rng(6), cooperatives=30, origins=10, members=(20, 40), unmapped=0.0)
    one, two = world.history(1), world.history(2)
    assert one is not None
    real = calibrate(two, world.target, learn=False).total()
    row = steps_by_name(supply_steps(one, world.target, learn=False)).loc["season_of_deliveries"]
    assert row["width_after"] == pytest.approx((real["p90"] - real["p10"]) / 2 / real["mean_kg"], rel=0.05)


def test_without_evidence_of_supply_there_are_no_steps_for_it() -> None:
    world = supply_world(np.random.default_rng(4), cooperatives=2, origins=2, members=(5, 9))
    past = world.history(1)
    assert past is not None
    nothing = replace(past, members=past.members[:0], totals=past.totals[:0])
    assert supply_steps(nothing, world.target).empty
    with pytest.raises(NumberError):
        supply_steps(past, world.target, plots=0)


# ---- sampling plans ----


def test_the_sample_size_is_cochrans() -> None:
    # n₀ = (.5 / .05)² = 100; of 400 farms 400 · 100 / 500 = 80.
    assert sample_size(0.05, 0.5, 400) == 80
    assert sample_size(0.05, 0.0, 400) == 0
    assert sample_size(0.05, 0.5, 0) == 0


@settings(deadline=None)
@given(target=st.floats(0.01, 1), between=st.floats(0.01, 2), farms=st.integers(1, 10_000))
def test_the_sample_reaches_its_target_and_one_farm_fewer_does_not(target: float, between: float, farms: int) -> None:
    n = sample_size(target, between, farms)
    assert 1 <= n <= farms
    assert sample_cv(n, between, farms) <= target * (1 + 1e-6)
    assert sample_cv(n - 1, between, farms) > target * (1 - 1e-6)


def test_the_ratio_of_a_random_sample_errs_as_sample_cv_says() -> None:
    rng = np.random.default_rng(5)
    kg = rng.lognormal(0, 0.6, 120)
    cv = np.full(120, 0.5)
    ratios = []
    for _ in range(3000):
        truth = kg * rng.lognormal(-math.log(1.25) / 2, math.sqrt(math.log(1.25)), 120)
        chosen = rng.choice(120, 40, replace=False)
        ratios.append(truth[chosen].sum() / kg[chosen].sum() / (truth.sum() / kg.sum()))
    # Monte Carlo error of a standard deviation from 3,000 draws: 1.3 %; the formula is of first order.
    assert np.std(ratios) == pytest.approx(float(sample_cv(40, between_cv(cv, kg), 120)), rel=0.06)


@pytest.mark.parametrize("numbers", [(-0.1, 0.5, 10), (0.0, 0.5, 10), (0.1, -0.5, 10), (math.nan, 0.5, 10)])
def test_a_sample_that_cannot_be_is_refused(numbers: tuple[float, float, int]) -> None:
    with pytest.raises(NumberError):
        sample_size(*numbers)


farms_table = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C", ""]), st.floats(1, 5000), st.floats(0.1, 1.5)), min_size=1, max_size=40
).map(lambda rows: pd.DataFrame(rows, columns=["community", "kg", "cv"]))


@settings(deadline=None, max_examples=40)
@given(farms=farms_table, visits=st.integers(0, 50))
def test_a_plan_shares_out_all_visits_and_no_more_than_there_are_farms(farms: pd.DataFrame, visits: int) -> None:
    plan = sampling_plan(farms, visits)
    assert plan["visits"].sum() == min(visits, len(farms))
    assert (plan["visits"] <= plan["farms"]).all()
    assert plan["farms"].sum() == len(farms)
    pd.testing.assert_frame_equal(plan, sampling_plan(farms[::-1], visits))
    if visits >= np.minimum(plan["farms"], 2).sum():
        assert (plan["visits"] >= np.minimum(plan["farms"], 2)).all()


def test_large_and_uneven_communities_get_more_visits() -> None:
    farms = pd.DataFrame({"community": ["A"] * 50 + ["B"] * 50, "kg": 100.0, "cv": [0.3] * 50 + [0.9] * 50})
    # Neyman: 1 : 3 of 20.
    assert sampling_plan(farms, 20)["visits"].to_dict() == {"A": 5, "B": 15}


def test_a_plan_needs_its_columns() -> None:
    with pytest.raises(ColumnError, match="village"):
        sampling_plan(pd.DataFrame({"community": ["A"], "kg": [1.0], "cv": [0.5]}), 1, by="village")
    with pytest.raises(NumberError):
        sampling_plan(pd.DataFrame({"community": ["A"], "kg": [1.0], "cv": [0.5]}), -1)


def test_the_effort_of_each_step_has_a_source_and_its_support() -> None:
    table = reference.table("field_work")
    assert table["source"].str.len().gt(3).all()
    assert (table["support"] == "weak").all()
    assert not table["step"].duplicated().any()
    assert (table["per_person_day"] > 0).all()


def test_farms_differ_by_their_own_errors_alone() -> None:
    items = plots_of(["measured"] * 2, base_yield=0.35, plot=0.5, member_season=0.3)
    both = replace(items, table=items.table.assign(member_id="M"))
    found = farm_spread(both)
    # Two equal plots: κ = (1.25 · 1.0025 − 1) / 2; (1 + κ) · 1.09 − 1.
    kappa = (1.25 * 1.0025 - 1) / 2
    assert found.loc["M", "kg"] == 2000.0
    assert found.loc["M", "cv"] == pytest.approx(math.sqrt((1 + kappa) * 1.09 - 1))
