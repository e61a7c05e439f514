"""Runs: what an estimation left, kept with its inputs, versions and results. A run is added once
(`geomap.store.publishing`) and never changed.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Table, and_, func, or_, select

from geomap.store.errors import NotFoundError
from geomap.store.schema import run_files as _files
from geomap.store.schema import run_plots as _plots
from geomap.store.schema import run_rows as _rows
from geomap.store.schema import runs as _runs
from geomap.store.scope import Transaction

_LIGHT: Final = tuple(column for column in _runs.c if column.name not in ("summary", "inputs", "versions"))


# ---- reading ----


def runs(tx: Transaction, cooperative_id: str, *, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
    """Runs of a cooperative without their summaries, the newest first; `after`: last run_id of the page before."""
    where = [_runs.c.cooperative_id == cooperative_id]
    if after:
        last = run(tx, cooperative_id, after)
        same_time = and_(_runs.c.created_at == last["created_at"], _runs.c.run_id < last["run_id"])
        where.append(or_(_runs.c.created_at < last["created_at"], same_time))
    newest = select(*_LIGHT).where(*where).order_by(_runs.c.created_at.desc(), _runs.c.run_id.desc())
    return [dict(row) for row in tx.fetch(newest.limit(limit))]


def run(tx: Transaction, cooperative_id: str, run_id: str) -> dict[str, Any]:
    """One run with inputs, versions, parameters and summary.

    Raises
    ------
    NotFoundError : there is none within the scope.
    """
    row = tx.first(select(_runs).where(_runs.c.run_id == run_id, _runs.c.cooperative_id == cooperative_id))
    if row is None:
        raise NotFoundError("There is no such run.")
    return dict(row)


def run_names(tx: Transaction, cooperative_id: str, run_id: str) -> dict[str, dict[str, Any]]:
    """The tables of a run (name → rows, columns, sha256) and its files (name → media_type, bytes, sha256).

    The plots are not among the tables: `run_plots` reads them. To roles that read no files there are none.
    """
    tables: dict[str, Any] = run(tx, cooperative_id, run_id)["summary"]["stored"]
    if tx.scope.role not in _files.info["read"]:
        return {"tables": tables, "files": {}}
    length = func.length(_files.c.content).label("bytes")
    files = select(_files.c.name, _files.c.media_type, _files.c.sha256, length).order_by(_files.c.name)
    found = tx.fetch(files.where(*_of(_files, cooperative_id, run_id)))
    return {"tables": tables, "files": {row["name"]: {key: row[key] for key in row if key != "name"} for row in found}}


def run_rows(
    tx: Transaction,
    cooperative_id: str,
    run_id: str,
    name: str,
    *,
    after: int = -1,
    limit: int = 100,
    ids: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of one table of a run in their order: position, id, cells (column → value).

    `after` is the last position of the page before; `ids` keeps the rows of these members, cooperatives or plots.

    Raises
    ------
    NotFoundError : there is no such run within the scope, or no such table in it.
    """
    if name not in run(tx, cooperative_id, run_id)["summary"]["stored"]:
        raise NotFoundError("The run has no such table.")
    where = [*_of(_rows, cooperative_id, run_id), _rows.c.name == name, _rows.c.position > after]
    if ids is not None:
        where.append(_rows.c.id.in_(ids))
    page = select(_rows.c.position, _rows.c.id, _rows.c.cells).where(*where).order_by(_rows.c.position)
    return [dict(row) for row in tx.fetch(page.limit(limit))]


def run_plots(
    tx: Transaction,
    cooperative_id: str,
    run_id: str,
    *,
    after: int = -1,
    limit: int = 100,
    ids: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Plots of a run in their order: position, plot_id, member_id, cells (column → value), geometry (WKB or None).

    Raises
    ------
    NotFoundError : there is no such run within the scope.
    """
    run(tx, cooperative_id, run_id)
    where = [*_of(_plots, cooperative_id, run_id), _plots.c.position > after]
    if ids is not None:
        where.append(_plots.c.plot_id.in_(ids))
    columns = (_plots.c.position, _plots.c.plot_id, _plots.c.member_id, _plots.c.cells, _plots.c.geometry)
    page = select(*columns).where(*where).order_by(_plots.c.position)
    return [dict(row) for row in tx.fetch(page.limit(limit))]


def run_file(tx: Transaction, cooperative_id: str, run_id: str, name: str) -> dict[str, Any]:
    """One file of a run: name, media_type, sha256, content (bytes).

    Raises
    ------
    NotFoundError : there is no such run within the scope, or no such file of it.
    """
    row = tx.first(select(_files).where(*_of(_files, cooperative_id, run_id), _files.c.name == name))
    if row is None:
        raise NotFoundError("The run has no such file.")
    return {key: row[key] for key in ("name", "media_type", "sha256", "content")}


def _of(table: Table, cooperative_id: str, run_id: str) -> Iterable[Any]:
    return (table.c.cooperative_id == cooperative_id, table.c.run_id == run_id)
