"""Unit and meaning of what the service's lists hold; those of a run's tables are `COLUMN_DOCS`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Row = Mapping[str, Any]
Docs = Mapping[str, tuple[str, str]]
"""Column → unit ("" where it has none) and meaning."""

_WHEN: Final = ("seconds since 1970-01-01", "When it was made, by the clock of the store")
_VERSION: Final = ("", "Counts its changes; stands in the ETag")

COOPERATIVE: Final[Docs] = {
    "cooperative_id": ("", "Its id in addresses"),
    "code": ("", "The name that stands in files as cooperative_id"),
    "name": ("", "Its name"),
    "country": ("", "Where its plots lie"),
    "crop": ("", "What it is estimated for where a run names no crop"),
    "settings": ("as in a settings file", "What it is asked once"),
    "version": _VERSION,
    "created_at": _WHEN,
}
MEMBER: Final[Docs] = {
    "member_id": ("", "The member's id in the cooperative's own files"),
    "name": ("", "The member's name"),
    "phone": ("", "The member's telephone"),
    "community": ("", "Village or section"),
    "declared_area_ha": ("ha", "Area as declared"),
    "attributes": ("", "All other columns as given"),
    "version": _VERSION,
    "created_at": _WHEN,
}
CONSENT: Final[Docs] = {
    "member_id": ("", "The member"),
    "purpose": ("", "mapping, analysts or buyers"),
    "given": ("", "Whether the member agrees; the last row of a purpose counts"),
    "created_at": _WHEN,
}
PLOT: Final[Docs] = {
    "plot_id": ("", "The plot's id in the cooperative's own files"),
    "member_id": ("", "The member who farms it"),
    "community": ("", "Village or section"),
    "crop": ("", "The crop it is declared for; empty where nobody says"),
    "declared_area_ha": ("ha", "Area as declared"),
    "gps_accuracy_m": ("m", "GPS accuracy: 68 % of the fixes are nearer"),
    "area_ha": ("ha", "Geodesic area of the outline; null for a point"),
    "attributes": ("", "All other columns as given"),
    "version": _VERSION,
    "created_at": _WHEN,
    "geometry": ("degrees", "Longitude and latitude (EPSG:4326)"),
}
HISTORY: Final[Docs] = {
    **PLOT,
    "ended_at": ("seconds since 1970-01-01", "When the next version took its place; null: it stands today"),
    "import_id": ("", "The import that brought it; null: it was sent by itself"),
}
ANALYST_PLOT: Final[Docs] = {
    "plot_id": ("", "Stands for the plot; leads back to nobody"),
    "member_id": ("", "Stands for the member; leads back to nobody"),
    **{name: PLOT[name] for name in ("crop", "declared_area_ha", "gps_accuracy_m", "area_ha")},
    "attributes": ("", "Those of planted_share, planted_year, hives, altitude_m, certification and variety it has"),
    "geometry": PLOT["geometry"],
}
ANALYST_ATTRIBUTES: Final = ("planted_share", "planted_year", "hives", "altitude_m", "certification", "variety")
"""What an analyst sees of a plot's further columns."""
IMPORT: Final[Docs] = {
    "import_id": ("", "Its id in addresses"),
    "kind": ("", "What it is about"),
    "file_name": ("", "The name it was sent under"),
    "sha256": ("", "Of its bytes"),
    "bytes": ("bytes", "Its size"),
    "rows": ("count", "Rows that were read"),
    "reading": ("", "How it was read: mapping of columns, CRS"),
    "counts": ("count", "Rows added, changed, unchanged, removed"),
    "created_at": _WHEN,
}
FINDING: Final[Docs] = {
    "plot_id": ("", "The plot, or empty for the file"),
    "code": ("", "Stable code of the finding"),
    "severity": ("", "block, warn or note"),
    "message": ("", "What was found and what to do"),
    "effect_ha": ("ha", "Area as treated minus as declared"),
    "effect_kg": ("kg", "Potential as treated minus as declared; null without a crop"),
    "action": ("", "kept, repaired, split or left_out"),
}
BROUGHT: Final[Docs] = {
    "row": ("", "Row in the file"),
    "member_id": ("", "The member; empty for the whole cooperative"),
    "season": ("", "Season, such as 2026/27"),
    "kg": ("kg", "Kilograms of `form`"),
    "form": ("", "Product form"),
    "cells": ("", "The row as it stands in the file"),
    "import_id": ("", "The import that brought it"),
}
SHARE: Final[Docs] = {
    "plot_id": ("", "The plot"),
    "member_id": ("", "A member who farms it"),
    "share": ("0–1", "The member's share of it"),
    "season_from": ("", "First season; empty: from the start"),
    "season_to": ("", "Last season; empty: open"),
}
DECISION: Final[Docs] = {
    "plot_id": ("", "The plot"),
    "other_plot_id": ("", "The other plot of the finding"),
    "code": ("", "Code of the finding"),
    "decision": ("", "keep, repaired, leave_out, same_plot, share_stays or walked_again"),
    "created_at": _WHEN,
}
RASTER: Final[Docs] = {
    "raster_id": ("", "Its id in requests"),
    "name": ("", "Its name"),
    "product": ("", "The land-cover product"),
    "sha256": ("", "Of its bytes"),
    "bytes": ("bytes", "Its size"),
    "bounds": ("degrees", "West, south, east, north"),
}
RUN: Final[Docs] = {
    "run_id": ("", "Its id in addresses"),
    "title": ("", "What the office calls it"),
    "crop": ("", "Crop"),
    "form": ("", "Product form of all kilograms"),
    "season": ("", "Season; empty where none is known"),
    "parameters": ("", "What was asked"),
    "inputs": ("", "Each input with bytes and SHA-256"),
    "versions": ("", "Versions of geomap and its libraries"),
    "summary": ("kg of `form`, ha", "Totals, assumptions, warnings"),
    "inputs_sha256": ("", "Of plots, rasters, parameters and versions together"),
    "results_sha256": ("", "Of the results"),
    "created_at": _WHEN,
}
JOB: Final[Docs] = {
    "job_id": ("", "Its id in addresses"),
    "kind": ("", "What is done"),
    "state": ("", "queued, running, done, failed or cancelled"),
    "queue_place": ("count", "Jobs before it; null when it no longer waits"),
    "attempt": ("count", "Times it was begun"),
    "progress": ("", "Stage, and how much of it is done"),
    "parameters": ("", "What was asked"),
    "error": ("", "Why it failed"),
    "run_id": ("", "The run it made"),
    "created_at": _WHEN,
    "started_at": ("seconds since 1970-01-01", "When it was begun"),
    "ended_at": ("seconds since 1970-01-01", "When it ended"),
}
AUDIT: Final[Docs] = {
    "created_at": _WHEN,
    "account_id": ("", "Who"),
    "role": ("", "In which role"),
    "action": ("", "What was done"),
    "object": ("", "To what"),
    "outcome": ("", "done, or why not"),
}


def only(row: Mapping[str, object], docs: Docs) -> dict[str, object]:
    """What of a row of the store is shown: nothing that is not named in `docs`.

    Examples
    --------
    >>> only({"raster_id": "r", "path": "/srv/r.tif"}, RASTER)
    {'raster_id': 'r'}
    """
    return {name: row[name] for name in docs if name in row}


def cut(rows: Sequence[Row], limit: int, key: str) -> tuple[Sequence[Row], Any]:
    """At most `limit` of the rows, and what of `key` to send for those that follow; None at the end.

    Examples
    --------
    >>> cut([{"key": 1}, {"key": 2}, {"key": 3}], 2, "key")
    ([{'key': 1}, {'key': 2}], 2)
    """
    return rows[:limit], rows[limit - 1][key] if len(rows) > limit else None
