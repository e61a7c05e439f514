"""A run as a folder of files: old or new, never a part of each."""

import hashlib
import json
import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import numpy as np
import pandas as pd

from geomap.engine import ordered_map
from geomap.outputs.documents import documents
from geomap.outputs.other_maps_section import OTHER_MAPS_DOCS, other_maps_tables
from geomap.outputs.outlook_columns import MONTHS_DOCS, OUTLOOK_DOCS
from geomap.outputs.profile_section import ENVIRONMENT_MORE_DOCS, PROFILE_DOCS
from geomap.outputs.publish import MARK, publish, put_file
from geomap.outputs.text import csv_text
from geomap.supply.compare_columns import COMPARE_DOCS

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow as pa

    from geomap.outputs.units import Reader
    from geomap.run import Run
    from geomap.supply.outlook import Outlook

_SUPPLY: Final = {
    "supply_kg": ("kg", "Mean of what the cooperative can expect to receive; empty without evidence"),
    "supply_p10_kg": ("kg", "Low case: 1 of 10 seasons is below; empty without evidence"),
    "supply_p50_kg": ("kg", "Middle case: half of the seasons are below; empty without evidence"),
    "supply_p90_kg": ("kg", "High case: 1 of 10 seasons is above; empty without evidence"),
}
_GROUP: Final = {
    "id": ("", "The member, the cooperative, or the value of the column summed by"),
    "members": ("count", "Members"),
    "plots": ("count", "Usable plots"),
    "members_mapped": ("count", "Members with at least one usable plot"),
    "area_ha": ("ha", "Ground of the plots; ground that several plots claim is shared, so it counts once"),
    "productive_ha": ("ha", "Ground that can bear the crop"),
    "potential_kg": ("kg", "Mean of what the land can bear in a season, members without a plot included; means add up"),
    "potential_p10_kg": ("kg", "Low case: 1 of 10 seasons is below"),
    "potential_p50_kg": ("kg", "Middle case: half of the seasons are below"),
    "potential_p90_kg": ("kg", "High case: 1 of 10 seasons is above"),
    **_SUPPLY,
}
_UNMAPPED: Final = {"unmapped_kg": ("kg", "The part of potential_kg that rests on members without a plot")}

COLUMN_DOCS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "plots.parquet": {
        "plot_id": ("", "The plot; 'ID#2' is the second row with one id"),
        "member_id": ("", "The member who farms it"),
        "cooperative_id": ("", "The cooperative"),
        "crop": ("", "The crop it is declared for; empty where the file does not say"),
        "area_ha": ("ha", "Geodesic area of the outline; empty for a point"),
        "counted_area_ha": ("ha", "Area that counts: overlaps shared, or the declared area where there is no outline"),
        "nodata_ha": ("ha", "Ground on which the land-cover map has no data"),
        "outside_ha": ("ha", "Ground outside the land-cover map"),
        "productive_ha": ("ha", "Ground that can bear the crop"),
        "potential_kg": ("kg", "Mean of what the land can bear in a season"),
        "supply_kg": _SUPPLY["supply_kg"],
        "potential_p10_kg": ("kg", "Low case: 1 of 10 seasons is below"),
        "potential_p50_kg": ("kg", "Middle case: half of the seasons are below"),
        "potential_p90_kg": ("kg", "High case: 1 of 10 seasons is above"),
        "kind": ("", "measured (outline) or declared (area as the member says)"),
        "given_id": ("", "The id as it stands in the file"),
        "community": ("", "Village or section"),
        "declared_area_ha": ("ha", "Area as declared"),
        "gps_accuracy_m": ("m", "GPS accuracy: 68 % of the fixes are nearer"),
        "planted_share": ("0–1", "Share of the plot planted with the crop, as declared"),
        "planted_year": ("year", "Year of planting, stumping or renovation"),
        "hives": ("count", "Bee hives"),
        "row": ("", "Row in the source file, the first is 1"),
        "area_sd_ha": ("ha", "Standard error of area_ha from GPS"),
        "unknown_ha": ("ha", "Ground with map codes that the legend does not know"),
        "f": ("0–1", "Share of the ground that can bear the crop"),
        "p": ("0–1", "Share planted with the crop; 1 where the base yield is per planted hectare"),
        "y_kg_ha": ("kg", "Base yield per hectare (or hive) and year, in the form it is known in"),
        "g": ("0–1", "Age factor; 1 where the age is not known"),
        "k": ("", "Factor from the form of the base yield to the form of the run"),
        "geometry": ("degrees", "Outline or point, longitude and latitude (EPSG:4326), WKB"),
        "bbox": ("degrees", "The outline's bounds, for readers that filter by place"),
    },
    "classes.csv": {
        "plot_id": ("", "The plot"),
        "product": ("", "The land-cover product"),
        "class": ("", "Code of the class in the product's legend"),
        "name": ("", "Name of the class"),
        "area_ha": ("ha", "Ground of the plot in this class"),
    },
    "members.csv": {
        **_GROUP,
        "cooperative_id": ("", "The member's cooperative"),
        "name": ("", "The member's name"),
        "community": ("", "Village or section"),
    },
    "cooperatives.csv": {**_GROUP, **_UNMAPPED},
    "by_<column>.csv": {**_GROUP, **_UNMAPPED},
    "months.csv": {
        "cooperative_id": ("", "The cooperative; 'all' for the sum"),
        "month": ("YYYY-MM", "Month of harvest; of delivery for supply"),
        "quantity": ("", "potential or supply"),
        "mean_kg": ("kg", "Mean; means add up"),
        "p10_kg": ("kg", "Low case"),
        "p50_kg": ("kg", "Middle case"),
        "p90_kg": ("kg", "High case"),
        **MONTHS_DOCS,
    },
    "variance.csv": {
        "cooperative_id": ("", "The cooperative; 'all' for the sum"),
        "quantity": ("", "potential or supply"),
        "source": ("", "The source of error"),
        "share": ("0–1", "Part of the variance that would go if this source were known; parts do not add to 1"),
    },
    "environment.csv": {
        "cooperative_id": ("", "The cooperative"),
        "class": ("", "Code of the class; −1 no data, −2 outside the map, −3 codes that the legend does not know"),
        "name": ("", "Name of the class"),
        "area_ha": ("ha", "Ground of the measured plots in this class"),
        "share": ("0–1", "Share of the measured plots' ground"),
        **ENVIRONMENT_MORE_DOCS,
    },
    **PROFILE_DOCS,
    **OTHER_MAPS_DOCS,
    "findings.csv": {
        "plot_id": ("", "The plot, the member or the file"),
        "code": ("", "Stable code of the finding"),
        "severity": ("", "block, warn or note"),
        "message": ("", "What was found and what to do"),
        "effect_ha": ("ha", "Area as treated minus as declared"),
        "effect_kg": ("kg", "Potential as treated minus as declared; empty without a crop"),
        "action": ("", "kept, repaired, split or left_out"),
    },
    **OUTLOOK_DOCS,
    "compare.csv": COMPARE_DOCS,
}
"""File → column → unit and meaning; a table's contract columns stand first, in their order."""

CONTRACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "plots.parquet": tuple(COLUMN_DOCS["plots.parquet"])[:11],
    "members.csv": tuple(_GROUP),
    "cooperatives.csv": tuple(_GROUP),
    "by_<column>.csv": tuple(_GROUP),
    **{f"{name}.csv": tuple(COLUMN_DOCS[f"{name}.csv"]) for name in ("classes", "variance", "findings")},
    "environment.csv": tuple(COLUMN_DOCS["environment.csv"])[:5],
    **{name: tuple(columns) for name, columns in {**PROFILE_DOCS, **OTHER_MAPS_DOCS}.items()},
    "months.csv": tuple(COLUMN_DOCS["months.csv"])[:7],
    **{name: tuple(columns) for name, columns in OUTLOOK_DOCS.items()},
    "compare.csv": tuple(COMPARE_DOCS),
}
"""File → the columns that never change their name, in their order; a table may have more after them."""

_NEEDS_QUOTES: Final = re.compile(r'[",\r\n]')
_EXACT: Final = 1e9
"""Numbers below this have six exact decimals as whole numbers of 64 bits."""
_DECIMALS: Final = (("_kg", 1), ("_ha", 6), ("share", 6))


def write_run(
    run: "Run",
    out: Path,
    *,
    pages: bool = True,
    donor_map: bool = False,
    language: str = "en",
    reader: "Reader" = "office",
    workbook: bool = False,
) -> None:
    """Leave the run in the folder `out`: tables, summary and, with `pages`, what people open: see `documents`.

    All files are made in a hidden folder beside `out` and put in place together. An earlier run in `out` is replaced as
    a whole, other files there are kept. Equal runs give equal bytes in every file but timings.json.

    Parameters
    ----------
    run : areas in hectares, weights in kilograms, outlines in EPSG:4326.
    out : a new or empty folder, or one that holds an earlier run.
    donor_map : leave donor_map.png (300 dpi) and donor_map.pdf too; see `write_donor_map`.
    language, reader : of the harvest estimates, the summary pictures and the workbook; see `write_estimate`.
    workbook : leave the office's workbook for more than 20,000 plots or members too.

    Raises
    ------
    OutputError : `out` holds other things, or cannot be written; what was there before is whole.
    """
    with publish(Path(out)) as folder:
        opened = documents(run, folder, language=language, reader=reader, workbook=workbook) if pages else ()
        writers: list[Callable[[], None]] = [*opened, *_tables(run, folder)]
        if donor_map:
            writers.append(partial(_write_donor_map, run, folder))
        deque(ordered_map(lambda write: write(), writers), maxlen=0)  # pages hold the interpreter, tables do not
        files = {path.name: _fingerprint(path) for path in sorted(folder.iterdir())}
        _write_json({**run.summary, "format": MARK, "files": files}, folder / "summary.json")
        _write_json(run.timings, folder / "timings.json")


def _write_donor_map(run: "Run", folder: Path) -> None:
    from geomap.outputs.donor_map import write_donor_map

    write_donor_map(run, folder)


def _tables(run: "Run", folder: Path) -> Iterator[Callable[[], None]]:
    """What writes each table, as functions of nothing."""
    yield partial(_write_plots, run.plots, folder / "plots.parquet")
    for name, table in run_tables(run):
        yield partial(_write_csv, table, folder / name, _contract(name))


def run_tables(run: "Run") -> Iterator[tuple[str, pd.DataFrame]]:
    """File name and table of all that a run leaves as CSV; `flat_table` puts the columns as the file has them."""
    for name in ("classes", "members", "cooperatives", "months", "variance", "environment", "findings"):
        yield f"{name}.csv", getattr(run, name)
    if run.profile is not None:
        yield "profile.csv", run.profile.profile
        yield "profile_pairs.csv", run.profile.pairs
    yield from other_maps_tables(run.other_maps)
    yield from _of_outlook(run.outlook)
    for name, column in by_names(run.by).items():
        yield name, run.by[column]


def flat_table(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table of a run with the columns of the file `name`, in their order; supply it does not know is missing."""
    flat: pd.DataFrame = _flat(table, _contract(name))
    return flat


def _contract(name: str) -> tuple[str, ...]:
    return CONTRACTS.get(name, CONTRACTS["by_<column>.csv"])


def _of_outlook(outlook: "Outlook | None") -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables that deliveries, contracts and what people told give; none without evidence."""
    if outlook is None:
        return
    if outlook.has_supply:
        yield "available.csv", outlook.available
        yield "shock_year.csv", outlook.shock.rename_axis("cooperative_id").reset_index().drop(columns="var")
        yield "calibration.csv", outlook.calibration.sources
    if len(outlook.nowcast):
        yield "nowcast.csv", outlook.nowcast.rename_axis("cooperative_id").reset_index().drop(columns="var")
    if outlook.backtest is not None:
        yield "backtest.csv", outlook.backtest.rows
        yield "backtest_scores.csv", outlook.backtest.scores
    if len(outlook.told):
        yield "told.csv", outlook.told
    if outlook.history is not None:
        yield "alarms.csv", outlook.alarms
        yield "member_alarms.csv", outlook.member_alarms


def by_names(columns: Iterable[str]) -> dict[str, str]:
    """File name → column summed by; only letters, digits, "_" and "-" of a column's name reach the file name.

    Examples
    --------
    >>> by_names(["../notes", "sub village", "sub_village"])
    {'by____notes.csv': '../notes', 'by_sub_village.csv': 'sub village', 'by_sub_village_2.csv': 'sub_village'}
    """
    names: dict[str, str] = {}
    for column in sorted(columns):
        stem = "by_" + re.sub(r"[^\w-]", "_", column)[:60]
        name, again = f"{stem}.csv", 1
        while name.casefold() in (taken.casefold() for taken in names):
            again += 1
            name = f"{stem}_{again}.csv"
        names[name] = column
    return names


def require_words(language: str, reader: str) -> None:
    """Raise where there are no harvest estimates in this language or for this reader.

    Raises
    ------
    UnknownNameError : the language or the reader is not known.
    """
    from geomap.outputs.harvest_estimate import require_reader
    from geomap.outputs.words import words

    words(language)
    require_reader(reader)


def _write_plots(plots: "gpd.GeoDataFrame", path: Path) -> None:
    table = _flat(plots, CONTRACTS["plots.parquet"]).rename(columns={"bbox": "given_bbox"})
    for column in table.columns:
        if pd.api.types.is_object_dtype(table[column]):
            table[column] = table[column].astype("str")
    table.to_parquet(path, index=False, compression="zstd", write_covering_bbox=True, schema_version="1.1.0")
    if table.geometry.isna().any():
        _blank_bbox(path)


def _blank_bbox(path: Path) -> None:
    """A plot with no outline has no bbox either, as GeoParquet 1.1 asks; geopandas writes one of NaN."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(path)
    place, bbox = table.column_names.index("bbox"), table["bbox"].combine_chunks()
    missing = table["geometry"].combine_chunks().is_null()
    blank = pa.StructArray.from_arrays(bbox.flatten(), fields=list(bbox.type), mask=missing)
    parquet.write_table(table.set_column(place, table.schema.field(place), blank), path, compression="zstd")


def _flat(table: pd.DataFrame, contract: tuple[str, ...]) -> Any:
    """The table with its index as columns, the contract's columns first; supply it does not know is missing."""
    named = [name for name in table.index.names if name is not None and name not in table.columns]
    flat = table.reset_index(level=named) if named else table
    absent = [column for column in contract if column in _SUPPLY and column not in flat.columns]
    flat = flat.assign(**dict.fromkeys(absent, np.nan))
    extras = [column for column in flat.columns if column not in contract and column != "geometry"]
    return flat[[*contract, *extras, *(["geometry"] if "geometry" in flat.columns else [])]]


def write_table(table: pd.DataFrame, name: str, path: Path) -> None:
    """Write one table alone, as the file `name` of a run would hold it; `path` gets all of it or stays as it was.

    Raises
    ------
    OutputError : the file cannot be written.
    """
    put_file(path, lambda draft: _write_csv(table, draft, CONTRACTS[name]))


def print_table(table: pd.DataFrame, name: str, file: TextIO) -> None:
    """Print one table as CSV, as the file `name` of a run would hold it."""
    _print_csv(table, CONTRACTS[name], file)


def _print_csv(table: pd.DataFrame, contract: tuple[str, ...], file: TextIO) -> None:
    """Cells are made and joined column by column: row by row takes ten times as long."""
    import pyarrow.compute as pc

    flat = _flat(table, contract)
    file.write(",".join(_quoted(csv_text(str(column))) for column in flat.columns) + "\n")
    if len(flat):
        lines = pc.binary_join_element_wise(*(_cells(flat[column], str(column)) for column in flat.columns), ",")
        file.write("\n".join(lines.to_pylist()) + "\n")


def _write_csv(table: pd.DataFrame, path: Path, contract: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        _print_csv(table, contract, file)


def _quoted(text: str) -> str:
    """Source: RFC 4180."""
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _cells(values: "pd.Series[Any]", column: str) -> "pa.Array":
    """The column as CSV cells: numbers with fixed decimals, text defused and quoted, missing ones empty."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        codes, unique = pd.factorize(values, use_na_sentinel=True)
        texts = pa.array([*_safe([str(value) for value in np.asarray(unique, dtype=object).tolist()]), ""], pa.string())
        return texts.take(pa.array(np.where(codes < 0, len(unique), codes)))
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(numbers)
    decimals = next((places for ending, places in _DECIMALS if column.endswith(ending)), None)
    filled = np.where(known, numbers, 0.0)
    if np.abs(filled).max(initial=0.0) < _EXACT and (decimals is not None or _whole(filled)):
        cells = _fixed(filled, decimals or 0)
    else:
        cells = pa.array([format(number, ".10g") for number in filled.tolist()])
    return pc.if_else(pa.array(known), cells, "")


def _safe(texts: list[str]) -> list[str]:
    """Texts defused and quoted; what begins with a letter or digit and holds no quote or comma is safe as it is."""
    plain = re.compile(r'\w[^",\r\n]*').fullmatch
    return [text if plain(text) else _quoted(csv_text(text)) for text in texts]


def _fixed(numbers: "np.ndarray[Any, np.dtype[np.float64]]", decimals: int) -> "pa.Array":
    """Numbers below 1e9 as text with so many decimals, through whole numbers; no "-0.0"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    scaled = np.rint(numbers * 10**decimals).astype(np.int64)
    whole, part = np.divmod(np.abs(scaled), 10**decimals)
    sign = pa.array(["", "-"]).take(pa.array((scaled < 0).astype(np.int8)))
    text = pc.binary_join_element_wise(sign, pa.array(whole).cast(pa.string()), "")
    if not decimals:
        return text
    digits = pc.utf8_lpad(pa.array(part).cast(pa.string()), decimals, "0")
    return pc.binary_join_element_wise(text, digits, ".")


def _whole(numbers: "np.ndarray[Any, np.dtype[np.float64]]") -> bool:
    return bool(np.all(numbers == np.trunc(numbers)))


def _fingerprint(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write_json(value: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(_plain_json(value), sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def _plain_json(value: Any) -> Any:
    """The value in JSON's own types; what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray, pd.Series)):
        return [_plain_json(item) for item in value]
    if value is None or isinstance(value, (bool, np.bool_)):
        return None if value is None else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return None if value is pd.NA or value is pd.NaT else os.fspath(value) if isinstance(value, Path) else str(value)
