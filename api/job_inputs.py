"""What a job reads: the cooperative's files as they stand now, and rasters pinned until the job ends."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from geomap.errors import ColumnError, FileError, RasterError, UnknownNameError
from geomap.sandbox import Limits
from geomap.store import Store
from geomap.store.cooperatives import cooperative
from geomap.store.errors import NotFoundError
from geomap.store.jobs import Claim, InputChangedError
from geomap.store.schema import rasters as _rasters
from geomap.store.scope import WORKER, Transaction
from geomap.store.snapshot import snapshot

_OPTIONS: Final = ("season", "form", "base_yield_kg")
_BROUGHT: Final = ("as_of", "delivered_share")
_WORDS: Final = {"language": "en", "reader": "office"}
PARAMETERS: Final = frozenset({"title", "crop", "country", "by", "rasters", *_OPTIONS, *_BROUGHT, *_WORDS})
"""What a job of an estimate may be told; `rasters` are ids, `by` columns to sum by, the rest as `estimate` names it."""
_PEOPLE: Final = frozenset({"name", "phone"})
_THREADS: Final = 2


@dataclass(frozen=True)
class Pinned:
    """Rasters as they were when the job began: path, fingerprint in the store, and what the file system said."""

    files: Sequence[tuple[Path, str, tuple[int, ...]]]

    def require_unchanged(self) -> None:
        """Raise where a raster was changed, replaced or removed since.

        Raises
        ------
        InputChangedError : it was.
        """
        for path, _, facts in self.files:
            if _facts(path) != facts:
                raise _changed()

    def require_read(self, results: Path) -> None:
        """Raise where the job read other bytes than those that the store names.

        Raises
        ------
        InputChangedError : it did.
        """
        summary = json.loads((results / "files" / "summary.json").read_text(encoding="utf-8"))
        read = sorted(given["sha256"] for given in summary["inputs"] if given["role"] == "raster")
        if read != sorted(sha256 for _, sha256, _ in self.files):
            raise _changed()


def prepare(store: Store, held: Claim, inputs: Path, limits: Limits) -> tuple[dict[str, Any], Pinned]:
    """Write the cooperative's files into `inputs`; the request for `api.job_child` and the pinned rasters.

    Raises
    ------
    UnknownNameError : a parameter or raster is not known. FileError : the cooperative has no plots.
    """
    told = dict(held.parameters)
    if strange := sorted(told.keys() - PARAMETERS):
        raise UnknownNameError(
            f"A run knows no parameter {strange[0]!r}.", todo=f"Use some of: {', '.join(sorted(PARAMETERS))}."
        )
    by = [str(column) for column in told.get("by") or ()]
    if people := sorted(_PEOPLE.intersection(by)):
        raise ColumnError(
            f"A run cannot sum by {people[0]!r}.", why="Its tables hold no names of people.", todo="Use ids."
        )
    with store.read(WORKER) as tx:
        owner = cooperative(tx, held.cooperative_id)
        pinned, product = _pin(tx, [str(raster_id) for raster_id in told.get("rasters") or ()])
        snapshot(tx, held.cooperative_id, inputs)
    if not (inputs / "plots.parquet").is_file():
        raise FileError("The cooperative has no plots yet.", todo="Import plots first.")
    place = {name: told.get(name) or owner[name] for name in ("crop", "country")}
    request = {
        "parent": os.getpid(),
        "limits": {name: getattr(limits, name) for name in ("memory_bytes", "cpu_s", "file_bytes")},
        "rasters": [str(path) for path, _, _ in pinned.files],
        "options": {"product": product, **place, "by": by, "workers": _THREADS, **_some(told, _OPTIONS)},
        "brought": _some(told, _BROUGHT),
        "words": {name: told.get(name) or usual for name, usual in _WORDS.items()},
    }
    return request, pinned


def _some(told: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: told[name] for name in names if told.get(name) is not None}


def _pin(tx: Transaction, raster_ids: Sequence[str]) -> tuple[Pinned, str]:
    """The rasters, in the order of their names, and the product that they are of."""
    found = tx.fetch(select(_rasters).where(_rasters.c.raster_id.in_(raster_ids), _rasters.c.retired_at.is_(None)))
    rows = sorted(found, key=lambda row: (row["name"], row["sha256"]))
    products = sorted({str(row["product"]) for row in rows})
    if not rows or len(rows) != len(set(raster_ids)):
        raise NotFoundError("There is no such raster.", todo="Name rasters of GET /rasters.")
    if len(products) > 1:
        raise RasterError(
            f"The rasters are of {len(products)} products: {', '.join(products)}.",
            why="A run is measured on one map.",
            todo="Name rasters of one product.",
        )
    files = [(Path(row["path"]), str(row["sha256"]), _facts(Path(row["path"]))) for row in rows]
    if not all(facts for _, _, facts in files):
        raise _changed()
    return Pinned(files), products[0]


def _facts(path: Path) -> tuple[int, ...]:
    """What changes when a file is written, replaced or touched; empty where it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _changed() -> InputChangedError:
    return InputChangedError(
        "A land-cover raster is not the file that was registered, or was changed while the job ran.",
        why="A run must rest on one map, and its numbers must come again from the same map.",
        todo="Ask the operator to register the raster anew, then run again.",
    )
