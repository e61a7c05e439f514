"""A map for a report or a wall: one sheet as PNG (300 dpi) and PDF, with cells of many members and no plot or name.

It shows the cells of the buyers' map (`supply.disclosure`) and land cover within these cells alone. Nothing on it comes
from the clock, so equal runs give equal bytes.
"""

import datetime
import math
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import shapely

from geomap.outputs import map_words as words
from geomap.outputs.context import Bounds
from geomap.outputs.donor_sheet import LAND, Sheet, sheet_of, short_mass
from geomap.outputs.pdf import drawable
from geomap.outputs.publish import put_file
from geomap.outputs.sheet_places import (
    degree_words,
    degrees,
    land_within,
    mercator,
    mercator_box,
    path_of,
    picture,
    round_step,
    view_of,
    xy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from geomap.run import Run

DPI: Final = 300
SIZE_IN: Final = (11.69, 8.27)
"""A4, lying."""

INK: Final = "#1d2522"
SOFT: Final = "#56615c"
PAPER: Final = "#ffffff"
SEA: Final = "#e9eef0"
LINE: Final = "#9aa39e"
CIRCLE: Final = "#00224e"
"""Dark blue: it stands out from every land-cover colour by its lightness, also without colour vision."""

_MADE: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_MAP: Final = (0.045, 0.115, 0.635, 0.735)
_SIDE: Final = 0.715
_RIGHT: Final = 0.965
_RATIO: Final = _MAP[2] * SIZE_IN[0] / (_MAP[3] * SIZE_IN[1])
_LARGEST_PT: Final = 40.0


def write_donor_map(run: "Run", out: Path) -> None:
    """Leave donor_map.png (A4, 300 dpi) and donor_map.pdf in the folder `out`.

    The sheet has a title, the season of the run, a scale bar, a north arrow, a legend, the rounded sums of cooperatives
    that may be shown, sources and licence. Places are no finer than the cells of the buyers' map.

    Parameters
    ----------
    run : areas in hectares, weights in kilograms.
    out : a folder; it is made where it is not there.

    Raises
    ------
    OutputError : the files cannot be written.
    """
    figure = donor_map(run)
    for kind, metadata in _metadata(run).items():
        put_file(Path(out) / f"donor_map.{kind}", partial(_save, figure, kind=kind, metadata=metadata))


def donor_map(run: "Run") -> "Figure":
    """The sheet as a matplotlib figure; 11.69 × 8.27 inches, in Web Mercator."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = sheet_of(run)
    figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    _heading(figure, sheet)
    place = figure.add_axes(_MAP, facecolor=SEA)
    largest = float(sheet.cells["total"].max()) if len(sheet.cells) else 0.0
    if len(sheet.cells):
        _draw_map(place, sheet, largest)
        _draw_locator(figure, sheet)
    else:
        _draw_nothing(place)
    _draw_side(figure, sheet, largest)
    _draw_footer(figure, sheet)
    return figure


def _save(figure: "Figure", path: Path, *, kind: Literal["png", "pdf"], metadata: dict[str, Any]) -> None:
    from matplotlib import rc_context

    with rc_context({"pdf.fonttype": 42, "svg.hashsalt": "geomap"}):
        figure.savefig(path, format=kind, dpi=DPI, metadata=metadata, facecolor=PAPER)


def _metadata(run: "Run") -> dict[Literal["png", "pdf"], dict[str, Any]]:
    title = drawable(words.title(run))
    pdf = {"Title": title, "Creator": "geomap", "Producer": "geomap", "CreationDate": _MADE, "ModDate": _MADE}
    return {"png": {"Title": title, "Software": "geomap"}, "pdf": pdf}


def _heading(figure: "Figure", sheet: Sheet) -> None:
    _text(figure, _MAP[0], 0.935, sheet.title, size=20, weight="bold", limit=64)
    _text(figure, _MAP[0], 0.893, sheet.subtitle, size=11.5, color=SOFT, limit=100)


def _draw_map(place: "Axes", sheet: Sheet, largest: float) -> None:
    """Land, land cover, cells and circles, with a frame of degrees, a scale bar and an arrow to the north."""
    from matplotlib.patches import PathPatch

    view = view_of(sheet.boxes(), _RATIO)
    place.set_xlim(view[0], view[2])
    place.set_ylim(view[1], view[3])
    place.set_aspect("equal", adjustable="box")
    for shape in land_within(view):
        place.add_patch(PathPatch(path_of(shape), facecolor=LAND, edgecolor=LINE, linewidth=0.7, zorder=1))
    if sheet.land is not None:
        west, south, east, north = mercator_box(sheet.land.bounds)
        image = picture(sheet.land)
        place.imshow(image, extent=(west, east, south, north), origin="upper", interpolation="nearest", zorder=2)
        place.set_xlim(view[0], view[2])
        place.set_ylim(view[1], view[3])
    for shape in sheet.shapes:
        place.add_patch(
            PathPatch(path_of(mercator(shape)), facecolor="none", edgecolor="#ffffff", linewidth=2.2, zorder=3)
        )
        place.add_patch(PathPatch(path_of(mercator(shape)), facecolor="none", edgecolor=INK, linewidth=0.7, zorder=4))
    middles = shapely.get_coordinates(shapely.point_on_surface(np.array([mercator(shape) for shape in sheet.shapes])))
    for (x, y), total in sorted(zip(middles.tolist(), sheet.cells["total"], strict=True), key=lambda one: -one[1]):
        if total > 0:
            _circle(place, x, y, float(total), largest)
    _frame(place, view)
    _scale_bar(place, view)
    _north_arrow(place)


def _circle(place: "Axes", x: float, y: float, total: float, largest: float) -> None:
    """A circle whose area is as the total, with its number where that fits."""
    points = _LARGEST_PT * math.sqrt(total / largest)
    place.plot(
        [x], [y], marker="o", markersize=points, markerfacecolor=CIRCLE, markeredgecolor="#ffffff", markeredgewidth=1.1,
        alpha=0.88, zorder=5,
    )  # fmt: skip
    if points >= 24:
        _text(
            place, x, y, short_mass(total), size=6.6, color="#ffffff", weight="bold", ha="center", va="center", zorder=6
        )


def _frame(place: "Axes", view: Bounds) -> None:
    """Degrees on the frame, few and round."""
    west, south = degrees(view[0], view[1])
    east, north = degrees(view[2], view[3])
    step = round_step(max(east - west, north - south) / 4)
    lons = np.arange(math.ceil(west / step), math.floor(east / step) + 1) * step
    lats = np.arange(math.ceil(south / step), math.floor(north / step) + 1) * step
    place.set_xticks([xy(lon, 0.0)[0] for lon in lons], [degree_words(lon, "EW", step) for lon in lons])
    place.set_yticks([xy(0.0, lat)[1] for lat in lats], [degree_words(lat, "NS", step) for lat in lats])
    place.tick_params(labelsize=7, colors=SOFT, length=3, width=0.6, direction="out")
    for label in place.get_yticklabels():
        label.set_rotation(90)
        label.set_verticalalignment("center")
    for spine in place.spines.values():
        spine.set_color(INK)
        spine.set_linewidth(0.8)


def _scale_bar(place: "Axes", view: Bounds) -> None:
    """Two fields of a round number of kilometres on the ground, in the middle latitude of the map."""
    from matplotlib.patches import Rectangle

    lat = degrees(0.0, (view[1] + view[3]) / 2)[1]
    stretch = 1.0 / math.cos(math.radians(lat))
    width, height = view[2] - view[0], view[3] - view[1]
    km = round_step(width / stretch / 1000 / 9)
    field, tall = km * 1000 * stretch, height * 0.008
    x, y = view[0] + width * 0.03, view[1] + height * 0.035
    pad = width * 0.012
    place.add_patch(
        Rectangle(
            (x - pad, y - tall * 1.6),
            2 * field + 4.2 * pad,
            tall * 7.2,
            facecolor="#ffffff",
            alpha=0.86,
            linewidth=0,
            zorder=7,
        )
    )
    for part, fill in enumerate((INK, "#ffffff")):
        place.add_patch(
            Rectangle((x + part * field, y), field, tall, facecolor=fill, edgecolor=INK, linewidth=0.7, zorder=8)
        )
    for part in range(3):
        unit = " km" if part == 2 else ""
        _text(
            place, x + part * field, y + tall * 1.9, f"{km * part:,.6g}{unit}", size=7, ha="center", va="bottom",
            zorder=8,
        )  # fmt: skip


def _north_arrow(place: "Axes") -> None:
    """In Web Mercator north is up everywhere."""
    from matplotlib.patches import Circle, Polygon

    box = place.inset_axes((0.925, 0.885, 0.06, 0.10))
    box.set_xlim(-1, 1)
    box.set_ylim(-1, 1)
    box.set_aspect("equal")
    box.axis("off")
    box.set_zorder(9)
    box.add_patch(Circle((0, 0), 0.98, facecolor="#ffffff", edgecolor=LINE, linewidth=0.5, alpha=0.9))
    box.add_patch(Polygon([(0, 0.52), (0, -0.50), (-0.36, -0.74)], facecolor=INK, linewidth=0))
    outline = [(0, 0.52), (0, -0.50), (0.36, -0.74)]
    box.add_patch(Polygon(outline, facecolor="#ffffff", edgecolor=INK, linewidth=0.6))
    _text(box, 0, 0.57, "N", size=7, weight="bold", ha="center", va="bottom")


def _draw_locator(figure: "Figure", sheet: Sheet) -> None:
    """The country with a frame around the map's cells; nothing where the country is not known."""
    from matplotlib.patches import PathPatch, Rectangle

    from geomap.plots.place import country_outlines

    outlines = country_outlines()
    if sheet.country not in outlines.index:
        return
    shape = mercator(outlines.loc[sheet.country].geometry)
    west, south, east, north = shapely.bounds(shape)
    place = figure.add_axes((_RIGHT - 0.105, 0.765, 0.105, 0.135))
    place.axis("off")
    place.set_aspect("equal", adjustable="box", anchor="NE")
    place.set_xlim(west, east)
    place.set_ylim(south, north)
    place.add_patch(PathPatch(path_of(shape), facecolor="#dfe5e1", edgecolor=LINE, linewidth=0.5))
    box = view_of(sheet.boxes(), _RATIO)
    least = 0.03 * max(east - west, north - south)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    wide, tall = max(box[2] - box[0], least), max(box[3] - box[1], least)
    place.add_patch(
        Rectangle((x - wide / 2, y - tall / 2), wide, tall, facecolor="none", edgecolor=CIRCLE, linewidth=1.3)
    )


def _draw_nothing(place: "Axes") -> None:
    place.set_xticks([])
    place.set_yticks([])
    place.set_facecolor(LAND)
    for spine in place.spines.values():
        spine.set_color(LINE)
    _text(
        place, 0.5, 0.5, words.NO_CELLS, size=11, color=SOFT, ha="center", va="center", transform=place.transAxes,
        limit=100,
    )  # fmt: skip


def _draw_side(figure: "Figure", sheet: Sheet, largest: float) -> None:
    """Total, cooperatives, size of circles, land cover: from the top down."""
    _text(figure, _SIDE, 0.868, "All together", size=8.5, color=SOFT)
    _text(figure, _SIDE, 0.828, sheet.total[0], size=19, weight="bold")
    _text(figure, _SIDE, 0.804, sheet.form + " a year", size=8.5, limit=34)
    y = _lines(figure, _SIDE, 0.782, sheet.total[1], size=8, color=SOFT, width=30) - 0.028
    y = _rule(figure, "Cooperatives", y)
    for name, kg in sheet.cooperatives:
        _text(figure, _SIDE, y, name, size=8.3, limit=30)
        _text(figure, _RIGHT, y, kg, size=8.3, ha="right")
        y -= 0.0235
    if largest > 0:
        y = _rule(figure, "Potential of a cell, a year", y - 0.018)
        y = _circles(figure, y, largest)
    if sheet.classes:
        y = _rule(figure, sheet.land_title, y - 0.014)
        _swatches(figure, y, sheet.classes)


def _rule(figure: "Figure", heading: str, y: float) -> float:
    from matplotlib.lines import Line2D

    figure.add_artist(Line2D([_SIDE, _RIGHT], [y + 0.022, y + 0.022], color=LINE, linewidth=0.6))
    return _lines(figure, _SIDE, y, heading, size=8.5, weight="bold", width=38) - 0.008


def _circles(figure: "Figure", y: float, largest: float) -> float:
    """Three round totals as circles of their size, side by side."""
    from matplotlib.lines import Line2D

    totals = [round_step(largest * part) for part in (0.09, 0.36, 0.95)]
    tall = _LARGEST_PT / 72 / SIZE_IN[1]
    x = _SIDE + 0.02
    for total in totals:
        points = _LARGEST_PT * math.sqrt(total / largest)
        figure.add_artist(
            Line2D(
                [x],
                [y + 0.012 - tall / 2],
                marker="o",
                markersize=points,
                markerfacecolor=CIRCLE,
                linestyle="",
                markeredgecolor="#ffffff",
                alpha=0.88,
            )
        )
        _text(figure, x, y - tall - 0.004, short_mass(total), size=8, ha="center")
        x += 0.085
    return y - tall - 0.026


def _swatches(figure: "Figure", y: float, classes: Sequence[tuple[str, str]]) -> None:
    from matplotlib.patches import Rectangle

    for color, name in classes:
        figure.add_artist(Rectangle((_SIDE, y - 0.004), 0.0175, 0.0165, facecolor=color, edgecolor=LINE, linewidth=0.5))
        y = _lines(figure, _SIDE + 0.025, y, name[:1].upper() + name[1:], size=8.2, width=40) - 0.004


def _draw_footer(figure: "Figure", sheet: Sheet) -> None:
    lines = [line for note in sheet.notes for line in textwrap.wrap(note, 190) or [""]]
    for place, line in enumerate(lines[:6]):
        _text(figure, _MAP[0], 0.066 - place * 0.0125, line, size=6.1, color=SOFT)


def _lines(figure: "Figure", x: float, y: float, text: str, *, size: float, width: int, **style: Any) -> float:
    """Write the text in lines of so many letters; returns the y of the line below."""
    step = size * 1.32 / 72 / SIZE_IN[1]
    for line in textwrap.wrap(text, width)[:3]:
        _text(figure, x, y, line, size=size, **style)
        y -= step
    return y


def _text(
    where: Any, x: float, y: float, text: str, *, size: float, color: str = INK, limit: int = 0, **style: Any
) -> None:
    """Text as it is: no letter of it is read as a formula."""
    shown = text if not limit or len(text) <= limit else text[: limit - 1] + "…"
    where.text(x, y, shown, fontsize=size, color=color, parse_math=False, family="DejaVu Sans", **style)
