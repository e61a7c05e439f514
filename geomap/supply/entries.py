"""Entries of calibration: one per member and season, past or coming, in an order of their own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.supply.gaussian import Codes, Floats
from geomap.supply.months import parse_season

Mask = npt.NDArray[np.bool_]
Frames = tuple[pd.DataFrame, pd.DataFrame]
"""Members of past seasons, and of the one to come."""


@dataclass(frozen=True, eq=False)
class Entries:
    """One entry per member and season, in an order that does not depend on the order of rows.

    row: the ratio that the entry belongs to; −1 where its season could not be used.
    """

    cooperative: Codes
    member: Codes  # within all cooperatives
    year: Codes
    coming: Mask
    mapped: Mask
    potential: Floats
    delivered: Floats
    kappa: Floats
    row: Codes
    order: Codes


def entries_of(frames: Frames, cooperative: Codes, member: Codes, members: int) -> Entries:
    year = np.concatenate([years_of(frame["season"]) for frame in frames]).astype(np.int64)
    coming = np.repeat([False, True], [len(frame) for frame in frames])
    potential, kappa = column_of(frames, "potential_kg"), column_of(frames, "kappa")
    joint = cooperative * max(members, 1) + member
    order = _canonical(joint, year, potential, kappa)
    joint = joint[order]
    number = np.cumsum(np.diff(joint, prepend=joint[:1]) != 0)
    return Entries(
        cooperative=cooperative[order],
        member=number.astype(np.int64),
        year=year[order],
        coming=coming[order],
        mapped=np.concatenate([frame["mapped"].to_numpy(bool) for frame in frames])[order],
        potential=potential[order],
        delivered=np.concatenate([frame["delivered_kg"].to_numpy(float) for frame in frames])[order],
        kappa=kappa[order],
        row=np.full(len(order), -1),
        order=order,
    )


def _canonical(joint: Codes, year: Codes, potential: Floats, kappa: Floats) -> Codes:
    """Order by member and season; where a member has several entries in a season, by their numbers."""
    first = int(year.min(initial=9999))
    key = joint * (int(year.max(initial=0)) - first + 1) + (year - first)
    order = np.argsort(key, kind="stable")
    if (np.diff(key[order]) == 0).any():
        order = np.lexsort((kappa, potential, key))
    return order


def years_of(seasons: "pd.Series[str]") -> Codes:
    codes, names = pd.factorize(seasons)
    return np.asarray(np.array([parse_season(str(name)) for name in names], dtype=np.int64)[codes])


def codes_of(frames: Frames, name: str) -> tuple[pd.Index, Codes]:
    """Sorted texts of a column of both tables, and their codes."""
    codes, texts = pd.factorize(pd.concat([frame[name] for frame in frames], ignore_index=True), sort=True)
    return pd.Index(texts, name=name), codes.astype(np.int64)


def column_of(frames: Frames, name: str) -> Floats:
    """Values of both tables; 0 where a table does not have the column or a value."""
    return np.concatenate(
        [np.nan_to_num(frame[name].to_numpy(float)) if name in frame else np.zeros(len(frame)) for frame in frames]
    )


def sums_of(group: Codes, values: Floats, groups: int) -> Floats:
    return np.bincount(group, values, groups).astype(np.float64, copy=False)
