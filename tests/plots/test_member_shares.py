"""Shares of plots: they add up to 1 in every season, and each plot has its members."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomap.errors import ColumnError
from geomap.plots.member_shares import check_shared_plots, plot_shares, read_shares, to_shares


def table(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["plot_id", "member_id", "share", "season_from", "season_to"])


def plots(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"given_id": list(ids), "member_id": [f"own-{name}" for name in ids]}, index=list(ids))


def test_a_table_of_an_office_is_read_with_its_own_words(tmp_path: Path) -> None:
    path = tmp_path / "partes.csv"
    path.write_text("Parcela;Socio;Parte;Cosecha desde\n007;A;1/2;2024/25\n007;B;50 %;2024/25\n", encoding="utf-8")
    shares, findings = read_shares(path)
    assert shares[["plot_id", "member_id", "share"]].values.tolist() == [["007", "A", 0.5], ["007", "B", 0.5]]
    assert shares["season_from"].tolist() == [2024, 2024]
    assert findings.empty


def test_brothers_share_a_plot_and_others_keep_theirs() -> None:
    shares, findings = to_shares(table(("A", "M1", 0.25, "", ""), ("A", "M2", 0.75, "", "")))
    assert findings.empty
    assert plot_shares(plots("A", "B"), shares).values.tolist() == [
        ["A", "M1", 0.25],
        ["A", "M2", 0.75],
        ["B", "own-B", 1.0],
    ]


def test_rented_land_changes_hands_with_the_season() -> None:
    shares, findings = to_shares(
        table(
            ("A", "owner", 1, "", "2024/25"),
            ("A", "owner", "1/3", "2025/26", ""),
            ("A", "tenant", "2/3", "2025/26", ""),
        )
    )
    assert findings.empty  # 1 until 2024/25; 1/3 + 2/3 since
    before = plot_shares(plots("A"), shares, season="2024/25")
    after = plot_shares(plots("A"), shares, season="2025/26")
    assert before.values.tolist() == [["A", "owner", 1.0]]
    assert after["share"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert plot_shares(plots("A"), shares)["member_id"].tolist() == ["owner", "tenant"]  # the rows without an end


def test_in_a_season_that_the_table_does_not_name_the_plot_is_its_members() -> None:
    shares, _ = to_shares(table(("A", "M1", 1, "2020/21", "2021/22")))
    assert plot_shares(plots("A"), shares, season="2026/27").values.tolist() == [["A", "own-A", 1.0]]


def test_shares_that_do_not_add_up_are_scaled_and_said() -> None:
    shares, findings = to_shares(table(("A", "M1", 0.6, "2024/25", ""), ("A", "M2", 0.6, "2025/26", "")))
    assert findings["code"].tolist() == ["shares_do_not_add_up"]
    assert "add up to 0.6 in 2024/25" in findings["message"].iloc[0]
    assert plot_shares(plots("A"), shares, season="2025/26")["share"].tolist() == [0.5, 0.5]


def test_a_missing_share_is_what_the_others_leave() -> None:
    shares, findings = to_shares(table(("A", "M1", 0.5, "", ""), ("A", "M2", "", "", ""), ("A", "M3", None, "", "")))
    assert shares["share"].tolist() == [0.5, 0.25, 0.25]
    assert findings.empty


def test_without_a_column_of_shares_all_have_the_same() -> None:
    shares, _ = to_shares(pd.DataFrame({"plot_id": ["A", "A", "B"], "member_id": ["1", "2", "3"]}))
    assert shares["share"].tolist() == [0.5, 0.5, 1.0]


def test_a_column_of_percentages_is_one() -> None:
    shares, findings = to_shares(table(("A", "M1", 60, "", ""), ("A", "M2", 40, "", ""), ("B", "M1", 100, "", "")))
    assert shares["share"].tolist() == [0.6, 0.4, 1.0]
    assert findings.empty


def test_what_cannot_be_read_is_said() -> None:
    _, findings = to_shares(table(("A", "M1", "most", "", ""), ("", "M1", 1, "", ""), ("B", "M1", 1, "next year", "")))
    assert findings["code"].tolist() == ["unreadable_value"] * 3


def test_a_plot_that_is_not_there_is_said_and_a_repeated_id_shares_alike() -> None:
    shares, _ = to_shares(table(("A", "M1", 1, "", ""), ("X", "M1", 1, "", "")))
    assert check_shared_plots(plots("A"), shares)["plot_id"].tolist() == ["X"]
    twice = pd.DataFrame({"given_id": ["A", "A"], "member_id": ["", ""]}, index=["A", "A#2"])
    assert plot_shares(twice, shares)["plot_id"].tolist() == ["A", "A#2"]


def test_a_table_without_members_is_refused() -> None:
    with pytest.raises(ColumnError, match="no column member_id"):
        to_shares(pd.DataFrame({"plot_id": ["A"]}))


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ABC"), st.sampled_from(["M1", "M2", "M3"]), st.floats(0, 1), st.integers(2020, 2030)
        ),
        max_size=12,
    ),
    st.integers(2019, 2032),
)
def test_shares_of_a_plot_always_add_up_to_one(rows: list[tuple[str, str, float, int]], year: int) -> None:
    shares, _ = to_shares(table(*((plot, member, share, start, start + 2) for plot, member, share, start in rows)))
    found = plot_shares(plots("A", "B", "C"), shares, season=str(year))
    assert found.groupby("plot_id")["share"].sum().tolist() == pytest.approx([1, 1, 1])
    assert not found.duplicated(["plot_id", "member_id"]).any()
