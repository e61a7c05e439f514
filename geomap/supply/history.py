"""What past seasons say: each member's potential with its errors, beside what the member delivered."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.findings import join_findings, make_findings
from geomap.lookup import is_among
from geomap.supply.crops import error_cv
from geomap.supply.deliveries import season_sums, with_cooperatives
from geomap.supply.items import Items, shared_by

COLUMNS: Final = [
    "cooperative_id",
    "member_id",
    "season",
    "origin",
    "region",
    "form_pair",
    "mapped",
    "potential_kg",
    "kappa",
    "delivered_kg",
]
"""Columns of `History.members` and of a target; after them one "cv:<source>" per shared source."""

SHARED: Final = ("conversion", "drawn", "declared_bias", "unmapped")
"""Sources with a loading of their own on each member, beside the classes of the map."""

MAY_DIFFER: Final = 0.02
"""By how much a cooperative's own sum may differ from that of its members before it is a finding."""

_SHOWN: Final = 5

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class History:
    """Past seasons with deliveries, in kilograms of the run's product form.

    A member who was a member in a season in which the cooperative reports by member, and has no row, delivered 0.
    Leaving such members out would overstate the coming season.

    Attributes
    ----------
    members : one row per member and past season in which the member's cooperative has deliveries, sorted by
        cooperative_id, member_id, season. Columns:
        cooperative_id, member_id, season ("2024/25"), origin, region, form_pair : texts. A plot that names no member
        stands for a member of its own, "plot:<plot_id>".
        mapped : bool; has a usable plot. False: stands on a declared area alone or on a mean.
        potential_kg : > 0; mean of what the member's counted plots could bear in that season.
        kappa : relative variance of the member's own plot-constant errors,
        Σ_i (S_i / S)² · (Π over sources u of a plot (1 + cv_ui²) − 1).
        delivered_kg : kg; 0: delivered nothing; NaN: not known by member.
        "cv:<source>" : one column per shared source, Σ_i S_i · cv_ui / S: the relative standard deviation that this
        source puts on this member's potential. Sources: conversion, drawn, declared_bias, unmapped,
        map:<product>:<class>, map_region:<product>:<class>.
    totals : cooperative_id, season, delivered_kg: seasons that are known only for the whole cooperative; their rows in
        `members` have delivered_kg NaN. Sorted by both.
    """

    members: pd.DataFrame
    totals: pd.DataFrame


def make_history(
    items_by_season: Mapping[str, Items],
    deliveries: pd.DataFrame,
    active: Mapping[str, Collection[str]] | None = None,
) -> tuple[History, pd.DataFrame]:
    """Past seasons as calibration reads them, and the findings.

    Rows by member win over a row of the whole cooperative in the same season; that row is only a check. Deliveries of
    members without a potential (unknown, not a member then, no land known) stay out and are reported.

    Parameters
    ----------
    items_by_season : past season → items of `plot_potential` and `unmapped_members` of that season (ages differ).
    deliveries : of `read_deliveries`; kg in the product form of the items.
    active : past season → ids of those who were members then; all members of the items for a season without an entry.

    Returns
    -------
    History : only of seasons that have items; a season in which nothing was delivered was not recorded.
    DataFrame : findings "delivery_without_potential", "delivery_sums_differ".

    Examples
    --------
    Three equal plots, two members; the one without a row delivered nothing:

    >>> plots = ["P1", "P2", "P3"]
    >>> table = pd.DataFrame({"member_id": ["A", "A", "B"], "cooperative_id": "C", "origin": "o", "region": "r",
    ...     "form_pair": "a>a", "season": "", "kind": "measured", "mean_kg": 100.0}, index=plots)
    >>> cv = pd.DataFrame({"plot": 0.5, "drawn": 0.1}, index=plots)
    >>> items = Items(table, cv, pd.DataFrame(index=plots), pd.Series(dtype=float))
    >>> rows = pd.DataFrame({"row": [1], "cooperative_id": "C", "member_id": "A", "season": "2024/25", "kg": 150.0})
    >>> found, _ = make_history({"2024/25": items}, rows)
    >>> found.members[["member_id", "potential_kg", "kappa", "delivered_kg", "cv:drawn"]].round(3).values.tolist()
    [['A', 200.0, 0.125, 150.0, 0.1], ['B', 100.0, 0.25, 0.0, 0.1]]
    """
    frames = [_season_frame(items, season, (active or {}).get(season)) for season, items in items_by_season.items()]
    people = pd.concat(frames, ignore_index=True) if frames else _nobody()
    loadings = [name for name in people.columns if name.startswith("cv:")]
    people[loadings] = people[loadings].fillna(0.0)
    placed = with_cooperatives(deliveries, _cooperatives(items_by_season))
    sums = season_sums(placed[is_among(placed["season"], list(items_by_season))])
    sums = sums[sums.groupby(["cooperative_id", "season"])["kg"].transform("sum") > 0]
    whole = sums[sums["member_id"] == ""]
    own = sums[sums["member_id"] != ""]
    ours = _is_in(_member_key(own), _member_key(people))
    by_member = _season_key(own[ours])
    members = _with_deliveries(people, own, by_member, _season_key(whole))
    served = _is_in(_season_key(whole), _season_key(members))
    totals = whole[served & ~_is_in(_season_key(whole), by_member)]
    stray = pd.concat([own[~ours], whole[~served]])
    found = join_findings([_without_potential(stray), _sums_differ(own, whole)])
    totals = totals.rename(columns={"kg": "delivered_kg"})[["cooperative_id", "season", "delivered_kg"]]
    return History(members, totals.reset_index(drop=True)), found


def target_frame(items: Items, season: str) -> pd.DataFrame:
    """Members of the season to come, with the columns of `History.members`; delivered_kg is NaN.

    Parameters
    ----------
    items : of those who will be members in that season.
    season : "2026/27".

    Returns
    -------
    DataFrame : one row per member with a potential above 0, sorted by cooperative_id, member_id.

    Examples
    --------
    >>> table = pd.DataFrame({"member_id": "A", "cooperative_id": "C", "origin": "o", "region": "r",
    ...     "form_pair": "a>a", "season": "", "kind": "unmapped", "mean_kg": 100.0}, index=["member:A"])
    >>> cv = pd.DataFrame({"unmapped": 0.35}, index=["member:A"])
    >>> items = Items(table, cv, pd.DataFrame(index=["member:A"]), pd.Series(dtype=float))
    >>> target_frame(items, "2026/27")[["member_id", "mapped", "potential_kg", "cv:unmapped"]].values.tolist()
    [['A', False, 100.0, 0.35]]
    """
    return _season_frame(items, season, None)


def _season_frame(items: Items, season: str, active: Collection[str] | None) -> pd.DataFrame:
    """Members with a potential in one season and their loadings, delivered_kg NaN."""
    table = items.table
    plot = table.index.to_series().astype("str").to_numpy(dtype=object)
    member = table["member_id"].astype("str").to_numpy(dtype=object)
    member = np.where(member == "", "plot:" + plot, member) if len(table) else member
    coop, coops = pd.factorize(table["cooperative_id"].astype("str").to_numpy(dtype=object), sort=True)
    who, names = pd.factorize(member, sort=True)
    mean = table["mean_kg"].to_numpy(float)
    key = coop.astype(np.int64) * max(len(names), 1) + who
    order = np.lexsort((mean, pd.factorize(plot, sort=True)[0], key))
    found, first, group = np.unique(key[order], return_index=True, return_inverse=True)
    sums = _Sums(group, mean[order], len(found))
    rows = order[first]
    frame = pd.DataFrame(
        {
            "cooperative_id": pd.Series(np.asarray(coops, dtype=object)[coop[rows]], dtype="str"),
            "member_id": pd.Series(np.asarray(names, dtype=object)[who[rows]], dtype="str"),
            "season": pd.Series([season] * len(rows), dtype="str"),
            **{name: table[name].iloc[rows].astype("str").array for name in ("origin", "region", "form_pair")},
            "mapped": np.bincount(group, (table["kind"] != "unmapped").to_numpy()[order], minlength=len(found)) > 0,
            "potential_kg": sums.potential,
            "kappa": sums.mean_of(_plot_variance(items.cv)[order], power=2),
            "delivered_kg": np.nan,
            **{f"cv:{name}": sums.mean_of(values[order]) for name, values in _loadings(items).items()},
        }
    )
    keep = frame["potential_kg"] > 0
    if active is not None:
        keep &= is_among(frame["member_id"], list(active)) | frame["member_id"].str.startswith("plot:")
    return frame[keep].reset_index(drop=True)


@dataclass(frozen=True)
class _Sums:
    """Sums of items over their member; items stand in an order that does not depend on the order of rows."""

    group: Codes
    kg: Floats
    count: int

    @property
    def potential(self) -> Floats:
        return np.bincount(self.group, self.kg, minlength=self.count).astype(np.float64)

    def mean_of(self, values: Floats, power: int = 1) -> Floats:
        """Σ S_i^power · value_i / S^power per member; 0 for a member without potential."""
        total = np.bincount(self.group, self.kg**power * values, minlength=self.count)
        base = self.potential**power
        return np.divide(total, base, out=np.zeros(self.count), where=base > 0)


def _plot_variance(cv: pd.DataFrame) -> Floats:
    """Relative variance of each item by the errors of its plot alone: Π (1 + cv²) − 1."""
    own = [source for source, columns in shared_by().items() if columns == ("plot_id",) and source in cv]
    return np.asarray(np.prod(1.0 + cv[own].to_numpy(float) ** 2, axis=1) - 1.0)


def _loadings(items: Items) -> dict[str, Floats]:
    """Relative standard deviation that each shared source puts on each item."""
    zero = np.zeros(len(items))
    found = {name: items.cv[name].to_numpy(float) if name in items.cv else zero for name in SHARED}
    for name in map(str, items.map_share.columns):
        share = items.map_share[name].to_numpy(float)
        found |= {f"map:{name}": share * items.map_se[name], f"map_region:{name}": share * error_cv("map_region")}
    return found


def _with_deliveries(
    people: pd.DataFrame, own: pd.DataFrame, by_member: pd.MultiIndex, whole: pd.MultiIndex
) -> pd.DataFrame:
    """Members of cooperatives and seasons with deliveries; 0 where others of the cooperative have rows."""
    frame = people[_is_in(_season_key(people), by_member.append(whole))]
    kg = own.set_index(["cooperative_id", "member_id", "season"])["kg"]
    known = kg.reindex(_member_key(frame)).fillna(0.0).to_numpy(float)
    frame = frame.assign(delivered_kg=np.where(_is_in(_season_key(frame), by_member), known, np.nan))
    return frame.sort_values(["cooperative_id", "member_id", "season"], ignore_index=True)


def _is_in(keys: pd.MultiIndex, known: pd.MultiIndex) -> npt.NDArray[np.bool_]:
    """Whether each key is among the known ones."""
    return np.asarray(known.unique().get_indexer(keys) >= 0)


def _season_key(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["cooperative_id", "season"]])


def _member_key(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["cooperative_id", "member_id", "season"]])


def _cooperatives(items_by_season: Mapping[str, Items]) -> "pd.Series[str]":
    """Cooperative of each member id, over all seasons."""
    tables = [items.table[["member_id", "cooperative_id"]].astype("str") for items in items_by_season.values()]
    pairs = pd.concat(tables) if tables else pd.DataFrame({"member_id": [], "cooperative_id": []}, dtype="str")
    pairs = pairs.sort_values(["member_id", "cooperative_id"]).drop_duplicates("member_id")
    return pairs.set_index("member_id")["cooperative_id"]


def _nobody() -> pd.DataFrame:
    kinds = {"mapped": bool, "potential_kg": float, "kappa": float, "delivered_kg": float}
    names = [*COLUMNS, *(f"cv:{name}" for name in SHARED)]
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, float if ":" in name else "str")) for name in names})


def _without_potential(stray: pd.DataFrame) -> pd.DataFrame:
    """One finding per cooperative and season for kilograms that no potential stands beside."""
    messages, lost = [], []
    for (coop, season), rows in stray.groupby(["cooperative_id", "season"], sort=True):
        kg = float(rows["kg"].sum())
        ids = sorted(rows["member_id"])
        who = f"{len(ids):,} members ({_some(ids)})" if any(ids) else "the whole cooperative"
        messages.append(
            f"{coop or 'The cooperative'}, {season}: {kg:,.0f} kg were delivered by {who} for whom no land is known in "
            "that season. They stay out of what is learned from deliveries. Add the plots or the declared areas, or "
            "correct the member ids."
        )
        lost.append(-kg)
    found = make_findings("delivery_without_potential", [""] * len(messages), messages, action="left_out")
    return found.assign(effect_kg=np.array(lost, dtype=float))


def _sums_differ(own: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """A finding where the cooperative's own sum of a season is not that of its members."""
    by_member = own.groupby(["cooperative_id", "season"])["kg"].sum()
    told = whole.groupby(["cooperative_id", "season"])["kg"].sum()
    both = pd.DataFrame({"members": by_member, "told": told}).dropna().sort_index()
    apart = both[(both["told"] - both["members"]).abs() > MAY_DIFFER * both[["told", "members"]].max(axis=1)]
    messages = [
        f"{row.Index[0] or 'The cooperative'}, {row.Index[1]}: rows without a member come to {row.told:,.0f} kg and "
        f"rows by member to {row.members:,.0f} kg. The rows by member count. If the rows without a member are "
        "deliveries of members, give their ids; if they are the sum of the season, look for what is missing."
        for row in apart.itertuples()
    ]
    return make_findings("delivery_sums_differ", [""] * len(messages), messages)


def _some(ids: list[str]) -> str:
    """The first few ids."""
    return ", ".join(ids[:_SHOWN]) + (" …" if len(ids) > _SHOWN else "")
