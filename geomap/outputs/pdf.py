"""Plain PDF pages with the DejaVu fonts that matplotlib carries: the same bytes every time, no text that crashes."""

import datetime
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geomap.errors import OutputError
from geomap.outputs.figures import Diamond, Figure, Label, Line, Rect, corners
from geomap.outputs.text import plain

if TYPE_CHECKING:
    from fpdf import FPDF

FONT: Final = "dejavu"
MISSING: Final = "□"
"""Stands for a letter that the font does not have, such as a Chinese one."""

_FILES: Final = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf"}
_MADE: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_RIGHT_TO_LEFT: Final = ("R", "AL", "AN")
_POINT_MM: Final = 25.4 / 72
Align = Literal["left", "center", "right"]


@contextmanager
def new_pdf(paper: Literal["A4", "Letter"], *, title: str, language: str, margin_mm: float = 16.0) -> "Iterator[FPDF]":
    """An empty document in millimetres whose pages never break by themselves; its font files close with the block.

    Dates are fixed, so equal texts give equal bytes.

    Raises
    ------
    OutputError : the fonts are not there.

    Examples
    --------
    >>> with new_pdf("A4", title="T", language="en") as pdf:
    ...     pdf.add_page()
    ...     below = put_text(pdf, "Café", 16, 16, 50, size=10)
    ...     content = bytes(pdf.output())
    """
    from fpdf import FPDF

    pdf = FPDF(unit="mm", format=paper)
    with _fonts_of(pdf):
        pdf.set_margin(margin_mm)
        pdf.set_auto_page_break(False)
        pdf.set_creation_date(_MADE)
        pdf.set_title(drawable(title))
        pdf.set_lang(language)
        yield pdf


@contextmanager
def _fonts_of(pdf: "FPDF") -> Iterator[None]:
    """Both fonts in the document while the block lasts: fpdf2 reads from their files until the end."""
    from fpdf.fonts import TTFFont

    for style, path in font_files().items():
        pdf.add_font(FONT, style=style, fname=path)
    try:
        yield
    finally:
        for font in pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()


@cache
def font_files() -> dict[str, Path]:
    """The fonts by style: regular and bold.

    Raises
    ------
    OutputError : matplotlib, which carries them, is not installed whole.
    """
    found = find_spec("matplotlib")
    home = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" if found and found.origin else Path()
    files = {style: home / name for style, name in _FILES.items()}
    if not all(path.is_file() for path in files.values()):
        raise OutputError(
            "The DejaVu fonts are not there.",
            why="A PDF carries its own fonts; they come with matplotlib.",
            todo="Install matplotlib again, or ask for HTML and print that.",
        )
    return files


@cache
def _letters() -> frozenset[int]:
    """Code points that both styles have."""
    from fpdf import FPDF
    from fpdf.fonts import TTFFont

    pdf = FPDF()
    with _fonts_of(pdf):
        return frozenset.intersection(
            *(frozenset(font.cmap) for font in pdf.fonts.values() if isinstance(font, TTFFont))
        )


def drawable(text: str) -> str:
    """The text with a box for each letter that the font does not have.

    Examples
    --------
    >>> drawable("Café 咖啡")
    'Café □□'
    """
    known = _letters()
    return "".join(letter if ord(letter) in known else MISSING for letter in plain(text))


def visual(line: str) -> str:
    """One line in the order in which it is drawn from left to right: Arabic and Hebrew run the other way.

    Arabic letters stand unjoined: joining needs a shaping library.

    Examples
    --------
    >>> visual("abc"), visual("אבג 12") == "12 גבא"
    ('abc', True)
    """
    if not any(unicodedata.bidirectional(letter) in _RIGHT_TO_LEFT for letter in line):
        return line
    from fpdf.bidi import BidiParagraph

    return BidiParagraph(text=line).get_reordered_string()


def width_of(pdf: "FPDF", text: str) -> float:
    """Millimetres of one line in the font that is set: its letters side by side, which fpdf2 takes longer to say."""
    assert pdf.current_font is not None
    return float(pdf.current_font.get_text_width(text, pdf.font_size_pt, None)[1] / pdf.k)


def lines_of(pdf: "FPDF", text: str, width: float, *, size: float, bold: bool = False) -> list[str]:
    """The text broken into lines of at most `width` millimetres, in reading order; words that are longer are cut."""
    pdf.set_font(FONT, "B" if bold else "", size)
    shown = drawable(text)
    lines: list[str] = []
    for word in shown.split(" "):
        tried = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(pdf, tried) <= width:
            lines[-1] = tried
            continue
        *full, last = _pieces(pdf, word, width)
        lines += [*full, last]
    return [line for line in lines if line] or [""]


def _pieces(pdf: "FPDF", word: str, width: float) -> list[str]:
    """The word in pieces of at most `width`; one where it fits."""
    if width_of(pdf, word) <= width:
        return [word]
    pieces = [""]
    for letter in word:
        if pieces[-1] and width_of(pdf, pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def put_text(
    pdf: "FPDF",
    text: str,
    x: float,
    y: float,
    width: float,
    *,
    size: float,
    bold: bool = False,
    color: str = "#000000",
    align: Align = "left",
    leading: float = 1.35,
) -> float:
    """Write the text into a column that begins at x, y (millimetres); returns the y below it."""
    step = size * _POINT_MM * leading
    lines = lines_of(pdf, text, width, size=size, bold=bold)
    pdf.set_text_color(color)
    for place, line in enumerate(lines):
        shown = visual(line)
        rest = width - width_of(pdf, shown)
        shift = {"left": 0.0, "center": rest / 2, "right": rest}[align]
        pdf.text(x + shift, y + step * place + size * _POINT_MM, shown)
    return y + step * len(lines)


def draw_figure(pdf: "FPDF", figure: Figure, x: float, y: float, width: float) -> float:
    """Draw a picture `width` millimetres wide with its upper left corner at x, y; returns the y below it."""
    scale = width / figure.width
    for mark in figure.marks:
        _draw(pdf, mark, x, y, scale)
    return y + figure.height * scale


def _draw(pdf: "FPDF", mark: Any, x: float, y: float, scale: float) -> None:
    match mark:
        case Rect():
            pdf.set_fill_color(mark.fill)
            pdf.set_draw_color(mark.stroke or mark.fill)
            pdf.set_line_width(0.2)
            box = [scale * value for value in mark[:4]]
            pdf.rect(x + box[0], y + box[1], box[2], box[3], style="DF" if mark.stroke else "F")
        case Line():
            pdf.set_draw_color(mark.stroke)
            pdf.set_line_width(scale * mark.width)
            ends = [scale * value for value in mark[:4]]
            pdf.line(x + ends[0], y + ends[1], x + ends[2], y + ends[3])
        case Diamond():
            pdf.set_fill_color(mark.fill)
            pdf.polygon([(x + scale * a, y + scale * b) for a, b in corners(mark)], style="F")
        case Label():
            _label(pdf, mark, x, y, scale)


def _label(pdf: "FPDF", mark: Label, x: float, y: float, scale: float) -> None:
    pdf.set_font(FONT, "", mark.size * scale / _POINT_MM * 0.92)
    pdf.set_text_color(mark.color)
    shown = visual(drawable(mark.text))
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[mark.anchor] * width_of(pdf, shown)
    pdf.text(x + scale * mark.x - shift, y + scale * mark.y, shown)
