"""Learning from deliveries: supply of each cooperative and member, with what past seasons say of it.

The logarithm of delivered ÷ potential of each cooperative, season and stratum (members with a plot, without one) is a
row of one Gaussian linear model. Its covariance is built from the named error sources (`geomap.supply.ratios`), so
what is constant for a cooperative is replaced by its posterior and never added again, and what cooperatives share
is learned from all of them. Potential is not supply: without evidence there is no supply.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from geomap.errors import NumberError
from geomap.supply import gaussian
from geomap.supply.credibility import credibility
from geomap.supply.crops import error_cv
from geomap.supply.gaussian import Floats
from geomap.supply.joint import JointSupply, evidence_of
from geomap.supply.ratio_parts import log_variance
from geomap.supply.ratios import Ratios, ratios
from geomap.supply.totals import interval

if TYPE_CHECKING:
    from geomap.supply.history import History

DELIVERED_SHARE: Final = 0.8
"""Share of the potential that reaches the cooperative, where none is told; weak."""

ENOUGH: Final = 8
"""Groups (cooperatives, origins, seasons of an origin …) below which a variance stays at its prior."""

LOG_SD: Final = 0.4
"""Sd of the logarithm of a relative sd around the reference table's."""

_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Calibration:
    """Supply of the season to come, given potential, past deliveries and declared shares.

    Attributes
    ----------
    cooperatives : index cooperative_id, sorted; potential_kg, supply_kg (mean), var (kg²), supply_p10_kg,
        supply_p50_kg, supply_p90_kg, log_mean, log_var (of ln(supply / potential)), seasons (own seasons used),
        evidence ("own deliveries", "deliveries of the origin", "declared share", "none": then no supply).
    strata : cooperative_id, mapped, members, potential_kg, supply_kg; adds up to the cooperative.
    members : index member_id, sorted by cooperative and member; cooperative_id, factor (1: delivers like the others
        of its stratum), potential_kg, supply_kg; adds up to the cooperative.
    sources : source, prior_cv, cv, how ("learned from 40 cooperatives", "prior").
    ratios : what was learned from; cooperative_id, season, stratum ("mapped", "unmapped", "all"), members,
        potential_kg, delivered_kg.
    left_out : cooperative_id, season, reason ("nothing was delivered", "no members are known", "the season is not
        over"): deliveries that say nothing here; a logarithm cannot take 0.
    """

    cooperatives: pd.DataFrame
    strata: pd.DataFrame
    members: pd.DataFrame
    sources: pd.DataFrame
    ratios: pd.DataFrame
    left_out: pd.DataFrame
    _supply: "JointSupply" = field(repr=False)

    @cached_property
    def variance(self) -> pd.DataFrame:
        """Share of the variance of supply that would go away if a source were known: 1 − Var(known) / Var.

        Shares do not add up to 1. What past deliveries have told already is not in them.

        Returns
        -------
        DataFrame : cooperative_id ("all" for the sum), source, share; by cooperative and the largest share first.
        """
        return self._supply.variance_shares()

    @cached_property
    def from_others(self) -> pd.DataFrame:
        """What other cooperatives and the priors say of each cooperative: its own deliveries are left out.

        For whoever asks whether a cooperative's own deliveries are likely: steady errors must not explain themselves.
        The variances stay as learned from all.

        Returns
        -------
        DataFrame : index and columns as `cooperatives`, without seasons; evidence is "deliveries of the origin",
            "declared share" or "none".
        """
        return self._supply.from_others()

    def covariance(self, first: str, second: str) -> float:
        """Posterior covariance (kg²) of the supply of two cooperatives; the variance where they are the same."""
        return self._supply.covariance(self._supply.rows_of([first]), self._supply.rows_of([second]))

    def total(self, cooperative_ids: Sequence[str] | None = None) -> "pd.Series[float]":
        """Supply of several cooperatives together: mean_kg, var (kg²), p10, p50, p90.

        Var = Σ_ab E_a E_b (e^{C_ab} − 1), C the posterior covariance: cooperatives of one origin err together.

        Parameters
        ----------
        cooperative_ids : all of those with a supply, where not given. NaN where one of them has none.

        Raises
        ------
        UnknownNameError : an id that was not estimated.
        """
        known = self._supply.index[np.unique(self._supply.cooperative[self._supply.known()])]
        ids = known if cooperative_ids is None else pd.Index(cooperative_ids).unique()
        return self.part(pd.Series(1.0, index=ids))

    def part(self, shares: "pd.Series[float]") -> "pd.Series[float]":
        """Supply of a group that holds a share of each of some cooperatives: mean_kg, var (kg²), p10, p50, p90.

        Parameters
        ----------
        shares : index cooperative_id; the part (0–1) of each cooperative's supply.
        """
        rows = self._supply.rows_of(shares.index.tolist())
        share = shares.reindex(self._supply.index).fillna(0.0).to_numpy(float)
        supply = replace(self._supply, mean=self._supply.mean * share[self._supply.cooperative])
        mean, var = float(supply.mean[rows].sum()), supply.covariance(rows, rows)
        quantiles = {name: float(interval(mean, var, q)) for name, q in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9))}
        return pd.Series({"mean_kg": mean, "var": var} | quantiles)


def calibrate(
    history: "History | None",
    target: pd.DataFrame,
    *,
    delivered_share: pd.DataFrame | None = None,
    learn: bool = True,
) -> Calibration:
    """Supply of the season to come, calibrated by past deliveries.

    The prior of a cooperative's ln(supply / potential) is −½ K + ln(delivered share), so that its mean is share ×
    potential; K is the sum of all error sources. Past ratios replace what they tell of these errors.

    Parameters
    ----------
    history : of `make_history`; None without deliveries. Only seasons before that of the target are used.
    target : of `target_frame`: members of one season to come.
    delivered_share : index cooperative_id; share (0–1), cv. Where not told: .8, cv .25, and no evidence of its own.
    learn : by restricted marginal likelihood with log-normal priors, each from at least 8 groups. Without,
        they are those of the reference table.

    Raises
    ------
    ColumnError : a column or a potential is missing, or the target has more than one season.
    NumberError : a delivered share outside 0–1, or its cv below 0.

    Source: Fay and Herriot (1979), with the error sources of `geomap.supply.totals` in the place of sampling errors.

    Examples
    --------
    Nothing but a declared share: the mean is share × potential.

    >>> target = pd.DataFrame({"cooperative_id": "C", "member_id": ["A", "B"], "season": "2026/27", "origin": "o",
    ...     "region": "r", "form_pair": "a>a", "mapped": True, "potential_kg": 500.0, "kappa": 0.3,
    ...     "delivered_kg": np.nan})
    >>> told = pd.DataFrame({"share": [0.6], "cv": [0.1]}, index=["C"])
    >>> calibrate(None, target, delivered_share=told).cooperatives[["supply_kg", "evidence"]].values.tolist()
    [[600.0, 'declared share']]
    >>> calibrate(None, target).cooperatives[["supply_kg", "evidence"]].values.tolist()
    [[nan, 'none']]
    """
    ids = pd.Index(pd.concat([target["cooperative_id"], _ids(history)]).unique())
    share = _shares(delivered_share, ids)
    found = ratios(history, target, share["cv"])
    model, log_share = found.model, np.log(share["share"].reindex(found.cooperatives).to_numpy())[found.model.block]

    def offset(variances: Mapping[str, float]) -> Floats:
        parts = [variances.get(name, 1.0) * diagonal for name, diagonal in model.diagonals.items()]
        return np.asarray(log_share - 0.5 * np.sum(parts, axis=0))

    levels = _levels(found) if learn else {}
    start = dict.fromkeys([*model.narrow, *model.wide], 1.0)
    variances = gaussian.learn(model, start, log_sd=dict.fromkeys(levels, LOG_SD), offset=offset, tolerance=_TOLERANCE)
    supply = JointSupply.of(found, variances, offset(variances), share["told"])
    evidence = evidence_of(supply)
    supply = supply.only((evidence != "none").to_numpy())
    return Calibration(
        cooperatives=supply.cooperatives(evidence),
        strata=supply.strata(),
        members=_members(found, supply, target),
        sources=_sources(found, variances, levels),
        ratios=_learned_from(found),
        left_out=found.left_out,
        _supply=supply,
    )


def _ids(history: "History | None") -> "pd.Series[str]":
    return pd.Series([], dtype="str") if history is None else history.members["cooperative_id"]


def _shares(told: pd.DataFrame | None, ids: pd.Index) -> pd.DataFrame:
    """Delivered share of every cooperative, its cv, and whether it was told."""
    given = pd.DataFrame({"share": np.nan, "cv": np.nan}, index=ids)
    if told is not None:
        given = told.reindex(ids)[["share", "cv"]].astype(float)
    wrong = (given["share"] <= 0) | (given["share"] > 1) | (given["cv"] < 0)
    if wrong.any():
        raise NumberError(
            f"The delivered share of {int(wrong.sum())} cooperatives cannot be: {given[wrong].iloc[0].to_dict()}.",
            why="It is a share of the potential, above 0 and at most 1, with a relative error.",
            todo="Write .7 for seventy percent, or leave it empty where it is not known.",
        )
    is_told = given["share"].notna()
    cv = given["cv"].where(is_told).fillna(error_cv("delivered_share"))
    return given.assign(share=given["share"].fillna(DELIVERED_SHARE), cv=cv, told=is_told)


def _levels(found: Ratios) -> dict[str, str]:
    """Sources whose variance is learned, with what from."""
    past = found.table[~found.table["coming"]]
    rows = past.index.to_numpy()
    cooperatives = past["cooperative"].nunique()
    seasons = len(past[["cooperative", "year"]].drop_duplicates())
    mapped, unmapped = (past.loc[past["stratum"] == kind, "cooperative"].unique() for kind in ("mapped", "unmapped"))
    both = len(np.intersect1d(mapped, unmapped))
    origins, origin_seasons = (
        len(np.unique(found.model.wide[source][rows].tocoo().coords[1])) for source in ("base_yield", "season")
    )
    counts = {
        "base_yield": (origins, origins, "origins"),
        "season": (origin_seasons, origin_seasons, "seasons of origins"),
        "cooperative": (cooperatives, cooperatives, "cooperatives"),
        "delivered_share": (cooperatives, cooperatives, "cooperatives"),
        "coop_season": (seasons - cooperatives, seasons, "seasons of cooperatives"),
        "unmapped": (both, both, "cooperatives"),
    }
    present = {*found.model.narrow, *found.model.wide}
    return {
        source: f"learned from {shown} {of}"
        for source, (enough, shown, of) in counts.items()
        if enough >= ENOUGH and source in present and found.prior_cv[source] > 0
    }


def _sources(found: Ratios, variances: Mapping[str, float], levels: Mapping[str, str]) -> pd.DataFrame:
    names = sorted(variances)
    prior = found.prior_cv.reindex(names).to_numpy(float)
    cv = np.sqrt(np.expm1(log_variance(prior) * np.array([variances[name] for name in names])))
    how = [levels.get(name, "prior") for name in names]
    return pd.DataFrame({"source": names, "prior_cv": prior, "cv": cv, "how": how}).astype(
        {"source": "str", "how": "str"}
    )


def _members(found: Ratios, supply: JointSupply, target: pd.DataFrame) -> pd.DataFrame:
    """Each member's part of the supply of its stratum, by potential × credibility."""
    entries, table = found.entries, found.table
    factor = _factors(found)
    coming = entries.coming
    row, potential = entries.row[coming], entries.potential[coming]
    weight = potential * factor[entries.member[coming]]
    in_row = np.bincount(row[row >= 0], weight[row >= 0], len(table))
    mean = np.zeros(len(table))
    mean[table["coming"].to_numpy()] = supply.mean
    with np.errstate(invalid="ignore"):
        kg = np.where(row >= 0, weight * (mean / in_row)[row], 0.0)
    given = target.iloc[entries.order[coming] - int((~coming).sum())]
    return pd.DataFrame(
        {
            "cooperative_id": given["cooperative_id"].to_numpy(),
            "factor": factor[entries.member[coming]],
            "potential_kg": potential,
            "supply_kg": kg,
        },
        index=pd.Index(given["member_id"], name="member_id"),
    )


def _factors(found: Ratios) -> Floats:
    """Credibility of every member, past or coming."""
    entries, table = found.entries, found.table
    kappa = np.zeros(int(entries.member.max(initial=-1)) + 1)
    kappa[entries.member] = entries.kappa
    used = ~entries.coming & (entries.row >= 0) & ~np.isnan(entries.delivered) & (entries.potential > 0)
    ratio = (table["delivered_kg"] / table["potential_kg"]).to_numpy()[entries.row[used]]
    return credibility(entries.member[used], entries.delivered[used] / (entries.potential[used] * ratio), kappa)


def _learned_from(found: Ratios) -> pd.DataFrame:
    past = found.table[~found.table["coming"]]
    season = [f"{year}/{(year + 1) % 100:02d}" for year in past["year"].tolist()]
    names = pd.Series(found.cooperatives.to_numpy(dtype=object)[past["cooperative"]], dtype="str")
    columns = past[["stratum", "members", "potential_kg", "delivered_kg"]].reset_index(drop=True)
    table = pd.concat([names.rename("cooperative_id"), pd.Series(season, dtype="str", name="season"), columns], axis=1)
    return table.astype({"stratum": "str"})
