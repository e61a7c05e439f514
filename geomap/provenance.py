"""Where a run's numbers come from: parameters, assumptions, versions, inputs and what a reader must know."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from geomap import __version__
from geomap.errors import FileError
from geomap.landcover.product import Product
from geomap.supply import crops
from geomap.supply.choice import Choice

if TYPE_CHECKING:
    from geomap.supply.brought import Evidence
    from geomap.supply.outlook import Outlook

LIBRARIES: Final = ("geopandas", "numba", "numpy", "pandas", "pyproj", "rasterio", "shapely")

MOST_TIMES: Final = 4.0
"""Supply beyond so many times the potential is a wrong unit rather than a good harvest."""

FEW_BRING: Final = 0.3
"""Below this share of members with deliveries, the list is likely to be of some of them only."""

EVIDENCE: Final = "country averages"


def parameters(chosen: Choice, product: Product, by: Sequence[str]) -> dict[str, Any]:
    return {
        "crop": chosen.crop.name,
        "country": chosen.country,
        "country_name": crops.country_name(chosen.country),
        "form": chosen.conversion.to_form,
        "form_title": chosen.form_title,
        "product": product.name,
        "product_title": product.title,
        "season": chosen.season,
        "by": list(by),
    }


def assumptions(
    chosen: Choice, product: Product, ratios: pd.DataFrame, learned: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, str]]:
    """The numbers that were not measured, with support and source.

    Parameters
    ----------
    ratios : of declared areas, of the cooperatives that use one.
    learned : what a local sample says of classes, of `local_classes`; it stands for the product's own accuracy.
    """
    base, conversion = chosen.base, chosen.conversion
    unit = "hive" if base.basis == "hive" else f"{base.basis} hectare"
    rows = [
        {
            "term": "base yield",
            "value": f"{base.kg_ha:,.6g} kg of {base.form} per {unit} and year ({crops.country_name(base.country)})",
            "support": base.support,
            "source": base.source,
        }
    ]
    if conversion.from_form != conversion.to_form:
        text = f"{conversion.factor:.4g} kg of {conversion.to_form} from 1 kg of {conversion.from_form}"
        rows.append({"term": "conversion", "value": text, "support": conversion.support, "source": conversion.source})
    here = [one["class"] for one in learned]
    against = product.legend[(product.legend["tree_crop"] == 0) & ~product.legend.index.isin(here)]
    if chosen.crop.incompatible:
        rows.append(
            {
                "term": "land that cannot bear the crop",
                "value": ", ".join(
                    f"{row['name']} ({row['users_accuracy']:.0%} right)" for _, row in against.iterrows()
                ),
                "support": "medium",
                "source": f"{product.title}: legend and user's accuracy",
            }
        )
    if learned:
        told = [f"{one['cannot_bear']:.0%} of {one['name'].lower()} (± {one['se']:.0%})" for one in learned]
        rows.append(
            {
                "term": "land that cannot bear the crop, looked at here",
                "value": ", ".join(told),
                "support": "strong",
                "source": f"{sum(one['points'] for one in learned)} points of a local sample",
            }
        )
    for coop, row in ratios[ratios["basis"] != "none"].iterrows():
        rows.append(
            {
                "term": f"declared areas of {coop}",
                "value": f"taken as {row['ratio']:.2f} of what is declared",
                "support": "medium",
                "source": f"measured against declared hectares of {row['pairs']} {row['basis']}",
            }
        )
    return rows


def local_classes(legend: pd.DataFrame) -> list[dict[str, Any]]:
    """What a local sample says of each class it was enough for: share that cannot bear the crop, and its error.

    Examples
    --------
    >>> local_classes(pd.DataFrame({"name": ["Cropland"]}, index=[40]))
    []
    """
    if "local_se" not in legend:
        return []
    return [
        {
            "class": int(code),
            "name": str(row["name"]),
            "points": int(row["points"]),
            "cannot_bear": round(float(row["users_accuracy"]), 4),
            "se": round(float(row["local_se"]), 4),
        }
        for code, row in legend[legend["local_se"].notna()].iterrows()
    ]


def ruled_out(legend: pd.DataFrame) -> list[dict[str, Any]]:
    """Share of each class that counts as ground which cannot bear a tree crop, and why so much."""
    told = {one["class"]: f"of {one['points']} points looked at" for one in local_classes(legend)}
    against = legend.loc[legend["tree_crop"] == 0, "users_accuracy"]
    return [
        {"class": int(code), "share": float(share), "why": told.get(int(code), "how often the map is right there")}
        for code, share in against.items()
    ]


def warnings(chosen: Choice, monthly: pd.DataFrame, members: pd.DataFrame | None) -> list[str]:
    """What a reader of the numbers must know, in words."""
    told = []
    if chosen.base.fallback:
        told.append(
            f"No base yield of {chosen.crop.title} in {crops.country_name(chosen.country)} is known: the world's mean "
            f"of {chosen.base.kg_ha:,.0f} kg stands in. Give your own with --base-yield."
        )
    if members is None:
        told.append("No members file was given: members without a plot are not counted.")
    if chosen.season is None:
        told.append(
            "No season was given: ages of plantings are not used and there are no months. Give --season 2026/27."
        )
    elif monthly.empty:
        told.append(f"No harvest calendar of {chosen.crop.title} in {crops.country_name(chosen.country)} is known.")
    return told


def versions() -> dict[str, str]:
    return {"geomap": __version__, "python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def described(role: str, path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileError(f"There is no file {path.name}.", todo=f"Check the path of the {role.replace('_', ' ')}.")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"role": role, "name": path.name, "sha256": digest, "bytes": path.stat().st_size}


def unheard(evidence: "Evidence | None", outlook: "Outlook | None") -> list[str]:
    """What was brought and could not be used, in words."""
    if evidence is not None and outlook is None:
        return ["No season is known, so nothing was made of contracts, settings and estimates: give --season."]
    if outlook is None:
        return []
    lost = [f"{row.cooperative_id}, {row.season}: {row.reason}" for row in outlook.calibration.left_out.itertuples()]
    words = [f"Deliveries that teach nothing: {'; '.join(lost[:5])}{' …' if len(lost) > 5 else ''}."] if lost else []
    table = outlook.cooperatives
    much = table.index[(table["supply_kg"] > MOST_TIMES * table["potential_kg"]).to_numpy(bool)]
    if len(much):
        words.append(
            f"The supply of {_some(much)} is more than {MOST_TIMES:.0f} times what the land bears: check the unit and "
            "the product form of the deliveries before anything else."
        )
    if outlook.history is not None:
        people = outlook.history.members
        brought = (people["delivered_kg"] > 0).groupby([people["cooperative_id"], people["season"]]).mean()
        few = brought[brought < FEW_BRING].index.get_level_values(0).unique()
        if len(few):
            words.append(
                f"In {_some(few)} few members have deliveries, and the others count as if they had brought nothing. If "
                "the file holds only some of the members, give the sum of the cooperative instead."
            )
    if outlook.has_supply and outlook.calibration.cooperatives["supply_kg"].isna().any():
        words.append("Some cooperatives have no evidence of supply; sums over all of them stay empty.")
    return words


def _some(names: "pd.Index") -> str:
    return ", ".join(map(str, names[:5])) + (" …" if len(names) > 5 else "")


def rests_on(outlook: "Outlook | None") -> str:
    """What the supply rests on, cooperative by cooperative, in words; country averages without any."""
    if outlook is None or not outlook.has_supply:
        return EVIDENCE
    return ", ".join(sorted(set(outlook.calibration.cooperatives["evidence"]) - {"none"}))
