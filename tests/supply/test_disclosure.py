import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from geomap.supply import disclosure

amounts = st.floats(10, 100_000)


def coops(sizes, *, values=None):
    """Cooperatives A, B, … of so many members of 100 kg each, or of the values given."""
    rows = [(chr(65 + k), 100.0) for k, size in enumerate(sizes) for _ in range(size)]
    members = pd.DataFrame(rows, columns=["cooperative_id", "potential_kg"])
    if values is not None:
        members["potential_kg"] = values
    table = members.groupby("cooperative_id").agg(
        potential_kg=("potential_kg", "sum"), members=("potential_kg", "size")
    )
    table = table.rename_axis("id").reset_index()
    table["members_mapped"] = table["members"]
    table["potential_p10_kg"], table["potential_p90_kg"] = 0.6 * table["potential_kg"], 1.4 * table["potential_kg"]
    return table, members


def test_ten_members_are_enough_and_nine_are_not():
    assert disclosure.publishable([1.0] * 10)
    assert not disclosure.publishable([1.0] * 9)


def test_members_with_nothing_do_not_count():
    assert not disclosure.publishable([1.0] * 9 + [0.0, np.nan])


def test_the_threshold_is_never_below_five():
    assert not disclosure.publishable([1.0] * 4, min_members=1)
    assert disclosure.publishable([1.0] * 5, min_members=1)


def test_a_member_with_more_than_half_hides_the_sum():
    assert disclosure.publishable([1.0] * 10 + [10.0])  # 10 of 20 is half
    assert not disclosure.publishable([1.0] * 10 + [10.1])


def test_two_large_members_hide_the_sum_from_each_other():
    small = [1.0] * 8  # the rest is 8: at least a tenth of 80, less than a tenth of 81
    assert disclosure.publishable([*small, 80.0, 80.0])
    assert not disclosure.publishable([*small, 81.0, 81.0])


@given(st.lists(amounts, min_size=1, max_size=60))
def test_the_base_hides_the_largest_by_a_tenth_and_is_a_typical_member(values):
    base = disclosure.rounding_base(values)
    assert base / 2 >= 0.1 * max(values) * (1 - 1e-9)
    assert base >= np.median(values)
    assert base <= 2.5 * max(np.median(values), 0.2 * max(values)) * (1 + 1e-9)
    assert f"{base:e}"[0] in "125"


def test_nothing_rounds_to_nothing():
    assert disclosure.rounding_base([]) == 0.0
    assert disclosure.rounded(0.0, 0.0) == 0.0


def test_an_interval_tells_nothing_more_of_the_mean():
    # P10 is 58 % of the mean, in steps of 5 %: 60 % of what is shown; another mean of the same rounding too
    assert disclosure.rounded_interval(12_345.0, 7_160.0, 18_500.0, 12_000.0) == (7_200.0, 18_000.0)
    assert disclosure.rounded_interval(11_700.0, 6_790.0, 17_500.0, 12_000.0) == (7_200.0, 18_000.0)


def test_a_single_small_cooperative_takes_another_with_it():
    table, members = coops([5, 12, 30])
    shown = disclosure.cooperative_totals(table, members).set_index("id")["shown"]
    assert shown.to_dict() == {"A": False, "B": False, "C": True}  # 5 + 12 members are a publishable sum


def test_the_total_adds_up_with_the_cooperatives():
    table, members = coops([20, 30])
    shown = disclosure.cooperative_totals(table, members)
    whole = table.select_dtypes("number").sum().to_dict()
    total = disclosure.run_total(whole, shown, table, members)
    assert shown["potential_kg"].tolist() == [2000.0, 3000.0]
    assert (total["potential_kg"], total["potential_p10_kg"], total["potential_p90_kg"]) == (5000.0, 3000.0, 7000.0)


def test_a_run_of_few_members_shows_no_number():
    table, members = coops([4, 5])
    shown = disclosure.cooperative_totals(table, members)
    total = disclosure.run_total(table.select_dtypes("number").sum().to_dict(), shown, table, members)
    assert not shown["shown"].any()
    assert shown.drop(columns=["id", "shown"]).isna().all(axis=None)
    assert not total["shown"]
    assert np.isnan(total["potential_kg"])


def cluster(lon, lat, members, *, first=0, value=100.0):
    """So many members of one plot each within some 100 m."""
    k = np.arange(members)
    return np.column_stack([lon + 1e-5 * k, lat + 1e-5 * k]), [f"M{first + i}" for i in k], np.full(members, value)


def joined(*clusters):
    points, names, values = zip(*clusters, strict=True)
    return np.concatenate(points), [name for part in names for name in part], np.concatenate(values)


def test_ten_close_members_are_shown_on_one_kilometre():
    cells = disclosure.cells(*cluster(-88.1, 14.6, 10))
    assert cells[["size_km", "members", "total", "base"]].to_numpy().tolist() == [[1, 10, 1000.0, 100.0]]


def test_nine_members_are_in_no_cell():
    assert disclosure.cells(*cluster(-88.1, 14.6, 9)).empty


def test_no_plots_are_no_cells():
    assert disclosure.cells(np.empty((0, 2)), [], []).empty


def test_a_member_with_many_plots_counts_once():
    points, _, values = cluster(-88.1, 14.6, 30)
    assert disclosure.cells(points, ["M1"] * 30, values).empty


def test_few_members_far_away_hide_with_others_not_alone():
    near, far = cluster(-88.1, 14.6, 30), cluster(-80.0, 14.6, 3, first=100)
    assert disclosure.cells(*joined(near, far)).empty  # the sum less the one cell would be three members
    middle = cluster(-85.0, 14.6, 12, first=200)
    assert disclosure.cells(*joined(near, middle, far))["members"].tolist() == [30]


def test_the_rest_of_a_cell_is_shown_where_it_is_enough():
    # One 5 km cell: twelve members in one of its 1 km cells, twice six in two others, that are shown together.
    west, north = disclosure.cell_bounds((0, 0), 1)[0], disclosure.cell_bounds((0, 0), 1)[3]
    here = cluster(west + 0.001, north - 0.004, 12)
    scattered = cluster(west + 0.025, north + 0.01, 6, first=50), cluster(west + 0.035, north + 0.02, 6, first=60)
    cells = disclosure.cells(*joined(here, *scattered))
    assert cells[["size_km", "rest", "members"]].to_numpy().tolist() == [[1, False, 12], [5, True, 12]]
    assert disclosure.own_area_km2(cells).sum() == 25.0


def test_cells_are_of_equal_area_and_fixed():
    west, south, east, north = disclosure.cell_bounds((-106, 22), 80)
    assert (
        disclosure.cell_of([[west + 1e-4, south + 1e-4], [east - 1e-4, north - 1e-4]], 80).tolist() == [[-106, 22]] * 2
    )
    assert disclosure.cell_bounds((0, 0), 1)[:2] == (0.0, 0.0)


def test_bounds_of_many_cells_are_those_of_each():
    cells, sizes = [(-106, 22), (0, 0), (-8480, 1760), (77, -40)], [80, 5, 1, 20]
    one_by_one = [disclosure.cell_bounds(cell, size) for cell, size in zip(cells, sizes, strict=True)]
    assert disclosure.bounds_of(cells, sizes) == one_by_one
    assert disclosure.bounds_of([], []) == []


def test_the_plots_of_a_member_are_added_up_before_the_rules():
    points, names, values = cluster(-88.1, 14.6, 20)
    members = [names[k // 2] for k in range(20)]  # ten members of two plots of 100 kg
    assert disclosure.cells(points, members, values)[["members", "total", "base"]].to_numpy().tolist() == [
        [10, 2000.0, 200.0]
    ]
    values[:2] = 1000.0  # one member has 2000 of 3800, more than half
    assert disclosure.cells(points, members, values).empty


@st.composite
def farms(draw):
    n = draw(st.integers(1, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.01, 0.05, 0.3, 1.0]))
    points = rng.normal((-88.0, 14.6), spread, size=(n, 2))
    values = rng.lognormal(7, draw(st.sampled_from([0.3, 1.0, 2.0])), n)
    names = [f"M{k}" for k in rng.integers(0, max(1, int(n * 0.8)), n)]
    return points, names, values


def contents(cells, points):
    """Row of the smallest shown cell that holds each point; -1 for none. Counted without the module's own grouping."""
    owner = np.full(len(points), -1)
    for k in cells.sort_values("size_km", ascending=False).index:
        one = cells.loc[k]
        inside = (points[:, 0] >= one["west"]) & (points[:, 0] < one["east"])
        owner[inside & (points[:, 1] >= one["south"]) & (points[:, 1] < one["north"])] = k
    return owner


@settings(deadline=None, max_examples=60)
@given(farms())
def test_no_cell_breaks_a_rule_and_what_is_hidden_is_no_single_part(farm):
    points, names, values = farm
    cells = disclosure.cells(points, names, values)
    owner = contents(cells, points)
    members = pd.Series(values).groupby([owner, np.array(names)]).sum()
    for k, cell in cells.iterrows():
        inside = members.loc[k]
        assert len(inside) == cell["members"] >= 10
        assert inside.max() <= 0.5 * inside.sum() * (1 + 1e-9)
        assert abs(inside.sum() - cell["total"]) <= cell["base"] / 2 * (1 + 1e-9)
        assert cell["base"] >= 0.2 * inside.max()
    if len(cells) and (owner == -1).any():
        assert disclosure.publishable(members.loc[-1])


@settings(deadline=None, max_examples=30)
@given(farms(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(farm, random):
    points, names, values = farm
    order = list(range(len(names)))
    random.shuffle(order)
    mixed = disclosure.cells(points[order], [names[k] for k in order], values[order])
    pd.testing.assert_frame_equal(mixed, disclosure.cells(points, names, values))


@pytest.mark.parametrize("seed", range(6))
def test_no_system_of_published_numbers_bounds_a_member_within_a_tenth(seed):
    """Cooperatives and cells together as linear bounds on members (one plot each), solved for each member's range."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(4, 30, 3)
    n = int(sizes.sum())
    values = rng.lognormal(7, 1.2, n)
    table, members = coops(sizes, values=values)
    points = rng.normal((-88.0, 14.6), 0.05, size=(n, 2))
    shown = disclosure.cooperative_totals(table, members).set_index("id")
    cells = disclosure.cells(points, [f"M{k}" for k in range(n)], values)
    owner, coop = contents(cells, points), members["cooperative_id"].to_numpy()
    known = [(owner == k, cell["total"], cell["base"]) for k, cell in cells.iterrows()]
    for name, row in shown[shown["shown"]].iterrows():
        known.append((coop == name, row["potential_kg"], disclosure.rounding_base(values[coop == name])))
    left = np.array([side * inside for inside, *_ in known for side in (1.0, -1.0)]).reshape(-1, n)
    right = [side * total + base / 2 for _, total, base in known for side in (1.0, -1.0)]
    for k in range(n):
        goal = np.zeros(n)
        goal[k] = 1.0
        low = linprog(goal, left, right).fun if known else 0.0
        high = -linprog(-goal, left, right).fun if known and left[:, k].any() else np.inf
        assert high - low >= 0.2 * values[k]


def test_a_member_without_a_place_is_not_what_the_cells_leave_of_the_total():
    # Thirty members of 100 kg on one spot, and one of 450 kg without a place. Shown alone, the cell of 3,000 kg would
    # leave 450 kg of the published 3,450 kg: so nothing is shown.
    points = [[-88.0, 14.5]] * 30 + [[np.nan, np.nan]]
    values, members = [100.0] * 30 + [450.0], [f"M{k}" for k in range(31)]
    assert disclosure.cells(points, members, values).empty
    assert len(disclosure.cells(points[:-1], members[:-1], values[:-1])) == 1


def test_members_without_a_place_are_in_no_cell():
    points = [[-88.0, 14.5]] * 30 + [[np.nan, np.nan]] * 20
    found = disclosure.cells(points, [f"M{k}" for k in range(50)], [100.0] * 50)
    assert found["members"].tolist() == [30]
