"""Whether the service lives, whether it can work, which one it is, and its numbers."""

import os
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import false
from sqlalchemy.exc import DBAPIError

import geomap
from api.access import may, public
from api.errors import NotReadyError
from api.metrics import MEDIA_TYPE
from api.settings import Settings
from geomap.store import Store
from geomap.store.migrations import revisions
from geomap.store.schema import sessions
from geomap.store.scope import SERVICE
from geomap.store.setup import version as version_of

router = APIRouter(tags=["service"])


class Health(BaseModel):
    status: str


class Version(BaseModel):
    geomap: str


@router.get("/health/live", dependencies=[public()], summary="The process answers")
async def live() -> Health:
    return Health(status="ok")


@router.get("/health/ready", dependencies=[public()], summary="The service can work")
def ready(request: Request) -> Health:
    _require_folder(request.app.state.settings.work_dir)
    if request.app.state.store is not None:
        _require_store(request.app.state.store)
    thread = request.app.state.worker_thread
    if thread is not None and not thread.is_alive():
        raise NotReadyError("The worker of this process has ended.", todo="Start it again; its log says why it ended.")
    return Health(status="ok")


@router.get("/version", dependencies=[public()], summary="The version of geomap")
async def version() -> Version:
    return Version(geomap=geomap.__version__)


def metrics_router(settings: Settings) -> APIRouter:
    """The route of the numbers: for an operator, or for everyone who can reach the service where settings say so."""
    router = APIRouter(tags=["service"])
    access = public() if settings.open_metrics else may("metrics.read")
    router.get("/metrics", dependencies=[access], summary="Numbers for Prometheus", response_class=Response)(metrics)
    return router


def metrics(request: Request) -> Response:
    return Response(request.app.state.metrics.page(request.app.state.store), media_type=MEDIA_TYPE)


def _require_folder(folder: Path) -> None:
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise NotReadyError("The work folder cannot be written.", todo="Set GEOMAP_API_WORK_DIR to a writable folder.")


def _require_store(store: Store) -> None:
    """The store is of this version, and takes a write."""
    if version_of(store) != revisions()[-1]:
        raise NotReadyError("The store is of another version.", todo="Run `geomap store upgrade`.")
    try:
        with store.begin(SERVICE) as tx:
            tx.delete(sessions, false())
    except DBAPIError:
        raise NotReadyError("The store cannot be written.", todo="See to its file or its server.") from None
