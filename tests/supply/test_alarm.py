"""Alarms: deliveries that the plots cannot explain, and yields that cannot be."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from statsmodels.stats.multitest import fdrcorrection

from geomap.findings import CODES
from geomap.simulate.truth import SEASONS
from geomap.simulate.worlds import SupplyWorld, supply_world
from geomap.supply.alarm import (
    PRIVATE_CODES,
    alarm_findings,
    cooperative_alarms,
    false_discovery_rates,
    member_alarms,
)
from geomap.supply.history import History
from geomap.supply.implausible import check_base_yields, check_plot_yields

COMING = SEASONS[-1]
LAST = SEASONS[-2]


def world(seed: int, *, cooperatives: int, origins: int, members: int = 50) -> SupplyWorld:
    """Cooperatives that receive all that their members bear, 50 members each with measured plots."""
    return supply_world(
        np.random.default_rng(seed), cooperatives=cooperatives, origins=origins, members=(members, members),
        unmapped=0.0, delivered_share=1.0, cv={"delivered_share": 0.0},
    )  # fmt: skip


def with_coming(found: SupplyWorld, *, times: float = 1.0) -> History:
    """Three past seasons and the coming one, of which every cooperative reports so many times what it bore."""
    past = found.history(3)
    assert past is not None
    kg = (found.truth * times).rename("delivered_kg").rename_axis("cooperative_id").reset_index()
    return History(
        members=pd.concat([past.members, found.target], ignore_index=True),
        totals=kg.assign(season=pd.Series([COMING] * len(kg), dtype="str"))[
            ["cooperative_id", "season", "delivered_kg"]
        ],
    )


def asked(found: SupplyWorld, *, times: float = 1.0) -> pd.DataFrame:
    return cooperative_alarms(
        with_coming(found, times=times), COMING, delivered_share=found.delivered_share, learn=False
    )


def rate(table: pd.DataFrame, kind: str, side: str) -> float:
    return float((table.loc[table["kind"] == kind, "side"] == side).mean())


# ---- cooperatives ----


def test_false_alarms_come_in_one_of_twenty_and_doubled_deliveries_are_caught_as_often_as_documented() -> None:
    # Origins of one cooperative each: all 250 cases are independent. Three standard errors of 5 %: 4.1 points.
    worlds = [world(seed, cooperatives=25, origins=25) for seed in range(10)]
    honest, doubled = (pd.concat([asked(one, times=times) for one in worlds]) for times in (1.0, 2.0))
    for kind in ("prior only", "own past"):
        assert rate(honest, kind, "above") == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 250))
    assert rate(honest, "own past", "below") == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 250))
    assert rate(doubled, "prior only", "above") == pytest.approx(0.41, abs=3 * math.sqrt(0.41 * 0.59 / 250))
    assert rate(doubled, "own past", "above") == pytest.approx(0.97, abs=3 * math.sqrt(0.97 * 0.03 / 250))
    assert set(honest["kind"]) == {"prior only", "own past"}


def test_the_other_cooperatives_of_the_origin_catch_more_than_the_prior_and_less_than_the_own_past() -> None:
    found = world(7, cooperatives=40, origins=1)
    table = asked(found)
    ratio = np.log(table["delivered_kg"] / table["expected_kg"]).to_numpy()
    # The spread that each probability stands for, and how often + 100 % passes .95 with it: Φ(ln 2 / s − 1.645).
    power = {
        kind: float(np.mean(ndtr(math.log(2) * _z(part) / ratio[part.index] - 1.645)))
        for kind, part in table.groupby("kind")
    }
    assert power["prior only"] == pytest.approx(0.41, abs=0.02)
    assert 0.58 <= power["origin"] <= 0.65
    assert 0.95 <= power["own past"] <= 0.99
    assert rate(table, "origin", "above") <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 40)


def _z(part: pd.DataFrame) -> np.ndarray:
    from scipy.special import ndtri

    return np.asarray(ndtri(part["probability"].to_numpy()))


def test_a_cooperative_that_always_mixes_is_seen_by_the_others_but_not_by_its_own_past() -> None:
    found = world(3, cooperatives=24, origins=1)
    history = with_coming(found)
    mixer = found.cooperatives.index[0]
    members, sums = history.members.copy(), history.totals.copy()
    members.loc[members["cooperative_id"] == mixer, "delivered_kg"] *= 4
    sums.loc[sums["cooperative_id"] == mixer, "delivered_kg"] *= 4
    table = cooperative_alarms(
        History(members, sums), COMING, delivered_share=found.delivered_share, learn=False
    ).set_index(["cooperative_id", "kind"])
    assert table.loc[(mixer, "own past"), "side"] == "as expected"
    assert table.loc[(mixer, "origin"), "side"] == "above"


def test_what_a_cooperative_delivered_itself_does_not_move_what_the_origin_says_of_it() -> None:
    found = world(5, cooperatives=6, origins=1, members=10)
    history = with_coming(found)
    mine = found.cooperatives.index[2]
    changed = history.members.copy()
    changed.loc[changed["cooperative_id"] == mine, "delivered_kg"] *= 3
    tables = [
        cooperative_alarms(one, COMING, learn=False).set_index(["kind", "cooperative_id"])["expected_kg"]
        for one in (history, replace(history, members=changed))
    ]
    assert tables[0]["origin", mine] == tables[1]["origin", mine]
    assert tables[0]["own past", mine] != tables[1]["own past", mine]


def test_an_alarm_is_for_the_cooperative_alone_and_begins_with_the_unmapped_plot() -> None:
    table = asked(world(2, cooperatives=12, origins=12, members=10), times=5.0)
    assert (table["audience"] == "cooperative").all()
    above = table[table["side"] == "above"]
    assert len(above) > 0
    assert above["words"].str.startswith("First check for a plot that is not mapped").all()
    assert not above["words"].str.contains("fraud").any()


def test_what_the_land_can_bear_need_not_all_be_delivered() -> None:
    found = world(6, cooperatives=4, origins=1, members=20)
    table = asked(found, times=0.2)
    assert set(table.loc[table["kind"] != "prior only", "side"]) == {"below"}
    assert set(table.loc[table["kind"] == "prior only", "side"]) == {"as expected"}
    assert (table.loc[table["side"] == "below", "words"].str.startswith("First ask about sales to others")).all()


def test_an_unsure_conversion_weakens_an_alarm() -> None:
    history = with_coming(world(2, cooperatives=6, origins=6, members=10), times=3.0)
    sure, unsure = (cooperative_alarms(history, COMING, conversion_cv=cv, learn=False) for cv in (0.0, 0.3))
    high = sure["probability"] > 0.5
    assert (unsure["probability"] < sure["probability"])[high].all()
    pd.testing.assert_series_equal(sure["expected_kg"], unsure["expected_kg"])


def test_alarms_do_not_depend_on_the_order_of_rows_nor_change_them() -> None:
    history = with_coming(world(4, cooperatives=6, origins=2, members=8))
    before = history.members.copy()
    turned = History(history.members[::-1], history.totals[::-1])
    first, second = (cooperative_alarms(one, COMING, learn=False) for one in (history, turned))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    pd.testing.assert_frame_equal(
        member_alarms(history, LAST, learn=False), member_alarms(turned, LAST, learn=False), check_exact=True
    )
    pd.testing.assert_frame_equal(history.members, before)


# ---- members ----


def one_season(delivered: list[float], *, kappa: float = 0.3, seasons: tuple[str, ...] = (LAST,)) -> History:
    """One cooperative, equal members with 1,000 kg of potential each; the same deliveries in each season."""
    rows = [
        {
            "cooperative_id": "C", "member_id": f"M{i:02d}", "season": season, "origin": "o", "region": "r",
            "form_pair": "a>a", "mapped": True, "potential_kg": 1000.0, "kappa": kappa, "delivered_kg": kg,
        }
        for season in seasons
        for i, kg in enumerate(delivered)
    ]  # fmt: skip
    none = pd.DataFrame(
        {"cooperative_id": pd.Series(dtype="str"), "season": pd.Series(dtype="str"), "delivered_kg": []}
    )
    return History(pd.DataFrame(rows), none)


def test_a_member_is_held_against_the_others_of_the_season() -> None:
    # 20 others deliver 700 of 1,000 kg: 700 is expected. s² = ln(1.3 · 1.09 + (1.3 · 1.09 − 1) / 20).
    table = member_alarms(one_season([5000.0] + [700.0] * 20), LAST).set_index("member_id")
    s2 = math.log(1.3 * 1.09 + (1.3 * 1.09 - 1) / 20)
    assert table.loc["M00", "expected_kg"] == pytest.approx(700 * math.exp(-s2 / 2))
    assert table.loc["M00", "probability"] == pytest.approx(
        ndtr((math.log(5000 / 700) + s2 / 2) / math.sqrt(s2)), rel=1e-9
    )
    assert table.loc["M00", "side"] == "above"
    assert (table.drop("M00")["side"] == "as expected").all()


def test_a_good_year_of_all_is_no_alarm() -> None:
    assert (member_alarms(one_season([3000.0] * 15), LAST)["side"] == "as expected").all()


def test_a_member_who_delivered_nothing_is_told_apart_from_the_ranking() -> None:
    table = member_alarms(one_season([0.0, 20.0] + [700.0] * 20), LAST).set_index("member_id")
    assert table.loc["M00", "side"] == "nothing"
    assert np.isnan(table.loc["M00", "false_discovery"])
    assert table.loc["M00", "words"].startswith("First ask whether the member left")
    assert table.loc["M01", "side"] == "below"
    assert "sales to others" in table.loc["M01", "words"]


def test_an_own_past_sharpens_what_is_expected_of_a_member() -> None:
    # M00 always delivered 2,000 kg: so much again is no surprise; without a past it is less likely.
    steady = [2000.0] + [700.0] * 20
    new = member_alarms(one_season(steady), LAST).set_index("member_id")
    known = member_alarms(one_season(steady, seasons=SEASONS[:3]), LAST, learn=False).set_index("member_id")
    assert known.loc["M00", "expected_kg"] > 1.5 * new.loc["M00", "expected_kg"]
    assert known.loc["M00", "probability"] < new.loc["M00", "probability"]


def test_the_share_of_false_alarms_among_named_members_is_held() -> None:
    # Nobody mixes: whoever is named is a false alarm. In at most 10 % of cooperatives (and 3 standard errors) one is.
    table = member_alarms(world(9, cooperatives=80, origins=10).history(1), LAST)  # type: ignore[arg-type]
    named = table.assign(above=table["side"] == "above").groupby("cooperative_id")["above"].any()
    assert named.mean() <= 0.10 + 3 * math.sqrt(0.1 * 0.9 / 80)
    # The tails are those of the truth: 5 % of members beyond .95.
    assert (table["probability"] >= 0.95).mean() == pytest.approx(0.05, abs=0.02)


def test_members_come_by_the_smallest_rate_first() -> None:
    table = member_alarms(one_season([4000.0, 9000.0] + [700.0] * 20), LAST)
    assert table["false_discovery"].is_monotonic_increasing
    assert set(table["member_id"].head(2)) == {"M00", "M01"}
    assert (table["audience"] == "cooperative").all()


def test_a_member_of_two_cooperatives_is_judged_in_each() -> None:
    history = one_season([700.0] * 12, seasons=SEASONS[:3])
    other = history.members.assign(cooperative_id="D")
    other.loc[(other["member_id"] == "M03") & (other["season"] == LAST), "delivered_kg"] = 9000.0
    table = member_alarms(History(pd.concat([history.members, other]), history.totals), LAST, learn=False)
    assert len(table) == 24
    named = table[table["side"] == "above"]
    assert named[["cooperative_id", "member_id"]].values.tolist() == [["D", "M03"]]


def test_a_cooperative_of_one_member_has_nobody_to_compare_with() -> None:
    assert member_alarms(one_season([700.0]), LAST).empty


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_rates_are_those_of_benjamini_and_hochberg(p: list[float]) -> None:
    np.testing.assert_allclose(false_discovery_rates(p), fdrcorrection(p)[1], rtol=1e-12, atol=1e-300)


def test_missing_values_do_not_count() -> None:
    np.testing.assert_allclose(false_discovery_rates([0.01, np.nan, 0.2]), [0.02, np.nan, 0.2], equal_nan=True)


def test_a_season_without_deliveries_gives_empty_tables() -> None:
    history = one_season([700.0] * 3)
    for table in (cooperative_alarms(history, "2030/31"), member_alarms(history, "2030/31")):
        assert table.empty
        assert "audience" in table


# ---- findings ----


def test_alarms_become_findings_that_stay_private() -> None:
    history = one_season([5000.0, 20.0] + [700.0] * 20)
    members = member_alarms(history, LAST)
    coops = cooperative_alarms(history, LAST)
    found = alarm_findings(coops, members)
    assert set(found["code"]) == {"more_than_expected", "less_than_expected"} == PRIVATE_CODES
    above = found.loc[found["code"] == "more_than_expected", "message"].tolist()
    assert len(above) == 1
    assert above[0].startswith("First check for a plot that is not mapped")
    assert "Member M00, 2025/26: 5,000 kg delivered" in above[0].replace(LAST, "2025/26")
    assert PRIVATE_CODES <= set(CODES)


def test_a_plot_beyond_four_times_the_base_is_flagged() -> None:
    found = check_plot_yields(pd.Series({"B": 2801.0, "A": 2800.0}), 700.0)
    assert found["plot_id"].tolist() == ["B"]
    assert found["code"].tolist() == ["yield_beyond_base"]
    by_plot = check_plot_yields(pd.Series({"B": 2801.0, "A": 2800.0}), pd.Series({"A": 600.0, "B": 900.0}))
    assert by_plot["plot_id"].tolist() == ["A"]


def test_a_base_of_2772_kg_of_cocoa_cannot_be_where_neighbours_have_400() -> None:
    told = pd.Series({"A": 2772.0, "B": 410.0, "C": 390.0, "D": np.nan})
    found = check_base_yields(told, 493.0)
    assert found["code"].tolist() == ["base_cannot_be"]
    assert "2,772 kg; the usual is 493 kg and the others tell about 400 kg" in found.loc[0, "message"]


def test_a_base_is_flagged_only_where_it_is_far_from_table_and_neighbours() -> None:
    high = pd.Series({"A": 2400.0, "B": 2300.0, "C": 2500.0})
    assert check_base_yields(high, 493.0).empty
    # Alone, only the table speaks: 4 · 493 = 1972, 493 / 4 = 123.
    assert check_base_yields(high[:1], 493.0)["code"].tolist() == ["base_cannot_be"]
    assert check_base_yields(pd.Series({"A": 124.0}), 493.0).empty
    assert len(check_base_yields(pd.Series({"A": 123.0}), pd.Series({"A": 493.0}))) == 1
