"""The compiled kernels of layers: sums, extremes and quantiles of the values of cells under outlines.

`block_values` goes over the cells of one block, outline by outline and row by row, and keeps sums; cells themselves
only where quantiles are wanted. `quantiles_of` finds a quantile without sorting all cells of a large plot: it shares
them out among bins between the lowest and the highest value and sorts those of one bin.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from geomap.landcover.coverage import SMALLEST_SHARE, compiled, cover

SUMS: Final = ("share", "weight", "known", "total", "empty")
"""Columns of the sums: covered shares of cells; weight (share × area of the cell) of all cells, of those with data;
weight × value; weight of cells without data."""

TIE: Final = 1e-9
"""Ground that is short of a quantile by this share of the whole is rounding."""

_BINS: Final = 1024
_FEW: Final = 2048
"""Up to so many cells are sorted as they are."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_compiled = compiled(__file__)


@_compiled
def block_values(
    xs: Floats,
    ys: Floats,
    rings: Ints,
    holes: npt.NDArray[np.bool_],
    plot_rings: Ints,
    plots: Ints,
    boxes: Ints,
    top: int,
    left: int,
    values: Floats,
    cell_areas: Floats,
    keep: bool,
) -> tuple[Floats, Floats, Floats, Floats, Ints]:
    """What the cells of one block show of the outlines that touch it.

    Parameters
    ----------
    xs, ys, rings, holes, plot_rings, plots, boxes, top, left : as for `block_classes`.
    values : (h, w) of the block; not finite where there is no data.
    cell_areas : (rows of the raster,) area of a cell in each row.
    keep : whether the cells are wanted too.

    Returns
    -------
    (k, 5) `SUMS`; (k, 2) lowest and highest value of cells with data, inf and −inf without any; value and weight of
    each cell with data, outline by outline; (k,) how many cells each outline has. No cells without `keep`.
    """
    sums = np.zeros((len(plots), 5))
    ends = np.empty((len(plots), 2))
    counts = np.zeros(len(plots), dtype=np.int64)
    cells = np.empty(4096 if keep else 0)
    weights = np.empty(4096 if keep else 0)
    used = 0
    tallest = 0
    widest = 0
    for k in range(len(plots)):
        tallest = max(tallest, boxes[k, 1] - boxes[k, 0])
        widest = max(widest, boxes[k, 3] - boxes[k, 2])
    acc = np.empty((tallest, widest + 1))
    slopes = np.zeros(len(cell_areas))
    for k in range(len(plots)):
        plot = plots[k]
        row0, row1, column0, column1 = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        height = row1 - row0
        width = column1 - column0
        cover(acc, xs, ys, rings, holes, plot_rings[plot], plot_rings[plot + 1], row0, column0, height, width, slopes)
        lowest = np.inf
        highest = -np.inf
        for row in range(height):
            area = cell_areas[row0 + row]
            covered = 0.0
            known = 0.0
            total = 0.0
            if keep and used + width > len(cells):
                cells = _longer(cells, used + width)
                weights = _longer(weights, used + width)
            for column in range(width):
                share = acc[row, column]
                if share > SMALLEST_SHARE:
                    covered += share
                    value = values[row0 + row - top, column0 + column - left]
                    if np.isfinite(value):
                        known += share
                        total += share * value
                        lowest = min(lowest, value)
                        highest = max(highest, value)
                        if keep:
                            cells[used] = value
                            weights[used] = share * area
                            used += 1
                            counts[k] += 1
            sums[k, 0] += covered
            sums[k, 1] += covered * area
            sums[k, 2] += known * area
            sums[k, 3] += total * area
            sums[k, 4] += (covered - known) * area
        ends[k, 0] = lowest
        ends[k, 1] = highest
    return sums, ends, cells[:used].copy(), weights[:used].copy(), counts


@_compiled
def _longer(array, least):  # type: ignore[no-untyped-def]
    """The same array with room for twice as much, and for `least`."""
    made = np.empty(max(2 * len(array), least))
    made[: len(array)] = array
    return made


@_compiled
def quantiles_of(values: Floats, weights: Floats, starts: Ints, counts: Ints, runs: Ints, wanted: Floats) -> Floats:
    """Per outline the smallest value at or below which each share of the weight lies; NaN for one without cells.

    Parameters
    ----------
    values, weights : of all cells; the weights are above 0, the values finite.
    starts, counts : of each run of cells that belong to one outline; runs of one outline stand together.
    runs : (p + 1,) the first run of each outline.
    wanted : shares, 0–1.

    Source: Hyndman and Fan (1996), The American Statistician 50, definition 1, with weights.
    """
    found = np.full((len(runs) - 1, len(wanted)), np.nan)
    most = 0
    for plot in range(len(runs) - 1):
        many = 0
        for run in range(runs[plot], runs[plot + 1]):
            many += counts[run]
        most = max(most, many)
    value = np.empty(most)
    weight = np.empty(most)
    for plot in range(len(runs) - 1):
        many = 0
        for run in range(runs[plot], runs[plot + 1]):
            for cell in range(starts[run], starts[run] + counts[run]):
                value[many] = values[cell]
                weight[many] = weights[cell]
                many += 1
        if many:
            _quantiles(value[:many], weight[:many], wanted, found[plot])
    return found


@_compiled
def _quantiles(value, weight, wanted, found):  # type: ignore[no-untyped-def]
    """The quantiles of one plot."""
    many = len(value)
    whole = weight.sum()
    low = value.min()
    high = value.max()
    if low == high:
        found[:] = low
        return
    if many <= _FEW:
        order = np.argsort(value)
        for q in range(len(wanted)):
            found[q] = _reached(value, weight, order, 0.0, (wanted[q] - TIE) * whole)
        return
    place = np.empty(many, dtype=np.int16)
    bins = np.zeros(_BINS)
    breadth = high * 0.5 - low * 0.5  # halves: the difference of two huge values is no number
    for i in range(many):
        place[i] = min(int((value[i] * 0.5 - low * 0.5) / breadth * _BINS), _BINS - 1)
        bins[place[i]] += weight[i]
    for q in range(len(wanted)):
        goal = (wanted[q] - TIE) * whole
        before = 0.0
        chosen = 0
        for one in range(_BINS):
            if bins[one] > 0.0:
                chosen = one
                if before + bins[one] >= goal:
                    break
                before += bins[one]
        here = np.flatnonzero(place == chosen)
        inside = value[here]
        found[q] = _reached(inside, weight[here], np.argsort(inside), before, goal)


@_compiled
def _reached(value, weight, order, before, goal):  # type: ignore[no-untyped-def]
    """The first value, in their order, with which the weight reaches the goal; else the last."""
    for i in order:
        before += weight[i]
        if before >= goal:
            return value[i]
    return value[order[-1]]
