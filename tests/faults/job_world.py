"""A cooperative so small that its run takes a second: ten plots of four members on a map of 100 × 100 cells."""

import hashlib
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.store import Scope, Store
from geomap.store.cooperatives import add_cooperative
from geomap.store.jobs import add_job
from geomap.store.members import put_member
from geomap.store.plots import put_plot
from geomap.store.schema import rasters

LOCAL = Scope("local", frozenset({"*"}), account_id="local")
CELL = 1 / 12000
WEST, NORTH = -88.7, 14.7
PARAMETERS = {"crop": "coffee", "country": "HN", "season": "2026/27", "rasters": ["map"]}


def make_raster(path: Path, *, water_from: int = 80) -> Path:
    """Tree cover, and water from a column on."""
    codes = np.full((100, 100), 10, dtype="uint8")
    codes[:, water_from:] = 80
    with rasterio.open(
        path, "w", driver="GTiff", height=100, width=100, count=1, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(WEST, NORTH, CELL, CELL), tiled=True, blockxsize=64, blockysize=64,
    ) as target:  # fmt: skip
        target.write(codes, 1)
    return path


def square(number: int, cells: int = 6) -> bytes:
    """A square of some cells; the tenth lies half in the water."""
    west, north = WEST + (number * 8 + 1) * CELL, NORTH - 20 * CELL
    return shapely.to_wkb(shapely.box(west, north - cells * CELL, west + cells * CELL, north))


def make_world(store: Store, folder: Path, *, code: str = "COOP-1") -> str:
    """The id of a cooperative with plots, people and a registered raster."""
    with store.begin(LOCAL) as tx:
        owner = add_cooperative(tx, code=code, name="One", country="HN", crop="coffee")
        for number in range(4):
            given = {"name": f"Ana Canaria {number}", "phone": f"+504 0000 000{number}", "community": "Alta"}
            put_member(tx, owner, f"M{number}", given)
        for number in range(10):
            given = {"member_id": f"M{number % 4}", "community": "Alta", "geometry": square(number)}
            put_plot(tx, owner, f"P{number}", given)
        if not (folder / "map.tif").exists():
            add_raster(tx, make_raster(folder / "map.tif"))
    return owner


def add_raster(tx, path: Path) -> None:
    """Register a raster under the id "map"."""
    row = {
        "raster_id": "map",
        "name": path.stem,
        "product": "esa-worldcover-2021",
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "bounds": [WEST, NORTH - 100 * CELL, WEST + 100 * CELL, NORTH],
    }
    tx.insert(rasters, row)


def queue(store: Store, owner: str, **more) -> str:
    """The id of a new job."""
    with store.begin(LOCAL) as tx:
        return add_job(tx, cooperative_id=owner, parameters=PARAMETERS | more)["job_id"]
