"""Back-test: each past season predicted from those before it, beside what three naive rules would have said.

Rolling origin: for every season from the second on, calibrate on the seasons before it and predict the members of that
season. Nothing of the season itself or of later ones is seen but who was a member and what land they had.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.lookup import is_among
from geomap.supply.calibrate import calibrate
from geomap.supply.months import parse_season

if TYPE_CHECKING:
    from geomap.supply.history import History

Floats = npt.NDArray[np.float64]

MODEL: Final = "model"
MODEL_NEW: Final = "model, first season"
"""The model where a cooperative has no past of its own: no naive rule has anything to say there."""

RULES: Final = ("same as last season", "mean of past seasons", "past ratio × new potential")

ROW_COLUMNS: Final = [
    "cooperative_id", "season", "rule", "evidence", "actual_kg", "mean_kg",
    "p2_5_kg", "p10_kg", "p50_kg", "p90_kg", "p97_5_kg",
]  # fmt: skip
SCORE_COLUMNS: Final = [
    "cooperative_id", "rule", "predictions", "seasons", "bias", "mape", "pinball_p10", "pinball_p50", "pinball_p90",
    "coverage_80", "coverage_95",
]  # fmt: skip

FEW: Final = 10
"""Fewer predictions than this are too few to tell rules apart; the sentence says so."""

_QUANTILES: Final = {"p2_5_kg": 0.025, "p10_kg": 0.1, "p50_kg": 0.5, "p90_kg": 0.9, "p97_5_kg": 0.975}


@dataclass(frozen=True, eq=False)
class BackTest:
    """What was predicted of past seasons, what came, and how far apart both are.

    Attributes
    ----------
    rows : one per cooperative, season and rule, sorted by them; `ROW_COLUMNS`: evidence of the model ("own
        deliveries"; "" for a rule), actual_kg (delivered), mean_kg (the prediction), quantiles (NaN for a rule: it has
        no interval). Rules: "model", the three of `RULES`, and "model, first season" for cooperatives without a past.
    scores : by cooperative_id ("all": pooled) and rule; `SCORE_COLUMNS`. predictions and seasons (numbers of);
        bias Σ (predicted − delivered) / Σ delivered; mape mean |predicted / delivered − 1|, over seasons with
        deliveries above 0; pinball_* Σ pinball loss / Σ delivered, for a rule with its one number as P50 and NaN
        else; coverage_80 and coverage_95, share of the actuals inside P10–P90 and P2.5–P97.5. Shares, never percents.
    """

    rows: pd.DataFrame
    scores: pd.DataFrame

    @property
    def wins(self) -> dict[str, bool]:
        """For each naive rule, whether the model's pooled error (MAPE) is at most as large; empty without any."""
        error = self._pooled("mape")
        if MODEL not in error:
            return {}
        return {rule: bool(error[MODEL] <= error[rule]) for rule in RULES if rule in error}

    @property
    def sentence(self) -> str:
        """What the back-test says, in plain words; a loss against a naive rule comes first."""
        error = self._pooled("mape")
        if not self.wins:
            return "There is no back-test yet: it needs deliveries of two seasons or more of one cooperative."
        lost = [rule for rule, won in self.wins.items() if not won]
        beaten = [rule for rule, won in self.wins.items() if won]
        model = _percent(error[MODEL])
        if lost:
            words = f"The model loses to {_listed(lost, error)}; it was off by {model} on average."
            words += f" It is as good as or better than {_listed(beaten, error)}." if beaten else ""
        else:
            words = f"The model was off by {model} on average, not more than {_listed(beaten, error)}."
        return f"{words} {self._how_sure()}"

    def _how_sure(self) -> str:
        """Bias, coverage, and on how much all this rests."""
        of_model = self.scores[(self.scores["cooperative_id"] == "all") & (self.scores["rule"] == MODEL)].iloc[0]
        bias, number, seasons = float(of_model["bias"]), int(of_model["predictions"]), int(of_model["seasons"])
        way = f"{_percent(abs(bias))} too {'much' if bias > 0 else 'little'}" if abs(bias) >= 0.0005 else "what came"
        held = f"Its 80 % intervals held {100 * of_model['coverage_80']:.0f} % of what came"
        rests = f"{number:,} prediction{'s' if number > 1 else ''} in {seasons} season{'s' if seasons > 1 else ''}"
        words = f"In all it predicted {way}. {held} ({rests})."
        if number < FEW:
            return f"{words} That is too few to tell rules apart."
        return words if seasons > 1 else f"{words} One season is one draw of the weather for all."

    def _pooled(self, score: str) -> Mapping[str, float]:
        pooled = self.scores[(self.scores["cooperative_id"] == "all") & self.scores[score].notna()]
        return {str(rule): float(value) for rule, value in zip(pooled["rule"], pooled[score], strict=True)}


def backtest(history: "History", *, delivered_share: "pd.DataFrame | None" = None, learn: bool = True) -> BackTest:
    """Back-test of the model and of three naive rules, for every season from the second on.

    The model and the rules are scored on the same rows: cooperatives with deliveries of their own before the season. A
    cooperative without a past is predicted from the others, in rows of their own ("model, first season"). Rules: what
    the cooperative delivered in its last season before; the mean of all before; Σ delivered ÷ Σ potential of all before
    × the potential of the season.

    Parameters
    ----------
    history : of `make_history`.
    delivered_share, learn : as `calibrate` takes them.

    Returns
    -------
    BackTest : empty tables where no season has one before it.

    Examples
    --------
    With a `history` of four seasons at hand:

        found = backtest(history)
        print(found.sentence)
        found.scores[found.scores["cooperative_id"] == "all"]
    """
    actual = delivered_by_season(history)
    order = {season: parse_season(season) for season in sorted(set(actual["season"]))}
    actual = actual.assign(year=actual["season"].map(order).astype("int64"))
    parts = []
    for season in sorted(order, key=order.__getitem__)[1:]:
        now, past = actual[actual["season"] == season], actual[actual["year"] < order[season]]
        ruled = _naive(now, past)
        model = _predicted(history, season, now, delivered_share, learn=learn)
        known = is_among(model["cooperative_id"], ruled["cooperative_id"])
        parts += [ruled, model.assign(rule=np.where(known, MODEL, MODEL_NEW))]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=ROW_COLUMNS)
    rows = rows.reindex(columns=ROW_COLUMNS).sort_values(["cooperative_id", "season", "rule"], ignore_index=True)
    rows = _on_equal_terms(rows).astype(dict.fromkeys(ROW_COLUMNS[:4], "str"))
    return BackTest(rows, _scores(rows))


def before(history: "History", season: str) -> "History":
    """The history as it was known before a season began."""
    year = parse_season(season)
    parts = [
        table[np.array([parse_season(text) < year for text in table["season"].tolist()], dtype=bool)]
        for table in (history.members, history.totals)
    ]
    return replace(history, members=parts[0], totals=parts[1])


def counted_members(history: "History") -> pd.DataFrame:
    """Members whose deliveries are known, their own or within those of the whole cooperative; sorted."""
    members = history.members.sort_values(["cooperative_id", "season", "member_id"], kind="stable")
    whole = is_among(_keys(members), _keys(history.totals))
    return members[members["delivered_kg"].notna().to_numpy() | whole].reset_index(drop=True)


def members_of(history: "History", season: str) -> pd.DataFrame:
    """The counted members of a season as a target: without what they delivered."""
    members = counted_members(history)
    return members[members["season"] == season].assign(delivered_kg=np.nan).reset_index(drop=True)


def delivered_by_season(history: "History") -> pd.DataFrame:
    """Cooperative_id, season, actual_kg, potential_kg of every cooperative and season with deliveries, sorted."""
    keys = ["cooperative_id", "season"]
    by_season = counted_members(history).groupby(keys)
    whole = history.totals.groupby(keys)["delivered_kg"].sum()
    sums = by_season["delivered_kg"].sum()
    kg = whole.reindex(sums.index).fillna(sums)
    return pd.DataFrame({"actual_kg": kg, "potential_kg": by_season["potential_kg"].sum()}).reset_index()


def _predicted(
    history: "History", season: str, now: pd.DataFrame, delivered_share: "pd.DataFrame | None", *, learn: bool
) -> pd.DataFrame:
    """Rows of the model for one season; cooperatives of whose supply it says nothing are left out."""
    target = members_of(history, season)
    target = target[is_among(target["cooperative_id"], now["cooperative_id"])]
    found = calibrate(before(history, season), target, delivered_share=delivered_share, learn=learn).cooperatives
    table = now.join(found[["supply_kg", "log_mean", "log_var", "evidence"]], on="cooperative_id")
    table = table.join(found["potential_kg"].rename("base_kg"), on="cooperative_id")
    table = table[table["supply_kg"].notna()].rename(columns={"supply_kg": "mean_kg"})
    spread = np.sqrt(table["log_var"])
    quantiles = {
        name: table["base_kg"] * np.exp(table["log_mean"] + NormalDist().inv_cdf(q) * spread)
        for name, q in _QUANTILES.items()
    }
    return table.assign(**quantiles)


def _naive(now: pd.DataFrame, past: pd.DataFrame) -> pd.DataFrame:
    """Rows of the three rules for one season, for cooperatives with a past."""
    by_coop = past.sort_values(["cooperative_id", "year"]).groupby("cooperative_id")
    sums = by_coop[["actual_kg", "potential_kg"]].sum()
    said = (by_coop["actual_kg"].last(), by_coop["actual_kg"].mean(), sums["actual_kg"] / sums["potential_kg"])
    parts = []
    for rule, value in zip(RULES, said, strict=True):
        number = now["cooperative_id"].map(value).to_numpy(float)
        number = number * now["potential_kg"].to_numpy(float) if rule == RULES[2] else number
        parts.append(now.assign(rule=rule, evidence="", mean_kg=number))
    table = pd.concat(parts, ignore_index=True)
    return table[table["mean_kg"].notna()]


def _on_equal_terms(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the rules where the model says nothing, so that all are scored on the same seasons."""
    said = rows[is_among(rows["rule"], [MODEL, MODEL_NEW])]
    return rows[is_among(_keys(rows), _keys(said))].reset_index(drop=True)


def _keys(table: pd.DataFrame) -> "pd.Series[str]":
    """Cooperative and season of each row, as one text."""
    return table["season"].astype("str") + " " + table["cooperative_id"].astype("str")


def _scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores of each cooperative and of all, by rule."""
    parts = pd.concat([rows.assign(cooperative_id="all"), rows], ignore_index=True)
    table = [
        {"cooperative_id": coop, "rule": rule, **_score(part)}
        for (coop, rule), part in parts.groupby(["cooperative_id", "rule"], sort=True)
    ]
    found = pd.DataFrame(table, columns=SCORE_COLUMNS)
    first = (found["cooperative_id"] != "all").to_numpy()
    return found.iloc[np.argsort(first, kind="stable")].reset_index(drop=True)


def _score(part: pd.DataFrame) -> dict[str, float]:
    """Scores of rows of one rule."""
    actual, mean = part["actual_kg"].to_numpy(float), part["mean_kg"].to_numpy(float)
    quantile = {name: part[name].to_numpy(float) for name in _QUANTILES}
    delivered, came = math.fsum(actual), actual > 0
    has_interval = bool(part["p50_kg"].notna().all())
    middle = quantile["p50_kg"] if has_interval else mean
    with np.errstate(invalid="ignore"):
        inside = [
            float(np.mean((actual >= quantile[low]) & (actual <= quantile[high]))) if has_interval else np.nan
            for low, high in (("p10_kg", "p90_kg"), ("p2_5_kg", "p97_5_kg"))
        ]
    share = 1.0 / delivered if delivered > 0 else np.nan
    return {
        "predictions": len(part),
        "seasons": part["season"].nunique(),
        "bias": math.fsum(mean - actual) * share,
        "mape": float(np.mean(np.abs(mean[came] / actual[came] - 1.0))) if came.any() else np.nan,
        "pinball_p10": math.fsum(pinball(actual, quantile["p10_kg"], 0.1)) * share,
        "pinball_p50": math.fsum(pinball(actual, middle, 0.5)) * share,
        "pinball_p90": math.fsum(pinball(actual, quantile["p90_kg"], 0.9)) * share,
        "coverage_80": inside[0],
        "coverage_95": inside[1],
    }


def pinball(actual: npt.ArrayLike, predicted: npt.ArrayLike, q: float) -> Floats:
    """Loss of a predicted quantile: q × what it is too low, (1 − q) × what it is too high.

    On average it is least for the true quantile. For q = .5 it is half the absolute error.

    Source: Koenker and Bassett (1978), Regression Quantiles.

    Examples
    --------
    >>> pinball([100.0, 100.0], [80.0, 110.0], 0.9).round(1).tolist()
    [18.0, 1.0]
    """
    miss = np.asarray(actual, dtype=float) - np.asarray(predicted, dtype=float)
    return np.asarray(np.maximum(q * miss, (q - 1.0) * miss))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _listed(rules: list[str], error: Mapping[str, float]) -> str:
    """Rules with their errors, as a list in words."""
    words = [f"“{rule}” ({_percent(error[rule])})" for rule in rules]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
