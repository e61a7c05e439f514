"""How often the edges of an outline meet: what bounds the time that its repair can take."""

from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

MOST_CROSSINGS: Final = 1_000
"""An outline of at most 500 corners whose edges meet no more often than this is repaired in a tenth of a second."""
CANNOT: Final = 46
"""46 edges have 46 · 43 / 2 = 989 pairs that are no neighbours: they cannot meet more often."""


def crosses_too_often(outlines: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Which outlines (polygons or multipolygons) meet themselves more than `MOST_CROSSINGS` times."""
    few = shapely.get_num_coordinates(outlines) <= CANNOT
    meet = [not less and crossings(outline) > MOST_CROSSINGS for outline, less in zip(outlines, few, strict=True)]
    return np.array(meet, dtype=bool)


def crossings(outline: shapely.Geometry) -> int:
    """Pairs of edges of one polygon or multipolygon that cross, touch or lie on one another, neighbours aside.

    Every pair is looked at: some milliseconds for 500 corners, and with the square of their number.

    Examples
    --------
    >>> crossings(shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])), crossings(shapely.box(0, 0, 1, 1))
    (1, 0)
    """
    corners, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(outline)), return_index=True)
    edge = np.flatnonzero(ring[1:] == ring[:-1])
    if not len(edge):
        return 0
    start, end = corners[edge], corners[edge + 1]
    meet = _side(start, end, start) * _side(start, end, end) <= 0
    meet &= meet.T
    low, high = np.minimum(start, end), np.maximum(start, end)
    for axis in (0, 1):
        within = low[:, axis, None] <= high[None, :, axis]
        meet &= within & within.T
    first = np.flatnonzero(np.r_[True, np.diff(ring[edge]) != 0])
    after = np.arange(len(edge)) + 1
    after[np.r_[first[1:], len(edge)] - 1] = first
    meet[np.arange(len(edge)), after] = False
    meet[after, np.arange(len(edge))] = False
    return int(np.count_nonzero(np.triu(meet, 1)))


def _side(start: NDArray[np.float64], end: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[Any]:
    """On which side of each edge (row) each point (column) lies: 1, 0 or −1."""
    x, y = (points[None, :, axis] - start[:, axis, None] for axis in (0, 1))
    along = end - start
    return np.sign(along[:, 0, None] * y - along[:, 1, None] * x).astype(np.int8)
