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

from api.worker import UPLOAD_AGE_S, Worker
from geomap.store import Store, open_store
from geomap.store.accounts import add_account
from geomap.store.cooperatives import add_cooperative
from geomap.store.schema import imports, plots
from geomap.store.scope import ALL, Scope
from geomap.store.setup import init
from geomap.store.tokens import add_token

OPERATOR = Scope("operator", ALL, "operator")
SERVE = "import sys; from api.serve import serve; serve(sys.argv[1], port=int(sys.argv[2]))"
PLOTS = 200
BOUNDARY = "a-line-between-parts"


@dataclass
class Score:
    """Kills by the moment they came at, and all that was wrong; `wrong` must stay empty."""

    kills: Counter[str] = field(default_factory=Counter)
    kept: int = 0
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


class Server:
    """The service in a process of its own."""

    def __init__(self, url: str, work: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = os.environ | {"GEOMAP_API_WORK_DIR": str(work)}
        given = [sys.executable, "-c", SERVE, url, str(self.port)]
        log = work.parent / "server.log"
        with log.open("wb") as file:
            self.process = subprocess.Popen(given, env=environment, stderr=file)
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        end = time.monotonic() + 60
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the service does not start: {log.read_text()[-2_000:]}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx2.HTTPError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()


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


def send_slowly(server: Server, upload: Upload, sent: threading.Event, said: list[bytes]) -> None:
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
        f"POST /cooperatives/{upload.coop}/imports HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {upload.token}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as line:
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
    """What came of so many uploads to servers that were killed; the store is made and empty."""
    rng, score, work = random.Random(seed), Score(), folder / "work"
    work.mkdir()
    url = store.engine.url.render_as_string(hide_password=False)
    for number in range(kills):
        with store.begin(OPERATOR) as tx:
            coop = add_cooperative(tx, code=f"C{seed}-{number}", name="One", country="HN", crop="coffee")
            token = add_token(tx, add_account(tx, "coop_admin", cooperative=f"C{seed}-{number}"))
        server, upload = Server(url, work), Upload(coop, token, file_of_plots(number))
        sent, said = threading.Event(), list[bytes]()
        sender = threading.Thread(target=send_slowly, args=(server, upload, sent, said))
        sender.start()
        if number % 3 == 0:
            time.sleep(rng.uniform(0, 0.3))  # while it comes
        else:
            sent.wait(60)
            time.sleep(rng.uniform(0, 1.2))  # while it is read and written
        server.kill()
        sender.join()
        answered = b"".join(said).startswith(b"HTTP/1.1 201")
        moment = "answered" if answered else "after the file was sent" if sent.is_set() else "while the file was sent"
        score.kills[moment] += 1
        judge(store, score, coop, work, answered=answered)
        again(store, score, Server(url, work), upload)
    return score


def judge(store: Store, score: Score, coop: str, work: Path, *, answered: bool) -> None:
    """Write down a part of an import, one that was answered and is not there, and what no sweep finds."""
    counts = held(store, coop)
    if counts not in ((0, 0), (1, PLOTS)) or (answered and counts != (1, PLOTS)):
        score.wrong.append(f"{counts} imports and plots; answered: {answered}")
    score.kept += counts[0]
    for path in work.iterdir():
        score.left_behind += 1
        old = time.time() - UPLOAD_AGE_S - 60
        os.utime(path, (old, old))
    Worker(store, work).sweep()
    score.wrong += [f"{path.name} was left" for path in work.iterdir()]


def again(store: Store, score: Score, server: Server, upload: Upload) -> None:
    """The same file to the next server ends in one import with all its plots."""
    try:
        answer = server.client.post(
            f"/cooperatives/{upload.coop}/imports",
            headers={"Authorization": f"Bearer {upload.token}"},
            data={"kind": "plots"},
            files={"file": ("plots.geojson", upload.content, "application/geo+json")},
        )
        if answer.status_code not in (200, 201) or held(store, upload.coop) != (1, PLOTS):
            score.wrong.append(f"sent again: {answer.status_code} {answer.text[:200]}, {held(store, upload.coop)}")
    finally:
        server.kill()


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
