"""Outlines of the rows of a table: given by the format, or made from columns of text or of latitude and longitude."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import shapely

from geomap.errors import ColumnError
from geomap.plots.content import Content, text_column
from geomap.plots.field_text import from_text, is_geopoint, looks_like_outline
from geomap.plots.outlines import POINT, Outlines
from geomap.plots.quantities import QUANTITIES
from geomap.plots.values import cell_text, read_numbers

NEAR_DEG = 0.05


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
    outline_column = found.get("outline") or _outline_column(frame, name, {*found.values()}, has_point=bool(columns))
    outlines = from_text(text_column(frame, outline_column).tolist())
    used = {*columns, outline_column} if outline_column else {*columns}
    if columns:
        outlines = _turned(_with_points(outlines, frame, columns), frame, found)
    return outlines, used


def _outline_column(frame: pd.DataFrame, name: str, used: set[str], *, has_point: bool) -> str | None:
    """The one column of any name whose first filled cell is an outline, else the one that holds points of a form."""
    columns, points = [], []
    for column in frame.columns:
        first = (
            next((text for text in map(cell_text, frame[column].tolist()) if text), "") if column not in used else ""
        )
        if looks_like_outline(first):
            columns.append(str(column))
        elif is_geopoint(first):
            points.append(str(column))
    if len(columns) > 1:
        raise ColumnError(
            f"{name}: the columns {' and '.join(map(repr, columns))} both hold outlines.",
            why="A plot has one outline; the wrong one would give another area.",
            todo=f"Say which one with a mapping, for example --map {columns[0]}=outline.",
        )
    if not columns and len(points) == 1 and not has_point:
        return points[0]
    return columns[0] if columns else None


def _with_points(outlines: Outlines, frame: pd.DataFrame, columns: Sequence[str]) -> Outlines:
    """Points of latitude and longitude for the rows that have no outline and none that failed."""
    given = [frame[column].tolist() for column in columns]
    (lat, lat_faults), (lon, lon_faults) = (
        read_numbers(values, QUANTITIES[ours]) for values, ours in zip(given, ("latitude", "longitude"), strict=True)
    )
    free = shapely.is_missing(outlines.geometry)
    free[list(outlines.problems)] = False
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
    """Shapes that some programs write as [latitude, longitude], turned where the row's own two columns say so.

    A shape is turned where the point of the columns lies within 0.05 degrees of it once turned, and farther from it as
    it is.
    """
    if not {"latitude", "longitude"} <= found.keys():
        return outlines
    lat, lon = (read_numbers(frame[found[ours]].tolist(), QUANTITIES[ours])[0] for ours in ("latitude", "longitude"))
    with np.errstate(invalid="ignore", over="ignore"):
        bounds = shapely.bounds(outlines.geometry).reshape(-1, 4)
        middle = (bounds[:, :2] + bounds[:, 2:]) / 2
        as_it_is = np.abs(middle - np.column_stack([lon, lat])).max(axis=1)
        turned_round = np.abs(middle - np.column_stack([lat, lon])).max(axis=1)
        size = (bounds[:, 2:] - bounds[:, :2]).max(axis=1)
        turned = (turned_round < NEAR_DEG + size) & (as_it_is > NEAR_DEG + size) & (np.abs(lat - lon) > NEAR_DEG)
        is_point = shapely.get_type_id(outlines.geometry) == POINT
        turned |= is_point & (turned_round < 1e-9) & (as_it_is > 1e-6)
    if not turned.any():
        return outlines
    shapes = outlines.geometry.copy()
    shapes[turned] = shapely.transform(shapes[turned], lambda xy: xy[:, ::-1])
    words = ("its point had", "its outline had")
    what = "{} latitude first and was turned, as its columns say"
    repairs = dict(outlines.repairs) | {
        place: what.format(words[0 if is_point[place] else 1]) for place in np.flatnonzero(turned).tolist()
    }
    return Outlines(shapes, outlines.problems, dict(sorted(repairs.items())), outlines.accuracy_m)
