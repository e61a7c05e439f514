"""The service killed while a file is sent to it: all of the file is kept or nothing, and no part of it lies about.

    python tests/faults/upload_kills.py --kills 20

A server in a process of its own is sent a file of plots in pieces, and killed with −9 at a random moment: while the
file comes, while it is read, while it is written down, or after the answer. Then the store must hold the whole import
or nothing, the whole where it was answered, and what the dead server left is swept. Sent again, there is one import.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from job_world import LOCAL, square
from sqlalchemy import func, select

from api.worker import Worker
from geomap.sandbox import DAY_S
from geomap.store import Store, open_store
from geomap.store.accounts import add_account
from geomap.store.cooperatives import add_cooperative
from geomap.store.schema import imports, plots
from geomap.store.scope import ALL, Scope
from geomap.store.setup import init
from geomap.store.tokens import add_token

OPERATOR = Scope("operator", ALL, "operator")
SERVERS = (sys.executable, str(Path(__file__).with_name("server_process.py")))
PLOTS = 200
BOUNDARY = "a-line-between-parts"
EARLY_S = 0.3
LATE = ((0.0, 1.2), (0.7, 1.1))
"""Kills come in turn soon after the first byte, and in these parts of the time from the last byte to the answer."""
SENDING, NOTHING, KEPT, ANSWERED = "file was coming", "file was there", "import was kept", "answer was sent"


@dataclass
class Score:
    """Kills by what had come about by then, and all that was wrong; `wrong` must stay empty."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    left_behind: int = 0
    wrong: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        return {**vars(self), "kills": dict(self.kills)}


@dataclass(frozen=True)
class Upload:
    """A cooperative, the token of its office, and what it sends."""

    coop: str
    token: str
    content: bytes


class Servers:
    """Servers in processes of their own, one at a time, each on what the one before left."""

    def __init__(self, url: str, work: Path) -> None:
        self.url, self.work, self.log = url, work, work.parent / "server.log"
        self._starter = subprocess.Popen(SERVERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.number = 0

    def start(self) -> None:
        """Start the next one, and wait until it can work."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        asked = [self.url, self.port, str(self.work), str(self.log)]
        self._starter.stdin.write(json.dumps(asked) + "\n")
        self._starter.stdin.flush()
        self.number = int(self._starter.stdout.readline())
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        end = time.monotonic() + 60
        while not self._ready():
            if time.monotonic() > end:
                raise RuntimeError(f"the service does not start: {self.log.read_text()[-2_000:]}")
            time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx2.HTTPError:
            return False

    def kill(self) -> int:
        """Kill −9; the status it ended with."""
        if not self.number:
            return 0
        os.kill(self.number, signal.SIGKILL)
        self.number = 0
        self.client.close()
        return int(self._starter.stdout.readline())

    def close(self) -> None:
        self.kill()
        self._starter.stdin.close()
        self._starter.stdout.close()
        self._starter.wait()


def file_of_plots(number: int) -> bytes:
    """GeoJSON of 200 plots; no two files are alike."""
    import shapely

    rings = [list(shapely.from_wkb(square(index % 10)).exterior.coords) for index in range(PLOTS)]
    features = [
        {
            "type": "Feature",
            "properties": {"plot_id": f"P{number}-{index}", "member_id": f"M{index}"},
            "geometry": {"type": "Polygon", "coordinates": [[[x, y + index // 10 * 0.002] for x, y in ring]]},
        }
        for index, ring in enumerate(rings)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def send_slowly(port: int, upload: Upload, sent: threading.Event, said: list[bytes]) -> None:
    """Send the file piece by piece over a bare connection, so that the kill can come between any two."""
    form = {"kind": "plots"}
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
             for name, value in form.items()]  # fmt: skip
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="plots.geojson"\r\n'
        "Content-Type: application/geo+json\r\n\r\n".encode()
    )
    body = b"".join(parts) + upload.content + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST /cooperatives/{upload.coop}/imports HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {upload.token}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(head.encode())
            for start in range(0, len(body), 1_024):
                line.sendall(body[start : start + 1_024])
                time.sleep(0.005)
            sent.set()
            while block := line.recv(65_536):
                said.append(block)
    except OSError:
        return


def kill_uploads(store: Store, folder: Path, *, kills: int, seed: int = 0) -> Score:
    """What came of so many uploads to servers that were killed; the store is made and empty.

    Each server is first sent what the one before may not have finished, and killed in the next upload. How long that
    takes it tells how late the next kill may come, so that kills fall on all of an upload on any machine.
    """
    rng, score, work = random.Random(seed), Score(), folder / "work"
    work.mkdir()
    servers = Servers(store.engine.url.render_as_string(hide_password=False), work)
    last, took_s = None, 1.0
    try:
        for number in range(kills):
            with store.begin(OPERATOR) as tx:
                coop = add_cooperative(tx, code=f"C{seed}-{number}", name="One", country="HN", crop="coffee")
                token = add_token(tx, add_account(tx, "coop_admin", cooperative=f"C{seed}-{number}"))
            servers.start()
            score.starts += 1
            if last is not None:
                took_s = again(store, score, servers, last) or took_s
            last = Upload(coop, token, file_of_plots(number))
            late_s = took_s * rng.uniform(*LATE[number % 3 - 1]) if number % 3 else None
            kill_one(store, score, servers, last, early_s=rng.uniform(0, EARLY_S), late_s=late_s)
        if last is not None:
            servers.start()
            score.starts += 1
            again(store, score, servers, last)
    finally:
        servers.close()
    return score


def kill_one(
    store: Store, score: Score, servers: Servers, upload: Upload, *, early_s: float, late_s: float | None
) -> None:
    """Kill a server so long after the first byte, or after the last one where `late_s` is given; then judge."""
    sent, said = threading.Event(), list[bytes]()
    sender = threading.Thread(target=send_slowly, args=(servers.port, upload, sent, said))
    sender.start()
    if late_s is not None:
        sent.wait(60)
    time.sleep(early_s if late_s is None else late_s)
    if (status := servers.kill()) != -signal.SIGKILL:
        score.wrong.append(f"a server ended by itself with {status}: {servers.log.read_text()[-2_000:]}")
    sender.join()
    answered = b"".join(said).startswith(b"HTTP/1.1 201")
    counts = held(store, upload.coop)
    moment = KEPT if counts[0] else NOTHING
    score.kills[ANSWERED if answered else moment if sent.is_set() else SENDING] += 1
    judge(store, score, counts, servers.work, answered=answered)


def judge(store: Store, score: Score, counts: tuple[int, int], work: Path, *, answered: bool) -> None:
    """Write down a part of an import, one that was answered and is not there, and what no sweep finds."""
    if counts not in ((0, 0), (1, PLOTS)) or (answered and counts != (1, PLOTS)):
        score.wrong.append(f"{counts} imports and plots; answered: {answered}")
    for path in work.iterdir():
        score.left_behind += 1
        old = time.time() - DAY_S - 60
        os.utime(path, (old, old))
    Worker(store, work).sweep()
    score.wrong += [f"{path.name} was left" for path in work.iterdir()]
    if store.dialect == "sqlite":
        with store.engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            score.wrong += [] if found == "ok" else [f"the file is damaged: {found}"]


def again(store: Store, score: Score, servers: Servers, upload: Upload) -> float:
    """The same file to the next server ends in one import with all its plots; seconds it took, 0 where it was there."""
    start = time.monotonic()
    answer = servers.client.post(
        f"/cooperatives/{upload.coop}/imports",
        headers={"Authorization": f"Bearer {upload.token}"},
        data={"kind": "plots"},
        files={"file": ("plots.geojson", upload.content, "application/geo+json")},
    )
    if answer.status_code not in (200, 201) or held(store, upload.coop) != (1, PLOTS):
        score.wrong.append(f"sent again: {answer.status_code} {answer.text[:200]}, {held(store, upload.coop)}")
    return time.monotonic() - start if answer.status_code == 201 else 0.0


def held(store: Store, coop: str) -> tuple[int, int]:
    """Imports and plots of a cooperative."""
    with store.read(LOCAL) as tx:
        found = [
            tx.fetch(select(func.count().label("n")).select_from(table).where(table.c.cooperative_id == coop))[0]["n"]
            for table in (imports, plots)
        ]
    return found[0], found[1]


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--seed", type=int, default=0)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/geomap.sqlite")
        init(store)
        score = kill_uploads(store, Path(folder), kills=given.kills, seed=given.seed)
        store.close()
    sys.stdout.write(json.dumps(score.figures(), indent=1) + "\n")
    return 1 if score.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
