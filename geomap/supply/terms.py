"""Whose base yield stands for which plot: the origin's, a yield map's, or the cooperative's own, and how it errs.

Decision. A figure of an origin (a table, a yield map, a figure per variety) is wrong for all its plots together: its
error is `base_yield`, shared by origin, and on top of it cooperatives differ from their origin (`cooperative`). A
cooperative's own figure, and one of a community in it, already holds what that cooperative is like and leans on no
national mean. So `base_yield` is 0 there, and its own, smaller error takes the place of `cooperative`, which only that
cooperative shares; several figures of one cooperative come from one office and err together. Seasons stay those of the
origin: a bad year spares nobody because the office keeps books. An own outturn is told of one mill: its error is shared
by that cooperative alone, which the pair of forms "parchment>green|C1" says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geomap.errors import GeomapError
from geomap.findings import join_findings, make_findings
from geomap.supply.crop_tables import CropTables, fold
from geomap.supply.crops import BaseYield, Crop, error_cv
from geomap.supply.forms import EXPORTABLE, GREEN, Conversion, conversion, form_name, own_conversion, own_seconds
from geomap.supply.settings import EVERYONE, of_cooperative, setting_row
from geomap.supply.yields import KEYS, YIELD_NAMES

TERM_COLUMNS: Final = ["y", "bearing", "k", "form_pair", "base_yield", "cooperative", "conversion", "figure"]
"""Columns of `base_terms`: kg per hectare or hive; whether bearing hectares count; factor to the product form and its
pair; relative errors of the sources of these names; whose figure it is."""

FAR_OFF: Final = 4.0
"""A figure so many times above or below the origin's is looked at twice."""

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Figure:
    """A base yield and how it errs: of one cooperative (`own`) or of an origin."""

    kg_ha: float
    form: str
    basis: str
    cv: float
    own: bool
    label: str


def base_terms(
    rows: pd.DataFrame,
    *,
    crop: Crop,
    base: BaseYield,
    conversion: Conversion,
    settings: pd.DataFrame | None = None,
    yields: pd.DataFrame | None = None,
    layer: "pd.Series[float] | None" = None,
    country: str | None = None,
    tables: CropTables | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Base yield and conversion of each row (plot or member), with their errors, and findings on figures far off.

    Of several figures the nearest is taken: an own one of the community or cooperative (table of yields, then of
    settings), else the yield map's, else that of the variety or country (table of yields), else `base`. Own outturns
    and shares of seconds take the place of the table's factors. See the module's docstring for the errors.

    Parameters
    ----------
    rows : any index; cooperative_id, and community and variety where they are known.
    crop, base, conversion : of the run; `conversion` leads from the form of `base` to the product form.
    settings : of `read_settings`. yields : of `read_yields`.
    layer : kilograms per hectare on each row, of the form and basis of `base`; NaN where the map says nothing.
    country : two-letter code of the origin; that of `base` where not given.

    Returns
    -------
    DataFrame : index of `rows`; `TERM_COLUMNS`.
    DataFrame : findings "unlikely_value", "impossible_value".

    Examples
    --------
    >>> from geomap.supply.crops import conversion, crop, own_base_yield
    >>> yields = pd.DataFrame({"cooperative_id": ["B"], "community": "", "variety": "", "country": "",
    ...     "base_yield_kg": 900.0, "base_yield_basis": "bearing", "base_yield_form": "green", "cv": np.nan})
    >>> rows = pd.DataFrame({"cooperative_id": ["A", "B"]}, index=["P1", "P2"])
    >>> terms, _ = base_terms(rows, crop=crop("coffee"), base=own_base_yield("coffee", "HN", 1000),
    ...     conversion=conversion("coffee", "green", "green"), yields=yields)
    >>> terms[["y", "bearing", "base_yield", "cooperative"]].values.tolist()
    [[1000.0, False, 0.35, 0.3], [900.0, True, 0.0, 0.2]]
    """
    code = country or base.country
    figures = [_Figure(base.kg_ha, base.form, base.basis, error_cv("base_yield"), own=False, label="origin")]
    which = np.zeros(len(rows), dtype=np.int64)
    wide, near = _figures(yields, code)
    _assign(rows, wide, figures, which)
    values, findings = np.full(len(rows), np.nan), []
    if layer is not None:
        values = layer.reindex(rows.index).to_numpy(float)
        below = values < 0
        values = np.where(below, np.nan, values)
        which[np.isfinite(values)] = 0
        text = "the yield map is below 0 here; it is not used"
        findings += [make_findings("impossible_value", rows.index[below], text), _map_far_off(values, base)]
    _assign(rows, _of_settings(settings, crop), figures, which)
    _assign(rows, near, figures, which)
    mapped = (which == 0) & np.isfinite(values)
    form, forms = pd.factorize(np.array([figure.form for figure in figures], dtype=object))
    factor, pair, cv = _conversions(
        rows["cooperative_id"], forms[form[which]], crop=crop, usual=conversion, settings=settings, tables=tables
    )
    own = np.array([figure.own for figure in figures])[which]
    error = np.array([figure.cv for figure in figures])[which]
    terms = pd.DataFrame(
        {
            "y": np.where(mapped, values, np.array([figure.kg_ha for figure in figures])[which]),
            "bearing": np.array([figure.basis == "bearing" for figure in figures])[which],
            "k": factor,
            "form_pair": pd.Series(pair, index=rows.index, dtype="str"),
            "base_yield": np.where(own, 0.0, error),
            "cooperative": np.where(own, error, error_cv("cooperative")),
            "conversion": cv,
            "figure": np.where(mapped, "yield map", np.array([figure.label for figure in figures])[which]),
        },
        index=rows.index,
    )
    findings.append(_far_off(figures, which, base, crop, tables))
    return terms.astype({"figure": "str"})[TERM_COLUMNS], join_findings(findings)


def own_conversions(
    settings: pd.DataFrame | None, cooperative_id: str, crop: Crop, *, tables: CropTables | None = None
) -> list[Conversion]:
    """A cooperative's own factors between product forms: its outturn, and its share of seconds.

    An outturn without forms leads between those that are usual for the crop (coffee: parchment to green). One that
    leads to exportable green says what seconds are, too: the rest of the green coffee.

    Examples
    --------
    >>> from geomap.supply.crops import crop
    >>> settings = pd.DataFrame({"outturn": 0.78, "outturn_from": "", "outturn_to": "", "seconds_share": np.nan},
    ...     index=["C1"])
    >>> [(one.pair, one.factor, one.cv) for one in own_conversions(settings, "C1", crop("coffee"))]
    [('parchment>green|C1', 0.78, 0.02)]
    """
    told = of_cooperative(settings, cooperative_id)
    found: list[Conversion] = []
    start, end = (str(told[f"outturn_{side}"] or getattr(crop, f"outturn_{side}")) for side in ("from", "to"))
    if np.isfinite(told["outturn"]) and start and end:
        cv, factor = float(setting_row("outturn")["cv"]), float(told["outturn"])
        found.append(own_conversion(crop.name, start, end, factor, cv=cv, owner=cooperative_id, tables=tables))
    share = float(told["seconds_share"])
    if found and end == EXPORTABLE:  # seconds are what is left of the green coffee
        share = 1.0 - float(told["outturn"]) / conversion(crop.name, start, GREEN, tables=tables).factor
    if np.isfinite(share) and share > 0 and _has_form(crop.name, EXPORTABLE, tables):
        cv = float(setting_row("seconds_share")["cv"])
        found += own_seconds(crop.name, share, cv=cv, owner=cooperative_id, tables=tables)
    return found


def _has_form(crop: str, form: str, tables: CropTables | None) -> bool:
    try:
        return form_name(crop, form, tables=tables) == form and form_name(crop, GREEN, tables=tables) == GREEN
    except GeomapError:
        return False


def _figures(yields: pd.DataFrame | None, country: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Figures of variety or country, and figures of a cooperative or community."""
    if yields is None:
        yields = pd.DataFrame(columns=list(YIELD_NAMES))
    here = yields[yields["country"].isin(["", country])]
    near = (here["cooperative_id"] != "") | (here["community"] != "")
    return here[~near], here[near]


def _of_settings(settings: pd.DataFrame | None, crop: Crop) -> pd.DataFrame:
    """Base yields that cooperatives told, as own figures."""
    columns = ["base_yield_kg", "base_yield_basis", "base_yield_form"]
    if settings is None:
        return pd.DataFrame(columns=list(YIELD_NAMES))
    told = settings.loc[settings["base_yield_kg"].notna(), columns]
    told = told.assign(cooperative_id=told.index, community="", variety="", country="", cv=np.nan)
    usual = "hive" if crop.unit == "hive" else "planted"
    told["base_yield_basis"] = told["base_yield_basis"].where(told["base_yield_basis"] != "", usual)
    told["base_yield_form"] = told["base_yield_form"].where(told["base_yield_form"] != "", crop.default_form)
    return told.assign(everyone=told.index == EVERYONE)


def _assign(rows: pd.DataFrame, table: pd.DataFrame, figures: list[_Figure], which: Codes) -> None:
    """Take each row's figure in `table`; those with more keys come last and win."""
    if table.empty:
        return
    filled = (table[list(KEYS)] != "").to_numpy()
    rank = filled @ np.array([2, 4, 3, 1]) + 10 * filled.sum(axis=1)
    for kind in np.unique(rank):
        part = table[rank == kind].sort_index(kind="stable")
        keys = [name for name, has in zip(KEYS, filled[rank == kind][0], strict=True) if has and name != "country"]
        if not set(keys) <= set(rows.columns):
            continue
        at = _key(part, keys).get_indexer(_key(rows, keys)) if keys else np.zeros(len(rows), dtype=np.int64)
        which[at >= 0] = len(figures) + at[at >= 0]
        figures += [_figure(row, keys) for row in part.to_dict("records")]


def _key(table: pd.DataFrame, keys: Sequence[str]) -> pd.Index:
    """One text per row, of its keys without case and accents."""
    parts = []
    for name in keys:
        codes, words = pd.factorize(table[name].fillna("").to_numpy(dtype=object))
        folded = np.array([fold(str(word)) for word in words], dtype=object)
        parts.append(folded[codes])
    return pd.Index(["\t".join(row) for row in zip(*parts, strict=True)], dtype="str")


def _figure(row: Mapping[Any, Any], keys: Sequence[str]) -> _Figure:
    own = "cooperative_id" in keys or "community" in keys or bool(row.get("everyone", False))
    usual = float(setting_row("base_yield_kg")["cv"]) if own else error_cv("base_yield")
    cv = float(row["cv"]) if np.isfinite(row["cv"]) else usual
    label = ", ".join(str(row[name]) for name in keys) or ("the cooperative" if own else "own figure")
    return _Figure(
        float(row["base_yield_kg"]), str(row["base_yield_form"]), str(row["base_yield_basis"]), cv, own, label
    )


def _conversions(
    cooperatives: "pd.Series[str]",
    forms: npt.NDArray[np.object_],
    *,
    crop: Crop,
    usual: Conversion,
    settings: pd.DataFrame | None,
    tables: CropTables | None,
) -> tuple[Floats, npt.NDArray[np.object_], Floats]:
    """Factor to the product form, its pair of forms and its error, for each row's form and cooperative."""
    coop, coops = pd.factorize(cooperatives.to_numpy(dtype=object))
    form, names = pd.factorize(forms)
    steps = {
        place: [] if settings is None else own_conversions(settings, str(name), crop, tables=tables)
        for place, name in enumerate(coops)
    }
    owner = np.array([place if steps[place] else -1 for place in steps] or [-1], dtype=np.int64)
    joint = form * (len(coops) + 1) + (owner[coop] + 1 if len(coop) else 0)
    kinds, found = np.unique(joint, return_inverse=True)
    ways = []
    for kind in kinds:
        own, of_form = steps.get(int(kind % (len(coops) + 1)) - 1, []), str(names[kind // (len(coops) + 1)])
        is_usual = not own and of_form == usual.from_form
        ways.append(usual if is_usual else conversion(crop.name, of_form, usual.to_form, own=own, tables=tables))
    factor, cv = np.array([way.factor for way in ways]), np.array([way.cv for way in ways])
    pair = np.array([way.pair for way in ways], dtype=object)
    return factor[found], pair[found], cv[found]


def _far_off(
    figures: Sequence[_Figure], which: Codes, base: BaseYield, crop: Crop, tables: CropTables | None
) -> pd.DataFrame:
    """Figures in use that are more than four times above or below that of the origin."""
    messages = []
    for place in sorted(set(which.tolist()) - {0}):
        figure = figures[place]
        ratio = figure.kg_ha * conversion(crop.name, figure.form, base.form, tables=tables).factor / base.kg_ha
        if not 1 / FAR_OFF <= ratio <= FAR_OFF:
            messages.append(
                f"The base yield of {figure.label}, {figure.kg_ha:g} kg of {figure.form}, is {ratio:.2g} times that of "
                f"the origin ({base.kg_ha:g} kg of {base.form}). It was used. Check its unit and its form."
            )
    return make_findings("unlikely_value", [""] * len(messages), messages)


def _map_far_off(values: Floats, base: BaseYield) -> pd.DataFrame:
    """A yield map whose middle value is far from the base yield: it may be in tonnes, or of another form."""
    known = values[np.isfinite(values)]
    ratio = float(np.median(known)) / base.kg_ha if len(known) else 1.0
    if 1 / FAR_OFF <= ratio <= FAR_OFF:
        return make_findings("unlikely_value", [], [])
    text = (
        f"The yield map has {ratio * base.kg_ha:.3g} kg per hectare in the middle, {ratio:.2g} times the base yield of "
        f"{base.kg_ha:g} kg of {base.form}. It was used. Check that it is in kilograms per hectare of that form."
    )
    return make_findings("unlikely_value", [""], text)
