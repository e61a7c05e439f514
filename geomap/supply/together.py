"""Signed totals of several cooperatives together: their low and high case where errors are shared as releases tell.

A release says which share of its variance comes from errors that others share: the average yield of an origin, good and
bad seasons, the map, the factor between forms. So the low case of a sum lies between the sum of low cases (all have
their bad year at once) and that of cooperatives which share nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from geomap.supply.totals import interval

SHARED: Final = {"base_yield": True, "season": True, "map_region": True, "map": False, "conversion": False}
"""Kind of source that cooperatives share → whether only those of one country do; the same map is taken for all."""

LOW: Final = 0.1
_Z: Final = NormalDist().inv_cdf(LOW)
_STEPS: Final = 801

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Signed:
    """The signed total of a cooperative in kilograms, and the shares of its variance that others share (`SHARED`).

    shared : kind of source → 0–1; None where the release does not tell.
    """

    country: str
    mean_kg: float
    p10_kg: float
    p90_kg: float
    shared: Mapping[str, float] | None


def shared_kinds(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Kind of source → share of the variance (0–1, to a hundredth), of rows with source and share.

    Examples
    --------
    >>> shared_kinds([{"source": "map:esa:50", "share": 0.02}, {"source": "map:esa:60", "share": 0.03},
    ...               {"source": "plot", "share": 0.5}])["map"]
    0.05
    """
    found = dict.fromkeys(SHARED, 0.0)
    for row in rows:
        kind = str(row["source"]).partition(":")[0]
        if kind in found:
            found[kind] += max(float(row["share"]), 0.0)
    return {kind: round(min(share, 1.0), 2) for kind, share in found.items()}


def together(signed: Sequence[Signed]) -> dict[str, float | None]:
    """Low and high case of a sum in kilograms: as errors are shared, with all bad years at once, and with none shared.

    Log-normal, s = ln(P90 / P10) / 2z; the logs of two cooperatives have the covariance s_a s_b Σ √(share_a share_b)
    over the kinds of error that both share. Var(sum) = Σ m_a m_b (e^covariance − 1), log-normal again.

    Parameters
    ----------
    signed : one of each cooperative; two or more make sense.

    Returns
    -------
    dict : mean_kg; joint_p10_kg, joint_p90_kg (None where a release does not tell what it shares); at_once_p10_kg,
        at_once_p90_kg (sums); alone_p10_kg, alone_p90_kg; correlation (of the logs, mean over pairs by kilograms) and
        chance_too (another one below its low case where one is; .1 where nothing is shared); None without two.

    Examples
    --------
    Two equal cooperatives that share half of their variance: wider than alone, narrower than at once.

    >>> one = Signed("HN", 100.0, 70.0, 135.0, {"season": 0.5})
    >>> found = together([one, one])
    >>> found["at_once_p10_kg"] < found["joint_p10_kg"] < found["alone_p10_kg"], round(found["correlation"], 6)
    (True, 0.5)
    """
    mean = np.array([one.mean_kg for one in signed], dtype=float)
    spread = np.array([_spread(one) for one in signed], dtype=float)
    alone = np.diag(spread**2)
    told = all(one.shared is not None for one in signed)
    covariance = alone + _shared(signed, spread) if told else None
    found: dict[str, float | None] = {
        "mean_kg": math.fsum(mean),
        "at_once_p10_kg": math.fsum(one.p10_kg for one in signed),
        "at_once_p90_kg": math.fsum(one.p90_kg for one in signed),
        **_cases("alone", signed, mean, alone),
        **_cases("joint", signed, mean, covariance),
        "correlation": None,
        "chance_too": None,
    }
    if covariance is not None and len(signed) > 1:
        correlation = _correlation(mean, spread, covariance)
        found |= {"correlation": correlation, "chance_too": chance_too(correlation)}
    return found


def chance_too(correlation: float) -> float:
    """Chance that another cooperative is below its low case (1 of 10 seasons) where one of them is.

    Two normals of this correlation: ∫ φ(x) Φ((z − ρx) / √(1 − ρ²)) dx to z, by z's own chance.

    Examples
    --------
    >>> round(chance_too(0.0), 3), round(chance_too(1.0), 3)
    (0.1, 1.0)
    """
    if correlation >= 1 - 1e-9:
        return 1.0
    normal = NormalDist()
    x = np.linspace(-8.0, _Z, _STEPS)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([normal.cdf((_Z - correlation * one) / math.sqrt(1 - correlation**2)) for one in x.tolist()])
    return float(np.trapezoid(density * below, x) / LOW)


def _spread(one: Signed) -> float:
    """Standard deviation of the log; 0 where the cases tell none."""
    return math.log(one.p90_kg / one.p10_kg) / (-2 * _Z) if 0 < one.p10_kg < one.p90_kg else 0.0


def _shared(signed: Sequence[Signed], spread: Floats) -> Floats:
    """Covariance of the logs of each pair, 0 of each with itself."""
    country = np.array([one.country for one in signed], dtype=object)
    near = country[:, None] == country[None, :]
    shares = [dict(one.shared or {}) for one in signed]
    whole = np.array([max(1.0, math.fsum(one.values())) for one in shares])
    found = np.zeros((len(signed), len(signed)))
    for kind, within in SHARED.items():
        load = spread * np.sqrt(np.array([one.get(kind, 0.0) for one in shares]) / whole)
        found += np.outer(load, load) * (near if within else 1.0)
    np.fill_diagonal(found, 0.0)
    return found


def _cases(name: str, signed: Sequence[Signed], mean: Floats, covariance: Floats | None) -> dict[str, float | None]:
    """Low and high case of the sum; of one cooperative what it signed, of several never wider than all at once."""
    at_once = math.fsum(one.p10_kg for one in signed), math.fsum(one.p90_kg for one in signed)
    if len(signed) == 1:
        return {f"{name}_p10_kg": at_once[0], f"{name}_p90_kg": at_once[1]}
    if covariance is None:
        return {f"{name}_p10_kg": None, f"{name}_p90_kg": None}
    var = float(mean @ np.expm1(covariance) @ mean)
    whole = math.fsum(mean)
    low, high = (float(interval(whole, var, q)) for q in (LOW, 1 - LOW))
    return {f"{name}_p10_kg": max(low, at_once[0]), f"{name}_p90_kg": min(high, at_once[1])}


def _correlation(mean: Floats, spread: Floats, covariance: Floats) -> float:
    """Mean over pairs, by the product of their kilograms; 1 for each with itself is left out."""
    scale = np.outer(spread, spread)
    weight = np.outer(mean, mean) * (scale > 0)
    np.fill_diagonal(weight, 0.0)
    found = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    whole = float(weight.sum())
    return float((weight * found).sum() / whole) if whole else 0.0
