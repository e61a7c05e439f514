"""ZIP archives from outside: judged by their directory, then copied member by member into a fresh one, and counted."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from geomap.errors import FileError
from geomap.plots.kinds import UNREADABLE_ZIP

MOST_NAME: Final = 255
BLOCK: Final = 1 << 20
SMALL: Final = 10_000_000
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_NESTED: Final = (".zip", ".kmz", ".7z", ".rar", ".gz", ".tar", ".tgz", ".bz2", ".xz")
_DAMAGE: Final = (*UNREADABLE_ZIP, zipfile.LargeZipFile, zlib.error, struct.error)
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_WHY_ARCHIVE: Final = "An archive that is not plain could write over other files, or fill the disk."
_REMEDY_ARCHIVE: Final = "Pack the files again with an ordinary program, without a password and without other archives."


class ArchiveError(FileError):
    """An archive that is damaged, or built in a way that no ordinary program builds it."""

    code = "archive"


class FileTooLargeError(FileError):
    """A file that holds more than an upload may."""

    code = "file_too_large"


@dataclass(frozen=True)
class Room:
    """How much an archive may hold: entries, bytes unpacked, and bytes unpacked for each byte packed.

    The ratio counts only beyond `SMALL` bytes: an honest table of a few empty columns shrinks a thousandfold.
    """

    entries: int
    unpacked_bytes: int
    ratio: float


def copy_archive(
    path: Path, target: Path, *, wanted: Callable[[str], bool], room: Room | None = None, may_nest: bool = False
) -> Path:
    """A fresh archive at `target` with the wanted members only, unpacked once to be counted, stored as they are.

    The directory is judged first: no name twice (case does not count), none that leads elsewhere, no link, no member
    that shares bytes with another, no password, no other archive. What comes out is counted against what was said.

    Parameters
    ----------
    wanted : says of a name in lower case, with "/" between folders, whether it is copied.
    room : caps; none where it is not given.
    may_nest : members that are archives are passed over; otherwise they are refused.

    Raises
    ------
    ArchiveError : the archive is damaged or not plain.
    FileTooLargeError : it holds more than `room` allows.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _require_plain(path, entries, may_nest=may_nest)
            if room is not None:
                _require_room(path, entries, room)
            with path.open("rb") as stream:
                _require_apart(path, stream, entries, archive.start_dir)
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as fresh:
                for entry in entries:
                    name = _plain_name(entry)
                    if wanted(name.lower()) and not entry.is_dir():
                        _copy(path.name, archive, entry, fresh, name)
    except (*_DAMAGE, ValueError, EOFError, OSError) as error:
        raise _not_plain(path.name, "is damaged, or says one thing and holds another") from error
    return target


def _plain_name(entry: zipfile.ZipInfo) -> str:
    return entry.orig_filename.replace("\\", "/")


def _require_plain(path: Path, entries: Iterable[zipfile.ZipInfo], *, may_nest: bool) -> None:
    seen: set[str] = set()
    for entry in entries:
        name = _plain_name(entry)
        parts = PurePosixPath(name).parts
        if "\0" in name or name.startswith("/") or ".." in parts or name[1:2] == ":":
            raise _not_plain(path.name, "holds a name that leads out of its folder")
        if len(name) > MOST_NAME:
            raise _not_plain(path.name, f"holds a name of {len(name):,} letters")
        if name.casefold() in seen:
            raise _not_plain(path.name, f"holds {parts[-1][:60] if parts else 'a name'} twice")
        seen.add(name.casefold())
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _not_plain(path.name, "holds a link to another file")
        if entry.flag_bits & 0x1:
            raise _not_plain(path.name, "is protected by a password")
        if entry.compress_type not in _METHODS:
            raise _not_plain(path.name, "is packed in a way that is not read here")
        if not may_nest and name.lower().endswith(_NESTED):
            raise _not_plain(path.name, f"holds another archive ({parts[-1][:60]})")


def _require_room(path: Path, entries: list[zipfile.ZipInfo], room: Room) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(sum(entry.compress_size for entry in entries), 1)
    if len(entries) > room.entries:
        raise too_large(path.name, f"{len(entries):,} files", f"{room.entries:,}")
    if unpacked > room.unpacked_bytes:
        raise too_large(path.name, f"{unpacked / 1e6:,.0f} MB unpacked", f"{room.unpacked_bytes / 1e6:,.0f} MB")
    if unpacked > max(room.ratio * packed, SMALL):
        raise too_large(path.name, f"{unpacked / packed:,.0f} bytes for each byte packed", f"{room.ratio:,.0f}")


def _require_apart(path: Path, stream: IO[bytes], entries: Iterable[zipfile.ZipInfo], end: int) -> None:
    """Members lie one behind the other: none shares bytes with the next, and none reaches into the directory."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    limits = [entry.header_offset for entry in ordered[1:]] + [end]
    for entry, limit in zip(ordered, limits, strict=True):
        stream.seek(entry.header_offset)
        header = stream.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise _not_plain(path.name, "is damaged, or says one thing and holds another")
        _, name, extra = _LOCAL_HEADER.unpack(header)
        if entry.header_offset + _LOCAL_HEADER.size + name + extra + entry.compress_size > limit:
            raise _not_plain(path.name, "holds members that share their bytes")


def _copy(name: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, fresh: zipfile.ZipFile, member: str) -> None:
    """One member; XML with a document type is refused, and so is more than the directory said."""
    watches = member.lower().endswith((".xml", ".kml", ".rels", ".vml"))
    counted, tail = 0, b""
    with archive.open(entry) as source, fresh.open(member, "w", force_zip64=True) as sink:
        while block := source.read(BLOCK):
            counted += len(block)
            if counted > entry.file_size:
                raise _not_plain(name, "is damaged, or says one thing and holds another")
            if watches:
                require_no_doctype(tail + block, name)
                tail = block[-40:]
            sink.write(block)
    if counted != entry.file_size:
        raise _not_plain(name, "is damaged, or says one thing and holds another")


def require_no_doctype(block: bytes, name: str) -> None:
    """Raise where a piece of XML (also in UTF-16) declares a document type, which can make it grow without end."""
    if b"<!DOCTYPE" in block or b"<!DOCTYPE" in block.replace(b"\0", b""):
        raise FileError(
            f"{name} holds XML with a document type (<!DOCTYPE).",
            why="Such XML can grow without end or point at other files; plots need none.",
            todo="Save the file again from the program it came from, as KML, GPX or XLSX.",
        )


def too_large(name: str, found: str, most: str) -> FileTooLargeError:
    return FileTooLargeError(
        f"{name} holds {found}; {most} is the most.",
        why="A file of this size could keep the service from others.",
        todo="Send it in parts, for example one community at a time, without columns that are not needed.",
    )


def _not_plain(name: str, found: str) -> ArchiveError:
    return ArchiveError(f"{name} {found}.", why=_WHY_ARCHIVE, todo=_REMEDY_ARCHIVE)
