"""Which column of a file is which of ours: by its name, by a table of synonyms, or as the user says."""

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache

from geomap import reference
from geomap.errors import ColumnError

PLOT_NAMES = (
    "plot_id",
    "member_id",
    "cooperative_id",
    "community",
    "crop",
    "declared_area_ha",
    "gps_accuracy_m",
    "planted_share",
    "planted_year",
    "hives",
    "latitude",
    "longitude",
    "outline",
)
MEMBER_NAMES = ("member_id", "cooperative_id", "name", "community", "declared_area_ha")
ATTRIBUTE_NAMES = (
    "certification",
    "certified_from",
    "certified_until",
    "altitude_m",
    "variety",
    "tenure",
    "joined",
    "left",
    "suspended",
)
ZONE_NAMES = ("utm_zone",)
SHARE_NAMES = ("plot_id", "member_id", "share", "season_from", "season_to")
DELIVERY_NAMES = ("member_id", "cooperative_id", "season", "date", "kg", "form", "unit", "receipt")
ESTIMATE_NAMES = ("member_id", "cooperative_id", "plot_id", "season", "date", "kg", "form", "unit", "estimator")
CONTRACT_NAMES = ("buyer", "cooperative_id", "month", "kg", "form", "unit", "certification")


def match_columns(
    columns: Sequence[str],
    names: Sequence[str],
    *,
    mapping: Mapping[str, str] | None = None,
    file: str,
    labels: Mapping[str, str] | None = None,
    hints: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Our name → their column, for each of `names` that the file has.

    A column that the mapping names comes first, then one of exactly our name, then the one synonym. A name that says
    little ("id", "code", "fid", "y") is used only where none of these is there. Case, accents, spaces and signs do
    not count. `labels` (column → shorter name) and `hints` (our name → column) come from the format; a hint counts
    after an exact name.

    Raises
    ------
    ColumnError : the mapping names a column or a name that is not there, or two columns match the same name.

    Examples
    --------
    >>> match_columns(["Código Parcela", "Área (ha)", "id"], PLOT_NAMES, file="plots.csv")
    {'plot_id': 'Código Parcela', 'declared_area_ha': 'Área (ha)'}
    """
    found = _mapped(columns, names, mapping or {}, file)
    keys = {column: name_key((labels or {}).get(column, column)) for column in columns}
    for name in names:
        exact = [column for column in columns if keys[column] == name_key(name) and column not in found.values()]
        if name not in found and exact:
            found[name] = name if name in exact else _only(exact, name, file)
    found = {name: column for name, column in (hints or {}).items() if name in names} | found
    for name in names:
        same = [column for column in columns if keys[column] in _synonyms(name) and column not in found.values()]
        if name not in found and same:
            found[name] = _only(same, name, file)
    for name in names:
        vague = _vague(name, own=name == names[0])
        free = [column for column in columns if column not in found.values()]
        ranked = sorted((column for column in free if keys[column] in vague), key=lambda c: vague.index(keys[c]))
        if name not in found and ranked:
            found[name] = ranked[0]
    _add_attributes(found, keys)
    return {name: found[name] for name in (*names, *ATTRIBUTE_NAMES) if name in found}


def _add_attributes(found: dict[str, str], keys: Mapping[str, str]) -> None:
    """Columns that are plainly one of our further attributes, and no other is."""
    for name in ATTRIBUTE_NAMES:
        free = [column for column in keys if column not in found.values()]
        exact = [column for column in free if keys[column] == name_key(name)]
        same = exact or [column for column in free if keys[column] in _synonyms(name)]
        if name not in found and len(same) == 1:
            found[name] = same[0]


def matching_names(columns: Sequence[str], names: Sequence[str]) -> int:
    """How many of our names one or more of these columns could be."""
    keys = {name_key(column) for column in columns} - {""}
    return sum(bool(keys & {name_key(name), *_synonyms(name), *_vague(name, own=name == names[0])}) for name in names)


def could_be(column: str, names: Sequence[str], *, vague: bool = True) -> bool:
    """Whether a column of this name could be one of our `names`, with or without the names that say little.

    Examples
    --------
    >>> could_be("Área (ha)", ("declared_area_ha",)), could_be("Comunidad", ("declared_area_ha",))
    (True, False)
    """
    key = name_key(column)
    return bool(key) and any(
        key in {name_key(name), *_synonyms(name), *(_keys(name, vague=True) if vague else ())} for name in names
    )


def name_key(name: str) -> str:
    """A column's name without case, accents, spaces and signs: "Área (ha)" is "areaha"."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if letter.isalnum())


def _only(same: list[str], name: str, file: str) -> str:
    if len(same) == 1:
        return same[0]
    raise ColumnError(
        f"{file}: the columns {' and '.join(repr(column) for column in same)} could both be {name}.",
        why="Taking the wrong one would change ids or sums without a word.",
        todo=f"Say which one with a mapping, for example --map {_quote(f'{same[0]}={name}')}.",
    )


def _quote(text: str) -> str:
    return f'"{text}"' if " " in text else text


def _mapped(columns: Sequence[str], names: Sequence[str], mapping: Mapping[str, str], file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for theirs, ours in mapping.items():
        column = theirs if theirs in columns else next((c for c in columns if name_key(c) == name_key(theirs)), None)
        if column is None:
            raise ColumnError(
                f"{file} has no column {theirs!r}, which the mapping names.",
                why="A mapping that points nowhere would leave a value out.",
                todo=f"Use one of its columns: {', '.join(columns)}.",
            )
        if ours not in (*names, *ATTRIBUTE_NAMES):
            raise ColumnError(
                f"The mapping gives {theirs!r} the name {ours!r}, which is none of ours.",
                why="The column would be read by nobody.",
                todo=f"Use one of: {', '.join((*names, *ATTRIBUTE_NAMES))}.",
            )
        if ours in found and found[ours] != column:
            raise ColumnError(
                f"The mapping gives both {found[ours]!r} and {theirs!r} the name {ours}.",
                why="Only one column can have it.",
                todo="Keep one of the two.",
            )
        found[ours] = column
    return found


@cache
def _keys(ours: str, *, vague: bool) -> tuple[str, ...]:
    """Keys of the synonyms of a name, in the table's order."""
    rows = reference.table("column_synonyms")
    rows = rows[(rows["ours"] == ours) & ((rows["language"] == "generic") == vague)]
    return tuple(name_key(synonym) for synonym in rows["synonym"])


def _synonyms(name: str) -> tuple[str, ...]:
    return _keys(name, vague=False)


def _vague(name: str, *, own: bool) -> tuple[str, ...]:
    """Keys that count only where nothing better is there; `own` is the id of the table's rows themselves."""
    return _keys(name, vague=True) + (_keys("id", vague=True) if own else ())
