"""How the numbers of a plot are written: their units, their range, and what to write instead."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from geomap import reference


@dataclass(frozen=True)
class Quantity:
    """How a number of ours is written.

    units : unit in lower case → factor.
    low, high : the range of numbers that can be.
    todo : what to write instead of what cannot be read.
    questions : unit in lower case → why it has no factor, and what to ask.
    """

    units: Mapping[str, float]
    low: float
    high: float
    todo: str
    questions: Mapping[str, str] | None = None


_METRES: Final = dict.fromkeys(("m", "m.", "metres", "meters", "metros", "mètres"), 1.0)
_DEGREES: Final = {"°": 1.0}


@cache
def area_quantity(country: str = "") -> Quantity:
    """How areas are written: in hectares, and in the units that have one size in `country` (ISO 3166, two letters).

    A unit whose size differs from place to place has no factor; the finding asks for it.

    Examples
    --------
    >>> area_quantity("HN").units["manzanas"], "manzanas" in area_quantity("KE").units
    (0.699, False)
    """
    units: dict[str, float] = {}
    questions: dict[str, str] = {}
    for row in reference.table("units").to_dict("records"):
        countries = [] if row["countries"] != row["countries"] else str(row["countries"]).split()
        is_sized = not math.isnan(row["hectares"]) and (not countries or country.upper() in countries)
        for name in str(row["names"]).split():
            if is_sized:
                units[name] = float(row["hectares"])
            else:
                questions[name] = _question(str(row["unit"]), float(row["hectares"]), countries, str(row["source"]))
    return Quantity(units, 0, 1e7, "Write the area in hectares, for example 0.5.", questions)


def _question(unit: str, hectares: float, countries: list[str], source: str) -> str:
    if math.isnan(hectares):
        return f"a {unit} has no one size ({source}). How many square metres has a {unit} in this place?"
    places = ", ".join(countries)
    return f"a {unit} has {hectares:g} ha in {places}, and the plots' country is not given as one of these"


QUANTITIES: Final[dict[str, Quantity]] = {
    "declared_area_ha": area_quantity(),
    "gps_accuracy_m": Quantity(_METRES, 0, 1e5, "Write the accuracy in metres, for example 4."),
    "planted_share": Quantity({"%": 0.01}, 0, 1, "Write a share from 0 to 1, for example 0.9, or 90 %."),
    "share": Quantity({"%": 0.01}, 0, 1, "Write a share from 0 to 1, for example 0.5, or 50 %, or 1/2."),
    "planted_year": Quantity({}, 1800, 2200, "Write the year with four digits, for example 2015."),
    "hives": Quantity({}, 0, 1e6, "Write the number of hives, for example 12."),
    "latitude": Quantity(_DEGREES, -math.inf, math.inf, "Write decimal degrees, for example 14.0723."),
    "longitude": Quantity(_DEGREES, -math.inf, math.inf, "Write decimal degrees, for example -87.1921."),
}


def column_quantity(name: str, column: str, country: str) -> Quantity:
    """How the numbers of their `column` are written: a unit in its name stands for each number without one.

    Examples
    --------
    >>> column_quantity("declared_area_ha", "Área (mz)", "HN").units[""]
    0.699
    """
    if name != "declared_area_ha":
        return QUANTITIES[name]
    quantity = area_quantity(country.upper())
    words = re.findall(r"[^\W\d_]+[2²]?", column.casefold())
    unit = next((word for word in words if word in quantity.units or word in (quantity.questions or {})), "ha")
    return quantity if quantity.units.get(unit) == 1.0 else _with_default_unit(quantity, unit)


def _with_default_unit(quantity: Quantity, unit: str) -> Quantity:
    """The same quantity where a number alone is in `unit`."""
    if unit in quantity.units:
        return replace(quantity, units={**quantity.units, "": quantity.units[unit]})
    return replace(quantity, questions={**(quantity.questions or {}), "": (quantity.questions or {})[unit]})
