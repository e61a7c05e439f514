"""How much of a cooperative's supply each member stands for: past deliveries, as far as they can be believed."""

from typing import Final

import numpy as np
import numpy.typing as npt

from geomap.supply.crops import error_cv

PRIOR_MEMBERS: Final = 50.0
"""How many members' worth of data the variances of the reference table weigh; weak."""

_LEAST: Final = 0.01

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def credibility(member: Codes, rho: Floats, kappa: Floats) -> Floats:
    """Factor V of each member: 1 + g (ρ̄ − 1), with g = τ² / (τ² + ω² / k).

    ρ is what a member delivered in a season, divided by potential × the ratio of the whole (deliveries of all ÷
    potential of all); ρ̄ is its mean over k seasons. Logarithms fail where a member delivered nothing, means do not.
    τ² = κ, the member's own variance over plots, and ω² = (1 + κ) cv², cv of `member_season`, start from the reference
    table. Each is scaled by one factor for all members, learned by moments, the table weighing `PRIOR_MEMBERS` members.

    Parameters
    ----------
    member : (observations,) 0, 1, … , number of the member.
    rho : (observations,).
    kappa : (members,) relative variance of the member's own errors that last.

    Returns
    -------
    (members,) : ≥ 0; 1 for a member without observations.

    Source: Bühlmann and Straub (1970), in Bühlmann and Gisler (2005), A Course in Credibility Theory, section 4.2.

    Examples
    --------
    Two observations at twice the whole: τ² = 1, ω² = .18, and nearly all of it is believed, g = 1 / (1 + .18 / 2).

    >>> credibility(np.array([0, 0]), np.array([2.0, 2.0]), np.array([1.0, 1.0])).round(2)
    array([1.92, 1.  ])
    """
    count = len(kappa)
    k = np.bincount(member, minlength=count).astype(float)
    seen = np.maximum(k, 1.0)
    mean = np.bincount(member, rho, minlength=count) / seen
    lasting, passing = kappa.astype(float), (1.0 + kappa) * error_cv("member_season") ** 2
    apart = np.bincount(member, (rho - mean[member]) ** 2, minlength=count)
    passing = passing * (PRIOR_MEMBERS + (apart / passing).sum()) / (PRIOR_MEMBERS + np.maximum(k - 1.0, 0.0).sum())
    used = (k > 0) & (lasting > 0)
    excess = ((mean[used] - 1.0) ** 2 - passing[used] / k[used]) / lasting[used]
    lasting = lasting * max((PRIOR_MEMBERS + excess.sum()) / (PRIOR_MEMBERS + used.sum()), _LEAST)
    g = np.where(k > 0, lasting / (lasting + passing / seen), 0.0)
    return np.asarray(1.0 + g * (mean - 1.0))
