"""Options that several commands share, and what they mean to the library."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geomap.errors import UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from geomap.engine import Progress
    from geomap.landcover.partitions import Cluster
    from geomap.landcover.product import Product
    from geomap.landcover.several import OtherMap
    from geomap.supply.brought import Brought

PlotsFile = Annotated[
    Path,
    typer.Argument(
        metavar="PLOTS", help="Plots: GeoJSON, GeoPackage, Shapefile (.shp or .zip), GeoParquet, KML, CSV or XLSX."
    ),
]
OptionalPlotsFile = Annotated[
    Path | None, typer.Argument(metavar="PLOTS", help="Plots, in any of the formats of docs/formats.md.")
]
MembersFile = Annotated[
    Path | None, typer.Option("--members", metavar="FILE", help="Members: CSV or XLSX with an id per member.")
]
RasterFiles = Annotated[
    list[str],
    typer.Option(
        "--raster", metavar="FILE", help="Land-cover GeoTIFF, its http address, or a .vrt of tiles; again for each."
    ),
]
ProductName = Annotated[
    str,
    typer.Option(
        "--product", metavar="NAME", help="The raster's legend, such as esa-worldcover-2021, or a .csv of your own."
    ),
]
ClusterAddress = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help="Dask scheduler that measures the plots: tcp://10.0.0.5:8786."),
]
ClusterFolder = Annotated[
    Path | None,
    typer.Option(
        "--cluster-dir",
        metavar="DIR",
        help="Folder for partitions that all workers see; geomap-partitions by default.",
    ),
]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="THEIRS=OURS", help="Read their column as one of ours; give it again for each."),
]
MembersMapping = Annotated[
    list[str] | None,
    typer.Option("--map-members", metavar="THEIRS=OURS", help="The same for the columns of the members file."),
]
Crs = Annotated[
    str | None,
    typer.Option("--crs", metavar="EPSG:CODE", help="Coordinate system of a file that names none, such as EPSG:32616."),
]
Matches = Annotated[
    Path | None,
    typer.Option("--matches", metavar="FILE", help="CSV of member names that a person matched, from `check --out`."),
]
Decisions = Annotated[
    Path | None,
    typer.Option("--decisions", metavar="FILE", help="findings.xlsx of `check --out` with its decisions filled in."),
]
Shares = Annotated[
    Path | None,
    typer.Option("--shares", metavar="FILE", help="Who farms which plot with what share: plot_id, member_id, share."),
]
Deliveries = Annotated[
    list[Path] | None,
    typer.Option("--deliveries", metavar="FILE", help="Deliveries of past seasons and this one; again for each file."),
]
Contracts = Annotated[
    Path | None, typer.Option("--contracts", metavar="FILE", help="What is sold: quantity, form, certification, month.")
]
FieldEstimates = Annotated[
    Path | None, typer.Option("--field-estimates", metavar="FILE", help="What technicians expect of plots or members.")
]
Commitments = Annotated[
    Path | None, typer.Option("--commitments", metavar="FILE", help="What members signed to deliver.")
]
CooperativesFile = Annotated[
    Path | None,
    typer.Option(
        "--cooperatives",
        metavar="FILE",
        help="What each cooperative is asked once: its quintal, load and manzana, outturn, delivered share.",
    ),
]
CropTables = Annotated[
    list[Path] | None,
    typer.Option("--crop-table", metavar="FILE", help="Your own crop or figures, a small table; again for each."),
]
Yields = Annotated[
    Path | None,
    typer.Option("--yields", metavar="FILE", help="Your own base yields by cooperative, community or variety."),
]
YieldRasters = Annotated[
    list[Path] | None,
    typer.Option("--yield-raster", metavar="FILE", help="A map of kg per hectare and year; again for each tile."),
]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", metavar="NAME=FILE", help="Another raster, such as altitude=dem.tif; again for each."),
]
OtherMapFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--other-map",
        metavar="PRODUCT=FILE",
        help="A map of another product, to stand beside the run's own; again for each tile or product.",
    ),
]
LocalSample = Annotated[
    Path | None,
    typer.Option("--local-sample", metavar="FILE", help="Sheet of `landcover sample-plan`, filled in on the ground."),
]
DeliveredShare = Annotated[
    float | None,
    typer.Option(
        "--delivered-share", metavar="SHARE", help="Part of the harvest that reaches the cooperative, 0 to 1."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="Day up to which this season's deliveries are complete: 2027-01-31."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads; as many as there are processors by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON for a program to read.")]


def read(
    plots: Path, members: Path | None, reading: dict[str, Any], progress: "Progress"
) -> "tuple[Any, pd.DataFrame | None, list[pd.DataFrame]]":
    """Plots, members and the findings of reading both."""
    from geomap.run import read_inputs

    progress("reading", 0, 1)
    read = read_inputs(plots, members, **reading)
    progress("reading", 1, 1)
    return read


def reading(
    mapping: list[str] | None,
    members_mapping: list[str] | None,
    crs: str | None,
    matches: Path | None,
    decisions: Path | None,
) -> dict[str, Any]:
    """Keywords of `read_inputs`."""
    told: dict[str, Any] = {"mapping": to_mapping(mapping), "crs": crs}
    told["members_mapping"] = to_mapping(members_mapping, option="--map-members")
    if decisions is not None:
        from geomap.outputs.kit import read_decisions

        told["decisions"] = read_decisions(decisions)
    return {**told, "matches": matches}


def brought(**given: Any) -> "Brought":
    """What was brought; lists of nothing are left out."""
    from geomap.supply.brought import Brought

    told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    several: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return Brought(**several)


def to_mapping(pairs: list[str] | None, *, option: str = "--map") -> dict[str, str]:
    wrong = [pair for pair in pairs or () if "=" not in pair]
    if wrong:
        raise UnknownNameError(
            f"{option} {wrong[0]} has no equals sign.", todo=f"Write their name, =, our name: {option} codigo=plot_id."
        )
    return dict(pair.rsplit("=", 1) for pair in pairs or ())


def legend_of(product: str) -> "Product":
    """A product of ours by its name, or the user's own by its CSV file."""
    from geomap.landcover.own_product import own_product
    from geomap.landcover.product import product as named_product

    return own_product(Path(product)) if product.lower().endswith(".csv") else named_product(product)


def other_maps_of(given: list[str] | None) -> "list[OtherMap]":
    """Maps as they are typed, PRODUCT=FILE; a product that is given again has several files, a .vrt is its tiles."""
    from geomap.landcover.several import OtherMap
    from geomap.landcover.virtual import own_rasters

    files: dict[str, list[str]] = {}
    for text in given or ():
        name, equals, file = (part.strip() for part in text.partition("="))
        if not name or not equals or not file:
            raise UnknownNameError(
                f"--other-map {text} is not PRODUCT=FILE.",
                why="The product says what the codes of the file mean.",
                todo="Write the product, =, the file: --other-map esri-lulc-2021=esri.tif.",
            )
        files.setdefault(name, []).append(file)
    return [OtherMap(legend_of(name), tuple(own_rasters(paths))) for name, paths in files.items()]


def rasters_of(
    given: list[str], product: "Product", plots: Path, how: dict[str, Any], out: Path | None, progress: "Progress"
) -> list[Path]:
    """Files of the rasters: a .vrt is its tiles; of an address, the blocks under the plots are fetched."""
    from geomap.landcover.download import fetch
    from geomap.landcover.remote import is_address
    from geomap.landcover.virtual import own_rasters

    addresses = [text for text in given if is_address(text)]
    files = own_rasters([text for text in given if text not in addresses])
    if addresses:
        table, _, _ = read(plots, None, how, progress)
        folder = Path("geomap-landcover") if out is None else out.with_name(f"{out.name}-landcover")
        files += fetch(table, addresses, product, folder, progress=progress).files
    return files


def cluster_of(address: str | None, folder: Path | None) -> "Cluster | None":
    """The cluster, where one is named."""
    from geomap.landcover.partitions import Cluster

    return None if address is None else Cluster(address, folder or Path("geomap-partitions"))
