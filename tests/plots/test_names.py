"""Names: what is the same is taken, what is only similar waits for a person, what only looks alike is said."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomap.plots.matching import match_members, next_matches, read_matches, write_matches
from geomap.plots.members import to_members
from geomap.plots.names import check_lookalikes, name_words, similarity
from geomap.plots.table import to_plots

MEMBERS = pd.DataFrame(
    {
        "name": [
            "José Pérez Gómez",
            "Ana de la Cruz",
            "Luis Paz",
            "Luis Paz",
            "María López García",
            "María López Díaz",
        ],
        "cooperative_id": ["C1", "C1", "C1", "C2", "C1", "C1"],
    },
    index=pd.Index(["M1", "M2", "M3", "M4", "M5", "M6"], name="member_id"),
)


def plots(*names: str, coop: str = "C1") -> gpd.GeoDataFrame:
    ids = [f"P{n}" for n in range(len(names))]
    return gpd.GeoDataFrame({"member_id": list(names), "cooperative_id": coop}, index=ids)


@pytest.mark.parametrize(
    ("theirs", "member", "result"),
    [
        ("M1", "M1", "id"),
        ("GOMEZ PEREZ, JOSE", "M1", "name"),
        ("jose  pérez gómez", "M1", "name"),
        ("Ana Cruz", "M2", "name"),
        ("José Pérez", "M1", "name but for a surname"),
        ("Luis Paz", "M3", "name"),  # M4 is in another cooperative
        ("José Peres Gomez", None, "similar"),
        ("María López", None, "similar"),  # two members could be meant
        ("José", None, "none"),
        ("Juan Nadie", None, "none"),
        ("", None, "none"),
    ],
)
def test_only_what_is_sure_is_taken(theirs: str, member: str | None, result: str) -> None:
    matched, report = match_members(plots(theirs), MEMBERS)
    assert matched["member_id"].tolist() == [member or theirs]
    assert report["result"].iloc[0] == result


def test_two_names_on_plots_that_could_be_one_member_are_offered() -> None:
    members = pd.DataFrame({"name": ["María López"], "cooperative_id": ["C1"]}, index=["M1"])
    matched, report = match_members(plots("María López García", "María López Díaz"), members)
    assert matched["member_id"].tolist() == ["María López García", "María López Díaz"]
    assert set(report["result"]) == {"similar"}


def test_two_members_of_one_name_are_never_taken() -> None:
    members = pd.DataFrame({"name": ["Luis Paz", "Paz, Luis"], "cooperative_id": ["C1", "C1"]}, index=["M1", "M2"])
    _, report = match_members(plots("LUIS PAZ"), members)
    assert report[["result", "member_id", "score"]].values.tolist() == [["similar", "M1", 1.0], ["similar", "M2", 1.0]]


def test_names_come_from_a_column_of_names_where_there_is_one() -> None:
    table = plots("", "M2").assign(farmer_name=["Perez Gomez Jose", "whoever"])
    assert match_members(table, MEMBERS)[0]["member_id"].tolist() == ["M1", "M2"]


def test_a_confirmed_match_is_remembered_and_a_refused_one_is_not_offered_again(tmp_path: Path) -> None:
    first, report = match_members(plots("José Peres Gomez", "Ana Crus"), MEMBERS)
    assert first["member_id"].tolist() == ["José Peres Gomez", "Ana Crus"]
    path = tmp_path / "name_matches.csv"
    write_matches(next_matches(report), path)
    # the office opens the file and decides
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert table["confirmed"].tolist() == ["", ""]
    table["confirmed"] = ["sí", "no"]
    table.to_csv(path, index=False)
    decided = read_matches(path)
    second, report = match_members(plots("José Peres Gomez", "Ana Crus"), MEMBERS, decided)
    assert second["member_id"].tolist() == ["M1", "Ana Crus"]
    assert report["result"].tolist() == ["confirmed", "none"]
    # and the file of next year holds both decisions
    write_matches(next_matches(report, decided), path)
    assert read_matches(path)["confirmed"].tolist() == [True, False]


def test_a_name_that_looks_like_a_formula_comes_back_as_it_was(tmp_path: Path) -> None:
    matches = pd.DataFrame(
        [["C", "=1+1", "-M1", "Ana", 0.8, True]],
        columns=["cooperative_id", "their_name", "member_id", "member_name", "score", "confirmed"],
    )
    write_matches(matches, tmp_path / "m.csv")
    assert "\n'=1+1" not in (tmp_path / "m.csv").read_text() and ",'=1+1" in (tmp_path / "m.csv").read_text()
    assert read_matches(tmp_path / "m.csv")[["their_name", "member_id"]].values.tolist() == [["=1+1", "-M1"]]


@given(st.permutations(["Ana", "López", "García", "de", "la"]), st.booleans())
def test_order_case_accents_and_particles_do_not_matter(words: list[str], upper: bool) -> None:
    name = " ".join(words)
    assert name_words(name.upper() if upper else name) == ("ana", "garcia", "lopez")


@given(st.text(max_size=15), st.text(max_size=15))
def test_similarity_is_a_share_and_the_same_both_ways(name: str, other: str) -> None:
    assert 0 <= similarity(name, other) <= 1
    assert similarity(name, other) == pytest.approx(similarity(other, name), abs=0.2)


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (["Maria", "M\u0430ria"], "Cyrillic and Latin"),
        (["Ana\u200b"], "cannot be seen"),
        (["Ana\u202egnp"], "cannot be seen"),
        (["Jos\u00e9", "Jose\u0301"], "another way"),  # NFC and NFD
        (["ＡＢ１", "AB1"], "another way"),  # full-width letters
        (["\u041c\u0410", "MA"], "another way"),  # all Cyrillic, and all Latin
    ],
)
def test_what_only_looks_alike_is_said(texts: list[str], word: str) -> None:
    findings = check_lookalikes(texts, what="name", name="members.csv")
    assert findings["code"].tolist() == ["lookalike_name"]
    assert word in findings["message"].iloc[0]


@pytest.mark.parametrize(
    "texts", [["José", "Jose"], ["Иван", "Ana"], ["ಕ್\u200dಷ"], ["Nguyễn Văn", "Ångström"], ["王小明"], ["", "A", "a"]]
)
def test_ordinary_names_of_any_script_are_left_alone(texts: list[str]) -> None:
    assert check_lookalikes(texts, what="name", name="m.csv").empty


def test_lookalikes_are_found_in_plots_and_members() -> None:
    _, findings = to_plots(pd.DataFrame({"plot_id": ["A1", "\u0410" + "1"], "lat": [14, 14], "lon": [-87, -87.1]}))
    assert findings["code"].tolist() == ["lookalike_name"]
    _, findings = to_members(pd.DataFrame({"socio": ["1", "2"], "nombre": ["Ana Paz", "Ana P\u0430z"]}))
    assert findings["code"].tolist() == ["lookalike_name"]
