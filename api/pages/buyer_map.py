"""The cells of a release as a drawing: where supply lies, no finer than the release tells it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

Row = dict[str, Any]
WIDTH: Final = 640.0
CLASSES: Final = 4
_AROUND: Final = 0.35
"""What is drawn around the cells, as a share of their extent."""
_LEAST_DEGREES: Final = 0.5
_KM_PER_DEGREE: Final = 111.2
_BARS_KM: Final = (100, 50, 20, 10, 5, 2, 1)


def cells_map(cells: Sequence[Mapping[str, Any]], country: str) -> Row | None:
    """Rectangles of the cells in a drawing of `WIDTH`, the coarsest first, with the land behind them; None without any.

    Returns
    -------
    dict : width, height, land (path), cells (as given, with number, x, y, width, height, class "0" … "3" by kilograms,
        "none" where suppressed, and the middle in degrees), breaks (kilograms between classes), bar (km, width).
    """
    if not cells:
        return None
    box = _extent(cells)
    stretch = math.cos(math.radians((box[1] + box[3]) / 2))
    scale = WIDTH / ((box[2] - box[0]) * stretch)

    def place(lon: float, lat: float) -> tuple[float, float]:
        return round((lon - box[0]) * stretch * scale, 1), round((box[3] - lat) * scale, 1)

    breaks = class_breaks([cell["mean_kg"] for cell in cells if cell["mean_kg"]])
    ordered = sorted(cells, key=lambda cell: (-cell["size_km"], not cell["rest"], -cell["north"], cell["west"]))
    return {
        "width": WIDTH,
        "height": round((box[3] - box[1]) * scale, 1),
        "land": _land(country, box, place),
        "cells": [_cell(cell, number, breaks, place) for number, cell in enumerate(ordered, start=1)],
        "breaks": breaks,
        "bar": _bar(scale),
    }


def class_breaks(kg: Sequence[float]) -> list[float]:
    """Up to three numbers between classes of about equally many cells, to two digits.

    Examples
    --------
    >>> class_breaks([100.0, 200.0, 300.0, 400.0]), class_breaks([500.0])
    ([200.0, 300.0, 400.0], [])
    """
    ordered = sorted(kg)
    found = {float(f"{ordered[len(ordered) * k // CLASSES]:.2g}") for k in range(1, CLASSES)} if ordered else set()
    return sorted(one for one in found if one > (ordered[0] if ordered else 0.0))


def _cell(cell: Mapping[str, Any], number: int, breaks: Sequence[float], place: Any) -> Row:
    (x, y), (right, below) = place(cell["west"], cell["north"]), place(cell["east"], cell["south"])
    kg = cell["mean_kg"]
    return {
        **cell,
        "number": number,
        "x": x,
        "y": y,
        "width": round(right - x, 1),
        "height": round(below - y, 1),
        "text": round(max(9.0, min(22.0, (right - x) / 2.2)), 1),
        "class": "none" if kg is None else str(sum(kg >= one for one in breaks)),
        "lat": round((cell["north"] + cell["south"]) / 2, 2),
        "lon": round((cell["west"] + cell["east"]) / 2, 2),
    }


def _extent(cells: Sequence[Mapping[str, Any]]) -> tuple[float, float, float, float]:
    west, south = min(cell["west"] for cell in cells), min(cell["south"] for cell in cells)
    east, north = max(cell["east"] for cell in cells), max(cell["north"] for cell in cells)
    half = max(east - west, north - south, _LEAST_DEGREES) * (0.5 + _AROUND)
    middle = (west + east) / 2, (south + north) / 2
    return middle[0] - half, middle[1] - 0.75 * half, middle[0] + half, middle[1] + 0.75 * half


def _bar(scale: float) -> Row:
    """The longest round distance that takes at most a third of the drawing."""
    per_km = scale / _KM_PER_DEGREE
    km = next((one for one in _BARS_KM if one * per_km <= WIDTH / 3), _BARS_KM[-1])
    return {"km": km, "width": round(km * per_km, 1)}


def _land(country: str, box: tuple[float, float, float, float], place: Any) -> str:
    """Path of the country within the drawing; "" where it is not known."""
    import shapely

    from geomap.plots.place import country_outlines

    outlines = country_outlines()
    if country not in outlines.index:
        return ""
    cut = shapely.clip_by_rect(outlines.loc[country, "geometry"], *box)
    rings = [ring for part in shapely.get_parts(cut) for ring in _rings(part)]
    return " ".join("M" + " L".join(f"{x} {y}" for x, y in (place(*one) for one in ring)) + " Z" for ring in rings)


def _rings(part: Any) -> list[Any]:
    if part.geom_type != "Polygon" or part.is_empty:
        return []
    return [list(ring.coords) for ring in (part.exterior, *part.interiors)]
