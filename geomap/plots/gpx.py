"""GPX files of GPS receivers, without GDAL: tracks and routes are outlines where they close, waypoints are points."""

from pathlib import Path
from typing import Any, Final
from xml.parsers import expat

import numpy as np
import pandas as pd
import shapely

from geomap.errors import FileError
from geomap.plots.content import Content, number_rows
from geomap.plots.outlines import Outlines, settle

_ROWS: Final = {"trk": "track", "rte": "route", "wpt": "waypoint"}
_POINTS: Final = {"trkpt", "rtept", "wpt"}
_TEXTS: Final = {"name": "id", "desc": "description", "cmt": "comment", "type": "type"}


def read_gpx(path: Path) -> Content:
    """One row per track, route and waypoint, in the file's order; the name is the id.

    The segments of a track are joined end to end. Longitude and latitude are WGS 84, as GPX fixes it.

    Raises
    ------
    FileError : no complete XML, or XML with a document type.

    Source: GPX 1.1 schema (Topografix).
    """
    parser = _Parser()
    try:
        parser.feed(path.read_bytes())
    except _DoctypeError:
        raise FileError(
            f"{path.name} declares a document type.",
            why="Such a file can make a program read other files or fill its memory.",
            todo="Export the tracks again as plain GPX.",
        ) from None
    except (expat.ExpatError, ValueError) as error:
        raise FileError(
            f"{path.name} could not be read as GPX ({str(error)[:80]}).",
            why="It seems cut off or damaged, so no plot of it can be trusted.",
            todo="Export or copy it again.",
        ) from None
    frame = pd.DataFrame({name: [row[name] for row in parser.rows] for name in (*_TEXTS.values(), "kind")})
    outlines = settle(np.array([_shape(row) for row in parser.rows], dtype=object))
    problems = {
        place: why if parser.rows[place]["kind"] != "waypoint" else "its waypoint has no two numbers"
        for place, why in outlines.problems.items()
    }
    kept = frame.loc[:, (frame != "").any() | (frame.columns == "id")] if len(frame) else frame
    return Content(number_rows(kept), path.name, Outlines(outlines.geometry, problems, outlines.repairs))


def _shape(row: dict[str, Any]) -> shapely.Geometry | None:
    points = row["points"]
    if row["kind"] == "waypoint":
        return shapely.Point(points[0])
    return shapely.LineString(points) if len(points) > 1 else shapely.Point(points[0]) if points else None


class _DoctypeError(Exception):
    """A document type, which no GPX file needs."""


class _Parser:
    """Rows of a GPX file while expat goes through it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._path: list[str] = []
        self._text = ""
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._data

    def feed(self, data: bytes) -> None:
        self._parser.Parse(data, True)

    def _doctype(self, *_: object) -> None:
        raise _DoctypeError

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        self._path.append(name)
        self._text = ""
        if len(self._path) == 2 and name in _ROWS:
            self.rows.append({**dict.fromkeys(_TEXTS.values(), ""), "kind": _ROWS[name], "points": []})
        if name in _POINTS and self.rows:
            self.rows[-1]["points"].append((float(attributes.get("lon", "nan")), float(attributes.get("lat", "nan"))))

    def _end(self, tag: str) -> None:
        name = self._path.pop()
        if len(self._path) == 2 and self._path[1] in _ROWS and name in _TEXTS:
            self.rows[-1][_TEXTS[name]] = self._text.strip()
        self._text = ""

    def _data(self, text: str) -> None:
        self._text += text
