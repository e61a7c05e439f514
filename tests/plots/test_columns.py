import pytest

from geomap.errors import ColumnError
from geomap.plots.columns import MEMBER_NAMES, PLOT_NAMES, match_columns


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["Plot ID", "LATITUDE", "Long."], {"plot_id": "Plot ID", "latitude": "LATITUDE", "longitude": "Long."}),
        (["Código de socio", "CODIGO-SOCIO"], {"member_id": "CODIGO-SOCIO"}),
        (["id_parcela", "Área (ha)"], {"plot_id": "id_parcela", "declared_area_ha": "Área (ha)"}),
        (["Nº", "Année plantation"], {"planted_year": "Année plantation"}),
        (["kode_kebun", "luas_lahan"], {"plot_id": "kode_kebun", "declared_area_ha": "luas_lahan"}),
        (["Namba ya shamba", "kijiji"], {"plot_id": "Namba ya shamba", "community": "kijiji"}),
        (["talhão", "cooperado"], {"plot_id": "talhão", "member_id": "cooperado"}),
        (["remote_id", "farm_size", "farm_village"],
         {"plot_id": "remote_id", "community": "farm_village", "declared_area_ha": "farm_size"}),
        (["cooperativ", "declared_a"], {"cooperative_id": "cooperativ", "declared_area_ha": "declared_a"}),
    ],
)  # fmt: skip
def test_names_are_found_in_the_languages_of_the_table(columns: list[str], expected: dict[str, str]) -> None:
    assert match_columns(columns, PLOT_NAMES, file="f") == expected


def test_our_own_name_wins_over_a_synonym() -> None:
    found = match_columns(["parcela", "plot_id", "Area", "declared_area_ha"], PLOT_NAMES, file="f")
    assert found == {"plot_id": "plot_id", "declared_area_ha": "declared_area_ha"}
    assert match_columns(["PLOT ID", "plot_id"], PLOT_NAMES, file="f") == {"plot_id": "plot_id"}


def test_a_vague_name_serves_only_where_nothing_better_is_there() -> None:
    assert match_columns(["id", "fid"], PLOT_NAMES, file="f") == {"plot_id": "id"}
    assert match_columns(["id", "parcela"], PLOT_NAMES, file="f") == {"plot_id": "parcela"}
    assert match_columns(["id", "nombre"], MEMBER_NAMES, file="f") == {"member_id": "id", "name": "nombre"}
    # an id of the row is never the member's id in a table of plots
    assert match_columns(["plot_id", "id"], PLOT_NAMES, file="f") == {"plot_id": "plot_id"}


def test_two_of_one_name_are_an_error_that_names_both() -> None:
    for columns in (["parcela", "lote"], ["Plot ID", "PLOT-ID"]):
        with pytest.raises(ColumnError) as caught:
            match_columns(columns, PLOT_NAMES, file="plots.csv")
        assert all(repr(column) in str(caught.value) for column in columns)


def test_a_mapping_wins_over_everything_and_is_found_without_case() -> None:
    found = match_columns(["plot_id", "Parcela"], PLOT_NAMES, mapping={"parcela": "plot_id"}, file="f")
    assert found == {"plot_id": "Parcela"}
    assert match_columns(["Sello"], PLOT_NAMES, mapping={"Sello": "certification"}, file="f") == {
        "certification": "Sello"
    }
