"""Exports of ODK and Kobo: groups in headers, points in several columns, repeats on a sheet or in columns."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import pandas as pd

from geomap.errors import ColumnError, FileError
from geomap.plots.columns import could_be
from geomap.plots.content import Content
from geomap.plots.field_text import is_geopoint, looks_like_outline
from geomap.plots.values import cell_text, unique_names

META: Final = frozenset(
    "_uuid _submission_time _index _parent_index _validation_status _submitted_by __version__ instanceid key "
    "submissiondate formhub/uuid meta/instanceid _xform_id_string __id parent_key".split()
)
_POINT_PART: Final = re.compile(r"_?(?P<name>.+?)[_:-](?P<part>latitude|longitude|precision|accuracy)", re.IGNORECASE)
_BRACKETS: Final = re.compile(r"(?:.*/)?(?P<stem>[^/\[\]]+)\[(?P<number>\d{1,2})\]/(?:(?P=stem)/)?(?P<field>.+)")
_NUMBERED: Final = re.compile(
    r"(?P<point>_?)(?:.*/)?(?P<stem>[^\W\d_]+(?:_[^\W\d_]+)*?)[_ ]?(?P<number>\d{1,2})[_ /](?P<field>.*[^\W\d_].*)"
)
_SHAPES: Final = ("latitude", "longitude", "outline")
_PARENTS_OWN: Final = ("_index", "_parent_index", "_parent_table_name")


@dataclass(frozen=True)
class _Wide:
    """Columns of one repeat: field → number of the repeat → column."""

    stem: str
    fields: Mapping[str, Mapping[int, str]]

    @property
    def numbers(self) -> list[int]:
        return sorted({number for columns in self.fields.values() for number in columns})

    def columns(self, number: int) -> list[str]:
        return [columns[number] for columns in self.fields.values() if number in columns]


def is_export(columns: Sequence[str]) -> bool:
    """Whether a table comes from ODK or Kobo, by the columns that both add.

    Examples
    --------
    >>> is_export(["nombre", "_uuid", "_submission_time"]), is_export(["plot_id", "area"])
    (True, False)
    """
    keys = {column.casefold() for column in columns}
    return len(keys & META) >= 2 or bool(keys & {"_uuid", "_submission_time", "_parent_index", "meta/instanceid"})


def tidy(content: Content, *, mapping: Mapping[str, str] | None = None, wide: bool = True) -> Content:
    """The same table with a row per plot, and with labels and hints that say what its columns are.

    A column `parcela_1_area` or `parcelas[1]/area` stands for the first of several plots of one row; each plot becomes
    a row, a row without any plot stays one row. Group names before the last "/" are no part of a column's name. The
    columns `_gps_latitude`, `_gps_longitude` and `_gps_precision` of a point are its latitude, longitude and accuracy.

    Raises
    ------
    ColumnError : several points, no outline, and no mapping says which of them is the plot's.
    """
    if wide and (found := _wide(content.frame)):
        content = _long(content, found)
    columns = list(map(str, content.frame.columns))
    labels = without_groups(columns) if is_export(columns) else {}
    return replace(content, labels=labels, hints=_point_hints(content, labels, mapping or {}))


def join_repeats(tables: Mapping[str, Content], names: Sequence[str]) -> Content | None:
    """One row per repeat, with the columns of its submission beside it; None where no sheet of repeats holds plots.

    A submission without a repeat stays as a row of its own. The plots' ids are those of the form; where it has none,
    the member's id (or else that of the submission) and the number of the plot: "M-07-2".

    Parameters
    ----------
    tables : sheets with a column `_index`, by name.
    names : our names; without outlines among them (members) nothing is joined.

    Raises
    ------
    FileError : several sheets of repeats hold shapes.
    """
    repeats = {name: table for name, table in tables.items() if "_parent_index" in table.frame.columns}
    if "outline" not in names or not repeats:
        return None
    with_shapes = [name for name, table in repeats.items() if _has_shapes(table.frame)]
    mains = [name for name in tables if name not in repeats]
    if not with_shapes and not any(_has_shapes(tables[name].frame) for name in mains):
        with_shapes = [name for name, table in repeats.items() if _has_area(table.frame)]
    if len(with_shapes) > 1:
        raise FileError(
            f"{tables[with_shapes[0]].name} has several sheets of repeats with plots: {', '.join(with_shapes)}.",
            why="Taking one of them could leave plots out.",
            todo="Save the submissions with the repeats of the plots alone in a file of their own.",
        )
    if not with_shapes:
        return None
    joined, owners = _joined(tables, with_shapes[0])
    return _with_ids(joined, *owners)


_Owners: TypeAlias = tuple[list[int | None], list[bool]]
"""For each row the place of its submission, and whether it holds a repeat."""


def _joined(tables: Mapping[str, Content], name: str, below: frozenset[str] = frozenset()) -> tuple[Content, _Owners]:
    child = tables[name]
    parent_name = _parent_name(child.frame, tables, name)
    parent = tables[parent_name]
    if "_parent_index" in parent.frame.columns and parent_name not in below:
        parent = _joined(tables, parent_name, below | {name})[0]
    index = parent.frame["_index"].map(cell_text)
    number = child.frame["_parent_index"].map(cell_text)
    places = {key: place for place, key in enumerate(index)}
    repeats: dict[int | None, list[int | None]] = {place: [] for place in range(len(index))} | {None: []}
    for place, key in enumerate(number):
        repeats[places.get(key)].append(place)
    pairs = [(top, low) for top, lows in repeats.items() for low in (lows or ([] if top is None else [None]))]
    return _side_by_side(parent, child, pairs)


def _parent_name(frame: pd.DataFrame, tables: Mapping[str, Content], name: str) -> str:
    said = [cell_text(value) for value in frame.get("_parent_table_name", pd.Series(dtype=object)).tolist()]
    named = next((text for text in said if text), "")
    # a sheet's name has at most 31 letters
    match = [other for other in tables if other != name and (other == named or other[:31] == named[:31])]
    mains = [other for other, table in tables.items() if "_parent_index" not in table.frame.columns]
    if match or mains:
        return (match or mains)[0]
    raise FileError(
        f"{tables[name].name} has the repeats {name!r}, but not the sheet of their submissions.",
        why="The members' names and ids stand there.",
        todo="Export the form again with all its sheets.",
    )


def _side_by_side(
    parent: Content, child: Content, pairs: Sequence[tuple[int | None, int | None]]
) -> tuple[Content, _Owners]:
    ours = [str(column) for column in child.frame.columns if not str(column).startswith("_submission_")]
    theirs = [str(column) for column in parent.frame.columns if column not in _PARENTS_OWN]
    lows, tops = [low for _, low in pairs], [top for top, _ in pairs]
    columns = [_taken(child.frame[column], lows) for column in ours]
    columns += [_taken(parent.frame[column], tops) for column in theirs]
    frame = pd.DataFrame({place: pd.Series(values, dtype=object) for place, values in enumerate(columns)})
    frame = frame.set_axis(pd.RangeIndex(1, len(pairs) + 1))
    frame.columns = pd.Index(unique_names([*ours, *theirs]), dtype="str")
    theirs_row = parent.rows
    ours_row = child.rows
    rows = [ours_row[low] if low is not None else theirs_row[top or 0] for top, low in pairs]
    notes = {
        at: (child.row_notes[child.frame.index[low]])
        for at, low in enumerate(lows, start=1)
        if low is not None and child.frame.index[low] in child.row_notes
    }
    found = (*parent.findings, *child.findings)
    joined = replace(child, frame=frame, source_rows=tuple(rows), findings=found, row_notes=notes)
    return joined, (tops, [low is not None for low in lows])


def _taken(column: "pd.Series[Any]", places: Sequence[int | None]) -> list[Any]:
    values = column.tolist()
    return [None if place is None else values[place] for place in places]


def _with_ids(content: Content, owners: Sequence[int | None], has_plot: Sequence[bool]) -> Content:
    """A column of plot ids where the form has none: the member's id or the submission's, and the plot's number."""
    frame = content.frame
    last = {str(column): str(column).rpartition("/")[2] for column in frame.columns}
    if any(could_be(label, ("plot_id",)) and not label.startswith("_") for label in last.values()):
        return content
    members = [column for column, label in last.items() if could_be(label, ("member_id",))]
    keys = [*members[:1], *(column for column in ("_id", "_uuid", "KEY") if column in frame.columns)]
    cells = [list(map(cell_text, frame[column].tolist())) for column in keys]
    counts: dict[str, int] = {}
    ids = []
    for place, owner in enumerate(owners):
        key = next((column[place] for column in cells if column[place]), f"submission-{owner}")
        counts[key] = counts.get(key, 0) + has_plot[place]
        ids.append(f"{key}-{counts[key]}" if has_plot[place] else key)
    return replace(content, frame=frame.assign(plot_id=pd.Series(ids, index=frame.index, dtype=object)))


def _has_shapes(frame: pd.DataFrame) -> bool:
    return any(_is_shape(str(column), frame[column]) for column in frame.columns)


def _is_shape(label: str, values: "pd.Series[Any]") -> bool:
    if could_be(label.rpartition("/")[2], _SHAPES) or _POINT_PART.fullmatch(label.rpartition("/")[2]):
        return True
    first = next((text for text in map(cell_text, values.tolist()) if text), "")
    return looks_like_outline(first) or is_geopoint(first)


def _has_area(frame: pd.DataFrame) -> bool:
    return any(could_be(str(column).rpartition("/")[2], ("declared_area_ha",)) for column in frame.columns)


def _wide(frame: pd.DataFrame) -> _Wide | None:
    """The repeat in columns that holds shapes and counts from 1."""
    stems: dict[str, dict[str, dict[int, str]]] = {}
    bracketed = set()
    for column in map(str, frame.columns):
        found = _BRACKETS.fullmatch(column) or _NUMBERED.fullmatch(column)
        if found:
            stem = found["stem"].casefold()
            field = found.groupdict().get("point") or ""
            stems.setdefault(stem, {}).setdefault(field + found["field"], {})[int(found["number"])] = column
            bracketed |= {stem} if "[" in column else set()
    for stem, fields in stems.items():
        wide = _Wide(stem, fields)
        counts_up = wide.numbers == list(range(1, len(wide.numbers) + 1))
        shapes = any(_is_shape(field, frame[column]) for field, one in fields.items() for column in one.values())
        if counts_up and shapes and (len(wide.numbers) > 1 or stem in bracketed or could_be(stem, ("plot_id",))):
            return wide
    return None


def _long(content: Content, wide: _Wide) -> Content:
    """One row for each repeat that holds anything."""
    frame = content.frame
    repeated = {column for columns in wide.fields.values() for column in columns.values()}
    shared = [str(column) for column in frame.columns if column not in repeated]
    cells = {column: frame[column].tolist() for column in map(str, frame.columns)}
    pairs: list[tuple[int, int]] = []  # 0 stands for a row without any
    for place in range(len(frame)):
        filled = [number for number in wide.numbers if any(cell_text(cells[at][place]) for at in wide.columns(number))]
        pairs += [(place, number) for number in filled] or [(place, 0)]
    columns = [[cells[column][place] for place, _ in pairs] for column in shared]
    columns += [
        [cells[one[number]][place] if number in one else None for place, number in pairs]
        for one in wide.fields.values()
    ]
    table = pd.DataFrame({at: pd.Series(values, dtype=object) for at, values in enumerate(columns)})
    table = table.set_axis(pd.RangeIndex(1, len(pairs) + 1))
    names = unique_names(
        [*(f"submission {label}" if label in wide.fields else label for label in shared), *wide.fields]
    )
    table.columns = pd.Index(names, dtype="str")
    given = content.rows
    rows = tuple(given[place] for place, _ in pairs)
    notes = {
        at: content.row_notes[frame.index[place]]
        for at, (place, _) in enumerate(pairs, start=1)
        if frame.index[place] in content.row_notes
    }
    long = replace(content, frame=table, source_rows=rows, row_notes=notes)
    return _with_ids(long, [place for place, _ in pairs], [number > 0 for _, number in pairs])


def without_groups(columns: Sequence[str]) -> dict[str, str]:
    """Column → its name without groups, where no other column then has the same."""
    keys = {column.casefold() for column in columns}
    central = {"submissiondate", "key"} <= keys or {"parent_key", "key"} <= keys
    split: Callable[[str], str] = lambda column: re.split(r"[/-]" if central else "/", column)[-1]  # noqa: E731
    short = {column: split(column) if not _POINT_PART.fullmatch(column) else column for column in columns}
    counts = pd.Series(list(short.values())).str.casefold().value_counts()
    return {column: label for column, label in short.items() if label != column and counts[label.casefold()] == 1}


def _point_hints(content: Content, labels: Mapping[str, str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Our name → column, from the columns that a form's point is exported to."""
    columns = list(map(str, content.frame.columns))
    own = set(map(str.casefold, labels.values()))
    if any(column.casefold() in {"latitude", "lat"} for column in columns) or {"latitude", "lat"} & own:
        return {}
    points: dict[str, dict[str, str]] = {}
    for column in columns:
        found = _POINT_PART.fullmatch(column)
        if found and (column.startswith("_") or found[0][len(found["name"])] in ":-"):
            points.setdefault(found["name"].casefold(), {})[found["part"].lower()] = column
    points = {name: parts for name, parts in points.items() if {"latitude", "longitude"} <= parts.keys()}
    plots = [name for name in points if could_be(name.rpartition("/")[2], ("plot_id", "outline"))]
    chosen = plots if len(plots) == 1 else list(points)
    if len(chosen) == 1:
        parts = points[chosen[0]]
        accuracy = parts.get("precision") or parts.get("accuracy")
        return {
            "latitude": parts["latitude"],
            "longitude": parts["longitude"],
            **({"gps_accuracy_m": accuracy} if accuracy else {}),
        }
    if points and "latitude" not in mapping.values() and not _has_outlines(content.frame):
        one = points[chosen[0]]
        raise ColumnError(
            f"{content.name} holds several points: {', '.join(chosen)}.",
            why="Only one of them is the place of the plot.",
            todo=f"Say which, for example --map {one['latitude']}=latitude --map {one['longitude']}=longitude.",
        )
    return {}


def _has_outlines(frame: pd.DataFrame) -> bool:
    firsts = (next((text for text in map(cell_text, frame[column].tolist()) if text), "") for column in frame.columns)
    return any(map(looks_like_outline, firsts))
