"""Well-known binary, looked at before a library builds shapes of it: how deep its collections are nested."""

import struct
from collections.abc import Iterable
from typing import Final

MOST_DEPTH: Final = 4
_POINT, _LINE, _POLYGON, _CIRCLE, _TRIANGLE = 1, 2, 3, 8, 17
_COLLECTIONS: Final = frozenset({4, 5, 6, 7, 9, 10, 11, 12, 15, 16})


_FLAT: Final = (b"\x01\x03\0\0\0", b"\x01\x01\0\0\0")
"""How a polygon and a point begin; nothing can be nested in them."""


def require_shallow(shapes: Iterable[bytes | None], *, most: int = MOST_DEPTH) -> None:
    """Raise ValueError for a shape that is nested deeper than `most`, or broken on the way there."""
    if any(shape and not shape.startswith(_FLAT) and wkb_depth(shape, most=most) > most for shape in shapes):
        raise ValueError("a shape is nested too deeply")


def wkb_depth(wkb: bytes, *, most: int = MOST_DEPTH) -> int:
    """Levels of a shape: 1 for a polygon, 2 for a MultiPolygon; `most` + 1 as soon as it is deeper than `most`.

    Nothing is built, and no call goes deeper than one level, so a shape of a million levels costs no more.

    Raises
    ------
    ValueError : the bytes end early, or hold a kind of shape that is not known.

    Source: OGC 06-103r4, section 8; the flags of EWKB are read too.

    Examples
    --------
    >>> import shapely
    >>> wkb_depth(shapely.to_wkb(shapely.Point(1, 2))), wkb_depth(shapely.to_wkb(shapely.MultiPoint([(1, 2)])))
    (1, 2)
    """
    place, deepest = 0, 0
    left = [1]  # shapes still to come, one number for each level
    try:
        while left:
            if left[-1] == 0:
                left.pop()
                continue
            left[-1] -= 1
            deepest = max(deepest, len(left))
            if deepest > most:
                return deepest
            order = "<" if wkb[place] else ">"
            (flags,) = struct.unpack_from(f"{order}I", wkb, place + 1)
            place += 5 + (4 if flags & 0x20000000 else 0)
            kind, size = _kind(flags)
            if kind in _COLLECTIONS:
                left.append(struct.unpack_from(f"{order}I", wkb, place)[0])
                place += 4
            else:
                place = _behind(wkb, place, order, kind, size)
    except (struct.error, IndexError):
        raise ValueError("the shape ends early") from None
    return deepest


def _kind(flags: int) -> tuple[int, int]:
    """Kind of shape, and bytes of one of its points."""
    code = flags & 0x1FFFFFFF
    kind, extra = code % 1000, code // 1000
    numbers = 2 + bool(flags & 0x80000000 or extra in {1, 3}) + bool(flags & 0x40000000 or extra in {2, 3})
    if kind not in _COLLECTIONS | {_POINT, _LINE, _POLYGON, _CIRCLE, _TRIANGLE} or extra > 3:
        raise ValueError("the shape is of a kind that is not known")
    return kind, 8 * numbers


def _behind(wkb: bytes, place: int, order: str, kind: int, size: int) -> int:
    """The place behind a point, a line or a polygon that starts at `place`."""
    if kind == _POINT:
        place += size
    else:
        rings = 1
        if kind in {_POLYGON, _TRIANGLE}:
            (rings,) = struct.unpack_from(f"{order}I", wkb, place)
            place += 4
        for _ in range(rings):
            place += 4 + size * struct.unpack_from(f"{order}I", wkb, place)[0]
    if place > len(wkb):
        raise ValueError("the shape ends early")
    return place
