"""What would narrow an interval."""

import pandas as pd

from geomap.supply.items import Items
from geomap.supply.narrow import what_would_narrow


def items(kinds: list[str], *, uncovered: bool = False, known: bool = True) -> Items:
    table = pd.DataFrame({"kind": kinds, "uncovered": uncovered, "planted_known": known, "age_known": known})
    return Items(table, pd.DataFrame(), pd.DataFrame(), pd.Series(dtype=float))


def shares(**share: float) -> pd.DataFrame:
    return pd.DataFrame({"source": list(share), "share": list(share.values())})


def test_the_largest_three_come_first() -> None:
    found = what_would_narrow(
        shares(cooperative=0.2, base_yield=0.5, unmapped=0.3, drawn=0.04, conversion=0.1), items(["unmapped"] * 40)
    )
    assert len(found) == 3
    assert found[0].startswith("Bring deliveries of two or more past seasons, or the cooperative's own yield: 50 %")
    assert found[1].startswith("Map the 40 members without a plot: 30 %")
    assert found[2].startswith("Weigh a lot")


def test_a_source_that_does_not_matter_is_not_named() -> None:
    assert what_would_narrow(shares(unmapped=0.02), items(["unmapped"])) == []


def test_what_is_already_known_is_not_asked_for() -> None:
    known = items(["measured", "declared"])
    assert what_would_narrow(shares(age=0.2, planted=0.2, uncovered=0.2), known) == []
    assert len(what_would_narrow(shares(age=0.2, planted=0.2), items(["measured"], known=False))) == 2


def test_declared_areas_are_counted() -> None:
    found = what_would_narrow(shares(declared_bias=0.4, area=0.1), items(["declared", "measured"]))
    assert found == ["Walk the outlines of the 1 plot with a declared area only: 40 % of the variance goes with it."]


def test_classes_of_a_map_are_one_source() -> None:
    table = pd.DataFrame({"source": ["map:esa:50", "map_region:50"], "share": [0.05, 0.2]})
    found = what_would_narrow(table, items(["measured"]))
    assert found == ["Check the land cover of 50 points or more in the field: 20 % of the variance goes with it."]
