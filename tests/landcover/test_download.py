"""Land cover from a web server: a real one on this machine that speaks range requests, or fails to."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.errors import OutputError, RasterError
from geomap.landcover import remote
from geomap.landcover.download import MANIFEST, download, fetch
from geomap.landcover.extract import class_areas
from geomap.landcover.product import product
from geomap.landcover.remote import RemoteFile, is_address
from geomap.landcover.tiles import addresses

SIDE = 2048
CELL = 3 / SIDE
TILE = "ESA_WorldCover_10m_2021_v200_{}_Map.tif"
PLOT = shapely.box(-89.5, 13.5, -89.49, 13.51)


def plots_of(*shapes):
    index = [f"P{i}" for i in range(len(shapes))]
    return gpd.GeoDataFrame(geometry=list(shapes), index=index, crs="EPSG:4326").rename_axis("plot_id")


def write_tile(path, west, north, *, seed=0, side=SIDE, **options):
    """A tile of 3° × 3° whose cells are noise, so that it does not pack well: a COG's blocks without its overviews."""
    codes = np.random.default_rng(seed).choice([10, 20, 30, 40, 50, 60, 80], size=(side, side)).astype("uint8")
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"} | options
    place = from_origin(west, north, 3 / side, 3 / side)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=place, **(profile | layout)) as target:
        target.write(codes, 1)
    return path


class Server:
    """Files over HTTP, bytes counted; it can cut connections, ignore ranges, change its mind or answer anything."""

    def __init__(self, folder):
        self.folder, self.sent, self.asked = folder, 0, []
        self.ranges, self.cut_after, self.status, self.redirect, self.version = True, None, None, None, '"1"'
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler):
        self.asked.append((handler.path, handler.headers.get("Range")))
        path = self.folder / handler.path.lstrip("/")
        status = self.status or (200 if path.is_file() else 404)
        if self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if status != 200:
            handler.send_error(status)
            return
        data, whole = path.read_bytes(), path.stat().st_size
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range", "")) if self.ranges else None
        if span:
            first, last = int(span[1]), min(int(span[2]), whole - 1)
            data = data[first : last + 1]
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("ETag", self.version)
        handler.end_headers()
        if self.cut_after is not None and self.sent + len(data) > self.cut_after:
            data = data[: max(0, self.cut_after - self.sent)]
        self.sent += len(data)
        try:
            handler.wfile.write(data)
        except OSError:
            pass  # the reader had enough


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    made = Server(folder)
    yield made
    made.httpd.shutdown()
    made.httpd.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(remote, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def tile_bytes(tmp_path_factory):
    return write_tile(tmp_path_factory.mktemp("tile") / "tile.tif", -90, 15).read_bytes()


@pytest.fixture
def whole(server, tile_bytes):
    path = server.folder / TILE.format("N12W090")
    path.write_bytes(tile_bytes)
    return path


def hectares(found):
    return found.classes.set_index(["plot_id", "class"])["area_ha"]


# ---- names of tiles ----


@pytest.mark.parametrize(
    ("name", "box", "ends"),
    [
        ("esa-worldcover-2021", (-88.1, 13, -88, 13.1), ["2021_v200_N12W090_Map.tif"]),
        ("esa-worldcover-2020", (6.5, 0.1, 6.6, 0.2), ["v100/2020/map/ESA_WorldCover_10m_2020_v100_N00E006_Map.tif"]),
        ("esa-worldcover-2021", (-0.1, -0.1, 0.1, 0.1),
         ["N00E000_Map.tif", "N00W003_Map.tif", "S03E000_Map.tif", "S03W003_Map.tif"]),
        ("esa-worldcover-2021", (3, 0, 6, 3), ["N00E003_Map.tif"]),  # up to its edges and no further
        ("hansen-loss-2025", (-74.2, 4.1, -74.1, 4.2), ["v1.13_lossyear_10N_080W.tif"]),
        ("hansen-loss-2025", (108, -0.2, 108.1, -0.1), ["v1.13_lossyear_00N_100E.tif"]),
        ("jrc-gfc2020", (-74.2, 4.1, -74.1, 4.2), ["JRC_GFC2020_V3_N10_W80.tif"]),
        ("jrc-gfc2020", (5, -12, 5.1, -11.9), ["JRC_GFC2020_V3_S10_E0.tif"]),
        ("esri-lulc-2023", (-84.1, 14, -83.9, 14.1),
         ["lc2023/16P_20230101-20240101.tif", "lc2023/17P_20230101-20240101.tif"]),
        ("esri-lulc-2024", (-74, 4.1, -73.9, 4.2), ["lc2024/18N_20240101-20241231.tif"]),
        ("mapbiomas-brazil-2023", (-46, -21, -45.9, -20.9), ["coverage/brasil_coverage_2023.tif"]),
    ],
)  # fmt: skip
def test_tiles_are_named_as_their_makers_name_them(name, box, ends):
    found = addresses(plots_of(shapely.box(*box)), product(name))
    assert [one.endswith(end) for one, end in zip(found, ends, strict=True)] == [True] * len(ends)
    assert all(one.startswith("https://") for one in found)


def test_a_product_that_is_not_offered_as_files_says_so():
    with pytest.raises(RasterError, match="Dynamic World 2023 is not offered as files"):
        addresses(plots_of(PLOT), product("dynamic-world-2023"))


def test_another_folder_takes_the_place_of_the_makers_whatever_its_name():
    (found,) = addresses(plots_of(PLOT), product("esa-worldcover-2021"), base_url="http://127.0.0.1/{x}/")
    assert found == "http://127.0.0.1/{x}/ESA_WorldCover_10m_2021_v200_N12W090_Map.tif"


# ---- what a download leaves ----


def test_the_download_has_the_hectares_of_the_whole_tile_and_costs_a_part_of_it(server, whole, worldcover, tmp_path):
    told = []
    plots = plots_of(PLOT, shapely.box(-89.3, 13.2, -89.28, 13.22))
    got = download(plots, worldcover, tmp_path / "out", base_url=server.url, progress=lambda *step: told.append(step))
    assert [path.name for path in got.files] == [whole.name]
    assert server.sent == got.fetched_bytes < 0.25 * whole.stat().st_size
    a, b = (hectares(class_areas(plots, [path], worldcover)) for path in (whole, got.files[0]))
    assert a.index.tolist() == b.index.tolist()
    assert (a - b).abs().max() < 1e-9 * a.sum()
    assert told[-1][0] == f"download of {whole.name}"
    assert told[-1][1] == told[-1][2] >= 1


def test_the_file_is_tiled_compressed_and_has_the_palette(server, whole, worldcover, tmp_path):
    (path,) = download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url).files
    with rasterio.open(path) as made:
        assert made.profile["tiled"] and made.profile["compress"] == "deflate" and made.nodata == 0
        assert {code: "#{:02x}{:02x}{:02x}".format(*made.colormap(1)[code]) for code in worldcover.legend.index} == (
            worldcover.legend["color"].to_dict()
        )
        assert made.width < SIDE
    leftovers = {one.name for one in (tmp_path / "out").iterdir()} - {path.name, MANIFEST}
    assert leftovers == set()


def test_blocks_between_the_plots_are_not_fetched_and_are_no_data(server, whole, worldcover, tmp_path):
    corners = plots_of(shapely.box(-89.99, 14.98, -89.98, 14.99), shapely.box(-87.02, 12.01, -87.01, 12.02))
    got = download(corners, worldcover, tmp_path / "out", base_url=server.url)
    assert got.fetched_bytes < 0.25 * whole.stat().st_size
    middle = class_areas(plots_of(PLOT), got.files, worldcover)
    assert middle.classes["name"].tolist() == ["No data"]


def test_a_second_download_needs_no_network(server, whole, worldcover, tmp_path):
    first = download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    server.httpd.shutdown()
    server.httpd.server_close()
    again = download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert again.files == first.files
    assert again.kept == (whole.name,) and again.fetched_bytes == 0


def test_more_plots_are_added_to_what_is_there(server, whole, worldcover, tmp_path):
    far = shapely.box(-87.5, 12.5, -87.49, 12.51)
    download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    got = download(plots_of(far), worldcover, tmp_path / "out", base_url=server.url)
    assert got.kept == ()
    both = plots_of(PLOT, far)
    a, b = (hectares(class_areas(both, [path], worldcover)) for path in (whole, got.files[0]))
    assert (a - b).abs().max() < 1e-9 * a.sum()


def test_the_same_download_gives_the_same_bytes(server, whole, worldcover, tmp_path):
    one, two = (download(plots_of(PLOT), worldcover, tmp_path / name, base_url=server.url) for name in "ab")
    assert one.files[0].read_bytes() == two.files[0].read_bytes()
    assert (tmp_path / "a" / MANIFEST).read_bytes() == (tmp_path / "b" / MANIFEST).read_bytes()


def test_a_file_that_changed_since_is_fetched_anew_and_told(server, whole, worldcover, tmp_path):
    (path,) = download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url).files
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    again = download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert again.changed == (path.name,) and again.kept == ()
    assert path.read_bytes() == good


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"product": 1}', '{"product": "esa-worldcover-2021", "version": "v200", "files": {"a": 1}}'],
)
def test_a_damaged_manifest_means_that_everything_is_fetched_anew(server, whole, worldcover, tmp_path, text):
    download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    (tmp_path / "out" / MANIFEST).write_text(text)
    again = download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert again.kept == () and len(again.files) == 1
    told = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert told["files"][whole.name]["sha256"] and told["licence"] == "CC-BY-4.0" and "ESA" in told["attribution"]


def test_two_products_do_not_share_a_folder(server, whole, worldcover, tmp_path):
    download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    with pytest.raises(OutputError, match="holds a download of esa-worldcover-2021"):
        download(plots_of(PLOT), product("esa-worldcover-2020"), tmp_path / "out", base_url=server.url)


# ---- sea, and what goes wrong ----


def test_a_tile_that_does_not_exist_is_sea_and_is_told(server, whole, worldcover, tmp_path):
    coast = plots_of(PLOT, shapely.box(-90.1, 13.5, -90.09, 13.51))
    got = download(coast, worldcover, tmp_path / "out", base_url=server.url)
    assert got.absent == (TILE.format("N12W093"),)
    assert [path.name for path in got.files] == [whole.name]


def test_plots_with_sea_alone_are_refused(server, worldcover, tmp_path):
    with pytest.raises(RasterError, match=r"no tile under the plots.*N12W090.*axes are swapped"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)


def test_plots_without_outlines_are_refused(server, worldcover, tmp_path):
    with pytest.raises(RasterError, match="No plot has an outline"):
        download(plots_of(shapely.Point(-89, 13)), worldcover, tmp_path / "out", base_url=server.url)


def test_a_server_without_ranges_is_refused_before_the_file_is_read(server, whole, worldcover, tmp_path):
    server.ranges = False
    with pytest.raises(RasterError, match=r"sends .* only as a whole.*name it with --raster"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert len(server.asked) == 1


def test_without_a_network_it_says_what_why_and_what_to_do(server, worldcover, tmp_path):
    server.httpd.shutdown()
    server.httpd.server_close()
    with pytest.raises(
        RasterError, match=r"cannot be reached.*N12W090.*is read from there\. Check the network"
    ) as caught:
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert caught.value.found and caught.value.why and caught.value.todo


def test_a_name_that_nobody_knows_is_no_network(worldcover, tmp_path):
    with pytest.raises(RasterError, match=r"nowhere\.invalid cannot be reached"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url="http://nowhere.invalid")


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_a_cut_download_goes_on_where_it_stopped(server, whole, worldcover, tmp_path, share):
    plots = plots_of(shapely.box(-89.9, 13.0, -88.5, 14.0))
    untouched = download(plots, worldcover, tmp_path / "other", base_url=server.url)
    server.sent = 0
    server.cut_after = int(share * whole.stat().st_size)
    with pytest.raises(RasterError, match="run the same command again"):
        download(plots, worldcover, tmp_path / "out", base_url=server.url)
    assert not (tmp_path / "out" / whole.name).exists()
    (part,) = (tmp_path / "out").glob("*.part")
    had = part.stat().st_size
    server.cut_after = None
    got = download(plots, worldcover, tmp_path / "out", base_url=server.url)
    assert got.files[0].read_bytes() == untouched.files[0].read_bytes()
    # The first piece is asked for again: it says whether the file is still the same.
    assert got.fetched_bytes <= untouched.fetched_bytes - (had - remote.PIECE - 10_000) + remote.PIECE
    assert not list((tmp_path / "out").glob("*.part"))


def test_a_piece_that_was_cut_while_written_is_fetched_again(server, whole, worldcover, tmp_path):
    plots = plots_of(shapely.box(-89.9, 13.0, -88.5, 14.0))
    server.cut_after = whole.stat().st_size // 5
    with pytest.raises(RasterError):
        download(plots, worldcover, tmp_path / "out", base_url=server.url)
    (part,) = (tmp_path / "out").glob("*.part")
    part.write_bytes(part.read_bytes()[:-1000])
    server.cut_after = None
    (path,) = download(plots, worldcover, tmp_path / "out", base_url=server.url).files
    a, b = (hectares(class_areas(plots, [one], worldcover)) for one in (whole, path))
    assert (a - b).abs().max() < 1e-9 * a.sum()


def test_pieces_of_another_version_of_the_file_are_not_used(server, whole, worldcover, tmp_path):
    plots = plots_of(shapely.box(-89.9, 13.0, -88.5, 14.0))
    server.cut_after = whole.stat().st_size // 5
    with pytest.raises(RasterError):
        download(plots, worldcover, tmp_path / "out", base_url=server.url)
    server.cut_after, server.version = None, '"2"'
    write_tile(whole, -90, 15, seed=5)
    (path,) = download(plots, worldcover, tmp_path / "out", base_url=server.url).files
    a, b = (hectares(class_areas(plots, [one], worldcover)) for one in (whole, path))
    assert (a - b).abs().max() < 1e-9 * a.sum()


def test_a_file_that_changes_while_it_is_read_is_refused(server, whole, tmp_path):
    opened = RemoteFile(f"{server.url}/{whole.name}", tmp_path / "a.part")
    server.version = '"2"'
    with pytest.raises(RasterError, match="changed on 127"):
        opened.read(500_000, 10)
    opened.discard()


def test_a_part_that_would_fill_the_memory_is_not_read(server, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "MOST_BYTES_A_READ", 200_000)
    opened = RemoteFile(f"{server.url}/{whole.name}", tmp_path / "a.part")
    assert opened.read(100_000, 200_000) == whole.read_bytes()[100_000:300_000]
    with pytest.raises(RasterError, match="read at once"):
        opened.read(0, 200_001)
    assert opened.read(opened.size, 10**18) == b""
    opened.discard()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again_and_then_named(server, whole, worldcover, tmp_path, status):
    server.status = status
    with pytest.raises(RasterError, match=f"answers {status} for"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert len(server.asked) == 4


def test_a_refusal_is_not_asked_again(server, whole, worldcover, tmp_path):
    server.status = 403
    with pytest.raises(RasterError, match="answers 403"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_network(server, whole, worldcover, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written"):
        download(plots_of(PLOT), worldcover, tmp_path / "file", base_url=server.url)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / f"{whole.name}.part").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"\.part cannot be written"):
        download(plots_of(PLOT), worldcover, tmp_path / "full", base_url=server.url)
    assert len(server.asked) == 1


# ---- addresses that the user names ----


def test_an_address_of_the_user_is_cropped_as_a_tile_is(server, whole, worldcover, tmp_path):
    got = fetch(plots_of(PLOT), [f"{server.url}/{whole.name}"] * 2, worldcover, tmp_path / "out")
    assert [path.name for path in got.files] == [whole.name]
    a, b = (hectares(class_areas(plots_of(PLOT), [path], worldcover)) for path in (whole, got.files[0]))
    assert (a - b).abs().max() < 1e-9 * a.sum()


def test_an_address_without_a_file_is_an_error(server, worldcover, tmp_path):
    with pytest.raises(RasterError, match=r"has no file gone\.tif"):
        fetch(plots_of(PLOT), [f"{server.url}/gone.tif"], worldcover, tmp_path / "out")


def test_an_address_whose_raster_lies_elsewhere_gives_no_file(server, whole, worldcover, tmp_path):
    far = plots_of(shapely.box(10, 10, 10.1, 10.1))
    got = fetch(far, [f"{server.url}/{whole.name}"], worldcover, tmp_path / "out")
    assert got.files == () and not (tmp_path / "out" / whole.name).exists()


@pytest.mark.parametrize(
    "address",
    ["file:///etc/hostname", "ftp://127.0.0.1/a.tif", "/vsicurl/http://127.0.0.1/a", "a.tif",
     "http://name:word@127.0.0.1/a.tif", "http://", "https://a b/\n"],
)  # fmt: skip
def test_only_http_and_https_without_a_password_are_addresses(address, worldcover, tmp_path):
    assert not is_address(address)
    with pytest.raises(RasterError, match="no http or https address"):
        fetch(plots_of(PLOT), [address], worldcover, tmp_path / "out")


@pytest.mark.parametrize("place", ["file:///etc/hostname", "ftp://127.0.0.1/a.tif", "data:,a"])
def test_a_server_cannot_lead_to_another_kind_of_address(server, whole, worldcover, tmp_path, place):
    server.redirect = place
    with pytest.raises(RasterError, match="answers 302"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)


@pytest.mark.parametrize("content", [b"no raster at all" * 10, b"II*\0" + b"\xff" * 5000,
                                     b'<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>'])  # fmt: skip
def test_a_file_that_is_no_geotiff_is_refused_by_name(server, worldcover, tmp_path, content):
    (server.folder / TILE.format("N12W090")).write_bytes(content)
    with pytest.raises(RasterError, match="is not a GeoTIFF that can be read"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)


def test_a_raster_of_another_kind_is_refused_as_a_file_of_ones_own_is(server, worldcover, tmp_path):
    with rasterio.open(
        server.folder / TILE.format("N12W090"), "w", driver="GTiff", width=64, height=64, count=2, dtype="uint8",
        crs="EPSG:4326", transform=from_origin(-90, 15, 3 / 64, 3 / 64),
    ) as target:  # fmt: skip
        target.write(np.full((2, 64, 64), 10, dtype="uint8"))
    with pytest.raises(RasterError, match="has 2 bands"):
        download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)


def test_a_striped_file_is_read_by_its_strips(server, worldcover, tmp_path):
    striped = write_tile(server.folder / TILE.format("N12W090"), -90, 15, tiled=False, blockxsize=SIDE, blockysize=16)
    got = download(plots_of(PLOT), worldcover, tmp_path / "out", base_url=server.url)
    assert got.fetched_bytes < 0.3 * striped.stat().st_size
    a, b = (hectares(class_areas(plots_of(PLOT), [path], worldcover)) for path in (striped, got.files[0]))
    assert (a - b).abs().max() < 1e-9 * a.sum()


def test_a_probability_map_keeps_its_values_and_its_missing_blocks_are_no_data(server, tmp_path):
    coffee = product("fdp-coffee-2020")
    values = np.random.default_rng(3).random((600, 600)).astype("float32")
    with rasterio.open(
        server.folder / "coffee.tif", "w", driver="GTiff", width=600, height=600, count=1, dtype="float32",
        crs="EPSG:4326", transform=from_origin(-90, 15, 0.005, 0.005), tiled=True, blockxsize=128, blockysize=128,
    ) as target:  # fmt: skip
        target.write(values, 1)
    (path,) = fetch(plots_of(PLOT), [f"{server.url}/coffee.tif"], coffee, tmp_path / "out").files
    a, b = (hectares(class_areas(plots_of(PLOT), [one], coffee)) for one in (server.folder / "coffee.tif", path))
    assert (a - b).abs().max() < 1e-9 * a.sum()
    with rasterio.open(path) as made:
        assert np.isnan(made.nodata) and made.dtypes[0] == "float32"
