"""Part of a land-cover raster as a file of its own: tiled, compressed, with the legend's palette."""

from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from geomap.landcover.product import Product
from geomap.landcover.source import Grid

Block: TypeAlias = tuple[int, int]
"""Row and column of a block in its raster."""

_EDGE: Final = 512
_COLOURED: Final = 256
_LAYOUT: Final = {
    "driver": "GTiff", "tiled": True, "blockxsize": _EDGE, "blockysize": _EDGE, "compress": "deflate",
    "SPARSE_OK": "TRUE", "BIGTIFF": "IF_SAFER",
}  # fmt: skip


def crop(source: Any, grid: Grid, blocks: set[Block], path: Path, product: Product) -> None:
    """Write these blocks of an open raster, and no data between them, to a GeoTIFF."""
    high, wide = grid.block
    top, left = min(row for row, _ in blocks) * high, min(column for _, column in blocks) * wide
    bottom = min((max(row for row, _ in blocks) + 1) * high, grid.height)
    right = min((max(column for _, column in blocks) + 1) * wide, grid.width)
    nodata = _nodata(source, product)
    profile = {
        "width": right - left, "height": bottom - top, "count": 1, "dtype": source.dtypes[0], "crs": source.crs,
        "transform": grid.transform * grid.transform.translation(left, top), "nodata": nodata,
    }  # fmt: skip
    with rasterio.open(path, "w", **_LAYOUT, **profile) as target:
        if product.threshold is None and target.dtypes[0] in {"uint8", "uint16"}:
            target.write_colormap(1, _palette(product, nodata))
        target.scales, target.offsets = source.scales[:1], source.offsets[:1]
        masked = product.file_nodata and MaskFlags.per_dataset in source.mask_flag_enums[0]
        for row, column in sorted(blocks):
            height, width = min(high, grid.height - row * high), min(wide, grid.width - column * wide)
            window = Window(column * wide, row * high, width, height)
            cells = source.read(1, window=window)
            if masked:
                cells[source.read_masks(1, window=window) == 0] = nodata
            target.write(cells, 1, window=Window(column * wide - left, row * high - top, width, height))


def _nodata(source: Any, product: Product) -> float:
    """What stands for no data in the cropped file: the file's own word where it counts, else the product's."""
    if product.file_nodata and source.nodata is not None:
        return float(source.nodata)
    return float("nan") if np.issubdtype(np.dtype(source.dtypes[0]), np.floating) else float(product.nodata)


def _palette(product: Product, nodata: float) -> dict[int, tuple[int, int, int, int]]:
    colours = {
        int(code): (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16), 255)
        for code, text in product.legend["color"].items()
        if 0 <= int(code) < _COLOURED
    }
    return {int(nodata): (0, 0, 0, 0), **colours} if 0 <= nodata < _COLOURED else colours
