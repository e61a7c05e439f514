"""The harvest estimate: two pages on one cooperative for a buyer or a lender, with no member and no plot in them."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import pandas as pd

from geomap.errors import UnknownNameError
from geomap.outputs.beside import Beside
from geomap.outputs.publish import put_file
from geomap.outputs.units import Reader, told_by
from geomap.supply import crops
from geomap.supply.forecast import shock_row

if TYPE_CHECKING:
    from geomap.run import Run


FORMATS: Final = ("html", "pdf")
Paper = Literal["A4", "Letter"]


class Cases(NamedTuple):
    """Mean, bad year (P10), middle year (P50) and good year (P90), all in kilograms of one product form."""

    mean: float
    p10: float
    p50: float
    p90: float


class LastSeason(NamedTuple):
    """The estimate of a past season, made without its deliveries, and what came; kilograms of the product form."""

    season: str
    mean: float
    p10: float
    p90: float
    came: float


@dataclass(frozen=True, eq=False)
class EstimateDocument:
    """All that a harvest estimate shows; kilograms are of `form` unless said otherwise. None: the block says so.

    Attributes
    ----------
    cooperative, crop, country, form, season : as in the run; country as ISO 3166 code, season such as "2026/27".
    quantity : supply where there is evidence for it, else potential.
    cases : of the quantity.
    potential_kg : mean, shown beside a supply.
    shock_kg : lowest and highest harvest of a shock year, a case of its own.
    members, members_mapped, area_ha, unmapped_share : unmapped_share is the part of the kilograms (0–1) that rests on
        members without a plot.
    evidence, seasons : "own deliveries", "deliveries of the origin", "declared share" or "country averages"; seasons of
        own deliveries.
    exportable, exportable_form : what is left to export, kilograms of that form.
    certifications : certification ("" where none is named), mean_kg, p10_kg, p90_kg; members where known.
    months : month (YYYY-MM), mean_kg, p10_kg, p90_kg.
    contracts : certification ("" = any), month ("YYYY-MM" or ""), kg, covered (probability 0–1). Buyers are not named.
    last_season : the last season that was estimated and came.
    settings : what the cooperative told of its units (quintal_kg, quintal_form, bag_kg, outturn), where it did.
    product_title : the land-cover map.
    known_to : the last day (YYYY-MM-DD) up to which deliveries of the season count.
    run_id : SHA-256 of the inputs' hashes and the parameters.
    """

    cooperative: str
    crop: str
    country: str
    form: str
    season: str | None
    quantity: Literal["potential", "supply"]
    cases: Cases
    members: int
    members_mapped: int
    potential_kg: float | None = None
    shock_kg: tuple[float, float] | None = None
    area_ha: float | None = None
    unmapped_share: float | None = None
    evidence: str = "country averages"
    seasons: int = 0
    exportable: Cases | None = None
    exportable_form: str | None = None
    certifications: pd.DataFrame | None = None
    months: pd.DataFrame | None = None
    contracts: pd.DataFrame | None = None
    last_season: LastSeason | None = None
    settings: Mapping[str, Any] | None = None
    product_title: str | None = None
    known_to: str | None = None
    run_id: str | None = None


def estimate_document(run: "Run", cooperative_id: str, beside: Beside | None = None) -> EstimateDocument:
    """What a harvest estimate says of one cooperative, from a run and the tables that there are beside it.

    Every table may hold rows of several cooperatives; only those of `cooperative_id` are read. Members and plots are
    not read at all. A shock year leaves .5 to .8 of the mean where `beside.cases` does not tell another share.

    Parameters
    ----------
    run : kilograms of the product form.
    beside : of `beside_of`.

    Raises
    ------
    UnknownNameError : the run has no such cooperative.
    """
    beside = beside or Beside()
    rows = run.cooperatives[run.cooperatives["id"].astype("str") == cooperative_id]
    if rows.empty:
        raise _unknown(cooperative_id, run.cooperatives["id"])
    row, place = rows.iloc[0], run.summary["parameters"]
    quantity: Literal["potential", "supply"] = "supply" if pd.notna(row["supply_kg"]) else "potential"
    cases = Cases(*(float(row[f"{quantity}_{infix}kg"]) for infix in ("", "p10_", "p50_", "p90_")))
    ready = _own(beside.exportable, cooperative_id)
    basis = None if beside.calibration is None else beside.calibration.reindex([cooperative_id]).iloc[0]
    monthly = _own(run.months[run.months["quantity"] == quantity], cooperative_id)
    unmapped = float(row["unmapped_kg"]) / float(row["potential_kg"]) if row["potential_kg"] > 0 else 0.0
    return EstimateDocument(
        cooperative=cooperative_id,
        crop=place["crop"],
        country=place["country"],
        form=place["form"],
        season=place["season"],
        quantity=quantity,
        cases=cases,
        members=int(row["members"]),
        members_mapped=int(row["members_mapped"]),
        potential_kg=float(row["potential_kg"]) if quantity == "supply" else None,
        shock_kg=_shock(_own(beside.cases, cooperative_id), cases.mean, run.summary["parameters"]["crop"]),
        area_ha=None if crops.crop(place["crop"]).unit == "hive" else float(row["area_ha"]),
        unmapped_share=unmapped,
        evidence=_evidence(basis, quantity),
        seasons=0 if basis is None or pd.isna(basis["seasons"]) else int(basis["seasons"]),
        exportable=None if ready is None else Cases(*ready[["mean_kg", "p10_kg", "p50_kg", "p90_kg"]].iloc[0]),
        exportable_form=None if ready is None else str(ready["form"].iloc[0]),
        certifications=_certifications(run, cooperative_id, beside.certifications, quantity),
        months=monthly,
        contracts=_own(beside.contracts, cooperative_id),
        last_season=_last(None if beside.backtest is None else _own(beside.backtest.rows, cooperative_id)),
        settings=told_by(beside.settings, cooperative_id),
        product_title=run.product.title,
        known_to=None if beside.known_to is None else beside.known_to.get(cooperative_id),
        run_id=run_id(run.summary),
    )


def run_id(summary: Mapping[str, Any]) -> str | None:
    """SHA-256 of the inputs' hashes and the parameters: equal inputs, equal id; None where the inputs are not files.

    Examples
    --------
    >>> one = {"inputs": [{"role": "plots", "sha256": "ab"}], "parameters": {"crop": "coffee"}}
    >>> run_id(one)[:12], run_id({"inputs": [], "parameters": {}})
    ('585c14fdb798', None)
    """
    if not summary["inputs"]:
        return None
    files = sorted([str(file["role"]), str(file["sha256"])] for file in summary["inputs"])
    text = json.dumps([files, summary["parameters"]], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def write_estimate(
    document: EstimateDocument,
    out_dir: Path,
    formats: Collection[str] = FORMATS,
    *,
    language: str = "en",
    reader: Reader = "office",
    paper: Paper = "A4",
    name: str = "harvest_estimate",
) -> list[Path]:
    """Leave the estimate in the folder `out_dir` as HTML (one file, prints on two pages) and PDF (two pages).

    Each file is the old one or the new one, never a part of it. Equal documents give equal bytes.

    Parameters
    ----------
    language : en, es, fr or pt.
    reader : the office reads quintals, a buyer bags and containers; kilograms stand beside both.
    paper : of the PDF; the HTML page fits both.
    name : of the files, without the ending.

    Returns
    -------
    list : the files written.

    Raises
    ------
    UnknownNameError : a format, language, reader or paper is not known. OutputError : a file cannot be written.
    """
    from geomap.outputs.estimate_pdf import estimate_pdf
    from geomap.outputs.estimate_sheet import estimate_sheet

    _require(formats, FORMATS, "format")
    _require([paper], ("A4", "Letter"), "paper")
    sheet = estimate_sheet(document, language=language, reader=reader)
    contents = {"html": lambda: estimate_html(document, language=language, reader=reader).encode("utf-8")}
    contents["pdf"] = lambda: estimate_pdf(sheet, paper=paper)
    written = []
    for kind in FORMATS:
        if kind in formats:
            path, content = Path(out_dir) / f"{name}.{kind}", contents[kind]()
            put_file(path, lambda draft, content=content: draft.write_bytes(content))  # type: ignore[misc]
            written.append(path)
    return written


def estimate_html(document: EstimateDocument, *, language: str = "en", reader: Reader = "office") -> str:
    """The estimate as one HTML page: no script, no network, two pages on A4 and Letter, readable on a phone."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    from geomap.outputs.estimate_sheet import estimate_sheet
    from geomap.outputs.figures import to_svg

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["svg"] = lambda figure: Markup(to_svg(figure))
    source = files("geomap.outputs").joinpath("harvest_estimate.html.jinja").read_text(encoding="utf-8")
    sheet = estimate_sheet(document, language=language, reader=reader)
    return environment.from_string(source).render(sheet=sheet) + "\n"


def _own(table: pd.DataFrame | None, cooperative_id: str) -> pd.DataFrame | None:
    """The rows of the cooperative; None without any."""
    if table is None:
        return None
    own = table[table["cooperative_id"].astype("str") == cooperative_id]
    return None if own.empty else own.drop(columns="cooperative_id").reset_index(drop=True)


def _shock(cases: pd.DataFrame | None, mean: float, crop: str) -> tuple[float, float]:
    row = cases.iloc[0] if cases is not None and "factor_low" in cases else shock_row(crop)
    low, high = float(row["factor_low"]), float(row["factor_high"])
    return low * mean, high * mean


def _evidence(basis: "pd.Series[Any] | None", quantity: str) -> str:
    known = basis is not None and quantity == "supply" and pd.notna(basis["evidence"]) and basis["evidence"] != "none"
    return str(basis["evidence"]) if known and basis is not None else "country averages"


def _certifications(run: "Run", cooperative_id: str, told: pd.DataFrame | None, quantity: str) -> pd.DataFrame | None:
    """As told; else the run's own sums by certification, where it is about this cooperative alone."""
    own = _own(told, cooperative_id)
    if own is not None or "certification" not in run.by or len(run.cooperatives) > 1:
        return own
    table = run.by["certification"]
    names = {"id": "certification", "members": "members"}
    names |= {f"{quantity}_{infix}kg": f"{infix or 'mean_'}kg" for infix in ("", "p10_", "p90_")}
    return table[list(names)].rename(columns=names)


def _last(past: pd.DataFrame | None) -> LastSeason | None:
    """The last season that the model predicted, and what was delivered in it."""
    known = None if past is None else past[past["rule"].str.startswith("model")].sort_values("season")
    if known is None or known.empty:
        return None
    row = known.iloc[-1]
    numbers = (float(row[name]) for name in ("mean_kg", "p10_kg", "p90_kg", "actual_kg"))
    return LastSeason(str(row["season"]), *numbers)


def require_reader(reader: str) -> None:
    """Raise where nobody's units go by this name.

    Raises
    ------
    UnknownNameError : it is neither office nor buyer.
    """
    _require([reader], ("office", "buyer"), "reader")


def _require(given: Collection[str], known: Collection[str], what: str) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise UnknownNameError(
            f"There is no {what} '{unknown[0]}'.",
            why="An estimate is written as a page that a browser or a printer opens.",
            todo=f"Use one of: {', '.join(known)}.",
        )


def _unknown(cooperative_id: str, known: "pd.Series[str]") -> UnknownNameError:
    import difflib

    names = sorted(known.astype("str"))
    close = difflib.get_close_matches(cooperative_id, names, n=3, cutoff=0.5) or names[:5]
    return UnknownNameError(
        f"The run has no cooperative '{cooperative_id}'.",
        why="An estimate is of one cooperative.",
        todo=f"Use one of: {', '.join(close)}{', …' if len(names) > len(close) else ''}.",
    )
