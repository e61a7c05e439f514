"""The files that an office brings beside plots and members, read into the evidence of a run."""

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from geomap.errors import FileError, NumberError
from geomap.findings import join_findings
from geomap.supply.choice import Choice
from geomap.supply.contracts import read_contracts
from geomap.supply.deliveries import read_deliveries
from geomap.supply.evidence import read_commitments, read_field_estimates
from geomap.supply.months import parse_season
from geomap.supply.settings import EVERYONE, SETTING_NAMES, TEXTS, read_settings


@dataclass(frozen=True)
class Evidence:
    """What a cooperative brings beside its plots. All kilograms are of the run's product form.

    deliveries, contracts, field_estimates, commitments : as their readers return them. settings : of `read_settings`.
    as_of : ISO date up to which the deliveries of the season itself are complete; their last date where not given.
    """

    deliveries: pd.DataFrame | None = None
    contracts: pd.DataFrame | None = None
    field_estimates: pd.DataFrame | None = None
    commitments: pd.DataFrame | None = None
    settings: pd.DataFrame | None = None
    as_of: str | None = None


@dataclass(frozen=True)
class Brought:
    """Paths of the files of evidence, each where there is one, and what was told without a file.

    deliveries : several files, for instance one per season, are read as one.
    cooperatives : what each cooperative is asked once (`read_settings`).
    crop_tables : the user's own crop or figures (`read_crop_tables`). yields : own base yields (`read_yields`).
    yield_rasters : maps of kilograms per hectare and year.
    local_sample : what was found on the ground at points of a sample plan (`geomap.landcover.local_sample`).
    delivered_share : share of the harvest (0–1) that the cooperatives receive which tell no other.
    as_of : ISO date up to which the deliveries of the season itself are complete.
    """

    deliveries: Sequence[Path] = ()
    field_estimates: Path | None = None
    commitments: Path | None = None
    contracts: Path | None = None
    cooperatives: Path | None = None
    crop_tables: Sequence[Path] = ()
    yields: Path | None = None
    yield_rasters: Sequence[Path] = ()
    local_sample: Path | None = None
    delivered_share: float | None = None
    as_of: str | None = None

    def files(self) -> list[tuple[str, Path]]:
        """Role and path of each file, for the summary."""
        several = {"deliveries": self.deliveries, "crop_table": self.crop_tables, "yield_raster": self.yield_rasters}
        found = [(role, Path(path)) for role, paths in several.items() for path in paths]
        for role in ("field_estimates", "commitments", "contracts", "cooperatives", "yields", "local_sample"):
            if getattr(self, role) is not None:
                found.append((role, Path(getattr(self, role))))
        return found

    @property
    def is_evidence(self) -> bool:
        """Whether anything was brought that tells of supply or of units."""
        single = (self.field_estimates, self.commitments, self.contracts, self.cooperatives, self.delivered_share)
        return bool(self.deliveries) or any(one is not None for one in single)


def read_evidence(
    brought: Brought, chosen: Choice, members: pd.DataFrame | None = None
) -> tuple[Evidence | None, list[pd.DataFrame]]:
    """The evidence of a run, in kilograms of its product form, and the findings; None where nothing was brought.

    Settings are read first: quintals, loads and bags are those of the cooperative.

    Raises
    ------
    NumberError : a delivered share outside 0–1, or `as_of` that is no date.
    FileError, ColumnError, UnknownNameError : as the readers say.
    """
    _require_day(brought.as_of)
    if not brought.is_evidence:
        return None, []
    settings, found = _settings(brought, chosen)
    known: dict[str, Any] = {
        "crop": chosen.crop.name,
        "form": chosen.conversion.to_form,
        "units": settings,
        "members": members,
        "tables": chosen.tables,
    }
    tables: dict[str, pd.DataFrame] = {}
    _require_different(brought.deliveries)
    parts = [read_deliveries(path, **known) for path in brought.deliveries]
    if parts:
        tables["deliveries"] = pd.concat([table for table, _ in parts], ignore_index=True)
        found += [said for _, said in parts]
    season = {"season": chosen.season or (season_after(tables["deliveries"]) if parts else "") or ""}
    readers: Mapping[str, tuple[Any, dict[str, Any]]] = {
        "field_estimates": (read_field_estimates, season),
        "commitments": (read_commitments, season),
        "contracts": (read_contracts, {}),
    }
    for role, (read, more) in readers.items():
        path = getattr(brought, role)
        if path is not None:
            tables[role], said = read(path, **known, **more)
            found.append(said)
    return Evidence(settings=settings, as_of=brought.as_of, **tables), [join_findings(found)]


def _require_day(text: str | None) -> None:
    """Raise where the text is there and no ISO date."""
    if text is None:
        return
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        raise NumberError(
            f"'{text[:60]}' is no date.",
            why="It is the day up to which the deliveries of the season are complete.",
            todo="Write it as 2027-01-31.",
        ) from None


def _require_different(paths: Sequence[Path]) -> None:
    """Refuse the same deliveries in two files: they would count twice."""
    seen: dict[bytes, Path] = {}
    for path in map(Path, paths):
        if path.is_file():
            digest = hashlib.sha256(path.read_bytes()).digest()
            if digest in seen:
                raise FileError(
                    f"{seen[digest].name} and {path.name} hold the same deliveries.",
                    why="They would count twice.",
                    todo="Give each file of deliveries once.",
                )
            seen[digest] = path


def _settings(brought: Brought, chosen: Choice) -> tuple[pd.DataFrame | None, list[pd.DataFrame]]:
    """Settings per cooperative; a delivered share that was told for all stands where a cooperative tells none."""
    settings, found = None, []
    if brought.cooperatives is not None:
        settings, said = read_settings(Path(brought.cooperatives), crop=chosen.crop.name, tables=chosen.tables)
        found.append(said)
    share = brought.delivered_share
    if share is None:
        return settings, found
    if not 0 < share <= 1:
        raise NumberError(
            f"A delivered share of {share:g} cannot be.",
            why="It is the part of the harvest that the cooperative receives.",
            todo="Write 0.7 for seventy percent.",
        )
    if settings is None or EVERYONE not in settings.index:
        empty = {name: "" if name in TEXTS else float("nan") for name in SETTING_NAMES[1:]}
        row = pd.DataFrame([empty], index=pd.Index([EVERYONE], name="cooperative_id", dtype="str"))
        settings = row if settings is None else pd.concat([row.astype(settings.dtypes.to_dict()), settings])
    return settings.assign(delivered_share=settings["delivered_share"].fillna(share)), found


def season_after(deliveries: pd.DataFrame) -> str | None:
    """The season after the last one with deliveries; None without any.

    Examples
    --------
    >>> season_after(pd.DataFrame({"season": ["2024/25", "2025/26"]}))
    '2026/27'
    """
    years = [parse_season(text) for text in sorted(set(deliveries["season"].tolist())) if text]
    return f"{max(years) + 1}/{(max(years) + 2) % 100:02d}" if years else None
