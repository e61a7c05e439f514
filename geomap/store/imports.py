"""Imports: a file that a cooperative sent, read once, kept whole or not at all, and known again when it comes back."""

import hashlib
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from geomap.errors import FileError
from geomap.store import schema
from geomap.store.cooperatives import cooperative, locked_cooperative
from geomap.store.database import Store
from geomap.store.errors import ConflictError, NotFoundError
from geomap.store.evidence import write_rows, write_shares
from geomap.store.given import digest, given_text
from geomap.store.ids import new_id
from geomap.store.members import write_members
from geomap.store.plots import write_plots
from geomap.store.reading import KINDS, Read, read_import
from geomap.store.schema import import_findings as findings_table
from geomap.store.schema import imports as table
from geomap.store.scope import Scope, Transaction

Row = dict[str, Any]
_BLOCK: Final = 2**20


def take_in_import(
    store: Store,
    scope: Scope,
    path: Path,
    *,
    cooperative_id: str,
    kind: str,
    file_name: str,
    declared: str | None = None,
    mapping: Mapping[str, str] | None = None,
    crs: str | None = None,
    replace: bool = False,
) -> Row:
    """The import of a file, after all of it is kept; the first one where the same file was read the same way before.

    The file is read in a child process outside any transaction, then everything is written in one.

    Parameters
    ----------
    path : under a name that the caller made up, with the ending of its kind. file_name : as its sender calls it.
    kind : plots, members, shares, deliveries, field_estimates, commitments, contracts or settings.
    declared, mapping, crs : as for `geomap.plots.intake.take_in`.
    replace : what the file does not hold ends.

    Returns
    -------
    dict : the row of `imports`, and `repeated`: whether it was there before and nothing was changed.

    Raises
    ------
    NotFoundError : no such cooperative within reach. ConflictError : such files are not taken.
    GeomapError : the file cannot be read.
    """
    if kind not in KINDS:
        raise ConflictError(f"Files of {kind[:40]!r} are not taken.", todo=f"Send one of: {', '.join(KINDS)}.")
    shown = _shown_name(file_name)
    reading: Row = {"mapping": dict(mapping or {}), "crs": crs, "replace": replace}
    known = {"cooperative_id": cooperative_id, "kind": kind, "sha256": _sha256(path)}
    known["reading_sha256"] = digest({**reading, "kind": kind})
    with store.read(scope) as tx:
        of = cooperative(tx, cooperative_id)
        if (found := _same(tx, known)) is not None:
            return found
    read = read_import(path, kind, of, file_name=shown, declared=declared, mapping=mapping, crs=crs)
    if not read.rows:
        raise FileError(
            f"None of the {read.total:,} rows of {shown} is of this cooperative.",
            why="Nothing was kept.",
            todo="Write the cooperative's name as it is known here, or leave the column out.",
        )
    with store.begin(scope) as tx:
        locked_cooperative(tx, cooperative_id)
        if (found := _same(tx, known)) is not None:
            return found
        row: Row = {
            **known,
            "import_id": new_id(),
            "file_name": shown,
            "reading": reading,
            "bytes": path.stat().st_size,
        }
        _keep(tx, {**row, "rows": read.total, "account_id": scope.account_id}, read, replace=replace)
        return {**import_(tx, cooperative_id, row["import_id"]), "repeated": False}


def imports(tx: Transaction, cooperative_id: str, *, after: str = "", limit: int = 100) -> list[Row]:
    """Imports of a cooperative, the latest first; `after` is the id of the last one seen."""
    found = select(table).where(table.c.cooperative_id == cooperative_id)
    if after:
        last = import_(tx, cooperative_id, after)
        earlier = table.c.created_at < last["created_at"]
        found = found.where(earlier | ((table.c.created_at == last["created_at"]) & (table.c.import_id > after)))
    found = found.order_by(table.c.created_at.desc(), table.c.import_id).limit(limit)
    return [dict(row) for row in tx.fetch(found)]


def import_(tx: Transaction, cooperative_id: str, import_id: str) -> Row:
    """One import.

    Raises
    ------
    NotFoundError : missing, or out of reach.
    """
    row = tx.first(select(table).where(table.c.cooperative_id == cooperative_id, table.c.import_id == import_id))
    if row is None:
        raise NotFoundError("There is no such import.")
    return dict(row)


def import_findings(
    tx: Transaction, cooperative_id: str, import_id: str, *, after: int = 0, limit: int = 100
) -> list[Row]:
    """What was found in a file, blocking ones first; `after` is the `key` of the last one seen."""
    import_(tx, cooperative_id, import_id)
    found = select(findings_table).where(
        findings_table.c.cooperative_id == cooperative_id,
        findings_table.c.import_id == import_id,
        findings_table.c.key > after,
    )
    return [dict(row) for row in tx.fetch(found.order_by(findings_table.c.key).limit(limit))]


def _keep(tx: Transaction, row: Row, read: Read, *, replace: bool) -> None:
    """Write an import and all that it holds. The import comes first: its rows name it."""
    cooperative_id, kind, import_id = row["cooperative_id"], row["kind"], row["import_id"]
    tx.insert(table, {**row, "counts": {}})
    how: Any = {"import_id": import_id, "replace": replace}
    if kind == "plots":
        counts = write_plots(tx, cooperative_id, read.rows, **how)
    elif kind == "members":
        counts = write_members(tx, cooperative_id, read.rows, **how)
    elif kind == "shares":
        counts = write_shares(tx, cooperative_id, read.rows, **how)
    elif kind == "settings":
        counts = _write_settings(tx, cooperative_id, read.rows[0], replace=replace)
    else:
        counts = write_rows(tx, cooperative_id, kind, read.rows, **how)
    tx.update(table, {"counts": counts}, table.c.cooperative_id == cooperative_id, table.c.import_id == import_id)
    found = read.findings.astype(object).to_dict("records")
    for one in found:
        for effect in ("effect_ha", "effect_kg"):
            one[effect] = None if math.isnan(one[effect]) else float(one[effect])
        one |= {"cooperative_id": cooperative_id, "import_id": import_id}
    tx.insert(findings_table, found)


def _write_settings(tx: Transaction, cooperative_id: str, told: Row, *, replace: bool) -> dict[str, int]:
    old = cooperative(tx, cooperative_id)
    new = dict(told) if replace else {**old["settings"], **told}
    changed = sorted(name for name in {*old["settings"], *new} if old["settings"].get(name) != new.get(name))
    if changed:
        values = {"settings": new, "version": old["version"] + 1}
        tx.update(schema.cooperatives, values, schema.cooperatives.c.cooperative_id == cooperative_id)
    added = sum(name not in old["settings"] for name in changed)
    removed = sum(name not in new for name in changed)
    unchanged = len(told) - (len(changed) - removed)
    return {"added": added, "changed": len(changed) - added - removed, "unchanged": unchanged, "removed": removed}


def _same(tx: Transaction, known: Mapping[str, str]) -> Row | None:
    """The import of the same bytes, read the same way; None where there is none."""
    row = tx.first(select(table).where(*(table.c[name] == value for name, value in known.items())))
    return None if row is None else {**row, "repeated": True}


def _shown_name(file_name: str) -> str:
    """The sender's name of the file as it can be shown: the last part of a path, without letters nobody sees."""
    last = unicodedata.normalize("NFC", file_name).replace("\\", "/").rpartition("/")[2]
    return given_text("".join(letter for letter in last if letter.isprintable())[:200] or "file", "file name")


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
