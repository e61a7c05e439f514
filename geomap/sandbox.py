"""A disposable child process that reads one file from outside, so that a bad file can harm its own reading alone."""

import contextlib
import importlib
import json
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from geomap.confine import confine, network_open
from geomap.errors import FileError, GeomapError

if TYPE_CHECKING:
    import pandas as pd

Tables = Mapping[str, "pd.DataFrame"]
Reader = Callable[..., Tables]
"""Called in the child as reader(path, folder, **options); `folder` is private and goes with the child."""

ALLOWED_DRIVERS: Final = frozenset({"ESRI Shapefile", "GPKG", "KML", "LIBKML", "GTiff", "MEM", "Memory"})
"""GDAL drivers that the child may use. MEM and Memory hold data that GDAL makes itself."""

BLACK_HOLE: Final = "127.0.0.1:1"
ENVIRONMENT: Final = {
    "GDAL_HTTP_PROXY": BLACK_HOLE,
    "http_proxy": BLACK_HOLE,
    "https_proxy": BLACK_HOLE,
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "CPL_VSIL_CURL_HEADER_FILE_KVP_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO",
    "GDAL_CACHEMAX": "256",
    "GDAL_NUM_THREADS": "1",
    "GDAL_PAM_ENABLED": "NO",
    "OGR_GEOJSON_MAX_OBJ_SIZE": "50",
    "PROJ_NETWORK": "OFF",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}
"""Set before anything is imported: once GDAL has registered its drivers, these have no effect."""

_START: Final = (
    "import json, sys; request = json.load(open(sys.argv[1], encoding='utf-8')); "
    "sys.path[:] = request['path']; "  # so that the child runs the same code
    "from geomap.sandbox import _serve; _serve(request)"
)
_REQUEST, _ANSWER, _WORK = "request.json", "answer.json", "work"
PREFIX: Final = "geomap-child-"
DAY_S: Final = 86_400
_MOST_ANSWER_TEXT: Final = 1_000_000
_MOST_WORDS: Final = 4_000
_PARTS: Final = ("found", "why", "todo")
_log = logging.getLogger(__name__)


class ReaderFailedError(FileError):
    """A file that made its reader crash, hang, or need more than it may."""

    code = "reader_failed"


@dataclass(frozen=True)
class Limits:
    """What a child may use.

    memory_bytes : address space. cpu_s, wall_s : seconds of processor and of clock. file_bytes : largest file that it
    may write. answer_bytes : largest table it may answer with. stderr_bytes : what is kept of what it says.
    """

    memory_bytes: int = 3 * 2**30
    cpu_s: int = 60
    wall_s: float = 90.0
    file_bytes: int = 2 * 500_000_000
    answer_bytes: int = 1_000_000_000
    stderr_bytes: int = 65_536


def run(
    reader: str,
    path: Path,
    *,
    limits: Limits | None = None,
    options: Mapping[str, Any] | None = None,
    beside: Sequence[Path] = (),
    needs_no_network: bool = True,
) -> dict[str, "pd.DataFrame"]:
    """The tables that a reader finds in a file, read in a child process that ends with it.

    The child has an environment of its own (GDAL with the allowed drivers only, no home, no credentials), a private
    folder, limits, no sockets and no other files; see `geomap.confine`. Its tables come back as Arrow files.

    Parameters
    ----------
    reader : "module:function"; called as function(path, folder, **options), gives name → DataFrame.
    path : the file.
    limits : what the child may use.
    options : keywords of the reader, made of what JSON knows.
    beside : further files that belong to it, such as the parts of a Shapefile.
    needs_no_network : refuse the file where the child could still open a connection.

    Raises
    ------
    ReaderFailedError : the child crashed, hung, or needed more than its limits.
    GeomapError : what the reader itself raised.
    """
    limits, path = limits or Limits(), Path(os.path.abspath(path))
    _sweep(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as private:
        folder = Path(private).resolve()
        (folder / _WORK).mkdir()
        request = {
            "reader": reader,
            "file": str(path),
            "folder": str(folder),
            "beside": [os.path.abspath(place) for place in beside],
            "options": dict(options or {}),
            "limits": asdict(limits),
            "needs_no_network": needs_no_network,
            "path": [os.path.abspath(place) for place in sys.path if place],
        }
        (folder / _REQUEST).write_text(json.dumps(request), encoding="utf-8")
        status, said = _watch(folder, limits)
        _log.debug("the reader of %s ended with %s: %s", path.name, status, said.decode(errors="replace"))
        return _tables(folder, path, status, limits)


@cache
def skipped_drivers() -> str:
    """The drivers of the installed GDAL libraries that the child goes without, as GDAL_SKIP takes them."""
    import pyogrio
    import rasterio

    with rasterio.Env() as gdal:
        known = {*pyogrio.list_drivers(), *gdal.drivers()}
    return ",".join(sorted(known - ALLOWED_DRIVERS))


def is_leftover(path: Path, *, age_s: float = DAY_S) -> bool:
    """Whether a file or folder is this user's own, no link, and untouched for so long that nobody works on it."""
    try:
        facts = path.lstat()
    except OSError:  # another process was quicker
        return False
    own = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
    return own and not stat.S_ISLNK(facts.st_mode) and time.time() - facts.st_mtime > age_s


# ---- the parent's side ----


@cache
def _sweep(temporary: str) -> None:
    """Remove the private folders that killed processes left, once in the life of this one."""
    for folder in sorted(Path(temporary).glob(f"{PREFIX}*")):
        if is_leftover(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows starts nothing without
    own = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME"), str(folder / _WORK))
    return kept | ENVIRONMENT | own | {"GDAL_SKIP": skipped_drivers()}


def _watch(folder: Path, limits: Limits) -> tuple[int | None, bytes]:
    """Exit status of the child (None: it was ended for its time) and the start of what it said."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", "-c", _START, str(folder / _REQUEST)],
        cwd=folder / _WORK,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    said = bytearray()
    assert process.stderr is not None
    listener = threading.Thread(target=_listen, args=(process.stderr, said, limits.stderr_bytes), daemon=True)
    listener.start()
    try:
        return process.wait(timeout=limits.wall_s), bytes(said)
    except subprocess.TimeoutExpired:
        return None, bytes(said)
    finally:
        _end(process)
        listener.join(timeout=5)
        process.stderr.close()


def _listen(stream: IO[bytes], said: bytearray, most: int) -> None:
    """Keep the first bytes and let the rest go, so that a child can neither fill the memory nor wait for a reader."""
    with contextlib.suppress(OSError, ValueError):
        while block := os.read(stream.fileno(), 65_536):
            said += block[: most - len(said)]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the child and all it may have started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tables(folder: Path, path: Path, status: int | None, limits: Limits) -> dict[str, "pd.DataFrame"]:
    if status is None:
        raise _failed(path, f"it took longer than {limits.wall_s:,.0f} seconds")
    try:
        answer = json.loads(_read_own(folder / _ANSWER, _MOST_ANSWER_TEXT)) if status == 0 else None
        if not isinstance(answer, dict):
            raise _failed(path, _cause(status))
        if "error" in answer:
            raise _error(answer["error"], path)
        names = [str(name) for name in answer["tables"]]
        return {name: _table(folder / f"{number}.arrow", limits) for number, name in enumerate(names)}
    except (OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise _failed(path, "its answer could not be read") from error


def _cause(status: int) -> str:
    cpu = -status == getattr(signal, "SIGXCPU", 0)
    return "it used more processor time than it may" if cpu else "it crashed or needed more memory than it may"


def _failed(path: Path, cause: str) -> ReaderFailedError:
    return ReaderFailedError(
        f"{path.name} made its reader fail: {cause}.",
        why="The file is damaged, far larger than it seems, or made to do harm.",
        todo="Open it in the program it came from and export it again, best as GeoJSON or CSV.",
    )


def _read_own(place: Path, most: int) -> bytes:
    """The bytes of a file that the child wrote: a plain one, not too large, and no link to another place."""
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    handle = os.open(place, os.O_RDONLY | sum(flags))
    with os.fdopen(handle, "rb") as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
            raise ValueError("the answer is no plain file, or too large")
        return stream.read(facts.st_size)


def _table(place: Path, limits: Limits) -> "pd.DataFrame":
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.py_buffer(_read_own(place, limits.answer_bytes))).read_all()
        table.validate(full=True)
        return table.to_pandas()
    except pa.ArrowException as error:
        raise ValueError("the answer is no table") from error


def _error(said: Mapping[str, str], path: Path) -> GeomapError:
    """The error that the reader raised, by its code, without the place where the file lies."""
    known = {kind.code: kind for kind in _kinds(GeomapError)}
    found, why, todo = (str(said[part])[:_MOST_WORDS].replace(f"{path.parent}{os.sep}", "") for part in _PARTS)
    return known.get(str(said["code"]), FileError)(found, why=why, todo=todo)


def _kinds(kind: type[GeomapError]) -> Iterator[type[GeomapError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


# ---- the child's side ----


def _serve(request: Mapping[str, Any]) -> None:
    """Read the file and leave the answer in the private folder."""
    folder, path, limits = Path(request["folder"]), Path(request["file"]), Limits(**request["limits"])
    beside = [Path(place) for place in request["beside"]]
    confine(
        folder,
        [path, *beside, *({path.parent} if beside else ())],
        memory_bytes=limits.memory_bytes,
        cpu_s=limits.cpu_s,
        file_bytes=limits.file_bytes,
    )
    try:
        if request["needs_no_network"] and network_open():
            raise _unsafe(path)
        module, _, function = request["reader"].partition(":")
        reader: Reader = getattr(importlib.import_module(module), function)
        tables = reader(path, folder / _WORK, **request["options"])
        answer: dict[str, Any] = {"tables": _write(tables, folder)}
    except GeomapError as error:
        answer = {"error": _said(error)}
    except MemoryError:
        answer = {"error": _said(_failed(path, "it needed more memory than it may"))}
    (folder / _ANSWER).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)  # a library that trips over a bad file while it tidies up must not undo the answer


def _said(error: GeomapError) -> dict[str, str]:
    return {"code": error.code} | {part: getattr(error, part) for part in _PARTS}


def _write(tables: Tables, folder: Path) -> list[str]:
    import pyarrow as pa

    for number, table in enumerate(tables.values()):
        arrow = pa.Table.from_pandas(table)
        with pa.OSFile(str(folder / f"{number}.arrow"), "wb") as sink, pa.ipc.new_file(sink, arrow.schema) as writer:
            writer.write_table(arrow)
    return list(tables)


def _unsafe(path: Path) -> FileError:
    return FileError(
        f"{path.name} is of a format that is read only where the reader can be cut off from the network.",
        why="A file of this format can make its reader call other computers, and this system offers no way to stop it.",
        todo="Save it as GeoJSON, CSV or XLSX, or run geomap on Linux.",
    )
