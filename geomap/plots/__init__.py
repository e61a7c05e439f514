"""Plots: read, checked, repaired, measured, and with no ground counted twice."""

from importlib import import_module
from typing import Any, Final

_HOMES: Final = {
    "area_ha": "area",
    "ellipsoidal_cell_area": "area",
    "gps_area_sd_ha": "area",
    "Prepared": "prepare",
    "prepare_plots": "prepare",
    "Overlaps": "overlap",
    "count_once": "overlap",
    "repair_outlines": "repair",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
