"""The simulator: the sample's statistics and faults, truth that adds up, plots on real rasters, the error model."""

import hashlib
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine

from geomap.errors import GeomapError, RasterError
from geomap.landcover.product import product
from geomap.plots.area import area_ha
from geomap.simulate import bench_world, make_sample, plots_on_raster, simulate_cooperatives, simulate_supply
from geomap.simulate.faults import cross_a_little, cross_through
from geomap.simulate.plots import cut_strips, draw_areas, place_plots, settle
from geomap.simulate.terrain import fractal

KEPT = Path(__file__).parents[1] / "data/sample"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def plots(sample: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(sample / "plots.geojson")


@pytest.fixture(scope="module")
def members(sample: Path) -> pd.DataFrame:
    return pd.read_csv(sample / "members.csv", dtype={"member_id": str})


def truth(sample: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(sample / "truth" / f"{name}.csv", dtype={"member_id": str, "plot_id": str})


def fault_counts(sample: Path) -> dict[str, int]:
    return truth(sample, "faults").groupby("fault").size().to_dict()


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ---- the sample ----


def test_the_same_seed_gives_the_same_bytes(sample: Path, tmp_path: Path) -> None:
    again = digests(make_sample(tmp_path))
    assert len(again) == 12
    assert again == digests(sample)


def test_another_seed_gives_another_sample(sample: Path, tmp_path: Path) -> None:
    other, first = digests(make_sample(tmp_path, seed=8)), digests(sample)
    assert not [name for name in other if other[name] == first[name]]


def test_the_kept_sample_is_the_one_the_code_makes(sample: Path) -> None:
    kept = pd.read_csv(KEPT / "truth/plots.csv").drop(columns=["truth_id", "plot_id", "member_id", "cooperative_id"])
    made = pd.read_csv(sample / "truth/plots.csv")[kept.columns]
    np.testing.assert_allclose(kept, made, rtol=1e-6)
    assert (KEPT / "members.csv").read_bytes() == (sample / "members.csv").read_bytes()
    assert sum(path.stat().st_size for path in KEPT.rglob("*")) < 4_000_000


def test_plots_have_the_sizes_of_smallholders(sample: Path) -> None:
    measured = truth(sample, "plots")["measured_area_ha"].dropna()
    assert len(measured) == 350
    assert measured.median() == pytest.approx(0.30, abs=0.02)
    assert np.log(measured).std() == pytest.approx(0.8, abs=0.04)
    assert 0.035 < measured.min() < 0.08
    assert 1.5 < measured.max() < 2.6


def test_outlines_have_four_to_twenty_one_corners(plots: gpd.GeoDataFrame) -> None:
    corners = shapely.get_num_coordinates(plots.geometry.to_numpy()) - 1  # a loop adds one corner to at most twenty
    assert corners.min() == 4
    assert 15 < corners.max() <= 21
    assert 6 <= np.median(corners) <= 10


def test_declared_areas_are_larger_than_measured_ones(sample: Path, plots: gpd.GeoDataFrame) -> None:
    declared = pd.to_numeric(plots["declared_area_ha"], errors="coerce").iloc[:350]
    measured = truth(sample, "plots")["measured_area_ha"].iloc[:350]
    both = declared.notna()
    assert measured[both].sum() / declared[both].sum() == pytest.approx(0.61, abs=0.02)
    assert np.log(measured[both] / declared[both]).std() == pytest.approx(0.81, abs=0.05)


def test_gps_accuracy_has_a_median_near_six_metres(plots: gpd.GeoDataFrame) -> None:
    accuracy = plots["gps_accuracy_m"].dropna()
    assert accuracy.median() == pytest.approx(5.9, abs=0.3)
    assert np.log(accuracy).std() == pytest.approx(0.4, abs=0.05)
    assert 0.04 < plots["gps_accuracy_m"].isna().mean() < 0.13


def test_coffee_grows_at_coffee_heights_mostly_under_trees(sample: Path, plots: gpd.GeoDataFrame) -> None:
    missing = truth(sample, "faults").query("fault in ['no_data', 'outside']")["row"].astype(int) - 1
    clean = plots.drop(index=missing)
    assert clean["altitude_m"].between(850, 1550).all()
    with rasterio.open(sample / "landcover.tif") as source:
        middles = shapely.get_coordinates(shapely.centroid(clean.geometry.to_numpy()))
        codes = np.array([code for (code,) in source.sample(middles)])
    assert (codes == 10).mean() > 0.7
    assert (codes != 0).all()


def test_three_cooperatives_and_a_fifth_of_the_members_without_a_plot(
    sample: Path, plots: gpd.GeoDataFrame, members: pd.DataFrame
) -> None:
    assert members.groupby("cooperative_id").size().to_dict() == {
        "Cerro D'Oro": 50,
        "Flor del Pinar": 140,
        "Nueva Aurora": 110,
    }
    assert members["member_id"].is_unique
    assert members["community"].nunique() == 14
    without = set(members["member_id"]) - set(plots["member_id"])
    assert len(without) == 60 == fault_counts(sample)["member_without_plot"]
    assert set(plots["member_id"]) <= set(members["member_id"])
    assert (members["declared_area_ha"] > 0).all()
    assert members["name"].str.contains("'").any()
    assert members["name"].str.contains("é|í|ú|Á|ó").any()


def test_deliveries_lie_in_the_harvest_of_their_season(sample: Path, members: pd.DataFrame) -> None:
    deliveries = pd.read_csv(sample / "deliveries.csv", dtype={"member_id": str}, parse_dates=["date"])
    assert deliveries["season"].unique().tolist() == ["2023/24", "2024/25", "2025/26"]
    first = pd.to_datetime(deliveries["season"].str[:4] + "-11-01")
    assert ((deliveries["date"] - first).dt.days.between(0, 185)).all()
    assert (deliveries["kg"] > 0).all()
    assert set(deliveries["member_id"]) <= set(members["member_id"])


# ---- its land cover ----


def test_land_cover_is_a_cloud_optimized_geotiff_with_legend_codes_and_colours(sample: Path) -> None:
    legend = product("esa-worldcover-2021").legend
    with rasterio.open(sample / "landcover.tif") as source:
        assert source.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert source.overviews(1) == [2, 4, 8]
        assert (source.crs.to_epsg(), source.nodata, source.dtypes[0]) == (4326, 0, "uint8")
        assert source.res == pytest.approx((1 / 12_000, 1 / 12_000))
        assert source.bounds == pytest.approx((-88.85, 14.50, -88.60, 14.75))
        colours = {code: "#{:02x}{:02x}{:02x}".format(*source.colormap(1)[code]) for code in legend.index}
        cover = source.read(1)
    assert colours == legend["color"].to_dict()
    assert set(np.unique(cover)) <= {0, *legend.index}
    share = pd.Series(cover.ravel()).value_counts(normalize=True)
    assert share[10] == pytest.approx(0.60, abs=0.05)
    assert share[[30, 40, 20]].tolist() == sorted(share[[30, 40, 20]], reverse=True)
    assert 0.002 < share[50] < 0.01
    assert 0.001 < share[80] < 0.02


def test_neighbouring_cells_are_mostly_alike_as_on_a_real_map(sample: Path) -> None:
    with rasterio.open(sample / "landcover.tif") as source:
        cover = source.read(1)
    alike = (cover[:, 1:] == cover[:, :-1]).mean()  # white noise of these shares: .6² + .24² + … = .43
    assert 0.85 < alike < 0.97


# ---- its faults ----


def test_the_listed_faults_and_no_others_are_in_the_file(sample: Path, plots: gpd.GeoDataFrame) -> None:
    counts = fault_counts(sample)
    assert counts == {
        "area_with_unit": 8,
        "decimal_comma": 14,
        "member_without_plot": 60,
        "no_data": 1,
        "outside": 1,
        "overlap": 8,
        "repeated_id": 2,
        "repeated_row": 1,
        "self_crossing": 7,  # 2 % of 350
        "unreadable_area": 2,
    }
    text = plots["declared_area_ha"]
    assert int((~plots.is_valid).sum()) == counts["self_crossing"]
    assert int(plots["plot_id"].duplicated().sum()) == counts["repeated_id"] + counts["repeated_row"]
    typed = text.str.contains(",").sum(), text.str.contains("Hektar| ha").sum(), (text == "no sabe").sum()
    repeated = text.iloc[350:].str.contains(",|[a-z]").sum()  # the repeated row repeats its own text
    assert sum(typed) - repeated == 14 + 8 + 2
    assert (text == "1 Hektar").any()
    assert (text == "0,5").any()


def test_rows_of_the_fault_list_name_the_plots_of_the_file(sample: Path, plots: gpd.GeoDataFrame) -> None:
    listed = truth(sample, "faults").dropna(subset="row")
    at = listed["row"].astype(int).to_numpy() - 1
    assert plots["plot_id"].iloc[at].tolist() == listed["plot_id"].tolist()
    crossing = listed.loc[listed["fault"] == "self_crossing", "row"].astype(int) - 1
    assert not plots.is_valid.iloc[crossing].any()


def test_only_the_intended_plots_overlap(sample: Path, plots: gpd.GeoDataFrame) -> None:
    listed = truth(sample, "faults").query("fault == 'overlap'")
    pairs = listed["row"].astype(int).to_numpy().reshape(-1, 2) - 1
    rows = plots.iloc[:350]  # the row after is one of these again
    shapes = shapely.make_valid(rows.geometry.to_numpy())
    one, other = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    shared = np.array([a.intersection(b).area for a, b in zip(shapes[one], shapes[other], strict=True)])
    found = {(int(a), int(b)) for a, b in zip(one[shared > 0], other[shared > 0], strict=True) if a < b}
    assert found == {(min(a, b), max(a, b)) for a, b in pairs.tolist()}
    shares = [shapes[a].intersection(shapes[b]).area / shapes[a].area for a, b in pairs]
    assert shares == pytest.approx([0.60, 0.25, 0.15, 0.10], abs=0.01)
    assert all(rows["member_id"].iloc[a] != rows["member_id"].iloc[b] for a, b in pairs)


def test_one_plot_lies_on_no_data_and_one_partly_outside(sample: Path, plots: gpd.GeoDataFrame) -> None:
    listed = truth(sample, "faults").set_index("fault")["row"].dropna().astype(int) - 1
    with rasterio.open(sample / "landcover.tif") as source:
        middle = plots.geometry.iloc[listed["no_data"]].centroid
        assert next(source.sample([(middle.x, middle.y)]))[0] == 0
        frame = shapely.box(*source.bounds)
    outside = np.flatnonzero(~shapely.within(shapely.convex_hull(plots.geometry.to_numpy()), frame))
    assert outside.tolist() == [listed["outside"]]
    part = plots.geometry.iloc[listed["outside"]].intersection(frame).area
    assert 0.2 < part / plots.geometry.iloc[listed["outside"]].area < 0.8


# ---- its truth ----


def test_truth_adds_up_from_plots_to_members_to_cooperatives(sample: Path) -> None:
    seasons, people, coops = (truth(sample, name) for name in ("plot_seasons", "members", "cooperatives"))
    for column in ("potential_kg", "supply_kg"):
        for fine, coarse, key in ((seasons, people, "member_id"), (people, coops, "cooperative_id")):
            index = [key, "season"]
            pd.testing.assert_series_equal(
                fine.groupby(index)[column].sum(), coarse.set_index(index)[column].sort_index(), rtol=1e-8
            )


def test_delivered_parchment_is_true_supply_over_the_outturn(sample: Path) -> None:
    deliveries = pd.read_csv(sample / "deliveries.csv")
    coops = truth(sample, "cooperatives")
    past = coops[coops["season"] < "2026/27"]
    assert deliveries["kg"].sum() == pytest.approx(past["delivered_parchment_kg"].sum())
    assert past["delivered_parchment_kg"].to_numpy() == pytest.approx(past["supply_kg"] / 0.8, rel=1e-3)
    assert coops.loc[coops["season"] == "2026/27", "delivered_parchment_kg"].isna().all()


def test_a_true_yield_is_the_product_of_the_written_factors(sample: Path) -> None:
    plots, seasons = truth(sample, "plots").set_index("truth_id"), truth(sample, "plot_seasons")
    factors = truth(sample, "factors").fillna({"season": ""}).set_index(["source", "group", "season"])["factor"]
    hidden = plots[plots["row"].isna()].iloc[0]  # no outline: no map, GPS or drawing error
    coop, member, season = hidden["cooperative_id"], hidden["member_id"], "2024/25"
    keys = [
        ("base_yield", "coffee HN", ""), ("cooperative", coop, ""), ("unmapped", coop, ""), ("plot", hidden.name, ""),
        ("season", "coffee HN", season), ("coop_season", coop, season), ("member_season", member, season),
    ]  # fmt: skip
    expected = 1150 * np.prod([factors[key] for key in keys])
    row = seasons[(seasons["truth_id"] == hidden.name) & (seasons["season"] == season)].iloc[0]
    assert row["true_yield_kg_ha"] == pytest.approx(expected, rel=1e-6)
    assert row["potential_kg"] == pytest.approx(expected * hidden["true_area_ha"], rel=1e-6)


def test_young_plots_bear_nothing_in_the_truth(sample: Path) -> None:
    plots, seasons = truth(sample, "plots"), truth(sample, "plot_seasons")
    young = plots.loc[plots["planted_year"] == 2022, "truth_id"]
    bears = seasons[seasons["truth_id"].isin(young)].groupby("season")["potential_kg"].sum() > 0
    assert len(young) > 5
    assert bears.to_dict() == {"2023/24": False, "2024/25": False, "2025/26": True, "2026/27": True}  # three years old
    old = seasons[~seasons["truth_id"].isin(plots.loc[plots["planted_year"] > 2020, "truth_id"])]
    assert (old["potential_kg"] > 0).all()


# ---- the error model ----


def test_factors_have_mean_one_and_the_cv_of_their_source() -> None:
    made = simulate_cooperatives(np.random.default_rng(1), cooperatives=4000, origins=2000, members=(2, 4))
    for source, cv in (("base_yield", 0.35), ("cooperative", 0.30), ("season", 0.12), ("plot", 0.52)):
        factor = made.factors.loc[made.factors["source"] == source, "factor"]
        assert factor.mean() == pytest.approx(1, abs=4 * cv / np.sqrt(len(factor)))
        assert factor.std() == pytest.approx(cv, rel=0.06)


def test_shared_errors_do_not_average_out() -> None:
    only = dict.fromkeys(("conversion", "base_yield", "drawn", "season", "coop_season"), 0.0)
    only |= {"member_season": 0.0, "plot": 0.60, "cooperative": 0.15, "delivered_share": 0.0}
    rng = np.random.default_rng(2)
    made = simulate_cooperatives(
        rng, cooperatives=3000, origins=1, members=(50, 50), plots_per_member=1.0, unmapped=0.0, cv=only
    )
    plots = made.plots.assign(mean_kg=1000.0, area_cv=0.0)
    made = simulate_supply(rng, plots, made.members, cv=only)
    totals = made.totals("cooperative_id").query("season == '2023/24'")["potential_kg"]
    assert totals.std() / totals.mean() == pytest.approx(0.1728, rel=0.05)  # method, section 3: n = 50


def test_a_source_turned_off_is_not_drawn_and_the_total_is_the_sum() -> None:
    made = simulate_cooperatives(np.random.default_rng(3), cooperatives=6, origins=2, cv={"season": 0.0})
    assert "season" not in set(made.factors["source"])
    by_member, by_coop = made.totals("member_id"), made.totals("cooperative_id")
    assert by_member["supply_kg"].sum() == pytest.approx(by_coop["supply_kg"].sum())
    assert made.deliveries["kg"].sum() * 0.8 == pytest.approx(
        by_coop.loc[by_coop["season"] < "2026/27", "supply_kg"].sum()
    )


def test_drift_widens_the_spread_from_season_to_season() -> None:
    def spread(drift: float) -> float:
        made = simulate_cooperatives(np.random.default_rng(4), cooperatives=300, origins=1, drift=drift)
        kg = made.totals("cooperative_id").pivot(index="cooperative_id", columns="season", values="potential_kg")
        return float(np.log(kg["2026/27"] / kg["2023/24"]).std())

    assert spread(0.3) ** 2 - spread(0.0) ** 2 == pytest.approx(3 * 0.3**2, rel=0.2)  # three steps


def test_the_simulator_leaves_its_input_alone() -> None:
    made = simulate_cooperatives(np.random.default_rng(5), cooperatives=2, origins=1, members=(5, 5))
    plots, members = made.plots.copy(), made.members.copy()
    simulate_supply(np.random.default_rng(5), made.plots, made.members)
    pd.testing.assert_frame_equal(plots, made.plots)
    pd.testing.assert_frame_equal(members, made.members)


# ---- plots and places ----


@pytest.mark.parametrize("seed", range(5))
def test_placed_plots_keep_their_areas_and_do_not_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    village = np.sort(rng.integers(3, size=120))
    centres = np.array([[6.60, 0.20], [6.62, 0.22], [6.58, 0.18]])
    wanted = draw_areas(rng, 120)
    made = place_plots(rng, village, centres, wanted, spread_m=500, allowed=lambda p: np.ones(len(p), dtype=bool))
    assert shapely.is_valid(made).all()
    assert area_ha(made) == pytest.approx(wanted, rel=0.08)
    one, other = shapely.STRtree(made).query(made, predicate="intersects")
    assert (one == other).all()


def test_strips_of_a_patch_have_the_areas_asked_for() -> None:
    strips = cut_strips(shapely.Point(0, 0).buffer(50), np.array([1000.0, 3000.0, 3800.0]))
    whole = shapely.Point(0, 0).buffer(50).area
    assert [s.area for s in strips] == pytest.approx([whole * a / 7800 for a in (1000, 3000, 3800)], rel=1e-4)


def test_settling_without_room_says_so() -> None:
    with pytest.raises(GeomapError, match="2 of 2 made plots found no free place"):
        settle(
            np.random.default_rng(0),
            np.zeros((2, 2)),
            np.full(2, 50.0),
            spread_m=10,
            allowed=lambda p: np.zeros(len(p), dtype=bool),
            rounds=3,
        )


@pytest.mark.parametrize("corners", [4, 5, 9, 20])
def test_crossed_outlines_are_invalid_and_only_a_slip_keeps_its_area(corners: int) -> None:
    angle = 2 * np.pi * np.arange(corners) / corners
    plot = shapely.Polygon(np.column_stack([np.cos(angle), np.sin(angle)]))
    slip, ruin = cross_a_little(plot), cross_through(plot)
    assert not slip.is_valid
    assert not ruin.is_valid
    assert shapely.make_valid(slip).area == pytest.approx(plot.area, rel=0.01)
    assert abs(shapely.make_valid(ruin).area / plot.area - 1) > 0.05


def test_fractal_noise_is_smoother_the_higher_its_roughness_exponent() -> None:
    step = [np.diff(fractal(np.random.default_rng(1), (128, 128), roughness=r), axis=0).std() for r in (0, 2, 3, 4)]
    assert step == sorted(step, reverse=True)
    assert step[0] == pytest.approx(np.sqrt(2), rel=0.05)  # white noise: the variances of two neighbours add up


# ---- plots on a real raster ----


@pytest.fixture
def small_raster(tmp_path: Path) -> Path:
    """One degree of sea (80) with an island of trees (10) in the middle, 1/600 degree cells."""
    path = tmp_path / "island.tif"
    cover = np.full((600, 600), 80, dtype=np.uint8)
    cover[250:350, 250:350] = 10
    profile = {"driver": "GTiff", "width": 600, "height": 600, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", **profile, transform=Affine(1 / 600, 0, 6, 0, -1 / 600, 1)) as made:
        made.write(cover, 1)
    return path


def test_plots_on_a_raster_lie_on_the_classes_asked_for(small_raster: Path) -> None:
    made = plots_on_raster(small_raster, rng=np.random.default_rng(1), n=90, crop="cocoa", country="ST", prefix="ST")
    assert len(made) == 90
    assert made["plot_id"].is_unique
    assert made["cooperative_id"].nunique() == 3
    assert made.groupby("member_id")[["community", "cooperative_id"]].nunique().max().max() == 1
    assert set(made["crop"]) == {"cocoa"}
    # the island lies between 250/600 and 350/600 degrees; a plot's middle on it, its corners at most 250 m away
    assert made.total_bounds == pytest.approx((6.5, 0.5, 6.5, 0.5), abs=0.0834 + 0.0025)


def test_plots_on_a_raster_without_the_class_says_so(small_raster: Path) -> None:
    with pytest.raises(RasterError, match="No cell of class 95"):
        plots_on_raster(small_raster, rng=np.random.default_rng(1), n=5, classes=(95,))
    with pytest.raises(RasterError, match="No cell of class 10"):
        plots_on_raster(small_raster, rng=np.random.default_rng(1), n=5, window=(6.0, 0.0, 6.2, 0.2))


def test_cocoa_plots_land_on_sao_tome(shared_data: Path) -> None:
    tile = shared_data / "landcover" / "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
    made = plots_on_raster(
        tile, rng=np.random.default_rng(1), n=300, window=(6.4, 0.0, 6.8, 0.45), crop="cocoa", country="ST"
    )
    west, south, east, north = made.total_bounds
    assert (6.4 < west < east < 6.8) and (0.0 < south < north < 0.45)
    assert made.is_valid.all()
    with rasterio.open(tile) as source:
        codes = [code for (code,) in source.sample(shapely.get_coordinates(shapely.centroid(made.geometry.to_numpy())))]
    assert np.mean(np.array(codes) == 10) > 0.9


# ---- the benchmark's world ----


def test_a_bench_world_is_tiled_patchy_and_repeatable(tmp_path: Path) -> None:
    first, second = (bench_world(tmp_path / name, seed=3, size=1500, plots=300) for name in "ab")
    assert first.plots.read_bytes() == second.plots.read_bytes()
    with rasterio.open(first.landcover) as source, rasterio.open(second.landcover) as again:
        assert source.profile["tiled"] and source.block_shapes == [(512, 512)]
        cover = source.read(1)
        assert (cover == again.read(1)).all()
        bounds = source.bounds
    assert set(np.unique(cover)) <= set(product("esa-worldcover-2021").legend.index)
    assert len(np.unique(cover)) >= 4
    assert 0.8 < (cover[1:] == cover[:-1]).mean() < 0.98
    made = gpd.read_parquet(first.plots)
    assert len(made) == 300 and made["plot_id"].is_unique
    assert made.is_valid.all()
    west, south, east, north = made.total_bounds
    assert west > bounds.left and south > bounds.bottom and east < bounds.right and north < bounds.top
    one, other = made.sindex.query(made.geometry, predicate="intersects")
    assert (one == other).all()


def test_bench_plots_touch_most_blocks(tmp_path: Path) -> None:
    world = bench_world(tmp_path, seed=3, size=4096, plots=2000)  # 8 × 8 blocks, 40 villages in 6 × 6
    made = gpd.read_parquet(world.plots)
    x, y = shapely.get_coordinates(shapely.centroid(made.geometry.to_numpy())).T
    block = np.floor((x + 90) * 12_000 / 512), np.floor((16 - y) * 12_000 / 512)
    assert len(set(zip(*block, strict=True))) > 0.5 * 64
