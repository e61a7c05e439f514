"""Pages of whoever keeps the service: jobs, store, health, maps, cooperatives, accounts, tokens; no person's data."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi import Path as UrlPath
from fastapi.responses import Response
from sqlalchemy import func, select

import geomap
from api.access import Asked, may
from api.errors import NotReadyError
from api.pages.base import PageRoute, go, page, shown_part
from api.pages.cooperative import crop_names
from api.paths import JobId
from api.routes import queue
from api.routes import tokens as token_routes
from api.routes.health import ready
from api.veil import AT_ONCE, walked
from api.worker import LEAST_ROOM
from geomap.store import Store, schema
from geomap.store.cooperatives import cooperatives
from geomap.store.database import sqlite_file
from geomap.store.jobs import jobs, queue_place
from geomap.store.migrations import revisions
from geomap.store.queue import job_counts
from geomap.store.rasters import rasters
from geomap.store.scope import Transaction, clock
from geomap.store.setup import version as version_of
from geomap.store.tokens import MOST_DAYS, list_tokens

router = APIRouter(route_class=PageRoute, include_in_schema=False)
HOME: Final = "/service"
ACCOUNTS: Final = "/service/accounts"
STATES: Final = ("queued", "running", "done", "failed", "cancelled")
PublicId = Annotated[str, UrlPath(max_length=64, pattern=r"^[a-z0-9]+$")]
_JOBS: Final = 20
_PAGE: Final = 25
_LOOKED_AT: Final = 200
"""Failed jobs whose codes are counted."""
_SHOWN: Final = ("job_id", "cooperative_id", "state", "attempt", "cancel_asked", "created_at", "started_at", "ended_at")


@router.get(HOME)
def show(
    request: Request,
    asked: Annotated[Asked, may("queue.read")],
    state: Literal["", "queued", "running", "done", "failed", "cancelled"] = "",
    after: Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = "",
) -> Response:
    with asked.store.read(asked.scope) as tx:
        known = _every(tx)
        names = {row["cooperative_id"]: row["name"] for row in known}
        found = jobs(tx, states=(state,) if state else (), after=after, limit=_JOBS + 1)
        rows = [_job(tx, row, names) for row in found[:_JOBS]]
        counts, oldest_s = job_counts(tx)
        shown: dict[str, Any] = {
            "rows": rows,
            "more": rows[-1]["job_id"] if len(found) > _JOBS else None,
            "state": state,
            "states": STATES,
            "counts": counts,
            "oldest_s": oldest_s,
            "errors": last_errors(jobs(tx, states=("failed",), limit=_LOOKED_AT)),
            "workers": _workers(tx),
            "maps": rasters(tx, limit=AT_ONCE),
            "cooperatives": known,
            "now": clock(tx),
        }
    shown |= {"store": store_facts(asked.store), "room": room(request.app.state.settings.work_dir)}
    shown |= {"health": health(request), "crops": crop_names(), "version": geomap.__version__}
    return page(request, "service_home.html", tab="service", **shown)


def _every(tx: Transaction) -> list[dict[str, Any]]:
    """The cooperatives by name: who they are, and nothing of their settings."""
    found = walked(lambda after: cooperatives(tx, after=after, limit=AT_ONCE), "", "cooperative_id")
    told = [{name: row[name] for name in ("cooperative_id", "name", "code", "country", "crop")} for row in found]
    return sorted(told, key=lambda row: (row["name"].casefold(), row["cooperative_id"]))


def _job(tx: Transaction, row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A job without what it is about: no title, no parameters, and of an error the code alone."""
    told = {name: row[name] for name in _SHOWN}
    place = queue_place(tx, row["job_id"]) if row["state"] == "queued" else None
    return {**told, "name": names.get(row["cooperative_id"], ""), "place": place, "code": _code(row)}


def _code(row: Mapping[str, Any]) -> str:
    return str((row["error"] or {}).get("code", ""))


def last_errors(failed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Codes of failed jobs, the most frequent first: how often, and when last. Their words may name somebody.

    Examples
    --------
    >>> last_errors([{"error": {"code": "raster", "detail": "…"}, "ended_at": 5.0}, {"error": None, "ended_at": 7.0}])
    [{'code': 'raster', 'jobs': 1, 'last': 5.0}, {'code': '–', 'jobs': 1, 'last': 7.0}]
    """
    codes = Counter(_code(row) or "–" for row in failed)
    last = {code: max(row["ended_at"] or 0.0 for row in failed if (_code(row) or "–") == code) for code in codes}
    order = sorted(codes, key=lambda code: (-codes[code], code == "–", code))
    return [{"code": code, "jobs": codes[code], "last": last[code]} for code in order]


def _workers(tx: Transaction) -> int:
    """Workers that hold a job at this moment."""
    table = schema.jobs
    running = select(table.c.worker).where(table.c.state == "running", table.c.lease_until > clock(tx))
    return len({row["worker"] for row in tx.fetch(running)})


def health(request: Request) -> dict[str, Any]:
    """Whether the service can work, why not, and whether this process works on jobs (None: others do)."""
    thread = request.app.state.worker_thread
    told: dict[str, Any] = {"ready": True, "error": None, "worker": None if thread is None else thread.is_alive()}
    try:
        ready(request)
    except NotReadyError as error:
        told |= {"ready": False, "error": error}
    return told


def store_facts(store: Store) -> dict[str, Any]:
    """Which store it is, without places, names of users and passwords; its size and version."""
    url = store.engine.url
    file, name = sqlite_file(url), str(url.database or "") if store.dialect == "postgresql" else ""
    facts = {"dialect": store.dialect, "name": name, "bytes": _size(store, file)}
    return {**facts, "version": version_of(store), "latest": revisions()[-1]}


def _size(store: Store, file: Path | None) -> int | None:
    if file is not None:
        parts = (file, file.with_name(f"{file.name}-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())
    if store.dialect != "postgresql":
        return None
    from geomap.store.scope import SERVICE

    with store.read(SERVICE) as tx:
        row = tx.first(select(func.pg_database_size(func.current_database()).label("bytes")))
    return None if row is None else int(row["bytes"])


def room(folder: Path) -> dict[str, Any]:
    """Free and whole room for jobs, bytes; `enough` is what a worker asks for before it takes one."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return {"free": None, "whole": None, "enough": False}
    return {"free": usage.free, "whole": usage.total, "enough": usage.free >= LEAST_ROOM}


@router.post(f"{HOME}/jobs/{{job_id}}/cancel")
def cancel(request: Request, job_id: JobId, asked: Annotated[Asked, may("queue.cancel")]) -> Response:
    queue.cancel(request, asked, job_id)
    return go(HOME)


@router.get(ACCOUNTS)
def accounts(
    request: Request,
    asked: Annotated[Asked, may("queue.read")],
    first: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    return page(request, "service_accounts.html", tab="service_accounts", **_accounts(asked, first))


def _accounts(asked: Asked, first: int) -> dict[str, Any]:
    """Accounts with their tokens, the role's together; never a token itself."""
    with asked.store.read(asked.scope) as tx:
        names = {row["cooperative_id"]: row["name"] for row in _every(tx)}
        table = schema.accounts
        found = [dict(row) for row in tx.fetch(select(table).order_by(table.c.role, table.c.created_at))]
        held: dict[str, list[Mapping[str, Any]]] = {}
        for row in walked(lambda after: list_tokens(tx, after=after, limit=AT_ONCE), "", "public_id"):
            held.setdefault(row["account_id"], []).append(row)
        now = clock(tx)
    told = shown_part(found, first, _PAGE)
    told["rows"] = [
        {**row, "name": names.get(row["cooperative_id"], ""), "tokens": held.get(row["account_id"], [])}
        for row in told["rows"]
    ]
    return {**told, "now": now, "own": asked.account, "most_days": MOST_DAYS}


@router.post(f"{ACCOUNTS}/tokens")
def make_token(
    request: Request,
    asked: Annotated[Asked, may("tokens.add")],
    days: Annotated[int, Form(ge=1, le=MOST_DAYS)] = 90,
) -> Response:
    """The page with a new token of one's own account: shown this once, kept nowhere."""
    made = json.loads(bytes(token_routes.add(request, asked, token_routes.NewToken(days=days)).body))
    return page(request, "service_token.html", status=201, tab="service_accounts", made=made)


@router.post(f"{ACCOUNTS}/tokens/{{public_id}}/revoke")
def revoke(request: Request, public_id: PublicId, asked: Annotated[Asked, may("tokens.revoke")]) -> Response:
    token_routes.revoke(request, asked, public_id)
    return go(ACCOUNTS)
