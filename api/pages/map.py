"""Maps: the plots as they stand today or of a run, beside their table; what stands at a place; the frame itself."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from api.access import Asked, may
from api.answers import shown
from api.models import Text
from api.pages.analysis_view import maps_of, product_of
from api.pages.base import AT, ONE_YEAR_S, PageRoute, page, texts_of
from api.pages.bring import SEVERITIES
from api.pages.figures import office_unit
from api.pages.map_rows import findings_of, outline_of, people_of, plots_of
from api.pages.map_table import Part, WantedPart, analyst_part, analyst_plot, office_part
from api.pages.texts import Texts, catalogue
from api.paths import CooperativeId
from api.tiles import Shown, TileMemory
from geomap.store import audit, schema
from geomap.store.cooperatives import cooperative
from geomap.store.imports import import_
from geomap.store.runs import run, runs
from geomap.store.scope import Transaction

router = APIRouter(route_class=PageRoute, include_in_schema=False)
RunAsked = Annotated[str, Query(alias="run", max_length=64, pattern=r"^[A-Za-z0-9_-]*$")]
ImportAsked = Annotated[str, Query(alias="import", max_length=64, pattern=r"^[A-Za-z0-9_-]*$")]
TODAY: Final = ("findings", "plain")
OF_A_RUN: Final = ("potential", "uncertainty", "findings", "class", "cover")
KG: Final[Mapping[str, Any]] = {"kg": 1.0, "name": "kg"}
_RUNS: Final = 50
_ABOUT: Final = 20
_MAP_TEXT: Final = "map."


# ---- the page ----


@router.get(f"{AT}/map")
def show(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.read")],
    wanted: WantedPart,
    run_id: RunAsked = "",
    import_id: ImportAsked = "",
    plot: Annotated[Text, Query()] = "",
) -> Response:
    with asked.store.begin(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        of = run(tx, cooperative_id, run_id) if run_id else None
        brought = import_(tx, cooperative_id, import_id) if import_id else None
        among = _named(tx, cooperative_id, import_id) if import_id else None
        part = office_part(tx, cooperative_id, run_id, wanted, among=among)
        chosen = plots_of(tx, cooperative_id, run_id, [plot]) if plot else []
        choices = runs(tx, cooperative_id, limit=_RUNS)
        classes = _classes(tx, texts_of(request), of)
        audit.record(tx, "members.read", cooperative_id=cooperative_id)
    at = f"/office/{cooperative_id}"
    told = map_told(request, cooperative_id, of, unit=_unit(texts_of(request), of, owner), office=True)
    places = [row["place"][:2] for row in part.rows if row["place"]] if import_id else []
    return page(
        request,
        "map.html",
        cooperative=owner,
        tab="map",
        at=at,
        owner=owner,
        run=of,
        brought=brought,
        runs=choices,
        told={**told, "classes": classes, "show": _start(chosen), "places": places},
        frame=frame_address(request),
        still=f"{at}/map/still.png?{urlencode({'run': run_id})}",
        **_asked_for(part, {"run": run_id, "import": import_id, **wanted.given}),
    )


@router.get("/analysis/{cooperative_id}/map")
def show_analyst(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("plots.read")],
    wanted: WantedPart,
    run_id: RunAsked = "",
    plot: Annotated[Text, Query()] = "",
) -> Response:
    """The same under pseudonyms: no name, no community, no message of a finding."""
    index = shown_plots(request, asked, cooperative_id, run_id).index
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
        of = run(tx, cooperative_id, run_id) if run_id else None
        choices = runs(tx, cooperative_id, limit=_RUNS)
        classes = _classes(tx, texts_of(request), of)
    chosen = analyst_plot(index, plot) if plot else None
    told = map_told(request, cooperative_id, of, unit=_unit(texts_of(request), of, None), office=False)
    return page(
        request,
        "map.html",
        tab="analysis",
        at=f"/analysis/{cooperative_id}",
        owner=owner,
        run=None if of is None else {**of, "title": ""},
        brought=None,
        runs=[{**one, "title": ""} for one in choices],
        told={**told, "classes": classes, "show": _start([chosen] if chosen else []), "places": []},
        frame=frame_address(request),
        still=f"/analysis/{cooperative_id}/map/still.png?{urlencode({'run': run_id})}",
        **_asked_for(analyst_part(index, wanted), {"run": run_id, "import": "", **wanted.given}),
    )


def _asked_for(part: Part, given: Mapping[str, str]) -> dict[str, Any]:
    """The part of the table, and what stands in its form and in the addresses of its other parts."""
    kept = {name: value for name, value in given.items() if value}
    unsorted = {name: value for name, value in kept.items() if name not in ("sort", "down")}
    return {"part": part, "given": given, "filters": urlencode(kept), "unsorted": urlencode(unsorted)}


def _start(chosen: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The plot that the map opens on."""
    return next(({"place": row["place"], "plot": row["plot_id"]} for row in chosen if row["place"]), None)


def _named(tx: Transaction, cooperative_id: str, import_id: str) -> set[str]:
    """Plots that a finding in a file is about."""
    table = schema.import_findings
    found = select(table.c.plot_id).where(table.c.cooperative_id == cooperative_id, table.c.import_id == import_id)
    return {row["plot_id"] for row in tx.fetch(found.distinct())}


def shown_plots(request: Request, asked: Asked, cooperative_id: str, run_id: str) -> Shown:
    """What whoever asks may see of the plots of a run, or of those of today, as the map draws it."""
    memory: TileMemory = request.app.state.tiles
    return memory.shown(asked, cooperative_id, run_id)


def _unit(t: Texts, of: Mapping[str, Any] | None, owner: Mapping[str, Any] | None) -> dict[str, Any]:
    """What kilograms are counted in: in the office's own unit, for others in kilograms."""
    unit = None if of is None or owner is None else office_unit(of, owner)
    if unit is None:
        return dict(KG)
    return {"kg": unit.kg, "name": t(f"unit.{unit.kind}", size=t.number(unit.size_kg))}


def map_told(
    request: Request, cooperative_id: str, of: Mapping[str, Any] | None, *, unit: Mapping[str, Any] = KG, office: bool
) -> dict[str, Any]:
    """What the script beside the map is told; it is in the page as JSON."""
    texts = texts_of(request)
    pages = f"/office/{cooperative_id}" if office else ""
    asked = {"run": of["run_id"]} if of else {}
    base = f"/cooperatives/{cooperative_id}" + (f"/runs/{of['run_id']}" if of else "/plots-map")
    return {
        "at": base,
        "layers": list(OF_A_RUN if of else TODAY),
        "layer": "potential" if of else "findings",
        "language": texts.language,
        "texts": map_texts(texts.language),
        "classes": {},
        "unit": unit,
        "about": f"{pages}/map/about?{urlencode({'lang': texts.language, **asked})}" if pages else "",
        "plot_at": f"{pages}/plot?id=" if pages else "",
        "edit": None,
        "bounds": None,
    }


def _classes(tx: Transaction, t: Texts, of: Mapping[str, Any] | None) -> dict[str, str]:
    """Class of a run's map → what readers of the language call it; nothing for a map of one's own."""
    known = None if of is None else product_of(maps_of(tx, of))
    return {} if known is None else {name: t.land(name) for name in known.legend["name"]}


def map_texts(language: str) -> dict[str, str]:
    """The texts of maps, for the frame and the script beside it."""
    return {key.removeprefix(_MAP_TEXT): text for key, text in catalogue(language).items() if key.startswith(_MAP_TEXT)}


# ---- what stands there, for the office alone ----


@router.get(f"{AT}/map/about")
def about(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("members.read")],
    id: Annotated[list[Text], Query(min_length=1, max_length=_ABOUT)],
    run_id: RunAsked = "",
) -> Response:
    """Of each plot: member, community, findings with what they cost, and the outline."""
    texts = texts_of(request)
    table = schema.run_plots if run_id else schema.plots
    which = table.c.run_id == run_id if run_id else table.c.ended_at.is_(None)
    columns = (table.c.plot_id, table.c.member_id, table.c.geometry)
    with asked.store.begin(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        found = select(*columns).where(table.c.cooperative_id == cooperative_id, table.c.plot_id.in_(id), which)
        rows = [dict(row) for row in tx.fetch(found)]
        every = list(findings_of(tx, cooperative_id, run_id, id))
        people = people_of(tx, cooperative_id, [row["member_id"] for row in rows])
        audit.record(tx, "members.read", cooperative_id=cooperative_id)
    nobody = {"name": "", "community": ""}
    plots = {
        row["plot_id"]: {
            "member_name": people.get(row["member_id"], nobody)["name"],
            "community": people.get(row["member_id"], nobody)["community"],
            "problems": [_problem(texts, one) for one in _gravest(every) if one["plot_id"] == row["plot_id"]],
            "outline": outline_of(row["geometry"]),
        }
        for row in rows
    }
    return shown(request, {"plots": plots})


def _gravest(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(findings, key=lambda one: SEVERITIES.index(one["severity"]))


def _problem(t: Texts, one: Mapping[str, Any]) -> dict[str, str]:
    """A finding as it is read: how grave, what, and what it costs."""
    price = [f"{t.number(one[name])}\N{NO-BREAK SPACE}{name[-2:]}" for name in ("effect_ha", "effect_kg") if one[name]]
    return {"severity": t.office[one["severity"]], "title": t.office.title(one["code"]), "price": " · ".join(price)}


# ---- one picture of everything, for whoever has no script ----


@router.get(f"{AT}/map/still.png")
def still(
    request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("members.read")], run_id: RunAsked = ""
) -> Response:
    return _still(request, asked, cooperative_id, run_id)


@router.get("/analysis/{cooperative_id}/map/still.png")
def still_analyst(
    request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("plots.read")], run_id: RunAsked = ""
) -> Response:
    return _still(request, asked, cooperative_id, run_id)


def _still(request: Request, asked: Asked, cooperative_id: str, run_id: str) -> Response:
    from geomap.outputs.served_map import still_map
    from geomap.outputs.tile_pictures import picture

    found = shown_plots(request, asked, cooperative_id, run_id)
    index, layer = found.index, found.layers["potential" if run_id else "findings"]
    bounds = index.bounds or (-180.0, -60.0, 180.0, 75.0)
    content = still_map(lambda z, x, y: picture(index, layer, z, x, y), bounds)
    return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})


# ---- the frame ----


@router.get("/map-frame")
def frame(request: Request, asked: Annotated[Asked, may("session.read")]) -> Response:
    """The page in the frame: the same for everyone, and without a fact of anybody. It reaches nothing by itself."""
    content, pictures = _frame(request)
    policy = (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        f"img-src {pictures}; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "SAMEORIGIN",
        "Cache-Control": f"private, max-age={ONE_YEAR_S}, immutable",
    }
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


def frame_address(request: Request) -> str:
    """Where the frame's page is: another content has another address."""
    return f"/map-frame?v={hashlib.sha256(_frame(request)[0].encode()).hexdigest()[:12]}"


def _frame(request: Request) -> tuple[str, str]:
    """The frame's page, and where its pictures may come from."""
    from geomap.outputs.served_map import Basemap, served_map

    settings = request.app.state.settings
    basemap = Basemap(settings.basemap, settings.basemap_credit) if settings.basemap else None
    return served_map(basemap), "data: blob:" + (f" {basemap.origin}" if basemap else "")
