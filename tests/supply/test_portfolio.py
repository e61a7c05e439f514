"""Several cooperatives together: shared errors, diversification, the chance of a quantity."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import NumberError, UnknownNameError
from geomap.simulate.worlds import supply_world
from geomap.supply.calibrate import Calibration, calibrate
from geomap.supply.items import Items
from geomap.supply.portfolio import chance_of_at_least, contributions, portfolio, potential_portfolio
from geomap.supply.totals import interval, totals


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    world = supply_world(np.random.default_rng(3), cooperatives=9, origins=3, members=(10, 40))
    return calibrate(world.history(2), world.target, learn=False)


def items(coops: list[str], origins: list[str], **cv: float) -> Items:
    index = pd.Index([f"P{i}" for i in range(len(coops))])
    table = pd.DataFrame(
        {
            "member_id": index, "cooperative_id": coops, "origin": origins, "region": origins, "form_pair": "a",
            "season": "", "mean_kg": 1000.0,
        },
        index=index,
    )  # fmt: skip
    return Items(table, pd.DataFrame(cv, index=index), pd.DataFrame(index=index), pd.Series(dtype=float))


def test_the_sum_is_that_of_the_calibration(calibration: Calibration) -> None:
    found, whole = portfolio(calibration), calibration.total()
    assert found["cooperatives"] == 9
    assert found["mean_kg"] == pytest.approx(whole["mean_kg"], rel=1e-12)
    assert found["var"] == pytest.approx(whole["var"], rel=1e-9)
    assert found["p10_kg"] == pytest.approx(whole["p10"], rel=1e-9)


def test_one_cooperative_is_itself(calibration: Calibration) -> None:
    name = calibration.cooperatives.index[4]
    found, own = portfolio(calibration, [name]), calibration.cooperatives.loc[name]
    assert found["mean_kg"] == pytest.approx(own["supply_kg"])
    assert found["p90_kg"] == pytest.approx(own["supply_p90_kg"], rel=1e-6)
    assert found["diversification"] == pytest.approx(1.0)


def test_means_add_and_widths_do_not(calibration: Calibration) -> None:
    found = portfolio(calibration)
    table = calibration.cooperatives
    assert found["mean_kg"] == pytest.approx(table["supply_kg"].sum())
    assert found["p10_kg"] > table["supply_p10_kg"].sum()
    assert found["p90_kg"] < table["supply_p90_kg"].sum()
    assert 1 / 3 < found["diversification"] < 1


def test_shares_scale_and_weigh(calibration: Calibration) -> None:
    half, whole = portfolio(calibration, share=0.5), portfolio(calibration)
    assert half["mean_kg"] == pytest.approx(whole["mean_kg"] / 2)
    assert half["var"] == pytest.approx(whole["var"] / 4)
    assert half["diversification"] == pytest.approx(whole["diversification"])
    ids = calibration.cooperatives.index
    only = pd.Series([1.0] + [0.0] * 8, index=ids)
    assert portfolio(calibration, share=only)["p50_kg"] == pytest.approx(portfolio(calibration, ids[:1])["p50_kg"])


def test_no_order_and_no_repetition_shows(calibration: Calibration) -> None:
    ids = calibration.cooperatives.index.tolist()
    pd.testing.assert_series_equal(
        portfolio(calibration, ids), portfolio(calibration, ids[::-1] + ids[:2]), check_exact=True
    )


def test_parts_of_the_variance_add_up_to_one(calibration: Calibration) -> None:
    found = contributions(calibration)
    assert found["variance_share"].sum() == pytest.approx(1.0)
    assert found["kg_share"].sum() == pytest.approx(1.0)
    assert found["variance_share"].is_monotonic_decreasing
    # Euler: the part is how much the variance falls as this share falls, half the slope by Var.
    first, h = found.index[0], 1e-4
    share = pd.Series(1.0, index=calibration.cooperatives.index)
    up, down = (
        portfolio(calibration, share=share.mul(0.5).add(step * (share.index == first)))["var"] for step in (h, -h)
    )
    middle = portfolio(calibration, share=0.5)["var"]
    assert (up - down) / (2 * h) * 0.5 / (2 * middle) == pytest.approx(found.loc[first, "variance_share"], rel=1e-4)


def test_a_cooperative_without_supply_cannot_be_asked_for_and_is_left_out_of_all() -> None:
    world = supply_world(np.random.default_rng(3), cooperatives=4, origins=4, members=(5, 9))
    told = world.delivered_share[:3]
    known = calibrate(None, world.target, delivered_share=told)
    assert portfolio(known)["cooperatives"] == 3
    missing = world.cooperatives.index[3]
    with pytest.raises(UnknownNameError, match=str(missing)):
        portfolio(known, [missing])
    with pytest.raises(UnknownNameError, match="nobody"):
        portfolio(known, ["nobody"])


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_that_cannot_be_is_refused(calibration: Calibration, share: float) -> None:
    with pytest.raises(NumberError):
        portfolio(calibration, share=share)
    with pytest.raises(NumberError):
        portfolio(calibration, share=pd.Series({"C00": 0.5}))


# ---- potential alone ----


def test_the_potential_of_all_is_that_of_totals() -> None:
    some = items(["A", "A", "B", "C"], ["o", "o", "o", "q"], base_yield=0.35, cooperative=0.3, plot=0.5)
    found, whole = potential_portfolio(some), totals(some).loc["all"]
    assert found["mean_kg"] == 4000
    assert found["var"] == pytest.approx(whole["var"], rel=1e-12)
    assert found["p10_kg"] == pytest.approx(whole["p10"], rel=1e-12)
    part = potential_portfolio(some, ["C", "A"])
    assert part["var"] == pytest.approx(totals(some.where(pd.Series([True, True, False, True]))).loc["all", "var"])


def test_two_origins_diversify_more_than_one() -> None:
    one = potential_portfolio(items(["A", "B"], ["o", "o"], base_yield=0.35, cooperative=0.3))
    two = potential_portfolio(items(["A", "B"], ["o", "q"], base_yield=0.35, cooperative=0.3))
    assert two["diversification"] < one["diversification"] < 1
    same = potential_portfolio(items(["A", "B"], ["o", "o"], base_yield=0.35))
    assert same["diversification"] == pytest.approx(1.0)


def test_cooperatives_that_share_nothing_add_like_squares() -> None:
    n = 25
    found = potential_portfolio(items([f"C{i:02d}" for i in range(n)], ["o"] * n, cooperative=0.1))
    assert found["var"] == pytest.approx(n * 100.0**2)
    assert found["diversification"] == pytest.approx(1 / math.sqrt(n), rel=0.01)


def test_shares_of_potential() -> None:
    some = items(["A", "B"], ["o", "o"], base_yield=0.35, cooperative=0.3)
    found = potential_portfolio(some, share=pd.Series({"A": 1.0, "B": 0.25}))
    # Var = Σ w w' 10⁶ (1.1225 · (1 + .09 [same]) − 1).
    shared, same = 0.35**2, 1.1225 * 1.09 - 1
    assert found["mean_kg"] == 1250
    assert found["var"] == pytest.approx(1e6 * ((1 + 0.0625) * same + 2 * 0.25 * shared))
    assert found["p90_kg"] - found["p10_kg"] == pytest.approx(found["diversification"] * found["summed_width_kg"])


# ---- the chance of a quantity ----


@settings(deadline=None)
@given(st.floats(0.01, 2.0), st.sampled_from([0.1, 0.5, 0.9]))
def test_a_quantile_is_reached_with_its_chance(cv: float, q: float) -> None:
    total = pd.Series({"mean_kg": 1000.0, "var": (1000 * cv) ** 2})
    kg = interval(total["mean_kg"], total["var"], q)
    assert float(chance_of_at_least(kg, total)) == pytest.approx(1 - q, abs=1e-9)


def test_what_is_certain_is_reached_or_not() -> None:
    sure = pd.Series({"mean_kg": 100.0, "var": 0.0})
    assert chance_of_at_least([99.0, 100.0, 101.0], sure).tolist() == [1.0, 1.0, 0.0]
    nothing = pd.Series({"mean_kg": 0.0, "var": 0.0})
    assert chance_of_at_least([0.0, 1.0], nothing).tolist() == [1.0, 0.0]


def test_the_interval_of_a_portfolio_holds_the_truth_as_often_as_it_says() -> None:
    held = []
    for seed in range(4):
        world = supply_world(np.random.default_rng(seed), cooperatives=100, origins=25, members=(10, 40))
        known = calibrate(world.history(2), world.target, learn=False)
        for _, ids in world.cooperatives.groupby("origin").groups.items():
            found = portfolio(known, ids)
            held.append(found["p10_kg"] <= world.truth[ids].sum() <= found["p90_kg"])
    # 100 origins of four cooperatives each: 3 standard errors are 12 points.
    assert np.mean(held) == pytest.approx(0.80, abs=0.12)


def test_the_variance_of_a_weighted_sum_is_that_of_all_pairs(calibration: Calibration) -> None:
    ids = calibration.cooperatives.index
    weight = pd.Series(np.linspace(0.0, 1.0, len(ids)), index=ids)
    pairs = sum(weight[a] * weight[b] * calibration.covariance(a, b) for a in ids for b in ids)
    assert portfolio(calibration, share=weight)["var"] == pytest.approx(pairs, rel=1e-9)
