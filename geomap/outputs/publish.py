"""A folder of results put in place as a whole: readers meet the old one or the new one, never a part of each.

The new folder is made complete in a hidden folder beside the old one and flushed to the disk. Then the old folder is
renamed aside, the new one renamed in, and the old one deleted. Replacing file by file would keep the folder's name in
place without a gap, but a crash would leave files of two runs. Here a crash between the two renames leaves the old
folder whole beside its place, and the next run puts it back.
"""

import errno
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from geomap.errors import OutputError
from geomap.sandbox import is_leftover

MARK: Final = "geomap-run/1"
"""The value of "format" in the summary.json of a folder that is ours to replace."""


@contextmanager
def publish(out: Path) -> Iterator[Path]:
    """An empty folder to fill; when the block ends well it becomes `out`, else `out` stays as it was.

    Of an earlier run in `out` the files that its summary.json names are replaced or dropped; all others are kept.

    Raises
    ------
    OutputError : `out` holds other things, or the disk is full or refuses.
    """
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _tidy(out)
        _require_ours(out)
        staging = Path(tempfile.mkdtemp(prefix=_prefix(out), dir=out.parent))
        new, old = staging / "new", staging / "old"
        try:
            new.mkdir()
            yield new
            _flush(new)
            _keep_others(out, new, _require_ours(out))
            _sync(new)
            _swap(out, new, old)
        finally:
            if out.exists() or not old.exists():
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"The results cannot be written to {out}: {error.strerror or error}.",
            why="Nothing there was changed.",
            todo=_todo(error),
        ) from error


def put_file(path: Path, write: Callable[[Path], object]) -> None:
    """One file made by `write` in a draft beside it; `path` gets all of it or stays as it was.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
            if left.suffix[1:].isdigit() and left.is_file() and is_leftover(left):
                left.unlink(missing_ok=True)
        try:
            write(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.",
            why="The file that was there is whole.",
            todo="Close it if a spreadsheet program has it open, name another place, or make room.",
        ) from error


def _todo(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some space on that disk, or choose a folder on another one."
    return "Choose a folder in which you may write, and close programs that have its files open."


def _prefix(out: Path) -> str:
    return f".{out.name}.geomap-"


def _tidy(out: Path) -> None:
    """Put back an old folder that a killed attempt left aside, and remove what such attempts left."""
    for staging in sorted(out.parent.glob(glob.escape(_prefix(out)) + "*")):
        old = staging / "old"
        left_aside = old.exists()
        if left_aside and not out.exists():
            os.rename(old, out)
        if left_aside or is_leftover(staging):
            shutil.rmtree(staging, ignore_errors=True)
    for staging in sorted(out.parent.glob(".*.geomap-*")):
        # of other results: those that hold an old folder wait until these results are written again
        if is_leftover(staging) and [entry.name for entry in staging.iterdir()] in ([], ["new"]):
            shutil.rmtree(staging, ignore_errors=True)


def _require_ours(out: Path) -> set[str]:
    """Names of the earlier run's files in `out`; none where it does not exist or is empty."""
    if not out.exists():
        return set()
    if not out.is_dir():
        raise OutputError(f"{out} is a file.", why="Results are a folder of files.", todo="Choose another name.")
    if os.path.ismount(out) or Path.cwd().is_relative_to(out):
        raise OutputError(
            f"{out} is {'a mounted disk' if os.path.ismount(out) else 'the folder you stand in'}.",
            why="Results are put in place as a whole folder, and this one cannot be exchanged.",
            todo=f"Choose a folder inside it, such as {out / 'run'}.",
        )
    others = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    if not others:
        return set()
    try:
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        if summary["format"] == MARK:
            return {*summary["files"], "summary.json", "timings.json"}
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError):
        pass
    raise OutputError(
        f"{out} holds other files ({', '.join(others[:3])}{', …' if len(others) > 3 else ''}) and no earlier run.",
        why="They could be mistaken for results. Nothing was written.",
        todo="Choose a new or empty folder.",
    )


def _keep_others(out: Path, new: Path, ours: set[str]) -> None:
    """Files that are not of the earlier run stand in the new folder too: the same files, not copies, where it can."""
    for path in sorted(out.iterdir()) if out.exists() else ():
        if path.name in ours:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True, copy_function=_link)
        else:
            _link(path, new / path.name)
    if out.exists():
        shutil.copymode(out, new)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without hard links
        shutil.copy2(source, target, follow_symlinks=False)


def _flush(folder: Path) -> None:
    """What the files in the folder hold is on the disk, not only in memory."""
    for path in sorted(folder.iterdir()):
        with path.open("r+b") as file:
            os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """The names in the folder are on the disk; Windows does that by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _swap(out: Path, new: Path, old: Path) -> None:
    try:
        if out.exists():
            os.rename(out, old)
        os.rename(new, out)
    except BaseException:
        if old.exists() and not out.exists():
            os.rename(old, out)
        raise
    with suppress(OSError):  # the results are in place; that the names are on the disk too is best effort
        _sync(out.parent)
