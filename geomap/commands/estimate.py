"""`geomap demo` and `geomap estimate`: from plots to kilograms."""

import ctypes
import gc
import importlib
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from geomap.commands.options import (
    AsJson,
    AsOf,
    ClusterAddress,
    ClusterFolder,
    Commitments,
    Contracts,
    CooperativesFile,
    CropTables,
    Crs,
    Decisions,
    DeliveredShare,
    Deliveries,
    FieldEstimates,
    Layers,
    LocalSample,
    Mapping,
    Matches,
    MembersFile,
    MembersMapping,
    OtherMapFiles,
    PlotsFile,
    ProductName,
    RasterFiles,
    Shares,
    Workers,
    YieldRasters,
    Yields,
    brought,
    cluster_of,
    legend_of,
    other_maps_of,
    rasters_of,
    reading,
)
from geomap.commands.terminal import kilograms, progress_bar, say, say_json, say_table

if TYPE_CHECKING:
    from geomap.run import Run

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Of mallopt, in malloc.h."""


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

    with progress_bar() as progress:
        progress("making the sample", 0, 1)
        make_sample(out / "sample")
        progress("making the sample", 1, 1)
    sample = out / "sample"
    estimate(
        sample / "plots.geojson",
        raster=[str(sample / "landcover.tif")],
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
    layer: Layers = None,
    other_map: OtherMapFiles = None,
    local_sample: LocalSample = None,
    delivered_share: DeliveredShare = None,
    as_of: AsOf = None,
    language: Annotated[
        str, typer.Option("--language", metavar="CODE", help="Language of the harvest estimates: en, es, fr or pt.")
    ] = "en",
    reader: Annotated[
        str, typer.Option("--reader", metavar="WHO", help="Units of the harvest estimates: office or buyer.")
    ] = "office",
    workers: Workers = None,
    cluster: ClusterAddress = None,
    cluster_dir: ClusterFolder = None,
    donor_map: Annotated[
        bool, typer.Option("--donor-map", help="Leave a map for a donor too: 300-dpi PNG and PDF, no plots, no names.")
    ] = False,
    workbook: Annotated[
        bool, typer.Option("--workbook", help="Leave office.xlsx for more than 20,000 plots or members too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Potential of each plot, member and cooperative in kilograms, with an interval: tables, two maps and a report.

    With deliveries of past seasons also the supply that can be expected, by month, and what can still be sold.

    What it leaves in DIR is described in docs/columns.md. Nothing is written unless everything is.
    """
    from geomap.landcover.layers import layers_given
    from geomap.outputs.tables import require_words, write_run
    from geomap.run import estimate_files

    require_words(language, reader)
    _make_haste()
    legend, how = legend_of(product), reading(mapping, members_mapping, crs, matches, decisions)
    with progress_bar() as progress:
        run = estimate_files(
            plots,
            rasters_of(raster, legend, plots, {**how, "country": country}, out, progress),
            product=legend,
            crop=crop,
            country=country,
            members=members,
            season=season,
            form=form,
            base_yield_kg=base_yield,
            by=tuple(by or ()),
            reading=how,
            shares=shares,
            brought=brought(
                deliveries=deliveries,
                field_estimates=field_estimates,
                commitments=commitments,
                contracts=contracts,
                cooperatives=cooperatives,
                crop_tables=crop_table,
                yields=yields,
                yield_rasters=yield_raster,
                local_sample=local_sample,
                delivered_share=delivered_share,
                as_of=as_of,
            ),
            workers=workers,
            layers=layers_given(layer or ()),
            other_maps=other_maps_of(other_map),
            cluster=cluster_of(cluster, cluster_dir),
            progress=progress,
        )
        progress("writing", 0, 1)
        papers = {"donor_map": donor_map, "language": language, "reader": reader, "workbook": workbook}
        write_run(run, out, **papers)  # type: ignore[arg-type]  # checked there
        progress("writing", 1, 1)
    if as_json:
        say_json(run.summary)
    else:
        _say_run(run, out)


def _make_haste() -> None:
    """Ready the process for long tables; without it all is the same, and slower.

    What is imported stays, so the collector of garbage need not look at it again and again. The C library keeps memory
    that was freed for the next table instead of giving it back. What is needed last is imported while the plots
    are read: the compiler of the kernel, and what draws maps and pages.
    """
    with suppress(OSError, AttributeError, TypeError):  # only glibc knows these
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 2**30)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    threading.Thread(
        target=lambda: [importlib.import_module(name) for name in ("numba", "folium", "fpdf")], daemon=True
    ).start()


def _say_run(run: "Run", out: Path) -> None:
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
    say_table(["cooperative", "members mapped", "ha", f"potential, kg {form}", "8 of 10 seasons between"], rows)
    if run.outlook is not None and run.outlook.has_supply:
        _say_supply(run, form)
    if run.other_maps is not None:
        _say_other_maps(run)
    if run.summary["evidence"] == "country averages":
        say("These numbers come from country averages, not from deliveries.")
    for warning in run.summary["warnings"]:
        say(f"Note: {warning}")
    say(f"Open {out / 'report.html'} first, then {out / 'map_internal.html'}.")
    if not (out / "office.xlsx").exists():
        say("More than 20,000 plots or members: office.xlsx is left with --workbook.")


def _say_other_maps(run: "Run") -> None:
    """What another map would do to the potential, and on how much ground the maps agree."""
    told = run.summary["other_maps"]
    say("")
    for sentence in (told["agreement"], *told["choice"][-1:]):
        say(sentence)


def _say_supply(run: "Run", form: str) -> None:
    """What can be expected, and what it rests on."""
    assert run.outlook is not None
    evidence = run.outlook.calibration.cooperatives["evidence"]
    rows = [
        [
            str(row["id"]),
            kilograms(row["supply_kg"]),
            f"{kilograms(row['supply_p10_kg'])} – {kilograms(row['supply_p90_kg'])}",
            str(evidence.get(row["id"], "")),
        ]
        for row in [*run.cooperatives.to_dict("records"), run.total.to_dict()]
    ]
    say("")
    say_table(["cooperative", f"supply {run.outlook.season}, kg {form}", "8 of 10 seasons between", "rests on"], rows)
    if run.outlook.backtest is not None:
        say(run.outlook.backtest.sentence)
