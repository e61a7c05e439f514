"""Weights as offices write them: numbers, units, product forms, in cells and in the names of columns."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from geomap import reference
from geomap.lookup import is_among
from geomap.supply.crop_tables import CropTables, crop_name, kin, reference_tables, spellings

UNKNOWN: Final = "?"
"""A form that is named but not known, or two at once."""

MANY: Final = 20
"""Numbers of a column from which the column itself shows how it is written."""

_ABOUT: Final = frozenset(
    "peso cantidad neto netos neta net weight quantity amount total entregado entregada entregados entregadas "
    "recibido recibida recibidos delivered received delivery entrega entregas poids quantite livre livres recu "
    "quantidade liquido entregue entregues berat bersih jumlah uzito kiasi cafe coffee cocoa cacao kopi kahawa "
    "kakao kokoa estimado estimada estimados estimate estimated estimation estime comprometido "
    "comprometida comprometidos comprometidas estimadas signed firmado committed commitment contract contrato "
    "contrat volume volumen de del en of in du des d da do dari ya la el los".split()
)
"""Words that may stand beside units and forms in the name of a column of weights."""

_NUMBER: Final = re.compile(r"([^\d+\-(.,]*)(\([\d.,\s'’]*\d[.,]?\)|[-+]?\s?[\d.,\s'’]*\d[.,]?)\s*(.*)", re.DOTALL)
_BAG_KG: Final = re.compile(r"(?<![\d.,])(\d{2,3}(?:[.,]\d+)?)\s*(?:kg|kilos?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Amount:
    """One cell: its number, and what else it says. bag_kg: kilograms of a bag, NaN where not said."""

    number: float
    unit: str = ""
    form: str = ""
    bag_kg: float = math.nan
    fault: str = ""


@dataclass(frozen=True)
class Wording:
    """Words for units and for the product forms of one crop."""

    units: dict[str, str]
    forms: dict[tuple[str, ...], str]
    known: frozenset[str]

    def unit(self, text: str) -> str:
        """The first unit that a text names; "" without one.

        Examples
        --------
        >>> wording("coffee").unit("Peso (qq pergamino)"), wording("coffee").unit("Peso")
        ('quintal', '')
        """
        return next((self.units[word] for word in _words(text) if word in self.units), "")

    def form(self, text: str) -> str:
        """The product form that a text names: "" without one, "?" for two at once or one without a known factor.

        Examples
        --------
        >>> said = ["Café uva", "qq oro", "cereza seca", "pergamino húmedo", "uva y oro", "primera"]
        >>> [wording("coffee").form(text) for text in said]
        ['fresh-cherry', 'green', 'dried-cherry', '?', '?', '']
        """
        words, found, place = _words(text), set(), 0
        while place < len(words):
            phrase = next(
                (words[place:end] for end in range(len(words), place, -1) if words[place:end] in self.forms), ()
            )
            if phrase:
                found.add(self.forms[phrase])
            place += max(len(phrase), 1)
        return found.pop() if len(found) == 1 else UNKNOWN if found else ""

    def bag_kg(self, text: str) -> float:
        """Kilograms of a bag, as in "sacos de 60 kg"; NaN where a text does not say."""
        said = _BAG_KG.search(text)
        return (
            float(said[1].replace(",", "."))
            if said and any(self.units.get(w) == "bag" for w in _words(text))
            else math.nan
        )

    def header_unit(self, text: str) -> str:
        """The unit in a column's name; bags of so many kilograms are bags."""
        return "bag" if not math.isnan(self.bag_kg(text)) else self.unit(text)

    def is_weight(self, header: str) -> bool:
        """Whether a column's name is made of nothing but units, forms and words for a weight."""
        words = _words(header)
        return any(word not in _SMALL for word in words) and all(word in self.known for word in words)

    def amount(self, text: str) -> Amount:
        """A cell in its parts, but for the number: that needs the whole column (`amounts`)."""
        if _PLAIN.fullmatch(text):
            return _BARE
        found = _NUMBER.fullmatch(text)
        if not found:
            return Amount(math.nan, fault="it is no number")
        words = f"{found[1]} {found[3]}".strip()
        bag_kg = self.bag_kg(words)
        rest = _BAG_KG.sub(" ", words) if not math.isnan(bag_kg) else words
        strange = [word for word in _words(rest) if word not in self.known]
        if re.search(r"\d", rest):
            return Amount(math.nan, fault="it holds more than one number")
        if strange:
            return Amount(math.nan, fault=f'"{strange[0][:30]}" is no unit or product form that is known')
        return Amount(math.nan, "bag" if not math.isnan(bag_kg) else self.unit(rest), self.form(rest), bag_kg)


_SMALL: Final = frozenset(
    "de del en of in du des d da do dari ya la el los cafe coffee cocoa cacao kopi kahawa kakao kokoa".split()
)


_PLAIN: Final = re.compile(r"-?\d+(?:[.,]\d+)?")
_BARE: Final = Amount(math.nan)


@cache
def wording(crop: str, tables: CropTables | None = None) -> Wording:
    """Words for units and for the forms of a crop, from the reference tables and the names of its forms.

    Raises
    ------
    UnknownNameError : no crop has this name.
    """
    weights, words = reference.table("weights"), reference.table("form_words")
    units = {_fold(name): str(row.unit) for row in weights.itertuples() for name in str(row.names).split()}
    line = kin(crop_name(crop, tables), tables)
    own, forms = words[is_among(words["crop"], line)], (tables or reference_tables()).forms
    phrases = {
        _words(word): str(form) for word, form in spellings(forms[is_among(forms["crop"], line)], "form").items()
    }
    phrases |= {_words(word): str(form) for word, form in zip(own["word"], own["form"].fillna(UNKNOWN), strict=True)}
    return Wording(units, phrases, frozenset().union(_ABOUT, units, *phrases))


@cache
def unit_kg() -> dict[str, float]:
    """Kilograms of each unit of one size.

    Examples
    --------
    >>> unit_kg()["tonne"]
    1000.0
    """
    rows = reference.table("weights").dropna(subset="kg")
    return dict(zip(rows["unit"].astype(str), rows["kg"].astype(float), strict=True))


def amounts(texts: Sequence[str], words: Wording) -> list[Amount]:
    """The cells of a column in their parts; the column tells what a comma or a dot divides.

    A mark with three digits behind it is read as the other numbers of the column show. Where none does, a comma is
    not read; nor is a dot, unless the column has twenty numbers and each has three digits behind a dot, as scales write
    them ("51.250"): of that many deliveries not one below 1,000 kg would be strange.

    Examples
    --------
    >>> [one.number for one in amounts(["1.234,5", "12 qq", "2.000", "(3)"], wording("coffee"))]
    [1234.5, 12.0, 2000.0, -3.0]
    >>> amounts(["1,234"], wording("coffee"))[0].fault
    'its mark may divide decimals or thousands'
    """
    parts = [words.amount(text) for text in texts]
    digits = ["" if part.fault else _digits(text) for part, text in zip(parts, texts, strict=True)]
    decimal = _decimal_mark(digits)
    return [_with_number(part, number, decimal) for part, number in zip(parts, digits, strict=True)]


def _with_number(part: Amount, digits: str, decimal: str) -> Amount:
    if part.fault:
        return part
    thousands = {".": ",", ",": "."}.get(decimal, "")
    marks = set(digits) & {".", ","}
    if marks and decimal == UNKNOWN:
        if _AMBIGUOUS.fullmatch(digits) or len(marks) == 2:
            return Amount(math.nan, fault="its mark may divide decimals or thousands")
        decimal, thousands = ("", digits[-4]) if digits.count(next(iter(marks))) > 1 else (next(iter(marks)), "")
    whole, _, fraction = digits.partition(decimal) if decimal in marks else (digits, "", "")
    grouped = rf"[-+]?(\d*|\d{{1,3}}({re.escape(thousands)}\d{{3}})+)" if thousands else r"[-+]?\d*"
    if not re.fullmatch(grouped, whole) or not re.fullmatch(r"\d*", fraction):
        return Amount(math.nan, fault="it is no number")
    bare = whole.replace(thousands, "") if thousands else whole
    return Amount(float(f"{bare}.{fraction}"), part.unit, part.form, part.bag_kg)


_AMBIGUOUS: Final = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")
_SURE: Final = re.compile(
    r"[-+]?(?:\d*([.,])(?:\d{1,2}|\d{4,})|0\d*([.,])\d+|\d{4,}([.,])\d+|[\d.]*\.[\d.]*(,)\d*|[\d,]*,[\d,]*(\.)\d*)"
)


def _decimal_mark(digits: Sequence[str]) -> str:
    """The mark that divides decimals in a column; "?" where its numbers do not tell, or contradict one another."""
    marked = [text for text in digits if "." in text or "," in text]
    sure = {next(filter(None, found.groups())) for text in marked if (found := _SURE.fullmatch(text))}
    for text in marked:
        if text.count(".") > 1 and "," not in text:
            sure.add(",")
        if text.count(",") > 1 and "." not in text:
            sure.add(".")
    if len(sure) == 1:
        return str(sure.pop())
    every = [text for text in digits if text]
    as_scales = (
        marked == every and len(set(every)) >= MANY and all(re.fullmatch(r"[-+]?\d+\.\d{3}", text) for text in marked)
    )
    if not marked or (not sure and as_scales):
        return "."
    return UNKNOWN


def _digits(text: str) -> str:
    """The number of a cell without spaces, a minus sign for brackets."""
    found = _NUMBER.fullmatch(text)
    if _PLAIN.fullmatch(text) or found is None:
        return text
    text = re.sub(r"(?<=\d)[\s'’](?=\d{3}(?!\d))", "", found[2].strip()).replace(" ", "")
    return "-" + text.strip("()") if text.startswith("(") else text.lstrip("+")


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W\d_]+", _fold(text)))


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))
