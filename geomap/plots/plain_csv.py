"""Large plain CSV files, fast: what is not plain through and through is left to the careful reader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from geomap.findings import make_findings
from geomap.plots.cells import HEADER_SEARCH, header_of
from geomap.plots.columns import matching_names

LEAST_BYTES: Final = 2_000_000
"""Smaller files are read with care at no cost."""

_NEVER_PLAIN: Final = b'"\x7f' + bytes(set(range(32)) - {9, 10, 13})
_C1: Final = r"[\x{80}-\x{9f}]"
_SUMS: Final = r"(?i)^\s*(sub[ -]?|sous[ -]?|gran |grand )?(tota|suma|somme|soma|jumla)"


def read_plain_csv(
    path: Path, names: Sequence[str], *, least_bytes: int = LEAST_BYTES
) -> dict[str, pd.DataFrame] | None:
    """Tables as `geomap.plots.content.cell_tables` gives them; None where the careful reader must look.

    Plain is: UTF-8, no quotes, the header in the first line, every row as long as the header, none of them empty or a
    sum of others.
    """
    if path.suffix.lower() != ".csv" or path.stat().st_size < least_bytes:
        return None
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    mark, labels = _header(data, names)
    if not labels or b"\r" in data or b"\n\n" in data or len(data.translate(None, _NEVER_PLAIN)) < len(data):
        return None
    try:
        table = pa.csv.read_csv(
            pa.py_buffer(data),
            read_options=pa.csv.ReadOptions(column_names=labels, skip_rows=1),
            parse_options=pa.csv.ParseOptions(delimiter=mark, quote_char=False),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(labels, pa.large_string())),
        )
    except pa.ArrowInvalid:
        return None
    columns = {name: _clean(table.column(name)) for name in labels}
    if not _is_plain(list(columns.values()), table.num_rows):
        return None
    index = pd.RangeIndex(1, table.num_rows + 1, name="row")
    frame = pd.DataFrame(
        {name: column.to_pandas().astype("str").array for name, column in columns.items()}, index=index
    )
    numbers = pd.DataFrame(np.nan, index=index, columns=frame.columns)
    return {"table": frame, "numbers": numbers, "findings": make_findings("encoding", [], [])}


def _header(data: bytes, names: Sequence[str]) -> tuple[str, list[str]]:
    """Delimiter and labels of the first line; no labels where it may not be the header."""
    try:
        head = [line.decode() for line in data[:100_000].splitlines()[:HEADER_SEARCH]]
    except UnicodeDecodeError:
        return "", []
    mark = max(",;\t|", key=head[0].count)
    rows = [[cell.strip() for cell in line.split(mark)] for line in head]
    labels = rows[0]
    is_clear = "" not in labels and len({label.casefold() for label in labels}) == len(labels) > 1
    if is_clear and header_of(rows, names)[0] == 0 and matching_names(labels, names) > 1:
        return mark, labels
    return "", []


def _is_plain(columns: Sequence[pa.ChunkedArray], rows: int) -> bool:
    """Whether no row is empty, or may be a sum of others, and no cell holds control letters."""
    if rows == 0:
        return False
    empty = np.array([pc.equal(column, "").to_numpy() for column in columns])
    if empty.all(axis=0).any() or 2 * (~empty[:, -1]).sum() <= len(columns):
        return False
    distinct = [pc.unique(column) for column in columns]
    found = [pc.match_substring_regex(column, pattern) for column in distinct for pattern in (_SUMS, _C1)]
    return not any(pc.any(one).as_py() for one in found)


def _clean(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts in Unicode NFC without outer spaces."""
    return pc.utf8_trim_whitespace(pc.utf8_normalize(column, form="NFC"))
