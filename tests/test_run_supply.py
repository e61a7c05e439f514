"""From plots and deliveries to supply: laws of the whole flow, and sums that a reader can check."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from geomap.errors import FileError
from geomap.outputs.tables import write_run
from geomap.plots.table import to_plots
from geomap.run import estimate
from geomap.supply.alarm import PRIVATE_CODES
from geomap.supply.brought import Brought, Evidence, read_evidence
from geomap.supply.choice import choose
from geomap.supply.own_tables import read_crop_tables

CELL = 1 / 12000
WEST, NORTH = -88.7, 14.7
SETTINGS = {"product": "esa-worldcover-2021", "crop": "coffee", "country": "HN"}
SEASONS = ("2023/24", "2024/25", "2025/26")


@pytest.fixture
def raster(tmp_path):
    path = tmp_path / "map.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=200, width=200, count=1, dtype="uint8", crs="EPSG:4326",
        transform=from_origin(WEST, NORTH, CELL, CELL), tiled=True, blockxsize=64, blockysize=64,
    ) as target:  # fmt: skip
        target.write(np.full((200, 200), 10, dtype="uint8"), 1)
    return path


def plots_of(count, cooperatives=2):
    """Squares of 8 cells, one per member, in turn of each cooperative."""
    places = [(4 + 12 * (i % 15), 4 + 12 * (i // 15)) for i in range(count)]
    shapes = [
        shapely.box(WEST + c * CELL, NORTH - (r + 8) * CELL, WEST + (c + 8) * CELL, NORTH - r * CELL) for c, r in places
    ]
    frame = gpd.GeoDataFrame(
        {
            "plot_id": [f"P{i:03d}" for i in range(count)],
            "member_id": [f"M{i:03d}" for i in range(count)],
            "cooperative_id": [f"C{i % cooperatives}" for i in range(count)],
            "community": [f"V{i % 4}" for i in range(count)],
        },
        geometry=shapes,
        crs="EPSG:4326",
    )
    return to_plots(frame)[0]


def deliveries_of(plots, kg=450.0, seasons=SEASONS):
    """Every member delivers `kg` of green coffee in every season."""
    rows = [
        {"cooperative_id": coop, "member_id": member, "season": season, "kg": kg}
        for season in seasons
        for member, coop in zip(plots["member_id"], plots["cooperative_id"], strict=True)
    ]
    frame = pd.DataFrame(rows)
    date = [pd.Timestamp(f"{season[:4]}-12-15") for season in frame["season"]]
    return frame.assign(row=range(1, len(frame) + 1), date=date, given_kg=frame["kg"], given_form="green")


def test_supply_is_near_what_came_and_surer_than_the_potential(raster):
    plots = plots_of(60)
    run = estimate(plots, [raster], evidence=Evidence(deliveries=deliveries_of(plots)), **SETTINGS)
    assert run.outlook.season == "2026/27"
    for row in run.cooperatives.itertuples():
        assert row.supply_kg == pytest.approx(30 * 450.0, rel=0.05)
        told = (row.supply_p90_kg - row.supply_p10_kg) / row.supply_kg
        assert told < 0.7 * (row.potential_p90_kg - row.potential_p10_kg) / row.potential_kg


def test_supply_adds_up_over_plots_members_cooperatives_and_attributes(raster):
    plots = plots_of(60)
    run = estimate(plots, [raster], by=["community"], evidence=Evidence(deliveries=deliveries_of(plots)), **SETTINGS)
    total = run.total["supply_kg"]
    for part in (run.plots, run.members, run.cooperatives, run.by["community"]):
        assert part["supply_kg"].sum() == pytest.approx(total, rel=1e-9)
    months = run.months[run.months["quantity"] == "supply"]
    assert months["mean_kg"].sum() == pytest.approx(total, rel=1e-9)
    assert set(months["month"].str[:4]) == {"2026", "2027"}


def test_a_cooperative_has_the_interval_of_its_calibration_and_its_parts_a_wider_one(raster):
    plots = plots_of(60)
    run = estimate(plots, [raster], by=["community"], evidence=Evidence(deliveries=deliveries_of(plots)), **SETTINGS)
    calibrated = run.outlook.calibration.cooperatives
    found = run.cooperatives.set_index("id")
    for name in ("supply_kg", "supply_p10_kg", "supply_p50_kg", "supply_p90_kg"):
        pd.testing.assert_series_equal(found[name], calibrated[name], check_names=False, check_index_type=False)

    def width(row):
        return (row["supply_p90_kg"] - row["supply_p10_kg"]) / row["supply_kg"]

    assert width(run.members.iloc[0]) > width(run.by["community"].iloc[0]) > width(found.iloc[0]) > width(run.total)


def test_without_evidence_supply_stays_empty_and_with_a_declared_share_it_is_that_share(raster):
    plots = plots_of(20, cooperatives=1)
    chosen = choose("coffee", "HN", season="2026/27")
    evidence, _ = read_evidence(Brought(delivered_share=0.6), chosen)
    told = estimate(plots, [raster], season="2026/27", evidence=evidence, **SETTINGS)
    silent = estimate(plots, [raster], season="2026/27", evidence=Evidence(), **SETTINGS)
    assert told.total["supply_kg"] == pytest.approx(0.6 * told.total["potential_kg"], rel=1e-9)
    assert told.summary["evidence"] == "declared share"
    assert np.isnan(silent.total["supply_kg"]) and silent.summary["evidence"] == "country averages"
    assert silent.months["quantity"].unique().tolist() == ["potential"]


def test_signed_commitments_stand_for_the_delivered_share_where_nothing_else_tells_it(raster):
    plots = plots_of(20, cooperatives=1)
    signed = pd.DataFrame({"cooperative_id": "C0", "member_id": plots["member_id"], "season": "2026/27", "kg": 30.0})
    run = estimate(plots, [raster], season="2026/27", evidence=Evidence(commitments=signed), **SETTINGS)
    # 20 · 30 kg as told; its mean e^{(.2² + .2²) / 2} above it.
    assert run.total["supply_kg"] == pytest.approx(600 * np.exp(0.04), rel=1e-9)
    assert run.summary["evidence"] == "commitments"
    assert run.outlook.told[["kind", "given_kg"]].values.tolist() == [["commitments", 600.0]]


def test_a_sum_over_cooperatives_of_which_one_has_no_evidence_is_empty_not_partial(raster):
    plots = plots_of(20)
    settings, _ = read_evidence(Brought(delivered_share=0.6), choose("coffee", "HN", season="2026/27"))
    only = settings.settings.rename(index={"": "C0"})
    run = estimate(plots, [raster], season="2026/27", evidence=Evidence(settings=only), **SETTINGS)
    found = run.cooperatives.set_index("id")["supply_kg"]
    assert found["C0"] > 0 and np.isnan(found["C1"]) and np.isnan(run.total["supply_kg"])


def test_deliveries_of_this_season_move_its_supply_and_say_what_is_to_come(raster):
    plots = plots_of(40, cooperatives=1)
    past = deliveries_of(plots)
    now = deliveries_of(plots, kg=400.0, seasons=("2026/27",)).assign(date=pd.Timestamp("2026-12-15"))
    before = estimate(plots, [raster], season="2026/27", evidence=Evidence(deliveries=past), **SETTINGS)
    both = pd.concat([past, now], ignore_index=True)
    evidence = Evidence(deliveries=both, as_of="2027-01-31")
    after = estimate(plots, [raster], season="2026/27", evidence=evidence, **SETTINGS)
    row = after.outlook.nowcast.loc["C0"]
    assert row["delivered_kg"] == pytest.approx(40 * 400.0)
    assert row["p10_kg"] >= 16000.0 and row["rest_mean_kg"] == pytest.approx(row["mean_kg"] - 16000.0)
    assert after.outlook.totals["mean_kg"]["C0"] != before.outlook.totals["mean_kg"]["C0"]


def test_a_member_who_left_still_tells_of_the_past(raster):
    plots = plots_of(40, cooperatives=1)
    ids = plots["member_id"].tolist()
    members = pd.DataFrame(
        {
            "cooperative_id": "C0",
            "name": "",
            "community": "",
            "declared_area_ha": np.nan,
            "left": ["2026-08-01"] * 10 + [""] * 30,
        },
        index=pd.Index(ids, name="member_id"),
    )
    run = estimate(plots, [raster], members=members, evidence=Evidence(deliveries=deliveries_of(plots)), **SETTINGS)
    learned = run.outlook.calibration.ratios
    assert learned["members"].unique().tolist() == [40]
    assert run.total["members"] == 30
    assert run.total["supply_kg"] == pytest.approx(30 * 450.0, rel=0.05)
    assert (run.findings["code"] == "member_left").sum() == 10
    assert "delivery_without_potential" not in set(run.findings["code"])


def test_contracts_lower_what_can_be_sold_and_a_certificate_is_not_sold_twice(raster):
    plots = plots_of(20, cooperatives=1)
    members = pd.DataFrame(
        {
            "cooperative_id": "C0",
            "name": "",
            "community": "",
            "declared_area_ha": np.nan,
            "certification": ["organic; fairtrade"] * 10 + [""] * 10,
        },
        index=pd.Index(plots["member_id"].tolist(), name="member_id"),
    )
    contracts = pd.DataFrame(
        {"cooperative_id": "C0", "buyer": "B", "certification": ["organic"], "month": [""], "kg": [500.0]}
    )
    evidence = Evidence(deliveries=deliveries_of(plots), contracts=contracts)
    run = estimate(plots, [raster], members=members, evidence=evidence, **SETTINGS)
    end = run.outlook.available.groupby("certification").last()
    half = run.total["supply_kg"] / 2
    assert end.loc["organic", "available_kg"] == pytest.approx(half - 500, rel=1e-6)
    assert end.loc["fairtrade", "available_kg"] == pytest.approx(half - 500, rel=1e-6)
    assert end.loc["", "available_kg"] == pytest.approx(2 * half - 500, rel=1e-6)


def test_the_order_of_deliveries_does_not_matter(raster):
    plots = plots_of(30)
    rows = deliveries_of(plots)
    rows["kg"] *= np.random.default_rng(3).lognormal(0, 0.3, len(rows))
    one, other = (
        estimate(plots, [raster], evidence=Evidence(deliveries=some), **SETTINGS)
        for some in (rows, rows.sample(frac=1, random_state=1))
    )
    pd.testing.assert_frame_equal(one.cooperatives, other.cooperatives, check_exact=True)
    pd.testing.assert_frame_equal(one.members, other.members, check_exact=True)
    pd.testing.assert_frame_equal(one.months, other.months, check_exact=True)


def test_what_has_come_stands_in_its_months_and_with_its_members(raster):
    plots = plots_of(40, cooperatives=1)
    one = plots["member_id"].iloc[0]
    now = pd.DataFrame(
        {"cooperative_id": "C0", "member_id": one, "season": "2026/27", "kg": [3000.0], "row": 1, "given_kg": 3000.0,
         "given_form": "green", "date": pd.Timestamp("2026-12-15")}
    )  # fmt: skip
    both = pd.concat([deliveries_of(plots), now], ignore_index=True)
    evidence = Evidence(deliveries=both, as_of="2027-01-31")
    run = estimate(plots, [raster], season="2026/27", evidence=evidence, **SETTINGS)
    months = run.months[run.months["quantity"] == "supply"].set_index("month")
    assert months.loc["2026-12", ["mean_kg", "p10_kg", "p90_kg"]].tolist() == [3000.0, 3000.0, 3000.0]
    assert months.loc["2027-01", "mean_kg"] == 0.0 and months.loc["2027-02", "mean_kg"] > 0.0
    assert months["cumulative_p10_kg"].iloc[-1] >= 3000.0
    member = run.members.set_index("id").loc[one]
    assert member["supply_kg"] > 3000.0 and member["supply_p10_kg"] >= 3000.0
    assert run.cooperatives["supply_p10_kg"][0] >= 3000.0
    assert run.members["supply_kg"].sum() == pytest.approx(run.outlook.totals["mean_kg"]["C0"])


def test_the_day_of_the_deliveries_tells_the_season_that_runs(raster):
    plots = plots_of(20, cooperatives=1)
    now = deliveries_of(plots, kg=100.0, seasons=("2026/27",)).assign(date=pd.Timestamp("2026-11-20"))
    both = pd.concat([deliveries_of(plots), now], ignore_index=True)
    run = estimate(plots, [raster], evidence=Evidence(deliveries=both, as_of="2026-11-30"), **SETTINGS)
    assert run.outlook.season == "2026/27" and run.outlook.history.members["season"].nunique() == 3


def test_a_contract_that_names_no_cooperative_is_the_only_one_s_and_a_stranger_s_is_said(raster):
    plots = plots_of(20, cooperatives=1)
    sold = pd.DataFrame({"cooperative_id": ["", "X"], "buyer": "B", "certification": "", "month": "", "kg": 500.0})
    run = estimate(plots, [raster], evidence=Evidence(deliveries=deliveries_of(plots), contracts=sold), **SETTINGS)
    end = run.outlook.available.groupby("certification").last().loc[""]
    assert end["contracts_kg"] == 500.0
    told = run.findings[run.findings["code"] == "unknown_cooperative"]["message"]
    assert len(told) == 1 and "sold by X" in told.iloc[0]


def test_the_same_deliveries_in_two_files_are_refused(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("member_id,season,kg green\nM1,2025/26,100\n")
    brought = Brought(deliveries=(tmp_path / "a.csv", tmp_path / "b.csv"))
    with pytest.raises(FileError, match="hold the same deliveries"):
        read_evidence(brought, choose("coffee", "HN"))


def test_an_expired_certificate_stays_expired_when_sums_are_made_by_it(raster):
    plots = plots_of(20, cooperatives=1)
    members = pd.DataFrame(
        {
            "cooperative_id": "C0", "name": "", "community": "", "declared_area_ha": np.nan,
            "certification": "organic", "certified_until": "2024-01-31",
        },
        index=pd.Index(plots["member_id"].tolist(), name="member_id"),
    )  # fmt: skip
    evidence = Evidence(deliveries=deliveries_of(plots))
    run = estimate(plots, [raster], members=members, by=["certification"], evidence=evidence, **SETTINGS)
    assert run.outlook.certificates["certificates"].tolist() == [""]


def test_evidence_without_a_season_is_said(raster):
    run = estimate(plots_of(5), [raster], evidence=Evidence(), **SETTINGS)
    assert any("give --season" in text for text in run.summary["warnings"])


def test_a_crop_of_one_s_own_with_deliveries_has_a_supply_by_its_own_calendar(raster, tmp_path):
    texts = {
        "crops": "crop,default_form\nvanilla,cured\n",
        "yields": "crop,country,kg_ha\nvanilla,HN,800\n",
        "calendars": "crop,country,month,share\nvanilla,HN,6,0.5\nvanilla,HN,7,0.5\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text)
    tables, _ = read_crop_tables([tmp_path / f"{name}.csv" for name in texts])
    plots = plots_of(20, cooperatives=1)
    past = deliveries_of(plots).assign(date=pd.NaT)
    run = estimate(
        plots, [raster], product="esa-worldcover-2021", crop="vanilla", country="HN", tables=tables,
        evidence=Evidence(deliveries=past),
    )  # fmt: skip
    months = run.months[run.months["quantity"] == "supply"].set_index("month")["mean_kg"]
    assert months[["2027-06", "2027-07"]].sum() > 0.8 * months.sum() > 0


def test_alarms_never_reach_what_buyers_see(raster, tmp_path):
    plots = plots_of(60)
    rows = deliveries_of(plots)
    rows.loc[(rows["season"] == "2025/26") & (rows["member_id"] == "M004"), "kg"] = 60000.0
    run = estimate(plots, [raster], evidence=Evidence(deliveries=rows), **SETTINGS)
    alarms = run.findings[run.findings["code"].isin(PRIVATE_CODES)]
    assert len(alarms) and (run.outlook.member_alarms["audience"] == "cooperative").all()
    write_run(run, tmp_path / "out")
    for page in [tmp_path / "out/map_share.html", *sorted((tmp_path / "out").glob("harvest_estimate_*.html"))]:
        text = page.read_text(encoding="utf-8")
        assert "M004" not in text and "First check for a plot" not in text


def test_a_contract_of_another_season_lowers_nothing_and_is_said(raster):
    plots = plots_of(20, cooperatives=1)
    sold = pd.DataFrame(
        {
            "cooperative_id": "C0",
            "buyer": "B",
            "certification": "",
            "month": ["2026-02", "2027-02"],
            "kg": [900.0, 500.0],
        }
    )
    run = estimate(plots, [raster], evidence=Evidence(deliveries=deliveries_of(plots), contracts=sold), **SETTINGS)
    end = run.outlook.available.groupby("certification").last().loc[""]
    assert end["contracts_kg"] == 500.0
    assert (run.outlook.available["available_p10_kg"] <= run.outlook.available["available_kg"]).all()
    told = run.findings[run.findings["code"] == "no_month"]["message"]
    assert len(told) == 1 and "2026-02, outside the season 2026/27" in told.iloc[0]


def test_a_list_of_few_members_and_a_supply_beyond_the_land_are_warned_of(raster):
    plots = plots_of(40, cooperatives=1)
    few = deliveries_of(plots)
    few = few[few["member_id"] == "M003"]
    huge = deliveries_of(plots, kg=450_000.0)
    for rows, words in ((few, "few members have deliveries"), (huge, "times what the land bears")):
        run = estimate(plots, [raster], evidence=Evidence(deliveries=rows), **SETTINGS)
        assert any(words in text for text in run.summary["warnings"])


def test_members_whose_plots_are_all_of_another_crop_bear_none_of_this_one(raster):
    plots = plots_of(4, cooperatives=1).assign(crop="coffee")
    members = pd.DataFrame(
        {"cooperative_id": "C0", "name": "", "community": "", "declared_area_ha": 2.0},
        index=pd.Index([*plots["member_id"].tolist(), "M999"], name="member_id"),
    )
    own = plots_of(5, cooperatives=1).iloc[4:].assign(crop="cocoa", member_id="M500")
    both = pd.concat([plots, own])
    cocoa = estimate(both, [raster], members=members, product="esa-worldcover-2021", crop="cocoa", country="GH")
    assert set(cocoa.members["id"]) == {"M500", "M999"}
