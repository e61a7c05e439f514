"""The whole flow: laws that must hold for any run, and sums that a reader can check."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.errors import ColumnError, UnknownNameError
from geomap.plots.area import area_ha
from geomap.plots.member_shares import to_shares
from geomap.plots.table import to_plots
from geomap.run import estimate

CELL = 1 / 12000
WEST, NORTH = -88.7, 14.7
HONDURAS_KG_HA = 1150
SETTINGS = {"product": "esa-worldcover-2021", "crop": "coffee", "country": "HN"}


def square(column, row, cells=5):
    """A square of some cells of the raster, about 83 m² each."""
    west, north = WEST + column * CELL, NORTH - row * CELL
    return shapely.box(west, north - cells * CELL, west + cells * CELL, north)


def table(shapes, **columns):
    frame = gpd.GeoDataFrame(columns, geometry=list(shapes), crs="EPSG:4326")
    if "plot_id" not in frame:
        frame.insert(0, "plot_id", [f"P{i:03d}" for i in range(len(frame))])
    return to_plots(frame)[0]


@pytest.fixture
def raster(tmp_path):
    """Tree cover in the west, cropland in the middle, 20 columns of water in the east, a stripe without data."""
    codes = np.full((200, 200), 10, dtype="uint8")
    codes[:, 100:] = 40
    codes[:, 180:] = 80
    codes[190:] = 0
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=200, width=200, count=1, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(WEST, NORTH, CELL, CELL), tiled=True, blockxsize=64, blockysize=64,
    ) as target:  # fmt: skip
        target.write(codes, 1)
    return path


@pytest.fixture
def village(raster):
    """Sixty squares of 24 members in 3 cooperatives; some on water, some on no data."""
    rng = np.random.default_rng(4)
    places = [(int(c), int(r)) for c in range(2, 194, 16) for r in range(2, 190, 38)]
    members = [f"M{int(i):02d}" for i in rng.integers(0, 24, len(places))]
    return table(
        [square(c, r, cells=5 + (c * r) % 7) for c, r in places],
        member_id=members,
        cooperative_id=[f"C{int(m[1:]) % 3}" for m in members],
        community=[f"V{int(m[1:]) % 5}" for m in members],
    )


def test_a_plot_on_tree_cover_bears_area_times_base_yield(raster):
    plots = table([square(10, 10)], member_id=["M1"], cooperative_id=["C1"])
    run = estimate(plots, [raster], **SETTINGS)
    assert run.total["potential_kg"] == pytest.approx(area_ha(plots.geometry).iloc[0] * HONDURAS_KG_HA, rel=1e-9)


def test_water_takes_away_its_share_times_the_maps_accuracy(raster):
    # Cells 178–182 of 180 and more are water: 2 of 4 columns; users' accuracy of water is .894.
    run = estimate(table([square(178, 10, cells=4)], member_id=["M1"]), [raster], **SETTINGS)
    assert run.plots["f"].iloc[0] == pytest.approx(1 - 0.5 * 0.894, rel=1e-9)


def test_means_add_up_over_members_cooperatives_and_attributes(raster, village):
    run = estimate(village, [raster], by=["community"], **SETTINGS)
    total = run.total["potential_kg"]
    for part in (run.members, run.cooperatives, run.by["community"]):
        assert part["potential_kg"].sum() == pytest.approx(total, rel=1e-12)
        assert part["area_ha"].sum() == pytest.approx(run.total["area_ha"], rel=1e-12)
    assert run.plots["potential_kg"].sum() == pytest.approx(total, rel=1e-12)
    assert run.total["members"] == village["member_id"].nunique()


def test_shared_errors_keep_the_sum_uncertain(raster, village):
    run = estimate(village, [raster], **SETTINGS)

    def spread(row):
        return np.log(row["potential_p90_kg"] / row["potential_p10_kg"])

    widest_part = run.cooperatives.apply(spread, axis=1).max()
    # The base yield's .35 is shared by all: the sum cannot be surer than that, and is surer than its parts.
    assert 2 * 1.2816 * np.sqrt(np.log1p(0.35**2)) < spread(run.total) < widest_part


def test_yield_times_c_gives_c_times_the_potential(raster, village):
    once = estimate(village, [raster], base_yield_kg=400, **SETTINGS)
    twice = estimate(village, [raster], base_yield_kg=800, **SETTINGS)
    for column in ("potential_kg", "potential_p10_kg", "potential_p90_kg"):
        assert np.allclose(twice.cooperatives[column], 2 * once.cooperatives[column], rtol=1e-12)


def test_the_union_of_cooperatives_is_their_sum(raster, village):
    whole = estimate(village, [raster], **SETTINGS)
    parts = [estimate(village[village["cooperative_id"] == coop], [raster], **SETTINGS) for coop in ("C0", "C1", "C2")]
    assert sum(part.total["potential_kg"] for part in parts) == pytest.approx(whole.total["potential_kg"], rel=1e-9)


def test_a_plot_cut_in_two_bears_the_same(raster):
    whole = square(90, 20, cells=20)
    west, south, east, north = whole.bounds
    middle = west + 0.3 * (east - west)
    halves = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]
    one = estimate(table([whole], member_id=["M1"]), [raster], **SETTINGS)
    two = estimate(table(halves, member_id=["M1", "M1"]), [raster], **SETTINGS)
    assert two.total["potential_kg"] == pytest.approx(one.total["potential_kg"], rel=1e-9)


def test_adding_a_plot_never_lowers_the_potential(raster, village):
    before = -1.0
    for count in range(40, 61, 4):
        now = estimate(village.iloc[:count], [raster], **SETTINGS).total["potential_kg"]
        assert now >= before
        before = now


def test_ground_that_two_members_claim_counts_once(raster):
    alone = estimate(table([square(10, 10, 10)], member_id=["M1"]), [raster], **SETTINGS)
    both = estimate(table([square(10, 10, 10)] * 2, member_id=["M1", "M2"]), [raster], **SETTINGS)
    assert both.total["potential_kg"] == pytest.approx(alone.total["potential_kg"], rel=1e-6)
    assert both.members["potential_kg"].tolist() == pytest.approx([alone.total["potential_kg"] / 2] * 2, rel=1e-6)
    (finding,) = both.findings[both.findings["code"] == "duplicate_plot"].to_dict("records")
    assert finding["effect_kg"] == pytest.approx(-alone.total["potential_kg"], rel=1e-6)


def test_ground_without_data_takes_the_share_of_the_cooperative(raster):
    # The first plot lies on no data, the second half on water: f of the first is that of the second.
    plots = table([square(10, 192), square(178, 10, cells=4)], member_id=["M1", "M2"], cooperative_id=["C", "C"])
    run = estimate(plots, [raster], **SETTINGS)
    assert run.plots["f"].tolist() == pytest.approx([1 - 0.5 * 0.894] * 2, rel=1e-9)
    assert run.plots["nodata_ha"].iloc[0] == pytest.approx(run.plots["area_ha"].iloc[0], rel=1e-9)


def members_of(**columns):
    frame = pd.DataFrame(columns).set_index("member_id")
    return frame.assign(name="", community="", declared_area_ha=frame.get("declared_area_ha", np.nan))


def test_a_member_without_a_plot_counts_with_the_declared_area(raster):
    plots = table([square(10, 10, 10)], member_id=["M1"], cooperative_id=["C"])
    people = members_of(member_id=["M1", "M2"], cooperative_id=["C", "C"], declared_area_ha=[np.nan, 2.0])
    run = estimate(plots, [raster], members=people, **SETTINGS)
    # f of the only plot is 1, no ratio of measured to declared areas is known: 2 ha × 1,150 kg.
    assert run.cooperatives["unmapped_kg"].tolist() == pytest.approx([2 * HONDURAS_KG_HA])
    assert run.total[["members", "members_mapped"]].tolist() == [2, 1]
    assert run.findings["code"].tolist().count("member_without_plot") == 1


def test_plots_of_another_crop_are_left_out_and_said(raster):
    plots = table([square(10, 10), square(30, 10)], member_id=["M1", "M1"], crop=["Coffee", "maize"])
    run = estimate(plots, [raster], **SETTINGS)
    assert run.plots.index.tolist() == ["P000"]
    assert run.findings[run.findings["code"] == "other_crop"]["plot_id"].tolist() == ["P001"]


def test_a_young_planting_bears_nothing_yet(raster):
    plots = table([square(10, 10), square(30, 10)], member_id=["M1", "M2"], planted_year=[2025, 2010])
    run = estimate(plots, [raster], season="2026/27", **SETTINGS)
    assert run.plots["potential_kg"].iloc[0] == 0
    assert run.plots["potential_kg"].iloc[1] > 0


def test_months_come_with_a_season_and_add_up(raster, village):
    assert estimate(village, [raster], **SETTINGS).months.empty
    run = estimate(village, [raster], season="2026/27", **SETTINGS)
    sums = run.months.groupby("cooperative_id")["mean_kg"].sum()
    assert np.allclose(sums, run.cooperatives.set_index("id")["potential_kg"].reindex(sums.index), rtol=1e-9)
    assert run.months["month"].min() == "2026-10"


def test_honey_counts_hives_and_not_land(raster):
    plots = table([square(10, 10), square(182, 10)], member_id=["M1", "M2"], hives=[10, 5])
    run = estimate(plots, [raster], product="esa-worldcover-2021", crop="honey", country="MX")
    assert run.total["potential_kg"] == pytest.approx(15 * 29.1)


def test_supply_stays_empty_without_evidence(raster, village):
    run = estimate(village, [raster], **SETTINGS)
    assert run.cooperatives[["supply_kg", "supply_p10_kg", "supply_p50_kg", "supply_p90_kg"]].isna().all(axis=None)
    assert run.summary["totals"]["supply_kg"] is None
    assert run.summary["evidence"] == "country averages"


def test_the_order_of_rows_and_the_number_of_workers_do_not_matter(raster, village):
    plain = estimate(village, [raster], workers=1, by=["community"], **SETTINGS)
    again = estimate(village.sample(frac=1, random_state=2), [raster], workers=7, by=["community"], **SETTINGS)
    for name in ("classes", "members", "cooperatives", "variance", "environment", "findings"):
        pd.testing.assert_frame_equal(getattr(plain, name), getattr(again, name), check_exact=True)
    pd.testing.assert_frame_equal(
        plain.plots.drop(columns=["geometry", "row"]), again.plots.drop(columns=["geometry", "row"]), check_exact=True
    )
    assert plain.summary == again.summary


def test_an_attribute_that_nobody_has_is_refused_with_the_ones_there_are(raster, village):
    with pytest.raises(ColumnError, match=r"no column 'altitude' to sum by.*Choose one of: .*community"):
        estimate(village, [raster], by=["altitude"], **SETTINGS)


def test_a_missing_attribute_is_summed_as_none(raster, village):
    some = village.assign(variety=["Lempira", None] * (len(village) // 2))
    run = estimate(some, [raster], by=["variety"], **SETTINGS)
    assert run.by["variety"]["id"].tolist() == ["(none)", "Lempira"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": "cofee"}, "coffee"),
        ({"country": "Hondurras"}, "Honduras"),
        ({"product": "worldcover"}, "esa-worldcover"),
        ({"form": "liquid"}, "green"),
        ({"season": "2026/29"}, "2026/27"),
    ],
)
def test_a_wrong_name_is_refused_with_the_right_one(raster, village, wrong, message):
    with pytest.raises(UnknownNameError, match=message):
        estimate(village, [raster], **{**SETTINGS, **wrong})


def test_every_assumption_has_a_source_and_a_support(raster, village):
    told = estimate(village, [raster], **SETTINGS).summary["assumptions"]
    assert {row["support"] for row in told} <= {"strong", "medium", "weak"}
    assert all(row["source"] and row["value"] for row in told)


def test_a_plot_of_nobody_in_the_members_file_is_said(raster):
    plots = table([square(10, 10), square(30, 10)], member_id=["M1", "M9"], cooperative_id=["C", "C"])
    people = members_of(member_id=["M1"], cooperative_id=["C"])
    run = estimate(plots, [raster], members=people, **SETTINGS)
    assert run.findings[run.findings["code"] == "plot_without_member"]["plot_id"].tolist() == ["P001"]
    assert run.total["members"] == 2


def test_brothers_share_a_plot_and_its_kilograms(raster):
    plots = table([square(10, 10), square(30, 10)], member_id=["M1", "M3"], cooperative_id=["C1", "C1"])
    shares, _ = to_shares(pd.DataFrame({"plot": ["P000", "P000"], "member": ["M1", "M2"], "share": ["3/4", "1/4"]}))
    alone = estimate(plots, [raster], **SETTINGS)
    run = estimate(plots, [raster], shares=shares, **SETTINGS)
    whole = alone.members.set_index("id")["potential_kg"]
    found = run.members.set_index("id")["potential_kg"]
    assert found.to_dict() == pytest.approx({"M1": whole["M1"] * 3 / 4, "M2": whole["M1"] / 4, "M3": whole["M3"]})
    assert run.total["potential_kg"] == pytest.approx(alone.total["potential_kg"], rel=1e-12)
    assert run.cooperatives["plots"].tolist() == [2] and run.cooperatives["members"].tolist() == [3]
    pd.testing.assert_series_equal(run.plots["productive_ha"], alone.plots["productive_ha"])


def test_a_shared_plot_keeps_its_errors_and_each_member_has_seasons_of_their_own(raster):
    plots = table([square(10, 10)], member_id=["M1"], cooperative_id=["C1"])
    shares, _ = to_shares(pd.DataFrame({"plot": ["P000", "P000"], "member": ["M1", "M2"], "share": [0.75, 0.25]}))

    def one_plus_variance(run):
        return (run.total["potential_kg"] / run.total["potential_p50_kg"]) ** 2  # log-normal: mean / median = √(1 + V)

    alone, shared = (one_plus_variance(estimate(plots, [raster], shares=some, **SETTINGS)) for some in (None, shares))
    # All else being one plot's, only member_season (.30) is drawn twice: .09 · (.75² + .25²) instead of .09.
    assert shared / alone == pytest.approx((1 + 0.09 * (0.75**2 + 0.25**2)) / 1.09, rel=1e-9)


def test_a_member_with_a_share_is_not_said_to_have_no_plot(raster):
    plots = table([square(10, 10)], member_id=["M1"], cooperative_id=["C1"])
    members = members_of(member_id=["M1", "M2"], cooperative_id="C1")
    shares, _ = to_shares(pd.DataFrame({"plot": ["P000", "P000"], "member": ["M1", "M2"]}))
    run = estimate(plots, [raster], members=members, shares=shares, **SETTINGS)
    assert "member_without_plot" not in set(run.findings["code"])
    assert run.total["unmapped_kg"] == 0 and run.total["members_mapped"] == 2


def test_a_share_of_a_plot_that_is_not_there_is_said(raster):
    plots = table([square(10, 10)], member_id=["M1"])
    shares, _ = to_shares(pd.DataFrame({"plot": ["P9", "P9"], "member": ["M1", "M2"]}))
    run = estimate(plots, [raster], shares=shares, **SETTINGS)
    assert run.findings.set_index("code")["plot_id"]["share_without_plot"] == "P9"


def test_points_looked_at_on_the_ground_stand_for_the_maps_accuracy(raster):
    """Water: the map is right in 89.4 of 100 cases. Here 0 of 40 points of it were wet, so far less is taken off."""
    plots = table([square(178, 10, cells=4)], member_id=["M1"], cooperative_id=["C1"])
    sample = pd.DataFrame({"map_class": 80, "can_bear": [True] * 40}, index=[f"p{i}" for i in range(40)])
    usual, local = estimate(plots, [raster], **SETTINGS), estimate(plots, [raster], local_sample=sample, **SETTINGS)
    kappa = 0.894 * 0.106 / 0.10**2 - 1
    wet = kappa * 0.894 / (40 + kappa)
    area = area_ha(plots.geometry).iloc[0]
    assert usual.total["productive_ha"] == pytest.approx(area * (1 - 0.5 * 0.894), rel=1e-6)
    assert local.total["productive_ha"] == pytest.approx(area * (1 - 0.5 * wet), rel=1e-6)
    assert local.summary["local_sample"] == [
        {
            "class": 80,
            "name": "Permanent water",
            "points": 40,
            "cannot_bear": round(wet, 4),
            "se": pytest.approx(0.0519, abs=1e-3),
        }
    ]
    assert "samples_agree" in set(local.findings["code"])
    assert any("looked at" in row["term"] for row in local.summary["assumptions"])


def test_the_plot_of_a_member_who_left_is_not_counted_and_priced(raster):
    plots = table([square(10, 10), square(30, 10)], member_id=["M1", "M2"], cooperative_id=["C1", "C1"])
    members = members_of(member_id=["M1", "M2"], cooperative_id="C1", left=["", "2025-03-01"])
    run = estimate(plots, [raster], members=members, season="2026/27", **SETTINGS)
    assert run.plots.index.tolist() == ["P000"]
    told = run.findings.set_index("code").loc["member_left"]
    assert told["plot_id"] == "P001" and told["action"] == "left_out"
    assert told["effect_ha"] == pytest.approx(-area_ha(plots.geometry)["P001"])
    before = estimate(plots, [raster], members=members, season="2024/25", **SETTINGS)
    assert before.plots.index.tolist() == ["P000", "P001"]


def test_a_sum_is_asked_for_in_the_words_of_the_office(raster, village):
    run = estimate(village, [raster], by=["Comunidad"], **SETTINGS)
    assert list(run.by) == ["community"]
