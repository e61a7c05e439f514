"""One page of the table beside a map. In the order of the ids it costs one page, however many plots there are; another
order, or a search, passes over the few columns that it needs, and what else a row tells is read for the page alone.
"""

import math
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from fastapi import Depends, Query
from sqlalchemy import ColumnElement, Table, case, func, or_, select

from api.models import Text
from api.pages.map_rows import Row, findings_of, graded, people_of, place_in, plots_of
from geomap.store import schema
from geomap.store.scope import Transaction

if TYPE_CHECKING:
    from geomap.outputs.tiles import TileIndex

Sort = Literal["plot", "member", "community", "ha", "kg", "findings"]
PAGE: Final = 50
GRADES: Final = ("", "note", "warn", "block")
_LONG: Final = {"p10_kg": "potential_p10_kg", "p90_kg": "potential_p90_kg"}


@dataclass(frozen=True)
class Wanted:
    """Which part of the table: after the plot that ended the page before, or before the one that began the next."""

    search: str = ""
    sort: Sort = "plot"
    down: bool = False
    after: str = ""
    before: str = ""

    @property
    def text(self) -> str:
        """What is searched for, as texts are compared."""
        return self.search.strip().casefold()

    @property
    def given(self) -> dict[str, str]:
        """What stands in the form and in addresses of other pages of the table."""
        return {
            "search": self.search,
            "sort": self.sort if self.sort != "plot" else "",
            "down": "1" if self.down else "",
        }


def _wanted(
    search: Annotated[str, Query(max_length=200)] = "",
    sort: Sort = "plot",
    *,
    down: bool = False,
    after: Annotated[Text, Query()] = "",
    before: Annotated[Text, Query()] = "",
) -> Wanted:
    return Wanted(search, sort, down, after, before)


WantedPart = Annotated[Wanted, Depends(_wanted)]
"""The dependency of the two maps: `?search=&sort=&down=&after=&before=`."""


@dataclass(frozen=True)
class Part:
    """A page of the table.

    Attributes
    ----------
    rows : of the page. size : how many there are on all pages. first : how many come before this page.
    """

    rows: Sequence[Row]
    size: int
    first: int

    @property
    def before(self) -> str:
        """The plot before which the page before ends; "" on the first page."""
        return str(self.rows[0]["plot_id"]) if self.first and self.rows else ""

    @property
    def after(self) -> str:
        """The plot after which the next page begins; "" on the last page."""
        return str(self.rows[-1]["plot_id"]) if self.rows and self.first + len(self.rows) < self.size else ""


# ---- for the office ----


def office_part(
    tx: Transaction, cooperative_id: str, run_id: str, wanted: Wanted, *, among: AbstractSet[str] | None = None
) -> Part:
    """A page of the plots as they stand today, or of a run, with names, findings and `place`.

    Parameters
    ----------
    run_id : "" for today. among : only these plots.
    """
    if wanted.sort == "plot" and not wanted.text and among is None:
        ids, size, first = _by_id(tx, cooperative_id, run_id, wanted)
    else:
        ordered = _ordered(tx, cooperative_id, run_id, wanted, among)
        ids, size, first = _cut(ordered, wanted)
    return Part(plots_of(tx, cooperative_id, run_id, ids), size, first)


def _table(cooperative_id: str, run_id: str) -> tuple[Table, tuple[ColumnElement[bool], ...]]:
    """Where the plots stand, and which of them."""
    table = schema.run_plots if run_id else schema.plots
    which = table.c.run_id == run_id if run_id else table.c.ended_at.is_(None)
    return table, (table.c.cooperative_id == cooperative_id, which)


def _by_id(tx: Transaction, cooperative_id: str, run_id: str, wanted: Wanted) -> tuple[list[str], int, int]:
    """Ids of a page in the order of the ids, how many there are, and how many come before."""
    table, own = _table(cooperative_id, run_id)
    column: Any = table.c.plot_id

    def found(bound: ColumnElement[bool] | None, *, down: bool) -> list[str]:
        asked = select(column).where(*own, *([] if bound is None else [bound]))
        return [row["plot_id"] for row in tx.fetch(asked.order_by(column.desc() if down else column).limit(PAGE))]

    def counted(*bounds: ColumnElement[bool]) -> int:
        return int(tx.fetch(select(func.count().label("plots")).select_from(table).where(*own, *bounds))[0]["plots"])

    beyond: Callable[[str], Any] = column.__lt__ if wanted.down else column.__gt__
    earlier: Callable[[str], Any] = column.__gt__ if wanted.down else column.__lt__
    ids: list[str] = []
    if wanted.before:
        ids = found(earlier(wanted.before), down=not wanted.down)[::-1]
    elif wanted.after:
        ids = found(beyond(wanted.after), down=wanted.down)
    if not ids or (wanted.before and len(ids) < PAGE):
        ids = found(None, down=wanted.down)
        return ids, counted(), 0
    return ids, counted(), counted(earlier(ids[0]))


def _cut(ids: Sequence[str], wanted: Wanted) -> tuple[list[str], int, int]:
    """Of all ids in their order those of the page, as `_by_id`; the first ones where the plot is no longer there."""
    first = 0
    if wanted.after in ids:
        first = (ids.index(wanted.after) + 1) % len(ids)
    elif wanted.before in ids:
        first = max(0, ids.index(wanted.before) - PAGE)
    return list(ids[first : first + PAGE]), len(ids), first


def _ordered(
    tx: Transaction, cooperative_id: str, run_id: str, wanted: Wanted, among: AbstractSet[str] | None
) -> list[str]:
    """Ids of all plots that hold the searched text, in their order; what is not known comes last either way."""
    read = _holding if wanted.text else _light
    rows = [row for row in read(tx, cooperative_id, run_id, wanted) if among is None or row["plot_id"] in among]
    if wanted.sort == "plot":
        return [row["plot_id"] for row in rows]
    key = _key(tx, cooperative_id, run_id, wanted.sort)
    known = [row for row in rows if key(row) is not None]
    known.sort(key=key, reverse=wanted.down)
    return [row["plot_id"] for row in (*known, *(row for row in rows if key(row) is None))]


def _key(tx: Transaction, cooperative_id: str, run_id: str, sort: Sort) -> Callable[[Row], Any]:
    """What rows of `_columns` are ordered by; None where it is not known."""
    if sort in ("ha", "kg"):
        return lambda row: row.get("number")
    if sort == "findings":
        found_on = graded(findings_of(tx, cooperative_id, run_id))
        return lambda row: found_on.get(row["plot_id"])
    people, nobody = people_of(tx, cooperative_id), {"name": "", "community": ""}
    if sort == "member":
        return lambda row: (people.get(row["member_id"], nobody)["name"] or row["member_id"]).casefold() or None
    return lambda row: (row["community"] or people.get(row["member_id"], nobody)["community"]).casefold() or None


def _light(tx: Transaction, cooperative_id: str, run_id: str, wanted: Wanted) -> list[Row]:
    """All plots by id, with what the order needs of the table itself."""
    table, own = _table(cooperative_id, run_id)
    order = table.c.plot_id.desc() if wanted.sort == "plot" and wanted.down else table.c.plot_id
    return [dict(row) for row in tx.fetch(select(*_columns(table, wanted.sort)).where(*own).order_by(order))]


def _holding(tx: Transaction, cooperative_id: str, run_id: str, wanted: Wanted) -> list[Row]:
    """The rows of `_light` that hold the searched text, or whose member's name or community does.

    SQLite knows capitals of A to Z alone: the database looks for any sign in the place of another one, and what it
    found is looked at again.
    """
    table, own = _table(cooperative_id, run_id)
    members, people, community = schema.members, schema.member_people, _community(table)
    same = [(one.c.cooperative_id == table.c.cooperative_id) & (one.c.member_id == table.c.member_id)
            for one in (members, people)]  # fmt: skip
    home = case((community == "", members.c.community), else_="")
    looked = (
        (table, [table.c.plot_id, table.c.member_id, community]),
        (table.join(members, same[0]).join(people, same[1]), [people.c.name, home]),
    )
    plain = wanted.text.replace("/", "//").replace("%", "/%").replace("_", "/_")
    pattern = f"%{''.join(sign if sign.isascii() else '_' for sign in plain)}%"
    rows: dict[str, Row] = {}
    for source, texts in looked:
        named = [text.label(f"text_{place}") for place, text in enumerate(texts)]
        held = or_(*(text.ilike(pattern, escape="/") for text in texts))
        for row in tx.fetch(select(*_columns(table, wanted.sort), *named).select_from(source).where(*own, held)):
            if any(wanted.text in (row[text.name] or "").casefold() for text in named):
                rows[row["plot_id"]] = dict(row)
    return [rows[plot_id] for plot_id in sorted(rows, reverse=wanted.sort == "plot" and wanted.down)]


def _columns(table: Table, sort: Sort) -> list[Any]:
    """What the order needs of the table: `community` or a `number` beside the ids."""
    number = {"ha": "area_ha", "kg": "potential_kg"}.get(sort, "")
    columns: list[Any] = [table.c.plot_id, table.c.member_id]
    if sort == "community":
        columns.append(_community(table).label("community"))
    elif number and table is schema.run_plots:
        columns.append(table.c.cells[number].as_float().label("number"))
    elif number in table.c:
        columns.append(table.c[number].label("number"))
    return columns


def _community(table: Table) -> ColumnElement[str]:
    """Of the plot itself; "" where it names none."""
    return func.coalesce(table.c.cells["community"].as_string(), "") if "cells" in table.c else table.c.community


# ---- for an analyst ----


def analyst_part(index: "TileIndex", wanted: Wanted) -> Part:
    """A page of the plots that an analyst may see, as the map has them: under pseudonyms, with no name or community."""
    import numpy as np
    import pyarrow.compute as pc

    plots, members = index.ids["plot_id"], index.ids["member_id"]
    order = pc.sort_indices(plots).to_numpy()
    if wanted.sort == "plot":
        order = order[::-1] if wanted.down else order
    elif (key := _number(index, wanted.sort)) is not None:
        order = order[np.argsort(-key[order] if wanted.down else key[order], kind="stable")]  # NaN comes last
    if wanted.text:
        held = [pc.match_substring(ids, wanted.text, ignore_case=True).to_numpy(zero_copy_only=False)
                for ids in (plots, members)]  # fmt: skip
        order = order[(held[0] | held[1])[order]]
    _, size, first = _cut(plots.take(order).to_pylist(), wanted)
    return Part([_analyst_row(index, int(row)) for row in order[first : first + PAGE]], size, first)


def analyst_plot(index: "TileIndex", plot_id: str) -> Row | None:
    """The row of one plot; None where there is none that may be seen."""
    import pyarrow.compute as pc

    row = pc.index(index.ids["plot_id"], plot_id).as_py()
    return None if row < 0 else _analyst_row(index, row)


def _number(index: "TileIndex", sort: str) -> Any:
    """What the rows are ordered by; None where an analyst is told nothing of it."""
    import numpy as np
    import pyarrow.compute as pc

    if sort == "findings":
        return np.where(index.finding > 0, index.finding, np.nan)
    if sort == "member":
        return pc.rank(index.ids["member_id"], tiebreaker="min").to_numpy().astype(float)
    return index.values.get({"ha": "area_ha", "kg": "potential_kg"}.get(sort, ""))


def _analyst_row(index: "TileIndex", row: int) -> Row:
    values = {_LONG.get(name, name): float(numbers[row]) for name, numbers in index.values.items()}
    worst = GRADES[index.finding[row]]
    return {
        **{name: texts[row].as_py() for name, texts in index.ids.items()},
        "name": "",
        "community": "",
        **{name: None if math.isnan(number) else number for name, number in values.items()},
        "worst": worst,
        "findings": 1 if worst else 0,
        "place": place_in(index, row),
    }
