"""A real service, asked by people who do not mean well."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from geomap.store import Scope, Store, open_store
from geomap.store.accounts import add_account
from geomap.store.cooperatives import add_cooperative
from geomap.store.jobs import add_job
from geomap.store.schema import accounts
from geomap.store.scope import ALL
from geomap.store.tokens import add_token

ROOT = Path(__file__).resolve().parents[2]
LOCAL = Scope("local", ALL, "local")
HEAD_S = 2.0
SERVE = f"import sys, api.serve as s; s.HEAD_S = {HEAD_S}; s.serve(sys.argv[1], port=int(sys.argv[2]), worker=False)"


@dataclass
class Running:
    """A service in a process of its own, and one office that may ask it."""

    process: subprocess.Popen[bytes]
    port: int
    path: Path
    cooperative_id: str
    job_id: str
    tokens: tuple[str, str]

    def send(self, line: str, *headers: str, body: str = "", to_the_end: bool = True) -> socket.socket | bytes:
        """The whole answer, or the connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        head = "\r\n".join((f"{line} HTTP/1.1", "Host: localhost", *headers, "", ""))
        connection.sendall(head.encode() + body.encode())
        return _all_of(connection) if to_the_end else connection

    def status(self, line: str, *headers: str, body: str = "", token: int = 0) -> int:
        bearer = f"Authorization: Bearer {self.tokens[token]}"
        answer = self.send(line, bearer, "Connection: close", *headers, body=body)
        return int(re.match(rb"HTTP/1.1 (\d{3})", answer)[1])

    def stream(self) -> socket.socket:
        """Progress of the job, while it lasts."""
        line = f"GET /cooperatives/{self.cooperative_id}/jobs/{self.job_id}/events"
        connection = self.send(line, f"Authorization: Bearer {self.tokens[0]}", to_the_end=False)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        return connection


def _all_of(connection: socket.socket) -> bytes:
    with connection:
        found = b""
        while block := connection.recv(65_536):
            found += block
        return found


@pytest.fixture
def running(sqlite_url: str, tmp_path: Path) -> Iterator[Running]:
    store = open_store(sqlite_url)
    with store.begin(LOCAL) as tx:
        ours = add_cooperative(tx, code="A", name="A", country="HN", crop="coffee")
        tokens = tuple(add_token(tx, add_account(tx, "coop_admin", cooperative="A")) for _ in range(2))
        job_id = add_job(tx, cooperative_id=ours, parameters={})["job_id"]
    store.close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "GEOMAP_API_WORK_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, sqlite_url, str(port)], cwd=ROOT, env=env, stderr=subprocess.DEVNULL
    )
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    service = Running(process, port, path, ours, job_id, tokens)
    try:
        for _ in range(400):
            try:
                if service.status("GET /health/ready") == 200:
                    break
            except OSError:
                time.sleep(0.05)
        yield service
    finally:
        process.kill()
        process.wait()


def test_what_a_proxy_could_read_in_another_way_is_refused(running):
    chunked = ("Content-Type: application/json", "Content-Length: 5", "Transfer-Encoding: chunked")
    assert running.status("POST /session", *chunked, body="0\r\n\r\n") == 400
    assert running.status("GET /session") == 200
    assert running.status("GET /session", f"Authorization: Bearer {running.tokens[1]}") == 400
    packed = ("Content-Type: application/json", "Content-Encoding: gzip", "Content-Length: 2")
    assert running.status("POST /session", *packed, body="{}") == 415


def test_a_request_that_never_gets_to_its_end_is_let_go(running):
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=20)
    connection.sendall(b"GET /version HTTP/1.1\r\nX-Slow: a")
    began = time.monotonic()
    assert _all_of(connection) == b""
    assert time.monotonic() - began < HEAD_S + 5


def test_one_account_leaves_room_for_the_others_and_its_streams_end_with_the_service(running):
    with ExitStack() as streams:
        for _ in range(16):
            streams.enter_context(running.stream())
        assert running.status("GET /session") == 429
        assert running.status("GET /session", token=1) == 200
        running.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        running.process.wait(timeout=25)
        assert time.monotonic() - began < 15


def test_nothing_is_acknowledged_that_goes_to_a_file_which_was_removed(running):
    put = f"PUT /cooperatives/{running.cooperative_id}/members/M1"
    json = ("Content-Type: application/json", "Content-Length: 2")
    assert running.status(put, *json, body="{}") == 201
    moved = running.path.with_name("moved.sqlite")
    running.path.rename(moved)
    assert running.status(put, *json, body="{}") == 503
    assert not running.path.exists()
    moved.rename(running.path)
    assert running.status(put, *json, body="{}") == 200


@pytest.mark.parametrize("word", ["full", "locked", "readonly"])
def test_words_of_a_row_are_not_taken_for_those_of_the_database(store: Store, word):
    row = {"account_id": word, "role": "operator", "label": ""}
    with pytest.raises(IntegrityError), store.begin(LOCAL) as tx:
        tx.insert(accounts, [row, row])


def test_who_waits_for_the_lock_of_another_is_told_in_time(postgres_store: Store):
    from geomap.store.cooperatives import locked_cooperative
    from geomap.store.errors import StoreBusyError

    with postgres_store.begin(LOCAL) as tx:
        ours = add_cooperative(tx, code="A", name="A")
    with postgres_store.begin(LOCAL) as first:
        locked_cooperative(first, ours)
        with pytest.raises(StoreBusyError), postgres_store.begin(LOCAL) as second:
            locked_cooperative(second, ours)
