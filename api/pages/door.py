"""The way in and out, and the files that all pages need."""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api.access import Asked, may, public
from api.errors import NotReadyError
from api.identity import SIGN_IN
from api.pages.base import ONE_YEAR_S, PageRoute, go, sign_in, static
from api.paths import FileName
from api.routes.session import HOME, end, with_cookie
from geomap.store.sessions import begin_session
from geomap.store.tokens import public_id, who

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_KINDS: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


@router.get(SIGN_IN, dependencies=[public()])
def show_sign_in(request: Request) -> Response:
    answer = sign_in(request, back=HOME)
    answer.status_code = 200
    return answer


@router.post(SIGN_IN, dependencies=[public()])
def begin(
    request: Request,
    token: Annotated[str, Form(max_length=200)],
    back: Annotated[str, Form(max_length=2_000)] = HOME,
) -> Response:
    """Begin a session with the token of the form; the Origin was checked before the body was read."""
    settings, store = request.app.state.settings, request.app.state.store
    if store is None:
        raise NotReadyError("The service has no store.", todo="Set GEOMAP_API_STORE.")
    own = back if back.startswith("/") and not back.startswith("//") and "\\" not in back else HOME
    shown = token.strip()
    scope = who(store, shown)
    if scope is None:
        return sign_in(request, failed=True, back=own)
    secret = begin_session(store, scope.account_id, seconds=3600 * settings.session_hours, public_id=public_id(shown))
    return with_cookie(go(own), settings, secret)


@router.post("/sign-out")
def leave(request: Request, asked: Annotated[Asked, may("session.end")]) -> Response:
    answer, ended = go(SIGN_IN), end(request, asked)
    answer.headers["set-cookie"] = ended.headers["set-cookie"]
    return answer


@router.get("/static/{name}", dependencies=[public()])
def read_static(name: FileName) -> Response:
    content, _ = static(name)
    headers = {"Cache-Control": f"public, max-age={ONE_YEAR_S}, immutable"}
    return Response(content, media_type=_KINDS[name.rpartition(".")[2]], headers=headers)
