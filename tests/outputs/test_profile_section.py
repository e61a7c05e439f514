"""The report's section on the environment: what it says of shares, altitude and pairs."""

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from jinja2 import Environment, StrictUndefined

from geomap.landcover.group_shares import PAIR_COLUMNS
from geomap.landcover.profile import MEASURES, PROFILE_COLUMNS, Profiles
from geomap.outputs.profile_section import PROFILE_DOCS, profile_section
from geomap.outputs.report import percent

MACROS = """{% macro table_box(label) %}<div>{{ caller() }}</div>{% endmacro %}
{% macro bar(share) %}|{% endmacro %}{% macro more(group, file) %}{% endmacro %}"""


def found(low=0.5, *, names=("A <b>", "B")):
    shares = [
        (name, "tree_share", "share", 0.9, 0.7 - 0.2 * k, low, 0.9, "95 % interval", "published accuracy of the map")
        for k, name in enumerate(names)
    ]
    heights = [("A <b>", "altitude_m", "m", 1200.0, 1200.0, 900.0, 1500.0, "", "altitude as told")]
    pairs = [
        ("tree_share", "A <b>", "B", 0.2, 0.1, 0.3, "a higher"),
        ("tree_share", "A <b>", "C", -0.2, -0.3, -0.1, "b higher"),
        ("tree_share", "B", "C", 0.0, -0.1, 0.1, "not different"),
    ]
    table = pd.DataFrame(shares + heights, columns=PROFILE_COLUMNS)
    return Profiles(pd.DataFrame(), table, pd.DataFrame(pairs, columns=PAIR_COLUMNS))


def render(section):
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=percent)
    source = files("geomap.outputs").joinpath("profile.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(MACROS + source).render(profile=section)
    return " ".join(page.replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_columns_of_the_docs_are_those_of_the_tables():
    assert list(PROFILE_DOCS["profile.csv"]) == PROFILE_COLUMNS
    assert list(PROFILE_DOCS["profile_pairs.csv"]) == PAIR_COLUMNS


def test_each_measure_has_a_table_and_names_are_escaped():
    page = render(profile_section(found()))
    assert page.index(">A &lt;b&gt;<") < page.index(">B<")
    assert "50 % – 90 %" in page
    assert "900 – 1,500" in page
    assert page.count("<h3>") == 2
    for name in ("tree_share", "altitude_m"):
        assert MEASURES[name] in page


def test_pairs_that_differ_are_told_with_the_higher_one_first():
    page = render(profile_section(found()))
    assert "Different, of 3 pairs compared" in page
    assert "<bdi>A &lt;b&gt;</bdi> has more than <bdi>B</bdi>, by 10 % to 30 %" in page
    assert "<bdi>C</bdi> has more than <bdi>A &lt;b&gt;</bdi>, by 10 % to 30 %" in page


def test_without_an_accuracy_the_interval_is_not_known():
    page = render(profile_section(found(low=np.nan, names=("A <b>",))))
    assert "not known" in page
    assert "–</td>" not in page


@pytest.mark.parametrize("nothing", [None, Profiles(pd.DataFrame(), pd.DataFrame(columns=PROFILE_COLUMNS), None)])
def test_nothing_is_shown_where_nothing_is_known(nothing):
    assert profile_section(nothing) is None
    assert render(profile_section(nothing)) == ""
