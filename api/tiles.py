"""Indexes of plots for tiles, kept in memory for whoever may see them, and read anew once anything of them changed."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Select, func, select

import geomap
from api.access import OFFICE, Asked
from api.veil import Veil
from geomap.outputs.tile_cover import Cover
from geomap.outputs.tile_pictures import Layer, layers_of
from geomap.outputs.tiles import TileIndex
from geomap.store import audit
from geomap.store.cooperatives import stamp_of
from geomap.store.errors import NotFoundError
from geomap.store.pseudonyms import pseudonym_secret
from geomap.store.rasters import is_what_it_was, raster
from geomap.store.runs import run, run_file
from geomap.store.schema import import_findings, plots, run_plots, run_rows, runs
from geomap.store.scope import WORKER, Transaction

if TYPE_CHECKING:
    from geomap.landcover.product import Product

PICTURES: Final = ("potential", "uncertainty", "findings", "class", "cover", "plain")
"""All layers of pictures; a run has all but the last, the plots of today have findings and plain."""
_NUMBERS: Final = ("area_ha", "potential_kg", "potential_p10_kg", "potential_p90_kg")
_SHORT: Final = {"potential_p10_kg": "p10_kg", "potential_p90_kg": "p90_kg"}
_AT_ONCE: Final = 20_000
_GRADES: Final = {"note": 1, "warn": 2, "block": 3}
_DAY_S: Final = 86_400
OF_THE_GROUND: Final = frozenset(
    "outside_country in_the_sea few_decimals on_a_grid invalid hole_outside too_few_points repeated_corners spike "
    "sliver repaired outside_raster nodata unknown_class too_small_to_judge declared_only polygon_needed too_large "
    "too_many_vertices no_area empty".split()
)
"""Findings that tell of a plot's own outline and ground: all that an analyst is told of. Others tell of people."""


@dataclass(frozen=True)
class Shown:
    """What somebody may see of the plots of a run, or of those of today.

    Attributes
    ----------
    tag : another text where anything of it is another.
    """

    index: TileIndex
    tag: str
    pictures: tuple[str, ...]
    product: "Product | None"
    cover: Cover | None
    form: str

    @cached_property
    def layers(self) -> Mapping[str, Layer]:
        """The layers of plots."""
        legend = None if self.product is None else self.product.legend
        return layers_of(self.index, [name for name in self.pictures if name != "cover"], legend=legend, form=self.form)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, in bytes."""
        return self.index.nbytes + len(self.index) * len(self.pictures)


@dataclass(frozen=True)
class _Key:
    """Whose plots, of which run ("" for today), and whether the office looks; analysts all see the same."""

    cooperative_id: str
    run_id: str
    is_office: bool


@dataclass
class _Kept:
    """An index with the stamp of the cooperative at the moment it was read, and what it rests on."""

    stamp: str
    basis: str
    shown: Shown


class TileMemory:
    """Indexes of a few runs. They are made once, while whoever else asks for the same one waits, and are never written.

    Parameters
    ----------
    most_bytes : beyond it, those go that were asked for the longest ago; the latest stays in any case.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.made = 0
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[_Key, threading.Lock] = {}
        self._looks: dict[tuple[str, str, str], int] = {}

    def shown(self, asked: Asked, cooperative_id: str, run_id: str = "") -> Shown:
        """What whoever asks may see at this moment; the first look of a day is written down.

        Raises
        ------
        NotFoundError : there is no such run, or the cooperative is out of reach.
        """
        key = _Key(cooperative_id, run_id, asked.scope.role in OFFICE)
        with asked.store.read(asked.scope) as tx:
            stamp = stamp_of(tx, cooperative_id)
            _require_run(tx, key)
        found = self._of(key, stamp)
        if found is None:
            with self._lock:
                making = self._making.setdefault(key, threading.Lock())
            with making:
                found = self._of(key, stamp) or self._read(asked, key)
        self._write_down(asked, key)
        return found

    @property
    def nbytes(self) -> int:
        """Memory that all indexes take, in bytes."""
        with self._lock:
            return sum(kept.shown.nbytes for kept in self._kept.values())

    def _of(self, key: _Key, stamp: str) -> Shown | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or kept.stamp != stamp:
                return None
            self._kept.move_to_end(key)
            return kept.shown

    def _read(self, asked: Asked, key: _Key) -> Shown:
        """Read the plots, unless what was written meanwhile does not touch what is shown."""
        secret = "" if key.is_office else pseudonym_secret(asked.store, key.cooperative_id)
        with asked.store.read(asked.scope) as tx:
            stamp = stamp_of(tx, key.cooperative_id)
            veil = None if key.is_office else Veil.of(tx, key.cooperative_id, secret)
            basis = _basis(tx, key, veil, stamp)
            with self._lock:
                kept = self._kept.get(key)
            if kept is not None and kept.basis == basis:
                kept.stamp = stamp
                return kept.shown
            with asked.store.read(WORKER) as own:
                shown = _shown(tx, own, key, veil, basis)
        self._keep(key, _Kept(stamp, basis, shown))
        return shown

    def _keep(self, key: _Key, kept: _Kept) -> None:
        with self._lock:
            self.made += 1
            self._kept[key] = kept
            self._kept.move_to_end(key)
            total = sum(one.shown.nbytes for one in self._kept.values())
            while total > self.most_bytes and len(self._kept) > 1:
                oldest, gone = self._kept.popitem(last=False)
                self._making.pop(oldest, None)
                total -= gone.shown.nbytes

    def _write_down(self, asked: Asked, key: _Key) -> None:
        """An entry of the audit log for the first look of an account at these plots on a day."""
        look, day = (asked.account, key.cooperative_id, key.run_id), int(time.time() // _DAY_S)
        with self._lock:
            if self._looks.get(look) == day:
                return
            self._looks = {other: when for other, when in self._looks.items() if when == day}
        with asked.store.begin(asked.scope) as tx:
            audit.record(tx, "plots.read", cooperative_id=key.cooperative_id, object=key.run_id)
        with self._lock:
            self._looks[look] = day


def _require_run(tx: Transaction, key: _Key) -> None:
    if key.run_id:
        of = (runs.c.cooperative_id == key.cooperative_id, runs.c.run_id == key.run_id)
        if tx.first(select(runs.c.run_id).where(*of)) is None:
            raise NotFoundError("There is no such run.")


def _basis(tx: Transaction, key: _Key, veil: Veil | None, stamp: str) -> str:
    """What an index rests on, as a short text. A run loses plots when a member is erased; nothing else changes it."""
    rests_on = [geomap.__version__, str(key)]
    if key.run_id:
        count = select(func.count().label("plots")).select_from(run_plots)
        rows = tx.fetch(count.where(run_plots.c.cooperative_id == key.cooperative_id, run_plots.c.run_id == key.run_id))
        rests_on.append(str(rows[0]["plots"]))
    else:
        rests_on.append(stamp)
    if veil is not None:
        rests_on += ["", *sorted(veil.agreed), "", *sorted(veil.withheld)]
    return hashlib.sha256("\0".join(rests_on).encode()).hexdigest()[:32]


# ---- reading, column by column ----


def _shown(tx: Transaction, own: Transaction, key: _Key, veil: Veil | None, basis: str) -> Shown:
    """The index of a run or of today.

    Parameters
    ----------
    own : of the program itself, for what an analyst reads no table of: classes and findings of the plots shown.
    """
    from geomap.outputs.tile_files import main_classes, worst_findings

    if not key.run_id:
        found, graded = _plots_of_today(tx, key.cooperative_id), _findings_of_today(own, key, veil)
        index = _index(found, veil, lambda ids: None, lambda ids: worst_findings(ids, *graded))
        return Shown(index, basis, ("findings", "plain"), None, None, "")
    row = run(tx, key.cooperative_id, key.run_id)
    product, cover = _land_cover(tx, row)
    table = _classes(own, key)
    graded = _findings_of_run(own, key, veil)
    index = _index(
        _plots_of_run(tx, key), veil, lambda ids: main_classes(ids, table), lambda ids: worst_findings(ids, *graded)
    )
    names = ("potential", "uncertainty", "findings", *(["class"] if product else []), *(["cover"] if cover else []))
    return Shown(index, basis, names, product, cover, str(row["form"]))


def _index(rows: Iterator[Sequence[Mapping[str, Any]]], veil: Veil | None, land: Any, finding: Any) -> TileIndex:
    """The index of rows that come in parts, of those that may be seen, under the ids that may be seen."""
    import numpy as np
    import pyarrow as pa

    shapes: list[Any] = []
    real: list[str] = []
    ids: dict[str, list[str]] = {"plot_id": [], "member_id": []}
    numbers: dict[str, list[Any]] = {}
    for part in rows:
        seen = part if veil is None else [row for row in part if veil.shows(row)]
        shapes += [row["geometry"] for row in seen]
        real += [row["plot_id"] for row in seen]
        shown = seen if veil is None else [veil.ids(row) for row in seen]
        for name, column in ids.items():
            column += [row[name] for row in shown]
        for name in _NUMBERS:
            if part and name in part[0]:
                numbers.setdefault(_SHORT.get(name, name), []).extend(row[name] for row in seen)
    values: dict[str, Any] = {name: np.array(column, dtype=float) for name, column in numbers.items()}
    known = pa.array(real, pa.string())
    texts = {name: pa.array(column, pa.string()) for name, column in ids.items()}
    return TileIndex.of(shapes, texts, values or {"area_ha": []}, land=land(known), finding=finding(known))


def _plots_of_run(tx: Transaction, key: _Key) -> Iterator[Sequence[Any]]:
    table = run_plots
    numbers = [table.c.cells[name].as_float().label(name) for name in _NUMBERS]
    found = select(table.c.position, table.c.plot_id, table.c.member_id, table.c.geometry, *numbers)
    found = found.where(table.c.cooperative_id == key.cooperative_id, table.c.run_id == key.run_id)
    return _parts(tx, found, table.c.position, -1)


def _plots_of_today(tx: Transaction, cooperative_id: str) -> Iterator[Sequence[Any]]:
    found = select(plots.c.plot_id, plots.c.member_id, plots.c.geometry, plots.c.area_ha)
    found = found.where(plots.c.cooperative_id == cooperative_id, plots.c.ended_at.is_(None))
    return _parts(tx, found, plots.c.plot_id, "")


def _parts(tx: Transaction, found: Select[Any], by: ColumnElement[Any], after: Any) -> Iterator[Sequence[Any]]:
    """The rows of a query, so many at a time."""
    while rows := tx.fetch(found.where(by > after).order_by(by).limit(_AT_ONCE)):
        yield rows
        after = rows[-1][str(by.key)]


def _findings_of_run(own: Transaction, key: _Key, veil: Veil | None) -> tuple[list[str], list[int]]:
    table = run_rows
    cells = [table.c.cells[name].as_string().label(name) for name in ("plot_id", "code", "severity")]
    found = select(table.c.position, *cells).where(
        table.c.cooperative_id == key.cooperative_id, table.c.run_id == key.run_id, table.c.name == "findings"
    )
    return _graded(_parts(own, found, table.c.position, -1), veil)


def _findings_of_today(own: Transaction, key: _Key, veil: Veil | None) -> tuple[list[str], list[int]]:
    """Of each plot, what was found when the version that stands today was brought."""
    table = import_findings
    both = table.join(
        plots,
        (plots.c.cooperative_id == table.c.cooperative_id)
        & (plots.c.plot_id == table.c.plot_id)
        & (plots.c.import_id == table.c.import_id),
    )
    found = select(table.c.key, table.c.plot_id, table.c.code, table.c.severity).select_from(both)
    found = found.where(table.c.cooperative_id == key.cooperative_id, plots.c.ended_at.is_(None))
    return _graded(_parts(own, found, table.c.key, 0), veil)


def _graded(parts: Iterator[Sequence[Any]], veil: Veil | None) -> tuple[list[str], list[int]]:
    """Plot and grade of each finding that may be told."""
    told = [row for part in parts for row in part if veil is None or row["code"] in OF_THE_GROUND]
    return [row["plot_id"] for row in told], [_GRADES[row["severity"]] for row in told]


def _classes(own: Transaction, key: _Key) -> bytes | None:
    """The run's table of classes; None once it went with a member who was erased."""
    try:
        return bytes(run_file(own, key.cooperative_id, key.run_id, "classes.csv")["content"])
    except NotFoundError:
        return None


def _land_cover(tx: Transaction, row: Mapping[str, Any]) -> tuple["Product | None", Cover | None]:
    """The product of a run, and its rasters where they still are what they were."""
    from rasterio.errors import RasterioError

    from geomap.landcover.product import product

    try:
        found = [raster(tx, str(raster_id)) for raster_id in row["parameters"].get("rasters") or ()]
    except NotFoundError:
        return None, None
    if not found:
        return None, None
    of, paths = product(found[0]["product"]), [Path(one["path"]) for one in sorted(found, key=lambda one: one["name"])]
    try:
        return of, Cover.of(paths, of) if all(map(is_what_it_was, found)) else None
    except (OSError, RasterioError):
        return of, None
