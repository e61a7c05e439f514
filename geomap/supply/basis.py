"""What a cooperative keeps of a release to judge its next one: who made up each number, and how open each member is."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from geomap.errors import ColumnError
from geomap.supply.guarded import Floats, Partition, partition

UNCHANGED_SHARE: Final = 0.01
"""A member whose kilograms moved by no more than this has not changed."""

NUMBER_COLUMNS: Final = ["members", "mean_kg", "low_kg", "high_kg", "base_kg", "status"]
MEMBER_COLUMNS: Final = ["member_id", "value_kg", "below", "above", "present"]
CONTENT_COLUMNS: Final = ["table", "part", "member_id", "value_kg"]

_TEXTS: Final = {"id", "season", "value", "month", "members", "status", "member_id", "table", "part"}
_KINDS: Final = {"size_km": "int64", "rest": "bool", "present": "bool"} | dict.fromkeys(_TEXTS, "str")

Row = dict[str, Any]


@dataclass(frozen=True)
class Basis:
    """What the cooperative keeps to judge its next release; never for buyers.

    Attributes
    ----------
    members : member_id, value_kg, below and above (how far earlier numbers leave the member open, as shares of its
        value; `inf`: not bounded), present (False: has left).
    contents : table, part, member_id, value_kg: who made up each number when it was released.
    numbers : table, part and the number as it was released.
    changed : members who joined, left or changed since the release before; None at the first. Where they are few, the
        two signed totals tell their sum: the cooperative sees that before it signs.
    """

    members: pd.DataFrame
    contents: pd.DataFrame
    numbers: pd.DataFrame
    changed: int | None = None


@dataclass(frozen=True)
class Members:
    """Members with their kilograms, beside what earlier releases told of them.

    Attributes
    ----------
    kg : kilograms, indexed by member_id, sorted.
    base : coarsest base that a member of the cooperative needs, kg.
    """

    kg: "pd.Series[float]"
    basis: Basis | None
    base: float
    min_members: int

    @property
    def changed(self) -> int | None:
        """How many members joined, left or changed since the last release."""
        if self.basis is None:
            return None
        before = self.basis.members[self.basis.members["present"]]
        return changes(before.set_index("member_id")["value_kg"], self.kg[self.kg > 0])

    def parts(self, name: str, table: pd.DataFrame, keys: Iterable[str]) -> Partition:
        """The parts of a table, judged by themselves, with their old numbers where too few members changed.

        Parameters
        ----------
        table : member_id, part (one of `keys`, or missing: in no part), value_kg. What members have beyond it is in no
            part.

        Raises
        ------
        ColumnError : a member is not known, or has more here than in all.
        """
        names = list(keys)
        member = self.kg.index.get_indexer(pd.Index(table["member_id"].astype("str")))
        kg = table["value_kg"].to_numpy(float)
        part = pd.Index(names, dtype=object).get_indexer(pd.Index(table["part"].to_numpy(dtype=object)))
        left = self._left(name, member, kg)
        rows = pd.DataFrame({
            "member": np.concatenate([member, np.arange(len(left))]),
            "part": np.concatenate([part, np.full(len(left), -1)]),
            "kg": np.concatenate([kg, left]),
        })  # fmt: skip
        rows = rows[rows["kg"] > 0].sort_values(["part", "member", "kg"])
        sums = rows.groupby(["part", "member"], as_index=False)["kg"].sum()
        columns = sums["member"].to_numpy(np.int64), sums["part"].to_numpy(np.int64), sums["kg"].to_numpy(float)
        return self._keeping(partition(name, names, *columns, base=self.base, min_members=self.min_members))

    def left_open(self) -> tuple[Floats, Floats]:
        """How far below and above its kilograms each member is left open by earlier releases, in kilograms."""
        kg = self.kg.to_numpy(float)
        if self.basis is None:
            return kg.copy(), np.full(len(kg), np.inf)
        before = self.basis.members.set_index("member_id")
        below = before["below"].reindex(self.kg.index).fillna(1.0).to_numpy(float)
        above = before["above"].reindex(self.kg.index).fillna(np.inf).to_numpy(float)
        return below * kg, np.where(np.isinf(above), np.inf, above * np.where(kg > 0, kg, 1.0))

    def earlier(self, name: str) -> dict[str, Row]:
        """The numbers of a table as they were released last, by part."""
        if self.basis is None:
            return {}
        numbers = self.basis.numbers
        return {str(row["part"]): row for row in numbers[numbers["table"] == name].to_dict("records")}

    def contents_before(self, name: str) -> "dict[str, pd.Series[float]]":
        """Kilograms of the members in each number of a table as it was released last."""
        if self.basis is None:
            return {}
        contents = self.basis.contents[self.basis.contents["table"] == name]
        return {str(part): rows.set_index("member_id")["value_kg"] for part, rows in contents.groupby("part")}

    def contents(self, table: Partition) -> "dict[str, pd.Series[float]]":
        """Kilograms of the members in each part."""
        rows = pd.DataFrame({"part": table.part, "member_id": self.kg.index[table.member], "value_kg": table.kg})
        groups = rows[rows["part"] >= 0].groupby("part")
        return {table.keys[int(part)]: group.set_index("member_id")["value_kg"] for part, group in groups}

    def next_basis(
        self, tables: Iterable[Partition], numbers: Mapping[str, list[Row]], below: Floats, above: Floats
    ) -> Basis:
        """The basis of these tables, with the numbers they show and what they leave open of each member."""
        contents, shown = [], []
        for table in tables:
            before, now = self.contents_before(table.name), self.contents(table)
            for part in np.flatnonzero(table.shown).tolist():
                key = table.keys[part]
                inside = (before if table.kept[part] else now)[key].sort_index()
                contents += [[table.name, key, member, kg] for member, kg in inside.items()]
                shown.append({"table": table.name, "part": key, **numbers[table.name][part]})
        return Basis(
            self._open_shares(below, above),
            frame([dict(zip(CONTENT_COLUMNS, row, strict=True)) for row in contents], CONTENT_COLUMNS),
            frame(shown, ["table", "part", *NUMBER_COLUMNS]),
            self.changed,
        )

    def _left(self, name: str, member: "np.typing.NDArray[Any]", kg: Floats) -> Floats:
        """What members have beyond these rows."""
        total = self.kg.to_numpy(float)
        there = np.bincount(member[member >= 0], kg[member >= 0], minlength=len(total))
        wrong = int((there > total * (1 + 1e-6) + 1e-6).sum() + (member < 0).sum())
        if wrong:
            raise ColumnError(
                f"{wrong} rows of {name} are of unknown members or of members that have less in all.",
                why="A part would hold more than the whole.",
                todo="Bring the same quantity of the same run in both tables.",
            )
        left = total - there
        return np.where(left > total * 1e-9, left, 0.0)

    def _keeping(self, table: Partition) -> Partition:
        before, now, numbers = self.contents_before(table.name), self.contents(table), self.earlier(table.name)
        base, kept = table.base.copy(), table.kept.copy()
        for part in np.flatnonzero(table.shown).tolist():
            key = table.keys[part]
            if key in before and changes(before[key], now[key]) < self.min_members:
                base[part], kept[part] = numbers[key]["base_kg"], True
        return replace(table, base=base, kept=kept)

    def _open_shares(self, below: Floats, above: Floats) -> pd.DataFrame:
        kg = self.kg.to_numpy(float)
        unit = np.where(kg > 0, kg, 1.0)
        columns = [self.kg.index, kg, np.where(kg > 0, below / unit, 1.0), above / unit, True]
        now = pd.DataFrame(dict(zip(MEMBER_COLUMNS, columns, strict=True)))
        if self.basis is not None:
            gone = self.basis.members[~self.basis.members["member_id"].isin(self.kg.index)]
            now = pd.concat([now, gone.assign(present=False)])
        rows = now.sort_values("member_id").to_dict("records")
        return frame(rows, MEMBER_COLUMNS)


def changes(before: "pd.Series[float]", now: "pd.Series[float]") -> int:
    """How many members are in one of two sums only, or moved by more than a hundredth.

    Examples
    --------
    >>> changes(pd.Series({"A": 100.0, "B": 100.0, "C": 100.0}), pd.Series({"B": 100.5, "C": 150.0, "D": 100.0}))
    3
    """
    both = pd.concat([before, now], axis=1, join="outer").to_numpy(float)
    with np.errstate(invalid="ignore"):
        same = np.abs(both[:, 1] - both[:, 0]) <= UNCHANGED_SHARE * np.abs(both[:, 0])
    return int((~same).sum())


def frame(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    """A table of these columns, each of its kind whatever the rows: texts, whole numbers, or numbers with NaN."""
    table = pd.DataFrame(list(rows), columns=columns)
    return table.astype({column: _KINDS.get(column, "float64") for column in columns})


def records(table: pd.DataFrame) -> list[Row]:
    """Rows of a table ready for JSON: a number that is missing or not finite is None."""
    return [{key: _plain(value) for key, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
