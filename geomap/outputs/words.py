"""Texts in the office's language: titles and remedies of findings, headers and decisions, from small catalogues."""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from geomap.errors import UnknownNameError
from geomap.findings import CODES

LANGUAGES: Final = ("en", "es", "fr", "pt")
_WORD: Final = "word:"
_LOST_NAME: Final = "Tree cover lost in {year}"
_LOST: Final = re.compile(r"Tree cover lost in (\d{4})")


@dataclass(frozen=True)
class Words:
    """One catalogue: language, titles and remedies by code of the finding, words by their key."""

    language: str
    titles: Mapping[str, str]
    remedies: Mapping[str, str]
    words: Mapping[str, str]

    def __getitem__(self, key: str) -> str:
        return self.words[key]

    def title(self, code: str) -> str:
        """What a code means; the English title where the catalogue does not have it."""
        return self.titles.get(code) or CODES[code][1]

    def land(self, name: str) -> str:
        """What a class of land cover is called; a class of the user's own product keeps its name.

        Examples
        --------
        >>> words("es").land("Trees"), words("fr").land("Tree cover lost in 2021"), words("pt").land("Sítio novo")
        ('Árboles', 'Arbres perdus en 2021', 'Sítio novo')
        """
        if (lost := _LOST.fullmatch(name)) is not None:
            return self.words[f"class:{_LOST_NAME}"].format(year=lost[1])
        return self.words.get(f"class:{name}", name)


@cache
def words(language: str) -> Words:
    """The catalogue of a language: en, es, fr or pt.

    Raises
    ------
    UnknownNameError : there is no catalogue of this language.

    Examples
    --------
    >>> words("es").title("sliver"), words("pt")["member"]
    ('El contorno es una franja muy delgada', 'Sócio')
    """
    if language not in LANGUAGES:
        raise UnknownNameError(
            f"There are no texts in the language '{language}'.",
            why="Lists for the office are written in its language.",
            todo=f"Use one of: {', '.join(LANGUAGES)}.",
        )
    text = files("geomap").joinpath("locale", f"{language}.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    codes = [row for row in rows if not row["code"].startswith(_WORD)]
    return Words(
        language,
        {row["code"]: row["title"] for row in codes},
        {row["code"]: row["todo"] for row in codes},
        {row["code"].removeprefix(_WORD): row["title"] for row in rows if row["code"].startswith(_WORD)},
    )


@cache
def decision_keys() -> dict[str, str]:
    """The decision that each text of a drop-down means, in every language, and the decision's own name.

    Examples
    --------
    >>> decision_keys()["misma parcela"], decision_keys()["same_plot"]
    ('same_plot', 'same_plot')
    """
    keys: dict[str, str] = {}
    for language in LANGUAGES:
        for key, text in words(language).words.items():
            if key.startswith("d:"):
                keys |= {text.casefold(): key[2:], key[2:]: key[2:]}
    return keys
