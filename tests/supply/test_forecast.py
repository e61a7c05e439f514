"""When the supply comes: calendars learned from deliveries, kilograms by month, the season so far, the shock year."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap import reference
from geomap.errors import ColumnError, NumberError
from geomap.supply.calendars import ALPHA, KAPPA, learned_kappa, past_seasons, season_course
from geomap.supply.course import chance_of, kilograms, shift, shifted
from geomap.supply.forecast import forecast, shock_case
from geomap.supply.months import COLUMNS, CONCENTRATION, harvest_calendar, season_months
from geomap.supply.nowcast import nowcast
from geomap.supply.totals import interval

HN = {"crop": "coffee", "country": "HN", "season": "2026/27"}
QUANTILES = ["p10_kg", "p50_kg", "p90_kg"]


def totals(*means: float, cv: float = 0.3) -> pd.DataFrame:
    ids = pd.Index([f"C{number}" for number in range(len(means))], name="cooperative_id")
    return pd.DataFrame({"mean_kg": means, "var": [(cv * mean) ** 2 for mean in means]}, index=ids)


def deliveries(cooperative: str, season: str, by_month: dict[int, float]) -> pd.DataFrame:
    """Kilograms by month of the season (0 = October), each in the middle of its month."""
    names = season_months(season, 10)
    dates = pd.to_datetime([f"{names[month]}-15" for month in by_month])
    return pd.DataFrame({"cooperative_id": cooperative, "season": season, "date": dates, "kg": list(by_month.values())})


EARLY = {0: 20.0, 1: 50.0, 2: 30.0}
PAST = pd.concat([deliveries("C0", f"{year}/{year % 100 + 1}", EARLY) for year in range(2021, 2026)])


# ---- forecast ----


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.floats(1.0, 1e7), min_size=1, max_size=4),
    st.floats(0.05, 1.5),
    st.sampled_from(["HN", "CO", "PE", "KE"]),
)
def test_means_of_the_months_add_up_and_the_last_cumulative_figures_are_the_totals(means, cv, country):
    given = totals(*means, cv=cv)
    table = forecast(given, None, crop="coffee", country=country, season="2026/27")
    assert table.groupby("cooperative_id")["mean_kg"].sum().to_numpy() == pytest.approx(means)
    last = table.groupby("cooperative_id").last()
    assert last["cumulative_mean_kg"].to_numpy() == pytest.approx(means)
    for q in (0.1, 0.5, 0.9):
        expected = interval(given["mean_kg"], given["var"], q)
        assert last[f"cumulative_p{100 * q:.0f}_kg"].to_numpy() == pytest.approx(expected)
    for name in ("mean", "p10", "p50", "p90"):
        curve = table[f"cumulative_{name}_kg"].to_numpy().reshape(len(means), 12)
        assert (np.diff(curve, axis=1) >= -2e-3 * curve[:, -1:]).all()


def test_the_table_is_the_monthly_table_with_more_columns():
    table = forecast(totals(1000.0, 0.0), PAST, **HN)
    assert table.columns.tolist()[: len(COLUMNS)] == COLUMNS
    assert table["quantity"].unique().tolist() == ["supply"]
    assert table["month"].tolist() == [*season_months("2026/27", 10)] * 2
    assert (table[QUANTILES].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert (table.loc[table["cooperative_id"] == "C1", QUANTILES] == 0).all(axis=None)


def test_order_of_rows_does_not_matter_and_nothing_is_changed():
    given = totals(1000.0, 500.0, 200.0)
    past = pd.concat(
        [PAST, deliveries("C1", "2024/25", {2: 1.1, 3: 2.2, 4: 3.3}), deliveries("C1", "2024/25", {3: 0.1})]
    )
    before = past.copy()
    table = forecast(given, past, **HN)
    turned = forecast(given.iloc[::-1], past.sample(frac=1.0, random_state=3), **HN)
    pd.testing.assert_frame_equal(table, turned, check_exact=True)
    pd.testing.assert_frame_equal(past, before)


def test_a_cooperative_without_evidence_has_no_months():
    given = totals(1000.0, 500.0)
    given.loc["C0"] = np.nan
    assert forecast(given, None, **HN)["cooperative_id"].unique().tolist() == ["C1"]


def test_without_a_calendar_deliveries_alone_teach_the_months():
    honey = {"crop": "honey", "country": "MX", "season": "2026/27"}
    assert forecast(totals(1000.0), None, **honey).empty
    table = forecast(totals(1000.0, 1000.0), PAST, **honey)
    assert table.groupby("cooperative_id")["calendar"].first().tolist() == ["5 own seasons", "deliveries of the origin"]
    november = table.set_index(["cooperative_id", "month"])["mean_kg"].unstack()["2026-11"]
    assert november["C0"] > november["C1"] > 1000 / 12


def test_a_total_without_a_variance_is_refused():
    with pytest.raises(ColumnError, match="mean_kg and var"):
        forecast(totals(1000.0).assign(var=np.nan), None, **HN)


# ---- calendars ----


def test_a_kind_of_coffee_has_the_calendar_of_coffee():
    arabica = forecast(totals(1000.0), None, **{**HN, "crop": "coffee-arabica"})
    pd.testing.assert_frame_equal(arabica, forecast(totals(1000.0), None, **HN))


def test_the_prior_alone_is_as_sure_as_the_calendar_of_potential():
    # 1/(κ* + 1) = 1/16.5 + 15.5/(16.5 · 31) = 1/11
    course = season_course(pd.Index(["C"]), None, **HN)
    assert course.concentration == pytest.approx([CONCENTRATION])
    assert 1 / (1 / (ALPHA + 1) + ALPHA / ((ALPHA + 1) * (KAPPA + 1))) - 1 == pytest.approx(CONCENTRATION)


def test_own_seasons_move_the_calendar_as_the_formula_says():
    # π̂ = (α₀ π₀ + (κ + 1) Σ s) / (α₀ + 5 (κ + 1)); the shift's nodes are symmetric, so their mean keeps the middle
    own = season_course(pd.Index(["C0"]), PAST, **HN)
    prior = season_course(pd.Index(["C0"]), None, **HN)
    middle = own.shares.shape[1] // 2
    shares = np.array([0.2, 0.5, 0.3] + [0.0] * 9)
    kappa = learned_kappa(np.tile(shares, (5, 1)), np.zeros(5, dtype=int), prior.shares[:, middle])[0]
    certain = ALPHA + 5 * (kappa + 1)
    expected = (ALPHA * prior.shares[0, middle] + (kappa + 1) * 5 * shares) / certain
    assert own.shares[0, middle] == pytest.approx(expected)
    spread = 1 / (certain + 1) + certain / ((certain + 1) * (kappa + 1))
    assert own.concentration == pytest.approx([1 / spread - 1])
    assert own.evidence == ("5 own seasons",)


def test_seasons_that_are_alike_are_believed_more():
    rng = np.random.default_rng(5)
    prior = np.full((2, 12), 1 / 12)
    alike = rng.dirichlet(200 * prior[0], 8)
    unlike = rng.dirichlet(8 * prior[0], 8)
    found = learned_kappa(np.concatenate([alike, unlike]), np.repeat([0, 1], 8), prior)
    assert found[0] > 60 > KAPPA > 15 > found[1]
    assert learned_kappa(np.empty((0, 12)), np.empty(0, dtype=int), prior) == pytest.approx([KAPPA] * 2, rel=0.1)


def test_other_cooperatives_teach_one_that_has_no_deliveries_but_own_ones_count_more():
    course = season_course(pd.Index(["C0", "C1"]), PAST, **HN)
    early = course.mean_shares[:, :2].sum(axis=1)
    national = season_course(pd.Index(["C1"]), None, **HN).mean_shares[0, :2].sum()
    assert early[0] > early[1] > national
    assert course.evidence == ("5 own seasons", "deliveries of the origin")


def test_a_cooperative_is_not_its_own_teacher():
    alone = season_course(pd.Index(["C0"]), PAST, **HN)
    beside = season_course(pd.Index(["C0", "C1"]), PAST, **HN)
    assert alone.shares[0] == pytest.approx(beside.shares[0])


def test_seasons_that_tell_no_course_do_not_teach():
    one_day = deliveries("C0", "2024/25", {0: 50.0, 1: 50.0})
    undated = deliveries("C0", "2023/24", EARLY).assign(date=pd.NaT)
    half = pd.concat([deliveries("C0", "2022/23", EARLY), undated.assign(season="2022/23", kg=40.0)])
    coming = deliveries("C0", "2026/27", EARLY)
    owner, shares = past_seasons(pd.concat([one_day, undated, half, coming]), "2026/27", 10)
    assert owner.size == 0
    owner, shares = past_seasons(pd.concat([half.iloc[:5], coming]), "2026/27", 10)
    assert owner.tolist() == ["C0"]
    assert shares[0, :4] == pytest.approx([0.2, 0.5, 0.3, 0.0])


def test_high_places_harvest_later_and_long_ways_deliver_later():
    ids = pd.Index(["high", "low", "slow"])
    told = pd.DataFrame({"lag_days": [15.0, 15.0, 15 + 365.25 / 12]}, index=ids)
    course = season_course(ids, None, **HN, altitude=pd.Series({"high": 1900.0, "low": 500.0}), settings=told)
    middle = course.shares.shape[1] // 2
    high, low, slow = course.shares[:, middle]
    assert high == pytest.approx(shift(low, 2.0))  # +1 and −1 month
    assert high == pytest.approx(slow)  # one month more on the way


def test_what_others_deliver_is_moved_to_the_own_altitude():
    altitude = pd.Series({"C0": 500.0, "C1": 1900.0})
    course = season_course(pd.Index(["C0", "C1", "C2"]), PAST, **HN, altitude=altitude)
    middle = course.shares.shape[1] // 2
    assert course.shares[1, middle] == pytest.approx(shift(course.shares[2, middle], 1.0))


def test_what_is_ready_comes_later_and_past_the_end_of_the_season():
    course = season_course(pd.Index(["C"]), None, crop="coffee", country="PE", season="2026/27")
    ready = course.later(1.5)
    assert ready.months[-1] == "2027-11"
    assert ready.shares.sum(axis=2) == pytest.approx(np.ones((1, 9)))
    step = np.arange(14)
    assert (ready.mean_shares[0] @ step) - (course.mean_shares[0] @ step[:12]) == pytest.approx(1.5)


# ---- distributions ----


@pytest.mark.parametrize(("kappa", "cv"), [(10.0, 0.4), (150.0, 0.1), (400.0, 0.2)])
def test_kilograms_are_those_of_a_simulation(kappa, cv):
    rng = np.random.default_rng(11)
    draws = 200_000
    own = np.array([0.01, 0.05, 0.2, 0.3, 0.2, 0.15, 0.08, 0.01, 0, 0, 0, 0])
    courses, weights = shifted(own[None], 0.5)
    cumulative = courses.cumsum(axis=2)[:, :, 1:7]
    mean, var = np.array([1000.0]), np.array([(1000 * cv) ** 2])
    known = {"weights": weights, "concentration": np.array([kappa])}
    found = kilograms(cumulative, mean, var, **known)[:, 0]
    s2 = np.log1p(cv**2)
    total = 1000 * rng.lognormal(-s2 / 2, np.sqrt(s2), draws)
    now = shift(np.broadcast_to(own, (draws, 12)), 0.5 * rng.standard_normal(draws)).cumsum(axis=1)[:, 1:7]
    kg = total[:, None] * rng.beta(np.maximum(kappa * now, 1e-9), np.maximum(kappa * (1 - now), 1e-9))
    assert ((kg >= found[0]) & (kg <= found[2])).mean(axis=0) == pytest.approx([0.8] * 6, abs=0.015)
    assert (kg <= found[1]).mean(axis=0) == pytest.approx([0.5] * 6, abs=0.05)
    reached = chance_of(np.full((1, 6), 300.0), cumulative, mean, var, **known)[0]
    assert reached == pytest.approx((kg >= 300).mean(axis=0), abs=0.03)


# ---- nowcast ----


def test_before_the_harvest_nothing_changes():
    given, past = totals(1000.0, 20.0), deliveries("C0", "2025/26", {3: 20.0, 4: 50.0, 5: 30.0})
    now = nowcast(given, past, **HN, as_of="2026-10-20")
    assert now["mean_kg"].tolist() == pytest.approx([1000.0, 20.0], rel=5e-3)
    assert now["p10_kg"].tolist() == pytest.approx(interval(given["mean_kg"], given["var"], 0.1), rel=5e-3)
    exact = nowcast(given, past, **HN, as_of="2026-09-30")
    assert exact["mean_kg"].tolist() == [1000.0, 20.0]
    assert exact["expected_share"].tolist() == [0.0, 0.0]


def test_when_the_season_is_over_the_total_is_what_came():
    now = nowcast(totals(1000.0, 500.0), deliveries("C0", "2026/27", EARLY), **HN, as_of="2027-09-30")
    assert now.loc["C0", ["mean_kg", *QUANTILES]].tolist() == [100.0] * 4
    assert now.loc["C1", ["mean_kg", *QUANTILES]].tolist() == [0.0] * 4
    assert (now[["var", "rest_mean_kg", "rest_p90_kg"]] == 0).all(axis=None)


def test_more_delivered_means_more_to_come_and_never_less_than_delivered():
    parts = [deliveries(f"C{n}", "2026/27", {2: kg, 3: kg}) for n, kg in enumerate([100.0, 250.0, 400.0, 5000.0])]
    now = nowcast(totals(*[1000.0] * 4), pd.concat(parts), **HN, as_of="2027-01-31")
    assert now["mean_kg"].is_monotonic_increasing
    assert (now["p10_kg"] >= now["delivered_kg"]).all()
    assert now["mean_kg"].to_numpy() == pytest.approx((now["delivered_kg"] + now["rest_mean_kg"]).to_numpy())
    silent = nowcast(totals(1000.0), deliveries("C9", "2026/27", EARLY), **HN, as_of="2027-02-28")
    assert silent["mean_kg"].iloc[0] < 900


def test_a_nowcast_is_that_of_a_simulation():
    # p(T | C): totals and shares drawn from the model, weighted by how well they give the kilograms that came
    rng = np.random.default_rng(2)
    draws = 400_000
    for day, came in (("2027-01-31", 700.0), ("2027-04-30", 900.0), ("2026-11-30", 30.0)):
        now = nowcast(totals(1000.0), deliveries("C0", "2026/27", {1: came}), **HN, as_of=day).iloc[0]
        course = season_course(pd.Index(["C0"]), None, **HN)
        expected = course.by((pd.Timestamp(day).year - 2026) * 12 + pd.Timestamp(day).month - 9)[0]
        node = rng.choice(len(expected), draws, p=course.weights)
        share = rng.beta(10 * expected[node], 10 * (1 - expected[node]))
        total = came / np.maximum(share, 1e-12)
        s2 = np.log1p(0.3**2)
        weight = np.exp(-((np.log(total / 1000) + s2 / 2) ** 2) / 2 / s2)
        order = np.argsort(total)
        reached = np.cumsum(weight[order]) / weight.sum()
        for q, name in zip((0.1, 0.5, 0.9), QUANTILES, strict=True):
            assert now[name] == pytest.approx(total[order][np.searchsorted(reached, q)], rel=0.015)
        assert now["mean_kg"] == pytest.approx((weight * total).sum() / weight.sum(), rel=0.015)


def test_the_day_is_that_of_the_last_delivery_and_later_ones_do_not_count():
    given = totals(1000.0)
    rows = deliveries("C0", "2026/27", {1: 80.0, 2: 200.0, 3: 50.0})
    taken = nowcast(given, rows, **HN, as_of="2026-12-20")
    assert taken["delivered_kg"].tolist() == [280.0]
    pd.testing.assert_frame_equal(nowcast(given, rows.iloc[:2], **HN, as_of="2026-12-20"), taken)
    pd.testing.assert_frame_equal(nowcast(given, rows, **HN), nowcast(given, rows, **HN, as_of="2027-01-15"))
    with pytest.raises(ColumnError, match="Give the day"):
        nowcast(given, rows.assign(date=pd.NaT), **HN)


# ---- shock year ----


def test_a_shock_year_lies_below_the_interval_and_is_told_with_its_chance():
    given = totals(1000.0, cv=0.05)
    case = shock_case(given, crop="coffee-robusta").loc["C0"]
    assert case["chance"] == pytest.approx(1 / 12)
    assert case[["factor_low", "factor_high"]].tolist() == [0.5, 0.8]
    assert case["mean_kg"] == pytest.approx(650.0)  # (.5 + .8) / 2
    assert case["p90_kg"] < interval([1000.0], given["var"], 0.1)[0]


def test_a_declared_damage_replaces_the_shock():
    given = totals(1000.0, 1000.0)
    case = shock_case(given, crop="coffee", damage=pd.Series({"C1": 0.25}))
    assert case["case"].tolist() == ["shock year", "declared damage"]
    row = case.loc["C1"]
    assert row[["mean_kg", "chance"]].tolist() == [750.0, 1.0]
    assert row["var"] == pytest.approx((0.75 * 300) ** 2)
    with pytest.raises(NumberError, match="a fifth is"):
        shock_case(given, crop="coffee", damage=pd.Series({"C1": 25.0}))


# ---- reference tables ----


@pytest.mark.parametrize("name", ["lags", "altitude_shifts", "shocks", "certificates"])
def test_every_number_has_a_source_and_its_support(name):
    table = reference.table(name)
    assert table["source"].str.len().gt(3).all()
    assert table["support"].isin(["strong", "medium", "weak"]).all()


def test_each_crop_has_its_lags_and_shock_and_the_bands_have_no_gap():
    crops = {"coffee", "cocoa", "honey"}
    lags = reference.table("lags")
    for _, steps in lags.groupby("crop")["step"]:
        assert steps.tolist() == ["harvest_to_delivery", "delivery_to_ready"]
    assert set(lags["crop"]) == crops
    assert set(reference.table("shocks")["crop"]) == {*crops, "other"}
    bands = reference.table("altitude_shifts")
    assert bands["altitude_from_m"].iloc[1:].tolist() == bands["altitude_to_m"].iloc[:-1].tolist()
    assert harvest_calendar("coffee-arabica", "HN").equals(harvest_calendar("coffee", "HN"))
