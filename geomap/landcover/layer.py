"""A raster of a quantity (a yield, an elevation): its mean over each plot, by the exact covered share of every cell."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import rasterio
import shapely
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from geomap.errors import CrsError, RasterError
from geomap.findings import join_findings, make_findings
from geomap.landcover.source import GDAL_OPTIONS, Grid
from geomap.plots.area import rings_of

TRUSTED_SHARE: Final = 0.5
"""A plot of which the layer covers less than this has no mean."""

_BLOCK: Final = 512
_MOST_CELLS: Final = 2**24
_DENSIFY_DEG: Final = 0.001

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """Means of a layer over plots.

    Attributes
    ----------
    values : index plot_id as the plots; mean (in the layer's unit; NaN where the layer covers less than half of the
        plot, or the plot has no outline), covered (share of the plot with data, 0–1; NaN without an outline).
    findings : plots without data ("nodata") or outside the raster ("outside_raster").
    """

    values: pd.DataFrame
    findings: pd.DataFrame


def layer_means(plots: gpd.GeoDataFrame, rasters: Sequence[Path], *, name: str = "layer") -> Layer:
    """Mean of a raster over each plot: Σ share · cell area · value ÷ Σ share · cell area, over the cells with data.

    Shares are exact; cells without data count neither above nor below the line. A plot on several tiles gets the mean
    over all of them. The result does not depend on the order of plots or files. Scale and offset of the file are
    applied.

    Parameters
    ----------
    plots : index plot_id (unique), EPSG:4326, valid Polygons and MultiPolygons; points get no mean.
    rasters : GeoTIFF files of one quantity that do not overlap, one band each, with square axes (not rotated).
    name : of the layer, for messages.

    Raises
    ------
    RasterError : a file is missing, broken, rotated, of several bands or without position; no plot lies on any of them.
    CrsError : a file names no CRS.

    Examples
    --------
    A plot over one half of a cell of 600 and the whole of a cell of 900: (.5 · 600 + 900) / 1.5.

    >>> import tempfile
    >>> options = {"driver": "GTiff", "height": 1, "width": 2, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    >>> place = rasterio.transform.from_origin(0, 0, 0.01, 0.01)
    >>> plots = gpd.GeoDataFrame(geometry=[shapely.box(0.005, -0.01, 0.02, 0)], index=["P"], crs="EPSG:4326")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "yield.tif"
    ...     with rasterio.open(file, "w", transform=place, **options) as target:
    ...         target.write(np.array([[[600, 900]]], dtype="float32"))
    ...     found = layer_means(plots, [file], name="yield map")
    >>> found.values["mean"].round(6).to_dict()
    {'P': 800.0}
    """
    if not rasters:
        raise RasterError(f"No raster of the {name} was given.", todo="Name at least one GeoTIFF.")
    outlines = plots.geometry.to_numpy()
    has_area = np.asarray(shapely.area(outlines) > 0)
    total, weight, whole = (np.zeros(len(plots)) for _ in range(3))
    touched = np.zeros(len(plots), dtype=bool)
    for path in sorted(map(Path, rasters), key=str):
        with _opened(path) as source:
            found = _sums(outlines[has_area], source, _grid(path, source))
        part = np.flatnonzero(has_area)
        total[part] += found[0]
        weight[part] += found[1]
        whole[part] = np.maximum(whole[part], found[2])
        touched[part] |= found[3]
    if has_area.any() and not touched.any():
        raise RasterError(
            f"None of the {has_area.sum():,} plots lies on the {name} ({', '.join(Path(p).name for p in rasters)}).",
            why="Without it there is no value for any plot.",
            todo="Give the raster of the plots' region, or leave it out.",
        )
    covered = np.where(has_area, np.divide(weight, whole, out=np.zeros(len(plots)), where=whole > 0), np.nan)
    covered = np.minimum(covered, 1.0)
    known = (covered >= TRUSTED_SHARE) & (weight > 0)
    values = pd.DataFrame(
        {"mean": np.divide(total, weight, out=np.full(len(plots), np.nan), where=known), "covered": covered},
        index=plots.index,
    )
    return Layer(values, _findings(values, touched, has_area, name))


def _findings(
    values: pd.DataFrame, touched: npt.NDArray[np.bool_], has_area: npt.NDArray[np.bool_], name: str
) -> pd.DataFrame:
    ids, covered = values.index.to_numpy(), values["covered"].to_numpy(float)
    out = np.flatnonzero(has_area & ~touched)
    thin = np.flatnonzero(touched & values["mean"].isna().to_numpy())
    texts = [f"the {name} covers {covered[i]:.0%} of the plot; it is not used here" for i in thin]
    return join_findings(
        [
            make_findings("outside_raster", ids[out], f"the plot lies outside the {name}; it is not used here"),
            make_findings("nodata", ids[thin], texts),
        ]
    )


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise RasterError(f"There is no file {path.name}.", todo="Check the path of the raster.")
    try:
        with warnings.catch_warnings(), rasterio.Env(**GDAL_OPTIONS):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(path, driver="GTiff")
    except RasterioError as error:
        raise RasterError(
            f"{path.name} is not a GeoTIFF that can be read.",
            why="Layers are read from GeoTIFF or COG files.",
            todo="Convert it with gdal_translate -of COG.",
        ) from error


def _grid(path: Path, source: Any) -> Grid:
    """Where the cells lie; raises for a raster that is no layer."""
    if source.crs is None:
        raise CrsError(
            f"{path.name} names no coordinate reference system.",
            why="Without it nobody knows where its cells lie.",
            todo="Assign it, for example with gdal_edit.py -a_srs EPSG:4326.",
        )
    affine = source.transform
    if source.count != 1 or affine.is_identity or affine.b or affine.d or not affine.a or not affine.e:
        raise RasterError(
            f"{path.name} has {source.count} bands, or is rotated or without position.",
            why="A layer has one value per cell, and its cells lie along the axes.",
            todo="Give a file with one band, north up; gdalwarp makes one.",
        )
    return Grid(
        path=path,
        crs=pyproj.CRS.from_user_input(source.crs),
        transform=affine,
        width=source.width,
        height=source.height,
        block=source.block_shapes[0],
        nodata=None,
        masked=False,
    )


def _sums(
    outlines: npt.NDArray[np.object_], source: Any, grid: Grid
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.bool_]]:
    """Per plot: Σ weight · value, Σ weight with data, the plot's whole weight, and whether it touches the raster.

    Weight is covered share × area of the cell; the whole weight also counts ground beyond the raster.
    """
    from geomap.landcover.coverage import SMALLEST_SHARE, coverage

    shapes = outlines
    if not grid.crs.equals("EPSG:4326", ignore_axis_order=True):
        to_raster = pyproj.Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
        shapes = shapely.transform(shapely.segmentize(shapes, _DENSIFY_DEG), to_raster.transform, interleaved=False)
    rings = rings_of(shapes)
    xs = (rings.coordinates[:, 0] - grid.transform.c) / grid.transform.a
    ys = (rings.coordinates[:, 1] - grid.transform.f) / grid.transform.e
    first = np.concatenate([[0], np.cumsum(np.bincount(rings.owner, minlength=len(shapes)))])
    box = _boxes(shapes, grid)
    area, _ = grid.cell_areas()
    total, weight, whole = (np.zeros(len(shapes)) for _ in range(3))
    touched = np.zeros(len(shapes), dtype=bool)
    planar = shapely.area(shapes) / abs(grid.transform.a * grid.transform.e)
    for plots, window, values in _blocks(box, source, grid):
        for plot in plots:
            top, bottom, left, right = box[plot]
            ring = slice(first[plot], first[plot + 1] + 1)
            starts = rings.starts[ring]
            corners = slice(starts[0], starts[-1])
            share = coverage(
                xs[corners] - left,
                ys[corners] - top,
                starts - starts[0],
                rings.holes[first[plot] : first[plot + 1]],
                (bottom - top, right - left),
            )
            value = values[top - window[0] : bottom - window[0], left - window[1] : right - window[1]]
            cells = np.where(share > SMALLEST_SHARE, share, 0.0) * area[top:bottom, None]
            data = np.isfinite(value)
            total[plot] = (cells * np.where(data, value, 0.0)).sum()
            weight[plot] = (cells * data).sum()
            whole[plot] = planar[plot] * area[(top + bottom - 1) // 2]
            touched[plot] = bool(cells.any())
    return total, weight, whole, touched


def _boxes(shapes: npt.NDArray[np.object_], grid: Grid) -> npt.NDArray[np.int64]:
    """First and last row, first and last column of each plot on the raster, ends excluded; empty beyond it."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    rows = np.sort((bounds[:, [1, 3]] - grid.transform.f) / grid.transform.e, axis=1)
    columns = np.sort((bounds[:, [0, 2]] - grid.transform.c) / grid.transform.a, axis=1)
    cells = np.column_stack(
        [np.floor(rows[:, 0]), np.ceil(rows[:, 1]), np.floor(columns[:, 0]), np.ceil(columns[:, 1])]
    )
    cells = np.clip(cells, 0, [grid.height, grid.height, grid.width, grid.width])
    return np.asarray(cells, dtype=np.int64)


def _blocks(
    box: npt.NDArray[np.int64], source: Any, grid: Grid
) -> Iterator[tuple[npt.NDArray[np.int64], tuple[int, int], Floats]]:
    """Plots that lie near one another, the corner of the window around them, and its values; NaN without data."""
    there = np.flatnonzero((box[:, 0] < box[:, 1]) & (box[:, 2] < box[:, 3]))
    block = box[there, 0] // _BLOCK * (grid.width // _BLOCK + 1) + box[there, 2] // _BLOCK
    order = there[np.argsort(block, kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(np.sort(block, kind="stable"))) + 1)
    for group in groups:
        if len(group):
            yield from _window(group, box, source, grid)


def _window(
    plots: npt.NDArray[np.int64], box: npt.NDArray[np.int64], source: Any, grid: Grid
) -> Iterator[tuple[npt.NDArray[np.int64], tuple[int, int], Floats]]:
    """The plots' common window; each plot by itself where that would be large."""
    top, left = box[plots, 0].min(), box[plots, 2].min()
    height, width = box[plots, 1].max() - top, box[plots, 3].max() - left
    if height * width > _MOST_CELLS and len(plots) > 1:
        for plot in plots:
            yield from _window(np.array([plot]), box, source, grid)
        return
    if height * width > 16 * _MOST_CELLS:
        raise RasterError(
            f"One plot covers {height:,} × {width:,} cells of {grid.path.name}.",
            why="Reading them would fill the memory.",
            todo="Check the plot, or give a coarser raster.",
        )
    try:
        cells = source.read(1, window=Window(left, top, width, height), masked=True)
    except RasterioError as error:
        raise RasterError(
            f"{grid.path.name} cannot be read at row {top}, column {left}.",
            why="The file is damaged or cut short.",
            todo="Download or copy it again.",
        ) from error
    values = np.asarray(cells.filled(0), dtype=float) * source.scales[0] + source.offsets[0]
    values = np.where(np.ma.getmaskarray(cells) | ~np.isfinite(values), np.nan, values)
    yield plots, (int(top), int(left)), values
