"""The queue: a job is a row that a worker claims for a while, keeps by a heartbeat, and ends with its results at once.

Nothing here trusts the clock of a machine or the good health of a worker. A claim lasts for its lease by the database's
clock; each claim raises the job's `fence` by one; and heartbeat, publication and failure count only while the job is
still running under the fence of the claim. A worker that was stopped past its lease can no longer change anything.

    queued → running → done | failed | cancelled
    running → queued     the child died, the lease ran out (at most 3 attempts), or the worker was told to stop
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select

from geomap.errors import GeomapError
from geomap.store.database import Store
from geomap.store.errors import ConflictError, NotFoundError, StoreError
from geomap.store.ids import new_id
from geomap.store.publishing import add_run, made_ready
from geomap.store.schema import jobs as _jobs
from geomap.store.scope import WORKER, Transaction
from geomap.store.types import now

MOST_ATTEMPTS: Final = 3
LEASE_S: Final = 60.0
_ENDED: Final = ("done", "failed", "cancelled")

Word = Literal["go", "cancel", "lost"]
"""What a worker hears: go on · somebody asked to cancel · the job is no longer its own."""

MOST_UNDER_WAY: Final = 10
"""Jobs of one cooperative that may be queued or running at a time."""


class JobDiedError(GeomapError):
    """The process of a job ended without an answer; the same job may work when it is tried again."""

    code = "job_died"


class InputChangedError(ConflictError):
    """A file that a job reads was changed or replaced while it ran."""

    code = "input_changed"


class ClaimLostError(ConflictError):
    """The job was given to another worker, cancelled or ended; what this worker made of it counts no more."""

    code = "claim_lost"


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds until the lease ends, and longer with each heartbeat.

    Attributes
    ----------
    job_id, cooperative_id, kind, parameters, account_id : the job.
    worker : who holds it. attempt : 1 for the first. fence : grows with every claim of the job.
    lease_s : seconds that each heartbeat adds.
    """

    job_id: str
    cooperative_id: str
    kind: str
    parameters: Mapping[str, Any]
    account_id: str
    worker: str
    attempt: int
    fence: int
    lease_s: float


# ---- what an office asks ----


def add_job(
    tx: Transaction,
    *,
    cooperative_id: str,
    parameters: Mapping[str, Any],
    inputs_sha256: str = "",
    kind: str = "estimate",
) -> dict[str, Any]:
    """A new job at the end of the queue."""
    job_id = new_id()
    row = {
        "job_id": job_id,
        "cooperative_id": cooperative_id,
        "kind": kind,
        "parameters": dict(parameters),
        "inputs_sha256": inputs_sha256,
        "state": "queued",
        "account_id": tx.scope.account_id,
    }
    tx.insert(_jobs, row)
    return job(tx, cooperative_id, job_id)


def require_room(tx: Transaction, cooperative_id: str) -> None:
    """Raise where a cooperative has as many jobs under way as it may: others wait for the same workers.

    Raises
    ------
    ConflictError : 10 of its jobs are queued or running.
    """
    under_way = select(_jobs.c.job_id).where(
        _jobs.c.cooperative_id == cooperative_id, _jobs.c.state.in_(("queued", "running"))
    )
    if len(tx.fetch(under_way.limit(MOST_UNDER_WAY))) >= MOST_UNDER_WAY:
        raise ConflictError(
            f"{MOST_UNDER_WAY} estimates of the cooperative are under way already.",
            why="All cooperatives wait for the same workers.",
            todo="Wait for one to end, or cancel one.",
        )


def job(tx: Transaction, cooperative_id: str | None, job_id: str) -> dict[str, Any]:
    """One job; `cooperative_id` None: of any cooperative within the scope, for the operator.

    Raises
    ------
    NotFoundError : there is none within the scope.
    """
    row = tx.first(select(_jobs).where(_jobs.c.job_id == job_id, *_of(cooperative_id)))
    if row is None:
        raise NotFoundError("There is no such job.")
    return dict(row)


def jobs(
    tx: Transaction,
    cooperative_id: str | None = None,
    *,
    states: Sequence[str] = (),
    after: str = "",
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Jobs within the scope, the newest first; `after` is the last job_id of the page before.

    `states` keeps those in one of these states; `cooperative_id` those of one cooperative.
    """
    where = [*_of(cooperative_id), *([_jobs.c.state.in_(states)] if states else [])]
    if after:
        last = job(tx, cooperative_id, after)
        same_time = and_(_jobs.c.created_at == last["created_at"], _jobs.c.job_id < last["job_id"])
        where.append(or_(_jobs.c.created_at < last["created_at"], same_time))
    newest = select(_jobs).where(*where).order_by(_jobs.c.created_at.desc(), _jobs.c.job_id.desc())
    return [dict(row) for row in tx.fetch(newest.limit(limit))]


def queue_place(tx: Transaction, job_id: str) -> int:
    """How many jobs are to be started before this one; 0 where it is next or runs already.

    It counts jobs within the scope of the transaction: for the true place ask in the scope of the service's worker.
    """
    asked = job(tx, None, job_id)
    if asked["state"] != "queued":
        return 0
    earlier = and_(_jobs.c.created_at == asked["created_at"], _jobs.c.job_id < job_id)
    ahead = select(func.count().label("jobs")).select_from(_jobs)
    ahead = ahead.where(_jobs.c.state == "queued", or_(_jobs.c.created_at < asked["created_at"], earlier))
    return int(tx.fetch(ahead)[0]["jobs"])


def ask_cancel(tx: Transaction, cooperative_id: str | None, job_id: str) -> dict[str, Any]:
    """The job after it was asked to stop: cancelled where it waits; where it runs, its worker ends it within seconds.

    A job that has ended stays as it is.

    Raises
    ------
    NotFoundError : there is none within the scope.
    """
    this = (_jobs.c.job_id == job_id, *_of(cooperative_id))
    tx.update(_jobs, {"state": "cancelled", "ended_at": now()}, *this, _jobs.c.state == "queued")
    tx.update(_jobs, {"cancel_asked": True}, *this, _jobs.c.state == "running")
    return job(tx, cooperative_id, job_id)


# ---- what a worker does ----


def claim(store: Store, worker: str, *, lease_s: float = LEASE_S) -> Claim | None:
    """The next job that waits, or whose worker let its lease run out; None where there is none.

    Cooperatives take turns: of those with the fewest jobs running the oldest job comes first.

    Jobs whose lease ran out for the last time are ended here, and so are those that somebody cancelled meanwhile.
    """
    with store.begin(WORKER) as tx:
        _bury(tx)
        free = or_(_jobs.c.state == "queued", _is_abandoned())
        running = select(_jobs.c.cooperative_id, func.count().label("jobs")).where(_jobs.c.state == "running")
        of_each = {row["cooperative_id"]: row["jobs"] for row in tx.fetch(running.group_by(_jobs.c.cooperative_id))}
        turn = case(of_each, value=_jobs.c.cooperative_id, else_=0) if of_each else literal(0)
        oldest = select(_jobs).where(free).order_by(turn, _jobs.c.created_at, _jobs.c.job_id)
        row = tx.first(oldest.with_for_update(skip_locked=True))
        return None if row is None else take(tx, dict(row), worker, lease_s=lease_s)


def take(tx: Transaction, row: Mapping[str, Any], worker: str, *, lease_s: float = LEASE_S) -> Claim:
    """The claim on a job that this transaction has just added or locked."""
    values = {
        "state": "running",
        "worker": worker,
        "attempt": row["attempt"] + 1,
        "fence": row["fence"] + 1,
        "lease_until": now() + lease_s,
        "started_at": func.coalesce(_jobs.c.started_at, now()),
        "progress": {},
    }
    tx.update(_jobs, values, _jobs.c.job_id == row["job_id"])
    named = {name: row[name] for name in ("job_id", "cooperative_id", "kind", "parameters", "account_id")}
    return Claim(**named, worker=worker, attempt=values["attempt"], fence=values["fence"], lease_s=lease_s)


def heartbeat(store: Store, claim: Claim, progress: Mapping[str, Any]) -> Word:
    """Prolong the lease, leave the progress (stage, done, total), and hear whether to go on."""
    with store.begin(WORKER) as tx:
        values = {"lease_until": now() + claim.lease_s, "progress": dict(progress)}
        if not tx.update(_jobs, values, *_held(claim)):
            return "lost"
        return "cancel" if job(tx, claim.cooperative_id, claim.job_id)["cancel_asked"] else "go"


def publish(store: Store, claim: Claim, results: Path) -> str:
    """The id of the run that the results become; run, rows, files and the job's end are one transaction.

    `results` is the folder that `api.job_child` leaves; see `geomap.store.publishing.made_ready`.

    Raises
    ------
    ClaimLostError : the job is no longer this worker's, or was cancelled. Nothing is kept.
    """
    live = (*_held(claim), _jobs.c.cancel_asked.is_(False))
    with store.read(WORKER) as tx:  # before anything is read in vain
        if tx.first(select(_jobs.c.job_id).where(*live)) is None:
            raise _lost()
    with made_ready(results) as ready, store.begin(WORKER) as tx:
        run_id = new_id()
        values = {"state": "done", "run_id": run_id, "ended_at": now(), "lease_until": None, "error": None}
        if not tx.update(_jobs, values, *live):
            raise _lost()
        add_run(tx, run_id, claim, ready)
        return run_id


def fail(store: Store, claim: Claim, error: Exception) -> str:
    """The state of the job after an error: queued again where trying again may help, else failed; "" where it is lost.

    A child that died, a store that was busy or full and a disk that failed are tried again, up to `MOST_ATTEMPTS` in
    all. What the data or the parameters caused would come again: it ends the job at once. A fault of ours says nothing
    of the inside.
    """
    again = isinstance(error, (JobDiedError, StoreError, OSError)) and claim.attempt < MOST_ATTEMPTS
    if again:
        return release(store, claim, error=_told(error), counts=True)
    values = {"state": "failed", "ended_at": now(), "lease_until": None, "error": _told(error)}
    with store.begin(WORKER) as tx:
        return "failed" if tx.update(_jobs, values, *_held(claim)) else ""


def release(store: Store, claim: Claim, *, error: Mapping[str, str] | None = None, counts: bool = False) -> str:
    """Give a job back to the queue, where it keeps its place: the worker must stop. `counts`: as an attempt."""
    values: dict[str, Any] = {"state": "queued", "lease_until": None, "worker": "", "error": error and dict(error)}
    values["attempt"] = claim.attempt - (0 if counts else 1)
    with store.begin(WORKER) as tx:
        return "queued" if tx.update(_jobs, values, *_held(claim)) else ""


def cancelled(store: Store, claim: Claim) -> bool:
    """End a running job that somebody asked to cancel, after its process was ended; False where it is lost."""
    with store.begin(WORKER) as tx:
        values = {"state": "cancelled", "ended_at": now(), "lease_until": None}
        return bool(tx.update(_jobs, values, *_held(claim)))


def is_held(store: Store, job_id: str, fence: int) -> bool | None:
    """Whether a worker holds the job by this claim and its lease has not run out; None where no such job is known."""
    with store.read(WORKER) as tx:
        live = and_(_jobs.c.state == "running", _jobs.c.fence == fence, _jobs.c.lease_until >= now())
        row = tx.first(select(live.label("live")).select_from(_jobs).where(_jobs.c.job_id == job_id))
        return None if row is None else bool(row["live"])


def _bury(tx: Transaction) -> None:
    """End the jobs that nobody will try again."""
    over = {"ended_at": now(), "lease_until": None}
    abandoned = (_jobs.c.state == "running", _jobs.c.lease_until < now())
    dropped = or_(and_(*abandoned), _jobs.c.state == "queued")
    tx.update(_jobs, {"state": "cancelled", **over}, dropped, _jobs.c.cancel_asked.is_(True))
    died = JobDiedError(
        f"The worker of this job went silent {MOST_ATTEMPTS} times.",
        why="The machine was stopped each time, or these inputs need more than it has.",
        todo="Try it with fewer plots, or ask the operator to look at the log.",
    )
    last = _jobs.c.attempt >= MOST_ATTEMPTS
    tx.update(_jobs, {"state": "failed", "error": _told(died), **over}, *abandoned, last)


def _is_abandoned() -> ColumnElement[bool]:
    return and_(_jobs.c.state == "running", _jobs.c.lease_until < now(), _jobs.c.attempt < MOST_ATTEMPTS)


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    return (_jobs.c.job_id == claim.job_id, _jobs.c.fence == claim.fence, _jobs.c.state == "running")


def _of(cooperative_id: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if cooperative_id is None else (_jobs.c.cooperative_id == cooperative_id,)


def _lost() -> ClaimLostError:
    return ClaimLostError(
        "The job is no longer this worker's.", why="Another worker has it, or it was cancelled or ended."
    )


def _told(error: Exception) -> dict[str, str]:
    if isinstance(error, GeomapError):
        return {"code": error.code, "detail": str(error)}
    return {"code": "internal", "detail": "The service failed. Its log says why."}
