"""Findings priced: what each one moves, in hectares and kilograms, and what that makes for each cooperative."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

UNCOVERED: Final = {"outside_raster": "outside_ha", "nodata": "nodata_ha"}
"""Findings on ground that the land cover does not show, and the column that holds its hectares."""
_OVERLAPS: Final = ("overlap", "overlap_own", "overlap_cooperatives", "duplicate_plot", "contained_plot")
_NOUNS: Final = {
    "overlap": ("overlap", "overlaps"),
    "overlap_own": ("overlap within a member", "overlaps within a member"),
    "overlap_cooperatives": ("overlap with another cooperative", "overlaps with other cooperatives"),
    "duplicate_plot": ("plot drawn twice", "plots drawn twice"),
    "contained_plot": ("plot inside another one", "plots inside other ones"),
    "declared_only": ("plot without an outline", "plots without an outline"),
    "outside_raster": ("plot outside the land cover", "plots outside the land cover"),
    "nodata": ("plot without land-cover data", "plots without land-cover data"),
    "repaired": ("repaired outline", "repaired outlines"),
}


def priced(findings: pd.DataFrame, plots: pd.DataFrame, cooperatives: pd.DataFrame) -> pd.DataFrame:
    """The findings with `effect_kg`: hectares moved × the plot's own kilograms per hectare.

    A plot that was left out has none of its own; the mean of all plots stands in. Ground that the land cover does not
    show counts by the rest of its plot: its hectares become the effect. Kilograms that a finding brings along (of
    deliveries, say) stay where it has no hectares.

    Parameters
    ----------
    findings : plot_id, effect_ha (NaN where a finding moves nothing); with code, uncovered ground is filled in.
    plots : index plot_id; counted_area_ha, potential_kg; nodata_ha and outside_ha for uncovered ground.
    cooperatives : area_ha, potential_kg, unmapped_kg.

    Examples
    --------
    >>> plots = pd.DataFrame({"counted_area_ha": [2.0], "potential_kg": [1000.0]}, index=["P1"])
    >>> coops = pd.DataFrame({"area_ha": [2.0], "potential_kg": [1000.0], "unmapped_kg": [0.0]})
    >>> found = pd.DataFrame({"plot_id": ["P1", "P2"], "effect_ha": [-0.5, -1.0]})
    >>> priced(found, plots, coops)["effect_kg"].tolist()
    [-250.0, -500.0]
    """
    area = cooperatives["area_ha"].sum()
    mean = (cooperatives["potential_kg"] - cooperatives["unmapped_kg"]).sum() / area if area else np.nan
    density = plots["potential_kg"] / plots["counted_area_ha"].where(plots["counted_area_ha"] > 0)
    hectares = _with_uncovered(findings, plots)
    own = density.reindex(findings["plot_id"]).fillna(mean).to_numpy()
    kilograms = hectares * own
    if "effect_kg" in findings:
        kilograms = np.where(np.isnan(hectares), findings["effect_kg"].to_numpy(dtype=float), kilograms)
    return findings.assign(effect_ha=hectares, effect_kg=kilograms)


def _with_uncovered(findings: pd.DataFrame, plots: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Hectares moved; for ground without land cover, the hectares that count by the rest of the plot."""
    hectares: npt.NDArray[np.float64] = findings["effect_ha"].to_numpy(dtype=float).copy()
    for code, column in UNCOVERED.items():
        if "code" in findings and column in plots:
            rows = (findings["code"] == code).to_numpy()
            hectares[rows] = plots[column].reindex(findings["plot_id"][rows]).to_numpy(dtype=float)
    return hectares


def by_cooperative(findings: pd.DataFrame, plots: pd.DataFrame, left_out: pd.DataFrame) -> pd.DataFrame:
    """Findings per cooperative and code, with the sums of their effects.

    Parameters
    ----------
    findings : plot_id, code, effect_ha, effect_kg.
    plots, left_out : index plot_id, column cooperative_id.

    Returns
    -------
    cooperative_id ("" for findings of no plot), code, findings (count), effect_ha and effect_kg (sums; NaN where no
    finding of the code has one), sorted.

    Examples
    --------
    >>> plots = pd.DataFrame({"cooperative_id": ["C", "C"]}, index=["P1", "P2"])
    >>> found = pd.DataFrame({"plot_id": ["P1", "P2"], "code": "overlap", "effect_ha": -0.5, "effect_kg": -300.0})
    >>> by_cooperative(found, plots, plots.iloc[:0]).to_dict("records")
    [{'cooperative_id': 'C', 'code': 'overlap', 'findings': 2, 'effect_ha': -1.0, 'effect_kg': -600.0}]
    """
    owner = pd.concat([plots["cooperative_id"], left_out["cooperative_id"]])
    owner = owner[~owner.index.duplicated()].reindex(findings["plot_id"]).fillna("").astype("str")
    table = findings.assign(cooperative_id=owner.to_numpy())
    groups = table.groupby(["cooperative_id", "code"], sort=True)
    sums = groups[["effect_ha", "effect_kg"]].sum(min_count=1)
    sums.insert(0, "findings", groups.size())
    return sums.reset_index()


def sentence(code: str, findings: int, effect_ha: float, effect_kg: float = np.nan, *, title: str = "") -> str:
    """What the findings of one code come to, in one line; `title` names codes that have no noun of their own.

    Examples
    --------
    >>> sentence("overlap", 3, -1.2, -640.0)
    '3 overlaps: 1.2 ha and 640 kg counted once'
    >>> sentence("declared_only", 1, 2.0)
    '1 plot without an outline: 2.0 ha count unverified'
    >>> sentence("invalid", 2, -1.4, -700.0, title="The outline crosses itself")
    'The outline crosses itself (2): 1.4 ha and 700 kg not counted'
    """
    one, many = _NOUNS.get(code, ("", ""))
    noun = f"{findings:,} {one if findings == 1 else many}" if one else f"{title or code} ({findings:,})"
    amounts = [
        f"{abs(value):,.{places}f} {unit}"
        for value, places, unit in ((effect_ha, 1, "ha"), (effect_kg, 0, "kg"))
        if np.isfinite(value) and round(abs(value), places) > 0
    ]
    if not amounts:
        return noun
    if code in _OVERLAPS:
        verb = "counted once"
    elif code in UNCOVERED or code == "declared_only":
        verb = "count unverified"
    else:
        verb = "not counted" if effect_ha < 0 else "counted in addition"
    return f"{noun}: {' and '.join(amounts)} {verb}"
