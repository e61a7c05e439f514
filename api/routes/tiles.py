"""Maps of plots as tiles: pictures, vector tiles, and what stands at a place; of a run, or of the plots of today."""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path as FilePath
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response

import geomap
from api.access import Asked, may
from api.answers import shown as as_json
from api.answers import tagged
from api.described import PICTURE, PMTILES, THING, VECTOR_TILE
from api.paths import OF, CooperativeId, RunId
from api.tiles import Shown, TileMemory
from geomap.outputs.tile_pictures import picture
from geomap.outputs.tile_vectors import facts_of, fields_of, tilejson, vector_tile
from geomap.outputs.tiles import MOST_ZOOM, degrees
from geomap.store import audit
from geomap.store.errors import NotFoundError

router = APIRouter(tags=["maps"])
RUN: Final = f"{OF}/runs/{{run_id}}"
TODAY: Final = f"{OF}/plots-map"

Zoom = Annotated[int, Path(ge=0, le=MOST_ZOOM, description="Zoom: the world is 2^z tiles wide")]
Column = Annotated[int, Path(ge=0, lt=2**MOST_ZOOM, description="Column of the tile, 0 is the most western")]
Row = Annotated[int, Path(ge=0, lt=2**MOST_ZOOM, description="Row of the tile, 0 is the most northern")]
LayerName = Annotated[
    Literal["potential", "uncertainty", "findings", "class", "cover", "plain"], Path(description="What is drawn")
]


class Side(IntEnum):
    """Pixels along the side of a picture."""

    USUAL = 256
    FINE = 512


PixelSize = Annotated[Side, Query(description="Pixels along a side; 512 for fine screens")]
Longitude = Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False, description="Degrees east")]
Latitude = Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False, description="Degrees north")]
AtZoom = Annotated[int, Query(ge=0, le=MOST_ZOOM, description="Where no plot is hit: the nearest within 10 pixels")]
_HEADERS: Final = {"Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
"""Whoever asked may keep an answer, and asks each time whether it still holds: consent may be taken back."""


# ---- of a run ----


@router.get(f"{RUN}/tiles.json", summary="What the tiles of a run hold (TileJSON 3.0.0)", responses=THING)
def run_tilejson(
    request: Request, cooperative_id: CooperativeId, run_id: RunId, asked: Annotated[Asked, may("plots.read")]
) -> Response:
    return _tilejson(request, _shown(request, asked, cooperative_id, run_id))


@router.get(f"{RUN}/tiles/{{z}}/{{x}}/{{y}}.mvt", summary="A vector tile of a run's plots", responses=VECTOR_TILE)
def run_tile(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    run_id: RunId,
    z: Zoom,
    x: Column,
    y: Row,
    asked: Annotated[Asked, may("plots.read")],
) -> Response:
    return _vector_tile(request, _shown(request, asked, cooperative_id, run_id), (z, x, y))


@router.get(f"{RUN}/pictures/{{layer}}/{{z}}/{{x}}/{{y}}.png", summary="A picture of a run's plots", responses=PICTURE)
def run_picture(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    run_id: RunId,
    layer: LayerName,
    z: Zoom,
    x: Column,
    y: Row,
    asked: Annotated[Asked, may("plots.read")],
    size: PixelSize = Side.USUAL,
) -> Response:
    return _picture(request, _shown(request, asked, cooperative_id, run_id), layer, (z, x, y), size)


@router.get(f"{RUN}/legend/{{layer}}", summary="What the colours and patterns of a layer mean", responses=THING)
def run_legend(
    request: Request,
    cooperative_id: CooperativeId,
    run_id: RunId,
    layer: LayerName,
    asked: Annotated[Asked, may("plots.read")],
) -> Response:
    return as_json(request, _legend(_shown(request, asked, cooperative_id, run_id), layer))


@router.get(f"{RUN}/at", summary="The plots of a run at a place", responses=THING)
def run_at(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    run_id: RunId,
    lon: Longitude,
    lat: Latitude,
    asked: Annotated[Asked, may("plots.read")],
    z: AtZoom = 17,
) -> Response:
    return as_json(request, _at(_shown(request, asked, cooperative_id, run_id), lon, lat, z))


@router.get(f"{RUN}/plots.pmtiles", summary="All plots of a run as one file of vector tiles", responses=PMTILES)
def run_pmtiles(
    request: Request, cooperative_id: CooperativeId, run_id: RunId, asked: Annotated[Asked, may("runs.files")]
) -> Response:
    from geomap.outputs.pmtiles import write_pmtiles

    found = _shown(request, asked, cooperative_id, run_id)
    with asked.store.begin(asked.scope) as tx:
        audit.record(tx, "runs.files", cooperative_id=cooperative_id, object=run_id)
    with tempfile.TemporaryDirectory(prefix="geomap-tiles-", dir=request.app.state.settings.work_dir) as folder:
        file = FilePath(folder) / "plots.pmtiles"
        write_pmtiles(found.index, file, legend=_names(found))
        content = file.read_bytes()
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="plots.pmtiles"'}
    return tagged(request, content, media_type="application/vnd.pmtiles", headers=headers)


# ---- of today ----


@router.get(f"{TODAY}/tiles.json", summary="What the tiles of today's plots hold (TileJSON 3.0.0)", responses=THING)
def today_tilejson(
    request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("plots.read")]
) -> Response:
    return _tilejson(request, _shown(request, asked, cooperative_id))


@router.get(f"{TODAY}/tiles/{{z}}/{{x}}/{{y}}.mvt", summary="A vector tile of today's plots", responses=VECTOR_TILE)
def today_tile(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    z: Zoom,
    x: Column,
    y: Row,
    asked: Annotated[Asked, may("plots.read")],
) -> Response:
    return _vector_tile(request, _shown(request, asked, cooperative_id), (z, x, y))


@router.get(
    f"{TODAY}/pictures/{{layer}}/{{z}}/{{x}}/{{y}}.png", summary="A picture of today's plots", responses=PICTURE
)
def today_picture(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    layer: LayerName,
    z: Zoom,
    x: Column,
    y: Row,
    asked: Annotated[Asked, may("plots.read")],
    size: PixelSize = Side.USUAL,
) -> Response:
    return _picture(request, _shown(request, asked, cooperative_id), layer, (z, x, y), size)


@router.get(f"{TODAY}/legend/{{layer}}", summary="What the colours and patterns of a layer mean", responses=THING)
def today_legend(
    request: Request, cooperative_id: CooperativeId, layer: LayerName, asked: Annotated[Asked, may("plots.read")]
) -> Response:
    return as_json(request, _legend(_shown(request, asked, cooperative_id), layer))


@router.get(f"{TODAY}/at", summary="The plots of today at a place", responses=THING)
def today_at(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    lon: Longitude,
    lat: Latitude,
    asked: Annotated[Asked, may("plots.read")],
    z: AtZoom = 17,
) -> Response:
    return as_json(request, _at(_shown(request, asked, cooperative_id), lon, lat, z))


# ---- what they share ----


def _shown(request: Request, asked: Asked, cooperative_id: str, run_id: str = "") -> Shown:
    memory: TileMemory = request.app.state.tiles
    return memory.shown(asked, cooperative_id, run_id)


def _names(found: Shown) -> Any:
    """Names by class code."""
    return None if found.product is None else found.product.legend


def _tilejson(request: Request, found: Shown) -> Response:
    base = request.url.path.removesuffix("/tiles.json")
    told = tilejson(found.index, tiles=[f"{base}/tiles/{{z}}/{{x}}/{{y}}.mvt"], name="plots")
    more = {
        "plots": len(found.index),
        "layers": list(found.pictures),
        "pictures": f"{base}/pictures/{{layer}}/{{z}}/{{x}}/{{y}}.png",
        "cover_minzoom": None if found.cover is None else found.cover.first_zoom,
        "version": found.tag,
    }
    return as_json(request, {**told, **more})


def _tile(
    request: Request, parts: Sequence[object], tile: tuple[int, int, int], media_type: str, make: Callable[[], bytes]
) -> Response:
    """The tile; one that the client has already is not made again."""
    z, x, y = tile
    if max(x, y) >= 2**z:
        raise NotFoundError("There is no such tile.")
    named = "\0".join(map(str, (geomap.__version__, *parts, *tile)))
    tag = f'"{hashlib.sha256(named.encode()).hexdigest()[:32]}"'
    if (known := tagged(request, b"", tag=tag, media_type=media_type, headers=_HEADERS)).status_code == 304:
        return known
    return tagged(request, make(), tag=tag, media_type=media_type, headers=_HEADERS)


def _vector_tile(request: Request, found: Shown, tile: tuple[int, int, int]) -> Response:
    return _tile(
        request, ["vector", found.tag], tile, "application/vnd.mapbox-vector-tile",
        lambda: vector_tile(found.index, *tile, legend=_names(found)),
    )  # fmt: skip


def _picture(request: Request, found: Shown, layer: str, tile: tuple[int, int, int], size: Side) -> Response:
    _require_layer(found, layer)
    if layer == "cover":
        assert found.cover is not None
        cover = found.cover
        return _tile(request, [layer, size, found.tag], tile, "image/png", lambda: cover.picture(*tile, size=size))
    drawn = found.layers[layer]
    return _tile(
        request, [layer, size, found.tag], tile, "image/png", lambda: picture(found.index, drawn, *tile, size=size)
    )


def _legend(found: Shown, layer: str) -> dict[str, Any]:
    _require_layer(found, layer)
    if layer == "cover":
        assert found.cover is not None
        return found.cover.legend()
    return found.layers[layer].legend()


def _require_layer(found: Shown, layer: str) -> None:
    if layer not in found.pictures:
        raise NotFoundError("There is no such layer.", todo=f"Ask for one of: {', '.join(found.pictures)}.")


def _at(found: Shown, lon: float, lat: float, zoom: int) -> dict[str, Any]:
    import numpy as np

    hits = found.index.at(lon, lat, zoom=zoom)
    rows = np.array([row for row, _ in hits], dtype=np.int64)
    fields = fields_of(found.index)
    told = []
    for (row, inside), fact in zip(hits, facts_of(found.index, rows, _names(found)), strict=True):
        west, north, east, south = found.index.box[row].tolist()
        (left, top), (right, bottom) = degrees(west, north), degrees(east, south)
        bounds = [round(side, 7) for side in (left, bottom, right, top)]
        place = {"lon": round((left + right) / 2, 7), "lat": round((top + bottom) / 2, 7)}
        told.append({**{name: fact.get(name) for name in fields}, **place, "bounds": bounds, "inside": inside})
    return {"plots": told, "columns": {name: {"unit": unit, "meaning": what} for name, (unit, what) in fields.items()}}
