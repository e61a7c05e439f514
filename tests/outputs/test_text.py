import ast
import html
import re
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

import geomap
from geomap.outputs.text import csv_text, map_text, plain

PACKAGES = [Path(geomap.__file__).parent, Path(geomap.__file__).parent.parent / "api"]
SIGNS = ["{{ 7*191 }}", "{% raw %}", "{# x #}", "</script>", "${a}", "`", "\\`", "<img src=x onerror=a()>", '"', "'"]
texts = st.lists(st.one_of(st.sampled_from(SIGNS), st.text(max_size=8)), max_size=6).map("".join)


@given(texts)
def test_map_text_holds_no_sign_of_templates_tags_or_literals(text):
    assert not set("{}`$\\<>\"'\n\r\u2028\u2029\x00") & set(map_text(text))


@given(texts)
def test_map_text_passes_two_rounds_of_jinja_unchanged(text):
    safe = map_text(text)
    once = jinja2.Template(safe, autoescape=False).render()
    assert jinja2.Template(once, autoescape=False).render() == safe


@given(texts)
def test_a_browser_reads_map_text_as_what_was_meant(text):
    shown = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", " ", re.sub("[\ud800-\udfff]", "\ufffd", text))
    numbers = {"\r": "&#13;"}  # html.unescape knows "&#13;" as a carriage return, as browsers do
    assert html.unescape(map_text(text)) == html.unescape(html.escape(shown.replace("\r\n", "\n")).translate(numbers))


@given(st.text())
def test_plain_text_has_no_control_signs_and_is_stable(text):
    shown = plain(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]", shown)
    assert plain(shown) == shown


def test_plain_text_keeps_letters_of_all_scripts():
    kept = ["Peña Ñandú", "ተስፋዬ", "Nguyễn Văn Á", "क्षेत्र", "👩‍🌾", "می‌خواهم"]
    assert [plain(name) for name in kept] == kept


def test_plain_text_removes_marks_that_reverse_what_follows():
    assert plain("\u202egnp.exe\u202c") == "gnp.exe"


def test_two_spellings_of_one_name_become_one():
    assert plain("Jose\u0301") == plain("José") == "José"


def test_missing_values_are_empty():
    assert [plain(None), plain(float("nan")), plain(0)] == ["", "", "0"]


def test_long_text_is_cut():
    assert plain("x" * 10_000, limit=200) == "x" * 199 + "…"


@pytest.mark.parametrize("start", ["=1+1", "+254700", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "=cmd|' /C x'!A0", "＝1"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start):
    assert csv_text(start) == f"'{start}"


@pytest.mark.parametrize("value", ["Ana", "a=b", "", "'", "00123", -1.5, 7, None])
def test_other_cells_stay(value):
    assert csv_text(value) is value


def sources():
    return [path for package in PACKAGES for path in package.rglob("*.py")]


def test_folium_is_imported_only_where_maps_are_made():
    importing = {
        path.name
        for path in sources()
        if re.search(r"^\s*(import|from) (folium|branca)\b", path.read_text("utf-8"), re.M)
    }
    assert importing == {"maps.py"}


def test_no_text_is_given_to_folium():
    """No popup, tooltip, icon or other text element of Folium anywhere: users' texts are data of the page."""
    used = {
        node.attr
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "folium"
    }
    assert used == {"Figure", "Map", "GeoJson", "CircleMarker", "LayerControl", "TileLayer", "raster_layers"}
