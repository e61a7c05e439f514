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
    text_column,
)

MEMBER_TEXTS: Final = ("cooperative_id", "name", "community")
MEMBER_COLUMNS: Final = (*MEMBER_TEXTS, "declared_area_ha")


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
    found = match_columns(list(frame.columns), MEMBER_NAMES, mapping=mapping, file=name)
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
    members, repeated = _merged(pd.DataFrame(columns, index=frame.index), ids, name)
    said = [fault([""] * len(frame)) for fault in faults]
    return members, join_findings([*content.findings, repeated, *said])


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
