"""The land-cover rasters that the service knows."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from api.access import Asked, may
from api.answers import Page, listed
from api.columns import RASTER, Row, cut
from geomap.store.schema import rasters as table
from geomap.store.scope import Transaction

router = APIRouter(tags=["rasters"])


@router.get("/rasters", summary="Land-cover rasters that a run can take")
def list_rasters(request: Request, page: Page, asked: Annotated[Asked, may("rasters.read")]) -> Response:
    with asked.store.read(asked.scope) as tx:
        rows, following = cut(rasters(tx, after=page.after, limit=page.limit + 1), page.limit, "raster_id")
    return listed(request, rows, columns=RASTER, name="rasters", next=following, personal=False)


def rasters(tx: Transaction, *, after: str = "", limit: int = 100) -> list[Row]:
    """Rasters that are in use, by id."""
    found = select(table).where(table.c.raster_id > after, table.c.retired_at.is_(None))
    return [dict(row) for row in tx.fetch(found.order_by(table.c.raster_id).limit(limit))]
