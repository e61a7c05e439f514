"""How large a cooperative the pages and maps bear, in a real Chromium.

    python tests/pages/figures.py --out out/pages [--short] [--served 100000] [--tiles 1000000] [--file 3000]

Three things are measured. A map of 100,000 plots as the service shows it: first paint, all drawn, from a tap to its
answer, from a pull to the new ground drawn, memory of the scripts. Tiles of a million plots: p50 and p95 of an answer.
A map of 3,000 plots as a file: its size, first paint, memory. Plots are made in code; times are of this machine, at
this moment.
Prints a table, writes figures.json and figures.md.
"""

import argparse
import importlib.util
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geomap.store import Scope, Store, open_store
from geomap.store import schema as tables
from geomap.store.accounts import add_account
from geomap.store.scope import ALL, WORKER
from geomap.store.setup import init
from geomap.store.tokens import add_token

TESTS = Path(__file__).resolve().parents[1]
COOPERATIVE, RUN, NAME = "figures", "figures-run", "Figures"
WEST, SOUTH = -88.5, 14.2
STEP = 0.0015
"""Degrees between plots, which lie on a square."""
REPEATS = 5
BATCH = 20_000
PLOT_AT = 0.35
"""Share of a phone's map that lies above the plot on which it opens; below, a card says what stands there."""
MB = 1e6
_FOUND = ".found:not([hidden])"
_DRAWN = "[data-map][data-drawn]"
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def _loaded(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


load = _loaded("load", TESTS / "load" / "load.py")
browsing = _loaded("browsing", TESTS / "api" / "browsing.py")


# ---- a large run ----


def outlines(count: int) -> Any:
    """Plots of eight corners and some 0.8 ha on a square grid."""
    side = math.isqrt(count - 1) + 1
    column, row = np.arange(count) % side, np.arange(count) // side
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    reach = 0.00047 * (1 + 0.2 * np.sin(3 * turn + np.arange(count)[:, None]))
    x = WEST + STEP * column[:, None] + reach * np.cos(turn)
    y = SOUTH + STEP * row[:, None] + reach * np.sin(turn)
    return shapely.polygons(np.stack([x, y], axis=2))


def fill(store: Store, count: int) -> None:
    """A cooperative, and a run of it with so many plots."""
    row = {"cooperative_id": COOPERATIVE, "code": NAME, "name": NAME, "country": "HN", "crop": "coffee"}
    with store.begin(Scope("local", ALL)) as tx:
        tx.insert(tables.cooperatives, row)
    own = {"cooperative_id": COOPERATIVE, "run_id": RUN}
    totals = {"potential_kg": 900.0 * count, "potential_p10_kg": 700.0 * count, "potential_p90_kg": 1200.0 * count}
    stored = {"findings": {"rows": 0, "columns": ["plot_id", "code", "severity"], "sha256": ""}}
    run = {
        **own, "job_id": RUN, "crop": "coffee", "form": "green", "season": "2026/27", "parameters": {}, "inputs": [],
        "versions": {}, "summary": {"totals": totals, "stored": stored}, "inputs_sha256": "", "results_sha256": "",
        "account_id": "",
    }  # fmt: skip
    shapes = outlines(count)
    kg = np.random.default_rng(1).lognormal(6.5, 0.6, count).round(1)
    with store.begin(WORKER) as tx:
        tx.insert(tables.runs, run)
    columns = ("position", "plot_id", "member_id", "cells", "geometry")
    for first in range(0, count, BATCH):
        encoded = shapely.to_wkb(shapes[first : first + BATCH])
        rows = [
            (k, f"P{k:07d}", f"M{k // 3:06d}", _cells(float(kg[k])), shape) for k, shape in enumerate(encoded, first)
        ]
        with store.begin(WORKER) as tx:
            tx.insert_encoded(tables.run_plots, own, columns, rows)


def _cells(kg: float) -> str:
    return (
        f'{{"area_ha":0.8,"community":"","potential_kg":{kg},"potential_p10_kg":{kg / 2},"potential_p90_kg":{kg * 2}}}'
    )


@contextmanager
def served(folder: Path, count: int) -> Iterator[tuple[int, str, Any]]:
    """The service with such a run: its port, an office's token, its process."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'figures.sqlite'}"
    store = open_store(url)
    init(store)
    fill(store, count)
    with store.begin(Scope("local", ALL)) as tx:
        account = add_account(tx, "coop_admin", cooperative=NAME)
        token = add_token(tx, account, days=1)
    store.close()
    with load.service(url, folder) as (port, process):
        yield port, token, process


# ---- what a person waits for ----


def map_figures(folder: Path, count: int, program: str) -> dict[str, Any]:
    """Opening, tapping and pulling the served map of so many plots; milliseconds and megabytes."""
    with served(folder, count) as (port, token, process), browsing.browsing(program) as chromium:
        url = f"http://127.0.0.1:{port}"
        shown = {"Authorization": f"Bearer {token}"}  # in place of a cookie, which a server gives over HTTPS alone
        context = chromium.new_context(viewport=browsing.PHONE, extra_http_headers=shown)
        address = f"{url}/office/{COOPERATIVE}/map?run={RUN}"
        first = _opened(context, address)
        again = [_opened(context, address) for _ in range(REPEATS)]
        page = context.new_page()
        page.goto(f"{address}&plot=P{count // 2:07d}")
        page.locator(_DRAWN).wait_for(state="attached", timeout=120_000)
        page.locator(_FOUND).wait_for(timeout=30_000)  # the map has come to the plot that was asked for
        found = {
            "plots": count,
            "first_paint_ms": _middle(one["paint_ms"] for one in again),
            "drawn_ms": _middle(one["drawn_ms"] for one in again),
            "first_of_all_paint_ms": first["paint_ms"],
            "first_of_all_drawn_ms": first["drawn_ms"],
            "tap_to_answer_ms": _middle(_tap(page) for _ in range(REPEATS)),
            "pull_to_drawn_ms": _middle(_pull(page) for _ in range(REPEATS)),
            "heap_mb": _heap(page),
            "page_kb": first["page_kb"],
            "service_mb": process.memory_info().rss / MB,
        }
        context.close()
    return found


def _opened(context: Any, address: str) -> dict[str, float]:
    page = context.new_page()
    begun = time.perf_counter()
    answer = page.goto(address)
    assert answer.status == 200, answer.text()[:2000]
    page.locator(_DRAWN).wait_for(state="attached", timeout=120_000)
    drawn = 1e3 * (time.perf_counter() - begun)
    times = {"paint_ms": page.evaluate(_PAINT), "drawn_ms": drawn, "page_kb": len(answer.body()) / 1e3}
    page.close()
    return times


def _middle(values: Any) -> float:
    return float(statistics.median(values))


def _tap(page: Any) -> float:
    """From a tap on the plot above the card to its answer; not at once after another, which were a double tap."""
    from playwright.sync_api import TimeoutError as NoAnswer

    for wait_ms in (5_000, 10_000, 30_000):  # a map that still moves on a busy machine takes no tap
        page.wait_for_timeout(800)
        page.evaluate("document.querySelector('.found').hidden = true")
        box = page.locator("[data-map] iframe").bounding_box()
        begun = time.perf_counter()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * PLOT_AT)
        try:
            page.locator(_FOUND).wait_for(timeout=wait_ms)
        except NoAnswer:
            continue
        return 1e3 * (time.perf_counter() - begun)
    raise AssertionError("three taps on a plot had no answer")


def _pull(page: Any) -> float:
    """From pulling the map by half its width to the new ground drawn."""
    page.evaluate("document.querySelector('.found').hidden = true")
    page.evaluate("delete document.querySelector('[data-map]').dataset.drawn")
    box = page.locator("[data-map] iframe").bounding_box()
    x, y = box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.5
    page.mouse.move(x, y)
    begun = time.perf_counter()
    page.mouse.down()
    page.mouse.move(x - box["width"] * 0.5, y, steps=4)
    page.mouse.up()
    page.locator(_DRAWN).wait_for(state="attached", timeout=30_000)
    return 1e3 * (time.perf_counter() - begun)


def _heap(page: Any) -> float:
    """Memory of the scripts of a page and its frames, in MB."""
    return float(sum(frame.evaluate("performance.memory.usedJSHeapSize") for frame in page.frames)) / MB


# ---- tiles ----


def tile_figures(folder: Path, count: int, asks: int) -> dict[str, Any]:
    """Answers on a run of so many plots: the first one, which reads them all, then p50 and p95 of each kind."""
    with served(folder, count) as (port, token, process):
        at = f"/cooperatives/{COOPERATIVE}/runs/{RUN}"
        begun = time.perf_counter()
        status, told = load.ask(port, f"{at}/tiles.json", secret=token)
        first = time.perf_counter() - begun
        assert status == 200, told[:500]
        kinds = {
            "pictures": lambda z, x, y, place: f"/pictures/potential/{z}/{x}/{y}.png",
            "vectors": lambda z, x, y, place: f"/tiles/{z}/{x}/{y}.mvt",
            "at a place": lambda z, x, y, place: f"/at?lon={place[0]:.6f}&lat={place[1]:.6f}",
        }
        times = {
            name: _answers(lambda path: load.ask(port, at + path, secret=token), path, count, asks)
            for name, path in kinds.items()
        }
        memory = process.memory_info().rss / MB
    return {"plots": count, "first_answer_s": first, "service_mb": memory, "kinds": times}


def _answers(ask: Any, path: Any, count: int, asks: int) -> dict[str, float]:
    chance, seconds, sizes = random.Random(1), [], []
    side = math.isqrt(count - 1) + 1
    for _ in range(asks):
        k = chance.randrange(count)
        place = (WEST + STEP * (k % side), SOUTH + STEP * (k // side))
        zoom = chance.randint(8, 17)
        begun = time.perf_counter()
        status, content = ask(path(zoom, *tile_of(*place, zoom), place))
        seconds.append(time.perf_counter() - begun)
        sizes.append(len(content))
        assert status == 200, content[:500]
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1e3
    return {"asks": asks, "p50_ms": float(p50), "p95_ms": float(p95), "largest_kb": max(sizes) / 1e3}


def tile_of(lon: float, lat: float, zoom: int) -> tuple[int, int]:
    """Column and row of the tile at a place, from the north-west.

    Examples
    --------
    >>> tile_of(-88.5, 14.5, 8)
    (65, 117)
    """
    y = math.asinh(math.tan(math.radians(lat)))
    return int((lon + 180) / 360 * 2**zoom), int((1 - y / math.pi) / 2 * 2**zoom)


# ---- a map as a file ----


def file_figures(folder: Path, count: int, program: str) -> dict[str, Any]:
    """The office's map of a run with so many plots, saved and opened from the disk."""
    from geomap.outputs.maps import internal_map

    folder.mkdir()
    made = _loaded("made_output_runs", TESTS / "outputs" / "conftest.py")
    run = made.make_fake_run(folder, n_members=count // 2, plots_per_member=2)
    file = folder / "map.html"
    file.write_text(internal_map(run), encoding="utf-8")
    with browsing.browsing(program) as chromium:
        context = chromium.new_context(viewport=browsing.PHONE, offline=True)
        page = context.new_page()
        page.goto(file.as_uri())
        page.locator(".leaflet-container").wait_for()
        found = {
            "plots": len(run.plots),
            "mb": file.stat().st_size / MB,
            "first_paint_ms": page.evaluate(_PAINT),
            "ready_ms": page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"),
            "heap_mb": _heap(page),
        }
        context.close()
    return found


# ---- all of it ----


def figures(folder: Path, program: str, *, plots_served: int, tiles: int, in_file: int, asks: int) -> dict[str, Any]:
    """Everything measured."""
    return {
        "served": map_figures(folder / "served", plots_served, program),
        "tiles": tile_figures(folder / "tiles", tiles, asks),
        "file": file_figures(folder / "file", in_file, program),
    }


def as_markdown(found: dict[str, Any]) -> str:
    """The figures as tables."""
    one, tiles, file = found["served"], found["tiles"], found["file"]
    lines = [
        "# Figures of the pages", "",
        f"## The served map, {one['plots']:,} plots, on a phone's screen", "", "| what | |", "|---|---|",
        f"| first paint | {one['first_paint_ms']:,.0f} ms |",
        f"| all drawn | {one['drawn_ms']:,.0f} ms |",
        f"| all drawn, first of all after a start | {one['first_of_all_drawn_ms']:,.0f} ms |",
        f"| from a tap to its answer | {one['tap_to_answer_ms']:,.0f} ms |",
        f"| from a pull to the new ground | {one['pull_to_drawn_ms']:,.0f} ms |",
        f"| memory of the scripts | {one['heap_mb']:,.1f} MB |",
        f"| the page itself | {one['page_kb']:,.0f} kB |",
        f"| memory of the service | {one['service_mb']:,.0f} MB |", "",
        f"## Tiles, {tiles['plots']:,} plots", "",
        f"The first answer, which reads all plots, took {tiles['first_answer_s']:,.1f} s; "
        f"the service then had {tiles['service_mb']:,.0f} MB.", "",
        "| what | asks | p50 | p95 | largest |", "|---|---|---|---|---|",
        *(
            f"| {name} | {each['asks']:,} | {each['p50_ms']:,.1f} ms | {each['p95_ms']:,.1f} ms | "
            f"{each['largest_kb']:,.0f} kB |"
            for name, each in tiles["kinds"].items()
        ), "",
        f"## A map as a file, {file['plots']:,} plots", "", "| what | |", "|---|---|",
        f"| size | {file['mb']:,.2f} MB |",
        f"| first paint | {file['first_paint_ms']:,.0f} ms |",
        f"| ready | {file['ready_ms']:,.0f} ms |",
        f"| memory of the scripts | {file['heap_mb']:,.1f} MB |", "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/pages"))
    parser.add_argument("--short", action="store_true", help="few plots: whether it works, not how fast")
    parser.add_argument("--served", type=int, default=100_000, help="plots of the served map")
    parser.add_argument("--tiles", type=int, default=1_000_000, help="plots behind the tiles")
    parser.add_argument("--file", type=int, default=3_000, help="plots of the map as a file")
    told = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("Chromium is not installed.")
    sizes = {"plots_served": told.served, "tiles": told.tiles, "in_file": told.file, "asks": 300}
    if told.short:
        sizes = {"plots_served": 2_000, "tiles": 3_000, "in_file": 300, "asks": 20}
    with tempfile.TemporaryDirectory(prefix="geomap-pages-") as folder:
        found = figures(Path(folder), program, **sizes)
    told.out.mkdir(parents=True, exist_ok=True)
    (told.out / "figures.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    (told.out / "figures.md").write_text(as_markdown(found), encoding="utf-8")
    sys.stdout.write(as_markdown(found))


if __name__ == "__main__":
    main()
