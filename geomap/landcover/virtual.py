"""Virtual rasters (VRT) of the user's own disk, read as what they nearly always are: a list of tiles.

Decision. GDAL's driver for virtual rasters reads any file and any address that the text names, so it is never used.
The list of tiles is read from the text; each tile is then checked and opened as if it had been named by itself.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from geomap.errors import RasterError

MOST_BYTES: Final = 20_000_000
_PLAIN: Final = frozenset({"SourceFilename", "SourceBand", "SourceProperties", "SrcRect", "DstRect", "NODATA"})
_SOURCES: Final = frozenset({"SimpleSource", "ComplexSource"})
_BESIDE: Final = frozenset({
    "NoDataValue", "ColorInterp", "ColorTable", "CategoryNames", "Description", "Metadata", "Histograms",
    "HideNoDataValue", "UnitType", "MinMax",
})  # fmt: skip


def own_rasters(names: Sequence[str]) -> list[Path]:
    """Paths of the rasters that the user names on the command line; a virtual raster stands for its tiles.

    Only for the user's own words: never for text from a file or a request.

    Parameters
    ----------
    names : paths of GeoTIFF files and of .vrt files; a tile of a .vrt lies in its folder or below.

    Raises
    ------
    RasterError : a .vrt does more than place tiles side by side, or names one outside its own folder.

    Examples
    --------
    >>> [path.name for path in own_rasters(["tiles/N12W090.tif"])]
    ['N12W090.tif']
    """
    paths = []
    for name in names:
        path = Path(name)
        paths += _tiles(path) if path.suffix.lower() == ".vrt" else [path]
    return paths


def _tiles(path: Path) -> list[Path]:
    sources = [source for band in _bands(path) for source in band if source.tag in _SOURCES]
    if not sources:
        raise _refused(path, "names no tiles")
    return [_tile(path, source) for source in sources]


def _bands(path: Path) -> list[ElementTree.Element]:
    """The one band of the virtual raster."""
    if not os.path.isfile(path):
        raise RasterError(f"There is no file {path.name}.", todo="Check the path given to --raster.")
    data = path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""
    try:
        root = ElementTree.fromstring(data) if b"<!" not in data.replace(b"<!--", b"") else None
    except (ElementTree.ParseError, ValueError, LookupError):  # the last: an encoding that nobody knows
        root = None
    if root is None or root.tag != "VRTDataset":
        raise _refused(path, "cannot be read")
    bands = root.findall("VRTRasterBand")
    strange = [band for band in bands if band.get("subClass") or not {part.tag for part in band} <= _SOURCES | _BESIDE]
    if len(bands) > 1 or strange or root.get("subClass"):
        raise _refused(path, "does more than tiles side by side")
    return bands


def _tile(path: Path, source: ElementTree.Element) -> Path:
    named, size, place = (source.find(tag) for tag in ("SourceFilename", "SrcRect", "DstRect"))
    name = "" if named is None else (named.text or "").strip()
    folder = path.resolve().parent
    tile = (folder / name).resolve()
    if not name or "://" in name or not tile.is_relative_to(folder):
        raise _refused(path, f"names {name[:80] or 'a tile without a name'}, outside its own folder")
    if not os.path.isfile(tile) or tile.suffix.lower() not in {".tif", ".tiff"}:
        raise _refused(path, f"names {Path(name).name[:80]}, which is no GeoTIFF file there")
    if not {part.tag for part in source} <= _PLAIN or not _is_whole(tile, size, place):
        raise _refused(path, "does more than tiles side by side")
    return tile


def _is_whole(tile: Path, size: ElementTree.Element | None, place: ElementTree.Element | None) -> bool:
    """Whether the whole tile is placed cell by cell."""
    import rasterio
    from rasterio.errors import RasterioError

    if size is None or place is None:
        return size is None and place is None
    try:
        with rasterio.open(tile, driver="GTiff") as opened:
            wanted = [0.0, 0.0, float(opened.width), float(opened.height)]
        taken = [float(size.get(key, "nan")) for key in ("xOff", "yOff", "xSize", "ySize")]
        given = [float(place.get(key, "nan")) for key in ("xSize", "ySize")]
    except (RasterioError, ValueError):
        return False
    return taken == wanted and all(abs(a - b) < 1e-6 * b for a, b in zip(given, wanted[2:], strict=True))


def _refused(path: Path, what: str) -> RasterError:
    return RasterError(
        f"{path.name} {what}.",
        why="A virtual raster is read as a list of whole GeoTIFF tiles in its folder or below; the rest could read any "
        "file.",
        todo="Name the tiles themselves, or write one file with gdal_translate -of COG.",
    )
