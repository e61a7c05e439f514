"""All that a cooperative owns in the store, as open formats with a README: to take along, or to look at elsewhere."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Select, Table, select

from geomap.store import schema
from geomap.store.cooperatives import cooperative
from geomap.store.scope import Transaction

TABLES: Final[Mapping[str, str]] = {
    "members": "members: id, community, declared hectares, attributes",
    "member_people": "names and phones of members",
    "consents": "what members agreed to and took back",
    "imports": "files that were sent; the files themselves are not kept",
    "import_findings": "what was found in them",
    "plot_shares": "who farms which plot with what share",
    "deliveries": "deliveries as they were written; kg is of the form as given",
    "field_estimates": "what technicians expect",
    "commitments": "what members promised",
    "contracts": "what was sold",
    "decisions": "what people decided on findings",
    "runs": "estimations: parameters, inputs, versions, summary",
    "run_rows": "tables of the runs, row by row",
    "grants": "who was given access to what",
    "releases": "what buyers may see",
    "release_bases": "what the next release is judged by; not for others",
    "jobs": "runs that were asked for",
    "audit": "who looked at or changed what",
}
"""Table → what it holds; each a CSV file."""
_SHAPED: Final = ("plots", "run_plots")
_INSIDE: Final = frozenset({"worker"})
"""Columns that tell of the server and not of the cooperative."""
_BATCH: Final = 5_000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def export_cooperative(tx: Transaction, cooperative_id: str, folder: Path) -> list[Path]:
    """The files that were written into an empty folder: CSV in UTF-8, GeoJSON, the runs' own files, README.txt.

    Times are seconds since 1970. Cells that hold several values are JSON. Texts that a spreadsheet program would take
    for a formula have an apostrophe before them.

    Raises
    ------
    NotFoundError : no such cooperative within reach.
    """
    of = cooperative(tx, cooperative_id)
    path = folder / "cooperative.json"
    path.write_text(json.dumps(of, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    written = [path]
    for name in TABLES:
        table = schema.metadata.tables[name]
        written.append(_write_csv(_rows(tx, table, cooperative_id), table, folder / f"{name}.csv"))
    for name in _SHAPED:
        table = schema.metadata.tables[name]
        written.append(_write_geojson(_rows(tx, table, cooperative_id), folder / f"{name}.geojson"))
    written += _write_files(tx, cooperative_id, folder / "run_files")
    readme = folder / "README.txt"
    readme.write_text(_readme(of["code"]), encoding="utf-8", newline="\n")
    return [*written, readme]


def _rows(tx: Transaction, table: Table, cooperative_id: str) -> Iterator[Mapping[str, Any]]:
    """All rows of a cooperative in the order of the table's key, so many at a time."""
    keys = list(table.primary_key) or [table.c.member_id]
    found: Select[Any] = select(table).where(table.c.cooperative_id == cooperative_id).order_by(*keys).limit(_BATCH)
    start = 0
    while rows := tx.fetch(found.offset(start)):
        yield from (dict(row) for row in rows)
        start += len(rows)


def _write_csv(rows: Iterable[Mapping[str, Any]], table: Table, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [column.name for column in table.c if column.name not in _INSIDE]
        writer.writerow(names)
        writer.writerows([_cell(row[name]) for name in names] for row in rows)
    return path


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, float):
        return repr(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_geojson(rows: Iterable[Mapping[str, Any]], path: Path) -> Path:
    import shapely

    def feature(row: Mapping[str, Any]) -> str:
        shape = row["geometry"]
        outline = "null" if shape is None else shapely.to_geojson(shapely.from_wkb(shape))
        told = json.dumps({name: row[name] for name in row if name != "geometry"}, ensure_ascii=False)
        return f'{{"type": "Feature", "properties": {told}, "geometry": {outline}}}'

    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [\n')
        _write_joined(file.write, (feature(row) for row in rows))
        file.write("\n]}\n")
    return path


def _write_joined(write: Callable[[str], Any], lines: Iterable[str]) -> None:
    mark = ""
    for line in lines:
        write(mark + line)
        mark = ",\n"


def _write_files(tx: Transaction, cooperative_id: str, folder: Path) -> list[Path]:
    """Files of runs, one at a time; the names in the store are those that geomap gave."""
    table = schema.run_files
    names = select(table.c.run_id, table.c.name).where(table.c.cooperative_id == cooperative_id)
    written = []
    for row in tx.fetch(names.order_by(table.c.run_id, table.c.name)):
        of = (table.c.cooperative_id == cooperative_id, table.c.run_id == row["run_id"], table.c.name == row["name"])
        found = tx.first(select(table.c.content).where(*of))
        path = folder / row["run_id"] / Path(row["name"]).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if found is None else found["content"])
        written.append(path)
    return written


def _readme(code: str) -> str:
    lines = [
        f"All that the cooperative {code} has in this store.",
        "Times are seconds since 1970. Cells in {} or [] are JSON. Outlines are in longitude and latitude (WGS 84).",
        "An apostrophe before =, +, - or @ keeps a spreadsheet program from taking the text for a formula.",
        "",
        "cooperative.json: the cooperative and its settings",
        *(f"{name}.csv: {what}" for name, what in TABLES.items()),
        "plots.geojson: plots with all earlier versions; those that have no ended_at stand today",
        "run_plots.geojson: plots as each run left them",
        "run_files: pages and documents of each run, in a folder of its id",
    ]
    return "\n".join(lines) + "\n"
