"""Who may come in, and to what: every route, every role, and answers that tell nobody what is not theirs."""

import re
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import event

from api.access import ACTIONS, EVERYONE, Open, Permission
from api.app import create_app
from api.pages.base import PageRoute
from api.settings import Settings
from geomap.store import accounts, open_store
from geomap.store.accounts import local_account
from geomap.store.database import BUSY_S
from geomap.store.ids import new_id
from geomap.store.schema import accounts as accounts_table
from geomap.store.schema import cooperatives
from geomap.store.schema import tokens as tokens_table
from geomap.store.scope import ALL, Scope
from geomap.store.sessions import add_code, begin_session, exchange_code
from geomap.store.tokens import MOST_VALID, add_token, public_id, revoke_token, who

ROOT = Path(__file__).resolve().parents[2]
LOCAL = Scope("local", ALL, "local")
VARYING = {"x-request-id", "date"}
BODIES: dict[str, Any] = {"PUT": {}, "PATCH": {}, "POST": {}}


def routes(app: Any) -> Iterator[APIRoute]:
    """All routes of the service, those of routers included; pages have their own tests."""
    stack = list(app.routes)
    while stack:
        route = stack.pop()
        if hasattr(route, "original_router"):
            stack += route.original_router.routes
        elif isinstance(route, APIRoute) and not isinstance(route, PageRoute):
            yield route


def rules(route: APIRoute) -> list[Any]:
    """What a route declares about who may ask it."""
    return [part.call for part in route.dependant.dependencies if isinstance(part.call, Permission | Open)]


APP = create_app()
ROUTES = sorted((method, route.path, route) for route in routes(APP) for method in route.methods - {"HEAD", "OPTIONS"})
OF_A_COOPERATIVE = [(method, path) for method, path, _ in ROUTES if "{cooperative_id}" in path]


def filled(path: str, cooperative_id: str) -> str:
    """An address with the cooperative, and with random ids for everything else."""
    path = path.replace("{cooperative_id}", cooperative_id)
    return re.sub(r"\{[^}]+\}", "Zz9-unknown", path)


def told(answer: Any) -> tuple[Any, ...]:
    """All of an answer that a client sees, but for what differs between any two."""
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return answer.status_code, headers, answer.content


# ---- the table ----


@pytest.mark.parametrize(("method", "path", "route"), ROUTES, ids=[f"{method} {path}" for method, path, _ in ROUTES])
def test_each_route_says_who_may_ask_it(method, path, route):
    assert len(rules(route)) == 1


def test_each_action_is_asked_for_by_a_route_and_known_in_the_table():
    asked = {rule.action for *_, route in ROUTES for rule in rules(route) if isinstance(rule, Permission)}
    assert asked - ACTIONS.keys() == set()
    assert len(OF_A_COOPERATIVE) > 20


def test_nothing_but_health_version_and_the_way_in_is_public():
    public = {path for _, path, route in ROUTES if isinstance(rules(route)[0], Open)}
    assert public == {"/health/live", "/health/ready", "/version", "/enter"}


def test_the_documentation_says_the_table():
    text = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `([a-z]+\.[a-z]+)` \| (.+?) \|", text, flags=re.MULTILINE))
    order = ["coop_admin", "analyst", "buyer", "operator", "local"]
    assert shown == {action: ", ".join(role for role in order if role in roles) for action, roles in ACTIONS.items()}


def test_the_schema_says_how_to_come_in_and_what_errors_look_like():
    schema = APP.openapi()
    for method, path, route in ROUTES:
        if not route.include_in_schema:
            continue
        told = schema["paths"][re.sub(r":own", "", path)][method.lower()]
        assert told.get("security") == ([{"HTTPBearer": []}] if isinstance(rules(route)[0], Permission) else None)
        assert told["responses"].keys() >= {"4XX", "5XX"}
        assert "422" not in told["responses"]


# ---- nobody ----


def test_nobody_comes_in_without_a_token(light_service):
    for method, path, route in ROUTES:
        if isinstance(rules(route)[0], Permission):
            answer = light_service.nobody.request(method, filled(path, light_service.ours), json=BODIES.get(method))
            assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated"), f"{method} {path}"
            assert answer.headers["www-authenticate"] == "Bearer"


def test_unknown_expired_revoked_and_closed_are_told_alike(service):
    with service.store.begin(LOCAL) as tx:
        account = accounts.add_account(tx, "buyer")
        closed_account = accounts.add_account(tx, "buyer")
        expired, revoked, closed = add_token(tx, account), add_token(tx, account), add_token(tx, closed_account)
        tx.update(tokens_table, {"expires_at": 1.0}, tokens_table.c.public_id == public_id(expired))
        revoke_token(tx, public_id(revoked))
        accounts.close_account(tx, closed_account)
    unknown = "coop_a1b2c3d4_" + 43 * "x"
    forged = revoked[:14] + 43 * "x"
    wrong = {
        "none": {},
        **{secret: {"Authorization": f"Bearer {secret}"} for secret in (unknown, forged, expired, revoked, closed)},
        "no token": {"Authorization": "Bearer '; drop table tokens; --"},
        "another scheme": {"Authorization": "Basic YTpi"},
        "letters outside ASCII": {"Authorization": b"Bearer coop_\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9_"},
        "a cookie": {"Cookie": "__Host-geomap_session=xyz"},
    }
    answers = {name: told(service.nobody.get("/session", headers=headers)) for name, headers in wrong.items()}
    assert {answer[0] for answer in answers.values()} == {401}
    assert len({str(answer) for answer in answers.values()}) == 1


def test_a_body_of_nobody_is_not_read(light_service):
    answer = light_service.nobody.post(f"{light_service.at}/imports", files={"file": ("a.csv", 10_000_000 * b"x")})
    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["token", "access_token", "Access_Token"])
def test_a_token_in_an_address_is_refused(light_service, name):
    secret = light_service.tokens["office"]
    assert light_service.office.get("/session", params={name: secret}).status_code == 400
    assert light_service.nobody.get("/version", params={name: secret}).status_code == 400


# ---- another cooperative's ----


@pytest.mark.parametrize("name", ["office", "analyst", "buyer"])
def test_what_is_anothers_is_told_from_what_never_was_by_nothing(service, name):
    for method, path in OF_A_COOPERATIVE:
        foreign, missing = (
            told(service.clients[name].request(method, filled(path, cooperative_id), json=BODIES.get(method)))
            for cooperative_id in (service.foreign, new_id())
        )
        assert foreign == missing, f"{method} {path}"
        assert foreign[0] == 404, f"{method} {path}"


def test_what_is_anothers_costs_the_same_work_as_what_never_was(service):
    service.office.get("/session")  # the first use of a token is written down
    asked: list[str] = []
    event.listen(service.store.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
    work = []
    for cooperative_id in (service.foreign, new_id()):
        asked.clear()
        for method, path in OF_A_COOPERATIVE:
            service.office.request(method, filled(path, cooperative_id), json=BODIES.get(method))
        work.append(list(asked))
    assert work[0] == work[1]
    assert len(work[0]) > len(OF_A_COOPERATIVE)


# ---- one's own ----


@pytest.mark.parametrize("role", ["analyst", "buyer", "operator"])
def test_a_role_that_may_not_is_told_so_within_its_own_reach(light_service, role):
    for method, path, route in ROUTES:
        (rule,) = rules(route)
        if "{cooperative_id}" in path:
            answer = light_service.clients[role].request(
                method, filled(path, light_service.ours), json=BODIES.get(method)
            )
            assert (answer.status_code == 403) == (role not in rule.roles), f"{method} {path}: {answer.text}"


def test_a_grant_of_releases_reaches_a_cooperative_but_not_its_plots(light_service):
    service = light_service
    assert service.buyer.get(service.at).status_code == 200
    with service.store.begin(LOCAL) as tx:
        account = accounts.add_account(tx, "analyst")
        secret = add_token(tx, account)
    body = {"account_id": account, "kind": "releases"}
    assert service.office.post(f"{service.at}/grants", json=body).status_code == 201
    reader = TestClient(service.app, headers={"Authorization": f"Bearer {secret}"})
    assert reader.get(service.at).status_code == 200
    assert reader.get(f"{service.at}/plots").status_code == 404


def test_who_asks_is_told_who_they_are(service):
    assert service.operator.get("/session").json()["cooperatives"] is None
    assert service.office.get("/session").json()["cooperatives"] == [service.ours]
    me = service.buyer.get("/session").json()
    assert (me["role"], me["cooperatives"], me["released"]) == ("buyer", [], [service.ours])


# ---- grants ----


def grant(service, kind: str, role: str, **more: Any) -> tuple[Any, TestClient]:
    with service.store.begin(LOCAL) as tx:
        account = accounts.add_account(tx, role)
        secret = add_token(tx, account)
    answer = service.office.post(f"{service.at}/grants", json={"account_id": account, "kind": kind, **more})
    return answer, TestClient(service.app, headers={"Authorization": f"Bearer {secret}"})


def test_a_grant_opens_the_plots_until_it_is_revoked(service):
    given, analyst = grant(service, "plots", "analyst")
    assert analyst.get(f"{service.at}/plots").status_code == 200
    grant_id = given.json()["grant_id"]
    assert grant_id in [row["grant_id"] for row in service.office.get(f"{service.at}/grants").json()["rows"]]
    ended = service.office.delete(f"{service.at}/grants/{grant_id}")
    assert ended.json()["revoked_at"] is not None
    assert analyst.get(f"{service.at}/plots").status_code == 404
    assert service.office.delete(f"{service.at}/grants/{grant_id}").json() == ended.json()


def test_a_grant_holds_only_within_its_time(service):
    _, past = grant(service, "plots", "analyst", starts_at=1.0, ends_at=2.0)
    _, future = grant(service, "plots", "analyst", starts_at=9e9)
    _, present = grant(service, "plots", "analyst", starts_at=1.0, ends_at=9e9)
    assert [client.get(f"{service.at}/plots").status_code for client in (past, future, present)] == [404, 404, 200]


def test_plots_are_never_granted_to_a_buyer(service):
    answer, buyer = grant(service, "plots", "buyer")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert buyer.get("/session").json()["released"] == []


def test_only_readers_that_exist_can_be_granted_anything(service):
    neighbour = service.neighbour.get("/session").json()["account_id"]
    answers = [
        told(service.office.post(f"{service.at}/grants", json={"account_id": account, "kind": "releases"}))
        for account in (neighbour, new_id(), "local")
    ]
    assert [answer[0] for answer in answers] == [404, 404, 404]
    assert answers[0] == answers[1] == answers[2]


def test_an_office_cannot_end_the_grant_of_another(service):
    given, _ = grant(service, "plots", "analyst")
    grant_id = given.json()["grant_id"]
    there = f"/cooperatives/{service.foreign}/grants"
    assert told(service.neighbour.delete(f"{there}/{grant_id}")) == told(
        service.neighbour.delete(f"{there}/{new_id()}")
    )
    assert service.office.get(f"{service.at}/grants").json()["rows"][-1]["revoked_at"] is None


def test_grants_of_a_cooperative_that_never_was_are_not_there_even_for_who_reaches_all(service):
    with service.store.begin(LOCAL) as tx:
        account = accounts.local_account(tx)
        reader = accounts.add_account(tx, "buyer")
    cookie = begin_session(service.store, account, seconds=60)
    headers = {"Cookie": f"__Host-geomap_session={cookie}", "Sec-Fetch-Site": "same-origin"}
    there = f"/cooperatives/{new_id()}/grants"
    body = {"account_id": reader, "kind": "releases"}
    assert service.nobody.get(f"{service.at}/grants", headers=headers).status_code == 200
    assert service.nobody.get(there, headers=headers).status_code == 404
    assert service.nobody.post(there, headers=headers, json=body).status_code == 404


# ---- tokens ----


def test_only_the_hash_of_a_token_is_kept(service):
    secret = service.tokens["office"]
    with service.store.read(LOCAL) as tx:
        kept = str([dict(row) for row in tx.fetch(tokens_table.select())])
    assert secret not in kept
    assert secret[14:] not in kept


def test_everyone_sees_their_own_tokens_and_an_operator_all(service):
    own = service.office.get("/tokens").json()["rows"]
    assert [row["public_id"] for row in own] == [public_id(service.tokens["office"])]
    assert {row["public_id"] for row in service.operator.get("/tokens").json()["rows"]} == {
        public_id(secret) for secret in service.tokens.values()
    }
    assert not any(secret in service.operator.get("/tokens").text for secret in service.tokens.values())


def test_a_token_of_another_cannot_be_revoked_nor_told_from_none(service):
    foreign = public_id(service.tokens["neighbour"])
    assert told(service.office.delete(f"/tokens/{foreign}")) == told(service.office.delete("/tokens/a1b2c3d4"))
    assert service.neighbour.get("/session").status_code == 200
    assert service.operator.delete(f"/tokens/{foreign}").status_code == 200
    assert service.neighbour.get("/session").status_code == 401


def test_a_token_is_replaced_by_its_owner(service):
    made = service.office.post("/tokens", json={"days": 30}).json()
    new = TestClient(service.app, headers={"Authorization": f"Bearer {made['token']}"})
    assert new.get("/session").json() == service.office.get("/session").json()
    assert made["expires_at"] - made["created_at"] == pytest.approx(30 * 86400, abs=1)
    new.delete(f"/tokens/{public_id(service.tokens['office'])}")
    assert service.office.get("/session").status_code == 401


@pytest.mark.parametrize("days", [0, -1, 367, 1e9])
def test_a_token_ends_within_a_year(light_service, days):
    assert light_service.office.post("/tokens", json={"days": days}).status_code == 422


def test_an_account_has_few_tokens(light_service):
    answers = [light_service.office.post("/tokens", json={}).status_code for _ in range(MOST_VALID)]
    assert answers == [*(MOST_VALID - 1) * [201], 409]


def test_the_last_use_of_a_token_is_written_down(service):
    assert service.buyer.get("/session").status_code == 200
    assert service.buyer.get("/tokens").json()["rows"][0]["used_at"] is not None


def test_a_token_opens_nothing_where_its_account_was_closed_meanwhile(service):
    secret = service.tokens["buyer"]
    assert who(service.store, secret) is not None
    with service.store.begin(LOCAL) as tx:
        accounts.close_account(tx, who(service.store, secret).account_id)
    assert who(service.store, secret) is None


@pytest.mark.parametrize(("role", "cooperative"), [("coop_admin", None), ("buyer", "Flor del Pinar"), ("local", None)])
def test_an_account_is_of_one_cooperative_or_of_none(service, role, cooperative):
    with pytest.raises(Exception, match="account"), service.store.begin(LOCAL) as tx:
        accounts.add_account(tx, role, cooperative=cooperative)


def test_every_role_of_the_table_is_one_that_exists():
    assert set(EVERYONE) == {*accounts.ROLES, accounts.LOCAL}
    assert set().union(*ACTIONS.values()) <= EVERYONE


def test_grants_and_tokens_stand_in_the_audit_log(service):
    given, _ = grant(service, "plots", "analyst")
    service.office.delete(f"{service.at}/grants/{given.json()['grant_id']}")
    made = service.office.post("/tokens", json={}).json()
    service.operator.delete(f"/tokens/{made['public_id']}")
    rows = service.office.get(f"{service.at}/audit").json()["rows"]
    found = [(row["action"], row["object"]) for row in rows if row["action"].startswith(("grants", "tokens"))]
    assert found == [
        ("tokens.revoke", made["public_id"]),
        ("tokens.add", made["public_id"]),
        ("grants.change", given.json()["grant_id"]),
        ("grants.change", given.json()["grant_id"]),
    ]
    assert made["token"] not in str(rows)


# ---- sessions ----

HERE = {"Origin": "https://supply.example.org", "Host": "supply.example.org"}


@pytest.fixture
def browser(service) -> TestClient:
    """A browser that the office has signed in."""
    browser = TestClient(service.app, base_url="https://supply.example.org")
    signed_in = browser.post("/session", headers={"Authorization": f"Bearer {service.tokens['office']}"})
    assert signed_in.status_code == 204
    cookie = signed_in.headers["set-cookie"].lower()
    assert cookie.startswith("__host-geomap_session=")
    assert {"httponly", "secure", "samesite=strict", "path=/"} <= {part.strip() for part in cookie.split(";")}
    return browser


def test_a_cookie_is_as_good_as_the_token_that_it_was_begun_with(service, browser):
    assert browser.get("/session").json() == service.office.get("/session").json()
    service.operator.delete(f"/tokens/{public_id(service.tokens['office'])}")
    assert browser.get("/session").status_code == 401


def test_a_session_ends_where_its_browser_signs_out(browser):
    cookies = dict(browser.cookies)
    assert browser.delete("/session", headers=HERE).status_code == 204
    again = TestClient(browser.app, base_url="https://supply.example.org", cookies=cookies)
    assert again.get("/session").status_code == 401


def test_a_session_does_not_begin_another(browser):
    assert browser.post("/session", headers=HERE).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Origin": "https://supply.example.org.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://supply.example.org", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_page_of_another_site_changes_nothing_with_our_cookie(browser, headers):
    answer = browser.post("/tokens", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert len(browser.get("/tokens").json()["rows"]) == 1


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://supply.example.org"}, {"Sec-Fetch-Site": "same-origin"}], ids=str
)
def test_our_own_pages_change_things_with_our_cookie(browser, headers):
    assert browser.post("/tokens", json={}, headers=headers).status_code == 201


def test_a_browser_is_signed_out_after_its_hours(service):
    app = create_app(Settings(work_dir=service.work_dir, session_hours=1e-9), store=service.store)
    browser = TestClient(app, base_url="https://supply.example.org")
    browser.post("/session", headers={"Authorization": f"Bearer {service.tokens['office']}"})
    assert browser.get("/session").status_code == 401


@pytest.mark.parametrize("host", ["evil.example.org", "supply.example.org:81", "", "127.0.0.1"])
def test_a_service_is_called_by_its_name_alone(service, host):
    app = create_app(Settings(work_dir=service.work_dir, hosts=["supply.example.org"]), store=service.store)
    client = TestClient(app, base_url="https://supply.example.org")
    assert client.get("/version").status_code == 200
    assert client.get("/version", headers={"Host": host}).status_code == 400


# ---- the service itself ----


def test_a_service_without_a_store_says_that_it_has_none(tmp_path):
    client = TestClient(create_app(Settings(work_dir=tmp_path)))
    answer = client.get("/cooperatives", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")


def test_a_service_with_a_store_is_ready(service):
    assert service.nobody.get("/health/ready").json() == {"status": "ok"}


def test_a_service_whose_store_is_none_of_ours_is_not_ready_and_does_not_start(tmp_path):
    app = create_app(Settings(work_dir=tmp_path, worker=False), store=open_store(f"sqlite:///{tmp_path}/none.sqlite"))
    answer = TestClient(app, raise_server_exceptions=False).get("/health/ready")
    assert answer.status_code == 503
    assert not (tmp_path / "none.sqlite").exists()
    with pytest.raises(Exception, match="no store"), TestClient(app):
        pass


def test_a_service_whose_store_cannot_be_written_is_not_ready(light_service):
    with light_service.store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only = ON")
    answer = light_service.nobody.get("/health/ready")
    assert answer.status_code == 503


def test_a_service_whose_worker_has_ended_is_not_ready(light_service, monkeypatch):
    app = create_app(Settings(work_dir=light_service.work_dir), store=light_service.store)
    monkeypatch.setattr(app.state.worker, "run", lambda: 1 / 0)
    with TestClient(app) as client:
        app.state.worker_thread.join(20)
        answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    with TestClient(create_app(Settings(work_dir=light_service.work_dir), store=light_service.store)) as client:
        assert client.get("/health/ready").status_code == 200


def test_numbers_are_for_the_operator_alone(service):
    assert service.office.get("/metrics").status_code == 403
    page = service.operator.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert 'geomap_jobs{state="queued"} 0.0' in page.text
    assert 'geomap_requests_total{method="GET",route="/metrics",status="403"} 1.0' in page.text
    assert service.ours not in page.text


def test_numbers_can_be_opened_where_nobody_outside_reaches_them(light_service):
    app = create_app(Settings(work_dir=light_service.work_dir, open_metrics=True), store=light_service.store)
    assert TestClient(app).get("/metrics").status_code == 200


def test_the_operator_sees_states_of_jobs_and_nothing_of_what_they_are_about(service):
    from geomap.store.jobs import add_job

    with service.store.begin(LOCAL) as tx:
        made = add_job(tx, cooperative_id=service.ours, parameters={"title": "Ana Mejía"})
    (row,) = service.operator.get("/jobs").json()["rows"]
    assert (row["job_id"], row["state"]) == (made["job_id"], "queued")
    assert "Ana" not in service.operator.get("/jobs").text
    assert service.operator.get("/jobs", params={"state": "done"}).json()["rows"] == []
    assert service.office.get("/jobs").status_code == 403
    assert service.operator.delete(f"/jobs/{made['job_id']}").json()["state"] == "cancelled"
    assert service.operator.delete(f"/jobs/{new_id()}").status_code == 404


@pytest.mark.parametrize("table", [accounts_table, tokens_table], ids=lambda table: table.name)
def test_nobody_reads_accounts_and_tokens_but_who_keeps_the_service(service, table):
    from geomap.store.errors import NotAllowedError

    for role in ("coop_admin", "analyst", "buyer", "worker"):
        with pytest.raises(NotAllowedError), service.store.read(Scope(role, frozenset({service.ours}))) as tx:
            tx.fetch(table.select())


def test_a_code_that_opens_nothing_does_not_wait_for_who_writes(light_service):
    """Whoever guesses codes keeps nobody from writing, and is kept by nobody."""
    with light_service.store.begin(Scope("operator", ALL)) as tx:
        tx.update(cooperatives, {"name": "writing"}, cooperatives.c.cooperative_id == light_service.ours)
        start = time.monotonic()
        for code in ("x", "x" * 100, secrets.token_urlsafe(32)):
            assert light_service.nobody.get("/enter", params={"code": code}).status_code == 401
        assert time.monotonic() - start < BUSY_S


def test_a_code_opens_one_session_of_many_that_come_at_once(service):
    with service.store.begin(Scope("local", ALL, "local")) as tx:
        account = local_account(tx)
    code = add_code(service.store, account)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: exchange_code(service.store, code, seconds=60), range(8)))
    assert len([secret for secret in found if secret]) == 1
