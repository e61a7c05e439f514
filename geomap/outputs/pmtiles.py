"""All tiles of a run in one file (PMTiles 3), which a map reads piece by piece from any web server."""

import gzip
import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from geomap.errors import OutputError
from geomap.outputs.tile_vectors import tilejson, vector_tile
from geomap.outputs.tiles import SPAN, Ints, TileIndex, ranges

if TYPE_CHECKING:
    import pandas as pd

MOST_ZOOM: Final = 14
"""One unit of a tile is 0.6 m there; maps enlarge these tiles further in."""
_HEADER: Final = struct.Struct("<7sB11QBBBBBB4iB2i")
_ROOT_BYTES: Final = 16_384
"""Header and first directory lie within these first bytes of the file."""
_LEAF_ENTRIES: Final = 4_096
_GZIP, _MVT = 2, 1
_TEXTS: Final = frozenset({"plot_id", "member_id", "class", "findings"})
Entry = tuple[int, int, int]
"""Number of a tile, place of its bytes, and how many."""


def write_pmtiles(
    index: TileIndex,
    path: Path,
    *,
    legend: "pd.DataFrame | None" = None,
    most_zoom: int = MOST_ZOOM,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write all vector tiles of the plots into one file; the number of tiles. Same plots, same bytes.

    Parameters
    ----------
    path : the file is put there whole, in place of what there was.
    legend : of the land-cover product: index class, column name.
    progress : told how many tiles are done, and of how many.

    Raises
    ------
    OutputError : the file cannot be written, or the part for vector tiles is not installed.

    Source: PMTiles Version 3 Specification.
    """
    tiles = _tiles(index, most_zoom)
    try:
        with tempfile.TemporaryFile(dir=path.parent) as data:
            entries = list(_written(index, tiles, data, legend, progress))
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tiles-", delete=False) as made:
                try:
                    _assemble(made, data, entries, index, most_zoom)
                    made.flush()
                    os.chmod(made.name, 0o644)
                    made.close()
                    os.replace(made.name, path)
                except BaseException:
                    made.close()
                    Path(made.name).unlink(missing_ok=True)
                    raise
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written.", why=str(error.strerror or ""), todo="Name another place."
        ) from error
    return len(entries)


def tile_number(z: int, x: int, y: int) -> int:
    """Number of a tile: zoom by zoom along the Hilbert curve. Source: PMTiles 3, section 4.1.

    Examples
    --------
    >>> [tile_number(1, x, y) for x, y in ((0, 0), (0, 1), (1, 1), (1, 0))]
    [1, 2, 3, 4]
    """
    number: int = (4**z - 1) // 3
    side = 1 << z
    half = side >> 1
    while half:
        right, low = int(bool(x & half)), int(bool(y & half))
        number += half * half * ((3 * right) ^ low)
        if not low:
            if right:
                x, y = side - 1 - x, side - 1 - y
            x, y = y, x
        half >>= 1
    return number


def _tiles(index: TileIndex, most_zoom: int) -> list[tuple[int, int, int, int]]:
    """Number, zoom, column and row of all tiles that a plot touches, by number."""
    found = []
    box = index.box.astype(np.int64)
    for z in range(most_zoom, -1, -1):
        shift = np.int64(SPAN).item().bit_length() - 1 - z
        cells = np.unique(_touched(box >> shift, z))
        box = np.stack([cells >> z, cells & ((1 << z) - 1)] * 2, axis=1) << shift  # parents hold what they hold
        found += [
            (tile_number(z, cell >> z, cell & ((1 << z) - 1)), z, cell >> z, cell & ((1 << z) - 1))
            for cell in cells.tolist()
        ]
    return sorted(found)


def _touched(box: Ints, z: int) -> Ints:
    """Cells, column and row in one number, of boxes in cells."""
    wide, high = box[:, 2] - box[:, 0] + 1, box[:, 3] - box[:, 1] + 1
    count = wide * high
    place = ranges(np.zeros_like(count), count)
    own = np.repeat(np.arange(len(box)), count)
    column, row = box[own, 0] + place % wide[own], box[own, 1] + place // wide[own]
    cells: Ints = (column << z) | row
    return cells


def _written(
    index: TileIndex,
    tiles: Sequence[tuple[int, int, int, int]],
    data: Any,
    legend: "pd.DataFrame | None",
    progress: Callable[[int, int], None] | None,
) -> Iterable[Entry]:
    """Where the bytes of each tile lie; equal ones are kept once."""
    known: dict[bytes, tuple[int, int]] = {}
    at = 0
    for done, (number, z, x, y) in enumerate(tiles, start=1):
        packed = gzip.compress(vector_tile(index, z, x, y, legend=legend), 6, mtime=0)
        digest = hashlib.sha256(packed).digest()
        if digest not in known:
            data.write(packed)
            known[digest] = at, len(packed)
            at += len(packed)
        yield (number, *known[digest])
        if progress is not None and (done % 100 == 0 or done == len(tiles)):
            progress(done, len(tiles))


def _assemble(made: Any, data: Any, entries: Sequence[Entry], index: TileIndex, most_zoom: int) -> None:
    """Header, first directory, description, further directories, tiles."""
    told = tilejson(index, tiles=["{z}/{x}/{y}"], name="plots", most_zoom=most_zoom)
    for layer in told["vector_layers"]:  # readers take the kind of a column from here
        layer["fields"] = {name: "String" if name in _TEXTS else "Number" for name in layer["fields"]}
    described = {"name": "plots", "format": "pbf", "vector_layers": told["vector_layers"]}
    metadata = gzip.compress(json.dumps(described, ensure_ascii=False, sort_keys=True).encode(), 6, mtime=0)
    root, leaves = _directories(entries)
    size = data.seek(0, os.SEEK_END)
    west, south, east, north = (round(side * 1e7) for side in told["bounds"])
    lon, lat, zoom = told["center"]
    starts = [_HEADER.size]
    for length in (len(root), len(metadata), len(leaves)):
        starts.append(starts[-1] + length)
    made.write(
        _HEADER.pack(
            b"PMTiles", 3,
            starts[0], len(root), starts[1], len(metadata), starts[2], len(leaves), starts[3], size,
            len(entries), len(entries), len({at for _, at, _ in entries}),
            1, _GZIP, _GZIP, _MVT, 0, most_zoom,
            west, south, east, north, min(zoom, most_zoom), round(lon * 1e7), round(lat * 1e7),
        )
    )  # fmt: skip
    for part in (root, metadata, leaves):
        made.write(part)
    data.seek(0)
    shutil.copyfileobj(data, made)


def _directories(entries: Sequence[Entry]) -> tuple[bytes, bytes]:
    """The first directory, and all that it refers to."""
    root = _directory([(number, 1, length, at) for number, at, length in entries])
    if len(root) + _HEADER.size <= _ROOT_BYTES:
        return root, b""
    each = _LEAF_ENTRIES
    while True:
        leaves, refers = b"", []
        for start in range(0, len(entries), each):
            part = entries[start : start + each]
            leaf = _directory([(number, 1, length, at) for number, at, length in part])
            refers.append((part[0][0], 0, len(leaf), len(leaves)))
            leaves += leaf
        root = _directory(refers)
        if len(root) + _HEADER.size <= _ROOT_BYTES:
            return root, leaves
        each *= 2


def _directory(rows: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Rows of number, run, length and place, column by column. Source: PMTiles 3, section 4."""
    numbers = [row[0] for row in rows]
    steps = [number - before for number, before in zip(numbers, [0, *numbers], strict=False)]
    places, end = [], -1
    for _, _, length, at in rows:
        places.append(0 if at == end else at + 1)
        end = at + length
    columns = [[len(rows)], steps, [row[1] for row in rows], [row[2] for row in rows], places]
    return gzip.compress(b"".join(_varint(value) for column in columns for value in column), 6, mtime=0)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)
