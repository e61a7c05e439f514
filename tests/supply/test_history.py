"""Past seasons as calibration reads them: potentials with their errors beside deliveries."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.supply.history import make_history, target_frame
from geomap.supply.items import Items
from geomap.supply.totals import totals

SEASON = "2024/25"


def items_of(rows: list[tuple[str, str, str, float]], **cv: float) -> Items:
    """Items from (plot_id, member_id, kind, mean_kg), all of cooperative C."""
    table = pd.DataFrame(rows, columns=["plot_id", "member_id", "kind", "mean_kg"]).set_index("plot_id")
    table = table.assign(cooperative_id="C", origin="o", region="r", form_pair="a>a", season="")
    index = table.index
    return Items(table, pd.DataFrame(cv, index=index), pd.DataFrame(index=index), pd.Series(dtype=float))


def rows_of(*rows: tuple[str, str, float], season: str = SEASON) -> pd.DataFrame:
    """Deliveries from (cooperative_id, member_id, kg)."""
    frame = pd.DataFrame(rows, columns=["cooperative_id", "member_id", "kg"])
    return frame.assign(season=season, row=range(1, len(frame) + 1))


TWO = items_of([("P1", "A", "measured", 300.0), ("P2", "A", "measured", 100.0), ("P3", "B", "measured", 200.0)])


def delivered(history) -> dict[str, float]:
    return history.members.set_index("member_id")["delivered_kg"].to_dict()


def test_a_member_without_a_row_delivered_nothing_where_others_have_rows():
    history, found = make_history({SEASON: TWO}, rows_of(("C", "A", 150.0), ("C", "A", 50.0)))
    assert delivered(history) == {"A": 200.0, "B": 0.0}
    assert history.members["potential_kg"].tolist() == [400.0, 200.0]
    assert len(history.totals) == 0 and len(found) == 0


def test_a_season_known_for_the_whole_cooperative_goes_to_the_totals():
    history, _ = make_history({SEASON: TWO}, rows_of(("C", "", 480.0)))
    assert history.members["delivered_kg"].isna().all() and len(history.members) == 2
    assert history.totals.to_numpy().tolist() == [["C", SEASON, 480.0]]


@pytest.mark.parametrize(("whole", "codes"), [(203.0, []), (300.0, ["delivery_sums_differ"])])
def test_rows_by_member_win_and_the_sum_of_the_cooperative_is_a_check(whole, codes):
    # 203 against 200 differ by 1.5 %, 300 against 200 by a third.
    history, found = make_history({SEASON: TWO}, rows_of(("C", "A", 200.0), ("C", "", whole)))
    assert delivered(history) == {"A": 200.0, "B": 0.0}
    assert len(history.totals) == 0
    assert found["code"].tolist() == codes


def test_deliveries_without_a_potential_stay_out_and_are_reported_with_their_kilograms():
    young = items_of([("P1", "A", "measured", 300.0), ("P2", "Y", "measured", 0.0)])
    history, found = make_history({SEASON: young}, rows_of(("C", "A", 90.0), ("C", "Y", 10.0), ("C", "X", 7.0)))
    assert delivered(history) == {"A": 90.0}
    assert found["code"].tolist() == ["delivery_without_potential"]
    assert found["effect_kg"].tolist() == [-17.0]
    assert "17 kg" in found["message"][0] and "X, Y" in found["message"][0]


def test_rows_of_strangers_alone_do_not_make_members_deliver_nothing():
    history, found = make_history({SEASON: TWO}, rows_of(("C", "X", 500.0)))
    assert len(history.members) == 0
    assert found["effect_kg"].tolist() == [-500.0]


def test_only_those_who_were_members_then_are_in_a_season():
    history, found = make_history({SEASON: TWO}, rows_of(("C", "A", 90.0), ("C", "B", 5.0)), active={SEASON: {"A"}})
    assert delivered(history) == {"A": 90.0}
    assert found["effect_kg"].tolist() == [-5.0]


def test_plots_without_a_member_count_as_members_of_their_own():
    nobody = items_of([("P1", "", "measured", 300.0), ("P2", "", "measured", 100.0)])
    history, _ = make_history({SEASON: nobody}, rows_of(("C", "", 200.0)), active={SEASON: set()})
    assert history.members["member_id"].tolist() == ["plot:P1", "plot:P2"]


def test_seasons_without_items_and_cooperatives_without_deliveries_have_no_rows():
    history, _ = make_history({SEASON: TWO}, rows_of(("C", "A", 90.0), season="2020/21"))
    assert len(history.members) == 0
    assert history.members.columns.tolist() == target_frame(TWO, SEASON).columns.tolist()


def test_a_season_of_zeros_was_not_recorded():
    history, _ = make_history({SEASON: TWO}, rows_of(("C", "A", 0.0), ("C", "B", 0.0)))
    assert len(history.members) == len(history.totals) == 0


def test_no_deliveries_give_an_empty_history():
    history, found = make_history({}, rows_of())
    assert len(history.members) == len(history.totals) == len(found) == 0


def test_kappa_is_the_weighted_sum_over_the_plots_of_a_member():
    cv = {"plot": 0.5, "area": 0.2, "drawn": 0.1, "cooperative": 0.3}
    both = items_of([("P1", "A", "measured", 300.0), ("P2", "A", "measured", 100.0)], **cv)
    frame = target_frame(both, "2026/27")
    # (.75² + .25²) · (1.25 · 1.04 − 1) = .625 · .3
    assert frame["kappa"].tolist() == pytest.approx([0.1875])
    assert frame["cv:drawn"].tolist() == pytest.approx([0.1])
    assert frame["delivered_kg"].isna().all()


def test_loadings_of_the_map_are_shares_times_its_errors():
    plain = items_of([("P1", "A", "measured", 300.0), ("P2", "A", "unmapped", 100.0)], unmapped=0.0)
    plain.cv.loc["P2", "unmapped"] = 0.35
    share = pd.DataFrame({"WC:50": [0.2, 0.0]}, index=plain.table.index)
    frame = target_frame(Items(plain.table, plain.cv, share, pd.Series({"WC:50": 0.05})), "2026/27").iloc[0]
    assert frame["cv:map:WC:50"] == pytest.approx(0.75 * 0.2 * 0.05)
    assert frame["cv:map_region:WC:50"] == pytest.approx(0.75 * 0.2 * 0.10)
    assert frame["cv:unmapped"] == pytest.approx(0.25 * 0.35)
    assert frame["mapped"]


def test_the_parts_of_a_member_give_the_exact_variance_of_its_potential():
    # Without sources of the whole cooperative, Var / S² of a member is (1 + drawn²)(1 + kappa) − 1.
    one = items_of([("P1", "A", "measured", 300.0), ("P2", "A", "measured", 100.0)], plot=0.52, drawn=0.1)
    frame, sums = target_frame(one, "2026/27"), totals(one)
    expected = 1.01 * (1 + frame["kappa"][0]) - 1
    assert sums["var"]["all"] / 400.0**2 == pytest.approx(expected)


def test_classes_that_a_season_does_not_know_have_no_loading():
    share = pd.DataFrame({"WC:50": [0.2]}, index=pd.Index(["P1"], name="plot_id"))
    plain = items_of([("P1", "A", "measured", 300.0)])
    mapped = Items(plain.table, plain.cv, share, pd.Series({"WC:50": 0.05}))
    rows = pd.concat([rows_of(("C", "A", 9.0)), rows_of(("C", "A", 8.0), season="2023/24")])
    history, _ = make_history({SEASON: mapped, "2023/24": plain}, rows)
    assert history.members["cv:map:WC:50"].tolist() == [0.0, pytest.approx(0.01)]
    assert history.members["season"].tolist() == ["2023/24", SEASON]


PLOTS = st.lists(
    st.tuples(st.sampled_from("ABCDE"), st.floats(0, 1000, allow_nan=False), st.floats(0, 1)), min_size=1, max_size=25
)
KG = st.lists(st.tuples(st.sampled_from("ABCDEXY"), st.floats(0, 1e4)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(PLOTS, KG, st.randoms(use_true_random=False))
def test_no_kilogram_is_lost_and_no_order_shows(plots, kg, random):
    def made(order_of_plots, order_of_rows):
        items = items_of([(f"P{k}", plots[k][0], "measured", plots[k][1]) for k in order_of_plots], plot=0.0)
        items.cv["plot"] = [plots[k][2] for k in order_of_plots]
        return make_history({SEASON: items}, rows_of(*[("C", *kg[k]) for k in order_of_rows]))

    first, found = made(range(len(plots)), range(len(kg)))
    total = sum(amount for _, amount in kg)
    assert first.members["delivered_kg"].sum() - found["effect_kg"].sum() == pytest.approx(total)
    second, again = made(random.sample(range(len(plots)), len(plots)), random.sample(range(len(kg)), len(kg)))
    pd.testing.assert_frame_equal(first.members, second.members, check_exact=True)
    pd.testing.assert_frame_equal(found, again, check_exact=True)


def test_inputs_are_not_changed():
    rows = rows_of(("", "A", 1.0))
    before = rows.copy()
    history, _ = make_history({SEASON: TWO}, rows)
    assert delivered(history)["A"] == 1.0
    pd.testing.assert_frame_equal(rows, before)
    assert np.isfinite(history.members["kappa"]).all()
