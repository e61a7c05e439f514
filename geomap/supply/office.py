"""Tables as offices keep them: which column holds the kilograms, whose they are, of what form, of when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import ColumnError
from geomap.plots.columns import match_columns
from geomap.plots.intake import take_in_table
from geomap.supply.seasons import NO_SEASON, find_season
from geomap.supply.weights import Wording

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Column:
    """One column: each distinct cell once, and which of them each row holds.

    number : cells that the format itself says are numbers; NaN elsewhere.
    """

    header: str
    code: Codes
    distinct: list[str]
    number: Floats

    @classmethod
    def of(cls, header: str, text: "pd.Series[str]", number: "pd.Series[float]") -> "Column":
        code, distinct = pd.factorize(text.to_numpy(dtype=object))
        return cls(header, code.astype(np.int64), [str(value) for value in distinct], number.to_numpy(float))

    def each(self, make: Callable[[str], Any], dtype: Any = object) -> npt.NDArray[Any]:
        """What `make` makes of each row's text; called once per distinct text."""
        return np.array([make(text) for text in self.distinct], dtype=dtype)[self.code]

    def texts(self) -> Objects:
        return np.array(self.distinct, dtype=object)[self.code]


@dataclass(frozen=True, eq=False)
class OfficeTable:
    """Columns of one file under our names; where seasons stand side by side, one row per season.

    row : number of each row in the file, from 1 below the header.
    kg : header and cells of the kilograms.
    season_of_header : season of each row where the columns are seasons; "" elsewhere.
    kg_is_named : whether the mapping or the column's name says kilograms; its numbers then need no other unit.
    """

    name: str
    row: Codes
    columns: Mapping[str, Column]
    kg: Column
    season_of_header: Objects
    kg_is_named: bool

    def __len__(self) -> int:
        return len(self.row)

    def texts(self, ours: str) -> Objects:
        """Text of each row in one of our columns; "" where the file has no such column."""
        return self.columns[ours].texts() if ours in self.columns else np.full(len(self), "", dtype=object)


@dataclass(frozen=True)
class Source:
    """A file, their column → our column where the names do not tell, and whether a stranger sent it as what."""

    path: Path
    mapping: Mapping[str, str] | None = None
    declared: str | None = None
    uploads: bool = False


def read_office_table(source: Source, names: Sequence[str], wording: Wording) -> tuple[OfficeTable, pd.DataFrame]:
    """The table in a file and what was found while reading it.

    The kilograms stand in the column that the mapping or its name says, else in the one whose name is made of units,
    product forms and words for a weight ("qq pergamino", "Peso neto (lb)"), else in columns named by seasons.

    Raises
    ------
    ColumnError : no column of kilograms, or several that could be.
    FileError : the file cannot be read.
    """
    text, number, findings = take_in_table(source.path, names, declared=source.declared, uploads=source.uploads)
    file, headers = source.path.name, [str(column) for column in text.columns]
    found = match_columns(headers, names, mapping=source.mapping, file=file)
    made = {ours: Column.of(header, text[header], number[header]) for ours, header in found.items() if ours != "kg"}
    if "community" in headers and "season" not in made:  # sheets of a workbook that are named by seasons
        sheets = Column.of("community", text["community"], number["community"])
        if all(find_season(sheet) not in ("", NO_SEASON) for sheet in sheets.distinct):
            made["season"] = sheets
    row = text.index.to_numpy(np.int64)
    free = [header for header in headers if header not in found.values()]
    seasons = {header: find_season(header) for header in free}
    wide = {header: season for header, season in seasons.items() if season not in ("", NO_SEASON)}
    header = found.get("kg")
    if header is None and len(wide) < 2:
        header = _weight_column([one for one in free if one not in wide], wording, file)
    if header is not None:
        kg = Column.of(header, text[header], number[header])
        nothing = np.full(len(row), "", dtype=object)
        return OfficeTable(file, row, made, kg, nothing, "kg" in found), findings
    if not wide:
        raise _no_weight(file, headers)
    along = OfficeTable(file, row, made, Column.of("", text.iloc[:, 0], number.iloc[:, 0]), row.astype(object), False)
    return _side_by_side(along, text[list(wide)], number[list(wide)], list(wide.values())), findings


def _weight_column(headers: Sequence[str], wording: Wording, file: str) -> str | None:
    """The column whose name is all of units, forms and words for a weight; None without one."""
    could = [header for header in headers if wording.is_weight(header)]
    named = [header for header in could if wording.header_unit(header)] or could
    if len(named) > 1:
        raise ColumnError(
            f"{file}: the columns {' and '.join(map(repr, named))} could all hold the kilograms.",
            why="One may be the other in another form or unit; both together would count twice.",
            todo=f'Say which one with a mapping, for example --map "{named[0]}=kg".',
        )
    return named[0] if named else None


def _no_weight(file: str, headers: Sequence[str]) -> ColumnError:
    return ColumnError(
        f"{file} has no column of kilograms.",
        why="Without a quantity nothing can be counted.",
        todo=f'Name one of its columns with a mapping, for example --map "{headers[0]}=kg"; '
        f"it has: {', '.join(headers)}.",
    )


def _side_by_side(along: OfficeTable, text: pd.DataFrame, number: pd.DataFrame, seasons: Sequence[str]) -> OfficeTable:
    """One row per row of the file and season, where each season has a column; empty cells are no rows."""
    place, season = np.nonzero((text != "").to_numpy())
    cells = pd.Series(text.to_numpy(dtype=object)[place, season], dtype="str")
    kg = Column.of(" ".join(map(str, text.columns)), cells, pd.Series(number.to_numpy(float)[place, season]))
    columns = {
        ours: Column(column.header, column.code[place], column.distinct, column.number[place])
        for ours, column in along.columns.items()
        if ours != "season"
    }
    return OfficeTable(along.name, along.row[place], columns, kg, np.array(seasons, dtype=object)[season], False)


def some(values: Sequence[Any], most: int = 5) -> str:
    """The first few values, for a message.

    Examples
    --------
    >>> some(["a", "b", "c"], most=2)
    'a, b …'
    """
    return ", ".join(str(value) for value in values[:most]) + (" …" if len(values) > most else "")
