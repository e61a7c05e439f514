"""The small tables that stand beside this file: every default number and name, each with its source."""

import hashlib
from functools import cache
from importlib.resources import files

import pandas as pd

from geomap.errors import UnknownNameError


def table(name: str) -> pd.DataFrame:
    """The reference table of this name, as a copy of its own.

    Empty cells are missing; every other text stays as it is (the country "NA" is Namibia).

    Raises
    ------
    UnknownNameError : no table has this name.

    Examples
    --------
    >>> table("column_synonyms").columns.tolist()
    ['ours', 'synonym', 'language', 'source']
    """
    return _read(name).copy()


def versions() -> dict[str, str]:
    """Version of every reference table: the first 12 hexadecimal digits of the SHA-256 of its bytes.

    Examples
    --------
    >>> len(versions()["column_synonyms"])
    12
    """
    return {name: hashlib.sha256(_file(name).read_bytes()).hexdigest()[:12] for name in _names()}


def _names() -> list[str]:
    return sorted(entry.name.removesuffix(".csv") for entry in files(__name__).iterdir() if entry.name.endswith(".csv"))


def _file(name: str):  # type: ignore[no-untyped-def]  # the Traversable type moved between Python 3.11 and 3.13
    return files(__name__) / f"{name}.csv"


@cache
def _read(name: str) -> pd.DataFrame:
    if name not in _names():
        raise UnknownNameError(
            f"There is no reference table {name!r}.",
            why="Defaults are taken only from tables that name their source.",
            todo=f"Use one of: {', '.join(_names())}.",
        )
    with _file(name).open("rb") as stream:
        return pd.read_csv(stream, keep_default_na=False, na_values=[""], encoding="utf-8")
