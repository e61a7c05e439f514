"""A real browser for tests of pages: whoever may look, at a service of the test's own.

Nothing need be imported; ask for a fixture of conftest.py:

    def test_a_buyer_reads_a_release(desk_with_run):
        buyer = desk_with_run.browser("buyer")         # signed in by the cookie of a session
        buyer.open("/buyer")
        buyer.press("Show")                            # a button within <main>, by its text
        buyer.click("Portfolio")                       # a link anywhere, by its text
        buyer.check("supply")                          # axe, width, console, requests; two pictures
        assert "quintals" in buyer.text                # the visible text of <main>
        buyer.page.locator("…")                        # Playwright's own page for all else

`desk` is a service with one empty cooperative, a worker, and the messy files of the sample in `desk.files`;
`desk_with_run` has the sample's files taken in and one estimate made. Both last for one test module: what a test
changes the next one sees. Who may look: office, neighbour, analyst, buyer, operator, local, nobody. `office` is
`desk_with_run.browser("office")`, kept for the module.

Pictures are put into the folder of the test run; `pytest --basetemp=FOLDER` says where that is.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
SIZES = {"phone": PHONE, "desktop": DESKTOP}
_CHROMIUM = ("--no-sandbox", "--disable-gpu", "--no-proxy-server")
_SESSION_S = 3_600.0


@dataclass
class Browser:
    """A browser of one person: what it showed, said and asked for.

    Attributes
    ----------
    at : where the pages of our cooperative begin. folder : of the pictures.
    said : what the console complained of. asked : addresses of all requests.
    """

    page: Any
    url: str
    at: str
    folder: Path
    role: str = "office"
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    shots: int = 0

    def listen(self) -> None:
        """Note what the page says and asks for from now on."""
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda one: self.said.append(one.text) if one.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))

    @property
    def text(self) -> str:
        """The visible text of the page's content."""
        return str(self.page.inner_text("main"))

    def open(self, path: str) -> None:
        """Open a page of the service; `at` and what follows for one of our cooperative."""
        self.page.goto(self.url + path, wait_until="load")

    def press(self, text: str) -> None:
        """Press a button of the content, and wait for what it opens."""
        self.page.locator("main").get_by_role("button", name=text, exact=True).click()
        self.page.wait_for_load_state("load")

    def click(self, text: str) -> None:
        """Follow a link, and wait for what it opens."""
        self.page.get_by_role("link", name=text, exact=True).first.click()
        self.page.wait_for_load_state("load")

    def check(self, name: str, *, sizes: tuple[str, ...] = ("phone", "desktop"), rules: bool = True) -> None:
        """No rule of axe is broken, nothing is wider than the screen, nothing complained; and a picture of each width.

        The first size stays, so that a walk is one on a phone. Without `rules` axe is not asked and no picture is made.
        """
        self.shots += 1
        for label in sizes:
            self.page.set_viewport_size(SIZES[label])
            if rules:
                picture = f"{self.role}-{self.shots:02}-{name}-{label}.png"
                self.page.screenshot(path=self.folder / picture, full_page=True)
            wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name} is {wide} px wider than the {label}"
        self.page.set_viewport_size(SIZES[sizes[0]])
        assert not rules or self.broken_rules() == [], name
        assert self.said == [], name
        assert self.asked_elsewhere() == [], name

    def broken_rules(self) -> list[tuple[str, list[str]]]:
        """Rules of axe that the page breaks, each with the elements that break it."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options={"resultTypes": ["violations"], "iframes": False})
        return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found.response["violations"]]

    def asked_elsewhere(self) -> list[str]:
        """Addresses that are not of the service."""
        return [one for one in self.asked if not one.startswith((f"{self.url}/", "data:", "blob:"))]


@dataclass
class Desk:
    """A service that runs, a folder, files to bring (kind → content), the run that was made, and anybody's browser."""

    service: Any
    url: str
    folder: Path
    chromium: Any
    files: dict[str, bytes] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def at(self) -> str:
        return f"/office/{self.service.ours}"

    def browser(self, role: str = "office", **context: Any) -> Browser:
        """A new browser of somebody, on a phone; `context` goes to Playwright's `new_context`."""
        pictures = self.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        opened = self.chromium.new_context(**{"viewport": PHONE, "locale": "en-GB", **context})
        if role != "nobody":
            opened.add_cookies([{"name": "geomap_session", "value": self.session(role), "url": self.url}])
        browser = Browser(opened.new_page(), self.url, self.at, pictures, role)
        browser.listen()
        return browser

    def session(self, role: str) -> str:
        """The secret of a new session of somebody, for the cookie `geomap_session`."""
        from geomap.store.sessions import begin_session
        from geomap.store.tokens import who

        store = self.service.store
        if role == "local":
            return begin_session(store, self._local(), seconds=_SESSION_S)
        scope = who(store, self.service.tokens[role])
        assert scope is not None, role
        return begin_session(store, scope.account_id, seconds=_SESSION_S)

    def _local(self) -> str:
        from geomap.store.accounts import local_account

        with self.service.store.begin(self.service.operator_scope) as tx:
            return local_account(tx)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address of a service while it runs."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def browsing(program: str) -> Iterator[Any]:
    """Chromium without a window."""
    import pytest

    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as programs:
        launched = programs.chromium.launch(executable_path=program, args=list(_CHROMIUM))
        yield launched
        launched.close()


def messy_files(sample: Path) -> dict[str, bytes]:
    """Kind → the sample's messy plots of all cooperatives, and one cooperative's members and deliveries."""
    import pandas as pd

    members = pd.read_csv(sample / "members.csv", dtype="str", keep_default_na=False)
    own = members[members["cooperative_id"] == "Flor del Pinar"]
    deliveries = pd.read_csv(sample / "deliveries.csv", dtype="str", keep_default_na=False)
    theirs = deliveries[deliveries["member_id"].isin(own["member_id"])].rename(columns={"kg": "pesada"})
    tables = {"members": own, "deliveries": theirs}
    brought = {kind: table.to_csv(index=False).encode() for kind, table in tables.items()}
    return {"plots": (sample / "plots.geojson").read_bytes(), **brought}
