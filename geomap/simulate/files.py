"""The sample's files, written so that the same tables give the same bytes."""

import json
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
from affine import Affine
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

from geomap.simulate.terrain import CELL, Landscape
from geomap.simulate.truth import Simulation

COG_OPTIONS: Final = {
    "driver": "COG",
    "compress": "DEFLATE",
    "level": 9,
    "blocksize": 512,
    "overview_resampling": "NEAREST",
}


def write_landcover(land: Landscape, legend: pd.DataFrame, path: Path) -> None:
    """The land cover as a Cloud Optimized GeoTIFF with the legend's colours; 0 is no data."""
    colours = {int(code): (*bytes.fromhex(colour[1:]), 255) for code, colour in legend["color"].items()}
    rows, columns = land.cover.shape
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": "EPSG:4326", "nodata": 0}
    place = Affine(CELL, 0, land.west, 0, -CELL, land.north)
    with MemoryFile() as memory:
        with memory.open(**profile, width=columns, height=rows, transform=place) as made:
            made.write(land.cover, 1)
            made.write_colormap(1, {0: (0, 0, 0, 0), **colours})
        with memory.open() as made:
            copy_raster(made, path, **COG_OPTIONS)


def write_plots(plots: gpd.GeoDataFrame, path: Path) -> None:
    """The plots as GeoJSON, one feature a line, coordinates with 6 decimals; missing values are null."""
    geometry = plots.geometry.name
    table = plots.drop(columns=geometry).astype(object)
    records = table.where(table.notna(), None).to_dict("records")
    lines = [
        json.dumps(
            {"type": "Feature", "properties": _plain(row), "geometry": shape.__geo_interface__}, ensure_ascii=False
        )
        for row, shape in zip(records, plots.geometry, strict=True)
    ]
    text = '{"type": "FeatureCollection", "features": [\n' + ",\n".join(lines) + "\n]}\n"
    path.write_bytes(text.encode("utf-8"))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Years and other whole numbers without a decimal point."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in row.items()
    }


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """A table without its index; numbers with ten digits."""
    path.write_bytes(table.to_csv(index=False, float_format="%.10g", lineterminator="\n").encode("utf-8"))


def write_truth(made: Simulation, deliveries: pd.DataFrame, listed: pd.DataFrame, folder: Path) -> None:
    """What the sample hides: plots, seasons, members, cooperatives, factors and faults."""
    plots = true_plots(made)
    seasons = made.plot_seasons.rename(columns={"plot_id": "truth_id"})
    area = plots.set_index("truth_id")["true_area_ha"].reindex(seasons["truth_id"]).to_numpy()
    seasons.insert(4, "true_yield_kg_ha", seasons["potential_kg"] / area)
    delivered = deliveries.groupby(["member_id", "season"])["kg"].sum().rename("delivered_parchment_kg")
    members = made.totals("member_id").merge(delivered, how="left", on=["member_id", "season"])
    members.insert(1, "cooperative_id", made.members["cooperative_id"].reindex(members["member_id"]).to_numpy())
    sums = ["potential_kg", "supply_kg", "delivered_parchment_kg"]
    write_csv(plots, folder / "plots.csv")
    write_csv(seasons, folder / "plot_seasons.csv")
    write_csv(members, folder / "members.csv")
    write_csv(
        members.groupby(["cooperative_id", "season"], as_index=False)[sums].sum(min_count=1),
        folder / "cooperatives.csv",
    )
    write_csv(made.factors, folder / "factors.csv")
    write_csv(listed, folder / "faults.csv")


def true_plots(made: Simulation) -> pd.DataFrame:
    """Measured, counted and true hectares of each plot: true = counted · drawn factor · GPS factor."""
    plots = made.plots.rename_axis("truth_id").reset_index()
    drawn = made.factors[made.factors["source"] == "drawn"].set_index("group")["factor"]
    z = made.factors[made.factors["source"] == "area"].set_index("group")["z"]
    log_sd = np.sqrt(np.log1p(plots["area_cv"] ** 2))
    gps = np.exp(log_sd * z.reindex(plots["truth_id"]).to_numpy() - log_sd**2 / 2)
    mapped = plots["row"].notna()
    plots["true_area_ha"] = plots["counted_area_ha"] * gps * plots["cooperative_id"].map(drawn).where(mapped, 1.0)
    columns = ["truth_id", "row", "given_id", "member_id", "cooperative_id", "measured_area_ha", "counted_area_ha"]
    columns += ["true_area_ha", "bearing_share", "planted_year", "mean_kg"]
    return plots[columns].rename(columns={"given_id": "plot_id"})
