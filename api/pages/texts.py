"""Texts of the pages in the reader's language: one catalogue per language, as a JSON file of key → text."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from fastapi import Request

from geomap.outputs.words import Words, words

COOKIE: Final = "geomap_language"
_NONE: Final = "–"
_NEAR_NONE: Final = 0.005


class Texts:
    """One language: texts by key, numbers and times as its readers write them.

    Examples
    --------
    >>> Texts("es")("nav.members"), Texts("es").number(12345.6)
    ('Socios', '12.300')
    """

    def __init__(self, language: str) -> None:
        self.language, self._texts, self._locale = language, catalogue(language), Locale.parse(language)
        self._ones = {str(count) for count in (0, 1) if self._locale.plural_form(count) == "one"}

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key, with `{name}` filled in; `key.one` of it where the `count` is one of a kind.

        Which counts are one of a kind is for the language to say: in French nought is, too.

        Raises
        ------
        KeyError : no catalogue has the key.

        Examples
        --------
        >>> Texts("en")("map.size", count="1"), Texts("es")("map.size", count="0"), Texts("fr")("map.size", count="0")
        ('1 plot', '0 parcelas', '0 parcelle')
        """
        text = self._texts.get(f"{key}.one", "") if str(values.get("count")) in self._ones else ""
        text = text or self._texts[key]
        return text.format(**values) if values else text

    def known(self, prefix: str, name: str) -> str:
        """The text of `prefix.name`; the name itself where nobody gave it one."""
        return self._texts.get(f"{prefix}.{name}", name)

    def stages(self) -> str:
        """Name → text of the stages of a run, as JSON for the script that shows its progress."""
        return json.dumps({key[6:]: text for key, text in self._texts.items() if key.startswith("stage.")})

    def land(self, name: str) -> str:
        """What a class of land cover is called; see `Words.land`."""
        return self.office.land(name)

    @property
    def office(self) -> Words:
        """The catalogue of findings, columns and decisions, shared with sheets and lists."""
        return words(self.language)

    def column(self, name: str) -> str:
        """What an office calls one of our columns."""
        return self.office.words.get(f"t:{name}") or self.known("column", name)

    def number(self, value: float | None) -> str:
        """A number with three digits that count; "–" where it is none."""
        if value is None or not math.isfinite(value):
            return _NONE
        digits = f"{abs(value):.2e}"
        decimals = max(0, 2 - int(digits.partition("e")[2])) if value else 0
        return str(format_decimal(float(f"{value:.3g}"), f"#,##0.{'#' * min(decimals, 3)}", locale=self._locale))

    def count(self, value: int) -> str:
        """A number of things."""
        return str(format_decimal(value, locale=self._locale))

    def percent(self, share: float | None) -> str:
        """A share of 0–1; what is little is not told as none, and nearly all not as all.

        Examples
        --------
        >>> [" ".join(Texts("en").percent(share).split()) for share in (0.0, 0.001, 0.42, 0.998, 1.0)]
        ['0 %', '<1 %', '42 %', '>99 %', '100 %']
        """
        if share is None:
            return _NONE
        near = "<1" if 0 < share < _NEAR_NONE else ">99" if 1 - _NEAR_NONE < share < 1 else str(round(100 * share))
        return f"{near}\N{NO-BREAK SPACE}%"

    def when(self, seconds: float | None) -> str:
        """Day and time (UTC) of seconds since 1970."""
        if seconds is None:
            return _NONE
        moment = datetime.fromtimestamp(seconds, UTC)
        return f"{format_datetime(moment, 'd MMM y, HH:mm', locale=self._locale)}\N{NO-BREAK SPACE}UTC"

    def month(self, text: str) -> str:
        """A month such as "2026-11" in words."""
        year, _, number = text.partition("-")
        moment = datetime(int(year), int(number), 1, tzinfo=UTC)
        return str(format_datetime(moment, "MMM y", locale=self._locale))

    def day(self, text: str) -> str:
        """A day such as "2026-11-01" in words."""
        return str(format_date(date.fromisoformat(text), "d MMM y", locale=self._locale))

    def country(self, code: str) -> str:
        """A country by its ISO 3166 code; the code itself where it is none.

        Examples
        --------
        >>> Texts("fr").country("NI"), Texts("en").country("XQ")
        ('Nicaragua', 'XQ')
        """
        return str(self._locale.territories.get(code, code))


@cache
def languages() -> tuple[str, ...]:
    """The languages that have a catalogue; a file more is a language more."""
    folder = files("api.pages").joinpath("locale")
    return tuple(sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json")))


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Key → text of one language."""
    text = files("api.pages").joinpath("locale", f"{language}.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def language_of(request: Request) -> str:
    """The language of an answer: of `?lang=`, else the cookie, else what the browser asks for, else English."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if chosen in languages():
            return str(chosen)
    for part in request.headers.get("accept-language", "")[:500].split(","):
        wanted = part.partition(";")[0].strip().lower().partition("-")[0]
        if wanted in languages():
            return wanted
    return "en"
