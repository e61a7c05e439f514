"""What can be shown of Windows without a Windows machine: no name of POSIX is needed, and any terminal will do."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]
SAMPLE = HERE / "data" / "sample"
GONE = {
    "os": (
        "fork", "forkpty", "nice", "getuid", "geteuid", "getgid", "getegid", "killpg", "getpgid", "setsid", "sysconf",
        "sched_getaffinity", "statvfs", "sync", "fchmod", "fchown", "chown", "mkfifo", "O_DIRECTORY", "O_NOFOLLOW",
        "O_NONBLOCK", "O_CLOEXEC", "O_PATH", "uname",
    ),
    "signal": ("SIGKILL", "SIGXCPU", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGALRM", "alarm"),
    "time": ("tzset",),
}  # fmt: skip
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "syslog")
PRELUDE = f"""
import asyncio, logging, multiprocessing, os, signal, socket, subprocess, sys, tempfile, time  # the library's own needs
import fpdf, geopandas, matplotlib, numba, pandas, PIL.Image, platform, pyarrow.parquet, rasterio, rich.console, scipy
import fastapi, folium, sqlalchemy, structlog, typer, uvicorn, xlsxwriter
platform.uname(), matplotlib.get_cachedir()
subprocess.Popen.kill = subprocess.Popen.terminate  # as on Windows
for name, gone in {GONE!r}.items():
    for one in gone:
        if hasattr(sys.modules[name], one):
            delattr(sys.modules[name], one)
for name in {MODULES!r}:
    sys.modules[name] = None
sys.platform = "win32"
"""


def run(code, *, folder, terminal="cp1252"):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "GEOMAP_CACHE", "XDG_CACHE_HOME") if name in os.environ}
    console = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": terminal}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**kept, **console, "PYTHONPATH": str(HERE)}, cwd=folder,
        check=False, timeout=280,
    )  # fmt: skip


def command(*arguments):
    return f"import sys; sys.argv = {['geomap', *map(str, arguments)]!r}; from geomap.cli import main; main()"


@pytest.fixture(scope="module")
def estimated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    code = command(
        "estimate", SAMPLE / "plots.geojson", "--raster", SAMPLE / "landcover.tif", "--product", "esa-worldcover-2021",
        "--crop", "coffee", "--country", "HN", "--season", "2026/27", "--members", SAMPLE / "members.csv",
        "--deliveries", SAMPLE / "deliveries.csv", "--cooperatives", SAMPLE / "cooperatives.csv",
        "--out", folder / "out",
    )  # fmt: skip
    return run(PRELUDE + code, folder=folder), folder / "out"


def test_the_whole_way_from_files_to_a_report_needs_no_name_of_posix(estimated):
    done, out = estimated
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert {"report.html", "report.pdf", "office.xlsx", "plots.parquet", "summary.json"} <= set(os.listdir(out))


def test_a_terminal_that_has_few_letters_ends_no_command(estimated):
    done, _ = estimated
    assert "–" in done.stdout.decode("cp1252")
    assert done.stderr == b""


@pytest.mark.parametrize("terminal", ["ascii", "cp1252", "cp437"])
def test_every_command_explains_itself_on_every_terminal(tmp_path, terminal):
    for words in (("--help",), ("estimate", "--help"), ("serve", "--help")):
        done = run(command(*words), folder=tmp_path, terminal=terminal)
        assert done.returncode == 0, done.stderr.decode(errors="replace")


def test_json_loses_no_letter_where_the_terminal_lacks_it(tmp_path):
    text = ascii("Peña 咖啡 –")
    code = f"from geomap.commands.terminal import say_json, settle_streams; settle_streams(); say_json({text})"
    done = run(code, folder=tmp_path)
    assert json.loads(done.stdout.decode("cp1252")) == "Peña 咖啡 –"


def test_the_service_starts_and_answers_without_names_of_posix(tmp_path):
    code = f"""
from fastapi.testclient import TestClient
from api import job_child, job_process, serve, worker
from geomap.store import open_store
from geomap.store.setup import prepare
store = open_store("sqlite:///{(tmp_path / "a.sqlite").as_posix()}")
prepare(store)
app, link = serve.local_app(store, 8123)
with TestClient(app, base_url="http://127.0.0.1:8123") as client:
    assert client.get(link, follow_redirects=False).status_code in (200, 303)
    assert client.get("/").status_code == 200
assert job_process._cause(-9, job_process.JOB_LIMITS)
job_child.settle({{}}, parent=1)  # takes no limits there, and says so in docs/windows.md
print("served")
"""
    done = run(PRELUDE + code, folder=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, b"served"), done.stderr.decode(errors="replace")


def test_what_needs_a_cut_off_reader_is_refused_where_none_can_be_had(tmp_path):
    """Windows takes no network away from a process: GDAL's formats are refused, GeoJSON, CSV and XLSX are not."""
    code = """
import geomap.sandbox as sandbox
from geomap.errors import FileError
sandbox.confine = lambda *_, **__: None
try:
    raise sandbox._unsafe(sandbox.Path("plots.gpkg"))
except FileError as error:
    assert "GeoJSON, CSV or XLSX" in str(error)
assert sandbox.network_open()
"""
    done = run(PRELUDE + code, folder=tmp_path)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def test_the_start_file_ends_its_lines_as_windows_does_and_holds_plain_letters():
    content = (HERE / "start" / "start-geomap.bat").read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 20
    assert content.isascii()
    assert b"--require-hashes -r requirements.lock" in content
    assert (HERE / "start" / ".gitattributes").read_text().startswith("*.bat text eol=crlf")


@pytest.mark.parametrize("name", ["CON", "aux", "nul.txt", "A:B", "a/b", "..", "x" * 300, "é" * 80, "合作社", "a. "])
def test_no_name_of_a_cooperative_or_column_becomes_a_file_that_windows_refuses(name):
    from geomap.outputs.documents import _stem
    from geomap.outputs.tables import by_names

    reserved = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
    for file in (f"harvest_summary_{_stem(1, name)}.png", *by_names([name])):
        assert not reserved.match(file)
        assert not re.search(r'[<>:"/\\|?*\x00-\x1f]', file)
        assert not file.endswith((".", " "))
        assert len(file) < 100


def test_columns_that_differ_in_case_alone_get_files_of_their_own():
    from geomap.outputs.tables import by_names

    names = by_names(["Village", "village", "VILLAGE"])
    assert len({name.casefold() for name in names}) == 3
