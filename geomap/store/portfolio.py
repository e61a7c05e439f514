"""What a buyer sees of several cooperatives: the last release of each, beside each other and added up.

Nothing here says more than the releases themselves: sums of what they show, by crop, form and season.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from geomap.supply.basis import records
from geomap.supply.releases import SUPPRESSED, from_basis, signed_totals
from geomap.supply.together import Signed, together

Row = dict[str, Any]
ASSUMPTION: Final = (
    "P10 and P90 of the sum are the sums of P10 and P90: as if all cooperatives had their bad year at once. So the"
    " interval is rather too wide. Rust, frost, drought and prices do strike neighbours together; `together` says how"
    " far, where every release tells which errors it shares."
)
_KEYS: Final = ("crop", "form", "season")
_NOTHING: Final[Row] = {"members": [], "contents": [], "numbers": [], "changed": None}


def portfolio(contents: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Releases added up, for each crop, product form and season; kilograms of that form.

    Parameters
    ----------
    contents : content of one release of each cooperative, as `geomap.store.releases` keeps it.

    Returns
    -------
    crop, form, season, unit (None where the cooperatives count in different ones), cooperatives (their signed totals),
    sum, assumption, together (quantity → of `geomap.supply.together`), months (quantity, month, mean_kg, low_kg,
    high_kg, cooperatives), certification (value, mean_kg, base_kg: right to half of it, cooperatives, suppressed).
    """
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for content in sorted(contents, key=lambda one: str(one["totals"]["id"])):
        groups.setdefault(tuple(str(content[key]) for key in _KEYS), []).append(content)
    return [_group(dict(zip(_KEYS, key, strict=True)), group) for key, group in sorted(groups.items())]


def _group(keys: Row, contents: Sequence[Mapping[str, Any]]) -> Row:
    table = records(signed_totals([from_basis({**content, "basis": _NOTHING}) for content in contents]))
    units = [content["unit"] for content in contents]
    return {
        **keys,
        "unit": units[0] if all(unit == units[0] for unit in units) else None,
        "cooperatives": table[:-1],
        "sum": table[-1],
        "assumption": ASSUMPTION,
        "together": {name: _together(contents, name) for name in ("potential", "supply")},
        "months": _months(contents),
        "certification": _certification(contents),
    }


def _together(contents: Iterable[Mapping[str, Any]], quantity: str) -> Row | None:
    """The sum with the errors that cooperatives share; None where one of them has no number."""
    rows = []
    for content in contents:
        mean, low, high = (content["totals"][f"{quantity}_{part}kg"] for part in ("", "p10_", "p90_"))
        if None in (mean, low, high):
            return None
        shared = (content.get("signed", {}).get("shared") or {}).get(quantity)
        rows.append(Signed(content.get("country", ""), mean, low, high, shared))
    return dict(together(rows))


def _months(contents: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Months added up; of each quantity over the cooperatives that released months of it."""
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for content in contents:
        for row in content["months"]:
            if row["mean_kg"] is not None:
                rows.setdefault((content["quantity"], row["month"]), []).append(row)
    return [
        {"quantity": quantity, "month": month, **_sums(some, "mean_kg", "low_kg", "high_kg"), "cooperatives": len(some)}
        for (quantity, month), some in sorted(rows.items())
    ]


def _certification(contents: Iterable[Mapping[str, Any]]) -> list[Row]:
    """What is shown of each certification, added up; `suppressed` counts cooperatives that show no number of it."""
    rows: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for content in contents:
        for row in content["by"].get("certification", []):
            rows.setdefault((content["quantity"], row["value"]), []).append(row)
    found = []
    for (quantity, value), some in sorted(rows.items()):
        shown = [row for row in some if row["status"] != SUPPRESSED]
        counts = {"cooperatives": len(shown), "suppressed": len(some) - len(shown)}
        sums = _sums(shown, "mean_kg", "base_kg") if shown else {"mean_kg": None, "base_kg": None}
        found.append({"quantity": quantity, "value": value, **sums, **counts})
    return found


def _sums(rows: Sequence[Mapping[str, Any]], *names: str) -> Row:
    """Sums; None where one of the rows has none."""
    known = {name: [row[name] for row in rows] for name in names}
    return {name: None if None in values else math.fsum(values) for name, values in known.items()}
