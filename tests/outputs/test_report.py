import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from geomap.findings import join_findings, make_findings
from geomap.outputs.beside import Beside
from geomap.outputs.report import class_words, kilograms, percent, report, significant
from geomap.outputs.text import plain

VOID = {"meta", "rect", "line", "path", "br", "link", "img"}


class Page(HTMLParser):
    """Checks that every tag is closed in order; keeps the text of each element and the words around."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.ids, self.attributes = [], [], [], []
        self.feed(source)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and "head" not in self.open:
            self.texts.append(data.strip())

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))


def page(run):
    return Page(report(run))


def with_variance(run, *shares, quantity="potential"):
    rows = [{"cooperative_id": "all", "quantity": quantity, "source": name, "share": share} for name, share in shares]
    return replace(run, variance=pd.DataFrame(rows))


def with_supply(run):
    """The run with evidence: supply is four fifths of the potential."""
    names = {f"supply{part}_kg": f"potential{part}_kg" for part in ("", "_p10", "_p50", "_p90")}
    total, cooperatives, community = run.total.copy(), run.cooperatives.copy(), run.by["community"].copy()
    for table in (total, cooperatives, community):
        for supply, potential in names.items():
            table[supply] = 0.8 * table[potential]
    summary = {**run.summary, "evidence": "deliveries of 3 cooperatives in 4 seasons"}
    variance = run.variance.assign(quantity="supply")
    return replace(
        run, total=total, cooperatives=cooperatives, by={"community": community}, summary=summary, variance=variance
    )


def of_one_cooperative(run):
    own = run.cooperatives["id"].iloc[0]
    tables = {name: getattr(run, name) for name in ("months", "environment", "variance")}
    tables = {name: table[table["cooperative_id"] == own] for name, table in tables.items()}
    row = run.cooperatives.iloc[0]
    return replace(run, cooperatives=run.cooperatives.head(1), total=row, by={}, **tables)


def past(*, wins=True, cooperatives=("COAGRO",), seasons=("2024/25", "2025/26")):
    """A back-test: 900 kg predicted, 1,000 kg delivered, in each season and cooperative."""
    rows = pd.DataFrame(
        [
            {"cooperative_id": coop, "season": season, "rule": rule, "actual_kg": 1000.0, "mean_kg": 900.0}
            | dict.fromkeys(["p10_kg", "p50_kg", "p90_kg"], np.nan if rule != "model" else 0.0)
            for coop in cooperatives
            for season in seasons
            for rule in ("model", "same as last season")
        ]
    )
    model = rows["rule"] == "model"
    rows.loc[model, ["p10_kg", "p50_kg", "p90_kg"]] = [700.0, 880.0, 1100.0]
    scores = pd.DataFrame(
        {"cooperative_id": "all", "rule": ["same as last season", "model"], "mape": [0.2, 0.1], "bias": [0.05, -0.1],
         "coverage_80": [np.nan, 1.0], "predictions": 2}
    )  # fmt: skip
    words = "The model was off by 10 % on average." if wins else "The model loses to “same as last season” (8 %)."
    sentence = f"{words} In all it predicted 10 % too little."
    return SimpleNamespace(rows=rows, scores=scores, sentence=sentence, wins={"same as last season": wins})


def told(run, **tables):
    return Page(report(run, Beside(**tables)))


# The first line


def test_the_first_line_says_where_the_numbers_come_from(run):
    assert (
        page(run)
        .texts[0]
        .startswith(
            "These numbers come from country averages, not from your cooperative's deliveries; "
            "these three inputs would narrow them most: deliveries of past seasons, by member and date; "
        )
    )


def test_the_first_line_names_the_evidence_where_there_is_some(run):
    first = page(with_supply(run)).texts[0]
    assert first.startswith(
        "These numbers are the supply to expect, from deliveries of 3 cooperatives in 4 seasons; these three inputs"
    )


def test_the_inputs_named_first_are_those_of_the_largest_errors(run):
    shares = [("plot", 0.01), ("age", 0.2), ("unmapped", 0.5), ("base_yield", 0.3)]
    first = page(with_variance(run, *shares)).texts[0]
    places = [first.index(words) for words in ("members who have none", "deliveries of past seasons", "the year of")]
    assert places == sorted(places)


def test_two_sources_that_one_input_narrows_name_it_once(run):
    first = page(with_variance(run, ("base_yield", 0.5), ("cooperative", 0.4))).texts[0]
    assert "this input would narrow them most: deliveries of past seasons, by member and date." in first


def test_inputs_that_the_run_names_come_first_and_in_short(run):
    told = ["Map the 40 members without a plot: 34 % of the variance goes with it.", "GPS walks."]
    shown = page(replace(run, summary={**run.summary, "narrow": told}))
    assert "these two inputs would narrow them most: map the 40 members without a plot; GPS walks." in shown.texts[0]
    assert told[0] in shown.texts


# The numbers


def test_the_headline_is_the_mean_and_the_cases_are_p10_p50_p90(run):
    text, total = page(run).text, run.total
    low, high = kilograms(total["potential_p10_kg"]).split(), kilograms(total["potential_p90_kg"]).split()
    assert f"The members' land can bear {' '.join(kilograms(total['potential_kg']).split())} of green coffee" in text
    assert f"In 8 of 10 seasons between {' '.join(low)} and {' '.join(high)}; in 1 of 10 seasons less than" in text
    assert f"Middle case {' '.join(kilograms(total['potential_p50_kg']).split())}" in text


def test_the_numbers_of_every_cooperative_are_the_run_s(run):
    texts = page(run).texts
    for row in run.cooperatives.to_dict("records"):
        names = ("potential_kg", "potential_p10_kg", "potential_p50_kg", "potential_p90_kg")
        cells = [row["id"], *(significant(row[name]) for name in names)]
        assert any(texts[at : at + 5] == cells for at in range(len(texts)))


def test_supply_is_shown_where_there_is_evidence_and_potential_beside_it(run):
    run = with_supply(run)
    text = page(run).text
    assert f"can expect to receive {' '.join(kilograms(run.total['supply_kg']).split())} of green coffee" in text
    assert f"land can bear {' '.join(kilograms(run.total['potential_kg']).split())}" in text
    assert "Supply of each cooperative" in text


def test_a_shock_year_is_a_case_of_its_own(run):
    # 0.5 and 0.8 of a mean of 1,000 kg
    total = run.total.copy()
    total["potential_kg"] = 1000.0
    text = page(replace(run, total=total)).text
    assert "A shock year (rust, frost or drought) comes about once in 12 seasons" in text
    assert "500 kg to 800 kg" in text


def test_what_rests_on_members_without_a_plot_is_told(run):
    # 6 of 60 members, 6 × 900 kg = 5,400 kg
    text = page(run).text
    assert "54 of 60 members (90 %) have at least one plot" in text
    assert "5,400 kg, rests on members without a plot" in text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (412_345.6, "412,000 kg (412 t)"),
        (9_999.4, "10,000 kg"),
        (12.345, "12.3 kg"),
        (0.0, "0 kg"),
        (np.nan, "not known"),
    ],
)
def test_kilograms_are_rounded_for_reading(value, words):
    assert " ".join(kilograms(value).split()) == words


def test_shares_never_round_to_nothing_or_to_all():
    assert [" ".join(percent(share).split()) for share in (0.001, 0.996, 1.0, 0.0)] == [
        "less than 1 %", "nearly 100 %", "100 %", "0 %",
    ]  # fmt: skip


# What else it tells


def test_months_of_several_cooperatives_show_means_only_and_those_of_one_the_interval(run):
    # means add up, quantiles do not
    several, one = page(run), page(of_one_cooperative(run))
    january = run.months[run.months["month"] == "2027-01"]
    assert significant(january["mean_kg"].sum()) in several.texts
    assert significant(january["p90_kg"].sum()) not in several.texts
    assert significant(january["p90_kg"].iloc[0]) in one.texts


def test_without_a_season_there_are_no_months(run):
    summary = {**run.summary, "parameters": {**run.summary["parameters"], "season": None}}
    text = page(replace(run, months=run.months.head(0), summary=summary)).text
    assert "When" not in text
    assert "of green coffee in a season" in text


def test_trees_are_tree_cover_and_never_forest(run):
    text = page(run).text
    assert "tree cover (includes shade coffee and cocoa)" in text
    legend = pd.DataFrame({"name": ["Forest", "Mangrove forest"]}, index=[1, 2])
    assert not any("forest" in class_words(code, name).lower() for code, name in legend["name"].items())


def test_no_data_and_outside_the_map_are_rows_of_their_own(run):
    rows = run.environment.tail(2).assign(**{"class": [-1, -2], "name": ["no data", "outside the raster"]})
    texts = page(replace(run, environment=rows)).texts
    assert "no data" in texts
    assert "outside the map" in texts


def test_map_errors_name_their_class(run):
    texts = page(with_variance(run, ("map:esa-worldcover-2021:10", 0.4), ("map_region:40", 0.2), ("new", 0.1))).texts
    assert "Mistakes of the land-cover map: tree cover (includes shade coffee and cocoa)" in texts
    assert "How well the map fits this region: cropland" in texts
    assert "new" in texts


def test_findings_stand_by_kind_with_hectares_and_kilograms(run):
    found = join_findings([make_findings("overlap", ["A", "B"], "shared", effect_ha=[-0.5, -0.25], action="split")])
    texts = page(replace(run, findings=found.assign(effect_kg=[-100.0, -50.0]))).texts
    at = texts.index("Two members claim the same ground; it is shared between them")
    assert texts[at + 1 : at + 5] == ["warning", "2", "−0.750", "−150"]


def test_the_first_twenty_blocking_findings_are_shown_in_detail(run):
    found = make_findings("invalid", [f"X{k:02d}" for k in range(25)], "It crosses itself.", action="left_out")
    shown = page(replace(run, findings=found))
    assert [f"X{k:02d}" in shown.texts for k in (0, 19, 20)] == [True, True, False]
    assert "The first 20 of 25 are shown" in shown.text
    assert "The checks found nothing." in page(replace(run, findings=found.head(0))).text


def test_support_is_a_word(run):
    texts = page(run).texts
    at = texts.index("base yield")
    assert texts[at : at + 4] == ["base yield", "1,150 kg/ha", "medium", "national statistics"]


def test_inputs_versions_and_the_map_s_licence_are_told(run):
    text = page(run).text
    assert "plots.geojson 123.5 kB abababababab" in text
    assert "geomap 0.1.0, python 3.11.7. Reference tables: base yields 1." in text
    assert "© ESA WorldCover project 2021" in text
    assert "CC-BY-4.0" in text


def test_long_tables_are_cut_and_say_so(run):
    many = pd.concat([run.cooperatives.assign(id=run.cooperatives["id"] + f" {k}") for k in range(40)])
    shown = page(replace(run, cooperatives=many))
    assert "The 30 largest of 120 are shown. All stand in cooperatives.csv." in shown.text


# What a manager asks


def test_evidence_says_whose_deliveries_and_of_how_many_seasons(run):
    own = pd.DataFrame({"evidence": ["own deliveries"] * 3, "seasons": 3}, index=["A", "B", "C"])
    first = told(with_supply(run), calibration=own).texts[0]
    assert first.startswith("These numbers are the supply to expect, from your own deliveries of 3 seasons; these")
    mixed = own.assign(evidence=["own deliveries", "deliveries of the origin", "none"], seasons=[1, 0, 0])
    first = told(with_supply(run), calibration=mixed).texts[0]
    assert (
        "from your own deliveries of 1 season (1 of 2 cooperatives) and the deliveries of the origin (1 of 2" in first
    )


def test_a_model_that_loses_opens_the_report(run):
    lost = told(run, backtest=past(wins=False)).texts[0]
    assert lost.startswith("The model loses to “same as last season” (8 %). These numbers come from country averages")
    assert told(run, backtest=past()).texts[0].startswith("These numbers come from")


def test_past_seasons_show_what_was_predicted_and_what_came(run):
    shown = told(run, backtest=past())
    at = shown.texts.index("2024/25", shown.texts.index("Season"))
    assert shown.texts[at : at + 6] == ["2024/25", "900", "700", "1,100", "1,000", "1 of 1"]
    at = shown.texts.index("model")
    assert " ".join(" ".join(shown.texts[at : at + 5]).split()) == "model 10 % −10 % 100 % 2"
    assert "In 2025/26 it said 900 kg; 1,000 kg came: 10 % too little." in shown.text
    assert "The model was off by 10 % on average. In all it predicted 10 % too little." in shown.text


def test_past_seasons_of_several_cooperatives_add_means_and_show_no_quantile(run):
    # 2 · 900 and 2 · 1,000 kg; quantiles do not add
    shown = told(run, backtest=past(cooperatives=("A", "B"))).texts
    at = shown.index("2024/25", shown.index("Season"))
    assert shown[at : at + 4] == ["2024/25", "1,800", "2,000", "2 of 2"]


def test_quintals_stand_beside_kilograms_with_their_form(run):
    # 1 quintal of 46 kg of green coffee
    shown = page(run)
    total = run.total["potential_kg"] / 46
    assert f"{significant(total)} quintals of 46 kg of green coffee on average" in shown.text
    settings = pd.DataFrame({"quintal_kg": [50.0], "quintal_form": ["green"]}, index=["COAGRO"])
    own = told(run, settings=settings)
    coagro = run.cooperatives.set_index("id").loc["COAGRO", "potential_kg"] / 50
    at = own.texts.index("quintals of 50\N{NO-BREAK SPACE}kg of green coffee")
    assert own.texts[at - 1 : at + 2 : 2] == ["COAGRO", significant(coagro)]
    assert "quintals of 46 kg of green coffee on average" not in own.text


def test_certificates_and_their_share_are_told(run):
    # a quarter of the potential is organic; plots without a certificate are not one
    half = run.by["community"].head(2).assign(id=["Organic", "(none)"])
    half["potential_kg"] = [0.25 * run.total["potential_kg"], 0.75 * run.total["potential_kg"]]
    text = page(replace(run, by={"certification": half})).text
    assert f"Organic : {' '.join(kilograms(0.25 * run.total['potential_kg']).split())} (25 %)." in text
    assert "How much is certified?" not in page(run).text


def test_january_and_the_best_month_are_told(run):
    # three tenths of the potential come in January
    whole = run.months.groupby("month")["mean_kg"].sum()
    text = page(run).text
    assert f"How much in January? {' '.join(kilograms(whole['2027-01']).split())} on average (30 %)." in text
    other = run.months[run.months["month"] != "2027-01"]
    assert "Which month brings most?" in page(replace(run, months=other)).text


def test_contracts_stand_by_their_chance(run):
    contracts = pd.DataFrame(
        {"cooperative_id": "COAGRO", "buyer": ["Sure", "Unlikely", "Unknown"], "certification": ["", "organic", ""],
         "month": ["2027-01", "", ""], "kg": [1000.0, 2000.0, 3000.0], "covered": [0.8, 0.3, np.nan]}
    )  # fmt: skip
    shown = told(run, contracts=contracts)
    assert "1 of 3 have a chance of 8 in 10 or better. Together they ask for 6,000 kg." in shown.text
    assert shown.texts.index("Unlikely") < shown.texts.index("Sure") < shown.texts.index("Unknown")
    at = shown.texts.index("Unlikely")
    assert " ".join(" ".join(shown.texts[at : at + 5]).split()) == "Unlikely organic – 2,000 30 %"


def test_what_can_be_exported_and_shock_years_are_shown_where_known(run):
    kg = {"mean_kg": 650.0, "p10_kg": 400.0, "p50_kg": 600.0, "p90_kg": 900.0}
    exportable = pd.DataFrame([{"cooperative_id": "all", "form": "exportable-green", **kg}])
    cases = pd.DataFrame([{"cooperative_id": "COAGRO", "case": "rust", **kg}])
    shown = told(run, exportable=exportable, cases=cases)
    assert (
        "650 kg of exportable green coffee on average, from 400 kg in a low to 900 kg in a high season." in shown.text
    )
    at = shown.texts.index("rust")
    assert shown.texts[at : at + 6] == ["rust", "COAGRO", "650", "400", "600", "900"]
    for heading in ("What can be exported", "Shock years", "Contracts", "How wrong it was before", "Next steps"):
        assert heading not in page(run).texts


def test_what_the_checks_moved_stands_by_cooperative(run):
    # −200 kg are taken away; 90 kg that count unverified are not set off against them
    row = {"cooperative_id": "COAGRO", "code": "x", "findings": 1}
    found = [
        {**row, "effect_ha": 0.1, "effect_kg": 90.0, "sentence": "1 plot outside the land cover"},
        {**row, "effect_ha": -0.2, "effect_kg": -200.0, "sentence": "2 overlaps"},
        {**row, "effect_ha": 0.0001, "effect_kg": 0.1, "sentence": "1 repaired outline"},
        {**row, "cooperative_id": "", "effect_ha": None, "effect_kg": None, "sentence": "the file"},
    ]
    shown = page(replace(run, summary={**run.summary, "findings": found}))
    at = shown.texts.index("2 overlaps") - 3
    assert shown.texts[at : at + 9] == [
        "COAGRO", "−0.200", "−200", "2 overlaps", "−0.200", "−200", "1 plot outside the land cover", "0.100", "90.0",
    ]  # fmt: skip
    assert "1 other kind of finding moved nothing." in shown.text
    assert "Most in COAGRO : −200 kg." in shown.text
    assert "the file" not in shown.texts
    assert "What the checks moved" not in page(run).texts


def test_what_people_told_stands_beside_the_numbers(run):
    told_kg = {"given_kg": 1000.0, "mean_kg": 990.0, "p10_kg": 700.0, "p50_kg": 950.0, "p90_kg": 1300.0}
    told_of = pd.DataFrame([{"cooperative_id": "COAGRO", "kind": "commitments", "seasons": 2, **told_kg}])
    shown = told(run, told=told_of).texts
    at = shown.index("commitments")
    assert shown[at - 1 : at + 6] == ["COAGRO", "commitments", "1,000", "700", "950", "1,300", "2"]


def test_next_steps_replace_what_would_narrow(run):
    steps = pd.DataFrame({"text": ["Visit 25 farms.", "Bring deliveries of 2 past seasons."]})
    shown = told(run, next_steps=steps).texts
    assert shown.index("Visit 25 farms.") < shown.index("Bring deliveries of 2 past seasons.")


def test_hostile_texts_of_the_further_tables_are_shown_as_text(run):
    mark = "<b>{{ 7*191 }}</b>"
    kg = {"mean_kg": 650.0, "p10_kg": 400.0, "p50_kg": 600.0, "p90_kg": 900.0}
    tables = Beside(
        backtest=past(cooperatives=(f"{mark}A", f"{mark}B")),
        contracts=pd.DataFrame([{"cooperative_id": f"{mark}C", "buyer": f"{mark}D", "certification": f"{mark}E",
                                 "month": "", "kg": 1.0, "covered": 0.5}]),
        exportable=pd.DataFrame([{"cooperative_id": f"{mark}F", "form": "green", **kg}]),
        cases=pd.DataFrame([{"cooperative_id": f"{mark}G", "case": f"{mark}H", **kg}]),
        next_steps=pd.DataFrame({"text": [f"{mark}I"]}),
        calibration=pd.DataFrame({"evidence": ["own deliveries"], "seasons": [1]}, index=[f"{mark}J"]),
    )  # fmt: skip
    source = report(run, tables)
    Page(source)
    assert "<b>{{" not in source
    assert "1337" not in source
    for letter in "CDEFGHIJ":
        assert f"{mark}{letter}" in html.unescape(source)


# A page that is safe and whole


@pytest.mark.parametrize("change", [lambda run: run, with_supply, of_one_cooperative])
def test_the_page_is_well_formed(run, change):
    source = report(change(run))
    assert source.lstrip().startswith("<!DOCTYPE html>")
    assert '<html lang="en">' in source
    assert "nan" not in re.sub(r"[a-z]{2,}nan|nan[a-z]+", "", source.lower())
    Page(source)


def test_a_run_without_anything_to_show_still_gives_a_page(run):
    total = run.total.copy()
    cooperatives = run.cooperatives.head(1).copy()
    for table in (total, cooperatives):
        for name in ("members", "members_mapped", "plots", "area_ha", "productive_ha", "unmapped_kg"):
            table[name] = 0
        for name in ("potential_kg", "potential_p10_kg", "potential_p50_kg", "potential_p90_kg"):
            table[name] = 0.0
    tables = {name: getattr(run, name).head(0) for name in ("months", "variance", "environment", "findings")}
    text = page(replace(run, cooperatives=cooperatives, total=total, by={}, **tables)).text
    assert "can bear 0 kg of green coffee" in text
    assert "0 of 0 members" in text


def test_hostile_names_come_out_literally(hostile_run):
    source = report(hostile_run)
    shown = Page(source)
    names = [*hostile_run.cooperatives["id"], *hostile_run.by["community"]["id"]]
    assert any("{{" in name for name in names)
    assert any("<img" in name for name in names)
    for name in names:
        assert plain(name) in shown.texts
    assert "1337" not in source
    assert not any(tag in ("img", "script") for tag, _, _ in shown.attributes)
    assert "<script" not in source


def test_every_text_of_the_run_is_shown_as_text(run):
    mark = "<b>{{ 7*191 }}</b>&amp;\u202e"
    place = {**run.summary["parameters"], "form_title": f"{mark}F", "country_name": f"{mark}C", "season": f"{mark}S"}
    summary = {
        **run.summary,
        "parameters": place,
        "inputs": [{"role": f"{mark}R", "name": f"{mark}N", "sha256": "0" * 64, "bytes": 1}],
        "assumptions": [{"term": f"{mark}T", "value": f"{mark}V", "support": "weak", "source": f"{mark}O"}],
        "warnings": [f"{mark}W"],
        "narrow": [f"{mark}A"],
    }
    findings = make_findings("invalid", [f"{mark}P"], f"{mark}M", action="left_out")
    by = {f"{mark}B": run.by["community"]}
    source = report(replace(run, summary=summary, findings=findings, by=by))
    shown = html.unescape(source)
    for letter in "FCSRNTVOWAPMB":
        assert f"<b>{{{{ 7*191 }}}}</b>&amp;{letter}" in shown
    assert "<b>{{" not in source
    assert "\u202e" not in source
    Page(source)


def test_right_to_left_names_stay_beside_their_numbers(run):
    name = "تعاونية البن"
    cooperatives = run.cooperatives.assign(id=[name, *run.cooperatives["id"][1:]])
    source = report(replace(run, cooperatives=cooperatives))
    assert f"<bdi>{name}</bdi>" in source


def test_the_page_asks_nothing_of_the_network(run):
    source = report(run)
    assert "default-src 'none'" in source
    assert not re.search(r"https?://|//[a-z]|url\(|@import|<script|<link", source)
    assert not [name for _, name, _ in Page(source).attributes if name in ("src", "href", "srcset", "action")]


def test_the_pictures_have_a_title_and_a_description(run):
    source = report(run)
    for label in re.findall(r'aria-labelledby="([^"]+)"', source):
        for reference in label.split():
            assert f'id="{reference}"' in source
    assert source.count('role="img"') == 2


def test_equal_runs_give_equal_pages(run):
    assert report(run) == report(run)


def test_the_run_is_not_changed(run):
    before = json.dumps(run.summary, sort_keys=True)
    cooperatives = run.cooperatives.copy()
    report(run)
    assert json.dumps(run.summary, sort_keys=True) == before
    pd.testing.assert_frame_equal(run.cooperatives, cooperatives)


# In a browser


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(hostile_run, chromium_page, width):
    opened = chromium_page(report(hostile_run), width=width)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.problems == []
    assert len(opened.requests) == 1
    assert opened.evaluate("window.marker") is None


def test_text_has_enough_contrast_on_its_ground(run):
    source = report(run)
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", source))

    def luminance(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ink in ("ink", "soft", "accent"):
        for ground in ("#ffffff", colors["panel"]):
            assert (luminance(ground) + 0.05) / (luminance(colors[ink]) + 0.05) >= 4.5
