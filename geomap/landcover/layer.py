"""A raster of a quantity (a yield, an elevation): its values over each plot, by the covered share of every cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.errors import RasterError
from geomap.findings import join_findings, make_findings
from geomap.landcover.layer_cells import Shown, shown_under
from geomap.landcover.layer_files import LayerFiles
from geomap.plots.area import area_ha

TRUSTED_SHARE: Final = 0.5
"""A plot of which the layer covers less than this has no value."""

QUANTILES: Final = {"p10": 0.10, "p50": 0.50, "p90": 0.90}
STATISTICS: Final = ("mean", "min", "max", *QUANTILES)

_AT_ONCE: Final = 100_000
_CELLS_AT_ONCE: Final = 2**23
"""Cells kept at a time for quantiles, up to 50 bytes each."""
_NEAR_DEG: Final = 0.25
_TIE: Final = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """Values of a layer over plots.

    Attributes
    ----------
    values : index plot_id as the plots; in the layer's unit mean, min, max, p10, p50, p90 (NaN where the layer covers
        less than half of the plot, or the plot has no outline); covered (share of the plot with data, 0–1), nodata_ha
        and outside_ha (hectares without data, and beyond all files), NaN without an outline.
    findings : plots without data ("nodata") or outside the raster ("outside_raster").
    """

    values: pd.DataFrame
    findings: pd.DataFrame


def layer_values(
    plots: gpd.GeoDataFrame,
    rasters: Sequence[Path],
    *,
    name: str = "layer",
    chunk: int = _AT_ONCE,
    quantiles: bool = True,
    workers: int | None = None,
) -> Layer:
    """Mean, lowest, highest value and P10, P50, P90 of a raster over the ground of each plot.

    Each cell weighs as its covered share × its area. The mean is Σ weight · value ÷ Σ weight over cells with data. A
    quantile q is the smallest value at or below which a share q of that ground lies, so a cell that is cut in two, or
    read from two tiles, changes nothing. Lowest and highest count every cell that the plot touches, however little.
    Cells without data and ground beyond the files are hectares of their own: covered · area + nodata_ha + outside_ha =
    area, to 1e-6. Ground that several files cover counts once: finer cells speak first, then the file whose name comes
    first. The result does not depend on the order of plots or files, nor on `chunk` or `workers`. Scale and offset of
    the file are applied.

    Parameters
    ----------
    plots : index plot_id (unique), EPSG:4326, valid Polygons and MultiPolygons; points have no value. `area_ha` is used
        where the column is there.
    rasters : GeoTIFF files of one quantity, one band each, with square axes (not rotated), of any CRS.
    name : of the layer, for messages.
    chunk : plots worked on at a time; fewer where they are large, so that the memory is bounded.
    quantiles : whether P10, P50 and P90 are wanted; without them they are missing, and it is faster.
    workers : threads; never changes a result.

    Raises
    ------
    RasterError : a file is missing, broken, rotated, of several bands or without position; no plot lies on any of them.
    CrsError : a file names no CRS.

    Examples
    --------
    A plot over one half of a cell of 600 and the whole of a cell of 900: (.5 · 600 + 900) / 1.5. A third of it is at
    600, so the half is reached at 900.

    >>> import rasterio, tempfile
    >>> options = {"driver": "GTiff", "height": 1, "width": 2, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    >>> place = rasterio.transform.from_origin(0, 0, 0.01, 0.01)
    >>> plots = gpd.GeoDataFrame(geometry=[shapely.box(0.005, -0.01, 0.02, 0)], index=["P"], crs="EPSG:4326")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "yield.tif"
    ...     with rasterio.open(file, "w", transform=place, **options) as target:
    ...         target.write(np.array([[[600, 900]]], dtype="float32"))
    ...     found = layer_values(plots, [file], name="yield map")
    >>> found.values.loc["P", ["mean", "min", "p10", "p50", "max"]].round(6).tolist()
    [800.0, 600.0, 600.0, 900.0, 900.0]
    """
    if not rasters:
        raise RasterError(f"No raster of the {name} was given.", todo="Name at least one GeoTIFF.")
    outlines = plots.geometry.to_numpy()
    with_area = np.flatnonzero(shapely.area(outlines) > 0)
    part = plots.iloc[with_area]
    areas = (part["area_ha"] if "area_ha" in part else area_ha(part.geometry)).to_numpy(float)
    columns = (*STATISTICS, "covered", "nodata_ha", "outside_ha")
    table, touched = np.full((len(plots), len(columns)), np.nan), np.zeros(len(plots), dtype=bool)
    wanted = tuple(QUANTILES.values()) if quantiles else ()
    with LayerFiles(rasters) as files:
        cells = areas / files.cell_ha(outlines[with_area]) if quantiles else np.zeros(len(areas))
        for here in _chunks(outlines[with_area], cells, chunk):
            shown = shown_under(outlines[with_area[here]], areas[here], files, quantiles=wanted, workers=workers)
            table[with_area[here]] = _rows(shown, areas[here])
            touched[with_area[here]] = shown.touched
    if len(with_area) and not touched.any():
        raise RasterError(
            f"None of the {len(with_area):,} plots lies on the {name} ({', '.join(Path(p).name for p in rasters)}).",
            why="Without it there is no value for any plot.",
            todo="Give the raster of the plots' region, or leave it out.",
        )
    values = pd.DataFrame(table, index=plots.index, columns=list(columns))
    return Layer(values, _findings(values, touched, name))


def layer_means(
    plots: gpd.GeoDataFrame, rasters: Sequence[Path], *, name: str = "layer", workers: int | None = None
) -> Layer:
    """The same with the mean and the covered share alone; see `layer_values`."""
    found = layer_values(plots, rasters, name=name, quantiles=False, workers=workers)
    return Layer(found.values[["mean", "covered"]], found.findings)


def weighted_quantile(
    group: npt.NDArray[np.int64], value: Floats, weight: Floats, q: float, *, groups: int
) -> npt.NDArray[np.float64]:
    """Per group the smallest value at or below which a share q of the weight lies; NaN for a group without weight.

    Source: Hyndman and Fan (1996), The American Statistician 50, definition 1, with weights.

    Examples
    --------
    Of 3 ha one lies at 10 and two at 20:

    >>> weighted_quantile(np.array([0, 0]), np.array([20.0, 10.0]), np.array([2.0, 1.0]), 0.3, groups=2).tolist()
    [10.0, nan]
    """
    total = np.bincount(group, weight, minlength=groups)
    heavy = weight > 0
    group, value, weight = group[heavy], value[heavy], weight[heavy]
    order = np.lexsort((value, group))
    group, value, share = group[order], value[order], (weight / total[group])[order]
    end = np.cumsum(np.bincount(group, minlength=groups))
    start, reached = np.concatenate([[0], end[:-1]]), np.cumsum(share)
    before = np.where(start > 0, np.concatenate([[0.0], reached])[start], 0.0)
    place, known = np.searchsorted(reached, before + q - _TIE), end > start
    found = np.full(groups, np.nan)
    found[known] = value[np.clip(place, start, end - 1)[known]]
    return found


def _chunks(outlines: npt.NDArray[np.object_], cells: Floats, most: int) -> Iterator[npt.NDArray[np.int64]]:
    """Plots that lie near one another, with few cells in all, at most so many plots at a time."""
    if not len(outlines):
        return
    box = shapely.bounds(outlines)
    columns, rows = np.floor(box[:, 0] / _NEAR_DEG), np.floor(box[:, 3] / _NEAR_DEG)
    order = np.lexsort((np.where(rows % 2, -columns, columns), rows))
    first, total = 0, 0.0
    for place, count in enumerate(cells[order].tolist()):
        if place > first and (total + count > _CELLS_AT_ONCE or place - first >= most):
            yield order[first:place]
            first, total = place, 0.0
        total += count
    yield order[first:]


def _rows(shown: Shown, areas: Floats) -> Floats:
    """One row per plot: the statistics, the covered share, hectares without data and outside."""
    covered = np.minimum(shown.ground_ha / areas, 1.0)
    quantiles = shown.quantiles if shown.quantiles.size else np.full((len(areas), len(QUANTILES)), np.nan)
    trusted = (covered >= TRUSTED_SHARE) & (shown.ground_ha > 0)
    known = np.column_stack([shown.mean, shown.lowest, shown.highest, quantiles])
    known[~trusted] = np.nan
    return np.column_stack([known, covered, shown.nodata_ha, shown.outside_ha])


def _findings(values: pd.DataFrame, touched: npt.NDArray[np.bool_], name: str) -> pd.DataFrame:
    ids, covered = values.index.to_numpy(), values["covered"].to_numpy(float)
    out = np.flatnonzero(np.isfinite(covered) & ~touched)
    thin = np.flatnonzero(touched & values["mean"].isna().to_numpy())
    texts = [f"the {name} covers {covered[i]:.0%} of the plot; it is not used here" for i in thin]
    return join_findings(
        [
            make_findings("outside_raster", ids[out], f"the plot lies outside the {name}; it is not used here"),
            make_findings("nodata", ids[thin], texts),
        ]
    )
