"""Deliveries as cooperatives keep them: read, brought to one product form, checked against the members."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from geomap.findings import join_findings, make_findings
from geomap.lookup import is_among
from geomap.plots.columns import DELIVERY_NAMES
from geomap.plots.members import active_members
from geomap.supply.crop_tables import CropTables
from geomap.supply.office import Source, some
from geomap.supply.rows import REMEDIES, left_out, of_members, read_rows
from geomap.supply.weigh import Wanted

COLUMNS: Final = ["row", "cooperative_id", "member_id", "season", "date", "given_kg", "given_form", "kg"]

TOO_MUCH: Final = 4.0
"""Times what the plots can bear at base yield: more cannot be."""


def read_deliveries(
    path: str | Path,
    *,
    crop: str,
    form: str,
    mapping: Mapping[str, str] | None = None,
    units: pd.DataFrame | None = None,
    members: pd.DataFrame | None = None,
    season: str = "",
    given_unit: str = "",
    given_form: str = "",
    tables: CropTables | None = None,
    declared: str | None = None,
    uploads: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Deliveries of one file (CSV, TSV, XLSX, Parquet) and the findings.

    One row per delivery, per member and season, or per cooperative and season; or one row per member with a column for
    each season. Numbers may carry units ("12 qq", "1.234,5 kg"), columns too ("qq pergamino", "libras uva"). Rows that
    cannot be counted are left out, each with a finding that names its row and kilograms: the kilograms of the
    deliveries less the `effect_kg` of these findings are the kilograms of the file.

    Parameters
    ----------
    path : the file.
    crop, form : of the run; `kg` is in this form.
    mapping : their column → our column, where the names do not tell.
    units : settings per cooperative (index cooperative_id): quintal_kg, quintal_form, carga_kg, carga_form, bag_kg,
        outturn, outturn_from, outturn_to; the index "" stands for everyone. A quintal of green coffee has
        46 kg where they do not say.
    members : index member_id; cooperative_id: of deliveries that name a member and no cooperative.
    season : of a file that tells neither seasons nor dates, such as "2024/25".
    given_unit, given_form : of quantities that name none; "kg", "parchment".
    tables : with the user's own crop.
    declared, uploads : as for `geomap.plots.intake.take_in`.

    Returns
    -------
    DataFrame : row (in the file), cooperative_id, member_id ("" where the row is of the whole cooperative), season,
        date (datetime64, NaT where unknown), given_kg, given_form, kg (of `form`); in the order of the file.
    DataFrame : findings.

    Raises
    ------
    ColumnError : no column of kilograms, several that could be, or no row that can be counted.
    FileError : the file cannot be read. UnknownNameError : no crop, form or season has this name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "entregas.csv"
    ...     _ = file.write_text("socio;fecha;qq oro\n007;15/01/2024;2,5\n")
    ...     found, _ = read_deliveries(file, crop="coffee", form="green")
    >>> found[["member_id", "season", "kg"]].values.tolist()  # 2.5 × 46
    [['007', '2023/24', 115.0]]
    """
    wanted = Wanted.of(crop, form, units=units, given_unit=given_unit, given_form=given_form, tables=tables)
    source = Source(Path(path), mapping, declared, uploads)
    rows, found = read_rows(source, DELIVERY_NAMES, wanted, members=members, season=season)
    rows, doubles = _without_doubles(rows, source.path.name)
    rows, zeros = _without_zeros(rows, source.path.name)
    return rows[COLUMNS].reset_index(drop=True), join_findings([found, doubles, zeros])


def season_sums(deliveries: pd.DataFrame) -> pd.DataFrame:
    """Kilograms of each member and season, and of each cooperative's rows without a member.

    Returns
    -------
    DataFrame : cooperative_id, member_id ("" for rows of the whole cooperative), season, kg, rows; sorted by the first
        three. No result depends on the order of rows.

    Examples
    --------
    >>> rows = pd.DataFrame({"cooperative_id": "C", "member_id": ["A", "B", "A"], "season": "2023/24",
    ...                      "kg": [1.0, 2.0, 4.0]})
    >>> season_sums(rows)[["member_id", "kg", "rows"]].values.tolist()
    [['A', 5.0, 2], ['B', 2.0, 1]]
    """
    keys = ["cooperative_id", "member_id", "season"]
    kg = deliveries["kg"].to_numpy(float)
    codes, labels = zip(*(pd.factorize(deliveries[key].to_numpy(dtype=object), sort=True) for key in keys), strict=True)
    joint = codes[0].astype(np.int64)
    for code, label in zip(codes[1:], labels[1:], strict=True):
        joint = joint * max(len(label), 1) + code
    order = np.lexsort((kg, joint))
    _, first, group = np.unique(joint[order], return_index=True, return_inverse=True)
    place = order[first]
    named = {
        key: pd.Series(np.asarray(label, dtype=object)[code[place]], dtype="str")
        for key, code, label in zip(keys, codes, labels, strict=True)
    }
    sums = np.bincount(group, kg[order], minlength=len(first)).astype(float)
    return pd.DataFrame({**named, "kg": sums, "rows": np.bincount(group, minlength=len(first))})


def with_cooperatives(deliveries: pd.DataFrame, cooperatives: "pd.Series[str]") -> pd.DataFrame:
    """The deliveries with the cooperative of their member where they name none, or the only one that there is.

    Parameters
    ----------
    cooperatives : cooperative_id by member_id. Where it is "" (nobody knows cooperatives), so it is for the member's
        deliveries.

    Examples
    --------
    >>> rows = pd.DataFrame({"cooperative_id": ["", "", "D"], "member_id": ["A", "B", "B"]})
    >>> with_cooperatives(rows, pd.Series({"A": "C", "B": "D"}))["cooperative_id"].tolist()
    ['C', 'D', 'D']
    """
    given = deliveries["cooperative_id"].to_numpy(dtype=object)
    found = of_members(given, deliveries["member_id"].to_numpy(dtype=object), cooperatives)
    return deliveries.assign(cooperative_id=pd.Series(found, index=deliveries.index, dtype="str"))


def check_deliveries(
    deliveries: pd.DataFrame, members: pd.DataFrame, *, bears_kg: "pd.Series[float] | None" = None
) -> pd.DataFrame:
    """What deliveries say that the members file does not, and quantities that cannot be; nothing is left out here.

    Parameters
    ----------
    deliveries : of `read_deliveries`.
    members : index member_id; cooperative_id, and where known joined, left, suspended (ISO dates).
    bears_kg : index member_id; kilograms that the member's plots can bear at base yield, in the form of `kg`.

    Returns
    -------
    DataFrame : findings "unknown_cooperative", "not_a_member", "not_a_member_then" (one per cooperative and season) and
        "impossible_delivery" (one per member and season above four times `bears_kg`, and per cooperative).

    Examples
    --------
    >>> rows = pd.DataFrame({"cooperative_id": "C", "member_id": ["A", "X"], "season": "2023/24", "kg": [900.0, 2.0]})
    >>> people = pd.DataFrame({"cooperative_id": ["C"]}, index=["A"])
    >>> check_deliveries(rows, people, bears_kg=pd.Series({"A": 200.0}))["code"].unique().tolist()
    ['impossible_delivery', 'not_a_member']
    """
    sums = season_sums(with_cooperatives(deliveries, members["cooperative_id"].astype("str")))
    coops = members["cooperative_id"].astype("str").unique()
    strange = ~is_among(sums["cooperative_id"], coops) & (len(coops) > 0)
    own = sums["member_id"] != ""
    known = own & is_among(sums["member_id"], members.index)
    then = np.zeros(len(sums), dtype=bool)
    for season in sorted(sums["season"].unique()):
        then |= (sums["season"] == season).to_numpy() & is_among(
            sums["member_id"], active_members(members, season).index
        )
    parts = [
        _by_season("unknown_cooperative", sums[strange], "no member of the members file is in that cooperative"),
        _by_season("not_a_member", sums[own & ~known & ~strange], "they are not in the members file"),
        _by_season(
            "not_a_member_then", sums[known & ~then], "they joined later, or had left, as the members file says"
        ),
    ]
    if bears_kg is not None:
        parts += [_impossible(sums[known], bears_kg), _impossible_totals(sums, members, bears_kg)]
    return join_findings(parts)


def _without_doubles(rows: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Equal rows with a date count once; without a date they may well be two deliveries, and that is said."""
    key = ["cooperative_id", "member_id", "season", "date", "given_kg", "given_form", "receipt"]
    double = rows.duplicated(key).to_numpy() & (rows["given_kg"] > 0).to_numpy()
    dated = rows["date"].notna().to_numpy()
    out, doubtful = double & dated, double & ~dated
    found = [_listed(rows[out], "repeated_delivery", "another row has the same member, date, kilograms and form", name)]
    if doubtful.any():
        message = (
            f"{name}: {int(doubtful.sum()):,} rows with {rows['kg'][doubtful].sum():,.0f} kg (rows "
            f"{some(rows['row'][doubtful].tolist())}) repeat the member, season and kilograms of another row. Without "
            "dates nobody can tell whether these are deliveries of their own, so they count. Look whether a part of "
            "the table stands there twice."
        )
        found.append(make_findings("repeated_delivery", [""], message))
    return rows[~out], join_findings(found)


def _without_zeros(rows: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A cooperative's season of nothing but zeros was not recorded; its rows are left out."""
    most = rows.groupby(["cooperative_id", "season"])["given_kg"].transform("max")
    zero = (most <= 0).to_numpy()
    messages = [
        f"{name}: all {len(part):,} rows of {_named(coop)} in {season} are 0 kg (rows {some(part['row'].tolist())}). "
        f"They count as not recorded. {REMEDIES['delivered_nothing']}"
        for (coop, season), part in rows[zero].groupby(["cooperative_id", "season"], sort=True)
    ]
    return rows[~zero], make_findings("delivered_nothing", [""] * len(messages), messages, action="left_out")


def _listed(rows: pd.DataFrame, code: str, why: str, name: str) -> pd.DataFrame:
    said = np.array([f"{kg:,.6g} kg" for kg in rows["given_kg"].tolist()], dtype=object)
    codes, reasons = np.full(len(rows), code, dtype=object), np.full(len(rows), why, dtype=object)
    return left_out(name, rows, codes, reasons, said)


def _by_season(code: str, sums: pd.DataFrame, why: str) -> pd.DataFrame:
    """One finding per cooperative and season: how many, how much, and the first ids."""
    messages = []
    for (coop, season), rows in sums.groupby(["cooperative_id", "season"], sort=True):
        ids = [member for member in rows["member_id"].tolist() if member]
        who = f"{len(ids):,} who delivered ({some(ids)})" if ids else f"{int(rows['rows'].sum()):,} rows"
        messages.append(f"{_named(coop)}, {season}: {rows['kg'].sum():,.0f} kg of {who}: {why}. {_WHAT_TO_DO[code]}")
    return make_findings(code, [""] * len(messages), messages)


_WHAT_TO_DO: Final = {
    "unknown_cooperative": "Write its name as in the members file, or add its members.",
    "not_a_member": "Write the ids as in the members file, or add the members; what others deliver is supply too, but "
    "no plot of the members explains it.",
    "not_a_member_then": "Correct the dates in the members file, or the season of the deliveries.",
}


def _impossible(sums: pd.DataFrame, bears_kg: "pd.Series[float]") -> pd.DataFrame:
    bears = bears_kg.reindex(sums["member_id"]).to_numpy(float)
    over = (bears > 0) & (sums["kg"].to_numpy(float) > TOO_MUCH * bears)
    rows = zip(
        *(sums[name][over].tolist() for name in ("cooperative_id", "member_id", "season", "kg")),
        bears[over].tolist(),
        strict=True,
    )
    messages = [
        f"{_named(coop)}, {member}, {season}: {kg:,.0f} kg were delivered, {kg / can:,.1f} times the {can:,.0f} kg "
        "that the member's plots bear at base yield. First check for a plot that is not mapped, then for the "
        "unit and the product form."
        for coop, member, season, kg, can in rows
    ]
    return make_findings("impossible_delivery", [""] * len(messages), messages)


def _impossible_totals(sums: pd.DataFrame, members: pd.DataFrame, bears_kg: "pd.Series[float]") -> pd.DataFrame:
    """Sums of a cooperative and season that all its plots together cannot bear."""
    owner = members["cooperative_id"].astype("str").reindex(bears_kg.index).fillna("")
    can = bears_kg.groupby(owner.to_numpy(dtype=object)).sum()
    messages = []
    for (coop, season), rows in sums.groupby(["cooperative_id", "season"], sort=True):
        kg = max(float(rows["kg"][rows["member_id"] != ""].sum()), float(rows["kg"][rows["member_id"] == ""].sum()))
        bears = float(can.get(coop, 0.0))
        if bears > 0 and kg > TOO_MUCH * bears:
            messages.append(
                f"{_named(coop)}, {season}: {kg:,.0f} kg in all are {kg / bears:,.1f} times the {bears:,.0f} kg that "
                "the plots of all its members bear at base yield. The unit or the product form is wrong, or most "
                "members are missing. Ask the office."
            )
    return make_findings("impossible_delivery", [""] * len(messages), messages)


def _named(cooperative: object) -> str:
    return str(cooperative) or "The cooperative"
