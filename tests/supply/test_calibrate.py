"""Learning from deliveries: against the formulas written out densely, and by laws."""

import itertools
import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from geomap.errors import ColumnError, NumberError, UnknownNameError
from geomap.supply import ratio_parts
from geomap.supply.calibrate import Calibration, calibrate
from geomap.supply.credibility import credibility
from geomap.supply.history import History
from geomap.supply.totals import interval

COMING = "2026/27"
LOADINGS = ["conversion", "drawn", "declared_bias", "unmapped", "map:m:tree", "map_region:m:tree"]
SHARED_BY = {"conversion": "form_pair", "map_region:m:tree": "region", "map:m:tree": None}
COOPERATIVE = ["drawn", "declared_bias", "unmapped"]


def members_of(
    cooperative: str, count: int, season: str, *, mapped: bool = True, kappa: float = 0.3, first: int = 0
) -> pd.DataFrame:
    """Equal members of 100 kg each, without errors of conversion, drawing or map."""
    return pd.DataFrame(
        {
            "cooperative_id": cooperative,
            "member_id": [f"{cooperative}{number:03d}" for number in range(first, first + count)],
            "season": season,
            "origin": "coffee:HN",
            "region": "HN",
            "form_pair": "green>green",
            "mapped": mapped,
            "potential_kg": 100.0,
            "kappa": kappa,
            "delivered_kg": np.nan,
            "cv:unmapped": 0.0 if mapped else 0.35,
        }
    )


def past_of(frame: pd.DataFrame, ratio: float, season: str) -> pd.DataFrame:
    return frame.assign(season=season, delivered_kg=ratio * frame["potential_kg"])


def history_of(*frames: pd.DataFrame, totals: list[tuple[str, str, float]] | None = None) -> History:
    members = pd.concat(frames, ignore_index=True) if frames else members_of("A", 0, COMING)
    return History(
        members=members, totals=pd.DataFrame(totals or [], columns=["cooperative_id", "season", "delivered_kg"])
    )


def make_world(
    rng: np.random.Generator, cooperatives: int = 5, members: int = 6, seasons: int = 3
) -> tuple[History, pd.DataFrame]:
    """Two origins, mapped and unmapped members who come and go, every loading at work, some seasons by totals only."""
    people = pd.DataFrame(
        list(itertools.product(range(cooperatives), range(members), range(seasons + 1))), columns=["c", "m", "t"]
    )
    people = people[rng.random(len(people)) < 0.8].reset_index(drop=True)
    odd = (people["c"] % 2).to_numpy()
    table = pd.DataFrame(
        {
            "cooperative_id": "C" + people["c"].astype("str"),
            "member_id": "M" + people["m"].astype("str"),
            "season": [f"{2026 - seasons + t}/{(2027 - seasons + t) % 100:02d}" for t in people["t"]],
            "origin": np.where(odd, "coffee:HN", "coffee:GT"),
            "region": np.where(people["c"] < 2, "east", "west"),
            "form_pair": np.where(people["m"] < 3, "green>green", "parchment>green"),
            "mapped": (people["m"] + people["c"]) % 3 > 0,
            "potential_kg": rng.uniform(50, 900, len(people)),
            "kappa": rng.uniform(0.2, 1.0, len(people)),
            "delivered_kg": rng.uniform(10, 900, len(people)) * (rng.random(len(people)) < 0.9),
        }
    )
    for source in LOADINGS:
        table[f"cv:{source}"] = rng.uniform(0, 0.3, len(people)) * (rng.random(len(people)) < 0.7)
    table.loc[table["mapped"], "cv:unmapped"] = 0.0
    coming = (table["season"] == COMING).to_numpy()
    past, target = table[~coming].reset_index(drop=True), table[coming].assign(delivered_kg=np.nan)
    whole = (past["cooperative_id"] == "C1") & (past["season"] == past["season"].max())
    totals = past[whole].groupby(["cooperative_id", "season"], as_index=False)["delivered_kg"].sum()
    past.loc[whole, "delivered_kg"] = np.nan
    return History(past, totals), target.reset_index(drop=True)


def log_var(cv: float) -> float:
    return math.log(1 + cv * cv)


class Oracle:
    """The formulas row by row and member by member, with one dense matrix."""

    def __init__(self, history: History, target: pd.DataFrame, share: dict[str, tuple[float, float]]) -> None:
        self.share = share
        self.rows: list[dict[str, Any]] = []
        totals = {(c, s): kg for c, s, kg in history.totals.itertuples(index=False)}
        for (cooperative, season), group in history.members.groupby(["cooperative_id", "season"]):
            if (cooperative, season) in totals:
                self.add(group, totals[cooperative, season])
                continue
            parts = [part for _, part in group[group["delivered_kg"].notna()].groupby("mapped")]
            if sum(part["delivered_kg"].sum() > 0 for part in parts) == 1:
                parts = [group[group["delivered_kg"].notna()]]
            for part in parts:
                self.add(part, part["delivered_kg"].sum())
        self.past = len(self.rows)
        for _, group in target.groupby(["cooperative_id", ~target["mapped"]]):
            self.add(group, math.nan)
        first: dict[str, int] = {}
        for row in self.rows:
            first[row["c"]] = min(first.get(row["c"], 9999), row["year"])
        for row in self.rows:
            row["t"] = row["year"] - first[row["c"]] + 1
        self.k = np.array([[self.cov(a, b) for b in self.rows] for a in self.rows])
        self.prior = np.array([math.log(share[row["c"]][0]) for row in self.rows]) - 0.5 * np.diag(self.k)

    def add(self, group: pd.DataFrame, kg: float) -> None:
        if kg <= 0:
            return
        total = group["potential_kg"].sum()
        season = group["season"].iloc[0]
        row = {"c": group["cooperative_id"].iloc[0], "year": int(season[:4]), "season": season, "kg": kg, "s": total}
        row["q"] = dict(zip(group["member_id"], group["potential_kg"] / total, strict=True))
        row["kappa"] = dict(zip(group["member_id"], group["kappa"], strict=True))
        row["r"] = math.log(kg / total)
        for source in LOADINGS:
            shared = SHARED_BY.get(source)
            row[source] = {}
            for key, part in group.groupby(shared) if shared else [("", group)]:
                row[source][key] = (part["potential_kg"] * part[f"cv:{source}"]).sum() / total
        row["origin"] = {key: part["potential_kg"].sum() / total for key, part in group.groupby("origin")}
        self.rows.append(row)

    def cov(self, a: dict[str, Any], b: dict[str, Any]) -> float:
        def shared(x: dict[str, float], y: dict[str, float], cv: float = 1.0) -> float:
            return sum(math.sqrt(log_var(cv * x[g]) * log_var(cv * y[g])) for g in set(x) & set(y))

        value = shared(a["origin"], b["origin"], 0.35)
        value += sum(shared(a[source], b[source]) for source in SHARED_BY)
        if a["season"] == b["season"]:
            value += shared(a["origin"], b["origin"], 0.12)
        if a["c"] != b["c"]:
            return value
        value += sum(shared(a[source], b[source]) for source in COOPERATIVE)
        value += log_var(0.30) + log_var(self.share[a["c"]][1]) + 0.05**2 * min(a["t"], b["t"])
        both = set(a["q"]) & set(b["q"])
        if a["season"] == b["season"]:
            value += log_var(0.10)
            members = sum(a["q"][i] * b["q"][i] * ((1 + a["kappa"][i]) * 1.09 - 1) for i in both)
            return value + math.log(1 + members)
        members = sum(a["q"][i] * b["q"][i] * math.sqrt(a["kappa"][i] * b["kappa"][i]) for i in both)
        own = [sum(x["q"][i] ** 2 * x["kappa"][i] for i in x["q"]) for x in (a, b)]
        return value + members * math.sqrt(math.log(1 + own[0]) * math.log(1 + own[1]) / (own[0] * own[1]))

    def supply(self) -> tuple[np.ndarray, np.ndarray]:
        """Means of the coming rows, and their covariance."""
        n = self.past
        r = np.array([row["r"] for row in self.rows[:n]])
        gain = np.linalg.solve(self.k[:n, :n], self.k[:n, n:]).T if n else np.zeros((len(self.rows), 0))
        m = self.prior[n:] + gain @ (r - self.prior[:n])
        c = self.k[n:, n:] - gain @ self.k[:n, n:]
        mean = np.array([row["s"] for row in self.rows[n:]]) * np.exp(m + np.diag(c) / 2)
        return mean, np.outer(mean, mean) * np.expm1(c)


def shares_of(history: History, target: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[float, float]]]:
    """Two cooperatives told their share; the others have .8 and a cv of .25."""
    told = pd.DataFrame({"share": [0.7, np.nan, 0.5], "cv": [0.1, np.nan, np.nan]}, index=["C0", "C1", "C2"])
    full = dict.fromkeys(set(history.members["cooperative_id"]) | set(target["cooperative_id"]), (0.8, 0.25))
    return told, full | {"C0": (0.7, 0.1), "C2": (0.5, 0.25)}


@pytest.mark.parametrize("seed", range(6))
def test_low_rank_is_the_same_as_the_formulas_written_out(seed: int) -> None:
    history, target = make_world(np.random.default_rng(seed))
    told, share = shares_of(history, target)
    found = calibrate(history, target, delivered_share=told, learn=False)
    oracle = Oracle(history, target, share)
    mean, cov = oracle.supply()
    assert found.strata["supply_kg"].to_numpy() == pytest.approx(mean, rel=1e-9)
    rows = pd.Series([row["c"] for row in oracle.rows[oracle.past :]])
    for one, other in itertools.combinations_with_replacement(found.cooperatives.index, 2):
        block = cov[np.ix_(rows == one, rows == other)].sum()
        assert found.covariance(one, other) == pytest.approx(block, rel=1e-9)
    assert found.cooperatives["var"].to_numpy() == pytest.approx(
        [cov[np.ix_(rows == one, rows == one)].sum() for one in found.cooperatives.index], rel=1e-9
    )
    assert found.total()["var"] == pytest.approx(cov.sum(), rel=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_no_spread_of_sizes_and_errors_breaks_the_covariance(seed: int) -> None:
    """One to three members, nine seasons, kappa from .007 to 20, members 10,000 times larger than others."""
    rng = np.random.default_rng(seed)
    history, target = make_world(rng, cooperatives=3, members=int(rng.integers(1, 4)), seasons=9)

    def wild(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            kappa=np.exp(rng.uniform(-5, 3, len(frame))), potential_kg=np.exp(rng.uniform(-3, 6, len(frame)))
        )

    found = calibrate(History(wild(history.members), history.totals), wild(target), learn=False)
    known = found.cooperatives[found.cooperatives["evidence"] != "none"]
    assert (known["var"] > 0).all()
    assert np.isfinite(known["supply_kg"]).all()
    assert (found.variance["share"] <= 1).all()


def test_figures_of_one_cooperative_with_fifty_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """√v = .499, .232, .205, .194 for 0 to 3 seasons, as simulated on members of unequal size, Σ q² = .038.

    There a cooperative did not drift, and what it delivers was not a share of something else.
    """
    monkeypatch.setattr(ratio_parts, "DRIFT_SD", 0.0)
    size = fifty_sizes()
    target = members_of("A", 50, COMING, kappa=0.31).assign(potential_kg=size, **{"cv:conversion": 0.08})
    told = pd.DataFrame({"share": [1.0], "cv": [0.0]}, index=["A"])
    seasons = ["2023/24", "2024/25", "2025/26"]
    found = []
    for count in range(4):
        history = history_of(*(past_of(target, 0.7, season) for season in seasons[3 - count :]))
        found.append(math.sqrt(calibrate(history, target, delivered_share=told).cooperatives["log_var"].item()))
    assert found == pytest.approx([0.499, 0.232, 0.205, 0.194], abs=6e-4)


def fifty_sizes() -> np.ndarray:
    """Quantiles of a log-normal, its spread chosen so that Σ q² = .038."""
    z = np.array([NormalDist().inv_cdf((number + 0.5) / 50) for number in range(50)])
    spread = optimize.brentq(lambda s: (np.exp(2 * s * z).sum() / np.exp(s * z).sum() ** 2) - 0.038, 0.1, 3.0)
    return np.exp(spread * z)


def sd_after(*seasons: str) -> float:
    target = members_of("A", 50, COMING)
    found = calibrate(history_of(*(past_of(target, 0.7, season) for season in seasons)), target)
    return math.sqrt(calibrate_log_var(found))


def calibrate_log_var(found: Calibration) -> float:
    return float(found.cooperatives["log_var"].iloc[0])


def test_each_season_narrows_a_cooperative() -> None:
    found = [
        sd_after(*(f"{year}/{(year + 1) % 100:02d}" for year in range(2026 - count, 2026))) for count in range(1, 7)
    ]
    assert all(later < earlier for earlier, later in itertools.pairwise(found))


def test_an_old_season_says_less_than_a_recent_one() -> None:
    """A cooperative drifts by .05 a season: eight seasons more add 8 · .0025 to the variance."""
    assert sd_after("2017/18") ** 2 > sd_after("2025/26") ** 2 + 0.015


def test_past_seasons_say_less_of_new_members() -> None:
    """With all 50 members new, Σ q q' κ is 0; with the same, κ / 50."""
    target = members_of("A", 50, COMING, kappa=1.0)
    same = calibrate(history_of(past_of(target, 0.7, "2025/26")), target)
    others = past_of(members_of("A", 50, COMING, kappa=1.0, first=50), 0.7, "2025/26")
    changed = calibrate(history_of(others), target)
    assert calibrate_log_var(changed) > calibrate_log_var(same) + 0.01


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("learn", [True, False])
def test_the_order_of_rows_does_not_matter(seed: int, learn: bool) -> None:
    rng = np.random.default_rng(seed)
    history, target = make_world(rng, cooperatives=9)
    told, _ = shares_of(history, target)
    found = calibrate(history, target, delivered_share=told, learn=learn)
    shuffled = History(
        history.members.sample(frac=1, random_state=rng), history.totals.sample(frac=1, random_state=rng)
    )
    again = calibrate(shuffled, target.sample(frac=1, random_state=rng), delivered_share=told[::-1], learn=learn)
    for name in ("cooperatives", "strata", "members", "sources", "ratios", "left_out", "variance"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(again, name), check_exact=True)


def test_inputs_stay_as_they_are() -> None:
    history, target = make_world(np.random.default_rng(1))
    told, _ = shares_of(history, target)
    before = [frame.copy() for frame in (history.members, history.totals, target, told)]
    assert len(calibrate(history, target, delivered_share=told).variance) > 0
    for frame, copy in zip((history.members, history.totals, target, told), before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


def scaled(history: History, factor: float) -> History:
    members = history.members.assign(delivered_kg=history.members["delivered_kg"] * factor)
    return History(members, history.totals.assign(delivered_kg=history.totals["delivered_kg"] * factor))


@given(st.integers(0, 1000), st.floats(0.2, 5.0))
@settings(max_examples=10, deadline=None)
def test_kilograms_of_another_size_give_another_size(seed: int, factor: float) -> None:
    """Potential and deliveries × c give exactly supply × c."""
    history, target = make_world(np.random.default_rng(seed))
    bigger = replace(
        scaled(history, factor),
        members=scaled(history, factor).members.assign(potential_kg=lambda t: t["potential_kg"] * factor),
    )
    one = calibrate(history, target, learn=False).cooperatives["supply_kg"]
    other = calibrate(bigger, target.assign(potential_kg=target["potential_kg"] * factor), learn=False)
    assert other.cooperatives["supply_kg"].to_numpy() == pytest.approx(factor * one.to_numpy(), rel=1e-9)


@given(st.floats(0.1, 0.9), st.integers(1, 5))
@settings(max_examples=10, deadline=None)
def test_deliveries_times_c_give_supply_times_c_to_a_power_below_one(ratio: float, seasons: int) -> None:
    """With variances held, ln supply is linear in ln c. With the same members throughout, the prior keeps its part."""
    target = pd.concat([members_of("A", 10, COMING), members_of("B", 10, COMING)])
    history = history_of(*(past_of(target, ratio, f"{2026 - back}/{27 - back}") for back in range(1, seasons + 1)))
    one, two, four = (calibrate(scaled(history, c), target, learn=False).strata["supply_kg"] for c in (1.0, 2.0, 4.0))
    power = np.log2(two / one)
    assert np.log2(four / one).to_numpy() == pytest.approx(2 * power.to_numpy(), abs=1e-9)
    assert ((power > 0.5) & (power < 1)).all()


def test_many_own_seasons_outweigh_the_prior() -> None:
    """20 seasons at .4 of the potential: within 3 % of it, though .8 was expected."""
    target = members_of("A", 50, COMING)
    history = history_of(*(past_of(target, 0.4, f"{year}/{(year + 1) % 100:02d}") for year in range(2006, 2026)))
    assert calibrate(history, target).cooperatives["supply_kg"].item() == pytest.approx(0.4 * 5000, rel=0.03)


def test_evidence_is_named() -> None:
    target = pd.concat([members_of(name, 10, COMING) for name in "ABCD"])
    target.loc[target["cooperative_id"] == "D", ["origin", "region"]] = "coffee:GT"
    history = history_of(past_of(members_of("A", 10, COMING), 0.5, "2025/26"))
    told = pd.DataFrame({"share": [0.6], "cv": [np.nan]}, index=["C"])
    found = calibrate(history, target, delivered_share=told)
    table = found.cooperatives
    assert table["evidence"].tolist() == ["own deliveries", "deliveries of the origin", "declared share", "none"]
    assert table["seasons"].tolist() == [1, 0, 0, 0]
    assert table.drop(columns=["potential_kg", "seasons", "evidence"]).loc["D"].isna().all()
    assert found.members.loc[found.members["cooperative_id"] == "D", "supply_kg"].isna().all()
    assert found.strata["supply_kg"].isna().tolist() == [False, False, False, True]
    assert table.loc["A", "log_var"] < table.loc["B", "log_var"]
    assert table.loc["A", "supply_kg"] < table.loc["B", "supply_kg"] < 800  # the origin's prior was 800
    assert found.total()["mean_kg"] == pytest.approx(table["supply_kg"].sum())
    assert math.isnan(found.total(["A", "D"])["mean_kg"])
    assert set(found.variance["cooperative_id"]) == {"A", "B", "C", "all"}
    assert (found.sources["how"] == "prior").all()


def test_a_declared_share_alone_gives_share_times_potential_and_the_whole_prior() -> None:
    """ln(supply): .35, .30, .20, .12, .10, drift .05, 50 members of κ .3 with a season of .3."""
    told = pd.DataFrame({"share": [0.6], "cv": [0.2]}, index=["A"])
    found = calibrate(None, members_of("A", 50, COMING), delivered_share=told).cooperatives.loc["A"]
    expected = sum(log_var(cv) for cv in (0.35, 0.30, 0.20, 0.12, 0.10)) + 0.05**2 + math.log(1 + (1.3 * 1.09 - 1) / 50)
    assert found["log_var"] == pytest.approx(expected, rel=1e-12)
    assert found["supply_kg"] == pytest.approx(0.6 * 5000, rel=1e-12)
    assert found["var"] == pytest.approx(3000**2 * math.expm1(expected), rel=1e-12)
    assert found["supply_p50_kg"] == pytest.approx(3000 * math.exp(-expected / 2), rel=1e-12)
    p90 = 3000 * math.exp(-expected / 2 + 1.2815515655446004 * math.sqrt(expected))
    assert found["supply_p90_kg"] == pytest.approx(p90, rel=1e-9)


def test_cooperatives_of_one_origin_err_together() -> None:
    """Two alike, without deliveries: covariance E² (e^{L(.35) + L(.12)} − 1), what origin and season share."""
    target = pd.concat([members_of("A", 20, COMING), members_of("B", 20, COMING)])
    told = pd.DataFrame({"share": [0.5, 0.5], "cv": [0.2, 0.2]}, index=["A", "B"])
    found = calibrate(None, target, delivered_share=told)
    expected = 1000**2 * math.expm1(log_var(0.35) + log_var(0.12))
    assert found.covariance("A", "B") == pytest.approx(expected, rel=1e-12)
    assert found.covariance("A", "A") == pytest.approx(found.cooperatives.loc["A", "var"], rel=1e-12)
    total = found.total(["A", "B"])
    assert total["var"] == pytest.approx(found.cooperatives["var"].sum() + 2 * expected, rel=1e-12)
    assert total["mean_kg"] == pytest.approx(2000, rel=1e-12)
    assert found.total(["A"])["p10"] == pytest.approx(found.cooperatives.loc["A", "supply_p10_kg"], rel=1e-12)
    with pytest.raises(UnknownNameError, match="X"):
        found.total(["A", "X"])


def test_what_a_source_is_worth_before_deliveries() -> None:
    """Without the base yield K is smaller by L(.35): share 1 − (e^{K − L} − 1) / (e^K − 1)."""
    told = pd.DataFrame({"share": [0.6], "cv": [0.2]}, index=["A"])
    found = calibrate(None, members_of("A", 50, COMING), delivered_share=told)
    k = calibrate_log_var(found)
    table = found.variance.set_index(["cooperative_id", "source"])["share"]
    assert table["A", "base_yield"] == pytest.approx(1 - math.expm1(k - log_var(0.35)) / math.expm1(k), abs=1e-6)
    assert table["all", "base_yield"] == pytest.approx(table["A", "base_yield"])
    assert table.loc["A"].is_monotonic_decreasing


def test_what_deliveries_told_is_no_longer_worth_knowing() -> None:
    target = members_of("A", 50, COMING)
    history = history_of(*(past_of(target, 0.7, season) for season in ("2023/24", "2024/25", "2025/26")))
    before = calibrate(None, target, delivered_share=pd.DataFrame({"share": [0.8], "cv": [0.25]}, index=["A"]))
    shares = [
        found.variance.set_index(["cooperative_id", "source"])["share"]
        for found in (before, calibrate(history, target))
    ]
    assert shares[0]["A", "base_yield"] > 0.3
    assert shares[1]["A", "base_yield"] < 0.1
    assert shares[1]["A", "season"] > 0.3


def test_nothing_delivered_is_left_out_and_reported() -> None:
    target = members_of("A", 10, COMING)
    good = past_of(target, 0.7, "2024/25")
    found = calibrate(history_of(good, past_of(target, 0.0, "2025/26")), target)
    assert found.left_out.to_numpy().tolist() == [["A", "2025/26", "nothing was delivered"]]
    assert found.cooperatives["seasons"].item() == 1
    alone = calibrate(history_of(good), target)
    assert found.cooperatives["supply_kg"].item() == pytest.approx(alone.cooperatives["supply_kg"].item())


def test_only_nothing_is_no_evidence() -> None:
    target = members_of("A", 10, COMING)
    found = calibrate(history_of(past_of(target, 0.0, "2025/26"), totals=[("A", "2024/25", 0.0)]), target)
    assert found.cooperatives["evidence"].item() == "none"
    assert len(found.left_out) == 2


def test_a_stratum_that_delivered_nothing_is_joined_with_the_other() -> None:
    mapped, unmapped = members_of("A", 10, COMING), members_of("A", 5, COMING, mapped=False, first=10)
    history = history_of(past_of(mapped, 0.9, "2025/26"), past_of(unmapped, 0.0, "2025/26"))
    found = calibrate(history, pd.concat([mapped, unmapped]))
    assert found.ratios[["stratum", "members", "potential_kg", "delivered_kg"]].to_numpy().tolist() == [
        ["all", 15, 1500.0, 900.0]
    ]
    assert found.left_out.empty


def test_a_season_known_only_as_a_total_says_the_same_of_the_whole() -> None:
    target = members_of("A", 10, COMING)
    silent = target.assign(season="2025/26")
    by_member = calibrate(history_of(past_of(target, 0.6, "2025/26")), target)
    by_total = calibrate(history_of(silent, totals=[("A", "2025/26", 600.0)]), target)
    pd.testing.assert_frame_equal(by_member.cooperatives, by_total.cooperatives)
    assert by_total.ratios["stratum"].tolist() == ["all"]


def test_mapped_and_unmapped_members_learn_apart() -> None:
    """Members without a plot delivered half of what was thought of them, the others all of it."""
    mapped, unmapped = members_of("A", 30, COMING), members_of("A", 30, COMING, mapped=False, first=30)
    seasons = ("2023/24", "2024/25", "2025/26")
    history = history_of(*(past_of(mapped, 0.8, s) for s in seasons), *(past_of(unmapped, 0.4, s) for s in seasons))
    found = calibrate(history, pd.concat([mapped, unmapped]))
    ratio = found.strata["supply_kg"] / found.strata["potential_kg"]
    assert found.strata["mapped"].tolist() == [True, False]
    assert found.strata["members"].tolist() == [30, 30]
    assert ratio[0] > 0.7
    assert ratio[1] < 0.5
    assert found.strata["supply_kg"].sum() == pytest.approx(found.cooperatives["supply_kg"].item())


def test_members_add_up_to_strata_and_cooperatives() -> None:
    history, target = make_world(np.random.default_rng(3))
    found = calibrate(history, target)
    sums = found.members.groupby("cooperative_id")[["potential_kg", "supply_kg"]].sum()
    for column in ("potential_kg", "supply_kg"):
        assert sums[column].to_numpy() == pytest.approx(found.cooperatives[column].to_numpy())
        by_strata = found.strata.groupby("cooperative_id")[column].sum()
        assert by_strata.to_numpy() == pytest.approx(found.cooperatives[column].to_numpy())


def test_a_member_who_delivers_more_is_believed_more_each_season() -> None:
    target = members_of("A", 20, COMING)
    factors = []
    for count in (1, 3):
        past = [past_of(target, 0.7, f"{2026 - back}/{27 - back}") for back in range(1, count + 1)]
        for frame in past:
            frame.loc[0, "delivered_kg"] *= 2
            frame.loc[1, "delivered_kg"] = 0.0
        factors.append(calibrate(history_of(*past), target).members["factor"])
    assert 1 < factors[0].iloc[0] < factors[1].iloc[0] < 2
    assert 0 < factors[1].iloc[1] < factors[0].iloc[1] < 1


def test_a_new_member_delivers_like_the_others() -> None:
    old, new = members_of("A", 10, COMING), members_of("A", 1, COMING, first=10)
    found = calibrate(history_of(past_of(old, 0.7, "2025/26")), pd.concat([old, new]))
    assert found.members.loc["A010", "factor"] == 1.0
    assert found.members.loc["A010", "supply_kg"] == pytest.approx(found.cooperatives["supply_kg"].item() / 11)


def test_credibility_by_hand() -> None:
    """τ² = .5, ω² = 1.5 · .09 = .135, both nearly as in the table: one season g = .5 / .635, ρ̄ = 2."""
    found = credibility(np.array([0]), np.array([2.0]), np.array([0.5, 0.5]))
    scale = (50 + (1 - 0.135) / 0.5) / 51
    assert found == pytest.approx([1 + 0.5 * scale / (0.5 * scale + 0.135), 1.0])


def test_the_same_member_id_in_two_cooperatives_is_two_members() -> None:
    target = pd.concat([members_of("A", 5, COMING), members_of("B", 5, COMING)])
    target["member_id"] = target["member_id"].str[1:]
    past = past_of(target, 0.7, "2025/26")
    past.loc[(past["member_id"] == "000") & (past["cooperative_id"] == "A"), "delivered_kg"] = 200.0
    factor = calibrate(history_of(past), target).members.set_index("cooperative_id", append=True)["factor"]
    assert factor["000", "A"] > 1.2
    assert factor["000", "B"] == pytest.approx(1.0)


def test_a_season_that_is_not_over_is_left_out() -> None:
    target = members_of("A", 5, COMING)
    begun = past_of(target, 0.1, COMING)
    history = history_of(past_of(target, 0.7, "2025/26"), begun, totals=[("B", "2025/26", 5.0), ("A", COMING, 9.0)])
    found = calibrate(history, target)
    assert found.left_out.to_numpy().tolist() == [
        ["A", COMING, "the season is not over"],
        ["B", "2025/26", "no members are known"],
    ]
    alone = calibrate(history_of(past_of(target, 0.7, "2025/26")), target)
    pd.testing.assert_frame_equal(found.cooperatives, alone.cooperatives)


def test_without_members_there_is_nothing() -> None:
    for history in (None, history_of(), history_of(past_of(members_of("A", 3, COMING), 0.5, "2025/26"))):
        found = calibrate(history, members_of("A", 0, COMING))
        assert len(found.cooperatives) == len(found.members) == len(found.strata) == len(found.variance) == 0
        assert found.total()["mean_kg"] == 0.0


def test_a_cooperative_without_potential_has_no_supply() -> None:
    target = pd.concat([members_of("A", 3, COMING).assign(potential_kg=0.0), members_of("B", 3, COMING)])
    found = calibrate(history_of(past_of(members_of("A", 3, COMING), 0.5, "2025/26")), target)
    assert found.cooperatives["potential_kg"].tolist() == [0.0, 300.0]
    assert found.cooperatives["supply_kg"].isna().tolist() == [True, False]
    assert found.members.loc[["A000", "B000"], "supply_kg"].tolist() == [
        0.0,
        pytest.approx(found.total()["mean_kg"] / 3),
    ]


def test_what_breaks_the_contract_is_refused() -> None:
    target = members_of("A", 3, COMING)
    with pytest.raises(ColumnError, match="kappa"):
        calibrate(None, target.drop(columns="kappa"))
    with pytest.raises(ColumnError, match="missing"):
        calibrate(None, target.assign(potential_kg=np.nan))
    with pytest.raises(ColumnError, match="2 seasons"):
        calibrate(None, pd.concat([target, target.assign(season="2027/28")]))
    for share, cv in ((0.0, 0.1), (1.2, 0.1), (0.5, -0.1)):
        with pytest.raises(NumberError, match="delivered share"):
            calibrate(None, target, delivered_share=pd.DataFrame({"share": [share], "cv": [cv]}, index=["A"]))


def simulated(
    seed: int, count: int = 150, origins: int = 50, members: int = 12, seasons: int = 3
) -> tuple[History, pd.DataFrame]:
    """Log-normal factors of mean 1 for every source; cooperatives more alike than the table says, seasons less."""
    rng = np.random.default_rng(seed)

    def drawn(cv: float, *shape: int) -> np.ndarray:
        return np.exp(math.sqrt(log_var(cv)) * rng.normal(size=shape) - log_var(cv) / 2)

    lasting = 0.8 * drawn(0.15, count) * drawn(0.15, count) * drawn(0.35, origins)[np.arange(count) % origins]
    people = pd.concat(
        [members_of(f"C{number:03d}", members, COMING, kappa=0.27) for number in range(count)], ignore_index=True
    )
    owner = np.repeat(np.arange(count), members)
    people["origin"] = [f"o{number % origins}" for number in owner]
    people["potential_kg"] = rng.lognormal(5, 0.8, len(people))
    own = people["potential_kg"] * lasting[owner] * drawn(0.52, len(people))
    frames = []
    for back in range(seasons, -1, -1):
        of_season = drawn(0.2, origins)[owner % origins] * drawn(0.05, count)[owner] * drawn(0.3, len(people))
        frames.append(people.assign(season=f"{2026 - back}/{27 - back}", delivered_kg=own * of_season))
    return history_of(*frames[:-1]), frames[-1]


def test_intervals_hold_the_truth_and_variances_are_found() -> None:
    """Four worlds of 150 cooperatives: 80 and 95 % within three standard errors of 600 draws that share origins."""
    inside, sources = [], []
    for seed in range(4):
        history, truth = simulated(seed)
        found = calibrate(history, truth.assign(delivered_kg=np.nan))
        delivered = truth.groupby("cooperative_id")["delivered_kg"].sum().to_numpy()
        mean, var = found.cooperatives["supply_kg"], found.cooperatives["var"]
        inside.append([(interval(mean, var, q) >= delivered).mean() for q in (0.025, 0.1, 0.9, 0.975)])
        sources.append(found.sources.set_index("source"))
    low95, low80, high80, high95 = np.mean(inside, axis=0)
    assert high80 - low80 == pytest.approx(0.80, abs=0.06)
    assert high95 - low95 == pytest.approx(0.95, abs=0.03)
    learned = pd.concat([table["cv"] for table in sources], axis=1).mean(axis=1)
    assert learned["coop_season"] < 0.07
    assert 0.16 < learned["season"] < 0.24
    both = math.sqrt(learned["cooperative"] ** 2 + learned["delivered_share"] ** 2)
    assert both == pytest.approx(math.hypot(0.15, 0.15), abs=0.04)
    how = sources[0]["how"]
    assert how["cooperative"] == "learned from 150 cooperatives"
    assert how["season"] == "learned from 150 seasons of origins"
    assert how["plot"] == "prior"


@pytest.mark.parametrize("seed", range(3))
def test_what_others_say_is_what_remains_without_the_own_deliveries(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly so without drift, which counts from a cooperative's first own season."""
    monkeypatch.setattr(ratio_parts, "DRIFT_SD", 0.0)
    history, target = make_world(np.random.default_rng(seed))
    told, _ = shares_of(history, target)
    found = calibrate(history, target, delivered_share=told, learn=False).from_others
    columns = ["supply_kg", "var", "supply_p10_kg", "log_mean", "log_var"]
    for name in found.index:
        members, totals = history.members, history.totals
        others = History(members[members["cooperative_id"] != name], totals[totals["cooperative_id"] != name])
        own = target[target["cooperative_id"] == name]
        alone = calibrate(others, own, delivered_share=told, learn=False).cooperatives.loc[name]
        assert found.loc[name, columns].tolist() == pytest.approx(alone[columns].tolist(), rel=1e-9)
        assert found.loc[name, "evidence"] == alone["evidence"]
    assert set(found["evidence"]) == {"deliveries of the origin", "declared share"}


def test_nobody_else_says_nothing() -> None:
    target = members_of("A", 10, COMING)
    found = calibrate(history_of(past_of(target, 0.7, "2025/26")), target)
    assert found.cooperatives["evidence"].item() == "own deliveries"
    assert found.from_others["evidence"].item() == "none"
    assert found.from_others["supply_kg"].isna().all()


def test_variances_stay_at_their_priors_where_told_or_where_there_is_little() -> None:
    history, target = simulated(0, count=10, origins=5, seasons=1)
    found = calibrate(history, target).sources.set_index("source")
    assert found.loc["season", "how"] == found.loc["base_yield", "how"] == found.loc["coop_season", "how"] == "prior"
    assert found.loc["season", "cv"] == pytest.approx(0.12)
    assert found.loc["cooperative", "how"] == "learned from 10 cooperatives"
    held = calibrate(history, target, learn=False).sources
    assert (held["how"] == "prior").all()
    assert held["cv"].to_numpy() == pytest.approx(held["prior_cv"].to_numpy())
