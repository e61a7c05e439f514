"""Office workbooks open as they are: titles, merged cells, sums, a sheet per community."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest

from geomap.plots.cells import header_of
from geomap.plots.columns import PLOT_NAMES
from geomap.plots.formats import read_members, read_plots

HEADER = ["Código parcela", "Productor", "Latitud", "Longitud", "Área (ha)"]


def plot(number: int, area: object = 0.5, name: object = "Ana") -> list[object]:
    return [f"{number:05d}", name, 14.1 + number / 100, -87.2, area]


def save(folder: Path, merged: dict[str, list[str]] | None = None, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        for area in (merged or {}).get(name, []):
            sheet.merge_cells(area)
    book.save(folder / "coop.xlsx")
    return folder / "coop.xlsx"


def test_titles_above_the_header_are_passed_over(tmp_path: Path) -> None:
    title = [["Cooperativa Ñandú"], ["Fecha:", "2026-01-01"], ["Lote", "Norte", "Sur"], [], HEADER]
    plots, findings = read_plots(save(tmp_path, a=[*title, plot(1), plot(2)]))
    assert plots.index.tolist() == ["00001", "00002"]
    assert plots["row"].tolist() == [1, 2]
    assert findings.empty


def test_titles_above_the_header_of_a_csv_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "coop.csv"
    path.write_text("Cooperativa;;;\n\nparcela;lat;lon;ha\n007;14,1;-87,2;0,5\nTOTAL;;;0,5\n", encoding="utf-8")
    plots, findings = read_plots(path)
    assert plots["declared_area_ha"].to_dict() == {"007": 0.5}
    assert findings["code"].tolist() == ["totals_row"]


def test_empty_rows_and_columns_do_not_count(tmp_path: Path) -> None:
    rows = [[None, *HEADER], [], [None, *plot(1)], [None] * 6, [None, *plot(2)], []]
    plots, findings = read_plots(save(tmp_path, a=rows))
    assert plots.index.tolist() == ["00001", "00002"]
    assert plots["row"].tolist() == [2, 4]
    assert findings.empty


@pytest.mark.parametrize(
    "total",
    [
        ["TOTAL", None, None, None, 3.5],
        ["Total general", None, None, None, 3.5],
        [None, "Sub-total:", None, None, "3,5"],
        ["Suma", 3, None, None, 3.5],
        [None, None, None, None, 3.5],  # 0.5 + 1 + 2, with no word
        ["Jumlah", None, None, None, 3.5],
    ],
)
def test_sums_are_left_out_with_a_note(total: list[object], tmp_path: Path) -> None:
    plots, findings = read_plots(save(tmp_path, a=[HEADER, plot(1, 0.5), plot(2, 1), plot(3, 2), total]))
    assert plots["declared_area_ha"].sum() == 3.5
    assert len(plots) == 3
    assert findings["code"].tolist() == ["totals_row"]
    assert "row 4" in findings["message"].iloc[0]


@pytest.mark.parametrize(
    "last",
    [
        [None, None, None, None, 9.0],  # no sum of the rows above
        ["Totalito", None, None, None, 3.5],
        ["4", "Total Pérez", 14.2, -87.2, 1.0],
    ],
)
def test_a_row_that_is_no_sum_stays(last: list[object], tmp_path: Path) -> None:
    plots, findings = read_plots(save(tmp_path, a=[HEADER, plot(1, 0.5), plot(2, 1), plot(3, 2), last]))
    assert len(plots) == 4
    assert "totals_row" not in set(findings["code"])


def test_a_name_merged_over_rows_stands_for_each_and_an_area_counts_once(tmp_path: Path) -> None:
    rows = [HEADER, plot(1, 3.0, "Ana"), plot(2, None, None), plot(3, None, None), plot(4, 1.0, "Luis")]
    path = save(tmp_path, {"a": ["B2:B4", "E2:E4"]}, a=rows)
    plots, findings = read_plots(path)
    assert plots["member_id"].tolist() == ["Ana", "Ana", "Ana", "Luis"]
    assert plots["declared_area_ha"].sum() == 4.0
    assert findings["code"].tolist() == ["merged_cells"]


def test_a_header_of_two_rows_is_one(tmp_path: Path) -> None:
    rows = [
        ["Código parcela", "Productor", "Coordenadas", None, "Área", None],
        [None, None, "Latitud", "Longitud", "declarada", "medida"],
        ["00001", "Ana", 14.1, -87.2, 0.5, 0.6],
    ]
    path = save(tmp_path, {"a": ["A1:A2", "B1:B2", "C1:D1", "E1:F1"]}, a=rows)
    plots, _ = read_plots(path)
    assert plots.index.tolist() == ["00001"]
    assert str(plots.geometry.iloc[0]) == "POINT (-87.2 14.1)"
    assert plots["medida"].tolist() == [0.6]


def test_a_merged_title_is_no_header() -> None:
    rows = [["Parcelas de la cooperativa", None, None], ["Parcela", "Lat", "Lon"], ["1", 14.1, -87.2]]
    assert header_of(rows, PLOT_NAMES, [((0, 0), (0, 2))])[::2] == (1, 1)


def test_a_sheet_per_community_is_one_table_and_its_name_the_community(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        **{
            "San José": [["Lista"], HEADER, plot(1), plot(2), ["Total", None, None, None, 1.0]],
            "La Paz ": [HEADER, plot(3)],
            "Notas": [["hecho por", "Ana"]],
        },
    )
    plots, findings = read_plots(path)
    assert plots["community"].to_dict() == {"00001": "San José", "00002": "San José", "00003": "La Paz"}
    assert plots["row"].is_unique
    assert sorted(findings["code"]) == ["sheets_joined", "totals_row"]
    assert "'La Paz' (rows 3 to 3)" in findings.loc[findings["code"] == "sheets_joined", "message"].iloc[0]


def test_a_column_of_communities_counts_before_the_sheets_name(tmp_path: Path) -> None:
    header = [*HEADER, "Comunidad"]
    path = save(tmp_path, A=[header, [*plot(1), "Uno"]], B=[header, [*plot(2), "Dos"]])
    plots, _ = read_plots(path)
    assert plots["community"].tolist() == ["Uno", "Dos"]


def test_a_copy_of_a_sheet_counts_once(tmp_path: Path) -> None:
    rows = [HEADER, plot(1), plot(2)]
    plots, findings = read_plots(save(tmp_path, **{"Parcelas": rows, "Parcelas (2)": rows}))
    assert len(plots) == 2
    assert findings["code"].tolist() == ["sheets_joined"]


def test_sheets_with_other_columns_are_not_joined(tmp_path: Path) -> None:
    path = save(tmp_path, socios=[["codigo_socio", "nombre"], ["M1", "Ana"]], parcelas=[HEADER, plot(1)])
    assert len(read_plots(path)[0]) == 1
    assert read_members(path)[0]["name"].to_dict() == {"M1": "Ana"}


def test_a_hidden_sheet_is_not_read(tmp_path: Path) -> None:
    path = save(tmp_path, new=[HEADER, plot(1)], old=[HEADER, plot(2)])
    book = openpyxl.load_workbook(path)
    book["old"].sheet_state = "hidden"
    book.save(path)
    assert read_plots(path)[0].index.tolist() == ["00001"]


def test_an_area_that_became_a_date_is_said(tmp_path: Path) -> None:
    import datetime

    plots, findings = read_plots(
        save(tmp_path, a=[HEADER, plot(1, datetime.datetime(2025, 10, 1)), plot(2, "1-50-25")])
    )
    assert plots["declared_area_ha"].tolist()[1] == 1.5025
    assert "it is a date" in findings["message"].iloc[0]
