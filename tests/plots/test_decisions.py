import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, box

from geomap.errors import ColumnError
from geomap.plots.area import area_ha
from geomap.plots.decisions import COLUMNS, DECISIONS, apply_decisions

IDS = ["A", "B", "C"]


def plots():
    shapes = [box(0, 0, 0.001, 0.001), box(0, 0, 0.001, 0.001), Point(1, 1)]
    return gpd.GeoDataFrame(
        {"declared_area_ha": [float("nan"), 2.0, 3.0]},
        geometry=shapes,
        index=pd.Index(IDS, name="plot_id", dtype="str"),
        crs="EPSG:4326",
    )


def decided(*rows):
    return pd.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in rows], columns=list(COLUMNS))


def test_a_plot_left_out_is_gone_and_priced():
    before = plots()
    after, findings = apply_decisions(before, decided(("A", "", "spike", "leave_out"), ("C", "", "", "leave_out")))
    assert after.index.tolist() == ["B"]
    assert findings[["plot_id", "code", "action"]].to_numpy().tolist() == [
        ["A", "decided", "left_out"],
        ["C", "decided", "left_out"],
    ]
    assert findings["effect_ha"].tolist() == pytest.approx([-float(area_ha(before.geometry).iloc[0]), -3.0])
    assert before.index.tolist() == IDS


def test_of_the_same_plot_the_other_one_stays():
    after, findings = apply_decisions(plots(), decided(("A", "B", "duplicate_plot", "same_plot")))
    assert after.index.tolist() == ["B", "C"]
    assert "the same plot as B, which stays" in findings["message"][0]


def test_two_that_are_each_called_the_same_do_not_both_go():
    twice = decided(("A", "B", "duplicate_plot", "same_plot"), ("B", "A", "duplicate_plot", "same_plot"))
    assert apply_decisions(plots(), twice)[0].index.tolist() == ["B", "C"]
    one_left_out = decided(("A", "B", "duplicate_plot", "same_plot"), ("B", "", "", "leave_out"))
    assert apply_decisions(plots(), one_left_out)[0].index.tolist() == ["A", "C"]


@pytest.mark.parametrize("decision", ["keep", "repaired", "share_stays", "walked_again"])
def test_other_decisions_change_nothing_and_are_noted(decision):
    after, findings = apply_decisions(plots(), decided(("A", "", "overlap", decision)))
    assert after.index.tolist() == IDS
    assert findings[["plot_id", "action"]].to_numpy().tolist() == [["A", "kept"]]


def test_plots_that_are_not_in_the_file_any_more_are_told():
    after, findings = apply_decisions(plots(), decided(("Z", "", "", "leave_out"), ("A", "", "", "")))
    assert after.index.tolist() == IDS
    assert findings["plot_id"].tolist() == [""]
    assert "'Z'" in findings["message"][0]


def test_what_is_not_known_is_refused():
    with pytest.raises(ColumnError, match="leave_out"):
        apply_decisions(plots(), decided(("A", "", "", "delete")))
    with pytest.raises(ColumnError, match="other_plot_id"):
        apply_decisions(plots(), decided().drop(columns="other_plot_id"))


rows = st.tuples(
    st.sampled_from([*IDS, "Z"]), st.sampled_from(["", *IDS]), st.just("overlap"), st.sampled_from(["", *DECISIONS])
)


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_decisions_does_not_matter_and_no_plot_is_lost_in_silence(made, random):
    after, findings = apply_decisions(plots(), decided(*made))
    shuffled = made[:]
    random.shuffle(shuffled)
    again, findings_again = apply_decisions(plots(), decided(*shuffled))
    assert after.index.tolist() == again.index.tolist()
    pd.testing.assert_frame_equal(findings, findings_again)
    gone = set(findings.loc[findings["action"] == "left_out", "plot_id"])
    assert gone | set(after.index) == set(IDS)
    assert not gone & set(after.index)
