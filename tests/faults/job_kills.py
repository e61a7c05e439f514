"""Jobs under kill −9: no run is lost, none is published twice, and all results are those of an undisturbed run.

    python tests/faults/job_kills.py --kills 200                     on SQLite, most with a stand-in for the estimation
    python tests/faults/job_kills.py --kills 200 --url URL           on an empty store of yours

Some workers take jobs from one queue. At random moments one of them, or the process of its job, is killed; a killed
worker is replaced. A job is left alone at its last attempt, for one killed three times is to fail. At the end every
job must be done, by one run, with the bytes of the run that nobody disturbed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from job_world import LOCAL, make_world, queue
from sqlalchemy import func, select

from api.job_child import INPUTS, REQUEST, RESULTS
from api.job_inputs import prepare
from api.job_process import COMMAND, JOB_LIMITS, run_child
from api.worker import Worker
from geomap.store import Store, open_store
from geomap.store.jobs import MOST_ATTEMPTS, claim, publish
from geomap.store.runs import run_names
from geomap.store.schema import jobs, run_plots, run_rows, runs

HERE = Path(__file__).parent
STUB = (sys.executable, "-S", "-E", str(HERE / "stub_child.py"))
LEASE_S, BEAT_S = 1.5, 0.3


@dataclass
class Score:
    """What was done and what came of it. All lists of wrongs must stay empty."""

    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    attempts: int = 0  # claims of all jobs
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        return {**vars(self), "kills": dict(self.kills)}


def make_template(store: Store, owner: str, folder: Path) -> tuple[Path, str]:
    """Results of an undisturbed real job, to be left by the stand-in too, and the id of its run."""
    queue(store, owner)
    held = claim(store, "undisturbed")
    assert held is not None
    (folder / INPUTS).mkdir(parents=True)
    request, _ = prepare(store, held, folder / INPUTS, JOB_LIMITS)
    (folder / REQUEST).write_text(json.dumps(request))
    run_child(folder, limits=JOB_LIMITS, progress=lambda told: None, stopped=lambda: "")
    return folder / RESULTS, publish(store, held, folder / RESULTS)


class Crew:
    """Workers in processes of their own, some of which are killed."""

    def __init__(self, url: str, work: Path, command: tuple[str, ...], size: int) -> None:
        told = {"lease_s": LEASE_S, "beat_s": BEAT_S, "poll_s": 0.05, "command": list(command)}
        self.given = [sys.executable, str(HERE / "worker_process.py"), url, str(work), json.dumps(told)]
        self.members = [self._start() for _ in range(size)]

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.given, stderr=subprocess.DEVNULL)

    def replace(self, member: "subprocess.Popen[bytes]") -> None:
        member.wait()
        self.members[self.members.index(member)] = self._start()

    def stop(self) -> list[int]:
        """Tell all to stop; their exit statuses."""
        for member in self.members:
            member.terminate()
        return [member.wait(60) for member in self.members]


def kill_one(store: Store, crew: Crew, rng: random.Random, score: Score) -> None:
    """Kill −9 a worker that holds a job, or the process of its job."""
    with store.read(LOCAL) as tx:
        held = select(jobs.c.worker).where(jobs.c.state == "running", jobs.c.attempt < MOST_ATTEMPTS)
        pids = {int(row["worker"].split(".")[-2]) for row in tx.fetch(held)}
    busy = [member for member in crew.members if member.pid in pids and member.poll() is None]
    if not busy:
        return
    member = rng.choice(busy)
    if rng.random() < 0.5:
        member.kill()
        crew.replace(member)
        score.kills["worker"] += 1
        return
    tasks = Path(f"/proc/{member.pid}/task").glob("*/children")
    children = [int(pid) for task in tasks for pid in _read(task).split()]
    if children:
        try:
            os.kill(children[0], signal.SIGKILL)
        except ProcessLookupError:
            return
        score.kills["job's process"] += 1


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def disturb(
    store: Store, owner: str, work: Path, *, kills: int, command: tuple[str, ...], size: int, pause_s: float, seed: int
) -> Score:
    """Kill so often, then wait until every job has ended."""
    rng, score, start = random.Random(seed), Score(), time.monotonic()
    crew = Crew(store.engine.url.render_as_string(hide_password=False), work, command, size)
    try:
        while score.kills.total() < kills:
            while waiting(store) < size:
                queue(store, owner)
                score.jobs += 1
            time.sleep(rng.uniform(0, pause_s))
            kill_one(store, crew, rng, score)
        end = time.monotonic() + 120
        while waiting(store, "queued", "running") and time.monotonic() < end:
            time.sleep(0.1)
        early = -signal.SIGTERM  # of a worker that had only just been started
        ends = [status for status in crew.stop() if status not in (0, early)]
        score.wrong += [f"a worker that was told to stop ended with {status}" for status in ends]
    finally:
        for member in crew.members:
            member.kill()
            member.wait()
    score.seconds = round(time.monotonic() - start, 1)
    return score


def waiting(store: Store, *states: str) -> int:
    with store.read(LOCAL) as tx:
        wanted = jobs.c.state.in_(states or ("queued",))
        return int(tx.fetch(select(func.count().label("n")).select_from(jobs).where(wanted))[0]["n"])


def judge(store: Store, owner: str, work: Path, undisturbed: str, score: Score) -> None:
    """Write down all that is wrong: lost, double or different runs, and what was left over."""
    with store.read(LOCAL) as tx:
        asked = [dict(row) for row in tx.fetch(select(jobs))]
        made = [dict(row) for row in tx.fetch(select(runs.c.run_id, runs.c.job_id, runs.c.results_sha256))]
        expected = run_names(tx, owner, undisturbed)
        for row in asked:
            if row["state"] != "done":
                score.wrong.append(f"job {row['job_id']} is {row['state']}: {row['error']}")
        per_job = Counter(row["job_id"] for row in made)
        score.wrong += [f"job {row['job_id']} has {per_job[row['job_id']]} runs" for row in asked
                        if per_job[row["job_id"]] != (row["state"] == "done")]  # fmt: skip
        known = {row["run_id"] for row in asked}
        score.wrong += [f"run {row['run_id']} is no job's" for row in made if row["run_id"] not in known]
        digests = {row["run_id"]: row["results_sha256"] for row in made}
        for run_id, digest in digests.items():
            other = _other(run_names(tx, owner, run_id), expected)
            if other or digest != digests[undisturbed]:
                score.wrong.append(f"run {run_id} has other results: {', '.join(other)}")
        for table in (run_rows, run_plots):
            counted = select(table.c.run_id, func.count().label("n")).group_by(table.c.run_id)
            sizes = {row["run_id"]: row["n"] for row in tx.fetch(counted)}
            score.wrong += [f"run {run_id} has {sizes.get(run_id, 0)} rows in {table.name}" for run_id in digests
                            if sizes.get(run_id) != sizes[undisturbed]]  # fmt: skip
        score.attempts += sum(row["fence"] for row in asked)
    Worker(store, work).sweep()
    score.wrong += [f"{path.name} was left" for path in work.iterdir()]
    if store.dialect == "sqlite":
        with store.engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            score.wrong += [] if found == "ok" else [f"integrity: {found}"]


def _other(names: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> list[str]:
    """Tables and files that differ from those of the undisturbed run."""
    return [
        name
        for kind in ("tables", "files")
        for name in sorted(names[kind].keys() | expected[kind].keys())
        if names[kind].get(name) != expected[kind].get(name)
    ]


def kill_jobs(store: Store, folder: Path, *, kills: int, real: int, seed: int = 0) -> dict[str, Score]:
    """Kills with the stand-in, and `real` ones with the real process, on an empty store."""
    owner = make_world(store, folder)
    template, undisturbed = make_template(store, owner, folder / "template")
    scores = {}
    for name, times, command, pause_s in (
        ("stand-in", kills, (*STUB, str(template)), 0.4),
        ("real estimation", real, COMMAND, 4.0),
    ):
        if times:
            work = folder / name
            work.mkdir()
            before = sum(score.attempts for score in scores.values()) + 1
            score = disturb(store, owner, work, kills=times, command=command, size=3, pause_s=pause_s, seed=seed)
            score.attempts = -before
            judge(store, owner, work, undisturbed, score)
            scores[name] = score
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--real", type=int, default=10, help="kills with the real process of a job")
    parser.add_argument("--url", help="an empty store; a new SQLite file where it is not given")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="geomap-job-kills-"))
    try:
        store = open_store(given.url or f"sqlite:///{folder / 'store.sqlite'}")
        if given.url is None:
            from geomap.store.setup import init

            init(store)
        scores = kill_jobs(store, folder, kills=given.kills, real=given.real, seed=given.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, score in scores.items():
        sys.stdout.write(f"{name}: {json.dumps(score.figures(), indent=1)}\n")
    return int(any(score.wrong for score in scores.values()))


if __name__ == "__main__":
    sys.exit(main())
