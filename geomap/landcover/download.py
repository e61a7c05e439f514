"""Land cover from a web server: only the blocks under the plots, one cropped GeoTIFF per tile, verified and resumed."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
import shapely
from rasterio.errors import RasterioError

from geomap.engine import Progress
from geomap.errors import OutputError, RasterError
from geomap.landcover.crop import Block, crop
from geomap.landcover.mosaic import in_raster
from geomap.landcover.product import Product
from geomap.landcover.remote import NoSuchFileError, RemoteFile, is_address
from geomap.landcover.source import GDAL_OPTIONS, Grid, grid_of
from geomap.landcover.tiles import addresses

MANIFEST: Final = "download.json"
MOST_BYTES: Final = 4 * 2**30
_MARGIN_CELLS: Final = 2
_PART: Final = ".part"

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Download:
    """What a download left.

    Attributes
    ----------
    files : cropped GeoTIFFs, sorted by name.
    absent : names of tiles that the server does not have: sea, or ground that the product leaves out.
    kept : names of files that were here already, with the checksum that the manifest tells.
    changed : names of files that were here with another checksum, and were fetched anew.
    fetched_bytes : bytes received.
    """

    files: tuple[Path, ...]
    absent: tuple[str, ...]
    kept: tuple[str, ...]
    changed: tuple[str, ...]
    fetched_bytes: int


def download(
    plots: gpd.GeoDataFrame,
    product: Product,
    out: Path,
    *,
    base_url: str | None = None,
    progress: Progress | None = None,
) -> Download:
    """The product's tiles under the plots, from its makers' server; see `fetch`.

    Parameters
    ----------
    plots : EPSG:4326; plots without an outline ask for nothing.
    product : with `tiles`.
    out : folder, made where missing.
    base_url : folder that holds the tiles instead of the product's own.
    progress : called with ("download of <tile>", blocks done, blocks in all).

    Raises
    ------
    RasterError : the server cannot be reached, refuses, cannot send ranges, or has none of the tiles; the product is
        not offered as files; no plot has an outline.
    OutputError : the folder holds another product, or cannot be written.
    """
    wanted = addresses(plots, product, base_url=base_url)
    result = _fetch_all(plots, wanted, product, out, may_be_absent=True, progress=progress)
    if wanted and not result.files:
        raise RasterError(
            f"{product.title} has no tile under the plots; it would be {', '.join(result.absent[:3])}.",
            why="A tile that does not exist is sea, or ground that the product leaves out.",
            todo="Check whether the plots' axes are swapped, and where they lie.",
        )
    return result


def fetch(
    plots: gpd.GeoDataFrame,
    addresses: Sequence[str],
    product: Product,
    out: Path,
    *,
    progress: Progress | None = None,
) -> Download:
    """The blocks under the plots of rasters on a web server, as one cropped GeoTIFF each.

    Blocks that no plot touches stay without data. A download that was cut goes on where it stopped when it is called
    again; files that are done are known by their SHA-256 in the folder's `download.json` and need no network.

    Parameters
    ----------
    plots : EPSG:4326.
    addresses : http or https, of GeoTIFF or COG files. Only what the user named: never text from a file or a request.
    product : the legend; says which rasters fit, and gives the palette.
    out : folder, made where missing.
    progress : called with ("download of <file>", blocks done, blocks in all).

    Raises
    ------
    RasterError, OutputError : as `download`; also where the server does not have a file.
    """
    return _fetch_all(plots, list(dict.fromkeys(addresses)), product, out, may_be_absent=False, progress=progress)


def _fetch_all(
    plots: gpd.GeoDataFrame,
    addresses: Sequence[str],
    product: Product,
    out: Path,
    *,
    may_be_absent: bool,
    progress: Progress | None,
) -> Download:
    wrong = [address for address in addresses if not is_address(address)]
    if wrong:
        raise RasterError(f"{wrong[0][:80]!r} is no http or https address.", todo="Check it.")
    outlines = plots.geometry.to_numpy()
    outlines = outlines[shapely.area(outlines) > 0]
    if not len(outlines):
        raise RasterError(
            "No plot has an outline.", why="Land cover is read under outlines.", todo="Give plots that are polygons."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    done = _manifest(out, product)
    names = _names(addresses)
    files, absent, kept, changed, received = [], [], [], [], 0
    for name, address in names.items():
        entry = done["files"].get(name)
        if entry is not None and entry["address"] == address and _has_all(entry, outlines):
            if _sha256(out / name) == entry["sha256"]:
                kept.append(name)
                files.append(out / name)
                continue
            changed.append(name)
        try:
            entry, count = _fetch_one(address, out / name, outlines, product, entry, progress=progress)
        except NoSuchFileError as error:
            if not may_be_absent:
                raise RasterError(
                    f"{urlsplit(address).hostname} has no file {error}.",
                    why="The land cover is read from there.",
                    todo="Check the address in a browser.",
                ) from error
            absent.append(name)
            (out / f"{name}{_PART}").unlink(missing_ok=True)
            continue
        received += count
        if entry is not None:
            done["files"][name] = entry
            _write(out / MANIFEST, json.dumps(done, indent=1, sort_keys=True).encode() + b"\n")
            files.append(out / name)
    return Download(tuple(sorted(files)), tuple(absent), tuple(kept), tuple(changed), received)


def _fetch_one(
    address: str, path: Path, outlines: npt.NDArray[np.object_], product: Product, before: Json | None,
    *, progress: Progress | None,
) -> tuple[Json | None, int]:  # fmt: skip
    """The file's entry in the manifest, None where no plot lies on it, and the bytes received."""
    remote = RemoteFile(address, path.with_name(path.name + _PART))
    try:
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(path.name, driver="GTiff", opener=remote.opener) as source:
            grid = grid_of(Path(path.name), source, product)
            blocks = _blocks(outlines, grid)
            if before is not None and before["address"] == address and before["grid"] == _plain_grid(grid):
                blocks |= _told_blocks(before, grid)
            if blocks:
                _get_blocks(remote, source, blocks, path.name, progress)
                _write_crop(source, grid, blocks, path, product)
    except RasterioError as error:
        raise remote.error or RasterError(
            f"{remote.name} on {remote.host} is not a GeoTIFF that can be read.",
            why="Land cover is read from GeoTIFF or COG files.",
            todo="Check the address in a browser.",
        ) from error
    finally:
        remote.close()
    remote.discard()
    if not blocks:
        return None, remote.fetched
    entry = {
        "address": address,
        "version": remote.version,
        "remote_bytes": remote.size,
        "bytes": path.stat().st_size,
        "sha256": _sha256(path),
        "grid": _plain_grid(grid),
        "blocks": [list(block) for block in sorted(blocks)],
    }
    return entry, remote.fetched


def _blocks(outlines: npt.NDArray[np.object_], grid: Grid) -> set[Block]:
    """Row and column of each block that a plot's box touches, with a margin of a few cells."""
    outlines = shapely.get_parts(outlines)  # two parts at 180° east and west have two boxes, not one around the Earth
    west, south, east, north = grid.lonlat_bounds
    box = shapely.bounds(outlines).reshape(-1, 4)
    near = (box[:, 0] < east) & (box[:, 2] > west) & (box[:, 1] < north) & (box[:, 3] > south)
    box = shapely.bounds(in_raster(outlines[near], grid)).reshape(-1, 4)
    rows = np.sort((box[:, [1, 3]] - grid.transform.f) / grid.transform.e, axis=1)
    columns = np.sort((box[:, [0, 2]] - grid.transform.c) / grid.transform.a, axis=1)
    first = np.column_stack([rows[:, 0], columns[:, 0]]) - _MARGIN_CELLS
    last = np.column_stack([rows[:, 1], columns[:, 1]]) + _MARGIN_CELLS
    on_it = (last > 0).all(axis=1) & (first < [grid.height, grid.width]).all(axis=1)
    first = np.floor(np.maximum(first[on_it], 0) / grid.block).astype(int)
    last = np.floor(np.minimum(last[on_it], [grid.height - 1, grid.width - 1]) / grid.block).astype(int)
    spans = np.unique(np.column_stack([first, last]), axis=0).tolist()
    return {(row, column) for a, b, c, d in spans for row in range(a, c + 1) for column in range(b, d + 1)}


def _get_blocks(remote: RemoteFile, source: Any, blocks: set[Block], name: str, progress: Progress | None) -> None:
    """Get the bytes of the blocks, one row of blocks after another."""
    spans: dict[Block, tuple[int, int]] = {}
    for row, column in sorted(blocks):
        place = source.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=1)
        size = source.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1)
        if place and size and int(size) > 0:
            spans[row, column] = (int(place), int(place) + int(size))
    total = sum(end - start for start, end in spans.values())
    if total > MOST_BYTES:
        raise RasterError(
            f"The plots lie on {total / 2**30:.1f} GB of {name}.",
            why=f"At most {MOST_BYTES / 2**30:.0f} GB of one file are read this way.",
            todo="Run fewer plots at a time, or download the file yourself and name it with --raster.",
        )
    done = 0
    for row in sorted({row for row, _ in spans}):
        along = [span for block, span in spans.items() if block[0] == row]
        remote.fetch(along)
        done += len(along)
        if progress:
            progress(f"download of {name}", done, len(spans))


def _write_crop(source: Any, grid: Grid, blocks: set[Block], path: Path, product: Product) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        crop(source, grid, blocks, temporary, product)
        _replace(temporary, path)
    except OSError as error:
        if isinstance(error, RasterioError):
            raise
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _names(addresses: Sequence[str]) -> dict[str, str]:
    """File name → address; names are those of the addresses, made harmless."""
    names: dict[str, str] = {}
    for address in addresses:
        last = unquote(urlsplit(address).path).rpartition("/")[2]
        name = re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".-") or "raster"
        stem = name.rpartition(".")[0] if name.lower().endswith((".tif", ".tiff")) else name
        if f"{stem}.tif" in names:
            raise RasterError(
                f"Two addresses end in {stem}.tif.", why="One would take the other's place.", todo="Fetch them apart."
            )
        names[f"{stem}.tif"] = address
    return names


def _manifest(out: Path, product: Product) -> Json:
    path = out / MANIFEST
    empty: Json = {
        "product": product.name,
        "version": product.version,
        "attribution": product.attribution,
        "licence": product.licence,
        "files": {},
    }
    if not path.exists():
        return empty
    if not path.is_file():
        raise OutputError(f"{path} is no file.", why="It tells what was fetched.", todo="Name another folder.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {key: found[key] for key in ("product", "version")}
        files = {name: entry for name, entry in found["files"].items() if _is_entry(entry)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return empty  # cut or edited: everything is fetched anew
    if known != {"product": product.name, "version": product.version}:
        raise OutputError(
            f"{out.name} holds a download of {known['product']} {known['version']}.",
            why=f"{product.title} would stand among another map's tiles.",
            todo="Name another folder.",
        )
    return {**empty, "files": files}


def _is_entry(entry: Any) -> bool:
    """Whether it tells what a file holds; one that was cut or edited tells nothing."""
    if not (isinstance(entry, dict) and entry.keys() >= {"address", "sha256", "grid", "blocks"}):
        return False
    try:
        grid = _told_grid(entry)
        return grid.width > 0 < grid.height and min(grid.block) > 0 and _told_blocks(entry, grid) is not None
    except (ValueError, KeyError, TypeError, pyproj.exceptions.CRSError):
        return False


def _plain_grid(grid: Grid) -> Json:
    return {
        "crs": grid.crs.to_wkt(),
        "transform": list(grid.transform)[:6],
        "width": grid.width,
        "height": grid.height,
        "block": list(grid.block),
    }


def _told_grid(entry: Mapping[str, Any]) -> Grid:
    """The grid that the manifest tells of a file."""
    told = entry["grid"]
    return Grid(
        path=Path(),
        crs=pyproj.CRS.from_wkt(told["crs"]),
        transform=rasterio.Affine(*told["transform"]),
        width=told["width"],
        height=told["height"],
        block=tuple(told["block"]),
        nodata=None,
        masked=False,
    )


def _has_all(entry: Mapping[str, Any], outlines: npt.NDArray[np.object_]) -> bool:
    """Whether the file has all blocks under the plots."""
    grid = _told_grid(entry)
    return _blocks(outlines, grid) <= _told_blocks(entry, grid)


def _told_blocks(entry: Mapping[str, Any], grid: Grid) -> set[Block]:
    """The blocks of the manifest that the raster has."""
    rows, columns = -(-grid.height // grid.block[0]), -(-grid.width // grid.block[1])
    return {(row, column) for row, column in entry["blocks"] if 0 <= row < rows and 0 <= column < columns}


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        _replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _replace(temporary: Path, path: Path) -> None:
    """Put the file in its place whole: on disk first, then under its name."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path.name} cannot be written ({error.strerror or error}).", todo="Free some space, or name another folder."
    )
