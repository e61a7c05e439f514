"""Headers of every answer: nothing is run, framed, sniffed or kept that need not be."""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DEFAULTS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What an answer has that does not say otherwise; a page says which of its own scripts may run."""


PAGE_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
}
"""What a page for people has instead: without a referrer a browser would call its own forms those of a stranger."""


def page_policy(nonce: str) -> str:
    """The policy of one answer with a page: our own script and style by their nonce, frames and forms of our own."""
    own = f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; connect-src 'self'"
    return f"default-src 'none'; {own}; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


class AddHeaders:
    """Middleware: adds `DEFAULTS`, and weakens the tag of an answer that was compressed on its way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
                if "content-encoding" in headers and headers.get("etag", "").startswith('"'):
                    headers["etag"] = f"W/{headers['etag']}"  # source: RFC 9110, section 8.8.1
            await send(message)

        await self.app(scope, receive, send_with_headers)
