"""What a job left becomes a run: read and encoded before the transaction, so that others wait for the writing alone.

SQLite has one writer at a time. Texts, shapes and hashes are made ready in a file beside the results; under the lock
they are copied.
"""

import hashlib
import json
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from sqlalchemy import Table

from geomap.store.schema import run_files as _files
from geomap.store.schema import run_plots as _plots
from geomap.store.schema import run_rows as _rows
from geomap.store.schema import runs as _runs
from geomap.store.scope import Transaction

if TYPE_CHECKING:
    from geomap.store.jobs import Claim

ROWS, PLOTS, FILES = "rows", "plots.jsonl", "files"
"""In a folder of results: a folder of tables, the plots, and what `geomap estimate` writes."""
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
_OPENED: Final = (".html", ".pdf", ".png", ".xlsx")
_KEPT: Final = ("summary.json", "plots.parquet", "classes.csv", "findings.csv")
"""Beside pages and documents: what `geomap explain` reads."""
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "run_rows": ("name", "position", "id", "cells"),
    "run_plots": ("position", "plot_id", "member_id", "cells", "geometry"),
}
_BATCH: Final = 2_000


@dataclass(frozen=True)
class Ready:
    """Results that only need to be copied.

    Attributes
    ----------
    summary : summary.json. stored : table → rows, columns, sha256. results_sha256 : of all tables and the plots.
    files : path and sha256 of each file that is kept.
    spool : batches of rows as tuples, each after the name of its table; cells are JSON, shapes WKB.
    """

    summary: Mapping[str, Any]
    stored: Mapping[str, Any]
    results_sha256: str
    files: Sequence[tuple[Path, str]]
    spool: IO[bytes]

    def batches(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """Name of a table and some of its rows, in the order of `_COLUMNS`."""
        self.spool.seek(0)
        while True:
            try:
                yield pickle.load(self.spool)
            except EOFError:
                return


@contextmanager
def made_ready(results: Path) -> Iterator[Ready]:
    """The results of a job, read, checked and encoded.

    Parameters
    ----------
    results : folder with `files` (what `geomap estimate` writes, summary.json among it), `rows` (a file NAME.jsonl per
        table: a line with the names of its columns, then a line per row: id, cells) and `plots.jsonl` (the same, of
        plot_id, member_id, cells and geometry as WKB in hexadecimal).
    """
    tables = sorted((results / ROWS).glob("*.jsonl"))
    stored = {path.stem: _described(path) for path in tables}
    files = [path for path in sorted((results / FILES).iterdir()) if path.suffix in _OPENED
             or path.name in _KEPT]  # fmt: skip
    with tempfile.TemporaryFile(dir=results) as spool:
        for path in tables:
            _spool(spool, "run_rows", ((path.stem, place, line["id"], json.dumps(line["cells"]))
                                       for place, line in enumerate(_lines(path))))  # fmt: skip
        _spool(spool, "run_plots", ((place, line["plot_id"], line["member_id"], json.dumps(line["cells"]), _shape(line))
                                    for place, line in enumerate(_lines(results / PLOTS))))  # fmt: skip
        yield Ready(
            summary=json.loads((results / FILES / "summary.json").read_text(encoding="utf-8")),
            stored=stored,
            results_sha256=_sha256_of_json({**stored, PLOTS: _described(results / PLOTS)}),
            files=[(path, _sha256(path)) for path in files],
            spool=spool,
        )


def add_run(tx: Transaction, run_id: str, claim: "Claim", ready: Ready) -> None:
    """Add a run with all it left, in the transaction that ends its job."""
    own = {"cooperative_id": claim.cooperative_id, "run_id": run_id}
    tx.insert(_runs, own | _row(claim, ready))
    tables: Mapping[str, Table] = {"run_rows": _rows, "run_plots": _plots}
    for name, rows in ready.batches():
        tx.insert_encoded(tables[name], own, _COLUMNS[name], rows)
    for path, sha256 in ready.files:
        kept = {"name": path.name, "media_type": MEDIA_TYPES[path.suffix], "sha256": sha256}
        tx.insert(_files, {**own, **kept, "content": path.read_bytes()})


def _row(claim: "Claim", ready: Ready) -> dict[str, Any]:
    """The run itself."""
    summary, parameters = ready.summary, dict(claim.parameters)
    chosen, versions = summary["parameters"], {**summary["versions"], "tables": summary["tables"]}
    asked = {name: value for name, value in parameters.items() if name != "title"}
    inputs = {"inputs": summary["inputs"], "parameters": asked, "versions": versions, "kind": claim.kind}
    return {
        "job_id": claim.job_id,
        "title": str(parameters.get("title") or ""),
        **{name: chosen[name] or "" for name in ("crop", "form", "season")},
        "parameters": parameters,
        "inputs": summary["inputs"],
        "versions": versions,
        "summary": {**summary, "stored": ready.stored},
        "inputs_sha256": _sha256_of_json(inputs),
        "results_sha256": ready.results_sha256,
        "account_id": claim.account_id,
    }


def _described(path: Path) -> dict[str, Any]:
    """Rows, columns and fingerprint of a table."""
    with path.open("rb") as file:
        columns = json.loads(next(file))
        count = sum(1 for _ in file)
        file.seek(0)
        return {"rows": count, "columns": columns, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        next(file)
        yield from map(json.loads, file)


def _shape(line: Mapping[str, Any]) -> bytes | None:
    return None if line["geometry"] is None else bytes.fromhex(line["geometry"])


def _spool(spool: IO[bytes], name: str, rows: Iterator[tuple[Any, ...]]) -> None:
    while batch := list(islice(rows, _BATCH)):
        pickle.dump((name, batch), spool, protocol=pickle.HIGHEST_PROTOCOL)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of_json(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
