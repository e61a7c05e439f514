"""What a sample of one's own ground says of a map: the share of each class that bears no crop.

How it enters potential: f = 1 − Σ share of class × share of it that bears none. The product's legend holds the second
factor for the classes that bear no crop (their user's accuracy); `local_shares` gives a legend with those that were
learned, and `local_map_share` makes their error that of the sample.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError
from geomap.findings import join_findings, make_findings
from geomap.landcover.accuracy import region_spread
from geomap.landcover.product import Product
from geomap.landcover.reference_sample import class_codes
from geomap.plots.columns import match_columns, name_key
from geomap.plots.intake import take_in_table

LOCAL_COLUMNS: Final = ["map_class", "reference_class", "can_bear"]
"""Columns of a local sample, index point_id: class codes (reference_class NA where not told), and yes or no."""

LEAST_POINTS: Final = 5
"""Fewest points of a class from which its share is learned: one bad point of one would rule out half of it."""

NEAREST_TO_SURE: Final = 0.02
"""Shares expected below this, or above 1 less this, cannot differ by .10 between regions; they are moved to it."""

LEAST_PRIOR: Final = 0.5
"""Points that the map's own accuracy weighs at least, however wide the spread."""

_NAMES: Final = ("point_id", "map_class", "reference_class", "can_bear")
_YES: Final = frozenset({"yes", "y", "true", "1", "x", "si", "s", "oui", "sim", "ya", "ndiyo"})
_NO: Final = frozenset({"no", "n", "false", "0", "non", "nao", "tidak", "hapana"})


def read_local_sample(
    path: str | Path, product: Product, *, mapping: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The filled sheet of a sample plan: what was found at each point, and findings.

    A point counts where somebody wrote what is there (`reference_class`, a name or code of the legend) or whether the
    crop can grow there (`can_bear`, yes or no). Points without an answer are left out and said ("points_not_visited");
    words that cannot be read count as missing ("unreadable_value"), and so does the map's class where it is unknown.

    Raises
    ------
    FileError : the file cannot be read. ColumnError : it has no column map_class, or none to fill in.

    Returns
    -------
    DataFrame : index point_id; `LOCAL_COLUMNS`. Where can_bear is not told, the class that was found tells it.
    DataFrame : findings.
    """
    path = Path(path)
    cells, _, said = take_in_table(path, _NAMES)
    found = match_columns([str(column) for column in cells.columns], _NAMES, mapping=mapping, file=path.name)
    if "map_class" not in found or not {"reference_class", "can_bear"} & set(found):
        raise ColumnError(
            f"{path.name} is no sheet of a sample; it has: {', '.join(map(str, cells.columns))}.",
            why="What the map says and what was found there must be known of each point.",
            todo="Fill in the sheet as it was written: columns map_class, and reference_class or can_bear.",
        )
    known = class_codes(product)
    text = {name: cells[found[name]] if name in found else pd.Series("", index=cells.index) for name in _NAMES}
    bears = product.legend["tree_crop"] == 1
    map_class, faults = _read_words(text["map_class"], "map_class", known.get, path.name)
    reference, more = _read_words(text["reference_class"], "reference_class", known.get, path.name)
    answers, rest = _read_words(text["can_bear"], "can_bear", _yes_or_no, path.name)
    can_bear = [
        answer if answer is not None else None if code is None else bool(bears[code])
        for answer, code in zip(answers, reference, strict=True)
    ]
    ids = [text["point_id"][row] or f"row {row}" for row in cells.index]
    table = pd.DataFrame(
        {
            "map_class": pd.array(map_class, dtype="Int64"),
            "reference_class": pd.array(reference, dtype="Int64"),
            "can_bear": pd.array(can_bear, dtype="boolean"),
        },
        index=pd.Index(ids, name="point_id", dtype="str"),
    )
    silent = table["can_bear"].isna() & ~table.index.isin([ids[place] for place in (*faults, *more, *rest)])
    notes = [_not_visited(list(table.index[silent]), len(table), path.name)]
    notes += [make_findings("unreadable_value", [""] * len(each), each.values()) for each in (faults, more, rest)]
    told = table.dropna(subset=["map_class", "can_bear"])
    again = told.index.duplicated()
    if again.any():
        named = ", ".join(sorted(set(told.index[again]))[:5])
        twice = f"{path.name}: {again.sum()} answers are of points that have one already ({named}). The first counts."
        notes.append(make_findings("repeated_id", [""], twice))
    return told[~again], join_findings([said, *notes])


def _yes_or_no(key: str) -> bool | None:
    return True if key in _YES else False if key in _NO else None


def _read_words(
    words: "pd.Series[str]", column: str, meaning: Callable[[str], Any], file: str
) -> tuple[list[Any], dict[int, str]]:
    """What each cell means, None where it is empty or not understood, and position → what is wrong."""
    keys = [name_key(word) for word in words]
    meant = [meaning(key) if key else None for key in keys]
    faults = {
        place: f"{file}, row {words.index[place]}: {column} holds {words.iloc[place][:60]!r}, which is not known. "
        "It counts as missing."
        for place, (key, value) in enumerate(zip(keys, meant, strict=True))
        if key and value is None
    }
    return meant, faults


def _not_visited(ids: Sequence[str], points: int, file: str) -> pd.DataFrame:
    if not ids:
        return make_findings("points_not_visited", [], [])
    named = ", ".join(ids[:5]) + (", …" if len(ids) > 5 else "")
    text = f"{file}: {len(ids)} of {points} points have no answer ({named}). They were left out."
    return make_findings("points_not_visited", [""], text)


def local_shares(
    sample: pd.DataFrame, product: Product, *, spread: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The product's legend with the share of each class that bears no crop learned from a local sample; and findings.

    p̃ = (x + κ p) / (n + κ),   κ = p(1 − p) / spread² − 1,   se² = p̃ (1 − p̃) / (n + κ + 1)

    of n points mapped as a class, x of which cannot bear the crop; p is what the map's own accuracy says: the user's
    accuracy of a class that bears none, 0 of one that may. For p = 2/3 the errors are .100, .055 and .043 with 0, 50
    and 100 points. A class with fewer than 5 points stays as it was.

    Parameters
    ----------
    sample : map_class, can_bear: as `read_local_sample` returns it. Points are drawn at random within each class.
    product : whose legend it is.
    spread : of p between regions, one standard deviation; .10 from the table of error sources where not given.

    Returns
    -------
    DataFrame : the columns of `product.legend`, ready to take its place: in a class that was learned tree_crop is 0,
        users_accuracy is p̃ (the share to be taken off) and users_se is 0, because its whole error is local. Beside
        them points, local_se, and region_factor = local_se / .10 (1 where nothing was learned), by which the class's
        `map_share` is to be multiplied, so that the error of the region becomes that of the sample.
    DataFrame : findings "samples_agree" and "stratum_without_sample" (too few points).

    Examples
    --------
    WorldCover is right about built-up land in 65.9 of 100 cases; here in 10 of 50 only: (10 + 21.47 · .659) / 71.47.

    >>> from geomap.landcover.product import product
    >>> sample = pd.DataFrame({"map_class": 50, "can_bear": [False] * 10 + [True] * 40})
    >>> legend, _ = local_shares(sample, product("esa-worldcover-2021"))
    >>> legend.loc[50, ["users_accuracy", "local_se", "region_factor"]].astype(float).round(3).tolist()
    [0.338, 0.056, 0.556]
    """
    usual = region_spread()
    spread, legend = usual if spread is None else spread, product.legend
    each = sample.assign(bad=~sample["can_bear"].astype(bool)).groupby(sample["map_class"].astype(np.int64))["bad"]
    n, x = (series.reindex(legend.index).fillna(0.0) for series in (each.size().astype(float), each.sum()))
    expected = legend["users_accuracy"].where(legend["tree_crop"] == 0, 0.0).fillna(0.5)
    p = expected.clip(NEAREST_TO_SURE, 1 - NEAREST_TO_SURE)
    kappa = (p * (1 - p) / spread**2 - 1).clip(lower=LEAST_PRIOR)
    share = (x + kappa * p) / (n + kappa)
    se = np.sqrt(share * (1 - share) / (n + kappa + 1))
    learned = n >= LEAST_POINTS
    found = legend.assign(
        tree_crop=legend["tree_crop"].mask(learned, 0),
        users_accuracy=legend["users_accuracy"].mask(learned, share),
        users_se=legend["users_se"].mask(learned, 0.0),
        points=n.astype(np.int64),
        local_se=se.where(learned),
        region_factor=(se / usual).where(learned, 1.0),
    )
    return found, _local_findings(found, x, learned)


def local_map_share(map_share: pd.DataFrame, legend: pd.DataFrame) -> pd.DataFrame:
    """Shares by which items carry a map's error, each times its class's `region_factor`: the error of a local sample.

    Items carry share · .10 of their region's error for each class (`Items.map_share`); with a local sample it is
    share · local_se instead. A legend without local shares leaves all as they are.

    Parameters
    ----------
    map_share : columns "<product>:<class>". legend : of `local_shares`, or a product's own.

    Examples
    --------
    >>> legend = pd.DataFrame({"region_factor": [0.5]}, index=[50])
    >>> local_map_share(pd.DataFrame({"map:50": [0.2], "map:80": [0.1]}), legend).values.tolist()
    [[0.1, 0.1]]
    """
    if "region_factor" not in legend:
        return map_share
    by_code = {str(code): float(factor) for code, factor in legend["region_factor"].items()}
    factors = [by_code.get(str(column).rpartition(":")[2], 1.0) for column in map_share.columns]
    return map_share.mul(factors, axis=1)


def _local_findings(found: pd.DataFrame, x: "pd.Series[float]", learned: "pd.Series[bool]") -> pd.DataFrame:
    agree = found[learned & ((x == 0) | (x == found["points"]))]
    few = found[~learned & (found["points"] > 0)]
    said = [
        f"All {points} points mapped as {name} agree. {share:.1%} ± {se:.1%} of this class is taken to bear no crop."
        for name, points, share, se in agree[["name", "points", "users_accuracy", "local_se"]].itertuples(index=False)
    ]
    left = [
        f"{name} has {points} points, fewer than {LEAST_POINTS}. The map's own accuracy stands for it."
        for name, points in few[["name", "points"]].itertuples(index=False)
    ]
    return join_findings(
        [
            make_findings("samples_agree", [""] * len(said), said),
            make_findings("stratum_without_sample", [""] * len(left), left),
        ]
    )
