import csv
import html
import re
import string
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from geomap.errors import UnknownNameError
from geomap.outputs import words as catalogues
from geomap.outputs.beside import Beside, beside_of
from geomap.outputs.estimate_pdf import estimate_pdf
from geomap.outputs.estimate_pen import localized
from geomap.outputs.estimate_sheet import estimate_sheet
from geomap.outputs.harvest_estimate import (
    Cases,
    EstimateDocument,
    LastSeason,
    estimate_document,
    estimate_html,
    run_id,
    write_estimate,
)  # fmt: skip
from geomap.outputs.report import report
from geomap.outputs.units import reader_unit
from geomap.outputs.words import LANGUAGES

COOP = "COAGRO"
MONTHS = pd.DataFrame(
    {"month": ["2026-12", "2027-01"], "mean_kg": [10_000.0, 36_000.0], "p10_kg": 4_000.0, "p90_kg": 50_000.0}
)
CERTIFIED = pd.DataFrame(
    {"certification": ["organic", ""], "members": [30, 20], "mean_kg": [23_000.0, 20_700.0], "p10_kg": 9_200.0,
     "p90_kg": 46_000.0}
)  # fmt: skip
CONTRACTS = pd.DataFrame(
    {"buyer": "Kaffee Nord", "certification": ["", "organic"], "month": ["2027-02", ""], "kg": [18_400.0, 4_600.0],
     "covered": [0.93, 0.004]}
)  # fmt: skip
BOMBS = {
    "long": "W" * 200,
    "right to left": "تعاونية البن العضوي " * 10,
    "emoji and Chinese": "Café 🌱👩‍🌾 咖啡合作社 " * 10,
    "html": "</h1><script>window.marker=1</script>{{ 7*191 }}&amp;" * 3,
}


def document(**changes):
    """46,000 kg of green coffee on average: 1,000 quintals."""
    usual = {
        "cooperative": COOP, "crop": "coffee", "country": "HN", "form": "green", "season": "2026/27",
        "quantity": "potential", "cases": Cases(46_000.0, 23_000.0, 41_400.0, 69_000.0), "members": 340,
        "members_mapped": 212, "area_ha": 180.0, "shock_kg": (23_000.0, 36_800.0), "product_title": "A map",
        "run_id": "ab" * 32,
    }  # fmt: skip
    return EstimateDocument(**{**usual, **changes})


def full(**changes):
    last = LastSeason("2025/26", 46_000.0, 23_000.0, 69_000.0, 41_400.0)
    told = {"quantity": "supply", "potential_kg": 60_000.0, "evidence": "own deliveries", "seasons": 3,
            "exportable": Cases(40_000.0, 20_000.0, 36_000.0, 60_000.0), "exportable_form": "exportable-green",
            "certifications": CERTIFIED, "months": MONTHS, "contracts": CONTRACTS, "last_season": last}  # fmt: skip
    return document(**{**told, **changes})


def texts(document, language="en", reader="office"):
    """All words of the sheet, blanks as blanks."""
    sheet = estimate_sheet(document, language=language, reader=reader)
    parts = [sheet.title, sheet.cooperative, sheet.subtitle, sheet.lead, sheet.note, sheet.run, *sheet.feet]
    for block in (block for page in sheet.pages for block in page):
        parts += [block.heading, *block.lines, *block.signatures, *(text for case in block.cases for text in case)]
        parts += [cell for row in (block.table.head, *block.table.rows) for cell in row] if block.table else []
    return [" ".join(part.split()) for part in parts]


def whole(document, **options):
    return " ".join(texts(document, **options))


def pdf_pages(content):
    return len(re.findall(rb"/Type /Page\b", content))


# Numbers in the reader's units


def test_an_office_reads_quintals_of_a_named_form_with_kilograms_beside():
    # 46,000 kg / 46 kg
    assert "bear 1,000 quintals of 46 kg of green coffee (46,000 kg)." in whole(document())


def test_the_cooperative_s_own_quintal_counts_in_its_own_form():
    # 46 kg of parchment · .8 = 36.8 kg of green coffee; 46,000 / 36.8 = 1,250
    told = {"quintal_kg": 46.0, "quintal_form": "parchment"}
    shown = whole(document(settings=told))
    assert "1,250 quintals of 46 kg of parchment coffee (46,000 kg of green coffee)" in shown


def test_the_cooperative_s_own_outturn_replaces_the_table_s():
    # 46 kg of parchment · .5 = 23 kg of green coffee
    told = {"quintal_kg": 46.0, "quintal_form": "parchment", "outturn": 0.5}
    assert reader_unit("coffee", "HN", "green", told=told).kg == 23.0
    assert reader_unit("coffee", "HN", "parchment", told={"quintal_kg": 46.0, "outturn": 0.5}).kg == 92.0


def test_a_buyer_reads_bags_and_containers():
    # 46,000 / 69 = 666.7 bags; the bad year 23,000 / 69 / 275 = 1.212 containers
    shown = whole(document(settings={"bag_kg": 69.0}), reader="buyer")
    assert "667 bags of 69 kg of green coffee (46,000 kg)" in shown
    assert "23,000 kg · 1.21 containers of 275 bags" in shown


def test_a_bag_and_a_container_are_those_of_the_country_where_nobody_told_another():
    # 46,000 / 69 = 666.7; 46,000 / 60 = 766.7; 19,250 / 60 = 320.8 bags to a container: 23,000 / 60 / 320 = 1.198
    assert "667 bags of 69 kg" in whole(document(country="HN"), reader="buyer")
    shown = whole(document(country="ET"), reader="buyer")
    assert "767 bags of 60 kg of green coffee (46,000 kg)" in shown
    assert "23,000 kg · 1.20 containers of 320 bags" in shown


@pytest.mark.parametrize(("crop", "country", "form"), [("cocoa", "GH", "dry"), ("coffee", "TZ", "green")])
def test_where_no_unit_is_known_kilograms_stand_alone(crop, country, form):
    shown = whole(document(crop=crop, country=country, form=form))
    assert "bear 46,000 kg of" in shown
    assert "quintals" not in shown


def test_the_four_cases_are_bad_middle_good_and_shock():
    # 23,000, 41,400, 69,000 kg and 23,000 to 36,800 kg, over 46
    sheet = estimate_sheet(document())
    values = {case.name: case.value for case in sheet.pages[0][0].cases}
    assert values == {"Bad year": "500", "Middle year": "900", "Good year": "1,500", "Shock year": "500 – 800"}


def test_mapped_members_are_counted():
    assert "212 of 340 members mapped (62%), 180 ha in all." in whole(document())
    assert "8% of the kilograms rest on members without a plot" in whole(document(unmapped_share=0.08))


def test_last_season_says_whether_the_estimate_held():
    # 41,400 of 46,000 kg: 10 % less, inside 23,000 to 69,000
    shown = whole(full())
    assert "For 2025/26 the average was 1,000 quintals" in shown
    assert "900 (41,400 kg) came: −10%. That lies between the bad and the good year." in shown
    outside = LastSeason("2025/26", 46_000.0, 23_000.0, 69_000.0, 80_000.0)
    assert "That lies outside" in whole(full(last_season=outside))


def test_contracts_show_their_chance_and_no_buyer():
    sheet = texts(full())
    assert sheet[sheet.index("400 (18,400 kg)") + 1] == "93%"
    assert sheet[sheet.index("100 (4,600 kg)") + 1] == "<1%"
    assert not any("Kaffee Nord" in text for text in sheet)
    assert "Kaffee Nord" not in estimate_html(full())


def test_the_best_month_is_named():
    assert "Jan 2027 brings most, on average 783 quintals of 46 kg" in whole(full())


def test_supply_and_its_evidence_are_named():
    shown = whole(full())
    assert "the cooperative can expect to receive 1,000 quintals" in shown
    assert "own deliveries, past seasons: 3." in shown
    assert "not yet what the cooperative will receive" in whole(document())
    assert "Evidence: country averages." in whole(document())


def test_supply_above_the_potential_is_not_called_a_part_of_it():
    # 46,000 kg of supply: less than 60,000 kg of potential, more than 40,000 kg
    assert "bear 1,300 quintals of 46 kg of green coffee (60,000 kg); not all of it is delivered" in whole(full())
    above = whole(full(potential_kg=40_000.0))
    assert "not all of it is delivered" not in above
    assert "(40,000 kg); past deliveries show more." in above


def test_hives_have_no_hectares():
    shown = whole(document(crop="honey", form="honey", country="MX", area_ha=None))
    assert "On average the members’ hives can give 46,000 kg of honey." in shown
    assert " ha " not in shown


def test_what_is_missing_is_said_and_not_left_blank():
    shown = whole(document(run_id=None, season=None))
    for words in ("how much is sold locally", "no certification is told", "no contracts were given",
                  "no harvest calendar", "no past season has both", "No run id", "one season"):  # fmt: skip
        assert words in shown


def test_long_tables_end_with_a_count_of_the_rest():
    many = pd.concat([CERTIFIED.assign(certification=[f"A{k}", f"B{k}"]) for k in range(4)])
    assert "3 others" in texts(full(certifications=many))
    assert "5 others" in texts(full(contracts=pd.concat([CONTRACTS] * 5)))


# Languages


def test_every_language_has_the_same_words_with_the_same_places():
    home = Path(catalogues.__file__).parents[1] / "locale"
    fields = {}
    for language in LANGUAGES:
        rows = csv.DictReader((home / f"{language}.csv").read_text(encoding="utf-8").splitlines())
        own = {row["code"]: row["title"] for row in rows if row["code"].startswith("word:est:")}
        assert all(own.values())
        fields[language] = {
            code: {name for _, name, _, _ in string.Formatter().parse(text) if name} for code, text in own.items()
        }
    assert all(fields[language] == fields["en"] for language in LANGUAGES)


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("es", "En promedio la cooperativa puede esperar recibir 1 000 quintales de 46 kg de café oro (46 000 kg)."),
        ("fr", "En moyenne, la coopérative peut s’attendre à recevoir 1 000 quintaux de 46 kg de café vert"),
        ("pt", "Em média a cooperativa pode esperar receber 1 000 quintais de 46 kg de café verde (46 000 kg)."),
    ],
)
def test_an_office_reads_its_own_language(language, words):
    shown = whole(full(), language=language)
    assert words in shown
    assert "cooperative can" not in shown


def test_every_language_has_all_twelve_months():
    for language in LANGUAGES:
        assert len(catalogues.words(language)["est:month_names"].split()) == 12


def test_numbers_follow_the_language():
    assert [localized("1,234.5", language).split() for language in ("en", "es", "fr")] == [
        ["1,234.5"], ["1", "234.5"], ["1", "234,5"],
    ]  # fmt: skip


# From a run


def test_the_numbers_are_those_of_the_cooperative_s_row(run):
    found = estimate_document(run, COOP)
    row = run.cooperatives.set_index("id").loc[COOP]
    assert found.cases == Cases(*(row[f"potential{part}_kg"] for part in ("", "_p10", "_p50", "_p90")))
    assert (found.members, found.members_mapped) == (row["members"], row["members_mapped"])
    assert found.shock_kg == (0.5 * found.cases.mean, 0.8 * found.cases.mean)
    assert found.months["mean_kg"].sum() == pytest.approx(found.cases.mean)
    assert found.quantity == "potential"
    assert found.contracts is None


def test_tables_of_other_cooperatives_are_not_read(run):
    every = list(run.cooperatives["id"])
    table = pd.DataFrame({"cooperative_id": every, "certification": every, "month": "", "kg": 1.0, "covered": 0.5})
    found = estimate_document(run, COOP, Beside(contracts=table))
    assert list(found.contracts["certification"]) == [COOP]


def test_supply_counts_where_the_run_has_it(run):
    names = {f"supply{part}_kg": 0.5 * run.cooperatives[f"potential{part}_kg"] for part in ("", "_p10", "_p50", "_p90")}
    calibration = pd.DataFrame({"evidence": ["own deliveries"], "seasons": [4]}, index=[COOP])
    found = estimate_document(
        replace(run, cooperatives=run.cooperatives.assign(**names)), COOP, Beside(calibration=calibration)
    )
    assert found.quantity == "supply"
    assert found.cases.mean == pytest.approx(0.5 * found.potential_kg)
    assert (found.evidence, found.seasons) == ("own deliveries", 4)


def test_the_last_predicted_season_counts_and_no_naive_rule(run):
    rows = pd.DataFrame(
        {"cooperative_id": COOP, "season": ["2024/25", "2025/26", "2025/26"],
         "rule": ["model", "model", "same as last season"], "actual_kg": [1.0, 2.0, 2.0], "mean_kg": [3.0, 4.0, 5.0],
         "p10_kg": 1.0, "p90_kg": 9.0}
    )  # fmt: skip
    found = estimate_document(run, COOP, Beside(backtest=SimpleNamespace(rows=rows)))
    assert found.last_season == LastSeason("2025/26", 4.0, 1.0, 9.0, 2.0)


def test_a_shock_of_another_size_replaces_the_usual_one(run):
    cases = pd.DataFrame({"cooperative_id": [COOP], "case": "rust", "factor_low": 0.4, "factor_high": 0.4})
    found = estimate_document(run, COOP, Beside(cases=cases))
    assert found.shock_kg == pytest.approx((0.4 * found.cases.mean, 0.4 * found.cases.mean))


def test_no_member_and_no_plot_is_named(run, tmp_path):
    found = estimate_document(run, COOP)
    page = html.unescape(estimate_html(found))
    for name in [*run.members["id"], *run.members["name"], *run.plots.index, *run.plots["community"]]:
        assert name not in page


def test_a_cooperative_that_the_run_does_not_have_is_told_with_close_names(run):
    with pytest.raises(UnknownNameError, match="COAGRO"):
        estimate_document(run, "COAGRA")


def test_the_run_id_depends_on_inputs_and_parameters_alone():
    one, other = {"role": "plots", "sha256": "a"}, {"role": "raster", "sha256": "b"}
    first = run_id({"inputs": [one, other], "parameters": {"crop": "coffee"}})
    assert first == run_id({"inputs": [other, {**one, "name": "moved.csv"}], "parameters": {"crop": "coffee"}})
    assert first != run_id({"inputs": [one, {**other, "sha256": "c"}], "parameters": {"crop": "coffee"}})
    assert first != run_id({"inputs": [one, other], "parameters": {"crop": "cocoa"}})


def test_an_outlook_becomes_tables_of_pages():
    # of 1,000 kg 300 are local sales and seconds: .7 of every case is left; 400 of 1,000 kg are organic
    ready = pd.DataFrame(
        {"cooperative_id": "C", "certification": ["", "", "organic", "organic"], "month": ["2027-01", "2027-02"] * 2,
         "supply_kg": [500.0, 1000.0, 200.0, 400.0], "local_and_seconds_kg": [150.0, 300.0, 0.0, 0.0],
         "chance_of_its_own": [0.2, 0.9, 0.1, 0.6]}
    )  # fmt: skip
    supply = pd.DataFrame(
        {"supply_kg": 1000.0, "supply_p10_kg": 600.0, "supply_p50_kg": 900.0, "supply_p90_kg": 1400.0,
         "evidence": "own deliveries", "seasons": 3}, index=["C"],
    )  # fmt: skip
    shock = pd.DataFrame(
        {"case": "shock year", "factor_low": 0.5, "factor_high": 0.8, "mean_kg": 650.0, "p10_kg": 1.0, "p50_kg": 2.0,
         "p90_kg": 3.0}, index=pd.Index(["C"], name="cooperative_id"),
    )  # fmt: skip
    sold = pd.DataFrame(
        {"cooperative_id": "C", "buyer": "B", "certification": ["organic", "fair"], "month": "", "kg": 10.0}
    )
    outlook = SimpleNamespace(
        has_supply=True, cooperatives=supply, available=ready, shock=shock, backtest=None,
        calibration=SimpleNamespace(cooperatives=supply), settings=None, told=None, contracts=sold,
        nowcast=pd.DataFrame({"day": ["2027-01-31"]}, index=pd.Index(["C"], name="cooperative_id")),
    )  # fmt: skip
    found = beside_of(outlook, form="green")
    assert found.exportable[["mean_kg", "p10_kg", "p90_kg"]].iloc[0].tolist() == pytest.approx([700.0, 420.0, 980.0])
    assert found.certifications["p90_kg"].tolist() == pytest.approx([0.4 * 1400])
    assert found.contracts["covered"].tolist() == pytest.approx([0.6, float("nan")], nan_ok=True)
    assert found.cases["mean_kg"].tolist() == [650.0]
    assert found.known_to.to_dict() == {"C": "2027-01-31"}
    outlook.has_supply = False
    assert beside_of(outlook, form="green").exportable is None


# Files: two pages, the same bytes, nothing run


def test_both_files_are_written_and_named(tmp_path):
    paths = write_estimate(full(), tmp_path / "out", name="coagro")
    assert [path.name for path in paths] == ["coagro.html", "coagro.pdf"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["coagro.html", "coagro.pdf"]
    assert [path.name for path in write_estimate(full(), tmp_path, formats=("pdf",))] == ["harvest_estimate.pdf"]


@pytest.mark.parametrize(
    "wrong",
    [{"formats": ["docx"]}, {"paper": "A3"}, {"language": "sw"}, {"reader": "broker"}],
    ids=lambda one: next(iter(one)),
)
def test_what_is_not_known_is_refused_before_anything_is_written(wrong, tmp_path):
    with pytest.raises(UnknownNameError):
        write_estimate(full(), tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("paper", ["A4", "Letter"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_the_pdf_has_two_pages_whatever_the_texts(bomb, paper):
    certified = CERTIFIED.assign(certification=[BOMBS[bomb], "咖" * 50], mean_kg=1.234e9)
    sheet = estimate_sheet(full(cooperative=BOMBS[bomb], certifications=certified), language="fr", reader="buyer")
    assert pdf_pages(estimate_pdf(sheet, paper=paper)) == 2


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_html_page_prints_on_two_pages_and_hides_nothing(bomb, chromium_page):
    certified = pd.concat([CERTIFIED.assign(certification=BOMBS[bomb], mean_kg=1.234e9)] * 4)
    contracts = pd.concat([CONTRACTS.assign(certification=BOMBS[bomb], kg=1.234e9)] * 4)
    shown = full(cooperative=BOMBS[bomb], certifications=certified, contracts=contracts)
    page = chromium_page(estimate_html(shown, language="fr", reader="buyer"), width=680)
    for paper in ("A4", "Letter"):
        assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format=paper))) == 2
    page.emulate_media(media="print")
    heights = page.evaluate("[...document.querySelectorAll('.page')].map(e => [e.scrollHeight, e.clientHeight])")
    assert len(heights) == 2
    assert all(content <= room for content, room in heights)
    assert page.problems == []
    assert page.evaluate("window.marker") is None


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(width, chromium_page):
    page = chromium_page(estimate_html(full(cooperative=BOMBS["long"])), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(page.requests) == 1


def test_names_are_text_and_never_run():
    page = estimate_html(full(cooperative=BOMBS["html"], certifications=CERTIFIED.assign(certification="<img src=x>")))
    assert "<script" not in page
    assert "<img" not in page
    assert "1337" not in page
    assert "&lt;/h1&gt;&lt;script&gt;" in page


def test_the_page_asks_nothing_of_the_network_and_has_headings_and_headers():
    page = estimate_html(full())
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|url\(|@import|<script|<link|\bsrc=|href=", page)
    assert page.count("<h1") == 1
    assert page.count("<h2>") == 9
    assert len(re.findall(r"<th ", page)) == len(re.findall(r'<th scope="(?:col|row)"', page))
    assert 'role="img" aria-label="By month.' in page


def test_the_page_uses_the_inks_whose_contrast_the_report_is_tested_for(run):
    inks = re.compile(r"--(ink|soft|accent|panel): (#[0-9a-f]{6})")
    assert set(inks.findall(estimate_html(full()))) == set(inks.findall(report(run)))


def test_equal_documents_give_equal_bytes_in_another_process(tmp_path):
    code = (
        "import sys, hashlib; from geomap.outputs.harvest_estimate import *\n"
        "d = EstimateDocument('Ñ 咖', 'coffee', 'HN', 'green', None, 'potential', Cases(4e4, 2e4, 3e4, 6e4), 3, 2"
        ")\n"
        "print([hashlib.sha256(p.read_bytes()).hexdigest() for p in write_estimate(d, Path(sys.argv[1]))])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1


def test_the_document_is_not_changed():
    shown, before = full(), CERTIFIED.copy()
    estimate_html(shown)
    pd.testing.assert_frame_equal(shown.certifications, before)
