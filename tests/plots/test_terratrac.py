"""TerraTrac exports open although names break their rows and points have latitude first."""

import json
from pathlib import Path

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.plots.broken_rows import mended
from geomap.plots.formats import read_plots
from geomap.plots.terratrac import java_date

HEADER = (
    "remote_id,farmer_name,member_id,collection_site,agent_name,farm_village,farm_district,farm_size,"
    "latitude,longitude,polygon,created_at,updated_at"
)
RING = "[[-87.2, 14.1], [-87.199, 14.1], [-87.199, 14.101]]"
DATE = "Wed Aug 07 10:15:30 EAT 2024"


def row(number: int, name: str = "Ana Ruiz", village: str = "El Sauce", polygon: str = RING) -> str:
    middle = f"M{number:03d},Site A,Agente Uno,{village},Danlí"
    return f'r-{number},{name},{middle},1.5,14.1003,-87.1995,"{polygon}",{DATE},{DATE}'


def read(folder: Path, *rows: str):  # type: ignore[no-untyped-def]
    path = folder / "terratrac.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return read_plots(path)


def test_the_polygon_is_read_and_its_open_ring_closed(tmp_path: Path) -> None:
    plots, findings = read(tmp_path, row(1))
    assert plots.geometry.iloc[0].equals(shapely.Polygon([(-87.2, 14.1), (-87.199, 14.1), (-87.199, 14.101)]))
    assert plots["declared_area_ha"].tolist() == [1.5]
    assert plots["created_at"].tolist() == ["2024-08-07T10:15:30+03:00"]
    assert findings["code"].tolist() == ["repaired"]


@pytest.mark.parametrize("name", ["Ruiz, Ana", "Ruiz, Ana, viuda de Paz", 'Ruiz "Chepe", José'])
def test_a_name_with_commas_is_put_together_again(name: str, tmp_path: Path) -> None:
    plots, findings = read(tmp_path, row(1), row(2, name), row(3))
    assert plots["member_id"].tolist() == ["M001", "M002", "M003"]
    assert plots["farmer_name"].iloc[1] == name
    assert plots["declared_area_ha"].tolist() == [1.5] * 3
    assert plots.geometry.notna().all()
    told = findings[findings["code"] == "row_put_together"]
    assert len(told) == 1 and "row 2" in told["message"].iloc[0]


def test_a_village_with_a_comma_is_told_from_a_name_by_the_columns_beside_it(tmp_path: Path) -> None:
    plots, _ = read(tmp_path, row(1), row(2, village="El Sauce, arriba"), row(3))
    assert plots["farmer_name"].tolist() == ["Ana Ruiz"] * 3
    assert plots["community"].iloc[1] == "El Sauce, arriba"


def test_a_file_of_broken_rows_alone_still_opens(tmp_path: Path) -> None:
    plots, _ = read(tmp_path, row(1, "Ruiz, Ana"), row(2, "Paz, Luis"))
    assert plots["declared_area_ha"].tolist() == [1.5, 1.5]
    assert plots.geometry.notna().all()


def test_a_row_that_fits_in_no_way_keeps_its_first_cell_and_blocks() -> None:
    header = ["id", "name", "area_ha"]
    rows = [["1", "Ana", "0.5"], ["2", "Luis", "much", "more"]]
    assert mended(header, rows, mark=",") == ([["1", "Ana", "0.5"], ["2", "", ""]], {1: "lost"})


def test_columns_without_names_are_no_broken_rows() -> None:
    rows = [["1", "a", "x"], ["2", "b", "y"]]
    assert mended(["id", "note"], rows, mark=",") == (rows, {})


@settings(max_examples=50)
@given(st.integers(1, 4), st.integers(0, 7))
def test_no_number_leaves_its_column(commas: int, at: int) -> None:
    whole = [f"r{n},Ana Ruiz,M{n:03d},Site A,0.5,14.1,-87.2".split(",") for n in range(6)]
    header = "remote_id,farmer_name,member_id,collection_site,farm_size,latitude,longitude".split(",")
    broken = ",".join(["x"] * commas + ["y"]).join(["r9,", ",M009,Site A,0.7,14.3,-87.4"]).split(",")
    rows = [*whole[:at], broken, *whole[at:]]
    result, done = mended(header, rows, mark=",")
    assert [len(row) for row in result] == [7] * 7
    assert done == {min(at, 6): "repaired"}
    assert result[min(at, 6)][2:] == ["M009", "Site A", "0.7", "14.3", "-87.4"]


def feature(coordinates: object, kind: str = "Point", lat: float = 14.1, lon: float = -87.2) -> dict[str, object]:
    properties = {"remote_id": "r", "farmer_name": "Ana", "farm_size": 1.5, "latitude": lat, "longitude": lon}
    return {"type": "Feature", "properties": properties, "geometry": {"type": kind, "coordinates": coordinates}}


@pytest.mark.parametrize(
    ("coordinates", "kind", "is_turned"),
    [
        ([14.1, -87.2], "Point", True),
        ([-87.2, 14.1], "Point", False),
        ([[[-87.2, 14.1], [-87.199, 14.1], [-87.199, 14.101], [-87.2, 14.1]]], "Polygon", False),
        ([[[14.1, -87.2], [14.1, -87.199], [14.101, -87.199], [14.1, -87.2]]], "Polygon", True),
    ],
)
def test_latitude_first_is_turned_only_where_the_columns_say_so(
    coordinates: object, kind: str, is_turned: bool, tmp_path: Path
) -> None:
    path = tmp_path / "terratrac.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(coordinates, kind)]}))
    plots, findings = read_plots(path)
    assert shapely.dwithin(plots.geometry.iloc[0], shapely.Point(-87.2, 14.1), 1e-9)
    assert findings["code"].tolist() == (["repaired"] if is_turned else [])


def test_without_the_columns_nothing_is_turned(tmp_path: Path) -> None:
    path = tmp_path / "points.geojson"
    one = feature([14.1, -87.2])
    one["properties"] = {"plot_id": "A"}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [one]}))
    assert read_plots(path)[0].geometry.iloc[0].equals(shapely.Point(14.1, -87.2))


@pytest.mark.parametrize(("polygon", "accuracy"), [("[]", "[]"), ("[[-87.1995, 14.1003]]", "[4.0, 6.0]")])
def test_a_farm_without_a_polygon_is_a_point_with_its_accuracies(polygon: str, accuracy: str, tmp_path: Path) -> None:
    path = tmp_path / "terratrac.csv"
    path.write_text(f'{HEADER},accuracies\n{row(1, polygon=polygon)},"{accuracy}"\n', encoding="utf-8")
    plots, _ = read_plots(path)
    assert str(plots.geometry.iloc[0]) == "POINT (-87.1995 14.1003)"
    assert plots["gps_accuracy_m"].fillna(0).tolist() == ([5.0] if "4" in accuracy else [0.0])


@pytest.mark.parametrize(
    "text", ["", "soon", "Wed Aug 07 10:15:30 CST 2024", "Wed Foo 07 10:15:30 UTC 2024", "Wed Feb 31 10:15:30 UTC 2024"]
)
def test_a_date_that_is_not_sure_stays_as_it_is(text: str) -> None:
    assert java_date(text) == text
