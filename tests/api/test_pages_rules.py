"""What holds for every page without a browser: texts, who may ask, forms of strangers, files that wait."""

import re
import string
import time
from importlib.resources import files

import pytest
from fastapi.testclient import TestClient

from api.access import Open, Permission
from api.app import create_app
from api.pages.base import PageRoute
from api.pages.texts import Texts, catalogue, languages
from geomap.findings import CODES
from geomap.outputs.words import words
from geomap.store.ids import new_id

OURS = {"Origin": "https://testserver", "Sec-Fetch-Site": "same-origin"}


def pages(app=None):
    stack = list((app or create_app()).routes)
    while stack:
        route = stack.pop()
        if hasattr(route, "original_router"):
            stack += route.original_router.routes
        elif isinstance(route, PageRoute):
            yield route


PAGES = sorted((method, route.path, route) for route in pages() for method in route.methods - {"HEAD", "OPTIONS"})


def templates():
    folder = files("api.pages").joinpath("templates")
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".html")}


# ---- texts ----


@pytest.mark.parametrize("language", languages())
def test_every_catalogue_has_every_text_with_the_same_places_to_fill(language):
    english, other = catalogue("en"), catalogue(language)
    assert other.keys() == english.keys()
    for key, text in other.items():
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        assert fields == {name for _, name, _, _ in string.Formatter().parse(english[key]) if name is not None}, key
        assert text.strip() == text != "", key


def test_every_text_that_a_template_names_is_in_the_catalogue_and_every_text_is_used():
    known, everything = catalogue("en"), "\n".join(templates().values())
    named = set(re.findall(r"""\bt\(["']([\w.]+)["'][,)]""", everything))
    begun = set(re.findall(r"""\bt\(["']([\w.]+[._])["'] ~""", everything))
    begun |= {f"{name}." for name in re.findall(r"""\bt\.known\(["'](\w+)["']""", everything)} | {"stage.", "column."}
    assert named - known.keys() == set()
    assert {start for start in begun if not any(key.startswith(start) for key in known)} == set()
    one = {key for key in known if key.endswith(".one")}
    assert {key for key in one if key.removesuffix(".one") not in known} == set()
    assert {key for key in known.keys() - one if key not in named and not key.startswith(tuple(begun))} == set()


def test_four_languages_have_catalogues_and_each_has_words_for_every_finding():
    assert languages() == ("en", "es", "fr", "pt")
    for language in languages():
        assert words(language).titles.keys() >= CODES.keys()


def test_numbers_are_written_as_the_reader_writes_them():
    assert [Texts(one).number(1234567.0) for one in ("en", "es", "pt")] == ["1,230,000", "1.230.000", "1.230.000"]
    assert Texts("en").number(0.01234) == "0.012"
    assert Texts("en").number(float("nan")) == Texts("en").number(None) == "–"


@pytest.mark.parametrize(
    ("query", "cookie", "header", "language"),
    [("pt", "fr", "es", "pt"), ("", "fr", "es", "fr"), ("", "", "es-HN,es;q=0.9", "es"), ("xx", "", "de", "en")],
)
def test_the_language_is_that_of_the_address_then_the_cookie_then_the_browser(
    light_service, query, cookie, header, language
):
    headers = {"Accept-Language": header, "Cookie": f"geomap_language={cookie}"}
    answer = light_service.nobody.get("/sign-in", params={"lang": query}, headers=headers)
    assert f'<html lang="{language}">' in answer.text


# ---- who may ask ----


def test_every_page_says_who_may_ask_it_and_is_in_no_schema():
    assert len(PAGES) > 30
    for _, path, route in PAGES:
        rules = [one.call for one in route.dependant.dependencies if isinstance(one.call, Permission | Open)]
        assert len(rules) == 1, path
        assert not route.include_in_schema
        assert isinstance(rules[0], Permission) or path in {"/sign-in", "/static/{name}"}
        if path.startswith("/office/{"):
            assert rules[0].roles <= {"coop_admin", "local"}, path


def filled(path, cooperative_id):
    return re.sub(r"\{[^}]+\}", "Zz9-unknown", path.replace("{cooperative_id}", cooperative_id))


def test_whoever_is_not_known_is_led_to_sign_in(light_service):
    for method, path, _route in PAGES:
        if method == "GET" and not path.startswith(("/sign-in", "/static")):
            answer = light_service.nobody.get(filled(path, light_service.ours))
            assert answer.status_code == 401, path
            assert 'name="token"' in answer.text


def test_what_is_anothers_is_told_from_what_never_was_by_nothing(light_service):
    for name in ("office", "analyst", "buyer"):
        for method, path, _ in PAGES:
            if "{cooperative_id}" not in path:
                continue
            answers = []
            for owner in (light_service.foreign, new_id()):
                form = {"a": "b"} if method == "POST" else None
                answer = light_service.clients[name].request(method, filled(path, owner) + "?id=x", data=form)
                text = re.sub(r'nonce="[^"]*"', "", answer.text).replace(owner, "")
                answers.append((answer.status_code, text))
            assert answers[0] == answers[1], f"{method} {path}"
            assert answers[0][0] in (404, 422), f"{name} {method} {path}"


# ---- the way in, and forms of strangers ----


def test_a_token_in_the_form_opens_a_session_that_a_form_ends(make_service, sqlite_store, tmp_path):
    service = make_service(sqlite_store, tmp_path)
    browser = TestClient(service.app, base_url="https://testserver")
    form = {"token": f" {service.tokens['office']}\n", "back": "/"}
    answer = browser.post("/sign-in", data=form, headers=OURS, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=strict" in answer.headers["set-cookie"]
    assert browser.get(f"/office/{service.ours}").status_code == 200
    assert browser.post("/sign-out", headers=OURS, follow_redirects=False).status_code == 303
    assert browser.get(f"/office/{service.ours}").status_code == 401


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(light_service, back):
    form = {"token": light_service.tokens["office"], "back": back}
    answer = light_service.nobody.post(
        "/sign-in", data=form, headers={"Origin": "http://testserver"}, follow_redirects=False
    )
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_no_other_site_signs_anybody_in_or_posts_a_form(make_service, sqlite_store, tmp_path, headers):
    service = make_service(sqlite_store, tmp_path)
    browser = TestClient(service.app, base_url="https://testserver")
    form = {"token": service.tokens["office"]}
    assert browser.post("/sign-in", data=form, headers=headers).status_code == 403
    browser.post("/sign-in", data=form, headers=OURS)
    answer = browser.post(f"/office/{service.ours}/run", data={"crop": "coffee"}, headers=headers)
    assert answer.status_code == 403


def test_the_form_of_nobody_is_short(light_service):
    headers = {"Origin": "http://testserver"}
    assert light_service.nobody.post("/sign-in", data={"token": "x" * 5_000}, headers=headers).status_code == 401
    answer = light_service.nobody.post("/sign-in", data={"token": "x"}, headers=headers)
    assert (answer.status_code, 'role="alert"' in answer.text) == (401, True)


def test_a_page_runs_our_script_alone_and_is_in_no_frame(light_service):
    first, second = (light_service.office.get(f"/office/{light_service.ours}/files") for _ in range(2))
    policy = first.headers["content-security-policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]{20,})'", policy)[1]
    assert f'nonce="{nonce}"' in first.text and nonce not in second.text
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert first.headers["referrer-policy"] == "same-origin"  # else a browser sends "Origin: null" with our forms
    assert "|safe" not in "".join(templates().values())


# ---- files that wait ----


def send(client, service, name="p.csv", content="plot_id,lat,lon\nA,14.66,-88.82\n"):
    at = f"/office/{service.ours}/files"
    return client.post(at, files={"file": (name, content)}, data={"kind": "plots"}, follow_redirects=False)


def test_a_file_waits_for_its_sender_alone_and_goes_when_it_was_taken_in(light_service):
    at = send(light_service.office, light_service).headers["location"]
    (folder,) = light_service.work_dir.iterdir()
    assert folder.stat().st_mode & 0o77 == 0
    assert light_service.neighbour.get(at).status_code == 404
    elsewhere = at.replace(light_service.ours, light_service.foreign)
    assert light_service.neighbour.get(elsewhere).status_code == 404
    form = {"ours": ["plot_id", "latitude", "longitude"], "theirs": ["plot_id", "lat", "lon"]}
    answer = light_service.office.post(at, data=form, follow_redirects=False)
    assert answer.status_code == 303
    assert list(light_service.work_dir.iterdir()) == []
    assert light_service.office.get(at).status_code == 404


def test_a_file_that_waited_an_hour_is_gone(light_service, monkeypatch):
    at = send(light_service.office, light_service).headers["location"]
    later = time.time() + 3_601
    monkeypatch.setattr("api.pages.waiting.time.time", lambda: later)
    assert light_service.office.get(at).status_code == 404


@pytest.mark.parametrize(("name", "content"), [("p.exe", "x"), ("p.csv", ""), ("p.xlsx", "no workbook")])
def test_a_file_that_cannot_be_read_is_told_and_does_not_stay(light_service, name, content):
    answer = send(light_service.office, light_service, name, content)
    if answer.status_code == 303:
        answer = light_service.office.get(answer.headers["location"])
    assert (answer.status_code, 'role="alert"' in answer.text) == (422, True)
    assert list(light_service.work_dir.iterdir()) == []


def test_a_column_that_a_person_chooses_counts(light_service):
    at = send(light_service.office, light_service, content="plot_id,lat,lon,quien\nA,14.66,-88.82,M1\n").headers[
        "location"
    ]
    form = {"ours": ["plot_id", "latitude", "longitude", "member_id"], "theirs": ["plot_id", "lat", "lon", "quien"]}
    light_service.office.post(at, data=form)
    plot = light_service.office.get(f"{light_service.at}/plots/A").json()["properties"]
    assert plot["member_id"] == "M1"
    (row,) = light_service.office.get(f"{light_service.at}/imports").json()["rows"]
    assert row["reading"]["mapping"] == {"quien": "member_id"}


def test_a_member_that_somebody_else_changed_is_not_overwritten(light_service):
    light_service.member("M1", name="Ana")
    at = f"/office/{light_service.ours}/member?id=M1"
    form = {"version": 1, "name": "Ana Uno", "phone": "", "community": ""}
    assert light_service.office.post(at, data=form, follow_redirects=False).status_code == 303
    assert light_service.office.post(at, data={**form, "name": "Ana Dos"}).status_code == 412
    assert light_service.office.get(f"{light_service.at}/members/M1").json()["name"] == "Ana Uno"
