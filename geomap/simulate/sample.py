"""The sample: three made coffee cooperatives in the highlands of western Honduras, with the truth beside them."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from geomap.landcover.product import product
from geomap.plots.area import area_ha, gps_area_sd_ha
from geomap.simulate import faults, files
from geomap.simulate.attributes import describe_plots, draw_contracts, draw_declared, draw_names, draw_settings
from geomap.simulate.ground import bearing_ground, build_in_plots
from geomap.simulate.plots import Floats, draw_areas, place_plots
from geomap.simulate.terrain import CELL, CROP, GRASS, SHRUB, TREE, Landscape, make_landscape
from geomap.simulate.truth import Simulation, simulate_supply
from geomap.supply.crops import error_cv

PRODUCT: Final = "esa-worldcover-2021"
YIELD_KG_HA: Final = 1150.0
WEST, NORTH = -88.85, 14.75
PLOTS: Final = 350
COOPERATIVES: Final = {"Flor del Pinar": (6, 140, "FP-"), "Nueva Aurora": (5, 110, "NA-"), "Cerro D'Oro": (3, 50, "00")}
"""Invented names: villages, members and how member ids begin."""
COMMUNITIES: Final = (
    "El Pinabete", "La Laguneta", "San Isidro Abajo", "Quebrada Honda", "Los Naranjos", "Agua Fría", "Peña Blanca",
    "El Guayabal", "Monte Verde", "La Unión", "Corral Viejo", "El Zapote", "Las Delicias", "Piedra Ancha",
)  # fmt: skip
JOINED: Final = {"2023/24": 0.86, "2024/25": 0.09, "2025/26": 0.05}
OVERLAPS: Final = (0.60, 0.25, 0.15, 0.10)


def make_sample(folder: str | Path, *, seed: int = 7) -> Path:
    """The folder with plots, members, deliveries, contracts, settings and land cover, and truth/ with what they hide.

    Files: plots.geojson, members.csv, deliveries.csv, contracts.csv, cooperatives.csv (settings), landcover.tif.

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
    ground, rng, truth, office, desk = np.random.default_rng(seed).spawn(5)
    land = make_landscape(ground, west=WEST, north=NORTH)
    legend = product(PRODUCT).legend
    members = _make_members(rng)
    plots, listed = _make_farms(rng, land, members)
    land = replace(land, cover=build_in_plots(rng, land, plots.geometry.to_numpy()))
    made = _simulate(truth, land, legend, members, plots)
    deliveries = _split_deliveries(truth, made.deliveries)
    member_file = _member_file(office, members, plots, made)
    sent, listed = faults.spoil(office, plots, listed)
    files.write_landcover(land, legend, folder / "landcover.tif")
    files.write_plots(sent, folder / "plots.geojson")
    files.write_csv(member_file, folder / "members.csv")
    files.write_csv(deliveries, folder / "deliveries.csv")
    settings = draw_settings(desk, list(COOPERATIVES))
    files.write_csv(settings, folder / "cooperatives.csv")
    files.write_csv(draw_contracts(desk, _delivered_green(deliveries, members)), folder / "contracts.csv")
    files.write_truth(made, deliveries, _fault_file(listed, sent, members), folder / "truth")
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


def _make_farms(
    rng: np.random.Generator, land: Landscape, members: pd.DataFrame
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Clean plots in the order of the file, but for intended overlaps and plots off the map; and the list of those."""
    mapped = members[~members["unmapped"]]
    owner = np.concatenate([np.arange(len(mapped)), rng.integers(len(mapped), size=PLOTS - len(mapped))])
    owner = owner[np.lexsort((rng.random(PLOTS), mapped["village"].to_numpy()[owner]))]
    plots = mapped.iloc[owner].reset_index()[["member_id", "cooperative_id", "community", "village"]]
    centres = land.lonlat(land.villages)[np.argsort(land.villages[:, 1], kind="stable")]

    def allowed(places: Floats) -> NDArray[np.bool_]:
        row, column, inside = land.cells(places)
        code, height = land.cover[row, column], land.elevation[row, column]
        open_ground = np.isin(code, [SHRUB, GRASS, CROP]) & (rng.random(len(places)) < 0.06)
        return np.asarray(inside & (height > 900) & (height < 1500) & ((code == TREE) | open_ground))

    village = plots["village"].to_numpy()
    outlines = place_plots(rng, village, centres, draw_areas(rng, PLOTS), spread_m=500.0, allowed=allowed)
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
    plots.insert(0, "plot_id", [f"LP-{value:05d}" for value in number])
    listed = [
        overlaps,
        faults.fault_rows("no_data", [int(blank)], "the raster has no data here"),
        faults.fault_rows("outside", [int(edge)], "partly outside the raster"),
    ]
    made = gpd.GeoDataFrame(plots.drop(columns="village"), geometry=outlines, crs="EPSG:4326")
    return made, pd.concat(listed, ignore_index=True)


def _moved_to(plot: shapely.Polygon, place: tuple[float, float]) -> shapely.Polygon:
    middle = shapely.get_coordinates(plot.centroid)[0]
    return shapely.transform(plot, lambda xy: (xy - middle + place).round(6))


def _simulate(
    rng: np.random.Generator, land: Landscape, legend: pd.DataFrame, members: pd.DataFrame, plots: gpd.GeoDataFrame
) -> Simulation:
    """The truth: true yields, supply and deliveries of the mapped plots and of ground that nobody mapped."""
    outlines = plots.geometry.to_numpy()
    measured = area_ha(outlines)
    mapped = pd.concat(
        [plots[["member_id", "cooperative_id", "planted_year"]], bearing_ground(land, outlines, legend)], axis=1
    )
    mapped = mapped.assign(
        plot_id=[f"row {row}" for row in range(1, PLOTS + 1)],
        row=np.arange(1, PLOTS + 1),
        given_id=plots["plot_id"],
        measured_area_ha=measured,
        counted_area_ha=measured - _claimed_by_another_ha(outlines) / 2,
        area_cv=gps_area_sd_ha(outlines, plots["gps_accuracy_m"].to_numpy()) / measured,
        drawn_cv=error_cv("drawn"),
    )
    people = members[members["unmapped"]][["cooperative_id"]].reset_index()
    hidden = people.assign(
        plot_id="unmapped " + people["member_id"],
        counted_area_ha=draw_areas(rng, len(people)),
        bearing_share=1.0,
        unmapped_cv=error_cv("unmapped"),
    )
    everything = pd.concat([mapped, hidden], ignore_index=True)
    cvs = [column for column in everything if column.endswith("_cv")]
    everything[cvs] = everything[cvs].fillna(0.0)
    everything["mean_kg"] = everything["counted_area_ha"] * everything["bearing_share"] * YIELD_KG_HA
    everything = everything.assign(origin="coffee HN", form_pair="parchment>green")
    return simulate_supply(rng, everything.set_index("plot_id"), members)


def _claimed_by_another_ha(outlines: NDArray[np.object_]) -> Floats:
    one, other = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    one, other = one[one != other], other[one != other]
    shared = area_ha(shapely.intersection(outlines[one], outlines[other]))
    return np.bincount(one, np.nan_to_num(shared), minlength=len(outlines)).astype(float)


def _split_deliveries(rng: np.random.Generator, totals: pd.DataFrame) -> pd.DataFrame:
    """Dated deliveries: one to six per member and season, November to April; kilograms to 0.1."""
    count = 1 + rng.poisson(1.8, size=len(totals)).clip(0, 5)
    rows = totals.loc[totals.index.repeat(count)].reset_index(drop=True)
    weight = rng.gamma(2.0, size=len(rows))
    group = np.repeat(np.arange(len(totals)), count)
    rows["kg"] = (rows["kg"] * weight / np.bincount(group, weight)[group]).round(1)
    first = pd.to_datetime(rows["season"].str[:4] + "-11-05")
    rows["date"] = (first + pd.to_timedelta(np.floor(175 * rng.beta(2.2, 2.4, size=len(rows))), unit="D")).dt.strftime(
        "%Y-%m-%d"
    )
    rows = rows[rows["kg"] > 0].sort_values(["date", "member_id", "kg"], kind="stable")
    return rows[["member_id", "season", "date", "kg", "form"]].reset_index(drop=True)


def _delivered_green(deliveries: pd.DataFrame, members: pd.DataFrame) -> "pd.Series[float]":
    """Kilograms of green coffee of each cooperative in the last season with deliveries."""
    last = deliveries[deliveries["season"] == deliveries["season"].max()]
    cooperative = members["cooperative_id"].reindex(last["member_id"]).to_numpy()
    return 0.8 * last["kg"].groupby(cooperative).sum()


def _member_file(
    rng: np.random.Generator, members: pd.DataFrame, plots: gpd.GeoDataFrame, made: Simulation
) -> pd.DataFrame:
    """What the office writes of its members; the declared hectares of those without a plot are theirs alone."""
    declared = plots["declared_area_ha"].astype(float).groupby(plots["member_id"]).sum()
    hidden = made.plots[made.plots["row"].isna()]
    guessed = pd.Series(draw_declared(rng, hidden["counted_area_ha"].to_numpy()), index=hidden["member_id"].to_numpy())
    table = members.assign(declared_area_ha=declared.add(guessed, fill_value=0.0).round(2)).reset_index()
    return table[["member_id", "cooperative_id", "name", "community", "declared_area_ha", "joined"]]


def _fault_file(listed: pd.DataFrame, sent: gpd.GeoDataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """The list of faults with row and plot id as in the file, and the members without a plot."""
    named = sent.iloc[listed["at"]]
    rows = pd.DataFrame(
        {
            "fault": listed["fault"],
            "row": listed["at"] + 1,
            "plot_id": named["plot_id"].to_numpy(),
            "member_id": named["member_id"].to_numpy(),
            "detail": listed["detail"],
        }
    )
    missing = pd.DataFrame({"fault": "member_without_plot", "member_id": members.index[members["unmapped"]]})
    return pd.concat([rows, missing], ignore_index=True).astype({"row": "Int64"})
