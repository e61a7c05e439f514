"""ZIP archives of CSV tables as ODK Central exports them: the submissions and their repeats read as one table."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from geomap.errors import FileError
from geomap.plots.content import Content
from geomap.plots.kinds import empty, is_table
from geomap.plots.odk import join_repeats, without_groups
from geomap.plots.spreadsheet import read_csv
from geomap.plots.values import cell_text

_LINKS = ("_index", "_parent_index", "_parent_table_name")


def read_zipped_tables(path: Path, *, names: Sequence[str]) -> Content:
    """The one table of an archive, or its table of submissions with the repeats that hold the plots beside it.

    ODK Central writes `form.csv` with a column KEY, and for each repeat `form-repeat.csv` with KEY and PARENT_KEY.
    Photos and other files of the archive are not read.

    Parameters
    ----------
    path : the archive.
    names : our names; without outlines among them (members) the submissions alone are read.

    Raises
    ------
    FileError : nothing in it, or several tables that do not belong to one form.
    """
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if is_table(entry.filename) and entry.file_size]
        found = {
            PurePosixPath(entry.filename).stem: read_csv(
                archive.read(entry), name=PurePosixPath(entry.filename).name, names=names
            )
            for entry in sorted(entries, key=lambda entry: entry.filename)
        }
    if not found:
        raise empty(path.name)
    if len(found) == 1:
        return next(iter(found.values()))
    tables = _linked(found)
    mains = [name for name, table in tables.items() if "_parent_index" not in table.frame.columns]
    if len(mains) != 1 or any("_index" not in table.frame.columns for table in tables.values()):
        several = ", ".join(name[:60] for name in mains or tables)
        raise FileError(
            f"{path.name} holds several tables that do not belong to one form: {several}.",
            why="Taking one of them could leave plots out.",
            todo="Save the table that holds the plots in a file of its own.",
        )
    joined = join_repeats(tables, names) or tables[mains[0]]
    return replace(joined, frame=joined.frame.drop(columns=[link for link in _LINKS if link in joined.frame.columns]))


def _linked(tables: Mapping[str, Content]) -> dict[str, Content]:
    """The same tables with the columns by which `join_repeats` knows rows, in place of KEY and PARENT_KEY."""
    keys = {
        name: set(map(cell_text, table.frame["KEY"].tolist())) if "KEY" in table.frame.columns else set()
        for name, table in tables.items()
    }
    return {name: _with_links(table, keys) for name, table in tables.items()}


def _with_links(table: Content, keys: Mapping[str, set[str]]) -> Content:
    columns = list(map(str, table.frame.columns))
    frame = table.frame.rename(columns=without_groups(columns))
    if "KEY" not in frame.columns:
        return replace(table, frame=frame)
    frame = frame.assign(_index=frame["KEY"])
    if "PARENT_KEY" in frame.columns:
        parents = set(map(cell_text, frame["PARENT_KEY"].tolist()))
        parent = next((name for name, known in keys.items() if parents & known), "")
        frame = frame.assign(_parent_index=frame["PARENT_KEY"], _parent_table_name=parent)
        frame = frame.drop(columns=["KEY", "PARENT_KEY"])
    return replace(table, frame=frame)
