"""`geomap store`: make, upgrade, back up and restore what the service keeps, and tell it of rasters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geomap.commands.opened import StoreUrl, keeper, opened_store, store_url
from geomap.commands.options import AsJson, ProductName
from geomap.commands.terminal import say, say_json, say_table

if TYPE_CHECKING:
    pass

store = typer.Typer(
    name="store",
    help="The store: where the service keeps cooperatives, plots, deliveries and runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
raster = typer.Typer(
    name="raster", help="Land-cover rasters that runs can take.", no_args_is_help=True, rich_markup_mode=None
)
store.add_typer(raster)

AppRole = Annotated[
    str,
    typer.Option("--app-role", metavar="NAME", help="PostgreSQL: the role of the service, which owns nothing."),
]


@store.command()
def init(url: StoreUrl = None, app_role: AppRole = "geomap_app") -> None:
    """Make a store. One that is there is left as it is.

    SQLite: the file is made. PostgreSQL: give the address with the role that is to own the tables; where the
    database's administrator must do something first, the message has it ready to be copied.
    """
    from geomap.store.setup import init as make
    from geomap.store.setup import version

    with opened_store(url, ready=False) as opened:
        make(opened, app_role=app_role)
        say(f"The store is there, version {version(opened)}: {_shown(url)}")


@store.command()
def upgrade(url: StoreUrl = None, app_role: AppRole = "geomap_app") -> None:
    """Bring a store to the version of this geomap, in one transaction.

    SQLite: a backup is made first. PostgreSQL: make one yourself, and give the address with the owner's role.
    """
    from geomap.store.setup import upgrade as bring_up
    from geomap.store.setup import version

    with opened_store(url, ready=False) as opened:
        before = version(opened)
        kept = bring_up(opened, app_role=app_role)
        after = version(opened)
    say(f"The store is of version {after}." if before == after else f"The store went from {before} to {after}.")
    if kept is not None:
        say(f"As it was before: {kept}")


@store.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; its manifest lands beside it.")],
    url: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write a backup of one moment, while the service runs. Keep FILE and FILE.json together.

    PostgreSQL: give the address with a role that sees all rows; the message says how to make one.
    """
    from dataclasses import asdict

    from geomap.store.backup import back_up

    with opened_store(url, ready=False) as opened:
        manifest = back_up(opened, file)
    if as_json:
        say_json(asdict(manifest))
    else:
        say(f"{sum(manifest.rows.values()):,} rows of {len(manifest.rows)} tables stand in {file}.")


@store.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup, with FILE.json beside it.")],
    url: StoreUrl = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="SQLite: set a store that is there aside; stop the service first.")
    ] = False,
    app_role: AppRole = "geomap_app",
) -> None:
    """Make a store from a backup, compared row count by row count before anybody can use it.

    SQLite: into a file that is not there, or with --replace. PostgreSQL: into an empty database.
    """
    from geomap.store.backup import restore as bring_back

    manifest = bring_back(store_url(url), file, replace=replace, app_role=app_role)
    say(f"{sum(manifest.rows.values()):,} rows, as they stood at {manifest.made_at}, are back: {_shown(url)}")


@raster.command("add")
def add(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Land-cover GeoTIFFs, such as its tiles.")],
    product: ProductName,
    name: Annotated[
        str, typer.Option("--name", metavar="TEXT", help="What people see; the name of the file by default.")
    ] = "",
    url: StoreUrl = None,
) -> None:
    """Register rasters of a product. The files stay where they are; runs refuse one that was changed since."""
    from geomap.store.rasters import add_raster

    if name and len(files) > 1:
        raise typer.BadParameter("One name is for one file.", param_hint="--name")
    with opened_store(url) as opened:
        for file in files:
            row = add_raster(opened, keeper(), file, product, name=name)
            say(f"{row['raster_id']}\t{row['name']}")


@raster.command("list")
def show(
    url: StoreUrl = None,
    retired: Annotated[bool, typer.Option("--retired", help="Also those that no run can take any more.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the rasters: id, name, product, bounds, file."""
    from geomap.store.rasters import rasters

    rows: list[dict[str, object]] = []
    with opened_store(url) as opened, opened.read(keeper()) as tx:
        while part := rasters(tx, after=str(rows[-1]["raster_id"]) if rows else "", limit=1000, retired=retired):
            rows += part
    if as_json:
        say_json(rows)
        return
    header = ["raster_id", "name", "product", "bounds", "path"]
    say_table(header, [[_cell(row[column]) for column in header] for row in rows])


@raster.command("retire")
def retire(
    raster_id: Annotated[str, typer.Argument(metavar="RASTER_ID", help="As `geomap store raster list` shows it.")],
    url: StoreUrl = None,
) -> None:
    """Let no further run take a raster. Its file is not touched; past runs keep what they say of it."""
    from geomap.store.rasters import retire_raster

    with opened_store(url) as opened, opened.begin(keeper()) as tx:
        retire_raster(tx, raster_id)
    say(f"No further run takes the raster {raster_id}.")


def _shown(given: str | None) -> str:
    """The address without its password."""
    from sqlalchemy import make_url

    return make_url(store_url(given)).render_as_string(hide_password=True)


def _cell(value: object) -> str:
    return " ".join(f"{side:.4f}" for side in value) if isinstance(value, list) else str(value)
