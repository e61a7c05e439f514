"""The tables of a release as buyers get them: nothing but its content, in kilograms, bags and containers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from api.columns import Docs
from geomap.errors import UnknownNameError
from geomap.outputs.units import container_bags, reader_unit
from geomap.supply.crops import conversion

Row = dict[str, Any]
Content = Mapping[str, Any]
EXPORTABLE: Final = "exportable-green"

_NUMBER: Final[Docs] = {
    "members": ("count", "How many members, to the next five below; '<10' where they are fewer"),
    "mean_kg": ("kg", "The rounded sum, right to half of base_kg; null where it is suppressed"),
    "low_kg": ("kg", "Low case: 1 of 10 seasons is below"),
    "high_kg": ("kg", "High case: 1 of 10 seasons is above"),
    "base_kg": ("kg", "What mean_kg was rounded to; null for months of one calendar for all"),
    "mean_bags": ("bags", "mean_kg in the bags of `unit`"),
    "status": ("", "shown, held (the number of an earlier release) or suppressed"),
}
_CASES: Final[Docs] = {
    "mean_kg": ("kg", "Mean; means add up"),
    "p10_kg": ("kg", "Low case: 1 of 10 seasons is below"),
    "p50_kg": ("kg", "Middle case: half of the seasons are below"),
    "p90_kg": ("kg", "High case: 1 of 10 seasons is above"),
}
_PART: Final[Docs] = {"value": ("", "Value of the attribute; (others) for those of few members"), **_NUMBER}
COLUMNS: Final[Mapping[str, Docs]] = {
    "totals": {
        "quantity": ("", "potential (what the land can bear) or supply (what can be expected)"),
        "case": ("", "mean; p10, p50, p90: 1, 5, 9 of 10 seasons are below"),
        "kg": ("kg", "Kilograms of the release's product form, signed by the cooperative; null without evidence"),
        "bags": ("bags", "The same in the bags of `unit`"),
        "containers": ("containers", "The same in containers of 20 feet"),
    },
    "months": {"month": ("YYYY-MM", "Month of harvest; of delivery for supply"), **_NUMBER},
    "cells": {
        "size_km": ("km", "Size of the map cell, on a grid fixed to the globe"),
        "rest": ("", "Whether finer cells inside it are told by themselves and left out of it"),
        **{side: ("degrees", f"Its {side}ern edge (EPSG:4326)") for side in ("west", "south", "east", "north")},
        **{name: _NUMBER[name] for name in ("members", "mean_kg", "base_kg", "mean_bags", "status")},
    },
    "past_seasons": {
        "season": ("", "Season that was predicted from those before it"),
        "predicted_kg": ("kg", "What was predicted; three digits that count, as all columns here"),
        "predicted_p10_kg": ("kg", "Low case of the prediction: 1 of 10 seasons is below"),
        "predicted_p90_kg": ("kg", "High case of the prediction: 1 of 10 seasons is above"),
        "delivered_kg": ("kg", "What members delivered"),
    },
    "shock_year": {
        "case": ("", "shock year (rust, frost, drought) or declared damage"),
        "chance": ("0–1", "Probability of such a season"),
        "factor_low": ("0–1", "Least share of the harvest that is left"),
        "factor_high": ("0–1", "Largest share of the harvest that is left"),
        **_CASES,
        "mean_bags": _NUMBER["mean_bags"],
    },
    "available": {
        "month": ("YYYY-MM", "All figures count from the season's start to the end of this month"),
        "supply_kg": ("kg", "Mean of what is ready to ship by then"),
        "supply_p10_kg": ("kg", "What 9 of 10 seasons exceed"),
        "local_and_seconds_kg": ("kg", "The part that is sold locally or is seconds"),
        "contracts_kg": ("kg", "Sold already: contracts due by then"),
        "available_kg": ("kg", "What can still be sold on the mean; what later contracts need is kept back"),
        "available_p10_kg": ("kg", "The same in the low case"),
        "contracts_covered_share": ("0–1", "Part of the contracts that the mean covers; null without any"),
        "available_bags": ("bags", "available_kg in the bags of `unit`"),
    },
    "accuracy": {
        "rule": ("", "model, or one of the naive rules"),
        "predictions": ("count", "Past seasons that were predicted from those before them"),
        "seasons": ("count", "Seasons they are of"),
        "bias": ("0–1", "(predicted − delivered) / delivered, of the sums"),
        "mape": ("0–1", "Mean of |predicted / delivered − 1|"),
        "coverage_80": ("0–1", "Share of the seasons inside the 80 % interval"),
        "coverage_95": ("0–1", "Share of the seasons inside the 95 % interval"),
    },
    "changes": {
        "table": ("", "totals, months, cells or by_ and an attribute"),
        "part": ("", "Quantity, month, cell or value"),
        "before_kg": ("kg", "As the release before shows it"),
        "now_kg": ("kg", "As this release shows it"),
        "change_kg": ("kg", "now_kg − before_kg; null where one of them shows no number"),
    },
}
"""Table → column → unit and meaning; tables of attributes (by_…) have the columns of `PART`."""
PART: Final = _PART
SHAPES: Final[Docs] = {
    "cell": ("", "Size in kilometres, western and southern edge"),
    **COLUMNS["cells"],
    "geometry": ("degrees", "The cell without finer ones that are told by themselves (EPSG:4326)"),
}
"""Columns of the cells where they are asked for as shapes."""
_CASES_OF: Final = {
    "": "mean",
    "p10_": "low case: 1 of 10 seasons is below; in a sum those of all at once, so rather too low",
    "p50_": "middle case; a sum has none",
    "p90_": "high case: 1 of 10 seasons is above; in a sum those of all at once, so rather too high",
}
PORTFOLIO: Final[Docs] = {
    "crop": ("", "Crop"),
    "form": ("", "Product form of all kilograms of the row"),
    "season": ("", "Season"),
    "id": ("", "The cooperative; all: the sum of those above it"),
    "date": ("date", "When it was signed; of a sum the latest"),
    **{
        f"{quantity}_{part}kg": ("kg", f"{quantity}, {meaning}")
        for quantity in ("potential", "supply")
        for part, meaning in _CASES_OF.items()
    },
}
"""Columns of a portfolio as one table."""


def table_names(content: Content) -> list[str]:
    """Names of the tables that a release has."""
    return ["totals", *(f"by_{name}" for name in content["by"]), *(name for name in COLUMNS if name != "totals")]


def portfolio_rows(groups: Sequence[Row]) -> list[Row]:
    """A portfolio as one table: for each crop, product form and season the signed totals, then their sum as "all"."""
    keys = ("crop", "form")
    return [
        {**{key: group[key] for key in keys}, **row}
        for group in groups
        for row in (*group["cooperatives"], group["sum"])
    ]


def columns_of(name: str) -> Docs:
    """Unit and meaning of the columns of a table."""
    return PART if name.startswith("by_") else COLUMNS[name]


def rows_of(content: Content, name: str, *, before: Content | None = None) -> list[Row]:
    """Rows of one table of a release; `before` is the content of the one that `changes` counts from.

    Raises
    ------
    KeyError : the release has no such table.
    """
    if name not in table_names(content):
        raise KeyError(name)
    unit = content["unit"]
    signed, by = content["signed"], {f"by_{attribute}": rows for attribute, rows in content["by"].items()}
    tables: Mapping[str, Callable[[], list[Row]]] = {
        "totals": lambda: _totals(content),
        "months": lambda: _counted(content["months"], unit),
        "cells": lambda: _counted(content["cells"], unit),
        "shock_year": lambda: _counted(signed["shock_year"] or [], unit),
        "available": lambda: _counted(signed["available"] or [], unit, of="available_kg", into="available_bags"),
        "accuracy": lambda: list((signed["accuracy"] or {}).get("scores", [])),
        "past_seasons": lambda: list((signed["accuracy"] or {}).get("seasons", [])),
        "changes": lambda: changes(before, content),
    }
    return tables[name]() if name in tables else _counted(by[name], unit)


def shapes_of(rows: Sequence[Row], cells: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows of map cells with their outlines (WKB); a rest without the finer cells in it, of which `cells` has all."""
    import shapely

    boxes = [shapely.box(*(cell[side] for side in ("west", "south", "east", "north"))) for cell in cells]
    found = []
    for row in rows:
        shape = shapely.box(row["west"], row["south"], row["east"], row["north"])
        finer = [box for box, cell in zip(boxes, cells, strict=True) if cell["size_km"] < row["size_km"]]
        if row["rest"]:
            inside = [box for box in finer if shape.contains(box.centroid)]
            shape = shapely.difference(shape, shapely.union_all(inside))
        name = f"{row['size_km']}:{row['west']:.4f}:{row['south']:.4f}"
        found.append({**row, "cell": name, "geometry": shapely.to_wkb(shape)})
    return found


def buyers_unit(crop: str, country: str, form: str, settings: Mapping[str, Any]) -> Row | None:
    """What buyers count in, for the content of a release; None where no weight is known."""
    told = {name: value for name, value in settings.items() if value not in (None, "")}
    unit = reader_unit(crop, country, form, told=told, reader="buyer")
    if unit is None:
        return None
    return {**unit._asdict(), "container_bags": container_bags(unit.size_kg) if crop.startswith("coffee") else None}


def exportable_form(crop: str, form: str, settings: Mapping[str, Any]) -> Row | None:
    """How kilograms of a form lead to exportable green coffee: form, factor, told, source, support; None: no coffee.

    Examples
    --------
    >>> exportable_form("coffee", "green", {})["factor"], exportable_form("cocoa", "dry", {})
    (0.90625, None)
    """
    own = (settings.get("outturn_from") or "parchment", settings.get("outturn_to") or "green")
    if settings.get("outturn") and own == (form, EXPORTABLE):
        factor, told = float(settings["outturn"]), {"told": True, "source": "", "support": "strong"}
        return {"form": EXPORTABLE, "factor": factor, **told}
    try:
        found = conversion(crop, form, EXPORTABLE)
    except UnknownNameError:
        return None
    told = {"told": False, "source": found.source, "support": found.support}
    return {"form": EXPORTABLE, "factor": found.factor, **told}


def changes(before: Content | None, content: Content) -> list[Row]:
    """What both releases show, beside each other; empty where there is none before."""
    if before is None:
        return []
    earlier, now = _numbers(before), _numbers(content)
    found = []
    for key in [*now, *(key for key in earlier if key not in now)]:
        pair = earlier.get(key), now.get(key)
        moved = None if None in pair else pair[1] - pair[0]  # type: ignore[operator]
        if pair != (None, None):
            numbers = dict(zip(("before_kg", "now_kg"), pair, strict=True))
            found.append({"table": key[0], "part": key[1], **numbers, "change_kg": moved})
    return found


def _numbers(content: Content) -> dict[tuple[str, str], float | None]:
    """Each number that a release shows, by table and part; parts of one quantity are not those of another."""
    of, totals = content["quantity"], content["totals"]
    found = {("totals", quantity): totals[f"{quantity}_kg"] for quantity in ("potential", "supply")}
    found |= {(f"months of {of}", row["month"]): row["mean_kg"] for row in content["months"]}
    for name, rows in content["by"].items():
        found |= {(f"by_{name} of {of}", row["value"]): row["mean_kg"] for row in rows}
    for row in content["cells"]:
        sides = [f"{row[side]:.6f}" for side in ("west", "south", "east", "north")]
        found[(f"cells of {of}", " ".join([*sides, *(["rest"] if row["rest"] else [])]))] = row["mean_kg"]
    return found


def _totals(content: Content) -> list[Row]:
    unit, totals = content["unit"], content["totals"]
    rows = []
    for quantity in ("potential", "supply"):
        for case, part in (("mean", ""), ("p10", "p10_"), ("p50", "p50_"), ("p90", "p90_")):
            kg = totals[f"{quantity}_{part}kg"]
            bags = _bags(kg, unit)
            each = None if unit is None else unit["container_bags"]
            containers = None if bags is None or not each else bags / each
            rows.append({"quantity": quantity, "case": case, "kg": kg, "bags": bags, "containers": containers})
    return rows


def _counted(
    rows: list[Row], unit: Mapping[str, Any] | None, *, of: str = "mean_kg", into: str = "mean_bags"
) -> list[Row]:
    """The rows with a column in bags."""
    return [{**row, into: _bags(row[of], unit)} for row in rows]


def _bags(kg: float | None, unit: Mapping[str, Any] | None) -> float | None:
    return None if kg is None or unit is None else kg / float(unit["kg"])
