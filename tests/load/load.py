"""How the service bears up: many users at once, then with a job and a hostile upload beside them.

    python tests/load/load.py --out out/load [--users 50] [--seconds 600] [--cooperatives 1000] [--plots 100]

A store in SQLite is filled, the service is started as an office would, and users ask with a pause of a second between
requests. Each route's times stand beside those of a route that does nothing, asked by the same users in the same
minutes: machines differ, ratios do less. Prints tables, writes figures.json.
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.store import Scope, Store, open_store
from geomap.store import schema as tables
from geomap.store.plots import write_plots
from geomap.store.scope import ALL, WORKER
from geomap.store.setup import init

PAUSE_S = 1.0
EMPTY = "/health/live"
WEST, NORTH, CELL = -88.5, 15.5, 0.0001
MONTHS = [f"{2026 + (9 + k) // 12}-{(9 + k) % 12 + 1:02d}" for k in range(12)]


@dataclass
class Times:
    """Seconds of each request by route, and how each was answered."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, route: str, seconds: float, status: int) -> None:
        with self.lock:
            self.seconds[route].append(seconds)
            self.statuses[status] += 1

    def p95(self, *routes: str) -> float:
        """Of all requests to these routes; to all but the empty one without any."""
        wanted = routes or tuple(route for route in self.seconds if route != EMPTY)
        return float(np.quantile([one for route in wanted for one in self.seconds[route]], 0.95))

    def failures(self) -> int:
        return sum(count for status, count in self.statuses.items() if status >= 500 or status == 0)


# ---- what the service knows ----


def fill(store: Store, cooperatives: int, plots: int) -> list[str]:
    """Cooperatives with members, plots, a run of each; their ids."""
    keeper, worker = Scope("local", ALL), WORKER
    ids = [f"load{k:05d}" for k in range(cooperatives)]
    with store.begin(keeper) as tx:
        tx.insert(
            tables.cooperatives,
            [
                {"cooperative_id": i, "code": i, "name": f"Cooperative {i}", "country": "HN", "crop": "coffee"}
                for i in ids
            ],
        )
    for k, name in enumerate(ids):
        rows = [_plot(k, j) for j in range(plots)]
        with store.begin(keeper) as tx:
            tx.insert(tables.members, [{"cooperative_id": name, "member_id": row["member_id"]} for row in rows])
            tx.insert(
                tables.member_people,
                [{"cooperative_id": name, "member_id": row["member_id"], "name": "A B", "phone": ""} for row in rows],
            )
            write_plots(tx, name, rows, import_id=None, replace=False)
        with store.begin(worker) as tx:
            _run(tx, name, rows)
    return ids


def _plot(k: int, j: int) -> dict[str, Any]:
    west = WEST + (k % 40) * 0.02 + (j % 10) * 0.0015
    south = NORTH - 0.3 + (k // 40) * 0.01 + (j // 10) * 0.0009
    shape = shapely.box(west, south, west + 0.0012, south + 0.0008)
    return {
        "plot_id": f"P{j:04d}",
        "member_id": f"M{j:04d}",
        "community": f"Village {j % 5}",
        "crop": "coffee",
        "declared_area_ha": 1.15,
        "gps_accuracy_m": None,
        "attributes": {"variety": "Lempira"},
        "geometry": shapely.to_wkb(shape),
    }


def _run(tx: Any, cooperative: str, rows: list[dict[str, Any]]) -> None:
    run = uuid.uuid5(uuid.NAMESPACE_OID, cooperative).hex
    totals = {"potential_kg": 1000.0, "potential_p10_kg": 600.0, "potential_p50_kg": 950.0, "potential_p90_kg": 1500.0}
    own = {"cooperative_id": cooperative, "run_id": run}
    named = {
        "cooperatives": [{"id": cooperative, **totals}],
        "members": [{"id": row["member_id"], **totals} for row in rows],
        "months": [
            {"cooperative_id": cooperative, "month": month, "quantity": "potential", **totals} for month in MONTHS
        ],
    }
    stored = {name: {"rows": len(cells), "columns": list(cells[0]), "sha256": ""} for name, cells in named.items()}
    tx.insert(
        tables.runs,
        {**own, "job_id": run, "crop": "coffee", "form": "green", "season": "2026/27", "parameters": {}, "inputs": [],
         "versions": {}, "summary": {"totals": totals, "stored": stored}, "inputs_sha256": "", "results_sha256": "",
         "account_id": ""},
    )  # fmt: skip
    for name, cells in named.items():
        tx.insert(
            tables.run_rows,
            [
                {**own, "name": name, "position": k, "id": str(one.get("id", "")), "cells": one}
                for k, one in enumerate(cells)
            ],
        )
    tx.insert(
        tables.run_plots,
        [
            {**own, "position": k, "plot_id": row["plot_id"], "member_id": row["member_id"],
             "cells": {"area_ha": 1.15, **totals}, "geometry": row["geometry"]}
            for k, row in enumerate(rows)
        ],
    )  # fmt: skip


def make_raster(path: Path) -> None:
    """Tree cover and cropland in squares."""
    height, width = 3000, 9000
    rows, columns = np.indices((height, width)) // 50
    codes = np.where((rows + columns) % 2, 10, 40).astype("uint8")
    place = from_origin(WEST, NORTH, CELL, CELL)
    size = {"height": height, "width": width, "count": 1, "dtype": "uint8", "tiled": True, "compress": "deflate"}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:4326", transform=place, nodata=0, **size) as target:
        target.write(codes, 1)


# ---- the service and its users ----


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def service(store_url: str, folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The service with its embedded worker, as `geomap serve` starts it; its port and process."""
    port = free_port()
    command = [sys.executable, "-m", "geomap.cli", "serve", "--store", store_url, "--port", str(port)]
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "GEOMAP_API_WORK_DIR": str(folder)}
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if ask(port, EMPTY)[0] == 200:
                    break
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "service.log").read_text()[-4000:])
            time.sleep(0.2)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def ask(
    port: int, path: str, *, secret: str = "", method: str = "GET", body: bytes | None = None, kind: str = ""
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        connection.request(method, path, body=body, headers=headers | ({"Content-Type": kind} if kind else {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def routes_of(cooperative: str, run: str, chance: random.Random) -> list[tuple[str, str]]:
    """Template and address of what a user looks at."""
    here, inside = f"/cooperatives/{cooperative}", "/cooperatives/{id}"
    of_run, run_inside = f"{here}/runs/{run}", f"{inside}/runs/{{run}}"
    box = f"{WEST},{NORTH - 0.3},{WEST + 0.4},{NORTH - 0.1}"
    choices = [
        (EMPTY, EMPTY),
        ("/cooperatives", "/cooperatives"),
        (inside, here),
        (f"{inside}/members", f"{here}/members?limit=50"),
        (f"{inside}/plots", f"{here}/plots?limit=50"),
        (f"{inside}/plots?box", f"{here}/plots?limit=50&box={box}"),
        (f"{inside}/runs", f"{here}/runs"),
        (f"{run_inside}/tables/cooperatives", f"{of_run}/tables/cooperatives"),
        (f"{run_inside}/tables/members", f"{of_run}/tables/members?limit=50"),
        (f"{run_inside}/tables/months", f"{of_run}/tables/months"),
    ]
    chance.shuffle(choices)
    return choices


def user(port: int, person: tuple[str, str], until: float, times: Times, seed: int) -> None:
    """One person, on a connection that stays open."""
    secret, cooperative = person
    chance = random.Random(seed)
    run = uuid.uuid5(uuid.NAMESPACE_OID, cooperative).hex
    time.sleep(chance.random() * PAUSE_S)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while time.monotonic() < until:
        for route, path in routes_of(cooperative, run, chance):
            begun = time.perf_counter()
            try:
                connection.request("GET", path, headers={"Authorization": f"Bearer {secret}"})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                status = 0
                connection.close()
            times.add(route, time.perf_counter() - begun, status)
            if time.monotonic() > until:
                break
            time.sleep(PAUSE_S)
    connection.close()


def phase(
    port: int, process: psutil.Process, people: list[tuple[str, str]], seconds: float
) -> tuple[Times, list[float]]:
    """All users for so many seconds: their times, and the memory of the service in MB every second."""
    times, memory = Times(), []
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=user, args=(port, person, until, times, k), daemon=True)
        for k, person in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    while time.monotonic() < until:
        memory.append(process.memory_info().rss / 1e6)
        time.sleep(1.0)
    for thread in threads:
        thread.join(70)
    return times, memory


def slope_mb_per_minute(memory: list[float]) -> float:
    """Growth of the memory over the second half, once caches are warm."""
    late = memory[len(memory) // 2 :]
    return float(np.polyfit(np.arange(len(late)) / 60.0, late, 1)[0]) if len(late) > 2 else 0.0


def tokens_for(store: Store, cooperatives: list[str]) -> list[tuple[str, str]]:
    """A token of each cooperative's office."""
    from geomap.store.accounts import add_account
    from geomap.store.tokens import add_token

    people = []
    for name in cooperatives:
        with store.begin(Scope("local", ALL)) as tx:
            account = add_account(tx, "coop_admin", cooperative=name, label="load")
            people.append((add_token(tx, account, days=1), name))
    return people


def trouble(port: int, person: tuple[str, str], raster: str, until: float, done: dict[str, int]) -> None:
    """A job after the other, and uploads that are none."""
    secret, cooperative = person
    bomb = b'{"type":"FeatureCollection","features":' + b"[" * 400_000
    while time.monotonic() < until:
        body = json.dumps({"crop": "coffee", "raster_ids": [raster], "season": "2026/27"}).encode()
        status, _ = ask(
            port, f"/cooperatives/{cooperative}/runs", secret=secret, method="POST", body=body, kind="application/json"
        )
        done[f"run {status}"] += 1
        for payload, name in ((bomb, "bomb.geojson"), (os.urandom(200_000), "noise.gpkg")):
            mark = uuid.uuid4().hex
            parts = (
                f'--{mark}\r\nContent-Disposition: form-data; name="kind"\r\n\r\nplots\r\n'
                f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            )
            body = parts.encode() + payload + f"\r\n--{mark}--\r\n".encode()
            status, _ = ask(
                port,
                f"/cooperatives/{cooperative}/imports",
                secret=secret,
                method="POST",
                body=body,
                kind=f"multipart/form-data; boundary={mark}",
            )
            done[f"upload {status}"] += 1


def rows_of(times: Times) -> list[tuple[str, int, float, float, float]]:
    """Route, requests, median and p95 in ms, p95 as a multiple of the empty route's."""
    base = times.p95(EMPTY)
    return [
        (route, len(all_), statistics.median(all_) * 1e3, times.p95(route) * 1e3, times.p95(route) / base)
        for route, all_ in sorted(times.seconds.items())
    ]


def run_load(folder: Path, *, users: int, seconds: float, cooperatives: int, plots: int) -> dict[str, Any]:
    """Everything measured, as figures."""
    from geomap.store.rasters import add_raster

    url = f"sqlite:///{folder / 'load.sqlite'}"
    store = open_store(url)
    init(store)
    ids = fill(store, cooperatives, plots)
    make_raster(folder / "landcover.tif")
    raster = add_raster(store, Scope("local", ALL), folder / "landcover.tif", "esa-worldcover-2021")["raster_id"]
    chance = random.Random(1)
    people = tokens_for(store, [chance.choice(ids) for _ in range(users)])
    worst = tokens_for(store, [ids[0]])[0]
    with service(url, folder) as (port, process):
        phase(port, process, people, min(10.0, seconds))  # warm
        idle, memory = phase(port, process, people, seconds)
        done: dict[str, int] = defaultdict(int)
        until = time.monotonic() + max(seconds / 5, 5.0)
        other = threading.Thread(target=trouble, args=(port, worst, raster, until, done), daemon=True)
        other.start()
        busy, _ = phase(port, process, people, max(seconds / 5, 5.0))
        other.join(120)
    store.close()
    return {
        "users": users,
        "cooperatives": cooperatives,
        "plots": cooperatives * plots,
        "seconds": seconds,
        "routes": rows_of(idle),
        "requests": sum(map(len, idle.seconds.values())),
        "failures": idle.failures() + busy.failures(),
        "statuses": {"idle": dict(idle.statuses), "busy": dict(busy.statuses)},
        "p95_over_empty": idle.p95() / idle.p95(EMPTY),
        "worst_route_over_empty": max(row[4] for row in rows_of(idle)),
        "p95_busy_over_idle": busy.p95() / idle.p95(),
        "memory_mb": [round(memory[0], 1), round(memory[-1], 1)] if memory else [],
        "memory_slope_mb_per_minute": slope_mb_per_minute(memory),
        "beside": dict(done),
    }


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/load"))
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--cooperatives", type=int, default=1000)
    parser.add_argument("--plots", type=int, default=100, help="of each cooperative")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="geomap-load-") as folder:
        found = run_load(
            Path(folder), users=told.users, seconds=told.seconds, cooperatives=told.cooperatives, plots=told.plots
        )
    _say(f"{'route':55} {'requests':>8} {'median ms':>10} {'p95 ms':>8} {'× empty':>8}")
    for route, count, median, p95, ratio in found["routes"]:
        _say(f"{route:55} {count:8,} {median:10.1f} {p95:8.1f} {ratio:8.1f}")
    _say(f"\nAnswers of status 500 and above: {found['failures']}")
    _say(f"p95 over that of the empty route: {found['p95_over_empty']:.1f}")
    _say(f"p95 with a job and hostile uploads over p95 without: {found['p95_busy_over_idle']:.2f}  {found['beside']}")
    _say(f"Memory {found['memory_mb']} MB, {found['memory_slope_mb_per_minute']:+.2f} MB a minute at the end")
    told.out.mkdir(parents=True, exist_ok=True)
    (told.out / "figures.json").write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
