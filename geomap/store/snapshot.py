"""What a cooperative has in the store, as files that a run reads like those of the office."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import pandas as pd
from sqlalchemy import Select, select

from geomap.plots.columns import MEMBER_NAMES, PLOT_NAMES, could_be
from geomap.plots.table import PLOT_COLUMNS
from geomap.plots.values import cell_text
from geomap.store import schema
from geomap.store.cooperatives import cooperative
from geomap.store.office_rows import NAMES
from geomap.store.scope import Transaction

FILES: Final = ("plots", "members", "shares", *NAMES, "cooperatives", "decisions")
"""Names of the files, each with the ending .parquet: no reader has to guess what its cells are."""
_PLOT_COLUMNS: Final = ("member_id", "community", "crop", "declared_area_ha", "gps_accuracy_m")


@dataclass(frozen=True)
class Snapshot:
    """Files of a cooperative in a folder: those of `FILES` that have rows.

    Examples
    --------
    >>> Snapshot(Path("/tmp/nothing-there")).files
    {}
    """

    folder: Path

    @property
    def files(self) -> dict[str, Path]:
        """Name → path of each file that is there."""
        paths = {name: self.folder / f"{name}.parquet" for name in FILES}
        return {name: path for name, path in paths.items() if path.is_file()}

    @property
    def sha256(self) -> str:
        """Of all files together: the same content gives the same."""
        told = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.files.items()}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def inputs(self) -> dict[str, Any]:
        """Keywords of `geomap.run.estimate_files`: plots, members, shares, brought, reading.

        Raises
        ------
        KeyError : there are no plots.
        """
        from geomap.supply.brought import Brought

        files = self.files
        brought = Brought(
            deliveries=(files["deliveries"],) if "deliveries" in files else (),
            field_estimates=files.get("field_estimates"),
            commitments=files.get("commitments"),
            contracts=files.get("contracts"),
            cooperatives=files.get("cooperatives"),
        )
        reading = {"decisions": pd.read_parquet(files["decisions"])} if "decisions" in files else {}
        return {
            "plots": files["plots"],
            "members": files.get("members"),
            "shares": files.get("shares"),
            "brought": brought,
            "reading": reading,
        }


def snapshot(tx: Transaction, cooperative_id: str, folder: Path) -> Snapshot:
    """Write what stands in the store today into an empty folder; equal content gives equal bytes.

    In the files the cooperative's code stands as cooperative_id. Phones are not written: no run needs them.

    Raises
    ------
    NotFoundError : no such cooperative within reach.
    """
    of = cooperative(tx, cooperative_id)
    plots = sorted(_rows(tx, _current(schema.plots, cooperative_id)), key=itemgetter("plot_id"))
    tables = {
        "members": _members(tx, cooperative_id),
        "shares": _shares(tx, cooperative_id, plots),
        **{kind: _office(tx, cooperative_id, kind) for kind in NAMES},
        "cooperatives": pd.DataFrame([dict(sorted(of["settings"].items()))] if of["settings"] else []),
        "decisions": _decisions(tx, cooperative_id),
    }
    if plots:
        _plots(plots, of["code"]).to_parquet(folder / "plots.parquet", index=False, compression="zstd")
    for name, table in tables.items():
        if len(table):
            owned = table if name in {"shares", "decisions"} else table.assign(cooperative_id=of["code"])
            _typed(owned).to_parquet(folder / f"{name}.parquet", index=False, compression="zstd")
    return Snapshot(folder)


def _plots(rows: Sequence[Mapping[str, Any]], code: str) -> gpd.GeoDataFrame:
    """Plots under the ids that the store knows them by, with all columns of ours, so that no other is taken for one."""
    frame = pd.DataFrame(
        {
            "plot_id": [row["plot_id"] for row in rows],
            "cooperative_id": code,
            **{name: [row[name] for row in rows] for name in _PLOT_COLUMNS},
            **_further(rows, PLOT_COLUMNS, PLOT_NAMES),
        }
    )
    for name in ("declared_area_ha", "gps_accuracy_m"):
        frame[name] = frame[name].astype("float64")
    shapes = gpd.GeoSeries.from_wkb([row["geometry"] for row in rows], crs="EPSG:4326")
    return gpd.GeoDataFrame(_typed(frame), geometry=shapes)


def _members(tx: Transaction, cooperative_id: str) -> pd.DataFrame:
    members, people = schema.members, schema.member_people
    both = (people.c.cooperative_id == members.c.cooperative_id) & (people.c.member_id == members.c.member_id)
    found = select(members, people.c.name).select_from(members.join(people, both))
    rows = sorted(_rows(tx, found.where(members.c.cooperative_id == cooperative_id)), key=itemgetter("member_id"))
    if not rows:
        return pd.DataFrame()
    own = ("member_id", "name", "community", "declared_area_ha")
    columns = {name: [row[name] for row in rows] for name in own}
    frame = pd.DataFrame({**columns, **_further(rows, (), MEMBER_NAMES)})
    return frame.assign(declared_area_ha=frame["declared_area_ha"].astype("float64"))


def _further(rows: Sequence[Mapping[str, Any]], hidden: Sequence[str], names: Sequence[str]) -> dict[str, list[Any]]:
    """Attributes, column by column; none takes the place of a column of ours, and no two could be the same one."""
    given = sorted({name for row in rows for name in row["attributes"]} - {"given_id"})
    taken = {*names, *hidden, "geometry"} - {"planted_share", "planted_year", "hives", "latitude", "longitude"}
    columns = {
        f"{name}_given" if name in taken else name: [row["attributes"].get(name) for row in rows] for name in given
    }
    doubtful = [
        name
        for name in names
        if name not in {*taken, *columns} and sum(could_be(one, (name,), vague=False) for one in columns) > 1
    ]
    return columns | {name: [float("nan")] * len(rows) for name in doubtful}


def _shares(tx: Transaction, cooperative_id: str, plots: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Shares of plots. A plot whose id another row of its file carried too has those of the id as it was given."""
    names = ["plot_id", "member_id", "share", "season_from", "season_to"]
    rows = _rows(tx, select(schema.plot_shares).where(schema.plot_shares.c.cooperative_id == cooperative_id))
    table = pd.DataFrame([{name: row[name] for name in names} for row in rows], columns=names)
    given = {row["plot_id"]: row["attributes"].get("given_id") for row in plots}
    copies = [
        table[table["plot_id"] == given_id].assign(plot_id=plot_id)
        for plot_id, given_id in given.items()
        if given_id and not (table["plot_id"] == plot_id).any()
    ]
    return pd.concat([table, *copies]).sort_values(names, kind="stable", ignore_index=True)


def _office(tx: Transaction, cooperative_id: str, kind: str) -> pd.DataFrame:
    """A list under our columns, in an order of its content."""
    table = getattr(schema, kind)
    rows = _rows(tx, select(table.c.cells).where(table.c.cooperative_id == cooperative_id))
    names = [name for name in NAMES[kind] if name != "cooperative_id"]
    cells = sorted([str(row["cells"].get(name, "")) for name in names] for row in rows)
    frame = pd.DataFrame(cells, columns=names, dtype="str")
    return frame[[name for name in names if name in {names[0], "kg"} or (frame[name] != "").any()]]


def _decisions(tx: Transaction, cooperative_id: str) -> pd.DataFrame:
    table, names = schema.decisions, ["plot_id", "other_plot_id", "code", "decision"]
    rows = _rows(tx, select(table).where(table.c.cooperative_id == cooperative_id))
    return pd.DataFrame(sorted([row[name] for name in names] for row in rows), columns=names)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of numbers, of truth values or of texts; where a column holds several kinds, they become texts."""
    return pd.DataFrame({name: _column(table[name].tolist(), str(table[name].dtype)) for name in table})


def _column(cells: Iterable[Any], kind: str) -> "pd.Series[Any]":
    values = list(cells)
    if kind == "float64":
        return pd.Series(values, dtype="float64")
    missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in values]
    kinds = {type(value) for value, is_missing in zip(values, missing, strict=True) if not is_missing}
    if kinds == {bool} and not any(missing):
        return pd.Series(values, dtype=bool)
    if kinds == {int} and not any(missing):
        return pd.Series(values, dtype="int64")
    if kinds and kinds <= {int, float}:
        return pd.Series([float("nan") if gone else float(v) for v, gone in zip(values, missing, strict=True)])
    return pd.Series([cell_text(value) for value in values], dtype="str")


def _current(table: Any, cooperative_id: str) -> Select[Any]:
    return select(table).where(table.c.cooperative_id == cooperative_id, table.c.ended_at.is_(None))


def _rows(tx: Transaction, statement: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.fetch(statement)]
