"""Speed and memory against peers, on data made here, in one run: prints a table in Markdown and writes figures.json.

    python tests/benchmarks/bench.py [--short] [--size 36000] [--plots 100000] [--repeat 5] [--out out/bench]

Peers do the same job: hectares per class of every plot, or a layer's mean. exactextract runs in both of its strategies
and the faster one counts; rasterstats runs on a sample and its time is scaled up. Times are the median of `--repeat`
runs, of ours and of decoding alone, and of as many as fit into two seconds in the country that grows; machines differ,
so read the ratios. Ten times `--plots` is the largest country.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import geopandas as gpd
import ground
import numpy as np
import peers
from peers import ALONE, CLASSES, MEAN, STATISTICS, timed, watched

from geomap.engine import default_workers
from geomap.landcover.extract import class_areas
from geomap.landcover.layer import layer_means, layer_values
from geomap.landcover.product import product
from geomap.plots.formats import read_plots
from geomap.plots.overlap import count_once
from geomap.plots.prepare import prepare_plots
from geomap.simulate import bench_world
from geomap.simulate.worlds import supply_world

PRODUCT = "esa-worldcover-2021"
LEGEND = product(PRODUCT)
SMALL = 12_288
"""Cells on each side of the small raster of 10 m: about 110 km."""
HUGE_PLOTS = 500


@dataclass(frozen=True)
class Row:
    """One figure; `target` is the most or the least that it may be, empty where nothing was promised."""

    name: str
    value: float
    target: str = ""
    met: bool | None = None


def plain(name: str, value: float) -> Row:
    return Row(name, float(f"{value:.4g}") if value < 1_000 else round(value))


def at_least(name: str, value: float, target: float) -> Row:
    return Row(name, plain(name, value).value, f"≥ {target:,g}", bool(value >= target))


def at_most(name: str, value: float, target: float) -> Row:
    return Row(name, plain(name, value).value, f"≤ {target:,g}", bool(value <= target))


def main_job(made: Path, *, size: int, plots: int, repeat: int) -> list[Row]:
    """Plots in villages all over the raster: class areas against peers and against decoding alone."""
    seconds, paths = timed(lambda: bench_world(made, seed=1, size=size, plots=plots))
    os.sync()  # data on their way to the disk would slow what is timed first
    rows = [plain("make data, s", seconds)]
    table = ground.measured(gpd.read_parquet(paths.plots))
    class_areas(table.iloc[:10], [paths.landcover], LEGEND)  # compiles, and fills no cache that counts
    ours, found = timed(lambda: class_areas(table, [paths.landcover], LEGEND), repeat)
    decoding = median(peers.decode_only(table, paths.landcover, LEGEND) for _ in range(repeat))
    theirs, shares = peers.both_strategies(ground.flat(table), paths.landcover, CLASSES)
    scaled = peers.rasterstats_scaled(table, paths.landcover)
    fastest = min(theirs.values())
    rows += [plain("geomap, s", ours), plain("decoding alone, s", decoding)]
    rows += [plain(f"exactextract {strategy}, s", value) for strategy, value in theirs.items()]
    difference = peers.difference_of_classes(found.classes, shares, table["area_ha"])
    few = made / "few.parquet"
    gpd.read_parquet(paths.plots).iloc[:100].to_parquet(few)
    watched(*_estimate(few, paths.landcover, made / "first"))  # compiles, as the peers came compiled
    os.sync()
    whole, peak_mb, _ = watched(*_estimate(paths.plots, paths.landcover, made / "estimate"))
    return [
        *rows,
        plain("rasterstats (scaled), s", scaled),
        at_least("times as fast as exactextract", fastest / ours, 20),
        at_least("times as fast as rasterstats", scaled / ours, 200),
        at_most("time against decoding alone", ours / decoding, 2),
        at_most("largest difference from exactextract (share of plot)", difference, 1e-5),
        plain("whole estimate, s", whole),
        at_most("whole estimate against exactextract", whole / fastest, 0.5),
        at_most("whole estimate, peak MB", peak_mb, 1_500),
    ]


def _estimate(plots: Path, raster: Path, out: Path) -> list[str]:
    """The command that estimates, whole: from files to tables, maps and report."""
    return [
        sys.executable, "-m", "geomap.cli", "estimate", str(plots), "--raster", str(raster), "--product", PRODUCT,
        "--crop", "coffee", "--country", "CO", "--season", "2026/27", "--out", str(out),
    ]  # fmt: skip


def growing_country(made: Path, *, size: int, counts: list[int], repeat: int) -> list[Row]:
    """A country of 10 m cells that grows with its plots: seconds, plots per second and memory of a process each."""
    raster, paths = made / "landcover.tif", ground.country(made, size, counts)
    os.sync()
    rows, per_plot = [], {}
    for count, path in paths.items():
        _, peak_mb, told = watched(*ALONE, "classes", str(path), str(raster), PRODUCT, str(repeat))
        per_plot[count] = float(told) / count
        rows += [
            plain(f"{count:,} plots, s", float(told)),
            plain(f"{count:,} plots, plots per second", 1 / per_plot[count]),
            at_most(f"{count:,} plots, peak MB", peak_mb, 2_000),
        ]
    *_, large, largest = counts
    change = abs(per_plot[largest] / per_plot[large] - 1)
    rows.append(at_most(f"{large:,} and {largest:,} plots, seconds per plot differ by the share", change, 0.15))
    for count in counts[1:3]:
        rows += _against_exactextract(gpd.read_parquet(paths[count]), raster, made, per_plot[count])
    return [*rows, _at_scale(f"{largest:,}", rows, f"{large:,}", per_plot[largest] * largest, largest / large)]


def _against_exactextract(plots: gpd.GeoDataFrame, raster: Path, folder: Path, per_plot: float) -> list[Row]:
    many, ours = f"{len(plots):,} plots", per_plot * len(plots)
    one, _ = peers.both_strategies(ground.flat(plots), raster, CLASSES)
    two = {strategy: peers.two_processes(plots, raster, folder, strategy) for strategy in peers.STRATEGIES}
    return [
        *(plain(f"{many}, exactextract {strategy}, s", value) for strategy, value in one.items()),
        *(plain(f"{many}, exactextract {strategy} in two processes, s", value) for strategy, value in two.items()),
        at_least(f"{many}, times as fast as exactextract", min(one.values()) / ours, 20),
        at_least(f"{many}, times as fast as exactextract in two processes", min(two.values()) / ours, 10),
    ]


def _at_scale(many: str, rows: list[Row], fewer: str, ours: float, times: float) -> Row:
    """exactextract's time for the largest country is not measured: it is the next smaller one's, scaled."""
    start = f"{fewer} plots, exactextract "
    theirs = min(row.value for row in rows if row.name.startswith(start) and "two processes" not in row.name)
    return at_least(f"{many} plots, times as fast as exactextract (scaled from {fewer})", theirs * times / ours, 20)


def other_shapes(made: Path, *, size: int, plots: int, huge: int, repeat: int) -> list[Row]:
    """Tiny and huge plots on small rasters of 10 and 30 m, classes and a layer: never slower than exactextract."""
    shapes = {
        "smallholders": ground.measured(ground.bench_plots(np.random.default_rng(8), size, plots)),
        "tiny plots": ground.tiny_plots(size, plots),
        "huge plots": ground.huge_plots(size, huge),
    }
    rows = []
    for step, metres in ((1, "10 m"), (3, "30 m")):
        raster = ground.small_raster(made / "landcover.tif", made / f"small-{step}.tif", size=size, step=step)
        hills = ground.layer(made / f"layer-{step}.tif", size=size, step=step)
        os.sync()
        for name, table in shapes.items():
            what = f"{len(table):,} {name} on {metres}"
            rows += _classes_of(table, raster, what, repeat) + _layer_of(table, hills, what, repeat)
    return rows


def _classes_of(table: gpd.GeoDataFrame, raster: Path, what: str, repeat: int) -> list[Row]:
    ours, found = timed(lambda: class_areas(table, [raster], LEGEND), repeat)
    theirs, shares = peers.both_strategies(ground.flat(table), raster, CLASSES)
    difference = peers.difference_of_classes(found.classes, shares, table["area_ha"])
    return [
        plain(f"{what}: classes, s", ours),
        at_least(f"{what}: classes, times as fast as exactextract", min(theirs.values()) / ours, 1),
        at_most(f"{what}: classes, largest difference (share of plot)", difference, 1e-5),
    ]


def _layer_of(table: gpd.GeoDataFrame, hills: Path, what: str, repeat: int) -> list[Row]:
    """A layer's means alone, and all that it tells of a plot, against the same of exactextract."""
    rows = []
    jobs = {"layer": (layer_means, MEAN), "layer with quantiles": (layer_values, STATISTICS)}
    for name, (work, wanted) in jobs.items():
        ours, found = timed(lambda work=work: work(table, [hills]), repeat)
        theirs, means = peers.both_strategies(ground.flat(table), hills, wanted)
        difference = peers.difference_of_means(found.values["mean"], means)
        rows += [
            plain(f"{what}: {name}, s", ours),
            at_least(f"{what}: {name}, times as fast as exactextract", min(theirs.values()) / ours, 1),
            at_most(f"{what}: {name}, largest difference (share of mean)", difference, 1e-5),
        ]
    return rows


def checks(made: Path, *, size: int, plots: int) -> list[Row]:
    """Checks and overlaps, against reading the same plots from GeoJSON."""
    path = made / "plots.geojson"
    ground.flat(gpd.read_parquet(made / "plots.parquet").set_index("plot_id")).to_file(path, driver="GeoJSON")
    reading, read = timed(lambda: read_plots(path)[0])
    checking, _ = timed(lambda: prepare_plots(read, country="CO"))
    crowded = ground.crowded_plots(size, plots * 3 // 2)
    overlapping, once = timed(lambda: count_once(crowded, crowded["area_ha"]))
    return [
        plain("reading GeoJSON, s", reading),
        plain("checks and overlaps, s", checking),
        at_most("checks against reading GeoJSON", checking / reading, 1),
        plain("overlaps of half as many more plots, s", overlapping),
        plain("overlapping pairs found", len(once.pairs)),
    ]


def calibration(made: Path, *, cooperatives: int) -> list[Row]:
    """Three seasons of deliveries, in a process of its own."""
    world = supply_world(np.random.default_rng(3), cooperatives=cooperatives, origins=50)
    world.members.to_parquet(made / "members.parquet")
    world.target.to_parquet(made / "target.parquet")
    del world
    told = subprocess.run([*ALONE, "calibrate", str(made)], check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, beside_mb, members = map(float, told.split())
    return [
        plain("calibrating, 3 seasons, s", seconds),
        plain("members calibrated", members),
        plain("calibrating, MB beside the data", beside_mb),
    ]


def bench(folder: Path, *, size: int, plots: int, repeat: int, huge: int = HUGE_PLOTS) -> dict[str, list[Row]]:
    """All figures, by chapter; the data are made first and stay in a folder of their own."""
    made = folder / f"world-{size}-{plots}"
    counts = [plots // 100, plots // 10, plots, plots * 10]
    return {
        "The main job": main_job(made, size=size, plots=plots, repeat=repeat),
        "A country that grows": growing_country(made, size=size, counts=counts, repeat=repeat),
        "Other plots and rasters": other_shapes(
            made, size=min(size, SMALL), plots=plots // 10, huge=huge, repeat=min(repeat, 3)
        ),
        "Checks": checks(made, size=size, plots=plots),
        "Calibration": calibration(made, cooperatives=max(20, plots // 70)),
    }


def as_markdown(chapters: dict[str, list[Row]]) -> str:
    """One table per chapter."""
    lines = []
    for chapter, rows in chapters.items():
        lines += [f"## {chapter}", "", "| figure | value | target | met |", "|---|---:|---:|---|"]
        for row in rows:
            value = f"{row.value:,.0f}" if row.value >= 1_000 else f"{row.value:g}"
            met = "" if row.met is None else "yes" if row.met else "**no**"
            lines.append(f"| {row.name} | {value} | {row.target} | {met} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=36_000, help="cells on each side of the raster")
    parser.add_argument("--plots", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="a small world that takes seconds; its times say little")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    chosen = parser.parse_args()
    if chosen.short:
        chapters = bench(chosen.out, size=2_048, plots=400, repeat=1, huge=4)
    else:
        chapters = bench(chosen.out, size=chosen.size, plots=chosen.plots, repeat=chosen.repeat)
    rows = [{"chapter": chapter, **asdict(row)} for chapter, found in chapters.items() for row in found]
    promised = [row for row in rows if row["met"] is not None]
    figures = {
        "workers": default_workers(),
        "targets": len(promised),
        "targets met": sum(row["met"] for row in promised),
        "figures": rows,
    }
    (chosen.out / "figures.json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    table = as_markdown(chapters)
    (chosen.out / "figures.md").write_text(table)
    sys.stdout.write(f"{table}\n{figures['targets met']} of {len(promised)} targets met. ")
    sys.stdout.write(f"The figures stand in {chosen.out / 'figures.json'} and figures.md.\n")


if __name__ == "__main__":
    main()
