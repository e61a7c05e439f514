"""Plots: GeoJSON for the office with all that is known, for an analyst without a way back to people."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.access import Asked, may
from api.answers import Page, listed, shown
from api.columns import ANALYST_PLOT, HISTORY, PLOT, Row, cut, only
from api.described import FEATURE, PUT_FEATURE, SHAPES
from api.geojson import MEDIA_TYPE, bounds_of, checked_plot, feature
from api.models import PlotFeature
from api.paths import OF, CooperativeId, PlotId
from api.routes.members import version_to_change
from api.veil import AT_ONCE, Veil, walked
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.errors import ConflictError, NotFoundError
from geomap.store.plots import Box, current_plots, end_plot, plot, plot_history, put_plot
from geomap.store.pseudonyms import pseudonym_secret
from geomap.store.scope import Transaction

router = APIRouter(tags=["plots"])
ALL = f"{OF}/plots"
ONE = f"{ALL}/{{plot_id:own}}"
BoxText = Annotated[
    str | None, Query(max_length=200, description="west,south,east,north in degrees; plots that touch it")
]


@router.get(ALL, summary="Plots as they stand today", responses=SHAPES)
def list_plots(
    request: Request,
    cooperative_id: CooperativeId,
    page: Page,
    asked: Annotated[Asked, may("plots.read")],
    box: BoxText = None,
) -> Response:
    bounds = None if box is None else bounds_of(box)
    if asked.scope.role == "analyst":
        with _under_veil(asked, cooperative_id, bounds) as (veil, plots):
            rows, following = veil.page(plots, veil.plot, after=page.after, limit=page.limit)
        return listed(request, rows, columns=ANALYST_PLOT, name="plots", next=following, default="geojson")
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        found = current_plots(tx, cooperative_id, after=page.after, limit=page.limit + 1, box=bounds)
    rows, following = cut(found, page.limit, "plot_id")
    return listed(request, rows, columns=PLOT, name="plots", next=following, default="geojson")


@contextmanager
def _under_veil(asked: Asked, cooperative_id: str, box: Box | None = None) -> Iterator[tuple[Veil, Iterator[Row]]]:
    """The veil of this moment and all plots behind it; the look is written down."""
    secret = pseudonym_secret(asked.store, cooperative_id)
    with asked.store.begin(asked.scope) as tx:
        audit.record(tx, "plots.read", cooperative_id=cooperative_id)
    with asked.store.read(asked.scope) as tx:  # long; writers need not wait for it
        yield (
            Veil.of(tx, cooperative_id, secret),
            walked(lambda after: current_plots(tx, cooperative_id, after=after, limit=AT_ONCE, box=box), "", "plot_id"),
        )


@router.get(f"{ONE}/history", summary="All versions of a plot, the latest first", responses=SHAPES)
def history(
    request: Request, cooperative_id: CooperativeId, plot_id: PlotId, asked: Annotated[Asked, may("plots.history")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        rows = plot_history(tx, cooperative_id, plot_id)
    return listed(request, rows, columns=HISTORY, name="history")


@router.get(ONE, summary="One plot as a GeoJSON Feature", responses=FEATURE)
def read(
    request: Request, cooperative_id: CooperativeId, plot_id: PlotId, asked: Annotated[Asked, may("plots.read")]
) -> Response:
    if asked.scope.role == "analyst":
        with _under_veil(asked, cooperative_id) as (veil, plots):
            row = veil.find(plots, veil.plot, plot_id)
        return shown(request, _feature(row, ANALYST_PLOT), media_type=MEDIA_TYPE)
    with asked.store.read(asked.scope) as tx:
        row = plot(tx, cooperative_id, plot_id)
    return _one(request, row)


@router.put(ONE, summary="Add a plot, or replace it; earlier versions stay in its history", responses=PUT_FEATURE)
def put(
    request: Request,
    cooperative_id: CooperativeId,
    plot_id: PlotId,
    body: PlotFeature,
    asked: Annotated[Asked, may("plots.change")],
) -> Response:
    if body.properties.plot_id not in (None, plot_id):
        raise ConflictError("The plot_id of the Feature is not that of the address.", todo="Send one and the same.")
    row, is_new, findings = change_plot(
        asked, cooperative_id, plot_id, body.model_dump(), version=version_to_change(request)
    )
    return _one(request, row, status=201 if is_new else 200, findings=findings)


def change_plot(
    asked: Asked, cooperative_id: str, plot_id: str, sent: Row, *, version: int | None
) -> tuple[dict[str, Any], bool, list[dict[str, Any]]]:
    """The plot after it was added or replaced, whether it is new, and the findings on it.

    Parameters
    ----------
    sent : a GeoJSON Feature of plain values. version : as for `put_plot`.

    Raises
    ------
    PlotRefusedError : it cannot be counted as it is. ChangedError : another version stands there.
    """
    with asked.store.read(asked.scope) as tx:
        country = cooperative(tx, cooperative_id)["country"]
    given, findings = checked_plot(plot_id, sent, country=country)
    with asked.store.begin(asked.scope) as tx:
        is_new = not _is_there(tx, cooperative_id, plot_id)
        row = put_plot(tx, cooperative_id, plot_id, given, version=version)
        audit.record(tx, "plots.change", cooperative_id=cooperative_id, object=plot_id)
    return row, is_new, findings


@router.delete(ONE, status_code=204, summary="End a plot; its history stays")
def end(
    request: Request, cooperative_id: CooperativeId, plot_id: PlotId, asked: Annotated[Asked, may("plots.change")]
) -> Response:
    version = version_to_change(request)
    with asked.store.begin(asked.scope) as tx:
        end_plot(tx, cooperative_id, plot_id, version=version)
        audit.record(tx, "plots.end", cooperative_id=cooperative_id, object=plot_id)
    return Response(status_code=204)


def _is_there(tx: Transaction, cooperative_id: str, plot_id: str) -> bool:
    try:
        plot(tx, cooperative_id, plot_id)
    except NotFoundError:
        return False
    return True


def _feature(row: Row, docs: Any, **more: Any) -> dict[str, Any]:
    """The plot with the meaning of its columns beside it."""
    properties = {name: value for name, value in only(row, docs).items() if name != "geometry"}
    meanings = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in docs.items()}
    return {**feature(row["plot_id"], row["geometry"], properties), **more, "columns": meanings}


def _one(request: Request, row: dict[str, Any], status: int = 200, **more: Any) -> Response:
    return shown(request, _feature(row, PLOT, **more), version=row["version"], status=status, media_type=MEDIA_TYPE)
