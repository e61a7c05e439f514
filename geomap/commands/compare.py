"""`geomap compare`: what changed between two runs, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from geomap.commands.options import AsJson
from geomap.commands.terminal import say, say_json, say_table

if TYPE_CHECKING:
    from geomap.supply.compare import Comparison

_WORDS: Final = {
    "plots_new": "plots that are new",
    "plots_gone": "plots that are gone",
    "area": "outlines and areas",
    "land_cover": "land cover: another map, year or accuracy",
    "told": "what is told of plots: planted share, year, trees, damage",
    "members": "members without a plot: joined, left, mapped since, another guess",
    "settings": "settings: base yield, crop, season, conversion, declared areas",
    "deliveries": "what deliveries say",
    "difference": "in all",
}


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the first run.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the second run.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder for compare.csv.")] = None,
    as_json: AsJson = False,
) -> None:
    """What changed from one run to another, and why: parts that add up to the difference."""
    from geomap.outputs.comparison import read_written
    from geomap.outputs.tables import write_table
    from geomap.supply.compare import compare_runs

    found = compare_runs(read_written(run_a), read_written(run_b))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_table(found.parts, "compare.csv", out / "compare.csv")
    if as_json:
        say_json({"parts": _plain(found.parts), "examples": _plain(found.examples), "changed": found.changed})
        return
    for (name, quantity), rows in found.parts.groupby(["cooperative_id", "quantity"], sort=False):
        say(f"{name}: {quantity}, kilograms" + (" (95 % interval)" if quantity == "potential" else ""))
        moved = [row for row in _plain(rows) if row["verdict"] != "same" or row["part"] == "difference"]
        say_table(["why", "change", "from", "to", "plots", "members", ""], [*map(_line, moved)])
        say("")
    _say_more(found)
    if out is not None:
        say(f"The parts stand in {out / 'compare.csv'}.")


def _plain(table: Any) -> list[dict[str, Any]]:
    """Rows with None for what is not known."""
    return list(table.astype(object).where(table.notna(), None).to_dict("records"))


def _line(row: dict[str, Any]) -> list[str]:
    ends = ["" if row[name] is None else f"{row[name]:+,.0f}" for name in ("low_kg", "high_kg")]
    counts = [f"{row[name]:,}" if row[name] else "" for name in ("plots", "members")]
    return [_WORDS[row["part"]], f"{row['change_kg']:+,.0f}", *ends, *counts, row["verdict"]]


def _say_more(found: "Comparison") -> None:
    """The settings that differ, and the plots that changed most."""
    if found.changed:
        say("Settings that differ:")
        say_table(["setting", "before", "after"], [[one["name"], one["before"], one["after"]] for one in found.changed])
        say("")
    examples = found.examples[found.examples["quantity"] == "potential"]
    if len(examples):
        say("What changed most:")
        rows = [[row["part"], row["id"], f"{row['change_kg']:+,.0f}"] for row in _plain(examples)]
        say_table(["part", "plot or member", "kilograms"], rows)
