"""ODK Central's ZIP of CSV tables opens as it is: submissions and repeats are one table."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from geomap.errors import FileError, GeomapError
from geomap.plots.formats import read_members, read_plots
from geomap.plots.intake import take_in, take_in_members

SHAPE = "14.1 -87.2 900 4;14.1 -87.199 900 6;14.101 -87.199 900 5;14.1 -87.2 900 4"
FORM = {
    "SubmissionDate": ["2026-01-01T10:00:00.000Z", "2026-01-02T10:00:00.000Z"],
    "socio-codigo_socio": ["M-07", "M-08"],
    "socio-nombre": ["Ana", "Luis"],
    "socio-comunidad": ["San José", "La Paz"],
    "meta-instanceID": ["uuid:a", "uuid:b"],
    "KEY": ["uuid:a", "uuid:b"],
    "SubmitterName": ["Técnico", "Técnico"],
}
PLOTS = {
    "datos-area_declarada": ["0,5", "1"],
    "mapa-poligono": [SHAPE, ""],
    "PARENT_KEY": ["uuid:a", "uuid:a"],
    "KEY": ["uuid:a/parcelas[1]", "uuid:a/parcelas[2]"],
}


def packed(folder: Path, name: str = "fincas.zip", /, **tables: dict[str, list[str]]) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("media/1767.jpg", b"\xff\xd8\xff")
        archive.writestr("media/list.csv", "a,b\n1,2\n")
        for stem, columns in tables.items():
            archive.writestr(f"{stem.replace('__', '-')}.csv", pd.DataFrame(columns).to_csv(index=False))
    return path


def test_repeats_stand_beside_their_submission(tmp_path: Path) -> None:
    plots, findings = read_plots(packed(tmp_path, fincas=FORM, fincas__parcelas=PLOTS))
    assert plots.index.tolist() == ["M-07-1", "M-07-2", "M-08"]  # who has no plot stays as one row
    assert plots["member_id"].tolist() == ["M-07", "M-07", "M-08"]
    assert plots["community"].tolist() == ["San José", "San José", "La Paz"]
    assert plots["declared_area_ha"].tolist()[:2] == [0.5, 1.0]
    assert plots.geometry.notna().tolist() == [True, False, False]
    assert plots["gps_accuracy_m"].iloc[0] == 4.5  # 4, 6, 5, 4
    assert plots["KEY"].tolist() == ["uuid:a", "uuid:a", "uuid:b"]
    assert not {"_index", "_parent_index", "_parent_table_name"} & set(plots.columns)
    assert findings.empty


def test_members_are_read_from_the_submissions(tmp_path: Path) -> None:
    members, _ = read_members(packed(tmp_path, fincas=FORM, fincas__parcelas=PLOTS))
    assert members["name"].to_dict() == {"M-07": "Ana", "M-08": "Luis"}


def test_repeats_inside_repeats_find_their_way_up(tmp_path: Path) -> None:
    households = {
        "codigo_socio": ["M-1", "M-2"],
        "PARENT_KEY": ["uuid:b", "uuid:a"],
        "KEY": ["uuid:b/socios[1]", "uuid:a/socios[1]"],
    }
    plots = {
        "poligono": [SHAPE],
        "PARENT_KEY": ["uuid:b/socios[1]"],
        "KEY": ["uuid:b/socios[1]/parcelas[1]"],
    }
    form = {name: column for name, column in FORM.items() if not name.startswith("socio-codigo")}
    path = packed(tmp_path, f=form, f__socios=households, f__parcelas=plots)
    read, _ = read_plots(path)
    assert read.loc["M-1-1", ["member_id", "community"]].tolist() == ["M-1", "La Paz"]
    assert read.loc["M-2", "community"] == "San José"


def test_a_plot_without_a_members_id_is_named_by_its_submission(tmp_path: Path) -> None:
    form = {name: column for name, column in FORM.items() if not name.startswith("socio-")}
    plots, _ = read_plots(packed(tmp_path, f=form, f__parcelas=PLOTS))
    assert plots.index.tolist() == ["uuid:a-1", "uuid:a-2", "uuid:b"]


def test_one_table_alone_is_read_as_it_is(tmp_path: Path) -> None:
    plots, _ = read_plots(packed(tmp_path, plots={"plot_id": ["007"], "lat": [14.1], "lon": [-87.2]}))
    assert plots.index.tolist() == ["007"]


def test_tables_of_several_forms_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"fincas\.zip holds several tables .*: f, g"):
        read_plots(packed(tmp_path, f=FORM, g=FORM))


def test_only_photos_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="ZIP archive of other files"):
        read_plots(packed(tmp_path))


@pytest.mark.parametrize("uploads", [False, True])
def test_the_child_reads_the_same(tmp_path: Path, uploads: bool) -> None:
    path = packed(tmp_path, fincas=FORM, fincas__parcelas=PLOTS)
    here, child = read_plots(path)[0], take_in(path, uploads=uploads, declared="application/zip")[0]
    pd.testing.assert_frame_equal(pd.DataFrame(here), pd.DataFrame(child), check_dtype=False)
    assert take_in_members(path, uploads=uploads)[0].index.tolist() == ["M-07", "M-08"]


def test_a_cut_archive_is_an_error_of_ours(tmp_path: Path) -> None:
    data = packed(tmp_path, fincas=FORM, fincas__parcelas=PLOTS).read_bytes()
    for size in (10, len(data) // 2, len(data) - 5):
        (tmp_path / "cut.zip").write_bytes(data[:size])
        with pytest.raises(GeomapError):
            take_in(tmp_path / "cut.zip", uploads=True)
