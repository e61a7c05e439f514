"""Tracks walked around a plot: a line becomes an outline where its ends meet, and only there."""

from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray

NEAR_M: Final = 10.0
NEAR_SHARE: Final = 0.05
METRES_PER_DEGREE: Final = 111_320.0


def close_track(xy: NDArray[np.float64]) -> tuple[shapely.Polygon | None, str]:
    """The outline of a track, and what was done; or None, and why there is none.

    A track is closed where its ends are less than 10 m or less than 5 % of its length apart. Distances are those on a
    sphere, flat around the track: right to 1 % for a plot.

    Parameters
    ----------
    xy : (n, 2) longitude and latitude in degrees; numbers beyond ±180 are taken as metres.

    Examples
    --------
    A walk of 4 × 111 m whose last side is 6 m short (6 m of 439 m are 1.4 %), and half of such a walk:

    >>> walk = np.array([[0, 0], [0.001, 0], [0.001, 0.001], [0, 0.001], [0, 0.00005]])
    >>> close_track(walk)[1]
    'its track was closed; its ends are 6 m apart'
    >>> close_track(walk[:3])
    (None, 'its shape is a line whose ends are 157 m apart (71 % of its length)')
    """
    if len(xy) == 0 or not np.isfinite(xy).all() or np.abs(xy).max() > 1e8:
        return None, "its shape is a line with no points, or with points that cannot be"
    xy = xy[np.r_[True, (np.diff(xy, axis=0) != 0).any(axis=1)]]
    steps = _metres(xy)
    length = float(steps.sum())
    gap = float(_metres(xy[[-1, 0]])[0])
    corners = len(xy) - (gap == 0)
    if corners < 3:
        return None, "its shape is a line of fewer than three points"
    if not (gap < NEAR_M or gap < NEAR_SHARE * length):
        share = gap / length
        return None, f"its shape is a line whose ends are {gap:,.0f} m apart ({share:.0%} of its length)".replace(
            "%", " %"
        )
    what = "its track was read as an outline" if gap == 0 else f"its track was closed; its ends are {gap:.0f} m apart"
    return shapely.Polygon(xy), what


def track_of(shape: shapely.Geometry) -> NDArray[np.float64]:
    """(n, 2) points of a line; parts of a line are joined end to end in their order."""
    parts = shapely.get_parts(shape)
    return np.asarray(shapely.get_coordinates(parts), dtype=float)


def _metres(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of the steps from point to point."""
    steps = np.diff(xy, axis=0)
    if not len(steps):
        return np.zeros(0)
    if np.abs(xy).max() > 180:
        return np.hypot(steps[:, 0], steps[:, 1])
    east = steps[:, 0] * np.cos(np.radians(xy[:, 1].mean()))
    return np.asarray(METRES_PER_DEGREE * np.hypot(east, steps[:, 1]))
