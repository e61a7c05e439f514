"""How work is spread over threads. It knows nothing of plots."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

Progress = Callable[[str, int, int], None]
"""Called with the stage in plain words, the number done and the number in all."""


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
