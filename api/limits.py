"""What a request may bring: counted while it comes, never believed beforehand."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import RETRY_S, BusyError, error_answer, http_answer
from api.settings import Settings

FORM: Final = "multipart/form-data"
PAGE_FORM: Final = "application/x-www-form-urlencoded"
PAGES: Final = ("/office/", "/service/", "/sign-in", "/sign-out")
"""How addresses of pages begin; their forms come as `PAGE_FORM`."""
FORM_ROOM: Final = 100_000
"""Bytes of a form that are not its file."""
_CLOSE: Final = {"Connection": "close"}


class Limits:
    """Middleware: holds bodies to their size, number of parts and pace, and requests and uploads to a number at once.

    What one account can have under way leaves room for the others: a request may hold a thread, an upload a reader.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self.app, self.settings = app, settings
        self.requests: Counter[str] = Counter()
        self.uploads: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = scope.get("state", {}).get("identity")
        account = "" if identity is None else identity.scope.account_id
        if account and self.requests[account] >= self.settings.requests_at_once:
            detail = f"An account may have {self.settings.requests_at_once} requests under way. Wait for their answers."
            headers = {**_CLOSE, "Retry-After": str(RETRY_S)}
            await http_answer(HTTPStatus.TOO_MANY_REQUESTS, detail, headers)(scope, receive, send)
            return
        with _counted(self.requests, account):
            await self._take_in(scope, receive, send, account)

    async def _take_in(self, scope: Scope, receive: Receive, send: Send, account: str) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if not has_body(headers):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, headers, self.settings)
        try:
            body.require_kind(headers, scope.get("path", ""))
            body.require_length(headers)
            if not body.is_form:
                await self.app(scope, body.receive, send)
                return
            self._require_room(account)
            with _counted(self.uploads, account):
                await self.app(scope, body.receive, send)
        except BusyError as error:
            await error_answer(error)(scope, receive, send)
        except HTTPException as error:  # of a body that something before the routes has read
            await http_answer(error.status_code, error.detail, error.headers)(scope, receive, send)

    def _require_room(self, account: str) -> None:
        most = self.settings.uploads_at_once
        if self.uploads.total() >= most or self.uploads[account] >= (most + 1) // 2:
            raise BusyError("Other files are just being received.", todo="Send it again in a moment.")


@contextmanager
def _counted(under_way: Counter[str], account: str) -> Iterator[None]:
    under_way[account] += 1
    try:
        yield
    finally:
        under_way[account] -= 1
        if not under_way[account]:
            del under_way[account]


class _Body:
    """A body while it comes."""

    def __init__(self, receive: Receive, headers: Headers, settings: Settings) -> None:
        kind, options = parse_options_header(headers.get("content-type", ""))
        self.kind, self.is_form = kind.decode("latin-1"), kind == FORM.encode()
        self.most = settings.upload_bytes + FORM_ROOM if self.is_form else settings.json_bytes
        self._receive, self._settings = receive, settings
        self._boundary = b"--" + options[b"boundary"] if self.is_form and options.get(b"boundary") else b""
        self._tail, self._parts, self._bytes, self._complete = b"", 0, 0, False
        self._started: float | None = None

    def require_kind(self, headers: Headers, path: str) -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as it is, not compressed.", _CLOSE)
        if self.kind == PAGE_FORM and path.startswith(PAGES):
            return
        family, _, kind = self.kind.partition("/")
        if not (self.is_form or (family == "application" and (kind == "json" or kind.endswith("+json")))):
            raise HTTPException(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send application/json, or a file as {FORM}.", _CLOSE
            )

    def require_length(self, headers: Headers) -> None:
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self.most:
            raise self._too_large()

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        now = time.monotonic()
        self._started = self._started or now
        most = min(self._settings.body_grace_s + self._bytes / self._settings.body_pace, self._settings.body_s)
        try:
            message = await asyncio.wait_for(self._receive(), max(self._started + most - now, 0.001))
        except TimeoutError:
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "The request comes too slowly.", _CLOSE) from None
        if message["type"] == "http.request":
            self._count(message.get("body", b""))
            self._complete = not message.get("more_body", False)
        return message

    def _count(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._bytes > self.most:
            raise self._too_large()
        if self._boundary:
            seen = self._tail + chunk
            self._parts += seen.count(self._boundary)
            self._tail = seen[-len(self._boundary) + 1 :]
            if self._parts > self._settings.upload_parts + 1:  # one more ends the form
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"A form may have {self._settings.upload_parts} parts.",
                    _CLOSE,
                )

    def _too_large(self) -> HTTPException:
        return HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request like this may have {self.most:,} bytes.", _CLOSE
        )


def has_body(headers: Headers) -> bool:
    """Whether the request says that a body follows."""
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
