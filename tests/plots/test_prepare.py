import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import translate
from shapely.geometry import Point, Polygon, box

from geomap.errors import CrsError
from geomap.plots.area import area_ha, gps_area_sd_ha
from geomap.plots.prepare import prepare_plots

STEP = 0.001
EXTRA = {"area_ha", "area_sd_ha", "counted_area_ha", "kind"}


def inland(shape):
    """The shape moved from 0, 0 to Honduras, off any round number."""
    return translate(shape, -87.123456, 14.123456)


def square(west, south=0.0, size=1.0):
    return inland(box(west * STEP, south * STEP, (west + size) * STEP, (south + size) * STEP))


def plots_of(shapes, **columns):
    ids = [f"P{number}" for number in range(1, len(shapes) + 1)]
    table = {
        "given_id": ids,
        "member_id": [f"M{plot[1:]}" for plot in ids],
        "cooperative_id": "C",
        "community": "",
        "crop": "coffee",
        "declared_area_ha": np.nan,
        "gps_accuracy_m": np.nan,
        "planted_share": np.nan,
        "planted_year": np.nan,
        "hives": np.nan,
        "row": range(1, len(shapes) + 1),
    } | columns
    index = pd.Index(ids, name="plot_id", dtype="str")
    frame = pd.DataFrame(table, index=index)
    return gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries(list(shapes), index=index, crs="EPSG:4326"))


def left_out_reasons(prepared):
    rows = prepared.findings[prepared.findings["action"] == "left_out"]
    return dict(zip(rows["plot_id"], rows["code"], strict=True))


with np.errstate(invalid="ignore"):
    NOT_A_NUMBER = Polygon([(-87, 14), (np.nan, 14), (-86, 15)])
BOW_TIE = inland(Polygon([(0.02, 0), (0.021, 0.001), (0.021, 0), (0.02, 0.001)]))
HUGE = inland(box(0, 0, 1, 1))
HERE = inland(Point(0, 0))
SPIKE = inland(Polygon([(0.01, 0), (0.011, 0), (0.012, 0), (0.011, 0), (0.011, 0.001), (0.01, 0.001)]))
ANGLE = np.linspace(0, 2 * np.pi, 10_002)
ROUND = inland(Polygon(np.column_stack([np.cos(ANGLE[:-1]), np.sin(ANGLE[:-1])]) * STEP))


def test_measured_plots_get_area_error_and_counted_area():
    plots = plots_of([square(0), square(0.5)], gps_accuracy_m=[3.0, np.nan])
    prepared = prepare_plots(plots)
    area = area_ha(plots.geometry)
    assert prepared.plots["kind"].tolist() == ["measured", "measured"]
    assert prepared.plots["area_ha"].tolist() == area.tolist()
    assert prepared.plots["area_sd_ha"].tolist() == gps_area_sd_ha(plots.geometry, [3.0, 5.0]).tolist()
    assert prepared.plots["counted_area_ha"].to_numpy() == pytest.approx(0.75 * area.to_numpy(), rel=1e-6)
    assert prepared.overlaps[["plot_a", "plot_b"]].to_numpy().tolist() == [["P1", "P2"]]
    assert prepared.findings["code"].tolist() == ["overlap"]
    assert prepared.members is None


def test_a_point_or_a_bare_row_stands_with_its_declared_area():
    prepared = prepare_plots(plots_of([HERE, None, HERE], declared_area_ha=[1.5, 2.5, np.nan]))
    assert prepared.plots.index.tolist() == ["P1", "P2"]
    assert prepared.plots["kind"].tolist() == ["declared", "declared"]
    assert prepared.plots["counted_area_ha"].tolist() == [1.5, 2.5]
    assert prepared.plots["area_sd_ha"].tolist() == [0, 0]
    assert prepared.plots["area_ha"].isna().all()
    assert prepared.findings[["plot_id", "code"]].to_numpy().tolist() == [
        ["P3", "empty"],
        ["P1", "declared_only"],
        ["P2", "declared_only"],
    ]


def test_hives_need_no_area():
    prepared = prepare_plots(plots_of([HERE, None], hives=[12.0, 3.0]))
    assert prepared.plots["counted_area_ha"].tolist() == [0, 0]
    assert prepared.plots["kind"].tolist() == ["declared", "declared"]
    assert prepared.findings.empty


def test_what_blocks_is_left_out_and_says_why():
    shapes = [square(0), NOT_A_NUMBER, None, ROUND, HUGE, BOW_TIE, inland(Polygon([(0, 0), (1, 1), (2, 2)]))]
    prepared = prepare_plots(plots_of(shapes))
    assert prepared.plots.index.tolist() == ["P1"]
    assert left_out_reasons(prepared) == {
        "P2": "out_of_range",
        "P3": "empty",
        "P4": "too_many_vertices",
        "P5": "too_large",
        "P6": "invalid",
        "P7": "no_area",
    }
    assert prepared.left_out.index.tolist() == ["P2", "P3", "P4", "P5", "P6", "P7"]
    assert prepared.left_out.columns.tolist() == prepared.plots.columns.tolist()
    assert prepared.left_out["counted_area_ha"].tolist() == [0] * 6


def test_a_plot_left_out_claims_no_ground():
    prepared = prepare_plots(plots_of([HUGE, square(0)]))
    assert prepared.plots["counted_area_ha"].tolist() == prepared.plots["area_ha"].tolist()


def test_a_repaired_plot_is_measured_as_repaired():
    prepared = prepare_plots(plots_of([SPIKE]))
    assert prepared.findings["code"].tolist() == ["repaired"]
    assert prepared.plots.geometry.iloc[0].symmetric_difference(square(10)).area < 1e-15
    assert prepared.plots["counted_area_ha"].to_numpy() == pytest.approx(area_ha(np.array([square(10)])), rel=1e-12)


def test_members_are_checked_against_usable_plots():
    plots = plots_of([square(0), BOW_TIE], member_id=["M1", "M2"])
    members = pd.DataFrame({"declared_area_ha": [1.0, 2.0]}, index=pd.Index(["M1", "M2"], name="member_id"))
    prepared = prepare_plots(plots, members)
    assert prepared.members is members
    assert prepared.findings["code"].tolist() == ["invalid", "member_without_plot"]


def test_without_a_crs_nothing_is_measured():
    plots = plots_of([square(0)])
    with pytest.raises(CrsError, match="set_crs"):
        prepare_plots(plots.set_crs(None, allow_override=True))
    with pytest.raises(CrsError, match="to_crs"):
        prepare_plots(plots.to_crs("EPSG:3857"))


def test_no_plots_are_no_error():
    prepared = prepare_plots(plots_of([]))
    assert (len(prepared.plots), len(prepared.left_out), len(prepared.findings)) == (0, 0, 0)
    assert set(prepared.plots.columns) >= EXTRA


def test_progress_is_told_in_words_and_ends_at_the_total():
    steps = []
    prepare_plots(plots_of([square(0), square(5)]), progress=lambda *step: steps.append(step))
    assert steps[0][0] == "checking plots"
    assert all(0 <= done <= total == 2 for _, done, total in steps)
    assert steps[-1][1:] == (2, 2)


KINDS = [
    square(0),
    square(0.5),
    square(0.2, 0.3),
    square(3),
    SPIKE,
    BOW_TIE,
    NOT_A_NUMBER,
    HUGE,
    Polygon(),
    HERE,
    None,
]
rows = st.lists(
    st.tuples(
        st.integers(0, len(KINDS) - 1), st.sampled_from([np.nan, 0.0, 2.0, 20_000.0]), st.sampled_from([np.nan, 4.0])
    ),
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(rows)
def test_every_plot_comes_out_once_usable_or_left_out_with_a_finding(drawn):
    shapes = [KINDS[kind] for kind, *_ in drawn]
    declared, hives = [area for _, area, _ in drawn], [count for *_, count in drawn]
    plots = plots_of(shapes, declared_area_ha=np.array(declared, dtype=float), hives=np.array(hives, dtype=float))
    before = shapely.to_wkb(plots.geometry.to_numpy())
    prepared = prepare_plots(plots)
    assert sorted([*prepared.plots.index, *prepared.left_out.index]) == sorted(plots.index)
    assert set(left_out_reasons(prepared)) == set(prepared.left_out.index)
    assert prepared.plots.index.tolist() == [plot for plot in plots.index if plot in prepared.plots.index]
    assert set(prepared.plots["kind"]) <= {"measured", "declared"}
    assert (prepared.plots["counted_area_ha"] >= 0).all()
    assert (prepared.plots["area_ha"].notna() == (prepared.plots["kind"] == "measured")).all()
    assert set(prepared.plots.columns) - set(plots.columns) == EXTRA
    assert (shapely.to_wkb(plots.geometry.to_numpy()) == before).all()
    assert EXTRA.isdisjoint(plots.columns)


@settings(max_examples=40, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(drawn, random):
    plots = plots_of(
        [KINDS[kind] for kind, *_ in drawn],
        declared_area_ha=np.array([area for _, area, _ in drawn], dtype=float),
        hives=np.array([count for *_, count in drawn], dtype=float),
    )
    places = list(range(len(plots)))
    random.shuffle(places)
    first, second = prepare_plots(plots), prepare_plots(plots.iloc[places])
    pd.testing.assert_frame_equal(first.findings, second.findings, check_exact=True)
    pd.testing.assert_frame_equal(first.overlaps, second.overlaps, check_exact=True)
    pd.testing.assert_frame_equal(first.plots.sort_index(), second.plots.sort_index(), check_exact=True)
