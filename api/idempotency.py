"""`Idempotency-Key`: a POST that is sent again with its key is answered again, not done again.

For requests of JSON. Files need no key: the same file is the same import. What holds a secret (a new token) and what
did not succeed is not kept; the key is free again.
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import Identity
from api.errors import RepeatedKeyError, error_answer, http_answer
from api.limits import FORM
from geomap.errors import GeomapError
from geomap.store import Store
from geomap.store.errors import ConflictError, StoreError
from geomap.store.idempotency import WORKING, Kept, free_key, keep_answer, take_key

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
MOST_BYTES: Final = 1_000_000
_FORM: Final = re.compile(r"[\x21-\x7e]{1,200}")
_KEPT_HEADERS: Final = ("content-type", "etag", "location", "cache-control", "vary", "link")


class Idempotency:
    """Middleware: takes the key of a POST, and keeps its answer where it succeeded."""

    def __init__(self, app: ASGIApp, *, store: Store | None) -> None:
        self.app, self.store = app, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = scope.get("state", {}).get("identity")
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" and scope["method"] == "POST" else None
        if key is None or identity is None or self.store is None or _is_form(scope):
            await self.app(scope, receive, send)
            return
        if not _FORM.fullmatch(key):
            await http_answer(400, f"{HEADER} is 1 to 200 visible letters of ASCII.")(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        try:
            known = await run_in_threadpool(
                take_key, self.store, identity.scope.account_id, key, _fingerprint(scope, body)
            )
            answer = None if known is None else _again(known, _fingerprint(scope, body))
        except GeomapError as error:
            answer = error_answer(error)
        if answer is not None:
            await answer(scope, receive, send)
            return
        await self._do(scope, _of_bytes(body, receive), send, identity, key)

    async def _do(self, scope: Scope, receive: Receive, send: Send, identity: Identity, key: str) -> None:
        """Let the route work, hold its answer back until it is kept, and give the key back where there is none."""
        answer, account = _Answer(), identity.scope.account_id
        try:
            await self.app(scope, receive, answer.take)
        except BaseException:
            await self._after(free_key, account, key)
            raise
        if answer.is_done and not scope["state"].get("secret_answer"):
            kept = {name: value for name, value in answer.headers.items() if name in _KEPT_HEADERS}
            await self._after(keep_answer, account, key, status=answer.status, headers=kept, body=bytes(answer.body))
        else:
            await self._after(free_key, account, key)
        for message in answer.messages:
            await send(message)

    async def _after(self, change: Callable[..., None], *what: str, **answer: Any) -> None:
        """Keep the answer or free the key; what was done is done, and is answered even where the store is full now."""
        with suppress(StoreError):
            await run_in_threadpool(change, self.store, *what, **answer)


class _Answer:
    """An answer as the route gives it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.status, self.headers, self.body = 0, Headers(), bytearray()

    async def take(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], Headers(raw=list(message["headers"]))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    @property
    def is_done(self) -> bool:
        """Whether it succeeded, and is short enough to be kept."""
        return 200 <= self.status < 300 and len(self.body) <= MOST_BYTES


def keep_no_answer(request: Request) -> None:
    """Say that the answer holds a secret: it is sent once and kept nowhere."""
    request.state.secret_answer = True


def _again(known: Kept, request_sha256: str) -> Response:
    if known.request_sha256 != request_sha256:
        raise RepeatedKeyError(
            f"This {HEADER} came with another request before.", todo="Take a new key for a new request."
        )
    if known.status == WORKING:
        raise ConflictError("The request with this key is still being worked on.", todo="Ask again in a moment.")
    return Response(known.body, status_code=known.status, headers={**known.headers, REPLAYED: "true"})


def _fingerprint(scope: Scope, body: bytes) -> str:
    parts = (scope["path"].encode(), scope["query_string"], Headers(scope=scope).get("accept", "").encode(), body)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


def _is_form(scope: Scope) -> bool:
    return parse_options_header(Headers(scope=scope).get("content-type", ""))[0] == FORM.encode()


def _of_bytes(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more; then whatever the client does next."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
