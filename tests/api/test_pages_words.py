"""Words of the pages: one for each thing, a singular where one is counted, classes of land cover in each language."""

import re

import pytest

from api.pages.texts import Texts, catalogue, languages
from geomap.landcover.extract import NAMES
from geomap.outputs.words import words
from geomap.reference import table
from geomap.supply.narrow import _ACTIONS

OTHER_WORDS = {
    "es": ("lote", "miembro", "asociado"),
    "fr": ("adhérent", "sociétaire", "lopin"),
    "pt": ("parcela", "cooperado", "membro", "associado"),
}
"""Words that mean a plot or a member, too, and that we do not use."""

NO_THING = {
    "fact.without_plot": "the thing stands above it",
    "result.findings": "a heading with the count behind it",
    "member.plots": "a heading with the count behind it",
    "topic.walk": "a heading with the count behind it",
    "topic.overlap": "a heading with the count behind it",
    "topic.area": "a heading with the count behind it",
    "topic.names": "a heading with the count behind it",
    "map.edit_corner": "a corner of so many",
    "map.print_more": "a page has always more than one",
    "map.over_more": "no thing is named",
    "buyer.seasons": "the count stands behind the word",
    "buyer.accuracy_says": "the count stands behind the word",
    "buyer.suppressed_in": "no thing is named",
    "buyer.narrow": "of so many",
}
"""Texts with a count that read well for one, too."""


@pytest.mark.parametrize("language", OTHER_WORDS)
def test_a_plot_and_a_member_have_one_word_each(language):
    texts = {**catalogue(language), **words(language).words, **words(language).titles, **words(language).remedies}
    other = re.compile(rf"\b({'|'.join(OTHER_WORDS[language])})s?\b", re.IGNORECASE)
    assert {key: text for key, text in texts.items() if other.search(text)} == {}


@pytest.mark.parametrize("language", languages())
def test_every_text_with_a_count_has_a_singular_or_needs_none(language):
    texts = catalogue(language)
    counted = {key for key, text in texts.items() if "{count}" in text and not key.endswith(".one")}
    assert {key for key in counted if f"{key}.one" not in texts} == set(NO_THING)


@pytest.mark.parametrize("language", languages())
def test_what_would_narrow_an_estimate_is_said_in_each_language(language):
    keys = {f"narrow.{action.sources[0]}" for action in _ACTIONS}
    assert {key.removesuffix(".one") for key in catalogue(language) if key.startswith("narrow.")} == keys
    assert len({catalogue(language)[key] for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("language", "none", "one", "two"),
    [
        ("en", "0 members", "1 member", "2 members"),
        ("es", "0 socios", "1 socio", "2 socios"),
        ("fr", "0 membre", "1 membre", "2 membres"),  # Unicode CLDR, plural rules: i = 0,1
        ("pt", "0 sócio", "1 sócio", "2 sócios"),  # the same
    ],
)
def test_one_is_counted_in_the_singular(language, none, one, two):
    t = Texts(language)
    assert [t("members.size", count=t.count(n)) for n in (0, 1, 2)] == [none, one, two]
    assert t("members.size", count=t.count(1001)) == one.replace("1", t.count(1001)).replace(one[2:], two[2:])


@pytest.mark.parametrize("language", ["es", "fr", "pt"])
def test_every_class_of_every_product_of_ours_has_a_name_in_each_language(language):
    names = {*table("legends")["name"], *NAMES.values()}
    known = words(language).words
    same = {name for name in names if words(language).land(name) == name}
    assert {name for name in same if f"class:{name}" not in known} == set()
    assert same <= {"Agriculture", "Aquaculture", "Mangrove", "Mangroves"}  # French has the same words


def test_a_class_of_ones_own_keeps_its_name():
    assert {words(language).land("Café de doña Inés") for language in languages()} == {"Café de doña Inés"}


def test_the_names_of_classes_do_not_run_together():
    """Two classes of one legend that are two in English are two in every language."""
    legends = table("legends")
    for language in languages():
        told = legends.assign(told=[words(language).land(name) for name in legends["name"]])
        pairs = told[["legend", "name", "told"]].drop_duplicates()
        assert pairs[pairs.duplicated(["legend", "told"], keep=False)].empty, language
