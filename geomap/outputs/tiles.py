"""An index of plots from which the piece for any map tile is read at once, with a million plots too.

Places are whole numbers of 2⁻³² of the world's width in Web Mercator (EPSG:3857), 1 cm at the equator. Plots lie along
a Z-order curve, so those of a tile stand side by side; a plot that is larger than a tile, or crosses its border, is
found from each tile that it touches.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.uint32]
Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

BITS: Final = 32
SPAN: Final = 2**BITS
"""Units across the world."""
MOST_ZOOM: Final = 22
MARGIN: Final = 64
"""A tile also has what lies within 1/64 of its side (4 of 256 pixels) beyond its border."""
MOST_LATITUDE: Final = 85.0511287798066
"""Where Web Mercator ends; what lies beyond is drawn on its edge."""
_AT_ONCE: Final = 50_000
"""Shapes taken apart at a time: as objects they need ten times the memory."""
_STRIPS: Final = 16
"""Cells along the side of a tile by which its neighbourhood is searched."""


@dataclass(frozen=True)
class TileIndex:
    """Plots with a place, along the curve, group by group of like sizes.

    Attributes
    ----------
    key : place of the middle of the plot's box on the curve; ascending within a group.
    box : west, north, east, south in units from the north-west corner of the world.
    groups : first row, row after the last, and half of the longest side in units, of each group.
    rings : first ring of each plot; one more at the end.
    corners : first corner of each ring; one more at the end. A ring is not closed; a point is a ring of one corner.
    holes : whether a ring is a hole in the ring before it that is none.
    places : x and y of each corner, in units.
    ids : `plot_id` and `member_id`.
    values : column → number of each plot; NaN where it is not known.
    land : code of the land-cover class that covers most of it; −1 where it is not known.
    finding : the gravest finding: 0 none, 1 note, 2 warning, 3 serious.
    """

    key: npt.NDArray[np.uint64]
    box: Places
    groups: tuple[tuple[int, int, int], ...]
    rings: npt.NDArray[np.uint32]
    corners: npt.NDArray[np.uint32]
    holes: npt.NDArray[np.bool_]
    places: Places
    ids: Mapping[str, "pa.Array"]
    values: Mapping[str, Floats]
    land: npt.NDArray[np.int16]
    finding: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def of(
        cls,
        shapes: Sequence[Any] | npt.NDArray[Any],
        ids: Mapping[str, "pa.Array"],
        values: Mapping[str, Any],
        *,
        land: Any = None,
        finding: Any = None,
    ) -> "TileIndex":
        """The index of plots; those without a place are not in it. The order of the rows makes no difference.

        Parameters
        ----------
        shapes : outlines or points in longitude and latitude (EPSG:4326): Shapely's, WKB, or None.
        ids : `plot_id`, each once, and `member_id`, as Arrow texts.
        values : column → numbers. land : codes, −1 unknown. finding : 0 to 3.

        Examples
        --------
        >>> import pyarrow as pa, shapely
        >>> ids = {"plot_id": pa.array(["P1"]), "member_id": pa.array(["M1"])}
        >>> index = TileIndex.of([shapely.box(10, 10, 20, 20)], ids, {"area_ha": [123.0]})
        >>> index.rows(1, 1, 0).tolist(), index.rows(1, 0, 0).tolist()
        ([0], [])
        """
        rows, rings, corners, holes, places = _taken_apart(shapes)
        box = _boxes(rings, corners, places)
        middle = (box[:, :2].astype(np.uint64) + box[:, 2:]) // 2
        key = morton(middle[:, 0], middle[:, 1])
        longest = (box[:, 2:] - box[:, :2]).max(axis=1, initial=0)
        group = (np.frexp(longest.astype(float))[1] + 1) // 2  # sides of one group differ by less than four times
        order = np.lexsort((_rank(ids["plot_id"], rows), key, group))
        ring_starts, which = _reordered(rings, order)
        corner_starts, where = _reordered(corners, which)
        rows = rows[order]

        def column(given: Any, kind: Any, missing: int) -> Any:
            return np.full(len(rows), missing, kind) if given is None else np.asarray(given)[rows].astype(kind)

        return cls(
            key[order],
            box[order],
            _groups(group[order], longest[order]),
            ring_starts,
            corner_starts,
            holes[which],
            places[where],
            {name: texts.take(rows) for name, texts in ids.items()},
            {name: column(numbers, np.float32, 0) for name, numbers in values.items()},
            column(land, np.int16, -1),
            column(finding, np.uint8, 0),
        )

    @property
    def nbytes(self) -> int:
        """Memory that the index takes, in bytes."""
        own = (self.key, self.box, self.rings, self.corners, self.holes, self.places, self.land, self.finding)
        every: tuple[Any, ...] = (*own, *self.values.values(), *self.ids.values())
        return sum(int(one.nbytes) for one in every)

    @property
    def bounds(self) -> Bounds | None:
        """Bounds of all plots in degrees; None without any."""
        if not len(self):
            return None
        (west, north), (east, south) = self.box[:, :2].min(axis=0), self.box[:, 2:].max(axis=0)
        (west_, south_), (east_, north_) = (degrees(x, y) for x, y in ((west, south), (east, north)))
        return west_, south_, east_, north_

    def rows(self, z: int, x: int, y: int) -> Ints:
        """Rows of all plots whose box touches the tile or its margin, ascending."""
        side = SPAN >> z
        margin = max(side // MARGIN, 1)
        return self.touching(x * side - margin, y * side - margin, (x + 1) * side + margin, (y + 1) * side + margin)

    def touching(self, west: int, north: int, east: int, south: int) -> Ints:
        """Rows of all plots whose box touches a box in units (its east and south are outside it), ascending."""
        found = [self._of_group(*group, (west, north, east, south)) for group in self.groups]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def _of_group(self, first: int, last: int, reach: int, box: tuple[int, int, int, int]) -> Ints:
        """Cells of the curve that hold the middle of whatever may touch the box, and of these what does touch it."""
        west, north, east, south = box
        level = BITS - max(reach, max(east - west, south - north) // _STRIPS, 1).bit_length()
        if level <= 0:
            rows = np.arange(first, last)
        else:
            shift = BITS - level
            most = (1 << level) - 1
            sides = ((west - reach, east + reach), (north - reach, south + reach))
            across, down = (
                np.arange(max(low >> shift, 0), min(high >> shift, most) + 1, dtype=np.uint64) for low, high in sides
            )
            cells = np.sort(morton(*(part.ravel() for part in np.meshgrid(across, down))))
            key, width = self.key[first:last], np.uint64(2 * shift)
            starts = np.searchsorted(key, cells << width) + first
            stops = np.searchsorted(key, (cells << width) + ((np.uint64(1) << width) - np.uint64(1)), side="right")
            rows = ranges(starts, stops + first)
        near = self.box[rows]
        low, high = np.maximum([west, north], 0), np.minimum([east, south], SPAN)
        return rows[((near[:, :2] < high) & (near[:, 2:] >= low)).all(axis=1)]

    def ring(self, number: int) -> Places:
        """The corners of a ring: x and y in units."""
        return self.places[self.corners[number] : self.corners[number + 1]]

    def shapes(self, rows: Ints) -> npt.NDArray[Any]:
        """Outlines or points in units, y downwards, as Shapely's."""
        import shapely

        made = np.empty(len(rows), dtype=object)
        for place, row in enumerate(rows.tolist()):
            numbers = range(self.rings[row], self.rings[row + 1])
            rings = [self.ring(number) for number in numbers]
            if all(len(ring) < 3 for ring in rings):
                made[place] = shapely.multipoints(np.concatenate(rings).astype(float))
                continue
            parts: list[list[Any]] = []
            for number, ring in zip(numbers, rings, strict=True):
                if len(ring) >= 3:
                    if self.holes[number] and parts:
                        parts[-1].append(ring.astype(float))
                    else:
                        parts.append([ring.astype(float)])
            polygons = [shapely.Polygon(shell, inner) for shell, *inner in parts]
            made[place] = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
        return made

    def at(self, lon: float, lat: float, *, zoom: int, pixels: int = 10, most: int = 20) -> list[tuple[int, bool]]:
        """Rows of the plots at a place, the smallest first, each with True; else the nearest with False.

        Parameters
        ----------
        zoom, pixels : how far away the nearest may lie, of pixels of which a tile has 256.
        """
        import shapely

        x, y = (int(value) for value in units([lon], [lat])[0])
        reach = max((SPAN >> zoom) * pixels // 256, 1)
        rows = self.touching(x - reach, y - reach, x + reach + 1, y + reach + 1)
        if len(rows) > 500:  # far out; the middle of a plot is near enough
            box = self.box[rows].astype(float)
            away = np.hypot(box[:, ::2].mean(axis=1) - x, box[:, 1::2].mean(axis=1) - y)
            rows = np.sort(rows[np.argsort(away, kind="stable")[:500]])
        away = shapely.distance(self.shapes(rows), shapely.Point(x, y))
        box = self.box[rows].astype(float)
        size = (box[:, 2:] - box[:, :2]).max(axis=1, initial=0)
        inside = np.flatnonzero(away <= 0.5)  # a unit is 1 cm
        if len(inside):
            return [(int(rows[k]), True) for k in inside[np.argsort(size[inside], kind="stable")][:most]]
        near = np.flatnonzero(away <= reach)
        return [(int(rows[k]), False) for k in near[np.argsort(away[near], kind="stable")][:1]]


def units(lon: Any, lat: Any) -> Places:
    """Places in units of 2⁻³² of the world in Web Mercator: x to the east, y to the south; (n, 2).

    Source: OGC 17-083r4, Two Dimensional Tile Matrix Set, annex D (WebMercatorQuad).

    Examples
    --------
    >>> (units([0.0, -180.0], [0.0, 90.0]) / SPAN).round(6).tolist()
    [[0.5, 0.5], [0.0, 0.0]]
    """
    x = (np.asarray(lon, dtype=float) + 180.0) / 360.0
    limited = np.clip(np.asarray(lat, dtype=float), -MOST_LATITUDE, MOST_LATITUDE)
    y = 0.5 - np.arcsinh(np.tan(np.radians(limited))) / (2 * np.pi)
    made: Places = np.clip(np.floor(np.stack([x, y], axis=-1) * SPAN), 0, SPAN - 1).astype(np.uint32)
    return made


def degrees(x: Any, y: Any) -> tuple[float, float]:
    """Longitude and latitude of a place in units.

    Examples
    --------
    >>> degrees(SPAN / 2, SPAN / 2)
    (0.0, 0.0)
    """
    lon = float(x) / SPAN * 360.0 - 180.0
    return lon, float(np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * float(y) / SPAN)))))


def morton(x: npt.NDArray[np.uint64], y: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Place on the Z-order curve: the bits of x and y in turn. Source: Morton (1966), IBM technical report.

    Examples
    --------
    >>> morton(np.array([0, 1, 0, 1], np.uint64), np.array([0, 0, 1, 1], np.uint64)).tolist()
    [0, 1, 2, 3]
    """
    return _spread(x) | (_spread(y) << np.uint64(1))


def _spread(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The bits of a number of 32 bits with a zero between each two."""
    spread = value.astype(np.uint64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        spread = (spread | (spread << np.uint64(shift))) & np.uint64(mask)
    return spread


def ranges(starts: Any, stops: Any) -> Ints:
    """All numbers from each start up to its stop, one range after the other.

    Examples
    --------
    >>> ranges(np.array([3, 9]), np.array([5, 10])).tolist()
    [3, 4, 9]
    """
    lengths = np.asarray(stops, dtype=np.int64) - np.asarray(starts, dtype=np.int64)
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(np.asarray(starts, dtype=np.int64) - ends + lengths, lengths) + np.arange(total)


def _taken_apart(shapes: Any) -> tuple[Ints, Ints, Ints, npt.NDArray[np.bool_], Places]:
    """Rows that have a place; offsets of their rings and of the rings' corners; holes; the corners."""
    parts = [_part(start, shapes[start : start + _AT_ONCE]) for start in range(0, len(shapes), _AT_ONCE)]
    rows, rings, corners, holes, places = (list(column) for column in zip(*parts, strict=True)) if parts else ([],) * 5
    none = np.zeros(0, dtype=np.int64)
    return (
        np.concatenate([none, *rows]),
        np.concatenate([[0], np.cumsum(np.concatenate([none, *rings]))]),
        np.concatenate([[0], np.cumsum(np.concatenate([none, *corners]))]),
        np.concatenate([none.astype(bool), *holes]),
        np.concatenate([np.zeros((0, 2), np.uint32), *places]),
    )


def _part(start: int, given: Any) -> tuple[Any, ...]:
    """Rows, rings per row, corners per ring, holes and corners of some of the shapes."""
    import shapely

    shapes = np.empty(len(given), dtype=object)
    shapes[:] = list(given)
    if any(isinstance(one, bytes | memoryview) for one in shapes):
        shapes = np.asarray(shapely.from_wkb([None if one is None else bytes(one) for one in shapes]), dtype=object)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    rows = np.flatnonzero(good)
    pieces, of_row = shapely.get_parts(shapes[rows], return_index=True)
    pieces, of_row = _plain(pieces, of_row)
    polygon = shapely.get_type_id(pieces) == 3
    rings, of_piece = shapely.get_rings(pieces[polygon], return_index=True)
    of_piece = np.flatnonzero(polygon)[of_piece]
    points = np.flatnonzero(~polygon)
    outlines = np.concatenate([rings, pieces[points]])
    owner = np.concatenate([of_piece, points])
    order = np.argsort(owner, kind="stable")
    outlines, owner = outlines[order], owner[order]
    holes = np.concatenate([[False], owner[1:] == owner[:-1]]) if len(owner) else np.zeros(0, dtype=bool)
    lonlat, of_ring = shapely.get_coordinates(outlines, return_index=True)
    count = np.bincount(of_ring, minlength=len(outlines))
    closing = np.cumsum(count)[count > 1] - 1
    keep = np.ones(len(lonlat), dtype=bool)
    keep[closing] = False
    count[count > 1] -= 1
    per_row = np.bincount(of_row[owner], minlength=len(rows))
    return rows + start, per_row, count, holes, units(lonlat[keep, 0], lonlat[keep, 1])


def _plain(pieces: Any, of_row: Any) -> tuple[Any, Any]:
    """Polygons and points that are not empty; what is neither stands as a point in its middle."""
    import shapely

    kept = ~shapely.is_empty(pieces)
    pieces, of_row = pieces[kept], of_row[kept]
    other = ~np.isin(shapely.get_type_id(pieces), (0, 3))
    if other.any():
        pieces = pieces.copy()
        pieces[other] = shapely.centroid(pieces[other])
    return pieces, of_row


def _boxes(rings: Ints, corners: Ints, places: Places) -> Places:
    """West, north, east, south of each plot."""
    if len(rings) < 2:
        return np.zeros((0, 4), np.uint32)
    first = corners[rings[:-1]]
    return np.concatenate([np.minimum.reduceat(places, first), np.maximum.reduceat(places, first)], axis=1)


def _rank(texts: "pa.Array", rows: Ints) -> Ints:
    """Place of each row's text in the alphabet."""
    import pyarrow.compute as pc

    rank = np.empty(len(rows), dtype=np.int64)
    rank[pc.sort_indices(texts.take(rows)).to_numpy()] = np.arange(len(rows))
    return rank


def _reordered(offsets: Ints, order: Ints) -> tuple[npt.NDArray[np.uint32], Ints]:
    """Offsets of the parts in another order, and which of what they hold comes where."""
    starts, stops = offsets[order].astype(np.int64), offsets[order + 1].astype(np.int64)
    return np.concatenate([[0], np.cumsum(stops - starts)]).astype(np.uint32), ranges(starts, stops)


def _groups(group: Ints, longest: Any) -> tuple[tuple[int, int, int], ...]:
    edges = np.flatnonzero(np.diff(group, prepend=-1, append=-1)) if len(group) else np.zeros(0, dtype=int)
    pairs: Iterator[tuple[int, int]] = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return tuple((first, last, int(longest[first:last].max()) // 2 + 1) for first, last in pairs)
