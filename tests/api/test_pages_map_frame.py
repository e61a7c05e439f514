"""The map in its frame, in a real browser: measured on, drawn on, as large as the screen, by hand and by keys."""

import re
from importlib.resources import files

import pytest

LARGE = {"width": 1280, "height": 800}


def inside(browser):
    """The frame of the map, once its tiles are drawn."""
    browser.page.locator(".stage[data-drawn]").wait_for()
    return next(frame for frame in browser.page.frames if "/map-frame" in frame.url)


def broken_rules(frame):
    """Rules of axe that the page in the frame breaks, each with the elements that break it.

    Its policy lets no script in; what a tester evaluates there is not asked. The pictures are away meanwhile, so that
    the contrast of letters with the boxes that they stand on is measured.
    """
    away = "(one, is) => { one.style.display = is ? 'none' : ''; }"
    frame.locator(".leaflet-map-pane").evaluate(away, True)
    frame.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = frame.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    frame.locator(".leaflet-map-pane").evaluate(away, False)
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]


def opened(office, path):
    office.page.set_viewport_size(LARGE)
    office.open(path)
    return inside(office)


def tap(frame, x, y):
    """Tap a place of the map, told as shares of its width and height; its longitude and latitude."""
    box = frame.locator(".leaflet-container").bounding_box()
    frame.locator(".leaflet-container").click(position={"x": x * box["width"], "y": y * box["height"]}, delay=30)
    place = "([x, y]) => { const at = frame.map.containerPointToLatLng([x, y]); return [at.lng, at.lat]; }"
    return frame.evaluate(place, [x * box["width"], y * box["height"]])


def settled(frame, lon, lat, zoom):
    frame.evaluate(
        "([lon, lat, zoom]) => { frame.map.setView([lat, lon], zoom, { animate: false }); }", [lon, lat, zoom]
    )


def corners(page):
    """The corners in the form, as numbers."""
    text = page.locator("#corners").evaluate("(field) => field.value")
    return [tuple(map(float, line.split(", "))) for line in text.splitlines() if line]


def wait_for_corners(page, count):
    page.wait_for_function(
        "(n) => document.getElementById('corners').value.split('\\n').filter(Boolean).length === n", arg=count
    )


def test_a_length_and_an_area_are_measured_as_on_the_ellipsoid(office):
    from pyproj import Geod

    frame = opened(office, f"{office.at}/map")
    page, ruler, says = office.page, frame.get_by_role("button", name="Measure"), frame.locator(".says strong")
    settled(frame, -88.8, 14.6, 16)
    ruler.click()
    assert ruler.get_attribute("aria-pressed") == "true" and "Esc" in says.inner_text()
    places = [tap(frame, 0.4, 0.4), tap(frame, 0.6, 0.4), tap(frame, 0.6, 0.7)]
    lon, lat = ([place[k] for place in places] for k in (0, 1))
    metres, hectares = re.fullmatch(r"([\d.]+) k?m · ([\d.]+) ha", says.inner_text()).groups()
    geod = Geod(ellps="WGS84")
    area, _ = geod.polygon_area_perimeter(lon, lat)
    assert float(hectares) == pytest.approx(abs(area) / 1e4, rel=0.005)  # what is shown has one digit behind the point
    assert float(metres) == pytest.approx(geod.line_length(lon, lat), rel=0.005)  # Leaflet measures on a sphere
    assert page.locator(".found").is_hidden()  # a tap measures, and asks for no plot
    assert broken_rules(frame) == []
    page.keyboard.press("Escape")
    assert frame.locator(".says:visible").count() == 0 and ruler.get_attribute("aria-pressed") == "false"
    frame.locator(".leaflet-container").focus()
    frame.page.keyboard.press("Tab")
    ruler.focus()
    page.keyboard.press("Enter")
    frame.locator(".leaflet-container").focus()
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(500)
    page.keyboard.press("Enter")
    assert re.fullmatch(r"[\d.]+ m", says.inner_text())
    page.keyboard.press("Escape")
    assert office.said == []


def test_the_map_fills_the_screen_and_gives_it_back(office):
    frame = opened(office, f"{office.at}/map")
    page, full = office.page, frame.get_by_role("button", name="Full screen")
    before = page.locator("iframe").bounding_box()
    full.click()
    page.wait_for_function("() => document.fullscreenElement?.matches('.stage')")
    fills = "innerHeight - document.querySelector('iframe').getBoundingClientRect().height"
    assert abs(page.evaluate(fills)) < 6
    full.press("Enter")
    page.wait_for_function("() => !document.fullscreenElement")
    page.evaluate("Element.prototype.requestFullscreen = undefined")
    for size in (LARGE, {"width": 360, "height": 740}):  # where a browser knows no full screen
        page.set_viewport_size(size)
        full.press("Enter")
        page.locator(".stage.whole").wait_for()
        assert abs(page.evaluate(fills)) < 6
        full.press("Enter")
        page.locator(".stage:not(.whole)").wait_for()
    page.set_viewport_size(LARGE)
    assert page.locator("iframe").bounding_box()["height"] == pytest.approx(before["height"], abs=2)


def test_each_plot_is_found_and_shown_by_keys_alone(office):
    frame = opened(office, f"{office.at}/map")
    page = office.page
    page.locator("#search").focus()
    page.keyboard.type("lp-000")
    page.keyboard.press("Enter")
    page.wait_for_url("**search=lp-000*")
    frame = inside(office)
    links = page.locator("tbody a[data-place]")
    plots = links.evaluate_all("(all) => all.map((one) => one.dataset.plot)")
    assert len(plots) == page.locator("tbody tr").count() > 3
    page.locator(".map-table thead a").last.focus()
    for plot in plots[:3]:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.dataset.plot") == plot
        page.keyboard.press("Enter")
        page.locator(".found h2", has_text=plot).wait_for()
    lon, lat, _ = links.nth(2).evaluate("(one) => JSON.parse(one.dataset.place)")
    frame.wait_for_function(
        "([lon, lat]) => frame.map.getBounds().contains([lat, lon]) && frame.map.getZoom() > 14", arg=[lon, lat]
    )
    assert plots[2] in frame.locator("#spoken").inner_text()
    page.keyboard.press("Enter")
    assert broken_rules(frame) == []
    office.check("map-search", sizes=("desktop", "phone"))


def test_the_place_under_the_pointer_and_in_the_middle_is_told(office):
    frame = opened(office, f"{office.at}/map")
    settled(frame, -88.80001, 14.65002, 17)
    assert frame.locator(".place").inner_text() == "14.65002, -88.80001"
    lon, lat = tap(frame, 0.3, 0.6)
    office.page.mouse.move(1, 1)
    told = [float(one) for one in frame.locator(".place").inner_text().split(", ")]
    assert told == pytest.approx([lat, lon], abs=2e-5)
    assert frame.locator(".leaflet-control-scale-line").inner_text().endswith(" m")


def test_what_was_done_to_an_outline_is_taken_back_step_by_step(office):
    frame = opened(office, f"{office.at}/plot?id=LP-00004")
    page, undo = office.page, frame.get_by_role("button", name="Undo")
    first = corners(page)
    assert undo.is_disabled()
    frame.locator(".corner").first.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    frame.locator(".between").first.focus()
    page.keyboard.press("Enter")
    wait_for_corners(page, len(first) + 1)
    page.keyboard.press("Delete")
    wait_for_corners(page, len(first))
    moved = corners(page)
    assert moved[0] != first[0] and moved[1:] == first[1:]
    assert broken_rules(frame) == []
    for _ in range(2):
        undo.click()
    wait_for_corners(page, len(first))
    page.keyboard.press("Control+z")
    undo.click()
    page.wait_for_function("(y) => document.getElementById('corners').value.startsWith(y)", arg=str(first[0][0]))
    assert corners(page) == first and undo.is_disabled()


def test_a_new_plot_is_drawn_measured_undone_and_asked_about_where_it_lies_over_another(office, desk_with_run):
    service = desk_with_run.service
    service.member("N1", name="Nueva")
    service.plot("N0", west=-88.95, south=14.75, member_id="N1")
    frame = opened(office, f"{office.at}/plot/new?member=N1")
    page, done = office.page, frame.get_by_role("button", name="Done")
    assert done.is_disabled() and broken_rules(frame) == []
    settled(frame, -88.9495, 14.7505, 17)
    for x, y in ((0.45, 0.45), (0.65, 0.45), (0.65, 0.65)):
        tap(frame, x, y)
    wait_for_corners(page, 3)
    frame.get_by_role("button", name="Undo").click()
    wait_for_corners(page, 2)
    frame.get_by_role("button", name="Measure").click()
    tap(frame, 0.2, 0.2)  # is measured, not drawn
    page.keyboard.press("Escape")
    tap(frame, 0.65, 0.65)
    tap(frame, 0.45, 0.65)
    wait_for_corners(page, 4)
    frame.locator(".leaflet-container").focus()
    page.keyboard.press("Enter")  # a corner at the cross
    wait_for_corners(page, 5)
    page.keyboard.press("Control+z")
    wait_for_corners(page, 4)
    done.click()
    assert frame.locator(".crosshair").is_visible() is False or frame.locator(".aiming").count() == 0
    shown = float(frame.locator(".says:visible strong").inner_text().split()[0])
    tap(frame, 0.1, 0.9)
    wait_for_corners(page, 4)  # what is done grows no more
    office.press("Save")
    assert page.get_by_role("button", name="Save all the same").is_visible()
    assert "N0" in page.inner_text(".doubts")
    frame = inside(office)
    assert "red" in frame.locator(".says:visible").inner_text()
    assert broken_rules(frame) == []
    assert "422" in office.said.pop()  # the console tells of each answer of this kind
    office.check("drawn-over", sizes=("phone", "desktop"))
    assert service.office.get(f"{service.at}/plots/N1-1").status_code == 404
    office.press("Save all the same")
    page.wait_for_url("**/plot?id=N1-1&saved=1")
    kept = service.office.get(f"{service.at}/plots/N1-1").json()["properties"]
    assert kept["area_ha"] == pytest.approx(shown, abs=0.001) and kept["member_id"] == "N1"


def test_a_service_that_is_busy_is_asked_again_and_never_for_more_at_once(desk_with_run):
    office = desk_with_run.browser("office")
    page, refused, under_way, most, broken_off = office.page, [], set(), [], []

    def refuse(route):
        if route.request.url in refused or len(refused) == 3:
            return route.continue_()
        refused.append(route.request.url)
        return route.fulfill(status=429, headers={"Retry-After": "1"})

    def began(request):
        if "/pictures/" in request.url:
            under_way.add(request)
            most.append(len(under_way))

    def ended(request):
        under_way.discard(request)

    page.on("request", began)
    page.on("requestfinished", ended)
    page.on("requestfailed", lambda request: broken_off.append(request.url))
    page.route("**/pictures/**", refuse)
    frame = opened(office, f"{office.at}/map")
    for zoom in (12, 15, 17, 13, 16):  # who looks for a place does not wait for what passes by
        settled(frame, -88.8, 14.6, zoom)
        page.wait_for_timeout(60)
    frame.wait_for_function("() => [...document.querySelectorAll('img.leaflet-tile')].every((one) => one.src)")
    assert len(refused) == 3 and all(office.asked.count(one) >= 2 for one in refused)
    assert max(most) <= 6 and broken_off == []
    assert all("429" in one for one in office.said)
    page.context.close()


def test_no_rule_of_axe_is_broken_in_the_frame(office, desk_with_run):
    for path in (f"{office.at}/map?run={desk_with_run.run['run_id']}", f"{office.at}/plot?id=LP-00010"):
        for size in (LARGE, {"width": 360, "height": 740}):
            office.page.set_viewport_size(size)
            office.open(path)
            frame = inside(office)
            if (cover := frame.locator("input[value=cover]")).count():
                if not cover.is_visible():
                    frame.locator("summary").click()
                cover.check()
                frame.locator(".legend p").nth(1).wait_for()
            assert broken_rules(frame) == [], (path, size)


def test_while_the_plots_are_read_the_page_says_so_and_asks_for_no_picture(desk_with_run):
    office = desk_with_run.browser("office")
    page, asked = office.page, []

    def late(route):
        page.wait_for_timeout(3_000)
        asked.extend(url for url in office.asked if "/pictures/" in url)
        route.continue_()

    page.route("**/tiles.json", late)
    page.goto(f"{office.url}{office.at}/map", wait_until="commit")
    page.locator(".making", has_text="The map is being prepared").wait_for()
    inside(office)
    assert page.locator(".making").text_content() == "" and page.locator(".making").is_hidden()
    assert asked == []
    page.context.close()


def test_the_legend_names_the_classes_in_the_readers_language(desk_with_run):
    office = desk_with_run.browser("office")
    frame = opened(office, f"{office.at}/map?lang=pt&run={desk_with_run.run['run_id']}")
    frame.locator("input[value=class]").check()
    frame.locator(".legend", has_text="Árvores (inclui café e cacau sob sombra)").wait_for()
    assert "Tree cover" not in frame.locator(".legend").text_content()
    office.page.context.close()
