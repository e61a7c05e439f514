"""Vector tiles of plots (Mapbox Vector Tile 2.1), and what describes them (TileJSON 3.0.0)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from geomap.errors import OutputError
from geomap.outputs.tile_outlines import Outlines, outlines
from geomap.outputs.tiles import MOST_LATITUDE, MOST_ZOOM, SPAN, Ints, TileIndex

if TYPE_CHECKING:
    import pandas as pd

EXTENT: Final = 4096
"""Units along the side of a vector tile."""
MOST_PLOTS: Final = 3_000
"""Plots up to which a tile holds them one by one; more are summed in cells."""
MOST_BYTES: Final = 500_000
_CELLS: Final = 64
"""Cells along the side of a tile."""
FINDINGS: Final = ("none", "note", "warning", "serious")
"""The words for `TileIndex.finding`."""
NAMES: Final = {"potential_kg": "potential_kg", "p10_kg": "p10", "p90_kg": "p90", "area_ha": "area_ha"}
"""Column of the index → field of the tile."""
FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "plot_id": ("", "The plot"),
    "member_id": ("", "The member who farms it"),
    "potential_kg": ("kg", "Mean of what the land can bear in a season"),
    "p10": ("kg", "Low case: 1 of 10 seasons is below"),
    "p90": ("kg", "High case: 1 of 10 seasons is above"),
    "area_ha": ("ha", "Geodesic area of the outline"),
    "class": ("", "Land-cover class that covers most of it"),
    "findings": ("", "Gravest finding: none, note, warning or serious"),
}
"""Field of the layer `plots` → unit and meaning."""
CELL_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "count": ("count", "Plots whose middle lies in the cell"),
    "potential_kg": ("kg", "Sum of their potentials"),
    "area_ha": ("ha", "Sum of their areas"),
}
"""Field of the layer `cells` → unit and meaning."""


def vector_tile(index: TileIndex, z: int, x: int, y: int, *, legend: "pd.DataFrame | None" = None) -> bytes:
    """A tile with a layer `plots`, or `cells` where the plots are too many; no bytes where there is nothing.

    Outlines are rounded to whole units, 4096 along a side; one without an area then is a point. An outline that goes
    over a border is whole in each tile, or cut off one side beyond it. A cell counts the plots whose middle lies in it.

    Parameters
    ----------
    legend : of the land-cover product: index class, column name.

    Raises
    ------
    OutputError : the part for vector tiles is not installed.
    """
    rows = index.rows(z, x, y)
    if not len(rows):
        return b""
    if len(rows) <= MOST_PLOTS:
        made = _plots(index, rows, (z, x, y), legend)
        if len(made) <= MOST_BYTES:
            return made
    return _cells(index, rows, (z, x, y))


def fields_of(index: TileIndex) -> dict[str, tuple[str, str]]:
    """Fields of the layer `plots` that this index can fill: unit and meaning."""
    missing = {NAMES[name] for name in NAMES if name not in index.values}
    return {name: told for name, told in FIELDS.items() if name not in missing}


def facts_of(index: TileIndex, rows: Ints, legend: "pd.DataFrame | None" = None) -> list[dict[str, Any]]:
    """What is told of some plots, field by field; a number that is not known is not there."""
    columns: dict[str, list[Any]] = {name: index.ids[name].take(rows).to_pylist() for name in ("plot_id", "member_id")}
    for name, field in NAMES.items():
        if name in index.values:
            numbers = index.values[name][rows]
            columns[field] = [
                float(f"{value:.7g}") if known else None  # what 32 bits hold
                for value, known in zip(numbers.tolist(), np.isfinite(numbers).tolist(), strict=True)
            ]
    names = {} if legend is None else {int(code): str(name) for code, name in legend["name"].items()}
    columns["class"] = [names.get(code) for code in index.land[rows].tolist()]
    columns["findings"] = [FINDINGS[grade] for grade in index.finding[rows].tolist()]
    order = [name for name in FIELDS if name in columns]
    return [
        {name: value for name, value in zip(order, values, strict=True) if value is not None}
        for values in zip(*(columns[name] for name in order), strict=True)
    ]


def tilejson(index: TileIndex, *, tiles: Sequence[str], name: str, most_zoom: int = MOST_ZOOM) -> dict[str, Any]:
    """The description of the vector tiles. Source: TileJSON 3.0.0, section 3.

    Parameters
    ----------
    tiles : addresses with {z}, {x} and {y}.

    Raises
    ------
    ValueError : an address has no place for zoom, column and row.
    """
    if not all(all(part in address for part in ("{z}", "{x}", "{y}")) for address in tiles):
        raise ValueError("An address of tiles has no {z}, {x} and {y}.")
    found = index.bounds or (-180.0, -MOST_LATITUDE, 180.0, MOST_LATITUDE)
    west, south, east, north = (round(side, 7) for side in found)
    wide = max((east - west) / 360, 1e-9)
    zoom = int(np.clip(np.floor(-np.log2(wide)), 0, 16)) if index.bounds else 0
    return {
        "tilejson": "3.0.0",
        "name": name,
        "scheme": "xyz",
        "tiles": list(tiles),
        "bounds": [west, south, east, north],
        "center": [round((west + east) / 2, 7), round((south + north) / 2, 7), zoom],
        "minzoom": 0,
        "maxzoom": most_zoom,
        "vector_layers": [
            {"id": "plots", "description": "Plots", "fields": _described(fields_of(index))},
            {"id": "cells", "description": "Sums where plots are too many", "fields": _described(_cell_fields(index))},
        ],
    }


def _described(fields: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    return {name: f"{meaning} ({unit})" if unit else meaning for name, (unit, meaning) in fields.items()}


def _cell_fields(index: TileIndex) -> dict[str, tuple[str, str]]:
    return {name: told for name, told in CELL_FIELDS.items() if name == "count" or name in index.values}


# ---- the bytes ----


def _plots(index: TileIndex, rows: Ints, tile: tuple[int, int, int], legend: "pd.DataFrame | None") -> bytes:
    facts = facts_of(index, rows, legend)
    told = outlines(index, rows, *tile)
    side = SPAN >> tile[0]
    box = index.box[rows].astype(np.int64)
    middle = (box[:, :2] + box[:, 2:]) / 2 - np.array(tile[1:]) * float(side)
    points = np.rint(middle / side * EXTENT).astype(np.int64).tolist()
    polygons = _polygons(told)
    made, layer = _layer("plots")
    writer = _Writer(layer)
    for place, fact in enumerate(facts):
        if place in polygons:
            writer.add(fact, 3, polygons[place])
        else:
            writer.add(fact, 1, [9, *(_zigzag(value) for value in points[place])])
    return bytes(made.SerializeToString(deterministic=True))


def _cells(index: TileIndex, rows: Ints, tile: tuple[int, int, int]) -> bytes:
    z, x, y = tile
    side = SPAN >> z
    box = index.box[rows].astype(np.int64)
    middle = (box[:, :2] + box[:, 2:]) // 2 - np.array([x, y]) * side
    here = ((middle >= 0) & (middle < side)).all(axis=1)
    column, row = (middle[here] * _CELLS // side).T
    cell = row * _CELLS + column
    counts = np.bincount(cell, minlength=_CELLS**2)
    sums = {
        name: np.bincount(cell, weights=np.nan_to_num(index.values[name][rows[here]]), minlength=_CELLS**2)
        for name in _cell_fields(index)
        if name != "count"
    }
    made, layer = _layer("cells")
    writer, size = _Writer(layer), EXTENT // _CELLS
    for number in np.flatnonzero(counts).tolist():
        fact = {"count": int(counts[number]), **{name: float(total[number]) for name, total in sums.items()}}
        west, north = number % _CELLS * size, number // _CELLS * size
        right, left = _zigzag(size), _zigzag(-size)
        square = [9, _zigzag(west), _zigzag(north), 26, right, 0, 0, right, left, 0, 15]
        writer.add(fact, 3, square)
    return bytes(made.SerializeToString(deterministic=True)) if len(layer.features) else b""


def _layer(name: str) -> tuple[Any, Any]:
    """An empty tile and its one layer."""
    try:
        from mapbox_vector_tile.Mapbox import vector_tile_pb2  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise OutputError(
            "The part for vector tiles is not installed.", todo="Install it: pip install 'geomap-coops[tiles]'."
        ) from None
    made = vector_tile_pb2.tile()
    layer = made.layers.add()
    layer.name, layer.version, layer.extent = name, 2, EXTENT
    return made, layer


class _Writer:
    """Adds features to a layer; a text or number that comes again is kept once."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self._keys: dict[str, int] = {}
        self._values: dict[Any, int] = {}

    def add(self, fact: Mapping[str, Any], kind: int, commands: Sequence[int]) -> None:
        feature = self.layer.features.add()
        feature.type = kind
        feature.geometry.extend(commands)
        for name, value in fact.items():
            key = self._keys.get(name)
            if key is None:
                key = self._keys[name] = len(self._keys)
                self.layer.keys.append(name)
            known = (type(value), value)
            place = self._values.get(known)
            if place is None:
                place = self._values[known] = len(self._values)
                field = {str: "string_value", int: "uint_value", float: "double_value"}[type(value)]
                setattr(self.layer.values.add(), field, value)
            feature.tags.extend((key, place))


def _zigzag(value: int) -> int:
    return (value << 1) ^ (value >> 63)


def _polygons(told: Outlines) -> dict[int, list[int]]:
    """Place in `rows` → commands of the outline, for those that have an area in whole units.

    Source: Mapbox Vector Tile Specification 2.1, section 4.3: outer rings have a positive area, holes a negative one.
    """
    corners, ring, holes, owner = _without_repeats(told)
    if not len(corners):
        return {}
    first = np.flatnonzero(np.diff(ring, prepend=-1))
    count = np.diff(np.append(first, len(ring)))
    following = np.arange(1, len(ring) + 1)
    following[first + count - 1] = first
    cross = corners[:, 0] * corners[following, 1] - corners[following, 0] * corners[:, 1]
    area = np.add.reduceat(cross, first)
    usable = (count >= 3) & (area != 0)
    turned = usable & ((area > 0) == holes)
    places = np.arange(len(ring))
    back = turned[np.repeat(np.arange(len(first)), count)]
    places[back] = (np.repeat(2 * first + count - 1, count) - places)[back]
    flat = corners[places].tolist()
    made: dict[int, _Path] = {}
    shell_is_there = False
    rings = zip(first.tolist(), count.tolist(), usable.tolist(), holes.tolist(), owner.tolist(), strict=True)
    for start, length, is_usable, is_hole, place in rings:
        shell_is_there = is_usable if not is_hole else shell_is_there
        if is_usable and shell_is_there:
            made.setdefault(place, _Path()).add(flat[start : start + length])
    return {place: path.commands for place, path in made.items()}


class _Path:
    """The commands of one feature; each corner is told from the one before."""

    def __init__(self) -> None:
        self.commands: list[int] = []
        self._at = (0, 0)

    def add(self, ring: Sequence[Sequence[int]]) -> None:
        across, down = self._at
        for number, (column, row) in enumerate(ring):
            if number < 2:
                self.commands.append(9 if number == 0 else (len(ring) - 1) << 3 | 2)
            self.commands += (_zigzag(column - across), _zigzag(row - down))
            across, down = column, row
        self.commands.append(15)
        self._at = across, down


def _without_repeats(told: Outlines) -> tuple[Ints, Ints, npt.NDArray[np.bool_], Ints]:
    """Corners in whole units without those that repeat the one before; their rings; holes and owner of each ring."""
    corners = np.rint(told.places * EXTENT).astype(np.int64)
    count = np.diff(told.corners)
    ring = np.repeat(np.arange(len(count)), count)
    if not len(ring):
        return corners, ring, told.holes[:0], told.owner[:0]
    before = np.arange(-1, len(ring) - 1)
    filled = count > 0
    before[told.corners[:-1][filled]] = told.corners[1:][filled] - 1
    keep = (corners != corners[before]).any(axis=1)
    left = np.unique(ring[keep])
    return corners[keep], ring[keep], told.holes[left], told.owner[left]
