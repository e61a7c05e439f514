"""A file that a cooperative sent, as rows for its tables; read before any transaction begins."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import shapely

from geomap.errors import GeomapError
from geomap.findings import join_findings, make_findings
from geomap.lookup import is_among
from geomap.plots.columns import SHARE_NAMES, name_key
from geomap.plots.content import Content
from geomap.plots.intake import take_in, take_in_members, take_in_table
from geomap.plots.member_shares import shares_from
from geomap.store.cooperatives import settings_table
from geomap.store.given import given_cells
from geomap.store.office_rows import NAMES, read_office_rows
from geomap.supply.months import season_text
from geomap.supply.settings import EVERYONE, SETTING_NAMES, read_settings

Row = dict[str, Any]
KINDS: Final = ("plots", "members", "shares", *NAMES, "settings")
PHONE: Final = frozenset(
    "phone phonenumber mobile mobilephone telephone tel cell cellphone whatsapp telefono celular movil "
    "numerodetelefono telefonocelular notelefono telephonemobile numerodetelephone portable telemovel "
    "telefone nohp nomorhp nomortelepon telepon simu nambayasimu".split()
)
"""Names of columns that hold a member's phone, as `name_key` writes them."""
_PLOT_OWN: Final = ("member_id", "community", "crop", "declared_area_ha", "gps_accuracy_m")
_NOT_FURTHER: Final = frozenset({*_PLOT_OWN, "given_id", "cooperative_id", "row", "geometry", "name"})


@dataclass(frozen=True)
class Read:
    """What a file held for a cooperative.

    rows : for the table of its kind; for settings one row of name → value. total : rows of the file, others' too.
    """

    rows: list[Row]
    total: int
    findings: pd.DataFrame = field(default_factory=lambda: join_findings([]))


def read_import(
    path: Path,
    kind: str,
    cooperative: Mapping[str, Any],
    *,
    file_name: str,
    declared: str | None = None,
    mapping: Mapping[str, str] | None = None,
    crs: str | None = None,
) -> Read:
    """The rows of a stranger's file that are the cooperative's, read in a child process; messages name `file_name`.

    Raises
    ------
    GeomapError : the file cannot be read, or none of its rows.
    """
    with _named(path, file_name):
        if kind == "plots":
            read = _plots(path, cooperative, declared=declared, mapping=mapping, crs=crs)
        elif kind == "members":
            read = _members(path, cooperative, declared=declared, mapping=mapping)
        elif kind == "shares":
            read = _shares(path, declared=declared, mapping=mapping)
        elif kind == "settings":
            read = _settings(path, cooperative, declared=declared, mapping=mapping)
        else:
            read = _office(path, kind, cooperative, declared=declared, mapping=mapping)
    messages = read.findings["message"].str.replace(path.name, file_name, regex=False)
    return Read(read.rows, read.total, read.findings.assign(message=messages))


@contextmanager
def _named(path: Path, file_name: str) -> Iterator[None]:
    """Errors that name the file as its sender knows it."""
    try:
        yield
    except GeomapError as error:
        told = [text.replace(path.name, file_name) for text in (error.found, error.why, error.todo)]
        raise type(error)(told[0], why=told[1], todo=told[2]) from error


def _plots(path: Path, cooperative: Mapping[str, Any], *, crs: str | None, **how: Any) -> Read:
    plots, found = take_in(path, uploads=True, crs=crs, country=cooperative["country"] or None, **how)
    own, others = _own(plots["cooperative_id"], cooperative, path.name)
    kept = plots[own]
    wkb = shapely.to_wkb(shapely.force_2d(kept.geometry.to_numpy())).tolist()
    names = [str(name) for name in kept.columns if name not in _NOT_FURTHER]
    further = _cells(kept, names)
    fixed = [kept[name].tolist() for name in _PLOT_OWN]
    rows = []
    for place, (plot_id, given_id) in enumerate(zip(kept.index.tolist(), kept["given_id"].tolist(), strict=True)):
        cells = further[place] | ({"given_id": given_id} if given_id and given_id != plot_id else {})
        values = {name: _value(column[place]) for name, column in zip(_PLOT_OWN, fixed, strict=True)}
        rows.append({"plot_id": plot_id, **values, "attributes": dict(sorted(cells.items())), "geometry": wkb[place]})
    of_others = is_among(found["plot_id"], plots.index[~own])
    return Read(rows, len(plots), join_findings([found[~of_others], others]))


def _members(path: Path, cooperative: Mapping[str, Any], **how: Any) -> Read:
    members, found = take_in_members(path, uploads=True, country=cooperative["country"] or None, **how)
    own, others = _own(members["cooperative_id"], cooperative, path.name)
    kept = members[own]
    phones = [str(name) for name in kept.columns if name_key(str(name)) in PHONE]
    taken = {"cooperative_id", "name", "community", "declared_area_ha", *phones[:1]}
    further = _cells(kept, [str(name) for name in kept.columns if name not in taken])
    texts = {name: kept[name].tolist() for name in ("name", "community")}
    if phones:
        texts["phone"] = [str(_value(phone) or "") for phone in kept[phones[0]].tolist()]
    areas = kept["declared_area_ha"].tolist()
    rows = [
        {
            "member_id": member_id,
            **{name: values[place] for name, values in texts.items()},
            "declared_area_ha": _value(areas[place]),
            "attributes": further[place],
        }
        for place, member_id in enumerate(kept.index.tolist())
    ]
    return Read(rows, len(members), join_findings([found, others]))


def _shares(path: Path, *, declared: str | None, mapping: Mapping[str, str] | None) -> Read:
    cells, _, found = take_in_table(path, SHARE_NAMES, declared=declared, uploads=True)
    shares, said = shares_from(Content(cells, path.name), mapping=mapping)
    names = ("plot_id", "member_id", "share", "season_from", "season_to")
    rows = [
        {
            **dict(zip(names[:3], values[:3], strict=True)),
            **{
                name: season_text(int(year)) if np.isfinite(year) else ""
                for name, year in zip(names[3:], values[3:], strict=True)
            },
        }
        for values in shares[list(names)].itertuples(index=False, name=None)
    ]
    return Read(rows, len(rows), join_findings([found, said]))


def _settings(
    path: Path, cooperative: Mapping[str, Any], *, declared: str | None, mapping: Mapping[str, str] | None
) -> Read:
    """The cooperative's own row, else the one that is everyone's."""
    cells, _, said = take_in_table(path, SETTING_NAMES, declared=declared, uploads=True)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / f"{path.stem}.parquet"
        cells.to_parquet(plain, index=False)
        settings, found = read_settings(plain, mapping=mapping, crop=cooperative["crop"] or None)
    found = found.assign(message=found["message"].str.replace(plain.name, path.name, regex=False))
    own, others = _own(settings.index.to_series(), cooperative, path.name)
    named = settings[own & (settings.index != EVERYONE)]
    chosen = named if len(named) else settings[settings.index == EVERYONE]
    told = given_cells(dict(chosen.iloc[0])) if len(chosen) else {}
    return Read([told] if told else [], len(settings), join_findings([said, found, others]))


def _office(
    path: Path, kind: str, cooperative: Mapping[str, Any], *, declared: str | None, mapping: Mapping[str, str] | None
) -> Read:
    units = settings_table(cooperative)
    rows, found = read_office_rows(path, kind, cooperative, units=units, declared=declared, mapping=mapping)
    ids = pd.Series([row.pop("cooperative_id") for row in rows], dtype="str")
    own, others = _own(ids, cooperative, path.name)
    kept = [row for row, is_own in zip(rows, own.tolist(), strict=True) if is_own]
    for row in kept:
        row["cells"].pop("cooperative_id", None)
    return Read(kept, len(rows), join_findings([found, others]))


def _own(ids: "pd.Series[str]", cooperative: Mapping[str, Any], file: str) -> tuple[np.ndarray[Any, Any], pd.DataFrame]:
    """Which rows are the cooperative's (they name it, or nobody), and a finding for each other one that they name."""
    mine = {"", name_key(cooperative["code"]), name_key(cooperative["name"])}
    texts = ids.to_numpy(dtype=object)
    is_own = {text: text == "" or name_key(text) in mine for text in set(texts.tolist())}
    own = np.array([is_own[text] for text in texts.tolist()], dtype=bool)
    messages = [
        f"{file}: {int((texts == other).sum()):,} rows name the cooperative {other[:60]!r}, not "
        f"{cooperative['code']!r}, and were left out. Correct the name, or let the other cooperative send them."
        for other in sorted(text for text, is_mine in is_own.items() if not is_mine)
    ]
    return own, make_findings("other_cooperative", [""] * len(messages), messages, action="left_out")


def _cells(table: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """Further columns of each row, without what is missing."""
    columns = {name: table[name].tolist() for name in sorted(names)}
    return [
        {name: value for name, values in columns.items() if (value := _value(values[place])) not in (None, "")}
        for place in range(len(table))
    ]


def _value(value: Any) -> Any:
    """The value as JSON keeps it; None for NaN."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
