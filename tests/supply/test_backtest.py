"""Back-test: predictions of past seasons from those before them, beside naive rules."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.simulate.truth import SEASONS
from geomap.simulate.worlds import SupplyWorld, supply_world
from geomap.supply.backtest import (
    MODEL,
    MODEL_NEW,
    RULES,
    BackTest,
    backtest,
    before,
    delivered_by_season,
    members_of,
    pinball,
)
from geomap.supply.history import History

YEARS = ("2021/22", "2022/23", "2023/24", "2024/25")


def history(delivered: dict[str, list[float]], *, potential: list[float] | None = None) -> History:
    """Cooperatives of 10 equal members with these deliveries by season; potential of the whole by season."""
    base = potential or [10_000.0] * len(YEARS)
    rows = [
        {
            "cooperative_id": coop, "member_id": f"{coop}{i}", "season": season, "origin": "o", "region": "r",
            "form_pair": "a>a", "mapped": True, "potential_kg": land / 10, "kappa": 0.3, "delivered_kg": kg / 10,
        }
        for coop, series in delivered.items()
        for season, kg, land in zip(YEARS, series, base, strict=False)
        if not np.isnan(kg)
        for i in range(10)
    ]  # fmt: skip
    none = pd.DataFrame(
        {"cooperative_id": pd.Series(dtype="str"), "season": pd.Series(dtype="str"), "delivered_kg": []}
    )
    return History(pd.DataFrame(rows), none)


def said(found: BackTest, rule: str, season: str, coop: str = "A") -> "pd.Series[float]":
    rows = found.rows.set_index(["cooperative_id", "season", "rule"])
    return rows.loc[(coop, season, rule)]


def pooled(found: BackTest, rule: str) -> "pd.Series[float]":
    return found.scores[found.scores["cooperative_id"] == "all"].set_index("rule").loc[rule]


# ---- what is predicted from what ----


def test_naive_rules_are_last_mean_and_ratio() -> None:
    found = backtest(history({"A": [6000, 9000, 7000]}, potential=[10_000.0, 10_000.0, 20_000.0]))
    assert said(found, RULES[0], YEARS[2])["mean_kg"] == 9000
    assert said(found, RULES[1], YEARS[2])["mean_kg"] == 7500
    # (6000 + 9000) / 20000 of 20,000 kg.
    assert said(found, RULES[2], YEARS[2])["mean_kg"] == 15_000
    assert (found.rows.loc[found.rows["season"] == YEARS[2], "actual_kg"] == 7000).all()
    assert sorted(set(found.rows["season"])) == [YEARS[1], YEARS[2]]


def altered(past: History, season: str, times: float) -> History:
    """The history with other deliveries from a season on."""
    late = past.members["season"] >= season
    members = past.members.assign(delivered_kg=past.members["delivered_kg"].where(~late, 1 + 7 * times))
    sums = past.totals.assign(
        delivered_kg=past.totals["delivered_kg"].where(past.totals["season"] < season, 50_000 * times)
    )
    return History(members, sums)


@pytest.mark.parametrize("season", SEASONS[1:3])
def test_no_delivery_of_the_season_or_later_is_seen(season: str) -> None:
    world = supply_world(np.random.default_rng(1), cooperatives=9, origins=3, members=(5, 20))
    past = world.history(3)
    assert past is not None
    whole = past.members["cooperative_id"] == world.cooperatives.index[0]
    sums = past.members[whole].groupby(["cooperative_id", "season"], as_index=False)["delivered_kg"].sum()
    past = History(past.members.assign(delivered_kg=past.members["delivered_kg"].mask(whole)), sums)
    first, second = backtest(past), backtest(altered(past, season, 3.0))
    kept = [name for name in first.rows if name != "actual_kg"]
    until = first.rows["season"] <= season
    pd.testing.assert_frame_equal(
        first.rows.loc[until, kept], second.rows.loc[second.rows["season"] <= season, kept], check_exact=True
    )
    # Live: the seasons before do matter.
    third = backtest(altered(past, SEASONS[0], 3.0), learn=False)
    assert not first.rows.loc[until, "mean_kg"].equals(third.rows.loc[third.rows["season"] <= season, "mean_kg"])


def test_the_past_ends_before_the_season_and_the_target_tells_no_deliveries() -> None:
    past = history({"A": [1.0, 2.0, 3.0]})
    assert sorted(set(before(past, YEARS[2]).members["season"])) == [YEARS[0], YEARS[1]]
    assert members_of(past, YEARS[1])["delivered_kg"].isna().all()
    assert len(members_of(past, YEARS[1])) == 10


def test_a_season_known_as_a_whole_counts_with_its_total() -> None:
    past = history({"A": [6000, 9000]})
    members = past.members.assign(delivered_kg=past.members["delivered_kg"].mask(past.members["season"] == YEARS[1]))
    assert delivered_by_season(History(members, past.totals))["actual_kg"].tolist() == [6000]
    sums = pd.DataFrame({"cooperative_id": ["A"], "season": [YEARS[1]], "delivered_kg": [8500.0]})
    known = delivered_by_season(History(members, sums))
    assert known["actual_kg"].tolist() == [6000, 8500]
    assert known["potential_kg"].tolist() == [10_000, 10_000]


def test_a_member_whose_deliveries_are_not_known_is_neither_predicted_nor_counted() -> None:
    past = history({"A": [6000, 9000]})
    unknown = (past.members["season"] == YEARS[1]) & (past.members["member_id"] == "A0")
    found = backtest(History(past.members.assign(delivered_kg=past.members["delivered_kg"].mask(unknown)), past.totals))
    assert said(found, MODEL, YEARS[1])["actual_kg"] == 8100
    # Nine of ten members: 6000 / 10000 of 9,000 kg.
    assert said(found, RULES[2], YEARS[1])["mean_kg"] == pytest.approx(5400)


# ---- scores ----


def test_scores_are_those_of_the_rows() -> None:
    found = backtest(history({"A": [6000, 9000, 7000], "B": [5000, 4000, np.nan]}))
    last = pooled(found, RULES[0])
    # Predicted 6000, 9000, 5000 where 9000, 7000, 4000 came.
    assert last["predictions"] == 3
    assert last["seasons"] == 2
    assert last["bias"] == pytest.approx((6000 + 9000 + 5000 - 20_000) / 20_000)
    assert last["mape"] == pytest.approx((3 / 9 + 2 / 7 + 1 / 4) / 3)
    assert last["pinball_p50"] == pytest.approx(0.5 * (3000 + 2000 + 1000) / 20_000)
    assert np.isnan([last["pinball_p10"], last["coverage_80"], last["coverage_95"]]).all()
    of_b = found.scores.set_index(["cooperative_id", "rule"]).loc[("B", RULES[0])]
    assert of_b["mape"] == pytest.approx(0.25)
    model = pooled(found, MODEL)
    rows = found.rows[found.rows["rule"] == MODEL]
    inside = (rows["actual_kg"] >= rows["p10_kg"]) & (rows["actual_kg"] <= rows["p90_kg"])
    assert model["coverage_80"] == pytest.approx(inside.mean())
    assert model["pinball_p10"] == pytest.approx(
        sum(max(0.1 * m, -0.9 * m) for m in rows["actual_kg"] - rows["p10_kg"]) / rows["actual_kg"].sum()
    )


def test_all_rules_are_scored_on_the_same_rows() -> None:
    found = backtest(history({"A": [6000, 9000, 7000], "B": [np.nan, 4000, 4500]}))
    keys = {
        rule: set(zip(part["cooperative_id"], part["season"], strict=True)) for rule, part in found.rows.groupby("rule")
    }
    assert keys[MODEL] == keys[RULES[0]] == keys[RULES[1]] == keys[RULES[2]]
    assert keys[MODEL_NEW] == {("B", YEARS[1])}
    assert said(found, MODEL_NEW, YEARS[1], "B")["evidence"] == "deliveries of the origin"


def test_quantiles_are_in_order_and_agree_with_the_mean() -> None:
    rows = backtest(history({"A": [6000, 9000, 7000, 6500]})).rows
    rows = rows[rows["rule"] == MODEL]
    assert (np.diff(rows[["p2_5_kg", "p10_kg", "p50_kg", "p90_kg", "p97_5_kg"]].to_numpy(), axis=1) > 0).all()
    assert ((rows["mean_kg"] > rows["p50_kg"]) & (rows["mean_kg"] < rows["p90_kg"])).all()


def coverage(worlds: list[SupplyWorld]) -> "pd.Series[float]":
    rows = pd.concat([backtest(world.history(3), learn=False).rows for world in worlds])  # type: ignore[arg-type]
    rows = rows[rows["rule"] == MODEL]
    return pd.Series(
        {
            "80": ((rows["actual_kg"] >= rows["p10_kg"]) & (rows["actual_kg"] <= rows["p90_kg"])).mean(),
            "95": ((rows["actual_kg"] >= rows["p2_5_kg"]) & (rows["actual_kg"] <= rows["p97_5_kg"])).mean(),
            "n": len(rows),
        }
    )


def test_intervals_of_a_world_like_the_model_hold_as_often_as_they_say() -> None:
    worlds = [
        supply_world(np.random.default_rng(seed), cooperatives=60, origins=20, members=(5, 60)) for seed in range(3)
    ]
    held = coverage(worlds)
    # 360 predictions, two seasons of each cooperative: 3 standard errors of independent ones are 6.3 and 3.4 points.
    assert held["n"] == 360
    assert held["80"] == pytest.approx(0.80, abs=0.063)
    assert held["95"] == pytest.approx(0.95, abs=0.035)


@settings(deadline=None)
@given(actual=st.lists(st.floats(0, 1e6), min_size=5, max_size=30), q=st.sampled_from([0.1, 0.5, 0.9]))
def test_no_number_beats_the_quantile_by_pinball_loss(actual: list[float], q: float) -> None:
    best = pinball(actual, np.quantile(actual, q, method="inverted_cdf"), q).sum()
    for other in actual:
        assert best <= pinball(actual, other, q).sum() * (1 + 1e-9) + 1e-6


# ---- words ----


def test_a_loss_comes_first() -> None:
    # Deliveries of twice the potential, each season the same: "last season" is never wrong, the model starts too low.
    found = backtest(history({"A": [20_000.0] * 3, "B": [20_000.0] * 3}))
    assert found.wins[RULES[0]] is False
    assert found.sentence.startswith("The model loses to “same as last season” (0.0 %)")


def test_where_the_model_wins_the_sentence_says_by_how_much_and_on_what_it_rests() -> None:
    worlds = supply_world(np.random.default_rng(8), cooperatives=60, origins=10, members=(20, 60), membership="renewed")
    found = backtest(worlds.history(3), learn=False)  # type: ignore[arg-type]
    assert set(found.wins) == set(RULES)
    error = pooled(found, MODEL)["mape"]
    assert all(found.wins[rule] == (error <= pooled(found, rule)["mape"]) for rule in RULES)
    assert f"off by {100 * error:.1f} % on average" in found.sentence
    assert "(120 predictions in 2 seasons)" in found.sentence
    assert "too few" not in found.sentence


def test_few_predictions_are_said_to_be_few() -> None:
    assert backtest(history({"A": [6000, 9000, 7000]})).sentence.endswith("That is too few to tell rules apart.")


def test_one_season_is_no_back_test() -> None:
    found = backtest(history({"A": [6000]}))
    assert found.rows.empty
    assert found.scores.empty
    assert found.wins == {}
    assert found.sentence.startswith("There is no back-test yet")
    nothing = history({"A": [6000]})
    assert backtest(History(nothing.members[:0], nothing.totals)).rows.empty


def test_a_season_without_any_delivery_is_scored_but_has_no_percentage() -> None:
    found = backtest(history({"A": [6000, 0, 7000, 6000]}))
    assert said(found, MODEL, YEARS[1])["actual_kg"] == 0
    assert np.isfinite(pooled(found, MODEL)["mape"])


def test_the_back_test_does_not_depend_on_the_order_of_rows_nor_change_them() -> None:
    past = supply_world(np.random.default_rng(2), cooperatives=6, origins=2, members=(5, 20)).history(3)
    assert past is not None
    kept = past.members.copy()
    first, second = backtest(past), backtest(History(past.members[::-1], past.totals[::-1]))
    pd.testing.assert_frame_equal(first.rows, second.rows, check_exact=True)
    pd.testing.assert_frame_equal(first.scores, second.scores, check_exact=True)
    pd.testing.assert_frame_equal(past.members, kept)
