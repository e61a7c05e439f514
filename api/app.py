"""The service: `create_app` makes it from its settings."""

import importlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

import geomap
from api.answers import PlainJSON
from api.errors import add_error_handlers
from api.headers import AddHeaders
from api.idempotency import Idempotency
from api.identity import Identify
from api.limits import Limits
from api.metrics import Metrics
from api.observe import Observe
from api.routes import grants, health, queue, session, tokens
from api.settings import Settings
from api.worker import DRAIN_S, Worker
from geomap.store import Store, open_store
from geomap.store.setup import require_ready

_LATER: Final = "cooperatives members plots imports evidence runs jobs rasters decisions exports releases".split()


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
        lifespan=_lifespan,
    )
    app.state.settings, app.state.store, app.state.metrics = settings, store, Metrics()
    app.state.worker = None if store is None else Worker(store, settings.work_dir)
    add_error_handlers(app)
    _add_middleware(app, settings, store)
    for routes in (health, session, tokens, grants, queue):
        app.include_router(routes.router)
    app.include_router(health.metrics_router(settings))
    for name in _LATER:
        if find_spec(f"api.routes.{name}"):
            app.include_router(importlib.import_module(f"api.routes.{name}").router)
    return app


def _add_middleware(app: FastAPI, settings: Settings, store: Store | None) -> None:
    """From the inside to the outside: who is added last sees a request first."""
    app.add_middleware(Idempotency, store=store)
    app.add_middleware(Limits, settings=settings)
    app.add_middleware(Identify, settings=settings, store=store)
    app.add_middleware(GZipMiddleware, minimum_size=1_000, compresslevel=5)
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
    thread = threading.Thread(target=worker.run, name="worker", daemon=True)
    if app.state.settings.worker:
        thread.start()
    try:
        yield
    finally:
        worker.stop()
        if thread.is_alive():
            await run_in_threadpool(thread.join, DRAIN_S + 5)
