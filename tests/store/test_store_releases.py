"""What an office signs of a run, what it is judged by, and what is left of a member who is erased."""

import datetime
import importlib.util
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select

from geomap.errors import NumberError, UnknownNameError
from geomap.store import Scope, schema
from geomap.store.cooperatives import add_cooperative
from geomap.store.erase import erase_cooperative, erase_member
from geomap.store.errors import ConflictError, NotAllowedError, NotFoundError
from geomap.store.members import put_member
from geomap.store.portfolio import portfolio
from geomap.store.release_signed import available
from geomap.store.releases import Draft, latest_releases, preview, release, releases, sign, withdraw
from geomap.store.scope import ALL

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).parents[1] / "made_runs.py")
made_runs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made_runs)
members_of, plots_of = made_runs.members_of, made_runs.plots_of

LOCAL = Scope("local", ALL, "someone")


@pytest.fixture
def coop(store):
    with store.begin(LOCAL) as tx:
        return add_cooperative(tx, code="Flor", name="Flor del Pinar", country="HN", crop="coffee")


@pytest.fixture
def run_of(store, coop, tmp_path):
    """Puts a run of members into the store; its id."""

    def put(members, points=None, **more):
        return made_runs.add_run(store, coop, tmp_path, members, plots_of(members) if points is None else points,
                                 code="Flor", **more)  # fmt: skip

    return put


def signed(store, coop, run_id, **asked):
    with store.begin(LOCAL) as tx:
        return sign(tx, coop, Draft(run_id, **asked), signed_by="The board")


def looked(store, coop, run_id, **asked):
    with store.read(LOCAL) as tx:
        return preview(tx, coop, Draft(run_id, **asked))


# ---- to sign ----


def test_a_release_is_what_the_run_holds_and_its_basis_stands_apart(store, coop, run_of):
    row, _, is_new = signed(store, coop, run_of(members_of(23, 30, kg=530.0)), by=["community"], date="2026-11-01")
    content = row["content"]
    assert (is_new, row["number"], content["date"], content["season"]) == (True, 1, "2026-11-01", "2026/27")
    assert content["totals"]["potential_kg"] == pytest.approx(53 * 530)
    # 23 · 530 = 12,190, to whole 1,000: 12,000; .7 and 1.5 of it; 23 members are "20"
    first = content["by"]["community"][0]
    assert [first[name] for name in ("value", "members", "mean_kg", "base_kg", "status")] == [
        "A", "20", 12000.0, 1000.0, "shown"
    ]  # fmt: skip
    assert (first["low_kg"], first["high_kg"]) == pytest.approx((8400, 18000))
    assert "basis" not in content
    with store.read(LOCAL) as tx:
        (basis,) = [one["basis"] for one in tx.fetch(select(schema.release_bases))]
    assert len(basis["basis"]["members"]) == 53


def test_the_day_is_the_day_of_signing_where_none_is_given(store, coop, run_of):
    run_id = run_of(members_of(20))
    before = datetime.datetime.now(datetime.UTC).date()
    told = looked(store, coop, run_id).content["date"]
    assert before.isoformat() <= told <= datetime.datetime.now(datetime.UTC).date().isoformat()


def test_looking_at_it_before_writes_nothing(store, coop, run_of):
    run_id = run_of(members_of(20))
    assert looked(store, coop, run_id).content["number"] == 1
    with store.read(LOCAL) as tx:
        assert releases(tx, coop) == []


def test_the_same_release_is_signed_once(store, coop, run_of):
    run_id = run_of(members_of(23, 30))
    first, _, _ = signed(store, coop, run_id, by=["community"])
    again, seen, is_new = signed(store, coop, run_id, by=["community"], date="2027-01-01")
    assert (again["release_id"], seen.repeats, is_new) == (first["release_id"], first["release_id"], False)
    other, _, is_new = signed(store, coop, run_id, by=[])
    assert (other["number"], is_new) == (2, True)


def test_members_without_a_plot_and_those_of_shared_plots_count_and_have_no_place(store, coop, run_of):
    members = members_of(40)
    points = plots_of(members).iloc[:39]  # the last has no plot
    points.loc[0, "potential_kg"] = 900.0  # more than its member has: others share it
    content = looked(store, coop, run_of(members, points), by=["community"]).content
    assert content["by"]["community"][0]["mean_kg"] == 20000.0  # 40 · 500
    placed = [row["members"] for row in content["cells"] if row["status"] == "shown"]
    assert placed in ([], ["35"])  # 38 of 40


def test_an_attribute_stands_where_most_of_the_members_crop_stands(store, coop, run_of):
    members = members_of(24)
    points = pd.concat([plots_of(members).assign(potential_kg=kg, certification=name) for kg, name in
                        ((300.0, "organic"), (200.0, "none"))], ignore_index=True)  # fmt: skip
    rows = looked(store, coop, run_of(members, points), by=["certification"]).content["by"]["certification"]
    assert [(row["value"], row["members"]) for row in rows] == [("organic", "20")]


def test_members_without_a_plot_stand_where_the_office_says(store, coop, run_of):
    members = members_of(40)
    with store.begin(LOCAL) as tx:
        for number in range(40):
            put_member(
                tx, coop, f"M0-{number}", {"attributes": {"certification": "organic" if number < 20 else "none"}}
            )
    nowhere = plots_of(members).iloc[:0]
    rows = looked(store, coop, run_of(members, nowhere), by=["certification"]).content["by"]["certification"]
    assert [(row["value"], row["members"]) for row in rows] == [("none", "20"), ("organic", "20")]


def test_only_what_the_run_was_summed_by_can_be_released(store, coop, run_of):
    run_id = run_of(members_of(20), by=("community",))
    with pytest.raises(UnknownNameError, match="certification"):
        looked(store, coop, run_id, by=["certification"])
    with pytest.raises(UnknownNameError, match="phone"):
        looked(store, coop, run_id, by=["phone"])


def test_a_run_without_supply_has_none_to_release(store, coop, run_of):
    run_id = run_of(members_of(20), supplied=False)
    with pytest.raises(ConflictError, match="no supply"):
        looked(store, coop, run_id, quantity="supply")
    assert looked(store, coop, run_id).content["totals"]["supply_kg"] is None


# ---- beside what was released before ----


def test_one_who_joins_is_told_to_the_office_before_it_signs(store, coop, run_of):
    signed(store, coop, run_of(members_of(30, 30)), by=["community"])
    joined = pd.concat([members_of(30, 30), members_of(1, kg=640.0).assign(member_id="new")], ignore_index=True)
    seen = looked(store, coop, run_of(joined), by=["community"])
    assert seen.changed == 1
    assert seen.differences["potential_kg"] == pytest.approx(640)
    assert re.search(r"One member .* 640 kg", seen.warnings[0])
    assert [row["status"] for row in seen.content["by"]["community"]] == ["held", "shown"]


def test_nobody_is_warned_of_where_enough_changed(store, coop, run_of):
    signed(store, coop, run_of(members_of(30, 30)))
    seen = looked(store, coop, run_of(members_of(30, 30, kg=700.0)))
    assert (seen.changed, seen.warnings) == (60, [])


def test_what_was_withdrawn_is_remembered_by_who_saw_it(store, coop, run_of):
    """A number that buyers saw stays held, though the release was withdrawn."""
    first, _, _ = signed(store, coop, run_of(members_of(30, 30)), by=["community"])
    with store.begin(LOCAL) as tx:
        withdraw(tx, coop, first["release_id"])
    joined = pd.concat([members_of(30, 30), members_of(1, kg=640.0).assign(member_id="new")], ignore_index=True)
    row, seen, _ = signed(store, coop, run_of(joined), by=["community"])
    assert (row["number"], seen.changed) == (2, 1)
    assert row["content"]["by"]["community"][0]["status"] == "held"


def test_another_quantity_needs_a_new_line_and_a_warning(store, coop, run_of):
    run_id = run_of(members_of(30, 30))
    signed(store, coop, run_id)
    with pytest.raises(NumberError, match="potential"):
        looked(store, coop, run_id, quantity="supply")
    seen = looked(store, coop, run_id, quantity="supply", new_line=True)
    assert (seen.changed, seen.content["quantity"], seen.content["number"]) == (None, "supply", 2)
    assert "new line" in seen.warnings[0]


def test_a_small_cooperative_is_told_what_its_total_says(store, coop, run_of):
    assert "small" in looked(store, coop, run_of(members_of(12))).warnings[0]


# ---- what the cooperative signs beside its totals ----


def test_what_is_signed_is_of_the_whole_cooperative(store, coop, run_of):
    told = looked(store, coop, run_of(members_of(23, 30))).content["signed"]
    assert told["members"] == {"members": 53, "members_mapped": 53}
    (row,) = told["available"]  # 53 · 250 kg of supply, 1,000 kg sold; that of certificates is not there
    assert (row["supply_kg"], row["available_kg"], row["contracts_covered_share"]) == (13250.0, 12250.0, 1.0)
    assert [row["case"] for row in told["shock_year"]] == ["shock year"]
    assert [row["rule"] for row in told["accuracy"]["scores"]] == ["model", "same as last season"]
    assert told["accuracy"]["words"].startswith("The model was off by 10.0 % on average")


def test_what_the_office_leaves_out_is_not_there(store, coop, run_of):
    told = looked(store, coop, run_of(members_of(23, 30)), leave_out=["available", "accuracy"]).content["signed"]
    assert (told["available"], told["accuracy"]) == (None, None)
    assert told["members"] is not None


def test_what_a_later_contract_needs_cannot_be_sold_before():
    row = {"certification": "", "local_and_seconds_kg": 0.0}
    rows = [
        {**row, "month": "2027-01", "supply_kg": 500.0, "supply_p10_kg": 300.0, "contracts_kg": 0.0},
        {**row, "month": "2027-02", "supply_kg": 900.0, "supply_p10_kg": 500.0, "contracts_kg": 700.0},
        {**row, "month": "2027-03", "supply_kg": 1000.0, "supply_p10_kg": 600.0, "contracts_kg": 700.0},
    ]
    found = available(rows[::-1])
    assert [one["month"] for one in found] == ["2027-01", "2027-02", "2027-03"]
    assert [one["available_kg"] for one in found] == [200.0, 200.0, 300.0]  # 900 − 700; 1,000 − 700
    assert [one["available_p10_kg"] for one in found] == [0.0, 0.0, 0.0]
    assert [one["contracts_covered_share"] for one in found] == [None, 1.0, 1.0]


# ---- who sees it ----


def test_a_release_that_was_withdrawn_is_there_for_the_office_alone(store, coop, run_of):
    row, _, _ = signed(store, coop, run_of(members_of(20)))
    buyer = Scope("buyer", account_id="b", released=frozenset({coop}))
    with store.read(buyer) as tx:
        assert release(tx, coop, row["release_id"])["number"] == 1
    with store.begin(LOCAL) as tx:
        ended = withdraw(tx, coop, row["release_id"])
        assert withdraw(tx, coop, row["release_id"]) == ended
        assert [one["number"] for one in releases(tx, coop)] == [1]
    with store.read(buyer) as tx:
        assert (releases(tx, coop), latest_releases(tx)) == ([], [])
        with pytest.raises(NotFoundError):
            release(tx, coop, row["release_id"])


def test_a_grant_of_plots_shows_no_release(store, coop, run_of):
    row, _, _ = signed(store, coop, run_of(members_of(20)))
    with store.read(Scope("analyst", frozenset({coop}), "a")) as tx:
        assert releases(tx, coop) == []
    with store.read(Scope("analyst", frozenset(), "a", released=frozenset({coop}))) as tx:
        assert release(tx, coop, row["release_id"])["number"] == 1


@pytest.mark.parametrize("role", ["buyer", "analyst"])
def test_what_the_next_release_is_judged_by_is_read_by_no_reader(store, coop, run_of, role):
    signed(store, coop, run_of(members_of(20)))
    with store.read(Scope(role, frozenset({coop}), "x", released=frozenset({coop}))) as tx:
        with pytest.raises(NotAllowedError):
            tx.fetch(select(schema.release_bases))


def test_the_database_itself_shows_plots_without_releases(postgres_store, tmp_path):
    """Row-level security, for a statement that would go round the scope."""
    with postgres_store.begin(LOCAL) as tx:
        coop = add_cooperative(tx, code="Flor", name="Flor", country="HN", crop="coffee")
    members = members_of(20)
    run_id = made_runs.add_run(postgres_store, coop, tmp_path, members, plots_of(members), code="Flor")
    signed(postgres_store, coop, run_id)
    for reach, seen in (({"cooperatives": coop}, 0), ({"released": coop}, 1)):
        with postgres_store.engine.begin() as connection:
            for name, value in {"role": "analyst", "cooperatives": "", "released": "", **reach}.items():
                connection.exec_driver_sql("select set_config(%s, %s, true)", (f"geomap.{name}", value))
            assert len(connection.execute(select(schema.releases.c.number)).all()) == seen


# ---- to be forgotten ----


def everything(store):
    """All rows of releases and of what they are judged by, as the database sees them."""
    with store.read(LOCAL) as tx:
        tables = (schema.releases, schema.release_bases)
        return json.dumps([[dict(row) for row in tx.fetch(select(table))] for table in tables])


def test_no_column_of_releases_names_a_member_who_was_erased(store, coop, run_of):
    members = members_of(30, 30)
    members.loc[7, "member_id"] = "ZZQ-777"
    run_id = run_of(members)
    with store.begin(LOCAL) as tx:
        put_member(tx, coop, "ZZQ-777", {"name": "Zenobia Quetzaltenango"})
        draft = Draft(run_id, by=["community"])
        sign(tx, coop, draft, signed_by="Zenobia Quetzaltenango", note="Ask doña Zenobia Quetzaltenango")
    before = everything(store)
    assert all(word in before for word in ("ZZQ-777", "Zenobia"))
    with store.begin(LOCAL) as tx:
        erase_member(tx, coop, "ZZQ-777")
    after = everything(store)
    assert not any(word in after for word in ("ZZQ-777", "Zenobia", "Quetzaltenango"))
    with pytest.raises(ConflictError, match="erased"):
        looked(store, coop, run_id)


def test_the_release_after_an_erasure_is_judged_as_if_the_member_had_left(store, coop, run_of):
    signed(store, coop, run_of(members_of(30, 30)), by=["community"])
    with store.begin(LOCAL) as tx:
        erase_member(tx, coop, "M0-7")
    left = members_of(30, 30).query("member_id != 'M0-7'").reset_index(drop=True)
    seen = looked(store, coop, run_of(left), by=["community"])
    assert seen.changed == 1
    assert seen.content["by"]["community"][0]["status"] == "held"


def test_nothing_of_releases_is_left_of_a_cooperative_that_was_erased(store, coop, run_of):
    signed(store, coop, run_of(members_of(20)))
    with store.begin(LOCAL) as tx:
        erase_cooperative(tx, coop)
    assert everything(store) == "[[], []]"


# ---- several cooperatives ----


def content_of(code, kg, *, crop="coffee", status="shown", unit=None):
    totals = {f"{name}_{case}kg": kg for name in ("potential", "supply") for case in ("", "p10_", "p50_", "p90_")}
    number = {"members": "10", "low_kg": None, "high_kg": None, "status": status}
    value = {"value": "organic", "mean_kg": kg if status == "shown" else None, "base_kg": 100.0, **number}
    month = {"month": "2027-01", **number, "mean_kg": kg, "base_kg": None, "low_kg": kg / 2, "high_kg": kg * 2}
    return {
        "format": "geomap-release/1", "date": "2026-11-01", "quantity": "supply", "min_members": 10, "crop": crop,
        "form": "green", "season": "2026/27", "unit": unit, "totals": {"id": code, "season": "2026/27", **totals},
        "by": {"certification": [value]}, "months": [month], "cells": [],
    }  # fmt: skip


def test_a_portfolio_adds_up_what_is_signed_and_shown():
    (group,) = portfolio([content_of("B", 200.0), content_of("A", 100.0, status="suppressed")])
    assert [row["id"] for row in group["cooperatives"]] == ["A", "B"]
    assert (group["sum"]["supply_kg"], group["sum"]["supply_p10_kg"]) == (300.0, 300.0)
    assert group["sum"]["supply_p50_kg"] is None  # medians do not add up
    (month,), (value,) = group["months"], group["certification"]
    assert [month[name] for name in ("mean_kg", "low_kg", "high_kg", "cooperatives")] == [300.0, 150.0, 600.0, 2]
    assert (value["value"], value["mean_kg"], value["base_kg"]) == ("organic", 200.0, 100.0)  # B's alone
    assert (value["cooperatives"], value["suppressed"]) == (1, 1)


def test_kilograms_of_different_things_are_not_added():
    groups = portfolio([content_of("A", 100.0), content_of("B", 200.0, crop="cocoa")])
    assert [(one["crop"], one["sum"]["supply_kg"]) for one in groups] == [("cocoa", 200.0), ("coffee", 100.0)]
    assert portfolio([]) == []
