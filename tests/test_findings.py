"""Findings in one table: graver ones first, and no order of input shows."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from geomap.findings import CODES, join_findings, make_findings

RANK = {"block": 0, "warn": 1, "note": 2}
ONE = st.tuples(st.sampled_from(["empty", "sliver", "nodata", "crs_given"]), st.text(max_size=3), st.text(max_size=2))


def table_of(told):
    return [make_findings(code, [plot_id], [message]) for code, plot_id, message in told]


@given(st.lists(ONE, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_findings_are_ordered_by_gravity_plot_code_and_message_whatever_came_first(told, random):
    wanted = sorted(told, key=lambda one: (RANK[CODES[one[0]][0]], one[1], one[0], one[2]))
    random.shuffle(told)
    for given_order in (told, wanted):
        found = join_findings(table_of(given_order))
        assert list(zip(found["code"], found["plot_id"], found["message"], strict=True)) == wanted
        assert found.index.equals(pd.RangeIndex(len(wanted)))


def test_of_no_findings_there_is_an_empty_table():
    assert join_findings([]).empty
    assert list(join_findings([]).columns) == list(make_findings("empty", ["P"], "").columns)
