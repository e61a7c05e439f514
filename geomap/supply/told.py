"""Field estimates and signed commitments: evidence of their own, corrected by how right they were, beside the model."""

from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import pandas as pd

from geomap.supply.deliveries import season_sums, with_cooperatives
from geomap.supply.months import parse_season

Kind = Literal["field estimates", "commitments"]

COLUMNS: Final = [
    "cooperative_id", "kind", "given_kg", "covers_kg", "seasons", "bias", "mean_kg", "p10_kg", "p50_kg", "p90_kg",
]  # fmt: skip

START_SD: Final = 0.20
"""Sd of ln(delivered / told), of a cooperative's lasting bias and of a season, before any is learned; weak."""

_WEIGHT: Final = 4.0
"""Seasons that the start counts for when the spread is learned; weak."""


def what_was_told(
    told: pd.DataFrame, kind: Kind, *, season: str, potential: pd.DataFrame, deliveries: pd.DataFrame | None
) -> pd.DataFrame:
    """Kilograms that people told of the season to come, with an interval learned from what they told before.

    r = ln(delivered / told) of each past season with both, over the members (or the whole cooperative) that were told
    of; r ~ N(b, s²), b ~ N(0, .20²). With n seasons b̂ = Σ r / (n + s² / .20²) and s² starts at .20² with the weight of
    four seasons. A row of a whole cooperative wins over rows of its members, a member's row over rows of plots. Of
    field estimates of one plot (member, cooperative) and season those of the last day count, and the mean over those
    who estimated; commitments add up.

    Parameters
    ----------
    told : of `read_field_estimates` or `read_commitments`; kg in the product form. Left out are rows of a plot that
        is not in `potential` and names no member, and rows whose cooperative nobody can tell.
    season : such as "2026/27".
    potential : member_id, plot_id, cooperative_id, mean_kg of the season: how much of it the figures cover.
    deliveries : of `read_deliveries`, with cooperatives; None without any.

    Returns
    -------
    DataFrame : one row per cooperative with a figure for the season, sorted; `COLUMNS`: given_kg as told, covers_kg the
        potential of what was told of, seasons that the correction rests on, bias (e^b̂; 1.1: a tenth more came than was
        told), and the corrected kilograms.

    Examples
    --------
    Nothing is known of past figures: the middle is what was told.

    >>> told = pd.DataFrame({"cooperative_id": ["C"], "member_id": ["A"], "season": ["2026/27"], "kg": [100.0]})
    >>> land = pd.DataFrame({"member_id": ["A"], "plot_id": ["P"], "cooperative_id": ["C"], "mean_kg": [300.0]})
    >>> found = what_was_told(told, "commitments", season="2026/27", potential=land, deliveries=None)
    >>> found[["given_kg", "covers_kg", "p10_kg", "p50_kg"]].round(1).values.tolist()
    [[100.0, 300.0, 69.6, 100.0]]
    """
    homes = potential.drop_duplicates("member_id").set_index("member_id")["cooperative_id"]
    owners = potential.drop_duplicates("plot_id").set_index("plot_id")["member_id"]
    rows = _placed(told, kind, owners, homes)
    coming = parse_season(season)
    now = rows[rows["year"] == coming]
    past = _ratios(rows[rows["year"] < coming], deliveries)
    found = []
    for coop, own in now.groupby("cooperative_id", sort=True):
        kg = float(own["kg"].sum())
        if kg <= 0:
            continue
        ratios = past.loc[past["cooperative_id"] == coop, "ratio"].to_numpy(float)
        bias, spread = _learned(ratios)
        covered = potential["cooperative_id"] == coop
        if "" not in set(own["member_id"]):
            covered &= potential["member_id"].isin(own["member_id"])
        row = {"cooperative_id": coop, "kind": kind, "given_kg": kg, "seasons": len(ratios), "bias": np.exp(bias)}
        row |= {"covers_kg": float(potential.loc[covered, "mean_kg"].sum()), "mean_kg": kg * np.exp(bias + spread / 2)}
        for q in (0.1, 0.5, 0.9):
            row[f"p{100 * q:.0f}_kg"] = kg * np.exp(bias + NormalDist().inv_cdf(q) * np.sqrt(spread))
        found.append(row)
    return pd.DataFrame(found, columns=COLUMNS)


def _placed(told: pd.DataFrame, kind: Kind, owners: "pd.Series[str]", homes: "pd.Series[str]") -> pd.DataFrame:
    """Figures per cooperative, season and member: plots are summed to their member, the wider figure wins."""
    told = told.sort_values("kg", kind="stable", ignore_index=True)
    rows = told[["cooperative_id", "member_id", "season", "kg"]]
    rows = rows.assign(
        plot_id=told["plot_id"] if "plot_id" in told else "",
        date=told["date"] if "date" in told else pd.NaT,
        estimator=told["estimator"] if "estimator" in told else "",
    )
    of_plot = (rows["plot_id"] != "") & (rows["member_id"] == "")
    rows.loc[of_plot, "member_id"] = rows.loc[of_plot, "plot_id"].map(owners).fillna("").astype("str")
    rows = with_cooperatives(rows, homes)
    rows = rows[(rows["cooperative_id"] != "") & ~(of_plot & (rows["member_id"] == ""))]
    if kind == "field estimates":
        rows = _latest(rows)
    keys = ["cooperative_id", "season", "member_id"]
    by_plot = rows["plot_id"] != ""
    alone = rows[~by_plot].groupby(keys)["kg"].sum()
    sums = rows[by_plot].groupby(keys)["kg"].sum()
    sums = pd.concat([alone, sums[~sums.index.isin(alone.index)]]).rename("kg").reset_index()
    whole = sums[sums["member_id"] == ""].set_index(["cooperative_id", "season"]).index
    inside = pd.MultiIndex.from_frame(sums[["cooperative_id", "season"]]).isin(whole)
    sums = sums[~inside | (sums["member_id"] == "").to_numpy()].sort_values(keys, ignore_index=True)
    return sums.assign(year=[parse_season(text) for text in sums["season"].tolist()])


def _latest(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per plot, member or cooperative and season: the last day's, the mean over those who estimated."""
    keys = ["cooperative_id", "season", "member_id", "plot_id"]
    last = rows.groupby(keys)["date"].transform("max")
    rows = rows[((rows["date"] == last) | last.isna()).to_numpy()]
    each = rows.groupby([*keys, "estimator"], as_index=False)["kg"].sum()
    return each.groupby(keys, as_index=False)["kg"].mean()


def _ratios(rows: pd.DataFrame, deliveries: pd.DataFrame | None) -> pd.DataFrame:
    """ln(delivered / told) of each cooperative and past season, over those who were told of.

    Of a whole cooperative the rows by member count where there are any: its own row is then their sum.
    """
    if deliveries is None or rows.empty:
        return pd.DataFrame({"cooperative_id": [], "ratio": []})
    sums = season_sums(deliveries).set_index(["cooperative_id", "season", "member_id"])["kg"]
    of_nobody = sums.index.get_level_values("member_id") == ""
    members, whole = sums[~of_nobody], sums[of_nobody].droplevel("member_id")
    of_all = members.groupby(level=[0, 1]).sum()
    of_all = pd.concat([of_all, whole[~whole.index.isin(of_all.index)]])
    keys = pd.MultiIndex.from_frame(rows[["cooperative_id", "season", "member_id"]])
    came = members.reindex(keys).fillna(0.0).to_numpy()
    everything = of_all.reindex(keys.droplevel(2)).to_numpy()
    rows = rows.assign(came=np.where(rows["member_id"] == "", everything, came), known=~np.isnan(everything))
    found = rows[rows["known"]].groupby(["cooperative_id", "season"])[["kg", "came"]].sum()
    found = found[(found > 0).all(axis=1)].reset_index()
    return pd.DataFrame({"cooperative_id": found["cooperative_id"], "ratio": np.log(found["came"] / found["kg"])})


def _learned(ratios: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> tuple[float, float]:
    """Mean and variance of ln(delivered / told) of the season to come."""
    start, count = START_SD**2, len(ratios)
    apart = float(((ratios - ratios.mean()) ** 2).sum()) if count else 0.0
    season = (_WEIGHT * start + apart) / (_WEIGHT + max(count - 1, 0))
    believed = count + season / start
    return float(ratios.sum() / believed), season + season / believed
