"""A worker does real jobs: what is stored, what fails and with which words, and that it outlives every job."""

import pytest
from job_world import LOCAL, PARAMETERS, make_world, queue

from api.worker import Worker
from geomap.store.jobs import job
from geomap.store.runs import run, run_file, run_names, run_plots, run_rows, runs


@pytest.fixture
def owner(store, tmp_path):
    return make_world(store, tmp_path)


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def test_a_job_becomes_a_run_with_all_that_an_estimate_leaves(store, owner, work):
    job_id = queue(store, owner, by=["community"], title="First")
    assert Worker(store, work).step()
    with store.read(LOCAL) as tx:
        ended = job(tx, owner, job_id)
        assert ended["error"] is None
        assert ended["state"] == "done"
        made = run(tx, owner, ended["run_id"])
        names = run_names(tx, owner, made["run_id"])
        print(names)
        print(made)
