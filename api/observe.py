"""Every request leaves one line in the log and is counted; a fault is logged and answered here."""

import time
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import fault_answer
from api.log import REQUEST_ID, log_fault, log_request
from api.metrics import METHODS, Metrics
from geomap.store.ids import new_id

GONE: Final = 499
"""The status of a request whose client went away before it was answered; nobody is sent it."""
NO_ROUTE: Final = "-"
"""The route of a request that meets none: its path is not written down."""


class Observe:
    """Middleware: gives each request an id, logs and counts it, and answers faults."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, started, status = new_id(), time.perf_counter(), 0
        REQUEST_ID.set(request_id)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = status or GONE
        except Exception as error:
            log_fault(error)
            if not status:
                await fault_answer()(scope, receive, send_with_id)
            raise
        finally:
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        identity = scope.get("state", {}).get("identity")
        account = "" if identity is None else identity.scope.account_id
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.observe(method, route, status, seconds)
        log_request(
            request_id=request_id,
            method=method,
            route=route,
            status=status,
            ms=round(1000 * seconds, 1),
            account=account,
        )
