"""`geomap check`: what is wrong with plots, and what to do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geomap.commands.options import (
    AsJson,
    Crs,
    Decisions,
    Mapping,
    Matches,
    MembersFile,
    MembersMapping,
    OptionalPlotsFile,
    read,
    reading,
)
from geomap.commands.terminal import BLOCKED, hectares, progress_bar, say, say_json, say_table

if TYPE_CHECKING:
    import pandas as pd


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
        say(f"A workbook for members, plots, field estimates, deliveries and contracts stands in {template}.")
        if plots is None:
            return
    if plots is None:
        raise typer.BadParameter("Name a file of plots, or --template FILE.", param_hint="PLOTS")
    from geomap.findings import CODES, join_findings
    from geomap.plots.prepare import prepare_plots

    with progress_bar() as progress:
        how = reading(mapping, members_mapping, crs, matches, decisions)
        table, people, found = read(plots, members, {**how, "country": country}, progress)
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
        say_json(
            {
                "plots": len(table),
                "usable": len(prepared.plots),
                "left_out": len(prepared.left_out),
                "area_ha": round(float(prepared.plots["counted_area_ha"].sum()), 4),
                "findings": counts.reset_index().to_dict("records"),
            }
        )
    else:
        say(
            f"{len(table):,} plots read, {len(prepared.plots):,} usable, {len(prepared.left_out):,} left out, "
            f"{prepared.plots['counted_area_ha'].sum():,.2f} ha counted."
        )
        rows = [
            [row.severity, row.code, f"{row.findings:,}", hectares(row.effect_ha), CODES[row.code][1]]
            for row in counts.reset_index().itertuples()
        ]
        order = {"block": 0, "warn": 1, "note": 2}
        rows.sort(key=lambda row: (order[row[0]], row[1]))
        say_table(["severity", "code", "findings", "effect ha", "what it means"], rows)
        if out is not None:
            say(f"Every finding stands in {out / 'findings.csv'}.")
    if (findings["severity"] == "block").any():
        raise typer.Exit(BLOCKED)


def _write_offers(plots: Any, members: "pd.DataFrame", matches: Path | None, path: Path) -> None:
    """Leave the names that are only similar for a person to confirm, beside those confirmed before."""
    from geomap.plots.matching import match_members, next_matches, read_matches, write_matches

    confirmed = None if matches is None else read_matches(matches)
    _, report = match_members(plots, members, confirmed)
    write_matches(next_matches(report, confirmed), path)
