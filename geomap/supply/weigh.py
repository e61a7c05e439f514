"""Kilograms of each row of an office's table: its unit, its product form, and what cannot be told."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import UnknownNameError
from geomap.lookup import is_among
from geomap.supply.crop_tables import CropTables, crop_name, kin, reference_tables
from geomap.supply.crops import crop as find_crop
from geomap.supply.forms import conversion, form_name, own_conversion
from geomap.supply.office import OfficeTable
from geomap.supply.settings import EVERYONE
from geomap.supply.weights import UNKNOWN, Amount, Wording, amounts, unit_kg, wording

QUINTAL_OF_GREEN_KG: Final = 46.0
CONTAINER_BAGS: Final = 275
CONTAINER_BAG_KG: Final = 69.0

Floats = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Weighed:
    """What each row of a table weighs.

    given_kg : kilograms of the form as given; NaN where they cannot be told.
    given_form : product form as given; "" where it cannot be told.
    kg : kilograms of the wanted form; NaN where one of both cannot be told.
    said : the quantity as it stands in the file.
    code, why : finding and reason where kg is NaN; "" elsewhere, and where the cell is empty.
    unit : of each row, "" where it cannot be told.
    bag_is_usual : whether neither file nor settings say what a bag weighs.
    """

    given_kg: Floats
    given_form: Objects
    kg: Floats
    said: Objects
    code: Objects
    why: Objects
    unit: Objects
    bag_is_usual: Flags

    def frame(self, row: npt.NDArray[np.int64], texts: Mapping[str, Objects]) -> pd.DataFrame:
        """Row, further texts, and the weights of each row."""
        made = {name: pd.Series(values, dtype="str") for name, values in texts.items()}
        forms = pd.Series(self.given_form, dtype="str")
        return pd.DataFrame({"row": row, **made, "given_kg": self.given_kg, "given_form": forms, "kg": self.kg})


@dataclass(frozen=True)
class Wanted:
    """The crop and form of the run, and what stands for what a file leaves open.

    units : settings per cooperative (index cooperative_id), or None.
    given_unit, given_form : unit and form of rows that name none; "" to ask for them.
    bag_kg : kilograms of a bag where neither file nor settings say; NaN to ask.
    """

    crop: str
    form: str
    units: pd.DataFrame | None = None
    given_unit: str = ""
    given_form: str = ""
    bag_kg: float = math.nan
    tables: CropTables | None = None

    @classmethod
    def of(
        cls,
        crop: str,
        form: str,
        *,
        units: pd.DataFrame | None = None,
        given_unit: str = "",
        given_form: str = "",
        bag_kg: float = math.nan,
        tables: CropTables | None = None,
    ) -> "Wanted":
        """The same by names that the user gives.

        Raises
        ------
        UnknownNameError : no crop, form or unit has this name.
        """
        words = wording(crop, tables)
        unit = words.unit(given_unit)
        if given_unit and not unit:
            raise UnknownNameError(
                f"No unit of weight is called {given_unit!r}.",
                why="The quantities would be of nothing.",
                todo=f"Known: {', '.join(sorted(set(words.units.values())))}.",
            )
        given = form_name(crop, given_form, tables=tables) if given_form else ""
        name, wanted = crop_name(crop, tables), form_name(crop, form, tables=tables)
        return cls(name, wanted, units, unit, given, bag_kg, tables)


def weigh(table: OfficeTable, words: Wording, wanted: Wanted, cooperatives: Objects) -> Weighed:
    """What each row weighs, in the form as given and in the form wanted.

    The unit is that of the cell, else of a column of units, of the column's name, of `given_unit`. The form is that of
    the cell, else of a column of forms, of the column's name, of the unit (a quintal of the cooperative), of
    `given_form`, else the only one that the crop has.

    Parameters
    ----------
    cooperatives : cooperative_id of each row, "" where unknown.
    """
    typed = np.isfinite(table.kg.number)
    written = np.bincount(table.kg.code[~typed], minlength=len(table.kg.distinct)) > 0
    cells = amounts([text if keep else "" for text, keep in zip(table.kg.distinct, written, strict=True)], words)
    number = np.where(typed, table.kg.number, _part(table, cells, "number").astype(float))
    said, empty = table.kg.texts(), (table.kg.texts() == "") & ~typed
    header_unit = words.header_unit(table.kg.header)
    own_unit = np.where(typed, "", _part(table, cells, "unit"))
    unit = _first(own_unit, _named_units(table, words), header_unit, "kg" if table.kg_is_named else wanted.given_unit)
    own = Settings.of(wanted.units, cooperatives)
    named = _first(
        np.where(typed, "", _part(table, cells, "form")), _named_forms(table, words), words.form(table.kg.header)
    )
    of_unit = np.where(
        unit == "quintal", own.text("quintal_form"), np.where(unit == "carga", own.text("carga_form"), "")
    )
    form = _first(named, of_unit, wanted.given_form or _only_form(wanted))
    bag_kg = np.where(typed, np.nan, _part(table, cells, "bag_kg").astype(float))
    told_bag_kg = _known(bag_kg, words.bag_kg(table.kg.header), own.number("bag_kg"))
    factor = _unit_factor(unit, form, _known(told_bag_kg, wanted.bag_kg), own)
    given_kg = number * factor
    told = ~np.isin(form.astype(str), ["", UNKNOWN])
    kg = given_kg * _to_form(np.where(told, form, ""), wanted, own)
    fault = np.where(typed, "", _part(table, cells, "fault"))
    code, why = _reasons(fault, empty, unit, form, factor)
    return Weighed(given_kg, np.where(told, form, ""), kg, said, code, why, unit, np.isnan(told_bag_kg))


@dataclass(frozen=True, eq=False)
class Settings:
    """What each row's cooperative told of its units. place : row of `frame`; −1 where nothing is told."""

    frame: pd.DataFrame
    place: npt.NDArray[np.int64]

    @classmethod
    def of(cls, units: pd.DataFrame | None, cooperatives: Objects) -> "Settings":
        """Settings of each row, else those of everyone; those of the only cooperative where a row names none."""
        if units is None or units.empty:
            return cls(pd.DataFrame(), np.full(len(cooperatives), -1))
        everyone = units.index.get_indexer([EVERYONE])[0]
        place = units.index.get_indexer(pd.Index(cooperatives))
        place = np.where(place >= 0, place, everyone)
        if len(units) == 1:
            place = np.where(np.asarray(cooperatives) == "", 0, place)
        return cls(units, place.astype(np.int64))

    def number(self, name: str) -> Floats:
        """A setting of each row; NaN where it is not told."""
        if name not in self.frame:
            return np.full(len(self.place), np.nan)
        told = np.asarray(pd.to_numeric(self.frame[name], errors="coerce"), dtype=np.float64)
        return np.append(told, np.nan)[self.place]

    def text(self, name: str) -> Objects:
        """A setting of each row; "" where it is not told."""
        if name not in self.frame:
            return np.full(len(self.place), "", dtype=object)
        told = [value if isinstance(value, str) else "" for value in self.frame[name].tolist()]
        return np.array([*told, ""], dtype=object)[self.place]


def _part(table: OfficeTable, cells: list[Amount], name: str) -> Objects:
    """One part of each row's cell."""
    return np.array([getattr(cell, name) for cell in cells], dtype=object)[table.kg.code]


def _first(*choices: "Objects | str") -> Objects:
    """The first of several texts that is not empty, row by row."""
    found = np.asarray(choices[0], dtype=object)
    for choice in choices[1:]:
        found = np.where(found == "", np.asarray(choice, dtype=object), found)
    return found


def _known(*choices: "Floats | float") -> Floats:
    found = np.asarray(choices[0], dtype=float)
    for choice in choices[1:]:
        found = np.where(np.isnan(found), choice, found)
    return found


def _named_units(table: OfficeTable, words: Wording) -> Objects:
    if "unit" not in table.columns:
        return np.full(len(table), "", dtype=object)
    return table.columns["unit"].each(lambda text: words.header_unit(text) or (UNKNOWN if text else ""))


def _named_forms(table: OfficeTable, words: Wording) -> Objects:
    if "form" not in table.columns:
        return np.full(len(table), "", dtype=object)
    return table.columns["form"].each(lambda text: words.form(text) or (UNKNOWN if text else ""))


def _only_form(wanted: Wanted) -> str:
    forms = (wanted.tables or reference_tables()).forms
    own = forms.loc[is_among(forms["crop"], kin(wanted.crop, wanted.tables)), "form"].unique()
    return str(own[0]) if len(own) == 1 else ""


def _unit_factor(unit: Objects, form: Objects, bag_kg: Floats, own: Settings) -> Floats:
    """Kilograms of one unit; NaN where nobody said."""
    factor = np.full(len(unit), np.nan)
    for name, one in unit_kg().items():
        factor[unit == name] = one
    for name in ("quintal", "carga"):
        kg, of = own.number(f"{name}_kg"), own.text(f"{name}_form")
        default = np.where((name == "quintal") & (form == "green"), QUINTAL_OF_GREEN_KG, np.nan)
        factor = np.where(unit == name, np.where((of == "") | (of == form), _known(kg, default), default), factor)
    factor = np.where(unit == "bag", bag_kg, factor)
    return np.where(unit == "container", CONTAINER_BAGS * _known(bag_kg, CONTAINER_BAG_KG), factor)


def _to_form(form: Objects, wanted: Wanted, own: Settings) -> Floats:
    """Kilograms of the wanted form from one of each row's; the cooperative's own outturn counts before the table's."""
    crop = find_crop(wanted.crop, tables=wanted.tables)
    start, end = own.text("outturn_from"), own.text("outturn_to")
    told = {
        "form": form,
        "outturn": own.number("outturn"),
        "start": np.where(start == "", crop.outturn_from, start),
        "end": np.where(end == "", crop.outturn_to, end),
    }
    rows = pd.DataFrame(told)
    distinct = rows.drop_duplicates(ignore_index=True)
    factors = []
    for name, outturn, first, last in distinct.itertuples(index=False, name=None):
        known = first and last and outturn > 0
        made = [own_conversion(wanted.crop, first, last, outturn, tables=wanted.tables)] if known else []
        found = conversion(wanted.crop, name, wanted.form, own=made, tables=wanted.tables).factor if name else np.nan
        factors.append(found)
    if len(distinct) == 1:
        return np.full(len(form), factors[0])
    joined = rows.merge(distinct.assign(factor=factors), how="left", on=list(told))
    return np.asarray(joined["factor"], dtype=np.float64)


def _reasons(fault: Objects, empty: Flags, unit: Objects, form: Objects, factor: Floats) -> tuple[Objects, Objects]:
    """Finding and reason of each row whose kilograms cannot be told."""
    cases: Mapping[tuple[str, str], Flags] = {
        ("unreadable_value", ""): fault != "",
        ("product_form_unknown", "it does not say of which product form"): form == "",
        ("product_form_unknown", "its product form is not known, or it names two"): form == UNKNOWN,
        ("unit_unknown", "it does not say in which unit"): unit == "",
        ("unit_unknown", "its unit is not known"): unit == UNKNOWN,
        ("unit_unknown", ""): np.isnan(factor),
    }
    code = np.full(len(form), "", dtype=object)
    why = np.full(len(form), "", dtype=object)
    for (name, reason), holds in cases.items():
        new = holds & (code == "") & ~empty
        code[new], why[new] = name, reason
    why = np.where(code == "unreadable_value", fault, why)
    asks = (code == "unit_unknown") & (why == "")
    for name, of in sorted(set(zip(unit[asks].tolist(), form[asks].tolist(), strict=True))):
        which = asks & (unit == name) & (form == of)
        why[which] = f"nobody told how many kilograms a {name} of {of} has"
    return code, why
