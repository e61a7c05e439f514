"""What an office brought beside plots and members: deliveries, estimates, commitments, contracts, shares."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Request, Response

from api.access import Asked, may
from api.answers import Page, listed
from api.columns import BROUGHT, SHARE, cut
from api.described import TABLE
from api.paths import OF, CooperativeId
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.evidence import rows

router = APIRouter(tags=["evidence"])
Brought = Literal["deliveries", "field-estimates", "commitments", "contracts", "shares"]
_KINDS: Final = {"field-estimates": "field_estimates"}


def _add_route(part: Brought) -> None:
    """A route of its own for each kind: a part of a path that names a kind would stand before every other route."""
    kind, columns = _KINDS.get(part, part), SHARE if part == "shares" else BROUGHT

    def list_rows(
        request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("evidence.read")]
    ) -> Response:
        with asked.store.begin(asked.scope) as tx:
            cooperative(tx, cooperative_id)
            found = rows(tx, cooperative_id, kind, after=page.number(), limit=page.limit + 1)
            audit.record(tx, "evidence.read", cooperative_id=cooperative_id, object=kind)
        kept, following = cut(found, page.limit, "key")
        return listed(request, kept, columns=columns, name=part, next=following)

    summary = f"{part.replace('-', ' ').capitalize()}, in their order"
    router.get(f"{OF}/{part}", name=f"list_{kind}", summary=summary, responses=TABLE)(list_rows)


for _part in ("deliveries", "field-estimates", "commitments", "contracts", "shares"):
    _add_route(_part)
