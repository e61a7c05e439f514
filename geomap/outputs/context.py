"""Land cover around the plots as one small picture for a map: calm colours, few pixels, its own legend."""

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from affine import Affine

from geomap.engine import ordered_map

if TYPE_CHECKING:
    from geomap.landcover.product import Product

MAX_PIXELS: Final = 1000
_PALE: Final = 0.66
"""Share of white in each class colour, so that the plots stand out; the legend shows the same mixed colour."""

_MERCATOR: Final = "EPSG:3857"
_STRIP_ROWS: Final = 64
_CACHE_BYTES: Final = 64 * 2**20
_CODES_IN_PNG: Final = 255
Mask = npt.NDArray[np.bool_]
Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


@dataclass(frozen=True)
class Context:
    """A picture of the land cover.

    Attributes
    ----------
    url : the PNG as a data URL; transparent where there is no data or the legend knows no such class.
    bounds : west, south, east, north in degrees.
    classes : the classes in the picture, index class; columns name, color (as drawn).
    """

    url: str
    bounds: Bounds
    classes: pd.DataFrame


def land_cover(
    rasters: Sequence[Path],
    product: "Product",
    bounds: Bounds,
    *,
    cell_m: float = 10.0,
    only: Sequence[Bounds] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Context | None:
    """The land cover within the bounds as a picture in Web Mercator; None where the rasters show nothing there.

    Nearest cell, no averaging: classes have no mean. Where several rasters overlap, the first that has data counts.

    Parameters
    ----------
    rasters : land-cover files with class codes in band 1, those that speak first before the others. A raster of a
        quantity has no codes, and no picture.
    product : names and colours of the codes.
    bounds : west, south, east, north in degrees.
    cell_m : smallest pixel in metres (of the Mercator plane); larger where a side would pass `max_pixels`.
    only : draw only these boxes, and of them only those that have data everywhere: a raster cut out along the plots
        would show the plots.
    """
    from rasterio.transform import from_bounds
    from rasterio.warp import transform_bounds

    if product.threshold is not None:
        return None
    west, south, east, north = transform_bounds("EPSG:4326", _MERCATOR, *bounds)
    step = max(cell_m, (east - west) / max_pixels, (north - south) / max_pixels)
    width, height = max(1, int((east - west) / step)), max(1, int((north - south) / step))
    transform = from_bounds(west, south, east, north, width, height)
    legend = product.legend.head(_CODES_IN_PNG)
    lookup = pd.Series(np.arange(1, len(legend) + 1), index=legend.index)
    picture = np.zeros((height, width), dtype=np.uint8)
    covered = np.zeros((height, width), dtype=bool)
    for path in rasters:
        codes, seen = _read(path, transform, width, height)
        steps = lookup.reindex(codes[seen]).fillna(0).to_numpy(np.uint8)
        here = np.zeros_like(picture)
        here[seen] = steps
        picture = np.where(covered, picture, here)
        covered |= seen & (codes != product.nodata)
    if only is not None:
        picture[~_whole(covered, transform, only)] = 0
    present = np.unique(picture[picture > 0]) - 1
    if not len(present):
        return None
    colors = [_pale(color) for color in legend["color"]]
    classes = pd.DataFrame({"name": legend["name"], "color": colors}).iloc[present]
    png = base64.b64encode(_png(picture, colors)).decode("ascii")
    return Context(f"data:image/png;base64,{png}", bounds, classes)


def widened(bounds: Bounds, *, share: float = 0.3, at_least: float = 0.01) -> Bounds:
    """The bounds with a margin on each side: this share of the longer side, and at least so many degrees.

    Examples
    --------
    >>> widened((0.0, 0.0, 1.0, 0.0), share=0.1)
    (-0.1, -0.1, 1.1, 0.1)
    """
    west, south, east, north = bounds
    x = y = max((east - west) * share, (north - south) * share, at_least)
    return max(west - x, -180.0), max(south - y, -85.0), min(east + x, 180.0), min(north + y, 85.0)


def _read(path: Path, transform: Any, width: int, height: int) -> tuple[Any, Any]:
    """Codes of one raster on the picture's grid, and where it has data; strips of rows are read side by side."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    level = _overview(path, abs(transform.a))

    def strip(rows: range) -> Any:
        grid = {"transform": transform @ Affine.translation(0, rows.start), "width": width, "height": len(rows)}
        with (
            rasterio.open(path, **level) as source,
            WarpedVRT(source, crs=_MERCATOR, add_alpha=True, resampling=Resampling.nearest, **grid) as view,
        ):
            return view.read([1, view.count])

    starts = range(0, height, _STRIP_ROWS)
    strips = (range(start, min(start + _STRIP_ROWS, height)) for start in starts)
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        codes, alpha = np.concatenate(list(ordered_map(strip, strips)), axis=1)
    return codes, alpha > 0


def _overview(path: Path, pixel_m: float) -> dict[str, int]:
    """The coarsest overview of the file that is still as fine as the picture, as an option to open it with."""
    import rasterio
    from rasterio.warp import transform_bounds

    with rasterio.open(path) as source:
        west, _, east, _ = transform_bounds(source.crs, _MERCATOR, *source.bounds)
        cell_m = (east - west) / source.width
        fine = [factor for factor in source.overviews(1) if factor * cell_m <= pixel_m]
    return {"overview_level": len(fine) - 1} if fine else {}


def _whole(covered: Mask, transform: Any, boxes: Sequence[Bounds]) -> Mask:
    """The pixels of the boxes that are covered everywhere."""
    from rasterio.warp import transform as warped

    keep = np.zeros_like(covered)
    west, south, east, north = np.asarray(boxes, dtype=float).reshape(-1, 4).T
    places = warped("EPSG:4326", _MERCATOR, np.concatenate([west, east]), np.concatenate([north, south]))
    columns, rows = ~transform @ (np.array(places[0]), np.array(places[1]))
    pixels = np.maximum(np.rint([columns, rows]), 0).astype(int).reshape(2, 2, -1)  # column or row, corner, box
    for left, right, top, bottom in pixels.reshape(4, -1).T.tolist():
        part = (slice(top, bottom), slice(left, right))
        keep[part] |= covered[part].all()
    return keep


def _pale(color: str) -> str:
    mixed = (round(int(color[k : k + 2], 16) * (1 - _PALE) + 255 * _PALE) for k in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _png(picture: npt.NDArray[np.uint8], colors: list[str]) -> bytes:
    """A palette PNG; 0 is transparent, k is the k-th colour. Source: W3C PNG specification, sections 5 and 11."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = picture.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = b"\xff\xff\xff" + b"".join(bytes.fromhex(color[1:]) for color in colors)
    lines = np.zeros((height, width + 1), dtype=np.uint8)
    lines[:, 1:] = picture
    body = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", b"\x00"),
        (b"IDAT", zlib.compress(lines.tobytes(), 6)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, part) for kind, part in body)
