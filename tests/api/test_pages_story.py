"""The pages in a real browser: the whole story of an office, at phone and desktop width."""

import re
import time

import pytest

HOSTILE = (
    "{{7*191}}",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "abc\u202edcba",
    "${7*191}",
)


@pytest.fixture(scope="module")
def visitor(desk):
    """Whoever sits down in the office, not yet signed in."""
    return desk.browser("nobody")


def bring(office, desk, kind, name, changes=None):
    office.open(f"{office.at}/files?kind={kind}")
    types = {"plots": "application/geo+json"}
    content = {"name": name, "mimeType": types.get(kind, "text/csv"), "buffer": desk.files[kind]}
    office.page.set_input_files("input[type=file]", content)
    if kind == "plots":
        office.check("files")
    office.press("Look at the columns")
    for ours, theirs in (changes or {}).items():
        office.page.select_option(f"#c-{ours}", theirs)
    office.check(f"columns-{kind}")
    office.press("Take the file in")
    office.page.wait_for_url("**/imports/*")
    office.check(f"import-{kind}")


def test_an_office_goes_from_a_messy_file_to_the_printed_estimate(visitor, desk, real_raster):
    office, service = visitor, desk.service
    page, began = office.page, time.monotonic()
    page.goto(office.url + "/")  # whoever is not known is led to sign in; the 401 is said in the console
    office.said.clear()
    page.locator("summary").click()
    office.check("sign-in")
    page.fill("#token", "coop_wrong")
    office.press("Sign in")
    assert "opens nothing" in page.inner_text("main")
    office.said.clear()
    page.fill("#token", service.tokens["office"])
    office.press("Sign in")
    page.wait_for_url(f"**{office.at}")
    office.check("empty")

    bring(office, desk, "plots", "plots.geojson")
    assert "other" in page.inner_text("main").lower()  # rows of other cooperatives were left out
    bring(office, desk, "members", "members.csv")
    bring(office, desk, "deliveries", "deliveries.csv", {"kg": "pesada"})
    assert re.search(r"Added\s+1,\d\d\d", page.inner_text("main"))

    office.open(f"{office.at}/findings")
    office.check("findings-of-a-file")
    real_raster(service)
    office.open(f"{office.at}/run")
    page.fill("#season", "2026/27")
    office.check("run")
    office.press("Estimate")
    page.wait_for_url("**/jobs/*")
    if page.locator("[data-events]").count():
        office.check("job")
    page.get_by_role("link", name="See the results").wait_for(timeout=45_000)
    page.get_by_role("link", name="See the results").click()
    page.wait_for_url("**/results/*")
    assert "To expect, on average" in page.inner_text("main")
    assert page.locator("section", has_text="By community").locator("tbody tr").count() > 3
    office.check("result")
    page.get_by_role("link", name="Harvest estimate").click()
    inside = page.frame_locator("iframe")
    inside.locator("h1").wait_for()
    assert "Flor del Pinar" in inside.locator("body").inner_text()
    office.check("estimate")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open by itself, to print").click()
    printed = opened.value
    printed.wait_for_load_state()
    assert len(printed.pdf()) > 5_000
    printed.close()
    assert time.monotonic() - began < 60


def test_the_other_pages_of_the_story_hold(office):
    page = office.page
    for name, path in (("overview", ""), ("results", "/results"), ("findings", "/findings"), ("members", "/members")):
        office.open(office.at + path)
        office.check(name)
    office.open(f"{office.at}/findings?severity=warn")
    card = page.locator("article", has=page.locator("form")).first
    plot = card.locator("input[name=plot_id]").get_attribute("value")
    card.locator("select[name=decision]").select_option("keep")
    card.get_by_role("button", name="Save").click()
    page.wait_for_url("**/findings?severity=warn")
    assert page.locator(f"article:has(input[value='{plot}']) .state").first.inner_text() == "✓ keep"
    office.open(f"{office.at}/results")
    page.locator("main .list a").first.click()
    run = page.url
    page.get_by_role("link", name="By member", exact=True).click()
    office.check("by-member")
    for name in ("report.html", "map_internal.html"):
        page.goto(f"{run}/look/{name}")
        page.frame_locator("iframe").locator("h1, .leaflet-container").first.wait_for()
        office.check(name.partition(".")[0])
    office.open(f"{office.at}/plot?id=LP-00002")
    office.check("plot")
    office.open(f"{office.at}/sharing")
    page.get_by_text("New release").click()
    page.check("input[name=community]")
    office.check("sharing")
    office.press("See before signing")
    office.check("release")
    page.fill("#signed", "The board")
    office.press("Sign and release")
    page.wait_for_url("**/sharing")
    assert "Release 1" in page.inner_text("main")
    office.press("Withdraw")
    assert "Withdrawn" in page.inner_text("main")
    office.open(f"{office.at}/sharing/looks")
    office.check("looks")


def test_a_member_is_found_corrected_asked_and_erased(office):
    page = office.page
    office.open(f"{office.at}/members?search=Dilcia")
    page.locator("main .list a").first.click()
    office.check("member")
    page.fill("#phone", "+504 9999 0000")
    office.press("Save")
    assert page.input_value("#phone") == "+504 9999 0000"
    page.locator(".agree button").first.click()
    page.wait_for_load_state()
    assert "Agrees ·" in page.inner_text("main")
    page.get_by_role("link", name="Erase this member").click()
    office.check("erase")
    page.check("input[name=sure]")
    office.press("Erase for good")
    page.wait_for_url("**/members")
    office.open(f"{office.at}/members?search=Dilcia T")
    assert "0 members" in page.inner_text("main")


def test_names_full_of_code_are_text_everywhere(office, desk_with_run):
    service = desk_with_run.service
    for number, text in enumerate(HOSTILE):
        service.member(f"H{number}", name=text, community=text)
        service.plot(f"HP{number}{text}".replace("/", "-").replace("?", "-"), member_id=f"H{number}", community=text)
    for number, text in enumerate(HOSTILE):
        office.open(f"{office.at}/members?search=H{number}")
        assert text in office.page.inner_text("main")
        office.page.locator("main .list a", has_text=text).first.click()
        assert office.page.inner_text("h1") == text
        office.check(f"hostile-{number}")
        office.page.locator("section .list a").first.click()
        office.check(f"hostile-plot-{number}")
    assert office.page.locator("main img, main script").count() == 0
    assert "1337" not in office.page.content()
