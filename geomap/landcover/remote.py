"""One file on a web server, read piece by piece by range requests; what came stays on disk until the file is done.

Decision. GDAL's own network reader hides what goes wrong and how much is read, and its settings hold for the whole
process. Here GDAL sees a plain file whose bytes are asked for by `urllib`: http and https only, each answer checked for
its range, length and version, pieces kept so that a download that was cut goes on where it stopped.
"""

import io
import json
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, Final
from urllib import request as web
from urllib.error import HTTPError
from urllib.parse import urlsplit

from geomap.errors import GeomapError, OutputError, RasterError

PIECE: Final = 65_536
MOST_BYTES_AT_ONCE: Final = 16 * 2**20
MOST_BYTES_A_READ: Final = 256 * 2**20
WAITS_S: Final = (0.5, 1.0, 2.0)
"""Pauses before a request is sent again; then the server counts as out of reach."""

_TIMEOUT_S: Final = 30.0
_RECORD: Final = struct.Struct("<QII")  # number of the piece, its bytes, their CRC-32
_GONE: Final = frozenset({404, 410})
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class NoSuchFileError(Exception):
    """The server has no file of this address; whoever asked knows whether that is a fault."""


class _Redirect(web.HTTPRedirectHandler):
    """Follows to http and https alone, and never from https to http."""

    def redirect_request(  # noqa: PLR0917  # as the library calls it
        self, req: web.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> web.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in {"http", "https"} or (urlsplit(req.full_url).scheme == "https" and scheme != "https"):
            raise HTTPError(req.full_url, code, "redirected to another kind of address", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_address(text: str) -> bool:
    """Whether the text is an address on a web server, without a name or password in it.

    Examples
    --------
    >>> [is_address(text) for text in ("https://example.org/a.tif", "a.tif", "ftp://example.org/a.tif", "http://")]
    [True, False, False, False]
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc and text.isprintable()


class RemoteFile:
    """A file on a web server.

    Parameters
    ----------
    address : http or https.
    part : where pieces are kept; pieces of an earlier, cut download of the same version of the file are used.

    Attributes
    ----------
    size : bytes of the whole file. version : the server's mark for this version of it. fetched : bytes received.

    Raises
    ------
    RasterError : the server is out of reach, refuses, or sends only whole files.
    NoSuchFileError : it has no such file.
    """

    def __init__(self, address: str, part: Path) -> None:
        if not is_address(address):
            raise RasterError(f"{address[:80]!r} is no http or https address.", todo="Check it.")
        self.address, self.fetched, self.size, self.version = address, 0, -1, ""
        self.error: GeomapError | None = None
        self._part = part
        self._pieces: _Pieces | None = None
        try:
            self._fetch_run([0])
        except BaseException:
            self.close()
            raise

    @property
    def _kept(self) -> "_Pieces":
        assert self._pieces is not None  # made by the first answer
        return self._pieces

    def close(self) -> None:
        if self._pieces is not None:
            self._pieces.close()

    def discard(self) -> None:
        """Close, and remove the pieces."""
        self.close()
        self._part.unlink(missing_ok=True)

    def fetch(self, spans: Iterable[tuple[int, int]]) -> None:
        """Get the bytes from first to last (excluded) of every span, neighbours in one request."""
        last = (self.size - 1) // PIECE
        wanted = {piece for first, end in spans for piece in range(first // PIECE, min((end - 1) // PIECE, last) + 1)}
        run: list[int] = []
        for piece in sorted(wanted - self._kept.places.keys()):
            if run and (piece != run[-1] + 1 or len(run) * PIECE >= MOST_BYTES_AT_ONCE):
                self._fetch_run(run)
                run = []
            run.append(piece)
        if run:
            self._fetch_run(run)

    def read(self, start: int, count: int) -> bytes:
        """Bytes from `start` on."""
        end = min(start + count, self.size)
        if start >= end:
            return b""
        if end - start > MOST_BYTES_A_READ:
            raise RasterError(
                f"{self.name} on {self.host} has a part of {(end - start) / 2**20:,.0f} MB that is read at once.",
                why="A file for reading in parts has small blocks; this one is damaged or made another way.",
                todo="Download the file yourself and name it with --raster.",
            )
        self.fetch([(start, end)])
        first = start // PIECE
        data = b"".join(self._kept.get(piece) for piece in range(first, (end - 1) // PIECE + 1))
        return data[start - first * PIECE : end - first * PIECE]

    def opener(self, path: str, mode: str = "rb") -> "_View":
        """What `rasterio.open(opener=...)` calls."""
        return _View(self)

    def _fetch_run(self, run: list[int]) -> None:
        """Get neighbouring pieces; when the connection is cut, the rest is asked for again."""
        failures = 0
        while run:
            try:
                self._answer(run)
                return
            except HTTPError as error:
                error.close()
                failures += 1
                if error.code not in _TRY_AGAIN or failures > len(WAITS_S):
                    raise self._refused(error.code) from error
            except (OSError, HTTPException) as error:  # URLError, time-outs and cut connections
                rest = run if self._pieces is None else [one for one in run if one not in self._pieces.places]
                failures = failures + 1 if rest == run else 1
                if failures > len(WAITS_S):
                    raise self._out_of_reach(error) from error
                run = rest
            time.sleep(WAITS_S[failures - 1])

    def _answer(self, run: list[int]) -> None:
        """Ask once, and keep each piece as it comes."""
        start, end = run[0] * PIECE, (run[-1] + 1) * PIECE
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity", "User-Agent": "geomap"}
        with _opener().open(web.Request(self.address, headers=headers), timeout=_TIMEOUT_S) as answer:
            size = _size(str(answer.headers.get("Content-Range", "")), start)
            if answer.status != 206 or size is None:
                raise self._no_ranges()
            version = str(answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
            if self._pieces is None:
                self.size, self.version = size, version
                told = {"address": self.address, "bytes": size, "version": version}
                self._pieces = _Pieces(self._part, told)
            if (size, version) != (self.size, self.version):
                raise RasterError(
                    f"{self.name} changed on {self.host} while it was read.",
                    why="Parts of two versions would stand in one file.",
                    todo="Run the same command again.",
                )
            for piece in run:
                length = min(PIECE, size - piece * PIECE)
                data = answer.read(length)
                self.fetched += len(data)
                if len(data) != length:
                    raise HTTPException("the answer ended early")
                self._pieces.add(piece, data)

    @property
    def name(self) -> str:
        return urlsplit(self.address).path.rpartition("/")[2]

    @property
    def host(self) -> str:
        return str(urlsplit(self.address).hostname)

    def _refused(self, status: int) -> Exception:
        if status in _GONE and self._pieces is None:
            return NoSuchFileError(self.name)
        return RasterError(
            f"{self.host} answers {status} for {self.name}.",
            why="Without it there is no land cover there.",
            todo="Try again later, or download the file another way and name it with --raster.",
        )

    def _no_ranges(self) -> RasterError:
        return RasterError(
            f"{self.host} sends {self.name} only as a whole.",
            why="Windows around the plots are read by range requests; the whole file may be many gigabytes.",
            todo="Download the file yourself and name it with --raster.",
        )

    def _out_of_reach(self, error: Exception) -> RasterError:
        said = str(getattr(error, "reason", error)) or type(error).__name__
        return RasterError(
            f"{self.host} cannot be reached, or the connection was cut ({said}).",
            why=f"{self.name} is read from there.",
            todo="Check the network and run the same command again: what is here already is kept. Without a network, "
            "copy the file from elsewhere and name it with --raster.",
        )


class _View(io.RawIOBase):
    """A remote file as GDAL reads it. An error is kept for the caller: one raised in here would be lost in GDAL."""

    def __init__(self, remote: RemoteFile) -> None:
        self._remote, self._at = remote, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._remote.size)[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        if self._remote.error is not None:
            return b""
        try:
            data = self._remote.read(self._at, self._remote.size if count < 0 else count)
        except GeomapError as error:
            self._remote.error = error
            return b""
        self._at += len(data)
        return data


class _Pieces:
    """Pieces of one file on disk: a line that says of what, then number, length, checksum and bytes of each."""

    def __init__(self, path: Path, of: dict[str, Any]) -> None:
        self.path = path
        self.places: dict[int, tuple[int, int]] = {}
        head = json.dumps(of, sort_keys=True).encode() + b"\n"
        with _writing(path):
            path.touch()
            self._file = path.open("r+b")
            try:
                self._begin(head)
            except OSError:
                self.close()
                raise

    def _begin(self, head: bytes) -> None:
        if self._file.readline(len(head)) == head:
            self._index()
        else:  # of another file, or of another version
            self._file.seek(0)
            self._file.truncate()
            self._file.write(head)
            self._file.flush()

    def _index(self) -> None:
        """Find the pieces; the last may have been cut while it was written."""
        good = self._file.tell()
        while len(record := self._file.read(_RECORD.size)) == _RECORD.size:
            number, length, check = _RECORD.unpack(record)
            if length > PIECE:
                break
            data = self._file.read(length)
            if len(data) < length or zlib.crc32(data) != check:
                break
            self.places[number] = (good + _RECORD.size, length)
            good = self._file.tell()
        self._file.seek(good)
        self._file.truncate()

    def add(self, number: int, data: bytes) -> None:
        if number in self.places:
            return
        with _writing(self.path):
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(_RECORD.pack(number, len(data), zlib.crc32(data)) + data)
            self._file.flush()
        self.places[number] = (place + _RECORD.size, len(data))

    def get(self, number: int) -> bytes:
        place, length = self.places[number]
        self._file.seek(place)
        return self._file.read(length)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written has been told already
            self._file.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be written ({error.strerror or error}).",
            why="What comes from the server is kept there until the file is done.",
            todo="Free some space, or name another folder.",
        ) from error


def _opener() -> web.OpenerDirector:
    """Speaks http and https and nothing else: no files, no ftp, no data in the address."""
    director = web.OpenerDirector()
    for handler in (
        web.ProxyHandler(),
        web.UnknownHandler(),
        web.HTTPHandler(),
        web.HTTPSHandler(),
        web.HTTPDefaultErrorHandler(),
        web.HTTPErrorProcessor(),
        _Redirect(),
    ):
        director.add_handler(handler)
    return director


def _size(content_range: str, start: int) -> int | None:
    """Bytes of the whole file where the answer holds the range asked for.

    Examples
    --------
    >>> _size("bytes 0-99/1000", 0), _size("bytes 5-99/1000", 0), _size("", 0)
    (1000, None, None)
    """
    unit, _, rest = content_range.partition(" ")
    span, _, size = rest.partition("/")
    if unit != "bytes" or not size.isdigit() or span.partition("-")[0] != str(start):
        return None
    return int(size)
