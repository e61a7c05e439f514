"""The office's settings, what was counted of its files, and what a result offers to take along."""

import re

import pytest

from geomap.supply.settings import SETTING_NAMES

OURS = {"Origin": "https://testserver", "Sec-Fetch-Site": "same-origin"}
DELIVERIES = (
    "member_id,season,kg,form,date\nM1,2024/25,100,green,2025-01-10\nM2,2024/25,50.5,green,2025-01-11\n"
    "M1,2024/25,40,parchment,2025-01-12\nM1,2025/26,7,green,2026-01-12\n"
)


@pytest.fixture
def service(light_service):
    return light_service


def at(service, page=""):
    return f"/office/{service.ours}{page}"


def stored(service):
    row = service.office.get(service.at).json()
    return {name: row[name] for name in ("name", "country", "crop", "settings")}


def version(service):
    return re.search(r'name="version" value="(\d+)"', service.office.get(at(service, "/settings")).text)[1]


def save(service, *, seen=None, name="Flor del Pinar", country="HN", crop="coffee", **settings):
    told = {one: settings.get(one, "") for one in SETTING_NAMES[1:]}
    form = {
        "version": seen or version(service), "name": name, "country": country, "crop": crop,
        "setting": list(told), "value": list(told.values()),
    }  # fmt: skip
    return service.office.post(at(service, "/settings"), data=form, headers=OURS, follow_redirects=False)


# ---- settings ----


def test_every_setting_is_asked_once_on_the_form(service):
    page = service.office.get(at(service, "/settings")).text
    assert re.findall(r'name="setting" value="(\w+)"', page).count("quintal_kg") == 1
    assert set(re.findall(r'name="setting" value="(\w+)"', page)) == set(SETTING_NAMES[1:])
    assert f'href="{at(service)}/settings"' in service.office.get(at(service)).text


def test_what_is_saved_is_kept_and_stands_in_the_form(service):
    answer = save(service, name="La Flor", quintal_kg="46", quintal_form="green", seconds_share="9,5")
    assert (answer.status_code, answer.headers["location"]) == (303, at(service, "/settings?saved=1"))
    kept = stored(service)
    assert (kept["name"], kept["settings"]) == (
        "La Flor",
        {"quintal_kg": 46.0, "quintal_form": "green", "seconds_share": 0.095},
    )
    page = service.office.get(at(service, "/settings")).text
    assert 'name="value" type="text" inputmode="decimal" value="9.5"' in page
    assert '<option value="green" selected>' in page


def test_an_empty_field_takes_the_setting_back_and_what_is_no_setting_stays(service):
    service.office.patch(service.at, json={"settings": {"bag_kg": 69, "our own": "x"}})
    assert save(service).status_code == 303
    assert stored(service)["settings"] == {"our own": "x"}


def test_the_pages_count_in_the_unit_that_was_set(service):
    assert save(service, quintal_kg="50", quintal_form="green").status_code == 303
    assert service.office.get(service.at).json()["settings"]["quintal_kg"] == 50.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quintal_kg", "4600"),
        ("seconds_share", "0.95e9"),
        ("outturn", "abc"),
        ("quintal_form", "gold"),
        ("lag_days", "nan"),
    ],
)
def test_what_cannot_be_is_named_and_nothing_is_saved(service, name, value):
    before = stored(service)
    answer = save(service, name="Other", **{name: value})
    assert answer.status_code == 422
    assert f'href="#{name}"' in answer.text
    assert stored(service) == before
    if not name.endswith("form"):
        assert f'value="{value}"' in answer.text  # what was typed is not lost


def test_a_country_that_is_none_is_refused(service):
    assert save(service, country="Atlantis").status_code == 422
    assert stored(service)["country"] == "HN"


def test_what_somebody_else_changed_meanwhile_is_shown_and_not_overwritten(service):
    seen = version(service)
    assert save(service, quintal_kg="46").status_code == 303
    late = save(service, seen=seen, quintal_kg="60")
    assert late.status_code == 412
    assert stored(service)["settings"] == {"quintal_kg": 46.0}
    assert 'value="60"' in late.text  # theirs is kept in the field
    assert "Kept now: 46" in late.text  # and the stored value stands below
    again = re.search(r'name="version" value="(\d+)"', late.text)[1]
    assert save(service, seen=again, quintal_kg="60").status_code == 303
    assert stored(service)["settings"] == {"quintal_kg": 60.0}


def test_a_hostile_name_is_shown_as_text(service):
    assert save(service, name="<script>alert(1)</script>").status_code == 303
    page = service.office.get(at(service, "/settings")).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


# ---- what was counted ----


def test_rows_are_summed_by_season_and_form_and_never_over_forms(service):
    assert service.send("deliveries", "d.csv", DELIVERIES).status_code == 201
    page = service.office.get(at(service, "/brought")).text
    lines = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", page)]
    # 2025/26: 7 kg green; 2024/25: 100 + 50.5 = 150.5 kg green of two members, and 40 kg parchment
    assert lines == [
        ["2025/26", "7", "green", "coffee", "1", "1"],
        ["2024/25", "150.5", "green", "coffee", "2", "2"],
        ["2024/25", "40", "parchment", "coffee", "1", "1"],
    ]


def test_each_sum_opens_its_rows_with_the_file_and_the_row_they_came_from(service):
    assert service.send("deliveries", "d.csv", DELIVERIES).status_code == 201
    page = service.office.get(at(service, "/brought"), params={"lang": "en"}).text
    link = re.findall(r'href="([^"]*brought/deliveries[^"]*)"', page)[1].replace("&amp;", "&")
    rows = service.office.get(link).text
    assert re.findall(r"<td><bdi>(d\.csv)</bdi></td>", rows) == ["d.csv", "d.csv"]
    assert "50.5" in rows
    assert "parchment" not in rows


def test_a_list_that_there_is_not_is_not_found(service):
    assert service.office.get(at(service, "/brought/secrets")).status_code == 404


def test_who_looks_at_deliveries_is_written_down(service):
    service.office.get(at(service, "/brought"))
    assert service.looks()[0][0] == "evidence.read"


# ---- before a browser ----


def test_an_office_sets_its_quintal_reads_what_was_counted_and_takes_a_picture_along(office):
    office.open(office.at)
    office.click("Settings")
    office.check("settings")
    office.page.fill("#quintal_kg", "46")
    office.page.select_option("#quintal_form", "green")
    office.press("Save")
    assert "✓ Saved" in office.text
    office.open(office.at)
    office.click("See what was counted")
    office.check("counted")
    assert "green coffee" in office.text
    assert office.page.locator("[data-print]").is_visible()
    office.page.locator("main table a").first.click()
    office.check("counted rows")
    office.open(office.at + "/results")
    office.page.locator("main .list a").first.click()
    office.check("result with files")
    for words, ending in (("Picture for a message", ".png"), ("Report (PDF)", ".pdf"), ("Workbook", ".xlsx")):
        with office.page.expect_download() as waiting:
            office.page.get_by_role("link", name=words).first.click()
        assert waiting.value.suggested_filename.endswith(ending)
