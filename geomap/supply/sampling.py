"""How many farms to visit: sampling plans for a target precision, with the finite population correction."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import ColumnError, NumberError

Floats = npt.NDArray[np.float64]


def sample_size(target_cv: float, between_cv: float, farms: int) -> int:
    """Farms to visit so that the mean of all farms is known with a relative standard error of `target_cv`.

    n = N n₀ / (N + n₀) with n₀ = (between_cv / target_cv)², rounded up: a simple random sample without replacement. It
    says nothing of errors that all visits share, such as a technician who estimates too high; see `sample_cv`.

    Parameters
    ----------
    target_cv : above 0.
    between_cv : how farms differ from one another, relative standard deviation, 0 or more.
    farms : N, all farms, 0 or more.

    Raises
    ------
    NumberError : a number that cannot be.

    Source: Cochran (1977), Sampling Techniques, section 4.6.

    Examples
    --------
    (.6 / .1)² = 36 farms of very many; of 100 farms 100 · 36 / 136 = 26.5, so 27.

    >>> sample_size(0.10, 0.60, 1_000_000), sample_size(0.10, 0.60, 100)
    (36, 27)
    """
    if not (
        math.isfinite(target_cv) and target_cv > 0 and math.isfinite(between_cv) and between_cv >= 0 and farms >= 0
    ):
        raise NumberError(
            f"A sample for a relative error of {target_cv:g} of {farms} farms that differ by {between_cv:g} cannot be.",
            todo="Give a target above 0 and a difference between farms of 0 or more.",
        )
    first = (between_cv / target_cv) ** 2
    return math.ceil(round(farms * first / (farms + first), 9)) if farms else 0


def sample_cv(visits: npt.ArrayLike, between_cv: npt.ArrayLike, farms: npt.ArrayLike) -> Floats:
    """Relative standard error of the mean of all farms after so many visits: between_cv · √((1 − n / N) / n).

    Infinite without visits; 0 where every farm is visited.

    Examples
    --------
    >>> sample_cv([0, 27, 100], 0.60, 100).round(4)
    array([   inf, 0.0987, 0.    ])
    """
    n, cv, whole = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (visits, between_cv, farms)))
    n = np.minimum(n, whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = cv * np.sqrt((1.0 - n / whole) / n)
    return np.where(n > 0, found, np.inf)


def between_cv(cv: npt.ArrayLike, kg: npt.ArrayLike) -> float:
    """How farms of different sizes differ, for a ratio estimate: √(N Σ kg² cv²) / Σ kg.

    A ratio (kilograms found per kilogram expected) of n farms drawn at random has the relative standard error
    `sample_cv(n, between_cv, N)`. Unequal farms cost visits: for equal ones this is the cv of one farm.

    Parameters
    ----------
    cv : relative standard deviation of each farm around what is expected of it.
    kg : expected of each farm.

    Source: Cochran (1977), section 6.4.

    Examples
    --------
    Half of the farms three times as large: .6 · √(2 · (1 + 9)) / 4 = .671.

    >>> round(between_cv([0.6, 0.6], [1.0, 3.0]), 3)
    0.671
    """
    size, spread = np.asarray(kg, dtype=float), np.asarray(cv, dtype=float)
    total = float(size.sum())
    return float(np.sqrt(len(size) * np.sum((size * spread) ** 2)) / total) if total > 0 else 0.0


def sampling_plan(farms: pd.DataFrame, visits: int, *, by: str = "community") -> pd.DataFrame:
    """Visits shared out among communities by how much of the crop and of its spread they hold (Neyman).

    n_h ∝ √(N_h Σ kg² cv²) of the community: large and uneven communities get more. Each community gets two where the
    visits are enough for that (from one farm no spread can be seen), none more than it has farms.

    Parameters
    ----------
    farms : one row per farm: `by` (a missing one is "(none)"), kg (expected), cv (of one farm, around what is
        expected).
    visits : in all; not more than there are farms.
    by : column of the strata.

    Returns
    -------
    DataFrame : index `by`, sorted; farms, kg, visits; the visits add up.

    Raises
    ------
    ColumnError : a column is missing.
    NumberError : fewer than 0 visits.

    Source: Cochran (1977), section 5.5.

    Examples
    --------
    >>> farms = pd.DataFrame({"community": ["A"] * 30 + ["B"] * 10, "kg": [100.0] * 30 + [300.0] * 10, "cv": 0.6})
    >>> sampling_plan(farms, 12)["visits"].to_dict()  # both hold 3000 kg; √(30 · 30) : √(10 · 90) = 1 : 1
    {'A': 6, 'B': 6}
    """
    if missing := [name for name in (by, "kg", "cv") if name not in farms]:
        raise ColumnError(f"The farms have no column {', '.join(missing)}.", todo="Give them one.")
    if visits < 0:
        raise NumberError(f"{visits} visits cannot be.", todo="Give 0 or more.")
    label = farms[by].astype(object).where(farms[by].notna(), "(none)").replace("", "(none)").astype("str")
    spread = (farms["kg"].to_numpy(float) * farms["cv"].to_numpy(float)) ** 2
    frame = pd.DataFrame({by: label.to_numpy(), "kg": farms["kg"].to_numpy(float), "spread": spread})
    frame = frame.sort_values([by, "kg", "spread"], kind="stable").groupby(by, sort=True)
    table = pd.DataFrame({"farms": frame.size(), "kg": frame["kg"].sum()})
    weight = np.sqrt(table["farms"] * frame["spread"].sum()).to_numpy(float)
    return table.assign(visits=_shared_out(min(visits, len(farms)), weight, table["farms"].tolist()))


def _shared_out(visits: int, weight: Floats, farms: Sequence[int]) -> npt.NDArray[np.int64]:
    """Whole numbers that add up to `visits`: first two each where they suffice, then always where it helps most."""
    least = np.minimum(farms, 2)
    given = least if visits >= least.sum() else np.zeros(len(weight), dtype=np.int64)
    given = given.astype(np.int64)
    for _ in range(visits - int(given.sum())):
        free = given < np.asarray(farms)
        gain = np.where(free, weight**2 / (np.maximum(given, 0.5) * (given + 1.0)), -1.0)
        given[int(np.argmax(gain))] += 1
    return given
