"""What whoever asks may see of a cooperative's plots, put together for pages: what the API answers, and no more."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import or_, select

from api.access import OFFICE, Asked
from api.columns import RUN, Row, only
from api.routes.runs import ANALYST_TABLES
from api.veil import AT_ONCE, RUN_PLOT, Veil, walked
from geomap.errors import UnknownNameError
from geomap.store import audit, schema
from geomap.store.errors import NotFoundError
from geomap.store.pseudonyms import pseudonym_secret, shared_with_others, who_agreed
from geomap.store.rasters import raster
from geomap.store.runs import run_names, run_plots, run_rows
from geomap.store.scope import Transaction
from geomap.store.types import now

if TYPE_CHECKING:
    import pandas as pd

    from geomap.landcover.product import Product

STEP: Final = 5
"""Counts of what is not seen stand in steps of five, as in releases."""
FEW: Final = 10
KG: Final = ("mean", "low", "high")


@dataclass(frozen=True)
class Seen:
    """Plots of a run as whoever asks sees them.

    Attributes
    ----------
    rows : without outlines, by plot_id; an analyst's have pseudonyms.
    whole : how many plots the run has, as far as it is told: least and most. most is None where nothing is hidden.
    """

    rows: Sequence[Mapping[str, Any]]
    whole: tuple[int, int | None]

    @property
    def members(self) -> int:
        """Members whose plots are seen."""
        return len({row["member_id"] for row in self.rows if row["member_id"]})


def seen_plots(asked: Asked, cooperative_id: str, run_id: str) -> Seen:
    """The plots of a run that whoever asks may see; an analyst's look is written down.

    Raises
    ------
    NotFoundError : there is no such run within reach.
    """
    columns = [name for name in RUN_PLOT if name != "geometry"]
    is_office = asked.scope.role in OFFICE
    secret = "" if is_office else pseudonym_secret(asked.store, cooperative_id)
    if not is_office:
        with asked.store.begin(asked.scope) as tx:
            audit.record(tx, "plots.read", cooperative_id=cooperative_id, object=run_id)
    with asked.store.read(asked.scope) as tx:
        every = _plots(tx, cooperative_id, run_id)
        if is_office:
            rows = [{**one["cells"], "plot_id": one["plot_id"], "member_id": one["member_id"]} for one in every]
            return Seen([{name: row.get(name) for name in columns} for row in rows], (len(rows), None))
        veil, size, shown = Veil.of(tx, cooperative_id, secret), 0, []
        for one in every:
            size += 1
            if veil.shows(one):
                told = veil.run_plot(one)
                shown.append({name: told[name] for name in columns})
    return Seen(sorted(shown, key=lambda row: str(row["plot_id"])), about(size, len(shown)))


def _plots(tx: Transaction, cooperative_id: str, run_id: str) -> Iterator[Row]:
    return walked(lambda after: run_plots(tx, cooperative_id, run_id, after=after, limit=AT_ONCE), -1, "position")


def about(size: int, seen: int) -> tuple[int, int | None]:
    """A number of which some are hidden, in a step of five: least and most; what is seen is never less.

    Examples
    --------
    >>> about(23, 7), about(23, 22), about(8, 3)
    ((20, 24), (22, 24), (3, 9))
    """
    least, most = (0, FEW - 1) if size < FEW else (size - size % STEP, size - size % STEP + STEP - 1)
    return max(least, seen), most


def plots_today(tx: Transaction, cooperative_id: str) -> tuple[int, tuple[int, int | None]]:
    """How many of a cooperative's plots of today may be seen, and of about how many."""
    plots = schema.plots
    query = select(plots.c.plot_id, plots.c.member_id)
    rows = tx.fetch(query.where(plots.c.cooperative_id == cooperative_id, plots.c.ended_at.is_(None)))
    if tx.scope.role in OFFICE:
        return len(rows), (len(rows), None)
    agreed = who_agreed(tx, cooperative_id)
    withheld = shared_with_others(tx, cooperative_id, agreed)
    seen = sum(row["member_id"] in agreed and row["plot_id"] not in withheld for row in rows)
    return seen, about(len(rows), seen)


def grant_of(tx: Transaction, cooperative_id: str, account_id: str) -> Row | None:
    """The grant of plots to an account that holds longest; None without one, as in the office itself."""
    grants = schema.grants
    query = select(grants.c.starts_at, grants.c.ends_at).where(
        grants.c.cooperative_id == cooperative_id,
        grants.c.account_id == account_id,
        grants.c.kind == "plots",
        grants.c.revoked_at.is_(None),
        grants.c.starts_at <= now(),
        or_(grants.c.ends_at.is_(None), grants.c.ends_at > now()),
    )
    rows = [dict(row) for row in tx.fetch(query)]
    return max(rows, key=lambda row: float("inf") if row["ends_at"] is None else row["ends_at"], default=None)


def method(tx: Transaction, row: Row) -> dict[str, Any]:
    """What a run rests on, as far as an analyst may read it: assumptions, maps, versions, hashes."""
    facts = {name: value for name, value in only(row, RUN).items() if name not in ("title", "inputs", "summary")}
    facts["parameters"] = {name: value for name, value in row["parameters"].items() if name != "title"}
    return {**facts, "assumptions": row["summary"]["assumptions"], "maps": maps_of(tx, row)}


def maps_of(tx: Transaction, row: Row) -> list[Row]:
    """The rasters of a run that are still registered."""
    maps: list[Row] = []
    for raster_id in row["parameters"].get("rasters") or []:
        with suppress(NotFoundError):
            maps.append(raster(tx, raster_id))
    return maps


def product_of(maps: Sequence[Row]) -> "Product | None":
    """The land-cover product of a run's rasters; None where we do not know it."""
    from geomap.landcover.product import product

    try:
        return product(maps[0]["product"]) if maps else None
    except UnknownNameError:
        return None


def legend_rows(product: "Product | None") -> list[dict[str, Any]]:
    """Classes of a product with what its makers measured of their accuracy; None where nobody published it."""
    if product is None:
        return []
    legend = product.legend.astype(object).where(product.legend.notna(), None)
    return [{"class": code, **row} for code, row in zip(legend.index, legend.to_dict("records"), strict=True)]


def tables(tx: Transaction, row: Row) -> dict[str, list[Row]]:
    """The tables of a run that an analyst may read: shares and scores, no sums."""
    names = run_names(tx, row["cooperative_id"], row["run_id"])["tables"]
    return {name: table(tx, row, name) for name in sorted(ANALYST_TABLES & set(names))}


def table(tx: Transaction, row: Row, name: str) -> list[Row]:
    """The rows of one table of a run."""
    of = (row["cooperative_id"], row["run_id"], name)
    return [one["cells"] for one in walked(lambda after: run_rows(tx, *of, after=after, limit=AT_ONCE), -1, "position")]


def frame(rows: Sequence[Mapping[str, Any]], cooperative_id: str = "") -> "pd.DataFrame":
    """Plots as a table, index plot_id."""
    import pandas as pd

    columns = [name for name in RUN_PLOT if name not in ("geometry", "plot_id")]
    texts = ("member_id", "kind", "crop", "cooperative_id")
    table = pd.DataFrame(list(rows), columns=["plot_id", *columns]).set_index("plot_id")
    table["cooperative_id"] = cooperative_id
    for name in table.columns:
        known = table[name].isna() if name in texts else None
        table[name] = (
            pd.to_numeric(table[name], errors="coerce") if known is None else table[name].mask(known, "").astype("str")
        )
    return table


def sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Hectares and potential of plots that are seen, with the interval of the sum and of a hectare."""
    from geomap.supply.totals import totals
    from geomap.supply.written import written_items

    table = frame(rows)
    counted = table["counted_area_ha"].fillna(0.0)
    area, shown = float(counted.sum()), {"plots": len(rows), "area_ha": float(counted.sum())}
    if not len(rows):
        return {**shown, "kg": None, "per_ha": None}
    told = totals(written_items(table)).iloc[0]
    kg = {"mean": float(told["mean_kg"]), "low": float(told["p10"]), "high": float(told["p90"])}
    per_ha = {case: value / area for case, value in kg.items()} if area > 0 else None
    return {**shown, "kg": kg, "per_ha": per_ha}
