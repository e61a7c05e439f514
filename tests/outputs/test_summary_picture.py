"""The picture of a harvest estimate for a phone: large numbers, no names, the same bytes."""

import io
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from geomap.outputs.harvest_estimate import Cases, EstimateDocument, LastSeason
from geomap.outputs.summary_picture import HEIGHT, WIDTH, Summary, summary_of, summary_picture

MONTHS = pd.DataFrame({"month": ["2026-12", "2027-01"], "mean_kg": [9_200.0, 36_800.0], "p10_kg": 1.0, "p90_kg": 2.0})
CONTRACTS = pd.DataFrame(
    {"buyer": "Kaffee Nord", "certification": "", "month": "2027-02", "kg": [18_400.0, 4_600.0], "covered": 0.9}
)
NAMES = (
    "W" * 300,
    "تعاونية البن العضوي " * 10,
    "\u202egnp.exe\u202c",
    "咖啡合作社 🌱",
    "</script>{{ 7*191 }} ${x} `y`",
    "",
    " \n\t ",
    "Cooperativa Agrícola Cafetalera de Productores Orgánicos Unidos de la Montaña",
)


def document(**changes):
    """46,000 kg of green coffee on average: 1,000 quintals of 46 kg; 8 of 10 seasons from 500 to 1,500."""
    usual = {
        "cooperative": "Río Lindo", "crop": "coffee", "country": "HN", "form": "green", "season": "2026/27",
        "quantity": "supply", "cases": Cases(46_000.0, 23_000.0, 41_400.0, 69_000.0), "members": 340,
        "members_mapped": 212, "months": MONTHS, "contracts": CONTRACTS, "evidence": "own deliveries", "seasons": 3,
        "product_title": "A map", "last_season": LastSeason("2025/26", 1.0, 1.0, 1.0, 1.0), "run_id": "ab" * 32,
    }  # fmt: skip
    return EstimateDocument(**{**usual, **changes})


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def opened(content):
    return Image.open(io.BytesIO(content))


def words(summary):
    return " ".join(
        part for name in Summary._fields for part in [getattr(summary, name)] if isinstance(part, str)
    ).replace("\N{NO-BREAK SPACE}", " ")


def test_the_picture_has_the_size_of_a_message_and_few_bytes():
    content = summary_picture(document())
    assert opened(content).size == (WIDTH, HEIGHT) == (1080, 1350)
    assert len(content) < 300_000


def test_it_says_how_much_how_sure_when_and_what_is_sold():
    told = summary_of(document())
    assert (told.number, plain(told.unit)) == ("1,000", "quintals of 46 kg of green coffee")  # 46,000 / 46
    assert told.beside.replace("\N{NO-BREAK SPACE}", " ") == "= 46,000 kg"
    assert told.between == "8 of 10 chances: between 500 and 1,500"  # 23,000 / 46 and 69,000 / 46
    assert [(month.name, month.year, month.words) for month in told.months] == [
        ("Dec", "2026", "200"),
        ("Jan", "2027", "800"),
    ]
    assert told.sold.replace("\N{NO-BREAK SPACE}", " ") == "Under contract: 500 quintals of 46 kg (50%)"
    assert "ababababab" in told.foot
    assert "2025/26" in told.foot


def test_a_potential_says_that_it_is_no_delivery_and_where_it_comes_from():
    told = summary_of(document(quantity="potential", evidence="country averages", contracts=None))
    assert told.lead == "The land can bear, on average"
    assert "Not yet what members deliver" in told.beside
    assert told.source == "From country averages, not from deliveries"
    assert told.sold == ""


@pytest.mark.parametrize("language", ["en", "es", "fr", "pt"])
@pytest.mark.parametrize("reader", ["office", "buyer"])
def test_each_language_and_reader_has_a_picture_of_its_own(language, reader):
    told = summary_of(document(), language=language, reader=reader)
    assert told.number.replace("\N{NO-BREAK SPACE}", ",") == ("1,000" if reader == "office" else "667")  # 46,000 / 69
    assert "{" not in words(told)
    assert len(summary_picture(document(), language=language, reader=reader)) < 300_000


def test_no_buyer_is_named():
    assert "Kaffee" not in words(summary_of(document()))


def test_the_day_up_to_which_deliveries_are_known_is_said_as_people_write_it():
    assert "31 Jan 2027" in summary_of(document(known_to="2027-01-31")).foot


@pytest.mark.parametrize("name", NAMES)
def test_hostile_and_long_names_are_shown_as_text_within_the_picture(name):
    picture = np.asarray(opened(summary_picture(document(cooperative=name))))
    assert (picture[:, -30:] == picture[:, -31:-30]).all()  # nothing is written into the margin
    assert "\u202e" not in summary_of(document(cooperative=name)).cooperative


def test_a_number_is_never_cut_however_long():
    huge = document(crop="cocoa", country="CI", form="dry", cases=Cases(1.23e12, 1.1e11, 1e12, 9.87e12))
    told = summary_of(huge)
    assert told.number == "1,230,000,000"  # tonnes
    assert told.unit.startswith("t of")
    assert told.between.replace("\N{NO-BREAK SPACE}", " ").endswith("between 110,000,000 and 9,870,000,000 t")
    picture = np.asarray(opened(summary_picture(huge)))
    assert (picture[:, -30:] == picture[:, -31:-30]).all()


def test_without_months_it_says_so():
    assert summary_of(document(months=None)).months_title == "Months: not known yet"
    assert opened(summary_picture(document(months=None))).size == (WIDTH, HEIGHT)


def test_equal_documents_give_equal_bytes_and_others_do_not():
    assert summary_picture(document()) == summary_picture(replace(document()))
    assert summary_picture(document()) != summary_picture(document(season="2027/28"))


def test_the_picture_can_read_no_field_that_names_members():
    assert not {one.name for one in fields(EstimateDocument)} & {"names", "plots", "plot_ids", "member_ids"}
