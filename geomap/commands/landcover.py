"""`geomap landcover`: hectares per class, maps from their makers, and how right they are."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from geomap.commands.options import (
    ClusterAddress,
    ClusterFolder,
    Crs,
    Mapping,
    PlotsFile,
    ProductName,
    RasterFiles,
    Workers,
    cluster_of,
    legend_of,
    rasters_of,
    read,
    reading,
)
from geomap.commands.terminal import progress_bar, say, say_table
from geomap.errors import OutputError, RasterError

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

    from geomap.engine import Progress

PlotsOption = Annotated[
    Path, typer.Option("--plots", metavar="PLOTS", help="Plots, in any of the formats of docs/formats.md.")
]


class _WithDefault(TyperGroup):
    """A group whose first command is meant where a file stands in the place of a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if named or not args else ["areas", *args])


landcover = typer.Typer(
    name="landcover",
    cls=_WithDefault,
    no_args_is_help=True,
    help="Hectares of each land-cover class in each plot; maps from their makers, and how right they are.\n\n"
    "`geomap landcover PLOTS --raster FILE --product NAME` is short for `geomap landcover areas PLOTS …`.",
)


@landcover.command()
def areas(
    plots: PlotsFile,
    raster: RasterFiles,
    product: ProductName,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="CSV file; the table is printed where it is not given.")
    ] = None,
    mapping: Mapping = None,
    crs: Crs = None,
    workers: Workers = None,
    cluster: ClusterAddress = None,
    cluster_dir: ClusterFolder = None,
) -> None:
    """Hectares of each land-cover class in each plot, as a long table: plot_id, product, class, name, area_ha."""
    from geomap.landcover.extract import class_areas
    from geomap.outputs.tables import print_table, write_table

    _require_other(out, plots, *raster, product)
    legend = legend_of(product)
    with progress_bar() as progress:
        usable, count = _usable(plots, mapping, crs, progress)
        files = rasters_of(raster, legend, plots, reading(mapping, None, crs, None, None), out, progress)
        _require_other(out, *files)  # a tile of a .vrt
        spread = cluster_of(cluster, cluster_dir)
        extraction = class_areas(usable, files, legend, workers=workers, cluster=spread, progress=progress)
    if out is None:
        print_table(extraction.classes, "classes.csv", sys.stdout)
    else:
        write_table(extraction.classes, "classes.csv", out)
        say(f"{len(extraction.classes):,} rows for {len(usable):,} plots stand in {out}.")
    count += len(extraction.findings)
    if count:
        typer.echo(f"{count:,} findings; `geomap check` and `geomap estimate` list them.", err=True)


@landcover.command()
def get(
    plots: PlotsOption,
    product: ProductName,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the rasters.")],
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Folder that holds the tiles, such as a mirror's.")
    ] = None,
    mapping: Mapping = None,
    crs: Crs = None,
) -> None:
    """Fetch the blocks of a product under the plots, from its makers' public server: far less than whole tiles.

    Run it again to go on after a cut; what is whole is not fetched again.
    """
    from geomap.landcover.download import download

    legend = legend_of(product)
    with progress_bar() as progress:
        usable, _ = _usable(plots, mapping, crs, progress)
        found = download(usable, legend, out, base_url=base_url, progress=progress)
    say(f"{len(found.files)} rasters stand in {out}; {found.fetched_bytes / 1e6:,.1f} MB were fetched.")
    for names, words in (
        (found.kept, "were here already"),
        (found.changed, "were here with other bytes and were fetched anew"),
        (found.absent, "are not on the server: sea, or ground that the product leaves out"),
    ):
        if names:
            say(f"{', '.join(names)} {words}.")
    say(f"{legend.title}: {legend.attribution} ({legend.licence}).")


@landcover.command("sample-plan")
def sample_plan(
    plots: PlotsFile,
    raster: RasterFiles,
    product: ProductName,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the points (KML) and the sheet.")],
    half_width: Annotated[
        float,
        typer.Option("--half-width", metavar="SHARE", help="How sure: ± of the share of right cells, such as 0.1."),
    ] = 0.1,
    points: Annotated[
        int | None, typer.Option("--points", metavar="N", help="Points in all, in the place of --half-width.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Another number draws other points.")] = 1,
    language: Annotated[
        str, typer.Option("--language", metavar="CODE", help="Language of the sheet: en, es, fr or pt.")
    ] = "en",
    mapping: Mapping = None,
    crs: Crs = None,
) -> None:
    """Points to look at on the ground: a KML for the phone and a sheet to fill in, which --local-sample reads back."""
    import numpy as np

    from geomap.landcover.sample_plan import sample_plan as planned
    from geomap.outputs.sample_plan import write_sample_plan

    legend = legend_of(product)
    with progress_bar() as progress:
        usable, _ = _usable(plots, mapping, crs, progress)
        files = rasters_of(raster, legend, plots, reading(mapping, None, crs, None, None), out, progress)
        rng = np.random.default_rng(seed)
        plan = planned(usable, files, legend, rng=rng, target_half_width=half_width, points=points)
    if plan.points.empty:
        raise RasterError(
            "No class has room for a point on these plots.",
            why="A point takes the ground of four cells of the map, so that its cell can be told.",
            todo="Give more or larger plots, or a finer map.",
        )
    written = write_sample_plan(plan, legend, out, language=language)
    _show(plan.strata.reset_index())
    say(f"{len(plan.points):,} points: the share of right cells will be known to ± {plan.half_width:.3f}.")
    say(f"They stand in {', '.join(map(str, written))}.")


@landcover.command()
def accuracy(
    sample: Annotated[
        Path, typer.Argument(metavar="SAMPLE", help="Error matrix, or a table of points: map_class, reference_class.")
    ],
    mapped: Annotated[
        Path,
        typer.Option("--areas", metavar="FILE", help="Size of each class, such as classes.csv of a run."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="CSV file; the table is printed where it is not given.")
    ] = None,
) -> None:
    """Areas adjusted by a reference sample with 95 % intervals; user's, producer's and overall accuracy."""
    from geomap.landcover.accuracy import accuracy_table, map_accuracy
    from geomap.landcover.reference_sample import read_mapped_areas, read_reference_sample
    from geomap.outputs.publish import put_file
    from geomap.outputs.text import csv_text

    _require_other(out, sample, mapped)
    counts, said = read_reference_sample(sample)
    found = map_accuracy(counts, read_mapped_areas(mapped))
    table = accuracy_table(found)
    if out is None:
        say_table(
            [str(column) for column in table.columns],
            [[_cell(cell) for cell in row] for row in table.itertuples(index=False)],
        )
    else:
        text = table.assign(**{"class": table["class"].map(csv_text)}).to_csv(index=False, lineterminator="\n")
        put_file(out, lambda draft: draft.write_text(text, encoding="utf-8", newline="\n"))
        say(f"{len(table):,} rows stand in {out}.")
    for message in [*said["message"], *found.findings["message"]]:
        typer.echo(f"Note: {message}", err=True)


def _usable(
    plots: Path, mapping: list[str] | None, crs: str | None, progress: "Progress"
) -> "tuple[gpd.GeoDataFrame, int]":
    """The plots that passed the checks, and the number of findings."""
    from geomap.plots.prepare import prepare_plots

    table, _, found = read(plots, None, reading(mapping, None, crs, None, None), progress)
    prepared = prepare_plots(table.sort_index(), progress=progress)
    return prepared.plots, sum(map(len, found)) + len(prepared.findings)


def _require_other(out: Path | None, *read: str | Path) -> None:
    """Raise where the result would take the place of a file that is read."""
    if out is not None and out.resolve() in {Path(name).resolve() for name in read}:
        raise OutputError(f"--out {out} is a file that is read.", why="It would be lost.", todo="Name another file.")


def _show(table: "pd.DataFrame") -> None:
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    say_table([str(column) for column in table.columns], rows)


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
