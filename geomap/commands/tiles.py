"""`geomap tiles`: the plots of a run as one file of vector tiles."""

from pathlib import Path
from typing import Annotated

import typer

from geomap.commands.terminal import progress_bar, say


def tiles(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write, such as plots.pmtiles.")],
    zoom: Annotated[
        int, typer.Option("--zoom", min=0, max=18, help="The finest tiles; 14 shows 0.6 m, and 15 half of that.")
    ] = 14,
) -> None:
    """Write the plots of a run as vector tiles, in one file (PMTiles) for QGIS or for a map on a web server.

    It holds ids of members and all outlines: it is for the office, not to be passed on.
    """
    from geomap.outputs.pmtiles import write_pmtiles
    from geomap.outputs.tile_files import read_run

    index, legend = read_run(run)
    with progress_bar() as progress:
        count = write_pmtiles(
            index,
            out,
            legend=legend,
            most_zoom=zoom,
            progress=lambda done, total: progress("tiles", done, total),
        )
    say(f"{len(index):,} plots in {count:,} tiles stand in {out}.")
