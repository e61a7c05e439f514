"""Texts that nobody would write by chance stand in every place of two cooperatives: who is shown which of them."""

import hashlib
import io
import json
import logging
import os
import re
import socket
import zipfile

import pyarrow.parquet as pq
import pytest
import shapely
from sqlalchemy import select

from api.log import _Lines
from geomap.store.ids import new_id
from geomap.store.schema import pseudonyms, rasters
from geomap.store.scope import ALL, SERVICE, Scope

FORMATS = ("json", "csv", "xlsx", "geojson", "geoparquet")
PLACE = {"z": 6, "x": 16, "y": 29, "layer": "findings"}
"""A tile that holds all plots of both cooperatives."""
ASKING = ("office", "neighbour", "analyst", "analyst_released", "analyst_none", "buyer", "operator", "local", "nobody")


def hidden_from(world, name):
    """What the answers to someone must not hold."""
    a, b = world.canaries["a"], world.canaries["b"]
    if name == "local":
        return ()
    if name == "office":
        return b.all
    if name == "analyst":
        return set(a.all) - set(a.agreed) | set(b.all)
    return a.all if name == "neighbour" else a.all + b.all


def hidden_from_all(world, name):
    """What no answer holds, whoever asks: where things lie on the server, and what opens it."""
    with world.store.read(SERVICE) as tx:
        made_with = [row["secret"] for row in tx.fetch(select(pseudonyms))]
    tokens = [secret for secret in world.secrets.values() if secret.startswith("coop_")]
    hashes = [hashlib.sha256(token.encode()).hexdigest() for token in tokens]
    host = () if name in ("operator", "local") else (f"{socket.gethostname()}.{os.getpid()}.",)
    server = ("zzqserver", str(world.service.work_dir), "geomap.sqlite", "postgresql+", *host)
    return [*server, *made_with, *tokens, *hashes]


def all_text(answer):
    """All that an answer tells: headers, and what is in its archives, workbooks and tables."""
    return "\n".join([*(f"{name}: {value}" for name, value in answer.headers.items()), _text(answer.content)])


def _text(content):
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "\n".join(f"{name}\n{_text(archive.read(name))}" for name in archive.namelist())
    if content[:4] == b"PAR1":
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
        shapes = [shapely.from_wkb(row.pop("geometry", None)) for row in rows]
        return "\n".join(
            [*map(str, rows), *(shapely.to_wkt(shape, rounding_precision=-1) for shape in shapes if shape)]
        )
    return content.decode("utf-8", errors="replace")


def addresses(world, name, letter):
    """Every address that can be read, of one cooperative; with the ids as someone knows them."""
    ids = {**world.ids[letter], **PLACE, "public_id": "x"}
    office = world.clients["office" if letter == "a" else "neighbour"]
    run = office.get(f"{world.at(letter)}/runs/{ids['run_id']}").json()
    release = office.get(f"{world.at(letter)}/releases/{ids['release_id']}").json()
    plot_ids = [ids["plot_id"]]
    if (name, letter) == ("analyst", "a"):
        plot_ids += [one["id"] for one in world.clients[name].get(f"{world.at('a')}/plots").json()["features"]]
    for path, methods in world.service.app.openapi()["paths"].items():
        if "get" not in methods:
            continue
        names = _names(run, release, path)
        filled = {path.format(**{**ids, "name": one, "plot_id": plot_id}) for one in names for plot_id in plot_ids}
        if path.endswith("/at"):  # a place far from all: nearest within ten pixels, at a zoom of which a pixel is 1 km
            filled = {f"{one}?lon=-88.8&lat=14.63&z=7" for one in filled}
        kinds = FORMATS if "format" in {one["name"] for one in methods["get"].get("parameters", [])} else [""]
        yield from ((path, address, kinds) for address in sorted(filled))


def _names(run, release, path):
    """What stands for {name} in a path."""
    if "{name}" not in path:
        return [""]
    return release["tables"] if "release_id" in path else run["files" if "/files/" in path else "tables"]


@pytest.fixture
def log():
    """The log as the service writes it, of everything that is asked in a test."""
    lines, service = io.StringIO(), logging.getLogger("geomap.service")
    handler = logging.StreamHandler(lines)
    handler.setFormatter(_Lines())
    level = service.level
    logging.getLogger().addHandler(handler)
    service.setLevel(logging.INFO)
    yield lines
    logging.getLogger().removeHandler(handler)
    service.setLevel(level)


def test_nobody_is_shown_what_is_not_theirs(world, log):
    """Every address that can be read × who, of both cooperatives; on SQLite × format too, for formats ask none."""
    found, asked = set(), 0
    everything = world.store.dialect == "sqlite"
    for name in ASKING:
        hidden = {*hidden_from(world, name), *hidden_from_all(world, name)}
        for letter in "ab":
            for path, address, kinds in addresses(world, name, letter):
                for kind in kinds if everything else kinds[:1]:
                    answer = world.clients[name].get(address, params={"format": kind} if kind else None)
                    text, asked = all_text(answer), asked + 1
                    found |= {f"{name}: {path} {kind} shows {one}" for one in hidden if one in text}
                    assert answer.status_code < 500, address
                    if answer.status_code in (401, 403, 404):  # before anybody looks at the format
                        break
    assert sorted(found) == []
    assert asked > (700 if everything else 300)
    written = re.sub(r'"timestamp": "[^"]*"', "", log.getvalue())  # its seconds could look like a latitude
    assert written.count('"event": "request"') >= asked
    told = {one for letter in "ab" for one in world.canaries[letter].all}
    assert sorted(one for one in (*told, *hidden_from_all(world, "nobody")) if one in written) == []


def test_the_canaries_are_seen_by_those_whose_they_are(world):
    """The test above can fail: in every format the office finds what it looks for, and the analyst what was granted."""
    told, office, at = world.canaries["a"], world.clients["office"], world.at("a")
    for kind in ("json", "csv", "xlsx"):
        members = all_text(office.get(f"{at}/members", params={"format": kind}))
        assert all(one in members for one in told.names + told.phones + told.member_ids)
        rows = all_text(office.get(f"{at}/deliveries", params={"format": kind}))
        assert all(one in rows for one in told.member_ids)
    for kind in ("json", "csv", "geojson", "geoparquet"):
        for part in ("plots", f"runs/{world.ids['a']['run_id']}/plots"):
            plots = all_text(office.get(f"{at}/{part}", params={"format": kind}))
            assert all(one in plots for one in told.agreed + told.withheld + told.plot_ids), (kind, part)
            seen = all_text(world.clients["analyst"].get(f"{at}/{part}", params={"format": kind}))
            assert told.agreed[0] in seen
    export = all_text(office.get(f"{at}/export"))
    missing = [one for one in told.all if one not in export]
    assert missing == []
    assert "zzqtitle" in office.get(f"{at}/runs").text
    assert "zzqsetting" in office.get(at).text


def test_the_page_to_share_shows_nobody(world):
    told, at = world.canaries["a"], f"{world.at('a')}/runs/{world.ids['a']['run_id']}/files"
    page = world.clients["office"].get(f"{at}/map_share.html").text
    inside = world.clients["office"].get(f"{at}/map_internal.html").text
    assert any(one in inside for one in told.names + told.plot_ids)
    shown = [one for one in told.all if one in page and not one.startswith("zzqvillage")]
    assert shown == []


def test_the_audit_log_tells_of_ids_and_of_no_person(world):
    for name, letter in (("office", "a"), ("neighbour", "b")):
        told = world.canaries[letter]
        rows = all_text(world.clients[name].get(f"{world.at(letter)}/audit", params={"limit": 10_000}))
        assert told.member_ids[0] in rows
        allowed = {*told.member_ids, *told.plot_ids}
        other = world.canaries["ab".replace(letter, "")]
        assert [one for one in (*told.all, *other.all) if one in rows and one not in allowed] == []


SENT = "Zzq Sent By Whoever"


def written(log):
    """What the log says, but for ids that are random: three letters of a canary may stand in one by chance."""
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return "\n".join(json.dumps({**line, "request_id": "", "account": ""}) for line in lines)


def bad_bodies():
    """Bodies that are wrong in different ways, all with a person in them."""
    person = {"name": SENT, "phone": SENT}
    yield {"json": {**person, "attributes": {"a": {"b": SENT}}, "declared_area_ha": SENT}}
    yield {"json": [SENT]}
    yield {
        "json": {"purpose": SENT, "given": SENT, "days": SENT, "account_id": SENT, "kind": SENT, "decisions": [SENT]}
    }
    yield {"json": {"type": "Feature", "properties": {"declared_area_ha": SENT}, "geometry": {"type": SENT}}}
    yield {"content": f'{{"name": "{SENT}", ', "headers": {"Content-Type": "application/json"}}
    yield {"content": f"name={SENT}", "headers": {"Content-Type": "text/plain"}}
    yield {"data": {"kind": SENT, "mapping": SENT, "crs": SENT}, "files": {"file": (f"{SENT}.csv", SENT)}}


def test_what_is_refused_is_neither_sent_back_nor_written_down(world, log):
    """Whoever sends it: the answer is {code, detail, where}, without what was sent and without what is kept."""
    wrong = []
    for path, methods in world.service.app.openapi()["paths"].items():
        for method in set(methods) & {"post", "put", "patch"}:
            for name in ("nobody", "neighbour", "analyst", "buyer", "operator", "office"):
                for body in bad_bodies():
                    address = path.format(**{**world.ids["a"], "public_id": "x", "name": "members"})
                    answer = world.clients[name].request(method, address, params={"q": SENT}, **body)
                    text = all_text(answer)
                    if answer.status_code < 400:
                        assert path == "/session" or "declared_area_ha" not in str(body), (path, body)
                        continue
                    if answer.status_code >= 500 or set(answer.json()) != {"code", "detail", "where"}:
                        wrong.append(f"{name}: {method} {path}: {answer.status_code} {answer.text[:200]}")
                    if SENT in text or any(one in text for one in hidden_from(world, name)):
                        wrong.append(f"{name}: {method} {path} with {body} answers {answer.text[:300]}")
    assert wrong == []
    assert "Zzq" not in written(log)


def test_ids_and_queries_that_were_sent_are_not_written_down(light_world, log):
    for name in ("nobody", "office", "neighbour", "buyer"):
        client = light_world.clients[name]
        for path in (
            f"{light_world.at('a')}/members/{SENT}",
            f"/{SENT}",
            f"/cooperatives/{SENT}/plots",
            f"/jobs/{SENT}",
        ):
            for method in ("GET", "DELETE", "OPTIONS", "ZZQ"):
                answer = client.request(method, path, params={"box": SENT, "after": SENT, "format": SENT})
                assert answer.status_code in (401, 403, 404, 405, 422), path
                assert "Zzq" not in answer.text
    metrics = light_world.clients["operator"].get("/metrics").text
    assert "geomap_requests_total" in metrics
    assert "zzq" not in (written(log) + metrics).lower().replace("zzqserver", "")
    assert not re.search(r"Zzq%20|coop_[a-z0-9]{8}_", log.getvalue())


@pytest.mark.parametrize("lies", ["nowhere", "garbage"])
def test_a_map_that_cannot_be_read_is_told_without_where_it_lies(light_world, lies):
    """Neither the answer, nor the job, nor its events, nor the export say the path."""
    path = light_world.service.work_dir.parent / "land" / f"{lies}.tif"
    if lies == "garbage":
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"II*\0" + b"\xff" * 500)
    row = {"raster_id": new_id(), "name": "map", "product": "esa-worldcover-2021", "path": str(path), "bytes": 504}
    row |= {"sha256": hashlib.sha256(b"II*\0" + b"\xff" * 500).hexdigest(), "bounds": [-89, 14, -88, 15]}
    with light_world.store.begin(Scope("operator", ALL)) as tx:
        tx.insert(rasters, row)
    office, at = light_world.clients["office"], light_world.at("a")
    answer = office.post(f"{at}/runs", json={"raster_ids": [row["raster_id"]]})
    assert answer.status_code in (409, 422), answer.text
    assert set(answer.json()) == {"code", "detail", "where", "job_id"}
    job = next(one for one in office.get(f"{at}/jobs").json()["rows"] if one["state"] == "failed")
    told = [
        answer,
        *(office.get(f"{at}/{part}") for part in ("jobs", f"jobs/{job['job_id']}", f"jobs/{job['job_id']}/events")),
    ]
    told += [office.get(f"{at}/export"), light_world.clients["operator"].get("/jobs")]
    for one in told:
        assert "zzqserver" not in all_text(one)
        assert str(path.parent) not in all_text(one)


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.zip", "a.xlsx", "a.kml", "a.parquet", "a.csv"])
def test_a_file_that_cannot_be_read_is_told_without_where_it_was_laid(light_world, name):
    content = {"a.gpkg": b"SQLite format 3\0" + bytes(500), "a.zip": b"PK\x03\x04" + bytes(50)}.get(
        name, b"\x00\xff{[<"
    )
    sent = {"files": {"file": (name, content)}, "data": {"kind": "plots"}}
    answer = light_world.clients["office"].post(f"{light_world.at('a')}/imports", **sent)
    assert 400 <= answer.status_code < 500
    assert "zzqserver" not in answer.text and "geomap-upload" not in answer.text and "/tmp" not in answer.text
    assert json.loads(answer.text)["code"]
