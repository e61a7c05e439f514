"""The compiled kernel: which share of which raster cell a plot covers, and which class lies there.

All compiled code of the project is in this file and in `cell_values`. Its machine code is kept in a private folder of
the user, named by the content of the files it is made from, so changed code is never stale; where no such folder can
be written it is compiled anew.

Method: every edge of a ring adds, to each cell it crosses, the area between the edge and the cell's right side, with
the sign of the edge's direction, and hands the rest on to the next cell. A running sum along the row then gives the
exact covered share of every cell. A shell counts up and a hole counts down, whichever way they are drawn, so holes and
multipolygons need no case of their own. The same idea fills outlines of fonts on screens.
"""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
from numba.core import config as numba_config

SMALLEST_SHARE: Final = 1e-9
"""Covered shares below this are rounding and count as none."""


Function = Callable[..., Any]


def _cache_folder(*files: str) -> Path | None:
    """Private folder for machine code made from these files and this one, or None where none can be written."""
    try:
        base = os.environ.get("GEOMAP_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        content = b"".join(Path(file).read_bytes() for file in (__file__, *files))
        stamp = hashlib.sha256(content + numba.__version__.encode()).hexdigest()[:16]
        folder = Path(base) / "geomap" / "kernels" / stamp
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        foreign = hasattr(os, "getuid") and found.st_uid != os.getuid()
        if foreign or not stat.S_ISDIR(found.st_mode) or (os.name == "posix" and found.st_mode & 0o022):
            return None  # machine code from a folder that others can write to is not to be trusted
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError):
        return None
    return folder


def compiled(*files: str) -> Callable[[Function], Function]:
    """What makes a function machine code that runs without the interpreter's lock.

    Parameters
    ----------
    files : that hold the function and what it calls, beside this one.
    """
    folder = _cache_folder(*files)

    def made(function: Function) -> Function:
        settings: Any = numba_config
        before = settings.CACHE_DIR
        if folder is not None:
            settings.CACHE_DIR = str(folder)
        try:
            code: Function = numba.njit(nogil=True, cache=folder is not None, error_model="numpy")(function)
        finally:
            settings.CACHE_DIR = before
        return code

    return made


_compiled = compiled()


@_compiled
def _add_edge(acc, sign, width, row, slope, xa, ya, xb, yb):  # type: ignore[no-untyped-def]
    """Add one edge that lies within one row to that row's cells; x and y in cells, x counted from the window."""
    middle = row + 0.5
    if xa <= 0.0 and xb <= 0.0:  # left of the window: everything in the row lies to its right
        dy = sign * (yb - ya)
        acc[0] += dy * (1.0 + slope * (0.5 * (ya + yb) - middle))
        return
    if xa >= width and xb >= width:
        return
    steps = 1
    left = 0
    if xa != xb:
        low = min(xa, xb)
        high = max(xa, xb)
        left = max(int(np.floor(low)), -1)
        steps = min(int(np.ceil(high)), width + 1) - left
        steps = max(steps, 1)
    else:
        left = int(np.floor(xa))
    x0 = xa
    y0 = ya
    ratio = (yb - ya) / (xb - xa) if xa != xb else 0.0
    for step in range(steps):
        # The piece between two column lines, in the edge's direction. Columns -1 and `width` stand for all outside.
        if step == steps - 1:
            x1 = xb
            y1 = yb
        else:
            x1 = float(left + 1 + step) if xb > xa else float(left + steps - 1 - step)
            y1 = ya + (x1 - xa) * ratio
        column = left + step if xb >= xa else left + steps - 1 - step
        dy = sign * (y1 - y0)
        weighted = dy * (1.0 + slope * (0.5 * (y0 + y1) - middle))
        if column < 0:
            acc[0] += weighted
        elif column < width:
            beyond = dy * (
                (0.5 * (x0 + x1) - column) * (1.0 + slope * (0.5 * (y0 + y1) - middle))
                + slope * (x1 - x0) * (y1 - y0) / 12.0
            )
            acc[column] += weighted - beyond
            acc[column + 1] += beyond
        x0 = x1
        y0 = y1


@_compiled
def _direction(xs, ys, first, last):  # type: ignore[no-untyped-def]
    """1.0 where y grows along a ring's left side, else -1.0; from its signed area, counted from its first corner."""
    double = 0.0
    for i in range(first + 1, last - 1):
        double += (xs[i] - xs[first]) * (ys[i + 1] - ys[first]) - (xs[i + 1] - xs[first]) * (ys[i] - ys[first])
    return -1.0 if double > 0.0 else 1.0


@_compiled
def _add_ring(acc, sign, xs, ys, first, last, top, left, height, width, slopes):  # type: ignore[no-untyped-def]
    """Add a closed ring to the window that starts at cell (top, left)."""
    for i in range(first, last - 1):
        xa = xs[i] - left
        xb = xs[i + 1] - left
        ya = ys[i] - top
        yb = ys[i + 1] - top
        if ya == yb:
            continue
        low = min(ya, yb)
        high = max(ya, yb)
        if high <= 0.0 or low >= height:
            continue
        first_row = max(int(np.floor(low)), 0)
        last_row = min(int(np.ceil(high)), height)
        ratio = (xb - xa) / (yb - ya)
        for row in range(first_row, last_row):
            enter = max(low, float(row))
            leave = min(high, float(row + 1))
            x_enter = xa + (enter - ya) * ratio
            x_leave = xa + (leave - ya) * ratio
            if enter == ya:
                x_enter = xa
            elif enter == yb:
                x_enter = xb
            if leave == yb:
                x_leave = xb
            elif leave == ya:
                x_leave = xa
            if yb > ya:
                _add_edge(acc[row], sign, width, row, slopes[top + row], x_enter, enter, x_leave, leave)
            else:
                _add_edge(acc[row], sign, width, row, slopes[top + row], x_leave, leave, x_enter, enter)


@_compiled
def cover(acc, xs, ys, rings, holes, first_ring, last_ring, top, left, height, width, slopes):  # type: ignore[no-untyped-def]
    """Fill `acc[:height, :width]` with the covered share of each cell."""
    for row in range(height):
        for column in range(width + 1):
            acc[row, column] = 0.0
    for ring in range(first_ring, last_ring):
        first, last = rings[ring], rings[ring + 1]
        sign = _direction(xs, ys, first, last) * (-1.0 if holes[ring] else 1.0)
        _add_ring(acc, sign, xs, ys, first, last, top, left, height, width, slopes)
    for row in range(height):
        run = 0.0
        for column in range(width):
            run += acc[row, column]
            acc[row, column] = run


@_compiled
def block_classes(
    xs: npt.NDArray[np.float64],
    ys: npt.NDArray[np.float64],
    rings: npt.NDArray[np.int64],
    holes: npt.NDArray[np.bool_],
    plot_rings: npt.NDArray[np.int64],
    plots: npt.NDArray[np.int64],
    boxes: npt.NDArray[np.int64],
    top: int,
    left: int,
    codes: npt.NDArray[Any],
    column_of: npt.NDArray[np.int64],
    lowest: int,
    cell_areas: npt.NDArray[np.float64],
    slopes: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Area per class of the plots that touch one block, in the unit of `cell_areas`: one row per plot.

    Parameters
    ----------
    xs, ys : (v,) vertices in cells of the raster (column, row), all rings in a row, each closed.
    rings : (r + 1,) where each ring starts.
    holes : (r,) whether the ring is a hole.
    plot_rings : (p + 1,) where each plot's rings start.
    plots : (k,) the plots to do.
    boxes : (k, 4) first row, last row, first column, last column (ends excluded), within the block.
    top, left : the block's first row and column in the raster.
    codes : (h, w) class codes of the block.
    column_of : class column of each code, from `lowest` on; any further code belongs to the last column.
    cell_areas : (rows of the raster,) area of a cell in each row.
    slopes : (rows of the raster,) relative change of the area element over one row; 0 where cells are all alike.
    """
    classes = column_of.max() + 1
    result = np.zeros((len(plots), classes))
    tallest = 0
    widest = 0
    for k in range(len(plots)):
        tallest = max(tallest, boxes[k, 1] - boxes[k, 0])
        widest = max(widest, boxes[k, 3] - boxes[k, 2])
    acc = np.empty((tallest, widest + 1))
    for k in range(len(plots)):
        plot = plots[k]
        row0, row1, column0, column1 = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        height = row1 - row0
        width = column1 - column0
        cover(acc, xs, ys, rings, holes, plot_rings[plot], plot_rings[plot + 1], row0, column0, height, width, slopes)
        for row in range(height):
            area = cell_areas[row0 + row]
            for column in range(width):
                share = acc[row, column]
                if share > SMALLEST_SHARE:
                    code = np.int64(codes[row0 + row - top, column0 + column - left]) - lowest
                    known = 0 <= code < len(column_of)
                    result[k, column_of[code if known else len(column_of) - 1]] += share * area
    return result


def coverage(
    xs: npt.NDArray[np.float64],
    ys: npt.NDArray[np.float64],
    rings: npt.NDArray[np.int64],
    holes: npt.NDArray[np.bool_],
    shape: tuple[int, int],
) -> npt.NDArray[np.float64]:
    """Share of each raster cell, 0–1, that the rings cover.

    Parameters
    ----------
    xs, ys : (v,) vertices in cells (column, row); each ring closed.
    rings : (r + 1,) where each ring starts in `xs`.
    holes : (r,) whether the ring is a hole.
    shape : rows and columns of the raster.

    Examples
    --------
    A square from the middle of the first cell to the middle of the fourth, on 2 × 2 cells:

    >>> x = np.array([0.5, 1.5, 1.5, 0.5, 0.5])
    >>> y = np.array([0.5, 0.5, 1.5, 1.5, 0.5])
    >>> coverage(x, y, np.array([0, 5]), np.array([False]), (2, 2)).tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    height, width = shape
    acc = np.empty((height, width + 1))
    cover(acc, xs, ys, rings, holes, 0, len(rings) - 1, 0, 0, height, width, np.zeros(height))
    return acc[:, :width]
