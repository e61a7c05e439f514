"""Plots × land cover → hectares per class and plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.engine import Progress, ordered_map
from geomap.errors import RasterError
from geomap.findings import join_findings, make_findings
from geomap.landcover.blocks import Task, outlines_on, tasks_on
from geomap.landcover.mosaic import Measured, areas_on_mosaic, areas_side_by_side
from geomap.landcover.product import Product
from geomap.landcover.source import FARTHEST_CODE, Grid, Rasters, is_lonlat
from geomap.plots.area import area_ha

if TYPE_CHECKING:
    from geomap.landcover.partitions import Cluster

NO_DATA: Final = -1
OUTSIDE: Final = -2
UNKNOWN: Final = -3
NAMES: Final = {NO_DATA: "No data", OUTSIDE: "Outside the raster", UNKNOWN: "Not in the legend"}
CLASS_COLUMNS: Final = ["plot_id", "product", "class", "name", "area_ha"]

CELLS_TO_JUDGE: Final = 9
"""Below this many cells a plot's own classes say little: one patch of the map is about 3 × 3 cells."""

_ROUNDING: Final = 1e-6
"""Less than this share of a plot is rounding."""


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
    by_class /= 1e4
    hectares = pd.DataFrame(by_class, index=outlined.index, columns=columns, copy=False)
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

    rings = outlines_on(outlines, grid)
    cell_areas, slopes = grid.cell_areas()
    column_of, lowest = _columns_of_codes(product, grid)
    empty = [product.nodata, *product.also_nodata, product.nodata if grid.nodata is None else grid.nodata]
    legend_codes = np.append(product.legend.index.to_numpy(), empty)
    tasks = list(tasks_on(rings.bounds, grid))
    classes = len(product.legend) + 3
    result = np.zeros((len(outlines), classes))

    def work(task: Task) -> tuple[Task, npt.NDArray[np.float64], set[int]]:
        corner, size = task.window
        codes = opened.read(grid, corner, size, product.nodata)
        part = block_classes(
            rings.xs, rings.ys, rings.rings, rings.holes, rings.plot_rings, task.plots, task.boxes,
            *corner, codes, column_of, lowest, cell_areas, slopes,
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
        if not is_lonlat(grid.crs):  # degrees of another ellipsoid, or grads: the plot's own area holds
            there = area_ha(shapely.transform(rings.shapes, lambda xy: xy * grid.degrees)) * 1e4
            result *= (areas_m2 / there)[:, None]
    else:
        scale = areas_m2 / shapely.area(rings.shapes)
        result *= scale[:, None]
        cells = cell_areas[0] * scale
    return Measured(result, np.where(touched, cells, np.nan), strange_codes)


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
    return np.where(np.isnan(cell_m2), areas_m2, np.where(missing > _ROUNDING * areas_m2, missing, 0.0))


def _long_table(hectares: pd.DataFrame, product: Product) -> pd.DataFrame:
    """One row per plot and class that is there, in the order of plots and then of classes."""
    values = hectares.to_numpy()
    plot, column = np.nonzero(values > 0)
    codes = hectares.columns.to_numpy()
    names = {**product.legend["name"].to_dict(), **NAMES}
    titles = pd.Series([names[code] for code in codes.tolist()], dtype="str")
    return pd.DataFrame(
        {
            "plot_id": hectares.index.to_numpy()[plot],
            "product": pd.Series([product.name], dtype="str").take(np.zeros_like(plot)).array,
            "class": codes.astype(np.int64)[column],
            "name": titles.take(column).array,
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
    cover, ids = cover.loc[outlined.index], outlined.index.to_numpy()
    known = ", ".join(map(str, sorted(unknown_codes)))
    found = []
    for code, column, what in (
        ("outside_raster", "outside_ha", "lie outside the raster; the rest of the plot stands for them"),
        ("nodata", "nodata_ha", "have no land-cover data; the rest of the plot stands for them"),
        ("unknown_class", "unknown_ha", f"carry a code that the legend does not know (seen: {known})"),
    ):
        lost = cover[column].to_numpy()
        rows = np.flatnonzero(lost / areas > _ROUNDING)
        found.append((code, rows, [f"{lost[i]:.2f} of {areas[i]:.2f} ha {what}" for i in rows]))
    cells = areas * 1e4 / cover["cell_area_m2"].to_numpy()
    rows = np.flatnonzero(cells < CELLS_TO_JUDGE)
    texts = [f"{areas[i]:.2f} ha are {cells[i]:.1f} cells of the raster; its class is uncertain" for i in rows]
    found.append(("too_small_to_judge", rows, texts))
    return join_findings(make_findings(code, ids[rows], texts) for code, rows, texts in found if len(rows))


def _not_on_raster(outlined: gpd.GeoDataFrame, grids: Sequence[Grid]) -> RasterError:
    west, south, east, north = outlined.total_bounds
    named = ", ".join(grid.path.name for grid in grids[:3])
    return RasterError(
        f"None of the {len(outlined):,} plots lies on {named}. The plots lie between {west:.3f} and {east:.3f} degrees "
        f"east, {south:.3f} and {north:.3f} degrees north; the raster covers {grids[0].bounds} of {grids[0].crs.name}.",
        why="Without land cover there is nothing to estimate.",
        todo="Give the raster of the plots' region, or check whether the plots' axes are swapped.",
    )
