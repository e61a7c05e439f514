"""What a request may bring, tried on a real server over plain sockets, where a client can be as rude as it likes."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest
import uvicorn
from fastapi import FastAPI, File, Request, UploadFile

from api.access import Asked, may
from api.app import create_app
from api.limits import Limits
from api.serve import listen
from api.settings import Settings
from geomap.store.accounts import add_account
from geomap.store.scope import ALL, Scope
from geomap.store.tokens import add_token

JSON_BYTES, FILE_BYTES, PARTS = 1_000, 50_000, 5
SETTINGS = {
    "worker": False,
    "json_bytes": JSON_BYTES,
    "upload_bytes": FILE_BYTES,
    "upload_parts": PARTS,
    "uploads_at_once": 1,
    "body_grace_s": 0.5,
    "body_pace": 2_000.0,
    "body_s": 3.0,
}
BOUNDARY = "Grenze"


@contextmanager
def running(app: FastAPI) -> Iterator[int]:
    """The service on a port of this machine."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class Server:
    """A service that takes JSON and files, and what it has read of them."""

    def __init__(self, app: FastAPI, port: int, token: str) -> None:
        self.app, self.port, self.token = app, port, token

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def head(self, path: str, *headers: str) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.token}", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def send(self, path: str, *headers: str, pieces: Iterator[bytes] | tuple[bytes, ...] = ()) -> tuple[int, Any, str]:
        """Status, body and head of the answer; what cannot be sent any more is not."""
        with self.connect() as client:
            client.sendall(self.head(path, *headers))
            try:
                for piece in pieces:
                    client.sendall(piece)
            except OSError:
                pass
            return answered(client)


def answered(client: socket.socket) -> tuple[int, Any, str]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        assert part, "the server closed without an answer"
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    text = head.decode()
    length = next((int(line.partition(":")[2]) for line in text.split("\r\n") if line.startswith("content-length")), 0)
    while len(body) < length:
        body += client.recv(65536)
    content = json.loads(body) if "application/json" in text else body
    return int(text.split(" ")[1]), content, text.lower()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def part(name: str, content: bytes, file: bool = True) -> bytes:
    kind = f'; filename="{name}"' if file else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{kind}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
AS_JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture
def server(sqlite_store, tmp_path) -> Iterator[Server]:
    with sqlite_store.begin(Scope("local", ALL, "local")) as tx:
        token = add_token(tx, add_account(tx, "operator"))
    app = create_app(Settings(work_dir=tmp_path, **SETTINGS), store=sqlite_store)
    hold = threading.Event()
    app.state.hold = hold

    @app.post("/echo")
    def echo(body: dict[str, Any], asked: Annotated[Asked, may("session.read")]) -> dict[str, int]:
        return {"keys": len(body)}

    @app.post("/file")
    def file(
        request: Request, file: Annotated[UploadFile, File()], asked: Annotated[Asked, may("session.read")]
    ) -> dict[str, int]:
        content = file.file.read()
        if content == b"hold":
            hold.wait(10)
        return {"bytes": len(content)}

    with running(app) as port:
        yield Server(app, port, token)


# ---- size ----


def test_what_is_small_enough_is_taken(server):
    body = b'{"a": 1}'
    assert server.send("/echo", AS_JSON, f"Content-Length: {len(body)}", pieces=(body,))[:2] == (200, {"keys": 1})
    assert server.send("/echo", AS_JSON, CHUNKED, pieces=(chunk(body), b"0\r\n\r\n"))[0] == 200
    sent = form(part("file", FILE_BYTES * b"x"))
    assert server.send("/file", FORM, f"Content-Length: {len(sent)}", pieces=(sent,))[1] == {"bytes": FILE_BYTES}


def test_a_length_that_is_too_much_is_refused_before_anything_is_sent(server):
    status, body, head = server.send("/echo", AS_JSON, "Content-Length: 30000000")
    assert (status, body["code"]) == (413, "too_large")
    assert "connection: close" in head


def test_a_body_that_hides_its_length_is_counted(server):
    pieces = (chunk(b'{"a": "'), *(100 * (chunk(100 * b"x"),)))
    status, body, _ = server.send("/echo", AS_JSON, CHUNKED, pieces=pieces)
    assert (status, body["code"]) == (413, "too_large")


def test_a_file_that_hides_its_length_is_counted(server):
    pieces = (chunk(part("file", b"")[:-2]), *(400 * (chunk(1_000 * b"x"),)))
    assert server.send("/file", FORM, CHUNKED, pieces=pieces)[0] == 413


def test_json_does_not_get_the_room_of_a_file(server):
    body = json.dumps({"a": FILE_BYTES // 2 * "x"}).encode()
    assert server.send("/echo", AS_JSON, f"Content-Length: {len(body)}", pieces=(body,))[0] == 413


@pytest.mark.parametrize(("number", "status"), [(PARTS, 200), (PARTS + 1, 413), (1_001, 413)])
def test_a_form_has_few_parts(server, number, status):
    sent = form(part("file", b"x"), *(part(f"p{i}", b"", file=False) for i in range(number - 1)))
    pieces = (chunk(sent[i : i + 7]) for i in range(0, len(sent), 7))  # a boundary comes in several pieces
    assert server.send("/file", FORM, CHUNKED, pieces=(*pieces, b"0\r\n\r\n"))[0] == status


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize(("number", "passes"), [(PARTS, True), (PARTS + 1, False)])
def test_a_part_is_counted_however_its_boundary_comes(step, number, passes):
    sent = form(*(part(f"p{i}", b"", file=False) for i in range(number)))
    pieces = [sent[i : i + step] for i in range(0, len(sent), step)]
    told: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        told.append(message.get("status"))

    async def read(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass

    headers = [(b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode()), (b"content-length", b"1")]
    limits = Limits(read, settings=Settings(**SETTINGS))
    asyncio.run(limits({"type": "http", "headers": headers, "method": "POST"}, receive, send))
    assert told == ([] if passes else [413, None])


# ---- kind ----


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "application/jsonx", ""]
)
def test_a_body_of_another_kind_is_refused(server, kind):
    headers = [f"Content-Type: {kind}"] if kind else []
    status, body, _ = server.send("/echo", *headers, "Content-Length: 2", pieces=(b"{}",))
    assert (status, body["code"]) == (415, "wrong_type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/geo+json"])
def test_json_of_any_name_is_json(server, kind):
    assert server.send("/echo", f"Content-Type: {kind}", "Content-Length: 2", pieces=(b"{}",))[0] == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [("multipart/form-data", 400), ("multipart/form-data; boundary=", 400), ("multipart/form-data; boundary=äöü", 400)],
)
def test_a_form_without_a_boundary_is_no_fault_of_ours(server, kind, status):
    assert server.send("/file", f"Content-Type: {kind}", "Content-Length: 2", pieces=(b"{}",))[0] in {status, 422}


# ---- pace ----


def test_a_body_that_does_not_come_is_not_waited_for(server):
    started = time.monotonic()
    status, body, head = server.send("/echo", AS_JSON, "Content-Length: 100", pieces=(b"{",))
    assert (status, body["code"]) == (408, "too_slow")
    assert "connection: close" in head
    assert time.monotonic() - started < 5


def test_a_body_that_drips_is_not_waited_for(server):
    def drops() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.05)
            yield b" "

    assert server.send("/echo", AS_JSON, "Content-Length: 200", pieces=drops())[0] == 408


def test_a_file_that_keeps_the_pace_still_ends_in_time(server):
    def steady() -> Iterator[bytes]:
        yield part("file", b"")[:-2]
        for _ in range(200):
            time.sleep(0.05)
            yield 200 * b"x"  # 4,000 bytes a second, twice the pace

    started = time.monotonic()
    assert server.send("/file", FORM, "Content-Length: 45000", pieces=steady())[0] == 408
    assert 2 < time.monotonic() - started < 9


def test_a_slow_body_holds_nobody_else_up(server):
    with server.connect() as slow:
        slow.sendall(server.head("/echo", AS_JSON, "Content-Length: 100") + b"{")
        assert server.send("/echo", AS_JSON, "Content-Length: 2", pieces=(b"{}",))[0] == 200
        assert answered(slow)[0] == 408


def test_a_client_that_goes_away_in_the_middle_is_no_fault(server, caplog):
    with server.connect() as client:
        client.sendall(server.head("/echo", AS_JSON, "Content-Length: 100") + b"{")
    with server.connect() as client:
        client.sendall(server.head("/echo", AS_JSON, "Content-Length: 100", "Idempotency-Key: k") + b"{")
    time.sleep(0.3)
    assert server.send("/echo", AS_JSON, "Content-Length: 2", pieces=(b"{}",))[0] == 200
    assert '"fault"' not in caplog.text


# ---- uploads at once ----


def test_more_files_than_can_be_received_are_told_to_come_again(server):
    sent = form(part("file", b"hold"))
    headers = (FORM, f"Content-Length: {len(sent)}")
    with server.connect() as first:
        first.sendall(server.head("/file", *headers) + sent)
        time.sleep(0.3)
        status, body, head = server.send("/file", *headers, pieces=(sent,))
        assert (status, body["code"]) == (503, "busy")
        assert "retry-after: " in head
        assert server.send("/echo", AS_JSON, "Content-Length: 2", pieces=(b"{}",))[0] == 200
        server.app.state.hold.set()
        assert answered(first)[0] == 200
    assert server.send("/file", *headers, pieces=(sent,))[0] == 200


# ---- what cannot be read ----


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "9" * 30])
def test_a_length_that_is_none_is_refused(server, length):
    assert server.send("/echo", AS_JSON, f"Content-Length: {length}")[0] in {400, 413}


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", 400 * b"[", b'{"a": ' + b"1" * 900 + b"}"], ids=repr)
def test_json_that_is_none_is_no_fault_of_ours(server, body):
    assert server.send("/echo", AS_JSON, f"Content-Length: {len(body)}", pieces=(body,))[0] in {200, 400, 422}
