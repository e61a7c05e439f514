"""What a reader found in one file, and its columns as texts, numbers and further attributes."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from geomap.findings import join_findings, make_findings
from geomap.plots.columns import ATTRIBUTE_NAMES
from geomap.plots.outlines import Outlines
from geomap.plots.quantities import QUANTITIES, column_quantity
from geomap.plots.values import attribute, cell_text, read_numbers, texts, unique_names

COMPUTED: Final = frozenset(
    "plot_id geometry area_ha area_sd_ha counted_area_ha kind nodata_ha outside_ha unknown_ha cell_area_m2 "
    "f p y_kg_ha g k productive_ha potential_kg potential_p10_kg potential_p50_kg potential_p90_kg "
    "supply_kg supply_p10_kg supply_p50_kg supply_p90_kg".split()
)
"""Names that later stages give; a column of the file that has one goes on with "_given" behind it."""

Faults = Callable[[Sequence[str]], pd.DataFrame]


@dataclass(frozen=True)
class Content:
    """What a reader found in one file.

    frame : columns as in the file, without geometry; index = 1-based row of the file.
    name : the file's name, for messages.
    outlines : shapes by position, where the format has them.
    has_crs : whether the reader already brought the shapes to EPSG:4326 from the CRS of the file.
    typed : whether the format tells numbers from texts.
    findings : what the reader itself has to say.
    row_notes : row of the file → code and message of what was found there.
    country : of the plots, two letters; "" where it is not given.
    labels : column → its name without what the format puts before it.
    hints : our name → column, where the format itself says so.
    source_rows : row of the file of each row, where one row of the file became several.
    """

    frame: pd.DataFrame
    name: str
    outlines: Outlines | None = None
    typed: bool = True
    findings: tuple[pd.DataFrame, ...] = ()
    row_notes: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    country: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    source_rows: tuple[int, ...] | None = None
    has_crs: bool = False

    @property
    def rows(self) -> tuple[int, ...]:
        """Row of the file of each row, from 1."""
        return self.source_rows if self.source_rows is not None else tuple(map(int, self.frame.index))


def number_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with row numbers from 1 as index, a named index as columns, and each column's name once."""
    kept = [level for level in frame.index.names if level is not None and level not in frame.columns]
    numbered = frame.reset_index(level=kept) if kept else frame.copy(deep=False)
    numbered.index = pd.RangeIndex(1, len(numbered) + 1)
    numbered.columns = pd.Index(unique_names([str(column) for column in numbered.columns]), dtype="str")
    return numbered


def text_column(frame: pd.DataFrame, column: str | None) -> pd.Series:
    values = [""] * len(frame) if column is None else texts(frame[column].to_numpy(dtype=object).tolist())
    return pd.Series(values, index=frame.index, dtype="str")


def number_columns(
    content: Content, found: Mapping[str, str], names: Sequence[str]
) -> tuple[dict[str, pd.Series], list[Faults]]:
    """Our columns of numbers, and for each a function of the rows' labels that gives its unreadable cells."""
    frame = content.frame
    columns: dict[str, pd.Series] = {}
    faults: list[Faults] = []
    for ours in names:
        if ours not in found:
            columns[ours] = pd.Series(math.nan, index=frame.index)
            continue
        column = frame[found[ours]]
        values = column.to_numpy() if column.dtype.kind in "iuf" else column.to_numpy(dtype=object)
        quantity = column_quantity(ours, found[ours], content.country)
        numbers, unread = read_numbers(values, quantity)
        columns[ours] = pd.Series(numbers, index=frame.index)
        cells = values.tolist() if unread else []
        messages = [
            f"{content.name}, row {content.rows[place]}: "
            f"{found[ours]!r} holds {cell_text(cells[place])[:60]!r}; {why}. It counts as missing. "
            f"{QUANTITIES[ours].todo}"
            for place, why in unread.items()
        ]
        faults.append(_fault_maker(list(unread), messages))
    return columns, faults


def _fault_maker(places: list[int], messages: list[str]) -> Faults:
    return lambda labels: make_findings("unreadable_value", [labels[place] for place in places], messages)


def row_findings(content: Content, labels: Sequence[str]) -> list[pd.DataFrame]:
    """What the reader found in single rows, under the rows' labels."""
    places = {row: place for place, row in enumerate(content.frame.index)}
    said = [(places[row], code, text) for row, (code, text) in sorted(content.row_notes.items()) if row in places]
    return [
        make_findings(code, [labels[place]], f"{content.name}, row {content.rows[place]}: {text}")
        for place, code, text in said
    ]


def cell_tables(content: Content) -> dict[str, pd.DataFrame]:
    """Cells as texts ("table"), those that the format says are numbers ("numbers", NaN elsewhere), and "findings"."""
    names = unique_names([content.labels.get(column, column) for column in content.frame.columns])
    index = pd.Index(content.rows, name="row", dtype="int64")
    columns = [content.frame[column].to_numpy(dtype=object).tolist() for column in content.frame]
    cells = dict(zip(names, columns, strict=True))
    said = join_findings([*content.findings, *row_findings(content, [""] * len(index))])
    return {
        "table": pd.DataFrame({name: pd.Series(texts(values), index, dtype="str") for name, values in cells.items()}),
        "numbers": pd.DataFrame({name: pd.Series(_typed(values), index) for name, values in cells.items()}),
        "findings": said,
    }


def _typed(values: list[object]) -> list[float]:
    if all(type(value) is str for value in values):
        return [math.nan] * len(values)
    return [float(v) if isinstance(v, int | float) and not isinstance(v, bool) else math.nan for v in values]


def attributes(content: Content, found: Mapping[str, str], own: set[str], ours: Sequence[str]) -> dict[str, pd.Series]:
    """All further columns under their own names; a name that is ours or computed later gets "_given" behind it."""
    renamed = {found[name]: name for name in ATTRIBUTE_NAMES if name in found}
    rest = [column for column in content.frame.columns if column not in own]
    taken = {*ours, *COMPUTED}
    labels = [renamed.get(column, content.labels.get(column, column)) for column in rest]
    labels = unique_names([f"{label}_given" if label.casefold() in taken else label for label in labels])
    return {
        label: attribute(content.frame[column], typed=content.typed) for label, column in zip(labels, rest, strict=True)
    }


def free_label(label: str, taken: set[str]) -> str:
    number = 2
    while f"{label}#{number}" in taken:
        number += 1
    taken.add(f"{label}#{number}")
    return f"{label}#{number}"


def content_order(rows: pd.DataFrame, extra: Sequence[object] = ()) -> list[int]:
    """Places of the rows in an order of their content alone."""
    keys: list[tuple[Hashable, ...]] = [tuple(map(str, row)) for row in rows.itertuples(index=False, name=None)]
    keys = [(*key, str(more)) for key, more in zip(keys, extra, strict=True)] if len(extra) else keys
    return sorted(range(len(keys)), key=lambda place: keys[place])
