"""The environment of a cooperative: which land its members' plots lie on."""

import pandas as pd


def environment(classes: pd.DataFrame, cooperative: "pd.Series[str]") -> pd.DataFrame:
    """Hectares and share of each land-cover class on the measured plots of each cooperative.

    Ground without data (class −1), outside the raster (−2) and of unknown codes (−3) are rows of their own, so the
    shares of a cooperative add up to 1. Overlapping ground stands with each of its plots here.

    Parameters
    ----------
    classes : plot_id, class, name, area_ha.
    cooperative : index plot_id.

    Returns
    -------
    DataFrame : cooperative_id, class, name, area_ha, share (0–1); classes in the order of their codes.

    Examples
    --------
    >>> classes = pd.DataFrame(
    ...     {"plot_id": ["A", "A"], "class": [10, 40], "name": ["Tree", "Crop"], "area_ha": [3.0, 1.0]}
    ... )
    >>> environment(classes, pd.Series({"A": "C1"}))["share"].tolist()
    [0.75, 0.25]
    """
    frame = classes.assign(cooperative_id=cooperative.reindex(classes["plot_id"]).to_numpy())
    frame = frame.sort_values(["cooperative_id", "class", "plot_id"], kind="stable")
    sums = frame.groupby(["cooperative_id", "class", "name"], as_index=False)["area_ha"].sum()
    return sums.assign(share=sums["area_ha"] / sums.groupby("cooperative_id")["area_ha"].transform("sum"))
