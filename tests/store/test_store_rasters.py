"""Rasters that the service knows: registered once, pinned by what is in them, retired and never deleted."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geomap.errors import CrsError, RasterError, UnknownNameError
from geomap.store import Scope
from geomap.store.errors import NotAllowedError, NotFoundError
from geomap.store.rasters import add_raster, is_what_it_was, raster, rasters, retire_raster

KEEPER = Scope("operator", frozenset({"*"}))
OFFICE = Scope("coop_admin", frozenset({"c1"}))
WORLDCOVER = "esa-worldcover-2021"


def write(path: Path, code: int = 10, crs: str | None = "EPSG:4326") -> Path:
    """Ten by ten cells of a thousandth of a degree: west −87, north 15, so east −86.99 and south 14.99."""
    grid = {"width": 10, "height": 10, "count": 1, "dtype": "uint8", "crs": crs}
    with rasterio.open(path, "w", driver="GTiff", transform=from_origin(-87, 15, 0.001, 0.001), **grid) as file:
        file.write(np.full((1, 10, 10), code, dtype="uint8"))
    return path


def test_a_raster_is_registered_with_its_bounds(store, tmp_path):
    row = add_raster(store, KEEPER, write(tmp_path / "a.tif"), WORLDCOVER)
    assert row["bounds"] == pytest.approx([-87, 14.99, -86.99, 15], abs=2e-4)  # a hair wider
    assert (row["name"], row["product"], row["bytes"]) == ("a.tif", WORLDCOVER, (tmp_path / "a.tif").stat().st_size)
    with store.read(OFFICE) as tx:
        assert raster(tx, row["raster_id"]) == row
        assert rasters(tx) == [row]


def test_the_same_file_again_is_the_same_raster(store, tmp_path):
    first = add_raster(store, KEEPER, write(tmp_path / "a.tif"), WORLDCOVER)
    again = add_raster(store, KEEPER, tmp_path / "folder" / ".." / "a.tif", WORLDCOVER, name="A")
    assert again == {**first, "name": "A"}


def test_a_retired_raster_is_in_use_again_when_it_is_registered_again(store, tmp_path):
    first = add_raster(store, KEEPER, write(tmp_path / "a.tif"), WORLDCOVER)
    with store.begin(KEEPER) as tx:
        retire_raster(tx, first["raster_id"])
        assert rasters(tx) == []
        assert [row["raster_id"] for row in rasters(tx, retired=True)] == [first["raster_id"]]
    assert add_raster(store, KEEPER, tmp_path / "a.tif", WORLDCOVER) == first


def test_a_file_of_the_same_size_with_other_bytes_is_not_what_it_was(store, tmp_path):
    row = add_raster(store, KEEPER, write(tmp_path / "a.tif"), WORLDCOVER)
    assert is_what_it_was(row)
    write(tmp_path / "a.tif", code=20)
    assert (tmp_path / "a.tif").stat().st_size == row["bytes"] and not is_what_it_was(row)
    write(tmp_path / "a.tif")
    assert is_what_it_was(row)
    (tmp_path / "a.tif").unlink()
    with pytest.raises(FileNotFoundError):
        is_what_it_was(row)


def test_a_file_that_was_changed_is_another_raster(store, tmp_path):
    first = add_raster(store, KEEPER, write(tmp_path / "a.tif"), WORLDCOVER)
    write(tmp_path / "a.tif", code=20)
    assert (tmp_path / "a.tif").stat().st_size == first["bytes"]
    second = add_raster(store, KEEPER, tmp_path / "a.tif", WORLDCOVER)
    with store.read(KEEPER) as tx:
        assert rasters(tx) == [second]
        assert raster(tx, first["raster_id"])["retired_at"] is not None


@pytest.mark.parametrize(
    ("given", "product", "error"),
    [({"crs": None}, WORLDCOVER, CrsError), ({}, "no-such-product", UnknownNameError), (None, WORLDCOVER, RasterError)],
    ids=["no CRS", "no such product", "no such file"],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_that_cannot_be_such_a_map_is_refused(sqlite_store, tmp_path, given, product, error):
    path = tmp_path / "a.tif"
    if given is not None:
        write(path, **given)
    with pytest.raises(error):
        add_raster(sqlite_store, KEEPER, path, product)
    with sqlite_store.read(KEEPER) as tx:
        assert rasters(tx) == []


def test_an_office_registers_and_retires_no_raster(store, tmp_path):
    row = add_raster(store, KEEPER, write(tmp_path / "a.tif"), WORLDCOVER)
    with pytest.raises(NotAllowedError):
        add_raster(store, OFFICE, tmp_path / "a.tif", WORLDCOVER)
    with pytest.raises(NotAllowedError), store.begin(OFFICE) as tx:
        retire_raster(tx, row["raster_id"])


def test_what_is_not_there_cannot_be_shown_or_retired(store):
    with store.begin(KEEPER) as tx:
        for ask in (raster, retire_raster):
            with pytest.raises(NotFoundError, match="There is no such raster"):
                ask(tx, "none")


def test_rasters_come_page_by_page(store, tmp_path):
    for name in "abc":
        add_raster(store, KEEPER, write(tmp_path / f"{name}.tif"), WORLDCOVER)
    with store.read(KEEPER) as tx:
        every = rasters(tx)
        assert [row["raster_id"] for row in every] == sorted(row["raster_id"] for row in every)
        assert rasters(tx, limit=2) + rasters(tx, after=every[1]["raster_id"]) == every
