"""What an analyst sees: plots of members who agreed, under ids that lead back to nobody."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from geomap.store.errors import NotFoundError
from geomap.store.pseudonyms import pseudonym, pseudonym_secret

CANARY = "Zacarías Único"


@pytest.fixture
def people(service):
    """M1 agreed; M2 agreed and took it back; M3 was never asked; M4 agreed and shares P5 with M3."""
    service.member("M1", agreed=True, name=CANARY, phone="+504 1111", community="Pinabete")
    service.member("M2", agreed=True, name=CANARY)
    service.member("M2", agreed=False, name=CANARY)
    service.member("M3", name=CANARY)
    service.member("M4", agreed=True, name=CANARY)
    more = {"variety": "Típica", "planted_year": 2015, "owner": CANARY, "phone": "+504 1111"}
    for number in (1, 2, 3, 4, 5):
        member = "M4" if number == 5 else f"M{number}"
        place = {"west": -88.82 + number / 100, "south": 14.66}
        service.plot(f"P{number}", member_id=member, community="Pinabete", crop="coffee", attributes=more, **place)
    sent = service.send("shares", "s.csv", "plot_id,member_id,share\nP5,M4,0.5\nP5,M3,0.5\n")
    assert sent.status_code == 201, sent.text
    return service


def plots(client, at, **params):
    answer = client.get(f"{at}/plots", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["features"]


def test_only_plots_of_members_whose_last_word_is_yes_are_seen(people):
    """P1 and P4. Not P2 (taken back), P3 (never asked), P5 (shared with somebody who was never asked)."""
    seen = plots(people.analyst, people.at)
    west = sorted(round(one["geometry"]["coordinates"][0][0][0], 2) for one in seen)
    assert west == [-88.81, -88.78]
    people.member("M1", agreed=False)
    assert len(plots(people.analyst, people.at)) == 1


def test_pseudonyms_are_stable_and_lead_back_to_nobody(people):
    one, again = plots(people.analyst, people.at), plots(people.analyst, people.at)
    assert one == again
    text = json.dumps(one, ensure_ascii=False)
    for word in (CANARY, "1111", "Pinabete", "owner", *(f'"{kind}{n}"' for kind in "MP" for n in range(6))):
        assert word not in text
    ids = {one["properties"][name] for one in one for name in ("plot_id", "member_id")}
    assert len(ids) == 4
    assert all(len(name) == 22 for name in ids)
    assert {tuple(one["properties"]["attributes"]) for one in one} == {("planted_year", "variety")}


def test_coordinates_and_areas_are_as_they_are(people):
    mine = {one["geometry"]["coordinates"][0][0][0]: one for one in plots(people.office, people.at)}
    for seen in plots(people.analyst, people.at):
        own = mine[seen["geometry"]["coordinates"][0][0][0]]
        assert seen["geometry"] == own["geometry"]
        assert seen["properties"]["area_ha"] == own["properties"]["area_ha"]


def test_pages_of_pseudonyms_join_without_gap(people):
    whole = [one["id"] for one in plots(people.analyst, people.at)]
    pages, after = [], ""
    while after is not None:
        answer = people.analyst.get(f"{people.at}/plots", params={"limit": 1, "after": after}).json()
        pages += [one["id"] for one in answer["features"]]
        after = answer["next"]
    assert pages == whole == sorted(whole)


def test_one_plot_is_found_by_its_pseudonym_and_not_by_its_own_id(people):
    seen = plots(people.analyst, people.at)[0]
    one = people.analyst.get(f"{people.at}/plots/{seen['id']}")
    assert one.json()["properties"] == seen["properties"]
    assert "etag" in one.headers
    for plot_id in ("P1", "P3", "P9"):
        answer = people.analyst.get(f"{people.at}/plots/{plot_id}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such plot.")


def test_a_box_does_not_widen_what_is_seen(people):
    assert len(plots(people.analyst, people.at, box="-88.9,14.6,-88.7,14.7")) == 2
    assert len(plots(people.analyst, people.at, box="-88.8105,14.6,-88.8,14.7")) == 1


@pytest.mark.parametrize("format", ["csv", "xlsx", "geoparquet", "json"])
def test_no_format_shows_more(people, format):
    content = people.analyst.get(f"{people.at}/plots", params={"format": format}).content
    assert CANARY.encode() not in content
    assert b"Pinabete" not in content


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/members"), ("GET", "/members/M1"), ("PUT", "/members/M1"), ("DELETE", "/members/M1"),
        ("GET", "/members/M1/consents"), ("POST", "/members/M1/consents"), ("PUT", "/plots/P1"),
        ("DELETE", "/plots/P1"), ("GET", "/plots/P1/history"), ("GET", "/imports"), ("POST", "/imports"),
        ("GET", "/deliveries"), ("GET", "/shares"), ("GET", "/decisions"), ("PUT", "/decisions"), ("POST", "/runs"),
        ("GET", "/jobs"), ("GET", "/export"), ("GET", "/audit"), ("PATCH", ""), ("DELETE", ""),
    ],
)  # fmt: skip
def test_all_else_is_the_offices(light_service, method, path):
    for reader in (light_service.analyst, light_service.buyer):
        answer = reader.request(method, f"{light_service.at}{path}", json={} if method in ("PUT", "POST") else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")


def test_a_buyer_sees_no_plot(people):
    assert people.buyer.get(f"{people.at}/plots").status_code == 403
    assert people.operator.get(f"{people.at}/plots").status_code == 403


def test_an_analyst_without_a_grant_finds_nothing(light_service):
    at = f"/cooperatives/{light_service.foreign}"
    for path in ("", "/plots", "/runs", "/members"):
        assert light_service.analyst.get(f"{at}{path}").status_code == 404


def test_of_a_run_an_analyst_sees_plots_and_shares_but_no_sums(ran):
    service = ran.service
    rows = service.office.get(f"{service.at}/members", params={"limit": 5}).json()["rows"]
    for row in rows:
        body = {"purpose": "analysts", "given": True}
        assert service.office.post(f"{service.at}/members/{row['member_id']}/consents", json=body).status_code == 201
    agreed = {row["member_id"] for row in rows}
    office = service.office.get(f"{ran.at}/plots", params={"limit": 1000}).json()["features"]
    own = [one for one in office if one["properties"]["member_id"] in agreed]
    seen = service.analyst.get(f"{ran.at}/plots", params={"limit": 1000}).json()["features"]
    assert len(seen) == len(own) > 0
    potentials = [sorted(one["properties"]["potential_kg"] for one in part) for part in (seen, own)]
    assert potentials[0] == potentials[1]
    text = json.dumps(seen, ensure_ascii=False)
    assert not [one for one in office if f'"{one["id"]}"' in text or f'"{one["properties"]["member_id"]}"' in text]
    assert "Pinabete" not in text
    told = service.analyst.get(ran.at).json()
    assert set(told["tables"]) <= {"variance", "calibration", "backtest_scores"}
    assert (told["files"], set(told["summary"])) == ({}, {"assumptions"})
    assert "kg" not in {
        column["unit"] for column in service.analyst.get(f"{ran.at}/tables/variance").json()["columns"].values()
    }
    for path in ("tables/members", "tables/cooperatives", "tables/findings", "tables/by_community"):
        assert service.analyst.get(f"{ran.at}/{path}").status_code == 404
    assert service.analyst.get(f"{ran.at}/files/map_internal.html").status_code == 403


def test_many_who_ask_first_at_once_see_the_same_pseudonyms(service):
    with ThreadPoolExecutor(8) as threads:
        secrets = list(threads.map(lambda _: pseudonym_secret(service.store, service.ours), range(16)))
    assert len(set(secrets)) == 1
    assert len(secrets[0]) >= 43  # 256 random bits


def test_equal_ids_of_two_cooperatives_have_different_pseudonyms(service):
    ours, theirs = (pseudonym_secret(service.store, one) for one in (service.ours, service.foreign))
    assert pseudonym(ours, "plot", "P1") != pseudonym(theirs, "plot", "P1")


def test_a_cooperative_that_is_not_there_has_no_pseudonyms(service):
    with pytest.raises(NotFoundError):
        pseudonym_secret(service.store, "A" * 22)
