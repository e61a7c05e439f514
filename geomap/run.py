"""The whole flow on a page: plots and land cover → potential of each plot, member and cooperative, with an interval."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd

from geomap import reference
from geomap.engine import Progress, in_background
from geomap.findings import CODES, join_findings
from geomap.ground import ground_of
from geomap.landcover.bands import lower_edge
from geomap.landcover.extract import Extraction, class_areas
from geomap.landcover.local_sample import local_shares, read_local_sample
from geomap.landcover.partitions import Cluster
from geomap.landcover.product import Product, require_estimate
from geomap.landcover.product import product as named_product
from geomap.landcover.profile import Profiles, profiles
from geomap.landcover.source import check_rasters, in_order
from geomap.lookup import is_among
from geomap.plots.columns import SHARE_NAMES
from geomap.plots.content import Content
from geomap.plots.decisions import apply_decisions
from geomap.plots.intake import take_in, take_in_members, take_in_table
from geomap.plots.join import join_members
from geomap.plots.matching import match_members, read_matches
from geomap.plots.member_shares import shares_from
from geomap.plots.prepare import Prepared
from geomap.provenance import (
    assumptions,
    described,
    local_classes,
    parameters,
    rests_on,
    ruled_out,
    unheard,
    versions,
    warnings,
)
from geomap.supply.choice import Choice, choose
from geomap.supply.crop_tables import CropTables
from geomap.supply.crops import Crop
from geomap.supply.items import Items
from geomap.supply.land import (
    Figures,
    median_altitude,
    past_seasons,
    with_more_plots,
    with_those_who_left,
)
from geomap.supply.months import COLUMNS as MONTH_COLUMNS
from geomap.supply.months import months, season_text
from geomap.supply.narrow import MOST_STEPS, next_steps, what_would_narrow
from geomap.supply.pricing import by_cooperative, priced, sentence
from geomap.supply.sums import SUM_COLUMNS, attribute_labels, group_sums
from geomap.supply.supplied import item_supply
from geomap.supply.totals import totals, variance_shares

if TYPE_CHECKING:
    from geomap.landcover.several import OtherMap
    from geomap.supply.brought import Brought, Evidence
    from geomap.supply.choice_of_map import OtherMaps
    from geomap.supply.outlook import Outlook

MOST_COOPERATIVES: Final = 500
"""Cooperatives up to which the variance of supply is taken apart; its sum pairs each with each for every source."""


@dataclass(frozen=True)
class Run:
    """One estimation with its inputs, versions and results. All quantities of mass are kg of the product form.

    Attributes
    ----------
    plots : index plot_id, sorted, EPSG:4326; areas in ha, potential with its interval, attributes as given.
    classes : plot_id, product, class, name, area_ha.
    members, cooperatives : one row each; id, members, plots, members_mapped, areas, potential and its interval.
        Cooperatives also hold unmapped_kg, the part of their potential that rests on members without a plot.
    by : the same table per attribute summed by.
    total : the sum over all cooperatives, errors they share included.
    months : cooperative_id, month, quantity, mean_kg, p10_kg, p50_kg, p90_kg; empty without a season or calendar.
    outlook : what can be expected, beside what the land can bear; None without a season and evidence.
    next_steps : what would narrow the interval of the supply, else of the potential; empty for more than 20,000 items.
    variance : cooperative_id ("all" for the sum), quantity, source, share of the variance that would go with it.
    environment : cooperative_id, class, name, area_ha, share of the measured plots' area, and how sure that is.
    profile : the environment of each cooperative, comparable between them.
    findings : what was found, priced in hectares and kilograms.
    left_out : plots kept out, as they were drawn; each has a finding that says why.
    overlaps : plot_a, plot_b, overlap_ha.
    summary : parameters, inputs, versions, totals, assumptions and warnings, as written to summary.json.
    rasters, product : the land cover; rasters in the order in which they speak where several cover the ground.
    timings : seconds per stage.
    other_maps : what other land-cover maps show, and what the choice of map does; None where there is one map alone.
    """

    plots: gpd.GeoDataFrame
    classes: pd.DataFrame
    members: pd.DataFrame
    cooperatives: pd.DataFrame
    by: dict[str, pd.DataFrame]
    total: "pd.Series[Any]"
    months: pd.DataFrame
    outlook: "Outlook | None"
    next_steps: pd.DataFrame
    variance: pd.DataFrame
    environment: pd.DataFrame
    profile: Profiles
    findings: pd.DataFrame
    left_out: gpd.GeoDataFrame
    overlaps: pd.DataFrame
    summary: dict[str, Any]
    rasters: tuple[Path, ...]
    product: Product
    timings: dict[str, float]
    other_maps: "OtherMaps | None" = None


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def estimate_files(
    plots: Path,
    rasters: Sequence[Path],
    *,
    product: str | Product,
    members: Path | None = None,
    shares: Path | None = None,
    brought: "Brought | None" = None,
    reading: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Potential from files; see `estimate`. The summary names every file with its SHA-256.

    `product` is a name of ours or the user's own. `brought` names the files of deliveries, contracts and settings.
    `reading` holds further keywords of `read_inputs`: mapping, crs, matches, decisions.

    Raises
    ------
    GeomapError : a file, column, CRS, crop, country, product or raster is wrong.
    """
    from geomap.supply.brought import Brought, read_evidence
    from geomap.supply.own_tables import read_crop_tables
    from geomap.supply.yields import read_yields

    clock = _Clock()
    inputs = [("plots", Path(plots)), *(("raster", Path(path)) for path in rasters)]
    inputs += [(role, Path(path)) for role, path in (("members", members), ("shares", shares)) if path is not None]
    inputs += [("layer", Path(path)) for paths in (options.get("layers") or {}).values() for path in paths]
    inputs += [("other map", Path(path)) for other in options.get("other_maps", ()) for path in other.rasters]
    brought = brought or Brought()
    options["tables"], own = read_crop_tables(brought.crop_tables) if brought.crop_tables else (None, join_findings([]))
    keys = ("form", "season", "base_yield_kg", "tables")
    chosen = choose(options["crop"], options["country"], **{key: options.get(key) for key in keys})
    inputs += brought.files()
    legend = named_product(product) if isinstance(product, str) else product
    require_estimate(legend, chosen.crop.name)
    check_rasters(rasters, legend)
    if options.get("other_maps"):
        from geomap.landcover.several import require_maps

        require_maps(legend, options["other_maps"], chosen.crop.name)
    tell = progress or (lambda stage, done, total: None)
    tell("reading", 0, 1)
    hashing = ThreadPoolExecutor(1)
    files = hashing.map(lambda pair: described(*pair), inputs)
    table, people, found = read_inputs(plots, members, **{"country": options["country"], **(reading or {})})
    if shares is not None:
        options["shares"], said = _read_shares(Path(shares))
        found.append(said)
    options["evidence"], more = read_evidence(brought, chosen, _homes(table) if people is None else people)
    found += [own, *more]
    if brought.yields is not None:
        options["yields"], said = read_yields(Path(brought.yields), crop=chosen.crop, tables=chosen.tables)
        found.append(said)
    options["yield_rasters"] = tuple(brought.yield_rasters)
    if brought.local_sample is not None:
        options["local_sample"], said = read_local_sample(brought.local_sample, legend)
        found.append(said)
    tell("reading", 1, 1)
    clock.lap("read")
    described_files = list(files)
    hashing.shutdown()
    clock.lap("hash inputs")
    options["product"] = legend
    run = estimate(table, rasters, members=people, findings=found, inputs=described_files, progress=progress, **options)
    return replace(run, timings={**clock.seconds, **run.timings})


def _homes(plots: gpd.GeoDataFrame) -> pd.DataFrame | None:
    """Cooperative of each member that a plot names: quintals and loads are those of the cooperative."""
    owned = plots[plots["member_id"] != ""].drop_duplicates("member_id").set_index("member_id")
    return owned[["cooperative_id"]] if len(owned) else None


def read_inputs(
    plots: Path,
    members: Path | None = None,
    *,
    mapping: Mapping[str, str] | None = None,
    members_mapping: Mapping[str, str] | None = None,
    crs: str | None = None,
    country: str | None = None,
    matches: Path | None = None,
    decisions: pd.DataFrame | None = None,
) -> tuple[gpd.GeoDataFrame, pd.DataFrame | None, list[pd.DataFrame]]:
    """Plots, members (None without a file) and what was found while reading them.

    Files that GDAL or a spreadsheet reader must open are read in a child process that cannot harm this one. Plots that
    name a member in words get the member's id where only one can be meant, or where `matches` says which.

    Parameters
    ----------
    plots, members : files.
    mapping, members_mapping : their column → our column.
    crs : of coordinates in a file that names none.
    country : where the plots lie, to tell which UTM zone they may be in; nothing is guessed.
    matches : CSV of matches that a person confirmed.
    decisions : plot_id, other_plot_id, code, decision: what people decided on earlier findings.
    """
    table, found = take_in(Path(plots), mapping=mapping, crs=crs, country=country)
    findings, people = [found], None
    if members is not None:
        people, found = take_in_members(Path(members), mapping=members_mapping, country=country)
        findings.append(found)
        table, _ = match_members(table, people, None if matches is None else read_matches(matches))
    if decisions is not None:
        table, found = apply_decisions(table, decisions)
        findings.append(found)
    return table, people, findings


def _read_shares(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of shares, read in the child like the other files of an office."""
    cells, _, found = take_in_table(path, SHARE_NAMES)
    shares, said = shares_from(Content(cells, path.name))
    return shares, join_findings([found, said])


def estimate(
    plots: gpd.GeoDataFrame,
    rasters: Sequence[Path],
    *,
    product: str | Product,
    crop: str,
    country: str,
    members: pd.DataFrame | None = None,
    season: str | None = None,
    form: str | None = None,
    base_yield_kg: float | None = None,
    by: Sequence[str] = (),
    shares: pd.DataFrame | None = None,
    evidence: "Evidence | None" = None,
    tables: CropTables | None = None,
    yields: pd.DataFrame | None = None,
    yield_rasters: Sequence[Path] = (),
    local_sample: pd.DataFrame | None = None,
    layers: Mapping[str, Sequence[Path]] | None = None,
    other_maps: "Sequence[OtherMap]" = (),
    findings: Sequence[pd.DataFrame] = (),
    inputs: Sequence[Mapping[str, Any]] = (),
    workers: int | None = None,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
) -> Run:
    """Potential of each plot, member and cooperative in kilograms of the product form, with an interval.

    Parameters
    ----------
    plots : as `read_plots` returns them: index plot_id, EPSG:4326. Their order does not matter.
    rasters : GeoTIFF files of one land-cover product; ground that several cover counts once.
    product, crop, country : names; country as ISO 3166 code or name. A product may also be the user's own.
    members : as `read_members` returns them. Members without a plot count with their declared area or a mean.
    season : "2026/27"; without it ages are unknown and there are no months.
    form : product form; the crop's default where it is not given.
    base_yield_kg : the user's own base yield per planted hectare (or hive) instead of the table's.
    by : attributes of plots or members to sum by.
    shares : who farms which plot with what share, as `read_shares` returns it; others belong to their member alone.
    evidence : deliveries, contracts and settings of the cooperatives; without them there is no supply. The season is
        the one after the last delivery where it is not given.
    tables : the user's own crop or figures, of `read_crop_tables`.
    yields : the user's own base yields, of `read_yields`.
    yield_rasters : kilograms per hectare and year, in the form and basis of the base yield; where they have data they
        stand for it.
    layers : other rasters by name, such as altitude: each plot gets their mean, quantiles and band, to sum by.
    other_maps : maps of other products, to stand beside that of the run: their areas, where they agree, and what the
        choice of map does to the potential.
    local_sample : what was found on the ground, of `read_local_sample`; it stands for the map's own accuracy.
    findings : what was found while reading.
    inputs : files, for the summary.
    workers : threads; never changes a result.
    cluster : a Dask cluster that measures the plots; never changes a result.
    progress : called with stage, done, total.

    Raises
    ------
    UnknownNameError : crop, country, product, form or season is not known.
    ColumnError : neither plots nor members have an attribute of `by`.
    RasterError, CrsError : see `class_areas`.
    """
    clock = _Clock()
    chosen = choose(crop, country, form=form, season=season, base_yield_kg=base_yield_kg, tables=tables)
    chosen = chosen if chosen.season else replace(chosen, season=_next_season(evidence, chosen.crop))
    legend = named_product(product) if isinstance(product, str) else product
    require_estimate(legend, chosen.crop.name)
    learned, doubts = (legend.legend, join_findings([])) if local_sample is None else local_shares(local_sample, legend)
    ground = ground_of(plots, members, shares, layers or {}, by=by, chosen=chosen, progress=progress)
    prepared, people, owners, by, everyone = ground.prepared, ground.people, ground.owners, ground.by, members
    said = [*findings, doubts, *ground.findings]
    clock.lap("check and prepare")
    extraction = class_areas(prepared.plots, rasters, legend, workers=workers, cluster=cluster, progress=progress)
    clock.lap("land cover")
    look = partial(profiles, prepared.plots, extraction.classes, legend, rasters, workers=workers)
    profile = in_background(look, workers=workers)  # reads the raster again, while the sums hold the interpreter
    figures = Figures(
        chosen,
        replace(legend, legend=learned),
        None if evidence is None else evidence.settings,
        yields,
        tuple(yield_rasters),
    )
    land, doubts = figures.land(prepared.plots, extraction)
    items, ratios, more = figures.items(land, people, owners, chosen.season)
    said += [*doubts, more]
    clock.lap("potential")
    beside = None
    if other_maps:
        from geomap.supply.choice_of_map import look_at_other_maps

        own = (rasters, extraction)
        many = {"people": people, "owners": owners, "workers": workers, "progress": progress}
        beside = look_at_other_maps(figures, prepared.plots, own, other_maps, **many)
        clock.lap("other maps")
    outlook = None
    if evidence is not None and chosen.season is not None:
        from geomap.supply.outlook import look_ahead

        if len(ground.before) and evidence.deliveries is not None:
            land = with_more_plots(land, join_members(ground.before, everyone).plots, rasters, figures)
        outlook = look_ahead(
            items,
            past_seasons(land, everyone, people, shares, figures),
            evidence,
            chosen=chosen,
            members=with_those_who_left(people, everyone),
            plots=prepared.plots if "certification" in ground.ours else None,
            altitude=median_altitude(prepared.plots, people),
            progress=progress,
        )
        said.append(outlook.findings)
        clock.lap("deliveries")
    expected = outlook if outlook is not None and outlook.has_supply else None
    cooperatives = group_sums(items, items.table["cooperative_id"], expected)
    total = group_sums(items, pd.Series("all", index=items.table.index), expected).iloc[0]
    by_member = group_sums(items, items.table["member_id"], expected)
    labels = attribute_labels(items, prepared.plots, people, by)
    shares_of_variance = _variance(items, expected)
    clock.lap("totals")
    table = _plot_table(prepared, extraction, items, expected)
    monthly = _with_supply(_monthly(cooperatives, chosen), outlook)
    found = priced(join_findings([*said, prepared.findings, extraction.findings]), table, cooperatives)
    result = Run(
        plots=table,
        classes=extraction.classes,
        members=_with_names(by_member, people),
        cooperatives=cooperatives.drop(columns="var"),
        by={
            column: _in_order(group_sums(items, labels[column], expected).drop(columns="var"), column) for column in by
        },
        total=total.drop("var"),
        months=monthly,
        outlook=outlook,
        next_steps=expected.next_steps if expected is not None and expected.history is not None else _next_steps(items),
        variance=shares_of_variance,
        profile=profile.result(),
        environment=profile.result().environment,
        findings=found,
        left_out=prepared.left_out,
        overlaps=prepared.overlaps,
        summary={
            "parameters": parameters(chosen, legend, by),
            "inputs": list(inputs),
            "assumptions": assumptions(chosen, legend, _used(ratios, items), local_classes(learned)),
            "local_sample": local_classes(learned),
            "ruled_out": ruled_out(learned),
            "warnings": [*ground.warnings, *warnings(chosen, monthly, members), *unheard(evidence, outlook)],
            "narrow": what_would_narrow(_of_all(shares_of_variance, expected), items),
            "findings": _told(by_cooperative(found, table, prepared.left_out)),
            "totals": {name: _number(total[name]) for name in SUM_COLUMNS},
            "evidence": rests_on(outlook),
            **({} if beside is None else {"other_maps": beside.told()}),
            "versions": versions(),
            "tables": reference.versions(),
        },
        rasters=in_order(rasters, legend),
        product=legend,
        timings=clock.seconds,
        other_maps=beside,
    )
    clock.lap("tables")
    return result


def _next_season(evidence: "Evidence | None", crop: Crop) -> str | None:
    """The season that the deliveries are told to run in, else the one after the last delivery."""
    if evidence is None or evidence.deliveries is None:
        return None
    from geomap.supply.brought import season_after

    if evidence.as_of is None:
        return season_after(evidence.deliveries)
    day = pd.Timestamp(evidence.as_of)
    return season_text(day.year - (day.month < crop.season_start_month))


def _plot_table(
    prepared: Prepared, extraction: Extraction, items: Items, expected: "Outlook | None"
) -> gpd.GeoDataFrame:
    """The plots with land cover, productive area and potential beside what was given."""
    index = prepared.plots.index
    cover = extraction.cover
    terms = items.table[~items.table.index.duplicated()].reindex(index)
    found = totals(items, pd.Series(items.table.index, index=items.table.index)).reindex(index)
    return prepared.plots.assign(
        nodata_ha=cover["nodata_ha"].fillna(0.0),
        outside_ha=cover["outside_ha"].fillna(0.0),
        unknown_ha=cover["unknown_ha"].fillna(0.0),
        f=terms["f"],
        p=terms["p"],
        y_kg_ha=terms["y"],
        g=terms["g"],
        k=terms["k"],
        productive_ha=_per_plot(items.table["productive_ha"]).reindex(index),
        potential_kg=found["mean_kg"],
        potential_p10_kg=found["p10"],
        potential_p50_kg=found["p50"],
        potential_p90_kg=found["p90"],
        supply_kg=float("nan")
        if expected is None
        else _per_plot(item_supply(items, expected.calibration, expected.totals, expected.came)).reindex(index),
    )


def _per_plot(values: "pd.Series[float]") -> "pd.Series[float]":
    """Sums over the members who share a plot; NaN stays NaN."""
    return values.groupby(level=0).sum(min_count=1)


def _in_order(sums: pd.DataFrame, column: str) -> pd.DataFrame:
    """The sums by an attribute as they are; bands by their lower edge."""
    if not column.endswith("_band"):
        return sums
    return sums.iloc[np.argsort([lower_edge(str(band)) for band in sums["id"]], kind="stable")].reset_index(drop=True)


def _with_names(sums: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """The sums per member with cooperative, name and community."""
    known = members.reindex(sums["id"])
    told = {column: known[column].to_numpy() for column in ("cooperative_id", "name", "community") if column in known}
    return sums.drop(columns=["var", "unmapped_kg"]).assign(**told)


def _variance(items: Items, expected: "Outlook | None") -> pd.DataFrame:
    """Shares of the variance per cooperative and of the sum, of potential and of supply."""
    parts = [variance_shares(items), variance_shares(items, items.table["cooperative_id"])]
    table = pd.concat(parts, ignore_index=True).rename(columns={"group": "cooperative_id"})
    table.insert(1, "quantity", "potential")
    if expected is None:
        return table
    calibration = expected.calibration
    if len(calibration.cooperatives) > MOST_COOPERATIVES:
        return table
    supply = calibration.variance.copy()
    supply.insert(1, "quantity", "supply")
    return pd.concat([table, supply], ignore_index=True)


def _of_all(shares: pd.DataFrame, expected: "Outlook | None") -> pd.DataFrame:
    """Shares of the variance of the whole supply, else of the whole potential."""
    quantity = "potential" if expected is None else "supply"
    learned = expected is not None and expected.history is not None
    told = ["plot", "member_season"] if learned else []  # deliveries by member are there
    of_all = (shares["cooperative_id"] == "all") & (shares["quantity"] == quantity)
    return shares[of_all & ~is_among(shares["source"], told)]


def _next_steps(items: Items) -> pd.DataFrame:
    """What each step would do to the interval of the potential."""
    return next_steps(items if len(items) <= MOST_STEPS else items.where(pd.Series(False, index=items.table.index)))


def _used(ratios: pd.DataFrame, items: Items) -> pd.DataFrame:
    """The ratios that some declared area was multiplied by."""
    declared = items.table.loc[items.table["kind"] != "measured", "cooperative_id"]
    return ratios[is_among(ratios.index, declared.unique())]


def _monthly(cooperatives: pd.DataFrame, chosen: Choice) -> pd.DataFrame:
    """Potential per month; empty without a season or where no calendar is known."""
    calendar = chosen.calendar
    if chosen.season is None or calendar.empty:
        return pd.DataFrame(columns=MONTH_COLUMNS)
    sums = cooperatives.set_index("id").rename(columns={"potential_kg": "mean_kg"})[["mean_kg", "var"]]
    named = sums.rename_axis("cooperative_id")
    return months(named, calendar, chosen.season, start_month=chosen.crop.season_start_month)


def _with_supply(monthly: pd.DataFrame, outlook: "Outlook | None") -> pd.DataFrame:
    """The months of the potential, and those of the supply under them."""
    if outlook is None or outlook.months.empty:
        return monthly
    return pd.concat([part for part in (monthly, outlook.months) if len(part)], ignore_index=True)


def _told(sums: pd.DataFrame) -> list[dict[str, Any]]:
    """What the findings of each cooperative come to, code by code, in numbers and in a sentence."""
    return [
        {
            "cooperative_id": row.cooperative_id,
            "code": row.code,
            "findings": int(row.findings),
            "effect_ha": _number(row.effect_ha),
            "effect_kg": _number(row.effect_kg),
            "sentence": sentence(row.code, row.findings, row.effect_ha, row.effect_kg, title=CODES[row.code][1]),
        }
        for row in sums.itertuples()
    ]


def _number(value: Any) -> Any:
    """A number that JSON knows: None for NaN, whole numbers whole."""
    if pd.isna(value):
        return None
    return int(value) if float(value).is_integer() and not isinstance(value, float) else round(float(value), 4)
