"""Which files of a product lie under plots, by the names that the product gives to its tiles."""

from itertools import product as pairs
from typing import Final

import geopandas as gpd
import numpy as np
import shapely

from geomap.errors import RasterError
from geomap.landcover.product import Product, Tiles

_BANDS: Final = "CDEFGHJKLMNPQRSTUVWX"
_HAIR_DEG: Final = 1e-9


def addresses(plots: gpd.GeoDataFrame, product: Product, *, base_url: str | None = None) -> list[str]:
    """Addresses of the product's files under the plots' boxes, sorted; empty where no plot has an outline.

    Parameters
    ----------
    plots : EPSG:4326.
    product : with `tiles`.
    base_url : folder that takes the place of the product's own, such as a copy on a server nearby.

    Raises
    ------
    RasterError : the product's files are not offered tile by tile.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> plots = gpd.GeoDataFrame(geometry=[shapely.box(-88.1, 14.9, -88.0, 15.1)], crs="EPSG:4326")
    >>> for address in addresses(plots, product("esa-worldcover-2021"), base_url="http://127.0.0.1/map"):
    ...     print(address)
    http://127.0.0.1/map/ESA_WorldCover_10m_2021_v200_N12W090_Map.tif
    http://127.0.0.1/map/ESA_WorldCover_10m_2021_v200_N15W090_Map.tif
    """
    if product.tiles is None:
        raise RasterError(
            f"{product.title} is not offered as files that can be downloaded tile by tile.",
            why=f"Its licence is {product.licence}; its makers hand it out another way, such as an export of your own.",
            todo="Export it for your region and name the file with --raster.",
        )
    outlines = shapely.get_parts(plots.geometry.to_numpy())  # two parts at 180° east and west have two boxes, not one
    boxes = shapely.bounds(outlines[shapely.area(outlines) > 0]).reshape(-1, 4)
    template = product.tiles.address
    if base_url is not None:
        template = f"{base_url.rstrip('/')}/{template.rpartition('/')[2]}".replace("\\", "/")
        head, _, name = template.rpartition("/")
        template = f"{head.replace('{', '{{').replace('}', '}}')}/{name}"
    return sorted({template.format(**parts) for parts in _named(boxes, product.tiles)})


def _named(boxes: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", tiles: Tiles) -> list[dict[str, str | int]]:
    """What fills in the template, once per tile under a box."""
    if not len(boxes) or tiles.corner == "":
        return [{} for _ in boxes[:1]]
    wide, high = (6, 8) if tiles.corner == "utm" else (tiles.degrees, tiles.degrees)
    first = np.floor(boxes[:, :2] / [wide, high]).astype(int)
    last = np.maximum(np.ceil((boxes[:, 2:] - _HAIR_DEG) / [wide, high]).astype(int) - 1, first)
    cells = {
        cell
        for west, south, east, north in np.unique(np.column_stack([first, last]), axis=0).tolist()
        for cell in pairs(range(west, east + 1), range(south, north + 1))
    }
    return [_parts(column, row, tiles) for column, row in sorted(cells)]


def _parts(column: int, row: int, tiles: Tiles) -> dict[str, str | int]:
    if tiles.corner == "utm":
        band = _BANDS[min(max(row + 10, 0), len(_BANDS) - 1)]
        return {"zone": column + 31, "band": band}
    lon, lat = column * tiles.degrees, row * tiles.degrees + (tiles.degrees if tiles.corner == "north-west" else 0)
    return {"NS": "N" if lat >= 0 else "S", "lat": abs(lat), "EW": "E" if lon >= 0 else "W", "lon": abs(lon)}
