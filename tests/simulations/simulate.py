"""How often the intervals hold the truth, on made worlds: prints tables, writes JSON and Markdown.

    python tests/simulations/simulate.py --out out/simulate [--worlds 100] [--broken 25] [--seconds 3300]

Each world has 500 cooperatives of 5 to 5,000 members in 50 origins, three past seasons and a coming one whose truth the
estimate does not see. The same seeds serve all scenarios, so differences between scenarios are not chance. Worlds are
independent of each other, cooperatives of one world are not: the error of each figure is that of its mean over worlds.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geomap.simulate.truth import SEASONS
from geomap.simulate.worlds import COMING, Breaks, SupplyWorld, supply_world
from geomap.supply.calibrate import Calibration, calibrate
from geomap.supply.totals import interval

SIZES = (5, 15, 50, 200, 1000, 5001)
"""Bounds of the size classes: members of a cooperative in the coming season."""
Z95 = 1.959964
KEEP_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SUMS = 0
"""Stands for the sums over each origin's cooperatives, where others have a size class."""


@dataclass(frozen=True)
class Scenario:
    """A kind of world, and after how many seasons of deliveries it is estimated."""

    about: str
    seasons: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    broken: bool = False
    """An assumption of the method does not hold."""


SCENARIOS = {
    "stable": Scenario("the same members every season", (0, 1, 2, 3)),
    "renewed": Scenario("a fifth of the members changes each season", (0, 1, 2, 3), {"membership": "renewed"}),
    "moved": Scenario("gains or loses a fifth of its members", (3,), {"membership": "moved"}),
    "swapped": Scenario("a fifth of the members is swapped", (3,), {"membership": "swapped"}),
    "heavy tails": Scenario(
        "all errors of Student's t with 4 degrees of freedom", (0, 3), {"breaks": Breaks(tails=4.0)}, True
    ),
    "drift": Scenario("each cooperative drifts by .10 a season", (3,), {"breaks": Breaks(drift=0.10)}, True),
    "half noise": Scenario("seasons vary half as much", (3,), {"cv": {"season": 0.06, "coop_season": 0.05}}, True),
    "double noise": Scenario("seasons vary twice as much", (3,), {"cv": {"season": 0.24, "coop_season": 0.20}}, True),
    "wrong map": Scenario(
        "half of the cooperatives can bear 30 % less than the map says", (0, 1, 3), {"breaks": Breaks(map_bias=0.7)},
        True,
    ),
    "price": Scenario(
        "all sell less or more to others when the price moves (sd .15)", (0, 3), {"breaks": Breaks(price=0.15)}, True
    ),
    "skipping": Scenario("a tenth of the members delivers nothing", (3,), {"breaks": Breaks(skipping=0.1)}, True),
    "by total": Scenario("half of the cooperatives know only their sum", (3,), {"breaks": Breaks(by_total=0.5)}, True),
}  # fmt: skip


# ---- one world ----


def score(world: SupplyWorld, seasons: int, found: Calibration) -> pd.DataFrame:
    """What the estimate of each size class is worth: counts and sums that add up over worlds.

    Columns: size (lower bound of the class), cooperatives, in80, in95, below, above (of P10 and P90), bias (Σ 1 −
    truth / mean), and the pinball losses of P50: model, last season, mean of past. A cooperative's loss is divided by
    its mean past deliveries.
    """
    table, truth = found.cooperatives.loc[world.truth.index], world.truth
    past = world.delivered[list(SEASONS[COMING - max(seasons, 1) : COMING])]
    scale = past.mean(axis=1)
    error = np.log(truth / table["potential_kg"]) - table["log_mean"]
    each = pd.DataFrame(
        {
            "size": size_class(world.cooperatives["members"]),
            "cooperatives": 1,
            "in80": truth.between(table["supply_p10_kg"], table["supply_p90_kg"]),
            "in95": error.abs() <= Z95 * np.sqrt(table["log_var"]),
            "below": truth < table["supply_p10_kg"],
            "above": truth > table["supply_p90_kg"],
            "bias": 1 - truth / table["supply_kg"],
            "model": (truth - table["supply_p50_kg"]).abs() / 2 / scale,
            "last season": (truth - past.iloc[:, -1]).abs() / 2 / scale,
            "mean of past": (truth - scale).abs() / 2 / scale,
        }
    )
    return each.groupby("size", as_index=False).sum()


def size_class(members: "pd.Series[int]") -> np.ndarray:
    """Lower bound of each cooperative's size class; who has lost or gained members stays in an outer class.

    >>> size_class(pd.Series([4, 15, 6000])).tolist()
    [5, 15, 1000]
    """
    return np.array(SIZES)[np.clip(np.searchsorted(SIZES, members, side="right") - 1, 0, len(SIZES) - 2)]


def score_origins(world: SupplyWorld, found: Calibration) -> pd.DataFrame:
    """The same for the sums over each origin's cooperatives: these hold only if shared errors are counted as shared."""
    groups = world.cooperatives.groupby("origin").groups
    sums = pd.DataFrame({origin: found.total(list(ids)) for origin, ids in groups.items()}).T
    truth = world.truth.groupby(world.cooperatives["origin"]).sum()
    inside = [
        truth.between(
            *(pd.Series(interval(sums["mean_kg"], sums["var"], q), index=truth.index) for q in (low, 1 - low))
        )
        for low in (0.1, 0.025)
    ]
    row = {"size": SUMS, "cooperatives": len(groups), "in80": inside[0].sum(), "in95": inside[1].sum(),
           "below": (truth < sums["p10"]).sum(), "above": (truth > sums["p90"]).sum(),
           "bias": (1 - truth / sums["mean_kg"]).sum()}  # fmt: skip
    return pd.DataFrame([row])


def run_world(
    job: tuple[int, Sequence[str]], deadline: float = np.inf, options: Mapping[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and learned errors of all scenarios of one seed; both empty after the deadline."""
    seed, scenarios = job
    scores, learned = [pd.DataFrame()], [pd.DataFrame()]
    for name in scenarios if time.time() < deadline else ():
        scenario = SCENARIOS[name]
        world = supply_world(np.random.default_rng(seed), **{**(options or {}), **scenario.options})
        for seasons in scenario.seasons:
            found = calibrate(world.history(seasons), world.target, delivered_share=world.delivered_share)
            which = {"scenario": name, "seasons": seasons, "world": seed}
            scores += [score(world, seasons, found).assign(**which), score_origins(world, found).assign(**which)]
            learned.append(found.sources.assign(**which))
    return pd.concat(scores, ignore_index=True), pd.concat(learned, ignore_index=True)


# ---- over worlds ----


def rate(scores: pd.DataFrame, part: str, whole: str) -> tuple[float, float]:
    """Σ part / Σ whole and its standard error, worlds being independent.

    >>> rate(pd.DataFrame({"world": [1, 2], "part": [1.0, 3.0], "whole": [4.0, 4.0]}), "part", "whole")
    (0.5, 0.25)
    """
    sums = scores.groupby("world")[[part, whole]].sum()
    share = sums[part].sum() / sums[whole].sum()
    count = len(sums)
    spread = np.sqrt(((sums[part] - share * sums[whole]) ** 2).sum() * count / max(count - 1, 1))
    return float(share), float(spread / sums[whole].sum())


def gain(scores: pd.DataFrame, rule: str) -> tuple[float, float]:
    """By how much the model's pinball loss is smaller than that of a rule, as a share of the latter, and its error."""
    share, error = rate(scores, "model", rule)
    return 1 - share, error


def coverage_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Coverage in per cent, with its error, of each scenario, number of seasons and size class ("all" first)."""
    rows = []
    for (scenario, seasons), part in scores.groupby(["scenario", "seasons"], sort=False):
        for size in ["all", *sorted(part["size"].unique())]:
            chosen = part[part["size"] != SUMS] if size == "all" else part[part["size"] == size]
            row = {"scenario": scenario, "seasons": seasons, "size": size, "worlds": chosen["world"].nunique()}
            for name in ("in80", "in95", "below", "above", "bias"):
                row[name], row[f"{name}_se"] = (100 * value for value in rate(chosen, name, "cooperatives"))
            rows.append(row)
    return pd.DataFrame(rows)


def gain_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Gains in scaled pinball loss over the naive rules in per cent, with their error; after deliveries only."""
    rows = []
    chosen = scores[(scores["seasons"] > 0) & (scores["size"] != SUMS)]
    for (scenario, seasons), part in chosen.groupby(["scenario", "seasons"], sort=False):
        row = {"scenario": scenario, "seasons": seasons}
        for rule in ("last season", "mean of past"):
            row[rule], row[f"{rule}_se"] = (100 * value for value in gain(part, rule))
        rows.append(row)
    return pd.DataFrame(rows)


def check_targets(coverage: pd.DataFrame, gains: pd.DataFrame) -> pd.DataFrame:
    """Each promise with its figure: what, found, error, least, most, held."""
    rows = []
    promised = coverage[coverage["scenario"].isin(["stable", "renewed"])]
    for row in promised[promised["size"] != SUMS].itertuples(index=False):
        slack = (2.0, 1.5) if row.size == "all" else (3.0, 2.0)
        where = f"{row.scenario}, {row.seasons} seasons, members {class_name(row.size)}"
        for wanted, found, error, by in ((80, row.in80, row.in80_se, slack[0]), (95, row.in95, row.in95_se, slack[1])):
            rows.append((f"{wanted} % interval: {where}", found, error, wanted - by, wanted + by))
    by_scenario = gains[gains["seasons"] == 3].set_index("scenario")
    for name, least in {"stable": (15, 0), "moved": (30, 25), "swapped": (15, 3)}.items():
        for rule, bound in zip(("last season", "mean of past"), least, strict=True):
            found, error = by_scenario.loc[name, [rule, f"{rule}_se"]]
            rows.append((f"gain over {rule}: {name}, 3 seasons", found, error, bound, np.inf))
    table = pd.DataFrame(rows, columns=["target", "found", "error", "least", "most"])
    return table.assign(held=table["found"].between(table["least"], table["most"]))


def class_name(size: "str | int") -> str:
    """Members of a size class.

    >>> class_name(15), class_name("all"), class_name(0)
    ('15–49', 'all', 'sums by origin')
    """
    if size == SUMS:
        return "sums by origin"
    return "all" if size == "all" else f"{size}–{SIZES[SIZES.index(size) + 1] - 1}"


# ---- the report ----


def markdown(frame: pd.DataFrame) -> str:
    """A table as Markdown; empty where there is no value."""
    texts = frame.astype(object).where(frame.notna(), "").map(str)
    lines = [list(frame.columns), ["---"] * frame.shape[1], *texts.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def with_error(frame: pd.DataFrame, name: str) -> "pd.Series[str]":
    """Figures as texts, one decimal, ± their error."""
    return frame[name].map("{:.1f}".format) + " ± " + frame[f"{name}_se"].map("{:.1f}".format)


def by_size(coverage: pd.DataFrame, name: str) -> pd.DataFrame:
    """Coverage by scenario and seasons (rows) and size class (columns), as texts."""
    shown = coverage.assign(text=with_error(coverage, name), size=coverage["size"].map(class_name))
    columns = [class_name(size) for size in ("all", *SIZES[:-1], SUMS)]
    order = coverage[["scenario", "seasons", "worlds"]].drop_duplicates(["scenario", "seasons"])
    wide = shown.pivot(index=["scenario", "seasons"], columns="size", values="text").reindex(columns=columns)
    return order.merge(wide.reset_index(), on=["scenario", "seasons"])


def report(coverage: pd.DataFrame, gains: pd.DataFrame, targets: pd.DataFrame) -> str:
    """All tables as Markdown."""
    names = {"below": "below P10", "above": "above P90", "bias": "1 − truth / mean"}
    whole = coverage[coverage["size"] == "all"]
    sides = whole.assign(**{title: with_error(whole, name) for name, title in names.items()})
    for rule in ("last season", "mean of past"):
        gains = gains.assign(**{f"over {rule}": with_error(gains, rule)})
    shown = targets.assign(found=targets["found"].round(1), error=targets["error"].round(1))
    tables = {
        "Truth inside the 80 % interval, per cent of cooperatives": by_size(coverage, "in80"),
        "Truth inside the 95 % interval, per cent of cooperatives": by_size(coverage, "in95"),
        "Both sides, per cent of cooperatives": sides[["scenario", "seasons", *names.values()]],
        "Gain in pinball loss of P50, per cent": gains[
            ["scenario", "seasons", "over last season", "over mean of past"]
        ],
        f"Promises: {int(targets['held'].sum())} of {len(targets)} held; those that are not": shown[~shown["held"]],
    }
    return "\n".join(f"### {title}\n\n{markdown(table)}" for title, table in tables.items())


def simulate(
    jobs: Iterable[tuple[int, Sequence[str]]],
    *,
    deadline: float = np.inf,
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and learned errors of many worlds; with several workers each is a process of its own with one thread."""
    work = partial(run_world, deadline=deadline, options=options)
    if workers == 1:
        made = list(map(work, jobs))
    else:
        os.environ.update(dict.fromkeys(KEEP_ONE_THREAD, "1"))
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            made = list(pool.map(work, jobs))
    scores, learned = zip(*made, strict=True)
    return pd.concat(scores, ignore_index=True), pd.concat(learned, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/simulate"))
    parser.add_argument("--worlds", type=int, default=100, help="worlds for what is promised")
    parser.add_argument("--broken", type=int, default=25, help="worlds for what breaks an assumption")
    parser.add_argument("--first", type=int, default=0, help="seed of the first world")
    parser.add_argument("--seconds", type=float, default=3300.0, help="no world is begun after this")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    names = [name for name, scenario in SCENARIOS.items() if not scenario.broken], list(SCENARIOS)
    jobs = [(asked.first + k, names[k < asked.broken]) for k in range(asked.worlds)]
    scores, learned = simulate(jobs, deadline=start + asked.seconds, workers=asked.workers)
    if scores.empty:
        sys.exit("No world was begun in time: give more --seconds.")
    tables = {"coverage": coverage_table(scores), "gains": gain_table(scores)}
    tables["targets"] = check_targets(tables["coverage"], tables["gains"])
    tables["learned"] = learned.groupby(["scenario", "seasons", "source"], as_index=False)[["prior_cv", "cv"]].mean()
    text = report(tables["coverage"], tables["gains"], tables["targets"])
    scores.to_csv(asked.out / "scores.csv", index=False)
    (asked.out / "simulate.md").write_text(text, encoding="utf-8")
    figures = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
    figures["seconds"] = time.time() - start
    (asked.out / "simulate.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    sys.stdout.write(f"{text}\n{scores['world'].nunique()} worlds, {figures['seconds']:.0f} seconds\n")


if __name__ == "__main__":
    main()
