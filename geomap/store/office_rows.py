"""Rows of an office's list as the store keeps them: as written, in words and numbers that mean one thing only.

In one file "1.234" may be a thousand, in the next a decimal; the rows around it tell. Kept together they would not, so
numbers, units, forms, dates and seasons are settled while the file is whole. A run reads them again as it reads files.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError, UnknownNameError
from geomap.findings import make_findings
from geomap.plots.columns import CONTRACT_NAMES, DELIVERY_NAMES, ESTIMATE_NAMES, match_columns
from geomap.plots.intake import take_in_table
from geomap.supply.contracts import read_contracts
from geomap.supply.crops import crop as find_crop
from geomap.supply.deliveries import read_deliveries
from geomap.supply.evidence import read_commitments, read_field_estimates
from geomap.supply.office import OfficeTable, Source, read_office_table
from geomap.supply.rows import when
from geomap.supply.seasons import NO_SEASON, find_month, find_season, read_day
from geomap.supply.weigh import CONTAINER_BAG_KG, CONTAINER_BAGS, Wanted, weigh
from geomap.supply.weights import UNKNOWN, Amount, Wording, amounts, wording

Row = dict[str, Any]
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "deliveries": DELIVERY_NAMES,
    "field_estimates": ESTIMATE_NAMES,
    "commitments": DELIVERY_NAMES,
    "contracts": CONTRACT_NAMES,
}
"""The columns of ours that each list can have."""
_READERS: Final[Mapping[str, Any]] = {
    "deliveries": read_deliveries,
    "field_estimates": read_field_estimates,
    "commitments": read_commitments,
    "contracts": read_contracts,
}
_ANY_SEASON: Final = "2000/01"
"""Stands for the season of the run, which an estimate or a promise takes where it names none."""
UNREADABLE: Final = "unreadable: "
"""Before a quantity that its own file did not make clear, so that no other file's rows make it clear in error."""
_COULD_BE_THOUSANDS: Final = re.compile(r"-?[1-9]\d{0,2}\.\d{3}")


def read_office_rows(
    path: Path,
    kind: str,
    cooperative: Mapping[str, Any],
    *,
    units: pd.DataFrame | None,
    declared: str | None = None,
    mapping: Mapping[str, str] | None = None,
) -> tuple[list[Row], pd.DataFrame]:
    """Rows (row, member_id, season, kg, form, cells and cooperative_id as written) and what the reader of a run finds.

    Parameters
    ----------
    kind : one of `NAMES`.
    units : settings of the cooperative.

    Raises
    ------
    FileError, ColumnError, UnknownNameError : as the readers; also where nobody told the cooperative's crop.
    """
    if not cooperative["crop"]:
        raise UnknownNameError(
            "Nobody told yet which crop the cooperative sells.",
            why="The words for its product forms are those of the crop.",
            todo="Tell the cooperative's crop, then send the file again.",
        )
    crop = find_crop(cooperative["crop"])
    words, names = wording(crop.name), NAMES[kind]
    source = Source(path, mapping, declared, uploads=True)
    known: dict[str, Any] = {"crop": crop.name, "form": crop.default_form, "units": units, "mapping": mapping}
    season = {"season": _ANY_SEASON} if kind in {"field_estimates", "commitments"} else {}
    table, _ = read_office_table(source, names, words)
    bag_kg = CONTAINER_BAG_KG if kind == "contracts" else math.nan
    nobody = np.full(len(table), "", dtype=object)
    weighed = weigh(table, words, Wanted.of(crop.name, crop.default_form, units=units, bag_kg=bag_kg), nobody)
    try:
        _, findings = _READERS[kind](path, **known, **season, declared=declared, uploads=True)
    except ColumnError as error:
        if not (weighed.code == "unit_unknown").any():
            raise
        findings = make_findings("unit_unknown", [""], str(error))  # the settings may come later
    further, told = _further(source, names), _told(table, names, words)
    if kind == "contracts":
        seasons = [find_month(text) for text in told["month"]]
    else:
        start = crop.season_start_month if kind == "deliveries" else None
        seasons = when(table, weighed.kg, start_month=start).season.tolist()
    return [
        {
            "row": number,
            "cooperative_id": told["cooperative_id"][place],
            "member_id": told["member_id"][place] if "member_id" in told else "",
            "season": seasons[place],
            "kg": float(weighed.given_kg[place]) if math.isfinite(weighed.given_kg[place]) else None,
            "form": str(weighed.given_form[place]),
            "cells": further.get(int(table.row[place]), {})
            | {name: values[place] for name, values in told.items() if values[place]},
        }
        for place, number in enumerate(_numbers(table))
    ], findings


def _told(table: OfficeTable, names: tuple[str, ...], words: Wording) -> dict[str, list[str]]:
    """Each column of ours, row by row, as texts that can be read in one way only."""
    told = {name: [str(text) for text in table.texts(name)] for name in names}
    if "date" in told:
        distinct = sorted(set(told["date"]))
        iso = dict(zip(distinct, read_day(distinct)[0], strict=True))
        told["date"] = [iso[text] or text for text in told["date"]]
    if "season" in told:
        told["season"] = [
            header or _season(text) for header, text in zip(table.season_of_header, told["season"], strict=True)
        ]
    cells = [_quantity(table, place, amount, words) for place, amount in enumerate(_amounts(table, words))]
    told["kg"] = [quantity for quantity, _, _ in cells]
    told["unit"] = [
        unit or _named(text, words.header_unit) for (_, unit, _), text in zip(cells, told["unit"], strict=True)
    ]
    told["form"] = [form or _named(text, words.form) for (_, _, form), text in zip(cells, told["form"], strict=True)]
    header_unit = words.header_unit(table.kg.header) or ("kg" if table.kg_is_named else UNKNOWN)
    header_form = words.form(table.kg.header)
    told["unit"] = [(unit or header_unit) if kg else "" for unit, kg in zip(told["unit"], told["kg"], strict=True)]
    told["form"] = [form or header_form for form in told["form"]]
    return told


def _amounts(table: OfficeTable, words: Wording) -> list[Amount]:
    """The quantity of each row in its parts; numbers that the format itself tells are what they are."""
    typed = np.isfinite(table.kg.number)
    written = np.bincount(table.kg.code[~typed], minlength=len(table.kg.distinct)) > 0
    parts = amounts([text if keep else "" for text, keep in zip(table.kg.distinct, written, strict=True)], words)
    return [
        Amount(number) if math.isfinite(number) else parts[code]
        for number, code in zip(table.kg.number.tolist(), table.kg.code.tolist(), strict=True)
    ]


def _quantity(table: OfficeTable, place: int, amount: Amount, words: Wording) -> tuple[str, str, str]:
    """Number, unit and form of a cell; bags that say what they weigh become kilograms."""
    text = str(table.kg.distinct[table.kg.code[place]])
    if amount.fault or not math.isfinite(amount.number):
        return (f"{UNREADABLE}{text}" if text else ""), "", ""
    bag_kg = amount.bag_kg if math.isfinite(amount.bag_kg) else words.bag_kg(table.kg.header)
    unit = amount.unit or words.header_unit(table.kg.header)
    if math.isfinite(bag_kg) and unit in {"bag", "container"} and "unit" not in table.columns:
        of_unit = bag_kg if unit == "bag" else CONTAINER_BAGS * bag_kg
        return plain_number(amount.number * of_unit), "kg", amount.form
    return plain_number(amount.number), amount.unit, amount.form


def plain_number(number: float) -> str:
    """A number as text that reads back as the same number, whatever stands beside it in its column.

    Examples
    --------
    >>> [plain_number(number) for number in [51.25, 1.234, 3.0, 1e-7]]
    ['51.25', '1.2340', '3', '0.0000001']
    """
    text = np.format_float_positional(number, trim="-")
    return f"{text}0" if _COULD_BE_THOUSANDS.fullmatch(text) else text


def _season(text: str) -> str:
    found = find_season(text)
    return text if found in ("", NO_SEASON) else found


def _named(text: str, find: Any) -> str:
    """A unit or form as ours where its text names one."""
    found = find(text) if text else ""
    return found if found and found != UNKNOWN else text


def _further(source: Source, names: tuple[str, ...]) -> dict[int, dict[str, str]]:
    """Columns that are none of ours, as written, by the row of the file."""
    text, _, _ = take_in_table(source.path, names, declared=source.declared, uploads=True)
    headers = [str(column) for column in text.columns]
    found = match_columns(headers, names, mapping=source.mapping, file=source.path.name)
    rest = [header for header in headers if header not in found.values() and header not in names]
    columns = [text[header].to_numpy(dtype=object).tolist() for header in rest]
    rows = zip(*columns, strict=True) if columns else ()
    cells = ({name: cell for name, cell in zip(rest, row, strict=True) if cell} for row in rows)
    return dict(zip(map(int, text.index), cells, strict=False))


def _numbers(table: OfficeTable) -> list[int]:
    """Number of each row in the file; a count where one row of the file holds several seasons."""
    rows = [int(row) for row in table.row]
    return rows if len(set(rows)) == len(rows) else list(range(1, len(rows) + 1))
