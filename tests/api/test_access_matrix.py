"""Every route, every method, everyone who may ask: what each is answered, by a table that people wrote."""

import hashlib
import json
import re

import pytest
from sqlalchemy import select

from api.pages.base import PageRoute
from geomap.store.ids import new_id
from geomap.store.schema import metadata
from geomap.store.scope import ALL, Scope

ALLOWED = """
GET /health/live: public
GET /health/ready: public
GET /version: public
GET /enter: public
GET /metrics: operator local
GET /session: office analyst buyer operator local
POST /session: office analyst buyer operator local
DELETE /session: office analyst buyer operator local
GET /tokens: office analyst buyer operator local
POST /tokens: office analyst buyer operator local
DELETE /tokens/{public_id}: office analyst buyer operator local
GET /jobs: operator local
DELETE /jobs/{job_id}: operator local
GET /rasters: office analyst operator local
GET /cooperatives: office analyst buyer operator local
POST /cooperatives: operator local
GET /cooperatives/{cooperative_id}: office analyst buyer operator local +released
PATCH /cooperatives/{cooperative_id}: office local
GET /cooperatives/{cooperative_id}/audit: office local
GET /cooperatives/{cooperative_id}/export: office local
GET /cooperatives/{cooperative_id}/members: office local
GET /cooperatives/{cooperative_id}/members/{member_id}: office local
PUT /cooperatives/{cooperative_id}/members/{member_id}: office local
DELETE /cooperatives/{cooperative_id}/members/{member_id}: office local
GET /cooperatives/{cooperative_id}/members/{member_id}/consents: office local
POST /cooperatives/{cooperative_id}/members/{member_id}/consents: office local
GET /cooperatives/{cooperative_id}/plots: office analyst local
GET /cooperatives/{cooperative_id}/plots/{plot_id}: office analyst local
PUT /cooperatives/{cooperative_id}/plots/{plot_id}: office local
DELETE /cooperatives/{cooperative_id}/plots/{plot_id}: office local
GET /cooperatives/{cooperative_id}/plots/{plot_id}/history: office local
GET /cooperatives/{cooperative_id}/imports: office local
POST /cooperatives/{cooperative_id}/imports: office local
GET /cooperatives/{cooperative_id}/imports/{import_id}: office local
GET /cooperatives/{cooperative_id}/imports/{import_id}/findings: office local
GET /cooperatives/{cooperative_id}/deliveries: office local
GET /cooperatives/{cooperative_id}/field-estimates: office local
GET /cooperatives/{cooperative_id}/commitments: office local
GET /cooperatives/{cooperative_id}/contracts: office local
GET /cooperatives/{cooperative_id}/shares: office local
GET /cooperatives/{cooperative_id}/decisions: office local
PUT /cooperatives/{cooperative_id}/decisions: office local
GET /cooperatives/{cooperative_id}/runs: office analyst local
POST /cooperatives/{cooperative_id}/runs: office local
GET /cooperatives/{cooperative_id}/runs/{run_id}: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/tables/{name}: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/plots: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/plots/{plot_id}: office local
GET /cooperatives/{cooperative_id}/runs/{run_id}/files/{name}: office local
GET /cooperatives/{cooperative_id}/plots-map/tiles.json: office analyst local
GET /cooperatives/{cooperative_id}/plots-map/tiles/{z}/{x}/{y}.mvt: office analyst local
GET /cooperatives/{cooperative_id}/plots-map/pictures/{layer}/{z}/{x}/{y}.png: office analyst local
GET /cooperatives/{cooperative_id}/plots-map/legend/{layer}: office analyst local
GET /cooperatives/{cooperative_id}/plots-map/at: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/tiles.json: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/tiles/{z}/{x}/{y}.mvt: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/pictures/{layer}/{z}/{x}/{y}.png: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/legend/{layer}: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/at: office analyst local
GET /cooperatives/{cooperative_id}/runs/{run_id}/plots.pmtiles: office local
GET /cooperatives/{cooperative_id}/jobs: office local
GET /cooperatives/{cooperative_id}/jobs/{job_id}: office local
DELETE /cooperatives/{cooperative_id}/jobs/{job_id}: office local
GET /cooperatives/{cooperative_id}/jobs/{job_id}/events: office local
GET /cooperatives/{cooperative_id}/grants: office local
POST /cooperatives/{cooperative_id}/grants: office local
DELETE /cooperatives/{cooperative_id}/grants/{grant_id}: office local
GET /cooperatives/{cooperative_id}/releases: office analyst buyer local +released
POST /cooperatives/{cooperative_id}/releases: office local
GET /cooperatives/{cooperative_id}/releases/{release_id}: office analyst buyer local +released
GET /cooperatives/{cooperative_id}/releases/{release_id}/tables/{name}: office analyst buyer local +released
DELETE /cooperatives/{cooperative_id}/releases/{release_id}: office local
GET /portfolio: office analyst buyer local
DELETE /cooperatives/{cooperative_id}: office local
"""
"""Route: who may ask it; `+released`: a grant of releases is enough to reach the cooperative."""

OF = "/cooperatives/{cooperative_id}"
SENT = {
    "POST /cooperatives": {"code": "Third", "name": "Third"},
    "POST /tokens": {"days": 1},
    f"PATCH {OF}": {"name": "Other"},
    f"PUT {OF}/members/{{member_id}}": {"name": "Other"},
    f"POST {OF}/members/{{member_id}}/consents": {"purpose": "analysts", "given": True},
    f"PUT {OF}/plots/{{plot_id}}": {"type": "Feature", "geometry": None, "properties": {"declared_area_ha": 1}},
    f"PUT {OF}/decisions": {"decisions": [{"plot_id": "P1", "decision": "keep"}]},
    f"POST {OF}/runs": {"crop": "no crop that is known"},
    f"POST {OF}/releases": {"run_id": "none", "dry_run": True},
    f"POST {OF}/grants": {"account_id": "nobody", "kind": "releases"},
}
"""Bodies that are right but for what only the store knows."""
FILE = {"file": ("m.csv", "member_id,name\nZZQM-new,Other\n")}
PLACE = {"z": 0, "x": 0, "y": 0, "layer": "findings"}
"""A tile, and a layer of it."""

REACH = {
    "office": "a",
    "analyst": "a",
    "operator": "all",
    "local": "all",
    "analyst_released": "released",
    "buyer": "released",
}
"""How far each reaches cooperative a; who is not named here does not."""
KINDS = {"neighbour": "office", "analyst_released": "analyst", "analyst_late": "analyst", "analyst_none": "analyst",
         "buyer_none": "buyer"}  # fmt: skip
"""The word of the table for those who are not called by it."""
ASKING = ("office", "neighbour", "analyst", "analyst_released", "analyst_late", "analyst_none", "buyer", "buyer_none",
          "operator", "local")  # fmt: skip
BROKEN = ("nobody", "malformed", "expired", "revoked", "closed")
VARYING = {"x-request-id", "date"}


def table():
    """Route → who may ask, and whether a grant of releases reaches it."""
    lines = (line.partition(": ") for line in ALLOWED.strip().splitlines())
    return {route: (set(who.split()) - {"+released"}, "+released" in who) for route, _, who in lines}


TABLE = table()


def expected(route, name):
    """Status, or "ok": what someone is answered who asks a route of cooperative a. Plots alone show no release."""
    who, by_release = TABLE[route]
    if who == {"public"}:
        return "ok"
    if name in BROKEN:
        return 401
    may = KINDS.get(name, name) in who
    if OF in route:
        reach = REACH.get(name)
        if reach is None or (reach == "released" and may and not by_release):
            return 404
    if name == "analyst" and f"{OF}/releases" in route and may:
        return 404
    return "ok" if may else 403


def ids_for(world, name, letter="a"):
    """Ids of what a cooperative has, as someone knows them."""
    ids = {
        **world.ids[letter],
        "name": "members",
        **PLACE,
        "public_id": world.secrets[name].split("_")[1] if name in ASKING else "x",
    }
    if name == "analyst":
        plots = world.clients[name].get(f"{world.at('a')}/plots").json()["features"]
        ids |= {"plot_id": plots[0]["id"], "name": "variance"}
    return ids


def ask(world, name, route, ids):
    method, _, path = route.partition(" ")
    path = path.replace("/files/{name}", "/files/report.html").replace(
        "{release_id}/tables/{name}", "{release_id}/tables/months"
    )
    path = path.format(**ids)
    path += "?lon=0&lat=0" if path.endswith("/at") else ""
    if path == "/enter":
        path += "?code=none"
    sent = {"files": FILE, "data": {"kind": "members"}} if route == f"POST {OF}/imports" else {"json": SENT.get(route)}
    return world.clients[name].request(method, path, **sent)


def told(answer):
    """All of an answer that a client sees, but for what differs between any two."""
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return answer.status_code, headers, answer.content


def content_of(store):
    """Table → fingerprint of its rows; all but what is written of every request."""
    found = {}
    for one in metadata.sorted_tables:
        if one.name in {"audit", "idempotency"}:
            continue
        role = sorted(one.info["read"] - {"analyst", "buyer", "coop_admin"})[0]
        with store.read(Scope(role, ALL)) as tx:
            rows = sorted(repr({**row, "used_at": None}) for row in tx.fetch(select(one)))
        found[one.name] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def routes_of(app):
    found, stack = set(), list(app.routes)
    while stack:
        route = stack.pop()
        if hasattr(route, "original_router"):
            stack += route.original_router.routes
        elif not isinstance(route, PageRoute):  # pages have their own tests
            found |= {(method, route.path) for method in route.methods - {"HEAD", "OPTIONS"}}
    return {f"{method} {re.sub(r':own}', '}', path)}" for method, path in found} - {"GET /openapi.json"}


def test_the_table_names_every_route_and_no_other(light_world):
    served = routes_of(light_world.service.app)
    documented = {
        f"{method.upper()} {path}"
        for path, methods in light_world.service.app.openapi()["paths"].items()
        for method in methods
    }
    assert {"without a row": served - TABLE.keys(), "without a route": TABLE.keys() - served} == {
        "without a row": set(), "without a route": set()
    }  # fmt: skip
    assert served - documented == {"GET /enter"}


def test_everyone_is_answered_as_the_table_says(world):
    """All cells of route × who, whoever is refused first: nothing in the store is another after that."""
    ids_for(world, "analyst")  # what pseudonyms are made with is made when it is first needed
    before = content_of(world.store)
    wrong = [*_refusals(world)]
    after = content_of(world.store)
    wrong += [f"{name} was changed by who may not" for name in before if before[name] != after[name]]
    wrong += [*_what_is_allowed(world)]
    assert wrong == []


def _refusals(world):
    for route in TABLE:
        unknown = None
        for name in (*BROKEN, *ASKING):
            wanted = expected(route, name)
            if wanted == "ok":
                continue
            ids = ids_for(world, name)
            answer = ask(world, name, route, ids)
            if answer.status_code != wanted:
                yield f"{name}: {route} gives {answer.status_code}, not {wanted}"
                continue
            if set(answer.json()) != {"code", "detail", "where"}:
                yield f"{name}: {route} says {answer.text}"
            if wanted == 401:
                unknown = unknown or told(answer)
                if told(answer) != unknown:
                    yield f"{name}: {route} is told from other ways of being unknown"
            if wanted == 404:
                missing = ask(world, name, route, {**ids, "cooperative_id": new_id()})
                invented = ask(world, name, route, {key: new_id() for key in ids} | {"name": "members"} | PLACE)
                if not told(answer) == told(missing) == told(invented):
                    yield f"{name}: {route} tells what is there from what is not"


def _what_is_allowed(world):
    changing = [route for route in TABLE if not route.startswith("GET")]
    for route in [*(route for route in TABLE if route.startswith("GET")), *changing]:
        for name in ("local", "operator", "office", "analyst", "analyst_released", "buyer", "neighbour", "buyer_none"):
            if expected(route, name) != "ok" or TABLE[route][0] == {"public"}:
                continue
            letter = "b" if (name, route) == ("local", f"DELETE {OF}") else "a"
            ids = ids_for(world, name, letter)
            if route.startswith("DELETE") and not route.endswith(OF):
                ids |= _something_to_delete(world, name, route)
            answer = ask(world, name, route, ids)
            fits = answer.status_code == 200 if route.startswith("GET") else answer.status_code < 500
            if not fits or answer.status_code in (401, 403, 405, 429):
                yield f"{name}: {route} gives {answer.status_code}: {answer.text[:200]}"
            if answer.status_code == 404 and not route.endswith(("/grants", "/releases")):  # the body names nobody
                yield f"{name}: {route} finds nothing"


def _something_to_delete(world, name, route):
    """A member, plot or token that is there only to go."""
    made = {}
    for part in ("member", "plot"):
        if f"{{{part}_id}}" in route:
            made = {f"{part}_id": "to-go"}
            ask(world, name, f"PUT {OF}/{part}s/{{{part}_id}}", {**ids_for(world, name), **made})
    if "{public_id}" in route:
        made = {"public_id": world.clients[name].post("/tokens", json={"days": 1}).json()["public_id"]}
    return made


# ---- ids of one cooperative under another ----


def test_ids_of_another_under_ones_own_cooperative_are_ids_of_nothing(world):
    """Each id of b under a: in paths, cursors and bodies; answered as an id that never was."""
    wrong = []
    foreign, own = world.ids["b"], world.ids["a"]
    routes = [route for route in TABLE if OF in route and re.search(r"{(?!cooperative_id)[a-z]+_id}", route)]
    assert len(routes) > 15
    for route in routes:
        if route.startswith("PUT"):  # it adds what is named
            continue
        for who in ("office", "analyst"):
            borrowed = ask(
                world, who, route, {**ids_for(world, who), **foreign, "cooperative_id": own["cooperative_id"]}
            )
            invented = {name: new_id() for name in foreign} | {"cooperative_id": own["cooperative_id"]}
            missing = ask(world, who, route, {**ids_for(world, who), **invented})
            if told(borrowed) != told(missing) or borrowed.status_code not in (403, 404):
                wrong.append(f"{who}: {route}: {borrowed.status_code} {borrowed.text[:200]}")
    for kind, name in (("imports", "import_id"), ("runs", "run_id"), ("jobs", "job_id"), ("grants", "grant_id")):
        for who in ("office", "analyst"):
            at = f"{world.at('a')}/{kind}"
            borrowed = world.clients[who].get(at, params={"after": foreign[name]})
            missing = world.clients[who].get(at, params={"after": foreign[name][::-1]})
            if foreign[name] in borrowed.text or borrowed.status_code != missing.status_code:
                wrong.append(f"{who}: a cursor of b in {kind} gives {borrowed.text[:200]}")
    assert wrong == []


def test_ids_in_bodies_reach_nothing_of_another(world):
    office, at = world.clients["office"], world.at("a")
    before = content_of(world.store)
    for body, status in (
        ({"account_id": world.accounts["neighbour"], "kind": "releases"}, 404),
        ({"account_id": world.accounts["operator"], "kind": "plots"}, 404),
        ({"account_id": world.accounts["local"], "kind": "plots"}, 404),
        ({"account_id": world.accounts["buyer"], "kind": "plots"}, 409),
        (
            {
                "account_id": world.accounts["buyer"],
                "kind": "releases",
                "cooperative_id": world.ids["b"]["cooperative_id"],
            },
            422,
        ),
    ):
        assert office.post(f"{at}/grants", json=body).status_code == status, body
    for raster in (
        str(world.service.work_dir.parent / "land.tif"),
        "/etc/passwd",
        "../land.tif",
        world.ids["b"]["run_id"],
    ):
        answer = office.post(f"{at}/runs", json={"raster_ids": [raster]})
        assert answer.status_code == 422, raster
        never = office.post(f"{at}/runs", json={"raster_ids": ["x" * len(raster)]})
        assert answer.text.replace(raster, "") == never.text.replace("x" * len(raster), "")
    for body in ({"rasters": ["land.tif"]}, {"cooperative_id": world.ids["b"]["cooperative_id"]}):
        assert office.post(f"{at}/runs", json=body).status_code == 422
    assert content_of(world.store) == before
    decision = {"plot_id": world.ids["b"]["plot_id"], "decision": "leave_out"}
    assert office.put(f"{at}/decisions", json={"decisions": [decision]}).status_code == 200
    theirs = world.clients["neighbour"].get(f"{world.at('b')}/decisions").json()["rows"]
    assert [row["decision"] for row in theirs] == ["keep"]


def test_a_file_that_names_another_cooperative_brings_nothing_into_it(light_world):
    world = light_world
    before = world.clients["neighbour"].get(f"{world.at('b')}/members").text
    for named in ("Nueva Aurora", world.ids["b"]["cooperative_id"]):
        content = f"member_id,name,cooperative_id\n{world.ids['b']['member_id']},Other,{named}\n"
        form = {
            "files": {"file": ("m.csv", content)},
            "data": {"kind": "members", "cooperative_id": world.ids["b"]["cooperative_id"]},
        }
        answer = world.clients["office"].post(f"{world.at('a')}/imports", **form)
        assert answer.status_code == 422, answer.text
    assert world.clients["neighbour"].get(f"{world.at('b')}/members").text == before


def test_no_spelling_of_an_address_leads_to_another(light_world):
    """The cooperative that is judged is the one that is answered for."""
    office, ours, theirs = light_world.clients["office"], light_world.ids["a"], light_world.ids["b"]
    a, b, run_id = ours["cooperative_id"], theirs["cooperative_id"], theirs["run_id"]
    for path in (
        f"{a}/../{b}/members", f"{a}%2F..%2F{b}/members", f"{a}/%2e%2e/{b}/members", f"/{b}/members", f"{b}/members/",
        f"{b};{a}/members", f"{b}%00/members", f"{b.swapcase()}/members", f"{a},{b}/members", "*/members",
        f"{b}/members?cooperative_id={a}", f"{a}/members/../../{b}/members/{theirs['member_id']}",
        f"{a}/runs/..%2F..%2F{b}%2Fruns%2F{run_id}", f"{a}/runs/{run_id}/files/..%2f..%2f{run_id}%2freport.html",
    ):  # fmt: skip
        answer = office.get(f"/cooperatives/{path}")
        assert answer.status_code in (404, 422), path
        assert "ZZQM-b" not in answer.text
    for header in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-User"):
        answer = office.get(f"/cooperatives/{b}/members", headers={header: f"/cooperatives/{a}/members"})
        assert answer.status_code == 404
    rows = office.get(f"/cooperatives/{a}/members", params={"cooperative_id": b}).json()["rows"]
    assert rows[0]["member_id"] == "ZZQM-a-0"


def test_a_tag_that_somebody_else_has_opens_nothing(world):
    """Who may not see an answer does not learn either that it is still the same."""
    at, ids = world.at("a"), world.ids["a"]
    for path in (at, f"{at}/members", f"{at}/members/{ids['member_id']}", f"{at}/plots", f"{at}/plots/{ids['plot_id']}",
                 f"{at}/runs/{ids['run_id']}", f"{at}/runs/{ids['run_id']}/files/report.html"):  # fmt: skip
        tag = world.clients["office"].get(path).headers["etag"]
        for sent in (tag, "*"):
            assert world.clients["office"].get(path, headers={"If-None-Match": sent}).status_code == 304, path
            for name in ("neighbour", "buyer_none", "analyst_late"):
                assert world.clients[name].get(path, headers={"If-None-Match": sent}).status_code == 404
            assert world.clients["nobody"].get(path, headers={"If-None-Match": sent}).status_code == 401
    for path in (f"{at}/plots", f"{at}/runs/{ids['run_id']}"):
        tag = world.clients["office"].get(path).headers["etag"]
        assert world.clients["analyst"].get(path, headers={"If-None-Match": tag}).status_code == 200
    foreign = world.clients["neighbour"].put(f"{at}/members/{ids['member_id']}", json={}, headers={"If-Match": '"1"'})
    assert foreign.status_code == 404


def test_a_key_that_another_used_is_not_answered_again(world):
    key, body = {"Idempotency-Key": "k1"}, {"purpose": "buyers", "given": True}
    path = f"{world.at('a')}/members/{world.ids['a']['member_id']}/consents"
    first = world.clients["office"].post(path, json=body, headers=key)
    assert (first.status_code, first.headers.get("idempotency-replayed")) == (201, None)
    for name, status in (("neighbour", 404), ("analyst", 403), ("buyer", 403), ("nobody", 401), ("operator", 403)):
        answer = world.clients[name].post(path, json=body, headers=key)
        assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (status, None), name
    local = world.clients["local"].post(path, json=body, headers=key)
    assert local.headers.get("idempotency-replayed") is None
    assert world.clients["office"].post(path, json=body, headers=key).headers["idempotency-replayed"] == "true"


def test_an_answer_is_not_given_again_after_its_cooperative_was_erased(world):
    """The key is still known; who asks is judged again all the same."""
    key, path = {"Idempotency-Key": "k1"}, f"{world.at('a')}/members/{world.ids['a']['member_id']}/consents"
    body = {"purpose": "buyers", "given": True}
    assert world.clients["office"].post(path, json=body, headers=key).status_code == 201
    assert world.clients["office"].delete(world.at("a")).status_code == 204
    answer = world.clients["office"].post(path, json=body, headers=key)
    assert answer.status_code == 404
    assert world.ids["a"]["member_id"] not in answer.text


# ---- an analyst, and people who did not agree ----


def _send_p9_twice(world):
    """The second P9 gets an id of its own; its shares, with somebody who was never asked, stand under P9."""
    office, at = world.clients["office"], world.at("a")
    properties = {"plot_id": "P9", "member_id": "ZZQM-a-0"}
    features = [
        {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for ring in ([[w, 14.7], [w + 0.001, 14.7], [w, 14.701], [w, 14.7]] for w in (-88.71, -88.72))
    ]
    document = json.dumps({"type": "FeatureCollection", "features": features})
    shares = "plot_id,member_id,share\nP9,ZZQM-a-0,0.5\nP9,ZZQM-a-2,0.5\n"
    for kind, name, content in (("plots", "p.geojson", document), ("shares", "s.csv", shares)):
        answer = office.post(f"{at}/imports", files={"file": (name, content)}, data={"kind": kind})
        assert answer.status_code == 201, answer.text
    known = [one["id"] for one in office.get(f"{at}/plots").json()["features"] if one["id"].startswith("P9")]
    assert len(known) == 2


def test_a_plot_whose_id_came_twice_is_withheld_with_those_who_share_it(world):
    _send_p9_twice(world)
    seen = world.clients["analyst"].get(f"{world.at('a')}/plots")
    assert len(seen.json()["features"]) == 1
    assert "-88.71" not in seen.text and "-88.72" not in seen.text


def test_a_plot_whose_id_came_twice_is_withheld_in_runs_too(light_world):
    _send_p9_twice(light_world)
    run = light_world.clients["office"].post(f"{light_world.at('a')}/runs", json={"season": "2026/27"}).json()
    path = f"{light_world.at('a')}/runs/{run['run_id']}/plots"
    assert len(light_world.clients["office"].get(path).json()["features"]) == 6
    assert len(light_world.clients["analyst"].get(path).json()["features"]) == 1


def test_consent_that_is_taken_back_counts_in_runs_that_were_made_before(world):
    at, run = world.at("a"), f"{world.at('a')}/runs/{world.ids['a']['run_id']}/plots"
    assert len(world.clients["analyst"].get(run).json()["features"]) == 1
    body = {"purpose": "analysts", "given": False}
    world.clients["office"].post(f"{at}/members/ZZQM-a-0/consents", json=body)
    for path in (run, f"{at}/plots"):
        assert world.clients["analyst"].get(path).json()["features"] == []


@pytest.mark.parametrize("name", ["analyst", "analyst_released", "buyer"])
def test_a_grant_that_is_taken_back_is_closed_with_the_next_request(world, name):
    office, client, at = world.clients["office"], world.clients[name], world.at("a")
    assert client.get(at).status_code == 200
    mine = [row for row in office.get(f"{at}/grants").json()["rows"] if row["account_id"] == world.accounts[name]]
    assert office.delete(f"{at}/grants/{mine[0]['grant_id']}").status_code == 200
    assert told(client.get(at)) == told(client.get(f"/cooperatives/{new_id()}"))
    assert json.loads(client.get("/cooperatives").text)["rows"] == []
