"""A plot: where it lies, its outline drawn anew or written corner by corner, and all its versions."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from api.access import Asked, may
from api.geojson import OWN_COLUMNS, PlotRefusedError
from api.models import Name, Text
from api.pages.base import AT, PageRoute, go, page, part, texts_of
from api.pages.doubts import SHOWN, Doubts, doubts_about, rings_of
from api.pages.map import frame_address, map_told
from api.pages.map_rows import outline_of
from api.pages.outline import FAR_M, SMALL_HA, as_text, corners_of, from_text, paths
from api.paths import CooperativeId
from api.routes.plots import change_plot
from geomap.errors import NumberError
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.errors import ChangedError, NotFoundError
from geomap.store.members import member
from geomap.store.plots import plot_history

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Id = Annotated[Text, Query(min_length=1)]
Version = Annotated[int, Form(ge=0, le=2**53)]
Corners = Annotated[str, Form(max_length=1_000_000)]
Sure = Annotated[str, Form(max_length=64)]
"""The token of the doubts that somebody has seen, who saves all the same."""
_PAGE: Final = 50
_LEAST_HA: Final = 0.001
_KEPT: Final = (*OWN_COLUMNS, "attributes")


@router.get(f"{AT}/plot")
def show(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("plots.history")],
    id: Id,
    saved: Annotated[int, Query(ge=0, le=2**53)] = 0,
    same: bool = False,
) -> Response:
    return _shown(request, asked, cooperative_id, id, saved=saved, same=same)


def _shown(request: Request, asked: Asked, cooperative_id: str, plot_id: str, **told: Any) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner, rows = cooperative(tx, cooperative_id), plot_history(tx, cooperative_id, plot_id)
    today = rows[0] if rows[0]["ended_at"] is None else None
    common: dict[str, Any] = {"saved": 0, "same": False, "error": None, "doubts": Doubts(), "written": None}
    common["version"] = rows[0]["version"]
    written = told.get("written")
    text = as_text(corners_of(today["geometry"])) if today and written is None else written or ""
    return page(
        request,
        "plot.html",
        status=200 if not (told.get("error") or told.get("doubts")) else 422,
        cooperative=owner,
        tab="members",
        plot_id=plot_id,
        rows=[{**row, "shape": new, "older": old} for row, (new, old) in zip(rows, _drawn(rows), strict=True)],
        today=today,
        text=text,
        told=_edit(request, cooperative_id, today, text, told.get("doubts")) if today else None,
        frame=frame_address(request),
        **_worded(request, told.get("doubts")),
        **{**common, **told},
    )


def _drawn(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Each version's outline and the one before it, as paths at one scale."""
    shapes = [row["geometry"] for row in rows]
    return [paths([new, old]) for new, old in zip(shapes, [*shapes[1:], None], strict=True)]


def _edit(
    request: Request, cooperative_id: str, row: Mapping[str, Any] | None, text: str, doubts: Doubts | None = None
) -> dict[str, Any]:
    """What the script beside the map is told, with the outline to be changed; one that cannot be read is not drawn."""
    told = map_told(request, cooperative_id, None, office=True)
    before = [] if row is None else corners_of(row["geometry"])
    try:
        outline = rings_of(from_text(text)) if text.strip() else []
    except NumberError:
        outline = before
    edit = {"outline": outline, "before": before, "small_ha": SMALL_HA, "far_m": FAR_M,
            "declared_ha": None if row is None else row["declared_area_ha"],
            "common": doubts.common if doubts else None}  # fmt: skip
    place = None if row is None else row["geometry"]
    return {**told, "layer": "plain", "edit": edit, "bounds": _around(place), "show": None, "places": []}


def _around(wkb: bytes | None) -> list[float] | None:
    """West, south, east and north of the shape, with room for a point; None where there is none."""
    shape = outline_of(wkb)
    if wkb is None or shape is None:
        return None
    import shapely

    box: tuple[float, ...] = shapely.from_wkb(bytes(wkb)).buffer(0.0008).bounds
    return list(box)


@router.post(f"{AT}/plot")
def save(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("plots.change")],
    id: Id,
    version: Version,
    corners: Corners,
    sure: Sure = "",
) -> Response:
    """The outline as it was drawn or written, as another version; all else of the plot stays as it is."""
    today = _today(asked, cooperative_id, id)
    if today["version"] != version:
        raise ChangedError("The plot was changed by somebody else.", todo="Look at it again.")
    seen: dict[str, Any] = {"written": corners, "version": version}
    try:
        outline = from_text(corners)
        doubts = _doubts(asked, cooperative_id, today, outline)
        if doubts.hold_back(sure):
            return _shown(request, asked, cooperative_id, id, doubts=doubts, **seen)
        row = _put(asked, cooperative_id, today, outline, version=version)
    except (NumberError, PlotRefusedError) as error:
        return _shown(request, asked, cooperative_id, id, error=error, **seen)
    return go(_address(cooperative_id, id, row, version))


def _today(asked: Asked, cooperative_id: str, plot_id: str) -> dict[str, Any]:
    with asked.store.read(asked.scope) as tx:
        row = plot_history(tx, cooperative_id, plot_id, limit=1)[0]
    if row["ended_at"] is not None:
        raise NotFoundError("There is no such plot.")
    return row


def _doubts(asked: Asked, cooperative_id: str, row: Mapping[str, Any], outline: Mapping[str, Any]) -> Doubts:
    with asked.store.read(asked.scope) as tx:
        return doubts_about(tx, cooperative_id, row, outline)


def _put(asked: Asked, cooperative_id: str, row: Mapping[str, Any], shape: Any, *, version: int) -> dict[str, Any]:
    """The plot with this shape; what else the row tells of it stays."""
    properties = {name: row[name] for name in _KEPT}
    sent = {"type": "Feature", "geometry": shape, "properties": properties}
    return change_plot(asked, cooperative_id, row["plot_id"], sent, version=version)[0]


def _address(cooperative_id: str, plot_id: str, row: Mapping[str, Any], version: int) -> str:
    said = "same=1" if row["version"] == version else f"saved={row['version']}"
    return f"/office/{cooperative_id}/plot?id={part(plot_id)}&{said}"


def _worded(request: Request, doubts: Doubts | None) -> dict[str, Any]:
    """What is odd about an outline, in words, and the plots that it lies over: the first ones, and how many more."""
    if doubts is None:
        return {"odd": [], "over": [], "more": 0}
    t = texts_of(request)
    values = {
        "far": lambda value: {"metres": t.number(value)},
        "grew": lambda value: {"percent": t.percent(value)},
        "shrank": lambda value: {"percent": t.percent(value)},
    }
    odd = [t(f"map.edit_{kind}", **(values[kind](value) if kind in values else {})) for kind, value in doubts.odd]
    over = [(one, t.number(one.ha) if one.ha >= _LEAST_HA else f"< {t.number(_LEAST_HA)}") for one in doubts.over]
    return {"odd": odd, "over": over[:SHOWN], "more": max(0, len(over) - SHOWN)}


@router.post(f"{AT}/plot/restore")
def restore(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("plots.change")],
    id: Id,
    version: Version,
    restored: Annotated[int, Form(ge=1, le=2**53)],
) -> Response:
    """An earlier outline as the version of today; nothing is taken from the history.

    Where it lies over other plots it is shown first, to be saved or changed as any other outline.
    """
    today = _today(asked, cooperative_id, id)
    with asked.store.read(asked.scope) as tx:
        earlier = [row for row in plot_history(tx, cooperative_id, id) if row["version"] == restored]
    if not earlier:
        raise NotFoundError("There is no such version.")
    outline = outline_of(earlier[0]["geometry"])
    if corners_of(earlier[0]["geometry"]):
        doubts = _doubts(asked, cooperative_id, today, outline or {})
        if doubts.over:
            written = as_text(corners_of(earlier[0]["geometry"]))
            return _shown(request, asked, cooperative_id, id, doubts=doubts, written=written)
    try:
        row = _put(asked, cooperative_id, today, outline, version=version)
    except PlotRefusedError as error:
        return _shown(request, asked, cooperative_id, id, error=error)
    return go(_address(cooperative_id, id, row, version))


# ---- a plot that nobody has drawn yet ----


@router.get(f"{AT}/plot/new")
def begin(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.read")],
    member_id: Annotated[Text, Query(alias="member", min_length=1)],
) -> Response:
    return _begun(request, asked, cooperative_id, member_id)


def _begun(request: Request, asked: Asked, cooperative_id: str, member_id: str, **told: Any) -> Response:
    with asked.store.begin(asked.scope) as tx:
        owner, person = cooperative(tx, cooperative_id), member(tx, cooperative_id, member_id)
        audit.record(tx, "members.read", cooperative_id=cooperative_id, object=member_id)
    given = {"error": None, "doubts": Doubts(), "written": "", "plot_id": f"{member_id}-1", **told}
    return page(
        request,
        "plot_new.html",
        status=200 if not (given["error"] or given["doubts"]) else 422,
        cooperative=owner,
        tab="map",
        member=person,
        told=_edit(request, cooperative_id, None, given["written"], given["doubts"]),
        frame=frame_address(request),
        **_worded(request, given["doubts"]),
        **given,
    )


@router.post(f"{AT}/plot/new")
def add(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("plots.change")],
    member_id: Annotated[Text, Query(alias="member", min_length=1)],
    plot_id: Annotated[Name, Form()],
    corners: Corners,
    sure: Sure = "",
) -> Response:
    """A plot of this id must not be there yet."""
    with asked.store.read(asked.scope) as tx:
        person = member(tx, cooperative_id, member_id)
    told: dict[str, Any] = {"plot_id": plot_id, "written": corners}
    nothing: dict[str, Any] = dict.fromkeys((*_KEPT, "geometry"))
    own = {**nothing, "plot_id": plot_id, "attributes": {}, "member_id": member_id, "community": person["community"]}
    try:
        outline = from_text(corners)
        doubts = _doubts(asked, cooperative_id, own, outline)
        if doubts.hold_back(sure):
            return _begun(request, asked, cooperative_id, member_id, doubts=doubts, **told)
        row = _put(asked, cooperative_id, own, outline, version=0)
    except (NumberError, PlotRefusedError) as error:
        return _begun(request, asked, cooperative_id, member_id, error=error, **told)
    return go(_address(cooperative_id, plot_id, row, 0))
