"""Kilograms by month."""

import numpy as np
import pandas as pd
import pytest

from geomap.errors import UnknownNameError
from geomap.supply.months import COLUMNS, CONCENTRATION, SHIFT_MONTHS, harvest_calendar, months, parse_season

NICARAGUA = harvest_calendar("coffee", "NI")


def one_cooperative(mean: float = 1000.0, cv: float = 0.4) -> pd.DataFrame:
    return pd.DataFrame({"mean_kg": [mean], "var": [(cv * mean) ** 2]}, index=pd.Index(["C"], name="group"))


@pytest.mark.parametrize("text", ["2026", "2026/28", "26/27", "2026/2028", "next", "", "2026/27/28", "٢٠٢٦/27"])
def test_what_is_no_season_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UnknownNameError, match="Write it like 2026/27"):
        parse_season(text)


def test_a_season_begins_in_october() -> None:
    table = months(one_cooperative(), NICARAGUA, "2026/27")
    assert list(table.columns) == COLUMNS
    assert table["month"].tolist()[:4] == ["2026-10", "2026-11", "2026-12", "2027-01"]
    assert table["month"].tolist()[-1] == "2027-09"


def test_months_of_a_cooperative_add_up_to_its_total() -> None:
    for country in ("NI", "CO", "PE"):
        table = months(one_cooperative(), harvest_calendar("coffee", country), "2026/27")
        assert table["mean_kg"].sum() == pytest.approx(1000.0)


def test_the_first_of_two_harvests_has_three_quarters() -> None:
    # Kenya: October to December .25 each, June to August .25 / 3 each
    shares = harvest_calendar("coffee", "KE")
    assert shares[[10, 11, 12]].tolist() == pytest.approx([0.25] * 3)
    assert shares[[6, 7, 8]].tolist() == pytest.approx([0.25 / 3] * 3)


def test_harvest_falls_into_its_months_but_for_the_shift() -> None:
    table = months(one_cooperative(), NICARAGUA, "2026/27").set_index("month")
    assert table.loc["2026-12":"2027-03", "mean_kg"].sum() > 850
    assert table.loc["2027-07", "p90_kg"] == 0.0
    assert (table["p10_kg"] <= table["p50_kg"]).all()
    assert (table["p50_kg"] <= table["p90_kg"]).all()


def test_a_month_holds_what_simulation_says() -> None:
    rng = np.random.default_rng(4)
    draws = 200_000
    s2 = np.log1p(0.4**2)
    total = 1000 * rng.lognormal(-s2 / 2, np.sqrt(s2), draws)
    shift = SHIFT_MONTHS * rng.standard_normal(draws)
    # January is the second of four harvest months: full until the harvest moves by more than one month
    share = 0.25 * np.clip(np.minimum(shift + 2, 3 - shift), 0, 1)
    part = np.where(share > 0, rng.beta(np.maximum(CONCENTRATION * share, 1e-9), CONCENTRATION * (1 - share)), 0.0)
    row = months(one_cooperative(), NICARAGUA, "2026/27").set_index("month").loc["2027-01"]
    expected = np.quantile(total * part, [0.1, 0.5, 0.9])
    assert row[["p10_kg", "p50_kg", "p90_kg"]].tolist() == pytest.approx(expected.tolist(), rel=0.03)


def test_nothing_gives_nothing_in_every_month() -> None:
    table = months(one_cooperative(0.0), NICARAGUA, "2026/27")
    assert (table[["mean_kg", "p10_kg", "p50_kg", "p90_kg"]] == 0).all(axis=None)


def test_a_cooperative_does_not_depend_on_its_neighbours() -> None:
    alone = months(one_cooperative(), NICARAGUA, "2026/27")
    other = one_cooperative(50.0, 2.0).set_axis(["B"])
    both = months(pd.concat([one_cooperative(), other]), NICARAGUA, "2026/27")
    assert both["cooperative_id"].unique().tolist() == ["B", "C"]
    own = both[both["cooperative_id"] == "C"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone, check_exact=True)


def test_without_a_calendar_there_are_no_months() -> None:
    calendar = harvest_calendar("honey", "MX")
    assert calendar.empty
    table = months(one_cooperative(), calendar, "2026/27")
    assert list(table.columns) == COLUMNS
    assert table.empty
