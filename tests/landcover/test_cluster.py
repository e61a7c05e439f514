"""The same bytes from threads and from a Dask cluster, whatever happens to its workers."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from geomap import engine
from geomap.engine import ClusterError
from geomap.landcover.extract import class_areas
from geomap.landcover.partitions import Cluster

PLOTS = 240
SIZE = 10
WAIT_S = 60


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    """Random cells of five classes under random plots, in blocks of 64."""
    import rasterio
    from rasterio.transform import from_origin

    codes = np.random.default_rng(3).choice([10, 20, 40, 50, 80], (1200, 1200)).astype("uint8")
    path = tmp_path_factory.mktemp("land") / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=1200, width=1200, count=1, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(-88.7, 14.7, 1 / 12000, 1 / 12000), tiled=True, blockxsize=64, blockysize=64,
    ) as target:  # fmt: skip
        target.write(codes, 1)
    return path


@pytest.fixture
def plots(village):
    return village(PLOTS)


class Workers:
    """A scheduler and two workers, each a process of its own as an operator starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.start("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        self.workers = [self.add() for _ in range(2)]

    def start(self, *command: str) -> subprocess.Popen:
        with (self.folder / "dask.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def add(self) -> subprocess.Popen:
        return self.start(
            "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "1GB",
            "--local-directory", str(self.folder),
        )  # fmt: skip

    def ready(self, count: int) -> None:
        from distributed import Client

        until = time.monotonic() + WAIT_S
        while True:
            try:
                with Client(self.address, timeout="5s", set_as_default=False) as client:
                    client.wait_for_workers(count, timeout=WAIT_S)
                return
            except OSError:
                assert time.monotonic() < until, (self.folder / "dask.log").read_text()
                time.sleep(0.2)

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


@pytest.fixture
def workers(tmp_path):
    made = Workers(tmp_path)
    try:
        made.ready(2)
        yield made
    finally:
        made.stop()


def same(one, other):
    return one.classes.equals(other.classes) and one.cover.equals(other.cover) and one.findings.equals(other.findings)


def test_workers_that_were_started_elsewhere_give_the_bytes_of_threads_and_one_may_be_killed(
    land, plots, worldcover, workers, tmp_path
):
    here = class_areas(plots, [land], worldcover)
    folder = tmp_path / "partitions"
    killed = []

    def kill_one(_stage, done, total):
        if done >= 2 and not killed and done < total:
            workers.workers[0].kill()
            killed.append(done)

    there = class_areas(
        plots, [land], worldcover, cluster=Cluster(workers.address, folder, size=SIZE), progress=kill_one
    )
    assert killed
    assert workers.workers[0].wait(10) == -signal.SIGKILL
    assert same(here, there)
    assert list(folder.iterdir()) == []  # nothing is left behind


def test_a_local_cluster_gives_the_bytes_of_threads_in_any_order_and_size(land, plots, worldcover, tmp_path):
    from distributed import LocalCluster

    here = class_areas(plots, [land], worldcover)
    shuffled = plots.sample(frac=1.0, random_state=5)
    with LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        for size, table in ((7, plots), (100, shuffled), (10_000, plots)):
            found = class_areas(
                table, [land], worldcover, cluster=Cluster(cluster.scheduler_address, tmp_path / "parts", size=size)
            )
            wanted = here if table is plots else class_areas(table, [land], worldcover)
            assert same(wanted, found)


def test_what_was_measured_before_a_stop_is_not_measured_again(land, plots, worldcover, tmp_path, monkeypatch):
    from geomap.landcover import partitions

    done = []

    def first_five(function, tasks, **_):
        for task in tasks[:5]:
            done.append(function(task))
        raise ClusterError("All workers of the cluster are gone.")

    def the_rest(function, tasks, **_):
        done.extend(function(task) for task in tasks)
        return done

    cluster = Cluster("tcp://nowhere:1", tmp_path / "parts", size=SIZE)
    monkeypatch.setattr(partitions, "cluster_map", first_five)
    with pytest.raises(ClusterError):
        class_areas(plots, [land], worldcover, cluster=cluster)
    monkeypatch.setattr(partitions, "cluster_map", the_rest)
    found = class_areas(plots, [land], worldcover, cluster=cluster)
    assert len(done) == len(set(done)) == PLOTS // SIZE
    assert same(class_areas(plots, [land], worldcover), found)


def test_a_result_of_another_raster_is_never_taken(land, plots, worldcover, tmp_path, monkeypatch):
    from geomap.landcover import partitions

    measured = []

    def stop_after_all(function, tasks, **_):
        measured.append([function(task) for task in tasks])
        raise ClusterError("All workers of the cluster are gone.")

    cluster = Cluster("tcp://nowhere:1", tmp_path / "parts", size=100)
    monkeypatch.setattr(partitions, "cluster_map", stop_after_all)
    for shift in (0, 1):
        os.utime(land, ns=(0, 10**18 + shift))
        with pytest.raises(ClusterError):
            class_areas(plots, [land], worldcover, cluster=cluster)
    assert len(measured[0]) == len(measured[1]) == 3
    assert not set(measured[0]) & set(measured[1])


def test_an_address_where_nobody_answers_is_said(land, plots, worldcover, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CONNECT_S", 1)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{one.getsockname()[1]}"
        with pytest.raises(ClusterError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1"):
            class_areas(plots, [land], worldcover, cluster=Cluster(address, tmp_path))


def test_workers_of_other_versions_are_refused(land, plots, worldcover, tmp_path, monkeypatch):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        monkeypatch.setattr(engine, "versions_that_count", lambda: {"numpy": "0.1"})
        with pytest.raises(ClusterError, match=r"has numpy .* \(here 0\.1\)"):
            engine.cluster_map(len, ["a"], address=cluster.scheduler_address)
