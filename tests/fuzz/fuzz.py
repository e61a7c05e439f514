"""The readers under bent files: any file gives a table or an error of ours, and never ends the process that asked.

    python tests/fuzz/fuzz.py --seconds 600 --out out/fuzz            every reader, ten minutes each
    python tests/fuzz/fuzz.py geojson csv --seconds 60                some readers

GeoJSON, CSV and GPX are read by Python alone: they are fuzzed in this process, guided by coverage where atheris is
installed (the extra "stress"), else by bent files alone. The rest goes through the child that reads files from outside,
many bent files to a child; one that ends its child is found by reading half of them again, and again.

What was found lies in OUT/TARGET: `found/` holds each file that broke the rule, `corpus/` what atheris kept.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import corpus
import pandas as pd

from geomap.errors import GeomapError
from geomap.sandbox import Limits, ReaderFailedError, run

IN_PROCESS = ("geojson", "csv", "gpx")
BATCH = 200
LIMITS = Limits(memory_bytes=2 * 2**30, cpu_s=60, wall_s=60.0)
ONE = Limits(memory_bytes=2 * 2**30, cpu_s=20, wall_s=20.0)


@dataclass
class Score:
    """What came of one reader: files read, good and refused ones; by their number, those that broke the rule.

    broken : an error that is none of ours, or a result that is none. ended : the child crashed, hung or took too much.
    """

    executions: int = 0
    good: int = 0
    refused: int = 0
    broken: dict[int, str] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)


def judge(path: Path) -> str:
    """What came of one file: "good", "refused", or the fault."""
    from geomap.plots import intake

    try:
        given = {"what": "plots", "declared": None, "mapping": None, "options": {}}
        caps = vars(intake.UPLOAD_CAPS)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            found = intake.read_here(path, Path(folder), caps=caps, **given)
        table = found["table"]
        if not table.index.is_unique or table.index.name != "plot_id" or str(path.parent) in found["findings"].to_csv():
            return "a table that is none"
        intake._plots(table, path)
    except GeomapError as error:
        whole = error.found and error.why and error.todo and str(path.parent) not in str(error)
        return "refused" if whole else f"an error without its parts: {error}"
    except Exception:
        return traceback.format_exc()
    return "good"


def read_many(path: Path, folder: Path, *, target: str, numbers: Sequence[int]) -> dict[str, pd.DataFrame]:
    """A reader for the child: judges bent files, one after the other; the seeds come as a file of its own."""
    warnings.simplefilter("ignore")
    files = [bytes.fromhex(text) for text in json.loads(path.read_text())]
    file = folder / f"plots.{corpus.ENDINGS[target]}"
    said = []
    for number in numbers:
        file.write_bytes(corpus.mutant(files, target, number))
        said.append(judge(file))
    return {"said": pd.DataFrame({"number": list(numbers), "said": said})}


def through_child(
    target: str, *, seconds: float, start: int = 0, batch: int = BATCH, batches: int | None = None
) -> Score:
    """Bent files read in children until the time is over."""
    score, end, number = Score(), time.monotonic() + seconds, start
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder) / "seeds.json"
        seeds.write_text(json.dumps([data.hex() for data in corpus.seeds(target)]))
        while time.monotonic() < end and (batches is None or number < start + batch * batches):
            _batch(seeds, target, list(range(number, number + batch)), score)
            number += batch
    return score


def _batch(seeds: Path, target: str, numbers: list[int], score: Score) -> None:
    try:
        options = {"target": target, "numbers": numbers}
        limits = ONE if len(numbers) == 1 else LIMITS
        said = run("fuzz:read_many", seeds, options=options, limits=limits)["said"]
    except ReaderFailedError as error:
        if len(numbers) == 1:
            score.executions += 1
            score.ended[numbers[0]] = error.found
        else:
            half = len(numbers) // 2
            _batch(seeds, target, numbers[:half], score)
            _batch(seeds, target, numbers[half:], score)
        return
    for number, what in zip(said["number"].tolist(), said["said"].tolist(), strict=True):
        _count(score, int(number), what)


def _count(score: Score, number: int, what: str) -> None:
    score.executions += 1
    if what == "good":
        score.good += 1
    elif what == "refused":
        score.refused += 1
    else:
        score.broken[number] = what


def in_process(target: str, *, seconds: float, start: int = 0, most: int | None = None) -> Score:
    """Bent files read in this process until the time is over, without guidance."""
    score, files, end, number = Score(), corpus.seeds(target), time.monotonic() + seconds, start
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / f"plots.{corpus.ENDINGS[target]}"
        while time.monotonic() < end and (most is None or number < start + most):
            file.write_bytes(corpus.mutant(files, target, number))
            _count(score, number, judge(file))
            number += 1
    return score


def guided(target: str, *, seconds: float, out: Path) -> None:
    """Fuzz one reader with atheris in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["geomap.plots"]):
        import geomap.plots.formats
        import geomap.plots.intake  # noqa: F401
    kept, found = out / target / "corpus", out / target / "found"
    for folder in (kept, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(corpus.seeds(target)):
        (kept / f"seed{number}").write_bytes(data)
    words = out / target / "words.txt"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in corpus.WORDS if word))
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / f"plots.{corpus.ENDINGS[target]}"
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        file.write_bytes(data)
        what = judge(file)
        if what not in {"good", "refused"}:
            name = hashlib.sha256(_cause(what).encode()).hexdigest()[:12]  # one file for each cause, and on it goes
            (found / f"{name}.{file.suffix[1:]}").write_bytes(data)
            (found / f"{name}.txt").write_text(what, encoding="utf-8")

    options = [f"-max_total_time={int(seconds)}", f"-artifact_prefix={found}/", f"-dict={words}", "-max_len=20000"]
    atheris.Setup([sys.argv[0], *options, "-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1", str(kept)], one)
    atheris.Fuzz()


def _cause(what: str) -> str:
    """The lines of code that a fault went through; of a fault without them, what it says."""
    return "\n".join(line for line in what.splitlines() if line.startswith("  File ")) or what


def _has_atheris() -> bool:
    return subprocess.run([sys.executable, "-c", "import atheris"], capture_output=True, check=False).returncode == 0


def main() -> int:
    """Fuzz the targets one after the other; 1 where a file broke the rule."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("targets", nargs="*", default=list(corpus.TARGETS), metavar="TARGET")
    options.add_argument("--seconds", type=float, default=600.0, help="for each target")
    options.add_argument("--start", type=int, default=0, help="number of the first bent file")
    options.add_argument("--out", type=Path, default=Path("out/fuzz"))
    options.add_argument("--guided", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.guided:
        guided(given.targets[0], seconds=given.seconds, out=given.out)
    bad = 0
    for target in given.targets:
        if target in IN_PROCESS and _has_atheris():
            command = [
                sys.executable,
                __file__,
                target,
                "--guided",
                "--seconds",
                str(given.seconds),
                "--out",
                str(given.out),
            ]
            bad += subprocess.run(command, check=False).returncode != 0 or any((given.out / target / "found").iterdir())
            continue
        do = in_process if target in IN_PROCESS else through_child
        score = do(target, seconds=given.seconds, start=given.start)
        _report(target, score, given.out / target / "found")
        bad += bool(score.broken)
    return int(bad > 0)


def _report(target: str, score: Score, found: Path) -> None:
    line = {
        "target": target, "executions": score.executions, "good": score.good, "refused": score.refused,
        "broken": len(score.broken), "ended": len(score.ended),
    }  # fmt: skip
    print(json.dumps(line), flush=True)  # noqa: T201
    files = corpus.seeds(target)
    for number, what in [*score.broken.items(), *score.ended.items()]:
        found.mkdir(parents=True, exist_ok=True)
        (found / f"{number}.{corpus.ENDINGS[target]}").write_bytes(corpus.mutant(files, target, number))
        (found / f"{number}.txt").write_text(what, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
