"""What a person should look at before an outline is kept: what is odd about it, and what other plots it lies over."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.pages.outline import Polygons, corners_of, oddities
from api.veil import AT_ONCE, walked
from geomap.plots.overlap import other_plot
from geomap.store.plots import current_plots
from geomap.store.scope import Transaction

SHOWN: Final = 20
"""Plots that are named; of more their number is told."""
_DIGITS: Final = 6


@dataclass(frozen=True)
class Over:
    """A plot that an outline lies over: how much of it in hectares, and the code that a run would find it under."""

    plot_id: str
    member_id: str
    ha: float
    code: str


@dataclass(frozen=True)
class Doubts:
    """What stands against keeping an outline as it is.

    Attributes
    ----------
    odd : as of `oddities`. over : the largest ground in common first.
    common : that ground as GeoJSON; None where there is none.
    token : of this outline with these doubts; whoever sends it has seen them.
    """

    odd: Sequence[tuple[str, float]] = ()
    over: Sequence[Over] = ()
    common: dict[str, Any] | None = None
    token: str = ""

    def __bool__(self) -> bool:
        return bool(self.odd or self.over)

    @property
    def is_refused(self) -> bool:
        """Whether it cannot be kept, whatever anybody says."""
        return any(kind == "crosses" for kind, _ in self.odd)

    def hold_back(self, sure: str) -> bool:
        """Whether a person must look first; `sure` is the token of the doubts that they have seen."""
        return self.is_refused or (bool(self) and sure != self.token)


def doubts_about(tx: Transaction, cooperative_id: str, row: Mapping[str, Any], outline: Mapping[str, Any]) -> Doubts:
    """What is to be said of a new outline of a plot; nothing of one that changes nothing.

    Parameters
    ----------
    row : the plot as it stands, or as it will: plot_id, member_id and geometry (WKB or None). outline : GeoJSON.
    """
    if rings_of(outline) == corners_of(row["geometry"]):
        return Doubts()
    odd = oddities(outline, row["geometry"])
    if any(kind == "crosses" for kind, _ in odd):
        return Doubts(odd)
    over, common = _over(tx, cooperative_id, row, outline)
    seen = [outline, odd, [(one.plot_id, one.code, round(one.ha, _DIGITS)) for one in over]]
    return Doubts(odd, over, common, hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:32])


def rings_of(shape: Mapping[str, Any]) -> Polygons:
    """Polygons, their rings and corners of a GeoJSON outline, the first corner not repeated."""
    polygons = [shape["coordinates"]] if shape["type"] == "Polygon" else shape["coordinates"]
    return [[[(x, y) for x, y in ring[:-1]] for ring in polygon] for polygon in polygons]


def _over(
    tx: Transaction, cooperative_id: str, row: Mapping[str, Any], outline: Mapping[str, Any]
) -> tuple[list[Over], dict[str, Any] | None]:
    """Other plots of the cooperative that a run would find on the same ground, and that ground."""
    import numpy as np
    import shapely

    from geomap.plots.overlap import count_once
    from geomap.plots.repair import repair_outlines
    from geomap.plots.shares import robust

    shape, plot_id = shapely.from_geojson(json.dumps(outline)), row["plot_id"]
    box = shape.bounds
    near = walked(lambda after: current_plots(tx, cooperative_id, after=after, limit=AT_ONCE, box=box), "", "plot_id")
    others = {one["plot_id"]: one for one in near if one["plot_id"] != plot_id and one["geometry"] is not None}
    if not others:
        return [], None
    repaired = repair_outlines(_frame(cooperative_id, [{**row, "geometry": shapely.to_wkb(shape)}, *others.values()]))
    plots = repaired.plots.assign(area_ha=repaired.area_ha)[repaired.plots.is_valid.to_numpy()]
    once = count_once(plots, plots["area_ha"])
    ha = {
        b if a == plot_id else a: float(overlap)
        for a, b, overlap in once.pairs.itertuples(index=False)
        if plot_id in (a, b)
    }
    codes = {_other(one, plot_id, ha): one["code"] for one in once.findings.to_dict("records")}
    found = [Over(one, others[one]["member_id"], ha[one], code) for one, code in codes.items() if one]
    found.sort(key=lambda one: (-one.ha, one.plot_id))
    if not found:
        return [], None
    grounds = plots.geometry[[one.plot_id for one in found]].to_numpy()
    common = robust(shapely.intersection, np.full(len(grounds), shape), grounds)
    return found, json.loads(shapely.to_geojson(shapely.union_all(shapely.make_valid(common))))


def _frame(cooperative_id: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Plots as the check of overlaps reads them."""
    import geopandas as gpd
    import numpy as np
    import pandas as pd
    import shapely

    columns = {
        "member_id": pd.array([row["member_id"] or "" for row in rows], dtype="str"),
        "cooperative_id": pd.array([cooperative_id] * len(rows), dtype="str"),
        "declared_area_ha": np.full(len(rows), np.nan),
    }
    index = pd.Index([row["plot_id"] for row in rows], name="plot_id", dtype="str")
    shapes = shapely.from_wkb([bytes(row["geometry"]) for row in rows])
    return gpd.GeoDataFrame(columns, index=index, geometry=shapes, crs="EPSG:4326")


def _other(finding: Mapping[str, Any], plot_id: str, others: Mapping[str, float]) -> str:
    """The plot that a finding on an overlap sets against this one; "" where it is about others."""
    if finding["plot_id"] == plot_id:
        return other_plot(finding["message"], plot_id, others)
    is_ours = other_plot(finding["message"], finding["plot_id"], [plot_id])
    return str(finding["plot_id"]) if is_ours else ""
