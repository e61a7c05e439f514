"""A land-cover product of the user's own: a small CSV that says what each code of the raster means."""

import colorsys
import csv
import io
import re
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError, FileError, NumberError
from geomap.landcover.product import Product

MOST_BYTES: Final = 1_000_000
HIGHEST_CODE: Final = 65_535
OWN_SHARE_SE: Final = 0.1
"""Standard error of a share that the user gave: as wrong as a continent's accuracy is in a region (map_region)."""

_NAMES: Final = {
    "code": ("code", "class", "value", "codigo", "código", "clase", "classe", "kode"),
    "name": ("name", "label", "title", "nombre", "nome", "nom", "nama", "jina"),
    "color": ("color", "colour", "hex", "cor", "couleur", "warna", "rangi"),
    "share": ("share", "part", "parte", "fraction", "proporcion", "proporción", "proporção", "bagian", "sehemu"),
    "tree_cover": ("tree_cover", "trees", "arboles", "árboles", "arvores", "árvores", "arbres", "pohon", "miti"),
}
_TREES: Final = re.compile(r"\b(tree|forest|árbol|arbol|bosque|floresta|mata|forêt|foret|hutan|misitu)", re.IGNORECASE)
_NO_DATA: Final = (0, 255, 65_535)
_MARKS: Final = ",;\t"


def own_product(path: Path) -> Product:
    """The user's own product from a CSV with one row per class.

    Columns: code (whole number, 0–65535), name, color (#rrggbb; also "colour"), share (0–1: the part of this class on a
    declared plot that can bear the crop; 1 where it is empty), tree_cover (1 or 0; else told from the name). Names of
    columns may stand in our other languages, too. Rows of one code named "no data" say which code that is; otherwise it
    is the first of 0, 255 and 65535 that no class has.

    A share below 1 takes the place of the accuracy of a class that bears no crop: f = 1 − Σ part · (1 − share).

    Raises
    ------
    FileError : the file is missing, too large, or no CSV in UTF-8.
    ColumnError : a column is missing.
    NumberError : a code, colour or share that cannot be, or a code that stands twice.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "my map.csv"
    ...     rows = ["code,name,colour,share", "1,Agroforest,#006400,", "2,Lake,#0064c8,0", "3,Village,#fa0000,0.3"]
    ...     _ = file.write_text(chr(10).join(rows))
    ...     made = own_product(file)
    >>> made.name, made.nodata, made.legend["tree_crop"].tolist(), made.legend["users_accuracy"].tolist()
    ('own-my-map', 0, [1, 0, 0], [1.0, 1.0, 0.7])
    """
    rows = _rows(path)
    code = pd.Series([_code(row, path.name) for row in rows], dtype="int64")
    twice = sorted(set(code[code.duplicated()].tolist()))
    if twice:
        raise NumberError(f"{path.name} names code {twice[0]} twice.", todo="Keep one row per code.")
    empty = [one for one, row in zip(code, rows, strict=True) if row["name"].casefold() in {"no data", "nodata"}]
    classes = [(one, row) for one, row in zip(code.tolist(), rows, strict=True) if one not in empty]
    if not classes:
        raise ColumnError(f"{path.name} names no class.", todo="Give a row for every code of the raster.")
    share = np.array([_share(row, path.name) for _, row in classes])
    legend = pd.DataFrame(
        {
            "name": pd.Series([row["name"] or f"Class {one}" for one, row in classes], dtype="str"),
            "color": pd.Series([_color(row, place, path.name) for place, (_, row) in enumerate(classes)], dtype="str"),
            "tree_crop": (share == 1).astype(np.int64),
            "tree_cover": [int(_is_trees(row)) for _, row in classes],
            "users_accuracy": np.where(share == 1, 1.0, 1.0 - share),
            "users_se": np.where(share == 1, 0.0, OWN_SHARE_SE),
            "producers_accuracy": np.nan,
        }
    ).set_index(pd.Index([one for one, _ in classes], name="class"))
    free = [one for one in _NO_DATA if one not in set(legend.index)]
    if not (empty or free):
        raise NumberError(
            f"{path.name} has classes of the codes {', '.join(map(str, _NO_DATA))}.",
            why="One code must stand for ground without data, and it is none of these then.",
            todo='Give a row with the name "no data" and a code that no class has.',
        )
    name = "own-" + (re.sub(r"[^a-z0-9]+", "-", path.stem.casefold()).strip("-") or "product")
    return Product(
        name=name,
        title=f"Own land cover ({path.stem})",
        year=0,
        version="own",
        nodata=[*empty, *free][0],
        attribution="own land cover",
        licence="own",
        legend=legend.sort_index(),
        family=name,
        also_nodata=tuple(empty[1:]),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of the table by our column names; empty rows are left out."""
    if not path.is_file():
        raise FileError(f"There is no file {path.name}.", todo="Check the path of the product's table.")
    if path.stat().st_size > MOST_BYTES:
        raise FileError(f"{path.name} is larger than a legend can be.", todo="Give a CSV with one row per class.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        head = text.partition("\n")[0]
        rows = list(csv.reader(io.StringIO(text), delimiter=max(_MARKS, key=head.count), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path.name} is no CSV in UTF-8.", todo="Save it as CSV UTF-8.") from error
    labels = [cell.strip().casefold() for cell in rows[0]] if rows else []
    where = {ours: next((labels.index(one) for one in names if one in labels), None) for ours, names in _NAMES.items()}
    missing = [ours for ours in ("code", "name") if where[ours] is None]
    if missing:
        raise ColumnError(
            f"{path.name} has no column {' and no column '.join(missing)}.",
            why="A code without a name says nothing.",
            todo="Give the columns code, name, color and share (share and color may be empty).",
        )
    return [
        {ours: row[at].strip() if at is not None and at < len(row) else "" for ours, at in where.items()}
        for row in rows[1:]
        if any(cell.strip() for cell in row)
    ]


def _code(row: dict[str, str], file: str) -> int:
    written = row["code"].removeprefix("+")
    code = int(written) if re.fullmatch(r"\d{1,9}", written) else -1
    if not 0 <= code <= HIGHEST_CODE:
        raise NumberError(
            f"{file} gives {row['code'][:40]!r} as the code of {row['name'][:40]!r}.",
            why=f"Codes are whole numbers from 0 to {HIGHEST_CODE}.",
            todo="Give the number that stands in the raster.",
        )
    return code


def _share(row: dict[str, str], file: str) -> float:
    try:
        share = float(row["share"].replace(",", ".")) if row["share"] else 1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise NumberError(
            f"{file} gives {row['share'][:40]!r} as the share of {row['name'][:40]!r}.",
            why="It is the part of the class that can bear the crop.",
            todo="Give a number from 0 to 1, such as 0.3, or leave it empty for 1.",
        )
    return share


def _color(row: dict[str, str], place: int, file: str) -> str:
    """The colour, or one of a wheel where none is given."""
    if not row["color"]:
        wheel = colorsys.hls_to_rgb(place * 0.381966 % 1.0, 0.55, 0.5)
        return "#" + "".join(f"{round(255 * one):02x}" for one in wheel)
    text = row["color"].casefold()
    if not re.fullmatch(r"#?[0-9a-f]{6}", text):
        raise NumberError(
            f"{file} gives {row['color'][:40]!r} as the colour of {row['name'][:40]!r}.",
            todo="Give six hexadecimal digits, such as #006400, or leave it empty.",
        )
    return "#" + text.removeprefix("#")


def _is_trees(row: dict[str, str]) -> bool:
    return row["tree_cover"] == "1" if row["tree_cover"] in {"0", "1"} else bool(_TREES.search(row["name"]))
