"""Several cooperatives together: what a buyer can expect of their sum, with errors that they share.

Quantiles never add. The sum of P10s is too low and the sum of P90s too high, by more the less the cooperatives share;
errors of an origin, of a season and of a map do not go away in a sum at all.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import NumberError, UnknownNameError
from geomap.lookup import is_among
from geomap.supply.totals import interval, totals

if TYPE_CHECKING:
    from geomap.supply.calibrate import Calibration
    from geomap.supply.items import Items

COLUMNS: Final = ["cooperatives", "mean_kg", "var", "p10_kg", "p50_kg", "p90_kg", "summed_width_kg", "diversification"]

Floats = npt.NDArray[np.float64]


def portfolio(
    calibration: "Calibration", ids: Sequence[str] | None = None, *, share: "pd.Series[float] | float | None" = None
) -> "pd.Series[float]":
    """Supply of several cooperatives together, with their posterior covariance, in kilograms of the product form.

    Var = Σ_ab w_a w_b E_a E_b (e^{C_ab} − 1), w the share that the buyer takes of each. Log-normal with that mean and
    variance.

    Parameters
    ----------
    calibration : of `calibrate`.
    ids : cooperatives; all that have a supply without them. One that has none cannot be asked for.
    share : share taken of each cooperative, 0–1, by cooperative_id or one for all; 1 where not given. Known, without
        error.

    Returns
    -------
    Series : cooperatives (number), mean_kg, var (kg²), p10_kg, p50_kg, p90_kg; summed_width_kg (Σ of the cooperatives'
        own P90 − P10) and diversification (P90 − P10 of the sum ÷ that; 1: their errors are one; near 1 / √n: equal
        cooperatives that share none).

    Raises
    ------
    UnknownNameError : a cooperative is not in the calibration or has no supply.
    NumberError : a share below 0 or above 1, or none for a cooperative.

    Examples
    --------
    With `calibration` at hand, half of what two cooperatives deliver, and the chance of 40 t or more:

        both = portfolio(calibration, ["A", "B"], share=0.5)
        chance_of_at_least(40_000, both)
    """
    table = calibration.cooperatives
    chosen = _chosen(table.index if ids is None else pd.Index(ids), table["supply_kg"], optional=ids is None)
    each, taken = table.reindex(chosen), _shares(share, chosen)
    means = each["supply_kg"] * taken
    return _described(means, each["var"] * taken**2, float(means.sum()), _weighted_variance(calibration, taken))


def potential_portfolio(
    items: "Items", ids: Sequence[str] | None = None, *, share: "pd.Series[float] | float | None" = None
) -> "pd.Series[float]":
    """Potential of several cooperatives together, as `portfolio`, where there is no evidence of supply.

    Parameters
    ----------
    items : of `plot_potential` and `unmapped_members`, all cooperatives together.
    ids, share : as in `portfolio`.

    Examples
    --------
    Two equal cooperatives that share an error of .3 and have .4 each of their own: Var = 2² (1.09 · 1.08 − 1).

    >>> from geomap.supply.items import Items
    >>> table = pd.DataFrame({"member_id": ["a", "b"], "cooperative_id": ["A", "B"], "origin": "o", "region": "r",
    ...     "form_pair": "x", "season": "", "mean_kg": 1.0}, index=["P", "Q"])
    >>> cv = pd.DataFrame({"base_yield": 0.3, "cooperative": 0.4}, index=table.index)
    >>> found = potential_portfolio(Items(table, cv, pd.DataFrame(index=table.index), pd.Series(dtype=float)))
    >>> found[["var", "diversification"]].round(4).tolist()
    [0.7088, 0.8478]
    """
    coops = items.table["cooperative_id"].astype("str")
    own = totals(items, coops)
    chosen = _chosen(own.index if ids is None else pd.Index(ids), own["mean_kg"], optional=ids is None)
    taken = _shares(share, chosen)
    part = items.where(pd.Series(is_among(coops, chosen.tolist())))
    kept = part.table["cooperative_id"]
    scaled = part.table["mean_kg"] * taken.reindex(kept).to_numpy(float)
    whole = (
        totals(replace(part, table=part.table.assign(mean_kg=scaled))).iloc[0]
        if len(part)
        else pd.Series({"mean_kg": 0.0, "var": 0.0})
    )
    each = own.reindex(chosen)
    return _described(each["mean_kg"] * taken, each["var"] * taken**2, float(whole["mean_kg"]), float(whole["var"]))


def contributions(calibration: "Calibration", ids: Sequence[str] | None = None) -> pd.DataFrame:
    """What each cooperative adds to the sum and to its variance, the largest part of the variance first.

    A cooperative's part of the variance is Cov(cooperative, sum) ÷ Var(sum); the parts add up to 1. It may be far from
    its part of the kilograms: that one is worth narrowing first.

    Returns
    -------
    DataFrame : index cooperative_id; mean_kg, width (half of P90 − P10 ÷ mean), kg_share, variance_share.
    """
    table = calibration.cooperatives
    chosen = _chosen(table.index if ids is None else pd.Index(ids), table["supply_kg"], optional=ids is None)
    mean, own = table["supply_kg"].reindex(chosen), table["var"].reindex(chosen).to_numpy(float)
    names = chosen.tolist()
    whole = _variance(calibration, names)
    # Var(T) + Var(c) − Var(T without c) = 2 Cov(c, T)
    others = np.array([_variance(calibration, names[:i] + names[i + 1 :]) for i in range(len(names))])
    parts = (whole + own - others) / (2 * whole) if whole > 0 else np.zeros(len(names))
    half = (interval(mean, own, 0.9) - interval(mean, own, 0.1)) / 2
    found = pd.DataFrame(
        {"mean_kg": mean, "width": half / mean, "kg_share": mean / mean.sum(), "variance_share": parts}, index=chosen
    ).rename_axis("cooperative_id")
    return found.sort_index().sort_values("variance_share", ascending=False, kind="stable")


def chance_of_at_least(kg: npt.ArrayLike, total: "pd.Series[float]") -> Floats:
    """Probability that the sum reaches so many kilograms, log-normal with its mean and variance.

    Parameters
    ----------
    kg : 0 or more.
    total : mean_kg and var, of `portfolio`, `potential_portfolio` or `Calibration.total`.

    Examples
    --------
    The median is reached in one case of two:

    >>> chance_of_at_least([0.0, 89.4427191], pd.Series({"mean_kg": 100.0, "var": 2500.0})).round(3)
    array([1. , 0.5])
    """
    wanted, mean, var = np.asarray(kg, dtype=float), float(total["mean_kg"]), float(total["var"])
    if not mean > 0 or not var > 0:
        return np.asarray(wanted <= max(mean, 0.0), dtype=float)
    s2 = math.log1p(var / mean**2)
    with np.errstate(divide="ignore"):
        z = (np.log(np.maximum(wanted, 0.0)) - math.log(mean) + s2 / 2) / math.sqrt(s2)
    return np.asarray(np.vectorize(NormalDist().cdf, otypes=[float])(-z))


def _described(means: "pd.Series[float]", own: "pd.Series[float]", mean: float, var: float) -> "pd.Series[float]":
    """The sum and its interval beside the intervals of its parts."""
    p10, p50, p90 = (float(interval(mean, var, q)) for q in (0.1, 0.5, 0.9))
    summed = math.fsum(interval(means, own, 0.9) - interval(means, own, 0.1))
    ratio = (p90 - p10) / summed if summed > 0 else 1.0
    return pd.Series([float(len(means)), mean, var, p10, p50, p90, summed, ratio], index=COLUMNS)


def _weighted_variance(calibration: "Calibration", weight: "pd.Series[float]") -> float:
    """Variance of the weighted sum, kg²: Σ w w' Cov over the sums of those with one weight.

    Cov(a, b) = (Var(a + b) − Var(a) − Var(b)) / 2: one call per pair of different weights, not of cooperatives.
    """
    groups = [(value, weight.index[weight == value].tolist()) for value in sorted(set(weight.tolist())) if value > 0]
    own = [_variance(calibration, names) for _, names in groups]
    terms = [value**2 * var for (value, _), var in zip(groups, own, strict=True)]
    for i, (first, some) in enumerate(groups):
        for j, (second, others) in enumerate(groups[:i]):
            terms.append(first * second * (_variance(calibration, some + others) - own[i] - own[j]))
    return math.fsum(terms)


def _variance(calibration: "Calibration", names: list[str]) -> float:
    return float(calibration.total(sorted(names))["var"]) if names else 0.0


def _chosen(ids: pd.Index, mean: "pd.Series[float]", *, optional: bool) -> pd.Index:
    """The cooperatives asked for, each once, sorted, so that no order shows."""
    wanted = pd.Index(sorted({str(name) for name in ids}), dtype="str")
    without = [name for name in wanted if name not in mean.index or not np.isfinite(mean[name])]
    if without and not optional:
        raise UnknownNameError(
            f"{len(without)} of the cooperatives have no number: {', '.join(without[:5])}.",
            why="A sum over cooperatives needs one of each.",
            todo="Ask for others, or bring deliveries or a declared share for these.",
        )
    return wanted[~wanted.isin(without)] if without else wanted


def _shares(share: "pd.Series[float] | float | None", chosen: pd.Index) -> "pd.Series[float]":
    given = share.reindex(chosen) if isinstance(share, pd.Series) else pd.Series(share or 0.0, index=chosen)
    taken = pd.Series(1.0, index=chosen) if share is None else given.astype(float)
    if not taken.between(0.0, 1.0).all():
        raise NumberError(
            f"The share of {', '.join(taken.index[~taken.between(0.0, 1.0)][:5])} is not between 0 and 1.",
            todo="Give one for each cooperative: .25 is a quarter of what it delivers.",
        )
    return taken
