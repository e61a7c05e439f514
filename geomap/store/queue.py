"""How full the queue is, for whoever watches the service."""

from typing import Final

from sqlalchemy import func, select

from geomap.store.schema import jobs
from geomap.store.scope import Transaction, clock

STATES: Final = ("queued", "running", "done", "failed", "cancelled")


def job_counts(tx: Transaction) -> tuple[dict[str, int], float]:
    """Jobs by state, and the age in seconds of the one that waits longest; 0 where none waits."""
    counted = tx.fetch(select(jobs.c.state, func.count().label("number")).group_by(jobs.c.state))
    oldest = tx.first(select(func.min(jobs.c.created_at).label("oldest")).where(jobs.c.state == "queued"))
    numbers = {row["state"]: int(row["number"]) for row in counted}
    since = oldest["oldest"] if oldest else None
    return {state: numbers.get(state, 0) for state in STATES}, 0.0 if since is None else max(clock(tx) - since, 0.0)
