"""The table of members: one row per member, whatever the file repeats."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from geomap.errors import ColumnError
from geomap.findings import join_findings, make_findings
from geomap.plots.columns import MEMBER_NAMES, match_columns
from geomap.plots.content import (
    Content,
    attributes,
    content_order,
    free_label,
    number_columns,
    number_rows,
    row_findings,
    text_column,
)
from geomap.plots.dates import read_dates, season_days
from geomap.plots.names import check_lookalikes
from geomap.plots.values import cell_text

MEMBER_TEXTS: Final = ("cooperative_id", "name", "community")
MEMBER_COLUMNS: Final = (*MEMBER_TEXTS, "declared_area_ha")
DATES: Final = ("joined", "left", "suspended", "certified_from", "certified_until")


def to_members(
    frame: pd.DataFrame, *, mapping: Mapping[str, str] | None = None, name: str = "the table"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of members and the findings, from a table that is already in memory.

    Several different rows of one member become one: the areas are added, the rest is that of the first row (in an
    order of content). Equal rows count once. Rows with one id in two cooperatives are two members and block.

    Returns
    -------
    DataFrame : index member_id (unique), columns `MEMBER_COLUMNS`, then further attributes.
    DataFrame : findings; their plot_id is empty, the message names the member.

    Examples
    --------
    >>> members, _ = to_members(pd.DataFrame({"socio": ["A", "A", "B"], "ha": [1, 2, 4]}))
    >>> members["declared_area_ha"].to_dict()
    {'A': 3.0, 'B': 4.0}
    """
    return members_from(Content(number_rows(pd.DataFrame(frame)), name), mapping=mapping)


def members_from(content: Content, *, mapping: Mapping[str, str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As `to_members`, from what a reader found."""
    frame, name = content.frame, content.name
    found = match_columns(list(frame.columns), MEMBER_NAMES, mapping=mapping, file=name, labels=content.labels)
    if "member_id" not in found:
        raise ColumnError(
            f"{name} has no column of member ids.",
            why="Plots and deliveries find their member by its id.",
            todo=f"Name one of its columns with a mapping, for example --map {frame.columns[0]!r}=member_id; "
            f"it has: {', '.join(map(str, frame.columns))}.",
        )
    given = text_column(frame, found["member_id"])
    ids = given.where(given != "", pd.Series([f"row-{row}" for row in frame.index], index=frame.index, dtype="str"))
    columns = {ours: text_column(frame, found.get(ours)) for ours in MEMBER_TEXTS}
    numbers, faults = number_columns(content, found, ("declared_area_ha",))
    columns |= numbers
    own = {found[ours] for ours in ("member_id", *MEMBER_COLUMNS) if ours in found}
    columns |= attributes(content, found, own, MEMBER_COLUMNS)
    dated = [_dated(columns, ours, name) for ours in DATES if ours in columns]
    members, repeated = _merged(pd.DataFrame(columns, index=frame.index), ids, name)
    said = [fault([""] * len(frame)) for fault in faults] + row_findings(content, [""] * len(frame))
    alike = [check_lookalikes(ids, what="member id", name=name), *_lookalike_names(members, name)]
    return members, join_findings([*content.findings, repeated, *said, *dated, *alike])


def active_members(members: pd.DataFrame, season: str) -> pd.DataFrame:
    """The members who are members on at least one day of the season and not suspended before it starts.

    A season runs from October to September. A date that is missing is open: always joined, never left or suspended.

    Parameters
    ----------
    members : index member_id; where they are known, joined, left and suspended as ISO dates ("" where missing).
    season : "2026/27".

    Examples
    --------
    >>> members = pd.DataFrame({"left": ["", "2026-09-30", "2026-10-01"]}, index=["A", "B", "C"])
    >>> active_members(members, "2026/27").index.tolist()
    ['A', 'C']
    """
    first, last = season_days(season)
    active = pd.Series(True, index=members.index)
    for column in ("left", "suspended"):
        if column in members:
            dates = members[column].fillna("").astype("str")
            active &= (dates == "") | (dates >= first)
    if "joined" in members:
        active &= members["joined"].fillna("").astype("str") <= last
    return members[active]


def _dated(columns: dict[str, pd.Series], ours: str, name: str) -> pd.DataFrame:
    """Put ISO dates in place of a column's texts; what was not read, and the order that was assumed."""
    given = columns[ours]
    dates, faults, is_assumed = read_dates(given.tolist())
    columns[ours] = pd.Series(dates, index=given.index, dtype="str")
    messages = [
        f"{name}, row {given.index[place]}: {ours!r} holds {cell_text(given.iloc[place])[:60]!r}; {why}. "
        "It counts as missing. Write the date as 2026-10-31."
        for place, why in faults.items()
    ]
    order = (
        f"{name}: nothing in the column {ours!r} tells whether the day or the month comes first. "
        "The day was taken as first. Write dates as 2026-10-31 where that is wrong."
    )
    return join_findings(
        [
            make_findings("unreadable_value", [""] * len(faults), messages),
            make_findings("date_order", [""] * is_assumed, order),
        ]
    )


def _lookalike_names(members: pd.DataFrame, name: str) -> list[pd.DataFrame]:
    """Names that look alike within a cooperative."""
    groups = members["name"].groupby(members["cooperative_id"], sort=True)
    return [check_lookalikes(names, what="name", name=name) for _, names in groups]


def _merged(table: pd.DataFrame, ids: pd.Series, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per member: different rows of one id are added up, and said."""
    table = table.assign(_id=ids)
    double = table["_id"].duplicated(keep=False)
    groups = table[double].groupby("_id", sort=True).indices
    kept = dict(table.loc[~double, "_id"].items())
    areas: dict[int, float] = {}
    parts = []
    taken = set(ids)
    for label, places in groups.items():
        rows = table[double].iloc[places]
        rows = rows.iloc[content_order(rows)]
        for number, (cooperative, same) in enumerate(rows.groupby("cooperative_id", sort=True)):
            different = same.drop_duplicates()
            kept[same.index[0]] = str(label) if number == 0 else free_label(str(label), taken)
            areas[same.index[0]] = different["declared_area_ha"].sum(min_count=1)
            if number:
                parts.append(_shared_id(name, str(label), str(cooperative), kept[same.index[0]]))
            if len(same) > 1:
                parts.append(_added_rows(name, str(label), len(same), len(different)))
    members = table.drop(columns="_id").loc[sorted(kept)]
    members["declared_area_ha"] = members["declared_area_ha"].where(
        ~members.index.isin(list(areas)), pd.Series(areas, dtype=float).reindex(members.index)
    )
    members.index = pd.Index([kept[row] for row in sorted(kept)], name="member_id", dtype="str")
    return members, join_findings(parts)


def _shared_id(name: str, label: str, cooperative: str, new: str) -> pd.DataFrame:
    message = (
        f"{name}: the member id {label!r} stands in several cooperatives; that of {cooperative!r} goes on as {new!r}. "
        f"Plots of member {label!r} cannot be told apart. Make the ids unique, in the plots too."
    )
    return make_findings("repeated_id", [""], message, severity="block")


def _added_rows(name: str, label: str, rows: int, different: int) -> pd.DataFrame:
    message = (
        f"{name}: {rows} rows carry the member id {label!r}, {different} of them different. "
        "Their declared areas were added, equal rows counted once. Check that they are one person."
    )
    return make_findings("repeated_id", [""], message)
