"""The short form of `load.py`: a few people for a few seconds. It tells that all is answered, never how fast."""

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("load", Path(__file__).with_name("load.py"))
load = importlib.util.module_from_spec(_spec)
sys.modules["load"] = load
_spec.loader.exec_module(load)


def test_everything_is_answered_also_with_a_job_and_hostile_uploads_beside(tmp_path):
    found = load.run_load(tmp_path, users=3, seconds=4.0, cooperatives=3, plots=20)
    assert found["failures"] == 0
    assert set(found["statuses"]["idle"]) == set(found["statuses"]["busy"]) == {200}
    assert len(found["routes"]) >= 5
    assert found["beside"]["run 201"] >= 1
    assert set(found["beside"]) == {"run 201", "upload 422"}


def test_growing_memory_is_a_slope_and_steady_memory_none():
    warm = [200.0 + 5 * second for second in range(60)]
    grows = [500.0 + second / 60 for second in range(60)]
    assert abs(load.slope_mb_per_minute([*warm, *grows]) - 1.0) < 1e-6
    assert abs(load.slope_mb_per_minute([*warm, *[500.0] * 60])) < 1e-6
