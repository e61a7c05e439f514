"""GPX tracks become outlines where they close; a document type is refused."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geomap.errors import FileError
from geomap.plots.formats import read_plots
from geomap.plots.tracks import close_track

HEAD = '<?xml version="1.0"?><gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">'
WALK = [(-87.2, 14.1), (-87.199, 14.1), (-87.199, 14.101), (-87.2, 14.101), (-87.2, 14.10005)]


def points(tag: str, lonlat: list[tuple[float, float]]) -> str:
    return "".join(f'<{tag} lat="{lat}" lon="{lon}"><ele>900</ele><name>no</name></{tag}>' for lon, lat in lonlat)


def track(name: str, *segments: list[tuple[float, float]]) -> str:
    parts = "".join(f"<trkseg>{points('trkpt', one)}</trkseg>" for one in segments)
    return f"<trk><name>{name}</name>{parts}</trk>"


def gpx(folder: Path, body: str, head: str = HEAD) -> Path:
    (folder / "walk.gpx").write_text(f"{head}{body}</gpx>", encoding="utf-8")
    return folder / "walk.gpx"


def test_tracks_routes_and_waypoints_are_rows_in_their_order(tmp_path: Path) -> None:
    body = (
        f'<wpt lat="14.5" lon="-87.5"><name>Casa</name></wpt>{track("Lote Ñ", WALK)}<rte>{points("rtept", WALK)}</rte>'
    )
    plots, findings = read_plots(gpx(tmp_path, body))
    assert plots.index.tolist() == ["Casa", "Lote Ñ", "row-3"]
    assert plots.geometry.geom_type.tolist() == ["Point", "Polygon", "Polygon"]
    assert not plots.has_z.any()
    # the last point lies 0.00005 degrees = 6 m north of the first
    assert findings["code"].tolist() == ["repaired", "repaired"]
    assert "6 m apart" in findings["message"].iloc[0]


def test_segments_of_one_walk_are_joined(tmp_path: Path) -> None:
    plots, _ = read_plots(gpx(tmp_path, track("A", WALK[:2], WALK[2:])))
    assert plots.geometry.iloc[0].equals(shapely.Polygon(WALK))


def test_a_track_whose_ends_are_far_apart_is_no_outline(tmp_path: Path) -> None:
    plots, findings = read_plots(gpx(tmp_path, track("road", WALK[:3])))
    assert plots.geometry.isna().all()
    assert findings["code"].tolist() == ["invalid"]
    assert "m apart" in findings["message"].iloc[0]


@pytest.mark.parametrize(
    ("body", "head"),
    [
        ("", '<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "b">]><gpx>'),
        ("", '<?xml version="1.0"?>' + " " * 70_000 + "<!DOCTYPE gpx><gpx>"),
        ("<trk>", HEAD),
        ('<wpt lat="x" lon="1"/>', HEAD),
        ("&nbsp;", HEAD),
    ],
)
def test_what_is_no_plain_gpx_is_refused(body: str, head: str, tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        read_plots(gpx(tmp_path, body, head))
    assert caught.value.why and caught.value.todo


def test_a_gpx_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no rows"):
        read_plots(gpx(tmp_path, ""))


@given(st.floats(-80, 80), st.floats(0.2, 0.99), st.floats(0.001, 0.02))
def test_a_gap_below_five_percent_closes_and_a_larger_one_does_not(lat: float, share: float, size: float) -> None:
    # a circle of 360 points without the last part of it
    for gap, closes in ((0.04 * share, True), (0.06 + 0.1 * share, False)):
        angles = np.linspace(0, 2 * np.pi * (1 - gap), 360)
        xy = np.column_stack([size * np.cos(angles) / np.cos(np.radians(lat)), lat + size * np.sin(angles)])
        shape, _ = close_track(xy)
        assert (shape is not None) == closes


def test_a_kml_track_closes_like_a_gpx_track(tmp_path: Path) -> None:
    line = " ".join(f"{lon},{lat},0" for lon, lat in WALK)
    placemark = f"<Placemark><name>A</name><LineString><coordinates>{line}</coordinates></LineString></Placemark>"
    path = tmp_path / "earth.kml"
    path.write_text(f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{placemark}</Document></kml>')
    plots, findings = read_plots(path)
    assert plots.geometry.iloc[0].equals(shapely.Polygon(WALK))
    assert findings["code"].tolist() == ["repaired"]


def test_a_label_beside_an_outline_is_left_out(tmp_path: Path) -> None:
    ring = " ".join(f"{lon},{lat}" for lon, lat in [*WALK[:4], WALK[0]])
    shapes = (
        "<Point><coordinates>-87.2,14.1</coordinates></Point><Polygon><outerBoundaryIs><LinearRing><coordinates>"
        f"{ring}</coordinates></LinearRing></outerBoundaryIs></Polygon>"
    )
    path = tmp_path / "earth.kml"
    path.write_text(
        '<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><name>A</name>'
        f"<MultiGeometry>{shapes}</MultiGeometry></Placemark></Document></kml>"
    )
    plots, findings = read_plots(path)
    assert plots.geometry.iloc[0].geom_type == "MultiPolygon"
    assert findings["code"].tolist() == ["repaired"]
