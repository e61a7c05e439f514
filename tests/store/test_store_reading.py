"""Files of a cooperative as rows for the store; and that those rows read back as the file itself does."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomap.errors import ColumnError, UnknownNameError
from geomap.plots.values import read_numbers
from geomap.store.office_rows import NAMES, UNREADABLE, plain_number
from geomap.store.reading import Read, read_import
from geomap.supply.deliveries import read_deliveries
from geomap.supply.weights import amounts, unit_kg, wording

COOP: dict[str, Any] = {"code": "Flor", "name": "Flor del Pinar", "country": "HN", "crop": "coffee", "settings": {}}


def read(folder: Path, kind: str, text: str, **more: Any) -> Read:
    path = folder / "q8d0.csv"
    path.write_text(text, encoding="utf-8")
    cooperative = COOP | {name: more.pop(name) for name in ("crop", "settings") if name in more}
    return read_import(path, kind, cooperative, file_name="entregas.csv", **more)


def test_deliveries_are_kept_so_that_they_can_mean_one_thing_only(tmp_path: Path) -> None:
    text = "socio;fecha;qq pergamino;camión\n007;15/01/2024;1,250;A 1\n008;03/02/2024;12,5;\n"
    found = read(tmp_path, "deliveries", text)
    first, second = found.rows
    assert first["cells"] == {
        "member_id": "007", "date": "2024-01-15", "kg": "1.25", "unit": "quintal", "form": "parchment",
        "qq pergamino": "1,250", "camión": "A 1",
    }  # fmt: skip
    assert (first["season"], first["form"], second["cells"]["date"]) == ("2023/24", "parchment", "2024-02-03")
    assert first["kg"] is None
    assert found.findings["code"].tolist() == ["unit_unknown"]  # nobody told yet what a quintal of parchment weighs


def test_kilograms_of_a_list_go_by_the_cooperatives_own_units(tmp_path: Path) -> None:
    told = {"quintal_kg": 46.0, "quintal_form": "parchment"}
    (row,) = read(tmp_path, "deliveries", "socio;cosecha;qq pergamino\n007;2023/24;2,5\n", settings=told).rows
    assert (row["kg"], row["form"], row["season"]) == (115.0, "parchment", "2023/24")  # 2.5 × 46


def test_seasons_side_by_side_become_rows(tmp_path: Path) -> None:
    rows = read(tmp_path, "deliveries", "member_id,2022/23 kg green,2023/24 kg green\nA,1,2\nB,,3\n").rows
    assert [(row["member_id"], row["season"], row["cells"]["kg"]) for row in rows] == [
        ("A", "2022/23", "1"),
        ("A", "2023/24", "2"),
        ("B", "2023/24", "3"),
    ]
    assert [row["row"] for row in rows] == [1, 2, 3]


def test_numbers_of_a_workbook_are_kept_exactly(tmp_path: Path) -> None:
    numbers = [1.234, 0.1 + 0.7]
    path = tmp_path / "q.xlsx"
    pd.DataFrame({"member_id": ["A", "B"], "season": "2023/24", "kg green": numbers}).to_excel(path, index=False)
    cells = [row["cells"]["kg"] for row in read_import(path, "deliveries", COOP, file_name="q.xlsx").rows]
    assert cells == ["1.2340", "0.7999999999999999"]
    assert [float(cell) for cell in cells] == numbers


def test_a_quantity_that_its_file_leaves_open_stays_open(tmp_path: Path) -> None:
    text = 'member_id,season,kg green\nA,2023/24,"1,234"\nB,2023/24,7\nC,2023/24,\n'
    found = read(tmp_path, "deliveries", text)
    assert [row["cells"].get("kg", "") for row in found.rows] == [f"{UNREADABLE}1,234", "7", ""]
    # "12.5" of another file would make 1,234 a thousand; behind the words it stays unread
    parts = amounts([f"{UNREADABLE}1,234", "12.5"], wording("coffee"))
    assert parts[0].fault
    assert parts[1].number == 12.5


def test_a_file_in_which_nothing_can_be_counted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match=r"^entregas.csv: none of its 1 rows can be counted"):
        read(tmp_path, "deliveries", "member_id,kg green\nA,7\n")
    with pytest.raises(ColumnError, match=r"^entregas.csv has no column of kilograms"):
        read(tmp_path, "deliveries", "member_id,season\nA,2023/24\n")


def test_deliveries_need_to_know_the_crop(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="which crop"):
        read(tmp_path, "deliveries", "member_id,season,kg green\nA,2023/24,1\n", crop="")


def test_ids_of_a_workbook_keep_their_zeros(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "members", "socio;nombre\n00123;Ana\n").rows
    assert row["member_id"] == "00123"


@pytest.mark.parametrize("crop", ["coffee", "cocoa", "honey"])
def test_units_and_forms_read_back_as_what_they_are(crop: str) -> None:
    from geomap.supply.crop_tables import reference_tables

    words, forms = wording(crop), reference_tables().forms
    for unit in {*words.units.values(), *unit_kg()}:
        assert words.header_unit(unit) == unit
    for form in forms.loc[forms["crop"] == crop, "form"]:
        assert words.form(form) == form


@given(st.lists(st.floats(0, 1e12, allow_nan=False), min_size=1, max_size=30))
def test_plain_numbers_read_back_exactly_beside_any_others(numbers: list[float]) -> None:
    texts = [plain_number(number) for number in numbers]
    assert [part.number for part in amounts(texts, wording("coffee"))] == numbers
    from geomap.plots.quantities import Quantity

    found, faults = read_numbers(texts, Quantity({"kg": 1.0}, -np.inf, np.inf, ""))
    assert not faults
    assert found.tolist() == numbers


LAYOUTS = {
    "one form in the header": "socio,fecha,qq oro\nA,2024-01-15,{0}\nB,2024-01-16,{1}\nA,2024-02-01,{2}\n",
    "forms by row": "socio,cosecha,cantidad,producto,unidad\n"
    "A,2023-24,{0},oro,lb\nB,2023/24,{1},pergamino,kg\nC,23/24,{2},uva,lb\n",
    "all in the cell": "member_id,season,entregado\n"
    "A,2023/24,{0} kg oro\nB,2023/24,{1} lb pergamino\nC,2024/25,{2} qq oro\n",
    "sacks": "member_id,season,sacos de 60 kg oro\nA,2023/24,{0}\nB,2023/24,{1}\nC,2023/24,{2}\n",
    "sacks in cells": "member_id,season,oro\nA,2023/24,{0} sacos de 60 kg\nB,2023/24,{1} kg\nC,2023/24,{2} toneladas\n",
    "side by side": "member_id,2021/22 kg oro,2022/23 kg oro\nA,{0},{1}\nB,{2},\n",
    "unit unknown": "member_id,season,form,kg,unit\n"
    "A,2023/24,green,{0},kg\nB,2023/24,green,{1},almud\nC,2023/24,green,{2},\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_the_store_count_as_those_of_the_file(layout: str, tmp_path: Path) -> None:
    text = LAYOUTS[layout].format("12.5", "3", "1.25")
    rows = read(tmp_path, "deliveries", text).rows
    names = [name for name in NAMES["deliveries"] if name != "cooperative_id"]
    table = pd.DataFrame([[row["cells"].get(name, "") for name in names] for row in rows], columns=names, dtype="str")
    table.to_parquet(tmp_path / "back.parquet", index=False)
    columns = ["member_id", "season", "date", "given_kg", "given_form", "kg"]
    of_file, _ = read_deliveries(tmp_path / "q8d0.csv", crop="coffee", form="green")
    of_store, _ = read_deliveries(tmp_path / "back.parquet", crop="coffee", form="green")
    pd.testing.assert_frame_equal(of_file[columns], of_store[columns], check_exact=True)
    assert len(of_file) > 0


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.sampled_from(["socio", "notas", "age", "x y", "Variedad", "id2"]),
        st.one_of(st.none(), st.integers(-10**6, 10**6), st.floats(-1e15, 1e15), st.just(float("nan")),
                  st.booleans(), st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)),
        max_size=4,
    )
)  # fmt: skip
def test_whatever_a_plot_carries_can_be_kept(cells: dict[str, Any]) -> None:
    from geomap.store.given import digest, given_cells

    kept = given_cells(cells)
    assert given_cells(kept) == kept
    assert len(digest(kept)) == 64
