"""Tables that stand beside a run's own on pages: evidence, past seasons, contracts, what can be sold."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pandas as pd

from geomap.supply.certificates import certificates, set_name

if TYPE_CHECKING:
    from geomap.supply.backtest import BackTest
    from geomap.supply.outlook import Outlook

_CASE_COLUMNS: Final = ["case", "factor_low", "factor_high", "mean_kg", "p10_kg", "p50_kg", "p90_kg"]
_NAMES: Final = {"mean_kg": "", "p10_kg": "_p10", "p50_kg": "_p50", "p90_kg": "_p90"}
"""Column of a page's table → infix of the calibration's supply columns."""


@dataclass(frozen=True, eq=False)
class Beside:
    """What is None is not shown. Kilograms are of the run's product form unless a column names another.

    Attributes
    ----------
    settings : index cooperative_id ("" for everyone); what each cooperative told of its units.
    calibration : index cooperative_id; evidence, seasons, of the supply.
    backtest : past seasons predicted, and what came.
    exportable : cooperative_id ("all" for the sum), form, mean_kg, p10_kg, p50_kg, p90_kg, kilograms of `form`.
    certifications : cooperative_id, certification ("" = none named), mean_kg, p10_kg, p90_kg; members where known.
        Kilograms that carry two certificates may stand in two rows.
    cases : cooperative_id ("all" for the sum), case (in words), mean_kg, p10_kg, p50_kg, p90_kg; factor_low and
        factor_high (0–1, of the mean) where known.
    contracts : cooperative_id, buyer, certification ("" = any), month ("YYYY-MM" or ""), kg, covered (probability 0–1).
    told : cooperative_id, kind ("field estimates", "commitments"), given_kg, seasons, mean_kg, p10_kg, p50_kg, p90_kg:
        what technicians and members told of the season, and the same corrected by how right they were before.
    next_steps : text, one sentence a row, the most useful first.
    known_to : index cooperative_id; the day (YYYY-MM-DD) up to which deliveries of the season count.
    """

    settings: pd.DataFrame | None = None
    calibration: pd.DataFrame | None = None
    backtest: "BackTest | None" = None
    exportable: pd.DataFrame | None = None
    certifications: pd.DataFrame | None = None
    cases: pd.DataFrame | None = None
    contracts: pd.DataFrame | None = None
    told: pd.DataFrame | None = None
    next_steps: pd.DataFrame | None = None
    known_to: "pd.Series[str] | None" = None


def beside_of(outlook: "Outlook | None", *, form: str, next_steps: pd.DataFrame | None = None) -> Beside:
    """The tables of an outlook as pages show them.

    Parameters
    ----------
    outlook : of `look_ahead`; None without a season or evidence.
    form : product form of the run.
    next_steps : of `geomap.supply.narrow.next_steps`.

    Examples
    --------
    >>> beside_of(None, form="green").backtest is None
    True
    """
    if outlook is None:
        return Beside(next_steps=next_steps)
    days = outlook.nowcast["day"].astype("str") if len(outlook.nowcast) else None
    known = Beside(settings=outlook.settings, told=outlook.told, next_steps=next_steps, known_to=days)
    if not outlook.has_supply:
        return known
    supply, contracts = outlook.cooperatives, outlook.contracts
    ready = _at_the_end(outlook.available)
    return replace(
        known,
        calibration=supply[["evidence", "seasons"]],
        backtest=outlook.backtest,
        exportable=_exportable(ready, supply, form),
        certifications=_certifications(ready, supply),
        cases=outlook.shock.rename_axis("cooperative_id").reset_index()[["cooperative_id", *_CASE_COLUMNS]],
        contracts=None if contracts is None or contracts.empty else with_chances(contracts, outlook.available),
    )


def with_chances(contracts: pd.DataFrame, available: pd.DataFrame) -> pd.DataFrame:
    """The contracts with `covered`: the probability that they, and those due before them, can be filled.

    Parameters
    ----------
    contracts : cooperative_id, certification, month ("" = the end of the season), kg, and what else they hold.
    available : cooperative_id, certification, month, chance_of_its_own, of `geomap.supply.available.available`.

    Examples
    --------
    >>> sold = pd.DataFrame({"cooperative_id": "C", "certification": "", "month": ["", "2027-01"], "kg": 10.0})
    >>> ready = pd.DataFrame({"cooperative_id": "C", "certification": "", "month": ["2027-01", "2027-02"],
    ...                       "chance_of_its_own": [0.4, 0.9]})
    >>> with_chances(sold, ready)["covered"].tolist()
    [0.9, 0.4]
    """
    keys = ["cooperative_id", "certification", "month"]
    months = sorted(set(available["month"]))
    known = contracts.assign(certification=[set_name(certificates(text)) for text in contracts["certification"]])
    due = [min(max(month, months[0]), months[-1]) if months and month else months[-1:] for month in contracts["month"]]
    due = [month if isinstance(month, str) else "".join(month) for month in due]
    chance = available.set_index(keys)["chance_of_its_own"]
    asked = pd.MultiIndex.from_frame(known.assign(month=due)[keys])
    return contracts.assign(covered=chance.reindex(asked).to_numpy(float)).reset_index(drop=True)


def _at_the_end(available: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold the whole season."""
    last = available.groupby(["cooperative_id", "certification"], sort=True)["month"].transform("max")
    return available[(available["month"] == last).to_numpy()]


def _exportable(ready: pd.DataFrame, supply: pd.DataFrame, form: str) -> pd.DataFrame | None:
    """Supply less local sales and seconds, where some are told; the same share of every case."""
    own = ready[(ready["certification"] == "") & (ready["local_and_seconds_kg"] > 0)].set_index("cooperative_id")
    if own.empty:
        return None
    kept = 1.0 - own["local_and_seconds_kg"] / own["supply_kg"]
    kg = {name: supply[f"supply{infix}_kg"].reindex(own.index) * kept for name, infix in _NAMES.items()}
    return pd.DataFrame({"form": form, **kg}).rename_axis("cooperative_id").reset_index()


def _certifications(ready: pd.DataFrame, supply: pd.DataFrame) -> pd.DataFrame | None:
    """Supply that carries each certificate, as a share of the cooperative's; None where nothing is certified."""
    named = ready[(ready["certification"] != "") & (ready["supply_kg"] > 0)]
    if named.empty:
        return None
    whole = ready[ready["certification"] == ""].set_index("cooperative_id")["supply_kg"]
    share = (named["supply_kg"].to_numpy(float)) / whole.reindex(named["cooperative_id"]).to_numpy(float)
    own = supply.reindex(named["cooperative_id"])
    kg = {name: own[f"supply{infix}_kg"].to_numpy(float) * share for name, infix in _NAMES.items()}
    keys = {name: named[name].to_numpy() for name in ("cooperative_id", "certification")}
    return pd.DataFrame({**keys, **kg}).dropna(subset=["mean_kg"]).reset_index(drop=True)
