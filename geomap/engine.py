"""How work is spread: over threads here, over a Dask cluster elsewhere. It knows nothing of plots."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from geomap.errors import GeomapError

Task = TypeVar("Task")
Result = TypeVar("Result")

Progress = Callable[[str, int, int], None]
"""Called with the stage in plain words, the number done and the number in all."""

LOST_S: Final = 60.0
"""Seconds that a cluster may be without any worker before the work is given up."""
CONNECT_S: Final = 10
"""Seconds to wait for the scheduler's answer."""
_RETRIES: Final = 5


class ClusterError(GeomapError):
    """A cluster that does not answer, is not of our versions, or lost all its workers."""

    code = "cluster"


def default_workers() -> int:
    """Number of threads to use: the processors this process may run on, at most 8."""
    try:
        return min(len(os.sched_getaffinity(0)), 8)
    except AttributeError:  # no affinity on macOS and Windows
        return min(os.cpu_count() or 1, 8)


def ordered_map(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int | None = None
) -> Iterator[Result]:
    """Results of `function` over `tasks`, in the order of the tasks whatever finishes first.

    Few results wait at any time, so memory stays flat. The first error ends the work and is raised as it is.

    Examples
    --------
    >>> list(ordered_map(lambda n: n * n, [3, 1, 2], workers=2))
    [9, 1, 4]
    """
    count = workers or default_workers()
    if count == 1:
        yield from map(function, tasks)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="geomap") as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(function, task))
                if len(waiting) >= 4 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def in_background(function: Callable[[], Result], *, workers: int | None = None) -> "Future[Result]":
    """Begin a piece of work that nothing waits for yet; `result()` gives what it returns or raises what it raised.

    Who wants one thread alone (`workers` 1) has it done here and now.

    Examples
    --------
    >>> sum_of_squares = in_background(lambda: 3 * 3 + 4 * 4)
    >>> sum_of_squares.result()
    25
    """
    if (workers or default_workers()) == 1:
        done: Future[Result] = Future()
        done.set_result(function())
        return done
    pool = ThreadPoolExecutor(1, thread_name_prefix="geomap")
    begun = pool.submit(function)
    pool.shutdown(wait=False)
    return begun


def cluster_map(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    address: str,
    stage: str = "cluster",
    progress: Progress | None = None,
) -> list[Result]:
    """Results of `function` over `tasks` on a Dask cluster, in the order of the tasks.

    A worker that dies costs time: what it had is done again by another. Workers must have our versions of what makes
    numbers, so that the result is the same as here. Function and tasks must be such as pickle knows.

    Parameters
    ----------
    address : of the scheduler, such as tcp://10.0.0.5:8786.
    stage, progress : called with stage, done, total.

    Raises
    ------
    ClusterError : Dask is not installed, the scheduler does not answer, versions differ, or all workers are gone.
    """
    given = list(tasks)
    with _client(address) as client:
        _require_same_versions(client)
        futures = [client.submit(function, task, pure=False, retries=_RETRIES) for task in given]
        for done in _finished(client, futures):
            if progress is not None:
                progress(stage, done, len(futures))
        return [future.result() for future in futures]


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ClusterError(
            "Dask is not installed here.", todo="Install it: pip install 'geomap-coops[cluster]'."
        ) from None
    connect: Any = Client
    try:
        return connect(address, timeout=f"{CONNECT_S}s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(
            f"No Dask scheduler answers at {address}.",
            why="The work was to be spread over its workers.",
            todo="Start one (dask scheduler, then dask worker on each machine), or leave out --cluster.",
        ) from error


def _finished(client: Any, futures: list[Any]) -> Iterator[int]:
    """The number of futures that are done, each time it has grown; raises what a task raised."""
    waiting, lost_at, told = list(futures), time.monotonic(), -1
    while waiting:
        if client.scheduler_info(n_workers=-1)["workers"]:
            lost_at = time.monotonic()
        elif time.monotonic() - lost_at > LOST_S:
            raise ClusterError(
                "All workers of the cluster are gone.",
                why="Nobody is left to do the work; what was finished is kept.",
                todo="Start workers and run the same command again.",
            )
        for future in waiting:
            if future.status == "error":
                future.result()
        waiting = [future for future in waiting if future.status != "finished"]
        if len(futures) - len(waiting) != told:
            told = len(futures) - len(waiting)
            yield told
        time.sleep(0.05)


def _require_same_versions(client: Any) -> None:
    ours = versions_that_count()
    theirs = client.run(_versions_of, sorted(ours))
    if not theirs:
        raise ClusterError("The cluster has no workers.", todo="Start some: dask worker ADDRESS, on each machine.")
    for worker, versions in sorted(theirs.items()):
        other = [
            f"{name} {versions.get(name)} (here {ours[name]})" for name in ours if versions.get(name) != ours[name]
        ]
        if other:
            raise ClusterError(
                f"The worker {worker} has {', '.join(other)}.",
                why="Other versions may give other numbers.",
                todo="Install the same requirements.lock on every machine.",
            )


def versions_that_count() -> dict[str, str]:
    """Versions of what makes numbers, here."""
    return _versions_of(["geomap-coops", "numpy", "numba", "shapely", "pyproj", "rasterio"])


def _versions_of(names: list[str]) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}
