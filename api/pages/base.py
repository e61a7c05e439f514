"""What all pages share: how they are drawn, how a form is answered, and how an error is told to people."""

import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from api.access import OFFICE
from api.errors import STATUS, NotKnownError
from api.headers import PAGE_HEADERS, page_policy
from api.log import log_fault
from api.pages.texts import COOKIE, Texts, language_of, languages
from api.paths import RANDOM
from geomap.errors import GeomapError
from geomap.store.errors import NotFoundError

AT: Final = "/office/{cooperative_id}"
"""How the address of every page of a cooperative begins."""
ONE_YEAR_S: Final = 365 * 86_400
OFFICE_TABS: Final = ("", "files", "findings", "map", "run", "results", "members", "sharing")
"""Pages of a cooperative's office, below `AT`; the first is its overview."""
TABS: Final[Mapping[str, tuple[str, ...]]] = {
    "buyer": ("/buyer", "/buyer/portfolio"),
    "analyst": ("/analysis", "/analysis/compare", "/buyer", "/buyer/portfolio"),
    "operator": ("/service", "/service/accounts"),
    "local": ("/", "/service"),
}
"""Role → the pages that stand above all others."""
_HEADERS: Final = {"Vary": "Cookie, Accept-Language"}
__all__ = ["AT", "RANDOM", "PageRoute", "go", "page", "part", "shown_part", "static", "texts_of"]


class PageRoute(APIRoute):
    """A route whose errors are pages: whoever is not known is led to sign in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, with errors told to people."""
        handle = super().get_route_handler()

        async def handle_for_people(request: Request) -> Response:
            try:
                return await handle(request)
            except NotKnownError:
                return sign_in(request)
            except GeomapError as error:
                status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
                if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                    log_fault(error)
                    return problem(request, status)
                return problem(request, status, error)
            except RequestValidationError:
                return problem(request, HTTPStatus.UNPROCESSABLE_ENTITY)
            except HTTPException as error:
                return problem(request, HTTPStatus(error.status_code))

        return handle_for_people


def texts_of(request: Request) -> Texts:
    """The texts of the language that this request wants."""
    return Texts(language_of(request))


def page(request: Request, template: str, *, status: int = 200, **shown: Any) -> Response:
    """A page from its template; user text goes through Jinja's escaping and nowhere else."""
    nonce, texts = secrets.token_urlsafe(16), texts_of(request)
    identity = getattr(request.state, "identity", None)
    role = None if identity is None else identity.scope.role
    common = {
        "t": texts,
        "nonce": nonce,
        "languages": languages(),
        "here": request.url.path,
        "asked_for": [(name, value) for name, value in request.query_params.multi_items() if name != "lang"],
        "role": role,
        "cooperative": None,
        "tab": "",
        "tabs": _tabs(shown.get("role", role), shown.get("cooperative")),
    }
    content = _templates().get_template(template).render(common | shown)
    headers = {**PAGE_HEADERS, **_HEADERS, "Content-Security-Policy": page_policy(nonce)}
    answer = Response(content, status_code=status, media_type="text/html; charset=utf-8", headers=headers)
    if request.query_params.get("lang") in languages():
        secure = request.app.state.settings.secure_cookies
        answer.set_cookie(COOKIE, texts.language, max_age=ONE_YEAR_S, secure=secure, httponly=True, samesite="lax")
    return answer


def _tabs(role: str | None, cooperative: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Name and address of the pages that one can go to from here."""
    if cooperative is None:
        return [(address.strip("/").replace("/", "_") or "home", address) for address in TABS.get(role or "", ())]
    at = f"/office/{cooperative['cooperative_id']}"
    return [(name or "overview", f"{at}/{name}" if name else at) for name in OFFICE_TABS]


def shown_part(rows: Sequence[Any], first: int, most: int) -> dict[str, Any]:
    """What a page of a long list shows: its rows, how many there are, and where the next and the last page begin.

    Examples
    --------
    >>> shown_part("abcde", 2, 2)
    {'rows': 'cd', 'size': 5, 'first': 2, 'more': 4, 'before': 0}
    """
    more = first + most if first + most < len(rows) else None
    before = max(0, first - most) if first else None
    return {"rows": rows[first : first + most], "size": len(rows), "first": first, "more": more, "before": before}


def go(address: str) -> Response:
    """The answer to a form that was taken: the browser asks for another page."""
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER, headers=dict(PAGE_HEADERS))


def part(text: str) -> str:
    """An id as a part of an address.

    Examples
    --------
    >>> part("A/1?")
    'A%2F1%3F'
    """
    return quote(text, safe="")


def sign_in(request: Request, *, failed: bool = False, back: str = "") -> Response:
    """The page for whoever is not known."""
    local = not request.app.state.settings.secure_cookies
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = back or (asked if request.method == "GET" else "/")
    return page(
        request, "sign_in.html", status=HTTPStatus.UNAUTHORIZED, local=local, failed=failed, back=wanted, role=None
    )


def problem(request: Request, status: int, error: GeomapError | None = None) -> Response:
    """The page of an error: in the reader's words what kind it is, and what the service itself says of it."""
    key = {403: "not_allowed", 404: "not_found", 409: "conflict", 412: "changed", 503: "busy"}.get(int(status))
    kind = key or ("input" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "fault")
    identity = getattr(request.state, "identity", None)
    owner = request.path_params.get("cooperative_id")
    inside = identity is not None and identity.scope.role in OFFICE and owner and identity.scope.reaches(owner)
    back = f"/office/{part(owner)}" if owner and inside and status != HTTPStatus.NOT_FOUND else "/"
    return page(request, "problem.html", status=int(status), kind=kind, error=error, back=back)


@cache
def static(name: str) -> tuple[bytes, str]:
    """A file of ours and the start of its SHA-256, which stands in its address.

    Raises
    ------
    NotFoundError : there is none of this name.
    """
    folder = files("api.pages").joinpath("static")
    if name not in {file.name for file in folder.iterdir()}:
        raise NotFoundError("There is no such file.")
    content = folder.joinpath(name).read_bytes()
    return content, sha256(content).hexdigest()[:12]


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("api.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = lambda name: f"/static/{name}?v={static(name)[1]}"
    made.filters["part"] = part
    return made
