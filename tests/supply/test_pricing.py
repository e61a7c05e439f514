import numpy as np
import pandas as pd
import pytest

from geomap.findings import join_findings, make_findings
from geomap.supply.pricing import by_cooperative, priced, sentence

PLOTS = pd.DataFrame(
    {
        "cooperative_id": ["A", "A", "B"],
        "counted_area_ha": [2.0, 1.0, 0.0],
        "potential_kg": [1000.0, 800.0, 0.0],
        "nodata_ha": [0.0, 0.25, 0.0],
        "outside_ha": [0.5, 0.0, 0.0],
    },
    index=pd.Index(["P1", "P2", "P3"], name="plot_id"),
)
LEFT_OUT = pd.DataFrame({"cooperative_id": ["B"]}, index=pd.Index(["P4"], name="plot_id"))
COOPERATIVES = pd.DataFrame({"area_ha": [3.0, 0.0], "potential_kg": [2000.0, 0.0], "unmapped_kg": [200.0, 0.0]})


def prices(*parts):
    table = priced(join_findings(parts), PLOTS, COOPERATIVES)
    return table.set_index("plot_id")[["effect_ha", "effect_kg"]].to_dict("index")


def test_hectares_are_priced_with_the_plots_own_yield():
    told = prices(make_findings("overlap", ["P1", "P2"], "shared", effect_ha=[-0.5, -0.1], action="split"))
    assert told["P1"]["effect_kg"] == pytest.approx(-0.5 * 1000 / 2)
    assert told["P2"]["effect_kg"] == pytest.approx(-0.1 * 800)


def test_a_plot_left_out_is_priced_with_the_mean_of_all():
    # (2,000 − 200) kg on 3 ha; P3 counts no ground, so it has no yield of its own either.
    told = prices(make_findings("invalid", ["P4", "P3"], "crossed", effect_ha=[-2.0, -1.0], action="left_out"))
    assert [told["P4"]["effect_kg"], told["P3"]["effect_kg"]] == pytest.approx([-1200.0, -600.0])


def test_ground_that_the_map_does_not_show_is_priced():
    told = prices(make_findings("outside_raster", ["P1"], "outside"), make_findings("nodata", ["P2"], "clouds"))
    assert told == {"P1": {"effect_ha": 0.5, "effect_kg": 250.0}, "P2": {"effect_ha": 0.25, "effect_kg": 200.0}}


def test_what_moves_nothing_costs_nothing():
    told = prices(make_findings("spike", ["P1"], "jump"))
    assert np.isnan([told["P1"]["effect_ha"], told["P1"]["effect_kg"]]).all()


def test_each_cooperative_has_the_sum_of_each_code():
    found = join_findings(
        [
            make_findings("overlap", ["P1", "P2", "P3"], "shared", effect_ha=[-0.5, -0.1, -0.2], action="split"),
            make_findings("invalid", ["P4"], "crossed", effect_ha=-2.0, action="left_out"),
            make_findings("spike", ["P1"], "jump"),
            make_findings("area_ratio", [""], "the file"),
        ]
    )
    table = by_cooperative(priced(found, PLOTS, COOPERATIVES), PLOTS, LEFT_OUT)
    assert table[["cooperative_id", "code", "findings"]].to_numpy().tolist() == [
        ["", "area_ratio", 1],
        ["A", "overlap", 2],
        ["A", "spike", 1],
        ["B", "invalid", 1],
        ["B", "overlap", 1],
    ]
    assert table["effect_ha"].tolist() == pytest.approx([np.nan, -0.6, np.nan, -2.0, -0.2], nan_ok=True)
    assert table["effect_kg"].tolist() == pytest.approx([np.nan, -330.0, np.nan, -1200.0, -120.0], nan_ok=True)


def test_without_findings_there_are_no_sums():
    assert by_cooperative(join_findings([]), PLOTS, LEFT_OUT).empty


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("overlap", 3, -1.2, -640.0), "3 overlaps: 1.2 ha and 640 kg counted once"),
        (("overlap", 1, -1.2), "1 overlap: 1.2 ha counted once"),
        (("nodata", 2, 0.5, 210.0), "2 plots without land-cover data: 0.5 ha and 210 kg count unverified"),
        (("duplicate_plot", 1, -0.01, -2.4), "1 plot drawn twice: 2 kg counted once"),
        (("repaired", 4, np.nan), "4 repaired outlines"),
    ],
)
def test_a_sum_is_said_in_one_line(told, expected):
    assert sentence(*told) == expected
