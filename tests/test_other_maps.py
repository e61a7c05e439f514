"""Other land-cover maps beside that of a run: the command, its tables, its report, and what is refused."""

import json
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

CELL = 1 / 12000
WEST, NORTH = -88.7, 14.7
OWN, OTHER = "esa-worldcover-2021", "esri-lulc-2021"


def write_map(path, codes):
    with rasterio.open(
        path, "w", driver="GTiff", height=codes.shape[0], width=codes.shape[1], count=1, dtype="uint8",
        crs="EPSG:4326", transform=from_origin(WEST, NORTH, CELL, CELL),
    ) as target:  # fmt: skip
        target.write(codes.astype("uint8"), 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Plots of two cooperatives. On WorldCover all is trees; on Esri's the east half of each plot in B is built-up."""
    folder = tmp_path_factory.mktemp("world")
    codes = np.full((200, 200), 10)
    write_map(folder / "own.tif", codes)
    esri = np.full((200, 200), 2)
    esri[:, 105:110] = 7
    write_map(folder / "other.tif", esri)
    squares = [(10, "A", 20 * i) for i in range(8)] + [(100, "B", 20 * i) for i in range(8)]
    plots = gpd.GeoDataFrame(
        {
            "plot_id": [f"P{i:02}" for i in range(16)],
            "member_id": [f"M{i:02}" for i in range(16)],
            "cooperative_id": [coop for _, coop, _ in squares],
        },
        geometry=[
            shapely.box(WEST + c * CELL, NORTH - (r + 10) * CELL, WEST + (c + 10) * CELL, NORTH - r * CELL)
            for c, _, r in squares
        ],
        crs="EPSG:4326",
    )
    plots.to_file(folder / "plots.geojson", driver="GeoJSON")
    return folder


def estimate(world, out, *more, raster="own.tif", product=OWN):
    return subprocess.run(
        [
            sys.executable, "-m", "geomap.cli", "estimate", world / "plots.geojson", "--raster", world / raster,
            "--product", product, "--crop", "coffee", "--country", "HN", "--out", out, *more,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def beside(world, tmp_path_factory):
    """The run with another map beside it; its folder and what it said."""
    out = tmp_path_factory.mktemp("out") / "run"
    done = estimate(world, out, "--other-map", f"{OTHER}={world / 'other.tif'}")
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="module")
def report(beside):
    return (beside[0] / "report.html").read_text()


def test_the_potential_by_another_map_is_that_of_a_run_with_it(world, beside, tmp_path):
    done = estimate(world, tmp_path / "run", raster="other.tif", product=OTHER)
    assert done.returncode == 0, done.stderr
    alone = pd.read_csv(tmp_path / "run" / "cooperatives.csv").set_index("id")
    choice = pd.read_csv(beside[0] / "choice_of_map.csv").set_index(["cooperative_id", "product"])
    for coop in "AB":
        assert choice.loc[(coop, OTHER), "potential_kg"] == pytest.approx(alone.loc[coop, "potential_kg"], abs=0.1)
        assert choice.loc[(coop, OTHER), "productive_ha"] == pytest.approx(alone.loc[coop, "productive_ha"], abs=1e-6)


def test_only_the_cooperative_whose_ground_differs_has_another_potential(beside):
    # Half of B's ground is built-up on Esri's map, whose built-up ground is right on .84 of it: f = 1 − .5 × .84
    choice = pd.read_csv(beside[0] / "choice_of_map.csv").set_index(["cooperative_id", "product"])
    from geomap.landcover.product import product

    right = product(OTHER).legend.loc[7, "users_accuracy"]
    assert choice.loc[("A", OTHER), "ratio"] == 1.0
    assert choice.loc[("B", OTHER), "ratio"] == pytest.approx(1 - 0.5 * right, rel=1e-4)
    assert choice.loc[("B", OTHER), "verdict"] == "lower"
    assert choice.loc[("A", OWN), "verdict"] == "the run's map"


def test_the_own_map_stands_first_with_the_numbers_of_the_run(beside):
    out, _ = beside
    choice = pd.read_csv(out / "choice_of_map.csv")
    assert choice["product"].tolist()[::2] == [OWN] * 3
    sums = pd.read_csv(out / "cooperatives.csv").set_index("id")["potential_kg"]
    own = choice[choice["product"] == OWN].set_index("cooperative_id")["potential_kg"]
    assert own["A"] == sums["A"] and own["B"] == sums["B"]
    assert own["all"] == pytest.approx(sums.sum(), abs=0.2)


def test_land_by_map_and_agreement_by_plot_are_told(beside):
    out, said = beside
    land = pd.read_csv(out / "land_by_map.csv").set_index(["cooperative_id", "product", "group"])["share"]
    assert land["A", OTHER, "trees"] == 1.0
    assert land["B", OTHER, "not_bearing"] == pytest.approx(0.5, abs=1e-4)
    agreement = pd.read_csv(out / "map_agreement.csv").set_index("plot_id")["agreement"]
    assert agreement["P00"] == 1.0
    assert agreement["P08"] == pytest.approx(0.5, abs=1e-4)
    assert "The maps agree on 75 % of the ground" in said


def test_the_report_and_the_summary_show_it(beside, report):
    assert "<h2>What other maps say</h2>" in report
    assert "Esri and Impact Observatory land cover 2021" in report
    assert "not change on the ground" in report
    summary = json.loads((beside[0] / "summary.json").read_text())
    assert [one["name"] for one in summary["other_maps"]["maps"]] == [OWN, OTHER]
    assert [row["name"] for row in summary["inputs"] if row["role"] == "other map"] == ["other.tif"]


def test_the_run_itself_is_as_without_another_map(world, beside, tmp_path):
    done = estimate(world, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    for name in ("plots.parquet", "cooperatives.csv", "classes.csv", "findings.csv", "environment.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (beside[0] / name).read_bytes()
    assert not (tmp_path / "run" / "choice_of_map.csv").exists()
    assert "What other maps say" not in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("esa-worldcover-2020=own.tif", "a difference is change of the map, not of the ground"),
        (f"{OWN}=own.tif", "is the map of the run already"),
        ("jrc-gfc2020=own.tif", "cannot bear an estimate of coffee"),
        (f"{OTHER}=none.tif", "There is no file none.tif"),
        ("other.tif", "is not PRODUCT=FILE"),
        ("=other.tif", "is not PRODUCT=FILE"),
        ("esri=other.tif", "esri"),
    ],
)
def test_what_cannot_stand_beside_the_map_is_refused_and_nothing_is_left(world, tmp_path, given, said):
    name, equals, file = given.partition("=")
    done = estimate(world, tmp_path / "run", "--other-map", f"{name}{equals}{world / file if equals else ''}")
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "run").exists()
