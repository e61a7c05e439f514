"""Nobody reaches what is another's, and nothing that is sent becomes a path or a request."""

import json
import socket
import threading

import pytest

ROUTES = [
    ("GET", "/cooperatives/{c}"), ("PATCH", "/cooperatives/{c}"), ("DELETE", "/cooperatives/{c}"),
    ("GET", "/cooperatives/{c}/audit"), ("GET", "/cooperatives/{c}/export"), ("GET", "/cooperatives/{c}/members"),
    ("GET", "/cooperatives/{c}/members/{m}"), ("PUT", "/cooperatives/{c}/members/{m}"),
    ("DELETE", "/cooperatives/{c}/members/{m}"), ("GET", "/cooperatives/{c}/members/{m}/consents"),
    ("POST", "/cooperatives/{c}/members/{m}/consents"), ("GET", "/cooperatives/{c}/plots"),
    ("GET", "/cooperatives/{c}/plots/{p}"), ("PUT", "/cooperatives/{c}/plots/{p}"),
    ("DELETE", "/cooperatives/{c}/plots/{p}"), ("GET", "/cooperatives/{c}/plots/{p}/history"),
    ("GET", "/cooperatives/{c}/imports"), ("GET", "/cooperatives/{c}/imports/{i}"),
    ("GET", "/cooperatives/{c}/imports/{i}/findings"), ("GET", "/cooperatives/{c}/deliveries"),
    ("GET", "/cooperatives/{c}/field-estimates"), ("GET", "/cooperatives/{c}/commitments"),
    ("GET", "/cooperatives/{c}/contracts"), ("GET", "/cooperatives/{c}/shares"),
    ("GET", "/cooperatives/{c}/decisions"), ("PUT", "/cooperatives/{c}/decisions"), ("GET", "/cooperatives/{c}/runs"),
    ("POST", "/cooperatives/{c}/runs"), ("GET", "/cooperatives/{c}/runs/{r}"),
    ("GET", "/cooperatives/{c}/runs/{r}/tables/members"), ("GET", "/cooperatives/{c}/runs/{r}/plots"),
    ("GET", "/cooperatives/{c}/runs/{r}/plots/{p}"), ("GET", "/cooperatives/{c}/runs/{r}/files/report.html"),
    ("GET", "/cooperatives/{c}/jobs"), ("GET", "/cooperatives/{c}/jobs/{j}"), ("DELETE", "/cooperatives/{c}/jobs/{j}"),
    ("GET", "/cooperatives/{c}/jobs/{j}/events"),
    ("GET", "/cooperatives/{c}/runs/{r}/tiles.json"), ("GET", "/cooperatives/{c}/runs/{r}/tiles/3/2/3.mvt"),
    ("GET", "/cooperatives/{c}/runs/{r}/pictures/potential/3/2/3.png"),
    ("GET", "/cooperatives/{c}/runs/{r}/legend/potential"),
    ("GET", "/cooperatives/{c}/runs/{r}/at?lon=-88&lat=14"), ("GET", "/cooperatives/{c}/runs/{r}/plots.pmtiles"),
    *(("GET", f"/cooperatives/{{c}}/plots-map/{rest}") for rest in
      ("tiles.json", "tiles/3/2/3.mvt", "pictures/plain/3/2/3.png", "legend/plain", "at?lon=-88&lat=14")),
]  # fmt: skip
NOBODYS = "A" * 22
TILE = {name: f"{{{name}}}" for name in ("z", "x", "y", "layer")}
BODIES = {
    ("PATCH", "/cooperatives/{c}"): {"name": "x"},
    ("POST", "/cooperatives/{c}/members/{m}/consents"): {"purpose": "analysts", "given": True},
    ("PUT", "/cooperatives/{c}/plots/{p}"): {"type": "Feature", "geometry": None, "properties": {}},
    ("PUT", "/cooperatives/{c}/decisions"): {"decisions": [{"plot_id": "P1", "decision": "keep"}]},
}


def ids_of(ran):
    """Ids of everything that a cooperative has."""
    office, at = ran.service.office, ran.service.at
    return {
        "m": office.get(f"{at}/members", params={"limit": 1}).json()["rows"][0]["member_id"],
        "p": office.get(f"{at}/plots", params={"limit": 1}).json()["features"][0]["id"],
        "i": office.get(f"{at}/imports").json()["rows"][0]["import_id"],
        "r": ran.run["run_id"],
        "j": office.get(f"{at}/jobs").json()["rows"][0]["job_id"],
    }


def test_every_route_of_these_files_stands_in_the_matrix(ran):
    paths = ran.service.app.openapi()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    names = {"c": "cooperative_id", "m": "member_id", "p": "plot_id", "i": "import_id", "r": "run_id", "j": "job_id"}
    known = set()
    for method, path in ROUTES:
        whole = path.partition("?")[0].replace("/3/2/3.", "/{z}/{x}/{y}.")
        for layer in ("potential", "plain"):
            whole = whole.replace(f"/{layer}", "/{layer}")
        whole = whole.format(**{short: f"{{{name}}}" for short, name in names.items()}, **TILE)
        whole = whole.replace("/tables/members", "/tables/{name}").replace("/files/report.html", "/files/{name}")
        known.add((method, whole))
    known |= {("POST", "/cooperatives/{cooperative_id}/imports")}
    others = ("grants", "releases")
    within = {(method, path) for method, path in served if path.startswith("/cooperatives/{cooperative_id}")}
    assert {one for one in within if one[1].split("/")[3:4] not in [[other] for other in others]} == known


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_is_anothers_is_as_if_it_were_not_there(ran, method, path):
    """Three ways to nothing: a cooperative of another, one that never was, and real ids under one's own cooperative."""
    service, ids = ran.service, ids_of(ran)
    body = BODIES.get((method, path), {}) if method in ("PUT", "POST", "PATCH") else None

    def ask(client, **names):
        answer = client.request(method, path.format(**names), json=body)
        return answer.status_code, answer.text

    foreign = ask(service.neighbour, c=service.ours, **ids)
    missing = ask(service.neighbour, c=NOBODYS, **ids)
    assert foreign == missing
    assert (foreign[0], json.loads(foreign[1])["code"]) == (404, "not_found")
    if "{" in path.replace("{c}", "") and method == "GET":
        borrowed = ask(service.neighbour, c=service.foreign, **ids)
        never = ask(service.neighbour, c=service.foreign, **dict.fromkeys(ids, NOBODYS))
        assert borrowed == never
        assert borrowed[0] == 404
    assert ask(service.nobody, c=service.ours, **ids)[0] == 401
    assert service.office.get(service.at).status_code == 200


ADDRESSES = [
    "PG:host=127.0.0.1 port={port} user=x",
    "/vsicurl/http://127.0.0.1:{port}/a.tif",
    "http://127.0.0.1:{port}/a.geojson",
    "vrt://http://127.0.0.1:{port}/a.tif?bands=1",
    "WMS:http://127.0.0.1:{port}/?SERVICE=WMS",
    "/vsizip//vsicurl/http://127.0.0.1:{port}/a.zip",
    "file:///etc/passwd",
    "/etc/passwd",
    "\\\\127.0.0.1\\share\\a.shp",
    "+proj=longlat +nadgrids=http://127.0.0.1:{port}/grid.tif",
]


@pytest.fixture
def listener():
    """A port of this machine and how many connections it got."""
    got = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def listen():
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                got.append(connection)
                connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname()[1], got
        over.set()
        thread.join()


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_field_is_ever_a_path_or_an_address(light_service, listener, address):
    """Each is refused, or kept as plain text; nothing is opened, and no answer shows a file."""
    service, (port, got) = light_service, listener
    text = address.format(port=port)
    office, at = service.office, service.at
    answers = [
        office.patch(at, json={"name": text, "settings": {"bag_kg": text}}),
        office.put(f"{at}/members/M1", json={"name": text, "community": text, "attributes": {"note": text}}),
        office.put(f"{at}/plots/P1", json={"type": "Feature", "geometry": {"type": text}, "properties": {}}),
        office.get(f"{at}/plots", params={"box": text}),
        office.get(f"{at}/plots", params={"format": text}),
        office.get(f"{at}/members", params={"after": text}),
        office.post(f"{at}/runs", json={"product": text}),
        office.post(f"{at}/runs", json={"raster_ids": [text]}),
        office.post(f"{at}/runs", json={"crop": text, "country": text}),
        service.send("members", text, "member_id,name\nM1,x\n"),
        service.send("members", "m.csv", f"member_id,name\nM2,{text}\n", crs=text),
        service.send("members", "m.csv", f'member_id,name\nM2,"{text}"\n', mapping=json.dumps({text: "name"})),
        service.send("plots", "p.geojson", text),
        service.send("plots", "p.csv", f'plot_id,outline\nP1,"{text}"\n'),
    ]
    assert {answer.status_code for answer in answers} <= {200, 201, 404, 409, 422}, [a.text for a in answers]
    for answer in answers:
        assert "root:" not in answer.text
        assert str(service.work_dir) not in answer.text
    assert answers[1].json()["name"] == text
    assert got == []
