"""Files of a land-cover sample: read by our own readers and by others, filled in, and read back."""

import csv
import hashlib
from xml.etree import ElementTree

import openpyxl
import pandas as pd
import pytest

from geomap.errors import OutputError, UnknownNameError
from geomap.landcover.local_sample import local_shares, read_local_sample
from geomap.landcover.product import product
from geomap.landcover.sample_plan import SamplePlan
from geomap.outputs.sample_plan import SHEET_COLUMNS, TO_FILL_IN, write_sample_plan
from geomap.outputs.words import LANGUAGES, words
from geomap.plots.formats import read_plots

KML = "{http://www.opengis.net/kml/2.2}"
WORLDCOVER = product("esa-worldcover-2021")


@pytest.fixture
def plan() -> SamplePlan:
    classes = [10, 50, 10, 80, 50, 50, 50, 50]
    points = pd.DataFrame(
        {
            "longitude": [-88.7 + 0.001 * k for k in range(8)],
            "latitude": [14.7 - 0.001 * k for k in range(8)],
            "plot_id": ["=1+1", "00123", "P<&>", "F4", "F5", "F6", "F7", "F8"],
            "cooperative_id": "C",
            "community": "El Cedro & Hnos",
            "map_class": classes,
            "name": [WORLDCOVER.legend.loc[code, "name"] for code in classes],
        },
        index=pd.Index([f"P{k:03d}" for k in range(1, 9)], name="point_id", dtype="str"),
    )
    return SamplePlan(points, pd.DataFrame(), 0.1, 9.2)


def fill(path, answers) -> None:
    """Answers of a technician: (what is there, can it bear) per point, as somebody types them into the workbook."""
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    columns = {cell.value: cell.column for cell in sheet[2]}
    for line, answer in enumerate(answers, start=3):
        for name, value in zip(("reference_class", "can_bear"), answer, strict=True):
            sheet.cell(line, columns[name], value)
    book.save(path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_filled_workbook_is_read_back(tmp_path, plan, language):
    _, sheet = write_sample_plan(plan, WORLDCOVER, tmp_path, language=language)
    yes, no = words(language)["lc:yes"], words(language)["lc:no"]
    built, tree = WORLDCOVER.legend.loc[50, "name"], WORLDCOVER.legend.loc[10, "name"]
    fill(
        sheet, [(tree, yes), (built, no), (None, None), ("80", None), (tree, yes), (tree, yes), (built, no), (None, no)]
    )
    sample, findings = read_local_sample(sheet, WORLDCOVER)
    assert sample.index.tolist() == ["P001", "P002", "P004", "P005", "P006", "P007", "P008"]
    assert sample["map_class"].tolist() == [10, 50, 80, 50, 50, 50, 50]
    assert sample["can_bear"].tolist() == [True, False, False, True, True, False, False]
    assert findings["code"].tolist() == ["points_not_visited"]
    legend, _ = local_shares(sample, WORLDCOVER)
    assert legend.loc[50, "points"] == 5
    assert legend.loc[50, "users_accuracy"] == pytest.approx((3 + 21.4719 * 0.659) / 26.4719, abs=1e-5)


def test_a_filled_csv_is_read_back(tmp_path, plan):
    _, sheet = write_sample_plan(plan, WORLDCOVER, tmp_path, sheet="csv")
    rows = list(csv.DictReader(sheet.read_text(encoding="utf-8-sig").splitlines()))
    assert list(rows[0]) == list(SHEET_COLUMNS)
    assert [rows[0]["plot_id"], rows[1]["plot_id"]] == ["'=1+1", "00123"]
    rows[1]["can_bear"] = "no"
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, SHEET_COLUMNS, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    sample, _ = read_local_sample(sheet, WORLDCOVER)
    assert sample[["map_class", "can_bear"]].to_dict("index") == {"P002": {"map_class": 50, "can_bear": False}}


def test_the_points_open_as_placemarks_that_do_not_tell_what_the_map_shows(tmp_path, plan):
    kml, _ = write_sample_plan(plan, WORLDCOVER, tmp_path, language="fr")
    marks = list(ElementTree.parse(kml).getroot().iter(f"{KML}Placemark"))
    assert [mark.findtext(f"{KML}name") for mark in marks] == plan.points.index.tolist()
    assert marks[0].findtext(f"{KML}Point/{KML}coordinates") == "-88.700000,14.700000"
    text = marks[1].findtext(f"{KML}description")
    assert "carré de 9 m" in text
    assert "P002" in text
    assert not any(name.lower() in kml.read_text(encoding="utf-8").lower() for name in WORLDCOVER.legend["name"])


def test_our_own_reader_takes_the_placemarks(tmp_path, plan):
    kml, _ = write_sample_plan(plan, WORLDCOVER, tmp_path)
    points, findings = read_plots(kml)
    assert points.index.tolist() == plan.points.index.tolist()
    assert points.geometry.x.tolist() == pytest.approx(plan.points["longitude"].tolist(), abs=1e-6)
    assert findings.empty


def test_the_workbook_offers_the_legend_and_keeps_texts_as_texts(tmp_path, plan):
    _, path = write_sample_plan(plan, WORLDCOVER, tmp_path, language="es")
    book = openpyxl.load_workbook(path)
    sheet, legend = book.worksheets
    assert [cell.value for cell in sheet[2]] == list(SHEET_COLUMNS)
    assert legend.sheet_state == "hidden"
    assert [row[0].value for row in legend.rows] == WORLDCOVER.legend["name"].tolist()
    rules = {str(rule.sqref): rule.formula1 for rule in sheet.data_validations.dataValidation}
    assert rules == {"F3:F10": "legend!$A$1:$A$11", "G3:G10": '"sí,no"'}
    assert sheet["C3"].value == "=1+1"
    assert sheet["C3"].data_type == "s"
    assert sheet["C4"].value == "00123"
    assert all(sheet.cell(3, list(SHEET_COLUMNS).index(name) + 1).value is None for name in TO_FILL_IN)


def test_equal_plans_give_equal_bytes(tmp_path, plan):
    def digests(folder):
        paths = [
            *write_sample_plan(plan, WORLDCOVER, folder),
            *write_sample_plan(plan, WORLDCOVER, folder, sheet="csv"),
        ]
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_sheet_that_somebody_may_have_filled_in_is_never_written_over(tmp_path, plan):
    kml, sheet = write_sample_plan(plan, WORLDCOVER, tmp_path)
    before = kml.read_bytes(), sheet.read_bytes()
    with pytest.raises(OutputError, match="is there already"):
        write_sample_plan(plan, WORLDCOVER, tmp_path, language="es")
    assert (kml.read_bytes(), sheet.read_bytes()) == before


def test_another_language_or_a_folder_that_is_a_file_is_refused(tmp_path, plan):
    with pytest.raises(UnknownNameError, match="'de'"):
        write_sample_plan(plan, WORLDCOVER, tmp_path, language="de")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_sample_plan(plan, WORLDCOVER, tmp_path / "file")
