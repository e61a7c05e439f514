"""Contracts: what was sold to whom, of which form and certificate, for which month."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.findings import join_findings, make_findings
from geomap.plots.columns import CONTRACT_NAMES
from geomap.supply.crop_tables import CropTables
from geomap.supply.office import OfficeTable, Source, read_office_table
from geomap.supply.rows import Times, counted, of_members
from geomap.supply.seasons import find_month
from geomap.supply.weigh import CONTAINER_BAG_KG, CONTAINER_BAGS, Wanted, Weighed, weigh
from geomap.supply.weights import wording

COLUMNS: Final = ["cooperative_id", "buyer", "kg", "given_kg", "given_form", "certification", "month", "row"]

_ANY: Final = frozenset(
    "any none no conventional ninguna ninguno convencional cualquiera aucune aucun sans conventionnel nenhuma nenhum "
    "convencionais tanpa konvensional hakuna kawaida n/a na - --".split()
)
"""Words for a contract that asks for no certificate."""


def read_contracts(
    path: str | Path,
    *,
    crop: str,
    form: str,
    mapping: Mapping[str, str] | None = None,
    units: pd.DataFrame | None = None,
    members: pd.DataFrame | None = None,
    given_unit: str = "",
    given_form: str = "",
    tables: CropTables | None = None,
    declared: str | None = None,
    uploads: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Contracts of one file (CSV, TSV, XLSX, Parquet) and the findings.

    Quantities are in kilograms, quintals, bags or containers. A bag has 69 kg and a container 275 bags, unless the
    file ("320 sacos de 60 kg") or the settings say otherwise; a finding tells where that was taken. Rows that cannot be
    counted are left out, each with a finding.

    Parameters
    ----------
    path : the file.
    members : index member_id; cooperative_id: where all are of one cooperative, contracts that name none are its own.
    crop, form, mapping, units, given_unit, given_form, tables, declared, uploads : as for `read_deliveries`.

    Returns
    -------
    DataFrame : cooperative_id ("" where not told), buyer, kg (of `form`), given_kg, given_form, certification ("" where
        any will do), month ("YYYY-MM", that of the shipment; "" where not told), row; in the order of the file.
    DataFrame : findings.

    Raises
    ------
    ColumnError : no column of quantities, several that could be, or no row that can be counted.
    FileError : the file cannot be read. UnknownNameError : no crop, form or unit has this name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "contratos.csv"
    ...     _ = file.write_text("comprador;mes;cantidad oro\nRoastery;enero 2027;1 contenedor\n")
    ...     found, _ = read_contracts(file, crop="coffee", form="green")
    >>> found[["buyer", "month", "kg"]].values.tolist()  # 275 × 69
    [['Roastery', '2027-01', 18975.0]]
    """
    wanted = Wanted.of(
        crop, form, units=units, given_unit=given_unit, given_form=given_form, bag_kg=CONTAINER_BAG_KG, tables=tables
    )
    source, words = Source(Path(path), mapping, declared, uploads), wording(wanted.crop, tables)
    table, said = read_office_table(source, CONTRACT_NAMES, words)
    cooperatives = table.texts("cooperative_id")
    if members is not None:
        nobody = np.full(len(table), "", dtype=object)
        cooperatives = of_members(cooperatives, nobody, members["cooperative_id"].astype("str"))
    weighed = weigh(table, words, wanted, cooperatives)
    times = _months(table)
    texts = {"cooperative_id": cooperatives, "buyer": table.texts("buyer"), "month": times.season}
    frame = weighed.frame(table.row, texts | {"certification": _certificates(table)})
    rows, found = counted(table, weighed, times, frame)
    return rows[COLUMNS], join_findings([said, found, _usual_weights(table, weighed, wanted)])


def _months(table: OfficeTable) -> Times:
    """Month of each row, "" where it names none that can be read; such a contract still binds, and that is said."""
    nothing = np.full(len(table), "", dtype=object)
    month, text = nothing, nothing
    if "month" in table.columns:
        month, text = table.columns["month"].each(find_month), table.texts("month")
    missing = month == ""
    rows = zip(table.row[missing].tolist(), text[missing].tolist(), strict=True)
    messages = [
        f"{table.name}, row {row}: {f'its month {value[:60]!r} cannot be read' if value else 'it names no month'}. "
        "The contract counts as due at the end of the season. Write the month of the shipment as 2027-01 or enero 2027."
        for row, value in rows
    ]
    date = np.full(len(table), "NaT", dtype="datetime64[s]")
    return Times(date, month, nothing, nothing, make_findings("no_month", [""] * len(messages), messages))


def _certificates(table: OfficeTable) -> npt.NDArray[np.object_]:
    if "certification" not in table.columns:
        return np.full(len(table), "", dtype=object)
    return table.columns["certification"].each(lambda text: "" if text.casefold() in _ANY else text)


def _usual_weights(table: OfficeTable, weighed: Weighed, wanted: Wanted) -> pd.DataFrame:
    """A note on containers and bags that were taken to weigh what they usually do."""
    taken = np.isin(weighed.unit.astype(str), ["container", "bag"]) & weighed.bag_is_usual & np.isfinite(weighed.kg)
    if not taken.any():
        return make_findings("container_assumed", [], [])
    message = (
        f"{table.name}: {int(taken.sum()):,} quantities are in containers or bags, and nobody told what these hold. A "
        f"bag was taken as {wanted.bag_kg:g} kg and a container as {CONTAINER_BAGS} bags, "
        f"{CONTAINER_BAGS * wanted.bag_kg:,.0f} kg. Where that is wrong, write the kilograms, or bag_kg "
        "into the settings."
    )
    return make_findings("container_assumed", [""], message)
