"""From potential to supply: everything that deliveries, contracts and settings say of the season to come."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import pandas as pd

from geomap.engine import Progress
from geomap.findings import join_findings
from geomap.lookup import is_among
from geomap.supply.alarm import COOPERATIVE_COLUMNS, MEMBER_COLUMNS, alarm_findings, cooperative_alarms, member_alarms
from geomap.supply.available import available
from geomap.supply.backtest import BackTest, backtest
from geomap.supply.calibrate import Calibration, calibrate
from geomap.supply.certificates import certificate_sets, certificate_shares
from geomap.supply.choice import Choice
from geomap.supply.deliveries import check_deliveries, with_cooperatives
from geomap.supply.forecast import forecast, shock_case
from geomap.supply.history import History, make_history, target_frame
from geomap.supply.items import Items
from geomap.supply.months import parse_season
from geomap.supply.nowcast import nowcast
from geomap.supply.settings import delivered_shares, of_cooperative

MOST_ALARMS: Final = 200
"""Beyond so many cooperatives each is not asked about without itself; that would calibrate once per cooperative."""

Past = Callable[[str], tuple[Items, Collection[str] | None]]
"""Past season → what the land could bear then, and who was a member."""


@dataclass(frozen=True)
class Evidence:
    """What a cooperative brings beside its plots. All kilograms are of the run's product form.

    deliveries, contracts : as their readers return them. settings : of `read_settings`.
    as_of : ISO date up to which the deliveries of the season itself are complete; their last date where not given.
    """

    deliveries: pd.DataFrame | None = None
    contracts: pd.DataFrame | None = None
    settings: pd.DataFrame | None = None
    as_of: str | None = None


@dataclass(frozen=True, eq=False)
class Outlook:
    """What can be expected of the season to come, beside what the land can bear.

    Attributes
    ----------
    calibration : supply of cooperatives and members; without evidence all of it is NaN.
    history : past seasons with deliveries; None without any.
    backtest : how wrong the model was; None with fewer than two past seasons.
    totals : index cooperative_id; mean_kg, var: supply of the season, with what has come of it so far.
    months : of `forecast`; quantity "supply".
    nowcast : of `nowcast`; empty before the first delivery of the season.
    shock : of `shock_case`.
    certificates : of `certificate_shares`.
    available : of `available`.
    alarms, member_alarms : of the last past season; for the cooperative alone.
    findings : of deliveries and alarms.
    """

    calibration: Calibration
    history: History | None
    backtest: BackTest | None
    totals: pd.DataFrame
    months: pd.DataFrame
    nowcast: pd.DataFrame
    shock: pd.DataFrame
    certificates: pd.DataFrame
    available: pd.DataFrame
    alarms: pd.DataFrame
    member_alarms: pd.DataFrame
    findings: pd.DataFrame

    @property
    def has_supply(self) -> bool:
        """Whether any cooperative has a supply."""
        return bool(self.calibration.cooperatives["supply_kg"].notna().any())


def look_ahead(
    items: Items,
    past: Past,
    evidence: Evidence,
    *,
    chosen: Choice,
    members: pd.DataFrame,
    bears_kg: "pd.Series[float] | None" = None,
    altitude: "pd.Series[float] | None" = None,
    progress: Progress | None = None,
) -> Outlook:
    """Supply of the season that was chosen, and all that follows from it.

    Parameters
    ----------
    items : what the land can bear in that season, plots and members without one.
    past : gives the same for a past season.
    evidence : what is known beside the plots.
    chosen : crop, country, form and season; a season is needed.
    members : index member_id; cooperative_id and, where known, certification with dates, joined, left.
    bears_kg : potential by member, to find deliveries that cannot be.
    altitude : median altitude of each cooperative in metres.
    progress : called with the stage, done, total.
    """
    season = str(chosen.season)
    tell = progress or (lambda stage, done, total: None)
    tell("learning from deliveries", 0, 4)
    target = target_frame(items, season)
    ids = pd.Index(target["cooperative_id"].unique()).sort_values()
    settings = None if evidence.settings is None else _per_cooperative(evidence.settings, ids)
    share = None if settings is None else delivered_shares(settings)
    deliveries, found = evidence.deliveries, []
    history = None
    if deliveries is not None:
        deliveries = with_cooperatives(deliveries, members["cooperative_id"].astype("str"))
        found.append(check_deliveries(deliveries, members, bears_kg=bears_kg))
        history, said = _history(deliveries, past, season)
        found.append(said)
    tell("learning from deliveries", 1, 4)
    calibration = calibrate(history, target, delivered_share=share)
    tell("learning from deliveries", 2, 4)
    tested = None if history is None else backtest(history, delivered_share=share)
    tell("learning from deliveries", 3, 4)
    alarms, people = _alarms(history, share)
    found.append(alarm_findings(alarms, people))
    totals, now = _totals(calibration, deliveries, evidence.as_of, settings, chosen=chosen, altitude=altitude)
    known = {"crop": chosen.crop.name, "country": chosen.country, "season": season}
    certificates = certificate_shares(calibration.members, certificate_sets(members, season))
    contracts = no_contracts() if evidence.contracts is None else evidence.contracts
    tell("learning from deliveries", 4, 4)
    return Outlook(
        calibration=calibration,
        history=history,
        backtest=tested if tested is not None and len(tested.rows) else None,
        totals=totals,
        months=forecast(totals, deliveries, settings=settings, altitude=altitude, **known),
        nowcast=now,
        shock=shock_case(totals, crop=chosen.crop.name),
        certificates=certificates,
        available=available(
            totals,
            contracts,
            certificates,
            deliveries,
            settings=settings,
            altitude=altitude,
            **known,
        ),
        alarms=alarms,
        member_alarms=people,
        findings=join_findings(found),
    )


def season_after(deliveries: pd.DataFrame) -> str | None:
    """The season after the last one with deliveries; None without any.

    Examples
    --------
    >>> season_after(pd.DataFrame({"season": ["2024/25", "2025/26"]}))
    '2026/27'
    """
    years = [parse_season(text) for text in sorted(set(deliveries["season"].tolist())) if text]
    return f"{max(years) + 1}/{(max(years) + 2) % 100:02d}" if years else None


def no_contracts() -> pd.DataFrame:
    """A table of contracts without rows."""
    texts = {name: pd.Series(dtype="str") for name in ("cooperative_id", "buyer", "certification", "month")}
    return pd.DataFrame(texts | {"kg": pd.Series(dtype=float)})


def _per_cooperative(settings: pd.DataFrame, ids: pd.Index) -> pd.DataFrame:
    """One row per cooperative: its own, else the one that is everyone's."""
    rows = [of_cooperative(settings, name) for name in ids]
    table = pd.DataFrame([row.to_dict() for row in rows], index=ids.rename("cooperative_id"), columns=settings.columns)
    return table.astype(settings.dtypes.to_dict())


def _history(deliveries: pd.DataFrame, past: Past, season: str) -> tuple[History | None, pd.DataFrame]:
    """The seasons before the one to come; None where there is none."""
    before = [
        text
        for text in sorted(set(deliveries["season"].tolist()))
        if text and parse_season(text) < parse_season(season)
    ]
    if not before:
        return None, join_findings([])
    land = {text: past(text) for text in before}
    active = {text: members for text, (_, members) in land.items() if members is not None}
    return make_history({text: items for text, (items, _) in land.items()}, deliveries, active)


def _alarms(history: History | None, share: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the last past season had that plots and past cannot explain."""
    if history is None or history.members.empty:
        return pd.DataFrame(columns=COOPERATIVE_COLUMNS), pd.DataFrame(columns=MEMBER_COLUMNS)
    last = max(history.members["season"].unique(), key=parse_season)
    people = member_alarms(history, last)
    if history.members["cooperative_id"].nunique() > MOST_ALARMS:
        return pd.DataFrame(columns=COOPERATIVE_COLUMNS), people
    return cooperative_alarms(history, last, delivered_share=share), people


def _totals(
    calibration: Calibration,
    deliveries: pd.DataFrame | None,
    as_of: str | None,
    settings: pd.DataFrame | None,
    *,
    chosen: Choice,
    altitude: "pd.Series[float] | None",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Supply of each cooperative, moved by what has come of the season so far; and the nowcast."""
    totals = calibration.cooperatives.rename(columns={"supply_kg": "mean_kg"})[["mean_kg", "var"]]
    if deliveries is None:
        return totals, pd.DataFrame()
    own = is_among(deliveries["season"], [chosen.season])
    if not own.any() or (deliveries.loc[own, "date"].isna().all() and as_of is None):
        return totals, pd.DataFrame()
    served = totals[is_among(totals.index, deliveries.loc[own, "cooperative_id"])]
    known = {"crop": chosen.crop.name, "country": chosen.country, "season": str(chosen.season)}
    now = nowcast(served, deliveries, as_of=as_of, settings=settings, altitude=altitude, **known)
    moved = totals.copy()
    moved.loc[now.index] = now[["mean_kg", "var"]]
    return moved, now
