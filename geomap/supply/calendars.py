"""When each cooperative's deliveries come: the national calendar, moved and learned from dated deliveries.

The shares s_t of the twelve months in a past season, one of k, are Dirichlet(κ π) once the season's shift is known;
π is Dirichlet(α₀ π₀). With A = α₀ + k (κ + 1), a coming season has the mean shares

    π̂ = (α₀ π₀ + (κ + 1) Σ s_t) / A     and the concentration κ* from     1/(κ* + 1) = 1/(A + 1) + A/((A + 1)(κ + 1)).

π₀ is the national calendar, moved to the day of delivery and by the altitude, and drawn towards what the *other*
cooperatives of the origin deliver. κ is learned from the spread of the cooperative's own seasons, with a prior.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap import reference
from geomap.supply.course import DAYS_PER_MONTH, Course, Floats, shift, shifted
from geomap.supply.crops import crop as find_crop
from geomap.supply.months import (
    SHIFT_MONTHS,
    harvest_calendar,
    parse_season,
    rows_of_crop,
    season_months,
    season_numbers,
)

if TYPE_CHECKING:
    from geomap.supply.crop_tables import CropTables

ALPHA: Final = 15.5
"""How sure a prior calendar is of a cooperative's own (α₀); weak."""

KAPPA: Final = 30.0
"""How alike the seasons of one cooperative are, shift apart, before its own are seen (median of κ); weak.

α₀ and κ together give the national calendar alone the κ* = 10 of `months.CONCENTRATION`.
"""

_KAPPA_LOG_SD: Final = 0.6
_KAPPAS: Final = np.geomspace(3.0, 300.0, 13)
ELSEWHERE: Final = 0.01
"""Share of the deliveries that may come in any month, whatever the calendar says."""

_LEAST_DAYS: Final = 3
_LEAST_DATED: Final = 0.5


def season_course(
    cooperatives: pd.Index,
    deliveries: pd.DataFrame | None,
    *,
    crop: str,
    country: str,
    season: str,
    settings: pd.DataFrame | None = None,
    altitude: "pd.Series[float] | None" = None,
    tables: "CropTables | None" = None,
) -> Course:
    """The course of the coming season's deliveries for each cooperative (module docstring).

    The shift of a season is N(0, .5 month). The calendar itself was learned from shifted seasons, so the standard
    deviation used is .5 √(1 + k ((κ + 1)/A)²).

    Parameters
    ----------
    cooperatives : ids.
    deliveries : of `read_deliveries`; cooperative_id, season, date, kg are used. Only seasons before `season` teach;
        those with fewer than three days of delivery, or less than half of the kilograms dated, do not.
    settings : index cooperative_id; lag_days (harvest to delivery) where told, else the default of lags.csv.
    altitude : median altitude of each cooperative in metres, index cooperative_id; unknown ones are not moved.
    tables : with the user's own crop and calendar.

    Returns
    -------
    Course : without a cooperative where neither a national calendar nor dated deliveries of the origin are known.
    """
    start = find_crop(crop, tables=tables).season_start_month
    owner, shares = past_seasons(deliveries, season, start)
    national = _national(harvest_calendar(crop, country, tables), start)
    wanted = pd.Index(cooperatives).unique().sort_values()
    if national is None and not len(owner):
        wanted = wanted[:0]
    ids = wanted.union(pd.Index(owner)).unique().sort_values()
    code = ids.get_indexer(owner)
    later = altitude_shift(crop, altitude, ids) + lag_months(crop, "harvest_to_delivery", settings, ids, "lag_days")
    seasons, total = _sums(shares, code, len(ids))
    prior, is_learned = _priors(seasons, total, national, later)
    kappa = learned_kappa(shares, code, prior)
    mean, star, certain = _posterior(prior, total, seasons, kappa)
    moved = SHIFT_MONTHS * np.sqrt(1.0 + seasons * ((kappa + 1.0) / certain) ** 2)
    nodes, weights = shifted(mean, moved)
    own = ids.get_indexer(wanted)
    evidence = tuple(_evidence(int(seasons[k]), bool(is_learned[k])) for k in own)
    return Course(wanted, season_months(season, start), nodes[own], weights, star[own], evidence)


def past_seasons(
    deliveries: pd.DataFrame | None, season: str, start_month: int
) -> tuple[npt.NDArray[np.object_], Floats]:
    """Shares of the twelve months in each past season with dates: owners (n,) and shares (n, 12), in order."""
    if deliveries is None or deliveries.empty:
        return np.empty(0, dtype=object), np.empty((0, 12))
    years = {text: parse_season(str(text)) for text in deliveries["season"].unique()}
    table = deliveries[["cooperative_id", "season", "date", "kg"]]
    table = table[(table["season"].map(years) < parse_season(season)).to_numpy(bool) & (table["kg"] > 0).to_numpy()]
    table = table.sort_values(["cooperative_id", "season", "date", "kg"], kind="stable")
    keys = ["cooperative_id", "season"]
    table = table.assign(dated=table["kg"].where(table["date"].notna(), 0.0), day=table["date"].dt.normalize())
    known = table.groupby(keys).agg(kg=("kg", "sum"), dated=("dated", "sum"), days=("day", "nunique"))
    known = known[(known["days"] >= _LEAST_DAYS) & (known["dated"] >= _LEAST_DATED * known["kg"])]
    month = (table["date"].dt.month.to_numpy(float) - start_month) % 12
    by_month = (
        table.assign(month=month)
        .dropna(subset=["month"])
        .pivot_table(index=keys, columns="month", values="kg", aggfunc="sum", fill_value=0.0)
    )
    by_month = by_month.reindex(index=known.index, columns=np.arange(12.0), fill_value=0.0)
    shares = by_month.to_numpy(float)
    return known.index.get_level_values(0).to_numpy(dtype=object), shares / shares.sum(axis=1, keepdims=True)


def altitude_shift(crop: str, altitude: "pd.Series[float] | None", ids: pd.Index) -> Floats:
    """Months by which the harvest of each cooperative comes later for its altitude; 0 where that is not known.

    Examples
    --------
    >>> altitude_shift("coffee", pd.Series({"A": 700.0, "B": 1600.0}), pd.Index(["A", "B", "C"])).tolist()
    [-1.0, 0.5, 0.0]
    """
    found = np.zeros(len(ids))
    if altitude is None:
        return found
    metres = altitude.groupby(level=0).median().reindex(ids).to_numpy(float)
    for band in rows_of_crop(reference.table("altitude_shifts"), crop).fillna({"altitude_to_m": np.inf}).itertuples():
        found[(metres >= band.altitude_from_m) & (metres < band.altitude_to_m)] = band.shift_months
    return found


def lag_months(crop: str, step: str, settings: pd.DataFrame | None, ids: pd.Index, setting: str) -> Floats:
    """Months that a step takes for each cooperative, as told in a column of the settings, else from lags.csv.

    Steps: "harvest_to_delivery", "delivery_to_ready" (ready to ship).

    Examples
    --------
    >>> told = pd.DataFrame({"ready_days": [30.4375]}, index=["A"])
    >>> lag_months("coffee", "delivery_to_ready", told, pd.Index(["A", "B"]), "ready_days").round(2).tolist()
    [1.0, 1.97]
    """
    rows = rows_of_crop(reference.table("lags"), crop)
    default = float(rows.loc[rows["step"] == step, "days"].sum())
    told = pd.Series(np.nan, index=ids) if settings is None or setting not in settings else settings[setting]
    return np.asarray(told.astype(float).reindex(ids).fillna(default).to_numpy(float) / DAYS_PER_MONTH)


def learned_kappa(shares: Floats, code: npt.NDArray[np.int64], prior: Floats) -> Floats:
    """How alike the seasons of each cooperative are (κ), from how far each season is from what the others foretell.

    D = Σ (s − π)² / (1 − Σ π²) has the mean 1/(κ* + 1); f D (κ* + 1) is taken as χ² with f = 1/Σ π² − 1 degrees of
    freedom, the season's shift summed over its nodes. The result is the posterior mean of ln κ on a grid; the prior
    is log-normal with median 30 and log-sd .6. Few seasons stay near the prior.

    Parameters
    ----------
    shares : (seasons, 12).
    code : (seasons,) position of the season's cooperative in `prior`.
    prior : (cooperatives, 12) prior shares.
    """
    count = len(prior)
    log_post = np.tile(-0.5 * (np.log(_KAPPAS / KAPPA) / _KAPPA_LOG_SD) ** 2, (count, 1))
    if len(shares):
        seasons, total = _sums(shares, code, count)
        for column, kappa in enumerate(_KAPPAS):
            alone = np.full(len(code), kappa)
            mean, star, _ = _posterior(prior[code], total[code] - shares, seasons[code] - 1.0, alone)
            log_post[:, column] += np.bincount(code, _log_likelihood(shares, mean, star), minlength=count)
    weight = np.exp(log_post - log_post.max(axis=1, keepdims=True))
    return np.asarray(np.exp((weight * np.log(_KAPPAS)).sum(axis=1) / weight.sum(axis=1)))


def _log_likelihood(shares: Floats, mean: Floats, star: Floats) -> Floats:
    """Logarithm of how likely each season's shares are, given what is foretold, over all shifts."""
    courses, weights = shifted(mean, SHIFT_MONTHS)
    even = (courses**2).sum(axis=2)
    freedom = 1.0 / (mean**2).sum(axis=1)[:, None] - 1.0
    distance = ((shares[:, None, :] - courses) ** 2).sum(axis=2) / (1.0 - even)
    certain = star[:, None] + 1.0
    log = freedom / 2 * (np.log(certain) - certain * distance) + np.log(weights)
    highest = log.max(axis=1)
    return np.asarray(highest + np.log(np.exp(log - highest[:, None]).sum(axis=1)))


def _posterior(prior: Floats, total: Floats, seasons: Floats, kappa: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean shares π̂, concentration κ* and A after so many seasons with these sums of shares."""
    certain = ALPHA + seasons * (kappa + 1.0)
    mean = (ALPHA * prior + (kappa + 1.0)[:, None] * total) / certain[:, None]
    return mean, 1.0 / (1.0 / (certain + 1.0) + certain / ((certain + 1.0) * (kappa + 1.0))) - 1.0, certain


def _national(calendar: "pd.Series[float]", start_month: int) -> Floats | None:
    if calendar.empty:
        return None
    return np.asarray(calendar.reindex(season_numbers(start_month)), dtype=float)


def _priors(
    seasons: Floats, total: Floats, national: Floats | None, later: Floats
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Prior shares of each cooperative, and whether other cooperatives of the origin taught them.

    A cooperative's mean of k seasons tells the origin's calendar as much as α₀ B / (α₀ + B) seasons, B = k (κ + 1).
    """
    base = np.full(12, 1 / 12) if national is None else (1 - ELSEWHERE) * national + ELSEWHERE / 12
    known = seasons * (KAPPA + 1.0)
    weight = ALPHA * known / (ALPHA + known)
    told = weight[:, None] * shift(total / np.maximum(seasons, 1.0)[:, None], -later)
    pooled = np.maximum(ALPHA * base + told.sum(axis=0) - told, 1e-12)
    others = weight.sum() - weight > 1e-9
    return shift(pooled / pooled.sum(axis=1, keepdims=True), later), others


def _sums(shares: Floats, code: npt.NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
    """Number of seasons of each cooperative, and the sums of their shares."""
    total = np.zeros((count, 12))
    np.add.at(total, code, shares)
    return np.bincount(code, minlength=count).astype(np.float64), total


def _evidence(seasons: int, others: bool) -> str:
    if seasons:
        return f"{seasons} own season{'s' if seasons > 1 else ''}"
    return "deliveries of the origin" if others else "national calendar"
