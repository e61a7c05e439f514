"""What can still be sold: supply less local sales, seconds and contracts, by month and certificate.

A kilogram that carries two certificates can serve either contract, but only once (`geomap.supply.allocation`). So
"organic" and "fairtrade" may show the same kilograms: their rows never add.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import NumberError
from geomap.supply.allocation import Allocation
from geomap.supply.calendars import lag_months, season_course
from geomap.supply.certificates import certificates, set_name, set_of
from geomap.supply.course import Course, Floats, chance_of, kilograms
from geomap.supply.forecast import known_totals

if TYPE_CHECKING:
    from geomap.supply.crop_tables import CropTables

AVAILABLE_COLUMNS: Final = [
    "cooperative_id",
    "certification",
    "month",
    "supply_kg",
    "supply_p10_kg",
    "local_and_seconds_kg",
    "contracts_kg",
    "available_kg",
    "available_p10_kg",
    "short_kg",
    "chance_covered",
    "chance_of_its_own",
]


def available(
    totals: pd.DataFrame,
    contracts: pd.DataFrame,
    shares: pd.DataFrame | None,
    deliveries: pd.DataFrame | None,
    *,
    crop: str,
    country: str,
    season: str,
    settings: pd.DataFrame | None = None,
    altitude: "pd.Series[float] | None" = None,
    tables: "CropTables | None" = None,
) -> pd.DataFrame:
    """Kilograms that can still be sold under each certificate by the end of each month, and the chance to deliver.

    Everything is cumulative, from the season's start to the end of the month in which it is ready to ship; the last
    month holds the whole season. A contract without a month is due at the end. `available_kg` stands on the expected
    supply, `available_p10_kg` on one that 9 of 10 seasons exceed. Rows of different certificates share kilograms:
    they never add up. `available_kg` never exceeds `supply_kg`; a further contract never raises it.

    Parameters
    ----------
    totals : index cooperative_id; mean_kg, var (kg²) of the supply. Cooperatives without a mean have no rows, whatever
        their contracts.
    contracts : of `read_contracts`; cooperative_id, certification ("" = any), month ("YYYY-MM" or ""), kg.
    shares : of `certificate_shares`; None: nothing is certified.
    deliveries, settings, altitude : as for `forecast`. Settings used: local_sales_share and seconds_share (parts of the
        supply, without overlap; nothing where not told), lag_days, ready_days (delivery to ready to ship).

    Returns
    -------
    DataFrame : `AVAILABLE_COLUMNS`, one row per cooperative, certificate and month, in order. certification "" is all
        supply and every contract; "organic" all supply that carries it and every contract that asks for it. short_kg:
        what these contracts lack on the expected supply. chance_covered: probability that they are covered, beside all
        others, by the month's end. chance_of_its_own: the same of the contracts that ask for exactly this certificate;
        in the row "" of those that ask for none, which a lack of organic coffee does not touch.

    Raises
    ------
    NumberError : local sales and seconds together exceed 1.

    Examples
    --------
    >>> totals = pd.DataFrame({"mean_kg": [1000.0], "var": [40000.0]}, index=["C"])
    >>> shares = pd.DataFrame({"cooperative_id": "C", "certificates": ["", "organic"], "share": [0.6, 0.4]})
    >>> sold = pd.DataFrame({"cooperative_id": ["C"], "certification": "", "month": "", "kg": [700.0]})
    >>> table = available(totals, sold, shares, None, crop="coffee", country="HN", season="2026/27")
    >>> table.groupby("certification")["available_kg"].last().round(1).to_dict()  # 1000 − 700; the least of 400 and 300
    {'': 300.0, 'organic': 300.0}
    """
    totals = known_totals(totals)
    course = season_course(
        totals.index,
        deliveries,
        crop=crop,
        country=country,
        season=season,
        settings=settings,
        altitude=altitude,
        tables=tables,
    )
    ids = course.cooperatives
    course = course.later(lag_months(crop, "delivery_to_ready", settings, ids, "ready_days"))
    totals = totals.reindex(ids)
    mean, var = totals["mean_kg"].to_numpy(float), totals["var"].to_numpy(float)
    kept = _kept(settings, ids)
    cumulative = course.cumulative
    expected = mean[:, None] * np.einsum("n,cnm->cm", course.weights, cumulative)
    cautious = kilograms(
        cumulative, mean, var, weights=course.weights, concentration=course.concentration, quantiles=[0.1]
    )[0]
    rows = []
    own_sets, own_contracts = _own_sets(shares), _own_contracts(contracts, course.months)
    for place, name in enumerate(ids):
        case = Allocation.of(own_sets.get(name, {"": 1.0}), own_contracts.get(name, {}), len(course.months))
        rows.append(_cooperative(case, expected[place], cautious[place], kept[place], place))
    return _table(rows, course, mean, var)


def _kept(settings: pd.DataFrame | None, ids: pd.Index) -> Floats:
    """Part of each cooperative's supply that is neither sold locally nor seconds."""
    names = [] if settings is None else [n for n in ("local_sales_share", "seconds_share") if n in settings]
    if settings is None or not names:
        return np.ones(len(ids))
    kept = 1.0 - settings[names].astype(float).reindex(ids).fillna(0.0).sum(axis=1)
    if (kept < -1e-12).any() or (kept > 1.0).any():
        raise NumberError(
            f"Local sales and seconds of {kept.idxmin()!r} are {1 - kept.min():g} of its supply.",
            why="Both are parts of what the cooperative receives.",
            todo="Write shares from 0 to 1 whose sum is at most 1.",
        )
    return np.asarray(kept.clip(lower=0.0), dtype=float)


def _own_sets(shares: pd.DataFrame | None) -> dict[str, dict[str, float]]:
    """Share of each set of certificates, by cooperative; what is missing to 1 has no certificate."""
    found: dict[str, dict[str, float]] = {}
    if shares is not None:
        for cooperative, name, share in shares[["cooperative_id", "certificates", "share"]].itertuples(index=False):
            own = found.setdefault(cooperative, {})
            own[set_name(set_of(name))] = own.get(set_name(set_of(name)), 0.0) + float(share)
    for own in found.values():
        rest = 1.0 - sum(own[name] for name in sorted(own))
        own[""] = own.get("", 0.0) + max(rest, 0.0)
    return found


def _own_contracts(contracts: pd.DataFrame, months: tuple[str, ...]) -> dict[str, dict[str, Floats]]:
    """Kilograms due in each month, by cooperative and set of certificates that is asked for."""
    found: dict[str, dict[str, Floats]] = {}
    if not months:
        return found
    table = contracts[contracts["kg"] > 0].sort_values(["cooperative_id", "certification", "month", "kg"])
    columns = ["cooperative_id", "certification", "month", "kg"]
    for cooperative, text, month, kg in (
        table[columns].fillna({"certification": "", "month": ""}).itertuples(index=False)
    ):
        own = found.setdefault(cooperative, {})
        due = own.setdefault(set_name(certificates(text)), np.zeros(len(months)))
        after = int(np.searchsorted(np.array(months), month)) if month else len(months) - 1
        due[min(after, len(months) - 1)] += kg
    return found


@dataclass(frozen=True)
class _Rows:
    """What the table shows of one cooperative, (certificates, months) each; needed: kilograms of the whole supply.

    needed_alone: for the contracts that ask for exactly these certificates.
    """

    place: int
    names: list[str]
    columns: dict[str, Floats]
    needed: Floats
    needed_alone: Floats


def _cooperative(case: Allocation, expected: Floats, cautious: Floats, kept: float, place: int) -> _Rows:
    """All rows of one cooperative, from its expected and its cautious supply by the end of each month."""
    found: dict[str, list[Floats]] = {name: [] for name in AVAILABLE_COLUMNS[3:-2]}
    needed, alone = [], []
    for asked in case.asked:
        carried = float(case.share[case.carries(asked)].sum())
        found["supply_kg"].append(expected * carried)
        found["supply_p10_kg"].append(cautious * carried)
        found["local_and_seconds_kg"].append(expected * carried * (1.0 - kept))
        found["contracts_kg"].append(case.due[case.asks(asked), 1:].sum(axis=0))
        most, short = case.sellable(expected * kept, asked)
        found["available_kg"].append(most)
        found["short_kg"].append(short)
        found["available_p10_kg"].append(np.minimum(case.sellable(cautious * kept, asked)[0], most))
        needed.append(case.needed(asked, kept))
        alone.append(case.needed(asked, kept, exactly=True))
    columns = {name: np.array(values) for name, values in found.items()}
    return _Rows(place, [set_name(asked) for asked in case.asked], columns, np.array(needed), np.array(alone))


def _table(rows: list[_Rows], course: Course, mean: Floats, var: Floats) -> pd.DataFrame:
    count = len(course.months)
    place = np.array([row.place for row in rows for _ in row.names], dtype=np.int64)
    names = np.array([name for row in rows for name in row.names], dtype=object)
    chances = {}
    for name, parts in (
        ("chance_covered", [row.needed for row in rows]),
        ("chance_of_its_own", [row.needed_alone for row in rows]),
    ):
        needed = np.concatenate(parts) if parts else np.empty((0, count))
        chances[name] = _chances(needed, place, course, mean, var).ravel()
    table: dict[str, object] = {
        "cooperative_id": np.repeat(course.cooperatives.to_numpy(dtype=object)[place], count),
        "certification": np.repeat(names, count),
        "month": np.tile(np.array(course.months, dtype=object), len(place)),
    }
    for name in AVAILABLE_COLUMNS[3:-2]:
        table[name] = np.concatenate([row.columns[name].ravel() for row in rows]) if rows else np.empty(0)
    found = pd.DataFrame(table | chances, columns=AVAILABLE_COLUMNS)
    return found.astype(dict.fromkeys(AVAILABLE_COLUMNS[:3], "str"))


def _chances(needed: Floats, place: npt.NDArray[np.int64], course: Course, mean: Floats, var: Floats) -> Floats:
    """Probability that the supply is at least what is needed; 1 where nothing is."""
    chance = np.ones(needed.shape)
    some = np.flatnonzero(needed.any(axis=1))
    at = place[some]
    chance[some] = chance_of(
        needed[some],
        course.cumulative[at],
        mean[at],
        var[at],
        weights=course.weights,
        concentration=course.concentration[at],
    )
    return chance
