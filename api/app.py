"""The service: `create_app` makes it from its settings."""

import os

from fastapi import FastAPI, Request
from pydantic import BaseModel

import geomap
from api.errors import NotReadyError, add_error_handlers
from api.settings import Settings


class Health(BaseModel):
    status: str


class Version(BaseModel):
    geomap: str


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service, ready to be run; settings come from the environment where none are given.

    Examples
    --------
    >>> sorted(create_app().openapi()["paths"])
    ['/health/live', '/health/ready', '/version']
    """
    settings = settings or Settings()
    app = FastAPI(
        title="geomap",
        version=geomap.__version__,
        openapi_url="/openapi.json" if settings.expose_schema else None,
        docs_url=None,  # FastAPI's own pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.settings = settings
    add_error_handlers(app)
    app.get("/health/live", summary="The process answers")(live)
    app.get("/health/ready", summary="The service can work")(ready)
    app.get("/version", summary="The version of geomap")(version)
    return app


def live() -> Health:
    return Health(status="ok")


def ready(request: Request) -> Health:
    folder = request.app.state.settings.work_dir
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise NotReadyError("The work folder cannot be written.", todo="Set GEOMAP_API_WORK_DIR to a writable folder.")
    return Health(status="ok")


def version() -> Version:
    return Version(geomap=geomap.__version__)
