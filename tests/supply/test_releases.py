import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import ColumnError, NumberError
from geomap.supply import disclosure
from geomap.supply.releases import from_basis, release_tables, signed_totals, to_basis, to_public


def members_of(*sizes, kg=500.0):
    """Villages A, B, … of so many members of 500 kg each."""
    rows = [(f"M{k}-{i}", kg, chr(65 + k)) for k, size in enumerate(sizes) for i in range(size)]
    return pd.DataFrame(rows, columns=["member_id", "potential_kg", "community"])


def total(members, **more):
    kg = members["potential_kg"].sum()
    return {"id": "C", "potential_kg": kg, "potential_p10_kg": 0.7 * kg, "potential_p90_kg": 1.4 * kg, **more}


def widths(members, by="community"):
    kg = members.groupby(by)["potential_kg"].sum().rename_axis("id").reset_index()
    return kg.assign(potential_p10_kg=0.6 * kg["potential_kg"], potential_p90_kg=1.5 * kg["potential_kg"])


def released(members, *, by=("community",), date="2026-11-01", **options):
    ordered = members.sort_values("member_id")
    parts = {name: widths(ordered, name) for name in by}
    return release_tables(parts, members, total(ordered), date=date, **options)


def numbers(release, name="community"):
    table = release.by[name]
    return {row["value"]: (row["mean_kg"], row["status"]) for row in table.to_dict("records")}


def spots(members, *, lon=-88.0):
    """One plot of each member within some 100 m; villages half a degree apart."""
    village = members["community"].map(ord) - 65
    place = {"lon": lon + 0.5 * village + 1e-5 * np.arange(len(members)), "lat": 14.6}
    return members[["member_id", "potential_kg"]].assign(**place)


# What is shown


def test_the_signed_totals_are_shown_as_they_are():
    members = members_of(3)
    release = release_tables({}, members, total(members, potential_kg=1503.7, season="2026/27"), date="2026-11-01")
    row = to_public(release)["totals"]
    assert (row["id"], row["season"], row["potential_kg"], row["supply_kg"]) == ("C", "2026/27", 1503.7, None)


def test_parts_are_rounded_with_a_count_and_an_interval_in_shares_of_the_number():
    # 23 · 530 = 12,190, to whole 1,000: 12,000; 60 and 150 % of it are 7,200 and 18,000; 23 members are "20"
    table = released(members_of(23, 30, kg=530.0)).by["community"].set_index("value")
    row = table.loc["A"]
    assert row[["members", "mean_kg", "low_kg", "high_kg", "base_kg", "status"]].tolist() == [
        "20", 12_000.0, 7_200.0, 18_000.0, 1_000.0, "shown"
    ]  # fmt: skip


def test_a_single_small_village_hides_another_and_is_not_named():
    table = released(members_of(5, 12, 40)).by["community"]
    assert table[["value", "members", "status"]].to_numpy().tolist() == [
        ["B", "10", "suppressed"], ["C", "40", "shown"], ["(others)", "<10", "suppressed"]
    ]  # fmt: skip
    assert table.loc[table["status"] == "suppressed", ["mean_kg", "low_kg", "high_kg", "base_kg"]].isna().all(axis=None)


def test_one_hidden_part_alone_would_be_the_total_less_the_others_and_another_goes_with_it():
    # A: one member has more than half. It has 21 members and is alone: B goes too.
    members = members_of(21, 25, 40)
    members.loc[0, "potential_kg"] = 11_000.0
    statuses = released(members).by["community"].set_index("value")["status"]
    assert statuses.to_dict() == {"A": "suppressed", "B": "suppressed", "C": "shown"}


def test_a_number_that_its_base_says_nothing_of_is_hidden():
    # the largest has 60,000 of 152,500 kg: base 20,000; the village of 12 · 500 = 6,000 kg would be 0 ± 10,000
    members = members_of(12, 12, 161)
    members.loc[members.index[-1], "potential_kg"] = 60_000.0
    table = released(members).by["community"].set_index("value")
    assert table["status"].to_dict() == {"A": "suppressed", "B": "suppressed", "C": "shown"}
    assert table["base_kg"]["C"] >= 20_000.0


def test_the_threshold_is_a_setting_of_five_or_more():
    few = members_of(5, 6, 7)
    assert {status for _, status in numbers(released(few, min_members=5)).values()} == {"shown"}
    assert {status for _, status in numbers(released(few)).values()} == {"suppressed"}
    with pytest.raises(NumberError, match="4 members is too small"):
        released(few, min_members=4)


def test_supply_that_is_not_known_counts_as_nothing():
    members = members_of(15, 15).assign(supply_kg=400.0)
    members.loc[:5, "supply_kg"] = np.nan  # nine of A are left
    assert {status for _, status in numbers(released(members, quantity="supply")).values()} == {"suppressed"}
    members.loc[:5, "supply_kg"] = 400.0
    assert numbers(released(members, quantity="supply"))["A"] == (6_000.0, "shown")


def test_months_of_one_calendar_are_shares_of_the_signed_total():
    members = members_of(3)
    table = {"month": ["2026-12", "2027-01"], "quantity": "potential", "mean_kg": [600.0, 900.0]}
    months = pd.DataFrame(table).assign(p10_kg=1.0, p50_kg=2.0, p90_kg=3.0)
    other = months.assign(quantity="supply", mean_kg=7.0)
    shown = released(members, months=pd.concat([months, other])).months
    assert shown[["month", "mean_kg", "low_kg", "high_kg", "status"]].to_numpy().tolist() == [
        ["2026-12", 600.0, 1.0, 3.0, "shown"], ["2027-01", 900.0, 1.0, 3.0, "shown"]
    ]  # fmt: skip


def test_months_made_of_what_members_bring_are_parts():
    members = members_of(40)
    brought = members[["member_id", "potential_kg"]].assign(month="2026-12")
    alone = brought.iloc[:1].assign(month="2027-06", potential_kg=200.0)
    brought.loc[0, "potential_kg"] = 300.0
    shown = released(members, month_values=pd.concat([brought, alone])).months
    # June is one member: the total less December would be June
    assert shown[["month", "members", "status"]].to_numpy().tolist() == [
        ["2026-12", "40", "suppressed"], ["2027-06", "<10", "suppressed"]
    ]  # fmt: skip
    assert shown["mean_kg"].isna().all()


def test_cells_have_the_base_of_the_cooperative():
    members = members_of(30, 30)
    cells = released(members, points=spots(members)).cells
    assert cells[["size_km", "members", "mean_kg", "base_kg", "status"]].to_numpy().tolist() == [
        [1, "30", 15_000.0, 500.0, "shown"], [1, "30", 15_000.0, 500.0, "shown"]
    ]  # fmt: skip


def test_what_members_have_beyond_their_points_has_no_place_and_is_in_no_cell():
    members = members_of(30, 3)
    points = spots(members).iloc[:30]
    assert released(members, points=points).cells["status"].tolist() == []  # the total less the cell: three members
    members = members_of(30, 12)
    assert released(members, points=spots(members).iloc[:30]).cells["members"].tolist() == ["30"]


# Releases one after the other


def joined(members, count, community="A"):
    new = [(f"N{k}", 500.0, community) for k in range(count)]
    return pd.concat([members, pd.DataFrame(new, columns=members.columns)], ignore_index=True)


@pytest.mark.parametrize(("count", "expected"), [(0, "shown"), (1, "held"), (9, "held")])
def test_a_number_stays_until_ten_members_changed(count, expected):
    members = members_of(30, 30)
    second = released(joined(members, count), previous=released(members))
    assert numbers(second) == {"A": (15_000.0, expected), "B": (15_000.0, "shown")}
    assert second.by["community"]["members"].tolist() == ["30", "30"]


def test_a_number_is_new_when_ten_members_changed():
    members = members_of(30, 30)
    second = released(joined(members, 10), previous=released(members))
    assert second.basis.changed == 10
    value, status = numbers(second)["A"]
    base = second.by["community"].set_index("value")["base_kg"]["A"]
    assert status == "shown"
    assert abs(value - 20_000.0) <= base / 2


def test_changes_add_up_over_releases_that_were_held():
    members = members_of(30, 30)
    first = released(members)
    second = released(joined(members, 6), previous=first)
    third = released(joined(members, 12), previous=second)
    assert [numbers(release)["A"][1] for release in (first, second, third)] == ["shown", "held", "shown"]


def test_kilograms_that_moved_by_a_hundredth_are_no_change_and_all_by_a_tenth_are_a_new_number():
    members = members_of(30, 30)
    first = released(members)
    nearly = members.assign(potential_kg=504.0)
    assert numbers(released(nearly, previous=first)) == numbers(first)
    season = members.assign(potential_kg=550.0)
    value, status = numbers(released(season, previous=first))["A"]
    assert status == "shown"
    assert value != 15_000.0


def test_a_held_number_goes_when_its_members_are_too_few():
    members = members_of(12, 30, 30)
    first = released(members)
    assert numbers(first)["A"][1] == "shown"
    second = released(members.drop(index=[0, 1, 2]), previous=first)  # nine are left
    assert "A" not in numbers(second)
    assert numbers(second)["(others)"][1] == "suppressed"


def test_cells_keep_their_places_until_ten_members_changed():
    members = members_of(30, 30)
    first = released(members, points=spots(members))
    more = joined(members, 9)
    points = pd.concat([spots(members), spots(more).iloc[60:].assign(lon=-87.9)])  # a new place for nine
    second = released(more, points=points, previous=first)
    assert second.cells[["size_km", "west", "south"]].equals(first.cells[["size_km", "west", "south"]])
    assert second.cells["status"].tolist() == ["shown", "suppressed"]  # the total less both cells would be the nine


def test_cells_and_attributes_may_begin_with_a_later_release():
    members = members_of(30, 30).assign(altitude="low")
    second = released(members, by=("community", "altitude"), points=spots(members), previous=released(members))
    assert second.cells["status"].tolist() == ["shown", "shown"]
    assert numbers(second, "altitude") == {"low": (30_000.0, "shown")}


def test_who_left_and_comes_back_is_as_open_as_before():
    members = members_of(30, 30)
    first = released(members)
    gone = released(members.iloc[1:], previous=first)
    back = released(members, previous=gone)
    left_open = [release.basis.members.set_index("member_id").loc["M0-0", "below"] for release in (first, gone, back)]
    assert left_open[0] == left_open[1] >= left_open[2]
    assert gone.basis.members.set_index("member_id")["present"]["M0-0"] == np.False_


def test_a_line_of_releases_keeps_its_quantity_and_threshold():
    members = members_of(30, 30).assign(supply_kg=400.0)
    with pytest.raises(NumberError, match="round the same members a second time"):
        released(members, quantity="supply", previous=released(members))
    with pytest.raises(NumberError):
        released(members, min_members=5, previous=released(members))


# Laws


@st.composite
def cooperatives(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 90))
    kg = rng.lognormal(7, draw(st.sampled_from([0.3, 1.0, 1.6])), size)
    members = pd.DataFrame({"member_id": [f"M{k}" for k in range(size)], "potential_kg": kg})
    members["community"] = [f"v{k}" for k in rng.geometric(0.4, size)]
    members["certification"] = rng.choice(["Fairtrade", "organic"], size)
    points = members[["member_id", "potential_kg"]].assign(
        lon=rng.normal(-88, 0.1, size), lat=rng.normal(14.6, 0.1, size)
    )
    return members, points


@settings(deadline=None, max_examples=40)
@given(cooperatives())
def test_no_number_breaks_a_rule_and_what_is_left_out_is_a_publishable_sum(made):
    members, points = made
    release = released(members, by=("community", "certification"), points=points)
    for name, table in release.by.items():
        kg = {value: part["potential_kg"].to_numpy() for value, part in members.groupby(name)}
        shown = table[table["status"] == "shown"]
        for row in shown.to_dict("records"):
            inside = kg.pop(row["value"])
            assert disclosure.publishable(inside)
            assert abs(inside.sum() - row["mean_kg"]) <= row["base_kg"] / 2 * (1 + 1e-9)
            assert row["base_kg"] >= max(members["potential_kg"].median(), 0.2 * members["potential_kg"].max())
            assert row["base_kg"] <= 0.5 * inside.sum()
        if len(shown) and kg:
            assert len(kg) > 1
            assert disclosure.publishable(np.concatenate(list(kg.values())))
        assert table.loc[table["status"] != "shown", "mean_kg"].isna().all()


@settings(deadline=None, max_examples=20)
@given(cooperatives(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_and_nothing_given_is_changed(made, random):
    members, points = made
    before = members.copy(), points.copy()
    order = random.sample(range(len(members)), len(members))
    some = released(members, by=("community", "certification"), points=points)
    other = released(members.iloc[order], by=("community", "certification"), points=points.iloc[order[::-1]])
    assert json.dumps(to_basis(some)) == json.dumps(to_basis(other))
    pd.testing.assert_frame_equal(members, before[0])
    pd.testing.assert_frame_equal(points, before[1])


@settings(deadline=None, max_examples=20)
@given(cooperatives())
def test_what_is_stored_comes_back_and_judges_the_next_release_alike(made):
    members, points = made
    first = released(members, points=points)
    stored = json.loads(json.dumps(to_basis(first), allow_nan=False))
    back = from_basis(stored)
    assert to_basis(back) == to_basis(first)
    for name in ("members", "contents", "numbers"):
        pd.testing.assert_frame_equal(getattr(back.basis, name), getattr(first.basis, name))
    later = members.assign(potential_kg=members["potential_kg"] * 1.1)
    plots = points.assign(potential_kg=points["potential_kg"] * 1.1)
    again = [to_basis(released(later, points=plots, previous=one)) for one in (first, back)]
    assert again[0] == again[1]


@settings(deadline=None, max_examples=20)
@given(cooperatives())
def test_what_buyers_get_names_no_member_and_no_place_finer_than_its_cell(made):
    members, points = made
    members = members.assign(member_id="person-" + members["member_id"], name=[f"Ana {k}" for k in range(len(members))])
    points = points.assign(member_id="person-" + points["member_id"])
    public = to_public(released(members, by=("community", "name"), points=points))
    text = json.dumps(public, allow_nan=False)  # no NaN: what is hidden is null
    assert "person-" not in text
    assert "Ana" not in text
    assert "basis" not in public
    for cell in public["cells"]:
        middle = [[(cell["west"] + cell["east"]) / 2, (cell["south"] + cell["north"]) / 2]]
        grid = disclosure.cell_of(middle, cell["size_km"])
        box = tuple(cell[side] for side in ("west", "south", "east", "north"))
        assert disclosure.bounds_of(grid, [cell["size_km"]]) == [box]


def test_a_hidden_number_is_null_and_never_nought():
    public = to_public(released(members_of(5, 12)))
    assert [row["mean_kg"] for row in public["by"]["community"]] == [None, None]


# What is refused


def test_a_table_without_its_columns_is_refused():
    members = members_of(10)
    with pytest.raises(ColumnError, match="no column altitude"):
        release_tables({"altitude": pd.DataFrame()}, members, total(members), date="2026-11-01")
    with pytest.raises(ColumnError, match="points have no column lon"):
        released(members, points=spots(members).drop(columns="lon"))
    with pytest.raises(ColumnError, match="twice"):
        released(pd.concat([members, members]))


def test_points_that_hold_more_than_their_member_are_refused():
    members = members_of(10)
    with pytest.raises(ColumnError, match="1 rows of cells"):
        points = spots(members)
        points.loc[0, "potential_kg"] = 501.0
        released(members, points=points)


def test_kilograms_below_zero_are_refused():
    with pytest.raises(NumberError, match="below zero"):
        released(members_of(10, kg=-1.0))


def test_a_record_of_another_format_is_refused():
    with pytest.raises(ColumnError, match="format"):
        from_basis(to_public(released(members_of(10))))


# Several cooperatives


def test_a_buyer_sees_the_sum_of_signed_totals():
    members = members_of(20)
    some = {"potential_p50_kg": 9_500.0, "season": "2026/27"}
    first = release_tables({}, members, total(members, **some), date="2026-11-01")
    second = release_tables({}, members, total(members, **some) | {"id": "B"}, date="2026-11-05")
    table = signed_totals([first, second])
    assert table[["id", "season", "date", "potential_kg", "potential_p10_kg"]].to_numpy().tolist() == [
        ["B", "2026/27", "2026-11-05", 10_000.0, 7_000.0],
        ["C", "2026/27", "2026-11-01", 10_000.0, 7_000.0],
        ["all", "2026/27", "2026-11-05", 20_000.0, 14_000.0],
    ]
    assert table["potential_p50_kg"].isna().tolist() == [False, False, True]  # medians do not add up
    assert np.isnan(table["supply_kg"]).all()


def test_no_releases_are_an_empty_table():
    assert signed_totals([]).empty
