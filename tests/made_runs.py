"""Runs for tests, put into a store as a worker publishes them, of members that a test made up."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from geomap.store import Store
from geomap.store.jobs import add_job, claim, publish
from geomap.store.scope import ALL, Scope

LOCAL = Scope("local", ALL, "someone")
QUANTITIES = ("potential", "supply")
ATTRIBUTES = ("community", "certification")


def members_of(*sizes: int, kg: float = 500.0) -> pd.DataFrame:
    """Villages A, B, … of so many members of 500 kg each; every third is certified organic."""
    rows = [(f"M{k}-{i}", kg, chr(65 + k)) for k, size in enumerate(sizes) for i in range(size)]
    members = pd.DataFrame(rows, columns=["member_id", "potential_kg", "community"])
    return members.assign(certification=["organic" if k % 3 == 0 else "" for k in range(len(members))])


def plots_of(members: pd.DataFrame) -> pd.DataFrame:
    """One plot of each member within some 100 m; villages half a degree apart."""
    village = members["community"].map(ord) - 65
    return pd.DataFrame(
        {
            "member_id": members["member_id"],
            "potential_kg": members["potential_kg"],
            "lon": -88 + 0.5 * village + 0.000123 * np.arange(len(members)),
            "lat": 14.654321,
        }
    )


def add_run(
    store: Store, cooperative_id: str, folder: Path, members: pd.DataFrame, points: pd.DataFrame, *, code: str,
    by: tuple[str, ...] = ATTRIBUTES, supplied: bool = True, season: str = "2026/27",
) -> str:  # fmt: skip
    """The id of a run of these members: member_id, potential_kg and attributes; their plots: lon, lat, potential_kg.

    Supply is half of the potential; intervals reach from .7 to 1.5 of the mean.
    """
    members = members.assign(supply_kg=members["potential_kg"] * 0.5 if supplied else np.nan)
    points = points.assign(supply_kg=points["potential_kg"] * 0.5 if supplied else np.nan)
    with store.begin(LOCAL) as tx:
        add_job(tx, cooperative_id=cooperative_id, parameters={"by": list(by), "country": "HN", "crop": "coffee"})
    held = claim(store, "w")
    assert held is not None
    results = folder / f"results-{held.job_id}"
    (results / "rows").mkdir(parents=True)
    (results / "files").mkdir()
    chosen = {"crop": "coffee", "form": "green", "season": season}
    summary = {"parameters": chosen, "inputs": [], "versions": {}, "tables": {}}
    (results / "files" / "summary.json").write_text(json.dumps(summary))
    (results / "files" / "map_share.html").write_text("<p>shared</p>")
    for name, rows in _tables(members, points, code, by).items():
        lines = [list(rows[0]) if rows else [], *({"id": str(row.get("id", "")), "cells": row} for row in rows)]
        _write(results / "rows" / f"{name}.jsonl", lines)
    plots = []
    for number, plot in enumerate(points.to_dict("records")):
        cells = {name: _plain(plot[name]) for name in plot if name not in ("lon", "lat", "member_id")}
        shape = None if np.isnan(plot["lon"]) else shapely.to_wkb(shapely.Point(plot["lon"], plot["lat"]), hex=True)
        plots.append({"plot_id": f"P{number}", "member_id": plot["member_id"], "cells": cells, "geometry": shape})
    _write(results / "plots.jsonl", [["potential_kg"], *plots])
    return publish(store, held, results)


def _tables(members: pd.DataFrame, points: pd.DataFrame, code: str, by: tuple[str, ...]) -> dict[str, list[Any]]:
    total = _sums(members, code, mapped=points["member_id"].nunique())
    own = [_sums(members[members["member_id"] == one], one, community=where, cooperative_id=code)
           for one, where in zip(members["member_id"], members["community"], strict=True)]  # fmt: skip
    parts = {f"by_{name}": [_sums(rows, str(value)) for value, rows in members.groupby(name)] for name in by}
    month = {"cooperative_id": code, "month": "2027-01"}
    months = [{**month, "quantity": name, "mean_kg": total[f"{name}_kg"], "p10_kg": 1.0, "p50_kg": 2.0, "p90_kg": 3.0}
              for name in QUANTITIES if total[f"{name}_kg"] is not None]  # fmt: skip
    supply = total["supply_kg"]
    shipped = {**month, "supply_kg": supply, "supply_p10_kg": supply, "local_and_seconds_kg": 0.0,
               "contracts_kg": 1000.0}  # fmt: skip
    sold = [{**shipped, "certification": name} for name in ("", "organic")] if supply else []
    score = {"predictions": 2, "seasons": 2, "bias": 0.1, "mape": 0.1, "coverage_80": 0.5, "coverage_95": 1.0}
    scores = [{"cooperative_id": one, "rule": rule, **score} for one in ("all", code)
              for rule in ("model", "same as last season")]  # fmt: skip
    shock = {"cooperative_id": code, "case": "shock year", "chance": 0.1, "factor_low": 0.5, "factor_high": 0.8,
             "mean_kg": 10.0, "p10_kg": 9.0, "p50_kg": 10.0, "p90_kg": 11.0}  # fmt: skip
    past = [{"cooperative_id": code, "season": season, "rule": rule, "evidence": "", "actual_kg": 40_123.0,
             "mean_kg": 41_234.0, "p2_5_kg": 2e4, "p10_kg": 3e4, "p50_kg": 4e4, "p90_kg": 5e4, "p97_5_kg": 6e4}
            for season in ("2024/25", "2025/26") for rule in ("model", "same as last season")]  # fmt: skip
    variance = [{"cooperative_id": one, "quantity": quantity, "source": source, "share": share}
                for one in ("all", code) for quantity in QUANTITIES
                for source, share in (("base_yield", 0.3), ("season", 0.1), ("plot", 0.5))]  # fmt: skip
    beside = {"available": sold, "backtest_scores": scores, "shock_year": [shock], "backtest": past,
              "variance": variance}  # fmt: skip
    return {"members": own, "cooperatives": [total], "months": months, **parts, **beside}


def _sums(rows: pd.DataFrame, one: str, *, mapped: int = 0, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"id": one, "members": len(rows), "members_mapped": mapped, **more}
    for name in QUANTITIES:
        kg = _plain(rows[f"{name}_kg"].sum(min_count=1))
        cases = (("", 1.0), ("p10_", 0.7), ("p50_", 0.95), ("p90_", 1.5))
        found |= {f"{name}_{case}kg": None if kg is None else kg * share for case, share in cases}
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return None if pd.isna(value) else float(value)


def _write(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
