"""Real clients on a real server: curl, GeoPandas and a browser, with the examples of docs/api.md."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pytest
import uvicorn

import api.routes.runs
from api.app import create_app
from geomap.store import open_store

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
CURL = shutil.which("curl")


@dataclass
class Served:
    """A service on a port of this machine, and the folder in which its client works."""

    service: object
    url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "GEOMAP_URL": self.url,
            "GEOMAP_TOKEN": self.service.tokens["office"],
            "GEOMAP_COOPERATIVE": self.service.ours,
            "PYTHONWARNINGS": "default",
            "no_proxy": "127.0.0.1",
        }

    def say(self, *command: str) -> str:
        """What a program prints; it must end well."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, timeout=200, check=False
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]!r} {done.stderr[-2000:]!r}"
        return done.stdout.decode()

    def curl(self, path: str, *more: str) -> str:
        token = f"Authorization: Bearer {self.service.tokens['office']}"
        return self.say("curl", "--fail-with-body", "--silent", "--header", token, *more, f"{self.url}{path}")


def examples(language: str) -> list[str]:
    """The examples of the document in one language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def served(_sqlite_file, make_service, sample_files, tmp_path_factory):
    if CURL is None:
        pytest.skip("curl is not installed")
    folder = tmp_path_factory.mktemp("served")
    (folder / "work").mkdir()
    store = open_store(f"sqlite:///{shutil.copy(_sqlite_file, folder / 'geomap.sqlite')}")
    service = make_service(store, folder / "work", worker=True, secure_cookies=False)
    files = sample_files(service, folder / "files")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(service.app, log_config=None, ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield Served(service, f"http://127.0.0.1:{listener.getsockname()[1]}", files)
    server.should_exit = True
    thread.join()
    store.close()


@pytest.fixture(scope="module")
def printed(served) -> dict[str, list[str]]:
    """What the examples for a shell and for Python print, run in the order of the document."""
    shell = [served.say("bash", "-euo", "pipefail", "-c", code) for code in examples("bash")]
    return {"bash": shell, "python": [served.say(sys.executable, "-c", code) for code in examples("python")]}


def test_the_document_names_every_address_within_a_cooperative():
    text = DOCUMENT.read_text(encoding="utf-8")
    begin = "/cooperatives/{cooperative_id}/"
    paths = [path for path in create_app().openapi()["paths"] if path.startswith(begin)]
    assert len(paths) > 20
    assert [path for path in paths if f"…/{path.removeprefix(begin)}`" not in text] == []


def test_the_document_has_examples_for_every_client():
    assert [len(examples(language)) for language in ("bash", "python", "js")] == [3, 1, 2]


def test_curl_sends_files_estimates_and_reads_the_result(printed):
    own, sent, table = printed["bash"]
    assert [row["code"] for row in json.loads(own)["rows"]] == ["Flor del Pinar"]
    assert len(re.findall(r'"import_id":"', sent)) == 2
    header, line = table.strip().splitlines()
    assert header.startswith("id,members,plots")
    assert line.startswith("Flor del Pinar,")


def test_geopandas_reads_plots_and_the_run(printed, served):
    rows = json.loads(served.curl(f"{served.service.at}/runs"))["rows"]
    run = json.loads(served.curl(f"{served.service.at}/runs/{rows[0]['run_id']}"))
    parquet = served.service.office.get(
        f"{served.service.at}/runs/{rows[0]['run_id']}/plots", params={"limit": 10_000, "format": "geoparquet"}
    )
    table = gpd.read_parquet(io.BytesIO(parquet.content))
    plots, kilograms = re.fullmatch(r"(\d+) plots, ([\d,]+) kg of green coffee\n", printed["python"][0]).groups()
    features = json.loads(served.curl(f"{served.service.at}/plots?limit=10000"))["features"]
    assert int(plots) == len(features) > 100
    assert int(kilograms.replace(",", "")) == round(table["potential_kg"].sum())
    assert table["potential_kg"].sum() <= run["summary"]["totals"]["potential_kg"]


def test_curl_downloads_all_as_an_archive_that_holds_together(printed, served):
    served.curl(f"{served.service.at}/export", "--output", "all.zip")
    with zipfile.ZipFile(served.folder / "all.zip") as archive:
        assert archive.testzip() is None
        assert "README.txt" in archive.namelist()
    assert [path.name for path in served.service.work_dir.iterdir()] == []


def test_curl_follows_a_large_run_until_it_is_done(printed, served, monkeypatch):
    monkeypatch.setattr(api.routes.runs, "AT_ONCE_PLOTS", 0)
    kind = ("--header", "Content-Type: application/json", "--data", '{"season": "2026/27"}')
    job = json.loads(served.curl(f"{served.service.at}/runs", *kind))
    assert job["state"] in ("queued", "running")
    stream = served.curl(f"{served.service.at}/jobs/{job['job_id']}/events", "--no-buffer", "--max-time", "180")
    events = re.findall(r"^event: (\w+)$", stream, re.MULTILINE)
    assert events[-1] == "done"
    assert set(events[:-1]) <= {"progress"}
    last = json.loads(stream.strip().splitlines()[-1].removeprefix("data: "))
    assert json.loads(served.curl(f"{served.service.at}/runs/{last['run_id']}"))["season"] == "2026/27"


# ---- a browser ----


@pytest.fixture(scope="module")
def browser(served, requires_chromium):
    """A browser that is signed in."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as programs:
        launched = programs.chromium.launch(
            executable_path=requires_chromium, args=["--no-sandbox", "--disable-gpu", "--no-proxy-server"]
        )
        context = launched.new_context()
        token = f"Bearer {served.service.tokens['office']}"
        assert context.request.post(f"{served.url}/session", headers={"Authorization": token}).status == 204
        yield context
        launched.close()


@pytest.fixture
def blank(served, browser):
    """An empty page of the service."""
    page = browser.new_page()
    page.route("**/blank", lambda route: route.fulfill(content_type="text/html", body="<title>blank</title>"))
    page.goto(f"{served.url}/blank")
    yield page
    page.close()


def test_a_browser_fetches_plots_and_follows_a_job(printed, served, blank):
    fetches, follows = examples("js")
    job = json.loads(served.curl(f"{served.service.at}/jobs"))["rows"][0]["job_id"]
    known = {"cooperative": served.service.ours, "job": job, "headers": {}}
    assert blank.evaluate(f"async ({{cooperative, headers}}) => {{ {fetches} }}", known) > 100
    assert blank.evaluate(f"async ({{cooperative, job}}) => {{ {follows} }}", known) == "done"


def test_a_page_of_a_run_works_in_its_sandbox_and_reaches_nothing(printed, served, browser):
    run = json.loads(served.curl(f"{served.service.at}/runs"))["rows"][0]["run_id"]
    page, said, asked = browser.new_page(), [], []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    for name, part in (("map_internal.html", ".leaflet-container .leaflet-map-pane canvas"), ("report.html", "table")):
        page.goto(f"{served.url}{served.service.at}/runs/{run}/files/{name}", wait_until="load")
        page.wait_for_selector(part, state="attached")
        assert said == []
        assert page.evaluate("self.origin") == "null"
        assert page.evaluate("fetch('/cooperatives').then(() => 'reached', () => 'stopped')") == "stopped"
        said.clear()  # the browser complains of that fetch
    page.close()
    assert not [url for url in asked if url.startswith("http") and not url.startswith(served.url)]
