"""The chain of one plot in words and numbers: from its area to its share of the supply, read from a written run."""

import difflib
import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from geomap import reference
from geomap.errors import FileError, UnknownNameError
from geomap.outputs.publish import MARK
from geomap.outputs.text import csv_text, plain
from geomap.supply import crops

_FILES: Final = ("plots.parquet", "classes.csv", "findings.csv", "summary.json")
_WIDTH: Final = 18
_LINE: Final = 100
UNKNOWN_CLASS: Final = -3
_RATIO: Final = "declared areas of "
_TOLD: Final = {"p": "planted_share", "g": "planted_year"}
_WORDS: Final = {
    "p": "share planted with the crop",
    "y_kg_ha": "base yield of a year",
    "g": "factor of the age of the plants",
    "k": "kilograms of this product form from one of the base yield's form",
}
_CASES: Final = {"mean": "", "p10": "_p10", "p50": "_p50", "p90": "_p90"}
_TERMS: Final = {
    "base yield": "y",
    "conversion": "k",
    "planted share": "p",
    "age": "g",
    "land that cannot bear the crop": "f",
}
"""Terms of the summary's assumptions → the letter in the chain."""


def explain(run_folder: Path, plot_id: str) -> str:
    """How the potential of one plot came about, as text for a terminal.

    Raises
    ------
    FileError : the folder holds no run. UnknownNameError : the run has no such plot; close matches are named.

    Examples
    --------
    With a run in the folder `results`:

        print(explain(Path("results"), "LP-00002"))
    """
    return "\n".join(_lines(explained(run_folder, plot_id)))


def explained(run_folder: Path, plot_id: str) -> dict[str, Any]:
    """The same as plain data, for programs: only texts, numbers, lists and None (not known).

    Returns
    -------
    dict : plot, member, cooperative, community, season, crop, form (texts) · chain: list of term, value, unit, words,
        source, support (None where it was measured or told) · productive_ha · potential: kilograms mean, p10, p50,
        p90 · supply: mean and share_of_potential, or None · classes: class, name, area_ha, share · findings: code,
        severity, message, effect_ha, effect_kg, action · evidence · assumptions: term, value, support, source.

    Raises
    ------
    FileError : the folder holds no run. UnknownNameError : the run has no such plot; close matches are named.
    """
    summary = _summary(Path(run_folder))
    plots = pd.read_parquet(Path(run_folder) / "plots.parquet", columns=_known(Path(run_folder) / "plots.parquet"))
    plots = plots.set_index("plot_id")
    row = plots.loc[_found(Path(run_folder), plot_id, plots)]
    name, place = str(row.name), summary["parameters"]
    assumed = _assumed(summary, row)
    classes = _classes(Path(run_folder), name)
    land = _land_words(row, classes, _accuracies(summary))
    hives = crops.crop(place["crop"]).unit == "hive"
    return {
        "plot": name,
        "member": plain(row["member_id"]),
        "cooperative": plain(row["cooperative_id"]),
        "community": plain(row.get("community")),
        "crop": place["crop"],
        "form": place.get("form_title") or place["form"],
        "season": place["season"],
        "chain": [*_chain(row, assumed, land, crop=place["crop"], hives=hives)],
        "productive_ha": None if hives else _number(row.get("productive_ha")),
        "potential": {case: _number(row.get(f"potential{infix}_kg")) for case, infix in _CASES.items()},
        "supply": _supply(row),
        "classes": classes,
        "findings": _findings(Path(run_folder), name),
        "evidence": summary.get("evidence"),
        "assumptions": assumed,
    }


def _summary(folder: Path) -> dict[str, Any]:
    missing = [name for name in _FILES if not (folder / name).is_file()]
    try:
        summary = {} if missing else json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except ValueError:
        summary = {}
    if not isinstance(summary, dict) or summary.get("format") != MARK:
        found = f"It has no {missing[0]}." if missing else "Its summary.json is not that of a run."
        raise FileError(
            f"{folder} holds no run. {found}",
            why="The chain of a plot is read from what an estimate wrote.",
            todo="Name the folder that geomap estimate --out wrote.",
        )
    return summary


def _known(path: Path) -> list[str]:
    """The columns of the plots but for their outlines, which explain nothing here."""
    from pyarrow import parquet

    return [name for name in parquet.read_schema(path).names if name not in ("geometry", "bbox")]


def _found(folder: Path, plot_id: str, plots: pd.DataFrame) -> str:
    """The plot's id in the run: as given, else the one plot of that id in the office's file."""
    names = plots.index.astype("str")
    if plot_id in names:
        return plot_id
    given = plots["given_id"].astype("str") if "given_id" in plots else pd.Series(names, index=names)
    same = names[(given == plot_id).to_numpy()]
    if len(same) == 1:
        return str(same[0])
    left_out = [row["message"] for row in _findings(folder, plot_id) if row["action"] == "left_out"]
    if left_out:
        raise UnknownNameError(
            f"The plot '{plain(plot_id, limit=80)}' was left out of the run.",
            why=f"It has no potential: {left_out[0]}",
            todo="Put it right and estimate again.",
        )
    known = names.to_numpy(dtype=object).tolist()
    close = list(same[:5]) or difflib.get_close_matches(plot_id, known, n=5, cutoff=0.6)
    close = close or [name for name in known if plot_id.casefold() in name.casefold()][:5]
    guess = f"Did you mean {', '.join(map(plain, close))}?" if close else "Look up the id in plots.parquet or the map."
    raise UnknownNameError(
        f"The run has no plot '{plain(plot_id, limit=80)}' among its {len(names):,} plots.",
        why="Only plots that count have a chain.",
        todo=guess,
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _supply(row: "pd.Series[Any]") -> dict[str, float | None] | None:
    mean = _number(row.get("supply_kg"))
    if mean is None:
        return None
    potential = _number(row["potential_kg"])
    return {"mean": mean, "share_of_potential": mean / potential if potential else None}


def _assumed(summary: dict[str, Any], row: "pd.Series[Any]") -> list[dict[str, str]]:
    """The assumptions that concern this plot: the ratio of declared areas only where it is used here."""
    ratio = f"{_RATIO}{row['cooperative_id']}" if row.get("kind") == "declared" else ""
    return [
        {key: plain(one.get(key)) for key in ("term", "value", "support", "source")}
        for one in summary.get("assumptions", [])
        if not str(one["term"]).startswith(_RATIO) or one["term"] == ratio
    ]


def _chain(
    row: "pd.Series[Any]", assumed: list[dict[str, str]], land: str, *, crop: str, hives: bool
) -> Iterator[dict[str, Any]]:
    """The factors in their order; those that the run does not hold are left out."""
    sources = {_TERMS[one["term"]]: one for one in assumed if one["term"] in _TERMS}
    sources = {**_usual_sources(crop), **sources}
    if hives:
        yield _term("A", row.get("hives"), "hives", "hives as told")
    else:
        ratio = next((one for one in assumed if one["term"].startswith(_RATIO)), None)
        words = f"area as declared; {ratio['value']} in this cooperative" if ratio else _measured(row)
        yield _term("A", row["counted_area_ha"], "ha", words, ratio)
        yield _term("f", row.get("f"), "", land, sources.get("f"))
    inside = "planted hectare" in sources.get("y", {}).get("value", "")
    for column, words in _WORDS.items():
        letter = column[0]
        if column in row.index or (letter in ("y", "k") and letter in sources):
            unit = f"kg per {'hive' if hives else 'ha'}" if letter == "y" else ""
            text, source = _factor_words(row, column, words, sources.get(letter), inside=inside)
            yield _term(letter, row.get(column), unit, text, source)


def _usual_sources(crop: str) -> dict[str, dict[str, str]]:
    """Support and source of the planted share and the age factor that stand in where none is told."""
    crop_rows, curves = reference.table("crops").set_index("crop"), reference.table("age_curves").set_index("crop")
    found = {}
    if crop in crop_rows.index:
        found["p"] = {"value": "", "support": "weak", "source": plain(crop_rows.loc[crop, "source"])}
    if crop in curves.index:
        first = curves.loc[[crop]].iloc[0]
        found["g"] = {"value": "", "support": plain(first["support"]), "source": plain(first["source"])}
    return found


def _factor_words(
    row: "pd.Series[Any]", column: str, words: str, source: dict[str, str] | None, *, inside: bool
) -> tuple[str, dict[str, str] | None]:
    """What a factor is, and where it comes from: told by the office, a default, or inside the base yield already."""
    letter = column[0]
    if letter in _TOLD and inside and _number(row.get(column)) != 0:
        return f"{words}; inside the base yield, which counts planted hectares", None
    if letter in _TOLD and _number(row.get(_TOLD[letter])) is not None:
        return f"{words}; told: {row[_TOLD[letter]]:g}", source if letter == "g" else None
    if letter in _TOLD:
        return f"{words}; not told, so the default", source
    return (f"{words}: {source['value']}" if source else words), source


def _accuracies(summary: Mapping[str, Any]) -> dict[int, tuple[float, str]] | None:
    """Class → the share of it that cannot bear the crop, and why; None where an older run does not tell."""
    if "ruled_out" not in summary:
        return None
    return {one["class"]: (float(one["share"]), str(one["why"])) for one in summary["ruled_out"]}


def _land_words(
    row: "pd.Series[Any]", classes: list[dict[str, Any]], accuracies: Mapping[int, tuple[float, str]] | None
) -> str:
    """How f came about, as far as the classes tell it: 1 minus each class that cannot bear the crop × its accuracy."""
    words = "share of the ground that can bear the crop"
    if accuracies is None:
        return words
    seen = [one for one in classes if one["class"] >= 0 or one["class"] == UNKNOWN_CLASS]
    covered = math.fsum(one["area_ha"] for one in seen)
    against = [one for one in seen if one["class"] in accuracies]
    accuracy = [accuracies[one["class"]] for one in against]
    parts = [one["area_ha"] / covered for one in against] if covered else []
    value = (
        1 - math.fsum(share * right for share, (right, _) in zip(parts, accuracy, strict=True)) if covered else math.nan
    )
    if not math.isclose(value, _number(row.get("f")) or math.nan, abs_tol=1e-4):
        return f"{words}; the map shows too little of this plot, so that of the cooperative's other plots"
    told = [
        f"{share:.1%} {one['name'].lower()} × {right:.2f} ({why})"
        for one, share, (right, why) in zip(against, parts, accuracy, strict=True)
    ]
    return f"{words}: 1 − {' − '.join(told)}" if told else f"{words}: no class on it rules the crop out"


def _measured(row: "pd.Series[Any]") -> str:
    area, counted, sd = (_number(row.get(name)) for name in ("area_ha", "counted_area_ha", "area_sd_ha"))
    words = "area measured on the ellipsoid"
    if sd:
        words += f", GPS error ± {sd:.3f} ha"
    if area is not None and counted is not None and not math.isclose(area, counted, rel_tol=1e-6):
        words += f"; the outline has {area:.4f} ha, part of which others claim too"
    return words


def _term(letter: str, value: Any, unit: str, words: str, source: dict[str, str] | None = None) -> dict[str, Any]:
    support, told = (source["support"], source["source"]) if source else (None, None)
    term = {"term": letter, "value": _number(value), "unit": unit, "words": words}
    return {**term, "source": told, "support": support}


def _classes(folder: Path, name: str) -> list[dict[str, Any]]:
    table = _rows(folder / "classes.csv", name)
    table = table.astype({"area_ha": float}).sort_values(["area_ha", "class"], ascending=[False, True])
    whole = table["area_ha"].sum()
    return [
        {
            "class": int(row["class"]),
            "name": plain(row["name"]),
            "area_ha": float(row["area_ha"]),
            "share": float(row["area_ha"] / whole) if whole else 0.0,
        }
        for row in table.to_dict("records")
    ]


def _findings(folder: Path, name: str) -> list[dict[str, Any]]:
    columns = ("code", "severity", "message", "action")
    return [
        {**{key: plain(row[key]) for key in columns}, **{key: _kg(row[key]) for key in ("effect_ha", "effect_kg")}}
        for row in _rows(folder / "findings.csv", name).to_dict("records")
    ]


def _kg(cell: str) -> float | None:
    return float(cell) if cell else None


def _rows(path: Path, name: str) -> pd.DataFrame:
    """The rows of one plot, all cells as text; an id that a spreadsheet would take for a formula bears a mark."""
    table = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
    return table[table["plot_id"] == str(csv_text(name))]


def _lines(told: dict[str, Any]) -> Iterator[str]:
    """The text, line by line."""
    season = f", season {told['season']}" if told["season"] else ""
    where = ", ".join(filter(None, (told["community"], told["cooperative"])))
    yield f"Plot {plain(told['plot'])} of member {told['member'] or 'not named'}" + (f" ({where})" if where else "")
    yield f"{told['form']}{season}"
    yield from ("", "How its potential comes about")
    for term in told["chain"]:
        value = "" if term["value"] is None else f"{term['value']:,.4g} {term['unit']}".rstrip()
        yield from _beside(f"  {term['term']}  {value}", term["words"])
        if term["source"]:
            yield from _beside("", f"({term['support']}: {term['source']})")
    if told["productive_ha"] is not None:
        yield from _beside(f"     {told['productive_ha']:,.4g} ha", "of it can bear the crop")
    yield from _beside(f"  =  {_kilograms(told['potential']['mean'])}", "its potential, the mean")
    low, middle, high = (_kilograms(told["potential"][case]) for case in ("p10", "p50", "p90"))
    yield from _beside("", f"in 8 of 10 seasons between {low} and {high}; the middle is {middle}")
    yield from _supply_lines(told)
    yield from _class_lines(told["classes"])
    yield from _finding_lines(told["findings"])
    yield from ("", "What was not measured")
    for one in told["assumptions"]:
        yield from _wrapped(f"{one['term']}: {one['value']}", "  ")
        yield from _wrapped(f"{one['support']}: {one['source']}", "    ")


def _beside(left: str, text: str) -> Iterator[str]:
    """The text in a column of its own, to the right of a term and its value."""
    lines = textwrap.wrap(text, _LINE - _WIDTH - 5) or [""]
    yield f"{left:<{_WIDTH + 4}} {lines[0]}"
    yield from (" " * (_WIDTH + 5) + line for line in lines[1:])


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _LINE, initial_indent=indent, subsequent_indent=indent)


def _supply_lines(told: dict[str, Any]) -> Iterator[str]:
    supply = told["supply"]
    if supply is None:
        yield from _beside("", "no supply: nothing tells how much of it is delivered")
        return
    share = "" if supply["share_of_potential"] is None else f", {supply['share_of_potential']:.0%} of its potential"
    yield from _beside(
        f"  →  {_kilograms(supply['mean'])}", f"its part of the supply{share}, from {plain(told['evidence'])}"
    )


def _class_lines(classes: list[dict[str, Any]]) -> Iterator[str]:
    from geomap.outputs.report import class_words

    yield from ("", "Land cover on it")
    for row in classes:
        area = f"{row['area_ha']:.4f} ha"
        yield f"  {row['share']:>4.0%}  {area:<{_WIDTH - 3}}{class_words(row['class'], row['name'])}"
    if not classes:
        yield "  none: it has no outline, or the map does not reach it"


def _finding_lines(findings: list[dict[str, Any]]) -> Iterator[str]:
    yield from ("", "What the checks found")
    for row in findings:
        effect = [f"{row['effect_ha']:+.4f} ha"] if row["effect_ha"] is not None else []
        effect += [f"{row['effect_kg']:+,.1f} kg"] if row["effect_kg"] is not None else []
        yield f"  {row['severity']} {row['code']}" + (f" ({', '.join(effect)})" if effect else "")
        yield from _wrapped(row["message"], "    ")
    if not findings:
        yield "  nothing"


def _kilograms(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.1f} kg"
