"""What the store gives a run: the same numbers as the office's own files, and the same bytes for the same content."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import shapely

from geomap.plots.formats import read_members, read_plots
from geomap.plots.member_shares import plot_shares, read_shares
from geomap.run import estimate_files, read_inputs
from geomap.store import Scope, Store
from geomap.store.cooperatives import add_cooperative
from geomap.store.decisions import put_decision
from geomap.store.errors import NotFoundError
from geomap.store.imports import take_in_import
from geomap.store.members import put_member
from geomap.store.plots import put_plot
from geomap.store.scope import ALL, WORKER
from geomap.store.snapshot import Snapshot, snapshot
from geomap.supply.brought import Brought

LOCAL = Scope("local", ALL, "someone")
SAMPLE = Path(__file__).parents[2] / "data/sample"
CODE, IDS = "Flor del Pinar", "FP-"
SENT = {
    "plots": "plots.geojson",
    "members": "members.csv",
    "settings": "cooperatives.csv",
    "deliveries": "deliveries.csv",
    "contracts": "contracts.csv",
}


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's files with the rows of one cooperative."""
    folder = tmp_path_factory.mktemp("office")
    plots = json.loads((SAMPLE / "plots.geojson").read_text(encoding="utf-8"))
    own = [one for one in plots["features"] if one["properties"]["cooperative_id"] == CODE]
    (folder / "plots.geojson").write_text(json.dumps(plots | {"features": own}), encoding="utf-8")
    for name in ("members", "contracts", "cooperatives", "deliveries"):
        table = pd.read_csv(SAMPLE / f"{name}.csv", dtype=str, keep_default_na=False)
        is_own = (
            table["cooperative_id"] == CODE if "cooperative_id" in table else table["member_id"].str.startswith(IDS)
        )
        table[is_own].to_csv(folder / f"{name}.csv", index=False)
    return folder


def send(store: Store, coop: str, kind: str, path: Path) -> None:
    take_in_import(store, LOCAL, path, cooperative_id=coop, kind=kind, file_name=path.name)


def taken(store: Store, coop: str, folder: Path) -> Snapshot:
    folder.mkdir()
    with store.read(WORKER) as tx:
        return snapshot(tx, coop, folder)


def new_coop(store: Store, code: str = CODE) -> str:
    with store.begin(LOCAL) as tx:
        return add_cooperative(tx, code=code, name=code, country="HN", crop="coffee")


def test_a_run_from_the_store_gives_the_numbers_of_the_offices_own_files(
    sqlite_store: Store, office: Path, tmp_path: Path
) -> None:
    coop = new_coop(sqlite_store)
    for kind, name in SENT.items():
        send(sqlite_store, coop, kind, office / name)
    given: dict[str, Any] = {"product": "esa-worldcover-2021", "crop": "coffee", "country": "HN", "season": "2026/27"}
    brought = Brought((office / "deliveries.csv",), contracts=office / "contracts.csv")
    brought = replace(brought, cooperatives=office / "cooperatives.csv")
    raster = [SAMPLE / "landcover.tif"]
    of_files = estimate_files(
        office / "plots.geojson", raster, members=office / "members.csv", brought=brought, **given
    )
    inputs = taken(sqlite_store, coop, tmp_path / "snapshot").inputs()
    of_store = estimate_files(inputs.pop("plots"), raster, **inputs, **given)
    for name in ("members", "cooperatives", "months", "variance", "classes", "environment"):
        pd.testing.assert_frame_equal(getattr(of_files, name), getattr(of_store, name), check_exact=True)
    assert of_files.cooperatives["supply_kg"].iloc[0] > 0
    assert of_files.outlook is not None
    assert of_store.outlook is not None
    pd.testing.assert_frame_equal(of_files.outlook.available, of_store.outlook.available, check_exact=True)


def test_equal_content_gives_equal_bytes_whatever_the_order_it_came_in(
    store: Store, office: Path, tmp_path: Path
) -> None:
    contents = []
    for place, kinds in enumerate((list(SENT), list(SENT)[::-1])):
        coop = new_coop(store, CODE if place == 0 else f"{CODE}.")  # a dot does not count when names are compared
        for kind in kinds:
            if kind != "deliveries":
                send(store, coop, kind, office / SENT[kind])
        contents.append(taken(store, coop, tmp_path / f"s{place}"))
    first, second = contents
    for name in ("plots", "members", "contracts", "cooperatives"):
        tables = [pd.read_parquet(one.files[name]).assign(cooperative_id="") for one in (first, second)]
        pd.testing.assert_frame_equal(*tables)
    again = taken(store, coop, tmp_path / "again")
    assert again.sha256 == second.sha256
    assert again.sha256 != first.sha256


def test_plots_come_back_as_they_were_with_repeated_and_missing_ids(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text(
        "plot_id,lat,lon,ha,member_id,crop,planted_year,hives,Variedad,nota,ok,counted_area_ha\n"
        "A,14.6,-88.8,1.5,M1,coffee,1999,,x,007,true,5\n"
        "A,14.7,-88.7,,M2,cocoa,,3,y,,false,6\n"
        ",14.5,-88.5,2,,,,,,8,true,7\n"
    )
    coop = new_coop(store)
    send(store, coop, "plots", path)
    files = taken(store, coop, tmp_path / "snapshot").files
    given, _ = read_plots(path)
    found, _ = read_plots(files["plots"])
    assert sorted(given.index) == found.index.tolist() == ["A", "A#2", "row-3"]
    given = given.loc[found.index]
    same = [name for name in given.columns if name not in {"given_id", "row", "cooperative_id"}]
    pd.testing.assert_frame_equal(pd.DataFrame(given[same]), pd.DataFrame(found[same]))
    assert given["counted_area_ha_given"].tolist() == [5, 6, 7]


def test_shares_of_a_repeated_id_are_those_of_every_plot_that_carries_it(store: Store, tmp_path: Path) -> None:
    plots, shares = tmp_path / "p.csv", tmp_path / "s.csv"
    plots.write_text("plot_id,lat,lon,member_id\nA,14.6,-88.8,M1\nA,14.7,-88.7,M1\nB,14.5,-88.5,M2\n")
    shares.write_text("plot_id,member_id,share,season_from,season_to\nA,M1,1/3,,2024/25\nA,M2,,,2024/25\n")
    coop = new_coop(store)
    send(store, coop, "plots", plots)
    send(store, coop, "shares", shares)
    files = taken(store, coop, tmp_path / "snapshot").files
    for season in ("2024/25", "2025/26"):
        of_files = plot_shares(read_plots(plots)[0], read_shares(shares)[0], season=season)
        of_store = plot_shares(read_plots(files["plots"])[0], read_shares(files["shares"])[0], season=season)
        pd.testing.assert_frame_equal(of_files, of_store, check_exact=True)


def test_no_attribute_takes_the_place_of_a_column_of_ours(store: Store, tmp_path: Path) -> None:
    coop = new_coop(store)
    shape = bytes(shapely.to_wkb(shapely.box(0, 14, 0.001, 14.001)))
    odd = {"plot_id": "X", "geometry": "G", "Plot_ID": "Y", "lat": 3, "Latitud": 4, "colmenas": 5, "ha": 6, "row": 7}
    with store.begin(LOCAL) as tx:
        put_plot(tx, coop, "A", {"geometry": shape, "declared_area_ha": 1.5, "attributes": odd})
        put_plot(tx, coop, "B", {"geometry": shape})
    plots, _ = read_plots(taken(store, coop, tmp_path / "snapshot").files["plots"])
    assert plots.index.tolist() == ["A", "B"]
    assert plots["declared_area_ha"].iloc[0] == 1.5
    assert plots["hives"].iloc[0] == 5
    assert plots.geometry.iloc[0].equals(shapely.from_wkb(shape))


def test_members_come_back_without_their_phones(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text("member_id,nombre,teléfono,ha,joined,left\n007,Ana,+504 1,1.25,2019-06-20,\n8,José,,,,2020-01-01\n")
    coop = new_coop(store)
    send(store, coop, "members", path)
    file = taken(store, coop, tmp_path / "snapshot").files["members"]
    given, _ = read_members(path)
    found, _ = read_members(file)
    same = ["name", "community", "declared_area_ha", "joined", "left"]
    pd.testing.assert_frame_equal(given[same], found[same])
    assert b"504" not in file.read_bytes()


def test_decisions_reach_the_run(store: Store, tmp_path: Path) -> None:
    coop = new_coop(store)
    with store.begin(LOCAL) as tx:
        for place, plot_id in enumerate("AB"):
            shape = bytes(shapely.to_wkb(shapely.box(place, 14, place + 0.001, 14.001)))
            put_plot(tx, coop, plot_id, {"geometry": shape})
        put_decision(tx, coop, "B", "leave_out", code="sliver")
    inputs = taken(store, coop, tmp_path / "snapshot").inputs()
    plots, _, found = read_inputs(inputs["plots"], **inputs["reading"])
    assert plots.index.tolist() == ["A"]
    assert "decided" in {code for table in found for code in table["code"]}


def test_a_snapshot_can_be_opened_again_by_its_folder(store: Store, tmp_path: Path) -> None:
    coop = new_coop(store)
    with store.begin(LOCAL) as tx:
        put_member(tx, coop, "M", {"attributes": {"a": 1}})
        put_member(tx, coop, "N", {"attributes": {"a": "x", "member_id": "another"}})
    made = taken(store, coop, tmp_path / "snapshot")
    assert Snapshot(tmp_path / "snapshot").files == made.files
    assert sorted(made.files) == ["members"]
    table = pd.read_parquet(made.files["members"])
    assert table["member_id"].tolist() == ["M", "N"]
    assert table["a"].tolist() == ["1", "x"]
    with pytest.raises(NotFoundError), store.read(Scope("coop_admin", frozenset({"x"}))) as tx:
        snapshot(tx, coop, tmp_path)
