"""The sheets of the office's workbook: which columns of a run stand where, with titles in the office's language."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from geomap.outputs.estimate_pen import localized
from geomap.outputs.harvest_estimate import run_id
from geomap.outputs.kit import finding_rows
from geomap.outputs.kit_data import kit_of
from geomap.outputs.text import plain
from geomap.outputs.units import Unit, reader_unit, told_by
from geomap.outputs.words import Words
from geomap.supply import crops

if TYPE_CHECKING:
    from geomap.run import Run

MOST_TEXT: Final = 1_000
_CASES: Final = {"mean": "", "low": "p10_", "middle": "p50_", "high": "p90_"}
_QUANTITIES: Final = ("potential", "supply")
_DECIMALS: Final = (("_kg", 1), ("_ha", 6), ("share", 6))
"""As in the CSV files."""
_MONTHS: Final = ("mean_kg", "p10_kg", "p50_kg", "p90_kg")
_SOLD: Final = (
    "supply_kg", "supply_p10_kg", "local_and_seconds_kg", "contracts_kg", "available_kg", "available_p10_kg",
    "short_kg", "chance_covered",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a sheet: its header, kind (kg, ha, count, share, unit, text), values, meaning and width."""

    title: str
    kind: str
    values: Sequence[Any]
    meaning: str = ""
    width: float | None = None


@dataclass(frozen=True)
class Sheet:
    """A sheet: its name, a line of notes, and columns.

    Attributes
    ----------
    file : where all of it stands as exact numbers.
    empty : what it says where it has no rows.
    last_is_sum : the last row adds the others.
    above : facts that stand over the header.
    """

    name: str
    note: str
    columns: tuple[Column, ...]
    file: str = ""
    empty: str = ""
    last_is_sum: bool = False
    above: tuple[tuple[str, str], ...] = ()

    @property
    def rows(self) -> int:
        return len(self.columns[0].values) if self.columns else 0


def office_sheets(run: "Run", texts: Words) -> list[Sheet]:
    """The sheets with their columns, without the last one that explains them."""
    office = _Office(run, texts)
    return [
        office.summary(), office.members(), office.plots(), office.months(), office.communities(), office.findings(),
        office.available(),
    ]  # fmt: skip


class _Office:
    """Makes the sheets of one run in one language."""

    def __init__(self, run: "Run", texts: Words) -> None:
        self.run, self.texts, self.place = run, texts, run.summary["parameters"]
        key = f"est:form:{self.place['form']}"
        self.form = texts[key] if key in texts.words else crops.form_title(self.place["crop"], self.place["form"])
        self.note = texts["wb:numbers"].format(form=self.form)
        self.unit = self._unit()

    def summary(self) -> Sheet:
        run, texts = self.run, self.texts
        table = pd.concat([run.cooperatives, run.total.to_frame().T], ignore_index=True)
        ids = [*run.cooperatives["id"].astype("str"), texts["wb:all"]]
        several = len(run.cooperatives) > 1
        table, ids = (table, ids) if several else (table.head(1), ids[:1])
        facts = (
            (texts["t:form"], self.form),
            (texts["t:season"], self.place["season"] or "–"),
            (texts["wb:map"], run.product.title),
            (texts["wb:run"], run_id(run.summary) or "–"),
        )
        columns = (_text(texts["cooperative"], ids, width=26), *self._sums(table))
        return Sheet(texts["wb:summary"], self.note, columns, "cooperatives.csv", "", several, facts)

    def members(self) -> Sheet:
        table, texts = self.run.members, self.texts
        columns = (
            _text(texts["t:member_id"], table["id"]),
            _text(texts["t:name"], _column(table, "name"), width=26),
            _text(texts["t:community"], _column(table, "community")),
            _text(texts["cooperative"], _column(table, "cooperative_id")),
            *self._sums(table, members=False),
        )
        return Sheet(texts["s:members"], f"{texts['wb:private']} {self.note}", columns, "members.csv")

    def plots(self) -> Sheet:
        table, texts = self.run.plots, self.texts
        columns = (
            _text(texts["t:plot_id"], table.index),
            _text(texts["t:member_id"], table["member_id"]),
            _text(texts["t:community"], _column(table, "community")),
            _text(texts["cooperative"], table["cooperative_id"]),
            *(self._measure(table, name) for name in ("area_ha", "counted_area_ha", "productive_ha", "nodata_ha")),
            *self._kilograms(table, ("mean", "low", "high")),
        )
        return Sheet(texts["s:plots"], f"{texts['wb:private']} {self.note}", columns, "plots.parquet")

    def months(self) -> Sheet:
        table, texts = self.run.months, self.texts
        told = {"all": texts["wb:all"]}
        names = [f"{texts['wb:' + case]}, kg" for case in _CASES]
        columns = (
            _text(texts["cooperative"], [told.get(str(one), one) for one in table["cooperative_id"]], width=26),
            _text(texts["wb:month"], table["month"], texts["wb:m:month"], width=10),
            _text(texts["wb:quantity"], [texts[f"wb:{one}"] for one in table["quantity"]]),
            *(
                Column(name, "kg", as_in_csv(table[column], column), texts[f"wb:m:{case}"])
                for name, column, case in zip(names, _MONTHS, _CASES, strict=True)
            ),
            *self._counted(table["mean_kg"], texts["wb:mean"]),
        )
        return Sheet(texts["wb:months"], self.note, columns, "months.csv", texts["wb:no_months"])

    def communities(self) -> Sheet:
        texts, table = self.texts, self.run.by.get("community")
        if table is None:
            return Sheet(texts["wb:communities"], self.note, (), "", texts["wb:no_communities"])
        names = [str(one) if str(one).strip() else texts["no_community"] for one in table["id"]]
        columns = (_text(texts["t:community"], names, width=26), *self._sums(table))
        return Sheet(texts["wb:communities"], self.note, columns, "by_community.csv")

    def findings(self) -> Sheet:
        run, texts = self.run, self.texts
        table = finding_rows(kit_of(run), texts)
        effects = (("effect_ha", "ha"), ("effect_kg", "kg"))
        wide = {"found": 36, "todo": 36, "details": 60, "name": 22}
        first = ("severity", "given_id", "member", "name", "community", "cooperative", "found", "todo", "treated")
        columns = (
            *(_text(texts[name], table[name], width=wide.get(name)) for name in first),
            *(
                Column(texts[name], kind, as_in_csv(run.findings[name], name), texts["wb:m:effect"])
                for name, kind in effects
            ),
            _text(texts["details"], table["details"], width=wide["details"]),
        )
        return Sheet(texts["findings"], texts["wb:private"], columns, "findings.csv", texts["wb:no_findings"])

    def available(self) -> Sheet:
        texts, outlook = self.texts, self.run.outlook
        if outlook is None or not outlook.has_supply or outlook.available.empty:
            return Sheet(texts["wb:available"], self.note, (), "", texts["wb:no_available"])
        table = outlook.available
        certified = [str(one) if one else texts["wb:any"] for one in table["certification"]]
        columns = (
            _text(texts["cooperative"], table["cooperative_id"], width=26),
            _text(texts["wb:certification"], certified, width=22),
            _text(texts["wb:month"], table["month"], texts["wb:m:available"], width=10),
            *(
                Column(
                    texts[f"wb:{name}"], "share" if name == "chance_covered" else "kg", as_in_csv(table[name], name),
                    texts["wb:m:chance_covered"] if name == "chance_covered" else "",
                )
                for name in _SOLD
            ),
        )  # fmt: skip
        return Sheet(texts["wb:available"], f"{self.note} {texts['wb:m:available']}.", columns, "available.csv")

    def _sums(self, table: pd.DataFrame, *, members: bool = True) -> tuple[Column, ...]:
        texts = self.texts
        counts = [
            Column(texts["wb:members"], "count", as_in_csv(table["members"], "members")),
            Column(
                texts["wb:members_mapped"], "count", as_in_csv(table["members_mapped"], "members_mapped"),
                texts["wb:m:members_mapped"],
            ),
        ]  # fmt: skip
        plots = Column(texts["plots"], "count", as_in_csv(table["plots"], "plots"))
        areas = (self._measure(table, name) for name in ("area_ha", "productive_ha"))
        kg = self._kilograms(table, tuple(_CASES))
        return (*(counts if members else ()), plots, *areas, *kg)

    def _measure(self, table: pd.DataFrame, name: str) -> Column:
        texts = self.texts
        return Column(f"{texts[f'wb:{name}']}, ha", "ha", as_in_csv(table[name], name), texts[f"wb:m:{name}"])

    def _kilograms(self, table: pd.DataFrame, cases: tuple[str, ...]) -> Iterable[Column]:
        """The cases of potential and, where there is any, of supply; the mean in the office's unit too."""
        texts = self.texts
        for quantity in _QUANTITIES:
            names = {case: f"{quantity}_{_CASES[case]}kg" for case in cases}
            known = {case: name for case, name in names.items() if name in table and table[name].notna().any()}
            for case, name in known.items():
                title = f"{texts[f'wb:{quantity}']}: {texts[f'wb:{case}']}, kg"
                meaning = f"{texts[f'wb:m:{quantity}']}. {texts[f'wb:m:{case}']}."
                yield Column(title, "kg", as_in_csv(table[name], name), meaning)
                if case == "mean":
                    yield from self._counted(table[name], f"{texts[f'wb:{quantity}']}: {texts['wb:mean']}")

    def _counted(self, kg: "pd.Series[float]", title: str) -> Iterable[Column]:
        if self.unit is not None:
            size = localized(f"{self.unit.size_kg:g}", self.texts.language)
            name = self.texts[f"est:{self.unit.kind}"].format(size=size)
            numbers = np.round(kg.to_numpy(float, na_value=np.nan) / self.unit.kg, 2)
            yield Column(f"{title}, {name}", "unit", numbers.tolist())

    def _unit(self) -> Unit | None:
        """What the office counts in; None where cooperatives count in different units, or no unit is known."""
        place, outlook = self.place, self.run.outlook
        settings = None if outlook is None else outlook.settings
        units = {
            reader_unit(place["crop"], place["country"], place["form"], told=told_by(settings, str(one)))
            for one in self.run.cooperatives["id"]
        }
        return units.pop() if len(units) == 1 else None


def as_in_csv(values: "pd.Series[Any]", column: str) -> list[float]:
    """The numbers of a column as its CSV file holds them; NaN where there is none.

    Examples
    --------
    >>> as_in_csv(pd.Series([1.26, 2.0]), "potential_kg"), as_in_csv(pd.Series([0.12345678912]), "chance_covered")
    ([1.3, 2.0], [0.1234567891])
    """
    numbers = pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    decimals = next((places for ending, places in _DECIMALS if column.endswith(ending)), None)
    if decimals is None:
        return [float(f"{number:.10g}") for number in numbers.tolist()]
    return [float(f"{number:.{decimals}f}") for number in (np.rint(numbers * 10**decimals) / 10**decimals).tolist()]


def _column(table: pd.DataFrame, name: str) -> Sequence[Any]:
    return table[name].to_numpy(dtype=object).tolist() if name in table else [""] * len(table)


def _text(title: str, values: Iterable[Any], meaning: str = "", *, width: float | None = None) -> Column:
    return Column(
        title, "text", ["" if _missing(value) else plain(value, limit=MOST_TEXT) for value in values], meaning, width
    )


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value != value  # noqa: PLR0124 - NaN is no NaN
