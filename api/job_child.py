"""The process of one job: `python -m api.job_child FOLDER` estimates from the files in a folder and leaves its results.

The folder holds `request.json` (of `api.worker`) and `inputs`. It knows no store and no secret, works within limits of
memory, processor time and file size, and ends with the process that started it. Its progress goes to stdout as lines of
JSON. At its end `answer.json` says {} or the error; `results` is what `geomap.store.publishing.made_ready` reads.
"""

import contextlib
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geomap.errors import GeomapError

if TYPE_CHECKING:
    import pandas as pd

    from geomap.run import Run

REQUEST, INPUTS, RESULTS, ANSWER = "request.json", "inputs", "results", "answer.json"
OUT_OF_MEMORY: Final = 86
"""Exit status where Python itself was refused memory."""
NICE: Final = 10
_DIE_WITH_PARENT: Final = 1
_IDS: Final = ("id", "plot_id", "member_id", "cooperative_id")
_BESIDE: Final = ("plot_id", "geometry", "bbox")


def main(folder: Path) -> int:
    """Do the job in the folder; the exit status."""
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    settle(request["limits"], parent=request["parent"])
    try:
        run_job(folder, request)
        answer: dict[str, str] = {}
    except GeomapError as error:
        answer = {"code": error.code, "detail": without_places(str(error), [folder / INPUTS, *request["rasters"]])}
    except MemoryError:
        return OUT_OF_MEMORY
    except Exception:  # a fault of ours: the log gets all of it, who asked gets nothing of the inside
        traceback.print_exc()
        answer = {"code": "internal", "detail": "The service failed. Its log says why."}
    (folder / ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def without_places(text: str, paths: Sequence[str | Path]) -> str:
    """The text without the folders of these paths: where things lie on the server is nobody's business.

    Examples
    --------
    >>> without_places("/srv/maps/hn.tif is no raster.", ["/srv/maps/hn.tif"])
    'hn.tif is no raster.'
    """
    for folder in sorted({str(Path(path).parent) for path in paths}, key=len, reverse=True):
        text = text.replace(f"{folder}{os.sep}", "")
    return text


def settle(limits: Mapping[str, int], *, parent: int) -> None:
    """Step back behind the service, take the limits, and end when the parent does."""
    if sys.platform == "win32":
        return
    import resource

    os.nice(NICE)
    wanted = {resource.RLIMIT_AS: "memory_bytes", resource.RLIMIT_CPU: "cpu_s", resource.RLIMIT_FSIZE: "file_bytes"}
    for kind, name in wanted.items():
        _, ceiling = resource.getrlimit(kind)
        most = limits[name] if ceiling == resource.RLIM_INFINITY else min(limits[name], ceiling)
        with contextlib.suppress(ValueError, OSError):  # macOS takes no limit of the address space
            resource.setrlimit(kind, (most, ceiling))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def run_job(folder: Path, request: Mapping[str, Any]) -> None:
    """Estimate from the files of the folder and leave files and rows in its `results`.

    Raises
    ------
    GeomapError : a file or a parameter is wrong.
    """
    from geomap.outputs.tables import require_words, write_run
    from geomap.run import estimate_files
    from geomap.store.snapshot import Snapshot

    words = request["words"]
    require_words(**words)
    given = Snapshot(folder / INPUTS).inputs()
    brought = replace(given.pop("brought"), **request["brought"])
    rasters = [Path(path) for path in request["rasters"]]
    run = estimate_files(rasters=rasters, brought=brought, progress=tell_progress, **given, **request["options"])
    results = folder / RESULTS
    tell_progress("writing", 0, 1)
    write_run(run, results / "files", **words)
    write_rows(run, results)
    tell_progress("writing", 1, 1)


def tell_progress(stage: str, done: int, total: int) -> None:
    """One line of progress for the parent."""
    print(json.dumps({"stage": stage, "done": done, "total": total}), flush=True)  # noqa: T201


def write_rows(run: "Run", results: Path) -> None:
    """The tables of a run as rows for the store: no names of people, numbers with ten digits, no NaN.

    Of the plots only columns that geomap knows or that the run sums by; what else an office wrote may name people.
    """
    from geomap.outputs.tables import COLUMN_DOCS, flat_table, run_tables

    (results / "rows").mkdir(parents=True)
    for name, table in run_tables(run):
        if name == "classes.csv":  # one row per plot and class: kept as the file
            continue
        flat = flat_table(table, name)
        if name == "members.csv":
            flat = flat.drop(columns="name", errors="ignore")
        key = next(column for column in _IDS if column in flat or column == _IDS[-1])
        rows = ({"id": str(cells.get(key) or ""), "cells": cells} for cells in _cells(flat))
        _write_lines(results / "rows" / f"{Path(name).stem}.jsonl", list(flat.columns), rows)
    plots = flat_table(run.plots, "plots.parquet")
    told = [name for name in plots if (name in COLUMN_DOCS["plots.parquet"] or name in run.by) and name not in _BESIDE]
    shapes = plots["geometry"].to_wkb(hex=True)
    lines = (
        {"plot_id": str(plot_id), "member_id": str(cells["member_id"] or ""), "cells": cells, "geometry": shape or None}
        for plot_id, cells, shape in zip(plots["plot_id"], _cells(plots[told]), shapes, strict=True)
    )
    _write_lines(results / "plots.jsonl", told, lines)


def _cells(table: "pd.DataFrame") -> Iterator[dict[str, Any]]:
    """Each row as plain data."""
    columns = [[_plain(value) for value in table[name].to_numpy(dtype=object).tolist()] for name in table.columns]
    names = [str(name) for name in table.columns]
    return (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def _plain(value: Any) -> Any:
    """A text, number or truth that JSON knows; None for what is missing."""
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    if hasattr(value, "item"):  # of numpy
        return _plain(value.item())
    return None if value != value or str(value) in ("<NA>", "NaT") else str(value)  # noqa: PLR0124 - NaN is no NaN


def _write_lines(path: Path, columns: list[str], rows: Iterator[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in chain([columns], rows):
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(status)  # a library that trips while it tidies up must not undo the answer
