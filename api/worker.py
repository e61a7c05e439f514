"""Workers: each takes a job from the store, has it done in a process of its own, and publishes what came of it."""

import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from api.job_child import INPUTS, REQUEST, RESULTS
from api.job_inputs import Pinned, prepare
from api.job_process import COMMAND, JOB_LIMITS, StoppedError, run_child
from geomap.errors import GeomapError
from geomap.sandbox import DAY_S, PREFIX, Limits, is_leftover
from geomap.store import Scope, Store
from geomap.store.erase import clean_pages
from geomap.store.errors import StoreBusyError, StoreError
from geomap.store.jobs import (
    LEASE_S,
    Claim,
    ClaimLostError,
    JobDiedError,
    Word,
    add_job,
    cancelled,
    claim,
    fail,
    heartbeat,
    is_held,
    job,
    publish,
    release,
    take,
)

BEAT_S: Final = 10.0
DRAIN_S: Final = 30.0
UPLOAD_AGE_S: Final = 3_600.0
"""Seconds after which nobody can be reading a file that was sent; only a killed service leaves it so long."""
LEAST_ROOM: Final = 50_000_000
"""Bytes that must be free in the work folder before a job is begun."""
_OF_REQUESTS: Final = {
    **dict.fromkeys(("geomap-upload-*", "geomap-export-*", "geomap-explain-*"), UPLOAD_AGE_S),
    f"{PREFIX}*": DAY_S,  # of readers; where the folder is the system's, those of other programs may read for long
}
"""Folders of requests that are under way, and their age when nobody can be: names of people stand in them."""
_SWEEP_S: Final = 3_600.0
_TICK_S: Final = 1.0
_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_FOLDER: Final = re.compile(r"geomap-job\.([\w-]+)\.(\d+)")
_log = logging.getLogger(__name__)


class Worker:
    """Does jobs one after the other until it is told to stop.

    Parameters
    ----------
    store : where the jobs are.
    work_dir : folder for the private folders of jobs; workers may share it.
    limits : what the process of a job may use.
    lease_s : seconds that a claim lasts without a heartbeat. beat_s : seconds between heartbeats.
    poll_s : seconds between looks at an empty queue.
    drain_s : seconds that a running job may take to end after `stop`; then it goes back to the queue.
    now_most : jobs that `run_now` does at one time; more of them wait in the queue.
    command : what the process of a job runs; its folder comes after it.

    Examples
    --------
    With a store and a folder:

        Worker(open_store(url), Path("/srv/jobs")).run()
    """

    def __init__(
        self,
        store: Store,
        work_dir: Path,
        *,
        limits: Limits = JOB_LIMITS,
        lease_s: float = LEASE_S,
        beat_s: float = BEAT_S,
        poll_s: float = 1.0,
        drain_s: float = DRAIN_S,
        now_most: int = 2,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.store, self.work_dir, self.limits = store, Path(work_dir), limits
        self.command = tuple(command)
        self.lease_s, self.beat_s, self.poll_s, self.drain_s = lease_s, beat_s, poll_s, drain_s
        self.name = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._stop = threading.Event()
        self._drained = float("inf")
        self._had_room = True
        self._now = threading.BoundedSemaphore(now_most)

    def run(self) -> None:
        """Work until `stop`; an error of the store is waited out."""
        sweep_at = 0.0
        while not self._stop.is_set():
            try:
                if time.monotonic() >= sweep_at:
                    self.sweep()
                    sweep_at = time.monotonic() + _SWEEP_S
                busy = self.step()
            except StoreError as error:
                _log.warning("the queue cannot be reached: %s", error)
                busy = False
            except Exception:
                _log.exception("the queue cannot be read")
                busy = False
            if not busy:
                self._stop.wait(self.poll_s)

    def step(self) -> bool:
        """Do the next job, whatever comes of it; False where there is none, or no room to work in."""
        if not self._has_room():
            return False
        held = claim(self.store, self.name, lease_s=self.lease_s)
        if held is not None:
            self._work(held)
        return held is not None

    def stop(self) -> None:
        """Take no further job; the running one has `drain_s` seconds to end. Safe in a signal handler."""
        self._drained = time.monotonic() + self.drain_s
        self._stop.set()

    @property
    def is_told_to_stop(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def run_now(
        self, scope: Scope, *, cooperative_id: str, parameters: Mapping[str, Any], deadline_s: float = 60.0
    ) -> dict[str, Any]:
        """The job of a small run, done at once by whoever asks: the same way as any other, without the queue.

        Where enough others are being done so, or the deadline comes first, the job is left in the queue.

        Returns
        -------
        dict : the job; its state is `done` (see run_id), `failed` (see error), `cancelled`, `queued` or `running`.

        Raises
        ------
        NotAllowedError : the scope may not add jobs of this cooperative.
        """
        here = self._now.acquire(blocking=False)
        try:
            with self.store.begin(scope) as tx:
                asked = add_job(tx, cooperative_id=cooperative_id, parameters=parameters)
                held = take(tx, asked, self.name, lease_s=self.lease_s) if here else None
            if held is not None:
                self._work(held, end=time.monotonic() + deadline_s)
        finally:
            if here:
                self._now.release()
        with self.store.read(scope) as tx:
            return job(tx, cooperative_id, asked["job_id"])

    def sweep(self) -> None:
        """Remove what no worker holds any more and what a killed service left; empty SQLite's journal of the erased."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        for folder in sorted(self.work_dir.glob("geomap-job.*")):
            named = _FOLDER.fullmatch(folder.name)
            held = is_held(self.store, named[1], int(named[2])) if named else None
            if held is False or (held is None and is_leftover(folder)):  # unknown: perhaps of another store
                shutil.rmtree(folder, ignore_errors=True)
        for name, age_s in _OF_REQUESTS.items():
            for folder in sorted(self.work_dir.glob(name)):
                if is_leftover(folder, age_s=age_s):
                    shutil.rmtree(folder, ignore_errors=True)
        clean_pages(self.store)

    def _has_room(self) -> bool:
        """Whether jobs can be laid down; without it they wait, for it is no fault of theirs."""
        try:
            self.work_dir.mkdir(parents=True, exist_ok=True)
            room = shutil.disk_usage(self.work_dir).free >= LEAST_ROOM and os.access(self.work_dir, os.W_OK)
        except OSError:
            room = False
        if room != self._had_room:
            _log.log(
                logging.INFO if room else logging.ERROR, "the work folder %s", "has room" if room else "has no room"
            )
        self._had_room = room
        return room

    # ---- one job ----

    def _work(self, held: Claim, *, end: float = float("inf")) -> None:
        """Do one job and say in the store what came of it; raises nothing that a job could cause."""
        folder = self.work_dir / f"geomap-job.{held.job_id}.{held.fence}"
        with _Pulse(self.store, held, self.beat_s) as pulse:
            try:
                self._estimate(held, folder, pulse, lambda: pulse.word or self._word(end))
                state = self._publish(held, folder / RESULTS)
            except Exception as error:  # the worker outlives whatever a job does
                state = self._settle(held, error)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        _log.info("job %s, attempt %s: %s", held.job_id, held.attempt, state or "lost")

    def _estimate(self, held: Claim, folder: Path, pulse: "_Pulse", stopped: Callable[[], str]) -> None:
        """Leave the results of the job in its folder."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)  # the names of members stand in it
        (folder / INPUTS).mkdir()
        request, pinned = prepare(self.store, held, folder / INPUTS, self.limits)
        (folder / REQUEST).write_text(json.dumps(request), encoding="utf-8")
        try:
            said = run_child(folder, limits=self.limits, progress=pulse.tell, stopped=stopped, command=self.command)
        except GeomapError:
            _require_unchanged(pinned)  # a raster that was exchanged may well be what went wrong
            raise
        if said:
            _log.debug("job %s said: %s", held.job_id, said)
        _require_unchanged(pinned, folder / RESULTS)

    def _publish(self, held: Claim, results: Path) -> str:
        """Publish, and wait out a store that is busy."""
        for pause_s in _PAUSES_S:
            try:
                publish(self.store, held, results)
                return "done"
            except StoreBusyError:
                time.sleep(pause_s)
        publish(self.store, held, results)
        return "done"

    def _settle(self, held: Claim, error: Exception) -> str:
        """What becomes of a job that was stopped or went wrong; its new state, "" where it is no longer ours."""
        try:
            if isinstance(error, StoppedError) and error.word in ("late", "stop"):
                return release(self.store, held)
            if isinstance(error, (StoppedError, ClaimLostError)):
                return (
                    "cancelled" if heartbeat(self.store, held, {}) == "cancel" and cancelled(self.store, held) else ""
                )
            self._log_error(held, error)
            return fail(self.store, held, error)
        except StoreError as trouble:
            _log.warning("job %s is left to its lease: %s", held.job_id, trouble)
            return ""

    def _log_error(self, held: Claim, error: Exception) -> None:
        """All of a fault of ours or of a process that died; of what the data caused the code alone: words may name."""
        ours = not isinstance(error, GeomapError) or isinstance(error, JobDiedError) or error.code == "internal"
        code = getattr(error, "code", "internal")
        level = logging.ERROR if ours else logging.INFO
        _log.log(level, "job %s, attempt %s: %s", held.job_id, held.attempt, code, exc_info=error if ours else None)

    def _word(self, end: float) -> str:
        """Why the running job must end now; "" where it need not."""
        now = time.monotonic()
        return "stop" if now > self._drained else "late" if now > end else ""


class _Pulse:
    """Heartbeats of a claim from a thread of their own, while the worker waits, reads or writes.

    One every `beat_s` seconds, and sooner when there is progress to tell, but no more than one a second.
    """

    def __init__(self, store: Store, held: Claim, beat_s: float) -> None:
        self._store, self._held, self._beat_s = store, held, beat_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._progress: Mapping[str, Any] = {}
        self.word: str = ""

    def __enter__(self) -> "_Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Keep the progress for the next heartbeat."""
        self._progress = progress

    def _beat(self) -> None:
        told, last = self._progress, time.monotonic()
        while not self._ended.wait(min(_TICK_S, self._beat_s)):
            if self._progress is told and time.monotonic() - last < self._beat_s:
                continue
            told, last = self._progress, time.monotonic()
            try:
                heard: Word = heartbeat(self._store, self._held, told)
            except Exception:  # a beat that is missed shortens the lease, no more
                _log.warning("a heartbeat of job %s was missed", self._held.job_id, exc_info=True)
                continue
            if heard != "go":
                self.word = heard
                return


def run_until_told(worker: Worker) -> None:
    """Run a worker in the main thread until SIGTERM or SIGINT, then drain."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()


def _require_unchanged(pinned: Pinned, results: Path | None = None) -> None:
    pinned.require_unchanged()
    if results is not None:
        pinned.require_read(results)
