"""What goes wrong in real files, put into the sample on purpose and listed beside it."""

from collections.abc import Iterable, Sequence
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.optimize import brentq

from geomap.errors import GeomapError

Outlines = NDArray[np.object_]
SLIPS: Final = 4
"""Tracks that cross themselves a little."""
RUINS: Final = 3
"""Tracks that cross themselves so that the area is lost."""


def fault_rows(fault: str, rows: Iterable[int], details: str | Sequence[str]) -> pd.DataFrame:
    """Rows of the list of faults: fault, at (position of the plot in the file, from 0), detail."""
    at = list(rows)
    texts = [details] * len(at) if isinstance(details, str) else list(details)
    return pd.DataFrame({"fault": fault, "at": at, "detail": texts})


def overlap_neighbours(
    rng: np.random.Generator, outlines: Outlines, member: NDArray[np.str_], shares: Sequence[float]
) -> tuple[Outlines, pd.DataFrame]:
    """Outlines where, for each share, another member's plot was drawn over that share of a plot, and the list of it.

    The other plot takes the same shape, moved aside; nothing else is covered.
    """
    made, used, listed = outlines.copy(), set[int](), []
    for share in shares:
        one, other, moved = _overlap(rng, made, member, share, used)
        made[other] = moved
        used |= {one, other}
        listed.append(fault_rows("overlap", [one, other], f"{100 * share:.0f} % of one covers the other"))
    return made, pd.concat(listed, ignore_index=True)


def _overlap(
    rng: np.random.Generator, outlines: Outlines, member: NDArray[np.str_], share: float, used: set[int]
) -> tuple[int, int, shapely.Polygon]:
    tree = shapely.STRtree(outlines)
    for one in rng.permutation(len(outlines)):
        plot = outlines[one]
        near = tree.query_nearest(plot, exclusive=True, all_matches=False)
        other = int(near[0])
        if one in used or other in used or member[one] == member[other] or not 2e-7 < plot.area < 5e-7:
            continue
        for angle in rng.permutation(8) * np.pi / 4:
            moved = _moved_until(plot, share, angle)
            if set(tree.query(moved, predicate="intersects").tolist()) <= {int(one), other}:
                return int(one), other, moved
    raise GeomapError(
        "No made plot has room beside it for one that covers part of it.",
        why="The sample holds plots that overlap.",
        todo="Use another seed.",
    )


def _moved_until(plot: shapely.Polygon, share: float, angle: float) -> shapely.Polygon:
    """The plot moved in one direction until this share of it still covers its old place."""
    step = np.array([np.cos(angle), np.sin(angle)])

    def moved(distance: float) -> shapely.Polygon:
        return shapely.transform(plot, lambda xy: (xy + distance * step).round(6))

    def missing(distance: float) -> float:
        return float(
            shapely.transform(plot, lambda xy: xy + distance * step).intersection(plot).area / plot.area - share
        )

    return moved(brentq(missing, 0, 0.01, xtol=1e-8))


def cross_a_little(plot: shapely.Polygon) -> shapely.Polygon:
    """The outline overshot at its second corner by 3 % of two sides: a small loop, which a repair cuts off.

    Examples
    --------
    >>> cross_a_little(shapely.box(0, 0, 1, 1)).is_valid
    False
    """
    ring = shapely.get_coordinates(plot)[:-1]
    before, corner, after = ring[:3]
    loop = [corner + 0.03 * (corner - before), corner + 0.03 * (corner - after)]
    return shapely.Polygon(np.vstack([ring[:1], loop, ring[2:]]).round(6))


def cross_through(plot: shapely.Polygon) -> shapely.Polygon:
    """The outline with half of its corners in reverse order, like a bow tie: its area is lost.

    Examples
    --------
    >>> cross_through(shapely.box(0, 0, 1, 1)).wkt
    'POLYGON ((1 0, 0 1, 1 1, 0 0, 1 0))'
    """
    ring = shapely.get_coordinates(plot)[:-1]
    half = len(ring) // 2
    return shapely.Polygon(np.vstack([ring[:1], ring[half:0:-1], ring[half + 1 :]]))


def type_areas(rng: np.random.Generator, declared: pd.Series) -> tuple[pd.Series, pd.DataFrame]:
    """Declared areas as an office types them, with a decimal comma, a unit or a word, and the list of those."""
    texts = declared.copy()
    order = sorted(rng.permutation(len(texts)), key=lambda i: texts[i] not in ("0.5", "1"))
    fraction = [i for i in order if "." in texts[i]]
    whole = [i for i in order if "." not in texts[i]]
    commas, units, words = fraction[:14], [*whole[:4], *fraction[-6:-2]], fraction[-2:]
    texts[commas] = texts[commas].str.replace(".", ",", regex=False)
    texts[units[:4]] += " Hektar"
    texts[units[4:]] += " ha"
    texts[words] = "no sabe"
    listed = [
        fault_rows("decimal_comma", commas, texts[commas].tolist()),
        fault_rows("area_with_unit", units, texts[units].tolist()),
        fault_rows("unreadable_area", words, texts[words].tolist()),
    ]
    return texts, pd.concat(listed, ignore_index=True)


def spoil(
    rng: np.random.Generator, plots: gpd.GeoDataFrame, listed: pd.DataFrame
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """The file as the office sends it: crossed outlines, repeated ids, one row twice, areas typed by hand.

    Plots that carry a listed fault already are left alone. Returns the file and the longer list.
    """
    sent, outlines = plots.copy(), plots.geometry.to_numpy().copy()
    corners = shapely.get_num_coordinates(outlines) - 1
    free = rng.permutation(np.setdiff1d(np.flatnonzero(corners < 20), listed["at"]))
    crossed, borrowers, lenders, twice = free[: SLIPS + RUINS], free[7:9], free[9:11], int(free[11])
    for number, at in enumerate(crossed):
        outlines[at] = cross_a_little(outlines[at]) if number < SLIPS else cross_through(outlines[at])
    ids = sent["plot_id"].to_numpy(dtype=object).copy()
    ids[borrowers] = ids[lenders]
    areas, typed = type_areas(rng, sent["declared_area_ha"])
    sent = sent.assign(plot_id=ids, declared_area_ha=areas).set_geometry(outlines, crs="EPSG:4326")
    parts = [
        listed,
        fault_rows("self_crossing", crossed, ["a slip"] * SLIPS + ["ruins the outline"] * RUINS),
        fault_rows("repeated_id", borrowers, "carries another plot's id"),
        fault_rows("repeated_row", [len(sent)], f"row {twice + 1} once more"),
        typed,
    ]
    return pd.concat([sent, sent.iloc[[twice]]], ignore_index=True), pd.concat(parts, ignore_index=True)
