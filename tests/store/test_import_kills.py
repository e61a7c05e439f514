"""The short form of `tests/faults/import_kills.py`: a few killed imports on either database."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "faults/import_kills.py"


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_killed_import_leaves_all_or_nothing(database: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{database}_url")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "9", "--url", url], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    score = json.loads(done.stdout)
    assert (score["kills"], score["wrong"]) == (9, [])
