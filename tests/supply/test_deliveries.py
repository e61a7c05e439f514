"""Deliveries as offices keep them: what is read, what is left out, and that no kilogram is lost."""

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geomap.errors import ColumnError, FileError, UnknownNameError
from geomap.findings import CODES
from geomap.plots.columns import DELIVERY_NAMES
from geomap.plots.content import cell_tables
from geomap.plots.formats import read_table
from geomap.plots.intake import take_in_members
from geomap.plots.plain_csv import read_plain_csv
from geomap.supply.deliveries import COLUMNS, check_deliveries, read_deliveries, season_sums, with_cooperatives

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


def read(tmp_path, text, *, crop="coffee", form="green", name="entregas.csv", **options):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_deliveries(file, crop=crop, form=form, **options)


def settings_of(**columns):
    return pd.DataFrame(columns, index=pd.Index(["C"], dtype="str"))


# ---- what a file may look like ----


def test_a_row_becomes_kilograms_of_the_form_of_the_run(tmp_path):
    rows, found = read(tmp_path, "cooperativa,socio,fecha,kg,forma\nC,007,2024-01-15,100,pergamino\n")
    assert rows.columns.tolist() == COLUMNS
    row = rows.iloc[0]
    assert [row["row"], row["cooperative_id"], row["member_id"], row["season"]] == [1, "C", "007", "2023/24"]
    assert [row["given_kg"], row["given_form"], row["kg"]] == [100.0, "parchment", 80.0]  # 100 · .8
    assert row["date"] == pd.Timestamp("2024-01-15")
    assert len(found) == 0


@pytest.mark.parametrize(
    ("header", "cell", "given_kg", "form"),
    [
        ("kg pergamino", "1.234,5", 1234.5, "parchment"),
        ("kg pergamino", "1 234.5 kg", 1234.5, "parchment"),
        ("qq oro", "12", 552.0, "green"),  # 12 · 46
        ("Cantidad", "12 qq oro", 552.0, "green"),
        ("libras uva", "100", 45.359237, "fresh-cherry"),
        ("Poids net (t) cerises", "1.5", 1500.0, "fresh-cherry"),
        ("Peso sacos de 60 kg oro", "10", 600.0, "green"),
        ("kilo gabah", "7", 7.0, "parchment"),
        ("kg cereza seca", "7", 7.0, "dried-cherry"),
    ],
)
def test_units_and_forms_are_read_where_offices_write_them(tmp_path, header, cell, given_kg, form):
    rows, _ = read(tmp_path, f"socio;temporada;{header}\nA;2023/24;{cell}\n")
    assert rows["given_kg"].tolist() == pytest.approx([given_kg])
    assert rows["given_form"].tolist() == [form]


def test_columns_of_units_and_forms_count_for_each_row(tmp_path):
    text = "socio,cosecha,cantidad,unidad,estado\nA,2023-24,10,qq,oro\nB,2023-24,10,lb,uva\n"
    rows, _ = read(tmp_path, text)
    assert rows["given_kg"].tolist() == pytest.approx([460.0, 4.5359237])
    assert rows["given_form"].tolist() == ["green", "fresh-cherry"]


def test_seasons_may_stand_side_by_side(tmp_path):
    text = "socio;Cosecha 2021/22;2022-23;23/24\nA;100;;0\nB;50;60;70\n"
    rows, _ = read(tmp_path, text, given_unit="kg", given_form="green")
    assert rows[["row", "member_id", "season", "kg"]].to_numpy().tolist() == [
        [1, "A", "2021/22", 100.0], [1, "A", "2023/24", 0.0],
        [2, "B", "2021/22", 50.0], [2, "B", "2022/23", 60.0], [2, "B", "2023/24", 70.0],
    ]  # fmt: skip


def test_a_sum_beside_the_seasons_is_no_quantity_of_its_own(tmp_path):
    text = "socio;2021/22 (kg oro);2022/23 (kg oro);Total\nA;100;50;150\n"
    rows, _ = read(tmp_path, text)
    assert rows[["season", "kg"]].to_numpy().tolist() == [["2021/22", 100.0], ["2022/23", 50.0]]


def test_a_workbook_with_titles_and_a_sheet_for_each_season_is_one_table(tmp_path):
    with xlsxwriter.Workbook(tmp_path / "entregas.xlsx") as book:
        for season, kg in [("2022-23", 10.5), ("2023-24", 20)]:
            sheet = book.add_worksheet(season)
            sheet.write_row(0, 0, [f"Cooperativa Flor, {season}"])
            sheet.write_row(2, 0, ["Socio", "qq oro"])
            sheet.write_row(3, 0, ["00123", kg])
            sheet.write_row(4, 0, ["TOTAL", kg])
    rows, found = read_deliveries(tmp_path / "entregas.xlsx", crop="coffee", form="green")
    assert rows[["member_id", "season", "kg"]].to_numpy().tolist() == [
        ["00123", "2022/23", 10.5 * 46], ["00123", "2023/24", 20 * 46.0],
    ]  # fmt: skip
    assert set(found["code"]) == {"sheets_joined", "totals_row"}


def test_numbers_of_a_workbook_need_no_decimal_mark_and_its_dates_are_dates(tmp_path):
    with xlsxwriter.Workbook(tmp_path / "e.xlsx") as book:
        sheet, as_date = book.add_worksheet(), book.add_format({"num_format": "dd/mm/yyyy"})
        sheet.write_row(0, 0, ["Socio", "Fecha", "kg oro"])
        sheet.write_row(1, 0, ["A"])
        sheet.write_datetime(1, 1, datetime.datetime(2024, 2, 1), as_date)
        sheet.write_number(1, 2, 1.234)
        sheet.write_row(2, 0, ["B", "15-ene-24", "1.234,5 kg"])
    rows, _ = read_deliveries(tmp_path / "e.xlsx", crop="coffee", form="green")
    assert rows["kg"].tolist() == [1.234, 1234.5]
    assert rows["date"].dt.strftime("%Y-%m-%d").tolist() == ["2024-02-01", "2024-01-15"]


def test_rows_without_a_member_are_of_the_whole_cooperative(tmp_path):
    rows, _ = read(tmp_path, "cooperative,season,kg,form\nC,2023/24,5000,green\n")
    assert rows[["cooperative_id", "member_id", "kg"]].to_numpy().tolist() == [["C", "", 5000.0]]


def test_the_cooperative_of_a_member_comes_from_the_members_file(tmp_path):
    people = pd.DataFrame({"cooperative_id": ["C", "D"]}, index=["A", "B"])
    rows, _ = read(tmp_path, "socio,season,kg oro\nB,2023/24,5\n", members=people)
    assert rows["cooperative_id"].tolist() == ["D"]


def test_a_mapping_says_what_names_do_not(tmp_path):
    text = "Nro,Acopio,Ciclo\nA,10,2023/24\n"
    rows, _ = read(tmp_path, text, mapping={"Nro": "member_id", "Acopio": "kg"}, given_form="parchment")
    assert rows[["member_id", "kg"]].to_numpy().tolist() == [["A", 8.0]]  # 10 · .8


def test_an_upload_is_read_in_a_child_within_caps(tmp_path):
    file = tmp_path / "e.csv"
    file.write_text("socio;fecha;qq oro\n007;15/01/2024;2,5\n", encoding="utf-8")
    rows, _ = read_deliveries(file, crop="coffee", form="green", uploads=True, declared="text/csv")
    assert rows[["member_id", "kg"]].to_numpy().tolist() == [["007", 115.0]]  # 2.5 · 46
    with pytest.raises(FileError, match="sent as"):
        read_deliveries(file, crop="coffee", form="green", declared="application/geo+json")


# ---- units that differ by cooperative ----


def test_a_quintal_is_what_the_cooperative_told(tmp_path):
    text = "cooperativa,socio,season,qq pergamino\nC,A,2023/24,10\n"
    rows, _ = read(tmp_path, text, units=settings_of(quintal_kg=57.5, quintal_form="parchment"))
    assert rows["given_kg"].tolist() == [575.0]


def test_the_form_of_the_quintal_stands_where_none_is_named(tmp_path):
    text = "cooperativa,socio,season,qq\nC,A,2023/24,10\n"
    rows, _ = read(tmp_path, text, units=settings_of(quintal_kg=57.5, quintal_form="parchment"))
    assert rows[["given_kg", "given_form"]].to_numpy().tolist() == [[575.0, "parchment"]]


def test_settings_of_everyone_count_where_a_cooperative_has_none(tmp_path):
    units = pd.DataFrame({"bag_kg": [70.0, 60.0]}, index=["", "D"])
    text = "cooperativa,socio,season,sacos oro\nC,A,2023/24,1\nD,B,2023/24,1\n"
    rows, _ = read(tmp_path, text, units=units)
    assert rows["kg"].tolist() == [70.0, 60.0]


def test_the_own_outturn_stands_before_the_table(tmp_path):
    text = "cooperativa,socio,season,kg pergamino\nC,A,2023/24,100\nD,B,2023/24,100\n"
    rows, _ = read(tmp_path, text, units=settings_of(outturn=0.75))
    assert rows["kg"].tolist() == pytest.approx([75.0, 80.0])


@pytest.mark.parametrize(
    ("header", "units", "words"),
    [
        ("qq pergamino", None, "how many kilograms a quintal of parchment"),
        ("qq uva", {"quintal_kg": 46.0, "quintal_form": "green"}, "how many kilograms a quintal of fresh-cherry"),
        ("cargas pergamino", None, "how many kilograms a carga of parchment"),
        ("sacos oro", None, "how many kilograms a bag of green"),
        ("kg", None, "of which product form"),
        ("qq", None, "of which product form"),
        ("Peso pergamino", None, "in which unit"),
        ("kg pergamino humedo", None, "product form is not known"),
        ("kg oro/uva", None, "or it names two"),
        ("Observaciones", None, "no column of kilograms"),
    ],
)
def test_what_a_quantity_means_is_asked_and_never_guessed(tmp_path, header, units, words):
    with pytest.raises(ColumnError, match=words) as caught:
        read(tmp_path, f"cooperativa,socio,season,{header}\nC,A,2023/24,10\n", units=units and settings_of(**units))
    assert caught.value.todo


def test_two_columns_of_kilograms_are_an_error_that_names_both(tmp_path):
    with pytest.raises(ColumnError, match="'qq pergamino' and 'qq oro'"):
        read(tmp_path, "socio,season,qq pergamino,qq oro\nA,2023/24,10,8\n")


def test_a_crop_of_one_form_needs_no_form(tmp_path):
    rows, _ = read(tmp_path, "apicultor_id,season,kg\nA,2023/24,10\n", crop="honey", form="honey",
                   mapping={"apicultor_id": "member_id"})  # fmt: skip
    assert rows["given_form"].tolist() == ["honey"]


@pytest.mark.parametrize("options", [{"form": "gold"}, {"given_form": "gold"}, {"given_unit": "loads"}])
def test_unknown_names_of_the_user_are_errors(tmp_path, options):
    with pytest.raises(UnknownNameError):
        read(tmp_path, "socio,season,kg\nA,2023/24,1\n", **options)


# ---- findings ----

BAD_ROWS = {
    "A,2023/24,2023-12-01,-5,oro": "negative_kg",
    "A,2023/24,2023-12-01,5,primera": "product_form_unknown",
    "A,2023/24,2023-12-01,5,": "product_form_unknown",
    "A,2023/24,2023-12-01,5 loads,oro": "unreadable_value",
    "A,2023/24,2023-12-01,5 cargas,oro": "unit_unknown",
    "A,2023/25,,5,oro": "no_season",
    "A,2024,,5,oro": "no_season",
    "A,,,5,oro": "no_season",
    "A,,soon,5,oro": "unreadable_value",
    "G,2023/24,2023-12-02,8,oro": "repeated_delivery",
}


@pytest.mark.parametrize(("row", "code"), BAD_ROWS.items())
def test_a_row_that_cannot_be_counted_is_left_out_with_one_finding_that_names_it(tmp_path, row, code):
    rows, found = read(tmp_path, f"socio,season,fecha,kg,forma\nG,2023/24,2023-12-02,8,oro\n{row}\n")
    assert rows["row"].tolist() == [1]
    assert found["code"].tolist() == [code]
    assert found["action"].tolist() == ["left_out"]
    assert "row 2" in found["message"][0] and found["severity"][0] == CODES[code][0]
    number = "-5" if code == "negative_kg" else row.split(",")[3].split()[0]
    assert number in found["message"][0]


@pytest.mark.parametrize(
    ("row", "code", "season"),
    [
        ("A,2023/24,2022-11-30,5,oro", "date_outside_season", "2023/24"),
        ("A,2023/25,2022-11-30,5,oro", "no_season", "2022/23"),
        ("A,2024,2023-11-30,5,oro", "no_season", "2023/24"),
        ("A,2023/24,soon,5,oro", "unreadable_value", "2023/24"),
    ],
)
def test_a_row_that_still_has_a_season_counts_with_one_finding(tmp_path, row, code, season):
    rows, found = read(tmp_path, f"socio,season,fecha,kg,forma\n{row}\n")
    assert rows[["season", "kg"]].to_numpy().tolist() == [[season, 5.0]]
    assert found["code"].tolist() == [code]
    assert found["action"].tolist() == ["kept"]


def test_a_season_given_counts_only_where_the_file_tells_none(tmp_path):
    text = "socio,season,kg oro\nA,,5\nB,2022/23,6\n"
    rows, found = read(tmp_path, text, season="2024/25")
    assert rows["season"].tolist() == ["2024/25", "2022/23"]
    assert len(found) == 0


def test_forms_in_the_cells_of_one_column_are_read_and_said(tmp_path):
    rows, found = read(
        tmp_path, "socio,season,cantidad\nA,2023/24,5 kg oro\nB,2023/24,10 kg pergamino\nC,2023/24,7 kg\n"
    )
    assert rows["kg"].tolist() == [5.0, 8.0]
    assert sorted(found["code"]) == ["product_form_unknown", "product_forms_mixed"]


def test_equal_rows_with_different_receipts_are_two_deliveries(tmp_path):
    rows, found = read(tmp_path, "socio,fecha,kg oro,recibo\nA,2024-01-05,5,1\nA,2024-01-05,5,2\n")
    assert len(rows) == 2 and len(found) == 0


def test_equal_rows_without_a_date_count_and_are_said(tmp_path):
    rows, found = read(tmp_path, "socio,season,kg oro\nA,2023/24,5\nA,2023/24,5\n")
    assert rows["kg"].sum() == 10.0
    assert found[["code", "action"]].to_numpy().tolist() == [["repeated_delivery", "kept"]]
    assert "5 kg" in found["message"][0]


def test_a_season_of_zeros_is_not_recorded(tmp_path):
    text = "cooperativa,socio,season,kg oro\nC,A,2022/23,0\nC,A,2023/24,0\nC,B,2023/24,3\n"
    rows, found = read(tmp_path, text)
    assert rows["season"].tolist() == ["2023/24", "2023/24"]
    assert found["code"].tolist() == ["delivered_nothing"]


def test_empty_cells_are_no_deliveries(tmp_path):
    rows, found = read(tmp_path, "socio,season,kg oro\nA,2023/24,\nB,2023/24,3\n")
    assert rows["member_id"].tolist() == ["B"]
    assert found[["code", "severity"]].to_numpy().tolist() == [["unreadable_value", "note"]]


@pytest.mark.parametrize("cells", [["1.234", "850"], ["1,234", "850"], ["1.234", "5,678"]])
def test_a_mark_that_may_divide_thousands_is_not_guessed(tmp_path, cells):
    rows = "".join(f"A;2023/24;{cell}\n" for cell in [*cells, "7"])
    _, found = read(tmp_path, "socio;season;kg oro\n" + rows)
    assert "its mark may divide decimals or thousands" in found["message"][0]


@pytest.mark.parametrize(("cells", "kg"), [(["1.234", "8,5"], [1234, 8.5]), (["1,234", "8.5"], [1234, 8.5]),
                                           (["1.234.567", "1.234"], [1234567, 1234])])  # fmt: skip
def test_a_column_tells_its_own_marks(tmp_path, cells, kg):
    rows, _ = read(tmp_path, "socio;season;kg oro\n" + "".join(f"A;2023/24;{cell}\n" for cell in cells))
    assert rows["kg"].tolist() == kg


GOOD = st.tuples(st.sampled_from("ABC"), st.integers(0, 99999), st.sampled_from(["oro", "pergamino", "uva"]))
ROWS = st.lists(st.one_of(GOOD.map(lambda r: (*r, "2023/24", "")), st.tuples(
    st.sampled_from(["A", ""]), st.integers(-999, 99999), st.sampled_from(["oro", "pergamino"]),
    st.sampled_from(["2023/24", "2023/25", "", "2021/22"]), st.sampled_from(["", "2023-12-01", "2021-12-05"]))),
    min_size=1, max_size=25)  # fmt: skip
FACTOR = {"oro": 1.0, "pergamino": 0.8, "uva": 0.159}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_sums_before_and_after_add_up(tmp_path, rows):
    # What the file says = what counts + what is left out, each of it in a finding with its kilograms.
    lines = [f"{member},{season},{date},{kg},{form}" for member, kg, form, season, date in rows]
    text = "socio,season,fecha,kg,forma\nZ,2023/24,,1,oro\n" + "\n".join(lines) + "\n"
    kept, found = read(tmp_path, text)
    told = 1.0 + sum(kg * FACTOR[form] for _, kg, form, _, _ in rows)
    out = found[found["action"] == "left_out"]
    assert kept["kg"].sum() - out["effect_kg"].sum() == pytest.approx(told)
    zeros = out["code"] == "delivered_nothing"
    assert out.loc[~zeros, "message"].str.contains(r", row \d+: .* kg").all()


# ---- against the members ----

PEOPLE = pd.DataFrame(
    {"cooperative_id": ["C", "C", "D"], "joined": ["", "2024-11-01", ""]}, index=pd.Index(["A", "B", "E"], dtype="str")
)


def rows_of(*rows):
    return pd.DataFrame(rows, columns=["cooperative_id", "member_id", "season", "kg"])


@pytest.mark.parametrize(
    ("row", "codes"),
    [
        (("C", "A", "2023/24", 5.0), []),
        (("", "A", "2023/24", 5.0), []),
        (("C", "", "2023/24", 5.0), []),
        (("C", "X", "2023/24", 5.0), ["not_a_member"]),
        (("Z", "", "2023/24", 5.0), ["unknown_cooperative"]),
        (("Z", "X", "2023/24", 5.0), ["unknown_cooperative"]),
        (("", "X", "2023/24", 5.0), ["unknown_cooperative"]),
        (("C", "B", "2023/24", 5.0), ["not_a_member_then"]),
        (("C", "B", "2024/25", 5.0), []),
        (("C", "A", "2023/24", 401.0), ["impossible_delivery"]),
        (("C", "A", "2023/24", 400.0), []),
        (("C", "", "2023/24", 801.0), ["impossible_delivery"]),
    ],
)
def test_deliveries_are_held_against_the_members_and_what_their_plots_bear(row, codes):
    # A and B bear 100 kg each: 400 kg of A and 800 kg of C are the most that can be.
    found = check_deliveries(rows_of(row), PEOPLE, bears_kg=pd.Series({"A": 100.0, "B": 100.0}))
    assert found["code"].tolist() == codes
    assert found["message"].str.contains(f"{row[3]:,.0f} kg").all()


def test_several_deliveries_of_a_member_are_judged_together():
    rows = rows_of(("C", "A", "2023/24", 300.0), ("C", "A", "2023/24", 300.0), ("C", "A", "2022/23", 300.0))
    found = check_deliveries(rows, PEOPLE, bears_kg=pd.Series({"A": 100.0, "B": 500.0}))
    assert found["code"].tolist() == ["impossible_delivery"]
    assert "600 kg" in found["message"][0] and "2023/24" in found["message"][0]


def test_checking_changes_nothing():
    rows = rows_of(("", "A", "2023/24", 5.0))
    before = rows.copy()
    check_deliveries(rows, PEOPLE)
    pd.testing.assert_frame_equal(rows, before)


@given(
    st.lists(st.tuples(st.sampled_from("CD"), st.sampled_from("AB"), st.sampled_from(["x", "y"]), st.floats(0, 1e6)))
)
@settings(max_examples=50, deadline=None)
def test_season_sums_are_those_of_a_plain_group_by(rows):
    frame = rows_of(*rows)
    sums = season_sums(frame)
    plain = frame.groupby(["cooperative_id", "member_id", "season"])["kg"].agg(["sum", "size"])
    assert sums.set_index(["cooperative_id", "member_id", "season"])["kg"].tolist() == pytest.approx(
        plain["sum"].tolist()
    )
    assert sums["rows"].tolist() == plain["size"].tolist()
    pd.testing.assert_frame_equal(sums, season_sums(frame.iloc[::-1]), check_exact=True)


def test_where_nobody_knows_cooperatives_deliveries_have_none():
    named = with_cooperatives(rows_of(("C", "A", "x", 1.0), ("C", "", "x", 1.0)), pd.Series({"A": ""}))
    assert named["cooperative_id"].tolist() == ["", ""]


# ---- the sample, and files of a country ----


def test_the_sample_is_read_without_a_finding():
    members, _ = take_in_members(SAMPLE / "members.csv")
    rows, found = read_deliveries(SAMPLE / "deliveries.csv", crop="coffee", form="green", members=members)
    raw = pd.read_csv(SAMPLE / "deliveries.csv", dtype={"member_id": str})
    assert len(found) == 0 and len(rows) == len(raw)
    assert rows["kg"].sum() == pytest.approx(0.8 * raw["kg"].sum())
    assert sorted(rows["season"].unique()) == sorted(raw["season"].unique())
    assert (rows["cooperative_id"] != "").all()
    assert len(check_deliveries(rows, members)) == 0


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("socio,fecha,kg\n Á ,2024-01-01,5\nB,,6\n", True),
        ("\ufeffsocio;fecha;kg\r\nA;2024-01-01;5,5\r\nB;;6\r\n", True),
        ('socio,fecha,kg\n"A, B",2024-01-01,5\n', False),
        ("Cooperativa Flor,,\nsocio,fecha,kg\nA,2024-01-01,5\n", False),
        ("socio,fecha,kg\nA,2024-01-01,5\nTOTAL,,5\n", False),
        ("socio,fecha,kg\nA,2024-01-01,5\nB,2024-01-01,5,9\n", False),
        ("socio,fecha,kg\nA,2024-01-01,5\n\nB,2024-01-01,5\n", False),
        ("socio,fecha,kg\nA,2024-01-01,5\n,,\nB,2024-01-01,5\n", False),
        ("socio,fecha,kg\nA,2024-01-01,5\nB,2024-01-01,6\n,,11\n", False),
    ],
)
def test_the_fast_reader_reads_as_the_careful_one_or_leaves_it_to_it(tmp_path, text, is_plain):
    file = tmp_path / "e.csv"
    file.write_bytes(text.encode())
    fast = read_plain_csv(file, DELIVERY_NAMES, least_bytes=0)
    assert (fast is not None) == is_plain
    if fast is not None:
        careful = cell_tables(read_table(file, DELIVERY_NAMES))
        for name in ("table", "numbers", "findings"):
            pd.testing.assert_frame_equal(fast[name], careful[name], check_index_type=False)


def test_a_file_of_a_country_gives_what_its_sums_say(tmp_path):
    rng = np.random.default_rng(5)
    member, kg = rng.integers(0, 5000, 120_000), rng.gamma(2.0, 50.0, 120_000).round(2)
    frame = pd.DataFrame({"cooperativa": "C" + pd.Series(member % 40).astype(str),
                          "socio": "M" + pd.Series(member).astype(str), "season": "2023/24",
                          "recibo": np.arange(len(kg)), "kg oro": kg})  # fmt: skip
    frame.to_csv(tmp_path / "e.csv", index=False)
    assert read_plain_csv(tmp_path / "e.csv", DELIVERY_NAMES) is not None
    rows, found = read_deliveries(tmp_path / "e.csv", crop="coffee", form="green")
    assert len(found) == 0
    assert season_sums(rows)["kg"].sum() == pytest.approx(kg.sum())
