"""What one file of a layer shows under outlines, block by block and by several threads: each block is read once.

Cells themselves are kept only for quantiles, and only those of outlines that lie in several blocks or on several files:
the others are done with as soon as their block is read.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from geomap.engine import ordered_map
from geomap.errors import RasterError
from geomap.landcover.blocks import Outlines, Task, boxes_of, outlines_on, tasks_on
from geomap.landcover.layer_files import LayerFiles
from geomap.landcover.source import Grid

_MOST_CELLS: Final = 2**27
"""Cells of one outline that can be kept in memory."""

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]


class Cells(NamedTuple):
    """Cells outline by outline: `counts` of them belong to each of `owners`; weight is share × area of the cell."""

    owners: Ints
    counts: Ints
    values: Floats
    weights: Floats


class BlockSums(NamedTuple):
    """What one file shows, one row per outline.

    box : first and last row, first and last column, ends excluded. planar : cells that the outline is large. sums :
    columns `SUMS` of the kernel. ends : lowest and highest value; inf and −inf without data. quantiles : of outlines
    that lie in one block and that no other file may reach. kept : the cells of the others.
    """

    box: Ints
    planar: Floats
    sums: Floats
    ends: Floats
    quantiles: Floats
    kept: list[Cells]


def block_sums(
    outlines: npt.NDArray[np.object_],
    files: LayerFiles,
    grid: Grid,
    *,
    alone: Mask,
    wanted: Sequence[float] = (),
    workers: int | None = None,
) -> BlockSums:
    """Sums, extremes and quantiles of the cells of one file under outlines in longitude and latitude.

    Parameters
    ----------
    alone : whether no other file has a part of the outline.
    wanted : shares of quantiles, 0–1.

    Raises
    ------
    RasterError : an outline has too many cells for its quantiles.
    """
    rings = outlines_on(outlines, grid)
    box, tasks = boxes_of(rings.bounds, grid), list(tasks_on(rings.bounds, grid))
    if wanted:
        _require_room(box, grid)
    blocks = np.zeros(len(box), dtype=np.int64)
    for task in tasks:
        blocks[task.plots] += 1
    whole, area, quantiles = alone & (blocks == 1), grid.cell_areas()[0], np.asarray(wanted, dtype=float)
    found = BlockSums(
        box,
        shapely.area(rings.shapes) / abs(grid.transform.a * grid.transform.e),
        np.zeros((len(box), 5)),
        np.tile([np.inf, -np.inf], (len(box), 1)),
        np.full((len(box), len(quantiles)), np.nan),
        [],
    )

    def work(task: Task) -> tuple[Floats, Floats, Floats, Cells]:
        corner, size = task.window
        return _of_block(rings, task, files.read(grid, corner, size), area, whole[task.plots], quantiles)

    for task, (sums, ends, reached, kept) in zip(tasks, ordered_map(work, tasks, workers=workers), strict=True):
        found.sums[task.plots] += sums
        found.ends[task.plots, 0] = np.minimum(found.ends[task.plots, 0], ends[:, 0])
        found.ends[task.plots, 1] = np.maximum(found.ends[task.plots, 1], ends[:, 1])
        if wanted:
            found.quantiles[task.plots[whole[task.plots]]] = reached
            found.kept.append(kept)
    return found


def _of_block(  # noqa: PLR0917 - all that the kernel needs
    rings: Outlines, task: Task, values: Floats, area: Floats, whole: Mask, wanted: Floats
) -> tuple[Floats, Floats, Floats, Cells]:
    """Sums and extremes of the outlines of one block, the quantiles of those that are whole, the others' cells."""
    from geomap.landcover.cell_values import block_values, quantiles_of

    sums, ends, cells, weights, counts = block_values(
        rings.xs, rings.ys, rings.rings, rings.holes, rings.plot_rings, task.plots, task.boxes, *task.window[0],
        values, area, bool(len(wanted)),
    )  # fmt: skip
    starts, runs = (np.cumsum(counts) - counts)[whole], np.arange(whole.sum() + 1)
    reached = quantiles_of(cells, weights, starts, counts[whole], runs, wanted)
    left = np.repeat(~whole, counts)
    return sums, ends, reached, Cells(task.plots[~whole], counts[~whole], cells[left], weights[left])


def quantiles_of_kept(
    kept: Sequence[Cells], wanted: Sequence[float], *, workers: int | None = None
) -> tuple[Ints, Floats]:
    """The owners of kept cells, rising, and their quantiles, one column per share wanted."""
    from geomap.landcover.cell_values import quantiles_of

    if not kept:
        return np.zeros(0, dtype=np.int64), np.zeros((0, len(wanted)))
    cells, shares = Cells(*(np.concatenate(column) for column in zip(*kept, strict=True))), np.asarray(wanted, float)
    order = np.argsort(cells.owners, kind="stable")
    starts, counts = (np.cumsum(cells.counts) - cells.counts)[order], cells.counts[order]
    known, first = np.unique(cells.owners[order], return_index=True)
    runs = np.append(first, len(order)).astype(np.int64)

    def work(start: int) -> Floats:
        found: Floats = quantiles_of(
            cells.values, cells.weights, starts, counts, runs[start : start + size + 1], shares
        )
        return found

    size = max(1, len(known) // 64)
    found = list(ordered_map(work, range(0, len(known), size), workers=workers))
    return known, np.concatenate(found) if found else np.zeros((0, len(wanted)))


def _require_room(box: Ints, grid: Grid) -> None:
    """Raise where one outline has more cells than can be kept for its quantiles."""
    rows, columns = box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]
    large = np.flatnonzero(rows * columns > _MOST_CELLS)
    if len(large):
        raise RasterError(
            f"One plot covers {rows[large[0]]:,} × {columns[large[0]]:,} cells of {grid.path.name}.",
            why="Keeping them all for its quantiles would fill the memory.",
            todo="Check the plot, or give a coarser raster.",
        )
