"""Ratios of deliveries to potential, and how their errors hang together: the rows that calibration learns from.

A row is r = ln(ΣD / ΣS) over the members of one cooperative, season and stratum: those with a plot (mapped), those
without one (unmapped), or all where deliveries are known only for the whole cooperative. The season to come has rows
without a value. Errors that many cooperatives share become loadings, errors of one cooperative become pairs.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from geomap.errors import ColumnError
from geomap.supply.crops import error_cv
from geomap.supply.gaussian import Codes, Floats, Model, block_pairs
from geomap.supply.months import parse_season

if TYPE_CHECKING:
    from geomap.supply.history import History

DRIFT_SD: Final = 0.05
"""By how much a cooperative's logarithm of delivered ÷ potential drifts in a season; weak.

Without it a drift of .10 a season lowers the coverage of 80 % intervals to 67 %; with it they hold 78 %, and it costs
nothing where there is none.
"""

NEEDED: Final = [
    "cooperative_id", "member_id", "season", "origin", "region", "form_pair", "mapped", "potential_kg", "kappa",
    "delivered_kg",
]  # fmt: skip

_OF_A_COOPERATIVE: Final = ("drawn", "declared_bias", "unmapped")

STRATA: Final = ("mapped", "unmapped", "all")

Mask = npt.NDArray[np.bool_]


def log_variance(cv: npt.ArrayLike) -> Floats:
    """Variance of the logarithm of a log-normal factor: L(cv) = ln(1 + cv²).

    Examples
    --------
    >>> log_variance([0.35]).round(4)
    array([0.1156])
    """
    return np.asarray(np.log1p(np.square(np.asarray(cv, dtype=float))))


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
    late = pd.Series(_years(past["season"]) >= coming_year, index=past.index)
    early = past if not late.any() else past[~late.to_numpy()]
    frames = (early, target)
    cooperatives, cooperative = _codes(frames, "cooperative_id")
    member_ids, member = _codes(frames, "member_id")
    entries = _entries(frames, cooperative, member, len(member_ids))
    whole, lost = _totals(totals, cooperatives, coming_year)
    entries, table, nothing = _rows(entries, whole, len(cooperatives))
    unfinished = past.loc[late.to_numpy(), ["cooperative_id", "season"]].drop_duplicates()
    left_out = _left_out(cooperatives, nothing, [lost, unfinished.assign(reason="the season is not over")])
    model, prior = _model(frames, entries, table, share_cv.reindex(cooperatives).to_numpy(float))
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


def _years(seasons: "pd.Series[str]") -> Codes:
    codes, names = pd.factorize(seasons)
    return np.asarray(np.array([parse_season(str(name)) for name in names], dtype=np.int64)[codes])


def _codes(frames: tuple[pd.DataFrame, pd.DataFrame], name: str) -> tuple[pd.Index, Codes]:
    """Sorted texts of a column of both tables, and their codes."""
    codes, texts = pd.factorize(pd.concat([frame[name] for frame in frames], ignore_index=True), sort=True)
    return pd.Index(texts, name=name), codes.astype(np.int64)


def _column(frames: tuple[pd.DataFrame, pd.DataFrame], name: str) -> Floats:
    """Values of both tables; 0 where a table does not have the column or a value."""
    return np.concatenate(
        [np.nan_to_num(frame[name].to_numpy(float)) if name in frame else np.zeros(len(frame)) for frame in frames]
    )


def _entries(frames: tuple[pd.DataFrame, pd.DataFrame], cooperative: Codes, member: Codes, members: int) -> Entries:
    year = np.concatenate([_years(frame["season"]) for frame in frames]).astype(np.int64)
    coming = np.repeat([False, True], [len(frame) for frame in frames])
    potential, kappa = _column(frames, "potential_kg"), _column(frames, "kappa")
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


def _totals(totals: pd.DataFrame | None, cooperatives: pd.Index, before: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Deliveries of whole cooperatives by code and year; and those without members, which cannot be used."""
    empty = pd.DataFrame({"cooperative_id": pd.Series(dtype="str"), "season": pd.Series(dtype="str"), "reason": ""})
    if totals is None or totals.empty:
        none = pd.DataFrame({"cooperative": np.zeros(0, np.int64), "year": np.zeros(0, np.int64), "kg": np.zeros(0)})
        return none, empty
    code, year = cooperatives.get_indexer(totals["cooperative_id"]), _years(totals["season"])
    known = pd.DataFrame({"cooperative": code, "year": year, "kg": totals["delivered_kg"].to_numpy(float)})
    known["kg"] = known["kg"].fillna(0.0)
    lost = totals.loc[(code < 0) | (year >= before), ["cooperative_id", "season"]].drop_duplicates()
    reason = np.where(_years(lost["season"]) >= before, "the season is not over", "no members are known")
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
        potential, delivered = (_sums(cell[used], kilograms[used], size) for kilograms in (entries.potential, kg))
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
    return table.sort_values(["cooperative_id", "season", "reason"], ignore_index=True)


def _model(
    frames: tuple[pd.DataFrame, pd.DataFrame], entries: Entries, table: pd.DataFrame, share_cv: Floats
) -> tuple[Model, "pd.Series[float]"]:
    """Covariance of the rows, part by part, and the relative sd that each part stands for."""
    used = entries.row >= 0
    row, order = entries.row[used], entries.order[used]
    weight = entries.potential[used] / table["potential_kg"].to_numpy()[row]
    block, year = table["cooperative"].to_numpy(np.int64), table["year"].to_numpy(np.int64)
    left, right = block_pairs(block)
    constant, coop_season = np.ones(len(left)), (year[left] == year[right]).astype(float)
    first = pd.Series(year).groupby(block).transform("min").to_numpy() if len(year) else year
    since = year - first + 1
    plot, member_season = _member_parts(entries, used, weight, len(table), (left, right))
    narrow = {
        "cooperative": log_variance(error_cv("cooperative")) * constant,
        "delivered_share": log_variance(share_cv)[block[left]] * constant,
        "drift": DRIFT_SD**2 * np.minimum(since[left], since[right]),
        "coop_season": log_variance(error_cv("coop_season")) * coop_season,
        "plot": plot,
        "member_season": member_season,
    }
    origin, region, form_pair = (_codes(frames, name)[1][order] for name in ("origin", "region", "form_pair"))
    by_origin = _loadings(row, origin, weight * error_cv("base_yield"), len(table))
    by_season = _loadings(row, origin, weight * error_cv("season"), len(table))
    wide = {"base_yield": by_origin, "season": _by_season(by_season, year)}
    coming = table["coming"].to_numpy() * table["potential_kg"].to_numpy()
    prior = {name: error_cv(name) for name in ("base_yield", "season", "cooperative", "coop_season", "member_season")}
    prior |= {"drift": DRIFT_SD, "delivered_share": _mean(share_cv[block], coming)}
    prior["plot"] = float(np.sqrt(_mean(entries.kappa, entries.potential * entries.coming)))
    for column in sorted({str(name) for frame in frames for name in frame.columns if str(name).startswith("cv:")}):
        source = column.removeprefix("cv:")
        loading = weight * _column(frames, column)[order]
        if not loading.any():
            continue
        summed = _sums(row, loading, len(table))
        prior[source] = _mean(summed, coming * (summed > 0))
        if source in _OF_A_COOPERATIVE:
            sd = np.sqrt(log_variance(summed))
            narrow[source] = sd[left] * sd[right]
        else:
            shared = {"conversion": form_pair, "map_region": region}.get(source.split(":")[0], np.zeros_like(origin))
            wide[source] = _loadings(row, shared, loading, len(table))
    y = np.log(table["delivered_kg"].to_numpy() / table["potential_kg"].to_numpy())
    return Model(y, block, narrow, wide), pd.Series(prior, dtype=float)


def _member_parts(
    entries: Entries, used: Mask, weight: Floats, rows: int, pairs: tuple[Codes, Codes]
) -> tuple[Floats, Floats]:
    """Covariance from members: ln(1 + Σ q q' κ) over those in both rows, and what a season adds within a row."""
    left, right = pairs
    row, kappa = entries.row[used], entries.kappa[used]
    shape = (int(entries.member.max(initial=-1)) + 1, rows)
    q = sparse.csr_array((weight * np.sqrt(kappa), (entries.member[used], row)), shape=shape)
    shared = (q.T @ q).tocsr()
    plot = np.log1p(np.asarray(shared[left, right]).ravel()) if len(left) else np.zeros(0)
    both = (1.0 + kappa) * (1.0 + error_cv("member_season") ** 2) - 1.0
    within = np.log1p(_sums(row, weight**2 * both, rows)) - np.log1p(_sums(row, weight**2 * kappa, rows))
    return plot, np.where(left == right, within[left], 0.0)


def _loadings(row: Codes, group: Codes, loading: Floats, rows: int) -> "sparse.csr_array":
    """√L of the summed loadings of each row and group: covariance √L(a) √L(a') where a group is shared."""
    groups = int(group.max(initial=-1)) + 1
    summed = _sums(row * max(groups, 1) + group, loading, rows * groups).reshape(rows, groups)
    return sparse.csr_array(np.sqrt(log_variance(summed)))


def _by_season(by_origin: "sparse.csr_array", year: Codes) -> "sparse.csr_array":
    """The loadings of each origin, drawn anew every season."""
    found = by_origin.tocoo()
    row, origin = found.coords
    codes, level = np.unique(year[row] * (by_origin.shape[1] + 1) + origin, return_inverse=True)
    return sparse.csr_array((found.data, (row, level)), shape=(by_origin.shape[0], len(codes)))


def _sums(group: Codes, values: Floats, groups: int) -> Floats:
    return np.bincount(group, values, groups).astype(np.float64, copy=False)


def _mean(values: Floats, weight: Floats) -> float:
    return float(values @ weight / weight.sum()) if weight.sum() > 0 else 0.0
