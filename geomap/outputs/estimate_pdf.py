"""A harvest estimate as a PDF of exactly two pages."""

from typing import TYPE_CHECKING, Final, Literal

from geomap.outputs.estimate_sheet import Block, Sheet, Table
from geomap.outputs.figures import ACCENT, INK, LINE, SOFT
from geomap.outputs.pdf import draw_figure, new_pdf, put_text

if TYPE_CHECKING:
    from fpdf import FPDF

_MARGIN: Final = 16.0
_FOOT: Final = 9.0
_SCALES: Final = (1.0, 0.93, 0.86, 0.79, 0.72, 0.65)
"""Sizes that are tried until both pages hold their blocks."""


def estimate_pdf(sheet: Sheet, *, paper: Literal["A4", "Letter"] = "A4") -> bytes:
    """The sheet as a PDF of two pages; where it is too long it is set smaller.

    Examples
    --------
    With a sheet of `estimate_sheet`:

        Path("estimate.pdf").write_bytes(estimate_pdf(sheet, paper="Letter"))
    """
    content = b""
    for scale in _SCALES:
        title = f"{sheet.title}: {sheet.cooperative}"
        with new_pdf(paper, title=title, language=sheet.language, margin_mm=_MARGIN) as pdf:
            writer = _Writer(pdf, scale)
            fits = [writer.page(sheet, number) for number in (0, 1)]
            content = bytes(pdf.output())
        if all(fits):
            break
    return content


class _Writer:
    """Writes down the page; `y` is where the next thing begins."""

    def __init__(self, pdf: "FPDF", scale: float) -> None:
        self.pdf, self.scale = pdf, scale
        self.x, self.y = _MARGIN, _MARGIN
        self.width = pdf.w - 2 * _MARGIN

    def page(self, sheet: Sheet, number: int) -> bool:
        """One page; whether all of it stands above the foot."""
        self.pdf.add_page()
        self.y = _MARGIN - 3
        if number == 0:
            self._head(sheet)
        else:
            self._text(f"{sheet.title} · {sheet.cooperative[:48]}", 8, color=SOFT)
        for block in sheet.pages[number]:
            self._block(block)
        foot = self.pdf.h - _MARGIN - _FOOT + 4
        fits = self.y <= foot - 2
        put_text(self.pdf, sheet.run, self.x, foot + 2, self.width, size=6.5, color=SOFT)
        put_text(self.pdf, sheet.feet[number], self.x, foot + 5.5, self.width, size=7, color=SOFT, align="right")
        return fits

    def _text(self, text: str, size: float, *, bold: bool = False, color: str = INK, after: float = 1.0) -> None:
        y = put_text(self.pdf, text, self.x, self.y, self.width, size=size * self.scale, bold=bold, color=color)
        self.y = y + after * self.scale

    def _head(self, sheet: Sheet) -> None:
        self._text(sheet.title, 9, bold=True, color=ACCENT, after=0.5)
        self._text(sheet.cooperative, 17 if len(sheet.cooperative) < 60 else 11, bold=True, after=0.5)
        self._text(sheet.subtitle, 9.5, color=SOFT, after=3)
        self._text(sheet.lead, 12, bold=True)
        if sheet.note:
            self._text(sheet.note, 9, color=SOFT)

    def _block(self, block: Block) -> None:
        self.y += 3.2 * self.scale
        self.pdf.set_draw_color(LINE)
        self.pdf.set_line_width(0.25)
        self.pdf.line(self.x, self.y, self.x + self.width, self.y)
        self.y += 1.8 * self.scale
        self._text(block.heading, 10.5, bold=True, after=0.6)
        if block.cases:
            self._cases(block)
        for line in block.lines:
            self._text(line, 9, color=SOFT if block.missing else INK)
        if block.table is not None:
            self._table(block.table)
        if block.figure is not None:
            self.y = draw_figure(self.pdf, block.figure, self.x, self.y + 1.5, self.width * 0.72 * self.scale) + 1
        if block.signatures:
            self._signatures(block.signatures)

    def _cases(self, block: Block) -> None:
        gap = 4.0
        wide = (self.width - gap * (len(block.cases) - 1)) / len(block.cases)
        top, lowest = self.y + 1, self.y
        for place, case in enumerate(block.cases):
            x, y = self.x + place * (wide + gap), top
            parts = (
                (case.name, 9.0, True, ACCENT),
                (case.value, 13.5 if len(case.value) < 11 else 11.5, True, INK),
                (case.unit, 7.5, False, INK),
                (case.beside, 7.5, False, INK),
                (case.says, 7.5, False, SOFT),
            )
            for text, size, bold, color in parts:
                if text:
                    y = put_text(self.pdf, text, x, y, wide, size=size * self.scale, bold=bold, color=color) + 0.6
            lowest = max(lowest, y)
        self.y = lowest

    def _table(self, table: Table) -> None:
        first = self.width * 0.26
        counts = [first, *[(self.width - first) / (len(table.head) - 1)] * (len(table.head) - 1)]
        self.y += 0.8
        for place, row in enumerate((table.head, *table.rows)):
            self._row(row, counts, head=place == 0)

    def _row(self, row: tuple[str, ...], widths: list[float], *, head: bool) -> None:
        size, lowest, x = 8.0 * self.scale, self.y, self.x
        for place, (text, wide) in enumerate(zip(row, widths, strict=True)):
            align: Literal["left", "right"] = "right" if place else "left"
            y = put_text(
                self.pdf, text, x, self.y, wide - 2, size=size, bold=head, align=align, color=SOFT if head else INK
            )
            x, lowest = x + wide, max(lowest, y)
        self.y = lowest + 0.6 * self.scale
        self.pdf.set_draw_color(INK if head else LINE)
        self.pdf.set_line_width(0.2)
        self.pdf.line(self.x, self.y, self.x + self.width, self.y)
        self.y += 0.8 * self.scale

    def _signatures(self, labels: tuple[str, ...]) -> None:
        gap = 10.0
        wide = (self.width - gap) / len(labels)
        self.y += 13 * self.scale
        lowest = self.y
        for place, label in enumerate(labels):
            x = self.x + place * (wide + gap)
            self.pdf.set_draw_color(INK)
            self.pdf.set_line_width(0.3)
            self.pdf.line(x, self.y, x + wide, self.y)
            lowest = max(lowest, put_text(self.pdf, label, x, self.y + 1, wide, size=8 * self.scale, color=SOFT))
        self.y = lowest
