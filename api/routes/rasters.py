"""The land-cover rasters that the service knows."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from api.access import Asked, may
from api.answers import Page, listed
from api.columns import RASTER, cut
from api.described import TABLE
from geomap.store.rasters import rasters

router = APIRouter(tags=["rasters"])


@router.get("/rasters", summary="Land-cover rasters that a run can take", responses=TABLE)
def list_rasters(request: Request, page: Page, asked: Annotated[Asked, may("rasters.read")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        rows, following = cut(rasters(tx, after=page.after, limit=page.limit + 1), page.limit, "raster_id")
    return listed(request, rows, columns=RASTER, name="rasters", next=following, personal=False)
