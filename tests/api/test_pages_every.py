"""Every page there is, found in the app itself: in every language, for everyone who may see it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.access import Permission
from api.app import create_app
from api.pages.base import PageRoute
from api.pages.texts import catalogue, languages
from geomap.outputs.words import words
from geomap.store.grants import add_grant

AT = "/office/{cooperative_id}"
QUERIES = {
    f"{AT}/member": "id=FP-002",
    f"{AT}/member/erase": "id=FP-002",
    f"{AT}/plot": "id=LP-00002",
    f"{AT}/plot/new": "member=FP-002",
}
"""What a page needs beside its path."""
NO_PAGES = {
    "/static/{name}",
    "/map-frame",
    f"{AT}/map/about",
    f"{AT}/lists/frame",
    f"{AT}/results/{{run_id}}/frame/{{name}}",
}
"""Files, facts for a script, and what stands in a frame in the language of its run."""
OWN = {f"{AT}/files/{{token}}": ["office"]}
"""What only the account sees that made it."""
NAMES = {"coop_admin": "office", "analyst": "analyst", "buyer": "buyer", "operator": "operator", "local": "local"}
_SILENT = ("script", "style", "code", "option", "bdi", "svg", "textarea")
_VOID = {"meta", "link", "input", "br", "img", "hr", "path", "rect", "circle", "line", "wbr", "source", "use", "col"}


def page_routes(app: Any) -> Iterator[PageRoute]:
    """All pages that can be opened, as the app itself knows them."""
    stack = list(app.routes)
    while stack:
        route = stack.pop()
        if hasattr(route, "original_router"):
            stack += route.original_router.routes
        elif isinstance(route, PageRoute) and "GET" in route.methods and route.path not in NO_PAGES:
            yield route


def roles_of(route: PageRoute) -> list[str]:
    """Who may open it; nobody in particular where it is for everyone."""
    (rule,) = [one.call for one in route.dependant.dependencies if isinstance(one.call, Permission)] or [None]
    return ["nobody"] if rule is None else sorted(NAMES[role] for role in rule.roles)


PAGES = sorted({route.path: OWN.get(route.path) or roles_of(route) for route in page_routes(create_app())}.items())


class Reader(HTMLParser):
    """What a page says, as far as it is ours and in the reader's language: no names, no code, nothing marked English.

    Attributes
    ----------
    said : its texts. every : all texts, also names. title, language : of the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.every: list[str] = []
        self.title = self.language = ""
        self._open: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang") or ""
        for name in ("aria-label", "placeholder", "title", "alt"):
            if text := given.get(name):
                self.every.append(text)
        if tag not in _VOID:
            quiet = tag in _SILENT or (tag != "html" and given.get("lang") == "en")
            self._open.append((tag, quiet or any(silent for _, silent in self._open)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and tag not in _VOID and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        text, inside = " ".join(data.split()), {tag for tag, _ in self._open}
        if not text or inside & {"script", "style"}:
            return
        if "title" in inside and "svg" not in inside:
            self.title += text
        if "code" not in inside:
            self.every.append(text)
        if "title" not in inside and not self._open[-1][1]:
            self.said.append(text)


@dataclass
class Known:
    """What addresses of pages are filled with, and a client for everyone who may look."""

    parts: dict[str, str]
    clients: dict[str, TestClient]
    desk: Any
    answers: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def address(self, path: str) -> str:
        wanted = set(re.findall(r"\{(\w+)\}", path))
        assert wanted <= self.parts.keys(), f"{path}: say in this file what {wanted - self.parts.keys()} is filled with"
        at = path.format(**self.parts)
        return f"{at}?{QUERIES[path]}" if path in QUERIES else at

    def answer(self, path: str, who: str, language: str) -> Any:
        key = (path, who, language)
        if key not in self.answers:
            at = self.address(path)
            address = f"{at}{'&' if '?' in at else '?'}lang={language}"
            self.answers[key] = self.clients[who].get(address, follow_redirects=False)
        return self.answers[key]


@pytest.fixture(scope="module")
def known(desk_with_run) -> Known:
    """Of each kind of thing one: an import, a job, a run, a release, a file that waits, and who may see them."""
    desk, service = desk_with_run, desk_with_run.service
    with service.store.begin(service.operator_scope) as tx:
        accounts = {row["role"]: row["account_id"] for row in tx.fetch(_accounts())}
    with service.store.begin(_office(service)) as tx:
        add_grant(tx, service.ours, accounts["analyst"], "releases")
    office, at = service.office, service.at
    signing = {"run_id": desk.run["run_id"], "by": ["community"], "signed_by": "The board"}
    signed = office.post(f"{at}/releases", json=signing)
    assert signed.status_code == 201, signed.text
    sent = office.post(
        f"/office/{service.ours}/files",
        files={"file": ("members.csv", desk.files["members"])},
        data={"kind": "members"},
        follow_redirects=False,
    )
    parts = {
        "cooperative_id": service.ours,
        "run_id": desk.run["run_id"],
        "release_id": signed.json()["release"]["release_id"],
        "import_id": office.get(f"{at}/imports").json()["rows"][0]["import_id"],
        "job_id": office.get(f"{at}/jobs").json()["rows"][0]["job_id"],
        "token": sent.headers["location"].rpartition("/")[2],
        "name": "report.html",
        "kind": "deliveries",
    }
    local = TestClient(service.app, headers={"Cookie": f"geomap_session={desk.session('local')}"})
    return Known(parts, {**service.clients, "local": local}, desk)


def _accounts() -> Any:
    from sqlalchemy import select

    from geomap.store.schema import accounts

    return select(accounts.c.role, accounts.c.account_id)


def _office(service: Any) -> Any:
    from geomap.store import Scope

    return Scope("coop_admin", frozenset({service.ours}), "office")


def english_of(language: str) -> dict[str, str]:
    """English texts of the catalogue that are sentences or several words, and are written otherwise in a language."""
    english, own = catalogue("en"), catalogue(language)
    own_texts = set(own.values())
    return {
        key: text
        for key, text in english.items()
        if " " in text and "{" not in text and own[key] != text and text not in own_texts
    }


@pytest.mark.parametrize(("path", "who"), [(path, who) for path, roles in PAGES for who in roles])
def test_a_page_says_all_in_the_language_of_its_reader(known, path, who):
    said = {}
    for language in languages():
        answer = known.answer(path, who, language)
        if answer.status_code == 303:
            assert answer.headers["location"].startswith("/")
            return
        assert answer.status_code == 200, f"{path} as {who}: {answer.status_code} {answer.text[-2000:]}"
        if not answer.headers["content-type"].startswith("text/html"):
            return
        read = Reader(answer.text)
        assert read.language == language
        assert read.title.removesuffix("· geomap").strip(), "the page has no title"
        assert [text for text in read.every if re.search(r"[{}]|\bNone\b|\bnan\b|\bTrue\b|\bFalse\b", text)] == []
        said[language] = read.said
    for language in set(said) - {"en"}:
        english = english_of(language)
        left = {key for key, text in english.items() if text in said[language]}
        assert left == set(), f"{language}: said in English"
        sentences = {one for one in said["en"] if len(re.findall(r"[A-Za-z]{2,}", one)) >= 3}
        same = sentences & set(said[language]) - set(catalogue(language).values()) - set(
            words(language).titles.values()
        )
        assert same == set(), f"{language}: no catalogue has this text, or it is a name that no <bdi> holds"


def test_no_page_is_left_out(known):
    assert len(PAGES) >= 19
    assert QUERIES.keys() <= dict(PAGES).keys()
    for path, _ in PAGES:
        known.address(path)


@pytest.mark.parametrize("language", languages())
def test_every_page_stands_in_a_browser_in_every_language(known, language):
    place = languages().index(language)
    opened, wrong = {}, {}
    for number, (path, roles) in enumerate(PAGES):
        who = roles[(number + place // 2) % len(roles)]
        answer = known.answer(path, who, language)
        if answer.status_code != 200 or not answer.headers["content-type"].startswith("text/html"):
            continue
        if who not in opened:
            opened[who] = known.desk.browser(who, locale=language)
        browser, at = opened[who], known.address(path)
        size = ("phone", "desktop")[(number + place) // 2 % 2]
        browser.open(f"{at}{'&' if '?' in at else '?'}lang={language}")
        name = f"{language}-{re.sub(r'[{}]', '', path).strip('/').replace('/', '-')}"
        try:
            browser.check(name, sizes=(size,), rules=(number + place) % 2 == 0)  # each page in two languages
        except AssertionError as error:
            wrong[f"{path} as {who}, {size}"] = str(error).partition("\nassert")[0]
            browser.said.clear()
            browser.asked.clear()
    for browser in opened.values():
        browser.page.context.close()
    assert wrong == {}
