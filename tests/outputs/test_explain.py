import json

import pandas as pd
import pytest

from geomap.errors import FileError, UnknownNameError
from geomap.landcover.product import product
from geomap.outputs.explain import explain, explained
from geomap.outputs.publish import MARK

WATER = float(product("esa-worldcover-2021").legend.loc[80, "users_accuracy"])
BASE = {"term": "base yield", "value": "1,000 kg of parchment per bearing hectare and year (Honduras)",
        "support": "weak", "source": "a yearbook"}  # fmt: skip
CONVERSION = {"term": "conversion", "value": "0.8 kg of green from 1 kg of parchment", "support": "strong",
              "source": "the ICO"}  # fmt: skip
PLANTED = {"term": "planted share", "value": "0.9 where none is declared", "support": "weak", "source": "usual"}
RATIO = {"term": "declared areas of C1", "value": "taken as 0.60 of what is declared", "support": "medium",
         "source": "measured against declared hectares of 20 plots"}  # fmt: skip
USUAL = {
    "member_id": "M1", "cooperative_id": "C1", "community": "El Cedro", "kind": "measured", "area_ha": 2.0,
    "counted_area_ha": 2.0, "area_sd_ha": 0.05, "planted_share": float("nan"), "planted_year": 2022.0,
    "supply_kg": float("nan"), "potential_p10_kg": 300.0, "potential_p50_kg": 600.0, "potential_p90_kg": 1200.0,
    "p": 0.9, "y_kg_ha": 1000.0, "g": 0.5, "k": 0.8,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """P1: 2 ha, a tenth of it water; planted .9, age .5, 1,000 kg of parchment per ha, .8 of it green coffee."""
    f = 1 - 0.1 * WATER
    rows = [
        {**USUAL, "plot_id": "P1", "given_id": "001", "f": f, "productive_ha": 2 * f * 0.9,
         "potential_kg": 2 * f * 0.9 * 1000 * 0.5 * 0.8},
        {**USUAL, "plot_id": "P2", "given_id": "002", "f": 1.0, "productive_ha": 1.2, "potential_kg": 900.0,
         "kind": "declared", "supply_kg": 450.0},
        {**USUAL, "plot_id": "=P3", "given_id": "003", "f": 0.7, "productive_ha": 1.4, "potential_kg": 500.0,
         "counted_area_ha": 1.9},
        {**USUAL, "plot_id": "P4#2", "given_id": "P4", "f": 1.0, "productive_ha": 1.4, "potential_kg": 500.0},
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "plots.parquet")
    (tmp_path / "classes.csv").write_text(
        "plot_id,product,class,name,area_ha\n"
        "P1,esa-worldcover-2021,80,Permanent water,0.200000\n"
        "P1,esa-worldcover-2021,10,Tree cover,1.800000\n"
        "'=P3,esa-worldcover-2021,-1,no data,2.000000\n"
        "P2,esa-worldcover-2021,10,Tree cover,9.000000\n"
    )
    (tmp_path / "findings.csv").write_text(
        "plot_id,code,severity,message,effect_ha,effect_kg,action\n"
        "P1,overlap,warn,Two members claim it.,-0.100000,-45.0,split\n"
        "'=P3,nodata,warn,The map is blank here.,,,kept\n"
        "P9,invalid,block,The outline crosses itself.,-1.000000,,left_out\n"
    )
    summary = {
        "format": MARK, "files": {}, "evidence": "own deliveries",
        "assumptions": [BASE, CONVERSION, PLANTED, RATIO, {**RATIO, "term": "declared areas of C2"}],
        "parameters": {"crop": "coffee", "form": "green", "form_title": "green coffee", "season": "2026/27",
                       "product": "esa-worldcover-2021"},
        "ruled_out": [{"class": 80, "share": 0.894, "why": "how often the map is right there"}],
    }  # fmt: skip
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def terms(folder, plot):
    return {one["term"]: one for one in explained(folder, plot)["chain"]}


def test_the_factors_multiply_to_the_potential(folder):
    told = explained(folder, "P1")
    product = 1.0
    for one in told["chain"]:
        product *= one["value"]
    assert [one["term"] for one in told["chain"]] == ["A", "f", "p", "y", "g", "k"]
    assert product == pytest.approx(told["potential"]["mean"])
    assert told["productive_ha"] == pytest.approx(2 * (1 - 0.1 * WATER) * 0.9)


def test_the_land_is_told_as_a_sum_that_can_be_checked(folder):
    words = terms(folder, "P1")["f"]["words"]
    assert words.endswith(f"1 − 10.0% permanent water × {WATER:.2f} (how often the map is right there)")


def test_a_plot_that_the_map_does_not_show_borrows_its_land(folder):
    assert "that of the cooperative's other plots" in terms(folder, "=P3")["f"]["words"]
    assert "no class on it rules the crop out" in terms(folder, "P2")["f"]["words"]


def test_defaults_carry_their_source_and_support(folder):
    found = terms(folder, "P1")
    assert (found["y"]["support"], found["y"]["source"]) == ("weak", "a yearbook")
    assert (found["k"]["support"], found["k"]["source"]) == ("strong", "the ICO")
    assert found["p"]["words"].endswith("not told, so the default")
    assert found["p"]["source"] == "usual"
    assert found["g"]["words"].endswith("told: 2022")
    assert found["g"]["support"] == "weak"


def test_a_default_share_that_the_summary_does_not_name_carries_the_table_s_source(folder):
    summary = json.loads((folder / "summary.json").read_text())
    summary["assumptions"].remove(PLANTED)
    (folder / "summary.json").write_text(json.dumps(summary))
    found = terms(folder, "P1")["p"]
    assert found["support"] == "weak"
    assert "planted share of 0.9" in found["source"]


def test_a_base_yield_of_planted_hectares_holds_share_and_age_inside(folder):
    summary = json.loads((folder / "summary.json").read_text())
    summary["assumptions"][0]["value"] = "1,000 kg of parchment per planted hectare and year"
    (folder / "summary.json").write_text(json.dumps(summary))
    found = terms(folder, "P1")
    assert all("inside the base yield" in found[term]["words"] for term in "pg")


def test_a_declared_area_shows_the_ratio_of_its_own_cooperative(folder):
    told = explained(folder, "P2")
    assert "taken as 0.60 of what is declared" in told["chain"][0]["words"]
    assert [one["term"] for one in told["assumptions"]].count("declared areas of C2") == 0
    assert not any(one["term"].startswith("declared areas") for one in explained(folder, "P1")["assumptions"])


def test_ground_that_others_claim_is_told(folder):
    assert "the outline has 2.0000 ha, part of which others claim too" in terms(folder, "=P3")["A"]["words"]


def test_supply_is_a_share_of_the_potential_or_not_there(folder):
    assert explained(folder, "P2")["supply"] == {"mean": 450.0, "share_of_potential": 0.5}
    assert explained(folder, "P1")["supply"] is None
    assert "450.0 kg" in explain(folder, "P2")
    assert "50% of its potential, from own deliveries" in " ".join(explain(folder, "P2").split())
    assert "no supply: nothing tells how much of it is delivered" in explain(folder, "P1")


def test_classes_and_findings_are_those_of_the_plot_alone(folder):
    told = explained(folder, "P1")
    assert [(one["class"], one["share"]) for one in told["classes"]] == [
        (10, pytest.approx(0.9)),
        (80, pytest.approx(0.1)),
    ]
    assert told["findings"] == [
        {"code": "overlap", "severity": "warn", "message": "Two members claim it.", "action": "split",
         "effect_ha": -0.1, "effect_kg": -45.0}
    ]  # fmt: skip
    assert explained(folder, "P4#2")["findings"] == []


def test_an_id_that_a_spreadsheet_would_run_is_found_in_every_file(folder):
    told = explained(folder, "=P3")
    assert [one["class"] for one in told["classes"]] == [-1]
    assert [one["code"] for one in told["findings"]] == ["nodata"]


def test_the_text_tells_the_interval_the_classes_and_the_findings(folder):
    text = explain(folder, "P1")
    assert text.startswith("Plot P1 of member M1 (El Cedro, C1)\ngreen coffee, season 2026/27\n")
    assert "in 8 of 10 seasons between 300.0 kg and 1,200.0 kg; the middle is 600.0 kg" in text
    assert " 90%  1.8000 ha      tree cover (includes shade coffee and cocoa)" in text
    assert "warn overlap (-0.1000 ha, -45.0 kg)" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_data_is_plain_json(folder):
    for plot in ("P1", "P2", "=P3"):
        json.dumps(explained(folder, plot), allow_nan=False)


def test_columns_that_an_older_run_lacks_leave_their_factor_to_words(folder):
    plots = pd.read_parquet(folder / "plots.parquet").drop(columns=["p", "y_kg_ha", "g", "k"])
    plots.to_parquet(folder / "plots.parquet")
    found = terms(folder, "P1")
    assert found["y"]["value"] is None
    assert "1,000 kg of parchment per bearing hectare" in found["y"]["words"]
    assert "g" not in found
    assert "1,000 kg of parchment" in " ".join(explain(folder, "P1").split())


def test_the_office_s_own_id_is_found_where_it_is_one_plot_s(folder):
    assert explained(folder, "001")["plot"] == "P1"
    assert explained(folder, "P4")["plot"] == "P4#2"


def test_an_unknown_plot_is_told_with_close_ids(folder):
    with pytest.raises(UnknownNameError, match=r"Did you mean P2\?"):
        explain(folder, "P22")
    with pytest.raises(UnknownNameError, match="among its 4 plots") as told:
        explain(folder, "zzz")
    assert "plots.parquet" in told.value.todo


def test_a_plot_that_was_left_out_says_why(folder):
    with pytest.raises(UnknownNameError, match=r"was left out of the run.*The outline crosses itself"):
        explain(folder, "P9")


def test_a_folder_without_a_run_is_refused(folder, tmp_path):
    with pytest.raises(FileError, match=r"has no plots\.parquet"):
        explain(tmp_path / "elsewhere", "P1")
    (folder / "summary.json").write_text("{")
    with pytest.raises(FileError, match=r"summary\.json is not that of a run"):
        explain(folder, "P1")


def test_names_cannot_steer_a_terminal(folder):
    plots = pd.read_parquet(folder / "plots.parquet").assign(community="a\x1b[31mred\nnext")
    plots.to_parquet(folder / "plots.parquet")
    assert "\x1b" not in explain(folder, "P1")
    assert "red next" in explain(folder, "P1")
