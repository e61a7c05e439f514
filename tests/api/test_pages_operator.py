"""Pages of whoever keeps the service: what it does and how it is, and nothing of anybody."""

import re
from html import unescape

import pytest

from api.pages.operator import last_errors, room, store_facts
from api.pages.texts import catalogue, languages
from geomap.store.jobs import add_job
from geomap.store.scope import ALL, Scope

LOCAL, WORKER = Scope("local", ALL, "local"), Scope("worker", ALL)
OURS = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}


def read(client, path, **params):
    answer = client.get(path, params=params)
    assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
    return unescape(answer.text)


def add_jobs(service, count=1, **parameters):
    with service.store.begin(LOCAL) as tx:
        return [add_job(tx, cooperative_id=service.ours, parameters=parameters)["job_id"] for _ in range(count)]


def test_no_page_of_the_operator_tells_of_anybody(light_world):
    hidden = [one for letter in "ab" for one in light_world.canaries[letter].all]
    secrets = [secret for secret in light_world.secrets.values() if secret.startswith("coop_")]
    for name in ("operator", "local"):
        for path in ("/service", "/service?state=done", "/service/accounts"):
            text = read(light_world.clients[name], path)
            places = ("zzqserver", "geomap.sqlite", str(light_world.service.work_dir))
            assert [one for one in (*hidden, *secrets, *places) if one in text] == [], path


def test_only_those_who_keep_the_service_see_it(light_world):
    for name in ("office", "analyst", "buyer"):
        for path in ("/service", "/service/accounts"):
            assert light_world.clients[name].get(path).status_code == 403
    assert light_world.clients["nobody"].get("/service").status_code == 401


def test_jobs_stand_in_their_order_and_can_be_cancelled(light_service):
    first, second = add_jobs(light_service, 2, title="Zzq title")
    text = read(light_service.operator, "/service")
    assert text.index(second) < text.index(first)
    assert "Zzq title" not in text and "Flor del Pinar" in text
    rows = re.findall(rf"<code class=\"id\">({first}|{second})</code></th><td>(\w+)</td><td class=\"n\">(\d)", text)
    assert sorted(rows) == sorted([(first, "Waiting", "1"), (second, "Waiting", "2")])
    answer = light_service.operator.post(f"/service/jobs/{first}/cancel", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/service")
    assert first in read(light_service.operator, "/service", state="cancelled")
    assert first not in read(light_service.operator, "/service", state="queued")
    for name in ("analyst", "buyer", "office"):
        assert light_service.clients[name].post(f"/service/jobs/{second}/cancel").status_code == 403
    assert light_service.operator.post("/service/jobs/none/cancel").status_code == 404


def test_of_an_error_the_code_is_told_and_not_its_words(light_service):
    from geomap.errors import RasterError
    from geomap.store.jobs import claim, fail

    (job,) = add_jobs(light_service)
    held = claim(light_service.store, "w")
    fail(light_service.store, held, RasterError("Zzq Canaria Uno has no map."))
    text = read(light_service.operator, "/service")
    assert job in text and "<code>raster</code>" in text and "Zzq" not in text


def test_codes_are_counted_the_most_frequent_first():
    rows = [{"error": {"code": code}, "ended_at": at} for code, at in (("a", 1.0), ("b", 2.0), ("b", 5.0))]
    assert last_errors(rows) == [{"code": "b", "jobs": 2, "last": 5.0}, {"code": "a", "jobs": 1, "last": 1.0}]


def test_a_service_that_cannot_work_says_why(light_service, tmp_path):
    assert catalogue("en")["service.ready"] in read(light_service.operator, "/service")
    light_service.work_dir.rmdir()
    text = read(light_service.operator, "/service")
    assert catalogue("en")["service.not_ready"] in text and "GEOMAP_API_WORK_DIR" in text
    assert catalogue("en")["service.no_room"] in text
    assert room(tmp_path / "nothing") == {"free": None, "whole": None, "enough": False}


def test_the_store_is_told_without_its_place(store):
    facts = store_facts(store)
    assert facts["dialect"] in ("sqlite", "postgresql")
    assert facts["name"] == ("geomap" if facts["dialect"] == "postgresql" else "")
    assert facts["bytes"] > 10_000
    assert facts["version"] == facts["latest"]


def test_the_operator_adds_a_cooperative(light_service):
    form = {"name": "Nueva Luz", "code": "", "country": "Honduras", "crop": "coffee"}
    answer = light_service.operator.post("/office/add", data=form, follow_redirects=True)
    assert answer.status_code == 200 and "Nueva Luz" in answer.text


# ---- accounts and tokens ----


def test_accounts_stand_with_their_tokens_and_when_they_were_used(light_service):
    light_service.analyst.get("/session")
    text = read(light_service.operator, "/service/accounts")
    ids = {name: token.split("_")[1] for name, token in light_service.tokens.items()}
    assert all(one in text for one in ids.values())
    assert not [token for token in light_service.tokens.values() if token in text]
    assert "office · <bdi>Flor del Pinar</bdi>" in text
    assert catalogue("en")["service.you"] in text and catalogue("en")["service.never_used"] in text


def test_a_token_is_shown_once_and_opens_what_its_account_opens(light_service):
    answer = light_service.operator.post("/service/accounts/tokens", data={"days": 7}, headers=OURS)
    assert answer.status_code == 201
    (token,) = set(re.findall(r"coop_[a-z0-9]{8}_[\w-]{43}", answer.text))
    assert answer.headers["cache-control"] == "no-store"
    assert light_service.nobody.get("/session", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert token not in read(light_service.operator, "/service/accounts")
    assert light_service.operator.post("/service/accounts/tokens", data={"days": 900}).status_code == 422


def test_a_token_that_is_revoked_opens_nothing(light_service):
    public = light_service.tokens["analyst"].split("_")[1]
    assert light_service.buyer.post(f"/service/accounts/tokens/{public}/revoke").status_code == 404
    assert light_service.analyst.get("/session").status_code == 200
    answer = light_service.operator.post(f"/service/accounts/tokens/{public}/revoke", follow_redirects=False)
    assert answer.status_code == 303
    assert light_service.analyst.get("/session").status_code == 401


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}])
def test_no_other_site_posts_a_form(light_service, headers):
    from fastapi.testclient import TestClient

    browser = TestClient(light_service.app, base_url="https://testserver")
    form = {"token": light_service.tokens["operator"]}
    ours = {"Origin": "https://testserver", "Sec-Fetch-Site": "same-origin"}
    browser.post("/sign-in", data=form, headers=ours)
    assert browser.get("/service").status_code == 200
    assert browser.post("/service/accounts/tokens", data={"days": 1}, headers=headers).status_code == 403


# ---- in a browser ----


def test_an_operator_walks_through_the_pages(desk_with_run):
    operator = desk_with_run.browser("operator")
    for language in languages():
        operator.open(f"/service?lang={language}")
        operator.check(f"service-{language}")
        operator.open("/service/accounts")
        operator.check(f"accounts-{language}")
    operator.open("/service/accounts?lang=en")
    operator.page.locator("summary").first.click()
    operator.press("Make the token")
    operator.check("token")
    assert "coop_" in operator.text
    operator.click("I have copied it")
    assert "coop_" not in operator.text
    local = desk_with_run.browser("local")
    local.open("/")
    local.click("Service")
    local.check("service-local")
