"""Whether a text is about a person who asked to be forgotten."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

FEWEST_DIGITS: Final = 7
"""A phone of fewer digits may stand in a text by chance."""


@dataclass(frozen=True)
class Person:
    """A member by id, name and phone, and the plots that go with them.

    Ids, and names of one word, can stand in a text by chance ("7", "Ana"): they count where a column says whose a row
    is, and not among other words, unless an id is in quotes or is made of letters and digits.

    Examples
    --------
    >>> person = Person("FP-002", "Dilcia Tábora", "+504 9999-0000")
    >>> [person.is_in(text) for text in ["Casa de DILCIA TABORA.", "504 9999 0000", "member 'FP-002'", "Tábora"]]
    [True, True, True, False]
    """

    member_id: str
    name: str = ""
    phone: str = ""
    plots: frozenset[str] = frozenset()

    def is_who(self, text: Any) -> bool:
        """Whether the id or name of a column is this person's."""
        if not isinstance(text, str):
            return False
        return text == self.member_id or (bool(self._name) and sorted(_words(text)) == sorted(self._name))

    def is_in(self, text: str) -> bool:
        """Whether a text names the person, or one of the plots."""
        if self._ids.search(text) or (self._number is not None and self._number.search(text)):
            return True
        words = _words(text)
        is_all = sorted(words) == sorted(self._name)
        return len(self._name) > 1 and (is_all or f" {' '.join(self._name)} " in f" {' '.join(words)} ")

    def is_within(self, value: Any) -> bool:
        """Whether any text in what JSON holds names the person."""
        if isinstance(value, dict):
            return any(self.is_in(name) or self.is_within(cell) for name, cell in value.items())
        if isinstance(value, list):
            return any(self.is_within(cell) for cell in value)
        return isinstance(value, str) and self.is_in(value)

    def without(self, value: Any) -> Any:
        """The same without the texts that name the person, and without the entries under them."""
        if isinstance(value, dict):
            return {
                name: self.without(cell) for name, cell in value.items() if not (self.is_in(name) or self._is(cell))
            }
        if isinstance(value, list):
            return [self.without(cell) for cell in value if not self._is(cell)]
        return value

    def renamed(self, value: Any, other: str) -> Any:
        """The same with another id wherever `member_id` is the member's own."""
        if isinstance(value, dict):
            return {
                name: other if name == "member_id" and cell == self.member_id else self.renamed(cell, other)
                for name, cell in value.items()
            }
        return [self.renamed(cell, other) for cell in value] if isinstance(value, list) else value

    def _is(self, cell: Any) -> bool:
        return isinstance(cell, str) and self.is_in(cell)

    @cached_property
    def _name(self) -> list[str]:
        return _words(self.name)

    @cached_property
    def _number(self) -> re.Pattern[str] | None:
        """The phone, however its digits are grouped."""
        digits = re.sub(r"\D", "", self.phone)
        return re.compile(r"[\s()./+-]{0,3}".join(digits)) if len(digits) >= FEWEST_DIGITS else None

    @cached_property
    def _ids(self) -> re.Pattern[str]:
        """Ids within a text: in quotes, or bare where they cannot be mistaken for a number or a word."""
        ids = sorted({self.member_id, *self.plots})
        quoted = [rf"""['"]{re.escape(one)}['"]""" for one in ids]
        bare = [rf"(?<![\w-]){re.escape(one)}(?![\w-])" for one in ids if _is_plainly_an_id(one)]
        return re.compile("|".join([*quoted, *bare]))


def _is_plainly_an_id(text: str) -> bool:
    return len(text) > 3 and bool(re.search(r"\d", text)) and bool(re.search(r"[^\W\d_]", text))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(letter for letter in plain if not unicodedata.combining(letter)))
