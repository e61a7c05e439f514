"""Kilograms of a run for reading: mean and cases, in the office's own unit where one is known."""

from collections.abc import Mapping
from typing import Any, Final

from geomap.outputs.units import Unit, reader_unit

CASES: Final = {"mean": "", "low": "p10_", "middle": "p50_", "high": "p90_"}


def headline(run: Mapping[str, Any], owner: Mapping[str, Any]) -> dict[str, Any]:
    """What the whole run says: supply where there is evidence, else potential.

    Returns
    -------
    dict : quantity, kg (case → kilograms), potential_kg, unit (None: kilograms alone).
    """
    totals = run["summary"].get("totals") or {}
    quantity = "supply" if totals.get("supply_kg") is not None else "potential"
    return {
        "quantity": quantity,
        "kg": cases(totals, quantity),
        "potential_kg": totals.get("potential_kg"),
        "unit": office_unit(run, owner),
    }


def cases(row: Mapping[str, Any], quantity: str) -> dict[str, float | None]:
    """Mean, low, middle and high case of a row, kilograms."""
    return {case: row.get(f"{quantity}_{infix}kg") for case, infix in CASES.items()}


def office_unit(run: Mapping[str, Any], owner: Mapping[str, Any]) -> Unit | None:
    """What the office counts in, for kilograms of the run's form."""
    country = (run["summary"].get("parameters") or {}).get("country") or owner["country"]
    told = {name: value for name, value in owner["settings"].items() if value not in (None, "")}
    return reader_unit(run["crop"], country, run["form"], told=told)
