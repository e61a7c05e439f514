"""Shapes that no farmer walked: spikes, thin strips, corners that stand twice, few decimals, a grid."""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geomap.findings import join_findings, make_findings
from geomap.plots.area import Floats, Geometries, Rings, repeated_corners, rings_of
from geomap.plots.checks import has_outline

SPIKE_DEGREES: Final = 5.0
SPIKE_LEG_M: Final = 10.0
"""A shorter leg may be the wobble of somebody who stands still."""
SPIKE_SHARE: Final = 0.2
"""A corner that holds more of the plot than this is the plot's own shape."""
THIN: Final = 0.05
DECIMALS: Final = 5
GRID_DEG: Final = 2e-5
"""Steps below two metres are the last decimals of a GPS, no grid."""
GRID_STEPS: Final = 4
WHOLE_FILE: Final = 20
"""From so many plots on, what is true of most is told once for the file."""
_METRES: Final = 111_320.0
_Legs = tuple[NDArray[np.intp], Floats, Floats]


def check_repeated(plots: gpd.GeoDataFrame) -> pd.DataFrame:
    """Findings on corners that repeat the one before; `repair_outlines` drops them."""
    geometry = plots.geometry.to_numpy()
    outlined = np.flatnonzero(has_outline(geometry))
    count = repeated_corners(geometry[outlined])
    rows = np.flatnonzero(count)
    words = [f"{n:,} corners repeat the one before; they are dropped." for n in count[rows]]
    ids = plots.index[outlined[rows]]
    return make_findings("repeated_corners", ids, words, effect_ha=0.0, action="repaired")


def check_shapes(plots: gpd.GeoDataFrame, drawn_ha: Floats) -> pd.DataFrame:
    """Findings on spikes, thin strips, few decimals and grids, after repair. All of them keep the plot.

    Parameters
    ----------
    plots : EPSG:4326, coordinates finite.
    drawn_ha : (n,) hectares within each outline as drawn; NaN where there is none.
    """
    geometry = plots.geometry.to_numpy()
    outlined = np.flatnonzero(has_outline(geometry))
    rings = rings_of(geometry[outlined])
    ids, area = plots.index[outlined], np.asarray(drawn_ha, dtype=float)[outlined]
    legs = _legs(rings)
    return join_findings(
        [
            _spikes(ids, rings, legs, area),
            _slivers(ids, rings, legs, area),
            *_coarse(plots.index, geometry),
        ]
    )


def _spikes(ids: pd.Index, rings: Rings, legs: _Legs, area: Floats) -> pd.DataFrame:
    corner, there, back = legs
    lengths = np.hypot(*there.T), np.hypot(*back.T)
    along = (there * back).sum(axis=1)
    held = np.abs(there[:, 0] * back[:, 1] - there[:, 1] * back[:, 0]) / 2 / 10_000
    owner = rings.owner[rings.ring_of_coordinate()[corner]]
    sharp = along > np.cos(np.radians(SPIKE_DEGREES)) * lengths[0] * lengths[1]
    sharp &= (np.minimum(*lengths) >= SPIKE_LEG_M) & (held < SPIKE_SHARE * area[owner])
    table = pd.DataFrame(
        {
            "owner": owner[sharp],
            "held": held[sharp],
            "leg": np.minimum(*lengths)[sharp],
            "lon": rings.coordinates[corner[sharp], 0],
            "lat": rings.coordinates[corner[sharp], 1],
        }
    ).sort_values(["owner", "leg"], ascending=[True, False], kind="stable")
    longest = table.groupby("owner").first()
    together = table.groupby("owner")["held"].agg(["sum", "size"])
    words = [
        f"{'A spike' if n == 1 else f'{n} spikes, the longest one'} of {leg:,.0f} m at {lon:.6f}, {lat:.6f} "
        f"(longitude, latitude) holds {ha:,.4f} ha of {whole:,.4f} ha. Delete the corner if nobody "
        "walked there, or walk the plot again."
        for (_, leg, lon, lat), ha, n, whole in zip(
            longest.to_numpy(), together["sum"], together["size"], area[longest.index.to_numpy(dtype=int)], strict=True
        )
    ]
    return make_findings("spike", ids[longest.index.to_numpy(dtype=int)], words)


def _legs(rings: Rings) -> _Legs:
    """Corners by position, and the ways to the corner before and to the next one, in metres."""
    lonlat, first, last = rings.coordinates, rings.starts[:-1], rings.starts[1:] - 1
    before = np.arange(len(lonlat)) - 1
    before[first] = last - 1
    corner = np.delete(np.arange(len(lonlat)), last)
    here, scale = lonlat[corner], np.cos(np.radians(lonlat[corner, 1]))
    there, back = (_metres(lonlat[other] - here, scale) for other in (before[corner], corner + 1))
    return corner, there, back


def _metres(step: Floats, scale: Floats) -> Floats:
    return np.column_stack([step[:, 0] * scale, step[:, 1]]) * _METRES


def _slivers(ids: pd.Index, rings: Rings, legs: _Legs, area: Floats) -> pd.DataFrame:
    corner, _, on = legs
    ring = rings.ring_of_coordinate()[corner]
    shell = ~rings.holes[ring]
    around = np.bincount(rings.owner[ring[shell]], np.hypot(*on[shell].T), minlength=len(ids))
    parts = np.bincount(rings.owner[~rings.holes], minlength=len(ids))
    with np.errstate(divide="ignore", invalid="ignore"):
        round_ = 4 * np.pi * area * 10_000 * parts / around**2
    rows = np.flatnonzero((round_ < THIN) & (area > 0))
    words = [
        f"The outline is a thin strip: {ha:,.4f} ha within {metres:,.0f} m of border, about {wide:,.1f} m wide. "
        "Walk the plot again if it is not a strip of land."
        for ha, metres, wide in zip(area[rows], around[rows], 2e4 * area[rows] / around[rows], strict=True)
    ]
    return make_findings("sliver", ids[rows], words)


def _coarse(ids: pd.Index, geometry: Geometries) -> list[pd.DataFrame]:
    lonlat, owner = shapely.get_coordinates(geometry, return_index=True)
    scaled = lonlat * 10 ** (DECIMALS - 1)
    fine = (np.abs(scaled - np.round(scaled)) > 1e-6).any(axis=1)
    count, finer = (np.bincount(owner, weights, minlength=len(ids)) for weights in (None, fine))
    few = (count > 0) & (finer == 0)
    grid = ~few
    for axis in (0, 1):
        some = grid[owner]
        grid &= _on_a_grid(lonlat[some, axis], owner[some], len(ids))
    return [
        _told(
            "few_decimals",
            ids[few],
            int((count > 0).sum()),
            "coordinates with fewer than five decimals, steps of 11 m or more. Export again with six decimals.",
        ),
        _told(
            "on_a_grid",
            ids[grid],
            int((count > 0).sum()),
            "all corners on a regular grid: traced from a raster or drawn, not walked. Ask where they come from.",
        ),
    ]


def _on_a_grid(values: Floats, owner: NDArray[np.intp], plots: int) -> NDArray[np.bool_]:
    """Whether the values of each plot lie whole steps of at least two metres apart, over four steps or more."""
    walked = np.abs(np.diff(values))
    near = (walked > 1e-8) & (walked <= GRID_DEG) & (owner[1:] == owner[:-1])
    fine = np.bincount(owner[1:][near], minlength=plots) > 0  # most plots: no need to sort their corners
    values, owner = values[~fine[owner]], owner[~fine[owner]]
    order = np.lexsort((values, owner))
    who, step = owner[order][1:], np.diff(values[order])
    real = (owner[order][1:] == owner[order][:-1]) & (step > 1e-8)
    who, step = who[real], step[real]
    smallest = np.full(plots, np.inf)
    np.minimum.at(smallest, who, step)
    whole = step / smallest[who]
    off = np.bincount(who, np.abs(whole - np.round(whole)) > 0.01, minlength=plots)
    return np.asarray((off == 0) & (np.bincount(who, minlength=plots) >= GRID_STEPS) & (smallest > GRID_DEG))


def _told(code: str, ids: pd.Index, plots: int, words: str) -> pd.DataFrame:
    """One finding per plot, or one for the file where it is true of most of a long one."""
    if len(ids) >= WHOLE_FILE and len(ids) > plots / 2:
        return make_findings(code, [""], f"{len(ids):,} of {plots:,} plots have {words}")
    return make_findings(code, ids, f"The plot has {words}")
