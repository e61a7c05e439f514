"""Exact variance of sums with shared errors."""

import itertools
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import ColumnError
from geomap.supply.items import Items, join_items, shared_by
from geomap.supply.totals import interval, totals, variance_shares

SOURCES = [source for source in shared_by() if source != "delivered_share"]
REGION_CV = 0.10


def make_items(count: int, rng: np.random.Generator, *, seasons: int = 2, members: int = 3, classes: int = 2) -> Items:
    """Items with every source at work; few cooperatives, members, plots and seasons, so that many errors are shared."""
    plots = [f"P{number}" for number in rng.integers(0, max(count // 2, 1), count)]
    table = pd.DataFrame(
        {
            "member_id": rng.choice(["", *(f"M{number}" for number in range(members))], count),
            "cooperative_id": rng.choice(["A", "B"], count),
            "origin": rng.choice(["coffee:HN", "coffee:GT"], count),
            "region": rng.choice(["HN", "GT"], count),
            "form_pair": rng.choice(["green>green", "green>parchment"], count),
            "season": rng.choice([f"S{number}" for number in range(seasons)], count),
            "mean_kg": rng.uniform(0, 1000, count),
        },
        index=pd.Index(plots, name="plot_id"),
    )
    cv = pd.DataFrame(rng.choice([0.0, 0.1, 0.4], (count, len(SOURCES))), index=table.index, columns=SOURCES)
    names = [f"map1:{code}" for code in range(classes)]
    share = pd.DataFrame(rng.uniform(0, 0.8, (count, classes)), index=table.index, columns=names)
    return Items(table, cv, share, pd.Series(rng.uniform(0.01, 0.1, classes), index=names))


def sharing(items: Items, row: int, source: str) -> tuple[str, ...]:
    plot = items.table.index[row]
    entry = {"plot_id": plot, "member_id": items.table["member_id"].iloc[row] or f"plot {plot}"}
    return tuple(entry.get(name) or str(items.table[name].iloc[row]) for name in shared_by()[source])


def oracle(items: Items) -> float:
    """Σ_i Σ_j S_i S_j (Π_u (1 + cv_ui cv_uj [shared]) − 1), pair by pair."""
    mean, region = items.table["mean_kg"].tolist(), items.table["region"].tolist()
    keys = {source: [sharing(items, row, source) for row in range(len(items))] for source in SOURCES}
    cv = {source: items.cv[source].tolist() for source in SOURCES}
    share, square = items.map_share.to_numpy().tolist(), (items.map_se**2).tolist()
    total = 0.0
    for i, j in itertools.product(range(len(items)), repeat=2):
        factor = 1.0
        for source in SOURCES:
            if keys[source][i] == keys[source][j]:
                factor *= 1 + cv[source][i] * cv[source][j]
        regional = REGION_CV**2 if region[i] == region[j] else 0.0
        factor *= 1 + sum(a * b * (c + regional) for a, b, c in zip(share[i], share[j], square, strict=True))
        total += mean[i] * mean[j] * (factor - 1)
    return total


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 14))
def test_variance_is_that_of_all_pairs(seed: int, count: int) -> None:
    items = make_items(count, np.random.default_rng(seed))
    assert totals(items)["var"]["all"] == pytest.approx(oracle(items), rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_each_group_has_the_variance_of_its_own_items(seed: int) -> None:
    items = make_items(14, np.random.default_rng(seed))
    found = totals(items, items.table["cooperative_id"])
    assert list(found.index) == sorted(set(items.table["cooperative_id"]))
    for name in found.index:
        own = items.where(items.table["cooperative_id"] == name)
        assert found.loc[name, "var"] == pytest.approx(oracle(own), rel=1e-12)
        assert found.loc[name, "mean_kg"] == pytest.approx(own.table["mean_kg"].sum(), rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_share_of_a_source_is_what_goes_away_without_it(seed: int) -> None:
    items = make_items(10, np.random.default_rng(seed))
    shares = variance_shares(items).set_index("source")["share"]
    whole = oracle(items)
    for source in SOURCES:
        without = Items(items.table, items.cv.assign(**{source: 0.0}), items.map_share, items.map_se)
        assert shares.get(source, 0.0) == pytest.approx(1 - oracle(without) / whole, abs=1e-9)
    exact = Items(items.table, items.cv, items.map_share, items.map_se * [0, 1])
    assert shares["map:map1:0"] == pytest.approx(1 - oracle(exact) / whole, abs=1e-9)


def equal_plots(count: int, **cv: float) -> Items:
    plots = pd.Index([f"P{number:04d}" for number in range(count)])
    constant = {"cooperative_id": "C", "origin": "o", "region": "r", "form_pair": "a>a", "season": "", "mean_kg": 7.0}
    table = pd.DataFrame({"member_id": "M" + plots} | constant, index=plots)
    return Items(table, pd.DataFrame(cv, index=plots), pd.DataFrame(index=plots), pd.Series(dtype=float))


def relative_error(found: pd.DataFrame) -> float:
    return float(np.sqrt(found["var"]["all"]) / found["mean_kg"]["all"])


@pytest.mark.parametrize(("count", "cv"), [(1, 0.6250), (10, 0.2435), (50, 0.1728), (200, 0.1560), (1000, 0.1512)])
def test_shared_errors_do_not_average_out(count: int, cv: float) -> None:
    # √((1 + .15²)(1 + .60² / n) − 1), in quadrature over plots it would be .0437 at n = 200
    assert relative_error(totals(equal_plots(count, base_yield=0.15, plot=0.60))) == pytest.approx(cv, abs=5e-5)


def test_seasons_share_what_is_constant_for_a_plot() -> None:
    # one plot over three seasons: (1 + .3²)(1 + .4²)(1 + .5² / 3) − 1; plot and cooperative do not average out
    items = equal_plots(1, cooperative=0.3, plot=0.4, member_season=0.5).over_seasons(["a", "b", "c"])
    expected = math.sqrt(1.09 * 1.16 * (1 + 0.25 / 3) - 1)
    assert relative_error(totals(items)) == pytest.approx(expected, rel=1e-12)


def test_nested_levels_multiplied_are_too_sure_over_several_seasons() -> None:
    # 20 members with one plot, three seasons; a pair of plot-seasons is kin by plot, by season, by both or by neither
    cvs = {"cooperative": 0.30, "season": 0.12, "coop_season": 0.10, "member_season": 0.30, "plot": 0.52}
    items = equal_plots(20, **cvs).over_seasons(["a", "b", "c"])
    same_season = 1.0144 * 1.01 * (1 + (1.2704 * 1.09 - 1) / 20)
    other_season = 1 + 0.2704 / 20
    exact = math.sqrt(1.09 * (same_season / 3 + other_season * 2 / 3) - 1)
    nested = math.sqrt(1.09 * (1 + 0.0144 / 3) * (1 + 0.01 / 3) * (1 + (1.2704 * 1.09 - 1) / 60) - 1)
    assert relative_error(totals(items)) == pytest.approx(exact, rel=1e-12)
    assert (round(exact, 3), round(nested, 3)) == (0.340, 0.325)


@cache
def simulated(draws: int = 300_000) -> tuple[Items, float, float]:
    """Items with every source, and mean and variance of their sum over draws of shared factors."""
    rng = np.random.default_rng(20)
    items = make_items(12, rng)
    factor = np.ones((len(items), draws))
    for source in SOURCES:
        keys = [sharing(items, row, source) for row in range(len(items))]
        noise = {key: rng.standard_normal(draws) for key in sorted(set(keys))}
        for row, key in enumerate(keys):
            factor[row] *= 1 + items.cv[source].iloc[row] * noise[key]
    wide = rng.standard_normal((2, draws)) * items.map_se.to_numpy()[:, None]
    regional = {name: rng.standard_normal((2, draws)) * REGION_CV for name in ("GT", "HN")}
    for row, region in enumerate(items.table["region"]):
        factor[row] *= 1 + items.map_share.to_numpy()[row] @ (wide + regional[region])
    sums = items.table["mean_kg"].to_numpy() @ factor
    return items, float(sums.mean()), float(sums.var())


def test_variance_is_that_of_simulated_sums_with_shared_draws() -> None:
    items, mean, var = simulated()
    found = totals(items).loc["all"]
    assert found["mean_kg"] == pytest.approx(mean, rel=0.005)
    assert math.sqrt(found["var"]) == pytest.approx(math.sqrt(var), rel=0.01)


def test_every_source_of_the_table_is_at_work_and_named() -> None:
    items, _, _ = simulated(10)
    named = {source.partition(":")[0] for source in variance_shares(items)["source"]}
    assert named == set(SOURCES) | {"map", "map_region"}


def test_order_of_rows_does_not_change_a_bit() -> None:
    items = make_items(200, np.random.default_rng(5), members=30)
    expected = totals(items, items.table["member_id"])
    shares = variance_shares(items)
    for seed in range(3):
        rows = np.random.default_rng(seed).permutation(len(items))
        mixed = Items(items.table.iloc[rows], items.cv.iloc[rows], items.map_share.iloc[rows], items.map_se)
        pd.testing.assert_frame_equal(totals(mixed, mixed.table["member_id"]), expected, check_exact=True)
        pd.testing.assert_frame_equal(variance_shares(mixed), shares, check_exact=True)


def test_pairs_in_small_portions_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    items = make_items(150, np.random.default_rng(6), members=30)
    expected = totals(items)
    monkeypatch.setattr("geomap.supply.totals._PAIRS_AT_ONCE", 17)
    pd.testing.assert_frame_equal(totals(items), expected, check_exact=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.01, 100))
def test_yield_times_c_gives_c_times_the_sum(seed: int, factor: float) -> None:
    items = make_items(8, np.random.default_rng(seed))
    scaled = Items(items.table.assign(mean_kg=items.table["mean_kg"] * factor), items.cv, items.map_share, items.map_se)
    before, after = totals(items).loc["all"], totals(scaled).loc["all"]
    for name in ("mean_kg", "p10", "p50", "p90"):
        assert after[name] == pytest.approx(before[name] * factor, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_another_plot_never_lowers_mean_or_variance(seed: int) -> None:
    items = make_items(8, np.random.default_rng(seed))
    fewer = items.where(pd.Series(np.arange(8) < 7))
    assert totals(fewer)["mean_kg"]["all"] <= totals(items)["mean_kg"]["all"]
    assert totals(fewer)["var"]["all"] <= totals(items)["var"]["all"] * (1 + 1e-12)


def test_union_of_cooperatives_has_the_sum_of_their_means_but_more_than_the_sum_of_their_variances() -> None:
    items = make_items(30, np.random.default_rng(3))
    parts = [items.where(items.table["cooperative_id"] == name) for name in ("A", "B")]
    by_coop, union = totals(items, items.table["cooperative_id"]), totals(join_items(parts))
    assert union["mean_kg"]["all"] == pytest.approx(by_coop["mean_kg"].sum())
    assert union["var"]["all"] > by_coop["var"].sum()
    pd.testing.assert_frame_equal(union, totals(items), rtol=1e-12)


def test_plots_without_a_member_do_not_share_a_members_season() -> None:
    items = equal_plots(2, member_season=0.3)
    alone = Items(items.table.assign(member_id=""), items.cv, items.map_share, items.map_se)
    same = Items(items.table.assign(member_id="M"), items.cv, items.map_share, items.map_se)
    assert relative_error(totals(alone)) == pytest.approx(0.3 / math.sqrt(2))
    assert relative_error(totals(same)) == pytest.approx(0.3)


def test_no_items_sum_to_nothing() -> None:
    nothing = equal_plots(0, plot=0.5)
    assert totals(nothing).loc["all"].tolist() == [0.0] * 5
    assert totals(nothing, nothing.table["member_id"]).empty
    assert variance_shares(nothing).empty


def test_missing_labels_are_refused() -> None:
    items = equal_plots(2, plot=0.5)
    with pytest.raises(ColumnError, match="1 of them missing"):
        totals(items, pd.Series(["a", None]))


def test_sets_with_two_accuracies_of_one_class_are_refused() -> None:
    items = make_items(3, np.random.default_rng(1))
    other = Items(items.table, items.cv, items.map_share, items.map_se * 2)
    with pytest.raises(ColumnError, match="two standard errors"):
        join_items([items, other])


def test_quantiles_are_those_of_the_log_normal_distribution() -> None:
    # s² = ln(1 + .5²) = .22314; median = 100 e^(−s²/2) = 89.443; P90 = median · e^(1.28155 · .47238) = 163.85
    assert interval(100.0, 2500.0, 0.5) == pytest.approx(89.4427, abs=1e-4)
    assert interval(100.0, 2500.0, 0.9) == pytest.approx(163.85, abs=0.01)
    assert interval([0.0], [0.0], 0.9).tolist() == [0.0]


@pytest.mark.parametrize("count", [1, 20, 500])
def test_intervals_hold_four_truths_of_five(count: int) -> None:
    # errors as log-normal factors, which the method allows; 4,000 truths: ± 1.3 % is two standard errors
    cvs = {"base_yield": 0.35, "cooperative": 0.30, "season": 0.12, "member_season": 0.30, "plot": 0.52}
    found = totals(equal_plots(count, **cvs)).loc["all"]
    rng = np.random.default_rng(count)
    truth = np.full(4000, 7.0)
    for cv in (0.35, 0.30, 0.12):
        truth *= log_normal(rng, cv, 4000)
    truth = (truth[:, None] * log_normal(rng, 0.30, (4000, count)) * log_normal(rng, 0.52, (4000, count))).sum(axis=1)
    assert 0.78 < ((truth > found["p10"]) & (truth < found["p90"])).mean() < 0.83


def log_normal(rng: np.random.Generator, cv: float, size: int | tuple[int, int]) -> np.ndarray:
    s2 = math.log1p(cv**2)
    return rng.lognormal(-s2 / 2, math.sqrt(s2), size)
