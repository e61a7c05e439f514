"""The jobs of all cooperatives, for an operator: states and times, nothing of what they are about."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.access import Asked, may
from api.answers import Page, listed, shown
from api.columns import cut
from api.described import TABLE
from api.formats import Columns
from geomap.store.jobs import ask_cancel, jobs

COLUMNS: Final[Columns] = {
    "job_id": ("", "The job"),
    "cooperative_id": ("", "Whose it is"),
    "kind": ("", "What it does"),
    "state": ("", "queued, running, done, failed or cancelled"),
    "attempt": ("count", "How often it was begun"),
    "worker": ("", "The worker that has it"),
    "cancel_asked": ("", "Whether somebody asked it to end"),
    "created_at": ("s", "When it was asked for; seconds since 1970"),
    "started_at": ("s", "When it was first begun"),
    "ended_at": ("s", "When it ended"),
    "lease_until": ("s", "When another worker may take it, without a sign of life"),
}
router = APIRouter(prefix="/jobs", tags=["service"])
State = Literal["queued", "running", "done", "failed", "cancelled"]


@router.get("", responses=TABLE, summary="Jobs of all cooperatives, the newest first")
def read(
    request: Request,
    asked: Annotated[Asked, may("queue.read")],
    page: Page,
    state: Annotated[list[State] | None, Query()] = None,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        found = jobs(tx, states=state or (), after=page.after, limit=page.limit + 1)
    rows, following = cut(found, page.limit, "job_id")
    return listed(request, rows, columns=COLUMNS, name="jobs", next=following)


@router.delete("/{job_id}", summary="Ask a job to end")
def cancel(request: Request, asked: Annotated[Asked, may("queue.cancel")], job_id: str) -> Response:
    with asked.store.begin(asked.scope) as tx:
        row = ask_cancel(tx, None, job_id)
    return shown(request, {name: row[name] for name in COLUMNS})
