"""Field estimates and commitments: whose figure counts, and how it is corrected by what came before."""

import numpy as np
import pandas as pd
import pytest

from geomap.supply.told import COLUMNS, what_was_told

SEASON = "2026/27"

LAND = pd.DataFrame(
    {
        "plot_id": ["P1", "P2", "P3", "P4"],
        "member_id": ["A", "A", "B", "X"],
        "cooperative_id": ["C", "C", "C", "D"],
        "mean_kg": [100.0, 200.0, 400.0, 50.0],
    }
)
"""A has two plots of cooperative C, B one; X is of D."""

ONE = LAND[LAND["cooperative_id"] == "C"]


def rows_of(*rows, season=SEASON):
    """Figures from (cooperative_id, member_id, plot_id, kg), of nobody and no day."""
    frame = pd.DataFrame(rows, columns=["cooperative_id", "member_id", "plot_id", "kg"])
    return frame.assign(season=season, date=pd.NaT, estimator="")


def came(*rows, season="2025/26"):
    """Deliveries from (member_id, kg) of cooperative C."""
    return pd.DataFrame(rows, columns=["member_id", "kg"]).assign(cooperative_id="C", season=season)


def told(rows, *, kind="field estimates", deliveries=None, land=LAND, season=SEASON):
    return what_was_told(rows, kind, season=season, potential=land, deliveries=deliveries)


def given(rows, **options):
    """Kilograms as told, by cooperative."""
    return told(rows, **options).set_index("cooperative_id")["given_kg"].to_dict()


def test_without_a_past_the_middle_is_what_was_told_with_the_spread_of_the_start():
    found = told(rows_of(("C", "A", "", 100.0)), kind="commitments")
    assert found.columns.tolist() == COLUMNS
    row = found.iloc[0]
    assert row[["cooperative_id", "kind", "given_kg", "covers_kg", "seasons", "bias"]].tolist() == [
        "C", "commitments", 100.0, 300.0, 0, 1.0,
    ]  # fmt: skip
    # Variance .2² + .2² = .08: the mean is e^.04 above the middle, P10 e^(1.2816 · .2828) below it.
    assert row["p50_kg"] == pytest.approx(100.0)
    assert row["mean_kg"] == pytest.approx(100 * np.exp(0.04))
    assert row["p10_kg"] == pytest.approx(69.59, abs=0.01)
    assert row["p10_kg"] * row["p90_kg"] == pytest.approx(100.0**2)


def test_two_seasons_of_four_fifths_draw_the_figure_down():
    past = [rows_of(("C", "A", "", 100.0), season=season) for season in ("2024/25", "2025/26")]
    deliveries = pd.concat([came(("A", 80.0), season="2024/25"), came(("A", 80.0))])
    row = told(pd.concat([*past, rows_of(("C", "A", "", 100.0))]), deliveries=deliveries).iloc[0]
    # s² = (4 · .04 + 0) / (4 + 1) = .032; b = 2 ln .8 / (2 + .032 / .04) = 2 ln .8 / 2.8; variance .032 + .032 / 2.8.
    bias, spread = 2 * np.log(0.8) / 2.8, 0.032 + 0.032 / 2.8
    assert row["seasons"] == 2
    assert row["bias"] == pytest.approx(np.exp(bias)) and row["p50_kg"] == pytest.approx(100 * np.exp(bias))
    assert row["mean_kg"] == pytest.approx(100 * np.exp(bias + spread / 2))


def test_only_the_deliveries_of_those_who_were_told_of_are_held_against_it():
    past = rows_of(("C", "A", "", 100.0), season="2025/26")
    now = rows_of(("C", "A", "", 100.0))
    row = told(pd.concat([past, now]), deliveries=came(("A", 90.0), ("B", 500.0))).iloc[0]
    # One season, s² = 4 · .04 / 4 = .04, b = ln .9 / (1 + 1).
    assert row["bias"] == pytest.approx(np.sqrt(0.9))


@pytest.mark.parametrize("own_row", [[], [("", 600.0)]])
def test_a_figure_of_the_whole_cooperative_is_held_against_its_deliveries_once(own_row):
    # Rows by member come to 600; the cooperative's own row of 600 is their sum and not 600 more.
    rows = pd.concat([rows_of(("C", "", "", 600.0), season="2025/26"), rows_of(("C", "", "", 600.0))])
    deliveries = came(("A", 100.0), ("B", 500.0), *own_row)
    assert told(rows, deliveries=deliveries).iloc[0][["seasons", "bias"]].tolist() == [1, 1.0]


def test_deliveries_known_for_the_whole_cooperative_alone_answer_a_figure_of_the_whole():
    rows = pd.concat([rows_of(("C", "", "", 600.0), season="2025/26"), rows_of(("C", "", "", 600.0))])
    assert told(rows, deliveries=came(("", 600.0))).iloc[0]["seasons"] == 1
    by_member = pd.concat([rows_of(("C", "A", "", 600.0), season="2025/26"), rows_of(("C", "A", "", 600.0))])
    assert told(by_member, deliveries=came(("", 600.0))).iloc[0]["seasons"] == 0


@pytest.mark.parametrize("season", ["2026/27", "2027/28"])
def test_the_season_to_come_and_later_ones_teach_nothing(season):
    rows = pd.concat([rows_of(("C", "A", "", 100.0)), rows_of(("C", "A", "", 100.0), season="2027/28")])
    row = told(rows, deliveries=came(("A", 10.0), season=season)).iloc[0]
    assert row[["given_kg", "seasons", "bias"]].tolist() == [100.0, 0, 1.0]


def test_plots_are_summed_and_a_members_own_figure_wins_over_its_plots():
    plots = rows_of(("", "", "P1", 10.0), ("", "", "P2", 20.0), ("", "", "P3", 40.0))
    assert given(plots) == {"C": 70.0}
    assert given(pd.concat([plots, rows_of(("", "A", "", 25.0))])) == {"C": 65.0}  # 25 for A, 40 for B


def test_a_figure_of_the_whole_cooperative_wins_over_those_of_its_members():
    rows = rows_of(("C", "A", "", 25.0), ("C", "", "", 500.0), ("D", "X", "", 7.0))
    found = told(rows).set_index("cooperative_id")
    assert found["given_kg"].to_dict() == {"C": 500.0, "D": 7.0}
    assert found["covers_kg"].to_dict() == {"C": 700.0, "D": 50.0}


def test_a_plot_estimated_again_counts_with_the_last_day():
    rows = rows_of(("", "", "P1", 90.0), ("", "", "P1", 60.0), ("", "", "P2", 20.0))
    rows["date"] = pd.to_datetime(["2026-08-03", "2026-10-05", "2026-08-03"])
    assert given(rows) == {"C": 80.0}  # 60 of October and 20
    rows["date"] = pd.to_datetime(["2026-08-03", None, "2026-08-03"])
    assert given(rows) == {"C": 110.0}  # a day that is not known is not later than one that is


def test_two_who_estimate_one_plot_on_a_day_count_with_their_mean():
    rows = rows_of(("", "", "P1", 90.0), ("", "", "P1", 60.0)).assign(estimator=["Ana", "Luis"])
    assert given(rows) == {"C": 75.0}
    assert given(rows.assign(estimator="Ana")) == {"C": 150.0}  # two lots of one plot


def test_commitments_add_up_whenever_they_were_signed():
    rows = rows_of(("C", "A", "", 90.0), ("C", "A", "", 60.0))
    rows["date"] = pd.to_datetime(["2026-08-03", "2026-10-05"])
    assert given(rows, kind="commitments") == {"C": 150.0}


def test_who_names_no_cooperative_is_of_the_only_one_or_of_none():
    whole = rows_of(("", "", "", 500.0))
    assert given(whole, land=ONE) == {"C": 500.0}
    assert given(whole) == {}
    assert given(rows_of(("", "X", "", 5.0))) == {"D": 5.0}


def test_a_plot_that_nobody_knows_is_left_out():
    assert given(rows_of(("", "", "P9", 30.0), ("", "", "P1", 10.0))) == {"C": 10.0}


def test_nothing_told_of_the_season_gives_no_row():
    assert len(told(rows_of(("C", "A", "", 100.0), season="2025/26"))) == 0
    assert len(told(rows_of(("C", "A", "", 0.0)))) == 0


@pytest.mark.parametrize("season", ["2026/2027", "2026-27"])
def test_a_season_may_be_written_in_several_ways(season):
    assert given(rows_of(("C", "A", "", 100.0)), season=season) == {"C": 100.0}


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(5)
    rows = rows_of(*(("", "", plot, kg) for plot in ("P1", "P2", "P3") for kg in rng.lognormal(3, 1, 9)))
    rows = pd.concat([rows, rows.assign(season="2025/26")]).assign(estimator=rng.choice(["Ana", "Luis"], 2 * len(rows)))
    deliveries = came(*(("AB"[k % 2], kg) for k, kg in enumerate(rng.lognormal(4, 1, 40))))
    mixed = rows.sample(frac=1, random_state=1), deliveries.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(
        told(rows, deliveries=deliveries), told(mixed[0], deliveries=mixed[1]), check_exact=True
    )
