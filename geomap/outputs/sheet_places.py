"""Places on a printed map: Web Mercator, what it shows, outlines as paths, and round steps for scales and degrees."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import shapely

from geomap.outputs.context import Bounds, Context

_RADIUS_M: Final = 6_378_137.0


def bounds_of_boxes(boxes: Sequence[Sequence[float]]) -> Bounds:
    sides = np.array(boxes, dtype=float)
    return (*sides[:, :2].min(axis=0).tolist(), *sides[:, 2:].max(axis=0).tolist())


def view_of(boxes: Sequence[Sequence[float]], ratio: float) -> Bounds:
    """What a map shows, in metres of Web Mercator: boxes in degrees with a margin, `ratio` times as wide as high."""
    west, south, east, north = mercator_box(bounds_of_boxes(boxes))
    tall = 1.12 * max(north - south, (east - west) / ratio)
    x, y = (west + east) / 2, (south + north) / 2
    return x - tall * ratio / 2, y - tall / 2, x + tall * ratio / 2, y + tall / 2


def land_within(view: Bounds) -> list[Any]:
    """Land within the view, country by country, in Web Mercator."""
    from geomap.plots.place import country_outlines

    box = shapely.box(*degrees(view[0], view[1]), *degrees(view[2], view[3]))
    shapes = country_outlines().geometry.to_numpy()
    near = shapes[shapely.intersects(shapes, box)]
    cut = shapely.intersection(near, shapely.buffer(box, 0.5 * math.sqrt(box.area), join_style="mitre"))
    return [mercator(shape) for shape in cut]


def mercator(shape: Any) -> Any:
    """Source: EPSG:3857."""
    return shapely.transform(shape, lambda places: np.column_stack(xy(*places.T)))


def mercator_box(box: Bounds) -> Bounds:
    (west, south), (east, north) = xy(box[0], box[1]), xy(box[2], box[3])
    return float(west), float(south), float(east), float(north)


def xy(lon: Any, lat: Any) -> tuple[Any, Any]:
    held = np.clip(np.asarray(lat, dtype=float), -85.0, 85.0)
    return _RADIUS_M * np.radians(lon), _RADIUS_M * np.arctanh(np.sin(np.radians(held)))


def degrees(x: float, y: float) -> tuple[float, float]:
    return math.degrees(x / _RADIUS_M), math.degrees(math.asin(math.tanh(y / _RADIUS_M)))


def path_of(shape: Any) -> Any:
    """The polygons of a shape as one path, holes included."""
    from matplotlib.path import Path as Drawn

    polygons = [part for part in shapely.get_parts(shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    rings = [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    if not rings:
        return Drawn(np.zeros((0, 2)))
    return Drawn.make_compound_path(*(Drawn(shapely.get_coordinates(ring), closed=True) for ring in rings))


def picture(land: Context) -> Any:
    """The land cover's PNG as an array of colours."""
    from PIL import Image

    png = base64.b64decode(land.url.partition(",")[2])
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"))


def round_step(rough: float) -> float:
    """The largest of 1, 2, 2.5 and 5 times a power of ten that is at most this.

    Examples
    --------
    >>> round_step(0.3), round_step(49.0)
    (0.25, 25.0)
    """
    power = 10.0 ** math.floor(math.log10(rough))
    return next(float(f"{factor * power:.3g}") for factor in (5.0, 2.5, 2.0, 1.0) if factor * power <= rough * 1.001)


def degree_words(value: float, sides: str, step: float) -> str:
    """A degree of longitude ("EW") or latitude ("NS") with the decimals of the step.

    Examples
    --------
    >>> degree_words(-88.25, "EW", 0.25)
    '88.25° W'
    """
    decimals = max(0, -math.floor(math.log10(step)) + (f"{step:e}"[2] == "5"))
    return f"{abs(value):.{decimals}f}° {sides[0] if value >= 0 else sides[1]}"
