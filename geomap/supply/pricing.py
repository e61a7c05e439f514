"""Findings priced: what each one moves, in hectares and kilograms."""

import numpy as np
import pandas as pd


def priced(findings: pd.DataFrame, plots: pd.DataFrame, cooperatives: pd.DataFrame) -> pd.DataFrame:
    """The findings with `effect_kg`: hectares moved × the plot's own kilograms per hectare.

    A plot that was left out has none of its own; the mean of all plots stands in.

    Parameters
    ----------
    findings : plot_id, effect_ha (NaN where a finding moves nothing).
    plots : index plot_id; counted_area_ha, potential_kg.
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
    own = (plots["potential_kg"] / plots["counted_area_ha"].where(plots["counted_area_ha"] > 0)).reindex(
        findings["plot_id"]
    )
    density = own.fillna(mean).to_numpy()
    return findings.assign(effect_kg=findings["effect_ha"].to_numpy(float) * density)
