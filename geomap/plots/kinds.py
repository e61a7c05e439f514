"""Which kind of file this is: what its content says must be what its name says."""

import re
import zipfile
from pathlib import Path
from typing import Final

from geomap.errors import FileError

KINDS: Final = {
    ".geojson": "GeoJSON",
    ".json": "GeoJSON",
    ".gpkg": "GeoPackage",
    ".shp": "Shapefile",
    ".zip": "zipped Shapefile",
    ".parquet": "GeoParquet",
    ".geoparquet": "GeoParquet",
    ".kml": "KML",
    ".kmz": "KMZ",
    ".gpx": "GPX",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".txt": "CSV",
    ".xlsx": "Excel workbook",
}
ZIPPED_TABLES: Final = "ZIP archive of CSV tables"
"""What ODK Central exports; it has the ending of a zipped Shapefile."""
_MAGIC: Final = (
    (b"SQLite format 3\0", "GeoPackage"),
    (b"PAR1", "GeoParquet"),
    (b"\x00\x00\x27\x0a", "Shapefile"),
    (b"\xd0\xcf\x11\xe0", "old Excel workbook (.xls) or one with a password"),
    (b"%PDF", "PDF document"),
    (b"\x1f\x8b", "gzip archive"),
    (b"II*\0", "TIFF image"),
    (b"MM\0*", "TIFF image"),
)
_PROLOGUE = re.compile(r"(?:\s++|<\?.*?\?>|<!--.*?-->)*+<([A-Za-z_][\w.:-]*)", re.DOTALL)
MARKUP: Final = {"kml": "KML", "gpx": "GPX"}
HEAD_BYTES = 65_536

UNREADABLE_ZIP: Final = (zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""What zipfile raises of an archive that it cannot read: damage, a compression it does not know, a password."""


def require_kind(path: Path) -> str:
    """The kind that name and content agree on."""
    accepted = f"Use one of: {', '.join(KINDS)}."
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise FileError(f"{path.name} {found}.", why="There is nothing to read.", todo="Check the name of the file.")
    if path.stat().st_size == 0:
        raise empty(path.name)
    named = KINDS.get(path.suffix.lower())
    if named is None:
        raise FileError(f"{path.name} is of a kind that is not known.", why="It would be read by guess.", todo=accepted)
    held = _content_kind(path)
    if named == KINDS[".zip"] and held == ZIPPED_TABLES:
        return held
    if held != named:
        raise FileError(
            f"{path.name} is named as {named} but holds {_article(held)} {held}.",
            why="A file that is not what it says is not opened.",
            todo="Give it the ending of what it is, or export it again.",
        )
    return named


def _article(noun: str) -> str:
    return "an" if noun[0].lower() in "aeiou" or noun.startswith("XML") else "a"


def _content_kind(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"PK"):
        return _archive_kind(path)
    is_wide = head[:2] in {b"\xff\xfe", b"\xfe\xff"}
    text = head.decode("utf-16" if is_wide else "utf-8-sig", errors="replace").lstrip()
    if "\0" in text[:4096]:
        return "binary file"
    if text.startswith(("{", "[")):
        return "GeoJSON"
    return markup_kind(text) if text.startswith("<") else "CSV"


def _archive_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry.lower() for entry in archive.namelist()]
    except (*UNREADABLE_ZIP, ValueError):
        return "damaged ZIP archive"
    if "xl/workbook.xml" in entries:
        return "Excel workbook"
    if any(entry.endswith(".shp") for entry in entries):
        return "zipped Shapefile"
    if any(entry.endswith(".kml") for entry in entries):
        return "KMZ"
    return ZIPPED_TABLES if any(map(is_table, entries)) else "ZIP archive of other files"


def is_table(name: str) -> bool:
    """Whether a member of an archive is a CSV table, and none that a Mac or a form's photos brought along.

    Examples
    --------
    >>> is_table("plots.csv"), is_table("__MACOSX/._plots.csv"), is_table("media/list.csv")
    (True, False, False)
    """
    return name.lower().endswith(".csv") and not name.lower().startswith(("__macosx/", "media/"))


def markup_kind(text: str) -> str:
    """KML or GPX by its root element; a document type or another root is some other XML."""
    root = _PROLOGUE.match(text)
    label = root[1].rpartition(":")[2] if root else ""
    if label in MARKUP and "<!DOCTYPE" not in text and "<OGRVRTDataSource" not in text:
        return MARKUP[label]
    return (
        f"XML file that is no plain {MARKUP.get(label, 'KML')}"
        if label in {"", *MARKUP}
        else f"XML file (<{label[:30]}>)"
    )


def empty(name: str) -> FileError:
    return FileError(
        f"{name} holds no rows.",
        why="There is nothing to read.",
        todo="Check that it is the right file, with a header.",
    )
