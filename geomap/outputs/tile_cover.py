"""Pictures of map tiles of a land-cover map: the nearest cell of each pixel, in the colours of its product."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from geomap.outputs.tile_pictures import blank

if TYPE_CHECKING:
    from geomap.landcover.product import Product

_MERCATOR: Final = "EPSG:3857"
_HALF: Final = 20037508.342789244
"""Metres of the Mercator plane from its middle to its edge."""
_MOST_CELLS: Final = 32
"""Cells along the side of a pixel up to which a picture is drawn: for more, too much of the file would be read."""
_CACHE_BYTES: Final = 64 * 2**20
_MOST_CLASSES: Final = 254


@dataclass(frozen=True)
class Cover:
    """Land-cover rasters as a layer of tiles.

    Attributes
    ----------
    paths : rasters of class codes; where several cover the ground, the first that has data counts.
    bounds : west, south, east, north of each in metres of the Mercator plane.
    cells_m : size of the coarsest cells that each file has (overviews count), in the same metres.
    """

    product: "Product"
    paths: tuple[Path, ...]
    bounds: tuple[tuple[float, float, float, float], ...]
    cells_m: tuple[float, ...]

    @classmethod
    def of(cls, paths: Sequence[Path], product: "Product") -> "Cover | None":
        """The layer of some rasters; None for a product of quantities, which has no classes to show.

        Raises
        ------
        rasterio.errors.RasterioIOError : a raster is missing or cannot be read.
        """
        import rasterio
        from rasterio.warp import transform_bounds

        if product.threshold is not None or len(product.legend) > _MOST_CLASSES:
            return None
        bounds: list[Any] = []
        cells: list[float] = []
        for path in paths:
            with rasterio.open(path) as source:
                found = transform_bounds(source.crs, _MERCATOR, *source.bounds)
                bounds.append(tuple(float(side) for side in found))
                cells.append((found[2] - found[0]) / source.width * max(source.overviews(1), default=1))
        return cls(product, tuple(paths), tuple(bounds), tuple(cells))

    @property
    def first_zoom(self) -> int:
        """The lowest zoom at which all rasters are drawn."""
        return max((self._first_zoom(cell) for cell in self.cells_m), default=0)

    @staticmethod
    def _first_zoom(cell_m: float) -> int:
        return max(int(np.ceil(np.log2(2 * _HALF / 256 / (cell_m * _MOST_CELLS)))), 0)

    def legend(self) -> dict[str, Any]:
        """Title, unit and entries as plain data: all classes of the product."""
        items = [
            {"key": f"class{code}", "label": str(name), "color": str(color), "pattern": "none", "edge": str(color)}
            | {"from": None, "to": None}
            for code, name, color in self.product.legend[["name", "color"]].itertuples()
        ]
        return {"layer": "cover", "title": f"Land cover, {self.product.title}", "unit": "", "items": items}

    def picture(self, z: int, x: int, y: int, *, size: int = 256) -> bytes:
        """The PNG of a tile; transparent outside the rasters, without data, and where the legend knows no such class.

        Below `first_zoom` rasters without overviews are left out.
        """
        side = 2 * _HALF / 2**z
        west, north = x * side - _HALF, _HALF - y * side
        box = (west, north - side, west + side, north)
        near = [
            path
            for path, bounds, cell in zip(self.paths, self.bounds, self.cells_m, strict=True)
            if _touch(box, bounds) and side / size <= cell * _MOST_CELLS
        ]
        if not near:
            return blank(size)
        legend = self.product.legend
        lookup = {int(code): place for place, code in enumerate(legend.index, start=1)}
        made = np.zeros((size, size), dtype=np.uint8)
        covered = np.zeros((size, size), dtype=bool)
        for path in near:
            codes, seen = _read(path, box, size)
            seen &= ~np.isin(codes, [self.product.nodata, *self.product.also_nodata])
            here = _looked_up(codes, lookup)
            made = np.where(seen & ~covered, here, made)
            covered |= seen
        return _png(made, [str(color) for color in legend["color"]]) if made.any() else blank(size)


def _touch(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and one[2] > other[0] and one[1] < other[3] and one[3] > other[1]


def _read(path: Path, box: tuple[float, ...], size: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Codes of a raster on the pixels of a tile, and where it has any."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import from_bounds
    from rasterio.vrt import WarpedVRT

    grid = {"transform": from_bounds(*box, size, size), "width": size, "height": size}
    with (
        rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES),
        rasterio.open(path, **_overview(path, (box[2] - box[0]) / size)) as source,
        WarpedVRT(source, crs=_MERCATOR, add_alpha=True, resampling=Resampling.nearest, **grid) as view,
    ):
        codes, alpha = view.read([1, view.count])
    return codes, alpha > 0


def _overview(path: Path, pixel_m: float) -> dict[str, int]:
    """The coarsest overview that is still as fine as the picture, as an option to open the file with."""
    import rasterio
    from rasterio.warp import transform_bounds

    with rasterio.open(path) as source:
        west, _, east, _ = transform_bounds(source.crs, _MERCATOR, *source.bounds)
        cell_m = (east - west) / source.width
        fine = [factor for factor in source.overviews(1) if factor * cell_m <= pixel_m]
    return {"overview_level": len(fine) - 1} if fine else {}


def _looked_up(codes: npt.NDArray[Any], lookup: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    """Place of each code in the legend, from 1; 0 where it has none."""
    known = np.array(sorted(lookup))
    places = np.array([lookup[int(code)] for code in known], dtype=np.uint8)
    where = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    found: npt.NDArray[np.uint8] = np.where(known[where] == codes, places[where], 0).astype(np.uint8)
    return found


def _png(places: npt.NDArray[np.uint8], colors: Sequence[str]) -> bytes:
    from PIL import Image

    palette = b"".join([bytes(4), *(bytes.fromhex(color[1:]) + b"\xff" for color in colors)])
    image = Image.fromarray(places, "P")
    image.putpalette(palette.ljust(1024, b"\0"), "RGBA")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4)
    return file.getvalue()
