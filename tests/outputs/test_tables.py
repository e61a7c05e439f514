import csv
import errno
import hashlib
import json
import os
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from geomap.errors import OutputError
from geomap.outputs import tables
from geomap.outputs.tables import COLUMN_DOCS, CONTRACTS, by_names, write_run

GROUP = (
    "id,members,plots,members_mapped,area_ha,productive_ha,potential_kg,potential_p10_kg,potential_p50_kg,"
    "potential_p90_kg,supply_kg,supply_p10_kg,supply_p50_kg,supply_p90_kg"
)
HEADERS = {
    "classes.csv": "plot_id,product,class,name,area_ha",
    "members.csv": GROUP,
    "cooperatives.csv": GROUP,
    "by_community.csv": GROUP,
    "months.csv": "cooperative_id,month,quantity,mean_kg,p10_kg,p50_kg,p90_kg",
    "variance.csv": "cooperative_id,quantity,source,share",
    "environment.csv": "cooperative_id,class,name,area_ha,share",
    "findings.csv": "plot_id,code,severity,message,effect_ha,effect_kg,action",
}
PLOTS = (
    "plot_id,member_id,cooperative_id,crop,area_ha,counted_area_ha,nodata_ha,outside_ha,productive_ha,"
    "potential_kg,supply_kg"
)
PAGES = {"map_internal.html", "map_share.html", "report.html", "report.pdf", "office.xlsx"}
ESTIMATES = {
    f"harvest_{kind}"
    for name in ("1_coagro", "2_la_esperanza", "3_rio_lindo")
    for kind in (f"estimate_{name}.html", f"estimate_{name}.pdf", f"summary_{name}.png")
}
FILES = {*HEADERS, "plots.parquet", "summary.json", "timings.json"}


def write(run, out):
    write_run(run, out, pages=False)


def contents(folder):
    """All files below the folder with their bytes; None where the folder does not exist."""
    if not folder.exists():
        return None
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def other(run):
    """A second run that differs in every number, and is not summed by any column."""
    return replace(run, by={}, cooperatives=run.cooperatives.assign(potential_kg=1.0), timings={"read": 0.2})


def made_up_pages(run, folder, **how):
    """Documents that cost nothing, under their own names."""
    yield lambda: [(folder / name).write_text("<p>page", encoding="utf-8") for name in PAGES | ESTIMATES]


@pytest.fixture
def no_pages(monkeypatch):
    monkeypatch.setattr(tables, "documents", made_up_pages)


# What a run leaves


def test_a_run_leaves_exactly_its_files(run, tmp_path, no_pages):
    write_run(run, tmp_path / "out")
    assert names(tmp_path / "out") == FILES | PAGES | ESTIMATES
    assert names(tmp_path) == {"out"}


def test_documents_are_maps_report_and_workbook(run, tmp_path):
    write_run(run, tmp_path / "out")
    assert names(tmp_path / "out") == FILES | PAGES | ESTIMATES
    for page in PAGES:
        start = (tmp_path / "out" / page).read_bytes().lstrip()[:15]
        assert start.startswith({".html": b"<!DOCTYPE html>", ".pdf": b"%PDF", ".xlsx": b"PK"}[Path(page).suffix])


@pytest.mark.parametrize("file", HEADERS)
def test_the_contract_columns_stand_first_in_their_order(run, tmp_path, file):
    write(run, tmp_path / "out")
    header = (tmp_path / "out" / file).read_text(encoding="utf-8").splitlines()[0]
    assert f"{header},".startswith(f"{HEADERS[file]},")


def test_the_plots_keep_their_contract_columns_and_their_attributes(run, tmp_path):
    write(run, tmp_path / "out")
    table = gpd.read_parquet(tmp_path / "out" / "plots.parquet")
    assert ",".join(table.columns[:11]) == PLOTS
    assert table["certification"].tolist() == run.plots["certification"].tolist()
    assert table.crs == "EPSG:4326"
    assert table.geometry.geom_equals(gpd.GeoSeries(run.plots.geometry.array, index=table.index)).all()


def test_every_written_column_has_a_unit_and_a_meaning(run, tmp_path):
    write(run, tmp_path / "out")
    for file in HEADERS:
        header = (tmp_path / "out" / file).read_text(encoding="utf-8").splitlines()[0].split(",")
        assert set(header) <= set(COLUMN_DOCS["by_<column>.csv" if file.startswith("by_") else file])
    assert set(CONTRACTS["plots.parquet"]) <= set(COLUMN_DOCS["plots.parquet"])


def test_numbers_in_the_tables_are_the_run_s(run, tmp_path):
    write(run, tmp_path / "out")
    written = rows(tmp_path / "out" / "cooperatives.csv")
    assert [row["id"] for row in written] == run.cooperatives["id"].tolist()
    assert [row["potential_kg"] for row in written] == [f"{kg:.1f}" for kg in run.cooperatives["potential_kg"]]
    assert [row["area_ha"] for row in written] == [f"{ha:.6f}" for ha in run.cooperatives["area_ha"]]
    assert {row["supply_kg"] for row in written} == {""}
    assert [row["members"] for row in written] == ["20", "20", "20"]


def test_small_negative_numbers_are_not_minus_zero(run, tmp_path):
    findings = run.findings.assign(effect_ha=-1e-9, effect_kg=[-0.04] * len(run.findings))
    write(replace(run, findings=findings), tmp_path / "out")
    assert {(row["effect_ha"], row["effect_kg"]) for row in rows(tmp_path / "out" / "findings.csv")} == {
        ("0.000000", "0.0")
    }


def test_csv_files_are_utf8_with_lf_line_ends(run, tmp_path):
    write(run, tmp_path / "out")
    for file in HEADERS:
        data = (tmp_path / "out" / file).read_bytes()
        assert b"\r" not in data
        assert data.endswith(b"\n")
        assert not data.startswith(b"\xef\xbb\xbf")
    assert "Río Lindo".encode() in (tmp_path / "out" / "cooperatives.csv").read_bytes()


def test_text_that_a_spreadsheet_would_run_is_defused_and_numbers_are_not(run, tmp_path):
    texts = ["=1+1", "+254700", "-1", "@SUM(A1)", "\tx"]
    members = run.members.head(5).assign(name=texts, **{"=2+2": texts})
    findings = run.findings.head(1).assign(message="=1+1", effect_ha=-1.5)
    write(replace(run, members=members, findings=findings), tmp_path / "out")
    written = rows(tmp_path / "out" / "members.csv")
    assert [row["name"] for row in written] == [f"'{text}" for text in texts]
    assert [row["'=2+2"] for row in written] == [f"'{text}" for text in texts]
    assert rows(tmp_path / "out" / "findings.csv")[0]["effect_ha"] == "-1.500000"


def test_hostile_names_survive_a_round_trip(hostile_run, tmp_path):
    write(hostile_run, tmp_path / "out")
    written = [row["name"] for row in rows(tmp_path / "out" / "members.csv")]
    assert [text.removeprefix("'") for text in written] == hostile_run.members["name"].tolist()


def test_a_column_s_name_never_leaves_the_folder(run, tmp_path):
    community = run.by["community"]
    write(replace(run, by={"../../evil": community, "a/b": community, "a b": community}), tmp_path / "out")
    assert {name for name in names(tmp_path / "out") if name.startswith("by_")} == {
        "by_______evil.csv",
        "by_a_b.csv",
        "by_a_b_2.csv",
    }
    assert names(tmp_path) == {"out"}
    assert len(by_names(["A", "a", "a_2", "a 2"])) == 4


def test_the_summary_has_null_for_what_is_not_known_and_a_mark(run, tmp_path):
    summary = {**run.summary, "totals": {"members": np.int64(3), "supply_kg": np.nan, "z": np.inf, "y": pd.NA}}
    write(replace(run, summary=summary), tmp_path / "out")
    text = (tmp_path / "out" / "summary.json").read_text(encoding="utf-8")
    read = json.loads(text, parse_constant=pytest.fail)
    assert read["totals"] == {"members": 3, "supply_kg": None, "z": None, "y": None}
    assert read["format"] == "geomap-run/1"
    assert text == json.dumps(read, sort_keys=True, ensure_ascii=False, indent=1) + "\n"


def test_the_summary_tells_a_changed_file(run, tmp_path):
    write(run, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["files"]
    assert set(told) == FILES - {"summary.json", "timings.json"}
    for name, entry in told.items():
        data = (tmp_path / "out" / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_equal_runs_give_equal_bytes_but_for_the_timings(run, tmp_path):
    write(run, tmp_path / "one")
    write(replace(run, timings={"read": 9.9}), tmp_path / "two")
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert {name for name in one if one[name] != two[name]} == {"timings.json"}


def test_a_run_is_not_changed_by_writing(run, tmp_path):
    plots, members = run.plots.copy(), run.members.copy()
    write(run, tmp_path / "out")
    pd.testing.assert_frame_equal(pd.DataFrame(run.plots), pd.DataFrame(plots))
    pd.testing.assert_frame_equal(run.members, members)


def geoparquet_problems(path):
    validator = Path(sysconfig.get_path("scripts")) / "geoparquet-validator"
    done = subprocess.run([validator, "check", path], capture_output=True, text=True, check=False, timeout=60)
    assert "version 1.1.0" in done.stdout
    return [line for line in done.stdout.splitlines() if "FAIL" in line]


def test_the_validator_accepts_the_plots(run, tmp_path):
    from pyarrow import parquet

    write(run, tmp_path / "out")
    path = tmp_path / "out" / "plots.parquet"
    assert geoparquet_problems(path) == []
    column = parquet.read_metadata(path).row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert "bbox" in parquet.read_schema(path).names


def test_plots_without_outline_have_no_bbox(run, tmp_path):
    plots = run.plots.copy()
    plots.loc[plots.index[:3], "geometry"] = None
    write(
        replace(run, plots=plots.assign(bbox="a given column of that name", mixed=[1, "x", None] * 36)), tmp_path / "o"
    )
    path = tmp_path / "o" / "plots.parquet"
    assert geoparquet_problems(path) == []
    table = gpd.read_parquet(path)
    assert table.geometry.isna().sum() == 3
    assert table["given_bbox"].unique().tolist() == ["a given column of that name"]
    assert table["mixed"].tolist()[:2] == ["1", "x"]


# What is in place of an earlier run


def test_an_earlier_run_is_replaced_as_a_whole_and_other_files_are_kept(run, other, tmp_path):
    out = tmp_path / "out"
    write(run, out)
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("mine")
    (out / "letter.txt").write_text("mine too")
    before = (out / "letter.txt").stat().st_ino
    write(other, out)
    assert names(out) == (FILES - {"by_community.csv"}) | {"notes", "letter.txt"}
    assert (out / "notes" / "mine.txt").read_text() == "mine"
    assert (out / "letter.txt").stat().st_ino == before
    assert {row["potential_kg"] for row in rows(out / "cooperatives.csv")} == {"1.0"}
    assert names(tmp_path) == {"out"}


def test_pages_of_an_earlier_run_do_not_outlive_it(run, tmp_path, no_pages):
    write_run(run, tmp_path / "out")
    write(run, tmp_path / "out")
    assert names(tmp_path / "out") == FILES


# Failures; every step of the exchange is broken in test_publish


def test_a_full_disk_leaves_the_old_results_and_says_what_to_do(run, other, tmp_path, monkeypatch):
    write(run, tmp_path / "out")
    before = contents(tmp_path)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device\. Nothing there was changed\. Free some space"):
        write(other, tmp_path / "out")
    assert contents(tmp_path) == before


def test_a_failure_while_a_page_is_made_leaves_the_old_results(run, tmp_path, monkeypatch):
    write(run, tmp_path / "out")
    before = contents(tmp_path)

    def pages(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(tables, "documents", pages)
    with pytest.raises(ZeroDivisionError):
        write_run(run, tmp_path / "out")
    assert contents(tmp_path) == before


def test_a_user_s_file_named_like_a_result_is_never_lost(run, other, tmp_path):
    out = tmp_path / "out"
    write(other, out)
    (out / "by_community.csv").write_text("mine")
    with pytest.raises(OutputError, match="File exists"):
        write(run, out)
    assert (out / "by_community.csv").read_text() == "mine"
    assert names(tmp_path) == {"out"}
