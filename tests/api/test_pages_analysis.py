"""Pages of an analyst: what is granted and agreed to, and nothing beside it; comparisons that say what they rest on."""

import re
from html import unescape

import pytest

from api.pages.analysis import QUESTIONS
from api.pages.analysis_view import about
from api.pages.texts import catalogue, languages
from geomap.store.grants import add_grant
from geomap.store.scope import ALL, Scope, clock

LOCAL = Scope("local", ALL, "local")


def read(client, path, **params):
    answer = client.get(path, params=params)
    assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
    return unescape(re.sub(r"<script.*?</script>", "", answer.text, flags=re.DOTALL))


def shown_plots(text):
    """Ids in the table of plots."""
    return re.findall(r'<th scope="row"><code class="id"><bdi>([^<]+)</bdi>', text)


def three(kg):
    """A number as pages write it: three digits that count."""
    return f"{float(f'{kg:.3g}'):,.0f}"


def total_of(ran):
    """Potential of the whole run, kilograms."""
    return ran.service.office.get(ran.at).json()["summary"]["totals"]["potential_kg"]


# ---- what is seen ----


def test_an_analyst_sees_plots_under_pseudonyms_and_nothing_of_people(light_world):
    told, other = light_world.canaries["a"], light_world.canaries["b"]
    analyst, at = light_world.clients["analyst"], f"/analysis/{light_world.ids['a']['cooperative_id']}"
    pages = ["/analysis", "/analysis/questions", "/analysis/compare", at, f"{at}?sort=potential_kg&area_from=0,1"]
    pages += [f"/analysis/compare?cooperative={light_world.ids['a']['cooperative_id']}"]
    for path in pages:
        text = read(analyst, path)
        wrong = [one for one in (*told.all, *other.all) if one in text]
        assert wrong == [], path
        assert "zzqserver" not in text
    seen = shown_plots(read(analyst, at))
    theirs = analyst.get(f"{light_world.at('a')}/runs/{light_world.ids['a']['run_id']}/plots").json()["features"]
    assert seen == [one["id"] for one in theirs] and len(seen) == 1


def test_consent_that_is_taken_back_counts_at_once(light_world):
    analyst, office = light_world.clients["analyst"], light_world.clients["office"]
    at, member = f"/analysis/{light_world.ids['a']['cooperative_id']}", light_world.canaries["a"].member_ids[0]
    assert len(shown_plots(read(analyst, at))) == 1
    body = {"purpose": "analysts", "given": False}
    assert office.post(f"{light_world.at('a')}/members/{member}/consents", json=body).status_code == 201
    text = read(analyst, at)
    assert shown_plots(text) == []
    assert catalogue("en")["analysis.nothing_seen"] in text
    assert ">0 <span" in read(analyst, "/analysis")


def test_a_grant_that_ended_opens_no_page_and_lists_nothing(light_world):
    at = f"/analysis/{light_world.ids['a']['cooperative_id']}"
    for name in ("analyst_late", "analyst_none", "analyst_released"):
        assert light_world.clients[name].get(at).status_code == 404
        assert at not in read(light_world.clients[name], "/analysis")
    released = read(light_world.clients["analyst_released"], "/analysis")
    assert catalogue("en")["analysis.released"] in released
    for name in ("buyer", "operator"):
        assert light_world.clients[name].get("/analysis").status_code == 403


def test_every_look_at_plots_is_told_to_the_office(light_service):
    office, at = light_service.office, light_service.at
    light_service.member("M1", agreed=True)
    light_service.plot("P1", member_id="M1", crop="coffee")
    light_service.analyst.get(f"/analysis/{light_service.ours}")
    assert ("plots.read", "") not in light_service.looks()  # without an estimate there are counts, and no plots
    assert office.get(f"{at}/audit").status_code == 200


def test_how_long_one_may_look_stands_there(light_service):
    store, account = light_service.store, light_service.analyst.get("/session").json()["account_id"]
    until_ended = catalogue("en")["analysis.until_ended"]
    assert until_ended in read(light_service.analyst, "/analysis")
    with store.begin(LOCAL) as tx:
        add_grant(tx, light_service.foreign, account, "plots", ends_at=clock(tx) + 86_400)
    text = read(light_service.analyst, "/analysis")
    assert text.count(until_ended) == 1
    assert re.search(r"until \d+ \w+ \d{4}", text)


def test_how_many_are_hidden_is_told_in_steps_of_five():
    assert about(100, 100) == (100, 104)
    assert {about(size, 3) for size in range(20, 25)} == {(20, 24)}
    assert {about(size, 2) for size in range(3, 10)} == {(2, 9)}


# ---- the page of a cooperative ----


@pytest.fixture(scope="module")
def agreed(ran, tmp_path_factory):
    """The run of the sample, with the members of every other plot agreeing; last in the module to be changed."""
    rows = ran.service.office.get(f"{ran.service.at}/members", params={"limit": 1000}).json()["rows"]
    for row in rows[::2]:
        body = {"purpose": "analysts", "given": True}
        answer = ran.service.office.post(f"{ran.service.at}/members/{row['member_id']}/consents", json=body)
        assert answer.status_code == 201
    yield ran
    for row in rows[::2]:
        body = {"purpose": "analysts", "given": False}
        ran.service.office.post(f"{ran.service.at}/members/{row['member_id']}/consents", json=body)


def test_filters_keep_the_plots_that_are_asked_for(agreed):
    analyst, at = agreed.service.analyst, f"/analysis/{agreed.service.ours}"
    rows = analyst.get(f"{agreed.at}/plots", params={"limit": 1000}).json()["features"]
    large = [one["id"] for one in rows if one["properties"]["counted_area_ha"] >= 0.5]
    assert f">{len(large)} plots" in read(analyst, at, area_from="0,5")
    declared = [one for one in rows if one["properties"]["kind"] == "declared"]
    assert f">{len(declared)} plots" in read(analyst, at, kind="declared")
    most = sorted(rows, key=lambda one: (-one["properties"]["potential_kg"], one["id"]))
    assert shown_plots(read(analyst, at, sort="potential_kg")) == [one["id"] for one in most[:25]]
    second = shown_plots(read(analyst, at, sort="potential_kg", first=25))
    assert second == [one["id"] for one in most[25:50]]
    assert analyst.get(at, params={"area_from": "many"}).status_code == 422
    assert catalogue("en")["analysis.nothing_listed"] in read(analyst, at, area_from="10000")


def test_the_sum_is_that_of_the_plots_that_are_seen_and_says_so(agreed):
    analyst, at = agreed.service.analyst, f"/analysis/{agreed.service.ours}"
    rows = analyst.get(f"{agreed.at}/plots", params={"limit": 1000}).json()["features"]
    whole = sum(one["properties"]["potential_kg"] for one in rows)
    text = read(analyst, at)
    assert f"{three(whole)} <span" in text
    assert catalogue("en")["analysis.not_the_whole"] in text
    assert three(total_of(agreed)) not in text


def test_method_citation_and_downloads_stand_there(agreed):
    analyst, at = agreed.service.analyst, f"/analysis/{agreed.service.ours}"
    text = read(analyst, at)
    assert f"run {agreed.run['run_id']} of 20" in text
    assert "https://doi.org/10.5281/zenodo.7254221" in text and "CC-BY-4.0" in text
    assert "kg of green per planted hectare" in text and "ESA WorldCover 2021" in text
    assert "Kept" not in text  # what the office calls the run may name anybody
    links = [link for link in re.findall(r'href="(/cooperatives/[^"]+)"', text) if "tiles" not in link]
    assert len(links) >= 11
    for link in links:
        assert analyst.get(link).status_code == 200, link


def test_each_question_has_its_answer_one_click_away(light_service):
    home, answers = (read(light_service.analyst, path) for path in ("/analysis", "/analysis/questions"))
    assert len(QUESTIONS) == 10
    for key in QUESTIONS:
        assert f'href="/analysis/questions#{key}"' in home
        assert f'id="{key}"' in answers


# ---- comparisons ----


@pytest.fixture(scope="module")
def second(agreed):
    """Another run of the sample, with another base yield and a title."""
    body = {"season": "2026/27", "base_yield_kg": 900, "title": "Zzq Second"}
    answer = agreed.service.office.post(f"{agreed.service.at}/runs", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["run_id"]


def test_two_estimates_are_compared_on_the_plots_that_are_seen(agreed, second):
    first, service = agreed.run["run_id"], agreed.service
    kg = [
        sum(
            one["properties"]["potential_kg"]
            for one in service.analyst.get(f"{service.at}/runs/{run}/plots", params={"limit": 1000}).json()["features"]
        )
        for run in (first, second)
    ]
    text = read(service.analyst, "/analysis/compare", cooperative=service.ours, a=first, b=second)
    assert catalogue("en")["compare.seen_only"] in text
    assert f"From {three(kg[0])} to {three(kg[1])} kg" in text
    assert catalogue("en")["compare.part_settings"] in text and "900 kg of green" in text
    assert "Zzq Second" not in text and "Kept" not in text
    ids = {one["member_id"] for one in service.office.get(f"{service.at}/members?limit=1000").json()["rows"]}
    assert not [one for one in ids if f">{one}<" in text]


def test_the_office_compares_with_all_plots_and_members(agreed, second):
    service, first = agreed.service, agreed.run["run_id"]
    at = f"/office/{service.ours}/compare"
    text = read(service.office, at, a=first, b=second)
    assert f"From {three(total_of(agreed))} to" in text
    assert "Zzq Second" in text and catalogue("en")["compare.seen_only"] not in text
    same = read(service.office, at, a=first, b=first)
    assert catalogue("en")["compare.same"] in same
    assert service.office.get(at, params={"a": "none", "b": first}).status_code == 404
    assert service.analyst.get(at).status_code == 403
    assert service.neighbour.get(at).status_code == 404


def test_runs_and_cooperatives_that_are_not_granted_cannot_be_compared(light_world):
    analyst, theirs = light_world.clients["analyst"], light_world.ids["b"]
    assert analyst.get("/analysis/compare", params={"cooperative": theirs["cooperative_id"]}).status_code == 404
    assert analyst.get("/analysis/compare", params={"cooperative": "nothing-of-this-name"}).status_code == 404
    text = read(analyst, "/analysis/compare", **{"with": theirs["cooperative_id"]})
    assert "Nueva Aurora" not in text


def test_cooperatives_beside_each_other_show_no_sums_of_kilograms(agreed):
    service, account = agreed.service, agreed.service.analyst.get("/session").json()["account_id"]
    assert account
    text = read(service.analyst, "/analysis/compare")
    beside = text[text.index('id="beside"') : text.index('id="runs"')]
    assert catalogue("en")["compare.only_one"] in beside
    assert "kg per hectare" in beside and catalogue("en")["compare.beside_says"] in beside


# ---- in a browser ----


def test_an_analyst_walks_through_the_pages(desk_with_run):
    service = desk_with_run.service
    rows = service.office.get(f"{service.at}/members", params={"limit": 60}).json()["rows"]
    for row in rows:
        body = {"purpose": "analysts", "given": True}
        service.office.post(f"{service.at}/members/{row['member_id']}/consents", json=body)
    answer = service.office.post(f"{service.at}/runs", json={"season": "2026/27", "base_yield_kg": 900})
    assert answer.status_code == 201, answer.text
    analyst = desk_with_run.browser("analyst")
    analyst.open("/analysis")
    analyst.check("analysis")
    analyst.click("Plots and method")
    analyst.check("cooperative")
    analyst.page.fill("#area_from", "0.3")
    analyst.press("Show")
    assert "area_from=0.3" in analyst.page.url
    analyst.open("/analysis/questions")
    analyst.check("questions")
    analyst.open(f"/analysis/compare?cooperative={service.ours}")
    analyst.check("compare")
    for language in languages():
        analyst.open(f"/analysis/{service.ours}?lang={language}")
        analyst.check(f"cooperative-{language}")
        analyst.open(f"/analysis/compare?cooperative={service.ours}")
        analyst.check(f"compare-{language}")
    office = desk_with_run.browser("office")
    office.open(f"{office.at}/compare")
    office.check("office-compare")
