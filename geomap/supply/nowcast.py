"""The season's total from the deliveries so far: p(T | C) ∝ p(T) · Beta(C/T) / T, over all shifts of the season.

With s = C/T, the share that has come, and x = ln(s / (1 − s)), this is a density in x without a pole:

    Σ over shifts of w · s^a (1 − s)^b / B(a, b) · φ((ln C − ln s − m)/σ),   a = κ* Π, b = κ* (1 − Π)

Π is the share that the calendar expects by the day, m and σ are those of ln T. What lies beyond the grid, where
everything has come, is one point at T = C.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import betainc, betaln

from geomap.errors import ColumnError
from geomap.supply.calendars import ELSEWHERE, season_course
from geomap.supply.course import Course, Floats, log_spread
from geomap.supply.crops import crop as find_crop
from geomap.supply.forecast import known_totals
from geomap.supply.months import parse_season
from geomap.supply.totals import interval

if TYPE_CHECKING:
    from geomap.supply.crop_tables import CropTables

_POINTS: Final = 513
_HIGHEST: Final = 12.0
_LEAST_SPREAD: Final = 0.02
_LEAST: Final = 1e-6
_UNSEEN: Final = 0.001
"""Nothing delivered yet is read as: less than this part of the mean total."""


def nowcast(
    totals: pd.DataFrame,
    deliveries: pd.DataFrame,
    *,
    crop: str,
    country: str,
    season: str,
    as_of: str | pd.Timestamp | None = None,
    settings: pd.DataFrame | None = None,
    altitude: "pd.Series[float] | None" = None,
    tables: "CropTables | None" = None,
) -> pd.DataFrame:
    """The season's total of each cooperative and what is still to come, in kilograms, given the deliveries so far.

    Before the harvest nothing changes; when the season is over the total is what was delivered.

    Parameters
    ----------
    totals : index cooperative_id; mean_kg, var (kg²) of the supply before the season.
    deliveries : of `read_deliveries`; those of `season` up to the day count (undated ones too), past seasons teach the
        calendar.
    as_of : day up to which the deliveries are complete; the season's last date in the file where it is not given.
    settings, altitude : as for `forecast`.

    Returns
    -------
    DataFrame : index cooperative_id, sorted; delivered_kg, expected_share (of the season, by the day), mean_kg, var,
        p10_kg, p50_kg, p90_kg of the total, rest_mean_kg, rest_p10_kg, rest_p50_kg, rest_p90_kg of what is to come;
        day up to which deliveries count.

    Raises
    ------
    ColumnError : no delivery of the season has a date, and no day is given.

    Examples
    --------
    >>> totals = pd.DataFrame({"mean_kg": [1000.0], "var": [90000.0]}, index=["C"])
    >>> so_far = pd.DataFrame({"cooperative_id": ["C"], "season": "2026/27", "date": pd.Timestamp("2027-01-31"),
    ...                        "kg": [700.0]})
    >>> now = nowcast(totals, so_far, crop="coffee", country="HN", season="2026/27")
    >>> now.loc["C", ["expected_share", "p10_kg", "p50_kg", "p90_kg"]].round(1).tolist()
    [0.4, 950.3, 1190.5, 1560.8]
    """
    totals = known_totals(totals)
    course = season_course(
        totals.index,
        deliveries,
        crop=crop,
        country=country,
        season=season,
        settings=settings,
        altitude=altitude,
        tables=tables,
    )
    totals = totals.reindex(course.cooperatives)
    own = deliveries[deliveries["season"].map(_same_season(deliveries, season)).to_numpy(bool)]
    day = _day(own, as_of)
    so_far = own[own["date"].isna() | (own["date"] < day + pd.Timedelta(days=1))].sort_values(["cooperative_id", "kg"])
    delivered = so_far.groupby("cooperative_id")["kg"].sum().reindex(course.cooperatives, fill_value=0.0)
    elapsed = _elapsed(day, season, find_crop(crop, tables=tables).season_start_month)
    table = _summary(course, delivered.to_numpy(float), course.by(elapsed), totals, elapsed)
    return table.assign(day=day.strftime("%Y-%m-%d"))


def _same_season(deliveries: pd.DataFrame, season: str) -> dict[str, bool]:
    return {text: parse_season(str(text)) == parse_season(season) for text in deliveries["season"].unique()}


def _day(own: pd.DataFrame, as_of: str | pd.Timestamp | None) -> pd.Timestamp:
    day = own["date"].max() if as_of is None else pd.Timestamp(as_of)
    if pd.isna(day):
        raise ColumnError(
            "No delivery of the season has a date.",
            why="How much has come says little without the day up to which it came.",
            todo="Give the day, or deliveries with dates.",
        )
    return pd.Timestamp(day).normalize()


def _elapsed(day: pd.Timestamp, season: str, start_month: int) -> float:
    """Months from the season's start to the end of the day."""
    months = (day.year - parse_season(season)) * 12 + day.month - start_month
    return float(months + day.day / day.days_in_month)


class _Case(NamedTuple):
    """Cooperatives whose total is open: kilograms so far, share (cooperatives, nodes) that should have come."""

    delivered: Floats
    share: Floats
    weights: Floats
    concentration: Floats
    mean: Floats
    spread: Floats


def _summary(course: Course, delivered: Floats, share: Floats, totals: pd.DataFrame, elapsed: float) -> pd.DataFrame:
    """The table of `nowcast`, from the share (cooperatives, nodes) that should have come."""
    mean, var = totals["mean_kg"].to_numpy(float), totals["var"].to_numpy(float)
    is_over = np.all(share >= 1.0 - 1e-12, axis=1)
    due = np.maximum(share - ELSEWHERE * elapsed / 12, 0.0)
    some = (delivered > 0) & (mean > 0) & ~is_over
    none = (delivered <= 0) & (due.max(axis=1, initial=0.0) > 0) & (mean > 0) & ~is_over
    found = {"mean_kg": mean.copy(), "var": var.copy()}
    found |= {f"p{100 * q:.0f}_kg": interval(mean, var, q) for q in (0.1, 0.5, 0.9)}
    for chosen, nodes, posterior in ((some, share, _posterior), (none, due, _posterior_of_nothing)):
        spread = np.maximum(log_spread(mean[chosen], var[chosen]), _LEAST_SPREAD)
        certain = course.concentration[chosen]
        kg, mass = posterior(_Case(delivered[chosen], nodes[chosen], course.weights, certain, mean[chosen], spread))
        found["mean_kg"][chosen] = (mass * kg).sum(axis=1)
        found["var"][chosen] = (mass * (kg - found["mean_kg"][chosen, None]) ** 2).sum(axis=1)
        for q in (0.1, 0.5, 0.9):
            found[f"p{100 * q:.0f}_kg"][chosen] = _quantile(kg, mass, q)
    known = is_over | ((mean <= 0) & (delivered > 0))
    for name, values in found.items():
        found[name] = np.where(known, 0.0 if name == "var" else delivered, values)
    rest = {f"rest_{name}": np.maximum(found[name] - delivered, 0.0) for name in found if name != "var"}
    first = {"delivered_kg": delivered, "expected_share": share @ course.weights}
    return pd.DataFrame(first | found | rest, index=course.cooperatives.rename("cooperative_id"))


def _posterior(case: _Case) -> tuple[Floats, Floats]:
    """Totals in kilograms, growing, and their probabilities (cooperatives, points), where something has come."""
    delivered = np.log(case.delivered)[:, None]
    spread = case.spread[:, None]
    middle = np.log(case.mean)[:, None] - spread**2 / 2
    lowest = np.minimum(delivered - middle - 8 * spread, -2.0)
    x = _HIGHEST - np.linspace(0.0, 1.0, _POINTS) * (_HIGHEST - lowest)
    log_share, log_rest = -np.logaddexp(0.0, -x), -np.logaddexp(0.0, x)
    a = np.maximum(case.concentration[:, None] * case.share, _LEAST)
    b = np.maximum(case.concentration[:, None] * (1.0 - case.share), _LEAST)
    log = a[:, :, None] * log_share[:, None] + b[:, :, None] * log_rest[:, None]
    log += (np.log(case.weights) - betaln(a, b))[:, :, None]
    beyond = np.logaddexp.reduce(log[:, :, 0] - np.log(b), axis=1)[:, None]
    inside = np.logaddexp.reduce(log, axis=1) + np.log((_HIGHEST - lowest) / (_POINTS - 1))
    log_kg = np.concatenate([delivered, delivered - log_share], axis=1)
    log = np.concatenate([beyond, inside], axis=1) - ((log_kg - middle) / spread) ** 2 / 2
    return np.exp(log_kg), _normalised(log)


def _posterior_of_nothing(case: _Case) -> tuple[Floats, Floats]:
    """As `_posterior`, where nothing has come: the share that has come is below .001 of the mean total."""
    z = np.linspace(-8.0, 8.0, _POINTS)
    kg = case.mean[:, None] * np.exp(case.spread[:, None] * z - case.spread[:, None] ** 2 / 2)
    at_most = np.minimum(_UNSEEN * case.mean[:, None] / kg, 1.0)[:, None, :]
    certain = case.concentration[:, None, None]
    a = certain * case.share[:, :, None]
    below = betainc(np.maximum(a, _LEAST), np.maximum(certain - a, _LEAST), at_most)
    chance = np.einsum("n,cng->cg", case.weights, np.where(a > 0, below, 1.0))
    return kg, _normalised(np.log(chance) - z**2 / 2)


def _normalised(log: Floats) -> Floats:
    mass = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(mass / mass.sum(axis=1, keepdims=True))


def _quantile(kg: Floats, mass: Floats, q: float) -> Floats:
    """Quantile of each row: points grow, and each point's probability lies around it."""
    reached = np.cumsum(mass, axis=1) - mass / 2
    after = np.clip((reached < q).sum(axis=1), 1, kg.shape[1] - 1)[:, None]
    left, right = (np.take_along_axis(reached, at, 1)[:, 0] for at in (after - 1, after))
    low, high = (np.take_along_axis(kg, at, 1)[:, 0] for at in (after - 1, after))
    part = np.divide(q - left, right - left, out=np.ones_like(left), where=right > left)
    return np.asarray(low + np.clip(part, 0.0, 1.0) * (high - low))


def with_what_came(
    months: pd.DataFrame, now: pd.DataFrame, deliveries: pd.DataFrame | None, season: str
) -> pd.DataFrame:
    """The months of `forecast`, with what came in those that are past and the rest spread over those to come.

    A month that is past holds what came in it, without an interval. The months to come share the rest as they would
    have shared the season, the running month by the part of it that is left; their quantiles keep their ratio to the
    mean. What came without a date stands in the season's first month. Means still add up to the season's total.

    Parameters
    ----------
    months : of `forecast`. now : of `nowcast`, with `day`; cooperatives without a row keep their months.
    deliveries : as for `nowcast`, with cooperatives.
    """
    if now.empty or deliveries is None or months.empty:
        return months
    own = deliveries[deliveries["season"].map(_same_season(deliveries, season)).to_numpy(bool)]
    parts = []
    for cooperative, rows in months.groupby("cooperative_id", sort=True):
        if cooperative not in now.index:
            parts.append(rows)
            continue
        line, day = now.loc[cooperative], pd.Timestamp(now.loc[cooperative, "day"])
        brought = own[
            (own["cooperative_id"] == cooperative) & (own["date"].isna() | (own["date"] < day + pd.Timedelta(days=1)))
        ]
        month = brought["date"].dt.strftime("%Y-%m").fillna(rows["month"].iloc[0])
        month = month.where(month.isin(rows["month"]), rows["month"].iloc[0])
        came = brought["kg"].groupby(month).sum().reindex(rows["month"]).fillna(0.0).to_numpy(float)
        running = day.strftime("%Y-%m")
        part = 1 - day.day / day.days_in_month
        left = np.select([rows["month"] > running, rows["month"] == running], [1.0, part], 0.0)
        mean = rows["mean_kg"].to_numpy(float)
        weight = left * mean
        if weight.sum() <= 0:  # the calendar is over: what is still to come is late, and comes in the last month
            weight, mean = np.eye(len(rows))[-1], np.ones(len(rows))
        share = weight / weight.sum()
        table = rows.assign(mean_kg=came + float(line["rest_mean_kg"]) * share)
        for q in ("p10", "p50", "p90"):
            ratio = np.divide(rows[f"{q}_kg"], mean, out=np.ones(len(rows)), where=mean > 0)
            table[f"{q}_kg"] = came + float(line["rest_mean_kg"]) * share * ratio
        for name in ("mean", "p10", "p50", "p90"):
            table[f"cumulative_{name}_kg"] = np.cumsum(came) + float(line[f"rest_{name}_kg"]) * np.cumsum(share)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)
