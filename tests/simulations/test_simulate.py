"""The made worlds obey their own laws, and on them the intervals hold the truth: a short form of the long run."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geomap.simulate import Breaks, supply_world
from geomap.simulate.truth import SEASONS, _cvs
from geomap.simulate.worlds import MAP_CLASS, SupplyWorld
from geomap.supply.calibrate import calibrate


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


simulate, alarms = script("simulate"), script("alarms")

SOURCES = (
    "base_yield", "conversion", "cooperative", "delivered_share", "season", "coop_season", "drawn", "unmapped", "map",
    "map_region", "member_season", "plot", "area", "uncovered", "gps",
)  # fmt: skip
EXACT = dict.fromkeys(SOURCES, 0.0)
SHARE = 0.8
SMALL = {"cooperatives": 100, "origins": 20, "members": (5, 150)}


def small(seed: int = 1, **options) -> SupplyWorld:
    return supply_world(
        np.random.default_rng(seed), **{"cooperatives": 40, "origins": 8, "members": (5, 60), **options}
    )


def error(members: pd.DataFrame) -> pd.Series:
    """Factor by which each member's deliveries differ from potential times delivered share."""
    return members["delivered_kg"] / members["potential_kg"] / SHARE


# ---- the generator ----


def test_without_errors_deliveries_are_potential_times_share():
    assert error(small(cv=EXACT).members).to_numpy() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("source", "group"),
    [
        ("base_yield", ["origin"]),
        ("conversion", ["form_pair"]),
        ("cooperative", ["cooperative_id"]),
        ("delivered_share", ["cooperative_id"]),
        ("season", ["origin", "season"]),
        ("coop_season", ["cooperative_id", "season"]),
        ("member_season", ["member_id", "season"]),
        ("drawn", ["cooperative_id", "mapped"]),
        ("unmapped", ["cooperative_id", "mapped"]),
        ("plot", ["member_id"]),
    ],
)
def test_an_error_is_shared_by_its_group_and_by_nobody_else(source, group):
    members = small(cv={**EXACT, source: 0.3}).members
    found = error(members).round(9).groupby([members[name] for name in group])
    assert (found.nunique() == 1).all()
    of_groups = found.first()
    if "mapped" in group:
        acts = of_groups.index.get_level_values("mapped") == (source == "drawn")
        assert (of_groups[~acts] == 1).all()
        of_groups = of_groups[acts]
    assert of_groups.nunique() == len(of_groups)


def test_the_error_of_the_map_goes_with_the_share_of_its_class():
    members = small(cv={**EXACT, "map": 0.3}).members
    loading = members[f"cv:map:{MAP_CLASS}"]
    log = np.log1p(loading**2)
    z = (np.log(error(members)) + log / 2) / np.sqrt(log)  # one draw for all
    assert loading.nunique() > 100
    assert z.to_numpy() == pytest.approx(z.iloc[0])


@pytest.mark.parametrize("tails", [0.0, 6.0])
def test_factors_have_mean_1_and_the_cv_that_is_asked_for(tails):
    world = small(cooperatives=4000, origins=4000, members=(5, 5), breaks=Breaks(tails=tails))
    asked = _cvs(None)
    for source, part in world.factors[world.factors["cv"].notna()].groupby("source"):
        if source == "conversion":
            continue  # one draw for each of two pairs
        factor, count = part["factor"], len(part)
        assert count >= 4000
        assert factor.mean() == pytest.approx(1.0, abs=5 * asked[source] / np.sqrt(count) + 0.02 * (tails > 0)), source
        assert factor.std() == pytest.approx(asked[source], rel=0.08 if not tails else 0.25), source


def test_the_mean_of_deliveries_is_potential_times_share():
    world = small(cooperatives=4000, origins=4000, members=(5, 30), cv={"conversion": 0.0})
    potential = world.target.groupby("cooperative_id")["potential_kg"].sum()
    ratio = world.truth / potential / SHARE
    assert ratio.mean() == pytest.approx(1.0, abs=4 * ratio.std() / np.sqrt(len(ratio)))


@pytest.mark.parametrize("mapped", [True, False])
def test_kappa_is_the_relative_variance_of_the_members_own_errors(mapped):
    own = {name: _cvs(None)[name] for name in ("plot", "area", "uncovered")} | {"gps": 0.06}
    members = small(cooperatives=200, members=(200, 200), cv={**EXACT, **own}).members
    chosen = members[(members["mapped"] == mapped) & (members["season"] == SEASONS[0])]
    kappa = (1 + 0.52**2) * (1 + 0.8**2) * (1 + 0.3**2) - 1
    if not mapped:
        assert chosen["kappa"].to_numpy() == pytest.approx(kappa)
    assert ((error(chosen) - 1) ** 2).mean() == pytest.approx(chosen["kappa"].mean(), rel=0.12)


@pytest.mark.parametrize(
    ("membership", "new", "gone"), [("stable", 0, 0), ("swapped", 4, 4), ("renewed", 4, 4)], ids=str
)
def test_a_fifth_of_twenty_members_is_four(membership, new, gone):
    world = small(members=(20, 20), membership=membership)
    before = world.members[world.members["season"] == SEASONS[-2]].groupby("cooperative_id")["member_id"].agg(set)
    now = world.target.groupby("cooperative_id")["member_id"].agg(set)
    assert {len(b - a) for a, b in zip(before, now, strict=True)} == {new}
    assert {len(a - b) for a, b in zip(before, now, strict=True)} == {gone}


def test_who_moves_gains_or_loses_a_fifth():
    now = small(members=(20, 20), membership="moved").cooperatives["members"]
    assert set(now) == {16, 24}


def test_what_a_scenario_does_not_touch_stays_the_same():
    stable, moved = small(), small(membership="moved")
    pd.testing.assert_frame_equal(stable.members, moved.members)
    pd.testing.assert_frame_equal(stable.factors, small(breaks=Breaks(drift=0.1)).factors)
    both = stable.target.merge(moved.target, on="member_id")
    assert 0.8 * len(stable.target) < len(both) < len(stable.target)
    assert (both["potential_kg_x"] == both["potential_kg_y"]).all()


def test_the_same_seed_gives_the_same_world():
    pd.testing.assert_frame_equal(small(5).members, small(5).members)
    assert not small(5).truth.equals(small(6).truth)


def test_members_add_up_to_their_cooperative():
    world = small(membership="renewed")
    sums = world.members.pivot_table(index="cooperative_id", columns="season", values="delivered_kg", aggfunc="sum")
    np.testing.assert_allclose(sums, world.delivered[list(SEASONS[:-1])])


def test_history_holds_the_last_seasons_and_what_is_known_only_as_a_sum():
    world = small(breaks=Breaks(by_total=0.5))
    found = world.history(2)
    assert world.history(0) is None
    assert sorted(found.members["season"].unique()) == list(SEASONS[1:3])
    whole = set(found.totals["cooperative_id"])
    assert 5 < len(whole) < 35
    hidden = found.members["cooperative_id"].isin(whole)
    assert (found.members["delivered_kg"].isna() == hidden).all()
    kg = found.totals.set_index(["cooperative_id", "season"])["delivered_kg"]
    assert kg[(min(whole), SEASONS[2])] == world.delivered.loc[min(whole), SEASONS[2]]


def test_breaks_break_what_they_say():
    kept, cv = small().members, dict(EXACT)
    skipped = small(members=(300, 300), breaks=Breaks(skipping=0.1)).members["delivered_kg"] == 0
    assert skipped.mean() == pytest.approx(0.1, abs=0.01)
    wrong = error(small(cv=cv, breaks=Breaks(map_bias=0.7)).members).round(9)
    assert set(wrong) == {0.7, 1.0}
    price = small(cv=cv, breaks=Breaks(price=0.15)).members
    assert (error(price).round(9).groupby(price["season"]).nunique() == 1).all()
    assert error(price).round(9).nunique() == len(SEASONS) - 1
    drift = small(cooperatives=3000, cv=cv, breaks=Breaks(drift=0.1)).delivered
    steps = np.log(drift).diff(axis=1).iloc[:, 1:]
    assert steps.to_numpy().std() == pytest.approx(0.1, rel=0.05)
    assert kept["delivered_kg"].min() > 0


# ---- the study ----


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    names = [name for name, scenario in simulate.SCENARIOS.items() if not scenario.broken]
    return simulate.simulate([(seed, names) for seed in range(6)], options=SMALL)[0]


@pytest.mark.parametrize("name", ["stable", "renewed"])
@pytest.mark.parametrize("seasons", [0, 1, 2, 3])
def test_intervals_hold_the_truth_as_often_as_they_say(scores, name, seasons):
    table = simulate.coverage_table(scores).set_index(["scenario", "seasons", "size"])
    found = table.loc[(name, seasons, "all")]
    # 600 cooperatives in 120 independent origins: errors of 1 to 3 %.
    assert found["in80_se"] < 3.5
    assert found["in80"] == pytest.approx(80, abs=2 + 3 * found["in80_se"])
    assert found["in95"] == pytest.approx(95, abs=1.5 + 3 * found["in95_se"])


def test_an_interval_that_forgets_shared_errors_is_caught():
    world = supply_world(np.random.default_rng(0), **SMALL)
    found = calibrate(world.history(3), world.target, delivered_share=world.delivered_share)
    p50 = found.cooperatives["supply_p50_kg"]
    width = np.exp(1.2816 * 0.12 / np.sqrt(3))  # as if three seasons of one cooperative were all there is to know
    narrow = found.cooperatives.assign(supply_p10_kg=p50 / width, supply_p90_kg=p50 * width)
    score = simulate.score(world, 3, replace(found, cooperatives=narrow))
    assert score["in80"].sum() / score["cooperatives"].sum() < 0.6


def test_after_three_seasons_the_model_beats_simple_rules(scores):
    gains = simulate.gain_table(scores).set_index(["scenario", "seasons"])
    for name, (over_last, over_mean) in {"stable": (15, 0), "moved": (30, 25), "swapped": (15, 3)}.items():
        found = gains.loc[(name, 3)]
        assert found["last season"] > over_last - 3 * found["last season_se"]
        assert found["mean of past"] > over_mean - 3 * found["mean of past_se"]


def test_the_report_holds_every_table(scores):
    coverage, gains = simulate.coverage_table(scores), simulate.gain_table(scores)
    targets = simulate.check_targets(coverage, gains)
    text = simulate.report(coverage, gains, targets)
    assert text.count("### ") == 5
    assert "| stable | 3 | 6 |" in text
    assert len(targets) == 2 * 4 * 2 * 4 + 6  # scenarios · seasons · intervals · (all and three sizes), and six gains


# ---- alarms ----


def test_outside_coffee_moves_an_alarm_by_the_logarithm_of_what_it_adds():
    # P = .9 is z = 1.2816 for D = 1.3 · expected, so s = ln 1.3 / 1.2816; once more 30 % doubles z: P = .995.
    row = {"cooperative_id": "C", "kind": "origin", "probability": 0.9, "delivered_kg": 1300.0, "expected_kg": 1000.0}
    for outside, rings in [(0.0, False), (0.05, False), (0.1, True), (0.3, True)]:  # z = 1.645 at D = 1.4 · expected
        assert alarms.raised(pd.DataFrame([row]), outside)["above"].tolist() == [rings]


def test_alarms_ring_more_often_the_more_is_mixed_in():
    options = {"cooperatives": 20, "origins": 2, "members": (10, 40)}
    cooperatives, members = alarms.run_world(1, options=options)
    rings = cooperatives[cooperatives["when"] == "this season"].groupby(["kind", "outside"])["above"].mean().unstack()
    assert list(rings.columns) == list(alarms.OUTSIDE)
    assert (rings.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert rings.loc["own past", 1.0] > 0.8
    assert rings[0.0].max() < 0.3
    steady = cooperatives[cooperatives["when"] == "every season"]
    assert steady["cooperative_id"].nunique() == 1  # a twentieth of 20
    assert 0 < members["caught"].item() <= members["guilty"].item()
    assert list(alarms.cooperative_table(cooperatives)["outside"]) == [*alarms.OUTSIDE, 1.0]
    assert alarms.member_table(members).shape == (1, 2)
