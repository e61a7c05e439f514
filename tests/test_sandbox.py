"""The child: what it may do, what it may not, and that its end is never the parent's."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from geomap import sandbox
from geomap.confine import network_open
from geomap.errors import ColumnError, FileError
from geomap.sandbox import ALLOWED_DRIVERS, Limits, ReaderFailedError, run, skipped_drivers

READERS = """
import ctypes, os, signal, socket, subprocess, sys, time
from pathlib import Path
import pandas as pd
from geomap.confine import network_open
from geomap.errors import ColumnError

def told(**columns):
    return {"told": pd.DataFrame({name: [value] for name, value in columns.items()})}

def tables(path, folder, *, words):
    names = pd.Index(["00123", "ñ"], name="plot_id", dtype="str")
    plots = pd.DataFrame({"name": [path.read_text(), words], "ha": [0.5, float("nan")], "row": [1, 2],
                          "ok": [True, False], "shape": [b"\\x01", None]}, index=names)
    return {"plots": plots, "findings": plots.iloc[:0]}

def surroundings(path, folder):
    return told(cwd=os.getcwd(), folder=str(folder), environment=repr(dict(os.environ)), open=network_open())

def drivers(path, folder):
    import pyogrio, rasterio
    with rasterio.Env() as gdal:
        return told(vector=",".join(pyogrio.list_drivers()), raster=",".join(gdal.drivers()))

def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"

def forbidden(path, folder, *, outside):
    calls = ctypes.CDLL(None, use_errno=True)
    return told(
        socket=tried(lambda: socket.socket()),
        unix=tried(lambda: socket.socket(socket.AF_UNIX)),
        pair=tried(socket.socketpair),
        program=tried(lambda: os.execv("/bin/true", ["true"])),
        read=tried(lambda: open(outside).read()),
        write=tried(lambda: open(outside + ".new", "w")),
        beside=tried(lambda: open(path.with_name("other.txt")).read()),
        link=tried(lambda: os.symlink(outside, folder / "link")),
        ring=str(calls.syscall(425, 1, ctypes.create_string_buffer(120))),
    )

def sums_only_files(path, folder):
    (folder / "scratch").mkdir()
    (folder / "scratch" / "a").write_text("a")
    (folder / "scratch" / "a").unlink()
    return told(done=True)

def beside(path, folder):
    return told(text=path.with_suffix(".two").read_text(), names=",".join(sorted(os.listdir(path.parent))))

def raises(path, folder):
    raise ColumnError(f"{path}: two columns.", why="Why.", todo="Do.")

def unexpected(path, folder):
    raise RuntimeError("secret of " + str(path))

def aborts(path, folder): os.abort()
def segfaults(path, folder): ctypes.string_at(0)
def leaves(path, folder): os._exit(0)
def hangs(path, folder): time.sleep(600)
def loops(path, folder):
    while True:
        pass
def hoards(path, folder): return told(size=len(bytearray(2**33)))
def fills(path, folder):
    with open(folder / "big", "wb") as stream:
        while True:
            stream.write(bytes(1 << 20))
def shouts(path, folder):
    for _ in range(1600):
        os.write(2, b"x" * 65_536)
    return told(done=True)
def multiplies(path, folder):
    if os.fork() == 0:
        time.sleep(600)
    (folder / "forked").write_text("yes")
    time.sleep(600)
def answers_with(path, folder, *, text):
    (folder.parent / "answer.json").write_text(text)
    os._exit(0)
def answers_with_pipe(path, folder):
    os.mkfifo(folder.parent / "answer.json")
    os._exit(0)
"""

SHORT = Limits(memory_bytes=2**31, cpu_s=2, wall_s=4.0, file_bytes=10_000_000)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can cut a process off")


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """A file to read, beside one that must not be read; readers are importable, private folders lie in `temp`."""
    for name in ("code", "files", "temp"):
        (tmp_path / name).mkdir()
    (tmp_path / "code" / "readers_for_tests.py").write_text(READERS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "files" / "other.txt").write_text("canary", encoding="utf-8")
    (tmp_path / "files" / "plots.one").write_text("content", encoding="utf-8")
    return tmp_path / "files" / "plots.one"


def told(name: str, path: Path, **options) -> dict[str, object]:
    return run(f"readers_for_tests:{name}", path, **options)["told"].iloc[0].to_dict()


def failure(name: str, path: Path, **options) -> str:
    with pytest.raises(ReaderFailedError) as caught:
        run(f"readers_for_tests:{name}", path, **{"limits": SHORT} | options)
    message = str(caught.value)
    assert caught.value.code == "reader_failed"
    assert message.startswith("plots.one made its reader fail")
    assert str(path.parent) not in message
    assert "secret" not in message and "Traceback" not in message
    return message


# ---- what comes back ----


def test_tables_come_back_as_they_were(path):
    found = run("readers_for_tests:tables", path, options={"words": "Ngọc Ánh"})
    names = pd.Index(["00123", "ñ"], name="plot_id", dtype="str")
    columns = {
        "name": pd.Series(["content", "Ngọc Ánh"], index=names, dtype="str"),
        "ha": [0.5, float("nan")],
        "row": [1, 2],
        "ok": [True, False],
        "shape": pd.Series([b"\x01", None], index=names, dtype=object),
    }
    pd.testing.assert_frame_equal(found["plots"], pd.DataFrame(columns, index=names))
    assert list(found) == ["plots", "findings"]
    assert found["findings"].empty


def test_what_the_reader_raises_is_raised_here_without_its_place(path):
    with pytest.raises(ColumnError) as caught:
        run("readers_for_tests:raises", path)
    assert (caught.value.found, caught.value.why, caught.value.todo) == ("plots.one: two columns.", "Why.", "Do.")


def test_nothing_is_left_behind(path, tmp_path):
    before = sorted(entry.name for entry in path.parent.iterdir())
    run("readers_for_tests:sums_only_files", path)
    failure("aborts", path)
    failure("hangs", path)
    assert sorted(entry.name for entry in path.parent.iterdir()) == before
    assert list((tmp_path / "temp").iterdir()) == []


def test_folders_of_killed_processes_go_once_they_are_a_day_old(path, tmp_path):
    temp = tmp_path / "temp"
    fresh, stale, other = (temp / name for name in ("geomap-child-fresh", "geomap-child-stale", "geomap-photos"))
    for folder in (fresh, stale, other):
        (folder / "work").mkdir(parents=True)
    (temp / "geomap-child-link").symlink_to(other)
    for folder in (stale, other):
        os.utime(folder, (0, 0))
    sandbox._sweep.cache_clear()
    run("readers_for_tests:sums_only_files", path)
    # a fresh one may belong to a reader at work; what is not ours by name, or only a link, is left alone
    assert {entry.name for entry in temp.iterdir()} == {fresh.name, other.name, "geomap-child-link"}
    stale.mkdir()
    os.utime(stale, (0, 0))
    run("readers_for_tests:sums_only_files", path)
    assert stale.exists()  # a process looks once, when it starts to read


# ---- what the child finds around it ----


def test_the_child_has_no_home_and_no_credentials(path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-cloud")
    monkeypatch.setenv("GEOMAP_API_STORE", "canary-of-the-store")
    monkeypatch.setenv("GDAL_DRIVER_PATH", "canary-of-gdal")
    found = told("surroundings", path)
    assert "canary" not in found["environment"]
    environment = eval(found["environment"])
    assert environment["HOME"] == environment["TMPDIR"] == found["cwd"] == found["folder"]
    assert environment["PROJ_NETWORK"] == "OFF"
    assert not Path(found["folder"]).exists()


def test_only_the_allowed_drivers_are_left_in_both_libraries(path):
    found = told("drivers", path)
    vector, raster = (set(found[kind].split(",")) for kind in ("vector", "raster"))
    assert vector == {"ESRI Shapefile", "GPKG", "KML", "LIBKML", "MEM"}
    assert raster == {"ESRI Shapefile", "GPKG", "GTiff", "MEM", "Memory"}
    assert not ALLOWED_DRIVERS & set(skipped_drivers().split(","))
    assert {"OGR_VRT", "VRT", "WMS", "WFS", "HTTP", "GeoJSON", "GML", "CSV"} <= set(skipped_drivers().split(","))


@linux
def test_the_child_has_no_network_and_the_parent_keeps_its_own(path):
    assert network_open()  # else the next line could not fail
    assert not told("surroundings", path)["open"]
    assert network_open()


@linux
def test_the_child_opens_no_socket_no_program_and_no_other_file(path, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("canary", encoding="utf-8")
    found = told("forbidden", path, options={"outside": str(outside)})
    assert {found.pop(name) for name in ("socket", "unix", "pair", "program")} == {"PermissionError"}
    assert found.pop("ring") == "-1"
    assert set(found.values()) == {"PermissionError"}, "needs a kernel with Landlock"
    assert not Path(f"{outside}.new").exists()


def test_files_that_belong_to_it_may_be_read_and_their_folder_listed(path):
    second = path.with_suffix(".two")
    second.write_text("two", encoding="utf-8")
    assert told("beside", path, beside=[second]) == {"text": "two", "names": "other.txt,plots.one,plots.two"}


def test_where_the_network_stays_open_a_format_that_could_use_it_is_refused(path, tmp_path):
    # A stand-in for a system on which a process cannot be cut off: the child without its confinement.
    answer = {}
    for needs_no_network in (True, False):
        folder = tmp_path / f"private{needs_no_network}"
        (folder / "work").mkdir(parents=True)
        request = {
            "reader": "readers_for_tests:surroundings",
            "file": str(path),
            "folder": str(folder),
            "beside": [],
            "options": {},
            "limits": vars(Limits()),
            "needs_no_network": needs_no_network,
        }
        code = (
            "import json, sys; sys.path.append(sys.argv[2]); import geomap.sandbox as sandbox;"
            "sandbox.confine = lambda *places, **limits: None; sandbox._serve(json.loads(sys.argv[1]))"
        )
        subprocess.run([sys.executable, "-c", code, json.dumps(request), tmp_path / "code"], check=True)
        answer[needs_no_network] = json.loads((folder / "answer.json").read_text())
    assert answer[False] == {"tables": ["told"]}
    assert answer[True]["error"]["code"] == "file"
    assert "cut off from the network" in answer[True]["error"]["found"]


# ---- what may go wrong in the child ----


@pytest.mark.parametrize("name", ["aborts", "segfaults", "leaves", "unexpected", "hoards", "fills"])
def test_a_child_that_dies_is_an_error_with_a_code(name, path):
    failure(name, path)


def test_a_child_that_hangs_is_ended_in_time(path):
    start = time.monotonic()
    assert "took longer than 1 seconds" in failure("hangs", path, limits=Limits(wall_s=1.0))
    assert time.monotonic() - start < 4


def test_a_child_that_turns_in_circles_is_ended_by_its_processor_time(path):
    assert "processor time" in failure("loops", path, limits=Limits(cpu_s=1, wall_s=30.0))


def test_memory_stays_within_the_limit(path):
    failure("hoards", path)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < 3 * 2**30


def test_a_hundred_megabytes_of_complaints_are_cut(path, caplog):
    with caplog.at_level(logging.DEBUG, logger="geomap.sandbox"):
        assert told("shouts", path) == {"done": True}
    assert len(caplog.text) < 70_000


def test_what_the_child_started_ends_with_it(path):
    failure("multiplies", path)
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert [line for line in lines if str(path.parents[1]) in line] == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"tables": 3}', '{"tables": ["told"]}', '{"error": 1}', '{"error": {"code": "file"}}'],
)
def test_an_answer_that_is_none_is_an_error_with_a_code(text, path):
    failure("answers_with", path, options={"text": text})


def test_a_pipe_instead_of_an_answer_does_not_hold_the_parent(path):
    failure("answers_with_pipe", path)


def test_a_link_to_another_file_is_no_answer(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        sandbox._read_own(tmp_path / "link", 100)
    with pytest.raises(ValueError, match="too large"):
        sandbox._read_own(path, 3)
    assert sandbox._read_own(path, 100) == b"content"


@linux
def test_the_child_dies_with_its_parent(path, tmp_path):
    code = (
        "import sys; sys.path.append(sys.argv[2]); from pathlib import Path; from geomap.sandbox import run;"
        "run('readers_for_tests:hangs', Path(sys.argv[1]))"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, path, tmp_path / "code"], env=os.environ | {"TMPDIR": str(tmp_path / "temp")}
    )
    children = wait_for(lambda: Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split())
    wait_for(lambda: list((tmp_path / "temp").glob("*/request.json")))
    time.sleep(1)  # the child has asked to die with its parent by then
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not alive(int(children[0])))


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds: float = 10.0):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def test_an_error_of_an_unknown_code_is_a_file_error(path):
    error = sandbox._error({"code": "new", "found": f"{path} is bad.", "why": "", "todo": ""}, path)
    assert type(error) is FileError
    assert error.found == "plots.one is bad."
