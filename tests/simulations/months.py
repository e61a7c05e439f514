"""How often the monthly intervals hold the truth, on made seasons that come early or late: prints a table.

    python tests/simulations/months.py [--cooperatives 1000]

Each cooperative has a calendar of its own around its nation's (α₀), seasons around it (κ, another one for each
cooperative), a shift of N(0, .5 month) in each season and a log-normal total. The forecast sees the past seasons'
deliveries and the total's mean and variance, not the coming season.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from geomap.supply.calendars import ALPHA, KAPPA, lag_months, season_course
from geomap.supply.course import kilograms, shift
from geomap.supply.forecast import forecast
from geomap.supply.months import SHIFT_MONTHS, harvest_calendar, season_months, season_numbers
from geomap.supply.nowcast import nowcast

CROP = "coffee"
COMING = 2026
SEASON = "2026/27"
KAPPA_LOG_SD = 0.6
MEAN_KG = 1000.0


@dataclass(frozen=True)
class World:
    """totals: mean_kg, var. deliveries: past seasons. coming: (cooperatives, 12) kilograms of the season to come."""

    country: str
    totals: pd.DataFrame
    deliveries: pd.DataFrame
    coming: np.ndarray

    @property
    def known(self) -> dict[str, str]:
        return {"crop": CROP, "country": self.country, "season": SEASON}


def world(
    rng: np.random.Generator,
    *,
    cooperatives: int,
    seasons: int,
    cv: float,
    country: str = "HN",
    median_kappa: float = KAPPA,
) -> World:
    ids = pd.Index([f"C{number:05d}" for number in range(cooperatives)], name="cooperative_id")
    national = harvest_calendar(CROP, country).reindex(season_numbers(10)).to_numpy()
    national = shift(national, lag_months(CROP, "harvest_to_delivery", None, ids[:1], "lag_days"))[0]
    own = rng.dirichlet(ALPHA * national + 1e-9, cooperatives)
    kappa = median_kappa * rng.lognormal(0.0, KAPPA_LOG_SD, cooperatives)
    s2 = np.log1p(cv**2)
    parts, months = [], np.empty((cooperatives, 12))
    for year in range(COMING - seasons, COMING + 1):
        now = shift(own, SHIFT_MONTHS * rng.standard_normal(cooperatives))
        drawn = rng.gamma(np.maximum(kappa[:, None] * now, 1e-9))
        months = (
            drawn / drawn.sum(axis=1, keepdims=True) * MEAN_KG * rng.lognormal(-s2 / 2, np.sqrt(s2), (cooperatives, 1))
        )
        if year < COMING:
            parts.append(as_deliveries(ids, months, f"{year}/{(year + 1) % 100:02d}"))
    totals = pd.DataFrame({"mean_kg": MEAN_KG, "var": (MEAN_KG * cv) ** 2}, index=ids)
    return World(country, totals, pd.concat(parts) if parts else as_deliveries(ids[:0], months[:0], SEASON), months)


def as_deliveries(ids: pd.Index, months: np.ndarray, season: str) -> pd.DataFrame:
    """Deliveries in the middle of each month."""
    dates = pd.to_datetime([f"{month}-15" for month in season_months(season, 10)])
    return pd.DataFrame(
        {
            "cooperative_id": np.repeat(ids.to_numpy(dtype=object), 12),
            "season": season,
            "date": np.tile(dates, len(ids)),
            "kg": months.ravel(),
        }
    )


def months_coverage(made: World) -> dict[str, float]:
    """Part of the truths within P10–P90: by month, cumulative, and cumulative with the shift left out.

    Months in which the nation delivers at least 5 % count, and cumulative figures between 5 and 95 % of its season. An
    interval holds what is within a thousandth of the mean season of it: nothing has come where 70 g were expected.
    """
    table = forecast(made.totals, made.deliveries, **made.known)
    usual = table["mean_kg"].to_numpy().reshape(-1, 12).mean(axis=0) / MEAN_KG
    main, under_way = usual >= 0.05, (usual.cumsum() > 0.05) & (usual.cumsum() < 0.95)
    so_far = made.coming.cumsum(axis=1)
    found = {}
    for name, truth, chosen, prefix in (
        ("month", made.coming, main, ""),
        ("cumulative", so_far, under_way, "cumulative_"),
    ):
        low, high = (table[f"{prefix}{q}_kg"].to_numpy().reshape(-1, 12) for q in ("p10", "p90"))
        found[name] = float(held(truth, low, high)[:, chosen].mean())
    course = season_course(made.totals.index, made.deliveries, **made.known)
    middle = course.shares.shape[1] // 2
    still = replace(course, shares=course.shares[:, middle : middle + 1], weights=np.ones(1))
    mean, var = (made.totals[name].to_numpy() for name in ("mean_kg", "var"))
    low, _, high = kilograms(still.cumulative, mean, var, weights=still.weights, concentration=still.concentration)
    found["without shift"] = float(held(so_far, low, high)[:, under_way].mean())
    return found


def held(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (truth >= low - MEAN_KG / 1000) & (truth <= high + MEAN_KG / 1000)


def nowcast_coverage(made: World, month: int) -> dict[str, float]:
    """Part of the season's totals within P10–P90 when so many months are over, and how wide that is beside before."""
    so_far = as_deliveries(made.totals.index, made.coming, SEASON)
    so_far = so_far[so_far["date"] < pd.Timestamp(f"{season_months(SEASON, 10)[month]}-01")]
    day = pd.Timestamp(f"{season_months(SEASON, 10)[month]}-01") - pd.Timedelta(days=1)
    now = nowcast(made.totals, pd.concat([made.deliveries, so_far]), as_of=day, **made.known)
    truth = made.coming.sum(axis=1)
    before = forecast(made.totals, made.deliveries, **made.known).groupby("cooperative_id").last()
    width = (now["p90_kg"] - now["p10_kg"]).mean() / (before["cumulative_p90_kg"] - before["cumulative_p10_kg"]).mean()
    inside = held(truth, now["p10_kg"].to_numpy(), now["p90_kg"].to_numpy())
    return {"held": float(inside.mean()), "width": float(width)}


def study(cooperatives: int) -> Iterator[tuple[object, ...]]:
    """Each case: country, median κ, past seasons, cv of the total; then the coverage."""
    for country in ("HN", "NI", "CO", "PE"):
        for kappa, seasons, cv in product((KAPPA, 100.0), (0, 1, 3, 6), (0.1, 0.3)):
            rng = np.random.default_rng([seasons, int(cv * 100), int(kappa), *country.encode()])
            made = world(rng, cooperatives=cooperatives, seasons=seasons, cv=cv, country=country, median_kappa=kappa)
            yield country, kappa, seasons, cv, *(f"{value:.3f}" for value in months_coverage(made).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cooperatives", type=int, default=1000)
    cooperatives = parser.parse_args().cooperatives
    lines = [
        "| country | median κ | past seasons | cv of the total | months | cumulative | cumulative, shift left out |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(map(str, row)) + " |" for row in study(cooperatives)),
        "",
        "| months over | totals held | width beside the forecast |",
        "|---|---|---|",
    ]
    for month in range(1, 8):
        made = world(np.random.default_rng(month), cooperatives=cooperatives, seasons=3, cv=0.3)
        found = nowcast_coverage(made, month)
        lines.append(f"| {month} | {found['held']:.3f} | {found['width']:.2f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
