"""Every format gives the same plots; what cannot be read says so in three parts, with the file's name alone."""

import json
import sqlite3
import struct
import unicodedata
import zipfile
from pathlib import Path

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box

from geomap.errors import ColumnError, CrsError, FileError, GeomapError
from geomap.plots.formats import read_members, read_plots

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "plots"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder of real plots (../shared/data) is not here")

FORMATS = ["geojson", "gpkg", "shp", "zip", "parquet", "kml", "kmz", "csv", "tsv", "xlsx"]


def made_plots() -> gpd.GeoDataFrame:
    """30 plots of about 1 ha near 14 N 87 W; the fourth has two parts, the fifth a hole."""
    corners = [(-87.2 + 0.002 * (n % 6), 14.1 + 0.002 * (n // 6)) for n in range(30)]
    shapes = [box(x, y, x + 0.001, y + 0.001) for x, y in corners]
    x, y = corners[3]
    shapes[3] = MultiPolygon([box(x, y, x + 0.0004, y + 0.001), box(x + 0.0006, y, x + 0.001, y + 0.001)])
    x, y = corners[4]
    hole = box(x + 0.0003, y + 0.0003, x + 0.0006, y + 0.0006).exterior.coords
    shapes[4] = Polygon(shapes[4].exterior.coords, [hole])
    names = ["José Ñandú", "Mwàjuma", "Ngọc Ánh", 'O\'Neill; "Bo", Jr', "王小明"]
    table = {
        "plot_id": [f"{n:05d}" for n in range(123, 153)],
        "member_id": [f"M{n // 2:03d}" for n in range(30)],
        "community": ["San José" if n % 2 else "Åsgård" for n in range(30)],
        "crop": ["coffee"] * 30,
        "declared_a": [0.5 + n / 8 for n in range(30)],
        "farmer": [names[n % 5] for n in range(30)],
    }
    order = np.random.default_rng(7).permutation(30)
    return gpd.GeoDataFrame(table, geometry=shapes, crs="EPSG:4326").iloc[order].reset_index(drop=True)


def write(plots: gpd.GeoDataFrame, path: Path) -> Path:
    """Write plots to `path` by its ending."""
    kind = path.suffix[1:]
    if kind in {"csv", "tsv", "xlsx"}:
        table = pd.DataFrame(plots.drop(columns="geometry")).assign(wkt=plots.to_wkt()["geometry"])
        if kind == "xlsx":
            table.to_excel(path, index=False, engine="openpyxl")
        else:
            table.to_csv(path, index=False, sep="," if kind == "csv" else "\t", encoding="utf-8")
    elif kind == "parquet":
        plots.to_parquet(path)
    elif kind == "zip":
        write(plots, path.with_suffix(".shp"))
        zip_parts(path.with_suffix(".shp"), path)
    elif kind == "kmz":
        write(plots, path.with_suffix(".kml"))
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(path.with_suffix(".kml"), "doc.kml")
    else:
        driver = {"geojson": "GeoJSON", "gpkg": "GPKG", "shp": "ESRI Shapefile", "kml": "KML"}[kind]
        options = {"COORDINATE_PRECISION": "15"} if kind == "geojson" else {}
        plots.to_file(path, driver=driver, **options)
    return path


def zip_parts(shapefile: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as target:
        for part in sorted(shapefile.parent.glob(f"{shapefile.stem}.*")):
            if part.suffix in {".shp", ".shx", ".dbf", ".prj", ".cpg"}:
                target.write(part, f"plots/{part.name}")
    return archive


def square(west: float = -87.2, south: float = 14.1, **properties: object) -> dict[str, object]:
    ring = [[west, south], [west + 0.001, south], [west + 0.001, south + 0.001], [west, south + 0.001], [west, south]]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def geojson(folder: Path, *features: object, name: str = "plots.geojson", **members: object) -> Path:
    path = folder / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **members}), encoding="utf-8")
    return path


def text_file(folder: Path, text: str, name: str = "plots.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def refused(kind: type[GeomapError], path: Path, *words: str, **options: dict[str, str]) -> None:
    """The reader raises `kind` with three parts and all words, and no folder of the file."""
    with pytest.raises(kind) as caught:
        read_plots(path, **options)
    error = caught.value
    assert error.found and error.why and error.todo
    assert str(path.parent) not in str(error)
    assert path.name in str(error) or "mapping" in str(error)
    for word in words:
        assert word in str(error)


# One table, whatever the format


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_plots(kind: str, tmp_path: Path) -> None:
    made = made_plots()
    plots, findings = read_plots(write(made, tmp_path / f"plots.{kind}"))
    assert findings.empty
    assert plots.index.tolist() == made["plot_id"].tolist()
    assert plots["given_id"].tolist() == made["plot_id"].tolist()
    assert plots["row"].tolist() == list(range(1, 31))
    assert plots["member_id"].tolist() == made["member_id"].tolist()
    assert plots["community"].tolist() == made["community"].tolist()
    assert plots["farmer"].tolist() == made["farmer"].tolist()
    assert plots["declared_area_ha"].tolist() == made["declared_a"].tolist()
    assert plots.crs == "EPSG:4326"
    for ours, theirs in zip(plots.geometry, made.geometry, strict=True):
        # a GeoPackage's layer of mixed shapes holds one-part MultiPolygons, which may stay
        parts = [shapely.normalize(shapely.multipolygons(shapely.get_parts(shape))) for shape in (ours, theirs)]
        assert shapely.equals_exact(*parts, tolerance=1e-9)


@settings(max_examples=8, deadline=None)
@given(west=st.floats(-90, -84.1), south=st.floats(-55, 55), turn=st.floats(0, 1.5), size=st.floats(2e-4, 2e-3))
def test_the_reference_system_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, west: float, south: float, turn: float, size: float
) -> None:
    folder = tmp_path_factory.mktemp("crs")
    plot = shapely.affinity.rotate(box(west, south, west + size, south + size), turn, use_radians=True)
    plots = gpd.GeoDataFrame({"plot_id": ["1"]}, geometry=[plot], crs="EPSG:4326")
    lonlat, _ = read_plots(write(plots, folder / "a.geojson"))
    utm = "EPSG:32616" if south >= 0 else "EPSG:32716"
    projected, _ = read_plots(write(plots.to_crs(utm), folder / "b.shp"))
    assert shapely.equals_exact(
        shapely.normalize(lonlat.geometry.iloc[0]), shapely.normalize(projected.geometry.iloc[0]), tolerance=1e-7
    )


def test_a_long_edge_stays_where_it_was(tmp_path: Path) -> None:
    # 20 km in UTM zone 16: the straight edge there is no straight edge in longitude and latitude
    plots = gpd.GeoDataFrame(
        {"plot_id": ["1"]}, geometry=[box(700_000, 1_550_000, 720_000, 1_550_400)], crs="EPSG:32616"
    )
    read, _ = read_plots(write(plots, tmp_path / "long.gpkg"))
    back = read.to_crs("EPSG:32616").geometry.iloc[0]
    assert shapely.hausdorff_distance(back, plots.geometry.iloc[0], densify=0.01) < 0.01
    assert shapely.get_num_coordinates(back) > 80  # 2 edges of 20 km / 500 m


def test_heights_are_dropped(tmp_path: Path) -> None:
    plots = gpd.GeoDataFrame(geometry=[shapely.force_3d(box(0, 0, 0.001, 0.001), 900.0)], crs="EPSG:4326")
    for name in ("z.geojson", "z.gpkg", "z.kml", "z.csv"):
        read, _ = read_plots(write(plots, tmp_path / name))
        assert not read.has_z.any()


def test_reading_leaves_the_file_and_its_folder_alone(tmp_path: Path) -> None:
    for kind in FORMATS:
        write(made_plots(), tmp_path / f"plots.{kind}")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    for kind in FORMATS:
        read_plots(tmp_path / f"plots.{kind}")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


# Kind, by content and name together


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("plots.csv", b"PK\x05\x06" + bytes(18), ("CSV", "ZIP archive")),
        ("plots.geojson", b"<OGRVRTDataSource></OGRVRTDataSource>", ("GeoJSON", "XML", "OGRVRTDataSource")),
        ("plots.kml", b"<!-- <kml> --><OGRVRTDataSource/>", ("KML", "OGRVRTDataSource")),
        ("plots.kml", b'<!DOCTYPE x [<!ENTITY a "b">]><kml/>', ("KML", "XML")),
        ("plots.shp", b'{"type": "FeatureCollection"}', ("Shapefile", "GeoJSON")),
        ("plots.geojson", b"SQLite format 3\0" + bytes(100), ("GeoJSON", "GeoPackage")),
        ("plots.gpkg", b"id,lat,lon\n1,2,3\n", ("GeoPackage", "CSV")),
        ("plots.parquet", b"\0\0\x27\x0a" + bytes(96), ("GeoParquet", "Shapefile")),
        ("plots.xlsx", b"\xd0\xcf\x11\xe0" + bytes(600), ("Excel workbook", ".xls")),
        ("plots.csv", b"%PDF-1.7", ("CSV", "PDF")),
        ("plots.csv", b"id\0\1\2", ("CSV", "binary")),
        ("plots.zip", b"PK\x03\x04 cut off", ("zipped Shapefile", "damaged ZIP")),
    ],
)
def test_content_that_contradicts_the_name_is_refused(
    name: str, content: bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(FileError, tmp_path / name, "named as", *words)


def test_an_unknown_ending_a_missing_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    refused(FileError, text_file(tmp_path, "x", "plots.doc"), "not known", ".geojson")
    refused(FileError, tmp_path / "none.csv", "does not exist")
    refused(FileError, text_file(tmp_path, ""), "no rows")
    refused(FileError, text_file(tmp_path, "plot_id,lat,lon\n"), "no rows")
    refused(FileError, geojson(tmp_path), "no rows")
    (tmp_path / "folder.gpkg").mkdir()
    refused(FileError, tmp_path / "folder.gpkg", "is a folder")


@pytest.mark.parametrize("kind", ["gpkg", "shp", "zip", "parquet", "xlsx", "geojson"])
def test_a_file_that_is_cut_off_is_refused(kind: str, tmp_path: Path) -> None:
    path = write(made_plots(), tmp_path / f"plots.{kind}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(FileError, path)


def test_a_kml_that_is_cut_off_is_refused_or_empty(tmp_path: Path) -> None:
    refused(FileError, text_file(tmp_path, "<kml><Document><Placemark>", "plots.kml"))


# GeoJSON


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type": "FeatureCollection", "features": [', "no complete JSON"),
        ('{"type": "FeatureCollection", "type": "Feature"}', "'type' twice"),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"a": NaN}}]}', "NaN"),
        (
            '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"a": -Infinity}}]}',
            "-Infinity",
        ),
        ("[" * 200_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "too long"),
        ("[]", "a JSON list"),
        ('{"type": "Topology", "objects": {}}', "'Topology'"),
        ('{"type": "FeatureCollection", "features": [3]}', "feature 1"),
        ('{"type": "FeatureCollection", "features": [{"properties": []}]}', "feature 1"),
    ],
)
def test_json_that_is_not_strict_geojson_is_refused(text: str, words: str, tmp_path: Path) -> None:
    refused(FileError, text_file(tmp_path, text, "plots.geojson"), words)


def test_geojson_in_another_encoding_is_refused(tmp_path: Path) -> None:
    text = '{"type": "FeatureCollection", "features": [], "name": "é"}'
    refused(FileError, text_file(tmp_path, text, "plots.geojson", "latin-1"), "UTF-8")


def test_too_many_properties_are_refused(tmp_path: Path) -> None:
    refused(FileError, geojson(tmp_path, square(**{f"p{n}": 1 for n in range(1001)})), "1,001")


@pytest.mark.parametrize(
    "crs", ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326", "urn:ogc:def:crs:EPSG::4326", "OGC:CRS84", None]
)
def test_a_crs_member_may_repeat_wgs84(crs: str | None, tmp_path: Path) -> None:
    member = {"type": "name", "properties": {"name": crs}} if crs else None
    assert len(read_plots(geojson(tmp_path, square(), crs=member))[0]) == 1


@pytest.mark.parametrize(
    ("crs", "word"),
    [
        ({"type": "name", "properties": {"name": "EPSG:32616"}}, "EPSG:32616"),
        ({"type": "link", "properties": {"href": "http://127.0.0.1/crs"}}, "not named"),
        ("EPSG:4326", "not named"),
    ],
)
def test_any_other_crs_member_is_refused(crs: object, word: str, tmp_path: Path) -> None:
    refused(CrsError, geojson(tmp_path, square(), crs=crs), word, "EPSG:4326")


def test_the_id_of_a_feature_serves_where_no_property_does(tmp_path: Path) -> None:
    plots, _ = read_plots(geojson(tmp_path, {**square(), "id": "F-1"}, {**square(), "id": 12.0}))
    assert plots.index.tolist() == ["F-1", "12"]
    plots, _ = read_plots(geojson(tmp_path, {**square(parcela="A"), "id": "F-1"}))
    assert plots.index.tolist() == ["A"]


def test_a_single_feature_is_a_file_of_one_plot(tmp_path: Path) -> None:
    plots, _ = read_plots(text_file(tmp_path, json.dumps(square(plot_id="A")), "one.json"))
    assert plots.index.tolist() == ["A"]


def test_a_point_with_latitude_first_is_turned_as_its_columns_say(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [14.1, -87.2]}
    feature = {"type": "Feature", "properties": {"latitude": 14.1, "longitude": -87.2}, "geometry": point}
    plots, findings = read_plots(geojson(tmp_path, feature))
    assert plots.geometry.iloc[0].equals(shapely.Point(-87.2, 14.1))
    assert findings["code"].tolist() == ["repaired"]


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "coordinates", "x"]), inner)
        ),
        max_leaves=12,
    ),
    st.sampled_from(["Polygon", "MultiPolygon", "Point", "MultiPoint", "GeometryCollection", "LineString"]),
)
def test_any_geometry_gives_a_shape_or_a_finding_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, value: object, kind: str
) -> None:
    geometry = {"type": kind, "coordinates": value, "geometries": value}
    folder = tmp_path_factory.mktemp("any")
    good = square(plot_id="good")
    plots, findings = read_plots(geojson(folder, good, {"type": "Feature", "properties": {}, "geometry": geometry}))
    assert len(plots) == 2
    assert plots.geometry.iloc[0] is not None
    assert set(findings["code"]) <= {"invalid", "repaired"}


def test_an_infinite_coordinate_reaches_the_checks_as_it_is(tmp_path: Path) -> None:
    text = json.dumps({"type": "FeatureCollection", "features": [square()]}).replace("-87.2,", "1e999,", 1)
    plots, findings = read_plots(text_file(tmp_path, text, "plots.geojson"))
    assert np.isinf(shapely.get_coordinates(plots.geometry.iloc[0])).any()
    assert set(findings["code"]) <= {"repaired"}


def test_letters_that_are_no_text_do_not_stop_a_file(tmp_path: Path) -> None:
    text = '{"type": "Feature", "properties": {"plot_id": "a\\ud800", "n": NUM}, "geometry": null}'
    plots, _ = read_plots(text_file(tmp_path, text.replace("NUM", "9" * 400), "plots.geojson"))
    assert plots.index.tolist() == ["a\ufffd"]
    assert plots["n"].tolist() == ["9" * 400]


# Layers


def test_the_layer_with_polygons_is_taken(tmp_path: Path) -> None:
    made = made_plots()
    made.set_geometry(made.representative_point()).to_file(tmp_path / "two.gpkg", layer="gates", driver="GPKG")
    made.to_file(tmp_path / "two.gpkg", layer="plots", driver="GPKG")
    plots, _ = read_plots(tmp_path / "two.gpkg")
    assert plots.index.tolist() == made["plot_id"].tolist()
    assert plots.geom_type.isin(["Polygon", "MultiPolygon"]).all()


def test_two_layers_with_polygons_are_named(tmp_path: Path) -> None:
    for layer in ("plots_2025", "plots_2026"):
        made_plots().to_file(tmp_path / "two.gpkg", layer=layer, driver="GPKG")
    refused(FileError, tmp_path / "two.gpkg", "2 layers", "plots_2025", "plots_2026")


def test_a_geopackage_without_features_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "plain.gpkg") as store:
        store.execute("CREATE TABLE a (b)")
    store.close()
    refused(FileError, tmp_path / "plain.gpkg", "GeoPackage")


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("kind", ["shp", "zip", "gpkg", "parquet"])
def test_a_file_without_crs_says_what_to_do(kind: str, tmp_path: Path) -> None:
    path = write(made_plots().set_crs(None, allow_override=True), tmp_path / f"plots.{kind}")
    refused(CrsError, path, "names no coordinate reference system", ".prj", "EPSG:4326")


@pytest.mark.parametrize("missing", [".shx", ".dbf"])
def test_a_shapefile_without_a_part_is_refused(missing: str, tmp_path: Path) -> None:
    path = write(made_plots(), tmp_path / "plots.shp")
    path.with_suffix(missing).unlink()
    refused(FileError, path, missing)
    refused(FileError, zip_parts(path, tmp_path / "parts.zip"), missing)


def test_a_shapefile_whose_parts_disagree_is_refused(tmp_path: Path) -> None:
    path = write(made_plots(), tmp_path / "plots.shp")
    head = bytearray(path.with_suffix(".dbf").read_bytes())
    head[4:8] = struct.pack("<I", 29)
    path.with_suffix(".dbf").write_bytes(bytes(head))
    refused(FileError, path, "30 shapes", "29 records")


def test_two_shapefiles_in_one_archive_are_named(tmp_path: Path) -> None:
    for name in ("north", "south"):
        write(made_plots(), tmp_path / f"{name}.shp")
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for part in tmp_path.glob("*.*"):
            if part.suffix in {".shp", ".shx", ".dbf", ".prj"}:
                archive.write(part, part.name)
    refused(FileError, tmp_path / "both.zip", "2 Shapefiles", "north.shp", "south.shp")


@pytest.mark.parametrize(("encoding", "notes"), [("UTF-8", 0), ("cp1252", 1)])
def test_a_shapefile_that_does_not_name_its_encoding_is_read_by_its_letters(
    encoding: str, notes: int, tmp_path: Path
) -> None:
    made = made_plots().assign(farmer="José Ñandú")
    made.to_file(tmp_path / "plots.shp", encoding=encoding)
    (tmp_path / "plots.cpg").unlink()
    plots, findings = read_plots(tmp_path / "plots.shp")
    assert set(plots["farmer"]) == {"José Ñandú"}
    assert len(findings) == notes
    assert set(findings["severity"]) <= {"note"}


def test_names_of_placemarks_are_ids_and_folders_are_read_one_after_the_other(tmp_path: Path) -> None:
    ring = "-87,14,0 -87.001,14,0 -87.001,14.001,0 -87,14,0"
    mark = (
        "<Placemark><name>{}</name><ExtendedData><Data name='socio'><value>M{}</value></Data></ExtendedData><Polygon>"
        f"<outerBoundaryIs><LinearRing><coordinates>{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"
    )
    folders = "".join(f"<Folder><name>F{n}</name>{mark.format(f'00{n}', n)}</Folder>" for n in (2, 1))
    kml = f'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{folders}</Document></kml>'
    plots, findings = read_plots(text_file(tmp_path, kml, "plots.kml"))
    assert plots.index.tolist() == ["002", "001"]
    assert plots["member_id"].tolist() == ["M2", "M1"]
    assert plots["folder"].tolist() == ["F2", "F1"]
    assert findings.empty


def test_a_plain_parquet_table_may_hold_points(tmp_path: Path) -> None:
    pd.DataFrame({"plot_id": ["007"], "lat": [14.1], "lon": [-87.2]}).to_parquet(tmp_path / "points.parquet")
    plots, _ = read_plots(tmp_path / "points.parquet")
    assert plots.geometry.iloc[0].equals(shapely.Point(-87.2, 14.1))


# Tables of cells


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_delimiter_and_encoding_are_found(mark: str, encoding: str, tmp_path: Path) -> None:
    rows = [["plot_id", "aldea", "lat", "lon"], ["007", "Peñas", "14.1", "-87.2"], ["", "", "", ""]]
    text = "\r\n".join(mark.join(row) for row in rows) + "\r\n"
    plots, findings = read_plots(text_file(tmp_path, text, encoding=encoding))
    assert plots.index.tolist() == ["007"]
    assert plots["community"].tolist() == ["Peñas"]
    assert findings["severity"].tolist() == (["note"] if encoding == "cp1252" else [])


def test_empty_lines_are_no_rows_but_are_counted(tmp_path: Path) -> None:
    plots, _ = read_plots(text_file(tmp_path, "plot_id,ha\nA,1\n\n,\nB,2\n"))
    assert plots["row"].tolist() == [1, 4]


def test_the_delimiter_may_be_declared_and_cells_may_be_quoted(tmp_path: Path) -> None:
    plots, _ = read_plots(text_file(tmp_path, 'sep=;\nplot_id;note\nA;"x; y\nz"\n'))
    assert plots["note"].tolist() == ["x; y z"]


def test_a_row_with_too_many_cells_is_put_together_again(tmp_path: Path) -> None:
    text = "plot_id,farmer_name,lat,lon\nA,Ana,14,-87\nB,Cruz, Ana,14,-87\n"
    plots, findings = read_plots(text_file(tmp_path, text))
    assert plots["farmer_name"].tolist() == ["Ana", "Cruz, Ana"]
    assert findings[["plot_id", "code"]].values.tolist() == [["B", "row_put_together"]]


def test_an_open_quote_is_refused_with_its_line(tmp_path: Path) -> None:
    refused(FileError, text_file(tmp_path, 'plot_id,lat,lon\nA,14,-87\n"B,14,-87\nC,14,-87\n'), "line 3", "quote")


def test_the_sheet_that_holds_plots_is_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Read me"])
    members = book.create_sheet("socios")
    for row in (["codigo_socio", "nombre"], ["M1", "Ana"]):
        members.append(row)
    plots_sheet = book.create_sheet("parcelas")
    for row in (
        ["Cooperativa Ñ"],
        [],
        ["id_parcela", "codigo_socio", "latitud", "longitud", "año_siembra", "msnm", "lluvia"],
    ):
        plots_sheet.append(row)
    plots_sheet.append([12, "M1", 14.1, -87.2, 2010, 1200, 2.5])
    book.save(tmp_path / "coop.xlsx")
    plots, findings = read_plots(tmp_path / "coop.xlsx")
    assert plots.index.tolist() == ["12"]
    assert plots[["member_id", "planted_year", "altitude_m", "lluvia"]].iloc[0].tolist() == ["M1", 2010.0, 1200, 2.5]
    members_read, _ = read_members(tmp_path / "coop.xlsx")
    assert members_read["name"].to_dict() == {"M1": "Ana"}
    assert findings.empty


def test_a_workbook_with_one_far_cell_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["plot_id"])
    book.active.cell(row=1_048_576, column=16_384, value="x")
    book.save(tmp_path / "far.xlsx")
    refused(FileError, tmp_path / "far.xlsx", "too large", "17,179,869,184 cells")


def test_a_workbook_with_a_document_type_is_refused(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["plot_id"])
    book.save(tmp_path / "plain.xlsx")
    with zipfile.ZipFile(tmp_path / "plain.xlsx") as source, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as target:
        for entry in source.namelist():
            text = source.read(entry)
            target.writestr(entry, b"<!DOCTYPE a>" + text if entry.startswith("xl/worksheets") else text)
    refused(FileError, tmp_path / "b.xlsx", "could not be read as an Excel workbook")


# Columns


def test_two_columns_for_one_name_are_named(tmp_path: Path) -> None:
    path = text_file(tmp_path, "parcela,lote,lat,lon\nA,B,1,2\n")
    refused(ColumnError, path, "'parcela'", "'lote'", "plot_id", "--map")
    assert read_plots(path, mapping={"lote": "plot_id"})[0].index.tolist() == ["B"]


def test_a_mapping_must_fit(tmp_path: Path) -> None:
    path = text_file(tmp_path, "a,b,lat,lon\nA,B,1,2\n")
    refused(ColumnError, path, "'c'", "a, b, lat, lon", mapping={"c": "plot_id"})
    refused(ColumnError, path, "'plotid2'", "plot_id, member_id", mapping={"a": "plotid2"})
    refused(ColumnError, path, "'a'", "'b'", "plot_id", mapping={"a": "plot_id", "b": "plot_id"})


def test_latitude_without_longitude_is_refused(tmp_path: Path) -> None:
    refused(ColumnError, text_file(tmp_path, "plot_id,lat\nA,1\n"), "'lat'", "longitude")


def test_two_columns_of_outlines_are_named(tmp_path: Path) -> None:
    path = text_file(tmp_path, "plot_id,p1,p2\nA,POINT (1 2),POINT (1 3)\n")
    refused(ColumnError, path, "'p1'", "'p2'", "outline")


def test_a_column_that_holds_outlines_is_found_by_its_content(tmp_path: Path) -> None:
    plots, _ = read_plots(
        text_file(tmp_path, 'plot_id,q7/medicion\nA,"14 -87 0 3;14 -87.001 0 5;14.001 -87 0 4;14 -87 0 3"\n')
    )
    # ring: 14 N 87 W, 87.001 W, 14.001 N; half of 0.001° x 0.001°
    assert plots.geometry.iloc[0].area == pytest.approx(0.5e-6)
    assert plots["gps_accuracy_m"].tolist() == [3.5]  # median of 3, 5, 4, 3


def test_members_without_an_id_column_are_refused(tmp_path: Path) -> None:
    path = text_file(tmp_path, "nombre,aldea\nAna,Norte\n", "socios.csv")
    with pytest.raises(ColumnError, match=r"socios\.csv has no column of member ids.*nombre, aldea"):
        read_members(path)


# Real files


@needs_data
def test_the_fifty_real_plots_are_read() -> None:
    plots, findings = read_plots(DATA / "whisp_example.geojson")
    assert len(plots) == 50
    assert findings.empty
    assert plots.index[0] == "1"
    assert (plots.geom_type == "MultiPolygon").all()


@needs_data
def test_the_surveyed_fields_of_koumbia_are_read() -> None:
    plots, findings = read_plots(DATA / "jecam" / "BD_JECAM_CIRAD_2023_feb.shp")
    assert plots.index[:2].tolist() == ["8218", "8219"]
    assert plots["declared_area_ha"].iloc[:2].tolist() == [0.936, 0.132]
    assert len(plots) == 100
    assert not set(findings["severity"]) & {"block"}


@needs_data
def test_the_zipped_fields_of_india_are_read() -> None:
    plots, findings = read_plots(DATA / "india_10k.zip")
    assert len(plots) == 100
    assert plots.total_bounds[0] > 68 and plots.total_bounds[3] < 38
    assert not set(findings["severity"]) & {"block"}


# Shapefiles whose encoding is not what they say


@pytest.mark.parametrize(
    ("written", "declared", "is_noted"),
    [
        ("utf-8", "UTF-8", False),
        ("utf-8", "1252", False),  # what is UTF-8 is nothing else
        ("utf-8", None, False),
        ("cp1252", "UTF-8", True),
        ("cp1252", "1252", False),
        ("cp1252", "ANSI 1252", False),
        ("iso8859-1", "88591", False),
        ("cp1252", None, True),
        ("cp1252", "no such thing", True),
    ],
)
def test_text_of_a_shapefile_is_right_whatever_its_cpg_says(
    written: str, declared: str | None, is_noted: bool, tmp_path: Path
) -> None:
    plots = gpd.GeoDataFrame(
        {"plot_id": ["1"], "community": ["San José Ñ"]}, geometry=[box(0, 0, 1e-3, 1e-3)], crs=4326
    )
    path = tmp_path / "plots.shp"
    plots.to_file(path, encoding=written)
    path.with_suffix(".cpg").unlink(missing_ok=True)
    if declared is not None:
        path.with_suffix(".cpg").write_text(declared)
    read, findings = read_plots(path)
    assert read["community"].tolist() == ["San José Ñ"]
    assert findings["code"].tolist() == (["encoding"] if is_noted else [])


@pytest.mark.parametrize(
    "options",
    [
        {"schema_version": "1.0.0"},
        {"schema_version": "1.1.0", "write_covering_bbox": True},
        {"schema_version": "1.1.0", "geometry_encoding": "geoarrow"},
        {"schema_version": "2.0.0"},
    ],
)
def test_every_version_of_geoparquet_opens(options: dict[str, object], tmp_path: Path) -> None:
    made = made_plots() if "geometry_encoding" not in options else made_plots().explode(ignore_index=True)
    made.to_parquet(tmp_path / "plots.parquet", **options)
    plots, _ = read_plots(tmp_path / "plots.parquet")
    assert plots["given_id"].tolist() == made["plot_id"].tolist()
    assert shapely.equals_exact(plots.geometry.to_numpy(), made.geometry.to_numpy(), tolerance=1e-9).all()


def test_a_geoparquet_without_the_geo_key_opens_by_its_column_type(tmp_path: Path) -> None:
    made_plots().to_parquet(tmp_path / "a.parquet", schema_version="2.0.0")
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    kept = {key: value for key, value in table.schema.metadata.items() if key != b"geo"}
    pyarrow.parquet.write_table(table.replace_schema_metadata(kept), tmp_path / "plots.parquet")
    plots, _ = read_plots(tmp_path / "plots.parquet")
    assert plots.geometry.notna().all()


# One row in, one row out


@settings(max_examples=15, deadline=None)
@given(
    ids=st.lists(
        st.text(st.characters(blacklist_categories=["C", "Z"], blacklist_characters="'\"=+-@"), min_size=1, max_size=8)
        .map(lambda text: unicodedata.normalize("NFC", text))
        .filter(lambda text: text.strip() and not text.lower() == "nan"),
        min_size=1,
        max_size=8,
    ),
    kind=st.sampled_from(["geojson", "gpkg", "shp", "parquet", "csv", "xlsx"]),
    parts=st.integers(1, 3),
)
def test_ids_order_and_count_come_back(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], kind: str, parts: int
) -> None:
    shapes = [
        MultiPolygon([box(n * 0.01 + part * 0.002, 0, n * 0.01 + part * 0.002 + 0.001, 0.001) for part in range(parts)])
        for n in range(len(ids))
    ]
    made = gpd.GeoDataFrame({"plot_id": [f"0{name}" for name in ids]}, geometry=shapes, crs="EPSG:4326")
    plots, findings = read_plots(write(made, tmp_path_factory.mktemp("law") / f"plots.{kind}"))
    assert plots["given_id"].tolist() == made["plot_id"].tolist()
    assert plots.index.is_unique
    assert (findings["code"] == "repeated_id").sum() == len(ids) - len(set(ids))
    assert [len(shapely.get_parts(shape)) for shape in plots.geometry] == [parts] * len(ids)


@settings(max_examples=80, deadline=None)
@given(
    header=st.lists(
        st.sampled_from(
            "plot_id lat lon wkt ha member_id _uuid _index _gps_latitude _gps_longitude parcela_1_lat parcela_1_lon "
            "parcela_2_lat gps/x[1]/y x[1]/lat farmer_name farm_size collection_site accuracies polygon".split()
        ),
        max_size=6,
        unique=True,
    ),
    rows=st.lists(
        st.lists(
            st.one_of(
                st.text(max_size=8),
                st.floats().map(str),
                st.sampled_from(
                    ["14 -87 0 1;14 -88;15 -87", "[[1,2]]", "[]", "Total", '"', "1-50-25", "14°N", "[[1]]", "[[], 1]"]
                ),
            ),
            max_size=8,
        ),
        max_size=5,
    ),
    delimiter=st.sampled_from(",;\t|"),
)
def test_any_table_gives_plots_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, header: list[str], rows: list[list[str]], delimiter: str
) -> None:
    text = "\n".join(delimiter.join(row) for row in [header, *rows])
    path = tmp_path_factory.mktemp("any") / "plots.csv"
    path.write_bytes(text.encode("utf-8", errors="replace"))
    try:
        plots, findings = read_plots(path)
    except GeomapError as error:
        assert error.found and error.why and error.todo
    else:
        assert plots.index.is_unique and len(plots) >= 1
        assert set(findings.columns) >= {"code", "message"}


def test_a_parquet_file_whose_texts_are_no_text_is_refused(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    bytes_ = pa.array([b"A\xf1-2", b"B"], pa.binary())
    spoilt = pa.Array.from_buffers(pa.string(), 2, bytes_.buffers())
    parquet.write_table(pa.table({"plot_id": spoilt, "area_ha": [1.0, 2.0]}), tmp_path / "plots.parquet")
    with pytest.raises(FileError, match="could not be read"):
        read_plots(tmp_path / "plots.parquet")
