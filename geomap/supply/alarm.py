"""Deliveries that the plots cannot explain, too many or too few: tail probabilities, for the cooperative's own eyes.

P(C ≤ D) = Φ((ln D − ln P − m) / s): how rare it would be that the land could bear no more than what was delivered. It
is a tail probability, not a probability of fraud: a plot that is not mapped does the same. A cooperative that always
mixes in coffee of others calibrates itself away in its own past, so three questions are asked, each with its own m, s:

    prior only   nothing but the land and the averages of the origin
    origin       what the *other* cooperatives of the origin delivered in the seasons before (leave one out)
    own past     what the cooperative itself delivered in the seasons before, too

What stands here never leaves the cooperative (column `audience`): no release, no buyer's page carries it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr

from geomap.findings import join_findings, make_findings
from geomap.lookup import is_among
from geomap.supply.backtest import before, delivered_by_season, members_of
from geomap.supply.calibrate import calibrate
from geomap.supply.crops import error_cv

if TYPE_CHECKING:
    from geomap.supply.calibrate import Calibration
    from geomap.supply.history import History

KINDS: Final = ("prior only", "origin", "own past")

COOPERATIVE_COLUMNS: Final = [
    "cooperative_id", "season", "kind", "delivered_kg", "expected_kg", "probability", "side", "words", "audience",
]  # fmt: skip
MEMBER_COLUMNS: Final = [
    "cooperative_id", "member_id", "season", "delivered_kg", "expected_kg", "probability", "false_discovery", "side",
    "words", "audience",
]  # fmt: skip

AUDIENCE: Final = "cooperative"
"""Who may see an alarm: the cooperative alone."""

PRIVATE_CODES: Final = frozenset({"more_than_expected", "less_than_expected"})
"""Findings that carry alarms: they stay out of everything that others see."""

RARE: Final = 0.05
"""A cooperative is above (below) what is expected where the probability of so much (so little) is at most this."""

DISCOVERY: Final = 0.10
"""Members are named where the expected share of false alarms among those named is at most this."""

WORDS: Final[Mapping[str, str]] = {
    "above": "First check for a plot that is not mapped, then for deliveries written down for the wrong member or in "
    "another form or unit. It says how rare this is, not why.",
    "below": "First ask about sales to others, pests or disease, a harvest that is late, and whether somebody left. "
    "It says how rare this is, not why.",
    "nothing": "First ask whether the member left, sold to others or lost the harvest.",
    "as expected": "",
}
"""What to do first, by side."""

Floats = npt.NDArray[np.float64]


def cooperative_alarms(
    history: "History",
    season: str,
    *,
    conversion_cv: float = 0.0,
    delivered_share: pd.DataFrame | None = None,
    learn: bool = True,
) -> pd.DataFrame:
    """How rare the deliveries of each cooperative in a past season are, asked in three ways.

    Parameters
    ----------
    history : with the deliveries of `season` and, for the second and third way, of seasons before it.
    season : "2025/26".
    conversion_cv : relative error of the deliveries' own conversion to the product form.
    delivered_share, learn : as `calibrate` takes them.

    Returns
    -------
    DataFrame : cooperative_id, season, kind ("prior only", "origin", "own past"; the last two only where there is such
        a past), delivered_kg, expected_kg (median), probability P(C ≤ D), side ("above": at least .95, "below": at most
        .05, "as expected"), words (what to check first), audience ("cooperative"). Sorted by cooperative, then kind as
        above. By the prior only, nothing is below: what the land can bear need not all be delivered.

    Notes
    -----
    At .95 and with everything as assumed, coffee of others worth all of the own crop (+100 %) is caught in 40 % of
    cases by the prior alone, 52–61 % with 4 to 39 other cooperatives of the origin, 97 % with three own seasons; false
    alarms come in 5 %. Where the share delivered to the cooperative is not known: 27 %, 48 % and 97 %.

    Source: the model of `calibrate`.
    """
    actual = delivered_by_season(history)
    now = actual[(actual["season"] == season) & (actual["actual_kg"] > 0)]
    target = members_of(history, season)
    target = target[target["cooperative_id"].isin(now["cooperative_id"])]
    past = before(history, season)
    everything = _certain_share(now["cooperative_id"])
    prior = calibrate(None, target, delivered_share=everything, learn=False)
    own = calibrate(past, target, delivered_share=delivered_share, learn=learn)
    parts = [_tail(prior, now, "prior only", conversion_cv)]
    grown = past.members[["cooperative_id", "origin"]].drop_duplicates()
    for coop in now["cooperative_id"].tolist():
        of_coop = target[target["cooperative_id"] == coop]
        others = grown[(grown["cooperative_id"] != coop) & grown["origin"].isin(of_coop["origin"])]
        if len(others):
            found = calibrate(
                _only(past, others["cooperative_id"]), of_coop, delivered_share=delivered_share, learn=learn
            )
            parts.append(_tail(found, now, "origin", conversion_cv))
    with_past = own.cooperatives.index[own.cooperatives["evidence"] == "own deliveries"]
    parts.append(_tail(own, now[is_among(now["cooperative_id"], with_past)], "own past", conversion_cv))
    table = pd.concat(parts, ignore_index=True)
    rank = table["kind"].map({kind: k for k, kind in enumerate(KINDS)})
    order = np.lexsort((rank.to_numpy(), table["cooperative_id"].to_numpy(dtype=object).astype(str)))
    table = table.iloc[order].reset_index(drop=True)
    few = (table["probability"] <= RARE) & (table["kind"] != "prior only")
    side = np.select([table["probability"] >= 1 - RARE, few], ["above", "below"], "as expected")
    return _worded(table.assign(season=season, side=side), COOPERATIVE_COLUMNS)


def member_alarms(history: "History", season: str, *, conversion_cv: float = 0.0, learn: bool = True) -> pd.DataFrame:
    """How rare the deliveries of each member in a past season are, ranked by false-discovery rate.

    Expected of a member: what `calibrate` expects by the past (the potential without one) × what the *other* members
    of the cooperative delivered per kilogram expected in the same season. So a good or bad year of all is no alarm; a
    cooperative that mixes as a whole is one for `cooperative_alarms`. Spread: what is left of the member's plot errors
    after k seasons, κ (1 − κ / (κ + ω² / k)), the member's season, errors of land that is not measured, and the error
    of the others' ratio. Both tails are ranked by Benjamini and Hochberg's rate within each cooperative.

    Parameters
    ----------
    history, season, conversion_cv, learn : as in `cooperative_alarms`.

    Returns
    -------
    DataFrame : cooperative_id, member_id, season, delivered_kg, expected_kg (median), probability P(C ≤ D),
        false_discovery (of the nearer tail; NaN for a member who delivered nothing: logs say nothing of zeros), side
        ("above", "below": rate at most .10; "nothing"; "as expected"), words, audience ("cooperative"). By cooperative,
        smallest rate first. Empty where deliveries are not known by member.

    Source: Benjamini and Hochberg (1995), Controlling the False Discovery Rate.
    """
    members = history.members
    now = members[(members["season"] == season) & members["delivered_kg"].notna()]
    now = now.sort_values(["cooperative_id", "member_id"], kind="stable").reset_index(drop=True)
    past = before(history, season)
    expected, seasons = _of_the_past(past, now, learn=learn)
    table = _member_tail(now, expected, seasons, conversion_cv)
    above = _rates(table["cooperative_id"], 1.0 - table["probability"])
    below = _rates(table["cooperative_id"], table["probability"])
    nothing = (table["delivered_kg"] <= 0).to_numpy()
    nearer = np.where(table["probability"] > 0.5, above, below)
    side = np.where(nearer <= DISCOVERY, np.where(table["probability"] > 0.5, "above", "below"), "as expected")
    table = table.assign(
        season=season,
        false_discovery=np.where(nothing, np.nan, nearer),
        side=np.where(nothing, "nothing", side),
    )
    order = ["cooperative_id", "false_discovery", "member_id"]
    return _worded(table.sort_values(order, kind="stable", ignore_index=True), MEMBER_COLUMNS)


def false_discovery_rates(p: npt.ArrayLike) -> Floats:
    """Smallest false-discovery rate at which each of these p-values would be named: min over j ≥ rank of n p_(j) / j.

    NaN stays NaN and does not count.

    Source: Benjamini and Hochberg (1995).

    Examples
    --------
    4 · .01 / 1 = .04; 4 · .04 / 2 and 4 · .03 / 2 … the larger ranks pull smaller ones down:

    >>> false_discovery_rates([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    values = np.asarray(p, dtype=float)
    found = np.full(values.shape, np.nan)
    given = np.flatnonzero(np.isfinite(values))
    order = given[np.argsort(values[given], kind="stable")]
    rates = values[order] * len(order) / np.arange(1, len(order) + 1)
    found[order] = np.minimum(np.minimum.accumulate(rates[::-1])[::-1], 1.0)
    return found


def alarm_findings(cooperatives: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """The alarms as findings "more_than_expected" and "less_than_expected", for the cooperative's own list.

    Parameters
    ----------
    cooperatives, members : of `cooperative_alarms` and `member_alarms`.
    """
    parts = []
    for side, code in (("above", "more_than_expected"), ("below", "less_than_expected")):
        rows = cooperatives[cooperatives["side"] == side]
        told = [
            f"{row.words} {row.cooperative_id}, {row.season}: {row.delivered_kg:,.0f} kg delivered, about "
            f"{row.expected_kg:,.0f} kg expected ({row.kind}); {_tail_words(row.probability)}."
            for row in rows.itertuples()
        ]
        parts.append(make_findings(code, [""] * len(rows), told))
        people = members[members["side"] == side]
        told = [
            f"{row.words} Member {row.member_id}, {row.season}: {row.delivered_kg:,.0f} kg delivered, about "
            f"{row.expected_kg:,.0f} kg expected; {_tail_words(row.probability)}."
            for row in people.itertuples()
        ]
        parts.append(make_findings(code, [""] * len(people), told))
    return join_findings(parts)


def _tail(calibration: "Calibration", now: pd.DataFrame, kind: str, conversion_cv: float) -> pd.DataFrame:
    """Probability of each cooperative that it could bear no more than it delivered."""
    found = calibration.cooperatives[["potential_kg", "log_mean", "log_var"]].dropna()
    table = now[["cooperative_id", "actual_kg"]].join(found, on="cooperative_id", how="inner")
    expected = table["potential_kg"] * np.exp(table["log_mean"])
    spread = np.sqrt(table["log_var"] + np.log1p(conversion_cv**2))
    probability = ndtr(((np.log(table["actual_kg"]) - np.log(expected)) / spread).to_numpy(float))
    return pd.DataFrame(
        {
            "cooperative_id": table["cooperative_id"],
            "kind": kind,
            "delivered_kg": table["actual_kg"],
            "expected_kg": expected,
            "probability": probability,
        }
    )


def _certain_share(cooperatives: "pd.Series[str]") -> pd.DataFrame:
    """Everything is delivered: what the land can bear is asked for, not what a cooperative gets of it."""
    index = pd.Index(cooperatives, name="cooperative_id")
    return pd.DataFrame({"share": 1.0, "cv": 0.0}, index=index)


def _only(history: "History", cooperatives: "pd.Series[str]") -> "History":
    """The history of these cooperatives."""
    members, sums = history.members, history.totals
    return replace(
        history,
        members=members[is_among(members["cooperative_id"], cooperatives)],
        totals=sums[is_among(sums["cooperative_id"], cooperatives)],
    )


def _of_the_past(past: "History", now: pd.DataFrame, *, learn: bool) -> tuple[Floats, Floats]:
    """Kilograms expected of each member by the past (potential where it says nothing), and the seasons it rests on."""
    potential = now["potential_kg"].to_numpy(float)
    told = past.members[past.members["delivered_kg"].notna()]
    if now.empty or told.empty:
        return potential, np.zeros(len(now))
    found = calibrate(past, now.assign(delivered_kg=np.nan), learn=learn).members.reset_index()
    keys = ["cooperative_id", "member_id"]
    people = pd.MultiIndex.from_frame(now[keys])
    expected = found.set_index(keys)["supply_kg"].reindex(people).to_numpy(float)
    silent = now["cooperative_id"][~np.isfinite(expected)]
    expected = np.where(is_among(now["cooperative_id"], silent), potential, expected)
    return expected, told.groupby(keys).size().reindex(people).fillna(0).to_numpy(float)


def _member_tail(now: pd.DataFrame, expected: Floats, seasons: Floats, conversion_cv: float) -> pd.DataFrame:
    """Expected kilograms and tail probability of each member, beside the others of the cooperative."""
    delivered = now["delivered_kg"].to_numpy(float)
    spread = _own_spread(now, seasons)
    coop = pd.factorize(now["cooperative_id"])[0]

    def of_others(values: Floats) -> Floats:
        return np.asarray(np.bincount(coop, values)[coop] - values if len(values) else values, dtype=float)

    rest = of_others(expected)
    ratio = np.divide(of_others(delivered), rest, out=np.full(len(now), np.nan), where=rest > 0)
    unsure = np.divide(of_others(expected**2 * spread), rest**2, out=np.zeros(len(now)), where=rest > 0)
    s2 = np.log1p(spread + unsure + conversion_cv**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.log(expected * ratio) - s2 / 2
        probability = ndtr((np.log(delivered) - middle) / np.sqrt(s2))
    table = now[["cooperative_id", "member_id", "delivered_kg"]].assign(expected_kg=np.exp(middle))
    probability = np.where(np.isfinite(middle) & (delivered > 0), probability, np.nan)
    return table.assign(probability=probability)[(rest > 0) & (ratio > 0)]


def _own_spread(now: pd.DataFrame, seasons: Floats) -> Floats:
    """Relative variance of a member's season around what is expected of the member, given the cooperative's ratio."""
    plots = now["kappa"].to_numpy(float)
    season = error_cv("member_season") ** 2
    passing = (1.0 + plots) * season / np.maximum(seasons, 1.0)
    left = np.where(seasons > 0, plots * passing / (plots + passing), plots)
    loose = [now[name].to_numpy(float) ** 2 for name in ("cv:unmapped", "cv:declared_bias") if name in now]
    land = np.prod([1.0 + part for part in loose], axis=0) if loose else np.ones(len(now))
    return np.asarray((1.0 + left) * (1.0 + season) * land - 1.0)


def _rates(cooperative: "pd.Series[str]", p: "pd.Series[float]") -> Floats:
    """False-discovery rates within each cooperative."""
    found = np.full(len(p), np.nan)
    for rows in cooperative.reset_index(drop=True).groupby(cooperative.to_numpy(), sort=True).indices.values():
        found[rows] = false_discovery_rates(p.to_numpy(float)[rows])
    return found


def _worded(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    worded = table.assign(words=table["side"].map(WORDS), audience=AUDIENCE)[columns]
    texts = [
        name
        for name in columns
        if name in ("cooperative_id", "member_id", "season", "kind", "side", "words", "audience")
    ]
    return worded.astype(dict.fromkeys(texts, "str"))


def _tail_words(probability: float) -> str:
    """Tail probability in words: of so many cases one would be as far off by chance."""
    tail = min(probability, 1.0 - probability)
    return "by chance in fewer than 1 of 1,000 cases" if tail < 0.001 else f"by chance in 1 of {1 / tail:,.0f} cases"
