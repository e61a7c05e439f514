"""The long run of faults: kill −9 of imports, jobs, workers and the service, on both databases where both are there.

    python tests/faults/faults.py --kills 200 --out out/faults

Prints a table and writes OUT/figures.json. Exit status 1 where anything was lost, double, different or left over.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from import_kills import kill_imports
from job_kills import kill_jobs
from upload_kills import kill_uploads

from geomap.store import Store, open_store
from geomap.store.setup import init

HERE = Path(__file__).parent
Figures = Mapping[str, Any]


@contextmanager
def sqlite_store(folder: Path) -> Iterator[Store]:
    """A new store in a file."""
    store = open_store(f"sqlite:///{folder / 'store.sqlite'}")
    init(store)
    yield store
    store.close()


def stores() -> Iterator[tuple[str, Callable[[Path], Any]]]:
    """Name and maker of a new store, for each database that is there."""
    yield "SQLite", sqlite_store
    tests = _tests()
    if (programs := tests._postgresql_programs()) is None or not tests._has_postgis(programs):
        return
    with tempfile.TemporaryDirectory(prefix="geomap-pg-", ignore_cleanup_errors=True) as place:
        cluster = tests.Cluster(Path(place), programs)
        cluster.make()
        cluster.start()
        try:
            cluster.sql("CREATE ROLE geomap_owner LOGIN", "CREATE ROLE geomap_app LOGIN", database="postgres")
            yield "PostGIS", lambda folder: postgres_store(cluster, f"s_{folder.name.replace('-', '_').lower()}")
        finally:
            cluster.stop()


@contextmanager
def postgres_store(cluster: Any, name: str) -> Iterator[Store]:
    """A new store in a database of its own, opened as the service does."""
    cluster.sql(f'CREATE DATABASE "{name}" OWNER geomap_owner', database="postgres")
    cluster.sql("CREATE EXTENSION postgis", database=name)
    owner = open_store(cluster.url("geomap_owner", name))
    init(owner)
    owner.close()
    store = open_store(cluster.url("geomap_app", name))
    yield store
    store.close()


def _tests() -> Any:
    """The fixtures of the tests, where the private PostgreSQL server is."""
    spec = importlib.util.spec_from_file_location("fixtures", HERE.parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fixtures"] = module
    spec.loader.exec_module(module)
    return module


def runs(kills: int) -> Iterator[tuple[str, Callable[[Store, Path], dict[str, Figures]]]]:
    """Name of each run of faults, and what does it: figures by name."""

    def imports(store: Store, folder: Path) -> dict[str, Figures]:
        url = store.engine.url.render_as_string(hide_password=False)
        return {"import": kill_imports(url, folder, kills=kills).figures()}

    def jobs(store: Store, folder: Path) -> dict[str, Figures]:
        scores = kill_jobs(store, folder, kills=kills, real=max(kills // 20, 1))
        return {f"job, {name}": score.figures() for name, score in scores.items()}

    def uploads(store: Store, folder: Path) -> dict[str, Figures]:
        return {"server, of an upload": kill_uploads(store, folder, kills=kills).figures()}

    yield "uploads", uploads
    yield "imports", imports
    yield "jobs", jobs


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=200, help="of servers, imports and jobs each, on each database")
    words.add_argument("--out", type=Path, default=Path("out/faults"))
    given = words.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Figures] = {}
    sys.stdout.write(f"{'what is killed':<30}{'database':<10}{'kills':>7}{'seconds':>9}  wrong\n")
    for database, make in stores():
        for name, run in runs(given.kills):
            with tempfile.TemporaryDirectory(prefix=f"geomap-{name}-") as folder, make(Path(folder)) as store:
                start = time.monotonic()
                found = run(store, Path(folder))
                seconds = time.monotonic() - start
            for what, figure in found.items():
                figures[f"{what}, {database}"] = figure
                _tell(what, database, figure, seconds)
            (given.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for what in dict.fromkeys(key.rpartition(", ")[0] for key in figures):
        parts = [figure for key, figure in figures.items() if key.rpartition(", ")[0] == what]
        _tell(
            what, "all", {"kills": sum(map(_kills, parts)), "wrong": [one for part in parts for one in part["wrong"]]}
        )
    return int(any(figure["wrong"] for figure in figures.values()))


def _kills(figure: Figures) -> int:
    return figure["kills"] if isinstance(figure["kills"], int) else sum(figure["kills"].values())


def _tell(what: str, database: str, figure: Figures, seconds: float | None = None) -> None:
    """One line of the table, and below it the kills by what was killed or what had come about."""
    wrong = "nothing" if not figure["wrong"] else f"{len(figure['wrong'])}: {figure['wrong'][0]}"
    taken = figure.get("seconds", seconds)
    shown = "" if taken is None else f"{taken:.0f}"
    sys.stdout.write(f"{what:<30}{database:<10}{_kills(figure):>7,}{shown:>9}  {wrong}\n")
    if not isinstance(figure["kills"], int):
        sys.stdout.write(f"    {', '.join(f'{name}: {count}' for name, count in sorted(figure['kills'].items()))}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
