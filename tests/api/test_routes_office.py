"""What an office does: members, consents, plots and their history, imports, decisions."""

import io
import json
import zipfile
from urllib.parse import quote

import geopandas as gpd
import openpyxl
import pandas as pd
import pytest

MEMBERS = (
    "member_id,name,telefono,community,declared_area_ha\nM1,Ana Pérez,+504 9999,Pinabete,0.7\nM2,Luz Díaz,,Pinabete,1\n"
)


# ---- cooperatives ----


def test_an_office_sees_its_own_cooperative_and_no_other(service):
    rows = service.office.get("/cooperatives").json()["rows"]
    assert [(row["cooperative_id"], row["code"]) for row in rows] == [(service.ours, "Flor del Pinar")]


def test_a_cooperative_is_added_by_the_operator_with_its_address(service):
    answer = service.operator.post(
        "/cooperatives", json={"code": "Tercera", "name": "La Tercera", "country": "Honduras"}
    )
    assert (answer.status_code, answer.json()["country"]) == (201, "HN")
    assert answer.headers["location"] == f"/cooperatives/{answer.json()['cooperative_id']}"
    assert service.office.post("/cooperatives", json={"code": "X", "name": "X"}).status_code == 403


def test_a_change_needs_the_version_that_was_seen(service):
    tag = service.office.get(service.at).headers["etag"]
    changed = service.office.patch(service.at, json={"settings": {"bag_kg": 69}}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["settings"]) == (200, {"bag_kg": 69})
    stale = service.office.patch(service.at, json={"name": "Other"}, headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "changed")
    assert service.office.get(service.at).json()["name"] == "Flor del Pinar"


def test_settings_are_the_offices_own(service):
    for reader in (service.analyst, service.buyer):
        assert "settings" not in reader.get(service.at).json()


# ---- members ----


def test_a_member_is_added_read_replaced_and_erased(service):
    at = f"{service.at}/members/M1"
    added = service.office.put(at, json={"name": "Ana Pérez", "phone": "+504 9999", "declared_area_ha": 0.7})
    assert (added.status_code, added.json()["name"], added.headers["etag"]) == (201, "Ana Pérez", '"1"')
    replaced = service.office.put(at, json={"name": "Ana Díaz"}, headers={"If-Match": '"1"'})
    assert (replaced.status_code, replaced.json()["phone"], replaced.json()["version"]) == (200, "", 2)
    assert service.office.put(at, json={"name": "Eva"}, headers={"If-Match": '"1"'}).status_code == 412
    assert service.office.put(at, json={"name": "Eva"}, headers={"If-None-Match": "*"}).status_code == 412
    assert service.office.delete(at).status_code == 204
    assert service.office.get(at).status_code == 404


def test_ids_of_members_and_plots_may_hold_a_slash_and_other_letters(service):
    service.member("FP%2F001%20ñ", name="Ana")
    service.plot("L%2F1", member_id="FP/001 ñ")
    assert service.office.get(f"{service.at}/members").json()["rows"][0]["member_id"] == "FP/001 ñ"
    assert service.office.get(f"{service.at}/plots/L%2F1").json()["properties"]["plot_id"] == "L/1"
    assert service.office.get(f"{service.at}/plots/L%2F1/history").json()["rows"][0]["version"] == 1


@pytest.mark.parametrize("own_id", ["X/consents", "/", "a//b", "../X", "X/", "ñ/%2F/%", "X?a=1#b"])
def test_any_id_is_found_where_it_was_put(light_service, own_id):
    """A slash that is part of an id is sent as %2F; the parts of the address are told by the others."""
    service, told = light_service, quote(own_id, safe="")
    service.member(told, name="Ana", agreed=True)
    member = f"{service.at}/members/{told}"
    assert service.office.get(member).json()["member_id"] == own_id
    assert [row["member_id"] for row in service.office.get(f"{member}/consents").json()["rows"]] == [own_id]
    assert service.plot(told)["id"] == own_id
    plot = f"{service.at}/plots/{told}"
    assert service.office.get(plot).json()["id"] == own_id
    assert [row["plot_id"] for row in service.office.get(f"{plot}/history").json()["rows"]] == [own_id]
    assert [service.office.delete(at).status_code for at in (plot, member)] == [204, 204]
    assert [service.office.get(at).status_code for at in (plot, member)] == [404, 404]


def test_an_id_that_ends_like_an_address_is_no_other_members_address(light_service):
    service = light_service
    service.member("X", name="Ana")
    service.member("X%2Fconsents", name="Berta")
    assert service.office.get(f"{service.at}/members/X%2Fconsents").json()["name"] == "Berta"
    assert service.office.get(f"{service.at}/members/X/consents").json()["rows"] == []
    assert service.office.get(f"{service.at}/members/X/other").status_code == 404
    assert service.office.get(f"{service.at}/members%2FX").status_code == 404
    assert service.office.get(f"{service.at}%2Fmembers/X").status_code == 404
    assert service.office.get(f"{service.at}/members/X%252Fconsents").status_code == 404


def test_lists_come_in_pages_that_join_without_gap(service):
    for number in range(7):
        service.member(f"M{number}", name=f"N{number}")
    seen, after = [], ""
    while after is not None:
        answer = service.office.get(f"{service.at}/members", params={"limit": 3, "after": after})
        seen += [row["member_id"] for row in answer.json()["rows"]]
        after = answer.json()["next"]
        assert ("next" in answer.headers.get("link", "")) == (after is not None)
    assert seen == [f"M{number}" for number in range(7)]


def test_every_number_of_a_list_has_its_unit_beside_it(service):
    service.member("M1", declared_area_ha=0.7)
    columns = service.office.get(f"{service.at}/members").json()["columns"]
    assert columns["declared_area_ha"] == {"unit": "ha", "meaning": "Area as declared"}


def test_consent_is_recorded_and_the_last_word_stands_first(service):
    service.member("M1", agreed=True)
    service.member("M1", agreed=False)
    rows = service.office.get(f"{service.at}/members/M1/consents").json()["rows"]
    assert [(row["purpose"], row["given"]) for row in rows] == [("analysts", False), ("analysts", True)]


def test_consent_of_somebody_who_is_not_there_is_not_recorded(service):
    body = {"purpose": "analysts", "given": True}
    assert service.office.post(f"{service.at}/members/nobody/consents", json=body).status_code == 404


def test_who_looks_at_people_is_written_down(service):
    service.member("M1", name="Ana")
    service.plot("P1", member_id="M1")
    service.office.get(f"{service.at}/members/M1")
    service.office.get(f"{service.at}/members")
    service.office.get(f"{service.at}/members/M1/consents")
    service.office.get(f"{service.at}/deliveries")
    service.office.get(f"{service.at}/export")
    service.analyst.get(f"{service.at}/plots")
    assert service.looks()[:6] == [
        ("plots.read", ""),
        ("cooperatives.export", ""),
        ("evidence.read", "deliveries"),
        ("consents.read", "M1"),
        ("members.read", ""),
        ("members.read", "M1"),
    ]
    rows = service.office.get(f"{service.at}/audit").json()["rows"]
    assert rows[0]["role"] == "analyst"
    assert "Ana" not in json.dumps(rows)


# ---- plots ----


def test_a_plot_is_added_replaced_and_ended_and_its_history_stays(service, plot_square):
    at = f"{service.at}/plots/P1"
    added = service.office.put(at, json=plot_square(crop="coffee", attributes={"variety": "Típica"}))
    assert (added.status_code, added.headers["etag"].removeprefix("W/")) == (201, '"1"')
    assert added.headers["content-type"] == "application/geo+json"
    # 0.001 degrees of longitude are 107.7 m at 14.66 N, of latitude 110.6 m: 1.19 ha
    assert added.json()["properties"]["area_ha"] == pytest.approx(1.1917, abs=1e-3)
    assert added.json()["columns"]["area_ha"]["unit"] == "ha"
    wider = plot_square(side=0.002)
    assert service.office.put(at, json=wider, headers={"If-Match": '"1"'}).json()["properties"]["version"] == 2
    assert service.office.put(at, json=plot_square(), headers={"If-Match": '"1"'}).status_code == 412
    assert service.office.delete(at, headers={"If-Match": '"1"'}).status_code == 412
    assert service.office.delete(at, headers={"If-Match": '"2"'}).status_code == 204
    assert service.office.get(at).status_code == 404
    history = service.office.get(f"{at}/history").json()["rows"]
    assert [(row["version"], row["ended_at"] is not None) for row in history] == [(2, True), (1, True)]


def test_what_was_read_can_be_sent_back_and_changes_nothing(service):
    sent = service.plot("P1", crop="coffee", declared_area_ha=1.2, attributes={"planted_year": 2015, "note": "x"})
    again = service.office.put(f"{service.at}/plots/P1", json=sent, headers={"If-Match": '"1"'})
    assert (again.status_code, again.json()["properties"]) == (200, sent["properties"])


@pytest.mark.parametrize(
    "coordinates",
    [
        "[[[NaN, 14.6], [-88.8, 14.7], [-88.7, 14.7], [NaN, 14.6]]]",
        "[[[1e999, 14.6], [-88.8, 14.7], [-88.7, 14.7], [1e999, 14.6]]]",
        "[[[-188.9, 14.6], [-188.8, 14.7], [-188.7, 14.7], [-188.9, 14.6]]]",
        "[[[-88.9, 94.6], [-88.8, 94.7], [-88.7, 94.7], [-88.9, 94.6]]]",
        '[[["-88.9; DROP TABLE plots", 14.6], [-88.8, 14.7], [-88.7, 14.7], [-88.9, 14.6]]]',
        "[[[-88.82, 14.66], [-88.82, 14.66], [-88.82, 14.66], [-88.82, 14.66]]]",
        "[[[0, 0], [0.001, 0], [0.001, 0.001], [0, 0]]]",
        "[]",
        "null",
    ],
    ids=["nan", "overflow", "longitude", "latitude", "text", "one point", "null island", "no ring", "null"],
)
def test_a_shape_that_cannot_be_is_refused_and_not_sent_back(light_service, coordinates):
    service = light_service
    body = f'{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":{coordinates}}},"properties":{{}}}}'
    answer = service.office.put(
        f"{service.at}/plots/P1", content=body, headers={"Content-Type": "application/geo+json"}
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in {"invalid_request", "plot_refused"}
    assert "DROP" not in answer.text
    assert service.office.get(f"{service.at}/plots").json()["features"] == []


def test_a_plot_is_checked_as_an_import_is(service, plot_square):
    bow_tie = plot_square()
    ring = bow_tie["geometry"]["coordinates"][0]
    ring[1], ring[2] = ring[2], ring[1]
    answer = service.office.put(f"{service.at}/plots/P1", json=bow_tie)
    assert (answer.status_code, answer.json()["code"]) == (422, "plot_refused")
    assert "crosses itself" in answer.json()["detail"]
    told = service.plot("P2", west=-87.9, gps_accuracy_m=4.8)
    assert told["findings"][0]["code"] == "few_decimals"


@pytest.mark.parametrize(
    "properties",
    [
        {"variety": "Típica"},
        {"declared_area_ha": "1.2"},
        {"declared_area_ha": True},
        {"declared_area_ha": -1},
        {"attributes": {"planted_year": "long ago"}},
        {"attributes": {"planted_share": 7}},
        {"attributes": {"nested": {"a": 1}}},
        {"attributes": {"a\u0000": 1}},
    ],
    ids=json.dumps,
)
def test_a_property_that_would_be_lost_or_misread_is_refused(light_service, plot_square, properties):
    answer = light_service.office.put(f"{light_service.at}/plots/P1", json=plot_square(**properties))
    assert answer.status_code == 422, answer.text


def test_the_id_of_the_address_and_of_the_feature_must_agree(light_service, plot_square):
    service = light_service
    answer = service.office.put(f"{service.at}/plots/P1", json=plot_square(plot_id="P2"))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_plots_are_found_by_place(service):
    service.plot("here", west=-88.82, south=14.66)
    service.plot("there", west=-88.52, south=14.66)
    found = service.office.get(f"{service.at}/plots", params={"box": "-88.9,14.6,-88.8,14.7"}).json()
    assert [feature["id"] for feature in found["features"]] == ["here"]


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "nan,nan,nan,nan", "2,2,1,1", "1' OR '1'='1,2,3,4", "-999,0,1,1"])
def test_a_box_that_is_none_is_refused(light_service, box):
    answer = light_service.office.get(f"{light_service.at}/plots", params={"box": box})
    assert (answer.status_code, answer.json()["code"]) == (422, "number")


# ---- imports ----


def test_an_import_is_taken_in_and_told(service):
    answer = service.send("members", "socios.csv", MEMBERS)
    assert answer.status_code == 201, answer.text
    row = answer.json()
    assert (row["file_name"], row["rows"], row["counts"]["added"], row["repeated"]) == ("socios.csv", 2, 2, False)
    assert service.office.get(answer.headers["location"]).json()["import_id"] == row["import_id"]
    assert service.office.get(f"{service.at}/imports").json()["rows"][0]["kind"] == "members"
    assert service.office.get(f"{service.at}/members/M1").json()["name"] == "Ana Pérez"


def test_the_same_file_again_changes_nothing(service):
    first = service.send("members", "socios.csv", MEMBERS).json()
    again = service.send("members", "again.csv", MEMBERS)
    assert (again.status_code, again.json()["import_id"], again.json()["repeated"]) == (200, first["import_id"], True)
    assert len(service.office.get(f"{service.at}/imports").json()["rows"]) == 1


def test_findings_of_an_import_can_be_read(service, plot_square):
    collection = {"type": "FeatureCollection", "features": [plot_square(plot_id="P1", declared_area_ha="lots")]}
    row = service.send("plots", "plots.geojson", json.dumps(collection)).json()
    findings = service.office.get(f"{service.at}/imports/{row['import_id']}/findings").json()
    assert [one["code"] for one in findings["rows"]] == ["unreadable_value"]
    assert findings["columns"]["effect_ha"]["unit"] == "ha"


def test_names_of_columns_can_be_mapped(service):
    content = "codigo;quien\nM1;Ana\n"
    mapping = json.dumps({"codigo": "member_id", "quien": "name"})
    assert service.send("members", "m.csv", content, mapping=mapping).status_code == 201
    assert service.office.get(f"{service.at}/members/M1").json()["name"] == "Ana"


@pytest.mark.parametrize("mapping", ["{", "[]", '{"a": 1}', '{"a": {"b": "c"}}', '{"a": "\\u0000"}'])
def test_a_mapping_that_is_none_is_refused(light_service, mapping):
    answer = light_service.send("members", "m.csv", MEMBERS, mapping=mapping)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_what_is_not_in_a_replacing_file_ends(service):
    service.send("members", "m.csv", MEMBERS)
    row = service.send("members", "m.csv", MEMBERS.rsplit("M2", 1)[0], replace="true").json()
    assert row["counts"]["removed"] == 1
    assert [one["member_id"] for one in service.office.get(f"{service.at}/members").json()["rows"]] == ["M1"]


@pytest.mark.parametrize(
    ("name", "content", "declared"),
    [
        ("plots.exe", b"MZ", "application/octet-stream"),
        ("plots", b"{}", "application/geo+json"),
        ("plots.geojson", b"PK\x03\x04", "application/geo+json"),
        ("plots.geojson", b"<OGRVRTDataSource/>", "application/geo+json"),
        ("plots.geojson", b'{"type":"FeatureCollection","features":[]}', "text/csv"),
        ("../../etc/plots.csv.vrt", b"a,b\n1,2\n", "text/csv"),
    ],
)
def test_name_content_and_declared_type_must_agree_and_nothing_stays(light_service, name, content, declared):
    service = light_service
    files = {"file": (name, content, declared)}
    answer = service.office.post(f"{service.at}/imports", files=files, data={"kind": "plots"})
    assert (answer.status_code, answer.json()["code"]) == (422, "file")
    assert str(service.work_dir) not in answer.text
    assert list(service.work_dir.iterdir()) == []


def test_an_upload_leaves_nothing_in_the_work_folder(light_service):
    light_service.send("members", "m.csv", MEMBERS)
    assert list(light_service.work_dir.iterdir()) == []


def test_shares_and_deliveries_are_listed(service):
    service.send("members", "m.csv", MEMBERS)
    service.plot("P1", member_id="M1")
    sent = service.send("shares", "s.csv", "plot_id,member_id,share\nP1,M1,0.5\nP1,M2,0.5\n")
    assert sent.status_code == 201, sent.text
    sent = service.send("deliveries", "d.csv", "member_id,season,date,kg,form\nM1,2023/24,2023-11-08,51.2,parchment\n")
    assert sent.status_code == 201, sent.text
    shares = service.office.get(f"{service.at}/shares").json()["rows"]
    assert [(row["member_id"], row["share"]) for row in shares] == [("M1", 0.5), ("M2", 0.5)]
    answer = service.office.get(f"{service.at}/deliveries").json()
    assert (answer["rows"][0]["kg"], answer["columns"]["kg"]["unit"]) == (51.2, "kg")


# ---- decisions ----


def test_a_decision_is_kept_replaced_and_taken_back(service):
    for word, left in (("keep", ["keep"]), ("leave_out", ["leave_out"]), ("", [])):
        body = {"decisions": [{"plot_id": "P1", "code": "overlap", "other_plot_id": "P2", "decision": word}]}
        assert service.office.put(f"{service.at}/decisions", json=body).status_code == 200
        rows = service.office.get(f"{service.at}/decisions").json()["rows"]
        assert [row["decision"] for row in rows] == left


def test_a_decision_that_is_not_known_is_refused(light_service):
    body = {"decisions": [{"plot_id": "P1", "decision": "burn"}]}
    assert light_service.office.put(f"{light_service.at}/decisions", json=body).status_code == 422


def test_decisions_that_would_keep_others_waiting_come_in_parts(light_service):
    body = {"decisions": [{"plot_id": f"P{number}", "decision": "keep"} for number in range(1_001)]}
    answer = light_service.office.put(f"{light_service.at}/decisions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


# ---- formats ----


def test_text_stays_text_in_every_format(service):
    """Signs that begin a formula (CSV, XLSX), a template, a script or a statement of SQL."""
    texts = ["=1+1", "+2547", "-1", "@SUM(A1)", "{{7*191}}", "<img src=x>", "</script>", "${1}", "`", "' OR 1=1 --"]
    for number, text in enumerate(texts):
        service.member(f"M{number}", name=text, community=text, declared_area_ha=1.5)
    at = f"{service.at}/members"
    rows = service.office.get(at).json()["rows"]
    assert [row["name"] for row in rows] == texts
    table = pd.read_csv(io.StringIO(service.office.get(at, params={"format": "csv"}).text), dtype=str)
    assert table["name"].tolist() == [f"'{text}" if text[0] in "=+-@" else text for text in texts]
    assert set(table["declared_area_ha"]) == {"1.5"}
    book = openpyxl.load_workbook(io.BytesIO(service.office.get(at, params={"format": "xlsx"}).content))
    cells = [row[1] for row in book["rows"].iter_rows(min_row=2)]
    assert [(cell.value, cell.data_type) for cell in cells] == [(text, "s") for text in texts]
    assert [row[0].value for row in book["columns"].iter_rows(min_row=2)][:2] == ["member_id", "name"]


def test_plots_come_as_geojson_and_geoparquet_with_the_same_content(service):
    service.plot("P1", member_id="M1", crop="coffee", declared_area_ha=1.2)
    at = f"{service.at}/plots"
    geojson = gpd.read_file(io.BytesIO(service.office.get(at).content))
    parquet = gpd.read_parquet(io.BytesIO(service.office.get(at, params={"format": "geoparquet"}).content))
    for table in (geojson, parquet):
        assert table[["plot_id", "member_id", "declared_area_ha"]].values.tolist() == [["P1", "M1", 1.2]]
        assert table.geometry.iloc[0].bounds == (-88.82, 14.66, -88.819, 14.661)
        assert table.crs.equals("OGC:CRS84") or table.crs.to_epsg() == 4326


@pytest.mark.parametrize("sent", ["' OR 1=1 --", "%", "_", 'x"; drop table plots', "M1'/**/--"])
def test_ids_that_look_like_statements_are_ids(service, sent):
    service.member("M1", name="Ana")
    answer = service.office.get(f"{service.at}/members/{sent}")
    assert answer.status_code == 404
    listed = service.office.get(f"{service.at}/members", params={"after": sent})
    assert listed.status_code == 200
    assert service.office.get(f"{service.at}/members/M1").json()["name"] == "Ana"


@pytest.mark.parametrize(
    "path", ["members/a%00b", "plots/a%00b", "members/%07", "plots?after=a%00b", "members?after=%00"]
)
def test_letters_that_nobody_sees_are_no_part_of_an_id(service, path):
    answer = service.office.get(f"{service.at}/{path}")
    assert answer.status_code == 422, answer.text


# ---- export ----


def test_the_export_holds_all_and_is_the_same_bytes_twice(service):
    service.send("members", "m.csv", MEMBERS)
    service.plot("P1", member_id="M1")
    one = service.office.get(f"{service.at}/export")
    assert one.headers["content-type"] == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(one.content))
    assert {"README.txt", "members.csv", "plots.geojson"} <= set(archive.namelist())
    assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert "Ana Pérez" in "".join(archive.read(name).decode(errors="replace") for name in archive.namelist())
    assert list(service.work_dir.iterdir()) == []


def test_an_erased_cooperative_is_not_there(service):
    service.plot("P1")
    assert service.office.delete(service.at).status_code == 204
    assert service.office.get(f"{service.at}/plots").status_code == 404


def test_a_form_that_names_a_field_twice_is_refused(light_service):
    parts = [
        ("kind", (None, "plots")),
        ("kind", (None, "members")),
        ("file", ("members.csv", b"member_id\nM1\n", "text/csv")),
    ]
    answer = light_service.office.post(f"{light_service.at}/imports", files=parts)
    assert answer.status_code == 422
    assert answer.json()["where"] == ["body.kind"]
