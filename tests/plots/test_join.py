"""Plots and members brought together: who counts in a season, and what sums are made by."""

import geopandas as gpd
import pandas as pd
import pytest
from shapely.geometry import Point, box

from geomap.errors import ColumnError
from geomap.plots.area import area_ha
from geomap.plots.join import columns_to_sum_by, inactive_plots, join_members

SQUARE = box(-87.2, 14.1, -87.199, 14.101)


def plots_of(members: list[str], *, geometry: object = SQUARE, **columns: object) -> gpd.GeoDataFrame:
    ids = [f"P{number}" for number in range(1, len(members) + 1)]
    table = {"member_id": members, "cooperative_id": "C", "community": "", "declared_area_ha": float("nan"), **columns}
    return gpd.GeoDataFrame(table, geometry=[geometry] * len(ids), index=pd.Index(ids, name="plot_id"), crs="EPSG:4326")


def members_of(**columns: list[str]) -> pd.DataFrame:
    length = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.Index([f"M{number}" for number in range(1, length + 1)], name="member_id"))


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ({"left": ["2025-03-01"]}, "left on 2025-03-01"),
        ({"left": ["2026-09-30"]}, "left on 2026-09-30"),  # the season begins on 2026-10-01
        ({"suspended": ["2026-01-15"]}, "is suspended since 2026-01-15"),
        ({"joined": ["2027-10-01"]}, "joins on 2027-10-01"),  # and ends on 2027-09-30
    ],
)
def test_plots_of_members_who_are_none_in_the_season_are_left_out_with_their_hectares(
    dates: dict[str, list[str]], words: str
) -> None:
    plots = plots_of(["M1", "M1", "", "M9"], declared_area_ha=[1.5, float("nan"), 1.0, 1.0])
    kept, found = inactive_plots(plots, members_of(**dates), "2026/27")
    assert kept.index.tolist() == ["P3", "P4"]  # nobody's, and a member's that the file does not have
    assert found[["plot_id", "code", "action"]].to_numpy().tolist() == [
        ["P1", "member_left", "left_out"],
        ["P2", "member_left", "left_out"],
    ]
    assert found["effect_ha"].tolist() == [-1.5, -area_ha(plots.geometry)["P2"]]  # declared, else as drawn
    assert found["message"].str.contains(words).all()


@pytest.mark.parametrize(
    "dates", [{"left": ["2026-10-01"]}, {"suspended": ["2026-10-01"]}, {"joined": ["2027-09-30"]}, {"left": [""]}]
)
def test_a_day_of_membership_in_the_season_is_enough(dates: dict[str, list[str]]) -> None:
    kept, found = inactive_plots(plots_of(["M1"]), members_of(**dates), "2026/27")
    assert kept.index.tolist() == ["P1"]
    assert found.empty


def test_members_without_dates_lose_no_plot() -> None:
    kept, found = inactive_plots(plots_of(["M1"]), members_of(name=["Ana"]), "2026/27")
    assert (len(kept), len(found)) == (1, 0)


def test_a_point_or_an_outline_off_the_earth_costs_only_what_is_declared() -> None:
    for shape in (Point(-87.2, 14.1), box(480_000, 1_555_000, 480_100, 1_555_100), None):
        _, found = inactive_plots(plots_of(["M1"], geometry=shape), members_of(left=["2020-01-01"]), "2026/27")
        assert found["effect_ha"].tolist() == [0.0]


def test_the_order_of_plots_and_members_does_not_matter() -> None:
    plots, members = plots_of(["M1", "M2", "M3"]), members_of(left=["2020-01-01", "", "2021-01-01"])
    kept, found = inactive_plots(plots, members, "2026/27")
    turned, again = inactive_plots(plots[::-1], members[::-1], "2026/27")
    assert kept.equals(turned[::-1])
    assert found.equals(again[::-1].reset_index(drop=True))


@pytest.mark.parametrize(
    ("typed", "column"),
    [
        ("certification", "certification"),
        ("sello", "certification"),
        ("Certificação", "certification"),
        ("comunidad", "community"),
        ("desa", "community"),
        ("cooperativa", "cooperative_id"),
        ("socio", "member_id"),
        ("variedad", "variety"),
        ("Grupo GIR", "Grupo GIR"),
        ("grupo_gir", "Grupo GIR"),
    ],
)
def test_what_to_sum_by_may_be_typed_in_the_offices_language(typed: str, column: str) -> None:
    plots = plots_of(["M1"], **{"Grupo GIR": "A"})
    members = members_of(certification=["Fairtrade"], variety=["Catuaí"])
    assert columns_to_sum_by([typed], plots, members) == (column,)


def test_two_names_of_one_column_are_one_sum() -> None:
    assert columns_to_sum_by(["comunidad", "community", "village"], plots_of(["M1"])) == ("community",)


def test_a_column_of_exactly_the_typed_name_counts_before_a_synonym() -> None:
    plots = plots_of(["M1"], sello="x", certification="y")
    assert columns_to_sum_by(["sello"], plots) == ("sello",)


def test_a_name_that_means_no_column_lists_those_there_are() -> None:
    with pytest.raises(ColumnError) as caught:
        columns_to_sum_by(["sello"], plots_of(["M1"]), members_of(tenure=["own"]))
    assert "There is no column 'sello' to sum by." in str(caught.value)
    assert "Choose one of: community, cooperative_id, member_id, tenure." in str(caught.value)


def test_a_name_that_means_two_columns_asks_which() -> None:
    with pytest.raises(ColumnError, match="'GIR Grupo' and 'gir_grupo' could both be 'GIR grupo'"):
        columns_to_sum_by(["GIR grupo"], plots_of(["M1"], **{"GIR Grupo": "A", "gir_grupo": "B"}))


def test_the_members_attribute_is_on_the_plots_under_our_name() -> None:
    joined = join_members(
        plots_of(["M1"]), members_of(cooperative_id=["C"], certification=["FT"]), attributes=["sello"]
    )
    assert joined.plots["certification"].tolist() == ["FT"]
