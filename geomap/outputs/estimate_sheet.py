"""The words and numbers of a harvest estimate in one language and one reader's units: what both HTML and PDF show."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pandas as pd

from geomap.errors import UnknownNameError
from geomap.outputs.estimate_pen import GAP, CountedIn, Pen, country_words
from geomap.outputs.figures import Figure, months_figure
from geomap.outputs.harvest_estimate import EstimateDocument
from geomap.outputs.text import plain
from geomap.supply import crops

NAME_LIMIT: Final = 200
_CELL_LIMIT: Final = 32
_ROWS: Final = 5
"""Rows of a table that is read on paper; the rest is summed or counted in one more."""


class Table(NamedTuple):
    """Head and rows of texts; all columns after the first hold numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Case(NamedTuple):
    """One of the four cases: its name, the amount in the reader's unit, its unit, kilograms, and what it means."""

    name: str
    value: str
    unit: str
    beside: str
    says: str


@dataclass(frozen=True)
class Block:
    """A heading with what stands under it; `missing` says why there is nothing."""

    heading: str
    lines: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    table: Table | None = None
    figure: Figure | None = None
    signatures: tuple[str, ...] = ()
    missing: bool = False


@dataclass(frozen=True)
class Sheet:
    """Two pages of blocks, and what stands above and below them. All texts are as they may be shown."""

    language: str
    title: str
    cooperative: str
    subtitle: str
    lead: str
    note: str
    pages: tuple[tuple[Block, ...], tuple[Block, ...]]
    feet: tuple[str, str]
    run: str


def estimate_sheet(document: EstimateDocument, *, language: str = "en", reader: str = "office") -> Sheet:
    """The estimate in words: two pages of blocks, each block there or a line that says what is missing.

    Raises
    ------
    UnknownNameError : there is no such language or reader.
    """
    if reader not in ("office", "buyer"):
        raise UnknownNameError(
            f"There is no reader '{reader}'.",
            why="An office reads quintals, a buyer bags.",
            todo="Use office or buyer.",
        )
    pen = Pen(document, language, reader)
    first = (_cases(pen), _exportable(pen), _mapped(pen), _certified(pen), _last_season(pen))
    second = (_months(pen), _contracts(pen), _rests(pen), _signatures(pen))
    head = {"form": pen.form(document.form), "country": country_words(document.country, language)}
    season = document.season
    return Sheet(
        language=language,
        title=pen.say("title"),
        cooperative=plain(document.cooperative, limit=NAME_LIMIT),
        subtitle=_upper(
            pen.say("for", season=plain(season, limit=20), **head) if season else pen.say("for_any", **head)
        ),
        lead=_lead(pen),
        note=_note(pen),
        pages=(first, second),
        feet=(pen.say("page_of", page=1), pen.say("page_of", page=2)),
        run=pen.say("run", run=document.run_id) if document.run_id else pen.say("no_run"),
    )


def _hives(document: EstimateDocument) -> bool:
    return crops.crop(document.crop).unit == "hive"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lead(pen: Pen) -> str:
    document = pen.document
    hives = document.quantity == "potential" and _hives(document)
    key = "supply" if document.quantity == "supply" else "hives" if hives else "potential"
    return pen.say(key, amount=pen.amount(document.cases.mean))


def _note(pen: Pen) -> str:
    document = pen.document
    if document.quantity == "potential":
        return pen.say("not_supply")
    kg = document.potential_kg
    if kg is None or not math.isfinite(kg):
        return ""
    key = "more" if kg < document.cases.mean else "of_which_hives" if _hives(document) else "of_which"
    return pen.say(key, amount=pen.amount(kg))


def _cases(pen: Pen) -> Block:
    document, unit = pen.document, pen.unit
    numbers = {"bad": (document.cases.p10,), "middle": (document.cases.p50,), "good": (document.cases.p90,)}
    if document.shock_kg is not None:
        numbers["shock"] = document.shock_kg  # type: ignore[assignment]

    def span(write: Callable[[float], str], values: Sequence[float]) -> str:
        return " – ".join(write(value) for value in values)

    cases = []
    for key, kgs in numbers.items():
        counted = [kg / (unit.kg if unit else 1.0) for kg in kgs]
        name = f"{unit.name}" if unit else pen.say("kg")
        beside = [f"{span(pen.number, kgs)}{GAP}kg"] if unit else []
        if unit and unit.container_bags:
            held = [one / unit.container_bags for one in counted]
            beside.append(f"{span(pen.number, held)}{GAP}{pen.container}")
        shown = span(pen.number, counted)
        cases.append(Case(pen.say(key), shown, name, " · ".join(beside), pen.say(f"{key}_says")))
    form = unit.form if unit else document.form
    return Block(f"{pen.say('cases')} · {pen.form(form)}", cases=tuple(cases))


def _exportable(pen: Pen) -> Block:
    document, heading = pen.document, pen.say("export")
    if document.exportable is None:
        return Block(heading, (pen.say("no_export"),), missing=True)
    form = document.exportable_form or document.form
    mean, p10, _, p90 = document.exportable
    line = pen.say("export_says", amount=pen.amount(mean, form), low=pen.kg(p10), high=pen.kg(p90))
    return Block(heading, (line,))


def _mapped(pen: Pen) -> Block:
    document = pen.document
    counts = {"mapped": f"{document.members_mapped}", "members": f"{document.members}"}
    counts["share"] = pen.percent(document.members_mapped / document.members if document.members else 0.0)
    if document.area_ha is None:
        lines = [pen.say("mapped_hives", **counts)]
    else:
        lines = [pen.say("mapped_says", area=pen.number(document.area_ha), **counts)]
    if document.unmapped_share:
        lines.append(pen.say("unmapped_says", share=pen.percent(document.unmapped_share)))
    return Block(pen.say("mapped"), (" ".join(lines),))


def _certified(pen: Pen) -> Block:
    table, heading = pen.document.certifications, pen.say("certified")
    if table is None or table.empty:
        return Block(heading, (pen.say("no_certified"),), missing=True)
    ordered = table.sort_values(["mean_kg", "certification"], ascending=[False, True])
    counted = "members" in table
    rows = [
        (
            _name(row["certification"]) or pen.say("uncertified"),
            *((f"{row['members']:.0f}",) if counted else ()),
            *(pen.short(row[name]) for name in ("mean_kg", "p10_kg", "p90_kg")),
        )
        for row in ordered.head(_ROWS).to_dict("records")
    ]
    head = ("certification", *(("members",) if counted else ()), "mean", "bad", "good")
    if len(ordered) > _ROWS:
        rows.append((pen.say("others", count=len(ordered) - _ROWS), *[""] * (len(head) - 1)))
    return Block(
        heading, (" ".join((*_in_units(pen), pen.say("twice"))),), table=Table(tuple(map(pen.say, head)), tuple(rows))
    )


def _contracts(pen: Pen) -> Block:
    table, heading = pen.document.contracts, pen.say("contracts")
    if table is None or table.empty:
        return Block(heading, (pen.say("no_contracts"),), missing=True)
    ordered = table.sort_values(["month", "certification", "kg"])
    rows = [
        (_name(row["certification"]) or pen.say("any"), pen.month(row["month"]) if row["month"] else "–",
         pen.short(row["kg"]), pen.percent(row["covered"]) if pd.notna(row["covered"]) else "–")
        for row in ordered.head(_ROWS).to_dict("records")
    ]  # fmt: skip
    rest = ordered.iloc[_ROWS:]
    if len(rest):
        rows.append((pen.say("others", count=len(rest)), "", pen.short(float(rest["kg"].sum())), ""))
    head = tuple(pen.say(key) for key in ("certification", "contract_month", "quantity", "covered"))
    return Block(heading, _in_units(pen), table=Table(head, tuple(rows)))


def _months(pen: Pen) -> Block:
    table, heading = pen.document.months, pen.say("by_month")
    if table is None or table.empty or not table["mean_kg"].max() > 0:
        return Block(heading, (pen.say("no_months"),), missing=True)
    best = table.sort_values(["mean_kg", "month"], ascending=[False, True]).iloc[0]
    line = pen.say("months_says", month=_upper(pen.month(best["month"])), amount=pen.amount(float(best["mean_kg"])))
    unit = pen.unit or CountedIn(1.0, pen.say("kg"), pen.document.form)
    counted = pen.say("of", units=unit.name, form=pen.form(unit.form))
    figure = months_figure(
        table, names=pen.say("month_names").split(), unit=counted, scale=unit.kg, title=heading, height=165.0
    )
    return Block(heading, (line,), figure=figure)


def _last_season(pen: Pen) -> Block:
    last, heading = pen.document.last_season, pen.say("last")
    if last is None:
        return Block(heading, (pen.say("no_last"),), missing=True)
    change = last.came / last.mean - 1 if last.mean > 0 else math.nan
    sign = "+" if change > 0 else "−" if change < 0 else ""
    line = pen.say(
        "last_says",
        season=plain(last.season, limit=20),
        amount=pen.amount(last.mean),
        low=pen.short(last.p10),
        high=pen.short(last.p90),
        came=pen.short(last.came),
        change=f"{sign}{pen.percent(abs(change))}" if math.isfinite(change) else "–",
    )
    inside = last.p10 <= last.came <= last.p90
    return Block(heading, (line, pen.say("last_inside" if inside else "last_outside")))


def _rests(pen: Pen) -> Block:
    document = pen.document
    if _hives(document):
        method = pen.say("method_hives")
    else:
        method = pen.say("method", product=plain(document.product_title, limit=60) or "–")
    told = document.evidence if f"est:{document.evidence}" in pen.texts.words else "country averages"
    return Block(pen.say("rests"), (pen.say(told, seasons=document.seasons), method, pen.say("rounded")))


def _signatures(pen: Pen) -> Block:
    return Block(pen.say("signatures"), (pen.say("privacy"),), signatures=(pen.say("sign_us"), pen.say("sign_them")))


def _in_units(pen: Pen) -> tuple[str, ...]:
    if pen.unit is None:
        return ()
    return (pen.say("in_units", units=pen.unit.name, form=pen.form(pen.unit.form)),)


def _name(value: Any) -> str:
    return plain(value, limit=_CELL_LIMIT)
