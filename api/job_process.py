"""The process of a job seen from its worker: started with nothing it must not know, listened to, ended as a group."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from api.job_child import ANSWER, OUT_OF_MEMORY
from geomap.errors import GeomapError
from geomap.sandbox import BLACK_HOLE, Limits
from geomap.store.jobs import JobDiedError

JOB_LIMITS: Final = Limits(memory_bytes=6 * 2**30, cpu_s=3_600, wall_s=3_600.0, file_bytes=4 * 2**30)
"""What a job may use where the operator says nothing else."""

COMMAND: Final = (sys.executable, "-I", "-B", "-X", "utf8", "-m", "api.job_child")
"""What a job's process runs; the folder of the job comes after it."""
_LOOK_S: Final = 0.05
_MOST_LINE: Final = 10_000
_MOST_ANSWER: Final = 100_000
_MOST_DETAIL: Final = 4_000

Progress = Callable[[Mapping[str, Any]], None]
Stopped = Callable[[], str]
"""Says why the process must end now; "" to let it go on."""


class StoppedError(Exception):
    """The process was ended because its worker was told to; the word says why."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def run_child(
    folder: Path, *, limits: Limits, progress: Progress, stopped: Stopped, command: Sequence[str] = COMMAND
) -> str:
    """Run the command on the folder of a job to its end; the start of what it said on stderr.

    Raises
    ------
    JobDiedError : it crashed, hung, or needed more than its limits. The message says which.
    GeomapError : what it found wrong; of a code and a text alone.
    StoppedError : `stopped` gave a word, and the process was ended.
    """
    process = subprocess.Popen(
        [*command, str(folder)],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = bytearray()
    threads = [
        threading.Thread(target=_hear_progress, args=(process.stdout, progress), daemon=True),
        threading.Thread(target=_hear, args=(process.stderr, said, limits.stderr_bytes), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        status = _wait(process, limits.wall_s, stopped)
    finally:
        _end(process)
        for thread, stream in zip(threads, (process.stdout, process.stderr), strict=True):
            thread.join(timeout=5)
            stream.close()
    words = said.decode(errors="replace")
    _require_answer(folder, status, limits, words)
    return words


def environment(folder: Path) -> dict[str, str]:
    """All that a job's process is told: no address of the store, no token, no proxy that leads anywhere."""
    cache = Path(os.environ.get("GEOMAP_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows starts nothing without
    own = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME"), str(folder))
    proxies = dict.fromkeys(("GDAL_HTTP_PROXY", "http_proxy", "https_proxy"), BLACK_HOLE)
    return {
        **kept,
        **own,
        **proxies,
        "PROJ_NETWORK": "OFF",
        "GDAL_CACHEMAX": "256",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "LC_ALL": "C.UTF-8",
        "GEOMAP_CACHE": str(cache),  # machine code and lists of fonts are made once, not in every job
        "MPLCONFIGDIR": str(cache / "geomap" / "matplotlib"),
    }


def _wait(process: "subprocess.Popen[bytes]", wall_s: float, stopped: Stopped) -> int | None:
    """Exit status; None where its time ran out."""
    end = time.monotonic() + wall_s
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=_LOOK_S)
        if word := stopped():
            raise StoppedError(word)
        if time.monotonic() > end:
            return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and all it may have started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _hear(stream: IO[bytes], said: bytearray, most: int) -> None:
    """Keep the first bytes and let the rest go: a flood can neither fill the memory nor make the process wait."""
    with contextlib.suppress(OSError, ValueError):
        while block := os.read(stream.fileno(), 65_536):
            said += block[: most - len(said)]


def _hear_progress(stream: IO[bytes], progress: Progress) -> None:
    """Hand on each line that is a progress; all else is passed over, however long."""
    rest = b""
    with contextlib.suppress(OSError, ValueError):
        while block := os.read(stream.fileno(), 65_536):
            *lines, rest = (rest + block).split(b"\n")
            rest = rest[:_MOST_LINE]
            for line in lines:
                if told := _progress(line):
                    progress(told)


def _progress(line: bytes) -> dict[str, Any] | None:
    """The progress that a line tells.

    Examples
    --------
    >>> _progress(b'{"stage": "land cover", "done": 3, "total": 8}')
    {'stage': 'land cover', 'done': 3, 'total': 8}
    """
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        told = json.loads(line[:_MOST_LINE])
        return {"stage": str(told["stage"])[:100], "done": int(told["done"]), "total": int(told["total"])}
    return None


def _require_answer(folder: Path, status: int | None, limits: Limits, words: str) -> None:
    """Raise what the process answered or why it did not."""
    if status != 0:
        died = _died(_cause(status, limits))
        died.add_note(words)
        raise died
    try:
        with (folder / ANSWER).open(encoding="utf-8") as file:
            answer = dict(json.loads(file.read(_MOST_ANSWER)))
    except (OSError, ValueError, TypeError):
        raise _died("it left no answer") from None
    if answer:
        error = GeomapError(str(answer.get("detail"))[:_MOST_DETAIL])
        error.code = str(answer.get("code"))[:100]
        error.add_note(words)
        raise error


def _cause(status: int | None, limits: Limits) -> str:
    if status is None:
        return f"it took longer than {limits.wall_s:,.0f} seconds"
    if status == OUT_OF_MEMORY:
        return "it needed more memory than it may have"
    if status == -getattr(signal, "SIGXCPU", 0):
        return "it used more processor time than it may"
    if status == -getattr(signal, "SIGKILL", 0):
        return "it was killed, as a system does when memory runs out"
    return f"it crashed ({signal.Signals(-status).name})" if status < 0 else f"it ended with status {status}"


def _died(cause: str) -> JobDiedError:
    return JobDiedError(
        f"The process of this job ended without an answer: {cause}.",
        why="These inputs may need more than a job may have, or the machine was short of it.",
        todo="Try it with fewer plots, or ask the operator to look at the log.",
    )
