"""What a process gives up for good before it opens a file from outside: memory and time, the network, other files."""

import ctypes
import os
import platform
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LOOPBACK: Final = ("127.0.0.1", 9)

_NO_NEW_PRIVILEGES, _SECCOMP, _DIE_WITH_PARENT, _NOT_DUMPABLE = 38, 22, 1, 4
_NEW_USERS, _NEW_NETWORK = 0x10000000, 0x40000000

# Denied with "operation not permitted". io_uring could open a socket on its own; a new program could shed what we set.
_DENIED: Final = {
    "x86_64": {
        "socket": 41,
        "connect": 42,
        "socketpair": 53,
        "execve": 59,
        "ptrace": 101,
        "keyctl": 250,
        "perf_event_open": 298,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "bpf": 321,
        "execveat": 322,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "pidfd_getfd": 438,
    },
    "aarch64": {
        "socket": 198,
        "connect": 203,
        "socketpair": 199,
        "execve": 221,
        "ptrace": 117,
        "keyctl": 219,
        "perf_event_open": 241,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "bpf": 280,
        "execveat": 281,
        "userfaultfd": 282,
        "io_uring_setup": 425,
        "pidfd_getfd": 438,
    },
}
_ARCHITECTURE: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000

_EXECUTE, _WRITE, _READ, _LIST = 1, 2, 4, 8
_REMOVE_FOLDER, _REMOVE_FILE, _MAKE_FOLDER, _MAKE_FILE, _MOVE, _TRUNCATE = (
    1 << 4,
    1 << 5,
    1 << 7,
    1 << 8,
    1 << 13,
    1 << 14,
)
_OWN: Final = _WRITE | _READ | _LIST | _REMOVE_FOLDER | _REMOVE_FILE | _MAKE_FOLDER | _MAKE_FILE | _TRUNCATE
_OF_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE
_SYSTEM: Final = (
    *("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/lib", "/lib64", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)


def confine(folder: Path, readable: Iterable[Path], *, memory_bytes: int, cpu_s: int, file_bytes: int) -> None:
    """Limit this process for good; call it before any library that starts threads is imported.

    Memory, processor time and file sizes are limited everywhere but on Windows. On Linux it also loses every socket
    (seccomp, and a network of its own where that is allowed), other programs, and, where the kernel has Landlock, all
    files but `readable`, Python's own and those in `folder`. It dies with its parent.

    Parameters
    ----------
    folder : the private folder, the only place to write to.
    readable : files that may be read, and folders whose names may be listed.
    memory_bytes : address space.
    cpu_s : processor seconds; the kernel ends the process after them.
    file_bytes : largest file that may be written.

    Source: seccomp(2), landlock(7), unshare(2), setrlimit(2).
    """
    if sys.platform != "win32":
        _limit(memory_bytes=memory_bytes, cpu_s=cpu_s, file_bytes=file_bytes)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_DIE_WITH_PARENT, 9, 0, 0, 0)
        libc.prctl(_NOT_DUMPABLE, 0, 0, 0, 0)
        if libc.unshare(_NEW_NETWORK) != 0:
            libc.unshare(_NEW_USERS | _NEW_NETWORK)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0:
            _keep_to_files(libc, folder, readable)
            _deny_calls(libc)


def network_open() -> bool:
    """Whether this process could send anything anywhere: it tries a socket to its own machine, and sends nothing."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(LOOPBACK)
    except OSError:
        return False
    return True


def _limit(*, memory_bytes: int, cpu_s: int, file_bytes: int) -> None:
    import resource

    wanted = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        _, ceiling = resource.getrlimit(kind)
        allowed = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        hard = allowed + 1 if kind == resource.RLIMIT_CPU and allowed == most else allowed  # so SIGXCPU comes first
        try:
            resource.setrlimit(kind, (allowed, hard))
        except (ValueError, OSError):  # macOS takes no limit of the address space
            continue


def _deny_calls(libc: ctypes.CDLL) -> None:
    """A seccomp filter that refuses `_DENIED`; calls of a foreign architecture end the process."""
    machine = platform.machine()
    if machine not in _DENIED or sys.maxsize < 2**32:
        return
    numbers = sorted(_DENIED[machine].values())
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, _ARCHITECTURE[machine]),
        (answer, 0, 0, 0x80000000),
        (load, 0, 0, 0),
        (at_least, len(numbers) + 1, 0, _X32),
        *((equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (answer, 0, 0, 0x7FFF0000),
        (answer, 0, 0, 0x00050001),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    body = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(body)))
    libc.prctl(_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(header)), 0, 0)


def _keep_to_files(libc: ctypes.CDLL, folder: Path, readable: Iterable[Path]) -> None:
    """A Landlock ruleset: read Python's own files and `readable`, write in `folder`, nothing else."""
    create, add, restrict = 444, 445, 446
    version = libc.syscall(create, None, 0, 1)
    if version < 1:
        return
    handled = (1 << 13) - 1 | (_MOVE if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = ctypes.create_string_buffer(struct.pack("Q", handled), 8)
    rules = libc.syscall(create, attributes, 8, 0)
    if rules < 0:
        return
    python = {sys.prefix, sys.base_prefix, *(entry for entry in sys.path if entry), *_SYSTEM}
    given = [(Path(place), _READ | _LIST | _EXECUTE) for place in sorted(python)]
    given += [(place, _LIST if place.is_dir() else _READ) for place in readable]
    for place, access in [*given, (folder, _OWN)]:
        if place.exists():
            allowed = access & handled & (-1 if place.is_dir() else _OF_FILES)
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
            rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, handle), 12)
            libc.syscall(add, rules, 1, rule, 0)
            os.close(handle)
    libc.syscall(restrict, rules, 0)
    os.close(rules)
