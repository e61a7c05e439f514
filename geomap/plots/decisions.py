"""Decisions of people on plots: kept, left out, the same plot as another one; read back from findings.xlsx."""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geomap.errors import ColumnError
from geomap.findings import join_findings, make_findings
from geomap.plots.area import area_ha, require_lonlat
from geomap.plots.checks import has_declared_area

DECISIONS: Final = ("keep", "repaired", "leave_out", "same_plot", "share_stays", "walked_again")
"""keep: as it is · repaired: the repaired outline is accepted · leave_out · same_plot: the same as the other plot of
the finding, which stays · share_stays: several members share it · walked_again: the old outline counts until then."""
COLUMNS: Final = ("plot_id", "other_plot_id", "code", "decision")
_WORDS: Final = {
    "keep": "kept as it is",
    "repaired": "the repaired outline is accepted",
    "share_stays": "the members share it",
    "walked_again": "to be walked again; the old outline counts until then",
}


def apply_decisions(plots: gpd.GeoDataFrame, decisions: pd.DataFrame) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Plots after what people decided, before they are checked, and findings that say what was decided.

    "leave_out" takes the plot out. "same_plot" takes out one of the two: `other_plot_id` stays, unless it was left out
    itself, then the plot stays. All other decisions change nothing and are noted. The order of decisions does not
    matter.

    Parameters
    ----------
    plots : index plot_id, EPSG:4326; column declared_area_ha.
    decisions : plot_id, other_plot_id ("" where there is none), code, decision (one of `DECISIONS`). Rows with no
        decision are passed over. Plots that are not in the file any more are told.

    Raises
    ------
    ColumnError : a column is missing, or a decision is not known.
    """
    require_lonlat(plots)
    _require_known(decisions)
    made = decisions[decisions["decision"] != ""].drop_duplicates()
    made = made.sort_values([*COLUMNS], kind="stable")
    here = made["plot_id"].isin(plots.index)
    out = _left_out(made[here], plots.index)
    gone = plots.loc[plots.index.isin(out)]
    drawn = np.nan_to_num(area_ha(gone.geometry).to_numpy())
    lost = np.where(has_declared_area(gone), gone["declared_area_ha"].to_numpy(dtype=float), drawn)
    rest = made[here & ~made["plot_id"].isin(out)].drop_duplicates(["plot_id", "decision"])
    noted = [f"A person decided: {_WORDS.get(decision, 'the other plot goes')}." for decision in rest["decision"]]
    missing = made.loc[~here, "plot_id"].drop_duplicates()
    words = [f"A decision names plot {plot!r}, which is not in the file; nothing was done." for plot in missing]
    found = [
        make_findings("decided", gone.index, [out[plot] for plot in gone.index], effect_ha=-lost, action="left_out"),
        make_findings("decided", rest["plot_id"], noted),
        make_findings("decided", [""] * len(words), words),
    ]
    return plots[~plots.index.isin(out)], join_findings(found)


def _left_out(decisions: pd.DataFrame, known: pd.Index) -> dict[str, str]:
    """Plots to take out, and the words that say why."""
    chosen = decisions[decisions["decision"] == "leave_out"]["plot_id"]
    out = dict.fromkeys(chosen, "A person decided: left out.")
    same = decisions[decisions["decision"] == "same_plot"]
    for plot, other in zip(same["plot_id"], same["other_plot_id"], strict=True):
        if other in known and other != plot and other not in out and plot not in out:
            out[plot] = f"A person decided: the same plot as {other}, which stays."
    return out


def _require_known(decisions: pd.DataFrame) -> None:
    absent = [column for column in COLUMNS if column not in decisions]
    if absent:
        raise ColumnError(
            f"The decisions have no column {', '.join(map(repr, absent))}.",
            why="Without them nobody knows which plot a decision is about.",
            todo="Use the findings.xlsx that `geomap check --out` wrote, and fill in its decision column.",
        )
    strange = sorted(set(decisions["decision"]) - {"", *DECISIONS})
    if strange:
        raise ColumnError(
            f"The decision {strange[0]!r} is not known.",
            why="A decision that is misread could leave out a plot.",
            todo=f"Use one of: {', '.join(DECISIONS)}.",
        )
