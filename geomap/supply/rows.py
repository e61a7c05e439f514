"""Rows of weights: who, when, how much; what cannot be counted is left out and said, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import ColumnError
from geomap.findings import join_findings, make_findings
from geomap.plots.values import MISSING
from geomap.supply.crops import crop as find_crop
from geomap.supply.office import OfficeTable, Source, read_office_table, some
from geomap.supply.seasons import NO_SEASON, find_season, read_day, season_of
from geomap.supply.weigh import Wanted, Weighed, weigh
from geomap.supply.weights import wording

Objects = npt.NDArray[np.object_]
Dates = npt.NDArray[np.datetime64]

REMEDIES: Final = {
    "unreadable_value": "Write the kilograms as a number, for example 51.2, and the date as 2026-10-31.",
    "negative_kg": "If it takes back another row, delete both; else write it without the minus sign.",
    "product_form_unknown": "Write the form into the column's name (kg parchment) or into a column of its own.",
    "unit_unknown": "Ask the office, and write it into the settings of the cooperative, or give the kilograms.",
    "no_season": "Write the season as 2026/27; for deliveries the date will do too.",
    "repeated_delivery": "If both are true, give each the number of its receipt in a column of its own.",
    "delivered_nothing": "Leave a season out that was not recorded.",
}
"""What to do about a row that is left out, by its finding."""


@dataclass(frozen=True, eq=False)
class Times:
    """Date and season of each row; code and why where it has no season."""

    date: Dates
    season: Objects
    code: Objects
    why: Objects
    findings: pd.DataFrame


def when(table: OfficeTable, kg: npt.NDArray[np.float64], *, start_month: int | None, season: str = "") -> Times:
    """Date and season of each row: the season that the row names, else that of its date, else `season`.

    A date outside the season that the row names is a finding; the row counts in the season that it names.

    Parameters
    ----------
    kg : of each row, for the findings.
    start_month : calendar month in which a season begins; None where the date does not tell the season (an estimate or
        a signature before the harvest).
    season : of rows that tell neither season nor date; "" where there is none.
    """
    date, fault, notes = _dates(table)
    named = table.season_of_header
    if "season" in table.columns:
        told = table.columns["season"].each(
            lambda text: "" if text.lower() in MISSING else find_season(text) or NO_SEASON
        )
        named = np.where(named == "", told, named)
    by_date = np.full(len(table), "", dtype=object) if start_month is None else season_of(date, start_month)
    is_named = (named != "") & (named != NO_SEASON)
    found = np.where(is_named, named, np.where(by_date != "", by_date, season))
    missing = found == ""
    code = np.where(missing, np.where(fault != "", "unreadable_value", "no_season"), "")
    wrong = np.full(len(table), "", dtype=object)
    if "season" in table.columns:
        wrong = table.columns["season"].each(lambda text: f"{text[:60]!r} is no season, or could be two")
    why = np.where(
        missing & (named == NO_SEASON), wrong, np.where(fault != "", fault, "it names no season and no date")
    )
    parts = [
        notes,
        _kept(table, "unreadable_value", (fault != "") & ~missing, kg, "an unreadable date and count without it"),
        _kept(
            table,
            "no_season",
            (named == NO_SEASON) & ~missing,
            kg,
            "a season that does not exist and count in that of their date",
        ),
        _kept(
            table,
            "date_outside_season",
            is_named & (by_date != "") & (by_date != named),
            kg,
            "a date outside the season that they name, and count in the season that they name",
        ),
    ]
    return Times(date, found, code, np.where(missing, why, ""), join_findings(parts))


def read_rows(
    source: Source,
    names: Sequence[str],
    wanted: Wanted,
    *,
    members: pd.DataFrame | None,
    season: str = "",
    dates_tell: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of a file that count, as texts, dates and weights, and the findings.

    Parameters
    ----------
    names : our columns that the file may have; the first tells its rows.
    members : index member_id; cooperative_id: of rows that name a member and no cooperative.
    season : of rows that tell neither season nor date.
    dates_tell : whether a row's date tells its season.

    Returns
    -------
    DataFrame : row, cooperative_id, season, date, given_kg, given_form, kg, and a column of texts for each other name.
    DataFrame : findings.
    """
    words = wording(wanted.crop, wanted.tables)
    table, said = read_office_table(source, names, words)
    cooperatives = table.texts("cooperative_id")
    if members is not None:
        cooperatives = of_members(cooperatives, table.texts("member_id"), members["cooperative_id"].astype("str"))
    weighed = weigh(table, words, wanted, cooperatives)
    start_month = find_crop(wanted.crop, tables=wanted.tables).season_start_month
    times = when(table, weighed.kg, start_month=start_month if dates_tell else None, season=season)
    texts = {name: table.texts(name) for name in names if name not in {"kg", "form", "unit", "date"}}
    frame = weighed.frame(table.row, texts | {"cooperative_id": cooperatives, "season": times.season})
    rows, found = counted(table, weighed, times, frame.assign(date=times.date))
    return rows, join_findings([said, found])


def of_members(given: Objects, members: Objects, cooperatives: "pd.Series[str]") -> Objects:
    """Cooperative of each row: that of its member where it names none, or the only one that there is.

    Parameters
    ----------
    given : cooperative_id of each row, "" where none is named.
    cooperatives : cooperative_id by member_id.
    """
    known = cooperatives[~cooperatives.index.duplicated()]
    place = known.index.get_indexer(pd.Index(members, dtype="str"))
    names = np.append(known.to_numpy(dtype=object), "")
    own = names[place]
    found = np.where((place >= 0) & ((given == "") | (own == "")), own, given)
    distinct = set(known.tolist())
    if len(distinct) == 1:
        only = next(iter(distinct))
        found = np.where((found == "") | (only == ""), only, found)
    return found


def counted(
    table: OfficeTable, weighed: Weighed, times: Times, frame: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of `frame` that count, and a finding for each of those that do not; empty cells are no rows.

    Raises
    ------
    ColumnError : no row is left.
    """
    negative = weighed.given_kg < 0
    code = np.where(weighed.code != "", weighed.code, np.where(negative, "negative_kg", times.code))
    why = np.where(weighed.code != "", weighed.why, np.where(negative, "the quantity is below zero", times.why))
    blank = np.isnan(weighed.given_kg) & (weighed.code == "")
    out = (code != "") & ~blank
    findings = [left_out(table.name, frame[out], code[out], why[out], _said(weighed, out)), times.findings]
    findings += [_blank_note(table, blank), _mixed_note(table, weighed, out)]
    kept = frame[~out & ~blank].reset_index(drop=True)
    if kept.empty:
        reason = f" {str(why[out][0]).capitalize()}." if out.any() else ""
        todo = REMEDIES[str(code[out][0])] if out.any() else "Fill the column of kilograms."
        raise ColumnError(
            f"{table.name}: none of its {len(frame):,} rows can be counted.", why=reason.strip(), todo=todo
        )
    return kept, join_findings(findings)


def left_out(name: str, frame: pd.DataFrame, code: Objects, why: Objects, said: Objects) -> pd.DataFrame:
    """One finding per row that counts nowhere, with its row, quantity and kilograms."""
    parts = []
    for one in sorted(set(code.tolist())):
        of = code == one
        rows = zip(frame["row"][of].tolist(), said[of].tolist(), _whose(frame[of]), why[of].tolist(), strict=True)
        messages = [
            f"{name}, row {row}: {quantity}{who}: {reason}. The row counts nowhere. {REMEDIES[one]}"
            for row, quantity, who, reason in rows
        ]
        found = make_findings(one, [""] * len(messages), messages, action="left_out")
        parts.append(found.assign(effect_kg=-frame["kg"][of].to_numpy(float)))
    return join_findings(parts)


def _said(weighed: Weighed, which: npt.NDArray[np.bool_]) -> Objects:
    """Kilograms of some rows, or the quantity as it stands in the file where they cannot be told."""
    rows = zip(weighed.given_kg[which].tolist(), weighed.said[which].tolist(), strict=True)
    return np.array([f"{kg:,.6g} kg" if np.isfinite(kg) else repr(text[:60]) for kg, text in rows], dtype=object)


def _whose(frame: pd.DataFrame) -> list[str]:
    if "member_id" not in frame:
        return [""] * len(frame)
    return [f" of {member}" if member else "" for member in frame["member_id"].tolist()]


def _dates(table: OfficeTable) -> tuple[Dates, Objects, pd.DataFrame]:
    """Date of each row, why it cannot be read, and a note where an order was assumed."""
    nothing = make_findings("date_order", [], [])
    if "date" not in table.columns:
        return np.full(len(table), "NaT", dtype="datetime64[s]"), np.full(len(table), "", dtype=object), nothing
    column = table.columns["date"]
    texts, faults, is_assumed = read_day(column.distinct)
    dates = np.array([text or "NaT" for text in texts], dtype="datetime64[s]")[column.code]
    why = [
        f"its date {text!r} cannot be read: {faults[place]}" if place in faults else ""
        for place, text in enumerate(column.distinct)
    ]
    order = (
        f"{table.name}: nothing in the column {column.header!r} tells whether the day or the month comes first. "
        "The day was taken as first. Write dates as 2026-10-31 where that is wrong."
    )
    said = make_findings("date_order", [""], order) if is_assumed else nothing
    return dates, np.array(why, dtype=object)[column.code], said


def _kept(
    table: OfficeTable, code: str, which: npt.NDArray[np.bool_], kg: npt.NDArray[np.float64], what: str
) -> pd.DataFrame:
    """One finding for all rows that count though something is wrong with them."""
    if not which.any():
        return make_findings(code, [], [])
    message = (
        f"{table.name}: {int(which.sum()):,} rows with {np.nansum(kg[which]):,.0f} kg (rows {_numbers(table, which)}) "
        f"have {what}. {REMEDIES['no_season']}"
    )
    return make_findings(code, [""], message)


def _blank_note(table: OfficeTable, blank: npt.NDArray[np.bool_]) -> pd.DataFrame:
    if not blank.any():
        return make_findings("unreadable_value", [], [])
    message = (
        f"{table.name}: {int(blank.sum()):,} rows have no quantity (rows {_numbers(table, blank)}). "
        "They count as no delivery. Write 0 or the kilograms."
    )
    return make_findings("unreadable_value", [""], message, severity="note", action="left_out")


def _mixed_note(table: OfficeTable, weighed: Weighed, out: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """A note where cells of one column name several forms, and no column of forms says which is whose."""
    forms = sorted(set(weighed.given_form[~out].tolist()) - {""})
    if "form" in table.columns or len(forms) < 2:
        return make_findings("product_forms_mixed", [], [])
    message = (
        f"{table.name}: the column {table.kg.header!r} holds {', '.join(forms)}, and no column says which row is of "
        "which form. Each row was read as its cell says. Add a column of product forms."
    )
    return make_findings("product_forms_mixed", [""], message)


def _numbers(table: OfficeTable, which: npt.NDArray[np.bool_]) -> str:
    rows: Sequence[int] = table.row[which][:6].tolist()
    return some(rows)
