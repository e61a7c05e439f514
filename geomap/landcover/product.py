"""Land-cover products: legend, year, accuracy and licence, from the reference tables."""

import difflib
from dataclasses import dataclass

import pandas as pd

from geomap import reference
from geomap.errors import RasterError, UnknownNameError


@dataclass(frozen=True)
class Threshold:
    """How a raster of a quantity becomes two classes: 1 above `above`, else 0; beyond the limits a value is unknown."""

    above: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Tiles:
    """Where the product's files lie: a template of addresses, and the grid that fills it in.

    Attributes
    ----------
    address : names {NS}, {lat}, {EW}, {lon} of a tile's corner, or {zone} and {band} of its UTM zone; or one file.
    degrees : size of a tile; 0 where there is one file or one per UTM zone.
    corner : the corner that names a tile (south-west, north-west), "utm", or "" for one file.
    """

    address: str
    degrees: int = 0
    corner: str = ""


@dataclass(frozen=True)
class Product:
    """A land-cover map with a legend, a year and an accuracy.

    Attributes
    ----------
    name, title, version, attribution, licence : texts.
    year : the year that the map shows; 0 where nobody said.
    nodata : code that means "no data" in this product, whatever the file says.
    legend : index `class` (code); columns name, color, tree_crop (1 where the class can bear a tree crop),
        tree_cover (1 where it is trees, among which shade coffee and cocoa stand), users_accuracy (share 0–1),
        users_se (its standard error), producers_accuracy.
    family : products of one family share a legend; only those of one version can be compared as change.
    also_nodata : further codes that mean "no data", such as cloud.
    file_nodata : whether a file's no-data value and mask count; not where files call a class no data.
    cell_m : usual size of a cell in metres; 0 where nobody said.
    threshold : how a raster of a quantity becomes classes; None for class codes.
    no_estimate : why it cannot bear an estimate; empty where it can.
    crop : the one crop that it tells of; empty for land cover.
    tiles : where its files lie; None where they are not offered tile by tile.
    """

    name: str
    title: str
    year: int
    version: str
    nodata: int
    attribution: str
    licence: str
    legend: pd.DataFrame
    family: str = ""
    also_nodata: tuple[int, ...] = ()
    file_nodata: bool = True
    cell_m: float = 0.0
    threshold: Threshold | None = None
    no_estimate: str = ""
    crop: str = ""
    tiles: Tiles | None = None


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
    >>> product("dynamic-world-2024").legend.loc[0, "name"]
    'Water'
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
    nodata, *also_nodata = map(int, str(row["nodata"]).split())
    return Product(
        name=name,
        title=str(row["title"]),
        year=int(row["year"]),
        version=str(row["version"]),
        nodata=nodata,
        attribution=str(row["attribution"]),
        licence=str(row["licence"]),
        legend=_legend(name, str(row["legend"])),
        family=str(row["legend"]),
        also_nodata=tuple(also_nodata),
        file_nodata=row["file_nodata"] == "yes",
        cell_m=float(row["cell_m"]),
        threshold=_threshold(row),
        no_estimate=_text(row["no_estimate"]),
        crop=_text(row["crop"]),
        tiles=_tiles(row),
    )


def require_estimate(product: Product, crop: str) -> None:
    """Raise where the product cannot say which ground bears this crop.

    Raises
    ------
    RasterError : it shows forest alone, or another crop's probability.

    Examples
    --------
    >>> require_estimate(product("fdp-coffee-2020"), "coffee-arabica")
    >>> require_estimate(product("hansen-loss-2025"), "coffee")
    Traceback (most recent call last):
    geomap.errors.RasterError: Hansen tree cover loss 2001–2025 cannot bear an estimate of coffee. ...
    """
    crops = reference.table("crops").set_index("crop")["kind_of"]
    why = product.no_estimate
    if product.crop and product.crop not in {crop, crops.get(crop)}:
        why = f"It shows where {product.crop} is likely and says nothing of other crops."
    if why:
        raise RasterError(
            f"{product.title} cannot bear an estimate of {crop}.",
            why=why,
            todo="Estimate with a land-cover product, such as esa-worldcover-2021; "
            "`geomap landcover` counts the hectares of this one.",
        )


def require_comparable(product_a: Product, product_b: Product) -> None:
    """Raise where a difference between two products would not be change on the ground.

    Raises
    ------
    RasterError : they are different products, or different versions of one.

    Examples
    --------
    >>> require_comparable(product("esri-lulc-2018"), product("esri-lulc-2023"))
    >>> require_comparable(product("esa-worldcover-2020"), product("esa-worldcover-2021"))
    Traceback (most recent call last):
    geomap.errors.RasterError: ESA WorldCover 2020 is version v100 and ESA WorldCover 2021 is version v200. ...
    """
    todo = (
        "Compare years of one version, such as esri-lulc-2018 and esri-lulc-2023; "
        "`geomap landcover` counts the hectares of each map by itself."
    )
    if product_a.family != product_b.family or (not product_a.family and product_a.name != product_b.name):
        raise RasterError(
            f"{product_a.title} and {product_b.title} are different products.",
            why="Their classes mean different things, so a difference between them is not change on the ground.",
            todo=todo,
        )
    if product_a.version != product_b.version:
        raise RasterError(
            f"{product_a.title} is version {product_a.version} and {product_b.title} is version {product_b.version}.",
            why="The way of making the map changed between them: a difference is change of the map, not of the ground.",
            todo=todo,
        )


def _legend(name: str, family: str) -> pd.DataFrame:
    legend = reference.table("legends")
    accuracy = reference.table("accuracies")
    columns = ["name", "color", "tree_crop", "tree_cover"]
    legend = legend[legend["legend"] == family].set_index("class")[columns]
    own = accuracy[accuracy["product"] == name]
    accuracy = (own if len(own) else accuracy[accuracy["product"] == family]).set_index("class")
    legend["users_accuracy"] = accuracy["users_accuracy"]
    legend["users_se"] = accuracy["users_half_width_95"] / 1.96
    legend["producers_accuracy"] = accuracy["producers_accuracy"]
    return legend.sort_index()


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value)


def _threshold(row: "pd.Series[str]") -> Threshold | None:
    if pd.isna(row["threshold"]):
        return None
    return Threshold(float(row["threshold"]), float(row["lowest"]), float(row["highest"]))


def _tiles(row: "pd.Series[str]") -> Tiles | None:
    if pd.isna(row["address"]):
        return None
    degrees = 0 if pd.isna(row["tile_deg"]) else int(float(row["tile_deg"]))
    return Tiles(str(row["address"]), degrees, _text(row["tile_corner"]))
