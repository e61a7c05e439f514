"""docs/questions.md, walked in a browser: each question is answered within two clicks of the first page."""

import re
from pathlib import Path

import pytest

from api.pages.texts import catalogue

DOC = Path(__file__).resolve().parents[2] / "docs" / "questions.md"
HEAD = "| question | page | where it stands |"
FIRST = {"buyer": "/buyer", "analyst": "/analysis"}


def questions() -> list[tuple[str, str, str, str]]:
    """Whose section, question, links to follow, where the answer stands."""
    found, whose, inside = [], "", False
    for line in DOC.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            whose = line[3:].strip()
        inside = line == HEAD or (inside and line.startswith("|"))
        if inside and line != HEAD and not line.startswith("|---"):
            question, clicks, where = (cell.strip() for cell in line.strip("|").split("|"))
            found.append((whose, question, clicks, where.strip("`")))
    return found


QUESTIONS = questions()


@pytest.fixture(scope="module")
def people(desk_with_run):
    """Role → a browser, opened once."""
    service, opened = desk_with_run.service, {}
    signing = {"run_id": desk_with_run.run["run_id"], "by": ["community"], "signed_by": "The board"}
    assert service.office.post(f"{service.at}/releases", json=signing).status_code == 201

    def person(whose: str):
        role = next((one for one in FIRST if one in whose.lower()), "office")
        if role not in opened:
            opened[role] = desk_with_run.browser(role)
        return opened[role]

    return person


@pytest.mark.parametrize(
    ("whose", "question", "clicks", "where"), [pytest.param(*one, id=f"{one[0]}: {one[1]}") for one in QUESTIONS]
)
def test_the_answer_stands_within_two_clicks(people, whose, question, clicks, where):
    browser, names = people(whose), [] if clicks == "–" else clicks.split(" → ")
    assert question.endswith("?") and len(names) <= 2
    browser.open(FIRST.get(browser.role, browser.at))
    for name in names:
        browser.page.get_by_role("link", name=re.compile(f"^{re.escape(name)}")).first.click(timeout=5_000)
        browser.page.wait_for_load_state("load")
    text = catalogue("en").get(where)
    place = browser.page.locator("main").get_by_text(text) if text else browser.page.locator(where)
    place.first.wait_for(state="attached", timeout=5_000)
    place.first.evaluate("one => one.closest('details:not([open])')?.querySelector('summary').click()")
    place.first.wait_for(state="visible", timeout=5_000)
    assert place.first.inner_text().strip()
    assert browser.said == []


def test_each_person_has_ten_questions():
    counts = {whose: sum(one[0] == whose for one in QUESTIONS) for whose, *_ in QUESTIONS}
    assert {"A cooperative's office", "A manager"} <= counts.keys()
    assert set(counts.values()) == {10}, counts
