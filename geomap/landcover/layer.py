"""A raster of a quantity (a yield, an elevation): its values over each plot, by the covered share of every cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.errors import RasterError
from geomap.findings import join_findings, make_findings
from geomap.landcover.layer_cells import Cells, LayerFiles
from geomap.plots.area import area_ha

TRUSTED_SHARE: Final = 0.5
"""A plot of which the layer covers less than this has no value."""

QUANTILES: Final = {"p10": 0.10, "p50": 0.50, "p90": 0.90}
STATISTICS: Final = ("mean", "min", "max", *QUANTILES)

_AT_ONCE: Final = 20_000
_CELLS_AT_ONCE: Final = 2**22
"""Cells kept at a time, about 60 bytes each."""
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
) -> Layer:
    """Mean, lowest, highest value and P10, P50, P90 of a raster over the ground of each plot.

    Each cell weighs as its covered share × its area. The mean is Σ weight · value ÷ Σ weight over cells with data. A
    quantile q is the smallest value at or below which a share q of that ground lies, so a cell that is cut in two, or
    read from two tiles, changes nothing. Lowest and highest count every cell that the plot touches, however little.
    Cells without data and ground beyond the files are hectares of their own: covered · area + nodata_ha + outside_ha =
    area, to 1e-6. Ground that several files cover counts once: finer cells speak first, then the file whose name comes
    first. The result does not depend on the order of plots or files, nor on `chunk`. Scale and offset of the file are
    applied.

    Parameters
    ----------
    plots : index plot_id (unique), EPSG:4326, valid Polygons and MultiPolygons; points have no value. `area_ha` is used
        where the column is there.
    rasters : GeoTIFF files of one quantity, one band each, with square axes (not rotated), of any CRS.
    name : of the layer, for messages.
    chunk : plots worked on at a time; fewer where they are large, so that the memory is bounded.
    quantiles : whether P10, P50 and P90 are wanted; without them they are missing, and it is much faster.

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
    with LayerFiles(rasters) as files:
        for here in _chunks(areas / files.cell_ha(outlines[with_area]), chunk):
            cells = files.cells_under(outlines[with_area[here]], areas[here])
            table[with_area[here]] = _row(cells, areas[here], quantiles=quantiles)
            touched[with_area[here]] = cells.touched
    if len(with_area) and not touched.any():
        raise RasterError(
            f"None of the {len(with_area):,} plots lies on the {name} ({', '.join(Path(p).name for p in rasters)}).",
            why="Without it there is no value for any plot.",
            todo="Give the raster of the plots' region, or leave it out.",
        )
    values = pd.DataFrame(table, index=plots.index, columns=list(columns))
    return Layer(values, _findings(values, touched, name))


def layer_means(plots: gpd.GeoDataFrame, rasters: Sequence[Path], *, name: str = "layer") -> Layer:
    """The same with the mean and the covered share alone; see `layer_values`."""
    found = layer_values(plots, rasters, name=name, quantiles=False)
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
    return _at(_ranked(group, value, weight, groups), q)


class _Ranked(NamedTuple):
    """Cells by group and value: a group's are those from start to end; `reached` is the share of the weight so far."""

    value: Floats
    reached: Floats
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]


def _ranked(group: npt.NDArray[np.int64], value: Floats, weight: Floats, groups: int) -> _Ranked:
    """The cells in order, sorted once for all quantiles."""
    total = np.bincount(group, weight, minlength=groups)
    heavy = weight > 0
    group, value, weight = group[heavy], value[heavy], weight[heavy]
    order = np.lexsort((value, group))
    group, value, share = group[order], value[order], (weight / total[group])[order]
    end = np.cumsum(np.bincount(group, minlength=groups))
    return _Ranked(value, np.cumsum(share), np.concatenate([[0], end[:-1]]), end)


def _at(cells: _Ranked, q: float) -> npt.NDArray[np.float64]:
    """The quantile q of each group."""
    before = np.where(cells.start > 0, np.concatenate([[0.0], cells.reached])[cells.start], 0.0)
    place = np.searchsorted(cells.reached, before + q - _TIE)
    known = cells.end > cells.start
    found = np.full(len(cells.end), np.nan)
    found[known] = cells.value[np.clip(place, cells.start, cells.end - 1)[known]]
    return found


def _chunks(cells: Floats, most: int) -> Iterator[slice]:
    """Runs of plots with few cells in all, at most so many plots each."""
    first, total = 0, 0.0
    for place, count in enumerate(cells.tolist()):
        if place > first and (total + count > _CELLS_AT_ONCE or place - first >= most):
            yield slice(first, place)
            first, total = place, 0.0
        total += count
    if len(cells):
        yield slice(first, len(cells))


def _row(cells: Cells, areas: Floats, *, quantiles: bool) -> Floats:
    """One row per plot: the statistics, the covered share, hectares without data and outside."""
    count = len(areas)
    ground = np.bincount(cells.plot, cells.ground_ha, minlength=count)
    total = np.bincount(cells.plot, cells.ground_ha * cells.value, minlength=count)
    covered = np.minimum(ground / areas, 1.0)
    ranked = _ranked(cells.plot, cells.value, cells.ground_ha, count) if quantiles else None
    statistics = {
        "mean": np.divide(total, ground, out=np.full(count, np.nan), where=ground > 0),
        "min": _extreme(cells, count, np.minimum, np.inf),
        "max": _extreme(cells, count, np.maximum, -np.inf),
        **{name: np.full(count, np.nan) if ranked is None else _at(ranked, q) for name, q in QUANTILES.items()},
    }
    trusted = (covered >= TRUSTED_SHARE) & (ground > 0)
    known = np.column_stack([np.where(trusted, statistics[one], np.nan) for one in STATISTICS])
    return np.column_stack([known, covered, cells.nodata_ha, cells.outside_ha])


def _extreme(cells: Cells, count: int, which: np.ufunc, start: float) -> Floats:
    found = np.full(count, start)
    which.at(found, cells.plot, cells.value)
    return found


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
