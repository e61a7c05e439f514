"""How sure a difference of two runs is: errors that both share stand in it once, what was measured twice errs twice."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.supply.compare_split import Written, guessed_members
from geomap.supply.items import Items
from geomap.supply.totals import totals
from geomap.supply.written import area_errors, written_items

Floats = npt.NDArray[np.float64]
NOTHING_KG: Final = 1e-6
"""A change below a milligram is none: sums round."""
_GRID: Final = 2_000


@dataclass(frozen=True)
class Errors:
    """Errors of the plots and members of two runs: what both share, and what was measured twice.

    Attributes
    ----------
    cv : index as the changes; base_yield (all that is shared), plot, member_season: means of both runs.
    twice : kg², what two measurements of one plot's area add.
    owner : member of each row.
    """

    cv: pd.DataFrame
    twice: "pd.Series[float]"
    owner: "pd.Series[str]"

    @classmethod
    def of(cls, before: Written, after: Written, changes: pd.DataFrame) -> "Errors":
        sides = [_side(run) for run in (before, after)]
        wanted = pd.Index(sorted(set(changes.index)))
        squares = [side.cv.reindex(wanted) ** 2 for side in sides]
        square = squares[0].add(squares[1]).div(2).fillna(squares[0]).fillna(squares[1]).fillna(0.0)
        outlines = set(changes.index[(changes["part"] == "area") & changes["is_plot"]])
        twice = pd.Series(0.0, index=wanted)
        for run, side in zip((before, after), sides, strict=True):
            kg = pd.to_numeric(run.plots["potential_kg"], errors="coerce").fillna(0.0)
            others = side.whole.reindex(kg.index) / (1 + area_errors(run.plots))
            twice = twice.add((kg**2 * area_errors(run.plots) * others.clip(lower=1.0)).reindex(wanted), fill_value=0.0)
        is_outline = np.array([name in outlines for name in wanted], dtype=bool)
        owner = sides[1].owner.reindex(wanted).fillna(sides[0].owner.reindex(wanted)).fillna("")
        return cls(np.sqrt(square), twice.reindex(wanted).where(is_outline, 0.0), owner)

    def interval(self, changes: pd.DataFrame) -> tuple[float, float]:
        """Ends of the interval of the sum of some changes."""
        kg = changes["change"].groupby(level=0).sum().sort_index()
        kg = kg[kg.abs() > NOTHING_KG]
        if kg.empty:
            return 0.0, 0.0
        cv = self.cv.reindex(kg.index)
        table = pd.DataFrame({"member_id": self.owner.reindex(kg.index), "mean_kg": kg.abs()}, index=kg.index)
        table = table.assign(cooperative_id="all", origin="all", region="all", form_pair="all", season="")
        items = Items(table, cv, pd.DataFrame(index=kg.index), pd.Series(dtype=float))
        side = pd.Series(np.where(kg > 0, "gain", "loss"), index=kg.index)
        each, both = totals(items, side), totals(items).iloc[0]
        shared = float(both["var"]) - float(each["var"].sum())
        areas = changes.index[(changes["part"] == "area").to_numpy()]
        twice = self.twice.reindex(kg.index).where(kg.index.isin(areas), 0.0)
        mean, var = each["mean_kg"], each["var"] + twice.groupby(side).sum()
        gain, loss = ((float(mean.get(name, 0.0)), float(var.get(name, 0.0))) for name in ("gain", "loss"))
        return difference_interval(gain, loss, shared / 2)


@dataclass(frozen=True)
class _Side:
    cv: pd.DataFrame
    whole: "pd.Series[float]"
    owner: "pd.Series[str]"


def _side(run: Written) -> _Side:
    people = guessed_members(run)
    items = written_items(run.plots, people if len(people) else None)
    whole = (1 + items.cv**2).prod(axis=1)
    return _Side(items.cv, whole, items.table["member_id"])


def difference_interval(
    gain: tuple[float, float], loss: tuple[float, float], covariance: float, *, share: float = 0.95
) -> tuple[float, float]:
    """Interval of gain − loss, both log-normal and correlated.

    P(gain − loss ≤ d) is the mean over 2,000 equally likely losses of P(gain ≤ d + loss); d is found by halving.

    Parameters
    ----------
    gain, loss : mean (kg, not below 0) and variance (kg²).
    covariance : kg².

    Examples
    --------
    A gain alone is log-normal: 100 with a variance of 2500 lies between 100 / √1.25 · exp(∓1.96 · √ln 1.25).

    >>> [round(end, 1) for end in difference_interval((100.0, 2500.0), (0.0, 0.0), 0.0)]
    [35.4, 225.8]
    """
    from scipy.special import ndtri

    (mu_g, s_g), (mu_l, s_l) = (_log(mean, var) for mean, var in (gain, loss))
    tails = (1 - share) / 2, (1 + share) / 2
    if gain[0] <= 0 and loss[0] <= 0:
        return 0.0, 0.0
    if loss[0] <= 0 or gain[0] <= 0:
        mu, s, sign = (mu_g, s_g, 1) if gain[0] > 0 else (mu_l, s_l, -1)
        low, high = (sign * math.exp(mu + sign * s * float(ndtri(q))) for q in tails)
        return low, high
    rho = math.log1p(covariance / (gain[0] * loss[0])) / (s_g * s_l) if s_g * s_l > 0 else 0.0
    rho = min(max(rho, -1.0), 1.0)
    z = ndtri((np.arange(_GRID) + 0.5) / _GRID)
    lost, mean, spread = np.exp(mu_l + s_l * z), mu_g + rho * s_g * z, s_g * math.sqrt(1 - rho**2)
    low, high = (_quantile(lost, mean, spread, q) for q in tails)
    return low, high


def _log(mean: float, var: float) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm."""
    if mean <= 0:
        return -math.inf, 0.0
    s2 = math.log1p(var / mean**2)
    return math.log(mean) - s2 / 2, math.sqrt(s2)


def _quantile(lost: Floats, mean: Floats, spread: float, q: float) -> float:
    """The d below which gain − loss lies with probability q."""
    from scipy.special import ndtr

    most = float(np.exp(mean.max() + 8 * spread))
    low, high = -float(lost.max()), most
    for _ in range(80):
        middle = (low + high) / 2
        room = middle + lost
        gains = np.log(np.where(room > 0, room, 1.0))
        below = ndtr((gains - mean) / spread) if spread > 1e-12 else (gains >= mean).astype(float)
        if float(np.where(room > 0, below, 0.0).mean()) < q:
            low = middle
        else:
            high = middle
    return (low + high) / 2
