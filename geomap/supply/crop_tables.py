"""The tables that make a crop: ours, and a user's own beside them; names are found in several languages."""

import dataclasses
import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

import pandas as pd

from geomap import reference
from geomap.errors import UnknownNameError


@dataclass(frozen=True, eq=False)
class CropTables:
    """What is known of crops. Every row has a source and its support, but forms, which are only names.

    A crop that is a kind of another ("coffee-arabica" is a kind of "coffee") has the other's rows where it has none of
    its own.

    Attributes
    ----------
    crops : crop, title, kind_of, names, default_form, unit, incompatible, planted_share, season_start_month,
        outturn_from, outturn_to.
    forms : form, title, crop, names.
    conversions : crop, from_form, to_form, factor, cv.
    base_yields : crop, country, form, basis, kg_ha.
    age_curves : crop, year_from, year_to, factor.
    calendars : crop, country, month, share.
    densities : crop, country, trees_ha.
    """

    crops: pd.DataFrame
    forms: pd.DataFrame
    conversions: pd.DataFrame
    base_yields: pd.DataFrame
    age_curves: pd.DataFrame
    calendars: pd.DataFrame
    densities: pd.DataFrame


@cache
def reference_tables() -> CropTables:
    """The tables that come with the package.

    Examples
    --------
    >>> len(reference_tables().crops)
    5
    """
    tables = {field.name: reference.table(field.name) for field in dataclasses.fields(CropTables)}
    words = reference.table("form_words").dropna(subset="form")
    names = words.groupby(["crop", "form"])["word"].agg("; ".join).rename("names")
    tables["forms"] = tables["forms"].join(names, on=["crop", "form"])
    return CropTables(**tables)


def crop_name(text: str, tables: CropTables | None = None) -> str:
    """Name of a crop as the tables write it, from that name, its title or a name in another language.

    Raises
    ------
    UnknownNameError : no crop has this name.

    Examples
    --------
    >>> crop_name("Café Arábica"), crop_name("cacao"), crop_name("coffee")
    ('coffee-arabica', 'cocoa', 'coffee')
    """
    tables = tables or reference_tables()
    names = _crop_spellings(tables)
    if fold(text) not in names:
        why = "Base yields and product forms are those of a crop."
        raise unknown_name("crop", text, tables.crops["crop"], why=why)
    return names[fold(text)]


@lru_cache(maxsize=8)
def _crop_spellings(tables: CropTables) -> dict[str, str]:
    return spellings(tables.crops, "crop")


def kin(name: str, tables: CropTables | None = None) -> list[str]:
    """The crop itself and those that it is a kind of, nearest first.

    Examples
    --------
    >>> kin("coffee-arabica")
    ['coffee-arabica', 'coffee']
    """
    parents = _parents(tables or reference_tables())
    line = [name]
    while line[-1] in parents and parents[line[-1]] not in line:
        line.append(parents[line[-1]])
    return line


@lru_cache(maxsize=8)
def _parents(tables: CropTables) -> dict[str, str]:
    parents = tables.crops.set_index("crop")["kind_of"].dropna()
    return {str(name): str(parent) for name, parent in parents.items() if parent}


def rows_of(table: pd.DataFrame, name: str, key: list[str], tables: CropTables | None = None) -> pd.DataFrame:
    """Rows of a crop, with those of what it is a kind of where it has none for the same `key`.

    Examples
    --------
    Indonesia has a figure for arabica alone; Peru has one for all coffee:

    >>> found = rows_of(reference_tables().base_yields, "coffee-arabica", ["country"]).set_index("country")
    >>> found.loc[["ID", "PE"], ["crop", "kg_ha"]].values.tolist()
    [['coffee-arabica', 808.0], ['coffee', 713.0]]
    """
    line = kin(name, tables)
    found = table[table["crop"].isin(line)]
    rank = found["crop"].map({crop: place for place, crop in enumerate(line)})
    found = found.assign(_rank=rank).sort_values("_rank", kind="stable")
    if not key:
        return found[found["_rank"] == found["_rank"].min()].drop(columns="_rank")
    return found.drop_duplicates(key).drop(columns="_rank")


def spellings(table: pd.DataFrame, column: str) -> dict[str, str]:
    """Name in `column` by each way to write it: the name, its title, and those of the column `names`."""
    found: dict[str, str] = {}
    for kind in ("names", "title", column):
        for name, text in zip(table[column], table[kind], strict=True):
            if isinstance(text, str):
                found |= {fold(one): str(name) for one in text.split(";") if one.strip()}
    return found


def fold(text: str) -> str:
    """Lower case without accents, with single blanks for signs: Perú is peru, exportable-green is exportable green.

    Examples
    --------
    >>> fold(" Café_oro "), fold("Côte d’Ivoire")
    ('cafe oro', "cote d'ivoire")
    """
    plain = unicodedata.normalize("NFKD", text.casefold().replace("’", "'").replace("_", " ").replace("-", " "))
    return " ".join("".join(letter for letter in plain if not unicodedata.combining(letter)).split())


def unknown_name(kind: str, name: str, known: Iterable[str], *, why: str, listed: bool = True) -> UnknownNameError:
    """The error for a name that no table has, with the nearest known one; the known ones are told where `listed`."""
    choices = sorted(known)
    by_fold = {fold(choice): choice for choice in choices}
    close = difflib.get_close_matches(fold(name), list(by_fold), n=1, cutoff=0.5)
    guess = by_fold[close[0]] if close else ""
    guess = f"Did you mean '{guess if listed else guess.title()}'? " if guess else ""
    todo = f"Known: {', '.join(choices)}." if listed else "Give the English name or the two-letter ISO 3166 code."
    return UnknownNameError(f"No {kind} is called '{name}'.", why=why, todo=guess + todo)
