"""The command line: its commands put together, and how it ends."""

import os
import sys
from typing import Annotated

import typer

from geomap import __version__
from geomap.commands.check import check
from geomap.commands.compare import compare
from geomap.commands.estimate import demo, estimate
from geomap.commands.landcover import landcover
from geomap.commands.learn import backtest, explain
from geomap.commands.service import serve, tokens, worker
from geomap.commands.store import store
from geomap.commands.terminal import DONE, INTERNAL, WRONG_USE, settle_streams
from geomap.commands.tiles import tiles
from geomap.errors import GeomapError

app = typer.Typer(
    name="geomap",
    help="Potential supply of farming cooperatives from member plots and land cover, with an interval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (demo, check, estimate, backtest, compare, explain, tiles, serve, worker):
    app.command()(command)
for group in (landcover, store, tokens):
    app.add_typer(group)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; every error ends in one message and an exit status."""
    settle_streams()
    try:
        app()
    except GeomapError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(WRONG_USE)
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing was written.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        sys.exit(DONE)
    except Exception as error:
        if os.environ.get("GEOMAP_DEBUG"):
            raise
        typer.echo(
            f"Internal error: {type(error).__name__}: {error}. Nothing was written. Set GEOMAP_DEBUG=1 to see where it "
            "comes from, and report it with the command that you ran.",
            err=True,
        )
        sys.exit(INTERNAL)


if __name__ == "__main__":
    main()
