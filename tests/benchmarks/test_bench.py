"""The benchmark runs, agrees with exactextract, and says what it measured; times are nobody's test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).with_name("bench.py")
AT_MOST_S = 280


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    command = [sys.executable, str(BENCH), "--short", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture
def figures(short):
    return {row["name"]: row for row in json.loads((short[0] / "figures.json").read_text())["figures"]}


def test_every_figure_stands_once_in_the_table_that_is_printed_and_written(short, figures):
    out, printed = short
    rows = json.loads((out / "figures.json").read_text())["figures"]
    assert len(figures) == len(rows)
    assert all(f"| {name} | " in printed for name in figures)
    assert (out / "figures.md").read_text() in printed


def test_what_was_promised_has_a_target_and_says_whether_it_is_met(short, figures):
    told = json.loads((short[0] / "figures.json").read_text())
    promised = [row for row in figures.values() if row["target"]]
    assert {row["name"] for row in promised} == {row["name"] for row in figures.values() if row["met"] is not None}
    assert told["targets"] == len(promised)
    assert told["targets met"] == sum(row["met"] for row in promised)
    for row in promised:
        sign, bound = row["target"].replace(",", "").split()
        within = row["value"] >= float(bound) if sign == "≥" else row["value"] <= float(bound)
        assert row["met"] == within or row["value"] == pytest.approx(float(bound), rel=1e-3)


def test_all_classes_and_layers_agree_with_exactextract(figures):
    differences = [row for name, row in figures.items() if "largest difference" in name]
    assert len(differences) == 1 + 3 * 2 * 3  # the main job; three shapes, two rasters: classes, means, whole layers
    assert all(row["met"] and 0 < row["value"] for row in differences)


def test_four_sizes_of_country_tell_time_and_memory(figures):
    for count in ("4", "40", "400", "4,000"):
        assert figures[f"{count} plots, s"]["value"] > 0
        assert 50 < figures[f"{count} plots, peak MB"]["value"] < 2_000
    assert {name for name in figures if "in two processes, s" in name} == {
        f"{count} plots, exactextract {strategy} in two processes, s"
        for count in ("40", "400")
        for strategy in ("feature-sequential", "raster-sequential")
    }


def test_overlaps_and_members_are_all_there(figures):
    assert figures["overlapping pairs found"]["value"] >= 59  # every tenth of 600 plots lies on its neighbour
    assert figures["members calibrated"]["value"] > 1000
