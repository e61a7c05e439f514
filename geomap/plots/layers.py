"""Files with layers: GeoPackage, Shapefile and KML through GDAL, GeoParquet through pyarrow; all end in EPSG:4326."""

import codecs
import json
import re
import sqlite3
import warnings
import zipfile
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray

from geomap.errors import FileError
from geomap.findings import make_findings
from geomap.plots.content import Content, number_rows
from geomap.plots.kinds import HEAD_BYTES, markup_kind
from geomap.plots.outlines import Outlines, settle, to_lonlat
from geomap.plots.spreadsheet import encoding_note
from geomap.plots.utm import crs_named, require_metres
from geomap.plots.values import clean_text

KML_OWN = frozenset(
    "description timestamp begin end altitudemode tessellate extrude visibility draworder icon snippet".split()
)
SHAPEFILE_PARTS = (".shp", ".shx", ".dbf")
BROKEN = "its shape is broken, or a ring of it does not close"


def read_geopackage(path: Path, *, crs: str | None = None) -> Content:
    """The layer of polygons of a GeoPackage; views are not read, only tables that the file declares as features."""
    name = path.name
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            layers = store.execute(
                "SELECT c.table_name, upper(g.geometry_type_name) FROM gpkg_contents c"
                " JOIN gpkg_geometry_columns g ON g.table_name = c.table_name"
                " JOIN sqlite_master m ON m.name = c.table_name AND m.type = 'table'"
                " WHERE c.data_type = 'features' ORDER BY c.table_name"
            ).fetchall()
            several = [(str(layer), str(kind)) for layer, kind in layers]
            rows = {layer: store.execute(f"SELECT 1 FROM {_quoted(layer)} LIMIT 1").fetchone() for layer, _ in several}
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise unreadable(name, "GeoPackage") from error
    layer = _layer_of_plots([pair for pair in several if rows[pair[0]]] or several, name)
    frame, shapes, own = _read_layer(path, name, "GeoPackage", layer=layer)
    return _content(frame, shapes, own, name, crs=crs)


def read_shapefile(path: Path, *, crs: str | None = None) -> Content:
    """A Shapefile with its parts beside it: .shx and .dbf must be there, .prj names the CRS, .cpg the encoding.

    A `crs` that is given counts, whatever .prj says.
    """
    beside = {entry.suffix.lower(): entry for entry in path.parent.iterdir() if entry.stem == path.stem}
    _require_parts(set(beside), path.name)
    heads = {suffix: _head(beside[suffix].open("rb")) for suffix in SHAPEFILE_PARTS}
    _require_whole({suffix: (beside[suffix].stat().st_size, head) for suffix, head in heads.items()}, path.name)
    encoding = beside[".cpg"].read_bytes()[:64] if ".cpg" in beside else b""
    return _shapefile(path, path.name, encoding, crs)


def read_zipped_shapefile(path: Path, *, crs: str | None = None) -> Content:
    """The one Shapefile in a ZIP archive."""
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.namelist() if not entry.startswith("__MACOSX")]
        shapefiles = [entry for entry in entries if entry.lower().endswith(".shp")]
        if len(shapefiles) != 1:
            raise _several(path.name, "Shapefiles", [PurePosixPath(entry).name for entry in shapefiles])
        stem = shapefiles[0][:-4]
        beside = {entry[-4:].lower(): entry for entry in entries if entry[:-4] == stem}
        _require_parts(set(beside), path.name)
        heads = {suffix: _head(archive.open(beside[suffix])) for suffix in SHAPEFILE_PARTS}
        sizes = {suffix: archive.getinfo(beside[suffix]).file_size for suffix in SHAPEFILE_PARTS}
        _require_whole({suffix: (sizes[suffix], head) for suffix, head in heads.items()}, path.name)
        encoding = archive.open(beside[".cpg"]).read(64) if ".cpg" in beside else b""
    return _shapefile(f"/vsizip/{{{path.resolve()}}}/{shapefiles[0]}", path.name, encoding, crs)


def read_kml(path: Path, *, crs: str | None = None) -> Content:
    """All placemarks of a KML or KMZ file, folder after folder; their names are ids where nothing better is there."""
    name = path.name
    source = _kml_in_archive(path) if zipfile.is_zipfile(path) else path
    try:
        layers = [str(layer) for layer in pyogrio.list_layers(source)[:, 0]]
    except pyogrio.errors.DataSourceError as error:
        raise unreadable(name, "KML") from error
    parts = [_read_layer(source, name, "KML", layer=layer) for layer in layers]
    if not parts:
        raise unreadable(name, "KML")
    frames = [
        _kml_columns(frame).assign(**({"folder": layer} if len(layers) > 1 else {}))
        for (frame, _, _), layer in zip(parts, layers, strict=True)
    ]
    shapes = np.concatenate([shapes for _, shapes, _ in parts])
    return _content(pd.concat(frames, ignore_index=True), shapes, "EPSG:4326", name, crs=crs)


def _kml_in_archive(path: Path) -> str:
    """GDAL's name of the one document in a KMZ; opened as such, because its KMZ reader drops the plots' own data."""
    with zipfile.ZipFile(path) as archive:
        documents = [entry for entry in archive.namelist() if entry.lower().endswith(".kml")]
        if len(documents) != 1:
            raise _several(path.name, "KML documents", documents)
        with archive.open(documents[0]) as stream:
            held = markup_kind(stream.read(HEAD_BYTES).decode("utf-8-sig", errors="replace"))
    if held != "KML":
        raise FileError(
            f"{path.name} is named as KMZ but its document is an {held}.",
            why="A file that is not what it says is not opened.",
            todo="Export it again as KML or KMZ.",
        )
    return f"/vsizip/{{{path.resolve()}}}/{documents[0]}"


def read_geoparquet(path: Path, *, crs: str | None = None) -> Content:
    """A GeoParquet file (1.0, 1.1, 2.0), read in place; a plain Parquet table is one without shapes."""
    try:
        schema = pyarrow.parquet.read_schema(path)
        has_shapes = b"geo" in (schema.metadata or {}) or _shape_column(schema) is not None
        frame = _geoparquet(path, schema) if has_shapes else pd.read_parquet(path)
        for column in frame.select_dtypes("str"):
            frame[column].to_numpy(dtype=object)  # raises where the bytes are no text, which Arrow does not look at
    except Exception as error:
        raise unreadable(path.name, "GeoParquet") from error
    if not has_shapes:
        return Content(number_rows(frame), path.name)
    own = frame.geometry.crs
    geometry = frame.geometry.set_crs(crs_named(crs), allow_override=True) if crs else frame.geometry
    notes = tuple(_crs_note(own, crs, path.name))
    outlines = _settled(geometry, path.name)
    return Content(
        number_rows(pd.DataFrame(frame.drop(columns=frame.geometry.name))), path.name, outlines, findings=notes
    )


def _geoparquet(path: Path, schema: pyarrow.Schema) -> gpd.GeoDataFrame:
    """The file by its metadata, else by the type of its column of shapes (native in GeoParquet 2.0)."""
    field = _shape_column(schema)
    if b"geo" in (schema.metadata or {}) or field is None:
        return gpd.read_parquet(path)
    frame = pd.read_parquet(path)
    said = json.loads(field.metadata.get(b"ARROW:extension:metadata", b"{}") or b"{}").get("crs", "OGC:CRS84")
    return gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries.from_wkb(frame[field.name], crs=crs_named(said)))


def _shape_column(schema: pyarrow.Schema) -> pyarrow.Field | None:
    """The column whose type says that it holds shapes as WKB."""
    return next(
        (field for field in schema if (field.metadata or {}).get(b"ARROW:extension:name") == b"geoarrow.wkb"), None
    )


def unreadable(name: str, kind: str) -> FileError:
    return FileError(
        f"{name} could not be read as {kind}.",
        why="It seems cut off or damaged, so no plot of it can be trusted.",
        todo="Export or copy it again.",
    )


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _layer_of_plots(layers: list[tuple[str, str]], name: str) -> str:
    """The one layer that holds polygons, or the one layer there is."""
    polygons = [layer for layer, kind in layers if "POLYGON" in kind or kind == "MULTISURFACE"]
    chosen = polygons or [layer for layer, _ in layers]
    if len(chosen) != 1:
        raise _several(name, "layers", chosen)
    return chosen[0]


def _several(name: str, what: str, found: list[str]) -> FileError:
    names = ", ".join(clean_text(label)[:60] for label in found)
    return FileError(
        f"{name} holds {len(found)} {what} that could hold the plots{': ' + names if names else ''}.",
        why="Taking one of them could leave plots out, or count them twice.",
        todo="Save the plots alone in a file of their own.",
    )


def _require_parts(suffixes: set[str], name: str) -> None:
    missing = [suffix for suffix in SHAPEFILE_PARTS if suffix not in suffixes]
    if missing:
        raise FileError(
            f"{name} is a Shapefile without its {' and '.join(missing)} part.",
            why="A Shapefile is several files; ids and values are in .dbf, the order of the shapes in .shx.",
            todo="Copy all parts (.shp, .shx, .dbf, .prj, .cpg) together, best as one .zip.",
        )


def _head(stream: IO[bytes]) -> bytes:
    with stream:
        return stream.read(32)


def _require_whole(parts: dict[str, tuple[int, bytes]], name: str) -> None:
    """Each part is as long as it says, and all count the same rows; GDAL would read missing shapes as empty."""
    for suffix in (".shp", ".shx"):
        size, head = parts[suffix]
        if size < 2 * int.from_bytes(head[24:28], "big"):
            raise unreadable(name, f"Shapefile ({suffix} is shorter than it says)")
    shapes, records = (parts[".shx"][0] - 100) // 8, int.from_bytes(parts[".dbf"][1][4:8], "little")
    if shapes != records:
        raise FileError(
            f"{name} holds {shapes:,} shapes in .shx and {records:,} records in .dbf.",
            why="Values would belong to the wrong plots.",
            todo="Copy all parts of the Shapefile again from where it was made.",
        )


def _shapefile(source: Path | str, name: str, declared: bytes, crs: str | None) -> Content:
    """Text is UTF-8 where it can be (nothing else looks like it), else as .cpg declares it, else Windows-1252."""
    encoding = _encoding(declared)
    for attempt in dict.fromkeys(("UTF-8", encoding or "cp1252", "cp1252")):
        try:
            frame, shapes, own = _read_layer(source, name, "Shapefile", encoding=attempt)
        except (UnicodeDecodeError, LookupError):
            continue
        is_sure = attempt in {"UTF-8", encoding}
        notes = () if is_sure else (encoding_note(name),)
        return _content(frame, shapes, own, name, *notes, crs=crs)
    raise unreadable(name, "Shapefile (its text has no encoding that is known)")


def _encoding(declared: bytes) -> str | None:
    """Python's name of the encoding that a .cpg file declares, such as "UTF-8", "1252", "ANSI 1252" or "88591"."""
    label = declared.decode("ascii", errors="ignore").strip().upper().removeprefix("ANSI").strip()
    number = re.fullmatch(r"(?:ISO[ _-]*)?8859[ _-]*(\d{1,2})", label)
    label = f"iso8859-{number[1]}" if number else f"cp{label}" if label.isdigit() else label
    try:
        found = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    return None if found.startswith("utf") else found


def _read_layer(
    source: Path | str, name: str, kind: str, *, layer: str | None = None, encoding: str | None = None
) -> tuple[pd.DataFrame, NDArray[np.object_], Any]:
    """Columns, WKB shapes and CRS of one layer, rows in the file's order."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            meta, _, shapes, values = pyogrio.raw.read(source, layer=layer, encoding=encoding, datetime_as_string=True)
    except UnicodeDecodeError as error:
        if encoding is None:
            raise unreadable(name, kind) from error
        raise
    except Exception as error:
        raise unreadable(name, kind) from error
    frame = pd.DataFrame({place: pd.Series(column) for place, column in enumerate(values)})
    frame.columns = pd.Index([str(field) for field in meta["fields"]], dtype="str")
    if shapes is None:
        raise FileError(
            f"{name} holds a table without shapes.",
            why=f"Plots in a {kind} are read from its shapes.",
            todo="Export the table as CSV or XLSX, or the layer that holds the plots.",
        )
    return frame.set_axis(pd.RangeIndex(len(shapes))), shapes, meta["crs"]


def _content(
    frame: pd.DataFrame, wkb: NDArray[np.object_], own: Any, name: str, *notes: pd.DataFrame, crs: str | None = None
) -> Content:
    shapes = shapely.from_wkb(wkb, on_invalid="ignore")
    broken = shapely.is_missing(shapes) & np.array([shape is not None for shape in wkb], dtype=bool)
    system = crs or own
    settled = _settled(gpd.GeoSeries(shapes, crs=crs_named(system) if system else None), name)
    problems = dict(settled.problems) | dict.fromkeys(np.flatnonzero(broken).tolist(), BROKEN)
    return Content(
        number_rows(frame),
        name,
        Outlines(settled.geometry, problems, settled.repairs),
        findings=(*notes, *_crs_note(own, crs, name)),
    )


def _crs_note(own: Any, crs: str | None, name: str) -> list[pd.DataFrame]:
    if not own or not crs or crs_named(own).equals(crs_named(crs), ignore_axis_order=True):
        return []
    message = (
        f"{name} says its coordinates are in {crs_named(own).name}; they were read as {crs_named(crs).name}, as told. "
        "Look at the plots on the map."
    )
    return [make_findings("crs_given", [""], message)]


def _settled(geometry: gpd.GeoSeries, name: str) -> Outlines:
    if geometry.crs is not None:
        require_metres(geometry.to_numpy(), geometry.crs, name=name)
    return settle(to_lonlat(geometry, name=name))


def _kml_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The placemarks' own data; their name, else their KML id, is the column "id"."""
    own = [column for column in frame.columns if column.lower() in KML_OWN and _says_nothing(frame[column])]
    kept = frame.drop(columns=own)
    if "Name" in kept.columns and kept["Name"].notna().any():
        kept["id"] = kept["Name"]
    return kept


def _says_nothing(values: pd.Series) -> bool:
    return bool(values.isna().all()) or set(values.dropna().unique().tolist()) <= {-1, 0, "", "NaT"}
