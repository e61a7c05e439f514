"""Imports under kill −9: all of a file is kept or nothing of it, and what was acknowledged stays.

    python tests/faults/import_kills.py --kills 200                  on SQLite
    python tests/faults/import_kills.py --kills 50 --url URL         on an empty store of yours

A process of its own imports a file into a new cooperative; after a random statement and a random moment more it is
killed. Then the store must hold all of the import or none of it, all where it was acknowledged, and be whole; and the
same file, sent again, must end in exactly one import.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shapely
from sqlalchemy import func, select, text

from geomap.store import Scope, Store, imports, open_store, schema
from geomap.store.cooperatives import add_cooperative, cooperative
from geomap.store.reading import read_import
from geomap.store.scope import ALL, Transaction
from geomap.store.setup import init

LOCAL = Scope("local", ALL, "someone")
ROWS = 300
MOST_LATER_S = 0.02
TABLES = {"plots": schema.plots, "members": schema.members, "deliveries": schema.deliveries}


@dataclass
class Score:
    """What was done and what came of it; `wrong` must stay empty."""

    kills: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        return {**vars(self), "ends": dict(self.ends), "steps": dict(sorted(self.steps.items()))}


def kill_imports(url: str, folder: Path, *, kills: int, seed: int = 0) -> Score:
    """What came of so many imports that were killed; the store at `url` is made already."""
    chance, score, files = random.Random(seed), Score(), write_files(folder)
    reads = {kind: read_import(path, kind, COOP, file_name=path.name) for kind, path in files.items()}
    imports.read_import = lambda _path, kind, *_, **__: reads[kind]  # reading is outside of every transaction
    most = dict.fromkeys(files, 5)  # statements of an import, learned on the way
    for number in range(kills):
        kind = sorted(files)[number % len(files)]
        with opened(url) as store, store.begin(LOCAL) as tx:
            coop = add_cooperative(tx, code=f"{seed}-{number}", name="C", crop="coffee", country="HN")
        step, later = chance.randint(0, most[kind]), chance.random() ** 2 * MOST_LATER_S
        said = killed(url, files[kind], kind, coop, step=step, later=later)
        seen = said.count("step")
        most[kind] = max(most[kind], seen)
        score.steps[seen] += 1
        score.kills += 1
        with opened(url) as store:
            judge(store, score, files[kind], kind, coop, acknowledged="done" in said)
    return score


COOP: Mapping[str, Any] = {"code": "C", "name": "C", "country": "HN", "crop": "coffee", "settings": {}}


def write_files(folder: Path) -> dict[str, Path]:
    """A file of each kind, with `ROWS` rows each."""
    shapes = [json.loads(shapely.to_geojson(shapely.box(n / 100, 14, n / 100 + 0.001, 14.001))) for n in range(ROWS)]
    plots = [{"type": "Feature", "properties": {"plot_id": f"P{n}"}, "geometry": one} for n, one in enumerate(shapes)]
    texts = {
        "plots.geojson": json.dumps({"type": "FeatureCollection", "features": plots}),
        "members.csv": "member_id,name\n" + "".join(f"M{n},Name {n}\n" for n in range(ROWS)),
        "deliveries.csv": "member_id,season,kg green\n" + "".join(f"M{n},2023/24,{n + 1}\n" for n in range(ROWS)),
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")
    return {name.partition(".")[0]: folder / name for name in texts}


class opened:
    """The store, closed again before a process is forked."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)

    def __enter__(self) -> Store:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def killed(url: str, path: Path, kind: str, coop: str, *, step: int, later: float) -> str:
    """What a process said before it was killed, so many statements and seconds into its import."""
    out, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            _import_and_tell(url, path, kind, coop, end)
        finally:
            os._exit(0)
    os.close(end)
    said = b""
    while said.count(b"step") < step and (part := os.read(out, 65_536)):
        said += part
    time.sleep(later)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while part := os.read(out, 65_536):
        said += part
    os.close(out)
    return said.decode()


def _import_and_tell(url: str, path: Path, kind: str, coop: str, end: int) -> None:
    """Import a file, and say each statement, and at last that it is done."""

    def telling(do: Any) -> Any:
        def told(*given: Any, **more: Any) -> Any:
            os.write(end, b"step ")
            return do(*given, **more)

        return told

    for name in ("insert", "update", "delete"):
        setattr(Transaction, name, telling(getattr(Transaction, name)))
    imports.take_in_import(open_store(url), LOCAL, path, cooperative_id=coop, kind=kind, file_name=path.name)
    os.write(end, b"done")


def judge(store: Store, score: Score, path: Path, kind: str, coop: str, *, acknowledged: bool) -> None:
    """Look at what a killed import left, then send the file again."""
    before = held(store, coop, kind)
    score.ends["acknowledged" if acknowledged else "kept" if before["imports"] else "nothing"] += 1
    whole = {"imports": 1, "rows": ROWS, "places": ROWS if kind == "plots" else 0}
    if before not in (whole, dict.fromkeys(whole, 0)):
        score.wrong.append(f"a part of {kind} was kept: {before}")
    if acknowledged and before != whole:
        score.wrong.append(f"{kind} was acknowledged and is not all there: {before}")
    again = imports.take_in_import(store, LOCAL, path, cooperative_id=coop, kind=kind, file_name=path.name)
    if before == whole and not again["repeated"]:
        score.wrong.append(f"{kind} was there and was imported twice")
    if held(store, coop, kind) != whole or again["counts"]["added"] != ROWS:
        score.wrong.append(f"sent again, {kind} is not all there once: {held(store, coop, kind)}")
    if store.dialect == "sqlite":
        with store.engine.connect() as connection:
            if (found := connection.scalar(text("PRAGMA integrity_check"))) != "ok":
                score.wrong.append(f"the file is damaged: {found}")


def held(store: Store, coop: str, kind: str) -> dict[str, int]:
    """Imports, rows and places in the index of a cooperative."""
    with store.read(LOCAL) as tx:
        cooperative(tx, coop)
        found = {"imports": _count(tx, schema.imports, coop), "rows": _count(tx, TABLES[kind], coop)}
        if store.dialect == "postgresql":
            return found | {"places": found["rows"] if kind == "plots" else 0}
        both = schema.plots.join(schema.plot_places, schema.plot_places.c.key == schema.plots.c.key)
        places = select(func.count().label("n")).select_from(both).where(schema.plots.c.cooperative_id == coop)
        return found | {"places": tx.fetch(places)[0]["n"]}


def _count(tx: Transaction, table: Any, coop: str) -> int:
    counted = select(func.count().label("n")).select_from(table).where(table.c.cooperative_id == coop)
    return int(tx.fetch(counted)[0]["n"])


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--kills", type=int, default=200)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--url", help="an empty store; without it a new one in SQLite")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/geomap.sqlite"
        if not given.url:
            with opened(url) as store:
                init(store)
        score = kill_imports(url, Path(folder), kills=given.kills, seed=given.seed)
    sys.stdout.write(json.dumps(score.figures(), indent=1) + "\n")
    return 1 if score.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
