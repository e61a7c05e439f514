"""The queue, without any worker: what a claim is worth, who may end a job, and what a publication leaves."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from geomap.errors import ColumnError
from geomap.store import Scope, publishing
from geomap.store.errors import NotAllowedError, NotFoundError
from geomap.store.jobs import (
    ClaimLostError,
    JobDiedError,
    add_job,
    ask_cancel,
    cancelled,
    claim,
    fail,
    heartbeat,
    is_held,
    job,
    jobs,
    publish,
    queue_place,
    release,
)
from geomap.store.runs import run, run_file, run_names, run_plots, run_rows, runs
from geomap.store.schema import cooperatives
from geomap.store.schema import run_rows as run_rows_table
from geomap.store.schema import runs as runs_table
from geomap.store.scope import WORKER

LOCAL = Scope("local", frozenset({"*"}), account_id="me")
POINT = "0101000000000000000000F03F0000000000000040"  # POINT (1 2), little-endian


@pytest.fixture
def owner(store):
    with store.begin(LOCAL) as tx:
        tx.insert(cooperatives, {"cooperative_id": "c1", "code": "C1", "name": "One"})
        tx.insert(cooperatives, {"cooperative_id": "c2", "code": "C2", "name": "Two"})
    return "c1"


@pytest.fixture
def results(tmp_path):
    """What a job leaves: one table of two rows, an empty one, one plot, and a summary."""
    folder = tmp_path / "results"
    (folder / "rows").mkdir(parents=True)
    (folder / "files").mkdir()
    summary = {
        "parameters": {"crop": "coffee", "form": "green", "season": None},
        "inputs": [{"role": "plots", "name": "plots.parquet", "sha256": "aa", "bytes": 1}],
        "versions": {"geomap": "0"},
        "tables": {"crops": "1"},
    }
    (folder / "files" / "summary.json").write_text(json.dumps(summary))
    (folder / "files" / "report.html").write_text("<p>2 plots</p>")
    (folder / "files" / "timings.json").write_text("{}")
    rows = [["id", "kg"], {"id": "M1", "cells": {"id": "M1", "kg": 5}}, {"id": "M2", "cells": {"id": "M2", "kg": None}}]
    lines(folder / "rows" / "members.jsonl", rows)
    lines(folder / "rows" / "findings.jsonl", [["plot_id", "code"]])
    plot = {"plot_id": "P1", "member_id": "M1", "cells": {"kg": 5}, "geometry": POINT}
    lines(folder / "plots.jsonl", [["kg"], plot])
    return folder


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def queue(store, owner="c1", **parameters):
    with store.begin(LOCAL) as tx:
        return add_job(tx, cooperative_id=owner, parameters=parameters)["job_id"]


def look(store, job_id):
    with store.read(LOCAL) as tx:
        return SimpleNamespace(**job(tx, None, job_id))


def count(store):
    with store.read(LOCAL) as tx:
        return len(tx.fetch(select(runs_table.c.run_id)))


# ---- claims ----


def test_the_oldest_job_is_claimed_first_and_none_twice(store, owner):
    first, second = queue(store), queue(store)
    claims = [claim(store, "w"), claim(store, "w"), claim(store, "w")]
    assert [held and held.job_id for held in claims] == [first, second, None]
    assert look(store, first).state == "running"


def test_cooperatives_take_turns_however_many_jobs_one_of_them_sends(store, owner):
    with store.begin(LOCAL) as tx:
        many = [add_job(tx, cooperative_id="c1", parameters={})["job_id"] for _ in range(3)]
        one = add_job(tx, cooperative_id="c2", parameters={})["job_id"]
    found = [claim(store, "w").job_id for _ in range(4)]
    assert found[1] == one
    assert [job_id for job_id in found if job_id != one] == many


def test_workers_that_claim_at_one_time_get_different_jobs(store, owner):
    queued = {queue(store) for _ in range(24)}
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda number: claim(store, f"w{number}"), range(30)))
    got = [held.job_id for held in claims if held is not None]
    assert len(got) == len(set(got)) == 24
    assert set(got) == queued


def test_a_claim_lasts_for_its_lease_by_the_clock_of_the_database(store, owner, monkeypatch):
    job_id = queue(store)
    held = claim(store, "w1", lease_s=0.4)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # this machine thinks that decades have passed
    assert claim(store, "w2") is None
    assert is_held(store, job_id, held.fence)
    time.sleep(0.6)
    assert not is_held(store, job_id, held.fence)
    again = claim(store, "w2")
    assert (again.job_id, again.attempt, again.fence) == (job_id, 2, 2)


def test_a_heartbeat_makes_the_lease_longer(store, owner):
    queue(store)
    held = claim(store, "w1", lease_s=0.5)
    for _ in range(4):
        time.sleep(0.2)
        assert heartbeat(store, held, {"stage": "land cover", "done": 1, "total": 2}) == "go"
    assert claim(store, "w2") is None
    assert look(store, held.job_id).progress == {"stage": "land cover", "done": 1, "total": 2}


def test_an_old_claim_can_change_nothing(store, owner, results):
    job_id = queue(store)
    old = claim(store, "w1", lease_s=0)
    new = claim(store, "w2")
    assert new.job_id == old.job_id
    before = look(store, job_id)
    assert heartbeat(store, old, {}) == "lost"
    assert fail(store, old, ColumnError("no")) == release(store, old) == ""
    assert not cancelled(store, old)
    with pytest.raises(ClaimLostError):
        publish(store, old, results)
    assert look(store, job_id) == before
    assert count(store) == 0
    publish(store, new, results)
    assert count(store) == 1


def test_a_worker_that_lost_its_lease_to_nobody_may_still_publish(store, owner, results):
    job_id = queue(store)
    held = claim(store, "w1", lease_s=0)
    run_id = publish(store, held, results)
    assert (look(store, job_id).state, look(store, job_id).run_id) == ("done", run_id)


def test_a_claim_that_is_lost_while_results_are_read_publishes_nothing(store, owner, results, monkeypatch):
    queue(store)
    held = claim(store, "w", lease_s=0)
    described = publishing._described

    def slowly(path):
        if look(store, held.job_id).fence == held.fence:
            assert claim(store, "other") is not None
        return described(path)

    monkeypatch.setattr(publishing, "_described", slowly)
    with pytest.raises(ClaimLostError):
        publish(store, held, results)
    assert count(store) == 0


def test_others_can_write_while_results_are_read(store, owner, results, monkeypatch):
    """All that takes long comes before the transaction: reading, encoding, hashing."""
    queue(store)
    held = claim(store, "w")
    busy = ("_described", "_lines", "_sha256")
    for name in busy:
        monkeypatch.setattr(publishing, name, writing_first(store, getattr(publishing, name)))
    publish(store, held, results)
    written = {row["kind"] for row in all_jobs(store)} - {"estimate"}
    assert written == set(busy)


def writing_first(store, function):
    """The function, after somebody else wrote to the store; with a lock held that would be refused."""

    def both(*given):
        with store.begin(LOCAL) as tx:
            add_job(tx, cooperative_id="c2", parameters={}, kind=function.__name__)
        return function(*given)

    return both


def all_jobs(store):
    with store.read(LOCAL) as tx:
        return jobs(tx)


def test_odd_values_come_back_as_they_were(store, owner, results):
    """Encoded rows are those that the database would have encoded: texts, numbers, nothing, other alphabets."""
    cells = {"a": 'ñ \U0001f33f "quoted" \n', "b": None, "c": 1.5e-12, "d": True, "e": -0.5, "f": 2**53, "g": ["x", {}]}
    lines(results / "rows" / "members.jsonl", [list(cells), {"id": "M ñ", "cells": cells}])
    bare = {"plot_id": "P ñ", "member_id": "", "cells": cells, "geometry": None}
    lines(results / "plots.jsonl", [list(cells), bare])
    queue(store)
    run_id = publish(store, claim(store, "w"), results)
    with store.read(LOCAL) as tx:
        (row,) = run_rows(tx, "c1", run_id, "members")
        (plot,) = run_plots(tx, "c1", run_id)
    assert (row["id"], row["cells"]) == ("M ñ", cells)
    assert plot == {"position": 0, **bare}


def test_a_job_is_published_once(store, owner, results):
    queue(store)
    held = claim(store, "w1")
    publish(store, held, results)
    with pytest.raises(ClaimLostError):
        publish(store, held, results)
    assert count(store) == 1


# ---- failure ----


def test_a_job_whose_workers_fall_silent_three_times_fails_with_its_cause(store, owner):
    job_id = queue(store)
    assert [claim(store, "w", lease_s=0).attempt for _ in range(3)] == [1, 2, 3]
    assert claim(store, "w") is None
    ended = look(store, job_id)
    assert (ended.state, ended.error["code"]) == ("failed", "job_died")
    assert "silent 3 times" in ended.error["detail"]


def test_a_child_that_died_is_tried_three_times_and_keeps_its_place(store, owner):
    first, second = queue(store), queue(store)
    states = [fail(store, claim(store, "w"), JobDiedError("It crashed.")) for _ in range(3)]
    assert states == ["queued", "queued", "failed"]
    assert look(store, first).error == {"code": "job_died", "detail": "It crashed."}
    assert claim(store, "w").job_id == second


def test_what_the_data_caused_ends_the_job_at_once(store, owner):
    job_id = queue(store)
    assert fail(store, claim(store, "w"), ColumnError("There is no column kg.")) == "failed"
    assert look(store, job_id).error == {"code": "column", "detail": "There is no column kg."}


def test_a_fault_of_ours_says_nothing_of_the_inside(store, owner):
    job_id = queue(store)
    fail(store, claim(store, "w"), ZeroDivisionError("secret path"))
    assert look(store, job_id).error == {"code": "internal", "detail": "The service failed. Its log says why."}


def test_a_job_given_back_is_not_an_attempt(store, owner):
    job_id = queue(store)
    for _ in range(5):
        assert release(store, claim(store, "w")) == "queued"
    assert look(store, job_id).attempt == 0
    assert claim(store, "w").fence == 6


def test_a_publication_that_breaks_leaves_nothing(store, owner, results):
    job_id = queue(store)
    held = claim(store, "w")
    with (results / "plots.jsonl").open("a") as file:
        file.write("no JSON\n")
    with pytest.raises(ValueError, match="Expecting value"):
        publish(store, held, results)
    assert count(store) == 0
    assert look(store, job_id).state == "running"


# ---- cancelling ----


def test_a_waiting_job_is_cancelled_at_once(store, owner):
    job_id = queue(store)
    with store.begin(LOCAL) as tx:
        assert ask_cancel(tx, owner, job_id)["state"] == "cancelled"
    assert claim(store, "w") is None


def test_a_running_job_hears_it_and_cannot_be_published(store, owner, results):
    job_id = queue(store)
    held = claim(store, "w")
    with store.begin(LOCAL) as tx:
        assert ask_cancel(tx, owner, job_id)["state"] == "running"
    assert heartbeat(store, held, {}) == "cancel"
    with pytest.raises(ClaimLostError):
        publish(store, held, results)
    assert cancelled(store, held)
    assert look(store, job_id).state == "cancelled"


@pytest.mark.parametrize("way", ["the lease ran out", "the worker gave it back"])
def test_a_job_that_was_to_be_cancelled_is_not_run_again(store, owner, way):
    job_id = queue(store)
    held = claim(store, "w", lease_s=0 if way == "the lease ran out" else 60)
    with store.begin(LOCAL) as tx:
        ask_cancel(tx, owner, job_id)
    if way == "the worker gave it back":
        release(store, held)
    assert claim(store, "w") is None
    assert look(store, job_id).state == "cancelled"


def test_a_job_that_has_ended_stays_as_it_is(store, owner, results):
    job_id = queue(store)
    publish(store, claim(store, "w"), results)
    with store.begin(LOCAL) as tx:
        assert ask_cancel(tx, owner, job_id)["state"] == "done"


# ---- reading ----


def test_the_place_in_the_queue_counts_those_of_all_who_wait(store, owner):
    queued = [queue(store), queue(store, "c2"), queue(store)]
    with store.read(WORKER) as tx:
        assert [queue_place(tx, job_id) for job_id in queued] == [0, 1, 2]
    claim(store, "w")
    with store.read(WORKER) as tx:
        assert [queue_place(tx, job_id) for job_id in queued] == [0, 0, 1]


def test_pages_of_jobs_hold_each_once_the_newest_first(store, owner):
    queued = [queue(store) for _ in range(5)]
    seen, after = [], ""
    with store.read(LOCAL) as tx:
        while page := jobs(tx, owner, after=after, limit=2):
            seen += [row["job_id"] for row in page]
            after = seen[-1]
    assert seen == queued[::-1]


def test_a_foreign_job_and_a_missing_one_are_told_alike(store, owner):
    job_id = queue(store, "c2")
    office = Scope("coop_admin", frozenset({"c1"}), account_id="a")
    said = []
    with store.begin(office) as tx:
        for asked in (job_id, "none"):
            for ask in (job, ask_cancel):
                with pytest.raises(NotFoundError) as refused:
                    ask(tx, "c1", asked)
                said.append(str(refused.value))
        assert jobs(tx) == []
    assert len(set(said)) == 1
    assert look(store, job_id).state == "queued"


def test_an_office_cannot_add_a_job_of_another_cooperative_nor_an_analyst_any(store, owner):
    for scope in (Scope("coop_admin", frozenset({"c2"})), Scope("analyst", frozenset({"c1"}))):
        with pytest.raises(NotAllowedError), store.begin(scope) as tx:
            add_job(tx, cooperative_id="c1", parameters={})


def test_a_run_reads_back_as_it_was_left(store, owner, results):
    queue(store, title="First")
    run_id = publish(store, claim(store, "w"), results)
    with store.read(LOCAL) as tx:
        made, names = run(tx, owner, run_id), run_names(tx, owner, run_id)
        assert (made["title"], made["crop"], made["season"], made["account_id"]) == ("First", "coffee", "", "me")
        assert {name: table["rows"] for name, table in names["tables"].items()} == {"findings": 0, "members": 2}
        assert names["tables"]["members"]["columns"] == ["id", "kg"]
        assert {name: file["bytes"] for name, file in names["files"].items() if name == "report.html"} == {
            "report.html": 14
        }
        assert set(names["files"]) == {"report.html", "summary.json"}  # timings differ from run to run
        assert run_rows(tx, owner, run_id, "findings") == []
        assert run_rows(tx, owner, run_id, "members", after=0) == [
            {"position": 1, "id": "M2", "cells": {"id": "M2", "kg": None}}
        ]
        assert [row["id"] for row in run_rows(tx, owner, run_id, "members", ids=["M1", "M9"])] == ["M1"]
        (plot,) = run_plots(tx, owner, run_id)
        assert (plot["plot_id"], plot["cells"], bytes(plot["geometry"]).hex().upper()) == ("P1", {"kg": 5}, POINT)
        assert run_file(tx, owner, run_id, "report.html")["content"] == b"<p>2 plots</p>"
        assert [row["run_id"] for row in runs(tx, owner)] == [run_id]
        for read in (lambda: run_rows(tx, owner, run_id, "by_x"), lambda: run_file(tx, owner, run_id, "x")):
            with pytest.raises(NotFoundError):
                read()


def test_equal_results_have_equal_fingerprints_whoever_made_them(store, owner, results):
    made = []
    for title in ("one", "two"):
        queue(store, title=title)
        release(store, claim(store, "w1"))
        run_id = publish(store, claim(store, f"worker of {title}"), results)
        with store.read(LOCAL) as tx:
            made.append(run(tx, owner, run_id))
    assert made[0]["results_sha256"] == made[1]["results_sha256"]
    assert made[0]["inputs_sha256"] == made[1]["inputs_sha256"]
    plot = {"plot_id": "P1", "member_id": "M1", "cells": {"kg": 6}, "geometry": POINT}
    lines(results / "plots.jsonl", [["kg"], plot])
    queue(store)
    run_id = publish(store, claim(store, "w"), results)
    with store.read(LOCAL) as tx:
        assert run(tx, owner, run_id)["results_sha256"] != made[0]["results_sha256"]


def test_a_run_of_another_cooperative_is_not_there(store, owner, results):
    queue(store)
    run_id = publish(store, claim(store, "w"), results)
    for scope, asked in ((Scope("coop_admin", frozenset({"c2"})), "c2"), (LOCAL, "c2")):
        with store.read(scope) as tx:
            assert runs(tx, "c2") == []
            for read in (run, run_names, run_plots):
                with pytest.raises(NotFoundError):
                    read(tx, asked, run_id)


def test_nobody_but_a_worker_adds_a_run_and_nobody_changes_one(store, owner, results):
    queue(store)
    publish(store, claim(store, "w"), results)
    with pytest.raises(NotAllowedError), store.begin(LOCAL) as tx:
        tx.insert(runs_table, {"run_id": "x", "cooperative_id": "c1"})
    with pytest.raises(NotAllowedError), store.begin(WORKER) as tx:
        tx.update(runs_table, {"title": "other"})


def test_encoded_rows_are_held_within_the_scope_as_all_are(store, owner, results):
    queue(store)
    run_id = publish(store, claim(store, "w"), results)
    own, columns = {"cooperative_id": "c1", "run_id": run_id}, ("name", "position", "id", "cells")
    for scope in (LOCAL, Scope("worker", frozenset({"c2"}))):
        with pytest.raises(NotAllowedError), store.begin(scope) as tx:
            tx.insert_encoded(run_rows_table, own, columns, [("members", 9, "M9", "{}")])
    with store.begin(WORKER) as tx:
        tx.insert_encoded(run_rows_table, own, columns, [("members", 9, "M9", "{}")])
        assert [row["id"] for row in run_rows(tx, "c1", run_id, "members")] == ["M1", "M2", "M9"]
