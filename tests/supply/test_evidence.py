"""Field estimates and commitments: rows with their member, plot, season and kilograms."""

import pandas as pd
import pytest

from geomap.errors import ColumnError
from geomap.supply.evidence import COMMITMENT_COLUMNS, ESTIMATE_COLUMNS, read_commitments, read_field_estimates


def write(tmp_path, text):
    file = tmp_path / "estimaciones.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_an_estimate_keeps_its_plot_its_day_and_who_made_it(tmp_path):
    file = write(tmp_path, "parcela;socio;cosecha;fecha;técnico;qq oro\nP1;A;2026/27;03/08/2026;Ana;10\n")
    rows, found = read_field_estimates(file, crop="coffee", form="parchment")
    assert rows.columns.tolist() == ESTIMATE_COLUMNS
    row = rows.iloc[0]
    assert row[["plot_id", "member_id", "season", "estimator", "given_form"]].tolist() == [
        "P1", "A", "2026/27", "Ana", "green",
    ]  # fmt: skip
    assert row["date"] == pd.Timestamp("2026-08-03")
    assert [row["given_kg"], row["kg"]] == [460.0, 575.0]  # 10 · 46; 460 / .8
    # August 2026 lies in 2025/26, and an estimate of 2026/27 may well be made then.
    assert found["code"].tolist() == ["date_order"]


def test_the_day_of_an_estimate_does_not_tell_its_season(tmp_path):
    file = write(tmp_path, "parcela,fecha,kg oro\nP1,2026-08-03,10\nP2,2026-08-04,5\n")
    rows, found = read_field_estimates(file, crop="coffee", form="green", season="2026/27")
    assert rows["season"].tolist() == ["2026/27", "2026/27"]
    assert len(found) == 0
    with pytest.raises(ColumnError, match="no season"):
        read_field_estimates(file, crop="coffee", form="green")


def test_estimates_are_of_the_cooperative_of_their_member(tmp_path):
    people = pd.DataFrame({"cooperative_id": ["C", "D"]}, index=["A", "B"])
    file = write(tmp_path, "socio,cosecha,kg oro\nB,2026/27,10\n")
    rows, _ = read_field_estimates(file, crop="coffee", form="green", members=people)
    assert rows["cooperative_id"].tolist() == ["D"]


def test_a_commitment_has_no_plot_and_equal_ones_are_not_taken_for_doubles(tmp_path):
    file = write(tmp_path, "socio,fecha,quintales oro comprometidos\nA,2026-08-03,2\nA,2026-08-03,2\n")
    rows, found = read_commitments(file, crop="coffee", form="green", season="2026/27")
    assert rows.columns.tolist() == COMMITMENT_COLUMNS
    assert rows["kg"].tolist() == [92.0, 92.0]  # 2 · 46
    assert found["code"].tolist() == []


@pytest.mark.parametrize("read", [read_field_estimates, read_commitments])
def test_what_cannot_be_counted_is_left_out_and_said(tmp_path, read):
    file = write(tmp_path, "socio,cosecha,kg oro\nA,2026/27,10\nB,2026/27,much\nC,2026/28,5\n")
    rows, found = read(file, crop="coffee", form="green")
    assert rows["member_id"].tolist() == ["A"]
    assert sorted(found["code"]) == ["no_season", "unreadable_value"]
    assert found["effect_kg"].sum() == -5.0


@pytest.mark.parametrize("read", [read_field_estimates, read_commitments])
def test_a_file_without_a_form_is_refused(tmp_path, read):
    with pytest.raises(ColumnError, match="product form"):
        read(write(tmp_path, "socio,cosecha,kg\nA,2026/27,10\n"), crop="coffee", form="green")
