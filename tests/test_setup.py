"""Set-up on a machine we know nothing of: which Python the Makefile takes, and which skips are let through."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

# ---- the Makefile ----

RUNS = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
SHIM = '#!/bin/sh\necho "command not found" >&2\nexit 127\n'  # as pyenv leaves for versions that are not chosen
TOO_OLD = "#!/bin/sh\nexit 1\n"  # the question for its version fails
NO_VENV = f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'


def make_environment(tmp_path: Path, pythons: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run make's rule for the environment where only these Pythons are on the PATH."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("make", "sh", "cat", "cksum", "tr"):
        (tools / name).symlink_to(shutil.which(name))
    for name, script in pythons.items():
        (tools / name).write_text(script, encoding="utf-8")
        (tools / name).chmod(0o755)
    venv = tmp_path / "venv"
    return subprocess.run(
        ["make", f"VENV={venv}", f"{venv}/bin/python"],
        cwd=ROOT,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_python_that_runs_makes_the_environment(tmp_path):
    done = make_environment(
        tmp_path, {"python3.13": SHIM, "python3.12": TOO_OLD, "python3.11": NO_VENV, "python3": RUNS}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Making the environment {tmp_path}/venv with python3\n"
    assert (tmp_path / "venv/bin/python").exists()


@pytest.mark.parametrize(
    ("pythons", "said"),
    [
        ({}, "No Python 3.11, 3.12 or 3.13 found: install one"),
        ({"python3.13": SHIM, "python3": TOO_OLD}, "No Python 3.11, 3.12 or 3.13 found: install one"),
        ({"python3.12": SHIM, "python3": NO_VENV}, "python3 cannot make virtual environments: install its venv module"),
    ],
    ids=["nothing there", "nothing that runs", "no venv module"],
)
def test_what_is_missing_gets_one_clear_line(tmp_path, pythons, said):
    done = make_environment(tmp_path, pythons)
    assert done.returncode != 0
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith(said)


def test_make_alone_lists_every_command():
    clean = {"PATH": os.environ["PATH"]}  # or the make that runs these tests would speak through it
    shown = subprocess.run(["make"], cwd=ROOT, env=clean, capture_output=True, text=True, check=True).stdout
    named = {line.split()[1] for line in shown.splitlines()}
    assert named == {
        "help",
        "demo",
        "test",
        "lint",
        "format",
        "bench",
        "simulate",
        "fuzz",
        "load",
        "pages",
        "faults",
        "serve",
        "lock",
        "clean",
    }


# ---- skips ----

SKIPS = {
    "data": "import pytest\n\ndef test_real(shared_data): pass\n",
    "service": "import pytest\n\ndef test_browser(): pytest.skip('Chromium is not installed')\n",
    "module": "import pytest\n\npytest.importorskip('no_such_library')\n",
    "mark": "import pytest\n\n@pytest.mark.skip(reason='later')\ndef test_later(): pass\n",
}


def run_tests(tmp_path: Path, names: list[str], *options: str, required: str) -> subprocess.CompletedProcess[str]:
    """Run a small suite in a folder of its own, under this suite's conftest, with no shared/data beside it."""
    suite = tmp_path / "repository/tests"
    suite.mkdir(parents=True)
    shutil.copy(ROOT / "tests/conftest.py", suite)
    (suite / "test_passes.py").write_text("def test_passes(): pass\n", encoding="utf-8")
    for name in names:
        (suite / f"test_{name}.py").write_text(SKIPS[name], encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "--rootdir", suite, suite],
        cwd=suite,
        env={"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "GEOMAP_REQUIRE_SERVICES": required},
        capture_output=True,
        text=True,
        check=False,
    )


ONE_PROCESS, WORKERS = (), ("-p", "xdist", "-n", "1")


@pytest.mark.parametrize(
    ("name", "options"),
    [("service", ONE_PROCESS), ("service", WORKERS), ("module", ONE_PROCESS), ("mark", ONE_PROCESS)],
)
def test_a_skip_for_a_missing_service_fails_where_services_are_required(tmp_path, name, options):
    done = run_tests(tmp_path, [name], *options, required="1")
    assert done.returncode == 1, done.stdout
    assert "skipped although GEOMAP_REQUIRE_SERVICES=1" in done.stdout
    assert f"test_{name}.py" in done.stdout.partition("although")[2]


@pytest.mark.parametrize("options", [ONE_PROCESS, WORKERS])
def test_a_skip_for_missing_shared_data_is_let_through(tmp_path, options):
    done = run_tests(tmp_path, ["data"], *options, required="1")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert "although" not in done.stdout


def test_every_skip_is_let_through_at_a_desk(tmp_path):
    done = run_tests(tmp_path, list(SKIPS), required="")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 4 skipped" in done.stdout


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock"])
def test_a_lock_names_the_extras_that_are_asked_for(lock):
    """pip takes `coverage[toml]>=7` for another package than `coverage==7.1`, and with hashes refuses what is newer."""
    named = re.findall(r"^([\w.-]+)(?:\[([\w,.-]+)\])?==", (ROOT / lock).read_text(), re.MULTILINE)
    locked = {canonicalize_name(name): set(extras.split(",")) for name, extras in named}
    missing = []
    for name in locked:
        with suppress(PackageNotFoundError):  # of another system
            for text in distribution(name).requires or ():
                asked = Requirement(text)
                if asked.extras and (asked.marker is None or asked.marker.evaluate({"extra": ""})):
                    lacking = asked.extras - locked[canonicalize_name(asked.name)]
                    missing += [(name, text)] if lacking else []
    assert len(locked) > 20 and missing == []
