"""Map accuracy: a reference sample gives areas and accuracies with their errors, also on a cooperative's own ground.

Method: every figure is a ratio R = Σ y / Σ x of indicators over the sampled cells (of area: x = 1; of user's accuracy:
x = mapped so; of producer's accuracy: x = is so), so one estimator serves all: Stehman (2014). Where the strata are the
map's classes it is that of Olofsson et al. (2014), digit by digit. Cells are taken as many: no finite-population term.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap import reference
from geomap.errors import ColumnError
from geomap.findings import join_findings, make_findings
from geomap.landcover.strata import (
    IGNORANCE,
    SAMPLE_COLUMNS,
    Cells,
    Interval,
    cells_of,
    counted_points,
    ratios,
    wilson,
)

__all__ = ["SAMPLE_COLUMNS", "Accuracy", "carried_areas", "map_accuracy", "region_spread", "row_probabilities"]


@dataclass(frozen=True)
class Accuracy:
    """Areas and accuracies with their errors.

    Attributes
    ----------
    areas : index class; mapped, area, se, low, high (in the unit of the areas that were given), basis.
    users, producers : index class; estimate, se, low, high (shares 0–1; NaN, 0 and 1 where no point tells), basis.
    overall : estimate, se, low, high, basis.
    findings : strata without a sample, and strata in which all points agree.

    `basis` says how low and high came about: "normal" (estimate ± z · se) or "wilson", which has a width even where all
    points agree.
    """

    areas: pd.DataFrame
    users: pd.DataFrame
    producers: pd.DataFrame
    overall: "pd.Series[Any]"
    findings: pd.DataFrame


def map_accuracy(
    sample: pd.DataFrame, mapped: "pd.Series[float]", *, level: float = 0.95, interval: Interval = "normal"
) -> Accuracy:
    """Areas adjusted by a reference sample, and user's, producer's and overall accuracy, each with its error.

    R = Σ_h N_h ȳ_h / Σ_h N_h x̄_h,   V(R) = Σ_h N_h² s²_h(y − R x) / n_h / (Σ_h N_h x̄_h)²

    Intervals are R ± z · se, cut at 0 and 1. A stratum in which all points agree adds nothing to se, although nobody
    knows that surely: with it, limits are those of Wilson in each stratum, put together by their squares, and `basis`
    says so. A stratum of one point has the largest variance that a share can have, (1/2)². One without any point counts
    as mapped, ± half of it; accuracies are then those of the sampled ground.

    Parameters
    ----------
    sample : stratum, map_class, reference_class; points (1 where there is no such column). Without a column stratum
        the strata are the map's classes. Points are drawn at random within each stratum.
    mapped : index stratum (each once); its size in any unit: hectares, pixels, shares. Results have the same unit.
    level : of the intervals.
    interval : "wilson" gives Wilson limits throughout. With 30 points of a share of .9 they hold it in 97 of 100
        samples, the normal ones in 85.

    Raises
    ------
    ColumnError : a column or the size of a stratum is missing; a stratum that is no map class has no point.
    NumberError : a size or a number of points that cannot be.

    Source: Olofsson et al. (2014), Remote Sensing of Environment 148, eqs. 1–11; Stehman (2014), International Journal
    of Remote Sensing 35, 4923–4939; limits put together as by Zou and Donner (2008), Statistics in Medicine 27.

    Examples
    --------
    Of 10 points mapped as tree 8 are, of 10 mapped as crop 1 is tree: .8 · 60 + .1 · 40 = 52 ha.

    >>> sample = pd.DataFrame({"map_class": ["crop", "crop", "tree", "tree"], "points": [9, 1, 8, 2],
    ...                        "reference_class": ["crop", "tree", "tree", "crop"]})
    >>> found = map_accuracy(sample, pd.Series({"tree": 60.0, "crop": 40.0}))
    >>> found.areas.loc["tree", ["mapped", "area"]].round(6).tolist(), round(float(found.overall["estimate"]), 6)
    ([60.0, 52.0], 0.84)
    """
    cells = cells_of(sample, mapped)
    z = NormalDist().inv_cdf((1 + level) / 2)
    k = np.arange(len(cells.classes))[:, None]
    is_mapped, is_so, right = cells.map_class == k, cells.reference == k, cells.map_class == cells.reference
    everything = np.ones_like(is_so)
    total = float(cells.size.sum())
    areas = ratios(cells, is_so, everything, z, interval)
    areas = areas[["estimate", "se", "low", "high"]].mul(total).assign(basis=areas["basis"])
    areas.insert(0, "mapped", is_mapped @ (cells.size[cells.stratum] * cells.share))
    seen = cells.sampled()
    overall = ratios(seen, (right & seen.there)[None], everything[:1], z, interval).iloc[0]
    index = pd.Index(cells.classes, name="class")
    return Accuracy(
        areas=areas.rename(columns={"estimate": "area"}).set_index(index),
        users=ratios(seen, is_mapped & is_so, is_mapped, z, interval).set_index(index),
        producers=ratios(seen, is_mapped & is_so, is_so, z, interval).set_index(index),
        overall=overall.rename("overall"),
        findings=_findings(cells, z),
    )


def accuracy_table(found: Accuracy) -> pd.DataFrame:
    """All figures in one table: quantity (area, users, producers, overall), class ("" for overall), estimate, se, …

    Examples
    --------
    >>> sample = pd.DataFrame({"map_class": ["a", "a", "b", "b"], "reference_class": ["a", "b", "b", "b"]})
    >>> accuracy_table(map_accuracy(sample, pd.Series({"a": 1.0, "b": 3.0})))["quantity"].tolist()
    ['area', 'area', 'users', 'users', 'producers', 'producers', 'overall']
    """
    areas = found.areas.rename(columns={"area": "estimate"}).drop(columns="mapped")
    whole = found.overall.to_frame().T.set_index(pd.Index([""], name="class")).astype(found.users.dtypes.to_dict())
    parts = {"area": areas, "users": found.users, "producers": found.producers, "overall": whole}
    tables = [part.reset_index().assign(quantity=name) for name, part in parts.items()]
    table = pd.concat([one.astype({"class": "object"}) for one in tables], ignore_index=True)
    return table[["quantity", "class", "estimate", "se", "low", "high", "basis"]].astype({"quantity": "str"})


def row_probabilities(sample: pd.DataFrame, mapped: "pd.Series[float] | None" = None) -> pd.DataFrame:
    """What ground mapped as one class is: p(j|i), for each map class i the shares of the reference classes j.

    Where all points of a map class agree, the variance is that of the rule of succession, p̂(1 − p̂)/(n + 3) with
    p̂ = (x + 1)/(n + 2), and not 0.

    Parameters
    ----------
    sample : as for `map_accuracy`.
    mapped : sizes of the strata; needed only where the strata are not the map's classes.

    Returns
    -------
    DataFrame : map_class, reference_class, p (0–1), var (of sampling), points (of that map class), in this order.

    Examples
    --------
    >>> sample = pd.DataFrame({"map_class": ["tree"] * 2, "reference_class": ["tree", "crop"], "points": [9, 1]})
    >>> row_probabilities(sample)["p"].tolist()
    [0.1, 0.9]
    """
    if mapped is None:
        counted = counted_points(sample)
        if (counted["stratum"] != counted["map_class"]).any():
            raise ColumnError(
                "The strata are not the map's classes, and their sizes are not given.",
                why="Points of a large stratum stand for more ground than those of a small one.",
                todo="Give the size of each stratum.",
            )
        mapped = pd.Series(1.0, index=sorted(counted["stratum"].unique()))
    cells = cells_of(sample, mapped).sampled()
    points = np.bincount(cells.map_class, cells.count, minlength=len(cells.classes))
    known = np.flatnonzero(points)
    i, j = (np.repeat(known, len(cells.classes)), np.tile(np.arange(len(cells.classes)), len(known)))
    x = cells.map_class == i[:, None]
    found = ratios(cells, x & (cells.reference == j[:, None]), x, 1.0, "normal")
    n, p = points[i], found["estimate"].to_numpy()
    succession = (n * p + 1) / (n + 2)
    agree = (p == 0) | (p == 1)
    var = np.where(agree, succession * (1 - succession) / (n + 3), found["se"].to_numpy() ** 2)
    labels = pd.Index(cells.classes)
    return pd.DataFrame(
        {"map_class": labels[i], "reference_class": labels[j], "p": p, "var": var, "points": n.astype(np.int64)}
    )


def carried_areas(
    land: pd.DataFrame, rows: pd.DataFrame, *, spread: float | None = None, level: float = 0.95
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hectares of each class that a cooperative's ground is expected to be, whatever the map says, and findings.

    A_j = Σ_i A_i · p(j|i),   variance Σ_i A_i² [var p(j|i) + spread²]

    `spread` is by how much p(j|i) of one region differs from that of the whole sample; no more than √(p(1 − p)).
    Without it an interval from a map's global matrix held 17 of 100 truths. It is never done by ratios of adjusted to
    mapped area: on ground half of which is mapped as a rare class these gave .588 where rows give .443.
    A map class without a point counts as mapped, ± half of it. Ground without data is left out.

    Parameters
    ----------
    land : cooperative_id, class, area_ha: the table of `environment`, for one or many cooperatives. The errors of
        several are alike and do not add as squares: for their sum give them one id.
    rows : of `row_probabilities`; labels as in `land`.
    spread : .10, from the table of error sources, where not given; 0 for a sample of this very ground.

    Returns
    -------
    DataFrame : cooperative_id, class, mapped_ha, area_ha, se_ha, low_ha, high_ha; estimate ± z · se, within the ground.
    DataFrame : findings "stratum_without_sample".

    Raises
    ------
    ColumnError : none of the classes on the ground is one of the sample's.

    Examples
    --------
    50 ha mapped as tree, of which nine in ten are, 50 ha mapped as crop, of which none is tree:

    >>> sample = pd.DataFrame({"map_class": ["tree", "tree", "crop"], "points": [90, 10, 100],
    ...                        "reference_class": ["tree", "crop", "crop"]})
    >>> land = pd.DataFrame({"cooperative_id": "C1", "class": ["crop", "tree"], "area_ha": 50.0})
    >>> carried_areas(land, row_probabilities(sample))[0]["area_ha"].tolist()
    [55.0, 45.0]
    """
    if spread is None:
        spread = region_spread()
    known = land[[not _is_unmapped(label) for label in land["class"]]]
    if len(known) and not set(known["class"]) & set(rows["map_class"]):
        raise ColumnError(
            f"No class on the ground ({known['class'].iloc[0]!r}, …) is one of the sample's "
            f"({rows['map_class'].iloc[0]!r}, …).",
            why="Nothing of the sample would be used.",
            todo="Read the sample with the product, so that both name classes by their codes.",
        )
    hectares = known.pivot_table("area_ha", "cooperative_id", "class", aggfunc="sum", fill_value=0.0).sort_index()
    p, var = (rows.pivot(index="map_class", columns="reference_class", values=name) for name in ("p", "var"))
    classes = pd.Index(sorted({*p.columns, *hectares.columns}), name="class")
    missing = hectares.columns.difference(p.index)
    p = p.reindex(index=hectares.columns, columns=classes).fillna(0.0)
    var = (var + np.minimum(spread**2, p * (1 - p))).reindex(index=hectares.columns, columns=classes).fillna(0.0)
    for label in missing:
        p.loc[label, label], var.loc[label] = 1.0, IGNORANCE
    area, se = hectares.to_numpy() @ p.to_numpy(), np.sqrt(hectares.to_numpy() ** 2 @ var.to_numpy())
    reach = NormalDist().inv_cdf((1 + level) / 2) * se
    found = pd.DataFrame(
        {
            "cooperative_id": np.repeat(hectares.index.to_numpy(), len(classes)),
            "class": np.tile(classes.to_numpy(), len(hectares)),
            "mapped_ha": hectares.reindex(columns=classes, fill_value=0.0).to_numpy().ravel(),
            "area_ha": area.ravel(),
            "se_ha": se.ravel(),
            "low_ha": np.maximum(area - reach, 0.0).ravel(),
            "high_ha": np.minimum(area + reach, hectares.to_numpy().sum(axis=1)[:, None]).ravel(),
        }
    )
    return found, _unsampled(missing.tolist(), hectares[missing].sum().to_numpy())


def region_spread() -> float:
    """By how much a share of a map class in one region differs from that of the whole map: one standard deviation."""
    return float(reference.table("error_sources").set_index("source")["cv"]["map_region"])


def _findings(cells: Cells, z: float) -> pd.DataFrame:
    unanimous = np.flatnonzero(cells.tell_too_little() & (cells.points > 0))
    _, upper = wilson(np.zeros(len(cells.strata)), cells.points, z)
    texts = [
        f"All {cells.points[h]:g} points of stratum {cells.strata[h]} agree; up to {upper[h] * 100:.0f} % of it may "
        "still be something else. Standard errors count none of that, intervals (Wilson's) do."
        for h in unanimous
    ]
    empty = np.flatnonzero((cells.points == 0) & (cells.size > 0))
    return join_findings(
        [
            make_findings("samples_agree", [""] * len(texts), texts),
            _unsampled([cells.strata[h] for h in empty], cells.size[empty]),
        ]
    )


def _unsampled(labels: list[Any], sizes: npt.NDArray[Any]) -> pd.DataFrame:
    texts = [
        f"Class {label} ({size:,.6g} in size) has no sample point. It counts as mapped, give or take half of it."
        for label, size in zip(labels, sizes, strict=True)
    ]
    return make_findings("stratum_without_sample", [""] * len(texts), texts)


def _is_unmapped(label: Any) -> bool:
    """Whether a label stands for ground without data, outside the raster or of unknown codes."""
    return isinstance(label, int | np.integer) and bool(label < 0)
