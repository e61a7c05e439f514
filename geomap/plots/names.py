"""Names of people: the same name however it is written, names that are only similar, names that only look alike."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Final

import pandas as pd

from geomap.findings import join_findings, make_findings

PARTICLES: Final = frozenset("de del la las los el y e da das do dos di du des le van von bin binti".split())
SIMILAR: Final = 0.75
_LOOKALIKES: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁһԛԝАΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαν",
    "ABESIJKMHOPCTYXaesijopcyxdhqwAABEZHIKMNOPTYXoav",
)
"""Cyrillic and Greek letters that look like Latin ones."""
_ALPHABETS: Final = ("LATIN", "CYRILLIC", "GREEK")


def name_words(name: str) -> tuple[str, ...]:
    """The words of a name in alphabetical order, without case, accents, signs and particles such as "de la".

    Examples
    --------
    >>> name_words("María de la Cruz LÓPEZ"), name_words("Lopez, Maria Cruz")
    (('cruz', 'lopez', 'maria'), ('cruz', 'lopez', 'maria'))
    """
    plain = unicodedata.normalize("NFKD", _visible(name).casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter) and letter not in "'’`´")
    words = re.findall(r"\w+", plain)
    kept = [word for word in words if word not in PARTICLES]
    return tuple(sorted(kept or words))


def without_second_surname(shorter: Sequence[str], longer: Sequence[str]) -> bool:
    """Whether two names (words) can be one person's, of whom one name lacks a surname or a second first name.

    Examples
    --------
    >>> without_second_surname(name_words("María López"), name_words("María López García"))
    True
    """
    return len(shorter) >= 2 and set(shorter) < set(longer)


def similarity(name: str, other: str) -> float:
    """How similar two names are, from 0 to 1: 1 for the same words in any order.

    The mean of what their letters share in order (words sorted) and the share of words that both hold.

    Examples
    --------
    >>> similarity("Jose Peres", "José Pérez") > similarity("Jose Peres", "Ana Díaz")
    True
    """
    first, second = name_words(name), name_words(other)
    if not first or not second:
        return 0.0
    letters = SequenceMatcher(None, " ".join(first), " ".join(second), autojunk=False).ratio()
    words = 2 * len(set(first) & set(second)) / (len(set(first)) + len(set(second)))
    return round(max(letters, (letters + words) / 2), 4)


def check_lookalikes(texts: Iterable[str], *, what: str, name: str) -> pd.DataFrame:
    """Findings for texts that look like another one, or hold letters of two alphabets or invisible characters.

    Parameters
    ----------
    texts : ids or names, as they stand in the file or already cleaned.
    what : what they are, for the message: "member id".
    name : of the file.

    Examples
    --------
    >>> check_lookalikes(["Maria", "M\u0430ria", "Jose"], what="name", name="members.csv")["code"].tolist()
    ['lookalike_name']
    """
    found = texts.to_numpy(dtype=object).tolist() if isinstance(texts, pd.Series) else list(texts)
    if "".join(found).isascii():  # the usual case
        return join_findings([])
    different = sorted(set(found))
    suspects = [text for text in different if not text.isascii()]
    looks: dict[str, list[str]] = {}
    for text in different:
        looks.setdefault(_look(text), []).append(text)
    parts = []
    for text in suspects:
        twins = [other for other in looks[_look(text)] if other != text]
        why = _oddity(text)
        if not why and not (twins and all(map(str.isascii, twins))) and not (twins and twins[0] > text):
            continue
        like = f" It looks like {twins[0]!r}, which is written otherwise." if twins else ""
        message = (
            f"{name}: the {what} {text!r} {why or 'is written in another way than it looks'} "
            f"({_codes(text)}).{like} A computer takes such texts for different ones. Type it again."
        )
        parts.append(make_findings("lookalike_name", [""], message))
    return join_findings(parts)


def _look(text: str) -> str:
    """What a text looks like: compatible letters made one, invisible ones left out, look-alikes taken for Latin."""
    plain = unicodedata.normalize("NFKC", _visible(text)).translate(_LOOKALIKES)
    return " ".join(unicodedata.normalize("NFC", plain).split())


def _visible(text: str) -> str:
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cf")


def _oddity(text: str) -> str:
    """What is odd in a text, in words; "" where nothing is."""
    alphabets = {
        alphabet
        for letter in text
        if letter.isalpha()
        for alphabet in _ALPHABETS
        if unicodedata.name(letter, "").startswith(alphabet)
    }
    others = any(letter.isalpha() and not unicodedata.name(letter, "").startswith(_ALPHABETS) for letter in text)
    if len(alphabets) > 1:
        return f"mixes {' and '.join(sorted(alphabet.capitalize() for alphabet in alphabets))} letters"
    # joiners are part of the spelling in other scripts
    if not others and any(unicodedata.category(letter) == "Cf" for letter in text):
        return "holds characters that cannot be seen"
    return ""


def _codes(text: str) -> str:
    odd = [letter for letter in text if not letter.isascii()]
    return ", ".join(f"U+{ord(letter):04X}" for letter in dict.fromkeys(odd[:6]))
