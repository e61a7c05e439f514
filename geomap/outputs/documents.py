"""What people open of a run: maps, the report, and for each cooperative its harvest estimate and a picture of it."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from geomap.outputs.beside import Beside
    from geomap.outputs.units import Reader
    from geomap.run import Run

MOST_ESTIMATES: Final = 20
"""Cooperatives up to which each gets its harvest estimate."""

MOST_IN_WORKBOOK: Final = 20_000
"""Plots and members up to which the office's workbook is left without asking: it takes longer than all other files."""


def documents(
    run: "Run", folder: Path, *, language: str = "en", reader: "Reader" = "office", workbook: bool = False
) -> Iterator[Callable[[], None]]:
    """What writes each document of a run into the folder, as functions of nothing.

    Two maps, the report as a page and for print, and up to 20,000 plots and members the office's workbook. With a
    season also a harvest estimate of each cooperative and a picture of it, up to 20 of them.

    Parameters
    ----------
    language, reader : of the harvest estimates; see `write_estimate`.
    workbook : whatever the number of plots.
    """
    yield partial(_write_share_map, run, folder)
    yield partial(_write_internal_map, run, folder)
    if run.summary["parameters"]["season"] and len(run.cooperatives) <= MOST_ESTIMATES:
        yield partial(_write_estimates, run, folder, language=language, reader=reader)
    yield partial(_write_report, run, folder)
    if workbook or has_workbook(run):
        yield partial(_write_workbook, run, folder, language=language)


def has_workbook(run: "Run") -> bool:
    """Whether the run is small enough for a workbook that nobody asked for."""
    return max(len(run.plots), len(run.members)) <= MOST_IN_WORKBOOK


def _write_internal_map(run: "Run", folder: Path) -> None:
    from geomap.outputs import maps

    _write(folder / "map_internal.html", maps.internal_map(run))


def _write_share_map(run: "Run", folder: Path) -> None:
    from geomap.outputs import maps

    _write(folder / "map_share.html", maps.share_map(run))


def _write_report(run: "Run", folder: Path) -> None:
    from geomap.outputs.harvest_estimate import run_id
    from geomap.outputs.report import report, report_content
    from geomap.outputs.report_pdf import report_pdf

    beside = _beside(run)
    page = report(run, beside)
    _write(folder / "report.html", page)
    pdf = report_pdf(page, report_content(run, beside), run=run_id(run.summary))
    (folder / "report.pdf").write_bytes(pdf)


def _write_estimates(run: "Run", folder: Path, *, language: str, reader: "Reader") -> None:
    """Of each cooperative; files are named by its place in `cooperatives.csv`."""
    from geomap.outputs.harvest_estimate import estimate_document, write_estimate
    from geomap.outputs.summary_picture import summary_picture

    beside = _beside(run)
    for number, cooperative in enumerate(run.cooperatives["id"], 1):
        stem = _stem(number, str(cooperative))
        document = estimate_document(run, str(cooperative), beside)
        write_estimate(document, folder, language=language, reader=reader, name=f"harvest_estimate_{stem}")
        picture = summary_picture(document, language=language, reader=reader)
        (folder / f"harvest_summary_{stem}.png").write_bytes(picture)


def _stem(number: int, name: str) -> str:
    """A part of a file name that every system takes, whatever the cooperative is called.

    Examples
    --------
    >>> _stem(1, "Río Lindo"), _stem(2, "CON"), _stem(3, "../:"), _stem(4, "合作社")
    ('1_rio_lindo', '2_con', '3', '4')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return f"{number}_{re.sub(r'[^a-z0-9]+', '_', plain)[:40].strip('_')}".rstrip("_")


def _write_workbook(run: "Run", folder: Path, *, language: str) -> None:
    from geomap.outputs.office_workbook import WORKBOOK, write_office_workbook

    write_office_workbook(run, folder / WORKBOOK, language=language)


def _write(path: Path, page: str) -> None:
    path.write_text(page, encoding="utf-8", newline="\n")


def _beside(run: "Run") -> "Beside":
    from geomap.outputs.beside import beside_of

    return beside_of(run.outlook, form=run.summary["parameters"]["form"], next_steps=run.next_steps)
