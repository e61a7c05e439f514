"""The report's section on other land-cover maps beside that of the run, and the columns of its tables."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

if TYPE_CHECKING:
    from geomap.supply.choice_of_map import OtherMaps

_SHOWN: Final = 30

OTHER_MAPS_DOCS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "choice_of_map.csv": {
        "cooperative_id": ("", "The cooperative; 'all' for the sum"),
        "product": ("", "The land-cover product; that of the run stands first"),
        "year": ("year", "Year that the map shows"),
        "productive_ha": ("ha", "Ground that can bear the crop by this map, without members who have no plot"),
        "potential_kg": ("kg", "Mean of what the land can bear in a season, by this map"),
        "potential_p10_kg": ("kg", "Low case: 1 of 10 seasons is below"),
        "potential_p50_kg": ("kg", "Middle case: half of the seasons are below"),
        "potential_p90_kg": ("kg", "High case: 1 of 10 seasons is above"),
        "ratio": ("", "Potential by this map divided by that by the run's own"),
        "ratio_low": ("", "Lower limit of the ratio, 95 % interval of the errors of the two maps"),
        "ratio_high": ("", "Upper limit of the ratio"),
        "verdict": ("", "the run's map, higher, lower, or not different where the interval holds 1"),
    },
    "land_by_map.csv": {
        "cooperative_id": ("", "The cooperative"),
        "product": ("", "The land-cover product"),
        "year": ("year", "Year that the map shows"),
        "group": ("", "trees, other_bearing, not_bearing or not_known"),
        "area_ha": ("ha", "Ground of the measured plots in this group"),
        "share": ("0–1", "Share of the measured plots' ground"),
    },
    "map_agreement.csv": {
        "plot_id": ("", "The plot"),
        "compared_ha": ("ha", "Ground that all maps know"),
        "agreement": ("0–1", "Share of it on which all maps say the same of whether it can bear the crop"),
        "agreement_low": ("0–1", "Lower limit; the same as the agreement where that is known"),
        "agreement_high": ("0–1", "Upper limit"),
        "basis": ("", "areas (they alone settle it), overlay (measured) or bounds; empty without an outline"),
    },
}
"""File → column → unit and meaning."""


def other_maps_tables(found: "OtherMaps | None") -> Iterator[tuple[str, pd.DataFrame]]:
    """File name and table of each; none where there is one map alone."""
    if found is not None:
        yield "choice_of_map.csv", found.choice
        yield "land_by_map.csv", found.several.areas
        yield "map_agreement.csv", found.several.agreement.rename_axis("plot_id").reset_index()


def other_maps_section(found: "OtherMaps | None", told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the partial template `other_maps.html.jinja` shows; None where there is one map alone.

    Parameters
    ----------
    told : sentences of `OtherMaps.told`.

    Examples
    --------
    >>> other_maps_section(None, None) is None
    True
    """
    if found is None or told is None:
        return None
    from geomap.landcover.several import GROUPS

    titles = {name: one.title for name, one in found.several.products.items()}
    order = list(dict.fromkeys(found.choice["product"]))
    land = _land(found.several.areas, order)
    ids = [one for one in dict.fromkeys(found.choice["cooperative_id"]) if one != "all"]
    shown = (ids if len(ids) == 1 else ["all", *ids])[: _SHOWN + 1]
    groups = [
        {
            "id": "All together" if one == "all" else one,
            "maps": [
                {**row, "title": titles[row["product"]], "land": land.get((one, row["product"]))}
                for row in found.choice[found.choice["cooperative_id"] == one].to_dict("records")
            ],
        }
        for one in shown
    ]
    return {
        "own": titles[order[0]],
        "others": [titles[name] for name in order[1:]],
        "group_titles": list(GROUPS.values()),
        "agreement": told["agreement"],
        "choice": _sentence(told["choice"]),
        "rows": groups,
        "size": len(ids) + (len(ids) > 1),
    }


def _sentence(told: list[str]) -> str:
    """What the choice does to the sum, without its name: the sentence of "all" stands last."""
    words = told[-1].partition(": ")[2] if told else ""
    return words[:1].upper() + words[1:]


def _land(areas: pd.DataFrame, order: list[str]) -> dict[tuple[str, str], list[float]]:
    """Shares of the groups by cooperative and map; "all" is the sum of the cooperatives."""
    from geomap.landcover.several import GROUPS

    whole = areas.groupby(["product", "group"], as_index=False)["area_ha"].sum().assign(cooperative_id="all")
    both = pd.concat([areas, whole], ignore_index=True)
    table = both.pivot_table("area_ha", ["cooperative_id", "product"], "group", aggfunc="sum", fill_value=0.0)
    table = table.reindex(columns=list(GROUPS), fill_value=0.0)
    shares = table.div(table.sum(axis=1).where(lambda total: total > 0), axis=0)
    return {
        (str(one), str(name)): row for (one, name), row in zip(shares.index, shares.to_numpy().tolist(), strict=True)
    }
