"""The template workbook: printed and filled in by an office, and read back sheet by sheet."""

import csv
import subprocess
import sys

import openpyxl
import pandas as pd
import pytest

from geomap.errors import FileError, UnknownNameError
from geomap.outputs.template import COLUMNS, EXAMPLE, form_words, write_template
from geomap.outputs.words import LANGUAGES, words
from geomap.plots.columns import SHARE_NAMES, match_columns
from geomap.plots.formats import read_members, read_plots, read_table
from geomap.plots.intake import take_in, take_in_members
from geomap.plots.template import EXAMPLE_WORDS, SHEETS, mark
from geomap.supply.contracts import read_contracts
from geomap.supply.deliveries import read_deliveries
from geomap.supply.evidence import read_field_estimates
from geomap.supply.forms import form_name

OUTLINE = "POLYGON ((-87.2 14.1, -87.199 14.1, -87.199 14.101, -87.2 14.1))"
ROWS = {
    "members": [{"member_id": "00123", "name": "=1+1", "declared_area_ha": "2,5", "left": "2025-03-01"}],
    "plots": [
        {"plot_id": "P-1", "member_id": "00123", "latitude": 14.1, "longitude": -87.2, "declared_area_ha": 1.5},
        {"plot_id": "P-2", "member_id": "00123", "outline": OUTLINE},
    ],
    "field_estimates": [{"member_id": "00123", "plot_id": "P-1", "season": "2026/27", "kg": 300}],
    "deliveries": [{"member_id": "00123", "cooperative_id": "C", "season": "2024/25", "kg": 450, "form": 0}],
    "contracts": [{"buyer": "Café Import", "cooperative_id": "C", "month": "2027-03", "kg": 19_000, "form": 0}],
}
"""What an office fills in; a form by its place in the list."""


def filled(path, language="en", crop="coffee", rows=ROWS, **options):
    """A template with these rows below its examples, saved by another program."""
    write_template(path, crop=crop, language=language, **options)
    book = openpyxl.load_workbook(path)
    for sheet, (kind, columns) in zip(book.worksheets, COLUMNS.items(), strict=True):
        for line, row in enumerate(rows.get(kind, []), start=5):
            for name, value in row.items():
                given = form_words(crop, language)[value] if name == "form" else value
                cell = sheet.cell(line, columns.index(name) + 1, given)
                cell.data_type = "s" if isinstance(given, str) else "n"
    book.save(path)
    return path


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_reader_takes_its_own_sheet_of_one_file(tmp_path, language):
    path = filled(tmp_path / "office.xlsx", language)
    members, said = read_members(path)
    assert members.index.tolist() == ["00123"]
    assert members.loc["00123", ["name", "declared_area_ha", "left"]].tolist() == ["=1+1", 2.5, "2025-03-01"]
    assert said["code"].tolist() == ["example_row"]
    plots, said = read_plots(path)
    assert plots.index.tolist() == ["P-1", "P-2"]
    assert plots.geometry.geom_type.tolist() == ["Point", "Polygon"]
    assert said["code"].tolist() == ["example_row"]
    deliveries, said = read_deliveries(path, crop="coffee", form="green")
    assert deliveries[["member_id", "season", "kg"]].to_numpy().tolist() == [["00123", "2024/25", 450.0]]
    assert "example_row" in set(said["code"])
    estimates, _ = read_field_estimates(path, crop="coffee", form="green", given_form="green")
    assert estimates[["member_id", "plot_id", "season", "kg"]].to_numpy().tolist() == [
        ["00123", "P-1", "2026/27", 300.0]
    ]
    contracts, _ = read_contracts(path, crop="coffee", form="green")
    assert contracts[["buyer", "month", "kg"]].to_numpy().tolist() == [["Café Import", "2027-03", 19_000.0]]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", SHEETS)
def test_every_sheet_is_found_by_the_names_of_its_reader_and_every_header_is_known(tmp_path, kind, language):
    path = filled(tmp_path / "office.xlsx", language)
    cells = read_table(path, SHEETS[kind]).frame
    headers = [words(language)[f"t:{name}"] for name in COLUMNS[kind]]
    assert cells.columns.tolist() == headers
    assert len(cells) == len(ROWS[kind])
    found = match_columns(headers, SHEETS[kind], file=path.name)
    assert found == dict(zip(COLUMNS[kind], headers, strict=True))


@pytest.mark.parametrize("uploads", [False, True])
def test_the_child_reads_it_too(tmp_path, uploads):
    path = filled(tmp_path / "office.xlsx")
    assert take_in(path, uploads=uploads)[0].index.tolist() == ["P-1", "P-2"]
    assert take_in_members(path, uploads=uploads)[0].index.tolist() == ["00123"]


def test_an_empty_sheet_is_not_stood_in_for_by_another(tmp_path):
    path = filled(tmp_path / "office.xlsx", rows={"field_estimates": ROWS["field_estimates"]})
    with pytest.raises(FileError, match="holds no rows"):
        read_deliveries(path, crop="coffee", form="green")


def test_a_deleted_sheet_is_not_stood_in_for_by_another(tmp_path):
    path = filled(tmp_path / "office.xlsx")
    book = openpyxl.load_workbook(path)
    del book["Deliveries"]
    book.save(path)
    with pytest.raises(FileError, match="a template without a sheet for deliveries"):
        read_deliveries(path, crop="coffee", form="green")
    with pytest.raises(FileError, match="a template without a sheet for this table"):
        read_table(path, SHARE_NAMES)


def test_a_sheet_stays_itself_when_columns_go_and_a_sheet_is_renamed(tmp_path):
    path = filled(tmp_path / "office.xlsx")
    book = openpyxl.load_workbook(path)
    sheet = book["Deliveries"]
    sheet.delete_cols(7)  # without its form, field estimates would fit better
    sheet.delete_cols(5)
    sheet.title = "2024"
    book.save(path)
    deliveries, _ = read_deliveries(path, crop="coffee", form="green", given_form="green")
    assert deliveries["kg"].tolist() == [450.0]


def test_a_copy_of_a_sheet_for_each_community_is_read_with_it(tmp_path):
    path = filled(tmp_path / "office.xlsx")
    book = openpyxl.load_workbook(path)
    copy = book.copy_worksheet(book["Members"])
    copy.title = "Las Flores"
    copy.cell(5, 1).value = "00124"
    book.save(path)
    assert read_members(path)[0].index.tolist() == ["00123", "00124"]


def test_a_sheet_saved_as_csv_is_read_too(tmp_path):
    book = openpyxl.load_workbook(filled(tmp_path / "office.xlsx", "pt"))
    with (tmp_path / "socios.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows(
            [["" if value is None else value for value in row] for row in book["Sócios"].iter_rows(values_only=True)]
        )
    members, said = read_members(tmp_path / "socios.csv")
    assert members.index.tolist() == ["00123"]
    assert said["code"].tolist() == ["example_row"]


def test_only_rows_marked_as_examples_in_a_template_are_left_out(tmp_path):
    rows = [{"member_id": "Example: M-9", "name": "written over"}, {"member_id": "Example", "name": "Ana"}]
    members, said = read_members(filled(tmp_path / "office.xlsx", rows={"members": rows}))
    assert members.index.tolist() == ["Example"]
    assert "(row 1, 2)" in said["message"].iloc[0]
    (tmp_path / "own.csv").write_text("member_id,name\nExample: M-9,Ana\n")
    assert read_members(tmp_path / "own.csv")[0].index.tolist() == ["Example: M-9"]


def test_the_example_is_marked_in_each_language():
    assert {words(language)["example"].casefold() for language in LANGUAGES} == set(EXAMPLE_WORDS)
    assert {name for names in COLUMNS.values() for name in names} - set(EXAMPLE) == {"form", "tenure"}


@pytest.mark.parametrize(("crop", "language"), [(c, lang) for c in ("coffee", "cocoa", "honey") for lang in LANGUAGES])
def test_forms_to_choose_from_are_words_that_are_read_back(crop, language):
    forms = pd.Series(form_words(crop, language)).map(lambda word: form_name(crop, word))
    assert len(forms) and forms.is_unique


def test_honey_has_hives_and_no_areas(tmp_path):
    write_template(tmp_path / "miel.xlsx", crop="honey", language="es")
    sheet = openpyxl.load_workbook(tmp_path / "miel.xlsx")["Parcelas"]
    headers = [cell.value for cell in sheet[3]]
    assert "Colmenas" in headers
    assert "Año de siembra" not in headers


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sheet_prints_on_wide_pages_with_its_header_on_each(tmp_path, language):
    write_template(tmp_path / "office.xlsx", language=language, season="2026/27")
    book = openpyxl.load_workbook(tmp_path / "office.xlsx")
    assert book.sheetnames == [words(language)[f"s:{kind}"] for kind in COLUMNS]
    for sheet, (kind, columns) in zip(book.worksheets, COLUMNS.items(), strict=True):
        assert sheet["A1"].value.endswith(mark(kind))
        assert [cell.value for cell in sheet[3]] == [words(language)[f"t:{name}"] for name in columns]
        assert all(cell.value for cell in sheet[2])  # what belongs in each column
        assert sheet["A4"].value.startswith(f"{words(language)['example']}: ")
        assert sheet["A4"].font.color.rgb == "FF868E96"
        assert sheet.freeze_panes == "B4"
        assert (sheet.page_setup.orientation, sheet.page_setup.paperSize) == ("landscape", 9)
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
        assert sheet.page_setup.fitToHeight == 0  # one page wide, as many as it takes
        assert sheet.print_title_rows == "$2:$3"
        assert not sheet.print_area  # a fixed one would cut off what is written below it
        assert sheet.max_row == 4 + 40  # lines to write on
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n", "d"}
    contracts = book.worksheets[-1].data_validations.dataValidation
    lists = {str(rule.sqref): rule.formula1 for rule in contracts}
    assert lists["E4:E1048576"] == '"' + ",".join(form_words("coffee", language)) + '"'
    assert lists["C4:C1048576"].startswith('"2026-10,2026-11,') and lists["C4:C1048576"].endswith(',2027-09"')


def test_without_a_season_months_are_typed(tmp_path):
    write_template(tmp_path / "office.xlsx")
    rules = openpyxl.load_workbook(tmp_path / "office.xlsx")["Contracts"].data_validations.dataValidation
    assert [str(rule.sqref) for rule in rules] == ["E4:E1048576"]  # the forms alone


def test_equal_options_give_equal_bytes_also_in_another_process(tmp_path):
    write_template(tmp_path / "a.xlsx", language="fr")
    code = "import sys; from geomap.outputs.template import write_template; write_template(sys.argv[1], language='fr')"
    subprocess.run([sys.executable, "-c", code, tmp_path / "b.xlsx"], check=True)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


@pytest.mark.parametrize("options", [{"crop": "tea"}, {"language": "sw"}, {"season": "soon"}])
def test_a_name_that_is_not_known_is_refused(tmp_path, options):
    with pytest.raises(UnknownNameError):
        write_template(tmp_path / "office.xlsx", **options)
    assert list(tmp_path.iterdir()) == []
