"""The fuzzer's short form: some hundred bent files of each kind; `make fuzz` is the long one."""

import warnings

import corpus
import fuzz
import pytest


@pytest.mark.parametrize("target", corpus.TARGETS)
def test_the_files_that_it_starts_from_are_good(target, tmp_path):
    # Else everything would be refused at once and nothing would be tried.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in corpus.seeds(target):
            path = tmp_path / f"plots.{corpus.ENDINGS[target]}"
            path.write_bytes(data)
            assert fuzz.judge(path) == "good"


@pytest.mark.parametrize("target", corpus.TARGETS)
def test_bent_files_are_the_same_in_every_run_and_differ_from_each_other(target):
    files = corpus.seeds(target)
    bent = [corpus.mutant(files, target, number) for number in range(50)]
    assert bent == [corpus.mutant(files, target, number) for number in range(50)]
    assert len(set(bent)) > 40


@pytest.mark.parametrize("target", fuzz.IN_PROCESS)
def test_a_bent_text_gives_a_table_or_an_error_of_ours(target):
    score = fuzz.in_process(target, seconds=60, most=300)
    assert score.broken == {}
    assert score.executions == 300
    assert score.good and score.refused


@pytest.mark.parametrize("target", [name for name in corpus.TARGETS if name not in fuzz.IN_PROCESS])
def test_a_bent_file_never_ends_the_process_that_asked(target):
    score = fuzz.through_child(target, seconds=60, batch=100, batches=1)
    assert score.ended == {}
    assert score.broken == {}
    assert score.executions == 100
    assert score.good and score.refused


def shapefile(**parts: bytes) -> bytes:
    members = corpus._members(corpus.seeds("shp")[1])
    return corpus._packed(members | {f"p.{ending}": content for ending, content in parts.items()})


PROJECTION = corpus._members(corpus.seeds("shp")[1])["p.prj"]
FOUND = {
    "a kind of shape that is a list": ("geojson", b'{"type": "Feature", "properties": {}, "geometry": {"type": [1]}}'),
    "a kind of document that is a list": ("geojson", b'{"type": [1], "features": []}'),
    "line ends of old Macs": ("csv", b"plot_id,lat,lon\r1,14,-87\r2,14.1,-87\r"),
    "an encoding with a zero": ("shp", shapefile(cpg=b"UTF\0-8")),
    "metres that are far too long": ("shp", shapefile(prj=PROJECTION.replace(b'"Metre",1', b'"Metre",1000000000'))),
    "metres that are far too short": ("shp", shapefile(prj=PROJECTION.replace(b'"Metre",1', b'"Metre",0.000000001'))),
    "letters that are none in a schema": ("gpkg", corpus.seeds("gpkg")[0].replace(b"member_id", b"member_\xce\x28")),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_not_found_again(name, tmp_path):
    target, data = FOUND[name]
    path = tmp_path / f"plots.{corpus.ENDINGS[target]}"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fuzz.judge(path) in {"good", "refused"}
