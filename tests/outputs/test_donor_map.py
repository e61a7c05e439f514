"""The sheet for donors: the cells of the buyers' map and no more, the same bytes, any text as it is."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from geomap.errors import OutputError
from geomap.outputs import maps
from geomap.outputs.donor_map import donor_map, write_donor_map
from geomap.outputs.donor_sheet import share_cells
from geomap.outputs.sheet_places import round_step, xy


def texts(figure):
    """Every text on the sheet."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.findobj(lambda one: hasattr(one, "texts") and one is not figure):
        found += [text.get_text() for text in axes.texts]
    return found


@pytest.fixture(scope="module")
def ready(make_run):
    """Makes runs whose product has all that products have."""

    def make(**options):
        run = make_run(**options)
        if not hasattr(run.product, "threshold"):
            run.product.threshold = None
        return run

    return make


@pytest.fixture(scope="module")
def big(ready):
    return ready(n_members=300)


def test_it_is_an_a4_sheet_of_300_dots_an_inch_and_a_pdf(big, tmp_path):
    write_donor_map(big, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["donor_map.pdf", "donor_map.png"]
    with Image.open(tmp_path / "donor_map.png") as image:
        assert image.size == (3507, 2481)
        assert round(image.info["dpi"][0]) == 300
    pdf = (tmp_path / "donor_map.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page ") == 1


def test_equal_runs_give_equal_bytes_in_any_order_of_rows(big, tmp_path):
    turned = replace(big, plots=big.plots.iloc[::-1], members=big.members.iloc[::-1])
    write_donor_map(big, tmp_path / "a")
    write_donor_map(turned, tmp_path / "b")
    for name in ("donor_map.png", "donor_map.pdf"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_no_date_of_today_is_in_the_files(big, tmp_path):
    write_donor_map(big, tmp_path)
    assert set(re.findall(rb"D:(\d{4})", (tmp_path / "donor_map.pdf").read_bytes())) == {b"2000"}
    with Image.open(tmp_path / "donor_map.png") as image:
        assert set(image.info) <= {"Title", "Software", "dpi"}


def test_the_cells_are_those_of_the_buyers_map(big):
    page = maps._cells_page(big)
    cells = share_cells(big)
    assert [tuple(row) for row in cells[["west", "south", "east", "north"]].to_numpy().tolist()] == page["boxes"]
    assert cells["total"].tolist() == [row[3] for row in page["rows"]]


def test_every_circle_stands_in_its_cell_and_nothing_else_has_a_place(big):
    figure, cells = donor_map(big), share_cells(big)
    place = figure.axes[0]
    marks = np.array([(line.get_xdata()[0], line.get_ydata()[0]) for line in place.lines])
    west, south = xy(cells["west"].to_numpy(), cells["south"].to_numpy())
    east, north = xy(cells["east"].to_numpy(), cells["north"].to_numpy())
    assert len(marks) == (cells["total"] > 0).sum()
    inside = (marks[:, [0]] > west) & (marks[:, [0]] < east) & (marks[:, [1]] > south) & (marks[:, [1]] < north)
    assert inside.any(axis=1).all()
    assert len(place.collections) == 0


def test_no_member_plot_or_community_is_named(big):
    said = "\n".join(texts(donor_map(big)))
    for name in {*big.members["name"], *big.plots["community"], *big.plots.index[:50]}:
        assert name not in said


def test_it_says_season_sources_licence_scale_and_north(big):
    said = texts(donor_map(big))
    whole = " ".join(said)
    assert "N" in said
    assert any(re.fullmatch(r"[\d.,]+ km", text) for text in said)
    for words in ("season 2026/27", "CC-BY-4.0", "ESA WorldCover", "Natural Earth", "not what will be delivered"):
        assert words in whole
    assert "Tree cover (includes shade coffee and" in whole
    assert "forest" not in whole.lower()


def test_too_few_members_leave_an_empty_sheet_that_says_so(ready, tmp_path):
    run = ready(n_members=6)
    assert share_cells(run).empty
    said = " ".join(texts(donor_map(run)))
    assert "Suppressed" in said and "suppressed" in said
    write_donor_map(run, tmp_path)
    assert (tmp_path / "donor_map.pdf").stat().st_size > 1000


def test_names_are_drawn_as_they_are(ready, tmp_path):
    """Signs of formulas, tags and letters that the font lacks are text; a warning would be an error here."""
    run = ready(n_members=90)
    names = {"COAGRO": r"$\frac{1}{0}$ & <b>", "La Esperanza": "咖啡 {{ x }}" * 9, "Río Lindo": "\u202egnp\n$"}
    renamed = replace(
        run,
        cooperatives=run.cooperatives.assign(id=run.cooperatives["id"].map(names)),
        members=run.members.assign(cooperative_id=run.members["cooperative_id"].map(names)),
    )
    figure = donor_map(renamed)
    assert r"$\frac{1}{0}$ & <b>" in texts(figure)
    write_donor_map(renamed, tmp_path)


def test_the_scale_bar_is_as_long_as_it_says(big):
    figure = donor_map(big)
    place = figure.axes[0]
    fields = sorted((patch for patch in place.patches if patch.get_zorder() == 8), key=lambda patch: patch.get_x())
    text = next(one.get_text() for one in place.texts if one.get_text().endswith(" km"))
    middle = np.degrees(np.arcsin(np.tanh(np.mean(place.get_ylim()) / 6_378_137.0)))
    metres = (fields[-1].get_x() + fields[-1].get_width() - fields[0].get_x()) * np.cos(np.radians(middle))
    assert metres == pytest.approx(1000 * float(text.removesuffix(" km").replace(",", "")), rel=1e-9)


def test_an_old_file_stays_whole_where_the_new_one_cannot_be_written(big, tmp_path):
    (tmp_path / "donor_map.png").mkdir()
    with pytest.raises(OutputError, match=r"donor_map\.png cannot be written"):
        write_donor_map(big, tmp_path)


@pytest.mark.parametrize(("rough", "step"), [(1.0, 1.0), (0.99, 0.5), (7.0, 5.0), (24.0, 20.0), (0.03, 0.025)])
def test_steps_are_round(rough, step):
    assert round_step(rough) == pytest.approx(step)


def test_the_run_is_left_as_it_was(big):
    before = big.plots.copy(), big.members.copy()
    donor_map(big)
    pd.testing.assert_frame_equal(big.plots, before[0])
    pd.testing.assert_frame_equal(big.members, before[1])
