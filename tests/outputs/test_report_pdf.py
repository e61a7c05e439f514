"""The report for print: the words and numbers of the page, all of them, on A4."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomap.outputs.report import report, report_content
from geomap.outputs.report_blocks import Pairs, Picture, Table, Text, blocks_of, texts_of
from geomap.outputs.report_pdf import _shared, report_pdf


@pytest.fixture(scope="module")
def page(run):
    return report(run)


@pytest.fixture(scope="module")
def content(run):
    from geomap.outputs.beside import Beside

    return report_content(run, Beside())


def test_it_is_a_small_document_of_several_pages(page, content):
    made = report_pdf(page, content, run="ab" * 32)
    assert made.startswith(b"%PDF")
    assert len(made) < 3_000_000
    assert made.count(b"/Type /Page\n") > 2


def test_every_heading_table_and_answer_of_the_page_is_read(page):
    blocks = blocks_of(page)
    assert sum(isinstance(block, Table) for block in blocks) == page.count("<table")
    assert sum(isinstance(block, Picture) for block in blocks) == page.count("<figure")
    assert sum(isinstance(block, Pairs) for block in blocks) == page.count("<dl")
    headings = [block.text for block in blocks if isinstance(block, Text) and block.kind == "section"]
    assert len(headings) == page.count("<h2")
    assert {"In short", "What it assumes", "When"} <= set(headings)
    assert sum(len(block.rows) for block in blocks if isinstance(block, Table)) == page.count("<tr>")


def test_numbers_of_the_tables_are_those_of_the_page(run, page):
    from geomap.outputs.report import mass

    cells = [text for block in blocks_of(page) if isinstance(block, Table) for text in texts_of(block)]
    for row in run.cooperatives.to_dict("records"):
        assert row["id"] in cells
        assert mass(row["potential_kg"]) in cells


def test_a_bar_of_a_cell_keeps_its_share(page):
    shares = [
        cell.bar for block in blocks_of(page) if isinstance(block, Table) for row in block.rows for cell in row.cells
    ]
    drawn = [share for share in shares if share is not None]
    assert len(drawn) == page.count('class="fill"')
    assert all(0 <= share <= 1 for share in drawn)


def test_what_a_user_wrote_stays_text(hostile_run):
    page = report(hostile_run)
    texts = [text for block in blocks_of(page) for text in texts_of(block)]
    assert any("</script><script>" in text for text in texts)
    assert any("{{ 7*191 }}" in text for text in texts)
    from geomap.outputs.beside import Beside

    assert report_pdf(page, report_content(hostile_run, Beside())).startswith(b"%PDF")


def test_equal_pages_give_equal_bytes_in_every_process(page, content, tmp_path):
    made = report_pdf(page, content)
    assert made == report_pdf(page, content)
    (tmp_path / "page.html").write_text("<h1>A</h1><h2>B</h2><p>C</p>", encoding="utf-8")
    code = (
        "import sys, hashlib; from geomap.outputs.report_pdf import report_pdf\n"
        "page = open(sys.argv[1], encoding='utf-8').read()\n"
        "print(hashlib.sha256(report_pdf(page, {'picture': {'rows': [], 'ticks': [], 'unit': ''},"
        " 'past': None, 'months': None})).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "page.html")], capture_output=True, check=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


@given(
    st.lists(st.tuples(st.floats(1, 100), st.floats(0, 200)), min_size=1, max_size=12),
    st.floats(50, 300),
)
def test_columns_share_the_whole_width_and_none_is_narrower_than_its_words_where_there_is_room(columns, width):
    least = [low for low, _ in columns]
    natural = [low + more for low, more in columns]
    shared = _shared(least, natural, width)
    assert sum(shared) == pytest.approx(width)
    if sum(least) <= width:
        assert all(given >= low - 1e-6 for given, low in zip(shared, least, strict=True))
