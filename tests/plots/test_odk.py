"""ODK and Kobo exports open as they are: points, traces, groups, and repeats in sheets or columns."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely

from geomap.errors import ColumnError, FileError
from geomap.plots.formats import read_members, read_plots

SHAPE = "14.1 -87.2 900 4;14.1 -87.199 900 6;14.101 -87.199 900 5;14.1 -87.2 900 4"
TRACE = "14.2 -87.2 900 3;14.2 -87.199 900 3;14.201 -87.199 900 3"
META = {"_id": [501, 502], "_uuid": ["u1", "u2"], "_submission_time": ["2026-01-01T10:00:00"] * 2, "_index": [1, 2]}


def csv(folder: Path, columns: dict[str, list[object]], name: str = "kobo.csv", sep: str = ";") -> Path:
    pd.DataFrame(columns).to_csv(folder / name, index=False, sep=sep)
    return folder / name


def xlsx(folder: Path, **sheets: dict[str, list[object]]) -> Path:
    with pd.ExcelWriter(folder / "kobo.xlsx", engine="openpyxl") as writer:
        for name, columns in sheets.items():
            pd.DataFrame(columns).to_excel(writer, sheet_name=name, index=False)
    return folder / "kobo.xlsx"


def test_a_kobo_csv_opens_with_groups_a_shape_a_point_and_its_validation_status(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        {
            "datos/codigo_parcela": ["00123", "00124"],
            "datos/socio": ["M-1", "M-2"],
            "datos/area_declarada": ["0,5", "1"],
            "gps": ["14.1 -87.2 900 8", "14.2 -87.2 900 9"],
            "_gps_latitude": [14.1, 14.2],
            "_gps_longitude": [-87.2, -87.2],
            "_gps_altitude": [900, 900],
            "_gps_precision": [8, 9],
            "mapa/poligono_gps": [SHAPE, ""],
            "_validation_status": ["Approved", "On hold"],
            **META,
        },
    )
    plots, findings = read_plots(path)
    assert plots.index.tolist() == ["00123", "00124"]
    assert plots["member_id"].tolist() == ["M-1", "M-2"]
    assert plots["declared_area_ha"].tolist() == [0.5, 1.0]
    assert plots.geometry.geom_type.tolist() == ["Polygon", "Point"]
    # the shape's own accuracies 4, 6, 5, 4 have the median 4.5; the point has that of its column
    assert plots["gps_accuracy_m"].tolist() == [4.5, 9.0]
    assert plots["_validation_status"].tolist() == ["Approved", "On hold"]
    assert findings.empty


def test_a_trace_is_closed_and_said_to_be(tmp_path: Path) -> None:
    plots, findings = read_plots(csv(tmp_path, {"parcela": ["1", "2"], "recorrido": [TRACE, SHAPE], **META}))
    assert plots.geometry.geom_type.tolist() == ["Polygon", "Polygon"]
    assert findings[["plot_id", "code"]].values.tolist() == [["1", "repaired"]]


def test_repeats_on_a_sheet_of_their_own_are_joined_to_their_submission(tmp_path: Path) -> None:
    path = xlsx(
        tmp_path,
        encuesta={"socio": ["M-1", "M-2"], "comunidad": ["San José", "La Paz"], **META},
        parcelas={
            "area_declarada": [1.0, 2.0],
            "poligono_gps": [SHAPE, TRACE],
            "_index": [1, 2],
            "_parent_table_name": ["encuesta"] * 2,
            "_parent_index": [1, 1],
            "_submission__uuid": ["u1"] * 2,
        },
    )
    plots, findings = read_plots(path)
    # the second submission has no plot and stays as one row
    assert plots.index.tolist() == ["M-1-1", "M-1-2", "M-2"]
    assert plots["member_id"].tolist() == ["M-1", "M-1", "M-2"]
    assert plots["community"].tolist() == ["San José", "San José", "La Paz"]
    assert plots["declared_area_ha"].tolist()[:2] == [1.0, 2.0]
    assert np.isnan(plots["declared_area_ha"].iloc[2])
    assert plots["row"].tolist() == [1, 2, 2]
    assert plots["_uuid"].tolist() == ["u1", "u1", "u2"]
    assert set(findings["code"]) == {"repaired"}


def test_repeats_inside_repeats_are_joined_up_to_the_submission(tmp_path: Path) -> None:
    path = xlsx(
        tmp_path,
        encuesta={"comunidad": ["San José", "La Paz"], **META},
        socios={
            "socio": ["M-1", "M-2"],
            "_index": [1, 2],
            "_parent_table_name": ["encuesta"] * 2,
            "_parent_index": [2, 1],
        },
        parcelas={"forma": [SHAPE], "_index": [1], "_parent_table_name": ["socios"], "_parent_index": [1]},
    )
    plots, _ = read_plots(path)
    assert plots.loc["M-1-1", ["member_id", "community"]].tolist() == ["M-1", "La Paz"]
    assert plots.loc["M-2", "community"] == "San José"


def test_a_repeat_whose_submission_is_missing_stays(tmp_path: Path) -> None:
    path = xlsx(
        tmp_path,
        encuesta={"socio": ["M-1", "M-2"], **META},
        parcelas={
            "forma": [SHAPE, SHAPE],
            "_index": [1, 2],
            "_parent_table_name": ["encuesta"] * 2,
            "_parent_index": [1, 9],
        },
    )
    plots, _ = read_plots(path)
    assert len(plots) == 3
    assert plots.geometry.notna().sum() == 2


def test_two_sheets_of_repeats_with_shapes_are_refused(tmp_path: Path) -> None:
    sheet = {"forma": [SHAPE], "_index": [1], "_parent_table_name": ["encuesta"], "_parent_index": [1]}
    path = xlsx(tmp_path, encuesta={"socio": ["M-1", "M-2"], **META}, cafe=sheet, cacao=sheet)
    with pytest.raises(FileError, match="several sheets of repeats"):
        read_plots(path)


def test_members_are_read_from_the_sheet_of_submissions(tmp_path: Path) -> None:
    path = xlsx(
        tmp_path,
        encuesta={"grupo/socio": ["M-1", "M-2"], "grupo/nombre_socio": ["Ana", "Luis"], **META},
        parcelas={"forma": [SHAPE], "_index": [1], "_parent_table_name": ["encuesta"], "_parent_index": [1]},
    )
    members, _ = read_members(path)
    assert members["name"].to_dict() == {"M-1": "Ana", "M-2": "Luis"}


@pytest.mark.parametrize(
    "pattern", ["parcela_{}_{}", "grupo/parcela_{}_{}", "parcelas[{}]/{}", "g/parcelas[{}]/parcelas/{}"]
)
def test_plots_in_columns_of_their_own_become_rows(pattern: str, tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {"socio": ["M-1", "M-2", "M-3"], "_uuid": ["a", "b", "c"], "_id": [7, 8, 9]}
    for number, shapes in ((1, [SHAPE, TRACE, ""]), (2, [TRACE, "", ""])):
        columns[pattern.format(number, "area_declarada")] = [1.0 * number if shape else None for shape in shapes]
        columns[pattern.format(number, "poligono_gps")] = shapes
    plots, _ = read_plots(csv(tmp_path, columns))
    assert plots.index.tolist() == ["M-1-1", "M-1-2", "M-2-1", "M-3"]
    assert plots["declared_area_ha"].tolist()[:3] == [1.0, 2.0, 1.0]
    assert plots["row"].tolist() == [1, 1, 2, 3]
    assert plots.geometry.isna().tolist() == [False, False, False, True]


def test_points_in_wide_repeats_are_the_plots_points(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        {
            "socio": ["M-1"],
            "_uuid": ["a"],
            "parcela_1_area": [0.5],
            "_parcela_1_gps_latitude": [14.1],
            "_parcela_1_gps_longitude": [-87.2],
            "parcela_2_area": [0.7],
            "_parcela_2_gps_latitude": [14.2],
            "_parcela_2_gps_longitude": [-87.3],
        },
    )
    plots, _ = read_plots(path)
    assert [str(shape) for shape in plots.geometry] == ["POINT (-87.2 14.1)", "POINT (-87.3 14.2)"]
    assert plots["declared_area_ha"].tolist() == [0.5, 0.7]


def test_columns_that_only_hold_numbers_in_their_names_are_no_repeats(tmp_path: Path) -> None:
    columns = {"plot_id": ["A"], "lat": [14.1], "lon": [-87.2], "kg_1_first": [3], "kg_2_second": [4]}
    plots, _ = read_plots(csv(tmp_path, columns))
    assert plots[["kg_1_first", "kg_2_second"]].values.tolist() == [[3, 4]]


def test_several_points_ask_which_is_the_plots(tmp_path: Path) -> None:
    points = {f"_{name}_{part}": [14.1, 14.2] for name in ("casa", "beneficio") for part in ("latitude", "longitude")}
    path = csv(tmp_path, {"codigo": ["1", "2"], **points, **META})
    with pytest.raises(ColumnError, match="several points: casa, beneficio"):
        read_plots(path)
    told, _ = read_plots(path, mapping={"_casa_latitude": "latitude", "_casa_longitude": "longitude"})
    assert told.geometry.notna().all()


def test_the_plots_point_is_known_by_its_name(tmp_path: Path) -> None:
    columns: dict[str, list[object]] = {"codigo": ["1", "2"]}
    for name, lat in (("casa", 10.0), ("parcela", 14.1)):
        columns |= {f"_{name}_latitude": [lat] * 2, f"_{name}_longitude": [-87.2] * 2}
    plots, _ = read_plots(csv(tmp_path, {**columns, **META}))
    assert plots.geometry.iloc[0].equals(shapely.Point(-87.2, 14.1))


def test_odk_central_splits_points_with_its_own_sign(tmp_path: Path) -> None:
    columns = {
        "SubmissionDate": ["2026-01-01"],
        "plot-gps-Latitude": [14.1],
        "plot-gps-Longitude": [-87.2],
        "plot-gps-Accuracy": [4.0],
        "plot-plot_code": ["P1"],
        "KEY": ["uuid:1"],
    }
    plots, _ = read_plots(csv(tmp_path, columns))
    assert plots.index.tolist() == ["P1"]
    assert str(plots.geometry.iloc[0]) == "POINT (-87.2 14.1)"
    assert plots["gps_accuracy_m"].tolist() == [4.0]


def test_a_point_without_split_columns_is_read_from_its_text(tmp_path: Path) -> None:
    plots, _ = read_plots(csv(tmp_path, {"codigo": ["1", "2"], "ubicacion": ["14.1 -87.2 900 4.5", "14.2 -87.2 0 0"]}))
    assert [str(shape) for shape in plots.geometry] == ["POINT (-87.2 14.1)", "POINT (-87.2 14.2)"]
    assert plots["gps_accuracy_m"].tolist() == pytest.approx([4.5, np.nan], nan_ok=True)


def test_a_slash_in_an_ordinary_header_is_no_group(tmp_path: Path) -> None:
    plots, _ = read_plots(csv(tmp_path, {"plot_id": ["A"], "lat": [14.1], "lon": [-87.2], "certified y/n": ["y"]}))
    assert plots["certified y/n"].tolist() == ["y"]
