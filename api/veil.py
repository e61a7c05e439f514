"""What an analyst sees of a cooperative's plots: members who agreed, under ids that lead back to nobody."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.columns import ANALYST_ATTRIBUTES, ANALYST_PLOT, Docs, cut
from geomap.outputs.tables import COLUMN_DOCS
from geomap.store.errors import NotFoundError
from geomap.store.pseudonyms import pseudonym, shared_with_others, who_agreed
from geomap.store.scope import Transaction

Row = Mapping[str, Any]
AT_ONCE: Final = 1_000

_HIDDEN: Final = ("cooperative_id", "given_id", "community", "row", "bbox")
RUN_PLOT: Final[Docs] = {
    **{name: told for name, told in COLUMN_DOCS["plots.parquet"].items() if name not in _HIDDEN},
    **{name: ANALYST_PLOT[name] for name in ("plot_id", "member_id")},
}
"""What an analyst sees of a plot of a run."""


@dataclass(frozen=True)
class Veil:
    """What stands between an analyst and the people of one cooperative.

    Attributes
    ----------
    secret : of the cooperative's pseudonyms. agreed : members whose last word is yes.
    withheld : plots in which somebody else has a share.
    """

    secret: str
    agreed: frozenset[str]
    withheld: frozenset[str]

    @classmethod
    def of(cls, tx: Transaction, cooperative_id: str, secret: str) -> "Veil":
        """The veil as it is at this moment: consent that was taken back counts at once."""
        agreed = who_agreed(tx, cooperative_id)
        return cls(secret, agreed, shared_with_others(tx, cooperative_id, agreed))

    def shows(self, row: Row) -> bool:
        """Whether the plot's member, and everybody who shares it, agreed."""
        return row["member_id"] in self.agreed and row["plot_id"] not in self.withheld

    def ids(self, row: Row) -> dict[str, str]:
        """Pseudonyms of the plot and its member."""
        return {f"{kind}_id": pseudonym(self.secret, kind, row[f"{kind}_id"]) for kind in ("plot", "member")}

    def plot(self, row: Row) -> dict[str, Any]:
        """A plot of the store as an analyst sees it."""
        told = {name: row["attributes"][name] for name in ANALYST_ATTRIBUTES if name in row["attributes"]}
        return {**{name: row[name] for name in ANALYST_PLOT}, "attributes": told, **self.ids(row)}

    def run_plot(self, row: Row) -> dict[str, Any]:
        """A plot of a run as an analyst sees it."""
        cells = row["cells"]
        return {**{name: cells.get(name) for name in RUN_PLOT}, "geometry": row["geometry"], **self.ids(row)}

    def page(
        self, rows: Iterator[Row], show: Callable[[Row], dict[str, Any]], *, after: str, limit: int
    ) -> tuple[Sequence[Row], Any]:
        """The rows that may be seen, by their pseudonyms: their order tells nothing of the ids behind them."""
        seen = (shown for row in rows if self.shows(row) and (shown := show(row))["plot_id"] > after)
        return cut(heapq.nsmallest(limit + 1, seen, key=lambda row: row["plot_id"]), limit, "plot_id")

    def find(self, rows: Iterator[Row], show: Callable[[Row], dict[str, Any]], plot_id: str) -> dict[str, Any]:
        """The one row behind a pseudonym.

        Raises
        ------
        NotFoundError : there is none that may be seen.
        """
        for row in rows:
            if self.shows(row) and self.ids(row)["plot_id"] == plot_id:
                return show(row)
        raise NotFoundError("There is no such plot.")


def walked(part: Callable[[Any], Sequence[Row]], first: Any, key: str) -> Iterator[Row]:
    """All rows of a list, read in parts; `part` gives those after a `key`."""
    after = first
    while rows := part(after):
        yield from rows
        after = rows[-1][key]
