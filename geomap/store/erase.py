"""To be forgotten: a member with name, phone, plots and rows, or a cooperative with all it owns.

What goes is deleted, not marked. Sums of many members stay. Backups made before still hold what they held.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, select

from geomap.store import audit, schema
from geomap.store.cooperatives import locked_cooperative
from geomap.store.database import Store, told_plainly
from geomap.store.errors import NotFoundError, StoreBusyError
from geomap.store.ids import new_id
from geomap.store.person import Person
from geomap.store.schema import plots as plots_table
from geomap.store.scope import Transaction
from geomap.store.types import now
from geomap.supply.disclosure import MIN_MEMBERS

LISTS: Final = (schema.deliveries, schema.field_estimates, schema.commitments, schema.contracts)
NAMELESS_FILES: Final = frozenset({"map_share.html"})
"""Files of a run that hold sums of many members and nothing else."""
_TEXTS: Final[dict[Table, tuple[str, ...]]] = {
    plots_table: ("attributes",),
    schema.deliveries: ("cells",),
    schema.field_estimates: ("cells",),
    schema.commitments: ("cells",),
    schema.contracts: ("cells",),
    schema.members: ("attributes",),
    schema.jobs: ("parameters", "progress", "error"),
    schema.runs: ("parameters", "inputs", "summary"),
}
"""Where a text about somebody may stand in a row of somebody else: columns of JSON."""
_OF_MEMBERS: Final = frozenset({"members", "member_alarms"})
"""Tables of a run whose rows are of one member each, by their id."""
_OF_PLOTS: Final = ("plot_id", "plot_a", "plot_b", "other_plot_id")
_AT_ONCE: Final = 5_000


def erase_member(tx: Transaction, cooperative_id: str, member_id: str) -> dict[str, int]:
    """How many rows of each table went with a member, who may already be off the list; said in the audit log.

    Name, phone, consents, plots with their history, deliveries and other rows, decisions and findings on the plots go.
    Of runs: the member's own rows and plots, files that may name people, and sums of fewer than ten members. A plot
    that others share stays without the member. What is kept of releases for the judgement of the next one holds a
    random id in the member's place; who signed them, and notes, go where they name the member.

    Raises
    ------
    NotFoundError : nothing of such a member within reach.
    """
    locked_cooperative(tx, cooperative_id)
    _start_jobs_anew(tx, cooperative_id)
    person = _person(tx, cooperative_id, member_id)
    gone = {
        "plots": _erase_plots(tx, cooperative_id, person),
        "decisions": _erase_decisions(tx, cooperative_id, person),
        "import_findings": _erase_findings(tx, cooperative_id, person),
        "run_rows": _erase_from_runs(tx, cooperative_id, person),
    }
    for table in (*LISTS, schema.plot_shares):
        gone[table.name] = _delete(tx, table, cooperative_id, _keys_of(tx, table, cooperative_id, person))
    for table in (schema.consents, schema.member_people, schema.members):
        of = (table.c.cooperative_id == cooperative_id, table.c.member_id == member_id)
        gone[table.name] = tx.delete(table, *of)
    if not any(gone.values()):
        raise NotFoundError("There is no such member.")
    _clean_texts(tx, cooperative_id, person)
    _clean_imports(tx, cooperative_id, person)
    _rename_in_bases(tx, cooperative_id, person)
    _clean_releases(tx, cooperative_id, person)
    audit.record(tx, "members.erase", cooperative_id=cooperative_id, object=member_id)
    return gone


def erase_cooperative(tx: Transaction, cooperative_id: str) -> None:
    """Delete all that a cooperative owns; said in the audit log, which stays.

    Its id stays taken, without name, code or settings, so that the log and the accounts still refer to something.

    Raises
    ------
    NotFoundError : missing, or out of reach.
    """
    locked_cooperative(tx, cooperative_id)
    _start_jobs_anew(tx, cooperative_id)
    own = [table for table in schema.OWN_TABLES if table is not schema.cooperatives]
    for table in reversed(own):  # those that refer to others first
        tx.delete(table, table.c.cooperative_id == cooperative_id)
    left = {"code": f"left {cooperative_id}", "name": "", "country": "", "crop": "", "settings": {}, "left_at": now()}
    tx.update(schema.cooperatives, left, schema.cooperatives.c.cooperative_id == cooperative_id)
    audit.record(tx, "cooperatives.erase", cooperative_id=cooperative_id, object=cooperative_id)


def clean_pages(store: Store) -> bool:
    """Take what was deleted out of SQLite's journal too, after the transaction that deleted it; whether that was done.

    While somebody reads an older state, the journal cannot be emptied: then it is False, and a worker does it at its
    next sweep. In the file itself deleted content is overwritten at once (`secure_delete`). In PostgreSQL deleted rows
    are out of reach at once, and gone with the next VACUUM, which it does by itself.
    """
    if store.dialect != "sqlite":
        return True
    try:
        with told_plainly(), store.engine.connect() as connection:
            busy, _, _ = connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except StoreBusyError:
        return False
    return not busy


def _start_jobs_anew(tx: Transaction, cooperative_id: str) -> None:
    """Let no job publish what it read before: its claim is void, and whoever takes it next reads anew."""
    jobs = schema.jobs
    anew = {"state": "queued", "fence": jobs.c.fence + 1, "worker": "", "lease_until": None}
    tx.update(jobs, anew, jobs.c.cooperative_id == cooperative_id, jobs.c.state.in_(("queued", "running")))


def _person(tx: Transaction, cooperative_id: str, member_id: str) -> Person:
    people = schema.member_people
    known = tx.first(select(people).where(people.c.cooperative_id == cooperative_id, people.c.member_id == member_id))
    alone = Person(member_id) if known is None else Person(member_id, known["name"], known["phone"])
    owned = {
        row["plot_id"]
        for row in tx.fetch(
            select(plots_table.c.plot_id, plots_table.c.member_id).where(plots_table.c.cooperative_id == cooperative_id)
        )
        if alone.is_who(row["member_id"])
    }
    return Person(alone.member_id, alone.name, alone.phone, frozenset(owned - _shared(tx, cooperative_id, alone)))


def _shared(tx: Transaction, cooperative_id: str, person: Person) -> set[str]:
    """Plots that somebody else farms too, or farms today."""
    shares = schema.plot_shares
    by_share = select(shares.c.plot_id, shares.c.member_id).where(shares.c.cooperative_id == cooperative_id)
    by_version = select(plots_table.c.plot_id, plots_table.c.member_id).where(
        plots_table.c.cooperative_id == cooperative_id
    )
    rows = [*tx.fetch(by_share), *tx.fetch(by_version)]
    return {row["plot_id"] for row in rows if row["member_id"] and not person.is_who(row["member_id"])}


def _erase_plots(tx: Transaction, cooperative_id: str, person: Person) -> int:
    """Plots go with all versions. Of those that others farm, versions stay without the member."""
    kept, gone = [], []
    columns = (plots_table.c.key, plots_table.c.plot_id, plots_table.c.member_id)
    for row in tx.fetch(select(*columns).where(plots_table.c.cooperative_id == cooperative_id)):
        if row["plot_id"] in person.plots:
            gone.append(row["key"])
        elif person.is_who(row["member_id"]):
            kept.append(row["key"])
    for some in _parts(kept):
        of = (plots_table.c.cooperative_id == cooperative_id, plots_table.c.key.in_(some))
        tx.update(plots_table, {"member_id": "", "sha256": ""}, *of)  # the hash is of who farmed it, too
    return _delete(tx, plots_table, cooperative_id, gone)


def _erase_decisions(tx: Transaction, cooperative_id: str, person: Person) -> int:
    table = schema.decisions
    rows = tx.fetch(select(table).where(table.c.cooperative_id == cooperative_id))
    keys = [row["key"] for row in rows if {row["plot_id"], row["other_plot_id"]} & person.plots]
    return _delete(tx, table, cooperative_id, keys)


def _erase_findings(tx: Transaction, cooperative_id: str, person: Person) -> int:
    table = schema.import_findings
    rows = tx.fetch(
        select(table.c.key, table.c.plot_id, table.c.message).where(table.c.cooperative_id == cooperative_id)
    )
    keys = [
        row["key"]
        for row in rows
        if row["plot_id"] in person.plots or person.is_who(row["plot_id"]) or person.is_in(row["message"])
    ]
    return _delete(tx, table, cooperative_id, keys)


def _erase_from_runs(tx: Transaction, cooperative_id: str, person: Person) -> int:
    """The member's rows and plots in runs; where there are any, also sums of few and files that may name people."""
    runs, plots, files = schema.runs, schema.run_plots, schema.run_files
    gone = 0
    for run in tx.fetch(select(runs.c.run_id).where(runs.c.cooperative_id == cooperative_id)):
        run_id = run["run_id"]
        found = tx.fetch(
            select(plots.c.position, plots.c.plot_id, plots.c.member_id, plots.c.cells).where(
                plots.c.cooperative_id == cooperative_id, plots.c.run_id == run_id
            )
        )
        positions = [
            row["position"]
            for row in found
            if person.is_who(row["member_id"]) or row["plot_id"] in person.plots or person.is_within(row["cells"])
        ]
        for some in _parts(positions):
            tx.delete(
                plots, plots.c.cooperative_id == cooperative_id, plots.c.run_id == run_id, plots.c.position.in_(some)
            )
        rows = _erase_run_rows(tx, cooperative_id, run_id, person, is_in=bool(positions))
        if rows or positions:
            of = (files.c.cooperative_id == cooperative_id, files.c.run_id == run_id)
            tx.delete(files, *of, files.c.name.not_in(sorted(NAMELESS_FILES)))
        gone += rows + len(positions)
    return gone


def _erase_run_rows(tx: Transaction, cooperative_id: str, run_id: str, person: Person, *, is_in: bool) -> int:
    table = schema.run_rows
    of = (table.c.cooperative_id == cooperative_id, table.c.run_id == run_id)
    rows = tx.fetch(select(table.c.name, table.c.position, table.c.id, table.c.cells).where(*of))
    own = {(row["name"], row["position"]) for row in rows if _is_own(row["name"], row["id"], row["cells"], person)}
    if own or is_in:
        own |= {(row["name"], row["position"]) for row in rows if _is_of_few(row["cells"])}
    for name in sorted({name for name, _ in own}):
        for some in _parts(sorted(position for other, position in own if other == name)):
            tx.delete(table, *of, table.c.name == name, table.c.position.in_(some))
    return len(own)


def _is_own(name: str, row_id: str, cells: Mapping[str, Any], person: Person) -> bool:
    """Whether a row of a run's table is of the member or one of the plots, or names them."""
    ids = [cells.get("member_id"), cells.get("plot_id") if name == "findings" else None]
    if any(map(person.is_who, [*ids, row_id] if name in _OF_MEMBERS else ids)):
        return True
    return any(cells.get(column) in person.plots for column in _OF_PLOTS) or person.is_within(cells)


def _is_of_few(cells: dict[str, Any]) -> bool:
    members = cells.get("members")
    return isinstance(members, int | float) and members < MIN_MEMBERS


def _keys_of(tx: Transaction, table: Table, cooperative_id: str, person: Person) -> list[int]:
    """Keys of the rows that are of the member, by id or by name, or of the plots that go."""
    columns = [table.c[name] for name in ("key", "member_id", "plot_id", "cells") if name in table.c]
    rows = tx.fetch(select(*columns).where(table.c.cooperative_id == cooperative_id))
    return [
        row["key"]
        for row in rows
        if person.is_who(row["member_id"]) or {row.get("plot_id"), row.get("cells", {}).get("plot_id")} & person.plots
    ]


def _clean_texts(tx: Transaction, cooperative_id: str, person: Person) -> None:
    """Take out texts about the person that stand in rows of others."""
    for table, names in _TEXTS.items():
        key = next(iter(table.primary_key))
        rows = tx.fetch(select(key, *(table.c[name] for name in names)).where(table.c.cooperative_id == cooperative_id))
        for row in rows:
            cleaned = {name: person.without(row[name]) for name in names if person.is_within(row[name])}
            if cleaned:
                tx.update(table, cleaned, table.c.cooperative_id == cooperative_id, key == row[key.name])


def _clean_imports(tx: Transaction, cooperative_id: str, person: Person) -> None:
    table = schema.imports
    rows = tx.fetch(select(table.c.import_id, table.c.file_name).where(table.c.cooperative_id == cooperative_id))
    for row in rows:
        if person.is_in(row["file_name"]):
            of = (table.c.cooperative_id == cooperative_id, table.c.import_id == row["import_id"])
            tx.update(table, {"file_name": "file"}, *of)


def _rename_in_bases(tx: Transaction, cooperative_id: str, person: Person) -> None:
    """Another id in what releases are judged by: without the values, the difference to the next would show them."""
    table, other = schema.release_bases, f"erased {new_id()}"
    for row in tx.fetch(select(table).where(table.c.cooperative_id == cooperative_id)):
        basis = person.renamed(row["basis"], other)
        if basis != row["basis"]:
            of = (table.c.cooperative_id == cooperative_id, table.c.release_id == row["release_id"])
            tx.update(table, {"basis": basis}, *of)


def _clean_releases(tx: Transaction, cooperative_id: str, person: Person) -> None:
    """Take out who signed, and notes, where they name the person; sums of many members stay."""
    table = schema.releases
    columns = (table.c.release_id, table.c.signed_by, table.c.note)
    for row in tx.fetch(select(*columns).where(table.c.cooperative_id == cooperative_id)):
        named = {name: "" for name in ("signed_by", "note") if person.is_who(row[name]) or person.is_in(row[name])}
        if named:
            tx.update(table, named, table.c.cooperative_id == cooperative_id, table.c.release_id == row["release_id"])


def _delete(tx: Transaction, table: Table, cooperative_id: str, keys: Iterable[int]) -> int:
    held: ColumnElement[bool] = table.c.cooperative_id == cooperative_id
    return sum(tx.delete(table, held, table.c.key.in_(some)) for some in _parts(list(keys)))


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
