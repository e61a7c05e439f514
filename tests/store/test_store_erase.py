"""To be forgotten, and to take all along: no column of any table names an erased member; on both databases."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import shapely
from sqlalchemy import select

from api.worker import Worker
from geomap.store import Scope, Store, audit, schema
from geomap.store.cooperatives import add_cooperative, cooperative, cooperatives
from geomap.store.decisions import decisions, put_decision
from geomap.store.erase import clean_pages, erase_cooperative, erase_member
from geomap.store.errors import NotFoundError
from geomap.store.evidence import rows
from geomap.store.export import TABLES, export_cooperative
from geomap.store.imports import import_findings
from geomap.store.jobs import ClaimLostError, add_job, claim, heartbeat, publish
from geomap.store.members import member, members, put_member, record_consent
from geomap.store.person import Person
from geomap.store.plots import current_plots, plot, plot_history, put_plot
from geomap.store.scope import ALL, WORKER, Transaction

LOCAL = Scope("local", ALL, "someone")
NAME, PHONE, ID = "Zenobia Quetzaltenango", "+504 8713-2209", "FP-777"
CANARIES = ("zenobia", "quetzaltenango", "87132209", "8713-2209")


def square(west: float) -> bytes:
    return bytes(shapely.to_wkb(shapely.box(west, 14, west + 0.001, 14.001)))


@pytest.fixture
def coop(store: Store) -> str:
    """A cooperative whose tables name one member in every way that they can, beside others."""
    with store.begin(LOCAL) as tx:
        coop = add_cooperative(tx, code="Flor", name="Flor", country="HN", crop="coffee")
        for number in range(12):
            put_member(tx, coop, f"M{number}", {"name": f"Person {number}"})
        put_member(tx, coop, ID, {"name": NAME, "phone": PHONE, "attributes": {"spouse": "Zenobia Quetzaltenango"}})
        put_member(tx, coop, "M0", {"name": "Person 0", "attributes": {"godmother": f"doña {NAME}", "age": 7}})
        record_consent(tx, coop, ID, purpose="mapping", given=True)
        put_plot(tx, coop, "own", {"member_id": ID, "geometry": square(0), "attributes": {"producer": NAME}})
        put_plot(tx, coop, "own", {"member_id": ID, "geometry": square(1)})
        put_plot(tx, coop, "by name", {"member_id": "QUETZALTENANGO ZENOBIA", "geometry": square(2)})
        put_plot(
            tx, coop, "shared", {"member_id": ID, "geometry": square(3), "attributes": {"producer": NAME, "age": 3}}
        )
        put_plot(tx, coop, "sold", {"member_id": ID, "geometry": square(4)})
        put_plot(tx, coop, "sold", {"member_id": "M1", "geometry": square(4)})
        put_plot(tx, coop, "other", {"member_id": "M2", "geometry": square(5), "attributes": {"tel": PHONE, "age": 5}})
        put_decision(tx, coop, "own", "keep")
        put_decision(tx, coop, "other", "same_plot", other_plot_id="own")
        put_decision(tx, coop, "other", "keep")
        add_import(tx, coop)
    with store.begin(WORKER) as tx:
        add_run(tx, coop)
    with store.begin(LOCAL) as tx:
        basis = {"members": [{"member_id": ID, "value_kg": 5.0}, {"member_id": "M1", "value_kg": 6.0}]}
        release = {"release_id": "R", "cooperative_id": coop, "run_id": "run", "number": 1, "content": {}}
        tx.insert(schema.releases, release | {"signed_by": "office", "account_id": "someone"})
        tx.insert(schema.release_bases, {"cooperative_id": coop, "release_id": "R", "basis": basis})
    return coop


def add_import(tx: Transaction, coop: str) -> None:
    of = {"cooperative_id": coop, "import_id": "I"}
    texts = dict.fromkeys(("kind", "sha256", "reading_sha256", "account_id"), "x")
    numbers = {"bytes": 1, "rows": 1, "reading": {}, "counts": {}}
    tx.insert(schema.imports, {**of, **texts, **numbers, "file_name": f"{NAME}.csv"})
    finding = {**of, "code": "lookalike_name", "severity": "warn", "action": "kept", "plot_id": ""}
    messages = (f"'{NAME}' and 'Zenobya Quetzaltenango' look alike", f"members: rows of '{ID}'", "all is well")
    tx.insert(schema.import_findings, [finding | {"message": message} for message in messages])
    lists = [(ID, {"kg": "7"}), (NAME, {"kg": "8"}), ("M3", {"kg": "9", "driver": NAME})]
    tx.insert(
        schema.deliveries,
        [{**of, "row": row, "member_id": who, "cells": cells} for row, (who, cells) in enumerate(lists)],
    )
    estimate = {"member_id": "", "row": 1, "cells": {"plot_id": "own", "kg": "5"}}
    tx.insert(schema.field_estimates, {**of, **estimate})
    shares = [("shared", ID, 0.5), ("shared", "M3", 0.5), ("own", ID, 1.0)]
    names = ("plot_id", "member_id", "share")
    tx.insert(schema.plot_shares, [{**of, **dict(zip(names, row, strict=True))} for row in shares])


def add_run(tx: Transaction, coop: str) -> None:
    of = {"cooperative_id": coop, "run_id": "run"}
    texts = dict.fromkeys(("job_id", "crop", "form", "inputs_sha256", "results_sha256", "account_id"), "x")
    summary = {"warnings": [f"{NAME} has no plot", "all is well"], "by": {NAME: 1, "age": 2}}
    tx.insert(schema.runs, {**of, **texts, "parameters": {}, "inputs": [], "versions": {}, "summary": summary})
    cells = [
        ("members", 0, ID, {"id": ID, "members": 1}),
        ("members", 1, "M1", {"id": "M1", "members": 1}),
        ("cooperatives", 0, "Flor", {"members": 13}),
        ("by_village", 0, "Big", {"members": 11}),
        ("by_village", 1, "Small", {"members": 2}),
        ("findings", 0, "own", {"plot_id": "own"}),
        ("findings", 1, "", {"message": f"member '{ID}' has no plot"}),
        ("findings", 2, "other", {"plot_id": "other", "message": "a spike"}),
    ]
    names = ("name", "position", "id", "cells")
    tx.insert(schema.run_rows, [{**of, **dict(zip(names, row, strict=True))} for row in cells])
    for position, (plot_id, who) in enumerate([("own", ID), ("other", "M2")]):
        row = {"position": position, "plot_id": plot_id, "member_id": who, "cells": {"given_id": plot_id}}
        tx.insert(schema.run_plots, {**of, **row, "geometry": square(position)})
    for name in ("report.html", "map_share.html"):
        text = f"<p>{NAME if name == 'report.html' else 'sums'}</p>"
        tx.insert(
            schema.run_files, {**of, "name": name, "media_type": "text/html", "sha256": "", "content": text.encode()}
        )


def everything(store: Store) -> str:
    """All that the tables hold, as the database itself sees it, each row once."""
    found: dict[str, None] = {}
    with store.engine.connect() as connection:
        for role in ("local", "service"):  # between them they read every table
            if store.dialect == "postgresql":
                connection.exec_driver_sql("select set_config('geomap.cooperatives', '*', true)")
                connection.exec_driver_sql(f"select set_config('geomap.role', '{role}', true)")
            for table in schema.metadata.sorted_tables:
                for row in connection.execute(select(table)):
                    cells = [one.decode(errors="replace") if isinstance(one, bytes) else one for one in row]
                    found[f"{table.name} {json.dumps(cells, ensure_ascii=False)}"] = None
    return "\n".join(found).casefold()


def test_everything_is_looked_at() -> None:
    assert all(table.info["read"] & {"local", "service"} for table in schema.metadata.sorted_tables)


def test_the_canaries_are_there_before(store: Store, coop: str) -> None:
    before = everything(store)
    assert all(canary in before for canary in CANARIES if canary != "87132209")
    assert before.count("zenobia quetzaltenango") >= 10
    assert before.count(ID.casefold()) >= 10


def test_an_erased_member_is_named_in_no_column_of_any_table(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        erase_member(tx, coop, ID)
    after = everything(store)
    assert not [canary for canary in CANARIES if canary in after]
    with store.read(LOCAL) as tx:
        entry = audit.entries(tx, coop)[0]
    assert (entry["action"], entry["object"]) == ("members.erase", ID)  # the id stays here, and here alone:
    assert after.count(ID.casefold()) == 1


def test_the_file_of_sqlite_holds_nothing_of_an_erased_member(
    sqlite_store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with sqlite_store.begin(LOCAL) as tx:
        coop = add_cooperative(tx, code="Flor", name="Flor")
        for number in range(300):
            put_member(tx, coop, f"M{number}", {"name": f"{NAME} {number}", "phone": PHONE})
    files = list(tmp_path.glob("geomap.sqlite*"))
    assert any(b"Zenobia" in path.read_bytes() for path in files)
    with sqlite_store.begin(LOCAL) as tx:
        for number in range(300):
            erase_member(tx, coop, f"M{number}")
    assert clean_pages(sqlite_store)
    assert not [path.name for path in files if b"Zenobia" in path.read_bytes() or b"8713" in path.read_bytes()]


def test_a_journal_that_somebody_reads_is_emptied_by_the_next_sweep(sqlite_store: Store, tmp_path: Path) -> None:
    with sqlite_store.begin(LOCAL) as tx:
        coop = add_cooperative(tx, code="Flor", name="Flor")
        put_member(tx, coop, ID, {"name": NAME, "phone": PHONE})
    journal = tmp_path / "geomap.sqlite-wal"
    reader = sqlite3.connect(tmp_path / "geomap.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT name FROM member_people").fetchone() == (NAME,)
    with sqlite_store.begin(LOCAL) as tx:
        erase_member(tx, coop, ID)
    assert not clean_pages(sqlite_store)
    assert b"Zenobia" in journal.read_bytes()
    reader.close()
    Worker(sqlite_store, tmp_path / "work").sweep()
    assert journal.read_bytes() == b""
    assert b"Zenobia" not in (tmp_path / "geomap.sqlite").read_bytes()


def test_what_is_of_others_stays(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        erase_member(tx, coop, ID)
    with store.read(LOCAL) as tx:
        assert len(members(tx, coop)) == 12
        assert rows(tx, coop, "field_estimates") == []
        assert [row["message"] for row in import_findings(tx, coop, "I")] == ["all is well"]
        assert member(tx, coop, "M0")["attributes"] == {"age": 7}
        assert [row["plot_id"] for row in current_plots(tx, coop)] == ["other", "shared", "sold"]
        assert plot(tx, coop, "other")["attributes"] == {"age": 5}
        assert plot(tx, coop, "sold")["member_id"] == "M1"
        assert [row["member_id"] for row in plot_history(tx, coop, "sold")] == ["M1", ""]
        shared = plot(tx, coop, "shared")
        assert (shared["member_id"], shared["attributes"]) == ("", {"age": 3})
        assert [(row["plot_id"], row["member_id"]) for row in rows(tx, coop, "shares")] == [("shared", "M3")]
        assert [(row["member_id"], "driver" in row["cells"]) for row in rows(tx, coop, "deliveries")] == [("M3", False)]
        assert [(row["plot_id"], row["decision"]) for row in decisions(tx, coop)] == [("other", "keep")]
        assert current_plots(tx, coop, box=(0, 13, 2.5, 15)) == []


def test_sums_of_many_stay_in_a_run_and_those_of_few_go(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        erase_member(tx, coop, ID)
    with store.read(LOCAL) as tx:
        left = {(row["name"], row["id"]) for row in tx.fetch(select(schema.run_rows))}
        assert left == {("cooperatives", "Flor"), ("by_village", "Big"), ("findings", "other")}
        assert [row["plot_id"] for row in tx.fetch(select(schema.run_plots))] == ["other"]
        assert [row["name"] for row in tx.fetch(select(schema.run_files.c.name))] == ["map_share.html"]
        (run,) = tx.fetch(select(schema.runs))
        assert run["summary"] == {"warnings": ["all is well"], "by": {"age": 2}}


def test_what_releases_are_judged_by_keeps_its_numbers_under_another_id(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        erase_member(tx, coop, ID)
        (row,) = tx.fetch(select(schema.release_bases))
    first, second = row["basis"]["members"]
    assert first["value_kg"] == 5.0
    assert first["member_id"].startswith("erased ")
    assert second == {"member_id": "M1", "value_kg": 6.0}


def test_a_job_that_read_the_member_can_publish_nothing_more(store: Store, coop: str, tmp_path: Path) -> None:
    with store.begin(LOCAL) as tx:
        add_job(tx, cooperative_id=coop, parameters={})
    held = claim(store, "worker")
    assert held is not None
    with store.begin(LOCAL) as tx:
        erase_member(tx, coop, ID)
    assert heartbeat(store, held, {}) == "lost"
    with pytest.raises(ClaimLostError):
        publish(store, held, tmp_path)
    again = claim(store, "worker")
    assert again is not None
    assert again.job_id == held.job_id


def test_a_member_who_is_off_the_list_already_can_be_erased_once(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        put_plot(tx, coop, "late", {"member_id": "gone", "geometry": square(9)})
        assert erase_member(tx, coop, "gone")["plots"] == 1
        with pytest.raises(NotFoundError):
            erase_member(tx, coop, "gone")
    with pytest.raises(NotFoundError), store.begin(Scope("coop_admin", frozenset({"other"}))) as tx:
        erase_member(tx, coop, ID)
    with store.read(LOCAL) as tx:
        assert member(tx, coop, ID)["name"] == NAME


def test_an_erased_cooperative_leaves_nothing_but_the_log(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        other = add_cooperative(tx, code="Other", name="Other")
        put_member(tx, other, "M1", {"name": "Stays"})
    admin = Scope("coop_admin", frozenset({coop}), "office")
    with store.begin(admin) as tx:
        erase_cooperative(tx, coop)
    after = everything(store)
    assert not [canary for canary in CANARIES if canary in after]
    with store.read(LOCAL) as tx:
        for table in schema.OWN_TABLES:
            kept = (
                tx.fetch(select(table).where(table.c.cooperative_id == coop)) if table.info["read"] & {"local"} else []
            )
            assert len(kept) == (table is schema.cooperatives), table.name
        assert [row["cooperative_id"] for row in cooperatives(tx)] == [other]
        assert len(members(tx, other)) == 1
        with pytest.raises(NotFoundError):
            cooperative(tx, coop)
        assert audit.entries(tx, coop)[0]["action"] == "cooperatives.erase"
    with store.begin(LOCAL) as tx:
        add_cooperative(tx, code="Flor", name="Flor again")


@pytest.mark.parametrize(
    ("name", "text", "is_in"),
    [
        ("Ana", "Santa Ana", False),
        ("Ana", " ana ", False),
        ("José Pérez", "casa de jose perez, abajo", True),
        ("José Pérez", "Pérez José", True),
        ("José Pérez", "José López Pérez", False),
        ("", "", False),
        ("Ana Li", "Diana Lima", False),
    ],
)
def test_a_name_counts_as_whole_words(name: str, text: str, is_in: bool) -> None:
    assert Person("M-1", name).is_in(text) == is_in


def test_a_column_of_ids_may_hold_the_name_in_any_order() -> None:
    person = Person("7", "José Pérez")
    assert [person.is_who(text) for text in ("7", "PEREZ, Jose", "Pérez", "77", None)] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_ids_that_are_numbers_take_nothing_from_others(store: Store) -> None:
    with store.begin(LOCAL) as tx:
        coop = add_cooperative(tx, code="Flor", name="Flor", crop="coffee")
        put_member(tx, coop, "7", {"name": "Ana", "phone": "12"})
        put_plot(tx, coop, "2023", {"member_id": "7"})
        put_member(tx, coop, "8", {"name": "Bea", "attributes": {"village": "Ana", "age": "7"}})
        put_plot(tx, coop, "12", {"member_id": "8", "attributes": {"rows": "7", "planted": "2023"}})
        of = {"cooperative_id": coop, "import_id": "I"}
        texts = dict.fromkeys(("kind", "file_name", "sha256", "reading_sha256", "account_id"), "x")
        tx.insert(schema.imports, {**of, **texts, "bytes": 1, "rows": 1, "reading": {}, "counts": {}})
        cells = {"member_id": "8", "kg": "7", "season": "2023/24", "receipt": "2023"}
        tx.insert(schema.deliveries, {**of, "row": 1, "member_id": "8", "cells": cells})
        erase_member(tx, coop, "7")
        assert member(tx, coop, "8")["attributes"] == {"village": "Ana", "age": "7"}
        assert plot(tx, coop, "12")["attributes"] == {"rows": "7", "planted": "2023"}
        assert [row["cells"] for row in rows(tx, coop, "deliveries")] == [cells]
        assert [row["plot_id"] for row in current_plots(tx, coop)] == ["12"]


def test_a_short_id_counts_only_in_quotes() -> None:
    assert not Person("7").is_in("row 7 of 7 rows")
    assert Person("7").is_in("member '7' has no plot")
    assert not Person("FP-01").is_in("FP-012 and AFP-01")


# ---- export ----


def test_an_export_holds_every_table_that_the_cooperative_owns(store: Store, coop: str, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    with store.begin(LOCAL) as tx:
        put_member(tx, coop, "M9", {"name": "=1+1"})
        written = export_cooperative(tx, coop, folder)
    owned = {table.name for table in schema.TENANT_TABLES if "local" in table.info["read"]}
    told = {*TABLES, "plots", "run_plots", "run_files", "cooperatives", "accounts"}
    assert owned <= told, "a table that a cooperative owns is in no export"
    assert all(path.is_file() for path in written)
    people = (folder / "member_people.csv").read_text(encoding="utf-8")
    assert f"{ID},{NAME},'{PHONE}" in people
    assert "M9,'=1+1," in people
    plots: dict[str, Any] = json.loads((folder / "plots.geojson").read_text(encoding="utf-8"))
    assert len(plots["features"]) == 7  # five plots, two of them with two versions
    assert plots["features"][0]["geometry"]["type"] == "Polygon"
    assert (folder / "run_files/run/report.html").read_text() == f"<p>{NAME}</p>"
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert all(f"{name}.csv" in readme for name in TABLES)
