"""Numbers and sentences of a harvest estimate, written in one language and in one reader's units."""

import gettext
from functools import cache
from typing import Any, Final, NamedTuple

from geomap.outputs.harvest_estimate import EstimateDocument
from geomap.outputs.report import significant
from geomap.outputs.text import plain
from geomap.outputs.units import container_bags, reader_unit
from geomap.outputs.words import words
from geomap.supply import crops

GAP: Final = "\N{NO-BREAK SPACE}"


class CountedIn(NamedTuple):
    """A unit to count in: kilograms of the run's form in one, its name, its form, and how many a container holds."""

    kg: float
    name: str
    form: str
    container_bags: int = 0


class Pen:
    """Writes what one document says in one language."""

    def __init__(self, document: EstimateDocument, language: str, reader: str) -> None:
        self.document, self.reader, self.texts = document, reader, words(language)
        self.unit = self._unit(document.form)

    def say(self, key: str, **values: Any) -> str:
        return self.texts[f"est:{key}"].format(**values)

    def number(self, value: float) -> str:
        return localized(significant(value), self.texts.language)

    def percent(self, share: float) -> str:
        shown = "<1" if 0 < share < 0.01 else ">99" if 0.99 < share < 1 else f"{share * 100:.0f}"
        return f"{shown}{'' if self.texts.language == 'en' else GAP}%"

    def kg(self, kg: float) -> str:
        return f"{self.number(kg)}{GAP}kg"

    def form(self, form: str) -> str:
        known = f"est:form:{form}" in self.texts.words
        return self.say(f"form:{form}") if known else plain(crops.form_title(self.document.crop, form), limit=40)

    def amount(self, kg: float, form: str | None = None) -> str:
        """Kilograms of a form in the reader's unit with the form named, and kilograms beside."""
        form = form or self.document.form
        unit = self.unit if form == self.document.form else self._unit(form)
        if unit is None:
            return self.say("kg_of", kg=self.kg(kg), form=self.form(form))
        counted = self.say("of", units=f"{self.number(kg / unit.kg)} {unit.name}", form=self.form(unit.form))
        beside = self.kg(kg) if unit.form == form else self.say("kg_of", kg=self.kg(kg), form=self.form(form))
        return f"{counted} ({beside})"

    def short(self, kg: float) -> str:
        """The same without the unit's name, for tables and ranges that name it elsewhere."""
        return self.kg(kg) if self.unit is None else f"{self.number(kg / self.unit.kg)} ({self.kg(kg)})"

    def containers(self, kg: float) -> str:
        """Containers for a buyer who counts in bags."""
        if self.unit is None or not self.unit.container_bags:
            return ""
        return f"{self.number(kg / self.unit.kg / self.unit.container_bags)} {self.container}"

    @property
    def container(self) -> str:
        """How many bags a container holds, in words."""
        return "" if self.unit is None else self.say("container", bags=str(self.unit.container_bags))

    def month(self, month: str) -> str:
        return f"{self.say('month_names').split()[int(month[5:7]) - 1]} {month[:4]}"

    def _unit(self, form: str) -> CountedIn | None:
        """The reader's unit for kilograms of `form`, with its name."""
        document = self.document
        unit = reader_unit(document.crop, document.country, form, told=document.settings, reader=self.reader)
        if unit is None:
            return None
        name = self.say(unit.kind, size=localized(f"{unit.size_kg:g}", self.texts.language))
        in_bags = self.reader == "buyer" and document.crop.startswith("coffee")
        return CountedIn(unit.kg, name, unit.form, container_bags(unit.size_kg) if in_bags else 0)


def localized(number: str, language: str) -> str:
    """An English number with the signs of the language: a gap between thousands, a comma where it is the custom.

    Examples
    --------
    >>> [localized("41,200.5", name).replace(GAP, "_") for name in ("en", "es", "fr")]
    ['41,200.5', '41_200.5', '41_200,5']
    """
    if language == "en":
        return number
    grouped = number.replace(",", GAP)
    return grouped if language == "es" else grouped.replace(".", ",")


@cache
def country_words(code: str, language: str) -> str:
    """Name of a country in the language, from the catalogues of ISO 3166 that pycountry carries.

    Examples
    --------
    >>> country_words("DO", "es"), country_words("CI", "en")
    ('República Dominicana', "Côte d'Ivoire")
    """
    import pycountry

    name = crops.country_name(code)
    if language == "en":
        return name
    catalogue = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
    found = pycountry.countries.get(alpha_2=code)
    return catalogue.gettext(found.name) if found else name
