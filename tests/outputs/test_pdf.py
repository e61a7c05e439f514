import re
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import OutputError
from geomap.outputs import pdf as pages
from geomap.outputs.figures import Diamond, Figure, Label, Line, Rect
from geomap.outputs.pdf import MISSING, draw_figure, drawable, lines_of, new_pdf, put_text, visual

FIGURE = Figure(100.0, 50.0, (Rect(0, 0, 9, 9, "#fff", "#000"), Line(0, 0, 9, 9, "#000"), Diamond(5, 5, 2, "#123456"),
                              Label(5, 5, "咖 é", "middle")), "A", "B")  # fmt: skip


@contextmanager
def sheet():
    with new_pdf("A4", title="T", language="en") as pdf:
        pdf.add_page()
        yield pdf


def test_letters_that_the_font_lacks_become_boxes():
    assert drawable("Mejía 咖 🌱 Ω") == f"Mejía {MISSING} {MISSING} Ω"


def test_marks_that_turn_text_are_not_drawn():
    assert drawable("a\u202eb\x00c") == "ab c"


@pytest.mark.parametrize(
    ("text", "shown"), [("abc 12", "abc 12"), ("אבג", "גבא"), ("קפה 12", "12 הפק"), ("a אב", "a בא"), ("", "")]
)
def test_text_from_right_to_left_is_drawn_in_its_order(text, shown):
    assert visual(text) == shown


@given(texts=st.lists(st.text(max_size=120), min_size=5, max_size=15))
@settings(max_examples=8, deadline=None)
def test_no_line_is_wider_than_its_column_and_no_letter_is_lost(texts):
    with sheet() as pdf:
        for text in texts:
            lines = lines_of(pdf, text, 30.0, size=9)
            assert all(pdf.get_string_width(line) <= 30.0 + 1e-6 for line in lines)
            assert "".join(lines).replace(" ", "") == drawable(text).replace(" ", "")


@given(texts=st.lists(st.text(max_size=200), min_size=5, max_size=15))
@settings(max_examples=8, deadline=None)
def test_any_text_can_be_written(texts):
    with sheet() as pdf:
        for text in texts:
            assert put_text(pdf, text, 10, 10, 50, size=9, bold=True, align="right") > 10
        assert bytes(pdf.output()).startswith(b"%PDF")


def test_each_line_takes_its_height():
    # three words, each on a line of its own: 3 · 10 pt · 1.35 · 25.4/72 mm
    with sheet() as pdf:
        assert put_text(pdf, "WWWWW WWWWW WWWWW", 0, 0, 22, size=10) == pytest.approx(3 * 10 * 1.35 * 25.4 / 72)


def test_a_page_never_breaks_by_itself():
    with sheet() as pdf:
        put_text(pdf, "word " * 4000, 10, 10, 40, size=12)
        assert pdf.page == 1


def test_a_figure_takes_its_height_in_proportion():
    # 100 × 50 units in 80 mm: 40 mm high
    with sheet() as pdf:
        assert draw_figure(pdf, FIGURE, 10, 20, 80) == pytest.approx(20 + 40)


def test_equal_pages_have_equal_bytes_and_no_clock():
    def made():
        with sheet() as pdf:
            draw_figure(pdf, FIGURE, 10, 10, 80)
            put_text(pdf, "Café قهوة", 10, 60, 80, size=9)
            return bytes(pdf.output())

    first = made()
    assert first == made()
    assert re.findall(rb"/CreationDate \(D:(\d{8})", first) == [b"20000101"]


def test_fonts_that_are_not_there_are_told(monkeypatch):
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    pages.font_files.cache_clear()
    with pytest.raises(OutputError, match="DejaVu"):
        pages.font_files()
    pages.font_files.cache_clear()
