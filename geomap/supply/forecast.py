"""When the supply comes: kilograms by month and up to each month, and the shock year as a case of its own."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from geomap import reference
from geomap.errors import ColumnError, NumberError
from geomap.supply.calendars import season_course
from geomap.supply.course import Floats, kilograms
from geomap.supply.months import COLUMNS, month_table, rows_of_crop
from geomap.supply.totals import interval

if TYPE_CHECKING:
    from geomap.supply.crop_tables import CropTables

CUMULATIVE: Final = ["cumulative_mean_kg", "cumulative_p10_kg", "cumulative_p50_kg", "cumulative_p90_kg"]
FORECAST_COLUMNS: Final = [*COLUMNS, *CUMULATIVE, "calendar"]


def forecast(
    totals: pd.DataFrame,
    deliveries: pd.DataFrame | None,
    *,
    crop: str,
    country: str,
    season: str,
    settings: pd.DataFrame | None = None,
    altitude: "pd.Series[float] | None" = None,
    tables: "CropTables | None" = None,
) -> pd.DataFrame:
    """Kilograms that each cooperative can expect to receive in each month of a season, and up to its end.

    A month's share of the season, and the share of all months so far, is Beta(κ* π̂, κ* (1 − π̂)) for each shift of the
    season (`calendars.season_course`); the total is log-normal. Means of the months add up to the total, and the last
    cumulative figures are those of the total. Quantiles of months do not add up.

    Parameters
    ----------
    totals : index cooperative_id; mean_kg, var (kg²) of the season's supply. Cooperatives without a mean have no rows.
    deliveries : of `read_deliveries`; past seasons with dates teach the calendar. None: the national calendar alone.
    season : such as "2026/27".
    settings : index cooperative_id; lag_days (harvest to delivery).
    altitude : median altitude of each cooperative in metres, index cooperative_id.

    Returns
    -------
    DataFrame : the columns of `months` with quantity "supply", month = month of delivery; cumulative_mean_kg,
        cumulative_p10_kg, cumulative_p50_kg, cumulative_p90_kg by the month's end; calendar: what taught it. Twelve
        rows per cooperative, in order; none where no calendar is known.

    Raises
    ------
    ColumnError : a cooperative stands twice, or its variance is missing.

    Examples
    --------
    >>> totals = pd.DataFrame({"mean_kg": [1000.0], "var": [40000.0]}, index=["C"])
    >>> table = forecast(totals, None, crop="coffee", country="HN", season="2026/27")
    >>> table.loc[[1, 11], ["month", "mean_kg", "cumulative_mean_kg"]].round(0).to_numpy().tolist()
    [['2026-11', 84.0, 100.0], ['2027-09', 1.0, 1000.0]]
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
    mean, var = totals["mean_kg"].to_numpy(float), totals["var"].to_numpy(float)
    cumulative = course.cumulative
    both = np.concatenate([course.shares, cumulative], axis=2)
    found = kilograms(both, mean, var, weights=course.weights, concentration=course.concentration)
    months = len(course.months)
    table = month_table(
        course.cooperatives, course.months, "supply", mean[:, None] * course.mean_shares, found[:, :, :months]
    )
    means = mean[:, None] * np.einsum("n,cnm->cm", course.weights, cumulative)
    for name, values in zip(CUMULATIVE, [means, *found[:, :, months:]], strict=True):
        table[name] = values.ravel()
    table["calendar"] = pd.Series(np.repeat(np.array(course.evidence, dtype=object), months), dtype="str")
    return table[FORECAST_COLUMNS]


def shock_case(totals: pd.DataFrame, *, crop: str, damage: "pd.Series[float] | None" = None) -> pd.DataFrame:
    """Kilograms of each cooperative in a shock year (rust, frost, drought): a case of its own, outside the interval.

    A shock comes about once in 12 seasons and leaves .5 to .8 of the crop (shocks.csv, weak), any of it equally likely.
    A declared damage share replaces it: then the factor is 1 − damage, and the case is certain.

    Parameters
    ----------
    totals : index cooperative_id; mean_kg, var (kg²) without a shock.
    damage : share of the harvest that is lost (0–1), index cooperative_id; missing where none is declared.

    Returns
    -------
    DataFrame : index cooperative_id, sorted; case ("shock year", "declared damage"), chance, factor_low, factor_high,
        mean_kg, var, p10_kg, p50_kg, p90_kg in that case.

    Raises
    ------
    NumberError : a damage share below 0 or above 1.

    Examples
    --------
    >>> totals = pd.DataFrame({"mean_kg": [1000.0, 1000.0], "var": 0.0}, index=["A", "B"])
    >>> shock_case(totals, crop="coffee", damage=pd.Series({"B": 0.1}))[["case", "mean_kg"]].to_numpy().tolist()
    [['shock year', 650.0], ['declared damage', 900.0]]
    """
    totals = known_totals(totals)
    row = shock_row(crop)
    lost = pd.Series(np.nan, index=totals.index) if damage is None else damage.astype(float).reindex(totals.index)
    if not lost.dropna().between(0.0, 1.0).all():
        raise NumberError(
            f"Damage shares run from {lost.min():g} to {lost.max():g}.",
            why="A damage share is the part of the harvest that is lost.",
            todo="Write it from 0 to 1: a fifth is 0.2.",
        )
    told = lost.notna().to_numpy()
    low = np.where(told, 1.0 - lost, row["factor_low"]).astype(float)
    high = np.where(told, 1.0 - lost, row["factor_high"]).astype(float)
    mean, var = _times_uniform(totals["mean_kg"].to_numpy(float), totals["var"].to_numpy(float), low, high)
    table = pd.DataFrame(
        {
            "case": np.where(told, "declared damage", "shock year"),
            "chance": np.where(told, 1.0, 1.0 / row["once_in_seasons"]),
            "factor_low": low,
            "factor_high": high,
            "mean_kg": mean,
            "var": var,
        },
        index=totals.index,
    )
    return table.assign(**{f"p{100 * q:.0f}_kg": interval(mean, var, q) for q in (0.1, 0.5, 0.9)})


def shock_row(crop: str) -> "pd.Series[Any]":
    """What a shock year does to a crop, from shocks.csv: factor_low, factor_high, once_in_seasons, support.

    Examples
    --------
    >>> print(*shock_row("coffee")[["factor_low", "factor_high"]], shock_row("vanilla")["crop"])
    0.5 0.8 other
    """
    shocks = reference.table("shocks")
    known = rows_of_crop(shocks, crop)
    return (known if len(known) else shocks[shocks["crop"] == "other"]).iloc[0]


def known_totals(totals: pd.DataFrame) -> pd.DataFrame:
    """Totals of the cooperatives that have a mean, sorted by id.

    Raises
    ------
    ColumnError : a cooperative stands twice, or its variance is missing.
    """
    known = totals[totals["mean_kg"].notna()].sort_index(kind="stable").rename_axis("cooperative_id")
    if known["var"].isna().any() or known.index.has_duplicates:
        raise ColumnError(
            "A cooperative stands twice in the totals, or has a mean without a variance.",
            why="Each forecast starts from one total with its interval.",
            todo="Pass one row per cooperative with mean_kg and var.",
        )
    return known


def _times_uniform(mean: Floats, var: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of kilograms times a factor between low and high, any of them equally likely."""
    factor, factor_var = (low + high) / 2, (high - low) ** 2 / 12
    return mean * factor, var * (factor**2 + factor_var) + mean**2 * factor_var
