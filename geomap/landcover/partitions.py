"""Plots on a cluster: partitions along a Hilbert curve, each measured by one worker and resumed where it was left.

A partition is a GeoParquet file in a folder that every worker sees, its result a file beside it, put there whole. The
name of both follows from what is in them, from the rasters and from our version, so a result of other inputs is never
taken for one of these. What a plot's row holds does not depend on the plots beside it: the bytes are those of threads.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt

from geomap.engine import Progress, cluster_map, versions_that_count
from geomap.landcover.mosaic import Floats, Measured, Outlines
from geomap.landcover.product import Product

SIZE: Final = 20_000
"""Plots of a partition: about 300 MB while it is measured, and some seconds."""


@dataclass(frozen=True)
class Cluster:
    """Where the work is spread to.

    Attributes
    ----------
    address : of the Dask scheduler.
    folder : for partitions; every worker sees it, and the rasters, under the same path.
    size : plots of a partition; bounds the memory of a worker, never changes a result.
    """

    address: str
    folder: Path
    size: int = SIZE


@dataclass(frozen=True)
class Partition:
    """One piece of work, as it travels to a worker."""

    plots: str
    result: str
    rasters: tuple[str, ...]
    product: Product


def measure_on_cluster(
    outlines: Outlines,
    areas_m2: Floats,
    rasters: Sequence[Path],
    product: Product,
    cluster: Cluster,
    *,
    progress: Progress | None = None,
) -> Measured:
    """What the rasters show under each outline, in the order of the outlines; measured by the workers of a cluster.

    Results that an earlier, interrupted run left in the folder are used. They go when all is done.

    Raises
    ------
    ClusterError : see `geomap.engine.cluster_map`.
    """
    folder = Path(cluster.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(str(Path(path).absolute()) for path in rasters)
    along = _hilbert_order(outlines)
    rows = [along[first : first + cluster.size] for first in range(0, len(along), cluster.size)]
    known = _fingerprint(paths, product)
    parts = [_written(folder, outlines[some], areas_m2[some], paths, product, known=known) for some in rows]
    waiting = [part for part in parts if not Path(part.result).is_file()]
    cluster_map(measure_partition, waiting, address=cluster.address, stage="land cover", progress=progress)
    found = _gathered(parts, rows, len(outlines), len(product.legend) + 3)
    for part in parts:
        Path(part.plots).unlink(missing_ok=True)
        Path(part.result).unlink(missing_ok=True)
        for draft in folder.glob(f".{Path(part.result).name}.*"):  # of a worker that was killed
            draft.unlink(missing_ok=True)
    return found


def measure_partition(part: Partition) -> str:
    """Measure one partition where this runs, and leave its result whole or not at all; the result's path."""
    from geomap.landcover.extract import measure

    result = Path(part.result)
    if not result.is_file():
        table = gpd.read_parquet(part.plots)
        found = measure(
            table.geometry.to_numpy(),
            table["area_m2"].to_numpy(float),
            [Path(path) for path in part.rasters],
            part.product,
            workers=1,
        )
        strange = np.array(sorted(found.strange_codes), dtype=np.int64)
        _put(result, lambda file: np.savez(file, inside_m2=found.inside_m2, cell_m2=found.cell_m2, strange=strange))
    return str(result)


def _hilbert_order(outlines: Outlines) -> npt.NDArray[np.int64]:
    """Rows in the order of a curve that keeps neighbours together, so that a partition touches few blocks."""
    if not len(outlines):
        return np.zeros(0, dtype=np.int64)
    along: npt.NDArray[np.int64] = np.argsort(gpd.GeoSeries(outlines).hilbert_distance().to_numpy(), kind="stable")
    return along


def _fingerprint(rasters: Sequence[str], product: Product) -> str:
    """What a result depends on beside its plots."""
    files = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in rasters]
    legend = product.legend.to_csv() + repr((product.name, product.nodata, product.also_nodata))
    return repr((files, legend, sorted(versions_that_count().items())))


def _written(
    folder: Path, outlines: Outlines, areas_m2: Floats, rasters: tuple[str, ...], product: Product, *, known: str
) -> Partition:
    """The partition's file, written where it is not there yet."""
    table = gpd.GeoDataFrame({"area_m2": areas_m2}, geometry=gpd.GeoSeries(outlines, crs="EPSG:4326"))
    content = hashlib.sha256(known.encode())
    content.update(np.ascontiguousarray(areas_m2).tobytes())
    for wkb in table.geometry.to_wkb():
        content.update(wkb)
    name = content.hexdigest()[:32]
    part = Partition(str(folder / f"{name}.parquet"), str(folder / f"{name}.npz"), rasters, product)
    if not Path(part.plots).is_file() and not Path(part.result).is_file():
        _put(Path(part.plots), lambda file: table.to_parquet(file, index=False))
    return part


def _put(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """A file that is there whole or not at all, also where two workers make it at once."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with draft.open("wb") as file:
            write(file)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _gathered(parts: Sequence[Partition], rows: Sequence[npt.NDArray[np.int64]], plots: int, columns: int) -> Measured:
    """The results of all partitions, in the order of the outlines."""
    inside, cells, strange = np.zeros((plots, columns)), np.full(plots, np.nan), set[int]()
    for part, some in zip(parts, rows, strict=True):
        with np.load(part.result) as found:
            inside[some], cells[some] = found["inside_m2"], found["cell_m2"]
            strange |= set(found["strange"].tolist())
    return Measured(inside, cells, strange)
