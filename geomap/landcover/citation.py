"""How a land-cover product is cited: title, version, year, whose it is, licence, and its DOI where one is known."""

from typing import Final

from geomap.landcover.product import Product

DOIS: Final = {
    "esa-worldcover-2020": "10.5281/zenodo.5571936",
    "esa-worldcover-2021": "10.5281/zenodo.7254221",
    "cgls-lc100-2019": "10.5281/zenodo.3939050",
    "cgls-lc100": "10.3390/rs12061044",
    "dynamic-world": "10.1038/s41597-022-01307-4",
    "esri-lulc": "10.1109/IGARSS47720.2021.9553499",
    "hansen-loss": "10.1126/science.1244693",
    "hansen-treecover": "10.1126/science.1244693",
    "jrc-tmf": "10.1126/sciadv.abe1603",
    "mapbiomas-brazil": "10.3390/rs12172735",
}
"""Product, or family of products → DOI of the data, else of the paper that describes them."""


def doi(product: Product) -> str:
    """The DOI of a product; "" where we know of none.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> doi(product("dynamic-world-2024")), doi(product("fdp-cocoa-2020"))
    ('10.1038/s41597-022-01307-4', '')
    """
    return DOIS.get(product.name) or DOIS.get(product.family, "")


def cite(product: Product) -> str:
    """One line that cites a product.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> cite(product("esri-lulc-2023"))[:64]
    'Esri and Impact Observatory land cover 2023 (v02). © Impact Obse'
    """
    version = f" ({product.version})" if product.version else ""
    link = f" https://doi.org/{doi(product)}" if doi(product) else ""
    parts = [f"{product.title}{version}.", f"{product.attribution}." if product.attribution else ""]
    parts.append(f"Licence: {product.licence}." if product.licence else "")
    return " ".join(part for part in parts if part) + link
