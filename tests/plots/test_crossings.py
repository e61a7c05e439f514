"""What bounds the time of a repair: how often an outline's edges meet."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geomap.plots.crossings import CANNOT, MOST_CROSSINGS, crosses_too_often, crossings


def star(corners: int, step: int) -> shapely.Polygon:
    """A star {n/k}: each edge crosses 2 (k − 1) others, so that there are n (k − 1) crossings."""
    angle = 2 * np.pi * (np.arange(corners) * step % corners) / corners
    return shapely.Polygon(np.column_stack([np.cos(angle), np.sin(angle)]))


@pytest.mark.parametrize(("corners", "step", "count"), [(5, 2, 5), (7, 3, 14), (11, 5, 44), (101, 50, 4_949)])
def test_a_star_is_counted_as_geometry_says(corners: int, step: int, count: int) -> None:
    assert crossings(star(corners, step)) == count


def test_holes_and_parts_count_with_their_own_neighbours() -> None:
    hole = [(1, 1), (2, 1), (2, 2), (1, 2)]
    assert crossings(shapely.Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [hole])) == 0
    assert crossings(shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)])) == 2
    assert crossings(shapely.Polygon([(0, 0), (4, 0), (4, 4), (0, 4)], [[(3, 1), (5, 1), (5, 2), (3, 2)]])) == 2


def test_edges_that_touch_or_lie_on_each_other_count_too() -> None:
    eight = shapely.Polygon([(0, 0), (1, 1), (2, 0), (2, 2), (1, 1), (0, 2)])  # four edges meet in (1, 1)
    assert crossings(eight) == 4  # 6 pairs, two of them neighbours
    back_and_forth = shapely.Polygon([(0, 0), (3, 0), (1, 0), (2, 0), (1, 1)])
    assert crossings(back_and_forth) > 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=9, unique=True))
def test_an_outline_that_meets_itself_nowhere_is_valid_and_the_other_way_round(corners: list[tuple[int, int]]) -> None:
    outline = shapely.Polygon(corners)
    if crossings(outline) == 0 and outline.area > 0:
        folds = shapely.LinearRing(corners).is_simple
        assert shapely.is_valid(outline) or not folds  # neighbours that turn back on themselves are not counted
    elif shapely.is_valid(outline):
        assert crossings(outline) == 0


def test_the_few_corners_that_are_not_counted_cannot_cross_too_often() -> None:
    assert CANNOT * (CANNOT - 3) // 2 <= MOST_CROSSINGS
    full = star(CANNOT - 1, (CANNOT - 1) // 2)
    assert crossings(full) <= MOST_CROSSINGS


def test_jitter_of_a_gps_is_far_from_the_limit_and_a_star_beyond_it() -> None:
    rng = np.random.default_rng(1)
    angle = 2 * np.pi * np.arange(499) / 499
    # a hectare of 56 m radius walked with a fix each 0.7 m, each off by 1 m
    walked = 56 * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 1, (499, 2))
    outlines = np.array([shapely.Polygon(walked), star(499, 249), shapely.box(0, 0, 1, 1)], dtype=object)
    assert crosses_too_often(outlines).tolist() == [False, True, False]
    assert (~crosses_too_often(outlines[:0])).tolist() == []  # no outline is a mask too
