"""What a reader counts in: an office in its own quintals, a buyer in bags; each of a named product form."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import pandas as pd

from geomap import reference
from geomap.errors import UnknownNameError
from geomap.supply import crops

CONTAINER_KG: Final = 19_250.0
"""Green coffee in bags that a container of 20 feet holds: 275 bags of 70 kg, as the trade counts them, or 320 of 60 kg.
Source: contracts of the trade; The Coffee Guide of the International Trade Centre has 21,000 kg for coffee in bulk."""

QUINTAL_KG: Final = 46.0
"""Kilograms of green coffee in a quintal (quintal oro) where the cooperative told no other, in these countries."""

QUINTAL_COUNTRIES: Final = ("CR", "DO", "EC", "GT", "HN", "MX", "NI", "PA", "PE", "SV")

_BAGS_STEP: Final = 5
_GREEN: Final = ("green", "exportable-green")
Reader = Literal["office", "buyer"]


class Unit(NamedTuple):
    """A unit: quintal or bag, its weight of its own form in kilograms, that form, and kilograms of the run's form."""

    kind: Literal["quintal", "bag"]
    size_kg: float
    form: str
    kg: float


def reader_unit(
    crop: str, country: str, form: str, *, told: Mapping[str, Any] | None = None, reader: str = "office"
) -> Unit | None:
    """The reader's unit for kilograms of `form`; None where no weight is known or no factor leads between the forms.

    Parameters
    ----------
    crop, country, form : of the run; country as ISO 3166 code.
    told : what the cooperative told: quintal_kg, quintal_form, bag_kg, outturn (outturn_from, outturn_to).
    reader : office or buyer.

    Examples
    --------
    A quintal of 46 kg of parchment, of which .8 is green coffee: 46 · .8 kg.

    >>> unit = reader_unit("coffee", "HN", "green", told={"quintal_kg": 46.0, "quintal_form": "parchment"})
    >>> round(unit.kg, 1)
    36.8
    >>> reader_unit("coffee", "HN", "green"), reader_unit("cocoa", "GH", "dry")
    (Unit(kind='quintal', size_kg=46.0, form='green', kg=46.0), None)

    A bag that nobody told the weight of is that of the country's exports.

    >>> reader_unit("coffee", "HN", "green", reader="buyer")
    Unit(kind='bag', size_kg=69.0, form='green', kg=69.0)
    """
    told = told or {}
    coffee = crop.startswith("coffee")
    own = form if form in _GREEN or not coffee else "green"
    kind: Literal["quintal", "bag"] = "bag" if reader == "buyer" else "quintal"
    if kind == "bag":
        size = told.get("bag_kg", bag_kg(country) if coffee else 0.0)
    else:
        size = told.get("quintal_kg", QUINTAL_KG if coffee and country in QUINTAL_COUNTRIES else 0.0)
        own = told.get("quintal_form") or own
    kg = float(size) * _factor(crop, str(own), form, told)
    return Unit(kind, float(size), str(own), kg) if kg > 0 else None


def bag_kg(country: str) -> float:
    """Kilograms of green coffee in a bag of this country's exports; sources stand in the table `bags`.

    Examples
    --------
    >>> bag_kg("HN"), bag_kg("CO"), bag_kg("ET")
    (69.0, 70.0, 60.0)
    """
    bags = reference.table("bags").fillna({"country": ""}).set_index("country")["bag_kg"]
    return float(bags.get(country, bags[""]))


def container_bags(size_kg: float) -> int:
    """Bags of this weight in a container of 20 feet, to the next five below (`CONTAINER_KG`).

    Examples
    --------
    >>> container_bags(60.0), container_bags(69.0), container_bags(70.0)
    (320, 275, 275)
    """
    return int(CONTAINER_KG / size_kg / _BAGS_STEP) * _BAGS_STEP


def told_by(settings: pd.DataFrame | None, cooperative_id: str) -> dict[str, Any] | None:
    """What one cooperative told, without what it did not; the row "" holds for every cooperative without its own.

    Examples
    --------
    >>> settings = pd.DataFrame({"quintal_kg": [46.0], "quintal_form": [""]}, index=[""])
    >>> {name: float(value) for name, value in told_by(settings, "C1").items()}
    {'quintal_kg': 46.0}
    """
    if settings is None:
        return None
    row = next((settings.loc[key] for key in (cooperative_id, "") if key in settings.index), None)
    return None if row is None else {str(key): value for key, value in row.items() if pd.notna(value) and value != ""}


def _factor(crop: str, from_form: str, to_form: str, told: Mapping[str, Any]) -> float:
    """Kilograms of one form from one of the other, by the cooperative's own outturn where it told one; 0: no way."""
    ends = (told.get("outturn_from", "parchment"), told.get("outturn_to", "green"))
    if told.get("outturn") and {from_form, to_form} == set(ends):
        return float(told["outturn"]) if from_form == ends[0] else 1 / float(told["outturn"])
    try:
        return crops.conversion(crop, from_form, to_form).factor
    except UnknownNameError:
        return 0.0
