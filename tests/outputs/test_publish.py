import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from geomap.errors import OutputError
from geomap.outputs import publish as publishing
from geomap.outputs.publish import MARK, publish, put_file

STEPS = ((os, "fsync"), (os, "rename"), (os, "link"), (os, "mkdir"), (Path, "open"))


def put(out, text):
    """Results of two files in `out`."""
    with publish(out) as folder:
        (folder / "a.csv").write_text(text)
        (folder / "b.csv").write_text(text)
        (folder / "summary.json").write_text(json.dumps({"format": MARK, "files": {"a.csv": {}, "b.csv": {}}}))
        (folder / "timings.json").write_text("{}")


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder):
    return {path.name for path in folder.iterdir()}


RESULTS = {"a.csv", "b.csv", "summary.json", "timings.json"}


# Where results may stand


def test_missing_parent_folders_are_made(tmp_path):
    put(tmp_path / "a" / "b" / "out", "new")
    assert names(tmp_path / "a" / "b" / "out") == RESULTS


def test_an_empty_folder_is_filled_and_hidden_files_do_not_count(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".hidden").write_text("kept")
    put(tmp_path / "out", "new")
    assert names(tmp_path / "out") == RESULTS | {".hidden"}


@pytest.mark.parametrize(
    "summary", [None, "{}", "[]", "not json", '{"format": "other"}', '{"format": "geomap-run/1", "files": 3}']
)
def test_a_folder_with_other_things_is_refused_and_stays(tmp_path, summary):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.doc").write_text("years of work")
    if summary is not None:
        (out / "summary.json").write_text(summary)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"thesis\.doc.*no earlier run.*Choose a new or empty folder"):
        put(out, "new")
    assert contents(tmp_path) == before


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="is a file"):
        put(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "a file"


def test_the_folder_one_stands_in_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"the folder you stand in.*Choose a folder inside it"):
        put(Path("."), "new")
    assert names(tmp_path) == set()


def test_a_mounted_disk_itself_is_refused(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(OutputError, match=r"a mounted disk.*Choose a folder inside it"):
        put(tmp_path / "out", "new")


def test_a_link_to_a_folder_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    put(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == RESULTS


# What happens to files that are not of the run


def test_other_files_stay_the_same_files(tmp_path):
    out = tmp_path / "out"
    put(out, "old")
    out.chmod(0o750)
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("mine")
    (out / "shortcut").symlink_to("nowhere")
    before = (out / "notes" / "mine.txt").stat().st_ino
    put(out, "new")
    assert names(out) == RESULTS | {"notes", "shortcut"}
    assert (out / "notes" / "mine.txt").stat().st_ino == before
    assert os.readlink(out / "shortcut") == "nowhere"
    assert out.stat().st_mode & 0o777 == 0o750
    assert (out / "a.csv").read_text() == "new"
    assert names(tmp_path) == {"out"}


def test_other_files_are_copied_where_there_are_no_hard_links(tmp_path, monkeypatch):
    put(tmp_path / "out", "old")
    (tmp_path / "out" / "letter.txt").write_text("mine")

    def no_links(*args, **options):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    put(tmp_path / "out", "new")
    assert (tmp_path / "out" / "letter.txt").read_text() == "mine"


# Failures: old or new, never a part


def break_at(monkeypatch, step, error):
    """Raise `error` at the n-th of the steps that publishing takes; the list returned tells the steps taken."""
    calls = []

    def breaking(name, real):
        def call(*args, **options):
            calls.append(name)
            if len(calls) == step:
                raise error
            return real(*args, **options)

        return call

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, breaking(name, getattr(owner, name)))
    return calls


@pytest.mark.parametrize("earlier", [True, False], ids=["over an earlier run", "new"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["disk full", "interrupt"]
)
def test_a_failure_at_any_step_leaves_the_old_results_or_the_new(tmp_path, monkeypatch, error, earlier):
    out = tmp_path / "out"
    for step in range(1, 100):
        shutil.rmtree(out, ignore_errors=True)
        if earlier:
            put(out, "old")
            (out / "letter.txt").write_text("mine")
        with monkeypatch.context() as patch:
            calls = break_at(patch, step, error)
            try:
                put(out, "new")
                texts = {"new"}
            except OutputError:
                texts = {"old"}
            except KeyboardInterrupt:
                texts = {"old", "new"}
        assert names(tmp_path) <= {"out"}
        assert out.exists() if earlier else out.exists() or "old" in texts
        if out.exists():
            found = contents(out)
            assert set(found) == RESULTS | ({"letter.txt"} if earlier else set())
            assert found["a.csv"] == found["b.csv"]
            assert found["a.csv"].decode() in texts
        if len(calls) < step:
            break
    assert len(calls) < step  # the last attempt went through unbroken
    assert calls.count("fsync") == len(RESULTS) + 2  # each file, the new folder, and the one above it
    assert calls.count("rename") == 1 + earlier


def test_files_are_on_the_disk_before_they_are_in_place(tmp_path, monkeypatch):
    put(tmp_path / "out", "old")
    calls = break_at(monkeypatch, 0, None)
    put(tmp_path / "out", "new")
    flushed = len(RESULTS) + 1
    order = [name for name in calls if name in ("fsync", "rename")]
    assert order == ["fsync"] * flushed + ["rename", "rename", "fsync"]


def test_a_failure_while_the_files_are_made_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), publish(tmp_path / "out") as folder:
        (folder / "half.txt").write_text("half")
        raise ZeroDivisionError
    assert names(tmp_path) == set()


@contextmanager
def somebody_without_rights():
    """The superuser may write everywhere, so the tests' process is nobody for a moment where it runs as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_place_is_an_error_with_advice():
    with TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o555)
        with pytest.raises(OutputError, match="Choose a folder in which you may write"), somebody_without_rights():
            put(place / "out", "new")
        assert names(place) == set()
        place.chmod(0o700)


def test_a_place_that_refuses_is_an_error_with_advice(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(publishing.tempfile, "mkdtemp", refuse)
    with pytest.raises(OutputError, match=r"Permission denied.*Choose a folder in which you may write"):
        put(tmp_path / "out", "new")
    assert names(tmp_path) == set()


KILLED = """
import os, sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from geomap.outputs.publish import publish
real, calls = os.rename, []
def rename(*args):
    calls.append(args)
    os._exit(9) if len(calls) == int(sys.argv[2]) else real(*args)
os.rename = rename
with publish(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
"""


@pytest.mark.parametrize(("at", "in_place"), [(1, True), (2, False)])
def test_old_results_outlive_a_killed_attempt(tmp_path, at, in_place):
    out = tmp_path / "out"
    put(out, "old")
    old = contents(out)
    killed = subprocess.run([sys.executable, "-c", KILLED, out, str(at)], check=False, timeout=120)
    assert killed.returncode == 9
    assert out.exists() == in_place  # between the two renames the old results stand beside their place
    with pytest.raises(ZeroDivisionError), publish(out):
        assert contents(out) == old  # the next attempt has put them back
        raise ZeroDivisionError
    assert contents(out) == old


def test_leftovers_of_killed_attempts_go_once_they_are_a_day_old(tmp_path):
    fresh, stale = tmp_path / ".out.geomap-fresh", tmp_path / ".out.geomap-stale"
    for folder in (fresh, stale):
        (folder / "new").mkdir(parents=True)
    os.utime(stale, (0, 0))
    put(tmp_path / "out", "new")
    assert names(tmp_path) == {"out", fresh.name}  # a fresh one may belong to an attempt under way


def test_leftovers_of_other_results_go_too_but_not_what_they_left_aside(tmp_path):
    half, aside, strange = (tmp_path / f".{name}.geomap-1" for name in ("half", "aside", "strange"))
    (half / "new").mkdir(parents=True)
    (aside / "old").mkdir(parents=True)  # the only copy of these results, until they are written again
    (strange / "holiday photos").mkdir(parents=True)
    link = tmp_path / ".link.geomap-1"
    link.symlink_to(strange)
    for folder in (half, aside, strange):
        os.utime(folder, (0, 0))
    put(tmp_path / "out", "new")
    assert names(tmp_path) == {"out", aside.name, strange.name, link.name}


def test_drafts_of_killed_attempts_go_once_they_are_a_day_old(tmp_path):
    fresh, stale, other = (tmp_path / name for name in (".a.csv.11", ".a.csv.12", ".a.csv.backup"))
    for path in (fresh, stale, other):
        path.write_text("half")
    for path in (stale, other):
        os.utime(path, (0, 0))
    put_file(tmp_path / "a.csv", lambda draft: draft.write_text("whole"))
    assert names(tmp_path) == {"a.csv", fresh.name, other.name}


def test_of_two_attempts_at_once_the_last_one_stands_whole(tmp_path):
    out = tmp_path / "out"
    put(out, "old")
    with publish(out) as folder:
        (folder / "summary.json").write_text(json.dumps({"format": MARK, "files": {}}))
        put(out, "in between")
    assert set(contents(out)) == {"summary.json"}
    assert names(tmp_path) == {"out"}
