"""Plots and their members brought together by id or by name; what is only similar waits for a person's word."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geomap.errors import ColumnError, OutputError
from geomap.plots.columns import could_be, match_columns
from geomap.plots.content import Content, text_column
from geomap.plots.names import SIMILAR, name_words, similarity, without_second_surname

REPORT_COLUMNS: Final = ("plot_id", "cooperative_id", "their_name", "result", "member_id", "member_name", "score")
MATCH_COLUMNS: Final = ("cooperative_id", "their_name", "member_id", "member_name", "score", "confirmed")
MOST_OFFERS: Final = 3
MOST_COMPARED: Final = 40
LEAST_ALIKE: Final = 0.2
YES: Final = frozenset("yes y si sí s oui o sim ya ndiyo ndio x 1 true ok".split())
NO: Final = frozenset("no n non não nao tidak hapana 0 false".split())

_GUARD: Final = r"^'(?=[=+\-@\t\r])"
"""What keeps a spreadsheet program from taking a text for a formula."""

_Key: TypeAlias = tuple[str, str]


def match_members(
    plots: gpd.GeoDataFrame, members: pd.DataFrame, confirmed: pd.DataFrame | None = None
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Plots with the ids of their members, and a report of how each was found and of what was not.

    In this order: the id itself; a match that a person confirmed; the same name within the cooperative (accents, case,
    order of words and particles do not count); the same name but for a surname, where only one member can be meant.
    What is only similar is offered in the report, and taken when a person says so.

    Parameters
    ----------
    plots : index plot_id; member_id (an id or a name), cooperative_id, and perhaps a column of names.
    members : index member_id; name, cooperative_id.
    confirmed : as `read_matches` returns it.

    Returns
    -------
    GeoDataFrame : the plots, member_id replaced where it was found.
    DataFrame : columns `REPORT_COLUMNS`. `result` is "id", "confirmed", "name", "name but for a surname", "similar" (an
        offer, up to three for a plot) or "none". Plots in their order, offers by score.

    Examples
    --------
    >>> members = pd.DataFrame({"name": ["José Pérez"], "cooperative_id": ["C"]}, index=["M1"])
    >>> plots = gpd.GeoDataFrame({"member_id": ["PEREZ JOSE", "Jose Peres"], "cooperative_id": "C"}, index=["A", "B"])
    >>> matched, report = match_members(plots, members)
    >>> matched["member_id"].tolist(), report["result"].tolist(), report["member_id"].tolist()
    (['M1', 'Jose Peres'], ['name', 'similar'], ['M1', 'M1'])
    """
    names = _their_names(plots)
    coops = plots["cooperative_id"].fillna("").astype("str")
    finder = _Finder(members, confirmed, sorted({*zip(coops, names, strict=True)}))
    known = members.index
    found: dict[_Key, list[tuple[str, str, float]]] = {}
    ids, rows = [], []
    for plot, given, coop, name in zip(plots.index, plots["member_id"], coops, names, strict=True):
        if given in known:
            answers = [("id", given, 1.0)]
        else:
            key = (coop, name)
            answers = found.setdefault(key, finder.find(*key)) if name else [("none", "", 0.0)]
        taken = answers[0][0] not in {"similar", "none"}
        ids.append(answers[0][1] if taken else given)
        rows += [(plot, coop, name, result, member, finder.name(member), score) for result, member, score in answers]
    report = pd.DataFrame(rows, columns=list(REPORT_COLUMNS))
    return plots.assign(member_id=pd.Series(ids, index=plots.index, dtype="str")), report


def read_matches(path: str | Path) -> pd.DataFrame:
    """Matches that a person decided on: columns `MATCH_COLUMNS`, `confirmed` True, False, or missing where undecided.

    Raises
    ------
    FileError : as `read_plots`. ColumnError : a column is missing.
    """
    from geomap.plots.intake import take_in_table

    content = Content(take_in_table(Path(path), MATCH_COLUMNS)[0], Path(path).name)
    missing = [column for column in ("their_name", "member_id", "confirmed") if column not in content.frame.columns]
    if missing:
        raise ColumnError(
            f"{content.name} has no column {' and '.join(missing)}.",
            why="Matches are read as they were written, with the decision in the column 'confirmed'.",
            todo="Take the file name_matches.csv of the last run, and write yes or no in its column 'confirmed'.",
        )
    columns = {
        column: text_column(content.frame, column if column in content.frame.columns else None)
        for column in MATCH_COLUMNS
    }
    said = [True if text.lower() in YES else False if text.lower() in NO else None for text in columns["confirmed"]]
    for column in ("cooperative_id", "their_name", "member_id", "member_name"):
        columns[column] = columns[column].str.replace(_GUARD, "", regex=True)
    table = pd.DataFrame(columns).assign(confirmed=pd.Series(said, index=content.frame.index, dtype=object))
    table["score"] = pd.to_numeric(table["score"], errors="coerce")
    return table.reset_index(drop=True)


def next_matches(report: pd.DataFrame, confirmed: pd.DataFrame | None = None) -> pd.DataFrame:
    """What to write to `name_matches.csv`: every decision so far, then the new offers with nothing decided."""
    offers = report[report["result"] == "similar"].drop(columns=["plot_id", "result"])
    offers = offers.assign(confirmed=pd.Series(None, index=offers.index, dtype=object))
    kept = [offers] if confirmed is None else [confirmed[confirmed["confirmed"].notna()], offers]
    filled = [part[list(MATCH_COLUMNS)] for part in kept if len(part)]
    table = pd.concat(filled) if filled else offers[list(MATCH_COLUMNS)]
    return table.drop_duplicates(["cooperative_id", "their_name", "member_id"]).reset_index(drop=True)


def write_matches(matches: pd.DataFrame, path: str | Path) -> None:
    """Write `next_matches` as CSV for a spreadsheet program; a person writes yes or no under "confirmed".

    Raises
    ------
    OutputError : the file cannot be written.
    """
    words = {True: "yes", False: "no"}
    table = matches.assign(confirmed=[words.get(said, "") if said in words else "" for said in matches["confirmed"]])
    for column in ("cooperative_id", "their_name", "member_id", "member_name"):
        table[column] = [f"'{text}" if str(text)[:1] in set("=+-@\t\r") else text for text in table[column]]
    try:
        table.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    except OSError as error:
        raise OutputError(
            f"{Path(path).name} could not be written.", why=str(error.strerror), todo="Close it in other programs."
        ) from error


class _Finder:
    """Finds the member that a name in a cooperative means."""

    def __init__(self, members: pd.DataFrame, confirmed: pd.DataFrame | None, asked: list[_Key]) -> None:
        self._names = dict(zip(members.index, members["name"].fillna("").astype("str"), strict=True))
        coops = members["cooperative_id"].fillna("").astype("str")
        self._coops = dict(zip(members.index, coops, strict=True))
        self._by_words: dict[tuple[str, ...], list[str]] = {}
        self._by_word: dict[str, list[str]] = {}
        for member, name in self._names.items():
            words = name_words(name)
            self._by_words.setdefault(words, []).append(member)
            for word in words:
                self._by_word.setdefault(word, []).append(member)
        self._members = list(self._names)
        self._triples, self._sizes = _index_of_triples(map(name_words, self._names.values()))
        self._decided = _decisions(confirmed)
        self._asked: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for coop, name in asked:
            self._asked.setdefault(coop, []).append((name, name_words(name)))

    def name(self, member: str) -> str:
        return str(self._names.get(member, ""))

    def find(self, coop: str, name: str) -> list[tuple[str, str, float]]:
        """(result, member_id, score): one that is taken, or offers, or none."""
        decided = self._decided.get((coop, name)) or self._decided.get(("", name)) or {}
        sure = [member for member, said in decided.items() if said and member in self._names]
        if len(sure) == 1:
            return [("confirmed", sure[0], 1.0)]
        refused = {member for member, said in decided.items() if not said}
        may: Callable[[str], bool] = lambda member: member not in refused and self._meets(coop, member)  # noqa: E731
        words = name_words(name)
        same = [member for member in self._by_words.get(words, []) if may(member)] if words else []
        if len(same) == 1:
            return [("name", same[0], 1.0)]
        if not same and (short := self._but_for_a_surname(coop, words, may)):
            return [("name but for a surname", short, similarity(name, self._names[short]))]
        near = [member for member in self._nearest(words) if may(member)]
        scored = [(similarity(name, self._names[member]), member) for member in near]
        offers = sorted(
            ((score, member) for score, member in scored if score >= SIMILAR), key=lambda one: (-one[0], one[1])
        )
        return [("similar", member, score) for score, member in offers[:MOST_OFFERS]] or [("none", "", 0.0)]

    def _nearest(self, words: tuple[str, ...]) -> list[str]:
        """The members whose names share most triples of letters with these words (Dice coefficient)."""
        triples = _triples(words)
        places = [self._triples[triple] for triple in triples if triple in self._triples]
        if not places:
            return []
        shared = np.bincount(np.concatenate(places), minlength=len(self._members))
        alike = 2 * shared / (self._sizes + len(triples))
        order = np.argsort(-alike, kind="stable")[:MOST_COMPARED]
        return [self._members[place] for place in order if alike[place] > LEAST_ALIKE]

    def _meets(self, coop: str, member: str) -> bool:
        theirs = self._coops[member]
        return not coop or not theirs or coop == theirs

    def _but_for_a_surname(self, coop: str, words: tuple[str, ...], may: Callable[[str], bool]) -> str:
        """The one member whose name has all these words and more, or fewer of them, with no other name to mean it."""
        several = {member for word in words for member in self._by_word.get(word, []) if may(member)}
        fitting = [member for member in several if _one_lacks(words, name_words(self._names[member]))]
        if len(fitting) != 1:
            return ""
        theirs = name_words(self._names[fitting[0]])
        rivals = [other for _, other in self._asked.get(coop, []) if other != words and _one_lacks(other, theirs)]
        same = any(other == theirs for _, other in self._asked.get(coop, []))
        return "" if rivals or same else fitting[0]


def _one_lacks(words: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return without_second_surname(words, others) or without_second_surname(others, words)


def _triples(words: Iterable[str]) -> set[str]:
    """Runs of three letters of words with a mark at each end."""
    return {f"^{word}$"[at : at + 3] for word in words for at in range(len(word))}


def _index_of_triples(names: Iterable[tuple[str, ...]]) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Triple → places of the names that hold it, and how many each name has."""
    found: dict[str, list[int]] = {}
    sizes = []
    for place, words in enumerate(names):
        triples = _triples(words)
        sizes.append(len(triples))
        for triple in triples:
            found.setdefault(triple, []).append(place)
    return {triple: np.array(places, dtype=np.int64) for triple, places in found.items()}, np.array(
        sizes, dtype=np.int64
    )


def _decisions(confirmed: pd.DataFrame | None) -> dict[_Key, dict[str, bool]]:
    decided: dict[_Key, dict[str, bool]] = {}
    if confirmed is None:
        return decided
    for row in confirmed.to_dict("records"):
        said: Any = row["confirmed"]
        if isinstance(said, bool):
            decided.setdefault((str(row["cooperative_id"]), str(row["their_name"])), {})[str(row["member_id"])] = said
    return decided


def _their_names(plots: gpd.GeoDataFrame) -> list[str]:
    """The name of each plot's owner: of a column of names, else what stands as member_id."""
    columns = [str(column) for column in plots.columns]
    named = [column for column in columns if column not in {"member_id", "geometry"} and could_be(column, ("name",))]
    found = match_columns(named, ("name",), file="the plots") if len(named) == 1 else {}
    given: list[str] = plots["member_id"].fillna("").astype("str").tolist()
    if "name" not in found:
        return given
    return [name or member for name, member in zip(plots[found["name"]].fillna("").astype("str"), given, strict=True)]
