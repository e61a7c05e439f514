"""Potential of each plot: what its land can bear in a year, in kilograms of a product form, with its errors."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.lookup import is_among
from geomap.supply.crop_tables import CropTables
from geomap.supply.crops import BaseYield, Conversion, Crop, age_factor, error_cv
from geomap.supply.items import Items, shared_by
from geomap.supply.terms import base_terms

PATCH_CELLS: Final = 9
"""Cells that are right or wrong together: one patch of a map is about 3 × 3 cells."""

MIN_PAIRS: Final = 10
"""Fewest areas both measured and declared from which a cooperative's own ratio is taken."""

_WRONG_UNIT: Final = 10.0
_ITEM_COLUMNS: Final = [
    "member_id",
    "cooperative_id",
    "kind",
    "area_ha",
    "hives",
    "f",
    "p",
    "y",
    "g",
    "k",
    "density_factor",
    "damage_share",
    "productive_ha",
    "mean_kg",
    "uncovered",
    "age_known",
    "planted_known",
    "origin",
    "region",
    "form_pair",
    "season",
]

Floats = npt.NDArray[np.float64]


def plot_potential(
    plots: pd.DataFrame,
    classes: pd.DataFrame,
    cover: pd.DataFrame,
    *,
    crop: Crop,
    base: BaseYield,
    conversion: Conversion,
    legend: pd.DataFrame,
    season_year: int | None = None,
    ratios: pd.DataFrame | None = None,
    country: str | None = None,
    terms: pd.DataFrame | None = None,
    attributes: pd.DataFrame | None = None,
    tables: CropTables | None = None,
) -> Items:
    """Potential of each usable plot in kilograms of the product form: S = A · f · p · y · g · k, with its errors.

    A: counted area in hectares; a plot with a declared area only counts that area times the ratio of its cooperative.
    f: share that can bear the crop, 1 − Σ share of incompatible class × user's accuracy; of the covered part where that
    is at least half of the plot, else the area-weighted mean of the cooperative's other plots (else of all plots, else
    1). Unknown classes count as compatible. What the map omits is not added: farmers avoid bad ground.
    p: share planted, declared or the crop's default; g: age factor. Where y counts planted hectares, both are inside y
    and not applied again, except that a plot too young to bear yields 0. Honey: hives × kilograms per hive; f is 1 and
    area plays no part; the number of hives is taken as known, hives that are not told count as none.
    Own figures of a cooperative, a yield map and own outturns come in by `terms`; renovation, trees per hectare and
    damage by `attributes`, which multiply S by density_factor · (1 − damage_share).

    Parameters
    ----------
    plots : usable plots (index plot_id; member_id, cooperative_id, counted_area_ha, area_ha, area_sd_ha, kind,
        planted_share, planted_year, hives, declared_area_ha), as `prepare_plots` returns them.
    classes : long table plot_id, product, class, area_ha of one product; negative classes (no data, outside) are not
        read.
    cover : index plot_id; nodata_ha, outside_ha, unknown_ha, cell_area_m2.
    crop, base, conversion : of one origin and product form; `conversion` leads from the form of `base`.
    legend : index class; tree_crop (1 compatible, 0 not), users_accuracy (0–1), users_se.
    season_year : year in which the season begins, from which ages count; without it no age is known.
    ratios : of `declared_ratios`; taken from the plots alone where not given.
    country : two-letter code of the origin; that of `base` where not given.
    terms : of `base_terms(plots, ...)`; `base` and `conversion` for every plot where not given.
    attributes : of `plot_attributes(plots, ...)`; age counts from planted_year where not given.
    tables : with the user's own crop.

    Returns
    -------
    Items : same index and order as `plots`; `productive_ha` is A · f · p.

    Examples
    --------
    A plot of 2 ha, a tenth of it water on a map that is right there in nine cases of ten: 2 · (1 − .1 · .9) · 1000 kg.

    >>> from geomap.supply.crops import conversion, crop, own_base_yield
    >>> usual = {"member_id": "M", "cooperative_id": "C", "kind": "measured", "area_sd_ha": 0.1}
    >>> unknown = dict.fromkeys(["declared_area_ha", "planted_share", "planted_year", "hives"], np.nan)
    >>> plots = pd.DataFrame(usual | unknown | {"area_ha": 2.0, "counted_area_ha": 2.0}, index=["P"])
    >>> classes = pd.DataFrame({"plot_id": "P", "product": "map", "class": [10, 80], "area_ha": [1.8, 0.2]})
    >>> empty = {"nodata_ha": 0.0, "outside_ha": 0.0, "unknown_ha": 0.0}
    >>> cover = pd.DataFrame(empty | {"cell_area_m2": 100.0}, index=["P"])
    >>> legend = pd.DataFrame({"tree_crop": [1, 0], "users_accuracy": 0.9, "users_se": 0.01}, index=[10, 80])
    >>> items = plot_potential(plots, classes, cover, legend=legend, crop=crop("coffee"),
    ...     base=own_base_yield("coffee", "HN", 1000), conversion=conversion("coffee", "green", "green"))
    >>> items.table["mean_kg"].round(3).to_dict()
    {'P': 1820.0}
    """
    ordered = plots.sort_index(kind="stable")
    if ratios is None:
        ratios = declared_ratios(ordered)
    coops, declared = ordered["cooperative_id"], (ordered["kind"] == "declared").to_numpy()
    ratio = coops.map(ratios["ratio"]).fillna(1.0).to_numpy(float)
    area = ordered["counted_area_ha"].fillna(0.0).to_numpy(float) * np.where(declared, ratio, 1.0)
    land, map_plot, uncovered = _land(ordered.index, classes, cover, legend, crop)
    land[uncovered] = _borrowed(land[~uncovered], coops[~uncovered], area[~uncovered], coops[uncovered])
    age = np.full(len(ordered), np.nan)
    if season_year is not None:
        years = ordered["planted_year"] if attributes is None else attributes["start_year"].reindex(ordered.index)
        age = np.floor(season_year - years.to_numpy(float))
    hive = crop.unit == "hive"
    told = pd.DataFrame({"density_factor": 1.0, "damage_share": 0.0}, index=ordered.index)
    if attributes is not None:
        told = attributes.reindex(ordered.index)[told.columns].fillna(told)
    table = pd.DataFrame(
        {
            "member_id": ordered["member_id"],
            "cooperative_id": coops,
            "kind": ordered["kind"],
            "area_ha": area,
            "hives": ordered["hives"].fillna(0.0).to_numpy(float) if hive else 0.0,
            "p": ordered["planted_share"].fillna(crop.planted_share).to_numpy(float),
            "g": age_factor(crop.name, age, tables=tables),
            "uncovered": uncovered,
            "age_known": np.isfinite(age),
            "planted_known": ordered["planted_share"].notna(),
            "density_factor": told["density_factor"],
            "damage_share": told["damage_share"],
        },
        index=ordered.index,
    )
    gps = (ordered["area_sd_ha"] / ordered["area_ha"]).replace([np.inf, -np.inf], np.nan).fillna(0.0).to_numpy(float)
    area_cv = np.zeros(len(table)) if hive else np.where(declared, error_cv("area"), gps)
    map_se = pd.Series({name: legend["users_se"].loc[code] for name, code in _names(land, legend).items()}, dtype=float)
    if terms is None:
        terms, _ = base_terms(ordered, crop=crop, base=base, conversion=conversion, tables=tables)
    region = country or base.country
    items = _items(
        table, land, crop, terms.loc[ordered.index], region=region, area_cv=area_cv, map_plot=map_plot, map_se=map_se
    )
    return _in_order(items, plots.index)


def declared_ratios(plots: pd.DataFrame, members: pd.DataFrame | None = None) -> pd.DataFrame:
    """Measured hectares per declared hectare in each cooperative: a ratio estimator, Σ measured / Σ declared.

    People tell more hectares than they farm (.61 in one real set). Areas that nobody measured are multiplied by the
    ratio of their cooperative. It comes from its plots that have both areas; where these are fewer than ten, from its
    members who have both (what the member tells to farm, and the sum of his or her measured plots; too low where some
    of those plots are not mapped); where these are fewer than ten too, the ratio is 1. Pairs that differ more than
    tenfold are wrong units rather than optimism and are left out.

    Parameters
    ----------
    plots : cooperative_id, member_id, kind, counted_area_ha, declared_area_ha.
    members : index member_id; cooperative_id, declared_area_ha.

    Returns
    -------
    DataFrame : index cooperative_id, sorted; ratio, pairs (number it rests on), basis ("plots", "members" or "none").

    Source: Cochran (1977), Sampling Techniques, chapter 6.

    Examples
    --------
    >>> plots = pd.DataFrame({"cooperative_id": "C", "member_id": "", "kind": "measured", "counted_area_ha": 0.6,
    ...                       "declared_area_ha": 1.0}, index=[f"P{i}" for i in range(10)])
    >>> declared_ratios(plots)["ratio"].round(3).to_dict()
    {'C': 0.6}
    """
    measured = plots[plots["kind"] == "measured"].sort_index(kind="stable")
    by_plot = _ratio(measured["cooperative_id"], measured["counted_area_ha"], measured["declared_area_ha"])
    coops = sorted(
        {*plots["cooperative_id"].unique(), *([] if members is None else members["cooperative_id"].unique())}
    )
    found = by_plot.assign(basis="plots")[by_plot["pairs"] >= MIN_PAIRS]
    if members is not None:
        owned = measured.groupby("member_id")["counted_area_ha"].sum()
        people = members.sort_index(kind="stable")
        by_member = _ratio(people["cooperative_id"], people.index.map(owned), people["declared_area_ha"])
        by_member = by_member.assign(basis="members")[by_member["pairs"] >= MIN_PAIRS]
        found = pd.concat([found, by_member[~by_member.index.isin(found.index)]])
    found = found.reindex(coops)
    return pd.DataFrame(
        {
            "ratio": found["ratio"].fillna(1.0).astype(float),
            "pairs": found["pairs"].fillna(0).astype(int),
            "basis": found["basis"].fillna("none").astype("str"),
        },
        index=pd.Index(coops, name="cooperative_id", dtype="str"),
    )


def unmapped_members(
    members: pd.DataFrame,
    items: Items,
    *,
    crop: Crop,
    base: BaseYield,
    conversion: Conversion,
    ratios: pd.DataFrame,
    country: str | None = None,
    terms: pd.DataFrame | None = None,
) -> Items:
    """Potential of the members without a usable plot: their land is a guess, shared within the cooperative.

    Area: declared area × the cooperative's ratio; where none is declared, the mean area of its members who have plots
    (else of all such members). f: area-weighted mean of the cooperative's plots. Planted share and age: the defaults.
    Honey: the member's hives, else the mean of the others. All carry the source `unmapped` and the plot errors of a
    declared plot without an outline.

    Parameters
    ----------
    members : index member_id; cooperative_id, declared_area_ha (ha, NaN where nothing is told), hives where known.
    items : of `plot_potential`.
    crop, base, conversion, country : as there.
    ratios : of `declared_ratios(plots, members)`.
    terms : of `base_terms(members, ...)`; `base` and `conversion` for every member where not given.

    Returns
    -------
    Items : index "member:<member_id>", in the order of `members`, kind "unmapped". A cooperative without any plot takes
        the mean of all members with plots; where nobody has a plot and nothing is declared the potential is 0.

    Examples
    --------
    With `items`, `members` and `ratios` at hand, the whole of a cooperative is the sum of both:

        everyone = join_items([items, unmapped_members(members, items, ...)])
    """
    without = members[~is_among(members.index, items.table["member_id"])].sort_index(kind="stable")
    if without.empty:
        return items.where(pd.Series(False, index=items.table.index))
    coops, hive = without["cooperative_id"], crop.unit == "hive"
    ground = items.table.sort_index(kind="stable")
    land = items.map_share.reindex(ground.index).mul(ground["f"], axis=0)
    land.insert(0, "f", ground["f"])
    covered = ~ground["uncovered"].astype(bool)
    area = ground["area_ha"].to_numpy(float)[covered]
    land = _borrowed(land[covered], ground["cooperative_id"][covered], area, coops)
    told = without["declared_area_ha"] * ratios["ratio"].reindex(coops).fillna(1.0).to_numpy(float)
    hives = without["hives"] if "hives" in without else pd.Series(np.nan, index=without.index)
    index = pd.Index("member:" + without.index.astype("str"), name="plot_id", dtype="str")
    table = pd.DataFrame(
        {
            "member_id": without.index.astype("str"),
            "cooperative_id": coops.to_numpy(),
            "kind": "unmapped",
            "area_ha": told.fillna(_member_mean(ground, "area_ha", coops)).to_numpy(float),
            "hives": hives.fillna(_member_mean(ground, "hives", coops)).to_numpy(float) if hive else 0.0,
            "p": crop.planted_share,
            "g": 1.0,
            "uncovered": not hive,
            "age_known": False,
            "planted_known": False,
            "density_factor": 1.0,
            "damage_share": 0.0,
        },
        index=index,
    ).astype({"kind": "str"})
    guessed = hives.isna().to_numpy() if hive else np.ones(len(table), dtype=bool)
    if terms is None:
        terms, _ = base_terms(without, crop=crop, base=base, conversion=conversion)
    made = _items(
        table,
        land.set_axis(index),
        crop,
        terms.loc[without.index].set_axis(index),
        region=country or base.country,
        area_cv=np.where(guessed, error_cv("area"), 0.0),
        map_plot=np.zeros(len(table)),
        map_se=items.map_se,
    )
    return _in_order(made, pd.Index("member:" + members.index[is_among(members.index, without.index)].astype("str")))


def _items(
    table: pd.DataFrame,
    land: pd.DataFrame,
    crop: Crop,
    terms: pd.DataFrame,
    *,
    region: str,
    area_cv: Floats,
    map_plot: Floats,
    map_se: "pd.Series[float]",
) -> Items:
    """Means and errors from the terms of each row; `land` holds f and the shares of the incompatible classes."""
    bearing = terms["bearing"].astype(bool)
    f = land["f"].to_numpy(float)
    p = table["p"].where(bearing, 1.0)
    g = table["g"].where(bearing, (table["g"] > 0).astype(float))
    productive = table["area_ha"] * f * p
    amount = table["hives"] if crop.unit == "hive" else productive
    made = table.assign(
        f=f,
        p=p,
        y=terms["y"],
        g=g,
        k=terms["k"],
        productive_ha=productive,
        mean_kg=amount * terms["y"] * g * terms["k"] * table["density_factor"] * (1.0 - table["damage_share"]),
        origin=f"{crop.name}:{region}",
        region=region,
        form_pair=terms["form_pair"],
        season="",
    )
    share = land.drop(columns="f").div(np.where(f > 0, f, np.inf), axis=0)
    cv = _errors(made, crop, terms, bearing=bearing).assign(area=area_cv, map_plot=map_plot)
    return Items(made[_ITEM_COLUMNS], cv[_sources()], share, map_se.reindex(share.columns).astype(float))


def _errors(table: pd.DataFrame, crop: Crop, terms: pd.DataFrame, *, bearing: "pd.Series[bool]") -> pd.DataFrame:
    """Relative standard deviation per source, but for `area` and `map_plot`, which each plot has of its own."""
    kind, hive = table["kind"], crop.unit == "hive"
    everyone = pd.Series(True, index=table.index)
    applies = {
        "drawn": (kind == "measured") & (not hive),
        "declared_bias": (kind == "declared") & (not hive),
        "unmapped": kind == "unmapped",
        "planted": bearing,
        "age": bearing,
        "uncovered": table["uncovered"].astype(bool),
    }
    cv = {source: applies.get(source, everyone) * error_cv(source) for source in _sources()}
    return pd.DataFrame(cv, index=table.index).assign(**terms[["base_yield", "cooperative", "conversion"]])


def _land(
    plot_ids: pd.Index, classes: pd.DataFrame, cover: pd.DataFrame, legend: pd.DataFrame, crop: Crop
) -> tuple[pd.DataFrame, Floats, npt.NDArray[np.bool_]]:
    """Land of each plot (f, share of each incompatible class, both of the covered part), map_plot cv, uncovered."""
    if not crop.incompatible:
        return pd.DataFrame({"f": 1.0}, index=plot_ids), np.zeros(len(plot_ids)), np.zeros(len(plot_ids), dtype=bool)
    legend = legend.sort_index()
    hectares = np.zeros((len(plot_ids), len(legend)))
    row, column = plot_ids.get_indexer(classes["plot_id"]), legend.index.get_indexer(classes["class"])
    known = (row >= 0) & (column >= 0)
    hectares[row[known], column[known]] = classes["area_ha"].to_numpy(float)[known]
    rest = cover.reindex(plot_ids)[["nodata_ha", "outside_ha", "unknown_ha"]].fillna(0.0).to_numpy(float)
    covered = hectares.sum(axis=1) + rest[:, 2]
    uncovered = (covered <= 0) | (rest[:, 0] + rest[:, 1] > covered)
    against = (legend[crop.incompatible] == 0).to_numpy()
    accuracy = legend["users_accuracy"].to_numpy(float)[against]
    share = hectares[:, against] / np.where(covered > 0, covered, np.inf)[:, None]
    f = 1.0 - (share * accuracy).sum(axis=1)
    cell_ha = cover["cell_area_m2"].reindex(plot_ids).to_numpy(float) / 1e4
    patches = np.fmax(1.0, hectares[:, against] / cell_ha[:, None] / PATCH_CELLS)
    spread = np.sqrt((share**2 * accuracy * (1 - accuracy) / patches).sum(axis=1))
    map_plot = np.where(uncovered | (f <= 0), 0.0, spread / np.where(f > 0, f, 1.0))
    product = str(classes["product"].iloc[0]) if len(classes) else "map"
    names = [f"{product}:{code}" for code in legend.index[against]]
    land = pd.DataFrame(share, index=plot_ids, columns=names)
    land.insert(0, "f", f)
    return land, map_plot, uncovered


def _names(land: pd.DataFrame, legend: pd.DataFrame) -> dict[str, int]:
    """Class code of each share column."""
    codes = {str(code): code for code in legend.index}
    return {name: codes[name.rpartition(":")[2]] for name in land.columns.drop("f")}


def _borrowed(land: pd.DataFrame, coops: "pd.Series[str]", area: Floats, wanted: "pd.Series[str]") -> pd.DataFrame:
    """Area-weighted mean of the plots of each cooperative in `wanted`; else of all plots; else f = 1, no shares."""
    weighted, total = land.mul(area, axis=0), pd.Series(area, index=land.index)
    everyone = (land.columns == "f").astype(float)
    if total.sum() > 0:
        everyone = (weighted.sum() / total.sum()).to_numpy(float)
    sums, areas = weighted.groupby(coops).sum(), total.groupby(coops).sum()
    means = sums[areas > 0].div(areas[areas > 0], axis=0).reindex(wanted.to_numpy())
    missing = means["f"].isna().to_numpy()[:, None]
    return pd.DataFrame(np.where(missing, everyone, means.to_numpy(float)), index=wanted.index, columns=land.columns)


def _member_mean(ground: pd.DataFrame, column: str, wanted: "pd.Series[str]") -> "pd.Series[float]":
    """Mean per member with plots, of each cooperative in `wanted`; else of all cooperatives; else 0.

    A plot that names no member stands for a member of its own.
    """
    member = ground["member_id"].where(ground["member_id"] != "", "plot:" + ground.index.astype("str"))
    each = ground.groupby([ground["cooperative_id"], member])[column].sum()
    overall = float(each.mean()) if len(each) else 0.0
    return wanted.map(each.groupby(level=0).mean()).fillna(overall).astype(float)


def _ratio(coops: "pd.Series[str]", measured: Any, declared: "pd.Series[float]") -> pd.DataFrame:
    pairs = pd.DataFrame({"measured": np.asarray(measured, dtype=float), "declared": declared, "cooperative_id": coops})
    factor = pairs["measured"] / pairs["declared"].where(pairs["declared"] > 0)
    pairs = pairs[factor.between(1 / _WRONG_UNIT, _WRONG_UNIT)]
    sums = pairs.groupby("cooperative_id")[["measured", "declared"]].sum()
    return pd.DataFrame({"ratio": sums["measured"] / sums["declared"], "pairs": pairs.groupby("cooperative_id").size()})


def _sources() -> list[str]:
    """Sources that potential has beside the map's; the delivered share is a matter of supply."""
    return [source for source in shared_by() if source != "delivered_share"]


def _in_order(items: Items, index: pd.Index) -> Items:
    rows = items.table.index.get_indexer(index)
    return Items(items.table.iloc[rows], items.cv.iloc[rows], items.map_share.iloc[rows], items.map_se)
