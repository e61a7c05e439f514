"""Outlines of plots as one tile needs them: in sides of the tile, and no further than the tiles beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from geomap.outputs.tiles import SPAN, Ints, TileIndex, ranges

_FAR: Final = 2.0
"""Sides of the tile beyond it up to which an outline is taken as it is; one that goes further is cut there."""


@dataclass(frozen=True)
class Outlines:
    """Rings of some plots.

    Attributes
    ----------
    rows : of the index, as they were asked for. owner : place in `rows` of each ring, ascending.
    corners : first corner of each ring; one more at the end.
    holes : whether a ring is a hole in the ring before it that is none.
    places : x and y of each corner in sides of the tile, from its north-west corner. Rings are not closed.
    """

    rows: Ints
    owner: Ints
    corners: Ints
    holes: npt.NDArray[np.bool_]
    places: npt.NDArray[np.float64]

    def plots(self) -> Iterator[tuple[int, list[tuple[int, int, bool]]]]:
        """Place in `rows` of each plot; of each of its rings: first corner, corner after the last, whether a hole."""
        corners = self.corners.tolist()
        rings = list(zip(corners[:-1], corners[1:], self.holes.tolist(), strict=True))
        owners, firsts = np.unique(self.owner, return_index=True)
        stops = [*firsts[1:].tolist(), len(rings)] if rings else []
        for place, first, stop in zip(owners.tolist(), firsts.tolist(), stops, strict=True):
            yield place, rings[first:stop]


def outlines(index: TileIndex, rows: Ints, z: int, x: int, y: int) -> Outlines:
    """Outlines of plots in sides of a tile, in the order of `rows`."""
    first, last = index.rings[rows].astype(np.int64), index.rings[rows + 1].astype(np.int64)
    numbers = ranges(first, last)
    starts, stops = index.corners[numbers].astype(np.int64), index.corners[numbers + 1].astype(np.int64)
    side = SPAN >> z
    places = (index.places[ranges(starts, stops)].astype(np.float64) - np.array([x, y]) * float(side)) / side
    told = Outlines(
        rows,
        np.repeat(np.arange(len(rows)), last - first),
        np.concatenate([[0], np.cumsum(stops - starts)]),
        index.holes[numbers],
        places,
    )
    box = (index.box[rows].astype(np.float64) - np.tile([x, y], 2) * float(side)) / side
    far: npt.NDArray[np.bool_] = np.any(np.hstack([box[:, :2] < -_FAR, box[:, 2:] > 1 + _FAR]), axis=1)
    return _cut(told, index, far, (x * side, y * side, side)) if far.any() else told


def _cut(told: Outlines, index: TileIndex, far: npt.NDArray[np.bool_], tile: tuple[int, int, int]) -> Outlines:
    """The same with those that go far cut off one side beyond the tile."""
    import shapely

    west, north, side = tile
    places = np.flatnonzero(far)
    shapes = shapely.make_valid(index.shapes(told.rows[places]))
    shapes = shapely.transform(shapes, lambda corners: (corners - [west, north]) / side)
    rings: dict[int, list[tuple[Any, bool]]] = {}
    for place, shape in zip(places.tolist(), shapely.clip_by_rect(shapes, -1.0, -1.0, 2.0, 2.0), strict=True):
        rings[place] = [
            (shapely.get_coordinates(ring)[:-1], number > 0)
            for part in shapely.get_parts(shape)
            if part.geom_type == "Polygon"
            for number, ring in enumerate(shapely.get_rings(part))
        ]
    for place, kept in told.plots():
        if not far[place]:
            rings[place] = [(told.places[start:stop], hole) for start, stop, hole in kept]
    order = sorted(rings)
    every = [(place, corners, hole) for place in order for corners, hole in rings[place]]
    return Outlines(
        told.rows,
        np.array([place for place, _, _ in every], dtype=np.int64),
        np.concatenate([[0], np.cumsum([len(corners) for _, corners, _ in every], dtype=np.int64)]),
        np.array([hole for _, _, hole in every], dtype=bool),
        np.concatenate([np.zeros((0, 2)), *(corners for _, corners, _ in every)]),
    )
