"""Timing, and the peers: exactextract in one and two processes, rasterstats, and decoding alone."""

import subprocess
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import exactextract
import geopandas as gpd
import numpy as np
import pandas as pd
import rasterstats

from geomap.engine import ordered_map
from geomap.landcover.blocks import outlines_on, tasks_on
from geomap.landcover.extract import NO_DATA
from geomap.landcover.product import Product
from geomap.landcover.source import Rasters

ALONE = [sys.executable, str(Path(__file__).with_name("alone.py"))]
STRATEGIES = ("feature-sequential", "raster-sequential")
SAMPLE = 500
BY_AREA = "coverage_weight=area_spherical_m2"
"""The nearest that exactextract has to the true area of cells in degrees; a sphere, so hectares 0.6 % too many."""
CLASSES = [f"{name}({BY_AREA})" for name in ("unique", "frac", "count")]
"""Classes, their shares and the covered ground per plot: what exactextract needs to give hectares per class."""
MEAN = ["mean"]
"""Without weights by area, which is exactextract's quickest."""
STATISTICS = ["mean", "min", "max", *(f"quantile(q={q})" for q in (0.1, 0.5, 0.9))]
"""All that a layer tells of a plot."""


def timed(work: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """Median seconds of some runs, and the last result."""
    seconds = []
    for _ in range(repeat):
        result = None  # two results at once would count as memory of the work
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return median(seconds), result


def decode_only(plots: gpd.GeoDataFrame, raster: Path, legend: Product) -> float:
    """Seconds to decode the blocks that the plots touch, with the threads that extraction uses, and nothing else."""
    with Rasters([raster], legend) as opened:
        (grid,) = opened.grids
        tasks = list(tasks_on(outlines_on(plots.geometry.to_numpy(), grid).bounds, grid))
        start = time.perf_counter()

        def read(task: Any) -> int:
            return opened.read(grid, *task.window, legend.nodata).size

        deque(ordered_map(read, tasks), maxlen=0)
        return time.perf_counter() - start


def run_exactextract(plots: gpd.GeoDataFrame, raster: Path, wanted: list[str], strategy: str) -> pd.DataFrame:
    """What exactextract says of plots with a column plot_id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return exactextract.exact_extract(
            str(raster), plots, wanted, include_cols=["plot_id"], output="pandas", strategy=strategy
        )


def both_strategies(plots: gpd.GeoDataFrame, raster: Path, wanted: list[str]) -> tuple[dict[str, float], pd.DataFrame]:
    """Seconds of each strategy, and the last result."""
    seconds: dict[str, float] = {}
    for strategy in STRATEGIES:
        seconds[strategy], found = timed(lambda s=strategy: run_exactextract(plots, raster, wanted, s))
    return seconds, found


def two_processes(plots: gpd.GeoDataFrame, raster: Path, folder: Path, strategy: str) -> float:
    """Seconds until both of two processes have done their half of the plots; starting and reading are not in it."""
    middle = len(plots) // 2
    running = []
    for number, half in enumerate((plots.iloc[:middle], plots.iloc[middle:])):
        path = folder / f"half-{number}.parquet"
        half.to_parquet(path)
        command = [*ALONE, "exactextract", str(path), str(raster), strategy]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    _expect(running, "ready")
    start = time.perf_counter()
    for one in running:
        one.stdin.write("go\n")
        one.stdin.flush()
    _expect(running, "done")
    seconds = time.perf_counter() - start
    for one in running:
        one.communicate()
    return seconds


def _expect(running: list[Any], word: str) -> None:
    if any(one.stdout.readline().strip() != word for one in running):
        raise RuntimeError("A process of exactextract stopped early.")


def rasterstats_scaled(plots: gpd.GeoDataFrame, raster: Path) -> float:
    """Seconds that rasterstats would take for all plots, from a sample of them."""
    sample = plots.sample(min(SAMPLE, len(plots)), random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, _ = timed(lambda: rasterstats.zonal_stats(sample, str(raster), categorical=True, nodata=0))
    return one * len(plots) / len(sample)


def watched(*command: str) -> tuple[float, float, str]:
    """Seconds, peak memory in MB and last printed word of a command in a process of its own."""
    told = subprocess.run([*ALONE, "watch", *command], check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, peak_kb, last = told.split()
    return float(seconds), float(peak_kb) / 1024, last


def difference_of_classes(ours: pd.DataFrame, theirs: pd.DataFrame, area: pd.Series) -> float:
    """Largest difference of a class's hectares in any plot, as a share of the plot's area.

    exactextract gives shares of the plot's cells; the cells of one smallholder's plot differ in area by less than 1e-6.
    """
    rows = theirs.explode(["unique", "frac"]).dropna()
    codes = rows["unique"].astype(int).replace(0, NO_DATA).rename("class")
    expected = rows["frac"].astype(float).groupby([rows["plot_id"], codes]).sum()
    share = ours.set_index(["plot_id", "class"])["area_ha"]
    share = share / area.reindex(share.index.get_level_values("plot_id")).to_numpy()
    both = pd.concat([share, expected], axis=1, keys=["ours", "theirs"]).fillna(0.0)
    return float((both["ours"] - both["theirs"]).abs().max())


def difference_of_means(ours: pd.Series, theirs: pd.DataFrame) -> float:
    """Largest difference of a plot's mean, relative to it; theirs weighs all cells of a plot alike."""
    expected = theirs.set_index("plot_id")["mean"].reindex(ours.index)
    return float(np.nanmax(np.abs(ours / expected - 1)))
