"""The report's section on the environment of each cooperative, and the columns of its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from geomap.landcover.profile import MEASURES

if TYPE_CHECKING:
    from geomap.landcover.profile import Profiles

_SHOWN: Final = 30

ENVIRONMENT_MORE_DOCS: Final[Mapping[str, tuple[str, str]]] = {
    "adjusted_ha": ("ha", "Ground that is of this class by the map's published accuracy; empty where none is known"),
    "adjusted_low_ha": ("ha", "Lower limit of adjusted_ha, 95 % interval"),
    "adjusted_high_ha": ("ha", "Upper limit of adjusted_ha, 95 % interval"),
}
"""Columns that follow those of the contract in environment.csv."""

PROFILE_DOCS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "profile.csv": {
        "cooperative_id": ("", "The cooperative"),
        "measure": ("", "tree_share, uncultivated_nearby_share or altitude_m"),
        "unit": ("", "share (0–1) or m"),
        "mapped": ("", "What the map shows; for altitude the median of the ground"),
        "estimate": ("", "What the map's published accuracy makes of it"),
        "low": ("", "Lower limit; what it is stands under interval"),
        "high": ("", "Upper limit"),
        "interval": ("", "95 % interval, or for altitude the range of the ground: a tenth is lower, a tenth higher"),
        "basis": ("", "What the estimate rests on"),
    },
    "profile_pairs.csv": {
        "measure": ("", "tree_share or uncultivated_nearby_share"),
        "cooperative_a": ("", "One cooperative"),
        "cooperative_b": ("", "Another one"),
        "difference": ("0–1", "Estimate of a minus that of b"),
        "low": ("0–1", "Lower limit of the difference, 95 % interval"),
        "high": ("0–1", "Upper limit of the difference, 95 % interval"),
        "verdict": ("", "a higher, b higher, or not different where the interval holds 0"),
    },
}
"""File → column → unit and meaning."""


def profile_section(found: "Profiles | None") -> dict[str, Any] | None:
    """What the partial template `profile.html.jinja` shows: by measure the cooperatives, and which two differ.

    None where there is no profile. Numbers are unrounded; texts are as given.

    Examples
    --------
    >>> profile_section(None) is None
    True
    """
    if found is None or found.profile.empty:
        return None
    measures = [_measure(found, name) for name in MEASURES if (found.profile["measure"] == name).any()]
    return {"measures": measures}


def _measure(found: "Profiles", name: str) -> dict[str, Any]:
    rows = found.profile[found.profile["measure"] == name].sort_values(
        ["estimate", "cooperative_id"], ascending=[False, True]
    )
    pairs = found.pairs[found.pairs["measure"] == name]
    different = pairs[pairs["verdict"] != "not different"]
    return {
        "title": MEASURES[name],
        "unit": str(rows["unit"].iloc[0]),
        "rows": rows.head(_SHOWN).to_dict("records"),
        "size": len(rows),
        "compared": len(pairs),
        "different": [_pair_words(row) for row in different.head(_SHOWN).to_dict("records")],
        "more_different": max(len(different) - _SHOWN, 0),
        "sampled": bool(rows["basis"].str.contains("places").any()),
        "has_interval": bool(rows["low"].notna().any()),
    }


def _pair_words(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The higher one first."""
    first, second = ("a", "b") if row["verdict"] == "a higher" else ("b", "a")
    limits = sorted(abs(float(row[end])) for end in ("low", "high"))
    return {
        "higher": str(row[f"cooperative_{first}"]),
        "lower": str(row[f"cooperative_{second}"]),
        "by_low": limits[0],
        "by_high": limits[1],
    }
