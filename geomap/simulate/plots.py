"""Plots of smallholders: outlines of a given area, placed around villages so that none covers another."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from geomap.errors import GeomapError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MEDIAN_HA: Final = 0.30
LOG_SD: Final = 0.80
SEMI_MAJOR_M: Final = 6_378_137.0
ECCENTRICITY_SQUARED: Final = 0.006694379990141316


def metres_per_degree(latitude: Floats) -> Floats:
    """Metres per degree of longitude and of latitude on WGS84, (n, 2).

    Source: Snyder (1987), Map Projections: A Working Manual, eqs 4-18 and 4-20.

    Examples
    --------
    >>> metres_per_degree(np.array([0.0])).round(0).tolist()
    [[111319.0, 110574.0]]
    """
    sine = np.sin(np.radians(latitude))
    curvature = 1 - ECCENTRICITY_SQUARED * sine**2
    parallel = SEMI_MAJOR_M * np.sqrt(1 - sine**2) / np.sqrt(curvature)
    meridian = SEMI_MAJOR_M * (1 - ECCENTRICITY_SQUARED) / curvature**1.5
    return np.asarray(np.radians(np.column_stack([parallel, meridian])))


def even_normal(rng: np.random.Generator, count: int) -> Floats:
    """Standard normal quantiles at even steps, in random order: even a small sample has the wanted median and spread.

    Examples
    --------
    >>> np.sort(even_normal(np.random.default_rng(0), 3)).round(3).tolist()
    [-0.967, 0.0, 0.967]
    """
    return np.asarray(ndtri((rng.permutation(count) + 0.5) / count))


def draw_areas(rng: np.random.Generator, count: int) -> Floats:
    """Hectares of smallholder plots: log-normal, median 0.30, cut at 0.04 and 2.5."""
    return np.clip(MEDIAN_HA * np.exp(LOG_SD * even_normal(rng, count)), 0.04, 2.5)


def draw_corners(rng: np.random.Generator, area_ha: Floats) -> Ints:
    """Corners per outline: 4 to 20, more on larger plots."""
    mean = 8 * (area_ha / MEDIAN_HA) ** 0.25
    return np.clip(np.rint(mean * np.exp(0.35 * rng.normal(size=len(area_ha)))), 4, 20).astype(np.int64)


def draw_outlines(rng: np.random.Generator, area_ha: Floats, corners: Ints) -> tuple[NDArray[np.object_], Floats]:
    """Polygons of these areas in metres around the origin, and how far each reaches from it.

    An outline is a star around the origin (so it cannot cross itself), stretched, turned and scaled to its area.

    Examples
    --------
    >>> outlines, reach = draw_outlines(np.random.default_rng(0), np.array([0.3, 1.0]), np.array([4, 12]))
    >>> shapely.area(outlines).round(6).tolist(), (shapely.get_num_coordinates(outlines) - 1).tolist()
    ([3000.0, 10000.0], [4, 12])
    """
    count, first = len(area_ha), np.cumsum(corners) - corners
    owner = np.repeat(np.arange(count), corners)
    step = np.arange(len(owner)) - first[owner] + rng.uniform(-0.28, 0.28, size=len(owner))
    angle = 2 * np.pi * step / corners[owner]
    radius = 1 + 0.09 * rng.normal(size=len(owner)).clip(-2, 2)
    for wave in (2, 3, 5):
        size, phase = rng.uniform(0, 0.4 / wave, size=count), rng.uniform(0, 2 * np.pi, size=count)
        radius += size[owner] * np.cos(wave * angle + phase[owner])
    stretch, turn = np.exp(rng.uniform(-0.4, 0.4, size=count))[owner], rng.uniform(0, 2 * np.pi, size=count)[owner]
    east, north = radius * np.cos(angle) * stretch, radius * np.sin(angle) / stretch
    xy = _turned(np.column_stack([east, north]), turn)
    following = np.arange(len(owner)) + 1
    following[first + corners - 1] = first
    crossed = xy[:, 0] * xy[following, 1] - xy[following, 0] * xy[:, 1]
    xy *= np.sqrt(area_ha * 10_000 / (np.add.reduceat(crossed, first) / 2))[owner, None]
    reach = np.maximum.reduceat(np.hypot(*xy.T), first)
    return shapely.polygons(shapely.linearrings(xy, indices=owner)), reach


def _turned(xy: Floats, angle: Floats) -> Floats:
    """Points turned around the origin, each by its angle."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.column_stack([xy[:, 0] * cosine - xy[:, 1] * sine, xy[:, 0] * sine + xy[:, 1] * cosine])


def cut_strips(patch: shapely.Polygon, areas_m2: Floats, *, gap_m: float = 2.0) -> list[shapely.Polygon]:
    """A patch cut from west to east into strips of these areas, moved apart by a footpath.

    Examples
    --------
    A strip of 30 m² of a patch of 10 m × 10 m is 3 m wide.

    >>> [strip.bounds for strip in cut_strips(shapely.box(0, 0, 10, 10), np.array([30.0, 70.0]))]
    [(0.0, 0.0, 3.0, 10.0), (5.0, 0.0, 12.0, 10.0)]
    """
    west, south, east, north = patch.bounds

    def strip(left: float, right: float) -> shapely.Polygon:
        cut = shapely.clip_by_rect(patch, left, south - 1, right, north + 1)
        return max(shapely.get_parts(cut), key=shapely.area)

    wanted = np.cumsum(areas_m2)[:-1] / areas_m2.sum() * patch.area

    def excess(x: float, area: float) -> float:
        return float(shapely.clip_by_rect(patch, west - 1, south - 1, x, north + 1).area - area)

    cuts = [west, *(round(brentq(excess, west, east, args=(area,), xtol=1e-6), 3) for area in wanted), east]
    strips = [strip(left, right) for left, right in pairwise(cuts)]
    return [shapely.transform(part, lambda xy, east=i * gap_m: xy + (east, 0)) for i, part in enumerate(strips)]  # noqa: RUF005


def settle(
    rng: np.random.Generator,
    centres: Floats,
    reach_m: Floats,
    *,
    spread_m: float,
    allowed: Callable[[Floats], NDArray[np.bool_]],
    rounds: int = 300,
) -> Floats:
    """Places around the centres where outlines of these reaches do not touch, (n, 2) longitude and latitude.

    Every round draws the places still wanted, a little further out each time, and keeps those that are allowed and
    whose bounding boxes are free.

    Parameters
    ----------
    centres : (n, 2) longitude and latitude, one per outline.
    reach_m : (n,) metres from the middle of the outline to its farthest corner.
    spread_m : standard deviation of the distance from the centre, in each direction.
    allowed : tells of (k, 2) places whether an outline may lie there.

    Raises
    ------
    GeomapError : there is no room for some.
    """
    places = np.full(centres.shape, np.nan)
    boxes = np.full(len(centres), None, dtype=object)
    scale = metres_per_degree(centres[:, 1])
    left = np.arange(len(centres))
    for attempt in range(rounds):
        drawn = rng.normal(size=(len(left), 2)) * spread_m * (1 + 0.02 * attempt) / scale[left] + centres[left]
        fits = allowed(drawn)
        trial, drawn = left[fits], drawn[fits]
        half = (reach_m[trial, None] + 2) / scale[trial]
        boxes[trial] = shapely.box(*(drawn - half).T, *(drawn + half).T)
        one, other = shapely.STRtree(boxes).query(boxes[trial])
        rank = np.full(len(boxes), -1)
        rank[trial] = np.arange(len(trial))
        lost = np.unique(one[rank[other] < one])
        boxes[trial[lost]] = None
        kept = np.setdiff1d(np.arange(len(trial)), lost)
        places[trial[kept]] = drawn[kept]
        left = np.setdiff1d(left, trial[kept])
        if not len(left):
            return places
    raise GeomapError(
        f"{len(left)} of {len(centres)} made plots found no free place.",
        why="Too many plots share too little allowed ground.",
        todo="Ask for fewer plots, more villages or more classes.",
    )


def place_plots(
    rng: np.random.Generator,
    village: Ints,
    centres: Floats,
    area_ha: Floats,
    *,
    spread_m: float,
    allowed: Callable[[Floats], NDArray[np.bool_]],
) -> NDArray[np.object_]:
    """Outlines in longitude and latitude (6 decimals), one per plot; one to four share a patch and none overlap.

    Parameters
    ----------
    village : (n,) number of each plot's village, ascending.
    centres : (villages, 2) longitude and latitude.
    area_ha : (n,) hectares, reached to about 1 %.
    """
    starts = rng.random(len(village)) < 0.5
    starts |= np.diff(village, prepend=-1) > 0
    starts[3::4] = True
    patch = np.cumsum(starts) - 1
    patch_ha = np.bincount(patch, area_ha).astype(float)
    outlines, reach = draw_outlines(rng, patch_ha, draw_corners(rng, 2 * patch_ha).clip(6, 20))
    neighbours = np.bincount(patch)
    centre = centres[village[starts]]
    middle = settle(rng, centre, reach + 2.0 * (neighbours - 1), spread_m=spread_m, allowed=allowed)
    plots: list[shapely.Polygon] = []
    for outline, areas in zip(outlines, np.split(area_ha, np.flatnonzero(starts)[1:]), strict=True):
        plots += cut_strips(outline, areas * 10_000) if len(areas) > 1 else [outline]
    corners = [_four_corners(plot) for plot in shapely.simplify(plots, 0.4)]
    xy, owner = shapely.get_coordinates(corners, return_index=True)
    at, turn = middle[patch][owner], rng.uniform(0, 2 * np.pi, size=len(patch_ha))[patch][owner]
    xy = _turned(xy, turn)
    lonlat = (xy / metres_per_degree(at[:, 1]) + at).round(6)
    return np.asarray(shapely.set_coordinates(np.array(corners, dtype=object), lonlat))


def _four_corners(plot: shapely.Polygon) -> shapely.Polygon:
    """At least four corners: a triangle gets one more, in the middle of its first side."""
    ring = shapely.get_coordinates(plot)
    return plot if len(ring) > 4 else shapely.Polygon(np.insert(ring, 1, ring[:2].mean(axis=0), axis=0))
