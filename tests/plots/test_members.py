import pandas as pd
import pytest

from geomap.errors import ColumnError
from geomap.plots.members import MEMBER_COLUMNS, active_members, to_members


def test_members_keep_their_order_ids_and_attributes() -> None:
    frame = pd.DataFrame(
        {
            "codigo_socio": ["007", "A"],
            "Nombre": ["Ana", "Bo"],
            "ha": ["0,5", "1 ha"],
            "sello": ["FT", None],
            "zona": ["A", "B"],
        }
    )
    members, findings = to_members(frame)
    assert members.index.tolist() == ["007", "A"]
    assert members.index.name == "member_id"
    assert members.columns.tolist() == [*MEMBER_COLUMNS, "certification", "zona"]
    assert members["declared_area_ha"].tolist() == [0.5, 1.0]
    assert members["certification"].tolist() == ["FT", ""]
    assert members["cooperative_id"].tolist() == ["", ""]
    assert findings.empty


def test_different_rows_of_a_member_are_added_and_equal_rows_count_once() -> None:
    frame = pd.DataFrame({"member_id": ["B", "A", "A", "A"], "ha": [5, 1, 2, 2]})
    members, findings = to_members(frame, name="socios.csv")
    assert members["declared_area_ha"].to_dict() == {"B": 5.0, "A": 3.0}  # 1 + 2, the second 2 is a copy
    assert findings["code"].tolist() == ["repeated_id"]
    assert "socios.csv: 3 rows carry the member id 'A', 2 of them different" in findings["message"][0]


def test_the_order_of_rows_does_not_change_a_member() -> None:
    frame = pd.DataFrame({"member_id": ["A", "A", "B"], "name": ["Ana", "Anna", "Bo"], "ha": [1, 2, 3]})
    one, _ = to_members(frame)
    other, _ = to_members(frame.iloc[::-1])
    pd.testing.assert_frame_equal(one.sort_index(), other.sort_index())


def test_one_id_in_two_cooperatives_is_two_members_and_blocks() -> None:
    frame = pd.DataFrame({"member_id": ["1", "1"], "coop": ["North", "South"], "ha": [1, 2]})
    members, findings = to_members(frame)
    assert members["cooperative_id"].to_dict() == {"1": "North", "1#2": "South"}
    assert members["declared_area_ha"].to_dict() == {"1": 1.0, "1#2": 2.0}
    assert findings["severity"].tolist() == ["block"]


def test_a_member_whose_rows_state_no_area_has_none() -> None:
    members, _ = to_members(pd.DataFrame({"member_id": ["A", "A"], "ha": [None, None], "name": ["x", "y"]}))
    assert members["declared_area_ha"].isna().tolist() == [True]


def test_rows_without_id_get_their_number() -> None:
    members, findings = to_members(pd.DataFrame({"member_id": ["A", ""]}))
    assert members.index.tolist() == ["A", "row-2"]
    assert findings.empty


def test_an_unreadable_area_is_a_finding_without_a_plot() -> None:
    members, findings = to_members(pd.DataFrame({"member_id": ["A"], "farm_size": ["3 mz"]}), name="socios.csv")
    assert members["declared_area_ha"].isna().all()
    assert findings[["plot_id", "code"]].iloc[0].tolist() == ["", "unreadable_value"]
    assert findings["message"][0].startswith("socios.csv, row 1: 'farm_size' holds '3 mz'")


def test_a_table_without_ids_is_refused() -> None:
    with pytest.raises(ColumnError, match="no column of member ids"):
        to_members(pd.DataFrame({"village": ["Norte"]}))


def test_members_are_active_by_the_dates_they_joined_left_or_were_suspended() -> None:
    frame = pd.DataFrame(
        {
            "socio": list("ABCDEFG"),
            "fecha_ingreso": ["", "2027-09-30", "2027-10-01", "", "", "", "01/05/2020"],
            "fecha_retiro": ["", "", "", "2026-09-30", "2026-10-01", "", ""],
            "suspendido_desde": ["", "", "", "", "", "2026-09-30", "31/12/2026"],
        }
    )
    members, findings = to_members(frame)
    # the season 2026/27 runs from 2026-10-01 to 2027-09-30
    assert active_members(members, "2026/27").index.tolist() == ["A", "B", "E", "G"]
    assert active_members(members, "2027/28").index.tolist() == ["A", "B", "C"]
    assert members["suspended"].tolist()[-1] == "2026-12-31"
    assert findings["code"].tolist() == ["date_order"]  # 01/05/2020 alone in its column could be January


def test_without_dates_every_member_is_active() -> None:
    members, _ = to_members(pd.DataFrame({"socio": ["A", "B"]}))
    assert active_members(members, "2026/27").equals(members)


def test_a_date_that_cannot_be_read_counts_as_missing_and_is_said() -> None:
    members, findings = to_members(pd.DataFrame({"socio": ["A", "B"], "joined": ["soon", "2020"]}), name="socios.csv")
    assert members["joined"].tolist() == ["", "2020-01-01"]
    assert "socios.csv, row 1: 'joined' holds 'soon'; it is no date" in findings["message"].iloc[0]


def test_attributes_get_our_names_and_keep_their_values() -> None:
    frame = pd.DataFrame(
        {
            "socio": ["A"],
            "Sello": ["FT"],
            "Variedad": ["Lempira"],
            "msnm": [1200],
            "Tenencia": ["propia"],
            "celular": ["9"],
        }
    )
    members, _ = to_members(frame)
    assert members.loc["A", ["certification", "variety", "altitude_m", "tenure", "celular"]].tolist() == [
        "FT",
        "Lempira",
        1200,
        "propia",
        "9",
    ]
