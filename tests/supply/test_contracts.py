"""Contracts: quantity, form, certificate and month as offices write them."""

import datetime

import pandas as pd
import pytest
import xlsxwriter

from geomap.errors import ColumnError
from geomap.supply.contracts import COLUMNS, read_contracts


def read(tmp_path, text, **options):
    file = tmp_path / "contratos.csv"
    file.write_text(text, encoding="utf-8")
    return read_contracts(file, crop="coffee", form=options.pop("form", "green"), **options)


def one(tmp_path, quantity, header="cantidad oro", **options):
    return read(tmp_path, f"comprador;mes;{header}\nR;2027-01;{quantity}\n", **options)


def test_a_contract_has_its_buyer_quantity_certificate_and_month(tmp_path):
    text = "cooperativa,comprador,mes de embarque,kg,forma,certificación\nC,Roastery,enero 2027,100,pergamino,Organic\n"
    rows, found = read(tmp_path, text)
    assert rows.columns.tolist() == COLUMNS
    assert rows.iloc[0].tolist() == ["C", "Roastery", 80.0, 100.0, "parchment", "Organic", "2027-01", 1]  # 100 · .8
    assert len(found) == 0


@pytest.mark.parametrize(
    ("quantity", "kg", "is_said"),
    [
        ("1000 kg", 1000.0, False),
        ("10 qq", 460.0, False),  # 10 · 46
        ("2 t", 2000.0, False),
        ("320 sacos de 60 kg", 19200.0, False),
        ("2 bags of 60 kg", 120.0, False),
        ("275 sacos", 18975.0, True),  # 275 · 69
        ("1 contenedor", 18975.0, True),
        ("2 FCL", 37950.0, True),
    ],
)
def test_quantities_are_in_kilograms_quintals_bags_or_containers(tmp_path, quantity, kg, is_said):
    rows, found = one(tmp_path, quantity)
    assert rows["kg"].tolist() == [kg]
    assert found["code"].tolist() == ["container_assumed"] * is_said


def test_a_bag_that_was_told_makes_the_container_too(tmp_path):
    units = pd.DataFrame({"bag_kg": [60.0]}, index=["C"])
    rows, found = one(tmp_path, "1 contenedor", units=units)
    assert rows["kg"].tolist() == [16500.0]  # 275 · 60
    assert len(found) == 0


@pytest.mark.parametrize(
    "text", ["enero 2027", "Enero de 2027", "2027-01", "2027/1", "Jan 27", "ene-27", "01/2027", "janvier 2027",
             "2027-01-15", "Januari 2027", "Januari, 2027"],
)  # fmt: skip
def test_months_are_read_as_they_are_written(tmp_path, text):
    rows, _ = read(tmp_path, f"comprador;mes;kg oro\nR;{text};5\n")
    assert rows["month"].tolist() == ["2027-01"]


def test_a_month_that_is_a_date_of_a_workbook_is_read(tmp_path):
    with xlsxwriter.Workbook(tmp_path / "c.xlsx") as book:
        sheet, as_month = book.add_worksheet(), book.add_format({"num_format": "mmm-yy"})
        sheet.write_row(0, 0, ["Comprador", "Mes", "kg oro"])
        sheet.write_row(1, 0, ["R", "", 5])
        sheet.write_datetime(1, 1, datetime.datetime(2027, 1, 1), as_month)
    rows, _ = read_contracts(tmp_path / "c.xlsx", crop="coffee", form="green")
    assert rows["month"].tolist() == ["2027-01"]


@pytest.mark.parametrize("text", ["ene", "13/2027", "soon", "2027", ""])
def test_a_contract_without_a_month_still_binds_and_is_said(tmp_path, text):
    rows, found = read(tmp_path, f"comprador;mes;kg oro\nR;2027-02;7\nR;{text};5\n")
    assert rows[["kg", "month"]].to_numpy().tolist() == [[7.0, "2027-02"], [5.0, ""]]
    assert found[["code", "action"]].to_numpy().tolist() == [["no_month", "kept"]]
    assert "row 2" in found["message"][0]


@pytest.mark.parametrize(("text", "expected"), [("", ""), ("ninguna", ""), ("Convencional", ""), ("FT-O", "FT-O")])
def test_no_certificate_means_that_any_will_do(tmp_path, text, expected):
    rows, _ = read(tmp_path, f"comprador;mes;kg oro;sello\nR;2027-01;5;{text}\n", mapping={"sello": "certification"})
    assert rows["certification"].tolist() == [expected]


def test_contracts_of_the_only_cooperative_are_its_own(tmp_path):
    people = pd.DataFrame({"cooperative_id": ["C", "C"]}, index=["A", "B"])
    rows, _ = one(tmp_path, "5 kg", members=people)
    assert rows["cooperative_id"].tolist() == ["C"]


def test_equal_contracts_are_contracts_of_their_own(tmp_path):
    rows, found = read(tmp_path, "comprador;mes;kg oro\nR;2027-01;5\nR;2027-01;5\n")
    assert rows["row"].tolist() == [1, 2] and len(found) == 0


@pytest.mark.parametrize("header", ["cantidad", "kg"])
def test_a_contract_without_a_form_is_refused(tmp_path, header):
    with pytest.raises(ColumnError, match="product form"):
        one(tmp_path, "5 kg", header=header)
