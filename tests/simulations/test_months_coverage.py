"""Monthly intervals hold the truth of seasons that come early or late: the short form of `months.py`."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SPEC = importlib.util.spec_from_file_location("months_study", Path(__file__).with_name("months.py"))
study = importlib.util.module_from_spec(SPEC)
sys.modules["months_study"] = study
SPEC.loader.exec_module(study)


def made(*, seasons: int, cv: float, country: str = "HN", seed: int = 1):
    rng = np.random.default_rng([seed, seasons])
    return study.world(rng, cooperatives=400, seasons=seasons, cv=cv, country=country)


@pytest.mark.parametrize(("country", "seasons", "cv"), [("HN", 0, 0.3), ("CO", 1, 0.2), ("NI", 3, 0.1), ("PE", 6, 0.3)])
def test_eighty_percent_intervals_hold_75_to_84_percent(country, seasons, cv):
    # Two standard errors of 400 cooperatives: below .02, their months go together.
    found = study.months_coverage(made(seasons=seasons, cv=cv, country=country))
    assert 0.73 <= found["month"] <= 0.86
    assert 0.73 <= found["cumulative"] <= 0.86


def test_without_the_shift_cumulative_curves_hold_too_little():
    found = [study.months_coverage(made(seasons=seasons, cv=0.1)) for seasons in (1, 3, 6)]
    assert 0.55 <= np.mean([case["without shift"] for case in found]) <= 0.74
    assert all(case["without shift"] < case["cumulative"] - 0.05 for case in found)


def test_nowcasts_hold_the_total_and_grow_narrower():
    found = [study.nowcast_coverage(made(seasons=3, cv=0.3), month) for month in (2, 4, 6)]
    assert all(0.74 <= case["held"] <= 0.86 for case in found)
    widths = [case["width"] for case in found]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] < 1.0
    assert widths[-1] < 0.6
