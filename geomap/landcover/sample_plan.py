"""Where to look in the field: how many points a land-cover sample takes, how many of each class, and where they lie."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final, NamedTuple

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geomap.errors import NumberError, RasterError
from geomap.landcover.extract import class_areas
from geomap.landcover.product import Product
from geomap.plots.area import area_ha

POINT_COLUMNS: Final = ["longitude", "latitude", "plot_id", "cooperative_id", "community", "map_class", "name"]

CELLS_PER_POINT: Final = 4
"""Ground of a class that a point takes: with less, points a cell apart may not find room."""

_METRES_PER_DEGREE: Final = 111_320.0
_DECIMALS: Final = 6
_MOST_ROUNDS: Final = 60
_MOST_TRIES: Final = 400

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SamplePlan:
    """Points to visit.

    Attributes
    ----------
    points : index point_id ("P001", …, from north to south); `POINT_COLUMNS`: degrees (EPSG:4326), the plot, its
        cooperative and community ("" where not known), and the map's class there.
    strata : index class; name, area_ha, planned (points), points (drawn).
    half_width : of the 95 % interval around the share of right cells, if the map is as right as it says; classes
        without a point left out.
    cell_m : the edge of a cell of the map in metres, for the question that is asked at a point.
    """

    points: pd.DataFrame
    strata: pd.DataFrame
    half_width: float
    cell_m: float


def sample_size(
    area: npt.ArrayLike, accuracy: npt.ArrayLike, half_width: float, *, level: float = 0.95, cells: float = math.inf
) -> int:
    """Points that an interval of `half_width` around the overall share of right cells takes.

    n = (Σ W_i S_i)² / [(half_width / z)² + Σ W_i S_i² / N],   S_i = √(U_i (1 − U_i))

    Parameters
    ----------
    area : of each stratum, any unit. accuracy : the share (0–1) that is expected to be right there.
    half_width : of the interval, as a share.
    cells : N, the cells in all; without end where not given.

    Raises
    ------
    NumberError : a half-width or an accuracy that cannot be.

    Source: Olofsson et al. (2014), Remote Sensing of Environment 148, eq. 13; Cochran (1977), eq. 5.25.

    Examples
    --------
    The paper's case, a standard error of .01:

    >>> sample_size([0.02, 0.015, 0.32, 0.645], [0.7, 0.6, 0.9, 0.95], 0.0196)
    641
    """
    weight, share = np.asarray(area, dtype=float), np.asarray(accuracy, dtype=float)
    if not (0 < half_width < 1 and np.isfinite(half_width)) or not ((share >= 0) & (share <= 1)).all():
        raise NumberError(
            f"An interval of ± {half_width:g} around shares from {share.min():g} to {share.max():g} cannot be.",
            todo="Give a half-width between 0 and 1, such as 0.1, and shares from 0 to 1.",
        )
    weight = weight / weight.sum()
    spread = np.sqrt(share * (1 - share))
    error = half_width / NormalDist().inv_cdf((1 + level) / 2)
    return max(1, math.ceil(float((weight @ spread) ** 2 / (error**2 + weight @ spread**2 / cells)) - 1e-6))


def allocation(area: npt.ArrayLike, points: int, *, minimum: int, room: npt.ArrayLike = math.inf) -> Codes:
    """Points per stratum: in proportion to its area, but no fewer than `minimum` and no more than it has room for.

    Where minima take more than `points`, the sum is larger than `points`; where there is no room, smaller.

    Examples
    --------
    >>> allocation([90, 9, 1], 100, minimum=10), allocation([90, 9, 1], 100, minimum=10, room=[80, 20, 2])
    (array([80, 10, 10]), array([80, 18,  2]))
    """
    size = np.asarray(area, dtype=float)
    most = np.where(size > 0, np.floor(np.asarray(room, dtype=float)), 0.0)
    least = np.minimum(float(minimum), most)
    wanted = np.clip(points, least.sum(), most.sum())
    low, high = 0.0, wanted / size[size > 0].min()  # points per unit of area
    for _ in range(100):
        rate = (low + high) / 2
        low, high = (rate, high) if np.clip(rate * size, least, most).sum() < wanted else (low, rate)
    exact = np.clip(high * size, least, most)
    given = np.floor(exact + 1e-9)
    rest = np.argsort(given - exact, kind="stable")[: round(wanted - given.sum())]
    given[rest] += 1
    return np.asarray(given, dtype=np.int64)


def expected_half_width(
    area: npt.ArrayLike, accuracy: npt.ArrayLike, points: npt.ArrayLike, *, level: float = 0.95
) -> float:
    """Half of the interval around the share of right cells that so many points per stratum would leave.

    z √(Σ W_i² U_i (1 − U_i) / n_i), of the strata that have points.

    Examples
    --------
    >>> round(expected_half_width([0.5, 0.5], [0.8, 0.8], [50, 50]), 4)
    0.0784
    """
    size, share, n = (np.asarray(values, dtype=float) for values in (area, accuracy, points))
    size, share, n = size[n > 0], share[n > 0], n[n > 0]
    if not len(n):
        return math.nan
    weight = size / size.sum()
    return float(NormalDist().inv_cdf((1 + level) / 2) * np.sqrt((weight**2 * share * (1 - share) / n).sum()))


def sample_plan(
    plots: gpd.GeoDataFrame,
    rasters: Sequence[Path],
    product: Product,
    *,
    rng: np.random.Generator,
    target_half_width: float = 0.1,
    points: int | None = None,
    minimum: int = 5,
    classes: pd.DataFrame | None = None,
) -> SamplePlan:
    """Random points on the plots' ground, stratified by the map's classes, at least a cell apart.

    Within a class every spot of the plots is as likely as any other (ground that two plots claim twice as much). How
    many points: so many that an interval around the share of right cells is within ± `target_half_width`, if the map is
    as right as it says; shared out by area with a minimum per class. A class without room for its minimum gets as many
    points as it has room for, and none below four cells. Equal plots and generators give equal points, whatever the
    order of rows.

    Parameters
    ----------
    plots : index plot_id (unique), EPSG:4326; only Polygons and MultiPolygons are sampled. Any areas will do, such as
        the hull of a cooperative. cooperative_id and community where they are known.
    rasters, product : the map; see `class_areas`.
    rng : where chance comes from.
    points : in all, instead of `target_half_width`.
    minimum : points per class; fewer than 5 are not learned from (`local_shares`).
    classes : hectares per plot and class, where `class_areas` has them already.

    Raises
    ------
    RasterError : see `Rasters`; no plot lies on known classes. NumberError : a number of points that cannot be.

    Examples
    --------
        plan = sample_plan(run.plots, ["map.tif"], product("esa-worldcover-2021"), rng=np.random.default_rng(1))
    """
    if points is not None and points < 1:
        raise NumberError(f"A sample of {points} points cannot be.", todo="Ask for one point or more.")
    ground = plots[shapely.area(plots.geometry.to_numpy()) > 0].sort_index(kind="stable")
    found = class_areas(ground, rasters, product)
    by_plot = found.classes if classes is None else classes
    by_plot = by_plot[by_plot["class"].isin(product.legend.index) & by_plot["plot_id"].isin(ground.index)]
    if by_plot.empty:
        raise RasterError(
            "None of the plots lies on a class of the map.",
            why="There is nothing to sample.",
            todo="Give the raster of the plots' region, and plots with outlines.",
        )
    by_plot = by_plot.sort_values(["class", "plot_id"], kind="stable")
    cell_m = float(np.sqrt(np.nanmedian(found.cover["cell_area_m2"])))
    area = by_plot.groupby("class")["area_ha"].sum()
    legend, cells = product.legend.reindex(area.index), area * 1e4 / cell_m**2
    right, room = legend["users_accuracy"].fillna(0.5), np.floor(cells / CELLS_PER_POINT + 1e-6)
    count = points or sample_size(area, right, target_half_width, cells=float(cells.sum()))
    planned = allocation(area, count, minimum=minimum, room=room)
    while points is None and expected_half_width(area, right, planned) > target_half_width and count < room.sum():
        count += max(1, count // 50)
        planned = allocation(area, count, minimum=minimum, room=room)
    strata = pd.DataFrame({"name": legend["name"], "area_ha": area, "planned": planned}, index=area.index)
    drawn = _drawn(strata["planned"], _Frame(ground, by_plot, rasters, product, cell_m), rng)
    named = drawn.sort_values(["latitude", "longitude"], ascending=[False, True], kind="stable")
    digits = max(3, len(str(len(named))))
    ids = [f"P{number:0{digits}d}" for number in range(1, len(named) + 1)]
    named.index = pd.Index(ids, name="point_id", dtype="str")
    named["name"] = named["map_class"].map(product.legend["name"]).astype("str")
    for column in ("cooperative_id", "community"):
        known = ground[column].fillna("") if column in ground else pd.Series("", index=ground.index)
        named[column] = known.reindex(named["plot_id"]).astype("str").to_numpy()
    got = named["map_class"].value_counts().reindex(strata.index).fillna(0).astype(np.int64)
    width = expected_half_width(area, right, got)
    return SamplePlan(named[POINT_COLUMNS], strata.assign(points=got), width, cell_m)


# ---- points: plots by their ground in the class, then spots in the plot until one is of the class ----


@dataclass(frozen=True)
class _Frame:
    """The ground that is sampled: plots in order of their ids, their hectares per class, and the map."""

    plots: gpd.GeoDataFrame
    by_plot: pd.DataFrame
    rasters: Sequence[Path]
    product: Product
    cell_m: float

    def class_at(self, longitude: Floats, latitude: Floats) -> Codes:
        """The map's class at each spot: that of a square around it, a hundredth of a cell wide; -1 without data."""
        reach = self.cell_m / _METRES_PER_DEGREE / 200
        squares = shapely.box(longitude - reach, latitude - reach, longitude + reach, latitude + reach)
        anchor = self.plots.geometry.loc[self.by_plot["plot_id"].iloc[0]]  # lies on the map, wherever the spots lie
        index = pd.RangeIndex(len(squares) + 1).astype("str").rename("plot_id")
        spots = gpd.GeoDataFrame(geometry=[*squares, anchor], index=index, crs="EPSG:4326")
        found = class_areas(spots, self.rasters, self.product).classes
        first = found.sort_values("area_ha", ascending=False, kind="stable").drop_duplicates("plot_id")
        codes = first.set_index("plot_id")["class"].reindex(index[:-1]).fillna(-1)
        return np.asarray(codes, dtype=np.int64)


class _Spot(NamedTuple):
    longitude: float
    latitude: float
    plot_id: str
    map_class: int


def _drawn(planned: "pd.Series[int]", frame: _Frame, rng: np.random.Generator) -> pd.DataFrame:
    """The points of all classes; points too near to others are drawn anew, until chance gives up."""
    accepted: list[_Spot] = []
    waiting = np.zeros(0, dtype=np.int64)  # rows of `by_plot`, one for each point to come
    for _ in range(_MOST_ROUNDS):
        waiting = np.concatenate([waiting, *_new_draws(planned, accepted, waiting, frame.by_plot, rng)])
        if not len(waiting):
            break
        spots = _spots(frame.by_plot.iloc[waiting], frame, rng)
        accepted += _apart([spots[draw] for draw in sorted(spots)], accepted, frame.cell_m)
        waiting = np.delete(waiting, sorted(spots))
    return pd.DataFrame(accepted, columns=list(_Spot._fields))


def _new_draws(
    planned: "pd.Series[int]", accepted: list[_Spot], waiting: Codes, by_plot: pd.DataFrame, rng: np.random.Generator
) -> list[Codes]:
    """Plots for the points that no draw stands for yet, by their ground in the class."""
    have = Counter([spot.map_class for spot in accepted])
    have.update(by_plot["class"].iloc[waiting].tolist())
    new = []
    for code, wanted in planned.items():
        missing = int(wanted) - have[code]
        if missing:
            rows = np.flatnonzero(by_plot["class"] == code)
            ground = by_plot["area_ha"].to_numpy(float)[rows]
            new.append(rng.choice(rows, size=missing, p=ground / ground.sum()).astype(np.int64))
    return new


def _spots(draws: pd.DataFrame, frame: _Frame, rng: np.random.Generator) -> dict[int, _Spot]:
    """For each draw the first of its random spots that lies in the plot and in the class; some draws have none."""
    plots = frame.plots.geometry.loc[draws["plot_id"]]
    shapes = plots.to_numpy()
    west, south, east, north = shapely.bounds(shapes).T
    inside = shapely.area(shapes) / np.maximum((east - west) * (north - south), 1e-18)
    share = inside * draws["area_ha"].to_numpy(float) / area_ha(plots).to_numpy(float)
    tries = np.clip(np.ceil(3 / np.maximum(share, 1e-9)), 1, _MOST_TRIES).astype(np.int64)
    owner = np.repeat(np.arange(len(draws)), tries)
    x = np.round(west[owner] + rng.random(len(owner)) * (east - west)[owner], _DECIMALS)
    y = np.round(south[owner] + rng.random(len(owner)) * (north - south)[owner], _DECIMALS)
    keep = shapely.contains_xy(shapes[owner], x, y)
    owner, x, y = owner[keep], x[keep], y[keep]
    if not len(owner):
        return {}
    code = draws["class"].to_numpy(np.int64)[owner]
    right = np.flatnonzero(frame.class_at(x, y) == code)
    first = right[np.unique(owner[right], return_index=True)[1]]
    ids = draws["plot_id"].to_numpy(dtype=object)[owner]
    return {int(owner[k]): _Spot(float(x[k]), float(y[k]), str(ids[k]), int(code[k])) for k in first}


def _apart(spots: list[_Spot], accepted: list[_Spot], cell_m: float) -> list[_Spot]:
    """The spots that are a cell or more away from all accepted ones and from those before them."""
    kept: list[_Spot] = []
    for spot in spots:
        others = np.array([(other.longitude, other.latitude) for other in (*accepted, *kept)]).reshape(-1, 2)
        east = (others[:, 0] - spot.longitude) * math.cos(math.radians(spot.latitude))
        if (np.hypot(east, others[:, 1] - spot.latitude) * _METRES_PER_DEGREE >= cell_m).all():
            kept.append(spot)
    return kept
