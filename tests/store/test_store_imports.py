"""Files of a cooperative: read once, kept whole or not at all, known again when they come back; on both databases."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import shapely

from geomap.errors import ColumnError, CrsError, FileError
from geomap.store import Scope, Store
from geomap.store.cooperatives import add_cooperative, cooperative
from geomap.store.errors import ConflictError, NotFoundError
from geomap.store.evidence import rows
from geomap.store.imports import import_, import_findings, imports, take_in_import
from geomap.store.members import members, put_member
from geomap.store.plots import current_plots, plot, plot_history, put_plot
from geomap.store.scope import ALL

LOCAL = Scope("local", ALL, "someone")


@pytest.fixture
def coop(store: Store) -> str:
    with store.begin(LOCAL) as tx:
        return add_cooperative(tx, code="Flor", name="Flor del Pinar", country="HN", crop="coffee")


@pytest.fixture
def send(store: Store, coop: str, tmp_path: Path) -> Any:
    """Send a text as a file of a kind."""

    def sent(kind: str, text: str, *, name: str = "file.csv", **more: Any) -> dict[str, Any]:
        path = tmp_path / f"q8d0{Path(name).suffix}"
        path.write_text(text, encoding="utf-8")
        return take_in_import(store, LOCAL, path, cooperative_id=coop, kind=kind, file_name=name, **more)

    return sent


def geojson(**plots: dict[str, Any]) -> str:
    """Squares of 0.001 degrees by id, each with its properties."""
    features = [
        {
            "type": "Feature",
            "properties": {"plot_id": plot_id, **given},
            "geometry": json.loads(
                shapely.to_geojson(shapely.box(-88.8 + place / 100, 14.6, -88.799 + place / 100, 14.601))
            ),
        }
        for place, (plot_id, given) in enumerate(plots.items())
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def test_plots_come_with_all_that_the_file_says_of_them(store: Store, coop: str, send: Any) -> None:
    given = {"member_id": "00123", "crop": "coffee", "ha": 1.5, "Variedad": "Catuaí", "altitude_m": 932, "note": None}
    done = send("plots", geojson(P1=given, P2={}), name="parcelas.geojson")
    assert done["counts"] == {"added": 2, "changed": 0, "unchanged": 0, "removed": 0}
    assert (done["rows"], done["file_name"], done["repeated"], done["account_id"]) == (
        2,
        "parcelas.geojson",
        False,
        "someone",
    )
    with store.read(LOCAL) as tx:
        row = plot(tx, coop, "P1")
    assert (row["member_id"], row["declared_area_ha"], row["import_id"]) == ("00123", 1.5, done["import_id"])
    assert row["attributes"] == {"altitude_m": 932.0, "variety": "Catuaí"}


def test_the_same_file_again_changes_nothing_and_answers_the_first_import(store: Store, coop: str, send: Any) -> None:
    first = send("plots", geojson(P1={}), name="a.geojson")
    with store.begin(LOCAL) as tx:
        put_plot(tx, coop, "P1", {"declared_area_ha": 2})
    again = send("plots", geojson(P1={}), name="b.geojson")
    assert again == first | {"repeated": True}
    with store.read(LOCAL) as tx:
        assert plot(tx, coop, "P1")["declared_area_ha"] == 2
        assert len(imports(tx, coop)) == 1


def test_the_same_file_read_another_way_is_another_import(send: Any) -> None:
    text = "plot_id,lat,lon,superficie,otra\nP1,14.6,-88.8,1,2\n"
    first = send("plots", text, mapping={"superficie": "declared_area_ha"})
    other = send("plots", text, mapping={"otra": "declared_area_ha"})
    assert other["import_id"] != first["import_id"]
    assert other["counts"]["changed"] == 1


def test_only_what_changed_becomes_a_new_version(store: Store, coop: str, send: Any) -> None:
    send("plots", geojson(A={"ha": 1}, B={"ha": 1}, C={"ha": 1}), name="a.geojson")
    done = send("plots", geojson(A={"ha": 1}, B={"ha": 2}), name="b.geojson")
    assert done["counts"] == {"added": 0, "changed": 1, "unchanged": 1, "removed": 0}
    with store.read(LOCAL) as tx:
        assert [len(plot_history(tx, coop, one)) for one in "ABC"] == [1, 2, 1]


def test_what_a_replacing_file_does_not_hold_ends(store: Store, coop: str, send: Any) -> None:
    send("plots", geojson(A={}, B={}, C={}), name="a.geojson")
    done = send("plots", geojson(A={}), name="b.geojson", replace=True)
    assert done["counts"] == {"added": 0, "changed": 0, "unchanged": 1, "removed": 2}
    with store.read(LOCAL) as tx:
        assert [row["plot_id"] for row in current_plots(tx, coop)] == ["A"]
        assert [row["plot_id"] for row in current_plots(tx, coop, box=(-89, 14, -88, 15))] == ["A"]


def test_rows_that_name_another_cooperative_are_left_out_and_said(store: Store, coop: str, send: Any) -> None:
    done = send(
        "plots",
        geojson(
            A={"cooperative_id": "FLOR"},
            B={"cooperative_id": "Nueva Aurora"},
            C={},
            D={"cooperative_id": "flor del pinar"},
        ),
        name="a.geojson",
    )
    with store.read(LOCAL) as tx:
        assert [row["plot_id"] for row in current_plots(tx, coop)] == ["A", "C", "D"]
        found = import_findings(tx, coop, done["import_id"])
    said = [row["message"] for row in found if row["code"] == "other_cooperative"]
    assert len(said) == 1
    assert said[0].startswith("a.geojson: 1 rows name the cooperative 'Nueva Aurora', not 'Flor'")
    assert (done["rows"], done["counts"]["added"]) == (4, 3)


def test_a_file_of_another_cooperative_alone_is_refused(store: Store, coop: str, send: Any) -> None:
    with pytest.raises(FileError, match=r"None of the 1 rows of a\.geojson is of this cooperative"):
        send("plots", geojson(A={"cooperative_id": "Nueva Aurora"}), name="a.geojson")
    with store.read(LOCAL) as tx:
        assert imports(tx, coop) == []


def test_a_file_that_cannot_be_read_is_named_as_its_sender_knows_it(store: Store, coop: str, send: Any) -> None:
    with pytest.raises(FileError) as found:
        send("plots", "{", name="../../secret/parcelas.geojson")
    assert "parcelas.geojson" in str(found.value)
    assert "q8d0" not in str(found.value)
    assert "secret" not in str(found.value)
    with pytest.raises(CrsError):
        send("plots", "plot_id,x,y\nA,400000,1600000\n", name="a.csv")
    with pytest.raises(ColumnError):
        send("members", "a,b\n1,2\n")
    with store.read(LOCAL) as tx:
        assert imports(tx, coop) == []


def test_messages_name_the_file_as_its_sender_knows_it(store: Store, coop: str, send: Any) -> None:
    done = send("plots", "plot_id,lat,lon,ha\nA,14.6,-88.8,1\nA,14.7,-88.8,lots\n", name="parcelas.csv")
    with store.read(LOCAL) as tx:
        found = import_findings(tx, coop, done["import_id"])
        assert {"repeated_id", "unreadable_value"} <= {row["code"] for row in found}
        assert all(row["message"].startswith("parcelas.csv") for row in found)
        assert [row["plot_id"] for row in current_plots(tx, coop)] == ["A", "A#2"]
        pages = [import_findings(tx, coop, done["import_id"], after=0, limit=1)]
        pages.append(import_findings(tx, coop, done["import_id"], after=pages[0][0]["key"], limit=100))
        assert [row for page in pages for row in page] == found


def test_an_unknown_kind_and_an_unknown_cooperative_are_refused(store: Store, send: Any, tmp_path: Path) -> None:
    with pytest.raises(ConflictError):
        send("passwords", "a\n1\n")
    (tmp_path / "x.csv").write_text("member_id\nA\n")
    for scope in (LOCAL, Scope("coop_admin", frozenset({"other"}))):
        with pytest.raises(NotFoundError):
            take_in_import(store, scope, tmp_path / "x.csv", cooperative_id="none", kind="members", file_name="x.csv")


def test_imports_are_listed_the_latest_first_page_by_page(store: Store, coop: str, send: Any) -> None:
    ids = [send("members", f"member_id\nM{number}\n")["import_id"] for number in range(3)]
    with store.read(LOCAL) as tx:
        assert [row["import_id"] for row in imports(tx, coop)] == ids[::-1]
        page = imports(tx, coop, limit=2)
        assert [row["import_id"] for row in imports(tx, coop, after=page[-1]["import_id"])] == ids[:1]
        with pytest.raises(NotFoundError):
            import_(tx, coop, "none")


# ---- members ----


def test_members_come_with_name_and_phone_and_their_own_columns(store: Store, coop: str, send: Any) -> None:
    send("members", "socio;nombre;Teléfono;ha;ingreso;Sexo\n007;José;+504 9999;1,5;20/06/2019;f\n")
    with store.read(LOCAL) as tx:
        (row,) = members(tx, coop)
    assert (row["member_id"], row["name"], row["phone"], row["declared_area_ha"]) == ("007", "José", "+504 9999", 1.5)
    assert row["attributes"] == {"joined": "2019-06-20", "Sexo": "f"}


def test_a_file_without_phones_leaves_the_phones_that_are_known(store: Store, coop: str, send: Any) -> None:
    with store.begin(LOCAL) as tx:
        put_member(tx, coop, "A", {"name": "Ana", "phone": "123"})
        put_member(tx, coop, "B", {"name": "Bea"})
    done = send("members", "member_id,name\nA,Ana María\nC,Cora\n", replace=True)
    assert done["counts"] == {"added": 1, "changed": 1, "unchanged": 0, "removed": 1}
    with store.read(LOCAL) as tx:
        assert [(row["member_id"], row["name"], row["phone"], row["version"]) for row in members(tx, coop)] == [
            ("A", "Ana María", "123", 2),
            ("C", "Cora", "", 1),
        ]


# ---- shares ----


def test_shares_of_a_plot_stand_in_place_of_its_earlier_ones(store: Store, coop: str, send: Any) -> None:
    send("shares", "plot_id,member_id,share,season_from\nP1,A,1/4,2024/25\nP1,B,,2024/25\nP2,C,1,\n")
    done = send("shares", "plot_id,member_id,share\nP1,A,50%\nP1,B,50%\n")
    assert done["counts"] == {"added": 2, "changed": 0, "unchanged": 0, "removed": 2}
    with store.read(LOCAL) as tx:
        found = [(row["plot_id"], row["member_id"], row["share"]) for row in rows(tx, coop, "shares")]
    assert sorted(found) == [("P1", "A", 0.5), ("P1", "B", 0.5), ("P2", "C", 1.0)]


# ---- settings ----


def test_settings_are_those_of_the_cooperatives_own_row(store: Store, coop: str, send: Any) -> None:
    done = send("settings", "cooperativa;kg por quintal;forma del quintal\nOtra;45;uva\nFlor;46;oro\n")
    assert done["counts"] == {"added": 2, "changed": 0, "unchanged": 0, "removed": 0}
    send("settings", "quintal_kg,bag_kg\n46,69\n")
    with store.read(LOCAL) as tx:
        row = cooperative(tx, coop)
    assert row["settings"] == {"quintal_kg": 46.0, "quintal_form": "green", "bag_kg": 69.0}
    assert row["version"] == 3
    done = send("settings", "quintal_kg\n100\n", replace=True)
    assert done["counts"] == {"added": 0, "changed": 1, "unchanged": 0, "removed": 2}


# ---- deliveries and the like ----


def test_a_growing_list_can_be_sent_whole_each_month(store: Store, coop: str, send: Any) -> None:
    january = "member_id,season,kg green\nA,2023/24,10\nA,2023/24,10\n"
    send("deliveries", january)
    done = send("deliveries", january + "B,2023/24,5\nA,2023/24,10\n")
    assert done["counts"] == {"added": 2, "changed": 0, "unchanged": 2, "removed": 0}
    done = send("deliveries", "member_id,season,kg green\nA,2023/24,10\n", replace=True)
    assert done["counts"] == {"added": 0, "changed": 0, "unchanged": 1, "removed": 3}
    with store.read(LOCAL) as tx:
        assert [row["member_id"] for row in rows(tx, coop, "deliveries")] == ["A"]


def test_contracts_estimates_and_commitments_are_kept(store: Store, coop: str, send: Any) -> None:
    send("contracts", "comprador;mes;cantidad oro\nRoastery;enero 2027;1 contenedor\nOther;;300 sacos de 60 kg\n")
    send("field_estimates", "plot_id,kg parchment,technician\nP1,500,Ana\n")
    send("commitments", "socio;qq oro comprometidos\nA;10\n")
    with store.read(LOCAL) as tx:
        contracts = rows(tx, coop, "contracts")
        (estimate,) = rows(tx, coop, "field_estimates")
        (promise,) = rows(tx, coop, "commitments")
    assert [(row["season"], row["kg"]) for row in contracts] == [("2027-01", 275 * 69.0), ("", 300 * 60.0)]
    assert (estimate["cells"]["plot_id"], estimate["kg"], estimate["form"]) == ("P1", 500.0, "parchment")
    assert (promise["member_id"], promise["kg"]) == ("A", 460.0)


# ---- at once ----


def test_twenty_who_send_the_same_file_at_once_make_one_import(store: Store, coop: str, tmp_path: Path) -> None:
    path = tmp_path / "q.geojson"
    path.write_text(geojson(**{f"P{number}": {} for number in range(50)}), encoding="utf-8")
    answers: list[dict[str, Any]] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(20)

    def send() -> None:
        try:
            barrier.wait()
            answers.append(take_in_import(store, LOCAL, path, cooperative_id=coop, kind="plots", file_name="q.geojson"))
        except BaseException as error:  # told below: a thread's own error would be lost
            errors.append(error)

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(not answer.pop("repeated") for answer in answers) == 1
    assert all(answer == answers[0] for answer in answers)
    with store.read(LOCAL) as tx:
        assert len(imports(tx, coop)) == 1
        assert len(current_plots(tx, coop, limit=1000)) == 50
