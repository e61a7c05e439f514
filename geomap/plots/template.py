"""The office's template workbook, read back: each sheet says whose table it is, and its example row does not count.

A sheet of the template carries a mark such as "geomap:members" above its header. So one workbook can be given as the
file of plots, of members, of deliveries: each reader takes its own sheet, whatever the office did to the columns.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from geomap.findings import make_findings
from geomap.plots.columns import CONTRACT_NAMES, DELIVERY_NAMES, ESTIMATE_NAMES, MEMBER_NAMES, PLOT_NAMES
from geomap.plots.values import cell_text

SHEETS: Final[Mapping[str, tuple[str, ...]]] = {
    "members": MEMBER_NAMES,
    "plots": PLOT_NAMES,
    "field_estimates": ESTIMATE_NAMES,
    "deliveries": DELIVERY_NAMES,
    "contracts": CONTRACT_NAMES,
}
"""Kind of sheet → the names by which its reader asks for a table."""
EXAMPLE_WORDS: Final = ("example", "ejemplo", "exemple", "exemplo")
_MARK: Final = re.compile(rf"\bgeomap:({'|'.join(SHEETS)})\b")


def mark(kind: str) -> str:
    """What a sheet of this kind carries above its header."""
    return f"geomap:{kind}"


def marked_kind(rows: Sequence[Sequence[Any]]) -> str:
    """The kind that one of these rows is marked with; "" without a mark.

    Examples
    --------
    >>> marked_kind([["Socios · geomap:members", ""], ["Nombre"]]), marked_kind([["Socios"]])
    ('members', '')
    """
    found = (_MARK.search(cell) for row in rows for cell in row if isinstance(cell, str) and "geomap:" in cell)
    return next((match[1] for match in found if match), "")


def wanted_kind(names: Sequence[str]) -> str:
    """The kind of sheet that a reader with these names wants; "" for one that the template has no sheet for.

    Examples
    --------
    >>> wanted_kind(MEMBER_NAMES), wanted_kind(("plot_id", "member_id", "share"))
    ('members', '')
    """
    return next((kind for kind, own in SHEETS.items() if own == tuple(names)), "")


def without_examples(frame: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The rows of a sheet of the template that are no example, and a note on those left out.

    The first filled cell of an example says so: "Example: M-001".
    """
    cells = zip(*(frame[column].tolist() for column in frame.columns), strict=True)
    examples = [row for row, values in zip(frame.index, cells, strict=True) if _is_example(values)]
    if not examples:
        return frame, []
    message = (
        f"{name}: {len(examples)} rows of the template are marked as examples and were left out (row "
        f"{', '.join(map(str, examples[:10]))}). If one is real, take the word 'example' out of its first cell."
    )
    return frame.drop(index=examples), [make_findings("example_row", [""], message)]


def _is_example(row: Sequence[Any]) -> bool:
    first = next((text for text in map(cell_text, row) if text), "")
    return first.partition(":")[0].strip().casefold() in EXAMPLE_WORDS and ":" in first
