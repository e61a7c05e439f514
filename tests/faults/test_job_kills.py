"""The short form of `job_kills.py`: a few kills on either database, and one of a real estimation."""

from job_kills import kill_jobs


def test_killed_jobs_end_as_if_nobody_had_disturbed_them(store, tmp_path):
    scores = kill_jobs(store, tmp_path, kills=3, real=0)
    assert scores["stand-in"].wrong == []
    assert scores["stand-in"].kills.total() == 3
    assert scores["stand-in"].attempts > scores["stand-in"].jobs  # some were taken up again


def test_killed_estimations_do_too(sqlite_store, tmp_path):
    scores = kill_jobs(sqlite_store, tmp_path, kills=0, real=1, seed=1)
    assert scores["real estimation"].wrong == []
    assert scores["real estimation"].kills.total() == 1
