"""When the kilograms of a season come: monthly shares from the harvest calendar, with an interval."""

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betainc

from geomap import reference
from geomap.errors import UnknownNameError
from geomap.supply.crops import country_code
from geomap.supply.crops import crop as find_crop

COLUMNS: Final = ["cooperative_id", "month", "quantity", "mean_kg", "p10_kg", "p50_kg", "p90_kg"]

CONCENTRATION: Final = 10.0
"""How sure the calendar is of a month's share (the a + b of its Beta distribution); weak.

A month that bears 1/6 of the crop on average bears between .04 and .33 of it in 8 seasons of 10.
"""

SHIFT_MONTHS: Final = 0.5
"""Standard deviation by which a harvest comes early or late, in months."""

_SHIFT_NODES: Final = 9
_TOTAL_NODES: Final = 15
_LOG_SHARES: Final = np.linspace(-16.0, 0.0, 641)
_HALVINGS: Final = 32

Floats = npt.NDArray[np.float64]


def parse_season(text: str) -> int:
    """Year in which a season begins.

    Raises
    ------
    UnknownNameError : the text is no season.

    Examples
    --------
    >>> parse_season("2026/27"), parse_season("1999/2000")
    (2026, 1999)
    """
    found = re.fullmatch(r"\s*((?:19|20)\d\d)\s*[/-]\s*(\d\d(?:\d\d)?)\s*", text, flags=re.ASCII)
    if found:
        start, end = int(found[1]), found[2]
        if end == str(start + 1)[-len(end) :]:
            return start
    raise UnknownNameError(
        f"'{text}' is no season.",
        why="A season runs over two years, from October to September.",
        todo="Write it like 2026/27.",
    )


def harvest_calendar(crop: str, country: str) -> "pd.Series[float]":
    """Share of the year's crop per calendar month (1–12, adding up to 1); empty where no calendar is known.

    Equal shares within the months of a harvest; of two harvests the first has .75. Every calendar is weak or medium.

    Examples
    --------
    >>> harvest_calendar("coffee", "NI").round(2).to_dict()  # December to March
    {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.0, 5: 0.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0, 10: 0.0, 11: 0.0, 12: 0.25}
    """
    rows = reference.table("calendars")
    rows = rows[(rows["crop"] == find_crop(crop).name) & (rows["country"] == country_code(country))]
    if rows.empty:
        return pd.Series([], index=pd.Index([], name="month", dtype=int), name="share", dtype=float)
    shares = rows.groupby("month")["share"].sum().reindex(range(1, 13), fill_value=0.0).rename_axis("month")
    return shares / shares.sum()


def months(
    totals: pd.DataFrame,
    calendar: "pd.Series[float]",
    season: str,
    *,
    start_month: int = 10,
    quantity: str = "potential",
) -> pd.DataFrame:
    """Kilograms of each cooperative in each month of a season, with log-normal totals and uncertain months.

    A month's share is Beta(κ π, κ (1 − π)), π its share in the calendar moved by a shift of N(0, .5 month) (9 nodes);
    the total is log-normal (15 Gauss–Hermite nodes over its logarithm). What leaves the season at one end by a shift
    comes in at the other, from the neighbouring season: so the months' means add up to the total. Quantiles do not.

    Parameters
    ----------
    totals : index cooperative_id; mean_kg, var (kg²), as `totals` returns them.
    calendar : share per calendar month, of `harvest_calendar`.
    season : such as "2026/27".
    start_month : calendar month in which the season begins.

    Returns
    -------
    DataFrame : cooperative_id, month (YYYY-MM), quantity, mean_kg, p10_kg, p50_kg, p90_kg; twelve rows per cooperative,
        in order; none without a calendar. A median of 0 means that the month more likely brings nothing.

    Examples
    --------
    >>> total = pd.DataFrame({"mean_kg": [1000.0], "var": [160000.0]}, index=["C"])
    >>> table = months(total, harvest_calendar("coffee", "HN"), "2026/27").round(0)
    >>> table.loc[3:4, ["month", "mean_kg", "p50_kg"]].to_numpy().tolist()
    [['2027-01', 167.0, 130.0], ['2027-02', 167.0, 130.0]]
    """
    first_year = parse_season(season)
    if calendar.empty or totals.empty:
        empty = pd.DataFrame({name: pd.Series(dtype="str" if name in COLUMNS[:3] else float) for name in COLUMNS})
        return empty[COLUMNS]
    numbers = [(start_month - 1 + step) % 12 + 1 for step in range(12)]
    names = [f"{first_year + (number < start_month):04d}-{number:02d}" for number in numbers]
    shares, weights = _shifted(calendar.reindex(numbers).to_numpy(float))
    mean, var = totals["mean_kg"].to_numpy(float), totals["var"].to_numpy(float)
    spread = np.sqrt(np.log1p(np.divide(var, mean**2, out=np.zeros_like(mean), where=mean > 0)))
    parts = []
    for name, share in zip(names, shares.T, strict=True):
        below = _below(share, weights)
        quantiles = {f"p{100 * q:.0f}_kg": mean * _quantile(q, spread, below) for q in (0.1, 0.5, 0.9)}
        month = {
            "cooperative_id": totals.index,
            "month": name,
            "quantity": quantity,
            "mean_kg": mean * (weights @ share),
        }
        parts.append(pd.DataFrame(month | quantiles))
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["cooperative_id", "month"], kind="stable", ignore_index=True)[COLUMNS]


def _shifted(shares: Floats) -> tuple[Floats, Floats]:
    """Shares of the twelve months for each shift of the season (nodes × 12), and the weights of the shifts."""
    nodes, weights = _normal_nodes(_SHIFT_NODES)
    rows = []
    for shift in SHIFT_MONTHS * nodes:
        whole = int(np.floor(shift))
        part = shift - whole
        rows.append((1 - part) * np.roll(shares, whole) + part * np.roll(shares, whole + 1))
    return np.array(rows), weights


def _normal_nodes(count: int) -> tuple[Floats, Floats]:
    """Nodes and weights that integrate over a standard normal variable."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


def _below(share: Floats, weights: Floats) -> Floats:
    """Probability that the month's share of the season is at most exp(_LOG_SHARES), over all shifts."""
    a = CONCENTRATION * share[:, None]
    inside = np.clip(a, 1e-12, CONCENTRATION - 1e-12)
    chance = betainc(inside, CONCENTRATION - inside, np.exp(_LOG_SHARES))
    chance = np.where(a <= 0, 1.0, chance)
    chance[:, -1] = 1.0
    return np.asarray(weights @ chance)


def _quantile(q: float, spread: Floats, below: Floats) -> Floats:
    """Quantile of share × total ÷ mean total, for log-normal totals of these log standard deviations."""
    nodes, weights = _normal_nodes(_TOTAL_NODES)
    log_total = spread[:, None] * nodes - spread[:, None] ** 2 / 2
    low = np.full(len(spread), _LOG_SHARES[0]) + log_total.min(axis=1, initial=0.0)
    high = log_total.max(axis=1, initial=0.0)
    nothing = below[0] >= q
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        reached = np.interp(middle[:, None] - log_total, _LOG_SHARES, below) @ weights >= q
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.zeros(len(spread)) if nothing else np.exp(high)
