"""What would narrow an interval most: the largest sources of error, as things that people can do."""

from typing import Final, NamedTuple

import pandas as pd

from geomap.supply.items import Items


class _Action(NamedTuple):
    sources: tuple[str, ...]
    sentence: str


_LEAST: Final = 0.03
"""Below this share of the variance an action is not worth naming."""

_ACTIONS: Final = (
    _Action(
        ("base_yield", "cooperative"), "Bring deliveries of two or more past seasons, or the cooperative's own yield"
    ),
    _Action(("season", "coop_season"), "Bring deliveries of this season as they come"),
    _Action(("unmapped",), "Map the {unmapped} without a plot"),
    _Action(("declared_bias", "area"), "Walk the outlines of the {declared} with a declared area only"),
    _Action(("drawn",), "Measure a sample of the drawn outlines again with GPS"),
    _Action(("conversion",), "Weigh a lot before and after processing, for the cooperative's own outturn"),
    _Action(("map", "map_region", "map_plot"), "Check the land cover of 50 points or more in the field"),
    _Action(("uncovered",), "Find a land-cover raster with data on the {uncovered} it does not cover"),
    _Action(("planted",), "Ask for the planted share of the {planted} where it is not known"),
    _Action(("age",), "Ask for the planting year of the {age} where it is not known"),
    _Action(("plot", "member_season"), "Bring deliveries by member"),
)


def what_would_narrow(shares: pd.DataFrame, items: Items, *, count: int = 3) -> list[str]:
    """Plain sentences on what would narrow the interval most, the most useful first.

    Parameters
    ----------
    shares : source, share of one group, of `variance_shares`.
    items : the items of that group.
    count : sentences at most.

    Returns
    -------
    list : none of the sentences names a person or a plot. An action matters as much as the largest of its sources;
        those below 3 % are left out, and so are those with nothing left to do.

    Examples
    --------
    >>> table = pd.DataFrame({"kind": ["unmapped"] * 40, "uncovered": True, "planted_known": False, "age_known": False})
    >>> items = Items(table, pd.DataFrame(), pd.DataFrame(), pd.Series(dtype=float))
    >>> what_would_narrow(pd.DataFrame({"source": ["unmapped", "plot"], "share": [0.34, 0.01]}), items)
    ['Map the 40 members without a plot: 34 % of the variance goes with it.']
    """
    by_source = shares.assign(source=shares["source"].str.partition(":")[0]).groupby("source")["share"].max()
    numbers = _numbers(items.table)
    found = []
    for action in _ACTIONS:
        share = float(by_source.reindex(list(action.sources)).max())
        missing = any(f"{{{name}}}" in action.sentence and not number for name, number in numbers.items())
        if share >= _LEAST and not missing:
            found.append((share, action.sentence.format(**numbers)))
    found.sort(key=lambda pair: -pair[0])
    return [f"{sentence}: {share * 100:.0f} % of the variance goes with it." for share, sentence in found[:count]]


def _numbers(table: pd.DataFrame) -> dict[str, str]:
    """How many there are of what each sentence counts; empty where there are none."""
    plots = table[table["kind"] != "unmapped"]
    return {
        "unmapped": _count(len(table) - len(plots), "member"),
        "declared": _count(int((plots["kind"] == "declared").sum()), "plot"),
        "uncovered": _count(int((plots["uncovered"].astype(bool) & (plots["kind"] == "measured")).sum()), "plot"),
        "planted": _count(int((~plots["planted_known"].astype(bool)).sum()), "plot"),
        "age": _count(int((~plots["age_known"].astype(bool)).sum()), "plot"),
    }


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else ""
