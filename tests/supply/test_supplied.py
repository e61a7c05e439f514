"""Supply of parts: a cooperative's kilograms and interval, handed down to members, plots and groups."""

import numpy as np
import pandas as pd
import pytest

from geomap.supply.calibrate import calibrate
from geomap.supply.history import History, target_frame
from geomap.supply.items import Items
from geomap.supply.supplied import SUPPLY_COLUMNS, item_supply, supply_sums
from geomap.supply.totals import interval, totals

SEASON = "2026/27"


def items_of(rows, **cv):
    """Items from (plot_id, member_id, cooperative_id, mean_kg), all of one origin."""
    table = pd.DataFrame(rows, columns=["plot_id", "member_id", "cooperative_id", "mean_kg"]).set_index("plot_id")
    table = table.assign(origin="o", region="r", form_pair="a>a", season=SEASON, kind="measured")
    index = table.index
    return Items(table, pd.DataFrame(cv, index=index), pd.DataFrame(index=index), pd.Series(dtype=float))


def declared(items, **shares):
    """Supply of the items where each of these cooperatives declares a delivered share."""
    told = pd.DataFrame({"share": pd.Series(shares), "cv": 0.1})
    return calibrate(None, target_frame(items, SEASON), delivered_share=told)


def learned(items, delivered):
    """Supply after one season in which members delivered these kilograms."""
    past = target_frame(items, "2025/26")
    past = past.assign(delivered_kg=past["member_id"].map(delivered).astype(float))
    none = pd.DataFrame({"cooperative_id": [], "season": [], "delivered_kg": []})
    return calibrate(History(past, none), target_frame(items, SEASON), learn=False)


FOUR = items_of(
    [("P1", "A", "C", 300.0), ("P2", "A", "C", 100.0), ("P3", "B", "C", 200.0), ("P4", "X", "D", 80.0)],
    plot=0.5,
    member_season=0.3,
)


def test_an_item_has_the_declared_share_of_what_it_can_bear():
    found = item_supply(FOUR, declared(FOUR, C=0.5, D=0.25))
    assert found.index.equals(FOUR.table.index)
    assert found.tolist() == pytest.approx([150.0, 50.0, 100.0, 20.0])


def test_a_member_who_delivers_more_has_more_and_items_add_up_to_the_cooperative():
    calibration = learned(FOUR, {"A": 100.0, "B": 500.0, "X": 40.0})
    found = item_supply(FOUR, calibration)
    members = found.groupby(FOUR.table["member_id"].to_numpy()).sum()
    assert members.to_dict() == pytest.approx(calibration.members["supply_kg"].to_dict())
    assert members["B"] / 200 > members["A"] / 400
    assert found["P1"] == pytest.approx(3 * found["P2"])  # plots of one member by what they bear
    whole = found.groupby(FOUR.table["cooperative_id"].to_numpy()).sum()
    assert whole.to_dict() == pytest.approx(calibration.cooperatives["supply_kg"].to_dict())


def test_without_evidence_there_is_no_supply_and_a_plot_that_bears_nothing_has_none():
    items = items_of([("P1", "A", "C", 300.0), ("P2", "B", "C", 0.0), ("P4", "X", "D", 80.0)], plot=0.5)
    found = item_supply(items, declared(items, C=0.5))
    assert found.tolist() == pytest.approx([150.0, 0.0, np.nan], nan_ok=True)


def test_a_plot_that_two_share_keeps_an_item_of_each():
    items = items_of([("P1", "A", "C", 300.0), ("P1", "B", "C", 100.0)], plot=0.5)
    found = item_supply(items, declared(items, C=0.5))
    assert found.index.tolist() == ["P1", "P1"] and found.tolist() == pytest.approx([150.0, 50.0])


def test_a_cooperative_has_the_interval_of_its_calibration():
    calibration = learned(FOUR, {"A": 100.0, "B": 500.0, "X": 40.0})
    found = supply_sums(FOUR, calibration, FOUR.table["cooperative_id"])
    names = [*SUPPLY_COLUMNS, "var"]
    assert found.columns.tolist() == names
    pd.testing.assert_frame_equal(found, calibration.cooperatives[names], check_names=False, check_index_type=False)


def test_a_member_is_as_sure_as_the_cooperative_but_for_its_own_errors():
    items = items_of([("P1", "A", "C", 200.0), ("P2", "B", "C", 200.0)], plot=0.5)
    calibration = declared(items, C=0.5)
    found = supply_sums(items, calibration, items.table["member_id"])
    # Each is w = 1/2 of the cooperative. Own errors: 100² · .25 = 2,500 of one, 5,000 of both; 2,500 − 5,000/4 = 1,250.
    var = calibration.cooperatives["var"]["C"] / 4 + 1250.0
    assert found["supply_kg"].tolist() == pytest.approx([100.0, 100.0])
    assert found["var"].tolist() == pytest.approx([var, var])
    assert found["supply_p10_kg"].tolist() == pytest.approx([float(interval(100.0, var, 0.1))] * 2)


def test_a_members_season_is_an_error_of_its_own_too():
    items = items_of([("P1", "A", "C", 200.0), ("P2", "B", "C", 200.0)], plot=0.5, member_season=0.3)
    calibration = declared(items, C=0.5)
    found = supply_sums(items, calibration, items.table["member_id"])
    # 1.25 · 1.09 − 1 = .3625; 3,625 of one less 7,250/4.
    assert found["var"]["A"] == pytest.approx(calibration.cooperatives["var"]["C"] / 4 + 1812.5)


def test_cooperatives_of_one_origin_err_together_in_a_group():
    calibration = learned(FOUR, {"A": 100.0, "B": 500.0, "X": 40.0})
    everything = supply_sums(FOUR, calibration, pd.Series("all", index=FOUR.table.index)).loc["all"]
    assert everything["var"] == pytest.approx(calibration.total()["var"])
    assert everything["var"] > calibration.cooperatives["var"].sum()


def test_a_group_across_cooperatives_has_its_share_of_each():
    items = items_of(
        [("P1", "A", "C", 200.0), ("P2", "B", "C", 200.0), ("P3", "X", "D", 200.0), ("P4", "Y", "D", 200.0)], plot=0.5
    )
    calibration = declared(items, C=0.5, D=0.5)
    group = pd.Series(["north", "south", "north", "south"], index=items.table.index)
    found = supply_sums(items, calibration, group)
    half = calibration.part(pd.Series({"C": 0.5, "D": 0.5}))
    # 1,250 of each half cooperative, as for one member above.
    assert found["supply_kg"].tolist() == pytest.approx([200.0, 200.0])
    assert found["var"].tolist() == pytest.approx([half["var"] + 2500.0] * 2)


def test_a_group_with_a_cooperative_of_which_nothing_is_known_is_empty():
    found = supply_sums(FOUR, declared(FOUR, C=0.5), pd.Series(["a", "b", "b", "b"], index=FOUR.table.index))
    assert found["supply_kg"]["a"] == pytest.approx(150.0)
    assert found.loc["b"].isna().all()


def test_means_add_up_over_any_groups_and_the_order_of_items_does_not_matter():
    calibration = learned(FOUR, {"A": 100.0, "B": 500.0, "X": 40.0})
    for column in ("member_id", "cooperative_id"):
        found = supply_sums(FOUR, calibration, FOUR.table[column])
        assert found["supply_kg"].sum() == pytest.approx(calibration.total()["mean_kg"])
    order = [3, 1, 0, 2]
    mixed = Items(FOUR.table.iloc[order], FOUR.cv.iloc[order], FOUR.map_share.iloc[order], FOUR.map_se)
    one, other = (supply_sums(items, calibration, items.table["member_id"]) for items in (FOUR, mixed))
    pd.testing.assert_frame_equal(one, other, rtol=1e-12)


def test_errors_of_plots_do_not_average_out_twice():
    # Of 40 equal members each is far less sure than all together, and a half lies between.
    rows = [(f"P{k}", f"M{k}", "C", 100.0) for k in range(40)]
    items = items_of(rows, plot=0.5, member_season=0.3)
    calibration = declared(items, C=0.8)
    group = pd.Series(["half" if k % 2 else f"M{k}" for k in range(40)], index=items.table.index)
    found = supply_sums(items, calibration, group)
    cv = np.sqrt(found["var"]) / found["supply_kg"]
    whole = np.sqrt(calibration.cooperatives["var"]["C"]) / calibration.cooperatives["supply_kg"]["C"]
    assert cv["M0"] > cv["half"] > whole
    alone = totals(items)["var"]["all"] / 4000.0**2  # own errors of all, as a share of the potential
    assert cv["half"] ** 2 == pytest.approx(whole**2 + alone, rel=1e-9)  # 2/40 less 1/40 of one member's
