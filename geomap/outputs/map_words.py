"""The words, numbers and legends of the map pages."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from geomap.outputs.context import Context
from geomap.outputs.map_page import paragraphs
from geomap.outputs.text import plain

if TYPE_CHECKING:
    from geomap.run import Run

COLORS: Final = ("#00224e", "#43526c", "#83817a", "#c3b369", "#fee838")
"""Five steps of cividis, a scale that reads the same with colour blindness."""

NOTHING: Final = "#ffffff"
"""Colour of what bears nothing."""

MAX_LISTED: Final = 100
"""Cooperatives, and plots left out, that a page lists; a line counts the others."""

SHARE_RULES: Final = (
    "A cell is shown with at least 10 members, none of them too large, and its sum is rounded. Where members are too "
    "few even on 80 × 80 km, their kilograms are suppressed on the map and count only in the sums."
)
NO_CELLS: Final = "Suppressed: no area has enough members to be shown on a map."
LEFT_OUT_LEGEND: Final = {"title": "Left out", "classes": [{"label": "plot that does not count", "gone": True}]}
FINDING_LEGEND: Final = {"title": "Findings", "classes": [{"label": "plot with a finding", "mark": True}]}

_NAME_LIMIT: Final = 200

Json = dict[str, Any]


def internal_headline(run: "Run") -> str:
    total = run.total
    ground = f"{total['area_ha']:,.1f} ha, of them {total['productive_ha']:,.1f} ha productive"
    lines = [_interval(total), _mapped(total), ground]
    notes = ["Potential is what the land can bear, not what will be delivered."]
    if run.summary.get("evidence") == "country averages":
        notes.insert(
            0, "From country averages, not from your cooperative. Deliveries of past seasons would narrow it most."
        )
    if total.get("unmapped_kg", 0) > 0:
        notes.append(f"{kilograms(total['unmapped_kg']):,.0f} kg of it stand for members without a plot.")
    return _total_html(run, total["potential_kg"], lines, notes)


def share_headline(run: "Run", total: Mapping[str, Any]) -> str:
    notes = ["Potential is what the land can bear, not what will be delivered."]
    if run.summary.get("evidence") == "country averages":
        notes.insert(0, "From country averages, not from deliveries of these cooperatives.")
    if not total["shown"]:
        return _total_html(run, None, ["Suppressed: too few members to show a sum."], notes)
    return _total_html(run, total["potential_kg"], [_interval(total), _mapped(total)], notes)


def _total_html(run: "Run", mean: float | None, lines: list[str], notes: list[str]) -> str:
    season = run.summary["parameters"].get("season")
    what = f"{form(run)}, " + (f"season {plain(season)}" if season else "mean of a year")
    number = "suppressed" if mean is None else f"{kilograms(mean):,.0f} <small>kg</small>"
    return f'<p class="total">{number}</p>{paragraphs([what], css="soft")}{paragraphs(lines)}{note(notes)}'


def note(lines: list[str]) -> str:
    """The lines in a box, as HTML; "" where there are none."""
    return f'<div class="note">{paragraphs(lines)}</div>' if lines else ""


def _interval(row: Mapping[str, Any]) -> str:
    low, high = kilograms(row["potential_p10_kg"]), kilograms(row["potential_p90_kg"])
    return f"8 of 10 seasons between {low:,.0f} (P10) and {high:,.0f} kg (P90)"


def limits(low: Any, high: Any) -> str:
    """Two limits in kilograms as text; "" where one is unknown."""
    ends = [kilograms(low), kilograms(high)]
    return "" if None in ends else " – ".join(f"{end:,.0f}" for end in ends)


def _mapped(row: Mapping[str, Any]) -> str:
    plots = f", {int(row['plots']):,} plots" if "plots" in row else ""
    return f"{int(row['members_mapped']):,} of {int(row['members']):,} members mapped{plots}"


def cooperatives(run: "Run") -> list[Json]:
    rows = run.cooperatives.sort_values(["potential_kg", "id"], ascending=[False, True]).to_dict("records")
    return [_cooperative(row, f"{_mapped(row)}, {row['area_ha']:,.1f} ha") for row in rows]


def shared_cooperative(row: Mapping[str, Any]) -> Json:
    if not row["shown"]:
        return {
            "name": name(row["id"]),
            "mean": None,
            "p10": None,
            "p90": None,
            "words": ["Too few members to show a sum."],
        }
    return _cooperative(row, _mapped(row))


def _cooperative(row: Mapping[str, Any], mapped: str) -> Json:
    low, high = row["potential_p10_kg"], row["potential_p90_kg"]
    ends = {"mean": kilograms(row["potential_kg"]), "p10": kilograms(low), "p90": kilograms(high)}
    return {"name": name(row["id"]), "words": [f"{limits(low, high)} kg", mapped]} | ends


def left_out(run: "Run") -> list[str]:
    """Plots kept out, each with its reason."""
    out = run.findings[(run.findings["action"] == "left_out") & (run.findings["plot_id"] != "")]
    out = out.drop_duplicates("plot_id")
    lines = [
        f"{name(plot)}: {plain(text, limit=500)}" for plot, text in zip(out["plot_id"], out["message"], strict=True)
    ]
    return lines[:MAX_LISTED] + ([more(len(lines))] if more(len(lines)) else [])


def title(run: "Run") -> str:
    """What the page shows, of which product form and country."""
    return f"Potential: {form(run)}, {plain(run.summary['parameters']['country_name'])}"


def more(count: int) -> str:
    """How many of so many are not listed; "" where all are."""
    return f"{count - MAX_LISTED:,} more are not listed here." if count > MAX_LISTED else ""


def credit(run: "Run") -> str:
    """Attribution and licence of the land cover."""
    return ", ".join(part for part in (plain(run.product.attribution), plain(run.product.licence)) if part)


def footer(run: "Run") -> list[str]:
    version = plain(run.summary.get("versions", {}).get("geomap", ""))
    return [f"Made with geomap {version}. Nothing on this page is loaded from a network."]


def scale(heading: str, breaks: Sequence[float], classes: Sequence[int], *, opacity: float) -> Json:
    """The legend of a scale: one entry per class, with white for what bears nothing."""
    at = [f"{limit:,.4g}" if limit < 1 else f"{limit:,.0f}" for limit in breaks]
    labels = [f"under {at[0]}", *map(" – ".join, pairwise(at)), f"{at[-1]} or more"] if at else ["all"]
    entries = [
        {"label": label, "color": f"{COLORS[k]}{round(255 * opacity):02x}"}
        for label, k in zip(labels, _steps(len(breaks)), strict=True)
    ]
    return {"title": heading, "classes": entries + ([{"label": "none", "color": NOTHING}] if -1 in classes else [])}


def cover_legend(run: "Run", context: Context) -> Json:
    from geomap.outputs.report import class_words

    classes = [
        {"label": plain(class_words(int(code), str(name))), "color": color}
        for code, name, color in context.classes.itertuples()
    ]
    return {"title": f"Land cover, {plain(run.product.title)}", "classes": classes}


def columns(kinds: Mapping[str, str]) -> list[Json]:
    """Columns by label; a kind is text, kg, ha or count."""
    return [{"label": label, "kind": kind} for label, kind in kinds.items()]


def form(run: "Run") -> str:
    return plain(run.summary["parameters"]["form_title"])


def name(value: Any) -> str:
    return plain(value, limit=_NAME_LIMIT)


def member(known_as: Any, member_id: Any) -> str:
    """Name and id, as far as known."""
    return " · ".join(dict.fromkeys(part for part in (name(known_as), name(member_id)) if part))


def kilograms(value: Any) -> float | None:
    """Kilograms to three digits; None where unknown."""
    number = float(value)
    return float(f"{number:.3g}") if np.isfinite(number) else None


def hectares(value: Any) -> float | None:
    number = float(value)
    return round(number, 2) if np.isfinite(number) else None


def classes_of(values: Any, breaks: Sequence[float]) -> list[int]:
    """Colour of each value: an index into COLORS, −1 for nothing."""
    numbers = np.asarray(values, dtype=float)
    places = np.searchsorted(np.asarray(breaks, dtype=float), numbers, side="right")
    steps = [*_steps(len(breaks)), -1]
    return [steps[place] if number > 0 else -1 for place, number in zip(places, numbers, strict=True)]


def _steps(breaks: int) -> list[int]:
    """Colours of so many breaks, spread over the scale."""
    return [round(k * (len(COLORS) - 1) / max(breaks, 1)) for k in range(breaks + 1)]


def class_breaks(values: Sequence[float], *, classes: int = 5) -> list[float]:
    """Inner limits of classes with about as many values each, to two digits; fewer where values repeat.

    Examples
    --------
    >>> class_breaks(range(0, 1001))
    [200.0, 400.0, 600.0, 800.0]
    >>> class_breaks([7.0, 7.0])
    []
    """
    numbers = np.asarray(list(values), dtype=float)
    numbers = numbers[numbers > 0]
    if not len(numbers):
        return []
    classes = min(classes, len(np.unique(numbers)))
    limits = np.quantile(numbers, np.arange(1, classes) / classes)
    nice = sorted({float(f"{limit:.2g}") for limit in limits})
    return [limit for limit in nice if numbers.min() < limit <= numbers.max()]
