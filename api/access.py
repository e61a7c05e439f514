"""Who may do what: one table, and one dependency that every route declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from api.errors import NotKnownError, NotReadyError
from geomap.store import Scope, Store
from geomap.store.errors import NotAllowedError, NotFoundError

OFFICE: Final = frozenset({"coop_admin", "local"})
KEEPERS: Final = frozenset({"operator", "local"})
ANALYSIS: Final = OFFICE | {"analyst"}
READERS: Final = ANALYSIS | {"buyer"}
EVERYONE: Final = READERS | {"operator"}

ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "session.begin": EVERYONE,
    "session.end": EVERYONE,
    "session.read": EVERYONE,
    "tokens.read": EVERYONE,
    "tokens.add": EVERYONE,
    "tokens.revoke": EVERYONE,
    "cooperatives.read": EVERYONE,
    "cooperatives.add": KEEPERS,
    "cooperatives.change": OFFICE,
    "cooperatives.erase": OFFICE,
    "cooperatives.export": OFFICE,
    "members.read": OFFICE,
    "members.change": OFFICE,
    "members.erase": OFFICE,
    "consents.read": OFFICE,
    "consents.record": OFFICE,
    "plots.read": ANALYSIS,
    "plots.change": OFFICE,
    "plots.history": OFFICE,
    "imports.read": OFFICE,
    "imports.add": OFFICE,
    "evidence.read": OFFICE,
    "decisions.read": OFFICE,
    "decisions.change": OFFICE,
    "rasters.read": ANALYSIS | {"operator"},
    "runs.read": ANALYSIS,
    "runs.add": OFFICE,
    "runs.files": OFFICE,
    "jobs.read": OFFICE,
    "jobs.cancel": OFFICE,
    "grants.read": OFFICE,
    "grants.change": OFFICE,
    "audit.read": OFFICE,
    "releases.read": READERS,
    "releases.add": OFFICE,
    "releases.withdraw": OFFICE,
    "portfolio.read": READERS,
    "queue.read": KEEPERS,
    "queue.cancel": KEEPERS,
    "metrics.read": KEEPERS,
}
"""Action → the roles that may do it. What is not named here nobody may."""

RELEASED_ACTIONS: Final = frozenset({"cooperatives.read", "releases.read"})
"""Actions for which a grant of releases reaches a cooperative; all others on a cooperative need more."""
COOPERATIVE: Final = "cooperative_id"
"""The part of a path that names the cooperative which the request is about."""
NO_COOPERATIVE: Final = "There is no such cooperative."


BEARER: Final = HTTPBearer(auto_error=False, description="A token: `Authorization: Bearer coop_…`")
"""Tells readers of /openapi.json how to come in; `api.identity` has looked at the token before."""


@dataclass(frozen=True)
class Identity:
    """Who sent a request: found once, before its body is read.

    Attributes
    ----------
    token : public id of the token that was shown; None where a cookie was.
    """

    scope: Scope
    token: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a route needs to answer: the store, and the scope of whoever asks."""

    store: Store
    scope: Scope
    token: str | None = None

    @property
    def account(self) -> str:
        """Id of the account."""
        return self.scope.account_id


class Permission:
    """The dependency of `may`; a test finds it on the routes."""

    def __init__(self, action: str) -> None:
        self.action, self.roles = action, ACTIONS[action]

    async def __call__(self, request: Request, _: Annotated[Any, Security(BEARER)]) -> Asked:
        if request.app.state.store is None:
            raise NotReadyError("The service has no store.", todo="Set GEOMAP_API_STORE.")
        identity: Identity | None = getattr(request.state, "identity", None)
        if identity is None:
            raise NotKnownError("No valid token was shown.", todo="Send it as `Authorization: Bearer …`.")
        scope = identity.scope
        self._require_reach(scope, request.path_params.get(COOPERATIVE))
        if scope.role not in self.roles:
            raise NotAllowedError(f"The role {scope.role} may not do this.")
        return Asked(request.app.state.store, scope, identity.token)

    def _require_reach(self, scope: Scope, cooperative_id: str | None) -> None:
        """A cooperative that is not within reach is not there: no answer tells it from one that never was."""
        plots_alone = scope.role == "analyst" and self.action == "releases.read"  # plots open no release
        if cooperative_id is None or (scope.reaches(cooperative_id) and not plots_alone):
            return
        by_release = self.action in RELEASED_ACTIONS or scope.role not in self.roles
        if not (by_release and cooperative_id in scope.released):
            raise NotFoundError(NO_COOPERATIVE)


class Open:
    """The dependency of `public`."""

    async def __call__(self) -> None:
        return None


def may(action: str) -> Any:
    """The dependency of a route: only roles of `ACTIONS[action]` come in, and only to cooperatives within their reach.

    401 where nobody is known, 404 where the cooperative of the path is not within reach, whether it exists or not, and
    403 where the role may not do this within its own reach.

    Examples
    --------
    >>> may("plots.read").dependency.roles == {"coop_admin", "analyst", "local"}
    True
    """
    return Depends(Permission(action))


def public() -> Any:
    """The dependency of a route that is for everyone."""
    return Depends(Open())
