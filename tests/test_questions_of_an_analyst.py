"""What an analyst asks: each answer stands in the report of the demo, or in a page of the docs."""

import re
from html import unescape
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.features import geometry_mask
from typer.testing import CliRunner

from geomap.cli import app
from geomap.landcover.product import product
from geomap.plots.area import ellipsoidal_cell_area

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = CliRunner().invoke(app, ["demo", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def text(demo):
    """The words of the report."""
    page = (demo / "results" / "report.html").read_text()
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page.partition("<body")[2])))


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("are cooperatives comparable", ["Where the cooperatives lie", "Intervals are of 95 %"]),
        ("are differences real", ["called different only where the interval of their difference does not hold 0"]),
        ("which map, year and accuracy", ["Land cover: ESA WorldCover 2021, year 2021", "% right)"]),
        ("what is measured, what assumed", ["What it assumes", "Support says how well", "How much of it is mapped"]),
        ("why does coffee show as trees", ["it cannot tell coffee or cocoa under shade from other trees"]),
        ("may I publish this", ["May this be published", "map_share.html may be passed on"]),
        ("how do I cite it", ["ESA WorldCover 2021 (v200)", "Licence: CC-BY-4.0", "doi:10.5281/zenodo.7254221"]),
        ("can I do it again in QGIS", ["How to count the hectares again in QGIS stands in the documentation"]),
    ],
)
def test_the_report_answers(text, question, answers):
    for answer in answers:
        assert answer in text, question


def test_two_cooperatives_of_the_demo_are_set_beside_one_another(text):
    assert "No two cooperatives are different" in text or "Different, of" in text


def test_what_the_docs_say_of_qgis_stands_there():
    page = (DOCS / "landcover.md").read_text()
    assert "## The same in QGIS" in page
    assert "Zonal histogram" in page


def test_the_steps_for_qgis_come_within_what_the_docs_say(demo):
    """Zonal histogram: cells whose centre lies in the plot, times the area of a cell."""
    plots = gpd.read_parquet(demo / "results" / "plots.parquet")
    plots = plots[plots["area_ha"] > 0]
    rows = []
    with rasterio.open(demo / "sample" / "landcover.tif") as source:
        codes, place = source.read(1), source.transform
    for coop, shape in zip(plots["cooperative_id"], plots.geometry, strict=True):
        west, south, east, north = shape.bounds
        top, left = int((north - place.f) / place.e), int((west - place.c) / place.a)
        bottom, right = int((south - place.f) / place.e) + 1, int((east - place.c) / place.a) + 1
        (top, bottom), (left, right) = np.clip([top, bottom], 0, len(codes)), np.clip([left, right], 0, codes.shape[1])
        if top >= bottom or left >= right:
            continue  # beyond the map
        window = place * rasterio.Affine.translation(left, top)
        inside = ~geometry_mask([shape], (bottom - top, right - left), window)
        middle = place.f + (top + bottom) / 2 * place.e
        cell = ellipsoidal_cell_area(np.array([middle]), height=-place.e, width=place.a)[0]
        found, cells = np.unique(codes[top:bottom, left:right][inside], return_counts=True)
        rows += [(coop, code, count * cell / 1e4) for code, count in zip(found.tolist(), cells.tolist(), strict=True)]
    histogram = pd.DataFrame(rows, columns=["cooperative_id", "class", "ha"])
    histogram = histogram.groupby(["cooperative_id", "class"])["ha"].sum()
    ours = pd.read_csv(demo / "results" / "environment.csv")
    ours = ours[ours["class"].isin(product("esa-worldcover-2021").legend.index)]
    whole = ours.groupby("cooperative_id")["area_ha"].sum()
    both = pd.concat([ours.set_index(["cooperative_id", "class"])["area_ha"], histogram], axis=1).fillna(0.0)
    both = both[both.index.get_level_values("class") != 0]
    off = (both["area_ha"] - both["ha"]).abs() / whole.reindex(both.index.get_level_values(0)).to_numpy()
    assert off.max() < 0.005
    assert histogram.sum() == pytest.approx(whole.sum(), rel=0.01)
