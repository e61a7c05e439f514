"""Land-cover products: legend, year, accuracy and licence, from the reference tables."""

import difflib
from dataclasses import dataclass

import pandas as pd

from geomap import reference
from geomap.errors import UnknownNameError


@dataclass(frozen=True)
class Product:
    """A land-cover map with a legend, a year and an accuracy.

    Attributes
    ----------
    name, title, version, attribution, licence : texts.
    year : the year that the map shows.
    nodata : code that means "no data" in this product, whatever the file says.
    legend : index `class` (code); columns name, color, tree_crop (1 where the class can bear a tree crop),
        users_accuracy (share 0–1), users_se (its standard error), producers_accuracy.
    """

    name: str
    title: str
    year: int
    version: str
    nodata: int
    attribution: str
    licence: str
    legend: pd.DataFrame


def product_names() -> list[str]:
    """Names of all known land-cover products."""
    return sorted(reference.table("products")["product"])


def product(name: str) -> Product:
    """The land-cover product of this name.

    Raises
    ------
    UnknownNameError : no product has this name.

    Examples
    --------
    >>> product("esa-worldcover-2021").legend.loc[40, "name"]
    'Cropland'
    """
    known = product_names()
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
        raise UnknownNameError(
            f"No land-cover product is called '{name}'.",
            why="The product says what each code of the raster means.",
            todo=(f"Did you mean '{close[0]}'? " if close else "") + f"Known products: {', '.join(known)}.",
        )
    row = reference.table("products").set_index("product").loc[name]
    return Product(
        name=name,
        title=str(row["title"]),
        year=int(row["year"]),
        version=str(row["version"]),
        nodata=int(row["nodata"]),
        attribution=str(row["attribution"]),
        licence=str(row["licence"]),
        legend=_legend(name),
    )


def _legend(name: str) -> pd.DataFrame:
    legend = reference.table("legends")
    accuracy = reference.table("accuracies")
    legend = legend[legend["product"] == name].set_index("class")[["name", "color", "tree_crop"]]
    accuracy = accuracy[accuracy["product"] == name].set_index("class")
    legend["users_accuracy"] = accuracy["users_accuracy"]
    legend["users_se"] = accuracy["users_half_width_95"] / 1.96
    legend["producers_accuracy"] = accuracy["producers_accuracy"]
    return legend.sort_index()
