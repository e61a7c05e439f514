"""Cooperatives with known truth: the sample, plots on a real raster, the benchmark's world, the tests' simulator."""

from importlib import import_module
from typing import Any, Final

_HOMES: Final = {
    "make_sample": "sample",
    "plots_on_raster": "raster",
    "bench_world": "bench",
    "Simulation": "truth",
    "simulate_cooperatives": "truth",
    "simulate_supply": "truth",
    "Breaks": "worlds",
    "SupplyWorld": "worlds",
    "supply_world": "worlds",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
