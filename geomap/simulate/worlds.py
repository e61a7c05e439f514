"""Whole worlds of cooperatives at member level, with the deliveries they really made: to test intervals by the truth.

The error model of `geomap.simulate.truth` without outlines: every estimate is S = hectares · yield, every error a
log-normal factor of mean 1, drawn once for all that share it. What a scenario does not touch is the same in all
scenarios of one seed: each source has a random stream of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geomap.simulate.plots import LOG_SD, MEDIAN_HA
from geomap.simulate.truth import SEASONS, _cvs, _ids

if TYPE_CHECKING:
    from geomap.supply.history import History

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Streams = Mapping[str, np.random.Generator]
Membership = Literal["stable", "renewed", "moved", "swapped"]
"""stable: the same members always. renewed: a fifth gives way to new ones after each season. moved: each cooperative
gains or loses a fifth before the coming season. swapped: a fifth gives way to new ones before the coming season."""

COMING: Final = len(SEASONS) - 1
CHANGING: Final = 0.2
FORM_PAIRS: Final[Mapping[str, float]] = {"parchment>green": 1.0, "cherry>green": 1.6}
"""Pairs of product forms, dealt to the origins in turn, and their error in multiples of the source's."""
MAP_CLASS: Final = "esa-worldcover-2021:50"
_OF_WORLDS: Final[Mapping[str, float]] = {"map": 0.0168, "gps": 0.06}
"""Standard error of the class's user's accuracy; relative sd of a measured area of 0.3 ha (of others by 1 / √area)."""
_MOST_Z: Final = 8.0
_SHARED: Final[Mapping[str, tuple[str, bool]]] = {
    "base_yield": ("origin", False),
    "conversion": ("form_pair", False),
    "cooperative": ("cooperative_id", False),
    "delivered_share": ("cooperative_id", False),
    "season": ("origin", True),
    "coop_season": ("cooperative_id", True),
    "drawn": ("cooperative_id", False),
    "unmapped": ("cooperative_id", False),
    "map": ("all", False),
    "map_region": ("origin", False),
}
"""Shared sources: who shares one factor, and whether it is drawn anew each season."""
_BY_MEMBER: Final = ("drawn", "unmapped", "map", "map_region")
"""Shared sources that act on some members more than on others."""
_OTHER_DRAWS: Final = ("size", "owned", "area", "plot", "mapped", "map_share", "member_season", "moving", "breaking",
                       "drift", "price", "skipping")  # fmt: skip


@dataclass(frozen=True)
class Breaks:
    """Ways in which a world departs from the model; the defaults are the model.

    Attributes
    ----------
    tails : degrees of freedom of Student's t in place of the normal, at the same variance; 0: normal.
    drift : sd of each cooperative's log random walk, per season.
    map_bias : true potential as a share of the estimated one where the map is wrong: in half of the cooperatives.
    price : sd of the log of a price that everybody's delivered share follows, drawn anew each season.
    skipping : share of members who deliver nothing in a season.
    by_total : share of cooperatives that know their deliveries only as a whole.
    """

    tails: float = 0.0
    drift: float = 0.0
    map_bias: float = 1.0
    price: float = 0.0
    skipping: float = 0.0
    by_total: float = 0.0


@dataclass(frozen=True, eq=False)
class SupplyWorld:
    """Cooperatives, what was estimated of them, and what they really delivered, in kilograms of green.

    Attributes
    ----------
    members : one row per member and past season, as `History.members` wants it; delivered_kg is always known.
    target : the same for the coming season; delivered_kg is NaN.
    cooperatives : index cooperative_id; origin, members (in the coming season), by_total.
    delivered : kg, index cooperative_id, one column per season; the last one is the truth that an estimate should hold.
    delivered_share : index cooperative_id; share, cv: what the cooperatives say of themselves.
    factors : source, group, season ("" for a constant), cv, z, factor of each shared source; where a source's cv
        differs by member (maps) cv and factor are empty, z stands.
    """

    members: pd.DataFrame
    target: pd.DataFrame
    cooperatives: pd.DataFrame
    delivered: pd.DataFrame
    delivered_share: pd.DataFrame
    factors: pd.DataFrame

    @property
    def truth(self) -> "pd.Series[float]":
        """Kilograms delivered in the coming season."""
        return self.delivered[SEASONS[COMING]]

    def history(self, seasons: int) -> "History | None":
        """Deliveries of the last seasons before the coming one; None for 0 seasons."""
        from geomap.supply.history import History

        if not seasons:
            return None
        known = list(SEASONS[COMING - seasons : COMING])
        members = self.members[(self.members["season"] >= known[0]).to_numpy(dtype=bool)].reset_index(drop=True)
        whole = self.cooperatives.index[self.cooperatives["by_total"]]
        if len(whole):
            members["delivered_kg"] = members["delivered_kg"].mask(members["cooperative_id"].isin(whole))
        totals = self.delivered.loc[whole, known].reset_index()
        totals = totals.melt("cooperative_id", var_name="season", value_name="delivered_kg").astype({"season": "str"})
        return History(members, totals.sort_values(["cooperative_id", "season"]).reset_index(drop=True))


def supply_world(
    rng: np.random.Generator,
    *,
    cooperatives: int = 500,
    origins: int = 50,
    members: tuple[int, int] = (5, 5000),
    unmapped: float = 0.2,
    plots_per_member: float = 1.4,
    yield_kg_ha: float = 700.0,
    delivered_share: float = 0.8,
    membership: Membership = "stable",
    cv: Mapping[str, float] | None = None,
    breaks: Breaks | None = None,
) -> SupplyWorld:
    """Cooperatives with three past seasons and the coming one, drawn from the error model.

    delivered = potential · delivered share · factors of mean 1: those of `SupplyWorld.factors`, one of each plot, one
    of each member and season. Nothing loops over members; 360,000 of them take about two seconds.

    Parameters
    ----------
    cooperatives, origins : how many; cooperatives are dealt to the origins in turn.
    members : least and most members of a cooperative, drawn log-uniformly.
    unmapped : share of members without a plot outline (area cv .8, no land cover).
    yield_kg_ha : base yield, kg green per planted hectare.
    cv : relative sd by source instead of the reference table's; {"season": 0.0} turns one off. "map" is the standard
        error of the user's accuracy, "gps" the relative sd of a measured area of 0.3 ha (of others by 1 / √area).
    breaks : how the world departs from the model; by default not at all.

    Examples
    --------
    One of five members gives way to a new one in each of two cooperatives:

    >>> world = supply_world(np.random.default_rng(0), cooperatives=2, origins=1, members=(5, 5), membership="swapped")
    >>> len(world.members), len(world.target), len(set(world.target["member_id"]) - set(world.members["member_id"]))
    (30, 10, 2)
    """
    breaks, sizes = breaks or Breaks(), _cvs({**_OF_WORLDS, **(cv or {})})
    names = (*_SHARED, *_OTHER_DRAWS)
    streams = dict(zip(names, rng.spawn(len(names)), strict=True))
    log_size = streams["size"].uniform(np.log(members[0]), np.log(members[1]), size=cooperatives)
    founders = np.rint(np.exp(log_size)).astype(np.int64)
    people = _people(streams, founders, membership, plots_per_member=plots_per_member, unmapped=unmapped)
    kg, kappa, true_kg = _own_land(streams, people, sizes, breaks.tails, yield_kg_ha)
    origin = np.arange(cooperatives) % origins
    groups = {
        "cooperative_id": np.arange(cooperatives),
        "origin": origin,
        "form_pair": origin % len(FORM_PAIRS),
        "all": np.zeros(cooperatives, dtype=np.int64),
    }
    z = _draw_shared(streams, groups, breaks.tails)
    loadings = _loadings(people, groups, sizes)
    logs = np.log(delivered_share) + _log_by_cooperative(z, groups, sizes) + _log_breaks(streams, cooperatives, breaks)
    delivered = true_kg[:, None] * np.exp(logs)[people.coop] * people.active
    delivered *= _by_member(z, people, groups, loadings) * _by_member_season(streams, people, sizes, breaks)
    columns = {"kg": kg, "kappa": kappa, **{f"cv:{source}": value for source, value in loadings.items()}}
    by_total = streams["breaking"].random(cooperatives) < breaks.by_total
    coops = pd.Index(_ids("C", np.arange(cooperatives)), name="cooperative_id", dtype="str")
    sums = [np.bincount(people.coop, column, minlength=cooperatives) for column in delivered.T]
    return SupplyWorld(
        members=_frame(people, groups, columns, delivered, range(COMING)),
        target=_frame(people, groups, columns, np.full_like(delivered, np.nan), [COMING]),
        cooperatives=pd.DataFrame(
            {
                "origin": _texts("O", origins).take(origin).array,
                "members": np.bincount(people.coop[people.active[:, COMING]], minlength=cooperatives),
                "by_total": by_total,
            },
            index=coops,
        ),
        delivered=pd.DataFrame(np.column_stack(sums), index=coops, columns=list(SEASONS)),
        delivered_share=pd.DataFrame({"share": delivered_share, "cv": sizes["delivered_share"]}, index=coops),
        factors=_factors(z, sizes),
    )


@dataclass(frozen=True)
class _People:
    """All who ever are members: first the founders, cooperative by cooperative, then those who join."""

    coop: Ints
    active: NDArray[np.bool_]  # (people, seasons)
    mapped: NDArray[np.bool_]
    owned: Ints  # plots
    map_share: Floats  # share of the incompatible class, divided by f


def _people(
    streams: Streams, sizes: Ints, membership: Membership, *, plots_per_member: float, unmapped: float
) -> _People:
    """Founders and joiners of cooperatives of these sizes, by the rule of who is a member when."""
    changing = np.rint(CHANGING * sizes).astype(np.int64)
    gains = streams["moving"].random(len(sizes)) < 0.5
    leaving, joining = {
        "stable": (0 * changing, {}),
        "renewed": (changing, dict.fromkeys(range(1, COMING + 1), changing)),
        "moved": (np.where(gains, 0, changing), {COMING: np.where(gains, changing, 0)}),
        "swapped": (changing, {COMING: changing}),
    }[membership]
    every, founders = np.arange(len(sizes)), int(sizes.sum())
    coop = np.concatenate([np.repeat(every, count) for count in (sizes, *joining.values())])
    joins = np.repeat([0, *joining], [founders, *(int(count.sum()) for count in joining.values())])
    rank = np.arange(founders) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    leave = (1 if membership == "renewed" else COMING) + rank // np.maximum(1, leaving[coop[:founders]])
    leaves = np.full(len(coop), COMING + 1)
    leaves[:founders] = np.where(leaving[coop[:founders]] > 0, leave, COMING + 1)
    at = np.arange(COMING + 1)
    mapped = streams["mapped"].random(len(coop)) >= unmapped
    return _People(
        coop=coop,
        active=(joins[:, None] <= at) & (at < leaves[:, None]),
        mapped=mapped,
        owned=np.where(mapped, 1 + streams["owned"].poisson(plots_per_member - 1, size=len(coop)), 1),
        map_share=np.where(mapped, 0.05 * streams["map_share"].exponential(size=len(coop)), 0.05),
    )


def _own_land(
    streams: Streams, people: _People, sizes: Mapping[str, float], tails: float, yield_kg_ha: float
) -> tuple[Floats, Floats, Floats]:
    """Potential of each person, its relative variance by errors of the plots alone, and potential with these errors."""
    owner, count = np.repeat(np.arange(len(people.coop)), people.owned), len(people.coop)
    area_ha = np.clip(MEDIAN_HA * np.exp(LOG_SD * streams["area"].normal(size=len(owner))), 0.04, 2.5)
    of_area = np.where(people.mapped[owner], sizes["gps"] * np.sqrt(MEDIAN_HA / area_ha), sizes["area"])
    uncovered = np.where(people.mapped[owner], 0.0, sizes["uncovered"])
    variance = (1 + sizes["plot"] ** 2) * (1 + of_area**2) * (1 + uncovered**2) - 1
    true_ha = area_ha * _factor(_z(streams["plot"], (len(owner),), tails), np.sqrt(variance))
    weights = np.array([area_ha, area_ha**2 * variance, true_ha])
    area, squares, true_area = np.array([np.bincount(owner, weight, minlength=count) for weight in weights])
    return area * yield_kg_ha, squares / area**2, true_area * yield_kg_ha


def _z(stream: np.random.Generator, shape: tuple[int, ...], tails: float) -> Floats:
    """Standard normal draws; with tails the same ones spread to Student's t of variance 1, at most ±8."""
    z = stream.normal(size=shape)
    if not tails:
        return z
    return np.clip(z * np.sqrt((tails - 2) / stream.chisquare(tails, size=shape)), -_MOST_Z, _MOST_Z)


def _log_factor(z: Floats, cv: "Floats | float") -> Floats:
    """Logarithm of a factor of mean 1: l z − l² / 2, l² = ln(1 + cv²)."""
    variance = np.log1p(np.square(cv))
    return np.asarray(np.sqrt(variance) * z - variance / 2)


def _factor(z: Floats, cv: "Floats | float") -> Floats:
    return np.exp(_log_factor(z, cv))


def _draw_shared(streams: Streams, groups: Mapping[str, Ints], tails: float) -> dict[str, Floats]:
    """Draws of each shared source, (groups, seasons or 1)."""
    return {
        source: _z(streams[source], (int(groups[by].max()) + 1, len(SEASONS) if anew else 1), tails)
        for source, (by, anew) in _SHARED.items()
    }


def _cv_of(source: str, group: Ints, sizes: Mapping[str, float]) -> Floats:
    """Relative sd of a shared source, per group."""
    times = np.array(list(FORM_PAIRS.values()))[group] if source == "conversion" else np.ones(len(group))
    return sizes[source] * times


def _log_by_cooperative(z: Mapping[str, Floats], groups: Mapping[str, Ints], sizes: Mapping[str, float]) -> Floats:
    """Logarithm of all factors that act alike on all members of a cooperative, (cooperatives, seasons)."""
    total = np.zeros((len(groups["cooperative_id"]), len(SEASONS)))
    for source, (by, _) in _SHARED.items():
        if source not in _BY_MEMBER:
            total += _log_factor(z[source][groups[by]], _cv_of(source, groups[by], sizes)[:, None])
    return total


def _log_breaks(streams: Streams, cooperatives: int, breaks: Breaks) -> Floats:
    """Logarithm of what the model knows nothing of, (cooperatives, seasons)."""
    steps = breaks.drift * streams["drift"].normal(size=(cooperatives, len(SEASONS))) - breaks.drift**2 / 2
    price = breaks.price * streams["price"].normal(size=len(SEASONS)) - breaks.price**2 / 2
    wrong = streams["breaking"].random(cooperatives) < 0.5
    return np.asarray(np.cumsum(steps, axis=1) + price + np.where(wrong, np.log(breaks.map_bias), 0.0)[:, None])


def _loadings(people: _People, groups: Mapping[str, Ints], sizes: Mapping[str, float]) -> dict[str, Floats]:
    """Relative sd that each shared source with a column of its own puts on each person."""
    return {
        "conversion": _cv_of("conversion", groups["form_pair"][people.coop], sizes),
        "drawn": np.where(people.mapped, sizes["drawn"], 0.0),
        "declared_bias": np.zeros(len(people.coop)),
        "unmapped": np.where(people.mapped, 0.0, sizes["unmapped"]),
        f"map:{MAP_CLASS}": people.map_share * sizes["map"],
        f"map_region:{MAP_CLASS}": people.map_share * sizes["map_region"],
    }


def _by_member(
    z: Mapping[str, Floats], people: _People, groups: Mapping[str, Ints], loadings: Mapping[str, Floats]
) -> Floats:
    """Factors of shared sources that act on some members more than on others, (people, 1)."""
    total = np.zeros(len(people.coop))
    for source in _BY_MEMBER:
        loading = loadings[f"{source}:{MAP_CLASS}" if source.startswith("map") else source]
        total += _log_factor(z[source][groups[_SHARED[source][0]][people.coop], 0], loading)
    return np.exp(total)[:, None]


def _by_member_season(streams: Streams, people: _People, sizes: Mapping[str, float], breaks: Breaks) -> Floats:
    """Good and bad years of each person, and the years without any delivery, (people, seasons)."""
    shape = people.active.shape
    factor = _factor(_z(streams["member_season"], shape, breaks.tails), sizes["member_season"])
    if breaks.skipping:
        factor *= (streams["skipping"].random(shape) >= breaks.skipping) / (1 - breaks.skipping)
    return factor


def _texts(letter: str, count: int) -> "pd.Series[str]":
    return pd.Series(_ids(letter, np.arange(count)), dtype="str")


def _frame(
    people: _People,
    groups: Mapping[str, Ints],
    columns: Mapping[str, Floats],
    delivered: Floats,
    seasons: Sequence[int],
) -> pd.DataFrame:
    """One row per member and season, sorted by cooperative, member, season."""
    who, at = np.nonzero(people.active[:, list(seasons)])
    order = np.argsort(people.coop[who], kind="stable")
    who, at = who[order], np.asarray(list(seasons))[at[order]]
    coop = people.coop[who]
    origins = _texts("O", int(groups["origin"].max()) + 1).take(groups["origin"][coop]).array
    values = {name: value[who] for name, value in columns.items()}
    return pd.DataFrame(
        {
            "cooperative_id": _texts("C", len(groups["cooperative_id"])).take(coop).array,
            "member_id": _texts("M", len(people.coop)).take(who).array,
            "season": pd.Series(SEASONS, dtype="str").take(at).array,
            "origin": origins,
            "region": origins,
            "form_pair": pd.Series(list(FORM_PAIRS), dtype="str").take(groups["form_pair"][coop]).array,
            "mapped": people.mapped[who],
            "potential_kg": values.pop("kg"),
            "kappa": values.pop("kappa"),
            "delivered_kg": delivered[who, at],
            **values,
        }
    )


def _factors(z: Mapping[str, Floats], sizes: Mapping[str, float]) -> pd.DataFrame:
    """Every shared draw with the factor it stands for."""
    tables = []
    for source, (by, anew) in _SHARED.items():
        count, times = z[source].shape
        of_map = source.startswith("map")
        cv = np.full(count, np.nan) if of_map else _cv_of(source, np.arange(count), sizes)
        names = {"all": ["all"], "form_pair": list(FORM_PAIRS)[:count]}.get(by) or _ids(by[0].upper(), np.arange(count))
        table = {
            "source": source,
            "group": np.repeat(np.asarray(names, dtype=object), times),
            "season": np.tile(np.asarray(SEASONS if anew else [""], dtype=object), count),
            "cv": np.repeat(cv, times),
            "z": z[source].ravel(),
            "factor": _factor(z[source], cv[:, None]).ravel(),
        }
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)
