"""The short form of `upload_kills.py`: one kill while a file comes, one after it came."""

from upload_kills import kill_uploads


def test_a_service_killed_during_an_upload_keeps_all_of_it_or_nothing(store, tmp_path):
    score = kill_uploads(store, tmp_path, kills=2, seed=3)
    assert score.wrong == []
    assert score.kills.total() == 2
    assert score.kills["file was coming"] >= 1
    assert score.starts == 3
