"""Sessions of a browser: begun with a token or a single-use code, kept by a cookie, ended by either."""

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel

from api.access import Asked, may, public
from api.errors import NotKnownError, NotReadyError
from api.identity import cookie_name
from api.settings import Settings
from geomap.store.sessions import begin_session, end_session, exchange_code

HOME = "/"
_PREFETCH: Final = frozenset({"prefetch", "prerender"})
router = APIRouter(tags=["access"])


class Me(BaseModel):
    """Who is asking: the role, and the ids of the cooperatives that it reaches; null for all."""

    account_id: str
    role: str
    cooperatives: list[str] | None
    released: list[str]


@router.get("/session", summary="Who I am, and what I reach")
async def read(asked: Annotated[Asked, may("session.read")]) -> Me:
    scope = asked.scope
    within = None if scope.reaches("*") else sorted(scope.cooperatives)
    return Me(account_id=scope.account_id, role=scope.role, cooperatives=within, released=sorted(scope.released))


@router.post("/session", status_code=204, summary="Sign a browser in: a cookie for the token that is shown")
def begin(request: Request, asked: Annotated[Asked, may("session.begin")]) -> Response:
    settings: Settings = request.app.state.settings
    if asked.token is None:
        raise NotKnownError("A session is begun with a token.", todo="Send it as `Authorization: Bearer …`.")
    secret = begin_session(asked.store, asked.account, seconds=3600 * settings.session_hours, public_id=asked.token)
    return with_cookie(Response(status_code=204), settings, secret)


@router.delete("/session", status_code=204, summary="Sign the browser out")
def end(request: Request, asked: Annotated[Asked, may("session.end")]) -> Response:
    settings: Settings = request.app.state.settings
    if secret := request.cookies.get(cookie_name(settings)):
        end_session(asked.store, secret)
    answer = Response(status_code=204)
    answer.delete_cookie(
        cookie_name(settings), secure=settings.secure_cookies, httponly=True, samesite="strict", path="/"
    )
    return answer


@router.get("/enter", dependencies=[public()], include_in_schema=False)
def enter(request: Request, code: Annotated[str, Query(max_length=100)]) -> Response:
    """The page behind the link that `geomap serve` prints: its code opens one session, once.

    The link lies on the terminal of whoever started the service, and works from the same computer alone; so it is
    followed at one click. A browser that only fetches ahead is sent away, and its code still opens.
    """
    if _PREFETCH & {word.strip() for name in ("sec-purpose", "purpose") for word in _words(request, name)}:
        return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Cache-Control": "no-store"})
    settings, store = request.app.state.settings, request.app.state.store
    if store is None:
        raise NotReadyError("The service has no store.", todo="Set GEOMAP_API_STORE.")
    secret = exchange_code(store, code, seconds=3600 * settings.session_hours)
    if secret is None:
        raise NotKnownError(
            "The link was used before, or is too old.", todo="Start `geomap serve` again for a new one."
        )
    return with_cookie(RedirectResponse(HOME, status_code=303), settings, secret)


def _words(request: Request, name: str) -> list[str]:
    return request.headers.get(name, "").lower().replace(";", ",").split(",")


def with_cookie(answer: Response, settings: Settings, secret: str) -> Response:
    """The answer with the session's cookie: no script reads it, no other site's page sends it."""
    answer.set_cookie(
        cookie_name(settings),
        secret,
        max_age=int(3600 * settings.session_hours),
        secure=settings.secure_cookies,
        httponly=True,
        samesite="strict",
        path="/",
    )
    return answer
