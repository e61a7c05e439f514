"""Crops, countries, base yields and age curves, each number with its source."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pycountry

from geomap import reference
from geomap.errors import NumberError, UnknownNameError
from geomap.supply.crop_tables import CropTables, crop_name, fold, kin, reference_tables, rows_of, unknown_name
from geomap.supply.forms import Conversion, conversion, form_name, form_title, own_conversion

__all__ = [
    "WORLD",
    "BaseYield",
    "Basis",
    "Conversion",
    "Crop",
    "age_factor",
    "base_yield",
    "conversion",
    "country_code",
    "country_name",
    "crop",
    "error_cv",
    "form_name",
    "form_title",
    "is_declared_for",
    "own_base_yield",
    "own_conversion",
    "usual_density",
]

Basis = Literal["planted", "bearing", "hive"]
"""What a base yield counts: a planted hectare (what national statistics count), a bearing hectare or a hive."""

WORLD: Final = "world"
LEAST_YIELD_KG: Final = 0.01
MOST_YIELD_KG: Final = 1e6
"""What a hectare or a hive can be told to bear in a year; beyond them a unit is wrong."""
_OTHER_COUNTRY_NAMES: Final = {"ivory coast": "CI", "sao tome": "ST", "dr congo": "CD", "east timor": "TL"}


@dataclass(frozen=True)
class Crop:
    """A crop.

    `kind_of` is the crop that this one is a kind of, or ""; `unit` is what bears it (ha or hive); `incompatible` names
    the legend column that rules classes out; `planted_share` of a plot is taken to be planted where none is declared;
    an outturn that names no forms leads from `outturn_from` to `outturn_to`.
    """

    name: str
    title: str
    default_form: str
    unit: Literal["ha", "hive"]
    incompatible: str
    planted_share: float
    season_start_month: int
    kind_of: str = ""
    outturn_from: str = ""
    outturn_to: str = ""


@dataclass(frozen=True)
class BaseYield:
    """Kilograms of `form` per year and planted hectare, bearing hectare or hive.

    `crop` is the crop whose figure it is: where arabica has none of its own, that of all coffee. `country` is an ISO
    3166 two-letter code or "world"; `fallback`: the world's figure stands in for a country.
    """

    crop: str
    country: str
    form: str
    basis: Basis
    kg_ha: float
    source: str
    support: str
    fallback: bool = False


def crop(name: str, *, tables: CropTables | None = None) -> Crop:
    """The crop of this name, title or name in another language.

    Raises
    ------
    UnknownNameError : no crop has this name.

    Examples
    --------
    >>> crop("cocoa").default_form
    'dry'
    >>> crop("arabica").name, crop("arabica").kind_of
    ('coffee-arabica', 'coffee')
    """
    key = crop_name(name, tables)
    row = (tables or reference_tables()).crops.set_index("crop").loc[key]
    texts = {
        column: "" if pd.isna(row[column]) else str(row[column])
        for column in ("title", "default_form", "incompatible", "kind_of", "outturn_from", "outturn_to")
    }
    return Crop(
        name=key,
        unit=row["unit"],
        planted_share=float(row["planted_share"]),
        season_start_month=int(row["season_start_month"]),
        **texts,
    )


def is_declared_for(declared: Iterable[str], crop: Crop, *, tables: CropTables | None = None) -> npt.NDArray[np.bool_]:
    """Whether a plot's declared crop may be `crop`: the same, a kind of it, what it is a kind of, or nothing declared.

    A plot of "coffee" may be arabica; one of robusta may not.

    Examples
    --------
    >>> is_declared_for(["", "Coffee", "robusta", "café arábica", "maize"], crop("coffee-arabica")).tolist()
    [True, True, False, True, False]
    """
    names = list(declared)
    verdict = {text: _may_be(text, crop.name, tables) for text in set(names)}
    return np.array([verdict[text] for text in names], dtype=bool)


def _may_be(text: str, name: str, tables: CropTables | None) -> bool:
    if not text.strip():
        return True
    try:
        told = crop_name(text, tables)
    except UnknownNameError:
        return False
    return told in kin(name, tables) or name in kin(told, tables)


def country_code(text: str) -> str:
    """Two-letter ISO 3166 code of a country given by name or code; "world" stays.

    Raises
    ------
    UnknownNameError : no country has this name.

    Examples
    --------
    >>> country_code("Honduras"), country_code("Côte d'Ivoire"), country_code("hn"), country_code("Perú")
    ('HN', 'CI', 'HN', 'PE')
    """
    key = fold(text)
    if key == WORLD:
        return WORLD
    names = _country_names()
    if key not in names:
        why = "The base yield and the harvest months are those of a country."
        raise unknown_name("country", text, names, why=why, listed=False)
    return names[key]


def country_name(code: str) -> str:
    """Short English name of a country given by its two-letter code.

    Examples
    --------
    >>> country_name("TZ")
    'Tanzania'
    """
    if code == WORLD:
        return "the world"
    found = pycountry.countries.get(alpha_2=country_code(code))
    return str(getattr(found, "common_name", getattr(found, "name", code)))


def base_yield(crop_name: str, country: str, *, tables: CropTables | None = None) -> BaseYield:
    """Base yield of a crop in a country; the world's where the country has none, marked `fallback`.

    A kind of a crop without a figure of its own takes that of the crop: arabica in Peru takes that of all coffee there.
    Every figure is weak or medium: published averages of one origin lie two to five times apart. The cooperative's own
    figure is better: see `geomap.supply.yields`.

    Parameters
    ----------
    crop_name : name of a crop.
    country : name or two-letter code.

    Raises
    ------
    UnknownNameError : no crop or country has this name, or the table has no figure for the crop.

    Examples
    --------
    >>> found = base_yield("cocoa", "ST")
    >>> found.kg_ha, found.form, found.basis
    (109.0, 'dry', 'planted')
    >>> base_yield("coffee", "Kenya").fallback
    True
    >>> base_yield("arabica", "Peru").crop
    'coffee'
    """
    of_crop, code = crop(crop_name, tables=tables), country_code(country)
    rows = rows_of((tables or reference_tables()).base_yields, of_crop.name, ["country"], tables).set_index("country")
    found = code if code in rows.index else WORLD
    if found not in rows.index:
        known = ", ".join(map(country_name, rows.index)) or "none"
        raise UnknownNameError(
            f"No base yield of {of_crop.title} in {country_name(code)} is known.",
            why="Without it there are no kilograms.",
            todo=f"Give your own. Known countries: {known}.",
        )
    row = rows.loc[found]
    return BaseYield(
        crop=str(row["crop"]),
        country=found,
        form=str(row["form"]),
        basis=row["basis"],
        kg_ha=float(row["kg_ha"]),
        source=str(row["source"]),
        support=str(row["support"]),
        fallback=found != code,
    )


def own_base_yield(
    crop_name: str,
    country: str,
    kg_ha: float,
    *,
    basis: Basis | None = None,
    form: str | None = None,
    tables: CropTables | None = None,
) -> BaseYield:
    """Base yield that the user gives, in kilograms of `form` per hectare (or hive) and year.

    Parameters
    ----------
    kg_ha : from 0.01 to 1,000,000.
    basis : planted unless given; always hive for a crop of hives.
    form : the crop's default form unless given.

    Raises
    ------
    UnknownNameError : no crop, country or form has this name.
    NumberError : the yield is outside these limits.

    Examples
    --------
    >>> own_base_yield("coffee", "HN", 980, basis="bearing").kg_ha
    980.0
    """
    of_crop = crop(crop_name, tables=tables)
    if not LEAST_YIELD_KG <= kg_ha <= MOST_YIELD_KG:
        raise NumberError(
            f"A base yield of {kg_ha:g} kg cannot be.",
            why="It is what a hectare or a hive bears in a year.",
            todo=f"Give kilograms between {LEAST_YIELD_KG:g} and {MOST_YIELD_KG:,.0f}.",
        )
    return BaseYield(
        crop=of_crop.name,
        country=country_code(country),
        form=form_name(of_crop.name, form or of_crop.default_form, tables=tables),
        basis="hive" if of_crop.unit == "hive" else (basis or "planted"),
        kg_ha=float(kg_ha),
        source="given by the user",
        support="medium",
    )


def age_factor(
    crop_name: str, age_years: npt.ArrayLike, *, tables: CropTables | None = None
) -> npt.NDArray[np.float64]:
    """Share of a full yield that plants of this age bear: g(age), 1 where the age is not known.

    Age counts from planting, stumping or renovation, in whole years; before planting it is 0. The curve is weak.

    Examples
    --------
    >>> age_factor("coffee", [2, 3, 4, 5, 6, 28, 29, 30, 31, 32, 80, float("nan")])
    array([0.  , 0.2 , 0.5 , 0.8 , 1.  , 1.  , 0.85, 0.7 , 0.55, 0.4 , 0.4 ,
           1.  ])
    """
    ages = np.asarray(age_years, dtype=float)
    name = crop(crop_name, tables=tables).name
    curve = rows_of((tables or reference_tables()).age_curves, name, [], tables).sort_values("year_from")
    if curve.empty:
        return np.ones_like(ages)
    known = np.isfinite(ages)
    years = np.where(known, np.maximum(ages, 0.0), 0.0)
    step = np.searchsorted(curve["year_from"].to_numpy(float), years, side="right") - 1
    return np.where(known, curve["factor"].to_numpy(float)[step], 1.0)


def usual_density(crop_name: str, country: str, *, tables: CropTables | None = None) -> float:
    """Trees per hectare that are usual in an origin; NaN where the table has no figure. Every figure is weak.

    Examples
    --------
    >>> usual_density("cocoa", "GH"), usual_density("arabica", "CO")
    (1111.0, 5200.0)
    """
    name, code = crop(crop_name, tables=tables).name, country_code(country)
    rows = rows_of((tables or reference_tables()).densities, name, ["country"], tables).set_index("country")
    return float(rows["trees_ha"].get(code, np.nan))


@cache
def error_cv(source: str) -> float:
    """Relative standard deviation of an error source, from the reference table; 0 where it depends on the plot.

    Examples
    --------
    >>> error_cv("base_yield")
    0.35
    """
    value = reference.table("error_sources").set_index("source").loc[source, "cv"]
    return 0.0 if pd.isna(value) else float(value)


def _country_names() -> dict[str, str]:
    """Two-letter code by folded name, two-letter and three-letter code."""
    names = dict(_OTHER_COUNTRY_NAMES)
    for one in pycountry.countries:
        other = [getattr(one, kind, one.name) for kind in ("common_name", "official_name")]
        names |= {fold(spelling): one.alpha_2 for spelling in (one.name, one.alpha_2, one.alpha_3, *other)}
    return names
