"""When the kilograms of a season come: monthly shares from the harvest calendar, with an interval."""

import re
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from geomap import reference
from geomap.errors import UnknownNameError
from geomap.supply.course import Floats, kilograms, month_names, shifted
from geomap.supply.crops import country_code
from geomap.supply.crops import crop as find_crop

if TYPE_CHECKING:
    from geomap.supply.crop_tables import CropTables

COLUMNS: Final = ["cooperative_id", "month", "quantity", "mean_kg", "p10_kg", "p50_kg", "p90_kg"]

CONCENTRATION: Final = 10.0
"""How sure the calendar is of a month's share (the a + b of its Beta distribution); weak.

A month that bears 1/6 of the crop on average bears between .04 and .33 of it in 8 seasons of 10.
"""

SHIFT_MONTHS: Final = 0.5
"""Standard deviation by which a harvest comes early or late, in months."""


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


def season_text(year: int) -> str:
    """A season by the year in which it begins.

    Examples
    --------
    >>> season_text(2026), season_text(1999)
    ('2026/27', '1999/00')
    """
    return f"{year}/{(year + 1) % 100:02d}"


def rows_of_crop(table: pd.DataFrame, crop: str) -> pd.DataFrame:
    """Rows of a reference table for this crop; those of its kind ("coffee" for "coffee-arabica") where it has none."""
    try:
        name = find_crop(crop).name
    except UnknownNameError:  # a crop of the user's own
        name = crop
    own = table[table["crop"] == name]
    return own if len(own) else table[table["crop"] == name.partition("-")[0]]


def harvest_calendar(crop: str, country: str, tables: "CropTables | None" = None) -> "pd.Series[float]":
    """Share of the year's crop per calendar month (1–12, adding up to 1); empty where no calendar is known.

    Equal shares within the months of a harvest; of two harvests the first has .75. Every calendar is weak or medium.

    Examples
    --------
    >>> harvest_calendar("coffee", "NI").round(2).to_dict()  # December to March
    {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.0, 5: 0.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0, 10: 0.0, 11: 0.0, 12: 0.25}
    """
    rows = reference.table("calendars") if tables is None else tables.calendars
    rows = rows_of_crop(rows[rows["country"] == country_code(country)], crop)
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
    the total is log-normal. What leaves the season at one end by a shift comes in at the other, from the neighbouring
    season: so the months' means add up to the total. Quantiles do not.

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
    names = season_months(season, start_month)
    if calendar.empty or totals.empty:
        return no_months()
    totals = totals.sort_index(kind="stable")
    own = calendar.reindex(season_numbers(start_month)).to_numpy(float)
    shares, weights = shifted(np.tile(own, (len(totals), 1)), SHIFT_MONTHS)
    mean, var = totals["mean_kg"].to_numpy(float), totals["var"].to_numpy(float)
    found = kilograms(shares, mean, var, weights=weights, concentration=np.full(len(totals), CONCENTRATION))
    means = mean[:, None] * np.einsum("n,cnm->cm", weights, shares)
    return month_table(totals.index, names, quantity, means, found)


def season_numbers(start_month: int) -> list[int]:
    """Calendar months (1–12) in the order of the season."""
    return [(start_month - 1 + step) % 12 + 1 for step in range(12)]


def season_months(season: str, start_month: int) -> tuple[str, ...]:
    """Names of the twelve months of a season.

    Examples
    --------
    >>> season_months("2026/27", 10)[::11]
    ('2026-10', '2027-09')
    """
    return month_names(f"{parse_season(season):04d}-{start_month:02d}", 12)


def month_table(
    cooperatives: pd.Index, names: tuple[str, ...], quantity: str, means: Floats, quantiles: Floats
) -> pd.DataFrame:
    """The monthly table from means (cooperatives, months) and P10, P50, P90 (3, cooperatives, months)."""
    count = len(cooperatives)
    columns = {
        "cooperative_id": np.repeat(cooperatives.to_numpy(dtype=object), len(names)),
        "month": np.tile(np.array(names, dtype=object), count),
        "quantity": quantity,
        "mean_kg": means.ravel(),
    }
    columns |= {name: values.ravel() for name, values in zip(COLUMNS[4:], quantiles, strict=True)}
    table = pd.DataFrame(columns, columns=COLUMNS)
    return table.astype(dict.fromkeys(COLUMNS[:3], "str"))


def no_months() -> pd.DataFrame:
    """The monthly table without a row."""
    return month_table(pd.Index([]), (), "", np.empty((0, 0)), np.empty((3, 0, 0)))
