import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import CrsError
from geomap.plots.table import PLOT_COLUMNS, to_plots


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_the_columns_are_always_the_same() -> None:
    plots, findings = to_plots(frame(lat=[1.0], lon=[2.0]))
    assert plots.columns.tolist() == [*PLOT_COLUMNS, "geometry"]
    assert plots.index.name == "plot_id"
    assert plots.crs == "EPSG:4326"
    assert plots[["given_id", "member_id", "cooperative_id", "community", "crop"]].iloc[0].tolist() == [""] * 5
    assert plots[["declared_area_ha", "gps_accuracy_m", "planted_share", "planted_year", "hives"]].isna().all(axis=None)
    assert findings.columns.tolist()[:3] == ["plot_id", "code", "severity"]


def test_rows_without_an_id_get_their_number_and_no_finding() -> None:
    plots, findings = to_plots(frame(plot_id=["A", None, " ", np.nan], ha=[1, 1, 1, 1]))
    assert plots.index.tolist() == ["A", "row-2", "row-3", "row-4"]
    assert plots["given_id"].tolist() == ["A", "", "", ""]
    assert findings.empty


def test_whole_numbers_of_a_spreadsheet_are_ids_without_a_fraction() -> None:
    plots, _ = to_plots(frame(plot_id=[12.0, 7.5], member_id=[3.0, np.nan]))
    assert plots.index.tolist() == ["12", "7.5"]
    assert plots["member_id"].tolist() == ["3", ""]


def test_composed_and_decomposed_letters_are_one_id() -> None:
    plots, findings = to_plots(frame(plot_id=["Peña", "Pen\u0303a"], ha=[1, 2]))
    assert plots.index.tolist() == ["Peña", "Peña#2"]
    assert findings["code"].tolist() == ["repeated_id"]


def test_a_repeated_id_gets_a_number_and_a_finding_that_says_so() -> None:
    plots, findings = to_plots(frame(plot_id=["B", "A", "A", "A#2"], ha=[1, 3, 2, 9]), name="plots.csv")
    assert plots["declared_area_ha"].to_dict() == {"B": 1.0, "A#3": 3.0, "A": 2.0, "A#2": 9.0}
    assert plots.loc["A#3", "given_id"] == "A"
    assert findings[["plot_id", "code", "severity"]].values.tolist() == [["A#3", "repeated_id", "warn"]]
    assert "plots.csv, row 2: 2 rows carry the plot id 'A'" in findings["message"][0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 3)), max_size=7), st.randoms())
def test_the_order_of_rows_does_not_change_which_plot_an_id_means(
    rows: list[tuple[str, int]], random: "st.random.Random"
) -> None:
    shuffled = random.sample(rows, len(rows))
    sets = []
    for table in (rows, shuffled):
        plots, findings = to_plots(frame(plot_id=[row[0] for row in table], ha=[row[1] for row in table]))
        assert plots.index.is_unique
        assert plots["row"].tolist() == list(range(1, len(table) + 1))
        sets.append((plots["declared_area_ha"].sort_index().to_dict(), sorted(findings["plot_id"])))
    assert sets[0] == sets[1]


def test_an_unreadable_value_is_a_finding_with_file_row_column_unit_and_what_to_do() -> None:
    plots, findings = to_plots(frame(plot_id=["A", "B"], Superficie=["3 loads", "0,5 ha"]), name="coop.csv")
    assert plots["declared_area_ha"].isna().tolist() == [True, False]
    assert findings[["plot_id", "code"]].values.tolist() == [["A", "unreadable_value"]]
    assert findings["message"][0] == (
        "coop.csv, row 1: 'Superficie' holds '3 loads'; the unit \"loads\" is not known. "
        "It counts as missing. Write the area in hectares, for example 0.5."
    )


def test_an_outline_that_cannot_be_read_blocks_and_its_row_stays() -> None:
    plots, findings = to_plots(
        frame(plot_id=["A", "B", "C"], ha=[1, None, 1], wkt=["POLYGON ((0", "nothing", "POINT (1 2)"]), name="coop.csv"
    )
    assert plots.geometry.isna().tolist() == [True, True, False]
    assert findings[["plot_id", "code", "severity", "action"]].values.tolist() == [
        ["A", "invalid", "block", "kept"],
        ["B", "invalid", "block", "left_out"],
    ]
    assert findings["message"][0] == (
        "coop.csv, row 1: the outline cannot be read: its WKT is broken, or a ring of it does not close. "
        "Without an outline only its declared area counts. "
        "Give it as a polygon of at least three points, or as a point."
    )


def test_points_stand_in_where_there_is_no_outline() -> None:
    wkt = "POLYGON ((0 0, 1 0, 1 1, 0 0))"
    plots, findings = to_plots(frame(polygon=[wkt, "", ""], lat=["0,5", "0.5", ""], lon=[0.7, 0.7, None]))
    assert plots.geom_type.tolist()[:2] == ["Polygon", "Point"]
    assert plots.geometry.iloc[2] is None
    assert str(plots.geometry.iloc[1]) == "POINT (0.7 0.5)"
    assert findings.empty


@pytest.mark.parametrize(
    ("lat", "lon", "why"),
    [
        ("14°E", "1", "its latitude is '14°E'"),
        ("1", "", "only one of latitude"),
        ("1", "east", "its longitude is 'east'"),
    ],
)
def test_a_point_that_cannot_be_read_blocks(lat: str, lon: str, why: str) -> None:
    plots, findings = to_plots(frame(lat=[lat], lon=[lon]))
    assert plots.geometry.isna().all()
    assert findings["code"].tolist() == ["invalid"]
    assert why in findings["message"][0]


def test_the_accuracy_of_a_trace_fills_only_what_is_missing() -> None:
    trace = "14 -87 0 3; 14 -87.001 0 5; 14.001 -87 0 4; 14 -87 0 4"
    plots, _ = to_plots(frame(geoshape=[trace, trace], accuracy=["", "9 m"]))
    assert plots["gps_accuracy_m"].tolist() == [4.0, 9.0]


def test_further_columns_keep_their_names_values_and_order() -> None:
    plots, _ = to_plots(frame(tenure=["own\x00", None], lat=[1, 2], lon=[1, 2], trees=[1, 2], rain=[1.5, None]))
    assert plots.columns.tolist() == [*PLOT_COLUMNS, "tenure", "trees", "rain", "geometry"]
    assert plots["tenure"].tolist() == ["own", ""]
    assert plots["trees"].dtype == "int64"
    assert plots["rain"].isna().tolist() == [False, True]


def test_a_column_named_as_a_result_is_kept_apart() -> None:
    plots, _ = to_plots(frame(plot_id=["A"], declared_area_ha=[1], area_ha=[2], row=["north"], kind=["x"]))
    given_columns = plots[["declared_area_ha", "area_ha_given", "row", "row_given", "kind_given"]]
    assert given_columns.iloc[0].tolist() == [1.0, 2, 1, "north", "x"]


def test_a_mapping_gives_an_attribute_our_name() -> None:
    plots, _ = to_plots(frame(Sello=["FT"], ha=[1]), mapping={"Sello": "certification"})
    assert plots["certification"].tolist() == ["FT"]


def test_a_table_in_another_crs_is_moved_and_left_alone() -> None:
    given_plots = gpd.GeoDataFrame(
        {"note": ["x"]}, geometry=[shapely.box(5e5, 1e6, 5e5 + 100, 1e6 + 100)], crs="EPSG:32616"
    )
    before = given_plots.copy()
    plots, _ = to_plots(given_plots)
    assert plots.geometry.iloc[0].centroid.x == pytest.approx(-87 + 50 / 109_700, abs=1e-5)  # 50 m east of 87 W, at 9 N
    pd.testing.assert_frame_equal(pd.DataFrame(given_plots), pd.DataFrame(before))
    with pytest.raises(CrsError, match="names no coordinate reference system"):
        to_plots(given_plots.set_crs(None, allow_override=True))


def test_our_own_table_can_be_read_again() -> None:
    plots, _ = to_plots(frame(plot_id=["B", "A"], member_id=["1", "2"], lat=[1, 2], lon=[3, 4], variety=["x", "y"]))
    again, findings = to_plots(plots)
    assert findings.empty
    assert again.index.tolist() == ["B", "A"]
    pd.testing.assert_frame_equal(
        pd.DataFrame(again[["member_id", "variety", "geometry"]]),
        pd.DataFrame(plots[["member_id", "variety", "geometry"]]),
    )


def test_an_empty_table_is_a_table() -> None:
    plots, findings = to_plots(frame(plot_id=[], lat=[], lon=[]))
    assert len(plots) == 0 and len(findings) == 0
    assert plots.columns.tolist() == [*PLOT_COLUMNS, "geometry"]
