"""Items of a run, made again from the tables it left: means as they are, errors split into what is shared and what not.

A run's tables hold the mean and the median of each plot and of each member without a plot. For the log-normal, median =
mean / √(1 + cv²), so the whole relative variance of each item is known exactly:

    1 + cv² = (mean / median)²

How much of it is the item's own is known from the method (`error_sources`): how plots differ, the error of the area,
planted share and age where they play a part, ground without data; and the member's season. The rest is shared: by
origin, cooperative and map. Which of these share it cannot be told from the tables, so it counts as shared by all. That
is exact for one cooperative but for the map's patches, and cautious for several: sums come out rather too wide.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.supply.crops import error_cv
from geomap.supply.items import Items

Floats = npt.NDArray[np.float64]
_ITEM: Final = {"origin": "all", "region": "all", "form_pair": "all", "season": ""}
_HALF: Final = 0.5
STEP: Final = 0.005
"""Steps in which the shared error is told: plots that share one number are summed at once, and not pair by pair."""


def written_items(plots: pd.DataFrame, members: pd.DataFrame | None = None) -> Items:
    """Items of a run's plots and of its members without a plot.

    Parameters
    ----------
    plots : index plot_id; member_id, cooperative_id, kind, potential_kg, potential_p50_kg, and what of area_ha,
        area_sd_ha, nodata_ha, outside_ha, p, g the run has.
    members : index member_id, those without a plot alone; cooperative_id, potential_kg, potential_p50_kg.

    Returns
    -------
    Items : index plot_id and "member:<id>"; sources base_yield (all that is shared), plot and member_season; kg.

    Examples
    --------
    Median 80 and mean 100: 1 + cv² = 1.5625. Own are 1.2704 (.52), of the member's season 1.09, so 1.1284 is shared:
    a cv of .3583, which steps of .005 make .355; the plot keeps the rest.

    >>> plots = pd.DataFrame({"member_id": ["M"], "cooperative_id": ["C"], "kind": ["measured"], "area_ha": [1.0],
    ...     "area_sd_ha": [0.0], "potential_kg": [100.0], "potential_p50_kg": [80.0]}, index=["P"])
    >>> written_items(plots).cv["base_yield"].round(4).tolist()
    [0.355]
    """
    parts = [_parts(plots, own_errors(plots), plots["member_id"].astype("str"))]
    if members is not None and len(members):
        guessed = pd.Series((1 + error_cv("plot") ** 2) * (1 + error_cv("area") ** 2) - 1, index=members.index)
        people = members.set_axis(pd.Index("member:" + members.index.astype("str"), dtype="str"))
        parts.append(_parts(people, guessed.set_axis(people.index), members.index.astype("str")))
    table = pd.concat([part[0] for part in parts])
    return Items(table, pd.concat([part[1] for part in parts]), pd.DataFrame(index=table.index), pd.Series(dtype=float))


def own_errors(plots: pd.DataFrame) -> "pd.Series[float]":
    """Relative variance that is each plot's own: how plots differ, area, planted share, age, ground without data."""
    bearing = (_column(plots, "p", 1.0) < 1) | (_column(plots, "g", 1.0) < 1)
    bare = _column(plots, "nodata_ha", 0.0) + _column(plots, "outside_ha", 0.0)
    uncovered = bare > _HALF * _column(plots, "area_ha", np.inf)
    own = (1 + error_cv("plot") ** 2) * (1 + area_errors(plots))
    for source, applies in (("planted", bearing), ("age", bearing), ("uncovered", uncovered)):
        own = own * (1 + error_cv(source) ** 2 * applies)
    return own - 1


def area_errors(plots: pd.DataFrame) -> "pd.Series[float]":
    """Relative variance of each plot's area: of GPS where it was measured, else of what people declare."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gps = (_column(plots, "area_sd_ha", 0.0) / _column(plots, "area_ha", 1.0)) ** 2
    measured = plots["kind"].to_numpy(dtype=object) == "measured"
    declared = (1 + error_cv("area") ** 2) * (1 + error_cv("declared_bias") ** 2) - 1
    return pd.Series(np.where(measured, gps.replace(np.inf, 0.0).fillna(0.0), declared), index=plots.index)


def _column(table: pd.DataFrame, name: str, missing: float) -> "pd.Series[float]":
    if name not in table:
        return pd.Series(missing, index=table.index)
    return pd.to_numeric(table[name], errors="coerce").astype(float).fillna(missing)


def _parts(rows: pd.DataFrame, own: "pd.Series[float]", owner: "pd.Series[str] | pd.Index") -> tuple[pd.DataFrame, ...]:
    """Table and errors of rows of one kind."""
    mean = _column(rows, "potential_kg", 0.0).to_numpy()
    median = _column(rows, "potential_p50_kg", 0.0).to_numpy()
    whole = np.where((mean > 0) & (median > 0), (mean / np.where(median > 0, median, 1.0)) ** 2, 1.0)
    whole = np.fmax(whole, 1.0)
    season = np.fmin(1 + error_cv("member_season") ** 2, whole)
    alone = np.fmin(1 + own.to_numpy(float), whole / season)
    shared = np.floor(np.sqrt(np.fmax(whole / season / alone - 1, 0.0)) / STEP) * STEP
    cv = {
        "base_yield": shared,
        "plot": np.sqrt(np.fmax(whole / season / (1 + shared**2) - 1, 0.0)),
        "member_season": np.sqrt(season - 1),
    }
    owners = pd.Series(np.asarray(owner, dtype=object), index=rows.index, dtype="str")
    given = {"member_id": owners, "cooperative_id": rows["cooperative_id"].astype("str"), "mean_kg": mean}
    return pd.DataFrame(given | _ITEM, index=rows.index), pd.DataFrame(cv, index=rows.index)
