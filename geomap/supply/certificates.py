"""Which certificates a member's coffee carries: disjoint sets, so that no kilogram is counted twice."""

import re
import unicodedata
from functools import cache
from typing import Final

import pandas as pd

from geomap import reference
from geomap.errors import ColumnError
from geomap.plots.dates import season_days

JOIN: Final = "+"
_SEPARATORS: Final = re.compile(r"[;,/+&|\n]|\s(?:y|e|et|and|und|dan|na|con|avec|com)\s")


_NOT: Final = frozenset("no not non nao sin sans sem tanpa bila".split())


def certificates(text: str) -> frozenset[str]:
    """Certificates that a text names; an unknown name is a certificate of its own.

    Examples
    --------
    >>> sorted(certificates("Orgánico; Comercio Justo")), sorted(certificates("FT/ORG")), sorted(certificates("none"))
    (['fairtrade', 'organic'], ['fairtrade', 'organic'], [])
    >>> sorted(certificates("organic RFA 4C")), sorted(certificates("Sello Manos"))
    (['4c', 'organic', 'rainforest alliance'], ['sello manos'])
    >>> sorted(certificates("No orgánico")), sorted(certificates("non-organic"))
    (['no organico'], ['non-organic'])
    """
    known, folded = _known(), _folded(text)
    if folded in known or not folded:
        return known.get(folded, frozenset())
    pieces = (piece for piece in map(_folded, _SEPARATORS.split(f" {_plain(text)} ")) if piece)
    return frozenset().union(*(_phrases(piece) for piece in pieces))


def set_name(found: frozenset[str]) -> str:
    """Name of a set of certificates.

    Examples
    --------
    >>> set_name(frozenset({"organic", "fairtrade"})), set_name(frozenset())
    ('fairtrade+organic', '')
    """
    return JOIN.join(sorted(found))


def set_of(name: str) -> frozenset[str]:
    """The set of certificates of this name."""
    return frozenset(filter(None, name.split(JOIN)))


def certificate_sets(members: pd.DataFrame, season: str, *, on: str | None = None) -> "pd.Series[str]":
    """Set of certificates of each member, such as "fairtrade+organic"; "" where there is none.

    A certificate counts when it is valid on at least one day of the season, or on the day that is given: one that ends
    within the season is taken to be renewed. A date that is missing is open.

    Parameters
    ----------
    members : index member_id; where known, certification (text), certified_from and certified_until (ISO dates).
    season : "2026/27".
    on : ISO date at which the certificate has to be valid.

    Examples
    --------
    >>> members = pd.DataFrame({"certification": ["FT/ORG", "organic", ""], "certified_until": ["", "2025-01-31", ""]},
    ...                        index=["A", "B", "C"])
    >>> certificate_sets(members, "2026/27").to_dict()
    {'A': 'fairtrade+organic', 'B': '', 'C': ''}
    """
    if "certification" not in members:
        return pd.Series("", index=members.index, name="certificates", dtype="str")
    texts = members["certification"].fillna("").astype("str").to_numpy(dtype=object).tolist()
    names = {text: set_name(certificates(text)) for text in set(texts)}
    found = pd.Series([names[text] for text in texts], index=members.index, name="certificates", dtype="str")
    first, last = season_days(season) if on is None else (on, on)
    valid = pd.Series(True, index=members.index)
    if "certified_from" in members:
        valid &= members["certified_from"].fillna("").astype("str") <= last
    if "certified_until" in members:
        until = members["certified_until"].fillna("").astype("str")
        valid &= (until == "") | (until >= first)
    return found.where(valid, "")


def certificate_shares(members: pd.DataFrame, sets: "pd.Series[str]") -> pd.DataFrame:
    """Share of each cooperative's kilograms by set of certificates; the shares of a cooperative add up to 1.

    Parameters
    ----------
    members : index member_id; cooperative_id, supply_kg.
    sets : of `certificate_sets`; a member that is not in it has none.

    Returns
    -------
    DataFrame : cooperative_id, certificates, share, in order; no rows for a cooperative without kilograms.

    Raises
    ------
    ColumnError : a member stands twice in `sets`.

    Examples
    --------
    >>> members = pd.DataFrame({"cooperative_id": "C", "supply_kg": [300.0, 100.0]}, index=["A", "B"])
    >>> certificate_shares(members, pd.Series({"A": "organic"})).to_numpy().tolist()
    [['C', '', 0.25], ['C', 'organic', 0.75]]
    """
    if sets.index.has_duplicates:
        raise ColumnError(
            "A member stands twice in the table of certificates.",
            why="Each kilogram belongs to one set of certificates.",
            todo="Pass one row per member.",
        )
    own = sets.reindex(members.index).fillna("").astype("str")
    table = pd.DataFrame({"cooperative_id": members["cooperative_id"], "certificates": own, "kg": members["supply_kg"]})
    table = table[table["kg"] > 0].sort_values(["cooperative_id", "certificates", "kg"], kind="stable")
    summed = table.groupby(["cooperative_id", "certificates"], as_index=False)["kg"].sum()
    summed["share"] = summed["kg"] / summed.groupby("cooperative_id")["kg"].transform("sum")
    return summed[["cooperative_id", "certificates", "share"]]


def _plain(text: str) -> str:
    """Lower case without accents, dots and trade-mark signs."""
    letters = unicodedata.normalize("NFKD", re.sub("[®™©]", "", text).casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).replace(".", "")


def _folded(text: str) -> str:
    return " ".join(_plain(text).split())


@cache
def _known() -> dict[str, frozenset[str]]:
    rows = reference.table("certificates").fillna({"certificate": ""})
    return {_folded(row.text): frozenset(filter(None, [row.certificate])) for row in rows.itertuples()}


def _phrases(piece: str) -> frozenset[str]:
    """Certificates of a piece of text: known phrases side by side, or one unknown name."""
    known = _known()
    if piece in known:
        return known[piece]
    words, found = re.split(r"[\s_-]+", piece.strip(" _-")), []
    if _NOT & set(words):  # "no orgánico" is no certificate that a contract asks for
        return frozenset({piece})
    while words:
        length = next((n for n in range(len(words), 0, -1) if " ".join(words[:n]) in known), 0)
        if not length:
            return frozenset({piece})
        found.append(known[" ".join(words[:length])])
        words = words[length:]
    return frozenset().union(*found)
