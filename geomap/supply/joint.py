"""Supply of many cooperatives as one joint distribution: sums, covariances, and what each error source is worth.

Each row is a cooperative's stratum, log-normal: E = P e^{m + v/2}. Of any rows, Cov = E_a E_b (e^{C_ab} − 1), C the
posterior covariance of the logarithms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from geomap.errors import UnknownNameError
from geomap.supply import gaussian
from geomap.supply.entries import Mask
from geomap.supply.gaussian import Codes, Floats, Posterior, block_pairs
from geomap.supply.ratios import Ratios
from geomap.supply.totals import interval

_ROWS_AT_ONCE: Final = 512
_LEAST_SHARE: Final = 1e-6
_KNOWN: Final = {"member_season": 1e-5}
"""What is left of a variance when its source is known; not 0 where two rows may differ by this source alone."""


@dataclass(frozen=True, eq=False)
class JointSupply:
    """Rows of the season to come: one per cooperative and stratum, with their posterior."""

    found: Ratios
    variances: Mapping[str, float]
    offset: Floats  # prior mean of every row, past and coming
    posterior: Posterior
    index: pd.Index
    told: Mask  # whether each cooperative told its delivered share
    cooperative: Codes  # position of each row in the index
    table: pd.DataFrame
    mean: Floats  # kg; NaN without evidence

    @classmethod
    def of(
        cls, found: Ratios, variances: Mapping[str, float], offset: Floats, told: "pd.Series[bool]"
    ) -> "JointSupply":
        codes = np.unique(found.entries.cooperative[found.entries.coming])
        table, index = found.table[found.table["coming"]], found.cooperatives[codes]
        posterior = gaussian.posterior(found.model, variances, offset)
        return cls(
            found=found,
            variances=variances,
            offset=offset,
            posterior=posterior,
            index=index,
            told=told.reindex(index).to_numpy(bool),
            cooperative=np.searchsorted(codes, table["cooperative"]),
            table=table,
            mean=_means(table, posterior),
        )

    def from_others(self) -> pd.DataFrame:
        posterior = gaussian.from_other_blocks(self.found.model, self.variances, self.offset)
        evidence = evidence_of(self, others=True)
        supply = replace(self, posterior=posterior, mean=_means(self.table, posterior))
        return supply.only((evidence != "none").to_numpy()).cooperatives(evidence).drop(columns="seasons")

    def only(self, known: Mask) -> "JointSupply":
        """The same with no supply for the other cooperatives."""
        return replace(self, mean=np.where(known[self.cooperative], self.mean, np.nan))

    def known(self) -> Codes:
        return np.flatnonzero(~np.isnan(self.mean))

    def rows_of(self, cooperative_ids: Sequence[str]) -> Codes:
        position = self.index.get_indexer(pd.Index(cooperative_ids).unique())
        if (position < 0).any():
            strange = pd.Index(cooperative_ids).unique()[position < 0].tolist()
            raise UnknownNameError(
                f"{len(strange)} cooperatives were not estimated: {', '.join(map(str, strange[:5]))}.",
                why="Only the cooperatives of the season to come have a supply.",
                todo="Take ids from the index of `cooperatives`.",
            )
        return np.flatnonzero(np.isin(self.cooperative, position))

    def covariance(self, left: Codes, right: Codes, posterior: Posterior | None = None) -> float:
        """Σ_ab E_a E_b (e^{C_ab} − 1) over rows a of the left and b of the right."""
        posterior = posterior or self.posterior
        found = 0.0
        for first in range(0, len(left), _ROWS_AT_ONCE):
            rows = left[first : first + _ROWS_AT_ONCE]
            log = posterior.far[rows] @ posterior.far[right].T
            near = posterior.near[rows][:, right].tocoo()
            log[near.coords] += near.data
            found += float(self.mean[rows] @ np.expm1(log, out=log) @ self.mean[right])
        return found

    def variances_of(self, posterior: Posterior) -> Floats:
        """Variance of each cooperative's supply, kg²."""
        left, right = block_pairs(self.cooperative)
        log = np.einsum("ij,ij->i", posterior.far[left], posterior.far[right])
        if len(left):
            log += np.asarray(posterior.near[left, right]).ravel()
        pairs = self.mean[left] * self.mean[right] * np.expm1(log)
        return np.bincount(self.cooperative[left], pairs, len(self.index)).astype(float)

    def cooperatives(self, evidence: "pd.Series[str]") -> pd.DataFrame:
        count = len(self.index)
        potential = np.bincount(self.cooperative, self.table["potential_kg"], count)
        without = (evidence == "none").to_numpy()
        mean = np.where(without, np.nan, np.bincount(self.cooperative, self.mean, count))
        var = np.where(without, np.nan, self.variances_of(self.posterior))
        with np.errstate(divide="ignore", invalid="ignore"):
            log_var = np.log1p(var / mean**2)
            log_mean = np.log(mean / potential) - log_var / 2.0
        supply = {"supply_kg": mean, "var": var}
        supply |= {f"supply_p{100 * q:.0f}_kg": interval(mean, var, q) for q in (0.1, 0.5, 0.9)}
        supply |= {"log_mean": log_mean, "log_var": log_var}
        table = pd.DataFrame(supply, index=self.index)
        table.insert(0, "potential_kg", potential)
        past = self.found.table.loc[~self.found.table["coming"], ["cooperative", "year"]].drop_duplicates()
        seasons = pd.Series(self.found.cooperatives.to_numpy()[past["cooperative"]], dtype="str").value_counts()
        return table.assign(seasons=seasons.reindex(self.index, fill_value=0).astype(int), evidence=evidence)

    def strata(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "cooperative_id": self.index.to_numpy()[self.cooperative],
                "mapped": (self.table["stratum"] == "mapped").to_numpy(),
                "members": self.table["members"].to_numpy(),
                "potential_kg": self.table["potential_kg"].to_numpy(),
                "supply_kg": self.mean,
            }
        ).astype({"cooperative_id": "str"})

    def variance_shares(self) -> pd.DataFrame:
        known = self.known()
        everything = self.variances_of(self.posterior), self.covariance(known, known)
        parts = []
        for label, sources in self._labels():
            variances = dict(self.variances) | {name: _KNOWN.get(name, 0.0) for name in sources}
            rest = gaussian.posterior(self.found.model, variances)
            with np.errstate(divide="ignore", invalid="ignore"):
                share = 1.0 - np.append(self.variances_of(rest), self.covariance(known, known, rest)) / np.append(
                    *everything
                )
            ids = [*self.index.to_numpy(dtype=object), "all"]
            parts.append(pd.DataFrame({"cooperative_id": ids, "source": label, "share": share}))
        table = pd.concat(parts, ignore_index=True).astype({"cooperative_id": "str", "source": "str"})
        table = table[table["share"] > _LEAST_SHARE]
        return table.sort_values(["cooperative_id", "share"], ascending=[True, False], kind="stable", ignore_index=True)

    def _labels(self) -> Iterator[tuple[str, list[str]]]:
        """Sources by the name they have in tables: a region's map errors are named by class, not by product."""
        named: dict[str, list[str]] = {}
        for source in [*self.found.model.narrow, *self.found.model.wide]:
            regional = source.startswith("map_region:")
            named.setdefault(f"map_region:{source.rpartition(':')[2]}" if regional else source, []).append(source)
        yield from sorted(named.items())


def _means(table: pd.DataFrame, posterior: Posterior) -> Floats:
    return np.asarray(table["potential_kg"].to_numpy() * np.exp(posterior.mean + posterior.variances() / 2.0))


def evidence_of(supply: JointSupply, *, others: bool = False) -> "pd.Series[str]":
    """What the supply of each cooperative rests on; `others`: with its own deliveries left out."""
    found = supply.found
    coming, cooperative = found.table["coming"].to_numpy(), found.table["cooperative"].to_numpy()
    row, origin = found.model.wide["base_yield"].tocoo().coords
    shape = (len(found.cooperatives), found.model.wide["base_yield"].shape[1])
    heard, asked = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    heard[cooperative[row[~coming[row]]], origin[~coming[row]]] = True
    asked[cooperative[row[coming[row]]], origin[coming[row]]] = True
    by_others = np.asarray(asked & (heard.sum(axis=0) - heard > 0))
    codes = found.cooperatives.get_indexer(supply.index)
    own = np.zeros(len(codes), dtype=bool) if others else (heard.sum(axis=1) > 0)[codes]
    words = np.full(len(codes), "none", dtype=object)
    words[(by_others.sum(axis=1) > 0)[codes]] = "deliveries of the origin"
    words[supply.told] = "declared share"
    words[own] = "own deliveries"
    words[(asked.sum(axis=1) == 0)[codes]] = "none"
    return pd.Series(words, index=supply.index, dtype="str")
