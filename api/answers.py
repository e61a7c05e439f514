"""The one way out: lists and single things, their tags, and what a client may ask of them."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from api.formats import ENDINGS, GEOMETRY, MEDIA_TYPES, WRITERS, Columns, Format, Row, as_json
from api.models import PRINTABLE
from geomap.store.errors import ChangedError

MOST_ROWS: Final = 10_000


class PlainJSON(JSONResponse):
    """JSON in which a number that is none (NaN, ±inf) is null."""

    def render(self, content: Any) -> bytes:
        return as_json(content)


@dataclass(frozen=True)
class PageAsked:
    """A part of a list: at most `limit` rows after the one that `after` names."""

    limit: int
    after: str

    def number(self, first: int = 0) -> int:
        """`after` as a number, for lists that are counted.

        Raises
        ------
        RequestValidationError : it is no whole number.
        """
        if not self.after:
            return first
        if self.after.removeprefix("-").isascii() and self.after.removeprefix("-").isdigit() and len(self.after) < 19:
            return int(self.after)
        raise invalid("Input should be the `next` of an earlier answer", "query", "after")


def _page(
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most rows of the answer")] = 100,
    after: Annotated[str, Query(max_length=1_000, pattern=PRINTABLE, description="`next` of the answer before")] = "",
    format: Annotated[Format | None, Query(description="Instead of an Accept header")] = None,
) -> PageAsked:
    return PageAsked(limit, after)


Page = Annotated[PageAsked, Depends(_page)]
"""The dependency of every list: `?limit=&after=&format=`."""


def invalid(message: str, *where: str | int) -> RequestValidationError:
    """The error of a request that is wrong at a place, such as "query", "after"; told as all others are."""
    return RequestValidationError([{"type": "value_error", "loc": where, "msg": message}])


def listed(
    request: Request,
    rows: Iterable[Row],
    *,
    columns: Columns,
    name: str,
    next: str | int | None = None,
    default: Format = "json",
    personal: bool = True,
) -> Response:
    """The answer of a list, in the format that was asked for.

    Parameters
    ----------
    rows : mappings; what is not in `columns` is left out, what is missing is null.
    columns : see `Columns`. With a column `geometry` (WKB) the list can be had as GeoJSON and GeoParquet too.
    name : of the file, without an ending.
    next : what to send as `after` for the rows that follow; None at the end.
    default : the format where none is asked for.
    personal : whether nothing on the way may keep the answer; else it may be kept by whoever asked, and asked again.

    Raises
    ------
    HTTPException : 406 where the format is none of the list's.
    """
    kind = wanted_format(request, default=default, shapes=GEOMETRY in columns)
    shown = [{column: row.get(column) for column in columns} for row in rows]
    following = None if next is None else str(next)
    body = WRITERS[kind](shown, columns, following)
    headers = {
        "Cache-Control": "no-store" if personal else "private, no-cache",
        "Vary": "Accept, Authorization, Cookie",
    }
    if following is not None:
        address = request.url.include_query_params(after=following)
        headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
    if kind in ENDINGS:
        headers["Content-Disposition"] = f'attachment; filename="{name}.{ENDINGS[kind]}"'
    return tagged(request, body, media_type=MEDIA_TYPES[kind], headers=headers)


def shown(
    request: Request,
    content: Any,
    *,
    version: int | None = None,
    status: int = 200,
    media_type: str = "application/json",
) -> Response:
    """The answer of a single thing as JSON; its tag is its version, or the hash of what it shows.

    A client that sends the tag as If-None-Match gets 304 while nothing changed, and one that sends it as If-Match
    changes only what it saw (`wanted_version`).
    """
    tag = None if version is None else f'"{version}"'
    headers = {"Cache-Control": "no-store", "Vary": "Accept, Authorization, Cookie"}
    return tagged(request, as_json(content), tag=tag, status=status, media_type=media_type, headers=headers)


def tagged(
    request: Request,
    body: bytes,
    *,
    media_type: str,
    headers: Mapping[str, str],
    tag: str | None = None,
    status: int = 200,
) -> Response:
    """The bytes with their ETag; 304 without them where the client says that it has them."""
    tag = tag or f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    more = {**headers, "ETag": tag}
    if request.method in {"GET", "HEAD"} and _names(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=more)
    return Response(body, status_code=status, media_type=media_type, headers=more)


def wanted_version(request: Request) -> int | None:
    """The version that If-Match names; None where the client does not mind which one it changes.

    Raises
    ------
    ChangedError : it names something that no version of ours is.
    """
    sent = request.headers.get("if-match", "*").strip()
    if sent == "*":
        return None
    number = sent.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ChangedError("If-Match names no version.", todo="Send the ETag of the answer that you change.")
    return int(number)


def wanted_format(request: Request, *, default: Format, shapes: bool) -> Format:
    """The format that `?format=` or Accept asks for.

    Raises
    ------
    HTTPException : 406, the list cannot be had in any of the formats that were asked for.
    """
    offered: list[Format] = [kind for kind in MEDIA_TYPES if shapes or not kind.startswith("geo")]
    offered.sort(key=lambda kind: kind != default)
    asked = request.query_params.get("format")
    if asked is not None and asked not in MEDIA_TYPES:
        raise invalid(f"Input should be one of {', '.join(offered)}", "query", "format")
    accepted = _accepted(request.headers.get("accept", "*/*"))
    weights = {kind: _weight(accepted, MEDIA_TYPES[kind]) if asked is None else kind == asked for kind in offered}
    best = max(offered, key=lambda kind: weights[kind])
    if not weights[best]:
        raise HTTPException(HTTPStatus.NOT_ACCEPTABLE, f"This list comes as {', '.join(offered)}.")
    return best


def _accepted(header: str) -> dict[str, float]:
    """Media range → weight. Source: RFC 9110, section 12.5.1."""
    ranges: dict[str, float] = {}
    for part in header.split(",")[:50]:
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            ranges[media] = min(max(float(weight), 0.0), 1.0)
        except ValueError:
            ranges[media] = 0.0
    return ranges


def _weight(accepted: Mapping[str, float], media_type: str) -> float:
    """The weight of the closest range; NaN cannot be one."""
    family = media_type.partition("/")[0]
    weight = next((accepted[key] for key in (media_type, f"{family}/*", "*/*") if key in accepted), 0.0)
    return 0.0 if math.isnan(weight) else weight


def _names(header: str, tag: str) -> bool:
    """Whether If-None-Match names the tag, compared weakly. Source: RFC 9110, section 13.1.2."""
    tags = {part.strip().removeprefix("W/") for part in header.split(",")}
    return tag in tags or "*" in tags
