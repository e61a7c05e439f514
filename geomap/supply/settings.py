"""What each cooperative is asked once: its units, its outturn, what it delivers, its own base yield."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap import reference
from geomap.errors import ColumnError, GeomapError
from geomap.findings import join_findings, make_findings
from geomap.plots.quantities import Quantity
from geomap.supply.crop_tables import CropTables, fold, unknown_name
from geomap.supply.forms import form_name
from geomap.supply.sheets import Sheet, read_sheet

NUMBERS: Final = (
    "quintal_kg",
    "carga_kg",
    "bag_kg",
    "manzana_ha",
    "outturn",
    "delivered_share",
    "local_sales_share",
    "seconds_share",
    "lag_days",
    "base_yield_kg",
)
FORMS: Final = ("quintal_form", "carga_form", "outturn_from", "outturn_to", "base_yield_form")
TEXTS: Final = (*FORMS, "base_yield_basis", "altitude_band")
SETTING_NAMES: Final = (
    "cooperative_id",
    "quintal_kg",
    "quintal_form",
    "carga_kg",
    "carga_form",
    "bag_kg",
    "manzana_ha",
    "outturn",
    "outturn_from",
    "outturn_to",
    "delivered_share",
    "local_sales_share",
    "seconds_share",
    "lag_days",
    "base_yield_kg",
    "base_yield_basis",
    "base_yield_form",
    "altitude_band",
)
"""Columns of the table of cooperatives."""

EVERYONE: Final = ""
"""Index of the one row of a table that names no cooperative."""

_SHARES: Final = frozenset({"outturn", "delivered_share", "local_sales_share", "seconds_share"})
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "base_yield_basis": {
        "planted": "planted; planted area; total; area total; sembrada; sembrado; area sembrada; plantee; "
        "surface totale; plantada; area plantada; ditanam; tertanam; iliyopandwa",
        "bearing": "bearing; productive; in production; en produccion; area en produccion; productiva; "
        "en production; em producao; produtiva; menghasilkan; inayozaa",
        "hive": "hive; per hive; colmena; por colmena; ruche; par ruche; colmeia; por colmeia; kotak; sarang; mzinga",
    },
    "altitude_band": {
        "low": "low; baja; bajo; zona baja; basse; bas; baixa; baixo; rendah; chini",
        "middle": "middle; medium; mid; media; medio; zona media; moyenne; moyen; sedang; tengah; kati",
        "high": "high; alta; alto; zona alta; estricta altura; haute; haut; tinggi; juu",
    },
}
"""Words that stand for ours, by setting."""


def read_settings(
    path: str | Path,
    *,
    mapping: Mapping[str, str] | None = None,
    crop: str | None = None,
    tables: CropTables | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Settings per cooperative from a CSV or XLSX file, and findings on what cannot be.

    One row per cooperative. A file of one row may name none: then the row is everyone's. Rows of one cooperative are
    put together; where they contradict each other the value counts as missing, with a finding.

    Parameters
    ----------
    path : the file.
    mapping : their column → our column, where the names do not tell.
    crop : where it is given, forms are checked and written as the tables write them.
    tables : with the user's own crop.

    Returns
    -------
    DataFrame : index cooperative_id, sorted; columns `SETTING_NAMES` without it. Numbers are NaN and texts "" where not
        told. Shares are 0–1, kg and ha as named, `outturn` in kg of `outturn_to` per kg of `outturn_from`.
    DataFrame : findings.

    Raises
    ------
    FileError : missing, empty, damaged or of another kind.
    ColumnError : two columns match one name; several rows and no column of cooperatives.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "cooperatives.csv"
    ...     _ = file.write_text("cooperativa;kg por quintal;forma del quintal;delivered_share\nC1;46;oro;80\n")
    ...     settings, findings = read_settings(file, crop="coffee")
    >>> print(*settings.loc["C1", ["quintal_kg", "quintal_form", "delivered_share"]])
    46.0 green nan
    >>> findings["code"].tolist()
    ['impossible_value']
    """
    sheet = read_sheet(Path(path), SETTING_NAMES, mapping=mapping)
    ids = _ids(sheet)
    columns: dict[str, pd.Series[Any]] = {}
    found = [sheet.findings]
    for name in NUMBERS:
        columns[name], said = _numbers(sheet, name)
        found.append(said)
    for name in TEXTS:
        columns[name], said = _texts(sheet, name, crop, tables)
        found.append(said)
    table = pd.DataFrame(columns)[list(SETTING_NAMES[1:])]
    settings, said = _one_row_each(table, ids, sheet)
    return settings, join_findings([*found, said, _doubts(settings, sheet.name)])


def of_cooperative(settings: pd.DataFrame | None, cooperative_id: str) -> "pd.Series[Any]":
    """What a cooperative told; its own row, else the row that is everyone's, else nothing.

    Examples
    --------
    >>> of_cooperative(None, "C1")["quintal_kg"]
    nan
    """
    if settings is not None:
        for key in (cooperative_id, EVERYONE):
            if key in settings.index:
                return settings.loc[key]
    values = {name: "" if name in TEXTS else np.nan for name in SETTING_NAMES[1:]}
    return pd.Series(values, name=cooperative_id, dtype=object)


def setting_row(name: str) -> dict[str, Any]:
    """Default, bounds, relative error, question, source and support of a setting, from the reference table.

    Examples
    --------
    >>> print(setting_row("quintal_kg")["default"])
    46.0
    """
    return dict(_setting_rows()[name])


@cache
def _setting_rows() -> dict[str, dict[str, Any]]:
    rows = reference.table("settings").set_index("setting").to_dict("index")
    return {str(name): {str(key): value for key, value in row.items()} for name, row in rows.items()}


def basis_word(text: str) -> str:
    """The basis of a base yield, from words in several languages.

    Raises
    ------
    UnknownNameError : it is none of planted, bearing and hive.

    Examples
    --------
    >>> basis_word("Área en producción")
    'bearing'
    """
    return _word("base_yield_basis", text, None, None)


def delivered_shares(settings: pd.DataFrame) -> pd.DataFrame:
    """Declared share of the harvest that each cooperative receives, with its relative error.

    Returns
    -------
    DataFrame : index cooperative_id, those who told one; share (0–1), cv. The row that is everyone's has index "".

    Examples
    --------
    >>> delivered_shares(pd.DataFrame({"delivered_share": [0.7, np.nan]}, index=["A", "B"]))["share"].to_dict()
    {'A': 0.7}
    """
    told = settings["delivered_share"].dropna().astype(float)
    return pd.DataFrame({"share": told, "cv": float(setting_row("delivered_share")["cv"])}, index=told.index)


def _ids(sheet: Sheet) -> "pd.Series[str]":
    ids = sheet.text("cooperative_id")
    if len(ids) > 1 and (ids == "").all():
        raise ColumnError(
            f"{sheet.name} has {len(ids)} rows and no column of cooperatives.",
            why="Each row says what one cooperative means by its units.",
            todo="Add a column cooperative_id, or keep one row that is everyone's.",
        )
    return ids


def _numbers(sheet: Sheet, name: str) -> tuple["pd.Series[float]", pd.DataFrame]:
    """Numbers of a setting; what is out of its bounds is missing, with a finding in plain words."""
    row = setting_row(name)
    units = {"%": 0.01} if name in _SHARES else {}
    if name.endswith("_kg"):
        units = {"kg": 1.0, "kgs": 1.0, "kilos": 1.0, "lb": 0.45359237, "lbs": 0.45359237, "libras": 0.45359237}
    if name == "manzana_ha":
        units = {"ha": 1.0, "m2": 1e-4, "m²": 1e-4}
    values, said = sheet.numbers(name, Quantity(units, -np.inf, np.inf, str(row["asks"])))
    low, high = float(row["low"]), float(row["high"])
    wrong = values.notna() & ~values.between(low, high)
    messages = [
        f"{sheet.name}, row {at}: {name} is {value:g}, which cannot be: it lies between {low:g} and {high:g}. "
        f"{_guess(name, float(value))}It counts as missing. {row['asks']}"
        for at, value in values[wrong].items()
    ]
    return values.mask(wrong), join_findings([said, make_findings("impossible_value", [""] * len(messages), messages)])


def _guess(name: str, value: float) -> str:
    """What may have been meant."""
    if name == "outturn" and 80 <= value <= 130:  # kilograms of parchment for 70 kg of excelso
        return (
            f"Colombian mills count kilograms of parchment for 70 kg of exportable green: {value:g} is then an outturn "
            f"of {70 / value:.3f} to exportable-green. "
        )
    if name in _SHARES and 1 < value <= 100:
        hint = f"Was percent typed? Then write {value / 100:g} or {value:g} %. "
        return hint + (f"Or kilograms for one kilogram? Then write {1 / value:.3g}. " if name == "outturn" else "")
    return ""


def _texts(
    sheet: Sheet, name: str, crop: str | None, tables: CropTables | None
) -> tuple["pd.Series[str]", pd.DataFrame]:
    """Words of a setting as ours; a word that is not known is missing, with a finding."""
    values, messages = sheet.text(name), []
    translated = values.copy()
    for at, text in values[values != ""].items():
        try:
            translated.loc[at] = _word(name, str(text), crop, tables)
        except GeomapError as error:
            translated.loc[at] = ""
            messages.append(f"{sheet.name}, row {at}: {name} is {str(text)[:60]!r}. {error.todo} It counts as missing.")
    return translated, make_findings("unreadable_value", [""] * len(messages), messages)


def _word(name: str, text: str, crop: str | None, tables: CropTables | None) -> str:
    if name in FORMS:
        return text if crop is None else form_name(crop, text, tables=tables)
    for ours, words in _WORDS[name].items():
        if fold(text) in words.split("; "):
            return ours
    raise unknown_name(name, text, _WORDS[name], why="It changes the numbers.")


def _one_row_each(table: pd.DataFrame, ids: "pd.Series[str]", sheet: Sheet) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per cooperative; contradictions are missing, and said."""
    nobody = (ids == "") & (len(ids) > 1)
    said = [
        make_findings(
            "impossible_value", [""] * int(nobody.sum()),
            [f"{sheet.name}, row {at}: it names no cooperative, so it was not read." for at in ids[nobody].index],
        )
    ]  # fmt: skip
    rows: dict[str, dict[str, Any]] = {}
    for cooperative, group in table[~nobody].groupby(ids[~nobody], sort=True):
        rows[str(cooperative)] = {}
        for name in table:
            told = sorted({value for value in group[name].dropna() if value != ""})
            rows[str(cooperative)][name] = told[0] if len(told) == 1 else ("" if name in TEXTS else np.nan)
            if len(told) > 1:
                message = (
                    f"{sheet.name}: {cooperative or 'the cooperative'} has {len(told)} values of {name}: "
                    f"{', '.join(map(str, told))}. None of them is used. Keep one row per cooperative."
                )
                said.append(make_findings("impossible_value", [""], message))
    settings = pd.DataFrame.from_dict(rows, orient="index", columns=list(table))
    settings.index = pd.Index([str(name) for name in rows], name="cooperative_id", dtype="str")
    kinds = {name: "str" if name in TEXTS else "float64" for name in table}
    return settings.astype(kinds), join_findings(said)


def _doubts(settings: pd.DataFrame, file: str) -> pd.DataFrame:
    """Values that can be but are often slips."""
    messages = []
    for cooperative, row in settings.iterrows():
        who = f"{file}, {cooperative or 'the one row'}"
        if row["quintal_kg"] == 100:
            messages.append(f"{who}: a quintal of 100 kg was used. If 100 pounds are meant, write 45.36 or 100 lb.")
        for unit in ("quintal", "carga"):
            if np.isfinite(row[f"{unit}_kg"]) and not row[f"{unit}_form"]:
                messages.append(
                    f"{who}: the {unit} of {row[f'{unit}_kg']:g} kg names no form and is used for every form. "
                    f"Write {unit}_form, such as green or parchment."
                )
        if np.isfinite(row["outturn"]) and not (row["outturn_from"] and row["outturn_to"]):
            messages.append(
                f"{who}: the outturn of {row['outturn']:g} names no forms; for coffee it is taken from parchment to "
                "green. Write outturn_from and outturn_to."
            )
    return make_findings("unlikely_value", [""] * len(messages), messages, severity="note")
