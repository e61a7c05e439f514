"""The report: one page without network or scripts that a cooperative's manager can read aloud."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from geomap.findings import CODES
from geomap.landcover.bands import lower_edge
from geomap.landcover.citation import cite
from geomap.outputs.beside import Beside
from geomap.outputs.figures import ticks, to_svg
from geomap.outputs.other_maps_section import other_maps_section
from geomap.outputs.profile_section import profile_section
from geomap.outputs.report_answers import answers, evidence_words, loss
from geomap.outputs.text import plain
from geomap.supply.forecast import shock_row

if TYPE_CHECKING:
    from geomap.run import Run

_SHOWN: Final = 30
"""Rows of a table by cooperative or group; the CSV files hold all."""
_BLOCKING_SHOWN: Final = 20

_GAP: Final = "\N{NO-BREAK SPACE}"

_DELIVERIES: Final = "deliveries of past seasons, by member and date"
_MAP_CHECK: Final = "a check of the land-cover map at 50 to 100 points on the ground"
_FIELD_ESTIMATE: Final = "a technician's field estimate shortly before the harvest"
_GPS_CHECK: Final = "a second GPS walk around some 30 plots, drawn by lot"

_SOURCES: Final[Mapping[str, tuple[str, str]]] = {
    "base_yield": ("How far the country's yield per hectare is from the true one", _DELIVERIES),
    "cooperative": ("How a cooperative differs from the country's average", _DELIVERIES),
    "conversion": (
        "Weight lost on the way to the product form",
        "your own outturn, in kilograms of product per kilogram received",
    ),
    "map": ("Mistakes of the land-cover map: {}", _MAP_CHECK),
    "map_region": ("How well the map fits this region: {}", _MAP_CHECK),
    "drawn": ("Plots drawn too large or too small", _GPS_CHECK),
    "declared_bias": ("Areas declared too large or too small", "GPS outlines of the plots that are only declared"),
    "delivered_share": (
        "The share of the harvest that members deliver",
        "the delivered share by member, or signed commitments",
    ),
    "unmapped": ("Members without a plot on the map", "plot outlines of the members who have none"),
    "season": ("Good and bad seasons in the whole region", _FIELD_ESTIMATE),
    "coop_season": ("Good and bad seasons of one cooperative", _FIELD_ESTIMATE),
    "member_season": ("Good and bad seasons of single members", _FIELD_ESTIMATE),
    "plot": ("Differences from plot to plot: soil, care, variety", _DELIVERIES),
    "area": ("GPS error of the outlines", "outlines taken with a better GPS fix, its accuracy noted"),
    "planted": ("The share of each plot that is planted with the crop", "the planted share of each plot"),
    "age": ("The age of the plants", "the year of planting or renovation of each plot"),
    "map_plot": ("Plots of only a few map cells", _MAP_CHECK),
    "uncovered": ("Plots on which the map has no data", "a land-cover map that covers all plots"),
}
"""Source of error → what it is in words, and the input that would narrow it."""

_CASES: Final = {"mean": "", "low": "p10_", "middle": "p50_", "high": "p90_"}
_TEMPLATES: Final = ("report.html.jinja", "profile.html.jinja", "other_maps.html.jinja", "publish.html.jinja")
_TREES: Final = re.compile(r"\b(tree cover|trees?|forests?)\b", re.IGNORECASE)
_SHADE: Final = " (includes shade coffee and cocoa)"
_ACTIONS: Final = {"kept": "kept", "repaired": "repaired", "split": "shared", "left_out": "left out"}
_SEVERITIES: Final = {"block": "blocking", "warn": "warning", "note": "note"}
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def report(run: "Run", beside: Beside | None = None) -> str:
    """The run as one HTML page: no network, no script, phone to A4.

    Sections that rest on further tables (deliveries, contracts, past seasons) are there where `beside` holds them.

    Numbers are rounded to three significant digits for reading; the CSV files beside it hold them exactly. Every text
    passes `plain` and is escaped, so names are shown as written. Equal runs give equal pages.
    """
    from importlib.resources import files

    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    pages = {name: files("geomap.outputs").joinpath(name).read_text(encoding="utf-8") for name in _TEMPLATES}
    environment = Environment(
        loader=DictLoader(pages),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(kg=kilograms, mass=mass, number=significant, ha=hectares, percent=percent, size=_size)
    environment.filters.update(month=_month_words, svg=lambda figure: Markup(to_svg(figure)))
    page = environment.get_template(_TEMPLATES[0])
    return page.render(_shown(report_content(run, beside or Beside()))) + "\n"


def _shown(value: Any) -> Any:
    """The same content with each text as it may be shown."""
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return plain(value) if isinstance(value, str) else value


def significant(value: float) -> str:
    """The number with three significant digits, for reading.

    Examples
    --------
    >>> significant(41_234.5), significant(0.12345), significant(7.0), significant(float("nan"))
    ('41,200', '0.123', '7.00', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, decimals):,.{max(decimals, 0)}f}".replace("-", "−")


def mass(value: float) -> str:
    """Kilograms without their unit, for a table; a trace is not called 0.

    Examples
    --------
    >>> mass(41_234.5), mass(0.2)
    ('41,200', 'less than 1')
    """
    return "less than 1" if value is not None and 0 < value < 1 else significant(value)


def kilograms(value: float) -> str:
    """Kilograms for reading; from 10,000 kg with tonnes in brackets.

    Examples
    --------
    >>> [kilograms(value).replace("\N{NO-BREAK SPACE}", " ") for value in (412_345.0, 950.4, math.nan)]
    ['412,000 kg (412 t)', '950 kg', 'not known']
    """
    if value is None or not math.isfinite(value):
        return "not known"
    tonnes = f" ({significant(value / 1000)}{_GAP}t)" if abs(value) >= 10_000 else ""
    return f"{mass(value)}{_GAP}kg{tonnes}"


def hectares(value: float) -> str:
    """Hectares for reading.

    Examples
    --------
    >>> hectares(144.195).split()
    ['144', 'ha']
    """
    return f"{significant(value)}{_GAP}ha" if value is not None and math.isfinite(value) else "not known"


def percent(share: float) -> str:
    """A share of 0–1 for reading.

    Examples
    --------
    >>> [percent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0.054, 0.004, 0.0, 0.9999)]
    ['5 %', 'less than 1 %', '0 %', 'nearly 100 %']
    """
    if share is None or not math.isfinite(share):
        return "–"
    if 0 < share < 0.01:
        return f"less than 1{_GAP}%"
    return f"nearly 100{_GAP}%" if 0.995 <= share < 1 - 1e-9 else f"{share * 100:.0f}{_GAP}%"


def _size(count: float) -> str:
    unit, divisor = ("bytes", 1.0) if count < 1e4 else ("kB", 1e3) if count < 1e6 else ("MB", 1e6)
    return f"{count / divisor:,.{0 if divisor == 1 else 1}f}{_GAP}{unit}"


def report_content(run: "Run", beside: Beside) -> dict[str, Any]:
    """All that the template shows; texts as given, numbers unrounded."""
    quantity = "supply" if pd.notna(run.total.get("supply_kg")) else "potential"
    case = _case(run.total, quantity)
    errors = _errors(run, quantity)
    product = run.product
    shock = shock_row(run.summary["parameters"]["crop"])
    return {
        "quantity": quantity,
        "place": run.summary["parameters"],
        "evidence": evidence_words(run.summary["evidence"], beside.calibration) if quantity == "supply" else None,
        "narrow": _narrow(run, errors),
        "total": run.total.to_dict(),
        "case": case,
        "shock": [shock[name] * case["mean"] for name in ("factor_low", "factor_high")],
        "picture": _picture(_largest(run.cooperatives), quantity),
        "cooperatives": _group(run.cooperatives, quantity),
        "by": [{"column": column, **_by(column, table, quantity)} for column, table in sorted(run.by.items())],
        "months": _months(run.months, quantity),
        "environment": _environment(run.environment),
        "findings": _findings(run.findings),
        "errors": errors[:10],
        "summary": run.summary,
        "profile": profile_section(run.profile),
        "other_maps": other_maps_section(run.other_maps, run.summary.get("other_maps")),
        "loss": loss(beside.backtest),
        **answers(run, quantity, beside),
        "cite": cite(product).replace("https://doi.org/", "doi:"),  # the page names no address
        "product": {name: getattr(product, name) for name in ("title", "year", "attribution", "licence")},
    }


def _case(row: Any, quantity: str) -> dict[str, float]:
    """Mean and the low, middle and high case of one row of a table of groups, kilograms."""
    return {case: float(row[f"{quantity}_{infix}kg"]) for case, infix in _CASES.items()}


def _largest(groups: pd.DataFrame) -> list[dict[str, Any]]:
    order = groups.sort_values(["potential_kg", "id"], ascending=[False, True])
    return list(order.head(_SHOWN).to_dict("records"))


def _group(groups: pd.DataFrame, quantity: str) -> dict[str, Any]:
    """The largest rows of a table of groups, and how many rows it has."""
    rows = [{"unmapped_kg": math.nan, **row, **_case(row, quantity), "id": str(row["id"])} for row in _largest(groups)]
    return {"rows": rows, "size": len(groups)}


def _by(column: str, groups: pd.DataFrame, quantity: str) -> dict[str, Any]:
    """The same for an attribute; bands stand by their lower edge."""
    found = _group(groups, quantity)
    if column.endswith("_band"):
        found["rows"].sort(key=lambda row: lower_edge(row["id"]))
    return found


def _errors(run: "Run", quantity: str) -> list[dict[str, Any]]:
    """Sources of error of the sum, largest first, in words."""
    table = run.variance[run.variance["quantity"] == quantity]
    whole = table[table["cooperative_id"] == "all"]
    if whole.empty and table["cooperative_id"].nunique() == 1:
        whole = table
    rows = whole[whole["share"] > 0].sort_values(["share", "source"], ascending=[False, True])
    return [
        {"words": words, "remedy": remedy, "share": share}
        for source, share in zip(rows["source"], rows["share"], strict=True)
        for words, remedy in [_source_words(source, run.product.legend)]
    ]


def _source_words(source: str, legend: pd.DataFrame) -> tuple[str, str]:
    kind, _, rest = source.partition(":")
    words, remedy = _SOURCES.get(kind, (source, ""))
    code = rest.rpartition(":")[2]
    known = code.isdigit() and int(code) in legend.index
    name = class_words(int(code), str(legend.loc[int(code), "name"])) if known else code or "all classes"
    return words.format(name) if kind in _SOURCES else words, remedy


def _narrow(run: "Run", errors: list[dict[str, Any]]) -> list[dict[str, str]]:
    """At most three inputs that would narrow the numbers most: short for the first line, and as told."""
    fallback = (_DELIVERIES, _SOURCES["unmapped"][1], _SOURCES["age"][1])
    told = run.summary.get("narrow") or [row["remedy"] for row in errors] or fallback
    items = [str(item) for item in dict.fromkeys(filter(None, told))][:3]
    return [{"short": _short(item), "long": item[:1].upper() + item[1:]} for item in items]


def _short(sentence: str) -> str:
    """The input alone: "Map the 40 members without a plot: 34 % …" → "map the 40 members without a plot"."""
    words = sentence.partition(": ")[0].rstrip(".")
    return words if words[:2].isupper() else words[:1].lower() + words[1:]


def class_words(code: int, name: str) -> str:
    """A land-cover class in the words of a page: shade coffee and cocoa stand under trees, so a tree class says so.

    Examples
    --------
    >>> class_words(10, "Tree cover"), class_words(40, "Cropland"), class_words(-2, "outside the raster")
    ('tree cover (includes shade coffee and cocoa)', 'cropland', 'outside the map')
    >>> class_words(3, "Forest formation")
    'tree cover: formation (includes shade coffee and cocoa)'
    """
    if code < 0:
        return {-1: "no data", -2: "outside the map", -3: "codes that the legend does not know"}.get(code, name)
    words = (name[:1].lower() + name[1:]).removesuffix(_SHADE)
    if not _TREES.search(words):
        return words
    kind = _TREES.sub("", words).strip(" ,-:/")
    return f"tree cover{': ' if kind else ''}{kind}{_SHADE}"


def _environment(environment: pd.DataFrame) -> dict[str, Any]:
    """Per cooperative, the largest first: its classes, the largest first, then no data and outside the map."""
    sizes = environment.groupby("cooperative_id")["area_ha"].sum().sort_values(ascending=False, kind="stable")
    groups = []
    for coop, area in sizes.head(_SHOWN).items():
        own = environment[environment["cooperative_id"] == coop]
        own = own.assign(last=own["class"] < 0)
        own = own.sort_values(["last", "area_ha", "class"], ascending=[True, False, False])
        groups.append({"id": str(coop), "area_ha": area, "classes": [_class(row) for row in own.to_dict("records")]})
    return {"rows": groups, "size": len(sizes)}


def _class(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "name": class_words(int(row["class"]), str(row["name"]))}


def _findings(findings: pd.DataFrame) -> dict[str, Any]:
    """Findings by code, the blocking ones first, and the first blocking cases."""
    groups = findings.groupby(["severity", "code"], sort=True)
    codes = [_finding(severity, code, rows) for (severity, code), rows in groups]
    weights = list(_SEVERITIES)
    codes.sort(key=lambda row: (weights.index(row["severity"]), -row["count"], row["title"]))
    blocking = findings[findings["severity"] == "block"]
    first = blocking.head(_BLOCKING_SHOWN)
    first = first.assign(word=first["action"].map(_ACTIONS))
    return {"codes": codes, "blocking": len(blocking), "first": first.to_dict("records")}


def _finding(severity: str, code: str, rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "severity": severity,
        "word": _SEVERITIES[severity],
        "title": CODES[code][1] if code in CODES else code.replace("_", " "),
        "count": len(rows),
        "effect_ha": rows["effect_ha"].sum(min_count=1),
        "effect_kg": rows["effect_kg"].sum(min_count=1),
    }


def _scale(highest: Iterable[float]) -> dict[str, Any]:
    """A common scale: ticks at shares 0–100 of the width, labelled in kilograms or tonnes."""
    steps = ticks(max((value for value in highest if math.isfinite(value)), default=1.0))
    tonnes = steps[-1] >= 10_000
    return {
        "end": steps[-1],
        "unit": "tonnes" if tonnes else "kilograms",
        "ticks": [{"at": 100 * tick / steps[-1], "label": f"{tick / (1000 if tonnes else 1):,g}"} for tick in steps],
    }


def _picture(groups: list[dict[str, Any]], quantity: str) -> dict[str, Any]:
    """Interval bars of the cooperatives on one scale; places are percent of the width."""
    rows: list[dict[str, Any]] = [{"name": str(row["id"]), **_case(row, quantity)} for row in groups]
    rows = [row for row in rows if all(math.isfinite(row[case]) for case in _CASES)]
    scale = _scale(row[case] for row in rows for case in ("high", "mean"))
    for row in rows:
        row["at"] = {case: round(100 * row[case] / scale["end"], 3) for case in _CASES}
    return {**scale, "rows": rows}


def _months(months: pd.DataFrame, quantity: str) -> dict[str, Any] | None:
    """The months of the sum: with its interval where the run has one for the sum or for one cooperative alone."""
    table = months[months["quantity"] == quantity]
    if table.empty:
        return None
    whole = table[table["cooperative_id"] == "all"]
    if whole.empty and table["cooperative_id"].nunique() == 1:
        whole = table
    quantiles = not whole.empty
    shown = whole if quantiles else table.groupby("month", as_index=False)[["mean_kg"]].sum()
    rows: list[dict[str, Any]] = [_month(row) for row in shown.sort_values("month").to_dict("records")]
    for row in rows:
        row["share"] = row["mean"] / (sum(other["mean"] for other in rows) or math.nan)
    scale = _scale(row[case] for row in rows for case in ("high", "mean"))
    return {**scale, "rows": rows, "quantiles": quantiles, "width": 100 / len(rows)}


def _month(row: dict[str, Any]) -> dict[str, Any]:
    kg = {case: float(row.get(f"{infix or 'mean_'}kg", math.nan)) for case, infix in _CASES.items()}
    return {**kg, "name": _month_words(row["month"])}


def _month_words(month: str) -> str:
    year, _, number = month.partition("-")
    return f"{_MONTHS[int(number) - 1]} {year}"
