"""Pictures of map tiles: each plot as its outline, or as a dot where it is smaller than two pixels; none is lost."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from geomap.outputs.map_words import COLORS, NOTHING, class_breaks, classes_of
from geomap.outputs.tile_outlines import Outlines, outlines
from geomap.outputs.tiles import SPAN, Floats, Ints, TileIndex

if TYPE_CHECKING:
    import pandas as pd

Pattern = Literal["none", "lines", "cross", "dots"]
Codes = npt.NDArray[np.uint8]

WHITE, DARK, INK = "#ffffff", "#55646a", "#1b1b1b"
UNKNOWN: Final = "#c9cdce"
FILL_ALPHA: Final = 217
"""Of 255: 0.85, as on the map of a run."""
_CANVAS: Final = 1024
"""Pixels along the side of what is drawn, before it is made smaller: so edges are smooth."""
_DOT_PX: Final = 2
"""Plots with a longest side below this many pixels are dots."""
_EDGE_PX: Final = 8
_LINE: Final = 4
_PERIOD: Final = 32
"""Canvas pixels after which a pattern repeats; divides the canvas, so patterns go on over the borders of tiles."""
_POINT_ZOOM: Final = 13
"""From here on a plot without an outline is a round mark."""
_POINT_RADIUS: Final = 14
_INK, _WHITE_EDGE, _DARK_EDGE = 253, 254, 255


@dataclass(frozen=True)
class Style:
    """How plots of one kind are drawn, and what the legend says of them.

    Attributes
    ----------
    key : stable name. low, high : limits of a class of numbers; None where it is open.
    """

    key: str
    label: str
    color: str
    pattern: Pattern = "none"
    edge: str = WHITE
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Layer:
    """What is drawn of the plots of an index.

    Attributes
    ----------
    codes : of each row of the index, the number of its style, from 1.
    merge : one code of the codes, or rows, of many plots in one pixel.
    """

    name: str
    title: str
    unit: str
    styles: tuple[Style, ...]
    codes: Codes
    merge: Callable[[Ints, Ints, int], Codes]

    def legend(self) -> dict[str, Any]:
        """Title, unit and entries as plain data."""
        items = [
            {
                "key": one.key,
                "label": one.label,
                "color": one.color,
                "pattern": one.pattern,
                "edge": one.edge,
                "from": one.low,
                "to": one.high,
            }
            for one in self.styles
        ]
        return {"layer": self.name, "title": self.title, "unit": self.unit, "items": items}


# ---- what can be drawn ----


def potential_layer(index: TileIndex, *, form: str = "") -> Layer:
    """Potential of a plot in kilograms; a pixel of many plots shows their mean."""
    kg = index.values["potential_kg"]
    title = f"Potential of a plot, kg {form} a year".replace("  ", " ")
    return _scale("potential", title, "kg", kg, np.ones_like(kg))


def uncertainty_layer(index: TileIndex) -> Layer:
    """Width of the interval P10–P90 relative to the mean; of many plots, their widths relative to their means."""
    mean = index.values["potential_kg"]
    width = index.values["p90_kg"] - index.values["p10_kg"]
    return _scale("uncertainty", "Width of the interval P10 – P90, times the mean", "1", width, mean)


def findings_layer(index: TileIndex) -> Layer:
    """The gravest finding of a plot; of many plots, the gravest of all."""
    styles = (
        Style("none", "no finding", "#6b877c", edge=DARK),
        Style("note", "note", "#9ecae1", "dots", DARK),
        Style("warning", "warning", "#fdae6b", "lines", INK),
        Style("serious", "serious", "#a3155a", "cross", INK),
    )
    codes = (index.finding + 1).astype(np.uint8)
    return Layer("findings", "Gravest finding of a plot", "", styles, codes, _worst(codes))


def class_layer(index: TileIndex, legend: "pd.DataFrame") -> Layer:
    """The land-cover class that covers most of a plot; of many plots, the most frequent one.

    Parameters
    ----------
    legend : of the product: index class, columns name, color.
    """
    patterns: tuple[Pattern, ...] = ("none", "lines", "dots", "cross")
    present = [code for code in np.unique(index.land).tolist() if code in legend.index]
    styles = [
        Style(f"class{code}", str(legend["name"][code]), str(legend["color"][code]), patterns[place % 4], INK)
        for place, code in enumerate(present)
    ]
    place = np.searchsorted(np.asarray(present, dtype=int), index.land)
    known = np.isin(index.land, present)
    codes = np.where(known, place + 1, len(present) + 1).astype(np.uint8)
    if not known.all():
        styles.append(Style("unknown", "not known", UNKNOWN, "lines", DARK))
    return Layer("class", "Main land cover of a plot", "", tuple(styles), codes, _most(codes, len(styles)))


def plain_layer(index: TileIndex) -> Layer:
    """The plots and nothing of them."""
    codes = np.ones(len(index), dtype=np.uint8)
    return Layer("plain", "Plots", "", (Style("plot", "plot", COLORS[1]),), codes, _worst(codes))


def _scale(name: str, title: str, unit: str, over: Floats, under: Floats) -> Layer:
    """Five classes with about as many plots each, of a quotient; nothing where it is no more than 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        known = (over / under).astype(float)
    breaks = class_breaks(known[np.isfinite(known)]) if np.isfinite(known).any() else []
    steps = classes_of([breaks[0] / 2, *breaks] if breaks else [1.0], breaks)
    ends: list[float | None] = [None, *breaks, None]
    styles = [
        Style(f"class{place}", _between(low, high), COLORS[step], low=low, high=high)
        for place, (step, low, high) in enumerate(zip(steps, ends[:-1], ends[1:], strict=True))
    ]
    styles += [Style("nothing", "none", NOTHING, edge=DARK), Style("unknown", "not known", UNKNOWN, "lines", DARK)]
    nothing, unknown = len(steps) + 1, len(steps) + 2

    def coded(numbers: Any) -> Codes:
        place = np.searchsorted(np.asarray(breaks), numbers, side="right") + 1
        made: Codes = np.select([np.isnan(numbers), numbers > 0], [unknown, place], nothing).astype(np.uint8)
        return made

    def mean(pixels: Ints, rows: Ints, count: int) -> Codes:
        told = np.isfinite(over[rows]) & np.isfinite(under[rows])
        place = pixels[told]
        tops = np.bincount(place, weights=over[rows[told]], minlength=count)
        bottoms = np.bincount(place, weights=under[rows[told]], minlength=count)
        with np.errstate(divide="ignore", invalid="ignore"):
            merged = coded(tops / bottoms)
        merged[np.bincount(pixels, minlength=count) == 0] = 0
        return merged

    return Layer(name, title, unit, tuple(styles), coded(known), mean)


def _between(low: float | None, high: float | None) -> str:
    """The words of a class of numbers."""
    ends = ["" if end is None else f"{end:,.4g}" if end < 1 else f"{end:,.0f}" for end in (low, high)]
    if low is None:
        return "all" if high is None else f"under {ends[1]}"
    return f"{ends[0]} or more" if high is None else " – ".join(ends)


def _worst(codes: Codes) -> Callable[[Ints, Ints, int], Codes]:
    def merge(pixels: Ints, rows: Ints, count: int) -> Codes:
        merged = np.zeros(count, dtype=np.uint8)
        here = codes[rows]
        for code in np.unique(here):
            merged[pixels[here == code]] = code
        return merged

    return merge


def _most(codes: Codes, kinds: int) -> Callable[[Ints, Ints, int], Codes]:
    def merge(pixels: Ints, rows: Ints, count: int) -> Codes:
        counts = np.bincount(pixels * (kinds + 1) + codes[rows], minlength=count * (kinds + 1))
        merged: Codes = counts.reshape(count, kinds + 1).argmax(axis=1).astype(np.uint8)
        return merged

    return merge


# ---- a picture ----


def picture(index: TileIndex, layer: Layer, z: int, x: int, y: int, *, size: int = 256) -> bytes:
    """The PNG of a tile: plots in their colours on transparent ground. Same plots, same bytes.

    Parameters
    ----------
    z, x, y : zoom, column from the west and row from the north. size : pixels along a side; 512 for fine screens.
    """
    from PIL import Image

    rows = index.rows(z, x, y)
    if not len(rows):
        return blank(size)
    box = index.box[rows].astype(np.int64)
    longest = (box[:, 2:] - box[:, :2]).max(axis=1)
    small = longest * size < _DOT_PX * (SPAN >> z)
    as_points = longest == 0 if z >= _POINT_ZOOM else np.zeros(len(rows), dtype=bool)
    dots = small & ~as_points
    made = Image.new("RGBA", (size, size))
    if dots.any():
        grid = _dots(layer, rows[dots], box[dots], (z, x, y), size)
        made = _colored(grid, [one.color if one.color != NOTHING else one.edge for one in layer.styles])
    if not dots.all():
        drawn = np.flatnonzero(~dots)
        drawn = drawn[np.argsort(-longest[drawn], kind="stable")]  # the small ones on top
        codes = _drawn(layer, outlines(index, rows[drawn], z, x, y), longest[drawn] * size / (SPAN >> z))
        over = _colored(codes, [one.color for one in layer.styles]).reduce(_CANVAS // size)
        made = Image.alpha_composite(made, over) if dots.any() else over
    return _png(made)


@cache
def blank(size: int = 256) -> bytes:
    """The PNG of a tile on which there is nothing."""
    from PIL import Image

    return _png(Image.new("RGBA", (size, size)))


def _dots(layer: Layer, rows: Ints, box: Ints, tile: tuple[int, int, int], size: int) -> Codes:
    """Codes of the pixels in which the middle of a plot lies, and of the empty ones beside them."""
    z, x, y = tile
    side, pad = SPAN >> z, size // 256
    middle = (box[:, :2] + box[:, 2:]) // 2 - np.array([x, y]) * side
    column, row = (middle * size // side + pad).T
    width = size + 2 * pad
    here = (column >= 0) & (row >= 0) & (column < width) & (row < width)
    grid = layer.merge((row * width + column)[here], rows[here], width * width).reshape(width, width)
    for _ in range(pad):
        wide = np.pad(grid, 1)
        for beside in (wide[2:, 1:-1], wide[1:-1, 2:], wide[1:-1, :-2], wide[:-2, 1:-1]):
            grid = np.where(grid == 0, beside, grid)
    return grid[pad:-pad, pad:-pad]


def _drawn(layer: Layer, told: Outlines, longest_px: npt.NDArray[Any]) -> Codes:
    """Codes of the canvas: fills, their patterns, and edges where a plot is large enough."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (_CANVAS, _CANVAS))
    pen = ImageDraw.Draw(image)
    edges = [_WHITE_EDGE if one.edge == WHITE else _DARK_EDGE for one in layer.styles]
    codes, sizes = layer.codes[told.rows].tolist(), longest_px.tolist()
    flat = (told.places * _CANVAS - 0.5).ravel().tolist()
    for place, rings in told.plots():
        code = codes[place]
        paths = [flat[2 * first : 2 * last] for first, last, _ in rings]
        if len(paths[0]) < 6:
            for path in paths:
                _mark(pen, path, code, edges[code - 1])
            continue
        if any(hole for _, _, hole in rings):
            _fill_with_holes(image, paths, [hole for _, _, hole in rings], code)
        else:
            for path in paths:
                pen.polygon(path, fill=code)
        if sizes[place] >= _EDGE_PX:
            for path in paths:
                pen.line(path + path[:4], fill=edges[code - 1], width=_LINE)
    return _patterned(np.asarray(image), layer.styles)


def _mark(pen: Any, path: Sequence[float], code: int, edge: int) -> None:
    """A round mark of the same size at every zoom."""
    for column, row in zip(path[::2], path[1::2], strict=True):
        corners = (column - _POINT_RADIUS, row - _POINT_RADIUS, column + _POINT_RADIUS, row + _POINT_RADIUS)
        pen.ellipse(corners, fill=code, outline=edge, width=_LINE)


def _fill_with_holes(image: Any, paths: Sequence[Sequence[float]], holes: Iterable[bool], code: int) -> None:
    """Fill outlines but for their holes, in which others may stand."""
    from PIL import Image, ImageDraw

    every = np.array([number for path in paths for number in path]).reshape(-1, 2)
    west, north = np.maximum(np.floor(every.min(axis=0)), 0).astype(int).tolist()
    east, south = np.minimum(np.ceil(every.max(axis=0)) + 1, _CANVAS).astype(int).tolist()
    if east <= west or south <= north:
        return
    mask = Image.new("1", (east - west, south - north))
    pen = ImageDraw.Draw(mask)
    for path, hole in zip(paths, holes, strict=True):
        moved = (np.array(path).reshape(-1, 2) - [west, north]).ravel().tolist()
        pen.polygon(moved, fill=0 if hole else 1)
    image.paste(code, (west, north), mask)


def _patterned(codes: Codes, styles: Sequence[Style]) -> Codes:
    """Ink on the fills whose style has a pattern."""
    kinds = {one.pattern for one in styles} - {"none"}
    if not kinds:
        return codes
    made = codes.copy()
    for kind in sorted(kinds):
        chosen = np.zeros(256, dtype=bool)
        chosen[[place for place, one in enumerate(styles, start=1) if one.pattern == kind]] = True
        made[chosen[codes] & _pattern(kind)] = _INK
    return made


@cache
def _pattern(kind: Pattern) -> npt.NDArray[np.bool_]:
    """Where a pattern of the canvas has ink."""
    down, across = np.mgrid[:_CANVAS, :_CANVAS] % _PERIOD
    half = _PERIOD // 2
    rising, falling = (across + down) % _PERIOD < _LINE, (across - down) % _PERIOD < _LINE
    spots = (across - half) ** 2 + (down - half) ** 2 < _LINE**2
    inked: npt.NDArray[np.bool_] = {"dots": spots, "lines": rising, "cross": rising | falling}[kind]
    return inked


def _colored(codes: Codes, colors: Sequence[str]) -> Any:
    from PIL import Image

    palette = np.zeros((256, 4), dtype=np.uint8)
    for place, color in enumerate(colors, start=1):
        palette[place] = (*bytes.fromhex(color[1:]), FILL_ALPHA)
    for place, color in ((_INK, INK), (_WHITE_EDGE, WHITE), (_DARK_EDGE, DARK)):
        palette[place] = (*bytes.fromhex(color[1:]), 255)
    image = Image.fromarray(np.ascontiguousarray(codes), "P")
    image.putpalette(palette.tobytes(), "RGBA")
    return image.convert("RGBA")


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4)
    return file.getvalue()


def layers_of(index: TileIndex, names: Iterable[str], *, legend: "pd.DataFrame", form: str = "") -> Mapping[str, Layer]:
    """The layers of these names."""
    makers: Mapping[str, Callable[[], Layer]] = {
        "potential": lambda: potential_layer(index, form=form),
        "uncertainty": lambda: uncertainty_layer(index),
        "findings": lambda: findings_layer(index),
        "class": lambda: class_layer(index, legend),
        "plain": lambda: plain_layer(index),
    }
    return {name: makers[name]() for name in names}
