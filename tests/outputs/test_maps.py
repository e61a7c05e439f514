import base64
import dataclasses
import json
import re
import zlib

import folium
import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.features
import shapely
from pyproj import Transformer

from geomap.errors import OutputError
from geomap.outputs import map_page, map_words, maps
from geomap.outputs.context import land_cover, widened

_POINT_WITH_CANARY = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"name": "canary-7f3a"},
            "geometry": {"type": "Point", "coordinates": [-88.0, 14.6]},
        }
    ],
}


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="geomap-data">(.*?)</script>', page, re.DOTALL)[1])


def coordinates_of(page):
    found = re.findall(r'"coordinates": (\[.*?\]), "type"', page)
    return np.array([pair for text in found for pair in re.findall(r"\[(-?[\d.]+), (-?[\d.]+)\]", text)], dtype=float)


@pytest.fixture(scope="module")
def internal(run):
    return maps.internal_map(run)


@pytest.fixture(scope="module")
def share(run):
    return maps.share_map(run)


@pytest.fixture(scope="module")
def hostile(hostile_run):
    return maps.internal_map(hostile_run)


# The page as a file


def test_a_page_is_the_same_bytes_each_time(run, internal, share):
    assert maps.internal_map(run) == internal
    assert maps.share_map(run) == share


def test_a_page_links_to_nothing(internal, share):
    for page in (internal, share):
        assert not re.search(r"<(script|img|iframe)[^>]* src=|<link |@import|url\((?!data:|#default)", page)
        assert not re.search(r"<!--[a-z_]+-->", page)


def test_every_script_is_allowed_by_its_hash_and_nothing_by_name(internal):
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', internal)[1]
    assert policy.startswith("default-src 'none'")
    scripts = re.search(r"script-src ([^;]*)", policy)[1].split()
    assert len(scripts) == internal.count("<script>")
    assert all(source.startswith("'sha256-") for source in scripts)


def test_pages_stay_small(internal, share):
    assert len(internal) < 400_000  # Leaflet is 150 kB, 108 plots with their texts some 50 kB
    assert len(share) < 400_000


def test_an_unknown_link_of_folium_is_an_error():
    drawing = map_page.Drawing('<script src="https://example.org/new.js"></script>', "", "", {})
    with pytest.raises(OutputError, match=r"new\.js"):
        map_page.map_page(drawing, {}, {})


def test_words_of_a_script_end_cannot_end_the_data():
    assert "<" not in map_page.json_block({"a": "</script><!--"})
    assert json.loads(map_page.json_block({"a": "</script>&\u2028"})) == {"a": "</script>&\u2028"}


# The office's map


def test_every_plot_is_in_the_table_with_its_numbers(run, internal):
    data = data_of(internal)
    assert [row[0] for row in data["rows"]] == list(run.plots.index)
    first = run.plots.iloc[0]
    expected = [first.name, "Ana López · M0000", round(first["area_ha"], 2), float(f"{first['potential_kg']:.3g}")]
    assert data["rows"][0] == expected


def test_findings_of_a_plot_stand_in_its_popup_and_left_out_plots_in_a_list(run, internal):
    data = data_of(internal)
    row = list(run.plots.index).index(run.plots.index[3])
    assert data["notes"][str(row)][0].startswith("0.12 ha of this ground")
    assert data["flagged"] == [3, 4, 10, 11]  # notes are no reason to mark a plot
    assert data["left_out"] == ["P9999-1: The outline crosses itself at 14.61 N, 88.09 W."]


def test_shapes_have_six_decimals(internal):
    assert np.array_equal(coordinates_of(internal), np.round(coordinates_of(internal), 6))


def test_names_never_reach_folium(hostile, hostile_run):
    drawn = hostile[: hostile.index('id="geomap-data"')]
    for marker in ("7*191", "1337", "window.marker", "src=x", "M0001"):
        assert marker not in drawn
    assert any("{{ 7*191 }}" in row[0] for row in data_of(hostile)["rows"])


def test_folium_reads_a_file_whose_name_it_is_given(tmp_path):
    """The danger that the next test guards against is real."""
    secret = tmp_path / "secret.geojson"
    secret.write_text(json.dumps(_POINT_WITH_CANARY))
    assert folium.GeoJson(str(secret)).data["features"][0]["properties"]["name"] == "canary-7f3a"


@pytest.mark.parametrize("absolute", [True, False])
def test_names_that_are_paths_or_shapes_never_make_a_map_read_a_file(run, tmp_path, monkeypatch, absolute):
    secret = tmp_path / "secret.geojson"
    secret.write_text(json.dumps(_POINT_WITH_CANARY))
    monkeypatch.chdir(tmp_path)
    name = str(secret) if absolute else secret.name
    plots = run.plots.assign(member_id=name, community=name, cooperative_id=name, crop=name, given_id=name)
    plots.index = pd.Index([name, *(f"{name}#{k}" for k in range(2, len(plots) + 1))], name="plot_id")
    given = []

    class Watched(folium.GeoJson):
        def __init__(self, data, **more):
            given.append(type(data))
            super().__init__(data, **more)

    monkeypatch.setattr(folium, "GeoJson", Watched)
    members = run.members.assign(name=name, community=name, cooperative_id=name)
    named = dataclasses.replace(
        run,
        plots=plots,
        members=members,
        cooperatives=run.cooperatives.assign(id=name),
        left_out=plots.iloc[:3].assign(reason=name),
    )
    pages = maps.internal_map(named), maps.share_map(named)
    assert given and set(given) == {dict}
    assert secret.name in pages[0]
    assert not any("canary-7f3a" in page for page in pages)


def test_many_plots_are_drawn_as_cells_that_add_up(make_run, monkeypatch):
    run = make_run(n_members=90)
    monkeypatch.setattr(maps, "MAX_PLOTS", 100)
    page = maps.internal_map(run)
    data = data_of(page)
    assert "180 plots are too many to draw one by one" in page
    assert sum(row[1] for row in data["rows"]) == 180
    assert sum(row[3] for row in data["rows"]) == pytest.approx(run.plots["potential_kg"].sum(), rel=0.005)
    assert "P0001-1" not in page


def test_a_run_without_outlines_still_lists_its_plots(run):
    bare = run.plots.set_geometry([None] * len(run.plots), crs="EPSG:4326")
    page = maps.internal_map(dataclasses.replace(run, plots=bare))
    assert len(data_of(page)["rows"]) == len(run.plots)
    assert coordinates_of(page).size == 0
    assert "Suppressed: no area" in maps.share_map(dataclasses.replace(run, plots=bare))


def test_unknown_potential_is_a_dash_not_a_zero(run):
    plots = run.plots.copy()
    plots.loc[plots.index[0], ["potential_kg", "potential_p10_kg", "potential_p90_kg"]] = np.nan
    data = data_of(maps.internal_map(dataclasses.replace(run, plots=plots)))
    assert data["rows"][0][3] is None
    assert data["details"][0][0] == ""
    assert data["legend"][0]["classes"][-1]["label"] == "none"


# The buyers' map


def test_the_shared_page_holds_nothing_of_a_member_or_plot(run, share):
    secrets = {
        *run.plots.index,
        *run.plots["member_id"],
        *run.members["id"],
        *run.members["name"],
        *run.plots["community"],
    }
    assert [secret for secret in secrets if secret in share] == []
    corners = shapely.get_coordinates(run.plots.geometry)
    near = {f"{part:.4f}"[:-1] for pair in corners for part in pair}
    numbers = {found[:-1] for found in re.findall(r"-?\d+\.\d{4}", re.sub(r"base64,[\w+/=]+", "", share))}
    cells = {f"{part:.4f}"[:-1] for pair in coordinates_of(share) for part in pair}
    assert numbers & near <= cells


def test_shared_shapes_are_corners_of_the_fixed_grid(share):
    x, y = Transformer.from_crs(4326, 6933, always_xy=True).transform(*coordinates_of(share).T)
    for places in (x, y):
        assert np.abs(places / 1000 - np.round(places / 1000)).max() < 0.001  # whole kilometres, to a metre


def test_shared_totals_are_rounded_and_add_up(run, share):
    means = [one["mean"] for one in data_of(share)["cooperatives"]]
    assert all(mean % 1000 == 0 for mean in means)
    assert f"{sum(means):,.0f} <small>kg</small>" in share


def test_a_small_run_shares_no_number(make_run):
    page = maps.share_map(make_run(n_members=8))
    data = data_of(page)
    assert [one["mean"] for one in data["cooperatives"]] == [None] * 3
    assert data["rows"] == []
    assert data["area"] is None
    assert "Suppressed: too few members" in page
    assert "base64" not in page.split('id="geomap-data"')[1]


def test_shared_land_cover_is_left_out_where_the_raster_follows_the_plots(run, tmp_path):
    with rasterio.open(run.rasters[0]) as source:
        codes, profile = source.read(1), source.profile
        inside = rasterio.features.geometry_mask(
            shapely.buffer(run.plots.geometry.array, 0.002), codes.shape, source.transform, invert=True
        )
    cut = tmp_path / "cut.tif"
    with rasterio.open(cut, "w", **profile) as target:
        target.write(np.where(inside, codes, 0).astype("uint8"), 1)
    assert "Land cover" in str(data_of(maps.share_map(run))["legend"])
    assert "Land cover" not in str(data_of(maps.share_map(dataclasses.replace(run, rasters=(cut,))))["legend"])


# Parts


def pixels(context):
    body = base64.b64decode(context.url.split(",")[1])
    width, height = (int.from_bytes(body[k : k + 4], "big") for k in (16, 20))
    start = body.index(b"IDAT") + 4
    lines = zlib.decompress(body[start : start + int.from_bytes(body[start - 8 : start - 4], "big")])
    return np.frombuffer(lines, np.uint8).reshape(height, width + 1)[:, 1:]


def halves(path, left, right, *, west=0.0):
    """A raster of 20 × 10 cells of 0.01 degrees; its left and right half hold one code each."""
    codes = np.repeat([[left] * 10 + [right] * 10], 10, axis=0).astype("uint8")
    transform = rasterio.transform.from_origin(west, 0.1, 0.01, 0.01)
    options = {"driver": "GTiff", "width": 20, "height": 10, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=transform, **options) as target:
        target.write(codes, 1)
    return path


def test_land_cover_shows_classes_in_place_and_nothing_where_there_is_none(run, tmp_path):
    path = halves(tmp_path / "halves.tif", 10, 80)
    context = land_cover([path], run.product, (0.0, 0.0, 0.4, 0.1), max_pixels=80)
    assert context.classes.index.tolist() == [10, 80]
    shown = pixels(context)
    assert shown.shape == (20, 80)
    assert [np.unique(shown[:, k : k + 18]).tolist() for k in (1, 21, 41, 61)] == [
        [1],
        [6],
        [0],
        [0],
    ]  # 1st, 6th colour


def test_codes_without_a_legend_are_transparent(run, tmp_path):
    path = halves(tmp_path / "halves.tif", 10, 77)
    assert land_cover([path], run.product, (0.0, 0.0, 0.2, 0.1)).classes.index.tolist() == [10]
    assert land_cover([path], run.product, (5.0, 0.0, 5.2, 0.1)) is None


def test_only_boxes_with_data_everywhere_are_drawn(run, tmp_path):
    path = halves(tmp_path / "halves.tif", 10, 0)
    boxes = [(0.0, 0.0, 0.05, 0.05), (0.06, 0.0, 0.14, 0.1)]
    shown = pixels(land_cover([path], run.product, (0.0, 0.0, 0.2, 0.1), only=boxes, max_pixels=40))
    assert (shown > 0).sum() == 100  # 0.05° of 0.2° on 40 pixels: 10 × 10


def test_a_picture_never_passes_its_size(run):
    shown = pixels(land_cover(run.rasters, run.product, widened((-88.2, 14.5, -87.9, 14.7)), max_pixels=300))
    assert max(shown.shape) == 300


def test_classes_split_values_evenly_and_need_no_more_than_there_are():
    assert map_words.class_breaks(range(1001)) == [200, 400, 600, 800]
    assert map_words.class_breaks([]) == []
    assert map_words.class_breaks([5.0]) == []
    assert map_words.classes_of([0.0, np.nan, 100.0, 200.0, 999.0], [200.0, 400.0]) == [-1, -1, 0, 2, 4]


def test_a_legend_names_its_limits():
    legend = map_words.scale("kg", [200.0, 1500.0], [0, 2, 4], opacity=1.0)
    assert [one["label"] for one in legend["classes"]] == ["under 200", "200 – 1,500", "1,500 or more"]


# In a browser


def opens(page, row):
    page.locator(f'tr[data-row="{row}"] button').click()
    page.wait_for_selector(".leaflet-popup-content h3")
    return page.locator(".leaflet-popup-content h3").last.text_content()


def quiet(page):
    return page.problems == [] and all(url.startswith(("file:", "data:")) for url in page.requests)


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["desktop", "phone"])
def test_a_row_opens_the_popup_of_its_plot(internal, run, chromium_page, size):
    page = chromium_page(internal, width=size[0], height=size[1])
    assert opens(page, 5) == run.plots.index[5]
    assert page.locator("tr.chosen").get_attribute("data-row") == "5"
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert quiet(page)


def test_the_map_lies_above_the_panel_on_a_phone_and_beside_it_on_a_desktop(internal, chromium_page):
    def places(width, height):
        page = chromium_page(internal, width=width, height=height)
        return page.locator(".map").bounding_box(), page.locator(".panel").bounding_box()

    top, below = places(390, 844)
    assert top["y"] == 0
    assert top["width"] == 390
    assert below["y"] >= top["y"] + top["height"]
    left, right = places(1280, 800)
    assert right["x"] >= left["x"] + left["width"]


def test_search_finds_members_without_accents_and_enter_opens_the_first(internal, run, chromium_page):
    page = chromium_page(internal)
    page.locator("#search").fill("JOSE m0001")
    mine = run.plots.index[run.plots["member_id"] == "M0001"].tolist()
    assert page.locator("#rows tr td:first-child button").all_text_contents()[:2] == mine
    assert page.locator("#count").text_content() == f"{len(mine)} of {len(run.plots)} plots"
    page.locator("#search").press("Enter")
    assert page.locator(".leaflet-popup-content h3").text_content() == mine[0]


def test_columns_sort_both_ways_by_number(internal, run, chromium_page):
    page = chromium_page(internal)
    button = page.locator("thead th button").last
    for order in ("ascending", "descending"):
        button.click()
        numbers = [float(text.replace(",", "")) for text in page.locator("#rows td:last-child").all_text_contents()]
        assert numbers == sorted(numbers, reverse=order == "descending")
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == order


def test_the_page_is_usable_by_keyboard(internal, run, chromium_page):
    page = chromium_page(internal)
    page.locator("#search").focus()
    for _ in range(5):  # four heads, then the first row
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator(".leaflet-popup-content h3").text_content() == run.plots.index[0]
    assert run.plots.index[0] in page.locator("#spoken").text_content()
    page.keyboard.press("Escape")


def test_targets_are_large_enough_and_named(internal, chromium_page):
    page = chromium_page(internal)
    opens(page, 0)
    small = page.evaluate(
        """[...document.querySelectorAll('button, input, a:not(.skip)')].filter(e => e.offsetParent).map(e =>
            [e.textContent.trim() || e.ariaLabel || e.title || e.labels?.[0]?.textContent, e.getBoundingClientRect()])
            .filter(([name, box]) => !name || box.height < 23.9 || box.width < 23.9).map(([name]) => name)"""
    )
    assert small == []


def test_layers_can_be_switched_off_with_their_dots(internal, chromium_page):
    page = chromium_page(internal)
    drawn = "Object.values(map_1._layers).filter(l => l instanceof L.CircleMarker).length"
    before = page.evaluate(drawn)
    page.locator(".leaflet-control-layers").hover()
    for name in ("Plots with findings", "Plots"):
        page.locator(".leaflet-control-layers-overlays label", has_text=re.compile(f"^ ?{name}$")).locator(
            "input"
        ).click()
    assert before > 100
    assert page.evaluate(drawn) == 0
    assert quiet(page)


@pytest.mark.parametrize("kind", ["internal_map", "share_map"])
def test_hostile_names_are_shown_as_they_are_and_run_nothing(hostile_run, chromium_page, kind):
    page = chromium_page(getattr(maps, kind)(hostile_run))
    for row in range(min(12, page.locator("#rows tr").count())):
        opens(page, row)
    seen = page.locator("body").inner_text()
    expected = ["{{ 7*191 }}", "{% raw %}", "{# x #} {{ }}"]  # the cooperatives; the office's page shows every name
    if kind == "internal_map":
        expected += [
            "<img src=x onerror=",
            "</script><script>window.marker='script'</script>",
            "${window.marker='dollar'}",
        ]
        expected += ["` + (window.marker='tick') + `", "\\` \\u003c \\", "=1+1", "<!--data--> <!--map-->", "gnp.exe"]
    assert [text for text in expected if text not in seen] == []
    assert "1337" not in seen
    assert page.evaluate("window.marker") is None
    assert quiet(page)


def test_a_shared_cell_opens_with_its_numbers(share, chromium_page):
    page = chromium_page(share)
    opens(page, 0)
    assert "Rounded to, kg" in page.locator(".leaflet-popup-content").text_content()
    assert quiet(page)


def test_a_page_without_cells_says_why(make_run, chromium_page):
    page = chromium_page(maps.share_map(make_run(n_members=8)))
    assert "no area has enough members" in page.locator(".empty").text_content()
    assert quiet(page)


def test_script_that_is_put_into_the_page_does_not_run(internal, chromium_page):
    """The policy holds even where text were to become a tag."""
    page = chromium_page(internal.replace("<footer>", "<footer><script>window.marker = 1</script>"))
    assert page.evaluate("window.marker") is None
    assert any("Content Security Policy" in problem for problem in page.problems)


def test_months_and_members_are_not_needed_for_a_map(run):
    lean = dataclasses.replace(run, months=run.months.iloc[:0], findings=run.findings.iloc[:0], rasters=())
    page = maps.internal_map(dataclasses.replace(lean, members=run.members.drop(columns="name")))
    assert data_of(page)["rows"][0][1] == "M0000"
    assert isinstance(run.months, pd.DataFrame)
