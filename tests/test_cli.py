"""The command line as a user meets it: exit status, messages, and nothing half-written."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

CELL = 1 / 12000
WEST, NORTH = -88.7, 14.7


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Forty plots of twenty members, a members file with two more, and a land-cover raster."""
    folder = tmp_path_factory.mktemp("world")
    codes = np.random.default_rng(1).choice([10, 40, 50], size=(300, 300), p=[0.8, 0.1, 0.1]).astype("uint8")
    with rasterio.open(
        folder / "map.tif", "w", driver="GTiff", height=300, width=300, count=1, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(WEST, NORTH, CELL, CELL),
    ) as target:  # fmt: skip
        target.write(codes, 1)
    places = [(10 + 35 * (i % 8), 10 + 50 * (i // 8)) for i in range(40)]
    plots = gpd.GeoDataFrame(
        {
            "plot_id": [f"{i:05d}" for i in range(40)],
            "member_id": [f"M{i // 2}" for i in range(40)],
            "cooperative_id": "Río Lindo",
            "variety": ["Lempira" if i % 3 else "IHCAFE 90" for i in range(40)],
        },
        geometry=[
            shapely.box(WEST + c * CELL, NORTH - (r + 7) * CELL, WEST + (c + 7) * CELL, NORTH - r * CELL)
            for c, r in places
        ],
        crs="EPSG:4326",
    )
    plots.to_file(folder / "plots.geojson", driver="GeoJSON")
    people = [f"M{i},Río Lindo,Member {i},{1 + i / 10}" for i in range(22)]
    (folder / "members.csv").write_text("\n".join(["member_id,cooperative_id,name,declared_area_ha", *people]) + "\n")
    return folder


def geomap(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "geomap.cli", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def estimate(world, out, *more, plots="plots.geojson"):
    return geomap(
        "estimate", world / plots, "--raster", world / "map.tif", "--product", "esa-worldcover-2021",
        "--crop", "coffee", "--country", "HN", "--out", out, *more,
    )  # fmt: skip


def test_estimate_leaves_every_file_of_the_contract(world, tmp_path):
    done = estimate(
        world, tmp_path / "out", "--members", world / "members.csv", "--season", "2026/27", "--by", "variety"
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "plots.parquet", "classes.csv", "members.csv", "cooperatives.csv", "by_variety.csv", "months.csv",
        "variance.csv", "environment.csv", "profile.csv", "profile_pairs.csv", "findings.csv",
        "summary.json", "timings.json",
        "map_internal.html", "map_share.html", "report.html",
        "harvest_estimate_1_rio_lindo.html", "harvest_estimate_1_rio_lindo.pdf", "harvest_summary_1_rio_lindo.png",
        "report.pdf", "office.xlsx",
    }  # fmt: skip
    assert "Río Lindo" in done.stdout
    assert "20 of 22" in done.stdout
    assert "country averages" in done.stdout
    assert done.stderr == ""


def test_equal_runs_leave_equal_bytes(world, tmp_path):
    outs = [tmp_path / "a", tmp_path / "b"]
    shuffled = gpd.read_file(world / "plots.geojson").sample(frac=1, random_state=5)
    for out, workers in zip(outs, ("1", "4"), strict=True):
        assert estimate(world, out, "--season", "2026/27", "--workers", workers).returncode == 0
    for path in outs[0].iterdir():
        if path.name != "timings.json":
            assert path.read_bytes() == (outs[1] / path.name).read_bytes(), path.name
    shuffled.to_file(tmp_path / "plots.geojson", driver="GeoJSON")
    assert geomap(
        "estimate", tmp_path / "plots.geojson", "--raster", world / "map.tif", "--product", "esa-worldcover-2021",
        "--crop", "coffee", "--country", "HN", "--season", "2026/27", "--out", tmp_path / "c",
    ).returncode == 0  # fmt: skip
    for name in ("members.csv", "cooperatives.csv", "classes.csv", "months.csv", "variance.csv", "map_share.html"):
        assert (outs[0] / name).read_bytes() == (tmp_path / "c" / name).read_bytes(), name


def test_json_is_the_summary(world, tmp_path):
    done = estimate(world, tmp_path / "out", "--json")
    summary = json.loads(done.stdout)
    assert summary["totals"]["plots"] == 40
    assert summary["inputs"][0]["role"] == "plots"
    assert len(summary["inputs"][0]["sha256"]) == 64


def test_check_says_what_is_wrong_and_blocks(world, tmp_path):
    plots = gpd.read_file(world / "plots.geojson")
    bow = shapely.Polygon([(-88.69, 14.69), (-88.68, 14.68), (-88.68, 14.69), (-88.69, 14.68)])
    plots.loc[3, "geometry"] = bow
    plots.to_file(tmp_path / "plots.geojson", driver="GeoJSON")
    done = geomap("check", tmp_path / "plots.geojson", "--members", world / "members.csv", "--out", tmp_path / "found")
    assert done.returncode == 1
    assert "block\tinvalid\t1" in done.stdout
    assert "note\tmember_without_plot\t2" in done.stdout
    assert "00003" in (tmp_path / "found" / "findings.csv").read_text()
    told = json.loads(geomap("check", tmp_path / "plots.geojson", "--json").stdout)
    assert (told["plots"], told["usable"], told["left_out"]) == (40, 39, 1)


def test_check_of_good_plots_is_silent_about_them(world):
    done = geomap("check", world / "plots.geojson")
    assert done.returncode == 0
    assert "40 plots read, 40 usable, 0 left out" in done.stdout


def test_landcover_prints_the_long_table_or_writes_it(world, tmp_path):
    arguments = (
        "landcover",
        world / "plots.geojson",
        "--raster",
        world / "map.tif",
        "--product",
        "esa-worldcover-2021",
    )
    printed = geomap(*arguments)
    assert printed.stdout.startswith("plot_id,product,class,name,area_ha\n00000,esa-worldcover-2021,10,")
    written = geomap(*arguments, "--out", tmp_path / "classes.csv")
    assert written.returncode == 0
    assert (tmp_path / "classes.csv").read_text() == printed.stdout


def wrong_uses(world):
    raster, product = world / "map.tif", "esa-worldcover-2021"
    plots = world / "plots.geojson"
    good = {"plots": plots, "--raster": raster, "--product": product, "--crop": "coffee", "--country": "HN"}
    return [
        ({**good, "plots": world / "gone.geojson"}, "gone.geojson does not exist"),
        ({**good, "plots": raster}, "map.tif"),
        ({**good, "--raster": world / "plots.geojson"}, "plots.geojson is not a GeoTIFF"),
        ({**good, "--raster": world / "gone.tif"}, "There is no file gone.tif"),
        ({**good, "--product": "worldcover"}, "No land-cover product is called 'worldcover'"),
        ({**good, "--crop": "coffe"}, "Did you mean 'coffee'"),
        ({**good, "--country": "XX"}, "No country is called 'XX'"),
        ({**good, "--season": "26"}, "'26' is no season"),
        ({**good, "--form": "roasted"}, "roasted"),
        ({**good, "--by": "altitude"}, "no column 'altitude'"),
        ({**good, "--members": world / "gone.csv"}, "gone.csv does not exist"),
        ({**good, "--map": "codigo"}, "no equals sign"),
        ({**good, "--map": "codigo=plot_id"}, "codigo"),
        ({**good, "--base-yield": "-3"}, "base yield of -3 kg cannot be"),
    ]


@pytest.mark.parametrize("case", range(14))
def test_wrong_use_gives_one_message_status_2_and_no_output(world, tmp_path, case):
    given, message = wrong_uses(world)[case]
    options = [text for name, value in given.items() if name != "plots" for text in (name, value)]
    done = geomap("estimate", given["plots"], *options, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_left_alone(world, tmp_path):
    (tmp_path / "photo.jpg").write_text("mine")
    done = estimate(world, tmp_path)
    assert done.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_missing_argument_is_wrong_use(world):
    done = geomap("estimate", world / "plots.geojson")
    assert done.returncode == 2
    assert "Missing option" in done.stderr


def test_a_fault_of_ours_says_so_without_a_traceback(world, tmp_path):
    broken = tmp_path / "sitecustomize.py"
    broken.write_text(
        "import geomap.run\ndef fail(*a, **k): raise RuntimeError('a bug')\ngeomap.run.estimate_files = fail\n"
    )
    command = [
        "estimate", world / "plots.geojson", "--raster", world / "map.tif", "--product", "esa-worldcover-2021",
        "--crop", "coffee", "--country", "HN", "--out", tmp_path / "out",
    ]  # fmt: skip
    done = geomap(*command, PYTHONPATH=str(tmp_path))
    assert done.returncode == 3
    assert "RuntimeError: a bug" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in geomap(*command, PYTHONPATH=str(tmp_path), GEOMAP_DEBUG="1").stderr


def on_a_terminal(*arguments):
    """What the command shows where standard error and output are a terminal."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "geomap.cli", *map(str, arguments)], stdout=follower, stderr=follower, stdin=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert child.wait() == 0
    return shown.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals on this system")
def test_progress_is_drawn_on_a_terminal_and_not_in_a_pipe(world, tmp_path):
    command = ("landcover", world / "plots.geojson", "--raster", world / "map.tif", "--product", "esa-worldcover-2021",
               "--out", tmp_path / "classes.csv")  # fmt: skip
    assert "land cover" in on_a_terminal(*command)
    assert geomap(*command).stderr == ""


def test_help_names_every_command():
    shown = geomap("--help").stdout
    for command in ("demo", "check", "landcover", "estimate"):
        assert command in shown
    assert geomap("--version").stdout.strip().count(".") == 2


def test_the_demo_runs_whole_and_again(tmp_path):
    first = geomap("demo", "--out", tmp_path / "demo")
    assert first.returncode == 0, first.stderr
    results = tmp_path / "demo" / "results"
    assert (results / "report.html").is_file()
    assert (tmp_path / "demo" / "sample" / "truth").is_dir()
    before = (results / "cooperatives.csv").read_bytes()
    again = geomap("demo", "--out", tmp_path / "demo")
    assert again.returncode == 0, again.stderr
    assert (results / "cooperatives.csv").read_bytes() == before


REPOSITORY = Path(__file__).parents[1]


def test_the_sample_in_the_repository_is_what_the_demo_makes(tmp_path):
    assert geomap("demo", "--out", tmp_path / "demo").returncode == 0
    made = tmp_path / "demo" / "sample"
    for path in sorted(made.rglob("*")):
        if path.is_file():
            kept = REPOSITORY / "data" / "sample" / path.relative_to(made)
            kept = kept if kept.exists() else REPOSITORY / "data" / path.relative_to(made)
            assert kept.read_bytes() == path.read_bytes(), path.name


def test_a_decision_filled_in_takes_effect(world, tmp_path):
    plots = gpd.read_file(world / "plots.geojson")
    plots.loc[1, "geometry"] = plots.loc[0, "geometry"]
    plots.loc[1, "member_id"] = "M9"
    plots.to_file(tmp_path / "plots.geojson", driver="GeoJSON")
    geomap("check", tmp_path / "plots.geojson", "--out", tmp_path / "found", "--language", "es")
    book = openpyxl.load_workbook(tmp_path / "found" / "findings.xlsx")
    sheet = book.worksheets[0]
    header = [cell.value for cell in sheet[1]]
    code, decision = header.index("code") + 1, header.index("Decisión") + 1
    (row,) = [line for line in range(2, sheet.max_row + 1) if sheet.cell(line, code).value == "duplicate_plot"]
    sheet.cell(row, decision).value = "misma parcela"
    book.save(tmp_path / "decided.xlsx")
    before = json.loads(geomap("check", tmp_path / "plots.geojson", "--json").stdout)
    after = geomap("check", tmp_path / "plots.geojson", "--decisions", tmp_path / "decided.xlsx", "--json")
    told = json.loads(after.stdout)
    assert (before["usable"], told["usable"]) == (40, 39)
    assert told["area_ha"] == pytest.approx(before["area_ha"], abs=1e-4)  # the ground counted once already
    assert {"decided"} <= {row["code"] for row in told["findings"]}


def test_a_name_that_a_person_confirmed_is_remembered(world, tmp_path):
    plots = gpd.read_file(world / "plots.geojson")
    plots["member_id"] = plots["member_id"].where(plots.index != 0, "Membr 0")
    plots.to_file(tmp_path / "plots.geojson", driver="GeoJSON")
    members = world / "members.csv"
    command = ("check", tmp_path / "plots.geojson", "--members", members)
    told = json.loads(geomap(*command, "--json").stdout)
    assert {row["code"]: row["findings"] for row in told["findings"]}["plot_without_member"] == 1
    geomap(*command, "--out", tmp_path / "found")
    offers = pd.read_csv(tmp_path / "found" / "name_matches.csv", dtype=str, keep_default_na=False)
    assert "Membr 0" in offers["their_name"].tolist()
    offers.loc[(offers["their_name"] == "Membr 0") & (offers["member_id"] == "M0"), "confirmed"] = "yes"
    offers.to_csv(tmp_path / "matches.csv", index=False)
    again = json.loads(geomap(*command, "--matches", tmp_path / "matches.csv", "--json").stdout)
    assert "plot_without_member" not in {row["code"] for row in again["findings"]}


@pytest.fixture(scope="module")
def deliveries(world, tmp_path_factory):
    """Three seasons of quintals of green coffee: 10 qq (460 kg) of each member."""
    path = tmp_path_factory.mktemp("deliveries") / "entregas.csv"
    rows = [f"M{i};{year}/{(year + 1) % 100};10" for year in (2023, 2024, 2025) for i in range(22)]
    path.write_text("\n".join(["socio;cosecha;qq oro", *rows]) + "\n")
    return path


def test_deliveries_make_a_supply_and_say_what_it_rests_on(world, deliveries, tmp_path):
    done = estimate(world, tmp_path / "out", "--members", world / "members.csv", "--deliveries", deliveries)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out/cooperatives.csv")
    assert table["supply_kg"][0] == pytest.approx(22 * 460, rel=0.1)
    assert table["supply_p10_kg"][0] < table["supply_p50_kg"][0] < table["supply_p90_kg"][0]
    assert "own deliveries" in done.stdout and "supply 2026/27" in done.stdout
    assert {"available.csv", "backtest.csv", "alarms.csv", "shock_year.csv"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    roles = [file["role"] for file in json.loads((tmp_path / "out/summary.json").read_text())["inputs"]]
    assert roles == ["plots", "raster", "members", "deliveries"]


def test_backtest_prints_the_model_beside_its_rules(world, deliveries, tmp_path):
    common = [
        world / "plots.geojson", "--raster", world / "map.tif", "--product", "esa-worldcover-2021",
        "--crop", "coffee", "--country", "HN", "--members", world / "members.csv", "--deliveries", deliveries,
    ]  # fmt: skip
    done = geomap("backtest", *common, "--out", tmp_path / "backtest.csv")
    assert done.returncode == 0, done.stderr
    for rule in ("model", "same as last season", "mean of past seasons", "past ratio × new potential"):
        assert f"all\t{rule}\t" in done.stdout
    rows = pd.read_csv(tmp_path / "backtest.csv")
    assert rows.loc[rows["rule"] == "same as last season", "mean_kg"].tolist() == [10120.0, 10120.0]
    told = json.loads(geomap("backtest", *common, "--json").stdout)
    assert {row["rule"] for row in told["scores"]} >= {"model", "same as last season"}


def test_one_season_is_too_few_for_a_backtest_and_says_so(world, tmp_path):
    one = tmp_path / "one.csv"
    one.write_text("member_id,season,kg green\nM1,2025/26,100\n")
    done = geomap(
        "backtest", world / "plots.geojson", "--raster", world / "map.tif", "--product", "esa-worldcover-2021",
        "--crop", "coffee", "--country", "HN", "--members", world / "members.csv", "--deliveries", one,
    )  # fmt: skip
    assert done.returncode == 2
    assert "fewer than two seasons" in done.stderr and "Give deliveries of two seasons" in done.stderr


def test_explain_tells_the_chain_of_a_plot_and_names_close_ids(world, tmp_path):
    estimate(world, tmp_path / "out")
    done = geomap("explain", tmp_path / "out", "00007")
    assert done.returncode == 0, done.stderr
    potential = pd.read_parquet(tmp_path / "out/plots.parquet").set_index("plot_id")["potential_kg"]["00007"]
    assert f"{potential:.1f} kg" in done.stdout and "1,150 kg per ha" in done.stdout
    told = json.loads(geomap("explain", tmp_path / "out", "00007", "--json").stdout)
    assert told["potential"]["mean"] == pytest.approx(potential)
    wrong = geomap("explain", tmp_path / "out", "0007")
    assert wrong.returncode == 2 and "00007" in wrong.stderr


def test_a_template_needs_no_plots_and_opens_in_the_language(tmp_path):
    done = geomap("check", "--template", tmp_path / "oficina.xlsx", "--language", "es")
    assert done.returncode == 0, done.stderr
    book = openpyxl.load_workbook(tmp_path / "oficina.xlsx")
    assert len(book.sheetnames) >= 5 and any("ntrega" in name for name in book.sheetnames)


@pytest.mark.parametrize(
    ("header", "rows", "told"),
    [
        ("member_id,season,kg green", ["M1,2025/26,-5"], "minus"),
        ("member_id,season,kg", ["M1,2025/26,100"], "form"),
        ("member_id,season,kg green", ["M1,2025/27,100"], "season"),
        ("member_id,season,kg green", ["M1,2025/26,0", "M2,2025/26,0"], "0"),
    ],
    ids=["negative", "no form", "no season", "zero everywhere"],
)
def test_deliveries_that_cannot_be_get_one_clear_message_and_nothing_is_written(world, tmp_path, header, rows, told):
    path = tmp_path / "deliveries.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    done = estimate(world, tmp_path / "out", "--members", world / "members.csv", "--deliveries", path)
    said = done.stderr if done.returncode else (tmp_path / "out/findings.csv").read_text()
    assert done.returncode in {0, 2}, done.stderr
    assert told in said and "Traceback" not in done.stderr
    assert (tmp_path / "out").exists() == (done.returncode == 0)


def test_a_template_never_replaces_what_an_office_filled_in(tmp_path):
    path = tmp_path / "oficina.xlsx"
    path.write_bytes(b"ours")
    done = geomap("check", "--template", path)
    assert done.returncode == 2 and "is there already" in done.stderr
    assert path.read_bytes() == b"ours"
