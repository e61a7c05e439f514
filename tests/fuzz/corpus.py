"""Small good files of every kind, made here: what the fuzzer starts from, and how it bends them."""

import io
import json
import random
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon, box

WORDS: Final = [
    *(
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b'"',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b";",
        b":",
        b"\n",
        b"\r\n",
        b"\t",
        b"\0",
    ),
    *(b"0", b"-1", b"1e999", b"-1e-999", b"NaN", b"Infinity", b"9" * 400, b"2147483648", b"0x10", b"1,234", b"1.234,5"),
    *(b"Polygon", b"MultiPolygon", b"GeometryCollection", b"Point", b"coordinates", b"geometry", b"features", b"crs"),
    *(b"POLYGON ((0 0, 1 0, 1 1, 0 0))", b"POLYGON EMPTY", b"SRID=4326;", b"GEOMETRYCOLLECTION (", b"POINT Z (1 2 3)"),
    *(b"14.1 -87.2 900 4;", b"[[-87.2, 14.1]]", b"lat", b"lon", b"plot_id", b"sep=;", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"<!DOCTYPE x>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"&lt;", b"&#0;", b"<kml>", b"<Placemark>", b"<trkpt>"),
    *("ñ\u202e\u200b".encode(), b"\xc3", b"\xed\xa0\x80", b"=1+1", b"2 manzanas", b"1-50-25", b"0,5", b"12/13/2015"),
]
TARGETS: Final = ("geojson", "csv", "gpx", "kml", "kmz", "shp", "gpkg", "parquet", "xlsx", "odkzip")
IN_ARCHIVES: Final = ("kmz", "shp", "xlsx", "odkzip")
ENDINGS: Final = {name: name for name in TARGETS} | {"shp": "zip", "odkzip": "zip"}


@cache
def seeds(target: str) -> list[bytes]:
    """Good files of one kind, always the same in one process."""
    return MAKERS[target]()


def mutant(files: list[bytes], target: str, seed: int) -> bytes:
    """One of the files, bent in one to eight places by the seed; members of archives are bent inside them."""
    chance = random.Random(f"{target} {seed}")
    data = chance.choice(files)
    if target in IN_ARCHIVES and chance.random() < 0.8:
        members = _members(data)
        name = chance.choice(sorted(members))
        members[name] = _bent(members[name], files, chance)
        return _packed(members)
    return _bent(data, files, chance)


def _bent(data: bytes, files: list[bytes], chance: random.Random) -> bytes:
    bent = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(_WAYS)(bent, files, chance)
    return bytes(bent)


def _place(bent: bytearray, chance: random.Random) -> int:
    return chance.randrange(len(bent) + 1)


def _flip(bent: bytearray, _: list[bytes], chance: random.Random) -> None:
    if bent:
        bent[chance.randrange(len(bent))] ^= 1 << chance.randrange(8)


def _set(bent: bytearray, _: list[bytes], chance: random.Random) -> None:
    if bent:
        bent[chance.randrange(len(bent))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def _number(bent: bytearray, _: list[bytes], chance: random.Random) -> None:
    value = chance.choice((0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, chance.randrange(2**32)))
    place = _place(bent, chance)
    bent[place : place + 4] = value.to_bytes(4, chance.choice(("little", "big")))


def _word(bent: bytearray, _: list[bytes], chance: random.Random) -> None:
    place = _place(bent, chance)
    bent[place : place + chance.choice((0, 0, 1, 4))] = chance.choice(WORDS)


def _cut(bent: bytearray, _: list[bytes], chance: random.Random) -> None:
    start = _place(bent, chance)
    del bent[start : start + chance.choice((1, 4, 64, len(bent)))]


def _repeat(bent: bytearray, _: list[bytes], chance: random.Random) -> None:
    start = _place(bent, chance)
    piece = bytes(bent[start : start + chance.choice((1, 8, 64, 512))])
    bent[start:start] = piece * chance.choice((1, 2, 16))


def _swap(bent: bytearray, _: list[bytes], chance: random.Random) -> None:
    size, first, second = chance.choice((1, 8, 64)), _place(bent, chance), _place(bent, chance)
    bent[first : first + size], bent[second : second + size] = bent[second : second + size], bent[first : first + size]


def _splice(bent: bytearray, files: list[bytes], chance: random.Random) -> None:
    other = chance.choice(files)
    start = chance.randrange(len(other) + 1)
    bent[_place(bent, chance) :] = other[start:]


_WAYS: Final[list[Callable[[bytearray, list[bytes], random.Random], None]]] = [
    *(_flip, _flip, _set, _set, _number, _word, _word, _word, _cut, _repeat, _swap, _splice)
]


# ---- good files ----


def _plots() -> gpd.GeoDataFrame:
    hole = box(-87.1998, 14.1002, -87.1995, 14.1005).exterior.coords
    shapes = [
        Polygon(box(-87.2, 14.1, -87.199, 14.101).exterior.coords, [hole]),
        MultiPolygon([box(-87.19, 14.1, -87.189, 14.101), box(-87.188, 14.1, -87.187, 14.101)]),
        box(-87.18, 14.1, -87.179, 14.101),
    ]
    table = {
        "plot_id": ["00123", "ñ-2", "3"],
        "member_id": ["M1", "M1", "M2"],
        "ha": [0.5, 1.25, None],
        "year": [2015] * 3,
    }
    return gpd.GeoDataFrame(table, geometry=shapes, crs="EPSG:4326")


def _geojson() -> list[bytes]:
    plots = _plots()
    mixed = gpd.GeoDataFrame({"id": ["a", "b"]}, geometry=[Point(-87.2, 14.1), None], crs="EPSG:4326")
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    documents = [json.loads(plots.to_json()), json.loads(mixed.to_json()) | {"crs": crs}]
    documents.append(documents[0]["features"][0])
    return [json.dumps(document).encode() for document in documents]


def _csv() -> list[bytes]:
    plots = _plots()
    table = pd.DataFrame(plots.drop(columns="geometry"))
    geojson = [shapely.to_geojson(shape) for shape in plots.geometry]
    trace = "14.1 -87.2 900 4;14.1 -87.199 901 5;14.101 -87.199 902 3;14.1 -87.2 900 4"
    return [
        table.assign(wkt=plots.to_wkt()["geometry"]).to_csv(index=False).encode(),
        table.assign(outline=geojson).to_csv(index=False, sep=";").encode("utf-16"),
        table.assign(geoshape=[trace, "14 -87", ""]).to_csv(index=False, sep="\t").encode("cp1252"),
        "sep=;\nparcela;latitud;longitud;área (ha);nota\n001;14,1;-87,2;0,5;\n002;14.2;-87.3;2 manzanas;x\n".encode(),
        b"remote_id,farmer_name,latitude,longitude,polygon\n"
        b'1,Ana,14.1,-87.2,"[[-87.2, 14.1], [-87.1, 14.1], [-87.1, 14.2]]"\n',
    ]


def _gpx() -> list[bytes]:
    points = "".join(
        f'<trkpt lat="{14.1 + y}" lon="{-87.2 + x}"><ele>900</ele></trkpt>'
        for x, y in ((0, 0), (0.001, 0), (0.001, 0.001))
    )
    return [
        f'<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1">'
        f'<wpt lat="14.1" lon="-87.2"><name>W1</name></wpt>'
        f"<trk><name>T1</name><desc>x</desc><trkseg>{points}</trkseg></trk><rte><name>R</name></rte></gpx>".encode()
    ]


def _saved(name: str, **options: object) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        _plots().to_file(path, **options)
        return path.read_bytes()


def _kml() -> list[bytes]:
    document = _saved("p.kml", driver="KML")
    folders = (
        b'<?xml version="1.0"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder><name>A</name>'
        b"<Placemark><name>P1</name><description><![CDATA[<b>x</b>]]></description><ExtendedData>"
        b"<Data name='ha'><value>0,5</value>"
        b"</Data></ExtendedData><MultiGeometry><Polygon><outerBoundaryIs><LinearRing><coordinates>-87.2,14.1,0 "
        b"-87.199,14.1,0 -87.199,14.101,0 -87.2,14.1,0</coordinates></LinearRing></outerBoundaryIs></Polygon>"
        b"</MultiGeometry></Placemark></Folder></Document></kml>"
    )
    return [document, folders]


def _kmz() -> list[bytes]:
    return [_packed({"doc.kml": document, "files/a.png": b"\x89PNG"}) for document in _kml()]


def _shp() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        _plots().to_file(Path(folder) / "p.shp", encoding="UTF-8")
        parts = {part.name: part.read_bytes() for part in Path(folder).iterdir()}
        _plots().to_crs("EPSG:32616").to_file(Path(folder) / "p.shp", encoding="cp1252")
        metres = {part.name: part.read_bytes() for part in Path(folder).iterdir()}
    return [_packed(parts), _packed(metres)]


def _gpkg() -> list[bytes]:
    return [_saved("p.gpkg", driver="GPKG")]


def _parquet() -> list[bytes]:
    plain, packed, table = io.BytesIO(), io.BytesIO(), io.BytesIO()
    _plots().to_parquet(plain)
    _plots().to_crs("EPSG:32616").to_parquet(packed, compression="zstd", write_covering_bbox=True)
    pd.DataFrame({"id": ["1"], "lat": [14.1], "lon": [-87.2]}).to_parquet(table)
    return [plain.getvalue(), packed.getvalue(), table.getvalue()]


def _xlsx() -> list[bytes]:
    plots = _plots()
    table = pd.DataFrame(plots.drop(columns="geometry")).assign(wkt=plots.to_wkt()["geometry"])
    stream = io.BytesIO()
    with pd.ExcelWriter(stream, engine="openpyxl") as writer:
        pd.DataFrame({"note": ["x"]}).to_excel(writer, sheet_name="Notes", index=False)
        table.assign(date=np.datetime64("2026-01-31")).to_excel(writer, sheet_name="Plots", index=False, startrow=2)
    return [stream.getvalue()]


def _odkzip() -> list[bytes]:
    trace = "14.1 -87.2 900 4;14.1 -87.199 901 5;14.101 -87.199 902 3;14.1 -87.2 900 4"
    form = b"SubmissionDate,g-codigo_socio,g-nombre,KEY\n2026-01-01,M1,Ana,uuid:a\n2026-01-02,M2,Luis,uuid:b\n"
    plots = f'g-area_ha,g-poligono,PARENT_KEY,KEY\n"0,5",{trace},uuid:a,uuid:a/p[1]\n1,,uuid:a,uuid:a/p[2]\n'.encode()
    return [_packed({"f.csv": form, "f-p.csv": plots, "media/a.jpg": b"\xff\xd8"}), _packed({"plots.csv": _csv()[3]})]


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _packed(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return stream.getvalue()


MAKERS: Final[dict[str, Callable[[], list[bytes]]]] = {
    "geojson": _geojson, "csv": _csv, "gpx": _gpx, "kml": _kml, "kmz": _kmz, "shp": _shp, "gpkg": _gpkg,
    "parquet": _parquet, "xlsx": _xlsx, "odkzip": _odkzip,
}  # fmt: skip
