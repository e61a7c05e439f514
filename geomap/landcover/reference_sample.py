"""Reference samples as files: points or an error matrix, and the sizes of what they were drawn from."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError, NumberError
from geomap.landcover.accuracy import SAMPLE_COLUMNS
from geomap.landcover.product import Product
from geomap.plots.columns import match_columns, name_key
from geomap.plots.intake import take_in_table
from geomap.plots.quantities import Quantity
from geomap.plots.values import read_numbers

_NAMES: Final = ("map_class", "reference_class", "stratum", "points")
_COUNT: Final = Quantity({}, 0, 1e9, "Write a whole number.")
_SIZE: Final = Quantity({"ha": 1.0}, 0, 1e15, "Write a number.")
_TOTALS: Final = frozenset({"total", "totals", "totales", "totaux", "totais", "sum", "suma", "somme", "soma"})


def read_reference_sample(
    path: str | Path, product: Product | None = None, *, mapping: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""A reference sample for `map_accuracy`, and findings: a table of points, or an error matrix.

    A table of points has columns map_class and reference_class, and stratum and points where they are known. Any other
    table is a matrix: its first column names the map's classes (which are then the strata), the others are reference
    classes, cells are numbers of points. Rows and columns of totals are left out.

    Parameters
    ----------
    path : CSV or XLSX.
    product : with it classes may be codes or names and become codes; without it they stay texts.
    mapping : their column → our column.

    Raises
    ------
    FileError : the file cannot be read. ColumnError : a class is missing or not known.
    NumberError : a cell is no number of points.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "matrix.csv"
    ...     _ = file.write_text("map,tree,crop\ntree,8,2\ncrop,1,9\n")
    ...     read_reference_sample(file)[0]["points"].tolist()
    [8.0, 2.0, 1.0, 9.0]
    """
    path = Path(path)
    cells, _, said = take_in_table(path, _NAMES)
    found = match_columns([str(column) for column in cells.columns], _NAMES, mapping=mapping, file=path.name)
    as_points = {"map_class", "reference_class"} <= set(found)
    table = _point_rows(cells, found, path.name) if as_points else _matrix_rows(cells, path.name)
    if product is not None:
        names = [
            "map_class",
            "reference_class",
            *(["stratum"] if (table["stratum"] == table["map_class"]).all() else []),
        ]
        table = table.assign(**{name: _codes(table[name], product, path.name) for name in names})
    if not as_points and not set(table["map_class"]) & set(table["reference_class"]):
        raise ColumnError(
            f"{path.name}: no class of the map ({_some(table['map_class'])}) is among those that are there "
            f"({_some(table['reference_class'])}).",
            why="The map would be wrong everywhere.",
            todo="Call classes alike on both sides.",
        )
    return table[SAMPLE_COLUMNS], said


def read_mapped_areas(
    path: str | Path, product: Product | None = None, *, mapping: Mapping[str, str] | None = None
) -> "pd.Series[float]":
    r"""Size of each class (or stratum) from a table with columns class and area: for `map_accuracy`.

    Rows of one class add up, so `classes.csv` and `environment.csv` of a run will do; classes below 0 (ground without
    data) are left out. Any unit: hectares, pixels, shares.

    Parameters
    ----------
    path, product, mapping : as for `read_reference_sample`; our names are class and area_ha.

    Raises
    ------
    FileError, ColumnError, NumberError : the file or a column is missing, or a cell is no size.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "areas.csv"
    ...     _ = file.write_text("class,area_ha\ntree,60\ncrop,30\ncrop,10\n")
    ...     read_mapped_areas(file).to_dict()
    {'crop': 40.0, 'tree': 60.0}
    """
    path, names = Path(path), ("class", "area_ha")
    cells, _, _ = take_in_table(path, names)
    columns = [str(column) for column in cells.columns]
    plain = {name_key(column): column for column in columns}
    usual = {plain[word]: "area_ha" for word in ("area", "pixels", "hectares", "ha") if word in plain}
    found = match_columns(columns, names, mapping=mapping or ({} if "areaha" in plain else usual), file=path.name)
    if set(found) != set(names):
        raise ColumnError(
            f"{path.name} has no columns class and area_ha; it has: {', '.join(columns)}.",
            why="Each class weighs as much as the ground that is mapped so.",
            todo="Write a table with a row per class.",
        )
    labels = cells[found["class"]]
    keep = ~labels.str.fullmatch(r"-\d+") & (labels != "")
    labels, sizes = labels[keep], _numbers(cells[found["area_ha"]][keep], path.name, whole=False)
    codes = labels if product is None else _codes(labels, product, path.name)
    return sizes.groupby(codes).sum().rename_axis("class").rename("area_ha")


def _some(labels: "pd.Series[str]") -> str:
    return ", ".join(map(str, labels.unique()[:3]))


def _point_rows(cells: pd.DataFrame, found: Mapping[str, str], file: str) -> pd.DataFrame:
    table = pd.DataFrame({name: cells[column] for name, column in found.items()})
    for name in ("map_class", "reference_class", *(["stratum"] if "stratum" in table else [])):
        if (table[name] == "").any():
            raise ColumnError(
                f"{file}, row {table.index[table[name] == ''][0]}: {name} is empty.",
                why="Both what the map says and what is there must be known of each point.",
                todo="Fill it, or leave the row out.",
            )
    points = _numbers(table["points"], file) if "points" in table else 1.0
    return table.assign(stratum=table["stratum"] if "stratum" in table else table["map_class"], points=points)


def _matrix_rows(cells: pd.DataFrame, file: str) -> pd.DataFrame:
    first, *others = cells.columns
    columns = [column for column in others if name_key(str(column)) not in _TOTALS]
    rows = cells[~cells[first].map(name_key).isin(_TOTALS)]
    if not columns or rows.empty or rows[first].duplicated().any() or (rows[first] == "").any():
        raise ColumnError(
            f"{file} is neither a table of points nor an error matrix.",
            why="A table of points has the columns map_class and reference_class; a matrix has one row per map class, "
            "each named once in its first column, and one column per reference class.",
            todo="Write one of the two.",
        )
    spelt = {name_key(label): label for label in rows[first]}
    parts = [
        pd.DataFrame(
            {
                "map_class": rows[first],
                "reference_class": spelt.get(name_key(str(column)), str(column)),
                "points": _numbers(rows[column], file),
            }
        )
        for column in columns
    ]
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True).astype({"reference_class": "str"})
    return table.assign(stratum=table["map_class"])


def _numbers(values: "pd.Series[str]", file: str, *, whole: bool = True) -> "pd.Series[float]":
    told = values.replace("", "0") if whole else values  # an empty cell of a matrix is no point; a size must be told
    numbers, faults = read_numbers(told.to_numpy(dtype=object).tolist(), _COUNT if whole else _SIZE)
    wrong = [k for k, number in enumerate(numbers) if k in faults or np.isnan(number) or (whole and number % 1)]
    if wrong:
        raise NumberError(
            f"{file}, row {values.index[wrong[0]]}: {values.iloc[wrong[0]][:60]!r} is no "
            f"{'number of points' if whole else 'size'}.",
            why="Every share rests on these numbers.",
            todo=f"Write {'whole ' if whole else ''}numbers from 0 on.",
        )
    return pd.Series(numbers, index=values.index, dtype=float)


def _codes(labels: "pd.Series[str]", product: Product, file: str) -> "pd.Series[int]":
    known = class_codes(product)
    strange = sorted({str(label) for label in labels if name_key(str(label)) not in known})
    if strange:
        raise ColumnError(
            f"{file} names the class {strange[0][:60]!r}, which {product.title} does not have.",
            why="Its points would be of no class.",
            todo=f"Write a code or a name of the legend: {', '.join(product.legend['name'])}.",
        )
    return pd.Series([known[name_key(str(label))] for label in labels], index=labels.index, dtype=np.int64)


def class_codes(product: Product) -> dict[str, int]:
    """Code of each class by the ways to write it: the code, its name, and its name up to a parenthesis.

    A name that two classes share is left out: nobody knows which is meant.

    Examples
    --------
    >>> from geomap.landcover.product import product
    >>> codes = class_codes(product("esa-worldcover-2021"))
    >>> codes["treecover"], codes["40"], codes["builtup"]
    (10, 40, 50)
    """
    legend = product.legend["name"]
    short = _of_one_class({int(code): name_key(str(name).partition("(")[0]) for code, name in legend.items()})
    whole = _of_one_class({int(code): name_key(str(name)) for code, name in legend.items()})
    return short | whole | {str(code): int(code) for code in legend.index}


def _of_one_class(names: Mapping[int, str]) -> dict[str, int]:
    """Name → code. A name that several classes bear stands for none of them."""
    often = Counter(names.values())
    return {name: code for code, name in names.items() if often[name] == 1}
