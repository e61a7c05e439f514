"""Files of plots and members, taken in through a disposable child process; uploads also within caps."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import pandas as pd
import shapely

from geomap.errors import FileError
from geomap.plots.archives import BLOCK, Room, copy_archive, require_no_doctype, too_large
from geomap.plots.kinds import KINDS, ZIPPED_TABLES, is_table, require_kind
from geomap.plots.members import MEMBER_COLUMNS
from geomap.plots.table import PLOT_COLUMNS
from geomap.plots.wkb import require_shallow
from geomap.sandbox import Limits, ReaderFailedError, run

WITHOUT_GDAL: Final = frozenset({"GeoJSON", "CSV", "GPX", "Excel workbook", "GeoParquet"})
"""Kinds that Python and pyarrow read; no reader of theirs knows how to open a connection."""

MEDIA_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "application/geo+json": frozenset({"GeoJSON"}),
    "application/json": frozenset({"GeoJSON"}),
    "text/csv": frozenset({"CSV"}),
    "text/plain": frozenset({"CSV"}),
    "text/tab-separated-values": frozenset({"CSV"}),
    "application/vnd.ms-excel": frozenset({"CSV", "Excel workbook"}),  # what Windows says of a .csv
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": frozenset({"Excel workbook"}),
    "application/vnd.google-earth.kml+xml": frozenset({"KML"}),
    "application/vnd.google-earth.kmz": frozenset({"KMZ"}),
    "application/gpx+xml": frozenset({"GPX"}),
    "application/xml": frozenset({"KML", "GPX"}),
    "text/xml": frozenset({"KML", "GPX"}),
    "application/zip": frozenset({"zipped Shapefile"}),
    "application/x-zip-compressed": frozenset({"zipped Shapefile"}),
    "application/geopackage+sqlite3": frozenset({"GeoPackage"}),
    "application/vnd.apache.parquet": frozenset({"GeoParquet"}),
}
"""Media types and what they may turn out to hold."""
SAYS_NOTHING: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})

SHAPEFILE_PARTS: Final = (".shp", ".shx", ".dbf", ".prj", ".cpg")
WAL_VERSION: Final = 2


@dataclass(frozen=True)
class Caps:
    """What an upload may hold. Own files of the command line have no caps on counts.

    Corners of one plot are no cap of the file: a plot of more than 10,000 is a finding.
    """

    file_bytes: int = 50_000_000
    entries: int = 100
    unpacked_bytes: int = 500_000_000
    workbook_bytes: int = 100_000_000
    ratio: float = 200.0
    plots: int = 200_000
    vertices: int = 5_000_000
    columns: int = 64
    text: int = 1_000


UPLOAD_CAPS: Final = Caps()
UPLOAD_LIMITS: Final = Limits()


def take_in(
    path: Path,
    *,
    declared: str | None = None,
    mapping: Mapping[str, str] | None = None,
    uploads: bool = False,
    **options: Any,
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """The table of plots and the findings of one file, as `read_plots` gives them, read where it can do no harm.

    A child process reads the file and hands back a table; see `geomap.sandbox`. Only the user's own GeoParquet, CSV
    and GeoJSON are read in place.

    Parameters
    ----------
    path : the file. It is a file on this disk and nothing else: no address, no database, no driver's prefix.
    declared : what the sender calls it: an ending (".geojson") or a media type. Name, content and this must agree.
    mapping : their column → our column.
    uploads : the file is a stranger's: every kind goes through the child, within `UPLOAD_CAPS`.
    options : further keywords of `read_plots`, made of what JSON knows.

    Raises
    ------
    ReaderFailedError : the file made its reader crash, hang, or need more than it may.
    FileTooLargeError : an upload holds more than it may. ArchiveError : a ZIP archive is not plain.
    FileError, ColumnError, CrsError : as `read_plots`.
    """
    path = Path(path)
    if not uploads and KINDS.get(path.suffix.lower()) in _IN_PLACE:
        from geomap.plots.formats import read_plots

        _require_declared(path, declared)
        return read_plots(path, mapping=mapping, **options)
    tables = _through_child(path, "plots", declared=declared, mapping=mapping, uploads=uploads, options=options)
    return _plots(tables["table"], path), tables["findings"]


def take_in_members(
    path: Path,
    *,
    declared: str | None = None,
    mapping: Mapping[str, str] | None = None,
    uploads: bool = False,
    **options: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of members and the findings of one file, as `read_members` gives them; see `take_in`."""
    path = Path(path)
    if not uploads and KINDS.get(path.suffix.lower()) in _IN_PLACE:
        from geomap.plots.formats import read_members

        _require_declared(path, declared)
        return read_members(path, mapping=mapping, **options)
    tables = _through_child(path, "members", declared=declared, mapping=mapping, uploads=uploads, options=options)
    return tables["table"], tables["findings"]


def take_in_table(
    path: Path, names: Sequence[str], *, declared: str | None = None, uploads: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The cells of an office's table, whatever it is about: texts, numbers and findings; see `take_in`.

    Parameters
    ----------
    names : our names, which tell the header and the sheet of a workbook.

    Returns
    -------
    DataFrame : every cell as clean text ("" where empty), columns named as in the file, index = row of the file.
    DataFrame : the same index and columns; cells that the format itself says are numbers, NaN elsewhere.
    DataFrame : findings.
    """
    path = Path(path)
    if not uploads and KINDS.get(path.suffix.lower()) in _IN_PLACE:
        _require_declared(path, declared)
        tables = _plain(path, names) or _cells(path, names)
    else:
        options = {"names": list(names)}
        tables = _through_child(path, "table", declared=declared, mapping=None, uploads=uploads, options=options)
    return tables["table"], tables["numbers"], tables["findings"]


def _plain(path: Path, names: Sequence[str]) -> dict[str, pd.DataFrame] | None:
    """A large CSV file that is plain through and through, fast."""
    from geomap.plots.plain_csv import read_plain_csv

    return read_plain_csv(path, names) if path.is_file() else None


def _cells(path: Path, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    from geomap.plots.content import cell_tables
    from geomap.plots.formats import read_table

    return cell_tables(read_table(path, names))


_IN_PLACE: Final = frozenset({"GeoParquet", "GeoJSON", "CSV"})


# ---- the parent's side ----


def _through_child(
    path: Path, what: str, *, declared: str | None, mapping: Mapping[str, str] | None, uploads: bool, options: Any
) -> dict[str, pd.DataFrame]:
    if not path.is_file():
        require_kind(path)  # says that it is missing, or a folder
    if uploads and path.stat().st_size > UPLOAD_CAPS.file_bytes:
        raise too_large(path.name, f"{path.stat().st_size / 1e6:,.0f} MB", f"{UPLOAD_CAPS.file_bytes / 1e6:,.0f} MB")
    given = {
        "what": what,
        "declared": declared,
        "mapping": None if mapping is None else dict(mapping),
        "caps": asdict(UPLOAD_CAPS) if uploads else None,
        "options": options,
    }
    return run(
        "geomap.plots.intake:read_here",
        path,
        limits=UPLOAD_LIMITS if uploads else _own_limits(),
        options=given,
        beside=() if uploads else _beside(path),
        needs_no_network=KINDS.get(path.suffix.lower()) not in WITHOUT_GDAL,
    )


def _own_limits() -> Limits:
    """For the user's own files: three quarters of the machine's memory, and an hour."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    except (AttributeError, ValueError, OSError):  # no sysconf on Windows
        memory = 2**33
    return Limits(
        memory_bytes=max(memory, UPLOAD_LIMITS.memory_bytes),
        cpu_s=3_600,
        wall_s=3_600.0,
        file_bytes=2**36,
        answer_bytes=2**35,
    )


def _beside(path: Path) -> list[Path]:
    """Files that belong to this one: parts of a Shapefile, the journal of a GeoPackage that is open elsewhere."""
    kind = KINDS.get(path.suffix.lower())
    if kind == "Shapefile":
        parts = (entry for entry in path.parent.iterdir() if entry.stem == path.stem)
        return sorted(entry for entry in parts if entry.suffix.lower() in SHAPEFILE_PARTS)
    journal = path.with_name(f"{path.name}-wal")
    return [journal] if kind == "GeoPackage" and journal.is_file() else []


def _plots(table: pd.DataFrame, path: Path) -> gpd.GeoDataFrame:
    """Plots with shapes again. The child read a stranger's file, so what it says is looked at before it is built."""
    wkb = table["geometry"].tolist()
    try:
        require_shallow(wkb, most=2)
        shapes = shapely.from_wkb(wkb)
    except (ValueError, TypeError, shapely.GEOSException) as error:
        raise ReaderFailedError(f"{path.name} made its reader fail.", todo="Export it again.") from error
    return gpd.GeoDataFrame(
        table.drop(columns="geometry"), geometry=gpd.GeoSeries(shapes, index=table.index, crs="EPSG:4326")
    )


# ---- the child's side ----


def read_here(
    path: Path,
    folder: Path,
    *,
    what: str,
    declared: str | None,
    mapping: Mapping[str, str] | None,
    caps: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> dict[str, pd.DataFrame]:
    """Tables "table" and "findings" of a file, read in this process; `take_in` calls it in the child."""
    from geomap.plots.formats import read_members, read_plots

    most = None if caps is None else Caps(**caps)
    if KINDS.get(path.suffix.lower()) in {"KML", "GPX"} and path.is_file():
        _look_through(path)
    kind = require_kind(path)
    _require_declared(path, declared)
    source = _tamed(path, folder, kind, most)
    if what == "table":
        tables = _cells(source, options["names"])
        if most is not None:
            _require_within(path, tables["table"], most)
        return tables
    if what == "members":
        table, findings = read_members(source, mapping=mapping, **options)
    else:
        plots, findings = read_plots(source, mapping=mapping, **options)
        table = pd.DataFrame(plots.drop(columns="geometry")).assign(
            geometry=pd.Series(shapely.to_wkb(plots.geometry.to_numpy()).tolist(), index=plots.index, dtype=object)
        )
        if most is not None:
            _require_vertices(path, plots, most)
    if most is not None:
        _require_within(path, table, most)
    return {"table": table, "findings": findings}


def _require_declared(path: Path, declared: str | None) -> None:
    """Raise where the sender calls the file something else than its name does; its content is judged elsewhere."""
    if declared is None:
        return
    word = declared.partition(";")[0].strip().lower()
    if word in SAYS_NOTHING:
        return
    meant = {KINDS[word]} if word in KINDS else MEDIA_TYPES.get(word, frozenset())
    if KINDS.get(path.suffix.lower()) not in meant:
        raise FileError(
            f"{path.name} was sent as {word[:80]}, which does not fit its name.",
            why="A file that is not what it says is not opened.",
            todo="Send it under its own type, or export it again.",
        )


def _tamed(path: Path, folder: Path, kind: str, caps: Caps | None) -> Path:
    """What is to be read instead of the file itself: archives are copied, the rest is looked through."""
    target = folder / path.name
    if kind == "zipped Shapefile":
        return copy_archive(path, target, wanted=_is_part, room=_room(caps))
    if kind == ZIPPED_TABLES:
        return copy_archive(path, target, wanted=is_table, room=_room(caps))
    if kind == "KMZ":
        return copy_archive(path, target, wanted=lambda name: name.endswith(".kml"), room=_room(caps))
    if kind == "Excel workbook":
        return copy_archive(path, target, wanted=_is_sheet, room=_room(caps, workbook=True), may_nest=True)
    if kind == "GeoPackage" and _has_journal(path):
        shutil.copyfile(path, target)
        for journal in _beside(path):
            shutil.copyfile(journal, folder / journal.name)
        return target
    if kind == "GeoParquet" and caps is not None:
        _require_shallow(path, caps)
    return path


def _room(caps: Caps | None, *, workbook: bool = False) -> Room | None:
    if caps is None:
        return None
    return Room(caps.entries, caps.workbook_bytes if workbook else caps.unpacked_bytes, caps.ratio)


def _is_part(name: str) -> bool:
    return name.endswith(SHAPEFILE_PARTS) and not name.startswith("__macosx/")


def _is_sheet(name: str) -> bool:
    return name.endswith((".xml", ".rels")) and not name.startswith(("xl/embeddings/", "xl/media/"))


def _look_through(path: Path) -> None:
    tail = b""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            require_no_doctype(tail + block, path.name)
            tail = block[-40:]


def _has_journal(path: Path) -> bool:
    """Whether SQLite would write beside the file while it reads it."""
    with path.open("rb") as stream:
        return WAL_VERSION in stream.read(20)[18:20]


def _require_shallow(path: Path, caps: Caps) -> None:
    """A GeoParquet file within the caps whose shapes are nested at most four levels deep."""
    import pyarrow as pa
    import pyarrow.parquet

    from geomap.plots.layers import unreadable

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows > caps.plots:
                raise too_large(path.name, f"{file.metadata.num_rows:,} rows", f"{caps.plots:,}")
            if len(file.schema_arrow.names) > 2 * caps.columns:
                raise too_large(path.name, f"{len(file.schema_arrow.names):,} columns", str(caps.columns))
            types = zip(file.schema_arrow.names, file.schema_arrow.types, strict=True)
            binary = [name for name, kind in types if pa.types.is_binary(kind) or pa.types.is_large_binary(kind)]
            for batch in file.iter_batches(columns=binary) if binary else ():
                for column in batch.columns:
                    require_shallow(column.to_pylist())
    except (pa.ArrowException, ValueError, OSError) as error:
        raise unreadable(path.name, "GeoParquet") from error


def _require_vertices(path: Path, plots: gpd.GeoDataFrame, caps: Caps) -> None:
    vertices = int(shapely.get_num_coordinates(plots.geometry.to_numpy()).sum())
    if vertices > caps.vertices:
        raise too_large(path.name, f"{vertices:,} corners", f"{caps.vertices:,}")


def _require_within(path: Path, table: pd.DataFrame, caps: Caps) -> None:
    if len(table) > caps.plots:
        raise too_large(path.name, f"{len(table):,} rows", f"{caps.plots:,}")
    further = set(table.columns) - {*PLOT_COLUMNS, *MEMBER_COLUMNS, "geometry"}
    if len(further) > caps.columns:
        raise too_large(path.name, f"{len(further):,} further columns", f"{caps.columns:,}")
    for column in table.select_dtypes("str"):
        longest = int(table[column].str.len().max() or 0) if len(table) else 0
        if longest > caps.text:
            raise too_large(path.name, f"a text of {longest:,} letters in {column[:60]!r}", f"{caps.text:,}")
