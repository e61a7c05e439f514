"""What would narrow an interval most: the largest sources of error, as things that people can do, and what they cost.

`what_would_narrow` names sources. `next_steps` carries each step out on a copy of the items and sums them again: the
width that it would leave is computed, not guessed. What it takes in days of work comes from a small table, every row of
it weak.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from geomap import reference
from geomap.errors import NumberError
from geomap.supply import improved
from geomap.supply.crops import error_cv
from geomap.supply.items import Items
from geomap.supply.months import parse_season

if TYPE_CHECKING:
    from geomap.supply.calibrate import Calibration
    from geomap.supply.history import History


class _Action(NamedTuple):
    sources: tuple[str, ...]
    sentence: str


_LEAST: Final = 0.03
"""Below this share of the variance an action is not worth naming."""

_SHARE: Final = r": (\d+) % of the variance goes with it\."
"""How `what_would_narrow` ends its sentences."""

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
    families = shares["source"].str.replace(r":.*", "", regex=True)  # "map:product:class" is of "map"
    by_source = shares.assign(source=families).groupby("source")["share"].max()
    numbers = _numbers(items.table)
    found = []
    for action in _ACTIONS:
        share = float(by_source.reindex(list(action.sources)).max())
        missing = any(f"{{{name}}}" in action.sentence and not number for name, number in numbers.items())
        if share >= _LEAST and not missing:
            found.append((share, action.sentence.format(**numbers)))
    found.sort(key=lambda pair: -pair[0])
    return [f"{sentence}: {share * 100:.0f} % of the variance goes with it." for share, sentence in found[:count]]


class Asked(NamedTuple):
    """A sentence of `what_would_narrow`: first source of its action, how many it counts (0: none), share."""

    source: str
    number: int
    share: float


def action_of(sentence: str) -> Asked | None:
    """What a sentence of `what_would_narrow` says, to be said in another language; None for another sentence.

    Examples
    --------
    >>> action_of("Map the 1,040 members without a plot: 34 % of the variance goes with it.")
    Asked(source='unmapped', number=1040, share=0.34)
    >>> action_of("Ask the neighbours.") is None
    True
    """
    for action in _ACTIONS:
        before, counted, after = re.fullmatch(r"([^{]*)(\{\w+\})?(.*)", action.sentence).groups()  # type: ignore[union-attr]
        number = r"([\d,]+) (?:member|plot)s?" if counted else "()"
        said = re.fullmatch(f"{re.escape(before)}{number}{re.escape(after)}{_SHARE}", sentence)
        if said is not None:
            return Asked(action.sources[0], int(said[1].replace(",", "") or 0), int(said[2]) / 100)
    return None


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


# ---- steps and what they would leave ----

MOST_STEPS: Final = 20_000
"""Items (or members) up to which steps are tried out in a run; each of them sums or calibrates anew."""

STEP_COLUMNS: Final = ["step", "number", "unit", "person_days", "width_before", "width_after", "text"]

_VERBS: Final = {
    "map_plot": "Map {number:,} more {unit}, of {which} without one",
    "walk_outline": "Walk the outlines of {number:,} {unit}, of {which} with a declared area only",
    "visit_farm": "Visit {number:,} {unit} and estimate the crop there",
    "season_of_deliveries": "Bring deliveries of {number:,} past {unit}",
    "land_cover_point": "Check the land cover on {number:,} {unit} in the field",
    "weigh_lot": "Weigh {number:,} {unit} before and after processing",
}


def next_steps(
    items: Items, *, plots: int = 40, visits: int = 25, seasons: int = 2, points: int = 50, lots: int = 2
) -> pd.DataFrame:
    """Steps that would narrow the 80 % interval of the sum of all items, those first that narrow it most per day.

    Width is half of P90 − P10 as a share of the mean: .38 reads "±38 %". Each step changes a copy of the items:

    - map_plot, walk_outline: the members without a plot (plots with a declared area only) that weigh most become
      measured plots, with the usual errors of those: their mean stays what it is.
    - visit_farm: a technician estimates the crop of some farms of each cooperative, drawn at random, shared out by
      their number. Error of the estimate: what farms differ by, with the finite population correction, and what the
      technician's estimates have in common.
    - season_of_deliveries: what is constant for a cooperative is replaced by its posterior,
      v = K_ff − k' K⁻¹ k with K(t, t') = constant + [t = t'] yearly + .05² min(t, t').
    - land_cover_point: a local sample of the map's errors. weigh_lot: the cooperative's own outturn.

    What is learned in one cooperative is not carried to the others here: with many cooperatives the steps do more.

    Parameters
    ----------
    items : of `plot_potential` and `unmapped_members`.
    plots, visits, seasons, points, lots : how much of each step; no more is counted than there is to do.

    Returns
    -------
    DataFrame : step, number, unit, person_days, width_before, width_after (shares of the mean), text. Steps that leave
        the rounded width as it is are left out. No text names a person, a plot or a cooperative.

    Raises
    ------
    NumberError : a number below 1.

    Examples
    --------
    One plot; its base yield is known to .35 and it differs by .52 from others:

    >>> table = pd.DataFrame({"member_id": "M", "cooperative_id": "C", "origin": "o", "region": "r", "form_pair": "a>a",
    ...     "season": "", "kind": "measured", "hives": 0.0, "mean_kg": 1000.0}, index=["P"])
    >>> cv = pd.DataFrame({"base_yield": 0.35, "plot": 0.52}, index=["P"])
    >>> steps = next_steps(Items(table, cv, pd.DataFrame(index=["P"]), pd.Series(dtype=float)))
    >>> steps["text"].tolist()[0]
    'Visit 1 farm and estimate the crop there (1.2 person-days): the interval of ±70 % would become ±24 %.'
    """
    wanted = {
        "map_plot": plots,
        "walk_outline": plots,
        "visit_farm": visits,
        "season_of_deliveries": seasons,
        "land_cover_point": points,
        "weigh_lot": lots,
    }
    if min(wanted.values()) < 1:
        raise NumberError(
            "A step of fewer than one plot, visit, season, point or lot cannot be.", todo="Give 1 or more."
        )
    before = improved.interval_width(items)
    rows = [
        _step_row(step, number, available, before, improved.interval_width(changed))
        for step, number, available, changed in (_carried_out(items, wanted) if before else [])
    ]
    return _ranked(rows)


def supply_steps(
    history: "History",
    target: pd.DataFrame,
    *,
    plots: int = 40,
    delivered_share: pd.DataFrame | None = None,
    learn: bool = True,
) -> pd.DataFrame:
    """Steps that would narrow the interval of the supply of all cooperatives, each calibrated anew.

    - map_plot: the members without a plot that weigh most count as mapped, in the past as in the season to come.
    - season_of_deliveries: one season more of each cooperative, before those that are known, in which all members
      delivered what is expected of them: so the mean hardly moves and the width shows what a season tells.

    Parameters
    ----------
    history, target, delivered_share, learn : as `calibrate` takes them.
    plots : members without a plot that are mapped at most.

    Returns
    -------
    DataFrame : as `next_steps`; empty where there is no evidence of supply.

    Raises
    ------
    NumberError : fewer than one plot.
    """
    if plots < 1:
        raise NumberError("A step of fewer than one plot cannot be.", todo="Give 1 or more.")
    from geomap.supply.calibrate import calibrate

    known = calibrate(history, target, delivered_share=delivered_share, learn=learn)
    before = _supply_width(known)
    without = target[~target["mapped"].to_numpy(bool)]
    tried: list[tuple[str, int, int, History, pd.DataFrame]] = []
    if before and len(without):
        largest = without.sort_values(["potential_kg", "member_id"], ascending=[False, True])["member_id"][:plots]
        past = replace(history, members=_as_mapped(history.members, largest))
        tried.append(("map_plot", len(largest), len(without), past, _as_mapped(target, largest)))
    if before:
        tried.append(("season_of_deliveries", 1, 1, _one_season_more(history, target, known), target))
    rows = []
    for step, number, available, past, coming in tried:
        after = _supply_width(calibrate(past, coming, delivered_share=delivered_share, learn=learn))
        rows.append(_step_row(step, number, available, before, after))
    return _ranked(rows)


def _supply_width(known: "Calibration") -> float:
    """Half of P90 − P10 of all supply as a share of its mean; 0 where there is no evidence of any."""
    whole = known.total()
    return float((whole["p90"] - whole["p10"]) / 2 / whole["mean_kg"]) if whole["mean_kg"] > 0 else 0.0


def _as_mapped(members: pd.DataFrame, chosen: "pd.Series[str]") -> pd.DataFrame:
    """The members with the chosen ones mapped: errors of an outline instead of those of a guess."""
    rows = members["member_id"].isin(chosen) & ~members["mapped"].astype(bool)
    of_mapped = members.loc[members["mapped"].astype(bool), "kappa"]
    usual = float(of_mapped.median()) if len(of_mapped) else error_cv("plot") ** 2
    left = {"mapped": True, "kappa": usual, "cv:unmapped": 0.0, "cv:declared_bias": 0.0, "cv:drawn": error_cv("drawn")}
    old = {name: members[name] if name in members else pd.Series(0.0, index=members.index) for name in left}
    return members.assign(**{name: old[name].mask(rows, value) for name, value in left.items()})


def _one_season_more(history: "History", target: pd.DataFrame, known: "Calibration") -> "History":
    """The history with a season before the first, in which members delivered what is expected of them."""
    seasons = [*history.members["season"].unique().tolist(), *target["season"].unique().tolist()]
    year = min(map(parse_season, seasons)) - 1
    keys = ["cooperative_id", "member_id"]
    supply = known.members.reset_index().set_index(keys)["supply_kg"]
    expected = supply.reindex(pd.MultiIndex.from_frame(target[keys])).to_numpy(float)
    more = target.assign(season=f"{year}/{(year + 1) % 100:02d}", delivered_kg=expected)
    more = more[np.isfinite(expected)].astype({"season": "str"})
    return replace(history, members=pd.concat([history.members, more], ignore_index=True).fillna(_no_loadings(more)))


def _no_loadings(members: pd.DataFrame) -> dict[str, float]:
    return {str(name): 0.0 for name in members if str(name).startswith("cv:")}


def _ranked(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The steps that narrow, the most per day of work first."""
    table = pd.DataFrame([row for row in rows if row["gain"] > 0], columns=[*STEP_COLUMNS, "gain"])
    table = table.assign(per_day=table["gain"] / table["person_days"])
    return table.sort_values(["per_day", "step"], ascending=[False, True], ignore_index=True)[STEP_COLUMNS]


def _carried_out(items: Items, wanted: dict[str, int]) -> list[tuple[str, int, int, Items]]:
    """Each step that can be taken: its name, how many, how many there are, and the items after it."""
    kind, kg = items.table["kind"], items.table["mean_kg"]
    hives = bool((items.table["hives"] > 0).any())
    found = []
    for step, of_kind in (("map_plot", "unmapped"), ("walk_outline", "declared")):
        there = int(((kind == of_kind) & (kg > 0)).sum())
        number = min(wanted[step], there)
        if number and not hives:
            found.append((step, number, there, improved.by_mapping(items, of_kind, number)))
    farms = int((improved.farm_spread(items)["kg"] > 0).sum())
    visits = min(wanted["visit_farm"], farms)
    left = float(_work("visit_farm")["left_cv"])
    found.append(("visit_farm", visits, visits, improved.by_visits(items, visits, shared_cv=left)))
    seasons, points, lots = (wanted[name] for name in ("season_of_deliveries", "land_cover_point", "weigh_lot"))
    found.append(("season_of_deliveries", seasons, seasons, improved.by_deliveries(items, seasons)))
    found.append(("land_cover_point", points, points, improved.by_map_points(items, points)))
    left = float(_work("weigh_lot")["left_cv"])
    found.append(("weigh_lot", lots, lots, improved.by_weighing(items, left)))
    return found


def _step_row(step: str, number: int, available: int, before: float, after: float) -> dict[str, Any]:
    work = _work(step)
    days = number / float(work["per_person_day"]) + float(work["fixed_person_days"])
    unit = str(work["unit"]) + ("" if number == 1 else "s")
    noun = "member" if step == "map_plot" else "plot"
    which = f"the largest of {_count(available, noun)}" if number < available else _count(available, noun)
    words = _VERBS[step].format(which=which, number=number, unit=unit)
    first, last = round(100 * before), round(100 * after)
    return {
        "step": step,
        "number": number,
        "unit": unit,
        "person_days": days,
        "width_before": before,
        "width_after": after,
        "text": f"{words} ({days:.1f} person-days): the interval of ±{first} % would become ±{last} %.",
        "gain": before - after if last < first else 0.0,
    }


def _work(step: str) -> dict[str, Any]:
    return dict(reference.table("field_work").set_index("step").loc[step])
