"""The benchmark runs, agrees with exactextract, and says what it measured; times are nobody's test."""

import importlib.util
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("bench", Path(__file__).with_name("bench.py"))
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)


def test_a_small_world_goes_through_every_step(tmp_path):
    figures = bench.bench(tmp_path, size=2048, plots=400, repeat=1)
    assert figures["plots"] == 400
    assert figures["largest difference from exactextract (share of plot)"] < 1e-5
    assert set(figures["seconds"]) == {
        "make data", "geomap", "decoding alone", "exactextract feature-sequential", "exactextract raster-sequential",
        "rasterstats (scaled)", "reading GeoJSON", "checks and overlaps", "whole estimate",
        "overlaps of half as many more plots", "calibrating, 3 seasons",
    }  # fmt: skip
    assert figures["whole estimate peak MB"] > 0
    assert figures["overlapping pairs found"] >= 59  # every tenth of 600 plots lies on its neighbour
    assert figures["members calibrated"] > 1000
