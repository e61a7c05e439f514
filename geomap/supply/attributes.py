"""What is told of a plot beside its outline: renovation, trees per hectare, damage; shade and variety leave it be."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap import reference
from geomap.findings import join_findings, make_findings
from geomap.plots.columns import could_be
from geomap.plots.quantities import Quantity
from geomap.plots.values import cell_text, read_numbers
from geomap.supply.crop_tables import CropTables
from geomap.supply.crops import Crop, usual_density

PLANT_NAMES: Final = ("renovation_year", "trees_ha", "shade", "damage_share")
"""Columns of plots that are told where they are known, beside those that every reader looks for."""

COLUMNS: Final = ["start_year", "density_factor", "damage_share"]
"""Columns of `plot_attributes`: the year from which age counts, two factors' inputs."""


def plot_attributes(
    plots: pd.DataFrame,
    *,
    crop: Crop,
    country: str,
    season_year: int | None = None,
    tables: CropTables | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the attributes of each plot make of its potential, and findings on what cannot be.

    - start_year: age counts from renovation or stumping where it is told, else from planting. A year that is still to
      come when the season ends counts as missing.
    - density_factor: trees per hectare ÷ the origin's usual density, held between .5 and 1.25; 1 where either is not
      known. Weak.
    - damage_share: declared share of the harvest that is lost (frost, rust, hail). It stands for the case of a shock
      year: who knows the damage need not fear the average one.

    Shade has the factor 1 (the literature is mixed by cultivar), a variety too, unless the user's own yields name it
    (see `base_terms`). The planted share is a column of every plot. What equals the default changes nothing.

    Parameters
    ----------
    plots : index plot_id; planted_year, and where they are known the columns `PLANT_NAMES`, under these names or a
        synonym, numbers or texts.
    crop, country : of the run; country as a two-letter code.
    season_year : year in which the season begins; without it no year can be too late.

    Returns
    -------
    DataFrame : index of `plots`; `COLUMNS`: year (NaN unknown), factor, share (0–1).
    DataFrame : findings "impossible_value", "unreadable_value".

    Examples
    --------
    >>> from geomap.supply.crops import crop
    >>> plots = pd.DataFrame({"planted_year": [1980.0], "renovation_year": [2020.0], "trees_ha": ["1000"],
    ...                       "damage_share": ["20 %"]}, index=["P"])
    >>> found, _ = plot_attributes(plots, crop=crop("cocoa"), country="GH", season_year=2026)
    >>> found.loc["P"].round(3).tolist()
    [2020.0, 0.9, 0.2]
    """
    findings: list[pd.DataFrame] = []
    told = {
        name: _column(plots, name, findings) for name in ("renovation_year", "trees_ha", "damage_share", "planted_year")
    }
    if season_year is not None:
        for name in ("planted_year", "renovation_year"):
            told[name] = _not_to_come(told[name], name, season_year, findings)
    planted, renewed = told["planted_year"], told["renovation_year"]
    early = renewed < planted
    findings.append(
        make_findings(
            "impossible_value",
            plots.index[early],
            [
                f"renovated in {r:.0f}, before it was planted in {p:.0f}; the planting year counts. Correct the years."
                for r, p in zip(renewed[early], planted[early], strict=True)
            ],
        )
    )
    found = pd.DataFrame(
        {
            "start_year": renewed.mask(early).fillna(planted),
            "density_factor": _density_factor(told["trees_ha"], crop, country, tables),
            "damage_share": told["damage_share"].fillna(0.0),
        },
        index=plots.index,
    )
    return found[COLUMNS], join_findings(findings)


def attribute_row(name: str) -> dict[str, Any]:
    """Bounds, default, question, source and support of an attribute, from the reference table.

    Examples
    --------
    >>> print(attribute_row("density_factor")["high"])
    1.25
    """
    return dict(reference.table("attributes").set_index("attribute").loc[name])


def _density_factor(
    trees_ha: "pd.Series[float]", crop: Crop, country: str, tables: CropTables | None
) -> "pd.Series[float]":
    row = attribute_row("density_factor")
    if crop.unit != "ha":
        return pd.Series(1.0, index=trees_ha.index)
    ratio = trees_ha / usual_density(crop.name, country, tables=tables)
    return ratio.clip(float(row["low"]), float(row["high"])).fillna(1.0)


def _column(plots: pd.DataFrame, name: str, findings: list[pd.DataFrame]) -> "pd.Series[float]":
    """Numbers of an attribute, NaN where missing or impossible, with findings."""
    column = _named(plots, name, findings)
    if column is None:
        return pd.Series(np.nan, index=plots.index)
    row = attribute_row(name)
    low, high = float(row["low"]), float(row["high"])
    units: Mapping[str, float] = {"%": 0.01} if name.endswith("_share") else {}
    given = plots[column]
    values = given.to_numpy() if given.dtype.kind in "iuf" else given.to_numpy(dtype=object).tolist()
    numbers, unread = read_numbers(values, Quantity(units, -np.inf, np.inf, ""))
    wrong = ~np.isnan(numbers) & ~((numbers >= low) & (numbers <= high))
    texts = [f"{name} holds {cell_text(values[place])[:60]!r}; {why}. {row['asks']}" for place, why in unread.items()]
    findings.append(make_findings("unreadable_value", plots.index[list(unread)], texts))
    texts = [
        f"{name} is {value:g}; it lies between {low:g} and {high:g}. {_percent(name, value)}{row['asks']}"
        for value in numbers[wrong]
    ]
    findings.append(make_findings("impossible_value", plots.index[wrong], texts))
    return pd.Series(np.where(wrong, np.nan, numbers), index=plots.index)


def _percent(name: str, value: float) -> str:
    return f"Was percent typed? Then write {value / 100:g}. " if name.endswith("_share") and 1 < value <= 100 else ""


def _named(plots: pd.DataFrame, name: str, findings: list[pd.DataFrame]) -> str | None:
    """The column of an attribute: by our name, else the one synonym."""
    if name in plots:
        return name
    same = [str(column) for column in plots.columns if could_be(str(column), (name,), vague=False)]
    if len(same) > 1:
        text = f"The columns {' and '.join(map(repr, same))} could both be {name}; neither was read. Rename one."
        findings.append(make_findings("unknown_column", [""], text))
    return same[0] if len(same) == 1 else None


def _not_to_come(
    years: "pd.Series[float]", name: str, season_year: int, findings: list[pd.DataFrame]
) -> "pd.Series[float]":
    late = years > season_year + 1
    texts = [
        f"{name} is {year:.0f}, after the season {season_year}/{(season_year + 1) % 100:02d}. It counts as missing: "
        f"the plot is taken to bear in full. {attribute_row(name)['asks']}"
        for year in years[late]
    ]
    findings.append(make_findings("impossible_value", years.index[late], texts))
    return years.mask(late)
