"""Runs through the service: the same numbers as on the command line, in open formats, and progress on the way."""

import io
import json
import time

import geopandas as gpd
import openpyxl
import pandas as pd
import pytest

import api.routes.jobs
import api.routes.runs
from api.models import NewRun
from api.routes.runs import run_parameters
from api.worker import Worker
from geomap.outputs.tables import COLUMN_DOCS
from geomap.run import estimate_files
from geomap.store import Scope
from geomap.store.cooperatives import cooperative
from geomap.store.jobs import MOST_UNDER_WAY, add_job, require_room
from geomap.store.schema import rasters
from geomap.store.scope import ALL
from geomap.supply.brought import Brought

RASTER = {
    "product": "esa-worldcover-2021",
    "path": "/nowhere/map.tif",
    "sha256": "0",
    "bytes": 1,
    "bounds": [0, 0, 1, 1],
}


def all_rows(client, at, **params):
    rows, after = [], ""
    while after is not None:
        page = client.get(at, params={"limit": 1000, "after": after, **params}).json()
        rows, after = rows + page["rows"], page["next"]
    return rows


@pytest.fixture
def office(light_service):
    """An office with a plot, and a service that knows a raster by name."""
    with light_service.store.begin(light_service.operator_scope) as tx:
        tx.insert(rasters, {"raster_id": "r1", "name": "map", **RASTER})
    light_service.plot("P1")
    return light_service


# ---- to ask for one ----


def test_a_small_run_is_done_at_once_and_has_an_address(stored_run):
    again = stored_run.service.office.get(stored_run.at).json()
    assert (again["crop"], again["form"], again["season"], again["title"]) == ("coffee", "green", "2026/27", "Kept")
    assert again["summary"]["totals"]["potential_kg"] > 0
    assert {one["role"] for one in again["inputs"]} >= {"plots", "members", "raster", "deliveries"}
    assert "summary" not in stored_run.service.office.get(f"{stored_run.service.at}/runs").json()["rows"][0]
    assert list(stored_run.service.work_dir.iterdir()) == []


@pytest.fixture(scope="module")
def by_command(ran, sample_raster):
    """The very files that were sent, through the function behind `geomap estimate`."""
    files = ran.files
    brought = Brought(deliveries=(files["deliveries"],), contracts=files["contracts"], cooperatives=files["settings"])
    return estimate_files(
        files["plots"], [sample_raster], members=files["members"], brought=brought, product="esa-worldcover-2021",
        crop="coffee", country="HN", season="2026/27", by=["community"],
    )  # fmt: skip


def test_the_numbers_are_those_of_the_command_line(stored_run, by_command):
    tables = {
        "cooperatives": by_command.cooperatives,
        "members": by_command.members,
        "by_community": by_command.by["community"],
    }
    for name, expected in tables.items():
        rows = all_rows(stored_run.service.office, f"{stored_run.at}/tables/{name}")
        got = pd.DataFrame(rows).set_index("id").sort_index()
        numbers = expected.set_index("id").sort_index().select_dtypes("number")
        assert got.index.tolist() == numbers.index.tolist()
        assert numbers.columns.size > 10
        for column in numbers:
            assert got[column].astype(float).tolist() == pytest.approx(numbers[column].tolist(), rel=1e-9, nan_ok=True)
    plots = gpd.read_file(
        io.BytesIO(stored_run.service.office.get(f"{stored_run.at}/plots", params={"limit": 1000}).content)
    )
    got = plots.set_index("plot_id")["potential_kg"]
    assert got.to_dict() == pytest.approx(by_command.plots["potential_kg"].to_dict(), rel=1e-9)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"crop": "gold"}, "unknown_name"),
        ({"country": "Atlantis"}, "unknown_name"),
        ({"form": "ingots"}, "unknown_name"),
        ({"season": "2026/99"}, "unknown_name"),
        ({"season": "soon"}, "invalid_request"),
        ({"product": "a map"}, "unknown_name"),
        ({"raster_ids": ["nothing"]}, "unknown_name"),
        ({"base_yield_kg": -1}, "invalid_request"),
        ({"base_yield_kg": 1e-300}, "invalid_request"),
        ({"delivered_share": 1.5}, "invalid_request"),
        ({"as_of": "2027-13-01"}, "invalid_request"),
        ({"language": "xx"}, "invalid_request"),
        ({"by": ["name"]}, "column"),
        ({"rasters": ["/etc/passwd"]}, "invalid_request"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else value,
)
def test_what_cannot_be_estimated_is_refused_by_name(office, body, code):
    answer = office.office.post(f"{office.at}/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert office.office.get(f"{office.at}/runs").json()["rows"] == []


def test_what_people_decided_counts_in_the_next_run(service, real_raster):
    for number in (1, 2):
        service.plot(f"P{number}", west=-88.8 + number / 100, attributes={"planted_year": 2015})
    real_raster(service)
    body = {"decisions": [{"plot_id": "P2", "decision": "leave_out"}]}
    assert service.office.put(f"{service.at}/decisions", json=body).status_code == 200
    made = service.office.post(f"{service.at}/runs", json={"season": "2026/27"})
    assert made.status_code == 201, made.text
    at = f"{service.at}/runs/{made.json()['run_id']}"
    plots = service.office.get(f"{at}/plots").json()["features"]
    assert [(one["id"], one["properties"]["planted_year"]) for one in plots] == [("P1", 2015)]
    stored = service.office.get(f"{service.at}/plots/P1").json()["properties"]["attributes"]
    assert json.dumps(stored) == '{"planted_year": 2015}'  # a whole number stays one
    findings = service.office.get(f"{at}/tables/findings").json()["rows"]
    assert ("P2", "decided") in {(row["plot_id"], row["code"]) for row in findings}


def test_a_run_of_a_cooperative_without_plots_says_so(light_service):
    with light_service.store.begin(light_service.operator_scope) as tx:
        tx.insert(rasters, {"raster_id": "r1", "name": "map", **RASTER})
    answer = light_service.office.post(f"{light_service.at}/runs", json={})
    assert (answer.status_code, answer.json()["code"]) == (422, "file")
    assert "Import plots first" in answer.json()["detail"]


def test_without_any_raster_nothing_is_begun(light_service):
    light_service.plot("P1")
    answer = light_service.office.post(f"{light_service.at}/runs", json={})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_name")
    assert light_service.office.get(f"{light_service.at}/jobs").json()["rows"] == []


def test_of_several_products_one_must_be_named(office):
    with office.store.begin(office.operator_scope) as tx:
        tx.insert(rasters, {"raster_id": "r2", "name": "old", **RASTER, "product": "esa-worldcover-2020", "path": "/b"})
    answer = office.office.post(f"{office.at}/runs", json={})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_name")
    assert "esa-worldcover-2020, esa-worldcover-2021" in answer.json()["detail"]


def test_rasters_are_listed_without_where_they_lie(office):
    answer = office.office.get("/rasters")
    assert [row["raster_id"] for row in answer.json()["rows"]] == ["r1"]
    assert "nowhere" not in answer.text


# ---- what it left ----


def test_every_column_of_every_table_has_its_meaning(ran):
    tables = ran.run["tables"]
    assert {"cooperatives", "members", "months", "variance", "findings", "by_community", "available"} <= set(tables)
    for name, told in tables.items():
        answer = ran.service.office.get(f"{ran.at}/tables/{name}", params={"limit": 1}).json()
        assert list(answer["columns"])[: len(told["columns"])] == told["columns"]
        assert [column for column, said in answer["columns"].items() if not said["meaning"]] == []
    kilograms = {name: unit for name, (unit, _) in COLUMN_DOCS["members.csv"].items() if name.endswith("_kg")}
    columns = ran.service.office.get(f"{ran.at}/tables/members").json()["columns"]
    assert {name: columns[name]["unit"] for name in kilograms} == kilograms


def test_members_of_a_run_have_their_names_for_the_office(stored_run):
    rows = all_rows(stored_run.service.office, f"{stored_run.at}/tables/members")
    names = {
        row["member_id"]: row["name"] for row in all_rows(stored_run.service.office, f"{stored_run.service.at}/members")
    }
    assert {row["id"]: row["name"] for row in rows} == names
    assert ("members.read", stored_run.run["run_id"]) in stored_run.service.looks()


def test_plots_of_a_run_are_the_same_in_every_format(stored_run):
    at, office = f"{stored_run.at}/plots", stored_run.service.office

    def fetch(format):
        return io.BytesIO(office.get(at, params={"limit": 1000, "format": format}).content)

    geojson, parquet = gpd.read_file(fetch("geojson")), gpd.read_parquet(fetch("geoparquet"))
    csv = pd.read_csv(fetch("csv"))
    sheet = openpyxl.load_workbook(fetch("xlsx"), read_only=True)["rows"]
    header, *lines = sheet.iter_rows(values_only=True)
    xlsx = pd.DataFrame(lines, columns=header)
    rows = pd.DataFrame(json.load(fetch("json"))["rows"])
    assert len(geojson) > 100
    for table in (parquet, csv, xlsx, rows):
        assert table["plot_id"].astype(str).tolist() == geojson["plot_id"].tolist()
        assert table["potential_kg"].astype(float).tolist() == pytest.approx(geojson["potential_kg"].tolist())
    assert parquet.geometry.geom_equals_exact(geojson.geometry.set_crs(parquet.crs, allow_override=True), 1e-9).all()


def test_pages_of_a_run_have_no_gap(stored_run):
    ids = [row["plot_id"] for row in all_rows(stored_run.service.office, f"{stored_run.at}/plots", format="json")]
    short, after = [], ""
    while after is not None:
        page = stored_run.service.office.get(f"{stored_run.at}/plots", params={"limit": 50, "after": after}).json()
        short, after = short + [one["id"] for one in page["features"]], page["next"]
    assert short == ids
    assert len(set(ids)) == len(ids)


def test_a_plot_is_explained_from_its_area_to_its_kilograms(stored_run):
    one = stored_run.service.office.get(f"{stored_run.at}/plots", params={"limit": 1}).json()["features"][0]
    told = stored_run.service.office.get(f"{stored_run.at}/plots/{one['id']}").json()
    assert told["potential"]["mean"] == pytest.approx(one["properties"]["potential_kg"])
    factors = {step["term"]: step["value"] for step in told["chain"]}
    product = factors["A"] * factors["f"] * factors["p"] * factors["y"] * factors["g"] * factors["k"]
    assert product == pytest.approx(told["potential"]["mean"], rel=0.2)  # the mean of a product is not that of means
    assert stored_run.service.office.get(f"{stored_run.at}/plots/nothing").status_code == 404


def test_pages_of_a_run_come_in_a_sandbox_and_files_as_downloads(stored_run):
    files = stored_run.run["files"]
    assert {"map_internal.html", "report.html", "plots.parquet"} <= set(files)
    page = stored_run.service.office.get(f"{stored_run.at}/files/map_internal.html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    parquet = stored_run.service.office.get(f"{stored_run.at}/files/plots.parquet")
    assert parquet.headers["content-disposition"] == 'attachment; filename="plots.parquet"'
    assert len(gpd.read_parquet(io.BytesIO(parquet.content))) > 100
    assert stored_run.service.office.get(f"{stored_run.at}/files/..%2Fsummary.json").status_code in (404, 422)


def test_results_can_be_asked_for_again_without_being_sent_again(stored_run):
    at = f"{stored_run.at}/tables/cooperatives"
    tag = stored_run.service.office.get(at).headers["etag"]
    again = stored_run.service.office.get(at, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


# ---- jobs ----


@pytest.fixture
def waiting(office, monkeypatch):
    """An office for which every run is a large one."""
    monkeypatch.setattr(api.routes.runs, "AT_ONCE_PLOTS", 0)
    monkeypatch.setattr(api.routes.jobs, "POLL_S", 0.02)
    return office


def told(stream: str) -> list[tuple[str, dict]]:
    """Event and data of each block of a stream of server-sent events."""
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in stream.strip().split("\n\n")]
    return [(block["event"], json.loads(block["data"])) for block in blocks if "event" in block]


def test_a_large_run_is_a_job_that_waits_in_the_queue(waiting):
    one, two = (waiting.office.post(f"{waiting.at}/runs", json={}) for _ in range(2))
    assert (one.status_code, one.json()["state"], one.json()["queue_place"]) == (202, "queued", 0)
    assert two.json()["queue_place"] == 1
    assert two.headers["location"] == f"{waiting.at}/jobs/{two.json()['job_id']}"
    assert waiting.office.get(two.headers["location"]).json()["parameters"]["rasters"] == ["r1"]
    listed = waiting.office.get(f"{waiting.at}/jobs").json()["rows"]
    assert {row["job_id"] for row in listed} == {one.json()["job_id"], two.json()["job_id"]}


def test_the_place_in_the_queue_is_among_the_jobs_of_all(waiting):
    waiting.neighbour.patch(f"/cooperatives/{waiting.foreign}", json={"name": "x"})
    theirs = f"/cooperatives/{waiting.foreign}"
    waiting.neighbour.put(f"{theirs}/plots/P1", json=waiting.office.get(f"{waiting.at}/plots/P1").json())
    assert waiting.neighbour.post(f"{theirs}/runs", json={}).status_code == 202
    assert waiting.office.post(f"{waiting.at}/runs", json={}).json()["queue_place"] == 1


def test_a_job_that_is_cancelled_says_so_and_the_stream_ends(waiting):
    at = waiting.office.post(f"{waiting.at}/runs", json={}).headers["location"]
    cancelled = waiting.office.delete(at)
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    stream = waiting.office.get(f"{at}/events", headers={"Last-Event-ID": "'; drop"})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert [event for event, _ in told(stream.text)] == ["cancelled"]


def test_a_stream_tells_of_the_queue_and_of_the_end_with_its_cause(waiting):
    """The raster's file is not there, so the job fails at once with a cause that names no path."""
    at = waiting.office.post(f"{waiting.at}/runs", json={}).headers["location"]
    worker = Worker(waiting.store, waiting.work_dir)
    with waiting.office.stream("GET", f"{at}/events") as stream:
        lines = stream.iter_lines()
        first = [next(lines) for _ in range(3)]
        assert first[:2] == ["id: 1", "event: progress"]
        assert json.loads(first[2].removeprefix("data: "))["queue_place"] == 0
    assert worker.step()
    events = told(waiting.office.get(f"{at}/events").text)
    assert [event for event, _ in events] == ["failed"]
    assert events[0][1]["error"]["code"]
    assert "nowhere" not in json.dumps(events)


def test_a_quiet_stream_is_kept_alive_and_ends_in_time(waiting, monkeypatch):
    monkeypatch.setattr(api.routes.jobs, "QUIET_S", 0.05)
    monkeypatch.setattr(api.routes.jobs, "MOST_S", 0.4)
    at = waiting.office.post(f"{waiting.at}/runs", json={}).headers["location"]
    began = time.monotonic()
    text = waiting.office.get(f"{at}/events").text
    assert time.monotonic() - began < 20
    assert ": still here\n\n" in text
    assert [event for event, _ in told(text.replace(": still here\n\n", ""))] == ["progress"]


def test_a_cooperative_has_ten_estimates_under_way_and_no_more(office):
    scope = Scope("local", ALL, "local")
    with office.store.begin(scope) as tx:
        made = [add_job(tx, cooperative_id=office.ours, parameters={})["job_id"] for _ in range(MOST_UNDER_WAY)]
    body = {"crop": "coffee", "product": "esa-worldcover-2021"}
    answer = office.office.post(f"{office.at}/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "cancel one" in answer.json()["detail"]
    assert office.office.delete(f"{office.at}/jobs/{made[0]}").status_code == 202
    with office.store.read(scope) as tx:
        require_room(tx, office.ours)


def test_a_country_is_kept_by_its_code_however_it_was_written(office):
    body = {"crop": "coffee", "country": "Honduras", "product": "esa-worldcover-2021"}
    with office.store.read(Scope("local", ALL, "local")) as tx:
        told = run_parameters(tx, NewRun(**body), cooperative(tx, office.ours))
    assert told["country"] == "HN"
