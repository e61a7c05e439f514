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

    Examples
    --------
    >>> person = Person("FP-002", "Dilcia Tábora", "+504 9999-0000")
    >>> [person.is_in(text) for text in ["Casa de DILCIA TABORA.", "504-9999 0000", "member 'FP-002'", "Tábora"]]
    [True, True, True, False]
    """

    member_id: str
    name: str = ""
    phone: str = ""
    plots: frozenset[str] = frozenset()

    def is_who(self, text: str) -> bool:
        """Whether a text is the id or the name, and nothing more: who a row is of."""
        return text == self.member_id or bool(self._name) and sorted(_words(text)) == sorted(self._name)

    def is_in(self, text: str) -> bool:
        """Whether a text names the person, or one of the plots, among other words.

        A name of one word counts only where it stands alone: it may be that of a village.
        """
        if self.is_who(text) or text in self.plots:
            return True
        if self._ids.search(text) or (len(self._digits) >= FEWEST_DIGITS and self._digits in _digits(text)):
            return True
        return len(self._name) > 1 and f" {' '.join(self._name)} " in f" {' '.join(_words(text))} "

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
            return {name: self.without(cell) for name, cell in value.items() if not (self.is_in(name) or self._is(cell))}
        if isinstance(value, list):
            return [self.without(cell) for cell in value if not self._is(cell)]
        return value

    def renamed(self, value: Any, other: str) -> Any:
        """The same with another id wherever the member's own stands alone."""
        if isinstance(value, dict):
            return {self._or(name, other): self.renamed(cell, other) for name, cell in value.items()}
        if isinstance(value, list):
            return [self.renamed(cell, other) for cell in value]
        return self._or(value, other)

    def _or(self, value: Any, other: str) -> Any:
        return other if value == self.member_id else value

    def _is(self, cell: Any) -> bool:
        return isinstance(cell, str) and self.is_in(cell)

    @cached_property
    def _name(self) -> list[str]:
        return _words(self.name)

    @cached_property
    def _digits(self) -> str:
        return _digits(self.phone)

    @cached_property
    def _ids(self) -> re.Pattern[str]:
        """Ids within a text: in quotes, or bare where they cannot be mistaken for a number or a word."""
        ids = sorted({self.member_id, *self.plots})
        quoted = [rf"""['"]{re.escape(one)}['"]""" for one in ids]
        bare = [rf"(?<![\w-]){re.escape(one)}(?![\w-])" for one in ids if re.search(r"\d", one) and len(one) > 3]
        return re.compile("|".join([*quoted, *bare]))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(letter for letter in plain if not unicodedata.combining(letter)))


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
