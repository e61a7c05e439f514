"""Items: the means that make up a sum, with the named errors they share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import pandas as pd

from geomap import reference
from geomap.errors import ColumnError


@dataclass(frozen=True, eq=False)
class Items:
    """Means in kilograms (one row per plot, or member without a plot, and season) with their sources of error.

    Every error is a factor with mean 1. Two items share the factor of a source where the columns that share it are
    equal in both (`shared_by`): a base yield is wrong for a whole origin, a plot's own yield for that plot alone.

    Attributes
    ----------
    table : index plot_id (or "member:<id>"); the plot-level error is shared by equal index values, so a plot of several
        seasons or members keeps one id. Columns that sums use: member_id, cooperative_id, origin, region, form_pair,
        season (texts), mean_kg. Others tell how the mean came about: kind ("measured", "declared", "unmapped"),
        area_ha, hives, f, p, y, g, k (the terms), productive_ha, uncovered, age_known, planted_known.
    cv : same index; one column per source, its relative standard deviation on that item. A source without a column
        is 0.
    map_share : same index; per incompatible class ("<product>:<class>") its share of the plot divided by f.
    map_se : index as the columns of `map_share`; standard error of the class's user's accuracy (0–1).
    """

    table: pd.DataFrame
    cv: pd.DataFrame
    map_share: pd.DataFrame
    map_se: "pd.Series[float]"

    def __len__(self) -> int:
        return len(self.table)

    def where(self, keep: "pd.Series[bool]") -> "Items":
        """Only the items for which `keep` (in their order) is true."""
        mask = keep.to_numpy(bool)
        return replace(self, table=self.table[mask], cv=self.cv[mask], map_share=self.map_share[mask])

    def over_seasons(self, seasons: Sequence[str]) -> "Items":
        """The same items once per season: errors of a plot stay, those of a season are drawn anew.

        Examples
        --------
        >>> empty = Items(pd.DataFrame({"season": []}), pd.DataFrame(), pd.DataFrame(), pd.Series(dtype=float))
        >>> len(empty.over_seasons(["2026/27", "2027/28"]))
        0
        """
        count = len(seasons)
        return replace(
            self,
            table=pd.concat([self.table.assign(season=season) for season in seasons]),
            cv=pd.concat([self.cv] * count),
            map_share=pd.concat([self.map_share] * count),
        )


def join_items(parts: Sequence[Items]) -> Items:
    """All items of several sets, for instance plots and members without a plot, or several cooperatives.

    Classes that a set does not know have no share there.

    Raises
    ------
    ColumnError : a class has two standard errors.
    """
    errors = pd.concat([part.map_se for part in parts])
    map_se = errors.groupby(level=0).first().astype(float)
    if not errors.eq(map_se.reindex(errors.index)).all():
        raise ColumnError(
            "A land-cover class has two standard errors.",
            why="Items that share a map must share its accuracy.",
            todo="Estimate all sets with the same legend.",
        )
    return Items(
        table=pd.concat([part.table for part in parts]),
        cv=pd.concat([part.cv for part in parts]).fillna(0.0),
        map_share=pd.concat([part.map_share for part in parts]).reindex(columns=map_se.index).fillna(0.0),
        map_se=map_se,
    )


def share_items(items: Items, owners: pd.DataFrame, cooperatives: "pd.Series[str] | None" = None) -> Items:
    """The same items, one per plot and owner: kilograms and hectares are divided by the owners' shares.

    Sums over plots, cooperatives and everything stay what they were; members get their part. A plot's own errors are
    the same for all of its owners, as its index stays.

    Parameters
    ----------
    owners : plot_id, member_id, share; shares of a plot add up to 1, as `plot_shares` returns them.
    cooperatives : cooperative by member; an owner that it does not know stays with the plot's.

    Examples
    --------
    >>> table = pd.DataFrame({"member_id": ["A"], "cooperative_id": ["C"], "mean_kg": [90.0], "area_ha": [3.0],
    ...                       "productive_ha": [3.0], "hives": [0.0]}, index=["P"])
    >>> owners = pd.DataFrame({"plot_id": ["P", "P"], "member_id": ["A", "B"], "share": [2 / 3, 1 / 3]})
    >>> none = pd.DataFrame(index=["P"])
    >>> share_items(Items(table, none, none, pd.Series(dtype=float)), owners).table["mean_kg"].round(6).tolist()
    [60.0, 30.0]
    """
    place = items.table.index.get_indexer(owners["plot_id"])
    owners, place = owners[place >= 0], place[place >= 0]
    table, share = items.table.iloc[place], owners["share"].to_numpy(float)
    member = pd.Series(owners["member_id"].to_numpy(), index=table.index, dtype="str")
    parts = {name: table[name].to_numpy(float) * share for name in ("mean_kg", "area_ha", "productive_ha", "hives")}
    coops = table["cooperative_id"]
    if cooperatives is not None:
        known = cooperatives.reindex(member).set_axis(table.index)
        coops = known.where(known.notna() & (known != ""), coops).astype("str")
    return replace(
        items,
        table=table.assign(member_id=member, cooperative_id=coops, **parts),
        cv=items.cv.iloc[place],
        map_share=items.map_share.iloc[place],
    )


@cache
def shared_by() -> dict[str, tuple[str, ...]]:
    """Columns that share the error of each source, from the reference table; map errors stand apart.

    Examples
    --------
    >>> shared_by()["coop_season"]
    ('cooperative_id', 'season')
    """
    names = {"cooperative": "cooperative_id", "member": "member_id", "plot": "plot_id"}
    rows = reference.table("error_sources").set_index("source")["shared_by"].drop(["map", "map_region"])
    return {str(source): tuple(names.get(word, word) for word in text.split()) for source, text in rows.items()}
