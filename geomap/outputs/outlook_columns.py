"""Columns of the files that deliveries, contracts and what people told add to a run: unit and meaning."""

from typing import Final

_CASES: Final = {
    "mean_kg": ("kg", "Mean; means add up"),
    "p10_kg": ("kg", "Low case: 1 of 10 seasons is below"),
    "p50_kg": ("kg", "Middle case: half of the seasons are below"),
    "p90_kg": ("kg", "High case: 1 of 10 seasons is above"),
}
_COOPERATIVE: Final = {"cooperative_id": ("", "The cooperative")}

MONTHS_DOCS: Final = {
    "cumulative_mean_kg": ("kg", "Mean of all that comes up to the end of the month; supply only"),
    "cumulative_p10_kg": ("kg", "Low case of all up to the end of the month"),
    "cumulative_p50_kg": ("kg", "Middle case of all up to the end of the month"),
    "cumulative_p90_kg": ("kg", "High case of all up to the end of the month"),
    "calendar": ("", "What taught the months: own seasons, others of the origin, or the national calendar"),
}

OUTLOOK_DOCS: Final = {
    "available.csv": {
        **_COOPERATIVE,
        "certification": ("", "Empty: all supply and every contract; else what carries it and who asks for it"),
        "month": ("YYYY-MM", "All figures count from the season's start to the end of this month"),
        "supply_kg": ("kg", "Mean of what is ready to ship by then"),
        "supply_p10_kg": ("kg", "What 9 of 10 seasons exceed"),
        "local_and_seconds_kg": ("kg", "The part that is sold locally or is seconds"),
        "contracts_kg": ("kg", "Contracts due by then"),
        "available_kg": ("kg", "What can still be sold on the mean; certificates share kilograms and do not add up"),
        "available_p10_kg": ("kg", "What can still be sold on what 9 of 10 seasons exceed"),
        "short_kg": ("kg", "What the contracts lack on the mean"),
        "chance_covered": ("0–1", "Probability that deliveries cover these contracts beside all others"),
        "chance_of_its_own": ("0–1", "The same for contracts that ask for exactly this; empty certification: for none"),
    },
    "shock_year.csv": {
        **_COOPERATIVE,
        "case": ("", "shock year (rust, frost, drought) or declared damage"),
        "chance": ("0–1", "Probability of such a season"),
        "factor_low": ("0–1", "Least share of the harvest that is left"),
        "factor_high": ("0–1", "Largest share of the harvest that is left"),
        **_CASES,
    },
    "calibration.csv": {
        "source": ("", "Source of error"),
        "prior_cv": ("0–1", "Its relative standard deviation in the reference table"),
        "cv": ("0–1", "The one that was used"),
        "how": ("", "prior, or what it was learned from"),
    },
    "nowcast.csv": {
        **_COOPERATIVE,
        "delivered_kg": ("kg", "What has come of the season so far"),
        "day": ("date", "The day up to which deliveries count"),
        "expected_share": ("0–1", "Share of the season that usually has come by then"),
        **{name: (unit, f"{text}; of the season's total") for name, (unit, text) in _CASES.items()},
        **{f"rest_{name}": (unit, f"{text}; of what is still to come") for name, (unit, text) in _CASES.items()},
    },
    "backtest.csv": {
        **_COOPERATIVE,
        "season": ("", "The past season that was predicted from those before it"),
        "rule": ("", "model, or one of the naive rules"),
        "evidence": ("", "What the model rested on"),
        "actual_kg": ("kg", "What was delivered"),
        "mean_kg": ("kg", "What was predicted"),
        "p2_5_kg": ("kg", "Lower end of the 95 % interval; empty for a rule"),
        "p10_kg": ("kg", "Low case"),
        "p50_kg": ("kg", "Middle case"),
        "p90_kg": ("kg", "High case"),
        "p97_5_kg": ("kg", "Upper end of the 95 % interval"),
    },
    "backtest_scores.csv": {
        "cooperative_id": ("", "The cooperative; 'all': pooled"),
        "rule": ("", "model, or one of the naive rules"),
        "predictions": ("count", "Predictions that were scored"),
        "seasons": ("count", "Seasons they are of"),
        "bias": ("0–1", "(predicted − delivered) / delivered, of the sums"),
        "mape": ("0–1", "Mean of |predicted / delivered − 1|"),
        "pinball_p10": ("0–1", "Pinball loss of the low case / delivered"),
        "pinball_p50": ("0–1", "Pinball loss of the middle case, or of a rule's number / delivered"),
        "pinball_p90": ("0–1", "Pinball loss of the high case / delivered"),
        "coverage_80": ("0–1", "Share of the seasons inside the 80 % interval"),
        "coverage_95": ("0–1", "Share of the seasons inside the 95 % interval"),
    },
    "told.csv": {
        **_COOPERATIVE,
        "kind": ("", "field estimates or commitments"),
        "given_kg": ("kg", "As told"),
        "covers_kg": ("kg", "Potential of those who were told of"),
        "seasons": ("count", "Past seasons that the correction rests on"),
        "bias": ("", "Delivered per kilogram told, in past seasons; 1 without any"),
        **_CASES,
    },
    "alarms.csv": {
        **_COOPERATIVE,
        "season": ("", "The last season with deliveries"),
        "kind": ("", "What is expected rests on: prior only, origin (the other cooperatives), own past"),
        "delivered_kg": ("kg", "What was delivered"),
        "expected_kg": ("kg", "Median of what was expected"),
        "probability": ("0–1", "Probability that so much or less comes; a tail, not a probability of fraud"),
        "side": ("", "above (at least .95), below (at most .05) or as expected"),
        "words": ("", "What to check first"),
        "audience": ("", "Who may see it: the cooperative alone"),
    },
    "member_alarms.csv": {
        **_COOPERATIVE,
        "member_id": ("", "The member"),
        "season": ("", "The last season with deliveries"),
        "delivered_kg": ("kg", "What the member delivered"),
        "expected_kg": ("kg", "Median of what was expected"),
        "probability": ("0–1", "Probability that so much or less comes"),
        "false_discovery": ("0–1", "Expected share of false alarms among members named up to this one"),
        "side": ("", "above, below, nothing (was delivered) or as expected"),
        "words": ("", "What to check first"),
        "audience": ("", "Who may see it: the cooperative alone"),
    },
}
"""File → column → unit and meaning. All of them are for the office; none is for a buyer."""
