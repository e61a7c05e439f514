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
from geomap.supply.written import STEP, area_errors, written_items

Floats = npt.NDArray[np.float64]
NOTHING_KG: Final = 1e-6
"""A change below a milligram is none: sums round."""
_GRID: Final = 500


@dataclass(frozen=True)
class Errors:
    """Errors of the plots and members of two runs: what both share, and what was measured twice.

    Attributes
    ----------
    cv : index as the changes; base_yield (all that is shared), plot, member_season: means of both runs.
    twice : relative variance that a measurement of a plot's area adds, if it was measured twice.
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
        areas = [area_errors(run.plots).reindex(wanted) for run in (before, after)]
        area = areas[0].add(areas[1]).div(2).fillna(areas[0]).fillna(areas[1]).fillna(0.0)
        others = (1 + square).prod(axis=1) / (1 + area)
        twice = area * others.clip(lower=1.0)
        owner = sides[1].owner.reindex(wanted).fillna(sides[0].owner.reindex(wanted)).fillna("")
        cv = np.sqrt(square)
        return cls(cv.assign(base_yield=(cv["base_yield"] / STEP).round() * STEP), twice, owner)

    def interval(self, changes: pd.DataFrame) -> tuple[float, float]:
        """Ends of the interval of the sum of some changes."""
        rows = self._gains_and_losses(changes)
        rows = rows[rows["kg"] > NOTHING_KG]
        if rows.empty:
            return 0.0, 0.0
        table = pd.DataFrame({"member_id": self.owner.reindex(rows.index), "mean_kg": rows["kg"]}, index=rows.index)
        table = table.assign(cooperative_id="all", origin="all", region="all", form_pair="all", season="")
        items = Items(table, self.cv.reindex(rows.index), pd.DataFrame(index=rows.index), pd.Series(dtype=float))
        each, both = totals(items, rows["side"]), totals(items).iloc[0]
        shared = float(both["var"]) - float(each["var"].sum())
        mean, var = each["mean_kg"], each["var"] + rows["own"].groupby(rows["side"]).sum()
        gain, loss = ((float(mean.get(name, 0.0)), float(var.get(name, 0.0))) for name in ("gain", "loss"))
        return difference_interval(gain, loss, shared / 2)

    def _gains_and_losses(self, changes: pd.DataFrame) -> pd.DataFrame:
        """Kilograms, side and own variance (kg²) of each plot or member.

        A plot whose area was measured twice stands on both sides: with one area on one, with the other on the other, so
        that a small change between two rough measurements can be of either sign.
        """
        again = (changes["part"] == "area") & (self.twice.reindex(changes.index) > 0).to_numpy()
        kg = changes.loc[~again, "change"].groupby(level=0).sum().sort_index()
        side = pd.Series(np.where(kg > 0, "gain", "loss"), index=kg.index, dtype="str")
        plain = pd.DataFrame({"kg": kg.abs(), "side": side, "own": 0.0})
        drawn = changes[again].sort_index()
        base = (drawn["before"] + drawn["after"] - drawn["change"]) / 2
        base = pd.Series(np.fmax(np.fmax(base, -drawn["change"]), 0.0), index=drawn.index)
        parts = [plain]
        for name, amount in (("loss", base), ("gain", base + drawn["change"])):
            own = amount**2 * self.twice.reindex(drawn.index)
            parts.append(pd.DataFrame({"kg": amount, "own": own}).assign(side=name))
        return pd.concat(parts)


@dataclass(frozen=True)
class _Side:
    cv: pd.DataFrame
    owner: "pd.Series[str]"


def _side(run: Written) -> _Side:
    people = guessed_members(run)
    items = written_items(run.plots, people if len(people) else None)
    return _Side(items.cv, items.table["member_id"])


def difference_interval(
    gain: tuple[float, float], loss: tuple[float, float], covariance: float, *, share: float = 0.95
) -> tuple[float, float]:
    """Interval of gain − loss, both log-normal and correlated.

    P(gain − loss ≤ d) is the mean over 500 equally likely losses of P(gain ≤ d + loss); d is found by halving.

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
    there, back = _both_ends(gain, loss, covariance, tails), _both_ends(loss, gain, covariance, tails)
    return (there[0] - back[1]) / 2, (there[1] - back[0]) / 2  # the same for loss − gain, to the last digit


def _both_ends(
    gain: tuple[float, float], loss: tuple[float, float], covariance: float, tails: tuple[float, float]
) -> tuple[float, float]:
    """Quantiles of gain − loss, both above 0."""
    from scipy.special import ndtri

    (mu_g, s_g), (mu_l, s_l) = (_log(mean, var) for mean, var in (gain, loss))
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
    for _ in range(50):
        middle = (low + high) / 2
        room = middle + lost
        gains = np.log(np.where(room > 0, room, 1.0))
        below = ndtr((gains - mean) / spread) if spread > 1e-12 else (gains >= mean).astype(float)
        if float(np.where(room > 0, below, 0.0).mean()) < q:
            low = middle
        else:
            high = middle
    return (low + high) / 2
