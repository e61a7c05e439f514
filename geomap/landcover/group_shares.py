"""Share of a group of classes, such as trees, on the ground of cooperatives: with its errors, so that they compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.landcover.accuracy import region_spread
from geomap.landcover.product import Product

PAIR_COLUMNS: Final = ["measure", "cooperative_a", "cooperative_b", "difference", "low", "high", "verdict"]
ROW_COLUMNS: Final = ["map_class", "reference_class", "p", "var", "points"]

MOST_PAIRED: Final = 60
"""Cooperatives up to which each is compared with each."""

_LEVEL: Final = 0.95
_Z: Final = NormalDist().inv_cdf((1 + _LEVEL) / 2)
_HALF: Final = 0.5

Floats: TypeAlias = npt.NDArray[np.float64]


def published_rows(
    product: Product, ground: "pd.Series[float]", labels: Mapping[Any, Any] | None = None
) -> pd.DataFrame:
    """What ground mapped as each class is, p(j|i), from published accuracies: the rows that `carried_areas` takes.

    p(i|i) = U_i, the user's accuracy. The rest, 1 − U_i, is shared out among the other classes on the ground by
    w_j = a_j U_j (1 − P_j) / P_j, what the map omits of them (P: producer's accuracy; a: hectares on the ground);
    evenly where nothing of that is known. Weak: how wrong ground is shared out is not published. Of ground that is all
    of one class the wrong part stays in no class.

    Parameters
    ----------
    ground : index class, hectares; the classes among which wrong ground is shared out.
    labels : class → label of a group (its reference class); the classes themselves where not given.

    Returns
    -------
    DataFrame : map_class, reference_class, p, var (of sampling), as `row_probabilities` returns it; classes without a
        published user's accuracy have no rows.

    Source: quasi-independence, Goodman (1968), Journal of the American Statistical Association 63, 1091–1131.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> rows = published_rows(product("esa-worldcover-2021"), pd.Series({10: 5.0, 40: 1.0}))
    >>> rows.loc[rows["map_class"] == 10, "p"].round(6).tolist()
    [0.8, 0.2]
    """
    legend = product.legend.loc[product.legend["users_accuracy"].notna()]
    there = ground[[code in legend.index and area > 0 for code, area in ground.items()]].sort_index()
    classes = list(there.index)
    users, se, producers = (
        legend.loc[classes, name].to_numpy(float) for name in ("users_accuracy", "users_se", "producers_accuracy")
    )
    groups = classes if labels is None else sorted(set(labels.values()))
    named = classes if labels is None else [labels[code] for code in classes]
    member = np.array([[label == group for group in groups] for label in named], dtype=float)
    omitted = there.to_numpy(float) * np.nan_to_num(users * (1 - producers) / np.where(producers > 0, producers, 1.0))
    rows = []
    for i, code in enumerate(classes):
        to = _shared_out(omitted, i) @ member
        p, slope = users[i] * member[i] + (1 - users[i]) * to, member[i] - to
        row = {"map_class": code, "reference_class": groups, "p": p, "var": (se[i] * slope) ** 2, "points": 0}
        rows.append(pd.DataFrame(row))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=ROW_COLUMNS)


def _shared_out(omitted: Floats, own: int) -> Floats:
    """Parts of the ground wrongly mapped as the class `own` that the others get; they add up to 1, or there is none."""
    others = np.arange(len(omitted)) != own
    weights = np.where(others, omitted, 0.0)
    weights = weights if weights.sum() > 0 else others.astype(np.float64)
    parts: Floats = weights / weights.sum() if weights.sum() > 0 else weights
    return parts


@dataclass(frozen=True)
class GroupShares:
    """Share of a group of classes on the known ground of each cooperative, with its errors apart.

    Attributes
    ----------
    measure : what it is called.
    ids : (n,) cooperatives, sorted.
    mapped, estimate : (n,) shares 0–1, as the map shows and as its published accuracy makes of it.
    shared : (n, classes) what one standard error of each class's published accuracy does: the same for all.
    own_var : (n,) variance of the cooperative's own, from how the accuracy of a region differs from the map's, and of
        sampling where the ground was seen at places.
    places : (n,) of these, NaN where all ground was seen.
    has_accuracy : whether an accuracy of the product is published.
    """

    measure: str
    ids: list[str]
    mapped: Floats
    estimate: Floats
    shared: Floats
    own_var: Floats
    places: Floats
    has_accuracy: bool

    @classmethod
    def of(cls, measure: str, mix: pd.DataFrame, product: Product, group: set[Any]) -> "GroupShares":
        """From the land cover of cooperatives, as `environment` returns it.

        share = Σ over classes i of a_i q_i, with a_i the mapped share of the known ground and q_i what part of ground
        mapped as i is in the group (`published_rows`). A class without a published accuracy counts as mapped, give or
        take half of it. Where `mix` has a column `places`, p (1 − p) / places is the variance of sampling.
        """
        known = mix[mix["class"].isin(product.legend.index)]
        hectares = known.pivot_table("area_ha", "cooperative_id", "class", aggfunc="sum", fill_value=0.0).sort_index()
        share = hectares.div(hectares.sum(axis=1), axis=0).to_numpy(float)
        classes = hectares.columns
        rows = published_rows(product, hectares.sum(), {code: code in group for code in product.legend.index})
        inside = rows[rows["reference_class"].astype(bool)].set_index("map_class")
        q, var = (inside[name].astype(float).reindex(classes).to_numpy() for name in ("p", "var"))
        users = product.legend["users_accuracy"].astype(float).reindex(classes).to_numpy()
        as_mapped = np.array([code in group for code in classes], dtype=float)
        told, mapped = np.isfinite(q), share @ as_mapped
        places = (
            known.groupby("cooperative_id")["places"].first().reindex(hectares.index).to_numpy(float)
            if "places" in known
            else np.full(len(hectares), np.nan)
        )
        drawn = np.where(np.isfinite(places), mapped * (1 - mapped) / np.maximum(places, 1.0), 0.0)
        deviation = np.where(told, np.minimum(region_spread(), np.sqrt(users * (1 - users))), _HALF)
        return cls(
            measure=measure,
            ids=[str(one) for one in hectares.index],
            mapped=mapped,
            estimate=share @ np.where(told, q, as_mapped),
            shared=share * np.sqrt(np.where(told, var, 0.0)),
            own_var=share**2 @ deviation**2 + drawn,
            places=places,
            has_accuracy=bool(told.any()),
        )

    def table(self) -> pd.DataFrame:
        """cooperative_id, measure, unit, mapped, estimate, low, high, interval, basis."""
        known = self.has_accuracy
        reach = _Z * np.sqrt((self.shared**2).sum(axis=1) + self.own_var)
        return pd.DataFrame(
            {
                "cooperative_id": pd.Series(self.ids, dtype="str"),
                "measure": self.measure,
                "unit": "share",
                "mapped": self.mapped,
                "estimate": self.estimate,
                "low": np.maximum(self.estimate - reach, 0.0) if known else np.nan,
                "high": np.minimum(self.estimate + reach, 1.0) if known else np.nan,
                "interval": "95 % interval" if known else "none: no accuracy is published",
                "basis": [
                    ("published accuracy of the map" if known else "the map as it is")
                    + (f"; seen at places worth {count:,.0f} drawn at random" if np.isfinite(count) else "")
                    for count in self.places
                ],
            }
        )

    def pairs(self) -> pd.DataFrame:
        """Each two cooperatives, a before b: difference a − b, its interval of 95 %, and a verdict.

        Shared errors enter by their difference, own ones both. None without an accuracy, or for more than
        `MOST_PAIRED` cooperatives.
        """
        rows: list[tuple[Any, ...]] = []
        if self.has_accuracy and len(self.ids) <= MOST_PAIRED:
            for a, b in combinations(range(len(self.ids)), 2):
                difference = self.estimate[a] - self.estimate[b]
                shared = ((self.shared[a] - self.shared[b]) ** 2).sum()
                reach = _Z * np.sqrt(shared + self.own_var[a] + self.own_var[b])
                low, high = difference - reach, difference + reach
                verdict = "a higher" if low > 0 else "b higher" if high < 0 else "not different"
                ends = max(low, -1.0), min(high, 1.0)
                rows.append((self.measure, self.ids[a], self.ids[b], difference, *ends, verdict))
        return pd.DataFrame(rows, columns=PAIR_COLUMNS)
