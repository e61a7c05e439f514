"""Columns of a comparison of two runs."""

from typing import Final

COMPARE_DOCS: Final = {
    "cooperative_id": ("", "The cooperative; 'all' for the sum"),
    "quantity": ("", "potential or supply"),
    "part": ("", "Why the two runs differ; 'difference' is the sum of the parts"),
    "before_kg": ("kg", "What the first run says of the plots and members concerned"),
    "after_kg": ("kg", "What the second run says of them"),
    "change_kg": ("kg", "What this part did to the mean; parts add up to the difference"),
    "low_kg": ("kg", "Lower end of its interval of 95 %; empty where none is known"),
    "high_kg": ("kg", "Upper end of its interval of 95 %; empty where none is known"),
    "verdict": ("", "higher, lower, not different (the interval holds 0), not known, or same"),
    "plots": ("count", "Plots that it concerns"),
    "members": ("count", "Members without a plot that it concerns"),
    "area_ha": ("ha", "Counted ground of these plots, as in the second run, else in the first"),
    "change_ha": ("ha", "Counted ground in the second run less that in the first"),
}
"""Column of the comparison → unit and meaning."""
