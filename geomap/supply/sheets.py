"""Small tables of an office (settings, own yields, an own crop) as texts under our names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from geomap.findings import join_findings, make_findings
from geomap.plots.columns import match_columns
from geomap.plots.intake import take_in_table
from geomap.plots.quantities import Quantity
from geomap.plots.values import read_numbers


@dataclass(frozen=True)
class Sheet:
    """A table as texts.

    Attributes
    ----------
    frame : index row (of the file, from 1 below the header); a column of clean texts for each of our names that the
        file has. Rows in which all of these are empty are left out.
    name : the file's name, for messages.
    findings : what the reader has to say; columns that are none of ours ("unknown_column").
    """

    frame: pd.DataFrame
    name: str
    findings: pd.DataFrame

    def text(self, column: str) -> "pd.Series[str]":
        """Texts of a column; "" where the file has no such column."""
        if column in self.frame:
            return self.frame[column]
        return pd.Series("", index=self.frame.index, dtype="str")

    def numbers(self, column: str, quantity: Quantity) -> tuple["pd.Series[float]", pd.DataFrame]:
        """Numbers of a column, NaN where missing, and findings on cells that are none or are out of range."""
        values = self.text(column).to_numpy(dtype=object).tolist()
        found, faults = read_numbers(values, quantity)
        messages = [
            f"{self.name}, row {self.frame.index[place]}: {column} holds {values[place][:60]!r}; {why}. "
            f"It counts as missing. {quantity.todo}"
            for place, why in faults.items()
        ]
        series = pd.Series(np.asarray(found, dtype=float), index=self.frame.index)
        return series, make_findings("unreadable_value", [""] * len(messages), messages)


def read_sheet(path: str | Path, names: Sequence[str], *, mapping: Mapping[str, str] | None = None) -> Sheet:
    """The columns of `names` in a CSV or XLSX file. Columns are found by name, synonym or mapping.

    Parameters
    ----------
    path : the file; a workbook is opened in a child process (see `take_in_table`).
    names : our columns; the first is the id of the rows.
    mapping : their column → our column.

    Raises
    ------
    FileError : missing, empty, damaged or of another kind.
    ColumnError : two columns match one name, or the mapping names what is not there.
    """
    path = Path(path)
    given, _, said = take_in_table(path, names)
    columns = [str(column) for column in given.columns]
    found = match_columns(columns, names, mapping=mapping, file=path.name)
    ours = {name: found[name] for name in names if name in found}
    rest = [column for column in columns if column not in ours.values() and (given[column] != "").any()]
    messages = [f"{path.name}: the column {column[:60]!r} is none of: {', '.join(names)}." for column in rest]
    note = make_findings("unknown_column", [""] * len(messages), messages)
    frame = pd.DataFrame({name: given[column] for name, column in ours.items()}, index=given.index)
    return Sheet(frame[(frame != "").any(axis=1)], path.name, join_findings([said, note]))
