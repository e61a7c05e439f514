"""A user's own crop, or own figures for one of ours, from small CSV or XLSX tables."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError, NumberError
from geomap.findings import join_findings
from geomap.plots.quantities import Quantity
from geomap.supply.crop_tables import CropTables, crop_name, fold, kin, reference_tables
from geomap.supply.crops import country_code
from geomap.supply.forms import form_name
from geomap.supply.settings import basis_word
from geomap.supply.sheets import Sheet, read_sheet

TOLD_BY: Final = {
    "crops": "default_form",
    "conversions": "from_form",
    "base_yields": "kg_ha",
    "age_curves": "year_from",
    "calendars": "share",
    "densities": "trees_ha",
    "forms": "form",
}
"""Table → the column that tells it from the others; looked for in this order."""

ORDER: Final = ("crops", "forms", "conversions", "base_yields", "age_curves", "calendars", "densities")
KEYS: Final = {
    "crops": ["crop"],
    "forms": ["crop", "form"],
    "conversions": ["crop", "from_form", "to_form"],
    "base_yields": ["crop", "country"],
    "age_curves": ["crop"],
    "calendars": ["crop", "country"],
    "densities": ["crop", "country"],
}
"""Own rows take the place of all ours with the same key: an age curve or a calendar is replaced as a whole."""

NAMES: Final = (
    "crop",
    "title",
    "kind_of",
    "names",
    "default_form",
    "unit",
    "incompatible",
    "planted_share",
    "season_start_month",
    "outturn_from",
    "outturn_to",
    "form",
    "from_form",
    "to_form",
    "factor",
    "cv",
    "country",
    "basis",
    "kg_ha",
    "year_from",
    "month",
    "share",
    "trees_ha",
    "source",
    "support",
)
"""Every column of the seven tables."""

SUM_TOLERANCE: Final = 0.01


def read_crop_tables(paths: Sequence[str | Path]) -> tuple[CropTables, pd.DataFrame]:
    r"""Our tables with the user's own rows in place of ours, and findings on columns that were not read.

    Each file is one table; its columns tell which: crops (crop, default_form), forms (crop, form), conversions (crop,
    from_form, to_form, factor), base yields (crop, country, kg_ha), age curves (crop, year_from, factor), calendars
    (crop, country, month, share), densities (crop, country, trees_ha). A row without a source is "given by the user".

    Raises
    ------
    ColumnError : a file is none of these tables, lacks a column, or a calendar's shares do not add up to 1.
    NumberError : a number is missing or cannot be.
    UnknownNameError : a crop, form, country or basis is not known.
    FileError : a file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from geomap.supply.crops import base_yield, crop
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = Path(folder) / "crops.csv", Path(folder) / "yields.csv"
    ...     _ = first.write_text("crop,default_form\nVanilla,cured\n")
    ...     _ = second.write_text("crop,country,kg_ha\nvanilla,Madagascar,250\n")
    ...     tables, _ = read_crop_tables([second, first])
    >>> crop("vanilla", tables=tables).default_form, base_yield("Vanilla", "MG", tables=tables).kg_ha
    ('cured', 250.0)
    """
    sheets = [read_sheet(Path(path), NAMES) for path in paths]
    kinds = [_kind(sheet) for sheet in sheets]
    tables = reference_tables()
    for kind in ORDER:
        parts = [_MAKERS[kind](sheet, tables) for sheet, its in zip(sheets, kinds, strict=True) if its == kind]
        if parts:
            own = pd.concat(parts, ignore_index=True)
            _require_once(own, kind)
            tables = dataclasses.replace(tables, **{kind: _merged(getattr(tables, kind), own, KEYS[kind])})
        if kind == "forms":
            tables = dataclasses.replace(tables, forms=_with_default_forms(tables))
    return tables, join_findings([sheet.findings for sheet in sheets])


def _kind(sheet: Sheet) -> str:
    for kind, column in TOLD_BY.items():
        if column in sheet.frame and "crop" in sheet.frame:
            return kind
    raise ColumnError(
        f"{sheet.name} is none of the tables of a crop; it has: {', '.join(sheet.frame.columns) or 'no known column'}.",
        why="Its rows would be read by nobody.",
        todo="Give it a column crop and those of one table: " + ", ".join(f"{k} ({c})" for k, c in TOLD_BY.items()),
    )


def _crops(sheet: Sheet, tables: CropTables) -> pd.DataFrame:
    unit = sheet.text("unit").replace("", "ha")
    wrong = ~unit.isin(["ha", "hive"])
    if wrong.any():
        raise ColumnError(
            f"{sheet.name}: unit is {unit[wrong].iloc[0]!r}.", why="A crop is borne by ha or by hive.", todo="Write ha."
        )
    title = sheet.text("crop")
    table = pd.DataFrame(
        {
            "crop": [fold(text).replace(" ", "-") for text in _filled(sheet, "crop")],
            "title": sheet.text("title").where(sheet.text("title") != "", title).str.lower(),
            "kind_of": [crop_name(text, tables) if text else "" for text in sheet.text("kind_of")],
            "names": sheet.text("names"),
            "default_form": [_form_key(text) for text in _filled(sheet, "default_form")],
            "unit": unit,
            "incompatible": sheet.text("incompatible").where(sheet.text("incompatible") != "", "tree_crop"),
            "planted_share": _numbers(sheet, "planted_share", 0.01, 1.0, default=0.9),
            "season_start_month": _numbers(sheet, "season_start_month", 1, 12, default=10).astype(int),
            "outturn_from": sheet.text("outturn_from").map(_form_key),
            "outturn_to": sheet.text("outturn_to").map(_form_key),
        }
    )
    table["incompatible"] = table["incompatible"].mask(unit == "hive", "").replace("none", "")
    return _sourced(table, sheet)


def _forms(sheet: Sheet, tables: CropTables) -> pd.DataFrame:
    crop, form = _crop(sheet, tables), pd.Series(_filled(sheet, "form"), index=sheet.frame.index)
    title = sheet.text("title").where(sheet.text("title") != "", form.str.lower() + " " + crop)
    return pd.DataFrame({"form": form.map(_form_key), "title": title, "crop": crop, "names": sheet.text("names")})


def _conversions(sheet: Sheet, tables: CropTables) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "crop": _crop(sheet, tables),
            "from_form": _form(sheet, "from_form", tables),
            "to_form": _form(sheet, "to_form", tables),
            "factor": _numbers(sheet, "factor", 1e-3, 10.0),
            "cv": _numbers(sheet, "cv", 0.0, 2.0, default=0.08),
        }
    )
    return _sourced(table, sheet)


def _base_yields(sheet: Sheet, tables: CropTables) -> pd.DataFrame:
    crop = _crop(sheet, tables)
    rows = tables.crops.set_index("crop").loc[crop]
    form = sheet.text("form").where(sheet.text("form") != "", rows["default_form"].to_numpy())
    basis = sheet.text("basis").where(sheet.text("basis") != "", np.where(rows["unit"] == "hive", "hive", "planted"))
    table = pd.DataFrame(
        {
            "crop": crop,
            "country": [country_code(text) for text in _filled(sheet, "country")],
            "form": [form_name(c, f, tables=tables) for c, f in zip(crop, form, strict=True)],
            "basis": [basis_word(text) for text in basis],
            "kg_ha": _numbers(sheet, "kg_ha", 1e-3, 1e6),
        }
    )
    return _sourced(table, sheet)


def _age_curves(sheet: Sheet, tables: CropTables) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "crop": _crop(sheet, tables),
            "year_from": _numbers(sheet, "year_from", 0, 500),
            "factor": _numbers(sheet, "factor", 0.0, 2.0),
        }
    ).assign(year_to=np.nan)
    table = _sourced(table, sheet).sort_values(["crop", "year_from"], kind="stable")
    first = table.groupby("crop")["year_from"].min()
    late = first[first != 0]
    if len(late):
        raise ColumnError(
            f"{sheet.name}: the age curve of {late.index[0]} begins with year {late.iloc[0]:g}.",
            why="A plot younger than that would have no factor.",
            todo="Begin it with year_from 0.",
        )
    table["year_to"] = table.groupby("crop")["year_from"].shift(-1) - 1
    return table


def _calendars(sheet: Sheet, tables: CropTables) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "crop": _crop(sheet, tables),
            "country": [country_code(text) for text in _filled(sheet, "country")],
            "month": _numbers(sheet, "month", 1, 12).astype(int),
            "share": _numbers(sheet, "share", 0.0, 1.0),
        }
    )
    total = table.groupby(["crop", "country"])["share"].transform("sum")
    wrong = (total - 1.0).abs() > SUM_TOLERANCE
    if wrong.any():
        row = table[wrong].iloc[0]
        raise ColumnError(
            f"{sheet.name}: the months of {row['crop']} in {row['country']} add up to {total[wrong].iloc[0]:.3g}.",
            why="The months share out one year's crop.",
            todo="Write shares that add up to 1, or percents with their sign that add up to 100 %.",
        )
    return _sourced(table.assign(share=table["share"] / total), sheet)


def _densities(sheet: Sheet, tables: CropTables) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "crop": _crop(sheet, tables),
            "country": [country_code(text) for text in _filled(sheet, "country")],
            "trees_ha": _numbers(sheet, "trees_ha", 50, 20_000),
        }
    )
    return _sourced(table, sheet)


_MAKERS: Final[Mapping[str, Callable[[Sheet, CropTables], pd.DataFrame]]] = {
    "crops": _crops,
    "forms": _forms,
    "conversions": _conversions,
    "base_yields": _base_yields,
    "age_curves": _age_curves,
    "calendars": _calendars,
    "densities": _densities,
}


def _crop(sheet: Sheet, tables: CropTables) -> "pd.Series[str]":
    return pd.Series([crop_name(text, tables) for text in _filled(sheet, "crop")], index=sheet.frame.index, dtype="str")


def _form(sheet: Sheet, column: str, tables: CropTables) -> list[str]:
    pairs = zip(_crop(sheet, tables), _filled(sheet, column), strict=True)
    return [form_name(crop, text, tables=tables) for crop, text in pairs]


def _form_key(text: str) -> str:
    return fold(text).replace(" ", "-")


def _filled(sheet: Sheet, column: str) -> list[str]:
    """Texts of a column that must have one in each row."""
    values = sheet.text(column)
    if (values == "").any():
        row = values[values == ""].index[0]
        raise ColumnError(
            f"{sheet.name}, row {row}: {column} is empty or missing.",
            why="Nobody could tell what the row is about.",
            todo=f"Fill the column {column} in each row.",
        )
    return [str(value) for value in values]


def _numbers(sheet: Sheet, column: str, low: float, high: float, *, default: float | None = None) -> "pd.Series[float]":
    """Numbers within bounds; where the cell is empty the default, if there is one."""
    values, faults = sheet.numbers(column, Quantity({"%": 0.01}, low, high, ""))
    if len(faults):
        raise NumberError(
            f"{faults['message'].iloc[0].strip()}",
            why="A crop rests on every number of its tables.",
            todo=f"Write a number from {low:g} to {high:g}.",
        )
    if default is not None:
        return values.fillna(default)
    if values.isna().any():
        row = values[values.isna()].index[0]
        raise NumberError(f"{sheet.name}, row {row}: {column} is empty or missing.", todo="Write a number.")
    return values


def _sourced(table: pd.DataFrame, sheet: Sheet) -> pd.DataFrame:
    """The table with a source and its support in each row."""
    source, support = sheet.text("source"), sheet.text("support").str.lower()
    return table.assign(
        source=source.where(source != "", f"given by the user ({sheet.name})"),
        support=support.where(support.isin(["strong", "medium", "weak"]), "medium"),
    )


def _require_once(own: pd.DataFrame, kind: str) -> None:
    """Raise where two own rows say something of the same thing."""
    key = [*KEYS[kind], *{"age_curves": ["year_from"], "calendars": ["month"]}.get(kind, [])]
    double = own.duplicated(key)
    if double.any():
        named = ", ".join(str(value) for value in own.loc[double, key].iloc[0])
        raise ColumnError(
            f"The own tables have two rows for {named}.",
            why="Which of them is right depends on their order.",
            todo="Keep one of them.",
        )


def _merged(ours: pd.DataFrame, own: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """Our rows but those with a key of the user's own, then these."""
    taken = set(own[list(key)].itertuples(index=False, name=None))
    kept = [row not in taken for row in ours[list(key)].itertuples(index=False, name=None)]
    return pd.concat([ours[kept], own], ignore_index=True)


def _with_default_forms(tables: CropTables) -> pd.DataFrame:
    """Forms, with the default form of a crop that has no table of forms; every crop's default form is one of them."""
    missing: list[dict[str, Any]] = []
    for row in tables.crops.to_dict("records"):
        line = kin(str(row["crop"]), tables)
        known = tables.forms[tables.forms["crop"].isin(line)]
        if known.empty:
            form = str(row["default_form"])
            title = f"{form.replace('-', ' ')} {row['title']}"
            missing.append({"form": form, "title": title, "crop": row["crop"], "names": ""})
        elif row["default_form"] not in set(known["form"]):
            raise ColumnError(
                f"The crop {row['crop']} has the default form {row['default_form']!r}, which is none of its forms.",
                why="Its kilograms would be of a form that nobody knows.",
                todo=f"Use one of: {', '.join(sorted(known['form']))}, or add it to the table of forms.",
            )
    return pd.concat([tables.forms, pd.DataFrame(missing)], ignore_index=True) if missing else tables.forms
