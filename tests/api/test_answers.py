"""The one way out: formats, tags, pages."""

import io
import json
from typing import Any

import geopandas as gpd
import openpyxl
import pytest
import shapely
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.access import public
from api.answers import Page, PlainJSON, listed, shown, wanted_version
from api.app import create_app
from api.formats import MEDIA_TYPES
from api.settings import Settings

COLUMNS = {"plot_id": ("", "The plot"), "area_ha": ("ha", "Area"), "name": ("", "=1+1")}
SHAPED = {**COLUMNS, "geometry": ("degrees", "Outline")}
SQUARE = shapely.box(-88.0, 14.0, -87.0, 15.0)
ROWS = [
    {
        "plot_id": "P1",
        "area_ha": 1.25,
        "name": "=cmd|' /C calc'!A0",
        "geometry": shapely.to_wkb(SQUARE),
        "phone": "555",
    },
    {"plot_id": "00123", "area_ha": float("nan"), "name": 'José, "el\nalto"', "geometry": None, "phone": "555"},
]


@pytest.fixture
def client(tmp_path) -> TestClient:
    app: FastAPI = create_app(Settings(work_dir=tmp_path))

    @app.get("/rows", dependencies=[public()])
    def rows(request: Request, page: Page) -> Response:
        found = ROWS[page.number() :][: page.limit]
        after = page.number() + len(found)
        return listed(request, found, columns=COLUMNS, name="rows", next=after if after < len(ROWS) else None)

    @app.get("/shapes", dependencies=[public()])
    def shapes(request: Request, page: Page) -> Response:
        return listed(request, ROWS, columns=SHAPED, name="shapes", default="geojson", personal=False)

    @app.get("/long", dependencies=[public()])
    def long(request: Request, page: Page) -> Response:
        return listed(request, 100 * ROWS, columns=COLUMNS, name="long")

    @app.put("/one", dependencies=[public()])
    def one(request: Request) -> Response:
        return shown(request, {"wanted": wanted_version(request), "kg": float("inf")}, version=4)

    return TestClient(app, raise_server_exceptions=False)


def test_a_list_says_what_its_columns_mean_and_shows_no_other(client):
    answer = client.get("/rows").json()
    assert answer["rows"][0] == {"plot_id": "P1", "area_ha": 1.25, "name": "=cmd|' /C calc'!A0"}
    assert answer["rows"][1]["area_ha"] is None
    assert answer["columns"]["area_ha"] == {"unit": "ha", "meaning": "Area"}
    assert answer["next"] is None


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_no_format_shows_a_column_that_is_not_named(client, kind):
    assert b"555" not in client.get("/shapes", params={"format": kind}).content


def test_csv_runs_no_formula(client):
    answer = client.get("/rows", params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="rows.csv"'
    assert answer.text == 'plot_id,area_ha,name\nP1,1.25,\'=cmd|\' /C calc\'!A0\n00123,,"José, ""el\nalto"""\n'


def test_a_workbook_holds_text_as_text_and_says_what_columns_mean(client):
    book = openpyxl.load_workbook(io.BytesIO(client.get("/rows", params={"format": "xlsx"}).content))
    rows = list(book["rows"].iter_rows())
    assert [cell.value for cell in rows[1]] == ["P1", 1.25, "=cmd|' /C calc'!A0"]
    assert rows[1][2].data_type == "s"
    assert rows[2][0].value == "00123"
    assert list(book["columns"].values)[2] == ("area_ha", "ha", "Area")


def test_geojson_and_geoparquet_hold_the_same_shapes(client):
    features = client.get("/shapes").json()["features"]
    assert [feature["id"] for feature in features] == ["P1", "00123"]
    assert shapely.geometry.shape(features[0]["geometry"]).equals(SQUARE)
    assert features[1]["geometry"] is None
    table = gpd.read_parquet(io.BytesIO(client.get("/shapes", params={"format": "geoparquet"}).content))
    assert table.crs.to_authority() == ("OGC", "CRS84")
    assert table.geometry[0].equals(SQUARE)
    assert table["plot_id"].tolist() == ["P1", "00123"]


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_the_same_rows_are_the_same_bytes_and_the_same_tag(client, kind):
    one, two = (client.get("/shapes", params={"format": kind}) for _ in range(2))
    assert one.content == two.content
    assert one.headers["etag"] == two.headers["etag"]
    again = client.get("/shapes", params={"format": kind}, headers={"If-None-Match": one.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", one.headers["etag"])


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/*", "text/csv; charset=utf-8"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv; charset=utf-8"),
        ("text/csv;q=0, */*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
    ],
)
def test_the_format_is_the_one_that_is_liked_best(client, accept, media_type):
    assert client.get("/rows", headers={"Accept": accept}).headers["content-type"] == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/geo+json", "nonsense", "text/csv;q=nan", "text/csv;q=x"])
def test_a_format_that_a_list_has_not_is_refused(client, accept):
    answer = client.get("/rows", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_a_format_that_nobody_knows_is_refused(client):
    assert client.get("/rows", params={"format": "pdf"}).json()["where"] == ["query.format"]
    assert client.get("/rows", params={"format": "geojson"}).status_code == 406


def test_pages_follow_each_other(client):
    first = client.get("/rows", params={"limit": 1, "format": "json"})
    assert first.json()["next"] == "1"
    assert first.headers["link"] == '</rows?limit=1&format=json&after=1>; rel="next"'
    second = client.get(first.links["next"]["url"])
    assert [row["plot_id"] for row in second.json()["rows"]] == ["00123"]
    assert "link" not in second.headers


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=x", "after=x", "after=1e3", f"after={30 * '9'}", "after=²"]
)
def test_a_page_that_cannot_be_is_refused(client, query):
    assert client.get(f"/rows?{query}").status_code == 422


def test_personal_answers_are_kept_nowhere(client):
    assert client.get("/rows").headers["cache-control"] == "no-store"
    assert client.get("/shapes").headers["cache-control"] == "private, no-cache"
    assert "Authorization" in client.get("/shapes").headers["vary"]


def test_a_compressed_answer_has_a_weak_tag_that_still_counts(client):
    plain = client.get("/long", headers={"Accept-Encoding": "identity"})
    packed = client.get("/long", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
    assert client.get("/long", headers={"If-None-Match": packed.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("sent", "wanted"), [(None, None), ("*", None), ('"3"', 3), ('W/"3"', 3), ('"x"', 412), ('"-1"', 412), ('"²"', 412)]
)
def test_a_change_says_which_version_it_changes(client, sent, wanted):
    answer = client.put("/one", headers={} if sent is None else {"If-Match": sent.encode()})
    if wanted == 412:
        assert (answer.status_code, answer.json()["code"]) == (412, "changed")
    else:
        assert answer.json() == {"wanted": wanted, "kg": None}
        assert answer.headers["etag"] == '"4"'


json_like: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
)


@given(json_like)
def test_anything_is_shown_as_json_that_every_reader_takes(value):
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(PlainJSON(value).body, parse_constant=refuse)
