"""The error model run forwards: factors drawn for every source, true yields and deliveries made from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geomap import reference
from geomap.simulate.plots import draw_areas
from geomap.supply.items import shared_by

Floats = NDArray[np.float64]
SEASONS: Final = ("2023/24", "2024/25", "2025/26", "2026/27")
"""Three past seasons and the one to come."""
OF_SUPPLY: Final = ("delivered_share", "conversion")
"""Sources that act on what is delivered, not on what the plots bear."""
OF_SOME: Final = ("declared_bias", "unmapped", "area", "planted", "age", "uncovered")
"""Sources that act only on plots with a column `<source>_cv`."""
OF_THE_MAP: Final[Mapping[str, tuple[str, ...]]] = {"map": (), "map_region": ("origin",), "map_plot": ("plot_id",)}


@dataclass(frozen=True)
class Simulation:
    """Cooperatives with their truth.

    Attributes
    ----------
    plots : index plot_id; member_id, cooperative_id, origin, form_pair, mean_kg (green, before any error).
    members : index member_id; cooperative_id, first_season (the first that the member delivers in), unmapped.
    factors : source, group, season ("" for a constant), cv, z, factor: exp(l·z − l²/2), l² = ln(1 + cv²). Where a
        source's cv differs by plot (map errors, GPS) cv and factor are empty, z stands.
    plot_seasons : plot_id, member_id, cooperative_id, season, potential_kg, supply_kg (both green, true).
    deliveries : member_id, season, kg of parchment, form; of past seasons.
    """

    plots: pd.DataFrame
    members: pd.DataFrame
    factors: pd.DataFrame
    plot_seasons: pd.DataFrame
    deliveries: pd.DataFrame

    def totals(self, by: str) -> pd.DataFrame:
        """True kilograms per `by` (member_id or cooperative_id) and season: the sums of the plots."""
        return self.plot_seasons.groupby([by, "season"], as_index=False)[["potential_kg", "supply_kg"]].sum()


def simulate_cooperatives(
    rng: np.random.Generator,
    *,
    cooperatives: int = 50,
    origins: int = 5,
    members: tuple[int, int] = (20, 200),
    plots_per_member: float = 1.4,
    unmapped: float = 0.2,
    yield_kg_ha: float = 1150.0,
    seasons: Sequence[str] = SEASONS,
    future: int = 1,
    cv: Mapping[str, float] | None = None,
    delivered_share: float = 0.8,
    drift: float = 0.0,
) -> Simulation:
    """Cooperatives, members and plots with true yields drawn from the error model, no map: for tests of estimators.

    Every estimate is S = area · yield; every source multiplies it by a log-normal factor of mean 1, drawn once for all
    that share it. Nothing here loops over plots: 500 cooperatives take about a second.

    Parameters
    ----------
    cooperatives, origins : how many; cooperatives are dealt to the origins in turn.
    members : least and most members of a cooperative, drawn log-uniformly.
    unmapped : share of members without a plot outline; only their declared area is known (area cv 0.8).
    yield_kg_ha : base yield, kg green per planted hectare.
    seasons, future : all seasons, and how many of the last ones have no deliveries yet.
    cv : relative sd by source instead of the reference table's; {"season": 0.0} turns one off.
    drift : sd of the log random walk of each cooperative's yield, per season.

    Examples
    --------
    >>> made = simulate_cooperatives(np.random.default_rng(0), cooperatives=2, origins=1, members=(5, 5))
    >>> len(made.members), made.deliveries["season"].unique().tolist()
    (10, ['2023/24', '2024/25', '2025/26'])
    """
    size = np.rint(np.exp(rng.uniform(np.log(members[0]), np.log(members[1]), size=cooperatives))).astype(np.int64)
    cooperative = np.repeat(np.arange(cooperatives), size)
    people = np.arange(len(cooperative))
    hidden = rng.random(len(people)) < unmapped
    owned = np.where(hidden, 1, 1 + rng.poisson(plots_per_member - 1, size=len(people)))
    owner = np.repeat(people, owned)
    names = _ids("M", people)
    area_ha = draw_areas(rng, len(owner))
    plots = pd.DataFrame(
        {
            "member_id": names[owner],
            "cooperative_id": _ids("C", cooperative)[owner],
            "origin": _ids("O", cooperative % origins)[owner],
            "form_pair": "parchment>green",
            "area_ha": area_ha,
            "mean_kg": area_ha * yield_kg_ha,
            "unmapped": hidden[owner],
            "drawn_cv": np.where(hidden[owner], 0.0, _cvs(cv)["drawn"]),
            "unmapped_cv": np.where(hidden[owner], _cvs(cv)["unmapped"], 0.0),
            "area_cv": np.where(hidden[owner], _cvs(cv)["area"], 0.06 * (area_ha / 0.3) ** -0.5),
        },
        index=pd.Index(_ids("P", np.arange(len(owner))), name="plot_id"),
    )
    table = plots.groupby("member_id", sort=False)[["cooperative_id", "origin", "unmapped"]].first()
    table["first_season"] = seasons[0]
    return simulate_supply(
        rng, plots, table, seasons=seasons, future=future, cv=cv, delivered_share=delivered_share, drift=drift
    )


def simulate_supply(
    rng: np.random.Generator,
    plots: pd.DataFrame,
    members: pd.DataFrame,
    *,
    seasons: Sequence[str] = SEASONS,
    future: int = 1,
    cv: Mapping[str, float] | None = None,
    delivered_share: float = 0.8,
    drift: float = 0.0,
    outturn: float = 0.8,
) -> Simulation:
    """True potential, supply and deliveries of given plots with expected yields.

    A column `<source>_cv` of `plots` is that source's cv plot by plot; a column `planted_year` makes plots of age
    0 to 2 bear nothing. Delivered parchment = potential · delivered_share · its factors / outturn.

    Parameters
    ----------
    plots : index plot_id; member_id, cooperative_id, origin, form_pair, mean_kg.
    members : index member_id; first_season.
    outturn : kg of green per kg of parchment.
    """
    z, factors = _draw_z(rng, plots, seasons, _cvs(cv))
    log_factor = {source: _log_factor(plots, source, draw, _cvs(cv)) for source, draw in z.items()}
    potential = plots["mean_kg"].to_numpy(dtype=float)[:, None] * _bearing(plots, seasons)
    potential = potential * np.exp(sum(part for source, part in log_factor.items() if source not in OF_SUPPLY))
    if drift:
        code, names = pd.factorize(plots["cooperative_id"], sort=True)
        steps = drift * rng.normal(size=(len(names), len(seasons))) - drift**2 / 2
        potential = potential * np.exp(np.cumsum(steps, axis=1))[code]
    share = delivered_share * np.exp(sum(log_factor[source] for source in OF_SUPPLY if source in log_factor))
    first = members["first_season"].reindex(plots["member_id"]).to_numpy(dtype=str)
    taking_part = first[:, None] <= np.asarray(seasons)[None, :]
    count = len(seasons)
    plot_seasons = plots[["member_id", "cooperative_id"]].reset_index().loc[lambda table: table.index.repeat(count)]
    plot_seasons = plot_seasons.reset_index(drop=True).assign(
        season=np.tile(np.asarray(seasons, dtype=object), len(plots)),
        potential_kg=potential.ravel(),
        supply_kg=(potential * share * taking_part).ravel(),
    )
    past = plot_seasons[plot_seasons["season"].isin(seasons[: count - future])]
    deliveries = past.groupby(["member_id", "season"], as_index=False)["supply_kg"].sum()
    deliveries = deliveries[deliveries["supply_kg"] > 0].reset_index(drop=True)
    deliveries["kg"] = deliveries.pop("supply_kg") / outturn
    deliveries["form"] = "parchment"
    return Simulation(plots, members, factors, plot_seasons, deliveries)


def _ids(letter: str, number: NDArray[np.int64]) -> NDArray[np.object_]:
    return np.char.add(letter, np.char.zfill(number.astype(str), 6)).astype(object)


def _cvs(cv: Mapping[str, float] | None) -> dict[str, float]:
    """Relative sd by source: the reference table's, then the given ones; 0 where neither has one."""
    table = reference.table("error_sources").set_index("source")["cv"].fillna(0.0)
    return {**{str(source): float(value) for source, value in table.items()}, "conversion": 0.05, **(cv or {})}


def _draw_z(
    rng: np.random.Generator, plots: pd.DataFrame, seasons: Sequence[str], cv: Mapping[str, float]
) -> tuple[dict[str, Floats], pd.DataFrame]:
    """Standard normal draws per source, (plots, seasons or 1), and the table of what was drawn."""
    drawn: dict[str, Floats] = {}
    tables: list[pd.DataFrame] = []
    keys = plots.reset_index()
    for source, columns in {**shared_by(), **OF_THE_MAP}.items():
        own_cv = f"{source}_cv" in plots
        if (not own_cv and source in (*OF_SOME, *OF_THE_MAP)) or (not own_cv and cv[source] == 0):
            continue
        by = [column for column in columns if column != "season"]
        code, names = pd.factorize(keys[by[0]], sort=True) if by else (np.zeros(len(keys), np.int64), ["all"])
        times = list(seasons) if "season" in columns else [""]
        z = rng.normal(size=(len(names), len(times)))
        drawn[source] = z[code]
        size = _one_cv(plots[f"{source}_cv"]) if own_cv else cv[source]
        log_sd = np.sqrt(np.log1p(size**2))
        tables.append(
            pd.DataFrame(
                {
                    "source": source,
                    "group": np.repeat(np.asarray(names, dtype=object), len(times)),
                    "season": np.tile(np.asarray(times, dtype=object), len(names)),
                    "cv": size,
                    "z": z.ravel(),
                    "factor": np.exp(log_sd * z.ravel() - log_sd**2 / 2),
                }
            )
        )
    return drawn, pd.concat(tables, ignore_index=True)


def _one_cv(own: pd.Series) -> float:
    """The cv that all plots have which the source acts on; NaN where they differ."""
    sizes = own[own > 0].unique()
    return float(sizes[0]) if len(sizes) == 1 else np.nan


def _log_factor(plots: pd.DataFrame, source: str, z: Floats, cv: Mapping[str, float]) -> Floats:
    """Logarithm of a factor of mean 1 and this cv, (plots, seasons or 1)."""
    size = plots[f"{source}_cv"].to_numpy(dtype=float) if f"{source}_cv" in plots else np.full(len(plots), cv[source])
    variance = np.log1p(size**2)[:, None]
    return np.asarray(np.sqrt(variance) * z - variance / 2)


def _bearing(plots: pd.DataFrame, seasons: Sequence[str]) -> Floats:
    """0 where the plot is at most two years old when the season begins, else 1; unknown age bears."""
    if "planted_year" not in plots:
        return np.ones((len(plots), len(seasons)))
    begins = np.array([int(season[:4]) for season in seasons])
    age = begins[None, :] - plots["planted_year"].to_numpy(dtype=float)[:, None]
    return np.where(age <= 2, 0.0, 1.0)
