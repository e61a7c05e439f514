"""Files from outside: whatever they hold, they harm their own reading alone (bad inputs B01–B35 of the safety page).

Every bad file is sent through `attack`, which looks at the same seven things each time: no request reached a listener
on this machine (O1), nothing of a file outside came back (O2), this process stayed quick (O3), the child stayed within
its limits (O4), no file was left or made (O5), the code is a known one (O6), the message names no place and no driver
(O7). Markers are harmless; a canary stands for what must not be read.
"""

import dataclasses
import json
import logging
import re
import resource
import socket
import sqlite3
import struct
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow
import pyarrow.parquet
import pyogrio
import pytest
import shapely
from shapely.geometry import box

from geomap.errors import FileError, GeomapError
from geomap.findings import CODES
from geomap.plots import intake
from geomap.plots.archives import ArchiveError, FileTooLargeError
from geomap.plots.formats import read_members, read_plots
from geomap.plots.intake import UPLOAD_CAPS, take_in, take_in_members
from geomap.plots.prepare import prepare_plots
from geomap.plots.wkb import wkb_depth
from geomap.sandbox import Limits

CANARY = "canary-7f3a9c"
FILE_CODES = {"file", "file_too_large", "archive", "reader_failed", "crs", "column"}
LIMITS = Limits(memory_bytes=2 * 2**30, cpu_s=20, wall_s=20.0)


# ---- the seven things ----


class Listener:
    """A listener on this machine that counts what reaches it."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.hits = 0
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.hits += 1
            connection.close()


class Pulse:
    """The longest pause in which this process could do nothing else."""

    def __enter__(self) -> "Pulse":
        self.longest, self._beating = 0.0, True
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def _beat(self) -> None:
        last = time.monotonic()
        while self._beating:
            time.sleep(0.02)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now

    def __exit__(self, *_: object) -> None:
        self._beating = False
        self._thread.join()


@dataclasses.dataclass
class Stage:
    """Where an upload lies, what lies beside it, and who listens."""

    staging: Path
    outside: Path
    private: Path
    listener: Listener
    caplog: pytest.LogCaptureFixture

    @property
    def canary(self) -> Path:
        return self.outside / "canary.csv"

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.staging / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def attack(self, path: Path | str, **options) -> GeomapError | tuple[gpd.GeoDataFrame, pd.DataFrame]:
        """The error, or plots and findings, of an upload, after the seven things were looked at."""
        before = sorted((entry.name, entry.stat().st_size) for entry in self.staging.iterdir())
        start = time.monotonic()
        with Pulse() as pulse, self.caplog.at_level(logging.INFO):
            try:
                result = take_in(Path(path), uploads=True, **options)
                said = result[0].to_csv() + result[1].to_csv()
            except GeomapError as error:
                result, said = error, str(error)
                assert error.code in FILE_CODES  # O6
                assert error.found and error.why and error.todo
        time.sleep(0.05)
        assert self.listener.hits == 0  # O1
        assert CANARY not in said + self.caplog.text  # O2
        assert pulse.longest < 1.0  # O3
        assert time.monotonic() - start < LIMITS.wall_s + 2  # O4
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 <= LIMITS.memory_bytes + 2**30  # O4
        assert sorted((entry.name, entry.stat().st_size) for entry in self.staging.iterdir()) == before  # O5
        assert list(self.private.iterdir()) == []  # O5
        assert sorted(entry.name for entry in self.outside.iterdir()) == ["canary.csv"]  # O5
        own_words = re.sub(r"XML file \(<.*?>\)", "", said)  # the name of the file's own root may be repeated
        for word in (str(self.staging), str(self.private), tempfile.gettempdir(), "GDAL", "driver", "Traceback"):
            assert word not in own_words  # O7
        return result

    def refused(self, path: Path | str, *words: str, code: str = "file", **options) -> None:
        error = self.attack(path, **options)
        assert isinstance(error, GeomapError), error
        assert (error.code, [word for word in words if word not in str(error)]) == (code, []), str(error)

    def blocked(self, path: Path) -> set[str]:
        """Codes of the blocking findings of an upload that is read; no plot with such a finding is used."""
        result = self.attack(path)
        assert not isinstance(result, GeomapError), result
        prepared = prepare_plots(result[0], None)
        found = pd.concat([result[1], prepared.findings])
        blocking = found[(found["severity"] == "block")]
        assert not set(blocking["plot_id"]) & set(prepared.plots.index)
        return set(blocking["code"])


@pytest.fixture
def stage(tmp_path, monkeypatch, caplog) -> Iterator[Stage]:
    for name in ("staging", "outside", "private"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "canary.csv").write_text(f"plot_id,lat,lon,secret\n1,14,-87,{CANARY}\n", encoding="utf-8")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "private"))
    monkeypatch.setattr(intake, "UPLOAD_LIMITS", LIMITS)
    listener = Listener()
    yield Stage(tmp_path / "staging", tmp_path / "outside", tmp_path / "private", listener, caplog)
    listener.socket.close()


def square(west=-87.2, south=14.1, size=0.001, **properties) -> dict[str, object]:
    ring = [[west, south], [west + size, south], [west + size, south + size], [west, south + size], [west, south]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def shaped(coordinates: str, kind: str = "Polygon", properties: str = '{"plot_id": "P1"}') -> str:
    """A collection of one feature whose coordinates are written as they are."""
    feature = f'{{"type": "Feature", "properties": {properties}, "geometry": {{"type": "{kind}", "coordinates": '
    return f'{{"type": "FeatureCollection", "features": [{feature}{coordinates}}}}}]}}'


def collection(*features: object, **members: object) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features), **members})


def good_plots(count: int = 3) -> gpd.GeoDataFrame:
    shapes = [box(-87.2 + 0.002 * n, 14.1, -87.199 + 0.002 * n, 14.101) for n in range(count)]
    table = {"plot_id": [f"{n:05d}" for n in range(count)], "name": ["Ngọc Ánh"] * count}
    return gpd.GeoDataFrame(table, geometry=shapes, crs="EPSG:4326")


def saved(folder: Path, name: str, plots: gpd.GeoDataFrame | None = None) -> Path:
    plots = good_plots() if plots is None else plots
    path = folder / name
    kind = path.suffix[1:]
    if kind in {"csv", "xlsx"}:
        table = pd.DataFrame(plots.drop(columns="geometry")).assign(wkt=plots.to_wkt()["geometry"])
        table.to_csv(path, index=False) if kind == "csv" else table.to_excel(path, index=False, engine="openpyxl")
    elif kind == "zip":
        with tempfile.TemporaryDirectory() as parts, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            plots.to_file(Path(parts) / "p.shp", encoding="UTF-8")
            for part in sorted(Path(parts).iterdir()):
                archive.write(part, f"folder/{part.name}")
    elif kind == "parquet":
        plots.to_parquet(path)
    elif kind == "kmz":
        kml = saved(folder, "doc.kml", plots)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(kml, "doc.kml")
        kml.unlink()
    else:
        plots.to_file(path, driver={"geojson": "GeoJSON", "gpkg": "GPKG", "shp": None, "kml": "KML"}[kind])
    return path


def zipped(folder: Path, name: str, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(folder / name, "w", method) as archive:
        warnings.simplefilter("ignore", UserWarning)  # a name twice is what some of these are about
        for member, content in members.items():
            archive.writestr(member, content)
    return folder / name


def shapefile_parts(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(saved(folder, "parts.zip")) as archive:
        parts = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    (folder / "parts.zip").unlink()
    return parts


# ---- what is good stays good ----


@pytest.mark.parametrize("kind", ["geojson", "csv", "gpkg", "zip", "parquet", "kml", "kmz", "xlsx"])
def test_a_good_upload_is_read_as_it_would_be_in_place(kind, stage):
    path = saved(stage.staging, f"plots.{kind}")
    plots, findings = stage.attack(path)
    expected, expected_findings = read_plots(path)
    pd.testing.assert_frame_equal(pd.DataFrame(plots), pd.DataFrame(expected))
    pd.testing.assert_frame_equal(findings, expected_findings)
    assert plots.crs == expected.crs
    assert plots.index.tolist() == ["00000", "00001", "00002"]


@pytest.mark.parametrize("kind", ["geojson", "csv", "gpkg", "shp", "zip", "parquet", "kml", "kmz", "xlsx"])
def test_an_own_file_is_read_as_it_would_be_in_place(kind, tmp_path):
    path = saved(tmp_path, f"plots.{kind}")
    plots, findings = take_in(path, mapping={"name": "member_id"})
    expected, expected_findings = read_plots(path, mapping={"name": "member_id"})
    pd.testing.assert_frame_equal(pd.DataFrame(plots), pd.DataFrame(expected))
    pd.testing.assert_frame_equal(findings, expected_findings)


@pytest.mark.parametrize("uploads", [False, True])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_members_are_taken_in_the_same_way(kind, uploads, tmp_path):
    table = pd.DataFrame({"socio": ["007", "ñ"], "nombre": ["Ana", "Bo"], "ha": [1.5, 2.0]})
    path = tmp_path / f"members.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_excel(path, index=False, engine="openpyxl")
    found, expected = take_in_members(path, uploads=uploads), read_members(path)
    for ours, theirs in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


def test_plots_of_every_shape_come_back_in_order(stage):
    point = {"type": "Feature", "properties": {"plot_id": "b"}, "geometry": {"type": "Point", "coordinates": [1, 2]}}
    none = {"type": "Feature", "properties": {"plot_id": "c"}, "geometry": None}
    parts = [square()["geometry"]["coordinates"], square(-87.1)["geometry"]["coordinates"]]
    multi = {
        "type": "Feature",
        "properties": {"plot_id": "a"},
        "geometry": {"type": "MultiPolygon", "coordinates": parts},
    }
    plots, _ = stage.attack(stage.file("p.geojson", collection(multi, point, none, square(plot_id="d"))))
    assert plots.index.tolist() == ["a", "b", "c", "d"]
    assert [None if shape is None else shape.geom_type for shape in plots.geometry] == [
        "MultiPolygon",
        "Point",
        None,
        "Polygon",
    ]


# ---- 3a: file type, paths, network ----

VRT = """<OGRVRTDataSource><OGRVRTLayer name="canary"><SrcDataSource>{source}</SrcDataSource>
<GeometryType>wkbPoint</GeometryType><LayerSRS>EPSG:4326</LayerSRS>
<GeometryField encoding="PointFromColumns" x="lon" y="lat"/></OGRVRTLayer></OGRVRTDataSource>"""
DISGUISED = {
    "B01 table of another file": VRT.format(source="CSV:{canary}"),
    "B03 WFS": "<OGRWFSDataSource><URL>{address}/wfs</URL></OGRWFSDataSource>",
    "B03 WMS": '<GDAL_WMS><Service name="TMS"><ServerUrl>{address}/${{z}}</ServerUrl></Service></GDAL_WMS>',
    "B03 MRF": "<MRF_META><CachedSource><Source>{canary}</Source></CachedSource></MRF_META>",
    "B03 tile index": "<GDALTileIndexDataset><IndexDataset>{canary}</IndexDataset></GDALTileIndexDataset>",
    "B04 remote table": VRT.format(source="/vsicurl/{address}/a.geojson"),
    "B05 header from a file": VRT.format(source="/vsicurl?header_file={canary}&amp;url={address}/a.geojson"),
    "B09 GML": (
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file://{canary}">]><gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml"'
        ' xmlns:xlink="http://www.w3.org/1999/xlink"><gml:featureMember xlink:href="{address}/a"/>&e;'
        "</gml:FeatureCollection>"
    ),
}


def disguised(stage: Stage, name: str) -> str:
    return DISGUISED[name].format(canary=stage.canary, address=stage.listener.address)


def test_the_canary_and_the_listener_can_be_reached_without_the_child(stage):
    # Else the tests below could not fail.
    path = stage.file("plots.geojson", disguised(stage, "B01 table of another file"))
    assert CANARY in pyogrio.read_dataframe(path).to_csv()
    linked = collection(square(), crs={"type": "link", "properties": {"href": f"{stage.listener.address}/crs"}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyogrio.read_info(stage.file("linked.geojson", linked))
    assert stage.listener.hits > 0


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        *((name, "geojson") for name in DISGUISED),
        *(("B01 table of another file", ending) for ending in ("kml", "csv", "shp", "gpkg", "xlsx")),
    ],
)
def test_a_file_that_is_something_else_is_refused(name, ending, stage):
    stage.refused(stage.file(f"plots.{ending}", disguised(stage, name)), "is named as", "holds")


@pytest.mark.parametrize("name", DISGUISED)
def test_so_is_one_inside_an_archive(name, stage):
    content = disguised(stage, name).encode()
    stage.refused(zipped(stage.staging, "plots.kmz", {"doc.kml": content}))
    parts = shapefile_parts(stage.staging) | {"p.shp": content}
    stage.refused(zipped(stage.staging, "plots.zip", parts))


def test_an_ending_that_is_not_known_is_refused(stage):
    for ending in ("gml", "vrt", "tif", "xml", "fgb", ""):
        stage.refused(stage.file(f"plots.{ending}".rstrip("."), collection(square())), "not known")


def test_a_crs_that_lies_elsewhere_is_refused_and_not_fetched(stage):  # B06
    linked = {"type": "link", "properties": {"href": f"{stage.listener.address}/crs", "type": "proj4"}}
    stage.refused(stage.file("plots.geojson", collection(square(), crs=linked)), "`crs` member", code="crs")


@pytest.mark.parametrize(
    "text",
    [
        "PG:host=127.0.0.1",
        "WFS:{address}",
        "OAPIF:{address}",
        "CSV:{canary}",
        "/vsicurl/{address}/a.geojson",
        "{address}/a.geojson",
        "zip+{address}/a.zip",
        "s3://bucket/a.geojson",
        "vrt:///{canary}",
        "MEM:::DATAPOINTER=1",
        "<OGRVRTDataSource></OGRVRTDataSource>",
        '{{"type": "FeatureCollection", "features": []}}',
        "a\0b.geojson",
    ],
)
def test_a_path_is_a_file_on_this_disk_and_nothing_else(text, stage):  # B07
    stage.refused(text.format(address=stage.listener.address, canary=stage.canary))


def test_links_in_kml_are_not_followed(stage):  # B08
    kml = f"""<kml xmlns="http://www.opengis.net/kml/2.2"><Document>
    <NetworkLink><Link><href>{stage.listener.address}/more.kml</href></Link></NetworkLink>
    <Placemark><name>P1</name><styleUrl>{stage.listener.address}/style.kml#s</styleUrl><Polygon><outerBoundaryIs>
    <LinearRing><coordinates>-87.2,14.1 -87.199,14.1 -87.199,14.101 -87.2,14.1</coordinates></LinearRing>
    </outerBoundaryIs></Polygon></Placemark></Document></kml>"""
    plots, _ = stage.attack(stage.file("plots.kml", kml))
    assert plots.index.tolist() == ["P1"]


@pytest.mark.parametrize(
    ("declared", "fits"),
    [
        ("application/geo+json", True),
        ("application/json; charset=utf-8", True),
        (".geojson", True),
        ("application/octet-stream", True),
        ("text/csv", False),
        (".kml", False),
        ("image/png", False),
        ("x" * 500, False),
    ],
)
@pytest.mark.parametrize("uploads", [True, False])
def test_the_type_that_is_declared_must_fit_too(declared, fits, uploads, stage):
    path = stage.file("plots.geojson", collection(square(plot_id="1")))
    if uploads and not fits:
        stage.refused(path, "was sent as", declared=declared)
    elif fits:
        assert len(take_in(path, uploads=uploads, declared=declared)[0]) == 1
    else:
        with pytest.raises(FileError, match="was sent as"):
            take_in(path, declared=declared)


# ---- 3b: archives and spreadsheets ----


def test_an_archive_that_grows_two_hundredfold_is_refused(stage):  # B11
    parts = shapefile_parts(stage.staging) | {"p.dbf": bytes(60_000_000)}
    stage.refused(zipped(stage.staging, "plots.zip", parts), "for each byte packed", code="file_too_large")


def test_an_archive_over_500_megabytes_is_refused(stage, monkeypatch):  # B11
    monkeypatch.setattr(intake, "UPLOAD_CAPS", dataclasses.replace(UPLOAD_CAPS, unpacked_bytes=10_000))
    parts = shapefile_parts(stage.staging) | {"p.txt": np.random.default_rng(1).bytes(20_000)}
    stage.refused(zipped(stage.staging, "plots.zip", parts), "unpacked", code="file_too_large")


def entries_of(data: bytes) -> tuple[int, int, int]:
    """Count, size and place of an archive's directory."""
    return struct.unpack_from("<H", data, data.rindex(b"PK\5\6") + 10) + struct.unpack_from(
        "<II", data, data.rindex(b"PK\5\6") + 12
    )


def test_members_that_share_their_bytes_are_refused(stage):  # B12
    path = zipped(stage.staging, "plots.zip", shapefile_parts(stage.staging) | {"m1.prj": bytes(1_000)})
    data = path.read_bytes()
    count, size, place = entries_of(data)
    directory = data[place : place + size]
    last = directory[directory.rindex(b"PK\1\2") :]
    copies = b"".join(last.replace(b"m1.prj", f"m{n}.prj".encode()) for n in range(2, 10))
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count + 8, count + 8, size + len(copies), place, 0)
    path.write_bytes(data[:place] + directory + copies + end)
    assert len(zipfile.ZipFile(path).namelist()) == count + 8  # Python itself opens it
    stage.refused(path, "share their bytes", code="archive")


@pytest.mark.parametrize("said", [10, 2**31])
def test_a_size_that_is_a_lie_is_refused(said, stage):  # B13
    path = zipped(stage.staging, "plots.zip", shapefile_parts(stage.staging))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, said)
    path.write_bytes(data)
    stage.refused(path, code="archive" if said == 10 else "file_too_large")


NAMES = {
    "up": {"../../x.prj": b"x"},
    "absolute": {"/abs.prj": b"x"},
    "backslashes": {"a\\..\\..\\b.prj": b"x"},
    "disk": {"C:/x.prj": b"x"},
    "long": {"n" * 300 + ".prj": b"x"},
    "case": {"P.SHP": b"x"},
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_or_collide_are_refused(name, stage):  # B14
    parts = shapefile_parts(stage.staging) | NAMES[name]
    stage.refused(zipped(stage.staging, "plots.zip", parts), "name" if name != "case" else "twice", code="archive")


def test_a_name_twice_a_nul_in_a_name_and_a_link_are_refused(stage):  # B14
    parts = shapefile_parts(stage.staging)
    double = zipped(stage.staging, "double.zip", parts)
    with warnings.catch_warnings(), zipfile.ZipFile(double, "a") as archive:
        warnings.simplefilter("ignore", UserWarning)
        archive.writestr("p.shp", b"x")
    stage.refused(double, "twice", code="archive")
    nul = zipped(stage.staging, "nul.zip", parts | {"nXl.prj": b"x"})
    nul.write_bytes(nul.read_bytes().replace(b"nXl.prj", b"n\0l.prj"))
    stage.refused(nul, code="archive")
    linked = zipped(stage.staging, "link.zip", parts)
    with zipfile.ZipFile(linked, "a") as archive:
        entry = zipfile.ZipInfo("l.cpg")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, str(stage.canary))
    stage.refused(linked, "link", code="archive")


def test_nested_crowded_locked_and_odd_archives_are_refused(stage):  # B15
    parts = shapefile_parts(stage.staging)
    inner = zipped(stage.staging, "inner.zip", parts).read_bytes()
    (stage.staging / "inner.zip").unlink()
    stage.refused(zipped(stage.staging, "nested.zip", parts | {"more.zip": inner}), "another archive", code="archive")
    crowd = parts | {f"f{n}.txt": b"" for n in range(5_000)}
    stage.refused(zipped(stage.staging, "crowd.zip", crowd), "5,005 files", code="file_too_large")
    locked = zipped(stage.staging, "locked.zip", parts)
    data = bytearray(locked.read_bytes())
    for found in re.finditer(b"PK\1\2", bytes(data)):
        data[found.start() + 8] |= 1
    locked.write_bytes(data)
    stage.refused(locked, "password", code="archive")
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        stage.refused(zipped(stage.staging, "odd.zip", parts, method), "packed in a way", code="archive")


def test_a_directory_that_hides_in_a_comment_changes_nothing(stage):  # B15
    path = zipped(stage.staging, "plots.zip", shapefile_parts(stage.staging))
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\5\6" + bytes(18) + b"x"
    result = stage.attack(path)
    assert isinstance(result, FileError) or len(result[0]) == 3


def test_cut_archives_are_refused(stage):
    data = zipped(stage.staging, "plots.zip", shapefile_parts(stage.staging)).read_bytes()
    for cut in (10, 30, len(data) // 2, len(data) - 5):
        stage.refused(stage.file("plots.zip", data[:cut]))
    for place in (0, 14, 26, 28):  # the first member's own header
        broken = bytearray(data)
        broken[place : place + 2] = b"\xff\xff"
        result = stage.attack(stage.file("plots.zip", bytes(broken)))
        assert isinstance(result, GeomapError) or len(result[0]) == 3


def test_of_a_kmz_only_its_one_document_is_read(stage):  # B16
    kml = saved(stage.staging, "doc.kml").read_bytes()
    stage.refused(zipped(stage.staging, "two.kmz", {"doc.kml": kml, "more.kml": kml}), "2 KML documents")
    with_image = zipped(stage.staging, "image.kmz", {"doc.kml": kml, "files/photo.png": b"\x89PNG" + bytes(50_000)})
    assert len(stage.attack(with_image)[0]) == 3
    bomb = zipped(stage.staging, "bomb.kmz", {"doc.kml": kml, "files/photo.png": bytes(30_000_000)})
    stage.refused(bomb, "for each byte packed", code="file_too_large")


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("pad", [0, 200_000])
def test_xml_with_a_document_type_is_refused(encoding, pad, stage):  # B17
    text = f'<?xml version="1.0" encoding="{encoding}"?>{" " * pad}{LAUGHS}<kml><Document>&c;</Document></kml>'
    stage.refused(stage.file("plots.kml", text.encode(encoding)))
    stage.refused(zipped(stage.staging, "plots.kmz", {"doc.kml": text.encode(encoding)}))
    stage.refused(stage.file("plots.gpx", text.replace("kml>", "gpx>").encode(encoding)))


def rewritten(path: Path, member: str, content: bytes) -> Path:
    """The same workbook with another content of one member."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return zipped(path.parent, path.name, members | {member: content})


SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)


def test_a_workbook_with_entities_is_refused(stage):  # B17
    sheet = LAUGHS + SHEET.format('<row r="1"><c r="A1" t="inlineStr"><is><t>&c;</t></is></c></row>')
    stage.refused(rewritten(saved(stage.staging, "p.xlsx"), "xl/worksheets/sheet1.xml", sheet.encode()), "<!DOCTYPE")


def test_a_workbook_with_one_huge_cell_is_refused_before_it_is_parsed(stage):  # B18
    start = time.monotonic()
    sheet = SHEET.format(f'<row r="1"><c r="A1" t="inlineStr"><is><t>{"A" * 120_000_000}</t></is></c></row>')
    path = rewritten(saved(stage.staging, "p.xlsx"), "xl/worksheets/sheet1.xml", sheet.encode())
    start = time.monotonic()
    stage.refused(path, "MB unpacked", code="file_too_large")
    assert time.monotonic() - start < 5


def test_a_workbook_with_one_far_cell_is_refused_before_it_is_parsed(stage):  # B19
    book = openpyxl.Workbook()
    book.active["XFD1048576"] = "far"
    book.save(stage.staging / "far.xlsx")
    stage.refused(stage.staging / "far.xlsx", "too large a workbook")


def test_a_workbook_may_hold_pictures_and_other_workbooks(stage):
    path = saved(stage.staging, "p.xlsx")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/media/photo.png", np.random.default_rng(1).bytes(10_000))
        archive.writestr("xl/embeddings/other.xlsx", b"PK")
        archive.writestr("xl/embeddings/other.zip", b"PK")
    assert len(stage.attack(path)[0]) == 3


def patched(parts: dict[str, bytes], name: str, place: int, content: bytes) -> dict[str, bytes]:
    data = bytearray(parts[name])
    data[place : place + len(content)] = content
    return parts | {name: bytes(data)}


def test_a_shapefile_whose_counts_are_lies_is_refused_or_loses_its_row(stage):  # B20
    parts = shapefile_parts(stage.staging)
    more = zipped(stage.staging, "records.zip", patched(parts, "p.dbf", 4, struct.pack("<I", 2**31 - 1)))
    stage.refused(more, "records in .dbf")
    cut = zipped(stage.staging, "cut.zip", parts | {"p.shx": parts["p.shx"][:-8]})
    stage.refused(cut, ".shx is shorter")
    for kind in ("p.dbf", "p.shx", "p.shp"):
        missing = {name: content for name, content in parts.items() if name != kind}
        stage.refused(zipped(stage.staging, "missing.zip", missing))
    stage.refused(
        zipped(stage.staging, "crs.zip", {name: parts[name] for name in parts if name != "p.prj"}), ".prj", code="crs"
    )
    rings = zipped(stage.staging, "rings.zip", patched(parts, "p.shp", 100 + 8 + 36, struct.pack("<I", 0x0FFFFFFF)))
    result = stage.attack(rings)
    if not isinstance(result, GeomapError):
        assert "empty" in set(prepare_plots(result[0], None).findings["code"])


def test_a_geopackage_is_read_by_its_tables_alone(stage):  # B51
    path = saved(stage.staging, "plots.gpkg")
    hang = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS fid, NULL AS geom FROM n"
    with sqlite3.connect(path) as store:
        store.execute(f"CREATE VIEW endless AS {hang}")
        store.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)"
            " VALUES ('endless', 'features', 'endless', 4326)"
        )
        store.execute("INSERT INTO gpkg_geometry_columns VALUES ('endless', 'geom', 'POLYGON', 4326, 0, 0)")
    store.close()
    result = stage.attack(path)
    assert isinstance(result, GeomapError) or result[0].index.tolist() == ["00000", "00001", "00002"]


def test_a_geopackage_with_a_journal_is_read_without_a_trace(stage):
    path = saved(stage.staging, "plots.gpkg")
    store = sqlite3.connect(path)
    store.execute("PRAGMA journal_mode=WAL")
    store.close()
    assert path.read_bytes()[18:20] == b"\2\2"
    assert len(stage.attack(path)[0]) == 3


# ---- 3c: geometry and JSON ----

RING = "[[0, 0], [0.001, 0], [0.001, 0.001], [0, 0.001], [0, 0]]"
WEST, SOUTH = -87.5, 14.5
BLOCKED = {  # corners of one plot, counted from WEST and SOUTH, whose row becomes a blocking finding
    "B22 infinity": ([[[0, 0], [np.inf, 0], [0.001, 0.001], [0, 0]]], {"out_of_range"}),
    "B23 far away": ([[[0, 0], [1e308, 0], [0, 1e308], [0, 0]]], {"out_of_range"}),
    "B28 bow-tie": ([[[0, 0], [0.001, 0.001], [0.001, 0], [0, 0.001], [0, 0]]], {"invalid"}),
    "B29 hole outside": (
        [
            [[0, 0], [0.001, 0], [0.001, 0.001], [0, 0.001], [0, 0]],
            [[0.01, 0.01], [0.02, 0.01], [0.02, 0.02], [0.01, 0.02], [0.01, 0.01]],
        ],
        {"invalid", "hole_outside"},
    ),
    "B31 two points": ([[[0, 0], [0.001, 0], [0, 0]]], {"no_area", "invalid", "empty", "too_few_points"}),
    "B31 no area": ([[[0, 0], [0.001, 0], [0.002, 0], [0, 0]]], {"no_area", "invalid"}),
    "B31 sliver": ([[[0, 0], [1e-12, 0], [1e-12, 1e-12], [0, 0]]], {"no_area", "invalid"}),
    "B32 the world": (
        [[[-92.5, -104.5], [267.5, -104.5], [267.5, 75.5], [-92.5, 75.5], [-92.5, -104.5]]],
        {"too_large"},
    ),
    "B32 dateline": ([[[267.49, 0], [-92.49, 0], [-92.49, 0.01], [267.49, 0.01], [267.49, 0]]], {"too_large"}),
}


@pytest.mark.parametrize("name", BLOCKED)
def test_a_bad_plot_is_a_finding_and_the_good_one_stays(name, stage):
    rings, codes = BLOCKED[name]
    bad = {"type": "Polygon", "coordinates": [[[x + WEST, y + SOUTH] for x, y in ring] for ring in rings]}
    row = {"type": "Feature", "properties": {"plot_id": "bad"}, "geometry": bad}
    text = collection(row, square(plot_id="good")).replace("Infinity", "1e999")
    found = stage.blocked(stage.file("plots.geojson", text))
    assert found & codes, found
    assert found <= CODES.keys()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (shaped("[[[NaN, 0], [1, 0], [1, 1], [0, 0]]]"), "NaN"),  # B21
        (shaped("[[[Infinity, 0], [1, 0], [1, 1], [0, 0]]]"), "Infinity"),
        ("[" * 200_000, "nested too deeply"),  # B25
        (shaped(f"[{RING}]", properties='{"a":' * 100_000 + "1" + "}" * 100_000), "nested too deeply"),  # B25
        (shaped(f"[{RING}]", properties='{"x": 1, "x": 2}'), "twice"),  # B33
        (shaped(f"[{'9' * 5_000}]"), "too long"),
        (collection(square())[:-3], "no complete JSON"),
        (collection(square(**{f"c{n}": n for n in range(5_000)})), "5,000 different properties"),  # B33
        ('{"type": "FeatureCollection", "features": {}}', "not a GeoJSON"),
    ],
)
def test_json_that_programs_read_differently_is_refused(text, words, stage):
    stage.refused(stage.file("plots.geojson", text), words)


def nested_wkb(levels: int) -> bytes:
    return (b"\1" + struct.pack("<II", 7, 1)) * levels + shapely.to_wkb(shapely.Point(1, 2))


def test_depth_is_told_without_building_the_shape():  # B26
    point, square_ = shapely.Point(1, 2), box(0, 0, 1, 1)
    shapes = [
        point,
        square_,
        shapely.MultiPolygon([square_]),
        shapely.GeometryCollection([shapely.MultiPoint([point])]),
    ]
    assert [wkb_depth(shapely.to_wkb(shape)) for shape in shapes] == [1, 1, 2, 3]
    for options in ({"byte_order": 0}, {"flavor": "iso"}, {"output_dimension": 3}, {"include_srid": True}):
        solid = shapely.set_srid(shapely.force_3d(shapes[2], z=5.0), 4326)
        assert wkb_depth(shapely.to_wkb(solid, **options)) == 2
    assert wkb_depth(nested_wkb(1_000_000)) == 5
    whole = shapely.to_wkb(shapes[3])
    for cut in range(1, len(whole)):
        with pytest.raises(ValueError, match="ends early"):
            wkb_depth(whole[:cut])


@pytest.mark.parametrize("levels", [5, 20_000])
def test_shapes_nested_deeply_are_refused_and_harm_nobody(levels, stage):  # B26
    path = saved(stage.staging, "plots.parquet")
    table = pyarrow.parquet.read_table(path)
    nested = pyarrow.array([nested_wkb(levels)] * len(table), type=pyarrow.binary())
    table = table.set_column(table.schema.get_field_index("geometry"), "geometry", nested)
    pyarrow.parquet.write_table(table.replace_schema_metadata(pyarrow.parquet.read_schema(path).metadata), path)
    stage.refused(path, "could not be read as GeoParquet")
    packed = saved(stage.staging, "plots.gpkg")
    with sqlite3.connect(packed) as store:
        for (trigger,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            store.execute(f'DROP TRIGGER "{trigger}"')
        store.execute("UPDATE plots SET geom = ?", (b"GP\0\1" + struct.pack("<i", 4326) + nested_wkb(levels),))
    store.close()
    result = stage.attack(packed)
    if not isinstance(result, GeomapError):
        assert prepare_plots(result[0], None).plots.empty


@pytest.mark.parametrize("corners", [500, 1_000, 2_000])
def test_an_outline_that_crosses_itself_a_thousand_times_does_not_hold_anybody(corners, stage):  # B27
    points = np.random.default_rng(3).random((corners, 2)).round(6) * 0.01
    ring = json.dumps([[*points.tolist(), points[0].tolist()]])
    start = time.monotonic()
    assert stage.blocked(stage.file("plots.geojson", shaped(ring))) == {"invalid"}
    assert time.monotonic() - start < 10


def test_an_outline_of_too_many_corners_is_a_finding(stage):  # B30
    turn = np.linspace(0, 2 * np.pi, 12_001)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1).round(9) * 0.001
    ring[-1] = ring[0]
    assert stage.blocked(stage.file("plots.geojson", shaped(json.dumps([ring.tolist()])))) == {"too_many_vertices"}


def test_counts_beyond_the_caps_are_refused(stage, monkeypatch):  # B30, B33
    path = stage.file(
        "plots.geojson", collection(*(square(-87 + n / 100, plot_id=str(n), a=1, b=2) for n in range(20)))
    )
    for name, most, words in [
        ("plots", 19, "20 rows"),
        ("vertices", 99, "100 corners"),
        ("columns", 1, "2 further columns"),
        ("file_bytes", 100, "MB"),
    ]:
        monkeypatch.setattr(intake, "UPLOAD_CAPS", dataclasses.replace(UPLOAD_CAPS, **{name: most}))
        stage.refused(path, words, code="file_too_large")
        exact = {"plots": 20, "vertices": 100, "columns": 2, "file_bytes": path.stat().st_size}[name]
        monkeypatch.setattr(intake, "UPLOAD_CAPS", dataclasses.replace(UPLOAD_CAPS, **{name: exact}))
        assert len(stage.attack(path)[0]) == 20
        assert len(take_in(path)[0]) == 20  # own files have no caps


def test_a_geopackage_beyond_the_caps_is_refused(stage, monkeypatch):
    monkeypatch.setattr(intake, "UPLOAD_CAPS", dataclasses.replace(UPLOAD_CAPS, plots=2))
    for kind in ("gpkg", "parquet"):
        stage.refused(saved(stage.staging, f"plots.{kind}"), "3 rows", code="file_too_large")


def test_a_text_of_a_million_letters_is_refused(stage):  # B33
    path = stage.file("plots.geojson", collection(square(plot_id="1", note="x" * 1_000_000)))
    stage.refused(path, "1,000,000 letters", code="file_too_large")
    outline = "POLYGON ((" + ", ".join(f"{n / 1e6} {n % 7 / 1e6}" for n in range(500)) + ", 0 0))"
    assert len(stage.attack(stage.file("long.csv", f'plot_id,wkt\n1,"{outline}"\n'))[0]) == 1  # an outline is no text


def test_kinds_of_shapes_that_are_no_plot_lose_their_row_and_no_other(stage):  # B31
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    curve = {"type": "CircularString", "coordinates": [[0, 0], [1, 1], [2, 0]]}
    rows = [
        {"type": "Feature", "properties": {"plot_id": str(n)}, "geometry": shape}
        for n, shape in enumerate([line, curve])
    ]
    high = json.loads(shaped("[[[0, 0, 900], [0.001, 0, 900], [0.001, 0.001, 900], [0, 0, 900]]]"))["features"][0]
    plots, findings = stage.attack(stage.file("plots.geojson", collection(*rows, high)))
    assert plots.index.tolist() == ["0", "1", "P1"]
    assert findings["plot_id"].tolist() == ["0", "1"]
    assert not plots.geometry.iloc[2].has_z


def test_ground_claimed_twice_counts_once(stage):  # B34
    twice = collection(square(plot_id="1", member_id="a"), square(plot_id="2", member_id="b", size=0.000995))
    plots, _ = stage.attack(stage.file("plots.geojson", twice))
    prepared = prepare_plots(plots, None)
    assert prepared.plots["counted_area_ha"].sum() == pytest.approx(prepared.plots["area_ha"].max(), rel=1e-6)


def test_names_are_kept_as_text(stage):  # B35
    names = [
        "\u202eeva",
        "zero\u200bwidth",
        "Jose\u0301",
        "José",
        "🌱",
        "a\u0000b\u0007c",
        "=1+1",
        "{{7*191}}",
        "\ud800x",
    ]
    rows = [square(-87 + n / 100, plot_id=str(n), member=name) for n, name in enumerate(names)]
    plots, _ = stage.attack(stage.file("plots.geojson", collection(*rows)))
    found = plots["member_id"].tolist() if "member" not in plots else plots["member"].tolist()
    assert found[2] == found[3] == "José"
    assert found[4:8] == ["🌱", "abc", "=1+1", "{{7*191}}"]
    assert not any(re.search("[\x00-\x1f\ud800-\udfff]", name) for name in found)
    latin = stage.file("latin.csv", "plot_id,name,lat,lon\n1,Jos\xe9,14,-87\n".encode("cp1252"))
    plots, findings = stage.attack(latin)
    assert findings["code"].tolist() == ["encoding"]


# ---- the child's end ----


@pytest.mark.parametrize("kind", ["geojson", "csv", "gpkg", "zip", "parquet", "kml", "kmz", "xlsx"])
def test_a_file_cut_anywhere_is_refused_or_read_in_part_and_said(kind, stage):
    data = saved(stage.staging, f"plots.{kind}").read_bytes()
    for share in (0.5, 0.98):
        stage.attack(stage.file(f"plots.{kind}", data[: max(int(len(data) * share), 1)]))


def test_an_upload_that_takes_too_long_is_refused_with_its_code(stage, monkeypatch):
    monkeypatch.setattr(intake, "UPLOAD_LIMITS", dataclasses.replace(LIMITS, wall_s=0.05))
    stage.refused(saved(stage.staging, "plots.gpkg"), "made its reader fail", "longer than", code="reader_failed")


def test_an_upload_that_needs_too_much_memory_is_refused_with_its_code(stage, monkeypatch):
    monkeypatch.setattr(intake, "UPLOAD_LIMITS", dataclasses.replace(LIMITS, memory_bytes=2**29))
    rows = ",".join(json.dumps(square(plot_id=str(n))) for n in range(100_000))
    path = stage.file("plots.geojson", f'{{"type": "FeatureCollection", "features": [{rows}]}}')
    stage.refused(path, "memory", code="reader_failed")


def test_shapes_that_a_child_must_not_answer_with_are_refused(tmp_path):
    for shape in (nested_wkb(20_000), b"\1\7", b"x"):
        table = pd.DataFrame({"geometry": pd.Series([shape], dtype=object)})
        with pytest.raises(FileError) as caught:
            intake._plots(table, tmp_path / "plots.kml")
        assert caught.value.code == "reader_failed"


def test_too_large_and_archive_errors_are_file_errors():
    assert issubclass(FileTooLargeError, FileError)
    assert issubclass(ArchiveError, FileError)
