"""The technician's kit: what it asks, what comes back, and what it looks like."""

import csv
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import openpyxl
import pandas as pd
import pytest
from shapely.geometry import Point, Polygon, box

from geomap.errors import ColumnError, FileError, UnknownNameError
from geomap.findings import CODES, join_findings, make_findings
from geomap.outputs import kit
from geomap.outputs.kit_data import kit_of
from geomap.outputs.kit_pages import sketches, work_lists
from geomap.outputs.words import LANGUAGES, words
from geomap.plots import intake
from geomap.plots.decisions import DECISIONS, apply_decisions
from geomap.plots.prepare import prepare_plots

LOCALE = Path(kit.__file__).parents[1] / "locale"
STEP = 0.001


def square(west, south=0.0, size=1.0):
    return box(
        -87.123456 + west * STEP,
        14.123456 + south * STEP,
        -87.123456 + (west + size) * STEP,
        14.123456 + (south + size) * STEP,
    )


BOW_TIE = Polygon([(-87.02, 14.0), (-87.021, 14.001), (-87.021, 14.0), (-87.02, 14.001)])
NAMES = {
    "M1": "Ana López",
    "M2": "=1+1",
    "M3": "<img src=x onerror=\"window.marker='img'\">",
    "M4": "Óscar {{ 7*191 }}",
}


@pytest.fixture(scope="module")
def prepared():
    """Six plots of three members and a fourth member without one; P1 and P2 overlap, P3 is crossed, P4 is a point."""
    shapes = [square(0), square(0.5), BOW_TIE, Point(-87.05, 14.05), square(9), square(9, size=0.3)]
    ids = ["00123", "+254", "P3", "P4", "P5", "P6"]
    plots = gpd.GeoDataFrame(
        {
            "given_id": ids, "member_id": ["M1", "M2", "M3", "M3", "M3", "M3"], "cooperative_id": "C",
            "community": ["El Cedro", "Las Flores", "", "", "", ""], "crop": "", "row": range(1, 7),
            "declared_area_ha": [1.0, 9.0, np.nan, 6.5, np.nan, np.nan],
            "gps_accuracy_m": np.nan, "planted_share": np.nan, "planted_year": np.nan, "hives": np.nan,
        },
        geometry=shapes, index=pd.Index(ids, name="plot_id", dtype="str"), crs="EPSG:4326",
    )  # fmt: skip
    members = pd.DataFrame(
        {
            "name": NAMES.values(),
            "community": "El Cedro",
            "cooperative_id": "C",
            "declared_area_ha": [np.nan] * 3 + [2.5],
        },
        index=pd.Index(NAMES, name="member_id", dtype="str"),
    )
    return prepare_plots(plots, members, country="HN")


def workbook(path):
    sheet = openpyxl.load_workbook(path).worksheets[0]
    header = [cell.value for cell in sheet[1]]
    return sheet, header


# ---- the catalogues ----


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_code_has_a_title_and_a_remedy_in_each_language(language):
    texts = words(language)
    assert set(texts.titles) == set(CODES)
    assert [code for code in CODES if not texts.titles[code] or not texts.remedies[code]] == []
    assert set(texts.words) == set(words("en").words)
    assert len({texts[f"d:{decision}"] for decision in DECISIONS}) == len(DECISIONS)


def test_english_titles_are_those_of_the_codes():
    assert words("en").titles == {code: title for code, (_, title) in CODES.items()}


def test_the_catalogues_are_the_only_ones_and_have_no_row_twice():
    assert sorted(path.stem for path in LOCALE.iterdir()) == sorted(LANGUAGES)
    for path in LOCALE.iterdir():
        keys = [row["code"] for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
        assert len(keys) == len(set(keys))


def test_another_language_is_refused(prepared, tmp_path):
    with pytest.raises(UnknownNameError, match="en, es, fr, pt"):
        kit.write_kit(prepared, tmp_path, language="sw")


# ---- the workbook ----


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_workbook_has_a_row_per_finding_and_can_be_filtered(prepared, tmp_path, language):
    kit.write_kit(prepared, tmp_path, language=language)
    sheet, header = workbook(tmp_path / "findings.xlsx")
    assert sheet.max_row == len(prepared.findings) + 1
    assert sheet.auto_filter.ref.startswith("A1:")
    assert sheet.freeze_panes == "C2"
    assert header[9] == words(language)["decision"]
    assert header[-3:] == ["code", "plot_id", "other_plot_id"]
    (rule,) = sheet.data_validations.dataValidation
    assert rule.formula1 == '"' + ",".join(words(language)[f"d:{one}"] for one in DECISIONS) + '"'
    assert str(rule.sqref) == f"J2:J{sheet.max_row}"


def test_texts_are_never_formulas_and_ids_stay_as_written(prepared, tmp_path):
    kit.write_kit(prepared, tmp_path)
    sheet, header = workbook(tmp_path / "findings.xlsx")
    cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row if cell.value is not None]
    assert {cell.data_type for cell in cells} <= {"s", "n", "inlineStr"}
    column = [row[header.index("Plot, as written")].value for row in sheet.iter_rows(min_row=2)]
    assert "+254" in column
    other = [row[header.index("Other plot")].value for row in sheet.iter_rows(min_row=2)]
    assert "00123" in other
    assert "=1+1" in [row[header.index("Name")].value for row in sheet.iter_rows(min_row=2)]


def test_equal_inputs_give_equal_bytes(prepared, tmp_path):
    first, second = (kit.write_kit(prepared, tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize("language", LANGUAGES)
def test_decisions_come_back_and_are_applied(prepared, tmp_path, language):
    kit.write_kit(prepared, tmp_path, language=language)
    path = tmp_path / "findings.xlsx"
    assert kit.read_decisions(path).empty
    book = openpyxl.load_workbook(path)
    sheet = book.worksheets[0]
    header = [cell.value for cell in sheet[1]]
    texts, expected = words(language), []
    for line in range(2, sheet.max_row + 1):
        code, plot, other = (sheet.cell(line, header.index(name) + 1).value or "" for name in kit._MACHINE)
        choice = {"overlap": "same_plot", "polygon_needed": "walked_again", "contained_plot": "leave_out"}.get(code)
        if choice:
            sheet.cell(line, header.index(texts["decision"]) + 1).value = texts[f"d:{choice}"].upper()
            expected.append([plot, other, code, choice])
    book.save(path)
    decisions = kit.read_decisions(path)
    assert decisions.to_numpy().tolist() == expected
    assert sorted(row[3] for row in expected) == ["leave_out", "same_plot", "walked_again"]
    after, findings = apply_decisions(prepared.plots, decisions)
    assert after.index.tolist() == ["00123", "P4", "P5"] or after.index.tolist() == ["+254", "P4", "P5"]
    assert len(findings) == 3


def test_a_decision_that_nobody_knows_is_refused_with_its_row(prepared, tmp_path):
    kit.write_kit(prepared, tmp_path)
    path = tmp_path / "findings.xlsx"
    book = openpyxl.load_workbook(path)
    book.worksheets[0].cell(3, 10).value = "perhaps"
    book.save(path)
    with pytest.raises(ColumnError, match="row 3: the decision 'perhaps'"):
        kit.read_decisions(path)
    book.worksheets[0].delete_cols(17)
    book.save(path)
    with pytest.raises(ColumnError, match="plot_id"):
        kit.read_decisions(path)
    path.write_text("no workbook")
    with pytest.raises(FileError, match=r"\.xlsx"):
        kit.read_decisions(path)


def test_decisions_of_a_stranger_are_read_in_the_child_within_its_caps(prepared, tmp_path, monkeypatch):
    long = make_findings("encoding", [""], "not UTF-8 " * 500)
    kit.write_kit(prepared, tmp_path, findings=join_findings([prepared.findings, long]))
    path = tmp_path / "findings.xlsx"
    book = openpyxl.load_workbook(path)
    book.worksheets[0].cell(2, 10).value = "keep"
    book.save(path)
    children = []
    run = intake.run
    monkeypatch.setattr(intake, "run", lambda *args, **more: children.append(more["limits"]) or run(*args, **more))
    assert kit.read_decisions(path, uploads=True)["decision"].tolist() == ["keep"]
    assert kit.read_decisions(path)["decision"].tolist() == ["keep"]
    assert len(children) == 2
    assert children[0] == intake.UPLOAD_LIMITS


def test_decisions_saved_as_csv_come_back_too(prepared, tmp_path):
    kit.write_kit(prepared, tmp_path, language="es")
    table = pd.read_excel(tmp_path / "findings.xlsx", dtype=str, keep_default_na=False, engine="calamine")
    table.loc[0, "Decisión"] = "Excluir"
    table.to_csv(tmp_path / "findings.csv", index=False, sep=";")
    decisions = kit.read_decisions(tmp_path / "findings.csv")
    assert decisions.to_numpy().tolist() == [[*table.loc[0, ["plot_id", "other_plot_id", "code"]], "leave_out"]]


def test_a_workbook_that_would_fill_the_memory_is_no_file_of_decisions(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["code", "plot_id", "other_plot_id", "Decision"])
    book.active["XFD1048576"] = "far"
    book.save(tmp_path / "findings.xlsx")
    with pytest.raises(FileError, match="too large a workbook"):
        kit.read_decisions(tmp_path / "findings.xlsx")


def test_findings_of_reading_can_be_added(prepared, tmp_path):
    more = join_findings([prepared.findings, make_findings("encoding", [""], "not UTF-8")])
    kit.write_kit(prepared, tmp_path, findings=more)
    assert workbook(tmp_path / "findings.xlsx")[0].max_row == len(more) + 1


def test_no_findings_and_no_members_make_a_kit_too(prepared, tmp_path):
    nothing = SimpleNamespace(plots=prepared.plots.iloc[:0], members=None, findings=join_findings([]))
    kit.write_kit(nothing, tmp_path)
    assert workbook(tmp_path / "findings.xlsx")[0].max_row == 1


# ---- the pages ----


def section(page, community):
    return page.partition(f"<h2>{community}")[2].partition("</section>")[0]


def test_work_lists_answer_what_a_technician_asks(prepared):
    page = work_lists(kit_of(prepared), words("en"))
    cedro, flores = section(page, "El Cedro"), section(page, "Las Flores")
    assert "Walk these plots again (2)" in cedro  # P3 crosses itself, P4 is a point of 6.5 ha; both of M3 of El Cedro
    assert "Members without a plot (1)" in cedro
    assert "2.50" in cedro
    assert "Declared areas that differ (1)" in flores  # 9 ha declared, 1.19 ha mapped
    # One pair within El Cedro (P6 in P5) and one with Las Flores, which both lists hold.
    assert "Who overlaps whom (2)" in cedro
    assert "Who overlaps whom (1)" in flores
    assert "00123" in cedro and "00123" in flores


def test_a_sketch_has_its_corners_and_a_round_scale_bar():
    (drawn,) = sketches(np.array([square(0)]))
    # 111 m high: a bar of at most 37 m, so 20 m.
    assert drawn.count("<circle") == 4
    assert ">20 m</text>" in drawn
    assert sketches(np.array([Point(0, 0), None, Polygon()])) == ["", "", ""]


def test_sheets_are_cut_into_files_of_five_hundred(prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(kit, "MEMBERS_PER_FILE", 2)
    paths = kit.write_kit(prepared, tmp_path)
    assert [path.name for path in paths[2:]] == ["member_sheets.html", "member_sheets_2.html"]
    assert [path.read_text(encoding="utf-8").count('<section class="sheet"') for path in paths[2:]] == [2, 1]


@pytest.mark.parametrize("size", [(390, 844), (794, 1123)])
@pytest.mark.parametrize("name", ["work_lists.html", "member_sheets.html"])
def test_pages_fit_a_phone_and_a4_and_run_nothing(prepared, tmp_path, chromium_page, name, size):
    kit.write_kit(prepared, tmp_path, language="es")
    page = chromium_page((tmp_path / name).read_text(encoding="utf-8"), width=size[0], height=size[1])
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("window.marker") is None
    assert "<img src=x" in page.inner_text("body")
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith("file:")] == []
    assert page.evaluate("document.documentElement.lang") == "es"
