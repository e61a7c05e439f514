"""What commands say: text, tables, JSON, and how far they are."""

import io
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from geomap.engine import Progress

DONE: Final = 0
BLOCKED: Final = 1
WRONG_USE: Final = 2
INTERNAL: Final = 3
"""Exit statuses."""


def kilograms(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "not known"


def percent(value: Any) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def hectares(effect: float) -> str:
    """An effect in hectares with its sign; nothing where it is too small to show."""
    return f"{effect:+,.2f}" if abs(effect) >= 0.005 else ""


def settle_streams() -> None:
    """Make standard output and error take any letter: "–" and "→" too, on a terminal of Windows or of the C locale.

    A terminal shows a letter that it does not have as "?". A pipe gets UTF-8, so that no name is lost on the way,
    unless PYTHONIOENCODING says otherwise.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper) or _is_utf8(stream):
            continue
        if stream.isatty() or os.environ.get("PYTHONIOENCODING"):
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8")


def _is_utf8(stream: Any) -> bool:
    return (getattr(stream, "encoding", "") or "").replace("-", "").casefold() == "utf8"


def say(text: str) -> None:
    typer.echo(text)


def say_json(value: Any) -> None:
    escape = not _is_utf8(sys.stdout)
    typer.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=escape, allow_nan=False, default=str))


def say_table(header: list[str], rows: list[list[str]]) -> None:
    """A table on a terminal, tab-separated text in a pipe."""
    if not rows:
        return
    if not sys.stdout.isatty():
        for row in [header, *rows]:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for title in header:
        numeric = all(row[header.index(title)][:1].lstrip("+-").isdigit() for row in rows if row[header.index(title)])
        table.add_column(title, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


@contextmanager
def progress_bar() -> "Iterator[Progress]":
    """A progress bar on a terminal, silence in a pipe."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<22}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield tell
