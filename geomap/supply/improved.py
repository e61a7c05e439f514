"""Items as they would be after a step: a copy with the errors that mapping, visits or deliveries would leave."""

import math
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.supply.crops import error_cv
from geomap.supply.items import Items, shared_by
from geomap.supply.sampling import between_cv, sample_cv
from geomap.supply.totals import totals

Floats = npt.NDArray[np.float64]

DRIFT: Final = 0.05
"""Standard deviation by which a cooperative's ratio of deliveries to potential drifts per season."""

MAP_POINTS: Final = 22.0
"""Points of a local sample that weigh as much as what is known of the map: .10 becomes .10 · √(22 / (22 + n)), that is
.055 with 50 points and .042 with 100, for a class that is right in two places of three."""

_USUAL_GPS: Final = 0.05
_RIDGE: Final = 1e-12
_SEASONAL: Final = ("season", "coop_season", "member_season")


def interval_width(items: Items) -> float:
    """Half of P90 − P10 of the sum of all items, as a share of its mean; 0 without any potential."""
    if not len(items) or not items.table["mean_kg"].sum() > 0:
        return 0.0
    whole = totals(items).iloc[0]
    return float((whole["p90"] - whole["p10"]) / 2 / whole["mean_kg"])


def farm_spread(items: Items) -> pd.DataFrame:
    """What each member's farm is expected to bear, and how far one farm and one season stray from that.

    Returns
    -------
    DataFrame : index member_id, sorted; cooperative_id, kg, cv (of errors that are the farm's own, one season). Ready
        for `sampling_plan` with a column of communities.
    """
    own = [name for name, shared in shared_by().items() if "plot_id" in shared and name in items.cv]
    kappa = np.prod(1.0 + items.cv[own].to_numpy(float) ** 2, axis=1) - 1.0
    yearly = items.cv["member_season"].to_numpy(float) if "member_season" in items.cv else np.zeros(len(items))
    kg = items.table["mean_kg"].to_numpy(float)
    frame = items.table[["member_id", "cooperative_id"]].assign(kg=kg, square=kappa * kg**2, yearly=yearly)
    frame = frame.sort_values(["member_id", "kg", "square"], kind="stable").groupby("member_id", sort=True)
    found = frame[["kg", "square"]].sum().assign(yearly=frame["yearly"].max())
    relative = found["square"] / found["kg"].where(found["kg"] > 0) ** 2
    cv = np.sqrt((1.0 + relative.fillna(0.0)) * (1.0 + found["yearly"] ** 2) - 1.0)
    return pd.DataFrame({"cooperative_id": frame["cooperative_id"].first(), "kg": found["kg"], "cv": cv})


def by_mapping(items: Items, kind: str, number: int) -> Items:
    """The items with the largest ones of a kind measured: errors of an outline instead of those of a guess.

    Their means stay. Area and map errors are the median of the measured plots; a GPS error of 5 % where there are none.

    Parameters
    ----------
    kind : "unmapped" or "declared".
    number : how many; of equals, the first by id.
    """
    chosen = _largest(items, kind, number)
    measured = items.cv[(items.table["kind"] == "measured").to_numpy()]
    usual = {"area": _USUAL_GPS, "map_plot": 0.0}
    usual |= {name: float(measured[name].median()) for name in usual if len(measured) and name in measured}
    left = {"unmapped": 0.0, "declared_bias": 0.0, "uncovered": 0.0, "drawn": error_cv("drawn")} | usual
    cv = {name: np.where(chosen, value, items.cv[name] if name in items.cv else 0.0) for name, value in left.items()}
    kinds = pd.Series(items.table["kind"].to_numpy(dtype=object), index=items.table.index)
    table = items.table.assign(kind=kinds.mask(chosen, "measured").astype("str"))
    return replace(items, cv=items.cv.assign(**cv), table=table)


def by_visits(items: Items, visits: int, *, shared_cv: float) -> Items:
    """The items once the crop of some farms of each cooperative, drawn at random, is estimated.

    Variance of the log: the prior's and the estimate's, put together, 1 / (1 / prior + 1 / estimate). The visits are
    shared out among cooperatives by their number of farms.

    Parameters
    ----------
    visits : in all.
    shared_cv : relative standard deviation of what all estimates of a technician have in common.
    """
    farms = farm_spread(items)
    by_coop = farms[farms["kg"] > 0].groupby("cooperative_id", sort=True)
    number = by_coop.size()
    spread = pd.Series({name: between_cv(part["cv"], part["kg"]) for name, part in by_coop}, dtype=float)
    sampled = sample_cv(visits * number / max(number.sum(), 1), spread.reindex(number.index), number)
    prior = _log_var(items)
    estimate = pd.Series(np.log1p(sampled**2) + math.log1p(shared_cv**2), index=number.index)
    return _shrunk(items, 1.0 / (1.0 + prior / estimate.reindex(prior.index).fillna(np.inf)))


def by_deliveries(items: Items, seasons: int) -> Items:
    """The items once deliveries of so many past seasons are known: what is constant for a cooperative is learned."""
    still = items.cv.assign(**{name: 0.0 for name in _SEASONAL if name in items.cv})
    constant = _log_var(replace(items, cv=still))
    yearly = (_log_var(items) - constant).clip(lower=0.0)
    left = posterior_variance(constant, yearly, seasons) - yearly
    return _shrunk(items, (left / constant.where(constant > 0)).fillna(1.0).clip(0.0, 1.0), but=_SEASONAL)


def by_map_points(items: Items, points: int) -> Items:
    """The items once the land cover of so many points was checked in the field."""
    return replace(items, map_share=items.map_share * math.sqrt(MAP_POINTS / (MAP_POINTS + points)))


def by_weighing(items: Items, left_cv: float) -> Items:
    """The items once the cooperative's own outturn is known to `left_cv`."""
    if "conversion" not in items.cv:
        return items
    return replace(items, cv=items.cv.assign(conversion=items.cv["conversion"].clip(upper=left_cv)))


def posterior_variance(constant: npt.ArrayLike, yearly: npt.ArrayLike, seasons: int) -> Floats:
    """Variance of the log of the next season after so many seasons of own deliveries.

    v = K_ff − k' K⁻¹ k with K(t, t') = constant + [t = t'] yearly + .05² min(t, t'), t from 1 to the season to come.

    Parameters
    ----------
    constant, yearly : variances of the log of what stays with a cooperative and of what each season brings.
    seasons : 0 or more.

    Examples
    --------
    One season of constant and yearly variance 1 halves the constant part: 1 + 1 / 2; drift adds a little.

    >>> posterior_variance([1.0], [1.0], 1).round(2)
    array([1.5])
    """
    stays, comes = np.broadcast_arrays(np.asarray(constant, dtype=float), np.asarray(yearly, dtype=float))
    t = np.arange(1, seasons + 2)
    drift = DRIFT**2 * np.minimum.outer(t, t)
    k = stays[..., None, None] + comes[..., None, None] * np.eye(seasons + 1) + drift
    if not seasons:
        return np.asarray(k[..., 0, 0])
    past, cross = k[..., :-1, :-1], k[..., :-1, -1:]
    solved = np.linalg.solve(past + _RIDGE * np.eye(seasons), cross)
    return np.asarray(k[..., -1, -1] - np.sum(cross * solved, axis=(-2, -1)))


def _largest(items: Items, kind: str, number: int) -> npt.NDArray[np.bool_]:
    """Which items are the largest of a kind; of equals, the first by id."""
    ids = items.table.index.astype("str").to_numpy(dtype=object)
    kg = np.where(items.table["kind"] == kind, items.table["mean_kg"], -1.0)
    first = np.lexsort((pd.factorize(ids, sort=True)[0], -kg))[:number]
    chosen = np.zeros(len(items), dtype=bool)
    chosen[first] = True
    return chosen


def _log_var(items: Items) -> "pd.Series[float]":
    """Variance of the log of each cooperative's sum."""
    found = totals(items, items.table["cooperative_id"])
    mean = found["mean_kg"].where(found["mean_kg"] > 0)
    return np.log1p((found["var"] / mean**2).fillna(0.0))


def _shrunk(items: Items, ratio: "pd.Series[float]", but: tuple[str, ...] = ()) -> Items:
    """The items with the log-variance of every source, but for these, times the ratio of its cooperative."""
    times = ratio.reindex(items.table["cooperative_id"]).to_numpy(float)
    names = [name for name in items.cv if name not in but]
    cv = {name: np.sqrt(np.expm1(times * np.log1p(items.cv[name].to_numpy(float) ** 2))) for name in names}
    return replace(items, cv=items.cv.assign(**cv), map_share=items.map_share.mul(np.sqrt(times), axis=0))
