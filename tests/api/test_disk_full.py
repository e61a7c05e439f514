"""A disk that is full or read-only: the request is told so, nothing of it is kept, the next one with room is taken."""

import errno
import tempfile
from pathlib import Path
from typing import Any

import pytest
import starlette.formparsers

import api.routes.exports
import api.routes.imports
from api.serve import stay_in
from api.settings import Settings
from geomap.store import Store
from geomap.store.cooperatives import add_cooperative, cooperatives
from geomap.store.errors import StoreFullError
from geomap.store.scope import ALL, Scope

MEMBERS = "member_id,name\nM1,Ana\n"
FULL = ("ENOSPC", "EDQUOT", "EROFS")


def refusing(word: str) -> Any:
    def write(*_: Any, **__: Any) -> None:
        raise OSError(getattr(errno, word), "as the system says it", "/srv/secret/place")

    return write


def told(answer: Any) -> tuple[int, str]:
    assert set(answer.json()) == {"code", "detail", "where"}
    assert "secret" not in answer.text
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("word", FULL)
def test_a_file_that_cannot_be_laid_down_is_507_and_nothing_is_kept(light_service, monkeypatch, word):
    with monkeypatch.context() as patch:
        patch.setattr(api.routes.imports, "copy_upload", refusing(word))
        assert told(light_service.send("members", "m.csv", MEMBERS)) == (507, "disk_full")
    assert list(light_service.work_dir.iterdir()) == []
    assert light_service.office.get(f"{light_service.at}/imports").json()["rows"] == []
    assert light_service.send("members", "m.csv", MEMBERS).status_code == 201


@pytest.mark.parametrize("word", FULL)
def test_a_file_that_finds_no_room_while_it_comes_is_507(light_service, monkeypatch, word):
    class Full(tempfile.SpooledTemporaryFile):
        write = refusing(word)

    with monkeypatch.context() as patch:
        patch.setattr(starlette.formparsers, "SpooledTemporaryFile", Full)
        assert told(light_service.send("members", "m.csv", MEMBERS)) == (507, "disk_full")
    assert light_service.send("members", "m.csv", MEMBERS).status_code == 201


def test_an_export_that_finds_no_room_is_507(light_service, monkeypatch):
    monkeypatch.setattr(api.routes.exports, "export_cooperative", refusing("ENOSPC"))
    assert told(light_service.office.get(f"{light_service.at}/export")) == (507, "disk_full")
    assert list(light_service.work_dir.iterdir()) == []


@pytest.mark.parametrize("word", ["EIO", "EACCES", "EMFILE"])
def test_any_other_trouble_of_the_disk_is_a_fault_that_says_nothing(light_service, monkeypatch, word):
    monkeypatch.setattr(api.routes.imports, "copy_upload", refusing(word))
    assert told(light_service.send("members", "m.csv", MEMBERS)) == (500, "internal")


def test_postgresql_without_room_is_told_whatever_its_language(postgres_store: Store, cluster: Any) -> None:
    """The server says 53100 in the words of its own language."""
    cluster.sql(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'kein Platz mehr' USING ERRCODE = '53100'; END $$",
        "CREATE TRIGGER no_room BEFORE INSERT ON cooperatives EXECUTE FUNCTION no_room()",
    )
    local = Scope("local", ALL)
    try:
        with pytest.raises(StoreFullError), postgres_store.begin(local) as tx:
            add_cooperative(tx, code="C", name="C")
    finally:
        cluster.sql("DROP TRIGGER no_room ON cooperatives", "DROP FUNCTION no_room")
    with postgres_store.read(local) as tx:
        assert cooperatives(tx) == []


def test_what_the_service_lays_down_for_a_while_lies_in_its_work_folder(tmp_path: Path, monkeypatch) -> None:
    """A large file while it comes, too: it may name people, and the operator chose the folder for that."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    stay_in(Settings(work_dir=tmp_path / "new"))
    spooled = tempfile.SpooledTemporaryFile(max_size=1)
    before = Path(tempfile.gettempdir())
    spooled.write(b"more than fits")
    with tempfile.NamedTemporaryFile() as named:
        assert Path(named.name).parent == before == tmp_path / "new"
    spooled.close()
