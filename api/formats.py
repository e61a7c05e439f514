"""The formats of answers: JSON, CSV, XLSX, GeoJSON and GeoParquet, each the same bytes for the same rows."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from api.geojson import geometry_of
from geomap.outputs.text import csv_text, plain

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
_CELL: Final = 32_767
"""Most characters of a cell in a spreadsheet."""


def as_json(content: Any) -> bytes:
    """JSON in UTF-8; a number that is none (NaN, ±inf) is null."""
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


def _rows_as_json(rows: Sequence[Row], columns: Columns, following: str | None) -> bytes:
    if GEOMETRY in columns:
        rows = [{**row, GEOMETRY: geometry_of(row[GEOMETRY])} for row in rows]
    return as_json({"rows": rows, "columns": _meanings(columns), "next": following})


def _meanings(columns: Columns) -> dict[str, dict[str, str]]:
    return {column: {"unit": unit, "meaning": meaning} for column, (unit, meaning) in columns.items()}


def _as_geojson(rows: Sequence[Row], columns: Columns, following: str | None) -> bytes:
    key = next(iter(columns))
    features = [
        {
            "type": "Feature",
            "id": row[key],
            GEOMETRY: geometry_of(row[GEOMETRY]),
            "properties": {column: row[column] for column in columns if column != GEOMETRY},
        }
        for row in rows
    ]
    told = {"columns": _meanings(columns), "next": following}
    return as_json({"type": "FeatureCollection", "features": features, **told})


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


WRITERS: Final[Mapping[Format, Callable[[Sequence[Row], Columns, str | None], bytes]]] = {
    "json": _rows_as_json,
    "csv": _as_csv,
    "xlsx": _as_xlsx,
    "geojson": _as_geojson,
    "geoparquet": _as_geoparquet,
}
