"""The files of an office as the evidence of a run: read in the right order, in one product form."""

import numpy as np
import pandas as pd
import pytest

from geomap.errors import ColumnError, NumberError
from geomap.supply.brought import Brought, read_evidence
from geomap.supply.choice import choose

CHOSEN = choose("coffee", "HN", season="2026/27")
NO_SEASON = choose("coffee", "HN")


@pytest.fixture
def write(tmp_path):
    def written(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_nothing_brought_is_no_evidence():
    assert not Brought().is_evidence
    assert read_evidence(Brought(), CHOSEN) == (None, [])


@pytest.mark.parametrize("role", ["field_estimates", "commitments", "contracts", "cooperatives", "delivered_share"])
def test_any_one_thing_that_tells_of_supply_is_evidence(role):
    assert Brought(**{role: 0.5}).is_evidence
    assert Brought(deliveries=["a.csv"]).is_evidence


def test_the_users_own_figures_are_inputs_but_no_evidence_of_supply():
    brought = Brought(crop_tables=["a.csv"], yields="b.csv", yield_rasters=["c.tif", "d.tif"])
    assert not brought.is_evidence
    assert [(role, path.name) for role, path in brought.files()] == [
        ("crop_table", "a.csv"), ("yield_raster", "c.tif"), ("yield_raster", "d.tif"), ("yields", "b.csv"),
    ]  # fmt: skip


def test_every_file_of_evidence_has_its_role():
    brought = Brought(
        deliveries=["1.csv", "2.csv"], field_estimates="f.csv", commitments="m.csv", contracts="k.csv",
        cooperatives="c.csv",
    )  # fmt: skip
    assert [role for role, _ in brought.files()] == [
        "deliveries", "deliveries", "field_estimates", "commitments", "contracts", "cooperatives",
    ]  # fmt: skip


def test_quintals_are_those_of_the_cooperative_in_every_file(write):
    brought = Brought(
        cooperatives=write("coops.csv", "cooperative_id,quintal_kg,quintal_form\nC,50,green\n"),
        deliveries=[write("d.csv", "cooperative_id,member_id,season,qq\nC,A,2025/26,3\n")],
        contracts=write("k.csv", "cooperative_id,qq,month\nC,10,2027-01\n"),
    )
    evidence, _ = read_evidence(brought, CHOSEN)
    assert evidence.deliveries["kg"].tolist() == [150.0]
    assert evidence.contracts["kg"].tolist() == [500.0]
    assert evidence.settings.loc["C", "quintal_kg"] == 50.0


def test_several_files_of_deliveries_are_one_table(write):
    files = [
        write(f"{season[:4]}.csv", f"cooperative_id,member_id,season,kg green\nC,A,{season},{kg}\n")
        for season, kg in (("2024/25", 10), ("2025/26", 20))
    ]
    deliveries = read_evidence(Brought(deliveries=files), CHOSEN)[0].deliveries
    assert deliveries[["season", "kg"]].values.tolist() == [["2024/25", 10.0], ["2025/26", 20.0]]
    assert deliveries.index.tolist() == [0, 1]


def test_commitments_without_a_season_are_of_the_one_after_the_last_delivery(write):
    deliveries = write("d.csv", "cooperative_id,member_id,season,kg green\nC,A,2024/25,10\n")
    brought = Brought(deliveries=[deliveries], commitments=write("m.csv", "member_id,kg green\nA,30\n"))
    assert read_evidence(brought, NO_SEASON)[0].commitments["season"].tolist() == ["2025/26"]
    assert read_evidence(brought, CHOSEN)[0].commitments["season"].tolist() == ["2026/27"]
    with pytest.raises(ColumnError, match="season"):
        read_evidence(Brought(commitments=brought.commitments), NO_SEASON)


def test_rows_find_the_cooperative_of_their_member(write):
    members = pd.DataFrame({"cooperative_id": ["C", "D"]}, index=["A", "B"])
    brought = Brought(field_estimates=write("f.csv", "member_id,kg green\nB,30\n"))
    assert read_evidence(brought, CHOSEN, members)[0].field_estimates["cooperative_id"].tolist() == ["D"]


def test_a_share_told_for_all_stands_where_a_cooperative_tells_none(write):
    brought = Brought(
        cooperatives=write("coops.csv", "cooperative_id,delivered_share,bag_kg\nA,0.9,\nB,,60\n"), delivered_share=0.6
    )
    settings = read_evidence(brought, CHOSEN)[0].settings
    assert settings["delivered_share"].to_dict() == {"": 0.6, "A": 0.9, "B": 0.6}
    assert settings.index.is_monotonic_increasing
    assert np.isnan(settings.loc["", "bag_kg"]) and settings.loc["B", "bag_kg"] == 60.0


def test_a_share_in_the_file_that_is_everyones_wins_over_the_one_beside(write):
    brought = Brought(cooperatives=write("coops.csv", "delivered_share\n0.9\n"), delivered_share=0.6)
    assert read_evidence(brought, CHOSEN)[0].settings["delivered_share"].to_dict() == {"": 0.9}


def test_a_share_alone_is_a_row_for_everyone_with_nothing_else():
    settings = read_evidence(Brought(delivered_share=0.6), CHOSEN)[0].settings
    assert settings.index.tolist() == [""]
    assert settings.loc[""].replace("", np.nan).dropna().to_dict() == {"delivered_share": 0.6}


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, 70.0, float("nan")])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(NumberError, match="seventy percent"):
        read_evidence(Brought(delivered_share=share), CHOSEN)


def test_the_day_goes_along_and_must_be_a_date():
    assert read_evidence(Brought(delivered_share=0.6, as_of="2027-01-31"), CHOSEN)[0].as_of == "2027-01-31"
    for text in ("31.01.2027", "2027-02-30", "January"):
        with pytest.raises(NumberError, match="2027-01-31"):
            read_evidence(Brought(delivered_share=0.6, as_of=text), CHOSEN)


def test_what_is_wrong_in_any_file_is_told_in_one_table(write):
    brought = Brought(
        cooperatives=write("coops.csv", "cooperative_id,delivered_share\nC,80\n"),
        deliveries=[write("d.csv", "cooperative_id,member_id,season,kg green\nC,A,2025/26,10\nC,B,2025/26,much\n")],
    )
    _, found = read_evidence(brought, CHOSEN)
    assert [len(table) for table in found] == [2]
    assert sorted(found[0]["code"]) == ["impossible_value", "unreadable_value"]
