"""Crops, base yields, product forms and age curves, each number with its source."""

import dataclasses
import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pycountry

from geomap import reference
from geomap.errors import NumberError, UnknownNameError

Basis = Literal["planted", "bearing", "hive"]
"""What a base yield counts: a planted hectare (what national statistics count), a bearing hectare or a hive."""

WORLD: Final = "world"
_OTHER_COUNTRY_NAMES: Final = {"ivory coast": "CI", "sao tome": "ST", "dr congo": "CD", "east timor": "TL"}


@dataclass(frozen=True)
class Crop:
    """A crop.

    `unit` is what bears it (ha or hive); `incompatible` names the legend column that rules classes out; `planted_share`
    of a plot is taken to be planted where none is declared.
    """

    name: str
    title: str
    default_form: str
    unit: Literal["ha", "hive"]
    incompatible: str
    planted_share: float
    season_start_month: int


@dataclass(frozen=True)
class BaseYield:
    """Kilograms of `form` per year and planted hectare, bearing hectare or hive.

    `country` is an ISO 3166 two-letter code or "world"; `fallback`: the world's figure stands in for a country.
    """

    crop: str
    country: str
    form: str
    basis: Basis
    kg_ha: float
    source: str
    support: str
    fallback: bool = False


@dataclass(frozen=True)
class Conversion:
    """Kilograms of `to_form` from one kilogram of `from_form`, with the relative standard error of that factor."""

    crop: str
    from_form: str
    to_form: str
    factor: float
    cv: float
    source: str
    support: str

    @property
    def pair(self) -> str:
        """Name of the pair of forms, by which its error is shared."""
        return f"{self.from_form}>{self.to_form}"


def crop(name: str) -> Crop:
    """The crop of this name.

    Raises
    ------
    UnknownNameError : no crop has this name.

    Examples
    --------
    >>> crop("cocoa").default_form
    'dry'
    """
    known = reference.table("crops").set_index("crop")
    key = name.strip().lower()
    if key not in known.index:
        raise _unknown("crop", name, known.index, why="Base yields and product forms are those of a crop.")
    row = known.loc[key]
    ruled_out = "" if pd.isna(row["incompatible"]) else str(row["incompatible"])
    return Crop(
        name=key,
        title=str(row["title"]),
        default_form=str(row["default_form"]),
        unit=row["unit"],
        incompatible=ruled_out,
        planted_share=float(row["planted_share"]),
        season_start_month=int(row["season_start_month"]),
    )


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
    key = _fold(text)
    if key == WORLD:
        return WORLD
    names = _country_names()
    if key not in names:
        why = "The base yield and the harvest months are those of a country."
        raise _unknown("country", text, names, why=why, listed=False)
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


def base_yield(crop_name: str, country: str) -> BaseYield:
    """Base yield of a crop in a country; the world's where the country has none, marked `fallback`.

    Every figure is weak or medium: published averages of one origin lie two to five times apart. The cooperative's own
    figure is better: see `own_base_yield`.

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
    """
    of_crop, code = crop(crop_name), country_code(country)
    rows = reference.table("base_yields")
    rows = rows[rows["crop"] == of_crop.name].set_index("country")
    found = code if code in rows.index else WORLD
    if found not in rows.index:
        raise UnknownNameError(
            f"No base yield of {of_crop.title} in {country_name(code)} is known.",
            why="Without it there are no kilograms.",
            todo=f"Give your own. Known countries: {', '.join(map(country_name, rows.index))}.",
        )
    row = rows.loc[found]
    return BaseYield(
        crop=of_crop.name,
        country=found,
        form=str(row["form"]),
        basis=row["basis"],
        kg_ha=float(row["kg_ha"]),
        source=str(row["source"]),
        support=str(row["support"]),
        fallback=found != code,
    )


def own_base_yield(
    crop_name: str, country: str, kg_ha: float, *, basis: Basis | None = None, form: str | None = None
) -> BaseYield:
    """Base yield that the user gives, in kilograms of `form` per hectare (or hive) and year.

    Parameters
    ----------
    kg_ha : above 0, finite.
    basis : planted unless given; always hive for a crop of hives.
    form : the crop's default form unless given.

    Raises
    ------
    UnknownNameError : no crop, country or form has this name.
    NumberError : the yield is not a number above 0.

    Examples
    --------
    >>> own_base_yield("coffee", "HN", 980, basis="bearing").kg_ha
    980.0
    """
    of_crop = crop(crop_name)
    if not (np.isfinite(kg_ha) and kg_ha > 0):
        raise NumberError(f"A base yield of {kg_ha:g} kg cannot be.", todo="Give a number above 0.")
    return BaseYield(
        crop=of_crop.name,
        country=country_code(country),
        form=form_name(of_crop.name, form or of_crop.default_form),
        basis="hive" if of_crop.unit == "hive" else (basis or "planted"),
        kg_ha=float(kg_ha),
        source="given by the user",
        support="medium",
    )


def form_name(crop_name: str, text: str) -> str:
    """Name of a product form of a crop, as the tables write it.

    Examples
    --------
    >>> form_name("coffee", "Exportable green")
    'exportable-green'
    """
    forms = reference.table("forms")
    known = forms.loc[forms["crop"] == crop(crop_name).name, "form"]
    key = "-".join(text.strip().lower().replace("_", " ").replace("-", " ").split())
    if key not in set(known):
        raise _unknown("product form", text, known, why=f"Kilograms of {crop_name} are those of one of its forms.")
    return key


def form_title(crop_name: str, form: str) -> str:
    """Product form in words.

    Examples
    --------
    >>> form_title("coffee", "green")
    'green coffee'
    """
    forms = reference.table("forms").set_index("form")
    return str(forms.loc[form_name(crop_name, form), "title"])


def conversion(crop_name: str, from_form: str, to_form: str) -> Conversion:
    """Factor from one product form to another: from the table, its inverse, or both by way of one form between.

    The factor of an inverse is 1 divided by the table's; by way of a form between, factors multiply and relative errors
    add in squares. Of several ways the one with the smallest error is taken.

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
    start, end = form_name(crop_name, from_form), form_name(crop_name, to_form)
    if start == end:
        return Conversion(crop_name, start, end, 1.0, 0.0, "the same form", "strong")
    steps = _conversions(crop(crop_name).name)
    ways = [steps[start, end]] if (start, end) in steps else []
    ways += [_chain(first, steps[via, end]) for (a, via), first in steps.items() if a == start and (via, end) in steps]
    if not ways:
        raise UnknownNameError(
            f"No factor leads from {form_title(crop_name, start)} to {form_title(crop_name, end)}.",
            why="The base yield is in one form and the result in another.",
            todo="Choose another form, or give a base yield in the form you want.",
        )
    return min(ways, key=lambda way: way.cv)


def own_conversion(crop_name: str, from_form: str, to_form: str, factor: float) -> Conversion:
    """Factor that the user gives (the cooperative's own outturn), with the error of the table's factor.

    Examples
    --------
    >>> own_conversion("coffee", "parchment", "green", 0.78).factor
    0.78
    """
    if not (np.isfinite(factor) and factor > 0):
        raise NumberError(f"A conversion factor of {factor:g} cannot be.", todo="Give a number above 0.")
    default = conversion(crop_name, from_form, to_form)
    return dataclasses.replace(default, factor=float(factor), source="given by the user", support="medium")


def age_factor(crop_name: str, age_years: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Share of a full yield that plants of this age bear: g(age), 1 where the age is not known.

    Age counts from planting, stumping or renovation, in whole years; before planting it is 0. The curve is weak.

    Examples
    --------
    >>> age_factor("coffee", [2, 3, 4, 5, 6, 28, 29, 30, 31, 32, 80, float("nan")])
    array([0.  , 0.2 , 0.5 , 0.8 , 1.  , 1.  , 0.85, 0.7 , 0.55, 0.4 , 0.4 ,
           1.  ])
    """
    ages = np.asarray(age_years, dtype=float)
    curves = reference.table("age_curves")
    curve = curves[curves["crop"] == crop(crop_name).name].sort_values("year_from")
    if curve.empty:
        return np.ones_like(ages)
    known = np.isfinite(ages)
    years = np.where(known, np.maximum(ages, 0.0), 0.0)
    step = np.searchsorted(curve["year_from"].to_numpy(float), years, side="right") - 1
    return np.where(known, curve["factor"].to_numpy(float)[step], 1.0)


def error_cv(source: str) -> float:
    """Relative standard deviation of an error source, from the reference table; 0 where it depends on the plot.

    Examples
    --------
    >>> error_cv("base_yield")
    0.35
    """
    value = reference.table("error_sources").set_index("source").loc[source, "cv"]
    return 0.0 if pd.isna(value) else float(value)


def _conversions(crop_name: str) -> dict[tuple[str, str], Conversion]:
    rows = reference.table("conversions")[["crop", "from_form", "to_form", "factor", "cv", "source", "support"]]
    given = [Conversion(*row) for row in rows[rows["crop"] == crop_name].itertuples(index=False, name=None)]
    inverse = [
        dataclasses.replace(
            one, from_form=one.to_form, to_form=one.from_form, factor=1 / one.factor, source=f"1 / ({one.source})"
        )
        for one in given
    ]
    return {(one.from_form, one.to_form): one for one in [*inverse, *given]}


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
    )


def _fold(text: str) -> str:
    """Lower case without accents, so that Perú is found as Peru."""
    plain = unicodedata.normalize("NFKD", text.strip().casefold().replace("’", "'"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _country_names() -> dict[str, str]:
    """Two-letter code by folded name, two-letter and three-letter code."""
    names = dict(_OTHER_COUNTRY_NAMES)
    for one in pycountry.countries:
        other = [getattr(one, kind, one.name) for kind in ("common_name", "official_name")]
        names |= {_fold(spelling): one.alpha_2 for spelling in (one.name, one.alpha_2, one.alpha_3, *other)}
    return names


def _unknown(kind: str, name: str, known: Iterable[str], *, why: str, listed: bool = True) -> UnknownNameError:
    choices = sorted(known)
    close = difflib.get_close_matches(_fold(name), choices, n=1, cutoff=0.5)
    guess = f"Did you mean '{close[0] if listed else close[0].title()}'? " if close else ""
    todo = f"Known: {', '.join(choices)}." if listed else "Give the English name or the two-letter ISO 3166 code."
    return UnknownNameError(f"No {kind} is called '{name}'.", why=why, todo=guess + todo)
