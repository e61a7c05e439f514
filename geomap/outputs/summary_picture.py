"""A harvest estimate as one picture for a phone: few words, large numbers, read as a photograph in a message."""

import io
import math
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import pandas as pd

from geomap.outputs.estimate_pen import GAP, CountedIn, Pen, country_words
from geomap.outputs.figures import ACCENT, INK, LINE, PALE, SOFT, with_harvest
from geomap.outputs.harvest_estimate import EstimateDocument
from geomap.outputs.pdf import drawable, font_files, visual
from geomap.outputs.text import plain
from geomap.supply import crops

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

WIDTH: Final = 1080
HEIGHT: Final = 1350
_MARGIN: Final = 64
_WIDE: Final = WIDTH - 2 * _MARGIN
_BAND: Final = "#123f30"
_ON_BAND: Final = "#ffffff"
_PALE_ON_BAND: Final = "#d4e8de"
_PAPER: Final = "#ffffff"
_SOLD_AT: Final = 1176
_LINE_AT: Final = 1238
_MOST_MONTHS: Final = 12
_TONNES_FROM: Final = 1_000_000.0
_NUMBERS: Final = (210, 190, 170, 150, 130, 110, 90, 70, 52, 48, 44, 40, 36, 32, 28, 25, 22)
"""Sizes of letters for numbers: down to where any fits, as a number that is cut is another one."""
_NAMES: Final = (76, 68, 60, 52, 46)
_LABELLED: Final = 6
"""Months up to which every bar carries its number; of more only the best does."""


class MonthBar(NamedTuple):
    """A month: its short name, its year, what it brings in the unit of the large number, and that in words."""

    name: str
    year: str
    amount: float
    words: str


class Summary(NamedTuple):
    """What the picture says, as it may be shown; all but the bars are texts."""

    cooperative: str
    subtitle: str
    lead: str
    number: str
    unit: str
    beside: str
    between: str
    months_title: str
    months: tuple[MonthBar, ...]
    sold: str
    source: str
    foot: str


def summary_of(document: EstimateDocument, *, language: str = "en", reader: str = "office") -> Summary:
    """The few words of the picture.

    Raises
    ------
    UnknownNameError : there are no texts in this language.
    """
    pen = Pen(document, language, reader)
    unit, cases = _counted_in(pen), document.cases
    head = {"form": pen.form(document.form), "country": country_words(document.country, language)}
    season = plain(document.season, limit=20)
    subtitle = pen.say("for", season=season, **head) if season else pen.say("for_any", **head)
    ends = {name: pen.number(kg / unit.kg) for name, kg in (("low", cases.p10), ("high", cases.p90))}
    months = _months(pen, unit)
    return Summary(
        cooperative=plain(document.cooperative, limit=120) or "–",
        subtitle=subtitle[:1].upper() + subtitle[1:],
        lead=pen.say(f"pic:{_quantity(document)}"),
        number=pen.number(cases.mean / unit.kg),
        unit=pen.say("of", units=unit.name, form=pen.form(unit.form)),
        beside=_beside(pen, unit),
        between=pen.say("pic:between", low=ends["low"], high=f"{ends['high']}{_short(unit)}"),
        months_title=pen.say("by_month" if months else "pic:no_months"),
        months=months,
        sold=_sold(pen, unit),
        source=_source(pen),
        foot=_foot(pen),
    )


def _quantity(document: EstimateDocument) -> str:
    if document.quantity == "supply":
        return "supply"
    return "hives" if crops.crop(document.crop).unit == "hive" else "potential"


def _counted_in(pen: Pen) -> CountedIn:
    """The reader's unit; without one kilograms, and tonnes where there are many."""
    document = pen.document
    tonnes = document.cases.p90 >= _TONNES_FROM
    return pen.unit or CountedIn(1000.0 if tonnes else 1.0, "t" if tonnes else "kg", document.form)


def _short(unit: CountedIn) -> str:
    """A unit of few letters stands behind each number."""
    return f"{GAP}{unit.name}" if unit.name in ("kg", "t") else ""


def _beside(pen: Pen, unit: CountedIn) -> str:
    """Kilograms where the large number counts in another unit; and that a potential is no delivery."""
    kg = [f"= {pen.kg(pen.document.cases.mean)}"] if unit.name != "kg" else []
    return " · ".join([*kg, *([pen.say("pic:not_supply")] if pen.document.quantity == "potential" else [])])


def _months(pen: Pen, unit: CountedIn) -> tuple[MonthBar, ...]:
    table = pen.document.months
    if table is None or table.empty or not table["mean_kg"].max() > 0:
        return ()
    rows = with_harvest(table.sort_values("month"))
    if len(rows) > _MOST_MONTHS:
        rows = rows.sort_values(["mean_kg", "month"], ascending=[False, True]).head(_MOST_MONTHS).sort_values("month")
    means = (rows["mean_kg"].to_numpy(float) / unit.kg).tolist()
    return tuple(
        MonthBar(pen.month(month).rpartition(" ")[0], month[:4], mean, pen.number(mean))
        for month, mean in zip(rows["month"], means, strict=True)
    )


def _sold(pen: Pen, unit: CountedIn) -> str:
    """What contracts ask for in all; empty where none is known."""
    contracts = pen.document.contracts
    if contracts is None or contracts.empty:
        return ""
    kg = float(contracts["kg"].sum())
    amount = f"{pen.number(kg / unit.kg)}{GAP}{unit.name}"
    mean = pen.document.cases.mean
    share = f" ({pen.percent(kg / mean)})" if mean > 0 and math.isfinite(kg / mean) else ""
    return pen.say("pic:sold", amount=f"{amount}{share}")


def _source(pen: Pen) -> str:
    document = pen.document
    told = document.evidence if f"est:pic:{document.evidence}" in pen.texts.words else "country averages"
    return pen.say(f"pic:{told}", seasons=document.seasons)


def _foot(pen: Pen) -> str:
    """Up to when deliveries are known, the map, and the run: what a picture that is handed on is traced by."""
    document = pen.document
    parts = []
    if document.known_to:
        parts.append(pen.say("pic:known_to", day=_day(pen, document.known_to)))
    elif document.last_season is not None:
        parts.append(pen.say("pic:known_to", day=plain(document.last_season.season, limit=20)))
    if document.product_title and crops.crop(document.crop).unit != "hive":
        parts.append(pen.say("pic:map", product=plain(document.product_title, limit=44)))
    parts.append(f"geomap {document.run_id[:12]}" if document.run_id else "geomap")
    return " · ".join(parts)


def _day(pen: Pen, day: str) -> str:
    """A day as people write it: "2027-01-31" → "31 Jan 2027"."""
    at = pd.Timestamp(day)
    return f"{at.day} {pen.month(f'{at.year}-{at.month:02d}')}"


# ---- drawing ----


def summary_picture(document: EstimateDocument, *, language: str = "en", reader: str = "office") -> bytes:
    """The estimate as a PNG of 1080 × 1350 pixels, below 300 kB; equal documents give equal bytes.

    It names no member, no plot and no buyer. Names that are too long are shortened, letters that the font does not
    have are boxes.

    Parameters
    ----------
    language : en, es, fr or pt.
    reader : the office reads quintals, a buyer bags; kilograms stand beside both.

    Raises
    ------
    UnknownNameError : a language or a unit is not known. OutputError : the fonts are not there.

    Examples
    --------
    With a document of `estimate_document`:

        Path("summary.png").write_bytes(summary_picture(document, language="es"))
    """
    from PIL import Image, ImageDraw

    told = summary_of(document, language=language, reader=reader)
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    brush = _Brush(ImageDraw.Draw(image))
    _bars(brush, told, _number(brush, told, _head(brush, told)))
    _end(brush, told)
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=9)
    return content.getvalue()


@cache
def _font(size: int, bold: bool) -> "FreeTypeFont":
    from PIL import ImageFont

    path = font_files()["B" if bold else ""]
    return ImageFont.truetype(io.BytesIO(path.read_bytes()), size, layout_engine=ImageFont.Layout.BASIC)


class _Brush:
    """Writes texts into boxes: as large as they fit, shortened where even the smallest size does not."""

    def __init__(self, draw: "ImageDraw") -> None:
        self.draw = draw

    def text(
        self,
        text: str,
        y: float,
        *,
        sizes: tuple[int, ...],
        color: str = INK,
        bold: bool = False,
        lines: int = 1,
        x: float = _MARGIN,
        width: float = _WIDE,
    ) -> float:
        """Write the text at x, y in at most so many lines; returns the y below it."""
        size, shown = self.fitted(text, sizes, lines, bold=bold, width=width)
        font = _font(size, bold)
        for line in shown:
            self.draw.text((x, y), visual(line), font=font, fill=color)
            y += size * 1.22
        return y

    def centred(self, text: str, x: float, y: float, *, size: int, color: str = INK, bold: bool = False) -> None:
        """One short line whose middle is at x and whose foot is at y."""
        self.draw.text((x, y), visual(drawable(text)), font=_font(size, bold), fill=color, anchor="ms")

    def fitted(
        self, text: str, sizes: tuple[int, ...], lines: int, *, bold: bool = True, width: float = _WIDE
    ) -> tuple[int, list[str]]:
        """The largest of the sizes at which the text fits in so many lines, and these lines."""
        shown = drawable(text)
        for size in sizes:
            broken = _lines(shown, _font(size, bold), width)
            if len(broken) <= lines:
                return size, broken
        return sizes[-1], [*broken[: lines - 1], _cut(" ".join(broken[lines - 1 :]), _font(sizes[-1], bold), width)]


def _lines(text: str, font: "FreeTypeFont", width: float) -> list[str]:
    """The text broken at spaces; a word that is wider than a line is broken anywhere."""
    lines = [""]
    for word in text.split(" "):
        tried = f"{lines[-1]} {word}".strip(" ")
        if font.getlength(tried) <= width:
            lines[-1] = tried
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _cut(text: str, font: "FreeTypeFont", width: float) -> str:
    """The start of the text that fits, with "…"."""
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _head(brush: _Brush, told: Summary) -> float:
    """The band with the name; returns the y below it."""
    size, lines = brush.fitted(told.cooperative, _NAMES, 2)
    foot = 52 + size * 1.22 * len(lines) + 78
    brush.draw.rectangle((0, 0, WIDTH, foot), fill=_BAND)
    y = brush.text(told.cooperative, 34, sizes=_NAMES, color=_ON_BAND, bold=True, lines=2)
    brush.text(told.subtitle, y + 6, sizes=(44, 40, 36, 32, 28), color=_PALE_ON_BAND)
    return foot


def _number(brush: _Brush, told: Summary, y: float) -> float:
    """The large number with its interval; returns the y below them."""
    y = brush.text(told.lead, y + 26, sizes=(46, 42, 38, 34), color=SOFT)
    size, _ = brush.fitted(told.number, _NUMBERS, 1)
    y = brush.text(told.number, y - size * 0.1, sizes=(size,), bold=True, color=ACCENT)
    y = brush.text(told.unit, y + 4, sizes=(50, 46, 42, 38, 34, 30), bold=True)
    if told.beside:
        y = brush.text(told.beside, y, sizes=(38, 35, 32, 29), color=SOFT)
    size, _ = brush.fitted(told.between, _NUMBERS[8:], 1)
    brush.draw.rectangle((0, y + 16, WIDTH, y + 108), fill=PALE)
    brush.text(told.between, y + 62 - size * 0.62, sizes=(size,), bold=True)
    return y + 108


def _bars(brush: _Brush, told: Summary, y: float) -> None:
    """A bar for each month, in what height is left."""
    foot = (_SOLD_AT if told.sold else _LINE_AT) - 104
    y = brush.text(told.months_title, y + 12, sizes=(36, 32), color=SOFT)
    if not told.months:
        return
    highest = max(month.amount for month in told.months)
    wide = _WIDE / len(told.months)
    brush.draw.line((_MARGIN, foot, WIDTH - _MARGIN, foot), fill=INK, width=3)
    for place, month in enumerate(told.months):
        x, half = _MARGIN + wide * (place + 0.5), min(wide * 0.38, 110)
        top = foot - (foot - y - 38) * month.amount / highest
        brush.draw.rectangle((x - half, top, x + half, foot), fill=ACCENT)
        if month.amount == highest or len(told.months) <= _LABELLED:
            brush.centred(month.words, x, top - 10, size=36, bold=month.amount == highest)
        brush.centred(month.name, x, foot + 40, size=36 if len(told.months) <= 8 else 29)
        if place == 0 or told.months[place - 1].year != month.year:
            brush.centred(month.year, x, foot + 76, size=27, color=SOFT)


def _end(brush: _Brush, told: Summary) -> None:
    if told.sold:
        brush.text(told.sold, _SOLD_AT, sizes=(38, 35, 32, 29, 26, 23), bold=True)
    brush.draw.line((_MARGIN, _LINE_AT, WIDTH - _MARGIN, _LINE_AT), fill=LINE, width=2)
    y = brush.text(told.source, _LINE_AT + 8, sizes=(32, 29, 27))
    brush.text(told.foot, y, sizes=(24, 22), color=SOFT, lines=2)
