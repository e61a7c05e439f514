"""The short form of `figures.py`. It tells that all is drawn and answered, never how fast."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("page_figures", Path(__file__).with_name("figures.py"))
figures = importlib.util.module_from_spec(_spec)
sys.modules["page_figures"] = figures
_spec.loader.exec_module(figures)


def test_a_large_map_is_drawn_and_answers_and_a_file_stays_small(tmp_path, requires_chromium):
    found = figures.figures(tmp_path, requires_chromium, plots_served=2_000, tiles=3_000, in_file=300, asks=10)
    assert all(value > 0 for value in found["served"].values())
    assert found["served"]["heap_mb"] < 100
    assert {kind["asks"] for kind in found["tiles"]["kinds"].values()} == {10}
    assert found["file"]["plots"] == 300 and found["file"]["mb"] < 5
    text = figures.as_markdown(found)
    assert "2,000 plots" in text and "3,000 plots" in text and "nan" not in text


def test_plots_lie_on_a_square_and_none_touches_another():
    shapes = figures.outlines(10)  # four columns, three rows
    assert not figures.shapely.intersects(shapes[0], shapes[1:]).any()
    west, south, east, north = figures.shapely.total_bounds(shapes)
    assert 3 * figures.STEP < east - west < 4 * figures.STEP
    assert 2 * figures.STEP < north - south < 3 * figures.STEP
