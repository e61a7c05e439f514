"""The parts of addresses: ids that the service made up, and ids that are the cooperative's own.

An office's own id may hold a slash ("LP/12", even "P/history"). In an address it is sent as %2F and is one part of it;
a slash that is sent as such always divides parts.
"""

from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import Path
from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from api.models import PRINTABLE

RANDOM: Final = r"^[A-Za-z0-9_-]{1,64}$"
CooperativeId = Annotated[str, Path(pattern=RANDOM, description="Random id of the cooperative")]
ImportId = Annotated[str, Path(pattern=RANDOM, description="Random id of the import")]
RunId = Annotated[str, Path(pattern=RANDOM, description="Random id of the run")]
ReleaseId = Annotated[str, Path(pattern=RANDOM, description="Random id of the release")]
JobId = Annotated[str, Path(pattern=RANDOM, description="Random id of the job")]
MemberId = Annotated[
    str, Path(max_length=1_000, pattern=PRINTABLE, description="The member's id in the cooperative's own files")
]
PlotId = Annotated[
    str, Path(max_length=1_000, pattern=PRINTABLE, description="The plot's id in the cooperative's own files")
]
FileName = Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the table or file")]
OF: Final = "/cooperatives/{cooperative_id}"
"""How every address within a cooperative begins."""
_SLASH: Final = "\udc2f"
"""A slash within a part, between the two below: a lone surrogate, which no address can be decoded to."""


class KeepSlashes:
    """Middleware before the routes: without it %2F is decoded to a slash like those that divide the address."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("raw_path") or b""
        if scope["type"] == "http" and raw.startswith(b"/cooperatives/") and b"%" in raw:
            parts = raw.decode("latin-1").split("/")
            scope = {**scope, "path": "/".join(unquote(part).replace("/", _SLASH) for part in parts)}
        await self.app(scope, receive, send)


class _OwnId(Convertor[str]):
    """`{member_id:own}`: one part of an address, whatever it holds."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return value.replace(_SLASH, "/")

    def to_string(self, value: str) -> str:
        return value.replace("/", "%2F")


register_url_convertor("own", _OwnId())
