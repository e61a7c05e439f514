"""Folders of two runs, read so that they can be compared."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from geomap.errors import FileError
from geomap.outputs.publish import MARK
from geomap.supply.compare import settings_text
from geomap.supply.compare_split import Written

_FILES: Final = ("plots.parquet", "members.csv", "summary.json")
_OWN: Final = ("plots", "members", "raster")
"""Inputs whose change shows in the plots, members and land cover themselves."""


def read_written(folder: Path) -> Written:
    """What a run left in a folder, as far as a comparison reads it.

    Raises
    ------
    FileError : the folder holds no run, or one of another format.

    Examples
    --------
    With two runs in the folders `before` and `after`:

        compare_runs(read_written(Path("before")), read_written(Path("after"))).of("potential")
    """
    missing = [name for name in _FILES if not (folder / name).is_file()]
    summary: Any = {}
    if not missing:
        try:
            summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        except ValueError:
            pass
    if not isinstance(summary, dict) or summary.get("format") != MARK:
        found = f"It has no {missing[0]}." if missing else "Its summary.json is not that of a run of this format."
        raise FileError(
            f"{folder} holds no run that can be compared. {found}",
            why="A comparison reads the plots, the members and the summary that an estimate wrote.",
            todo="Name the folder that geomap estimate --out wrote, with this version of geomap.",
        )
    from pyarrow import parquet

    names = [name for name in parquet.read_schema(folder / "plots.parquet").names if name not in ("geometry", "bbox")]
    plots = pd.read_parquet(folder / "plots.parquet", columns=names).set_index("plot_id")
    texts = {"id": "str", "cooperative_id": "str"}
    members = pd.read_csv(folder / "members.csv", dtype=texts, keep_default_na=False, na_values={"potential_kg": [""]})
    return Written(
        plots, members.set_index("id"), settings_of(summary), summary["parameters"]["form"], land_of(summary)
    )


def settings_of(summary: Mapping[str, Any]) -> dict[str, str]:
    """What was chosen or assumed for a run, by name, as texts."""
    told = {name: settings_text(summary["parameters"].get(name)) for name in ("crop", "country", "season", "product")}
    told |= {str(one["term"]): settings_text(one["value"]) for one in summary.get("assumptions", [])}
    told |= {"evidence of supply": settings_text(summary.get("evidence"))}
    told |= {"geomap": settings_text(summary.get("versions", {}).get("geomap"))}
    told |= {f"reference table {name}": str(value) for name, value in summary.get("tables", {}).items()}
    roles = sorted({str(one["role"]) for one in summary.get("inputs", []) if one["role"] not in _OWN})
    return told | {f"file of {role}": _files(summary["inputs"], role) for role in roles}


def land_of(summary: Mapping[str, Any]) -> str:
    """What the map says and how right it is, as one text: product, rasters, share of each class that is ruled out."""
    rasters = _files(summary.get("inputs", []), "raster")
    right = {str(one["class"]): one["share"] for one in summary.get("ruled_out", [])}
    return settings_text([summary["parameters"]["product"], rasters, right])


def _files(inputs: Sequence[Mapping[str, Any]], role: str) -> str:
    """Fingerprints of the inputs of one role; their order does not matter."""
    return ", ".join(sorted(str(one["sha256"])[:12] for one in inputs if one["role"] == role))
