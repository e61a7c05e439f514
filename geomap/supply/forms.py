"""Product forms of a crop and the factors between them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd

from geomap.errors import NumberError, UnknownNameError
from geomap.supply.crop_tables import CropTables, crop_name, fold, reference_tables, rows_of, spellings, unknown_name

GREEN: Final = "green"
EXPORTABLE: Final = "exportable-green"
SECONDS: Final = "seconds"


@dataclass(frozen=True)
class Conversion:
    """Kilograms of `to_form` from one kilogram of `from_form`, with the relative standard error of that factor.

    `owner` is the cooperative whose own factor it is; "" for a factor of the tables.
    """

    crop: str
    from_form: str
    to_form: str
    factor: float
    cv: float
    source: str
    support: str
    owner: str = ""

    @property
    def pair(self) -> str:
        """Name of the pair of forms, by which its error is shared; an own factor is shared with nobody else."""
        return f"{self.from_form}>{self.to_form}" + (f"|{self.owner}" if self.owner else "")


def form_name(crop: str, text: str, *, tables: CropTables | None = None) -> str:
    """Name of a product form of a crop, as the tables write it, from that name or one in another language.

    Raises
    ------
    UnknownNameError : the crop has no such form.

    Examples
    --------
    >>> form_name("coffee", "Exportable green"), form_name("coffee", "pergamino"), form_name("cocoa", "baba")
    ('exportable-green', 'parchment', 'wet')
    """
    names = _spellings(crop_name(crop, tables), tables or reference_tables())
    key = fold(text)
    if key not in names:
        why = f"Kilograms of {crop} are those of one of its forms."
        raise unknown_name("product form", text, set(names.values()), why=why)
    return names[key]


def form_title(crop: str, form: str, *, tables: CropTables | None = None) -> str:
    """Product form in words.

    Examples
    --------
    >>> form_title("coffee", "green")
    'green coffee'
    """
    titles = _forms(crop_name(crop, tables), tables or reference_tables()).set_index("form")["title"]
    return str(titles.loc[form_name(crop, form, tables=tables)])


def conversion(
    crop: str,
    from_form: str,
    to_form: str,
    *,
    own: Sequence[Conversion] = (),
    tables: CropTables | None = None,
) -> Conversion:
    """Factor from one product form to another: from the table, its inverse, or both by way of one form between.

    The factor of an inverse is 1 divided by the table's; by way of a form between, factors multiply and relative errors
    add in squares. A factor in one step comes before any way round; of several ways round the one with the smallest
    error is taken.

    Parameters
    ----------
    own : a cooperative's own factors; each stands for the table's factor of the same two forms.

    Raises
    ------
    UnknownNameError : no form has this name, or no way leads from one to the other.

    Examples
    --------
    >>> conversion("coffee", "parchment", "green").factor
    0.8
    >>> conversion("coffee", "green", "parchment").factor
    1.25
    >>> round(conversion("coffee", "green", "exportable-green").factor, 6)  # .725 / .80
    0.90625
    """
    start, end = (form_name(crop, form, tables=tables) for form in (from_form, to_form))
    name = crop_name(crop, tables)
    if start == end:
        return Conversion(name, start, end, 1.0, 0.0, "the same form", "strong")
    steps = _steps(name, own, tables)
    if (start, end) in steps:
        return steps[start, end]
    ways = [_chain(first, steps[via, end]) for (a, via), first in steps.items() if a == start and (via, end) in steps]
    if not ways:
        first, last = (form_title(crop, form, tables=tables) for form in (start, end))
        raise UnknownNameError(
            f"No factor leads from {first} to {last}.",
            why="The base yield is in one form and the result in another.",
            todo="Choose another form, or give a base yield in the form you want.",
        )
    return min(ways, key=lambda way: way.cv)


def own_conversion(
    crop: str,
    from_form: str,
    to_form: str,
    factor: float,
    *,
    cv: float | None = None,
    owner: str = "",
    tables: CropTables | None = None,
) -> Conversion:
    """Factor that the user gives (the cooperative's own outturn); with the error of the table's factor unless given.

    Raises
    ------
    NumberError : the factor is not a number above 0.

    Examples
    --------
    >>> own_conversion("coffee", "parchment", "green", 0.78).factor
    0.78
    """
    if not (np.isfinite(factor) and factor > 0):
        raise NumberError(f"A conversion factor of {factor:g} cannot be.", todo="Give a number above 0.")
    start, end = (form_name(crop, form, tables=tables) for form in (from_form, to_form))
    error = conversion(crop, start, end, tables=tables).cv if cv is None else cv
    name = crop_name(crop, tables)
    return Conversion(name, start, end, float(factor), float(error), "given by the user", "medium", owner)


def own_seconds(
    crop: str, share: float, *, cv: float, owner: str = "", tables: CropTables | None = None
) -> list[Conversion]:
    """Factors from green coffee to exportable green and to seconds, from a cooperative's own share of seconds.

    Both parts together are the green coffee, so they err by the same kilograms, one up where the other goes down.

    Parameters
    ----------
    share : of the green coffee that is not exportable, above 0 and below 1.
    cv : relative standard error of the exportable part.

    Examples
    --------
    >>> [(one.to_form, one.factor, round(one.cv, 4)) for one in own_seconds("coffee", 0.2, cv=0.02)]
    [('exportable-green', 0.8, 0.02), ('seconds', 0.2, 0.08)]
    """
    parts = {EXPORTABLE: (1.0 - share, cv), SECONDS: (share, cv * (1.0 - share) / share)}
    return [
        own_conversion(crop, GREEN, form, factor, cv=error, owner=owner, tables=tables)
        for form, (factor, error) in parts.items()
    ]


def split_green(
    green_kg: "pd.Series[float]", seconds_share: "float | pd.Series[float] | None" = None, *, crop: str = "coffee"
) -> pd.DataFrame:
    """Green coffee as exportable green and seconds, in kilograms; both together are the green coffee.

    Parameters
    ----------
    green_kg : kilograms of green coffee.
    seconds_share : share that is not exportable (0–1), one or one per row; the table's where it is missing.

    Returns
    -------
    DataFrame : same index; exportable_kg, seconds_kg.

    Examples
    --------
    The table makes .725 kg exportable of .80 kg green:

    >>> split_green(pd.Series([80.0])).loc[0].round(3).tolist()
    [72.5, 7.5]
    >>> split_green(pd.Series([80.0]), 0.25).loc[0].tolist()
    [60.0, 20.0]
    """
    default = conversion(crop, GREEN, SECONDS).factor
    given = pd.Series(np.nan if seconds_share is None else seconds_share, index=green_kg.index, dtype=float)
    seconds = green_kg * given.fillna(default)
    return pd.DataFrame({"exportable_kg": green_kg - seconds, "seconds_kg": seconds})


@lru_cache(maxsize=64)
def _spellings(name: str, tables: CropTables) -> dict[str, str]:
    return spellings(_forms(name, tables), "form")


def _forms(name: str, tables: CropTables) -> pd.DataFrame:
    return rows_of(tables.forms, name, ["form"], tables)


@lru_cache(maxsize=64)
def _given(name: str, tables: CropTables) -> tuple[Conversion, ...]:
    """The factors of the tables, in one step."""
    rows = rows_of(tables.conversions, name, ["from_form", "to_form"], tables)
    columns = ["from_form", "to_form", "factor", "cv", "source", "support"]
    return tuple(Conversion(name, *row) for row in rows[columns].itertuples(index=False, name=None))


def _steps(name: str, own: Sequence[Conversion], tables: CropTables | None) -> dict[tuple[str, str], Conversion]:
    """Every factor in one step, there and back; own ones in place of the tables'."""
    steps: dict[tuple[str, str], Conversion] = {}
    for factors in (_given(name, tables or reference_tables()), own):
        for one in factors:
            steps[one.to_form, one.from_form] = dataclasses.replace(
                one, from_form=one.to_form, to_form=one.from_form, factor=1 / one.factor, source=f"1 / ({one.source})"
            )
        steps |= {(one.from_form, one.to_form): one for one in factors}
    return steps


def _chain(first: Conversion, second: Conversion) -> Conversion:
    weaker = min(first.support, second.support, key=["weak", "medium", "strong"].index)
    return Conversion(
        crop=first.crop,
        from_form=first.from_form,
        to_form=second.to_form,
        factor=first.factor * second.factor,
        cv=float(np.hypot(first.cv, second.cv)),
        source=f"{first.source}; then {second.source}",
        support=weaker,
        owner=first.owner or second.owner,
    )
