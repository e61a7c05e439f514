"""Lists to print for the field: what is to be done in each community, and a sheet for each member."""

import tempfile
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from api.access import Asked, may
from api.pages.base import AT, PageRoute, page, texts_of
from api.paths import CooperativeId
from geomap.errors import FileError
from geomap.store import audit, schema
from geomap.store.cooperatives import cooperative
from geomap.store.errors import NotFoundError
from geomap.store.snapshot import snapshot

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Kind = Literal["communities", "members"]
_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


@router.get(f"{AT}/lists")
def show(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.read")],
    kind: Kind = "communities",
    part: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """The lists within our page, in a frame that reaches nothing."""
    from geomap.outputs.kit import MEMBERS_PER_FILE

    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        plots = schema.plots.c
        own = select(plots.member_id).where(plots.cooperative_id == cooperative_id, plots.ended_at.is_(None))
        sheets = len(tx.fetch(own.distinct()))
    told: dict[str, Any] = {
        "kind": kind,
        "part": part,
        "per_part": MEMBERS_PER_FILE,
        "more": sheets > part * MEMBERS_PER_FILE,
    }
    return page(request, "lists.html", cooperative=owner, tab="findings", **told)


@router.get(f"{AT}/lists/frame")
def frame(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.read")],
    kind: Kind = "communities",
    part: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """The page to print, of the plots as they stand today: checked anew, overlaps too."""
    from geomap.outputs.kit import MEMBERS_PER_FILE
    from geomap.outputs.kit_pages import member_sheets, work_lists

    texts = texts_of(request).office
    kit = _kit(asked, cooperative_id, Path(request.app.state.settings.work_dir))
    pages = iter([work_lists(kit, texts)]) if kind == "communities" else member_sheets(kit, texts, MEMBERS_PER_FILE)
    content = next(islice(pages, part - 1, None), None)
    if content is None:
        raise NotFoundError("There is no such page.")
    with asked.store.begin(asked.scope) as tx:
        audit.record(tx, "members.read", cooperative_id=cooperative_id)
    headers = {"Content-Security-Policy": _POLICY, "X-Frame-Options": "SAMEORIGIN", "Cache-Control": "no-store"}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


def _kit(asked: Asked, cooperative_id: str, work_dir: Path) -> Any:
    """Plots, members, findings and overlaps of what stands in the store."""
    from geomap.findings import join_findings
    from geomap.outputs.kit_data import kit_of
    from geomap.plots.prepare import prepare_plots
    from geomap.run import read_inputs

    with tempfile.TemporaryDirectory(prefix="geomap-lists-", dir=work_dir) as folder:
        with asked.store.read(asked.scope) as tx:
            country = cooperative(tx, cooperative_id)["country"] or None
            files = snapshot(tx, cooperative_id, Path(folder))
        if "plots" not in files.files:
            raise FileError("The cooperative has no plots yet.", todo="Bring plots first.")
        given = files.inputs()
        table, people, found = read_inputs(given["plots"], given["members"], country=country, **given["reading"])
        prepared = prepare_plots(table, people, country=country)
    return kit_of(prepared, join_findings([*found, prepared.findings]))
