"""Errors of the service: one table says the status, and every body is {code, detail}."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from geomap.errors import (
    ColumnError,
    CrsError,
    FileError,
    GeomapError,
    NumberError,
    OutputError,
    RasterError,
    UnknownNameError,
)
from geomap.plots.archives import ArchiveError, FileTooLargeError
from geomap.sandbox import ReaderFailedError

logger = logging.getLogger(__name__)


class NotReadyError(GeomapError):
    """The service runs but cannot work yet."""

    code = "not_ready"


STATUS: Final[Mapping[type[GeomapError], HTTPStatus]] = {
    FileError: HTTPStatus.UNPROCESSABLE_ENTITY,
    FileTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ArchiveError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ReaderFailedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ColumnError: HTTPStatus.UNPROCESSABLE_ENTITY,
    CrsError: HTTPStatus.UNPROCESSABLE_ENTITY,
    RasterError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownNameError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NumberError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    OutputError: HTTPStatus.INTERNAL_SERVER_ERROR,
    GeomapError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of each kind of error; a kind that is not named here has the status of its parent."""

HTTP_CODES: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "not_authenticated",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "wrong_type",
}
"""The code of what the framework itself refuses; "refused" for any other status."""


def add_error_handlers(app: FastAPI) -> None:
    """Give every error of `app` the same body."""
    app.add_exception_handler(GeomapError, _on_geomap_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_fault)


def _body(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"code": code, "detail": detail}, status_code=status, headers=headers)


def _on_geomap_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GeomapError)
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _on_fault(request, error)
    return _body(status, error.code, str(error))


def _on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Say where and what, but never send the input back: it may hold what JSON cannot (NaN), or a secret."""
    assert isinstance(error, RequestValidationError)
    faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return _body(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "; ".join(faults))


def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _body(error.status_code, HTTP_CODES.get(error.status_code, "refused"), error.detail, error.headers)


def _on_fault(request: Request, error: Exception) -> JSONResponse:
    """Log the fault, and say nothing of the inside."""
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _body(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The service failed. Its log says why.")
