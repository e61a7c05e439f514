"""`geomap landcover`: hectares per class."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from geomap.commands.options import (
    Crs,
    Mapping,
    PlotsFile,
    ProductName,
    RasterFiles,
    Workers,
    read,
    reading,
)
from geomap.commands.terminal import progress_bar, say


def landcover(
    plots: PlotsFile,
    raster: RasterFiles,
    product: ProductName,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="CSV file; the table is printed where it is not given.")
    ] = None,
    mapping: Mapping = None,
    crs: Crs = None,
    workers: Workers = None,
) -> None:
    """Hectares of each land-cover class in each plot, as a long table: plot_id, product, class, name, area_ha."""
    from geomap.landcover.extract import class_areas
    from geomap.landcover.product import product as named_product
    from geomap.outputs.tables import print_table, write_table
    from geomap.plots.prepare import prepare_plots

    legend = named_product(product)
    with progress_bar() as progress:
        table, _, found = read(plots, None, reading(mapping, None, crs, None, None), progress)
        prepared = prepare_plots(table.sort_index(), progress=progress)
        extraction = class_areas(prepared.plots, raster, legend, workers=workers, progress=progress)
    if out is None:
        print_table(extraction.classes, "classes.csv", sys.stdout)
    else:
        write_table(extraction.classes, "classes.csv", out)
        say(f"{len(extraction.classes):,} rows for {len(prepared.plots):,} plots stand in {out}.")
    count = sum(len(part) for part in (*found, prepared.findings, extraction.findings))
    if count:
        typer.echo(f"{count:,} findings; `geomap check` and `geomap estimate` list them.", err=True)
