"""Plots × land cover → hectares per class and plot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.engine import Progress, ordered_map
from geomap.errors import RasterError
from geomap.findings import join_findings, make_findings
from geomap.landcover.mosaic import Measured, areas_on_mosaic, areas_side_by_side, in_raster
from geomap.landcover.product import Product
from geomap.landcover.source import FARTHEST_CODE, Grid, Rasters
from geomap.plots.area import area_ha, rings_of

if TYPE_CHECKING:
    from geomap.landcover.partitions import Cluster

NO_DATA: Final = -1
OUTSIDE: Final = -2
UNKNOWN: Final = -3
NAMES: Final = {NO_DATA: "No data", OUTSIDE: "Outside the raster", UNKNOWN: "Not in the legend"}
CLASS_COLUMNS: Final = ["plot_id", "product", "class", "name", "area_ha"]

CELLS_TO_JUDGE: Final = 9
"""Below this many cells a plot's own classes say little: one patch of the map is about 3 × 3 cells."""

_BLOCK_EDGE: Final = 1024


@dataclass(frozen=True)
class Extraction:
    """Hectares per class.

    Attributes
    ----------
    classes : plot_id, product, class, name, area_ha; ground without data, outside the raster and of codes that the
        legend does not know stand in rows of their own, so that each plot's rows add up to its area.
    cover : index plot_id; nodata_ha, outside_ha, unknown_ha, cell_area_m2 (NaN where the plot has no outline).
    findings : what was noticed.
    """

    classes: pd.DataFrame
    cover: pd.DataFrame
    findings: pd.DataFrame


class _Outlines(NamedTuple):
    """Rings of plots in cells of one raster."""

    xs: npt.NDArray[np.float64]
    ys: npt.NDArray[np.float64]
    rings: npt.NDArray[np.int64]
    holes: npt.NDArray[np.bool_]
    plot_rings: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.float64]  # (plots, 4): lowest row, highest row, lowest column, highest column
    planar_m2: npt.NDArray[np.float64]  # empty where the raster's CRS is geographic


class _Task(NamedTuple):
    """The plots that touch one block: `boxes` are their rows and columns within it, ends excluded."""

    plots: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]


def class_areas(
    plots: gpd.GeoDataFrame,
    rasters: Sequence[Path],
    product: Product,
    *,
    workers: int | None = None,
    chunk: int = 100_000,
    cluster: "Cluster | None" = None,
    progress: Progress | None = None,
) -> Extraction:
    """Hectares of each land-cover class in each plot, exact to the covered share of every cell.

    Class area = Σ over cells of covered share × ellipsoidal cell area; Σ classes + no data + outside + unknown = plot
    area (1e-6 relative). No result depends on workers, chunk, cluster or the order of plots. Ground outside the raster
    and cells without data are hectares of their own, never a silent zero. In a raster of a projected CRS the outline is
    densified and moved to the raster, and each plot's cells share its own ratio of geodesic to planar area.

    Ground that several rasters cover counts once: the raster with the finer cells speaks for it where it has data, of
    equal cells the one whose file name comes first (`geomap.landcover.mosaic`). The order of the files does not matter.

    Parameters
    ----------
    plots : index plot_id (unique), EPSG:4326, valid Polygons and MultiPolygons; points and missing outlines get no
        rows. `area_ha` is used where the column is there.
    rasters : GeoTIFF files of the product; tiles and copies, of one CRS or several.
    product : the legend.
    workers : threads; the processors at hand by default.
    chunk : plots worked on at a time, which bounds the memory.
    cluster : a Dask cluster that does the work in this one's place.
    progress : called with ("land cover", blocks or partitions done, all of them).

    Raises
    ------
    RasterError, CrsError : see `Rasters`; also where no plot lies on the raster. ClusterError : see `cluster_map`.
    """
    has_area = shapely.area(plots.geometry.to_numpy()) > 0
    outlined = plots if has_area.all() else plots[has_area]
    hectares_all = outlined["area_ha"] if "area_ha" in outlined else area_ha(outlined.geometry)
    areas_m2 = hectares_all.to_numpy(float) * 1e4
    columns = [*product.legend.index, NO_DATA, OUTSIDE, UNKNOWN]
    outlines = outlined.geometry.to_numpy()
    if cluster is None:
        found = measure(outlines, areas_m2, rasters, product, workers=workers, chunk=chunk, progress=progress)
    else:
        from geomap.landcover.partitions import measure_on_cluster

        found = measure_on_cluster(outlines, areas_m2, rasters, product, cluster, progress=progress)
    by_class, cell_m2 = found.inside_m2, found.cell_m2
    by_class[:, columns.index(OUTSIDE)] = _outside(by_class.sum(axis=1), areas_m2, cell_m2)
    if len(outlined) and np.isnan(cell_m2).all():
        with Rasters(rasters, product) as opened:
            raise _not_on_raster(outlined, opened.grids)
    hectares = pd.DataFrame(by_class / 1e4, index=outlined.index, columns=columns)
    cover = _cover_table(hectares, cell_m2, plots.index)
    strange = found.strange_codes
    return Extraction(_long_table(hectares, product), cover, _findings(cover, areas_m2 / 1e4, outlined, strange))


def measure(
    outlines: npt.NDArray[np.object_],
    areas_m2: npt.NDArray[np.float64],
    rasters: Sequence[Path],
    product: Product,
    *,
    workers: int | None = None,
    chunk: int = 100_000,
    progress: Progress | None = None,
) -> Measured:
    """Square metres of each class under each outline, row by row; what lies outside the rasters is not in it.

    Parameters
    ----------
    outlines : Polygons and MultiPolygons, EPSG:4326. areas_m2 : their geodesic areas.
    """
    inside = np.zeros((len(outlines), len(product.legend) + 3))
    cell_m2 = np.full(len(outlines), np.nan)
    strange: set[int] = set()
    with Rasters(rasters, product) as opened:
        over_rasters = areas_side_by_side if opened.side_by_side else areas_on_mosaic
        on_grid = partial(_areas_on_grid, opened=opened, product=product, workers=workers, progress=progress)
        for first in range(0, len(outlines), chunk):
            part = slice(first, first + chunk)
            found = over_rasters(outlines[part], areas_m2[part], opened, product, on_grid)
            inside[part], cell_m2[part] = found.inside_m2, found.cell_m2
            strange |= found.strange_codes
    return Measured(inside, cell_m2, strange)


def _areas_on_grid(
    outlines: npt.NDArray[np.object_],
    areas_m2: npt.NDArray[np.float64],
    grid: Grid,
    *,
    opened: Rasters,
    product: Product,
    workers: int | None,
    progress: Progress | None,
) -> Measured:
    """What one raster shows under the outlines."""
    from geomap.landcover.coverage import block_classes

    rings = _outlines(outlines, grid)
    cell_areas, slopes = grid.cell_areas()
    column_of, lowest = _columns_of_codes(product, grid)
    empty = [product.nodata, *product.also_nodata, product.nodata if grid.nodata is None else grid.nodata]
    legend_codes = np.append(product.legend.index.to_numpy(), empty)
    tasks = list(_tasks(rings.bounds, grid))
    classes = len(product.legend) + 3
    result = np.zeros((len(outlines), classes))

    def work(task: _Task) -> tuple[_Task, npt.NDArray[np.float64], set[int]]:
        top, bottom = int(task.boxes[:, 0].min()), int(task.boxes[:, 1].max())
        left, right = int(task.boxes[:, 2].min()), int(task.boxes[:, 3].max())
        codes = opened.read(grid, (top, left), (bottom - top, right - left), product.nodata)
        part = block_classes(
            rings.xs, rings.ys, rings.rings, rings.holes, rings.plot_rings, task.plots, task.boxes,
            top, left, codes, column_of, lowest, cell_areas, slopes,
        )  # fmt: skip
        strange = set(np.setdiff1d(codes, legend_codes).tolist()) if part[:, -1].any() else set()
        return task, part, strange

    strange_codes: set[int] = set()
    for done, (task, part, strange) in enumerate(ordered_map(work, tasks, workers=workers), 1):
        result[task.plots] += part
        strange_codes |= strange
        if progress:
            progress("land cover", done, len(tasks))
    touched = np.zeros(len(outlines), dtype=bool)
    for task in tasks:
        touched[task.plots] = True
    if grid.crs.is_geographic:
        middle = np.clip((rings.bounds[:, 0] + rings.bounds[:, 1]) / 2, 0, grid.height - 1).astype(int)
        cells = cell_areas[middle]
    else:
        scale = areas_m2 / rings.planar_m2
        result *= scale[:, None]
        cells = cell_areas[0] * scale
    return Measured(result, np.where(touched, cells, np.nan), strange_codes)


def _outlines(outlines: npt.NDArray[np.object_], grid: Grid) -> _Outlines:
    """Rings of the plots in cells of the raster."""
    shapes = in_raster(outlines, grid)
    found = rings_of(shapes)
    xy = found.coordinates
    xs, ys = (xy[:, 0] - grid.transform.c) / grid.transform.a, (xy[:, 1] - grid.transform.f) / grid.transform.e
    rings_per_plot = np.bincount(found.owner, minlength=len(outlines))
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    rows = (bounds[:, [1, 3]] - grid.transform.f) / grid.transform.e
    columns = (bounds[:, [0, 2]] - grid.transform.c) / grid.transform.a
    return _Outlines(
        xs,
        ys,
        found.starts,
        found.holes,
        np.concatenate([[0], np.cumsum(rings_per_plot)]).astype(np.int64),
        np.column_stack([rows.min(axis=1), rows.max(axis=1), columns.min(axis=1), columns.max(axis=1)]),
        np.zeros(0) if grid.crs.is_geographic else shapely.area(shapes),
    )


def _tasks(bounds: npt.NDArray[np.float64], grid: Grid) -> Iterator[_Task]:
    """Plots grouped by raster block, in the order of the blocks; within a block in the order of the plots."""
    size = np.array([grid.height, grid.height, grid.width, grid.width])
    with np.errstate(invalid="ignore"):
        cells = np.column_stack([
            np.floor(bounds[:, 0]), np.ceil(bounds[:, 1]), np.floor(bounds[:, 2]), np.ceil(bounds[:, 3])
        ])  # fmt: skip
    cells = np.clip(cells, 0, size).astype(np.int64)
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
            yield _Task(plots[owner[group]], boxes[group])


def _columns_of_codes(product: Product, grid: Grid) -> tuple[npt.NDArray[np.int64], int]:
    """Column of each code from the lowest known one on, with one more entry for codes that nobody knows."""
    codes = {int(code): column for column, code in enumerate(product.legend.index)}
    for code in (product.nodata, *product.also_nodata):
        codes[code] = len(product.legend)
    if grid.nodata is not None and abs(grid.nodata) <= FARTHEST_CODE:
        codes[grid.nodata] = len(product.legend)
    lowest = min(codes)
    columns = np.full(max(codes) - lowest + 2, len(product.legend) + 2, dtype=np.int64)
    for code, column in codes.items():
        columns[code - lowest] = column
    return columns, lowest


def _outside(
    covered_m2: npt.NDArray[np.float64], areas_m2: npt.NDArray[np.float64], cell_m2: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Square metres of each plot that no raster covers; what is within rounding of the plot's area is none."""
    missing = areas_m2 - covered_m2
    return np.where(np.isnan(cell_m2), areas_m2, np.where(missing > 1e-6 * areas_m2, missing, 0.0))


def _long_table(hectares: pd.DataFrame, product: Product) -> pd.DataFrame:
    """One row per plot and class that is there, in the order of plots and then of classes."""
    values = hectares.to_numpy()
    plot, column = np.nonzero(values > 0)
    codes = hectares.columns.to_numpy()[column]
    names = {**product.legend["name"].to_dict(), **NAMES}
    return pd.DataFrame(
        {
            "plot_id": hectares.index.to_numpy()[plot],
            "product": pd.Series([product.name] * len(plot), dtype="str"),
            "class": codes.astype(np.int64),
            "name": pd.Series(codes).map(names).astype("str"),
            "area_ha": values[plot, column],
        },
        columns=CLASS_COLUMNS,
    )


def _cover_table(hectares: pd.DataFrame, cell_m2: npt.NDArray[np.float64], index: pd.Index) -> pd.DataFrame:
    cover = pd.DataFrame(
        {
            "nodata_ha": hectares[NO_DATA],
            "outside_ha": hectares[OUTSIDE],
            "unknown_ha": hectares[UNKNOWN],
            "cell_area_m2": cell_m2,
        },
        index=hectares.index,
    )
    return cover.reindex(index)


def _findings(
    cover: pd.DataFrame, areas: npt.NDArray[np.float64], outlined: gpd.GeoDataFrame, unknown_codes: set[int]
) -> pd.DataFrame:
    cover = cover.loc[outlined.index]
    ids = outlined.index.to_numpy()

    def say(code: str, hectares: pd.Series, what: str) -> pd.DataFrame:
        share = hectares.to_numpy() / areas
        hit = np.flatnonzero(share > 1e-6)
        texts = [f"{hectares.iloc[i]:.2f} of {areas[i]:.2f} ha {what}" for i in hit]
        return make_findings(code, ids[hit], texts)

    cells = areas * 1e4 / cover["cell_area_m2"].to_numpy()
    small = np.flatnonzero(cells < CELLS_TO_JUDGE)
    known = ", ".join(map(str, sorted(unknown_codes)))
    return join_findings(
        [
            say("outside_raster", cover["outside_ha"], "lie outside the raster; the rest of the plot stands for them"),
            say("nodata", cover["nodata_ha"], "have no land-cover data; the rest of the plot stands for them"),
            say("unknown_class", cover["unknown_ha"], f"carry a code that the legend does not know (seen: {known})"),
            make_findings(
                "too_small_to_judge",
                ids[small],
                [f"{areas[i]:.2f} ha are {cells[i]:.1f} cells of the raster; its class is uncertain" for i in small],
            ),
        ]
    )


def _not_on_raster(outlined: gpd.GeoDataFrame, grids: Sequence[Grid]) -> RasterError:
    west, south, east, north = outlined.total_bounds
    named = ", ".join(grid.path.name for grid in grids[:3])
    return RasterError(
        f"None of the {len(outlined):,} plots lies on {named}. The plots lie between {west:.3f} and {east:.3f} degrees "
        f"east, {south:.3f} and {north:.3f} degrees north; the raster covers {grids[0].bounds} of {grids[0].crs.name}.",
        why="Without land cover there is nothing to estimate.",
        todo="Give the raster of the plots' region, or check whether the plots' axes are swapped.",
    )
