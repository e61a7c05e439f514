"""The service as a process: one's own computer, a port, an end."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.serve import PortError, listen

ROOT = Path(__file__).resolve().parents[2]
LOCAL = "import sys; from api.serve import serve_local; serve_local(sys.argv[1])"
REMOTE = "import sys; from api.serve import serve; serve(sys.argv[1], port=int(sys.argv[2]), worker=False)"


def ask(port: int, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def ended(process: subprocess.Popen[str], word: signal.Signals) -> tuple[int, str]:
    """Status and log of a process that is told to stop."""
    process.send_signal(word)
    _, log = process.communicate(timeout=60)
    return process.returncode, log


def start(code: str, *arguments: str, work_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "GEOMAP_API_WORK_DIR": str(work_dir), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def local(tmp_path) -> Iterator[Any]:
    """`geomap serve` on a store that is not there yet: the process, its port, the code of its link."""
    process = start(LOCAL, f"sqlite:///{tmp_path}/new.sqlite", work_dir=tmp_path)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/enter\?code=([\w-]{43})$", line.strip()):
                yield process, int(found[1]), found[2]
                break
        else:
            pytest.fail(process.communicate()[1])
    finally:
        process.kill()
        process.communicate()


def up(port: int) -> None:
    """Wait until the service answers."""
    for _ in range(200):
        try:
            if ask(port, "GET", "/health/ready")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail("the service does not answer")


def test_whoever_sits_at_the_computer_comes_in_by_the_link_and_nobody_else(local):
    process, port, code = local
    up(port)
    assert ask(port, "GET", "/cooperatives")[0] == 401

    # What only looks at the link or fetches ahead does not use it up.
    assert ask(port, "HEAD", f"/enter?code={code}")[0] == 405
    for said in ({"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}):
        status, headers, _ = ask(port, "GET", f"/enter?code={code}", **said)
        assert (status, "set-cookie" in headers) == (503, False)

    status, headers, _ = ask(port, "GET", f"/enter?code={code}")
    cookie = headers["set-cookie"].partition(";")[0]
    assert status == 303
    assert {"httponly", "samesite=strict"} <= {part.strip() for part in headers["set-cookie"].lower().split(";")}
    assert ask(port, "GET", "/cooperatives", Cookie=cookie)[0] == 200
    assert b'"role":"local"' in ask(port, "GET", "/session", Cookie=cookie)[2]

    # The link opens one session.
    assert ask(port, "GET", f"/enter?code={code}")[0] == 401

    # A page of another site that has its own name point here is not answered.
    assert ask(port, "GET", "/cooperatives", Cookie=cookie, Host=f"evil.example.org:{port}")[0] == 400
    assert ask(port, "GET", "/cooperatives", Cookie=cookie, Host=f"localhost:{port}")[0] == 200

    # Nor does it change anything with the cookie.
    assert ask(port, "DELETE", "/session", Cookie=cookie, Origin="http://evil.example.org")[0] == 403
    assert ask(port, "DELETE", "/session", Cookie=cookie, Origin=f"http://127.0.0.1:{port + 1}")[0] == 403
    assert ask(port, "DELETE", "/session", Cookie=cookie, Origin=f"http://127.0.0.1:{port}")[0] == 204

    status, log = ended(process, signal.SIGINT)
    assert status == 0, log
    assert code not in log
    assert cookie.partition("=")[2] not in log
    assert "Traceback" not in log


def test_a_service_for_others_stops_when_it_is_told_to(sqlite_url, tmp_path):
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    process = start(REMOTE, sqlite_url, str(port), work_dir=tmp_path)
    try:
        up(port)
        assert ask(port, "GET", "/cooperatives")[0] == 401
        assert "server" not in ask(port, "GET", "/version")[1]
        status, log = ended(process, signal.SIGTERM)
        assert status in {0, -signal.SIGTERM}, log
        assert "Traceback" not in log
        assert '"route": "/cooperatives"' in log
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_is_told_or_another_is_taken():
    first = listen("127.0.0.1", 0)
    port = first.getsockname()[1]
    with pytest.raises(PortError, match=str(port)):
        listen("127.0.0.1", port)
    first.close()
    one, two = listen("127.0.0.1", None), listen("127.0.0.1", None)
    assert one.getsockname()[1] != two.getsockname()[1]
    one.close()
    two.close()
