"""The service: `create_app` makes it from its settings."""

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

import geomap
from api.answers import PlainJSON
from api.errors import Problem, add_error_handlers
from api.formats import MEDIA_TYPES
from api.headers import AddHeaders
from api.idempotency import Idempotency
from api.identity import Identify
from api.limits import Limits
from api.log import log_fault
from api.metrics import Metrics
from api.observe import Observe
from api.pages import router as pages
from api.paths import KeepSlashes
from api.routes import (
    cooperatives,
    decisions,
    evidence,
    exports,
    grants,
    health,
    imports,
    jobs,
    members,
    plots,
    queue,
    rasters,
    releases,
    runs,
    session,
    tiles,
    tokens,
)
from api.settings import Settings
from api.tiles import TileMemory
from api.worker import DRAIN_S, Worker
from geomap.store import Store, open_store
from geomap.store.setup import require_ready

PACKED: Final = (*DEFAULT_EXCLUDED_CONTENT_TYPES, MEDIA_TYPES["xlsx"], MEDIA_TYPES["geoparquet"], "application/pdf")
"""Kinds of content that are compressed already, or come as a stream of events."""
ERRORS: Final[Mapping[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "Something about the request is wrong"},
    "5XX": {"model": Problem, "description": "The service cannot do it now; a 500 is a fault of ours"},
}
ROUTES: Final = (
    health,
    session,
    cooperatives,
    members,
    plots,
    imports,
    evidence,
    decisions,
    rasters,
    tiles,
    runs,
    releases,
    jobs,
    exports,
    grants,
    tokens,
    queue,
)
"""What each module adds, in the order of the documentation."""


def create_app(settings: Settings | None = None, *, store: Store | None = None) -> FastAPI:
    """The service, ready to be run; settings come from the environment where none are given.

    Parameters
    ----------
    store : a store that is open already; else that of the settings is opened. Without one only what is public answers.

    Examples
    --------
    >>> create_app().openapi()["info"]["title"]
    'geomap'
    """
    settings = settings or Settings()
    address = settings.store.get_secret_value()
    store = store or (open_store(address) if address else None)
    app = FastAPI(
        title="geomap",
        version=geomap.__version__,
        openapi_url="/openapi.json" if settings.expose_schema else None,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=PlainJSON,
        responses=dict(ERRORS),
        lifespan=_lifespan,
    )
    app.state.settings, app.state.store, app.state.metrics = settings, store, Metrics()
    app.state.tiles = TileMemory(settings.tile_memory_mb * 1_000_000)
    app.state.worker_thread = None
    app.state.worker = None if store is None else Worker(store, settings.work_dir)
    add_error_handlers(app)
    _add_middleware(app, settings, store)
    for routes in ROUTES:
        app.include_router(routes.router)
    app.include_router(health.metrics_router(settings))
    app.include_router(pages)
    return app


def _add_middleware(app: FastAPI, settings: Settings, store: Store | None) -> None:
    """From the inside to the outside: who is added last sees a request first."""
    app.add_middleware(KeepSlashes)
    app.add_middleware(Idempotency, store=store)
    app.add_middleware(Limits, settings=settings)
    app.add_middleware(Identify, settings=settings, store=store)
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5, exclude_content_types=PACKED)
    app.add_middleware(Observe, metrics=app.state.metrics)
    app.add_middleware(AddHeaders)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Refuse to start on a store that is not as it should be; work on jobs until the end where the settings say so."""
    store, worker = app.state.store, app.state.worker
    if store is None:
        yield
        return
    await run_in_threadpool(require_ready, store)
    thread = threading.Thread(target=_work, args=(worker,), name="worker", daemon=True)
    if app.state.settings.worker:
        app.state.worker_thread = thread
        thread.start()
    try:
        yield
    finally:
        worker.stop()
        if thread.is_alive():
            await run_in_threadpool(thread.join, DRAIN_S + 5)


def _work(worker: Worker) -> None:
    try:
        worker.run()
    except Exception as error:  # /health/ready tells that the thread has ended
        log_fault(error)
