"""Plots as GeoJSON, and what a plot that is sent must pass before it is kept."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
import shapely

from geomap.errors import GeomapError, NumberError
from geomap.plots.content import Content, number_rows
from geomap.plots.geojson import read_geojson
from geomap.plots.prepare import prepare_plots
from geomap.plots.table import PLOT_NUMBERS, plots_from

MEDIA_TYPE: Final = "application/geo+json"
OWN_COLUMNS: Final = ("member_id", "community", "crop", "declared_area_ha", "gps_accuracy_m")
"""Properties of a plot that have a column of their own in the store; all others are attributes."""
_NUMBERS: Final = tuple(name for name in PLOT_NUMBERS if name not in OWN_COLUMNS)


class PlotRefusedError(GeomapError):
    """A plot that was sent cannot be counted as it is."""

    code = "plot_refused"


def geometry_of(wkb: bytes | None) -> dict[str, Any] | None:
    """The shape as GeoJSON, longitude and latitude in degrees (EPSG:4326); None where there is none.

    Examples
    --------
    >>> geometry_of(shapely.to_wkb(shapely.Point(-87.2, 14.1)))
    {'type': 'Point', 'coordinates': [-87.2, 14.1]}
    """
    if wkb is None:
        return None
    shape: dict[str, Any] = json.loads(shapely.to_geojson(shapely.from_wkb(bytes(wkb))))
    return shape


def feature(key: str, geometry: bytes | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    """One GeoJSON Feature; `key` is its id.

    Examples
    --------
    >>> feature("P1", None, {"crop": "coffee"})["id"]
    'P1'
    """
    return {"type": "Feature", "id": key, "geometry": geometry_of(geometry), "properties": dict(properties)}


def checked_plot(plot_id: str, sent: Mapping[str, Any], *, country: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the store keeps of a Feature that was sent, and the findings on it; checked as an import is.

    Parameters
    ----------
    plot_id : of the address.
    sent : a GeoJSON Feature of plain values.
    country : of the cooperative, two letters; "" where it is not known.

    Raises
    ------
    PlotRefusedError : a value cannot be read, or the plot would be left out of every run.
    """
    properties = dict(sent.get("properties") or {})
    attributes = dict(properties.pop("attributes", None) or {})
    properties |= {name: attributes[name] for name in _NUMBERS if name in attributes}
    given = {name: value for name, value in properties.items() if value is not None} | {"plot_id": plot_id}
    document = json.dumps({"type": "Feature", "properties": given, "geometry": sent.get("geometry")})
    frame, outlines = read_geojson(document.encode(), name="The plot")
    table, read = plots_from(Content(number_rows(frame), "The plot", outlines, country=country))
    _require_kept(read)
    prepared = prepare_plots(table, country=country or None)
    if len(prepared.left_out):
        _refuse(prepared.findings[prepared.findings["action"] == "left_out"])
    row = table.iloc[0]
    kept = {name: _plain(row[name]) for name in OWN_COLUMNS}
    kept |= {"attributes": attributes, "geometry": None if row.geometry is None else shapely.to_wkb(row.geometry)}
    return kept, pd.concat([read, prepared.findings])[["code", "severity", "message"]].to_dict("records")


def _require_kept(findings: pd.DataFrame) -> None:
    """A file keeps going with a value missing; who sends one plot can put it right at once."""
    lost = findings[findings["code"].isin(["unreadable_value", "impossible_value"]) | (findings["severity"] == "block")]
    if len(lost):
        _refuse(lost)


def _refuse(findings: pd.DataFrame) -> None:
    raise PlotRefusedError(
        " ".join(findings["message"].drop_duplicates().tolist()[:3]),
        why="The plot would not count.",
        todo="Put it right and send it again.",
    )


def _plain(value: Any) -> Any:
    """A cell as JSON has it; a missing number is None."""
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else float(value)


def bounds_of(text: str) -> tuple[float, float, float, float]:
    """West, south, east and north in degrees.

    Examples
    --------
    >>> bounds_of("-88.9,14.5,-88.7,14.7")
    (-88.9, 14.5, -88.7, 14.7)

    Raises
    ------
    NumberError : not four numbers in this order, or not on the globe.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        west, south, east, north = math.nan, math.nan, math.nan, math.nan
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise NumberError("The box is none.", todo="Write it as west,south,east,north in degrees.")
    return west, south, east, north
