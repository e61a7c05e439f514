"""What is written down of each request: one JSON line, with ids and templates only.

No body, name, token, path as sent or query value reaches a line, and no text of an exception: that may quote any of
them. A fault is logged with its kind and the places in the code that it passed.
"""

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from typing import Any, Final

import structlog

REQUEST_ID: Final[ContextVar[str]] = ContextVar("geomap_request_id", default="")
_NAME: Final = "geomap.service"
_PLACES: Final = 12

_logger: Final = structlog.wrap_logger(
    logging.getLogger(_NAME),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(sort_keys=True),
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
)


class _Lines(logging.Formatter):
    """Lines of ours as they are, and those of the libraries under us as JSON without the text of exceptions."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == _NAME:
            return record.getMessage()
        kind = record.exc_info[0] if record.exc_info else None
        line = {"event": record.name, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(line | ({"kind": kind.__name__} if kind else {}), sort_keys=True)


def log_to_stderr() -> None:
    """Send the lines of the service, and warnings of the libraries under it, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for ours in (_NAME, "api"):
        logging.getLogger(ours).setLevel(logging.INFO)


def log_request(**facts: Any) -> None:
    """One line per request: request_id, method, route, status, ms, account."""
    _logger.info("request", **facts)


def log_event(event: str, **facts: Any) -> None:
    """Something that an operator should know."""
    _logger.info(event, **facts)


def log_fault(error: BaseException) -> None:
    """A fault of ours: its kind, and file, line and function of the places it passed, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    places = [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    _logger.error("fault", request_id=REQUEST_ID.get(), kind=type(error).__name__, places=places)
