"""`geomap backtest` and `geomap explain`: how wrong, and why so."""

from pathlib import Path
from typing import Annotated

import typer

from geomap.commands.options import (
    AsJson,
    CooperativesFile,
    CropTables,
    Crs,
    DeliveredShare,
    Mapping,
    Matches,
    MembersFile,
    MembersMapping,
    PlotsFile,
    ProductName,
    RasterFiles,
    Shares,
    Yields,
    brought,
    legend_of,
    rasters_of,
    reading,
)
from geomap.commands.terminal import percent, progress_bar, say, say_json, say_table


def backtest(
    plots: PlotsFile,
    raster: RasterFiles,
    product: ProductName,
    crop: Annotated[str, typer.Option("--crop", metavar="NAME", help="coffee, arabica, robusta, cocoa or honey.")],
    country: Annotated[str, typer.Option("--country", metavar="ISO2", help="Country of the plots, such as HN.")],
    deliveries: Annotated[
        list[Path], typer.Option("--deliveries", metavar="FILE", help="Deliveries of two seasons or more.")
    ],
    members: MembersFile = None,
    cooperatives: CooperativesFile = None,
    shares: Shares = None,
    form: Annotated[
        str | None, typer.Option("--form", metavar="NAME", help="Product form of all kilograms, such as green.")
    ] = None,
    crop_table: CropTables = None,
    yields: Yields = None,
    delivered_share: DeliveredShare = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="CSV file of every prediction and what came.")
    ] = None,
    mapping: Mapping = None,
    members_mapping: MembersMapping = None,
    crs: Crs = None,
    matches: Matches = None,
    as_json: AsJson = False,
) -> None:
    """How wrong the model would have been: each past season predicted from those before, beside three naive rules."""
    from geomap.errors import ColumnError
    from geomap.outputs.tables import write_table
    from geomap.run import estimate_files

    legend, how = legend_of(product), reading(mapping, members_mapping, crs, matches, None)
    with progress_bar() as progress:
        run = estimate_files(
            plots,
            rasters_of(raster, legend, plots, {**how, "country": country}, out, progress),
            product=legend,
            crop=crop,
            country=country,
            members=members,
            shares=shares,
            form=form,
            brought=brought(
                deliveries=deliveries,
                cooperatives=cooperatives,
                crop_tables=crop_table,
                yields=yields,
                delivered_share=delivered_share,
            ),
            reading=how,
            progress=progress,
        )
    found = None if run.outlook is None else run.outlook.backtest
    if found is None:
        raise ColumnError(
            "The deliveries are of fewer than two seasons of one cooperative.",
            why="A season is predicted from those before it.",
            todo="Give deliveries of two seasons or more.",
        )
    if out is not None:
        write_table(found.rows, "backtest.csv", out)
    scores = found.scores.astype(object).where(found.scores.notna(), None)
    if as_json:
        say_json({"sentence": found.sentence, "wins": found.wins, "scores": scores.to_dict("records")})
        return
    say(found.sentence)
    rows = [
        [
            str(row["cooperative_id"]),
            str(row["rule"]),
            *(percent(row[name]) for name in ("bias", "mape", "coverage_80")),
        ]
        for row in scores.to_dict("records")
    ]
    say_table(["cooperative", "rule", "bias", "mean error", "80 % interval held"], rows)
    if out is not None:
        say(f"Every prediction stands in {out}.")


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `geomap estimate --out` left.")],
    plot_id: Annotated[str, typer.Argument(metavar="PLOT_ID", help="The plot's id, as in the file.")],
    as_json: AsJson = False,
) -> None:
    """How the kilograms of one plot came about, step by step, with the source of every default."""
    from geomap.outputs import explain as words

    if as_json:
        say_json(words.explained(run, plot_id))
    else:
        say(words.explain(run, plot_id))
