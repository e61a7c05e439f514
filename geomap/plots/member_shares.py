"""Plots that several members share: family plots, sharecropping, rented land; by season."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError
from geomap.findings import join_findings, make_findings
from geomap.plots.columns import SHARE_NAMES, match_columns
from geomap.plots.content import Content, number_rows, text_column
from geomap.plots.dates import season_year
from geomap.plots.quantities import QUANTITIES
from geomap.plots.values import MISSING, cell_text, read_numbers

SHARE_COLUMNS: Final = ("plot_id", "member_id", "share", "season_from", "season_to", "row")
_FRACTION: Final = re.compile(r"(\d{1,2})\s*/\s*(\d{1,2})")
_OPEN: Final = (-math.inf, math.inf)


def read_shares(path: str | Path, *, mapping: Mapping[str, str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Who farms which plot with what share in which seasons, and the findings, from one file (CSV, TSV, XLSX).

    Parameters
    ----------
    path : a row for each plot and member, with plot_id, member_id and, where they are known, share, season_from and
        season_to (the first and the last season, such as 2024/25).
    mapping : their column → our column, where the names do not tell.

    Returns
    -------
    DataFrame : columns `SHARE_COLUMNS`: ids as text, share (0–1), season_from and season_to (the year in which the
        season starts; ±inf where open), row of the file.
    DataFrame : findings; their plot_id is the id as the file has it.

    Raises
    ------
    FileError : as `read_plots`. ColumnError : no plot ids or no member ids.
    """
    from geomap.plots.formats import read_table

    return shares_from(read_table(path, SHARE_NAMES), mapping=mapping)


def to_shares(
    frame: pd.DataFrame, *, mapping: Mapping[str, str] | None = None, name: str = "the table of shares"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As `read_shares`, from a table in memory.

    A share is a number from 0 to 1, a percentage or a fraction. What a plot's shares leave goes to its members without
    one, in equal parts. In each season the shares of a plot must add up to 1; others are scaled, with a finding.

    Examples
    --------
    >>> shares, _ = to_shares(pd.DataFrame({"plot_id": ["A", "A"], "member_id": ["M1", "M2"], "share": ["1/4", ""]}))
    >>> shares["share"].tolist()
    [0.25, 0.75]
    """
    return shares_from(Content(number_rows(pd.DataFrame(frame)), name), mapping=mapping)


def shares_from(content: Content, *, mapping: Mapping[str, str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As `to_shares`, from what a reader found."""
    frame, name = content.frame, content.name
    found = match_columns(list(frame.columns), SHARE_NAMES, mapping=mapping, file=name)
    for ours in ("plot_id", "member_id"):
        if ours not in found:
            raise ColumnError(
                f"{name} has no column {ours}.",
                why="Each row says which member farms which plot.",
                todo=f"Name the column with a mapping, for example --map COLUMN={ours}; it has: "
                f"{', '.join(map(str, frame.columns))}.",
            )
    plot, member = (text_column(frame, found[ours]) for ours in ("plot_id", "member_id"))
    share, faults = _shares(frame, found, plot, name)
    seasons, more = zip(
        *(_seasons(frame, found, ours, plot, name) for ours in ("season_from", "season_to")), strict=True
    )
    table = pd.DataFrame(
        {"plot_id": plot, "member_id": member, "share": share, "season_from": seasons[0], "season_to": seasons[1]}
    )
    table["row"] = np.array(content.rows, dtype="int64")
    named = (plot != "") & (member != "")
    lost = [
        f"{name}, row {row}: the plot or the member is missing. The row is not used." for row in table["row"][~named]
    ]
    notes = [make_findings("unreadable_value", plot[~named], lost), *faults, *more]
    table, filled = _filled(table[named].reset_index(drop=True), name)
    return table, join_findings([*content.findings, *notes, filled, check_shares(table, name=name)])


def check_shares(shares: pd.DataFrame, *, name: str = "the table of shares") -> pd.DataFrame:
    """Findings for plots whose shares do not add up to 1 in a season that the table names."""
    parts = []
    for plot, rows in shares.groupby("plot_id", sort=True):
        wrong = {
            season: total
            for season in _seasons_of(rows)
            if not math.isclose(total := float(_in_season(rows, season)["share"].sum()), 1.0, abs_tol=0.005)
        }
        if wrong:
            season, total = next(iter(wrong.items()))
            when = f" in {int(season)}/{int(season + 1) % 100:02d}" if math.isfinite(season) else ""
            message = (
                f"{name}: the shares of plot {plot!r} add up to {total:g}{when}, not to 1 ({len(rows)} rows). "
                "They were scaled so that they do. Ask the members how they divide the harvest."
            )
            parts.append(make_findings("shares_do_not_add_up", [str(plot)], message))
    return join_findings(parts)


def plot_shares(plots: pd.DataFrame, shares: pd.DataFrame | None, *, season: str | None = None) -> pd.DataFrame:
    """Who farms each plot in the season: one row per plot and member, shares of a plot adding up to 1.

    A plot that the table does not name in this season belongs to its own member_id alone. Without a season the table's
    rows without an end count.

    Parameters
    ----------
    plots : index plot_id; given_id, member_id.
    shares : as `read_shares` returns them; None for none.
    season : "2026/27".

    Returns
    -------
    DataFrame : columns plot_id (the index of `plots`), member_id, share; plots in their order, members sorted.

    Examples
    --------
    >>> plots = pd.DataFrame({"given_id": ["A", "B"], "member_id": ["M1", "M3"]}, index=["A", "B"])
    >>> shares, _ = to_shares(pd.DataFrame({"plot_id": ["A", "A"], "member_id": ["M1", "M2"], "share": [0.5, 0.5]}))
    >>> plot_shares(plots, shares).values.tolist()
    [['A', 'M1', 0.5], ['A', 'M2', 0.5], ['B', 'M3', 1.0]]
    """
    own = pd.DataFrame({"plot_id": plots.index.astype("str"), "member_id": plots["member_id"].to_numpy(), "share": 1.0})
    own["_place"] = range(len(own))
    if shares is None or shares.empty:
        return own.drop(columns="_place")
    now = _in_season(shares, season_year(season) if season else math.inf)
    now = now.groupby(["plot_id", "member_id"], sort=True, as_index=False)["share"].sum()
    now = now[now["share"] > 0]
    now["share"] /= now.groupby("plot_id")["share"].transform("sum")
    named = plots.index.to_series().where(plots.index.isin(shares["plot_id"]), plots["given_id"])
    given = pd.DataFrame({"plot_id": plots.index.astype("str"), "_given": named.to_numpy()})
    given["_place"] = range(len(given))
    shared = given.merge(now.rename(columns={"plot_id": "_given"}), on="_given")
    alone = own[~own["_place"].isin(shared["_place"])]
    table = pd.concat([alone, shared]).sort_values(["_place", "member_id"], kind="stable")
    return table[["plot_id", "member_id", "share"]].reset_index(drop=True)


def check_shared_plots(plots: pd.DataFrame, shares: pd.DataFrame, *, name: str = "the table of shares") -> pd.DataFrame:
    """Findings for plots that the table of shares names and the plots do not hold."""
    missing = sorted(set(shares["plot_id"]) - set(plots["given_id"]) - set(plots.index))
    messages = [
        f"{name} names plot {plot!r}, which is not in the plots file. Its shares count for nothing. "
        "Write the plot's id the same way in both files, or map the plot."
        for plot in missing
    ]
    return make_findings("share_without_plot", missing, messages)


def _shares(
    frame: pd.DataFrame, found: Mapping[str, str], plot: "pd.Series[str]", name: str
) -> tuple["pd.Series[float]", list[pd.DataFrame]]:
    if "share" not in found:
        return pd.Series(math.nan, index=frame.index), []
    values = [_fraction(value) for value in frame[found["share"]].tolist()]
    if _are_percent(values, plot):
        values = [
            value if isinstance(value, str) and "%" in value else f"{cell_text(value)} %" if cell_text(value) else value
            for value in values
        ]
    numbers, faults = read_numbers(values, QUANTITIES["share"])
    messages = [
        f"{name}, row {frame.index[place]}: {found['share']!r} holds {cell_text(values[place])[:60]!r}; {why}. "
        f"It counts as missing. {QUANTITIES['share'].todo}"
        for place, why in faults.items()
    ]
    notes = make_findings("unreadable_value", [plot.iloc[place] for place in faults], messages)
    return pd.Series(numbers, index=frame.index), [notes]


def _fraction(value: Any) -> Any:
    found = _FRACTION.fullmatch(cell_text(value))
    return int(found[1]) / int(found[2]) if found and int(found[2]) else value


def _are_percent(values: Iterable[Any], plot: "pd.Series[str]") -> bool:
    """Whether the shares of every plot add up to 100."""
    numbers, _ = read_numbers(list(values), QUANTITIES["hives"])
    sums = pd.Series(numbers, index=plot.index).groupby(plot).sum()
    return bool(len(sums)) and bool((abs(sums - 100) < 0.5).all())


def _seasons(
    frame: pd.DataFrame, found: Mapping[str, str], ours: str, plot: "pd.Series[str]", name: str
) -> tuple["pd.Series[float]", pd.DataFrame]:
    """Years in which seasons start; open where missing or unreadable."""
    open_end = _OPEN[ours == "season_to"]
    years = pd.Series(open_end, index=frame.index)
    places, messages = [], []
    for place, text in enumerate(text_column(frame, found.get(ours))):
        if text.lower() in MISSING:
            continue
        try:
            years.iloc[place] = season_year(text)
        except ValueError as error:
            places.append(place)
            messages.append(
                f"{name}, row {frame.index[place]}: {found[ours]!r} holds {text[:60]!r}; {error}. "
                "It counts as open. Write the season, for example 2026/27."
            )
    return years, make_findings("unreadable_value", [plot.iloc[place] for place in places], messages)


def _filled(shares: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Missing shares: what the others of the plot and its seasons leave, in equal parts."""
    shares = shares.copy()
    places = shares.index[shares["share"].isna()]
    short = []
    for plot, rows in shares[shares["plot_id"].isin(shares.loc[places, "plot_id"])].groupby("plot_id"):
        for place in rows.index[rows["share"].isna()]:
            year = rows.loc[place, "season_from"]
            same = _in_season(rows, year if math.isfinite(year) else rows.loc[place, "season_to"])
            left = max(0.0, 1.0 - float(same["share"].sum()))
            shares.loc[place, "share"] = left / max(1, int(same["share"].isna().sum()))
            if left <= 0:
                short.append(str(plot))
    words = f"{name}: the plot's other shares leave nothing for a member without a share. Write that member's share."
    return shares, make_findings("shares_do_not_add_up", sorted(set(short)), words)


def _in_season(rows: pd.DataFrame, year: float) -> pd.DataFrame:
    return rows[(rows["season_from"] <= year) & (rows["season_to"] >= year)]


def _seasons_of(rows: pd.DataFrame) -> list[float]:
    """A season of each stretch in which the plot's rows stay the same."""
    starts = {*rows["season_from"], *(rows["season_to"] + 1)} - {math.inf, -math.inf}
    if (rows["season_from"] == -math.inf).any():
        starts.add(min(starts, default=-math.inf) - 1)
    return sorted(year for year in starts if len(_in_season(rows, year)))
