"""The commands of the store: what they leave, what they print, and how they end."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from sqlalchemy import make_url
from typer.testing import CliRunner

from geomap.commands.opened import default_store_url
from geomap.commands.store import store
from geomap.errors import GeomapError
from geomap.store import open_store
from geomap.store.errors import ConflictError, NotFoundError, StoreError
from geomap.store.migrations import migrate, revisions
from geomap.store.setup import require_ready, version

LATEST = revisions()[-1]


def run(*arguments: object) -> str:
    """Run a command that ends well; what it prints."""
    done = CliRunner().invoke(store, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: object) -> GeomapError:
    """Run a command that the command line ends with status 2 and one message."""
    done = CliRunner().invoke(store, [str(argument) for argument in arguments])
    assert isinstance(done.exception, GeomapError), done
    return done.exception


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/folder/geomap.sqlite"


@pytest.fixture
def tile(tmp_path) -> Path:
    grid = {"width": 4, "height": 4, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(tmp_path / "tile.tif", "w", transform=from_origin(-87, 15, 0.001, 0.001), **grid) as file:
        file.write(np.full((1, 4, 4), 10, dtype="uint8"))
    return tmp_path / "tile.tif"


# ---- where ----


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_DATA_HOME": "/data/of ana"}, "/data/of ana"),
        ("linux", {"HOME": "/ana"}, "/ana/.local/share"),
        ("darwin", {"HOME": "/ana"}, "/ana/Library/Application Support"),
        ("win32", {"LOCALAPPDATA": "/ana/AppData/Local"}, "/ana/AppData/Local"),
    ],
)
def test_the_store_of_a_computer_stands_where_its_programs_keep_data(monkeypatch, platform, variables, folder):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert make_url(default_store_url()).database == f"{folder}/geomap/geomap.sqlite"


def test_without_an_address_it_is_the_one_of_the_environment_or_of_this_computer(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("GEOMAP_API_STORE", raising=False)
    run("init")
    assert (tmp_path / "data/geomap/geomap.sqlite").is_file()
    monkeypatch.setenv("GEOMAP_API_STORE", f"sqlite:///{tmp_path}/other.sqlite")
    run("init")
    assert (tmp_path / "other.sqlite").is_file()


def test_no_command_prints_a_password(cluster, make_database):
    url = make_database().replace("geomap_owner@", "geomap_owner:secret@")
    assert "secret" not in run("init", "--store", url)


# ---- what ----


def test_a_store_is_made_and_can_be_used(url):
    assert run("init", "--store", url).startswith(f"The store is there, version {LATEST}: sqlite:///")
    opened = open_store(url)
    require_ready(opened)
    opened.close()


def test_a_store_in_postgresql_is_made_for_another_role(cluster, make_database):
    cluster.sql("DROP ROLE IF EXISTS another_app", "CREATE ROLE another_app LOGIN", database="postgres")
    url = make_database()
    run("init", "--store", url, "--app-role", "another_app")
    opened = open_store(url.replace("geomap_owner@", "another_app@"))
    require_ready(opened)
    opened.close()
    cluster.sql("DROP OWNED BY another_app", database=make_url(url).database)


def test_what_an_administrator_must_do_is_said_line_by_line(make_database):
    url = make_database(extension=False)
    error = refused("init", "--store", url)
    assert isinstance(error, StoreError)
    assert error.todo.splitlines()[1:] == [
        f"\\connect {make_url(url).database}",
        "CREATE EXTENSION postgis;",
    ]


def test_an_upgrade_says_what_it_did_and_where_the_backup_is(url, tmp_path):
    opened = open_store(url)
    (tmp_path / "folder").mkdir()
    with opened.engine.begin() as connection:
        migrate(connection, "0001")
    opened.close()
    assert run("upgrade", "--store", url).splitlines() == [
        f"The store went from 0001 to {LATEST}.",
        f"As it was before: {tmp_path}/folder/geomap-version-0001.sqlite",
    ]
    assert run("upgrade", "--store", url) == f"The store is of version {LATEST}.\n"


def test_a_store_that_is_not_there_is_not_made_by_other_commands(url, tmp_path):
    for command in (["upgrade"], ["backup", tmp_path / "b"], ["raster", "list"]):
        assert isinstance(refused(*command, "--store", url), (StoreError, NotFoundError))
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_restored(url, tmp_path):
    run("init", "--store", url)
    printed = json.loads(run("backup", tmp_path / "b.backup", "--store", url, "--json"))
    assert printed == json.loads((tmp_path / "b.backup.json").read_text())
    assert isinstance(refused("backup", tmp_path / "b.backup", "--store", url), ConflictError)
    assert isinstance(refused("restore", tmp_path / "b.backup", "--store", url), ConflictError)
    assert "are back" in run("restore", tmp_path / "b.backup", "--store", url, "--replace")
    assert "rows of" in run("backup", tmp_path / "c.backup", "--store", url)
    other = f"sqlite:///{tmp_path}/other.sqlite"
    run("restore", tmp_path / "c.backup", "--store", other)
    opened = open_store(other)
    assert version(opened) == LATEST
    opened.close()


def test_rasters_are_added_listed_and_retired(url, tile):
    run("init", "--store", url)
    added = run("raster", "add", tile, "--product", "esa-worldcover-2021", "--name", "West", "--store", url)
    raster_id, name = added.rstrip("\n").split("\t")
    assert name == "West"
    header, row = (line.split("\t") for line in run("raster", "list", "--store", url).splitlines())
    assert dict(zip(header, row, strict=True)) == {
        "raster_id": raster_id,
        "name": "West",
        "product": "esa-worldcover-2021",
        "bounds": "-87.0001 14.9959 -86.9959 15.0001",
        "path": str(tile),
    }
    run("raster", "retire", raster_id, "--store", url)
    assert run("raster", "list", "--store", url) == ""
    (kept,) = json.loads(run("raster", "list", "--retired", "--json", "--store", url))
    assert kept["raster_id"] == raster_id
    assert isinstance(refused("raster", "retire", raster_id, "--store", url), NotFoundError)


def test_one_name_is_for_one_raster(url, tile):
    run("init", "--store", url)
    arguments = ["raster", "add", tile, tile, "--product", "esa-worldcover-2021", "--name", "West", "--store", url]
    assert CliRunner().invoke(store, [str(argument) for argument in arguments]).exit_code == 2
