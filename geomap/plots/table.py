"""The table of plots: every reader ends here, so every later stage finds the same columns."""

from collections.abc import Mapping
from typing import Final

import geopandas as gpd
import pandas as pd
import shapely

from geomap.findings import Action, join_findings, make_findings
from geomap.plots.columns import PLOT_NAMES, match_columns
from geomap.plots.content import (
    Content,
    attributes,
    content_order,
    free_label,
    number_columns,
    number_rows,
    row_findings,
    text_column,
)
from geomap.plots.names import check_lookalikes
from geomap.plots.outlines import Outlines, settle, to_lonlat
from geomap.plots.row_outlines import row_outlines
from geomap.plots.utm import in_stated_zones, projected, require_degrees, require_metres

PLOT_TEXTS: Final = ("member_id", "cooperative_id", "community", "crop")
PLOT_NUMBERS: Final = ("declared_area_ha", "gps_accuracy_m", "planted_share", "planted_year", "hives")
PLOT_COLUMNS: Final = ("given_id", *PLOT_TEXTS, *PLOT_NUMBERS, "row")

LOOKED_AT: Final = {"given_id": "plot id", "member_id": "member id", "community": "community"}
"""Columns in which texts that only look alike are found, and what they are called."""


def to_plots(
    frame: pd.DataFrame,
    *,
    mapping: Mapping[str, str] | None = None,
    crs: str | None = None,
    country: str = "",
    name: str = "the table",
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """The table of plots and the findings, from a table that is already in memory.

    Parameters
    ----------
    frame : one row per plot. A GeoDataFrame in any CRS, or a DataFrame with outlines as text, with latitude and
        longitude, or with none.
    mapping : their column → our column, where the names do not tell.
    crs, country : as for `read_plots`; a GeoDataFrame has a CRS of its own.
    name : what to call the table in messages.

    Returns
    -------
    GeoDataFrame : EPSG:4326, index plot_id (unique), rows in the given order, with the columns `PLOT_COLUMNS`,
        then further attributes (numbers, or text that is "" where missing), then geometry (Polygon, MultiPolygon,
        Point or None). Numbers are NaN where missing, texts "".
    DataFrame : findings.

    Raises
    ------
    ColumnError : two columns match one name, or the mapping names what is not there.
    CrsError : a GeoDataFrame without a CRS.

    Examples
    --------
    >>> plots, findings = to_plots(pd.DataFrame({"Parcela": ["007"], "lat": [14.1], "lon": [-87.2], "ha": ["0,5"]}))
    >>> plots.index[0], float(plots["declared_area_ha"].iloc[0]), str(plots.geometry.iloc[0]), len(findings)
    ('007', 0.5, 'POINT (-87.2 14.1)', 0)
    """
    outlines = None
    if isinstance(frame, gpd.GeoDataFrame):
        if frame.crs is not None:
            require_metres(frame.geometry.to_numpy(), frame.crs, name=name)
        outlines = settle(to_lonlat(frame.geometry, name=name))
        frame = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    content = Content(number_rows(frame), name, outlines, country=country.strip().upper(), has_crs=outlines is not None)
    return plots_from(content, mapping=mapping, crs=crs)


def plots_from(
    content: Content, *, mapping: Mapping[str, str] | None = None, crs: str | None = None
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """As `to_plots`, from what a reader found."""
    frame, name = content.frame, content.name
    names = PLOT_NAMES if content.outlines is None else tuple(n for n in PLOT_NAMES if n != "outline")
    found = match_columns(
        list(frame.columns), names, mapping=mapping, file=name, labels=content.labels, hints=content.hints
    )
    outlines, used = row_outlines(content, found)
    zoned = []
    if crs is not None and not content.has_crs:
        outlines = projected(outlines, crs, name=name)
    elif not content.has_crs:
        outlines, said_zones = in_stated_zones(outlines, frame, name=name, country=content.country)
        zoned.append(said_zones)
    require_degrees(outlines, name=name, country=content.country)
    columns: dict[str, pd.Series] = {"given_id": text_column(frame, found.get("plot_id"))}
    columns |= {ours: text_column(frame, found.get(ours)) for ours in PLOT_TEXTS}
    numbers, faults = number_columns(content, found, PLOT_NUMBERS)
    columns |= numbers
    if outlines.accuracy_m is not None:
        columns["gps_accuracy_m"] = _accuracy(content, found, outlines, numbers["gps_accuracy_m"])
    columns["row"] = pd.Series(content.rows, index=frame.index, dtype="int64")
    own = {found[ours] for ours in ("plot_id", *PLOT_TEXTS, *PLOT_NUMBERS) if ours in found}
    columns |= attributes(content, found, own | used, PLOT_COLUMNS)
    table = pd.DataFrame(columns, index=frame.index)
    labels, repeated = _labels(table, outlines, name)
    plots = gpd.GeoDataFrame(table, geometry=gpd.GeoSeries(outlines.geometry, index=frame.index, crs="EPSG:4326"))
    plots.index = pd.Index(labels, name="plot_id", dtype="str")
    said = [
        *content.findings,
        *row_findings(content, labels),
        *zoned,
        repeated,
        *(part for fault in faults for part in [fault(labels)]),
    ]
    alike = [check_lookalikes(table[column], what=what, name=name) for column, what in LOOKED_AT.items()]
    return plots, join_findings([*said, *alike, *_outline_findings(plots, outlines, name)])


def _accuracy(
    content: Content, found: Mapping[str, str], outlines: Outlines, given: "pd.Series[float]"
) -> "pd.Series[float]":
    """Accuracy in metres: as a column gives it, else that of the outline's points; a form's point comes last."""
    of_points = pd.Series(outlines.accuracy_m, index=content.frame.index)
    if found.get("gps_accuracy_m") == content.hints.get("gps_accuracy_m", ""):
        return of_points.fillna(given)
    return given.fillna(of_points)


def _outline_findings(plots: gpd.GeoDataFrame, outlines: Outlines, name: str) -> list[pd.DataFrame]:
    rows, declared = plots["row"].to_numpy(), plots["declared_area_ha"].notna().to_numpy()
    parts = []
    for place, why in outlines.problems.items():
        left = "only its declared area counts" if declared[place] else "nothing of it is counted"
        message = (
            f"{name}, row {rows[place]}: the outline cannot be read: {why}. Without an outline {left}. "
            "Give it as a polygon of at least three points, or as a point."
        )
        action: Action = "kept" if declared[place] else "left_out"
        parts.append(make_findings("invalid", [plots.index[place]], message, action=action))
    for place, what in outlines.repairs.items():
        message = f"{name}, row {rows[place]}: {what}. Its area depends on it. Look at the plot on the map."
        parts.append(make_findings("repaired", [plots.index[place]], message, action="repaired"))
    return parts


def _labels(table: pd.DataFrame, outlines: Outlines, name: str) -> tuple[list[str], pd.DataFrame]:
    """One unique id per row, and the findings of ids that several rows carry."""
    given = table["given_id"].tolist()
    labels = [label or f"row-{row}" for label, row in zip(given, table["row"], strict=True)]
    shared = pd.Series(labels)[pd.Series(labels).duplicated(keep=False)]
    doubles = {
        label: shared.index.to_numpy()[places] for label, places in shared.groupby(shared, sort=True).indices.items()
    }
    taken = set(labels)
    rest = table.drop(columns="row")
    messages: dict[str, str] = {}
    for label, places in doubles.items():
        wkb = shapely.to_wkb(outlines.geometry[places], hex=True)
        order = content_order(rest.iloc[places], wkb)
        for place in places[order][1:]:
            labels[place] = free_label(str(label), taken)
            messages[labels[place]] = (
                f"{name}, row {table['row'].iloc[place]}: {len(places)} rows carry the plot id {label!r}. "
                f"One id for two plots mixes them up; this row goes on as {labels[place]!r}. "
                "Give each plot its own id, or delete the row if it is a copy."
            )
    return labels, make_findings("repeated_id", messages, messages.values())
