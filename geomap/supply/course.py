"""The course of a season: which share of the kilograms has come by each month, and how sure that is.

A share of the season, of one month or of all months so far, is Beta(κ π, κ (1 − π)) once the season's shift is known
(early or late, normal, 9 nodes). Kilograms are the share times a log-normal total. The Beta distributions are taken
from a table that is linear in π and in 1/(κ + 1), which keeps their means and variances; the total is integrated
exactly. So thousands of cooperatives take about a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betainc, ndtr, ndtri

from geomap.supply.totals import interval

Floats = npt.NDArray[np.float64]

DAYS_PER_MONTH: Final = 365.25 / 12
SHIFT_NODES: Final = 9

_SHARES: Final = np.sin(np.linspace(0.0, np.pi / 2, 129)) ** 2
"""Shares of a season at which distributions are kept: dense near 0 and near 1."""

_MEANS: Final = np.sin(np.linspace(0.0, np.pi / 2, 97)) ** 2
_SPREADS: Final = 1.0 / (1.0 + np.geomspace(1.0, 1000.0, 24))[::-1]
_STEPS: Final = np.linspace(-12.0, 6.0, 73)
_LEAST_SPREAD: Final = 0.02
_AT_ONCE: Final = 100


@dataclass(frozen=True, eq=False)
class Course:
    """Shares of the season's kilograms by month, one course per cooperative and node of the shift.

    Attributes
    ----------
    cooperatives : ids, sorted.
    months : names (YYYY-MM), in order.
    shares : (cooperatives, nodes, months), each course adds up to 1 over the months.
    weights : (nodes,) probability of each node of the shift.
    concentration : (cooperatives,) κ: how sure a share is once the shift is known (a + b of its Beta distribution).
    evidence : (cooperatives,) what the course was learned from.
    """

    cooperatives: pd.Index
    months: tuple[str, ...]
    shares: Floats
    weights: Floats
    concentration: Floats
    evidence: tuple[str, ...]

    @property
    def cumulative(self) -> Floats:
        """Share that has come by the end of each month; exactly 1 at the end."""
        total = np.minimum(np.cumsum(self.shares, axis=2), 1.0)
        total[:, :, -1:] = 1.0
        return total

    @property
    def mean_shares(self) -> Floats:
        """(cooperatives, months) share of each month over all shifts."""
        return np.asarray(np.einsum("n,cnm->cm", self.weights, self.shares))

    def later(self, months: npt.ArrayLike) -> "Course":
        """The same kilograms so many months later (one number per cooperative), with further months at the end."""
        by = np.broadcast_to(np.asarray(months, dtype=float), (len(self.cooperatives),))
        longest = int(np.ceil(by.max(initial=0.0)))
        extended = np.pad(self.shares, ((0, 0), (0, 0), (0, longest)))
        return replace(
            self, months=month_names(self.months[0], len(self.months) + longest), shares=shift(extended, by[:, None])
        )

    def by(self, elapsed: float) -> Floats:
        """(cooperatives, nodes) share that has come so many months after the season's start."""
        at = float(np.clip(elapsed, 0.0, len(self.months)))
        whole = min(int(at), len(self.months) - 1)
        before = self.cumulative[:, :, whole - 1] if whole else np.zeros(self.shares.shape[:2])
        return np.asarray(before + (at - whole) * (self.cumulative[:, :, whole] - before))


def month_names(first: str, count: int) -> tuple[str, ...]:
    """Names of months from the first on.

    Examples
    --------
    >>> month_names("2026-11", 3)
    ('2026-11', '2026-12', '2027-01')
    """
    year, month = int(first[:4]), int(first[5:7]) - 1
    return tuple(f"{year + (month + step) // 12:04d}-{(month + step) % 12 + 1:02d}" for step in range(count))


def shift(shares: Floats, by: npt.ArrayLike) -> Floats:
    """Shares (…, months) moved later by so many months (…), linear between whole months.

    What leaves at one end comes in at the other, from the neighbouring season.

    Examples
    --------
    >>> shift(np.array([0.5, 0.5, 0.0, 0.0]), 0.5).tolist()
    [0.25, 0.5, 0.25, 0.0]
    """
    by = np.asarray(by, dtype=float)[..., None]
    count = shares.shape[-1]
    whole = np.floor(by).astype(np.int64)
    index = (np.arange(count) - whole) % count
    wide = np.broadcast_to(shares, np.broadcast_shapes(shares.shape, index.shape))
    index = np.broadcast_to(index, wide.shape)
    part = by - whole
    return np.asarray(
        (1 - part) * np.take_along_axis(wide, index, -1) + part * np.take_along_axis(wide, (index - 1) % count, -1)
    )


def shifted(shares: Floats, sd: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Courses (cooperatives, nodes, months) of seasons that come early or late, and the weights of the nodes.

    Parameters
    ----------
    shares : (cooperatives, months).
    sd : standard deviation of the shift in months, one number or one per cooperative.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(SHIFT_NODES)
    by = np.broadcast_to(np.asarray(sd, dtype=float), (len(shares),))[:, None] * nodes
    return shift(shares[:, None, :], by), weights / weights.sum()


def log_spread(mean: npt.ArrayLike, var: npt.ArrayLike) -> Floats:
    """Standard deviation of the logarithm of log-normal kilograms; 0 where the mean is 0.

    Examples
    --------
    >>> log_spread([100.0], [2500.0]).round(4)  # √ln 1.25
    array([0.4724])
    """
    mean, var = np.asarray(mean, dtype=float), np.asarray(var, dtype=float)
    return np.asarray(np.sqrt(np.log1p(np.divide(var, mean**2, out=np.zeros(mean.shape), where=mean > 0))))


def kilograms(
    shares: Floats,
    mean: Floats,
    var: Floats,
    *,
    weights: Floats,
    concentration: Floats,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
) -> Floats:
    """Quantiles of share × total in kilograms, (quantiles, cooperatives, months).

    Parameters
    ----------
    shares : (cooperatives, nodes, months) mean share for each shift.
    mean, var : (cooperatives,) kilograms of the log-normal total, and kg².
    weights, concentration : of a `Course`.

    Returns
    -------
    array : 0 where a share more likely than the quantile brings nothing; the total's own quantile where the share is 1.

    Examples
    --------
    Half the season has come, for sure: half the median, 100 / √1.25 / 2.

    >>> half, total = np.full((1, 1, 1), 0.5), (np.array([100.0]), np.array([2500.0]))
    >>> found = kilograms(half, *total, weights=np.ones(1), concentration=np.array([1000.0]), quantiles=[0.5])
    >>> found.round(1).ravel()
    array([44.7])
    """
    found = np.empty((len(quantiles), len(shares), shares.shape[2]))
    for first in range(0, len(shares), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        below = _below(shares[part], weights, concentration[part])
        found[:, part] = _product_quantiles(below, log_spread(mean[part], var[part]), quantiles) * mean[part, None]
    everything = np.all(shares >= 1.0 - 1e-12, axis=1)
    whole = np.array([interval(mean, var, q) for q in quantiles])[:, :, None]
    return np.where(everything, whole, found)


def chance_of(
    needed: Floats, shares: Floats, mean: Floats, var: Floats, *, weights: Floats, concentration: Floats
) -> Floats:
    """Probability that share × total reaches the needed kilograms (cooperatives, months); 1 where none is needed."""
    found = np.ones(needed.shape)
    for first in range(0, len(shares), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        mass, log_share = _masses(_below(shares[part], weights, concentration[part]))
        spread = np.maximum(log_spread(mean[part], var[part]), _LEAST_SPREAD)[:, None, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.log(needed[part] / mean[part, None])[:, :, None]
            reached = ndtr(-(ratio - log_share + spread**2 / 2) / spread)
        found[part] = np.where(needed[part] > 0, np.einsum("cmg,cmg->cm", mass, np.nan_to_num(reached)), 1.0)
    return np.clip(found, 0.0, 1.0)


@lru_cache(maxsize=1)
def _beta_table() -> Floats:
    """Probability that a share is at most `_SHARES`, for each of `_SPREADS` and `_MEANS`; (spreads × means, shares)."""
    total = (1.0 / _SPREADS - 1.0)[:, None, None]
    a = np.clip(total * _MEANS[None, :, None], 1e-9, total - 1e-9)
    table = betainc(a, total - a, _SHARES)
    table[:, 0, :] = 1.0
    table[:, -1, :-1] = 0.0
    table[:, :, -1] = 1.0
    return np.asarray(table.reshape(-1, len(_SHARES)))


def _below(shares: Floats, weights: Floats, concentration: Floats) -> Floats:
    """Probability that the share is at most `_SHARES`, over all shifts; (cooperatives, months, shares)."""
    from scipy.sparse import csr_array

    count, nodes, months = shares.shape
    mean = np.moveaxis(shares, 1, 2).reshape(count * months, nodes)
    spread = np.repeat(1.0 / (1.0 + concentration), months)[:, None]
    low, part = _place(_MEANS, mean)
    level, rest = _place(_SPREADS, np.broadcast_to(spread, mean.shape))
    columns, values = [], []
    for up, by_level in ((0, 1 - rest), (1, rest)):
        for right, by_mean in ((0, 1 - part), (1, part)):
            columns.append((level + up) * len(_MEANS) + low + right)
            values.append(weights * by_level * by_mean)
    starts = np.arange(0, mean.size * 4 + 1, nodes * 4)
    mixing = csr_array(
        (np.concatenate(values, axis=1).ravel(), np.concatenate(columns, axis=1).ravel(), starts),
        shape=(len(mean), len(_SPREADS) * len(_MEANS)),
    )
    return np.asarray(mixing @ _beta_table()).reshape(count, months, len(_SHARES))


def _place(grid: Floats, values: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Grid point at or before each value, and how far it is to the next (0–1)."""
    values = np.clip(values, grid[0], grid[-1])
    low = np.minimum(np.searchsorted(grid, values, side="right") - 1, len(grid) - 2)
    return low, (values - grid[low]) / (grid[low + 1] - grid[low])


def _masses(below: Floats) -> tuple[Floats, Floats]:
    """Probability of each piece of shares, and the logarithm of its middle (−∞ for the piece that is 0)."""
    middle = np.concatenate([[0.0], (_SHARES[1:] + _SHARES[:-1]) / 2])
    with np.errstate(divide="ignore"):
        return np.diff(below, axis=-1, prepend=0.0), np.log(middle)


def _product_quantiles(below: Floats, spread: Floats, quantiles: Sequence[float]) -> Floats:
    """Quantiles of share × total ÷ mean total, (quantiles, cooperatives, months)."""
    mass, log_share = _masses(below)
    spread = np.maximum(spread, _LEAST_SPREAD)
    at = np.minimum(_STEPS, 0.0) + np.maximum(_STEPS, 0.0) * spread[:, None]
    smooth = ndtr((at[:, None, :] - log_share[:, None] + spread[:, None, None] ** 2 / 2) / spread[:, None, None])
    reached = mass @ smooth
    found = []
    for q in quantiles:
        after = np.clip((reached < q).sum(axis=-1), 1, len(_STEPS) - 1)[..., None]
        left, right = (np.take_along_axis(reached, index, -1)[..., 0] for index in (after - 1, after))
        wide = np.broadcast_to(at[:, None, :], reached.shape)
        low, high = (np.take_along_axis(wide, index, -1)[..., 0] for index in (after - 1, after))
        z_left, z_right = ndtri(np.clip([left, right], 1e-12, 1 - 1e-12))
        gap = z_right - z_left
        part = np.divide(ndtri(q) - z_left, gap, out=np.ones_like(gap), where=gap > 0)
        value = np.exp(low + np.clip(part, 0.0, 1.0) * (high - low))
        found.append(np.where(left >= q, 0.0, value))
    return np.array(found)
