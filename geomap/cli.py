"""The command line: demo, check, landcover, estimate, backtest, explain."""

import ctypes
import gc
import importlib
import json
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from geomap import __version__
from geomap.errors import GeomapError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

    from geomap.engine import Progress
    from geomap.run import Run
    from geomap.supply.brought import Brought

DONE: Final = 0
BLOCKED: Final = 1
WRONG_USE: Final = 2
INTERNAL: Final = 3

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt, in malloc.h

app = typer.Typer(
    name="geomap",
    help="Potential supply of farming cooperatives from member plots and land cover, with an interval.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PlotsFile = Annotated[
    Path,
    typer.Argument(
        metavar="PLOTS", help="Plots: GeoJSON, GeoPackage, Shapefile (.shp or .zip), GeoParquet, KML, CSV or XLSX."
    ),
]
OptionalPlotsFile = Annotated[
    Path | None, typer.Argument(metavar="PLOTS", help="Plots, in any of the formats of docs/formats.md.")
]
MembersFile = Annotated[
    Path | None, typer.Option("--members", metavar="FILE", help="Members: CSV or XLSX with an id per member.")
]
RasterFiles = Annotated[
    list[Path],
    typer.Option("--raster", metavar="FILE", help="Land-cover GeoTIFF; give it again for each tile."),
]
ProductName = Annotated[
    str, typer.Option("--product", metavar="NAME", help="The raster's legend, such as esa-worldcover-2021.")
]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="THEIRS=OURS", help="Read their column as one of ours; give it again for each."),
]
MembersMapping = Annotated[
    list[str] | None,
    typer.Option("--map-members", metavar="THEIRS=OURS", help="The same for the columns of the members file."),
]
Crs = Annotated[
    str | None,
    typer.Option("--crs", metavar="EPSG:CODE", help="Coordinate system of a file that names none, such as EPSG:32616."),
]
Matches = Annotated[
    Path | None,
    typer.Option("--matches", metavar="FILE", help="CSV of member names that a person matched, from `check --out`."),
]
Decisions = Annotated[
    Path | None,
    typer.Option("--decisions", metavar="FILE", help="findings.xlsx of `check --out` with its decisions filled in."),
]
Shares = Annotated[
    Path | None,
    typer.Option("--shares", metavar="FILE", help="Who farms which plot with what share: plot_id, member_id, share."),
]
Deliveries = Annotated[
    list[Path] | None,
    typer.Option("--deliveries", metavar="FILE", help="Deliveries of past seasons and this one; again for each file."),
]
Contracts = Annotated[
    Path | None, typer.Option("--contracts", metavar="FILE", help="What is sold: quantity, form, certification, month.")
]
FieldEstimates = Annotated[
    Path | None, typer.Option("--field-estimates", metavar="FILE", help="What technicians expect of plots or members.")
]
Commitments = Annotated[
    Path | None, typer.Option("--commitments", metavar="FILE", help="What members signed to deliver.")
]
CooperativesFile = Annotated[
    Path | None,
    typer.Option(
        "--cooperatives",
        metavar="FILE",
        help="What each cooperative is asked once: its quintal, load and manzana, outturn, delivered share.",
    ),
]
CropTables = Annotated[
    list[Path] | None,
    typer.Option("--crop-table", metavar="FILE", help="Your own crop or figures, a small table; again for each."),
]
Yields = Annotated[
    Path | None,
    typer.Option("--yields", metavar="FILE", help="Your own base yields by cooperative, community or variety."),
]
YieldRasters = Annotated[
    list[Path] | None,
    typer.Option("--yield-raster", metavar="FILE", help="A map of kg per hectare and year; again for each tile."),
]
DeliveredShare = Annotated[
    float | None,
    typer.Option(
        "--delivered-share", metavar="SHARE", help="Part of the harvest that reaches the cooperative, 0 to 1."
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="Day up to which this season's deliveries are complete: 2027-01-31."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads; as many as there are processors by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON for a program to read.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        _print(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the sample and its results.")] = Path(
        "geomap-demo"
    ),
    as_json: AsJson = False,
) -> None:
    """Make three cooperatives with known truth and estimate what their plots can bear.

    The sample lands in DIR/sample, the results in DIR/results. Open DIR/results/report.html first.
    """
    from geomap.simulate import make_sample

    with _progress() as progress:
        progress("making the sample", 0, 1)
        make_sample(out / "sample")
        progress("making the sample", 1, 1)
    sample = out / "sample"
    estimate(
        sample / "plots.geojson",
        raster=[sample / "landcover.tif"],
        product="esa-worldcover-2021",
        crop="coffee",
        country="HN",
        members=sample / "members.csv",
        season="2026/27",
        deliveries=[sample / "deliveries.csv"],
        contracts=sample / "contracts.csv",
        cooperatives=sample / "cooperatives.csv",
        by=["community"],
        out=out / "results",
        as_json=as_json,
    )


@app.command()
def check(
    plots: OptionalPlotsFile = None,
    members: MembersFile = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for findings.csv, one row per finding.")
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option("--template", metavar="FILE", help="Write an empty XLSX workbook to fill in or print, and stop."),
    ] = None,
    crop: Annotated[str, typer.Option("--crop", metavar="NAME", help="Crop of the template.")] = "coffee",
    country: Annotated[
        str | None, typer.Option("--country", metavar="ISO2", help="Country of the plots; finds those outside it.")
    ] = None,
    language: Annotated[
        str, typer.Option("--language", metavar="CODE", help="Language of work lists and template: en, es, fr or pt.")
    ] = "en",
    mapping: Mapping = None,
    members_mapping: MembersMapping = None,
    crs: Crs = None,
    matches: Matches = None,
    decisions: Decisions = None,
    as_json: AsJson = False,
) -> None:
    """Check plots and say what is wrong with them, plot by plot.

    With --out it leaves findings.csv, findings.xlsx to decide in, work lists to print, a sheet per member, and the
    names that it could not match.

    Exit status 1 when a finding blocks a plot. With --template no plots are needed.
    """
    if template is not None:
        from geomap.outputs.template import write_template

        write_template(template, crop=crop, language=language)
        _print(f"A workbook for members, plots, field estimates, deliveries and contracts stands in {template}.")
        if plots is None:
            return
    if plots is None:
        raise typer.BadParameter("Name a file of plots, or --template FILE.", param_hint="PLOTS")
    from geomap.findings import CODES, join_findings
    from geomap.plots.prepare import prepare_plots

    with _progress() as progress:
        reading = _reading(mapping, members_mapping, crs, matches, decisions)
        table, people, found = _read(plots, members, {**reading, "country": country}, progress)
        prepared = prepare_plots(table, people, country=country, progress=progress)
    findings = join_findings([*found, prepared.findings])
    if out is not None:
        from geomap.outputs.kit import write_kit
        from geomap.outputs.tables import write_table

        write_table(findings, "findings.csv", out / "findings.csv")
        write_kit(prepared, out, findings=findings, language=language)
        if people is not None:
            _write_offers(table, people, matches, out / "name_matches.csv")
    counts = findings.groupby(["code", "severity"]).agg(findings=("plot_id", "size"), effect_ha=("effect_ha", "sum"))
    if as_json:
        _print_json(
            {
                "plots": len(table),
                "usable": len(prepared.plots),
                "left_out": len(prepared.left_out),
                "area_ha": round(float(prepared.plots["counted_area_ha"].sum()), 4),
                "findings": counts.reset_index().to_dict("records"),
            }
        )
    else:
        _print(
            f"{len(table):,} plots read, {len(prepared.plots):,} usable, {len(prepared.left_out):,} left out, "
            f"{prepared.plots['counted_area_ha'].sum():,.2f} ha counted."
        )
        rows = [
            [row.severity, row.code, f"{row.findings:,}", _hectares(row.effect_ha), CODES[row.code][1]]
            for row in counts.reset_index().itertuples()
        ]
        order = {"block": 0, "warn": 1, "note": 2}
        rows.sort(key=lambda row: (order[row[0]], row[1]))
        _print_table(["severity", "code", "findings", "effect ha", "what it means"], rows)
        if out is not None:
            _print(f"Every finding stands in {out / 'findings.csv'}.")
    if (findings["severity"] == "block").any():
        raise typer.Exit(BLOCKED)


@app.command()
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
    with _progress() as progress:
        table, _, found = _read(plots, None, _reading(mapping, None, crs, None, None), progress)
        prepared = prepare_plots(table.sort_index(), progress=progress)
        extraction = class_areas(prepared.plots, raster, legend, workers=workers, progress=progress)
    if out is None:
        print_table(extraction.classes, "classes.csv", sys.stdout)
    else:
        write_table(extraction.classes, "classes.csv", out)
        _print(f"{len(extraction.classes):,} rows for {len(prepared.plots):,} plots stand in {out}.")
    count = sum(len(part) for part in (*found, prepared.findings, extraction.findings))
    if count:
        typer.echo(f"{count:,} findings; `geomap check` and `geomap estimate` list them.", err=True)


@app.command()
def estimate(
    plots: PlotsFile,
    raster: RasterFiles,
    product: ProductName,
    crop: Annotated[
        str, typer.Option("--crop", metavar="NAME", help="coffee, arabica, robusta, cocoa, honey, or your own.")
    ],
    country: Annotated[str, typer.Option("--country", metavar="ISO2", help="Country of the plots, such as HN.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for tables, maps and the report.")],
    members: MembersFile = None,
    season: Annotated[
        str | None, typer.Option("--season", metavar="YYYY/YY", help="Season of the months, such as 2026/27.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--form", metavar="NAME", help="Product form of all kilograms, such as green.")
    ] = None,
    base_yield: Annotated[
        float | None,
        typer.Option("--base-yield", metavar="KG", help="Your own base yield in kg per planted hectare (or hive)."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="COLUMN", help="Sum by this attribute too; give it again for each."),
    ] = None,
    mapping: Mapping = None,
    members_mapping: MembersMapping = None,
    crs: Crs = None,
    matches: Matches = None,
    decisions: Decisions = None,
    shares: Shares = None,
    deliveries: Deliveries = None,
    field_estimates: FieldEstimates = None,
    commitments: Commitments = None,
    contracts: Contracts = None,
    cooperatives: CooperativesFile = None,
    crop_table: CropTables = None,
    yields: Yields = None,
    yield_raster: YieldRasters = None,
    delivered_share: DeliveredShare = None,
    as_of: AsOf = None,
    language: Annotated[
        str, typer.Option("--language", metavar="CODE", help="Language of the harvest estimates: en, es, fr or pt.")
    ] = "en",
    reader: Annotated[
        str, typer.Option("--reader", metavar="WHO", help="Units of the harvest estimates: office or buyer.")
    ] = "office",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Potential of each plot, member and cooperative in kilograms, with an interval: tables, two maps and a report.

    With deliveries of past seasons also the supply that can be expected, by month, and what can still be sold.

    What it leaves in DIR is described in docs/columns.md. Nothing is written unless everything is.
    """
    from geomap.outputs.tables import require_words, write_run
    from geomap.run import estimate_files

    require_words(language, reader)
    _make_haste()
    with _progress() as progress:
        run = estimate_files(
            plots,
            raster,
            product=product,
            crop=crop,
            country=country,
            members=members,
            season=season,
            form=form,
            base_yield_kg=base_yield,
            by=tuple(by or ()),
            reading=_reading(mapping, members_mapping, crs, matches, decisions),
            shares=shares,
            brought=_brought(
                deliveries=deliveries,
                field_estimates=field_estimates,
                commitments=commitments,
                contracts=contracts,
                cooperatives=cooperatives,
                crop_tables=crop_table,
                yields=yields,
                yield_rasters=yield_raster,
                delivered_share=delivered_share,
                as_of=as_of,
            ),
            workers=workers,
            progress=progress,
        )
        progress("writing", 0, 1)
        write_run(run, out, language=language, reader=reader)  # type: ignore[arg-type]  # checked there
        progress("writing", 1, 1)
    if as_json:
        _print_json(run.summary)
    else:
        _print_run(run, out)


@app.command()
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

    with _progress() as progress:
        run = estimate_files(
            plots,
            raster,
            product=product,
            crop=crop,
            country=country,
            members=members,
            brought=_brought(deliveries=deliveries, cooperatives=cooperatives),
            reading=_reading(mapping, members_mapping, crs, matches, None),
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
        _print_json({"sentence": found.sentence, "wins": found.wins, "scores": scores.to_dict("records")})
        return
    _print(found.sentence)
    rows = [
        [
            str(row["cooperative_id"]),
            str(row["rule"]),
            *(_percent(row[name]) for name in ("bias", "mape", "coverage_80")),
        ]
        for row in scores.to_dict("records")
    ]
    _print_table(["cooperative", "rule", "bias", "mean error", "80 % interval held"], rows)
    if out is not None:
        _print(f"Every prediction stands in {out}.")


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `geomap estimate --out` left.")],
    plot_id: Annotated[str, typer.Argument(metavar="PLOT_ID", help="The plot's id, as in the file.")],
    as_json: AsJson = False,
) -> None:
    """How the kilograms of one plot came about, step by step, with the source of every default."""
    from geomap.outputs import explain as words

    if as_json:
        _print_json(words.explained(run, plot_id))
    else:
        _print(words.explain(run, plot_id))


def _make_haste() -> None:
    """Ready the process for long tables; without it all is the same, and slower.

    What is imported stays, so the collector of garbage need not look at it again and again. The C library keeps memory
    that was freed for the next table instead of giving it back. What is needed last is imported while the plots
    are read: the compiler of the kernel, and the maps.
    """
    with suppress(OSError, AttributeError, TypeError):  # only glibc knows these
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 2**30)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    threading.Thread(
        target=lambda: [importlib.import_module(name) for name in ("numba", "folium")], daemon=True
    ).start()


def _read(
    plots: Path, members: Path | None, reading: dict[str, Any], progress: "Progress"
) -> "tuple[Any, pd.DataFrame | None, list[pd.DataFrame]]":
    """Plots, members and the findings of reading both."""
    from geomap.run import read_inputs

    progress("reading", 0, 1)
    read = read_inputs(plots, members, **reading)
    progress("reading", 1, 1)
    return read


def _reading(
    mapping: list[str] | None,
    members_mapping: list[str] | None,
    crs: str | None,
    matches: Path | None,
    decisions: Path | None,
) -> dict[str, Any]:
    """Keywords of `read_inputs`."""
    told: dict[str, Any] = {"mapping": _mapping(mapping), "crs": crs}
    told["members_mapping"] = _mapping(members_mapping, option="--map-members")
    if decisions is not None:
        from geomap.outputs.kit import read_decisions

        told["decisions"] = read_decisions(decisions)
    return {**told, "matches": matches}


def _brought(**given: Any) -> "Brought":
    """What was brought; lists of nothing are left out."""
    from geomap.supply.brought import Brought

    told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    several: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return Brought(**several)


def _write_offers(plots: Any, members: "pd.DataFrame", matches: Path | None, path: Path) -> None:
    """Leave the names that are only similar for a person to confirm, beside those confirmed before."""
    from geomap.plots.matching import match_members, next_matches, read_matches, write_matches

    confirmed = None if matches is None else read_matches(matches)
    _, report = match_members(plots, members, confirmed)
    write_matches(next_matches(report, confirmed), path)


def _mapping(pairs: list[str] | None, *, option: str = "--map") -> dict[str, str]:
    wrong = [pair for pair in pairs or () if "=" not in pair]
    if wrong:
        raise UnknownNameError(
            f"{option} {wrong[0]} has no equals sign.", todo=f"Write their name, =, our name: {option} codigo=plot_id."
        )
    return dict(pair.rsplit("=", 1) for pair in pairs or ())


def _print_run(run: "Run", out: Path) -> None:
    form = run.summary["parameters"]["form_title"]
    rows = [
        [
            str(row["id"]),
            f"{row['members_mapped']:,} of {row['members']:,}",
            f"{row['area_ha']:,.1f}",
            f"{row['potential_kg']:,.0f}",
            f"{row['potential_p10_kg']:,.0f} – {row['potential_p90_kg']:,.0f}",
        ]
        for row in [*run.cooperatives.to_dict("records"), run.total.to_dict()]
    ]
    _print_table(["cooperative", "members mapped", "ha", f"potential, kg {form}", "8 of 10 seasons between"], rows)
    if run.outlook is not None and run.outlook.has_supply:
        _print_supply(run, form)
    if run.summary["evidence"] == "country averages":
        _print("These numbers come from country averages, not from deliveries.")
    for warning in run.summary["warnings"]:
        _print(f"Note: {warning}")
    _print(f"Open {out / 'report.html'} first, then {out / 'map_internal.html'}.")


def _print_supply(run: "Run", form: str) -> None:
    """What can be expected, and what it rests on."""
    assert run.outlook is not None
    evidence = run.outlook.calibration.cooperatives["evidence"]
    rows = [
        [
            str(row["id"]),
            _kilograms(row["supply_kg"]),
            f"{_kilograms(row['supply_p10_kg'])} – {_kilograms(row['supply_p90_kg'])}",
            str(evidence.get(row["id"], "")),
        ]
        for row in [*run.cooperatives.to_dict("records"), run.total.to_dict()]
    ]
    _print("")
    _print_table(
        ["cooperative", f"supply {run.outlook.season}, kg {form}", "8 of 10 seasons between", "rests on"], rows
    )
    if run.outlook.backtest is not None:
        _print(run.outlook.backtest.sentence)


def _kilograms(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "not known"


def _percent(value: Any) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _hectares(effect: float) -> str:
    """An effect in hectares with its sign; nothing where it is too small to show."""
    return f"{effect:+,.2f}" if abs(effect) >= 0.005 else ""


def _print(text: str) -> None:
    typer.echo(text)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str))


def _print_table(header: list[str], rows: list[list[str]]) -> None:
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
def _progress() -> "Iterator[Progress]":
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


def main() -> None:
    """Run the command line; every error ends in one message and an exit status."""
    try:
        app()
    except GeomapError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(WRONG_USE)
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing was written.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")
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
