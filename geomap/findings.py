"""Findings: what a check says of a plot, a member or a file; every stage makes some."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import numpy as np
import pandas as pd

Severity = Literal["block", "warn", "note"]
Action = Literal["kept", "repaired", "split", "left_out"]

COLUMNS: Final = ["plot_id", "code", "severity", "message", "effect_ha", "effect_kg", "action"]

CODES: Final[Mapping[str, tuple[Severity, str]]] = {
    "out_of_range": ("block", "Coordinates outside ±180 / ±90 degrees, or not a number"),
    "in_metres": ("block", "The coordinates are metres, not degrees"),
    "null_island": ("block", "A corner lies at 0, 0: there was no GPS fix"),
    "axes_swapped": ("block", "Latitude and longitude are exchanged"),
    "wrong_hemisphere": ("block", "A coordinate has the wrong sign"),
    "outside_country": ("warn", "The plot lies outside the country by more than 5 km"),
    "in_the_sea": ("warn", "The plot lies in the sea, more than 5 km from land"),
    "few_decimals": ("note", "The coordinates have fewer than five decimals"),
    "on_a_grid": ("note", "The corners lie on a regular grid"),
    "empty": ("block", "No geometry and no declared area"),
    "invalid": ("block", "The outline crosses itself or does not close"),
    "hole_outside": ("block", "A hole lies outside the outline"),
    "too_few_points": ("block", "The outline has fewer than three different corners"),
    "repeated_corners": ("note", "The same corner stands several times in a row"),
    "spike": ("warn", "The outline has a spike where the GPS jumped"),
    "sliver": ("warn", "The outline is a thin strip"),
    "repaired": ("note", "The outline was repaired; its area changed by less than 1 %"),
    "repeated_id": ("warn", "Several rows carry the same plot id"),
    "overlap": ("warn", "Two members claim the same ground; it is shared between them"),
    "overlap_own": ("warn", "One member drew the same ground twice; it counts once"),
    "overlap_cooperatives": ("warn", "Two cooperatives claim the same ground; it is shared between them"),
    "duplicate_plot": ("warn", "Two plots are the same ground; it counts once"),
    "contained_plot": ("warn", "The plot lies inside another plot; its ground counts once"),
    "outside_raster": ("warn", "The land-cover raster does not cover the plot"),
    "nodata": ("warn", "The land-cover raster has no data on the plot"),
    "unknown_class": ("warn", "The raster holds class codes that the product's legend does not know"),
    "too_small_to_judge": ("note", "The plot is too small to judge at this raster's cell size"),
    "encoding": ("note", "The text of the file is not UTF-8; some letters may be wrong"),
    "unreadable_value": ("warn", "A value could not be read and counts as missing"),
    "member_without_plot": ("note", "The member has no usable plot; the declared area or a mean stands in"),
    "plot_without_member": ("note", "No member in the members file owns this plot"),
    "member_left": ("warn", "The plot's member left, is suspended, or joins after this season"),
    "other_crop": ("note", "The plot is declared for another crop"),
    "declared_only": ("note", "Only a declared area is known; it is unverified"),
    "polygon_needed": ("warn", "A point stands for more than 4 ha; an outline is needed"),
    "area_differs": ("note", "Declared and mapped area differ by more than a factor of two"),
    "area_ratio": ("note", "Declared and mapped areas of the whole file differ"),
    "too_large": ("block", "The plot is too large to be one plot"),
    "too_many_vertices": ("block", "The outline has too many corners"),
    "no_area": ("block", "The outline encloses no area"),
    "decided": ("note", "A person decided what happens to the plot"),
    "broken_row": ("block", "The row has more cells than the header and cannot be read"),
    "row_put_together": ("note", "The row had more cells than the header and was put together again"),
    "totals_row": ("note", "Rows that hold sums of others were left out"),
    "example_row": ("note", "Rows that a template marks as examples were left out"),
    "merged_cells": ("warn", "A number stands in a cell that is merged over several rows"),
    "sheets_joined": ("note", "Several sheets of the workbook were read as one table, or left out as copies"),
    "crs_given": ("note", "The file was read in the coordinate system that was given, not in its own"),
    "utm_zone": ("note", "Coordinates in metres were read in the UTM zones that a column names"),
    "lookalike_name": ("warn", "Names or ids look alike but are written with different letters"),
    "date_order": ("note", "Dates were read with the day before the month"),
    "shares_do_not_add_up": ("warn", "The members' shares of a plot do not add up to 1; they were scaled"),
    "share_without_plot": ("warn", "The table of shares names a plot that is not in the plots file"),
    "negative_kg": ("warn", "A quantity is below zero"),
    "product_form_unknown": ("warn", "A quantity does not say of which product form it is"),
    "product_forms_mixed": ("note", "One column holds quantities of several product forms"),
    "unit_unknown": ("warn", "A quantity is in a unit whose kilograms nobody told"),
    "no_season": ("warn", "A row names no season, or one that does not exist"),
    "no_month": ("warn", "A contract names no month that can be read"),
    "date_outside_season": ("warn", "A date lies outside the season that the row names"),
    "repeated_delivery": ("warn", "The same delivery stands in the file twice"),
    "delivered_nothing": ("warn", "All deliveries of a season are zero"),
    "other_cooperative": ("warn", "A file that one cooperative sent names another one; those rows were left out"),
    "unknown_cooperative": ("warn", "A file names a cooperative that this run does not know"),
    "not_a_member": ("warn", "Deliveries name people who are not in the members file"),
    "not_a_member_then": ("warn", "Deliveries are of members who were not members in that season"),
    "impossible_delivery": ("warn", "More was delivered than four times what the plots can bear"),
    "delivery_without_potential": ("warn", "Deliveries stand beside no land, and nothing is learned from them"),
    "delivery_sums_differ": ("warn", "A cooperative's own sum is not that of its members"),
    "container_assumed": ("note", "A container or a bag was taken to have its usual weight"),
    "impossible_value": ("warn", "A value cannot be and counts as missing"),
    "unlikely_value": ("warn", "A value is far from what is usual; it was used"),
    "unknown_column": ("note", "A column of the table is not known and was not read"),
    "more_than_expected": ("warn", "Deliveries are far above what the plots can explain"),
    "less_than_expected": ("note", "Deliveries are far below what is expected"),
    "yield_beyond_base": ("warn", "The plot is told to bear more than four times the base yield of its origin"),
    "base_cannot_be": ("warn", "The cooperative's own base yield is four times above or below all comparisons"),
    "samples_agree": ("note", "All reference points of a stratum agree"),
    "stratum_without_sample": ("warn", "A land-cover class has no reference point, or too few"),
    "points_not_visited": ("note", "Points of the land-cover sample have no answer"),
}
"""Stable codes: severity and title. A message says the case; the code never changes its meaning."""


def make_findings(
    code: str,
    plot_ids: Iterable[str],
    messages: str | Iterable[str],
    *,
    effect_ha: float | Iterable[float] = np.nan,
    action: Action = "kept",
    severity: Severity | None = None,
) -> pd.DataFrame:
    """Findings of one code, one row per plot id.

    `effect_ha` is as treated minus as declared, in hectares; NaN where it has none. `effect_kg` is filled once a crop
    is known.

    Examples
    --------
    >>> make_findings("empty", ["P1"], "no outline", action="left_out").loc[0, ["plot_id", "severity"]].tolist()
    ['P1', 'block']
    """
    ids = [str(plot_id) for plot_id in plot_ids]
    texts = [messages] * len(ids) if isinstance(messages, str) else list(messages)
    effects = [effect_ha] * len(ids) if isinstance(effect_ha, int | float) else list(effect_ha)
    return pd.DataFrame(
        {
            "plot_id": pd.Series(ids, dtype="str"),
            "code": pd.Series([code] * len(ids), dtype="str"),
            "severity": pd.Series([severity or CODES[code][0]] * len(ids), dtype="str"),
            "message": pd.Series(texts, dtype="str"),
            "effect_ha": np.array(effects, dtype=float),
            "effect_kg": np.full(len(ids), np.nan),
            "action": pd.Series([action] * len(ids), dtype="str"),
        },
        columns=COLUMNS,
    )


def join_findings(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All findings in one table, blocking ones first, then by plot, code and message: no order of input shows."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return make_findings("empty", [], [])
    table = pd.concat(filled, ignore_index=True)
    if _is_in_order(table):
        return table
    rank = table["severity"].map({"block": 0, "warn": 1, "note": 2})
    order = table.assign(_rank=rank).sort_values(["_rank", "plot_id", "code", "message"], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _is_in_order(table: pd.DataFrame) -> bool:
    """Whether all are equally grave, of one plot each, and the plots in order: then there is nothing to sort."""
    severity, ids = table["severity"], table["plot_id"].to_numpy(dtype=object)
    return bool((severity == severity.iloc[0]).all() and (ids[1:] > ids[:-1]).all())
