"""Outlines of the rows of a table: given by the format, or made from columns of text or of latitude and longitude."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import shapely

from geomap.errors import ColumnError
from geomap.plots.content import Content, text_column
from geomap.plots.field_text import from_text, looks_like_outline
from geomap.plots.outlines import Outlines
from geomap.plots.values import QUANTITIES, cell_text, read_numbers


def row_outlines(content: Content, found: Mapping[str, str]) -> tuple[Outlines, set[str]]:
    """Shapes of the rows, and the columns that they were made from."""
    frame, name = content.frame, content.name
    if content.outlines is not None:
        return _turned(content.outlines, frame, found), set()
    columns = [found[ours] for ours in ("latitude", "longitude") if ours in found]
    if len(columns) == 1:
        have, need = ("latitude", "longitude") if "latitude" in found else ("longitude", "latitude")
        raise ColumnError(
            f"{name} has a {have} column ({columns[0]!r}) and no {need}.",
            why="A point needs both.",
            todo=f"Say which column it is with a mapping, for example --map COLUMN={need}.",
        )
    outline_column = found.get("outline") or _outline_column(frame, name, {*found.values()})
    outlines = from_text(text_column(frame, outline_column).tolist())
    used = {*columns, outline_column} if outline_column else {*columns}
    return (_with_points(outlines, frame, columns, text_column(frame, outline_column)) if columns else outlines), used


def _outline_column(frame: pd.DataFrame, name: str, used: set[str]) -> str | None:
    """The one column of any name whose first filled cell is an outline."""
    columns = []
    for column in frame.columns:
        first = (
            next((text for text in map(cell_text, frame[column].tolist()) if text), "") if column not in used else ""
        )
        if looks_like_outline(first):
            columns.append(str(column))
    if len(columns) > 1:
        raise ColumnError(
            f"{name}: the columns {' and '.join(map(repr, columns))} both hold outlines.",
            why="A plot has one outline; the wrong one would give another area.",
            todo=f"Say which one with a mapping, for example --map {columns[0]}=outline.",
        )
    return columns[0] if columns else None


def _with_points(outlines: Outlines, frame: pd.DataFrame, columns: Sequence[str], text: pd.Series) -> Outlines:
    """Points of latitude and longitude for the rows that have no text of an outline."""
    given = [frame[column].tolist() for column in columns]
    (lat, lat_faults), (lon, lon_faults) = (
        read_numbers(values, QUANTITIES[ours]) for values, ours in zip(given, ("latitude", "longitude"), strict=True)
    )
    free = (text == "").to_numpy()
    both = free & np.isfinite(lat) & np.isfinite(lon)
    shapes = outlines.geometry.copy()
    shapes[both] = shapely.points(lon[both], lat[both])
    problems = dict(outlines.problems)
    for place in np.flatnonzero(free & ~both).tolist():
        for ours, value, faults in zip(
            ("latitude", "longitude"), (given[0][place], given[1][place]), (lat_faults, lon_faults), strict=True
        ):
            if place in faults:
                problems[place] = f"its {ours} is {cell_text(value)[:40]!r}; {faults[place]}"
        if np.isfinite(lat[place]) != np.isfinite(lon[place]):
            problems.setdefault(place, "only one of latitude and longitude is given")
    return Outlines(shapes, dict(sorted(problems.items())), outlines.repairs, outlines.accuracy_m)


def _turned(outlines: Outlines, frame: pd.DataFrame, found: Mapping[str, str]) -> Outlines:
    """Points that some programs write as [latitude, longitude], turned where the row's own two columns say so."""
    if not {"latitude", "longitude"} <= found.keys():
        return outlines
    lat, lon = (read_numbers(frame[found[ours]].tolist(), QUANTITIES[ours])[0] for ours in ("latitude", "longitude"))
    x, y = shapely.get_x(outlines.geometry), shapely.get_y(outlines.geometry)
    turned = np.isclose(x, lat, rtol=0, atol=1e-9) & np.isclose(y, lon, rtol=0, atol=1e-9) & (np.abs(lat - lon) > 1e-6)
    shapes = outlines.geometry.copy()
    shapes[turned] = shapely.points(lon[turned], lat[turned])
    what = "its point had latitude first and was turned, as its columns say"
    repairs = dict(outlines.repairs) | dict.fromkeys(np.flatnonzero(turned).tolist(), what)
    return Outlines(shapes, outlines.problems, dict(sorted(repairs.items())), outlines.accuracy_m)
