"""Rasters that are damaged or made to do harm are refused by their header, or read window by window (B02, B36–B42)."""

import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import psutil
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.errors import CrsError, GeomapError, RasterError
from geomap.landcover.extract import Extraction, class_areas

CANARY = "canary-7f3a9c"
MOST_BYTES = 400_000_000
MOST_SECONDS = 5.0
SIZES = {"B": 1, "H": 2, "I": 4, "d": 8}
TYPES = {"B": 1, "H": 3, "I": 4, "d": 12}


# ---- files ----


def tiff(path: Path, width: int, height: int, tags: dict[int, tuple[str, Sequence[float]]], data: bytes = b"") -> Path:
    """A little-endian TIFF of one byte per cell in EPSG:4326, written tag by tag; `data` starts at byte 8."""
    west_north = [0.0, 0.0, 0.0, -87.0, 15.0, 0.0]
    common = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [8]),
        259: ("H", [1]),
        262: ("H", [1]),
        277: ("H", [1]),
        33550: ("d", [1e-4, 1e-4, 0.0]),
        33922: ("d", west_north),
        34735: ("H", [1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326]),
    }
    entries = sorted((common | tags).items())
    place = 8 + len(data)
    extra_place = place + 2 + 12 * len(entries) + 4
    directory, extra = struct.pack("<H", len(entries)), b""
    for tag, (kind, values) in entries:
        packed = struct.pack(f"<{len(values)}{kind}", *values)
        if len(packed) > 4:
            value, extra = struct.pack("<I", extra_place + len(extra)), extra + packed
        else:
            value = packed.ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, TYPES[kind], len(values)) + value
    path.write_bytes(b"II*\0" + struct.pack("<I", place) + data + directory + bytes(4) + extra)
    return path


def strips(
    rows: int, offsets: Sequence[int] = (8,), counts: Sequence[int] = (64,)
) -> dict[int, tuple[str, Sequence[float]]]:
    return {278: ("I", [rows]), 273: ("I", offsets), 279: ("I", counts)}


def tiles(
    side: int, offsets: Sequence[int] = (8,), counts: Sequence[int] = (64,)
) -> dict[int, tuple[str, Sequence[float]]]:
    return {322: ("I", [side]), 323: ("I", [side]), 324: ("I", offsets), 325: ("I", counts)}


def sparse(path: Path, side: int, **options: object) -> Path:
    """A tiled raster of `side` × `side` cells, none of them written."""
    grid = {"width": side, "height": side, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "SPARSE_OK": "TRUE"}
    place = from_origin(-87, 15, 1e-5, 1e-5)
    with rasterio.open(path, "w", driver="GTiff", transform=place, **grid, **layout, **options):
        pass
    return path


# ---- what is looked at each time ----


class Memory:
    """The most memory this process took on while it ran, in bytes."""

    def __enter__(self) -> "Memory":
        self._process = psutil.Process()
        self._start = self._process.memory_info().rss
        self.grown, self._watching = 0, True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._watching:
            self.grown = max(self.grown, self._process.memory_info().rss - self._start)
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        self._watching = False
        self._thread.join()


@pytest.fixture
def listener() -> Iterator[list[object]]:
    """What reached a listener on this machine; the first entry is its address."""
    server = socket.create_server(("127.0.0.1", 0))
    heard: list[object] = [f"http://127.0.0.1:{server.getsockname()[1]}"]

    def listen() -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            heard.append(address)
            connection.close()

    threading.Thread(target=listen, daemon=True).start()
    yield heard
    server.close()


@pytest.fixture
def attack(worldcover, listener, tmp_path):
    """Hectares of one small plot on a raster, or the error, after time, memory, network and places were looked at."""
    plot = gpd.GeoDataFrame(
        geometry=[shapely.box(-86.9995, 14.9985, -86.9985, 14.9995)], index=["P1"], crs="EPSG:4326"
    ).rename_axis("plot_id")

    def run(path: Path | str) -> GeomapError | Extraction:
        before = sorted(entry.name for entry in tmp_path.iterdir())
        start = time.monotonic()
        with Memory() as memory:
            try:
                result: GeomapError | Extraction = class_areas(plot, [Path(path)], worldcover)
                said = result.classes.to_csv() + result.findings.to_csv()
            except GeomapError as error:
                result, said = error, str(error)
                assert error.code in {"raster", "crs"}
                assert error.found and error.todo
        assert time.monotonic() - start < MOST_SECONDS
        assert memory.grown < MOST_BYTES
        assert len(listener) == 1
        assert sorted(entry.name for entry in tmp_path.iterdir()) == before
        assert not [word for word in (CANARY, str(tmp_path), "driver", "Traceback") if word in said]
        return result

    # The kernel is compiled before anything is timed.
    class_areas(
        plot, [tiff(tmp_path / "warm.tif", 100, 100, strips(100, [8], [10_000]), bytes([10]) * 10_000)], worldcover
    )
    (tmp_path / "warm.tif").unlink()
    return run


def refused(result: GeomapError | Extraction, kind: type[GeomapError], *words: str) -> None:
    assert type(result) is kind, result
    assert [word for word in words if word not in str(result)] == []


# ---- the tests ----


def test_a_good_file_made_the_same_way_is_read(attack, tmp_path):
    # A plot of 0.001° × 0.001° at 15 N. Else the refusals below could come from the way the files are made.
    result = attack(tiff(tmp_path / "good.tif", 100, 100, strips(100, [8], [10_000]), bytes([10]) * 10_000))
    assert result.classes["class"].tolist() == [10]
    assert result.classes["area_ha"].sum() == pytest.approx(
        1.19, rel=0.01
    )  # 0.001° × 0.001° at 15 N: 107.5 m × 110.7 m


DISGUISED = {
    "B02 table of another file": (
        '<VRTDataset rasterXSize="10" rasterYSize="1"><SRS>EPSG:4326</SRS>'
        "<GeoTransform>-87,1e-4,0,15,0,-1e-4</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand"><SourceFilename>{canary}</SourceFilename>'
        "</VRTRasterBand></VRTDataset>"
    ),
    "B03 WMS": '<GDAL_WMS><Service name="TMS"><ServerUrl>{address}/${{z}}</ServerUrl></Service></GDAL_WMS>',
    "B03 MRF": (
        '<MRF_META><Raster><Size x="512" y="512"/></Raster>'
        "<CachedSource><Source>{canary}</Source></CachedSource></MRF_META>"
    ),
    "B03 tile index": "<GDALTileIndexDataset><IndexDataset>{canary}</IndexDataset></GDALTileIndexDataset>",
    "B03 STAC": '{{"stac_version": "1.0.0", "assets": {{"a": {{"href": "{address}/a.tif"}}}}}}',
    "B04 remote raster": (
        '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        "<SourceFilename>/vsicurl/{address}/a.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    ),
}


@pytest.mark.parametrize("name", DISGUISED)
def test_a_raster_that_is_something_else_is_refused(name, attack, listener, tmp_path):
    (tmp_path / "canary.txt").write_text(CANARY, encoding="utf-8")
    content = DISGUISED[name].format(canary=tmp_path / "canary.txt", address=listener[0])
    (tmp_path / "map.tif").write_text(content, encoding="utf-8")
    refused(attack(tmp_path / "map.tif"), RasterError, "not a GeoTIFF")


@pytest.mark.parametrize("text", ["/vsicurl/{address}/a.tif", "{address}/a.tif", "vrt://{canary}", "WMS:{address}", ""])
def test_a_path_is_a_file_on_this_disk_and_nothing_else(text, attack, listener, tmp_path):  # B07
    refused(attack(text.format(address=listener[0], canary=tmp_path / "c.tif")), RasterError, "no file")


@pytest.mark.parametrize(
    ("side", "rows"),
    [(10**9, 1), (10**9, 10**9), (185_364, 1), (65_000, 65_000), (30_000, 30_000)],
)
def test_a_header_that_promises_more_than_memory_holds_is_refused(side, rows, attack, tmp_path):  # B36
    refused(attack(tiff(tmp_path / "map.tif", side, side, strips(rows))), RasterError, "map.tif")


@pytest.mark.parametrize(("side", "tile"), [(10**9, 256), (65_536, 65_536), (2**31 - 1, 2**30)])
def test_tiles_that_promise_more_than_memory_holds_are_refused(side, tile, attack, tmp_path):  # B37, B38
    refused(attack(tiff(tmp_path / "map.tif", side, side, tiles(tile))), RasterError, "map.tif")


def test_an_empty_raster_of_ten_thousand_million_cells_is_read_by_its_windows(attack, tmp_path):  # B39
    result = attack(sparse(tmp_path / "map.tif", 100_000))
    assert result.classes["name"].tolist() == ["No data"]
    assert result.cover["nodata_ha"].sum() == pytest.approx(1.19, rel=0.01)


def test_a_raster_packed_a_thousandfold_is_read_by_its_windows(attack, tmp_path):  # B40
    path = sparse(tmp_path / "map.tif", 40_000, compress="deflate")
    with rasterio.open(path, "r+") as target:
        target.write(np.full((1, 1_024, 40_000), 10, dtype="uint8"), window=((0, 1_024), (0, 40_000)))
    assert path.stat().st_size < 2_000_000
    result = attack(path)
    assert result.classes["class"].tolist() == [10]
    assert result.classes["area_ha"].sum() == pytest.approx(1.19, rel=0.01)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.9])
def test_a_raster_that_is_cut_off_is_refused(share, attack, tmp_path):  # B41
    data = np.random.default_rng(5).integers(1, 10, 40_000, dtype="uint8").tobytes()
    path = tiff(tmp_path / "map.tif", 200, 200, strips(200, [8], [40_000]), data)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(attack(path), RasterError, "map.tif")


def test_a_raster_whose_cells_are_missing_is_refused(attack, tmp_path):  # B41
    refused(
        attack(tiff(tmp_path / "map.tif", 100, 100, strips(100, [10**8], [10_000]))),
        RasterError,
        "cannot be read at row",
    )


def test_a_directory_that_leads_to_itself_or_claims_too_much_is_refused_or_read(attack, tmp_path):  # B41
    path = tiff(tmp_path / "map.tif", 100, 100, strips(100, [8], [10_000]), bytes([10]) * 10_000)
    data = bytearray(path.read_bytes())
    (place,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, place)
    looped = bytearray(data)
    struct.pack_into("<I", looped, place + 2 + 12 * count, place)  # the next directory is this one
    path.write_bytes(looped)
    result = attack(path)
    assert isinstance(result, RasterError) or result.classes["class"].tolist() == [10]
    crowded = bytearray(data)
    struct.pack_into("<H", crowded, place, 65_535)
    path.write_bytes(crowded)
    assert isinstance(attack(path), GeomapError)
    greedy = bytearray(data)
    struct.pack_into("<I", greedy, place + 2 + 12 * (count - 1) + 4, 2**32 - 1)  # a tag of four thousand million values
    path.write_bytes(greedy)
    assert isinstance(attack(path), GeomapError)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("seed", range(40))
def test_a_header_with_random_bytes_never_stops_the_process(seed, attack, tmp_path):
    path = tiff(tmp_path / "map.tif", 64, 64, tiles(64, [8], [4_096]), bytes([10]) * 4_096)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for place in rng.integers(4_104, len(data), 4):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    attack(path)


def test_no_place_no_classes_and_several_bands_are_refused(attack, write_raster, tmp_path):  # B42
    square = np.full((20, 20), 10)
    options = {"west": -87.0, "north": 15.0, "cell": 0.0005}
    tilted = rasterio.Affine(0.0005, 0.0001, -87.0, 0.0001, -0.0005, 15.0)
    refused(attack(write_raster(square, crs=None, **options)), CrsError, "no coordinate reference system")
    refused(attack(write_raster(square, transform=tilted)), RasterError, "rotated")
    refused(attack(write_raster(square, dtype="float32", **options)), RasterError, "not class codes")
    refused(attack(write_raster(np.stack([square, square]), **options)), RasterError, "2 bands")
    refused(attack(write_raster(square, nodata=10, **options)), RasterError, "declares 10 as no data")
    with rasterio.open(write_raster(square, photometric="palette", **options), "r+") as target:
        target.write_colormap(1, {10: (0, 100, 0, 255)})
    assert attack(tmp_path / "map.tif").classes["class"].tolist() == [10]  # a palette changes no code


def test_unknown_classes_are_hectares_of_their_own(attack, write_raster):  # B42
    path = write_raster(np.full((20, 20), 77), west=-87.0, north=15.0, cell=0.0005)
    result = attack(path)
    assert "unknown_class" in result.findings["code"].tolist()
    assert result.cover["unknown_ha"].sum() == pytest.approx(1.19, rel=0.01)


def test_a_file_beside_the_raster_is_not_opened(attack, write_raster, tmp_path, listener):
    # Overviews, masks and statistics can lie in files beside it, and such a file could be anything.
    path = write_raster(np.full((20, 20), 10), west=-87.0, north=15.0, cell=0.0005)
    remote = DISGUISED["B04 remote raster"].format(address=listener[0])
    for ending in (".ovr", ".msk", ".aux.xml"):
        Path(f"{path}{ending}").write_text(remote, encoding="utf-8")
    assert attack(path).classes["class"].tolist() == [10]
