"""The one way out: lists in five formats, single things, their tags, and what a client may ask of them."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

from fastapi import Depends, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from geomap.outputs.text import csv_text, plain
from geomap.store.errors import ChangedError

Columns = Mapping[str, tuple[str, str]]
"""Column → unit and meaning. A list shows these columns, in this order, and no other that its rows may hold."""
Row = Mapping[str, Any]
Format = Literal["json", "csv", "xlsx", "geojson", "geoparquet"]
MEDIA_TYPES: Final[Mapping[Format, str]] = {
    "json": "application/json",
    "csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "geojson": "application/geo+json",
    "geoparquet": "application/vnd.apache.parquet",
}
ENDINGS: Final[Mapping[Format, str]] = {"csv": "csv", "xlsx": "xlsx", "geojson": "geojson", "geoparquet": "parquet"}
GEOMETRY: Final = "geometry"
"""The column that holds a shape, WKB in longitude and latitude (EPSG:4326)."""
MOST_ROWS: Final = 10_000
_CELL: Final = 32_767
"""Most characters of a cell in a spreadsheet."""


class PlainJSON(JSONResponse):
    """JSON in which a number that is none (NaN, ±inf) is null."""

    def render(self, content: Any) -> bytes:
        return _json(content)


@dataclass(frozen=True)
class PageAsked:
    """A part of a list: at most `limit` rows after the one that `after` names."""

    limit: int
    after: str

    def number(self, first: int = 0) -> int:
        """`after` as a number, for lists that are counted.

        Raises
        ------
        RequestValidationError : it is no whole number.
        """
        if not self.after:
            return first
        if self.after.removeprefix("-").isascii() and self.after.removeprefix("-").isdigit() and len(self.after) < 19:
            return int(self.after)
        raise invalid("Input should be the `next` of an earlier answer", "query", "after")


def _page(
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most rows of the answer")] = 100,
    after: Annotated[str, Query(max_length=200, description="`next` of the answer before")] = "",
    format: Annotated[Format | None, Query(description="Instead of an Accept header")] = None,
) -> PageAsked:
    return PageAsked(limit, after)


Page = Annotated[PageAsked, Depends(_page)]
"""The dependency of every list: `?limit=&after=&format=`."""


def invalid(message: str, *where: str | int) -> RequestValidationError:
    """The error of a request that is wrong at a place, told as all others are: `invalid("Too long", "query", "after")`."""
    return RequestValidationError([{"type": "value_error", "loc": where, "msg": message}])


def listed(
    request: Request,
    rows: Iterable[Row],
    *,
    columns: Columns,
    name: str,
    next: str | int | None = None,
    default: Format = "json",
    personal: bool = True,
) -> Response:
    """The answer of a list, in the format that was asked for.

    Parameters
    ----------
    rows : mappings; what is not in `columns` is left out, what is missing is null.
    columns : see `Columns`. With a column `geometry` (WKB) the list can be had as GeoJSON and GeoParquet too.
    name : of the file, without an ending.
    next : what to send as `after` for the rows that follow; None at the end.
    default : the format where none is asked for.
    personal : whether nothing on the way may keep the answer; else it may be kept by whoever asked, and asked again.

    Raises
    ------
    HTTPException : 406 where the format is none of the list's.
    """
    kind = wanted_format(request, default=default, shapes=GEOMETRY in columns)
    shown = [{column: row.get(column) for column in columns} for row in rows]
    following = None if next is None else str(next)
    body = _WRITERS[kind](shown, columns, following)
    headers = {
        "Cache-Control": "no-store" if personal else "private, no-cache",
        "Vary": "Accept, Authorization, Cookie",
    }
    if following is not None:
        address = request.url.include_query_params(after=following)
        headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
    if kind in ENDINGS:
        headers["Content-Disposition"] = f'attachment; filename="{name}.{ENDINGS[kind]}"'
    return tagged(request, body, media_type=MEDIA_TYPES[kind], headers=headers)


def shown(
    request: Request,
    content: Any,
    *,
    version: int | None = None,
    status: int = 200,
    media_type: str = "application/json",
) -> Response:
    """The answer of a single thing as JSON; its tag is its version, or the hash of what it shows.

    A client that sends the tag as If-None-Match gets 304 while nothing changed, and one that sends it as If-Match
    changes only what it saw (`wanted_version`).
    """
    tag = None if version is None else f'"{version}"'
    headers = {"Cache-Control": "no-store", "Vary": "Accept, Authorization, Cookie"}
    return tagged(request, _json(content), tag=tag, status=status, media_type=media_type, headers=headers)


def tagged(
    request: Request,
    body: bytes,
    *,
    media_type: str,
    headers: Mapping[str, str],
    tag: str | None = None,
    status: int = 200,
) -> Response:
    """The bytes with their ETag; 304 without them where the client says that it has them."""
    tag = tag or f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    more = {**headers, "ETag": tag}
    if request.method in {"GET", "HEAD"} and _names(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=more)
    return Response(body, status_code=status, media_type=media_type, headers=more)


def wanted_version(request: Request) -> int | None:
    """The version that If-Match names; None where the client does not mind which one it changes.

    Raises
    ------
    ChangedError : it names something that no version of ours is.
    """
    sent = request.headers.get("if-match", "*").strip()
    if sent == "*":
        return None
    number = sent.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ChangedError("If-Match names no version.", todo="Send the ETag of the answer that you change.")
    return int(number)


def wanted_format(request: Request, *, default: Format, shapes: bool) -> Format:
    """The format that `?format=` or Accept asks for.

    Raises
    ------
    HTTPException : 406, the list cannot be had in any of the formats that were asked for.
    """
    offered = [kind for kind in get_args(Format) if shapes or not kind.startswith("geo")]
    offered.sort(key=lambda kind: kind != default)
    asked = request.query_params.get("format")
    if asked is not None and asked not in get_args(Format):
        raise invalid(f"Input should be one of {', '.join(offered)}", "query", "format")
    accepted = _accepted(request.headers.get("accept", "*/*"))
    found = asked if asked in offered else None
    if asked is None:
        best = max(offered, key=lambda kind: _weight(accepted, MEDIA_TYPES[kind]))
        found = best if _weight(accepted, MEDIA_TYPES[best]) > 0 else None
    if found is None:
        raise HTTPException(406, f"This list comes as {', '.join(offered)}.")
    return found


def _accepted(header: str) -> dict[str, float]:
    """Media range → weight. Source: RFC 9110, section 12.5.1."""
    ranges: dict[str, float] = {}
    for part in header.split(",")[:50]:
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            ranges[media] = min(max(float(weight), 0.0), 1.0)
        except ValueError:
            ranges[media] = 0.0
    return ranges


def _weight(accepted: Mapping[str, float], media_type: str) -> float:
    """The weight of the closest range; NaN cannot be one."""
    family = media_type.partition("/")[0]
    weight = next((accepted[key] for key in (media_type, f"{family}/*", "*/*") if key in accepted), 0.0)
    return 0.0 if math.isnan(weight) else weight


def _names(header: str, tag: str) -> bool:
    """Whether If-None-Match names the tag, compared weakly. Source: RFC 9110, section 13.1.2."""
    tags = {part.strip().removeprefix("W/") for part in header.split(",")}
    return tag in tags or "*" in tags


# ---- the five formats ----


def _json(content: Any) -> bytes:
    text = json.dumps(finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", errors="replace")


def finite(value: Any) -> Any:
    """The value in JSON's own types; a number that is none is None."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _geometry(wkb: Any) -> Any:
    from api.geojson import geometry_of

    return geometry_of(wkb)


def _as_json(rows: Sequence[Row], columns: Columns, following: str | None) -> bytes:
    if GEOMETRY in columns:
        rows = [{**row, GEOMETRY: _geometry(row[GEOMETRY])} for row in rows]
    meanings = {column: {"unit": unit, "meaning": meaning} for column, (unit, meaning) in columns.items()}
    return _json({"rows": rows, "columns": meanings, "next": following})


def _as_geojson(rows: Sequence[Row], columns: Columns, following: str | None) -> bytes:
    key = next(iter(columns))
    features = [
        {
            "type": "Feature",
            "id": row[key],
            GEOMETRY: _geometry(row[GEOMETRY]),
            "properties": {column: row[column] for column in columns if column != GEOMETRY},
        }
        for row in rows
    ]
    return _json({"type": "FeatureCollection", "features": features, "next": following})


def _as_csv(rows: Sequence[Row], columns: Columns, _following: str | None) -> bytes:
    import shapely

    def shape(wkb: Any) -> str:
        return "" if wkb is None else shapely.to_wkt(shapely.from_wkb(bytes(wkb)), rounding_precision=-1)

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_text(column) for column in columns])
    for row in rows:
        writer.writerow([shape(row[key]) if key == GEOMETRY else csv_text(_cell(row[key])) for key in columns])
    return out.getvalue().encode("utf-8", errors="replace")


def _as_xlsx(rows: Sequence[Row], columns: Columns, _following: str | None) -> bytes:
    """A sheet with the rows and one with the columns' units and meanings; shapes do not fit into cells."""
    from datetime import UTC, datetime

    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    book.set_properties({"created": datetime(2000, 1, 1, tzinfo=UTC)})  # the same rows are the same bytes
    names = [column for column in columns if column != GEOMETRY]
    table = [names, *([row[name] for name in names] for row in rows)]
    meanings = [["column", "unit", "meaning"], *([name, *columns[name]] for name in names)]
    for title, lines in (("rows", table), ("columns", meanings)):
        sheet = book.add_worksheet(title)
        sheet.freeze_panes(1, 0)
        for i, line in enumerate(lines):
            for j, value in enumerate(line):
                if isinstance(cell := _cell(value), str):
                    sheet.write_string(i, j, plain(cell, limit=_CELL))
                else:
                    sheet.write_number(i, j, cell)
    book.close()
    return out.getvalue()


def _as_geoparquet(rows: Sequence[Row], columns: Columns, _following: str | None) -> bytes:
    import geopandas as gpd
    import shapely

    shapes = [None if row[GEOMETRY] is None else shapely.from_wkb(bytes(row[GEOMETRY])) for row in rows]
    cells = {
        column: [
            json.dumps(finite(row[column])) if isinstance(row[column], dict | list) else row[column] for row in rows
        ]
        for column in columns
        if column != GEOMETRY
    }
    out = io.BytesIO()
    table = gpd.GeoDataFrame(cells, geometry=gpd.GeoSeries(shapes, crs="OGC:CRS84"))
    table.to_parquet(out, index=False, compression="zstd")
    return out.getvalue()


def _cell(value: Any) -> str | int | float:
    """A value as one cell: what is missing is empty, what is nested is JSON."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(finite(value), ensure_ascii=False, sort_keys=True)
    return value if isinstance(value, int | float) else str(value)


_WRITERS: Final[Mapping[Format, Callable[[Sequence[Row], Columns, str | None], bytes]]] = {
    "json": _as_json,
    "csv": _as_csv,
    "xlsx": _as_xlsx,
    "geojson": _as_geojson,
    "geoparquet": _as_geoparquet,
}
