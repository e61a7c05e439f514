"""From potential to supply: everything that deliveries, contracts and settings say of the season to come."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.engine import Progress
from geomap.findings import join_findings, make_findings
from geomap.lookup import is_among
from geomap.supply.alarm import COOPERATIVE_COLUMNS, MEMBER_COLUMNS, alarm_findings, cooperative_alarms, member_alarms
from geomap.supply.available import available
from geomap.supply.backtest import BackTest, backtest
from geomap.supply.brought import Evidence
from geomap.supply.calibrate import Calibration, calibrate
from geomap.supply.certificates import certificate_sets, certificate_shares
from geomap.supply.choice import Choice
from geomap.supply.deliveries import check_deliveries, with_cooperatives
from geomap.supply.forecast import forecast, shock_case
from geomap.supply.forms import EXPORTABLE, SECONDS
from geomap.supply.history import History, make_history, target_frame
from geomap.supply.implausible import check_base_yields, check_plot_yields
from geomap.supply.items import Items
from geomap.supply.months import parse_season
from geomap.supply.narrow import MOST_STEPS, STEP_COLUMNS, supply_steps
from geomap.supply.nowcast import nowcast, with_what_came
from geomap.supply.settings import delivered_shares, of_cooperative, setting_row
from geomap.supply.supplied import item_supply
from geomap.supply.told import COLUMNS as TOLD_COLUMNS
from geomap.supply.told import Kind, what_was_told
from geomap.supply.totals import interval

MOST_ALARMS: Final = 100
"""Cooperatives up to which each is asked about without itself, which calibrates once per cooperative."""

COVERED: Final = 0.9
"""Part of a cooperative's potential that those who signed stand for, from which on their commitments speak for all."""

Past = Callable[[str], tuple[Items, Collection[str] | None]]
"""Past season → what the land could bear then, and who was a member."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """What can be expected of the season to come, beside what the land can bear.

    Attributes
    ----------
    season : the season to come.
    calibration : supply of cooperatives and members; without evidence all of it is NaN.
    history : past seasons with deliveries; None without any.
    backtest : how wrong the model was; None with fewer than two past seasons.
    totals : index cooperative_id; mean_kg, var: supply of the season, with what has come of it so far.
    came : index cooperative_id, member_id; kilograms of the season that members have brought so far.
    months : of `forecast`; quantity "supply".
    nowcast : of `nowcast`; empty before the first delivery of the season.
    shock : of `shock_case`.
    certificates : of `certificate_shares`.
    available : of `available`.
    told : of `what_was_told`: what technicians and members told of the season.
    next_steps : of `supply_steps`; empty without a supply, and with more than 20,000 members.
    alarms, member_alarms : of the last past season; for the cooperative alone.
    settings, contracts : as they were brought, settings with a row per cooperative; None without any.
    findings : of deliveries and alarms.
    """

    season: str
    calibration: Calibration
    history: History | None
    backtest: BackTest | None
    totals: pd.DataFrame
    came: "pd.Series[float]"
    months: pd.DataFrame
    nowcast: pd.DataFrame
    shock: pd.DataFrame
    certificates: pd.DataFrame
    available: pd.DataFrame
    told: pd.DataFrame
    next_steps: pd.DataFrame
    alarms: pd.DataFrame
    member_alarms: pd.DataFrame
    settings: pd.DataFrame | None
    contracts: pd.DataFrame | None
    findings: pd.DataFrame

    @property
    def cooperatives(self) -> pd.DataFrame:
        """As `Calibration.cooperatives`, with the supply that takes in what has come of the season so far."""
        mean, var = (self.totals[name].to_numpy(float) for name in ("mean_kg", "var"))
        here = self.came.groupby(level=0).sum().reindex(self.totals.index).fillna(0.0).to_numpy(float)
        quantiles = {f"supply_p{100 * q:.0f}_kg": here + interval(mean - here, var, q) for q in (0.1, 0.5, 0.9)}
        known = self.calibration.cooperatives.reindex(self.totals.index)
        return known.assign(supply_kg=mean, var=var, **quantiles)

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
    plots: pd.DataFrame | None = None,
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
    plots : index plot_id; certification with dates, where plots carry certificates of their own.
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
    land = items.table.rename_axis("plot_id").reset_index()[["plot_id", "member_id", "cooperative_id", "mean_kg"]]
    deliveries, found = evidence.deliveries, []
    history = None
    if deliveries is not None:
        deliveries = with_cooperatives(deliveries, members["cooperative_id"].astype("str"))
        mapped = items.table[items.table["kind"] != "unmapped"]
        bears_kg = mapped.groupby("member_id")["mean_kg"].sum()
        found.append(check_deliveries(deliveries, members, bears_kg=bears_kg))
        history, said = _history(deliveries, past, season)
        found.append(said)
    told = _told(evidence, land, season, deliveries)
    found.append(_strange_settings(evidence.settings, ids))
    found += [_told_yields(evidence.field_estimates, items, season), _base_yields(settings, chosen)]
    tell("learning from deliveries", 1, 4)
    calibration = _calibrated(history, target, share, told)
    tell("learning from deliveries", 2, 4)
    tested = None if history is None else backtest(history, delivered_share=share)
    tell("learning from deliveries", 3, 4)
    alarms, people = _alarms(history, share)
    found.append(alarm_findings(alarms, people))
    totals, now = _totals(calibration, deliveries, evidence.as_of, settings, chosen=chosen, altitude=altitude)
    known: dict[str, Any] = {"crop": chosen.crop.name, "country": chosen.country, "season": season}
    known["tables"] = chosen.tables
    certificates = _certificates(items, calibration, members, plots, season)
    contracts, said = _contracts(evidence.contracts, ids, season, chosen.crop.season_start_month)
    found.append(said)
    months = forecast(totals, deliveries, settings=settings, altitude=altitude, **known)
    tell("learning from deliveries", 4, 4)
    return Outlook(
        season=season,
        calibration=calibration,
        history=history,
        backtest=tested if tested is not None and len(tested.rows) else None,
        totals=totals,
        came=_came(now, deliveries, target, season),
        months=with_what_came(months, now, deliveries, season),
        nowcast=now,
        shock=shock_case(totals[~is_among(totals.index, _damaged(items))], crop=chosen.crop.name),
        certificates=certificates,
        available=available(
            totals,
            contracts,
            certificates,
            deliveries,
            settings=_without_seconds(settings, chosen),
            altitude=altitude,
            **known,
        ),
        told=told,
        next_steps=_next_steps(history, target, share, calibration),
        alarms=alarms,
        member_alarms=people,
        settings=settings,
        contracts=None if evidence.contracts is None else contracts,
        findings=join_findings(found),
    )


def _certificates(
    items: Items, calibration: Calibration, members: pd.DataFrame, plots: pd.DataFrame | None, season: str
) -> pd.DataFrame:
    """Share of each cooperative's supply by set of certificates: the plot's own, else its member's."""
    index, owner = items.table.index, items.table["member_id"]
    found = certificate_sets(members, season).reindex(owner).fillna("").to_numpy(dtype=object)
    if plots is not None:
        own = certificate_sets(plots, season).reindex(index).fillna("").to_numpy(dtype=object)
        found = np.where(own != "", own, found)
    place = pd.RangeIndex(len(items))
    supply = item_supply(items, calibration).set_axis(place)
    rows = pd.DataFrame({"cooperative_id": items.table["cooperative_id"].set_axis(place), "supply_kg": supply})
    return certificate_shares(rows, pd.Series(found, index=place, dtype="str"))


def _damaged(items: Items) -> list[str]:
    """Cooperatives that tell of damage: it is in their potential, and they need not fear the average one."""
    if "damage_share" not in items.table:
        return []
    return sorted(items.table.loc[items.table["damage_share"] > 0, "cooperative_id"].unique().tolist())


def _without_seconds(settings: pd.DataFrame | None, chosen: Choice) -> pd.DataFrame | None:
    """Settings for what can be sold: kilograms of exportable coffee, or of seconds, are split already."""
    if settings is None or chosen.conversion.to_form not in {EXPORTABLE, SECONDS}:
        return settings
    return settings.assign(seconds_share=float("nan"))


def _told(evidence: Evidence, land: pd.DataFrame, season: str, deliveries: pd.DataFrame | None) -> pd.DataFrame:
    kinds: tuple[tuple[Kind, pd.DataFrame | None], ...] = (
        ("field estimates", evidence.field_estimates),
        ("commitments", evidence.commitments),
    )
    parts = [
        what_was_told(table, kind, season=season, potential=land, deliveries=deliveries)
        for kind, table in kinds
        if table is not None
    ]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=TOLD_COLUMNS)


def _told_yields(told: pd.DataFrame | None, items: Items, season: str) -> pd.DataFrame:
    """Findings on plots that a technician expects far more of than their base yield."""
    if told is None:
        return join_findings([])
    kg = told[(told["season"] == season) & (told["plot_id"] != "")].groupby("plot_id")["kg"].sum()
    table = items.table[~items.table.index.duplicated()].reindex(kg.index)
    area = items.table["area_ha"].groupby(level=0).sum().reindex(kg.index)
    known = (area > 0).to_numpy()
    return check_plot_yields((kg / area)[known], (table["y"] * table["k"])[known])


def _base_yields(settings: pd.DataFrame | None, chosen: Choice) -> pd.DataFrame:
    """Findings on own base yields that cannot be; only of those in the form and basis of the origin's."""
    if settings is None:
        return join_findings([])
    same = is_among(settings["base_yield_form"], ["", chosen.base.form])
    same &= is_among(settings["base_yield_basis"], ["", chosen.base.basis])
    return check_base_yields(settings["base_yield_kg"][same].astype(float), chosen.base.kg_ha)


def _next_steps(
    history: History | None, target: pd.DataFrame, share: pd.DataFrame | None, calibration: Calibration
) -> pd.DataFrame:
    few = history is not None and len(target) <= MOST_STEPS and calibration.cooperatives["supply_kg"].notna().any()
    if history is None or not few:
        return pd.DataFrame(columns=STEP_COLUMNS)
    return supply_steps(history, target, delivered_share=share, learn=False)


def _calibrated(
    history: History | None, target: pd.DataFrame, share: pd.DataFrame | None, told: pd.DataFrame
) -> Calibration:
    """The calibration; commitments of nearly all stand for the delivered share where nothing else tells it."""
    potential = target.groupby("cooperative_id")["potential_kg"].sum()
    signed = told[told["kind"] == "commitments"].set_index("cooperative_id")
    nearly_all = signed["covers_kg"].astype(float) >= COVERED * potential.reindex(signed.index)
    signed = signed.loc[nearly_all, "mean_kg"].astype(float)
    known = set() if history is None else set(history.members["cooperative_id"])
    known |= set() if share is None else set(share.index)
    signed = signed[~is_among(signed.index, list(known))]
    own = pd.DataFrame({"share": (signed / potential.reindex(signed.index)).clip(upper=1.0)})
    own["cv"] = float(setting_row("delivered_share")["cv"])
    shares = pd.concat([part for part in (share, own) if part is not None and len(part)] or [own])
    found = calibrate(history, target, delivered_share=shares if len(shares) else None)
    table = found.cooperatives
    words = table["evidence"].where(~is_among(table.index, own.index), "commitments")
    return replace(found, cooperatives=table.assign(evidence=words))


def no_contracts() -> pd.DataFrame:
    """A table of contracts without rows."""
    texts = {name: pd.Series(dtype="str") for name in ("cooperative_id", "buyer", "certification", "month")}
    return pd.DataFrame(texts | {"kg": pd.Series(dtype=float)})


def _per_cooperative(settings: pd.DataFrame, ids: pd.Index) -> pd.DataFrame:
    """One row per cooperative: its own, else the one that is everyone's."""
    rows = [of_cooperative(settings, name) for name in ids]
    table = pd.DataFrame([row.to_dict() for row in rows], index=ids.rename("cooperative_id"), columns=settings.columns)
    return table.astype(settings.dtypes.to_dict())


def _strange_settings(settings: pd.DataFrame | None, ids: pd.Index) -> pd.DataFrame:
    """Findings on settings of cooperatives that are not in the run: nothing is made of them."""
    names = [] if settings is None else [str(name) for name in settings.index if name]
    strange = [name for name, known in zip(names, is_among(names, ids), strict=True) if not known] if names else []
    words = [
        f"The settings name {name!r}, which is not in this run, so they are not used. Write the cooperative as in the "
        "plots or members file."
        for name in strange
    ]
    return make_findings("unknown_cooperative", [""] * len(strange), words)


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
    return cooperative_alarms(history, last, delivered_share=share, learn=False), people


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
    known: dict[str, Any] = {"crop": chosen.crop.name, "country": chosen.country, "season": str(chosen.season)}
    known["tables"] = chosen.tables
    now = nowcast(served, deliveries, as_of=as_of, settings=settings, altitude=altitude, **known)
    moved = totals.copy()
    moved.loc[now.index] = now[["mean_kg", "var"]]
    return moved, now


def _came(now: pd.DataFrame, deliveries: pd.DataFrame | None, target: pd.DataFrame, season: str) -> "pd.Series[float]":
    """Kilograms that members of the season have brought so far, where there is a nowcast."""
    keys = ["cooperative_id", "member_id"]
    if deliveries is None or now.empty:
        return pd.Series([], index=pd.MultiIndex.from_arrays([[], []], names=keys), dtype=float)
    own = deliveries[is_among(deliveries["season"], [season]) & is_among(deliveries["cooperative_id"], now.index)]
    own = own[is_among(pd.MultiIndex.from_frame(own[keys]), pd.MultiIndex.from_frame(target[keys]))]
    return own.sort_values([*keys, "kg"]).groupby(keys)["kg"].sum()


def _contracts(
    contracts: pd.DataFrame | None, ids: pd.Index, season: str, start_month: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Contracts of the season (and the months after it) under their cooperative, the only one where they name none.

    Those of other months and of nobody here are findings.
    """
    if contracts is None:
        return no_contracts(), join_findings([])
    if len(ids) == 1:
        contracts = contracts.assign(cooperative_id=contracts["cooperative_id"].replace("", str(ids[0])))
    first, last = f"{parse_season(season)}-{start_month:02d}", f"{parse_season(season) + 1}-{start_month:02d}"
    late = (contracts["month"] != "") & ((contracts["month"] < first) | (contracts["month"] > f"{last[:4]}-12"))
    dated = [
        f"{row.kg:,.0f} kg are sold for {row.month}, outside the season {season}. They lower nothing that can be sold. "
        "Correct the month, or estimate the season that it lies in."
        for row in contracts[late].itertuples()
    ]
    outside = make_findings("no_month", [""] * len(dated), dated, action="left_out")
    contracts = contracts[~late]
    strange = contracts[~is_among(contracts["cooperative_id"], ids)]
    words = [
        f"{row.kg:,.0f} kg are sold by {row.cooperative_id or 'a cooperative that is not named'}, which is not in this "
        "run: they lower nothing that can be sold. Write the cooperative as in the plots or members file."
        for row in strange.itertuples()
    ]
    found = [outside, make_findings("unknown_cooperative", [""] * len(strange), words)]
    return contracts.reset_index(drop=True), join_findings(found)
