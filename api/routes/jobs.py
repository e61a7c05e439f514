"""Jobs of a cooperative: where they stand, and how to stop them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api.access import Asked, may
from api.answers import Page, listed, shown
from api.columns import JOB, cut, only
from api.described import EVENTS, TABLE, THING
from api.paths import OF, CooperativeId, JobId
from api.worker import Worker
from geomap.errors import GeomapError
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.errors import StoreBusyError
from geomap.store.jobs import ask_cancel, job, jobs, queue_place
from geomap.store.scope import WORKER

router = APIRouter(tags=["jobs"])
ALL = f"{OF}/jobs"
ONE = f"{ALL}/{{job_id}}"
ENDED: Final = frozenset({"done", "failed", "cancelled"})
TOLD: Final = ("job_id", "state", "queue_place", "progress", "run_id", "error")
"""What an event tells of a job."""
POLL_S: Final = 1.0
QUIET_S: Final = 15.0
"""Seconds without news after which a comment says that the connection is alive."""
MOST_S: Final = 60.0
"""Seconds after which a stream ends; a browser connects again by itself, and is asked again who it is."""


@router.get(ALL, summary="Jobs, the newest first", responses=TABLE)
def list_jobs(
    request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("jobs.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        rows, following = cut(jobs(tx, cooperative_id, after=page.after, limit=page.limit + 1), page.limit, "job_id")
    return listed(request, rows, columns=JOB, name="jobs", next=following)


@router.get(ONE, summary="One job, with its place in the queue", responses=THING)
def read(
    request: Request, cooperative_id: CooperativeId, job_id: JobId, asked: Annotated[Asked, may("jobs.read")]
) -> Response:
    return shown(request, job_as_shown(asked, cooperative_id, job_id))


@router.delete(ONE, status_code=202, summary="Cancel a job; one that runs stops within seconds")
def cancel(
    request: Request, cooperative_id: CooperativeId, job_id: JobId, asked: Annotated[Asked, may("jobs.cancel")]
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        ask_cancel(tx, cooperative_id, job_id)
        audit.record(tx, "jobs.cancel", cooperative_id=cooperative_id, object=job_id)
    return shown(request, job_as_shown(asked, cooperative_id, job_id), status=202)


@router.get(
    f"{ONE}/events", summary="Progress as server-sent events", response_class=StreamingResponse, responses=EVENTS
)
def events(
    request: Request, cooperative_id: CooperativeId, job_id: JobId, asked: Annotated[Asked, may("jobs.read")]
) -> Response:
    def ask() -> dict[str, Any]:
        return job_as_shown(asked, cooperative_id, job_id)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    told = _told(ask, ask(), request.app.state.worker)
    return StreamingResponse(told, media_type="text/event-stream", headers=headers)


def job_as_shown(asked: Asked, cooperative_id: str, job_id: str) -> dict[str, Any]:
    """A job with its place among the jobs of all cooperatives."""
    with asked.store.read(asked.scope) as tx:
        row = job(tx, cooperative_id, job_id)
    place = None
    if row["state"] == "queued":
        with asked.store.read(WORKER) as tx:
            place = queue_place(tx, job_id)
    return only({**row, "queue_place": place}, JOB)


async def _told(ask: Callable[[], dict[str, Any]], row: dict[str, Any], worker: Worker) -> AsyncIterator[str]:
    """An event for each change until the job or the service ends; who comes back is told the state of the day."""
    began = spoke = time.monotonic()
    said, number = "", 0
    while time.monotonic() - began < MOST_S and not worker.is_told_to_stop:
        data = json.dumps({name: row.get(name) for name in TOLD}, ensure_ascii=False, allow_nan=False)
        if data != said:
            said, number, spoke = data, number + 1, time.monotonic()
            yield f"id: {number}\nevent: {row['state'] if row['state'] in ENDED else 'progress'}\ndata: {data}\n\n"
        elif time.monotonic() - spoke > QUIET_S:
            spoke = time.monotonic()
            yield ": still here\n\n"
        if row["state"] in ENDED:
            return
        await asyncio.sleep(POLL_S)
        try:
            row = await run_in_threadpool(ask)
        except StoreBusyError:
            continue
        except GeomapError:  # erased meanwhile
            return
