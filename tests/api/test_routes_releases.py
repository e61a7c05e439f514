"""Releases through the service: what offices sign, what buyers get of it, and what nobody can work out of all of it."""

import csv
import importlib.util
import io
import json
import re
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from api.release_tables import COLUMNS, buyers_unit, changes, columns_of
from geomap.store.accounts import add_account
from geomap.store.grants import add_grant, revoke_grant
from geomap.store.ids import new_id
from geomap.store.scope import ALL, Scope
from geomap.store.tokens import add_token

TESTS = Path(__file__).parents[1]
LOCAL = Scope("local", ALL, "someone")


def loaded(name, path):
    spec = importlib.util.spec_from_file_location(name, TESTS / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made_runs = loaded("made_runs", "made_runs.py")
attack = loaded("disclosure_attack", "supply/test_disclosure_attack.py")
members_of, plots_of = made_runs.members_of, made_runs.plots_of


class Market:
    """A service of two cooperatives with runs of members that a test makes up."""

    def __init__(self, service, folder):
        self.service, self.folder = service, folder
        self.codes = {service.ours: "Flor del Pinar", service.foreign: "Nueva Aurora"}
        self.at = service.at

    def __getattr__(self, name):
        return self.service.clients[name]

    def run(self, members, points=None, *, of=None, **more):
        of = of or self.service.ours
        points = plots_of(members) if points is None else points
        return made_runs.add_run(self.service.store, of, self.folder, members, points, code=self.codes[of], **more)

    def ask(self, run_id, *, client=None, of=None, **body):
        body = {"run_id": run_id, "signed_by": "The board", **body}
        client = client or self.office
        return client.post(f"/cooperatives/{of or self.service.ours}/releases", json=body)

    def sign(self, run_id, **body):
        answer = self.ask(run_id, **body)
        assert answer.status_code == 201, answer.text
        return answer.json()["release"]

    def client(self, role, **grants):
        """Somebody new, with grants of cooperatives: kind → id."""
        from fastapi.testclient import TestClient

        with self.service.store.begin(LOCAL) as tx:
            account = add_account(tx, role)
            token = add_token(tx, account)
            for kind, cooperative_id in grants.items():
                add_grant(tx, cooperative_id, account, kind)
        headers = {"Authorization": f"Bearer {token}"}
        return TestClient(self.service.app, headers=headers, raise_server_exceptions=False)


@pytest.fixture
def market(service, tmp_path):
    """On each of the two databases."""
    return Market(service, tmp_path)


@pytest.fixture
def light_market(light_service, tmp_path):
    """On SQLite, where the database makes no difference."""
    return Market(light_service, tmp_path)


def told(answer):
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    return answer.status_code, headers, answer.content


# ---- to sign ----


def test_an_office_sees_a_release_before_it_signs_and_buyers_see_what_it_signed(market):
    run_id = market.run(members_of(23, 30, kg=530.0))
    seen = market.ask(run_id, by=["community"], dry_run=True)
    assert (seen.status_code, market.office.get(f"{market.at}/releases").json()["rows"]) == (200, [])
    answer = market.ask(run_id, by=["community"], note="First of the season")
    signed = answer.json()
    assert answer.status_code == 201
    assert signed["content"] == seen.json()["content"]
    got = market.buyer.get(answer.headers["location"])
    assert got.status_code == 200
    shown = got.json()
    assert {name: shown[name] for name in signed["content"]} == signed["content"]
    assert (shown["note"], shown["by"]["community"][0]["mean_kg"]) == ("First of the season", 12000.0)
    again = market.buyer.get(answer.headers["location"], headers={"If-None-Match": got.headers["etag"]})
    assert again.status_code == 304


def test_signing_twice_is_signing_once(market):
    run_id = market.run(members_of(23, 30))
    first, second = market.ask(run_id), market.ask(run_id)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.headers["location"] == second.headers["location"]
    key = {"Idempotency-Key": "k1"}
    body = {"run_id": run_id, "signed_by": "The board", "by": ["community"]}
    one, two = (market.office.post(f"{market.at}/releases", json=body, headers=key) for _ in range(2))
    assert (one.status_code, one.content) == (two.status_code, two.content)
    assert [row["number"] for row in market.office.get(f"{market.at}/releases").json()["rows"]] == [2, 1]


def test_the_office_is_warned_of_one_who_joined_before_it_signs(light_market):
    light_market.sign(light_market.run(members_of(30, 30)))
    joined = pd.concat([members_of(30, 30), members_of(1, kg=640.0).assign(member_id="new")], ignore_index=True)
    seen = light_market.ask(light_market.run(joined), dry_run=True).json()
    assert (seen["changed"], seen["differences"]["potential_kg"]) == (1, pytest.approx(640))
    assert "640 kg" in seen["warnings"][0]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"signed_by": ""}, 422, "invalid_request"),
        ({"min_members": 4}, 422, "invalid_request"),
        ({"by": ["phone"]}, 422, "unknown_name"),
        ({"quantity": "plots"}, 422, "invalid_request"),
        ({"run_id": "A" * 22}, 404, "not_found"),
        ({"leave_out": ["totals"]}, 422, "invalid_request"),
    ],
)
def test_what_cannot_be_signed_is_refused(light_market, body, status, code):
    run_id = light_market.run(members_of(20))
    answer = light_market.ask(**{"run_id": run_id, **body})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert light_market.office.get(f"{light_market.at}/releases").json()["rows"] == []


def test_a_run_of_another_cooperative_is_none(light_market):
    run_id = light_market.run(members_of(20), of=light_market.service.foreign)
    never = light_market.ask(new_id())
    assert told(light_market.ask(run_id)) == told(never)
    assert never.status_code == 404


def test_what_is_signed_and_withdrawn_is_written_down(light_market):
    signed = light_market.sign(light_market.run(members_of(20)))
    light_market.office.delete(f"{light_market.at}/releases/{signed['release_id']}")
    looks = light_market.service.looks()[:2]
    assert looks == [("releases.withdraw", signed["release_id"]), ("releases.add", signed["release_id"])]


# ---- who sees it ----


def test_a_buyer_sees_only_what_was_granted(market):
    ours, foreign = market.service.ours, market.service.foreign
    mine = market.sign(market.run(members_of(20)))
    theirs = market.sign(market.run(members_of(30), of=foreign), client=market.neighbour, of=foreign)
    assert market.buyer.get(f"/cooperatives/{ours}/releases/{mine['release_id']}").status_code == 200
    wrong = [
        f"/cooperatives/{foreign}/releases/{theirs['release_id']}",
        f"/cooperatives/{new_id()}/releases/{theirs['release_id']}",
        f"/cooperatives/{foreign}/releases",
    ]
    answers = [told(market.buyer.get(path)) for path in wrong]
    assert answers[0][0] == 404
    assert answers[0] == answers[1] == answers[2]
    borrowed = told(market.buyer.get(f"/cooperatives/{ours}/releases/{theirs['release_id']}"))
    assert borrowed == told(market.buyer.get(f"/cooperatives/{ours}/releases/{new_id()}"))
    portfolio = market.buyer.get("/portfolio").json()
    assert [row["cooperative_id"] for row in portfolio["releases"]] == [ours]


def test_a_grant_that_ended_shows_nothing_more(market):
    signed = market.sign(market.run(members_of(20)))
    with market.service.store.begin(LOCAL) as tx:
        account = add_account(tx, "buyer")
        token, given = add_token(tx, account), add_grant(tx, market.service.ours, account, "releases")
    headers = {"Authorization": f"Bearer {token}"}
    path = f"{market.at}/releases/{signed['release_id']}"
    assert market.nobody.get(path, headers=headers).status_code == 200
    with market.service.store.begin(LOCAL) as tx:
        revoke_grant(tx, market.service.ours, given["grant_id"])
    assert market.nobody.get(path, headers=headers).status_code == 404
    assert market.nobody.get("/portfolio", headers=headers).json() == {"releases": [], "groups": []}


def test_an_analyst_sees_releases_by_a_grant_of_releases_alone(market):
    signed = market.sign(market.run(members_of(20)))
    path = f"{market.at}/releases/{signed['release_id']}"
    assert market.client("analyst", releases=market.service.ours).get(path).status_code == 200
    of_plots = market.client("analyst", plots=market.service.ours)
    for one in (path, f"{market.at}/releases", f"{path}/tables/totals"):
        assert told(of_plots.get(one)) == told(of_plots.get(one.replace(market.service.ours, new_id())))
        assert of_plots.get(one).status_code == 404
    assert of_plots.get("/portfolio").json()["releases"] == []


def test_what_was_withdrawn_is_as_if_it_had_never_been(market):
    first, run_id = market.sign(market.run(members_of(30))), market.run(members_of(30, 30))
    second = market.sign(run_id)
    paths = [f"{market.at}/releases/{one['release_id']}" for one in (first, second)]
    assert market.buyer.get(f"{paths[1]}/tables/changes").json()["rows"] != []
    for _ in range(2):
        ended = market.office.delete(paths[1])
        assert (ended.status_code, ended.json()["withdrawn_at"] is None) == (200, False)
    for path in (paths[1], f"{paths[1]}/tables/totals"):
        assert told(market.buyer.get(path)) == told(market.buyer.get(path.replace(second["release_id"], new_id())))
    assert [row["number"] for row in market.buyer.get(f"{market.at}/releases").json()["rows"]] == [1]
    assert [row["number"] for row in market.buyer.get("/portfolio").json()["releases"]] == [1]
    assert market.office.get(paths[1]).status_code == 200


def test_a_buyer_gets_no_file_and_no_part_of_the_run(market):
    """Least of all the map of shares: beside a release it would tell members by differences."""
    run_id = market.run(members_of(23, 30))
    market.sign(run_id, by=["community"])
    at = f"{market.at}/runs/{run_id}"
    assert market.office.get(f"{at}/files/map_share.html").status_code == 200
    released = market.client("analyst", releases=market.service.ours)
    for path in ("", "/files/map_share.html", "/tables/cooperatives", "/tables/by_community", "/plots"):
        assert market.buyer.get(at + path).status_code == 403
        assert released.get(at + path).status_code in (403, 404)
    plotted = market.client("analyst", plots=market.service.ours, releases=market.service.ours)
    assert plotted.get(f"{at}/files/map_share.html").status_code == 403
    assert plotted.get(f"{at}/tables/by_community").status_code == 404


# ---- what it holds ----


def all_answers(client, at):
    """Every answer that somebody can have of releases, as text."""
    texts = [client.get(path).text for path in ("/portfolio", f"{at}/releases", at, "/cooperatives")]
    for row in client.get(f"{at}/releases").json()["rows"]:
        path = f"{at}/releases/{row['release_id']}"
        one = client.get(path)
        texts += [one.text, str(dict(one.headers))]
        for name in one.json()["tables"]:
            for kind in ("json", "csv"):
                answer = client.get(f"{path}/tables/{name}", params={"format": kind, "limit": 1000})
                assert answer.status_code == 200, answer.text
                texts += [answer.text, str(dict(answer.headers))]
            book = openpyxl.load_workbook(io.BytesIO(client.get(f"{path}/tables/{name}?format=xlsx").content))
            texts += [str(list(sheet.values)) for sheet in book]
    return texts


def test_no_answer_to_a_buyer_holds_a_member_a_place_or_anything_of_the_inside(market):
    members = members_of(25, 30, 3)
    members["member_id"] = [f"ZZQM-{k}" for k in range(len(members))]
    members.loc[55:, "community"] = "zzqhamlet"  # of three members: a name could be a person's
    points = plots_of(members_of(25, 30, 3)).assign(member_id=members["member_id"], lat=14.6543217)
    market.service.member("ZZQM-1", name="Zzqname Canaria", phone="+5040009111")
    runs = [
        market.run(members, points),
        market.run(members.assign(potential_kg=700.0), points.assign(potential_kg=700.0)),
    ]
    for run_id in runs:
        market.sign(run_id, by=["community", "certification"], signed_by="Zzqsigner Canaria")
    texts = all_answers(market.buyer, market.at)
    assert any("12000.0" in text or "17500" in text or "18000" in text for text in texts)
    jobs = [row["job_id"] for row in market.office.get(f"{market.at}/jobs").json()["rows"]]
    accounts = [row["account_id"] for row in market.office.get(f"{market.at}/audit").json()["rows"]]
    hidden = ["zzqm-", "zzqhamlet", "zzqname", "zzqsigner", "0009111", "54321", *runs, *jobs, *accounts]
    for text in texts:
        assert not [word for word in hidden if word.lower() in text.lower()]
        assert not re.search(r"\d\d:\d\d:\d\d(?! GMT)", text)
        assert not re.search(r"\b1[6-9]\d{8}\.\d", text)  # seconds since 1970


def test_a_suppressed_number_is_empty_in_every_format_and_says_so(light_market):
    signed = light_market.sign(light_market.run(members_of(23, 3)), by=["community"])
    path = f"{light_market.at}/releases/{signed['release_id']}/tables/by_community"
    rows = light_market.buyer.get(path).json()["rows"]
    assert [(row["mean_kg"], row["mean_bags"], row["status"]) for row in rows] == [(None, None, "suppressed")] * 2
    lines = list(csv.DictReader(io.StringIO(light_market.buyer.get(path, headers={"Accept": "text/csv"}).text)))
    assert [(line["mean_kg"], line["status"]) for line in lines] == [("", "suppressed")] * 2
    book = openpyxl.load_workbook(io.BytesIO(light_market.buyer.get(f"{path}?format=xlsx").content))
    assert [row[2] for row in book["rows"].iter_rows(min_row=2, values_only=True)] in ([None] * 2, [""] * 2)


def test_buyers_read_bags_and_containers_of_the_cooperatives_own_bag(light_market):
    light_market.office.patch(light_market.at, json={"settings": {"bag_kg": 69}})
    signed = light_market.sign(light_market.run(members_of(138)), by=["community"])
    path = f"{light_market.at}/releases/{signed['release_id']}"
    rows = light_market.buyer.get(f"{path}/tables/totals").json()["rows"]
    first = rows[0]  # 138 · 500 = 69,000 kg: 1,000 bags, of which 275 fill a container
    assert (first["kg"], first["bags"]) == (69000.0, 1000.0)
    assert first["containers"] == pytest.approx(1000 / 275)
    assert light_market.buyer.get(path).json()["unit"]["size_kg"] == 69.0


def test_no_unit_is_invented():
    assert buyers_unit("cocoa", "GH", "dry", {}) is None


@pytest.mark.parametrize(("country", "kg", "bags"), [("HN", 69.0, 275), ("CO", 70.0, 275), ("ET", 60.0, 320)])
def test_where_the_office_told_no_bag_it_is_that_of_the_country(country, kg, bags):
    unit = buyers_unit("coffee", country, "exportable-green", {"bag_kg": None})
    assert (unit["size_kg"], unit["container_bags"]) == (kg, bags)  # 275 · 70 kg = 19,250 kg ≥ 320 · 60 kg


def test_every_table_has_the_columns_that_are_described(light_market):
    runs = [light_market.run(members_of(30, 30, kg=kg)) for kg in (500.0, 900.0)]
    for run_id in runs:
        signed = light_market.sign(run_id, by=["community"])
    path = f"{light_market.at}/releases/{signed['release_id']}"
    names = light_market.buyer.get(path).json()["tables"]
    assert names == ["totals", "by_community", *list(COLUMNS)[1:]]
    for name in names:
        answer = light_market.buyer.get(f"{path}/tables/{name}").json()
        assert list(answer["columns"]) == list(columns_of(name))
        assert answer["rows"], name
        for row in answer["rows"]:
            filled = [column for column, value in row.items() if value is not None]
            assert len(filled) >= len(row) / 2, (name, row)
    missing = light_market.buyer.get(f"{path}/tables/members")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_tables_come_in_pages(light_market):
    signed = light_market.sign(light_market.run(members_of(20)))
    path = f"{light_market.at}/releases/{signed['release_id']}/tables/totals"
    first = light_market.buyer.get(path, params={"limit": 5}).json()
    rest = light_market.buyer.get(path, params={"limit": 5, "after": first["next"]}).json()
    assert (len(first["rows"]), len(rest["rows"]), rest["next"]) == (5, 3, None)


def test_changes_are_those_of_numbers_that_both_releases_show(light_market):
    for kg in (500.0, 900.0):
        signed = light_market.sign(light_market.run(members_of(30, 30, kg=kg)), by=["community"])
    path = f"{light_market.at}/releases/{signed['release_id']}/tables/changes"
    rows = {(row["table"], row["part"]): row for row in light_market.buyer.get(path).json()["rows"]}
    assert rows["totals", "potential"]["change_kg"] == 24000.0  # 60 · (900 − 500)
    village = rows["by_community of potential", "A"]
    assert village["change_kg"] == village["now_kg"] - village["before_kg"] == 12000.0
    assert changes(None, {}) == []


# ---- the attack, on what the service itself gave ----


def attacked(market, seed, *, knows=None, joiners=1):
    """Two releases with few who joined between them: who is known within a tenth, and how many numbers there are."""
    rng = np.random.default_rng(seed)
    members, points = attack.cooperative(rng, int(rng.integers(25, 60)))
    members["altitude"] = "low"
    first = members.index >= joiners
    before, ids = members[first], set(members[first]["member_id"])
    steps = []
    for some, plots in ((before, points[points["member_id"].isin(ids)]), (members, points)):
        run_id = market.run(
            some.reset_index(drop=True), plots.reset_index(drop=True), by=("community", "certification")
        )
        signed = market.sign(run_id, by=["community", "certification"])
        public = market.buyer.get(f"{market.at}/releases/{signed['release_id']}").json()
        steps.append((some, plots, public))
    known = attack.told(steps)
    return attack.disclosed(known), attack.disclosed(known, attack.everyone), len(known.low)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_member_is_known_within_a_tenth_from_two_releases_of_the_service(light_market, seed):
    buyer, everyone, numbers = attacked(light_market, seed)
    assert numbers > 0
    assert (buyer, everyone) == (set(), set())


def test_on_postgis_too(postgres_store, make_service, tmp_path):
    (tmp_path / "work").mkdir()
    market = Market(make_service(postgres_store, tmp_path / "work"), tmp_path)
    assert attacked(market, 2)[:2] == (set(), set())


def test_the_attack_finds_who_joined_where_the_second_release_is_not_judged_by_the_first(light_market, monkeypatch):
    """Without rounding and without the earlier numbers a difference of two releases is who joined."""
    import geomap.store.releases as store_releases
    from geomap.supply import releases as supply_releases

    monkeypatch.setattr(supply_releases.disclosure, "rounding_base", lambda values: 0.01)
    monkeypatch.setattr(supply_releases, "settle", attack.unchecked)
    monkeypatch.setattr(store_releases, "_judged_by", lambda *_: None)
    assert any(attacked(light_market, 1)[0])


# ---- several cooperatives ----


def test_a_portfolio_is_the_last_release_of_each_cooperative(market):
    foreign = market.service.foreign
    market.sign(market.run(members_of(20)), by=["certification"])
    market.sign(market.run(members_of(40, kg=800.0)), by=["certification"])
    market.sign(market.run(members_of(30), of=foreign), client=market.neighbour, of=foreign)
    both = market.client("buyer", releases=market.service.ours)
    with market.service.store.begin(LOCAL) as tx:
        account = both.get("/session").json()["account_id"]
        add_grant(tx, foreign, account, "releases")
    answer = both.get("/portfolio").json()
    assert [row["number"] for row in sorted(answer["releases"], key=lambda row: row["number"])] == [1, 2]
    (group,) = answer["groups"]
    assert (group["crop"], group["form"], group["season"]) == ("coffee", "green", "2026/27")
    assert group["sum"]["potential_kg"] == 47000.0  # 40 · 800 + 30 · 500
    assert group["sum"]["supply_p10_kg"] == pytest.approx(0.7 * 23500)
    assert "bad year at once" in group["assumption"]
    _require_same_table(both, group)
    assert [(row["month"], row["cooperatives"]) for row in group["months"]] == [("2027-01", 2)]
    assert [row["value"] for row in group["certification"]]
    assert [row["cooperative_id"] for row in market.office.get("/portfolio").json()["releases"]] == [
        market.service.ours
    ]


def _require_same_table(client, group):
    """As CSV and XLSX the portfolio is the table of signed totals, the sum below."""
    expected = [("Flor del Pinar", 32000.0), ("Nueva Aurora", 15000.0), ("all", 47000.0)]
    assert [(row["id"], row["potential_kg"]) for row in (*group["cooperatives"], group["sum"])] == expected
    text = client.get("/portfolio", params={"format": "csv"})
    assert text.headers["content-disposition"] == 'attachment; filename="portfolio.csv"'
    rows = list(csv.DictReader(io.StringIO(text.text)))
    assert [(row["id"], float(row["potential_kg"])) for row in rows] == expected
    assert {row["crop"] for row in rows} == {"coffee"}
    book = openpyxl.load_workbook(io.BytesIO(client.get("/portfolio", params={"format": "xlsx"}).content))
    cells = list(book["rows"].values)
    assert [row[cells[0].index("id")] for row in cells[1:]] == [name for name, _ in expected]
    assert client.get("/portfolio", params={"format": "geojson"}).status_code == 406


def test_a_release_of_the_sample_is_made_of_a_real_run(light_service, sample_files, tmp_path):
    folder = sample_files(light_service, tmp_path / "files")
    for kind, name in (("plots", "plots.geojson"), ("members", "members.csv"), ("deliveries", "deliveries.csv"),
                       ("contracts", "contracts.csv"), ("settings", "cooperatives.csv")):  # fmt: skip
        answer = light_service.send(kind, name, (folder / name).read_bytes())
        assert answer.status_code == 201, answer.text
    body = {"season": "2026/27", "by": ["community", "certification"]}
    run_id = light_service.office.post(f"{light_service.at}/runs", json=body).json()["run_id"]
    body = {"run_id": run_id, "by": ["community", "certification"], "signed_by": "The board", "quantity": "supply"}
    answer = light_service.office.post(f"{light_service.at}/releases", json=body)
    assert answer.status_code == 201, answer.text
    content = answer.json()["content"]
    assert content["totals"]["supply_kg"] == pytest.approx(98488.547, rel=1e-3)
    shown = [row for rows in content["by"].values() for row in rows if row["status"] == "shown"]
    assert len(shown) >= 3
    assert [row for row in content["cells"] if row["status"] == "shown"]
    assert content["signed"]["members"] == {"members": 140, "members_mapped": 106}
    assert len(content["signed"]["available"]) > 10
    last = content["signed"]["available"][-1]
    assert last["available_kg"] == pytest.approx(0.8 * last["supply_kg"] - last["contracts_kg"])
    text = json.dumps(content)
    assert not re.search(r"FP-\d|LP-\d", text)
