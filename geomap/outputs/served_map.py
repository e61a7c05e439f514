"""The map that the service shows in a frame: one page without data, to which the page around it hands pictures."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from geomap.errors import UnknownNameError
from geomap.outputs.map_page import FRAME, map_page
from geomap.outputs.maps import empty_map
from geomap.outputs.tiles import SPAN, Bounds, units

_ADDRESS: Final = re.compile(r"(https://[a-z0-9.-]+(?::[0-9]{1,5})?)/[\w./~%{}?&=+@-]*", re.IGNORECASE)
_TILE_PX: Final = 256
_MARGIN_PX: Final = 32
_NEAREST: Final = 18
_GROUND: Final = "#eef1ee"
_PLACES: Final = ("{z}", "{x}", "{y}")


@dataclass(frozen=True)
class Basemap:
    """Pictures that lie under the map, from one other server.

    Attributes
    ----------
    address : https, with {z}, {x} and {y} where zoom, column and row stand.
    credit : what its makers want to be told beside it.
    """

    address: str
    credit: str

    @property
    def origin(self) -> str:
        """The one server that the frame may ask.

        Examples
        --------
        >>> Basemap("https://tiles.example/{z}/{x}/{y}.png", "The mappers").origin
        'https://tiles.example'

        Raises
        ------
        UnknownNameError : the address is none of this kind.
        """
        found = _ADDRESS.fullmatch(self.address)
        if found is None or not all(place in self.address for place in _PLACES):
            raise UnknownNameError(
                "The address of the basemap is none.",
                why="The frame may ask one server alone, and must know what for.",
                todo="Write it as https://server/{z}/{x}/{y}.png.",
            )
        return found[1]


@cache
def served_map(basemap: Basemap | None = None) -> str:
    """The frame's page: Leaflet and our scripts, and not one fact of anybody.

    It asks for tiles, legend and what stands at a place by `postMessage`, and takes messages from the page around it
    alone. Its own policy lets it reach nothing but the basemap's pictures, where there is a basemap.

    Raises
    ------
    UnknownNameError : the basemap's address is none.
    """
    pictures = ["data:", "blob:", *([basemap.origin] if basemap else [])]
    drawing = empty_map(None if basemap is None else (basemap.address, basemap.credit))
    return map_page(drawing, {}, {}, kind=FRAME, pictures=pictures)


def still_map(draw: Callable[[int, int, int], bytes], bounds: Bounds, *, width: int = 1024, height: int = 640) -> bytes:
    """A PNG of everything within the bounds, for whoever has no script.

    Parameters
    ----------
    draw : the PNG of a tile of 256 pixels, of zoom, column from the west and row from the north.
    bounds : west, south, east, north in degrees.
    width, height : of the picture in pixels.
    """
    import io

    from PIL import Image

    (west, north), (east, south) = units([bounds[0], bounds[2]], [bounds[3], bounds[1]]).astype(float) / SPAN
    room = max((east - west) / (width - 2 * _MARGIN_PX), (south - north) / (height - 2 * _MARGIN_PX), 1e-9)
    zoom = max(0, min(_NEAREST, math.floor(-math.log2(room * _TILE_PX))))
    side = _TILE_PX * 2**zoom
    left, top = round((west + east) / 2 * side - width / 2), round((north + south) / 2 * side - height / 2)
    made = Image.new("RGB", (width, height), _GROUND)
    for x in range(max(left // _TILE_PX, 0), min((left + width) // _TILE_PX + 1, 2**zoom)):
        for y in range(max(top // _TILE_PX, 0), min((top + height) // _TILE_PX + 1, 2**zoom)):
            tile = Image.open(io.BytesIO(draw(zoom, x, y)))
            made.paste(tile, (x * _TILE_PX - left, y * _TILE_PX - top), tile)
    file = io.BytesIO()
    made.save(file, "PNG")
    return file.getvalue()
