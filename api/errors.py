"""Errors of the service: one table says the status, and every body is {code, detail, where}."""

import errno
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from api.geojson import PlotRefusedError
from api.log import log_fault
from geomap.engine import ClusterError
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
from geomap.outputs.text import plain
from geomap.plots.archives import ArchiveError, FileTooLargeError
from geomap.sandbox import ReaderFailedError
from geomap.store.errors import (
    ChangedError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
)
from geomap.store.given import ShapeError, TextError
from geomap.store.jobs import ClaimLostError, InputChangedError, JobDiedError
from geomap.supply.compare import NotComparableError


class Problem(BaseModel):
    """The body of every error: a stable code, what happened and what to do, and the places of the request at fault."""

    code: str
    detail: str
    where: list[str] | None


class NotReadyError(GeomapError):
    """The service runs but cannot work yet."""

    code = "not_ready"


class NotKnownError(GeomapError):
    """Nobody is known by what was shown: no token, or one that is unknown, expired or revoked; all told alike."""

    code = "not_authenticated"


class BusyError(GeomapError):
    """The service has its hands full for a moment."""

    code = "busy"


class RepeatedKeyError(GeomapError):
    """An idempotency key came again with another request."""

    code = "repeated_key"


class DiskFullError(GeomapError):
    """The work folder is full, or cannot be written; nothing was kept."""

    code = "disk_full"


class PortError(GeomapError):
    """A port that is taken, or may not be opened; told on the command line alone."""

    code = "port"


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
    NotComparableError: HTTPStatus.UNPROCESSABLE_ENTITY,
    PlotRefusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TextError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ShapeError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotKnownError: HTTPStatus.UNAUTHORIZED,
    NotAllowedError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    ChangedError: HTTPStatus.PRECONDITION_FAILED,
    InputChangedError: HTTPStatus.CONFLICT,
    ClaimLostError: HTTPStatus.CONFLICT,
    RepeatedKeyError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotReadyError: HTTPStatus.SERVICE_UNAVAILABLE,
    BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreDamagedError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    DiskFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    JobDiedError: HTTPStatus.INTERNAL_SERVER_ERROR,
    ClusterError: HTTPStatus.INTERNAL_SERVER_ERROR,
    PortError: HTTPStatus.INTERNAL_SERVER_ERROR,
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
    406: "not_acceptable",
    408: "too_slow",
    413: "too_large",
    415: "wrong_type",
    429: "too_many_requests",
}
"""The code of what the framework itself refuses; "refused" for any other status."""

RETRY_S: Final = 5
"""Seconds after which a request that met a busy service may come again."""
_HEADERS: Final[Mapping[type[GeomapError], Mapping[str, str]]] = {
    NotKnownError: {"WWW-Authenticate": "Bearer"},
    StoreBusyError: {"Retry-After": str(RETRY_S)},
    BusyError: {"Retry-After": str(RETRY_S)},
}
_LONGEST: Final = 200
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)})


def add_error_handlers(app: FastAPI) -> None:
    """Give every error of `app` the same body."""
    app.add_exception_handler(GeomapError, _on_geomap_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(OSError, _on_os_error)
    app.add_exception_handler(Exception, _on_fault)


def error_answer(error: GeomapError) -> JSONResponse:
    """The answer to an error of ours that is not a fault."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return _body(status, error.code, str(error), headers=_HEADERS.get(type(error)))


def http_answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer where the service refuses a request by its status alone."""
    return _body(status, HTTP_CODES.get(status, "refused"), detail, headers=headers)


def fault_answer() -> JSONResponse:
    """The answer to a fault of ours: nothing of the inside."""
    return _body(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The service failed. Its log says where.")


def _body(
    status: int,
    code: str,
    detail: str,
    *,
    where: Iterable[str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    content = {"code": code, "detail": detail, "where": None if where is None else list(where)}
    return JSONResponse(content, status_code=status, headers=headers)


async def _on_geomap_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GeomapError)
    answer = error_answer(error)
    return await _on_fault(request, error) if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR else answer


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    """Say where and what, but never send the input back: it may hold what JSON cannot (NaN), or a secret."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    places = [plain(".".join(map(str, fault["loc"])), limit=_LONGEST) for fault in faults]
    words = (f"{place}: {_words(fault)}" for place, fault in zip(places, faults, strict=True))
    return _body(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "; ".join(words), where=places)


def _words(fault: Mapping[str, str]) -> str:
    """What is wrong; the one message of pydantic that repeats what was sent is replaced."""
    told = "Input is of no kind that is known here" if fault["type"] == "union_tag_invalid" else fault["msg"]
    return plain(told, limit=_LONGEST)


async def _on_os_error(request: Request, error: Exception) -> JSONResponse:
    """A disk that is full or read-only is the operator's to free; anything else is a fault of ours."""
    if not _is_disk_full(error):
        return await _on_fault(request, error)
    log_fault(error)
    return error_answer(
        DiskFullError(
            "The disk of the service is full, or cannot be written.",
            why="Nothing was kept.",
            todo="Ask the operator to free some space, then send it again.",
        )
    )


def _is_disk_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _DISK_FULL


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if _is_disk_full(error.__cause__):  # a form that could not be laid down while it came
        return await _on_os_error(request, error.__cause__)  # type: ignore[arg-type]
    return http_answer(error.status_code, plain(error.detail, limit=_LONGEST), error.headers)


async def _on_fault(_request: Request, error: Exception) -> JSONResponse:
    """Log where it failed, and say nothing of the inside."""
    log_fault(error)
    return fault_answer()
