"""What another land-cover map does to the potential: by hand, and by how often its interval holds the truth."""

from dataclasses import replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geomap.errors import RasterError
from geomap.landcover.extract import Extraction
from geomap.landcover.product import product
from geomap.supply.choice import choose
from geomap.supply.choice_of_map import CHOICE_COLUMNS, choice_of_map, choice_words
from geomap.supply.land import Figures

OWN, OTHER = "esa-worldcover-2021", "esri-lulc-2021"
BUILT = {OWN: 50, OTHER: 7}
TREES = {OWN: 10, OTHER: 2}


def plots_of(count, cooperatives=("C1",)):
    coops = [cooperatives[k % len(cooperatives)] for k in range(count)]
    index = pd.Index([f"P{k:03d}" for k in range(count)], name="plot_id")
    usual = {"kind": "measured", "area_ha": 1.0, "counted_area_ha": 1.0, "area_sd_ha": 0.0, "crop": "coffee"}
    unknown = dict.fromkeys(["declared_area_ha", "planted_share", "planted_year", "hives"], np.nan)
    table = pd.DataFrame(usual | unknown, index=index).assign(
        member_id=[f"M{k:03d}" for k in range(count)], cooperative_id=coops, community=""
    )
    return gpd.GeoDataFrame(table, geometry=[shapely.box(0, 0, 0.001, 0.001)] * count, crs="EPSG:4326")


def extraction(plots, name, built):
    """A map on which these shares of the plots are built-up land."""
    built = np.broadcast_to(built, len(plots))
    rows = [
        pd.DataFrame({"plot_id": plots.index, "product": name, "class": code, "area_ha": share})
        for code, share in ((BUILT[name], built), (TREES[name], 1 - built))
    ]
    empty = {"nodata_ha": 0.0, "outside_ha": 0.0, "unknown_ha": 0.0, "cell_area_m2": 100.0}
    return Extraction(pd.concat(rows), pd.DataFrame(empty, index=plots.index), pd.DataFrame())


def compare(plots, own, other, figures=None):
    figures = figures or Figures(choose("coffee", "HN", season="2026/27"), product(OWN), None, None, ())
    several = SimpleNamespace(
        products={name: product(name) for name in (OWN, OTHER)},
        extractions={OWN: extraction(plots, OWN, own), OTHER: extraction(plots, OTHER, other)},
    )
    people = plots.set_index("member_id")[["cooperative_id", "community"]].assign(declared_area_ha=np.nan, name="")
    owners = pd.DataFrame({"plot_id": plots.index, "member_id": plots["member_id"].to_numpy(), "share": 1.0})
    return choice_of_map(figures, plots, several, people, owners)


def test_the_ratio_is_that_of_the_ground_that_can_bear():
    # built-up is right in .659 of cases on one map and in .83 on the other: (1 − .5 · .83) / (1 − .2 · .659)
    table, findings = compare(plots_of(20), 0.2, 0.5)
    assert table.columns.tolist() == CHOICE_COLUMNS
    assert table["product"].tolist() == [OWN, OTHER] * 2
    assert table["cooperative_id"].tolist() == ["C1", "C1", "all", "all"]
    expected = (1 - 0.5 * 0.83) / (1 - 0.2 * 0.659)
    assert table["ratio"].tolist() == pytest.approx([1.0, expected] * 2)
    assert table["potential_kg"].iloc[1] == pytest.approx(table["potential_kg"].iloc[0] * expected)
    assert findings.empty


def test_maps_that_show_the_same_are_not_different_and_maps_far_apart_are():
    table, _ = compare(plots_of(20), 0.20, 0.16)  # .2 · .659 = .132 and .16 · .83 = .133 are ruled out
    assert table.loc[1, "verdict"] == "not different"
    assert table.loc[1, "ratio_low"] < 1 < table.loc[1, "ratio_high"]
    table, _ = compare(plots_of(20), 0.0, 0.6)
    assert table.loc[1, "verdict"] == "lower"
    table, _ = compare(plots_of(20), 0.9, 0.0)
    assert table.loc[1, "verdict"] == "higher"


def test_the_interval_holds_one_as_often_as_it_says_where_both_maps_err_as_the_method_assumes():
    """Both maps are drawn from one truth: what is built-up is the mapped share times a drawn accuracy."""
    rng, rounds, each = np.random.default_rng(7), 400, 4
    plots = plots_of(rounds * each, [f"C{k:03d}" for k in range(rounds)])  # a cooperative for each draw
    shown, cells, right = 0.4, 1e4 / 100.0 / 9, {}
    for name, code in BUILT.items():
        mean, se = product(name).legend.loc[code, ["users_accuracy", "users_se"]].astype(float)
        drawn = np.tile(mean + rng.normal(0, se, rounds) + rng.normal(0, 0.10, rounds), each)
        right[name] = drawn + rng.normal(0, np.sqrt(mean * (1 - mean) / cells), rounds * each)
    other = np.clip(shown * right[OWN] / np.maximum(right[OTHER], 0.05), 0.0, 0.999)
    table = compare(plots, shown, other)[0]
    table = table[(table["product"] == OTHER) & (table["cooperative_id"] != "all")]
    held = ((table["ratio_low"] <= 1) & (1 <= table["ratio_high"])).mean()
    assert 0.93 <= held <= 0.99  # .985 was found: a map that errs much has a wide interval


def test_cooperatives_stand_apart_and_the_order_of_plots_does_not_matter():
    plots = plots_of(12, ("C2", "C1"))
    own = np.where(plots["cooperative_id"] == "C1", 0.3, 0.0)
    table, _ = compare(plots, own, 0.3)
    assert table["cooperative_id"].tolist() == ["C1", "C1", "C2", "C2", "all", "all"]
    turned, _ = compare(plots.iloc[::-1], own[::-1], 0.3)
    pd.testing.assert_frame_equal(turned, table)


def test_the_runs_own_accuracy_of_a_local_sample_stays_with_its_map():
    chosen = choose("coffee", "HN", season="2026/27")
    legend = product(OWN)
    sampled = legend.legend.assign(users_accuracy=legend.legend["users_accuracy"].where(legend.legend.index != 50, 0.1))
    figures = Figures(chosen, replace(legend, legend=sampled), None, None, ())
    table, _ = compare(plots_of(5), 0.5, 0.0, figures)
    # .95 of the ground bears by the run's map, and all of it by the other
    assert table.loc[1, "ratio"] == pytest.approx(1 / 0.95)


def test_a_map_that_cannot_bear_an_estimate_is_refused():
    plots = plots_of(3)
    several = SimpleNamespace(
        products={OWN: product(OWN), "hansen-loss-2025": product("hansen-loss-2025")}, extractions={}
    )
    figures = Figures(choose("coffee", "HN", season="2026/27"), product(OWN), None, None, ())
    with pytest.raises(RasterError, match="cannot bear an estimate"):
        choice_of_map(figures, plots, several, plots, plots)


def test_the_sentence_names_the_maps_and_the_verdict():
    table, _ = compare(plots_of(20), 0.2, 0.5)
    words = choice_words(table, {OWN: "WorldCover", OTHER: "Esri"})
    assert len(words) == 2
    assert words[0].startswith("C1: between ")
    assert "(Esri)" in words[0] and "(WorldCover)" in words[0] and "−33 %" in words[0]
