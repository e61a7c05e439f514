"""Ratios of deliveries to potential, and how their errors hang together: the rows that calibration learns from.

A row is r = ln(ΣD / ΣS) over the members of one cooperative, season and stratum: those with a plot (mapped), those
without one (unmapped), or all where deliveries are known only for the whole cooperative. The season to come has rows
without a value. Errors that many cooperatives share become loadings, errors of one cooperative become pairs.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError
from geomap.supply.entries import Entries, codes_of, entries_of, sums_of, years_of
from geomap.supply.gaussian import Codes, Floats, Model
from geomap.supply.months import parse_season
from geomap.supply.ratio_parts import ratio_model

if TYPE_CHECKING:
    from geomap.supply.history import History

NEEDED: Final = [
    "cooperative_id", "member_id", "season", "origin", "region", "form_pair", "mapped", "potential_kg", "kappa",
    "delivered_kg",
]  # fmt: skip

STRATA: Final = ("mapped", "unmapped", "all")


@dataclass(frozen=True, eq=False)
class Ratios:
    """Rows with their model, and the entries they were made of.

    Attributes
    ----------
    table : one row per ratio, by cooperative, past before coming, season, stratum: cooperative (code), year, coming,
        stratum ("mapped", "unmapped", "all"), members, potential_kg, delivered_kg (NaN where coming).
    model : of `geomap.supply.gaussian`; variances are multiples of the priors.
    cooperatives, member_ids : texts of the codes, sorted.
    left_out : cooperative_id, season, reason.
    prior_cv : per source the relative sd that its variance 1 stands for; where it differs, the mean over the rows to
        come that have it, by potential.
    """

    table: pd.DataFrame
    model: Model
    entries: Entries
    cooperatives: pd.Index
    member_ids: pd.Index
    left_out: pd.DataFrame
    prior_cv: "pd.Series[float]"


def ratios(history: "History | None", target: pd.DataFrame, share_cv: "pd.Series[float]") -> Ratios:
    """Ratios of the past and rows of the season to come.

    Parameters
    ----------
    history : None without deliveries. Seasons from the one to come on are left out.
    target : members of one season to come.
    share_cv : index cooperative_id; relative sd of its delivered share.

    Raises
    ------
    ColumnError : a column is missing, a potential is missing, or the target has more than one season.
    """
    past = target.iloc[:0] if history is None else history.members
    for frame, name in ((past, "the history"), (target, "the target")):
        _require(frame, name)
    totals = None if history is None else history.totals
    coming_year = _one_season(target)
    late = pd.Series(years_of(past["season"]) >= coming_year, index=past.index)
    early = past if not late.any() else past[~late.to_numpy()]
    frames = (early, target)
    cooperatives, cooperative = codes_of(frames, "cooperative_id")
    member_ids, member = codes_of(frames, "member_id")
    entries = entries_of(frames, cooperative, member, len(member_ids))
    whole, lost = _totals(totals, cooperatives, coming_year)
    entries, table, nothing = _rows(entries, whole, len(cooperatives))
    unfinished = past.loc[late.to_numpy(), ["cooperative_id", "season"]].drop_duplicates()
    left_out = _left_out(cooperatives, nothing, [lost, unfinished.assign(reason="the season is not over")])
    model, prior = ratio_model(frames, entries, table, share_cv.reindex(cooperatives).to_numpy(float))
    return Ratios(table, model, entries, cooperatives, member_ids, left_out, prior)


def _require(frame: pd.DataFrame, name: str) -> None:
    missing = [column for column in NEEDED if column not in frame]
    if missing:
        raise ColumnError(
            f"Columns missing in {name}: {', '.join(missing)}.",
            why="Deliveries are compared with what members' plots can bear.",
            todo="Make the tables with geomap.supply.history.",
        )
    if frame[["potential_kg", "kappa"]].isna().to_numpy().any():
        raise ColumnError(
            f"Potential or kappa is missing for members in {name}.",
            why="A ratio needs what the plots can bear.",
            todo="Leave out members without a potential.",
        )


def _one_season(target: pd.DataFrame) -> int:
    seasons = target["season"].unique().tolist()
    if len(seasons) > 1:
        raise ColumnError(
            f"The target has {len(seasons)} seasons.",
            why="One season to come is estimated at a time.",
            todo="Call once per season.",
        )
    return parse_season(str(seasons[0])) if seasons else 0


def _totals(totals: pd.DataFrame | None, cooperatives: pd.Index, before: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Deliveries of whole cooperatives by code and year; and those without members, which cannot be used."""
    empty = pd.DataFrame({"cooperative_id": pd.Series(dtype="str"), "season": pd.Series(dtype="str"), "reason": ""})
    if totals is None or totals.empty:
        none = pd.DataFrame({"cooperative": np.zeros(0, np.int64), "year": np.zeros(0, np.int64), "kg": np.zeros(0)})
        return none, empty
    code, year = cooperatives.get_indexer(totals["cooperative_id"]), years_of(totals["season"])
    known = pd.DataFrame({"cooperative": code, "year": year, "kg": totals["delivered_kg"].to_numpy(float)})
    known["kg"] = known["kg"].fillna(0.0)
    lost = totals.loc[(code < 0) | (year >= before), ["cooperative_id", "season"]].drop_duplicates()
    reason = np.where(years_of(lost["season"]) >= before, "the season is not over", "no members are known")
    used = known[(code >= 0) & (year < before)].sort_values(["cooperative", "year", "kg"])
    return used.groupby(["cooperative", "year"], as_index=False)["kg"].sum(), lost.assign(reason=reason)


def _rows(entries: Entries, totals: pd.DataFrame, count: int) -> tuple[Entries, pd.DataFrame, pd.DataFrame]:
    """Entries with their row, the table of rows, and the seasons of cooperatives that gave none.

    Sums stand in cells (cooperative, past or coming, year, stratum).
    """
    years = np.unique(np.concatenate([entries.year, totals["year"].to_numpy(np.int64)]))
    shape = (count, 2, len(years), len(STRATA))
    size = math.prod(shape)
    year, of_total = np.searchsorted(years, entries.year), np.searchsorted(years, totals["year"])
    reported = np.zeros((count, len(years)), dtype=bool)
    reported[totals["cooperative"], of_total] = True
    by_total = reported[entries.cooperative, year] & ~entries.coming
    used = entries.coming | by_total | ~np.isnan(entries.delivered)
    kg = np.where(entries.coming | by_total | ~used, 0.0, entries.delivered)

    def cells(stratum: Codes) -> tuple[Codes, Floats, Floats]:
        cell = np.ravel_multi_index((entries.cooperative, entries.coming.astype(int), year, stratum), shape)
        potential, delivered = (sums_of(cell[used], kilograms[used], size) for kilograms in (entries.potential, kg))
        return cell.astype(np.int64), potential.reshape(shape), delivered.reshape(shape)

    stratum = np.where(by_total, 2, np.where(entries.mapped, 0, 1))
    _, potential, delivered = cells(stratum)
    one_is_zero = (potential[:, 0, :, :2] > 0).all(axis=-1) & ((delivered[:, 0, :, :2] > 0).sum(axis=-1) == 1)
    together = one_is_zero[entries.cooperative, year] & ~entries.coming
    cell, potential, delivered = cells(np.where(together, 2, stratum))
    delivered[totals["cooperative"], 0, of_total, 2] = totals["kg"]
    present = potential > 0
    present[:, 0] &= delivered[:, 0] > 0
    known = reported.copy()
    known[entries.cooperative[used & ~entries.coming], year[used & ~entries.coming]] = True
    without = np.nonzero(known & ~present[:, 0].any(axis=-1))
    cooperative, coming, at, kind = np.nonzero(present)
    number = np.where(present.ravel(), np.cumsum(present) - 1, -1)
    members = np.bincount(cell[used], minlength=present.size)
    table = pd.DataFrame(
        {
            "cooperative": cooperative,
            "year": years[at],
            "coming": coming.astype(bool),
            "stratum": pd.Categorical.from_codes(kind, list(STRATA)),
            "members": members[present.ravel()],
            "potential_kg": potential[present],
            "delivered_kg": np.where(coming, np.nan, delivered[present]),
        }
    )
    lost = pd.DataFrame({"cooperative": without[0], "year": years[without[1]]})
    return replace(entries, row=np.where(used, number[cell], -1)), table, lost


def _left_out(cooperatives: pd.Index, nothing: pd.DataFrame, parts: list[pd.DataFrame]) -> pd.DataFrame:
    found = pd.DataFrame(
        {
            "cooperative_id": cooperatives.to_numpy(dtype=object)[nothing["cooperative"]],
            "season": [f"{year}/{(year + 1) % 100:02d}" for year in nothing["year"].tolist()],
            "reason": "nothing was delivered",
        }
    )
    table = pd.concat([found, *parts])[["cooperative_id", "season", "reason"]].astype("str")
    return table.drop_duplicates().sort_values(["cooperative_id", "season", "reason"], ignore_index=True)
