"""Which outlines touch which block of a raster: the work of one thread at a time, whatever is counted there."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geomap.landcover.mosaic import in_raster
from geomap.landcover.source import Grid
from geomap.plots.area import rings_of

_BLOCK_EDGE: Final = 1024

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Outlines(NamedTuple):
    """Rings of outlines in cells of one raster.

    shapes : in the raster's CRS. xs, ys : corners in cells (column, row). rings : where each ring starts. holes :
    whether it is one. plot_rings : where each outline's rings start. bounds : (outlines, 4) lowest row, highest row,
    lowest column, highest column.
    """

    shapes: npt.NDArray[np.object_]
    xs: Floats
    ys: Floats
    rings: Ints
    holes: npt.NDArray[np.bool_]
    plot_rings: Ints
    bounds: Floats


class Task(NamedTuple):
    """The outlines that touch one block: `boxes` are their rows and columns within it, ends excluded."""

    plots: Ints
    boxes: Ints

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First row and column of the cells under the boxes, and how many rows and columns there are."""
        top, bottom = int(self.boxes[:, 0].min()), int(self.boxes[:, 1].max())
        left, right = int(self.boxes[:, 2].min()), int(self.boxes[:, 3].max())
        return (top, left), (bottom - top, right - left)


def outlines_on(outlines: npt.NDArray[np.object_], grid: Grid) -> Outlines:
    """Outlines in longitude and latitude as rings in cells of the raster."""
    shapes = in_raster(outlines, grid)
    found = rings_of(shapes)
    xy = found.coordinates
    xs, ys = (xy[:, 0] - grid.transform.c) / grid.transform.a, (xy[:, 1] - grid.transform.f) / grid.transform.e
    rings_per_plot = np.bincount(found.owner, minlength=len(outlines))
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    rows = (bounds[:, [1, 3]] - grid.transform.f) / grid.transform.e
    columns = (bounds[:, [0, 2]] - grid.transform.c) / grid.transform.a
    return Outlines(
        shapes,
        xs,
        ys,
        found.starts,
        found.holes,
        np.concatenate([[0], np.cumsum(rings_per_plot)]).astype(np.int64),
        np.column_stack([rows.min(axis=1), rows.max(axis=1), columns.min(axis=1), columns.max(axis=1)]),
    )


def boxes_of(bounds: Floats, grid: Grid) -> Ints:
    """First and last row, first and last column of each outline on the raster, ends excluded; empty beyond it."""
    size = np.array([grid.height, grid.height, grid.width, grid.width])
    with np.errstate(invalid="ignore"):
        cells = np.column_stack([
            np.floor(bounds[:, 0]), np.ceil(bounds[:, 1]), np.floor(bounds[:, 2]), np.ceil(bounds[:, 3])
        ])  # fmt: skip
        return np.asarray(np.clip(cells, 0, size), dtype=np.int64)


def tasks_on(bounds: Floats, grid: Grid) -> Iterator[Task]:
    """Outlines grouped by raster block, in the order of the blocks; within a block in the order of the outlines."""
    cells = boxes_of(bounds, grid)
    plots = np.flatnonzero((cells[:, 0] < cells[:, 1]) & (cells[:, 2] < cells[:, 3]))
    rows, columns = (max(edge, _BLOCK_EDGE // edge * edge) for edge in grid.block)
    if grid.block[1] == grid.width:
        columns = grid.width
    first = cells[plots][:, [0, 2]] // [rows, columns]
    last = (cells[plots][:, [1, 3]] - 1) // [rows, columns]
    span = last - first + 1
    count = span.prod(axis=1)
    owner = np.repeat(np.arange(len(plots)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    block_row = first[owner, 0] + step // span[owner, 1]
    block_column = first[owner, 1] + step % span[owner, 1]
    boxes = cells[plots[owner]]
    boxes[:, 0] = np.maximum(boxes[:, 0], block_row * rows)
    boxes[:, 1] = np.minimum(boxes[:, 1], (block_row + 1) * rows)
    boxes[:, 2] = np.maximum(boxes[:, 2], block_column * columns)
    boxes[:, 3] = np.minimum(boxes[:, 3], (block_column + 1) * columns)
    block = block_row * (grid.width // columns + 1) + block_column
    order = np.argsort(block, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
        if len(group):
            yield Task(plots[owner[group]], boxes[group])
