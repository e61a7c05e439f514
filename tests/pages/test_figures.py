"""The short form of `figures.py`. It tells that all is drawn and answered, never how fast."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

FIGURES = Path(__file__).with_name("figures.py")


@pytest.fixture(scope="module")
def figures():
    """The module of the figures."""
    spec = importlib.util.spec_from_file_location("page_figures", FIGURES)
    module = importlib.util.module_from_spec(spec)
    sys.modules["page_figures"] = module
    spec.loader.exec_module(module)
    return module


def test_a_large_map_is_drawn_and_answers_and_a_file_stays_small(tmp_path, requires_chromium):
    # A process of its own, as `make pages` has: one process holds one such browser, and other tests hold it here.
    subprocess.run([sys.executable, FIGURES, "--short", "--out", tmp_path], check=True)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert all(value > 0 for value in found["served"].values())
    assert found["served"]["heap_mb"] < 100
    assert {kind["asks"] for kind in found["tiles"]["kinds"].values()} == {20}
    assert found["file"]["plots"] == 300 and found["file"]["mb"] < 5
    text = (tmp_path / "figures.md").read_text()
    assert "2,000 plots" in text and "3,000 plots" in text and "nan" not in text


def test_plots_lie_on_a_square_and_none_touches_another(figures):
    shapes = figures.outlines(10)  # four columns, three rows
    assert not figures.shapely.intersects(shapes[0], shapes[1:]).any()
    west, south, east, north = figures.shapely.total_bounds(shapes)
    assert 3 * figures.STEP < east - west < 4 * figures.STEP
    assert 2 * figures.STEP < north - south < 3 * figures.STEP
