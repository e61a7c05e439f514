import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from geomap.plots.field_text import from_text

RING = "14 -87 900 4; 14 -87.001 900 6; 14.001 -87.001 0 0; 14.001 -87 900 5"
SQUARE = shapely.box(-87.001, 14, -87, 14.001)


@pytest.mark.parametrize(
    "text",
    [
        "POLYGON ((-87 14, -87.001 14, -87.001 14.001, -87 14.001, -87 14))",
        "SRID=4326;POLYGON((-87 14, -87.001 14, -87.001 14.001, -87 14.001, -87 14))",
        "polygon z ((-87 14 9, -87.001 14 9, -87.001 14.001 9, -87 14.001 9, -87 14 9))",
        "MULTIPOLYGON (((-87 14, -87.001 14, -87.001 14.001, -87 14.001, -87 14)))",
        "GEOMETRYCOLLECTION (POLYGON ((-87 14, -87.001 14, -87.001 14.001, -87 14.001, -87 14)))",
        RING,
        RING + "; 14 -87 900 4",
        RING.replace("; ", ";") + ";",
        "[[-87, 14], [-87.001, 14], [-87.001, 14.001], [-87, 14.001]]",
        "[[[-87, 14], [-87.001, 14], [-87.001, 14.001], [-87, 14.001], [-87, 14]]]",
        '{"type": "Polygon", "coordinates": [[[-87, 14], [-87.001, 14], [-87.001, 14.001], [-87, 14.001], [-87, 14]]]}',
    ],
)
def test_the_same_square_in_every_writing(text: str) -> None:
    found = from_text([text])
    assert not found.problems
    assert shapely.equals(found.geometry[0], SQUARE)


def test_an_open_trace_is_closed_and_said() -> None:
    found = from_text([RING, RING + "; 14 -87 900 4"])
    assert found.repairs == {0: "its last point was joined to its first"}


def test_the_accuracy_of_a_trace_is_the_median_of_those_above_zero() -> None:
    found = from_text([RING, "14 -87", "14 -87 0 0"])
    assert found.accuracy_m is not None
    np.testing.assert_array_equal(found.accuracy_m, [5.0, np.nan, np.nan])  # 4, 5, 6; the 0 of a map tap does not count


def test_one_point_of_a_trace_is_a_point_with_latitude_first() -> None:
    assert str(from_text(["14 -87 900 4"]).geometry[0]) == "POINT (-87 14)"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("POLYGON ((0 0, 1 1", "WKT is broken"),
        ("POLYGON ((0 0, 1 0, 1 1))", "does not close"),
        ("LINESTRING (0 0, 1 1)", "a line of fewer than three points"),
        ("MULTIPOINT ((0 0), (1 1))", "MultiPoint"),
        ("SRID=32616;POINT (1 2)", "32616"),
        ("GEOMETRYCOLLECTION (" * 3000, "nested"),
        ("14 -87; 14 -87.1", "fewer than three points"),
        ("14 -87; x y; 15 -87", "not made of numbers"),
        ("14 -87; 15; 15 -87", "latitude longitude altitude accuracy"),
        ("[[0, 0], [1, 1]]", "fewer than three points"),
        ("[[0, 0], [1, NaN], [1, 1]]", "no strict JSON"),
        ('[[0, 0], [1, "1"], [1, 1]]', "no two numbers"),
        ("[1, 2]", "fewer than three points"),
        ('{"type": "Polygon", "coordinates": 3}', "no list of rings"),
        ("{}", "unknown"),
        ("[" * 100_000, "no strict JSON"),
        ('{"type": "LineString", "coordinates": []}', "a line with no points"),
        ("behind the school", "neither WKT"),
        ("nan nan", "neither WKT"),
    ],
)
def test_a_text_that_is_no_outline_is_a_problem(text: str, why: str) -> None:
    found = from_text(["", text, RING])
    assert list(found.problems) == [1]
    assert why in found.problems[1]
    assert found.geometry[0] is None and found.geometry[1] is None
    assert found.geometry[2] is not None


@given(st.lists(st.text(alphabet='0123 .-;[]{}",POLYGNTI()', max_size=30), max_size=5))
def test_any_text_gives_a_shape_or_a_problem(texts: list[str]) -> None:
    found = from_text(texts)
    for position, text in enumerate(texts):
        shape = found.geometry[position]
        assert shape is None or shape.geom_type in {"Point", "Polygon", "MultiPolygon"}
        assert shape is None or position not in found.problems
        assert text or position not in found.problems
