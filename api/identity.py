"""Who sends a request: found once, before its body is read."""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import Identity
from api.errors import NotKnownError, error_answer, http_answer
from api.limits import has_body
from api.settings import Settings
from geomap.errors import GeomapError
from geomap.store import Store
from geomap.store.sessions import who_is_in
from geomap.store.tokens import public_id, who

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
SIGN_IN: Final = "/sign-in"
"""The page's form is the one body that is read from nobody: it holds the token."""
_SIGN_IN_BYTES: Final = 4_096
TOKEN_NAMES: Final = frozenset({"token", "access_token"})
"""Query parameters that are refused: an address is logged, kept in histories and sent on."""


def cookie_name(settings: Settings) -> str:
    """The session's cookie; over HTTPS no other host can set it (the prefix __Host-)."""
    return "__Host-geomap_session" if settings.secure_cookies else "geomap_session"


class Identify:
    """Middleware: checks Host and Origin, refuses tokens in addresses, and finds who asks.

    Whoever is not known may still ask for what is public, but no body is read from them.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings, store: Store | None) -> None:
        self.app, self.settings, self.store = app, settings, store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            answer = self._refused(request)
            if answer is None:
                request.state.identity = await run_in_threadpool(self._identity, request)
                answer = self._not_for_nobody(request)
        except GeomapError as error:
            answer = error_answer(error)
        await (self.app if answer is None else answer)(scope, receive, send)

    def _refused(self, request: Request) -> Response | None:
        headers = request.headers
        if len(headers.getlist("authorization")) > 1 or {"content-length", "transfer-encoding"} <= set(headers):
            return http_answer(  # a proxy in front may have read it the other way; source: RFC 9112, section 6.1
                HTTPStatus.BAD_REQUEST,
                "The request says who sends it, or how long it is, in two ways. Send one.",
                {"Connection": "close"},
            )
        names = {name.lower() for name in self.settings.hosts}
        if names and headers.get("host", "").lower() not in names:
            return http_answer(HTTPStatus.BAD_REQUEST, "The service is not called by this name.")
        if TOKEN_NAMES & {name.lower() for name in request.query_params}:
            return http_answer(
                HTTPStatus.BAD_REQUEST, "A token does not belong in an address. Send it as `Authorization: Bearer …`."
            )
        is_ours = request.method in SAFE or _from_our_pages(request)
        if (self._cookie(request) or request.url.path == SIGN_IN) and not is_ours:
            return http_answer(HTTPStatus.FORBIDDEN, "A page of another site sent this, or one that does not say so.")
        return None

    def _cookie(self, request: Request) -> str | None:
        """The cookie, where it is what the request stands on."""
        return None if "authorization" in request.headers else request.cookies.get(cookie_name(self.settings))

    def _identity(self, request: Request) -> Identity | None:
        if self.store is None:
            return None
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind:
            scope = who(self.store, secret) if kind.lower() == "bearer" else None
            return None if scope is None else Identity(scope, public_id(secret))
        cookie = self._cookie(request)
        scope = who_is_in(self.store, cookie) if cookie else None
        return None if scope is None else Identity(scope)

    def _not_for_nobody(self, request: Request) -> Response | None:
        if self.store is None or request.state.identity is not None or not has_body(request.headers):
            return None
        if request.url.path == SIGN_IN and _is_short(request):
            return None
        return error_answer(NotKnownError("No valid token was shown.", todo="Send it as `Authorization: Bearer …`."))


def _is_short(request: Request) -> bool:
    length = request.headers.get("content-length", "")
    return length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= _SIGN_IN_BYTES


def _from_our_pages(request: Request) -> bool:
    """Whether a browser says that a page of this very service sent the request."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    return urlsplit(origin).netloc == URL(scope=request.scope).netloc
