"""A worker does real jobs: what is stored, what fails and with which words, and that it outlives every job."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from job_world import LOCAL, PARAMETERS, add_raster, make_raster, make_world, queue, square

from api import worker
from api.job_child import NICE
from api.job_process import COMMAND, environment
from api.worker import Worker
from geomap.outputs.explain import explained
from geomap.sandbox import Limits
from geomap.store.cooperatives import add_cooperative
from geomap.store.imports import take_in_import
from geomap.store.jobs import add_job, ask_cancel, claim, job
from geomap.store.runs import run, run_file, run_names, run_plots, run_rows, runs

HERE = Path(__file__).parent
SMALL = Limits(memory_bytes=6 * 2**30, cpu_s=60, wall_s=60.0, file_bytes=2**30)


@pytest.fixture
def owner(store, tmp_path):
    return make_world(store, tmp_path)


@pytest.fixture
def here(sqlite_store, tmp_path):
    """A cooperative in SQLite, for what the database has no part in."""
    return make_world(sqlite_store, tmp_path)


def look(store, job_id):
    with store.read(LOCAL) as tx:
        return job(tx, None, job_id)


def bad(*how, **more):
    """Options of a worker whose jobs run a process that does harm."""
    return {"command": [sys.executable, str(HERE / "bad_child.py"), *map(str, how)], "limits": SMALL, **more}


def do(store, work, **options):
    """Do the jobs until none waits."""
    worker = Worker(store, work, **options)
    while worker.step():
        pass


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


# ---- results ----


def test_a_job_becomes_a_run_with_all_that_an_estimate_leaves(store, owner, tmp_path):
    job_id = queue(store, owner, by=["community"], title="First")
    do(store, tmp_path / "work")
    ended = look(store, job_id)
    assert (ended["state"], ended["error"], ended["attempt"]) == ("done", None, 1)
    with store.read(LOCAL) as tx:
        made = run(tx, owner, ended["run_id"])
        names = run_names(tx, owner, made["run_id"])
        (total,) = run_rows(tx, owner, made["run_id"], "cooperatives")
        plots = run_plots(tx, owner, made["run_id"])
        people = run_rows(tx, owner, made["run_id"], "members")
        everything = [row for name in names["tables"] for row in run_rows(tx, owner, made["run_id"], name)]
        for name in ("summary.json", "plots.parquet", "classes.csv", "findings.csv"):
            (tmp_path / name).write_bytes(run_file(tx, owner, made["run_id"], name)["content"])
        office_map = run_file(tx, owner, made["run_id"], "map_internal.html")["content"]
    assert set(names["tables"]) == {
        "members", "cooperatives", "by_community", "months", "variance", "environment", "findings",
        "profile", "profile_pairs",
    }  # fmt: skip
    assert {"report.html", "map_internal.html", "map_share.html"} < set(names["files"])
    assert {"harvest_estimate_1_coop_1.html", "harvest_estimate_1_coop_1.pdf"} < set(names["files"])
    assert total["id"] == "COOP-1"  # as files name it, not as the store does
    assert sum(plot["cells"]["potential_kg"] for plot in plots) == pytest.approx(total["cells"]["potential_kg"])
    assert sum(row["cells"]["potential_kg"] for row in people) == pytest.approx(total["cells"]["potential_kg"])
    assert [bytes(plot["geometry"]) for plot in plots] == [square(number) for number in range(10)]
    assert {given["role"] for given in made["inputs"]} == {"plots", "raster", "members"}
    assert explained(tmp_path, "P3")["potential"]["mean"] == pytest.approx(plots[3]["cells"]["potential_kg"])
    assert b"Canaria" in office_map
    assert "Canaria" not in json.dumps([everything, made, [plot["cells"] for plot in plots]])
    assert list((tmp_path / "work").iterdir()) == []


def test_equal_inputs_give_equal_bytes_whatever_the_worker(store, owner, tmp_path):
    for number in range(2):
        queue(store, owner, title=str(number))
        do(store, tmp_path / f"work{number}")
    with store.read(LOCAL) as tx:
        made = [run(tx, owner, row["run_id"]) for row in runs(tx, owner)]
        files = [run_names(tx, owner, row["run_id"])["files"] for row in made]
    assert [row["title"] for row in made] == ["1", "0"]
    assert made[0]["results_sha256"] == made[1]["results_sha256"]
    assert made[0]["inputs_sha256"] == made[1]["inputs_sha256"]
    assert files[0] == files[1]


def test_a_run_with_deliveries_keeps_what_can_be_expected(sqlite_store, here, tmp_path):
    lines = ["member_id,date,kg green"]
    for year in (2025, 2026):
        lines += [f"M{member},{year}-01-15,{200 + 50 * member}" for member in range(4)]
    (tmp_path / "deliveries.csv").write_text("\n".join(lines))
    given = {"cooperative_id": here, "kind": "deliveries", "file_name": "deliveries.csv"}
    take_in_import(sqlite_store, LOCAL, tmp_path / "deliveries.csv", **given)
    job_id = queue(sqlite_store, here, season=None, delivered_share=0.8)
    do(sqlite_store, tmp_path / "work")
    ended = look(sqlite_store, job_id)
    assert ended["error"] is None
    with sqlite_store.read(LOCAL) as tx:
        made = run(tx, here, ended["run_id"])
        tables = run_names(tx, here, ended["run_id"])["tables"]
        (total,) = run_rows(tx, here, ended["run_id"], "cooperatives")
        available = run_rows(tx, here, ended["run_id"], "available", limit=1)
    assert made["season"] == "2026/27"  # the one after the last delivery
    assert total["cells"]["supply_kg"] > 0
    assert available[0]["id"] == "COOP-1"
    assert {"available", "shock_year", "calibration", "backtest", "backtest_scores", "alarms", "member_alarms"} <= set(
        tables
    )


def test_the_process_of_a_job_steps_back_and_takes_its_limits(tmp_path):
    code = (
        "import os, resource; from api.job_child import settle\n"
        "settle({'memory_bytes': 3 * 2**30, 'cpu_s': 50, 'file_bytes': 10**9}, parent=os.getppid())\n"
        "print(os.nice(0), *(resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU,"
        " resource.RLIMIT_FSIZE, resource.RLIMIT_CORE)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(os.nice(0) + NICE), str(3 * 2**30), "50", str(10**9), "0"]


def test_a_process_whose_worker_is_gone_does_nothing(tmp_path):
    limits = {"memory_bytes": 3 * 2**30, "cpu_s": 50, "file_bytes": 10**9}
    (tmp_path / "request.json").write_text(json.dumps({"parent": 1, "limits": limits}))
    assert subprocess.run([*COMMAND, tmp_path], check=False).returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["request.json"]


def test_stored_numbers_are_those_of_the_files(sqlite_store, here, tmp_path):
    queue(sqlite_store, here)
    do(sqlite_store, tmp_path / "work")
    with sqlite_store.read(LOCAL) as tx:
        run_id = runs(tx, here)[0]["run_id"]
        plots = run_plots(tx, here, run_id)
        (tmp_path / "plots.parquet").write_bytes(run_file(tx, here, run_id, "plots.parquet")["content"])
    file = pd.read_parquet(tmp_path / "plots.parquet").set_index("plot_id")
    for plot in plots:
        for name, value in plot["cells"].items():
            if isinstance(value, float):
                assert value == pytest.approx(file.loc[plot["plot_id"], name], rel=1e-9)


# ---- wrong input: an end at once ----


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"crop": "wheat"}, "unknown_name"),
        ({"colour": "red"}, "unknown_name"),
        ({"rasters": ["another"]}, "not_found"),
        ({"rasters": []}, "not_found"),
        ({"by": ["phone"]}, "column"),
        ({"by": ["nothing"]}, "column"),
        ({"delivered_share": 7}, "number"),
        ({"language": "xx"}, "unknown_name"),
    ],
)
def test_a_wrong_parameter_ends_the_job_at_once_with_its_code(sqlite_store, here, tmp_path, told, code):
    job_id = queue(sqlite_store, here, **told)
    do(sqlite_store, tmp_path / "work")
    ended = look(sqlite_store, job_id)
    assert (ended["state"], ended["attempt"], ended["error"]["code"]) == ("failed", 1, code)


def test_a_cooperative_without_plots_is_told_so(sqlite_store, here, tmp_path):
    with sqlite_store.begin(LOCAL) as tx:
        empty = add_cooperative(tx, code="COOP-2", name="Two")
    job_id = queue(sqlite_store, empty)
    do(sqlite_store, tmp_path / "work")
    assert look(sqlite_store, job_id)["error"] == {
        "code": "file", "detail": "The cooperative has no plots yet. Import plots first.",
    }  # fmt: skip


@pytest.mark.parametrize("how", ["replace", "delete", "touch_after"])
def test_a_raster_that_changes_during_the_job_ends_it(sqlite_store, here, tmp_path, how):
    other = make_raster(tmp_path / "other.tif", water_from=10)
    job_id = queue(sqlite_store, here)
    more = [other] if how == "replace" else []
    do(sqlite_store, tmp_path / "work", **bad(how, tmp_path / "map.tif", *more))
    ended = look(sqlite_store, job_id)
    assert (ended["state"], ended["attempt"], ended["error"]["code"]) == ("failed", 1, "input_changed")


def test_a_raster_that_is_gone_ends_the_job(sqlite_store, here, tmp_path):
    (tmp_path / "map.tif").unlink()
    job_id = queue(sqlite_store, here)
    do(sqlite_store, tmp_path / "work")
    assert look(sqlite_store, job_id)["error"]["code"] == "input_changed"


def test_an_error_says_nothing_of_places_on_the_server(sqlite_store, tmp_path):
    (tmp_path / "map.tif").write_bytes(b"II*\0" + b"no raster" * 100)
    owner = make_world(sqlite_store, tmp_path)
    with sqlite_store.begin(LOCAL) as tx:
        add_raster(tx, tmp_path / "map.tif")
    job_id = queue(sqlite_store, owner)
    do(sqlite_store, tmp_path / "work")
    error = look(sqlite_store, job_id)["error"]
    assert error["code"] == "raster"
    assert "map.tif" in error["detail"]
    assert str(tmp_path) not in error["detail"]


def test_a_raster_that_is_not_the_registered_file_ends_the_job(sqlite_store, here, tmp_path):
    make_raster(tmp_path / "map.tif", water_from=10)
    job_id = queue(sqlite_store, here)
    do(sqlite_store, tmp_path / "work")
    assert look(sqlite_store, job_id)["error"]["code"] == "input_changed"


# ---- a process that does harm: the worker lives ----


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("eat_memory", "more memory than it may"),
        ("burn", "more processor time"),
        ("segfault", "crashed (SIGSEGV)"),
        ("hang", "longer than 2 seconds"),
    ],
)
def test_a_process_that_dies_is_tried_three_times_and_told(sqlite_store, here, tmp_path, how, cause):
    job_id = queue(sqlite_store, here)
    limits = Limits(memory_bytes=2**30, cpu_s=1 if how == "burn" else 30, wall_s=2.0 if how == "hang" else 60.0)
    do(sqlite_store, tmp_path / "work", **bad(how, limits=limits))
    ended = look(sqlite_store, job_id)
    assert (ended["state"], ended["attempt"], ended["error"]["code"]) == ("failed", 3, "job_died")
    assert cause in ended["error"]["detail"]
    assert list((tmp_path / "work").iterdir()) == []


def test_a_flood_of_words_is_cut_and_the_job_goes_on(sqlite_store, here, tmp_path, caplog):
    caplog.set_level("DEBUG", logger="api.worker")
    job_id = queue(sqlite_store, here)
    do(sqlite_store, tmp_path / "work", **bad("flood"))
    assert look(sqlite_store, job_id)["state"] == "done"
    assert 10_000 < len(caplog.text) < 100_000  # of 100 MB


def test_a_job_after_a_bad_one_is_done(sqlite_store, here, tmp_path):
    queue(sqlite_store, here, crop="wheat")
    good = queue(sqlite_store, here)
    do(sqlite_store, tmp_path / "work")
    assert look(sqlite_store, good)["state"] == "done"


def test_the_process_is_told_no_secret(sqlite_store, here, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOMAP_API_STORE", "postgresql+psycopg://canary@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    job_id = queue(sqlite_store, here)
    do(sqlite_store, tmp_path / "work", **bad("tell_environment"))
    told = json.loads(look(sqlite_store, job_id)["error"]["detail"])
    assert "canary" not in json.dumps(told)
    assert set(told) - {"LC_CTYPE"} == set(environment(tmp_path))


# ---- cancelling and stopping ----


def test_a_running_job_that_is_cancelled_ends_with_all_its_processes(store, owner, tmp_path):
    job_id = queue(store, owner)
    worker = Worker(store, tmp_path / "work", beat_s=0.2, **bad("hang"))
    thread = threading.Thread(target=worker.step)
    thread.start()
    wait_for((tmp_path / "grandchild").exists)
    with store.begin(LOCAL) as tx:
        ask_cancel(tx, owner, job_id)
    thread.join(20)
    assert look(store, job_id)["state"] == "cancelled"
    wait_for(lambda: not alive(int((tmp_path / "grandchild").read_text())))


def test_a_worker_told_to_stop_gives_its_job_back(store, owner, tmp_path):
    job_id = queue(store, owner)
    with process(store, tmp_path, drain_s=0.5, command=bad("hang")["command"]) as worker:
        wait_for(lambda: look(store, job_id)["state"] == "running")
        wait_for((tmp_path / "grandchild").exists)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    left = look(store, job_id)
    assert (left["state"], left["attempt"], left["lease_until"]) == ("queued", 0, None)
    wait_for(lambda: not alive(int((tmp_path / "grandchild").read_text())))
    do(store, tmp_path / "work")
    assert look(store, job_id)["state"] == "done"


def test_a_worker_told_to_stop_ends_what_it_can_in_time(sqlite_store, here, tmp_path):
    job_id, next_id = queue(sqlite_store, here), queue(sqlite_store, here)
    with process(sqlite_store, tmp_path) as worker:
        wait_for(lambda: look(sqlite_store, job_id)["state"] == "running")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    assert (look(sqlite_store, job_id)["state"], look(sqlite_store, next_id)["state"]) == ("done", "queued")


def test_a_worker_stopped_past_its_lease_publishes_nothing(store, owner, tmp_path):
    job_id = queue(store, owner)
    with process(store, tmp_path, lease_s=1.0, beat_s=0.2) as sleeper:
        wait_for(lambda: look(store, job_id)["progress"] != {})  # its process has begun
        sleeper.send_signal(signal.SIGSTOP)
        wait_for(lambda: Worker(store, tmp_path / "other").step())
        published = look(store, job_id)
        assert (published["state"], published["attempt"]) == ("done", 2)
        sleeper.send_signal(signal.SIGCONT)
        time.sleep(3)  # its process ends meanwhile, and it would publish
        assert sleeper.poll() is None
    assert look(store, job_id) == published
    with store.read(LOCAL) as tx:
        assert [row["run_id"] for row in runs(tx, owner)] == [published["run_id"]]


def test_the_process_of_a_killed_worker_ends_too(sqlite_store, here, tmp_path):
    queue(sqlite_store, here)
    with process(sqlite_store, tmp_path) as worker:
        wait_for(lambda: list((tmp_path / "work").glob("*/request.json")) and children(worker.pid))
        (child,) = children(worker.pid)
        wait_for(lambda: "api.job_child" in command_of(child))
        time.sleep(0.5)
        worker.kill()
        worker.wait()
        wait_for(lambda: not alive(child))


def test_nobody_else_on_the_machine_can_read_the_folder_of_a_job(sqlite_store, here, tmp_path):
    queue(sqlite_store, here)
    with process(sqlite_store, tmp_path):
        wait_for(lambda: list((tmp_path / "work").glob("geomap-job.*")))
        (folder,) = (tmp_path / "work").glob("geomap-job.*")
        assert folder.stat().st_mode & 0o077 == 0


# ---- at once ----


def test_a_small_run_is_done_at_once(store, owner, tmp_path):
    worker = Worker(store, tmp_path / "work")
    ended = worker.run_now(LOCAL, cooperative_id=owner, parameters=PARAMETERS)
    assert (ended["state"], ended["attempt"]) == ("done", 1)
    with store.read(LOCAL) as tx:
        assert run(tx, owner, ended["run_id"])["account_id"] == "local"


def test_a_run_that_takes_longer_goes_to_the_queue(sqlite_store, here, tmp_path):
    worker = Worker(sqlite_store, tmp_path / "work", **bad("hang"))
    asked = worker.run_now(LOCAL, cooperative_id=here, parameters=PARAMETERS, deadline_s=0.5)
    assert (asked["state"], asked["attempt"]) == ("queued", 0)
    do(sqlite_store, tmp_path / "work")
    assert look(sqlite_store, asked["job_id"])["state"] == "done"


def test_of_many_at_once_the_rest_wait_in_the_queue(sqlite_store, here, tmp_path):
    worker = Worker(sqlite_store, tmp_path / "work", now_most=1, **bad("hang"))
    first = threading.Thread(
        target=worker.run_now, args=(LOCAL,), kwargs={"cooperative_id": here, "parameters": PARAMETERS, "deadline_s": 3}
    )
    first.start()
    wait_for(lambda: list((tmp_path / "work").glob("geomap-job.*")))
    second = worker.run_now(LOCAL, cooperative_id=here, parameters=PARAMETERS)
    assert (second["state"], second["fence"]) == ("queued", 0)
    first.join()


# ---- what is left over ----


def test_only_folders_of_dead_claims_are_swept(store, owner, tmp_path):
    work = tmp_path / "work"
    live, dead = queue(store, owner), queue(store, owner)
    claims = [claim(store, "w"), claim(store, "w", lease_s=0)]
    kept = [f"geomap-job.{live}.{claims[0].fence}", "geomap-job.of-another-store.1", "something else"]
    for name in [*kept, f"geomap-job.{dead}.{claims[1].fence}", f"geomap-job.{live}.0"]:
        (work / name).mkdir(parents=True)
    Worker(store, work).sweep()
    assert sorted(path.name for path in work.iterdir()) == sorted(kept)


# ---- processes ----


class process:
    """A worker in a process of its own; ended with its jobs' processes when the block ends."""

    def __init__(self, store, folder, **options):
        url = store.engine.url.render_as_string(hide_password=False)
        told = json.dumps({"poll_s": 0.1, **options})
        self.given = [sys.executable, HERE / "worker_process.py", url, folder / "work", told]

    def __enter__(self):
        self.process = subprocess.Popen(self.given, stderr=subprocess.DEVNULL)
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def alive(pid):
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_without_room_to_work_in_jobs_wait(sqlite_store, here, tmp_path, monkeypatch):
    waiting = Worker(sqlite_store, tmp_path / "work")
    with sqlite_store.begin(LOCAL) as tx:
        job_id = add_job(tx, cooperative_id=here, parameters={})["job_id"]
    monkeypatch.setattr(worker, "LEAST_ROOM", 2**62)
    assert not waiting.step()
    assert (look(sqlite_store, job_id)["state"], look(sqlite_store, job_id)["attempt"]) == ("queued", 0)
