import time
from itertools import combinations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from geomap.errors import CrsError
from geomap.plots import overlap, shares
from geomap.plots.area import area_ha
from geomap.plots.overlap import count_once

STEP = 0.001


def square(west, south, width=1.0, height=1.0):
    return box(west * STEP, south * STEP, (west + width) * STEP, (south + height) * STEP)


SQUARE_HA = float(area_ha(np.array([square(0, 0)]))[0])


def plots_of(shapes, members=None, ids=None, cooperative="C"):
    ids = ids or [f"P{number}" for number in range(1, len(shapes) + 1)]
    return gpd.GeoDataFrame(
        {"member_id": members or [""] * len(shapes), "cooperative_id": cooperative},
        geometry=gpd.GeoSeries(list(shapes), crs="EPSG:4326").to_numpy(),
        index=pd.Index(ids, name="plot_id", dtype="str"),
        crs="EPSG:4326",
    )


def counted(shapes, members=None, **options):
    plots = plots_of(shapes, members, **options)
    return count_once(plots, area_ha(plots.geometry))


def in_squares(result):
    """Counted areas in units of one square; squares this near to the equator are all alike to 1e-9."""
    return (result.counted_area_ha / SQUARE_HA).tolist()


def union_ha(shapes):
    return float(area_ha(np.array([shapely.unary_union(shapes)]))[0])


def test_two_plots_share_what_both_claim():
    result = counted([square(0, 0), square(0.5, 0), square(5, 5)])
    assert in_squares(result) == pytest.approx([0.75, 0.75, 1], rel=1e-6)
    assert result.pairs[["plot_a", "plot_b"]].to_numpy().tolist() == [["P1", "P2"]]
    assert result.pairs["overlap_ha"][0] == pytest.approx(SQUARE_HA / 2, rel=1e-6)


def test_touching_neighbours_do_not_overlap():
    result = counted([square(0, 0), square(1, 0), square(1, 1), square(0, 1)])
    assert (result.pairs.empty, result.findings.empty) == (True, True)
    assert in_squares(result) == pytest.approx([1] * 4, rel=1e-6)


def test_triangles_that_share_a_box_do_not_overlap():
    lower = Polygon([(-1.9820, 6.3480), (-1.9800, 6.3480), (-1.9820, 6.3500)])
    upper = Polygon([(-1.9800, 6.3480), (-1.9800, 6.3500), (-1.9820, 6.3500)])
    result = counted([lower, upper])
    assert result.pairs.empty
    assert result.counted_area_ha.to_numpy().tolist() == area_ha(np.array([lower, upper])).tolist()


def test_a_contained_plot_is_found():
    result = counted([square(0, 0, 2, 2), square(0.5, 0.5)])
    assert in_squares(result) == pytest.approx([3.5, 0.5], rel=1e-6)
    assert result.findings[["plot_id", "code"]].to_numpy().tolist() == [["P2", "contained_plot"]]
    assert result.findings["message"][0].startswith("P2 lies inside P1: 1.2309 ha, 100.0% of the smaller")


def test_three_plots_share_ground_of_three_in_thirds():
    # Strips of width 3 from 0, 1 and 2: [0,1] A; [1,2] A B; [2,3] A B C; [3,4] B C; [4,5] C.
    result = counted([square(0, 0, 3), square(1, 0, 3), square(2, 0, 3)])
    assert in_squares(result) == pytest.approx([1 + 1 / 2 + 1 / 3, 1 / 2 + 1 / 3 + 1 / 2, 1 / 3 + 1 / 2 + 1], rel=1e-6)
    assert len(result.pairs) == 3


def test_ground_declared_twice_by_one_member_counts_once_for_it():
    # One square, plots P1 and P2 of member M1 and P3 of M2: M1 has half, a quarter for each plot.
    result = counted([square(0, 0)] * 3, ["M1", "M1", "M2"])
    assert in_squares(result) == pytest.approx([0.25, 0.25, 0.5], rel=1e-9)


def test_members_of_different_cooperatives_with_one_number_are_two():
    result = counted([square(0, 0)] * 3, ["M1", "M1", "M2"], cooperative=["A", "B", "B"])
    assert in_squares(result) == pytest.approx([1 / 3] * 3, rel=1e-9)


def test_plots_of_no_member_are_claimants_of_their_own():
    result = counted([square(0, 0)] * 4, ["", "", "M1", "M1"])
    assert in_squares(result) == pytest.approx([1 / 3, 1 / 3, 1 / 6, 1 / 6], rel=1e-9)


def test_a_copy_drawn_from_another_corner_the_other_way_is_the_same_ground():
    turned = Polygon([(STEP, STEP), (STEP, 0), (0, 0), (0, STEP)])
    result = counted([square(0, 0), turned])
    assert in_squares(result) == pytest.approx([0.5, 0.5], rel=1e-9)
    assert "P1 and P2 are the same ground twice" in result.findings["message"][0]


def test_a_pair_beside_a_crowd_is_shared_once():
    # A, B and C as above; D overlaps C alone, on half a square.
    result = counted([square(0, 0, 3), square(1, 0, 3), square(2, 0, 3), square(4.5, 0, 1)])
    assert in_squares(result)[2:] == pytest.approx([1 / 3 + 1 / 2 + 1 / 2 + 1 / 4, 3 / 4], rel=1e-6)


def test_a_chain_of_pairs_within_a_crowd_is_shared_once():
    # Two crowds of three, joined by an overlap of one plot of each on half a square.
    crowd = [(0, 0), (0.25, 0), (0.5, 0)]
    shapes = [square(x, y) for x, y in crowd] + [square(x + 1, y, 1) for x, y in crowd]
    assert counted(shapes).counted_area_ha.sum() == pytest.approx(union_ha(shapes), rel=1e-9)


def test_holes_and_parts_are_respected():
    ring = Polygon(square(0, 0, 3, 3).exterior, [square(1, 1).exterior])
    result = counted([ring, square(1, 1), MultiPolygon([square(0, 0), square(9, 9)])])
    assert in_squares(result) == pytest.approx([7.5, 1, 1.5], rel=1e-6)


def test_findings_tell_size_and_cost():
    # P1–P2 share half of the smaller; P3–P4 share 4 %; P5–P6 share .05 % of a square, 6 m², above 5 m².
    shapes = [square(0, 0), square(0.5, 0), square(0, 5), square(0.96, 5), square(0, 9), square(0.9995, 9)]
    findings = counted(shapes).findings
    assert findings[["plot_id", "code", "severity", "action"]].to_numpy().tolist() == [
        ["P1", "overlap", "warn", "split"],
        ["P3", "overlap", "note", "split"],
        ["P5", "overlap", "note", "split"],
    ]
    assert findings["effect_ha"].to_numpy() == pytest.approx(SQUARE_HA * np.array([-0.5, -0.04, -0.0005]), rel=1e-5)
    assert "P2" in findings["message"][0]


def codes_of(shapes, members, cooperative="C"):
    findings = counted(shapes, members, cooperative=cooperative).findings
    return findings[["plot_id", "code"]].to_numpy().tolist()


def test_overlaps_are_named_by_who_claims_the_ground():
    pair = [square(0, 0), square(0.5, 0)]
    assert codes_of(pair, ["M1", "M2"]) == [["P1", "overlap"]]
    assert codes_of(pair, ["M1", "M1"]) == [["P1", "overlap_own"]]
    assert codes_of(pair, ["", ""]) == [["P1", "overlap"]]
    assert codes_of(pair, ["M1", "M1"], ["A", "B"]) == [["P1", "overlap_cooperatives"], ["P2", "overlap_cooperatives"]]
    assert codes_of([square(0, 0)] * 2, ["M1", "M2"]) == [["P1", "duplicate_plot"]]
    assert codes_of([square(0, 0), square(0, 0, 2, 2)], ["M1", "M2"]) == [["P1", "contained_plot"]]


def test_each_cooperative_bears_its_own_part_of_a_shared_plot():
    result = counted([square(0, 0), square(0.5, 0)], ["M1", "M2"], cooperative=["A", "B"])
    assert result.findings["effect_ha"].to_numpy() == pytest.approx([-SQUARE_HA / 4] * 2, rel=1e-5)


@pytest.mark.parametrize("copies", [2, 3, 5, 60])
def test_effects_of_a_stack_of_copies_add_up_to_all_but_one(copies):
    result = counted([square(0, 0)] * copies, [f"M{number}" for number in range(copies)])
    assert result.findings["effect_ha"].sum() == pytest.approx(-(copies - 1) * SQUARE_HA, rel=1e-9)


def test_the_other_plot_of_a_finding_is_known_by_its_whole_id():
    for members, cooperative in ((["M1", "M2"], "C"), (["M1", "M1"], "C"), (["M1", "M2"], ["A", "B"])):
        ids = ["P1", "P10"]
        for shapes in ([square(0, 0), square(0.5, 0)], [square(0, 0)] * 2, [square(0, 0), square(0, 0, 2)]):
            findings = counted(shapes, members, ids=ids, cooperative=cooperative).findings
            for plot, message in zip(findings["plot_id"], findings["message"], strict=True):
                (other,) = set(ids) - {plot}
                assert overlap.other_plot(message, plot, ["P1000", "P", other]) == other


def test_slivers_are_shared_without_a_finding():
    result = counted([square(0, 0), square(0.9999, 0)])  # .01 % of a square, 1.2 m²
    assert (len(result.pairs), len(result.findings)) == (1, 0)
    assert in_squares(result) == pytest.approx([1 - 0.00005] * 2, rel=1e-6)


def test_points_and_gaps_keep_the_area_they_bring():
    plots = plots_of([square(0, 0), Point(0, 0), None, square(0, 0)])
    area = pd.Series([SQUARE_HA, 2.0, np.nan, SQUARE_HA], index=plots.index)
    assert count_once(plots, area).counted_area_ha.to_numpy() == pytest.approx(
        [SQUARE_HA / 2, 2.0, np.nan, SQUARE_HA / 2], rel=1e-9, nan_ok=True
    )


def test_no_plots_and_a_missing_crs():
    result = counted([])
    assert (len(result.counted_area_ha), len(result.pairs), len(result.findings)) == (0, 0, 0)
    assert result.pairs.columns.tolist() == ["plot_a", "plot_b", "overlap_ha"]
    plots = plots_of([square(0, 0)])
    with pytest.raises(CrsError):
        count_once(plots.set_crs(None, allow_override=True), area_ha(plots.geometry))


def test_where_exact_geometry_fails_outlines_are_put_on_a_grid():
    calls = []

    def fails_off_the_grid(left, right):
        calls.append(shapely.get_precision(left)[0])
        if calls[-1] == 0:
            raise shapely.GEOSException("TopologyException: found non-noded intersection")
        return shapely.intersection(left, right)

    shapes = np.array([square(0, 0), square(0.5, 0)])
    shared = overlap.robust(fails_off_the_grid, shapes[:1], shapes[1:])
    assert calls == [0, shares.SNAP_GRID_DEG]
    assert area_ha(shared)[0] == pytest.approx(SQUARE_HA / 2, rel=1e-6)


def test_thousands_of_copies_do_not_take_pairs_of_thousands():
    shapes = [square(0, 0)] * 3_000 + [square(0.5, 0)] * 2_000
    start = time.process_time()
    result = counted(shapes, ids=[f"P{number:04}" for number in range(5_000)])
    assert time.process_time() - start < 20
    assert result.counted_area_ha.sum() == pytest.approx(1.5 * SQUARE_HA, rel=1e-6)
    # 50 of each are named with each other, the rest with the first of their kind.
    assert len(result.pairs) == 2 * (50 * 49 // 2) + 50 * 50 + 2_950 + 1_950


def test_more_outlines_on_one_spot_than_are_cut_at_once_add_up_to_their_union():
    rng = np.random.default_rng(2)
    ring = np.array([(0, 0), (1, 0.1), (1.1, 0.9), (0.2, 1)]) * STEP + [-87, 14]
    shapes = [Polygon(ring + rng.normal(0, 1e-5, ring.shape)) for _ in range(shares.OUTLINES_PER_TILE)]
    result = counted(shapes, ids=[f"P{number:03}" for number in range(len(shapes))])
    assert result.counted_area_ha.sum() == pytest.approx(union_ha(shapes), rel=1e-7)
    lost = sum(area_ha(np.array(shapes))) - union_ha(shapes)
    assert -result.findings["effect_ha"].sum() == pytest.approx(lost, rel=1e-7)


def test_nearly_equal_outlines_stay_exact():
    rng = np.random.default_rng(2)
    ring = np.array([(0, 0), (1, 0.1), (1.1, 0.9), (0.2, 1)]) * STEP + [-87, 14]
    for wobble in (1e-13, 1e-11, 1e-9, 1e-6):
        shapes = [Polygon(ring + rng.normal(0, wobble, ring.shape)) for _ in range(12)]
        assert counted(shapes).counted_area_ha.sum() == pytest.approx(union_ha(shapes), rel=1e-6)


corner = st.tuples(st.integers(0, 8), st.integers(0, 8))
outline = (
    st.lists(corner, min_size=3, max_size=5, unique=True)
    .map(lambda ring: shapely.convex_hull(shapely.MultiPoint(np.array(ring) * STEP + [-87.3, 14.2])))
    .filter(lambda shape: shape.geom_type == "Polygon")
)
outlines = st.lists(st.tuples(outline, st.sampled_from(["", "M1", "M2", "M3"])), min_size=1, max_size=9)


@settings(max_examples=150, deadline=None)
@given(outlines)
def test_counted_areas_add_up_to_the_union(drawn):
    shapes, members = zip(*drawn, strict=True)
    assert counted(shapes, list(members)).counted_area_ha.sum() == pytest.approx(union_ha(shapes), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(outlines)
def test_effects_add_up_to_the_ground_that_is_not_counted_twice(drawn):
    shapes, members = zip(*drawn, strict=True)
    plots = plots_of(shapes, list(members))
    result = count_once(plots, area_ha(plots.geometry))
    lost = float(area_ha(plots.geometry).sum() - result.counted_area_ha.sum())
    assert -result.findings["effect_ha"].sum() == pytest.approx(lost, rel=1e-5, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(outlines, st.integers(2, 4))
def test_both_ways_to_share_ground_agree(drawn, most):
    """Sets of outlines and pieces of ground: the same hectares, whatever goes which way."""
    shapes, members = zip(*drawn, strict=True)
    usual = counted(shapes, list(members)).counted_area_ha
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shares, "MOST_NEIGHBOURS", most - 2)
        other = counted(shapes, list(members)).counted_area_ha
    assert other.to_numpy() == pytest.approx(usual.to_numpy(), rel=1e-6, abs=1e-7)


def test_neighbours_that_all_overlap_are_shared_in_seconds():
    # 60 × 60 squares, each a tenth wider than its place: all overlap the 8 around, four on every corner.
    shapes = [square(x, y, 1.1, 1.1) for x in range(60) for y in range(60)]
    start = time.process_time()
    result = counted(shapes, ids=[f"P{number:04}" for number in range(3_600)])
    assert time.process_time() - start < 10
    assert result.counted_area_ha.sum() == pytest.approx(union_ha(shapes), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(outlines, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(drawn, random):
    shapes, members = zip(*drawn, strict=True)
    plots = plots_of(shapes, list(members))
    rows = list(range(len(plots)))
    random.shuffle(rows)
    turned = plots.iloc[rows]
    first, second = (count_once(table, area_ha(table.geometry)) for table in (plots, turned))
    assert second.counted_area_ha.index.tolist() == turned.index.tolist()
    assert first.counted_area_ha.tolist() == second.counted_area_ha.reindex(plots.index).tolist()
    pd.testing.assert_frame_equal(first.pairs, second.pairs, check_exact=True)
    pd.testing.assert_frame_equal(first.findings, second.findings, check_exact=True)


@settings(max_examples=60, deadline=None)
@given(outlines, outline)
def test_another_plot_never_lowers_the_sum(drawn, extra):
    shapes, members = zip(*drawn, strict=True)
    before = counted(shapes, list(members)).counted_area_ha.sum()
    after = counted([*shapes, extra], [*members, "M2"]).counted_area_ha.sum()
    assert after >= before * (1 - 1e-8)  # crossings are rounded to a micrometre


@settings(max_examples=40, deadline=None)
@given(outlines)
def test_shares_agree_with_a_grid_of_points(drawn):
    """Brute force: ask a point in every cell of a fine grid who claims it."""
    shapes, members = zip(*drawn, strict=True)
    owners = [member or f"alone {row}" for row, member in enumerate(members)]
    # One random point in each cell of the grid: no outline runs along with them.
    cells = np.stack(np.meshgrid(np.arange(160), np.arange(160)))
    lon, lat = (cells + np.random.default_rng(4).random(cells.shape)) / 20 * STEP + [[[-87.3]], [[14.2]]]
    claims = np.array([shapely.contains_xy(shape, lon.ravel(), lat.ravel()) for shape in shapes])
    shares = np.zeros(len(shapes))
    for point in claims.T[claims.any(axis=0)]:
        rows = np.flatnonzero(point)
        who = [owners[row] for row in rows]
        shares[rows] += [1 / (len(set(who)) * who.count(owners[row])) for row in rows]
    cell_ha = float(area_ha(np.array([box(-87.3, 14.2, -87.3 + 8 * STEP, 14.2 + 8 * STEP)]))[0]) / 160**2
    result = counted(shapes, list(members)).counted_area_ha
    assert result.to_numpy() == pytest.approx(shares * cell_ha, abs=0.1)


@settings(max_examples=40, deadline=None)
@given(outlines)
def test_pairs_are_those_that_share_ground(drawn):
    shapes, members = zip(*drawn, strict=True)
    pairs = counted(shapes, list(members)).pairs
    found = dict(zip(zip(pairs["plot_a"], pairs["plot_b"], strict=True), pairs["overlap_ha"], strict=True))
    for (a, left), (b, right) in combinations(enumerate(shapes, 1), 2):
        common = float(np.nan_to_num(area_ha(np.array([shapely.intersection(left, right)]))[0]))  # NaN where a point
        assert found.get((f"P{a}", f"P{b}"), 0.0) == pytest.approx(common, rel=1e-6, abs=1e-6)
