"""Map accuracy: published tables, samples of ground whose truth is known, and what a cooperative's ground is."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomap.errors import ColumnError, NumberError
from geomap.landcover.accuracy import accuracy_table, carried_areas, map_accuracy, region_spread, row_probabilities
from geomap.landcover.local_sample import LEAST_POINTS, local_map_share, local_shares, read_local_sample
from geomap.landcover.reference_sample import class_codes, read_mapped_areas, read_reference_sample
from geomap.landcover.strata import wilson
from geomap.supply.crops import conversion, crop, own_base_yield
from geomap.supply.potential import plot_potential
from geomap.supply.totals import totals

CLASSES = ["deforestation", "gain", "forest", "other"]
COUNTS = ((66, 0, 5, 4), (0, 55, 8, 12), (1, 0, 153, 11), (2, 1, 9, 313))
PIXELS = (200_000, 150_000, 3_200_000, 6_450_000)
HECTARES = pd.Series(np.array(PIXELS) * 0.09, index=CLASSES)  # pixels of 30 m

STEHMAN_SIZES = pd.Series({"A": 40_000.0, "B": 30_000.0, "C": 20_000.0, "D": 10_000.0})
STEHMAN = pd.DataFrame(
    {
        "stratum": list("A" * 10 + "B" * 10 + "C" * 10 + "D" * 10),
        "map_class": list("AAAAAAABBB" + "ABBBBBBBBB" + "BBCCCCCCBB" + "DDDDDDDDDD"),
        "reference_class": list("AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"),
    }
)


def matrix(counts=COUNTS, classes=CLASSES) -> pd.DataFrame:
    rows = [(classes[i], classes[j], n) for i, row in enumerate(counts) for j, n in enumerate(row)]
    return pd.DataFrame(rows, columns=["map_class", "reference_class", "points"])


# ---- published tables ----


def test_the_published_areas_of_olofsson_come_out_to_all_digits():
    areas = map_accuracy(matrix(), HECTARES).areas.loc[CLASSES]
    assert areas["area"].round(2).tolist() == [21157.76, 11686.15, 285769.93, 581386.15]
    assert (areas["high"] - areas["area"]).round(2).tolist() == [6157.52, 3755.76, 15509.55, 16281.36]
    assert (areas["area"] - areas["low"]).round(2).tolist() == [6157.52, 3755.76, 15509.55, 16281.36]
    assert areas["mapped"].round(6).tolist() == [18_000, 13_500, 288_000, 580_500]


def test_the_published_accuracies_of_olofsson_come_out():
    found = map_accuracy(matrix(), HECTARES)
    assert round(found.overall["estimate"], 4) == 0.9465
    assert round(found.overall["high"] - found.overall["estimate"], 4) == 0.0185
    users, producers = found.users.loc[CLASSES], found.producers.loc[CLASSES]
    assert users["estimate"].round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert (1.96 * users["se"]).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert producers["estimate"].round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    assert (1.96 * producers["se"]).round(2).tolist() == [0.21, 0.25, 0.03, 0.02]
    assert found.findings.empty


def test_the_numerical_example_of_stehman_comes_out():
    # Strata that are not the map's classes; figures as printed there, and of another implementation for the rest.
    found = map_accuracy(STEHMAN, STEHMAN_SIZES)
    assert (found.areas["area"] / 1e5).round(10).tolist() == [0.35, 0.34, 0.20, 0.11]
    assert (found.areas["se"] / 1e5).round(3)[["A", "C"]].tolist() == [0.082, 0.064]
    assert (round(found.overall["estimate"], 10), round(found.overall["se"], 3)) == (0.63, 0.085)
    assert found.users["estimate"].round(7).tolist() == [0.7419355, 0.5744681, 0.5, 0.7]
    assert found.users["se"].round(7).tolist() == [0.1645627, 0.1248023, 0.2151657, 0.1527525]
    assert found.producers["estimate"].round(7).tolist() == [0.6571429, 0.7941176, 0.3, 0.6363636]
    assert found.producers["se"].round(7).tolist() == [0.1477318, 0.1165671, 0.1504438, 0.1623242]
    assert (found.areas["mapped"] / 1e5).round(10).tolist() == [0.31, 0.47, 0.12, 0.10]  # the sample's estimate


# ---- the formulas of Olofsson, written out, against the ratios ----


def olofsson(counts: np.ndarray, size: np.ndarray) -> dict[str, np.ndarray]:
    """Equations 5 to 10 as they are printed."""
    n, share = counts.sum(axis=1), counts / counts.sum(axis=1, keepdims=True)
    weight = size / size.sum()
    area = size @ share
    users = np.diag(share)
    user_var = users * (1 - users) / (n - 1)
    producers = np.diag(size[:, None] * share) / area
    each = size[:, None] ** 2 * share * (1 - share) / (n - 1)[:, None]
    others = np.where(np.eye(len(size)), 0.0, each).sum(axis=0)
    producer_var = (size**2 * (1 - producers) ** 2 * user_var + producers**2 * others) / area**2
    return {
        "area": area,
        "area_se": np.sqrt(each.sum(axis=0)),
        "users_se": np.sqrt(user_var),
        "producers": producers,
        "producers_se": np.sqrt(producer_var),
        "overall_se": np.sqrt((weight**2 * user_var).sum()),
    }


counts_of_any_map = st.integers(2, 5).flatmap(
    lambda k: st.tuples(
        st.lists(st.lists(st.integers(1, 60), min_size=k, max_size=k), min_size=k, max_size=k),
        st.lists(st.floats(0.5, 1e6), min_size=k, max_size=k),
    )
)


@given(counts_of_any_map)
def test_where_strata_are_classes_the_ratios_are_the_formulas_of_olofsson(drawn):
    counts, size = np.array(drawn[0], dtype=float), np.array(drawn[1])
    names = [f"c{i}" for i in range(len(size))]
    found = map_accuracy(matrix(drawn[0], names), pd.Series(size, index=names))
    expected = olofsson(counts, size)
    assert found.areas["area"].to_numpy() == pytest.approx(expected["area"])
    assert found.areas["se"].to_numpy() == pytest.approx(expected["area_se"])
    assert found.users["se"].to_numpy() == pytest.approx(expected["users_se"])
    assert found.producers["estimate"].to_numpy() == pytest.approx(expected["producers"])
    assert found.producers["se"].to_numpy() == pytest.approx(expected["producers_se"])
    assert found.overall["se"] == pytest.approx(expected["overall_se"])
    assert found.areas["area"].sum() == pytest.approx(size.sum())


def test_the_order_and_the_form_of_rows_do_not_matter():
    whole = map_accuracy(matrix(), HECTARES)
    points = (
        matrix().loc[matrix().index.repeat(matrix()["points"])].drop(columns="points").sample(frac=1, random_state=4)
    )
    again = map_accuracy(points, HECTARES[::-1])
    for one, other in zip(
        (whole.areas, whole.users, whole.producers), (again.areas, again.users, again.producers), strict=True
    ):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_one_table_holds_all_figures():
    found = map_accuracy(matrix(), HECTARES)
    table = accuracy_table(found).set_index(["quantity", "class"])
    assert len(table) == 4 + 4 + 4 + 1
    assert table.loc[("area", "gain"), "estimate"] == found.areas.loc["gain", "area"]
    assert table.loc[("overall", ""), "se"] == found.overall["se"]


def test_a_sample_is_not_modified():
    sample, sizes = matrix(), HECTARES.copy()
    map_accuracy(sample, sizes)
    pd.testing.assert_frame_equal(sample, matrix())
    pd.testing.assert_series_equal(sizes, HECTARES)


# ---- ground whose truth is known ----


def world(rng: np.random.Generator, cells: int = 60_000) -> pd.DataFrame:
    """Cells with a truth, a map that is right in four of five, and strata of an older map."""
    truth = rng.choice(3, cells, p=[0.7, 0.2, 0.1])
    new = np.where(rng.random(cells) < 0.8, truth, rng.integers(0, 3, cells))
    old = np.where(rng.random(cells) < 0.7, truth, rng.integers(0, 3, cells))
    return pd.DataFrame({"reference_class": truth, "map_class": new, "stratum": old})


def test_areas_and_accuracies_of_other_strata_hold_the_truth_of_simulated_ground():
    rng = np.random.default_rng(20)
    ground = world(rng)
    sizes = ground["stratum"].value_counts().astype(float)
    rows = [np.flatnonzero(ground["stratum"] == h) for h in range(3)]
    right = ground["map_class"] == ground["reference_class"]
    truth = {
        "area": ground["reference_class"].value_counts().sort_index().to_numpy(float),
        "users": right.groupby(ground["map_class"]).mean().to_numpy(),
        "producers": right.groupby(ground["reference_class"]).mean().to_numpy(),
    }
    held, estimates, errors = [], [], []
    for _ in range(300):
        taken = np.concatenate([rng.choice(row, 200, replace=False) for row in rows])
        found = map_accuracy(ground.iloc[taken], sizes)
        tables = {"area": found.areas, "users": found.users, "producers": found.producers}
        held.append([tables[name][["low", "high"]].to_numpy() for name in truth])
        estimates.append(found.areas["area"].to_numpy())
        errors.append(found.areas["se"].to_numpy())
    limits = np.array(held)  # samples × figures × classes × (low, high)
    true = np.array(list(truth.values()))
    coverage = ((limits[..., 0] <= true) & (true <= limits[..., 1])).mean(axis=0)
    assert (coverage > 0.90).all(), coverage  # nominal .95; three standard errors of 300 samples are .038
    assert coverage.mean() == pytest.approx(0.945, abs=0.015)
    assert np.mean(estimates, axis=0) == pytest.approx(truth["area"], rel=0.02)
    assert np.std(estimates, axis=0) == pytest.approx(np.sqrt(np.mean(np.square(errors), axis=0)), rel=0.12)


def test_intervals_hold_the_truth_where_a_large_stratum_often_agrees_as_one():
    # 30 points of ground that is right in 97 of 100 all agree in 4 samples of 10. Its 95 ha then add nothing to se, and
    # R ± 1.96 se holds the truth in about six of ten samples; our limits are Wilson's there.
    rng, sizes = np.random.default_rng(2), pd.Series({"crop": 95.0, "tree": 5.0})
    truth, held, plain = 95 * 0.97 + 5 * 0.5, 0, 0
    for _ in range(200):
        right, wrong = rng.binomial(30, 0.97), rng.binomial(30, 0.5)
        sample = matrix(((right, 30 - right), (wrong, 30 - wrong)), ["crop", "tree"])
        area = map_accuracy(sample, sizes).areas.loc["crop"]
        held += area["low"] <= truth <= area["high"]
        plain += abs(area["area"] - truth) <= 1.96 * area["se"]
    assert held / 200 > 0.93
    assert plain / 200 < 0.75


@pytest.mark.parametrize(("interval", "coverage"), [("normal", 0.851), ("wilson", 0.974)])
def test_wilson_limits_hold_the_truth_of_few_points_better(interval, coverage):
    # 30 points in a class that is right in 9 of 10: 31 kinds of sample, each with its chance.
    sizes, chance = pd.Series({"crop": 50.0, "tree": 50.0}), 0.0
    for right in range(31):
        sample = matrix(((right, 30 - right), (5, 5)), ["crop", "tree"])
        limits = map_accuracy(sample, sizes, interval=interval).users.loc["crop"]
        if limits["low"] <= 0.9 <= limits["high"]:
            chance += math.comb(30, right) * 0.9**right * 0.1 ** (30 - right)
    assert chance == pytest.approx(coverage, abs=0.001)


# ---- samples that say too little ----


def test_points_that_all_agree_never_give_a_zero_width():
    sample = matrix(((30, 0), (0, 20)), ["crop", "tree"])
    found = map_accuracy(sample, pd.Series({"crop": 60.0, "tree": 40.0}))
    assert found.areas["se"].tolist() == [0, 0]
    assert set(found.areas["basis"]) == set(found.users["basis"]) == {"wilson"}
    # Wilson, no miss in n: z² / (n + z²); the two strata by their squares
    crop_tree, tree_crop = 60 * 3.8415 / 33.8415, 40 * 3.8415 / 23.8415
    assert found.areas.loc["crop", "low"] == pytest.approx(60 - crop_tree, abs=1e-3)
    assert found.areas.loc["crop", "high"] == pytest.approx(60 + tree_crop, abs=1e-3)
    assert found.users.loc["crop", ["low", "high"]].tolist() == pytest.approx([30 / 33.8415, 1], abs=1e-4)
    assert found.producers.loc["crop", "low"] == pytest.approx(
        (60 - crop_tree) / (60 - crop_tree + tree_crop), abs=1e-3
    )
    assert found.overall["low"] == pytest.approx(1 - math.hypot(crop_tree, tree_crop) / 100, abs=1e-4)
    assert found.findings["code"].tolist() == ["samples_agree"] * 2
    assert "30 points of stratum crop agree; up to 11 %" in found.findings["message"][1]


def test_a_class_without_a_point_counts_as_mapped_give_or_take_half():
    sizes = pd.Series({"crop": 60.0, "tree": 40.0, "water": 10.0})
    sample = matrix(((25, 5), (5, 25)), ["crop", "tree"])
    with_water, without = map_accuracy(sample, sizes), map_accuracy(sample, sizes.drop("water"))
    water = with_water.areas.loc["water"]
    assert (water["area"], water["se"]) == (10, 5)  # √.25 · 10 ha
    assert with_water.areas.loc["crop", "area"] == without.areas.loc["crop", "area"]
    assert with_water.areas.loc["crop", "se"] == pytest.approx(math.hypot(without.areas.loc["crop", "se"], 5))
    assert math.isnan(with_water.users.loc["water", "estimate"])
    assert with_water.users.loc["water", ["low", "high"]].tolist() == [0, 1]
    assert with_water.overall["estimate"] == pytest.approx(without.overall["estimate"])  # of the sampled ground
    assert with_water.findings["code"].tolist() == ["stratum_without_sample"]


def test_a_stratum_of_one_point_is_as_unsure_as_can_be():
    sample = matrix(((20, 20), (0, 1)), ["crop", "tree"])
    areas = map_accuracy(sample, pd.Series({"crop": 40.0, "tree": 10.0})).areas
    assert areas.loc["tree", "se"] == pytest.approx(math.hypot(40 * math.sqrt(0.25 / 39), 10 * 0.5))


def test_limits_stay_within_what_can_be():
    found = map_accuracy(matrix(((3, 1), (1, 3)), ["crop", "tree"]), pd.Series({"crop": 99.0, "tree": 1.0}))
    assert found.areas["low"].min() >= 0
    assert found.areas["high"].max() <= 100
    assert found.producers[["low", "high"]].stack().between(0, 1).all()


@pytest.mark.parametrize(
    ("sample", "sizes", "error", "words"),
    [
        (matrix(), HECTARES.drop("gain"), ColumnError, "size of stratum 'gain'"),
        (STEHMAN, pd.concat([STEHMAN_SIZES, pd.Series({"E": 5.0})]), ColumnError, "'E' has no sample point"),
        (matrix(), -HECTARES, NumberError, "Sizes of strata"),
        (matrix().assign(points=0), HECTARES, NumberError, "no points"),
        (matrix().assign(points=np.nan), HECTARES, NumberError, "no points"),
        (matrix().assign(reference_class=None), HECTARES, ColumnError, "without reference_class"),
        (matrix(), pd.concat([HECTARES, HECTARES[:1]]), ColumnError, "two sizes"),
    ],
)
def test_what_cannot_be_weighed_is_refused(sample, sizes, error, words):
    with pytest.raises(error, match=words):
        map_accuracy(sample, sizes)


# ---- carried to a cooperative ----


def test_a_cooperatives_ground_is_carried_by_rows_and_never_by_ratios():
    adjusted = map_accuracy(matrix(), HECTARES).areas.loc["deforestation"]
    ratio = adjusted["area"] / adjusted["mapped"]
    land = pd.DataFrame({"cooperative_id": "C", "class": ["deforestation", "other"], "area_ha": [0.5, 0.5]})
    found, _ = carried_areas(land, row_probabilities(matrix()))
    by_rows = found.set_index("class").loc["deforestation", "area_ha"]
    assert round(0.5 * ratio, 3) == 0.588
    assert round(by_rows, 3) == 0.443  # .5 · 66/75 + .5 · 2/325
    assert found["area_ha"].sum() == pytest.approx(1)


def test_the_variance_of_carried_areas_is_that_of_the_rows_and_the_regions_spread():
    land = pd.DataFrame({"cooperative_id": "C", "class": ["deforestation", "gain"], "area_ha": [30.0, 20.0]})
    found, _ = carried_areas(land, row_probabilities(matrix()))
    p, q = 5 / 75, 8 / 75  # forest among both
    var = 30**2 * (p * (1 - p) / 74 + 0.01) + 20**2 * (q * (1 - q) / 74 + 0.01)
    row = found.set_index("class").loc["forest"]
    assert row["se_ha"] == pytest.approx(math.sqrt(var))
    assert row["high_ha"] - row["area_ha"] == pytest.approx(1.959964 * math.sqrt(var))
    assert region_spread() == 0.10


def test_what_no_point_of_a_row_was_is_not_impossible():
    land = pd.DataFrame({"cooperative_id": "C", "class": ["deforestation"], "area_ha": [100.0]})
    row = carried_areas(land, row_probabilities(matrix()))[0].set_index("class").loc["gain"]
    share = 1 / 77  # none of 75 points: the rule of succession
    assert row["area_ha"] == 0
    assert row["se_ha"] == pytest.approx(100 * math.sqrt(share * (1 - share) / 78))


def test_many_cooperatives_are_carried_as_each_alone_and_ground_without_data_stays_out():
    codes = dict(zip(CLASSES, (10, 40, 50, 80), strict=True))
    sample = matrix().replace({"map_class": codes, "reference_class": codes}).infer_objects()
    sample = sample.astype({"map_class": int, "reference_class": int})
    land = pd.DataFrame(
        {
            "cooperative_id": ["B", "A", "B", "A", "A"],
            "class": [10, 50, 80, 10, -1],
            "area_ha": [5.0, 2.0, 7.0, 1.0, 9.0],
        }
    )
    rows = row_probabilities(sample)
    found, findings = carried_areas(land, rows)
    alone = pd.concat([carried_areas(land[land["cooperative_id"] == name], rows)[0] for name in ("A", "B")])
    pd.testing.assert_frame_equal(found, alone.reset_index(drop=True), rtol=1e-12)
    assert found.groupby("cooperative_id")["area_ha"].sum().round(9).to_dict() == {"A": 3, "B": 12}
    assert found.groupby("cooperative_id")["mapped_ha"].sum().to_dict() == {"A": 3, "B": 12}
    assert findings.empty


def test_a_class_that_the_sample_does_not_know_is_carried_as_mapped_and_said():
    land = pd.DataFrame({"cooperative_id": "C", "class": ["other", "water"], "area_ha": [6.0, 4.0]})
    found, findings = carried_areas(land, row_probabilities(matrix()))
    water = found.set_index("class").loc["water"]
    assert (water["area_ha"], water["se_ha"]) == (4, 2)
    assert findings["code"].tolist() == ["stratum_without_sample"]
    assert "water (4 in size)" in findings["message"][0]


def test_a_global_matrix_alone_holds_17_of_100_truths_and_with_the_regions_spread_95():
    # A class that is right in 49 cases of 100, known to ± .021 as WorldCover's shrubland; regions differ by .10.
    rng, n, p, spread = np.random.default_rng(5), 2_180, 0.491, 0.10
    kappa = p * (1 - p) / spread**2 - 1
    land = pd.DataFrame({"cooperative_id": "C", "class": ["shrub"], "area_ha": [1.0]})
    held = {0.0: [], None: []}
    for _ in range(80):
        seen, truth = rng.binomial(n, p), rng.beta(kappa * p, kappa * (1 - p), size=50)
        rows = row_probabilities(matrix(((seen, n - seen),), ["shrub", "tree"]))
        for given_spread, hits in held.items():
            row = carried_areas(land, rows, spread=given_spread)[0].set_index("class").loc["shrub"]
            hits.append(((row["low_ha"] <= truth) & (truth <= row["high_ha"])).mean())
    assert np.mean(held[0.0]) == pytest.approx(0.17, abs=0.02)
    assert np.mean(held[None]) == pytest.approx(0.95, abs=0.015)


def test_rows_of_other_strata_are_ratios_by_the_size_of_the_strata():
    rows = row_probabilities(STEHMAN, STEHMAN_SIZES).set_index(["map_class", "reference_class"])
    users = map_accuracy(STEHMAN, STEHMAN_SIZES).users
    for name in "ABCD":
        assert rows.loc[(name, name), "p"] == pytest.approx(users.loc[name, "estimate"])
        assert rows.loc[(name, name), "var"] == pytest.approx(users.loc[name, "se"] ** 2)
    with pytest.raises(ColumnError, match="sizes are not given"):
        row_probabilities(STEHMAN)


# ---- a sample of one's own ground ----


def legend_of(product, accuracy):
    """The product with one user's accuracy for all classes that bear no crop."""
    bears_none = product.legend["tree_crop"] == 0
    users = product.legend["users_accuracy"].mask(bears_none, accuracy)
    return dataclasses.replace(product, legend=product.legend.assign(users_accuracy=users))


@pytest.mark.parametrize(("points", "error"), [(51, 0.055), (99, 0.043)])
def test_a_local_sample_narrows_the_error_of_a_class(worldcover, points, error):
    # The share stays 2/3, so x = 2/3 n; the error without any point is the region's .100.
    product = legend_of(worldcover, 2 / 3)
    bad = points * 2 // 3
    sample = pd.DataFrame({"map_class": 50, "can_bear": [False] * bad + [True] * (points - bad)})
    legend, _ = local_shares(sample, product)
    kappa = (2 / 9) / 0.01 - 1
    assert legend.loc[50, "users_accuracy"] == pytest.approx((bad + kappa * 2 / 3) / (points + kappa))
    assert round(legend.loc[50, "local_se"], 3) == error
    assert legend.loc[50, "region_factor"] == pytest.approx(legend.loc[50, "local_se"] / 0.10)
    assert legend.loc[50, ["tree_crop", "users_se", "points"]].tolist() == [0, 0, points]


def test_classes_that_nobody_visited_stay_as_they_were(worldcover):
    sample = pd.DataFrame({"map_class": [50] * 20, "can_bear": [False] * 12 + [True] * 8})
    legend, findings = local_shares(sample, worldcover)
    others = legend.index != 50
    pd.testing.assert_frame_equal(legend.loc[others, worldcover.legend.columns], worldcover.legend[others])
    assert set(legend.loc[others, "region_factor"]) == {1.0}
    assert findings.empty


def test_too_few_points_of_a_class_teach_nothing_and_that_is_said(worldcover):
    sample = pd.DataFrame({"map_class": [10] * (LEAST_POINTS - 1), "can_bear": False})
    legend, findings = local_shares(sample, worldcover)
    assert legend.loc[10, "tree_crop"] == 1
    assert findings["code"].tolist() == ["stratum_without_sample"]


def test_points_that_agree_leave_an_error_and_are_said(worldcover):
    sample = pd.DataFrame({"map_class": [10] * 50, "can_bear": True})
    legend, findings = local_shares(sample, worldcover)
    assert 0 < legend.loc[10, "users_accuracy"] < 0.001  # .02 · .96 / 50.96
    assert legend.loc[10, "local_se"] > 0
    assert findings["code"].tolist() == ["samples_agree"]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.659, 0.93])
def test_the_error_of_a_local_share_is_the_error_that_it_has(worldcover, p):
    # 4,000 classes, each the built-up land of a region drawn around what the map says, with 30 points each.
    rng, regions, points = np.random.default_rng(8), 4_000, 30
    legend = worldcover.legend.loc[[50] * regions].assign(users_accuracy=p).set_index(pd.RangeIndex(regions))
    kappa = p * (1 - p) / 0.01 - 1
    truth = rng.beta(kappa * p, kappa * (1 - p), size=regions)
    bad = rng.binomial(points, truth)
    can_bear = np.arange(points)[None, :] >= bad[:, None]
    sample = pd.DataFrame({"map_class": np.repeat(np.arange(regions), points), "can_bear": can_bear.ravel()})
    found, _ = local_shares(sample, dataclasses.replace(worldcover, legend=legend))
    misses = found["users_accuracy"] - truth
    assert (misses**2).mean() == pytest.approx((found["local_se"] ** 2).mean(), rel=0.1)
    assert misses.mean() == pytest.approx(0, abs=0.003)
    assert (misses.abs() <= 1.96 * found["local_se"]).mean() > 0.92


def test_the_legend_of_a_local_sample_gives_f_and_its_error_to_the_potential(worldcover):
    # 2 ha, a quarter of it mapped as built-up, of which half turns out to bear: f = 1 − .25 · p̃.
    sample = pd.DataFrame({"map_class": 50, "can_bear": [False] * 50 + [True] * 50})
    legend, _ = local_shares(sample, worldcover)
    usual = {"member_id": "M", "cooperative_id": "C", "kind": "measured", "area_sd_ha": 0.0}
    unknown = dict.fromkeys(["declared_area_ha", "planted_share", "planted_year", "hives"], np.nan)
    plots = pd.DataFrame(usual | unknown | {"area_ha": 2.0, "counted_area_ha": 2.0}, index=["P"])
    classes = pd.DataFrame({"plot_id": "P", "product": "map", "class": [10, 50], "area_ha": [1.5, 0.5]})
    cover = pd.DataFrame({"nodata_ha": 0.0, "outside_ha": 0.0, "unknown_ha": 0.0, "cell_area_m2": 100.0}, index=["P"])
    items = plot_potential(
        plots, classes, cover, legend=legend, crop=crop("coffee"), base=own_base_yield("coffee", "HN", 1000),
        conversion=conversion("coffee", "green", "green"),
    )  # fmt: skip
    share = legend.loc[50, "users_accuracy"]
    assert items.table.loc["P", "f"] == pytest.approx(1 - 0.25 * share)
    narrowed = dataclasses.replace(items, cv=items.cv * 0, map_share=local_map_share(items.map_share, legend))
    whole = totals(narrowed).iloc[0]  # the error of the map alone
    f = 1 - 0.25 * share
    assert math.sqrt(whole["var"]) / whole["mean_kg"] == pytest.approx(0.25 * legend.loc[50, "local_se"] / f)


# ---- files ----


def test_a_matrix_and_its_points_are_read_as_the_same_sample(tmp_path):
    header = ",".join(["map", *CLASSES, "Total"])
    lines = [",".join([name, *map(str, row), str(sum(row))]) for name, row in zip(CLASSES, COUNTS, strict=True)]
    sums = ",".join(["Total", *(str(sum(column)) for column in zip(*COUNTS, strict=True)), "640"])
    (tmp_path / "matrix.csv").write_text("\n".join([header, *lines, sums]), encoding="utf-8")
    points = matrix().loc[matrix().index.repeat(matrix()["points"])].drop(columns="points")
    points.rename(columns={"map_class": "Map class"}).to_excel(tmp_path / "points.xlsx", index=False)
    by_matrix, said = read_reference_sample(tmp_path / "matrix.csv")
    by_points, _ = read_reference_sample(tmp_path / "points.xlsx")
    for sample in (by_matrix, by_points):
        pd.testing.assert_frame_equal(map_accuracy(sample, HECTARES).areas, map_accuracy(matrix(), HECTARES).areas)
    assert said["code"].tolist() == ["totals_row"]


def test_mapped_areas_are_read_in_any_unit_and_by_code_or_name(tmp_path, worldcover):
    (tmp_path / "pixels.csv").write_text("class;pixels\nforest;3200000\ngain;150000\n", encoding="utf-8")
    assert read_mapped_areas(tmp_path / "pixels.csv").to_dict() == {"forest": 3_200_000, "gain": 150_000}
    (tmp_path / "environment.csv").write_text(
        "cooperative_id,class,name,area_ha\nA,-1,No data,3\nA,10,Tree,2.5\nB,10,Tree,1\nB,Built-up,x,4\n",
        encoding="utf-8",
    )
    found = read_mapped_areas(tmp_path / "environment.csv", worldcover)
    assert found.to_dict() == {10: 3.5, 50: 4.0}
    (tmp_path / "bad.csv").write_text("class,area_ha\n10,-4\n", encoding="utf-8")
    with pytest.raises(NumberError, match="no size"):
        read_mapped_areas(tmp_path / "bad.csv", worldcover)
    (tmp_path / "none.csv").write_text("class,weight\n10,4\n", encoding="utf-8")
    with pytest.raises(ColumnError, match="no columns class and area_ha"):
        read_mapped_areas(tmp_path / "none.csv", worldcover)


def test_classes_of_a_matrix_become_codes_of_the_product(tmp_path, worldcover):
    (tmp_path / "m.csv").write_text("clase;Tree cover;80\n10;8;2\nPermanent water;1;9\n", encoding="utf-8")
    sample, _ = read_reference_sample(tmp_path / "m.csv", worldcover)
    assert sample[["map_class", "reference_class", "points"]].values.tolist() == [
        [10, 10, 8], [10, 80, 2], [80, 10, 1], [80, 80, 9],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("map,tree\ntree,2.5\n", NumberError, "no number of points"),
        ("map,tree\ntree,-1\n", NumberError, "no number of points"),
        ("map,tree\ntree,1\ntree,2\n", ColumnError, "neither a table of points nor an error matrix"),
        ("map_class,reference_class\ntree,\n", ColumnError, "reference_class is empty"),
        ("map,10,99\n10,1,2\n", ColumnError, "'99', which ESA WorldCover 2021 does not have"),
    ],
)
def test_a_sample_file_that_cannot_be_understood_is_refused(tmp_path, worldcover, text, error, words):
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=words):
        read_reference_sample(tmp_path / "bad.csv", worldcover if "10" in text else None)


def test_a_filled_sheet_is_read_with_what_is_missing_said(tmp_path, worldcover):
    (tmp_path / "sheet.csv").write_text(
        "point_id,map_class,reference_class,can_bear\n"
        "P001,10,Tree cover,\n"  # the class found tells
        "P002,10,Built-up,sí\n"  # the answer wins
        "P003,50,Permanent water,\n"
        "P004,50,,No\n"
        "P005,50,,\n"  # not visited
        "P006,50,coffee,\n"  # no class of the legend
        "P007,50,Built-up,perhaps\n",
        encoding="utf-8",
    )
    sample, findings = read_local_sample(tmp_path / "sheet.csv", worldcover)
    assert sample["map_class"].tolist() == [10, 10, 50, 50, 50]
    assert sample.loc[["P001", "P002", "P003", "P004", "P007"], "can_bear"].tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert findings["code"].tolist() == ["unreadable_value", "unreadable_value", "points_not_visited"]
    assert "1 of 7 points have no answer (P005)" in findings["message"][2]


def test_a_point_that_stands_twice_counts_once(tmp_path, worldcover):
    (tmp_path / "sheet.csv").write_text(
        "point_id,map_class,can_bear\nP001,50,\nP001,50,no\nP002,50,yes\nP001,50,yes\n", encoding="utf-8"
    )
    sample, findings = read_local_sample(tmp_path / "sheet.csv", worldcover)
    assert sample["can_bear"].to_dict() == {"P001": False, "P002": True}
    assert findings["code"].tolist() == ["repeated_id", "points_not_visited"]


def test_the_error_of_a_region_is_replaced_whatever_spread_was_told(worldcover):
    sample = pd.DataFrame({"map_class": 50, "can_bear": [False] * 20 + [True] * 20})
    legend, _ = local_shares(sample, worldcover, spread=0.2)
    assert legend.loc[50, "region_factor"] * region_spread() == pytest.approx(legend.loc[50, "local_se"])
    untouched = pd.DataFrame({"map:50": [0.3]})
    pd.testing.assert_frame_equal(local_map_share(untouched, worldcover.legend), untouched)


def test_ground_and_sample_that_name_classes_differently_are_refused(worldcover):
    land = pd.DataFrame({"cooperative_id": "C", "class": [10], "area_ha": [1.0]})
    with pytest.raises(ColumnError, match="one of the sample's"):
        carried_areas(land, row_probabilities(matrix()))


def test_a_file_that_is_no_sheet_of_a_sample_is_refused(tmp_path, worldcover):
    (tmp_path / "sheet.csv").write_text("point_id,what\nP001,tree\n", encoding="utf-8")
    with pytest.raises(ColumnError, match="no sheet of a sample"):
        read_local_sample(tmp_path / "sheet.csv", worldcover)


def test_each_class_is_known_by_its_code_and_its_name(worldcover):
    codes = class_codes(worldcover)
    assert set(codes.values()) == set(worldcover.legend.index)
    assert codes["treecoverincludesshadecoffeeandcocoa"] == codes["treecover"] == codes["10"] == 10


@given(st.floats(0, 1), st.integers(0, 500))
def test_wilson_limits_hold_the_share_that_was_seen(p, n):
    low, high = wilson(p, n, 1.96)
    assert -1e-9 <= low <= p + 1e-9
    assert p - 1e-9 <= high <= 1 + 1e-9
