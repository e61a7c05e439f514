"""How often the alarms catch coffee of others, and how often they ring for nothing, on made worlds.

    python tests/simulations/alarms.py --out out/simulate [--worlds 40] [--seconds 900]

Each world has 60 cooperatives of 20 to 200 members in 6 origins; their third season is asked about. Coffee of others
comes in that season only, or in all three (steady mixing in a twentieth of the cooperatives: the model takes it for
their own). Variances are those of the reference table, which are the true ones here.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from geomap.simulate.truth import SEASONS
from geomap.simulate.worlds import COMING, SupplyWorld, supply_world
from geomap.supply.alarm import KINDS, cooperative_alarms, member_alarms

OUTSIDE = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Coffee of others, as a share of the own deliveries."""
ASKED = SEASONS[COMING - 1]
CERTAIN = 0.95
MIXING = 0.05
WORLD = {"cooperatives": 60, "origins": 6, "members": (20, 200)}


def raised(alarms: pd.DataFrame, outside: float) -> pd.DataFrame:
    """Whether each alarm rings if the deliveries were larger by this share.

    The past is not touched, so only ln D grows, by ln(1 + share); its spread is s = ln(D / expected) / z.
    """
    z = ndtri(alarms["probability"].to_numpy(float))
    spread = np.log((alarms["delivered_kg"] / alarms["expected_kg"]).to_numpy(float)) / z
    more = z + np.log1p(outside) / spread
    return alarms[["cooperative_id", "kind"]].assign(outside=outside, above=more >= ndtri(CERTAIN))


def of_cooperatives(world: SupplyWorld, rng: np.random.Generator) -> pd.DataFrame:
    """One row per cooperative, kind, amount of outside coffee and when it comes: whether the alarm rings."""
    history = world.history(COMING)
    ask = partial(cooperative_alarms, season=ASKED, delivered_share=world.delivered_share, learn=False)
    clean = ask(history)
    tables = [raised(clean, outside).assign(when="this season") for outside in OUTSIDE]
    ids = world.truth.index.to_numpy(dtype=object)
    mixing = rng.choice(ids, size=round(MIXING * len(ids)), replace=False)
    members = history.members
    more = np.where(members["cooperative_id"].isin(mixing), 2.0, 1.0)
    steady = ask(replace(history, members=members.assign(delivered_kg=members["delivered_kg"] * more)))
    steady = raised(steady[steady["cooperative_id"].isin(mixing)], 0.0)
    return pd.concat([*tables, steady.assign(outside=1.0, when="every season")])


def of_members(world: SupplyWorld, rng: np.random.Generator) -> pd.DataFrame:
    """One row: members who bring as much again of others (a twentieth), those named, those named for nothing."""
    history = world.history(COMING)
    members = history.members
    guilty = (rng.random(len(members)) < MIXING) & (members["season"] == ASKED).to_numpy(dtype=bool)
    kg = members["delivered_kg"].to_numpy(float) * np.where(guilty, 2.0, 1.0)
    found = member_alarms(replace(history, members=members.assign(delivered_kg=kg)), ASKED, learn=False)
    named = found.loc[found["side"] == "above", "member_id"]
    right = int(named.isin(members.loc[guilty, "member_id"]).sum())
    return pd.DataFrame([{"guilty": guilty.sum(), "named": len(named), "caught": right, "wrong": len(named) - right}])


def run_world(
    seed: int, deadline: float = np.inf, options: dict[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Alarms of cooperatives and of members in one world; both empty after the deadline."""
    if time.time() > deadline:
        return pd.DataFrame(), pd.DataFrame()
    rng = np.random.default_rng(seed)
    world = supply_world(rng, **{**WORLD, **(options or {})})
    return of_cooperatives(world, rng).assign(world=seed), of_members(world, rng).assign(world=seed)


def cooperative_table(alarms: pd.DataFrame) -> pd.DataFrame:
    """Per cent of cooperatives whose alarm rings, by amount and time (rows) and kind (columns), ± error over worlds."""
    by_world = alarms.groupby(["when", "outside", "kind", "world"], sort=False)["above"].mean().mul(100)
    found = by_world.groupby(level=[0, 1, 2], sort=False).agg(["mean", "sem"]).map("{:.1f}".format)
    return (found["mean"] + " ± " + found["sem"]).unstack()[list(KINDS)].reset_index()


def member_table(members: pd.DataFrame) -> pd.DataFrame:
    """What became of the members who mixed, in one row."""
    sums = members[["guilty", "named", "caught", "wrong"]].sum()
    caught, wrong = 100 * sums["caught"] / sums["guilty"], 100 * sums["wrong"] / max(sums["named"], 1)
    return pd.DataFrame([{"caught, %": f"{caught:.1f}", "named for nothing, % of those named": f"{wrong:.1f}"}])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/simulate"))
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=900.0, help="no world is begun after this")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    work = partial(run_world, deadline=time.time() + asked.seconds)
    with ProcessPoolExecutor(asked.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        cooperatives, members = map(pd.concat, zip(*pool.map(work, range(asked.worlds)), strict=True))
    if cooperatives.empty:
        sys.exit("No world was begun in time: give more --seconds.")
    cooperatives.to_csv(asked.out / "alarms.csv", index=False)
    shown = [table.to_string(index=False) for table in (cooperative_table(cooperatives), member_table(members))]
    text = "\n\n".join(shown) + f"\n\n{cooperatives['world'].nunique()} worlds\n"
    (asked.out / "alarms.txt").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
