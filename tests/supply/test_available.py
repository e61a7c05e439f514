"""What can still be sold: certificates, contracts that share kilograms, months, and the chance to deliver."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from geomap.errors import ColumnError, NumberError
from geomap.supply.allocation import Allocation
from geomap.supply.available import AVAILABLE_COLUMNS, available
from geomap.supply.certificates import certificate_sets, certificate_shares, certificates, set_name, set_of
from geomap.supply.months import season_months
from geomap.supply.totals import interval

HN = {"crop": "coffee", "country": "HN", "season": "2026/27"}
SETS = ("", "fairtrade", "organic", "fairtrade+organic")


def totals(mean: float = 1000.0, cv: float = 0.2) -> pd.DataFrame:
    return pd.DataFrame({"mean_kg": [mean], "var": [(cv * mean) ** 2]}, index=pd.Index(["C"], name="cooperative_id"))


def shares(**by_set: float) -> pd.DataFrame:
    names = [name.replace("_", "+").replace("none", "") for name in by_set]
    return pd.DataFrame({"cooperative_id": "C", "certificates": names, "share": list(by_set.values())})


def contracts(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Each row: certification, month, kilograms."""
    table = pd.DataFrame(rows, columns=["certification", "month", "kg"]).astype({"kg": float})
    return table.astype({"certification": "str", "month": "str"}).assign(cooperative_id="C")


def season(table: pd.DataFrame, column: str = "available_kg") -> dict[str, float]:
    """Figures of the whole season by certificate."""
    return table.groupby("certification")[column].last().round(6).to_dict()


def sold(sold_rows: pd.DataFrame, own: pd.DataFrame | None, mean: float = 1000.0, **options) -> pd.DataFrame:
    return available(totals(mean), sold_rows, own, None, **HN, **options)


# ---- certificates ----


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("organic; fairtrade", "fairtrade+organic"),
        ("FT/ORG", "fairtrade+organic"),
        ("Orgánico y Comercio Justo", "fairtrade+organic"),
        ("FT-ORG", "fairtrade+organic"),
        ("organic rainforest alliance", "organic+rainforest alliance"),
        ("C.A.F.E. Practices, 4C", "4c+cafe practices"),
        ("Convencional", ""),
        ("n/a", ""),
        ("", ""),
        ("Fairtrade®", "fairtrade"),
        ("Manos Verdes", "manos verdes"),
        ("bio + Manos Verdes", "manos verdes+organic"),
        ("utz", "rainforest alliance"),
    ],
)
def test_texts_of_offices_name_sets_of_certificates(text, name):
    assert set_name(certificates(text)) == name
    assert set_of(name) == certificates(text)


def test_a_certificate_counts_in_the_seasons_in_which_it_is_valid():
    members = pd.DataFrame(
        {
            "certification": ["organic"] * 5,
            "certified_from": ["", "2027-09-30", "2027-10-01", "", "2025-01-01"],
            "certified_until": ["", "", "", "2026-09-30", "2026-10-01"],
        },
        index=list("ABCDE"),
    )
    valid = certificate_sets(members, "2026/27")
    assert valid.tolist() == ["organic", "organic", "", "", "organic"]
    assert certificate_sets(members, "2026/27", on="2026-12-01").tolist() == ["organic", "", "", "", ""]
    assert certificate_sets(members.drop(columns="certification"), "2026/27").tolist() == [""] * 5


def test_shares_by_set_add_up_to_one():
    members = pd.DataFrame(
        {"cooperative_id": ["C", "C", "D", "C"], "supply_kg": [500.0, 300.0, 7.0, 200.0]}, index=list("ABXD")
    )
    found = certificate_shares(members, pd.Series({"A": "organic", "B": "fairtrade+organic", "X": "organic"}))
    own = found[found["cooperative_id"] == "C"]
    assert dict(zip(own["certificates"], own["share"], strict=True)) == pytest.approx(
        {"": 0.2, "organic": 0.5, "fairtrade+organic": 0.3}
    )
    assert found.groupby("cooperative_id")["share"].sum().tolist() == pytest.approx([1.0, 1.0])
    with pytest.raises(ColumnError, match="stands twice"):
        certificate_shares(members, pd.Series(["a", "b"], index=["A", "A"]))


# ---- kilograms ----


def test_two_certificates_by_hand():
    # 300 both, 200 organic only, 100 fairtrade only, 400 none. Sold: 350 organic, 250 fairtrade, 100 of any kind.
    own = shares(none=0.4, fairtrade=0.1, organic=0.2, fairtrade_organic=0.3)
    table = sold(contracts(("organic", "", 350.0), ("FT", "", 250.0), ("", "", 100.0)), own)
    # Organic 500 − 350; fairtrade 400 − 250; but together 600 − 600: every certified kilogram is sold.
    assert season(table) == {"": 300.0, "fairtrade": 0.0, "organic": 0.0}
    assert season(table, "supply_kg") == {"": 1000.0, "fairtrade": 400.0, "organic": 500.0}
    assert season(table, "contracts_kg") == {"": 700.0, "fairtrade": 250.0, "organic": 350.0}
    assert season(table, "short_kg") == {"": 0.0, "fairtrade": 0.0, "organic": 0.0}
    # With 200 fairtrade sold instead: 50 kg more of either, not of both.
    table = sold(contracts(("organic", "", 350.0), ("FT", "", 200.0), ("", "", 100.0)), own)
    assert season(table) == {"": 350.0, "fairtrade": 50.0, "organic": 50.0}


def test_a_contract_for_both_certificates_draws_on_the_coffee_that_carries_both():
    own = shares(none=0.4, fairtrade=0.1, organic=0.2, fairtrade_organic=0.3)
    table = sold(contracts(("organic; fairtrade", "", 250.0)), own)
    # both: 300 − 250; organic: 500 − 250; fairtrade: 400 − 250; any: 1000 − 250
    assert season(table) == {"": 750.0, "fairtrade": 150.0, "fairtrade+organic": 50.0, "organic": 250.0}


def test_a_shortage_is_said_and_leaves_the_other_coffee_for_sale():
    table = sold(contracts(("organic", "", 500.0)), shares(none=0.9, organic=0.1))
    assert season(table) == {"": 900.0, "organic": 0.0}
    assert season(table, "short_kg") == {"": 400.0, "organic": 400.0}


def test_local_sales_and_seconds_leave_before_contracts():
    told = pd.DataFrame({"local_sales_share": [0.1], "seconds_share": [0.15]}, index=["C"])
    table = sold(contracts(("", "", 200.0)), None, settings=told)
    assert season(table) == {"": 550.0}  # 1000 − 100 − 150 − 200
    assert season(table, "local_and_seconds_kg") == {"": 250.0}
    with pytest.raises(NumberError, match="sum is at most 1"):
        sold(contracts(), None, settings=told.assign(seconds_share=0.95))


def test_a_later_contract_is_kept_free_of_earlier_sales_and_an_early_one_needs_early_coffee():
    months = season_months("2026/27", 10)
    late = sold(contracts(("", "", 700.0)), None)
    ready = late["supply_kg"].to_numpy()
    assert late["available_kg"].to_numpy() == pytest.approx(np.minimum(ready, 300.0))
    early = sold(contracts(("", "2027-01", 100.0)), None)
    assert early["month"].tolist()[:12] == [*months]
    at = months.index("2027-01")
    assert early["short_kg"].to_numpy()[at] == pytest.approx(max(100.0 - ready[at], 0.0))
    assert early["available_kg"].iloc[-1] == pytest.approx(1000.0 - 100.0 + early["short_kg"].iloc[-1])


def test_a_contract_before_or_after_the_months_is_due_in_the_first_or_the_last():
    first = sold(contracts(("", "2020-01", 100.0)), None)
    assert first["contracts_kg"].tolist() == [100.0] * len(first)
    last = sold(contracts(("", "2030-01", 100.0)), None)
    assert last["contracts_kg"].tolist() == [0.0] * (len(last) - 1) + [100.0]


def test_the_chance_to_cover_a_season_is_that_of_its_total():
    own = shares(none=0.75, organic=0.25)
    table = sold(contracts(("organic", "", 200.0), ("", "", 700.0)), own)
    for q in (0.1, 0.5, 0.9):
        kg = float(interval([1000.0], [40000.0], q)[0])
        covered = sold(contracts(("", "", kg)), None)
        assert covered["chance_covered"].iloc[-1] == pytest.approx(1 - q, abs=2e-3)
    # organic: 200 / .25 = 800; all: 900; so organic is surer than everything
    only = sold(contracts(("", "", 900.0)), None)["chance_covered"].iloc[-1]
    assert season(table, "chance_covered")[""] == pytest.approx(only, abs=1e-6)
    assert season(table, "chance_covered")["organic"] == pytest.approx(only, abs=1e-6)  # beside the other contract
    free = sold(contracts(("organic", "", 200.0)), own)
    assert season(free, "chance_covered")["organic"] == pytest.approx(
        sold(contracts(("", "", 800.0)), None)["chance_covered"].iloc[-1], abs=1e-6
    )
    assert season(sold(contracts(("organic", "", 1.0)), None), "chance_covered") == {"": 0.0, "organic": 0.0}


def test_chances_are_those_of_a_simulation_by_month():
    table = sold(contracts(("", "2027-04", 300.0), ("", "", 500.0)), None).set_index("month")
    chance = table["chance_covered"]
    assert (chance.iloc[:6] == 1.0).all()  # nothing is due
    assert chance["2027-04"] < chance["2027-05"] < chance["2027-07"]  # 300 kg against more and more
    assert chance.iloc[-1] == pytest.approx(0.85, abs=0.03)  # ln(.8) + s²/2 = −.2035; Φ(.2035/.198) = .848


settings_of_laws = settings(max_examples=25, deadline=None)
kilos = st.integers(1, 900)
dues = st.sampled_from(["", "2026-12", "2027-02", "2027-03", "2027-06"])
rows = st.lists(st.tuples(st.sampled_from(SETS), dues, kilos), max_size=5)
weights = st.lists(st.integers(0, 10), min_size=4, max_size=4).filter(lambda parts: sum(parts) > 0)


def certified(parts: list[int]) -> pd.DataFrame:
    by_set = {name.replace("+", "_") or "none": part / sum(parts) for name, part in zip(SETS, parts, strict=True)}
    return shares(**by_set)


@settings_of_laws
@given(rows, weights, st.tuples(st.sampled_from(SETS), dues, kilos))
def test_available_never_exceeds_supply_and_a_contract_never_raises_it(given_rows, parts, further):
    own = certified(parts)
    before = sold(contracts(*given_rows), own)
    for name in ("available_kg", "available_p10_kg"):
        assert (before[name] <= before[name.replace("available", "supply")] * (1 + 1e-9) + 1e-9).all()
        assert (before[name] >= 0).all()
        curve = before.groupby("certification")[name]
        assert (curve.diff().dropna() >= -1e-9).all()
    after = sold(contracts(*given_rows, further), own)
    both = before.merge(after, on=["certification", "month"], suffixes=("", "_after"))
    assert len(both) == len(before)
    assert (both["available_kg_after"] <= both["available_kg"] + 1e-6).all()
    assert (both["short_kg_after"] >= both["short_kg"] - 1e-6).all()
    assert (both["chance_covered_after"] <= both["chance_covered"] + 1e-9).all()


def most_by_program(supply: np.ndarray, case: Allocation, asked: frozenset[str], month: int) -> float:
    """The most that can be sold further by a month while all contracts are met, by linear programming; NaN: not met."""
    months = len(supply)
    kinds = [*case.kinds, asked]
    flows = [
        (s, k, ready, due)
        for s, k, ready, due in product(range(len(case.sets)), range(len(kinds)), range(months), range(months))
        if kinds[k] <= case.sets[s] and ready <= due
    ]
    new = np.diff(supply, prepend=0.0)
    limits = np.zeros((len(case.sets) * months, len(flows)))
    demand = np.zeros((len(case.kinds) * months, len(flows)))
    gain = np.zeros(len(flows))
    for column, (s, k, ready, due) in enumerate(flows):
        limits[s * months + ready, column] = 1.0
        if k < len(case.kinds):
            demand[k * months + due, column] = 1.0
        elif due <= month:
            gain[column] = -1.0
    found = linprog(
        gain,
        A_ub=limits,
        b_ub=np.outer(case.share, new).ravel(),
        A_eq=demand if len(demand) else None,
        b_eq=np.diff(case.due, axis=1).ravel() if len(demand) else None,
    )
    return -found.fun if found.status == 0 else np.nan


@settings_of_laws
@given(
    st.lists(st.tuples(st.sampled_from(SETS), st.integers(0, 3), st.integers(1, 60)), max_size=4),
    st.lists(st.integers(0, 10), min_size=4, max_size=4).filter(lambda parts: sum(parts) > 0),
    st.lists(st.integers(0, 60), min_size=4, max_size=4),
    st.sampled_from(SETS),
)
def test_what_can_be_sold_is_the_answer_of_linear_programming(given_rows, parts, new, name):
    supply = np.cumsum(np.array(new, dtype=float))
    due: dict[str, np.ndarray] = {}
    for kind, month, kg in given_rows:
        due.setdefault(kind, np.zeros(4))[month] += kg
    own = {kind: part / sum(parts) for kind, part in zip(SETS, parts, strict=True)}
    case = Allocation.of(own, due, 4)
    most, _ = case.sellable(supply, set_of(name))
    short = case.sellable(supply, frozenset())[1][-1]
    for month in range(4):
        expected = most_by_program(supply, case, set_of(name), month)
        if np.isnan(expected):
            assert short > 0
        else:
            assert most[month] == pytest.approx(expected, abs=1e-6)


def test_so_many_contracts_that_choices_cannot_all_be_tried_are_brought_forward():
    kinds = ["", "a", "b", "c", "a+b", "b+c"]
    due = {kind: np.full(12, 10.0) for kind in kinds}
    own = {"a+b+c": 0.5, "a": 0.2, "": 0.3}
    case = Allocation.of(own, due, 12)
    assert len(case.choices) <= 50_000
    assert case.due[:, -1] == pytest.approx([120.0] * 6)
    assert (case.due >= np.arange(13) * 10.0 - 1e-9).all()  # never later than they are due


def test_a_set_that_hardly_anyone_has_breaks_nothing():
    own = shares(none=1.0, organic=2.2e-311, fairtrade_organic=5e-324)
    table = sold(contracts(("organic", "", 1.0)), own)
    assert season(table, "chance_covered") == {"": 0.0, "fairtrade": 1.0, "organic": 0.0}
    assert season(table) == {"": 1000.0, "fairtrade": 0.0, "organic": 0.0}


# ---- the table ----


def test_the_table_has_its_columns_and_rows_in_order_whatever_the_order_of_the_input():
    both = pd.concat([totals(), totals(500.0).set_axis(["B"]), totals(np.nan).set_axis(["A"])])
    own = shares(none=0.5, organic=0.5)
    three = contracts(("organic", "2027-05", 10.1), ("", "", 20.2), ("organic", "", 30.3), ("FT", "2027-05", 0.7))
    table = available(both, three, own, None, **HN)
    turned = available(both.iloc[::-1], three.iloc[::-1], own.iloc[::-1], None, **HN)
    pd.testing.assert_frame_equal(table, turned, check_exact=True)
    assert table.columns.tolist() == AVAILABLE_COLUMNS
    assert table["cooperative_id"].unique().tolist() == ["B", "C"]
    assert table.loc[table["cooperative_id"] == "B", "certification"].unique().tolist() == [""]
    keys = table[["cooperative_id", "certification", "month"]]
    assert keys.equals(keys.sort_values(keys.columns.tolist(), ignore_index=True))


def test_without_a_calendar_there_are_no_rows():
    table = available(totals(), contracts(("", "", 5.0)), None, None, crop="honey", country="MX", season="2026/27")
    assert table.columns.tolist() == AVAILABLE_COLUMNS
    assert table.empty
