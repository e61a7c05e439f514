import importlib
import json
import pkgutil

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel, FiniteFloat

import api
import geomap
from api import errors
from api.app import create_app
from api.settings import Settings
from geomap.errors import FileError, GeomapError, OutputError
from geomap.plots.archives import FileTooLargeError


class Plot(BaseModel):
    area_ha: float


@pytest.fixture
def app(tmp_path) -> FastAPI:
    return create_app(Settings(work_dir=tmp_path))


@pytest.fixture
def client(app) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


def kinds_of(kind: type) -> set[type]:
    return {kind}.union(*(kinds_of(child) for child in kind.__subclasses__()))


def raising(app: FastAPI, error: Exception) -> None:
    @app.get("/fail")
    def fail() -> None:
        raise error


def test_a_running_service_is_live(client):
    answer = client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_service_with_a_work_folder_is_ready(client):
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_service_without_its_work_folder_is_live_but_not_ready(tmp_path):
    client = TestClient(create_app(Settings(work_dir=tmp_path / "gone")))
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["code"] == "not_ready"
    assert str(tmp_path) not in answer.text


def test_the_version_is_the_packages(client):
    assert client.get("/version").json() == {"geomap": geomap.__version__}


def test_settings_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GEOMAP_API_WORK_DIR", str(tmp_path))
    monkeypatch.setenv("GEOMAP_API_EXPOSE_SCHEMA", "no")
    assert create_app().state.settings == Settings(work_dir=tmp_path, expose_schema=False)


def test_two_services_in_one_process_keep_their_own_settings(tmp_path):
    one, two = (create_app(Settings(work_dir=tmp_path / name)) for name in ("one", "two"))
    assert one.state.settings.work_dir != two.state.settings.work_dir


def test_the_schema_can_be_kept_private(tmp_path):
    client = TestClient(create_app(Settings(work_dir=tmp_path, expose_schema=False)))
    assert client.get("/openapi.json").status_code == 404


def test_the_schema_names_every_route(client):
    assert client.get("/openapi.json").json()["paths"].keys() >= {"/health/live", "/health/ready", "/version"}


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_page_that_loads_scripts_from_elsewhere_is_served(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("POST", "/version", 405, "method_not_allowed")],
)
def test_errors_of_the_framework_have_the_same_body(client, method, path, status, code):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json().keys() == {"code", "detail", "where"}
    assert answer.json()["code"] == code


def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(client):
    assert client.post("/version").headers["allow"] == "GET"


@pytest.mark.parametrize("kind", [kind for kind, status in errors.STATUS.items() if status < 500])
def test_an_error_in_the_data_says_its_code_and_what_to_do(app, client, kind):
    raising(app, kind("plots.shp is empty.", todo="Send it again."))
    answer = client.get("/fail")
    assert answer.status_code == errors.STATUS[kind]
    assert answer.json() == {"code": kind.code, "detail": "plots.shp is empty. Send it again.", "where": None}


def test_a_file_that_is_too_large_is_answered_with_413(app, client):
    raising(app, FileTooLargeError("plots.zip holds 900 MB unpacked."))
    answer = client.get("/fail")
    assert (answer.status_code, answer.json()["code"]) == (413, "file_too_large")


def test_each_error_of_the_house_has_a_row_in_the_table_and_a_code_of_its_own():
    for package in (geomap, api):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    kinds = [kind for kind in kinds_of(GeomapError) if kind.__module__.startswith(("geomap.", "api."))]
    assert [kind.__name__ for kind in kinds if kind not in errors.STATUS] == []
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_an_error_not_in_the_table_has_the_status_of_its_parent(app, client):
    class ArchiveError(FileError):
        code = "archive"

    raising(app, ArchiveError("plots.zip holds itself."))
    answer = client.get("/fail")
    assert (answer.status_code, answer.json()["code"]) == (422, "archive")


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("secret"), OutputError("secret"), GeomapError("secret")], ids=lambda e: type(e).__name__
)
def test_a_fault_says_nothing_of_the_inside_and_the_log_says_where(app, client, caplog, error):
    raising(app, error)
    answer = client.get("/fail")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text + caplog.text  # what an exception says may quote names and tokens
    line = next(json.loads(record.getMessage()) for record in caplog.records if '"fault"' in record.getMessage())
    assert line["kind"] == type(error).__name__
    assert line["places"][-1].endswith(" fail")
    assert line["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("value", ["NaN", "1e999", '"secret"'])
def test_a_wrong_request_is_told_where_but_not_sent_back(app, client, value):
    @app.post("/plots")
    def plots(plot: Plot) -> None:
        pass

    answer = client.post("/plots", content=f'{{"area_ha": [{value}]}}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"
    assert answer.json()["where"] == ["body.area_ha"]
    assert answer.json()["detail"].startswith("body.area_ha: ")
    assert "secret" not in answer.text
    assert "NaN" not in answer.text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", '"inf"', '"nan"'])
def test_a_number_that_is_none_is_refused(app, client, value):
    class Area(BaseModel):
        area_ha: FiniteFloat

    @app.post("/areas")
    def areas(area: Area) -> None:
        pass

    answer = client.post("/areas", content=f'{{"area_ha": {value}}}', headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["where"]) == (422, ["body.area_ha"])


def test_a_result_that_is_no_number_is_null(app, client):
    @app.get("/model")
    def model() -> Plot:
        return Plot(area_ha=float("nan"))

    @app.get("/plain")
    def plain() -> dict[str, list[float]]:
        return {"kg": [float("inf"), 1.5]}

    assert client.get("/model").json() == {"area_ha": None}
    assert client.get("/plain").json() == {"kg": [None, 1.5]}


def test_a_place_in_a_request_cannot_break_the_answer(app, client):
    class Nothing(BaseModel):
        model_config = {"extra": "forbid"}

    @app.post("/nothing")
    def nothing(body: Nothing) -> None:
        pass

    sent = {"\x07" + 5_000 * "x": 1}
    answer = client.post("/nothing", json=sent)
    assert (answer.status_code, answer.json()["where"]) == (422, ["body. " + 193 * "x" + "…"])
    lone = client.post("/nothing", content=b'{"\\ud800": 1}', headers={"Content-Type": "application/json"})
    assert lone.status_code == 422


def test_every_answer_forbids_to_run_frame_sniff_and_keep_it(client):
    for path in ("/version", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


def test_a_fault_has_the_same_headers_as_any_answer(app, client):
    raising(app, ZeroDivisionError())
    assert client.get("/fail").headers["x-content-type-options"] == "nosniff"
