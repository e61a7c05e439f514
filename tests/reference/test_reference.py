import hashlib
from pathlib import Path

import pytest

import geomap.reference
from geomap.errors import UnknownNameError
from geomap.plots.columns import (
    ATTRIBUTE_NAMES,
    CONTRACT_NAMES,
    DELIVERY_NAMES,
    ESTIMATE_NAMES,
    MEMBER_NAMES,
    PLOT_NAMES,
    SHARE_NAMES,
    ZONE_NAMES,
    name_key,
)
from geomap.reference import table, versions
from geomap.supply.attributes import PLANT_NAMES
from geomap.supply.settings import SETTING_NAMES

FOLDER = Path(geomap.reference.__file__).parent


def test_every_table_beside_the_loader_is_readable_and_has_a_version() -> None:
    names = sorted(file.stem for file in FOLDER.glob("*.csv"))
    assert sorted(versions()) == names
    for name in names:
        assert len(table(name)) > 0


def test_a_version_is_the_hash_of_the_bytes() -> None:
    data = (FOLDER / "column_synonyms.csv").read_bytes()
    assert versions()["column_synonyms"] == hashlib.sha256(data).hexdigest()[:12]


def test_a_caller_cannot_change_the_table_of_the_next() -> None:
    taken = table("column_synonyms")
    taken.loc[0, "ours"] = "changed"
    assert table("column_synonyms").loc[0, "ours"] != "changed"


def test_namibia_is_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "countries.csv").write_text("iso2,yield\nNA,\nNE,1.5\n", encoding="utf-8")
    monkeypatch.setattr(geomap.reference, "_names", lambda: ["countries"])
    monkeypatch.setattr(geomap.reference, "_file", lambda name: tmp_path / f"{name}.csv")
    read = table("countries")
    assert read["iso2"].tolist() == ["NA", "NE"]
    assert read["yield"].isna().tolist() == [True, False]


@pytest.mark.parametrize("name", ["none", "../errors", ""])
def test_an_unknown_table_names_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownNameError, match="column_synonyms") as caught:
        table(name)
    assert caught.value.why and caught.value.todo


@pytest.mark.parametrize(
    "names",
    [
        (*PLOT_NAMES, *ATTRIBUTE_NAMES),
        (*MEMBER_NAMES, *ATTRIBUTE_NAMES),
        (*DELIVERY_NAMES, *ATTRIBUTE_NAMES),
        (*ESTIMATE_NAMES, *ATTRIBUTE_NAMES),
        (*CONTRACT_NAMES, *ATTRIBUTE_NAMES),
        SHARE_NAMES,
    ],
)
def test_a_synonym_means_one_name(names: tuple[str, ...]) -> None:
    rows = table("column_synonyms")
    rows = rows[rows["ours"].isin(names) & (rows["language"] != "generic")]
    meanings = rows.assign(key=rows["synonym"].map(name_key)).groupby("key")["ours"].unique()
    assert {key: list(ours) for key, ours in meanings.items() if len(ours) > 1} == {}
    assert not set(meanings.index) & {name_key(name) for name in names}


def test_synonyms_are_of_known_names_in_six_languages_with_a_source() -> None:
    rows = table("column_synonyms")
    office = {*DELIVERY_NAMES, *ESTIMATE_NAMES, *CONTRACT_NAMES}
    asked = {*SETTING_NAMES, *PLANT_NAMES}
    ours_all = {*PLOT_NAMES, *MEMBER_NAMES, *ATTRIBUTE_NAMES, *SHARE_NAMES, *ZONE_NAMES, *office, *asked}
    assert set(rows["ours"]) == {*ours_all, "id"}
    assert set(rows["language"]) == {"en", "es", "fr", "pt", "id", "sw", "generic", "format"}
    assert rows.notna().all().all()
    for ours in ours_all:
        assert set(rows.loc[rows["ours"] == ours, "language"]) >= {"en", "es", "fr", "pt", "id", "sw"}
    assert not rows.duplicated(["ours", "synonym", "language"]).any()
