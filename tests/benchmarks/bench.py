"""Speed and memory against peers, on data made here, in one run: prints a table and writes JSON.

    python tests/benchmarks/bench.py [--size 36000] [--plots 100000] [--out out/bench]

Peers do the same job: hectares per class of every plot. exactextract runs in both of its strategies and the faster one
counts; rasterstats runs on a sample and its time is scaled up. Times are the median of `--repeat` runs, of ours and of
decoding alone; machines differ, so read the ratios.
"""

import argparse
import json
import os
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
import shapely

from geomap.engine import default_workers, ordered_map
from geomap.landcover.extract import NO_DATA, _outlines, _tasks, class_areas
from geomap.landcover.product import product
from geomap.landcover.source import Rasters
from geomap.plots.area import area_ha
from geomap.plots.formats import read_plots
from geomap.plots.overlap import count_once
from geomap.plots.prepare import prepare_plots
from geomap.simulate import bench_world
from geomap.simulate.bench import bench_plots
from geomap.simulate.worlds import supply_world

_WATCH = """
import os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
print(time.perf_counter() - start, used.ru_maxrss)
sys.exit(child.returncode)
"""

_CALIBRATE = """
import re, sys, time
import pandas as pd, psutil
from geomap.supply.calibrate import calibrate
from geomap.supply.history import History
folder = sys.argv[1]
members, target = (pd.read_parquet(f"{folder}/{name}.parquet") for name in ("members", "target"))
totals = pd.DataFrame({"cooperative_id": [], "season": [], "delivered_kg": []}).astype({"cooperative_id": str})
before = psutil.Process().memory_info().rss / 2**20
start = time.perf_counter()
found = calibrate(History(members, totals), target)
seconds = time.perf_counter() - start
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024  # of this process alone
print(seconds, peak - before, len(target), len(found.cooperatives))
"""

PRODUCT = "esa-worldcover-2021"
SAMPLE = 500
BY_AREA = "coverage_weight=area_spherical_m2"
"""The nearest that exactextract has to the true area of cells in degrees; a sphere, so hectares 0.6 % too many."""


def timed(work: Callable[[], Any], repeat: int = 1) -> tuple[float, Any]:
    """Median seconds of some runs, and the last result."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return median(seconds), result


def decode_only(plots: gpd.GeoDataFrame, raster: Path) -> float:
    """Seconds to decode the blocks that the plots touch, with the threads that extraction uses, and nothing else."""
    legend = product(PRODUCT)
    with Rasters([raster], legend) as opened:
        (grid,) = opened.grids
        tasks = list(_tasks(_outlines(plots.geometry.to_numpy(), grid).bounds, grid))
        start = time.perf_counter()

        def read(task: Any) -> int:
            top, left = int(task.boxes[:, 0].min()), int(task.boxes[:, 2].min())
            bottom, right = int(task.boxes[:, 1].max()), int(task.boxes[:, 3].max())
            return opened.read(grid, (top, left), (bottom - top, right - left), legend.nodata).size

        deque(ordered_map(read, tasks), maxlen=0)
        return time.perf_counter() - start


def run_exactextract(plots: gpd.GeoDataFrame, raster: Path, strategy: str) -> pd.DataFrame:
    """Classes, their shares and the covered ground per plot: what exactextract needs to give hectares per class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return exactextract.exact_extract(
            str(raster),
            plots,
            [f"{name}({BY_AREA})" for name in ("unique", "frac", "count")],
            include_cols=["plot_id"],
            output="pandas",
            strategy=strategy,
        )


def largest_difference(ours: pd.DataFrame, theirs: pd.DataFrame, area: pd.Series) -> float:
    """Largest difference of a class's hectares in any plot, as a share of the plot's area.

    exactextract gives shares of the plot's cells; the cells of one plot differ in area by less than 1e-6.
    """
    rows = theirs.explode(["unique", "frac"]).dropna()
    codes = rows["unique"].astype(int).replace(0, NO_DATA).rename("class")
    expected = rows["frac"].astype(float).groupby([rows["plot_id"], codes]).sum()
    share = ours.set_index(["plot_id", "class"])["area_ha"]
    share = share / area.reindex(share.index.get_level_values("plot_id")).to_numpy()
    both = pd.concat([share, expected], axis=1, keys=["ours", "theirs"]).fillna(0.0)
    return float((both["ours"] - both["theirs"]).abs().max())


def crowded_plots(size: int, count: int) -> gpd.GeoDataFrame:
    """Plots of which every tenth lies on its neighbour, shifted by a third of its width."""
    made = bench_plots(np.random.default_rng(2), size, count).set_index("plot_id")
    over = np.arange(10, count, 10)
    below = made.geometry.to_numpy()[over - 1]
    west, _, east, _ = shapely.bounds(below).T
    lonlat, owner = shapely.get_coordinates(below, return_index=True)
    lonlat[:, 0] += ((east - west) / 3)[owner]
    outlines = made.geometry.to_numpy().copy()
    outlines[over] = shapely.set_coordinates(below, lonlat)
    made = made.set_geometry(gpd.GeoSeries(outlines, index=made.index, crs=made.crs))
    return made.assign(area_ha=area_ha(made.geometry))


def whole_estimate(plots: Path, raster: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak memory in MB of the whole command in a process of its own."""
    command = [
        sys.executable, "-m", "geomap.cli", "estimate", str(plots), "--raster", str(raster), "--product", PRODUCT,
        "--crop", "coffee", "--country", "CO", "--season", "2026/27", "--out", str(out),
    ]  # fmt: skip
    # A small process of its own starts it: a child's peak begins with the memory of the process that starts it.
    told = subprocess.run([sys.executable, "-c", _WATCH, *command], check=True, stdout=subprocess.PIPE, text=True)
    seconds, peak_kb = told.stdout.split()[-2:]
    return float(seconds), float(peak_kb) / 1024


def calibration(folder: Path, cooperatives: int) -> tuple[float, float, int]:
    """Seconds and MB beside the data to calibrate three seasons of deliveries, and how many members they are of."""
    world = supply_world(np.random.default_rng(3), cooperatives=cooperatives, origins=50)
    world.members.to_parquet(folder / "members.parquet")
    world.target.to_parquet(folder / "target.parquet")
    count = len(world.target)
    del world
    told = subprocess.run(
        [sys.executable, "-c", _CALIBRATE, str(folder)], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()
    return float(told[0]), float(told[1]), count


def bench(folder: Path, *, size: int, plots: int, repeat: int) -> dict[str, Any]:
    """All figures: seconds, ratios, largest difference, peak memory."""
    folder.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = {}
    made = folder / f"world-{size}-{plots}"
    seconds["make data"], paths = timed(lambda: bench_world(made, seed=1, size=size, plots=plots))
    os.sync()  # data on their way to the disk would slow what is timed first
    table = gpd.read_parquet(paths.plots).set_index("plot_id").sort_index()
    table["area_ha"] = area_ha(table.geometry)  # plots come measured to land cover, as in a run
    legend, flat = product(PRODUCT), table.reset_index()[["plot_id", "geometry"]]
    class_areas(table.iloc[:10], [paths.landcover], legend)  # compiles, and fills no cache that counts
    seconds["geomap"], found = timed(lambda: class_areas(table, [paths.landcover], legend), repeat)
    seconds["decoding alone"] = median(decode_only(table, paths.landcover) for _ in range(repeat))
    for strategy in ("feature-sequential", "raster-sequential"):
        name = f"exactextract {strategy}"
        seconds[name], theirs = timed(lambda s=strategy: run_exactextract(flat, paths.landcover, s))
    sample = table.sample(min(SAMPLE, len(table)), random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, _ = timed(lambda: rasterstats.zonal_stats(sample, str(paths.landcover), categorical=True, nodata=0))
    seconds["rasterstats (scaled)"] = one * len(table) / len(sample)
    flat.to_file(folder / "plots.geojson", driver="GeoJSON")
    seconds["reading GeoJSON"], read = timed(lambda: read_plots(folder / "plots.geojson")[0])
    seconds["checks and overlaps"], _ = timed(lambda: prepare_plots(read, country="CO"))
    crowded = crowded_plots(size, plots * 3 // 2)
    seconds["overlaps of half as many more plots"], once = timed(lambda: count_once(crowded, crowded["area_ha"]))
    os.sync()
    seconds["whole estimate"], peak_mb = whole_estimate(paths.plots, paths.landcover, folder / "estimate")
    seconds["calibrating, 3 seasons"], calibrating_mb, members = calibration(made, max(20, plots // 70))
    largest = float(f"{largest_difference(found.classes, theirs, area_ha(table.geometry)):.1e}")
    fastest = min(value for name, value in seconds.items() if name.startswith("exactextract"))
    return {
        "plots": len(table),
        "cells": size * size,
        "workers": default_workers(),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "times as fast as exactextract": round(fastest / seconds["geomap"], 1),
        "times as fast as rasterstats": round(seconds["rasterstats (scaled)"] / seconds["geomap"], 1),
        "time against decoding alone": round(seconds["geomap"] / seconds["decoding alone"], 2),
        "checks against reading GeoJSON": round(seconds["checks and overlaps"] / seconds["reading GeoJSON"], 2),
        "whole estimate against exactextract": round(seconds["whole estimate"] / fastest, 2),
        "whole estimate peak MB": round(peak_mb),
        "members calibrated": members,
        "calibrating, MB beside the data": round(calibrating_mb),
        "overlapping pairs found": len(once.pairs),
        "largest difference from exactextract (share of plot)": largest,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=36_000, help="cells on each side of the raster")
    parser.add_argument("--plots", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    chosen = parser.parse_args()
    figures = bench(chosen.out, size=chosen.size, plots=chosen.plots, repeat=chosen.repeat)
    (chosen.out / "bench.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in {**{f"{key}, s": text for key, text in figures["seconds"].items()}, **figures}.items():
        if not isinstance(value, dict):
            sys.stdout.write(f"{name:<56}{value:>14}\n")
    sys.stdout.write(f"\nThe figures stand in {chosen.out / 'bench.json'}.\n")


if __name__ == "__main__":
    main()
