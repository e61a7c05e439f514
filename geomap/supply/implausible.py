"""Yields that cannot be: of a plot beside its origin's base, of a base beside the table and the neighbours."""

from typing import Final

import pandas as pd

from geomap.findings import join_findings, make_findings

BEYOND: Final = 4.0
"""A plot's yield so many times the base, or a base so many times above or below all it is known by, is flagged."""


def check_plot_yields(kg_ha: "pd.Series[float]", base_kg_ha: "pd.Series[float] | float") -> pd.DataFrame:
    """Findings "yield_beyond_base": plots that are told to bear more than four times their origin's base yield.

    Parameters
    ----------
    kg_ha : index plot_id; kilograms per hectare of the product form, from a field estimate or deliveries.
    base_kg_ha : of the same form; one for all or by plot_id.

    Examples
    --------
    >>> check_plot_yields(pd.Series({"P1": 2900.0, "P2": 1500.0}), 700.0)["message"].tolist()
    ['2,900 kg per hectare is 4.1 times the base yield of 700. Check area, unit and product form first.']
    """
    usual = base_kg_ha.reindex(kg_ha.index) if isinstance(base_kg_ha, pd.Series) else pd.Series(base_kg_ha, kg_ha.index)
    times = kg_ha / usual
    beyond = times[times > BEYOND].sort_index(kind="stable")
    told = [
        f"{kg_ha[plot]:,.0f} kg per hectare is {ratio:.1f} times the base yield of {usual[plot]:,.0f}. "
        "Check area, unit and product form first."
        for plot, ratio in beyond.items()
    ]
    return make_findings("yield_beyond_base", [str(plot) for plot in beyond.index], told)


def check_base_yields(told: "pd.Series[float]", usual: "pd.Series[float] | float") -> pd.DataFrame:
    """Findings "base_cannot_be": a cooperative's own base yield, four times above or below all that it is known by.

    Known by: the origin's figure in the table, and the median of what the others tell where these are two or more. A
    base is flagged only where it is far from both.

    Parameters
    ----------
    told : index cooperative_id; kg per hectare (or hive), all of one form and basis; NaN where nothing is told.
    usual : the origin's base yield in the same form and basis; one for all or by cooperative_id.

    Examples
    --------
    >>> check_base_yields(pd.Series({"A": 2772.0, "B": 400.0, "C": 380.0}), 493.0)["message"].tolist()
    ['A tells a base yield of 2,772 kg; the usual is 493 kg and the others tell about 390 kg. Check unit and form.']
    """
    given = told.dropna().sort_index(kind="stable")
    parts = []
    for coop, value in given.items():
        table = float(usual[coop]) if isinstance(usual, pd.Series) else float(usual)
        others = given.drop(coop)
        known = [table] + ([float(others.median())] if len(others) > 1 else [])
        if value > BEYOND * max(known) or value < min(known) / BEYOND:
            beside = f" and the others tell about {known[1]:,.0f} kg" if len(known) > 1 else ""
            words = f"{coop} tells a base yield of {value:,.0f} kg; the usual is {table:,.0f} kg{beside}."
            parts.append(make_findings("base_cannot_be", [""], f"{words} Check unit and form."))
    return join_findings(parts)
