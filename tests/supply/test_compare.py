"""What changed between two runs: parts that add up, signs that turn, intervals that hold the truth."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from geomap.cli import app
from geomap.errors import FileError
from geomap.outputs.comparison import read_written
from geomap.outputs.publish import MARK
from geomap.supply.compare import COLUMNS, PARTS, NotComparableError, compare_runs
from geomap.supply.compare_errors import difference_interval
from geomap.supply.compare_split import Written, shapley
from geomap.supply.totals import totals
from geomap.supply.written import written_items

KG_HA = 1_000.0


def plots(rows, **more):
    """Plots by id: hectares, and what else differs from 1,000 kg a hectare on ground that can all bear the crop."""
    usual = {"f": 1.0, "p": 1.0, "g": 1.0, "k": 1.0, "y_kg_ha": KG_HA, "planted_share": np.nan, "planted_year": np.nan}
    usual |= {"member_id": "M", "cooperative_id": "C", "kind": "measured", "area_sd_ha": 0.0, "supply_kg": np.nan}
    table = pd.DataFrame.from_dict(
        {name: {**usual, **row} for name, row in rows.items()}, orient="index", columns=["counted_area_ha", *usual]
    )
    table = table.assign(area_ha=table["counted_area_ha"], **more)
    table["productive_ha"] = table["counted_area_ha"] * table["f"] * table["p"]
    table["potential_kg"] = table["productive_ha"] * table["y_kg_ha"] * table["g"] * table["k"]
    table["potential_p50_kg"] = table["potential_kg"] / 1.5
    return table


def written(rows, members=None, *, form="green", land="map", told=None, **more):
    return Written(plots(rows, **more), members, told or {}, form, land)


def ha(area, **more):
    return {"counted_area_ha": area, **more}


def guesses(**kg):
    return pd.DataFrame(
        {"plots": 0, "cooperative_id": "C", "potential_kg": kg, "potential_p50_kg": {k: v / 2 for k, v in kg.items()}}
    )


def parts(before, after, quantity="potential"):
    return compare_runs(before, after).of(quantity)["change_kg"]


# ---- by hand ----


def test_three_plots_by_hand():
    """A: 1 → 2 ha, +1000. B: f .8 → .6 on 5 ha, −1000. C: new, 0.5 ha, +500. D: gone, 0.2 ha, −200. In all +300."""
    before = written({"A": ha(1.0), "B": ha(5.0, f=0.8), "D": ha(0.2)}, land="2020")
    after = written({"A": ha(2.0), "B": ha(5.0, f=0.6), "C": ha(0.5)}, land="2021")
    found = compare_runs(before, after).of()
    told = {"plots_new": 500, "plots_gone": -200, "area": 1000, "land_cover": -1000, "told": 0, "members": 0}
    assert found["change_kg"].round(9).to_dict() == {**told, "settings": 0, "difference": 300}
    assert found["plots"].to_dict() | {"difference": 4} == {
        "plots_new": 1, "plots_gone": 1, "area": 1, "land_cover": 1, "told": 0, "members": 0, "settings": 0,
        "difference": 4,
    }  # fmt: skip
    assert found.loc["difference", ["before_kg", "after_kg"]].tolist() == pytest.approx([5200.0, 5500.0])
    assert found["change_ha"].to_dict()["difference"] == pytest.approx(1.3)  # +1 + .5 − .2


def test_where_two_factors_move_each_gets_the_mean_of_both_orders():
    """1 → 2 ha and 1000 → 1500 kg/ha. Area first: 1000, then 1000; yield first: 500, then 1500. Means 1250 and 750."""
    found = parts(written({"A": ha(1.0)}), written({"A": ha(2.0, y_kg_ha=1500.0)}))
    assert found["area"] == pytest.approx((1000 + 1500) / 2)
    assert found["settings"] == pytest.approx((1000 + 500) / 2)


def test_on_the_same_map_other_ground_is_the_outlines_doing():
    before, after = {"A": ha(1.0, f=1.0)}, {"A": ha(2.0, f=0.5)}
    assert parts(written(before), written(after))["area"] == 0  # 1 · 1 = 2 · .5
    other = parts(written(before), written(after, land="other map"))
    assert other["area"] == pytest.approx(750)  # (1000 · 1 + 1000 · .5) / 2
    assert other["land_cover"] == pytest.approx(-750)


@pytest.mark.parametrize(("year", "part"), [(2020.0, "told"), (np.nan, "settings")])
def test_an_age_that_was_told_is_told_and_a_season_that_passed_is_a_setting(year, part):
    found = parts(written({"A": ha(1.0)}), written({"A": ha(1.0, g=0.5, planted_year=year)}))
    assert found[part] == pytest.approx(-500)


def test_members_without_a_plot_who_join_leave_or_are_mapped_are_members():
    before = written({"A": ha(1.0)}, guesses(M1=300.0, M2=200.0))
    after = written({"A": ha(1.0), "B": ha(0.4, member_id="M1")}, guesses(M2=200.0, M3=100.0))
    found = compare_runs(before, after).of()
    assert found["change_kg"]["plots_new"] == pytest.approx(400)
    assert found["change_kg"]["members"] == pytest.approx(-300 + 100)
    assert found["members"]["members"] == 2


def test_another_base_yield_moves_a_guess_as_a_setting():
    before = written({"A": ha(1.0)}, guesses(M1=300.0), told={"base yield": "1000"})
    after = written({"A": ha(1.0, y_kg_ha=500.0)}, guesses(M1=150.0), told={"base yield": "500"})
    found = compare_runs(before, after)
    assert found.of()["change_kg"]["settings"] == pytest.approx(-500 - 150)
    assert found.of()["change_kg"]["members"] == pytest.approx(0)
    assert found.changed == [{"name": "base yield", "before": "1000", "after": "500"}]


def test_supply_is_split_too_where_both_runs_have_it():
    """1 → 2 ha at .8 and .6 delivered: 800 → 1200. Area (.8 + .6) / 2 · 1000; deliveries −.2 · (1000 + 2000) / 2."""
    before, after = written({"A": ha(1.0, supply_kg=800.0)}), written({"A": ha(2.0, supply_kg=1200.0)})
    found = compare_runs(before, after).of("supply")
    assert found["change_kg"]["area"] == pytest.approx(700)
    assert found["change_kg"]["deliveries"] == pytest.approx(-300)
    assert set(found["verdict"]) == {"same", "not known"}  # what two seasons of deliveries share is not known
    assert "supply" not in set(compare_runs(before, written({"A": ha(1.0)})).parts["quantity"])


def test_examples_are_the_plots_that_changed_most():
    names = [f"P{number}" for number in range(9)]
    before = written({name: ha(1.0) for name in names})
    after = written({name: ha(1.0 + number) for number, name in enumerate(names)})
    assert compare_runs(before, after).examples["id"].tolist() == ["P8", "P7", "P6", "P5", "P4"]


def test_hives_that_are_more_are_area():
    told = {"crop": "honey"}
    before = written({"A": ha(0.0, k=1.0)}, told=told, hives=10.0)
    after = written({"A": ha(0.0, k=1.0)}, told=told, hives=15.0)
    for run, kg in ((before, 200.0), (after, 300.0)):
        run.plots["y_kg_ha"] = 20.0
        run.plots["potential_kg"] = kg
    assert parts(before, after)["area"] == pytest.approx(100)


# ---- what cannot be compared ----


def test_two_product_forms_are_refused():
    with pytest.raises(NotComparableError, match="green, the other of parchment"):
        compare_runs(written({"A": ha(1.0)}), written({"A": ha(1.0)}, form="parchment"))


def test_runs_of_other_cooperatives_are_refused():
    with pytest.raises(NotComparableError, match="share no cooperative"):
        compare_runs(written({"A": ha(1.0)}), written({"A": ha(1.0, cooperative_id="D")}))


def test_runs_in_which_nothing_can_be_seen_are_refused():
    nothing = Written(plots({"A": ha(1.0)}).iloc[:0], None, {}, "green", "map")
    with pytest.raises(NotComparableError, match="Neither run has a plot"):
        compare_runs(nothing, nothing)


def test_a_run_without_factors_is_refused():
    lame = written({"A": ha(1.0)})
    short = Written(lame.plots.drop(columns=["y_kg_ha"]), None, {}, "green", "map")
    with pytest.raises(NotComparableError, match="second run have no y_kg_ha"):
        compare_runs(lame, short)


# ---- laws ----

SHARE = st.floats(0, 1).map(lambda value: round(value, 3))
PLOT = st.fixed_dictionaries(
    {
        "counted_area_ha": st.one_of(st.just(0.0), st.floats(0.01, 20)),
        "f": SHARE, "p": SHARE, "g": SHARE, "k": st.sampled_from([0.8, 1.0, 1.25]),
        "y_kg_ha": st.floats(100, 3000), "planted_share": st.sampled_from([np.nan, 0.5, 0.9]),
        "planted_year": st.sampled_from([np.nan, 2010.0]), "kind": st.sampled_from(["measured", "declared"]),
        "cooperative_id": st.sampled_from(["C", "D"]), "area_sd_ha": st.floats(0, 0.1),
        "supply_kg": st.one_of(st.just(np.nan), st.floats(0, 1e5)),
    }
)  # fmt: skip
GUESS = st.dictionaries(st.sampled_from(["M1", "M2", "M3"]), st.floats(0, 5000), max_size=3)


@st.composite
def runs(draw):
    rows = draw(st.dictionaries(st.sampled_from("ABCDEF"), PLOT, max_size=6))
    rows["A"] = {**draw(PLOT), "cooperative_id": "C"}
    told = {"base yield": draw(st.sampled_from(["x", "y"]))}
    return written(rows, guesses(**draw(GUESS)), land=draw(st.sampled_from(["one", "two"])), told=told)


def whole(run, quantity):
    return math.fsum(run.plots[f"{quantity}_kg"].fillna(0.0)) + (
        math.fsum(run.members["potential_kg"]) if quantity == "potential" else 0.0
    )


@settings(max_examples=20)
@given(runs(), runs())
def test_parts_add_up_to_the_difference(before, after):
    found = compare_runs(before, after).parts
    assert list(found.columns) == list(COLUMNS)
    for quantity in set(found["quantity"]):
        change = whole(after, quantity) - whole(before, quantity)
        size = max(whole(before, quantity), whole(after, quantity), 1.0)
        rows = found[found["quantity"] == quantity]
        for _, one in rows.groupby("cooperative_id"):
            told = one.set_index("part")["change_kg"]
            assert math.fsum(told.drop("difference")) == pytest.approx(told["difference"], abs=1e-9 * size)
        last = rows[rows["cooperative_id"] == rows["cooperative_id"].iloc[-1]].set_index("part")
        assert last["change_kg"]["difference"] == pytest.approx(change, abs=1e-9 * size)
        assert last["after_kg"]["difference"] - last["before_kg"]["difference"] == pytest.approx(
            change, abs=1e-9 * size
        )


@settings(max_examples=20)
@given(runs(), runs())
def test_the_runs_the_other_way_round_turn_every_sign(before, after):
    there, back = compare_runs(before, after).parts, compare_runs(after, before).parts
    keys = ["cooperative_id", "quantity", "part"]
    both = there.merge(back, on=keys, suffixes=("", "_back"))
    both = both[~both["part"].isin(["plots_new", "plots_gone"])]
    size = max(whole(before, "potential"), whole(after, "potential"), float(there["after_kg"].abs().max()), 1.0)
    assert np.allclose(both["change_kg"], -both["change_kg_back"], atol=1e-9 * size, rtol=0)
    known = both["low_kg"].notna() & both["low_kg_back"].notna()
    assert np.allclose(both["low_kg"][known], -both["high_kg_back"][known], atol=1e-5 * size, rtol=1e-4)


@settings(max_examples=10)
@given(runs())
def test_a_run_and_itself_are_the_same(run):
    found = compare_runs(run, run)
    assert (found.parts["change_kg"] == 0).all()
    assert set(found.parts["verdict"]) == {"same"}
    assert len(found.examples) == 0 and found.changed == []


@settings(max_examples=10)
@given(runs(), runs(), st.randoms(use_true_random=False))
def test_no_result_depends_on_the_order_of_rows(before, after, chance):
    def mixed(run):
        order = list(run.plots.index)
        chance.shuffle(order)
        return Written(run.plots.loc[order], run.members.iloc[::-1], run.settings, run.form, run.land)

    one, other = compare_runs(before, after), compare_runs(mixed(before), mixed(after))
    pd.testing.assert_frame_equal(one.parts, other.parts)
    pd.testing.assert_frame_equal(one.examples.reset_index(drop=True), other.examples.reset_index(drop=True))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=4))
def test_shapley_is_the_mean_over_all_orders(pairs):
    before, after = (np.array([[pair[side]] for pair in pairs]) for side in (0, 1))
    expected = np.zeros(len(pairs))
    orders = list(itertools.permutations(range(len(pairs))))
    for order in orders:
        now = before[:, 0].copy()
        for index in order:
            value = math.prod(now)
            now[index] = after[index, 0]
            expected[index] += (math.prod(now) - value) / len(orders)
    assert np.allclose(shapley(before, after)[:, 0], expected, atol=1e-7)


# ---- intervals ----


def test_the_interval_of_new_plots_is_not_that_of_the_whole():
    """A cooperative of 100 ha that gains one of 1 ha: what is not known of the 100 says nothing of the change."""
    before = written({f"P{number}": ha(10.0) for number in range(10)})
    after = written({**{f"P{number}": ha(10.0) for number in range(10)}, "N": ha(1.0)})
    found = compare_runs(before, after).of().loc["difference"]
    assert 0 < found["low_kg"] < 1000 < found["high_kg"] < 10 * 1000
    assert found["verdict"] == "higher"


def test_a_gain_and_a_loss_of_one_size_are_not_different():
    before, after = written({"A": ha(1.0)}), written({"B": ha(1.1)})
    found = compare_runs(before, after).of().loc["difference"]
    assert found["low_kg"] < 0 < found["high_kg"]
    assert found["verdict"] == "not different"


def test_where_map_or_setting_changed_no_interval_is_known_but_of_the_rest():
    before = written({"A": ha(1.0), "B": ha(1.0)})
    after = written({"A": ha(1.0, y_kg_ha=900.0), "B": ha(1.0, y_kg_ha=900.0), "C": ha(1.0, y_kg_ha=900.0)})
    found = compare_runs(before, after).of()
    assert found["verdict"][["plots_new", "settings", "difference"]].tolist() == ["higher", "not known", "not known"]
    assert found["low_kg"][["settings", "difference"]].isna().all()


def test_an_outline_drawn_again_errs_twice():
    """3 ha ± .3 and 3.1 ha ± .3: the change of .1 ha is less than the errors of both."""
    before, after = written({"A": ha(3.0, area_sd_ha=0.3)}), written({"A": ha(3.1, area_sd_ha=0.3)})
    assert compare_runs(before, after).of().loc["area", "verdict"] == "not different"
    steady = written({"A": ha(3.0)}), written({"A": ha(3.1)})
    assert compare_runs(*steady).of().loc["area", "verdict"] == "higher"


def simulated(rng, gains, losses, items, draws):
    """Differences of the truth: each item's mean times its factors, those that are shared drawn once."""
    shared, plot, season = (items.cv[name].to_numpy() for name in ("base_yield", "plot", "member_season"))

    def factor(cv, size):
        s = np.sqrt(np.log1p(cv**2))
        return np.exp(s * rng.standard_normal(size) - s**2 / 2)

    owners = pd.factorize(items.table["member_id"])[0]
    count = len(items)
    common = factor(shared[:1], (draws, 1))
    own = factor(plot[None, :], (draws, count))
    seasons = factor(season[:1], (draws, owners.max() + 1))[:, owners]
    return (common * own * seasons * (gains - losses)[None, :]).sum(axis=1)


@pytest.mark.parametrize(("gained", "lost"), [(12, 3), (6, 6), (1, 9)])
def test_the_interval_holds_the_truth_as_often_as_it_says(gained, lost):
    rng = np.random.default_rng(7)
    sizes = rng.uniform(0.2, 3, gained + lost)
    old = {f"L{number}": ha(sizes[number], member_id=f"M{number % 4}") for number in range(lost)}
    new = {f"G{number}": ha(sizes[lost + number], member_id=f"M{number % 4}") for number in range(gained)}
    found = compare_runs(written({"K": ha(5.0), **old}), written({"K": ha(5.0), **new})).of().loc["difference"]
    items = written_items(plots({**old, **new}))
    kg = items.table["mean_kg"].to_numpy()
    is_new = np.array([name.startswith("G") for name in items.table.index])
    truth = simulated(rng, np.where(is_new, kg, 0), np.where(is_new, 0, kg), items, 20_000)
    held = ((truth >= found["low_kg"]) & (truth <= found["high_kg"])).mean()
    assert 0.93 <= held <= 0.97, held


def test_the_difference_of_two_log_normals_has_its_quantiles():
    rng = np.random.default_rng(3)
    cov = 0.5 * 400 * 250
    low, high = difference_interval((1000.0, 400.0**2), (800.0, 250.0**2), cov)
    s_g, s_l = math.sqrt(math.log1p(0.16)), math.sqrt(math.log1p(0.3125**2))
    rho = math.log1p(cov / 8e5) / (s_g * s_l)
    a, b = rng.standard_normal((2, 400_000))
    gain = 1000 * np.exp(s_g * a - s_g**2 / 2)
    loss = 800 * np.exp(s_l * (rho * a + math.sqrt(1 - rho**2) * b) - s_l**2 / 2)
    assert np.quantile(gain - loss, [0.025, 0.975]) == pytest.approx([low, high], rel=0.02)
    assert difference_interval((800.0, 250.0**2), (1000.0, 400.0**2), cov) == pytest.approx((-high, -low), rel=1e-3)
    assert difference_interval((0.0, 0.0), (0.0, 0.0), 0.0) == (0.0, 0.0)


# ---- items made again from tables ----


def test_errors_made_again_from_tables_give_each_plot_its_own_interval():
    """(mean / median)² = 1 + cv²: 1.5² = 2.25, whatever part of it is shared."""
    items = written_items(plots({"A": ha(1.0), "B": ha(2.0, kind="declared")}))
    each = totals(items, pd.Series(items.table.index, index=items.table.index))
    assert (each["mean_kg"] / each["p50"]).tolist() == pytest.approx([1.5, 1.5])


def test_every_part_has_a_name_that_no_other_has():
    assert len(set(PARTS)) == len(PARTS)


def test_a_plot_that_moves_to_another_cooperative_is_gone_there_and_new_here():
    before = written({"A": ha(1.0), "B": ha(2.0, cooperative_id="D")})
    after = written({"A": ha(1.0, cooperative_id="D"), "B": ha(2.0, cooperative_id="D")})
    found = compare_runs(before, after)
    assert found.of(cooperative_id="C")["change_kg"]["plots_gone"] == pytest.approx(-1000)
    assert found.of(cooperative_id="D")["change_kg"]["plots_new"] == pytest.approx(1000)
    assert found.of()["change_kg"]["difference"] == pytest.approx(0)


# ---- the command ----


def folder_of(path, run, **parameters):
    """The files of a run that a comparison reads."""
    path.mkdir()
    run.plots.rename_axis("plot_id").reset_index().to_parquet(path / "plots.parquet")
    run.members.rename_axis("id").to_csv(path / "members.csv")
    told = {"crop": "coffee", "country": "HN", "season": "2026/27", "product": "map", "form": "green"}
    summary = {"format": MARK, "parameters": told | parameters, "assumptions": [], "inputs": []}
    (path / "summary.json").write_text(json.dumps(summary))
    return path


def test_two_folders_are_compared_on_the_command_line(tmp_path):
    first = folder_of(tmp_path / "a", written({"A": ha(1.0), "D": ha(0.2)}, guesses(M1=100.0)))
    second = folder_of(tmp_path / "b", written({"A": ha(1.0), "C": ha(0.5)}, guesses(M1=100.0)))
    done = CliRunner().invoke(app, ["compare", str(first), str(second), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "plots that are new\t+500" in done.output and "plots that are gone\t-200" in done.output
    table = pd.read_csv(tmp_path / "out" / "compare.csv")
    assert list(table.columns) == list(COLUMNS)
    assert table.set_index("part")["change_kg"]["difference"] == pytest.approx(300)
    again = CliRunner().invoke(app, ["compare", str(first), str(second), "--json"])
    assert json.loads(again.output)["parts"][-1]["verdict"] == "not different"


def test_a_folder_without_a_run_is_told_plainly(tmp_path):
    first = folder_of(tmp_path / "a", written({"A": ha(1.0)}, guesses(M1=1.0)))
    with pytest.raises(FileError, match=r"holds no run that can be compared\. It has no plots\.parquet\."):
        read_written(tmp_path)
    (first / "summary.json").write_text("{}")
    with pytest.raises(FileError, match="not that of a run of this format"):
        read_written(first)
