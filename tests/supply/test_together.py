"""Signed totals of several cooperatives: what shared errors do to the low case of their sum."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.supply.together import Signed, chance_too, shared_kinds, together
from geomap.supply.totals import interval

Z = 1.2815515655446004


def signed(mean=100.0, spread=0.3, *, country="HN", **shared):
    """A cooperative whose kilograms are log-normal with this mean and standard deviation of the log."""
    low, high = (mean * math.exp(z * spread - spread**2 / 2) for z in (-Z, Z))
    return Signed(country, mean, low, high, shared)


def test_the_sum_of_independent_cooperatives_has_the_variances_added() -> None:
    found = together([signed(100.0), signed(50.0, 0.4)])
    var = 100.0**2 * math.expm1(0.3**2) + 50.0**2 * math.expm1(0.4**2)
    assert found["joint_p10_kg"] == found["alone_p10_kg"] == pytest.approx(float(interval(150.0, var, 0.1)))
    assert (found["correlation"], found["chance_too"]) == (0.0, pytest.approx(0.1, abs=1e-3))


def test_cooperatives_that_share_all_have_their_low_cases_added() -> None:
    found = together([signed(100.0, season=1.0), signed(50.0, season=1.0)])
    assert found["joint_p10_kg"] == pytest.approx(found["at_once_p10_kg"])
    assert found["joint_p90_kg"] == pytest.approx(found["at_once_p90_kg"])
    assert found["chance_too"] == 1.0


def test_seasons_are_shared_within_a_country_and_the_map_everywhere() -> None:
    near = together([signed(season=0.5), signed(season=0.5)])
    far = together([signed(season=0.5), signed(season=0.5, country="PE")])
    mapped = together([signed(map=0.5), signed(map=0.5, country="PE")])
    assert [round(one["correlation"], 6) for one in (near, far, mapped)] == [0.5, 0.0, 0.5]


def test_simulated_sums_are_below_the_joint_low_case_one_time_in_ten() -> None:
    """40 % of the variance shared by both; 200,000 seasons: ±.002 at the 95 % level, and the log-normal's own error."""
    rng = np.random.default_rng(1)
    found = together([signed(100.0, 0.35, season=0.4), signed(60.0, 0.35, season=0.4)])
    shared = math.sqrt(0.4) * rng.normal(size=200_000)
    logs = [0.35 * (shared + math.sqrt(0.6) * rng.normal(size=200_000)) for _ in range(2)]
    kg = [mean * np.exp(log - 0.35**2 / 2) for mean, log in zip((100.0, 60.0), logs, strict=True)]
    assert np.mean(sum(kg) < found["joint_p10_kg"]) == pytest.approx(0.1, abs=0.006)
    low = [kg[k] < signed(mean, 0.35).p10_kg for k, mean in enumerate((100.0, 60.0))]
    assert np.mean(low[1][low[0]]) == pytest.approx(found["chance_too"], abs=0.01)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.floats(1e2, 1e6), st.floats(0.05, 0.8), st.sampled_from(["HN", "PE"]), st.floats(0, 1)),
        min_size=2,
        max_size=6,
    )
)
def test_the_joint_low_case_lies_between_all_at_once_and_none_shared(rows) -> None:
    each = [signed(kg, spread, country=country, season=share) for kg, spread, country, share in rows]
    found = together(each)
    assert found["at_once_p10_kg"] <= found["joint_p10_kg"]
    assert found["joint_p10_kg"] <= found["alone_p10_kg"] * (1 + 1e-9)
    again = together(each[::-1])
    assert again["joint_p10_kg"] == pytest.approx(found["joint_p10_kg"])


def test_one_cooperative_alone_is_what_it_signed() -> None:
    one = signed(season=0.5)
    found = together([one])
    assert [found[f"{name}_p10_kg"] for name in ("joint", "alone", "at_once")] == [one.p10_kg] * 3
    assert found["chance_too"] is None


def test_no_joint_case_is_made_up_where_one_does_not_tell_what_it_shares() -> None:
    found = together([signed(season=0.5), replace(signed(), shared=None)])
    assert (found["joint_p10_kg"], found["correlation"]) == (None, None)
    assert found["alone_p10_kg"] > found["at_once_p10_kg"]


def test_shares_that_add_up_to_more_than_the_whole_are_scaled_down() -> None:
    found = together([signed(season=0.9, base_yield=0.9)] * 2)
    assert found["correlation"] == pytest.approx(1.0)


@pytest.mark.parametrize(("correlation", "chance"), [(0.0, 0.1), (0.5, 0.3239), (0.9, 0.6886), (1.0, 1.0)])
def test_the_chance_of_a_second_bad_year_is_that_of_two_normals(correlation, chance) -> None:
    """By scipy: multivariate_normal([0, 0], [[1, ρ], [ρ, 1]]).cdf([z, z]) / .1"""
    from scipy.stats import multivariate_normal

    if correlation < 1:
        both = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([-Z, -Z])
        assert chance_too(correlation) == pytest.approx(both / 0.1, abs=2e-3)
    assert chance_too(correlation) == pytest.approx(chance, abs=3e-3)


def test_only_what_others_share_is_kept_and_to_a_hundredth() -> None:
    rows = [{"source": "season", "share": 0.1234}, {"source": "cooperative", "share": 0.5}]
    assert shared_kinds(rows) == {"base_yield": 0.0, "season": 0.12, "map_region": 0.0, "map": 0.0, "conversion": 0.0}
