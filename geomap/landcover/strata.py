"""Shares in a stratified sample: every figure of a map's accuracy is one ratio of indicators over kinds of points."""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import ColumnError, NumberError

SAMPLE_COLUMNS: Final = ["stratum", "map_class", "reference_class", "points"]
"""Columns of a reference sample: one row per point, or per kind of point with their number."""

IGNORANCE: Final = 0.25
"""Variance of a share of which one sample or none tells: no share from 0 to 1 varies more."""

ROUNDING: Final = 1e-12

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
Interval = Literal["normal", "wilson"]


@dataclass(frozen=True)
class Cells:
    """Kinds of point (stratum, map class, reference class), those that nobody saw too.

    share : of the stratum; 0 where nobody saw any; a stratum without points is as mapped.
    there : whether the stratum counts. points, size : per stratum.
    """

    classes: list[Any]
    strata: list[Any]
    stratum: Codes
    map_class: Codes
    reference: Codes
    count: Floats
    share: Floats
    there: Flags
    points: Floats
    size: Floats

    def tell_too_little(self) -> Flags:
        """Strata in which all points agree, or that have none: their standard error is not to be believed."""
        largest = np.zeros(len(self.strata))
        np.maximum.at(largest, self.stratum, self.share)
        return np.asarray(((largest > 1 - ROUNDING) | (self.points == 0)) & (self.size > 0))

    def sampled(self) -> "Cells":
        """The same, with nothing in strata without a point."""
        has = self.points > 0
        share, there = self.share * has[self.stratum], has[self.stratum]
        return replace(self, share=share, there=there, size=self.size * has)


def counted_points(sample: pd.DataFrame) -> pd.DataFrame:
    """Stratum, map class, reference class and number of points, each kind once; kinds of no point are left out."""
    for name in ("map_class", "reference_class"):
        if name not in sample or sample[name].isna().any():
            raise ColumnError(
                f"The reference sample has points without {name}.",
                why="Both what the map says and what is there must be known of each point.",
                todo="Fill it, or leave these points out.",
            )
    points = sample["points"].to_numpy(float) if "points" in sample else np.ones(len(sample))
    if not (np.isfinite(points).all() and (points >= 0).all() and points.sum() > 0):
        raise NumberError("The reference sample holds no points, or numbers of them that cannot be.")
    stratum = sample["stratum"] if "stratum" in sample else sample["map_class"]
    table = sample[["map_class", "reference_class"]].assign(stratum=stratum, points=points)
    return table[points > 0].groupby(SAMPLE_COLUMNS[:3], as_index=False, sort=True)["points"].sum()


def cells_of(sample: pd.DataFrame, mapped: "pd.Series[float]") -> Cells:
    """Cells of a sample whose strata have these sizes; where strata are map classes, no others are mapped in them."""
    counted = counted_points(sample)
    sizes = mapped.astype(float).sort_index()
    nested = bool((counted["stratum"] == counted["map_class"]).all())
    _require_sizes(counted, sizes, nested)
    strata = sizes.index.tolist()
    classes = sorted({*counted["map_class"], *counted["reference_class"], *(strata if nested else [])})
    k = len(classes)
    column, row = pd.Index(classes), sizes.index
    if nested:
        stratum, ref = (grid.ravel() for grid in np.indices((len(strata), k)))
        mapped_as = column.get_indexer(row)[stratum]
    else:
        stratum, mapped_as, ref = (grid.ravel() for grid in np.indices((len(strata), k, k)))
    place = pd.Index((stratum * k + mapped_as) * k + ref).get_indexer(
        (row.get_indexer(counted["stratum"]) * k + column.get_indexer(counted["map_class"])) * k
        + column.get_indexer(counted["reference_class"])
    )
    count = np.zeros(len(stratum))
    count[place] = counted["points"].to_numpy(float)
    points = np.bincount(stratum, count, minlength=len(strata)).astype(np.float64)
    as_mapped = (mapped_as == ref).astype(float) * nested
    share = np.where(points[stratum] > 0, count / np.fmax(points, 1.0)[stratum], as_mapped)
    there = np.ones(len(stratum), dtype=bool)
    return Cells(classes, strata, stratum, mapped_as, ref, count, share, there, points, sizes.to_numpy(float))


def _require_sizes(counted: pd.DataFrame, sizes: "pd.Series[float]", nested: bool) -> None:
    unknown = sorted(set(counted["stratum"]) - set(sizes.index))
    if unknown or not sizes.index.is_unique:
        raise ColumnError(
            f"The size of stratum {unknown[0]!r} is not given." if unknown else "A stratum has two sizes.",
            why="A stratum weighs as much as the ground that it stands for.",
            todo="Give the mapped area of each stratum of the sample, once.",
        )
    if not (np.isfinite(sizes).all() and (sizes >= 0).all() and sizes.sum() > 0):
        raise NumberError("Sizes of strata must be numbers from 0 on, and not all 0.", todo="Give hectares or pixels.")
    empty = sorted(set(sizes.index[sizes > 0]) - set(counted["stratum"]))
    if empty and not nested:
        raise ColumnError(
            f"Stratum {empty[0]!r} has no sample point.",
            why="It is not one of the map's classes, so nobody can say what its ground is.",
            todo="Sample it, join it with another stratum, or leave its area out.",
        )


def ratios(cells: Cells, y: Flags, x: Flags, z: float, interval: Interval) -> pd.DataFrame:
    """Σ y / Σ x for each row of indicators over the cells, with se and limits; y only where x."""
    y, x = y & cells.there, x & cells.there
    weight = cells.size[cells.stratum] * cells.share
    above, below = y @ weight, x @ weight
    with np.errstate(invalid="ignore"):
        ratio = np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
    in_stratum = (cells.stratum[:, None] == np.arange(len(cells.strata))).astype(float)
    possible = x @ in_stratum > 0
    e = y - np.nan_to_num(ratio)[:, None] * x
    mean = (e * cells.share) @ in_stratum
    spread = ((e - mean[:, cells.stratum]) ** 2 * cells.share) @ in_stratum
    spread = np.where(spread > ROUNDING**2, spread, 0.0)
    var = np.where(cells.points > 1, spread / np.fmax(cells.points - 1, 1.0), IGNORANCE * possible)
    se = np.sqrt(var @ cells.size**2) / np.where(below > 0, below, np.nan)
    low, high = _wilson_limits(cells, y, x & ~y, in_stratum, z)
    sure = (se > 0) & (interval == "normal") & ~(possible & cells.tell_too_little()).any(axis=1)
    return pd.DataFrame(
        {
            "estimate": ratio,
            "se": se,
            "low": np.where(sure, np.fmax(ratio - z * se, 0.0), np.where(below > 0, low, 0.0)),
            "high": np.where(sure, np.fmin(ratio + z * se, 1.0), np.where(below > 0, high, 1.0)),
            "basis": pd.Series(np.where(sure, "normal", "wilson"), dtype="str"),
        }
    )


def _wilson_limits(cells: Cells, hit: Flags, miss: Flags, in_stratum: Floats, z: float) -> tuple[Floats, Floats]:
    """Limits of Σ hit / (Σ hit + Σ miss): few hits with many misses, many hits with few misses."""
    sums = []
    for kind in (hit, miss):
        p, possible = (kind * cells.share) @ in_stratum, (kind @ in_stratum > 0) * cells.size
        low, high = wilson(p, cells.points, z)
        total = p @ cells.size
        down, up = (np.sqrt((side * possible) ** 2 @ np.ones(len(cells.size))) for side in (p - low, high - p))
        sums.append((np.maximum(total - down, 0.0), total + up))
    (few, many), (few_misses, many_misses) = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return few / (few + many_misses), many / (many + few_misses)


def wilson(p: npt.ArrayLike, n: npt.ArrayLike, z: float) -> tuple[Floats, Floats]:
    """Wilson limits of a share seen in n points; 0 and 1 without a point.

    Examples
    --------
    None of 30 points: up to z² / (n + z²) = 3.84 / 33.84 may still be.

    >>> low, high = wilson(0.0, 30, 1.96)
    >>> round(float(low), 3), round(float(high), 3)
    (0.0, 0.114)
    """
    p, n = np.asarray(p, dtype=float), np.asarray(n, dtype=float)
    centre = (n * p + z**2 / 2) / (n + z**2)
    half = z * np.sqrt(n * p * (1 - p) + z**2 / 4) / (n + z**2)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
