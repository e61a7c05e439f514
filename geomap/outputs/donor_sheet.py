"""What the donor's map says: cells of the buyers' map, rounded sums, land cover in the cells, sources and licence."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import shapely

from geomap.lookup import is_among
from geomap.outputs import map_words as words
from geomap.outputs import maps
from geomap.outputs.context import Context, land_cover
from geomap.outputs.pdf import drawable
from geomap.outputs.report import class_words
from geomap.outputs.sheet_places import bounds_of_boxes
from geomap.supply import disclosure

if TYPE_CHECKING:
    from geomap.run import Run

LAND: Final = "#f6f4ee"
_CELL_M: Final = 100.0
_MOST_CLASSES: Final = 9
_MOST_COOPERATIVES: Final = 8


@dataclass(frozen=True)
class Sheet:
    """All that the sheet shows: aggregates, and texts ready to be drawn."""

    title: str
    subtitle: str
    total: list[str]
    cells: pd.DataFrame
    shapes: Any
    land: Context | None
    classes: list[tuple[str, str]]
    land_title: str
    cooperatives: list[tuple[str, str]]
    notes: list[str]
    form: str
    country: str

    def boxes(self) -> list[list[float]]:
        """West, south, east, north of each cell in degrees."""
        found: list[list[float]] = self.cells[["west", "south", "east", "north"]].to_numpy(float).tolist()
        return found


def sheet_of(run: "Run") -> Sheet:
    cells = share_cells(run)
    boxes = [(one.west, one.south, one.east, one.north) for one in cells.itertuples()]
    squares = shapely.box(*np.array(boxes, dtype=float).reshape(-1, 4).T)
    land = land_cover(run.rasters, run.product, bounds_of_boxes(boxes), cell_m=_CELL_M, only=boxes) if boxes else None
    table = disclosure.cooperative_totals(run.cooperatives, run.members)
    total = disclosure.run_total(run.total.to_dict(), table, run.cooperatives, run.members)
    season = run.summary["parameters"].get("season")
    country = drawable(str(run.summary["parameters"]["country_name"]))
    return Sheet(
        title=drawable(f"Potential of {words.form(run)}: {country}"),
        subtitle=drawable(
            f"What the land of {len(table)} cooperative{'s' if len(table) != 1 else ''} can bear, "
            + (f"season {season}" if season else "mean of a year")
        ),
        total=_total_words(total),
        cells=cells,
        shapes=maps._without_inner(squares, cells["size_km"].to_numpy()),
        land=land,
        classes=[] if land is None else _classes(land),
        land_title=drawable(f"Land cover in the cells, {run.product.title}"),
        cooperatives=_cooperatives(table),
        notes=_notes(run),
        form=drawable(words.form(run)),
        country=str(run.summary["parameters"].get("country", "")),
    )


def share_cells(run: "Run") -> pd.DataFrame:
    """The cells of the buyers' map, exactly: two sets of cells of one run would give away what lies between them.

    Returns
    -------
    DataFrame : of `disclosure.cells`; size_km, rest, west, south, east, north (degrees), members, total, base (kg).
    """
    located, points = maps._located(run.plots)
    size, _ = maps._finest_grid(points)
    elsewhere = run.plots[~is_among(run.plots.index, located.index)]
    unmapped = run.members[run.members["members_mapped"] == 0]
    nowhere = np.full((len(elsewhere) + len(unmapped), 2), np.nan)
    return disclosure.cells(
        np.concatenate([points, nowhere]),
        pd.concat([located["member_id"], elsewhere["member_id"], unmapped["id"]]),
        pd.concat([located["potential_kg"], elsewhere["potential_kg"], unmapped["potential_kg"]]),
        finest_km=size,
    )


def _total_words(total: Mapping[str, Any]) -> list[str]:
    if not total["shown"]:
        return ["suppressed", "too few members to show a sum"]
    limits = f"8 of 10 seasons: {short_mass(total['potential_p10_kg'])} to {short_mass(total['potential_p90_kg'])}"
    return [short_mass(total["potential_kg"]), limits]


def short_mass(kilograms: float) -> str:
    """Kilograms for a sheet: tonnes from 10,000 kg.

    Examples
    --------
    >>> short_mass(412_345.0), short_mass(9_500.0), short_mass(float("nan"))
    ('412 t', '9,500 kg', 'not known')
    """
    if not math.isfinite(kilograms):
        return "not known"
    shown, unit = (kilograms / 1000, "t") if kilograms >= 10_000 else (kilograms, "kg")
    return f"{float(f'{shown:.3g}'):,.10g} {unit}"


def _classes(land: Context) -> list[tuple[str, str]]:
    """Colour and name of each class on the map, in the words of pages."""
    rows = [
        (str(row.color), drawable(class_words(int(code), str(row.name))))
        for code, row in zip(land.classes.index, land.classes.itertuples(index=False), strict=True)
    ]
    more = len(rows) - _MOST_CLASSES
    return rows if more <= 0 else [*rows[:_MOST_CLASSES], (LAND, f"and {more} more")]


def _cooperatives(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Name and sum of the cooperatives that may be shown, the largest first; how many are not."""
    shown = table[table["shown"].astype(bool)].sort_values(["potential_kg", "id"], ascending=[False, True])
    rows = [(drawable(words.name(row["id"])), short_mass(row["potential_kg"])) for row in shown.to_dict("records")]
    rest = len(rows) - _MOST_COOPERATIVES
    rows = rows if rest <= 0 else [*rows[:_MOST_COOPERATIVES], (f"and {rest} more", "")]
    hidden = len(table) - len(shown)
    return [*rows, (f"{hidden} with too few members", "suppressed")] if hidden else rows


def _notes(run: "Run") -> list[str]:
    version = str(run.summary.get("versions", {}).get("geomap", ""))
    notes = [
        "Potential is what the land can bear, not what will be delivered."
        + (" From country averages." if run.summary.get("evidence") == "country averages" else ""),
        "Circles stand for cells of at least 10 members, none of them too large; sums are rounded. Cells say nothing "
        "of single plots or members. Members are suppressed where they are too few.",
        "The land-cover map sees the tops of trees: coffee and cocoa under shade are tree cover.",
        f"Land cover: {words.credit(run)}. Borders: Natural Earth (public domain), as drawn there.",
        f"Made with geomap {version}. Web Mercator; the scale holds in the middle of the map.",
    ]
    return [drawable(note) for note in notes]
