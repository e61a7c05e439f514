"""GeoJSON without GDAL: a strict parser for its document, its CRS and its properties."""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import pandas as pd

from geomap.errors import CrsError, FileError
from geomap.plots.geojson_shapes import from_geojson
from geomap.plots.outlines import Outlines
from geomap.plots.values import clean_text

LONLAT_NAMES = frozenset(
    {
        "urn:ogc:def:crs:ogc:1.3:crs84",
        "urn:ogc:def:crs:ogc::crs84",
        "ogc:crs84",
        "epsg:4326",
        "urn:ogc:def:crs:epsg::4326",
    }
)
MOST_COLUMNS = 1000

Json = dict[str, Any]


class _NotStrictError(ValueError):
    """JSON that some programs accept and the standard does not."""


def read_geojson(data: bytes, *, name: str, crs: str | None = None) -> tuple[pd.DataFrame, Outlines]:
    """Properties (one column each, as given) and outlines of a GeoJSON FeatureCollection or Feature, in its order.

    A feature's own `id` becomes the column "id" where no property has that name.

    Parameters
    ----------
    data : the file's bytes, UTF-8.
    name : the file's name, for messages.
    crs : given for the file; then its own `crs` member is not asked, and coordinates stay as they are.

    Raises
    ------
    FileError : no strict JSON, or no features. CrsError : a `crs` other than WGS 84.

    Source: RFC 7946.
    """
    with _many_lists():
        document = _document(data, name)
        if crs is None:
            _require_lonlat(document.get("crs"), name)
        features = _features(document, name)
        outlines = from_geojson([feature.get("geometry") for feature in features])
        return _properties(features, name), outlines


@contextmanager
def _many_lists() -> Iterator[None]:
    """No garbage collection, which millions of new lists would start again and again (6.2 s instead of 4.8 s)."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def parse_strict(text: str) -> Any:
    """JSON without NaN, Infinity and double keys; raises ValueError that says what was found."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise _NotStrictError("it is nested too deeply") from error


def _refuse_constant(word: str) -> Any:
    raise _NotStrictError(f"it holds {word}, which is no JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise _NotStrictError(f"one object holds the key {clean_text(double)[:60]!r} twice")
    return found


def _document(data: bytes, name: str) -> Json:
    todo = "Save the file again as GeoJSON (RFC 7946, UTF-8)."
    why = "A value that programs read differently could move or change a plot."
    try:
        document = parse_strict(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FileError(f"{name} is not UTF-8 text (byte {error.start + 1}).", why=why, todo=todo) from None
    except json.JSONDecodeError as error:
        raise FileError(
            f"{name} is no complete JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            why="Nothing of it can be trusted.",
            todo=todo,
        ) from None
    except ValueError as error:
        found = str(error) if isinstance(error, _NotStrictError) else "it holds a number that is too long"
        raise FileError(f"{name} is not strict JSON: {found}.", why=why, todo=todo) from None
    if not isinstance(document, dict):
        raise _no_features(name, "a JSON list")
    return document


def _no_features(name: str, found: str) -> FileError:
    return FileError(
        f"{name} holds {found}, not a GeoJSON FeatureCollection.",
        why="Plots are read from the features of such a collection.",
        todo="Export the plots as GeoJSON.",
    )


def _features(document: Json, name: str) -> list[Json]:
    kind = document.get("type")
    features = [document] if kind == "Feature" else document.get("features")
    if kind not in ("FeatureCollection", "Feature") or not isinstance(features, list):
        raise _no_features(name, f"JSON of type {clean_text(str(kind))[:60]!r}")
    for number, feature in enumerate(features, start=1):
        if not isinstance(feature, dict) or not isinstance(feature.get("properties"), dict | None):
            raise FileError(
                f"{name}: feature {number} is no GeoJSON Feature.",
                why="A row that cannot be told from its neighbours could shift the others.",
                todo="Export the plots as GeoJSON again.",
            )
    return features


def _require_lonlat(crs: Any, name: str) -> None:
    """GeoJSON has one CRS; an old `crs` member may only repeat it."""
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, dict) and crs.get("type") == "name" else None
    crs_name = properties.get("name") if isinstance(properties, dict) else None
    if isinstance(crs_name, str) and crs_name.lower() in LONLAT_NAMES:
        return
    shown = clean_text(crs_name)[:80] if isinstance(crs_name, str) else "one that is not named"
    raise CrsError(
        f"{name} has a `crs` member: {shown}.",
        why="GeoJSON coordinates are longitude and latitude in WGS 84; read as such, these plots would lie elsewhere.",
        todo="Export the plots in WGS 84 (EPSG:4326), or say which one it is, for example --crs EPSG:32616.",
    )


def _properties(features: Sequence[Json], name: str) -> pd.DataFrame:
    rows = [feature.get("properties") or {} for feature in features]
    keys = dict.fromkeys(chain.from_iterable(rows))
    if len(keys) > MOST_COLUMNS:
        raise FileError(
            f"{name} has {len(keys):,} different properties.",
            why=f"More than {MOST_COLUMNS:,} columns make no table of plots.",
            todo="Export only the columns that are needed.",
        )
    columns: dict[str, list[Any]] = {key: [row.get(key) for row in rows] for key in keys}
    if "id" not in columns and any("id" in feature for feature in features):
        columns["id"] = [feature.get("id") for feature in features]
    frame = pd.DataFrame({number: pd.Series(values, dtype=object) for number, values in enumerate(columns.values())})
    frame.index = pd.RangeIndex(len(rows))
    frame.columns = pd.Index([clean_text(key) for key in columns], dtype="str")
    return frame
