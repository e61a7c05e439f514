"""The served map: what the frame may do, what stands beside it, and outlines that are drawn, written and kept."""

import io
import json
import re

import pytest

from api.pages.outline import as_text, corners_of, from_text, oddities
from geomap.errors import NumberError

SQUARE = "14.66, -88.82\n14.66, -88.819\n14.661, -88.819\n14.661, -88.82"
HOSTILE = "</script><img src=x onerror=alert(1)>'\"{{7*191}}"
TODAY = "Plots as they stand today"


# ---- an outline as text ----


@pytest.mark.parametrize("line", ["0, 200", "91, 0", "nan, 0", "inf, 1", "1", "1, 2, 3", "a, b"])
def test_a_line_that_is_no_place_is_refused(line):
    with pytest.raises(NumberError, match="Line 2"):
        from_text(f"0, 0\n{line}\n1, 1")


def test_an_outline_has_three_corners_and_at_most_ten_thousand():
    with pytest.raises(NumberError, match="three"):
        from_text("0, 0\n0, 1")
    with pytest.raises(NumberError, match="too many"):
        from_text("\n".join(f"0, {k / 1000}" for k in range(10_001)))


def test_a_ring_within_another_is_a_hole_and_one_beside_it_a_part():
    ring = "{0}, {0}\n{0}, {1}\n{1}, {1}\n{1}, {0}"
    text = "\n\n".join((ring.format(0, 9), ring.format(2, 3), ring.format(20, 21)))
    shape = from_text(text)
    assert shape["type"] == "MultiPolygon"
    assert [len(polygon) for polygon in shape["coordinates"]] == [2, 1]


def test_an_outline_comes_back_from_its_text_as_it_was():
    import shapely

    shape = shapely.Polygon([(0.1, 0.2), (3.3, 0.4), (3, 4)], [[(1, 1), (2.5, 1.2), (2.4, 2)]])
    text = as_text(corners_of(shapely.to_wkb(shape)))
    assert shapely.from_geojson(json.dumps(from_text(text))).equals(shape)


def test_what_is_odd_about_an_outline_is_told():
    import shapely

    old = shapely.to_wkb(shapely.box(-88.82, 14.66, -88.819, 14.661))

    def odd(*box):
        return [kind for kind, _ in oddities(json.loads(shapely.to_geojson(shapely.box(*box))), old)]

    assert odd(-88.82, 14.66, -88.819, 14.661) == []
    assert odd(-88.82, 14.66, -88.81995, 14.66005) == ["small", "shrank"]  # 5 m × 5 m; the middle moved 73 m
    assert odd(-88.82, 14.66, -88.818, 14.661) == ["grew"]  # twice as large, 54 m away
    assert odd(-88.81, 14.66, -88.809, 14.661) == ["far"]


# ---- pages without a script ----


def test_the_frame_holds_no_fact_of_anybody_and_may_reach_nothing(ran):
    answers = [ran.service.clients[role].get("/map-frame") for role in ("office", "analyst", "buyer")]
    assert len({answer.text for answer in answers}) == 1
    policy = answers[0].headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'") and "frame-ancestors 'self'" in policy
    assert "img-src data: blob:;" in policy and "connect-src" not in policy
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", answers[0].text)
    assert ran.service.nobody.get("/map-frame").status_code == 401


def test_only_where_a_basemap_is_set_may_the_frame_ask_its_server(sqlite_store, tmp_path, make_service):
    basemap = {"basemap": "https://tiles.example/{z}/{x}/{y}.png", "basemap_credit": "<b>Mappers</b>"}
    answer = make_service(sqlite_store, tmp_path, **basemap).office.get("/map-frame")
    assert "img-src data: blob: https://tiles.example;" in answer.headers["content-security-policy"]
    assert "<b>Mappers" not in answer.text


def test_the_table_is_searched_and_sorted_and_stands_without_a_script(ran):
    at = f"/office/{ran.service.ours}/map"
    text = ran.service.office.get(at, params={"run": ran.run["run_id"], "sort": "ha", "down": True}).text
    areas = [float(cell) for cell in re.findall(r"([\d.]+)&nbsp;ha", text)]
    assert len(areas) > 20 and areas == sorted(areas, reverse=True)
    assert text.count("<tr data-plot=") == 50
    found = ran.service.office.get(at, params={"search": "LP-00002"}).text
    assert found.count("<tr data-plot=") == 1
    picture = ran.service.office.get(f"{at}/still.png")
    assert picture.content.startswith(b"\x89PNG") and len(picture.content) > 1_000


def test_an_analyst_sees_pseudonyms_and_nobodys_name(light_world):
    answer = light_world.clients["analyst"].get(f"/analysis/{light_world.service.ours}/map")
    run = light_world.clients["analyst"].get(
        f"/analysis/{light_world.service.ours}/map", params={"run": light_world.ids["a"]["run_id"]}
    )
    for told in (answer, run):
        assert told.status_code == 200
        assert told.text.count("<tr data-plot=") == 1  # of four plots, one is of somebody who agreed alone
        assert [text for text in light_world.canaries["a"].all if text in told.text] == []
    assert light_world.clients["analyst"].get(f"/office/{light_world.service.ours}/map").status_code == 403
    assert light_world.clients["buyer"].get(f"/analysis/{light_world.service.ours}/map").status_code in (403, 404)


def test_an_outline_written_as_text_is_saved_and_the_old_one_can_be_restored(light_service):
    light_service.plot("P1", declared_area_ha=1.2, attributes={"variety": "Típica"})
    at = f"/office/{light_service.ours}/plot"
    form = {"version": 1, "corners": SQUARE.replace("14.661", "14.6612")}
    answer = light_service.office.post(at, params={"id": "P1"}, data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"].partition("&")[2]) == (303, "saved=2")
    plot = light_service.office.get(f"{light_service.at}/plots/P1").json()
    assert max(lat for _, lat in plot["geometry"]["coordinates"][0]) == 14.6612
    assert plot["properties"]["declared_area_ha"] == 1.2
    assert plot["properties"]["attributes"] == {"variety": "Típica"}
    assert 'class="older"' in light_service.office.get(at, params={"id": "P1"}).text
    light_service.office.post(f"{at}/restore", params={"id": "P1"}, data={"version": 2, "restored": 1})
    again = light_service.office.get(f"{light_service.at}/plots/P1").json()
    assert max(lat for _, lat in again["geometry"]["coordinates"][0]) == 14.661
    assert again["properties"]["version"] == 3


def test_an_outline_that_somebody_else_changed_is_not_overwritten(light_service):
    light_service.plot("P1")
    light_service.plot("P1", west=-88.8201)
    form = {"version": 1, "corners": SQUARE}
    at = f"/office/{light_service.ours}/plot"
    assert light_service.office.post(at, params={"id": "P1"}, data=form).status_code == 412
    restored = {"version": 1, "restored": 1}
    assert light_service.office.post(f"{at}/restore", params={"id": "P1"}, data=restored).status_code == 412
    assert light_service.office.get(f"{light_service.at}/plots/P1").json()["properties"]["version"] == 2


def seen(answer):
    """The token of the doubts that a page tells of."""
    return re.search(r'name="sure" value="(\w+)"', answer.text)[1]


def test_what_is_odd_is_asked_about_and_what_crosses_itself_is_refused(light_service):
    light_service.plot("P1")
    at = f"/office/{light_service.ours}/plot"

    def sent(corners, **more):
        form = {"version": 1, "corners": corners, **more}
        return light_service.office.post(at, params={"id": "P1"}, data=form, follow_redirects=False)

    far, farther = SQUARE.replace("14.66", "14.67"), SQUARE.replace("14.66", "14.68")
    asked = sent(far)
    assert asked.status_code == 422 and far.split("\n")[0] in asked.text
    bow = "14.66, -88.82\n14.661, -88.819\n14.66, -88.819\n14.661, -88.82"
    crossing = sent(bow, sure=seen(asked))
    assert crossing.status_code == 422 and 'name="sure"' not in crossing.text
    assert sent("nonsense", sure=seen(asked)).status_code == 422
    again = sent(
        farther, sure=seen(asked)
    )  # who has seen the doubts about one outline has not seen those about another
    assert again.status_code == 422 and seen(again) != seen(asked)
    assert sent(far, sure=seen(asked)).status_code == 303


def lines(answer):
    """The plots that a page says an outline lies over, as text."""
    told = re.search(r'<div class="alert doubts".*?</div>', answer.text, re.DOTALL)
    return (
        [
            " ".join(re.sub(r"<[^>]+>|&nbsp;", lambda found: " " if found[0] == "&nbsp;" else "", one).split())
            for one in re.findall(r"<li>(.*?)</li>", told[0])
        ]
        if told
        else []
    )


def test_what_a_new_outline_overlaps_is_told_before_it_is_kept(light_service):
    light_service.member("M1")
    light_service.member("M2")
    light_service.plot("P1", member_id="M1")
    light_service.plot("P2", west=-88.819, member_id="M2")  # its neighbour: they touch
    light_service.plot("P3", west=-88.8185, member_id="M1")
    light_service.plot("P9", west=-88.7, member_id="M2")
    at = f"/office/{light_service.ours}/plot"

    def sent(corners, plot="P1", version=1, **more):
        form = {"version": version, "corners": corners, **more}
        return light_service.office.post(at, params={"id": plot}, data=form, follow_redirects=False)

    assert lines(sent(SQUARE)) == []  # nothing changed: nothing is asked, though P1 touches P2
    wide = SQUARE.replace("-88.819", "-88.8183")
    asked = sent(wide)
    assert asked.status_code == 422
    # of the square of .001 degrees, 1.19 ha, .7 lies over P2 and .2 over P3
    assert lines(asked) == [
        "P2 · Member M2: 0.834 ha. Two members claim the same ground; it is shared between them.",
        "P3 · Member M1: 0.238 ha. One member drew the same ground twice; it counts once.",
    ]
    assert light_service.office.get(f"{light_service.at}/plots/P1").json()["properties"]["version"] == 1
    common = json.loads(re.search(r"data-map='([^']*)'", asked.text)[1].replace("&#39;", "'"))["edit"]["common"]
    assert common["type"] == "Polygon"
    light_service.plot("P2", west=-88.8191, member_id="M2")  # the neighbour moves before the answer
    later = sent(wide, sure=seen(asked))
    assert later.status_code == 422 and lines(later) != lines(asked)
    assert sent(wide, sure=seen(later)).status_code == 303
    assert light_service.office.get(f"{light_service.at}/plots/P1").json()["properties"]["version"] == 2


def test_a_broken_or_empty_neighbour_stops_no_outline(light_service):
    import shapely

    from geomap.store.plots import put_plot
    from geomap.store.scope import ALL, Scope

    bow = shapely.Polygon([(-88.8195, 14.66), (-88.8185, 14.661), (-88.8185, 14.66), (-88.8195, 14.661)])
    shapes = {"bow": bow, "point": shapely.Point(-88.8195, 14.6605), "none": None}
    with light_service.store.begin(Scope("local", ALL, "local")) as tx:
        for name, shape in shapes.items():
            put_plot(tx, light_service.ours, name, {"geometry": None if shape is None else shapely.to_wkb(shape)})
    light_service.member("M1")
    at = f"/office/{light_service.ours}/plot/new"
    form = {"plot_id": "M1-1", "corners": SQUARE}
    assert light_service.office.post(at, params={"member": "M1"}, data=form, follow_redirects=False).status_code == 303


def test_a_new_plot_on_known_ground_is_asked_about_and_kept_all_the_same(light_service):
    light_service.member("M1")
    light_service.plot("<b>'1", member_id="M1")
    at = f"/office/{light_service.ours}/plot/new"
    form = {"plot_id": "M1-1", "corners": SQUARE}
    for language, words in (("en", "Save all the same"), ("es", "Guardar de todos modos"),
                            ("fr", "Enregistrer quand même"), ("pt", "Salvar mesmo assim")):  # fmt: skip
        asked = light_service.office.post(at, params={"member": "M1", "lang": language}, data=form)
        assert asked.status_code == 422 and words in asked.text and "<b>" not in asked.text
    assert light_service.office.get(f"{light_service.at}/plots/M1-1").status_code == 404
    form |= {"sure": seen(asked)}
    kept = light_service.office.post(at, params={"member": "M1"}, data=form, follow_redirects=False)
    assert kept.status_code == 303
    assert light_service.office.get(f"{light_service.at}/plots/M1-1").status_code == 200


def test_an_earlier_outline_that_lies_over_another_plot_is_shown_before_it_is_restored(light_service):
    light_service.plot("P1")
    light_service.plot("P1", west=-88.8202)
    light_service.plot("P2", west=-88.8191)
    at = f"/office/{light_service.ours}/plot"
    answer = light_service.office.post(f"{at}/restore", params={"id": "P1"}, data={"version": 2, "restored": 1})
    assert answer.status_code == 422 and len(lines(answer)) == 1 and "14.66, -88.819" in answer.text
    written = re.search(r"<textarea[^>]*>(.*?)</textarea>", answer.text, re.DOTALL)[1]
    form = {"version": 2, "corners": written, "sure": seen(answer)}
    kept = light_service.office.post(at, params={"id": "P1"}, data=form, follow_redirects=False)
    assert kept.headers["location"].endswith("saved=3")


def test_a_plot_is_drawn_for_a_member_and_takes_no_others_id(light_service):
    light_service.member("M1", name=HOSTILE, community="El Pinabete")
    at = f"/office/{light_service.ours}/plot/new"
    page = light_service.office.get(at, params={"member": "M1"}).text
    assert HOSTILE not in page and "&lt;/script&gt;" in page
    form = {"plot_id": "M1-1", "corners": SQUARE}
    answer = light_service.office.post(at, params={"member": "M1"}, data=form, follow_redirects=False)
    assert answer.status_code == 303
    plot = light_service.office.get(f"{light_service.at}/plots/M1-1").json()["properties"]
    assert (plot["member_id"], plot["community"]) == ("M1", "El Pinabete")
    assert light_service.office.post(at, params={"member": "M1"}, data=form).status_code == 412


@pytest.mark.parametrize(("kind", "least"), [("communities", "El Pinabete"), ("members", "LP-00002")])
def test_lists_for_the_field_are_printed_from_what_stands_today(ran, kind, least):
    at = f"/office/{ran.service.ours}/lists"
    answer = ran.service.office.get(f"{at}/frame", params={"kind": kind})
    assert answer.status_code == 200 and least in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert ran.service.office.get(f"{at}/frame", params={"kind": kind, "part": 9}).status_code == 404
    assert ran.service.office.get(at, params={"kind": kind}).status_code == 200


# ---- in a browser ----


def inside(browser):
    """The frame of the map, once its tiles are drawn."""
    browser.page.locator(".stage[data-drawn]").wait_for()
    return next(frame for frame in browser.page.frames if "/map-frame" in frame.url)


def colours(browser):
    """Colours within the picture of the stage, each with its pixels."""
    from PIL import Image

    picture = Image.open(io.BytesIO(browser.page.locator(".stage").screenshot())).convert("RGB")
    return {colour: count for count, colour in picture.getcolors(2**24)}


def test_the_map_shows_plots_in_the_colours_of_its_legend(office, desk_with_run):
    page = office.page
    office.open(f"{office.at}/map?run={desk_with_run.run['run_id']}&plot=LP-00010")
    frame = inside(office)
    office.check("map-of-a-run")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator(".found h2", has_text="LP-00010").wait_for()
    page.locator(".found .close").click()
    page.wait_for_timeout(1_500)
    swatches = frame.locator(".legend .swatch").evaluate_all("all => all.map((one) => one.style.backgroundColor)")
    assert len(swatches) >= 4
    rgb = [tuple(map(int, re.findall(r"\d+", one)[:3])) for one in swatches[:5]]
    ground = (244, 246, 244)
    drawn = [tuple(round(0.85 * c + 0.15 * g) for c, g in zip(one, ground, strict=True)) for one in rgb]
    seen = colours(office)
    near = {one: sum(n for c, n in seen.items() if max(abs(a - b) for a, b in zip(c, one, strict=True)) < 3)
            for one in drawn}  # fmt: skip
    assert max(near.values()) > 500, near
    before = colours(office)
    frame.locator("summary").click()
    frame.locator("input[value=uncertainty]").check()
    page.wait_for_timeout(1_500)
    assert colours(office) != before
    office.check("map-of-uncertainty")


def test_a_row_moves_the_map_and_a_tap_shows_the_plot(office):
    page = office.page
    page.set_viewport_size({"width": 1280, "height": 800})
    office.open(f"{office.at}/map?search=LP-000")
    frame = inside(office)
    place = frame.locator(".place").inner_text()
    link = page.locator("a[data-place]").nth(2)
    plot = link.get_attribute("data-plot")
    link.focus()
    page.keyboard.press("Enter")
    page.locator(".found h2", has_text=plot).wait_for()
    page.wait_for_timeout(1_000)
    assert frame.locator(".place").inner_text() != place
    assert page.url.endswith("search=LP-000")
    assert page.locator("tr.here").get_attribute("data-plot") == plot
    page.locator(".found .close").click()
    outline = frame.locator("canvas, path.leaflet-interactive").first.bounding_box()
    assert outline is not None
    page.reload()
    inside(office)
    lon, lat, _ = json.loads(page.locator(f"a[data-plot='{plot}']").get_attribute("data-place"))
    frame = inside(office)
    frame.evaluate("([lon, lat]) => { frame.map.setView([lat, lon], 18, { animate: false }); }", [lon, lat])
    frame.locator(".leaflet-container").click()
    page.locator(".found h2", has_text=plot).wait_for()
    office.check("map-with-a-plot")


def test_the_frame_reaches_neither_cookies_nor_the_service(office):
    office.open(f"{office.at}/map")
    frame = inside(office)
    office.said.clear()
    for script in ("fetch(location.href)", "fetch('/session')", "import('/static/pages.js')"):
        assert frame.evaluate(f"{script}.then(() => 'reached', () => 'refused')") == "refused"
    assert frame.evaluate("(() => { try { return document.cookie } catch { return 'refused' } })()") == "refused"
    read = "(() => { try { return parent.document.title } catch { return 'refused' } })()"
    assert frame.evaluate(read) == "refused"
    office.said.clear()  # the console tells of each refusal


def test_messages_of_strangers_and_numbers_out_of_range_are_ignored(office):
    page = office.page
    office.open(f"{office.at}/map")
    frame = inside(office)
    page.wait_for_timeout(800)
    asked = len(office.asked)
    page.evaluate("postMessage({ ask: 'tile', n: 1, layer: 'findings', z: 1, x: 0, y: 0 }, '*')")
    for message in (
        {"ask": "tile", "n": 9001, "layer": "../../members", "z": 1, "x": 0, "y": 0},
        {"ask": "tile", "n": 9002, "layer": "findings", "z": 1, "x": 2, "y": 0},
        {"ask": "tile", "n": 9003, "layer": "findings", "z": "1/../..", "x": 0, "y": 0},
        {"ask": "at", "n": 9004, "lon": 999, "lat": 0, "z": 3},
        {"ask": "constructor", "n": 9005},
        {"say": "__proto__"},
        {"say": "outline", "outline": [[[[1, 2]]]]},
    ):
        frame.evaluate("(message) => parent.postMessage(message, '*')", message)
    page.wait_for_timeout(500)
    assert office.asked[asked:] == [] and office.said == []


def test_an_outline_is_changed_by_drag_and_by_keys_saved_and_not_overwritten(office, desk_with_run):
    page = office.page
    page.set_viewport_size({"width": 1280, "height": 800})
    office.open(f"{office.at}/plot?id=LP-00006")
    frame = inside(office)
    page.locator("iframe").scroll_into_view_if_needed()
    written = lambda: page.locator("#corners").evaluate("(field) => field.value")  # noqa: E731
    first = written()
    frame.locator(".corner").first.scroll_into_view_if_needed()
    box = frame.locator(".corner").first.bounding_box()
    page.mouse.move(box["x"] + 16, box["y"] + 16)
    page.mouse.down()
    page.mouse.move(box["x"] + 22, box["y"] + 22, steps=5)
    page.mouse.up()
    page.wait_for_function("(old) => document.getElementById('corners').value !== old", arg=first)
    dragged = written()
    frame.locator(".corner").nth(1).focus()
    page.keyboard.press("ArrowUp")
    page.wait_for_function("(old) => document.getElementById('corners').value !== old", arg=dragged)
    moved = [float(text.splitlines()[1].split(", ")[0]) for text in (dragged, written())]
    assert (moved[1] - moved[0]) * 110_650 == pytest.approx(1, abs=0.03)  # metres of a degree of latitude there
    corners = len(written().splitlines())
    frame.locator(".between").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("(n) => document.getElementById('corners').value.split('\\n').length === n + 1", arg=corners)
    page.keyboard.press("Delete")
    page.wait_for_function("(n) => document.getElementById('corners').value.split('\\n').length === n", arg=corners)
    office.check("outline", sizes=("desktop", "phone"))
    other = desk_with_run.browser("office")
    other.open(f"{office.at}/plot?id=LP-00006")
    inside(other)
    office.press("Save")
    page.wait_for_url("**&saved=2")
    assert page.locator("article.version").count() == 2
    other.page.locator(".outline-form button").click()
    other.page.wait_for_load_state()
    assert "changed" in other.text.lower() and other.page.locator(".outline-form").count() == 0
    assert desk_with_run.service.office.get(f"{desk_with_run.service.at}/plots/LP-00006").json()["properties"][
        "version"] == 2  # fmt: skip


def test_names_full_of_code_are_text_on_the_map(office, desk_with_run):
    service = desk_with_run.service
    service.member("HX", name=HOSTILE, community=HOSTILE)
    service.plot("HX-1", west=-88.9, south=14.7, member_id="HX", community=HOSTILE)
    office.open(f"{office.at}/map?plot=HX-1")
    inside(office)
    office.page.locator(".found h2", has_text="HX-1").wait_for()
    assert HOSTILE in office.page.inner_text(".found")
    assert office.page.locator(".found img, .found script").count() == 0
    office.check("hostile")


def test_without_a_script_the_table_and_a_picture_stand_there(desk_with_run):
    browser = desk_with_run.browser("office", java_script_enabled=False)
    browser.open(f"{browser.at}/map?run={desk_with_run.run['run_id']}")
    assert browser.page.locator("img.still").evaluate("(one) => one.naturalWidth") == 1024
    browser.page.locator("tbody a").first.click()
    browser.page.wait_for_url("**/plot?id=*")
    assert browser.page.locator("textarea").is_visible()
