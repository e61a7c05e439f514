"""Small pictures made of rectangles, lines, marks and words: the same bytes every time, as SVG or drawn into a PDF."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from geomap.outputs.text import plain

WIDTH: Final = 440.0
"""Width of a picture in its own units; a letter is 12 high."""

INK: Final = "#1d2522"
SOFT: Final = "#525d58"
ACCENT: Final = "#1d6149"
PALE: Final = "#bcd8cb"
LINE: Final = "#d5dcd8"
CLAY: Final = "#8a3b12"

_LEFT: Final = 44.0
_TOP: Final = 22.0
_FOOT: Final = 36.0
_LETTER: Final = 12.0


class Rect(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = ""


class Line(NamedTuple):
    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str
    width: float = 1.0


class Diamond(NamedTuple):
    """A mark that is read without colour too: a square on its corner."""

    x: float
    y: float
    radius: float
    fill: str


class Label(NamedTuple):
    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    color: str = SOFT
    size: float = _LETTER


Mark = Rect | Line | Diamond | Label


@dataclass(frozen=True)
class Figure:
    """A picture: marks in their order of drawing, and what a reader who does not see it is told."""

    width: float
    height: float
    marks: tuple[Mark, ...]
    title: str
    description: str


class Bar(NamedTuple):
    """One place on the axis: an interval, its middle, and what came (NaN where it is not known); kilograms or units."""

    name: str
    low: float
    middle: float
    high: float
    came: float = math.nan


def ticks(highest: float) -> list[float]:
    """Round ticks from 0 to just above the highest value, four to six of them.

    Examples
    --------
    >>> ticks(69_709.8)
    [0.0, 20000.0, 40000.0, 60000.0, 80000.0]
    """
    if not (math.isfinite(highest) and highest > 0):
        return [0.0, 1.0]
    rough = highest / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * place for place in range(math.ceil(highest / step - 1e-9) + 1)]


def months_figure(
    table: pd.DataFrame, *, names: Sequence[str], unit: str, scale: float, title: str, height: float = 150.0
) -> Figure:
    """One bar per month with its mean, and a thin line from the low to the high case where the table has them.

    Parameters
    ----------
    table : month (YYYY-MM), mean_kg, p10_kg, p90_kg; one row per month. Empty months before the first and after the
        last that brings something are left out.
    names : short names of January to December.
    unit : what the axis counts, such as "tonnes".
    scale : kilograms in one unit.

    Examples
    --------
    >>> months = pd.DataFrame({"month": ["2027-01"], "mean_kg": [10.0], "p10_kg": [4.0], "p90_kg": [18.0]})
    >>> names = ["Jan"] + [""] * 11
    >>> "Jan" in to_svg(months_figure(months, names=names, unit="kg", scale=1.0, title="By month"))
    True
    """
    rows = with_harvest(table.sort_values("month"))
    labels = [(names[int(month[5:7]) - 1], month[:4]) for month in rows["month"]]
    numbers = rows[["mean_kg", "p10_kg", "p90_kg"]].to_numpy(float) / scale
    marks, top, wide = _axes(np.nan_to_num(numbers).max(initial=0.0), len(rows), height, unit)
    for at, ((month, year), (mean, low, high)) in enumerate(zip(labels, numbers.tolist(), strict=True)):
        x = _LEFT + wide * (at + 0.5)
        y = _up(mean, top, height)
        marks.append(Rect(x - wide * 0.32, y, wide * 0.64, height - _FOOT - y, PALE, ACCENT))
        if math.isfinite(low) and math.isfinite(high):
            marks.append(Line(x, _up(low, top, height), x, _up(high, top, height), INK, 1.25))
        marks.append(Label(x, height - _FOOT + 14, month, "middle"))
        if at == 0 or month == names[0]:
            marks.append(Label(x, height - _FOOT + 28, year, "middle"))
    return Figure(WIDTH, height, tuple(marks), title, f"{unit}: {_told(labels, numbers[:, 0].tolist())}")


def interval_figure(bars: Sequence[Bar], *, unit: str, title: str, height: float = 190.0) -> Figure:
    """One interval per season with its middle as a line, and a diamond for what came.

    Parameters
    ----------
    bars : in the order of the axis; numbers in `unit`.

    Examples
    --------
    >>> figure = interval_figure([Bar("2024/25", 8.0, 10.0, 13.0, came=11.0)], unit="t", title="Past seasons")
    >>> [type(mark).__name__ for mark in figure.marks].count("Diamond")
    1
    """
    highest = max((value for bar in bars for value in bar[1:] if math.isfinite(value)), default=0.0)
    marks, top, wide = _axes(highest, len(bars), height, unit)
    half = min(wide * 0.26, 26.0)
    for at, bar in enumerate(bars):
        x = _LEFT + wide * (at + 0.5)
        high, middle, low = (_up(value, top, height) for value in (bar.high, bar.middle, bar.low))
        if math.isfinite(high) and math.isfinite(low):
            marks.append(Rect(x - half, high, 2 * half, low - high, PALE, ACCENT))
        if math.isfinite(middle):
            marks.append(Line(x - half, middle, x + half, middle, ACCENT, 2.5))
        if math.isfinite(bar.came):
            marks.append(Diamond(x, _up(bar.came, top, height), 6.0, CLAY))
        marks.append(Label(x, height - _FOOT + 16, plain(bar.name, limit=14), "middle"))
    told = "; ".join(f"{bar.name} {bar.low:,.6g} – {bar.high:,.6g}, {bar.came:,.6g}" for bar in bars)
    return Figure(WIDTH, height, tuple(marks), title, plain(f"{unit}: {told}"))


def to_svg(figure: Figure) -> str:
    """The picture as SVG with a title and a description; texts are escaped, numbers have at most two decimals.

    Examples
    --------
    >>> print(to_svg(Figure(10.0, 5.0, (Rect(0, 0, 2.5, 1, "#fff"),), "A", "B & C")))
    <svg class="figure" viewBox="0 0 10 5" role="img" aria-label="A. B &amp; C"><rect x="0" y="0" width="2.5" \
height="1" fill="#fff"/></svg>
    """
    label = escape(f"{figure.title}. {figure.description}", quote=True)
    box = f"0 0 {_short(figure.width)} {_short(figure.height)}"
    body = "".join(_svg(mark) for mark in figure.marks)
    return f'<svg class="figure" viewBox="{box}" role="img" aria-label="{label}">{body}</svg>'


def _svg(mark: Mark) -> str:
    match mark:
        case Rect():
            edge = {"stroke": mark.stroke} if mark.stroke else {}
            return _tag("rect", x=mark.x, y=mark.y, width=mark.width, height=mark.height, fill=mark.fill, **edge)
        case Line():
            ends: dict[str, float | str] = {"x1": mark.x1, "y1": mark.y1, "x2": mark.x2, "y2": mark.y2}
            return _tag("line", **ends, stroke=mark.stroke, **{"stroke-width": mark.width})
        case Diamond():
            path = "M" + "L".join(f"{_short(x)} {_short(y)}" for x, y in corners(mark)) + "Z"
            return _tag("path", d=path, fill=mark.fill, stroke="#ffffff")
        case Label():
            place: dict[str, float | str] = {"x": mark.x, "y": mark.y, "text-anchor": mark.anchor}
            opened = _tag("text", **place, fill=mark.color, **{"font-size": mark.size})
            return f"{opened[:-2]}>{escape(plain(mark.text))}</text>"


def corners(mark: Diamond) -> list[tuple[float, float]]:
    """The four corners of a diamond, from the top to the right."""
    x, y, r = mark.x, mark.y, mark.radius
    return [(x, y - r), (x + r, y), (x, y + r), (x - r, y)]


def _tag(name: str, **attributes: float | str) -> str:
    texts = {
        key: escape(value, quote=True) if isinstance(value, str) else _short(value) for key, value in attributes.items()
    }
    return f"<{name} " + " ".join(f'{key}="{value}"' for key, value in texts.items()) + "/>"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _axes(highest: float, places: int, height: float, unit: str) -> tuple[list[Mark], float, float]:
    """Grid and labels of the upright axis, the value at its top, and the width of one place."""
    steps = ticks(highest)
    marks: list[Mark] = [Label(0, _LETTER - 2, unit)]
    for step in steps:
        y = _up(step, steps[-1], height)
        marks += [Line(_LEFT, y, WIDTH, y, LINE), Label(_LEFT - 6, y + 4, _axis_number(step), "end")]
    return marks, steps[-1], (WIDTH - _LEFT) / max(places, 1)


def _axis_number(value: float) -> str:
    """A number of the axis with thin gaps between thousands: it reads in every language."""
    return f"{value:,.10g}".replace(",", "\N{NO-BREAK SPACE}")


def _up(value: float, top: float, height: float) -> float:
    return height - _FOOT - (height - _FOOT - _TOP) * value / top


def with_harvest(table: pd.DataFrame) -> pd.DataFrame:
    """From the first to the last month that brings at least a fiftieth of the best."""
    bears = (table["mean_kg"] > table["mean_kg"].max() / 50).to_numpy().nonzero()[0]
    return table.iloc[bears[0] : bears[-1] + 1] if len(bears) else table


def _told(labels: Sequence[tuple[str, str]], means: Sequence[float]) -> str:
    return "; ".join(f"{month} {year} {mean:,.3g}" for (month, year), mean in zip(labels, means, strict=True))
