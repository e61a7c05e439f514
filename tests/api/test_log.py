"""What is written down of a request: ids and templates, never what somebody sent."""

import json
from typing import Any

import pytest

SECRETS = ("Dilcia", "DILCIA", "Tábora", "9999", "cursor-of-somebody", "P-secret", "a-key")


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == "geomap.service"]


@pytest.fixture
def watched(light_service, caplog) -> Any:
    caplog.set_level("INFO", "geomap.service")
    return light_service


def test_each_request_leaves_one_line_with_its_id(watched, caplog):
    answers = [watched.office.get(watched.at), watched.nobody.get("/nowhere/Dilcia"), watched.buyer.get("/jobs")]
    found = lines(caplog)
    assert [line["request_id"] for line in found] == [answer.headers["X-Request-ID"] for answer in answers]
    assert [(line["route"], line["status"]) for line in found] == [
        ("/cooperatives/{cooperative_id}", 200),
        ("-", 404),
        ("/jobs", 403),
    ]
    assert found[0]["account"] == watched.office.get("/session").json()["account_id"]
    assert found[1]["account"] == ""
    assert found[0].keys() == {
        "event",
        "level",
        "timestamp",
        "request_id",
        "method",
        "route",
        "status",
        "ms",
        "account",
    }


def test_nothing_that_was_sent_reaches_the_log(watched, caplog):
    member = {"name": "Dilcia Tábora", "phone": "+504 9999 0000"}
    watched.office.put(f"{watched.at}/members/P-secret", json=member)
    watched.office.put(f"{watched.at}/members/P-secret", json={**member, "Dilcia": 1})
    watched.office.get(f"{watched.at}/members", params={"after": "cursor-of-somebody"})
    watched.office.post(f"{watched.at}/grants", json={"account_id": "Dilcia"}, headers={"Idempotency-Key": "a-key"})
    watched.nobody.get("/enter", params={"code": "cursor-of-somebody"})
    watched.nobody.get("/session", headers={"Authorization": "Bearer P-secret", "Cookie": "geomap_session=Dilcia"})
    watched.office.request("DILCIA", "/P-secret")
    assert len(lines(caplog)) == 7
    tokens = [secret[14:] for secret in watched.tokens.values()]
    assert [word for word in (*SECRETS, *tokens) if word in caplog.text] == []


def test_numbers_name_nobody(watched):
    watched.office.get(f"{watched.at}/members/P-secret")
    watched.nobody.request("DILCIA", "/nowhere/P-secret")
    page = watched.operator.get("/metrics").text
    assert [word for word in (*SECRETS, watched.ours) if word in page] == []
    assert 'geomap_requests_total{method="other",route="-",status="404"} 1.0' in page
