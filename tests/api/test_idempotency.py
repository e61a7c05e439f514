"""A request that is sent again with its key is answered again, not done again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.access import Asked, may
from geomap.store.errors import StoreFullError
from geomap.store.idempotency import ABANDONED_S, KEPT_S, WORKING, free_key, keep_answer, take_key
from geomap.store.schema import idempotency as table
from geomap.store.scope import SERVICE


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


@pytest.fixture
def counted(service) -> Any:
    """A service with a route that counts how often it is done."""
    service.done = []
    service.wait = threading.Event()
    service.wait.set()

    @service.app.post("/count", status_code=201)
    def count(request: Request, body: dict[str, Any], asked: Annotated[Asked, may("session.read")]) -> dict[str, int]:
        service.wait.wait(10)
        if body.get("fail"):
            raise ZeroDivisionError
        service.done.append(asked.account)
        return {"done": len(service.done)}

    return service


def test_the_same_request_with_the_same_key_is_done_once(counted):
    answers = [counted.office.post("/count", json={"a": 1}, headers=key("k1")) for _ in range(3)]
    assert [answer.json() for answer in answers] == [{"done": 1}] * 3
    assert [answer.status_code for answer in answers] == [201] * 3
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true", "true"]
    assert counted.office.post("/count", json={"a": 1}, headers=key("k2")).json() == {"done": 2}
    assert counted.office.post("/count", json={"a": 1}).json() == {"done": 3}


@pytest.mark.parametrize(("path", "body"), [("/count", {"a": 2}), ("/count?x=1", {"a": 1}), ("/tokens", {"a": 1})])
def test_another_request_with_the_same_key_is_refused(counted, path, body):
    counted.office.post("/count", json={"a": 1}, headers=key("k"))
    answer = counted.office.post(path, json=body, headers=key("k"))
    assert (answer.status_code, answer.json()["code"]) == (422, "repeated_key")
    assert len(counted.done) == 1


def test_the_key_of_another_account_is_another_key(counted):
    assert counted.office.post("/count", json={}, headers=key("k")).json() == {"done": 1}
    answer = counted.neighbour.post("/count", json={}, headers=key("k"))
    assert answer.json() == {"done": 2}
    assert "idempotency-replayed" not in answer.headers


def test_a_request_that_failed_may_be_sent_again_with_its_key(counted):
    assert counted.office.post("/count", json={"fail": 1}, headers=key("k")).status_code == 500
    assert counted.office.post("/count", json=[], headers=key("k")).status_code == 422
    assert counted.office.post("/count", json={}, headers=key("k")).json() == {"done": 1}


def test_of_many_at_once_one_is_done(counted):
    def send(_: int) -> Any:
        client = TestClient(counted.app, headers={"Authorization": f"Bearer {counted.tokens['office']}"})
        return client.post("/count", json={}, headers=key("k"))

    counted.wait.clear()
    threading.Timer(0.5, counted.wait.set).start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert len(counted.done) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert all(answer.json() == {"done": 1} for answer in answers if answer.status_code == 201)
    assert send(0).json() == {"done": 1}


def test_what_was_done_is_answered_even_where_the_answer_cannot_be_kept(counted, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise StoreFullError("The disk of the store is full.")

    monkeypatch.setattr("api.idempotency.keep_answer", full)
    answer = counted.office.post("/count", json={}, headers=key("k"))
    assert (answer.status_code, answer.json()) == (201, {"done": 1})
    again = counted.office.post("/count", json={}, headers=key("k"))
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert len(counted.done) == 1


def test_a_secret_is_sent_once_and_kept_nowhere(service):
    first, second = (service.office.post("/tokens", json={}, headers=key("k")) for _ in range(2))
    assert first.json()["token"] != second.json()["token"]
    with service.store.read(SERVICE) as tx:
        assert tx.fetch(table.select()) == []


@pytest.mark.parametrize("name", ["", " ", "a b", 201 * "x", "é".encode()])
def test_a_key_is_a_short_word(light_service, name):
    assert light_service.office.post("/session", headers={"Idempotency-Key": name}).status_code == 400


def test_a_key_of_nobody_is_nothing(light_service):
    assert light_service.nobody.post("/session", headers=key("k")).status_code == 401


def test_keys_are_forgotten_after_a_day_and_requests_that_were_lost_after_minutes(store):
    assert take_key(store, "a", "kept", "1") is None
    keep_answer(store, "a", "kept", status=201, headers={}, body=b"x")
    assert take_key(store, "a", "lost", "1") is None
    assert take_key(store, "a", "kept", "1").body == b"x"
    assert take_key(store, "a", "lost", "1").status == WORKING

    def age(name: str, seconds: float) -> None:
        with store.begin(SERVICE) as tx:
            tx.update(table, {"created_at": table.c.created_at - seconds}, table.c.idempotency_key == name)

    age("lost", ABANDONED_S + 1)
    age("kept", ABANDONED_S + 1)
    assert take_key(store, "a", "kept", "1").body == b"x"
    assert take_key(store, "a", "lost", "1") is None
    age("kept", KEPT_S)
    assert take_key(store, "a", "kept", "2") is None
    free_key(store, "a", "kept")
    assert take_key(store, "a", "kept", "3") is None


@pytest.mark.parametrize("kind", ["multipart/form-data", "Multipart/Form-Data", "MULTIPART/FORM-DATA"])
def test_a_form_needs_no_key_however_its_kind_is_written(service, kind):
    """The same file is the same import; a form is never held in memory for its key."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="kind"\r\n\r\nmembers\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="m.csv"\r\n\r\nmember_id\nM1\n\r\n--b--\r\n'
    )
    headers = {**key("k"), "Content-Type": f"{kind}; boundary=b"}
    answers = [service.office.post(f"{service.at}/imports", content=body, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert "idempotency-replayed" not in answers[1].headers
    with service.store.read(SERVICE) as tx:
        assert tx.fetch(select(table)) == []


def test_an_answer_that_was_under_way_while_somebody_was_erased_is_not_kept(counted):
    counted.member("M1", name="Ana")
    counted.wait.clear()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(counted.office.post, "/count", json={"a": 1}, headers=key("k"))
        wait_until_taken(counted.store)
        assert counted.office.delete(f"{counted.at}/members/M1").status_code == 204
        assert counted.office.post("/count", json={"a": 1}, headers=key("k")).status_code == 409  # still under way
        counted.wait.set()
        assert under_way.result().json() == {"done": 1}
    with counted.store.read(SERVICE) as tx:
        assert tx.fetch(select(table)) == []
    again = counted.office.post("/count", json={"a": 1}, headers=key("k"))
    assert (again.json(), again.headers.get("idempotency-replayed")) == ({"done": 2}, None)


def wait_until_taken(store) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with store.read(SERVICE) as tx:
            if tx.fetch(select(table)):
                return
        time.sleep(0.02)
    raise AssertionError("no key was taken")
