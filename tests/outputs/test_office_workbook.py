"""The office's workbook, read back by another library: no formula, the numbers of the CSV files, pages that print."""

import csv
import io

import openpyxl
import pytest

from geomap.outputs.office_workbook import EXCEL_ROWS, write_office_workbook
from geomap.outputs.tables import write_run
from geomap.outputs.words import LANGUAGES, words

SHEETS = ["Summary", "Members", "Plots", "Months", "Communities", "Findings", "What can be sold", "About"]


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("office")
    write_run(run, folder / "run", pages=False)
    write_office_workbook(run, folder / "office.xlsx")
    return openpyxl.load_workbook(folder / "office.xlsx"), folder / "run"


def header(sheet):
    """Row and titles of the header: the last row above the frozen ones."""
    row = int("".join(letter for letter in sheet.freeze_panes if letter.isdigit())) - 1
    return row, [cell.value for cell in sheet[row]]


def column(sheet, title):
    row, titles = header(sheet)
    return [line[titles.index(title)].value for line in sheet.iter_rows(min_row=row + 1)]


def in_csv(path, name):
    with path.open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def cells(book):
    return [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None]


def test_the_sheets_are_those_that_an_office_works_with(written):
    assert written[0].sheetnames == SHEETS


@pytest.mark.parametrize(
    ("sheet", "title", "file", "name"),
    [
        ("Members", "Potential: mean, kg", "members.csv", "potential_kg"),
        ("Members", "Area, ha", "members.csv", "area_ha"),
        ("Communities", "Potential: high case, kg", "by_community.csv", "potential_p90_kg"),
        ("Communities", "Members with a plot", "by_community.csv", "members_mapped"),
        ("Months", "mean, kg", "months.csv", "mean_kg"),
        ("Findings", "Effect, ha", "findings.csv", "effect_ha"),
    ],
)
def test_numbers_are_those_of_the_csv_files(written, sheet, title, file, name):
    book, folder = written
    told = [float(text) if text else None for text in in_csv(folder / file, name)]
    assert [None if value is None else float(value) for value in column(book[sheet], title)] == told


def test_plots_are_those_of_the_run(run, written):
    values = column(written[0]["Plots"], "Potential: mean, kg")
    assert values == [pytest.approx(round(kg, 1), abs=0.051) for kg in run.plots["potential_kg"]]


def test_the_sum_stands_last_on_the_summary(run, written):
    assert column(written[0]["Summary"], "Cooperative")[-1] == "All together"
    assert column(written[0]["Summary"], "Potential: mean, kg")[-1] == pytest.approx(
        run.total["potential_kg"], abs=0.06
    )


def test_the_offices_own_unit_stands_beside_kilograms(written):
    sheet = written[0]["Summary"]
    kg, quintals = (column(sheet, f"Potential: mean, {unit}") for unit in ("kg", "quintals of 46\N{NO-BREAK SPACE}kg"))
    assert quintals == [pytest.approx(value / 46, abs=0.006) for value in kg]


@pytest.mark.parametrize("hostile", [False, True])
def test_no_cell_is_a_formula_or_a_link(run, hostile_run, tmp_path, hostile):
    write_office_workbook(hostile_run if hostile else run, tmp_path / "office.xlsx")
    book = openpyxl.load_workbook(tmp_path / "office.xlsx")
    assert {cell.data_type for cell in cells(book)} <= {"s", "n"}
    assert not any(cell.hyperlink for cell in cells(book))
    if hostile:
        texts = {cell.value for cell in cells(book)}
        assert "=1+1" in texts
        assert "</script><script>window.marker='script'</script>" in texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_sheets_of_its_own_names(run, tmp_path, language):
    write_office_workbook(run, tmp_path / "office.xlsx", language=language)
    names = openpyxl.load_workbook(tmp_path / "office.xlsx").sheetnames
    texts = words(language)
    assert names[1] == texts["s:members"]
    assert names[-1] == texts["wb:about"]
    assert len({name.casefold() for name in names}) == len(SHEETS)
    assert all(len(name) <= 31 for name in names)


def test_every_sheet_prints_in_landscape_one_page_wide_with_its_header_repeated(written):
    for sheet in written[0]:
        assert sheet.page_setup.orientation == "landscape"
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
        assert (sheet.page_setup.fitToWidth or 1, sheet.page_setup.fitToHeight) == (1, 0)  # 1 is not written
    for name in ("Members", "Plots", "Communities"):
        sheet = written[0][name]
        assert sheet.print_title_rows.replace("$", "") == f"{header(sheet)[0]}:{header(sheet)[0]}"


def test_units_stand_in_the_number_formats_and_every_column_is_explained(written):
    book = written[0]
    formats = {cell.number_format for row in book["Members"].iter_rows(min_row=4, max_row=4) for cell in row}
    assert {'#,##0" kg"', '#,##0.00" ha"'} <= formats
    about = {(row[0].value, row[1].value) for row in book["About"].iter_rows()}
    for name in ("Members", "Plots", "Months", "Communities", "Findings"):
        assert {(name, title) for title in header(book[name])[1]} <= about


def test_rows_that_do_not_fit_on_a_sheet_are_said(run, tmp_path):
    write_office_workbook(run, tmp_path / "office.xlsx", most_rows=23)
    sheet = openpyxl.load_workbook(tmp_path / "office.xlsx")["Members"]
    assert sheet.max_row == 23  # title, note, header and 20 rows
    assert (
        sheet["A2"].value
        == f"20 of {len(run.members)} rows are shown: a sheet holds no more. All stand in members.csv."
    )
    assert EXCEL_ROWS == 2**20


def test_what_is_not_known_is_said(run, tmp_path):
    from dataclasses import replace

    write_office_workbook(replace(run, by={}, months=run.months.iloc[:0]), tmp_path / "office.xlsx")
    book = openpyxl.load_workbook(tmp_path / "office.xlsx")
    assert book["Communities"]["A2"].value == "This run does not sum by community."
    assert "no evidence of supply" in book["What can be sold"]["A2"].value
    assert book["Months"]["A2"].value == "No season or no harvest calendar is known."


def test_equal_runs_give_equal_bytes(run, tmp_path):
    for name in ("a", "b"):
        write_office_workbook(run, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert io.BytesIO((tmp_path / "a").read_bytes()).read(2) == b"PK"
