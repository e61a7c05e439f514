"""Units of weight and area that differ by cooperative: as its office told, and never guessed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from geomap import reference
from geomap.errors import ColumnError
from geomap.plots.quantities import area_quantity
from geomap.supply.settings import SETTING_NAMES, of_cooperative, setting_row

QUINTAL_FORM = "green"
"""The form in which a quintal is 46 kg where nothing is told (quintal oro)."""


def unit_kg(settings: pd.DataFrame | None, cooperative_id: str, unit: str, form: str) -> float:
    """Kilograms of `form` in one unit of a cooperative.

    Kilograms, tonnes and pounds are the same everywhere. Quintal, carga and bag are what the cooperative told; where it
    named their form, they hold for that form alone. A quintal of green coffee has 46 kg where nothing is told; nothing
    else is ever guessed.

    Parameters
    ----------
    settings : of `read_settings`; None where nobody was asked.
    cooperative_id : whose unit it is.
    unit : as written: "qq", "quintales", "kg", "carga".
    form : product form as the tables write it.

    Raises
    ------
    ColumnError : what the unit weighs is not known; the message says what to ask the office.

    Examples
    --------
    >>> unit_kg(None, "C1", "qq", "green"), unit_kg(None, "C1", "lb", "parchment")
    (46.0, 0.45359237)
    """
    row = _weight(unit)
    name, asked = str(row["unit"]), f"{row['unit']}_kg"
    if np.isfinite(row["kg"]):
        return float(row["kg"])
    if asked in SETTING_NAMES:
        told = of_cooperative(settings, cooperative_id)
        its_form = str(told.get(f"{name}_form", ""))
        if np.isfinite(told[asked]) and its_form in {"", form}:
            return float(told[asked])
        if np.isfinite(told[asked]):
            raise _not_told(row, cooperative_id, form, f"is told for {its_form} ({told[asked]:g} kg)")
        default = setting_row(asked)["default"]
        if name == "quintal" and form == QUINTAL_FORM:
            return float(default)
    raise _not_told(row, cooperative_id, form, "is not told")


def unit_ha(settings: pd.DataFrame | None, cooperative_id: str, unit: str, country: str = "") -> float:
    """Hectares in one unit of area of a cooperative: what it told of its manzana, else the table's where it has one.

    Raises
    ------
    ColumnError : the unit has no one size there; the message says what to ask the office.

    Examples
    --------
    >>> unit_ha(None, "C1", "mz", "HN"), unit_ha(None, "C1", "ha")
    (0.699, 1.0)
    """
    quantity, word = area_quantity(country.upper()), unit.strip().lower()
    told = of_cooperative(settings, cooperative_id)["manzana_ha"]
    if word in _names_of("manzana") and np.isfinite(told):
        return float(told)
    if word in quantity.units:
        return quantity.units[word]
    why = (quantity.questions or {}).get(word, f'the unit "{unit[:30]}" is not known')
    raise ColumnError(
        f"Areas of {cooperative_id or 'the cooperative'} are written in {unit[:30]}: {why}",
        why="A guess would be wrong by up to ten times.",
        todo="Ask the office, and write the areas in hectares, or manzana_ha in the table of cooperatives.",
    )


def _names_of(unit: str) -> list[str]:
    rows = reference.table("units")
    return str(rows.loc[rows["unit"] == unit, "names"].iloc[0]).split()


def _weight(unit: str) -> dict[str, Any]:
    """Row of a unit in the table of weights; a unit that is not there has no weight."""
    word = unit.strip().lower().rstrip(".")
    for row in reference.table("weights").to_dict("records"):
        if word in str(row["names"]).split():
            return {str(key): value for key, value in row.items()}
    return {"unit": word[:30], "kg": np.nan, "source": "it is in none of our tables"}


def _not_told(row: Mapping[str, Any], cooperative_id: str, form: str, found: str) -> ColumnError:
    unit, asked = row["unit"], f"{row['unit']}_kg"
    where = f"as {asked}" + (f" and {unit}_form" if f"{unit}_form" in SETTING_NAMES else "")
    where = f"{where} in the table of cooperatives" if asked in SETTING_NAMES else "in kilograms"
    return ColumnError(
        f"What a {unit} of {form} weighs in {cooperative_id or 'the cooperative'} {found}.",
        why=f"A {unit} is not the same everywhere: {row['source']}.",
        todo=f'Ask the office: "How many kilograms of {form} has a {unit}?" Then write it {where}.',
    )
