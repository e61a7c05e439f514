"""The report as a PDF to print: the words and numbers of its page, on A4, with tables that go on over pages."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from geomap.outputs.figures import (
    ACCENT,
    INK,
    LINE,
    PALE,
    SOFT,
    WIDTH,
    Diamond,
    Figure,
    Label,
    Line,
    Mark,
    Rect,
    months_figure,
)
from geomap.outputs.pdf import Align, draw_figure, drawable, lines_of, new_pdf, put_text, width_of
from geomap.outputs.report_blocks import Block, Cell, Pairs, Picture, Row, Table, Text, blocks_of
from geomap.outputs.text import plain

if TYPE_CHECKING:
    from fpdf import FPDF

_MARGIN: Final = 16.0
_FOOT: Final = 14.0
_STEP: Final = 25.4 / 72 * 1.35
"""Height of a line in millimetres for each point of its letters."""
_PANEL: Final = "#f3f6f4"
_CELL_SIZE: Final = 8.0
_PAD: Final = 3.0
_MOST_WORD: Final = 42.0
"""Millimetres that one word may claim in a table; what is longer is broken."""
_SPANS: Final = 30
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# kind of text: size, bold, colour, space above, space below
_LOOKS: Final[dict[str, tuple[float, bool, str, float, float]]] = {
    "title": (10.0, True, SOFT, 3.0, 0.5),
    "lead": (16.0, True, INK, 0.5, 2.0),
    "section": (13.0, True, INK, 5.0, 1.5),
    "part": (10.0, True, INK, 2.5, 1.0),
    "text": (9.0, False, INK, 0.5, 1.5),
    "note": (8.0, False, SOFT, 0.5, 1.5),
    "item": (9.0, False, INK, 0.3, 0.8),
    "first": (9.5, False, INK, 2.0, 2.0),
    "aside": (9.0, False, INK, 2.0, 2.0),
}


def report_pdf(
    page: str, content: Mapping[str, Any], *, run: str | None = None, paper: Literal["A4", "Letter"] = "A4"
) -> bytes:
    """The report for print. Equal pages give equal bytes.

    Parameters
    ----------
    page : the report's HTML page, of `report`; every text and number is taken from it.
    content : of `report_content`, for the pictures.
    run : the run's id, for the foot of each page.

    Raises
    ------
    OutputError : the fonts are not there.

    Examples
    --------
    With a run and the tables beside it:

        Path("report.pdf").write_bytes(report_pdf(report(run, beside), report_content(run, beside)))
    """
    blocks = blocks_of(page)
    title = next((block.text for block in blocks if isinstance(block, Text) and block.kind == "title"), "geomap")
    with new_pdf(paper, title=title, language="en", margin_mm=_MARGIN) as pdf:
        writer = _Writer(pdf)
        pictures = iter(_pictures(content))
        for place, block in enumerate(blocks):
            if isinstance(block, Picture):
                writer.picture(next(pictures), block.caption)
            else:
                writer.block(block, blocks[place + 1] if place + 1 < len(blocks) else None)
        writer.feet(f"{title[:90]} · {run[:12]}" if run else title[:90])
        return bytes(pdf.output())


# ---- pictures ----


def _pictures(content: Mapping[str, Any]) -> list[Figure]:
    """The pictures of the page in its order: the cooperatives, past seasons, months."""
    past, months = content["past"], content["months"]
    return [
        _spans(content["picture"]),
        *([past["figure"]] if past else []),
        *([_by_month(months)] if months else []),
    ]


def _spans(picture: Mapping[str, Any]) -> Figure:
    """A bar per cooperative from the low to the high case, a line at the middle one, a diamond at the mean."""
    rows, left, high = picture["rows"][:_SPANS], 130.0, 20.0
    wide, foot = WIDTH - left - 4, high * len(rows)
    marks: list[Mark] = []
    for tick in picture["ticks"]:
        x = left + wide * tick["at"] / 100
        marks += [Line(x, 0, x, foot, LINE), Label(x, foot + 12, tick["label"], "middle", size=10)]
    marks.append(Label(0, foot + 12, picture["unit"], size=10))
    for place, row in enumerate(rows):
        y, at = high * (place + 0.5), {case: left + wide * share / 100 for case, share in row["at"].items()}
        marks += [
            Label(0, y + 4, plain(row["name"], limit=22), color=INK, size=10),
            Rect(at["low"], y - 5, at["high"] - at["low"], 10, PALE, ACCENT),
            Line(at["middle"], y - 5, at["middle"], y + 5, ACCENT, 2),
            Diamond(at["mean"], y, 5, ACCENT),
        ]
    return Figure(WIDTH, foot + 18, tuple(marks), "Each cooperative", "")


def _by_month(months: Mapping[str, Any]) -> Figure:
    rows = [
        {
            "month": f"{row['name'][4:]}-{_MONTHS.index(row['name'][:3]) + 1:02d}",
            "mean_kg": row["mean"], "p10_kg": row["low"], "p90_kg": row["high"],
        }
        for row in months["rows"]
    ]  # fmt: skip
    scale = 1000.0 if months["unit"] == "tonnes" else 1.0
    return months_figure(pd.DataFrame(rows), names=_MONTHS, unit=months["unit"], scale=scale, title="By month")


# ---- layout ----


class _Writer:
    """Writes down the pages; `y` is where the next thing begins, in millimetres."""

    def __init__(self, pdf: "FPDF") -> None:
        self.pdf, self.x, self.y = pdf, _MARGIN, _MARGIN
        self.width = pdf.w - 2 * _MARGIN
        pdf.add_page()

    @property
    def end(self) -> float:
        return float(self.pdf.h - _MARGIN - _FOOT + 8)

    def need(self, height: float) -> bool:
        """Go on a new page where so much does not fit on this one; whether that was so."""
        if self.y + height <= self.end or self.y <= _MARGIN:
            return False
        self.pdf.add_page()
        self.y = _MARGIN
        return True

    def block(self, block: Block, following: Block | None) -> None:
        match block:
            case Text():
                self._text(block, following)
            case Table():
                self._table(block)
            case Pairs() if block.cases:
                self._cases(block)
            case Pairs():
                self._pairs(block)

    def _text(self, block: Text, following: Block | None) -> None:
        size, bold, color, above, below = _LOOKS[block.kind]
        framed, item = block.kind in ("first", "aside"), block.kind == "item"
        indent = 4.0 if framed else 6.0 if item else 0.0
        width = self.width - indent - (4.0 if framed else 0.0)
        height = len(lines_of(self.pdf, block.text, width, size=size, bold=bold)) * size * _STEP
        heading = block.kind in ("title", "section", "part")
        kept = 40.0 if heading and isinstance(following, (Table, Picture)) else 16.0 if heading else 0.0
        if not self.need(above + height + kept) and self.y > _MARGIN:
            self.y += above
        if block.kind == "section":
            self._rule(LINE)
            self.y += 2.0
        if framed:
            self.pdf.set_fill_color(_PANEL)
            self.pdf.rect(self.x, self.y, self.width, height + 4, style="F")
            self.pdf.set_fill_color(ACCENT)
            self.pdf.rect(self.x, self.y, 1.0, height + 4, style="F")
            self.y += 2.0
        if item:
            put_text(self.pdf, block.mark, self.x, self.y, indent, size=size, color=SOFT)
        if block.kind == "section":
            self.pdf.set_y(self.y)
            self.pdf.start_section(drawable(block.text), strict=False)
        self.y = put_text(self.pdf, block.text, self.x + indent, self.y, width, size=size, bold=bold, color=color)
        self.y += below + (2.0 if framed else 0.0)

    def _rule(self, color: str, width: float = 0.25) -> None:
        self.pdf.set_draw_color(color)
        self.pdf.set_line_width(width)
        self.pdf.line(self.x, self.y, self.x + self.width, self.y)

    def _cases(self, block: Pairs) -> None:
        self.need(30)
        self.y += 1.5
        self._rule(INK, 0.4)
        gap, top, lowest = 5.0, self.y + 2, self.y
        wide = (self.width - gap * (len(block.rows) - 1)) / max(len(block.rows), 1)
        for place, (term, (value, *says)) in enumerate(block.rows):
            x = self.x + place * (wide + gap)
            y = put_text(self.pdf, term, x, top, wide, size=9, bold=True)
            y = put_text(self.pdf, value, x, y + 0.5, wide, size=12.5, bold=True, color=ACCENT)
            for line in says:
                y = put_text(self.pdf, line, x, y + 0.5, wide, size=8, color=SOFT)
            lowest = max(lowest, y)
        self.y = lowest + 2
        self._rule(LINE)
        self.y += 2.5

    def _pairs(self, block: Pairs) -> None:
        left = 52.0
        for term, answers in block.rows:
            answer = " ".join(answers)
            high = max(
                len(lines_of(self.pdf, text, wide, size=9, bold=bold))
                for text, wide, bold in ((term, left - 4, True), (answer, self.width - left, False))
            )
            self.need(high * 9 * _STEP + 3)
            below = put_text(self.pdf, term, self.x, self.y + 1, left - 4, size=9, bold=True)
            below = max(below, put_text(self.pdf, answer, self.x + left, self.y + 1, self.width - left, size=9))
            self.y = below + 1
            self._rule(LINE)
        self.y += 1.5

    def picture(self, figure: Figure, caption: str) -> None:
        wide = self.width * 0.86
        self.need(figure.height * wide / figure.width + 8)
        self.y = draw_figure(self.pdf, figure, self.x, self.y + 1.5, wide) + 1
        if caption:
            self.y = put_text(self.pdf, caption, self.x, self.y, self.width, size=8, color=SOFT) + 2

    def _table(self, table: Table) -> None:
        if not table.rows:
            return
        widths = self._widths(table.rows)
        head = [row for row in table.rows if row.kind == "head"]
        self.y += 1.0
        for row in head:
            self._row(row, widths, after=12.0)
        for row in table.rows[len(head) :]:
            if self.need(self._height(row, widths)):
                for again in head:
                    self._row(again, widths)
            self._row(row, widths)
        self.y += 2.0

    def _row(self, row: Row, widths: Sequence[float], *, after: float = 0.0) -> None:
        height = self._height(row, widths)
        if after:
            self.need(height + after)
        x = self.x
        for cell, wide in zip(row.cells, widths, strict=False):
            self._cell(row, cell, x, wide if len(row.cells) > 1 else self.width)
            x += wide
        self.y += height
        strong = row.kind == "head"
        self._rule(INK if strong else LINE, 0.25 if strong else 0.15)

    def _cell(self, row: Row, cell: Cell, x: float, wide: float) -> None:
        if cell.bar is not None:
            y, long = self.y + 1.9, wide - _PAD
            for share, color in ((1.0, "#e4e9e6"), (min(max(cell.bar, 0.0), 1.0), ACCENT)):
                self.pdf.set_fill_color(color)
                self.pdf.rect(x, y, long * share, 2.2, style="F")
            return
        color = SOFT if row.kind == "head" else INK
        align: Align = "right" if cell.number else "left"
        put_text(
            self.pdf, cell.text, x, self.y + 1.0, wide - _PAD, size=_CELL_SIZE, bold=_is_bold(row, cell), color=color,
            align=align,
        )  # fmt: skip

    def _height(self, row: Row, widths: Sequence[float]) -> float:
        places = zip(row.cells, widths if len(row.cells) > 1 else [self.width], strict=False)
        most = max(
            (len(lines_of(self.pdf, cell.text, wide - _PAD, size=_CELL_SIZE, bold=_is_bold(row, cell)))
             for cell, wide in places),
            default=1,
        )  # fmt: skip
        return most * _CELL_SIZE * _STEP + 2.0

    def _widths(self, rows: Sequence[Row]) -> list[float]:
        """Widths of the columns: what their words need, then by how long their texts are, the first takes the rest."""
        places = max(len(row.cells) for row in rows)
        least, natural = [8.0] * places, [8.0] * places
        for row in rows:
            if len(row.cells) < places:
                continue
            for place, cell in enumerate(row.cells):
                self.pdf.set_font("dejavu", "B" if _is_bold(row, cell) else "", _CELL_SIZE)
                measure = partial(width_of, self.pdf)
                words = [min(measure(word), _MOST_WORD) for word in drawable(cell.text).split(" ")]
                least[place] = max(
                    least[place], max(words, default=0.0) + _PAD + 0.2, 28.0 if cell.bar is not None else 0
                )
                natural[place] = max(natural[place], measure(drawable(cell.text)) + _PAD + 0.2, least[place])
        return _shared(least, natural, self.width)

    def feet(self, text: str) -> None:
        """The foot of every page, now that their number is known."""
        pages = self.pdf.page
        for number in range(1, pages + 1):
            self.pdf.page = number
            y = self.pdf.h - _MARGIN + 2
            put_text(self.pdf, text, self.x, y, self.width - 20, size=7, color=SOFT)
            put_text(self.pdf, f"{number} / {pages}", self.x, y, self.width, size=7, color=SOFT, align="right")


def _is_bold(row: Row, cell: Cell) -> bool:
    return cell.strong or row.kind != "body"


def _shared(least: Sequence[float], natural: Sequence[float], width: float) -> list[float]:
    """The width shared among columns.

    Examples
    --------
    >>> _shared([10, 10], [20, 30], 100), _shared([10, 10], [20, 40], 40), _shared([60, 60], [60, 60], 60)
    ([70, 30], [15.0, 25.0], [30.0, 30.0])
    """
    spare = width - sum(natural)
    if spare >= 0:
        return [natural[0] + spare, *natural[1:]]
    room, wanted = width - sum(least), sum(natural) - sum(least)
    if room < 0:
        return [width * one / sum(least) for one in least]
    return [one + room * (most - one) / wanted for one, most in zip(least, natural, strict=True)]
