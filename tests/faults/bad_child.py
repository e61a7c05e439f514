"""In place of a job's process, one that does harm: python bad_child.py HOW [MORE …] FOLDER."""

import ctypes
import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

# What each does before it answers, or instead.


def eat_memory(folder: Path) -> None:
    """Ask for more than the limit allows, as the real process would."""
    from api.job_child import OUT_OF_MEMORY, settle

    request = json.loads((folder / "request.json").read_text())
    settle(request["limits"], parent=os.getppid())
    held = []
    try:
        while True:
            held.append(bytearray(50_000_000))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def burn(folder: Path) -> None:
    """Use the processor beyond the limit."""
    from api.job_child import settle

    request = json.loads((folder / "request.json").read_text())
    settle(request["limits"], parent=os.getppid())
    while True:
        pass


def segfault(_folder: Path) -> None:
    ctypes.string_at(0)


def hang(_folder: Path) -> None:
    """Wait for ever, with a child that does so too; its id stands in a file beside the folder of jobs."""
    child = subprocess.Popen(["sleep", "600"])
    (_folder.parent.parent / "grandchild").write_text(str(child.pid))
    time.sleep(600)


def flood(folder: Path) -> None:
    """100 MB on stderr and a line of 20 MB on stdout, then the real job."""
    block = b"x" * 1_000_000
    for _ in range(100):
        os.write(2, block)
    for _ in range(20):
        os.write(1, block)
    os.write(1, b"\nno JSON\n[1, 2]\n")
    real(folder)


def tell_environment(folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps({"code": "told", "detail": json.dumps(dict(os.environ))}))


def replace(folder: Path, raster: str, by: str) -> None:
    """Exchange the raster before the real job, as an operator might at any moment."""
    os.replace(by, raster)
    real(folder)


def delete(folder: Path, raster: str) -> None:
    os.remove(raster)
    real(folder)


def touch_after(folder: Path, raster: str) -> None:
    """Change the raster after it was read: nobody can say which part of it the job had seen."""
    sys.argv[1:] = [str(folder)]
    pid = os.fork()  # the real job ends its process by itself
    if pid == 0:
        request = json.loads((folder / "request.json").read_text())
        (folder / "request.json").write_text(json.dumps(request | {"parent": os.getppid()}))
        real(folder)
    os.waitpid(pid, 0)
    with open(raster, "r+b") as file:
        file.write(file.read(1))


def real(folder: Path) -> None:
    sys.argv[1:] = [str(folder)]
    runpy.run_module("api.job_child", run_name="__main__")


if __name__ == "__main__":
    how, *more, folder = sys.argv[1:]
    globals()[how](Path(folder), *more)
