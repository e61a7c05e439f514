"""The store that a command works on: its address, and how it is opened."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from geomap.store import Scope, Store

STORE_VARIABLE: Final = "GEOMAP_API_STORE"
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="sqlite:////folder/geomap.sqlite or postgresql+psycopg://user@host/name; by default GEOMAP_API_STORE, "
        "else the store of this computer.",
    ),
]


def default_store_url() -> str:
    """Address of the store of this computer: a file in the folder where the system keeps data of programs.

    Examples
    --------
    >>> default_store_url().startswith("sqlite:///"), default_store_url().endswith("geomap.sqlite")
    (True, True)
    """
    from sqlalchemy import URL

    home = Path.home()
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return URL.create("sqlite", database=str(folder / "geomap" / "geomap.sqlite")).render_as_string()


def store_url(given: str | None) -> str:
    """The address that was given, else the one in the environment, else the store of this computer."""
    return given or os.environ.get(STORE_VARIABLE) or default_store_url()


@contextmanager
def opened_store(given: str | None, *, ready: bool = True) -> "Iterator[Store]":
    """The store at an address, closed in the end; with `ready` only one that the service could use."""
    from geomap.store import open_store
    from geomap.store.setup import require_ready

    opened = open_store(store_url(given))
    try:
        if ready:
            require_ready(opened)
        yield opened
    finally:
        opened.close()


def keeper() -> "Scope":
    """Whoever has the address of the store keeps it."""
    from geomap.store.scope import ALL, Scope

    return Scope("local", ALL, "local")
