"""The user's own base yields: by cooperative, community, variety or country."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.errors import GeomapError
from geomap.findings import join_findings, make_findings
from geomap.plots.quantities import Quantity
from geomap.supply.crop_tables import CropTables, fold
from geomap.supply.crops import Crop, country_code
from geomap.supply.forms import form_name
from geomap.supply.settings import basis_word, setting_row
from geomap.supply.sheets import read_sheet

KEYS: Final = ("cooperative_id", "community", "variety", "country")
YIELD_NAMES: Final = (
    *KEYS,
    "base_yield_kg",
    "base_yield_basis",
    "base_yield_form",
    "cv",
    "source",
    "support",
)
"""Columns of the table of own yields; an empty key stands for every one."""


def read_yields(
    path: str | Path,
    *,
    crop: Crop,
    mapping: Mapping[str, str] | None = None,
    tables: CropTables | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""The user's own base yields from a CSV or XLSX file, and findings.

    One row per figure; the columns cooperative_id, community, variety and country say for whom it holds, an empty one
    for all. The figure that names most of them is taken.

    Returns
    -------
    DataFrame : index row; `YIELD_NAMES`: base_yield_kg > 0 (kg of base_yield_form per hectare or hive and year), cv
        NaN where not told.
    DataFrame : findings.

    Raises
    ------
    FileError, ColumnError : as `read_sheet`.

    Examples
    --------
    >>> import tempfile
    >>> from geomap.supply.crops import crop
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "yields.csv"
    ...     _ = file.write_text("variety,base_yield_kg\nCaturra,900\nBourbon,600\n")
    ...     yields, findings = read_yields(file, crop=crop("coffee"))
    >>> yields[["variety", "base_yield_kg", "base_yield_form"]].values.tolist()
    [['Caturra', 900.0, 'green'], ['Bourbon', 600.0, 'green']]
    """
    sheet = read_sheet(Path(path), YIELD_NAMES, mapping=mapping)
    row, texts = setting_row("base_yield_kg"), {}
    kg, said = sheet.numbers("base_yield_kg", Quantity({"kg": 1.0}, -np.inf, np.inf, str(row["asks"])))
    wrong = ~kg.between(float(row["low"]), float(row["high"]))
    cv, said_cv = sheet.numbers("cv", Quantity({"%": 0.01}, 0.0, 2.0, "Write a relative error, for example 0.2."))
    faults = [
        f"{sheet.name}, row {at}: base_yield_kg is {value:g}, which cannot be. The row is not used. {row['asks']}"
        for at, value in kg[wrong].items()
    ]
    makers = {
        "country": country_code,
        "base_yield_basis": basis_word,
        "base_yield_form": lambda text: form_name(crop.name, text, tables=tables),
    }
    usual = {"base_yield_form": crop.default_form, "base_yield_basis": "hive" if crop.unit == "hive" else "planted"}
    bad = wrong.copy()
    for name in (*KEYS, "base_yield_basis", "base_yield_form", "source", "support"):
        values, unread = _translated(sheet.text(name), makers.get(name))
        bad |= values.index.isin(list(unread))
        faults += [f"{sheet.name}, row {at}: {name}: {why} The row is not used." for at, why in unread.items()]
        texts[name] = values.where(values != "", usual.get(name, ""))
    table = pd.DataFrame(texts).assign(base_yield_kg=kg, cv=cv)[list(YIELD_NAMES)]
    table["source"] = table["source"].where(table["source"] != "", f"given by the user ({sheet.name})")
    table["support"] = table["support"].where(table["support"].isin(["strong", "medium", "weak"]), "medium")
    table, double = _unique(table[~bad], sheet.name)
    found = make_findings("impossible_value", [""] * len(faults), faults)
    return table, join_findings([sheet.findings, said, said_cv, found, double])


def _translated(values: "pd.Series[str]", make: Any) -> tuple["pd.Series[str]", dict[Any, str]]:
    """Texts as ours, and what could not be read."""
    if make is None:
        return values, {}
    done, unread = values.copy(), {}
    for at, text in values[values != ""].items():
        try:
            done.loc[at] = make(text)
        except GeomapError as error:
            unread[at] = str(error)
    return done, unread


def _unique(table: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The figures without those that contradict another of the same cooperative, community, variety and country."""
    keys = pd.DataFrame({name: table[name].map(fold) for name in KEYS}, index=table.index)
    once = ~table.drop(columns=["source", "support", *KEYS]).assign(**keys).duplicated()
    double = keys[once].duplicated(keep=False)
    names = {", ".join(filter(None, row)) or "all" for row in keys[once][double].itertuples(index=False, name=None)}
    texts = [f"{name}: there are several base yields for {text}; none of them is used." for text in sorted(names)]
    return table[once][~double], make_findings("impossible_value", [""] * len(texts), texts)
