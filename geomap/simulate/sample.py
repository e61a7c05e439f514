"""The sample: three made coffee cooperatives in the highlands of western Honduras, with the truth beside them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

from geomap.landcover.product import product
from geomap.plots.area import area_ha, gps_area_sd_ha
from geomap.simulate import faults
from geomap.simulate.attributes import describe_plots, draw_declared, draw_names
from geomap.simulate.ground import bearing_ground, build_in_plots
from geomap.simulate.plots import Floats, draw_areas, place_plots
from geomap.simulate.terrain import CELL, CROP, GRASS, SHRUB, TREE, Landscape, make_landscape
from geomap.simulate.truth import SEASONS, Simulation, simulate_supply

PRODUCT: Final = "esa-worldcover-2021"
YIELD_KG_HA: Final = 1150.0
WEST, NORTH = -88.85, 14.75
PLOTS: Final = 350
COOPERATIVES: Final = {"Flor del Pinar": (6, 140, "FP-"), "Nueva Aurora": (5, 110, "NA-"), "Cerro D'Oro": (3, 50, "00")}
"""Invented names: villages, members and how member ids begin."""
COMMUNITIES: Final = (
    "El Pinabete", "La Laguneta", "San Isidro Abajo", "Quebrada Honda", "Los Naranjos", "Agua Fría", "Peña Blanca",
    "El Guayabal", "Monte Verde", "La Unión", "Corral Viejo", "Cerro D'Oro", "Las Delicias", "Piedra Ancha",
)  # fmt: skip
JOINED: Final = {"2023/24": 0.86, "2024/25": 0.09, "2025/26": 0.05}
OVERLAPS: Final = (0.60, 0.25, 0.15, 0.10)
SLIPS, RUINS = 4, 3


@dataclass(frozen=True)
class _Farms:
    """The plots while the sample is made: a table, outlines in file order, faults so far."""

    plots: pd.DataFrame
    outlines: NDArray[np.object_]
    faults: pd.DataFrame


def make_sample(folder: str | Path, *, seed: int = 7) -> Path:
    """The folder with the sample: plots.geojson, members.csv, deliveries.csv, landcover.tif, and truth/ with what they hide.

    About 350 plots of 300 members in 14 villages around 14.6 N, 88.7 W, a land-cover map of 0.25° × 0.25° and three
    seasons of deliveries (kg of parchment). Statistics follow published smallholder data: median plot 0.30 ha, measured
    / declared area 0.61, GPS accuracy 5.9 m, a fifth of the members without a plot. The same seed and versions give the
    same bytes. Takes about six seconds.

    truth/: plots.csv, plot_seasons.csv, members.csv, cooperatives.csv (kg of green coffee; sums add up), factors.csv
    (every error's drawn factor), faults.csv (what was put in on purpose). Rows of plots.geojson are counted from 1;
    ground of members without a plot has no row. The season to come is in the truth, not in the deliveries.

    Parameters
    ----------
    folder : made where missing; files of these names are replaced.
    """
    folder = Path(folder)
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    land = make_landscape(rng, west=WEST, north=NORTH)
    members = _make_members(rng)
    farms = _make_farms(rng, land, members)
    land = replace(land, cover=build_in_plots(rng, land, farms.outlines))
    made = _simulate(rng, land, members, farms)
    deliveries = _split_deliveries(rng, made.deliveries)
    written = _spoil(rng, farms)
    _write_raster(land, folder / "landcover.tif")
    _write_plots(written, folder / "plots.geojson")
    _write_csv(_member_file(members, farms.plots), folder / "members.csv")
    _write_csv(deliveries, folder / "deliveries.csv")
    _write_truth(made, deliveries, written, members, folder / "truth")
    return folder


def _make_members(rng: np.random.Generator) -> pd.DataFrame:
    """Index member_id; cooperative_id, village, name, community, first_season, joined, unmapped."""
    parts, first = [], 0
    for cooperative, (villages, count, prefix) in COOPERATIVES.items():
        village = first + np.sort(rng.integers(villages, size=count))
        ids = [f"{prefix}{number:03d}" for number in np.sort(rng.choice(np.arange(1, 3 * count), count, replace=False))]
        parts.append(pd.DataFrame({"member_id": ids, "cooperative_id": cooperative, "village": village}))
        first += villages
    members = pd.concat(parts, ignore_index=True)
    count = len(members)
    members["name"] = draw_names(rng, count)
    members["community"] = [COMMUNITIES[number] for number in members["village"]]
    members["first_season"] = rng.choice(list(JOINED), size=count, p=list(JOINED.values()))
    since = members["first_season"].str[:4].astype(int).to_numpy()
    year = np.where(since == 2023, rng.integers(2004, 2023, size=count), since)
    month, day = rng.integers(1, 10, size=count), rng.integers(1, 29, size=count)
    members["joined"] = [f"{y}-{m:02d}-{d:02d}" for y, m, d in zip(year, month, day, strict=True)]
    members["unmapped"] = False
    members.loc[rng.permutation(count)[: count // 5], "unmapped"] = True
    return members.set_index("member_id")


def _make_farms(rng: np.random.Generator, land: Landscape, members: pd.DataFrame) -> _Farms:
    """Clean plots in file order, but for intended overlaps and the plots off the map."""
    mapped = members[~members["unmapped"]]
    owner = np.concatenate([np.arange(len(mapped)), rng.integers(len(mapped), size=PLOTS - len(mapped))])
    owner = owner[np.lexsort((rng.random(PLOTS), mapped["village"].to_numpy()[owner]))]
    plots = mapped.iloc[owner].reset_index()[["member_id", "cooperative_id", "community", "village"]]
    centres = land.lonlat(land.villages)[np.argsort(land.villages[:, 1], kind="stable")]

    def allowed(places: Floats) -> NDArray[np.bool_]:
        row, column, inside = land.cells(places)
        code, height = land.cover[row, column], land.elevation[row, column]
        open_ground = np.isin(code, [SHRUB, GRASS, CROP]) & (rng.random(len(places)) < 0.12)
        return np.asarray(inside & (height > 900) & (height < 1500) & ((code == TREE) | open_ground))

    village = plots["village"].to_numpy()
    outlines = place_plots(rng, village, centres, draw_areas(rng, PLOTS), spread_m=700.0, allowed=allowed)
    outlines, overlaps = faults.overlap_neighbours(rng, outlines, plots["member_id"].to_numpy(dtype=str), OVERLAPS)
    free = np.setdiff1d(np.arange(PLOTS), overlaps["at"])
    blank, edge = rng.choice(free, size=2, replace=False)
    size = land.cover.shape[0] * CELL
    outlines[blank] = _moved_to(outlines[blank], (WEST + 0.97 * size, NORTH - 0.965 * size))
    outlines[edge] = _moved_to(outlines[edge], (WEST, NORTH - 0.45 * size))
    plots = pd.concat([plots, describe_plots(rng, area_ha(outlines))], axis=1)
    row, column, _ = land.cells(shapely.get_coordinates(shapely.centroid(outlines)))
    plots["altitude_m"] = np.rint(land.elevation[row, column]).astype(int)
    number = np.sort(rng.choice(np.arange(1, 1000), PLOTS, replace=False))
    plots["plot_id"] = [f"LP-{value:05d}" for value in number]
    listed = [
        overlaps,
        faults.fault_rows("no_data", [int(blank)], "the raster has no data here"),
        faults.fault_rows("outside", [int(edge)], "partly outside the raster"),
    ]
    return _Farms(plots, outlines, pd.concat(listed, ignore_index=True))


def _moved_to(plot: shapely.Polygon, place: tuple[float, float]) -> shapely.Polygon:
    middle = shapely.get_coordinates(plot.centroid)[0]
    return shapely.transform(plot, lambda xy: (xy - middle + place).round(6))


def _simulate(rng: np.random.Generator, land: Landscape, members: pd.DataFrame, farms: _Farms) -> Simulation:
    """The truth: true areas, yields, supply and deliveries of mapped plots and of ground nobody mapped."""
    measured = area_ha(farms.outlines)
    ground = bearing_ground(land, farms.outlines, product(PRODUCT).legend)
    counted = measured - _claimed_by_another_ha(farms.outlines) / 2
    mapped = farms.plots[["member_id", "cooperative_id", "planted_year"]].assign(
        row=np.arange(1, PLOTS + 1),
        plot_id=farms.plots["plot_id"],
        measured_area_ha=measured,
        counted_area_ha=counted,
        bearing_share=ground["bearing_share"].to_numpy(),
        area_cv=gps_area_sd_ha(farms.outlines, farms.plots["gps_accuracy_m"].to_numpy()) / measured,
        map_cv=ground["map_cv"].to_numpy(),
        map_region_cv=ground["map_region_cv"].to_numpy(),
        map_plot_cv=ground["map_plot_cv"].to_numpy(),
        drawn_cv=0.10,
        unmapped_cv=0.0,
    )
    people = members[members["unmapped"]]
    hidden = people[["cooperative_id"]].reset_index().assign(
        counted_area_ha=draw_areas(rng, len(people)), bearing_share=1.0, unmapped_cv=0.35
    )
    plots = pd.concat([mapped, hidden], ignore_index=True)
    errors = ["area_cv", "map_cv", "map_region_cv", "map_plot_cv", "drawn_cv", "unmapped_cv"]
    plots[errors] = plots[errors].fillna(0.0)
    plots["truth_id"] = [f"row {row:.0f}" if row > 0 else f"unmapped {m}" for row, m in zip(plots["row"], plots["member_id"], strict=True)]
    plots = plots.assign(origin="coffee HN", form_pair="parchment>green").rename(columns={"plot_id": "given_id"})
    plots["mean_kg"] = plots["counted_area_ha"] * plots["bearing_share"] * YIELD_KG_HA
    plots = plots.set_index("truth_id").rename_axis("plot_id")
    return simulate_supply(rng, plots, members)


def _claimed_by_another_ha(outlines: NDArray[np.object_]) -> Floats:
    one, other = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    one, other = one[one != other], other[one != other]
    shared = area_ha(shapely.intersection(outlines[one], outlines[other]))
    return np.bincount(one, np.nan_to_num(shared), minlength=len(outlines))


def _split_deliveries(rng: np.random.Generator, totals: pd.DataFrame) -> pd.DataFrame:
    """Dated deliveries: one to six per member and season, November to April; kilograms to 0.1."""
    count = 1 + rng.poisson(1.8, size=len(totals)).clip(0, 5)
    rows = totals.loc[totals.index.repeat(count)].reset_index(drop=True)
    weight = rng.gamma(2.0, size=len(rows))
    group = np.repeat(np.arange(len(totals)), count)
    rows["kg"] = (rows["kg"] * weight / np.bincount(group, weight)[group]).round(1)
    first = pd.to_datetime(rows["season"].str[:4] + "-11-05")
    rows["date"] = (first + pd.to_timedelta(np.floor(175 * rng.beta(2.2, 2.4, size=len(rows))), unit="D")).dt.strftime("%Y-%m-%d")
    rows = rows[rows["kg"] > 0].sort_values(["date", "member_id", "kg"], kind="stable")
    return rows[["member_id", "season", "date", "kg", "form"]].reset_index(drop=True)


def _spoil(rng: np.random.Generator, farms: _Farms) -> _Farms:
    """The file as the office sends it: crossed outlines, repeated ids, a row twice, areas typed by hand."""
    plots, outlines = farms.plots.copy(), farms.outlines.copy()
    corners = shapely.get_num_coordinates(outlines) - 1
    free = rng.permutation(np.setdiff1d(np.flatnonzero(corners < 20), farms.faults["at"]))
    crossed, borrowers, twice = free[: SLIPS + RUINS], free[10:12], free[12]
    for number, at in enumerate(crossed):
        outlines[at] = faults.cross_itself(outlines[at], 0.06 if number < SLIPS else 0.5)
    lenders = free[13:15]
    plots.loc[borrowers, "plot_id"] = plots.loc[lenders, "plot_id"].to_numpy()
    plots["declared_area_ha"], typed = faults.type_areas(rng, plots["declared_area_ha"])
    plots = pd.concat([plots, plots.loc[[twice]]], ignore_index=True)
    outlines = np.append(outlines, outlines[twice])
    listed = [
        farms.faults,
        faults.fault_rows("self_crossing", crossed, ["a slip"] * SLIPS + ["ruins the outline"] * RUINS),
        faults.fault_rows("repeated_id", borrowers, "carries another plot's id"),
        faults.fault_rows("repeated_row", [PLOTS], f"row {twice + 1} once more"),
        typed,
    ]
    return _Farms(plots, outlines, pd.concat(listed, ignore_index=True))


def _member_file(members: pd.DataFrame, plots: pd.DataFrame) -> pd.DataFrame:
    raise NotImplementedError
