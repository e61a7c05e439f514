"""What the technician's kit is made of: plots, members, findings and overlaps, each with what the others know of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import geopandas as gpd
import pandas as pd

from geomap.plots.overlap import OVERLAP_CODES, other_plot

if TYPE_CHECKING:
    from geomap.plots.prepare import Prepared
    from geomap.run import Run


@dataclass(frozen=True)
class Kit:
    """What the kit is made of.

    plots : usable plots and those left out, index plot_id; community, cooperative and member_name from the members.
    members : index member_id; name, community, cooperative_id, declared_area_ha. May be empty.
    findings : one table; other_plot_id added for overlaps.
    overlaps : plot_a, plot_b, overlap_ha.
    """

    plots: gpd.GeoDataFrame
    members: pd.DataFrame
    findings: pd.DataFrame
    overlaps: pd.DataFrame


def kit_of(source: "Run | Prepared", findings: pd.DataFrame | None = None) -> Kit:
    """The kit's tables from a run or from prepared plots; `findings` stands for all that was found, reading too."""
    members = _members(source.members)
    left_out = getattr(source, "left_out", source.plots.iloc[:0])
    overlaps = getattr(source, "overlaps", pd.DataFrame(columns=["plot_a", "plot_b", "overlap_ha"]))
    plots = pd.concat([source.plots, left_out[left_out.columns.intersection(source.plots.columns)]])
    known = members.reindex(plots["member_id"]).set_index(plots.index)
    for column in ("community", "cooperative_id"):
        own = plots[column].fillna("").astype("str")
        plots[column] = own.where(own.str.strip() != "", known[column].fillna("").astype("str"))
    plots["member_name"] = known["name"].fillna("").astype("str")
    found = source.findings if findings is None else findings
    return Kit(plots, members, _with_other_plots(found, overlaps), overlaps)


def _members(table: pd.DataFrame | None) -> pd.DataFrame:
    columns = ["name", "community", "cooperative_id", "declared_area_ha"]
    if table is None:
        return pd.DataFrame(columns=columns, index=pd.Index([], name="member_id", dtype="str"))
    if "id" in table and table.index.name != "member_id":
        table = table.set_index("id").rename_axis("member_id")
    return table.reindex(columns=columns).assign(
        **{column: table[column].fillna("") if column in table else "" for column in columns[:3]}
    )


def _with_other_plots(findings: pd.DataFrame, overlaps: pd.DataFrame) -> pd.DataFrame:
    near: dict[str, list[str]] = {}
    for a, b in zip(overlaps["plot_a"], overlaps["plot_b"], strict=True):
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    others = [
        other_plot(message, plot, near.get(plot, [])) if code in OVERLAP_CODES else ""
        for plot, code, message in zip(findings["plot_id"], findings["code"], findings["message"], strict=True)
    ]
    return findings.assign(other_plot_id=pd.Series(others, index=findings.index, dtype="str"))
