"""What answers look like, for the description of the service in /openapi.json."""

from typing import Any, Final

from api.formats import MEDIA_TYPES

Answers = dict[int | str, dict[str, Any]]
_UNCHANGED: Final = {"description": "Nothing changed since the ETag that was sent as If-None-Match"}
_EXAMPLE: Final = {
    "rows": [{"plot_id": "LP-00002", "area_ha": 0.153}],
    "columns": {
        "plot_id": {"unit": "", "meaning": "The plot"},
        "area_ha": {"unit": "ha", "meaning": "Geodesic area of the outline; null for a point"},
    },
    "next": "LP-00002",
}
_JSON: Final = {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}}


def _binary(media_type: str) -> dict[str, Any]:
    return {media_type: {"schema": {"type": "string", "format": "binary"}}}


_TABLES: Final = {**_JSON, "text/csv": {"schema": {"type": "string"}}, **_binary(MEDIA_TYPES["xlsx"])}
_SHAPES: Final = {MEDIA_TYPES["geojson"]: {"schema": {"type": "object"}}, **_binary(MEDIA_TYPES["geoparquet"])}

TABLE: Final[Answers] = {200: {"content": _TABLES}, 304: _UNCHANGED}
"""A list of `api.answers.listed`."""
SHAPES: Final[Answers] = {200: {"content": {**_TABLES, **_SHAPES}}, 304: _UNCHANGED}
"""A list with shapes."""
THING: Final[Answers] = {304: _UNCHANGED}
"""A single thing."""
FEATURE: Final[Answers] = {200: {"content": {MEDIA_TYPES["geojson"]: {"schema": {"type": "object"}}}}, 304: _UNCHANGED}
"""A plot."""
PUT: Final[Answers] = {201: {"description": "It is new"}}
PUT_FEATURE: Final[Answers] = {
    status: {"description": words, "content": {MEDIA_TYPES["geojson"]: {"schema": {"type": "object"}}}}
    for status, words in ((200, "It was there before"), (201, "It is new"))
}
REPEATED: Final[Answers] = {200: {"description": "The same file was read the same way before; nothing was changed"}}
WAITS: Final[Answers] = {202: {"description": "A job; Location tells where it stands"}}
_EVENT: Final = {"type": "object", "properties": {name: {"type": "string"} for name in ("id", "event", "data")}}
EVENTS: Final[Answers] = {200: {"content": {"text/event-stream": {"schema": _EVENT}}}}
"""Before OpenAPI 3.2 the schema of a stream is that of each event."""
ARCHIVE: Final[Answers] = {200: {"content": _binary("application/zip")}}
FILE: Final[Answers] = {
    200: {
        "content": {
            "text/html": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
            **_binary("application/pdf"),
            **_binary("application/vnd.apache.parquet"),
        }
    },
    304: _UNCHANGED,
}
PICTURE: Final[Answers] = {200: {"content": _binary("image/png")}, 304: _UNCHANGED}
VECTOR_TILE: Final[Answers] = {200: {"content": _binary("application/vnd.mapbox-vector-tile")}, 304: _UNCHANGED}
PMTILES: Final[Answers] = {200: {"content": _binary("application/vnd.pmtiles")}, 304: _UNCHANGED}
